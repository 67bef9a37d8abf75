/* Pixels from memory, limits, and tiles: what does not depend on a decoder. */
#include <stdlib.h>

#include "check.h"
#include "support.h"
#include "vision/tiles.h"

#define PICTURES LLAMA4_TESTS "/data/pictures/"

static llama4_error error = LLAMA4_ERROR_INIT;

static uint8_t over_white(unsigned v, unsigned alpha)
{
    return (uint8_t)((2 * (v * alpha + 255 * (255 - alpha)) + 255) / 510);
}

/* ---- Pixels and the handle ---- */

TEST(pixels)
{
    uint8_t rows[5 * 40];
    llama4_image *image = NULL;
    llama4_image_info info = {.struct_size = sizeof info};
    for (size_t i = 0; i < sizeof rows; i++)
        rows[i] = (uint8_t)(i * 29);
    for (uint32_t channels = 1; channels <= 4; channels++) {
        l4_picture p = {.rgb = NULL};
        if (channels == 2)
            continue;
        REQUIRE_STATUS(l4_picture_copy(&l4_system_allocator, rows, 7, 5, 40, channels, &p, &error), LLAMA4_OK, error);
        for (size_t y = 0; y < 5; y++)
            for (size_t x = 0; x < 7; x++)
                for (size_t c = 0; c < 3; c++) {
                    const uint8_t *at = rows + 40 * y + channels * x;
                    CHECK_EQ(p.rgb[(7 * y + x) * 3 + c], channels == 4 ? over_white(at[c], at[3]) : at[channels == 1 ? 0 : c]);
                }
        l4_free(&l4_system_allocator, p.rgb);
    }
    CHECK_STATUS(llama4_image_create(rows, 4 * 40 + 21, 7, 5, 40, 3, NULL, &image, &error), LLAMA4_OK, error);
    CHECK_STATUS(llama4_image_get_info(image, NULL, &info, &error), LLAMA4_OK, error);
    CHECK(info.width == 7 && info.height == 5 && info.columns == 1 && info.rows == 1 && info.tiles == 1 && info.embeddings == 144 && info.tokens == 147);
    llama4_image *same = llama4_image_ref(image);
    CHECK(same == image);
    llama4_image_release(image);
    CHECK_STATUS(llama4_image_get_info(same, NULL, &info, &error), LLAMA4_OK, error);
    llama4_image_release(same);
    image = NULL;
    CHECK_STATUS(llama4_image_create(rows, 4 * 40 + 20, 7, 5, 40, 3, NULL, &image, &error), LLAMA4_ERR_ARGUMENT, error);
    CHECK_STATUS(llama4_image_create(rows, sizeof rows, 7, 5, 20, 3, NULL, &image, &error), LLAMA4_ERR_ARGUMENT, error);
    CHECK_STATUS(llama4_image_create(rows, sizeof rows, 7, 0, 0, 3, NULL, &image, &error), LLAMA4_ERR_ARGUMENT, error);
    CHECK_STATUS(llama4_image_create(rows, sizeof rows, -7, 5, 0, 3, NULL, &image, &error), LLAMA4_ERR_ARGUMENT, error);
    CHECK_STATUS(llama4_image_create(rows, sizeof rows, 7, 5, 0, 2, NULL, &image, &error), LLAMA4_ERR_ARGUMENT, error);
    CHECK_STATUS(llama4_image_create(rows, sizeof rows, 0x7fffffff, 0x7fffffff, SIZE_MAX, 4, NULL, &image, &error), LLAMA4_ERR_ARGUMENT, error);
    CHECK(image == NULL);
}

