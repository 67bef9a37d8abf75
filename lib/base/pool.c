/*
 * A job is cut into pieces that threads claim one by one. The ticket holds the job's number (high half) and the next piece
 * (low half) in one word. A thread reads the job's description between reading the ticket and claiming a piece by
 * compare-and-exchange, and the ticket is closed before the description changes: a claim that succeeds is of the job that
 * was read. So a thread that wakes late does no harm, and nobody has to wait for threads that found nothing to do.
 */
#include "base/pool.h"

#include "base/cpu.h"
#include "base/thread.h"

#define STACK_BYTES (512 * 1024)
#define SPIN 2000 /* about 20 microseconds */
#define CLOSED UINT32_MAX /* in the place of the next piece */

typedef struct worker {
    l4_pool *pool;
    l4_thread thread;
    int index;
} worker;

struct l4_pool {
    const l4_allocator *allocator;
    const atomic_int *cancel;
    int threads; /* the caller included */
    int started; /* threads created */
    /* The job; read by threads only between seeing its number and claiming a piece of it. */
    _Atomic(l4_task_fn) fn;
    _Atomic(void *) task;
    atomic_size_t n, grain;
    _Alignas(64) atomic_uint_fast64_t ticket;
    _Alignas(64) atomic_uint_fast32_t unfinished; /* pieces */
    _Alignas(64) atomic_int sleepers;
    atomic_int caller_sleeps, quit;
    l4_mutex mutex;
    l4_cond wake, done;
    worker workers[L4_MAX_THREADS];
};

static void pause_cpu(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb"); /* "yield" takes no time on most */
#endif
}

/* Claims and does pieces of job number `job` until none is left. */
static void work(l4_pool *pool, uint32_t job, int index)
{
    uint_fast64_t ticket = atomic_load_explicit(&pool->ticket, memory_order_acquire);
    for (;;) {
        if ((uint32_t)(ticket >> 32) != job || (uint32_t)ticket == CLOSED)
            return;
        size_t n = atomic_load_explicit(&pool->n, memory_order_relaxed), grain = atomic_load_explicit(&pool->grain, memory_order_relaxed);
        l4_task_fn fn = atomic_load_explicit(&pool->fn, memory_order_relaxed);
        void *task = atomic_load_explicit(&pool->task, memory_order_relaxed);
        size_t piece = (uint32_t)ticket, begin = piece * grain;
        if (begin >= n)
            return;
        if (!atomic_compare_exchange_weak_explicit(&pool->ticket, &ticket, ticket + 1, memory_order_acq_rel, memory_order_acquire))
            continue;
        if (!atomic_load_explicit(pool->cancel, memory_order_relaxed))
            fn(task, begin, n - begin < grain ? n : begin + grain, index);
        if (atomic_fetch_sub(&pool->unfinished, 1) == 1 && atomic_load(&pool->caller_sleeps)) {
            l4_mutex_lock(&pool->mutex);
            l4_cond_signal(&pool->done);
            l4_mutex_unlock(&pool->mutex);
        }
        ticket = atomic_load_explicit(&pool->ticket, memory_order_acquire);
    }
}

static void worker_main(void *argument)
{
    worker *self = argument;
    l4_pool *pool = self->pool;
    uint32_t seen = 0;
    for (;;) {
        uint32_t job = seen;
        for (int i = 0; i < SPIN && job == seen; i++) {
            pause_cpu();
            job = (uint32_t)(atomic_load_explicit(&pool->ticket, memory_order_acquire) >> 32);
        }
        if (job == seen) {
            l4_mutex_lock(&pool->mutex);
            atomic_fetch_add(&pool->sleepers, 1);
            while ((job = (uint32_t)(atomic_load(&pool->ticket) >> 32)) == seen && !atomic_load(&pool->quit))
                l4_cond_wait(&pool->wake, &pool->mutex);
            atomic_fetch_sub(&pool->sleepers, 1);
            l4_mutex_unlock(&pool->mutex);
        }
        if (atomic_load(&pool->quit))
            return;
        work(pool, job, self->index);
        seen = job;
    }
}

static int start_threads(l4_pool *pool, int n)
{
    int fine = 1;
    for (int i = 1; i < n && fine; i++) {
        pool->workers[i].pool = pool;
        pool->workers[i].index = i;
        fine = l4_thread_start(&pool->workers[i].thread, STACK_BYTES, worker_main, &pool->workers[i]);
        pool->started += fine;
    }
    return fine;
}

