/* Attention of a tile's patches to each other, all to all, with positions in two dimensions. */
#ifndef L4_VISION_ATTENTION_H
#define L4_VISION_ATTENTION_H

#include "nn/exec.h"

typedef struct l4_vision_attention_args {
    size_t tiles, positions; /* positions: of a tile, the class token last */
    size_t heads, d;
    const float *cosine, *sine; /* [positions][d / 2] */
    float *qkv;                 /* [tiles * positions][3][heads][d]; the result replaces the queries */
} l4_vision_attention_args;

void l4_vision_attention(const l4_exec *e, const l4_vision_attention_args *args);

size_t l4_vision_attention_scratch(size_t positions, size_t d); /* floats for each thread */

/* Cosines and sines [side * side + 1][half]: pairs of the first half turn by x + 1, the others by y + 1, the class token not at all. */
void l4_vision_angles(size_t side, size_t half, float base, float *cosine, float *sine);

#endif
