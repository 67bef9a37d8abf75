/* Reading a mapped file's bytes at given places, through the system's cache or past it, if that is possible: what is read once, and kept elsewhere,
 * need not push other things out. A file that has become shorter is an error here, where touching the mapping would be a fault. */
#ifndef L4_BASE_INPUT_H
#define L4_BASE_INPUT_H

#include <stdatomic.h>

#include "base/file.h"

#define L4_INPUT_ALIGN 4096

typedef struct l4_input {
    const char *name;      /* for messages; "the model's file" unless changed */
    const uint8_t *memory; /* of a mapping without a file: it is read instead */
    void *file;            /* through the cache */
    void *direct;          /* past the cache; or NULL */
    int cached;            /* what is read is to stay in the cache */
    uint64_t size;         /* when it was opened */
    atomic_int refused;    /* the file system did not like a direct read */
} l4_input;

/* The mapping must outlive *out. Never fails: in the worst case reads do. cached: 0: past the cache, as far as the system can. */
void l4_input_open(const l4_mapping *m, int cached, l4_input *out);
void l4_input_close(l4_input *in);

/* 1: reads go past the cache. */
int l4_input_is_direct(const l4_input *in);

/* Reads `size` bytes at `offset`. `buffer` is aligned to L4_INPUT_ALIGN and has room for size + 2 * L4_INPUT_ALIGN, or of an input that is cached, has room
 * for size; *data is where in it, at its beginning if the input is cached, or in the host's memory, the bytes lie. Any number of threads at once. */
llama4_status l4_input_read(l4_input *in, uint64_t offset, size_t size, uint8_t *buffer, const uint8_t **data, llama4_error *error);

#endif
