#include "nn/linear.h"

#include <string.h>

#include "base/compiler.h"

/* Threads take pieces of about equal work: a prompt's tokens all meet the shared expert, but few meet each of the others. Work is counted in weights:
 * one token's product takes the time of reading them, and so many more tokens as long again. */
#define PIECES 32             /* for each thread, if they are */
#define LEAST_WORK 5e5        /* then: some 25 microseconds */
#define MOST_WORK 2e8         /* and some ten milliseconds, for between pieces a call can be cancelled */
#define TOKENS_PER_READING 8  /* with VNNI about 10, with AVX2 alone 3 */
#define LEAST_ROWS 64         /* with more than one group of tokens: all activations pass by for each piece */
#define LEAST_TOKENS 64       /* rows are decoded for each piece */
#define ROWS_ARRIVING 256     /* at most, of a matrix that is on its way */
#define UNIT 16               /* rows: pieces are so many, or a multiple that suits the layout, times some number */
#define BLOCK_FLOATS (1 << 18) /* decoded rows at a time: 1 MB, to stay in the second-level cache */

/* Products of more than one group of tokens: a few columns of two panels are spread into tiles, which stay in the first-level cache while all
 * tokens meet them; the tokens' same columns stay in the second-level cache while more panels come. Sums are kept meanwhile. */
#define COLUMNS 8              /* tiles of each panel at a time; a multiple of 8 */
#define PAIR 2                 /* panels */
#define MOST_PAIRS 4           /* whose sums are kept together, fewer the more groups there are */
#define MOST_GROUPS 32         /* of tokens */
#define PAIRS_GROUPS 128       /* pairs times groups: 256 kB of sums */
#define PAIR_SUMS (PAIR * L4_GROUP * L4_PANEL)
#define STORES_AHEAD 8         /* tokens */

typedef struct job {
    const l4_exec *exec;
    const l4_product *products;
    size_t n;
    l4_units units; /* of the activations that are quantised now */
} job;

static size_t block_rows(size_t cols)
{
    size_t rows = BLOCK_FLOATS / cols / 4 * 4;
    return rows < 4 ? 4 : rows > 64 ? 64 : rows;
}

size_t l4_linear_scratch(size_t max_cols)
{
    const size_t tiles = PAIR * COLUMNS * sizeof(l4_tile) / sizeof(float) + PAIRS_GROUPS * PAIR_SUMS;
    size_t floats = block_rows(max_cols) * max_cols;
    floats = floats > 64 * 64 ? floats : 64 * 64;
    floats = floats > tiles ? floats : tiles;
    return (floats + 15) / 16 * 16;
}

static size_t unit_rows(const l4_product *p)
{
    return p->w->layout == L4_COLUMNS ? 4 * UNIT : p->w->layout == L4_PACKED ? 2 * L4_PANEL : UNIT;
}

static double work_of(const l4_matrix *w, size_t tokens)
{
    return tokens ? (double)w->rows * w->cols * (1 + (double)(tokens - 1) / TOKENS_PER_READING) : 0;
}

static size_t row_pieces(const l4_product *p, const l4_share *share)
{
    return (p->w->rows + share->rows - 1) / share->rows;
}

static size_t units(size_t n, size_t unit) /* a whole number of them, at least one */
{
    return n > unit ? (n + unit - 1) / unit * unit : unit;
}

/* Tokens that packed rows meet at once. When those of a piece were more, threads read all activations again for each few rows, and from memory. */
static size_t most_tokens(const l4_product *p)
{
    return p->w->layout == L4_PACKED && p->tokens > MOST_GROUPS * L4_GROUP ? MOST_GROUPS * L4_GROUP : p->tokens;
}

/* Pieces of about so much work: some rows and all tokens, unless a few rows are too much; packed matrices have more rows than that. */
static void cut(const l4_product *p, double work, l4_share *share)
{
    const size_t most = p->arriving && p->w->rows > ROWS_ARRIVING ? ROWS_ARRIVING : p->w->rows;
    share->tokens = most_tokens(p);
    const double all = work_of(p->w, share->tokens), fair = p->w->rows * (all > work ? work / all : 1);
    const size_t rows = p->tokens > L4_GROUP && fair < LEAST_ROWS ? LEAST_ROWS : (size_t)fair;
    share->rows = units(rows < most ? rows : most, unit_rows(p));
    if (p->w->layout != L4_PACKED && (double)share->rows > fair)
        share->tokens = units((size_t)((double)p->tokens * fair / (double)share->rows), LEAST_TOKENS);
    share->pieces = p->tokens ? row_pieces(p, share) * ((p->tokens + share->tokens - 1) / share->tokens) : 0;
}

