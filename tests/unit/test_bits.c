/* The same bits everywhere: hashes of whole rows of logits, of every kernel, of the elementary functions and of sampled text, against
 * numbers that were written down once. Every instruction set, compiler and system has to meet the same ones, so one machine's run says
 * what all others give. A change of these numbers is a change of every user's answers: it needs a reason, and a line in CHANGELOG.md. */
#include <math.h>
#include <stdlib.h>

#include "../kernels/levels.h"
#include "base/cpu.h"
#include "base/half.h"
#include "base/math.h"
#include "check.h"
#include "kernels/encode.h"
#include "kernels/kernels.h"
#include "support.h"

#define TOKENS 200 /* at most */

/* FNV-1a over little-endian bytes. */
static uint64_t hash_u64(uint64_t hash, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        hash = (hash ^ (value >> 8 * i & 0xff)) * 0x100000001b3u;
    return hash;
}

static uint64_t hash_floats(uint64_t hash, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        hash = hash_u64(hash, l4_f32_bits(x[i]), 4);
    return hash;
}

#define HASH_START 0xcbf29ce484222325u

static void check_hash(uint64_t got, uint64_t want, const char *what)
{
    if (!CHECK(got == want))
        printf("  %s: 0x%016llxu, not 0x%016llxu\n", what, (unsigned long long)got, (unsigned long long)want);
}

/* ---- logits ---- */

static const struct {
    const char *name, *path;
    int32_t tokens;
    uint64_t f16, f32, i16, q8_0; /* by the type of keys and values */
} models[] = {
    {"scout", SCOUT, 80, 0x72cefe6ad97d5369u, 0x1b9b9881ebfb1559u, 0x16f04d86fa289586u, 0xd02bd4114f3c2a69u},
    {"maverick", MAVERICK, 80, 0x8a938e7ecd2f8880u, 0x1f88aeeffba03bc3u, 0x1e76e6398c9badfcu, 0xadca34c43abc91f9u},
    {"dense", DENSE, 80, 0x7dfdd78f66288535u, 0x06fa7bb27b71c233u, 0x0d177f45e9ef4eb6u, 0x9ce0674f06d2b9e7u},
    {"scout_long", LONG, 80, 0xb601736918eb712au, 0xb3085e79ae7fe4ffu, 0xc8ed40f218bcfc13u, 0x7fe602c920aafdb5u},
    {"llama4-tiny", TINY, TOKENS, 0xd47a4ded1ad09f0bu, 0x794a3e9ba313a961u, 0x743cf6f5ea718b6du, 0xf86cad8cb730fa48u},
};

static void check_logits(llama4_model *model, size_t m, int32_t threads, int32_t kv_type)
{
    static const char *const names[] = {"", "F16", "F32", "I16", "Q8_0"};
    const uint64_t hashes[] = {0, models[m].f16, models[m].f32, models[m].i16, models[m].q8_0};
    llama4_error error = LLAMA4_ERROR_INIT;
    size_t vocabulary = (size_t)model_info(model).vocab_size, n = (size_t)models[m].tokens, first = n - 8;
    int32_t ids[TOKENS];
    float *rows = malloc(n * vocabulary * sizeof *rows);
    llama4_context *c = open_context(model, threads, kv_type);
    make_ids(ids, n, 4, (int32_t)vocabulary);
    /* Most of it at once, the rest token by token: prefill and decode. */
    if (CHECK(rows && c) && CHECK_STATUS(decode_ids(c, 0, ids, first, 0, rows, vocabulary, &error), LLAMA4_OK, error) &&
        CHECK_STATUS(decode_ids(c, 0, ids + first, n - first, 1, rows + first * vocabulary, vocabulary, &error), LLAMA4_OK, error)) {
        char what[80];
        snprintf(what, sizeof what, "%s, keys and values in %s", models[m].name, names[kv_type]);
        check_hash(hash_floats(HASH_START, rows, n * vocabulary), hashes[kv_type], what);
    }
    llama4_context_release(c);
    free(rows);
}

