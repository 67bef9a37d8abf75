/*
 * Products of panels with int8 activations, written once over sixteen int32 lanes (p16_*.h) and sixteen float lanes (v16_*.h), which
 * were included before. Integer sums are exact, so only the order of the tiles matters: it is the file's.
 */
#include "kernels/unpack.h"

#if defined(L4_PANEL_PAIRS)
#define MOST_PANELS 2
#else
#define MOST_PANELS 1
#endif

/* Where a step keeps what its first halves gave: its caller's, or GCC makes 60 kB more of the portable lanes. */
typedef struct first_halves {
    v16 of[L4_STEP_TOKENS * MOST_PANELS];
} first_halves;

/*
 * One step: a tile of each of `panels` <= 2 panels, `stride` tiles apart, times one block of `tokens` <= L4_STEP_TOKENS tokens; adds to
 * the sums of sixteen rows at sums + SUM(panel, token). `kind`, `panels` and `tokens` are constants where this is inlined.
 */
#define SUM(p, t) (((p) * L4_GROUP + (t)) * L4_PANEL)

/* The largest weight in a tile of a kind; where they are signed, the largest magnitude. */
static inline L4_ALWAYS_INLINE int largest(const l4_tile_kind kind)
{
    switch (kind) {
    case L4_TILE_OFFSET_8: return 15;
    case L4_TILE_OFFSET_16: return L4_SIGNED ? 16 : 31;
    case L4_TILE_OFFSET_64: return L4_SIGNED ? 62 : OFFSET_64 == 64 ? 126 : 255;
    case L4_TILE_HALVES_32: return L4_SIGNED ? 32 : HALVES_32 == 32 ? 63 : 127;
    case L4_TILE_HALVES_64: return L4_SIGNED ? 62 : 126;
    case L4_TILE_MINIMUM: return 31;
    case L4_TILE_MINIMA: return 63;
    default: return 255;
    }
}

static inline L4_ALWAYS_INLINE int has_halves(const l4_tile_kind kind)
{
    return kind == L4_TILE_HALVES_32 || kind == L4_TILE_HALVES_64;
}

/* Where a block of activations has what takes off again by how much more weights are than they mean. */
static inline L4_ALWAYS_INLINE size_t start_of(const l4_tile_kind kind)
{
    return kind == L4_TILE_OFFSET_8 ? offsetof(l4_xblock, minus_8) : kind == L4_TILE_OFFSET_16 ? offsetof(l4_xblock, minus_16)
           : has_halves(kind) ? offsetof(l4_xblock, first_minus_64) : offsetof(l4_xblock, minus_128);
}

/* That, at `at` in x; for two kinds there is twice as much, which begin() halves. */
static inline L4_ALWAYS_INLINE int32_t start(const l4_tile_kind kind, const l4_xblock *x, size_t at)
{
    if (kind == L4_TILE_MINIMUM || kind == L4_TILE_MINIMA || (L4_SIGNED && kind != L4_TILE_OFFSET_8) || (L4_DOT_LESS_128 && largest(kind) == 255))
        return 0;
    int32_t sum;
    memcpy(&sum, (const uint8_t *)x + at, sizeof sum);
    return sum;
}

#if defined(L4_NARROW_SUMS) && !L4_SIGNED
static inline L4_ALWAYS_INLINE p16 begin(const l4_tile_kind kind, int32_t sum)
{
    return kind == L4_TILE_OFFSET_64 || kind == L4_TILE_HALVES_32 ? p16_half(p16_set(sum)) : p16_set(sum);
}
#else
#define begin(kind, sum) p16_set(sum)
#endif
#define SECOND (offsetof(l4_xblock, second_minus_64)) /* for the other half */

#if defined(L4_PANEL_PAIRS)

/* acc += w times the four numbers at x, which are in all lanes of `four`. */
static inline L4_ALWAYS_INLINE p16 dot_four(const int itself, p16 acc, p16 w, p16 four, const int8_t *x)
{
#if defined(L4_DOT_AT)
    if (itself)
        return p16_dot_at(acc, w, x);
#endif
    (void)itself, (void)x;
    return p16_dot(acc, w, four);
}

/* n[p][t] += the columns 4 * first .. 4 * end - 1 of a step. Of two panels' products most read x themselves: one instruction less to decode, which
 * counts where a core is shared. If all did, there would be more loads than two ports have time for. */
