/* Products of packed matrices with many tokens, which go by tiles, pairs of panels, groups and passes: the bits of one token at a time, which goes
 * panel by panel. Shapes leave a rest in each of these. And how products are shared among threads. */
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "check.h"
#include "nn/linear.h"
#include "support.h"

enum { MOST_ROWS = 330, MOST_COLS = 768, MOST_TOKENS = 560, PAD = 5, THREADS = 3 };

typedef struct bed {
    l4_kernels kernels;
    l4_exec exec;
    atomic_int never;
    uint8_t *stored, *packed;
    float *x, *many, *single;
} bed;

static int bed_make(bed *b, int32_t level)
{
    static const l4_allocator *a = &l4_system_allocator;
    llama4_error e = LLAMA4_ERROR_INIT;
    memset(b, 0, sizeof *b);
    l4_kernels_init(&b->kernels, l4_cpu_level(level));
    b->exec.kernels = &b->kernels;
    b->exec.scratch_size = l4_linear_scratch(MOST_COLS);
    const size_t panels = (MOST_ROWS + L4_PANEL - 1) / L4_PANEL * L4_PANEL;
    return l4_alloc(a, THREADS * b->exec.scratch_size, sizeof(float), "", &b->exec.scratch, &e) == LLAMA4_OK &&
           l4_alloc(a, MOST_TOKENS * MOST_COLS / L4_QBLOCK, sizeof(l4_xblock), "", &b->exec.quantized, &e) == LLAMA4_OK &&
           l4_alloc(a, MOST_TOKENS, sizeof(float), "", &b->exec.factors, &e) == LLAMA4_OK &&
           l4_alloc(a, 1, sizeof(l4_share), "", &b->exec.shares, &e) == LLAMA4_OK &&
           l4_alloc(a, panels * MOST_COLS * 2, 1, "", &b->stored, &e) == LLAMA4_OK &&
           l4_alloc(a, panels * MOST_COLS * 2, 1, "", &b->packed, &e) == LLAMA4_OK &&
           l4_alloc(a, MOST_TOKENS * MOST_COLS, sizeof(float), "", &b->x, &e) == LLAMA4_OK &&
           l4_alloc(a, MOST_TOKENS * (MOST_ROWS + PAD), sizeof(float), "", &b->many, &e) == LLAMA4_OK &&
           l4_alloc(a, MOST_ROWS, sizeof(float), "", &b->single, &e) == LLAMA4_OK &&
           l4_pool_create(a, THREADS, &b->never, &b->exec.pool, &e) == LLAMA4_OK;
}

static void bed_free(bed *b)
{
    static const l4_allocator *a = &l4_system_allocator;
    void *all[] = {b->exec.scratch, b->exec.quantized, b->exec.factors, b->exec.shares, b->stored, b->packed, b->x, b->many, b->single};
    l4_pool_destroy(b->exec.pool);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        l4_free(a, all[i]);
}

/* Every 256 numbers as large as they like, so that tokens' factors differ. */
static void fill_inputs(bed *b, uint64_t *state)
{
    float most = 0;
    for (size_t i = 0; i < MOST_TOKENS * MOST_COLS; i++) {
        if (i % 256 == 0)
            most = 1.0f + (float)(next_random(state) % 1000) / 1000.0f;
        b->x[i] = most * ((float)(next_random(state) % 2001) / 1000.0f - 1.0f);
    }
}

/* Rows of random bytes, whose float16 scales are neither NaN nor infinite, packed. */
static l4_matrix make_matrix(bed *b, uint32_t type, uint32_t rows, uint32_t cols, uint64_t *state)
{
    const size_t panel = l4_panel_bytes(type, cols), stride = panel / L4_PANEL;
    for (size_t i = 0; i < rows * stride; i++) {
        b->stored[i] = (uint8_t)(next_random(state) >> 8);
        if ((b->stored[i] & 0x7c) > 0x34)
            b->stored[i] = (uint8_t)((b->stored[i] & 0x83) | 0x20);
    }
    for (uint32_t r = 0; r < rows; r += L4_PANEL)
        l4_panel_pack(type, b->stored + r * stride, stride, rows - r < L4_PANEL ? rows - r : L4_PANEL, cols, b->packed + r / L4_PANEL * panel);
    return (l4_matrix){.data = b->packed, .type = type, .rows = rows, .cols = cols, .stride = panel, .layout = L4_PACKED};
}

