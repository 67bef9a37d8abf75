/* Sixteen 32-bit lanes, or 64 bytes, in an AVX-512 register; with or without VNNI. */
#ifndef L4_KERNELS_P16_H
#define L4_KERNELS_P16_H

#include "base/compiler.h"
#include "kernels/x86/v16_avx512.h"

#define L4_STEP_TOKENS 8
#define L4_SUMS_IN_REGISTERS
#define L4_ALWAYS_INLINE __attribute__((always_inline))

typedef __m512i p16;

static inline p16 p16_set(int32_t x) { return _mm512_set1_epi32(x); }
static inline p16 p16_set_bytes(int x) { return _mm512_set1_epi8((char)x); }
static inline p16 p16_load(const uint8_t *p) { return _mm512_loadu_si512(p); }
#define L4_LOAD_ONCE /* what is used twice: compilers would read it twice, but one token's product has hardly time for its loads */
static inline p16 p16_load_once(const uint8_t *p)
{
    p16 a = p16_load(p);
    L4_IN_REGISTER(a);
    return a;
}
static inline void p16_store(uint8_t *p, p16 a) { _mm512_storeu_si512(p, a); }
static inline p16 p16_load_u8(const uint8_t *p) { return _mm512_cvtepu8_epi32(bytes16(p)); }
static inline p16 p16_load_i8(const uint8_t *p) { return _mm512_cvtepi8_epi32(bytes16(p)); }
static inline p16 p16_load_u16(const uint8_t *p) { return _mm512_cvtepu16_epi32(bytes32(p)); }
static inline p16 p16_and(p16 a, p16 b) { return _mm512_and_si512(a, b); }
static inline p16 p16_or(p16 a, p16 b) { return _mm512_or_si512(a, b); }
static inline p16 p16_xor(p16 a, p16 b) { return _mm512_xor_si512(a, b); }
static inline p16 p16_add(p16 a, p16 b) { return _mm512_add_epi32(a, b); }
static inline p16 p16_sub(p16 a, p16 b) { return _mm512_sub_epi32(a, b); }
static inline p16 p16_mul(p16 a, p16 b) { return _mm512_mullo_epi32(a, b); }
static inline p16 p16_shl(p16 a, int n) { return _mm512_slli_epi32(a, (unsigned)n); }
static inline p16 p16_shr(p16 a, int n) { return _mm512_srli_epi32(a, (unsigned)n); }
static inline p16 p16_bytes_at(const uint8_t table[16], p16 b) { return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(bytes16(table)), b); }
static inline p16 p16_spread(p16 a)
{
#define M(i) ((i & 1 ? 0xff : 0) | (i & 2 ? 0xff00 : 0) | (i & 4 ? 0xff0000 : 0) | (i & 8 ? (int)0xff000000 : 0))
    return _mm512_permutexvar_epi32(a, _mm512_setr_epi32(M(0), M(1), M(2), M(3), M(4), M(5), M(6), M(7), M(8), M(9), M(10), M(11), M(12), M(13), M(14), M(15)));
#undef M
}
#define L4_P16_OWN
/* Entries at indices 0, 1, 4, 5, 8, 9, ... of sixteen: loaded into all lanes, of which a mask takes one: on Zen 5 in two thirds of the time of gathering them. */
static inline __m512 half_of_eights(const uint8_t *table, const uint8_t *at)
{
    __m512i all = _mm512_setzero_si512();
    L4_UNROLL(8)
    for (int i = 0; i < 8; i++) {
        const uint8_t *entry = table + 8 * (size_t)l4_load_u16(at + 4 * (i % 2 + i / 2 * 4));
        all = _mm512_mask_broadcastq_epi64(all, (__mmask8)(1 << i), _mm_loadl_epi64((const __m128i *)(const void *)entry));
    }
    return _mm512_castsi512_ps(all);
}
static inline void p16_eights(const uint8_t *table, const uint8_t *at, p16 *first, p16 *second)
{
    const __m512 a = half_of_eights(table, at), b = half_of_eights(table, at + 8);
    *first = _mm512_castps_si512(_mm512_shuffle_ps(a, b, 0x88));
    *second = _mm512_castps_si512(_mm512_shuffle_ps(a, b, 0xdd));
}

