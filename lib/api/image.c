/* The public functions of llama4_image: argument checks and defaults, then flow/image.c. */
#include <string.h>

#include "base/floats.h"
#include "flow/image.h"

#define MAX_PIXELS ((int64_t)1 << 27)
#define MAX_BYTES ((int64_t)1 << 28)

static llama4_status missing(llama4_error *error, const char *name)
{
    return l4_fail(error, LLAMA4_ERR_ARGUMENT, "%s is NULL", name);
}

llama4_status llama4_image_params_init(llama4_image_params *params, size_t size)
{
    if (!params || size < sizeof *params || size > UINT32_MAX)
        return LLAMA4_ERR_ARGUMENT;
    memset(params, 0, size);
    params->struct_size = (uint32_t)size;
    return LLAMA4_OK;
}

/* A complete copy of the caller's params, and the allocator that they name. */
static llama4_status complete(const llama4_image_params *params, llama4_image_params *p, l4_allocator *a, llama4_error *error)
{
    llama4_status status = l4_read_struct(p, params, sizeof *p, sizeof *p, "llama4_image_params", error);
    if (status)
        return status;
    if (p->flags & ~LLAMA4_IMAGE_AS_STORED)
        return l4_fail(error, LLAMA4_ERR_UNSUPPORTED, "llama4_image_params.flags has unknown bits: 0x%x", (unsigned)p->flags);
    if (p->reserved)
        return l4_fail(error, LLAMA4_ERR_UNSUPPORTED, "llama4_image_params.reserved is not 0");
    if (p->max_tiles < 0 || p->max_tiles > L4_MAX_TILES)
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "llama4_image_params.max_tiles is %d, not 0 .. %d", (int)p->max_tiles, L4_MAX_TILES);
    if (p->max_pixels < 0 || p->max_bytes < 0)
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "llama4_image_params.%s is negative", p->max_pixels < 0 ? "max_pixels" : "max_bytes");
    if (!p->max_pixels)
        p->max_pixels = MAX_PIXELS;
    if (!p->max_bytes)
        p->max_bytes = MAX_BYTES;
    return l4_allocator_init(a, p->allocate, p->release, p->allocator_user, error);
}

static llama4_status read_image(const char *path, const void *data, size_t size, const llama4_image_params *params, llama4_image **image,
                                llama4_error *error)
{
    llama4_image_params p;
    l4_allocator a;
    llama4_status status = complete(params, &p, &a, error);
    return status ? status : l4_image_read(&a, path, data, size, &p, image, error);
}

llama4_status llama4_image_open(const char *path, const llama4_image_params *params, llama4_image **image, llama4_error *error)
{
    L4_OWN_FLOATS;
    if (!path || !*path)
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "path is %s", path ? "empty" : "NULL");
    return image ? read_image(path, NULL, 0, params, image, error) : missing(error, "image");
}

llama4_status llama4_image_open_memory(const void *data, size_t size, const llama4_image_params *params, llama4_image **image, llama4_error *error)
{
    L4_OWN_FLOATS;
    if (!data || !image)
        return missing(error, data ? "image" : "data");
    return read_image(NULL, data, size, params, image, error);
}

/* rows and columns of bytes against the size of the memory that holds them */
static llama4_status check_pixels(size_t size, int32_t width, int32_t height, size_t *stride, int32_t channels, llama4_error *error)
{
    if (channels != 1 && channels != 3 && channels != 4)
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "channels is %d, not 1, 3 or 4", (int)channels);
    if (width < 1 || height < 1)
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "a picture of %d x %d pixels", (int)width, (int)height);
    const uint64_t row = (uint64_t)width * (uint64_t)channels;
    if (!*stride)
        *stride = (size_t)row;
    if (*stride < row)
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "stride is %zu, less than a row of %d pixels", *stride, (int)width);
    if (size < row || (size - row) / *stride < (uint64_t)height - 1)
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "size is %zu, less than %d rows take", size, (int)height);
    return LLAMA4_OK;
}

