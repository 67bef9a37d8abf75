/* Sixteen float lanes in four SSE registers; needs what every x86-64 has. */
#ifndef L4_KERNELS_V16_H
#define L4_KERNELS_V16_H

#include <immintrin.h>

#include "base/bytes.h"
#include "base/half.h"

#define L4_TILE_ROWS 2
#define L4_TILE_TOKENS 1
#define L4_ATTENTION_ROWS 1
#define L4_ATTENTION_WIDE 1
#define L4_DENSE_WIDE 1
#define L4_DENSE_STEP 2

typedef struct v16 {
    __m128 a, b, c, d;
} v16;

static inline v16 join(__m128 a, __m128 b, __m128 c, __m128 d)
{
    v16 r = {a, b, c, d};
    return r;
}

/* One instruction, or function, on each register. */
#define FOUR_1(f, x) join(f((x).a), f((x).b), f((x).c), f((x).d))
#define FOUR_2(f, x, y) join(f((x).a, (y).a), f((x).b, (y).b), f((x).c, (y).c), f((x).d, (y).d))

static inline v16 v16_set(float x)
{
    __m128 all = _mm_set1_ps(x);
    return join(all, all, all, all);
}
static inline v16 v16_zero(void) { return v16_set(0.0f); }
static inline v16 v16_load(const float *p) { return join(_mm_loadu_ps(p), _mm_loadu_ps(p + 4), _mm_loadu_ps(p + 8), _mm_loadu_ps(p + 12)); }
static inline v16 v16_load_part(const float *p, size_t n)
{
    float t[16] = {0};
    memcpy(t, p, n * sizeof *p);
    return v16_load(t);
}
static inline void v16_store(float *p, v16 x)
{
    _mm_storeu_ps(p, x.a);
    _mm_storeu_ps(p + 4, x.b);
    _mm_storeu_ps(p + 8, x.c);
    _mm_storeu_ps(p + 12, x.d);
}
static inline void v16_store_part(float *p, v16 x, size_t n)
{
    float t[16];
    v16_store(t, x);
    memcpy(p, t, n * sizeof *p);
}
static inline v16 v16_add(v16 x, v16 y) { return FOUR_2(_mm_add_ps, x, y); }
static inline v16 v16_sub(v16 x, v16 y) { return FOUR_2(_mm_sub_ps, x, y); }
static inline v16 v16_mul(v16 x, v16 y) { return FOUR_2(_mm_mul_ps, x, y); }
static inline v16 v16_div(v16 x, v16 y) { return FOUR_2(_mm_div_ps, x, y); }
static inline v16 v16_max(v16 x, v16 y) { return FOUR_2(_mm_max_ps, x, y); }
static inline v16 v16_min(v16 x, v16 y) { return FOUR_2(_mm_min_ps, x, y); }

#if defined(__FMA__)
static inline v16 v16_fma(v16 x, v16 y, v16 z)
{
    return join(_mm_fmadd_ps(x.a, y.a, z.a), _mm_fmadd_ps(x.b, y.b, z.b), _mm_fmadd_ps(x.c, y.c, z.c), _mm_fmadd_ps(x.d, y.d, z.d));
}
#else
/* Where the sum s of p and z was rounded in double: of the two differences that of the larger one is exact. */
static inline __m128d inexact(__m128d s, __m128d p, __m128d z)
{
    return _mm_or_pd(_mm_cmpneq_pd(_mm_sub_pd(s, z), p), _mm_cmpneq_pd(_mm_sub_pd(s, p), z));
}

/* The sum of an exact product and z in double, two lanes at a time, rounded once more to float. That gives another number than one rounding would only
 * where the double is half way between two floats, which it was rounded to, or too small for a normal one: then *doubtful has a bit set. With `few` bits in
 * x and y, sums often end half way as they are, and it is worth looking. */
