/*
 * Blocks of 256 numbers in groups of 16 or 32, whose scales (and minima) are integers times a unit: the integers around the best scale are
 * tried, the units fitted to all integers, and the integers taken anew.
 */
#include "kernels/quantize_blocks.h"

#include <math.h>
#include <string.h>

#include "kernels/decode.h"

#define ROUNDS 2 /* of fitting integers to units, and units to integers */

/* Groups of a block of 256 on their way: x ~ d * scale * q - m * minimum, scales and minima integers of 0 .. most. */
typedef struct affines {
    int count, top, most;
    float w[256], d, m;
    uint8_t *scales, *minima;
    int8_t *q;
} affines;

/* The pair of integers around those of `a` that loses least. */
static void pick_pair(affines *b, const float *x, int g, l4_affine a)
{
    const int n = 256 / b->count;
    int s0 = b->d > 0 ? l4_nearest(a.scale / b->d, 0, b->most) : 0, m0 = b->m > 0 ? l4_nearest(-a.minimum / b->m, 0, b->most) : 0;
    float best = INFINITY;
    for (int s = s0 - 1; s <= s0 + 1; s++)
        for (int m = m0 - 1; m <= m0 + 1; m++) {
            if (s < 0 || s > b->most || m < 0 || m > b->most)
                continue;
            float error = l4_affine_error(x + g * n, b->w + g * n, (l4_affine){b->d * (float)s, -(b->m * (float)m)}, n, b->top);
            if (error < best) {
                best = error;
                b->scales[g] = (uint8_t)s;
                b->minima[g] = (uint8_t)m;
            }
        }
}

static void take_quants(affines *b, const float *x)
{
    const int n = 256 / b->count;
    for (int g = 0; g < b->count; g++)
        l4_to_unsigned(x + g * n, (l4_affine){b->d * b->scales[g], -(b->m * b->minima[g])}, n, b->top, b->q + g * n);
}

/* The units d and m that suit all integers best. */
static void refit_units(affines *b, const float *x)
{
    const int n = 256 / b->count;
    float ss = 0, sm = 0, mm = 0, xs = 0, xm = 0;
    for (int i = 0; i < 256; i++) {
        float s = (float)b->scales[i / n] * (float)b->q[i], m = -(float)b->minima[i / n], w = b->w[i];
        ss += w * s * s;
        sm += w * s * m;
        mm += w * m * m;
        xs += w * x[i] * s;
        xm += w * x[i] * m;
    }
    float determinant = ss * mm - sm * sm, d = b->d, m = b->m;
    if (determinant > 1e-6f * ss * mm) {
        d = (mm * xs - sm * xm) / determinant;
        m = (ss * xm - sm * xs) / determinant;
    } else if (ss > 0 && mm == 0) {
        d = xs / ss;
    }
    if (d > 0 && m >= 0 && d < 65504.0f && m < 65504.0f) {
        b->d = l4_as_f16(d);
        b->m = l4_as_f16(m);
    }
}

/* `count` groups' scales and minima of 0 .. most, d and m their units as float16. */
static void quantize_affines(const float *x, const float *importance, int count, int top, int most, uint8_t *scales, uint8_t *minima, float *d, float *m,
                             int8_t *q)
{
    const int n = 256 / count;
    float largest = 0, lowest = 0;
    l4_affine a[16];
    affines b = {.count = count, .top = top, .most = most, .scales = scales, .minima = minima, .q = q};
    for (int g = 0; g < count; g++) {
        l4_weigh(x + g * n, importance ? importance + g * n : NULL, n, top == 3, b.w + g * n);
        a[g] = l4_fit_affine(x + g * n, b.w + g * n, n, top, 1);
        largest = a[g].scale > largest ? a[g].scale : largest;
        lowest = a[g].minimum < lowest ? a[g].minimum : lowest;
    }
    b.d = l4_as_f16(largest / (float)most);
    b.m = l4_as_f16(-lowest / (float)most);
    for (int round = 0; round < ROUNDS; round++) {
        for (int g = 0; g < count; g++)
            pick_pair(&b, x, g, a[g]);
        take_quants(&b, x);
        if (round + 1 < ROUNDS)
            refit_units(&b, x);
    }
    *d = b.d;
    *m = b.m;
}

