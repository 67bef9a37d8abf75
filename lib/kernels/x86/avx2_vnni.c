/* The kernels for AVX2, FMA, F16C and AVX-VNNI: what kernels/body.h has of integers, over the lanes of v16_avx2.h and p16_avx2.h. */
#define L4_INTEGER_ONLY
#include "kernels/x86/p16_avx2.h"
#include "kernels/body.h"

void l4_kernels_avx2_vnni(l4_kernels *k);

void l4_kernels_avx2_vnni(l4_kernels *k)
{
    l4_fill(k, LLAMA4_CPU_AVX2_VNNI);
}
