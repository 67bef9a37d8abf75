/* Attention over pages: float16, float32 and 16-bit integers against double arithmetic, in runs of one token and of many, with pages that are
 * not full and values that are no numbers; the integer kernels of every instruction set that runs here against portable C, bit for bit. Ends
 * with "N passed, N failed, N skipped". */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/half.h"
#include "kernels_of.h"
#include "llama4/llama4.h"
#include "nn/attention.h"

enum { BLOCK = L4_ATTENTION_BLOCK, ROWS = 14, MOST = 140, GUARD = 32, TOP = L4_I16_TOP };

static uint64_t state = 5;
static int passed, failed, skipped;

static uint32_t next(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33);
}

static float number(void)
{
    return ((float)(next() % 20001) - 10000.0f) * (next() % 4 ? 1e-4f : 3e-4f);
}

static void report(const char *level, const char *name, int fine)
{
    printf("%s %s %s\n", fine ? "ok" : "FAILED", level, name);
    fine ? passed++ : failed++;
}

/* Equal bits, except that any NaN equals any NaN. */
static int same(const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (l4_f32_bits(a[i]) != l4_f32_bits(b[i]) && !(a[i] != a[i] && b[i] != b[i]))
            return 0;
    return 1;
}

/* ---- The integer kernels ---- */

static int16_t q[ROWS * MOST], weights[ROWS * BLOCK];
static int16_t keys[BLOCK * MOST], values[BLOCK * MOST]; /* in pairs, as a page has them; values with a plane's units behind them */
static uint8_t plane[BLOCK * (MOST + 2) * 2 + GUARD];
static float units[BLOCK], row_units[ROWS], shrink[ROWS], s_a[ROWS * BLOCK + GUARD], s_b[ROWS * BLOCK + GUARD];
static float acc_a[ROWS * MOST + GUARD], acc_b[ROWS * MOST + GUARD], start[ROWS * MOST];

/* Of any size, or all as large as can be: sums of products then come as near to 2^31 as they may. */
static int16_t integer(int extreme)
{
    return extreme ? TOP : (int16_t)((int)(next() % (2 * TOP + 1)) - TOP);
}

static void paint(float *a, float *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        a[i] = b[i] = 12345.5f + (float)(i % 7);
}

static int painted(const float *p, size_t from, size_t n)
{
    for (size_t i = from; i < n; i++)
        if (p[i] != 12345.5f + (float)(i % 7))
            return 0;
    return 1;
}

static void to_plane(const int16_t *from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        plane[2 * i] = (uint8_t)from[i], plane[2 * i + 1] = (uint8_t)((uint16_t)from[i] >> 8);
}

static int scores_fit(const l4_kernels *a, const l4_kernels *b, int round)
{
    const size_t d = 2 + 2 * (next() % (round % 4 ? 20 : MOST / 2)), n = 1 + next() % BLOCK, rows = 1 + next() % ROWS;
    const int extreme = round % 3 == 0;
    const l4_i16_rows in = {q, row_units, rows, d};
    int fine = 1;
    for (size_t i = 0; i < rows * d; i++)
        q[i] = (int16_t)(integer(extreme) * (extreme && i / d % 2 ? -1 : 1));
    for (size_t i = 0; i < BLOCK * d; i++)
        keys[i] = integer(extreme);
    to_plane(keys, BLOCK * d);
    paint(s_a, s_b, rows * BLOCK + GUARD);
    a->i16_scores(&in, plane, units, n, s_a, NULL);
    b->i16_scores(&in, plane, units, n, s_b, round % 2 ? plane + next() % 1000 : NULL);
    for (size_t r = 0; r < rows; r++) {
        fine &= same(s_a + r * BLOCK, s_b + r * BLOCK, n);
        for (size_t j = 0; j < n; j++) {
            double exact = 0, size = 0;
            for (size_t i = 0; i < d; i++) {
                double product = (double)q[r * d + i] * keys[i / 2 * 2 * BLOCK + 2 * j + i % 2];
                exact += product, size += fabs(product);
            }
            fine &= fabs((double)s_a[r * BLOCK + j] - exact * (double)units[j] * (double)row_units[r]) <= 5e-7 * size * (double)units[j] * (double)row_units[r];
        }
    }
    return fine && painted(s_a, rows * BLOCK, rows * BLOCK + GUARD) && painted(s_b, rows * BLOCK, rows * BLOCK + GUARD);
}

