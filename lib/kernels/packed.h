/*
 * Quantised matrices, packed so that sixteen rows lie side by side in SIMD lanes, and activations quantised to int8.
 *
 * A panel is sixteen rows (missing rows count as zeros), block after block. A packed block holds the same fields as sixteen stored
 * blocks, in as many bytes: each field is cut into units of 1, 2 or 4 bytes (packed.c lists them), and unit after unit the sixteen
 * rows' follow each other. So one load brings sixteen rows' scales, or sixteen rows' next four bytes of quants. Q8_0's quants become
 * unsigned on the way, by adding 128.
 *
 * Before they are multiplied, packed blocks are spread into tiles of 32 columns (unpack.h): unsigned bytes and float scales, the
 * same for all types. Products of unsigned weights with int8 activations add up in int32 inside a tile, or half a tile where the
 * type has a scale for each 16 columns; across tiles they add up in float32, in the order of the file, by fused multiply-adds:
 *
 *   sum = fma(unit of the activations * (integers + start), scale of the row, sum)    start: so often less the activations' sum; twice for halves
 *   sum = fma(minimum of the row, sum of the activations * their unit, sum)           for types with minima
 *
 * Activations' units are powers of two, so that their product with the integers is exact, and takes no time: integers begin at the bits of
 * 1.5 * 2^23 * unit, a float whose last bit counts `unit`. Their end, read as a float, less that number, is the product, as long as they stay below
 * 2^22, and 32 * 255 * 127 is. Powers of two are up to twice as coarse as need be. A token has a factor from 1 to 2 besides, which its sums are multiplied
 * by in the end; the one that suits most of its blocks is chosen. With two types this still costs more than nothing (Q8_0, whose weights are as fine as
 * activations, and Q5_1): there, units are what the largest activation asks for:
 *
 *   sum = fma((float)(integers + start), scale of the row * unit of the activations, sum)
 */
#ifndef L4_KERNELS_PACKED_H
#define L4_KERNELS_PACKED_H

#include <stddef.h>
#include <stdint.h>

#define L4_PANEL 16  /* rows */
#define L4_QBLOCK 32 /* columns of a tile */
#define L4_GROUP 16  /* tokens whose activations lie together */

/* GGUF's numbers of the types that are packed. */
enum {
    L4_Q4_0 = 2, L4_Q4_1 = 3, L4_Q5_0 = 6, L4_Q5_1 = 7, L4_Q8_0 = 8, L4_Q2_K = 10, L4_Q3_K = 11, L4_Q4_K = 12,
    L4_Q5_K = 13, L4_Q6_K = 14, L4_IQ2_XXS = 16, L4_IQ2_XS = 17, L4_IQ3_XXS = 18, L4_IQ1_S = 19,
    L4_IQ4_NL = 20, L4_IQ3_S = 21, L4_IQ2_S = 22, L4_IQ4_XS = 23, L4_IQ1_M = 29, L4_MXFP4 = 39,
};

/* What a tile's other numbers mean. Instruction sets that gain nothing by small weights add 128 in place of 16 or 64, and 64 in place of 32 (unpack.h). */
typedef enum l4_tile_kind {
    L4_TILE_OFFSET_8,    /* weight = scale * (w - 8), w <= 15 */
    L4_TILE_OFFSET_16,   /* weight = scale * (w - 16), w <= 31 */
    L4_TILE_OFFSET_64,   /* weight = scale * (w - 64), w <= 127 */
    L4_TILE_OFFSET_128,  /* weight = scale * (w - 128) */
    L4_TILE_OFFSET_ANY,  /* the same, with activations in units of any size */
    L4_TILE_HALVES_32,   /* weight = scale * (w - 32) in the first 16 columns, other * (w - 32) in the rest; w <= 63 */
    L4_TILE_HALVES_64,   /* the same with 64; w <= 127 */
    L4_TILE_MINIMUM_15,  /* weight = scale * w + other, w <= 15 */
    L4_TILE_MINIMUM_31,  /* the same, w <= 31 */
    L4_TILE_MINIMUM_ANY, /* the same as that, with activations in units of any size */
    L4_TILE_MINIMA,      /* weight = scale * w + other, in the first 16 columns + third; w <= 63 */
    L4_TILE_KINDS
} l4_tile_kind;

/* 16 rows x 32 columns. */
typedef struct l4_tile {
    _Alignas(64) uint8_t w[8][64]; /* w[i]: row 0's columns 4i .. 4i + 3, row 1's, ... */
    float scale[L4_PANEL], other[L4_PANEL], third[L4_PANEL];
} l4_tile;

/* What units of activations are. */
typedef enum l4_units {
    L4_UNITS_POWERS, /* powers of two, and a factor for each token */
    L4_UNITS_ANY,    /* the largest magnitude / 127 */
    L4_UNITS_KINDS
} l4_units;

/* 32 columns of one token's activations: x is about factor * unit * q. Integers are exact, whatever the order of addition. */
typedef struct l4_xblock {
    int8_t q[L4_QBLOCK];                       /* -127 .. 127 */
    float unit;                                /* powers: 1.5 * 2^23 * unit, whose bits are part of the five integers below */
    float sum, first_sum;                      /* unit * (sum of q), of all and of the first 16 */
    int32_t minus_8, minus_16, minus_128;      /* so many times the sum of q, negated */
    int32_t first_minus_64, second_minus_64;   /* -64 times that of the first 16 and of the other 16 */
} l4_xblock;

/*
 * n tokens' activations, `blocks` blocks each, lie in groups of 16, the last group smaller: block b of token t, which is token i of a
 * group of g, at x[(t - i) * blocks + b * g + i].
 */
static inline size_t l4_x_group(size_t n, size_t t) /* g for token t */
{
    return n - t / L4_GROUP * L4_GROUP < L4_GROUP ? n - t / L4_GROUP * L4_GROUP : L4_GROUP;
}

static inline l4_xblock *l4_x_at(l4_xblock *x, size_t blocks, size_t t)
{
    return x + (t - t % L4_GROUP) * blocks + t % L4_GROUP;
}

/* 1 if matrices of this type can be packed; rows are then whole numbers of the type's blocks. */
int l4_packed_can(uint32_t type);
l4_tile_kind l4_packed_kind(uint32_t type);
l4_units l4_packed_units(uint32_t type); /* of the activations that its panels are multiplied by */
size_t l4_panel_bytes(uint32_t type, size_t cols);

/* Packs 16 stored rows, `stride` bytes apart, of which `rows` exist. */
void l4_panel_pack(uint32_t type, const uint8_t *first, size_t stride, size_t rows, size_t cols, uint8_t *panel);

/* What a block's byte e means in MXFP4, 2^(e - 128), as the bits of a float: half of the format's, because the values are doubled. */
extern const uint32_t l4_mxfp4_scales[256];

#endif
