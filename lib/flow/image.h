/* The handles of pictures and of their embeddings, and what lies between them. */
#ifndef L4_FLOW_IMAGE_H
#define L4_FLOW_IMAGE_H

#include <stdatomic.h>

#include "flow/model.h"
#include "run/context.h"
#include "vision/tiles.h"

struct llama4_image {
    atomic_int owners;
    l4_allocator allocator;
    l4_picture picture;     /* or, when there are no pixels: */
    float *tiles;           /* [l4_tiles_count][3][tile][tile] */
    uint32_t columns, rows, tile;
    uint32_t max_tiles;     /* 0: the model's number */
};

struct llama4_embeddings {
    atomic_int owners;
    llama4_model *model;    /* gives the allocator; held */
    l4_image_layout layout;
    uint32_t width;
    float *numbers;         /* [l4_image_layout_rows][width] */
};

/* params is complete; exactly one of path and data. */
llama4_status l4_image_read(const l4_allocator *a, const char *path, const void *data, size_t size, const llama4_image_params *params,
                            llama4_image **out, llama4_error *error);
/* An image around a picture, which it takes over on success. */
llama4_status l4_image_wrap(const l4_allocator *a, const l4_picture *picture, const llama4_image_params *params, llama4_image **out, llama4_error *error);
llama4_status l4_image_from_tiles(const l4_allocator *a, const float *tiles, uint32_t columns, uint32_t rows, uint32_t tile, llama4_image **out,
                                  llama4_error *error);
void l4_image_release(llama4_image *image);

/* How an image is cut for a model; a frame of a video is one tile. Fails if its tiles were made for another model. */
llama4_status l4_image_grid(const llama4_image *image, const l4_image_shape *shape, int frame, l4_grid *out, llama4_error *error);

/* The layout of a part with a picture, as l4_layout_fn; user is an l4_image_shape. */
llama4_status l4_image_layout_of(void *user, const llama4_part *part, l4_image_layout *out, llama4_error *error);

l4_image_shape l4_model_image_shape(const llama4_model *model);

/* LLAMA4_ERR_STATE, unless the model has a picture encoder. */
llama4_status l4_model_needs_vision(const llama4_model *model, llama4_error *error);

/* Computes an image's embeddings into out [rows][width]; progress goes from `start` to start + share. */
llama4_status l4_image_compute(llama4_context *context, const llama4_model *model, const llama4_image *image, const l4_grid *grid, double start,
                               double share, float *out, llama4_error *error);

/* Room for embeddings; the numbers are not set. Holds the model. */
llama4_status l4_embeddings_new(llama4_model *model, const l4_image_layout *layout, llama4_embeddings **out, llama4_error *error);
void l4_embeddings_release(llama4_embeddings *e);

#endif
