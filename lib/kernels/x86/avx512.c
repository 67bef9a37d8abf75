/* The kernels for AVX-512 F, BW, DQ and VL: kernels/body.h over the lanes of v16_avx512.h and p16_avx512.h. */
#include "kernels/x86/p16_avx512.h"
#include "kernels/body.h"

void l4_kernels_avx512(l4_kernels *k);

void l4_kernels_avx512(l4_kernels *k)
{
    l4_fill(k, LLAMA4_CPU_AVX512);
}
