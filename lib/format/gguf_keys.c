/* The keys of a GGUF file: finding them, and reading their values as what the caller needs. */
#include <float.h>
#include <string.h>

#include "format/gguf_private.h"
#include "format/names.h"

uint32_t l4_gguf_scalar_size(uint32_t type)
{
    static const uint8_t size[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    return type < sizeof size ? size[type] : 0;
}

/* ---- Finding ---- */

/* The slot of a name, or of the empty place where it belongs; n_slots if the search is too long. */
static size_t find_slot(const l4_gguf_keys *t, const char *name, size_t length)
{
    size_t mask = t->n_slots - 1, slot = l4_names_hash(name, length);
    for (size_t probe = 0; probe < L4_NAMES_PROBES; probe++, slot++) {
        uint32_t at = t->slots[slot & mask];
        if (at == 0)
            return slot & mask;
        const l4_gguf_key *k = &t->keys[at - 1];
        if (k->name_length == length && memcmp(k->name, name, length) == 0)
            return slot & mask;
    }
    return t->n_slots;
}

llama4_status l4_gguf_keys_index(l4_gguf_keys *t, const l4_allocator *a, const char *file, llama4_error *error)
{
    size_t n = l4_names_slots(t->n);
    if (t->n >= UINT32_MAX)
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%s has too many keys", file);
    llama4_status status = l4_alloc_zero(a, n, sizeof *t->slots, "the table of keys", &t->slots, error);
    if (status)
        return status;
    t->n_slots = n;
    for (size_t i = 0; i < t->n; i++) {
        const l4_gguf_key *k = &t->keys[i];
        size_t slot = find_slot(t, k->name, k->name_length);
        if (slot == n)
            return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: key names like %.*s collide too often", file, L4_GGUF_SHOWN(k), k->name);
        if (t->slots[slot])
            return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: key %.*s comes twice", file, L4_GGUF_SHOWN(k), k->name);
        t->slots[slot] = (uint32_t)i + 1;
    }
    return LLAMA4_OK;
}

void l4_gguf_keys_clear(l4_gguf_keys *t, const l4_allocator *a)
{
    l4_free(a, t->keys);
    l4_free(a, t->slots);
    memset(t, 0, sizeof *t);
}

static const l4_gguf_key *find(const l4_gguf_keys *t, const char *name)
{
    if (t->n_slots == 0)
        return NULL;
    size_t slot = find_slot(t, name, strlen(name));
    return slot < t->n_slots && t->slots[slot] ? &t->keys[t->slots[slot] - 1] : NULL;
}

const l4_archive *l4_gguf_archive(const l4_gguf *g)
{
    return &g->archive;
}

uint32_t l4_gguf_version(const l4_gguf *g)
{
    return g->version;
}

size_t l4_gguf_n_keys(const l4_gguf *g)
{
    return g->keys.n;
}

const l4_gguf_key *l4_gguf_key_at(const l4_gguf *g, size_t index)
{
    return &g->keys.keys[index];
}

const l4_gguf_key *l4_gguf_find(const l4_gguf *g, const char *name)
{
    return find(&g->keys, name);
}

/* ---- Reading ---- */

static llama4_status missing(const char *file, const char *name, llama4_error *error)
{
    return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: key %s is missing", file, name);
}

/* An integer at p: its magnitude and sign; 0 if `type` is no integer type. */
static int load_integer(uint32_t type, const uint8_t *p, uint64_t *magnitude, int *negative)
{
    uint32_t size = l4_gguf_scalar_size(type);
    int is_signed = type == L4_GGUF_I8 || type == L4_GGUF_I16 || type == L4_GGUF_I32 || type == L4_GGUF_I64;
    if (size == 0 || type == L4_GGUF_F32 || type == L4_GGUF_F64)
        return 0;
    uint64_t value = size == 1 ? *p : size == 2 ? l4_load_u16(p) : size == 4 ? l4_load_u32(p) : l4_load_u64(p);
    *negative = is_signed && value >> (8 * size - 1);
    if (*negative) /* two's complement of `size` bytes */
        value = size == 8 ? 0 - value : (UINT64_C(1) << 8 * size) - value;
    *magnitude = value;
    return 1;
}

static int to_i64(uint64_t magnitude, int negative, int64_t *out)
{
    if (negative)
        *out = -(int64_t)(magnitude - 1) - 1;
    else if (magnitude <= INT64_MAX)
        *out = (int64_t)magnitude;
    else
        return 0;
    return 1;
}

llama4_status l4_gguf_keys_i64(const l4_gguf_keys *t, const char *file, const char *name, int64_t min, int64_t max, int64_t *out,
                               llama4_error *error)
{
    const l4_gguf_key *k = find(t, name);
    uint64_t magnitude;
    int64_t value = 0;
    int negative;
    if (!k)
        return LLAMA4_OK;
    if (!load_integer(k->type, k->data, &magnitude, &negative))
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: key %s is not an integer", file, name);
    if (!to_i64(magnitude, negative, &value) || value < min || value > max)
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: key %s is %s%llu, outside %lld .. %lld", file, name, negative ? "-" : "",
                       (unsigned long long)magnitude, (long long)min, (long long)max);
    *out = value;
    return LLAMA4_OK;
}

