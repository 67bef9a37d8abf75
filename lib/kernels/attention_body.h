/*
 * Attention over one block of keys and values, part of body.h: scores, one step of the online softmax, the weighted sum of values. Each
 * score and each element of the sum is one chain of fused multiply-adds, so tiles may have any shape. At the end, what turns numbers into the
 * integers of attention_i16_body.h.
 */

/* A step of one pass over all rows asks for as much of what is needed soon as it reads of float16; of several passes each does its part. */
#define SOON_EACH (L4_ATTENTION_WIDE * 32)
#define ASK_SOON                                                                                                        \
    for (int c = 0; c < SOON_EACH; c += 64)                                                                             \
        L4_ASK_TO_READ(soon + c, 2);                                                                                    \
    soon += each;

static inline size_t soon_each(const uint8_t *soon, size_t rows)
{
    return soon ? SOON_EACH / ((rows + L4_ATTENTION_ROWS - 1) / L4_ATTENTION_ROWS) : 0;
}

/* ROWS rows at a time, WIDE vectors of results of each in registers; keys and values as they are stored, `size` bytes a number. */
#define SCORES_TILE(ROWS, kind, size)                                                                                   \
    static inline void kind##_scores_##ROWS(const float *q, const uint8_t *keys, size_t vectors, size_t d, float *s,    \
                                            const uint8_t *soon, size_t each)                                           \
    {                                                                                                                   \
        size_t v = 0;                                                                                                   \
        for (; v + L4_ATTENTION_WIDE <= vectors; v += L4_ATTENTION_WIDE) {                                              \
            v16 sum[ROWS][L4_ATTENTION_WIDE];                                                                           \
            for (int r = 0; r < ROWS; r++)                                                                              \
                for (int c = 0; c < L4_ATTENTION_WIDE; c++)                                                             \
                    sum[r][c] = v16_zero();                                                                             \
            for (size_t i = 0; i < d; i++) {                                                                            \
                ASK_SOON                                                                                                \
                v16 key[L4_ATTENTION_WIDE];                                                                             \
                for (int c = 0; c < L4_ATTENTION_WIDE; c++)                                                             \
                    key[c] = v16_from_##kind(keys + size * (i * L4_ATTENTION_BLOCK + 16 * (v + c)));                    \
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
                v16 key = v16_from_##kind(keys + size * (i * L4_ATTENTION_BLOCK + 16 * v));                             \
                for (int r = 0; r < ROWS; r++)                                                                          \
                    sum[r] = v16_fma(v16_set(q[r * d + i]), key, sum[r]);                                               \
            }                                                                                                           \
            for (int r = 0; r < ROWS; r++)                                                                              \
                v16_store(s + r * L4_ATTENTION_BLOCK + 16 * v, sum[r]);                                                 \
        }                                                                                                               \
    }

#define ACCUMULATE_TILE(ROWS, kind, size)                                                                               \
    static inline void kind##_accumulate_##ROWS(float *acc, const float *shrink, const float *p, const uint8_t *values, size_t n, size_t d, \
                                                const uint8_t *soon, size_t each)                                       \
    {                                                                                                                   \
        size_t i = 0;                                                                                                   \
        for (; i + 16 * L4_ATTENTION_WIDE <= d; i += 16 * L4_ATTENTION_WIDE) {                                          \
            v16 sum[ROWS][L4_ATTENTION_WIDE];                                                                           \
            for (int r = 0; r < ROWS; r++)                                                                              \
                for (int c = 0; c < L4_ATTENTION_WIDE; c++)                                                             \
                    sum[r][c] = v16_mul(v16_load(acc + r * d + i + 16 * c), v16_set(shrink[r]));                        \
            for (size_t j = 0; j < n; j++) {                                                                            \
                ASK_SOON                                                                                                \
                v16 value[L4_ATTENTION_WIDE];                                                                           \
                for (int c = 0; c < L4_ATTENTION_WIDE; c++)                                                             \
                    value[c] = v16_from_##kind(values + size * (j * d + i + 16 * c));                                   \
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
                const uint8_t *at = values + size * (j * d + i);                                                        \
                v16 value = left == 16 ? v16_from_##kind(at) : kind##_tail(at, left);                                   \
                for (int r = 0; r < ROWS; r++)                                                                          \
                    sum[r] = v16_fma(v16_set(p[r * L4_ATTENTION_BLOCK + j]), value, sum[r]);                            \
            }                                                                                                           \
            for (int r = 0; r < ROWS; r++)                                                                              \
                v16_store_part(acc + r * d + i, sum[r], left);                                                          \
        }                                                                                                               \
    }

