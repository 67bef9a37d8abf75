/* The last norm and the output matrix, for the tokens that asked for it. Next: sample/sampler.h. */
#ifndef L4_RUN_LOGITS_H
#define L4_RUN_LOGITS_H

#include "run/forward.h"

/* Logits of the tokens with row >= 0 (rows first_row, first_row + 1, ... in some order) to logits + row * vocab. */
void l4_logits_compute(const l4_forward *f, const l4_token *tokens, size_t n, int64_t first_row, float *logits);

#endif
