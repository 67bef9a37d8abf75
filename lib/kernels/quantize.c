/*
 * Blocks of all types that have an encoder. Wherever a scale has to be found, a few candidates are tried: each gives integers, the integers
 * give the best scale (and minimum) by weighted least squares, and the candidate with the least error stays. Scales are then rounded to
 * what the file can hold, and the integers taken anew for the rounded ones.
 */
#include "kernels/quantize.h"

#include <math.h>
#include <string.h>

#include "base/half.h"
#include "kernels/decode.h"
#include "kernels/encode.h"
#include "kernels/packed.h"

#define MAX_GROUP 32
#define ROUNDS 2 /* of fitting integers to units, and units to integers */

static void put_f16(uint8_t *p, float f)
{
    uint16_t h = l4_f32_to_f16(f);
    p[0] = (uint8_t)h;
    p[1] = (uint8_t)(h >> 8);
}

static float as_f16(float f)
{
    return l4_f16_to_f32(l4_f32_to_f16(f));
}

/* The nearest integer, halves to even, within low .. high. */
static int nearest(float x, int low, int high)
{
    const float magic = 12582912.0f; /* 1.5 * 2^23 */
    float limited = x < (float)low ? (float)low : x > (float)high ? (float)high : x;
    return (int)(limited + magic - magic);
}

/* Weights of the squared errors of n numbers: large ones matter more, because they meet large products. */
static void weigh(const float *x, const float *importance, int n, float *w)
{
    float squares = 0;
    for (int i = 0; i < n; i++)
        squares += x[i] * x[i];
    float mean = squares / (float)n, typical = sqrtf(mean);
    for (int i = 0; i < n; i++)
        w[i] = importance ? importance[i] * sqrtf(mean + x[i] * x[i]) : typical + fabsf(x[i]);
}

/* ---- x ~ scale * q, low <= q <= high = -low - 1 ---- */

static float best_scale(const float *x, const float *w, int n, int low, int high)
{
    float extreme = 0, scale = 0, best = 0;
    for (int i = 0; i < n; i++)
        if (fabsf(x[i]) > fabsf(extreme))
            extreme = x[i];
    if (fabsf(extreme) < 1e-30f)
        return 0;
    for (int step = -9; step <= 9; step++) {
        float inverse = ((float)low + 0.1f * (float)step * (high > 15 ? 2.0f : 1.0f)) / extreme, xq = 0, qq = 0;
        for (int i = 0; i < n; i++) {
            float q = (float)nearest(inverse * x[i], low, high);
            xq += w[i] * x[i] * q;
            qq += w[i] * q * q;
        }
        if (qq > 0 && xq * xq > best * qq) { /* the error shrinks by xq^2 / qq */
            best = xq * xq / qq;
            scale = xq / qq;
        }
    }
    return scale;
}

static void symmetric(const float *x, float scale, int n, int low, int high, int8_t *q)
{
    float inverse = scale != 0 ? 1.0f / scale : 0;
    for (int i = 0; i < n; i++)
        q[i] = (int8_t)(inverse - inverse == 0 ? nearest(x[i] * inverse, low, high) : 0);
}

/* ---- x ~ scale * q + minimum, 0 <= q <= top ---- */

typedef struct affine {
    float scale, minimum;
} affine;

/* The best scale and minimum for given integers; the minimum not above 0 if `below`. Returns the weighted squared error. */
static float solve(const float *x, const float *w, const float *q, int n, int below, affine *out)
{
    float sw = 0, sx = 0, sq = 0, sxq = 0, sqq = 0, error = 0;
    for (int i = 0; i < n; i++) {
        sw += w[i];
        sx += w[i] * x[i];
        sq += w[i] * q[i];
        sxq += w[i] * x[i] * q[i];
        sqq += w[i] * q[i] * q[i];
    }
    float determinant = sw * sqq - sq * sq;
    if (!(determinant > 0))
        return INFINITY;
    out->scale = (sw * sxq - sx * sq) / determinant;
    out->minimum = (sqq * sx - sq * sxq) / determinant;
    if (below && out->minimum > 0) {
        out->minimum = 0;
        out->scale = sxq / sqq;
    }
    if (!(out->scale > 0))
        return INFINITY;
    for (int i = 0; i < n; i++) {
        float d = out->scale * q[i] + out->minimum - x[i];
        error += w[i] * d * d;
    }
    return error;
}

