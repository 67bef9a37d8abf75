/* Directories and whole files. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "conformance.h"

int path_exists(const char *path)
{
    struct stat s;
    return stat(path, &s) == 0;
}

int path_is_directory(const char *path)
{
    struct stat s;
    return stat(path, &s) == 0 && S_ISDIR(s.st_mode);
}

char *read_file(const char *path, size_t *size)
{
    FILE *f = path_is_directory(path) ? NULL : fopen(path, "rb");
    if (!f)
        return NULL;
    size_t used = 0, capacity = 65536;
    char *data = xmalloc(capacity + 1);
    for (;;) {
        used += fread(data + used, 1, capacity - used, f);
        if (used < capacity)
            break;
        capacity *= 2;
        data = xrealloc(data, capacity + 1);
    }
    int bad = ferror(f);
    fclose(f);
    if (bad) {
        free(data);
        return NULL;
    }
    data[used] = 0;
    *size = used;
    return data;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

char **list_directory(const char *path, size_t *count)
{
    DIR *d = opendir(path);
    if (!d)
        return NULL;
    size_t n = 0, capacity = 16;
    char **names = xmalloc(capacity * sizeof *names);
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        if (e->d_name[0] == '.')
            continue;
        if (n == capacity)
            names = xrealloc(names, (capacity *= 2) * sizeof *names);
        names[n++] = xprintf("%s", e->d_name);
    }
    closedir(d);
    qsort(names, n, sizeof *names, by_name);
    *count = n;
    return names;
}

void list_free(char **names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(names[i]);
    free(names);
}

int ends_with(const char *name, const char *end)
{
    size_t n = strlen(name), e = strlen(end);
    return n >= e && strcmp(name + n - e, end) == 0;
}
