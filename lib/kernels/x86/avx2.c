/* The kernels for AVX2, FMA and F16C: kernels/body.h over the lanes of v16_avx2.h and p16_avx2.h. */
#include "kernels/x86/p16_avx2.h"
#include "kernels/body.h"

void l4_kernels_avx2(l4_kernels *k);

void l4_kernels_avx2(l4_kernels *k)
{
    l4_fill(k, LLAMA4_CPU_AVX2);
}
