#include "nn/linear.h"

#define GROUP 16              /* rows that are handed out together; columns layout: 4 of these */
#define BLOCK_FLOATS (1 << 18) /* decoded rows at a time: 1 MB, to stay in the second-level cache */

typedef struct job {
    const l4_exec *exec;
    const l4_product *products;
    size_t n;
} job;

static size_t block_rows(size_t cols)
{
    size_t rows = BLOCK_FLOATS / cols / 4 * 4;
    return rows < 4 ? 4 : rows > 64 ? 64 : rows;
}

size_t l4_linear_scratch(size_t max_cols)
{
    return block_rows(max_cols) * max_cols > 64 * 64 ? block_rows(max_cols) * max_cols : 64 * 64;
}

static size_t groups(const l4_product *p)
{
    size_t rows = p->tokens ? p->w->rows : 0, group = p->w->layout == L4_COLUMNS ? 4 * GROUP : GROUP;
    return (rows + group - 1) / group;
}

static void do_rows(const l4_exec *e, const l4_product *p, size_t first, size_t last, float *scratch)
{
    const l4_kernels *k = e->kernels;
    const l4_matrix *w = p->w;
    if (p->tokens == 1) {
        for (size_t r = first; r < last; r++)
            p->y[r] = k->dot[w->type](w->data + r * w->stride, p->x, w->cols);
        return;
    }
    size_t step = block_rows(w->cols);
    for (size_t r = first; r < last; r += step) {
        size_t rows = last - r < step ? last - r : step;
        for (size_t i = 0; i < rows; i++)
            k->decode[w->type](w->data + (r + i) * w->stride, w->cols, scratch + i * w->cols);
        k->tile(scratch, w->cols, rows, p->x, p->ldx, p->tokens, w->cols, p->y + r, p->ldy);
    }
}

static void do_columns(const l4_exec *e, const l4_product *p, size_t first, size_t last)
{
    const l4_matrix *w = p->w;
    size_t element = w->type == LLAMA4_TYPE_F32 ? 4 : 2;
    for (size_t r = first; r < last; r += 64)
        for (size_t t = 0; t < p->tokens; t++)
            e->kernels->columns[w->type](w->data + r * element, w->stride, w->cols, p->x + t * p->ldx, p->y + t * p->ldy + r,
                                         last - r < 64 ? last - r : 64);
}

static void task(void *argument, size_t begin, size_t end, int worker)
{
    const job *j = argument;
    float *scratch = j->exec->scratch + (size_t)worker * j->exec->scratch_size;
    size_t start = 0;
    for (size_t i = 0; i < j->n && start < end; i++) {
        const l4_product *p = &j->products[i];
        size_t count = groups(p), from = begin > start ? begin - start : 0, to = end - start < count ? end - start : count;
        start += count;
        if (from >= to)
            continue;
        size_t group = p->w->layout == L4_COLUMNS ? 4 * GROUP : GROUP, last = to * group < p->w->rows ? to * group : p->w->rows;
        if (p->w->layout == L4_COLUMNS)
            do_columns(j->exec, p, from * group, last);
        else
            do_rows(j->exec, p, from * group, last, scratch);
    }
}

void l4_linear(const l4_exec *e, const l4_product *products, size_t n)
{
    job j = {e, products, n};
    size_t total = 0;
    double work = 0;
    for (size_t i = 0; i < n; i++) {
        total += groups(&products[i]);
        work += (double)products[i].w->rows * products[i].w->cols * (double)products[i].tokens;
    }
    l4_pool_run(e->pool, task, &j, total, l4_grain(e, total, work));
}