static inline L4_ALWAYS_INLINE void dots(const int panels, const int tokens, int first, int end, const l4_tile *tile, size_t stride, const l4_xblock *x,
                                         p16 n[2][L4_STEP_TOKENS])
{
    L4_UNROLL(8)
    for (int i = first; i < end; i++) {
        const p16 w[2] = {p16_load(tile->w[i]), p16_load(tile[panels > 1 ? stride : 0].w[i])};
        L4_UNROLL(8)
        for (int t = 0; t < tokens; t++) {
            const int8_t *at = x[t].q + 4 * i;
            const p16 four = p16_four(at);
            for (int p = 0; p < panels; p++)
                n[p][t] = dot_four(panels > 1 && t % 3, n[p][t], w[p], four, at);
        }
    }
}

/* Eight tokens and two panels: sixteen chains of products side by side. The sums stay in memory, and the first halves' products. */
static inline L4_ALWAYS_INLINE void step(const l4_tile_kind kind, size_t at, const int panels, const int tokens, const l4_tile *tile, size_t stride,
                                         const l4_xblock *x, float *sums, first_halves *firsts)
{
    const int halves = has_halves(kind);
    p16 n[2][L4_STEP_TOKENS];
    L4_UNROLL(8)
    for (int t = 0; t < tokens; t++)
        n[0][t] = n[1][t] = begin(kind, start(kind, &x[t], at));
    dots(panels, tokens, 0, halves ? 4 : 8, tile, stride, x, n);
    const l4_tile *last = tile + (panels > 1 ? stride : 0);
    const v16 scale[2] = {v16_load(tile->scale), v16_load(last->scale)}; /* before there are stores, which could change them */
    const v16 other[2] = {v16_load(tile->other), v16_load(last->other)}, third[2] = {v16_load(tile->third), v16_load(last->third)};
    if (halves) {
        L4_UNROLL(8)
        for (int t = 0; t < tokens; t++)
            for (int p = 0; p < panels; p++) {
                firsts->of[2 * t + p] = v16_mul(p16_to_v16(n[p][t]), scale[p]);
                n[p][t] = begin(kind, start(kind, &x[t], SECOND));
            }
        dots(panels, tokens, 4, 8, tile, stride, x, n);
    }
    L4_UNROLL(8)
    for (int t = 0; t < tokens; t++)
        for (int p = 0; p < panels; p++) {
            const v16 integers = p16_to_v16(n[p][t]), unit = v16_set(x[t].scale), before = v16_load(sums + SUM(p, t));
            v16 sum = halves ? v16_fma(v16_fma(integers, other[p], firsts->of[2 * t + p]), unit, before)
                             : v16_fma(integers, v16_mul(scale[p], unit), before);
            if (kind == L4_TILE_MINIMUM || kind == L4_TILE_MINIMA)
                sum = v16_fma(other[p], v16_set(x[t].sum), sum);
            if (kind == L4_TILE_MINIMA)
                sum = v16_fma(third[p], v16_set(x[t].first_sum), sum);
            v16_store(sums + SUM(p, t), sum);
        }
}

#else

/* n[t] += the columns 4 i .. 4 i + 15 of the tile; `most` is the largest weight there can be. */
static inline L4_ALWAYS_INLINE void half_step(const int tokens, const int most, const uint8_t (*w)[64], const l4_xblock *x, int first, p16 *n)
{
    (void)most;
#if defined(L4_DOT_HALF)
    p16_dot_half(tokens, most, w, x, first, n);
#else
#if defined(L4_NARROW_SUMS)
    if (most <= 127) {
        const int run = most <= 31 ? 4 : most <= 63 ? 2 : 1;
        for (int i = 0; i < 4; i += run) {
            p16_pairs pairs[L4_STEP_TOKENS];
            for (int t = 0; t < tokens; t++)
                pairs[t] = p16_pairs_first(w[i], x[t].q + 4 * (first + i));
            for (int k = 1; k < run; k++)
                for (int t = 0; t < tokens; t++)
                    pairs[t] = p16_pairs_next(pairs[t], w[i + k], x[t].q + 4 * (first + i + k));
            for (int t = 0; t < tokens; t++)
                n[t] = p16_add_pairs(n[t], pairs[t]);
        }
        return;
    }
#endif
    for (int i = 0; i < 4; i++)
        for (int t = 0; t < tokens; t++)
            n[t] = p16_dot(n[t], w[i], x[t].q + 4 * (first + i));
#endif
}

