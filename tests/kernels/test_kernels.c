/* Every slot of every instruction set that runs here, against portable C, bit for bit: odd sizes, misaligned data, guard bytes,
 * extreme values. And portable C against plain double arithmetic. Ends with "N passed, N failed, N skipped". */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/half.h"
#include "kernels/decode.h"
#include "kernels/encode.h"
#include "kernels/kernels.h"
#include "kernels_of.h"
#include "llama4/llama4.h"

enum { MAX = 1200, GUARD = 64 };

static uint64_t state = 1;

static uint32_t next(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33);
}

/* Mostly moderate numbers; sometimes zeros, subnormals, huge ones, infinities and NaN. */
static float number(int extreme)
{
    static const float odd[] = {0.0f, -0.0f, 1e-42f, -3e-39f, 3e38f, -3e38f, INFINITY, -INFINITY, NAN, 1e-20f, 87.4f, -87.4f, 88.5f};
    if (extreme && next() % 8 == 0)
        return odd[next() % (sizeof odd / sizeof *odd)];
    return ((float)(next() % 20001) - 10000.0f) * (next() % 4 ? 1e-4f : 1e-2f);
}

static void fill(float *p, size_t n, int extreme)
{
    for (size_t i = 0; i < n; i++)
        p[i] = number(extreme);
}

static void fill_bytes(uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)next();
}

/* Equal bits, except that any NaN equals any NaN. */
static int same(const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (l4_f32_bits(a[i]) != l4_f32_bits(b[i]) && !(a[i] != a[i] && b[i] != b[i]))
            return 0;
    return 1;
}

static int passed, failed, skipped;

static void report(const char *name, const char *level, int fine)
{
    printf("%s %s %s\n", fine ? "ok" : "FAILED", level, name);
    fine ? passed++ : failed++;
}

static const struct {
    uint32_t type, block, bytes;
    const char *name;
} types[] = {{LLAMA4_TYPE_F32, 1, 4, "f32"}, {LLAMA4_TYPE_F16, 1, 2, "f16"}, {LLAMA4_TYPE_BF16, 1, 2, "bf16"},
             {LLAMA4_TYPE_Q8_0, 32, 34, "q8_0"}, {LLAMA4_TYPE_Q4_0, 32, 18, "q4_0"},
#define ENTRY(type, slot, name, block, bytes) {type, block, bytes, #slot},
             L4_BLOCK_TYPES(ENTRY)
#undef ENTRY
};

static uint8_t raw[64 * MAX * 4 + GUARD];
static float x[8 * MAX + 16], y[8 * MAX + 16], out_a[64 * MAX], out_b[64 * MAX];

/* The same call on both tables; outputs and the guard behind them must agree. */
static int guarded_equal(size_t n)
{
    int fine = same(out_a, out_b, n);
    for (size_t i = n; i < n + GUARD; i++)
        fine &= l4_f32_bits(out_a[i]) == 0x12345678 && l4_f32_bits(out_b[i]) == 0x12345678;
    return fine;
}

static void set_guards(size_t n)
{
    for (size_t i = 0; i < n + GUARD; i++)
        out_a[i] = out_b[i] = l4_bits_f32(0x12345678);
}

