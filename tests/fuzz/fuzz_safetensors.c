/* A Hugging Face directory in memory. The input is two bytes of length (little-endian), that many bytes of config.json, and a safetensors file. */
#include <stdlib.h>
#include <string.h>

#include "format/safetensors.h"
#include "model/weights.h"

static volatile uint64_t sink;

/* While a file is read, memory must stay in proportion to it; afterwards a host's limit stands in. */
typedef struct limit {
    size_t largest;
    int fatal;
} limit;

static void *allocate(void *user, size_t size, size_t alignment)
{
    const limit *l = user;
    if (size > l->largest && l->fatal)
        abort();
    return size > l->largest ? NULL : l4_system_allocator.allocate(NULL, size, alignment);
}

static void give_back(void *user, void *memory)
{
    (void)user;
    l4_system_allocator.release(NULL, memory);
}

static void rows(const l4_matrix *m)
{
    float *row = m->cols < 1 << 20 ? malloc(m->cols * sizeof *row) : NULL;
    if (row) {
        l4_matrix_row(m, 0, row);
        l4_matrix_row(m, m->rows - 1, row);
    }
    free(row);
}

/* Reads the tensors, and binds them if there is a configuration. */
static void read_tensors(l4_archive *archive, limit *l, const l4_config *config)
{
    llama4_error error = LLAMA4_ERROR_INIT;
    l4_weights weights;
    if (l4_safetensors_read(archive, 0, "model.safetensors", &error) || l4_archive_seal(archive, "fuzz", &error))
        return;
    for (size_t i = 0; i < archive->n_tensors; i++) {
        const l4_tensor *t = &archive->tensors[i];
        if (l4_archive_find(archive, t->name) != t || t->size == 0)
            abort();
        sink += t->data[0] + t->data[t->size - 1];
    }
    l->largest = 64 << 20;
    l->fatal = 0;
    if (!config || l4_weights_from_hf(archive->allocator, config, archive, &weights, &error))
        return;
    rows(&weights.embedding);
    rows(&weights.output);
    for (uint32_t i = 0; i < weights.config.layers; i++) {
        rows(&weights.layers[i].q);
        rows(&weights.layers[i].ffn.down);
        if (weights.config.layer[i].moe) {
            rows(&weights.layers[i].experts[weights.config.experts - 1].up);
            rows(&weights.layers[i].experts[weights.config.experts - 1].down);
        }
    }
    l4_weights_clear(&weights);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static l4_config config;
    llama4_error error = LLAMA4_ERROR_INIT;
    if (size < 2)
        return 0;
    size_t n = (size_t)data[0] | (size_t)data[1] << 8;
    data += 2;
    size -= 2;
    if (n > size)
        n = size;
    limit l = {16 * size + (16 << 10), 1};
    l4_allocator a = {allocate, give_back, &l};
    l4_archive archive = {.allocator = &a};
    uint8_t *json = malloc(n + !n), *file = malloc(size - n + (n == size)); /* apart, so that reading across the border shows */
    if (json && file) {
        memcpy(json, data, n);
        memcpy(file, data + n, size - n);
        l4_mapping mapping = {.data = file, .size = size - n};
        int known = l4_config_from_json(&a, json, n, "config.json", &config, &error) == LLAMA4_OK;
        if (l4_archive_add_file(&archive, &mapping, &error) == LLAMA4_OK)
            read_tensors(&archive, &l, known ? &config : NULL);
        l4_archive_clear(&archive);
    }
    free(json);
    free(file);
    return 0;
}
