/* base/file.h on Windows. Paths come in as UTF-8 and go to the system as UTF-16. */
#include "base/file.h"

#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN
#endif
#include <windows.h>

#include <io.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATH_UNITS 3072 /* of UTF-16; on the stack, at most two at a time */

/* The system's message for a code, without the full stop and the line end that it comes with. */
static const char *reason(DWORD code, char *buffer, int size)
{
    wchar_t wide[160];
    if (code == ERROR_NO_UNICODE_TRANSLATION)
        return "the path is not valid UTF-8";
    if (code == ERROR_INSUFFICIENT_BUFFER)
        return "the path is too long";
    DWORD n = FormatMessageW(FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS, NULL, code, 0, wide, 160, NULL);
    while (n && (wide[n - 1] <= L' ' || wide[n - 1] == L'.'))
        n--;
    int bytes = n ? WideCharToMultiByte(CP_UTF8, 0, wide, (int)n, buffer, size - 1, NULL, NULL) : 0;
    if (bytes <= 0)
        snprintf(buffer, (size_t)size, "error %lu", (unsigned long)code);
    else
        buffer[bytes] = 0;
    return buffer;
}

static llama4_status io_error(llama4_error *error, const char *action, const char *path, DWORD code)
{
    char text[480];
    return l4_fail(error, LLAMA4_ERR_IO, "cannot %s %s: %s", action, path, reason(code, text, sizeof text));
}

/* 0, with a code in GetLastError, if the path is no UTF-8 or too long. */
static int widen(const char *path, wchar_t out[PATH_UNITS])
{
    return MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, path, -1, out, PATH_UNITS) > 0;
}

/* The flag is what lets directories be opened, too. */
static HANDLE open_path(const char *path, DWORD access)
{
    wchar_t wide[PATH_UNITS];
    if (!widen(path, wide))
        return INVALID_HANDLE_VALUE;
    return CreateFileW(wide, access, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, NULL, OPEN_EXISTING, FILE_FLAG_BACKUP_SEMANTICS,
                       NULL);
}

int l4_file_kind(const char *path)
{
    wchar_t wide[PATH_UNITS];
    DWORD attributes = widen(path, wide) ? GetFileAttributesW(wide) : INVALID_FILE_ATTRIBUTES;
    if (attributes == INVALID_FILE_ATTRIBUTES)
        return L4_FILE_MISSING;
    return attributes & FILE_ATTRIBUTE_DIRECTORY ? L4_FILE_DIRECTORY : L4_FILE_REGULAR;
}

static void identify(const BY_HANDLE_FILE_INFORMATION *info, uint64_t identity[2])
{
    identity[0] = (uint64_t)info->dwVolumeSerialNumber | (uint64_t)1 << 32; /* never both zero */
    identity[1] = (uint64_t)info->nFileIndexHigh << 32 | info->nFileIndexLow;
}

static llama4_status map(HANDLE file, const char *path, l4_mapping *out, llama4_error *error)
{
    BY_HANDLE_FILE_INFORMATION info;
    if (GetFileType(file) != FILE_TYPE_DISK)
        return l4_fail(error, LLAMA4_ERR_IO, "cannot map %s: it is no regular file", path);
    if (!GetFileInformationByHandle(file, &info))
        return io_error(error, "examine", path, GetLastError());
    if (info.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY)
        return l4_fail(error, LLAMA4_ERR_IO, "cannot read %s: it is a directory", path);
    uint64_t size = (uint64_t)info.nFileSizeHigh << 32 | info.nFileSizeLow;
    if (size > SIZE_MAX / 2)
        return l4_fail(error, LLAMA4_ERR_IO, "cannot map %s: it is too large", path);
    void *data = NULL;
    if (size) {
        /* The size is given, so that a file that shrank meanwhile fails here instead of later. The view keeps the section. */
        HANDLE section = CreateFileMappingW(file, NULL, PAGE_READONLY, info.nFileSizeHigh, info.nFileSizeLow, NULL);
        if (!section)
            return io_error(error, "map", path, GetLastError());
        data = MapViewOfFile(section, FILE_MAP_READ, 0, 0, (SIZE_T)size);
        DWORD code = GetLastError();
        CloseHandle(section);
        if (!data)
            return io_error(error, "map", path, code);
    }
    out->data = data;
    out->size = (size_t)size;
    out->owned = 1;
    identify(&info, out->identity);
    out->handle = file;
    return LLAMA4_OK;
}