TEST(limits)
{
    uint8_t rows[12 * 10] = {0};
    llama4_image *image = NULL;
    llama4_image_params p;
    REQUIRE_STATUS(llama4_image_params_init(&p, sizeof p), LLAMA4_OK, error);
    p.max_pixels = 119;
    CHECK_STATUS(llama4_image_create(rows, sizeof rows, 12, 10, 0, 1, &p, &image, &error), LLAMA4_ERR_UNSUPPORTED, error);
    p.max_pixels = 120;
    CHECK_STATUS(llama4_image_create(rows, sizeof rows, 12, 10, 0, 1, &p, &image, &error), LLAMA4_OK, error);
    llama4_image_release(image);
    image = NULL;
    p.max_bytes = 100;
    CHECK_STATUS(llama4_image_open(PICTURES "baseline.png", &p, &image, &error), LLAMA4_ERR_UNSUPPORTED, error);
    CHECK(strstr(error.message, "limit") != NULL);
    p = (llama4_image_params){.struct_size = sizeof p, .max_tiles = 65};
    CHECK_STATUS(llama4_image_create(rows, sizeof rows, 12, 10, 0, 1, &p, &image, &error), LLAMA4_ERR_ARGUMENT, error);
    p = (llama4_image_params){.struct_size = sizeof p, .flags = 64};
    CHECK_STATUS(llama4_image_create(rows, sizeof rows, 12, 10, 0, 1, &p, &image, &error), LLAMA4_ERR_UNSUPPORTED, error);
    CHECK_STATUS(llama4_image_open("/nowhere/at/all.png", NULL, &image, &error), LLAMA4_ERR_IO, error);
    CHECK(image == NULL);
}

/* ---- Tiles ---- */

TEST(squares_of_one_colour_stay_so)
{
    static const uint32_t sizes[][2] = {{1, 1}, {3, 2}, {700, 31}, {97, 801}, {1, 2000}, {5000, 1}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        uint32_t w = sizes[i][0], h = sizes[i][1], wrong = 0;
        l4_picture p = {w, h, malloc((size_t)w * h * 3)};
        memset(p.rgb, 201, (size_t)w * h * 3);
        l4_grid g = l4_tiles_grid(w, h, 56, 16);
        uint32_t n = l4_tiles_count(&g);
        uint8_t *tiles = malloc((size_t)n * 56 * 56 * 3);
        CHECK_STATUS(l4_tiles_cut(&l4_system_allocator, &p, &g, 56, tiles, &error), LLAMA4_OK, error);
        for (uint32_t t = 0; t < n; t++)
            for (uint32_t y = 0; y < 56; y++)
                for (uint32_t x = 0; x < 56; x++) {
                    int inside = (t + 1 == n && n > 1) || (t % g.columns * 56 + x < g.width && t / g.columns * 56 + y < g.height);
                    wrong += tiles[((t * 56 + y) * 56 + x) * 3 + 1] != (inside ? 201 : 0);
                }
        CHECK_EQ(wrong, 0);
        free(tiles);
        free(p.rgb);
    }
}

/* One row and one column: the filter in double, by its definition. */
TEST(resizing_is_a_triangle)
{
    static const uint32_t pairs[][2] = {{10, 3}, {3, 10}, {100, 99}, {7, 7}, {1000, 56}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        const uint32_t in = pairs[i][0], out = pairs[i][1];
        uint8_t *row = malloc(in * 3), *got = malloc(out * 3), *down = malloc(out * 3);
        for (uint32_t k = 0; k < in * 3; k++)
            row[k] = (uint8_t)(k * k * 7 + k);
        const l4_picture across = {in, 1, row}, tall = {1, in, row};
        CHECK_STATUS(l4_resize(&l4_system_allocator, &across, out, 1, got, out * 3, &error), LLAMA4_OK, error);
        CHECK_STATUS(l4_resize(&l4_system_allocator, &tall, 1, out, down, 3, &error), LLAMA4_OK, error);
        CHECK_MEM(got, down, out * 3);
        double scale = (double)in / out, support = scale > 1 ? scale : 1;
        for (uint32_t o = 0; o < out; o++) {
            double sum = 0, total = 0, center = (o + 0.5) * scale;
            for (uint32_t k = 0; k < in; k++) {
                double d = (k + 0.5 - center) / support, weight = d < 0 ? 1 + d : 1 - d;
                sum += weight > 0 ? weight * row[3 * k] : 0;
                total += weight > 0 ? weight : 0;
            }
            double off = sum / total - got[3 * o];
            CHECK(off > -0.51 && off < 0.51);
        }
        free(row);
        free(got);
        free(down);
    }
}

TEST_MAIN(T(pixels), T(limits), T(squares_of_one_colour_stay_so), T(resizing_is_a_triangle))