llama4_status llama4_image_create(const void *pixels, size_t size, int32_t width, int32_t height, size_t stride, int32_t channels,
                                  const llama4_image_params *params, llama4_image **image, llama4_error *error)
{
    L4_OWN_FLOATS;
    llama4_image_params p;
    l4_allocator a;
    l4_picture picture = {.rgb = NULL};
    if (!pixels || !image)
        return missing(error, pixels ? "image" : "pixels");
    llama4_status status = check_pixels(size, width, height, &stride, channels, error);
    if (status == LLAMA4_OK)
        status = complete(params, &p, &a, error);
    if (status)
        return status;
    const l4_picture_options options = {(uint64_t)p.max_pixels, 0};
    status = l4_picture_check((uint64_t)width, (uint64_t)height, &options, "the pixels", error);
    if (status == LLAMA4_OK)
        status = l4_picture_copy(&a, pixels, (uint32_t)width, (uint32_t)height, stride, (uint32_t)channels, &picture, error);
    if (status == LLAMA4_OK)
        status = l4_image_wrap(&a, &picture, &p, image, error);
    if (status)
        l4_free(&a, picture.rgb);
    return status;
}

/* A grid of 1 .. L4_MAX_TILES tiles. */
static llama4_status check_grid(int32_t columns, int32_t rows, llama4_error *error)
{
    if (columns >= 1 && rows >= 1 && columns <= L4_MAX_TILES && rows <= L4_MAX_TILES && columns * rows <= L4_MAX_TILES)
        return LLAMA4_OK;
    return l4_fail(error, LLAMA4_ERR_ARGUMENT, "a grid of %d x %d tiles: there may be 1 .. %d", (int)columns, (int)rows, L4_MAX_TILES);
}

llama4_status llama4_image_create_tiles(const float *tiles, size_t n, int32_t columns, int32_t rows, int32_t tile_size,
                                        const llama4_image_params *params, llama4_image **image, llama4_error *error)
{
    L4_OWN_FLOATS;
    llama4_image_params p;
    l4_allocator a;
    if (!tiles || !image)
        return missing(error, tiles ? "image" : "tiles");
    llama4_status status = check_grid(columns, rows, error);
    if (status)
        return status;
    if (tile_size < 1 || tile_size > 1024)
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "tile_size is %d, not 1 .. 1024", (int)tile_size);
    const l4_grid grid = {(uint32_t)columns, (uint32_t)rows, 0, 0};
    const uint64_t want = (uint64_t)l4_tiles_count(&grid) * 3 * (uint64_t)tile_size * (uint64_t)tile_size;
    if (n != want)
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "n is %zu, but the tiles have %llu numbers", n, (unsigned long long)want);
    status = complete(params, &p, &a, error);
    return status ? status : l4_image_from_tiles(&a, tiles, (uint32_t)columns, (uint32_t)rows, (uint32_t)tile_size, image, error);
}

llama4_image *llama4_image_ref(llama4_image *image)
{
    if (image)
        atomic_fetch_add_explicit(&image->owners, 1, memory_order_relaxed);
    return image;
}

void llama4_image_release(llama4_image *image)
{
    if (image)
        l4_image_release(image);
}

static void describe(const l4_image_layout *l, llama4_image_info *info)
{
    info->columns = (int32_t)l->columns;
    info->rows = (int32_t)l->rows;
    info->tiles = (int32_t)(l->columns * l->rows + (l->columns * l->rows > 1));
    info->embeddings = (int32_t)l4_image_layout_rows(l);
    info->tokens = (int32_t)l4_image_layout_tokens(l);
}