static int equal_to_single(bed *b, const l4_matrix *m, size_t tokens)
{
    const float mark = 12345.0f;
    const size_t ldy = m->rows + PAD;
    const l4_product all = {m, b->x, m->cols, tokens, b->many, ldy, NULL};
    for (size_t i = 0; i < tokens * ldy; i++)
        b->many[i] = mark;
    l4_linear(&b->exec, &all, 1);
    for (size_t t = 0; t < tokens; t++) {
        const l4_product one = {m, b->x + t * m->cols, m->cols, 1, b->single, m->rows, NULL};
        l4_linear(&b->exec, &one, 1);
        if (memcmp(b->single, b->many + t * ldy, m->rows * sizeof(float)) != 0)
            return 0;
        for (size_t i = m->rows; i < ldy; i++)
            if (b->many[t * ldy + i] != mark)
                return 0;
    }
    return 1;
}

static void check_level(int32_t level)
{
    static const uint32_t types[] = {L4_Q4_0, L4_Q8_0, L4_Q5_1, L4_Q4_K, L4_Q6_K, L4_Q2_K}; /* every kind of tile */
    static const struct { uint32_t rows, blocks; size_t tokens; } shapes[] = {
        {330, 8, 37}, {33, 24, 560}, {300, 16, 513}, {1, 8, 17}, {16, 24, 29}, {47, 16, 512},
    };
    uint64_t state = 77;
    bed b;
    REQUIRE(bed_make(&b, level));
    fill_inputs(&b, &state);
    for (size_t t = 0; t < sizeof types / sizeof *types; t++)
        for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
            const l4_matrix m = make_matrix(&b, types[t], shapes[s].rows, shapes[s].blocks * L4_QBLOCK, &state);
            CHECK(equal_to_single(&b, &m, shapes[s].tokens));
        }
    for (uint32_t blocks = 1; blocks < 20; blocks += 3) { /* no multiple of 256 columns */
        const l4_matrix m = make_matrix(&b, L4_Q4_0, 50, blocks * L4_QBLOCK, &state);
        CHECK(equal_to_single(&b, &m, 20 + blocks));
    }
    bed_free(&b);
}

enum { MOST_PRODUCTS = 2 * 129, MOST_WORKERS = 64 };

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Time until the last of the workers is done who take piece after piece, over what it would be if all were done at once: pieces cost their weights times
 * `reading` + tokens. Counts the pieces. */
static double imbalance(const l4_product *p, const l4_share *shares, size_t n, size_t workers, double reading, size_t *count)
{
    double busy[MOST_WORKERS] = {0}, all = 0, last = 0;
    *count = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t t = 0; t < p[i].tokens; t += shares[i].tokens)
            for (size_t row = 0; row < p[i].w->rows; row += shares[i].rows, ++*count) {
                const size_t rows = least(p[i].w->rows - row, shares[i].rows), tokens = least(p[i].tokens - t, shares[i].tokens);
                const double cost = (double)rows * p[i].w->cols * (reading + (double)tokens);
                size_t first = 0;
                for (size_t k = 1; k < workers; k++)
                    first = busy[k] < busy[first] ? k : first;
                busy[first] += cost;
                last = busy[first] > last ? busy[first] : last;
                all += cost;
            }
    return last / (all / (double)workers);
}

