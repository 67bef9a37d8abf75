/*
 * Packed blocks of sixteen rows -> tiles of 32 columns (packed.h), one function per type, over the lanes of a p16_*.h that was
 * included before. `from` is one packed block; offsets into it are sixteen times those of the stored block. decode_*.c say what
 * the fields mean; scales here are products that are exact in float32, so their order does not matter.
 */
#include "kernels/packed.h"

#if !defined(L4_SIGNED)
#define L4_SIGNED 0
#endif
#if !defined(L4_DOT_LESS_128)
#define L4_DOT_LESS_128 0
#endif

#define AT(offset) (from + 16 * (offset)) /* of the stored block */

static inline p16 bits(p16 a, int shift, int mask) /* of each byte: nothing crosses into the next one where mask fits */
{
    return p16_and(p16_shr(a, shift), p16_set_bytes(mask));
}

#if !defined(L4_LOAD_ONCE)
#define p16_load_once p16_load
#endif

/* What an instruction set may do better than in these terms: */
#if !defined(L4_P16_OWN)

/* Magnitudes less than `plus`, of which those with a bit in `signs`, four bits of each lane from 4 * which on, become negative; plus `plus`, 16, 64 or 128. */
static inline p16 p16_with_signs(p16 magnitudes, p16 signs, const int which, const int plus)
{
    p16 flip = p16_spread(p16_and(p16_shr(signs, 4 * which), p16_set(15))); /* all bits flipped, plus one, which never carries */
    p16 more = p16_xor(p16_add(p16_xor(magnitudes, flip), p16_and(flip, p16_set_bytes(1))), p16_set_bytes(128));
    return p16_sub(more, p16_set_bytes(128 - plus));
}

/* Each byte times the lane's factor, which is small enough. */
static inline p16 p16_mul_bytes(p16 bytes, p16 factor)
{
    return p16_mul(bytes, factor);
}

#endif

/* How much more weights are than they mean, of the kinds of tiles that are named after that. Small weights are worth having where products first add up in
 * 16 bits (L4_NARROW_SUMS). Where they are of signed bytes with signed ones (L4_SIGNED), it is 128 until weights are stored. */
#if L4_SIGNED
enum { OFFSET_16 = 128, OFFSET_64 = 128, HALVES_32 = 128, HALVES_64 = 128 };
#elif defined(L4_NARROW_SUMS)
enum { OFFSET_16 = 16, OFFSET_64 = 64, HALVES_32 = 32, HALVES_64 = 64 };
#else
enum { OFFSET_16 = 16, OFFSET_64 = 128, HALVES_32 = 64, HALVES_64 = 64 };
#endif

/* Weights that are more than they mean. Where products are of signed bytes with signed ones, they lie there as they mean. */
static inline void p16_store_plus(uint8_t *p, p16 a)
{
    p16_store(p, L4_SIGNED ? p16_xor(a, p16_set_bytes(128)) : a);
}

static inline v16 minus(v16 a)
{
    return v16_sub(v16_zero(), a);
}

/* ---- Blocks of 32 ---- */

/* The low halves of 16 bytes are columns 0 .. 15, the high ones 16 .. 31. */
static inline void halves(const uint8_t *from, l4_tile *to)
{
    for (int i = 0; i < 4; i++) {
        p16 both = p16_load_once(from + 64 * i);
        p16_store(to->w[i], bits(both, 0, 15));
        p16_store(to->w[i + 4], bits(both, 4, 15));
    }
}

static inline void unpack_q4_0(const uint8_t *from, l4_tile *to)
{
    v16_store(to->scale, v16_from_f16(AT(0)));
    halves(AT(2), to);
}

static inline void unpack_q4_1(const uint8_t *from, l4_tile *to)
{
    v16_store(to->scale, v16_from_f16(AT(0)));
    v16_store(to->other, v16_from_f16(AT(2)));
    halves(AT(4), to);
}

/* `from`: 32 fifth bits, then the halves. */
static inline void fives(const uint8_t *from, int add, l4_tile *to)
{
    p16 fifth = p16_load(from), sixteen = p16_set_bytes(16), more = p16_set_bytes(add);
    halves(from + 64, to);
    for (int i = 0; i < 8; i++) {
        p16 high = p16_and(p16_spread(p16_and(p16_shr(fifth, 4 * i), p16_set(15))), sixteen);
        p16 w = p16_add(p16_add(p16_load(to->w[i]), high), more);
        add ? p16_store_plus(to->w[i], w) : p16_store(to->w[i], w);
    }
}

static inline void unpack_q5_0(const uint8_t *from, l4_tile *to)
{
    v16_store(to->scale, v16_from_f16(AT(0)));
    fives(AT(2), OFFSET_16 - 16, to);
}

static inline void unpack_q5_1(const uint8_t *from, l4_tile *to)
{
    v16_store(to->scale, v16_from_f16(AT(0)));
    v16_store(to->other, v16_from_f16(AT(2)));
    fives(AT(4), 0, to);
}