static inline __m128 fma_by_double(const int few, __m128 x, __m128 y, __m128 z, __m128i *doubtful)
{
    const __m128d zl = _mm_cvtps_pd(z), pl = _mm_mul_pd(_mm_cvtps_pd(x), _mm_cvtps_pd(y)), low = _mm_add_pd(pl, zl);
    const __m128d zh = _mm_cvtps_pd(_mm_movehl_ps(z, z)), ph = _mm_mul_pd(_mm_cvtps_pd(_mm_movehl_ps(x, x)), _mm_cvtps_pd(_mm_movehl_ps(y, y)));
    const __m128d high = _mm_add_pd(ph, zh);
    const __m128i ends = _mm_castps_si128(_mm_shuffle_ps(_mm_castpd_ps(low), _mm_castpd_ps(high), 0x88));
    const __m128i tops = _mm_castps_si128(_mm_shuffle_ps(_mm_castpd_ps(low), _mm_castpd_ps(high), 0xdd));
    const __m128i tiny = _mm_cmplt_epi32(_mm_and_si128(tops, _mm_set1_epi32(0x7fffffff)), _mm_set1_epi32(0x38100000)); /* 2^-126 */
    __m128i tie = _mm_cmpeq_epi32(_mm_and_si128(ends, _mm_set1_epi32(0x1fffffff)), _mm_set1_epi32(0x10000000));
    if (few)
        tie = _mm_and_si128(tie, _mm_castps_si128(_mm_shuffle_ps(_mm_castpd_ps(inexact(low, pl, zl)), _mm_castpd_ps(inexact(high, ph, zh)), 0x88)));
    *doubtful = _mm_or_si128(*doubtful, _mm_or_si128(tie, tiny));
    return _mm_movelh_ps(_mm_cvtpd_ps(low), _mm_cvtpd_ps(high));
}

/* The sum p + z, rounded to odd where it is not exact: rounding that to float is then correct (Boldo and Melquiond, "Emulation of FMA and correctly
 * rounded sums", 2008). */
static inline __m128d sum_rounded_to_odd(__m128d p, __m128d z)
{
    const __m128d zero = _mm_setzero_pd(), s = _mm_add_pd(p, z), t = _mm_sub_pd(s, p), e = _mm_add_pd(_mm_sub_pd(p, _mm_sub_pd(s, t)), _mm_sub_pd(z, t));
    const __m128d more = _mm_cmpgt_pd(e, zero), inexact = _mm_or_pd(more, _mm_cmplt_pd(e, zero));
    const __m128i one = _mm_set_epi32(0, 1, 0, 1), all = _mm_set1_epi32(-1), bits = _mm_castpd_si128(s);
    const __m128i step = _mm_or_si128(_mm_castpd_si128(_mm_xor_pd(more, _mm_cmpgt_pd(s, zero))), one); /* 1 away from zero, -1 towards it */
    const __m128i even = _mm_add_epi64(_mm_and_si128(bits, one), all);
    return _mm_castsi128_pd(_mm_add_epi64(bits, _mm_and_si128(_mm_and_si128(step, even), _mm_castpd_si128(inexact))));
}

__attribute__((noinline)) static void fma_rounded_once(const float *x, const float *y, const float *z, float *out)
{
    for (int i = 0; i < 16; i += 4) {
        const __m128 a = _mm_loadu_ps(x + i), b = _mm_loadu_ps(y + i), c = _mm_loadu_ps(z + i);
        const __m128d low = sum_rounded_to_odd(_mm_mul_pd(_mm_cvtps_pd(a), _mm_cvtps_pd(b)), _mm_cvtps_pd(c));
        const __m128d high = sum_rounded_to_odd(_mm_mul_pd(_mm_cvtps_pd(_mm_movehl_ps(a, a)), _mm_cvtps_pd(_mm_movehl_ps(b, b))), _mm_cvtps_pd(_mm_movehl_ps(c, c)));
        _mm_storeu_ps(out + i, _mm_movelh_ps(_mm_cvtpd_ps(low), _mm_cvtpd_ps(high)));
    }
}

