/* Sixteen 32-bit lanes, or 64 bytes, in two AVX registers; with or without VNNI. */
#ifndef L4_KERNELS_P16_H
#define L4_KERNELS_P16_H

#include "base/compiler.h"
#include "kernels/x86/v16_avx2.h"

#define L4_STEP_TOKENS 4
#define L4_ALWAYS_INLINE __attribute__((always_inline))

typedef struct p16 {
    __m256i a, b;
} p16;

static inline p16 pair(__m256i a, __m256i b)
{
    p16 r = {a, b};
    return r;
}

static inline __m256i bytes32(const uint8_t *p) { return _mm256_loadu_si256((const __m256i *)(const void *)p); }
static inline p16 p16_set(int32_t x) { return pair(_mm256_set1_epi32(x), _mm256_set1_epi32(x)); }
static inline p16 p16_set_bytes(int x) { return pair(_mm256_set1_epi8((char)x), _mm256_set1_epi8((char)x)); }
static inline p16 p16_load(const uint8_t *p) { return pair(bytes32(p), bytes32(p + 32)); }
static inline void p16_store(uint8_t *p, p16 x)
{
    _mm256_storeu_si256((__m256i *)(void *)p, x.a);
    _mm256_storeu_si256((__m256i *)(void *)(p + 32), x.b);
}
static inline __m128i bytes8(const uint8_t *p) { return _mm_loadl_epi64((const __m128i *)(const void *)p); }
static inline p16 p16_load_u8(const uint8_t *p) { return pair(_mm256_cvtepu8_epi32(bytes8(p)), _mm256_cvtepu8_epi32(bytes8(p + 8))); }
static inline p16 p16_load_i8(const uint8_t *p) { return pair(_mm256_cvtepi8_epi32(bytes8(p)), _mm256_cvtepi8_epi32(bytes8(p + 8))); }
static inline p16 p16_load_u16(const uint8_t *p) { return pair(_mm256_cvtepu16_epi32(bytes16(p)), _mm256_cvtepu16_epi32(bytes16(p + 16))); }
static inline p16 p16_and(p16 x, p16 y) { return pair(_mm256_and_si256(x.a, y.a), _mm256_and_si256(x.b, y.b)); }
static inline p16 p16_or(p16 x, p16 y) { return pair(_mm256_or_si256(x.a, y.a), _mm256_or_si256(x.b, y.b)); }
static inline p16 p16_xor(p16 x, p16 y) { return pair(_mm256_xor_si256(x.a, y.a), _mm256_xor_si256(x.b, y.b)); }
static inline p16 p16_add(p16 x, p16 y) { return pair(_mm256_add_epi32(x.a, y.a), _mm256_add_epi32(x.b, y.b)); }
static inline p16 p16_sub(p16 x, p16 y) { return pair(_mm256_sub_epi32(x.a, y.a), _mm256_sub_epi32(x.b, y.b)); }
static inline p16 p16_mul(p16 x, p16 y) { return pair(_mm256_mullo_epi32(x.a, y.a), _mm256_mullo_epi32(x.b, y.b)); }
static inline p16 p16_shl(p16 x, int n) { return pair(_mm256_slli_epi32(x.a, n), _mm256_slli_epi32(x.b, n)); }
static inline p16 p16_shr(p16 x, int n) { return pair(_mm256_srli_epi32(x.a, n), _mm256_srli_epi32(x.b, n)); }
/* Entries are loaded into all lanes and blended: on Zen 5 that takes half as long as to gather them. */
static inline __m256i entry_of_four(const uint8_t *table, const uint8_t *at) { return _mm256_set1_epi32((int)l4_load_u32(table + 4 * (size_t)l4_load_u16(at))); }
static inline __m256i entry_of_eight(const uint8_t *table, const uint8_t *at)
{
    return _mm256_set1_epi64x((long long)l4_load_u64(table + 8 * (size_t)l4_load_u16(at)));
}
static inline __m256i eight_fours(const uint8_t *table, const uint8_t *at)
{
#define TWO(i) _mm256_blend_epi32(entry_of_four(table, at + 4 * (i)), entry_of_four(table, at + 4 * (i) + 4), 2 << (i))
    const __m256i low = _mm256_blend_epi32(TWO(0), TWO(2), 0x0c), high = _mm256_blend_epi32(TWO(4), TWO(6), 0xc0);
#undef TWO
    return _mm256_blend_epi32(low, high, 0xf0);
}
static inline p16 p16_fours(const uint8_t *table, const uint8_t *at) { return pair(eight_fours(table, at), eight_fours(table, at + 32)); }
static inline __m256 four_eights(const uint8_t *table, const uint8_t *at) /* of rows 0, 1, 4 and 5 */
{
    const __m256i low = _mm256_blend_epi32(entry_of_eight(table, at), entry_of_eight(table, at + 4), 0x0c);
    const __m256i high = _mm256_blend_epi32(entry_of_eight(table, at + 16), entry_of_eight(table, at + 20), 0xc0);
    return _mm256_castsi256_ps(_mm256_blend_epi32(low, high, 0xf0));
}
static inline void p16_eights(const uint8_t *table, const uint8_t *at, p16 *first, p16 *second)
{
    const __m256 a = four_eights(table, at), b = four_eights(table, at + 8), c = four_eights(table, at + 32), d = four_eights(table, at + 40);
    *first = pair(_mm256_castps_si256(_mm256_shuffle_ps(a, b, 0x88)), _mm256_castps_si256(_mm256_shuffle_ps(c, d, 0x88)));
    *second = pair(_mm256_castps_si256(_mm256_shuffle_ps(a, b, 0xdd)), _mm256_castps_si256(_mm256_shuffle_ps(c, d, 0xdd)));
}
static inline p16 p16_bytes_at(const uint8_t table[16], p16 b)
{
    __m256i t = _mm256_broadcastsi128_si256(bytes16(table));
    return pair(_mm256_shuffle_epi8(t, b.a), _mm256_shuffle_epi8(t, b.b));
}
static inline __m256i spread(__m256i x) /* the lowest byte of each lane four times; then each looks at a bit of its own */
{
    const __m256i lowest = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 0, 0, 0, 4, 4, 4, 4, 8, 8, 8, 8, 12, 12, 12, 12)), bits = _mm256_set1_epi32(0x08040201);
    return _mm256_cmpeq_epi8(_mm256_and_si256(_mm256_shuffle_epi8(x, lowest), bits), bits);
}
static inline p16 p16_spread(p16 x) { return pair(spread(x.a), spread(x.b)); }
#define L4_P16_OWN
static inline __m256i with_signs(__m256i g, __m256i signs, const int which, const int plus)
{
    const __m256i bits = _mm256_set1_epi32(which % 2 ? (int)0x80402010 : 0x08040201);
    const __m256i byte = _mm256_set_epi64x(0x0c0c0c0c08080808, 0x0404040400000000, 0x0c0c0c0c08080808, 0x0404040400000000);
    const __m256i at = _mm256_add_epi8(byte, _mm256_set1_epi8((char)(which / 2)));
    __m256i negative = _mm256_cmpeq_epi8(_mm256_and_si256(_mm256_shuffle_epi8(signs, at), bits), bits);
    return _mm256_add_epi8(_mm256_sign_epi8(g, _mm256_or_si256(negative, _mm256_set1_epi8(1))), _mm256_set1_epi8((char)plus));
}
static inline p16 p16_with_signs(p16 magnitudes, p16 signs, const int which, const int plus)
{
    return pair(with_signs(magnitudes.a, signs.a, which, plus), with_signs(magnitudes.b, signs.b, which, plus));
}
static inline p16 p16_mul_bytes(p16 bytes, p16 factor)
{
    p16 both = p16_or(factor, p16_shl(factor, 16));
    return pair(_mm256_mullo_epi16(bytes.a, both.a), _mm256_mullo_epi16(bytes.b, both.b));
}
static inline v16 p16_as_v16(p16 x) { return join(_mm256_castsi256_ps(x.a), _mm256_castsi256_ps(x.b)); }
static inline p16 v16_as_p16(v16 x) { return pair(_mm256_castps_si256(x.a), _mm256_castps_si256(x.b)); }
static inline v16 p16_to_v16(p16 x) { return join(_mm256_cvtepi32_ps(x.a), _mm256_cvtepi32_ps(x.b)); }

