/* The gated feed-forward: down(silu(gate x) * (up x)), for a dense layer. Next: run/logits.h. */
#ifndef L4_NN_FFN_H
#define L4_NN_FFN_H

#include "nn/linear.h"

/* gate = silu(gate) * up over n numbers, in parallel. */
void l4_gate(const l4_exec *e, float *gate, const float *up, size_t n);

/* x [tokens][width] -> y [tokens][width]; hidden holds 2 * tokens * ff floats. */
void l4_ffn_dense(const l4_exec *e, const l4_ffn *f, const float *x, size_t tokens, float *hidden, float *y);

#endif
