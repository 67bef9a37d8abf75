/* Reading GGUF v2 and v3, split files included: untrusted bytes -> checked keys and tensors. */
#ifndef L4_FORMAT_GGUF_H
#define L4_FORMAT_GGUF_H

#include "base/bytes.h"
#include "format/archive.h"

typedef struct l4_gguf l4_gguf;

/* Opens a file by path. If it is part of a split model ("...-00002-of-00003.gguf"), opens all parts; keys come from the
 * first. The allocator must outlive the result. */
llama4_status l4_gguf_open(const l4_allocator *a, const char *path, l4_gguf **out, llama4_error *error);

/* The same for whoever wants nothing but keys and shapes: parts other than the first may be absent, and files may end behind their lists of tensors. */
llama4_status l4_gguf_open_headers(const l4_allocator *a, const char *path, l4_gguf **out, l4_listing *listing, llama4_error *error);

/* Reads a single file that is already mapped; takes the mapping over on success and on failure. `name` is for messages. A file
 * that is part of a split model is refused. */
llama4_status l4_gguf_open_mapping(const l4_allocator *a, l4_mapping *mapping, const char *name, l4_gguf **out, llama4_error *error);

void l4_gguf_close(l4_gguf *g);

/* Unmaps the files: what is left is the list of tensors, without their data and without keys. */
void l4_gguf_unmap(l4_gguf *g);

const l4_archive *l4_gguf_archive(const l4_gguf *g);
uint32_t l4_gguf_version(const l4_gguf *g);

/* Value types of keys. */
enum {
    L4_GGUF_U8, L4_GGUF_I8, L4_GGUF_U16, L4_GGUF_I16, L4_GGUF_U32, L4_GGUF_I32, L4_GGUF_F32, L4_GGUF_BOOL, L4_GGUF_STRING,
    L4_GGUF_ARRAY, L4_GGUF_U64, L4_GGUF_I64, L4_GGUF_F64
};

typedef struct l4_gguf_key {
    const char *name;      /* name_length bytes, not terminated */
    size_t name_length;
    uint32_t type;         /* L4_GGUF_ value */
    uint32_t element_type; /* of an array; never an array itself */
    uint64_t count;        /* elements of an array */
    const uint8_t *data;   /* the value; for arrays their first element; for strings the 8-byte length */
    size_t size;           /* bytes of the value, checked */
} l4_gguf_key;

size_t l4_gguf_n_keys(const l4_gguf *g);
const l4_gguf_key *l4_gguf_key_at(const l4_gguf *g, size_t index);
const l4_gguf_key *l4_gguf_find(const l4_gguf *g, const char *name); /* NULL if absent */

/* Typed reads. A key that is absent leaves *out as it is and returns LLAMA4_OK, unless `required`. A key of an unfit type or a
 * value out of range is LLAMA4_ERR_FORMAT, and names the key. Integers accept every integer type and bool; floats accept F32 and F64 and integers. */
llama4_status l4_gguf_get_i64(const l4_gguf *g, const char *name, int required, int64_t min, int64_t max, int64_t *out, llama4_error *error);
llama4_status l4_gguf_get_f32(const l4_gguf *g, const char *name, int required, float *out, llama4_error *error);
llama4_status l4_gguf_get_bool(const l4_gguf *g, const char *name, int *out, llama4_error *error);
llama4_status l4_gguf_get_string(const l4_gguf *g, const char *name, int required, const char **text, size_t *length, llama4_error *error);

/* Element i of a numeric array as int64 (bool: 0 or 1); i < count. Floats give 0. */
int64_t l4_gguf_array_i64(const l4_gguf_key *key, uint64_t i);

/* Walks a string array: start with a reader from l4_gguf_strings, call this `count` times; then NULL. */
l4_reader l4_gguf_strings(const l4_gguf_key *key);
const char *l4_gguf_next_string(l4_reader *r, size_t *length);

#endif
