/* See fit.h. Which types weigh errors evenly was chosen by the divergence of llama4-tiny (tests/bench/compare --only quality). */
#include "kernels/fit.h"

#include <math.h>

#include "kernels/decode.h"

/* Sums run in LANES chains, which compilers turn into vectors; every machine adds in the same order. Groups are multiples of LANES. */
#define LANES 8

static float total(const float *lanes)
{
    return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
}

/* 1 / scale, or 0 where that is no number to multiply with. */
static float finite_inverse(float scale)
{
    const float inverse = scale != 0 ? 1.0f / scale : 0;
    return inverse - inverse == 0 ? inverse : 0;
}

/* q[i]: the nearest integer to (x[i] - minimum) * inverse within low .. high */
static void round_all(const float *x, float minimum, float inverse, int n, int low, int high, float *q)
{
    for (int i = 0; i < n; i++) /* an infinite minimum makes NaN */
        q[i] = l4_round_within((x[i] - minimum) * inverse, (float)low, (float)high);
}

/* Weighted squared error of scale * q + minimum. */
static float error_of(const float *x, const float *w, l4_affine a, const float *q, int n)
{
    float error[LANES] = {0};
    for (int i = 0; i < n; i += LANES)
        for (int j = 0; j < LANES; j++) {
            const float d = a.scale * q[i + j] + a.minimum - x[i + j];
            error[j] += w[i + j] * d * d;
        }
    return total(error);
}

void l4_weigh(const float *x, const float *importance, int n, int even, float *w)
{
    float squares = 0;
    for (int i = 0; i < n; i++)
        squares += x[i] * x[i];
    float mean = squares / (float)n, typical = sqrtf(mean);
    for (int i = 0; i < n; i++)
        w[i] = importance ? importance[i] * sqrtf(mean + x[i] * x[i]) : even ? 1.0f : typical + fabsf(x[i]);
}

/* The number furthest from 0; 0 if all are too small for a scale. */
static float extreme_of(const float *x, int n)
{
    float extreme = 0;
    for (int i = 0; i < n; i++)
        if (fabsf(x[i]) > fabsf(extreme))
            extreme = x[i];
    return fabsf(extreme) < 1e-30f ? 0 : extreme;
}

/* ---- x ~ scale * q, low <= q <= high = -low - 1 ---- */

/* The best scale for n values q; kept if the squared error shrinks by more than *best. */
static void try_values(const float *x, const float *w, const float *q, int n, float *best, float *scale)
{
    float xq[LANES] = {0}, qq[LANES] = {0};
    for (int i = 0; i < n; i += LANES)
        for (int j = 0; j < LANES; j++) {
            const float wq = w[i + j] * q[i + j];
            xq[j] += wq * x[i + j];
            qq[j] += wq * q[i + j];
        }
    const float a = total(xq), b = total(qq);
    if (b > 0 && a * a > *best * b) { /* the error shrinks by a^2 / b */
        *best = a * a / b;
        *scale = a / b;
    }
}

float l4_fit_scale(const float *x, const float *w, int n, int low, int high)
{
    const float extreme = extreme_of(x, n);
    float scale = 0, best = 0;
    if (extreme == 0)
        return 0;
    for (int step = -9; step <= 9; step++) {
        float q[L4_FIT_GROUP];
        round_all(x, 0, ((float)low + 0.1f * (float)step * (high > 15 ? 2.0f : 1.0f)) / extreme, n, low, high, q);
        try_values(x, w, q, n, &best, &scale);
    }
    return scale;
}

void l4_to_signed(const float *x, float scale, int n, int low, int high, int8_t *q)
{
    float rounded[L4_FIT_GROUP];
    round_all(x, 0, finite_inverse(scale), n, low, high, rounded);
    for (int i = 0; i < n; i++)
        q[i] = (int8_t)rounded[i];
}

float l4_scale_error(const float *x, const float *w, float scale, int n, int low, int high)
{
    float q[L4_FIT_GROUP];
    round_all(x, 0, finite_inverse(scale), n, low, high, q);
    return error_of(x, w, (l4_affine){scale, 0}, q, n);
}

/* ---- x ~ scale * q + minimum, 0 <= q <= top ---- */

/* Sums over a group: of weights, and of weighted numbers. */
typedef struct sums {
    float w, x;
} sums;

static sums sum_up(const float *x, const float *w, int n)
{
    float sw[LANES] = {0}, sx[LANES] = {0};
    for (int i = 0; i < n; i += LANES)
        for (int j = 0; j < LANES; j++) {
            sw[j] += w[i + j];
            sx[j] += w[i + j] * x[i + j];
        }
    return (sums){total(sw), total(sx)};
}

