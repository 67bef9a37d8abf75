/*
 * The arithmetic, as a table of function pointers: portable C, on x86-64 SSE2, fills every slot first, then other instruction sets override
 * what they do faster. All variants of a slot give the same bits, because all are written over the same 16 lanes:
 *
 * - A sum along a row runs in 16 lanes: element i goes to lane i mod 16 by one fused multiply-add, in the order of i. At the
 *   end lane l takes lane l + 8, then l + 4, l + 2, l + 1. Attention, and quantised products, have the results side by side in the lanes: there
 *   each is one chain of fused multiply-adds.
 * - Stored weights become float32 exactly before they are multiplied.
 */
#ifndef L4_KERNELS_KERNELS_H
#define L4_KERNELS_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/dense.h"
#include "kernels/packed.h"

#define L4_TYPE_SLOTS 40   /* GGUF type numbers are below this */
#define L4_ATTENTION_BLOCK 64 /* keys that one step of the online softmax takes together */

/* Types of keys and values: floats, whose kernels are alike, then integers. */
enum { L4_KV_F16_SLOT, L4_KV_F32_SLOT, L4_KV_FLOAT_SLOTS, L4_KV_I16_SLOT = L4_KV_FLOAT_SLOTS, L4_KV_Q8_0_SLOT };

static inline int l4_kv_integers(int slot)
{
    return slot >= L4_KV_FLOAT_SLOTS;
}

/* Rows of integers that are at most L4_I16_TOP in magnitude: number i of row r is x[r * ld + i] * unit[r]. */
#define L4_I16_TOP 8191
#define L4_I16_CHAIN 32 /* so many products of two such numbers add up to less than 2^31 */
#define L4_I8_BLOCK 32
#define L4_I8_FACTOR 64 /* L4_I8_FACTOR * 127 <= L4_I16_TOP */
typedef struct l4_i16_rows {
    const int16_t *x;
    const float *unit;
    size_t n, ld; /* ld is even */
} l4_i16_rows;

/* Memory that is needed next, in as many places as panels are multiplied, `apart` bytes apart: `lines` of 64 bytes each. It is asked for in the course of
 * that, and perhaps a little beyond its end. */
typedef struct l4_soon {
    const uint8_t *at;
    size_t apart, lines;
} l4_soon;

