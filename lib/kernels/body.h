/*
 * Every kernel, written once over the 16 lanes of a v16_*.h that was included before. A translation unit per instruction set
 * includes this file and gets its own static copies; l4_fill puts them into a table. See kernels.h for what each does.
 */
#include <math.h>

#include "base/compiler.h"
#include "kernels/decode.h"
#include "kernels/kernels.h"
#include "llama4/llama4.h"
#include "kernels/packed_body.h"
#include "kernels/activations_body.h"
#include "kernels/attention_i16_body.h"

/* Levels that differ from another one in integer instructions alone define L4_INTEGER_ONLY: their tables are filled by that one first. */
#if !defined(L4_INTEGER_ONLY)

/* Taylor's series on |r| <= ln 2 / 2; the relative error stays below 2e-7. Results below 2^-126 become 0; NaN stays NaN. */
static inline v16 v16_exp(v16 x)
{
    const float magic = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer */
    v16 y = v16_min(v16_set(88.3f), v16_max(v16_set(-87.3f), x));
    v16 t = v16_fma(y, v16_set(1.44269504f), v16_set(magic)), k = v16_sub(t, v16_set(magic));
    v16 r = v16_fma(k, v16_set(-0.693359375f), y); /* ln 2 in two parts, the first with 9 bits */
    r = v16_fma(k, v16_set(2.12194440e-4f), r);
    v16 p = v16_set(1.0f / 5040);
    p = v16_fma(p, r, v16_set(1.0f / 720));
    p = v16_fma(p, r, v16_set(1.0f / 120));
    p = v16_fma(p, r, v16_set(1.0f / 24));
    p = v16_fma(p, r, v16_set(1.0f / 6));
    p = v16_fma(p, r, v16_set(0.5f));
    p = v16_fma(p, r, v16_set(1.0f));
    p = v16_fma(p, r, v16_set(1.0f));
    return v16_zero_below(v16_mul(p, v16_pow2(t)), x, -87.3f);
}

static inline float dot_f32(const float *w, const float *x, size_t n)
{
    v16 sum = v16_zero();
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        sum = v16_fma(v16_load(w + i), v16_load(x + i), sum);
    if (i < n) /* lanes beyond the end add 0 * 0, which changes nothing but the sign of a zero, the same everywhere */
        sum = v16_fma(v16_load_part(w + i, n - i), v16_load_part(x + i, n - i), sum);
    return v16_sum(sum);
}

