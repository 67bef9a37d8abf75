/* Sixteen 32-bit lanes, or 64 bytes, four for each lane, in portable C. */
#ifndef L4_KERNELS_P16_H
#define L4_KERNELS_P16_H

#include "kernels/v16_generic.h"

#define L4_STEP_TOKENS 4
#define L4_LARGE_UNPACK /* sixteen lanes, each on its own */
#define L4_ALWAYS_INLINE

typedef struct p16 {
    uint32_t lane[16];
} p16;

#define EACH(expression)             \
    do {                             \
        p16 r;                       \
        for (int i = 0; i < 16; i++) \
            r.lane[i] = (expression); \
        return r;                    \
    } while (0)

static inline p16 p16_set(int32_t x) { EACH((uint32_t)x); }
static inline p16 p16_set_bytes(int x) { EACH((uint32_t)x * 0x01010101u); }
static inline p16 p16_load(const uint8_t *p) { EACH(l4_load_u32(p + 4 * i)); }
static inline p16 p16_load_u8(const uint8_t *p) { EACH(p[i]); }
static inline p16 p16_load_i8(const uint8_t *p) { EACH((uint32_t)(int8_t)p[i]); }
static inline p16 p16_load_u16(const uint8_t *p) { EACH(l4_load_u16(p + 2 * i)); }
static inline p16 p16_and(p16 a, p16 b) { EACH(a.lane[i] & b.lane[i]); }
static inline p16 p16_or(p16 a, p16 b) { EACH(a.lane[i] | b.lane[i]); }
static inline p16 p16_xor(p16 a, p16 b) { EACH(a.lane[i] ^ b.lane[i]); }
static inline p16 p16_add(p16 a, p16 b) { EACH(a.lane[i] + b.lane[i]); }
static inline p16 p16_sub(p16 a, p16 b) { EACH(a.lane[i] - b.lane[i]); }
static inline p16 p16_mul(p16 a, p16 b) { EACH(a.lane[i] * b.lane[i]); }
static inline p16 p16_shl(p16 a, int n) { EACH(a.lane[i] << n); }
static inline p16 p16_shr(p16 a, int n) { EACH(a.lane[i] >> n); }

static inline void p16_store(uint8_t *p, p16 a)
{
    for (int i = 0; i < 16; i++)
        for (int k = 0; k < 4; k++)
            p[4 * i + k] = (uint8_t)(a.lane[i] >> 8 * k);
}

/* Entries of a table, of four bytes or of eight, the first four and the others, at sixteen indices of 16 bits, of which at + 4 is the second. */
static inline p16 p16_fours(const uint8_t *table, const uint8_t *at) { EACH(l4_load_u32(table + 4 * (size_t)l4_load_u16(at + 4 * i))); }
static inline p16 eights(const uint8_t *table, const uint8_t *at) { EACH(l4_load_u32(table + 8 * (size_t)l4_load_u16(at + 4 * i))); }
static inline void p16_eights(const uint8_t *table, const uint8_t *at, p16 *first, p16 *second)
{
    *first = eights(table, at);
    *second = eights(table + 4, at);
}

/* table[b] for each byte b < 16. */
static inline p16 p16_bytes_at(const uint8_t table[16], p16 b)
{
    EACH((uint32_t)table[b.lane[i] & 15] | (uint32_t)table[b.lane[i] >> 8 & 15] << 8 | (uint32_t)table[b.lane[i] >> 16 & 15] << 16 |
         (uint32_t)table[b.lane[i] >> 24 & 15] << 24);
}

/* Lanes 0 .. 15: bit k becomes byte k, 0 or 255. */
static inline p16 p16_spread(p16 a) { EACH((a.lane[i] * 0x00204081u & 0x01010101u) * 255); }

/* acc[r] += w[r][0] * x[0] + ... + w[r][3] * x[3]: unsigned bytes with signed ones. */
static inline p16 p16_dot(p16 acc, const uint8_t *w, const int8_t *x)
{
    EACH(acc.lane[i] + (uint32_t)(w[4 * i] * x[0] + w[4 * i + 1] * x[1] + w[4 * i + 2] * x[2] + w[4 * i + 3] * x[3]));
}

static inline uint32_t dot_pair(uint32_t a, uint32_t b)
{
    return (uint32_t)((int16_t)a * (int16_t)b) + (uint32_t)((int16_t)(a >> 16) * (int16_t)(b >> 16));
}

typedef p16 p16_sums;
#define p16_no_sums() p16_set(0)
#define p16_store_sums p16_store

/* 32 signed bytes as pairs of 16-bit numbers, and the low halves of such numbers' products. */
static inline p16 p16_load_words(const uint8_t *p) { EACH((uint32_t)(uint16_t)(int8_t)p[2 * i] | (uint32_t)(uint16_t)(int8_t)p[2 * i + 1] << 16); }
static inline p16 p16_mul_words(p16 a, p16 b)
{
    EACH((uint32_t)(uint16_t)((uint32_t)(uint16_t)a.lane[i] * (uint16_t)b.lane[i]) | (a.lane[i] >> 16) * (b.lane[i] >> 16) << 16);
}

/* acc[r] += the products of two pairs of signed 16-bit numbers */
static inline p16_sums p16_dot_pairs(p16_sums acc, p16 a, p16 b) { EACH(acc.lane[i] + dot_pair(a.lane[i], b.lane[i])); }

#undef EACH

/* The same bits. */
static inline v16 p16_as_v16(p16 a)
{
    v16 r;
    memcpy(&r, &a, sizeof r);
    return r;
}

static inline p16 v16_as_p16(v16 a)
{
    p16 r;
    memcpy(&r, &a, sizeof r);
    return r;
}

static inline v16 p16_to_v16(p16 a)
{
    v16 r;
    for (int i = 0; i < 16; i++)
        r.lane[i] = (float)(int32_t)a.lane[i];
    return r;
}

/* Numbers whose value is an integer of at most 127 in magnitude -> 16 bytes. */
static inline void v16_to_i8(int8_t *q, v16 a)
{
    for (int i = 0; i < 16; i++)
        q[i] = (int8_t)a.lane[i];
}

/* Likewise of at most 32767 -> 16 numbers. */
static inline void v16_to_i16(int16_t *q, v16 a)
{
    for (int i = 0; i < 16; i++)
        q[i] = (int16_t)a.lane[i];
}

static inline int32_t i8_sum(const int8_t *q) /* of 16 */
{
    int32_t sum = 0;
    for (int i = 0; i < 16; i++)
        sum += q[i];
    return sum;
}

#endif
