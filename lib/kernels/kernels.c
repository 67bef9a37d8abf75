/* For every slot what each processor of its kind has, then whatever the level allows on top. */
#if defined(__SSE2__)
#include "kernels/x86/p16_sse2.h"
#else
#include "kernels/p16_generic.h"
#endif
#include "kernels/body.h"

#if defined(L4_HAVE_X86)
void l4_kernels_avx2(l4_kernels *k);
void l4_kernels_avx2_vnni(l4_kernels *k);
void l4_kernels_avx512(l4_kernels *k);
void l4_kernels_avx512_vnni(l4_kernels *k);
void l4_kernels_avx512_vbmi(l4_kernels *k);
#elif defined(L4_HAVE_ARM)
void l4_kernels_neon(l4_kernels *k);
void l4_kernels_neon_dotprod(l4_kernels *k);
#endif

static const l4_kernels empty;

void l4_kernels_init(l4_kernels *k, int32_t level)
{
    *k = empty;
    l4_fill(k, LLAMA4_CPU_GENERIC);
#if defined(L4_HAVE_X86)
    switch (level) {
    case LLAMA4_CPU_AVX2:
        l4_kernels_avx2(k);
        break;
    case LLAMA4_CPU_AVX2_VNNI:
        l4_kernels_avx2(k);
        l4_kernels_avx2_vnni(k);
        break;
    case LLAMA4_CPU_AVX512:
        l4_kernels_avx512(k);
        break;
    case LLAMA4_CPU_AVX512_VNNI:
        l4_kernels_avx512(k);
        l4_kernels_avx512_vnni(k);
        break;
    case LLAMA4_CPU_AVX512_VBMI:
        l4_kernels_avx512(k);
        l4_kernels_avx512_vnni(k);
        l4_kernels_avx512_vbmi(k);
        break;
    }
#elif defined(L4_HAVE_ARM)
    switch (level) {
    case LLAMA4_CPU_NEON:
        l4_kernels_neon(k);
        break;
    case LLAMA4_CPU_NEON_DOTPROD:
        l4_kernels_neon(k);
        l4_kernels_neon_dotprod(k);
        break;
    }
#endif
    (void)level;
}

int l4_kernels_can(uint32_t type)
{
    switch (type) {
#define BLOCK_CASE(type, slot, name, block, bytes) case type:
        L4_BLOCK_TYPES(BLOCK_CASE)
#undef BLOCK_CASE
    case LLAMA4_TYPE_F32:
    case LLAMA4_TYPE_F16:
    case LLAMA4_TYPE_BF16:
    case LLAMA4_TYPE_Q8_0:
    case LLAMA4_TYPE_Q4_0:
        return 1;
    }
    return 0;
}