static void logits_of(int32_t level)
{
    llama4_model_params params = {.struct_size = sizeof params, .cpu_level = level};
    for (size_t m = 0; m < sizeof models / sizeof *models; m++) {
        llama4_model *model = open_model(models[m].path, &params);
        llama4_context *c = model ? open_context(model, 1, 0) : NULL;
        llama4_context_info info = {.struct_size = sizeof info};
        int here = CHECK(c != NULL) && CHECK_STATUS0(llama4_context_get_info(c, &info, NULL), LLAMA4_OK) && info.cpu_level == level;
        llama4_context_release(c);
        if (here) {
            check_logits(model, m, 1, LLAMA4_KV_F16);
            check_logits(model, m, 2, LLAMA4_KV_F32);
            check_logits(model, m, 2, LLAMA4_KV_I16);
            check_logits(model, m, 1, LLAMA4_KV_Q8_0);
        }
        llama4_model_release(model);
        if (c && !here)
            SKIP("this machine lacks the instruction set");
    }
}

/* ---- kernels ---- */

#define N 416 /* 13 blocks of 32 */

static float uniform(uint64_t *state)
{
    return (float)(int32_t)(next_random(state) >> 7) * 0x1p-23f - 1.0f; /* -1 .. 1, exact */
}

static const struct {
    uint32_t type;
    uint64_t hash;
} types[] = {
    {LLAMA4_TYPE_F32, 0x45924b8c11d46a77u},
    {LLAMA4_TYPE_F16, 0x0dd2ea1be80351ebu},
    {LLAMA4_TYPE_BF16, 0x1bde80e03d46367cu},
    {LLAMA4_TYPE_Q8_0, 0x90ea5bb1a9b1f7e2u},
    {LLAMA4_TYPE_Q4_0, 0x121da74d5f3e6a8du},
};

/* Quantised activations, and panels of them with packed rows. */
static uint64_t hash_panel(uint64_t hash, const l4_kernels *k, uint32_t type)
{
    uint64_t state = type + 99;
    static uint8_t stored[16 * N * 2];
    static _Alignas(64) uint8_t panel[16 * N * 2];
    l4_xblock x[15 * (N / L4_QBLOCK)];
    float values[N], sums[15 * 16] = {0}, factors[15];
    size_t stride = l4_panel_bytes(type, N) / L4_PANEL;
    for (int r = 0; r < 16; r++) {
        for (size_t i = 0; i < N; i++)
            values[i] = uniform(&state) * (r + 1.0f);
        l4_encode_row(type, values, N, stored + (size_t)r * stride);
    }
    for (int t = 0; t < 15; t++) {
        for (size_t i = 0; i < N; i++)
            values[i] = uniform(&state) * (i % 33 ? 1.0f : 9.0f);
        factors[t] = k->quantize[l4_packed_units(type)](values, N / L4_QBLOCK, x + t, 15);
        for (size_t i = 0; i < N; i++)
            hash = hash_u64(hash, (uint8_t)x[i / L4_QBLOCK * 15 + t].q[i % L4_QBLOCK], 1);
        for (size_t b = 0; b < N / L4_QBLOCK; b++)
            hash = hash_floats(hash, &x[b * 15 + t].unit, 1);
    }
    l4_panel_pack(type, stored, stride, 13, N, panel);
    k->panel[type](panel, N / L4_QBLOCK, x, 15, 13, factors, sums, 16);
    return hash_floats(hash, sums, 15 * 16);
}

