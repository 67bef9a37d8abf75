/*
 * Attention over one block of keys and values, part of body.h: scores, one step of the online softmax, the weighted sum of values. Each
 * score and each element of the sum is one chain of fused multiply-adds, so tiles may have any shape.
 */
/* ROWS rows at a time, WIDE vectors of results of each in registers. */
#define SCORES_TILE(ROWS)                                                                                               \
    static inline void scores_##ROWS(const float *q, const float *keys, size_t vectors, size_t d, float *s)             \
    {                                                                                                                   \
        size_t v = 0;                                                                                                   \
        for (; v + L4_ATTENTION_WIDE <= vectors; v += L4_ATTENTION_WIDE) {                                              \
            v16 sum[ROWS][L4_ATTENTION_WIDE];                                                                           \
            for (int r = 0; r < ROWS; r++)                                                                              \
                for (int c = 0; c < L4_ATTENTION_WIDE; c++)                                                             \
                    sum[r][c] = v16_zero();                                                                             \
            for (size_t i = 0; i < d; i++) {                                                                            \
                v16 key[L4_ATTENTION_WIDE];                                                                             \
                for (int c = 0; c < L4_ATTENTION_WIDE; c++)                                                             \
                    key[c] = v16_load(keys + i * L4_ATTENTION_BLOCK + 16 * (v + c));                                    \
                for (int r = 0; r < ROWS; r++) {                                                                        \
                    v16 in = v16_set(q[r * d + i]);                                                                     \
                    for (int c = 0; c < L4_ATTENTION_WIDE; c++)                                                         \
                        sum[r][c] = v16_fma(in, key[c], sum[r][c]);                                                     \
                }                                                                                                       \
            }                                                                                                           \
            for (int r = 0; r < ROWS; r++)                                                                              \
                for (int c = 0; c < L4_ATTENTION_WIDE; c++)                                                             \
                    v16_store(s + r * L4_ATTENTION_BLOCK + 16 * (v + c), sum[r][c]);                                    \
        }                                                                                                               \
        for (; v < vectors; v++) {                                                                                      \
            v16 sum[ROWS];                                                                                              \
            for (int r = 0; r < ROWS; r++)                                                                              \
                sum[r] = v16_zero();                                                                                    \
            for (size_t i = 0; i < d; i++) {                                                                            \
                v16 key = v16_load(keys + i * L4_ATTENTION_BLOCK + 16 * v);                                             \
                for (int r = 0; r < ROWS; r++)                                                                          \
                    sum[r] = v16_fma(v16_set(q[r * d + i]), key, sum[r]);                                               \
            }                                                                                                           \
            for (int r = 0; r < ROWS; r++)                                                                              \
                v16_store(s + r * L4_ATTENTION_BLOCK + 16 * v, sum[r]);                                                 \
        }                                                                                                               \
    }

#define ACCUMULATE_TILE(ROWS)                                                                                           \
    static inline void accumulate_##ROWS(float *acc, const float *shrink, const float *p, const float *values, size_t n, size_t d) \
    {                                                                                                                   \
        size_t i = 0;                                                                                                   \
        for (; i + 16 * L4_ATTENTION_WIDE <= d; i += 16 * L4_ATTENTION_WIDE) {                                          \
            v16 sum[ROWS][L4_ATTENTION_WIDE];                                                                           \
            for (int r = 0; r < ROWS; r++)                                                                              \
                for (int c = 0; c < L4_ATTENTION_WIDE; c++)                                                             \
                    sum[r][c] = v16_mul(v16_load(acc + r * d + i + 16 * c), v16_set(shrink[r]));                        \
            for (size_t j = 0; j < n; j++) {                                                                            \
                v16 value[L4_ATTENTION_WIDE];                                                                           \
                for (int c = 0; c < L4_ATTENTION_WIDE; c++)                                                             \
                    value[c] = v16_load(values + j * d + i + 16 * c);                                                   \
                for (int r = 0; r < ROWS; r++) {                                                                        \
                    v16 in = v16_set(p[r * L4_ATTENTION_BLOCK + j]);                                                    \
                    for (int c = 0; c < L4_ATTENTION_WIDE; c++)                                                         \
                        sum[r][c] = v16_fma(in, value[c], sum[r][c]);                                                   \
                }                                                                                                       \
            }                                                                                                           \
            for (int r = 0; r < ROWS; r++)                                                                              \
                for (int c = 0; c < L4_ATTENTION_WIDE; c++)                                                             \
                    v16_store(acc + r * d + i + 16 * c, sum[r][c]);                                                     \
        }                                                                                                               \
        for (; i < d; i += 16) {                                                                                        \
            const size_t left = d - i < 16 ? d - i : 16;                                                                \
            v16 sum[ROWS];                                                                                              \
            for (int r = 0; r < ROWS; r++)                                                                              \
                sum[r] = v16_mul(v16_load_part(acc + r * d + i, left), v16_set(shrink[r]));                             \
            for (size_t j = 0; j < n; j++) {                                                                            \
                v16 value = left == 16 ? v16_load(values + j * d + i) : v16_load_part(values + j * d + i, left);        \
                for (int r = 0; r < ROWS; r++)                                                                          \
                    sum[r] = v16_fma(v16_set(p[r * L4_ATTENTION_BLOCK + j]), value, sum[r]);                            \
            }                                                                                                           \
            for (int r = 0; r < ROWS; r++)                                                                              \
                v16_store_part(acc + r * d + i, sum[r], left);                                                          \
        }                                                                                                               \
    }