static affine best_affine(const float *x, const float *w, int n, int top, int below)
{
    float low = x[0], high = x[0], q[MAX_GROUP], best = INFINITY;
    for (int i = 1; i < n; i++) {
        low = x[i] < low ? x[i] : low;
        high = x[i] > high ? x[i] : high;
    }
    if (below && low > 0)
        low = 0;
    affine result = {0, low}, tried;
    if (!(high - low > 1e-30f))
        return result;
    result.scale = (high - low) / (float)top;
    for (int step = -6; step <= 12; step++) {
        float inverse = ((float)top + 0.1f * (float)step * (top > 3 ? 1.0f : 0.5f)) / (high - low);
        for (int i = 0; i < n; i++)
            q[i] = (float)nearest(inverse * (x[i] - low), 0, top);
        float error = solve(x, w, q, n, below, &tried);
        for (int again = 0; again < 2 && error < INFINITY; again++) { /* the integers that suit the new scale, and once more */
            affine next;
            for (int i = 0; i < n; i++)
                q[i] = (float)nearest((x[i] - tried.minimum) / tried.scale, 0, top);
            float better = solve(x, w, q, n, below, &next);
            if (!(better < error))
                break;
            error = better;
            tried = next;
        }
        if (error < best) {
            best = error;
            result = tried;
        }
    }
    return result;
}

static void shifted(const float *x, affine a, int n, int top, int8_t *q)
{
    float inverse = a.scale != 0 ? 1.0f / a.scale : 0;
    for (int i = 0; i < n; i++)
        q[i] = (int8_t)(inverse - inverse == 0 ? nearest((x[i] - a.minimum) * inverse, 0, top) : 0);
}

/* ---- Blocks of 32 ---- */

/* Columns i and i + 16 in the low and high halves of byte i. */
static void put_halves(const int8_t *q, uint8_t *out)
{
    for (int i = 0; i < 16; i++)
        out[i] = (uint8_t)((q[i] & 15) | (q[i + 16] & 15) << 4);
}

static void put_fifths(const int8_t *q, uint8_t *out)
{
    uint32_t bits = 0;
    for (int i = 0; i < 32; i++)
        bits |= (uint32_t)(q[i] >> 4 & 1) << i;
    for (int i = 0; i < 4; i++)
        out[i] = (uint8_t)(bits >> 8 * i);
}

/* Q4_0 and Q5_0: `offset` is 8 or 16. */
static void quantize_offset(const float *x, const float *importance, int offset, uint8_t *out)
{
    float w[32];
    int8_t q[32];
    weigh(x, importance, 32, w);
    float scale = as_f16(best_scale(x, w, 32, -offset, offset - 1));
    symmetric(x, scale, 32, -offset, offset - 1, q);
    for (int i = 0; i < 32; i++)
        q[i] = (int8_t)(q[i] + offset);
    put_f16(out, scale);
    if (offset == 16)
        put_fifths(q, out + 2);
    put_halves(q, out + (offset == 16 ? 6 : 2));
}

/* Q4_1 and Q5_1: `top` is 15 or 31. */
static void quantize_minimum(const float *x, const float *importance, int top, uint8_t *out)
{
    float w[32];
    int8_t q[32];
    weigh(x, importance, 32, w);
    affine a = best_affine(x, w, 32, top, 0);
    a.scale = as_f16(a.scale), a.minimum = as_f16(a.minimum);
    shifted(x, a, 32, top, q);
    put_f16(out, a.scale);
    put_f16(out + 2, a.minimum);
    if (top == 31)
        put_fifths(q, out + 4);
    put_halves(q, out + (top == 31 ? 8 : 4));
}

/* The index of the nearest of IQ4's values, which rise. */
static int nearest_value(float x)
{
    int i = 0;
    while (i < 15 && x > 0.5f * (l4_iq4_values[i] + l4_iq4_values[i + 1]))
        i++;
    return i;
}

static void by_value(const float *x, float scale, int8_t *q)
{
    float inverse = scale != 0 ? 1.0f / scale : 0;
    for (int i = 0; i < 32; i++)
        q[i] = (int8_t)nearest_value(inverse - inverse == 0 ? x[i] * inverse : 0);
}

