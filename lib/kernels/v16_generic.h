/* Sixteen float lanes in portable C: the reference for every other v16_*.h. */
#ifndef L4_KERNELS_V16_H
#define L4_KERNELS_V16_H

#include "base/bytes.h"
#include "base/half.h"

#define L4_TILE_ROWS 1
#define L4_TILE_TOKENS 1
#define L4_ATTENTION_ROWS 1
#define L4_ATTENTION_WIDE 1
#define L4_DENSE_WIDE 1 /* registers of rows, and tokens, that dense.h's product keeps in registers */
#define L4_DENSE_STEP 4

typedef struct v16 {
    float lane[16];
} v16;

#define EACH(expression)          \
    do {                          \
        v16 r;                    \
        for (int i = 0; i < 16; i++) \
            r.lane[i] = (expression); \
        return r;                 \
    } while (0)

/* a * b + c with one rounding. Where the processor lacks it: the product is exact in double, the sum is rounded to odd, and
 * rounding that to float is then correct (Boldo and Melquiond, "Emulation of FMA and correctly rounded sums", 2008). */
static inline float fma1(float a, float b, float c)
{
#if defined(__FP_FAST_FMAF) || defined(__ARM_FEATURE_FMA)
    return __builtin_fmaf(a, b, c);
#else
    double p = (double)a * b, s = p + c, t = s - p, e = (p - (s - t)) + (c - t);
    uint64_t u;
    memcpy(&u, &s, sizeof u);
    if ((e > 0 || e < 0) && !(u & 1))
        u += (e > 0) == (s > 0) ? 1 : (uint64_t)-1;
    memcpy(&s, &u, sizeof s);
    return (float)s;
#endif
}

static inline v16 v16_zero(void) { EACH(0.0f); }
static inline v16 v16_set(float x) { EACH(x); }
static inline v16 v16_load(const float *p) { EACH(p[i]); }
static inline v16 v16_load_part(const float *p, size_t n) { EACH((size_t)i < n ? p[i] : 0.0f); }
static inline v16 v16_add(v16 a, v16 b) { EACH(a.lane[i] + b.lane[i]); }
static inline v16 v16_sub(v16 a, v16 b) { EACH(a.lane[i] - b.lane[i]); }
static inline v16 v16_mul(v16 a, v16 b) { EACH(a.lane[i] * b.lane[i]); }
static inline v16 v16_div(v16 a, v16 b) { EACH(a.lane[i] / b.lane[i]); }
static inline v16 v16_fma(v16 a, v16 b, v16 c) { EACH(fma1(a.lane[i], b.lane[i], c.lane[i])); }
/* The second operand where either is NaN, as x86 has it. */
static inline v16 v16_max(v16 a, v16 b) { EACH(a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i]); }
static inline v16 v16_min(v16 a, v16 b) { EACH(a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i]); }
static inline v16 v16_abs(v16 a) { EACH(l4_bits_f32(l4_f32_bits(a.lane[i]) & 0x7fffffff)); }
/* 0 where x < limit, otherwise a. */
static inline v16 v16_zero_below(v16 a, v16 x, float limit) { EACH(x.lane[i] < limit ? 0.0f : a.lane[i]); }
/* 2^k for a lane that holds 1.5 * 2^23 + k, -126 <= k <= 127. */
static inline v16 v16_pow2(v16 t) { EACH(l4_bits_f32((l4_f32_bits(t.lane[i]) + 127) << 23)); }
static inline v16 v16_from_f32(const uint8_t *p) { EACH(l4_load_f32(p + 4 * i)); }
static inline v16 v16_from_f16(const uint8_t *p) { EACH(l4_f16_to_f32(l4_load_u16(p + 2 * i))); }
static inline v16 v16_from_bf16(const uint8_t *p) { EACH(l4_bf16_to_f32(l4_load_u16(p + 2 * i))); }
static inline v16 v16_from_i8(const uint8_t *p) { EACH((float)(int8_t)p[i]); }
/* Low or high halves of 16 bytes, less 8. */
static inline v16 v16_from_low(const uint8_t *p) { EACH((float)((p[i] & 15) - 8)); }
static inline v16 v16_from_high(const uint8_t *p) { EACH((float)((p[i] >> 4) - 8)); }

static inline void v16_store(float *p, v16 a)
{
    memcpy(p, a.lane, sizeof a.lane);
}

static inline void v16_store_part(float *p, v16 a, size_t n)
{
    memcpy(p, a.lane, n * sizeof *p);
}

static inline void v16_to_f16(uint8_t *p, v16 a)
{
    for (int i = 0; i < 16; i++)
        l4_store_u16(p + 2 * i, l4_f32_to_f16(a.lane[i]));
}

static inline float v16_sum(v16 a)
{
    for (int width = 8; width; width /= 2)
        for (int i = 0; i < width; i++)
            a.lane[i] += a.lane[i + width];
    return a.lane[0];
}

static inline float v16_top(v16 a)
{
    for (int width = 8; width; width /= 2)
        for (int i = 0; i < width; i++)
            a.lane[i] = a.lane[i] > a.lane[i + width] ? a.lane[i] : a.lane[i + width];
    return a.lane[0];
}

/* Sixteen rows become sixteen columns. */
static inline void v16_transpose(v16 r[16])
{
    for (int i = 0; i < 16; i++)
        for (int j = 0; j < i; j++) {
            float t = r[i].lane[j];
            r[i].lane[j] = r[j].lane[i];
            r[j].lane[i] = t;
        }
}

#undef EACH
#endif
