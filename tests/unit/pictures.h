/* What the tests of pictures in prompts share; after check.h and support.h. */
#ifndef LLAMA4_TESTS_PICTURES_H
#define LLAMA4_TESTS_PICTURES_H

#include <stdlib.h>

enum { MOST = 64, SIDE = 56 };

static llama4_error error = LLAMA4_ERROR_INIT;

/* A colourful picture from nothing. */
static inline llama4_image *picture(int32_t width, int32_t height, uint64_t seed, const llama4_image_params *params)
{
    uint8_t *pixels = malloc((size_t)width * (size_t)height * 3);
    llama4_image *image = NULL;
    for (size_t i = 0; i < (size_t)width * (size_t)height * 3; i++)
        pixels[i] = (uint8_t)(next_random(&seed) >> 7);
    CHECK_STATUS(llama4_image_create(pixels, (size_t)width * (size_t)height * 3, width, height, 0, 3, params, &image, &error), LLAMA4_OK, error);
    free(pixels);
    return image;
}

static inline llama4_part text_part(const char *text)
{
    return (llama4_part){.struct_size = sizeof(llama4_part), .text = text};
}

static inline llama4_part image_part(const llama4_image *image)
{
    return (llama4_part){.struct_size = sizeof(llama4_part), .image = image};
}

static inline llama4_message message_of(const llama4_part *parts, size_t n)
{
    return (llama4_message){.struct_size = sizeof(llama4_message), .role = "user", .parts = parts, .n_parts = n, .part_stride = sizeof *parts};
}

static inline llama4_image_info image_info(const llama4_image *image, const llama4_model *model)
{
    llama4_image_info info = {.struct_size = sizeof info};
    CHECK_STATUS(llama4_image_get_info(image, model, &info, &error), LLAMA4_OK, error);
    return info;
}

static inline float *encoded(llama4_context *c, const llama4_image *image, size_t *n)
{
    llama4_embeddings *e = NULL;
    const float *numbers = NULL;
    float *copy = NULL;
    if (CHECK_STATUS(llama4_image_encode(c, image, &e, &error), LLAMA4_OK, error) &&
        CHECK_STATUS(llama4_embeddings_data(e, &numbers, n, &error), LLAMA4_OK, error)) {
        copy = malloc(*n * sizeof *copy);
        memcpy(copy, numbers, *n * sizeof *copy);
    }
    llama4_embeddings_release(e);
    return copy;
}

typedef struct answer {
    int32_t ids[MOST];
    size_t n;
} answer;

static inline int32_t on_text(void *user, int32_t token, const char *text, size_t length)
{
    answer *a = user;
    (void)text, (void)length;
    if (token >= 0 && a->n < MOST)
        a->ids[a->n++] = token;
    return 0;
}

#endif
