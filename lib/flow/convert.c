/* A model that l4_model_open accepts in, one GGUF v3 file out. The list of tensors is walked twice: to describe them in the head, then to write their
 * data a few rows at a time, so that memory stays bounded whatever the model's size. Keys come from convert_keys.c. */
#include "flow/convert.h"

#include <stdio.h>
#include <string.h>

#include "base/cpu.h"
#include "base/half.h"
#include "base/pool.h"
#include "flow/convert_types.h"
#include "format/types.h"
#include "kernels/encode.h"
#include "kernels/quantize.h"

#define MAX_ROWS 64             /* that a column walk reads together: two cache lines of bf16 */
#define BUFFER_FLOATS (1 << 19) /* of decoded rows, unless one row alone is longer */
#define COPY_BYTES (4 << 20)    /* between two looks at the progress callback */

/* One tensor to be written. */
typedef struct item {
    char name[64];
    const float *vector;     /* [matrix.cols]; or NULL: */
    const l4_matrix *matrix; /* the first of `count`, `step` apart */
    uint32_t count;
    size_t step;
    uint32_t rows, cols;
    int stack;               /* a third dimension, even of 1 */
    int exact;               /* float32, whatever the type asked for */
} item;

typedef struct job {
    const llama4_model *model;
    const llama4_convert_params *params;
    l4_type_plan plan;
    l4_pool *pool;
    l4_gguf_builder builder;
    l4_writer writer;
    l4_convert_summary summary;
    uint64_t weights[3];      /* so far, of the types below */
    uint32_t types[3];
    float *rows;              /* decoded */
    uint8_t *encoded;
    size_t buffer_floats;
    uint64_t done, shown;     /* bytes of data written, and when the callback last heard of it */
} job;

static const l4_matrix *matrix_at(const item *it, uint32_t i)
{
    return (const l4_matrix *)(const void *)((const char *)it->matrix + i * it->step);
}

static uint32_t output_type(const job *j, const item *it)
{
    if (it->vector || it->exact)
        return LLAMA4_TYPE_F32;
    if (j->plan.given)
        return l4_type_plan_for(&j->plan, it->name, j->model->config.layers, it->cols);
    for (uint32_t i = 1; i < it->count; i++)
        if (matrix_at(it, i)->type != it->matrix->type)
            return LLAMA4_TYPE_F32;
    return it->matrix->type;
}

/* ---- The list of tensors ---- */

typedef llama4_status (*visitor)(job *j, const item *it, llama4_error *error);

static llama4_status visit_vector(job *j, visitor visit, const char *name, const float *vector, uint32_t n, llama4_error *error)
{
    item it = {.vector = vector, .count = 1, .rows = 1, .cols = n};
    snprintf(it.name, sizeof it.name, "%s.weight", name);
    return visit(j, &it, error);
}

static llama4_status visit_matrices(job *j, visitor visit, const char *name, const l4_matrix *m, uint32_t count, int stack, llama4_error *error)
{
    item it = {.matrix = m, .count = count, .step = sizeof(l4_ffn), .rows = m->rows, .cols = m->cols, .stack = stack};
    snprintf(it.name, sizeof it.name, "%s.weight", name);
    return visit(j, &it, error);
}

static llama4_status visit_ffn(job *j, visitor visit, uint32_t layer, const char *suffix, const l4_ffn *f, uint32_t count, int stack,
                               llama4_error *error)
{
    static const char *const names[] = {"gate", "up", "down"};
    const l4_matrix *parts[] = {&f->gate, &f->up, &f->down};
    llama4_status status = LLAMA4_OK;
    for (int i = 0; status == LLAMA4_OK && i < 3; i++) {
        char name[48];
        snprintf(name, sizeof name, "blk.%u.ffn_%s%s", (unsigned)layer, names[i], suffix);
        status = visit_matrices(j, visit, name, parts[i], count, stack, error);
    }
    return status;
}