/* Two bits of 256 elements: every 32 bytes hold 128. */
static void put_two_bits(const int8_t *q, uint8_t *out)
{
    for (int i = 0; i < 64; i++) {
        const int8_t *from = q + i / 32 * 128 + i % 32;
        out[i] = (uint8_t)((from[0] & 3) | (from[32] & 3) << 2 | (from[64] & 3) << 4 | (from[96] & 3) << 6);
    }
}

void l4_quantize_q2_k(const float *x, const float *importance, uint8_t *out)
{
    uint8_t scales[16], minima[16];
    int8_t q[256];
    float d, m;
    quantize_affines(x, importance, 16, 3, 15, scales, minima, &d, &m, q);
    for (int g = 0; g < 16; g++)
        out[g] = (uint8_t)(scales[g] | minima[g] << 4);
    put_two_bits(q, out + 16);
    l4_put_f16(out + 80, d);
    l4_put_f16(out + 82, m);
}

/* Q4_K and Q5_K. */
static void quantize_six_bits(const float *x, const float *importance, int top, uint8_t *out)
{
    uint8_t s[8], m[8], *packed = out + 4, *halves = out + (top == 31 ? 48 : 16);
    int8_t q[256];
    float d, dm;
    quantize_affines(x, importance, 8, top, 63, s, m, &d, &dm, q);
    l4_put_f16(out, d);
    l4_put_f16(out + 2, dm);
    for (int g = 0; g < 4; g++) {
        packed[g] = (uint8_t)(s[g] | s[g + 4] >> 4 << 6);
        packed[g + 4] = (uint8_t)(m[g] | m[g + 4] >> 4 << 6);
        packed[g + 8] = (uint8_t)((s[g + 4] & 15) | (m[g + 4] & 15) << 4);
    }
    for (int i = 0; i < 128; i++) {
        const int8_t *from = q + i / 32 * 64 + i % 32;
        halves[i] = (uint8_t)((from[0] & 15) | (from[32] & 15) << 4);
    }
    for (int i = 0; top == 31 && i < 32; i++) {
        out[16 + i] = 0;
        for (int g = 0; g < 8; g++)
            out[16 + i] |= (uint8_t)((q[32 * g + i] >> 4 & 1) << g);
    }
}

void l4_quantize_q4_k(const float *x, const float *importance, uint8_t *out)
{
    quantize_six_bits(x, importance, 15, out);
}

void l4_quantize_q5_k(const float *x, const float *importance, uint8_t *out)
{
    quantize_six_bits(x, importance, 31, out);
}

/* Sixteen groups' scales as integers within low .. -low - 1 times *d, and the quants within -half .. half - 1. */
static void quantize_scales(const float *x, const float *importance, int half, int low, int8_t *scales, float *d, int8_t *q)
{
    float w[16], scale[16], extreme = 0;
    for (int g = 0; g < 16; g++) {
        l4_weigh(x + 16 * g, importance ? importance + 16 * g : NULL, 16, 0, w);
        scale[g] = l4_fit_scale(x + 16 * g, w, 16, -half, half - 1);
        if (fabsf(scale[g]) > fabsf(extreme))
            extreme = scale[g];
    }
    *d = l4_as_f16(extreme / (float)low);
    for (int g = 0; g < 16; g++) {
        scales[g] = (int8_t)(*d != 0 ? l4_nearest(scale[g] / *d, low, -low - 1) : 0);
        l4_to_signed(x + 16 * g, *d * scales[g], 16, -half, half - 1, q + 16 * g);
    }
}

