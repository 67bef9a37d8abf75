/* A pull parser for JSON over untrusted bytes in memory: strict RFC 8259, nesting at most 64, no tree, and no memory but
 * one string at a time. Numbers do not depend on the locale. */
#ifndef L4_FORMAT_JSON_H
#define L4_FORMAT_JSON_H

#include "base/alloc.h"

typedef enum l4_json_event {
    L4_JSON_OBJECT, L4_JSON_OBJECT_END, L4_JSON_ARRAY, L4_JSON_ARRAY_END, L4_JSON_KEY, L4_JSON_STRING, L4_JSON_NUMBER, L4_JSON_TRUE,
    L4_JSON_FALSE, L4_JSON_NULL, L4_JSON_END
} l4_json_event;

#define L4_JSON_DEPTH 64

typedef struct l4_json {
    const l4_allocator *allocator;
    const char *name;      /* of the file, for messages */
    const uint8_t *data;
    size_t size, position;
    l4_json_event event;   /* the last one */
    const char *text;      /* of a key, string or number: `length` bytes, not terminated, valid until the next call. Decoded UTF-8 */
    size_t length;
    char *scratch;         /* decoded strings that contain escapes */
    size_t scratch_capacity;
    uint32_t depth;
    uint8_t expect;        /* private */
    uint8_t stack[L4_JSON_DEPTH];
} l4_json;

void l4_json_init(l4_json *j, const l4_allocator *a, const void *data, size_t size, const char *name);
void l4_json_clear(l4_json *j);

/* The next event in j->event. After the top-level value, and nothing but space, comes L4_JSON_END. Lone surrogates in \u escapes are errors. */
llama4_status l4_json_next(l4_json *j, llama4_error *error);

/* Skips the value that begins with the event just read; after a KEY, skips the key's value. */
llama4_status l4_json_skip(l4_json *j, llama4_error *error);

/* Reads the next event and fails unless it is `event`; `what` names the thing in the message. */
llama4_status l4_json_expect(l4_json *j, l4_json_event event, const char *what, llama4_error *error);

/* Of the NUMBER just read. An integer may be written as 16.0 or 1e6. Out of range: LLAMA4_ERR_FORMAT naming `what`. */
llama4_status l4_json_i64(const l4_json *j, const char *what, int64_t min, int64_t max, int64_t *out, llama4_error *error);
llama4_status l4_json_f64(const l4_json *j, const char *what, double *out, llama4_error *error);

/* j->text equals the NUL-terminated s. */
int l4_json_is(const l4_json *j, const char *s);

#endif
