/* The instruction sets, beyond the least, that a processor of this kind may have: X(name, LLAMA4_CPU_ value without its prefix) for each. */
#ifndef LLAMA4_TESTS_LEVELS_H
#define LLAMA4_TESTS_LEVELS_H

#include <stddef.h>

#include "llama4/llama4.h"

#if defined(__x86_64__)
#define INSTRUCTION_SETS(X) X(avx2, AVX2) X(avx2_vnni, AVX2_VNNI) X(avx512, AVX512) X(avx512_vnni, AVX512_VNNI) X(avx512_vbmi, AVX512_VBMI)
#elif defined(__aarch64__)
#define INSTRUCTION_SETS(X) X(neon, NEON) X(neon_dotprod, NEON_DOTPROD)
#else
#define INSTRUCTION_SETS(X)
#endif

static const struct {
    int32_t level;
    const char *name;
} instruction_sets[] = {
    {LLAMA4_CPU_GENERIC, "generic"},
#define ENTRY(name, level) {LLAMA4_CPU_##level, #name},
    INSTRUCTION_SETS(ENTRY)
#undef ENTRY
};

enum { INSTRUCTION_SET_COUNT = sizeof instruction_sets / sizeof *instruction_sets };

#endif
