/* Weights into memory: all of them, or what every token needs, with room for some routed experts that are read when they are needed. */
#ifndef L4_MODEL_RESIDENT_H
#define L4_MODEL_RESIDENT_H

#include "base/budget.h"
#include "model/weights.h"

typedef struct l4_footprint {
    uint64_t resident; /* bytes of the matrices that stay, packed */
    uint64_t expert;   /* of the largest routed expert; 0: there are none */
    uint64_t experts;  /* of all of them */
    size_t buffer;     /* of a reader */
} l4_footprint;

/* Of bound weights that were not loaded yet. */
llama4_status l4_weights_measure(const l4_weights *w, const l4_archive *archive, l4_footprint *out, llama4_error *error);

/* Who is told how far it is: fractions from `from` to 1. */
typedef struct l4_weights_progress {
    llama4_progress_fn fn; /* or NULL */
    void *user;
    float from;
} l4_weights_progress;

/* Loads all weights. The mapped files are read, not touched, and not needed afterwards. cached: what is read stays in the system's cache. On failure
 * the weights are still valid for l4_weights_clear. */
llama4_status l4_weights_load(l4_weights *w, const l4_archive *archive, const l4_footprint *footprint, int cached, const l4_weights_progress *progress,
                              llama4_error *error);

/* Loads what stays, and prepares slots for experts, all counted in the budget, which the weights do not own. The mapped files are read later too, and not
 * touched. See l4_experts_create for `slots`. */
llama4_status l4_weights_stream(l4_weights *w, const l4_archive *archive, l4_budget *budget, const l4_footprint *footprint, uint32_t slots,
                                const l4_weights_progress *progress, llama4_error *error);

#endif
