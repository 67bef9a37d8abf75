/* A queue of loads -> reader threads -> memory. */
#include "model/disk.h"

#include <string.h>

#define LOOK_MS 10
#define GUESSED_PIECES 2 /* of a guess under way together */

/* Small pieces that a call waits for. Readers do not touch its memory once it is abandoned. */
typedef struct gathering {
    const uint8_t *const *places;
    uint8_t *out;
    size_t n, size, claimed, active;
    int abandoned;
    llama4_error error;
    struct gathering *next;
} gathering;

struct l4_disk {
    const l4_allocator *allocator;
    const l4_archive *archive;
    l4_crew *crew;
    l4_input *inputs;    /* one for each file */
    uint8_t *buffers[L4_DISK_MOST_THREADS], *buffer_memory;
    l4_fetch *first;     /* the queue: what has pieces to begin or under way, in order of l4_disk_start */
    struct {
        const l4_fetch *fetch;
        uint32_t piece;
    } busy[L4_DISK_MOST_THREADS]; /* what each reader is at */
    gathering *gatherings;
    uint32_t run;          /* pieces that a reader takes together */
    atomic_int closing;    /* readers leave the rest of theirs */
    uint64_t bytes;
    double seconds, since; /* since: when the queue last became non-empty */
    int awaiting;          /* threads in l4_disk_await */
    double awaited, awaiting_since;
};

/* The most hasty, and of those the one that was started first. */
static l4_fetch *next_piece(const l4_disk *r)
{
    l4_fetch *best = NULL;
    for (l4_fetch *f = r->first; f && !(best && best->haste == L4_FETCH_URGENT); f = f->next)
        if (f->claimed < f->load.pieces && (f->haste != L4_FETCH_GUESS || f->active < GUESSED_PIECES) && (!best || f->haste > best->haste))
            best = f;
    return best;
}

static void leave(l4_disk *r, const l4_fetch *f)
{
    l4_fetch **at = &r->first;
    while (*at != f)
        at = &(*at)->next;
    *at = f->next;
    if (!r->first)
        r->seconds += l4_clock() - r->since;
}

static int gather_step(l4_disk *r, int worker)
{
    gathering *g = r->gatherings;
    while (g && g->claimed == g->n)
        g = g->next;
    if (!g)
        return 0;
    const size_t i = g->claimed++, size = g->size;
    const uint8_t *place = g->places[i], *data;
    llama4_error error = LLAMA4_ERROR_INIT;
    g->active++;
    l4_crew_unlock(r->crew);
    const llama4_status status = l4_archive_read(r->archive, r->inputs, place, size, r->buffers[worker], &data, &error);
    l4_crew_lock(r->crew);
    g->active--;
    if (!g->abandoned && status == LLAMA4_OK)
        memcpy(g->out + i * size, data, size);
    if (status && g->error.status == LLAMA4_OK)
        g->error = error;
    if (g->error.status)
        g->claimed = g->n;
    if (g->active == 0 && g->claimed == g->n)
        l4_crew_tell(r->crew);
    return 1;
}

/* Frees what nobody reads for any more; by a thread that is inside a call, never by a reader. */
static void bury(l4_disk *r)
{
    for (gathering **at = &r->gatherings; *at;) {
        gathering *g = *at;
        if (g->abandoned && g->active == 0) {
            *at = g->next;
            l4_free(r->allocator, g);
        } else
            at = &g->next;
    }
}

/* Pieces begin in order, but end in any. */
static void count_arrived(const l4_disk *r, l4_fetch *f)
{
    uint32_t arrived = f->claimed;
    for (size_t i = 0; i < L4_DISK_MOST_THREADS; i++)
        if (r->busy[i].fetch == f && r->busy[i].piece < arrived)
            arrived = r->busy[i].piece;
    atomic_store_explicit(&f->arrived, arrived, memory_order_release);
}

static int step(void *user, int worker)
{
    l4_disk *r = user;
    if (gather_step(r, worker))
        return 1;
    l4_fetch *f = next_piece(r);
    if (!f)
        return 0;
    const uint32_t piece = f->claimed, left = f->load.pieces - piece, n = left < r->run ? left : r->run;
    uint64_t read = 0;
    llama4_status status = LLAMA4_OK;
    llama4_error error = LLAMA4_ERROR_INIT;
    f->claimed += n;
    f->active++;
    r->busy[worker].fetch = f;
    r->busy[worker].piece = piece;
    l4_crew_unlock(r->crew);
    for (uint32_t i = 0; i < n && status == LLAMA4_OK && !atomic_load_explicit(&r->closing, memory_order_relaxed); i++)
        status = l4_load_piece(&f->load, r->inputs, piece + i, f->memory, r->buffers[worker], &read, &error);
    l4_crew_lock(r->crew);
    r->bytes += read;
    r->busy[worker].fetch = NULL;
    f->active--;
    if (status && f->error.status == LLAMA4_OK) {
        f->error = error;
        f->claimed = f->load.pieces; /* the rest is of no use */
    }
    if (f->error.status == LLAMA4_OK)
        count_arrived(r, f);
    if (f->active == 0 && f->claimed == f->load.pieces) {
        leave(r, f);
        f->state = f->error.status ? L4_FETCH_FAILED : L4_FETCH_READY;
        l4_crew_tell(r->crew);
    } else if (r->awaiting)
        l4_crew_tell(r->crew);
    return 1;
}