llama4_status l4_pool_create(const l4_allocator *a, int threads, const atomic_int *cancel, l4_pool **out, llama4_error *error)
{
    return l4_pool_create_for(a, threads, l4_cpu_count(), cancel, out, error);
}

llama4_status l4_pool_create_for(const l4_allocator *a, int threads, int processors, const atomic_int *cancel, l4_pool **out, llama4_error *error)
{
    const int useful = threads < processors ? threads : processors;
    l4_pool *pool;
    llama4_status status = l4_alloc_zero(a, 1, sizeof *pool, "the thread pool", &pool, error);
    if (status)
        return status;
    pool->allocator = a;
    pool->cancel = cancel;
    pool->threads = threads;
    int mutex = l4_mutex_init(&pool->mutex);
    int wake = mutex && l4_cond_init(&pool->wake);
    int done = wake && l4_cond_init(&pool->done);
    if (!done) {
        if (wake)
            l4_cond_destroy(&pool->wake);
        if (mutex)
            l4_mutex_destroy(&pool->mutex);
        l4_free(a, pool);
        return l4_fail(error, LLAMA4_ERR_SYSTEM, "the system gives no mutex for the thread pool");
    }
    if (!start_threads(pool, useful)) {
        int got = pool->started + 1;
        l4_pool_destroy(pool);
        return l4_fail(error, LLAMA4_ERR_SYSTEM, "the system gives %d of %d threads", got, useful);
    }
    *out = pool;
    return LLAMA4_OK;
}

void l4_pool_destroy(l4_pool *pool)
{
    if (!pool)
        return;
    l4_mutex_lock(&pool->mutex);
    atomic_store(&pool->quit, 1);
    /* A new job number ends the spinning, too; it has no pieces. */
    atomic_store(&pool->ticket, ((atomic_load(&pool->ticket) >> 32) + 1) << 32 | CLOSED);
    l4_cond_broadcast(&pool->wake);
    l4_mutex_unlock(&pool->mutex);
    for (int i = 1; i <= pool->started; i++)
        l4_thread_join(&pool->workers[i].thread);
    l4_cond_destroy(&pool->done);
    l4_cond_destroy(&pool->wake);
    l4_mutex_destroy(&pool->mutex);
    l4_free(pool->allocator, pool);
}

int l4_pool_threads(const l4_pool *pool)
{
    return pool->threads;
}

static void wait_for_pieces(l4_pool *pool)
{
    for (int i = 0; i < SPIN; i++) {
        if (!atomic_load_explicit(&pool->unfinished, memory_order_acquire))
            return;
        pause_cpu();
    }
    l4_mutex_lock(&pool->mutex);
    atomic_store(&pool->caller_sleeps, 1);
    while (atomic_load(&pool->unfinished))
        l4_cond_wait(&pool->done, &pool->mutex);
    atomic_store(&pool->caller_sleeps, 0);
    l4_mutex_unlock(&pool->mutex);
}

void l4_pool_run(l4_pool *pool, l4_task_fn fn, void *task, size_t n, size_t grain)
{
    if (!n)
        return;
    size_t pieces = (n + grain - 1) / grain;
    if (pieces == 1 || !pool->started) {
        for (size_t i = 0; i < n && !atomic_load_explicit(pool->cancel, memory_order_relaxed); i += grain)
            fn(task, i, n - i < grain ? n : i + grain, 0);
        return;
    }
    uint32_t job = (uint32_t)(atomic_load(&pool->ticket) >> 32);
    /* An exchange, not a store: what follows must not become visible before it. */
    atomic_exchange(&pool->ticket, (uint_fast64_t)job << 32 | CLOSED);
    job++;
    atomic_store_explicit(&pool->fn, fn, memory_order_relaxed);
    atomic_store_explicit(&pool->task, task, memory_order_relaxed);
    atomic_store_explicit(&pool->n, n, memory_order_relaxed);
    atomic_store_explicit(&pool->grain, grain, memory_order_relaxed);
    atomic_store(&pool->unfinished, (uint32_t)pieces);
    atomic_store(&pool->ticket, (uint_fast64_t)job << 32);
    if (atomic_load(&pool->sleepers)) {
        l4_mutex_lock(&pool->mutex);
        l4_cond_broadcast(&pool->wake);
        l4_mutex_unlock(&pool->mutex);
    }
    work(pool, job, 0);
    wait_for_pieces(pool);
}
