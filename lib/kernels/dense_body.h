/* The slots of dense.h, written once over the 16 lanes of a v16_*.h; part of body.h. */
#include "kernels/dense.h"

/* Sixteen rows each of n <= 16 numbers, of which `rows` exist, turned: n rows of sixteen. */
static inline void turn(const float *x, size_t ld, size_t rows, size_t n, v16 out[16])
{
    for (size_t i = 0; i < 16; i++)
        out[i] = i >= rows ? v16_zero() : n == 16 ? v16_load(x + i * ld) : v16_load_part(x + i * ld, n);
    v16_transpose(out);
}

static void dense_panel(const float *x, size_t ld, size_t n, size_t cols, float *panel)
{
    for (size_t c = 0; c < cols; c += 16) {
        size_t left = cols - c < 16 ? cols - c : 16;
        for (size_t half = 0; half < L4_DENSE_ROWS; half += 16) {
            v16 t[16];
            turn(x + half * ld + c, ld, n > half ? n - half : 0, left, t);
            for (size_t i = 0; i < left; i++)
                v16_store(panel + (c + i) * L4_DENSE_ROWS + half, t[i]);
        }
    }
}

static void dense_group(const float *x, size_t ld, size_t n, size_t cols, float *group)
{
    for (size_t c = 0; c < cols; c += 16) {
        size_t left = cols - c < 16 ? cols - c : 16;
        v16 t[16];
        turn(x + c, ld, n, left, t);
        for (size_t i = 0; i < left; i++)
            v16_store_part(group + (c + i) * L4_DENSE_TOKENS, t[i], L4_DENSE_TOKENS);
    }
}

/* `wide` times 16 rows with `tokens` tokens; sums stay in registers from end to end. */
static inline L4_ALWAYS_INLINE void dense_block(const float *panel, const float *group, size_t cols, const float *start, float *y, size_t ldy,
                                                size_t rows, const int wide, const int tokens)
{
    v16 sum[L4_DENSE_STEP][L4_DENSE_WIDE];
    for (int t = 0; t < tokens; t++)
        for (int i = 0; i < wide; i++) {
            size_t left = rows - 16 * (size_t)i;
            const float *from = start ? start + 16 * i : y + (size_t)t * ldy + 16 * i;
            sum[t][i] = left >= 16 ? v16_load(from) : v16_load_part(from, left);
        }
    for (size_t c = 0; c < cols; c++, panel += L4_DENSE_ROWS, group += L4_DENSE_TOKENS) {
        v16 w[L4_DENSE_WIDE];
        for (int i = 0; i < wide; i++)
            w[i] = v16_load(panel + 16 * i);
        for (int t = 0; t < tokens; t++) {
            v16 x = v16_set(group[t]);
            for (int i = 0; i < wide; i++)
                sum[t][i] = v16_fma(w[i], x, sum[t][i]);
        }
    }
    for (int t = 0; t < tokens; t++)
        for (int i = 0; i < wide; i++) {
            size_t left = rows - 16 * (size_t)i;
            v16_store_part(y + (size_t)t * ldy + 16 * i, sum[t][i], left < 16 ? left : 16);
        }
}

static inline L4_ALWAYS_INLINE void dense_strip(const float *panel, const float *group, size_t cols, const float *start, float *y, size_t ldy,
                                                size_t rows, size_t tokens, const int wide)
{
    size_t t = 0;
    for (; tokens - t >= L4_DENSE_STEP; t += L4_DENSE_STEP)
        dense_block(panel, group + t, cols, start, y + t * ldy, ldy, rows, wide, L4_DENSE_STEP);
#if L4_DENSE_STEP > 8
    for (; tokens - t >= 8; t += 8)
        dense_block(panel, group + t, cols, start, y + t * ldy, ldy, rows, wide, 8);
#endif
#if L4_DENSE_STEP > 4
    for (; tokens - t >= 4; t += 4)
        dense_block(panel, group + t, cols, start, y + t * ldy, ldy, rows, wide, 4);
#endif
    for (; tokens - t >= 2; t += 2)
        dense_block(panel, group + t, cols, start, y + t * ldy, ldy, rows, wide, 2);
    if (t < tokens)
        dense_block(panel, group + t, cols, start, y + t * ldy, ldy, rows, wide, 1);
}

