/* Memory through the host's allocator. Every function takes the allocator that the handle inherited. */
#ifndef L4_BASE_ALLOC_H
#define L4_BASE_ALLOC_H

#include "base/error.h"

typedef struct l4_allocator {
    llama4_allocate_fn allocate;
    llama4_release_fn release;
    void *user;
} l4_allocator;

/* The C library's allocator: the default. */
extern const l4_allocator l4_system_allocator;

/* Fills *out from a host's pair of functions: both, or neither for the default. */
llama4_status l4_allocator_init(l4_allocator *out, llama4_allocate_fn allocate, llama4_release_fn release, void *user,
                                llama4_error *error);

/* count * size bytes aligned to 64, not cleared; a product that overflows counts as out of memory. A count of 0 yields
 * a valid pointer to one byte. On failure *out is NULL. `what` names the purpose in the message. */
llama4_status l4_alloc(const l4_allocator *a, size_t count, size_t size, const char *what, void *out, llama4_error *error);

/* The same, cleared to zero. */
llama4_status l4_alloc_zero(const l4_allocator *a, size_t count, size_t size, const char *what, void *out, llama4_error *error);

/* Gives memory back; NULL is fine. */
void l4_free(const l4_allocator *a, void *memory);

/* Makes room for `need` elements of `size` bytes in the array *data of capacity *capacity, of which `used` are kept;
 * grows by half at least. *data may be NULL when *capacity is 0. */
llama4_status l4_grow(const l4_allocator *a, void *data, size_t *capacity, size_t used, size_t need, size_t size,
                      const char *what, llama4_error *error);

/* A copy of `length` bytes with a NUL behind them. */
llama4_status l4_copy_string(const l4_allocator *a, const char *text, size_t length, char **out, llama4_error *error);

#endif
