/*
 * float32 products of whole blocks, and what the picture encoder does besides. Weights lie in panels of L4_DENSE_ROWS rows, [cols][rows];
 * inputs in groups of L4_DENSE_TOKENS tokens, [cols][tokens]. Both are made just before they are used. A result is one chain of fused
 * multiply-adds in the order of the columns, so that all variants, and all ways of cutting the columns into pieces, give the same bits.
 */
#ifndef L4_KERNELS_DENSE_H
#define L4_KERNELS_DENSE_H

#include <stddef.h>

#define L4_DENSE_ROWS 32
#define L4_DENSE_TOKENS 12

typedef struct l4_dense_kernels {
    /* n <= L4_DENSE_ROWS rows of `cols` numbers, ld apart -> a panel, zero where there is no row. */
    void (*panel)(const float *x, size_t ld, size_t n, size_t cols, float *panel);

    /* n <= L4_DENSE_TOKENS rows -> a group, likewise. */
    void (*group)(const float *x, size_t ld, size_t n, size_t cols, float *group);

    /* y[t * ldy + r] = the same, or start[r] unless start is NULL, + sum over c of panel[c][r] * group[c][t], for r < rows and t < tokens. */
    void (*product)(const float *panel, const float *group, size_t cols, const float *start, float *y, size_t ldy, size_t rows, size_t tokens);

    /* y = (x - mean) / sqrt(variance + epsilon) * w + b */
    void (*layer_norm)(const float *x, const float *w, const float *b, float epsilon, float *y, size_t n);

    /* x = x / 2 * (1 + erf(x / sqrt 2)), to 4e-7 * |x|. */
    void (*gelu)(float *x, size_t n);

    /* x = exp((x - max x) * factor); returns the sum. factor > 0. */
    float (*softmax)(float *x, size_t n, float factor);
} l4_dense_kernels;

#endif