/* Encodes, decodes and multiplies rows of every length that the type allows. */
static uint64_t hash_type(const l4_kernels *k, uint32_t type)
{
    uint64_t hash = HASH_START, state = type + 1;
    float x[N], y[N], sums[64] = {0};
    uint8_t row[N * 4 + 64] = {0};
    size_t step = type == LLAMA4_TYPE_Q8_0 || type == LLAMA4_TYPE_Q4_0 ? 32 : 1;
    for (size_t n = step; n <= N; n += step) {
        for (size_t i = 0; i < n; i++)
            x[i] = uniform(&state) * (i % 7 ? 1.0f : 0x1p-17f), y[i] = uniform(&state);
        if (!CHECK(l4_encode_row(type, x, n, row)))
            return 0;
        k->decode[type](row, n, x);
        hash = hash_floats(hash, x, n);
        float dot = k->dot[type](row, y, n);
        hash = hash_floats(hash, &dot, 1);
    }
    if (k->panel[type])
        hash = hash_panel(hash, k, type);
    if (k->columns[type]) {
        size_t size = type == LLAMA4_TYPE_F32 ? 4 : 2;
        for (size_t rows = 1; rows <= 64; rows++) {
            k->columns[type](row, size, N - 64, y, sums, rows); /* columns that overlap: any bytes will do */
            hash = hash_floats(hash, sums, rows);
        }
    }
    return hash;
}

#define OTHERS 0xdde5606233dff081u
#define PACKED 0x8fe30c3a46a594b3u
#define DENSE_KERNELS 0xc63267254f28be39u
#define ELEMENTARY 0x5b8682c73d226658u
#define SAMPLED 0xaaff2f3fe892e804u

static uint64_t hash_others(const l4_kernels *k)
{
    uint64_t hash = HASH_START, state = 77;
    float x[N], y[N], z[N], out[L4_ATTENTION_BLOCK], product[8 * 16];
    uint8_t kv[N * 4];
    static float across[(N / 13 + 1) * L4_ATTENTION_BLOCK];
    for (size_t n = 1; n <= N; n += 5) {
        for (size_t i = 0; i < n; i++)
            x[i] = 20.0f * uniform(&state), y[i] = 90.0f * uniform(&state), z[i] = uniform(&state);
        float sum = k->sum_squares(x, n);
        k->scale(x, sum, z, x, n);
        k->add(x, z, n);
        k->silu_mul(y, x, n);
        hash = hash_floats(hash_floats(hash_floats(hash, &sum, 1), x, n), y, n);
        for (int s = 0; s < L4_KV_FLOAT_SLOTS; s++) {
            k->kv_store[s](z, kv, n);
            k->kv_load[s](kv, x, n);
            hash = hash_floats(hash, x, n);
        }
        size_t d = n / 13 + 1, keys = n / d; /* 1 .. 13 */
        float max = -INFINITY, total = 0.0f;
        for (size_t i = 0; i < d; i++)
            for (size_t j = 0; j < L4_ATTENTION_BLOCK; j++)
                across[i * L4_ATTENTION_BLOCK + j] = x[(j % keys) * d + i];
        k->scores[L4_KV_F32_SLOT](z, 1, (const uint8_t *)across, keys, d, out, NULL);
        hash = hash_floats(hash, out, keys);
        k->softmax_step(out, keys, &max, &total);
        float shrink = k->softmax_step(out, keys, &max, &total);
        k->accumulate[L4_KV_F32_SLOT](z, 1, &shrink, out, (const uint8_t *)x, keys, d, NULL);
        hash = hash_floats(hash_floats(hash, out, keys), z, d);
        hash = hash_floats(hash_floats(hash, &max, 1), &total, 1);
        size_t tokens = keys < 8 ? keys : 8;
        k->tile(x, d, keys, y, d, tokens, d, product, 16);
        for (size_t t = 0; t < tokens; t++)
            hash = hash_floats(hash, product + 16 * t, keys);
    }
    return hash;
}