static void check_types(const l4_kernels *a, const l4_kernels *b, const char *level)
{
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        int decode = 1, dot = 1, columns = 1;
        for (int round = 0; round < 300; round++) {
            size_t block = types[t].block, n = block == 1 ? 1 + next() % 200 : block * (1 + next() % (1024 / block)), shift = next() % 7;
            fill_bytes(raw, block == 1 ? sizeof raw / 8 : shift + n / block * types[t].bytes);
            if (types[t].type == LLAMA4_TYPE_F32)
                for (size_t i = 0; i < n; i++) {
                    float f = number(round % 2);
                    memcpy(raw + shift + 4 * i, &f, 4);
                }
            fill(x, n + 8, round % 2);
            set_guards(n);
            a->decode[types[t].type](raw + shift, n, out_a);
            b->decode[types[t].type](raw + shift, n, out_b);
            decode &= guarded_equal(n);
            out_a[0] = a->dot[types[t].type](raw + shift, x + shift, n);
            out_b[0] = b->dot[types[t].type](raw + shift, x + shift, n);
            dot &= same(out_a, out_b, 1);
            a->decode[types[t].type](raw + shift, n, y); /* and equal to `dot` of the decoded row */
            out_b[0] = b->dot[LLAMA4_TYPE_F32]((const uint8_t *)y, x + shift, n);
            dot &= same(out_a, out_b, 1);
            if (a->columns[types[t].type] && round < 60) {
                size_t rows = 1 + next() % 64, stride = types[t].bytes * (rows + next() % 9);
                set_guards(rows);
                a->columns[types[t].type](raw + shift, stride, n, x, out_a, rows);
                b->columns[types[t].type](raw + shift, stride, n, x, out_b, rows);
                columns &= guarded_equal(rows);
                /* and equal to `dot` of the transposed row */
                size_t r = next() % rows;
                uint8_t row[200 * 4];
                for (size_t c = 0; c < n; c++)
                    memcpy(row + c * types[t].bytes, raw + shift + c * stride + r * types[t].bytes, types[t].bytes);
                float expected = a->dot[types[t].type](row, x, n);
                columns &= same(&expected, out_a + r, 1);
            }
        }
        char name[64];
        snprintf(name, sizeof name, "decode %s", types[t].name);
        report(name, level, decode);
        snprintf(name, sizeof name, "dot %s", types[t].name);
        report(name, level, dot);
        if (a->columns[types[t].type]) {
            snprintf(name, sizeof name, "columns %s", types[t].name);
            report(name, level, columns);
        }
    }
}

static void check_vectors(const l4_kernels *a, const l4_kernels *b, const char *level)
{
    int tile = 1, sums = 1, scale = 1, add = 1, silu = 1, kv = 1;
    for (int round = 0; round < 400; round++) {
        size_t n = 1 + next() % 130, rows = 1 + next() % 9, tokens = 1 + next() % 9, shift = next() % 5;
        fill(x, 9 * 140, round % 2);
        fill(y, 9 * 140, round % 2);
        set_guards(tokens * 11 + rows);
        a->tile(x + shift, 133, rows, y, 134, tokens, n, out_a, 11);
        b->tile(x + shift, 133, rows, y, 134, tokens, n, out_b, 11);
        tile &= guarded_equal(tokens * 11 + rows);
        float one = a->dot[LLAMA4_TYPE_F32]((const uint8_t *)(x + shift), y, n);
        tile &= same(&one, out_a, 1);
        out_a[0] = a->sum_squares(x, n), out_b[0] = b->sum_squares(x, n);
        sums &= same(out_a, out_b, 1);
        set_guards(n);
        a->scale(x, y[0], round % 3 ? y : NULL, out_a, n);
        b->scale(x, y[0], round % 3 ? y : NULL, out_b, n);
        scale &= guarded_equal(n);
        memcpy(out_a, x, n * 4), memcpy(out_b, x, n * 4);
        a->add(out_a, y, n), b->add(out_b, y, n);
        add &= guarded_equal(n);
        memcpy(out_a, x, n * 4), memcpy(out_b, x, n * 4);
        a->silu_mul(out_a, y, n), b->silu_mul(out_b, y, n);
        silu &= guarded_equal(n);
        for (int slot = 0; slot < L4_KV_FLOAT_SLOTS; slot++) {
            uint8_t pa[140 * 4], pb[140 * 4];
            memset(pa, 7, sizeof pa), memset(pb, 7, sizeof pb);
            a->kv_store[slot](x, pa, n), b->kv_store[slot](x, pb, n);
            set_guards(n);
            a->kv_load[slot](pa, out_a, n), b->kv_load[slot](pb, out_b, n);
            kv &= guarded_equal(n) && pa[n * (slot == L4_KV_F16_SLOT ? 2 : 4)] == 7 && pb[n * (slot == L4_KV_F16_SLOT ? 2 : 4)] == 7;
        }
    }
    report("tile", level, tile);
    report("sum_squares", level, sums);
    report("scale", level, scale);
    report("add", level, add);
    report("silu_mul", level, silu);
    report("kv_store and kv_load", level, kv);
}

