/* The mixture of experts: a shared expert for every token, and the experts that the router picks. Next: nn/ffn.h. */
#ifndef L4_NN_MOE_H
#define L4_NN_MOE_H

#include "model/experts.h"
#include "nn/linear.h"

/* Working memory for up to `tokens` tokens, `used` experts each. */
typedef struct l4_moe_scratch {
    float *router;        /* [tokens][experts] */
    float *gathered;      /* [tokens * used][width]: inputs in order of experts, already multiplied by their gates */
    float *hidden;        /* [2][tokens * (1 + used)][ff] */
    float *routed;        /* [tokens * used][width] */
    uint32_t *order;      /* [tokens * used]: row in `gathered` of choice i (token i / used) */
    uint32_t *choice;     /* [tokens * used]: expert of choice i */
    float *gate;          /* [tokens * used] */
    uint32_t *counts;     /* [experts + 1] */
    l4_product *products; /* [2 * (experts + 1)] */
    const l4_ffn **ffn;   /* [experts]: those that can be computed now */
    uint32_t *slot;       /* [experts], of a visit to streamed experts, like the next */
    uint8_t *state;       /* [experts] */
    uint64_t *routed_tokens; /* [layers][experts]: tokens that each expert was chosen for so far; may be NULL */
    l4_guess *guess;      /* what the last mixture layer guessed about the next one */
} l4_moe_scratch;

/* For experts that are streamed, and few tokens: guesses which of them the next mixture layer after `layer` will choose, by its router and the
 * residual stream x [tokens][width] as it is now. Before l4_moe, whose working memory it uses. */
l4_guess l4_moe_guess(const l4_exec *e, const l4_weights *w, uint32_t layer, const float *x, size_t tokens, const l4_moe_scratch *s);

/* x [tokens][width] -> y [tokens][width]. A token's gate, sigmoid(z), multiplies its expert's input; on equal z the lower
 * expert wins. The experts' outputs are added in the order of their z, whatever the order in which they are computed. Experts that are not in memory
 * are read: fails if that does, or if *cancel was set while it waited for them. `guess` is about the next layer: it goes to s->guess. */
llama4_status l4_moe(const l4_exec *e, const l4_weights *w, uint32_t layer, const float *x, size_t tokens, const l4_moe_scratch *s, float *y,
                     const l4_guess *guess, const atomic_int *cancel, llama4_error *error);

#endif
