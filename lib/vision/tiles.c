#include "vision/tiles.h"

#include <string.h>

/* ---- Which tiles ---- */

/* All numbers are small enough that float32 is what the reference computes with; it divides in float32, and so do we. */
static float fit(uint32_t width, uint32_t height, uint32_t columns, uint32_t rows, uint32_t tile)
{
    float x = (float)(columns * tile) / (float)width, y = (float)(rows * tile) / (float)height;
    return x < y ? x : y;
}

/* The smallest factor that does not shrink the picture, or else the largest one; among equals the smallest canvas. */
static void choose_canvas(uint32_t width, uint32_t height, uint32_t tile, uint32_t max_tiles, l4_grid *g)
{
    float best = 0;
    for (uint32_t columns = 1; columns <= max_tiles; columns++)
        for (uint32_t rows = 1; columns * rows <= max_tiles; rows++) {
            float factor = fit(width, height, columns, rows, tile);
            int better = best >= 1 ? factor >= 1 && factor < best : factor > best;
            if (better || (factor == best && columns * rows < g->columns * g->rows)) {
                best = factor;
                g->columns = columns;
                g->rows = rows;
            }
        }
}

static uint32_t clamp(uint32_t x, uint32_t low, uint32_t high)
{
    x = x > low ? x : low;
    return x < high ? x : high;
}

static uint32_t at_least_one(double x, uint32_t most)
{
    uint32_t n = x < (double)most ? (uint32_t)x : most;
    return n ? n : 1;
}

l4_grid l4_tiles_grid(uint32_t width, uint32_t height, uint32_t tile, uint32_t max_tiles)
{
    l4_grid g = {0};
    choose_canvas(width, height, tile, max_tiles, &g);
    /* Never larger than the original, except up to one tile. In double, and rounded down, as the reference. */
    uint32_t wide = clamp(width, tile, g.columns * tile), high = clamp(height, tile, g.rows * tile);
    double x = (double)wide / width, y = (double)high / height;
    if (x < y) {
        g.width = wide;
        g.height = at_least_one((double)height * x, high);
    } else {
        g.width = at_least_one((double)width * y, wide);
        g.height = high;
    }
    return g;
}

/* ---- Resizing ---- */

#define BITS 22 /* of a weight's fraction */

typedef struct filter {
    uint32_t *first, *count; /* [out]: the inputs that an output depends on */
    int32_t *weights;        /* [out][width] */
    size_t width;
} filter;

static double triangle(double x)
{
    x = x < 0 ? -x : x;
    return x < 1 ? 1 - x : 0;
}

static void fill_filter(filter *f, uint32_t in, uint32_t out, double scale, double support)
{
    const double shrink = 1.0 / support;
    for (uint32_t i = 0; i < out; i++) {
        double center = ((double)i + 0.5) * scale, low = center - support + 0.5, high = center + support + 0.5, sum = 0;
        uint32_t first = low > 0 ? (uint32_t)low : 0, end = high < (double)in ? (uint32_t)high : in;
        int32_t *w = f->weights + i * f->width;
        for (uint32_t k = first; k < end; k++)
            sum += triangle(((double)k - center + 0.5) * shrink);
        for (uint32_t k = first; k < end; k++) {
            double weight = triangle(((double)k - center + 0.5) * shrink);
            w[k - first] = (int32_t)((sum != 0 ? weight / sum : weight) * (1 << BITS) + 0.5);
        }
        f->first[i] = first;
        f->count[i] = end - first;
    }
}

static llama4_status make_filter(const l4_allocator *a, uint32_t in, uint32_t out, filter *f, llama4_error *error)
{
    double scale = (double)in / out, support = scale > 1 ? scale : 1;
    f->width = 2 * ((size_t)support + 1) + 1;
    llama4_status status = l4_alloc(a, out, sizeof *f->first, "a filter", &f->first, error);
    if (status == LLAMA4_OK)
        status = l4_alloc(a, out, sizeof *f->count, "a filter", &f->count, error);
    if (status == LLAMA4_OK)
        status = l4_alloc(a, out * f->width, sizeof *f->weights, "a filter", &f->weights, error);
    if (status == LLAMA4_OK)
        fill_filter(f, in, out, scale, support);
    return status;
}

static void free_filter(const l4_allocator *a, filter *f)
{
    l4_free(a, f->first);
    l4_free(a, f->count);
    l4_free(a, f->weights);
}

static inline uint8_t to_byte(int32_t sum)
{
    sum >>= BITS;
    return (uint8_t)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
}

/* One row: the horizontal pass. */
static void resize_row(const filter *f, const uint8_t *in, uint32_t out_width, uint8_t *out)
{
    for (uint32_t x = 0; x < out_width; x++, out += 3) {
        const uint8_t *p = in + (size_t)f->first[x] * 3;
        const int32_t *w = f->weights + x * f->width;
        int32_t r = 1 << (BITS - 1), g = r, b = r;
        for (uint32_t k = 0; k < f->count[x]; k++, p += 3) {
            r += p[0] * w[k];
            g += p[1] * w[k];
            b += p[2] * w[k];
        }
        out[0] = to_byte(r);
        out[1] = to_byte(g);
        out[2] = to_byte(b);
    }
}

