/* How much memory this process may count on. */
#ifndef L4_BASE_MEMORY_H
#define L4_BASE_MEMORY_H

#include <stdint.h>

/* Bytes of memory that the machine has, or that the process's control groups (v1 or v2, up to the root) allow it, whichever is
 * less; 0 if the system does not say. Asks the system each time, a few files' worth of work. */
uint64_t l4_memory_total(void);

/* What a model may use by default: the total less what l4_memory_budget_of leaves; 0 if the total is not known. */
uint64_t l4_memory_budget_default(void);

/* `total` less 1 GiB or a tenth of it, whichever is more, for the rest of the system; never less than half of it. */
uint64_t l4_memory_budget_of(uint64_t total);

/* The lowest limit among the memory control groups that the process is in; UINT64_MAX if there is none. `root` is as in
 * base/groups.h. */
uint64_t l4_memory_group_limit(const char *root);

#endif