/* Scores, softmax and weighted sums over keys and values in one of the cache's types; what is asked for in advance changes nothing. */
static int attention_fits(const l4_kernels *a, const l4_kernels *b, int slot, int round)
{
    enum { BLOCK = L4_ATTENTION_BLOCK, ROWS = 14, MOST = 140 };
    static float acc_a[ROWS * MOST + 1], acc_b[ROWS * MOST + 1];
    const size_t keys = 1 + next() % BLOCK, d = 1 + next() % (round % 4 ? 19 : MOST), rows = 1 + next() % ROWS;
    const uint8_t *soon = round % 3 ? raw + next() % 1000 : NULL;
    float shrink_a[ROWS], shrink_b[ROWS];
    int fine = 1;
    fill(x, BLOCK * d, round % 2), fill(y, ROWS * MOST + 1, round % 2);
    a->kv_store[slot](x, raw, BLOCK * d), a->kv_load[slot](raw, x, BLOCK * d);
    set_guards(rows * BLOCK);
    b->scores[L4_KV_F32_SLOT](y, rows, (const uint8_t *)x, keys, d, out_b, NULL), memcpy(out_a, out_b, rows * BLOCK * sizeof *out_a);
    b->scores[slot](y, rows, raw, keys, d, out_b, soon);
    for (size_t r = 0; r < rows; r++) /* the same as if they had become float32 first */
        fine &= same(out_a + r * BLOCK, out_b + r * BLOCK, keys);
    a->scores[slot](y, rows, raw, keys, d, out_a, NULL);
    for (size_t r = 0; r < rows; r++) {
        float *row_a = out_a + r * BLOCK, *row_b = out_b + r * BLOCK;
        float max_a = round % 4 ? number(0) : -INFINITY, max_b = max_a, sum_a = 1.5f, sum_b = 1.5f;
        fine &= same(row_a, row_b, keys);
        for (size_t j = keys; j < BLOCK; j++)
            row_a[j] = row_b[j] = NAN; /* nobody may look there */
        for (int again = 0; again < 2; again++) { /* the second time, nothing is larger */
            shrink_a[r] = a->softmax_step(row_a, keys, &max_a, &sum_a), shrink_b[r] = b->softmax_step(row_b, keys, &max_b, &sum_b);
            fine &= same(&shrink_a[r], &shrink_b[r], 1) && same(&max_a, &max_b, 1) && same(&sum_a, &sum_b, 1);
        }
    }
    fine &= guarded_equal(rows * BLOCK);
    memcpy(acc_a, y, sizeof acc_a), memcpy(acc_b, y, sizeof acc_b);
    a->accumulate[slot](acc_a, rows, shrink_a, out_a, raw, keys, d, NULL), b->accumulate[slot](acc_b, rows, shrink_b, out_b, raw, keys, d, soon);
    fine &= same(acc_a, acc_b, ROWS * MOST + 1) && same(acc_a + rows * d, y + rows * d, ROWS * MOST + 1 - rows * d);
    /* and as if row by row, in two parts, from float32 */
    const size_t r = next() % rows, part = next() % (keys + 1);
    const float same_sum = 1.0f;
    memcpy(acc_b, y + r * d, d * sizeof *y);
    b->accumulate[L4_KV_F32_SLOT](acc_b, 1, &shrink_a[r], out_a + r * BLOCK, (const uint8_t *)x, part, d, NULL);
    b->accumulate[L4_KV_F32_SLOT](acc_b, 1, &same_sum, out_a + r * BLOCK + part, (const uint8_t *)(x + part * d), keys - part, d, NULL);
    return fine && same(acc_b, acc_a + r * d, d);
}

static void check_attention(const l4_kernels *a, const l4_kernels *b, const char *level)
{
    int fine[L4_KV_FLOAT_SLOTS] = {1, 1};
    for (int round = 0; round < 400; round++)
        for (int slot = 0; slot < L4_KV_FLOAT_SLOTS; slot++)
            fine[slot] &= attention_fits(a, b, slot, round);
    report("scores, softmax_step, accumulate, float16", level, fine[L4_KV_F16_SLOT]);
    report("scores, softmax_step, accumulate, float32", level, fine[L4_KV_F32_SLOT]);
}

