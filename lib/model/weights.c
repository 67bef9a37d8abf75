/* Storage of weights and what does not depend on the files' names: matrices as views, vectors as float32, rotary frequencies. */
#include "model/weights.h"

#include <stdio.h>
#include <string.h>

#include "base/math.h"
#include "kernels/kernels.h"
#include "model/experts.h"
#include "model/weights_internal.h"

static llama4_status shape_error(const l4_tensor *t, const char *wanted, llama4_error *error)
{
    return l4_fail(error, LLAMA4_ERR_FORMAT, "tensor %s has %u dimensions, %llu x %llu x %llu x %llu, instead of %s", t->name, (unsigned)t->n_dims,
                   (unsigned long long)t->dims[0], (unsigned long long)t->dims[1], (unsigned long long)t->dims[2], (unsigned long long)t->dims[3], wanted);
}

llama4_status l4_bind_find(const l4_binder *b, const char *name, const l4_tensor **out, llama4_error *error)
{
    *out = l4_archive_find(b->archive, name);
    if (!*out)
        return l4_fail(error, LLAMA4_ERR_FORMAT, "tensor %s is missing", name);
    if (!l4_kernels_can((*out)->type))
        return l4_fail(error, LLAMA4_ERR_UNSUPPORTED, "tensor %s has type %s, which this version cannot compute", name, l4_type_find((*out)->type)->name);
    return LLAMA4_OK;
}

llama4_status l4_bind_shape(const l4_tensor *t, uint64_t d0, uint64_t d1, uint64_t d2, llama4_error *error)
{
    char wanted[80];
    if (t->dims[0] == d0 && t->dims[1] == d1 && t->dims[2] == d2 && t->dims[3] == 1)
        return LLAMA4_OK;
    snprintf(wanted, sizeof wanted, "%llu x %llu x %llu", (unsigned long long)d0, (unsigned long long)d1, (unsigned long long)d2);
    return shape_error(t, wanted, error);
}

l4_matrix l4_bind_rows(const l4_tensor *t, uint64_t first, uint32_t rows, uint32_t cols)
{
    l4_matrix m = {.rows = rows, .cols = cols, .type = t->type, .layout = L4_ROWS};
    m.stride = l4_type_row_bytes(l4_type_find(t->type), cols);
    m.data = t->data + first * m.stride;
    return m;
}

llama4_status l4_bind_matrix(const l4_binder *b, const char *name, uint32_t rows, uint32_t cols, l4_matrix *out, llama4_error *error)
{
    const l4_tensor *t;
    llama4_status status = l4_bind_find(b, name, &t, error);
    if (status == LLAMA4_OK)
        status = l4_bind_shape(t, cols, rows, 1, error);
    if (status == LLAMA4_OK)
        *out = l4_bind_rows(t, 0, rows, cols);
    return status;
}

llama4_status l4_bind_own(const l4_binder *b, const l4_matrix *m, llama4_error *error)
{
    uint64_t offset;
    const l4_mapping *file = l4_archive_place(b->archive, m->data, &offset);
    return file ? l4_map_own(file, offset, m->stride * m->rows, "the model's file", error) : LLAMA4_OK;
}

llama4_status l4_bind_vector(l4_binder *b, const char *name, uint32_t n, const float **out, llama4_error *error)
{
    l4_matrix m;
    llama4_status status = l4_bind_matrix(b, name, 1, n, &m, error);
    if (status == LLAMA4_OK)
        status = l4_bind_own(b, &m, error);
    if (status)
        return status;
    float *to = b->next_vector;
    b->next_vector += n;
    l4_matrix_row(&m, 0, to);
    *out = to;
    return LLAMA4_OK;
}

uint64_t l4_matrix_extent(const l4_matrix *m)
{
    const l4_type_info *type = l4_type_find(m->type);
    if (m->layout == L4_COLUMNS)
        return (m->cols - 1) * m->stride + l4_type_row_bytes(type, m->rows);
    return (m->rows - 1) * m->stride + l4_type_row_bytes(type, m->cols);
}

void l4_matrix_row(const l4_matrix *m, uint32_t r, float *out)
{
    l4_kernels k;
    l4_kernels_init(&k, LLAMA4_CPU_GENERIC);
    if (m->layout == L4_ROWS) {
        k.decode[m->type](m->data + r * m->stride, m->cols, out);
        return;
    }
    size_t element = m->type == LLAMA4_TYPE_F32 ? 4 : 2;
    for (uint32_t c = 0; c < m->cols; c++)
        k.decode[m->type](m->data + c * m->stride + r * element, 1, out + c);
}

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

/* The rule of llama3 scaling: Meta's llama-models, apply_scaling. The two outer branches come first, since the band between
 * them may be empty. */