size_t l4_linear_share(const l4_product *products, size_t n, int threads, l4_share *shares, size_t *grain)
{
    double work = 0;
    size_t all = 0;
    for (size_t i = 0; i < n; i++)
        work += work_of(products[i].w, products[i].tokens);
    const double equal = work / (PIECES * threads), most = equal < MOST_WORK ? equal : MOST_WORK;
    for (size_t i = 0; i < n; i++) {
        cut(&products[i], most > LEAST_WORK ? most : LEAST_WORK, &shares[i]);
        all += shares[i].pieces;
    }
    *grain = work < L4_SMALL_WORK ? all : 1;
    return all;
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

/* Rows of a packed matrix times at most MOST_GROUPS groups of tokens. */
typedef struct tiling {
    const l4_kernels *k;
    const l4_product *p;
    const l4_xblock *x;
    const float *factors;
    size_t blocks, block_bytes, groups;
    l4_tile *tiles;
    float *sums; /* PAIR_SUMS of each pair's first group, second group, ... */
} tiling;

static const uint8_t *columns_of(const tiling *j, size_t panel, size_t column)
{
    return j->p->w->data + panel * j->p->w->stride + column * j->block_bytes;
}

/* Columns `column` .. `column` + n - 1, in blocks, of some panels at `panel` times all tokens. Asks for those of two panels at `next` meanwhile. */
static void add_tiles(const tiling *j, size_t panel, size_t panels, size_t column, size_t n, const uint8_t *next, float *sums)
{
    const uint32_t type = j->p->w->type;
    const l4_tile_kind kind = l4_packed_kind(type);
    for (size_t i = 0; i < panels; i++)
        j->k->unpack[type](columns_of(j, panel + i, column), n, j->tiles + i * n);
    const l4_soon soon = {next, j->p->w->stride, n * j->block_bytes / 64 + 1};
    for (size_t g = 0; g < j->groups; g++) {
        const size_t t = g * L4_GROUP, group = l4_x_group(j->p->tokens, t);
        j->k->tiles(kind, j->tiles, panels, n, j->x + t * j->blocks + column * group, group, next && g == 0 ? &soon : NULL, sums + g * PAIR_SUMS);
    }
}

/* Rows row .. end - 1 of all tokens; a token's lie together in y, so they are written together. From token to token memory is far away, which no
 * processor foresees. */
static void store_sums(const tiling *j, size_t row, size_t end)
{
    const l4_product *p = j->p;
    for (size_t t = 0; t < p->tokens; t++) {
        const float *from = j->sums + t / L4_GROUP * PAIR_SUMS + t % L4_GROUP * L4_PANEL;
        float *to = p->y + t * p->ldy + row;
        const float factor = j->factors[t];
        size_t left = end - row;
        for (size_t i = 0; i < left && t + STORES_AHEAD < p->tokens; i += L4_PANEL)
            L4_ASK_TO_WRITE(to + STORES_AHEAD * p->ldy + i);
        for (size_t i = 0; left; i++, to += L4_PANEL) {
            const float *panel = from + i / PAIR * j->groups * PAIR_SUMS + i % PAIR * L4_GROUP * L4_PANEL;
            if (left < L4_PANEL) {
                for (size_t r = 0; r < left; r++)
                    to[r] = panel[r] * factor;
                break;
            }
            for (size_t r = 0; r < L4_PANEL; r++)
                to[r] = panel[r] * factor;
            left -= L4_PANEL;
        }
    }
}

static void do_tiles(const tiling *j, size_t first, size_t last)
{
    size_t most = PAIRS_GROUPS / j->groups < MOST_PAIRS ? PAIRS_GROUPS / j->groups : MOST_PAIRS;
    for (size_t r = first, end; r < last; r = end) {
        end = last - r < most * PAIR * L4_PANEL ? last : r + most * PAIR * L4_PANEL;
        const size_t begin = r / L4_PANEL, stop = (end + L4_PANEL - 1) / L4_PANEL, all = (last + L4_PANEL - 1) / L4_PANEL;
        memset(j->sums, 0, (stop - begin + 1) / PAIR * j->groups * PAIR_SUMS * sizeof *j->sums);
        for (size_t c = 0; c < j->blocks; c += COLUMNS) {
            const size_t n = j->blocks - c < COLUMNS ? j->blocks - c : COLUMNS;
            for (size_t q = begin; q < stop; q += PAIR) {
                size_t next = q + PAIR < stop ? q + PAIR : c + n < j->blocks ? begin : stop, column = q + PAIR < stop ? c : c + n < j->blocks ? c + n : 0;
                add_tiles(j, q, stop - q < PAIR ? 1 : PAIR, c, n, next + PAIR <= all ? columns_of(j, next, column) : NULL,
                          j->sums + (q - begin) / PAIR * j->groups * PAIR_SUMS);
            }
        }
        store_sums(j, r, end);
    }
}

static void do_panels(const l4_exec *e, const l4_product *p, const l4_xblock *x, const float *factors, size_t first, size_t last, float *scratch)
{
    const l4_matrix *w = p->w;
    const size_t blocks = w->cols / L4_QBLOCK, groups = (p->tokens + L4_GROUP - 1) / L4_GROUP;
    if (groups == 1) {
        for (size_t r = first; r < last; r += L4_PANEL)
            e->kernels->panel[w->type](w->data + r / L4_PANEL * w->stride, blocks, x, p->tokens, last - r < L4_PANEL ? last - r : L4_PANEL, factors,
                                       p->y + r, p->ldy);
        return;
    }
    const tiling j = {e->kernels, p, x, factors, blocks, w->stride / blocks, groups, (l4_tile *)(void *)scratch,
                      scratch + PAIR * COLUMNS * sizeof(l4_tile) / sizeof *scratch};
    do_tiles(&j, first, last);
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

static l4_units units_of(const l4_product *p)
{
    return p->w->layout == L4_PACKED ? l4_packed_units(p->w->type) : L4_UNITS_POWERS; /* or none */
}

static void do_piece(const job *j, size_t piece, float *scratch)
{
    const l4_product *p = j->products;
    const l4_share *share = j->exec->shares;
    for (; piece >= share->pieces; p++, share++)
        piece -= share->pieces;
    if (units_of(p) != j->units)
        return;
    const size_t first = piece % row_pieces(p, share) * share->rows, last = p->w->rows - first < share->rows ? p->w->rows : first + share->rows;
    const size_t t = piece / row_pieces(p, share) * share->tokens;
    const l4_product part = {p->w, p->x + t * p->ldx, p->ldx, p->tokens - t < share->tokens ? p->tokens - t : share->tokens, p->y + t * p->ldy, p->ldy, NULL};
    if (p->arriving && !l4_arrival_wait(p->arriving, p->w, last))
        return;
    if (p->w->layout == L4_PACKED)
        do_panels(j->exec, &part, l4_x_at(j->exec->quantized + share->first_block, p->w->cols / L4_QBLOCK, t), j->exec->factors + share->first_factor + t, first,
                  last, scratch);
    else if (p->w->layout == L4_COLUMNS)
        do_columns(j->exec, &part, first, last);
    else
        do_rows(j->exec, &part, first, last, scratch);
}

static void task(void *argument, size_t begin, size_t end, int worker)
{
    const job *j = argument;
    for (size_t i = begin; i < end; i++)
        do_piece(j, i, j->exec->scratch + (size_t)worker * j->exec->scratch_size);
}

static void quantize_task(void *argument, size_t begin, size_t end, int worker)
{
    const job *j = argument;
    const l4_exec *e = j->exec;
    float (*const kernel)(const float *, size_t, l4_xblock *, size_t) = e->kernels->quantize[j->units];
    size_t done = 0, next = 0; /* rows handed out, and where the next distinct input begins in memory */
    (void)worker;
    for (size_t i = 0; i < j->n && done < end; i++) {
        const l4_product *p = &j->products[i];
        const size_t blocks = p->w->cols / L4_QBLOCK;
        if (p->w->layout != L4_PACKED || units_of(p) != j->units || e->shares[i].first_factor != done)
            continue;
        for (size_t t = begin > done ? begin - done : 0; t < p->tokens && done + t < end; t++)
            e->factors[done + t] = kernel(p->x + t * p->ldx, blocks, l4_x_at(e->quantized + next, blocks, t), l4_x_group(p->tokens, t));
        done += p->tokens;
        next += p->tokens * blocks;
    }
}

/* Inputs of packed matrices become int8, each distinct one once: products that share an input follow each other. */
static void quantize(job *j)
{
    const l4_exec *e = j->exec;
    const l4_product *last = NULL;
    size_t rows = 0, blocks = 0;
    double work = 0;
    for (size_t i = 0; i < j->n; i++) {
        const l4_product *p = &j->products[i];
        if (p->w->layout != L4_PACKED || units_of(p) != j->units)
            continue;
        const size_t more = p->tokens * (p->w->cols / L4_QBLOCK);
        const int same = last && last->x == p->x && last->tokens == p->tokens && last->w->cols == p->w->cols;
        e->shares[i].first_block = same ? blocks - more : blocks;
        e->shares[i].first_factor = same ? rows - p->tokens : rows;
        if (same)
            continue;
        last = p;
        rows += p->tokens;
        blocks += more;
        work += 2.0 * (double)p->tokens * p->w->cols;
    }
    l4_pool_run(e->pool, quantize_task, j, rows, l4_grain(e, rows, work));
}

/* Where matrices want activations in different units, first come those of one kind: they share the memory. */
void l4_linear(const l4_exec *e, const l4_product *products, size_t n)
{
    int wanted[L4_UNITS_KINDS] = {0};
    size_t grain, pieces = l4_linear_share(products, n, l4_pool_threads(e->pool), e->shares, &grain);
    for (size_t i = 0; i < n; i++)
        wanted[units_of(&products[i])] |= products[i].tokens > 0;
    for (int units = 0; units < L4_UNITS_KINDS; units++)
        if (wanted[units]) {
            job j = {e, products, n, (l4_units)units};
            quantize(&j);
            l4_pool_run(e->pool, task, &j, pieces, grain);
        }
}
