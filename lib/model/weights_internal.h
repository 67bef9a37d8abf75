/* Shared by the two binders of tensor names to weights. */
#ifndef L4_MODEL_WEIGHTS_INTERNAL_H
#define L4_MODEL_WEIGHTS_INTERNAL_H

#include "format/types.h"
#include "model/weights.h"

typedef struct l4_binder {
    const l4_archive *archive;
    float *next_vector; /* where the next norm is stored */
} l4_binder;

/* Allocates what *out points to and prepares *b; on failure nothing is held. */
llama4_status l4_weights_begin(const l4_allocator *a, const l4_config *c, const l4_archive *archive, l4_binder *b, l4_weights *out, llama4_error *error);

/* A tensor of a type that can be computed. */
llama4_status l4_bind_find(const l4_binder *b, const char *name, const l4_tensor **out, llama4_error *error);
llama4_status l4_bind_shape(const l4_tensor *t, uint64_t d0, uint64_t d1, uint64_t d2, llama4_error *error);

/* Rows first .. first + rows - 1 of a tensor whose fastest dimension is cols. */
l4_matrix l4_bind_rows(const l4_tensor *t, uint64_t first, uint32_t rows, uint32_t cols);

/* A matrix's bytes, that are about to be looked at: see l4_map_own. */
llama4_status l4_bind_own(const l4_binder *b, const l4_matrix *m, llama4_error *error);

llama4_status l4_bind_matrix(const l4_binder *b, const char *name, uint32_t rows, uint32_t cols, l4_matrix *out, llama4_error *error);
llama4_status l4_bind_vector(l4_binder *b, const char *name, uint32_t n, const float **out, llama4_error *error);

/* Rotary frequencies, from the tensor rope_freqs.weight if it is there, otherwise from the configuration. */
llama4_status l4_bind_frequencies(const l4_binder *b, l4_weights *w, llama4_error *error);

#endif
