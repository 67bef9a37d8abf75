/*
 * Products of panels with rows of int8, written once over sixteen int32 lanes (p16_*.h) and sixteen float lanes (v16_*.h), which
 * were included before. Integer sums are exact, so only the order of the blocks matters: it is the file's.
 */
#include "kernels/packed.h"

/* The weights of a block of 32 columns: eight times sixteen rows of four columns, unsigned. */
static inline void unpack_q8_0(const uint8_t *data, p16w w[8])
{
    for (int i = 0; i < 8; i++)
        w[i] = p16_load(data + 64 * i);
}

static inline void unpack_q4_0(const uint8_t *data, p16w w[8])
{
    for (int i = 0; i < 4; i++) {
        p16w both = p16_load(data + 64 * i);
        w[i] = p16_low(both);
        w[i + 4] = p16_high(both);
    }
}

#define PANEL_KERNEL(name, bytes, offset, dot)                                                                          \
    static inline L4_ALWAYS_INLINE void name##_tokens(const uint8_t *panel, size_t blocks, const l4_qrow *x, const int tokens, v16 *sum) \
    {                                                                                                                   \
        for (int t = 0; t < tokens; t++)                                                                                \
            sum[t] = v16_zero();                                                                                        \
        for (size_t b = 0; b < blocks; b++, panel += bytes) {                                                           \
            p16w w[8];                                                                                                  \
            v16 scale = v16_from_f16(panel);                                                                            \
            p16_prefetch(panel + L4_PREFETCH);                                                                          \
            unpack_##name(panel + 32, w);                                                                               \
            for (int t = 0; t < tokens; t++) {                                                                          \
                const int8_t *q = x[t].q + 32 * b;                                                                      \
                p16 n = p16_set(x[t].sum[b] * -(offset)), m = p16_set(0);                                               \
                for (int i = 0; i < 8; i += 2) {                                                                        \
                    n = dot(n, w[i], q + 4 * i);                                                                        \
                    m = dot(m, w[i + 1], q + 4 * i + 4);                                                                \
                }                                                                                                       \
                sum[t] = v16_fma(p16_to_v16(p16_add(n, m)), v16_mul(scale, v16_set(x[t].scale[b])), sum[t]);            \
            }                                                                                                           \
        }                                                                                                               \
    }                                                                                                                   \
    static void name##_panel(const uint8_t *panel, size_t blocks, const l4_qrow *x, size_t tokens, size_t rows, float *y, size_t ldy) \
    {                                                                                                                   \
        v16 sum[L4_PANEL_TOKENS];                                                                                       \
        for (size_t done = 0; done < tokens;) {                                                                         \
            size_t n = tokens - done;                                                                                   \
            if (n >= L4_PANEL_TOKENS) {                                                                                 \
                n = L4_PANEL_TOKENS;                                                                                    \
                name##_tokens(panel, blocks, x + done, L4_PANEL_TOKENS, sum);                                           \
            } else if (n >= 4) {                                                                                        \
                n = 4;                                                                                                  \
                name##_tokens(panel, blocks, x + done, 4, sum);                                                         \
            } else {                                                                                                    \
                n = 1;                                                                                                  \
                name##_tokens(panel, blocks, x + done, 1, sum);                                                         \
            }                                                                                                           \
            for (size_t t = 0; t < n; t++)                                                                              \
                v16_store_part(y + (done + t) * ldy, sum[t], rows);                                                     \
            done += n;                                                                                                  \
        }                                                                                                               \
    }

PANEL_KERNEL(q8_0, 544, 128, p16_dot_u8)
PANEL_KERNEL(q4_0, 288, 8, p16_dot_u4)

/* Largest magnitude -> 127; ties round to even; a block with a NaN or an infinity becomes NaN through its scale. */
static void quantize_row(const float *x, size_t n, uint8_t *out)
{
    int8_t *q = (int8_t *)out;
    float *scales = (float *)(void *)(out + n);
    int32_t *sums = (int32_t *)(void *)(out + n + n / L4_QBLOCK * 4);
    const float magic = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer */
    for (size_t b = 0; b < n / L4_QBLOCK; b++, x += L4_QBLOCK, q += L4_QBLOCK) {
        v16 low = v16_load(x), high = v16_load(x + 16);
        float top = v16_top(v16_max(v16_abs(low), v16_abs(high)));
        /* x - x is 0 for finite numbers: a NaN or an infinity anywhere in the block reaches its scale. */
        float unit = top / 127.0f + v16_sum(v16_add(v16_sub(low, low), v16_sub(high, high))), inverse = top > 0 && top < INFINITY ? 127.0f / top : 0.0f;
        float steps[32];
        int32_t sum = 0;
        v16_store(steps, v16_sub(v16_add(v16_mul(low, v16_set(inverse)), v16_set(magic)), v16_set(magic)));
        v16_store(steps + 16, v16_sub(v16_add(v16_mul(high, v16_set(inverse)), v16_set(magic)), v16_set(magic)));
        for (int i = 0; i < L4_QBLOCK; i++) {
            int step = steps[i] >= -127.0f && steps[i] <= 127.0f ? (int)steps[i] : 0;
            q[i] = (int8_t)step;
            sum += step;
        }
        scales[b] = unit;
        sums[b] = sum;
    }
}