#define BOTH_TILES(ROWS, kind, size) SCORES_TILE(ROWS, kind, size) ACCUMULATE_TILE(ROWS, kind, size)

#if L4_ATTENTION_ROWS > 4
#define TILES(kind, size) \
    BOTH_TILES(1, kind, size) BOTH_TILES(2, kind, size) BOTH_TILES(3, kind, size) BOTH_TILES(4, kind, size) BOTH_TILES(5, kind, size) BOTH_TILES(6, kind, size)
#define BY_ROWS(now, f, ...)             \
    switch (now) {                       \
    case 6: f##_6(__VA_ARGS__); break;   \
    case 5: f##_5(__VA_ARGS__); break;   \
    case 4: f##_4(__VA_ARGS__); break;   \
    case 3: f##_3(__VA_ARGS__); break;   \
    case 2: f##_2(__VA_ARGS__); break;   \
    default: f##_1(__VA_ARGS__); break;  \
    }
#elif L4_ATTENTION_ROWS > 1
#define TILES(kind, size) BOTH_TILES(1, kind, size) BOTH_TILES(2, kind, size) BOTH_TILES(3, kind, size) BOTH_TILES(4, kind, size)
#define BY_ROWS(now, f, ...)             \
    switch (now) {                       \
    case 4: f##_4(__VA_ARGS__); break;   \
    case 3: f##_3(__VA_ARGS__); break;   \
    case 2: f##_2(__VA_ARGS__); break;   \
    default: f##_1(__VA_ARGS__); break;  \
    }
#else
#define TILES(kind, size) BOTH_TILES(1, kind, size)
#define BY_ROWS(now, f, ...) f##_1(__VA_ARGS__);
#endif

#define STEPS(kind, size)                                                                                               \
    TILES(kind, size)                                                                                                   \
    static void kind##_scores(const float *q, size_t rows, const uint8_t *keys, size_t n, size_t d, float *s, const uint8_t *soon) \
    {                                                                                                                   \
        const size_t vectors = (n + 15) / 16, each = soon_each(soon, rows), ahead = each * (vectors / L4_ATTENTION_WIDE * d); \
        soon = soon ? soon : keys;                                                                                      \
        for (size_t now; rows; rows -= now, q += now * d, s += now * L4_ATTENTION_BLOCK, soon += ahead) {               \
            now = rows < L4_ATTENTION_ROWS ? rows : L4_ATTENTION_ROWS;                                                  \
            BY_ROWS(now, kind##_scores, q, keys, vectors, d, s, soon, each)                                             \
        }                                                                                                               \
    }                                                                                                                   \
    static void kind##_accumulate(float *acc, size_t rows, const float *shrink, const float *p, const uint8_t *values, size_t n, size_t d, \
                                  const uint8_t *soon)                                                                  \
    {                                                                                                                   \
        const size_t each = soon_each(soon, rows), ahead = each * (d / (16 * L4_ATTENTION_WIDE) * n);                   \
        soon = soon ? soon : values;                                                                                    \
        for (size_t now; rows; rows -= now, acc += now * d, shrink += now, p += now * L4_ATTENTION_BLOCK, soon += ahead) { \
            now = rows < L4_ATTENTION_ROWS ? rows : L4_ATTENTION_ROWS;                                                  \
            BY_ROWS(now, kind##_accumulate, acc, shrink, p, values, n, d, soon, each)                                   \
        }                                                                                                               \
    }

STEPS(f32, 4)
STEPS(f16, 2)

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
    float shrink = 1.0f; /* exp(0) */
    if (*max == -INFINITY) /* the first step: nothing to shrink, and -inf - -inf would be NaN */
        shrink = 0.0f;
    else if (*max != top) {
        float lanes[16];
        v16_store(lanes, v16_exp(v16_set(*max - top)));
        shrink = lanes[0];
    }
    *sum = *sum * shrink + v16_sum(total);
    *max = top;
    return shrink;
}

