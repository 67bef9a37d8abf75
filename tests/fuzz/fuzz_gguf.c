/* A GGUF file in memory: keys and tensors, then the configuration, the binding of weights and the vocabulary that a model is opened with. */
#include <stdlib.h>

#include "format/gguf.h"
#include "model/weights.h"
#include "text/vocab.h"

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

static volatile uint64_t sink;

static void touch(const l4_gguf *g)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < l4_gguf_n_keys(g); i++) {
        const l4_gguf_key *k = l4_gguf_key_at(g, i);
        for (size_t n = 0; n < k->size; n++)
            sum += k->data[n];
        if (k->type != L4_GGUF_ARRAY)
            continue;
        l4_reader r = l4_gguf_strings(k);
        for (uint64_t n = 0; n < k->count; n++) {
            size_t length;
            if (k->element_type != L4_GGUF_STRING)
                sum += (uint64_t)l4_gguf_array_i64(k, n);
            else if (!l4_gguf_next_string(&r, &length))
                abort(); /* what was checked on opening must be there */
        }
    }
    const l4_archive *a = l4_gguf_archive(g);
    for (size_t i = 0; i < a->n_tensors; i++) {
        const l4_tensor *t = &a->tensors[i];
        if (l4_archive_find(a, t->name) != t || t->size == 0)
            abort();
        sum += t->data[0] + t->data[t->size - 1];
    }
    sink += sum;
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static l4_config config;
    limit l = {16 * size + (16 << 10), 1};
    l4_allocator a = {allocate, give_back, &l};
    l4_mapping mapping = {.data = data, .size = size};
    llama4_error error = LLAMA4_ERROR_INIT;
    l4_gguf *g;
    if (l4_gguf_open_mapping(&a, &mapping, "fuzz.gguf", &g, &error))
        return 0;
    touch(g);
    l.largest = 64 << 20;
    l.fatal = 0;
    l4_weights weights;
    if (l4_config_from_gguf(g, NULL, &config, &error) == LLAMA4_OK &&
        l4_weights_from_gguf(&a, &config, l4_gguf_archive(g), &weights, &error) == LLAMA4_OK) {
        rows(&weights.embedding);
        rows(&weights.output);
        for (uint32_t i = 0; i < weights.config.layers; i++) {
            rows(&weights.layers[i].q);
            rows(&weights.layers[i].ffn.down);
            if (weights.config.layer[i].moe)
                rows(&weights.layers[i].experts[weights.config.experts - 1].down);
        }
        l4_weights_clear(&weights);
    }
    llama4_vocab *vocab;
    if (l4_vocab_from_gguf(&a, NULL, g, &vocab, &error) == LLAMA4_OK)
        l4_vocab_release(vocab);
    l4_gguf_close(g);
    return 0;
}
