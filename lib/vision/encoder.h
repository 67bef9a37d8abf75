/* Tiles in, embeddings out: the vision transformer, the pixel shuffle, the adapter and the projector. */
#ifndef L4_VISION_ENCODER_H
#define L4_VISION_ENCODER_H

#include <stdatomic.h>

#include "base/input.h"
#include "model/vision.h"
#include "nn/exec.h"

typedef struct l4_vision_job {
    const l4_allocator *allocator;
    const l4_vision *weights;
    const l4_archive *archive;   /* of the weights, with inputs of its files, through the cache; or NULL: they are in memory */
    l4_input *inputs;
    const l4_kernels *kernels;
    l4_pool *pool;
    const atomic_int *cancel;    /* the pool's */
    const uint8_t *bytes;        /* [tiles][tile][tile][3]; or NULL: */
    const float *numbers;        /* [tiles][3][tile][tile], normalised */
    uint32_t tiles;
    llama4_progress_fn progress; /* (or NULL) gets fractions from `start` to start + share */
    void *progress_user;
    double start, share;
} l4_vision_job;

/* Fills out [tiles * l4_vision_tokens][embedding]. A tile's result depends on nothing but the tile. */
llama4_status l4_vision_encode(const l4_vision_job *job, float *out, llama4_error *error);

#endif
