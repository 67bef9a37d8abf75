/* Sixteen 32-bit lanes, or 64 bytes, in four NEON registers; with or without the dot product of ARMv8.2. */
#ifndef L4_KERNELS_P16_H
#define L4_KERNELS_P16_H

#include "base/compiler.h"
#include "kernels/arm/v16_neon.h"
#include "kernels/packed.h"

#define L4_ALWAYS_INLINE __attribute__((always_inline))
#define L4_SIGNED 1 /* products are of signed bytes with signed ones: see unpack.h */
#define L4_DOT_HALF /* sixteen columns at once: below */
#if defined(__ARM_FEATURE_DOTPROD)
#define L4_STEP_TOKENS 4
#else
#define L4_STEP_TOKENS 2
#endif

typedef struct p16 {
    uint32x4_t a, b, c, d;
} p16;

static inline p16 quad(uint32x4_t a, uint32x4_t b, uint32x4_t c, uint32x4_t d)
{
    p16 r = {a, b, c, d};
    return r;
}

#define QUAD_1(f, x) quad(f((x).a), f((x).b), f((x).c), f((x).d))
#define QUAD_2(f, x, y) quad(f((x).a, (y).a), f((x).b, (y).b), f((x).c, (y).c), f((x).d, (y).d))

static inline uint32x4_t bytes_u32(const uint8_t *p) { return vreinterpretq_u32_u8(vld1q_u8(p)); }
static inline p16 p16_set(int32_t x)
{
    uint32x4_t all = vdupq_n_u32((uint32_t)x);
    return quad(all, all, all, all);
}
static inline p16 p16_set_bytes(int x)
{
    uint32x4_t all = vreinterpretq_u32_u8(vdupq_n_u8((uint8_t)x));
    return quad(all, all, all, all);
}
static inline p16 p16_load(const uint8_t *p) { return quad(bytes_u32(p), bytes_u32(p + 16), bytes_u32(p + 32), bytes_u32(p + 48)); }
static inline void p16_store(uint8_t *p, p16 x)
{
    vst1q_u8(p, vreinterpretq_u8_u32(x.a));
    vst1q_u8(p + 16, vreinterpretq_u8_u32(x.b));
    vst1q_u8(p + 32, vreinterpretq_u8_u32(x.c));
    vst1q_u8(p + 48, vreinterpretq_u8_u32(x.d));
}
static inline p16 widen(uint16x8_t low, uint16x8_t high)
{
    return quad(vmovl_u16(vget_low_u16(low)), vmovl_high_u16(low), vmovl_u16(vget_low_u16(high)), vmovl_high_u16(high));
}
static inline p16 p16_load_u8(const uint8_t *p)
{
    uint8x16_t x = vld1q_u8(p);
    return widen(vmovl_u8(vget_low_u8(x)), vmovl_high_u8(x));
}
static inline p16 p16_load_i8(const uint8_t *p)
{
    int8x16_t x = vreinterpretq_s8_u8(vld1q_u8(p));
    int16x8_t low = vmovl_s8(vget_low_s8(x)), high = vmovl_high_s8(x);
    return quad(vreinterpretq_u32_s32(vmovl_s16(vget_low_s16(low))), vreinterpretq_u32_s32(vmovl_high_s16(low)),
                vreinterpretq_u32_s32(vmovl_s16(vget_low_s16(high))), vreinterpretq_u32_s32(vmovl_high_s16(high)));
}
static inline p16 p16_load_u16(const uint8_t *p) { return widen(vreinterpretq_u16_u8(vld1q_u8(p)), vreinterpretq_u16_u8(vld1q_u8(p + 16))); }
static inline p16 p16_and(p16 x, p16 y) { return QUAD_2(vandq_u32, x, y); }
static inline p16 p16_or(p16 x, p16 y) { return QUAD_2(vorrq_u32, x, y); }
static inline p16 p16_xor(p16 x, p16 y) { return QUAD_2(veorq_u32, x, y); }
static inline p16 p16_add(p16 x, p16 y) { return QUAD_2(vaddq_u32, x, y); }
static inline p16 p16_sub(p16 x, p16 y) { return QUAD_2(vsubq_u32, x, y); }
static inline p16 p16_mul(p16 x, p16 y) { return QUAD_2(vmulq_u32, x, y); }
static inline p16 p16_shl(p16 x, int n) { return quad(x.a << n, x.b << n, x.c << n, x.d << n); } /* immediate where n is a constant */
static inline p16 p16_shr(p16 x, int n) { return quad(x.a >> n, x.b >> n, x.c >> n, x.d >> n); }
static inline uint32x4_t four_fours(const uint8_t *table, const uint8_t *at)
{
    uint32_t r[4];
    for (int k = 0; k < 4; k++)
        memcpy(&r[k], table + 4 * (size_t)l4_load_u16(at + 4 * k), sizeof r[k]);
    return vld1q_u32(r);
}
static inline p16 p16_fours(const uint8_t *table, const uint8_t *at)
{
    return quad(four_fours(table, at), four_fours(table, at + 16), four_fours(table, at + 32), four_fours(table, at + 48));
}
static inline uint32x4_t bytes_at(uint8x16_t t, uint32x4_t b) { return vreinterpretq_u32_u8(vqtbl1q_u8(t, vreinterpretq_u8_u32(b))); }
static inline p16 p16_bytes_at(const uint8_t table[16], p16 b)
{
    uint8x16_t t = vld1q_u8(table);
    return quad(bytes_at(t, b.a), bytes_at(t, b.b), bytes_at(t, b.c), bytes_at(t, b.d));
}
/* The lowest byte of each lane four times; then each looks at a bit of its own: 0 or 255. */
static inline uint8x16_t spread(uint32x4_t x, uint32_t bits)
{
    static const uint8_t lowest[16] = {0, 0, 0, 0, 4, 4, 4, 4, 8, 8, 8, 8, 12, 12, 12, 12};
    return vtstq_u8(vqtbl1q_u8(vreinterpretq_u8_u32(x), vld1q_u8(lowest)), vreinterpretq_u8_u32(vdupq_n_u32(bits)));
}
#define SPREAD(x) vreinterpretq_u32_u8(spread(x, 0x08040201))
static inline p16 p16_spread(p16 x) { return QUAD_1(SPREAD, x); }
#undef SPREAD
#define L4_P16_OWN
static inline uint32x4_t two_eights(const uint8_t *table, const uint8_t *at)
{
    return vreinterpretq_u32_u8(vcombine_u8(vld1_u8(table + 8 * (size_t)l4_load_u16(at)), vld1_u8(table + 8 * (size_t)l4_load_u16(at + 4))));
}
static inline void four_eights(const uint8_t *table, const uint8_t *at, uint32x4_t *first, uint32x4_t *second)
{
    const uint32x4_t low = two_eights(table, at), high = two_eights(table, at + 8);
    *first = vuzp1q_u32(low, high);
    *second = vuzp2q_u32(low, high);
}
static inline void p16_eights(const uint8_t *table, const uint8_t *at, p16 *first, p16 *second)
{
    four_eights(table, at, &first->a, &second->a);
    four_eights(table, at + 16, &first->b, &second->b);
    four_eights(table, at + 32, &first->c, &second->c);
    four_eights(table, at + 48, &first->d, &second->d);
}
static inline uint32x4_t with_signs(uint32x4_t magnitudes, uint32x4_t signs, uint32_t bits)
{
    const uint8x16_t flip = spread(signs, bits);
    return vreinterpretq_u32_u8(veorq_u8(vsubq_u8(veorq_u8(vreinterpretq_u8_u32(magnitudes), flip), flip), vdupq_n_u8(128)));
}
static inline p16 p16_with_signs(p16 magnitudes, p16 signs, const int which, const int plus) /* always 128 here */
{
    (void)plus;
    const uint32_t bits = which % 2 ? 0x80402010 : 0x08040201;
    signs = p16_shr(signs, 8 * (which / 2));
    return quad(with_signs(magnitudes.a, signs.a, bits), with_signs(magnitudes.b, signs.b, bits), with_signs(magnitudes.c, signs.c, bits),
                with_signs(magnitudes.d, signs.d, bits));
}
static inline p16 p16_mul_bytes(p16 bytes, p16 factor) { return p16_mul(bytes, factor); }
static inline float32x4_t to_f32(uint32x4_t x) { return vcvtq_f32_s32(vreinterpretq_s32_u32(x)); }
static inline v16 p16_as_v16(p16 x) { return FOUR_1(vreinterpretq_f32_u32, x); }
static inline p16 v16_as_p16(v16 x)
{
    return quad(vreinterpretq_u32_f32(x.a), vreinterpretq_u32_f32(x.b), vreinterpretq_u32_f32(x.c), vreinterpretq_u32_f32(x.d));
}
static inline v16 p16_to_v16(p16 x) { return FOUR_1(to_f32, x); }

