/*
 * A file of squared activations in, weights of columns out. Both forms hold, for the columns of each matrix of a model, the sum over many
 * tokens of the squares of what the column was multiplied with:
 *
 *   GGUF       tensor NAME.in_sum2 [matrices][columns] and, how many tokens each matrix saw, NAME.counts [matrices or 1], both F32
 *   before it  number of entries; for each: length of NAME, NAME, number of calls, number of values, values [matrices * columns]; then
 *              perhaps what it was made from. Integers have 32 bits, values are F32
 *
 * Only ratios within a matrix matter to the quantiser, so counts are looked at for zeros alone.
 */
#include "format/imatrix.h"

#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "format/gguf.h"
#include "llama4/llama4.h"

#define MAX_NAME 255
#define SMALLEST_ENTRY 17 /* two lengths, one letter, calls, one value */
#define SUMS ".in_sum2"
#define COUNTS ".counts"

/* Columns that no token used still hold weights, which must not go to the winds: of an average of 1. */
#define LEAST 1e-6f

struct l4_imatrix {
    const l4_allocator *allocator;
    l4_gguf *gguf;  /* or NULL: */
    l4_archive old; /* a vector of all values for each entry */
    char *name;     /* for messages */
};

/* All of a file that is an imatrix by the look of its beginning: see l4_map_own. */
static llama4_status own(const l4_mapping *mapping, const char *name, llama4_error *error)
{
    llama4_status status = LLAMA4_OK;
    for (uint64_t at = 0; status == LLAMA4_OK && at < mapping->size; at += L4_OWN_MOST)
        status = l4_map_own(mapping, at, mapping->size - at, name, error);
    return status;
}

/* ---- The older form ---- */

static llama4_status no_imatrix(const l4_imatrix *m, llama4_error *error)
{
    return l4_fail(error, LLAMA4_ERR_FORMAT, "%s is not an imatrix file", m->name);
}

/* One entry; its values are where t->data points. */
static llama4_status read_entry(const l4_imatrix *m, l4_reader *r, l4_tensor *t, const char **name, size_t *length, llama4_error *error)
{
    uint32_t n = l4_read_u32(r);
    if (!r->failed && (n == 0 || n > MAX_NAME))
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: a name has %u bytes (byte %zu)", m->name, (unsigned)n, r->position);
    *name = (const char *)l4_read_bytes(r, n);
    *length = n;
    if (*name && memchr(*name, 0, n))
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: a name has a zero byte (byte %zu)", m->name, r->position);
    uint32_t calls = l4_read_u32(r), values = l4_read_u32(r);
    t->offset = r->position;
    if (!r->failed && (calls > INT32_MAX || values == 0 || values > INT32_MAX))
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: %.*s has %d values of %d calls", m->name, (int)n, *name, (int)(int32_t)values,
                       (int)(int32_t)calls);
    t->data = l4_read_bytes(r, (uint64_t)values * 4);
    if (r->failed)
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: the file ends inside its entries (byte %zu of %zu)", m->name, r->position, r->size);
    t->type = LLAMA4_TYPE_F32;
    t->n_dims = 1;
    t->dims[0] = values;
    t->dims[1] = t->dims[2] = t->dims[3] = 1;
    t->size = (uint64_t)values * 4;
    return LLAMA4_OK;
}

/* The beginning, up to the first entry; then all of it. *n: entries; *r is left where they begin. */
static llama4_status own_old(const l4_imatrix *m, const l4_mapping *file, l4_reader *r, uint32_t *n, llama4_error *error)
{
    l4_tensor t;
    const char *name;
    size_t length;
    *r = (l4_reader){.data = file->data, .size = file->size};
    llama4_status status = l4_map_own(file, 0, 4 + 4 + MAX_NAME + 8, m->name, error);
    if (status)
        return status;
    *n = l4_read_u32(r);
    if (r->failed || *n == 0 || *n > (r->size - r->position) / SMALLEST_ENTRY)
        return no_imatrix(m, error);
    l4_reader first = *r;
    status = read_entry(m, &first, &t, &name, &length, error);
    return status ? status : own(file, m->name, error);
}

/* Twice over the entries: to learn how long their names are, and to keep them. */
static llama4_status read_old(l4_imatrix *m, l4_mapping *mapping, llama4_error *error)
{
    l4_reader r;
    uint32_t n;
    llama4_status status = l4_archive_add_file(&m->old, mapping, error);
    if (status == LLAMA4_OK)
        status = own_old(m, &m->old.files[0], &r, &n, error);
    if (status)
        return status;
    const l4_reader entries = r;
    l4_tensor t;
    const char *name;
    size_t length, bytes = 0;
    for (uint32_t i = 0; status == LLAMA4_OK && i < n; i++) {
        status = read_entry(m, &r, &t, &name, &length, error);
        bytes += length + 1;
    }
    if (status == LLAMA4_OK)
        status = l4_archive_reserve(&m->old, n, bytes, error);
    r = entries;
    for (uint32_t i = 0; status == LLAMA4_OK && i < n; i++) {
        status = read_entry(m, &r, &t, &name, &length, error);
        if (status)
            break;
        l4_tensor *kept = l4_archive_add(&m->old, name, length);
        t.name = kept->name;
        t.file = 0;
        *kept = t;
    }
    return status ? status : l4_archive_seal(&m->old, m->name, error);
}