static llama4_status visit_layer(job *j, visitor visit, uint32_t i, llama4_error *error)
{
    const l4_config *c = &j->model->config;
    const l4_layer *l = &j->model->weights.layers[i];
    const l4_matrix *attention[] = {&l->q, &l->k, &l->v, &l->o};
    static const char *const names[] = {"attn_q", "attn_k", "attn_v", "attn_output"};
    char name[48];
    snprintf(name, sizeof name, "blk.%u.attn_norm", (unsigned)i);
    llama4_status status = visit_vector(j, visit, name, l->attn_norm, c->width, error);
    for (int k = 0; status == LLAMA4_OK && k < 4; k++) {
        snprintf(name, sizeof name, "blk.%u.%s", (unsigned)i, names[k]);
        status = visit_matrices(j, visit, name, attention[k], 1, 0, error);
    }
    snprintf(name, sizeof name, "blk.%u.ffn_norm", (unsigned)i);
    if (status == LLAMA4_OK)
        status = visit_vector(j, visit, name, l->ffn_norm, c->width, error);
    if (status || !c->layer[i].moe)
        return status ? status : visit_ffn(j, visit, i, "", &l->ffn, 1, 0, error);
    item router = {.matrix = &l->router, .count = 1, .rows = l->router.rows, .cols = l->router.cols, .exact = 1};
    snprintf(router.name, sizeof router.name, "blk.%u.ffn_gate_inp.weight", (unsigned)i);
    status = visit(j, &router, error);
    if (status == LLAMA4_OK)
        status = visit_ffn(j, visit, i, "_shexp", &l->ffn, 1, 0, error);
    return status ? status : visit_ffn(j, visit, i, "_exps", l->experts, c->experts, 1, error);
}

/* Hands every tensor to `visit`, in the order of the file. */
static llama4_status visit_all(job *j, visitor visit, llama4_error *error)
{
    const l4_weights *w = &j->model->weights;
    const l4_config *c = &j->model->config;
    int scaled = 0;
    for (uint32_t i = 0; i < c->head_dim / 2; i++)
        scaled |= w->rope_divisor[i] != 1.0f;
    llama4_status status = visit_matrices(j, visit, "token_embd", &w->embedding, 1, 0, error);
    if (status == LLAMA4_OK)
        status = visit_vector(j, visit, "output_norm", w->output_norm, c->width, error);
    if (status == LLAMA4_OK && w->output.data != w->embedding.data) /* otherwise tied: readers fall back to the embedding */
        status = visit_matrices(j, visit, "output", &w->output, 1, 0, error);
    if (status == LLAMA4_OK && scaled)
        status = visit_vector(j, visit, "rope_freqs", w->rope_divisor, c->head_dim / 2, error);
    for (uint32_t i = 0; status == LLAMA4_OK && i < c->layers; i++)
        status = visit_layer(j, visit, i, error);
    return status;
}

/* ---- First walk: descriptions ---- */

static void count_weights(job *j, const item *it, uint32_t type)
{
    uint64_t n = (uint64_t)it->rows * it->cols;
    *(it->stack ? &j->summary.experts : &j->summary.shared) += n;
    if (it->vector || it->exact)
        return;
    int k = 0; /* at most three types matter; a fourth counts as the last */
    while (k < 2 && j->weights[k] && j->types[k] != type)
        k++;
    j->types[k] = type;
    j->weights[k] += n * it->count;
}

static llama4_status describe(job *j, const item *it, llama4_error *error)
{
    uint64_t dims[3] = {it->cols, it->rows, it->count};
    uint32_t type = output_type(j, it);
    count_weights(j, it, type);
    if (it->cols > j->buffer_floats)
        j->buffer_floats = it->cols;
    return l4_gguf_put_tensor(&j->builder, it->name, type, it->vector ? 1 : it->stack ? 3 : 2, dims, error);
}

/* ---- Second walk: data ---- */

static llama4_status progress(job *j, llama4_error *error)
{
    const llama4_convert_params *p = j->params;
    uint64_t total = j->builder.data_size;
    if (!p->progress || (j->done < total && j->done - j->shown < total / 1000))
        return LLAMA4_OK;
    j->shown = j->done;
    if (p->progress(p->progress_user, total ? (float)((double)j->done / (double)total) : 1.0f))
        return l4_fail(error, LLAMA4_ERR_CANCELLED, "converting was cancelled");
    return LLAMA4_OK;
}

static llama4_status put(job *j, const void *data, size_t size, llama4_error *error)
{
    llama4_status status = l4_writer_write(&j->writer, data, size, error);
    j->done += size;
    return status ? status : progress(j, error);
}