static float best_value_scale(const float *x, const float *w)
{
    float extreme = 0, scale = 0, best = 0;
    for (int i = 0; i < 32; i++)
        if (fabsf(x[i]) > fabsf(extreme))
            extreme = x[i];
    if (fabsf(extreme) < 1e-30f)
        return 0;
    for (int step = -14; step <= 14; step++) { /* the extreme becomes -127, or up to a tenth less or more; or 113 and around */
        float inverse = (step % 2 ? 113.0f : -127.0f) * (1.0f + (float)(step / 2) / 70.0f) / extreme, xq = 0, qq = 0;
        for (int i = 0; i < 32; i++) {
            float q = l4_iq4_values[nearest_value(inverse * x[i])];
            xq += w[i] * x[i] * q;
            qq += w[i] * q * q;
        }
        if (qq > 0 && xq * xq > best * qq) {
            best = xq * xq / qq;
            scale = xq / qq;
        }
    }
    return scale;
}

static void quantize_iq4_nl(const float *x, const float *importance, uint8_t *out)
{
    float w[32];
    int8_t q[32];
    weigh(x, importance, 32, w);
    float scale = as_f16(best_value_scale(x, w));
    by_value(x, scale, q);
    put_f16(out, scale);
    put_halves(q, out + 2);
}

static void quantize_mxfp4(const float *x, const float *importance, uint8_t *out)
{
    static const float values[8] = {0, 1, 2, 3, 4, 6, 8, 12};
    float w[32], top = 0, best = INFINITY;
    weigh(x, importance, 32, w);
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
            put_halves(q, out + 1);
        }
    }
}

/* ---- Blocks of 256 ---- */

/* Weighted squared error of a group as the file will hold it. */
static float affine_error(const float *x, const float *w, affine a, int n, int top)
{
    int8_t q[MAX_GROUP];
    float error = 0;
    shifted(x, a, n, top, q);
    for (int i = 0; i < n; i++) {
        float d = a.scale * (float)q[i] + a.minimum - x[i];
        error += w[i] * d * d;
    }
    return error;
}

/* Groups of a block of 256 on their way: x ~ d * scale * q - m * minimum, scales and minima integers of 0 .. most. */
typedef struct affines {
    int count, top, most;
    float w[256], d, m;
    uint8_t *scales, *minima;
    int8_t *q;
} affines;

/* The pair of integers around those of `a` that loses least. */
static void pick_pair(affines *b, const float *x, int g, affine a)
{
    const int n = 256 / b->count;
    int s0 = b->d > 0 ? nearest(a.scale / b->d, 0, b->most) : 0, m0 = b->m > 0 ? nearest(-a.minimum / b->m, 0, b->most) : 0;
    float best = INFINITY;
    for (int s = s0 - 1; s <= s0 + 1; s++)
        for (int m = m0 - 1; m <= m0 + 1; m++) {
            if (s < 0 || s > b->most || m < 0 || m > b->most)
                continue;
            float error = affine_error(x + g * n, b->w + g * n, (affine){b->d * (float)s, -(b->m * (float)m)}, n, b->top);
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
        shifted(x + g * n, (affine){b->d * b->scales[g], -(b->m * b->minima[g])}, n, b->top, b->q + g * n);
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
        b->d = as_f16(d);
        b->m = as_f16(m);
    }
}

