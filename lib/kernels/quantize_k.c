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
    uint8_t scales[16], minima[16];
    int8_t q[256];
} affines;

/* The pair of integers around those of `a` that loses least. */
static void pick_pair(affines *b, const float *x, int g, l4_affine a)
{
    const int n = 256 / b->count;
    int s0 = b->d > 0 ? l4_nearest(a.scale / b->d, 0, b->most) : 0, m0 = b->m > 0 ? l4_nearest(-a.minimum / b->m, 0, b->most) : 0;
    float best = INFINITY;
    b->scales[g] = (uint8_t)s0, b->minima[g] = (uint8_t)m0; /* where no error is a number */
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

static void quantize_affines(const float *x, const float *importance, affines *b)
{
    const int n = 256 / b->count;
    float largest = 0, lowest = 0;
    l4_affine a[16];
    for (int g = 0; g < b->count; g++) {
        l4_weigh(x + g * n, importance ? importance + g * n : NULL, n, b->top == 3, b->w + g * n);
        a[g] = l4_fit_affine(x + g * n, b->w + g * n, n, b->top, 1);
        largest = a[g].scale > largest ? a[g].scale : largest;
        lowest = a[g].minimum < lowest ? a[g].minimum : lowest;
    }
    b->d = l4_as_f16(largest / (float)b->most);
    b->m = l4_as_f16(-lowest / (float)b->most);
    for (int round = 0; round < ROUNDS; round++) {
        for (int g = 0; g < b->count; g++)
            pick_pair(b, x, g, a[g]);
        take_quants(b, x);
        if (round + 1 < ROUNDS)
            refit_units(b, x);
    }
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
    affines b = {.count = 16, .top = 3, .most = 15};
    quantize_affines(x, importance, &b);
    for (int g = 0; g < 16; g++)
        out[g] = (uint8_t)(b.scales[g] | b.minima[g] << 4);
    put_two_bits(b.q, out + 16);
    l4_put_f16(out + 80, b.d);
    l4_put_f16(out + 82, b.m);
}

/* Q4_K and Q5_K. */
static void quantize_six_bits(const float *x, const float *importance, int top, uint8_t *out)
{
    affines b = {.count = 8, .top = top, .most = 63};
    const uint8_t *s = b.scales, *m = b.minima;
    const int8_t *q = b.q;
    uint8_t *packed = out + 4, *halves = out + (top == 31 ? 48 : 16);
    quantize_affines(x, importance, &b);
    l4_put_f16(out, b.d);
    l4_put_f16(out + 2, b.m);
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

/* Groups of a block of 256 on their way: x ~ d * scale * q, or * IQ4's value of q; scales are integers of -most - 1 .. most. */
typedef struct symmetric {
    int count, half, most; /* half: q is -half .. half - 1; 0: IQ4's values */
    float w[256], d;
    int8_t scales[16], q[256];
} symmetric;

/* The integer around scale / d that loses least. */
static void pick_scale(symmetric *b, const float *x, int g, float scale)
{
    const int n = 256 / b->count, around = b->d != 0 ? l4_nearest(scale / b->d, -b->most - 1, b->most) : 0;
    const float *w = b->w + g * n;
    float best = INFINITY;
    b->scales[g] = (int8_t)around;
    for (int s = around - 1; s <= around + 1; s++) {
        if (s < -b->most - 1 || s > b->most)
            continue;
        const float held = b->d * (float)s;
        const float error = b->half ? l4_scale_error(x + g * n, w, held, n, -b->half, b->half - 1) : l4_value_error(x + g * n, w, held);
        if (error < best) {
            best = error;
            b->scales[g] = (int8_t)s;
        }
    }
}

static void take_signed(symmetric *b, const float *x)
{
    const int n = 256 / b->count;
    for (int g = 0; g < b->count; g++) {
        const float held = b->d * (float)b->scales[g];
        if (b->half)
            l4_to_signed(x + g * n, held, n, -b->half, b->half - 1, b->q + g * n);
        else
            l4_to_values(x + g * n, held, b->q + g * n);
    }
}

/* The unit d that suits all integers best. */
static void refit_unit(symmetric *b, const float *x)
{
    const int n = 256 / b->count;
    float xs = 0, ss = 0;
    for (int i = 0; i < 256; i++) {
        const float s = (float)b->scales[i / n] * (float)(b->half ? b->q[i] : l4_iq4_values[b->q[i]]);
        xs += b->w[i] * x[i] * s;
        ss += b->w[i] * s * s;
    }
    if (ss > 0 && fabsf(xs / ss) < 65504.0f)
        b->d = l4_as_f16(xs / ss);
}

static void quantize_symmetric(const float *x, const float *importance, symmetric *b)
{
    const int n = 256 / b->count;
    float scale[16], extreme = 0;
    for (int g = 0; g < b->count; g++) {
        l4_weigh(x + g * n, importance ? importance + g * n : NULL, n, !b->half, b->w + g * n);
        scale[g] = b->half ? l4_fit_scale(x + g * n, b->w + g * n, n, -b->half, b->half - 1) : l4_fit_value_scale(x + g * n, b->w + g * n);
        if (fabsf(scale[g]) > fabsf(extreme))
            extreme = scale[g];
    }
    b->d = l4_as_f16(extreme / (float)(-b->most - 1));
    for (int round = 0; round < ROUNDS; round++) {
        for (int g = 0; g < b->count; g++)
            pick_scale(b, x, g, scale[g]);
        take_signed(b, x);
        if (round + 1 < ROUNDS)
            refit_unit(b, x);
    }
}

void l4_quantize_q3_k(const float *x, const float *importance, uint8_t *out)
{
    symmetric b = {.count = 16, .half = 4, .most = 31};
    int8_t *const q = b.q;
    quantize_symmetric(x, importance, &b);
    memset(out, 0, 110);
    for (int i = 0; i < 256; i++) {
        q[i] = (int8_t)(q[i] + 4);
        out[i % 32] |= (uint8_t)((q[i] >> 2) << i / 32);
    }
    put_two_bits(q, out + 32);
    for (int g = 0; g < 16; g++) {
        const int six = b.scales[g] + 32;
        out[96 + g % 8] |= (uint8_t)((six & 15) << g / 8 * 4);
        out[104 + g % 4] |= (uint8_t)((six >> 4) << g / 4 * 2);
    }
    l4_put_f16(out + 108, b.d);
}

void l4_quantize_q6_k(const float *x, const float *importance, uint8_t *out)
{
    symmetric b = {.count = 16, .half = 32, .most = 127};
    int8_t *const q = b.q;
    quantize_symmetric(x, importance, &b);
    for (int i = 0; i < 256; i++)
        q[i] = (int8_t)(q[i] + 32);
    for (int i = 0; i < 128; i++) {
        const int8_t *from = q + i / 64 * 128 + i % 64;
        out[i] = (uint8_t)((from[0] & 15) | (from[64] & 15) << 4);
    }
    for (int i = 0; i < 256; i++)
        q[i] = (int8_t)(q[i] >> 4);
    put_two_bits(q, out + 128);
    memcpy(out + 192, b.scales, 16);
    l4_put_f16(out + 208, b.d);
}

void l4_quantize_iq4_xs(const float *x, const float *importance, uint8_t *out)
{
    symmetric b = {.count = 8, .most = 31};
    unsigned top = 0;
    quantize_symmetric(x, importance, &b);
    memset(out, 0, 8);
    for (int g = 0; g < 8; g++) {
        const int six = b.scales[g] + 32;
        l4_put_halves(b.q + 32 * g, out + 8 + 16 * g);
        out[4 + g / 2] |= (uint8_t)((six & 15) << g % 2 * 4);
        top |= (unsigned)(six >> 4) << 2 * g;
    }
    l4_put_f16(out, b.d);
    l4_store_u16(out + 2, (uint16_t)top);
}