static inline v16 fma_of_bits(const int few, v16 x, v16 y, v16 z)
{
    __m128i doubtful = _mm_setzero_si128();
    v16 r = join(fma_by_double(few, x.a, y.a, z.a, &doubtful), fma_by_double(few, x.b, y.b, z.b, &doubtful), fma_by_double(few, x.c, y.c, z.c, &doubtful),
                 fma_by_double(few, x.d, y.d, z.d, &doubtful));
    if (__builtin_expect(_mm_movemask_epi8(doubtful), 0)) {
        float in[3][16], out[16];
        v16_store(in[0], x), v16_store(in[1], y), v16_store(in[2], z);
        fma_rounded_once(in[0], in[1], in[2], out);
        return v16_load(out);
    }
    return r;
}
static inline v16 v16_fma(v16 x, v16 y, v16 z) { return fma_of_bits(0, x, y, z); }

/* The same for numbers of few bits, as the products of small integers. */
#define L4_FMA_FEW_BITS
static inline v16 v16_fma_few_bits(v16 x, v16 y, v16 z) { return fma_of_bits(1, x, y, z); }
#endif

static inline __m128 absolute(__m128 x) { return _mm_and_ps(x, _mm_castsi128_ps(_mm_set1_epi32(0x7fffffff))); }
static inline v16 v16_abs(v16 x) { return FOUR_1(absolute, x); }
static inline __m128 zero_below(__m128 x, __m128 y, float limit) { return _mm_and_ps(x, _mm_cmpnlt_ps(y, _mm_set1_ps(limit))); }
static inline v16 v16_zero_below(v16 x, v16 y, float limit)
{
    return join(zero_below(x.a, y.a, limit), zero_below(x.b, y.b, limit), zero_below(x.c, y.c, limit), zero_below(x.d, y.d, limit));
}
static inline __m128 pow2(__m128 t) { return _mm_castsi128_ps(_mm_slli_epi32(_mm_add_epi32(_mm_castps_si128(t), _mm_set1_epi32(127)), 23)); }
static inline v16 v16_pow2(v16 t) { return FOUR_1(pow2, t); }

static inline __m128i bytes16(const uint8_t *p) { return _mm_loadu_si128((const __m128i *)(const void *)p); }
static inline __m128 bytes_f32(const uint8_t *p) { return _mm_castsi128_ps(bytes16(p)); }
static inline v16 v16_from_f32(const uint8_t *p) { return join(bytes_f32(p), bytes_f32(p + 16), bytes_f32(p + 32), bytes_f32(p + 48)); }

