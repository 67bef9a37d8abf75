/*
 * Stored blocks -> float32, one function per type: `bytes` bytes in, at any alignment, `block` numbers out. Every number is
 * computed in float32 by the same operations in the same order as in the PyPI package gguf (gguf/quants.py), so that the bits are
 * the same. Any bytes are valid input; infinite and NaN scales go through the arithmetic like other numbers.
 */
#ifndef L4_KERNELS_DECODE_H
#define L4_KERNELS_DECODE_H

#include <stdint.h>

#include "base/bytes.h"
#include "base/half.h"

/* Every type that is computed by way of these functions: X(GGUF number, function and slot, name, elements per block, bytes per block).
 * The kernels' table, l4_kernels_can and the tests follow from this list; format/types.c has the same sizes. */
#define L4_BLOCK_TYPES(X)                \
    X(3, q4_1, "Q4_1", 32, 20)           \
    X(6, q5_0, "Q5_0", 32, 22)           \
    X(7, q5_1, "Q5_1", 32, 24)           \
    X(10, q2_k, "Q2_K", 256, 84)         \
    X(11, q3_k, "Q3_K", 256, 110)        \
    X(12, q4_k, "Q4_K", 256, 144)        \
    X(13, q5_k, "Q5_K", 256, 176)        \
    X(14, q6_k, "Q6_K", 256, 210)        \
    X(16, iq2_xxs, "IQ2_XXS", 256, 66)   \
    X(17, iq2_xs, "IQ2_XS", 256, 74)     \
    X(18, iq3_xxs, "IQ3_XXS", 256, 98)   \
    X(19, iq1_s, "IQ1_S", 256, 50)       \
    X(20, iq4_nl, "IQ4_NL", 32, 18)      \
    X(21, iq3_s, "IQ3_S", 256, 110)      \
    X(22, iq2_s, "IQ2_S", 256, 82)       \
    X(23, iq4_xs, "IQ4_XS", 256, 136)    \
    X(29, iq1_m, "IQ1_M", 256, 56)       \
    X(39, mxfp4, "MXFP4", 32, 17)

#define L4_DECLARE_DECODE(type, slot, name, block, bytes) void l4_decode_##slot(const uint8_t *restrict data, float *restrict out);
L4_BLOCK_TYPES(L4_DECLARE_DECODE)
#undef L4_DECLARE_DECODE

static inline float l4_half_at(const uint8_t *p)
{
    return l4_f16_to_f32(l4_load_u16(p));
}

/* For blocks with a scale for each 16 elements: 32 integers, two scales. Functions of their own, because compilers spoil these loops when they
 * find them inside another. */
void l4_scale_32(const int8_t *restrict q, const float scale[2], float *restrict out);                                /* scale * q */
void l4_scale_32_less(const int8_t *restrict q, const float scale[2], const float minus[2], float *restrict out); /* scale * q - minus */

/* The sixteen values of IQ4_NL and IQ4_XS. */
extern const float l4_iq4_values[16];

#endif