/* Bytes of a stored row whose float16 scales do not overflow: every odd byte gets a small exponent, which no quant minds. */
static void fill_row(uint8_t *row, size_t bytes, int tame)
{
    fill_bytes(row, bytes);
    if (!tame)
        return;
    for (size_t i = 0; i < bytes; i++)
        if ((row[i] & 0x7c) > 0x34)
            row[i] = (uint8_t)((row[i] & 0x83) | 0x20);
}

/* What `panel` gives, by way of tiles: `part` columns at a time, and one or two panels. Returns 0 if two panels differ. */
static int by_tiles(const l4_kernels *k, uint32_t type, const uint8_t *panel, size_t blocks, size_t part, size_t panels, const l4_xblock *x,
                    const float *factors, size_t group, size_t rows, float *y)
{
    static l4_tile tiles[2 * 24];
    float sums[2][L4_GROUP * L4_PANEL] = {{0}};
    for (size_t c = 0, n; c < blocks; c += n) {
        const uint8_t *at = panel + l4_panel_bytes(type, blocks * L4_QBLOCK) / blocks * c;
        const l4_soon soon = {panel, 64, c % 7};
        n = blocks - c < part ? blocks - c : part;
        for (size_t p = 0; p < panels; p++)
            k->unpack[type](at, n, tiles + p * n);
        k->tiles(l4_packed_kind(type), tiles, panels, n, x + c * group, group, c % 3 ? &soon : NULL, sums[0]);
    }
    for (size_t t = 0; t < group; t++)
        for (size_t r = 0; r < rows; r++)
            y[17 * t + r] = sums[0][t * L4_PANEL + r] * factors[t];
    return panels == 1 || same(sums[0], sums[1], group * L4_PANEL);
}

/* Panels of quantised rows: one token and many, fewer than 16 rows, extreme values; and against the sum written out in double. */
static void check_panels(const l4_kernels *a, const l4_kernels *b, const char *level)
{
    static _Alignas(64) uint8_t panel[16 * 34 * 24];
    static l4_xblock xa[40 * 32], xb[40 * 32];
    float factors[40], others[40];
    int quantized = 1;
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        const uint32_t type = types[t].type;
        if (!l4_packed_can(type))
            continue;
        const l4_units units = l4_packed_units(type);
        int equal = 1, right = 1, tiled = 1, asked = 0;
        for (int round = 0; round < 200; round++) {
            size_t unit = types[t].block / L4_QBLOCK, blocks = unit * (1 + next() % (24 / unit)), n = blocks * L4_QBLOCK;
            size_t rows = 1 + next() % 16, tokens = 1 + next() % 40, stride = n / types[t].block * types[t].bytes;
            for (size_t r = 0; r < 16; r++)
                fill_row(raw + r * stride, stride, round % 2 == 0);
            l4_panel_pack(type, raw, stride, rows, n, panel);
            memset(xa, 0x55, sizeof xa), memset(xb, 0x55, sizeof xb);
            for (size_t k = 0; k < tokens; k++) {
                fill(x, n, round % 2);
                factors[k] = a->quantize[units](x, blocks, l4_x_at(xa, blocks, k), l4_x_group(tokens, k));
                others[k] = b->quantize[units](x, blocks, l4_x_at(xb, blocks, k), l4_x_group(tokens, k));
            }
            for (size_t i = 0; i < tokens * blocks; i++)
                quantized &= memcmp(xa[i].q, xb[i].q, L4_QBLOCK) == 0 && same(&xa[i].unit, &xb[i].unit, 3) &&
                             memcmp(&xa[i].minus_8, &xb[i].minus_8, 5 * sizeof(int32_t)) == 0;
            quantized &= same(factors, others, tokens);
            quantized &= memcmp(xa + tokens * blocks, xb + tokens * blocks, sizeof *xa) == 0;
            set_guards(39 * 17 + 16);
            for (size_t k = 0; k < tokens; k += L4_GROUP) {
                const l4_xblock *group = xa + k * blocks;
                size_t g = l4_x_group(tokens, k);
                a->panel[type](panel, blocks, group, g, rows, factors + k, out_a + 17 * k, 17);
                b->panel[type](panel, blocks, group, g, rows, factors + k, out_b + 17 * k, 17);
            }
            equal &= guarded_equal(39 * 17 + 16);
            for (size_t k = 0; k < tokens; k += L4_GROUP)
                tiled &= by_tiles(b, type, panel, blocks, unit * (1 + next() % 5), 1 + next() % 2, xa + k * blocks, factors + k, l4_x_group(tokens, k), rows,
                                  out_b + 17 * k);
            tiled &= guarded_equal(39 * 17 + 16);
            size_t r = next() % rows, k = next() % tokens;
            double exact = 0, size = 1e-30;
            a->decode[type](raw + r * stride, n, y);
            for (size_t i = 0; i < n; i++) {
                const l4_xblock *at = l4_x_at(xa, blocks, k) + i / L4_QBLOCK * l4_x_group(tokens, k);
                double term = (double)y[i] * at->q[i % L4_QBLOCK] * (units == L4_UNITS_POWERS ? at->unit / 12582912.0f * factors[k] : at->unit);
                exact += term, size += fabs(term);
            }
            if (round % 2 == 0 && isfinite(size)) {
                right &= fabs(out_a[k * 17 + r] - exact) <= 1e-5 * size;
                asked++;
            }
        }
        char name[64];
        snprintf(name, sizeof name, "panel %s", types[t].name);
        report(name, level, equal);
        snprintf(name, sizeof name, "panel %s is the product", types[t].name);
        report(name, level, right && asked > 50);
        snprintf(name, sizeof name, "tiles %s", types[t].name);
        report(name, level, tiled);
    }
    report("quantize", level, quantized);
}