static inline void unpack_q8_0(const uint8_t *from, l4_tile *to)
{
    v16_store(to->scale, v16_from_f16(AT(0)));
    for (int i = 0; i < 8; i++)
        p16_store_plus(to->w[i], p16_load(AT(2) + 64 * i));
}

/* Halves that are indices of a table of values, which are more than they mean. */
static inline void looked_up(const uint8_t *from, const uint8_t table[16], l4_tile *to)
{
    for (int i = 0; i < 4; i++) {
        p16 both = p16_load(from + 64 * i);
        p16_store_plus(to->w[i], p16_bytes_at(table, bits(both, 0, 15)));
        p16_store_plus(to->w[i + 4], p16_bytes_at(table, bits(both, 4, 15)));
    }
}

static const uint8_t iq4_plus_128[16] = {1, 24, 45, 63, 79, 93, 106, 118, 129, 141, 153, 166, 181, 197, 217, 241};
#define M(value) (OFFSET_16 + (value))
static const uint8_t mxfp4_plus[16] = {M(0), M(1), M(2), M(3), M(4), M(6), M(8), M(12), M(0), M(-1), M(-2), M(-3), M(-4), M(-6), M(-8), M(-12)};
#undef M

static inline void unpack_iq4_nl(const uint8_t *from, l4_tile *to)
{
    v16_store(to->scale, v16_from_f16(AT(0)));
    looked_up(AT(2), iq4_plus_128, to);
}

/* l4_mxfp4_scales[e] without a table: the bits (e - 1) << 23, and below 2 (e + 1) << 21, which is the larger number only there. */
static inline void mxfp4_scales(p16 e, float *to)
{
    p16_store((uint8_t *)to, p16_shl(p16_sub(e, p16_set(1)), 23));
    const v16 normal = v16_load(to);
    p16_store((uint8_t *)to, p16_shl(p16_add(e, p16_set(1)), 21));
    v16_store(to, v16_max(normal, v16_load(to)));
}

static inline void unpack_mxfp4(const uint8_t *from, l4_tile *to)
{
    mxfp4_scales(p16_load_u8(AT(0)), to->scale);
    looked_up(AT(1), mxfp4_plus, to);
}

/* ---- Blocks of 256 ----
 * some_...: of the tiles b, b + 1, ... as many as are made from the same bytes. */

/* 32 bytes of each row, of which every loop below takes a few bits and shifts the next ones down: shifts by a constant are the fast ones. */
static inline void load_eight(const uint8_t *from, p16 *q)
{
    for (int i = 0; i < 8; i++)
        q[i] = p16_load(from + 64 * i);
}

static inline void some_q2_k(const uint8_t *from, int b, l4_tile *to)
{
    v16 d = v16_from_f16(AT(80)), m = minus(v16_from_f16(AT(82)));
    p16 first = p16_load_u8(AT(2 * b)), second = p16_load_u8(AT(2 * b + 1)), fifteen = p16_set(15);
    p16 minimum = p16_shr(second, 4), scales[2] = {p16_and(first, fifteen), p16_and(second, fifteen)};
    v16_store(to->scale, d);
    v16_store(to->other, v16_mul(m, p16_to_v16(minimum)));
    v16_store(to->third, v16_mul(m, p16_to_v16(p16_sub(p16_shr(first, 4), minimum))));
    for (int i = 0; i < 8; i++) /* four bytes of at most 3 times at most 15 at once */
        p16_store(to->w[i], p16_mul_bytes(bits(p16_load(AT(16 + b / 4 * 32) + 64 * i), b % 4 * 2, 3), scales[i / 4]));
}

static inline void unpack_q2_k(const uint8_t *from, l4_tile *to)
{
    for (int b = 0; b < 8; b++)
        some_q2_k(from, b, to + b);
}

/* Scale s of sixteen, of six bits less 32. */
static inline void q3_k_scale(const uint8_t *from, int s, v16 d, float *to)
{
    p16 low = p16_and(p16_shr(p16_load_u8(AT(96 + s % 8)), s / 8 * 4), p16_set(15));
    p16 top = p16_and(p16_shr(p16_load_u8(AT(104 + s % 4)), s / 4 * 2), p16_set(3));
    v16_store(to, v16_mul(d, p16_to_v16(p16_sub(p16_or(low, p16_shl(top, 4)), p16_set(32)))));
}

static inline void some_q3_k(const uint8_t *from, int b, l4_tile *to)
{
    v16 d = v16_from_f16(AT(108));
    q3_k_scale(from, 2 * b, d, to->scale);
    q3_k_scale(from, 2 * b + 1, d, to->other);
    for (int i = 0; i < 8; i++) {
        p16 q = bits(p16_load(AT(32 + b / 4 * 32) + 64 * i), b % 4 * 2, 3), four = p16_shl(bits(p16_load(AT(0) + 64 * i), b, 1), 2);
        p16_store_plus(to->w[i], p16_add(p16_add(q, four), p16_set_bytes(HALVES_32 - 4)));
    }
}

static inline void unpack_q3_k(const uint8_t *from, l4_tile *to)
{
    for (int b = 0; b < 8; b++)
        some_q3_k(from, b, to + b);
}

