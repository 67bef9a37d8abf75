/* The kernels for AVX-512 F, BW, DQ, VL, VNNI and VBMI: what kernels/packed_body.h has of types that look up much, over the lanes of p16_avx512.h. */
#define L4_GRIDS_ALONE
#include "kernels/x86/p16_avx512.h"
#include "kernels/kernels.h"
#include "kernels/packed_body.h"
#include "llama4/llama4.h"

void l4_kernels_avx512_vbmi(l4_kernels *k);

void l4_kernels_avx512_vbmi(l4_kernels *k)
{
    k->level = LLAMA4_CPU_AVX512_VBMI;
    fill_panels(k);
}
