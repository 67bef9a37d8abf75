/* Files: mapping for reading, plain reading, and writing one new file that appears under its name only when complete. */
#ifndef L4_BASE_FILE_H
#define L4_BASE_FILE_H

#include "base/alloc.h"

/* A file whose bytes are in memory. */
typedef struct l4_mapping {
    const uint8_t *data; /* NULL when size is 0 */
    size_t size;
    int owned;           /* 1: mapped here; 0: the host's memory */
    uint64_t identity[2]; /* what the system calls the file, for l4_map_is_path; zero for the host's memory */
    void *handle;        /* the open file, for base/input.h; NULL: closed, or never there */
} l4_mapping;

#define L4_FILE_MISSING 0
#define L4_FILE_REGULAR 1
#define L4_FILE_DIRECTORY 2

/* What a UTF-8 path is: L4_FILE_ value. Anything else than a directory that can be opened counts as regular. */
int l4_file_kind(const char *path);

/* Maps a whole regular file for reading. */
llama4_status l4_map_path(const char *path, l4_mapping *out, llama4_error *error);
llama4_status l4_map_whole(const char *path, l4_mapping *out, llama4_error *error); /* and l4_map_own: for small files */
llama4_status l4_map_fd(int fd, l4_mapping *out, llama4_error *error);
void l4_unmap(l4_mapping *m);

/* Closes the file behind the mapping, which stays. */
void l4_map_close_file(l4_mapping *m);

/* 1 if a path names the very file that is mapped, by whatever spelling or link. */
int l4_map_is_path(const l4_mapping *m, const char *path);

/* Reads bytes that are about to be looked at into memory of their own, which takes their place in the mapping: from then on a file that becomes shorter,
 * or a disk that fails, is of no matter to them; what goes wrong now is an error, where looking would be a fault. `name` is for messages. The host's
 * memory stays as it is; so do files on Windows, which nobody can cut while they are mapped. Not while other threads look at the mapping, which is of
 * no use after a failure. Of more than L4_OWN_MOST bytes only the first so many: nothing useful is longer, and nonsense shall not take that much memory. */
#define L4_OWN_MOST ((uint64_t)256 << 20)
llama4_status l4_map_own(const l4_mapping *m, uint64_t offset, uint64_t size, const char *name, llama4_error *error);

/* Asks the system to read `size` bytes at `offset` ahead of use. A hint only. */
void l4_map_prefetch(const l4_mapping *m, size_t offset, size_t size);

/* The bytes need not stay in this process's memory: they are read again from the file if they are looked at, except those of l4_map_own, which are gone.
 * A hint only; whole pages only. */
void l4_map_forget(const l4_mapping *m, size_t offset, size_t size);

/* Memory that is about to be used from end to end, before it is: the system may back it with large pages. A hint. */
void l4_memory_large_pages(void *memory, size_t size);

/* Bytes of memory that the machine has; 0 if it does not say. */
uint64_t l4_memory_size(void);

/* directory + '/' + name, allocated. */
llama4_status l4_path_join(const l4_allocator *a, const char *directory, const char *name, char **out, llama4_error *error);

/* A new file beside `path` under a temporary name; l4_writer_commit moves it to `path`, l4_writer_abandon removes it. */
typedef struct l4_writer {
    const l4_allocator *allocator;
    void *handle;    /* the open file */
    char *path;      /* final */
    char *temporary;
    uint64_t written;
} l4_writer;

llama4_status l4_writer_open(const l4_allocator *a, const char *path, l4_writer *out, llama4_error *error);
llama4_status l4_writer_write(l4_writer *w, const void *data, size_t size, llama4_error *error);
llama4_status l4_writer_commit(l4_writer *w, llama4_error *error);
void l4_writer_abandon(l4_writer *w); /* also after a failed commit; harmless after a successful one */

/* Seconds of a clock that never goes back. */
double l4_clock(void);

#endif