static inline void v16_to_i8(int8_t *q, v16 x)
{
    __m256i words = _mm256_packs_epi32(_mm256_cvtps_epi32(x.a), _mm256_cvtps_epi32(x.b)); /* a0-3 b0-3 | a4-7 b4-7 */
    words = _mm256_permute4x64_epi64(words, 0xd8);
    _mm_storeu_si128((__m128i *)(void *)q, _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1)));
}

static inline p16 p16_load_words(const uint8_t *p) { return pair(_mm256_cvtepi8_epi16(bytes16(p)), _mm256_cvtepi8_epi16(bytes16(p + 16))); }
static inline p16 p16_mul_words(p16 x, p16 y) { return pair(_mm256_mullo_epi16(x.a, y.a), _mm256_mullo_epi16(x.b, y.b)); }

static inline void v16_to_i16(int16_t *q, v16 x)
{
    __m256i words = _mm256_packs_epi32(_mm256_cvtps_epi32(x.a), _mm256_cvtps_epi32(x.b));
    _mm256_storeu_si256((__m256i *)(void *)q, _mm256_permute4x64_epi64(words, 0xd8));
}

static inline int32_t i8_sum(const int8_t *q)
{
    __m128i x = _mm_xor_si128(bytes16((const uint8_t *)q), _mm_set1_epi8((char)0x80)); /* unsigned, 128 more each */
    __m128i s = _mm_sad_epu8(x, _mm_setzero_si128());
    return _mm_cvtsi128_si32(s) + _mm_extract_epi32(s, 2) - 16 * 128;
}