#define BOTH_TILES(ROWS) SCORES_TILE(ROWS) ACCUMULATE_TILE(ROWS)
BOTH_TILES(1)
#if L4_ATTENTION_ROWS > 1
BOTH_TILES(2)
BOTH_TILES(3)
BOTH_TILES(4)
#endif
#if L4_ATTENTION_ROWS > 4
BOTH_TILES(5)
BOTH_TILES(6)
#endif

static void scores(const float *q, size_t rows, const float *keys, size_t n, size_t d, float *s)
{
    const size_t vectors = (n + 15) / 16;
    while (rows) {
        size_t now = rows < L4_ATTENTION_ROWS ? rows : L4_ATTENTION_ROWS;
        switch (now) {
#if L4_ATTENTION_ROWS > 4
        case 6: scores_6(q, keys, vectors, d, s); break;
        case 5: scores_5(q, keys, vectors, d, s); break;
#endif
#if L4_ATTENTION_ROWS > 1
        case 4: scores_4(q, keys, vectors, d, s); break;
        case 3: scores_3(q, keys, vectors, d, s); break;
        case 2: scores_2(q, keys, vectors, d, s); break;
#endif
        default: scores_1(q, keys, vectors, d, s); break;
        }
        rows -= now;
        q += now * d;
        s += now * L4_ATTENTION_BLOCK;
    }
}

static void accumulate(float *acc, size_t rows, const float *shrink, const float *p, const float *values, size_t n, size_t d)
{
    while (rows) {
        size_t now = rows < L4_ATTENTION_ROWS ? rows : L4_ATTENTION_ROWS;
        switch (now) {
#if L4_ATTENTION_ROWS > 4
        case 6: accumulate_6(acc, shrink, p, values, n, d); break;
        case 5: accumulate_5(acc, shrink, p, values, n, d); break;
#endif
#if L4_ATTENTION_ROWS > 1
        case 4: accumulate_4(acc, shrink, p, values, n, d); break;
        case 3: accumulate_3(acc, shrink, p, values, n, d); break;
        case 2: accumulate_2(acc, shrink, p, values, n, d); break;
#endif
        default: accumulate_1(acc, shrink, p, values, n, d); break;
        }
        rows -= now;
        acc += now * d;
        shrink += now;
        p += now * L4_ATTENTION_BLOCK;
    }
}

static float softmax_step(float *s, size_t n, float *max, float *sum)
{
    float top = *max;
    v16 best = v16_set(top);
    size_t whole = n / 16 * 16;
    for (size_t i = 0; i < whole; i += 16)
        best = v16_max(best, v16_load(s + i));
    top = v16_top(best);
    for (size_t i = whole; i < n; i++)
        top = top > s[i] ? top : s[i];
    v16 total = v16_zero(), high = v16_set(top);
    for (size_t i = 0; i < whole; i += 16) {
        v16 e = v16_exp(v16_sub(v16_load(s + i), high));
        v16_store(s + i, e);
        total = v16_add(total, e);
    }
    if (whole < n) {
        float rest[16];
        v16_store(rest, v16_exp(v16_sub(v16_load_part(s + whole, n - whole), high)));
        memcpy(s + whole, rest, (n - whole) * sizeof *s);
        total = v16_add(total, v16_load_part(rest, n - whole));
    }
    float shrink[16];
    v16_store(shrink, v16_exp(v16_set(*max - top)));
    if (*max == -INFINITY) /* the first step: nothing to shrink, and -inf - -inf would be NaN */
        shrink[0] = 0.0f;
    *sum = *sum * shrink[0] + v16_sum(total);
    *max = top;
    return shrink[0];
}
