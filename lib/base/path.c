/* The part of base/file.h that is the same on every system. Windows takes '/' as well as its own separator. */
#include "base/file.h"

#include <string.h>

static int is_separator(char c)
{
#if defined(_WIN32)
    return c == '/' || c == '\\';
#else
    return c == '/';
#endif
}

llama4_status l4_path_join(const l4_allocator *a, const char *directory, const char *name, char **out, llama4_error *error)
{
    size_t n = strlen(directory), m = strlen(name);
    char *path;
    llama4_status status = l4_alloc(a, n + m + 2, 1, "a path", &path, error);
    if (status)
        return status;
    memcpy(path, directory, n);
    if (n && !is_separator(directory[n - 1]))
        path[n++] = '/';
    memcpy(path + n, name, m + 1);
    *out = path;
    return LLAMA4_OK;
}

llama4_status l4_map_whole(const char *path, l4_mapping *out, llama4_error *error)
{
    llama4_status status = l4_map_path(path, out, error);
    if (status)
        return status;
    status = l4_map_own(out, 0, out->size, path, error);
    if (status)
        l4_unmap(out);
    return status;
}
