/* Allocations -> a count of bytes under a limit. In front of each block stands its size. */
#include "base/budget.h"

#include <stdatomic.h>
#include <string.h>

#define HEADER 64 /* keeps the alignment of l4_alloc */

struct l4_budget {
    l4_allocator inner, counting;
    uint64_t limit;
    atomic_uint_fast64_t used;
    l4_budget_fn make_room;
    void *user;
};

int l4_budget_take(l4_budget *b, uint64_t bytes)
{
    uint_fast64_t used = atomic_load(&b->used);
    do {
        if (bytes > b->limit || used > b->limit - bytes)
            return 0;
    } while (!atomic_compare_exchange_weak(&b->used, &used, used + bytes));
    return 1;
}

void l4_budget_return(l4_budget *b, uint64_t bytes)
{
    atomic_fetch_sub(&b->used, bytes);
}

static void *allocate(void *user, size_t size, size_t alignment)
{
    l4_budget *b = user;
    if (alignment > HEADER || size > SIZE_MAX - HEADER)
        return NULL;
    const uint64_t bytes = (uint64_t)size + HEADER;
    while (!l4_budget_take(b, bytes))
        if (bytes > b->limit || !b->make_room || !b->make_room(b->user))
            return NULL;
    char *block = b->inner.allocate(b->inner.user, size + HEADER, HEADER);
    if (!block) {
        l4_budget_return(b, bytes);
        return NULL;
    }
    memcpy(block, &bytes, sizeof bytes);
    return block + HEADER;
}

static void release(void *user, void *memory)
{
    l4_budget *b = user;
    char *block = (char *)memory - HEADER;
    uint64_t bytes;
    memcpy(&bytes, block, sizeof bytes);
    b->inner.release(b->inner.user, block);
    l4_budget_return(b, bytes);
}

llama4_status l4_budget_create(const l4_allocator *inner, uint64_t limit, l4_budget **out, llama4_error *error)
{
    l4_budget *b;
    llama4_status status = l4_alloc_zero(inner, 1, sizeof *b, "the memory budget", &b, error);
    if (status)
        return status;
    b->inner = *inner;
    b->counting = (l4_allocator){allocate, release, b};
    b->limit = limit;
    atomic_init(&b->used, 0);
    *out = b;
    return LLAMA4_OK;
}

void l4_budget_destroy(l4_budget *b)
{
    if (b) {
        l4_allocator inner = b->inner;
        l4_free(&inner, b);
    }
}

const l4_allocator *l4_budget_allocator(const l4_budget *b)
{
    return &b->counting;
}

void l4_budget_set_helper(l4_budget *b, l4_budget_fn make_room, void *user)
{
    b->make_room = make_room;
    b->user = user;
}

uint64_t l4_budget_limit(const l4_budget *b)
{
    return b->limit;
}

uint64_t l4_budget_used(l4_budget *b)
{
    return atomic_load(&b->used);
}