/* Panels of every packed type, directly and by way of tiles, from bytes whose float16 scales are neither NaN nor infinite. */
static uint64_t hash_packed(const l4_kernels *k)
{
    enum { COLS = 512, BLOCKS = COLS / L4_QBLOCK, TIMES = 15 };
    static uint8_t stored[16 * COLS * 2];
    static _Alignas(64) uint8_t panel[16 * COLS * 2];
    static l4_tile tiles[BLOCKS];
    l4_xblock x[TIMES * BLOCKS];
    float values[COLS], sums[TIMES * 16], factors[TIMES];
    uint64_t hash = HASH_START, state = 1234;
    int finite = 1;
    for (uint32_t type = 0; type < L4_TYPE_SLOTS; type++) {
        if (!l4_packed_can(type))
            continue;
        size_t stride = l4_panel_bytes(type, COLS) / L4_PANEL;
        for (size_t i = 0; i < 16 * stride; i++) {
            stored[i] = (uint8_t)(next_random(&state) >> 8);
            if ((stored[i] & 0x7c) > 0x34)
                stored[i] = (uint8_t)((stored[i] & 0x83) | 0x20);
        }
        l4_panel_pack(type, stored, stride, 16, COLS, panel);
        k->unpack[type](panel, BLOCKS, tiles);
        for (size_t tokens = 1; tokens <= TIMES; tokens++) {
            for (size_t t = 0; t < tokens; t++) {
                for (size_t i = 0; i < COLS; i++)
                    values[i] = uniform(&state);
                factors[t] = k->quantize[l4_packed_units(type)](values, BLOCKS, x + t, tokens);
            }
            k->panel[type](panel, BLOCKS, x, tokens, 16, factors, sums, 16);
            hash = hash_floats(hash, sums, tokens * 16);
            for (size_t i = 0; i < tokens * 16; i++)
                finite &= sums[i] - sums[i] == 0;
            memset(sums, 0, sizeof sums);
            k->tiles(l4_packed_kind(type), tiles, 1, BLOCKS, x, tokens, NULL, sums);
            hash = hash_floats(hash, sums, tokens * 16);
        }
    }
    CHECK(finite); /* what a NaN looks like is not promised */
    return hash;
}

/* What the picture encoder computes with. */
static uint64_t hash_dense(const l4_dense_kernels *k)
{
    enum { COLS = 75 };
    float panel[COLS * L4_DENSE_ROWS], group[COLS * L4_DENSE_TOKENS], x[L4_DENSE_ROWS * COLS], y[L4_DENSE_ROWS * L4_DENSE_TOKENS];
    uint64_t hash = HASH_START, state = 4321;
    for (size_t n = 1; n <= L4_DENSE_ROWS; n++) {
        size_t tokens = n < L4_DENSE_TOKENS ? n : L4_DENSE_TOKENS;
        for (size_t i = 0; i < n * COLS; i++)
            x[i] = 4.0f * uniform(&state);
        k->panel(x, COLS, n, COLS, panel);
        k->group(x, COLS, tokens, COLS, group);
        k->product(panel, group, COLS, x, y, L4_DENSE_ROWS, n, tokens);
        for (size_t t = 0; t < tokens; t++)
            hash = hash_floats(hash, y + t * L4_DENSE_ROWS, n);
        k->layer_norm(x, x + n, x + n, 1e-5f, panel, n * COLS / 2);
        k->gelu(x, n * COLS);
        hash = hash_floats(hash_floats(hash, panel, n * COLS / 2), x, n * COLS);
        float sum = k->softmax(x, n * COLS, 0.3f);
        hash = hash_floats(hash_floats(hash, x, n * COLS), &sum, 1);
    }
    return hash;
}

