/*
 * The IQ types of unpack.h, of which it is a part: packed blocks of 256 columns whose weights are entries of a grid, in most with signs of their own.
 */
#include "kernels/iq_tables.h"

/* Four bytes of seven signs: the eighth makes the number of those that are set even. */
#if defined(L4_BYTE_CODES)

static inline p16 even_signs(p16 s)
{
    return p16_lookup_128(l4_even_signs, s);
}

/* The lowest 28 bits -> those. */
static inline p16 four_times_seven(p16 x)
{
    return even_signs(p16_fields(x, 0, 7));
}

#else

static inline p16 even_signs(p16 s)
{
    p16 odd = p16_xor(s, p16_shr(s, 4)); /* in the lowest bit of each byte, in the end */
    odd = p16_xor(odd, p16_shr(odd, 2));
    odd = p16_xor(odd, p16_shr(odd, 1));
    return p16_or(s, p16_shl(p16_and(odd, p16_set(0x01010101)), 7));
}

/* The lowest 28 bits -> those. */
static inline p16 four_times_seven(p16 x)
{
    return even_signs(p16_or(p16_or(p16_and(x, p16_set(0x7f)), p16_and(p16_shl(x, 1), p16_set(0x7f00))),
                             p16_or(p16_and(p16_shl(x, 2), p16_set(0x7f0000)), p16_and(p16_shl(x, 3), p16_set(0x7f000000)))));
}

#endif

/* A grid of the IQ formats: its entries as they are, for loading; as codes, for lookups in registers, whole or in two halves; and what codes mean, plus
 * `plus`, and less than it from 8 on. Those of two bits are there for both values of the third one. */
typedef struct grid {
    const uint8_t *entries;
    const uint16_t *codes;
    const uint8_t *halves;
    int n, plus;
    uint8_t meant[16];
} grid;

#define MEANT(p, a, b, c, d, e, f, g, h) p, {p + a, p + b, p + c, p + d, p + e, p + f, p + g, p + h, p - a, p - b, p - c, p - d, p - e, p - f, p - g, p - h}
#define MEANT_TWICE(p, a, b, c) MEANT(p, a, b, c, 0, a, b, c, 0)
#define FORMS(name, n) l4_##name##_grid[0], l4_##name##_codes, l4_##name##_halves[0], n
static const grid iq2_xxs = {FORMS(iq2_xxs, 256), MEANT_TWICE(OFFSET_64, 8, 25, 43)};
static const grid iq2_xs = {FORMS(iq2_xs, 512), MEANT_TWICE(HALVES_64, 8, 25, 43)};
static const grid iq2_s = {FORMS(iq2_s, 1024), MEANT_TWICE(HALVES_64, 8, 25, 43)};
static const grid iq3_xxs = {FORMS(iq3_xxs, 256), MEANT(OFFSET_64, 4, 12, 20, 28, 36, 44, 52, 62)};
static const grid iq3_s = {FORMS(iq3_s, 512), MEANT(OFFSET_16, 1, 3, 5, 7, 9, 11, 13, 15)};

/* (0.5 + s) * factor * d */
static inline void scale_half(float *to, v16 d, p16 s, float factor)
{
    v16_store(to, v16_mul(d, v16_mul(v16_add(p16_to_v16(s), v16_set(0.5f)), v16_set(factor))));
}

/* Of each type: the signs of tile b, scales being stored. */
static inline p16 iq2_xxs_signs(const uint8_t *from, int b, l4_tile *to)
{
    const p16 rest = p16_load(AT(6 + 8 * b));
    scale_half(to->scale, v16_from_f16(AT(0)), p16_shr(rest, 28), 0.25f);
    return four_times_seven(rest);
}

static inline void four_bit_scales(const uint8_t *from, v16 d, l4_tile *to)
{
    p16 both = p16_load_u8(from);
    scale_half(to->scale, d, p16_and(both, p16_set(15)), 0.25f);
    scale_half(to->other, d, p16_shr(both, 4), 0.25f);
}

static inline p16 iq2_s_signs(const uint8_t *from, int b, l4_tile *to)
{
    four_bit_scales(AT(74 + b), v16_from_f16(AT(0)), to);
    return p16_load(AT(34 + 4 * b));
}

static inline p16 iq3_xxs_signs(const uint8_t *from, int b, l4_tile *to)
{
    const p16 rest = p16_load(AT(66 + 4 * b));
    scale_half(to->scale, v16_from_f16(AT(0)), p16_shr(rest, 28), 0.5f);
    return four_times_seven(rest);
}

static inline p16 iq3_s_signs(const uint8_t *from, int b, l4_tile *to)
{
    const p16 s = p16_and(p16_shr(p16_load_u8(AT(106 + b / 2)), b % 2 * 4), p16_set(15));
    v16_store(to->scale, v16_mul(v16_from_f16(AT(0)), p16_to_v16(p16_add(p16_add(s, s), p16_set(1)))));
    return p16_load(AT(74 + 4 * b));
}

static inline void scale_ternary(float *to, v16 d, p16 s)
{
    v16_store(to, v16_mul(d, v16_mul(p16_to_v16(p16_add(p16_add(s, s), p16_set(1))), v16_set(0.125f))));
}

/* Of each eight columns three bits of the index, and whether they are an eighth less. */
static inline p16 iq1_m_rest(const uint8_t *from, int b)
{
    return p16_or(p16_load_u8(AT(32 + 2 * b)), p16_shl(p16_load_u8(AT(33 + 2 * b)), 8));
}

/* As a float16: four bits of it are above each of the first four pairs of scales. */
static inline p16 iq1_m_d(const uint8_t *from)
{
    p16 half = p16_set(0);
    for (int i = 0; i < 4; i++)
        half = p16_or(half, p16_shl(p16_shr(p16_load_u16(AT(48 + 2 * i)), 12), 4 * i));
    return half;
}

static inline void iq1_m_scales(const uint8_t *from, int b, v16 d, l4_tile *to)
{
    const p16 scales = p16_shr(p16_load_u16(AT(48 + b / 2 * 2)), b % 2 * 6), seven = p16_set(7);
    scale_ternary(to->scale, d, p16_and(scales, seven));
    scale_ternary(to->other, d, p16_and(p16_shr(scales, 3), seven));
}

#if defined(L4_BYTE_CODES)
#include "kernels/unpack_iq_bytes.h"
#else
#include "kernels/unpack_iq_words.h"
#endif

#undef FORMS
#undef MEANT_TWICE
#undef MEANT
