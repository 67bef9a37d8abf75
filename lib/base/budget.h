/* A limit on memory: an allocator that counts, and that asks somebody to make room before it refuses. */
#ifndef L4_BASE_BUDGET_H
#define L4_BASE_BUDGET_H

#include "base/alloc.h"

typedef struct l4_budget l4_budget;

/* Gives some of the memory that it holds back, by l4_budget_return, and returns 1; 0 if it has none to spare. May wait. */
typedef int (*l4_budget_fn)(void *user);

llama4_status l4_budget_create(const l4_allocator *inner, uint64_t limit, l4_budget **out, llama4_error *error);
void l4_budget_destroy(l4_budget *b); /* after all that was allocated is free */

/* An allocator whose blocks count towards the limit; lives as long as the budget. */
const l4_allocator *l4_budget_allocator(const l4_budget *b);

/* Who can make room; NULL: nobody. Not while others allocate. */
void l4_budget_set_helper(l4_budget *b, l4_budget_fn make_room, void *user);

/* Counts `bytes` that lie elsewhere, if they fit (1) or not (0); asks nobody to make room. And gives them back. */
int l4_budget_take(l4_budget *b, uint64_t bytes);
void l4_budget_return(l4_budget *b, uint64_t bytes);

uint64_t l4_budget_limit(const l4_budget *b);
uint64_t l4_budget_used(l4_budget *b);

#endif
