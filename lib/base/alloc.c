#include "base/alloc.h"

#include <stdlib.h>
#include <string.h>

#define ALIGNMENT 64

static void *system_allocate(void *user, size_t size, size_t alignment)
{
    (void)user;
#if defined(_WIN32)
    return _aligned_malloc(size, alignment);
#else
    void *memory = NULL;
    return posix_memalign(&memory, alignment, size) ? NULL : memory;
#endif
}

static void system_release(void *user, void *memory)
{
    (void)user;
#if defined(_WIN32)
    _aligned_free(memory);
#else
    free(memory);
#endif
}

const l4_allocator l4_system_allocator = {system_allocate, system_release, NULL};

llama4_status l4_allocator_init(l4_allocator *out, llama4_allocate_fn allocate, llama4_release_fn release, void *user,
                                llama4_error *error)
{
    if (!allocate != !release)
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "allocate and release must be given together");
    *out = l4_system_allocator;
    if (allocate) {
        out->allocate = allocate;
        out->release = release;
        out->user = user;
    }
    return LLAMA4_OK;
}

llama4_status l4_alloc(const l4_allocator *a, size_t count, size_t size, const char *what, void *out, llama4_error *error)
{
    void *memory = NULL;
    if (count == 0 || size == 0)
        count = size = 1;
    if (count <= (SIZE_MAX - ALIGNMENT) / size)
        memory = a->allocate(a->user, count * size, ALIGNMENT);
    memcpy(out, &memory, sizeof memory);
    if (memory)
        return LLAMA4_OK;
    return l4_fail(error, LLAMA4_ERR_MEMORY, "out of memory: %zu x %zu bytes for %s", count, size, what);
}

llama4_status l4_alloc_zero(const l4_allocator *a, size_t count, size_t size, const char *what, void *out, llama4_error *error)
{
    llama4_status status = l4_alloc(a, count, size, what, out, error);
    if (status == LLAMA4_OK) {
        void *memory;
        memcpy(&memory, out, sizeof memory);
        memset(memory, 0, count * size);
    }
    return status;
}

void l4_free(const l4_allocator *a, void *memory)
{
    if (memory)
        a->release(a->user, memory);
}

llama4_status l4_grow(const l4_allocator *a, void *data, size_t *capacity, size_t used, size_t need, size_t size,
                      const char *what, llama4_error *error)
{
    if (need <= *capacity)
        return LLAMA4_OK;
    size_t room = *capacity + *capacity / 2;
    if (room < need)
        room = need;
    void *old, *fresh;
    memcpy(&old, data, sizeof old);
    llama4_status status = l4_alloc(a, room, size, what, &fresh, error);
    if (status)
        return status;
    if (used)
        memcpy(fresh, old, used * size);
    l4_free(a, old);
    memcpy(data, &fresh, sizeof fresh);
    *capacity = room;
    return LLAMA4_OK;
}

llama4_status l4_copy_string(const l4_allocator *a, const char *text, size_t length, char **out, llama4_error *error)
{
    char *copy;
    llama4_status status = l4_alloc(a, length + 1, 1, "a string", &copy, error);
    if (status)
        return status;
    if (length)
        memcpy(copy, text, length);
    copy[length] = 0;
    *out = copy;
    return LLAMA4_OK;
}