/* What the squares of a row's units add up to with a factor, if each is the least power of two with which nothing is beyond 127. */
static double squares_with(double factor, const float *row, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i += L4_QBLOCK) {
        double top = 0, unit = 0x1p-126;
        for (size_t k = 0; k < L4_QBLOCK; k++)
            top = fabs(row[i + k]) > top ? fabs(row[i + k]) : top;
        while (127 * factor * unit * (1 + 1e-6) < top)
            unit *= 2;
        sum += top > 0 ? unit * unit * factor * factor : 0;
    }
    return sum;
}

/* Activations in units that are powers of two: each number's nearest, with the best of the sixteen factors. And those that are not finite, or too large. */
static void check_powers(const l4_kernels *k, const char *level)
{
    enum { BLOCKS = 24, COLS = BLOCKS * L4_QBLOCK };
    static const float strange[] = {NAN, INFINITY, -INFINITY, 1.1e33f, -3e38f};
    static l4_xblock blocks[BLOCKS];
    int near = 1, powers = 1, best = 1, marked = 1;
    for (int round = 0; round < 400; round++) {
        fill(x, COLS, 0);
        for (size_t i = 0; i < COLS; i++)
            x[i] = round % 4 == 3 && i / L4_QBLOCK % 5 == 0 ? 0.0f : ldexpf(x[i], (int)(i / L4_QBLOCK * 7 % 23) - (round % 2 ? 11 : 80));
        const float factor = k->quantize[L4_UNITS_POWERS](x, BLOCKS, blocks, 1);
        double least = INFINITY, chosen = squares_with(factor, x, COLS);
        for (int i = 0; i < 16; i++)
            least = fmin(least, squares_with(pow(2, i / 16.0), x, COLS));
        best &= factor >= 1 && factor < 2 && fabs(log2(factor) * 16 - rint(log2(factor) * 16)) < 1e-5 && chosen <= least * (1 + 1e-5);
        for (size_t i = 0; i < COLS; i++) {
            int exponent;
            const l4_xblock *b = &blocks[i / L4_QBLOCK];
            const double unit = (double)b->unit / 12582912.0;
            powers &= frexp(unit, &exponent) == 0.5;
            near &= fabs(x[i] - factor * unit * b->q[i % L4_QBLOCK]) <= 0.5 * factor * unit * (1 + 1e-5) && abs(b->q[i % L4_QBLOCK]) <= 127;
        }
    }
    for (size_t i = 0; i < sizeof strange / sizeof *strange; i++) {
        fill(x, COLS, 0);
        x[5 * L4_QBLOCK + 3 * i] = strange[i];
        k->quantize[L4_UNITS_POWERS](x, BLOCKS, blocks, 1);
        for (size_t b = 0; b < BLOCKS; b++)
            marked &= isnan(blocks[b].unit) == (b == 5);
    }
    report("units are powers of two", level, powers);
    report("numbers become the nearest", level, near);
    report("the best factor", level, best);
    report("numbers without bounds", level, marked);
}