/* Four float16 in the low halves of the lanes. Exponents move by 112, those of infinities and NaN twice; subnormal numbers by 113, which adds 2^-14. */
static inline __m128 from_f16(__m128i h)
{
    const __m128i bits = _mm_slli_epi32(_mm_and_si128(h, _mm_set1_epi32(0x7fff)), 13), sign = _mm_slli_epi32(_mm_and_si128(h, _mm_set1_epi32(0x8000)), 16);
    const __m128i top = _mm_cmpgt_epi32(bits, _mm_set1_epi32(0x0f7fffff)), low = _mm_cmplt_epi32(bits, _mm_set1_epi32(0x00800000));
    const __m128i usual = _mm_add_epi32(_mm_add_epi32(bits, _mm_set1_epi32(112 << 23)), _mm_and_si128(top, _mm_set1_epi32(112 << 23)));
    const __m128i small = _mm_castps_si128(_mm_sub_ps(_mm_castsi128_ps(_mm_add_epi32(bits, _mm_set1_epi32(113 << 23))), _mm_set1_ps(0x1p-14f)));
    return _mm_castsi128_ps(_mm_or_si128(sign, _mm_or_si128(_mm_and_si128(low, small), _mm_andnot_si128(low, usual))));
}
static inline v16 v16_from_f16(const uint8_t *p)
{
    const __m128i low = bytes16(p), high = bytes16(p + 16), zero = _mm_setzero_si128();
    return join(from_f16(_mm_unpacklo_epi16(low, zero)), from_f16(_mm_unpackhi_epi16(low, zero)), from_f16(_mm_unpacklo_epi16(high, zero)),
                from_f16(_mm_unpackhi_epi16(high, zero)));
}
static inline v16 v16_from_bf16(const uint8_t *p)
{
    const __m128i low = bytes16(p), high = bytes16(p + 16), zero = _mm_setzero_si128();
    return join(_mm_castsi128_ps(_mm_unpacklo_epi16(zero, low)), _mm_castsi128_ps(_mm_unpackhi_epi16(zero, low)),
                _mm_castsi128_ps(_mm_unpacklo_epi16(zero, high)), _mm_castsi128_ps(_mm_unpackhi_epi16(zero, high)));
}
static inline __m128i low_words(__m128i bytes) { return _mm_srai_epi16(_mm_unpacklo_epi8(bytes, bytes), 8); } /* signed, as what follows */
static inline __m128i high_words(__m128i bytes) { return _mm_srai_epi16(_mm_unpackhi_epi8(bytes, bytes), 8); }
static inline __m128i low_lanes(__m128i words) { return _mm_srai_epi32(_mm_unpacklo_epi16(words, words), 16); }
static inline __m128i high_lanes(__m128i words) { return _mm_srai_epi32(_mm_unpackhi_epi16(words, words), 16); }
static inline v16 v16_from_bytes(__m128i n)
{
    const __m128i low = low_words(n), high = high_words(n);
    return join(_mm_cvtepi32_ps(low_lanes(low)), _mm_cvtepi32_ps(high_lanes(low)), _mm_cvtepi32_ps(low_lanes(high)), _mm_cvtepi32_ps(high_lanes(high)));
}
static inline v16 v16_from_i8(const uint8_t *p) { return v16_from_bytes(bytes16(p)); }
static inline v16 v16_from_nibbles(__m128i n) { return v16_from_bytes(_mm_sub_epi8(_mm_and_si128(n, _mm_set1_epi8(15)), _mm_set1_epi8(8))); }
static inline v16 v16_from_low(const uint8_t *p) { return v16_from_nibbles(bytes16(p)); }
static inline v16 v16_from_high(const uint8_t *p) { return v16_from_nibbles(_mm_srli_epi16(bytes16(p), 4)); }

static inline void v16_to_f16(uint8_t *p, v16 x)
{
    float t[16];
    v16_store(t, x);
    for (int i = 0; i < 16; i++)
        l4_store_u16(p + 2 * i, l4_f32_to_f16(t[i]));
}

static inline float v16_sum(v16 x)
{
    __m128 q = _mm_add_ps(_mm_add_ps(x.a, x.c), _mm_add_ps(x.b, x.d));
    q = _mm_add_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_add_ss(q, _mm_shuffle_ps(q, q, 1)));
}

static inline float v16_top(v16 x)
{
    __m128 q = _mm_max_ps(_mm_max_ps(x.a, x.c), _mm_max_ps(x.b, x.d));
    q = _mm_max_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_max_ss(q, _mm_shuffle_ps(q, q, 1)));
}

/* Sixteen blocks of 4 x 4. */
static inline void v16_transpose(v16 r[16])
{
    v16 t[16];
    for (int i = 0; i < 16; i += 4) {
        _MM_TRANSPOSE4_PS(r[i].a, r[i + 1].a, r[i + 2].a, r[i + 3].a);
        _MM_TRANSPOSE4_PS(r[i].b, r[i + 1].b, r[i + 2].b, r[i + 3].b);
        _MM_TRANSPOSE4_PS(r[i].c, r[i + 1].c, r[i + 2].c, r[i + 3].c);
        _MM_TRANSPOSE4_PS(r[i].d, r[i + 1].d, r[i + 2].d, r[i + 3].d);
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
