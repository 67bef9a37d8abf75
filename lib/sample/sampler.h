/* The sampler chain. The public functions of the same names only check arguments. */
#ifndef L4_SAMPLE_SAMPLER_H
#define L4_SAMPLE_SAMPLER_H

#include "base/alloc.h"

struct llama4_sampler;

enum { L4_STEP_GREEDY, L4_STEP_TEMPERATURE, L4_STEP_TOP_K, L4_STEP_TOP_P, L4_STEP_MIN_P };

/* `model` is only remembered; its owner keeps it alive. */
llama4_status l4_sampler_create(const l4_allocator *a, llama4_model *model, uint64_t seed, llama4_sampler **out,
                                llama4_error *error);
void l4_sampler_destroy(llama4_sampler *s);
llama4_model *l4_sampler_model(const llama4_sampler *s);
llama4_status l4_sampler_add(llama4_sampler *s, int step, float value, int32_t k, llama4_error *error);
void l4_sampler_reset(llama4_sampler *s, uint64_t seed);

/* The most likely token, the lowest id among equals: what a sampler without steps gives. */
llama4_status l4_sample_greedy(const float *logits, size_t n, int32_t *token, llama4_error *error);
llama4_status l4_sampler_sample(llama4_sampler *s, const float *logits, size_t n, int32_t *token, llama4_error *error);

#endif
