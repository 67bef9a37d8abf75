/* Weights of a model that does not fit into memory: what stays there all the time is read once, and routed experts as they are needed. */
#ifndef L4_MODEL_RESIDENT_H
#define L4_MODEL_RESIDENT_H

#include "base/budget.h"
#include "model/weights.h"

typedef struct l4_footprint {
    uint64_t resident;     /* bytes of the matrices that stay, packed */
    uint64_t expert;       /* of the largest routed expert; 0: there are none */
    uint64_t experts;      /* of all of them */
    uint64_t in_place;     /* of matrices that a model in memory reads where they lie in the mapped file: float ones, and the embedding */
    size_t buffer;         /* of a reader */
} l4_footprint;

/* Of bound weights that were not packed yet. */
llama4_status l4_weights_measure(const l4_weights *w, const l4_archive *archive, l4_footprint *out, llama4_error *error);

/* In place of l4_weights_pack: reads what stays, and prepares slots for experts, all counted in the budget, which the weights do not own. From then on
 * the mapped files are not touched. See l4_experts_create for `slots`. */
llama4_status l4_weights_stream(l4_weights *w, const l4_archive *archive, l4_budget *budget, const l4_footprint *footprint, uint32_t slots,
                                llama4_progress_fn progress, void *user, float from, llama4_error *error);

#endif