static void add_row(const uint8_t *restrict row, int32_t weight, size_t n, int32_t *restrict sum)
{
    for (size_t i = 0; i < n; i++)
        sum[i] += row[i] * weight;
}

/* The vertical pass: rows come in from top to bottom, each is added to the outputs that depend on it. `sums` has room for the rows that are open
 * at the same time. */
typedef struct vertical {
    const filter *f;
    uint32_t out_height, first, next; /* outputs first .. next - 1 are open */
    int32_t *sums;                    /* [depth][n] */
    uint32_t depth;
    size_t n;
} vertical;

static void add_to_open(vertical *v, uint32_t y, const uint8_t *row, uint8_t *out, size_t stride)
{
    for (; v->next < v->out_height && v->f->first[v->next] <= y; v->next++) {
        int32_t *sum = v->sums + v->next % v->depth * v->n;
        for (size_t i = 0; i < v->n; i++)
            sum[i] = 1 << (BITS - 1);
    }
    for (uint32_t o = v->first; o < v->next; o++)
        if (y < v->f->first[o] + v->f->count[o])
            add_row(row, v->f->weights[o * v->f->width + (y - v->f->first[o])], v->n, v->sums + o % v->depth * v->n);
    for (; v->first < v->next && y + 1 >= v->f->first[v->first] + v->f->count[v->first]; v->first++) {
        const int32_t *sum = v->sums + v->first % v->depth * v->n;
        uint8_t *to = out + v->first * stride;
        for (size_t i = 0; i < v->n; i++)
            to[i] = to_byte(sum[i]);
    }
}

/* How many outputs may depend on one input. */
static uint32_t depth_of(const filter *f, uint32_t out)
{
    uint32_t most = 1;
    for (uint32_t o = 0, last = 0; o < out; o++) {
        while (last < out && f->first[last] < f->first[o] + f->count[o])
            last++;
        most = last - o > most ? last - o : most;
    }
    return most;
}

llama4_status l4_resize(const l4_allocator *a, const l4_picture *p, uint32_t width, uint32_t height, uint8_t *out, size_t stride, llama4_error *error)
{
    filter across = {0}, down = {0};
    vertical v = {.f = &down, .out_height = height, .n = (size_t)width * 3};
    uint8_t *narrow = NULL;
    llama4_status status = LLAMA4_OK;
    if (width != p->width) {
        status = make_filter(a, p->width, width, &across, error);
        if (status == LLAMA4_OK)
            status = l4_alloc(a, width, 3, "a row of a picture", &narrow, error);
    }
    if (status == LLAMA4_OK && height != p->height) {
        status = make_filter(a, p->height, height, &down, error);
        if (status == LLAMA4_OK) {
            v.depth = depth_of(&down, height);
            status = l4_alloc(a, v.depth * v.n, sizeof *v.sums, "rows of a picture", &v.sums, error);
        }
    }
    for (uint32_t y = 0; status == LLAMA4_OK && y < p->height; y++) {
        const uint8_t *row = p->rgb + (size_t)y * p->width * 3;
        if (narrow) {
            resize_row(&across, row, width, narrow);
            row = narrow;
        }
        if (v.sums)
            add_to_open(&v, y, row, out, stride);
        else
            memcpy(out + y * stride, row, v.n);
    }
    free_filter(a, &across);
    free_filter(a, &down);
    l4_free(a, narrow);
    l4_free(a, v.sums);
    return status;
}

/* ---- Cutting ---- */

llama4_status l4_tiles_cut(const l4_allocator *a, const l4_picture *p, const l4_grid *g, uint32_t tile, uint8_t *tiles, llama4_error *error)
{
    const size_t side = (size_t)tile * 3, bytes = side * tile, canvas = side * g->columns;
    const uint32_t count = l4_tiles_count(g);
    if (count == 1) {
        memset(tiles, 0, bytes);
        return l4_resize(a, p, g->width, g->height, tiles, side, error);
    }
    uint8_t *whole;
    llama4_status status = l4_alloc_zero(a, canvas * g->rows, tile, "a canvas", &whole, error);
    if (status)
        return status;
    status = l4_resize(a, p, g->width, g->height, whole, canvas, error);
    for (uint32_t i = 0; status == LLAMA4_OK && i + 1 < count; i++)
        for (uint32_t y = 0; y < tile; y++)
            memcpy(tiles + i * bytes + y * side, whole + ((size_t)(i / g->columns) * tile + y) * canvas + i % g->columns * side, side);
    l4_free(a, whole);
    return status ? status : l4_resize(a, p, tile, tile, tiles + (count - 1) * bytes, side, error);
}