static float column_element(uint32_t type, const uint8_t *p)
{
    if (type == LLAMA4_TYPE_F32)
        return l4_load_f32(p);
    return type == LLAMA4_TYPE_F16 ? l4_f16_to_f32(l4_load_u16(p)) : l4_bf16_to_f32(l4_load_u16(p));
}

/* Rows first .. first + n - 1 as float32. A matrix stored by columns is walked along them, n elements at a time. */
static void decode_rows(const l4_matrix *m, uint32_t first, uint32_t n, float *out)
{
    if (m->layout == L4_ROWS) {
        for (uint32_t r = 0; r < n; r++)
            l4_matrix_row(m, first + r, out + (size_t)r * m->cols);
        return;
    }
    size_t element = m->type == LLAMA4_TYPE_F32 ? 4 : 2;
    for (uint32_t c = 0; c < m->cols; c++) {
        const uint8_t *column = m->data + c * m->stride + first * element;
        for (uint32_t r = 0; r < n; r++)
            out[(size_t)r * m->cols + c] = column_element(m->type, column + r * element);
    }
}

/* Rows as they lie in the file. */
static llama4_status copy_rows(job *j, const l4_matrix *m, size_t row_bytes, llama4_error *error)
{
    llama4_status status = LLAMA4_OK;
    uint64_t pieces = m->rows, size = row_bytes;
    if (m->stride == row_bytes) { /* no gaps: one piece */
        pieces = 1;
        size *= m->rows;
    }
    for (uint64_t i = 0; i < pieces; i++)
        for (uint64_t at = 0; status == LLAMA4_OK && at < size; at += COPY_BYTES)
            status = put(j, m->data + i * m->stride + at, (size_t)(size - at < COPY_BYTES ? size - at : COPY_BYTES), error);
    return status;
}

typedef struct encoding {
    const job *j;
    uint32_t type;
    size_t cols, row_bytes;
} encoding;

static void encode_task(void *argument, size_t begin, size_t end, int worker)
{
    const encoding *e = argument;
    (void)worker;
    for (size_t r = begin; r < end; r++) {
        const float *row = e->j->rows + r * e->cols;
        uint8_t *out = e->j->encoded + r * e->row_bytes;
        if (!(e->j->params->flags & LLAMA4_CONVERT_SEARCH) && l4_encode_row(e->type, row, e->cols, out))
            continue;
        if (l4_quantize_can(e->type))
            l4_quantize_row(e->type, row, NULL, e->cols, out);
        else
            l4_encode_row(e->type, row, e->cols, out);
    }
}

/* Scales are searched for among finite numbers. */
static llama4_status check_finite(const float *x, size_t n, const char *name, llama4_error *error)
{
    for (size_t i = 0; i < n; i++)
        if (!(x[i] - x[i] == 0))
            return l4_fail(error, LLAMA4_ERR_FORMAT, "tensor %s holds an infinity or a NaN, which cannot be quantised", name);
    return LLAMA4_OK;
}

static llama4_status write_matrix(job *j, const char *name, const l4_matrix *m, uint32_t type, llama4_error *error)
{
    size_t row_bytes = (size_t)l4_type_row_bytes(l4_type_find(type), m->cols);
    if (m->layout == L4_ROWS && m->type == type)
        return copy_rows(j, m, row_bytes, error);
    llama4_status status = LLAMA4_OK;
    size_t fit = j->buffer_floats / m->cols;
    uint32_t group = fit < MAX_ROWS ? (uint32_t)fit : MAX_ROWS;
    for (uint32_t first = 0; status == LLAMA4_OK && first < m->rows; first += group) {
        uint32_t n = m->rows - first < group ? m->rows - first : group;
        const encoding e = {j, type, m->cols, row_bytes};
        decode_rows(m, first, n, j->rows);
        if (l4_quantize_can(type))
            status = check_finite(j->rows, (size_t)n * m->cols, name, error);
        if (status)
            break;
        l4_pool_run(j->pool, encode_task, (void *)(uintptr_t)&e, n, 1);
        status = put(j, j->encoded, n * row_bytes, error);
    }
    return status;
}

