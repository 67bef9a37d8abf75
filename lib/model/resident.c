/* Bound weights -> what stays, in memory; and slots for what does not. */
#include "model/resident.h"

#include <string.h>

#include "base/cpu.h"
#include "model/experts.h"

#define NO_EXPERT UINT32_MAX
#define RUN 16 /* pieces: two threads that fill the same large page for the first time both have it cleared, so they keep a few megabytes apart */

llama4_status l4_weights_measure(const l4_weights *w, const l4_archive *archive, l4_footprint *out, llama4_error *error)
{
    l4_footprint f = {0};
    llama4_status status = l4_experts_measure(w, archive, &f.expert, &f.buffer, error);
    for (uint32_t i = 0; i <= w->config.layers && status == LLAMA4_OK; i++) {
        l4_load load = {0};
        status = l4_load_add_layer(&load, archive, w, i, error);
        f.resident += load.bytes;
        f.buffer = l4_load_buffer(&load) > f.buffer ? l4_load_buffer(&load) : f.buffer;
        for (uint32_t e = 0; i < w->config.layers && w->layers[i].experts && e < w->config.experts; e++)
            f.experts += f.expert;
    }
    f.buffer = f.buffer > w->embedding.stride + 2 * L4_INPUT_ALIGN ? f.buffer : (size_t)w->embedding.stride + 2 * L4_INPUT_ALIGN;
    if (status == LLAMA4_OK)
        *out = f;
    return status;
}

/* What comes together: a layer's matrices without its experts, one expert, the output (layer `layers`), or the embedding (one more). */
typedef struct item {
    l4_fetch fetch;
    uint32_t layer, expert;
} item;

typedef struct reading {
    l4_weights *w;
    const l4_archive *archive;
    l4_disk *disk;
    l4_budget *budget; /* or NULL */
    int all;           /* experts and the embedding too */
    item *items;
    uint32_t n;
    const l4_weights_progress *progress;
} reading;

static llama4_status load_of(const reading *r, item *it, llama4_error *error)
{
    const l4_weights *w = r->w;
    it->fetch.load.in_place = r->all;
    if (it->layer > w->config.layers)
        return l4_load_add_rows(&it->fetch.load, r->archive, &w->embedding, error);
    if (it->expert != NO_EXPERT)
        return l4_load_add_ffn(&it->fetch.load, r->archive, &w->layers[it->layer].experts[it->expert], error);
    return l4_load_add_layer(&it->fetch.load, r->archive, w, it->layer, error);
}

static void adopt(const reading *r, const item *it)
{
    l4_weights *w = r->w;
    if (it->layer > w->config.layers)
        w->embedding = l4_load_matrix(&it->fetch.load, &w->embedding, it->fetch.memory);
    else if (it->expert != NO_EXPERT) {
        l4_ffn *f = &w->layers[it->layer].experts[it->expert];
        *f = l4_load_ffn(&it->fetch.load, f, it->fetch.memory);
    } else
        l4_load_layer(&it->fetch.load, w, it->layer, it->fetch.memory);
}

/* In the order in which they are read, which is that of the layers. */
static llama4_status list(reading *r, llama4_error *error)
{
    const l4_weights *w = r->w;
    uint32_t most = w->config.layers + 2;
    for (uint32_t i = 0; i < w->config.layers; i++)
        most += w->layers[i].experts ? w->config.experts : 0;
    llama4_status status = l4_alloc_zero(w->allocator, most, sizeof *r->items, "the weights", &r->items, error);
    if (status)
        return status;
    for (uint32_t i = 0; i <= w->config.layers + (r->all ? 1 : 0); i++) {
        r->items[r->n].layer = i;
        r->items[r->n++].expert = NO_EXPERT;
        for (uint32_t e = 0; r->all && i < w->config.layers && w->layers[i].experts && e < w->config.experts; e++) {
            r->items[r->n].layer = i;
            r->items[r->n++].expert = e;
        }
    }
    return LLAMA4_OK;
}