/* Makes the scales of a block, all of whose bytes are the same, 1. */
static void make_scales_one(uint32_t type, uint8_t *block)
{
    static const struct {
        uint32_t type;
        uint8_t first, second; /* where a block has its float16 numbers */
    } at[] = {{L4_Q4_1, 0, 2}, {L4_Q5_1, 0, 2}, {L4_Q2_K, 80, 82}, {L4_Q3_K, 108, 108}, {L4_Q4_K, 0, 2},
              {L4_Q5_K, 0, 2}, {L4_Q6_K, 208, 208}};
    size_t first = 0, second = 0;
    if (type == L4_MXFP4) {
        block[0] = 127;
        return;
    }
    if (type == L4_IQ1_M) { /* four bits in each of four words */
        for (int i = 0; i < 4; i++)
            block[49 + 2 * i] = (uint8_t)((block[49 + 2 * i] & 15) | (0x3c00 >> 4 * i & 15) << 4);
        return;
    }
    for (size_t i = 0; i < sizeof at / sizeof *at; i++)
        if (at[i].type == type)
            first = at[i].first, second = at[i].second;
    block[first] = block[second] = 0;
    block[first + 1] = block[second + 1] = 0x3c;
}

/* Weights that are all the largest or the smallest there are, with activations that are all 127 or -127, or have the weights' signs: sums that are
 * kept in 16 bits for a while must not leave them. */
static void check_largest(const l4_kernels *a, const l4_kernels *b, const char *level)
{
    enum { COLS = 256, TOKENS = 3, BLOCKS = COLS / L4_QBLOCK };
    static _Alignas(64) uint8_t panel[16 * 4 * COLS];
    static l4_xblock xs[TOKENS * BLOCKS];
    float factors[TOKENS];
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        const uint32_t type = types[t].type;
        if (!l4_packed_can(type))
            continue;
        const size_t stride = COLS / types[t].block * types[t].bytes;
        int equal = 1;
        for (int byte = 0; byte < 256; byte += 17) { /* both halves alike */
            memset(raw, byte, 16 * stride);
            for (size_t at = 0; at < 16 * stride; at += types[t].bytes)
                make_scales_one(type, raw + at);
            l4_panel_pack(type, raw, stride, 16, COLS, panel);
            a->decode[type](raw, COLS, y);
            for (size_t token = 0; token < TOKENS; token++) {
                for (size_t i = 0; i < COLS; i++)
                    x[i] = token == 0 || (token == 2 && y[i] >= 0) ? 1.0f : -1.0f;
                factors[token] = a->quantize[l4_packed_units(type)](x, BLOCKS, xs + token, TOKENS);
            }
            set_guards(16 * TOKENS);
            a->panel[type](panel, BLOCKS, xs, TOKENS, 16, factors, out_a, 16);
            b->panel[type](panel, BLOCKS, xs, TOKENS, 16, factors, out_b, 16);
            equal &= guarded_equal(16 * TOKENS) && isfinite(out_a[0]);
            equal &= by_tiles(b, type, panel, BLOCKS, BLOCKS, 2, xs, factors, TOKENS, 16, out_b) && same(out_b + 17, out_a + 16, 16) && same(out_b + 34, out_a + 32, 16);
        }
        char name[64];
        snprintf(name, sizeof name, "panel %s of the largest numbers", types[t].name);
        report(name, level, equal);
    }
}

/* Whether the C library's own fmaf rounds once: some go through a wider type and meet a tie that is none. */
static int fmaf_works(void)
{
    volatile float a = 1.0f + 0x1p-12f, c = 0x1p-80f; /* a * a is half way between two floats */
    return fmaf(a, a, c) == 1.0f + 0x1p-11f + 0x1p-23f;
}

