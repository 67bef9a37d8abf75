/* base/memory.h: physical memory, and the limits of control groups. */
#include "base/memory.h"

#include "base/file.h"
#include "base/groups.h"

static void visit(void *user, const char *directory, int version)
{
    /* beyond memory.high a process is slowed down until it gives memory back */
    static const char *const files[3][2] = {{0}, {"memory.limit_in_bytes"}, {"memory.max", "memory.high"}};
    uint64_t *lowest = user, limit;
    for (int i = 0; i < 2 && files[version][i]; i++) {
        l4_group_read(directory, files[version][i], &limit, 1);
        if (limit && limit < *lowest)
            *lowest = limit;
    }
}

uint64_t l4_memory_group_limit(const char *root)
{
    uint64_t lowest = UINT64_MAX;
    l4_groups_walk(root, "memory", visit, &lowest);
    return lowest;
}

uint64_t l4_memory_total(void)
{
    const uint64_t size = l4_memory_size(), limit = l4_memory_group_limit("");
    return size ? (limit < size ? limit : size) : limit == UINT64_MAX ? 0 : limit;
}

uint64_t l4_memory_budget_of(uint64_t total)
{
    const uint64_t gib = (uint64_t)1 << 30, tenth = total / 10, rest = tenth > gib ? tenth : gib;
    return rest < total / 2 ? total - rest : total - total / 2;
}

uint64_t l4_memory_budget_default(void)
{
    return l4_memory_budget_of(l4_memory_total());
}
