/* The vocabulary's fields, for lib/text alone, and the builder that the three file formats fill. */
#ifndef L4_TEXT_VOCAB_INTERNAL_H
#define L4_TEXT_VOCAB_INTERNAL_H

#include <string.h>

#include "base/bytes.h"
#include "text/vocab.h"

#define L4_LONGEST_TOKEN 1024 /* bytes of any token or name; the published vocabulary's longest has 113 */
#define L4_LONGEST_PROBE 2048 /* a hash table with longer rows of taken slots was made to hurt */
#define L4_NO_RANK UINT32_MAX

/* Where an id's bytes lie in the pool. */
typedef struct l4_span {
    uint32_t offset, length;
} l4_span;

/* Ordinary tokens by their bytes, open addressing. Key 0: empty. */
typedef struct l4_slot {
    uint64_t key; /* up to 7 bytes stand for themselves; longer tokens have a hash with the top bit set */
    int32_t id;
    uint32_t offset;
} l4_slot;

/* Merges by their pair of ids, open addressing. Rank L4_NO_RANK: empty. */
typedef struct l4_pair {
    int32_t left, right;
    int32_t merged;
    uint32_t rank;
} l4_pair;

typedef struct l4_merge {
    int32_t left, right;
} l4_merge;

struct llama4_vocab {
    atomic_int owners;
    l4_allocator allocator;
    l4_log log;
    int32_t size; /* ids */
    int32_t n_ordinary;
    uint8_t *pool;
    l4_span *spans; /* [size] */
    uint8_t *flags; /* [size], LLAMA4_TOKEN_ */
    l4_slot *slots; /* ordinary tokens */
    uint32_t slot_mask, slot_shift;
    uint32_t longest; /* of the ordinary tokens */
    int32_t byte_ids[256];
    int32_t *named; /* special and user-defined tokens, ascending by their bytes */
    uint32_t n_named;
    uint32_t first_byte[257]; /* named[first_byte[b]] is the first that begins with a byte >= b */
    l4_merge *merges;         /* NULL: ranks are the ids */
    size_t n_merges;
    l4_pair *pairs;
    uint32_t pair_mask, pair_shift;
    l4_well_known known;
    l4_image_shape image_shape; /* zero: not said */
    char *chat_template; /* or NULL */
    size_t template_length;
    int32_t eos;
};

static inline uint64_t l4_scatter(uint64_t x)
{
    return x * UINT64_C(0x9e3779b97f4a7c15);
}

static inline uint64_t l4_token_key(const uint8_t *b, size_t n)
{
    if (n >= 8) {
        uint64_t h = l4_scatter(n);
        for (size_t i = 0; i + 8 < n; i += 8) {
            h = l4_scatter(h ^ l4_load_u64(b + i));
            h ^= h >> 29;
        }
        h = l4_scatter(h ^ l4_load_u64(b + n - 8));
        return (h ^ h >> 31) | UINT64_C(1) << 63;
    }
    uint64_t key = (uint64_t)n << 56;
    if (n >= 4)
        return key | l4_load_u32(b) | ((uint64_t)l4_load_u32(b + n - 4) >> (8 - n) * 8) << 32;
    return key | (uint64_t)b[0] | (uint64_t)b[n >> 1] << 8 | (uint64_t)b[n - 1] << 16;
}

/* The ordinary token of exactly these n > 0 bytes, or -1. */
static inline int32_t l4_find_ordinary(const llama4_vocab *v, const uint8_t *bytes, size_t n)
{
    if (n > v->longest)
        return -1;
    uint64_t key = l4_token_key(bytes, n);
    for (uint32_t i = (uint32_t)(l4_scatter(key) >> v->slot_shift);; i = (i + 1) & v->slot_mask) {
        const l4_slot *s = &v->slots[i];
        if (s->key == key && (n < 8 || (v->spans[s->id].length == n && memcmp(v->pool + s->offset, bytes, n) == 0)))
            return s->id;
        if (s->key == 0)
            return -1;
    }
}

/* The merge of two ids, or NULL. Only where merges are listed. */
static inline const l4_pair *l4_find_pair(const llama4_vocab *v, int32_t left, int32_t right)
{
    uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    for (uint32_t i = (uint32_t)(l4_scatter(key) >> v->pair_shift);; i = (i + 1) & v->pair_mask) {
        const l4_pair *p = &v->pairs[i];
        if (p->rank == L4_NO_RANK)
            return NULL;
        if (p->left == left && p->right == right)
            return p;
    }
}

/* The special or user-defined token of exactly this name, or -1. */
int32_t l4_find_named(const llama4_vocab *v, const uint8_t *name, size_t n);

/* ---- Building ---- */

enum {
    L4_ENTRY_ORDINARY,
    L4_ENTRY_ENCODED, /* ordinary, in the byte-to-unicode alphabet */
    L4_ENTRY_SPECIAL,
    L4_ENTRY_USER, /* a fixed piece of text: visible, but only found where special names are */
    L4_ENTRY_UNUSED
};

typedef struct l4_entry {
    int32_t id;
    uint32_t offset, length;
    uint32_t kind;
} l4_entry;

typedef struct l4_builder {
    l4_allocator allocator;
    l4_log log;
    const char *name; /* of the source, for messages */
    size_t source_size;
    uint8_t *pool;
    size_t pool_size, pool_capacity;
    l4_entry *entries;
    size_t n_entries, entries_capacity;
} l4_builder;

void l4_builder_init(l4_builder *b, const l4_allocator *a, const l4_log *log, const char *name, size_t source_size);
void l4_builder_clear(l4_builder *b);
llama4_status l4_builder_add(l4_builder *b, int64_t id, const void *bytes, size_t length, int kind, llama4_error *error);

/* Checks everything and makes the tables. An id may come twice if once special and with the same text. */
llama4_status l4_builder_finish(l4_builder *b, llama4_vocab **out, llama4_error *error);

/* 1 if a list of n merges says in which order to merge; otherwise the ids do. */
int l4_merges_rule(const llama4_vocab *v, uint64_t n);

/* Room for n merges; then l4_merges_add n times, most urgent first, in the byte-to-unicode alphabet. */
llama4_status l4_merges_init(llama4_vocab *v, uint64_t n, llama4_error *error);
llama4_status l4_merges_add(llama4_vocab *v, const char *name, const char *left, size_t n_left, const char *right, size_t n_right,
                            llama4_error *error);

/* "left right" cut at the space. */
llama4_status l4_merges_add_line(llama4_vocab *v, const char *name, const char *line, size_t n, llama4_error *error);

/* The alphabet of GPT-2, which writes every byte as one printable code point: decodes n bytes to `out` (which may be `text`).
 * Returns the number of bytes, or SIZE_MAX if a code point is not one of the 256. */
size_t l4_alphabet_decode(const uint8_t *text, size_t n, uint8_t *out);

#endif