static inline L4_ALWAYS_INLINE void step(const l4_tile_kind kind, size_t at, const int panels, const int tokens, const l4_tile *tile, size_t stride,
                                         const l4_xblock *x, float *sums, first_halves *firsts)
{
    const int halves = has_halves(kind), most = largest(kind);
    p16 n[L4_STEP_TOKENS];
    (void)panels, (void)stride;
    for (int t = 0; t < tokens; t++)
        n[t] = begin(kind, start(kind, &x[t], at));
    half_step(tokens, most, tile->w, x, 0, n);
    if (halves)
        for (int t = 0; t < tokens; t++) {
            firsts->of[t] = v16_mul(p16_to_v16(n[t]), v16_load(tile->scale));
            n[t] = begin(kind, start(kind, &x[t], SECOND));
        }
    half_step(tokens, most, tile->w + 4, x, 4, n);
    for (int t = 0; t < tokens; t++) {
        const v16 integers = p16_to_v16(n[t]), unit = v16_set(x[t].scale), before = v16_load(sums + SUM(0, t));
        v16 sum = halves ? v16_fma(v16_fma(integers, v16_load(tile->other), firsts->of[t]), unit, before) : v16_fma(integers, v16_mul(v16_load(tile->scale), unit), before);
        if (kind == L4_TILE_MINIMUM || kind == L4_TILE_MINIMA)
            sum = v16_fma(v16_load(tile->other), v16_set(x[t].sum), sum);
        if (kind == L4_TILE_MINIMA)
            sum = v16_fma(v16_load(tile->third), v16_set(x[t].first_sum), sum);
        v16_store(sums + SUM(0, t), sum);
    }
}

#endif

/* `blocks` tiles of each panel, `times` times `tokens` tokens of a group of `group`; with each block, `each` lines of `soon` are asked for. */
static inline L4_ALWAYS_INLINE void run(const l4_tile_kind kind, size_t at, const int panels, const int tokens, const int times, const l4_tile *tile, size_t stride,
                                        size_t blocks, const l4_xblock *x, size_t group, const uint8_t *soon, size_t each, float *sums, first_halves *firsts)
{
    for (size_t b = 0; b < blocks; b++, x += group, tile++) {
        for (size_t i = 0; i < each; i++, soon += 64)
            if (tokens * times <= 2) /* then the first level is faster by up to 6 %; it is not for a whole group */
                L4_ASK_TO_READ(soon, 3);
            else
                L4_ASK_TO_READ(soon, 2);
        for (int i = 0; i < times; i++)
            step(kind, at, panels, tokens, tile, stride, x + i * tokens, sums + SUM(0, i * tokens), firsts);
    }
}

/* The tokens of a group, as many at once as registers hold. */
static inline L4_ALWAYS_INLINE void run_group(const l4_tile_kind kind, size_t at, const int panels, const l4_tile *tile, size_t stride, size_t blocks,
                                              const l4_xblock *x, size_t group, const uint8_t *soon, size_t each, float *sums)
{
    first_halves firsts;
    size_t t = 0;
#define WHILE(tokens, times)                                                                                            \
    for (; t + tokens * times <= group; t += tokens * times, each = 0)                                                  \
    run(kind, at, panels, tokens, times, tile, stride, blocks, x + t, group, soon, each, sums + SUM(0, t), &firsts)
    WHILE(L4_STEP_TOKENS, L4_GROUP / L4_STEP_TOKENS);
    WHILE(L4_STEP_TOKENS, 1);
#if defined(L4_PANEL_PAIRS)
    if (panels == 2) { /* the rest at once: steps of few tokens cost more for each */
        WHILE(7, 1);
        WHILE(6, 1);
        WHILE(5, 1);
    }
#endif
#if L4_STEP_TOKENS > 4
    WHILE(4, 1);
#endif
#if defined(L4_PANEL_PAIRS)
    if (panels == 2)
        WHILE(3, 1);
#endif
    WHILE(2, 1);
    WHILE(1, 1);
#undef WHILE
}

