/* Memory and processors that may be used: limits of control groups, read from made-up roots, and what is left for the rest of the system. */
#include <stdlib.h>

#include "base/cpu.h"
#include "base/file.h"
#include "base/memory.h"
#include "check.h"

#define GIB ((uint64_t)1 << 30)

TEST(a_part_is_left_for_the_system)
{
    CHECK_EQ(l4_memory_budget_of(0), 0);
    CHECK_EQ(l4_memory_budget_of(1), 1);
    CHECK_EQ(l4_memory_budget_of(GIB), GIB / 2);
    CHECK_EQ(l4_memory_budget_of(2 * GIB), GIB);
    CHECK_EQ(l4_memory_budget_of(4 * GIB), 3 * GIB);
    CHECK_EQ(l4_memory_budget_of(10 * GIB), 9 * GIB);
    CHECK_EQ(l4_memory_budget_of(24 * GIB), 24 * GIB - 24 * GIB / 10);
    CHECK_EQ(l4_memory_budget_of(UINT64_MAX) < UINT64_MAX, 1);
    for (uint64_t total = 1; total && total < 64 * GIB; total = total * 3 / 2 + 1)
        CHECK(l4_memory_budget_of(total) >= total / 2 && l4_memory_budget_of(total) <= total);
}

TEST(this_machine)
{
    uint64_t size = l4_memory_size(), total = l4_memory_total();
    CHECK(size > 0);
    CHECK(total > 0 && total <= size);
    CHECK_EQ(l4_memory_budget_default(), l4_memory_budget_of(total));
}

#if defined(__linux__)
#include <sys/stat.h>

static char root[64];

static void make_root(void)
{
    strcpy(root, "/tmp/llama4-memory-XXXXXX");
    CHECK(mkdtemp(root) != NULL);
}

static void remove_root(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", root);
    CHECK_EQ(system(command), 0);
}

/* Writes a file below the root, and the folders that it needs. */
static void put(const char *path, const char *text)
{
    char name[8192];
    snprintf(name, sizeof name, "%s%s", root, path);
    for (char *p = name + strlen(root) + 1; (p = strchr(p, '/')); p++) {
        *p = 0;
        mkdir(name, 0700);
        *p = '/';
    }
    FILE *f = fopen(name, "wb");
    if (CHECK(f != NULL)) {
        CHECK_EQ(fwrite(text, 1, strlen(text), f), strlen(text));
        fclose(f);
    }
}

#define V2 "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
#define V1                                                                 \
    "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n"           \
    "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"  \
    "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"    \
    "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"

TEST(no_groups)
{
    make_root();
    CHECK_EQ(l4_memory_group_limit(root) == UINT64_MAX, 1);
    put("/proc/self/mountinfo", V2);
    CHECK_EQ(l4_memory_group_limit(root) == UINT64_MAX, 1);
    put("/proc/self/cgroup", "0::/user.slice\n");
    CHECK_EQ(l4_memory_group_limit(root) == UINT64_MAX, 1);
    put("/sys/fs/cgroup/user.slice/memory.max", "max\n");
    CHECK_EQ(l4_memory_group_limit(root) == UINT64_MAX, 1);
    remove_root();
}

TEST(version_2_takes_the_lowest_up_to_the_top)
{
    make_root();
    put("/proc/self/mountinfo", V2);
    put("/proc/self/cgroup", "0::/a/b/c d\n");
    put("/sys/fs/cgroup/a/b/c d/memory.max", "5000000000\n");
    CHECK_EQ(l4_memory_group_limit(root), 5000000000);
    put("/sys/fs/cgroup/a/memory.max", "4000000000\n");
    CHECK_EQ(l4_memory_group_limit(root), 4000000000);
    put("/sys/fs/cgroup/a/memory.max", "max\n");
    put("/sys/fs/cgroup/a/b/memory.high", "3000000000\n");
    CHECK_EQ(l4_memory_group_limit(root), 3000000000);
    put("/sys/fs/cgroup/memory.max", "2000000000\n");
    CHECK_EQ(l4_memory_group_limit(root), 2000000000);
    put("/sys/fs/cgroup/a/x/memory.max", "1\n"); /* not ours */
    put("/sys/fs/memory.max", "1\n");            /* above the mount */
    CHECK_EQ(l4_memory_group_limit(root), 2000000000);
    remove_root();
}

