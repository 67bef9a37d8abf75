/* Writing GGUF v3: keys and tensor descriptions first, in memory, then the tensors' bytes in the same order. */
#ifndef L4_FORMAT_GGUF_WRITE_H
#define L4_FORMAT_GGUF_WRITE_H

#include "base/file.h"

typedef struct l4_gguf_builder {
    const l4_allocator *allocator;
    uint8_t *keys;         /* encoded key-value section */
    size_t keys_size, keys_capacity;
    uint64_t n_keys;
    uint8_t *infos;        /* encoded tensor infos */
    size_t infos_size, infos_capacity;
    uint64_t n_tensors;
    uint64_t data_size;    /* of all tensors described so far, padding included */
} l4_gguf_builder;

void l4_gguf_builder_init(l4_gguf_builder *b, const l4_allocator *a);
void l4_gguf_builder_clear(l4_gguf_builder *b);

llama4_status l4_gguf_put_string(l4_gguf_builder *b, const char *key, const char *text, size_t length, llama4_error *error);
llama4_status l4_gguf_put_u32(l4_gguf_builder *b, const char *key, uint32_t value, llama4_error *error);
llama4_status l4_gguf_put_f32(l4_gguf_builder *b, const char *key, float value, llama4_error *error);
llama4_status l4_gguf_put_bool(l4_gguf_builder *b, const char *key, int value, llama4_error *error);

/* An array: its head first, then exactly `count` elements with the matching l4_gguf_append_ function. */
llama4_status l4_gguf_put_array(l4_gguf_builder *b, const char *key, uint32_t element_type, uint64_t count, llama4_error *error);
llama4_status l4_gguf_append_string(l4_gguf_builder *b, const char *text, size_t length, llama4_error *error);
llama4_status l4_gguf_append_i32(l4_gguf_builder *b, int32_t value, llama4_error *error); /* I32, U32 */
llama4_status l4_gguf_append_f32(l4_gguf_builder *b, float value, llama4_error *error);
llama4_status l4_gguf_append_u8(l4_gguf_builder *b, uint8_t value, llama4_error *error);  /* BOOL, U8 */

/* Describes the next tensor; dims fastest first. */
llama4_status l4_gguf_put_tensor(l4_gguf_builder *b, const char *name, uint32_t type, uint32_t n_dims, const uint64_t *dims, llama4_error *error);

/* Writes header, keys, infos and the padding before the data. Then, for each tensor in order, the caller writes its bytes with l4_writer_write and
 * calls l4_gguf_pad. Alignment is 32. */
llama4_status l4_gguf_write_head(const l4_gguf_builder *b, l4_writer *w, llama4_error *error);
llama4_status l4_gguf_pad(l4_writer *w, llama4_error *error);

#endif
