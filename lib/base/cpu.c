#include "base/cpu.h"

#include "llama4/llama4.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(__linux__)
#include <sched.h>
#endif
#include <unistd.h>

#if defined(__x86_64__)
static uint64_t xgetbv0(void)
{
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

static int32_t hardware_level(void)
{
    uint32_t a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d))
        return LLAMA4_CPU_GENERIC;
    const uint32_t fma = 1u << 12, osxsave = 1u << 27, avx = 1u << 28, f16c = 1u << 29;
    if ((c & (fma | osxsave | avx | f16c)) != (fma | osxsave | avx | f16c))
        return LLAMA4_CPU_GENERIC;
    uint64_t state = xgetbv0();
    if ((state & 0x06) != 0x06 || !__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(b & 1u << 5))
        return LLAMA4_CPU_GENERIC;
    const uint32_t avx512 = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31; /* F, DQ, BW, VL */
    if ((state & 0xe6) != 0xe6 || (b & avx512) != avx512)
        return LLAMA4_CPU_AVX2;
    return LLAMA4_CPU_AVX512;
}
#else
static int32_t hardware_level(void)
{
    return LLAMA4_CPU_GENERIC;
}
#endif

int32_t l4_cpu_level(int32_t cap)
{
    static const int32_t levels[] = {LLAMA4_CPU_AVX512, LLAMA4_CPU_AVX2};
    int32_t here = hardware_level();
    for (unsigned i = 0; i < sizeof levels / sizeof *levels; i++)
        if (levels[i] <= here && (cap == LLAMA4_CPU_AUTO || levels[i] <= cap))
            return levels[i];
    return LLAMA4_CPU_GENERIC;
}

int l4_cpu_count(void)
{
    long n = 0;
#if defined(__linux__)
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        n = CPU_COUNT(&set);
#endif
    if (n < 1)
        n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : n > 4096 ? 4096 : (int)n;
}