TEST(version_1)
{
    make_root();
    put("/proc/self/mountinfo", V1);
    put("/proc/self/cgroup", "5:cpuacct,cpu:/other\n4:memory:/docker/abc\n1:name=systemd:/memory\n0::/\n");
    put("/sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes", "9223372036854771712\n");
    CHECK_EQ(l4_memory_group_limit(root), 9223372036854771712);
    put("/sys/fs/cgroup/memory/docker/memory.limit_in_bytes", "8589934592\n");
    put("/sys/fs/cgroup/memory/other/memory.limit_in_bytes", "1\n");
    put("/sys/fs/cgroup/cpu/other/memory.limit_in_bytes", "1\n");
    CHECK_EQ(l4_memory_group_limit(root), 8589934592);
    put("/sys/fs/cgroup/unified/memory.max", "4294967296\n"); /* both versions at once: either counts */
    CHECK_EQ(l4_memory_group_limit(root), 4294967296);
    remove_root();
}

TEST(containers_see_a_part_of_the_tree)
{
    make_root();
    put("/proc/self/mountinfo", "7 1 0:1 /docker/abc /sys/fs/cgroup\\040x rw - cgroup cgroup rw,memory\n");
    put("/proc/self/cgroup", "2:memory:/docker/abc\n");
    put("/sys/fs/cgroup x/memory.limit_in_bytes", "7000000000\n");
    CHECK_EQ(l4_memory_group_limit(root), 7000000000);
    put("/proc/self/cgroup", "2:memory:/docker/abc/inner\n");
    put("/sys/fs/cgroup x/inner/memory.limit_in_bytes", "6000000000\n");
    CHECK_EQ(l4_memory_group_limit(root), 6000000000);
    put("/proc/self/cgroup", "2:memory:/docker/abcd\n"); /* outside: what is mounted is all that can be known */
    put("/sys/fs/cgroup x/d/memory.limit_in_bytes", "1\n");
    CHECK_EQ(l4_memory_group_limit(root), 7000000000);
    put("/proc/self/mountinfo", V2);
    put("/proc/self/cgroup", "0::/../outside\n");
    put("/sys/fs/outside/memory.max", "1\n");
    put("/sys/fs/cgroup/memory.max", "6500000000\n");
    CHECK_EQ(l4_memory_group_limit(root), 6500000000);
    remove_root();
}

TEST(what_makes_no_sense_limits_nothing)
{
    static const char *const bad[] = {"", "\n", "max", "-1\n", "0\n", "12x\n", "1 2\n", "99999999999999999999999\n", "18446744073709551616\n"};
    make_root();
    put("/proc/self/mountinfo", V2);
    put("/proc/self/cgroup", "0::/\n");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        put("/sys/fs/cgroup/memory.max", bad[i]);
        if (!CHECK(l4_memory_group_limit(root) == UINT64_MAX))
            printf("  limit \"%s\"\n", bad[i]);
    }
    put("/sys/fs/cgroup/memory.max", "4096"); /* a missing line end is no reason to doubt it */
    CHECK_EQ(l4_memory_group_limit(root), 4096);
    static const char *const cut[] = {"", "\n", ":\n", "0:\n", "0\n", "::\n", "0::\n0::/a\n", "0::/", "\n\n\n0::/\n"};
    for (size_t i = 0; i < sizeof cut / sizeof *cut; i++) {
        put("/proc/self/cgroup", cut[i]);
        CHECK(l4_memory_group_limit(root) == (i == 6 || i == 8 ? 4096 : UINT64_MAX));
    }
    put("/proc/self/cgroup", "0::/\n");
    static const char *const mounts[] = {"", " - ", " - \n", "1 2 3 4 - cgroup2 x\n", "1 2 3 / /sys/fs/cgroup - cgroup2\n", "a\n", "1 2 3 / /sys/fs/cgroup cgroup2 x y\n"};
    for (size_t i = 0; i < sizeof mounts / sizeof *mounts; i++) {
        put("/proc/self/mountinfo", mounts[i]);
        CHECK(l4_memory_group_limit(root) == UINT64_MAX);
    }
    remove_root();
}