/* The shared expert's products with all tokens, then those of the others with their part: the second has a quarter of all, the third none. */
static size_t mixture(l4_product *p, const l4_matrix *w, size_t experts, size_t tokens)
{
    size_t n = 0, left = tokens;
    for (size_t x = 0; x <= experts; x++) {
        size_t some = x == 0 ? tokens : x == 2 ? tokens / 4 : x == 3 ? 0 : x == experts ? left : tokens / 2 / experts;
        some = some < left || !x ? some : left;
        left -= x ? some : 0;
        for (int k = 0; k < 2; k++)
            p[n++] = (l4_product){.w = w, .tokens = some};
    }
    return n;
}

TEST(threads_get_equal_work)
{
    static const struct { size_t experts, tokens; } prompts[] = {{16, 512}, {16, 2048}, {16, 64}, {128, 512}, {128, 2048}, {16, 1}, {128, 1}};
    static const int threads[] = {1, 2, 4, 6, 8, 12, 16, 24, 32, 64};
    static l4_product p[MOST_PRODUCTS];
    static l4_share shares[MOST_PRODUCTS];
    size_t grain, count;
    for (uint32_t layout = L4_ROWS; layout <= L4_PACKED; layout++) {
        const l4_matrix w = {.rows = 8192, .cols = 5120, .layout = layout};
        for (size_t i = 0; i < sizeof prompts / sizeof *prompts; i++)
            for (size_t t = 0; t < sizeof threads / sizeof *threads; t++) {
                const size_t n = mixture(p, &w, prompts[i].experts, prompts[i].tokens), total = l4_linear_share(p, n, threads[t], shares, &grain);
                for (double reading = 2; reading <= 32; reading *= 4) {
                    CHECK(imbalance(p, shares, n, (size_t)threads[t], reading, &count) < 1.125);
                    CHECK(count == total && total <= 64u * (unsigned)threads[t] + 4 * n + prompts[i].tokens && grain == 1);
                }
            }
    }
}

/* Between pieces a call can be cancelled, also one thread's with the largest batch. Packed matrices have 64 rows in a piece at least. */
TEST(no_piece_is_large)
{
    for (uint32_t layout = L4_ROWS; layout <= L4_PACKED; layout++) {
        const l4_matrix w = {.rows = 16384, .cols = 16384, .layout = layout};
        const l4_product p = {.w = &w, .tokens = 4096};
        l4_share share;
        size_t grain;
        CHECK(l4_linear_share(&p, 1, 1, &share, &grain) == share.pieces && grain == 1);
        CHECK((double)share.rows * w.cols * (double)share.tokens <= (layout == L4_PACKED ? 5e9 : 2e9));
    }
}

/* Few rows and many tokens. */
TEST(threads_share_a_router)
{
    const l4_matrix w = {.rows = 16, .cols = 5120, .layout = L4_ROWS};
    const l4_product p = {.w = &w, .tokens = 2048};
    for (int threads = 1; threads <= 8; threads *= 2) {
        l4_share share;
        size_t count, grain, total = l4_linear_share(&p, 1, threads, &share, &grain);
        CHECK(imbalance(&p, &share, 1, (size_t)threads, 8, &count) < 1.125 && count == total && grain == 1);
    }
}

/* Matrices that are not packed, in pieces of some rows and some tokens, stored by rows and by columns. */
TEST(many_tokens_and_few_rows)
{
    const uint32_t rows = 48;
    uint64_t state = 78;
    bed b;
    REQUIRE(bed_make(&b, LLAMA4_CPU_AUTO));
    fill_inputs(&b, &state);
    float *w = (float *)(void *)b.stored;
    for (size_t i = 0; i < rows * MOST_COLS; i++)
        w[i] = (float)(next_random(&state) % 2001) / 1000.0f - 1.0f;
    for (uint32_t layout = L4_ROWS; layout <= L4_COLUMNS; layout++) {
        const l4_matrix m = {.data = b.stored, .rows = rows, .cols = MOST_COLS, .layout = layout, .type = LLAMA4_TYPE_F32,
                             .stride = (layout == L4_COLUMNS ? rows : MOST_COLS) * sizeof *w};
        CHECK(equal_to_single(&b, &m, MOST_TOKENS));
        const l4_product p = {.w = &m, .tokens = MOST_TOKENS};
        size_t grain;
        CHECK(l4_linear_share(&p, 1, THREADS, b.exec.shares, &grain) > 1 && b.exec.shares[0].tokens < MOST_TOKENS);
    }
    bed_free(&b);
}