static float scaled(float f, const float scaling[4])
{
    const float factor = scaling[0], low = scaling[1], high = scaling[2], original = scaling[3];
    float wavelength = 6.283185307179586f / f;
    if (wavelength < original / high)
        return f;
    if (wavelength > original / low)
        return f / factor;
    float smooth = (original / wavelength - low) / (high - low);
    return (1 - smooth) * f / factor + smooth * f;
}

/* All steps in float32, as the reference takes them: 1 / powf(base, 2 j / d). */
static void frequencies(l4_weights *w, const float *divisors)
{
    const l4_config *c = &w->config;
    for (uint32_t j = 0; j < c->head_dim / 2; j++) {
        float exponent = (float)(2 * j) / (float)c->head_dim;
        float f = 1.0f / (float)l4_pow(c->rope_base, exponent);
        if (divisors) {
            w->rope_divisor[j] = divisors[j];
            w->rope_freq[j] = f / divisors[j];
        } else {
            w->rope_freq[j] = c->rope_scaling[0] == 1.0f ? f : scaled(f, c->rope_scaling);
            w->rope_divisor[j] = f / w->rope_freq[j];
        }
    }
}

llama4_status l4_bind_frequencies(const l4_binder *b, l4_weights *w, llama4_error *error)
{
    const uint32_t n = w->config.head_dim / 2;
    float divisors[L4_MAX_HEAD / 2];
    if (!l4_archive_find(b->archive, "rope_freqs.weight")) {
        frequencies(w, NULL);
        return LLAMA4_OK;
    }
    l4_matrix m;
    llama4_status status = l4_bind_matrix(b, "rope_freqs.weight", 1, n, &m, error);
    if (status == LLAMA4_OK)
        status = l4_bind_own(b, &m, error);
    if (status)
        return status;
    l4_matrix_row(&m, 0, divisors);
    for (uint32_t j = 0; j < n; j++)
        if (!(divisors[j] >= 1e-6f && divisors[j] <= 1e9f))
            return l4_fail(error, LLAMA4_ERR_FORMAT, "tensor rope_freqs.weight: number %u is out of range", (unsigned)j);
    frequencies(w, divisors);
    return LLAMA4_OK;
}

llama4_status l4_weights_begin(const l4_allocator *a, const l4_config *c, const l4_archive *archive, l4_binder *b, l4_weights *out, llama4_error *error)
{
    memset(out, 0, sizeof *out);
    out->allocator = a;
    out->config = *c;
    size_t moe = 0;
    for (uint32_t i = 0; i < c->layers; i++)
        moe += c->layer[i].moe;
    /* No type takes less than an eighth of a byte for a number: a shape that the files cannot hold ends here, before memory is asked for it. */
    double bytes = 0, numbers = (double)c->width * (2.0 * c->layers + 1) + 3.0 * (double)moe * c->experts * c->expert_ff * c->width;
    for (size_t i = 0; i < archive->n_tensors; i++)
        bytes += (double)archive->tensors[i].size;
    if (numbers > 8 * bytes)
        return l4_fail(error, LLAMA4_ERR_FORMAT, "the tensors are too small for %u layers of width %u with %u experts", (unsigned)c->layers,
                       (unsigned)c->width, (unsigned)c->experts);
    llama4_status status = l4_alloc_zero(a, c->layers, sizeof *out->layers, "the layers", &out->layers, error);
    if (status == LLAMA4_OK)
        status = l4_alloc(a, (size_t)c->width * (2 * c->layers + 1) + c->head_dim, sizeof(float), "the norms", &out->vectors, error);
    if (status == LLAMA4_OK)
        status = l4_alloc_zero(a, moe * c->experts, sizeof *out->expert_views, "the experts", &out->expert_views, error);
    if (status) {
        l4_weights_clear(out);
        return status;
    }
    out->rope_freq = out->vectors;
    out->rope_divisor = out->vectors + c->head_dim / 2;
    l4_ffn *experts = out->expert_views;
    for (uint32_t i = 0; i < c->layers; i++)
        if (c->layer[i].moe) {
            out->layers[i].experts = experts;
            experts += c->experts;
        }
    b->archive = archive;
    b->next_vector = out->vectors + c->head_dim;
    return LLAMA4_OK;
}

void l4_weights_clear(l4_weights *w)
{
    if (!w->allocator)
        return;
    l4_disk_destroy(w->disk);
    l4_experts_destroy(w->pool);
    l4_free(w->allocator, w->layers);
    l4_free(w->allocator, w->vectors);
    l4_free(w->allocator, w->expert_views);
    for (size_t i = 0; i < w->n_packed; i++)
        l4_free(w->allocator, w->packed[i]);
    l4_free(w->allocator, w->packed);
    memset(w, 0, sizeof *w);
}