void l4_quantize_q3_k(const float *x, const float *importance, uint8_t *out)
{
    int8_t scales[16], q[256];
    float d;
    quantize_scales(x, importance, 4, -32, scales, &d, q);
    memset(out, 0, 110);
    for (int i = 0; i < 256; i++) {
        q[i] = (int8_t)(q[i] + 4);
        out[i % 32] |= (uint8_t)((q[i] >> 2) << i / 32);
    }
    put_two_bits(q, out + 32);
    for (int g = 0; g < 16; g++) {
        int six = scales[g] + 32;
        out[96 + g % 8] |= (uint8_t)((six & 15) << g / 8 * 4);
        out[104 + g % 4] |= (uint8_t)((six >> 4) << g / 4 * 2);
    }
    l4_put_f16(out + 108, d);
}

void l4_quantize_q6_k(const float *x, const float *importance, uint8_t *out)
{
    int8_t scales[16], q[256];
    float d;
    quantize_scales(x, importance, 32, -128, scales, &d, q);
    for (int i = 0; i < 256; i++)
        q[i] = (int8_t)(q[i] + 32);
    for (int i = 0; i < 128; i++) {
        const int8_t *from = q + i / 64 * 128 + i % 64;
        out[i] = (uint8_t)((from[0] & 15) | (from[64] & 15) << 4);
    }
    for (int i = 0; i < 256; i++)
        q[i] = (int8_t)(q[i] >> 4);
    put_two_bits(q, out + 128);
    memcpy(out + 192, scales, 16);
    l4_put_f16(out + 208, d);
}

/* The integer around scale / d, in -32 .. 31, that loses least. */
static int pick_value_scale(const float *x, const float *w, float scale, float d)
{
    const int around = d != 0 ? l4_nearest(scale / d, -32, 31) : 0;
    int picked = around;
    float best = INFINITY;
    for (int s = around - 1; s <= around + 1; s++) {
        if (s < -32 || s > 31)
            continue;
        float error = l4_value_error(x, w, d * (float)s);
        if (error < best) {
            best = error;
            picked = s;
        }
    }
    return picked;
}

void l4_quantize_iq4_xs(const float *x, const float *importance, uint8_t *out)
{
    float w[256], scale[8], extreme = 0;
    int s[8];
    int8_t q[256];
    unsigned top = 0;
    for (int g = 0; g < 8; g++) {
        l4_weigh(x + 32 * g, importance ? importance + 32 * g : NULL, 32, 1, w + 32 * g);
        scale[g] = l4_fit_value_scale(x + 32 * g, w + 32 * g);
        if (fabsf(scale[g]) > fabsf(extreme))
            extreme = scale[g];
    }
    float d = l4_as_f16(extreme / -32.0f);
    for (int round = 0; round < ROUNDS; round++) {
        float xs = 0, ss = 0;
        for (int g = 0; g < 8; g++) {
            s[g] = pick_value_scale(x + 32 * g, w + 32 * g, scale[g], d);
            l4_to_values(x + 32 * g, d * (float)s[g], q + 32 * g);
        }
        for (int i = 0; i < 256; i++) {
            float v = (float)s[i / 32] * (float)l4_iq4_values[q[i]];
            xs += w[i] * x[i] * v;
            ss += w[i] * v * v;
        }
        if (round + 1 < ROUNDS && ss > 0 && fabsf(xs / ss) < 65504.0f)
            d = l4_as_f16(xs / ss);
    }
    memset(out, 0, 8);
    for (int g = 0; g < 8; g++) {
        const int six = s[g] + 32;
        l4_put_halves(q + 32 * g, out + 8 + 16 * g);
        out[4 + g / 2] |= (uint8_t)((six & 15) << g % 2 * 4);
        top |= (unsigned)(six >> 4) << 2 * g;
    }
    l4_put_f16(out, d);
    out[2] = (uint8_t)top;
    out[3] = (uint8_t)(top >> 8);
}
