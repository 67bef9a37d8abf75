/* One batch through all layers. Read next, in this order: nn/norm.h, nn/linear.h, nn/rope.h, nn/attention.h with run/kv.h, nn/moe.h, nn/ffn.h, run/logits.h,
 * sample/sampler.h. */
#ifndef L4_RUN_FORWARD_H
#define L4_RUN_FORWARD_H

#include <stdatomic.h>

#include "nn/moe.h"
#include "run/kv.h"

/* A token of a batch; the batch is sorted by sequence, positions rising. */
typedef struct l4_token {
    int32_t id;
    int32_t sequence;
    uint64_t position;
    size_t item;   /* index in the caller's batch */
    const float *embedding; /* [width]: stands in for the id's row of the embedding; or NULL */
    int64_t row;   /* of the logits; -1: not wanted */
} l4_token;

/* Intermediate results for up to `tokens` tokens, cut from one allocation. */
typedef struct l4_buffers {
    size_t tokens;
    float *memory;
    size_t bytes;
    float *x;         /* [tokens][width]: the residual stream */
    float *norm;      /* [tokens][width] */
    float *y;         /* [tokens][width]: what a block adds to x */
    float *q, *out;   /* [tokens][heads][d] */
    float *k, *v;     /* [tokens][kv_heads][d] */
    float *cosine, *sine; /* [tokens][d / 2] */
    float *temperature;   /* [tokens] */
    float *hidden;    /* of dense layers: [2][tokens][ff] */
    l4_moe_scratch moe;
    l4_attention_run *runs; /* [tokens] */
    l4_xblock *quantized;   /* of l4_exec, like the next two */
    float *factors;
    l4_share *shares;
} l4_buffers;

typedef struct l4_forward {
    const l4_weights *weights;
    l4_exec exec;
    l4_kv *kv;
    l4_buffers buffers;
    l4_guess guess;
    const atomic_int *cancel;
    llama4_progress_fn progress; /* or NULL */
    void *progress_user;
    double progress_start, progress_share; /* this batch's part of the whole call */
} l4_forward;

llama4_status l4_buffers_reserve(l4_buffers *b, const l4_allocator *a, const l4_config *c, size_t tokens, llama4_error *error);
void l4_buffers_clear(l4_buffers *b, const l4_allocator *a);
size_t l4_buffers_bytes(const l4_config *c, size_t tokens);

/* Runs n <= buffers.tokens tokens; their pages are reserved, and each sequence lies in one chunk. Writes keys and values, leaves the last
 * layer's output in buffers.x. Fails when cancelled, or when weights have to be read and cannot. */
llama4_status l4_forward_run(l4_forward *f, const l4_token *tokens, size_t n, llama4_error *error);

#endif