/* The best scale and minimum for given integers; the minimum not above 0 if `below`. Returns the weighted squared error. */
static float solve(const float *x, const float *w, sums s, const float *q, int n, int below, l4_affine *out)
{
    float lq[LANES] = {0}, lxq[LANES] = {0}, lqq[LANES] = {0};
    for (int i = 0; i < n; i += LANES)
        for (int j = 0; j < LANES; j++) {
            const float wq = w[i + j] * q[i + j];
            lq[j] += wq;
            lxq[j] += wq * x[i + j];
            lqq[j] += wq * q[i + j];
        }
    const float sq = total(lq), sxq = total(lxq), sqq = total(lqq), determinant = s.w * sqq - sq * sq;
    if (!(determinant > 0))
        return INFINITY;
    out->scale = (s.w * sxq - s.x * sq) / determinant;
    out->minimum = (sqq * s.x - sq * sxq) / determinant;
    if (below && out->minimum > 0) {
        out->minimum = 0;
        out->scale = sxq / sqq;
    }
    if (!(out->scale > 0))
        return INFINITY;
    return error_of(x, w, *out, q, n);
}

l4_affine l4_fit_affine(const float *x, const float *w, int n, int top, int below)
{
    float low = x[0], high = x[0], q[L4_FIT_GROUP], best = INFINITY;
    for (int i = 1; i < n; i++) {
        low = x[i] < low ? x[i] : low;
        high = x[i] > high ? x[i] : high;
    }
    if (below && low > 0)
        low = 0;
    l4_affine result = {0, low}, tried;
    if (!(high - low > 1e-30f))
        return result;
    result.scale = (high - low) / (float)top;
    const sums s = sum_up(x, w, n);
    for (int step = -6; step <= 12; step++) {
        round_all(x, low, ((float)top + 0.1f * (float)step * (top > 3 ? 1.0f : 0.5f)) / (high - low), n, 0, top, q);
        float error = solve(x, w, s, q, n, below, &tried);
        for (int again = 0; again < 2 && error < INFINITY; again++) { /* the integers that suit the new scale, and once more */
            l4_affine next;
            round_all(x, tried.minimum, 1.0f / tried.scale, n, 0, top, q);
            float better = solve(x, w, s, q, n, below, &next);
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

void l4_to_unsigned(const float *x, l4_affine a, int n, int top, int8_t *q)
{
    float rounded[L4_FIT_GROUP];
    round_all(x, a.minimum, finite_inverse(a.scale), n, 0, top, rounded);
    for (int i = 0; i < n; i++)
        q[i] = (int8_t)rounded[i];
}

float l4_affine_error(const float *x, const float *w, l4_affine a, int n, int top)
{
    float q[L4_FIT_GROUP];
    round_all(x, a.minimum, finite_inverse(a.scale), n, 0, top, q);
    return error_of(x, w, a, q, n);
}

/* ---- x ~ scale * one of sixteen values ---- */

/* The values rise: each limit that is passed is one step up. */
static void nearest_values(const float *x, float inverse, float *q)
{
    for (int i = 0; i < 32; i += LANES) {
        float r[LANES], v[LANES];
        for (int j = 0; j < LANES; j++) {
            r[j] = x[i + j] * inverse;
            v[j] = (float)l4_iq4_values[0];
        }
        for (int k = 0; k < 15; k++) {
            const float limit = 0.5f * (float)(l4_iq4_values[k] + l4_iq4_values[k + 1]), up = (float)(l4_iq4_values[k + 1] - l4_iq4_values[k]);
            for (int j = 0; j < LANES; j++)
                v[j] += r[j] > limit ? up : 0;
        }
        for (int j = 0; j < LANES; j++)
            q[i + j] = v[j];
    }
}

void l4_to_values(const float *x, float scale, int8_t *q)
{
    float values[32];
    nearest_values(x, finite_inverse(scale), values);
    for (int i = 0; i < 32; i++)
        for (q[i] = 0; l4_iq4_values[q[i]] < (int)values[i];)
            q[i]++;
}

float l4_value_error(const float *x, const float *w, float scale)
{
    float values[32];
    nearest_values(x, finite_inverse(scale), values);
    return error_of(x, w, (l4_affine){scale, 0}, values, 32);
}

float l4_fit_value_scale(const float *x, const float *w)
{
    const float extreme = extreme_of(x, 32);
    float scale = 0, best = 0, q[32];
    if (extreme == 0)
        return 0;
    for (int step = -14; step <= 14; step++) { /* the extreme becomes -127, or up to a tenth less or more; or 113 and around */
        nearest_values(x, (step % 2 ? 113.0f : -127.0f) * (1.0f + (float)(step / 2) / 70.0f) / extreme, q);
        try_values(x, w, q, 32, &best, &scale);
    }
    return scale;
}