static void dense_product(const float *panel, const float *group, size_t cols, const float *start, float *y, size_t ldy, size_t rows, size_t tokens)
{
#if L4_DENSE_WIDE == 2
    if (rows > 16)
        dense_strip(panel, group, cols, start, y, ldy, rows, tokens, 2);
    else
        dense_strip(panel, group, cols, start, y, ldy, rows, tokens, 1);
#else
    for (size_t r = 0; r < rows; r += 16)
        dense_strip(panel + r, group, cols, start ? start + r : NULL, y + r, ldy, rows - r, tokens, 1);
#endif
}

static void dense_layer_norm(const float *x, const float *w, const float *b, float epsilon, float *y, size_t n)
{
    v16 sum = v16_zero(), squares = v16_zero();
    for (size_t i = 0; i < n; i += 16)
        sum = v16_add(sum, v16_load_part(x + i, n - i < 16 ? n - i : 16));
    float mean = v16_sum(sum) / (float)n;
    for (size_t i = 0; i < n; i += 16) {
        size_t left = n - i < 16 ? n - i : 16;
        v16 d = v16_sub(v16_load_part(x + i, left), v16_set(mean));
        if (left < 16) { /* lanes beyond the end hold -mean */
            float part[16] = {0};
            v16_store_part(part, d, left);
            d = v16_load(part);
        }
        squares = v16_fma(d, d, squares);
    }
    v16 factor = v16_set(1.0f / sqrtf(v16_sum(squares) / (float)n + epsilon)), middle = v16_set(mean);
    for (size_t i = 0; i < n; i += 16) {
        size_t left = n - i < 16 ? n - i : 16;
        v16 d = v16_mul(v16_sub(v16_load_part(x + i, left), middle), factor);
        v16_store_part(y + i, v16_fma(d, v16_load_part(w + i, left), v16_load_part(b + i, left)), left);
    }
}

/* erf(x) = x P(x^2) / Q(x^2) on |x| <= 3.92, where it reaches 1 - 3e-8: a fit of smallest relative error, 5e-8. */
static inline v16 v16_erf(v16 x)
{
    static const float p[] = {1.95780694e-06f, 0.000141849407f, 0.00370161864f, 0.0505734161f, 0.199925065f, 1.12837911f};
    static const float q[] = {0.000956036616f, 0.0143532483f, 0.114998646f, 0.510510623f, 1.0f};
    x = v16_min(v16_set(3.92f), v16_max(v16_set(-3.92f), x));
    v16 t = v16_mul(x, x), over = v16_set(1.99238315e-08f), under = v16_set(q[0]);
    over = v16_fma(over, t, v16_set(-p[0]));
    for (int i = 1; i < 6; i++)
        over = v16_fma(over, t, v16_set(p[i]));
    for (int i = 1; i < 5; i++)
        under = v16_fma(under, t, v16_set(q[i]));
    return v16_div(v16_mul(x, over), under);
}

static void dense_gelu(float *x, size_t n)
{
    for (size_t i = 0; i < n; i += 16) {
        size_t left = n - i < 16 ? n - i : 16;
        v16 z = v16_load_part(x + i, left), half = v16_mul(z, v16_set(0.5f));
        v16_store_part(x + i, v16_fma(half, v16_erf(v16_mul(z, v16_set(0.707106781f))), half), left);
    }
}

static float dense_softmax(float *x, size_t n, float factor)
{
    size_t whole = n / 16 * 16;
    v16 best = v16_set(-INFINITY), total = v16_zero();
    for (size_t i = 0; i < whole; i += 16)
        best = v16_max(best, v16_load(x + i));
    float top = v16_top(best);
    for (size_t i = whole; i < n; i++)
        top = top > x[i] ? top : x[i];
    for (size_t i = 0; i < n; i += 16) {
        size_t left = n - i < 16 ? n - i : 16;
        v16 e = v16_exp(v16_mul(v16_sub(v16_load_part(x + i, left), v16_set(top)), v16_set(factor)));
        v16_store_part(x + i, e, left);
        total = v16_add(total, left == 16 ? e : v16_load_part(x + i, left));
    }
    return v16_sum(total);
}

static void dense_fill(l4_dense_kernels *k)
{
    k->panel = dense_panel;
    k->group = dense_group;
    k->product = dense_product;
    k->layer_norm = dense_layer_norm;
    k->gelu = dense_gelu;
    k->softmax = dense_softmax;
}
