/* Sixteen int32 lanes in an AVX-512 register; with or without VNNI. */
#ifndef L4_KERNELS_P16_H
#define L4_KERNELS_P16_H

#include "kernels/x86/v16_avx512.h"

#define L4_PANEL_TOKENS 12
#define L4_PREFETCH 2048
#define L4_ALWAYS_INLINE __attribute__((always_inline))

typedef __m512i p16;
typedef __m512i p16w;

static inline p16w p16_load(const uint8_t *p) { return _mm512_loadu_si512(p); }
static inline p16w p16_low(p16w w) { return _mm512_and_si512(w, _mm512_set1_epi8(15)); }
static inline p16w p16_high(p16w w) { return _mm512_and_si512(_mm512_srli_epi16(w, 4), _mm512_set1_epi8(15)); }
static inline p16 p16_set(int32_t x) { return _mm512_set1_epi32(x); }
static inline p16 p16_add(p16 a, p16 b) { return _mm512_add_epi32(a, b); }
static inline v16 p16_to_v16(p16 a) { return _mm512_cvtepi32_ps(a); }
static inline void p16_prefetch(const uint8_t *p) { _mm_prefetch((const char *)p, _MM_HINT_T0); }

static inline __m512i four(const int8_t *x)
{
    int32_t both;
    memcpy(&both, x, sizeof both);
    return _mm512_set1_epi32(both);
}

#if defined(__AVX512VNNI__)
static inline p16 p16_dot_u8(p16 acc, p16w w, const int8_t *x) { return _mm512_dpbusd_epi32(acc, w, four(x)); }
static inline p16 p16_dot_u4(p16 acc, p16w w, const int8_t *x) { return _mm512_dpbusd_epi32(acc, w, four(x)); }
#else
/* Even and odd bytes apart, so that no sum of two products saturates. */
static inline p16 p16_dot_u8(p16 acc, p16w w, const int8_t *x)
{
    __m512i v = four(x), even = _mm512_srai_epi16(_mm512_slli_epi16(v, 8), 8), odd = _mm512_srai_epi16(v, 8);
    acc = _mm512_add_epi32(acc, _mm512_madd_epi16(_mm512_and_si512(w, _mm512_set1_epi16(255)), even));
    return _mm512_add_epi32(acc, _mm512_madd_epi16(_mm512_srli_epi16(w, 8), odd));
}
static inline p16 p16_dot_u4(p16 acc, p16w w, const int8_t *x)
{
    return _mm512_add_epi32(acc, _mm512_madd_epi16(_mm512_maddubs_epi16(w, four(x)), _mm512_set1_epi16(1)));
}
#endif

#endif