static inline __m256i four_bytes(const int8_t *x)
{
    int32_t all;
    memcpy(&all, x, sizeof all);
    return _mm256_set1_epi32(all);
}

/* Sums that live through a loop: in the type of the instruction, or compilers keep them twice. */
typedef int32_t eight __attribute__((vector_size(32)));
typedef struct p16_sums {
    eight a, b;
} p16_sums;
static inline p16_sums p16_no_sums(void)
{
    p16_sums r = {(eight)_mm256_setzero_si256(), (eight)_mm256_setzero_si256()};
    return r;
}
static inline void p16_store_sums(uint8_t *p, p16_sums x) { p16_store(p, pair((__m256i)x.a, (__m256i)x.b)); }

#if defined(__AVXVNNI__)
static inline p16 p16_dot(p16 acc, const uint8_t *w, const int8_t *x)
{
    __m256i v = four_bytes(x);
    return pair(_mm256_dpbusd_avx_epi32(acc.a, bytes32(w), v), _mm256_dpbusd_avx_epi32(acc.b, bytes32(w + 32), v));
}
static inline p16_sums p16_dot_pairs(p16_sums acc, p16 x, p16 y)
{
    p16_sums r = {(eight)_mm256_dpwssd_avx_epi32((__m256i)acc.a, x.a, y.a), (eight)_mm256_dpwssd_avx_epi32((__m256i)acc.b, x.b, y.b)};
    return r;
}
#else
static inline p16_sums p16_dot_pairs(p16_sums acc, p16 x, p16 y)
{
    p16_sums r = {acc.a + (eight)_mm256_madd_epi16(x.a, y.a), acc.b + (eight)_mm256_madd_epi16(x.b, y.b)};
    return r;
}
static inline p16 sums(__m256i a, __m256i b)
{
    L4_IN_REGISTER(a);
    L4_IN_REGISTER(b);
    return pair(a, b);
}
/* Of weights 128 more than they mean, as they mean. Their signs go to x, so that one factor is unsigned and two products, of 128 times 127, fit 16 bits. */
#define L4_DOT_LESS_128 1
static inline __m256i dot8(__m256i acc, __m256i w, __m256i x)
{
    const __m256i meant = _mm256_xor_si256(w, _mm256_set1_epi8((char)128));
    const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(meant), _mm256_sign_epi8(x, meant));
    return _mm256_add_epi32(acc, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}
static inline p16 p16_dot(p16 acc, const uint8_t *w, const int8_t *x)
{
    const __m256i v = four_bytes(x);
    return sums(dot8(acc.a, bytes32(w), v), dot8(acc.b, bytes32(w + 32), v));
}

/* Sums of pairs in 16 bits: weights up to 127 fit, up to 63 leave room for two of them, up to 31 for four, up to 15 for eight. */
#define L4_NARROW_SUMS
typedef p16 p16_pairs;
static inline p16_pairs p16_pairs_first(const uint8_t *w, const int8_t *x)
{
    __m256i v = four_bytes(x);
    return pair(_mm256_maddubs_epi16(bytes32(w), v), _mm256_maddubs_epi16(bytes32(w + 32), v));
}
static inline p16_pairs p16_pairs_next(p16_pairs acc, const uint8_t *w, const int8_t *x)
{
    p16_pairs more = p16_pairs_first(w, x);
    return sums(_mm256_add_epi16(acc.a, more.a), _mm256_add_epi16(acc.b, more.b));
}
static inline p16 p16_add_pairs(p16 acc, p16_pairs p)
{
    __m256i ones = _mm256_set1_epi16(1);
    return sums(_mm256_add_epi32(acc.a, _mm256_madd_epi16(p.a, ones)), _mm256_add_epi32(acc.b, _mm256_madd_epi16(p.b, ones)));
}
#endif

#endif
