/* Sixteen float lanes in four NEON registers; needs what every AArch64 has. */
#ifndef L4_KERNELS_V16_H
#define L4_KERNELS_V16_H

#include <arm_neon.h>

#include "base/bytes.h"
#include "base/half.h"

#define L4_TILE_ROWS 2
#define L4_TILE_TOKENS 2
#define L4_ATTENTION_ROWS 6
#define L4_ATTENTION_WIDE 1
#define L4_DENSE_WIDE 1
#define L4_DENSE_STEP 6

typedef struct v16 {
    float32x4_t a, b, c, d;
} v16;

static inline v16 join(float32x4_t a, float32x4_t b, float32x4_t c, float32x4_t d)
{
    v16 r = {a, b, c, d};
    return r;
}

/* One instruction, or function, on each register. */
#define FOUR_1(f, x) join(f((x).a), f((x).b), f((x).c), f((x).d))
#define FOUR_2(f, x, y) join(f((x).a, (y).a), f((x).b, (y).b), f((x).c, (y).c), f((x).d, (y).d))

static inline v16 v16_set(float x)
{
    float32x4_t all = vdupq_n_f32(x);
    return join(all, all, all, all);
}
static inline v16 v16_zero(void) { return v16_set(0.0f); }
static inline v16 v16_load(const float *p) { return join(vld1q_f32(p), vld1q_f32(p + 4), vld1q_f32(p + 8), vld1q_f32(p + 12)); }
static inline void v16_store(float *p, v16 x)
{
    vst1q_f32(p, x.a);
    vst1q_f32(p + 4, x.b);
    vst1q_f32(p + 8, x.c);
    vst1q_f32(p + 12, x.d);
}
/* Functions of their own, so that loops around them stay small enough to be unrolled. */
__attribute__((noinline, unused)) static v16 load_some(const float *p, size_t n)
{
    float t[16] = {0};
    memcpy(t, p, n * sizeof *p);
    return v16_load(t);
}
__attribute__((noinline, unused)) static void store_some(float *p, v16 x, size_t n)
{
    float t[16];
    v16_store(t, x);
    memcpy(p, t, n * sizeof *p);
}
static inline v16 v16_load_part(const float *p, size_t n) { return n == 16 ? v16_load(p) : load_some(p, n); }
static inline void v16_store_part(float *p, v16 x, size_t n)
{
    if (n == 16)
        v16_store(p, x);
    else
        store_some(p, x, n);
}
static inline v16 v16_add(v16 x, v16 y) { return FOUR_2(vaddq_f32, x, y); }
static inline v16 v16_sub(v16 x, v16 y) { return FOUR_2(vsubq_f32, x, y); }
static inline v16 v16_mul(v16 x, v16 y) { return FOUR_2(vmulq_f32, x, y); }
static inline v16 v16_div(v16 x, v16 y) { return FOUR_2(vdivq_f32, x, y); }
static inline v16 v16_fma(v16 x, v16 y, v16 z)
{
    return join(vfmaq_f32(z.a, x.a, y.a), vfmaq_f32(z.b, x.b, y.b), vfmaq_f32(z.c, x.c, y.c), vfmaq_f32(z.d, x.d, y.d));
}
/* Not vmaxq and vminq, which give NaN where either is: here it is the second operand, as x86 has it. */
static inline float32x4_t higher(float32x4_t x, float32x4_t y) { return vbslq_f32(vcgtq_f32(x, y), x, y); }
static inline float32x4_t lower(float32x4_t x, float32x4_t y) { return vbslq_f32(vcltq_f32(x, y), x, y); }
static inline v16 v16_max(v16 x, v16 y) { return FOUR_2(higher, x, y); }
static inline v16 v16_min(v16 x, v16 y) { return FOUR_2(lower, x, y); }
static inline v16 v16_abs(v16 x) { return FOUR_1(vabsq_f32, x); }
static inline float32x4_t zero_below(float32x4_t x, float32x4_t y, float limit)
{
    return vreinterpretq_f32_u32(vbicq_u32(vreinterpretq_u32_f32(x), vcltq_f32(y, vdupq_n_f32(limit))));
}
static inline v16 v16_zero_below(v16 x, v16 y, float limit)
{
    return join(zero_below(x.a, y.a, limit), zero_below(x.b, y.b, limit), zero_below(x.c, y.c, limit), zero_below(x.d, y.d, limit));
}
static inline float32x4_t pow2(float32x4_t t)
{
    return vreinterpretq_f32_u32(vshlq_n_u32(vaddq_u32(vreinterpretq_u32_f32(t), vdupq_n_u32(127)), 23));
}
static inline v16 v16_pow2(v16 t) { return FOUR_1(pow2, t); }

