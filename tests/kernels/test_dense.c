/* The kernels of the picture encoder (kernels/dense.h): every instruction set that runs here against portable C, bit for bit, with odd sizes,
 * misaligned data and guards; and portable C against double arithmetic. Ends with "N passed, N failed, N skipped". */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/half.h"
#include "kernels/kernels.h"
#include "kernels_of.h"
#include "llama4/llama4.h"

enum { ROWS = L4_DENSE_ROWS, TOKENS = L4_DENSE_TOKENS, COLS = 75, LD = 101, N = 700, GUARD = 32 };

static uint64_t state = 3;
static int passed, failed, skipped;

static uint32_t next(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33);
}

static void fill(float *p, size_t n, int extreme)
{
    static const float odd[] = {0.0f, -0.0f, 1e-42f, 3e38f, -3e38f, INFINITY, -INFINITY, NAN, 1e-20f, 5.6f, -5.6f, 100.0f, -100.0f};
    for (size_t i = 0; i < n; i++)
        p[i] = extreme && next() % 16 == 0 ? odd[next() % (sizeof odd / sizeof *odd)] : ((float)(next() % 20001) - 10000.0f) * 4e-4f;
}

/* Equal bits, except that any NaN equals any NaN. */
static int same(const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (l4_f32_bits(a[i]) != l4_f32_bits(b[i]) && !(a[i] != a[i] && b[i] != b[i]))
            return 0;
    return 1;
}

static void report(const char *level, const char *name, int fine)
{
    printf("%s %s %s\n", fine ? "ok" : "FAILED", level, name);
    fine ? passed++ : failed++;
}

/* ---- Against portable C ---- */

static float x[ROWS * LD + GUARD], w[N + GUARD], b[N + GUARD], one[ROWS * LD * 2], two[ROWS * LD * 2];

/* A float that nothing else writes, wherever a function has no business. */
static void paint(float *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p[i] = 12345.5f + (float)(i % 7);
}

static void check_layouts(const l4_dense_kernels *k, const l4_dense_kernels *other, const char *level)
{
    int panel = 1, group = 1;
    for (size_t cols = 1; cols <= COLS; cols += 1 + cols / 20)
        for (size_t n = 0; n <= ROWS; n++) {
            size_t off = next() % 3;
            fill(x, sizeof x / sizeof *x, 1);
            paint(one, sizeof one / sizeof *one);
            paint(two, sizeof two / sizeof *two);
            k->panel(x + off, LD, n, cols, one + off);
            other->panel(x + off, LD, n, cols, two + off);
            panel &= same(one, two, cols * ROWS + GUARD);
            for (size_t c = 0; c < cols; c++)
                for (size_t r = 0; r < ROWS; r++)
                    panel &= r < n ? same(&one[off + c * ROWS + r], &x[off + r * LD + c], 1) : one[off + c * ROWS + r] == 0;
            if (n > TOKENS)
                continue;
            paint(one, sizeof one / sizeof *one);
            paint(two, sizeof two / sizeof *two);
            k->group(x + off, LD, n, cols, one + off);
            other->group(x + off, LD, n, cols, two + off);
            group &= same(one, two, cols * TOKENS + GUARD);
            for (size_t c = 0; c < cols; c++)
                for (size_t t = 0; t < TOKENS; t++)
                    group &= t < n ? same(&one[off + c * TOKENS + t], &x[off + t * LD + c], 1) : one[off + c * TOKENS + t] == 0;
        }
    report(level, "panel", panel);
    report(level, "group", group);
}

static void check_product(const l4_dense_kernels *k, const l4_dense_kernels *other, const char *level)
{
    static float panel[COLS * ROWS + 1], group[COLS * TOKENS + 1], start[ROWS + 1];
    int fine = 1;
    for (size_t rows = 1; rows <= ROWS; rows++)
        for (size_t tokens = 1; tokens <= TOKENS; tokens++) {
            size_t cols = next() % COLS, off = next() % 2, ldy = ROWS + next() % 5, split = cols / 3;
            fill(panel, sizeof panel / sizeof *panel, next() % 4 == 0);
            fill(group, sizeof group / sizeof *group, next() % 4 == 0);
            fill(start, sizeof start / sizeof *start, 0);
            paint(one, TOKENS * ldy + GUARD);
            paint(two, TOKENS * ldy + GUARD);
            k->product(panel + off, group + off, cols, start + off, one + off, ldy, rows, tokens);
            /* the columns in two pieces: the sum goes on */
            other->product(panel + off, group + off, split, start + off, two + off, ldy, rows, tokens);
            other->product(panel + off + split * ROWS, group + off + split * TOKENS, cols - split, NULL, two + off, ldy, rows, tokens);
            fine &= same(one, two, TOKENS * ldy + GUARD);
        }
    report(level, "product", fine);
}