/* ---- Opening and closing ---- */

/* Any other GGUF file, such as a model, would be one that knows nothing. */
static llama4_status check_gguf(const l4_imatrix *m, llama4_error *error)
{
    const l4_archive *archive = l4_gguf_archive(m->gguf);
    const size_t suffix = strlen(SUMS);
    for (size_t i = 0; i < archive->n_tensors; i++) {
        size_t length = strlen(archive->tensors[i].name);
        if (length > suffix && strcmp(archive->tensors[i].name + length - suffix, SUMS) == 0)
            return LLAMA4_OK;
    }
    return no_imatrix(m, error);
}

llama4_status l4_imatrix_open_mapping(const l4_allocator *a, l4_mapping *mapping, const char *name, l4_imatrix **out, llama4_error *error)
{
    l4_imatrix *m;
    llama4_status status = l4_alloc_zero(a, 1, sizeof *m, "an imatrix", &m, error);
    if (status == LLAMA4_OK) {
        m->allocator = m->old.allocator = a;
        status = l4_copy_string(a, name, strlen(name), &m->name, error);
    }
    if (status == LLAMA4_OK)
        status = l4_map_own(mapping, 0, 4, name, error);
    if (status) {
        l4_unmap(mapping);
    } else if (mapping->size >= 4 && memcmp(mapping->data, "GGUF", 4) == 0) {
        status = l4_gguf_open_mapping(a, mapping, name, &m->gguf, error);
        if (status == LLAMA4_OK)
            status = check_gguf(m, error);
        if (status == LLAMA4_OK)
            status = own(&l4_gguf_archive(m->gguf)->files[0], name, error);
    } else {
        status = read_old(m, mapping, error);
    }
    if (status)
        l4_imatrix_close(m);
    else
        *out = m;
    return status;
}

llama4_status l4_imatrix_open(const l4_allocator *a, const char *path, l4_imatrix **out, llama4_error *error)
{
    l4_mapping mapping;
    llama4_status status = l4_map_path(path, &mapping, error);
    return status ? status : l4_imatrix_open_mapping(a, &mapping, path, out, error);
}

void l4_imatrix_close(l4_imatrix *m)
{
    if (!m)
        return;
    const l4_allocator *a = m->allocator;
    l4_gguf_close(m->gguf);
    l4_archive_clear(&m->old);
    l4_free(a, m->name);
    l4_free(a, m);
}

const l4_archive *l4_imatrix_archive(const l4_imatrix *m)
{
    return m->gguf ? l4_gguf_archive(m->gguf) : &m->old;
}

/* ---- Columns ---- */

static const l4_tensor *find(const l4_imatrix *m, const char *name, const char *suffix)
{
    char full[MAX_NAME + 1];
    int n = snprintf(full, sizeof full, "%s%s", name, suffix);
    return n > 0 && (size_t)n < sizeof full ? l4_archive_find(l4_imatrix_archive(m), full) : NULL;
}

/* Where matrix `index` of the tensor has its values; NULL if it was never used. */
static llama4_status find_values(const l4_imatrix *m, const char *name, uint32_t index, uint32_t count, uint32_t cols, const uint8_t **values,
                                 llama4_error *error)
{
    const l4_tensor *sums = find(m, name, m->gguf ? SUMS : ""), *counts = m->gguf ? find(m, name, COUNTS) : NULL;
    *values = NULL;
    if (!sums)
        return LLAMA4_OK;
    if (sums->type != LLAMA4_TYPE_F32 || sums->size != 4 * (uint64_t)count * cols)
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: what %s holds is not for %u x %u columns", m->name, sums->name, (unsigned)count, (unsigned)cols);
    if (m->gguf && (!counts || counts->type != LLAMA4_TYPE_F32 || (counts->size != 4 && counts->size != 4 * (uint64_t)count)))
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: %s lacks its %u counts", m->name, sums->name, (unsigned)count);
    const float seen = counts ? l4_load_f32(counts->data + (counts->size > 4 ? 4 * (size_t)index : 0)) : 1.0f;
    if (!(seen >= 0 && seen - seen == 0))
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: %s has a negative or infinite count", m->name, name);
    if (seen > 0)
        *values = sums->data + 4 * (size_t)index * cols;
    return LLAMA4_OK;
}

llama4_status l4_imatrix_columns(const l4_imatrix *m, const char *name, uint32_t index, uint32_t count, uint32_t cols, float *out, int *known,
                                 llama4_error *error)
{
    const uint8_t *values;
    llama4_status status = find_values(m, name, index, count, cols, &values, error);
    double sum = 0;
    for (uint32_t i = 0; values && status == LLAMA4_OK && i < cols; i++) {
        float v = l4_load_f32(values + 4 * (size_t)i);
        if (!(v >= 0 && v - v == 0))
            status = l4_fail(error, LLAMA4_ERR_FORMAT, "%s: %s has a negative or infinite sum", m->name, name);
        sum += v;
    }
    if (status)
        return status;
    *known = sum > 0;
    for (uint32_t i = 0; out && *known && i < cols; i++) {
        float v = (float)(l4_load_f32(values + 4 * (size_t)i) / (sum / cols));
        out[i] = v > LEAST ? v : LEAST;
    }
    return LLAMA4_OK;
}
