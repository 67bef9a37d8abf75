/* Writing GGUF v3. The key and tensor sections grow in memory; the head is then written in one go, and the caller streams the data. */
#include "format/gguf_write.h"

#include <string.h>

#include "base/half.h"
#include "format/gguf.h"
#include "format/types.h"

#define ALIGNMENT 32

void l4_gguf_builder_init(l4_gguf_builder *b, const l4_allocator *a)
{
    memset(b, 0, sizeof *b);
    b->allocator = a;
}

void l4_gguf_builder_clear(l4_gguf_builder *b)
{
    if (b->allocator) {
        l4_free(b->allocator, b->keys);
        l4_free(b->allocator, b->infos);
    }
    memset(b, 0, sizeof *b);
}

/* ---- Bytes ---- */

/* A section under construction: the builder's keys or infos. */
typedef struct section {
    const l4_allocator *allocator;
    uint8_t **data;
    size_t *size, *capacity;
} section;

static section keys_of(l4_gguf_builder *b)
{
    section s = {b->allocator, &b->keys, &b->keys_size, &b->keys_capacity};
    return s;
}

static section infos_of(l4_gguf_builder *b)
{
    section s = {b->allocator, &b->infos, &b->infos_size, &b->infos_capacity};
    return s;
}

/* `n` more bytes at the end, to be filled by the caller. */
static llama4_status extend(section s, size_t n, uint8_t **at, llama4_error *error)
{
    if (n > SIZE_MAX / 2 - *s.size)
        return l4_fail(error, LLAMA4_ERR_MEMORY, "out of memory for a GGUF header");
    llama4_status status = l4_grow(s.allocator, s.data, s.capacity, *s.size, *s.size + n, 1, "a GGUF header", error);
    if (status)
        return status;
    *at = *s.data + *s.size;
    *s.size += n;
    return LLAMA4_OK;
}

static void store(uint8_t *p, uint64_t value, uint32_t bytes)
{
    for (uint32_t i = 0; i < bytes; i++)
        p[i] = (uint8_t)(value >> 8 * i);
}

static llama4_status put_number(section s, uint64_t value, uint32_t bytes, llama4_error *error)
{
    uint8_t *at = NULL;
    llama4_status status = extend(s, bytes, &at, error);
    if (status == LLAMA4_OK)
        store(at, value, bytes);
    return status;
}

static llama4_status put_text(section s, const char *text, size_t length, llama4_error *error)
{
    uint8_t *at = NULL;
    if (length > SIZE_MAX / 2 - 8)
        return l4_fail(error, LLAMA4_ERR_MEMORY, "out of memory for a GGUF header");
    llama4_status status = extend(s, 8 + length, &at, error);
    if (status)
        return status;
    store(at, length, 8);
    if (length)
        memcpy(at + 8, text, length);
    return LLAMA4_OK;
}

/* ---- Keys ---- */

static llama4_status begin_key(l4_gguf_builder *b, const char *key, uint32_t type, llama4_error *error)
{
    llama4_status status = put_text(keys_of(b), key, strlen(key), error);
    if (status == LLAMA4_OK)
        status = put_number(keys_of(b), type, 4, error);
    b->n_keys += status == LLAMA4_OK;
    return status;
}

static llama4_status put_scalar(l4_gguf_builder *b, const char *key, uint32_t type, uint64_t value, uint32_t bytes, llama4_error *error)
{
    llama4_status status = begin_key(b, key, type, error);
    return status ? status : put_number(keys_of(b), value, bytes, error);
}

llama4_status l4_gguf_put_string(l4_gguf_builder *b, const char *key, const char *text, size_t length, llama4_error *error)
{
    llama4_status status = begin_key(b, key, L4_GGUF_STRING, error);
    return status ? status : put_text(keys_of(b), text, length, error);
}

llama4_status l4_gguf_put_u32(l4_gguf_builder *b, const char *key, uint32_t value, llama4_error *error)
{
    return put_scalar(b, key, L4_GGUF_U32, value, 4, error);
}