static void check_rows(const l4_dense_kernels *k, const l4_dense_kernels *other, const char *level)
{
    int norm = 1, gelu = 1, softmax = 1;
    for (size_t n = 1; n < N; n += 1 + n / 30) {
        size_t off = next() % 3;
        int extreme = n % 3 == 0;
        fill(x, N, extreme);
        fill(w, N, extreme);
        fill(b, N, 0);
        paint(one, N + GUARD);
        paint(two, N + GUARD);
        k->layer_norm(x + off, w, b, 1e-5f, one + off, n);
        other->layer_norm(x + off, w, b, 1e-5f, two + off, n);
        norm &= same(one, two, n + GUARD);
        memcpy(one, x, sizeof one[0] * N);
        memcpy(two, x, sizeof one[0] * N);
        k->gelu(one + off, n);
        other->gelu(two + off, n);
        gelu &= same(one, two, n + GUARD);
        memcpy(one, x, sizeof one[0] * N);
        memcpy(two, x, sizeof one[0] * N);
        float p = k->softmax(one + off, n, 0.1f), q = other->softmax(two + off, n, 0.1f);
        softmax &= same(one, two, n + GUARD) && same(&p, &q, 1);
    }
    report(level, "layer norm", norm);
    report(level, "gelu", gelu);
    report(level, "softmax", softmax);
}

/* ---- Portable C against double ---- */

static void check_reference(const l4_dense_kernels *k)
{
    int product = 1, norm = 1, gelu = 1, softmax = 1;
    float panel[ROWS], group[TOKENS], start[ROWS], y[ROWS * TOKENS];
    fill(panel, ROWS, 0);
    fill(group, TOKENS, 0);
    fill(start, ROWS, 0);
    k->product(panel, group, 1, start, y, ROWS, ROWS, TOKENS);
    for (size_t t = 0; t < TOKENS; t++)
        for (size_t r = 0; r < ROWS; r++)
            product &= y[t * ROWS + r] == (float)((double)panel[r] * (double)group[t] + (double)start[r]);
    report("reference", "product", product);
    for (float z = -9; z < 9; z += 0.00137f) {
        float g = z;
        k->gelu(&g, 1);
        double exact = 0.5 * (double)z * (1 + erf((double)z / sqrt(2.0)));
        gelu &= fabs((double)g - exact) <= 4e-7 * fabs((double)z) + 1e-9;
    }
    report("reference", "gelu", gelu);
    for (size_t n = 1; n < N; n += 37) {
        double mean = 0, square = 0, top = -INFINITY, sum = 0;
        fill(x, n, 0);
        fill(w, n, 0);
        fill(b, n, 0);
        for (size_t i = 0; i < n; i++) {
            mean += (double)x[i] / (double)n;
            top = fmax(top, (double)x[i]);
        }
        for (size_t i = 0; i < n; i++) {
            square += ((double)x[i] - mean) * ((double)x[i] - mean) / (double)n;
            sum += exp(((double)x[i] - top) * 0.3);
        }
        k->layer_norm(x, w, b, 1e-5f, one, n);
        for (size_t i = 0; i < n; i++)
            norm &= fabs((double)one[i] - (((double)x[i] - mean) / sqrt(square + 1e-5) * (double)w[i] + (double)b[i])) <= 2e-4;
        memcpy(one, x, n * sizeof *x);
        float total = k->softmax(one, n, 0.3f);
        softmax &= fabs((double)total - sum) <= 1e-5 * sum;
        for (size_t i = 0; i < n; i++)
            softmax &= fabs((double)one[i] - exp(((double)x[i] - top) * 0.3)) <= 1e-6;
    }
    report("reference", "layer norm", norm);
    report("reference", "softmax", softmax);
}

int main(void)
{
    l4_kernels portable, other;
    portable_kernels(&portable);
    check_reference(&portable.dense);
    check_layouts(&portable.dense, &portable.dense, "portable");
    for (int i = FIRST_TO_COMPARE; i < INSTRUCTION_SET_COUNT; i++) {
        if (!kernels_of(i, &other)) {
            skipped++;
            continue;
        }
        check_layouts(&portable.dense, &other.dense, instruction_sets[i].name);
        check_product(&portable.dense, &other.dense, instruction_sets[i].name);
        check_rows(&portable.dense, &other.dense, instruction_sets[i].name);
    }
    printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped);
    return failed != 0 || passed == 0;
}
