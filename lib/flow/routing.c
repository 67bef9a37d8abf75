/* Which experts are in memory -> a small file, and back: 8 bytes of a name, then little-endian 32-bit numbers: layers, experts per layer, how many
 * follow, and as many times layer * experts + expert, the last used first. */
#include <string.h>

#include "base/bytes.h"
#include "flow/memory.h"
#include "model/experts.h"

#define HEAD 20
static const char magic[] = "llama4ex";

llama4_status l4_memory_save(llama4_model *m, const char *path, llama4_error *error)
{
    const size_t most = (size_t)m->config.layers * m->config.experts;
    uint32_t *entries;
    uint8_t *bytes = NULL;
    l4_writer w;
    llama4_status status = l4_alloc(&m->allocator, most, sizeof *entries, "the list of experts", &entries, error);
    if (status == LLAMA4_OK)
        status = l4_alloc(&m->allocator, HEAD + 4 * most, 1, "the list of experts", &bytes, error);
    if (status == LLAMA4_OK) {
        const size_t n = l4_experts_list(m->weights.pool, entries, most);
        memcpy(bytes, magic, 8);
        l4_store_u32(bytes + 8, m->config.layers);
        l4_store_u32(bytes + 12, m->config.experts);
        l4_store_u32(bytes + 16, (uint32_t)n);
        for (size_t i = 0; i < n; i++)
            l4_store_u32(bytes + HEAD + 4 * i, entries[i]);
        status = l4_writer_open(&m->allocator, path, &w, error);
        if (status == LLAMA4_OK) {
            status = l4_writer_write(&w, bytes, HEAD + 4 * n, error);
            if (status == LLAMA4_OK)
                status = l4_writer_commit(&w, error);
            if (status)
                l4_writer_abandon(&w);
        }
    }
    l4_free(&m->allocator, bytes);
    l4_free(&m->allocator, entries);
    return status;
}

static llama4_status parse(llama4_model *m, const l4_mapping *file, const char *path, llama4_error *error)
{
    uint32_t *entries;
    if (file->size < HEAD || memcmp(file->data, magic, 8))
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%.150s is no list of experts", path);
    if (l4_load_u32(file->data + 8) != m->config.layers || l4_load_u32(file->data + 12) != m->config.experts)
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%.150s lists experts of a model of another shape", path);
    const uint32_t n = l4_load_u32(file->data + 16), most = m->config.layers * m->config.experts;
    if (n > most || file->size != HEAD + 4 * (size_t)n)
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%.150s is damaged", path);
    llama4_status status = l4_alloc(&m->allocator, n, sizeof *entries, "the list of experts", &entries, error);
    if (status)
        return status;
    for (uint32_t i = 0; i < n && status == LLAMA4_OK; i++) {
        entries[i] = l4_load_u32(file->data + HEAD + 4 * (size_t)i);
        if (entries[i] >= most)
            status = l4_fail(error, LLAMA4_ERR_FORMAT, "%.150s is damaged", path);
    }
    if (status == LLAMA4_OK)
        l4_experts_warm(m->weights.pool, entries, n);
    l4_free(&m->allocator, entries);
    return status;
}

llama4_status l4_memory_load(llama4_model *m, const char *path, llama4_error *error)
{
    l4_mapping file;
    llama4_status status = l4_map_whole(path, &file, error);
    if (status)
        return status;
    status = parse(m, &file, path, error);
    l4_unmap(&file);
    return status;
}