/* Matrices whose activations are in different units share an input, and one call. */
TEST(types_share_an_input)
{
    enum { COLS = 512, ROWS = 48 };
    static const uint32_t types[] = {L4_Q4_0, L4_Q8_0, L4_Q8_0, L4_Q4_K, LLAMA4_TYPE_F32, L4_Q5_1};
    enum { N = sizeof types / sizeof *types };
    static const size_t tokens[] = {1, 5, 40};
    uint64_t state = 79;
    l4_matrix w[N];
    l4_product p[N];
    bed b;
    REQUIRE(bed_make(&b, LLAMA4_CPU_AUTO));
    uint8_t *own[N];
    llama4_error e = LLAMA4_ERROR_INIT;
    l4_share *one = b.exec.shares, shares[N];
    fill_inputs(&b, &state);
    for (size_t i = 0; i < N; i++) {
        const size_t bytes = (size_t)ROWS * COLS * 4;
        REQUIRE(l4_alloc(&l4_system_allocator, bytes, 1, "", &own[i], &e) == LLAMA4_OK);
        if (types[i] == LLAMA4_TYPE_F32) {
            for (size_t k = 0; k < ROWS * COLS; k++)
                ((float *)(void *)own[i])[k] = (float)(next_random(&state) % 2001) / 1000.0f - 1.0f;
            w[i] = (l4_matrix){.data = own[i], .type = types[i], .rows = ROWS, .cols = COLS, .stride = COLS * sizeof(float), .layout = L4_ROWS};
            continue;
        }
        w[i] = make_matrix(&b, types[i], ROWS, COLS, &state);
        memcpy(own[i], b.packed, l4_panel_bytes(types[i], COLS) * (ROWS / L4_PANEL));
        w[i].data = own[i];
    }
    for (size_t t = 0; t < sizeof tokens / sizeof *tokens; t++) {
        for (size_t i = 0; i < N; i++) {
            p[i] = (l4_product){&w[i], b.x, COLS, tokens[t], b.many + i * ROWS, N * ROWS, NULL};
            for (size_t k = 0; k < tokens[t]; k++)
                memset(b.many + (k * N + i) * ROWS, 0x55, ROWS * sizeof(float));
        }
        b.exec.shares = shares;
        l4_linear(&b.exec, p, N);
        b.exec.shares = one;
        for (size_t i = 0; i < N; i++)
            for (size_t k = 0; k < tokens[t]; k++) {
                const l4_product alone = {&w[i], b.x + k * COLS, COLS, 1, b.single, ROWS, NULL};
                l4_linear(&b.exec, &alone, 1);
                CHECK(memcmp(b.single, b.many + (k * N + i) * ROWS, ROWS * sizeof(float)) == 0);
            }
    }
    for (size_t i = 0; i < N; i++)
        l4_free(&l4_system_allocator, own[i]);
    bed_free(&b);
}

TEST(many_tokens_by_the_best_kernels) { check_level(LLAMA4_CPU_AUTO); }
TEST(many_tokens_by_avx2) { check_level(LLAMA4_CPU_AVX2); }
TEST(many_tokens_by_portable_kernels) { check_level(LLAMA4_CPU_GENERIC); }

TEST_MAIN(T(many_tokens_by_the_best_kernels), T(many_tokens_by_avx2), T(many_tokens_by_portable_kernels), T(threads_get_equal_work), T(no_piece_is_large), T(threads_share_a_router), T(many_tokens_and_few_rows), T(types_share_an_input))
