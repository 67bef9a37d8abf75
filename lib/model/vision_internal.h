/* Shared by the two binders of tensor names to the picture encoder. */
#ifndef L4_MODEL_VISION_INTERNAL_H
#define L4_MODEL_VISION_INTERNAL_H

#include "model/vision.h"
#include "model/weights_internal.h"

/* Allocates what *out points to and prepares *b; on failure nothing is held. */
llama4_status l4_vision_begin(const l4_allocator *a, const l4_vision_config *c, const l4_archive *archive, l4_binder *b, l4_vision *out,
                              llama4_error *error);

llama4_status l4_vision_bind_rows(l4_binder *b, const char *name, uint32_t rows, uint32_t cols, const float **out, llama4_error *error);

/* name.weight and name.bias */
llama4_status l4_vision_bind_pair(l4_binder *b, const char *name, uint32_t n, const float *out[2], llama4_error *error);
llama4_status l4_vision_bind_linear(l4_binder *b, const char *name, uint32_t rows, uint32_t cols, l4_matrix *w, const float **bias, llama4_error *error);

llama4_status l4_vision_bind_adapter(const l4_binder *b, const char *fc1, const char *fc2, const char *projector, l4_vision *v, llama4_error *error);

#endif
