/* Sixteen 32-bit lanes, or 64 bytes, in four SSE registers; needs what every x86-64 has. */
#ifndef L4_KERNELS_P16_H
#define L4_KERNELS_P16_H

#include "base/compiler.h"
#include "kernels/packed.h"
#include "kernels/x86/v16_sse2.h"

#define L4_STEP_TOKENS 2
#define L4_ALWAYS_INLINE __attribute__((always_inline))
#define L4_LARGE_UNPACK /* no shuffles of bytes */
#define L4_DOT_HALF /* sixteen columns at once: below */

typedef struct p16 {
    __m128i a, b, c, d;
} p16;

static inline p16 quad(__m128i a, __m128i b, __m128i c, __m128i d)
{
    p16 r = {a, b, c, d};
    return r;
}

#define QUAD_1(f, x) quad(f((x).a), f((x).b), f((x).c), f((x).d))
#define QUAD_2(f, x, y) quad(f((x).a, (y).a), f((x).b, (y).b), f((x).c, (y).c), f((x).d, (y).d))

static inline p16 p16_set(int32_t x)
{
    const __m128i all = _mm_set1_epi32(x);
    return quad(all, all, all, all);
}
static inline p16 p16_set_bytes(int x) { return p16_set((int32_t)((uint32_t)(uint8_t)x * 0x01010101u)); }
static inline p16 p16_load(const uint8_t *p) { return quad(bytes16(p), bytes16(p + 16), bytes16(p + 32), bytes16(p + 48)); }
static inline void store16(uint8_t *p, __m128i x) { _mm_storeu_si128((__m128i *)(void *)p, x); }
static inline void p16_store(uint8_t *p, p16 x)
{
    store16(p, x.a);
    store16(p + 16, x.b);
    store16(p + 32, x.c);
    store16(p + 48, x.d);
}
static inline p16 widen(__m128i low, __m128i high) /* unsigned */
{
    const __m128i zero = _mm_setzero_si128();
    return quad(_mm_unpacklo_epi16(low, zero), _mm_unpackhi_epi16(low, zero), _mm_unpacklo_epi16(high, zero), _mm_unpackhi_epi16(high, zero));
}
static inline p16 p16_load_u8(const uint8_t *p)
{
    const __m128i x = bytes16(p), zero = _mm_setzero_si128();
    return widen(_mm_unpacklo_epi8(x, zero), _mm_unpackhi_epi8(x, zero));
}
static inline p16 p16_load_i8(const uint8_t *p)
{
    const __m128i x = bytes16(p), low = low_words(x), high = high_words(x);
    return quad(low_lanes(low), high_lanes(low), low_lanes(high), high_lanes(high));
}
static inline p16 p16_load_u16(const uint8_t *p) { return widen(bytes16(p), bytes16(p + 16)); }
static inline p16 p16_and(p16 x, p16 y) { return QUAD_2(_mm_and_si128, x, y); }
static inline p16 p16_or(p16 x, p16 y) { return QUAD_2(_mm_or_si128, x, y); }
static inline p16 p16_xor(p16 x, p16 y) { return QUAD_2(_mm_xor_si128, x, y); }
static inline p16 p16_add(p16 x, p16 y) { return QUAD_2(_mm_add_epi32, x, y); }
static inline p16 p16_sub(p16 x, p16 y) { return QUAD_2(_mm_sub_epi32, x, y); }
static inline p16 p16_shl(p16 x, int n) { return quad(_mm_slli_epi32(x.a, n), _mm_slli_epi32(x.b, n), _mm_slli_epi32(x.c, n), _mm_slli_epi32(x.d, n)); }
static inline p16 p16_shr(p16 x, int n) { return quad(_mm_srli_epi32(x.a, n), _mm_srli_epi32(x.b, n), _mm_srli_epi32(x.c, n), _mm_srli_epi32(x.d, n)); }
static inline p16 p16_fours(const uint8_t *table, const uint8_t *at)
{
    uint8_t all[64];
    for (size_t r = 0; r < 16; r++)
        memcpy(all + 4 * r, table + 4 * (size_t)l4_load_u16(at + 4 * r), 4);
    return p16_load(all);
}
static inline p16 p16_bytes_at(const uint8_t table[16], p16 b)
{
    uint8_t all[64];
    p16_store(all, b);
    for (size_t i = 0; i < sizeof all; i++)
        all[i] = table[all[i]];
    return p16_load(all);
}
/* The lowest byte of each lane four times; then each looks at a bit of its own: 0 or 255. */
static inline __m128i spread(__m128i x, int bits)
{
    const __m128i all = _mm_set1_epi32(bits), byte = _mm_and_si128(x, _mm_set1_epi32(255)), twice = _mm_or_si128(byte, _mm_slli_epi32(byte, 8));
    return _mm_cmpeq_epi8(_mm_and_si128(_mm_or_si128(twice, _mm_slli_epi32(twice, 16)), all), all);
}
#define SPREAD(x) spread(x, 0x08040201)
static inline p16 p16_spread(p16 x) { return QUAD_1(SPREAD, x); }
#undef SPREAD
#define L4_P16_OWN
static inline __m128 two_eights(const uint8_t *table, const uint8_t *at)
{
    uint64_t both[2];
    memcpy(&both[0], table + 8 * (size_t)l4_load_u16(at), 8);
    memcpy(&both[1], table + 8 * (size_t)l4_load_u16(at + 4), 8);
    return _mm_castsi128_ps(_mm_loadu_si128((const __m128i *)(const void *)both));
}
static inline void four_eights(const uint8_t *table, const uint8_t *at, __m128i *first, __m128i *second)
{
    const __m128 low = two_eights(table, at), high = two_eights(table, at + 8);
    *first = _mm_castps_si128(_mm_shuffle_ps(low, high, 0x88));
    *second = _mm_castps_si128(_mm_shuffle_ps(low, high, 0xdd));
}
static inline void p16_eights(const uint8_t *table, const uint8_t *at, p16 *first, p16 *second)
{
    four_eights(table, at, &first->a, &second->a);
    four_eights(table, at + 16, &first->b, &second->b);
    four_eights(table, at + 32, &first->c, &second->c);
    four_eights(table, at + 48, &first->d, &second->d);
}
static inline __m128i with_signs(__m128i magnitudes, __m128i signs, int bits, int plus)
{
    const __m128i flip = spread(signs, bits);
    return _mm_add_epi8(_mm_sub_epi8(_mm_xor_si128(magnitudes, flip), flip), _mm_set1_epi8((char)plus));
}
static inline p16 p16_with_signs(p16 magnitudes, p16 signs, const int which, const int plus)
{
    const int bits = which % 2 ? (int)0x80402010 : 0x08040201;
    signs = p16_shr(signs, 8 * (which / 2));
    return quad(with_signs(magnitudes.a, signs.a, bits, plus), with_signs(magnitudes.b, signs.b, bits, plus), with_signs(magnitudes.c, signs.c, bits, plus),
                with_signs(magnitudes.d, signs.d, bits, plus));
}
static inline p16 p16_mul_bytes(p16 bytes, p16 factor)
{
    const p16 both = p16_or(factor, p16_shl(factor, 16));
    return QUAD_2(_mm_mullo_epi16, bytes, both);
}
static inline v16 p16_as_v16(p16 x) { return FOUR_1(_mm_castsi128_ps, x); }
static inline p16 v16_as_p16(v16 x) { return quad(_mm_castps_si128(x.a), _mm_castps_si128(x.b), _mm_castps_si128(x.c), _mm_castps_si128(x.d)); }
static inline v16 p16_to_v16(p16 x) { return FOUR_1(_mm_cvtepi32_ps, x); }

