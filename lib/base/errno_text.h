/* Messages of errno without strerror's shared buffer, for POSIX systems. */
#ifndef L4_BASE_ERRNO_TEXT_H
#define L4_BASE_ERRNO_TEXT_H

#include <stddef.h>
#include <string.h>

static inline const char *l4_errno_text(int code, char *buffer, size_t size)
{
    buffer[0] = 0;
#if defined(__GLIBC__) && defined(_GNU_SOURCE)
    return strerror_r(code, buffer, size);
#else
    return strerror_r(code, buffer, size) ? "error" : buffer;
#endif
}

#endif
