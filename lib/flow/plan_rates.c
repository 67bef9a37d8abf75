/* How fast this machine multiplies, by the library's own products with one made-up matrix, and reads. Each measurement lasts a third of a second, and the
 * fastest piece of it counts: what slows a machine down for a moment is not the machine. */
#include <stdatomic.h>
#include <string.h>

#include "base/cpu.h"
#include "base/file.h"
#include "base/input.h"
#include "flow/plan.h"
#include "format/types.h"
#include "nn/linear.h"

#define SECONDS 0.35
#define BIG ((size_t)256 << 20) /* far larger than caches */
#define PIECES 8                /* that the big matrix is cut into */
#define TOKENS 512              /* of the prompt */
#define PROMPT_ROWS 1024        /* of the matrix that it meets */
#define READ ((size_t)1 << 20)  /* at once from the disk */
#define READERS 4
#define BYTE 0x2e               /* fills the weights: makes a plain number of every scale, in every type */

typedef struct bed {
    const l4_allocator *a;
    l4_exec exec;
    l4_kernels kernels;
    atomic_int never;
    l4_matrix matrix;
    size_t rows;     /* of a piece */
    size_t piece;    /* bytes of it */
    uint8_t *weights;
    float *x, *y;
} bed;

static llama4_status make(bed *b, uint32_t type, uint32_t cols, int threads, llama4_error *error)
{
    const l4_type_info *info = l4_type_find(type);
    cols = (cols + info->block - 1) / info->block * info->block;
    const size_t row = (size_t)l4_type_row_bytes(info, cols);
    b->rows = BIG / PIECES / row / L4_PANEL * L4_PANEL;
    b->rows = b->rows < PROMPT_ROWS ? PROMPT_ROWS : b->rows;
    b->piece = b->rows * row;
    b->matrix = (l4_matrix){.rows = (uint32_t)b->rows, .cols = cols, .type = type, .stride = row, .layout = L4_ROWS};
    if (l4_packed_can(type)) {
        b->matrix.layout = L4_PACKED;
        b->matrix.stride = l4_panel_bytes(type, cols);
    }
    l4_kernels_init(&b->kernels, l4_cpu_level(LLAMA4_CPU_AUTO));
    b->exec.kernels = &b->kernels;
    b->exec.scratch_size = (l4_linear_scratch(cols) + 15) / 16 * 16;
    const size_t outputs = (size_t)TOKENS * PROMPT_ROWS > b->rows ? (size_t)TOKENS * PROMPT_ROWS : b->rows;
    const size_t blocks = (size_t)TOKENS * ((cols + L4_QBLOCK - 1) / L4_QBLOCK);
    llama4_status status = l4_alloc(b->a, PIECES, b->piece, "a measurement", &b->weights, error);
    if (status == LLAMA4_OK)
        status = l4_alloc(b->a, (size_t)TOKENS * cols, sizeof(float), "a measurement", &b->x, error);
    if (status == LLAMA4_OK)
        status = l4_alloc(b->a, outputs, sizeof(float), "a measurement", &b->y, error);
    if (status == LLAMA4_OK)
        status = l4_alloc(b->a, blocks, sizeof(l4_xblock), "a measurement", &b->exec.quantized, error);
    if (status == LLAMA4_OK)
        status = l4_alloc(b->a, TOKENS, sizeof(float), "a measurement", &b->exec.factors, error);
    if (status == LLAMA4_OK)
        status = l4_alloc(b->a, 4, sizeof *b->exec.shares, "a measurement", &b->exec.shares, error);
    if (status == LLAMA4_OK)
        status = l4_alloc(b->a, (size_t)threads * b->exec.scratch_size, sizeof(float), "a measurement", &b->exec.scratch, error);
    if (status == LLAMA4_OK)
        status = l4_pool_create(b->a, threads, &b->never, &b->exec.pool, error);
    if (status)
        return status;
    l4_memory_large_pages(b->weights, PIECES * b->piece);
    memset(b->weights, BYTE, PIECES * b->piece);
    for (size_t i = 0; i < (size_t)TOKENS * cols; i++)
        b->x[i] = (float)((int)(i % 251) - 125) * 0.01f;
    return LLAMA4_OK;
}

static void destroy(bed *b)
{
    l4_pool_destroy(b->exec.pool);
    l4_free(b->a, b->exec.scratch);
    l4_free(b->a, b->exec.shares);
    l4_free(b->a, b->exec.factors);
    l4_free(b->a, b->exec.quantized);
    l4_free(b->a, b->y);
    l4_free(b->a, b->x);
    l4_free(b->a, b->weights);
}

