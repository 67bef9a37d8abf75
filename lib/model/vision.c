/* What both kinds of files have in common: range checks, and storage of the picture encoder's vectors. Names come from vision_gguf.c and vision_hf.c. */
#include "model/vision.h"

#include <stdio.h>
#include <string.h>

#include "model/config_internal.h"
#include "model/vision_internal.h"

llama4_status l4_vision_config_check(const l4_vision_config *c, const char *name, llama4_error *error)
{
    const struct {
        const char *what;
        int64_t value, min, max;
    } ranges[] = {
        {"the picture encoder's number of layers", c->layers, 1, 256},
        {"the picture encoder's width", c->width, 1, 1 << 16},
        {"the picture encoder's number of heads", c->heads, 1, 1024},
        {"the picture encoder's hidden width", c->ff, 1, 1 << 18},
        {"the size of a tile", c->tile, 1, 1024},
        {"the size of a patch", c->patch, 1, c->tile},
        {"the pixel shuffle's factor", c->shuffle, 1, 8},
        {"the width of a picture's embeddings", c->embedding, 1, 1 << 18},
        {"the number of tiles", c->max_tiles, 1, 64},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        llama4_status status = l4_config_range(name, ranges[i].what, ranges[i].value, ranges[i].min, ranges[i].max, error);
        if (status)
            return status;
    }
    if (c->tile % c->patch || l4_vision_side(c) % c->shuffle)
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: tiles of %u pixels, patches of %u and a pixel shuffle by %u do not go together", name,
                       (unsigned)c->tile, (unsigned)c->patch, (unsigned)c->shuffle);
    if (c->width % c->heads || c->width / c->heads % 4 || c->width / c->heads > 1024)
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: %u heads do not divide the picture encoder's width of %u into multiples of 4, at most 1024", name,
                       (unsigned)c->heads, (unsigned)c->width);
    if (!(c->epsilon > 0 && c->epsilon < 1) || !(c->rope_base > 1e-3f && c->rope_base < 1e12f))
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: the picture encoder's epsilon or rotary base is out of range", name);
    for (int i = 0; i < 3; i++)
        if (!(c->mean[i] >= -1e3f && c->mean[i] <= 1e3f) || !(c->std[i] > 1e-6f && c->std[i] <= 1e6f))
            return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: the mean or deviation of colours is out of range", name);
    return LLAMA4_OK;
}

llama4_status l4_vision_begin(const l4_allocator *a, const l4_vision_config *c, const l4_archive *archive, l4_binder *b, l4_vision *out,
                              llama4_error *error)
{
    memset(out, 0, sizeof *out);
    out->allocator = a;
    out->config = *c;
    const uint64_t patches = (uint64_t)l4_vision_side(c) * l4_vision_side(c);
    const uint64_t numbers = c->width * (patches + 6) + c->layers * (9 * (uint64_t)c->width + c->ff); /* far below 2^64: see the ranges */
    uint64_t bytes = 0;
    for (size_t i = 0; i < archive->n_tensors; i++)
        bytes += archive->tensors[i].size / 8;
    if (numbers / 64 > bytes) /* no type takes less than an eighth of a byte for a number */
        return l4_fail(error, LLAMA4_ERR_FORMAT, "the tensors are too small for a picture encoder of %u layers, %u wide", (unsigned)c->layers,
                       (unsigned)c->width);
    if (numbers > SIZE_MAX / sizeof(float))
        return l4_fail(error, LLAMA4_ERR_MEMORY, "out of memory: the picture encoder");
    llama4_status status = l4_alloc_zero(a, c->layers, sizeof *out->layers, "the picture encoder", &out->layers, error);
    if (status == LLAMA4_OK)
        status = l4_alloc(a, (size_t)numbers, sizeof(float), "the picture encoder", &out->vectors, error);
    b->archive = archive;
    b->next_vector = out->vectors;
    if (status)
        l4_vision_clear(out);
    return status;
}

llama4_status l4_vision_bind_rows(l4_binder *b, const char *name, uint32_t rows, uint32_t cols, const float **out, llama4_error *error)
{
    l4_matrix m;
    llama4_status status = l4_bind_matrix(b, name, rows, cols, &m, error);
    if (status == LLAMA4_OK)
        status = l4_bind_own(b, &m, error);
    if (status)
        return status;
    *out = b->next_vector;
    for (uint32_t r = 0; r < rows; r++, b->next_vector += cols)
        l4_matrix_row(&m, r, b->next_vector);
    return LLAMA4_OK;
}

llama4_status l4_vision_bind_pair(l4_binder *b, const char *name, uint32_t n, const float *out[2], llama4_error *error)
{
    char full[192];
    snprintf(full, sizeof full, "%s.weight", name);
    llama4_status status = l4_bind_vector(b, full, n, &out[0], error);
    snprintf(full, sizeof full, "%s.bias", name);
    return status ? status : l4_bind_vector(b, full, n, &out[1], error);
}

llama4_status l4_vision_bind_linear(l4_binder *b, const char *name, uint32_t rows, uint32_t cols, l4_matrix *w, const float **bias, llama4_error *error)
{
    char full[192];
    snprintf(full, sizeof full, "%s.weight", name);
    llama4_status status = l4_bind_matrix(b, full, rows, cols, w, error);
    snprintf(full, sizeof full, "%s.bias", name);
    return status ? status : l4_bind_vector(b, full, rows, bias, error);
}

/* A matrix whose number of rows the tensor itself says, 1 .. 2^18. */
static llama4_status bind_any_rows(const l4_binder *b, const char *name, uint32_t cols, l4_matrix *out, llama4_error *error)
{
    const l4_tensor *t;
    llama4_status status = l4_bind_find(b, name, &t, error);
    if (status)
        return status;
    uint32_t rows = t->dims[1] <= 1 << 18 ? (uint32_t)t->dims[1] : 0;
    return l4_bind_matrix(b, name, rows, cols, out, error);
}

llama4_status l4_vision_bind_adapter(const l4_binder *b, const char *fc1, const char *fc2, const char *projector, l4_vision *v, llama4_error *error)
{
    l4_vision_config *c = &v->config;
    llama4_status status = bind_any_rows(b, fc1, c->shuffle * c->shuffle * c->width, &v->fc1, error);
    if (status == LLAMA4_OK)
        status = bind_any_rows(b, fc2, v->fc1.rows, &v->fc2, error);
    if (status == LLAMA4_OK)
        status = l4_bind_matrix(b, projector, c->embedding, v->fc2.rows, &v->projector, error);
    c->hidden = v->fc1.rows;
    c->projected = v->fc2.rows;
    return status;
}

void l4_vision_clear(l4_vision *v)
{
    if (!v->allocator)
        return;
    l4_free(v->allocator, v->layers);
    l4_free(v->allocator, v->vectors);
    memset(v, 0, sizeof *v);
}

uint64_t l4_vision_parameters(const l4_archive *archive)
{
    static const char *const prefixes[] = {"v.", "mm.", "vision_model.", "model.vision_model.", "multi_modal_projector.", "model.multi_modal_projector."};
    uint64_t n = 0;
    for (size_t i = 0; i < archive->n_tensors; i++)
        for (size_t k = 0; k < sizeof prefixes / sizeof *prefixes; k++) {
            const l4_tensor *t = &archive->tensors[i];
            if (strncmp(t->name, prefixes[k], strlen(prefixes[k])) == 0)
                n += t->dims[0] * t->dims[1] * t->dims[2] * t->dims[3];
        }
    return n;
}