TEST(long_lines_are_passed_over)
{
    static char text[20000];
    make_root();
    for (size_t length = 1900; length < 2200; length++) { /* around the size of the buffer, and past it */
        memset(text, 'x', length);
        strcpy(text + length, "\n" V2);
        put("/proc/self/mountinfo", text);
        put("/proc/self/cgroup", "0::/\n");
        put("/sys/fs/cgroup/memory.max", "4096\n");
        if (!CHECK(l4_memory_group_limit(root) == 4096))
            break;
    }
    memset(text, 'x', 15000);
    strcpy(text + 15000, "\n" V2);
    put("/proc/self/mountinfo", text);
    CHECK_EQ(l4_memory_group_limit(root), 4096);
    memset(text, 'y', 1990); /* a path that leaves no room for anything behind it */
    memcpy(text, "0::/", 4);
    strcpy(text + 1990, "\n");
    put("/proc/self/cgroup", text);
    CHECK(l4_memory_group_limit(root) == 4096);
    remove_root();
}

TEST(processors_version_2)
{
    static const struct {
        const char *text;
        int count;
    } files[] = {{"50000 100000\n", 1},  {"100000 100000\n", 1}, {"100001 100000\n", 2}, {"250000 100000\n", 3}, {"1000 1000000\n", 1},
                 {"max 100000\n", 4096}, {"50000\n", 4096},      {"50000 0\n", 4096},    {"0 100000\n", 4096},   {"", 4096},
                 {"max max\n", 4096},    {"a b\n", 4096},        {"-1 100000\n", 4096},  {"50000 100000", 1},    {"900000000 100000\n", 4096},
                 {"5 2 9\n", 4096},      {"18446744073709551616 100000\n", 4096}};
    make_root();
    CHECK_EQ(l4_cpu_group_limit(root), 4096);
    put("/proc/self/mountinfo", V2);
    put("/proc/self/cgroup", "0::/a/b\n");
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        put("/sys/fs/cgroup/a/b/cpu.max", files[i].text);
        if (!CHECK_EQ(l4_cpu_group_limit(root), files[i].count))
            printf("  cpu.max \"%s\"\n", files[i].text);
    }
    put("/sys/fs/cgroup/a/b/cpu.max", "800000 100000\n");
    put("/sys/fs/cgroup/a/cpu.max", "600000 100000\n");
    CHECK_EQ(l4_cpu_group_limit(root), 6);
    put("/sys/fs/cgroup/a/cpu.max", "max 100000\n");
    CHECK_EQ(l4_cpu_group_limit(root), 8);
    remove_root();
}

TEST(processors_version_1)
{
    make_root();
    put("/proc/self/mountinfo", V1);
    put("/proc/self/cgroup", "5:cpuacct,cpu:/docker/abc\n4:memory:/\n0::/\n");
    put("/sys/fs/cgroup/cpu/docker/abc/cpu.cfs_period_us", "100000\n");
    CHECK_EQ(l4_cpu_group_limit(root), 4096);
    put("/sys/fs/cgroup/cpu/docker/abc/cpu.cfs_quota_us", "-1\n");
    CHECK_EQ(l4_cpu_group_limit(root), 4096);
    put("/sys/fs/cgroup/cpu/docker/abc/cpu.cfs_quota_us", "350000\n");
    CHECK_EQ(l4_cpu_group_limit(root), 4);
    put("/sys/fs/cgroup/memory/cpu.cfs_quota_us", "1\n");
    put("/sys/fs/cgroup/memory/cpu.cfs_period_us", "1\n");
    CHECK_EQ(l4_cpu_group_limit(root), 4);
    put("/sys/fs/cgroup/cpu/docker/cpu.cfs_quota_us", "50000\n");
    put("/sys/fs/cgroup/cpu/docker/cpu.cfs_period_us", "50000\n");
    CHECK_EQ(l4_cpu_group_limit(root), 1);
    remove_root();
}

#define GROUP_TESTS                                                                                                        \
    , T(no_groups), T(version_2_takes_the_lowest_up_to_the_top), T(version_1), T(containers_see_a_part_of_the_tree),         \
        T(what_makes_no_sense_limits_nothing), T(long_lines_are_passed_over), T(processors_version_2), T(processors_version_1)
#else
#define GROUP_TESTS
#endif

TEST_MAIN(T(a_part_is_left_for_the_system), T(this_machine) GROUP_TESTS)
