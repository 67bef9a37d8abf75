/* See base/math.h. Polynomials are Taylor series on ranges small enough that the cut-off lies below double's precision. */
#include "base/math.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

static double power_of_two(int e) /* -1022 .. 1023 */
{
    uint64_t bits = (uint64_t)(e + 1023) << 52;
    double d;
    memcpy(&d, &bits, sizeof d);
    return d;
}

double l4_exp(double x)
{
    if (!(x > -745.2))
        return x != x ? x : 0.0;
    if (x > 709.782712893384)
        return INFINITY;
    /* x = k ln 2 + r, |r| <= 0.35; ln 2 in two parts, the first with 32 bits, so that k * LN2_HIGH is exact. */
    const double LN2_HIGH = 6.93147180369123816490e-01, LN2_LOW = 1.90821492927058770002e-10, LOG2E = 1.44269504088896338700;
    double k = floor(x * LOG2E + 0.5), r = (x - k * LN2_HIGH) - k * LN2_LOW;
    double p = 1.0 / 6227020800.0;
    static const double c[] = {1.0 / 479001600.0, 1.0 / 39916800.0, 1.0 / 3628800.0, 1.0 / 362880.0, 1.0 / 40320.0, 1.0 / 5040.0,
                               1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0};
    for (unsigned i = 0; i < sizeof c / sizeof *c; i++)
        p = p * r + c[i];
    int e = (int)k, half = e / 2; /* two steps, so that neither scale leaves the normal range */
    return p * power_of_two(half) * power_of_two(e - half);
}

double l4_ln(double x)
{
    if (!(x > 0))
        return x == 0 ? -INFINITY : NAN;
    if (x == INFINITY)
        return x;
    uint64_t bits;
    int e = 0;
    if (x < 0x1p-1022) {
        x *= 0x1p54;
        e = -54;
    }
    memcpy(&bits, &x, sizeof bits);
    e += (int)(bits >> 52) - 1023;
    bits = (bits & 0xfffffffffffffu) | 0x3ff0000000000000u;
    double m;
    memcpy(&m, &bits, sizeof m);
    if (m > 1.4142135623730951) { /* m in (0.707, 1.414] */
        m *= 0.5;
        e++;
    }
    /* log m = 2 artanh(s), s = (m - 1) / (m + 1), |s| < 0.172 */
    double s = (m - 1.0) / (m + 1.0), z = s * s, p = 0.0;
    for (int i = 23; i >= 3; i -= 2)
        p = (p + 1.0 / i) * z;
    double log_m = 2.0 * s + 2.0 * s * p;
    const double LN2_HIGH = 6.93147180369123816490e-01, LN2_LOW = 1.90821492927058770002e-10;
    return e * LN2_HIGH + (log_m + e * LN2_LOW);
}

double l4_pow(double x, double y)
{
    return l4_exp(y * l4_ln(x));
}

void l4_sincos(double x, double *sine, double *cosine)
{
    /* x = k pi/2 + r. pi/2 in three parts of 28, 28 and 53 bits: k has at most 24, so the first two products are exact. */
    const double P1 = 0x1.921fb54000000p+0, P2 = 0x1.10b4610000000p-30, P3 = 0x1.a62633145c06ep-58 /* pi/2 - P1 - P2 */;
    double k = floor(x * 0.63661977236758134308 + 0.5);
    double r = ((x - k * P1) - k * P2) - k * P3, z = r * r;
    double s = 0.0, c = 0.0;
    for (int i = 19; i >= 3; i -= 2)
        s = (s + 1.0) * (-z / (double)(i * (i - 1)));
    for (int i = 20; i >= 2; i -= 2)
        c = (c + 1.0) * (-z / (double)(i * (i - 1)));
    s = r + r * s;
    c = 1.0 + c;
    switch ((int64_t)k & 3) {
    case 0:
        *sine = s, *cosine = c;
        break;
    case 1:
        *sine = c, *cosine = -s;
        break;
    case 2:
        *sine = -s, *cosine = -c;
        break;
    default:
        *sine = -c, *cosine = s;
    }
}
