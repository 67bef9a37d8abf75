/* A pool of threads owned by one context. The caller of l4_pool_run works too; idle threads sleep. */
#ifndef L4_BASE_POOL_H
#define L4_BASE_POOL_H

#include <stdatomic.h>

#include "base/alloc.h"

#define L4_MAX_THREADS 64

typedef struct l4_pool l4_pool;

/* Does the items begin .. end - 1. worker: 0 .. threads - 1, each in use by one thread at a time. */
typedef void (*l4_task_fn)(void *task, size_t begin, size_t end, int worker);

/* `cancel` is looked at before each piece of work: once non-zero, remaining pieces are skipped. Threads beyond the processors that the process
 * may use (base/cpu.h) are not started: they could but take turns with the others, who would wait for them. */
llama4_status l4_pool_create(const l4_allocator *a, int threads, const atomic_int *cancel, l4_pool **out, llama4_error *error);

/* The same for a number of processors that the caller knows better. */
llama4_status l4_pool_create_for(const l4_allocator *a, int threads, int processors, const atomic_int *cancel, l4_pool **out, llama4_error *error);
void l4_pool_destroy(l4_pool *pool);
int l4_pool_threads(const l4_pool *pool); /* as asked for, the caller included */

/* Calls task over 0 .. n - 1 in pieces of `grain` items, in any order and on any thread, and returns when all are done.
 * Everything written before the call is visible to the tasks, and everything they wrote is visible after it. */
void l4_pool_run(l4_pool *pool, l4_task_fn fn, void *task, size_t n, size_t grain);

#endif
