/* Files and pixels -> images; images and a model -> embeddings. */
#include "flow/image.h"

#include <string.h>

#include "vision/encoder.h"

/* ---- Images ---- */

static llama4_status new_image(const l4_allocator *a, llama4_image **out, llama4_error *error)
{
    llama4_status status = l4_alloc_zero(a, 1, sizeof **out, "an image", out, error);
    if (status)
        return status;
    atomic_init(&(*out)->owners, 1);
    (*out)->allocator = *a;
    return LLAMA4_OK;
}

llama4_status l4_image_wrap(const l4_allocator *a, const l4_picture *picture, const llama4_image_params *params, llama4_image **out, llama4_error *error)
{
    llama4_image *image;
    llama4_status status = new_image(a, &image, error);
    if (status)
        return status;
    image->picture = *picture;
    image->max_tiles = (uint32_t)params->max_tiles;
    *out = image;
    return LLAMA4_OK;
}

llama4_status l4_image_read(const l4_allocator *a, const char *path, const void *data, size_t size, const llama4_image_params *params,
                            llama4_image **out, llama4_error *error)
{
    const l4_picture_options options = {(uint64_t)params->max_pixels, (params->flags & LLAMA4_IMAGE_AS_STORED) != 0};
    l4_mapping file = {.data = data, .size = size};
    l4_picture picture = {.rgb = NULL};
    llama4_status status = path ? l4_map_path(path, &file, error) : LLAMA4_OK;
    const char *name = path ? path : "the picture in memory";
    if (status)
        return status;
    if (file.size > (uint64_t)params->max_bytes)
        status = l4_fail(error, LLAMA4_ERR_UNSUPPORTED, "%s has %zu bytes, more than the limit of %lld", name, file.size, (long long)params->max_bytes);
    else
        status = l4_map_own(&file, 0, file.size, name, error);
    if (status == LLAMA4_OK)
        status = l4_picture_decode(a, file.data, file.size, &options, name, &picture, error);
    l4_unmap(&file);
    if (status == LLAMA4_OK)
        status = l4_image_wrap(a, &picture, params, out, error);
    if (status)
        l4_free(a, picture.rgb);
    return status;
}

llama4_status l4_image_from_tiles(const l4_allocator *a, const float *tiles, uint32_t columns, uint32_t rows, uint32_t tile, llama4_image **out,
                                  llama4_error *error)
{
    const l4_grid grid = {columns, rows, 0, 0};
    const size_t n = (size_t)l4_tiles_count(&grid) * 3 * tile * tile;
    llama4_image *image;
    llama4_status status = new_image(a, &image, error);
    if (status)
        return status;
    image->columns = columns;
    image->rows = rows;
    image->tile = tile;
    status = l4_alloc(a, n, sizeof *tiles, "an image", &image->tiles, error);
    if (status) {
        l4_image_release(image);
        return status;
    }
    memcpy(image->tiles, tiles, n * sizeof *tiles);
    *out = image;
    return LLAMA4_OK;
}

void l4_image_release(llama4_image *image)
{
    if (atomic_fetch_sub_explicit(&image->owners, 1, memory_order_acq_rel) != 1)
        return;
    l4_allocator a = image->allocator;
    l4_free(&a, image->picture.rgb);
    l4_free(&a, image->tiles);
    l4_free(&a, image);
}

llama4_status l4_image_grid(const llama4_image *image, const l4_image_shape *shape, int frame, l4_grid *out, llama4_error *error)
{
    if (!image->tiles) {
        *out = l4_tiles_grid(image->picture.width, image->picture.height, shape->tile, frame ? 1 : image->max_tiles ? image->max_tiles : shape->max_tiles);
        return LLAMA4_OK;
    }
    if (image->tile != shape->tile)
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "the image's tiles have %u pixels a side, the model's %u", (unsigned)image->tile, (unsigned)shape->tile);
    *out = (l4_grid){image->columns, image->rows, 0, 0};
    return LLAMA4_OK;
}

llama4_status l4_image_layout_of(void *user, const llama4_part *part, l4_image_layout *out, llama4_error *error)
{
    const l4_image_shape *shape = user;
    l4_grid grid = {0};
    if (part->embeddings) {
        *out = part->embeddings->layout;
        return LLAMA4_OK;
    }
    llama4_status status = l4_image_grid(part->image, shape, (part->flags & LLAMA4_PART_FRAME) != 0, &grid, error);
    if (status == LLAMA4_OK)
        *out = (l4_image_layout){grid.columns, grid.rows, shape->tokens};
    return status;
}

/* ---- With a model ---- */

l4_image_shape l4_model_image_shape(const llama4_model *model)
{
    const l4_vision_config *c = &model->vision.config;
    return model->vision.present ? (l4_image_shape){c->tile, l4_vision_tokens(c), c->max_tiles} : (l4_image_shape){336, 144, 16};
}

llama4_status l4_model_needs_vision(const llama4_model *model, llama4_error *error)
{
    if (model->vision.present)
        return LLAMA4_OK;
    return l4_fail(error, LLAMA4_ERR_STATE, "the model has no picture encoder: open it with one as vision_path");
}

llama4_status l4_image_compute(llama4_context *context, const llama4_model *model, const llama4_image *image, const l4_grid *grid, double start,
                               double share, float *out, llama4_error *error)
{
    const l4_allocator *a = &model->allocator;
    const l4_vision *v = &model->vision.weights;
    const l4_context_tools tools = l4_context_borrow(context);
    l4_vision_job job = {
        .allocator = a, .weights = v, .archive = model->vision.archive, .inputs = model->vision.inputs,
        .kernels = tools.kernels, .pool = tools.pool, .cancel = tools.cancel, .numbers = image->tiles,
        .tiles = l4_tiles_count(grid), .progress = tools.progress, .progress_user = tools.progress_user, .start = start, .share = share,
    };
    uint8_t *bytes = NULL;
    llama4_status status = LLAMA4_OK;
    if (!image->tiles) {
        status = l4_alloc(a, job.tiles, (size_t)3 * v->config.tile * v->config.tile, "tiles of a picture", &bytes, error);
        if (status == LLAMA4_OK)
            status = l4_tiles_cut(a, &image->picture, grid, v->config.tile, bytes, error);
        job.bytes = bytes;
    }
    if (status == LLAMA4_OK)
        status = l4_vision_encode(&job, out, error);
    if (status == LLAMA4_ERR_CANCELLED)
        atomic_store(tools.cancel, 0);
    l4_free(a, bytes);
    return status;
}

/* ---- Embeddings ---- */

llama4_status l4_embeddings_new(llama4_model *model, const l4_image_layout *layout, llama4_embeddings **out, llama4_error *error)
{
    llama4_embeddings *e;
    llama4_status status = l4_alloc_zero(&model->allocator, 1, sizeof *e, "embeddings", &e, error);
    if (status)
        return status;
    e->layout = *layout;
    e->width = model->config.width;
    status = l4_alloc(&model->allocator, (size_t)l4_image_layout_rows(layout) * e->width, sizeof *e->numbers, "embeddings", &e->numbers, error);
    if (status) {
        l4_free(&model->allocator, e);
        return status;
    }
    atomic_init(&e->owners, 1);
    e->model = model;
    l4_model_ref(model);
    *out = e;
    return LLAMA4_OK;
}

void l4_embeddings_release(llama4_embeddings *e)
{
    if (atomic_fetch_sub_explicit(&e->owners, 1, memory_order_acq_rel) != 1)
        return;
    llama4_model *model = e->model;
    l4_free(&model->allocator, e->numbers);
    l4_free(&model->allocator, e);
    l4_model_release(model);
}
