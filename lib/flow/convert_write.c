/* Tensors in, one GGUF v3 file out. The list of tensors is walked twice: to describe them in the head, then to write their data a few rows at a
 * time (convert_read.c), so that memory stays bounded whatever the model's size. What the tensors and keys are, convert.c and convert_vision.c know. */
#include "flow/convert_write.h"

#include <string.h>

#include "base/cpu.h"
#include "base/half.h"
#include "base/pool.h"
#include "format/types.h"
#include "kernels/encode.h"
#include "kernels/quantize.h"

#define MAX_ROWS 64             /* that a column walk reads together: two cache lines of bf16 */
#define BUFFER_FLOATS (1 << 19) /* of decoded rows, unless one row alone is longer */
#define COPY_BYTES (4 << 20)    /* read together, and between two looks at the progress callback; one row at least */

static const l4_matrix *matrix_at(const l4_convert_item *it, uint32_t i)
{
    return (const l4_matrix *)(const void *)((const char *)it->matrix + i * it->step);
}

/* Together. */
static uint32_t rows_to_copy(const l4_matrix *m)
{
    return m->stride < COPY_BYTES ? (uint32_t)(COPY_BYTES / m->stride) : 1;
}

static uint32_t output_type(const l4_convert_job *j, const l4_convert_item *it)
{
    if (it->vector || it->exact)
        return LLAMA4_TYPE_F32;
    if (j->plan.given)
        return l4_type_plan_for(&j->plan, it->name, j->layers, it->cols);
    for (uint32_t i = 1; i < it->count; i++)
        if (matrix_at(it, i)->type != it->matrix->type)
            return LLAMA4_TYPE_F32;
    return it->matrix->type;
}

/* ---- First walk: descriptions ---- */

static void count_weights(l4_convert_job *j, const l4_convert_item *it, uint32_t type)
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

/* Everything that the imatrix says of a tensor is checked before anything is written. */
static llama4_status check_importance(l4_convert_job *j, const l4_convert_item *it, llama4_error *error)
{
    int known, any = 0;
    for (uint32_t i = 0; i < it->count; i++) {
        llama4_status status = l4_imatrix_columns(j->imatrix, it->name, i, it->count, it->cols, NULL, &known, error);
        if (status)
            return status;
        any |= known;
    }
    j->weighted += (uint32_t)any;
    if (!any && strncmp(it->name, "blk.", 4) == 0) { /* others are commonly left out */
        j->unknown++;
        memcpy(j->example, it->name, sizeof j->example);
    }
    return LLAMA4_OK;
}

static llama4_status describe(l4_convert_job *j, const l4_convert_item *it, llama4_error *error)
{
    uint64_t dims[3] = {it->cols, it->rows, it->count};
    uint32_t type = output_type(j, it);
    if (j->imatrix && !it->vector && l4_quantize_can(type)) {
        llama4_status status = check_importance(j, it, error);
        if (status)
            return status;
    }
    j->longest = it->cols > j->longest ? it->cols : j->longest;
    count_weights(j, it, type);
    if (it->cols > j->buffer_floats)
        j->buffer_floats = it->cols;
    for (uint32_t i = 0; !it->vector && i < it->count; i++) {
        const l4_matrix *m = matrix_at(it, i);
        const uint64_t need = l4_convert_reader_need(m, rows_to_copy(m) > MAX_ROWS ? rows_to_copy(m) : MAX_ROWS);
        j->buffer_bytes = need > j->buffer_bytes ? (size_t)need : j->buffer_bytes;
    }
    return l4_gguf_put_tensor(&j->builder, it->name, type, it->stack ? 3 : it->vector && it->rows == 1 ? 1 : 2, dims, error);
}

/* ---- Second walk: data ---- */

static llama4_status progress(l4_convert_job *j, llama4_error *error)
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

static llama4_status put(l4_convert_job *j, const void *data, size_t size, llama4_error *error)
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

