/* Sixteen int32 lanes in two AVX registers; with or without VNNI. */
#ifndef L4_KERNELS_P16_H
#define L4_KERNELS_P16_H

#include "kernels/x86/v16_avx2.h"

#define L4_PANEL_TOKENS 4
#define L4_PREFETCH 2048
#define L4_ALWAYS_INLINE __attribute__((always_inline))

typedef struct p16 {
    __m256i a, b;
} p16;
typedef p16 p16w;

static inline p16 pair(__m256i a, __m256i b)
{
    p16 r = {a, b};
    return r;
}

static inline __m256i bytes32(const uint8_t *p) { return _mm256_loadu_si256((const __m256i *)(const void *)p); }
static inline p16w p16_load(const uint8_t *p) { return pair(bytes32(p), bytes32(p + 32)); }
static inline __m256i low_half(__m256i w) { return _mm256_and_si256(w, _mm256_set1_epi8(15)); }
static inline p16w p16_low(p16w w) { return pair(low_half(w.a), low_half(w.b)); }
static inline p16w p16_high(p16w w) { return pair(low_half(_mm256_srli_epi16(w.a, 4)), low_half(_mm256_srli_epi16(w.b, 4))); }
static inline p16 p16_set(int32_t x) { return pair(_mm256_set1_epi32(x), _mm256_set1_epi32(x)); }
static inline p16 p16_add(p16 x, p16 y) { return pair(_mm256_add_epi32(x.a, y.a), _mm256_add_epi32(x.b, y.b)); }
static inline v16 p16_to_v16(p16 x) { return join(_mm256_cvtepi32_ps(x.a), _mm256_cvtepi32_ps(x.b)); }
static inline void p16_prefetch(const uint8_t *p) { _mm_prefetch((const char *)p, _MM_HINT_T0); }

static inline __m256i four(const int8_t *x)
{
    int32_t both;
    memcpy(&both, x, sizeof both);
    return _mm256_set1_epi32(both);
}

#if defined(__AVXVNNI__)
static inline p16 p16_dot_u8(p16 acc, p16w w, const int8_t *x)
{
    __m256i v = four(x);
    return pair(_mm256_dpbusd_avx_epi32(acc.a, w.a, v), _mm256_dpbusd_avx_epi32(acc.b, w.b, v));
}
static inline p16 p16_dot_u4(p16 acc, p16w w, const int8_t *x) { return p16_dot_u8(acc, w, x); }
#else
/* Even and odd bytes apart, so that no sum of two products saturates. */
static inline __m256i dot8(__m256i acc, __m256i w, __m256i even, __m256i odd)
{
    acc = _mm256_add_epi32(acc, _mm256_madd_epi16(_mm256_and_si256(w, _mm256_set1_epi16(255)), even));
    return _mm256_add_epi32(acc, _mm256_madd_epi16(_mm256_srli_epi16(w, 8), odd));
}
static inline p16 p16_dot_u8(p16 acc, p16w w, const int8_t *x)
{
    __m256i v = four(x), even = _mm256_srai_epi16(_mm256_slli_epi16(v, 8), 8), odd = _mm256_srai_epi16(v, 8);
    return pair(dot8(acc.a, w.a, even, odd), dot8(acc.b, w.b, even, odd));
}
static inline __m256i dot4(__m256i acc, __m256i w, __m256i v)
{
    return _mm256_add_epi32(acc, _mm256_madd_epi16(_mm256_maddubs_epi16(w, v), _mm256_set1_epi16(1)));
}
static inline p16 p16_dot_u4(p16 acc, p16w w, const int8_t *x)
{
    __m256i v = four(x);
    return pair(dot4(acc.a, w.a, v), dot4(acc.b, w.b, v));
}
#endif

#endif
