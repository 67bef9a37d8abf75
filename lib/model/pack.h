/* Quantised matrices of the layers, repacked into panels of sixteen rows (kernels/packed.h) while the model is opened. */
#ifndef L4_MODEL_PACK_H
#define L4_MODEL_PACK_H

#include "model/weights.h"

/* Packs every matrix whose type has a panel kernel, except the embedding, of which rows are read. As each is done, the system may forget the
 * file's pages, so that there is no second copy at the peak. `progress` (or NULL) gets fractions from `from` to 1. On failure the weights are
 * partly packed and still valid for l4_weights_clear. */
llama4_status l4_weights_pack(l4_weights *w, const l4_archive *archive, llama4_progress_fn progress, void *user, float from, llama4_error *error);

/* LLAMA4_PATH_ value of a tensor: what the functions here and in weights_*.c make of it. */
int32_t l4_tensor_path(const l4_tensor *t);

#endif