/* All rows of m as float32. A matrix stored by columns is walked along them. */
static void decode_rows(const l4_matrix *m, float *out)
{
    if (m->layout == L4_ROWS) {
        for (uint32_t r = 0; r < m->rows; r++)
            l4_matrix_row(m, r, out + (size_t)r * m->cols);
        return;
    }
    size_t element = m->type == LLAMA4_TYPE_F32 ? 4 : 2;
    for (uint32_t c = 0; c < m->cols; c++) {
        const uint8_t *column = m->data + c * m->stride;
        for (uint32_t r = 0; r < m->rows; r++)
            out[(size_t)r * m->cols + c] = column_element(m->type, column + r * element);
    }
}

/* Rows as they lie in the file. */
static llama4_status copy_rows(l4_convert_job *j, const l4_matrix *m, size_t row_bytes, llama4_error *error)
{
    llama4_status status = LLAMA4_OK;
    const uint32_t group = rows_to_copy(m);
    for (uint32_t first = 0, n; status == LLAMA4_OK && first < m->rows; first += n) {
        n = m->rows - first < group ? m->rows - first : group;
        const uint32_t step = m->stride == row_bytes ? n : 1; /* no gaps: one piece */
        l4_matrix part;
        status = l4_convert_reader_rows(&j->reader, m, first, n, &part, error);
        for (uint32_t r = 0; status == LLAMA4_OK && r < n; r += step)
            status = put(j, part.data + r * part.stride, step * row_bytes, error);
    }
    return status;
}

typedef struct encoding {
    const l4_convert_job *j;
    const float *importance; /* NULL: all alike */
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
        if (!e->importance && !(e->j->params->flags & LLAMA4_CONVERT_SEARCH) && l4_encode_row(e->type, row, e->cols, out))
            continue;
        if (l4_quantize_can(e->type))
            l4_quantize_row(e->type, row, e->importance, e->cols, out);
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

static llama4_status write_matrix(l4_convert_job *j, const l4_convert_item *it, uint32_t index, uint32_t type, llama4_error *error)
{
    const l4_matrix *m = matrix_at(it, index);
    size_t row_bytes = (size_t)l4_type_row_bytes(l4_type_find(type), m->cols);
    if (m->layout == L4_ROWS && m->type == type)
        return copy_rows(j, m, row_bytes, error);
    llama4_status status = LLAMA4_OK;
    int known = 0;
    if (j->imatrix && l4_quantize_can(type))
        status = l4_imatrix_columns(j->imatrix, it->name, index, it->count, m->cols, j->importance, &known, error);
    size_t fit = j->buffer_floats / m->cols;
    uint32_t group = fit < MAX_ROWS ? (uint32_t)fit : MAX_ROWS;
    for (uint32_t first = 0, n; status == LLAMA4_OK && first < m->rows; first += n) {
        n = m->rows - first < group ? m->rows - first : group;
        const encoding e = {j, known ? j->importance : NULL, type, m->cols, row_bytes};
        l4_matrix part;
        status = l4_convert_reader_rows(&j->reader, m, first, n, &part, error);
        if (status)
            break;
        decode_rows(&part, j->rows);
        if (l4_quantize_can(type))
            status = check_finite(j->rows, (size_t)n * m->cols, it->name, error);
        if (status)
            break;
        l4_pool_run(j->pool, encode_task, (void *)(uintptr_t)&e, n, 1);
        status = put(j, j->encoded, n * row_bytes, error);
    }
    return status;
}

static llama4_status write_item(l4_convert_job *j, const l4_convert_item *it, llama4_error *error)
{
    llama4_status status = LLAMA4_OK;
    uint32_t type = output_type(j, it);
    for (uint32_t r = 0; it->vector && status == LLAMA4_OK && r < it->rows; r++) {
        l4_encode_row(type, it->vector + (size_t)r * it->cols, it->cols, j->encoded);
        status = put(j, j->encoded, (size_t)it->cols * 4, error);
    }
    for (uint32_t i = 0; !it->vector && status == LLAMA4_OK && i < it->count; i++)
        status = write_matrix(j, it, i, type, error);
    uint64_t before = j->writer.written;
    if (status == LLAMA4_OK)
        status = l4_gguf_pad(&j->writer, error);
    j->done += j->writer.written - before;
    return status;
}

/* ---- The whole ---- */

static llama4_status check_output(const l4_convert_job *j, const char *path, llama4_error *error)
{
    if (l4_file_kind(path) == L4_FILE_DIRECTORY)
        return l4_fail(error, LLAMA4_ERR_IO, "cannot write %s: it is a directory", path);
    for (size_t i = 0; i < j->archive->n_files; i++)
        if (l4_map_is_path(&j->archive->files[i], path))
            return l4_fail(error, LLAMA4_ERR_ARGUMENT, "out_path %s is a file of the model that is being converted", path);
    if (j->imatrix && l4_map_is_path(&l4_imatrix_archive(j->imatrix)->files[0], path))
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "out_path %s is the imatrix", path);
    return LLAMA4_OK;
}

