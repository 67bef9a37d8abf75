/* Any bytes as an importance matrix: what is accepted must give weights that are positive, finite, and 1 on average. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "format/imatrix.h"

static void *allocate(void *user, size_t size, size_t alignment)
{
    if (size > *(const size_t *)user)
        abort(); /* memory must stay in proportion to the file */
    return l4_system_allocator.allocate(NULL, size, alignment);
}

static void give_back(void *user, void *memory)
{
    (void)user;
    l4_system_allocator.release(NULL, memory);
}

static void look(const l4_imatrix *m, const char *name, uint32_t count, uint32_t cols)
{
    float out[64];
    for (uint32_t i = 0; i < count; i++) {
        llama4_error error = LLAMA4_ERROR_INIT;
        double sum = 0;
        int known;
        if (l4_imatrix_columns(m, name, i, count, cols, out, &known, &error) || !known)
            continue;
        for (uint32_t c = 0; c < cols; c++) {
            if (!(out[c] > 0 && out[c] <= (float)cols * 1.001f))
                abort();
            sum += out[c];
        }
        if (!(fabs(sum / cols - 1) < 1e-3))
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t limit = 16 * size + (16 << 10);
    const l4_allocator a = {allocate, give_back, &limit};
    l4_mapping mapping = {.data = data, .size = size};
    llama4_error error = LLAMA4_ERROR_INIT;
    l4_imatrix *m;
    if (l4_imatrix_open_mapping(&a, &mapping, "fuzz", &m, &error))
        return 0;
    const l4_archive *archive = l4_imatrix_archive(m);
    for (size_t i = 0; i < archive->n_tensors; i++) {
        const l4_tensor *t = &archive->tensors[i];
        char name[256];
        size_t length = strlen(t->name);
        memcpy(name, t->name, length + 1);
        if (length > 8 && strcmp(name + length - 8, ".in_sum2") == 0)
            name[length - 8] = 0;
        uint64_t n = t->size / 4;
        if (n > 0 && n <= 64)
            look(m, name, 1, (uint32_t)n);
        for (uint32_t count = 2; n <= 64 && count <= 8; count *= 2)
            if (n / count)
                look(m, name, count, (uint32_t)(n / count));
        look(m, name, 1, 64);
    }
    l4_imatrix_close(m);
    return 0;
}
