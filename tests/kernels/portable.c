/* The kernels in portable C, with which all others are compared: the library has them where no instruction set is a processor's least. */
#include "kernels/p16_generic.h"
#include "kernels/body.h"
#include "kernels_of.h"

void portable_kernels(l4_kernels *k)
{
    static const l4_kernels empty;
    *k = empty;
    l4_fill(k, LLAMA4_CPU_GENERIC);
}
