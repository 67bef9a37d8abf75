/* binary16 and bfloat16 to binary32 (exact) and back (nearest even), bit for bit as hardware does. */
#ifndef L4_BASE_HALF_H
#define L4_BASE_HALF_H

#include <stdint.h>
#include <string.h>

static inline float l4_bits_f32(uint32_t u)
{
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

static inline uint32_t l4_f32_bits(float f)
{
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}

static inline float l4_bf16_to_f32(uint16_t h)
{
    return l4_bits_f32((uint32_t)h << 16);
}

static inline uint16_t l4_f32_to_bf16(float f)
{
    uint32_t u = l4_f32_bits(f);
    if ((u & 0x7fffffff) > 0x7f800000)
        return (uint16_t)(u >> 16 | 0x40); /* NaN stays NaN */
    return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

static inline float l4_f16_to_f32(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, rest = h & 0x7fff;
    if (rest >= 0x7c00) /* infinity; a signalling NaN becomes quiet, as in hardware */
        return l4_bits_f32(sign | 0x7f800000 | (rest & 0x3ff) << 13 | (rest > 0x7c00 ? 0x400000u : 0));
    if (rest < 0x400) /* subnormal here, and no subnormal operand below: those take processors a hundred cycles and more */
        return l4_bits_f32(sign | l4_f32_bits((float)(int32_t)rest * 0x1p-24f));
    return l4_bits_f32(sign | ((rest << 13) + 0x38000000));
}

static inline uint16_t l4_f32_to_f16(float f)
{
    uint32_t u = l4_f32_bits(f), sign = u >> 16 & 0x8000;
    u &= 0x7fffffff;
    if (u > 0x7f800000)
        return (uint16_t)(sign | 0x7e00 | (u >> 13 & 0x3ff));
    if (u >= 0x477ff000) /* rounds to infinity */
        return (uint16_t)(sign | 0x7c00);
    if (u < 0x38800000) { /* subnormal: adding 0.5 leaves the rounded value in the low bits */
        uint32_t rounded = l4_f32_bits(l4_bits_f32(u) + 0.5f) - 0x3f000000;
        return (uint16_t)(sign | rounded);
    }
    return (uint16_t)(sign | ((u - 0x38000000 + 0xfff + (u >> 13 & 1)) >> 13));
}

#endif