/* Bytes per second of one token's products, piece after piece. */
static double measure_memory(bed *b)
{
    double best = 0, began = l4_clock(), now = began;
    for (size_t i = 0; now - began < SECONDS; i++) {
        l4_matrix m = b->matrix;
        m.data = b->weights + i % PIECES * b->piece;
        const l4_product p = {.w = &m, .x = b->x, .ldx = m.cols, .tokens = 1, .y = b->y, .ldy = m.rows};
        const double start = now;
        l4_linear(&b->exec, &p, 1);
        now = l4_clock();
        if (i > 0 && now > start && (double)b->piece / (now - start) > best) /* the first one wakes the threads */
            best = (double)b->piece / (now - start);
    }
    return best;
}

/* Operations per second of a prompt's products. */
static double measure_compute(bed *b)
{
    double best = 0, began = l4_clock(), now = began;
    l4_matrix m = b->matrix;
    m.data = b->weights;
    m.rows = PROMPT_ROWS;
    const l4_product p = {.w = &m, .x = b->x, .ldx = m.cols, .tokens = TOKENS, .y = b->y, .ldy = m.rows};
    const double work = 2.0 * m.rows * m.cols * TOKENS;
    while (now - began < SECONDS) {
        const double start = now;
        l4_linear(&b->exec, &p, 1);
        now = l4_clock();
        if (now > start && work / (now - start) > best)
            best = work / (now - start);
    }
    return best;
}

typedef struct reading {
    l4_input input;
    uint8_t *buffers;   /* READERS of READ + 3 * L4_INPUT_ALIGN bytes */
    size_t step;        /* of one read */
    uint64_t blocks, first;
    atomic_int failed;
} reading;

static void read_task(void *argument, size_t begin, size_t end, int worker)
{
    reading *r = argument;
    uint8_t *buffer = r->buffers + (size_t)worker * (READ + 3 * L4_INPUT_ALIGN);
    const uint8_t *data;
    buffer += (L4_INPUT_ALIGN - (uintptr_t)buffer % L4_INPUT_ALIGN) % L4_INPUT_ALIGN;
    for (size_t i = begin; i < end; i++)
        if (l4_input_read(&r->input, (r->first + i) % r->blocks * r->step, r->step, buffer, &data, NULL))
            atomic_store(&r->failed, 1);
}

/* Bytes per second of several reads at a time, one behind the other, from the middle of the file on; 0 if its file system does not read past the
 * system's cache. Rounds double until they are long enough. */
static llama4_status measure_disk(const l4_allocator *a, const l4_mapping *file, double *rate, llama4_error *error)
{
    reading r = {.step = file->size < READ ? file->size : READ};
    const atomic_int never = 0;
    l4_pool *pool;
    double began, seconds = 0, bytes = 0;
    r.blocks = file->size / r.step;
    r.first = r.blocks / 2;
    atomic_init(&r.failed, 0);
    llama4_status status = l4_alloc(a, READERS, READ + 3 * L4_INPUT_ALIGN, "a measurement", &r.buffers, error);
    if (status)
        return status;
    status = l4_pool_create(a, READERS, &never, &pool, error);
    if (status) {
        l4_free(a, r.buffers);
        return status;
    }
    l4_input_open(file, 0, &r.input);
    began = l4_clock();
    for (size_t n = 8; l4_input_is_direct(&r.input) && seconds < SECONDS && !atomic_load(&r.failed); n *= 2) {
        n = n > 64 ? 64 : n;
        l4_pool_run(pool, read_task, &r, n, 1);
        r.first += n;
        bytes += (double)n * (double)r.step;
        seconds = l4_clock() - began;
    }
    if (l4_input_is_direct(&r.input) && seconds > 0 && !atomic_load(&r.failed))
        *rate = bytes / seconds;
    l4_input_close(&r.input);
    l4_pool_destroy(pool);
    l4_free(a, r.buffers);
    return LLAMA4_OK;
}

llama4_status l4_plan_rates_measure(const l4_allocator *a, uint32_t type, uint32_t cols, int threads, const l4_archive *files, l4_plan_rates *rates,
                                    llama4_error *error)
{
    bed b = {.a = a};
    llama4_status status = LLAMA4_OK;
    atomic_init(&b.never, 0);
    if (rates->memory <= 0 || rates->compute <= 0) {
        status = make(&b, type, cols, threads, error);
        if (status == LLAMA4_OK && rates->memory <= 0)
            rates->memory = measure_memory(&b);
        if (status == LLAMA4_OK && rates->compute <= 0)
            rates->compute = measure_compute(&b);
        destroy(&b);
    }
    const l4_mapping *largest = NULL;
    for (size_t i = 0; files && i < files->n_files; i++)
        largest = !largest || files->files[i].size > largest->size ? &files->files[i] : largest;
    if (status == LLAMA4_OK && rates->disk <= 0 && largest && largest->size)
        status = measure_disk(a, largest, &rates->disk, error);
    return status;
}
