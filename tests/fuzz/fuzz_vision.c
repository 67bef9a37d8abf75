/* A picture encoder from untrusted bytes: a GGUF file ("mmproj"); or, if the first byte is '{', a config.json, a zero byte and a preprocessor_config.json.
 * What can be bound and is small is run on one tile. */
#include <stdlib.h>
#include <string.h>

#include "format/gguf.h"
#include "vision/encoder.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HOLDS(condition)  \
    do {                  \
        if (!(condition)) \
            abort();      \
    } while (0)

/* While a file is read, memory must stay in proportion to it; afterwards a host's limit stands in. */
typedef struct limit {
    size_t largest;
    int fatal;
} limit;

static void *allocate(void *user, size_t size, size_t alignment)
{
    const limit *l = user;
    HOLDS(size <= l->largest || !l->fatal);
    return size > l->largest ? NULL : l4_system_allocator.allocate(NULL, size, alignment);
}

static void give_back(void *user, void *memory)
{
    (void)user;
    l4_system_allocator.release(NULL, memory);
}

static void run(const l4_allocator *a, const l4_vision *v)
{
    const l4_vision_config *c = &v->config;
    const uint64_t positions = (uint64_t)l4_vision_side(c) * l4_vision_side(c) + 1, wide = 4 * (uint64_t)c->width + 2 * (uint64_t)c->ff;
    const size_t tile = (size_t)c->tile * c->tile * 3, rows = l4_vision_tokens(c);
    if (positions * wide * c->width * c->layers > 20000000 || (uint64_t)v->fc1.rows * v->fc1.cols * rows > 20000000 ||
        (uint64_t)v->fc2.rows * (v->fc2.cols + c->embedding) * rows > 20000000 || tile > 1 << 20)
        return;
    l4_kernels kernels;
    atomic_int cancel = 0;
    l4_pool *pool;
    l4_kernels_init(&kernels, LLAMA4_CPU_GENERIC);
    uint8_t *pixels = malloc(tile);
    float *out = malloc(rows * c->embedding * sizeof *out);
    HOLDS(pixels && out && l4_pool_create(&l4_system_allocator, 1, &cancel, &pool, NULL) == LLAMA4_OK);
    for (size_t i = 0; i < tile; i++)
        pixels[i] = (uint8_t)(i * 7);
    const l4_vision_job job = {.allocator = a, .weights = v, .kernels = &kernels, .pool = pool, .cancel = &cancel, .bytes = pixels, .tiles = 1, .share = 1};
    llama4_status status = l4_vision_encode(&job, out, NULL);
    HOLDS(status == LLAMA4_OK || status == LLAMA4_ERR_MEMORY);
    l4_pool_destroy(pool);
    free(pixels);
    free(out);
}

static void read_json(const uint8_t *data, size_t size)
{
    limit l = {1 << 20, 0};
    l4_allocator a = {allocate, give_back, &l};
    l4_vision_config c;
    const uint8_t *zero = memchr(data, 0, size);
    const size_t n = zero ? (size_t)(zero - data) : size;
    const l4_mapping config = {.data = data, .size = n}, preprocessor = {.data = zero ? zero + 1 : data, .size = zero ? size - n - 1 : 0};
    if (l4_vision_config_from_json(&a, &config, zero ? &preprocessor : NULL, "config.json", &c, NULL) == LLAMA4_OK)
        HOLDS(l4_vision_config_check(&c, "again", NULL) == LLAMA4_OK && l4_vision_tokens(&c) >= 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    limit l = {16 * size + (16 << 10), 1};
    l4_allocator a = {allocate, give_back, &l};
    l4_mapping mapping = {.data = data, .size = size};
    l4_vision_config config;
    l4_vision v;
    l4_gguf *g;
    if (size && data[0] == '{') {
        read_json(data, size);
        return 0;
    }
    if (l4_gguf_open_mapping(&a, &mapping, "fuzz.gguf", &g, NULL))
        return 0;
    l.fatal = 0;
    l.largest = 64 << 20;
    if (l4_vision_config_from_gguf(g, &config, NULL) == LLAMA4_OK && l4_vision_from_gguf(&a, &config, l4_gguf_archive(g), &v, NULL) == LLAMA4_OK) {
        run(&a, &v);
        l4_vision_clear(&v);
    }
    l4_gguf_close(g);
    return 0;
}