/* After the first walk: an imatrix of another model must not go unnoticed. */
static llama4_status check_coverage(const l4_convert_job *j, llama4_error *error)
{
    const l4_log log = {j->params->log, j->params->log_user};
    const char *path = j->params->imatrix_path;
    if (!j->imatrix)
        return LLAMA4_OK;
    if (!j->weighted)
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "imatrix %s has nothing about any matrix that is quantised", path);
    if (j->unknown)
        l4_say(&log, LLAMA4_LOG_WARNING, "imatrix %s has nothing about %u of the layers' tensors, such as %s: their columns matter alike", path,
               (unsigned)j->unknown, j->example);
    return LLAMA4_OK;
}

static llama4_status write_data(l4_convert_job *j, llama4_error *error)
{
    const l4_allocator *a = j->allocator;
    llama4_status status = l4_alloc(a, j->buffer_floats, sizeof *j->rows, "rows to convert", &j->rows, error);
    if (status == LLAMA4_OK)
        status = l4_alloc(a, j->buffer_floats, sizeof *j->rows, "converted rows", &j->encoded, error);
    if (status == LLAMA4_OK)
        status = l4_convert_reader_open(&j->reader, a, j->archive, j->buffer_bytes, error);
    if (status == LLAMA4_OK && j->imatrix)
        status = l4_alloc(a, j->longest, sizeof *j->importance, "importance of columns", &j->importance, error);
    const atomic_int never = 0;
    const int cores = l4_cpu_count();
    if (status == LLAMA4_OK)
        status = l4_pool_create(a, cores < L4_MAX_THREADS ? cores : L4_MAX_THREADS, &never, &j->pool, error);
    if (status == LLAMA4_OK)
        status = l4_gguf_write_head(&j->builder, &j->writer, error);
    if (status == LLAMA4_OK)
        status = j->visit_all(j, write_item, error);
    if (status == LLAMA4_OK)
        status = progress(j, error);
    l4_pool_destroy(j->pool);
    l4_convert_reader_close(&j->reader);
    l4_free(a, j->rows);
    l4_free(a, j->encoded);
    l4_free(a, j->importance);
    return status;
}

llama4_status l4_convert_run(l4_convert_job *j, const char *out_path, llama4_error *error)
{
    const l4_allocator *a = j->allocator;
    j->buffer_floats = BUFFER_FLOATS;
    l4_gguf_builder_init(&j->builder, a);
    llama4_status status = check_output(j, out_path, error);
    if (status == LLAMA4_OK)
        status = j->visit_all(j, describe, error);
    if (status == LLAMA4_OK)
        status = check_coverage(j, error);
    for (int k = 0, best = 0; k < 3; k++)
        if (j->weights[k] && j->weights[k] >= j->weights[best]) {
            best = k;
            j->summary.type = j->types[k];
        }
    if (status == LLAMA4_OK)
        status = j->put_keys(j, error);
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
