/* What must hold for every decoder of pictures. */
#ifndef LLAMA4_TESTS_FUZZ_PICTURE_H
#define LLAMA4_TESTS_FUZZ_PICTURE_H

#include <stdint.h>
#include <stdlib.h>

#include "vision/tiles.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HOLDS(condition)  \
    do {                  \
        if (!(condition)) \
            abort();      \
    } while (0)

enum { MOST_PIXELS = 1 << 18 };

typedef llama4_status (*decoder_fn)(const l4_allocator *a, const uint8_t *data, size_t size, const l4_picture_options *options, const char *name,
                                    l4_picture *out, llama4_error *error);

typedef struct meter {
    size_t live;
} meter;

static inline void *meter_allocate(void *user, size_t size, size_t alignment)
{
    HOLDS(size <= (size_t)64 << 20); /* far less than 64 bytes a pixel, and what the decoder's tables take */
    void *memory = l4_system_allocator.allocate(NULL, size, alignment);
    ((meter *)user)->live += memory != NULL;
    return memory;
}

static inline void meter_release(void *user, void *memory)
{
    ((meter *)user)->live--;
    l4_system_allocator.release(NULL, memory);
}

/* Decodes, touches every byte, and looks for what was left behind. */
static inline void decode(decoder_fn decoder, const uint8_t *data, size_t size)
{
    const l4_picture_options options = {MOST_PIXELS, size & 1};
    meter m = {0};
    l4_allocator a = {meter_allocate, meter_release, &m};
    llama4_error error = LLAMA4_ERROR_INIT;
    l4_picture p = {0, 0, NULL};
    llama4_status status = decoder(&a, data, size, &options, "fuzz", &p, &error);
    if (status) {
        HOLDS(!p.rgb && error.status == status && error.message[0]);
    } else {
        uint32_t sum = 0;
        HOLDS(p.width && p.height && (uint64_t)p.width * p.height <= MOST_PIXELS);
        for (size_t i = 0; i < (size_t)p.width * p.height * 3; i++)
            sum += p.rgb[i];
        HOLDS(sum <= 255u * 3 * MOST_PIXELS); /* so that the reads stay */
        l4_free(&a, p.rgb);
    }
    HOLDS(m.live == 0);
}

#endif
