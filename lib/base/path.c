/* The part of base/file.h that is the same on every system: joining paths. Windows takes '/' as well as its own separator. */
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
