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

/* Where matrices are that are not in memory: `read` copies `rows` rows from `first` on, w->stride apart, to `to`. */
typedef struct l4_dense_source {
    void (*read)(void *user, const l4_matrix *w, size_t first, size_t rows, uint8_t *to);
    void *user;
} l4_dense_source;

/* All the products in one parallel region. A sum runs in the order of c, whatever the split. source: NULL: the matrices are in memory. */
void l4_dense(const l4_exec *e, const l4_dense_source *source, const l4_dense_product *products, size_t n);

/* Floats of working memory that a thread needs for matrices whose rows are `stride` bytes apart at most; 0: that are in memory. */
size_t l4_dense_scratch(uint64_t stride);

#endif