/* Sums that a sum in double, rounded once more, gets wrong: half way between two floats but for a little more or less. */
static void hard_sum(float *a, float *b, float *c)
{
    const int less = next() % 2;
    const float sign = next() % 2 ? 1.0f : -1.0f;
    if (next() % 2) { /* 12 bits times 13 bits, whose product has 25 */
        *a = (float)(2049 + 2 * (next() % 1023)), *b = sign * (float)(8191 - 2 * (next() % 1023));
        *c = ldexpf(next() % 2 ? 1.0f : -1.0f, -40 - (int)(next() % 30));
    } else { /* 2^-150 times 1 + 2^-36 or 1 - 2^-33, and a subnormal number */
        *a = ldexpf(less ? 1 - 0x1p-11f : 1 + 0x1p-12f, -75);
        *b = sign * ldexpf(less ? 1 + 0x1p-11f + 0x1p-22f : 1 - 0x1p-12f + 0x1p-24f, -75);
        *c = l4_bits_f32((next() & 0x7fffff) | (uint32_t)next() << 31);
    }
}

static void check_hard_sums(const l4_kernels *a, const l4_kernels *b, const char *level)
{
    const float one = 1.0f;
    int equal = 1, differs = 0;
    for (int i = 0; i < 20000; i++) {
        float p, v[16], first[16], second[16]; /* all lanes alike: others could be the reason for greater care */
        hard_sum(&p, v, first);
        for (size_t l = 0; l < 16; l++)
            v[l] = v[0], second[l] = first[l] = first[0];
        const float twice = (float)((double)p * v[0] + first[0]);
        a->accumulate[L4_KV_F32_SLOT](first, 1, &one, &p, (const uint8_t *)v, 1, 16, NULL);
        b->accumulate[L4_KV_F32_SLOT](second, 1, &one, &p, (const uint8_t *)v, 1, 16, NULL);
        equal &= same(first, second, 16);
        differs += !same(first, &twice, 1);
    }
    report("sums that double gets wrong", level, equal && differs > 2000);
}

/* Such sums in tiles: an odd integer of 14 bits times a scale of 11 bits, half way between two floats, and next to nothing that was there before. */
static void check_tile_sums(const l4_kernels *a, const l4_kernels *b, const char *level)
{
    enum { SCALE = 1025, LEAST = 8193 };
    static _Alignas(64) uint8_t panel[16 * 18];
    static l4_tile tile_a, tile_b;
    l4_xblock xa, xb;
    int equal = 1, right = 1, differs = 0;
    for (int round = 0; round < 500; round++) {
        const int wanted = LEAST + 2 * (int)(next() % 4000), left = wanted - 7 * (wanted / 7);
        float sums_a[L4_GROUP * L4_PANEL], sums_b[L4_GROUP * L4_PANEL], before[L4_PANEL], scale[L4_PANEL];
        int sum = wanted / 7;
        for (int i = 0; i < L4_QBLOCK; i++) { /* weights are 7, the last but one's is 1 */
            const int q = i == L4_QBLOCK - 2 ? left : i == L4_QBLOCK - 1 ? sum : sum > 127 ? 127 : sum;
            x[i] = (float)q;
            sum -= i == L4_QBLOCK - 2 ? 0 : q;
        }
        for (size_t r = 0; r < L4_PANEL; r++) {
            uint8_t *row = raw + 18 * r;
            scale[r] = (float)(SCALE + 2 * (next() % 511));
            before[r] = sums_a[r] = sums_b[r] = ldexpf(next() % 2 ? 1.0f : -1.0f, -40 - (int)(next() % 30));
            l4_encode_row(LLAMA4_TYPE_F16, &scale[r], 1, row);
            memset(row + 2, 0xff, 16);
            row[2 + 14] = 0x9f; /* columns 14 and 30 */
        }
        l4_panel_pack(L4_Q4_0, raw, 18, L4_PANEL, L4_QBLOCK, panel);
        a->quantize[L4_UNITS_POWERS](x, 1, &xa, 1), b->quantize[L4_UNITS_POWERS](x, 1, &xb, 1);
        a->unpack[L4_Q4_0](panel, 1, &tile_a), b->unpack[L4_Q4_0](panel, 1, &tile_b);
        a->tiles(l4_packed_kind(L4_Q4_0), &tile_a, 1, 1, &xa, 1, NULL, sums_a);
        b->tiles(l4_packed_kind(L4_Q4_0), &tile_b, 1, 1, &xb, 1, NULL, sums_b);
        equal &= same(sums_a, sums_b, L4_PANEL);
        for (size_t r = 0; r < L4_PANEL; r++) {
            const double product = (double)wanted * scale[r];
            const float twice = (float)(product + before[r]), towards = (float)(product + (before[r] > 0 ? 0.25 : -0.25));
            right &= same(&sums_b[r], &towards, 1);
            differs += twice != towards;
        }
    }
    report("tiles' sums that double gets wrong", level, equal && right && differs > 2000);
}