/* x * inverse to the nearest integers, ties to even. */
static inline void i16_round(const float *x, float inverse, size_t n, int16_t *out)
{
    const v16 magic = v16_set(12582912.0f), factor = v16_set(inverse); /* 1.5 * 2^23: adding it rounds to an integer */
    for (size_t i = 0; i < n; i += 16) {
        v16 y = n - i < 16 ? v16_load_part(x + i, n - i) : v16_load(x + i);
        y = v16_sub(v16_add(v16_mul(y, factor), magic), magic);
        if (n - i < 16) {
            int16_t part[16];
            v16_to_i16(part, y);
            memcpy(out + i, part, (n - i) * sizeof *out);
        } else
            v16_to_i16(out + i, y);
    }
}

static float i16_quantize(const float *x, size_t n, int16_t *out)
{
    v16 best = v16_zero(), bad = v16_zero();
    for (size_t i = 0; i < n; i += 16) {
        v16 y = n - i < 16 ? v16_load_part(x + i, n - i) : v16_load(x + i);
        best = v16_max(v16_abs(y), best);
        bad = v16_add(bad, v16_sub(y, y)); /* 0 for finite numbers: a NaN or an infinity anywhere reaches the unit */
    }
    const float top = v16_top(best), unit = top / L4_I16_TOP + v16_sum(bad);
    if (top >= 1e-34f && unit < INFINITY)
        i16_round(x, L4_I16_TOP / top, n, out);
    else
        memset(out, 0, n * sizeof *out);
    return unit;
}

static float i16_weights(const float *p, const float *units, size_t n, int16_t *out)
{
    float weight[L4_ATTENTION_BLOCK];
    v16 best = v16_zero();
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        v16 y = v16_mul(v16_load(p + i), v16_load(units + i));
        v16_store(weight + i, y);
        best = v16_max(y, best);
    }
    if (i < n) {
        v16 y = v16_mul(v16_load_part(p + i, n - i), v16_load_part(units + i, n - i));
        v16_store(weight + i, y);
        best = v16_max(y, best);
        i += 16;
    }
    memset(out, 0, L4_ATTENTION_BLOCK * sizeof *out);
    const float top = v16_top(best);
    if (!(top >= 1e-34f && top < INFINITY))
        return 0.0f;
    i16_round(weight, L4_I16_TOP / top, i, out);
    return top / L4_I16_TOP;
}

static float i8_quantize(const float *x, size_t n, int8_t *out, uint8_t *factors)
{
    float top = 0, bad = 0;
    for (size_t i = 0; i < n; i++) {
        top = fabsf(x[i]) > top ? fabsf(x[i]) : top;
        bad += x[i] - x[i]; /* 0 for finite numbers */
    }
    const float unit = top / (127 * L4_I8_FACTOR) + bad;
    if (!(top >= 1e-34f && unit < INFINITY)) {
        memset(out, 0, n);
        memset(factors, 0, (n + L4_I8_BLOCK - 1) / L4_I8_BLOCK);
        return unit;
    }
    for (size_t b = 0; b < n; b += L4_I8_BLOCK, factors++) {
        const size_t end = n - b < L4_I8_BLOCK ? n : b + L4_I8_BLOCK;
        float most = 0;
        for (size_t i = b; i < end; i++)
            most = fabsf(x[i]) > most ? fabsf(x[i]) : most;
        int factor = (int)(most / (127 * unit));
        factor += 127 * unit * (float)factor < most;
        factor = factor < 1 ? 1 : factor > L4_I8_FACTOR ? L4_I8_FACTOR : factor;
        const float magic = 12582912.0f, inverse = 1 / (unit * (float)factor);
        for (size_t i = b; i < end; i++)
            out[i] = (int8_t)((x[i] * inverse + magic) - magic);
        *factors = (uint8_t)factor;
    }
    return unit;
}
