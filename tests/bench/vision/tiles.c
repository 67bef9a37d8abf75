/* tiles FILE ROUNDS: what decoding a picture, and cutting it into tiles of 336 x 336 pixels, at most 16 and the whole, costs in one thread.
 * Prints JSON: seconds of all rounds, and the sizes that the picture takes in the tiles. */
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/thread.h"
#include "vision/tiles.h"

enum { TILE = 336, MOST_ROUNDS = 1000 };

static void print_times(const char *name, const double *times, int n)
{
    printf(", \"%s\": [", name);
    for (int i = 0; i < n; i++)
        printf("%s%.6f", i ? ", " : "", times[i]);
    printf("]");
}

int main(int argc, char **argv)
{
    static double decode[MOST_ROUNDS], cut[MOST_ROUNDS];
    const int rounds = argc == 3 ? atoi(argv[2]) : 0;
    if (rounds < 1 || rounds > MOST_ROUNDS) {
        fprintf(stderr, "usage: tiles FILE ROUNDS\n");
        return 2;
    }
    const l4_picture_options options = {.max_pixels = 1 << 27};
    llama4_error error = LLAMA4_ERROR_INIT;
    FILE *f = fopen(argv[1], "rb");
    long size = f && !fseek(f, 0, SEEK_END) ? ftell(f) : -1;
    unsigned char *data = size > 0 ? malloc((size_t)size) : NULL;
    if (!data || fseek(f, 0, SEEK_SET) || fread(data, 1, (size_t)size, f) != (size_t)size) {
        fprintf(stderr, "tiles: %s cannot be read\n", argv[1]);
        return 1;
    }
    fclose(f);
    l4_grid g = {0};
    for (int i = 0; i < rounds; i++) {
        l4_picture p;
        double start = l4_clock();
        llama4_status status = l4_picture_decode(&l4_system_allocator, data, (size_t)size, &options, argv[1], &p, &error);
        decode[i] = l4_clock() - start;
        if (status) {
            fprintf(stderr, "tiles: %s\n", error.message);
            return 1;
        }
        start = l4_clock();
        g = l4_tiles_grid(p.width, p.height, TILE, 16);
        uint8_t *tiles = malloc((size_t)l4_tiles_count(&g) * TILE * TILE * 3);
        if (!tiles || l4_tiles_cut(&l4_system_allocator, &p, &g, TILE, tiles, &error)) {
            fprintf(stderr, "tiles: out of memory\n");
            return 1;
        }
        cut[i] = l4_clock() - start;
        free(tiles);
        l4_free(&l4_system_allocator, p.rgb);
    }
    printf("{\"width\": %u, \"height\": %u, \"tiles\": %u", (unsigned)g.width, (unsigned)g.height, (unsigned)l4_tiles_count(&g));
    print_times("decode", decode, rounds);
    print_times("cut", cut, rounds);
    printf("}\n");
    free(data);
    return 0;
}
