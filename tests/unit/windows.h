/* The few POSIX functions that the tests use, for Windows: included before everything else there, by the build. */
#ifndef LLAMA4_TESTS_WINDOWS_H
#define LLAMA4_TESTS_WINDOWS_H

#include <direct.h>
#include <fcntl.h>
#include <io.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static inline char *mkdtemp(char *path)
{
    return _mktemp(path) && _mkdir(path) == 0 ? path : NULL;
}

static inline int pipe(int ends[2])
{
    return _pipe(ends, 4096, _O_BINARY);
}

/* A hard link: another name of the same file, which is what the tests want, and needs no privilege. */
int __stdcall CreateHardLinkA(const char *name, const char *existing, void *security);
static inline int symlink(const char *existing, const char *name)
{
    return CreateHardLinkA(name, existing, NULL) ? 0 : -1;
}

#endif