/* Bytes of each lane whose bit is set: of the lowest byte of `signs` for which = 0, 1, four each; of the next one for 2, 3; ... */
static inline __mmask64 negatives(p16 signs, const int which)
{
#define B(lane) (char)(4 * (lane) + which / 2)
    const __m128i at = _mm_setr_epi8(B(0), B(0), B(0), B(0), B(1), B(1), B(1), B(1), B(2), B(2), B(2), B(2), B(3), B(3), B(3), B(3));
#undef B
    return _mm512_test_epi8_mask(_mm512_shuffle_epi8(signs, _mm512_broadcast_i32x4(at)), _mm512_set1_epi32(which % 2 ? (int)0x80402010 : 0x08040201));
}

#if defined(__AVX512VBMI__)
#define L4_BYTE_CODES
typedef __mmask64 p16_mask; /* a bit for each byte */
static inline p16_mask p16_with(p16 x, int bit) { return _mm512_test_epi8_mask(x, p16_set_bytes(bit)); }

/* Bytes of an aligned table, at indices of seven bits, whatever the eighth is. */
static inline p16 p16_lookup_128(const uint8_t *table, p16 index)
{
    p16 found = _mm512_permutex2var_epi8(_mm512_load_si512(table), index, _mm512_load_si512(table + 64));
    L4_IN_REGISTER(found);
    return found;
}
/* At those of more bits: masks say what is above seven. In this order few registers hold what is found. */
static inline p16 lookup_256(const uint8_t *table, p16 index, const p16_mask *above)
{
    const p16 low = p16_lookup_128(table, index);
    return _mm512_mask_mov_epi8(low, above[0], p16_lookup_128(table + 128, index));
}
static inline p16 lookup_512(const uint8_t *table, p16 index, const p16_mask *above)
{
    const p16 low = lookup_256(table, index, above);
    return _mm512_mask_mov_epi8(low, above[1], lookup_256(table + 256, index, above));
}
static inline p16 lookup_1024(const uint8_t *table, p16 index, const p16_mask *above)
{
    const p16 low = lookup_512(table, index, above);
    return _mm512_mask_mov_epi8(low, above[2], lookup_512(table + 512, index, above));
}
static inline p16 lookup_2048(const uint8_t *table, p16 index, const p16_mask *above)
{
    const p16 low = lookup_1024(table, index, above);
    return _mm512_mask_mov_epi8(low, above[3], lookup_1024(table + 1024, index, above));
}
static inline L4_ALWAYS_INLINE p16 p16_lookup(const uint8_t *table, const int n, p16 index, const p16_mask *above)
{
    if (n <= 512)
        return n <= 256 ? lookup_256(table, index, above) : lookup_512(table, index, above);
    L4_HIDE(table);
    return n <= 1024 ? lookup_1024(table, index, above) : lookup_2048(table, index, above);
}

/* Byte j of each lane: eight bits of the lane from bit `first` + j * `apart` on; those that it does not have are any. */
static inline L4_ALWAYS_INLINE __m512i field_offsets(int a, int b, int c, int d)
{
    const uint64_t lane = (uint64_t)(a & 63) | (uint64_t)(b & 63) << 8 | (uint64_t)(c & 63) << 16 | (uint64_t)(d & 63) << 24;
    return _mm512_set1_epi64((long long)(lane | (lane ^ 0x20202020) << 32));
}
static inline L4_ALWAYS_INLINE p16 p16_fields(p16 x, const int first, const int apart)
{
    return _mm512_multishift_epi64_epi8(field_offsets(first, first + apart, first + 2 * apart, first + 3 * apart), x);
}
/* Two such bytes of x, then of y. */
static inline L4_ALWAYS_INLINE p16 p16_pair_fields(p16 x, p16 y, const int first, const int apart)
{
    const p16 offsets = field_offsets(first, first + apart, first, first + apart);
    return _mm512_mask_multishift_epi64_epi8(_mm512_multishift_epi64_epi8(offsets, x), 0xcccccccccccccccc, offsets, y);
}

/* The bits of x in the mask, those of y beside it. */
static inline p16 p16_choose(const int mask, p16 x, p16 y) { return _mm512_ternarylogic_epi32(x, y, p16_set_bytes(mask), 0xe4); }