static inline float32x4_t bytes_f32(const uint8_t *p) { return vreinterpretq_f32_u8(vld1q_u8(p)); }
static inline v16 v16_from_f32(const uint8_t *p) { return join(bytes_f32(p), bytes_f32(p + 16), bytes_f32(p + 32), bytes_f32(p + 48)); }
static inline v16 v16_from_f16(const uint8_t *p)
{
    float16x8_t low = vreinterpretq_f16_u8(vld1q_u8(p)), high = vreinterpretq_f16_u8(vld1q_u8(p + 16));
    return join(vcvt_f32_f16(vget_low_f16(low)), vcvt_high_f32_f16(low), vcvt_f32_f16(vget_low_f16(high)), vcvt_high_f32_f16(high));
}
static inline v16 v16_from_bf16(const uint8_t *p)
{
    uint16x8_t low = vreinterpretq_u16_u8(vld1q_u8(p)), high = vreinterpretq_u16_u8(vld1q_u8(p + 16));
#define WIDEN(x) vreinterpretq_f32_u32(x)
    return join(WIDEN(vshll_n_u16(vget_low_u16(low), 16)), WIDEN(vshll_high_n_u16(low, 16)), WIDEN(vshll_n_u16(vget_low_u16(high), 16)),
                WIDEN(vshll_high_n_u16(high, 16)));
#undef WIDEN
}
static inline v16 v16_from_bytes(int8x16_t n)
{
    int16x8_t low = vmovl_s8(vget_low_s8(n)), high = vmovl_high_s8(n);
    return join(vcvtq_f32_s32(vmovl_s16(vget_low_s16(low))), vcvtq_f32_s32(vmovl_high_s16(low)), vcvtq_f32_s32(vmovl_s16(vget_low_s16(high))),
                vcvtq_f32_s32(vmovl_high_s16(high)));
}
static inline v16 v16_from_i8(const uint8_t *p) { return v16_from_bytes(vreinterpretq_s8_u8(vld1q_u8(p))); }
static inline v16 v16_from_nibbles(uint8x16_t n) { return v16_from_bytes(vsubq_s8(vreinterpretq_s8_u8(n), vdupq_n_s8(8))); }
static inline v16 v16_from_low(const uint8_t *p) { return v16_from_nibbles(vandq_u8(vld1q_u8(p), vdupq_n_u8(15))); }
static inline v16 v16_from_high(const uint8_t *p) { return v16_from_nibbles(vshrq_n_u8(vld1q_u8(p), 4)); }

static inline void v16_to_f16(uint8_t *p, v16 x)
{
    vst1q_u8(p, vreinterpretq_u8_f16(vcvt_high_f16_f32(vcvt_f16_f32(x.a), x.b)));
    vst1q_u8(p + 16, vreinterpretq_u8_f16(vcvt_high_f16_f32(vcvt_f16_f32(x.c), x.d)));
}

static inline float v16_sum(v16 x)
{
    float32x4_t q = vaddq_f32(vaddq_f32(x.a, x.c), vaddq_f32(x.b, x.d));
    return vpadds_f32(vadd_f32(vget_low_f32(q), vget_high_f32(q)));
}

static inline float v16_top(v16 x)
{
    float32x4_t q = higher(higher(x.a, x.c), higher(x.b, x.d));
    q = higher(q, vextq_f32(q, q, 2));
    return vgetq_lane_f32(higher(q, vdupq_laneq_f32(q, 1)), 0);
}

/* Rows of four become columns of four. */
static inline void transpose_4(float32x4_t *a, float32x4_t *b, float32x4_t *c, float32x4_t *d)
{
#define PAIRS(f, x, y) vreinterpretq_f32_f64(f(vreinterpretq_f64_f32(x), vreinterpretq_f64_f32(y)))
    float32x4_t ab = vtrn1q_f32(*a, *b), ba = vtrn2q_f32(*a, *b), cd = vtrn1q_f32(*c, *d), dc = vtrn2q_f32(*c, *d);
    *a = PAIRS(vtrn1q_f64, ab, cd);
    *b = PAIRS(vtrn1q_f64, ba, dc);
    *c = PAIRS(vtrn2q_f64, ab, cd);
    *d = PAIRS(vtrn2q_f64, ba, dc);
#undef PAIRS
}

/* Sixteen blocks of 4 x 4. */
static inline void v16_transpose(v16 r[16])
{
    v16 t[16];
    for (int i = 0; i < 16; i += 4) {
        transpose_4(&r[i].a, &r[i + 1].a, &r[i + 2].a, &r[i + 3].a);
        transpose_4(&r[i].b, &r[i + 1].b, &r[i + 2].b, &r[i + 3].b);
        transpose_4(&r[i].c, &r[i + 1].c, &r[i + 2].c, &r[i + 3].c);
        transpose_4(&r[i].d, &r[i + 1].d, &r[i + 2].d, &r[i + 3].d);
    }
    for (int i = 0; i < 4; i++) {
        t[i] = join(r[i].a, r[i + 4].a, r[i + 8].a, r[i + 12].a);
        t[i + 4] = join(r[i].b, r[i + 4].b, r[i + 8].b, r[i + 12].b);
        t[i + 8] = join(r[i].c, r[i + 4].c, r[i + 8].c, r[i + 12].c);
        t[i + 12] = join(r[i].d, r[i + 4].d, r[i + 8].d, r[i + 12].d);
    }
    memcpy(r, t, sizeof t);
}

#endif