static int sums_fit(const l4_kernels *a, const l4_kernels *b, int round)
{
    const size_t d = 2 + 2 * (next() % (round % 4 ? 20 : MOST / 2)), n = 1 + next() % BLOCK, rows = 1 + next() % ROWS;
    const int extreme = round % 3 == 0;
    const l4_i16_rows in = {weights, row_units, rows, BLOCK};
    int fine = 1;
    for (size_t r = 0; r < rows; r++)
        for (size_t j = 0; j < BLOCK; j++)
            weights[r * BLOCK + j] = j < n ? (int16_t)abs(integer(extreme)) : 0;
    for (size_t i = 0; i < BLOCK * d; i++)
        values[i] = (int16_t)(integer(extreme) * (extreme && i / 2 % 2 ? -1 : 1));
    to_plane(values, BLOCK * d);
    paint(acc_a, acc_b, rows * d + GUARD);
    for (size_t i = 0; i < rows * d; i++)
        acc_a[i] = acc_b[i] = start[i] = number();
    a->i16_accumulate(acc_a, &in, shrink, plane, n, d, NULL);
    b->i16_accumulate(acc_b, &in, shrink, plane, n, d, round % 2 ? plane + next() % 1000 : NULL);
    fine &= same(acc_a, acc_b, rows * d);
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < d; i++) {
            double exact = 0, size = 0;
            for (size_t j = 0; j < n; j++) {
                double product = (double)weights[r * BLOCK + j] * values[j / 2 * 2 * d + 2 * i + j % 2];
                exact += product, size += fabs(product);
            }
            const double old = (double)start[r * d + i] * (double)shrink[r], unit = (double)row_units[r];
            fine &= fabs((double)acc_a[r * d + i] - (old + exact * unit)) <= 5e-7 * (fabs(old) + size * unit);
        }
    return fine && painted(acc_a, rows * d, rows * d + GUARD) && painted(acc_b, rows * d, rows * d + GUARD);
}

/* Numbers -> integers and back: half a unit away at most, whatever their size; one that is not finite shows in the unit. */
static int quantize_fits(const l4_kernels *a, const l4_kernels *b, int round)
{
    static const float odd[] = {NAN, INFINITY, -INFINITY, 3e38f, 1e-40f, 0.0f};
    const size_t n = 1 + next() % MOST;
    float x[MOST], size = round % 5 == 1 ? 1e30f : round % 5 == 2 ? 1e-30f : round % 5 == 3 ? 0.0f : 1.0f;
    int16_t one[MOST + 1], two[MOST + 1];
    int fine = 1, finite = 1;
    for (size_t i = 0; i < n; i++)
        x[i] = number() * size;
    if (round % 2)
        x[next() % n] = odd[next() % 6];
    for (size_t i = 0; i < n; i++)
        finite &= x[i] - x[i] == 0;
    one[n] = two[n] = 77;
    const float unit_a = a->i16_quantize(x, n, one), unit_b = b->i16_quantize(x, n, two);
    fine &= same(&unit_a, &unit_b, 1) && memcmp(one, two, n * sizeof *one) == 0 && one[n] == 77 && two[n] == 77;
    fine &= (unit_a < INFINITY) == finite;
    for (size_t i = 0; i < n && finite; i++)
        fine &= abs(one[i]) <= TOP && fabs((double)one[i] * (double)unit_a - (double)x[i]) <= 0.502 * (double)unit_a + 1e-34;
    return fine;
}

