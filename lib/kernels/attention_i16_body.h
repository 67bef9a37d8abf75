/*
 * Attention over one block of keys and values that are pairs of 16-bit integers (kernels.h), part of body.h. Sums of L4_I16_CHAIN products are
 * exact in 32 bits; those of longer rows are added in float32, first to last. So tiles may have any shape.
 */
#define I16_CHAIN (L4_I16_CHAIN / 2) /* in pairs */

static inline p16 i16_pair(const int16_t *x)
{
    return p16_set((int32_t)((uint16_t)x[0] | (uint32_t)(uint16_t)x[1] << 16));
}

/* What a pass over a block reads and writes; it asks for its part of what is needed soon. */
typedef struct i16_pass {
    const l4_i16_rows *rows;
    size_t row, n;         /* first of n <= L4_ATTENTION_ROWS rows */
    const uint8_t *from;   /* integers: vectors side by side */
    size_t step, pairs;    /* bytes from one pair of a chain to the next; their number */
    const uint8_t *soon;
    size_t each;           /* bytes with every pair */
} i16_pass;

/* The sums of one chain: `wide` vectors at `at` bytes, times pairs first .. end - 1 of `rows` rows. */
static inline L4_ALWAYS_INLINE void i16_chain(const int rows, const int wide, const i16_pass *p, size_t at, size_t first, size_t end, uint8_t *out)
{
    const size_t ld = p->rows->ld, each = wide == L4_ATTENTION_WIDE ? p->each : 0, step = p->step;
    const int16_t *x = p->rows->x + p->row * ld;
    const uint8_t *from = p->from + at + first * step, *soon = p->soon + (at / (64 * L4_ATTENTION_WIDE) * p->pairs + first) * each;
    p16_sums sum[L4_ATTENTION_ROWS][L4_ATTENTION_WIDE];
    L4_UNROLL(8)
    for (int r = 0; r < rows; r++)
        L4_UNROLL(4)
        for (int c = 0; c < wide; c++)
            sum[r][c] = p16_no_sums();
    for (size_t i = first; i < end; i++, from += step, soon += each) {
        p16 in[L4_ATTENTION_WIDE];
        L4_UNROLL(4)
        for (int c = 0; c < wide; c++) {
            if (rows < L4_ATTENTION_ROWS) /* mostly one token's: no other pass comes by, and the first level is faster */
                L4_ASK_TO_READ(soon + 64 * c, 3);
            else
                L4_ASK_TO_READ(soon + 64 * c, 2);
            in[c] = p16_load(from + 64 * c);
        }
        L4_UNROLL(8)
        for (int r = 0; r < rows; r++) {
            const p16 pair = i16_pair(x + (size_t)r * ld + 2 * i);
            L4_UNROLL(4)
            for (int c = 0; c < wide; c++)
                sum[r][c] = p16_dot_pairs(sum[r][c], in[c], pair);
        }
    }
    L4_UNROLL(8)
    for (int r = 0; r < rows; r++)
        L4_UNROLL(4)
        for (int c = 0; c < wide; c++)
            p16_store_sums(out + 64 * (r * wide + c), sum[r][c]);
}

typedef void i16_chain_fn(const i16_pass *, size_t, size_t, size_t, uint8_t *);

#define I16_CHAIN_OF(name, rows, wide)                                                                                  \
    static void name(const i16_pass *p, size_t at, size_t first, size_t end, uint8_t *out)                              \
    {                                                                                                                   \
        i16_chain(rows, wide, p, at, first, end, out);                                                                  \
    }
#if L4_ATTENTION_WIDE > 1
#define I16_CHAINS(rows) I16_CHAIN_OF(i16_one_##rows, rows, 1) I16_CHAIN_OF(i16_wide_##rows, rows, L4_ATTENTION_WIDE)
#define I16_PAIR(rows) {i16_one_##rows, i16_wide_##rows}
#else
#define I16_CHAINS(rows) I16_CHAIN_OF(i16_one_##rows, rows, 1)
#define I16_PAIR(rows) {i16_one_##rows}
#endif

I16_CHAINS(1)
#if L4_ATTENTION_ROWS > 1
I16_CHAINS(2)
I16_CHAINS(3)
I16_CHAINS(4)
#endif
#if L4_ATTENTION_ROWS > 4
I16_CHAINS(5)
I16_CHAINS(6)
#endif
static i16_chain_fn *const i16_chains[L4_ATTENTION_ROWS][2] = {
    I16_PAIR(1),
#if L4_ATTENTION_ROWS > 1
    I16_PAIR(2), I16_PAIR(3), I16_PAIR(4),
#endif
#if L4_ATTENTION_ROWS > 4
    I16_PAIR(5), I16_PAIR(6),
#endif
};

/* Vectors that are taken together, if there are `left` more. */
static inline int i16_vectors(size_t left)
{
    return left >= L4_ATTENTION_WIDE ? L4_ATTENTION_WIDE : 1;
}

#define I16_LANES(lanes, wide, r, c) p16_to_v16(p16_load((lanes) + 64 * ((r) * (size_t)(wide) + (size_t)(c))))

