/* Blocks of 256 with scales of their own inside -> float32: Q2_K to Q6_K, and IQ4_XS. */
#include "kernels/decode.h"

/* 64 bytes -> 256 elements of two bits. Every 32 bytes hold 128 elements: the lowest two bits of each byte first, then the next two. */
static void two_bits(const uint8_t *restrict from, int8_t *restrict q)
{
    for (int half = 0; half < 2; half++, from += 32)
        for (int shift = 0; shift < 8; shift += 2, q += 32)
            for (int i = 0; i < 32; i++)
                q[i] = (int8_t)(from[i] >> shift & 3);
}

/* 16 bytes of 4-bit scales and minima, 64 bytes of quants, scale, minimum. */
void l4_decode_q2_k(const uint8_t *restrict data, float *restrict out)
{
    float d = l4_half_at(data + 80), m = l4_half_at(data + 82), scales[16], minima[16];
    int8_t q[256];
    for (int i = 0; i < 16; i++) {
        scales[i] = d * (float)(data[i] & 15);
        minima[i] = m * (float)(data[i] >> 4);
    }
    two_bits(data + 16, q);
    for (int i = 0; i < 256; i += 32)
        l4_scale_32_less(q + i, scales + i / 16, minima + i / 16, out + i);
}

/* 32 bytes of third bits, 64 bytes of quants as in Q2_K, 12 bytes of sixteen 6-bit scales, scale. Bit b of byte i belongs to element 32 b + i;
 * where it is clear, 4 is taken off. */
void l4_decode_q3_k(const uint8_t *restrict data, float *restrict out)
{
    const uint8_t *high = data, *packed = data + 96;
    float d = l4_half_at(data + 108), scales[16];
    int8_t q[256];
    for (int i = 0; i < 16; i++) {
        int low = packed[i % 8] >> i / 8 * 4 & 15, top = packed[8 + i % 4] >> i / 4 * 2 & 3;
        scales[i] = d * (float)((low | top << 4) - 32);
    }
    two_bits(data + 32, q);
    for (int bit = 0; bit < 8; bit++) {
        int8_t *to = q + 32 * bit;
        for (int i = 0; i < 32; i++)
            to[i] = (int8_t)(to[i] + (high[i] >> bit << 2 & 4) - 4);
        l4_scale_32(to, scales + 2 * bit, out + 32 * bit);
    }
}

/* Eight 6-bit scales and eight 6-bit minima in 12 bytes: the first four of each in the low six bits of bytes 0 .. 3 and 4 .. 7; of the last
 * four the low half in bytes 8 .. 11 and the rest in the top bits of the others. */
static void six_bits(const uint8_t *restrict p, float d, float m, float *restrict scale, float *restrict minimum)
{
    for (int i = 0; i < 4; i++) {
        scale[i] = d * (float)(p[i] & 63);
        minimum[i] = m * (float)(p[i + 4] & 63);
        scale[i + 4] = d * (float)((p[i + 8] & 15) | (p[i] >> 2 & 48));
        minimum[i + 4] = m * (float)(p[i + 8] >> 4 | (p[i + 4] >> 2 & 48));
    }
}

/* Scale, minimum, 12 bytes for six_bits, 128 bytes of quants: every 32 bytes hold 64 elements, the low halves first. */
void l4_decode_q4_k(const uint8_t *restrict data, float *restrict out)
{
    const uint8_t *q = data + 16;
    float scale[8], minimum[8];
    six_bits(data + 4, l4_half_at(data), l4_half_at(data + 2), scale, minimum);
    for (int group = 0; group < 8; group += 2, q += 32, out += 64)
        for (int i = 0; i < 32; i++) {
            out[i] = scale[group] * (float)(q[i] & 15) - minimum[group];
            out[i + 32] = scale[group + 1] * (float)(q[i] >> 4) - minimum[group + 1];
        }
}

/* As Q4_K with 32 bytes of fifth bits before the quants: bit b of byte i belongs to element 32 b + i. */
void l4_decode_q5_k(const uint8_t *restrict data, float *restrict out)
{
    const uint8_t *high = data + 16, *q = data + 48;
    float scale[8], minimum[8];
    six_bits(data + 4, l4_half_at(data), l4_half_at(data + 2), scale, minimum);
    for (int group = 0; group < 8; group += 2, q += 32, out += 64)
        for (int i = 0; i < 32; i++) {
            out[i] = scale[group] * (float)((q[i] & 15) | (high[i] >> group << 4 & 16)) - minimum[group];
            out[i + 32] = scale[group + 1] * (float)(q[i] >> 4 | (high[i] >> (group + 1) << 4 & 16)) - minimum[group + 1];
        }
}

/* 128 bytes of low halves, 64 bytes of upper two bits, sixteen 8-bit scales, scale. Every 64 bytes of halves hold 128 elements, the low ones
 * first; every 32 bytes of upper bits belong to the same 128, the lowest two bits first. */
void l4_decode_q6_k(const uint8_t *restrict data, float *restrict out)
{
    const uint8_t *low = data, *packed = data + 192;
    float d = l4_half_at(data + 208), scales[16];
    int8_t q[256];
    for (int i = 0; i < 16; i++)
        scales[i] = d * (float)(int8_t)packed[i];
    two_bits(data + 128, q);
    for (int i = 0; i < 256; i += 32) {
        const uint8_t *from = low + i / 128 * 64 + i % 64;
        int shift = i % 128 / 64 * 4;
        int8_t *to = q + i;
        for (int j = 0; j < 32; j++)
            to[j] = (int8_t)(((from[j] >> shift & 15) | to[j] << 4) - 32);
        l4_scale_32(to, scales + i / 16, out + i);
    }
}

/* Scale, the upper two bits of eight 6-bit scales, their low halves, then eight times 16 bytes as in IQ4_NL. */
void l4_decode_iq4_xs(const uint8_t *restrict data, float *restrict out)
{
    const uint8_t *q = data + 8;
    unsigned high = l4_load_u16(data + 2);
    float d = l4_half_at(data);
    for (int group = 0; group < 8; group++, q += 16, out += 32) {
        int low = data[4 + group / 2] >> group % 2 * 4 & 15, top = (int)(high >> 2 * group & 3);
        float scale = d * (float)((low | top << 4) - 32);
        for (int i = 0; i < 16; i++) {
            out[i] = scale * l4_iq4_values[q[i] & 15];
            out[i + 16] = scale * l4_iq4_values[q[i] >> 4];
        }
    }
}