llama4_status llama4_image_get_info(const llama4_image *image, const llama4_model *model, llama4_image_info *info, llama4_error *error)
{
    llama4_image_info full = {0};
    l4_image_shape shape = {336, 144, 16};
    l4_image_layout layout;
    if (!image)
        return missing(error, "image");
    if (model) {
        llama4_status status = l4_model_needs_vision(model, error);
        if (status)
            return status;
        shape = l4_model_image_shape(model);
    }
    const llama4_part part = {.struct_size = sizeof part, .image = image};
    llama4_status status = l4_image_layout_of(&shape, &part, &layout, error);
    if (status)
        return status;
    full.width = (int32_t)image->picture.width;
    full.height = (int32_t)image->picture.height;
    describe(&layout, &full);
    return l4_write_struct(info, &full, sizeof full, sizeof full, "llama4_image_info", error);
}

/* ---- Embeddings ---- */

llama4_status llama4_image_encode(llama4_context *context, const llama4_image *image, llama4_embeddings **embeddings, llama4_error *error)
{
    L4_OWN_FLOATS;
    llama4_embeddings *e;
    l4_grid grid;
    if (!context || !image || !embeddings)
        return missing(error, !context ? "context" : !image ? "image" : "embeddings");
    llama4_model *model = l4_context_model(context);
    llama4_status status = l4_model_needs_vision(model, error);
    if (status)
        return status;
    const l4_image_shape shape = l4_model_image_shape(model);
    status = l4_image_grid(image, &shape, 0, &grid, error);
    if (status)
        return status;
    const l4_image_layout layout = {grid.columns, grid.rows, shape.tokens};
    status = l4_embeddings_new(model, &layout, &e, error);
    if (status)
        return status;
    status = l4_image_compute(context, model, image, &grid, 0, 1, e->numbers, error);
    if (status)
        l4_embeddings_release(e);
    else
        *embeddings = e;
    return status;
}

llama4_status llama4_embeddings_create(llama4_model *model, const float *numbers, size_t n, int32_t columns, int32_t rows,
                                       llama4_embeddings **embeddings, llama4_error *error)
{
    L4_OWN_FLOATS;
    llama4_embeddings *e;
    if (!model || !numbers || !embeddings)
        return missing(error, !model ? "model" : !numbers ? "numbers" : "embeddings");
    llama4_status status = check_grid(columns, rows, error);
    if (status)
        return status;
    const l4_grid grid = {(uint32_t)columns, (uint32_t)rows, 0, 0};
    const size_t tiles = l4_tiles_count(&grid), width = model->config.width;
    if (!width || n == 0 || n % (width * tiles) || n / (width * tiles) > 1 << 20)
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "n is %zu: no rows, %zu wide, of %zu tiles", n, width, tiles);
    const l4_image_layout layout = {grid.columns, grid.rows, (uint32_t)(n / (width * tiles))};
    status = l4_embeddings_new(model, &layout, &e, error);
    if (status)
        return status;
    memcpy(e->numbers, numbers, n * sizeof *numbers);
    *embeddings = e;
    return LLAMA4_OK;
}

llama4_embeddings *llama4_embeddings_ref(llama4_embeddings *embeddings)
{
    if (embeddings)
        atomic_fetch_add_explicit(&embeddings->owners, 1, memory_order_relaxed);
    return embeddings;
}

void llama4_embeddings_release(llama4_embeddings *embeddings)
{
    if (embeddings)
        l4_embeddings_release(embeddings);
}

llama4_status llama4_embeddings_get_info(const llama4_embeddings *embeddings, llama4_image_info *info, llama4_error *error)
{
    llama4_image_info full = {0};
    if (!embeddings)
        return missing(error, "embeddings");
    describe(&embeddings->layout, &full);
    return l4_write_struct(info, &full, sizeof full, sizeof full, "llama4_image_info", error);
}

llama4_status llama4_embeddings_data(const llama4_embeddings *embeddings, const float **numbers, size_t *count, llama4_error *error)
{
    if (!embeddings || !numbers || !count)
        return missing(error, !embeddings ? "embeddings" : !numbers ? "numbers" : "count");
    *numbers = embeddings->numbers;
    *count = (size_t)l4_image_layout_rows(&embeddings->layout) * embeddings->width;
    return LLAMA4_OK;
}