/* The same in 8 bits: half a unit of its block's away; then back to 16 bits, in the places of keys and of values. */
static int small_fit(const l4_kernels *a, const l4_kernels *b, int round)
{
    enum { MOST_FACTORS = (MOST + L4_I8_BLOCK - 1) / L4_I8_BLOCK };
    const size_t n = 2 + 2 * (next() % (MOST / 2)), blocks = (n + L4_I8_BLOCK - 1) / L4_I8_BLOCK;
    static uint8_t small[BLOCK * (MOST + MOST_FACTORS) + GUARD], wide_a[2 * BLOCK * MOST + 60], wide_b[2 * BLOCK * MOST + 60];
    float x[MOST];
    int8_t one[MOST + 1], two[MOST + 1];
    uint8_t f_one[MOST_FACTORS + 1], f_two[MOST_FACTORS + 1];
    int fine = 1, finite = 1;
    for (size_t i = 0; i < n; i++)
        x[i] = number() * (round % 4 == 1 && i / L4_I8_BLOCK % 2 ? 1e-3f : round % 4 == 2 ? 1e30f : 1.0f);
    if (round % 8 == 7)
        x[next() % n] = next() % 2 ? NAN : INFINITY;
    for (size_t i = 0; i < n; i++)
        finite &= x[i] - x[i] == 0;
    one[n] = two[n] = 77, f_one[blocks] = f_two[blocks] = 77;
    const float unit_a = a->i8_quantize(x, n, one, f_one), unit_b = b->i8_quantize(x, n, two, f_two);
    fine &= same(&unit_a, &unit_b, 1) && memcmp(one, two, n + 1) == 0 && memcmp(f_one, f_two, blocks + 1) == 0 && one[n] == 77 && f_one[blocks] == 77;
    fine &= (unit_a < INFINITY) == finite;
    for (size_t i = 0; i < n && finite; i++) {
        const double step = (double)unit_a * f_one[i / L4_I8_BLOCK];
        double most = 0;
        for (size_t j = i / L4_I8_BLOCK * L4_I8_BLOCK; j < n && j / L4_I8_BLOCK == i / L4_I8_BLOCK; j++)
            most = fmax(most, fabs((double)x[j]));
        fine &= abs(one[i]) <= 127 && fabs(one[i] * step - (double)x[i]) <= 0.502 * step + 1e-34;
        fine &= f_one[i / L4_I8_BLOCK] <= L4_I8_FACTOR && step <= most / 127 * 1.0001 + (double)unit_a;
    }
    for (size_t i = 0; i < BLOCK * (n + blocks); i++)
        small[i] = (uint8_t)(i < BLOCK * n ? next() : next() % (L4_I8_FACTOR + 1));
    a->i8_open_keys(small, n, wide_a), b->i8_open_keys(small, n, wide_b);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < BLOCK; j++) {
            const size_t at = i / 2 * 2 * BLOCK + 2 * j + i % 2;
            const int16_t exact = (int16_t)((int8_t)small[at] * small[BLOCK * n + i / L4_I8_BLOCK * BLOCK + j]);
            fine &= (int16_t)(wide_a[2 * at] | wide_a[2 * at + 1] << 8) == exact && (int16_t)(wide_b[2 * at] | wide_b[2 * at + 1] << 8) == exact;
        }
    const size_t pairs = 1 + next() % (BLOCK / 2);
    a->i8_open_values(small, n, pairs, wide_a), b->i8_open_values(small, n, pairs, wide_b);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < 2 * pairs; j++) {
            const size_t at = j / 2 * 2 * n + 2 * i + j % 2;
            const int16_t exact = (int16_t)((int8_t)small[at] * small[BLOCK * n + (j / 2 * blocks + i / L4_I8_BLOCK) * 2 + j % 2]);
            fine &= (int16_t)(wide_a[2 * at] | wide_a[2 * at + 1] << 8) == exact && (int16_t)(wide_b[2 * at] | wide_b[2 * at + 1] << 8) == exact;
        }
    return fine;
}

