/* Bound weights -> what stays, in memory; and slots for what does not. */
#include "model/resident.h"

#include <string.h>

#include "kernels/packed.h"
#include "model/experts.h"

/* The matrices of layer i that stay; of one past the last layer: the output. */
static llama4_status load_of(const l4_weights *w, uint32_t i, const l4_archive *archive, l4_load *load, llama4_error *error)
{
    llama4_status status = LLAMA4_OK;
    memset(load, 0, sizeof *load);
    if (i == w->config.layers)
        return l4_load_add(load, archive, &w->output, error);
    const l4_layer *l = &w->layers[i];
    const l4_matrix *const stay[] = {&l->q, &l->k, &l->v, &l->o, &l->ffn.gate, &l->ffn.up, &l->ffn.down, &l->router};
    for (size_t k = 0; k < sizeof stay / sizeof *stay && status == LLAMA4_OK; k++)
        status = l4_load_add(load, archive, stay[k], error);
    return status;
}

static void adopt(l4_weights *w, uint32_t i, const l4_load *load, const uint8_t *memory)
{
    if (i == w->config.layers) {
        w->output = l4_load_matrix(load, &w->output, memory);
        return;
    }
    l4_layer *l = &w->layers[i];
    l4_matrix *const stay[] = {&l->q, &l->k, &l->v, &l->o, &l->ffn.gate, &l->ffn.up, &l->ffn.down, &l->router};
    for (size_t k = 0; k < sizeof stay / sizeof *stay; k++)
        *stay[k] = l4_load_matrix(load, stay[k], memory);
}

static uint64_t not_packed(const l4_load *load)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < load->n_parts; i++)
        bytes += load->parts[i].packed ? 0 : load->parts[i].bytes;
    return bytes;
}

llama4_status l4_weights_measure(const l4_weights *w, const l4_archive *archive, l4_footprint *out, llama4_error *error)
{
    l4_footprint f = {0};
    llama4_status status = l4_experts_measure(w, archive, &f.expert, &f.buffer, error);
    for (uint32_t i = 0; i <= w->config.layers && status == LLAMA4_OK; i++) {
        l4_load load;
        status = load_of(w, i, archive, &load, error);
        f.resident += load.bytes;
        f.in_place += not_packed(&load);
        f.buffer = l4_load_buffer(&load) > f.buffer ? l4_load_buffer(&load) : f.buffer;
        for (uint32_t e = 0; i < w->config.layers && w->layers[i].experts && e < w->config.experts; e++)
            f.experts += f.expert;
    }
    f.in_place += w->embedding.stride * w->embedding.rows;
    f.buffer = f.buffer > w->embedding.stride + 2 * L4_INPUT_ALIGN ? f.buffer : (size_t)w->embedding.stride + 2 * L4_INPUT_ALIGN;
    if (status == LLAMA4_OK)
        *out = f;
    return status;
}

typedef struct reading {
    l4_weights *w;
    const l4_archive *archive;
    l4_budget *budget;
    l4_fetch *fetches; /* [layers + 1] */
    llama4_progress_fn progress;
    void *user;
    float from;
} reading;

/* Puts all that stays into the queue. */
static llama4_status enqueue(reading *r, llama4_error *error)
{
    l4_weights *w = r->w;
    const uint32_t n = w->config.layers + 1;
    llama4_status status = l4_grow(w->allocator, &w->packed, &w->packed_capacity, w->n_packed, w->n_packed + n, sizeof *w->packed, "the weights", error);
    for (uint32_t i = 0; i < n && status == LLAMA4_OK; i++) {
        l4_fetch *f = &r->fetches[i];
        status = load_of(w, i, r->archive, &f->load, error);
        if (status == LLAMA4_OK && !l4_budget_take(r->budget, f->load.bytes))
            status = l4_fail(error, LLAMA4_ERR_MEMORY, "the memory budget does not hold what stays in memory");
        if (status == LLAMA4_OK)
            status = l4_alloc(w->allocator, (size_t)f->load.bytes, 1, "the weights", &f->memory, error);
        if (status)
            break;
        w->packed[w->n_packed++] = f->memory;
        l4_memory_stream(f->memory, (size_t)f->load.bytes);
        if (!f->load.pieces) {
            f->state = L4_FETCH_READY;
            continue;
        }
        l4_disk_lock(w->disk);
        l4_disk_start(w->disk, f, L4_FETCH_URGENT);
        l4_disk_unlock(w->disk);
    }
    return status;
}

static llama4_status await(reading *r, llama4_error *error)
{
    const uint32_t n = r->w->config.layers + 1;
    for (uint32_t i = 0; i < n;) {
        l4_disk_lock(r->w->disk);
        while (i < n && r->fetches[i].state == L4_FETCH_READY)
            i++;
        const int failed = i < n && r->fetches[i].state == L4_FETCH_FAILED;
        if (i < n && !failed)
            l4_disk_wait(r->w->disk);
        l4_disk_unlock(r->w->disk);
        if (failed)
            return l4_fail(error, r->fetches[i].error.status, "%s", r->fetches[i].error.message);
        if (r->progress && r->progress(r->user, r->from + (1.0f - r->from) * (float)i / (float)n))
            return l4_fail(error, LLAMA4_ERR_CANCELLED, "opening was cancelled");
    }
    for (uint32_t i = 0; i < n; i++)
        adopt(r->w, i, &r->fetches[i].load, r->fetches[i].memory);
    return LLAMA4_OK;
}

llama4_status l4_weights_stream(l4_weights *w, const l4_archive *archive, l4_budget *budget, const l4_footprint *footprint, uint32_t slots,
                                llama4_progress_fn progress, void *user, float from, llama4_error *error)
{
    reading r = {w, archive, budget, NULL, progress, user, from};
    llama4_status status = l4_disk_create(w->allocator, archive, footprint->buffer, &w->disk, error);
    if (status == LLAMA4_OK)
        status = l4_alloc_zero(w->allocator, w->config.layers + 1, sizeof *r.fetches, "the weights", &r.fetches, error);
    if (status == LLAMA4_OK)
        status = enqueue(&r, error);
    if (status == LLAMA4_OK)
        status = await(&r, error);
    if (status) { /* nothing may still be reading into what is freed */
        l4_disk_destroy(w->disk);
        w->disk = NULL;
    }
    l4_free(w->allocator, r.fetches);
    if (status == LLAMA4_OK && footprint->expert)
        status = l4_experts_create(w->allocator, budget, w, archive, w->disk, footprint->expert, slots, &w->pool, error);
    return status;
}
