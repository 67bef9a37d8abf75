/* Work in the background -> threads under one lock. */
#include "base/crew.h"

#include "base/thread.h"

#define STACK_BYTES (256 * 1024)

typedef struct member {
    l4_crew *crew;
    l4_thread thread;
    int index;
} member;

struct l4_crew {
    const l4_allocator *allocator;
    l4_crew_fn fn;
    void *user;
    l4_mutex mutex;
    l4_cond work, news;
    int started, quit;
    member members[L4_CREW_MOST];
};

static void member_main(void *argument)
{
    member *self = argument;
    l4_crew *crew = self->crew;
    l4_mutex_lock(&crew->mutex);
    while (!crew->quit)
        if (!crew->fn(crew->user, self->index) && !crew->quit)
            l4_cond_wait(&crew->work, &crew->mutex);
    l4_mutex_unlock(&crew->mutex);
}

llama4_status l4_crew_create(const l4_allocator *a, int threads, l4_crew_fn fn, void *user, l4_crew **out, llama4_error *error)
{
    l4_crew *crew;
    llama4_status status = l4_alloc_zero(a, 1, sizeof *crew, "reader threads", &crew, error);
    if (status)
        return status;
    crew->allocator = a;
    crew->fn = fn;
    crew->user = user;
    int mutex = l4_mutex_init(&crew->mutex);
    int work = mutex && l4_cond_init(&crew->work);
    if (!work || !l4_cond_init(&crew->news)) {
        if (work)
            l4_cond_destroy(&crew->work);
        if (mutex)
            l4_mutex_destroy(&crew->mutex);
        l4_free(a, crew);
        return l4_fail(error, LLAMA4_ERR_SYSTEM, "the system gives no mutex for reader threads");
    }
    l4_mutex_lock(&crew->mutex); /* *out is complete before fn is called */
    *out = crew;
    for (int i = 0; i < threads && i < L4_CREW_MOST; i++) {
        crew->members[i] = (member){.crew = crew, .index = i};
        if (!l4_thread_start(&crew->members[i].thread, STACK_BYTES, member_main, &crew->members[i]))
            break;
        crew->started++;
    }
    l4_mutex_unlock(&crew->mutex);
    if (crew->started)
        return LLAMA4_OK; /* fewer threads than asked for do as well */
    *out = NULL;
    l4_crew_destroy(crew);
    return l4_fail(error, LLAMA4_ERR_SYSTEM, "the system gives no reader threads");
}

void l4_crew_destroy(l4_crew *crew)
{
    if (!crew)
        return;
    l4_mutex_lock(&crew->mutex);
    crew->quit = 1;
    l4_cond_broadcast(&crew->work);
    l4_mutex_unlock(&crew->mutex);
    for (int i = 0; i < crew->started; i++)
        l4_thread_join(&crew->members[i].thread);
    l4_cond_destroy(&crew->news);
    l4_cond_destroy(&crew->work);
    l4_mutex_destroy(&crew->mutex);
    l4_free(crew->allocator, crew);
}

void l4_crew_lock(l4_crew *crew)
{
    l4_mutex_lock(&crew->mutex);
}

void l4_crew_unlock(l4_crew *crew)
{
    l4_mutex_unlock(&crew->mutex);
}

void l4_crew_call(l4_crew *crew)
{
    l4_cond_broadcast(&crew->work);
}

void l4_crew_tell(l4_crew *crew)
{
    l4_cond_broadcast(&crew->news);
}

void l4_crew_wait(l4_crew *crew, unsigned ms)
{
    l4_cond_wait_for(&crew->news, &crew->mutex, ms);
}