llama4_status l4_disk_create(const l4_allocator *a, const l4_archive *archive, const l4_disk_how *how, l4_disk **out, llama4_error *error)
{
    l4_disk *r;
    const size_t each = (how->buffer + L4_INPUT_ALIGN - 1) / L4_INPUT_ALIGN * L4_INPUT_ALIGN;
    llama4_status status = l4_alloc_zero(a, 1, sizeof *r, "the reader", &r, error);
    if (status)
        return status;
    r->allocator = a;
    r->archive = archive;
    r->run = how->run;
    atomic_init(&r->closing, 0);
    status = l4_archive_open_inputs(archive, a, how->cached, &r->inputs, error);
    if (status == LLAMA4_OK)
        status = l4_alloc(a, how->threads * each + L4_INPUT_ALIGN, 1, "reading", &r->buffer_memory, error);
    if (status == LLAMA4_OK) {
        uint8_t *aligned = r->buffer_memory + (L4_INPUT_ALIGN - (uintptr_t)r->buffer_memory % L4_INPUT_ALIGN) % L4_INPUT_ALIGN;
        for (size_t i = 0; i < how->threads; i++)
            r->buffers[i] = aligned + i * each;
        status = l4_crew_create(a, (int)how->threads, step, r, &r->crew, error);
    }
    if (status)
        l4_disk_destroy(r);
    else
        *out = r;
    return status;
}

void l4_disk_destroy(l4_disk *r)
{
    if (!r)
        return;
    atomic_store(&r->closing, 1);
    l4_crew_destroy(r->crew);
    bury(r);
    l4_archive_close_inputs(r->archive, r->allocator, r->inputs);
    l4_free(r->allocator, r->buffer_memory);
    l4_free(r->allocator, r);
}

void l4_disk_lock(l4_disk *r)
{
    l4_crew_lock(r->crew);
}

void l4_disk_unlock(l4_disk *r)
{
    l4_crew_unlock(r->crew);
}

void l4_disk_wait(l4_disk *r)
{
    l4_crew_wait(r->crew, LOOK_MS);
}

void l4_disk_tell(l4_disk *r)
{
    l4_crew_tell(r->crew);
}

void l4_disk_start(l4_disk *r, l4_fetch *f, l4_fetch_haste haste)
{
    l4_fetch **at = &r->first;
    if (!r->first)
        r->since = l4_clock();
    while (*at)
        at = &(*at)->next;
    *at = f;
    f->next = NULL;
    f->state = L4_FETCH_QUEUED;
    f->haste = haste;
    f->claimed = f->active = 0;
    atomic_store_explicit(&f->arrived, 0, memory_order_relaxed);
    f->error = (llama4_error)LLAMA4_ERROR_INIT;
    l4_crew_call(r->crew);
}

void l4_disk_hurry(l4_disk *r, l4_fetch *f)
{
    f->haste = L4_FETCH_URGENT;
    l4_crew_call(r->crew);
}

int l4_disk_drop(l4_disk *r, l4_fetch *f)
{
    if (f->state != L4_FETCH_QUEUED || f->claimed)
        return 0;
    leave(r, f);
    f->state = L4_FETCH_IDLE;
    return 1;
}

void l4_disk_abort(l4_disk *r, l4_fetch *f)
{
    if (f->state != L4_FETCH_QUEUED || l4_disk_drop(r, f))
        return;
    l4_fail(&f->error, LLAMA4_ERR_CANCELLED, "no longer wanted");
    f->claimed = f->load.pieces;
    if (f->active == 0) {
        leave(r, f);
        f->state = L4_FETCH_FAILED;
    }
}

l4_disk_totals l4_disk_count(const l4_disk *r)
{
    int direct = 1;
    for (size_t i = 0; i < r->archive->n_files; i++)
        direct &= l4_input_is_direct(&r->inputs[i]);
    return (l4_disk_totals){r->bytes, r->seconds + (r->first ? l4_clock() - r->since : 0),
                            r->awaited + (r->awaiting ? l4_clock() - r->awaiting_since : 0), direct};
}

int l4_disk_await(l4_disk *r, l4_fetch *f, uint32_t pieces, const atomic_int *cancel)
{
    if (atomic_load_explicit(&f->arrived, memory_order_acquire) >= pieces)
        return 1;
    l4_crew_lock(r->crew);
    if (r->awaiting++ == 0)
        r->awaiting_since = l4_clock();
    while (f->state == L4_FETCH_QUEUED && atomic_load_explicit(&f->arrived, memory_order_relaxed) < pieces && !atomic_load(cancel))
        l4_disk_wait(r);
    if (--r->awaiting == 0)
        r->awaited += l4_clock() - r->awaiting_since;
    const int came = atomic_load_explicit(&f->arrived, memory_order_relaxed) >= pieces;
    l4_crew_unlock(r->crew);
    return came;
}

llama4_status l4_disk_gather(l4_disk *r, const uint8_t *const *places, size_t n, size_t size, uint8_t *out, const atomic_int *cancel,
                             llama4_error *error)
{
    gathering *g;
    llama4_status status = n ? l4_alloc_zero(r->allocator, 1, sizeof *g, "reading", &g, error) : LLAMA4_OK;
    if (status || !n)
        return status;
    *g = (gathering){.places = places, .n = n, .size = size, .out = out, .error = LLAMA4_ERROR_INIT};
    l4_crew_lock(r->crew);
    g->next = r->gatherings;
    r->gatherings = g;
    l4_crew_call(r->crew);
    while ((g->claimed < n || g->active) && !atomic_load(cancel))
        l4_disk_wait(r);
    if (g->claimed < n || g->active)
        status = l4_fail(error, LLAMA4_ERR_CANCELLED, "cancelled while the embedding was read");
    else if (g->error.status)
        status = l4_fail(error, g->error.status, "%s", g->error.message);
    g->abandoned = 1;
    g->claimed = n;
    bury(r);
    l4_crew_unlock(r->crew);
    return status;
}
