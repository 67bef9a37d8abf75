/* The kernels for NEON with the dot product of ARMv8.2: what kernels/body.h has of integers, over the lanes of v16_neon.h and p16_neon.h. */
#define L4_INTEGER_ONLY
#include "kernels/arm/p16_neon.h"
#include "kernels/body.h"

void l4_kernels_neon_dotprod(l4_kernels *k);

void l4_kernels_neon_dotprod(l4_kernels *k)
{
    l4_fill(k, LLAMA4_CPU_NEON_DOTPROD);
}
