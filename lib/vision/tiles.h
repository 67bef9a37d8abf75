/* Pictures cut into square tiles, as the reference does it. Next: vision/encoder.h. */
#ifndef L4_VISION_TILES_H
#define L4_VISION_TILES_H

#include "vision/picture.h"

#define L4_MAX_TILES 64

typedef struct l4_grid {
    uint32_t columns, rows; /* tiles */
    uint32_t width, height; /* of the picture in their top left corner */
} l4_grid;

/* The grid of at most max_tiles (1 .. L4_MAX_TILES) tiles that fits a picture best; tile: pixels a side, at most 4096. */
l4_grid l4_tiles_grid(uint32_t width, uint32_t height, uint32_t tile, uint32_t max_tiles);

/* Tiles in all: several have the whole picture, squeezed into one tile, behind them. */
static inline uint32_t l4_tiles_count(const l4_grid *g)
{
    return g->columns * g->rows + (g->columns * g->rows > 1);
}

/* Fills tiles [l4_tiles_count][tile][tile][3]. */
llama4_status l4_tiles_cut(const l4_allocator *a, const l4_picture *p, const l4_grid *g, uint32_t tile, uint8_t *tiles, llama4_error *error);

/* Pillow's bilinear filter with antialiasing, in integers: out [height][width][3], rows `stride` bytes apart. */
llama4_status l4_resize(const l4_allocator *a, const l4_picture *p, uint32_t width, uint32_t height, uint8_t *out, size_t stride, llama4_error *error);

#endif
