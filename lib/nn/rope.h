/* Rotary positions, and the attention temperature of layers without them. Next: nn/attention.h. */
#ifndef L4_NN_ROPE_H
#define L4_NN_ROPE_H

#include <stddef.h>
#include <stdint.h>

/* Cosines and sines of position * freq[j], j < half; the angle is one float32 product, as in the reference. */
void l4_rope_angles(uint64_t position, const float *freq, size_t half, float *cosine, float *sine);

/* Turns each adjacent pair (v[2j], v[2j + 1]) of `heads` rows of 2 * half numbers. */
void l4_rope_rotate(float *v, size_t heads, size_t half, const float *cosine, const float *sine);

/* 1 + scale * ln(floor((position + 1) / length) + 1) */
float l4_attention_temperature(uint64_t position, float scale, uint32_t length);

#endif
