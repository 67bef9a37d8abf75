/* The state of running sequences: KV cache, scratch, threads and logits. The public functions of the same names only check arguments. */
#ifndef L4_RUN_CONTEXT_H
#define L4_RUN_CONTEXT_H

#include <stdatomic.h>

#include "base/alloc.h"
#include "base/budget.h"
#include "base/pool.h"
#include "kernels/kernels.h"
#include "model/weights.h"

struct llama4_context;

/* `model` is only remembered; its owner keeps it alive. */
typedef struct l4_context_setup {
    const l4_allocator *allocator;
    l4_budget *budget; /* whose allocator it is; NULL: memory has no limit */
    const l4_weights *weights;
    llama4_model *model;
    int32_t cpu_level; /* cap */
    int32_t patch_token; /* the vocabulary's <|patch|>, or -1 */
    llama4_context_params params; /* checked and complete */
} l4_context_setup;

llama4_status l4_context_create(const l4_context_setup *setup, llama4_context **out, llama4_error *error);
void l4_context_destroy(llama4_context *c);
llama4_model *l4_context_model(const llama4_context *c);

/* embeddings: n_numbers floats, or NULL; see llama4_context_decode_embeddings. */
llama4_status l4_context_decode(llama4_context *c, const llama4_batch_item *items, size_t n, size_t stride, const float *embeddings,
                                size_t n_numbers, llama4_error *error);
llama4_status l4_context_logits(const llama4_context *c, size_t item, const float **logits, size_t *count, llama4_error *error);
void l4_context_cancel(llama4_context *c);
int64_t l4_context_length(const llama4_context *c); /* positions per sequence */
int64_t l4_context_sequence_length(const llama4_context *c, int32_t sequence); /* -1: no such sequence */
llama4_status l4_context_truncate(llama4_context *c, int32_t sequence, int64_t length, llama4_error *error);
llama4_status l4_context_fork(llama4_context *c, int32_t from, int32_t to, llama4_error *error);
void l4_context_get_info(const llama4_context *c, llama4_context_info *info);

/* Tokens that each of a mixture layer's experts was chosen for so far: counts[experts]. */
void l4_context_routed(const llama4_context *c, uint32_t layer, uint64_t *counts);

/* About the memory of a context that computes `tokens` tokens together, of one sequence of that length. */
uint64_t l4_context_bytes(const l4_config *c, int threads, size_t tokens);

/* What a context computes with, for work that it does not know. */
typedef struct l4_context_tools {
    const l4_kernels *kernels;
    l4_pool *pool;
    atomic_int *cancel; /* who stops because of it sets it back to 0 */
    llama4_progress_fn progress; /* or NULL */
    void *progress_user;
} l4_context_tools;

l4_context_tools l4_context_borrow(llama4_context *c);

/* Decodes are a part of a longer work: their progress goes from `start` to start + share. 0 and 1 when it is over. */
void l4_context_share_progress(llama4_context *c, double start, double share);

#endif
