/* base/input.h on POSIX systems. */
#include "base/input.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/errno_text.h"

static int fd_of(void *handle)
{
    return (int)(intptr_t)handle - 1;
}

void l4_input_open(const l4_mapping *m, int cached, l4_input *out)
{
    memset(out, 0, sizeof *out);
    out->name = "the model's file";
    out->size = m->size;
    atomic_init(&out->refused, 0);
    if (!m->handle) {
        out->memory = m->data;
        return;
    }
    out->file = m->handle;
    out->cached = cached;
    if (cached)
        return;
#if defined(__linux__) && defined(O_DIRECT)
    /* A description of its own, of the same file even if the path now leads elsewhere: the flag must not reach the host's. */
    char path[40];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd_of(m->handle));
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_DIRECT);
    out->direct = fd < 0 ? NULL : (void *)(intptr_t)(fd + 1);
#elif defined(F_NOCACHE)
    int fd = fcntl(fd_of(m->handle), F_DUPFD_CLOEXEC, 0);
    if (fd >= 0 && fcntl(fd, F_NOCACHE, 1)) {
        close(fd);
        fd = -1;
    }
    out->direct = fd < 0 ? NULL : (void *)(intptr_t)(fd + 1);
#endif
}

void l4_input_close(l4_input *in)
{
    if (in->direct)
        close(fd_of(in->direct));
    memset(in, 0, sizeof *in);
}

int l4_input_is_direct(const l4_input *in)
{
    return in->direct && !atomic_load(&in->refused);
}

/* Bytes read from `offset` on, fewer than `need` only at the end of the file; -1: errno. */
static ssize_t read_at(int fd, uint8_t *to, size_t size, size_t need, uint64_t offset)
{
    size_t got = 0;
    while (got < need) {
        const size_t at = got / L4_INPUT_ALIGN * L4_INPUT_ALIGN; /* a direct read goes on at a whole block */
        const ssize_t n = pread(fd, to + at, size - at, (off_t)(offset + at));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (at + (size_t)n <= got)
            break;
        got = at + (size_t)n;
    }
    return (ssize_t)got;
}

llama4_status l4_input_read(l4_input *in, uint64_t offset, size_t size, uint8_t *buffer, const uint8_t **data, llama4_error *error)
{
    const size_t align = in->cached ? 1 : L4_INPUT_ALIGN, lead = (size_t)(offset % align), need = lead + size;
    const size_t whole = (need + align - 1) / align * align;
    ssize_t got = -1;
    if (offset > in->size || size > in->size - offset)
        return l4_fail(error, LLAMA4_ERR_IO, "cannot read %zu bytes at %llu of a file of %llu", size, (unsigned long long)offset, (unsigned long long)in->size);
    if (in->memory) {
        *data = in->memory + offset;
        return LLAMA4_OK;
    }
    errno = EBADF;
    if (l4_input_is_direct(in)) {
        got = read_at(fd_of(in->direct), buffer, whole, need, offset - lead);
        if (got < 0 && errno == EINVAL)
            atomic_store(&in->refused, 1);
    }
    if (in->file && !l4_input_is_direct(in)) {
#if defined(POSIX_FADV_WILLNEED)
        if (!in->cached)
            posix_fadvise(fd_of(in->file), (off_t)(offset - lead), (off_t)whole, POSIX_FADV_WILLNEED);
#endif
        got = read_at(fd_of(in->file), buffer, whole, need, offset - lead);
#if defined(POSIX_FADV_DONTNEED)
        if (!in->cached)
            posix_fadvise(fd_of(in->file), (off_t)(offset - lead), (off_t)whole, POSIX_FADV_DONTNEED);
#endif
    }
    if (got < 0) {
        char text[96];
        const int code = errno;
        return l4_fail(error, LLAMA4_ERR_IO, "cannot read %s at byte %llu: %s", in->name, (unsigned long long)offset, l4_errno_text(code, text, sizeof text));
    }
    if ((size_t)got < need)
        return l4_fail(error, LLAMA4_ERR_IO, "%s ends at byte %llu: it had %llu bytes when it was opened", in->name,
                       (unsigned long long)(offset - lead + (uint64_t)got), (unsigned long long)in->size);
    *data = buffer + lead;
    return LLAMA4_OK;
}