static inline void v16_to_i8(int8_t *q, v16 x)
{
    int16x8_t low = vcombine_s16(vmovn_s32(vcvtq_s32_f32(x.a)), vmovn_s32(vcvtq_s32_f32(x.b)));
    int16x8_t high = vcombine_s16(vmovn_s32(vcvtq_s32_f32(x.c)), vmovn_s32(vcvtq_s32_f32(x.d)));
    vst1q_s8(q, vcombine_s8(vmovn_s16(low), vmovn_s16(high)));
}

static inline p16 p16_load_words(const uint8_t *p)
{
    int8x16_t x = vreinterpretq_s8_u8(vld1q_u8(p)), y = vreinterpretq_s8_u8(vld1q_u8(p + 16));
    return quad(vreinterpretq_u32_s16(vmovl_s8(vget_low_s8(x))), vreinterpretq_u32_s16(vmovl_high_s8(x)), vreinterpretq_u32_s16(vmovl_s8(vget_low_s8(y))),
                vreinterpretq_u32_s16(vmovl_high_s8(y)));
}
static inline uint32x4_t mul_words(uint32x4_t x, uint32x4_t y) { return vreinterpretq_u32_u16(vmulq_u16(vreinterpretq_u16_u32(x), vreinterpretq_u16_u32(y))); }
static inline p16 p16_mul_words(p16 x, p16 y) { return QUAD_2(mul_words, x, y); }

