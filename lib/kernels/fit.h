/*
 * How numbers are best told by a few integers. A few candidate scales are tried: each gives integers, the integers give the best scale
 * (and minimum) by weighted least squares, and the candidate with the least error stays. Scales are then rounded to what the file can hold,
 * and the integers taken anew for the rounded ones. Groups have 16 or 32 numbers.
 */
#ifndef L4_KERNELS_FIT_H
#define L4_KERNELS_FIT_H

#include <stdint.h>

#include "base/half.h"

#define L4_FIT_GROUP 32

/* x ~ scale * q + minimum */
typedef struct l4_affine {
    float scale, minimum;
} l4_affine;

static inline float l4_as_f16(float f)
{
    return l4_f16_to_f32(l4_f32_to_f16(f));
}

/* The nearest integer, halves to even, within low .. high; low for NaN. */
static inline float l4_round_within(float x, float low, float high)
{
    const float magic = 12582912.0f; /* 1.5 * 2^23 */
    x = x > low ? x : low;
    x = x < high ? x : high;
    return x + magic - magic;
}

static inline int l4_nearest(float x, int low, int high)
{
    return (int)l4_round_within(x, (float)low, (float)high);
}

/*
 * w: weights of the squared errors of n numbers. Without an importance matrix large numbers matter more, because they meet large products,
 * unless `even`: where there are few values, or uneven ones, the plain error is the better guide.
 */
void l4_weigh(const float *x, const float *importance, int n, int even, float *w);

/* x ~ scale * q, low <= q <= high = -low - 1; the scale has the sign that brings the largest number to `low`. */
float l4_fit_scale(const float *x, const float *w, int n, int low, int high);
void l4_to_signed(const float *x, float scale, int n, int low, int high, int8_t *q);
float l4_scale_error(const float *x, const float *w, float scale, int n, int low, int high); /* weighted, squared, with the integers that suit */

/* x ~ scale * q + minimum, 0 <= q <= top, 0 <= scale; the minimum not above 0 if `below`. */
l4_affine l4_fit_affine(const float *x, const float *w, int n, int top, int below);
void l4_to_unsigned(const float *x, l4_affine a, int n, int top, int8_t *q);
float l4_affine_error(const float *x, const float *w, l4_affine a, int n, int top);

/* 32 numbers x ~ scale * l4_iq4_values[q] */
float l4_fit_value_scale(const float *x, const float *w);
void l4_to_values(const float *x, float scale, int8_t *q);
float l4_value_error(const float *x, const float *w, float scale);

#endif
