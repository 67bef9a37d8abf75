/* Sixteen float lanes in two AVX registers; needs AVX2, FMA and F16C. */
#ifndef L4_KERNELS_V16_H
#define L4_KERNELS_V16_H

#include <immintrin.h>

#include "base/bytes.h"
#include "base/half.h"

#define L4_TILE_ROWS 2
#define L4_TILE_TOKENS 2
#define L4_ATTENTION_ROWS 4
#define L4_ATTENTION_WIDE 1
#define L4_DENSE_WIDE 1
#define L4_DENSE_STEP 6

typedef struct v16 {
    __m256 a, b;
} v16;

static inline __m128i bytes16(const uint8_t *p) { return _mm_loadu_si128((const __m128i *)(const void *)p); }
static inline v16 join(__m256 a, __m256 b)
{
    v16 r = {a, b};
    return r;
}

static inline v16 v16_zero(void) { return join(_mm256_setzero_ps(), _mm256_setzero_ps()); }
static inline v16 v16_set(float x) { return join(_mm256_set1_ps(x), _mm256_set1_ps(x)); }
static inline v16 v16_load(const float *p) { return join(_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)); }
static inline v16 v16_load_part(const float *p, size_t n)
{
    float t[16] = {0};
    memcpy(t, p, n * sizeof *p);
    return v16_load(t);
}
static inline void v16_store(float *p, v16 x)
{
    _mm256_storeu_ps(p, x.a);
    _mm256_storeu_ps(p + 8, x.b);
}
static inline void v16_store_part(float *p, v16 x, size_t n)
{
    float t[16];
    v16_store(t, x);
    memcpy(p, t, n * sizeof *p);
}
static inline v16 v16_add(v16 x, v16 y) { return join(_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)); }
static inline v16 v16_sub(v16 x, v16 y) { return join(_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)); }
static inline v16 v16_mul(v16 x, v16 y) { return join(_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)); }
static inline v16 v16_div(v16 x, v16 y) { return join(_mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b)); }
static inline v16 v16_fma(v16 x, v16 y, v16 z) { return join(_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)); }
static inline v16 v16_max(v16 x, v16 y) { return join(_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)); }
static inline v16 v16_min(v16 x, v16 y) { return join(_mm256_min_ps(x.a, y.a), _mm256_min_ps(x.b, y.b)); }
static inline __m256 abs_half(__m256 x) { return _mm256_and_ps(x, _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff))); }
static inline v16 v16_abs(v16 x) { return join(abs_half(x.a), abs_half(x.b)); }
static inline v16 v16_zero_below(v16 x, v16 y, float limit)
{
    __m256 l = _mm256_set1_ps(limit);
    return join(_mm256_and_ps(x.a, _mm256_cmp_ps(y.a, l, _CMP_NLT_UQ)), _mm256_and_ps(x.b, _mm256_cmp_ps(y.b, l, _CMP_NLT_UQ)));
}
static inline __m256 pow2_half(__m256 t)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(_mm256_castps_si256(t), _mm256_set1_epi32(127)), 23));
}
static inline v16 v16_pow2(v16 t) { return join(pow2_half(t.a), pow2_half(t.b)); }
static inline v16 v16_from_f32(const uint8_t *p) { return join(_mm256_loadu_ps((const float *)(const void *)p), _mm256_loadu_ps((const float *)(const void *)(p + 32))); }
static inline v16 v16_from_f16(const uint8_t *p) { return join(_mm256_cvtph_ps(bytes16(p)), _mm256_cvtph_ps(bytes16(p + 16))); }
static inline __m256 bf16_half(__m128i h) { return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16)); }
static inline v16 v16_from_bf16(const uint8_t *p) { return join(bf16_half(bytes16(p)), bf16_half(bytes16(p + 16))); }
static inline v16 v16_from_bytes(__m128i n)
{
    return join(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(n)), _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(n, 8))));
}
static inline v16 v16_from_i8(const uint8_t *p) { return v16_from_bytes(bytes16(p)); }
static inline v16 v16_from_nibbles(__m128i n)
{
    return v16_from_bytes(_mm_sub_epi8(_mm_and_si128(n, _mm_set1_epi8(15)), _mm_set1_epi8(8)));
}
static inline v16 v16_from_low(const uint8_t *p) { return v16_from_nibbles(bytes16(p)); }
static inline v16 v16_from_high(const uint8_t *p) { return v16_from_nibbles(_mm_srli_epi16(bytes16(p), 4)); }
static inline void v16_to_f16(uint8_t *p, v16 x)
{
    _mm_storeu_si128((__m128i *)(void *)p, _mm256_cvtps_ph(x.a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
    _mm_storeu_si128((__m128i *)(void *)(p + 16), _mm256_cvtps_ph(x.b, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}

static inline float v16_sum(v16 x)
{
    __m256 b = _mm256_add_ps(x.a, x.b);
    __m128 c = _mm_add_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
    c = _mm_add_ps(c, _mm_movehl_ps(c, c));
    return _mm_cvtss_f32(_mm_add_ss(c, _mm_movehdup_ps(c)));
}

static inline float v16_top(v16 x)
{
    __m256 b = _mm256_max_ps(x.a, x.b);
    __m128 c = _mm_max_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
    c = _mm_max_ps(c, _mm_movehl_ps(c, c));
    return _mm_cvtss_f32(_mm_max_ss(c, _mm_movehdup_ps(c)));
}

static inline void transpose_8(__m256 r[8])
{
    __m256 t[8], s[8];
    for (int i = 0; i < 8; i += 2) {
        t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
        s[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
        s[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xee);
        s[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
        s[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xee);
    }
    for (int i = 0; i < 4; i++) {
        r[i] = _mm256_permute2f128_ps(s[i], s[i + 4], 0x20);
        r[i + 4] = _mm256_permute2f128_ps(s[i], s[i + 4], 0x31);
    }
}

/* Four blocks of 8 x 8. */
static inline void v16_transpose(v16 r[16])
{
    __m256 block[4][8];
    for (int i = 0; i < 8; i++) {
        block[0][i] = r[i].a;
        block[1][i] = r[i + 8].a;
        block[2][i] = r[i].b;
        block[3][i] = r[i + 8].b;
    }
    for (int i = 0; i < 4; i++)
        transpose_8(block[i]);
    for (int i = 0; i < 8; i++) {
        r[i] = join(block[0][i], block[1][i]);
        r[i + 8] = join(block[2][i], block[3][i]);
    }
}

#endif
