/* A few tiles at a time go through all layers together. Every step either maps groups of twelve tokens to groups (norms, GELU, the pixel shuffle),
 * or is a product (nn/dense.h), or attention (vision/attention.h). The order: patches, then for each layer a norm, q, k and v, attention, o, a
 * norm, up, GELU, down; at the end a norm, the pixel shuffle and three more products. */
#include "vision/encoder.h"

#include <string.h>

#include "nn/dense.h"
#include "vision/attention.h"
#include "vision/reader.h"

#define BATCH_BYTES ((size_t)160 << 20) /* of intermediate results, unless one tile alone needs more */

typedef struct encoder {
    const l4_vision_job *job;
    const l4_vision_config *c;
    l4_exec exec;
    l4_vision_reader reader;
    const l4_dense_source *source; /* of the weights: the reader, or NULL */
    size_t side, patches, positions, per_tile; /* patches: of a tile; positions: with the class token; per_tile: embeddings */
    size_t tiles, tokens;                      /* of the batch */
    size_t first;                              /* tile of the batch */
    float *memory;
    float *x;      /* [tokens][width]: the residual stream */
    float *y;      /* [tokens][width]: what a block adds to it */
    float *wide;   /* [tokens][...]: q, k and v, or the hidden layer */
    float *groups; /* inputs of the next product */
    float *cosine, *sine; /* [positions][head / 2] */
    float colour[3][256]; /* normalised */
} encoder;