/* Portable C itself: fused multiply-add against the C library, exp and silu against double. */
static void check_reference(const l4_kernels *k)
{
    int fma_fine = 1, silu = 1, softmax = 1, works = fmaf_works();
    for (int i = 0; i < 300000; i++) {
        float a = l4_bits_f32(next() << 1 ^ next()), b = l4_bits_f32(next() << 1 ^ next()), c = l4_bits_f32(next() << 1 ^ next());
        if (i % 2)
            a = number(1), b = number(1), c = -a * b;
        if (i % 16 == 1)
            hard_sum(&a, &b, &c);
        /* acc = acc * 1 + p * v exercises exactly one fused multiply-add on c */
        float got = c, expected = fmaf(a, b, c * 1.0f);
        const float one = 1.0f;
        k->accumulate[L4_KV_F32_SLOT](&got, 1, &one, &a, (const uint8_t *)&b, 1, 1, NULL);
        fma_fine &= same(&got, &expected, 1);
    }
    if (works) {
        report("fused multiply-add", "reference", fma_fine);
    } else {
        printf("skipped reference fused multiply-add: the C library's fmaf rounds twice\n");
        skipped++;
    }
    for (float z = -95; z < 95; z += 0.0137f) {
        float g = z, u = 1.0f;
        k->silu_mul(&g, &u, 1);
        double exact = (double)z / (1 + exp(-(double)z));
        silu &= fabs(g - exact) <= 4e-7 * fabs(exact) + 1e-36;
    }
    report("silu", "reference", silu);
    for (float z = -87; z <= 0; z += 0.0113f) {
        float s[2] = {0.0f, z}, max = -INFINITY, sum = 0;
        k->softmax_step(s, 2, &max, &sum);
        softmax &= fabs(s[1] - exp((double)z)) <= 3e-7 * exp((double)z) && s[0] == 1.0f;
    }
    report("exp", "reference", softmax);
}

static int is_named(const char *name, int argc, char **argv)
{
    int named = argc < 2;
    for (int i = 1; i < argc; i++)
        named |= strcmp(argv[i], name) == 0;
    return named;
}

/* Arguments, if given, are names of instruction sets. */
int main(int argc, char **argv)
{
    l4_kernels portable, other;
    portable_kernels(&portable);
    if (is_named("portable", argc, argv)) {
        check_reference(&portable);
        check_types(&portable, &portable, "portable");
        check_panels(&portable, &portable, "portable");
    }
    for (int i = FIRST_TO_COMPARE; i < INSTRUCTION_SET_COUNT; i++) {
        if (!is_named(instruction_sets[i].name, argc, argv))
            continue;
        if (!kernels_of(i, &other)) {
            skipped++;
            continue;
        }
        check_types(&portable, &other, instruction_sets[i].name);
        check_vectors(&portable, &other, instruction_sets[i].name);
        check_hard_sums(&portable, &other, instruction_sets[i].name);
        check_attention(&portable, &other, instruction_sets[i].name);
        check_panels(&portable, &other, instruction_sets[i].name);
        check_largest(&portable, &other, instruction_sets[i].name);
        check_powers(&other, instruction_sets[i].name);
        check_tile_sums(&portable, &other, instruction_sets[i].name);
    }
    printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped);
    return failed != 0 || passed == 0;
}