/* One panel, or two whose tiles follow each other, times a group; sums begin with what is at `at` in a block. */
typedef void run_fn(size_t at, const l4_tile *tile, size_t blocks, const l4_xblock *x, size_t group, const uint8_t *soon, size_t each, float *sums);

#define TILE_KERNEL(name, kind, panels)                                                                                 \
    static void name##_##panels(size_t at, const l4_tile *tile, size_t blocks, const l4_xblock *x, size_t group, const uint8_t *soon, size_t each, float *sums) \
    {                                                                                                                   \
        run_group(kind, at, panels, tile, blocks, blocks, x, group, soon, each, sums);                                  \
    }
#if defined(L4_PANEL_PAIRS)
#define TILE_KERNELS(name, kind) TILE_KERNEL(name, kind, 1) TILE_KERNEL(name, kind, 2)
#define BOTH(name) {name##_1, name##_2}
#else
#define TILE_KERNELS(name, kind) TILE_KERNEL(name, kind, 1)
#define BOTH(name) {name##_1}
#endif

/* Kinds share a kernel where it is as fast for both. */
TILE_KERNELS(run_offset_128, L4_TILE_OFFSET_128)
TILE_KERNELS(run_halves_64, L4_TILE_HALVES_64)
TILE_KERNELS(run_minimum, L4_TILE_MINIMUM)
TILE_KERNELS(run_minima, L4_TILE_MINIMA)
#if L4_SIGNED || L4_DOT_LESS_128
TILE_KERNELS(run_offset_8, L4_TILE_OFFSET_8)
#define RUN_OFFSET_8 BOTH(run_offset_8)
#else
#define RUN_OFFSET_8 BOTH(run_offset_128)
#endif
#if defined(L4_NARROW_SUMS)
TILE_KERNELS(run_offset_64, L4_TILE_OFFSET_64)
TILE_KERNELS(run_halves_32, L4_TILE_HALVES_32)
#define RUN_OFFSET_64 BOTH(run_offset_64)
#define RUN_HALVES_32 BOTH(run_halves_32)
#else
#define RUN_OFFSET_64 BOTH(run_offset_128)
#define RUN_HALVES_32 BOTH(run_halves_64)
#endif
#if L4_SIGNED && defined(L4_NARROW_SUMS)
TILE_KERNELS(run_offset_16, L4_TILE_OFFSET_16)
#define RUN_OFFSET_16 BOTH(run_offset_16)
#elif L4_SIGNED
#define RUN_OFFSET_16 BOTH(run_offset_128)
#else
#define RUN_OFFSET_16 RUN_OFFSET_8
#endif
static run_fn *const run_kinds[L4_TILE_KINDS][MOST_PANELS] = {
    [L4_TILE_OFFSET_8] = RUN_OFFSET_8, [L4_TILE_OFFSET_16] = RUN_OFFSET_16, [L4_TILE_OFFSET_64] = RUN_OFFSET_64, [L4_TILE_OFFSET_128] = BOTH(run_offset_128),
    [L4_TILE_HALVES_32] = RUN_HALVES_32, [L4_TILE_HALVES_64] = BOTH(run_halves_64), [L4_TILE_MINIMUM] = BOTH(run_minimum), [L4_TILE_MINIMA] = BOTH(run_minima),
};

static inline void store_rows(const float *sums, size_t group, size_t rows, float *y, size_t ldy)
{
    for (size_t t = 0; t < group; t++)
        v16_store_part(y + t * ldy, v16_load(sums + SUM(0, t)), rows < L4_PANEL ? rows : L4_PANEL);
}

static void tiles(l4_tile_kind kind, const l4_tile *tile, size_t panels, size_t blocks, const l4_xblock *x, size_t group, const uint8_t *soon,
                  size_t each, float *sums)
{
    for (size_t p = 0, n; p < panels; p += n, each = 0) {
        n = panels - p < MOST_PANELS ? panels - p : MOST_PANELS;
        run_kinds[kind][n - 1](start_of(kind), tile + p * blocks, blocks, x, group, soon, each, sums + SUM(p, 0));
    }
}

/* Bytes of a panel that are asked for before they are needed: so many lines with each tile, for many at once are slower. */
#define AHEAD 4096
#define LINES(cols, bytes) ((16 * (bytes) * L4_QBLOCK / (cols) + 63) / 64)

