/* encode [THREADS [LAYERS [TILES]]]: what encoding tiles costs, and what the same products cost in bare OpenBLAS calls with the same number of
 * threads, taken in turns in one run; the best of five. Weights are random, of the released models' shape, in bfloat16 as they were released. */
#include <cblas.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "base/file.h"
#include "base/half.h"
#include "vision/encoder.h"

void openblas_set_num_threads(int threads);
char *openblas_get_corename(void);

enum { TILE = 336, PATCH = 14, WIDTH = 1408, HEADS = 16, FF = 5632, HIDDEN = 4096, OUT = 5120, SIDE = TILE / PATCH, TOKENS = SIDE * SIDE + 1 };

static uint64_t state = 7;

static uint16_t small(void) /* a bfloat16 in -0.03 .. 0.03 */
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return l4_f32_to_bf16(((float)(state >> 40) / 8388608.0f - 1.0f) * 0.03f);
}

static void *need(size_t bytes)
{
    void *memory = malloc(bytes);
    if (!memory) {
        fprintf(stderr, "out of memory\n");
        exit(1);
    }
    return memory;
}

static l4_matrix matrix(uint32_t rows, uint32_t cols)
{
    uint16_t *data = need((size_t)rows * cols * 2);
    for (size_t i = 0; i < (size_t)rows * cols; i++)
        data[i] = small();
    return (l4_matrix){(const uint8_t *)data, 2 * (uint64_t)cols, rows, cols, LLAMA4_TYPE_BF16, L4_ROWS};
}

static const float *vector(size_t n, float value)
{
    float *data = need(n * sizeof *data);
    for (size_t i = 0; i < n; i++)
        data[i] = value + l4_bf16_to_f32(small());
    return data;
}

static void fill(l4_vision *v, uint32_t layers)
{
    memset(v, 0, sizeof *v);
    v->config = (l4_vision_config){.layers = layers, .width = WIDTH, .heads = HEADS, .ff = FF, .tile = TILE, .patch = PATCH, .shuffle = 2,
                                   .hidden = HIDDEN, .projected = HIDDEN, .embedding = OUT, .max_tiles = 16, .epsilon = 1e-5f, .rope_base = 1e4f,
                                   .mean = {0.5f, 0.5f, 0.5f}, .std = {0.5f, 0.5f, 0.5f}};
    v->patch = matrix(WIDTH, 3 * PATCH * PATCH);
    v->class_token = vector(WIDTH, 0);
    v->position = vector((size_t)TOKENS * WIDTH, 0);
    v->layers = need(layers * sizeof *v->layers);
    for (int i = 0; i < 2; i++)
        v->pre[i] = v->post[i] = vector(WIDTH, i ? 0.0f : 1.0f);
    for (uint32_t i = 0; i < layers; i++) {
        const float *bias = vector(FF, 0);
        v->layers[i] = (l4_vision_layer){{v->pre[0], v->pre[1]}, {v->pre[0], v->pre[1]}, matrix(WIDTH, WIDTH), matrix(WIDTH, WIDTH), matrix(WIDTH, WIDTH),
                                         matrix(WIDTH, WIDTH), matrix(FF, WIDTH), matrix(WIDTH, FF), bias, bias, bias, bias, bias, bias};
    }
    v->fc1 = matrix(HIDDEN, 4 * WIDTH);
    v->fc2 = matrix(HIDDEN, HIDDEN);
    v->projector = matrix(OUT, HIDDEN);
}

/* y [m][n] = x [m][k] w[n][k]^T, or w[k][n] if not turned. */
static void product(int m, int n, int k, const float *x, const float *w, float *y, int turned)
{
    cblas_sgemm(CblasRowMajor, CblasNoTrans, turned ? CblasTrans : CblasNoTrans, m, n, k, 1, x, k, w, turned ? k : n, 0, y, n);
}

static void bare(uint32_t layers, uint32_t tiles, const float *x, const float *w, float *y)
{
    const int few = (TOKENS - 1) / 4;
    for (uint32_t t = 0; t < tiles; t++) {
        product(TOKENS - 1, WIDTH, 3 * PATCH * PATCH, x, w, y, 1);
        for (uint32_t i = 0; i < layers; i++) {
            for (int j = 0; j < 4; j++)
                product(TOKENS, WIDTH, WIDTH, x, w + (size_t)j * WIDTH * WIDTH, y, 1);
            for (int h = 0; h < HEADS; h++) {
                product(TOKENS, TOKENS, WIDTH / HEADS, x, w, y, 1);
                product(TOKENS, WIDTH / HEADS, TOKENS, y, w, y + TOKENS * TOKENS, 0);
            }
            product(TOKENS, FF, WIDTH, x, w, y, 1);
            product(TOKENS, WIDTH, FF, x, w, y, 1);
        }
        product(few, HIDDEN, 4 * WIDTH, x, w, y, 1);
        product(few, HIDDEN, HIDDEN, x, w, y, 1);
        product(few, OUT, HIDDEN, x, w, y, 1);
    }
}

int main(int argc, char **argv)
{
    const int threads = argc > 1 ? atoi(argv[1]) : 2;
    const uint32_t layers = argc > 2 ? (uint32_t)atoi(argv[2]) : 34, tiles = argc > 3 ? (uint32_t)atoi(argv[3]) : 1;
    const size_t floats = (size_t)TOKENS * FF, weights = (size_t)4 * WIDTH * HIDDEN;
    l4_vision v;
    fill(&v, layers);
    float *x = need(floats * sizeof *x), *y = need(2 * floats * sizeof *y), *w = need(weights * sizeof *w), *out = need((size_t)tiles * 144 * OUT * sizeof *out);
    uint8_t *pixels = need((size_t)tiles * TILE * TILE * 3);
    for (size_t i = 0; i < floats; i++)
        x[i] = l4_bf16_to_f32(small());
    for (size_t i = 0; i < weights; i++)
        w[i] = l4_bf16_to_f32(small());
    for (size_t i = 0; i < (size_t)tiles * TILE * TILE * 3; i++)
        pixels[i] = (uint8_t)(small() >> 3);
    l4_kernels kernels;
    l4_kernels_init(&kernels, l4_cpu_level(LLAMA4_CPU_AUTO));
    atomic_int cancel = 0;
    l4_pool *pool;
    if (l4_pool_create(&l4_system_allocator, threads, &cancel, &pool, NULL))
        return 1;
    const l4_vision_job job = {.allocator = &l4_system_allocator, .weights = &v, .kernels = &kernels, .pool = pool, .cancel = &cancel, .bytes = pixels, .tiles = tiles};
    openblas_set_num_threads(threads); /* this program is the host */
    double ours = 1e9, theirs = 1e9;
    for (int i = 0; i < 5; i++) {
        double start = l4_clock();
        bare(layers, tiles, x, w, y);
        double middle = l4_clock();
        if (l4_vision_encode(&job, out, NULL))
            return 1;
        double end = l4_clock();
        theirs = middle - start < theirs ? middle - start : theirs;
        ours = end - middle < ours ? end - middle : ours;
    }
    printf("%d threads, %u layers, %u tiles: libllama4 %.3f s, OpenBLAS's products alone (%s kernels) %.3f s, ratio %.3f\n", threads, (unsigned)layers,
           (unsigned)tiles, ours, openblas_get_corename(), theirs, ours / theirs);
    l4_pool_destroy(pool);
    return 0;
}
