/* Softmax attention over pages of keys and values. Next: nn/moe.h. */
#ifndef L4_NN_ATTENTION_H
#define L4_NN_ATTENTION_H

#include "nn/exec.h"

/* A page holds L4_ATTENTION_BLOCK positions. For one layer, from `layer_offset`, for each head: a plane of keys, [d][positions], then one of
 * values, [positions][d], in the cache's type. So scores and sums have their results side by side in memory. Integers lie in pairs, [d / 2][positions][2]
 * and [positions / 2][d][2], and a plane of them ends with the float32 units of its positions. */
typedef struct l4_attention_run {
    size_t first, tokens;         /* rows of q and out; tokens <= L4_ATTENTION_TOKENS, of one sequence at successive positions */
    uint64_t keys;                /* that the first token sees, itself included; the next ones see one more each */
    const uint8_t *const *pages;  /* the sequence's pages, from the first key on */
} l4_attention_run;

#define L4_ATTENTION_TOKENS 16

typedef struct l4_attention_args {
    const l4_attention_run *runs;
    size_t n_runs;
    const float *q;         /* [tokens][heads][d] */
    float *out;             /* [tokens][heads][d] */
    size_t heads, kv_heads, d;
    size_t layer_offset;    /* bytes */
    int kv_slot;            /* L4_KV_..._SLOT */
} l4_attention_args;

/* Each token takes its keys block after block from the first page on, so its result does not depend on the run it is in. */
void l4_attention(const l4_exec *e, const l4_attention_args *args);

size_t l4_attention_scratch(size_t heads, size_t kv_heads, size_t d); /* floats for each thread */

/* Puts one token's keys and values, [kv_heads][d] each, to position `at` of a page; `layer`: the layer's part of it. */
void l4_attention_store(const l4_kernels *k, uint8_t *layer, size_t kv_heads, size_t d, int kv_slot, size_t at, const float *key, const float *value);

/* Bytes of one layer in a page, and of one head's keys or values; where integers' units begin in those. */
size_t l4_attention_layer_bytes(size_t kv_heads, size_t d, int kv_slot);
size_t l4_attention_plane(size_t d, int kv_slot);
size_t l4_attention_units(size_t d, int kv_slot);

#endif
