/* Encoders that search for scales: every type's error on random rows, special rows, weighted columns. Ends with "N passed, N failed". */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "kernels/kernels.h"
#include "kernels/quantize.h"
#include "llama4/llama4.h"

enum { N = 8192 };

static int passed, failed;

static void report(const char *type, const char *what, int fine)
{
    printf("%s %s: %s\n", fine ? "ok" : "FAILED", type, what);
    fine ? passed++ : failed++;
}

/* Nearly normal numbers: sums of twelve. */
static float normal(uint64_t *state)
{
    float sum = 0;
    for (int i = 0; i < 12; i++) {
        *state = *state * 6364136223846793005u + 1442695040888963407u;
        sum += (float)(*state >> 40) * 0x1p-24f;
    }
    return sum - 6.0f;
}

static double squares(const float *x, const float *y, const float *w, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (w ? w[i] : 1.0) * ((double)x[i] - y[i]) * ((double)x[i] - y[i]);
    return sum;
}

static const struct {
    uint32_t type;
    const char *name;
    size_t bytes; /* of 256 elements */
    double limit; /* on the error's size, relative to that of normal numbers; the plain rules give 4 to 12 % more */
} types[] = {
    {2, "Q4_0", 144, 0.0815},  {3, "Q4_1", 160, 0.0705},   {6, "Q5_0", 176, 0.0405},  {7, "Q5_1", 192, 0.0345},   {8, "Q8_0", 272, 0.0054},
    {10, "Q2_K", 84, 0.258},   {11, "Q3_K", 110, 0.1431},   {12, "Q4_K", 144, 0.0699}, {13, "Q5_K", 176, 0.0342},  {14, "Q6_K", 210, 0.0169},
    {20, "IQ4_NL", 144, 0.0728}, {23, "IQ4_XS", 136, 0.07318}, {39, "MXFP4", 136, 0.1135},
};

static float x[N], y[N], other[N], zero[N], weights[N];
static uint8_t out[N * 2], again[N * 2];

static int all(const float *p, float value, float tolerance)
{
    for (size_t i = 0; i < 256; i++)
        if (!(fabsf(p[i] - value) <= tolerance))
            return 0;
    return 1;
}

static void check(const l4_kernels *k, uint32_t type, const char *name, size_t bytes, double limit)
{
    uint64_t state = 5;
    for (size_t i = 0; i < N; i++)
        x[i] = 0.02f * normal(&state);
    memset(out, 0x5a, sizeof out), memset(again, 0xa5, sizeof again);
    l4_quantize_row(type, x, NULL, N, out);
    l4_quantize_row(type, x, NULL, N, again);
    size_t size = N / 256 * bytes;
    report(name, "every byte written, and none behind them", memcmp(out, again, size) == 0 && out[size] == 0x5a && again[size] == 0xa5);
    k->decode[type](out, N, y);
    double error = sqrt(squares(x, y, NULL, N) / squares(x, zero, NULL, N));
    if (!(error < limit))
        printf("  %s: error %.5f\n", name, error);
    report(name, "error", error < limit && error > limit / 4);

    for (size_t i = 0; i < N; i++)
        weights[i] = i % 4 ? 0.01f : 1.0f;
    l4_quantize_row(type, x, weights, N, again);
    k->decode[type](again, N, other);
    report(name, "importance", type == 8 || type == 39 || squares(x, other, weights, N) < squares(x, y, weights, N));

    const float sizes[] = {1.0f, 3.7e-2f, 900.0f, -2.5f}; /* smaller ones run out of float16 below the scales of 256 */
    int fine = 1;
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        for (size_t i = 0; i < 256; i++)
            x[i] = sizes[s];
        l4_quantize_row(type, x, NULL, 256, out);
        k->decode[type](out, 256, y);
        fine &= all(y, sizes[s], fabsf(sizes[s]) * (type == 39 ? 0.26f : 0.06f) + 2e-7f);
    }
    report(name, "constants", fine);
    l4_quantize_row(type, zero, NULL, 256, out);
    k->decode[type](out, 256, y);
    report(name, "zeros", all(y, 0.0f, 0.0f));
    memset(x, 0, sizeof x);
    x[0] = 1e-42f, x[40] = -3e-39f, x[100] = 6e4f, x[200] = -6e4f;
    l4_quantize_row(type, x, NULL, 256, out);
    k->decode[type](out, 256, y);
    fine = 1;
    for (size_t i = 0; i < 256; i++)
        fine &= isfinite(y[i]) && fabsf(y[i]) < 8.1e4f;
    report(name, "extremes stay finite", fine);
    for (size_t i = 0; i < 256; i++)
        x[i] = (i % 3 ? 3e38f : -1e-38f) * (i % 5 ? 1.0f : -0.5f); /* beyond what float16 scales can say: any numbers, but defined ones */
    memset(out, 0x5a, sizeof out), memset(again, 0xa5, sizeof again);
    l4_quantize_row(type, x, NULL, 256, out);
    l4_quantize_row(type, x, NULL, 256, again);
    report(name, "beyond the range", memcmp(out, again, bytes) == 0 && out[bytes] == 0x5a);
}

int main(void)
{
    l4_kernels k;
    l4_kernels_init(&k, LLAMA4_CPU_GENERIC);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        check(&k, types[i].type, types[i].name, types[i].bytes, types[i].limit);
    report("F32", "has no search", !l4_quantize_can(LLAMA4_TYPE_F32) && !l4_quantize_can(16) && !l4_quantize_can(9999));
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0 || passed == 0;
}