static inline void v16_to_i16(int16_t *q, v16 x)
{
    vst1q_s16(q, vcombine_s16(vmovn_s32(vcvtq_s32_f32(x.a)), vmovn_s32(vcvtq_s32_f32(x.b))));
    vst1q_s16(q + 8, vcombine_s16(vmovn_s32(vcvtq_s32_f32(x.c)), vmovn_s32(vcvtq_s32_f32(x.d))));
}

typedef p16 p16_sums;
#define p16_no_sums() p16_set(0)
#define p16_store_sums p16_store

/* Eight lanes: the even numbers of x, then the odd ones, times those of y, which has the same pair everywhere. */
static inline void dot_pairs(uint32x4_t *n, uint32x4_t *m, uint32x4_t x, uint32x4_t z, int16x4_t y)
{
    const int16x8_t even = vuzp1q_s16(vreinterpretq_s16_u32(x), vreinterpretq_s16_u32(z)), odd = vuzp2q_s16(vreinterpretq_s16_u32(x), vreinterpretq_s16_u32(z));
    *n = vreinterpretq_u32_s32(vmlal_lane_s16(vmlal_lane_s16(vreinterpretq_s32_u32(*n), vget_low_s16(even), y, 0), vget_low_s16(odd), y, 1));
    *m = vreinterpretq_u32_s32(vmlal_high_lane_s16(vmlal_high_lane_s16(vreinterpretq_s32_u32(*m), even, y, 0), odd, y, 1));
}
static inline p16_sums p16_dot_pairs(p16_sums acc, p16 x, p16 y)
{
    const int16x4_t both = vreinterpret_s16_u32(vget_low_u32(y.a));
    dot_pairs(&acc.a, &acc.b, x.a, x.b, both);
    dot_pairs(&acc.c, &acc.d, x.c, x.d, both);
    return acc;
}

static inline int32_t i8_sum(const int8_t *q) { return vaddlvq_s8(vld1q_s8(q)); }

static inline int8x16_t weights(const uint8_t *w) { return vreinterpretq_s8_u8(vld1q_u8(w)); }

/*
 * p16_dot_half: n[t][r] += the sum over k < 16 of w[k / 4][4 r + k % 4] * x[t].q[4 * first + k], for `tokens` <= L4_STEP_TOKENS. Weights are
 * signed bytes of at most `most` in magnitude, which is -128 .. 127 where it says 255.
 */
#if defined(__ARM_FEATURE_DOTPROD)

/* Lane k of x: four columns of a token. A switch, because the instruction wants a constant and not all compilations unroll loops. */
static inline L4_ALWAYS_INLINE uint32x4_t dot4(uint32x4_t n, int8x16_t w, int8x16_t x, int k)
{
    int32x4_t s = vreinterpretq_s32_u32(n);
    switch (k) {
    case 0: s = vdotq_laneq_s32(s, w, x, 0); break;
    case 1: s = vdotq_laneq_s32(s, w, x, 1); break;
    case 2: s = vdotq_laneq_s32(s, w, x, 2); break;
    default: s = vdotq_laneq_s32(s, w, x, 3); break;
    }
    return vreinterpretq_u32_s32(s);
}