#if defined(__clang__)
#define ONE_COPY __attribute__((noinline))
#elif defined(__GNUC__)
#define ONE_COPY __attribute__((noipa)) /* it would look inside, and doubt that all of a tile is written */
#else
#define ONE_COPY
#endif

/* For each type: panel -> tiles, and a panel times one group, tiles of at most 256 columns at a time in the first-level cache. Blocks of 256 are
 * worth a call; those of 32 are spread where they are needed, unless that code is large. One token's tiles, where `few` of them can be made on their
 * own, do not go through memory at all: they are multiplied as they come. */
#if defined(L4_LARGE_UNPACK)
#define SPREAD(slot, cols) slot##_spread
#define ONE_TOKEN(few) 0
#define RUN_ONE 0
#else
#define SPREAD(slot, cols) (cols == 256 ? slot##_spread : unpack_##slot)
#define ONE_TOKEN(few) (few < 8)
#define RUN_ONE 1
#endif
#define MAKE_all(slot) unpack_##slot(from, to)
#define MAKE_some(slot) some_##slot(from, b, to)
#if defined(L4_CODES) /* entries that are loaded need the indices of a whole block */
#define MAKE_iq MAKE_some
#define IQ_TILES 1
#else
#define MAKE_iq MAKE_all
#define IQ_TILES 8
#endif
#define PANEL_TYPE(slot, type, kind, cols, bytes, few, made)                                                            \
    static ONE_COPY void slot##_spread(const uint8_t *from, l4_tile *to)                                                \
    {                                                                                                                   \
        unpack_##slot(from, to);                                                                                        \
    }                                                                                                                   \
    static void slot##_unpack(const uint8_t *panel, size_t blocks, l4_tile *out)                                        \
    {                                                                                                                   \
        for (size_t b = 0; b < blocks; b += cols / L4_QBLOCK, panel += 16 * bytes)                                      \
            SPREAD(slot, cols)(panel, out + b);                                                                         \
    }                                                                                                                   \
    static inline void slot##_one(const uint8_t *from, size_t blocks, const l4_xblock *x, size_t rows, float *y)        \
    {                                                                                                                   \
        float sums[L4_PANEL] = {0};                                                                                     \
        first_halves firsts;                                                                                            \
        for (const l4_xblock *end = x + blocks; x < end; from += 16 * bytes)                                            \
            for (int b = 0; b < cols / L4_QBLOCK; b += few) {                                                           \
                l4_tile to[few];                                                                                        \
                for (int i = 0; i < few * LINES(cols, bytes); i++)                                                      \
                    L4_ASK_TO_READ(from + 16 * bytes + AHEAD + 64 * (b * LINES(cols, bytes) + i), 3);                   \
                MAKE_##made(slot);                                                                                      \
                for (int i = 0; i < few; i++, x++)                                                                      \
                    step(kind, start_of(kind), 1, 1, to + i, 0, x, sums, &firsts);                                      \
            }                                                                                                           \
        store_rows(sums, 1, rows, y, 0);                                                                                \
    }                                                                                                                   \
    static void slot##_panel(const uint8_t *panel, size_t blocks, const l4_xblock *x, size_t group, size_t rows, float *y, size_t ldy) \
    {                                                                                                                   \
        if (ONE_TOKEN(few) && group == 1) {                                                                             \
            slot##_one(panel, blocks, x, rows, y);                                                                      \
            return;                                                                                                     \
        }                                                                                                               \
        l4_tile part[8];                                                                                                \
        first_halves firsts;                                                                                            \
        float sums[L4_GROUP * L4_PANEL] = {0};                                                                          \
        for (size_t b = 0; b < blocks; b += 8) {                                                                        \
            size_t n = blocks - b < 8 ? blocks - b : 8;                                                                 \
            for (size_t i = 0; i < n; i += cols / L4_QBLOCK, panel += 16 * bytes)                                       \
                SPREAD(slot, cols)(panel, part + i);                                                                    \
            if (RUN_ONE && !ONE_TOKEN(few) && group == 1)                                                               \
                run(kind, start_of(kind), 1, 1, 1, part, 0, n, x + b, 1, panel + AHEAD, LINES(cols, bytes), sums, &firsts); \
            else                                                                                                        \
                run_kinds[kind][0](start_of(kind), part, n, x + b * group, group, panel + AHEAD, LINES(cols, bytes), sums); \
        }                                                                                                               \
        store_rows(sums, group, rows, y, ldy);                                                                          \
    }