static llama4_status write_item(job *j, const item *it, llama4_error *error)
{
    llama4_status status = LLAMA4_OK;
    uint32_t type = output_type(j, it);
    if (it->vector) {
        l4_encode_row(type, it->vector, it->cols, j->encoded);
        status = put(j, j->encoded, (size_t)it->cols * 4, error);
    }
    for (uint32_t i = 0; !it->vector && status == LLAMA4_OK && i < it->count; i++)
        status = write_matrix(j, it->name, matrix_at(it, i), type, error);
    uint64_t before = j->writer.written;
    if (status == LLAMA4_OK)
        status = l4_gguf_pad(&j->writer, error);
    j->done += j->writer.written - before;
    return status;
}

/* ---- The whole ---- */

static llama4_status check_output(const llama4_model *m, const char *path, llama4_error *error)
{
    if (l4_file_kind(path) == L4_FILE_DIRECTORY)
        return l4_fail(error, LLAMA4_ERR_IO, "cannot write %s: it is a directory", path);
    for (size_t i = 0; i < m->archive->n_files; i++)
        if (l4_map_is_path(&m->archive->files[i], path))
            return l4_fail(error, LLAMA4_ERR_ARGUMENT, "out_path %s is a file of the model that is being converted", path);
    return LLAMA4_OK;
}

static llama4_status write_data(job *j, llama4_error *error)
{
    const l4_allocator *a = &j->model->allocator;
    llama4_status status = l4_alloc(a, j->buffer_floats, sizeof *j->rows, "rows to convert", &j->rows, error);
    if (status == LLAMA4_OK)
        status = l4_alloc(a, j->buffer_floats, sizeof *j->rows, "converted rows", &j->encoded, error);
    const atomic_int never = 0;
    const int cores = l4_cpu_count();
    if (status == LLAMA4_OK)
        status = l4_pool_create(a, cores < L4_MAX_THREADS ? cores : L4_MAX_THREADS, &never, &j->pool, error);
    if (status == LLAMA4_OK)
        status = l4_gguf_write_head(&j->builder, &j->writer, error);
    if (status == LLAMA4_OK)
        status = visit_all(j, write_item, error);
    if (status == LLAMA4_OK)
        status = progress(j, error);
    l4_pool_destroy(j->pool);
    l4_free(a, j->rows);
    l4_free(a, j->encoded);
    return status;
}

static llama4_status convert(job *j, const char *out_path, llama4_error *error)
{
    const l4_allocator *a = &j->model->allocator;
    j->buffer_floats = BUFFER_FLOATS;
    l4_gguf_builder_init(&j->builder, a);
    llama4_status status = check_output(j->model, out_path, error);
    if (status == LLAMA4_OK)
        status = visit_all(j, describe, error);
    for (int k = 0, best = 0; k < 3; k++)
        if (j->weights[k] && j->weights[k] >= j->weights[best]) {
            best = k;
            j->summary.type = j->types[k];
        }
    if (status == LLAMA4_OK)
        status = l4_convert_put_keys(j->model, &j->summary, &j->builder, error);
    if (status == LLAMA4_OK)
        status = l4_writer_open(a, out_path, &j->writer, error);
    if (status == LLAMA4_OK) {
        status = write_data(j, error);
        if (status == LLAMA4_OK)
            status = l4_writer_commit(&j->writer, error);
        if (status)
            l4_writer_abandon(&j->writer);
    }
    l4_gguf_builder_clear(&j->builder);
    return status;
}

llama4_status l4_convert(const char *in_path, const char *out_path, const llama4_convert_params *params, llama4_error *error)
{
    job j = {.params = params};
    llama4_status status = l4_type_plan_find(params->type, &j.plan, error);
    if (status)
        return status;
    llama4_model_params open = {
        .struct_size = sizeof open,
        .allocate = params->allocate,
        .release = params->release,
        .allocator_user = params->allocator_user,
        .log = params->log,
        .log_user = params->log_user,
        .vocabulary_path = params->vocabulary_path,
    };
    l4_source source = {.path = in_path, .fd = -1, .as_stored = 1};
    llama4_model *model;
    status = l4_model_open(&source, &open, &model, error);
    if (status)
        return status;
    j.model = model;
    status = convert(&j, out_path, error);
    l4_model_release(model);
    return status;
}
