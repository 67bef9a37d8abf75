/* The vocabulary: ids <-> bytes, special tokens, merges. Made from GGUF keys, tokenizer.json or tiktoken's tokenizer.model. */
#ifndef L4_TEXT_VOCAB_H
#define L4_TEXT_VOCAB_H

#include <stdatomic.h>

#include "base/alloc.h"
#include "format/gguf.h"

struct llama4_vocab; /* fields in text/vocab_internal.h, for lib/text alone */

/* All of them return a vocabulary with one owner. The allocator and the log are copied. */
llama4_status l4_vocab_from_gguf(const l4_allocator *a, const l4_log *log, const l4_gguf *g, llama4_vocab **out,
                                 llama4_error *error);
llama4_status l4_vocab_from_json(const l4_allocator *a, const l4_log *log, const void *data, size_t size, const char *name,
                                 llama4_vocab **out, llama4_error *error);
llama4_status l4_vocab_from_tiktoken(const l4_allocator *a, const l4_log *log, const void *data, size_t size, const char *name,
                                     llama4_vocab **out, llama4_error *error);

/* By path: a GGUF, tokenizer.json or tiktoken file (told apart by content), or a directory that holds tokenizer.json or
 * tokenizer.model. */
llama4_status l4_vocab_from_path(const l4_allocator *a, const l4_log *log, const char *path, llama4_vocab **out,
                                 llama4_error *error);

/* Owners. One less may be NULL. */
void l4_vocab_ref(llama4_vocab *v);
void l4_vocab_release(llama4_vocab *v);

/* 1: fixed text that only LLAMA4_TOKENIZE_SPECIAL finds, but that detokenising shows: GGUF's type 4. id in range. */
int l4_vocab_user_defined(const llama4_vocab *v, int32_t id);

const l4_allocator *l4_vocab_allocator(const llama4_vocab *v);
int32_t l4_vocab_size(const llama4_vocab *v);
uint32_t l4_vocab_flags(const llama4_vocab *v, int32_t id); /* LLAMA4_TOKEN_ bits; 0 out of range */
int32_t l4_vocab_find(const llama4_vocab *v, const void *bytes, size_t length); /* see llama4_vocab_find */

/* *found: 1 if the directory holds a vocabulary, 0 if not. */
llama4_status l4_vocab_in_directory(const l4_allocator *a, const char *path, int *found, llama4_error *error);

/* Widens the vocabulary to n ids with holes (LLAMA4_TOKEN_UNUSED) if it has fewer; used where a model's output is wider than its
 * vocabulary. */
llama4_status l4_vocab_pad(llama4_vocab *v, int32_t n, llama4_error *error);

/* The bytes of an id (for a special token its name); id in range. */
const uint8_t *l4_vocab_bytes(const llama4_vocab *v, int32_t id, size_t *length);

/* The bytes that an id adds to text: none for special and unused ones, unless `flags` (LLAMA4_DETOKENIZE_) ask for their names.
 * id in range. */
const uint8_t *l4_vocab_text(const llama4_vocab *v, int32_t id, uint32_t flags, size_t *length);

/* Ids of well-known tokens by name, or -1. */
typedef struct l4_well_known {
    int32_t begin_of_text, end_of_text, header_start, header_end, eom, eot, pad;
    int32_t image_start, image_end, tile_x, tile_y, image, patch;
} l4_well_known;
const l4_well_known *l4_vocab_well_known(const llama4_vocab *v);

/* What a converter writes into a file. */
const char *l4_vocab_chat_template(const llama4_vocab *v, size_t *length); /* NULL if the source had none */
int32_t l4_vocab_eos(const llama4_vocab *v);                               /* the source's end-of-sequence id, or -1 */
size_t l4_vocab_n_merges(const llama4_vocab *v);                           /* 0 when ranks are the ids (tiktoken's rule) */
void l4_vocab_merge(const llama4_vocab *v, size_t i, int32_t *left, int32_t *right); /* the i-th merge, most urgent first */

/* A growing array of ids. */
typedef struct l4_tokens {
    const l4_allocator *allocator;
    int32_t *ids;
    size_t count, capacity;
} l4_tokens;

/* Appends the ids of a text; flags are LLAMA4_TOKENIZE_. */
llama4_status l4_vocab_encode(const llama4_vocab *v, const char *text, size_t length, uint32_t flags, l4_tokens *out,
                              llama4_error *error);
llama4_status l4_tokens_push(l4_tokens *t, int32_t id, llama4_error *error);
void l4_tokens_clear(l4_tokens *t);

/* Hands ids to a caller's array, by the header's rule for capacities. */
llama4_status l4_tokens_copy(const l4_tokens *t, int32_t *tokens, size_t capacity, size_t *count, llama4_error *error);

/* What a model makes of pictures: Meta's numbers until a model says its own. */
typedef struct l4_image_shape {
    uint32_t tile;      /* pixels a side */
    uint32_t tokens;    /* embeddings of a tile */
    uint32_t max_tiles; /* besides the one that shows the whole picture */
} l4_image_shape;
l4_image_shape l4_vocab_image_shape(const llama4_vocab *v);
void l4_vocab_set_image_shape(llama4_vocab *v, l4_image_shape shape); /* before anybody else knows the vocabulary */

/* The tiles of one picture. */
typedef struct l4_image_layout {
    uint32_t columns, rows; /* of the grid */
    uint32_t tokens;        /* embeddings of a tile */
} l4_image_layout;
uint32_t l4_image_layout_rows(const l4_image_layout *l);   /* embeddings in all */
uint32_t l4_image_layout_tokens(const l4_image_layout *l); /* ids in all */

/* Finds out a picture's tiles; `part` has an image or embeddings. */
typedef llama4_status (*l4_layout_fn)(void *user, const llama4_part *part, l4_image_layout *out, llama4_error *error);

/* Appends the ids of a conversation; see llama4_chat_tokenize. `layout` is called once for each picture, in their order. */
llama4_status l4_chat_encode(const llama4_vocab *v, const llama4_message *messages, size_t n, size_t stride, uint32_t flags, l4_layout_fn layout,
                             void *user, l4_tokens *out, llama4_error *error);

#endif
