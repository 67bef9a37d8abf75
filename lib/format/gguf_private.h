/* Shared by gguf.c and gguf_keys.c alone. */
#ifndef L4_FORMAT_GGUF_PRIVATE_H
#define L4_FORMAT_GGUF_PRIVATE_H

#include "format/gguf.h"

/* The keys of one file, and a hash table over their names (see names.h). */
typedef struct l4_gguf_keys {
    l4_gguf_key *keys;
    size_t n;
    uint32_t *slots;
    size_t n_slots;
} l4_gguf_keys;

struct l4_gguf {
    l4_archive archive;
    l4_gguf_keys keys; /* of the first part */
    uint32_t version;
    char *name;        /* of the file, without its folder, for messages */
    l4_listing *listing; /* while only headers are wanted; otherwise NULL */
};

/* How much of a key's name a message shows. */
#define L4_GGUF_SHOWN(k) ((int)((k)->name_length < 100 ? (k)->name_length : 100))

/* To be called before anybody looks at a file's head. */
llama4_status l4_gguf_own_head(const l4_mapping *m, const char *name, llama4_error *error);

/* Bytes of a value; 0 for strings, arrays and unknown types. */
uint32_t l4_gguf_scalar_size(uint32_t type);

/* Builds the table; refuses a key that comes twice. */
llama4_status l4_gguf_keys_index(l4_gguf_keys *t, const l4_allocator *a, const char *file, llama4_error *error);
void l4_gguf_keys_clear(l4_gguf_keys *t, const l4_allocator *a);

/* Like l4_gguf_get_i64, of an optional key. */
llama4_status l4_gguf_keys_i64(const l4_gguf_keys *t, const char *file, const char *name, int64_t min, int64_t max, int64_t *out,
                               llama4_error *error);

#endif