static inline L4_ALWAYS_INLINE void p16_dot_half(const int tokens, const int most, const uint8_t (*w)[64], const l4_xblock *x, int first, p16 *n)
{
    int8x16_t columns[L4_STEP_TOKENS];
    (void)most;
    L4_UNROLL(4)
    for (int t = 0; t < tokens; t++)
        columns[t] = vld1q_s8(x[t].q + 4 * first);
    L4_UNROLL(4)
    for (int k = 0; k < 4; k++) {
        int8x16_t a = weights(w[k]), b = weights(w[k] + 16), c = weights(w[k] + 32), d = weights(w[k] + 48);
        L4_UNROLL(4)
        for (int t = 0; t < tokens; t++)
            n[t] = quad(dot4(n[t].a, a, columns[t], k), dot4(n[t].b, b, columns[t], k), dot4(n[t].c, c, columns[t], k),
                        dot4(n[t].d, d, columns[t], k));
    }
}

#else

#define L4_NARROW_SUMS

/* Four rows times sixteen columns. Two products, or where weights are small four, fit in 16 bits before pairs of them are added up in 32. */
static inline L4_ALWAYS_INLINE uint32x4_t dot16(const int most, uint32x4_t n, const int8x16_t w[4], const int8x16_t x[4])
{
    int16x8_t low = vmlal_s8(vmull_s8(vget_low_s8(w[0]), vget_low_s8(x[0])), vget_low_s8(w[1]), vget_low_s8(x[1]));
    int16x8_t high = vmlal_high_s8(vmull_high_s8(w[0], x[0]), w[1], x[1]);
    int32x4_t s = vreinterpretq_s32_u32(n), pairs;
    if (most <= 63) { /* 4 * 63 * 127 < 2^15 */
        low = vmlal_s8(vmlal_s8(low, vget_low_s8(w[2]), vget_low_s8(x[2])), vget_low_s8(w[3]), vget_low_s8(x[3]));
        high = vmlal_high_s8(vmlal_high_s8(high, w[2], x[2]), w[3], x[3]);
        if (most <= 32) /* 8 * 32 * 127 < 2^15 */
            return vreinterpretq_u32_s32(vpadalq_s16(s, vpaddq_s16(low, high)));
        pairs = vpaddq_s32(vpaddlq_s16(low), vpaddlq_s16(high));
    } else { /* 2 * 128 * 127 < 2^15 */
        int16x8_t low2 = vmlal_s8(vmull_s8(vget_low_s8(w[2]), vget_low_s8(x[2])), vget_low_s8(w[3]), vget_low_s8(x[3]));
        int16x8_t high2 = vmlal_high_s8(vmull_high_s8(w[2], x[2]), w[3], x[3]);
        pairs = vpaddq_s32(vpadalq_s16(vpaddlq_s16(low), low2), vpadalq_s16(vpaddlq_s16(high), high2));
    }
    return vreinterpretq_u32_s32(vaddq_s32(s, pairs));
}

/* Four bytes of x in each lane. */
static inline int8x16_t four_bytes(const int8_t *x)
{
    int32_t all;
    memcpy(&all, x, sizeof all);
    return vreinterpretq_s8_s32(vdupq_n_s32(all));
}

static inline L4_ALWAYS_INLINE void p16_dot_half(const int tokens, const int most, const uint8_t (*w)[64], const l4_xblock *x, int first, p16 *n)
{
    int8x16_t columns[L4_STEP_TOKENS][4];
    L4_UNROLL(2)
    for (int t = 0; t < tokens; t++)
        L4_UNROLL(4)
        for (int k = 0; k < 4; k++)
            columns[t][k] = four_bytes(x[t].q + 4 * (first + k));
#define ROWS(part, at)                                                                                                          \
    do {                                                                                                                        \
        const int8x16_t rows[4] = {weights(w[0] + (at)), weights(w[1] + (at)), weights(w[2] + (at)), weights(w[3] + (at))};     \
        for (int t = 0; t < tokens; t++)                                                                                        \
            n[t].part = dot16(most, n[t].part, rows, columns[t]);                                                               \
    } while (0)
    ROWS(a, 0);
    ROWS(b, 16);
    ROWS(c, 32);
    ROWS(d, 48);
#undef ROWS
}

#endif

#endif