/* F32, F16, BF16: `size` bytes an element. */
#define FLOAT_TYPE(name, size, convert)                                                                                 \
    static inline v16 name##_tail(const uint8_t *row, size_t n)                                                         \
    {                                                                                                                   \
        uint8_t part[16 * size] = {0};                                                                                  \
        memcpy(part, row, n * size);                                                                                    \
        return convert(part);                                                                                           \
    }                                                                                                                   \
    static void name##_decode(const uint8_t *row, size_t n, float *out)                                                 \
    {                                                                                                                   \
        size_t i = 0;                                                                                                   \
        for (; i + 16 <= n; i += 16)                                                                                    \
            v16_store(out + i, convert(row + i * size));                                                                \
        if (i < n)                                                                                                      \
            v16_store_part(out + i, name##_tail(row + i * size, n - i), n - i);                                         \
    }                                                                                                                   \
    static float name##_dot(const uint8_t *row, const float *x, size_t n)                                               \
    {                                                                                                                   \
        v16 sum = v16_zero();                                                                                           \
        size_t i = 0;                                                                                                   \
        for (; i + 16 <= n; i += 16)                                                                                    \
            sum = v16_fma(convert(row + i * size), v16_load(x + i), sum);                                               \
        if (i < n)                                                                                                      \
            sum = v16_fma(name##_tail(row + i * size, n - i), v16_load_part(x + i, n - i), sum);                        \
        return v16_sum(sum);                                                                                            \
    }                                                                                                                   \
    static void name##_columns(const uint8_t *w, size_t stride, size_t n, const float *x, float *y, size_t rows)        \
    {                                                                                                                   \
        float lanes[16][64] = {{0}}; /* lanes[c mod 16][r]: the lanes of `dot`, for 64 rows side by side */             \
        size_t whole = rows / 16 * 16;                                                                                  \
        for (size_t c = 0; c < n; c++) {                                                                                \
            const uint8_t *p = w + c * stride;                                                                          \
            v16 factor = v16_set(x[c]);                                                                                 \
            float *lane = lanes[c % 16];                                                                                \
            for (size_t r = 0; r < whole; r += 16)                                                                      \
                v16_store(lane + r, v16_fma(convert(p + r * size), factor, v16_load(lane + r)));                        \
            if (whole < rows)                                                                                           \
                v16_store(lane + whole, v16_fma(name##_tail(p + whole * size, rows - whole), factor, v16_load(lane + whole))); \
        }                                                                                                               \
        for (int width = 8; width; width /= 2)                                                                          \
            for (int l = 0; l < width; l++)                                                                             \
                for (size_t r = 0; r < 64; r += 16)                                                                     \
                    v16_store(lanes[l] + r, v16_add(v16_load(lanes[l] + r), v16_load(lanes[l + width] + r)));           \
        memcpy(y, lanes[0], rows * sizeof *y);                                                                          \
    }

FLOAT_TYPE(f32, 4, v16_from_f32)
FLOAT_TYPE(f16, 2, v16_from_f16)
FLOAT_TYPE(bf16, 2, v16_from_bf16)

/* Blocks of 32: a float16 scale, then `bytes - 2` bytes that give two v16; scale * integer is exact in float32. */
#define BLOCK_TYPE(name, bytes, first_half, second_half)                                \
    static void name##_decode(const uint8_t *row, size_t n, float *out)                 \
    {                                                                                   \
        for (size_t i = 0; i < n; i += 32, row += bytes) {                              \
            v16 d = v16_set(l4_f16_to_f32(l4_load_u16(row)));                           \
            v16_store(out + i, v16_mul(d, first_half));                                 \
            v16_store(out + i + 16, v16_mul(d, second_half));                           \
        }                                                                               \
    }                                                                                   \
    static float name##_dot(const uint8_t *row, const float *x, size_t n)               \
    {                                                                                   \
        v16 sum = v16_zero();                                                           \
        for (size_t i = 0; i < n; i += 32, row += bytes) {                              \
            v16 d = v16_set(l4_f16_to_f32(l4_load_u16(row)));                           \
            sum = v16_fma(v16_mul(d, first_half), v16_load(x + i), sum);                \
            sum = v16_fma(v16_mul(d, second_half), v16_load(x + i + 16), sum);          \
        }                                                                               \
        return v16_sum(sum);                                                            \
    }

BLOCK_TYPE(q8_0, 34, v16_from_i8(row + 2), v16_from_i8(row + 18))
BLOCK_TYPE(q4_0, 18, v16_from_low(row + 2), v16_from_high(row + 2))

/* All others: a block becomes float32 first (kernels/decode.h). Blocks are multiples of 16, so the lanes are those of a decoded row. */
#define DECODED_TYPE(type, slot, name, block, bytes)                                                    \
    static void slot##_decode(const uint8_t *row, size_t n, float *out)                                 \
    {                                                                                                   \
        for (size_t i = 0; i < n; i += block, row += bytes)                                             \
            l4_decode_##slot(row, out + i);                                                             \
    }                                                                                                   \
    static float slot##_dot(const uint8_t *row, const float *x, size_t n)                               \
    {                                                                                                   \
        float w[block];                                                                                 \
        v16 sum = v16_zero();                                                                           \
        for (size_t i = 0; i < n; i += block, row += bytes) {                                           \
            l4_decode_##slot(row, w);                                                                   \
            for (size_t j = 0; j < block; j += 16)                                                      \
                sum = v16_fma(v16_load(w + j), v16_load(x + i + j), sum);                               \
        }                                                                                               \
        return v16_sum(sum);                                                                            \
    }

L4_BLOCK_TYPES(DECODED_TYPE)

static void tile(const float *w, size_t ldw, size_t rows, const float *x, size_t ldx, size_t tokens, size_t n, float *y, size_t ldy)
{
    size_t t = 0, whole = n / 16 * 16, rest = n - whole;
    for (; t + L4_TILE_TOKENS <= tokens; t += L4_TILE_TOKENS) {
        size_t r = 0;
        for (; r + L4_TILE_ROWS <= rows; r += L4_TILE_ROWS) {
            v16 sum[L4_TILE_ROWS][L4_TILE_TOKENS];
            for (int a = 0; a < L4_TILE_ROWS; a++)
                for (int b = 0; b < L4_TILE_TOKENS; b++)
                    sum[a][b] = v16_zero();
            for (size_t i = 0; i < whole; i += 16) {
                v16 wide[L4_TILE_ROWS];
                for (int a = 0; a < L4_TILE_ROWS; a++)
                    wide[a] = v16_load(w + (r + a) * ldw + i);
                for (int b = 0; b < L4_TILE_TOKENS; b++) {
                    v16 in = v16_load(x + (t + b) * ldx + i);
                    for (int a = 0; a < L4_TILE_ROWS; a++)
                        sum[a][b] = v16_fma(wide[a], in, sum[a][b]);
                }
            }
            L4_UNROLL(4)
            for (int a = 0; a < L4_TILE_ROWS; a++)
                L4_UNROLL(4)
                for (int b = 0; b < L4_TILE_TOKENS; b++) {
                    if (rest)
                        sum[a][b] = v16_fma(v16_load_part(w + (r + a) * ldw + whole, rest), v16_load_part(x + (t + b) * ldx + whole, rest), sum[a][b]);
                    y[(t + b) * ldy + r + a] = v16_sum(sum[a][b]);
                }
        }
        for (; r < rows; r++)
            for (int b = 0; b < L4_TILE_TOKENS; b++)
                y[(t + b) * ldy + r] = dot_f32(w + r * ldw, x + (t + b) * ldx, n);
    }
    for (; t < tokens; t++)
        for (size_t r = 0; r < rows; r++)
            y[t * ldy + r] = dot_f32(w + r * ldw, x + t * ldx, n);
}

static float sum_squares(const float *x, size_t n)
{
    return dot_f32(x, x, n);
}

static void scale(const float *x, float factor, const float *w, float *out, size_t n)
{
    v16 f = v16_set(factor);
    for (size_t i = 0; i < n; i += 16) {
        size_t left = n - i < 16 ? n - i : 16;
        v16 y = v16_mul(v16_load_part(x + i, left), f);
        if (w)
            y = v16_mul(y, v16_load_part(w + i, left));
        v16_store_part(out + i, y, left);
    }
}

static void add(float *x, const float *y, size_t n)
{
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        v16_store(x + i, v16_add(v16_load(x + i), v16_load(y + i)));
    for (; i < n; i++)
        x[i] += y[i];
}

static void silu_mul(float *gate, const float *up, size_t n)
{
    for (size_t i = 0; i < n; i += 16) {
        size_t left = n - i < 16 ? n - i : 16;
        v16 g = v16_load_part(gate + i, left), e = v16_exp(v16_sub(v16_zero(), g));
        v16_store_part(gate + i, v16_mul(v16_div(g, v16_add(v16_set(1.0f), e)), v16_load_part(up + i, left)), left);
    }
}

static void f16_store(const float *in, uint8_t *out, size_t n)
{
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        v16_to_f16(out + 2 * i, v16_load(in + i));
    if (i < n) {
        uint8_t part[32];
        v16_to_f16(part, v16_load_part(in + i, n - i));
        memcpy(out + 2 * i, part, 2 * (n - i));
    }
}

static void f16_load(const uint8_t *in, float *out, size_t n)
{
    f16_decode(in, n, out);
}

static void f32_store(const float *in, uint8_t *out, size_t n)
{
    memcpy(out, in, n * sizeof *in);
}

static void f32_load(const uint8_t *in, float *out, size_t n)
{
    memcpy(out, in, n * sizeof *out);
}

#include "kernels/attention_body.h"

#include "kernels/dense_body.h"

static void fill_float(l4_kernels *k)
{
    k->decode[LLAMA4_TYPE_F32] = f32_decode, k->dot[LLAMA4_TYPE_F32] = f32_dot, k->columns[LLAMA4_TYPE_F32] = f32_columns;
    k->decode[LLAMA4_TYPE_F16] = f16_decode, k->dot[LLAMA4_TYPE_F16] = f16_dot, k->columns[LLAMA4_TYPE_F16] = f16_columns;
    k->decode[LLAMA4_TYPE_BF16] = bf16_decode, k->dot[LLAMA4_TYPE_BF16] = bf16_dot, k->columns[LLAMA4_TYPE_BF16] = bf16_columns;
    k->decode[LLAMA4_TYPE_Q8_0] = q8_0_decode, k->dot[LLAMA4_TYPE_Q8_0] = q8_0_dot;
    k->decode[LLAMA4_TYPE_Q4_0] = q4_0_decode, k->dot[LLAMA4_TYPE_Q4_0] = q4_0_dot;
#define FILL_TYPE(type, slot, name, block, bytes) k->decode[type] = slot##_decode, k->dot[type] = slot##_dot;
    L4_BLOCK_TYPES(FILL_TYPE)
#undef FILL_TYPE
    k->tile = tile;
    k->sum_squares = sum_squares;
    k->scale = scale;
    k->add = add;
    k->silu_mul = silu_mul;
    k->kv_store[L4_KV_F16_SLOT] = f16_store, k->kv_load[L4_KV_F16_SLOT] = f16_load;
    k->kv_store[L4_KV_F32_SLOT] = f32_store, k->kv_load[L4_KV_F32_SLOT] = f32_load;
    k->scores[L4_KV_F16_SLOT] = f16_scores, k->scores[L4_KV_F32_SLOT] = f32_scores;
    k->softmax_step = softmax_step;
    k->accumulate[L4_KV_F16_SLOT] = f16_accumulate, k->accumulate[L4_KV_F32_SLOT] = f32_accumulate;
    k->i16_quantize = i16_quantize, k->i16_weights = i16_weights, k->i8_quantize = i8_quantize;
    k->attention_rows = 4 * L4_ATTENTION_ROWS;
    dense_fill(&k->dense);
}

#endif

static void l4_fill(l4_kernels *k, int32_t level)
{
    k->level = level;
#if !defined(L4_INTEGER_ONLY)
    fill_float(k);
#endif
    fill_panels(k);
    k->tiles = tiles;
    k->quantize[L4_UNITS_POWERS] = quantize_powers, k->quantize[L4_UNITS_ANY] = quantize_any;
    k->i16_scores = i16_scores, k->i16_accumulate = i16_accumulate;
    k->i8_open_keys = i8_open_keys, k->i8_open_values = i8_open_values;
}