llama4_status l4_map_path(const char *path, l4_mapping *out, llama4_error *error)
{
    HANDLE file = open_path(path, GENERIC_READ);
    if (file == INVALID_HANDLE_VALUE)
        return io_error(error, "open", path, GetLastError());
    llama4_status status = map(file, path, out, error);
    if (status)
        CloseHandle(file);
    return status;
}

#if defined(_UCRT) || defined(_MSC_VER)
static void ignore_parameter(const wchar_t *expression, const wchar_t *function, const wchar_t *file, unsigned line, uintptr_t reserved)
{
    (void)expression, (void)function, (void)file, (void)line, (void)reserved;
}
#endif

/* The handle behind a descriptor. The newer C runtime would end the process over a bad one, unless told otherwise. */
static HANDLE handle_of(int fd)
{
    if (fd < 0)
        return INVALID_HANDLE_VALUE;
#if defined(_UCRT) || defined(_MSC_VER)
    _invalid_parameter_handler old = _set_thread_local_invalid_parameter_handler(ignore_parameter);
    intptr_t handle = _get_osfhandle(fd);
    _set_thread_local_invalid_parameter_handler(old);
#else
    intptr_t handle = _get_osfhandle(fd);
#endif
    return handle == -2 ? INVALID_HANDLE_VALUE : (HANDLE)handle; /* -2: a standard stream that leads nowhere */
}

llama4_status l4_map_fd(int fd, l4_mapping *out, llama4_error *error)
{
    HANDLE file = handle_of(fd);
    if (file == INVALID_HANDLE_VALUE)
        return io_error(error, "examine", "the file descriptor", ERROR_INVALID_HANDLE);
    HANDLE own;
    if (!DuplicateHandle(GetCurrentProcess(), file, GetCurrentProcess(), &own, 0, FALSE, DUPLICATE_SAME_ACCESS))
        return io_error(error, "examine", "the file descriptor", GetLastError());
    llama4_status status = map(own, "the file descriptor", out, error);
    if (status)
        CloseHandle(own);
    return status;
}

llama4_status l4_map_own(const l4_mapping *m, uint64_t offset, uint64_t size, const char *name, llama4_error *error)
{
    (void)m, (void)offset, (void)size, (void)name, (void)error;
    return LLAMA4_OK;
}

void l4_map_close_file(l4_mapping *m)
{
    if (m->handle)
        CloseHandle(m->handle);
    m->handle = NULL;
}

void l4_unmap(l4_mapping *m)
{
    l4_map_close_file(m);
    if (m->owned && m->data)
        UnmapViewOfFile(m->data);
    m->data = NULL;
    m->size = 0;
}

int l4_map_is_path(const l4_mapping *m, const char *path)
{
    BY_HANDLE_FILE_INFORMATION info;
    uint64_t identity[2];
    HANDLE file = m->owned ? open_path(path, 0) : INVALID_HANDLE_VALUE;
    if (file == INVALID_HANDLE_VALUE)
        return 0;
    int known = GetFileInformationByHandle(file, &info) != 0;
    CloseHandle(file);
    if (!known)
        return 0;
    identify(&info, identity);
    return identity[0] == m->identity[0] && identity[1] == m->identity[1];
}

void l4_map_prefetch(const l4_mapping *m, size_t offset, size_t size)
{
    if (!m->owned || !m->data || offset >= m->size)
        return;
    WIN32_MEMORY_RANGE_ENTRY range = {(void *)(uintptr_t)(m->data + offset), size < m->size - offset ? size : m->size - offset};
    PrefetchVirtualMemory(GetCurrentProcess(), 1, &range, 0);
}

