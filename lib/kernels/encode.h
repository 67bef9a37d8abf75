/* float32 rows to stored types, as the reference encoders of GGUF do it. */
#ifndef L4_KERNELS_ENCODE_H
#define L4_KERNELS_ENCODE_H

#include <stdint.h>

/* Encodes n floats (a multiple of the type's block) to `out`; type is F32, F16, BF16, Q8_0 or Q4_0. Returns 0 for any other type. */
int l4_encode_row(uint32_t type, const float *in, uint64_t n, void *out);

#endif
