#include "nn/linear.h"

#define GROUP 16              /* rows that are handed out together: so many, or a multiple that suits the layout */
#define BLOCK_FLOATS (1 << 18) /* decoded rows at a time: 1 MB, to stay in the second-level cache */

#define PANELS 4              /* at most so many are spread into tiles together; each group of tokens then meets all of them */
#define TILE_BYTES (480 << 10) /* and at most so much: they shall stay in the second-level cache with a group of tokens */

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

static size_t tiled_panels(size_t cols)
{
    size_t panels = TILE_BYTES / (cols / L4_QBLOCK * sizeof(l4_tile));
    return panels < 1 ? 1 : panels > PANELS ? PANELS : panels < 2 ? 1 : panels / 2 * 2;
}

size_t l4_linear_scratch(size_t max_cols)
{
    const size_t blocks = (max_cols + L4_QBLOCK - 1) / L4_QBLOCK;
    size_t floats = block_rows(max_cols) * max_cols, tiles = blocks * sizeof(l4_tile) > TILE_BYTES ? blocks * sizeof(l4_tile) : TILE_BYTES;
    floats = floats > 64 * 64 ? floats : 64 * 64;
    floats = floats > tiles / sizeof(float) ? floats : tiles / sizeof(float);
    return (floats + 15) / 16 * 16;
}

static size_t group_rows(const l4_product *p)
{
    return p->w->layout == L4_COLUMNS ? 4 * GROUP : p->w->layout == L4_PACKED ? 2 * L4_PANEL : GROUP;
}

static size_t groups(const l4_product *p)
{
    size_t rows = p->tokens ? p->w->rows : 0, group = group_rows(p);
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

static void do_panels(const l4_exec *e, const l4_product *p, const l4_xblock *x, size_t first, size_t last, l4_tile *tiles)
{
    const l4_matrix *w = p->w;
    const l4_kernels *k = e->kernels;
    const l4_tile_kind kind = l4_packed_kind(w->type);
    const size_t blocks = w->cols / L4_QBLOCK, groups = (p->tokens + L4_GROUP - 1) / L4_GROUP, step = tiled_panels(w->cols) * L4_PANEL;
    if (groups == 1) {
        for (size_t r = first; r < last; r += L4_PANEL)
            k->panel[w->type](w->data + r / L4_PANEL * w->stride, blocks, x, p->tokens, last - r < L4_PANEL ? last - r : L4_PANEL, p->y + r, p->ldy);
        return;
    }
    for (size_t r = first; r < last; r += step) {
        size_t end = last - r < step ? last : r + step, panels = (end - r + L4_PANEL - 1) / L4_PANEL;
        for (size_t i = 0; i < panels; i++)
            k->unpack[w->type](w->data + (r / L4_PANEL + i) * w->stride, blocks, tiles + i * blocks);
        /* Each call also asks for a part of the panels that come next. */
        const size_t left = (last - end + L4_PANEL - 1) / L4_PANEL, soon = (left < panels ? left : panels) * w->stride / groups;
        const uint8_t *next = w->data + (end + L4_PANEL - 1) / L4_PANEL * w->stride;
        for (size_t g = 0; g < groups; g++, next += soon) {
            const size_t t = g * L4_GROUP;
            k->tiles(kind, tiles, blocks, x + t * blocks, l4_x_group(p->tokens, t), end - r, next, soon, p->y + t * p->ldy + r, p->ldy);
        }
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
        size_t group = group_rows(p), last = to * group < p->w->rows ? to * group : p->w->rows;
        if (p->w->layout == L4_PACKED)
            do_panels(j->exec, p, j->exec->quantized + j->exec->first_block[i], from * group, last, (l4_tile *)(void *)scratch);
        else if (p->w->layout == L4_COLUMNS)
            do_columns(j->exec, p, from * group, last);
        else
            do_rows(j->exec, p, from * group, last, scratch);
    }
}

static void quantize_task(void *argument, size_t begin, size_t end, int worker)
{
    const job *j = argument;
    const l4_exec *e = j->exec;
    size_t done = 0, next = 0; /* rows handed out, and where the next distinct input begins in memory */
    (void)worker;
    for (size_t i = 0; i < j->n && done < end; i++) {
        const l4_product *p = &j->products[i];
        const size_t blocks = p->w->cols / L4_QBLOCK;
        if (p->w->layout != L4_PACKED || e->first_block[i] != next)
            continue;
        for (size_t t = begin > done ? begin - done : 0; t < p->tokens && done + t < end; t++)
            e->kernels->quantize(p->x + t * p->ldx, blocks, l4_x_at(e->quantized + next, blocks, t), l4_x_group(p->tokens, t));
        done += p->tokens;
        next += p->tokens * blocks;
    }
}

/* Inputs of packed matrices become int8, each distinct one once: products that share an input follow each other. */
static void quantize(const l4_exec *e, const l4_product *products, size_t n)
{
    job j = {e, products, n};
    const l4_product *last = NULL;
    size_t rows = 0, blocks = 0;
    double work = 0;
    for (size_t i = 0; i < n; i++) {
        const l4_product *p = &products[i];
        if (p->w->layout != L4_PACKED)
            continue;
        const size_t more = p->tokens * (p->w->cols / L4_QBLOCK);
        const int same = last && last->x == p->x && last->tokens == p->tokens && last->w->cols == p->w->cols;
        e->first_block[i] = same ? blocks - more : blocks;
        if (same)
            continue;
        last = p;
        rows += p->tokens;
        blocks += more;
        work += 2.0 * (double)p->tokens * p->w->cols;
    }
    l4_pool_run(e->pool, quantize_task, &j, rows, l4_grain(e, rows, work));
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
    quantize(e, products, n);
    l4_pool_run(e->pool, task, &j, total, l4_grain(e, total, work));
}
