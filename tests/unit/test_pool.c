/* The thread pool: every item exactly once, whatever the number of threads, of items and the grain; also more threads than processors, awake,
 * asleep and on their way between the two. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cpu.h"
#include "base/pool.h"
#include "check.h"
#if defined(__linux__)
#include <dirent.h>
#endif

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

/* Long enough that threads which wait for work fall asleep. */
static void pause_a_little(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
}

/* With that many processors, as far as the pool knows. */
static void run_jobs(int threads, int processors, int jobs, int pauses)
{
    l4_pool *pool;
    int workers[L4_MAX_THREADS] = {0};
    uint32_t state = 1;
    REQUIRE(l4_pool_create_for(&l4_system_allocator, threads, processors, &cancel, &pool, NULL) == LLAMA4_OK);
    CHECK_EQ(l4_pool_threads(pool), threads);
    for (int j = 0; j < jobs; j++) {
        if (pauses && j % pauses == 0)
            pause_a_little();
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
    for (int i = threads < processors ? threads : processors; i < L4_MAX_THREADS; i++)
        CHECK_EQ(workers[i], 0);
}

TEST(one_thread)
{
    run_jobs(1, 1, 1000, 0);
    run_jobs(1, 64, 1000, 0);
}

TEST(two_threads)
{
    run_jobs(2, 2, 60000, 0);
}

TEST(more_threads_than_processors)
{
    run_jobs(17, 17, 20000, 0);
}

TEST(threads_beyond_the_processors_are_not_started)
{
    run_jobs(17, 1, 2000, 0);
    run_jobs(17, 2, 20000, 0);
}

TEST(threads_that_fell_asleep)
{
    run_jobs(2, 2, 600, 1);
    run_jobs(5, 5, 2000, 3);
}

TEST(processors_of_this_process)
{
    l4_pool *pool;
    int workers[L4_MAX_THREADS] = {0}, n = l4_cpu_count();
    CHECK(n >= 1);
    REQUIRE(l4_pool_create(&l4_system_allocator, L4_MAX_THREADS, &cancel, &pool, NULL) == LLAMA4_OK);
    for (int i = 0; i < 2000; i++)
        l4_pool_run(pool, count, workers, MOST, 10);
    l4_pool_destroy(pool);
    for (int i = n; i < L4_MAX_THREADS; i++)
        CHECK_EQ(workers[i], 0);
}

#if defined(__linux__)
/* Threads of this process that are not asleep, the calling one apart. */
static int awake(void)
{
    int n = -1;
    DIR *tasks = opendir("/proc/self/task");
    for (struct dirent *task; tasks && (task = readdir(tasks));) {
        char name[300], text[512] = "", *state;
        snprintf(name, sizeof name, "/proc/self/task/%s/stat", task->d_name);
        FILE *f = task->d_name[0] == '.' ? NULL : fopen(name, "r");
        if (!f)
            continue;
        size_t got = fread(text, 1, sizeof text - 1, f);
        fclose(f);
        text[got] = 0;
        state = strrchr(text, ')');
        n += state && strncmp(state, ") S", 3) != 0;
    }
    if (tasks)
        closedir(tasks);
    return n;
}

TEST(idle_threads_sleep)
{
    l4_pool *pool;
    int workers[L4_MAX_THREADS] = {0}, asleep = 0;
    REQUIRE(l4_pool_create_for(&l4_system_allocator, 6, 6, &cancel, &pool, NULL) == LLAMA4_OK);
    for (int i = 0; i < 100; i++)
        l4_pool_run(pool, count, workers, MOST, 1);
    /* They have all the time they want to fall asleep, and then they stay so. */
    for (int i = 0; i < 100000 && asleep < 200; i++) {
        pause_a_little();
        asleep = awake() ? 0 : asleep + 1;
    }
    CHECK_EQ(asleep, 200);
    l4_pool_destroy(pool);
}
#else
TEST(idle_threads_sleep)
{
    SKIP("this system does not show it");
}
#endif

TEST(cancelled_work_is_skipped)
{
    l4_pool *pool;
    int workers[L4_MAX_THREADS] = {0};
    REQUIRE(l4_pool_create_for(&l4_system_allocator, 3, 3, &cancel, &pool, NULL) == LLAMA4_OK);
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
        REQUIRE(l4_pool_create_for(&l4_system_allocator, 1 + i % 5, 5, &cancel, &pool, NULL) == LLAMA4_OK);
        l4_pool_destroy(pool);
    }
}

TEST_MAIN(T(one_thread), T(two_threads), T(more_threads_than_processors), T(threads_beyond_the_processors_are_not_started), T(threads_that_fell_asleep),
          T(processors_of_this_process), T(idle_threads_sleep), T(cancelled_work_is_skipped), T(created_and_destroyed_without_work))
