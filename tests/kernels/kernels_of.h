/* The kernels of an instruction set, where this machine has it. */
#ifndef LLAMA4_TESTS_KERNELS_OF_H
#define LLAMA4_TESTS_KERNELS_OF_H

#include <stdio.h>

#include "base/cpu.h"
#include "kernels/kernels.h"
#include "levels.h"

void portable_kernels(l4_kernels *k); /* portable.c */

/* The first of instruction_sets whose kernels are others than portable C. */
#if defined(__SSE2__)
enum { FIRST_TO_COMPARE = 0 };
#else
enum { FIRST_TO_COMPARE = 1 };
#endif

/* Of instruction_sets[i]; or 0, after a line that says so. */
static inline int kernels_of(int i, l4_kernels *k)
{
    const int32_t level = instruction_sets[i].level;
    l4_kernels_init(k, level);
    if (k->level == level && l4_cpu_level(level) == level)
        return 1;
    printf("skipped %s: not on this machine\n", instruction_sets[i].name);
    return 0;
}

#endif
