/* The kernels for AVX-512 F, BW, DQ, VL and VNNI: what kernels/body.h has of integers, over the lanes of v16_avx512.h and p16_avx512.h. */
#define L4_INTEGER_ONLY
#include "kernels/x86/p16_avx512.h"
#include "kernels/body.h"

void l4_kernels_avx512_vnni(l4_kernels *k);

void l4_kernels_avx512_vnni(l4_kernels *k)
{
    l4_fill(k, LLAMA4_CPU_AVX512_VNNI);
}