static llama4_status enqueue(reading *r, llama4_error *error)
{
    l4_weights *w = r->w;
    llama4_status status = l4_grow(w->allocator, &w->packed, &w->packed_capacity, w->n_packed, w->n_packed + r->n, sizeof *w->packed, "the weights", error);
    for (uint32_t i = 0; i < r->n && status == LLAMA4_OK; i++) {
        l4_fetch *f = &r->items[i].fetch;
        status = load_of(r, &r->items[i], error);
        if (status == LLAMA4_OK && !f->load.pieces) {
            f->state = L4_FETCH_READY;
            continue;
        }
        if (status == LLAMA4_OK && r->budget && !l4_budget_take(r->budget, f->load.bytes))
            status = l4_fail(error, LLAMA4_ERR_MEMORY, "the memory budget does not hold what stays in memory");
        if (status == LLAMA4_OK)
            status = l4_alloc(w->allocator, (size_t)f->load.bytes, 1, "the weights", &f->memory, error);
        if (status)
            break;
        w->packed[w->n_packed++] = f->memory;
        l4_memory_large_pages(f->memory, (size_t)f->load.bytes);
        l4_disk_lock(r->disk);
        l4_disk_start(r->disk, f, L4_FETCH_URGENT);
        l4_disk_unlock(r->disk);
    }
    return status;
}

static llama4_status await(const reading *r, llama4_error *error)
{
    const l4_weights_progress *p = r->progress;
    double done = 0, total = 1; /* bytes */
    for (uint32_t i = 0; i < r->n; i++)
        total += (double)r->items[i].fetch.load.source;
    for (uint32_t i = 0; i < r->n;) {
        l4_disk_lock(r->disk);
        while (i < r->n && r->items[i].fetch.state == L4_FETCH_READY)
            done += (double)r->items[i++].fetch.load.source;
        const int failed = i < r->n && r->items[i].fetch.state == L4_FETCH_FAILED;
        if (i < r->n && !failed)
            l4_disk_wait(r->disk);
        l4_disk_unlock(r->disk);
        if (failed)
            return l4_fail(error, r->items[i].fetch.error.status, "%s", r->items[i].fetch.error.message);
        if (p->fn && p->fn(p->user, p->from + (1.0f - p->from) * (float)(done / total)))
            return l4_fail(error, LLAMA4_ERR_CANCELLED, "opening was cancelled");
    }
    return LLAMA4_OK;
}

/* r->disk is the caller's. If this fails, it may still be reading into the weights' memory until it is destroyed. */
static llama4_status bring(reading *r, llama4_error *error)
{
    llama4_status status = list(r, error);
    if (status == LLAMA4_OK)
        status = enqueue(r, error);
    if (status == LLAMA4_OK)
        status = await(r, error);
    for (uint32_t i = 0; status == LLAMA4_OK && i < r->n; i++)
        adopt(r, &r->items[i]);
    return status;
}

llama4_status l4_weights_load(l4_weights *w, const l4_archive *archive, const l4_footprint *footprint, int cached, const l4_weights_progress *progress,
                              llama4_error *error)
{
    reading r = {.w = w, .archive = archive, .all = 1, .progress = progress};
    l4_disk_how how = {(size_t)l4_cpu_count(), footprint->buffer, RUN, cached};
    const uint64_t busy = 1 + (footprint->resident + footprint->experts) / (RUN * L4_LOAD_PIECE); /* a small model shall not take more for buffers */
    if (!cached && how.threads < L4_DISK_THREADS)
        how.threads = L4_DISK_THREADS;
    how.threads = how.threads < L4_DISK_MOST_THREADS ? how.threads : L4_DISK_MOST_THREADS;
    how.threads = how.threads < busy ? how.threads : (size_t)busy;
    llama4_status status = l4_disk_create(w->allocator, archive, &how, &r.disk, error);
    if (status == LLAMA4_OK)
        status = bring(&r, error);
    l4_disk_destroy(r.disk);
    l4_free(w->allocator, r.items);
    return status;
}

llama4_status l4_weights_stream(l4_weights *w, const l4_archive *archive, l4_budget *budget, const l4_footprint *footprint, uint32_t slots,
                                const l4_weights_progress *progress, llama4_error *error)
{
    reading r = {.w = w, .archive = archive, .budget = budget, .progress = progress};
    const l4_disk_how how = {L4_DISK_THREADS, footprint->buffer, 1, 0};
    llama4_status status = l4_disk_create(w->allocator, archive, &how, &r.disk, error);
    if (status == LLAMA4_OK)
        status = bring(&r, error);
    if (status)
        l4_disk_destroy(r.disk);
    else
        w->disk = r.disk;
    l4_free(w->allocator, r.items);
    if (status == LLAMA4_OK && footprint->expert)
        status = l4_experts_create(w->allocator, budget, w, archive, w->disk, footprint->expert, slots, &w->pool, error);
    return status;
}