typedef struct l4_kernels {
    int32_t level; /* LLAMA4_CPU_ value */

    /* Stored row -> n float32. NULL for types that cannot be computed. n is a multiple of the type's block. */
    void (*decode[L4_TYPE_SLOTS])(const uint8_t *row, size_t n, float *out);

    /* Stored row . x[n] */
    float (*dot[L4_TYPE_SLOTS])(const uint8_t *row, const float *x, size_t n);

    /* y[t * ldy + r] = w[r * ldw ..] . x[t * ldx ..], each as `dot` would give it. */
    void (*tile)(const float *w, size_t ldw, size_t rows, const float *x, size_t ldx, size_t tokens, size_t n, float *y, size_t ldy);

    /* Matrices stored by columns: y[r] = sum over c of w[c * stride + r * element] x[c] for r < rows <= 64, as `dot` of the
     * transposed matrix would give it. F32, F16, BF16. */
    void (*columns[L4_TYPE_SLOTS])(const uint8_t *w, size_t stride, size_t n, const float *x, float *y, size_t rows);

    /* Quantised products (kernels/packed.h), `blocks` of 32 columns, NULL for types that are not packed. One panel of 16 rows with one
     * group of 1 to 16 tokens: y[t * ldy + r] for r < rows, times the token's factor. */
    void (*panel[L4_TYPE_SLOTS])(const uint8_t *panel, size_t blocks, const l4_xblock *x, size_t group, size_t rows, const float *factors,
                                  float *y, size_t ldy);

    /* The same in two steps with the same result but for the factors, for several groups: a part of a panel, `blocks` of 32 columns, spread into
     * tiles; then the tiles of some panels, one's after the other's, times one group: adds to sums[(p * L4_GROUP + t) * L4_PANEL + r].
     * `soon` may be NULL. */
    void (*unpack[L4_TYPE_SLOTS])(const uint8_t *panel, size_t blocks, l4_tile *out);
    void (*tiles)(l4_tile_kind kind, const l4_tile *tile, size_t panels, size_t blocks, const l4_xblock *x, size_t group, const l4_soon *soon,
                  float *sums);

    /* 32 * blocks float32 -> int8, in units as l4_packed_units says; block b goes to out[b * step]. Returns the token's factor. */
    float (*quantize[L4_UNITS_KINDS])(const float *x, size_t blocks, l4_xblock *out, size_t step);

    float (*sum_squares)(const float *x, size_t n);
    void (*scale)(const float *x, float factor, const float *w, float *out, size_t n); /* x * factor * w; w may be NULL (then x * factor) */
    void (*add)(float *x, const float *y, size_t n);                                   /* x += y */
    void (*silu_mul)(float *gate, const float *up, size_t n);                          /* gate = gate / (1 + exp(-gate)) * up */

    /* Keys and values: n float32 to the cache's type and back. */
    void (*kv_store[L4_KV_FLOAT_SLOTS])(const float *in, uint8_t *out, size_t n);
    void (*kv_load[L4_KV_FLOAT_SLOTS])(const uint8_t *in, float *out, size_t n);

    /* Attention, from keys and values as the cache stores them. What lies at `soon`, unless that is NULL, will be needed next, as much as one
     * block's keys or values.
     * s[r * L4_ATTENTION_BLOCK + j] = sum over i of q[r * d + i] keys[i * L4_ATTENTION_BLOCK + j] for r < rows and j < n, in the order of i; what
     * s holds for j >= n is undefined. */
    void (*scores[L4_KV_FLOAT_SLOTS])(const float *q, size_t rows, const uint8_t *keys, size_t n, size_t d, float *s, const uint8_t *soon);

    /* One step of the online softmax over n <= L4_ATTENTION_BLOCK scores: raises *max (start: -INFINITY), turns scores into exp(score - *max), returns the factor
     * by which earlier sums shrink, and adds the new terms to *sum (after shrinking it). */
    float (*softmax_step)(float *scores, size_t n, float *max, float *sum);

    /* acc[r * d ..] = acc[r * d ..] * shrink[r] + sum over j < n of p[r * L4_ATTENTION_BLOCK + j] values[j * d ..] for r < rows, in the order of j */
    void (*accumulate[L4_KV_FLOAT_SLOTS])(float *acc, size_t rows, const float *shrink, const float *p, const uint8_t *values, size_t n, size_t d,
                                    const uint8_t *soon);

    /* The same from integers, which lie in pairs: keys [d / 2][L4_ATTENTION_BLOCK][2], values [L4_ATTENTION_BLOCK / 2][d][2], each key and each
     * value with its unit. A value's unit is in its weight already, and what has weight 0 is never seen.
     * s[r * L4_ATTENTION_BLOCK + j] = q[r] . keys[j] for j < n; acc[r] = acc[r] * shrink[r] + sum over j < n of p[r][j] values[j]. */
    void (*i16_scores)(const l4_i16_rows *q, const uint8_t *keys, const float *units, size_t n, float *s, const uint8_t *soon);
    void (*i16_accumulate)(float *acc, const l4_i16_rows *p, const float *shrink, const uint8_t *values, size_t n, size_t d, const uint8_t *soon);

    /* n float32 -> integers, the largest in magnitude becomes L4_I16_TOP; returns the unit, which is not finite if one of x is not. */
    float (*i16_quantize)(const float *x, size_t n, int16_t *out);

    /* The same in 8 bits, with a factor for each L4_I8_BLOCK numbers, or the rest of them: number i is out[i] * factors[i / L4_I8_BLOCK] * unit, and the
     * product of both integers is at most L4_I16_TOP. */
    float (*i8_quantize)(const float *x, size_t n, int8_t *out, uint8_t *factors);

    /* Keys and values in 8 bits, in pairs like those in 16, which they become. Factors lie behind all of them: keys' [blocks][L4_ATTENTION_BLOCK], values'
     * [L4_ATTENTION_BLOCK / 2][blocks][2]. `out` has room for 60 bytes more. */
    void (*i8_open_keys)(const uint8_t *plane, size_t d, uint8_t *out);
    void (*i8_open_values)(const uint8_t *plane, size_t d, size_t pairs, uint8_t *out);

    /* p[j] * units[j] >= 0 and finite, for j < n <= L4_ATTENTION_BLOCK -> L4_ATTENTION_BLOCK integers, the rest 0; returns their unit. */
    float (*i16_weights)(const float *p, const float *units, size_t n, int16_t *out);

    size_t attention_rows; /* for more of them it is faster to make keys and values float32 first */

    l4_dense_kernels dense;
} l4_kernels;

/* Fills the table for the highest level that is at most `level` and was compiled in. Pure: asks neither hardware nor environment. */
void l4_kernels_init(l4_kernels *k, int32_t level);

/* 1 if matrices of this GGUF type can be computed. */
int l4_kernels_can(uint32_t type);

#endif