static int weights_fit(const l4_kernels *a, const l4_kernels *b, int round)
{
    const size_t n = next() % (BLOCK + 1);
    float p[BLOCK], size = round % 7 == 1 ? 1e-33f : round % 7 == 2 ? 1e20f : round % 7 == 3 ? 0.0f : 1.0f;
    int16_t one[BLOCK + 1], two[BLOCK + 1];
    int fine = 1;
    for (size_t j = 0; j < BLOCK; j++)
        p[j] = j < n ? fabsf(number()) * size : NAN; /* nobody may look there */
    one[BLOCK] = two[BLOCK] = 77;
    const float unit_a = a->i16_weights(p, units, n, one), unit_b = b->i16_weights(p, units, n, two);
    fine &= same(&unit_a, &unit_b, 1) && memcmp(one, two, sizeof one) == 0 && one[BLOCK] == 77;
    for (size_t j = 0; j < BLOCK; j++)
        fine &= j < n ? one[j] >= 0 && one[j] <= TOP && fabs((double)one[j] * (double)unit_a - (double)p[j] * (double)units[j]) <= 0.502 * (double)unit_a + 2e-34
                      : one[j] == 0;
    return fine;
}

static void check_integers(const l4_kernels *a, const l4_kernels *b, const char *level)
{
    int scores = 1, sums = 1, quantize = 1, small = 1, make = 1;
    for (int round = 0; round < 400; round++) {
        for (size_t i = 0; i < BLOCK; i++)
            units[i] = (float)(1 + next() % 1000) * 1e-6f;
        for (size_t i = 0; i < ROWS; i++)
            row_units[i] = (float)(1 + next() % 1000) * 1e-5f, shrink[i] = (float)(next() % 1001) * 1e-3f;
        scores &= scores_fit(a, b, round);
        sums &= sums_fit(a, b, round);
        quantize &= quantize_fits(a, b, round);
        small &= small_fit(a, b, round);
        make &= weights_fit(a, b, round);
    }
    report(level, "scores from integers", scores);
    report(level, "sums from integers", sums);
    report(level, "integers from numbers", quantize);
    report(level, "integers of 8 bits from numbers, and in 16 bits", small);
    report(level, "integers from weights", make);
}

/* ---- Attention as a whole ---- */

/* Runs of one token take all seven heads of keys and values together, of three tokens five and then two, of sixteen each alone. */
enum { HEADS = 14, KV_HEADS = 7, D = 22, POSITIONS = 150, PAGES = (POSITIONS + BLOCK - 1) / BLOCK, TOKENS = L4_ATTENTION_TOKENS };

static float all_keys[POSITIONS][KV_HEADS * D], all_values[POSITIONS][KV_HEADS * D], queries[POSITIONS][HEADS * D], out[POSITIONS][HEADS * D];

/* What head h of the query at this position gets; NaN where it sees what is no number. */
static void expected(size_t position, size_t h, double *y)
{
    double top = -INFINITY, sum = 0, score[POSITIONS];
    const size_t g = h / (HEADS / KV_HEADS) * D;
    for (size_t j = 0; j <= position; j++) {
        score[j] = 0;
        for (size_t i = 0; i < D; i++)
            score[j] += (double)queries[position][h * D + i] * (double)all_keys[j][g + i] / sqrt((double)D);
        top = score[j] > top ? score[j] : top;
    }
    for (size_t i = 0; i < D; i++)
        y[i] = 0;
    for (size_t j = 0; j <= position; j++) {
        sum += exp(score[j] - top);
        for (size_t i = 0; i < D; i++)
            y[i] += exp(score[j] - top) * (double)all_values[j][g + i];
    }
    for (size_t i = 0; i < D; i++)
        y[i] /= sum;
}

/* Positions `first` .. POSITIONS - 1 in runs of `step`: how far from exact, or infinitely where NaN is wrong or missing. */
static double attend(const l4_exec *e, int slot, const uint8_t *const *pages, size_t step)
{
    l4_attention_run runs[POSITIONS];
    size_t n = 0;
    double worst = 0, y[D];
    for (size_t t = 0; t < POSITIONS; t += step)
        runs[n++] = (l4_attention_run){t, POSITIONS - t < step ? POSITIONS - t : step, t + 1, pages};
    const l4_attention_args args = {.runs = runs, .n_runs = n, .q = queries[0], .out = out[0], .heads = HEADS, .kv_heads = KV_HEADS, .d = D,
                                    .layer_offset = 0, .kv_slot = slot};
    l4_attention(e, &args);
    for (size_t t = 0; t < POSITIONS; t++)
        for (size_t h = 0; h < HEADS; h++) {
            expected(t, h, y);
            int seen = 0;
            for (size_t i = 0; i < D; i++)
                seen |= y[i] != y[i];
            for (size_t i = 0; i < D; i++) {
                const double apart = fabs((double)out[t][h * D + i] - y[i]);
                /* An integer that is none shows in the whole head, a float in its own number. */
                if (y[i] == y[i] && apart == apart)
                    worst = apart > worst ? apart : worst;
                else if (!(out[t][h * D + i] != out[t][h * D + i] && seen))
                    worst = INFINITY;
            }
        }
    return worst;
}