/* table[the lowest four bits] of each byte */
static inline p16 p16_table(const uint8_t table[16], p16 x) { return _mm512_permutexvar_epi8(x, _mm512_broadcast_i32x4(bytes16(table))); }

static inline v16 p16_f16_to_v16(p16 x) { return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(x)); }

/* Of four 16-bit words of each row, stored word after word: byte `which` of all. */
static inline p16 p16_bytes_of_words(const uint8_t *p, const int which)
{
#define B(row) 0x60402000 + (2 * (row) + which) * 0x01010101
    const p16 at = _mm512_setr_epi32(B(0), B(1), B(2), B(3), B(4), B(5), B(6), B(7), B(8), B(9), B(10), B(11), B(12), B(13), B(14), B(15));
#undef B
    return _mm512_permutex2var_epi8(p16_load(p), at, p16_load(p + 64));
}
#else
/* Two 16-bit indices in each lane -> their codes, n in all, looked up in registers: half a cycle for each 64 of them on Zen 5, where a gather of sixteen takes
 * more than twelve. */
#define L4_CODES
static inline p16 codes_64(const uint16_t *codes, p16 index)
{
    return _mm512_permutex2var_epi16(_mm512_load_si512(codes), index, _mm512_load_si512(codes + 32));
}
static inline p16 codes_256(const uint16_t *codes, p16 index, __mmask32 bit_6, __mmask32 bit_7)
{
    const p16 low = _mm512_mask_mov_epi16(codes_64(codes, index), bit_6, codes_64(codes + 64, index));
    return _mm512_mask_mov_epi16(low, bit_7, _mm512_mask_mov_epi16(codes_64(codes + 128, index), bit_6, codes_64(codes + 192, index)));
}
static inline L4_ALWAYS_INLINE p16 p16_codes(const uint16_t *codes, const int n, p16 index) /* n: 256, 512 or 1024 */
{
#define BIT(i) _mm512_test_epi16_mask(index, _mm512_set1_epi16(1 << (i)))
    const __mmask32 bit_6 = BIT(6), bit_7 = BIT(7);
    p16 found = codes_256(codes, index, bit_6, bit_7);
    if (n > 256)
        found = _mm512_mask_mov_epi16(found, BIT(8), codes_256(codes + 256, index, bit_6, bit_7));
    if (n > 512) {
        const p16 upper = _mm512_mask_mov_epi16(codes_256(codes + 512, index, bit_6, bit_7), BIT(8), codes_256(codes + 768, index, bit_6, bit_7));
        found = _mm512_mask_mov_epi16(found, BIT(9), upper);
    }
#undef BIT
    return found;
}

/* Four fields of each lane, of two bits in byte `byte`, or of three bits, two in that and two in the next byte -> table[field], or table[field + 8] where negative. */
static inline p16 p16_signed_at(const uint8_t table[16], p16 codes, const int byte, const int bits, p16 signs, const int which)
{
    const uint32_t lane = 0x80008000u + (uint32_t)byte * 0x10001u + (bits == 3 ? 0x10000u : 0); /* a byte for each word, and 0x80, which gives 0 */
    const __m128i at = _mm_setr_epi32((int)lane, (int)(lane + 0x04040404), (int)(lane + 0x08080808), (int)(lane + 0x0c0c0c0c));
    p16 fields = _mm512_shuffle_epi8(codes, _mm512_broadcast_i32x4(at));
    if (bits == 2)
        fields = _mm512_srlv_epi16(fields, _mm512_set1_epi32(4 << 16)); /* each word begins with its own two */
    const p16 second = _mm512_slli_epi16(fields, 8 - bits), mask = _mm512_set1_epi8((1 << bits) - 1);
    fields = _mm512_ternarylogic_epi32(fields, second, mask, 0xa8); /* (a | b) & c */
    fields = _mm512_mask_add_epi8(fields, negatives(signs, which), fields, _mm512_set1_epi8(8));
    return p16_bytes_at(table, fields);
}
#endif

static inline p16 p16_mul_bytes(p16 bytes, p16 factor)
{
    return _mm512_mullo_epi16(bytes, _mm512_or_si512(factor, _mm512_slli_epi32(factor, 16)));
}
static inline v16 p16_as_v16(p16 a) { return _mm512_castsi512_ps(a); }
static inline p16 v16_as_p16(v16 a) { return _mm512_castps_si512(a); }
static inline v16 p16_to_v16(p16 a) { return _mm512_cvtepi32_ps(a); }

