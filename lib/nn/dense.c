#include "nn/dense.h"

#include "format/types.h"

#define PANELS 2   /* that meet a group of tokens together, while it is in the first-level cache */
#define COLS 1536  /* of a panel that are decoded at a time: a multiple of every type's block; both panels fit the second-level cache */
#define FEW 16     /* groups of tokens below which decoding the weights again costs too much */

typedef struct job {
    const l4_exec *exec;
    const l4_dense_source *source;
    const l4_dense_product *products;
    size_t n;
    size_t parts; /* into which the tokens are split */
} job;

/* Floats of decoded weights; behind them are those that were read. */
#define DECODED ((size_t)COLS * L4_DENSE_ROWS * (1 + PANELS))

size_t l4_dense_scratch(uint64_t stride)
{
    return DECODED + (size_t)(stride * L4_DENSE_ROWS * PANELS + sizeof(float) - 1) / sizeof(float);
}

static size_t strips(const l4_dense_product *p)
{
    return (p->w->rows + L4_DENSE_ROWS * PANELS - 1) / (L4_DENSE_ROWS * PANELS);
}

/* Columns c .. c + cols - 1 of rows at `data`, as panels. */
static void decode(const l4_exec *e, const l4_matrix *w, const uint8_t *data, size_t rows, size_t c, size_t cols, float *scratch)
{
    float *panel = scratch + COLS * L4_DENSE_ROWS;
    const size_t offset = (size_t)l4_type_row_bytes(l4_type_find(w->type), c);
    for (size_t done = 0; done < rows; done += L4_DENSE_ROWS, panel += COLS * L4_DENSE_ROWS) {
        size_t here = rows - done < L4_DENSE_ROWS ? rows - done : L4_DENSE_ROWS;
        for (size_t r = 0; r < here; r++)
            e->kernels->decode[w->type](data + (done + r) * w->stride + offset, cols, scratch + r * COLS);
        e->kernels->dense.panel(scratch, COLS, here, cols, panel);
    }
}

/* Rows of one strip with the groups first_group .. last_group - 1. */
static void do_strip(const job *j, const l4_dense_product *p, size_t strip, size_t first_group, size_t last_group, float *scratch)
{
    const l4_exec *e = j->exec;
    static const float zero[L4_DENSE_ROWS];
    const size_t first = strip * L4_DENSE_ROWS * PANELS, left = p->w->rows - first, all = p->w->cols;
    const size_t rows = left < L4_DENSE_ROWS * PANELS ? left : L4_DENSE_ROWS * PANELS;
    const uint8_t *data = p->w->data + first * p->w->stride;
    if (j->source) {
        uint8_t *read = (uint8_t *)(scratch + DECODED);
        j->source->read(j->source->user, p->w, first, rows, read);
        data = read;
    }
    for (size_t c = 0; c < all; c += COLS) {
        size_t cols = all - c < COLS ? all - c : COLS;
        decode(e, p->w, data, rows, c, cols, scratch);
        for (size_t g = first_group; g < last_group; g++) {
            size_t t = g * L4_DENSE_TOKENS, tokens = p->tokens - t < L4_DENSE_TOKENS ? p->tokens - t : L4_DENSE_TOKENS;
            const float *group = p->groups + t * all + c * L4_DENSE_TOKENS, *panel = scratch + COLS * L4_DENSE_ROWS;
            for (size_t r = 0; r < rows; r += L4_DENSE_ROWS, panel += COLS * L4_DENSE_ROWS) {
                const float *start = c ? NULL : p->bias ? p->bias + first + r : zero;
                e->kernels->dense.product(panel, group, cols, start, p->y + t * p->ldy + first + r, p->ldy,
                                          rows - r < L4_DENSE_ROWS ? rows - r : L4_DENSE_ROWS, tokens);
            }
        }
    }
}

static void task(void *argument, size_t begin, size_t end, int worker)
{
    const job *j = argument;
    float *scratch = j->exec->scratch + (size_t)worker * j->exec->scratch_size;
    for (size_t i = begin; i < end; i++) {
        size_t strip = i / j->parts, part = i % j->parts;
        const l4_dense_product *p = j->products;
        for (; strip >= strips(p); p++)
            strip -= strips(p);
        size_t groups = l4_dense_groups(p->tokens);
        do_strip(j, p, strip, groups * part / j->parts, groups * (part + 1) / j->parts, scratch);
    }
}

void l4_dense(const l4_exec *e, const l4_dense_source *source, const l4_dense_product *products, size_t n)
{
    job j = {e, source, products, n, 1};
    size_t total = 0, wanted = 4 * (size_t)l4_pool_threads(e->pool), most = SIZE_MAX;
    for (size_t i = 0; i < n; i++) {
        size_t groups = l4_dense_groups(products[i].tokens);
        total += strips(&products[i]);
        most = groups / FEW < most ? groups / FEW : most;
    }
    if (l4_pool_threads(e->pool) > 1 && total < wanted)
        j.parts = (wanted + total - 1) / total;
    if (j.parts > most)
        j.parts = most ? most : 1;
    l4_pool_run(e->pool, task, &j, total * j.parts, 1);
}
