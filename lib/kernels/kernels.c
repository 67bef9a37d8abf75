/* Portable C for every slot, then whatever the level allows on top. */
#include "kernels/v16_generic.h"
#include "kernels/body.h"

#if defined(L4_HAVE_X86)
void l4_kernels_avx2(l4_kernels *k);
void l4_kernels_avx512(l4_kernels *k);
#endif

static const l4_kernels empty;

void l4_kernels_init(l4_kernels *k, int32_t level)
{
    *k = empty;
    l4_fill(k, LLAMA4_CPU_GENERIC);
#if defined(L4_HAVE_X86)
    if (level >= LLAMA4_CPU_AVX2)
        l4_kernels_avx2(k);
    if (level >= LLAMA4_CPU_AVX512)
        l4_kernels_avx512(k);
#endif
    (void)level;
}

int l4_kernels_can(uint32_t type)
{
    return type == LLAMA4_TYPE_F32 || type == LLAMA4_TYPE_F16 || type == LLAMA4_TYPE_BF16 || type == LLAMA4_TYPE_Q8_0 || type == LLAMA4_TYPE_Q4_0;
}
