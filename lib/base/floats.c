/* See floats.h. */
#include "base/floats.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define AT_START 0x1f80u /* all exceptions masked, to nearest, no flush to zero, no subnormals as zero */

l4_floats l4_floats_enter(void)
{
    const l4_floats before = {_mm_getcsr(), 0};
    if (before.control != AT_START)
        _mm_setcsr(AT_START);
    return before;
}

void l4_floats_leave(const l4_floats *before)
{
    if (_mm_getcsr() != before->control)
        _mm_setcsr((unsigned)before->control);
}

#elif defined(__aarch64__)

#define READ(name, to) __asm__ volatile("mrs %0, " name : "=r"(to))
#define WRITE(name, from) __asm__ volatile("msr " name ", %0" : : "r"(from))

l4_floats l4_floats_enter(void)
{
    l4_floats before;
    const uint64_t at_start = 0;
    READ("fpcr", before.control);
    READ("fpsr", before.flags);
    if (before.control != at_start)
        WRITE("fpcr", at_start);
    return before;
}

void l4_floats_leave(const l4_floats *before)
{
    uint64_t control, flags;
    READ("fpcr", control);
    READ("fpsr", flags);
    if (control != before->control)
        WRITE("fpcr", before->control);
    if (flags != before->flags)
        WRITE("fpsr", before->flags);
}

#else

l4_floats l4_floats_enter(void)
{
    l4_floats before;
    fegetenv(&before.all);
    fesetenv(FE_DFL_ENV);
    return before;
}

void l4_floats_leave(const l4_floats *before)
{
    fesetenv(&before->all);
}

#endif
