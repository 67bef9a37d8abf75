/* What a layer computes with: the kernels, the threads, and working memory for each thread. */
#ifndef L4_NN_EXEC_H
#define L4_NN_EXEC_H

#include "base/pool.h"
#include "kernels/kernels.h"

/* What l4_linear keeps for each product of a call. */
typedef struct l4_share {
    size_t first_block;  /* where its activations begin */
    size_t first_factor; /* and their factors */
    size_t rows, tokens; /* of a piece */
    size_t pieces;
} l4_share;

typedef struct l4_exec {
    const l4_kernels *kernels;
    l4_pool *pool;
    float *scratch;        /* scratch_size floats for each thread */
    size_t scratch_size;
    l4_xblock *quantized;  /* activations as int8, for packed matrices: as many as one call of l4_linear needs */
    float *factors;        /* of each token among them */
    l4_share *shares;      /* one for each product of a call */
} l4_exec;

/* Multiply-adds below which waking another thread costs more than it saves. */
#define L4_SMALL_WORK 40000

/* A grain for n items of `work` multiply-adds in all: everything in one piece if the work is small, otherwise about eight pieces a thread. */
static inline size_t l4_grain(const l4_exec *e, size_t n, double work)
{
    size_t pieces = 8 * (size_t)l4_pool_threads(e->pool);
    if (work < L4_SMALL_WORK || l4_pool_threads(e->pool) == 1)
        return n ? n : 1;
    return n <= pieces ? 1 : n / pieces;
}

#endif
