#include "model/pack.h"

#include <string.h>

#include "base/cpu.h"
#include "base/file.h"
#include "base/pool.h"
#include "kernels/kernels.h"

static int ends(const char *name, const char *end)
{
    size_t n = strlen(name), m = strlen(end);
    return n >= m && strcmp(name + n - m, end) == 0;
}

int32_t l4_tensor_path(const l4_tensor *t)
{
    const char *n = t->name;
    if (strncmp(n, "v.", 2) == 0 || strncmp(n, "mm.", 3) == 0 || strncmp(n, "vision_model.", 13) == 0 || strncmp(n, "multi_modal_projector.", 22) == 0 ||
        !l4_kernels_can(t->type))
        return LLAMA4_PATH_UNUSED;
    if (t->n_dims < 2)
        return LLAMA4_PATH_VECTOR;
    if (strcmp(n, "token_embd.weight") == 0 || ends(n, "embed_tokens.weight"))
        return LLAMA4_PATH_ROWS;
    return l4_packed_can(t->type) ? LLAMA4_PATH_INT8 : LLAMA4_PATH_FLOAT;
}

typedef struct job {
    const l4_matrix *from;
    uint8_t *to;
    size_t panel_bytes;
} job;

static void pack_task(void *argument, size_t begin, size_t end, int worker)
{
    const job *j = argument;
    (void)worker;
    for (size_t p = begin; p < end; p++) {
        size_t first = p * L4_PANEL, left = j->from->rows - first;
        l4_panel_pack(j->from->type, j->from->data + first * j->from->stride, (size_t)j->from->stride, left < L4_PANEL ? left : L4_PANEL,
                      j->from->cols, j->to + p * j->panel_bytes);
    }
}

typedef struct packing {
    l4_weights *w;
    const l4_archive *archive;
    l4_pool *pool;
    llama4_progress_fn progress;
    void *user;
    float from;
    double total, done; /* bytes */
} packing;

static int wanted(const l4_matrix *m)
{
    return m->data && m->layout == L4_ROWS && l4_packed_can(m->type);
}

static llama4_status pack(packing *p, l4_matrix *m, llama4_error *error)
{
    if (!wanted(m))
        return LLAMA4_OK;
    l4_weights *w = p->w;
    job j = {.from = m, .panel_bytes = l4_panel_bytes(m->type, m->cols)};
    size_t panels = (m->rows + L4_PANEL - 1) / L4_PANEL, source = (size_t)m->stride * m->rows;
    llama4_status status = l4_grow(w->allocator, &w->packed, &w->packed_capacity, w->n_packed, w->n_packed + 1, sizeof *w->packed, "the weights", error);
    if (status == LLAMA4_OK)
        status = l4_alloc(w->allocator, panels, j.panel_bytes, "the weights", &j.to, error);
    if (status)
        return status;
    l4_memory_stream(j.to, panels * j.panel_bytes);
    l4_pool_run(p->pool, pack_task, &j, panels, 8);
    w->packed[w->n_packed++] = j.to;
    if (m->data != w->embedding.data)
        l4_archive_forget(p->archive, m->data, source);
    m->data = j.to;
    m->stride = j.panel_bytes;
    m->layout = L4_PACKED;
    p->done += (double)source;
    if (p->progress && p->progress(p->user, p->from + (1.0f - p->from) * (float)(p->done / p->total)))
        return l4_fail(error, LLAMA4_ERR_CANCELLED, "opening was cancelled");
    return LLAMA4_OK;
}

static llama4_status pack_ffn(packing *p, l4_ffn *f, llama4_error *error)
{
    llama4_status status = pack(p, &f->gate, error);
    if (status == LLAMA4_OK)
        status = pack(p, &f->up, error);
    return status ? status : pack(p, &f->down, error);
}

static llama4_status pack_all(packing *p, llama4_error *error)
{
    l4_weights *w = p->w;
    llama4_status status = LLAMA4_OK;
    for (uint32_t i = 0; i < w->config.layers && status == LLAMA4_OK; i++) {
        l4_layer *l = &w->layers[i];
        l4_matrix *const attention[] = {&l->q, &l->k, &l->v, &l->o};
        for (size_t k = 0; k < 4 && status == LLAMA4_OK; k++)
            status = pack(p, attention[k], error);
        if (status == LLAMA4_OK)
            status = pack_ffn(p, &l->ffn, error);
        for (uint32_t e = 0; l->experts && e < w->config.experts && status == LLAMA4_OK; e++)
            status = pack_ffn(p, &l->experts[e], error);
    }
    return status ? status : pack(p, &w->output, error);
}

llama4_status l4_weights_pack(l4_weights *w, const l4_archive *archive, llama4_progress_fn progress, void *user, float from, llama4_error *error)
{
    const atomic_int never = 0;
    packing p = {.w = w, .archive = archive, .progress = progress, .user = user, .from = from, .total = 1};
    for (size_t i = 0; i < archive->n_tensors; i++)
        p.total += (double)archive->tensors[i].size;
    int cores = l4_cpu_count();
    llama4_status status = l4_pool_create(w->allocator, cores < L4_MAX_THREADS ? cores : L4_MAX_THREADS, &never, &p.pool, error);
    if (status)
        return status;
    status = pack_all(&p, error);
    l4_pool_destroy(p.pool);
    return status;
}