llama4_status l4_gguf_get_i64(const l4_gguf *g, const char *name, int required, int64_t min, int64_t max, int64_t *out, llama4_error *error)
{
    if (required && !l4_gguf_find(g, name))
        return missing(g->name, name, error);
    return l4_gguf_keys_i64(&g->keys, g->name, name, min, max, out, error);
}

llama4_status l4_gguf_get_f32(const l4_gguf *g, const char *name, int required, float *out, llama4_error *error)
{
    const l4_gguf_key *k = l4_gguf_find(g, name);
    uint64_t magnitude;
    int negative;
    double value;
    if (!k)
        return required ? missing(g->name, name, error) : LLAMA4_OK;
    if (k->type == L4_GGUF_F32)
        value = (double)l4_load_f32(k->data);
    else if (k->type == L4_GGUF_F64) {
        uint64_t bits = l4_load_u64(k->data);
        memcpy(&value, &bits, sizeof value);
    } else if (load_integer(k->type, k->data, &magnitude, &negative))
        value = negative ? -(double)magnitude : (double)magnitude;
    else
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: key %s is not a number", g->name, name);
    if (!(value >= -(double)FLT_MAX && value <= (double)FLT_MAX))
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: key %s is not a finite number", g->name, name);
    *out = (float)value;
    return LLAMA4_OK;
}

llama4_status l4_gguf_get_bool(const l4_gguf *g, const char *name, int *out, llama4_error *error)
{
    int64_t value = *out != 0;
    llama4_status status = l4_gguf_get_i64(g, name, 0, 0, 1, &value, error);
    if (status == LLAMA4_OK && l4_gguf_find(g, name))
        *out = (int)value;
    return status;
}

llama4_status l4_gguf_get_string(const l4_gguf *g, const char *name, int required, const char **text, size_t *length, llama4_error *error)
{
    const l4_gguf_key *k = l4_gguf_find(g, name);
    if (!k)
        return required ? missing(g->name, name, error) : LLAMA4_OK;
    if (k->type != L4_GGUF_STRING)
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: key %s is not a string", g->name, name);
    *text = (const char *)k->data + 8;
    *length = k->size - 8;
    return LLAMA4_OK;
}

int64_t l4_gguf_array_i64(const l4_gguf_key *key, uint64_t i)
{
    uint64_t magnitude;
    int64_t value;
    int negative;
    const uint8_t *p = key->data + (size_t)i * l4_gguf_scalar_size(key->element_type);
    if (!load_integer(key->element_type, p, &magnitude, &negative))
        return 0;
    if (key->element_type == L4_GGUF_BOOL)
        return magnitude != 0;
    return to_i64(magnitude, negative, &value) ? value : INT64_MAX;
}

l4_reader l4_gguf_strings(const l4_gguf_key *key)
{
    l4_reader r = {key->data, key->size, 0, 0};
    return r;
}

const char *l4_gguf_next_string(l4_reader *r, size_t *length)
{
    uint64_t n = l4_read_u64(r);
    const uint8_t *p = l4_read_bytes(r, n);
    *length = p ? (size_t)n : 0;
    return (const char *)p;
}