llama4_status l4_gguf_put_f32(l4_gguf_builder *b, const char *key, float value, llama4_error *error)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return put_scalar(b, key, L4_GGUF_F32, bits, 4, error);
}

llama4_status l4_gguf_put_bool(l4_gguf_builder *b, const char *key, int value, llama4_error *error)
{
    return put_scalar(b, key, L4_GGUF_BOOL, value != 0, 1, error);
}

llama4_status l4_gguf_put_array(l4_gguf_builder *b, const char *key, uint32_t element_type, uint64_t count, llama4_error *error)
{
    llama4_status status = put_scalar(b, key, L4_GGUF_ARRAY, element_type, 4, error);
    return status ? status : put_number(keys_of(b), count, 8, error);
}

llama4_status l4_gguf_append_string(l4_gguf_builder *b, const char *text, size_t length, llama4_error *error)
{
    return put_text(keys_of(b), text, length, error);
}

llama4_status l4_gguf_append_i32(l4_gguf_builder *b, int32_t value, llama4_error *error)
{
    return put_number(keys_of(b), (uint32_t)value, 4, error);
}

llama4_status l4_gguf_append_f32(l4_gguf_builder *b, float value, llama4_error *error)
{
    return put_number(keys_of(b), l4_f32_bits(value), 4, error);
}

llama4_status l4_gguf_append_u8(l4_gguf_builder *b, uint8_t value, llama4_error *error)
{
    return put_number(keys_of(b), value, 1, error);
}

/* ---- Tensors ---- */

llama4_status l4_gguf_put_tensor(l4_gguf_builder *b, const char *name, uint32_t type, uint32_t n_dims, const uint64_t *dims, llama4_error *error)
{
    const l4_type_info *info = l4_type_find(type);
    if (!info || type >= 1000)
        return l4_fail(error, LLAMA4_ERR_UNSUPPORTED, "tensor %.100s: GGUF has no type %u", name, (unsigned)type);
    uint64_t size = l4_type_row_bytes(info, dims[0]);
    for (uint32_t i = 1; i < n_dims; i++)
        size = dims[i] && size <= INT64_MAX / dims[i] ? size * dims[i] : 0;
    if (size == 0 || size > INT64_MAX - ALIGNMENT - b->data_size)
        return l4_fail(error, LLAMA4_ERR_UNSUPPORTED, "tensor %.100s: the shape does not fit type %s", name, info->name);

    llama4_status status = put_text(infos_of(b), name, strlen(name), error);
    if (status == LLAMA4_OK)
        status = put_number(infos_of(b), n_dims, 4, error);
    for (uint32_t i = 0; status == LLAMA4_OK && i < n_dims; i++)
        status = put_number(infos_of(b), dims[i], 8, error);
    if (status == LLAMA4_OK)
        status = put_number(infos_of(b), type, 4, error);
    if (status == LLAMA4_OK)
        status = put_number(infos_of(b), b->data_size, 8, error);
    if (status)
        return status;
    b->data_size += (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    b->n_tensors++;
    return LLAMA4_OK;
}

llama4_status l4_gguf_pad(l4_writer *w, llama4_error *error)
{
    static const uint8_t zeros[ALIGNMENT];
    size_t over = (size_t)(w->written % ALIGNMENT);
    return over ? l4_writer_write(w, zeros, ALIGNMENT - over, error) : LLAMA4_OK;
}

llama4_status l4_gguf_write_head(const l4_gguf_builder *b, l4_writer *w, llama4_error *error)
{
    uint8_t head[24] = "GGUF";
    store(head + 4, 3, 4);
    store(head + 8, b->n_tensors, 8);
    store(head + 16, b->n_keys, 8);
    llama4_status status = l4_writer_write(w, head, sizeof head, error);
    if (status == LLAMA4_OK)
        status = l4_writer_write(w, b->keys, b->keys_size, error);
    if (status == LLAMA4_OK)
        status = l4_writer_write(w, b->infos, b->infos_size, error);
    return status ? status : l4_gguf_pad(w, error);
}