static void i16_scores_pass(const i16_pass *p, const float *units, size_t n, float *s)
{
    uint8_t lanes[L4_ATTENTION_ROWS * L4_ATTENTION_WIDE * 64];
    for (size_t j = 0, wide; j < n; j += 16 * wide) {
        wide = (size_t)i16_vectors((n - j + 15) / 16);
        for (size_t first = 0, end; first < p->pairs; first = end) {
            end = p->pairs - first < I16_CHAIN ? p->pairs : first + I16_CHAIN;
            i16_chains[p->n - 1][wide > 1](p, 4 * j, first, end, lanes);
            for (size_t r = 0; r < p->n; r++)
                for (size_t c = 0; c < wide; c++) {
                    float *to = s + r * L4_ATTENTION_BLOCK + j + 16 * c;
                    v16 score = I16_LANES(lanes, wide, r, c);
                    score = first ? v16_add(v16_load(to), score) : score;
                    v16_store(to, end < p->pairs ? score : v16_mul(score, v16_mul(v16_load(units + j + 16 * c), v16_set(p->rows->unit[p->row + r]))));
                }
        }
    }
}

static void i16_accumulate_pass(const i16_pass *p, const float *shrink, size_t d, float *acc)
{
    uint8_t lanes[L4_ATTENTION_ROWS * L4_ATTENTION_WIDE * 64];
    for (size_t i = 0, wide; i < d; i += 16 * wide) {
        wide = (size_t)i16_vectors((d - i) / 16);
        const size_t left = d - i < 16 ? d - i : 16;
        for (size_t first = 0, end; first < p->pairs; first = end) {
            end = p->pairs - first < I16_CHAIN ? p->pairs : first + I16_CHAIN;
            i16_chains[p->n - 1][wide > 1](p, 4 * i, first, end, lanes);
            for (size_t r = 0; r < p->n; r++)
                for (size_t c = 0; c < wide; c++) {
                    float *to = acc + r * d + i + 16 * c;
                    v16 old = left < 16 ? v16_load_part(to, left) : v16_load(to);
                    old = first ? old : v16_mul(old, v16_set(shrink[p->row + r]));
                    old = v16_fma(I16_LANES(lanes, wide, r, c), v16_set(p->rows->unit[p->row + r]), old);
                    if (left < 16)
                        v16_store_part(to, old, left);
                    else
                        v16_store(to, old);
                }
        }
    }
}

/* The first pass over all rows; `vectors` of results side by side. */
static inline i16_pass i16_start(const l4_i16_rows *rows, const uint8_t *from, size_t step, size_t pairs, const uint8_t *soon)
{
    const size_t passes = (rows->n + L4_ATTENTION_ROWS - 1) / L4_ATTENTION_ROWS;
    i16_pass p = {rows, 0, rows->n < L4_ATTENTION_ROWS ? rows->n : L4_ATTENTION_ROWS, from, step, pairs, soon ? soon : from,
                  soon ? 64 * L4_ATTENTION_WIDE / passes : 0};
    return p;
}

static inline void i16_next(i16_pass *p, size_t vectors)
{
    p->soon += vectors / L4_ATTENTION_WIDE * p->pairs * p->each;
    p->row += p->n;
    p->n = p->rows->n - p->row < L4_ATTENTION_ROWS ? p->rows->n - p->row : L4_ATTENTION_ROWS;
}

static void i16_scores(const l4_i16_rows *q, const uint8_t *keys, const float *units, size_t n, float *s, const uint8_t *soon)
{
    for (i16_pass p = i16_start(q, keys, 4 * L4_ATTENTION_BLOCK, q->ld / 2, soon); p.row < q->n; i16_next(&p, (n + 15) / 16))
        i16_scores_pass(&p, units, n, s + p.row * L4_ATTENTION_BLOCK);
}

static void i16_accumulate(float *acc, const l4_i16_rows *weights, const float *shrink, const uint8_t *values, size_t n, size_t d, const uint8_t *soon)
{
    for (i16_pass p = i16_start(weights, values, 4 * d, (n + 1) / 2, soon); p.row < weights->n; i16_next(&p, d / 16))
        i16_accumulate_pass(&p, shrink, d, acc + p.row * d);
}

#if defined(L4_LARGE_UNPACK)
#define I8_OPEN static ONE_COPY
#else
#define I8_OPEN static inline
#endif

/* Sixteen pairs of bytes times their factors. */
I8_OPEN void i8_open(const uint8_t *from, p16 factors, uint8_t *to)
{
    p16_store(to, p16_mul_words(p16_load_words(from), factors));
}

static void i8_open_keys(const uint8_t *plane, size_t d, uint8_t *out)
{
    const uint8_t *factors = plane + d * L4_ATTENTION_BLOCK;
    for (size_t b = 0; b < d; b += L4_I8_BLOCK, factors += L4_ATTENTION_BLOCK)
        for (size_t j = 0; j < L4_ATTENTION_BLOCK; j += 16) {
            const p16 factor = p16_load_u8(factors + j), both = p16_or(factor, p16_shl(factor, 16));
            const size_t end = d - b < L4_I8_BLOCK ? d : b + L4_I8_BLOCK;
            for (size_t at = b / 2 * L4_ATTENTION_BLOCK + j; at < end / 2 * L4_ATTENTION_BLOCK; at += L4_ATTENTION_BLOCK)
                i8_open(plane + 2 * at, both, out + 4 * at);
        }
}

/* Where d is no multiple of 16, the end of a row spills into the next one, whose turn is later. */
static void i8_open_values(const uint8_t *plane, size_t d, size_t pairs, uint8_t *out)
{
    const uint8_t *factors = plane + d * L4_ATTENTION_BLOCK;
    for (size_t j = 0; j < pairs; j++)
        for (size_t b = 0; b < d; b += L4_I8_BLOCK, factors += 2) {
            const p16 both = p16_set((int32_t)(factors[0] | (uint32_t)factors[1] << 16));
            for (size_t i = b; i < b + L4_I8_BLOCK && i < d; i += 16)
                i8_open(plane + 2 * (j * d + i), both, out + 4 * (j * d + i));
        }
}
