/* Single blocks on their way into a file. */
#ifndef L4_KERNELS_QUANTIZE_BLOCKS_H
#define L4_KERNELS_QUANTIZE_BLOCKS_H

#include <stdint.h>

#include "base/bytes.h"
#include "kernels/fit.h"

static inline void l4_put_f16(uint8_t *p, float f)
{
    l4_store_u16(p, l4_f32_to_f16(f));
}

/* Columns i and i + 16 in the low and high halves of byte i. */
static inline void l4_put_halves(const int8_t *q, uint8_t *out)
{
    for (int i = 0; i < 16; i++)
        out[i] = (uint8_t)((q[i] & 15) | (q[i + 16] & 15) << 4);
}

/* Blocks of 256 numbers. */
void l4_quantize_q2_k(const float *x, const float *importance, uint8_t *out);
void l4_quantize_q3_k(const float *x, const float *importance, uint8_t *out);
void l4_quantize_q4_k(const float *x, const float *importance, uint8_t *out);
void l4_quantize_q5_k(const float *x, const float *importance, uint8_t *out);
void l4_quantize_q6_k(const float *x, const float *importance, uint8_t *out);
void l4_quantize_iq4_xs(const float *x, const float *importance, uint8_t *out);

#endif
