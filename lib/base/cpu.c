#include "base/cpu.h"

#include "base/groups.h"
#include "llama4/llama4.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(_WIN32)
#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN
#endif
#include <windows.h>
#else
#if defined(__linux__)
#include <sched.h>
#if defined(__aarch64__)
#include <sys/auxv.h>
#endif
#elif defined(__APPLE__)
#include <sys/sysctl.h>
#endif
#include <unistd.h>
#endif

#if defined(__x86_64__)
static uint64_t xgetbv0(void)
{
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

/* Each level that this processor has and the system saves the registers of. */
static int has_level(int32_t level)
{
    uint32_t a, b, c, d, vnni = 0;
    const uint32_t fma = 1u << 12, osxsave = 1u << 27, avx = 1u << 28, f16c = 1u << 29, base = fma | osxsave | avx | f16c;
    if (!__get_cpuid(1, &a, &b, &c, &d) || (c & base) != base)
        return 0;
    uint64_t state = xgetbv0();
    if ((state & 0x06) != 0x06 || !__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(b & 1u << 5))
        return 0;
    if (a >= 1)
        __get_cpuid_count(7, 1, &vnni, &a, &d, &d);
    const uint32_t avx512 = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31; /* F, DQ, BW, VL */
    const int wide = (state & 0xe6) == 0xe6 && (b & avx512) == avx512;
    switch (level) {
    case LLAMA4_CPU_AVX2:
        return 1;
    case LLAMA4_CPU_AVX2_VNNI:
        return (vnni & 1u << 4) != 0;
    case LLAMA4_CPU_AVX512:
        return wide;
    case LLAMA4_CPU_AVX512_VNNI:
        return wide && (c & 1u << 11);
    case LLAMA4_CPU_AVX512_VBMI:
        return wide && (c & 1u << 11) && (c & 1u << 1);
    default:
        return 0;
    }
}
#elif defined(__aarch64__)
/* The instructions SDOT and UDOT; other systems than these get by without. */
static int has_dotprod(void)
{
#if defined(_WIN32)
    return IsProcessorFeaturePresent(43) != 0; /* PF_ARM_V82_DP_INSTRUCTIONS_AVAILABLE */
#elif defined(__linux__)
    return (getauxval(AT_HWCAP) & 1ul << 20) != 0; /* HWCAP_ASIMDDP */
#elif defined(__APPLE__)
    int has = 0;
    size_t size = sizeof has;
    return sysctlbyname("hw.optional.arm.FEAT_DotProd", &has, &size, NULL, 0) == 0 && has;
#else
    return 0;
#endif
}

static int has_level(int32_t level)
{
    return level == LLAMA4_CPU_NEON || (level == LLAMA4_CPU_NEON_DOTPROD && has_dotprod());
}
#else
static int has_level(int32_t level)
{
    (void)level;
    return 0;
}
#endif

int32_t l4_cpu_level(int32_t cap)
{
    static const int32_t levels[] = {LLAMA4_CPU_NEON_DOTPROD, LLAMA4_CPU_NEON,      LLAMA4_CPU_AVX512_VBMI, LLAMA4_CPU_AVX512_VNNI,
                                     LLAMA4_CPU_AVX512,       LLAMA4_CPU_AVX2_VNNI, LLAMA4_CPU_AVX2};
    for (unsigned i = 0; i < sizeof levels / sizeof *levels; i++)
        if ((cap == LLAMA4_CPU_AUTO || levels[i] <= cap) && has_level(levels[i]))
            return levels[i];
    return LLAMA4_CPU_GENERIC;
}

static long count(void)
{
#if defined(_WIN32)
    DWORD_PTR mine = 0, all = 0;
    if (GetProcessAffinityMask(GetCurrentProcess(), &mine, &all) && mine)
        return __builtin_popcountll(mine);
    return (long)GetActiveProcessorCount(ALL_PROCESSOR_GROUPS); /* the mask is empty if the process spans groups */
#else
#if defined(__linux__)
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        return CPU_COUNT(&set);
#endif
    return sysconf(_SC_NPROCESSORS_ONLN);
#endif
}

#define MOST 4096

/* A group's share of time, as a number of processors, rounded up. */
static void visit(void *user, const char *directory, int version)
{
    uint64_t *lowest = user, time[2]; /* so much in each period of so much */
    if (version == 2) {
        l4_group_read(directory, "cpu.max", time, 2);
    } else {
        l4_group_read(directory, "cpu.cfs_quota_us", time, 1);
        l4_group_read(directory, "cpu.cfs_period_us", time + 1, 1);
    }
    if (!time[0] || !time[1] || time[0] == UINT64_MAX || time[1] == UINT64_MAX)
        return;
    uint64_t n = time[0] / time[1] + (time[0] % time[1] != 0);
    if (n < *lowest)
        *lowest = n;
}

int l4_cpu_group_limit(const char *root)
{
    uint64_t lowest = MOST;
    l4_groups_walk(root, "cpu", visit, &lowest);
    return (int)lowest;
}

int l4_cpu_count(void)
{
    const long n = count();
    const int limit = l4_cpu_group_limit("");
    return n < 1 ? 1 : n < limit ? (int)n : limit;
}