/* Scale and minimum of 32 columns, from the twelve bytes of Q4_K and Q5_K. */
static inline void six_bits(const uint8_t *from, int b, v16 d, v16 m, l4_tile *to)
{
    p16 scale, minimum;
    if (b < 4) {
        scale = p16_and(p16_load_u8(AT(4 + b)), p16_set(63));
        minimum = p16_and(p16_load_u8(AT(8 + b)), p16_set(63));
    } else {
        p16 low = p16_load_u8(AT(8 + b)), top = p16_set(48);
        scale = p16_or(p16_and(low, p16_set(15)), p16_and(p16_shr(p16_load_u8(AT(b)), 2), top));
        minimum = p16_or(p16_shr(low, 4), p16_and(p16_shr(p16_load_u8(AT(4 + b)), 2), top));
    }
    v16_store(to->scale, v16_mul(d, p16_to_v16(scale)));
    v16_store(to->other, v16_mul(m, p16_to_v16(minimum)));
}

static inline void some_q4_k(const uint8_t *from, int b, l4_tile *to)
{
    v16 d = v16_from_f16(AT(0)), m = minus(v16_from_f16(AT(2)));
    six_bits(from, b, d, m, to);
    six_bits(from, b + 1, d, m, to + 1);
    for (int i = 0; i < 8; i++) {
        p16 both = p16_load_once(AT(16 + 16 * b) + 64 * i);
        p16_store(to[0].w[i], bits(both, 0, 15));
        p16_store(to[1].w[i], bits(both, 4, 15));
    }
}

static inline void unpack_q4_k(const uint8_t *from, l4_tile *to)
{
    for (int b = 0; b < 8; b += 2)
        some_q4_k(from, b, to + b);
}

static inline void unpack_q5_k(const uint8_t *from, l4_tile *to)
{
    v16 d = v16_from_f16(AT(0)), m = minus(v16_from_f16(AT(2)));
    p16 fifth[8];
    load_eight(AT(16), fifth);
    for (int b = 0; b < 8; b += 2, to += 2) {
        six_bits(from, b, d, m, to);
        six_bits(from, b + 1, d, m, to + 1);
        for (int i = 0; i < 8; i++) {
            p16 both = p16_load(AT(48 + 16 * b) + 64 * i), sixteen = p16_set_bytes(16);
            p16_store(to[0].w[i], p16_or(bits(both, 0, 15), p16_and(p16_shl(fifth[i], 4), sixteen)));
            p16_store(to[1].w[i], p16_or(bits(both, 4, 15), p16_and(p16_shl(fifth[i], 3), sixteen)));
            fifth[i] = p16_shr(fifth[i], 2);
        }
    }
}

static inline void q6_k_scales(const uint8_t *from, int b, v16 d, l4_tile *to)
{
    v16_store(to->scale, v16_mul(d, p16_to_v16(p16_load_i8(AT(192 + 2 * b)))));
    v16_store(to->other, v16_mul(d, p16_to_v16(p16_load_i8(AT(193 + 2 * b)))));
}

static inline void unpack_q6_k(const uint8_t *from, l4_tile *to)
{
    v16 d = v16_from_f16(AT(208));
    const p16 add = p16_set_bytes(HALVES_32 - 32), top = p16_set_bytes(48);
    for (int half = 0; half < 2; half++, to += 4) {
        for (int b = 0; b < 4; b++)
            q6_k_scales(from, 4 * half + b, d, to + b);
        for (int i = 0; i < 8; i++) {
            p16 left = p16_load(AT(64 * half) + 64 * i), right = p16_load(AT(64 * half + 32) + 64 * i), high = p16_load(AT(128 + 32 * half) + 64 * i);
            p16_store_plus(to[0].w[i], p16_add(p16_or(bits(left, 0, 15), p16_and(p16_shl(high, 4), top)), add));
            p16_store_plus(to[1].w[i], p16_add(p16_or(bits(right, 0, 15), p16_and(p16_shl(high, 2), top)), add));
            p16_store_plus(to[2].w[i], p16_add(p16_or(bits(left, 4, 15), p16_and(high, top)), add));
            p16_store_plus(to[3].w[i], p16_add(p16_or(bits(right, 4, 15), p16_and(p16_shr(high, 2), top)), add));
        }
    }
}

static inline void some_iq4_xs(const uint8_t *from, int b, l4_tile *to)
{
    v16 d = v16_from_f16(AT(0));
    p16 low = p16_and(p16_shr(p16_load_u8(AT(4 + b / 2)), b % 2 * 4), p16_set(15));
    p16 top = p16_and(p16_shr(p16_load_u16(AT(2)), 2 * b), p16_set(3));
    v16_store(to->scale, v16_mul(d, p16_to_v16(p16_sub(p16_or(low, p16_shl(top, 4)), p16_set(32)))));
    looked_up(AT(8 + 16 * b), iq4_plus_128, to);
}

static inline void unpack_iq4_xs(const uint8_t *from, l4_tile *to)
{
    for (int b = 0; b < 8; b++)
        some_iq4_xs(from, b, to + b);
}

#include "kernels/unpack_iq.h"

#undef AT
