/* RMS norm: y = x / sqrt(mean(x^2) + epsilon) * w. Next: nn/linear.h. */
#ifndef L4_NN_NORM_H
#define L4_NN_NORM_H

#include "nn/exec.h"

/* One row of n numbers; w may be NULL (all ones); out may be x. */
void l4_rms_norm(const l4_kernels *k, const float *x, const float *w, float epsilon, float *out, size_t n);

/* `rows` rows of n numbers, in parallel. */
void l4_rms_norm_rows(const l4_exec *e, const float *x, const float *w, float epsilon, float *out, size_t rows, size_t n);

/* x += y over n numbers, in parallel. */
void l4_add(const l4_exec *e, float *x, const float *y, size_t n);

#endif