/* The last two: how many tiles one token's product makes at once, and whether those are a block. */
#define L4_PANEL_TYPES(X)                                               \
    X(q4_0, L4_Q4_0, L4_TILE_OFFSET_8, 32, 18, 1, all)                  \
    X(q4_1, L4_Q4_1, L4_TILE_MINIMUM, 32, 20, 1, all)                   \
    X(q5_0, L4_Q5_0, L4_TILE_OFFSET_16, 32, 22, 1, all)                 \
    X(q5_1, L4_Q5_1, L4_TILE_MINIMUM, 32, 24, 1, all)                   \
    X(q8_0, L4_Q8_0, L4_TILE_OFFSET_128, 32, 34, 1, all)                \
    X(q2_k, L4_Q2_K, L4_TILE_MINIMA, 256, 84, 1, some)                  \
    X(q3_k, L4_Q3_K, L4_TILE_HALVES_32, 256, 110, 1, some)              \
    X(q4_k, L4_Q4_K, L4_TILE_MINIMUM, 256, 144, 2, some)                \
    X(q5_k, L4_Q5_K, L4_TILE_MINIMUM, 256, 176, 8, all)                 \
    X(q6_k, L4_Q6_K, L4_TILE_HALVES_32, 256, 210, 8, all)               \
    X(iq2_xxs, L4_IQ2_XXS, L4_TILE_OFFSET_64, 256, 66, IQ_TILES, iq)    \
    X(iq2_xs, L4_IQ2_XS, L4_TILE_HALVES_64, 256, 74, IQ_TILES, iq)      \
    X(iq3_xxs, L4_IQ3_XXS, L4_TILE_OFFSET_64, 256, 98, IQ_TILES, iq)    \
    X(iq1_s, L4_IQ1_S, L4_TILE_OFFSET_16, 256, 50, 8, all)              \
    X(iq4_nl, L4_IQ4_NL, L4_TILE_OFFSET_128, 32, 18, 1, all)            \
    X(iq3_s, L4_IQ3_S, L4_TILE_OFFSET_16, 256, 110, IQ_TILES, iq)       \
    X(iq2_s, L4_IQ2_S, L4_TILE_HALVES_64, 256, 82, IQ_TILES, iq)        \
    X(iq4_xs, L4_IQ4_XS, L4_TILE_OFFSET_128, 256, 136, 1, some)         \
    X(iq1_m, L4_IQ1_M, L4_TILE_HALVES_32, 256, 56, 8, all)              \
    X(mxfp4, L4_MXFP4, L4_TILE_OFFSET_16, 32, 17, 1, all)

L4_PANEL_TYPES(PANEL_TYPE)

/* Largest magnitude -> 127; ties round to even; a block with a NaN or an infinity becomes NaN through its scale. */
static void quantize(const float *x, size_t blocks, l4_xblock *out, size_t step)
{
    const float magic = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer */
    for (size_t b = 0; b < blocks; b++, x += L4_QBLOCK, out += step) {
        v16 low = v16_load(x), high = v16_load(x + 16);
        float top = v16_top(v16_max(v16_abs(low), v16_abs(high)));
        /* x - x is 0 for finite numbers: a NaN or an infinity anywhere in the block reaches its scale. */
        float unit = top / 127.0f + v16_sum(v16_add(v16_sub(low, low), v16_sub(high, high)));
        if (!(top >= 1e-36f && unit < INFINITY)) { /* nothing, next to nothing, or not finite */
            memset(out, 0, sizeof *out);
            out->scale = unit;
            continue;
        }
        v16 inverse = v16_set(127.0f / top), round = v16_set(magic);
        v16_to_i8(out->q, v16_sub(v16_add(v16_mul(low, inverse), round), round));
        v16_to_i8(out->q + 16, v16_sub(v16_add(v16_mul(high, inverse), round), round));
        int32_t first = i8_sum(out->q), second = i8_sum(out->q + 16);
        out->scale = unit;
        out->sum = unit * (float)(first + second);
        out->first_sum = unit * (float)first;
        out->minus_8 = -8 * (first + second);
        out->minus_16 = -16 * (first + second);
        out->minus_128 = -128 * (first + second);
        out->first_minus_64 = -64 * first;
        out->second_minus_64 = -64 * second;
    }
}
