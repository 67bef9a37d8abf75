/* Matrix products: y[t][r] = sum over c of W[r][c] x[t][c]. Next: nn/rope.h, nn/attention.h. */
#ifndef L4_NN_LINEAR_H
#define L4_NN_LINEAR_H

#include "model/experts.h"
#include "nn/exec.h"

typedef struct l4_product {
    const l4_matrix *w; /* [rows, cols] */
    const float *x;     /* token t at x + t * ldx: cols numbers */
    size_t ldx;
    size_t tokens;
    float *y;           /* token t at y + t * ldy: rows numbers */
    size_t ldy;
    const l4_arrival *arriving; /* w is on its way; NULL: it is there. Rows that never come are left out */
} l4_product;

/* All the products in one parallel region, split by rows. A row's sum runs in the order of c whatever the split, the number of
 * tokens or the layout of W. */
void l4_linear(const l4_exec *e, const l4_product *products, size_t n);

/* Cuts products into pieces of about equal work and returns how many they are. *grain: how many a thread takes at a time, all of them where waking another
 * costs more than it saves. */
size_t l4_linear_share(const l4_product *products, size_t n, int threads, l4_share *shares, size_t *grain);

/* Floats of working memory that a thread needs for matrices of at most max_cols columns. */
size_t l4_linear_scratch(size_t max_cols);

#endif
