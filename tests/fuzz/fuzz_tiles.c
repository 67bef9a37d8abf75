/* A picture of any shape, cut into tiles of any size. The input: width and height (two bytes each, little-endian), tile and max_tiles (a byte
 * each), then bytes that the pixels are made of. */
#include <string.h>

#include "fuzz_picture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 6)
        return 0;
    const uint32_t width = 1 + (data[0] | (uint32_t)data[1] << 8), height = 1 + (data[2] | (uint32_t)data[3] << 8);
    const uint32_t tile = 1 + data[4] % 64, max_tiles = 1 + data[5] % L4_MAX_TILES;
    const l4_grid g = l4_tiles_grid(width, height, tile, max_tiles);
    const uint64_t n = l4_tiles_count(&g);
    HOLDS(g.columns >= 1 && g.rows >= 1 && g.columns * g.rows <= max_tiles && n == g.columns * g.rows + (g.columns * g.rows > 1));
    HOLDS(g.width >= 1 && g.height >= 1 && g.width <= g.columns * tile && g.height <= g.rows * tile);
    /* never enlarged but up to one tile */
    HOLDS(g.width <= (width > tile ? width : tile) && g.height <= (height > tile ? height : tile));
    if ((uint64_t)width * height > MOST_PIXELS / 8)
        return 0;
    meter m = {0};
    l4_allocator a = {meter_allocate, meter_release, &m};
    llama4_error error = LLAMA4_ERROR_INIT;
    const size_t side = (size_t)tile * 3;
    l4_picture p = {width, height, malloc((size_t)width * height * 3)};
    uint8_t *tiles = malloc(n * side * tile), low = 255, high = 0;
    HOLDS(p.rgb && tiles);
    for (size_t i = 0; i < (size_t)width * height * 3; i++) {
        p.rgb[i] = size > 6 ? data[6 + i % (size - 6)] : 7;
        low = p.rgb[i] < low ? p.rgb[i] : low;
        high = p.rgb[i] > high ? p.rgb[i] : high;
    }
    memset(tiles, 0xee, n * side * tile);
    HOLDS(l4_tiles_cut(&a, &p, &g, tile, tiles, &error) == LLAMA4_OK);
    /* Inside the picture nothing lies outside the range of its colours, by more than rounding; outside it is black. */
    for (size_t i = 0; i < n * side * tile; i++) {
        size_t t = i / (side * tile), y = i / side % tile, x = i % side / 3;
        int inside = (n > 1 && t + 1 == n) || (t % g.columns * tile + x < g.width && t / g.columns * tile + y < g.height);
        HOLDS(inside ? tiles[i] + 2 >= low && tiles[i] <= high + 2 : tiles[i] == 0);
    }
    HOLDS(m.live == 0);
    free(p.rgb);
    free(tiles);
    return 0;
}
