/* Rows of all types that have an encoder, and their blocks of 32; quantize_k.c has those of 256. */
#include "kernels/quantize.h"

#include <math.h>
#include <string.h>

#include "kernels/encode.h"
#include "kernels/packed.h"
#include "kernels/quantize_blocks.h"

/* ---- Blocks of 32 ---- */

static void put_fifths(const int8_t *q, uint8_t *out)
{
    uint32_t bits = 0;
    for (int i = 0; i < 32; i++)
        bits |= (uint32_t)(q[i] >> 4 & 1) << i;
    l4_store_u32(out, bits);
}

/* Q4_0 and Q5_0: `offset` is 8 or 16. */
static void quantize_offset(const float *x, const float *importance, int offset, uint8_t *out)
{
    float w[32];
    int8_t q[32];
    l4_weigh(x, importance, 32, 0, w);
    float scale = l4_as_f16(l4_fit_scale(x, w, 32, -offset, offset - 1));
    l4_to_signed(x, scale, 32, -offset, offset - 1, q);
    for (int i = 0; i < 32; i++)
        q[i] = (int8_t)(q[i] + offset);
    l4_put_f16(out, scale);
    if (offset == 16)
        put_fifths(q, out + 2);
    l4_put_halves(q, out + (offset == 16 ? 6 : 2));
}

/* Q4_1 and Q5_1: `top` is 15 or 31. */
static void quantize_minimum(const float *x, const float *importance, int top, uint8_t *out)
{
    float w[32];
    int8_t q[32];
    l4_weigh(x, importance, 32, 0, w);
    l4_affine a = l4_fit_affine(x, w, 32, top, 0);
    a.scale = l4_as_f16(a.scale), a.minimum = l4_as_f16(a.minimum);
    l4_to_unsigned(x, a, 32, top, q);
    l4_put_f16(out, a.scale);
    l4_put_f16(out + 2, a.minimum);
    if (top == 31)
        put_fifths(q, out + 4);
    l4_put_halves(q, out + (top == 31 ? 8 : 4));
}

static void quantize_iq4_nl(const float *x, const float *importance, uint8_t *out)
{
    float w[32];
    int8_t q[32];
    l4_weigh(x, importance, 32, 1, w);
    float scale = l4_as_f16(l4_fit_value_scale(x, w));
    l4_to_values(x, scale, q);
    l4_put_f16(out, scale);
    l4_put_halves(q, out + 2);
}

static void quantize_mxfp4(const float *x, const float *importance, uint8_t *out)
{
    static const float values[8] = {0, 1, 2, 3, 4, 6, 8, 12};
    float w[32], top = 0, best = INFINITY;
    l4_weigh(x, importance, 32, 0, w);
    for (int i = 0; i < 32; i++)
        top = fabsf(x[i]) > top ? fabsf(x[i]) : top;
    int exponent = (int)(l4_f32_bits(top) >> 23); /* 12 times the unit is 1.5 * 2^(byte - 125) */
    memset(out, 0, 17);
    for (int byte = exponent - 3; byte <= exponent; byte++) {
        if (byte < 2 || byte > 254)
            continue;
        float unit = l4_bits_f32(l4_mxfp4_scales[byte]), error = 0;
        int8_t q[32];
        for (int i = 0; i < 32; i++) {
            float a = fabsf(x[i]) / unit;
            int k = 0;
            while (k < 7 && a > 0.5f * (values[k] + values[k + 1]))
                k++;
            float d = values[k] - a;
            error += w[i] * d * d * unit * unit;
            q[i] = (int8_t)(x[i] < 0 && k ? k | 8 : k);
        }
        if (error < best) {
            best = error;
            out[0] = (uint8_t)byte;
            l4_put_halves(q, out + 1);
        }
    }
}

/* ---- Rows ---- */

static const struct {
    uint32_t type;
    uint16_t block, bytes;
} sizes[] = {{L4_Q4_0, 32, 18},   {L4_Q4_1, 32, 20},   {L4_Q5_0, 32, 22},   {L4_Q5_1, 32, 24},    {L4_Q8_0, 32, 34},    {L4_Q2_K, 256, 84},
             {L4_Q3_K, 256, 110}, {L4_Q4_K, 256, 144}, {L4_Q5_K, 256, 176}, {L4_Q6_K, 256, 210}, {L4_IQ4_NL, 32, 18}, {L4_IQ4_XS, 256, 136},
             {L4_MXFP4, 32, 17}};

static size_t find(uint32_t type)
{
    size_t i = 0;
    while (i < sizeof sizes / sizeof *sizes && sizes[i].type != type)
        i++;
    return i;
}

int l4_quantize_can(uint32_t type)
{
    return find(type) < sizeof sizes / sizeof *sizes;
}

static void quantize_block(uint32_t type, const float *x, const float *importance, uint8_t *out)
{
    switch (type) {
    case L4_Q4_0: quantize_offset(x, importance, 8, out); break;
    case L4_Q5_0: quantize_offset(x, importance, 16, out); break;
    case L4_Q4_1: quantize_minimum(x, importance, 15, out); break;
    case L4_Q5_1: quantize_minimum(x, importance, 31, out); break;
    case L4_Q8_0: l4_encode_row(type, x, 32, out); break;
    case L4_Q2_K: l4_quantize_q2_k(x, importance, out); break;
    case L4_Q3_K: l4_quantize_q3_k(x, importance, out); break;
    case L4_Q4_K: l4_quantize_q4_k(x, importance, out); break;
    case L4_Q5_K: l4_quantize_q5_k(x, importance, out); break;
    case L4_Q6_K: l4_quantize_q6_k(x, importance, out); break;
    case L4_IQ4_NL: quantize_iq4_nl(x, importance, out); break;
    case L4_IQ4_XS: l4_quantize_iq4_xs(x, importance, out); break;
    case L4_MXFP4: quantize_mxfp4(x, importance, out); break;
    }
}

void l4_quantize_row(uint32_t type, const float *x, const float *importance, size_t n, uint8_t *out)
{
    const size_t k = find(type), block = sizes[k].block;
    for (size_t i = 0; i < n; i += block, out += sizes[k].bytes)
        quantize_block(type, x + i, importance ? importance + i : NULL, out);
}
