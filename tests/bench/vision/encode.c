/* encode THREADS LAYERS ROUNDS TILES...: what encoding so many tiles costs, and what the same products cost in bare OpenBLAS calls with the same
 * number of threads, taken in turns; OpenBLAS only for the first number. Weights are random, of the released models' shape, in bfloat16 as they
 * were released, and in a file that the system has in its cache. Prints JSON: seconds of all rounds, and the most memory that the encoder had at once. */
#include <cblas.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

/* The weights' file: without a name, and as long as it will be from the beginning on. */
static FILE *file;
static l4_mapping mapping;
static size_t written;

static void open_file(uint32_t layers)
{
    const size_t numbers = (size_t)WIDTH * 3 * PATCH * PATCH + (size_t)layers * (4 * WIDTH * WIDTH + 2 * (size_t)WIDTH * FF) +
                           (size_t)HIDDEN * (4 * WIDTH + HIDDEN + OUT);
    file = tmpfile();
    if (!file || ftruncate(fileno(file), (off_t)(2 * numbers)) || l4_map_fd(fileno(file), &mapping, NULL)) {
        fprintf(stderr, "no room for a file of %zu bytes\n", 2 * numbers);
        exit(1);
    }
}

static l4_matrix matrix(uint32_t rows, uint32_t cols)
{
    const size_t bytes = (size_t)rows * cols * 2;
    uint16_t *data = need(bytes);
    for (size_t i = 0; i < (size_t)rows * cols; i++)
        data[i] = small();
    if (fwrite(data, 1, bytes, file) != bytes || fflush(file)) {
        fprintf(stderr, "cannot write the weights' file\n");
        exit(1);
    }
    free(data);
    written += bytes;
    return (l4_matrix){mapping.data + (written - bytes), 2 * (uint64_t)cols, rows, cols, LLAMA4_TYPE_BF16, L4_ROWS};
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
    open_file(layers);
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

/* What the encoder holds, and held at most. */
typedef struct counting {
    size_t now, peak;
} counting;

enum { HEADER = 4096 };

static void *counted(void *user, size_t size, size_t alignment)
{
    counting *c = user;
    char *memory = aligned_alloc(HEADER, (size + 2 * HEADER - 1) / HEADER * HEADER);
    if (!memory || alignment > HEADER)
        return NULL;
    memcpy(memory, &size, sizeof size);
    c->now += size;
    c->peak = c->now > c->peak ? c->now : c->peak;
    return memory + HEADER;
}

static void uncounted(void *user, void *memory)
{
    counting *c = user;
    size_t size;
    memcpy(&size, (char *)memory - HEADER, sizeof size);
    c->now -= size;
    free((char *)memory - HEADER);
}

static void print_times(const char *name, const double *times, int n)
{
    printf("\"%s\": [", name);
    for (int i = 0; i < n; i++)
        printf("%s%.6f", i ? ", " : "", times[i]);
    printf("]");
}

typedef struct bench {
    l4_vision_job job;
    uint32_t layers;
    float *x, *w, *y, *out;
    counting heap;
} bench;

enum { MOST_ROUNDS = 100, MOST_SIZES = 8 };

/* One round over all sizes; 0 if it failed. */
static int run(bench *b, const int *tiles, int sizes, double (*ours)[MOST_ROUNDS], double *theirs, int round)
{
    double start = l4_clock();
    bare(b->layers, (uint32_t)tiles[0], b->x, b->w, b->y);
    theirs[round] = l4_clock() - start;
    for (int i = 0; i < sizes; i++) {
        b->job.tiles = (uint32_t)tiles[i];
        start = l4_clock();
        if (l4_vision_encode(&b->job, b->out, NULL))
            return 0;
        ours[i][round] = l4_clock() - start;
    }
    return 1;
}

int main(int argc, char **argv)
{
    const int threads = argc > 1 ? atoi(argv[1]) : 0, rounds = argc > 3 ? atoi(argv[3]) : 0, sizes = argc - 4;
    const uint32_t layers = argc > 2 ? (uint32_t)atoi(argv[2]) : 0;
    int tiles[MOST_SIZES], most = 0;
    for (int i = 0; i < sizes && i < MOST_SIZES; i++) {
        tiles[i] = atoi(argv[4 + i]);
        most = tiles[i] > most ? tiles[i] : most;
    }
    if (threads < 1 || threads > 64 || layers < 1 || layers > 1000 || rounds < 1 || rounds > MOST_ROUNDS || sizes < 1 || sizes > MOST_SIZES || most < 1 || most > 64) {
        fprintf(stderr, "usage: encode THREADS LAYERS ROUNDS TILES...\n");
        return 2;
    }
    const size_t floats = (size_t)TOKENS * FF, weights = (size_t)4 * WIDTH * HIDDEN, n_pixels = (size_t)most * TILE * TILE * 3, n_out = (size_t)most * 144 * OUT;
    static double ours[MOST_SIZES][MOST_ROUNDS], theirs[MOST_ROUNDS];
    l4_vision v;
    fill(&v, layers);
    bench b = {.layers = layers, .x = need(floats * sizeof *b.x), .y = need(2 * floats * sizeof *b.y), .w = need(weights * sizeof *b.w), .out = need(n_out * sizeof *b.out)};
    uint8_t *pixels = need(n_pixels);
    for (size_t i = 0; i < floats; i++)
        b.x[i] = l4_bf16_to_f32(small());
    for (size_t i = 0; i < weights; i++)
        b.w[i] = l4_bf16_to_f32(small());
    for (size_t i = 0; i < n_pixels; i++)
        pixels[i] = (uint8_t)(small() >> 3);
    l4_kernels kernels;
    l4_kernels_init(&kernels, l4_cpu_level(LLAMA4_CPU_AUTO));
    atomic_int cancel = 0;
    l4_pool *pool;
    const l4_allocator heap = {counted, uncounted, &b.heap};
    if (l4_pool_create(&l4_system_allocator, threads, &cancel, &pool, NULL))
        return 1;
    const l4_archive archive = {.files = &mapping, .n_files = 1};
    l4_input input;
    l4_input_open(&mapping, 1, &input);
    b.job = (l4_vision_job){.allocator = &heap, .weights = &v, .archive = &archive, .inputs = &input, .kernels = &kernels, .pool = pool, .cancel = &cancel, .bytes = pixels};
    openblas_set_num_threads(threads); /* this program is the host */
    int good = 1;
    for (int i = 0; i < rounds && good; i++)
        good = run(&b, tiles, sizes, ours, theirs, i);
    printf("{\"threads\": %d, \"layers\": %u, \"openblas_kernels\": \"%s\", ", threads, (unsigned)layers, openblas_get_corename());
    print_times("openblas", theirs, rounds);
    for (int i = 0; i < sizes; i++) {
        char name[16];
        snprintf(name, sizeof name, "%d", tiles[i]);
        printf(", ");
        print_times(name, ours[i], rounds);
    }
    printf(", \"encoder_bytes\": %zu}\n", b.heap.peak + n_pixels + n_out * sizeof *b.out);
    l4_pool_destroy(pool);
    return !good;
}