void l4_map_forget(const l4_mapping *m, size_t offset, size_t size)
{
    /* Unlocking pages that are not locked takes them out of the working set. */
    if (m->owned && m->data && offset < m->size)
        VirtualUnlock((void *)(uintptr_t)(m->data + offset), size < m->size - offset ? size : m->size - offset);
}

void l4_memory_large_pages(void *memory, size_t size)
{
    (void)memory, (void)size; /* large pages need a privilege here */
}

uint64_t l4_memory_size(void)
{
    MEMORYSTATUSEX status = {.dwLength = sizeof status};
    return GlobalMemoryStatusEx(&status) ? status.ullTotalPhys : 0;
}

llama4_status l4_writer_open(const l4_allocator *a, const char *path, l4_writer *out, llama4_error *error)
{
    l4_writer w = {.allocator = a};
    wchar_t wide[PATH_UNITS];
    HANDLE file = INVALID_HANDLE_VALUE;
    DWORD code = ERROR_FILE_EXISTS;
    size_t n = strlen(path);
    llama4_status status = l4_copy_string(a, path, n, &w.path, error);
    if (status == LLAMA4_OK)
        status = l4_alloc(a, n + 16, 1, "a path", &w.temporary, error);
    if (status)
        goto fail;
    for (int attempt = 0; attempt < 1000 && file == INVALID_HANDLE_VALUE && code == ERROR_FILE_EXISTS; attempt++) {
        snprintf(w.temporary, n + 16, "%s.part%d", path, attempt);
        if (widen(w.temporary, wide))
            file = CreateFileW(wide, GENERIC_WRITE, 0, NULL, CREATE_NEW, FILE_ATTRIBUTE_NORMAL, NULL);
        code = GetLastError();
    }
    if (file == INVALID_HANDLE_VALUE) {
        status = io_error(error, "create", w.temporary, code);
        goto fail;
    }
    w.handle = file;
    *out = w;
    return LLAMA4_OK;
fail:
    l4_free(a, w.path);
    l4_free(a, w.temporary);
    return status;
}

llama4_status l4_writer_write(l4_writer *w, const void *data, size_t size, llama4_error *error)
{
    const char *p = data;
    while (size) {
        DWORD n = 0, part = size < (1u << 30) ? (DWORD)size : 1u << 30;
        if (!WriteFile(w->handle, p, part, &n, NULL))
            return io_error(error, "write", w->temporary, GetLastError());
        if (n == 0)
            return io_error(error, "write", w->temporary, ERROR_DISK_FULL);
        p += n;
        size -= n;
        w->written += n;
    }
    return LLAMA4_OK;
}

llama4_status l4_writer_commit(l4_writer *w, llama4_error *error)
{
    wchar_t from[PATH_UNITS], to[PATH_UNITS];
    if (!FlushFileBuffers(w->handle))
        return io_error(error, "write", w->temporary, GetLastError());
    HANDLE file = w->handle;
    w->handle = NULL;
    if (!CloseHandle(file))
        return io_error(error, "write", w->temporary, GetLastError());
    if (!widen(w->temporary, from) || !widen(w->path, to) || !MoveFileExW(from, to, MOVEFILE_REPLACE_EXISTING | MOVEFILE_WRITE_THROUGH))
        return io_error(error, "create", w->path, GetLastError());
    l4_free(w->allocator, w->path);
    l4_free(w->allocator, w->temporary);
    w->path = w->temporary = NULL;
    return LLAMA4_OK;
}

void l4_writer_abandon(l4_writer *w)
{
    wchar_t wide[PATH_UNITS];
    if (w->handle)
        CloseHandle(w->handle);
    if (w->temporary && widen(w->temporary, wide))
        DeleteFileW(wide);
    l4_free(w->allocator, w->path);
    l4_free(w->allocator, w->temporary);
    *w = (l4_writer){.allocator = w->allocator};
}

double l4_clock(void)
{
    LARGE_INTEGER frequency, now;
    QueryPerformanceFrequency(&frequency);
    QueryPerformanceCounter(&now);
    return (double)now.QuadPart / (double)frequency.QuadPart;
}