static inline void v16_to_i8(int8_t *q, v16 x)
{
    const __m128i low = _mm_packs_epi32(_mm_cvtps_epi32(x.a), _mm_cvtps_epi32(x.b)), high = _mm_packs_epi32(_mm_cvtps_epi32(x.c), _mm_cvtps_epi32(x.d));
    _mm_storeu_si128((__m128i *)(void *)q, _mm_packs_epi16(low, high));
}
static inline void v16_to_i16(int16_t *q, v16 x)
{
    _mm_storeu_si128((__m128i *)(void *)q, _mm_packs_epi32(_mm_cvtps_epi32(x.a), _mm_cvtps_epi32(x.b)));
    _mm_storeu_si128((__m128i *)(void *)(q + 8), _mm_packs_epi32(_mm_cvtps_epi32(x.c), _mm_cvtps_epi32(x.d)));
}
static inline p16 p16_load_words(const uint8_t *p)
{
    const __m128i x = bytes16(p), y = bytes16(p + 16);
    return quad(low_words(x), high_words(x), low_words(y), high_words(y));
}
static inline p16 p16_mul_words(p16 x, p16 y) { return QUAD_2(_mm_mullo_epi16, x, y); }

static inline int32_t i8_sum(const int8_t *q)
{
    const __m128i x = _mm_xor_si128(bytes16((const uint8_t *)q), _mm_set1_epi8((char)0x80)); /* unsigned, 128 more each */
    const __m128i s = _mm_sad_epu8(x, _mm_setzero_si128());
    return _mm_cvtsi128_si32(s) + _mm_cvtsi128_si32(_mm_srli_si128(s, 8)) - 16 * 128;
}