static void check_pages(const l4_kernels *k, const char *level)
{
    static const struct {
        int slot;
        const char *name;
        double limit;
    } kinds[] = {{L4_KV_F32_SLOT, "float32", 2e-6}, {L4_KV_F16_SLOT, "float16", 2e-3}, {L4_KV_I16_SLOT, "integers", 1e-3}, {L4_KV_Q8_0_SLOT, "integers of 8 bits", 3e-2}};
    static const size_t steps[] = {1, 3, TOKENS};
    llama4_error error = LLAMA4_ERROR_INIT;
    l4_exec e = {.kernels = k, .scratch_size = l4_attention_scratch(HEADS, KV_HEADS, D)};
    atomic_int never = 0;
    e.scratch = malloc(2 * e.scratch_size * sizeof *e.scratch);
    if (l4_pool_create_for(&l4_system_allocator, 2, 2, &never, &e.pool, &error) || !e.scratch) {
        report(level, "two threads", 0);
        return;
    }
    for (size_t kind = 0; kind < sizeof kinds / sizeof *kinds; kind++)
        for (int poison = 0; poison < 3; poison++) {
            const size_t bytes = l4_attention_layer_bytes(KV_HEADS, D, kinds[kind].slot);
            uint8_t *memory = calloc(PAGES, bytes);
            const uint8_t *pages[PAGES];
            static float first[POSITIONS][HEADS * D];
            double worst = 0;
            int equal = 1;
            char what[80];
            for (size_t t = 0; t < POSITIONS; t++)
                for (size_t i = 0; i < HEADS * D; i++) {
                    queries[t][i] = number();
                    if (i < KV_HEADS * D)
                        all_keys[t][i] = number(), all_values[t][i] = number();
                }
            if (poison) /* in the second page, of the second head: who comes before, and the first head, never know */
                (poison == 1 ? all_values : all_keys)[77][D + 3] = NAN;
            for (size_t t = POSITIONS; memory && t-- > 0;) /* in no particular order */
                l4_attention_store(k, memory + t / BLOCK * bytes, KV_HEADS, D, kinds[kind].slot, t % BLOCK, all_keys[t], all_values[t]);
            for (size_t i = 0; i < PAGES; i++)
                pages[i] = memory + i * bytes;
            for (size_t s = 0; memory && s < sizeof steps / sizeof *steps; s++) {
                const double apart = attend(&e, kinds[kind].slot, pages, steps[s]);
                worst = apart > worst ? apart : worst;
                if (s == 0)
                    memcpy(first, out, sizeof first);
                equal &= same(first[0], out[0], sizeof first / sizeof(float));
            }
            snprintf(what, sizeof what, "%s%s, apart by %.2g", kinds[kind].name, poison == 1 ? ", a value with a NaN" : poison ? ", a key with a NaN" : "", worst);
            report(level, what, memory && equal && worst > 0 && worst <= kinds[kind].limit);
            free(memory);
        }
    l4_pool_destroy(e.pool);
    free(e.scratch);
}

int main(void)
{
    l4_kernels portable, other;
    portable_kernels(&portable);
    check_integers(&portable, &portable, "portable");
    check_pages(&portable, "portable");
    for (int i = FIRST_TO_COMPARE; i < INSTRUCTION_SET_COUNT; i++) {
        if (!kernels_of(i, &other)) {
            skipped++;
            continue;
        }
        check_integers(&portable, &other, instruction_sets[i].name);
        check_pages(&other, instruction_sets[i].name);
    }
    printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped);
    return failed != 0 || passed == 0;
}
