/* Pictures as 8-bit RGB, from untrusted bytes. Next: vision/tiles.h. */
#ifndef L4_VISION_PICTURE_H
#define L4_VISION_PICTURE_H

#include "base/alloc.h"

#define L4_MAX_SIDE (1 << 20) /* of a picture; keeps the resampler's tables small */

typedef struct l4_picture {
    uint32_t width, height; /* 1 .. L4_MAX_SIDE */
    uint8_t *rgb;           /* [height][width][3] */
} l4_picture;

typedef struct l4_picture_options {
    uint64_t max_pixels;
    int as_stored; /* leave a JPEG's orientation as its pixels lie */
} l4_picture_options;

/* Decodes a PNG or JPEG file, told apart by its content. `name` is for messages. The pixels are for l4_free. */
llama4_status l4_picture_decode(const l4_allocator *a, const void *data, size_t size, const l4_picture_options *options, const char *name,
                                l4_picture *out, llama4_error *error);

/* The two decoders; LLAMA4_ERR_UNSUPPORTED where the library was built without one. */
llama4_status l4_png_decode(const l4_allocator *a, const uint8_t *data, size_t size, const l4_picture_options *options, const char *name,
                            l4_picture *out, llama4_error *error);
llama4_status l4_jpeg_decode(const l4_allocator *a, const uint8_t *data, size_t size, const l4_picture_options *options, const char *name,
                             l4_picture *out, llama4_error *error);

/* Checks a picture's size before memory is asked for it. */
llama4_status l4_picture_check(uint64_t width, uint64_t height, const l4_picture_options *options, const char *name, llama4_error *error);

/* `channels` bytes a pixel, 1 (grey), 3 (RGB) or 4 (RGBA, which is laid over white), rows `stride` bytes apart. */
llama4_status l4_picture_copy(const l4_allocator *a, const uint8_t *pixels, uint32_t width, uint32_t height, size_t stride, uint32_t channels,
                              l4_picture *out, llama4_error *error);

/* n pixels of RGBA over white; out may be rgba. */
void l4_over_white(const uint8_t *rgba, size_t n, uint8_t *out);

/* Turns and mirrors in place as Exif's orientation 2 .. 8 says, so that the picture stands upright; other numbers do nothing. */
llama4_status l4_picture_orient(const l4_allocator *a, l4_picture *p, unsigned orientation, llama4_error *error);

/* The orientation that a JPEG's Exif part gives; 1 if there is none, or it is broken. */
unsigned l4_jpeg_orientation(const uint8_t *data, size_t size);

#endif
