/* The thread pool: every item exactly once, whatever the number of threads, of items and the grain; also more threads than processors. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/pool.h"
#include "check.h"

enum { MOST = 4000 };

static atomic_int cancel;
static unsigned char hits[MOST];

static void count(void *task, size_t begin, size_t end, int worker)
{
    int *workers = task;
    for (size_t i = begin; i < end; i++)
        hits[i]++;
    workers[worker] = 1;
}

static void run_jobs(int threads, int jobs)
{
    l4_pool *pool;
    int workers[L4_MAX_THREADS] = {0};
    uint32_t state = 1;
    CHECK_EQ(l4_pool_create(&l4_system_allocator, threads, &cancel, &pool, NULL), LLAMA4_OK);
    CHECK_EQ(l4_pool_threads(pool), threads);
    for (int j = 0; j < jobs; j++) {
        state = state * 1103515245u + 12345u;
        /* Mostly short jobs: threads that wake late meet the next one. */
        size_t n = 1 + (state >> 8) % ((state >> 4) % 7 ? 60 : MOST), grain = 1 + (state >> 16) % 9;
        memset(hits, 0, n);
        l4_pool_run(pool, count, workers, n, grain);
        for (size_t i = 0; i < n; i++)
            if (hits[i] != 1) {
                CHECK_EQ(hits[i], 1);
                l4_pool_destroy(pool);
                return;
            }
    }
    l4_pool_destroy(pool);
    for (int i = threads; i < L4_MAX_THREADS; i++)
        CHECK_EQ(workers[i], 0);
}

TEST(one_thread)
{
    run_jobs(1, 1000);
}

TEST(two_threads)
{
    run_jobs(2, 60000);
}

TEST(more_threads_than_processors)
{
    run_jobs(17, 20000);
}

TEST(cancelled_work_is_skipped)
{
    l4_pool *pool;
    int workers[L4_MAX_THREADS] = {0};
    CHECK_EQ(l4_pool_create(&l4_system_allocator, 3, &cancel, &pool, NULL), LLAMA4_OK);
    memset(hits, 0, sizeof hits);
    atomic_store(&cancel, 1);
    l4_pool_run(pool, count, workers, MOST, 1);
    atomic_store(&cancel, 0);
    int sum = 0;
    for (int i = 0; i < MOST; i++)
        sum += hits[i];
    CHECK_EQ(sum, 0);
    l4_pool_run(pool, count, workers, MOST, 1);
    for (int i = 0; i < MOST; i++)
        sum += hits[i];
    CHECK_EQ(sum, MOST);
    l4_pool_destroy(pool);
}

TEST(created_and_destroyed_without_work)
{
    for (int i = 0; i < 200; i++) {
        l4_pool *pool;
        CHECK_EQ(l4_pool_create(&l4_system_allocator, 1 + i % 5, &cancel, &pool, NULL), LLAMA4_OK);
        l4_pool_destroy(pool);
    }
}

TEST_MAIN(T(one_thread), T(two_threads), T(more_threads_than_processors), T(cancelled_work_is_skipped), T(created_and_destroyed_without_work))
