/* The kernels for NEON, as every AArch64 has it: kernels/body.h over the lanes of v16_neon.h and p16_neon.h. */
#include "kernels/arm/p16_neon.h"
#include "kernels/body.h"

void l4_kernels_neon(l4_kernels *k);

void l4_kernels_neon(l4_kernels *k)
{
    l4_fill(k, LLAMA4_CPU_NEON);
}