static void kernels_of(int32_t level, const char *name)
{
    l4_kernels k;
    char what[64];
    l4_kernels_init(&k, level);
    if (k.level != level || l4_cpu_level(level) != level)
        SKIP("this machine, or this build, lacks the instruction set");
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        snprintf(what, sizeof what, "%s, type %u", name, (unsigned)types[i].type);
        check_hash(hash_type(&k, types[i].type), types[i].hash, what);
    }
    snprintf(what, sizeof what, "%s, OTHERS", name);
    check_hash(hash_others(&k), OTHERS, what);
    snprintf(what, sizeof what, "%s, PACKED", name);
    check_hash(hash_packed(&k), PACKED, what);
    snprintf(what, sizeof what, "%s, DENSE_KERNELS", name);
    check_hash(hash_dense(&k.dense), DENSE_KERNELS, what);
}

#define LEVEL_TESTS(name, level) \
    TEST(logits_##name)          \
    {                            \
        logits_of(LLAMA4_CPU_##level); \
    }                            \
    TEST(kernels_##name)         \
    {                            \
        kernels_of(LLAMA4_CPU_##level, #name); \
    }

LEVEL_TESTS(generic, GENERIC)
INSTRUCTION_SETS(LEVEL_TESTS)

/* ---- elementary functions ---- */

static uint64_t hash_double(uint64_t hash, double d)
{
    uint64_t bits;
    memcpy(&bits, &d, sizeof bits);
    return hash_u64(hash, bits, 8);
}

TEST(elementary_functions)
{
    uint64_t hash = HASH_START;
    for (int i = -4000; i <= 4000; i++) {
        double x = i * 0.1875, sine, cosine; /* -750 .. 750: from underflow to overflow */
        l4_sincos(x * x * (i < 0 ? -11.0 : 11.0), &sine, &cosine);
        hash = hash_double(hash_double(hash_double(hash, l4_exp(x)), sine), cosine);
        if (i > 0)
            hash = hash_double(hash_double(hash, l4_ln(x)), l4_pow(x, -0.0625 * (i % 50)));
    }
    check_hash(hash, ELEMENTARY, "ELEMENTARY");
}

/* ---- sampled text ---- */

static int32_t add_token(void *user, int32_t token, const char *text, size_t length)
{
    uint64_t *hash = user;
    if (token >= 0)
        *hash = hash_u64(*hash, (uint32_t)token, 4);
    for (size_t i = 0; i < length; i++)
        *hash = hash_u64(*hash, (unsigned char)text[i], 1);
    return 0;
}

TEST(sampled_text)
{
    llama4_error e = LLAMA4_ERROR_INIT;
    llama4_model *model = open_model(TINY, NULL);
    llama4_context *c = model ? open_context(model, 2, 0) : NULL;
    llama4_sampler *sampler = NULL;
    int32_t prompt[12];
    uint64_t hash = HASH_START;
    make_ids(prompt, 12, 9, 1500);
    if (CHECK(c != NULL) && CHECK_STATUS(llama4_sampler_create(model, 20250405, &sampler, &e), LLAMA4_OK, e) &&
        CHECK_STATUS(llama4_sampler_add_temperature(sampler, 1.25f, &e), LLAMA4_OK, e) &&
        CHECK_STATUS(llama4_sampler_add_top_k(sampler, 200, &e), LLAMA4_OK, e) &&
        CHECK_STATUS(llama4_sampler_add_top_p(sampler, 0.95f, &e), LLAMA4_OK, e)) {
        llama4_generate_params p = {.struct_size = sizeof p, .flags = LLAMA4_GENERATE_IGNORE_STOP, .max_tokens = 150, .sampler = sampler};
        CHECK_STATUS(llama4_context_generate(c, 0, prompt, 12, &p, add_token, &hash, NULL, &e), LLAMA4_OK, e);
        check_hash(hash, SAMPLED, "SAMPLED");
    }
    llama4_sampler_release(sampler);
    llama4_context_release(c);
    llama4_model_release(model);
}

#define ROWS(name, level) T(logits_##name), T(kernels_##name),

TEST_MAIN(ROWS(generic, GENERIC) INSTRUCTION_SETS(ROWS) T(elementary_functions), T(sampled_text))
