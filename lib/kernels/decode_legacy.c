/* Blocks of 32 -> float32: Q4_1, Q5_0, Q5_1, IQ4_NL, MXFP4; and what the larger blocks share. Elements i and i + 16 share a byte: the first
 * has its low half. */
#include "kernels/decode.h"

void l4_scale_32(const int8_t *restrict q, const float scale[2], float *restrict out)
{
    float a = scale[0], b = scale[1];
    for (int i = 0; i < 16; i++) {
        out[i] = a * (float)q[i];
        out[i + 16] = b * (float)q[i + 16];
    }
}

void l4_scale_32_less(const int8_t *restrict q, const float scale[2], const float minus[2], float *restrict out)
{
    float a = scale[0], b = scale[1], less_a = minus[0], less_b = minus[1];
    for (int i = 0; i < 16; i++) {
        out[i] = a * (float)q[i] - less_a;
        out[i + 16] = b * (float)q[i + 16] - less_b;
    }
}

void l4_decode_q4_1(const uint8_t *restrict data, float *restrict out)
{
    float d = l4_half_at(data), m = l4_half_at(data + 2);
    for (int i = 0; i < 16; i++) {
        out[i] = d * (float)(data[4 + i] & 15) + m;
        out[i + 16] = d * (float)(data[4 + i] >> 4) + m;
    }
}

/* The fifth bits of elements 0, 1, ... are the bits of a 32-bit number, the lowest first. Four elements at a time. */
static void five_bits(const uint8_t *restrict high, const uint8_t *restrict low, int8_t *restrict q)
{
#define S(s) {(s) & 1 ? 16 : 0, (s) & 2 ? 16 : 0, (s) & 4 ? 16 : 0, (s) & 8 ? 16 : 0}
    static const uint8_t sixteen[16][4] = {S(0), S(1), S(2), S(3), S(4), S(5), S(6), S(7), S(8), S(9), S(10), S(11), S(12), S(13), S(14), S(15)};
#undef S
    for (int i = 0; i < 16; i += 4) {
        uint32_t bytes, first, second;
        memcpy(&bytes, low + i, 4);
        memcpy(&first, sixteen[high[i / 8] >> i % 8 & 15], 4);
        memcpy(&second, sixteen[high[2 + i / 8] >> i % 8 & 15], 4);
        first |= bytes & 0x0f0f0f0f;
        second |= bytes >> 4 & 0x0f0f0f0f;
        memcpy(q + i, &first, 4);
        memcpy(q + 16 + i, &second, 4);
    }
}

void l4_decode_q5_0(const uint8_t *restrict data, float *restrict out)
{
    float d = l4_half_at(data);
    int8_t q[32];
    five_bits(data + 2, data + 6, q);
    for (int i = 0; i < 32; i++)
        out[i] = d * (float)(q[i] - 16);
}

void l4_decode_q5_1(const uint8_t *restrict data, float *restrict out)
{
    float d = l4_half_at(data), m = l4_half_at(data + 2);
    int8_t q[32];
    five_bits(data + 4, data + 8, q);
    for (int i = 0; i < 32; i++)
        out[i] = d * (float)q[i] + m;
}

const float l4_iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

void l4_decode_iq4_nl(const uint8_t *restrict data, float *restrict out)
{
    float d = l4_half_at(data);
    for (int i = 0; i < 16; i++) {
        out[i] = d * l4_iq4_values[data[2 + i] & 15];
        out[i + 16] = d * l4_iq4_values[data[2 + i] >> 4];
    }
}

/* A sign, two bits of exponent and one of fraction, times two; minus zero counts as zero. */
static const float mxfp4_values[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

void l4_decode_mxfp4(const uint8_t *restrict data, float *restrict out)
{
    /* 2^(e - 128): half of what the byte means, because the values are doubled. The two lowest are subnormal. */
    uint32_t e = data[0];
    float d = l4_bits_f32(e < 2 ? (uint32_t)0x00200000 << e : (e - 1) << 23);
    for (int i = 0; i < 16; i++) {
        out[i] = d * mxfp4_values[data[1 + i] & 15];
        out[i + 16] = d * mxfp4_values[data[1 + i] >> 4];
    }
}
