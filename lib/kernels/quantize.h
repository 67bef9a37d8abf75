/* float32 rows to quantised blocks, with a search for the scales that lose least. */
#ifndef L4_KERNELS_QUANTIZE_H
#define L4_KERNELS_QUANTIZE_H

#include <stddef.h>
#include <stdint.h>

/* 1 for Q4_0 to Q8_0, Q2_K to Q6_K, IQ4_NL, IQ4_XS and MXFP4. */
int l4_quantize_can(uint32_t type);

/* Encodes n finite floats, a multiple of the type's block. `importance`: n weights of the squared errors, not negative, or NULL. The same
 * bytes on every machine. */
void l4_quantize_row(uint32_t type, const float *x, const float *importance, size_t n, uint8_t *out);

#endif
