/* Opening a vocabulary by path: a path comes in, the file's first bytes say which reader gets it. */
#include "base/file.h"
#include "text/vocab_internal.h"

static const char *const names[] = {"tokenizer.json", "tokenizer.model"};

/* The first of `names` that is in the directory; *out is NULL if none is. */
static llama4_status find_file(const l4_allocator *a, const char *directory, char **out, llama4_error *error)
{
    *out = NULL;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *path;
        llama4_status status = l4_path_join(a, directory, names[i], &path, error);
        if (status)
            return status;
        if (l4_file_kind(path) == L4_FILE_REGULAR) {
            *out = path;
            return LLAMA4_OK;
        }
        l4_free(a, path);
    }
    return LLAMA4_OK;
}

llama4_status l4_vocab_in_directory(const l4_allocator *a, const char *path, int *found, llama4_error *error)
{
    char *file;
    llama4_status status = find_file(a, path, &file, error);
    if (status)
        return status;
    *found = file != NULL;
    l4_free(a, file);
    return LLAMA4_OK;
}

static llama4_status open_gguf(const l4_allocator *a, const l4_log *log, const char *path, llama4_vocab **out,
                               llama4_error *error)
{
    l4_gguf *g;
    llama4_status status = l4_gguf_open(a, path, &g, error);
    if (status)
        return status;
    status = l4_vocab_from_gguf(a, log, g, out, error);
    l4_gguf_close(g);
    return status;
}

static llama4_status open_file(const l4_allocator *a, const l4_log *log, const char *path, llama4_vocab **out,
                               llama4_error *error)
{
    l4_mapping m = {0};
    llama4_status status = l4_map_path(path, &m, error);
    if (status)
        return status;
    status = l4_map_own(&m, 0, 4, path, error);
    const int gguf = status == LLAMA4_OK && m.size >= 4 && memcmp(m.data, "GGUF", 4) == 0;
    if (status == LLAMA4_OK && !gguf)
        status = l4_map_own(&m, 0, m.size, path, error);
    size_t i = 0;
    if (status) {
        l4_unmap(&m);
        return status;
    }
    while (!gguf && i < m.size && (m.data[i] == ' ' || m.data[i] == '\n' || m.data[i] == '\r' || m.data[i] == '\t'))
        i++;
    if (m.size == 0)
        status = l4_fail(error, LLAMA4_ERR_FORMAT, "%s is empty", path);
    else if (gguf)
        status = open_gguf(a, log, path, out, error);
    else if (i < m.size && m.data[i] == '{')
        status = l4_vocab_from_json(a, log, m.data, m.size, path, out, error);
    else
        status = l4_vocab_from_tiktoken(a, log, m.data, m.size, path, out, error);
    l4_unmap(&m);
    return status;
}

llama4_status l4_vocab_from_path(const l4_allocator *a, const l4_log *log, const char *path, llama4_vocab **out,
                                 llama4_error *error)
{
    if (l4_file_kind(path) != L4_FILE_DIRECTORY)
        return open_file(a, log, path, out, error);
    char *file;
    llama4_status status = find_file(a, path, &file, error);
    if (status)
        return status;
    if (!file)
        return l4_fail(error, LLAMA4_ERR_NO_VOCABULARY, "%s holds neither tokenizer.json nor tokenizer.model", path);
    status = open_file(a, log, file, out, error);
    l4_free(a, file);
    return status;
}
