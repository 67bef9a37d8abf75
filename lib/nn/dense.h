/* Products of many tokens in float32, for the picture encoder: y[t][r] = bias[r] + sum over c of W[r][c] x[t][c]. */
#ifndef L4_NN_DENSE_H
#define L4_NN_DENSE_H

#include "model/weights.h"
#include "nn/exec.h"

/* The inputs lie in groups (kernels/dense.h): tokens 12 g .. 12 g + 11 from groups + 12 g * cols on. */
typedef struct l4_dense_product {
    const l4_matrix *w;  /* [rows, cols], stored by rows, of any type */
    const float *bias;   /* [rows]; NULL: zero */
    const float *groups;
    size_t tokens;
    float *y;            /* token t at y + t * ldy */
    size_t ldy;
} l4_dense_product;

static inline size_t l4_dense_groups(size_t tokens)
{
    return (tokens + L4_DENSE_TOKENS - 1) / L4_DENSE_TOKENS;
}

/* Floats of `tokens` tokens in groups. */
static inline size_t l4_dense_floats(size_t tokens, size_t cols)
{
    return l4_dense_groups(tokens) * L4_DENSE_TOKENS * cols;
}

/* All the products in one parallel region. A sum runs in the order of c, whatever the split. */
void l4_dense(const l4_exec *e, const l4_dense_product *products, size_t n);

/* Floats of working memory that a thread needs. */
size_t l4_dense_scratch(void);

#endif
