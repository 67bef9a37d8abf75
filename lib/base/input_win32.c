/* base/input.h on Windows. */
#include "base/input.h"

#include <string.h>
#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN
#endif
#include <windows.h>

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
    HANDLE direct = ReOpenFile(m->handle, GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, FILE_FLAG_NO_BUFFERING);
    out->direct = direct == INVALID_HANDLE_VALUE ? NULL : direct;
}

void l4_input_close(l4_input *in)
{
    if (in->direct)
        CloseHandle(in->direct);
    memset(in, 0, sizeof *in);
}

int l4_input_is_direct(const l4_input *in)
{
    return in->direct && !atomic_load(&in->refused);
}

/* Bytes read from `offset` on, fewer than `need` only at the end of the file; SIZE_MAX: GetLastError. */
static size_t read_at(HANDLE file, uint8_t *to, size_t size, size_t need, uint64_t offset)
{
    size_t got = 0;
    while (got < need) {
        const size_t at = got / L4_INPUT_ALIGN * L4_INPUT_ALIGN; /* a direct read goes on at a whole block */
        const size_t left = size - at;
        OVERLAPPED place = {.Offset = (DWORD)(offset + at), .OffsetHigh = (DWORD)((offset + at) >> 32)};
        DWORD n = 0;
        if (!ReadFile(file, to + at, left < (1u << 30) ? (DWORD)left : 1u << 30, &n, &place) && GetLastError() != ERROR_HANDLE_EOF)
            return SIZE_MAX;
        if (at + n <= got)
            break;
        got = at + n;
    }
    return got;
}

llama4_status l4_input_read(l4_input *in, uint64_t offset, size_t size, uint8_t *buffer, const uint8_t **data, llama4_error *error)
{
    const size_t align = in->cached ? 1 : L4_INPUT_ALIGN, lead = (size_t)(offset % align), need = lead + size;
    const size_t whole = (need + align - 1) / align * align;
    size_t got = SIZE_MAX;
    if (offset > in->size || size > in->size - offset)
        return l4_fail(error, LLAMA4_ERR_IO, "cannot read %zu bytes at %llu of a file of %llu", size, (unsigned long long)offset, (unsigned long long)in->size);
    if (in->memory) {
        *data = in->memory + offset;
        return LLAMA4_OK;
    }
    if (l4_input_is_direct(in)) {
        got = read_at(in->direct, buffer, whole, need, offset - lead);
        if (got == SIZE_MAX && GetLastError() == ERROR_INVALID_PARAMETER)
            atomic_store(&in->refused, 1);
    }
    if (in->file && !l4_input_is_direct(in))
        got = read_at(in->file, buffer, whole, need, offset - lead);
    if (got == SIZE_MAX)
        return l4_fail(error, LLAMA4_ERR_IO, "cannot read %s at byte %llu: error %lu", in->name, (unsigned long long)offset, (unsigned long)GetLastError());
    if (got < need)
        return l4_fail(error, LLAMA4_ERR_IO, "%s ends at byte %llu: it had %llu bytes when it was opened", in->name,
                       (unsigned long long)(offset - lead + got), (unsigned long long)in->size);
    *data = buffer + lead;
    return LLAMA4_OK;
}