/* `count` groups' scales and minima of 0 .. most, d and m their units as float16. */
static void quantize_affines(const float *x, const float *importance, int count, int top, int most, uint8_t *scales, uint8_t *minima, float *d, float *m,
                             int8_t *q)
{
    const int n = 256 / count;
    float largest = 0, lowest = 0;
    affine a[16];
    affines b = {.count = count, .top = top, .most = most, .scales = scales, .minima = minima, .q = q};
    for (int g = 0; g < count; g++) {
        weigh(x + g * n, importance ? importance + g * n : NULL, n, b.w + g * n);
        a[g] = best_affine(x + g * n, b.w + g * n, n, top, 1);
        largest = a[g].scale > largest ? a[g].scale : largest;
        lowest = a[g].minimum < lowest ? a[g].minimum : lowest;
    }
    b.d = as_f16(largest / (float)most);
    b.m = as_f16(-lowest / (float)most);
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

static void quantize_q2_k(const float *x, const float *importance, uint8_t *out)
{
    uint8_t scales[16], minima[16];
    int8_t q[256];
    float d, m;
    quantize_affines(x, importance, 16, 3, 15, scales, minima, &d, &m, q);
    for (int g = 0; g < 16; g++)
        out[g] = (uint8_t)(scales[g] | minima[g] << 4);
    put_two_bits(q, out + 16);
    put_f16(out + 80, d);
    put_f16(out + 82, m);
}

/* Q4_K and Q5_K. */
static void quantize_six_bits(const float *x, const float *importance, int top, uint8_t *out)
{
    uint8_t s[8], m[8], *packed = out + 4, *halves = out + (top == 31 ? 48 : 16);
    int8_t q[256];
    float d, dm;
    quantize_affines(x, importance, 8, top, 63, s, m, &d, &dm, q);
    put_f16(out, d);
    put_f16(out + 2, dm);
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

/* Sixteen groups' scales as integers within low .. -low - 1 times *d, and the quants within -half .. half - 1. */
static void quantize_scales(const float *x, const float *importance, int half, int low, int8_t *scales, float *d, int8_t *q)
{
    float w[16], scale[16], extreme = 0;
    for (int g = 0; g < 16; g++) {
        weigh(x + 16 * g, importance ? importance + 16 * g : NULL, 16, w);
        scale[g] = best_scale(x + 16 * g, w, 16, -half, half - 1);
        if (fabsf(scale[g]) > fabsf(extreme))
            extreme = scale[g];
    }
    *d = as_f16(extreme / (float)low);
    for (int g = 0; g < 16; g++) {
        scales[g] = (int8_t)(*d != 0 ? nearest(scale[g] / *d, low, -low - 1) : 0);
        symmetric(x + 16 * g, *d * scales[g], 16, -half, half - 1, q + 16 * g);
    }
}

static void quantize_q3_k(const float *x, const float *importance, uint8_t *out)
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
    put_f16(out + 108, d);
}

static void quantize_q6_k(const float *x, const float *importance, uint8_t *out)
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
    put_f16(out + 208, d);
}

static void quantize_iq4_xs(const float *x, const float *importance, uint8_t *out)
{
    float w[32], scale[8], extreme = 0;
    unsigned top = 0;
    for (int g = 0; g < 8; g++) {
        weigh(x + 32 * g, importance ? importance + 32 * g : NULL, 32, w);
        scale[g] = best_value_scale(x + 32 * g, w);
        if (fabsf(scale[g]) > fabsf(extreme))
            extreme = scale[g];
    }
    float d = as_f16(extreme / -32.0f);
    memset(out, 0, 8);
    for (int g = 0; g < 8; g++) {
        int8_t q[32];
        int s = d != 0 ? nearest(scale[g] / d, -32, 31) : 0, six = s + 32;
        by_value(x + 32 * g, d * (float)s, q);
        put_halves(q, out + 8 + 16 * g);
        out[4 + g / 2] |= (uint8_t)((six & 15) << g % 2 * 4);
        top |= (unsigned)(six >> 4) << 2 * g;
    }
    put_f16(out, d);
    out[2] = (uint8_t)top;
    out[3] = (uint8_t)(top >> 8);
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
    case L4_Q2_K: quantize_q2_k(x, importance, out); break;
    case L4_Q3_K: quantize_q3_k(x, importance, out); break;
    case L4_Q4_K: quantize_six_bits(x, importance, 15, out); break;
    case L4_Q5_K: quantize_six_bits(x, importance, 31, out); break;
    case L4_Q6_K: quantize_q6_k(x, importance, out); break;
    case L4_IQ4_NL: quantize_iq4_nl(x, importance, out); break;
    case L4_IQ4_XS: quantize_iq4_xs(x, importance, out); break;
    case L4_MXFP4: quantize_mxfp4(x, importance, out); break;
    }
}

void l4_quantize_row(uint32_t type, const float *x, const float *importance, size_t n, uint8_t *out)
{
    const size_t k = find(type), block = sizes[k].block;
    for (size_t i = 0; i < n; i += block, out += sizes[k].bytes)
        quantize_block(type, x + i, importance ? importance + i : NULL, out);
}
