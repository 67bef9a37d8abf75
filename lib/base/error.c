#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

static void tidy(char *text)
{
    size_t n = strlen(text), i = 0;
    while (i < n) {
        uint32_t c;
        size_t step = l4_utf8_decode((const uint8_t *)text + i, n - i, &c);
        if (step == 0 || c < 0x20 || c == 0x7f) {
            if (step == 0 && n == 255 && n - i < 4) { /* a code point that the cut went through */
                text[i] = 0;
                return;
            }
            text[i] = '?';
            step = 1;
        }
        i += step;
    }
}

llama4_status l4_fail(llama4_error *error, llama4_status status, const char *format, ...)
{
    if (error && error->struct_size >= sizeof *error) {
        va_list args;
        va_start(args, format);
        vsnprintf(error->message, sizeof error->message, format, args);
        va_end(args);
        tidy(error->message);
        error->status = status;
    }
    return status;
}

void l4_say(const l4_log *log, int32_t level, const char *format, ...)
{
    if (!log || !log->write)
        return;
    char line[512];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    tidy(line);
    log->write(log->user, level, line);
}

llama4_status l4_check_struct(const void *data, size_t given, size_t first, size_t known, const char *name, llama4_error *error)
{
    if (given < first)
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "%s: size %zu is too small, at least %zu is needed", name, given, first);
    const unsigned char *bytes = data;
    for (size_t i = known; i < given; i++)
        if (bytes[i])
            return l4_fail(error, LLAMA4_ERR_UNSUPPORTED, "%s: byte %zu is set, but this library knows %zu bytes only", name, i, known);
    return LLAMA4_OK;
}

llama4_status l4_read_struct(void *out, const void *in, size_t first, size_t known, const char *name, llama4_error *error)
{
    uint32_t given = 0;
    memset(out, 0, known);
    if (!in)
        return LLAMA4_OK;
    memcpy(&given, in, sizeof given);
    llama4_status status = l4_check_struct(in, given, first, known, name, error);
    if (status == LLAMA4_OK)
        memcpy(out, in, given < known ? given : known);
    return status;
}

llama4_status l4_check_stride(const void *element, size_t stride, const char *name, llama4_error *error)
{
    uint32_t size;
    memcpy(&size, element, sizeof size);
    if (size > stride)
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "%s: size %u is larger than the stride %zu", name, (unsigned)size, stride);
    return LLAMA4_OK;
}

llama4_status l4_write_struct(void *out, const void *full, size_t first, size_t known, const char *name, llama4_error *error)
{
    uint32_t given;
    if (!out)
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "%s is NULL", name);
    memcpy(&given, out, sizeof given);
    if (given < first)
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "%s: size %u is too small, at least %zu is needed", name, (unsigned)given, first);
    memcpy((char *)out + sizeof given, (const char *)full + sizeof given, (given < known ? given : known) - sizeof given);
    return LLAMA4_OK;
}
