/* base/file.h on POSIX systems. */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#if defined(__APPLE__)
#include <sys/sysctl.h>
#endif
#include <time.h>
#include <unistd.h>

#include "base/errno_text.h"
#include "base/input.h"

static llama4_status io_error(llama4_error *error, const char *action, const char *path, int code)
{
    char text[96];
    return l4_fail(error, LLAMA4_ERR_IO, "cannot %s %s: %s", action, path, l4_errno_text(code, text, sizeof text));
}

int l4_file_kind(const char *path)
{
    struct stat st;
    if (stat(path, &st))
        return L4_FILE_MISSING;
    return S_ISDIR(st.st_mode) ? L4_FILE_DIRECTORY : L4_FILE_REGULAR;
}

static llama4_status map(int fd, const char *path, l4_mapping *out, llama4_error *error)
{
    struct stat st;
    if (fstat(fd, &st))
        return io_error(error, "examine", path, errno);
    if (S_ISDIR(st.st_mode))
        return l4_fail(error, LLAMA4_ERR_IO, "cannot read %s: it is a directory", path);
    if (!S_ISREG(st.st_mode))
        return l4_fail(error, LLAMA4_ERR_IO, "cannot map %s: it is no regular file", path);
    if ((uint64_t)st.st_size > SIZE_MAX / 2)
        return l4_fail(error, LLAMA4_ERR_IO, "cannot map %s: it is too large", path);
    out->data = NULL;
    out->size = (size_t)st.st_size;
    out->owned = 1;
    out->identity[0] = (uint64_t)st.st_dev;
    out->identity[1] = (uint64_t)st.st_ino;
    if (out->size) {
        void *p = mmap(NULL, out->size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (p == MAP_FAILED)
            return io_error(error, "map", path, errno);
        out->data = p;
    }
    out->handle = (void *)(intptr_t)(fd + 1);
    return LLAMA4_OK;
}

llama4_status l4_map_path(const char *path, l4_mapping *out, llama4_error *error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not hang the host */
    if (fd < 0)
        return io_error(error, "open", path, errno);
    llama4_status status = map(fd, path, out, error);
    if (status)
        close(fd);
    return status;
}

llama4_status l4_map_fd(int fd, l4_mapping *out, llama4_error *error)
{
    int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (own < 0)
        return io_error(error, "examine", "the file descriptor", errno);
    llama4_status status = map(own, "the file descriptor", out, error);
    if (status)
        close(own);
    return status;
}

llama4_status l4_map_own(const l4_mapping *m, uint64_t offset, uint64_t size, const char *name, llama4_error *error)
{
    const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), first = offset / page * page;
    if (!m->owned || !m->handle || offset >= m->size || !size)
        return LLAMA4_OK;
    if (size > L4_OWN_MOST)
        size = L4_OWN_MOST;
    const uint64_t end = size < m->size - offset ? offset + size : m->size, last = (end + page - 1) / page * page;
    const size_t bytes = (size_t)(last - first), there = (size_t)((last < m->size ? last : m->size) - first);
    void *place = mmap((void *)(uintptr_t)(m->data + first), bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    if (place == MAP_FAILED)
        return l4_fail(error, LLAMA4_ERR_MEMORY, "out of memory: %zu bytes of %s", bytes, name);
    const uint8_t *data;
    l4_input input;
    l4_input_open(m, 1, &input);
    input.name = name;
    llama4_status status = l4_input_read(&input, first, there, place, &data, error);
    l4_input_close(&input);
    return status;
}

void l4_map_close_file(l4_mapping *m)
{
    if (m->handle)
        close((int)(intptr_t)m->handle - 1);
    m->handle = NULL;
}

void l4_unmap(l4_mapping *m)
{
    l4_map_close_file(m);
    if (m->owned && m->data)
        munmap((void *)(uintptr_t)m->data, m->size);
    m->data = NULL;
    m->size = 0;
}

int l4_map_is_path(const l4_mapping *m, const char *path)
{
    struct stat st;
    return m->owned && stat(path, &st) == 0 && (uint64_t)st.st_dev == m->identity[0] && (uint64_t)st.st_ino == m->identity[1];
}

void l4_map_prefetch(const l4_mapping *m, size_t offset, size_t size)
{
    long page = sysconf(_SC_PAGESIZE);
    if (!m->owned || !m->data || page <= 0 || offset >= m->size)
        return;
    size_t start = offset / (size_t)page * (size_t)page;
    if (size > m->size - offset)
        size = m->size - offset;
    posix_madvise((void *)(uintptr_t)(m->data + start), size + (offset - start), POSIX_MADV_WILLNEED);
}

void l4_map_forget(const l4_mapping *m, size_t offset, size_t size)
{
#if defined(MADV_DONTNEED)
    long page = sysconf(_SC_PAGESIZE);
    if (!m->owned || !m->data || page <= 0 || offset >= m->size)
        return;
    size_t end = size < m->size - offset ? offset + size : m->size, whole = (size_t)page;
    size_t first = (offset + whole - 1) / whole * whole, last = end / whole * whole;
    if (first < last)
        madvise((void *)(uintptr_t)(m->data + first), last - first, MADV_DONTNEED);
#else
    (void)m, (void)offset, (void)size;
#endif
}

void l4_memory_large_pages(void *memory, size_t size)
{
#if defined(MADV_HUGEPAGE)
    const uintptr_t large = (uintptr_t)2 << 20, start = ((uintptr_t)memory + large - 1) / large * large, end = ((uintptr_t)memory + size) / large * large;
    if (start < end)
        madvise((void *)start, end - start, MADV_HUGEPAGE);
#else
    (void)memory, (void)size;
#endif
}

uint64_t l4_memory_size(void)
{
#if defined(__APPLE__) /* sysconf tells it there only since lately */
    uint64_t bytes = 0;
    size_t size = sizeof bytes;
    return sysctlbyname("hw.memsize", &bytes, &size, NULL, 0) == 0 ? bytes : 0;
#else
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    return pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page : 0;
#endif
}

llama4_status l4_writer_open(const l4_allocator *a, const char *path, l4_writer *out, llama4_error *error)
{
    l4_writer w = {.allocator = a};
    size_t n = strlen(path);
    llama4_status status = l4_copy_string(a, path, n, &w.path, error);
    if (status == LLAMA4_OK)
        status = l4_alloc(a, n + 16, 1, "a path", &w.temporary, error);
    if (status)
        goto fail;
    int fd = -1;
    for (int attempt = 0; attempt < 1000 && fd < 0; attempt++) {
        snprintf(w.temporary, n + 16, "%s.part%d", path, attempt);
        fd = open(w.temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd < 0 && errno != EEXIST)
            break;
    }
    if (fd < 0) {
        status = io_error(error, "create", w.temporary, errno);
        goto fail;
    }
    w.handle = (void *)(intptr_t)(fd + 1);
    *out = w;
    return LLAMA4_OK;
fail:
    l4_free(a, w.path);
    l4_free(a, w.temporary);
    return status;
}

static int writer_fd(const l4_writer *w)
{
    return (int)(intptr_t)w->handle - 1;
}

llama4_status l4_writer_write(l4_writer *w, const void *data, size_t size, llama4_error *error)
{
    const char *p = data;
    while (size) {
        ssize_t n = write(writer_fd(w), p, size < (1u << 30) ? size : 1u << 30);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return io_error(error, "write", w->temporary, n < 0 ? errno : ENOSPC);
        p += n;
        size -= (size_t)n;
        w->written += (uint64_t)n;
    }
    return LLAMA4_OK;
}

llama4_status l4_writer_commit(l4_writer *w, llama4_error *error)
{
    int fd = writer_fd(w);
    if (fsync(fd) && errno != EINVAL && errno != ENOTSUP)
        return io_error(error, "write", w->temporary, errno);
    w->handle = NULL;
    if (close(fd))
        return io_error(error, "write", w->temporary, errno);
    if (rename(w->temporary, w->path))
        return io_error(error, "create", w->path, errno);
    l4_free(w->allocator, w->path);
    l4_free(w->allocator, w->temporary);
    w->path = w->temporary = NULL;
    return LLAMA4_OK;
}

void l4_writer_abandon(l4_writer *w)
{
    if (w->handle)
        close(writer_fd(w));
    if (w->temporary)
        unlink(w->temporary);
    l4_free(w->allocator, w->path);
    l4_free(w->allocator, w->temporary);
    *w = (l4_writer){.allocator = w->allocator};
}

double l4_clock(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
