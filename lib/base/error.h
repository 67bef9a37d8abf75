/* Filling the caller's llama4_error, and the host's log. */
#ifndef L4_BASE_ERROR_H
#define L4_BASE_ERROR_H

#include "llama4/llama4.h"

#if defined(__MINGW32__)
#define L4_PRINTF(f, a) __attribute__((format(gnu_printf, f, a)))
#elif defined(__GNUC__)
#define L4_PRINTF(f, a) __attribute__((format(printf, f, a)))
#else
#define L4_PRINTF(f, a)
#endif

/* Writes the message (cut at 255 bytes, never inside a code point; control characters and bytes that are no UTF-8 become
 * '?') and returns `status`. error may be NULL. Never pass %f or %g: they follow the host's locale. */
llama4_status l4_fail(llama4_error *error, llama4_status status, const char *format, ...) L4_PRINTF(3, 4);

typedef struct l4_log {
    llama4_log_fn write; /* or NULL */
    void *user;
} l4_log;

/* Formats a line of at most 511 bytes for the host; does nothing without a hook. */
void l4_say(const l4_log *log, int32_t level, const char *format, ...) L4_PRINTF(3, 4);

/* For structs that a caller hands in. `given` is its struct_size, `first` the size of the struct's first version, `known` that
 * of this library: too small fails, and so does a non-zero byte beyond `known`. */
llama4_status l4_check_struct(const void *data, size_t given, size_t first, size_t known, const char *name, llama4_error *error);

/* l4_check_struct, then a copy into *out (`known` bytes), zero where the caller's struct is shorter. in may be NULL: all zero. */
llama4_status l4_read_struct(void *out, const void *in, size_t first, size_t known, const char *name, llama4_error *error);

/* For arrays of structs that begin with struct_size: an element larger than its stride would reach into the next one. */
llama4_status l4_check_stride(const void *element, size_t stride, const char *name, llama4_error *error);

/* For structs that the library fills: writes at most the `given` bytes, struct_size kept. */
llama4_status l4_write_struct(void *out, const void *full, size_t first, size_t known, const char *name, llama4_error *error);

#endif