static inline void v16_to_i8(int8_t *q, v16 a)
{
    _mm_storeu_si128((__m128i *)(void *)q, _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(a)));
}

static inline p16 p16_load_words(const uint8_t *p) { return _mm512_cvtepi8_epi16(bytes32(p)); }
static inline p16 p16_mul_words(p16 a, p16 b) { return _mm512_mullo_epi16(a, b); }

static inline void v16_to_i16(int16_t *q, v16 a)
{
    _mm256_storeu_si256((__m256i *)(void *)q, _mm512_cvtepi32_epi16(_mm512_cvtps_epi32(a)));
}

static inline int32_t i8_sum(const int8_t *q)
{
    __m128i x = _mm_xor_si128(bytes16((const uint8_t *)q), _mm_set1_epi8((char)0x80)); /* unsigned, 128 more each */
    __m128i s = _mm_sad_epu8(x, _mm_setzero_si128());
    return _mm_cvtsi128_si32(s) + _mm_extract_epi32(s, 2) - 16 * 128;
}

/* Sums that live through a loop: in the type of the instruction, or compilers keep them twice. */
typedef int32_t p16_sums __attribute__((vector_size(64)));
static inline p16_sums p16_no_sums(void) { return (p16_sums)_mm512_setzero_si512(); }
static inline void p16_store_sums(uint8_t *p, p16_sums a) { p16_store(p, (p16)a); }

/* Four bytes of x in each lane. */
static inline p16 p16_four(const int8_t *x)
{
    int32_t all;
    memcpy(&all, x, sizeof all);
    return _mm512_set1_epi32(all);
}

#if defined(__AVX512VNNI__)
#define L4_PANEL_PAIRS /* two panels at once: 32 registers hold the sums of 16 products */
static inline p16 p16_dot(p16 acc, p16 w, p16 x) { return _mm512_dpbusd_epi32(acc, w, x); }
static inline p16_sums p16_dot_pairs(p16_sums acc, p16 a, p16 b) { return (p16_sums)_mm512_dpwssd_epi32((p16)acc, a, b); }
#else
/* Of weights 128 more than they mean, as they mean. Their signs go to x, so that one factor is unsigned and two products, of 128 times 127, fit 16 bits. */
#define L4_DOT_LESS_128 1
static inline p16 p16_dot(p16 acc, const uint8_t *w, const int8_t *x)
{
    const p16 meant = _mm512_xor_si512(p16_load(w), _mm512_set1_epi8((char)128)), v = p16_four(x);
    const p16 signs = _mm512_mask_sub_epi8(v, _mm512_movepi8_mask(meant), _mm512_setzero_si512(), v);
    acc = _mm512_add_epi32(acc, _mm512_madd_epi16(_mm512_maddubs_epi16(_mm512_abs_epi8(meant), signs), _mm512_set1_epi16(1)));
    L4_IN_REGISTER(acc);
    return acc;
}
static inline p16_sums p16_dot_pairs(p16_sums acc, p16 a, p16 b) { return (p16_sums)_mm512_add_epi32((p16)acc, _mm512_madd_epi16(a, b)); }

/* Sums of pairs in 16 bits: weights up to 127 fit, up to 63 leave room for two of them, up to 31 for four, up to 15 for eight. */
#define L4_NARROW_SUMS
typedef p16 p16_pairs;
static inline p16_pairs p16_pairs_first(const uint8_t *w, const int8_t *x) { return _mm512_maddubs_epi16(p16_load(w), p16_four(x)); }
static inline p16_pairs p16_pairs_next(p16_pairs acc, const uint8_t *w, const int8_t *x)
{
    acc = _mm512_add_epi16(acc, p16_pairs_first(w, x));
    L4_IN_REGISTER(acc);
    return acc;
}
static inline p16 p16_add_pairs(p16 acc, p16_pairs p)
{
    acc = _mm512_add_epi32(acc, _mm512_madd_epi16(p, _mm512_set1_epi16(1)));
    L4_IN_REGISTER(acc);
    return acc;
}
#endif

#endif