typedef p16 p16_sums;
#define p16_no_sums() p16_set(0)
#define p16_store_sums p16_store
static inline p16_sums p16_dot_pairs(p16_sums acc, p16 x, p16 y)
{
    const p16 products = QUAD_2(_mm_madd_epi16, x, y);
    return p16_add(acc, products);
}

/*
 * n[t][r] += the sum over k < 16 of w[k / 4][4 r + k % 4] * x[t].q[4 * first + k], for `tokens` <= L4_STEP_TOKENS: even columns, then odd ones, as
 * words of 16 bits.
 */
static inline L4_ALWAYS_INLINE void p16_dot_half(const int tokens, const int most, const uint8_t (*w)[64], const l4_xblock *x, int first, p16 *n)
{
    __m128i even[L4_STEP_TOKENS][4], odd[L4_STEP_TOKENS][4];
    (void)most;
    L4_UNROLL(4)
    for (int t = 0; t < tokens; t++) {
        const __m128i all = bytes16((const uint8_t *)x[t].q + 4 * first), evens = _mm_srai_epi16(_mm_slli_epi16(all, 8), 8), odds = _mm_srai_epi16(all, 8);
        even[t][0] = _mm_shuffle_epi32(evens, 0x00), odd[t][0] = _mm_shuffle_epi32(odds, 0x00);
        even[t][1] = _mm_shuffle_epi32(evens, 0x55), odd[t][1] = _mm_shuffle_epi32(odds, 0x55);
        even[t][2] = _mm_shuffle_epi32(evens, 0xaa), odd[t][2] = _mm_shuffle_epi32(odds, 0xaa);
        even[t][3] = _mm_shuffle_epi32(evens, 0xff), odd[t][3] = _mm_shuffle_epi32(odds, 0xff);
    }
#define ROWS(part, at)                                                                                                          \
    L4_UNROLL(4)                                                                                                                \
    for (int k = 0; k < 4; k++) {                                                                                               \
        const __m128i both = bytes16(w[k] + (at)), low = _mm_and_si128(both, _mm_set1_epi16(255)), high = _mm_srli_epi16(both, 8); \
        L4_UNROLL(4)                                                                                                            \
        for (int t = 0; t < tokens; t++) {                                                                                      \
            n[t].part = _mm_add_epi32(n[t].part, _mm_add_epi32(_mm_madd_epi16(low, even[t][k]), _mm_madd_epi16(high, odd[t][k]))); \
            L4_IN_REGISTER(n[t].part);                                                                                          \
        }                                                                                                                       \
    }
    ROWS(a, 0)
    ROWS(b, 16)
    ROWS(c, 32)
    ROWS(d, 48)
#undef ROWS
}

#endif