static size_t max_size(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* ---- Groups of tokens: what a product reads ---- */

typedef struct grouping {
    const encoder *e;
    size_t tokens, cols;
    const float *const *norm; /* weight and bias, or NULL */
    const float *add;         /* to the residual stream before the norm, or NULL */
    float *x;                 /* [tokens][cols], of which the function may make what it likes */
} grouping;

static size_t group_begin(const grouping *g, size_t group, size_t *n)
{
    size_t first = group * L4_DENSE_TOKENS;
    *n = g->tokens - first < L4_DENSE_TOKENS ? g->tokens - first : L4_DENSE_TOKENS;
    return first;
}

static float *scratch_of(const encoder *e, int worker)
{
    return e->exec.scratch + (size_t)worker * e->exec.scratch_size;
}

static void run_groups(const encoder *e, l4_task_fn fn, grouping *g)
{
    l4_pool_run(e->exec.pool, fn, g, l4_dense_groups(g->tokens), 1);
}

/* Pixels of patches: channel by channel, row by row. */
static void patch_task(void *argument, size_t begin, size_t end, int worker)
{
    const grouping *g = argument;
    const encoder *e = g->e;
    const size_t tile = e->c->tile, patch = e->c->patch, plane = patch * patch;
    float *rows = scratch_of(e, worker);
    for (size_t group = begin; group < end; group++) {
        size_t n, first = group_begin(g, group, &n);
        for (size_t i = 0; i < n; i++) {
            size_t t = e->first + (first + i) / e->patches, p = (first + i) % e->patches, y0 = p / e->side * patch, x0 = p % e->side * patch;
            float *row = rows + i * g->cols;
            for (size_t c = 0; c < 3; c++)
                for (size_t y = 0; y < patch; y++, row += patch)
                    if (e->job->numbers)
                        memcpy(row, e->job->numbers + ((t * 3 + c) * tile + y0 + y) * tile + x0, patch * sizeof *row);
                    else
                        for (size_t x = 0; x < patch; x++)
                            row[x] = e->colour[c][e->job->bytes[((t * tile + y0 + y) * tile + x0 + x) * 3 + c]];
        }
        e->exec.kernels->dense.group(rows, g->cols, n, 3 * plane, e->groups + first * g->cols);
    }
}

/* The residual stream, after adding to it, normalised. */
static void norm_task(void *argument, size_t begin, size_t end, int worker)
{
    const grouping *g = argument;
    const encoder *e = g->e;
    float *rows = scratch_of(e, worker);
    for (size_t group = begin; group < end; group++) {
        size_t n, first = group_begin(g, group, &n);
        for (size_t i = 0; i < n; i++) {
            float *x = g->x + (first + i) * g->cols;
            if (g->add)
                e->exec.kernels->add(x, g->add + (first + i) * g->cols, g->cols);
            e->exec.kernels->dense.layer_norm(x, g->norm[0], g->norm[1], e->c->epsilon, rows + i * g->cols, g->cols);
        }
        e->exec.kernels->dense.group(rows, g->cols, n, g->cols, e->groups + first * g->cols);
    }
}

static void gelu_task(void *argument, size_t begin, size_t end, int worker)
{
    const grouping *g = argument;
    const encoder *e = g->e;
    (void)worker;
    for (size_t group = begin; group < end; group++) {
        size_t n, first = group_begin(g, group, &n);
        e->exec.kernels->dense.gelu(g->x + first * g->cols, n * g->cols);
        e->exec.kernels->dense.group(g->x + first * g->cols, g->cols, n, g->cols, e->groups + first * g->cols);
    }
}

/* Attention's results lie where the queries were, every third part of a row. */
static void plain_task(void *argument, size_t begin, size_t end, int worker)
{
    const grouping *g = argument;
    const encoder *e = g->e;
    (void)worker;
    for (size_t group = begin; group < end; group++) {
        size_t n, first = group_begin(g, group, &n);
        e->exec.kernels->dense.group(g->x + first * 3 * g->cols, 3 * g->cols, n, g->cols, e->groups + first * g->cols);
    }
}

/* The last norm; then shuffle x shuffle neighbours become one token, and the class token is gone. */
static void shuffle_task(void *argument, size_t begin, size_t end, int worker)
{
    const grouping *g = argument;
    const encoder *e = g->e;
    const size_t s = e->c->shuffle, width = e->c->width, across = e->side / s;
    float *rows = scratch_of(e, worker);
    for (size_t group = begin; group < end; group++) {
        size_t n, first = group_begin(g, group, &n);
        for (size_t i = 0; i < n; i++) {
            size_t t = (first + i) / e->per_tile, j = (first + i) % e->per_tile;
            for (size_t k = 0; k < s * s; k++) {
                size_t at = t * e->positions + (j / across * s + k / s) * e->side + j % across * s + k % s;
                e->exec.kernels->add(g->x + at * width, g->add + at * width, width);
                e->exec.kernels->dense.layer_norm(g->x + at * width, g->norm[0], g->norm[1], e->c->epsilon, rows + i * g->cols + k * width, width);
            }
        }
        e->exec.kernels->dense.group(rows, g->cols, n, g->cols, e->groups + first * g->cols);
    }
}

/* ---- Steps ---- */

/* Patches in y, class tokens, and positions: normalised, the beginning of the residual stream. */
static void position_task(void *argument, size_t begin, size_t end, int worker)
{
    const encoder *e = argument;
    const size_t width = e->c->width;
    (void)worker;
    for (size_t t = begin; t < end; t++) {
        size_t tile = t / e->positions, p = t % e->positions;
        float *x = e->x + t * width;
        memcpy(x, p < e->patches ? e->y + (tile * e->patches + p) * width : e->job->weights->class_token, width * sizeof *x);
        e->exec.kernels->add(x, e->job->weights->position + p * width, width);
        e->exec.kernels->dense.layer_norm(x, e->job->weights->pre[0], e->job->weights->pre[1], e->c->epsilon, x, width);
    }
}

static void embed(encoder *e)
{
    const l4_matrix *w = &e->job->weights->patch;
    grouping g = {.e = e, .tokens = e->tiles * e->patches, .cols = w->cols};
    run_groups(e, patch_task, &g);
    const l4_dense_product patches = {w, NULL, e->groups, g.tokens, e->y, e->c->width};
    l4_dense(&e->exec, e->source, &patches, 1);
    l4_pool_run(e->exec.pool, position_task, e, e->tokens, 16);
}

static void one_layer(encoder *e, const l4_vision_layer *l, int first)
{
    const size_t width = e->c->width, ff = e->c->ff, wide = 3 * width;
    grouping g = {.e = e, .tokens = e->tokens, .cols = width, .norm = l->ln1, .add = first ? NULL : e->y, .x = e->x};
    run_groups(e, norm_task, &g);
    const l4_dense_product qkv[] = {
        {&l->q, l->qb, e->groups, e->tokens, e->wide, wide},
        {&l->k, l->kb, e->groups, e->tokens, e->wide + width, wide},
        {&l->v, l->vb, e->groups, e->tokens, e->wide + 2 * width, wide},
    };
    l4_dense(&e->exec, e->source, qkv, 3);
    const l4_vision_attention_args args = {e->tiles, e->positions, e->c->heads, width / e->c->heads, e->cosine, e->sine, e->wide};
    l4_vision_attention(&e->exec, &args);
    g.x = e->wide;
    run_groups(e, plain_task, &g);
    const l4_dense_product o = {&l->o, l->ob, e->groups, e->tokens, e->y, width};
    l4_dense(&e->exec, e->source, &o, 1);

    g.x = e->x;
    g.norm = l->ln2;
    g.add = e->y;
    run_groups(e, norm_task, &g);
    const l4_dense_product up = {&l->up, l->upb, e->groups, e->tokens, e->wide, ff};
    l4_dense(&e->exec, e->source, &up, 1);
    grouping h = {.e = e, .tokens = e->tokens, .cols = ff, .x = e->wide};
    run_groups(e, gelu_task, &h);
    const l4_dense_product down = {&l->down, l->downb, e->groups, e->tokens, e->y, width};
    l4_dense(&e->exec, e->source, &down, 1);
}

static void adapt(encoder *e, float *out)
{
    const l4_vision *w = e->job->weights;
    const size_t tokens = e->tiles * e->per_tile;
    grouping g = {.e = e, .tokens = tokens, .cols = w->fc1.cols, .norm = w->post, .add = e->y, .x = e->x};
    run_groups(e, shuffle_task, &g);
    const l4_dense_product fc1 = {&w->fc1, NULL, e->groups, tokens, e->wide, w->fc1.rows};
    l4_dense(&e->exec, e->source, &fc1, 1);
    grouping h = {.e = e, .tokens = tokens, .cols = w->fc1.rows, .x = e->wide};
    run_groups(e, gelu_task, &h);
    const l4_dense_product fc2 = {&w->fc2, NULL, e->groups, tokens, e->wide, w->fc2.rows};
    l4_dense(&e->exec, e->source, &fc2, 1);
    h.cols = w->fc2.rows; /* GELU behind the second product, too */
    run_groups(e, gelu_task, &h);
    const l4_dense_product projector = {&w->projector, NULL, e->groups, tokens, out, e->c->embedding};
    l4_dense(&e->exec, e->source, &projector, 1);
}

/* ---- Memory ---- */

/* Cuts `count` floats from the arena, or only counts them while memory is NULL. */
static float *cut(encoder *e, size_t *used, size_t count)
{
    float *p = e->memory ? e->memory + *used : NULL;
    *used += (count + 15) / 16 * 16;
    return p;
}

/* Lays out intermediate results of `tiles` tiles; returns floats. The numbers stay far below 2^64: see l4_vision_config_check. */
static size_t lay_out(encoder *e, size_t tiles)
{
    const l4_vision *w = e->job->weights;
    const size_t tokens = tiles * e->positions, few = tiles * e->per_tile, width = e->c->width, ff = e->c->ff;
    size_t used = 0;
    e->x = cut(e, &used, tokens * width);
    e->y = cut(e, &used, tokens * width);
    e->wide = cut(e, &used, max_size(tokens * max_size(3 * width, ff), few * max_size(w->fc1.rows, w->fc2.rows)));
    e->groups = cut(e, &used, max_size(l4_dense_floats(tokens, max_size(max_size(width, ff), w->patch.cols)),
                                       l4_dense_floats(few, max_size(max_size(w->fc1.cols, w->fc1.rows), w->fc2.rows))));
    return used;
}

static llama4_status prepare(encoder *e, size_t *batch, llama4_error *error)
{
    const l4_vision *w = e->job->weights;
    const size_t half = e->c->width / e->c->heads / 2, table = (e->positions * half + 15) / 16 * 16, threads = (size_t)l4_pool_threads(e->exec.pool);
    const size_t rows = L4_DENSE_TOKENS * max_size(max_size(w->patch.cols, w->fc1.cols), e->c->width);
    size_t scratch = max_size(max_size(l4_dense_scratch(e->source ? l4_vision_reader_stride(w) : 0), rows), l4_vision_attention_scratch(e->positions, 2 * half));
    scratch = (scratch + 15) / 16 * 16;
    size_t fixed = 2 * table + threads * scratch, one = lay_out(e, 1), fit = BATCH_BYTES / sizeof(float) / one;
    fit = fit ? fit : 1;
    size_t batches = (e->job->tiles + fit - 1) / fit; /* all about as large */
    *batch = (e->job->tiles + batches - 1) / batches;
    size_t floats = lay_out(e, *batch);
    llama4_status status = l4_alloc(e->job->allocator, floats + fixed, sizeof(float), "the picture encoder", &e->memory, error);
    if (status)
        return status;
    e->cosine = e->memory + floats;
    e->sine = e->cosine + table;
    e->exec.scratch = e->sine + table;
    e->exec.scratch_size = scratch;
    l4_vision_angles(e->side, half, e->c->rope_base, e->cosine, e->sine);
    for (int c = 0; c < 3; c++)
        for (int i = 0; i < 256; i++)
            e->colour[c][i] = ((float)i / 255.0f - e->c->mean[c]) / e->c->std[c];
    return LLAMA4_OK;
}

/* ---- The whole ---- */

static llama4_status report(const encoder *e, size_t step, llama4_error *error)
{
    const l4_vision_job *j = e->job;
    const llama4_status status = l4_vision_reader_failed(&e->reader, error);
    if (status)
        return status;
    const double steps = (double)e->c->layers + 1;
    double done = ((double)e->first + (double)e->tiles * (double)step / steps) / (double)j->tiles;
    if (atomic_load_explicit(j->cancel, memory_order_relaxed) || (j->progress && j->progress(j->progress_user, (float)(j->start + j->share * done))))
        return l4_fail(error, LLAMA4_ERR_CANCELLED, "cancelled while a picture was encoded, at tile %zu of %u", e->first + 1, (unsigned)j->tiles);
    return LLAMA4_OK;
}

static llama4_status run_batch(encoder *e, float *out, llama4_error *error)
{
    lay_out(e, e->tiles);
    e->tokens = e->tiles * e->positions;
    embed(e);
    llama4_status status = LLAMA4_OK;
    for (uint32_t i = 0; i < e->c->layers && status == LLAMA4_OK; i++) {
        one_layer(e, &e->job->weights->layers[i], i == 0);
        status = report(e, i + 1, error);
    }
    if (status)
        return status;
    adapt(e, out);
    return report(e, e->c->layers + 1, error);
}

llama4_status l4_vision_encode(const l4_vision_job *job, float *out, llama4_error *error)
{
    const l4_vision_config *c = &job->weights->config;
    encoder e = {.job = job, .c = c, .side = l4_vision_side(c), .per_tile = l4_vision_tokens(c)};
    size_t batch;
    e.patches = e.side * e.side;
    e.positions = e.patches + 1;
    e.exec.kernels = job->kernels;
    e.exec.pool = job->pool;
    l4_vision_reader_init(&e.reader, job->archive, job->inputs);
    e.source = job->archive ? &e.reader.source : NULL;
    llama4_status status = prepare(&e, &batch, error);
    for (e.first = 0; status == LLAMA4_OK && e.first < job->tiles; e.first += e.tiles) {
        e.tiles = job->tiles - e.first < batch ? job->tiles - e.first : batch;
        status = run_batch(&e, out + e.first * e.per_tile * c->embedding, error);
    }
    l4_free(job->allocator, e.memory);
    return status;
}
