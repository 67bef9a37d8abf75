/*
 * Quantised matrices, packed so that sixteen rows lie side by side in SIMD lanes, and rows of activations quantised to int8.
 *
 * A panel is sixteen rows (missing rows count as zeros). It holds, for each block of 32 columns in order:
 *
 *   Q8_0  544 bytes: sixteen float16 scales; then for each four columns c, 4 x 16 bytes: row 0's columns c .. c + 3, row 1's, ...;
 *                    each number plus 128, so that it is unsigned
 *   Q4_0  288 bytes: sixteen float16 scales; then for i = 0 .. 3 the same 4 x 16 bytes, with columns 4i .. 4i + 3 in the low halves
 *                    and columns 16 + 4i .. 16 + 4i + 3 in the high halves, as they are in the file: 0 .. 15
 *
 * that is, exactly as many bytes as in the file. A product adds up in int32 inside a block, and across blocks by one fused
 * multiply-add each, in the order of the file: sum = fma((float)integers, scale_of_row * scale_of_activations, sum).
 */
#ifndef L4_KERNELS_PACKED_H
#define L4_KERNELS_PACKED_H

#include <stddef.h>
#include <stdint.h>

#define L4_PANEL 16 /* rows */
#define L4_QBLOCK 32 /* columns */

/* One token's activations, n columns, a multiple of 32: x is about scale[block] * q. */
typedef struct l4_qrow {
    const int8_t *q;        /* [n], -127 .. 127 */
    const float *scale;     /* [n / 32] */
    const int32_t *sum;     /* [n / 32]: of q over the block */
} l4_qrow;

/* Bytes that a quantised row of n columns takes: q, then scale, then sum. */
size_t l4_qrow_bytes(size_t n);
l4_qrow l4_qrow_at(const uint8_t *memory, size_t n);

/* 1 if matrices of this type can be packed; rows are then multiples of L4_QBLOCK columns. */
int l4_packed_can(uint32_t type);
size_t l4_panel_bytes(uint32_t type, size_t cols);

/* Packs 16 stored rows, `stride` bytes apart, of which `rows` exist. */
void l4_panel_pack(uint32_t type, const uint8_t *first, size_t stride, size_t rows, size_t cols, uint8_t *panel);

#endif
