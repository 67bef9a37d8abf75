/*
 * Products of panels with int8 activations, written once over sixteen int32 lanes (p16_*.h) and sixteen float lanes (v16_*.h), which
 * were included before. Integer sums are exact, so only the order of the tiles matters: it is the file's.
 */
#include "kernels/unpack.h"

#if !defined(L4_FMA_FEW_BITS)
#define v16_fma_few_bits v16_fma
#endif

#if defined(L4_PANEL_PAIRS)
#define MOST_PANELS 2
#define PAIRS_TOKENS 6 /* whose sums stay in registers beside two panels' weights */
#else
#define MOST_PANELS 1
#define PAIRS_TOKENS 1
#endif

/* Sixteen rows' sums of one token: where there are registers enough they stay in one from tile to tile. */
#if defined(L4_SUMS_IN_REGISTERS)
typedef v16 row_sums;
static inline L4_ALWAYS_INLINE v16 get(const row_sums *s) { return *s; }
static inline L4_ALWAYS_INLINE void put(row_sums *s, v16 sum) { *s = sum; }
#else
typedef struct row_sums {
    float of[L4_PANEL];
} row_sums;
static inline L4_ALWAYS_INLINE v16 get(const row_sums *s) { return v16_load(s->of); }
static inline L4_ALWAYS_INLINE void put(row_sums *s, v16 sum) { v16_store(s->of, sum); }
#endif

/* The largest weight in a tile of a kind; where they are signed, the largest magnitude. */
static inline L4_ALWAYS_INLINE int largest(const l4_tile_kind kind)
{
    switch (kind) {
    case L4_TILE_OFFSET_8: return 15;
    case L4_TILE_OFFSET_16: return L4_SIGNED ? 16 : 31;
    case L4_TILE_OFFSET_64: return L4_SIGNED ? 62 : OFFSET_64 == 64 ? 126 : 255;
    case L4_TILE_HALVES_32: return L4_SIGNED ? 32 : HALVES_32 == 32 ? 63 : 127;
    case L4_TILE_HALVES_64: return L4_SIGNED ? 62 : 126;
    case L4_TILE_MINIMUM_15: return 15;
    case L4_TILE_MINIMUM_31:
    case L4_TILE_MINIMUM_ANY: return 31;
    case L4_TILE_MINIMA: return 63;
    default: return 255;
    }
}

static inline L4_ALWAYS_INLINE int has_minimum(const l4_tile_kind kind)
{
    return kind == L4_TILE_MINIMUM_15 || kind == L4_TILE_MINIMUM_31 || kind == L4_TILE_MINIMUM_ANY || kind == L4_TILE_MINIMA;
}

static inline L4_ALWAYS_INLINE int any_units(const l4_tile_kind kind)
{
    return kind == L4_TILE_OFFSET_ANY || kind == L4_TILE_MINIMUM_ANY;
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

/* What integers begin with: that, at `at` in x. For two kinds there is twice as much, besides the unit's bits. */
static inline L4_ALWAYS_INLINE p16 begin(const l4_tile_kind kind, const l4_xblock *x, size_t at)
{
    uint32_t sum;
    if (has_minimum(kind) || (L4_SIGNED && kind != L4_TILE_OFFSET_8) || (L4_DOT_LESS_128 && largest(kind) == 255)) {
        if (any_units(kind))
            return p16_set(0);
        at = offsetof(l4_xblock, unit);
    }
    memcpy(&sum, (const uint8_t *)x + at, sizeof sum);
#if defined(L4_NARROW_SUMS) && !L4_SIGNED
    if (kind == L4_TILE_OFFSET_64 || kind == L4_TILE_HALVES_32)
        sum = (sum + l4_f32_bits(x->unit)) / 2;
#endif
    return p16_set((int32_t)sum);
}
#define SECOND (offsetof(l4_xblock, second_minus_64)) /* for the other half */

/* sum + what the integers of a tile come to, or of one of its halves: the last one has the minima too. */
static inline L4_ALWAYS_INLINE v16 add_up(const l4_tile_kind kind, const int half, p16 n, const l4_xblock *x, const l4_tile *tile, v16 sum)
{
    const v16 unit = v16_set(x->unit), scale = v16_load(half ? tile->other : tile->scale);
    if (any_units(kind))
        sum = v16_fma(p16_to_v16(n), v16_mul(scale, unit), sum);
    else
        sum = v16_fma_few_bits(v16_sub(p16_as_v16(n), unit), scale, sum);
    if (has_minimum(kind))
        sum = v16_fma_few_bits(v16_load(tile->other), v16_set(x->sum), sum);
    return kind == L4_TILE_MINIMA ? v16_fma_few_bits(v16_load(tile->third), v16_set(x->first_sum), sum) : sum;
}

#if defined(L4_PANEL_PAIRS)

/* n[p][t] += the columns 4 * first .. 4 * end - 1 of a step. */
static inline L4_ALWAYS_INLINE void dots(const l4_tile_kind kind, const int panels, const int tokens, int first, int end, const l4_tile *const tiles[2],
                                         const l4_xblock *x, p16 n[2][L4_STEP_TOKENS])
{
    (void)kind;
    L4_UNROLL(8)
    for (int i = first; i < end; i++) {
        const p16 w[2] = {p16_load_once(tiles[0]->w[i]), p16_load_once(tiles[panels - 1]->w[i])}; /* of one panel the same */
        L4_UNROLL(8)
        for (int t = 0; t < tokens; t++) {
            const p16 four = p16_four(x[t].q + 4 * i);
            for (int p = 0; p < panels; p++)
                n[p][t] = p16_dot(n[p][t], w[p], four);
        }
    }
}

#else

/* n[0][t] += the columns 4 * first .. 4 * end - 1 of a step, which are 16 or 32. */
static inline L4_ALWAYS_INLINE void dots(const l4_tile_kind kind, const int panels, const int tokens, int first, int end, const l4_tile *const tiles[2],
                                         const l4_xblock *x, p16 n[2][L4_STEP_TOKENS])
{
    const int most = largest(kind);
    const uint8_t (*w)[64] = tiles[0]->w;
    (void)panels, (void)most;
#if defined(L4_DOT_HALF)
    L4_UNROLL(2)
    for (int i = first; i < end; i += 4)
        p16_dot_half(tokens, most, w + i, x, i, n[0]);
#else
#if defined(L4_NARROW_SUMS)
    if (most <= 127) { /* so many products of pairs fit 16 bits */
        const int run = most <= 15 && end - first == 8 ? 8 : most <= 31 ? 4 : most <= 63 ? 2 : 1;
        L4_UNROLL(8)
        for (int i = first; i < end; i += run) {
            p16_pairs pairs[L4_STEP_TOKENS];
            for (int t = 0; t < tokens; t++)
                pairs[t] = p16_pairs_first(w[i], x[t].q + 4 * i);
            L4_UNROLL(8)
            for (int k = i + 1; k < i + run; k++)
                for (int t = 0; t < tokens; t++)
                    pairs[t] = p16_pairs_next(pairs[t], w[k], x[t].q + 4 * k);
            for (int t = 0; t < tokens; t++)
                n[0][t] = p16_add_pairs(n[0][t], pairs[t]);
        }
        return;
    }
#endif
    L4_UNROLL(8)
    for (int i = first; i < end; i++)
        for (int t = 0; t < tokens; t++)
            n[0][t] = p16_dot(n[0][t], w[i], x[t].q + 4 * i);
#endif
}

#endif

/* What step() does with the columns 4 * first .. 4 * end - 1. */
static inline L4_ALWAYS_INLINE void part_of_step(const l4_tile_kind kind, size_t at, const int panels, const int tokens, const int first, const int end,
                                                 const l4_tile *const tiles[2], const l4_xblock *x, row_sums *sums)
{
    p16 n[2][L4_STEP_TOKENS];
    L4_UNROLL(8)
    for (int t = 0; t < tokens; t++)
        n[0][t] = n[1][t] = begin(kind, &x[t], at);
    dots(kind, panels, tokens, first, end, tiles, x, n);
    L4_UNROLL(8)
    for (int t = 0; t < tokens; t++)
        for (int p = 0; p < panels; p++) {
            row_sums *s = sums + p * L4_STEP_TOKENS + t;
            put(s, add_up(kind, first > 0, n[p][t], &x[t], tiles[p], get(s)));
        }
#if !defined(L4_SUMS_IN_REGISTERS)
    L4_READ_AGAIN();
#endif
}

/*
 * One step: a tile of each of `panels` panels, `stride` tiles apart, times one block of `tokens` <= L4_STEP_TOKENS tokens; adds to sixteen rows' sums,
 * panel p's of token t at sums + p * L4_STEP_TOKENS + t. `kind`, `panels` and `tokens` are constants where this is inlined.
 */
static inline L4_ALWAYS_INLINE void step(const l4_tile_kind kind, size_t at, const int panels, const int tokens, const l4_tile *tile, size_t stride,
                                         const l4_xblock *x, row_sums *sums)
{
    const l4_tile *const tiles[2] = {tile, tile + (panels > 1 ? stride : 0)};
    part_of_step(kind, at, panels, tokens, 0, has_halves(kind) ? 4 : 8, tiles, x, sums);
    if (has_halves(kind))
        part_of_step(kind, SECOND, panels, tokens, 4, 8, tiles, x, sums);
}

/* Asks for `lines` lines from `soon` on and, with two panels, as many `apart` bytes further. */
static inline L4_ALWAYS_INLINE const uint8_t *ask_for(const uint8_t *soon, size_t apart, size_t lines, const int panels, const int few)
{
    for (size_t i = 0; i < lines; i++, soon += 64) {
        if (few) /* then the first level is faster by up to 6 %; it is not for a whole group */
            L4_ASK_TO_READ(soon, 3);
        else
            L4_ASK_TO_READ(soon, 2);
        if (panels > 1)
            L4_ASK_TO_READ(soon + apart, 2);
    }
    return soon;
}

/* Where sums are for a group: sixteen rows' of each token, then the next panel's. */
#define SUM(p, t) (((p) * L4_GROUP + (t)) * L4_PANEL)

/* `blocks` tiles of each panel times `tokens` tokens of a group of `group`, `times` times; with each block, `each` lines of what is needed soon are asked for. */
static inline L4_ALWAYS_INLINE void run(const l4_tile_kind kind, size_t at, const int panels, const int tokens, const int times, const l4_tile *tile, size_t stride,
                                        size_t blocks, const l4_xblock *x, size_t group, const uint8_t *soon, size_t apart, size_t each, float *sums)
{
    const int few = panels == 1 && tokens * times <= 2;
#if defined(L4_SUMS_IN_REGISTERS)
    row_sums all[2 * L4_STEP_TOKENS];
    for (int p = 0; p < panels; p++)
        L4_UNROLL(8)
        for (int t = 0; t < tokens; t++)
            all[p * L4_STEP_TOKENS + t] = v16_load(sums + SUM(p, t));
    for (; blocks; blocks--, x += group, tile++) {
        soon = ask_for(soon, apart, each, panels, few);
        step(kind, at, panels, tokens, tile, stride, x, all);
    }
    for (int p = 0; p < panels; p++)
        L4_UNROLL(8)
        for (int t = 0; t < tokens; t++)
            v16_store(sums + SUM(p, t), all[p * L4_STEP_TOKENS + t]);
#else
    for (; blocks; blocks--, x += group, tile++) {
        soon = ask_for(soon, apart, each, panels, few);
        for (int i = 0; i < times; i++)
            step(kind, at, panels, tokens, tile, stride, x + i * tokens, (row_sums *)(void *)(sums + SUM(0, i * tokens)));
    }
#endif
}

/* The tokens of a group, as many at once as registers hold. */
static inline L4_ALWAYS_INLINE void run_group(const l4_tile_kind kind, size_t at, const int panels, const l4_tile *tile, size_t stride, size_t blocks,
                                              const l4_xblock *x, size_t group, const uint8_t *soon, size_t apart, size_t lines, float *sums)
{
    const size_t times_asked = blocks * (panels == 2 ? (group + PAIRS_TOKENS - 1) / PAIRS_TOKENS : 1);
    size_t t = 0, each = (lines + times_asked - 1) / times_asked;
#define WHILE(tokens, times)                                                                                            \
    for (; t + tokens * times <= group; t += tokens * times) {                                                          \
        run(kind, at, panels, tokens, times, tile, stride, blocks, x + t, group, soon, apart, each, sums + SUM(0, t));  \
        soon += 64 * each * blocks;                                                                                     \
        lines -= lines < each * blocks ? lines : each * blocks;                                                         \
        each = lines ? each : 0;                                                                                        \
    }
#if defined(L4_PANEL_PAIRS)
    if (panels == 2) { /* the rest at once: steps of few tokens cost more for each */
        WHILE(PAIRS_TOKENS, 1)
        WHILE(5, 1)
        WHILE(4, 1)
        WHILE(3, 1)
        WHILE(2, 1)
        WHILE(1, 1)
        return;
    }
#endif
#if defined(L4_SUMS_IN_REGISTERS)
    WHILE(L4_STEP_TOKENS, 1)
#else
    WHILE(L4_STEP_TOKENS, L4_GROUP / L4_STEP_TOKENS)
    WHILE(L4_STEP_TOKENS, 1)
#endif
#if L4_STEP_TOKENS > 4
    WHILE(4, 1)
#endif
    WHILE(2, 1)
    WHILE(1, 1)
#undef WHILE
}

/* One panel, or two whose tiles follow each other, times a group; sums begin with what is at `at` in a block. */
typedef void run_fn(size_t at, const l4_tile *tile, size_t blocks, const l4_xblock *x, size_t group, const uint8_t *soon, size_t apart, size_t lines, float *sums);

#define TILE_KERNEL(name, kind, panels)                                                                                 \
    static void name##_##panels(size_t at, const l4_tile *tile, size_t blocks, const l4_xblock *x, size_t group, const uint8_t *soon, size_t apart, \
                                size_t lines, float *sums)                                                              \
    {                                                                                                                   \
        run_group(kind, at, panels, tile, blocks, blocks, x, group, soon, apart, lines, sums);                          \
    }
#if defined(L4_PANEL_PAIRS)
#define TILE_KERNELS(name, kind) TILE_KERNEL(name, kind, 1) TILE_KERNEL(name, kind, 2)
#define BOTH(name) {name##_1, name##_2}
#else
#define TILE_KERNELS(name, kind) TILE_KERNEL(name, kind, 1)
#define BOTH(name) {name##_1}
#endif

#if defined(L4_GRIDS_ALONE)
/* No pairs of panels either. */
TILE_KERNEL(run_offset, L4_TILE_OFFSET_128, 1)
TILE_KERNEL(run_halves, L4_TILE_HALVES_64, 1)
static run_fn *const run_kinds[L4_TILE_KINDS][1] = {[L4_TILE_OFFSET_16] = {run_offset_1}, [L4_TILE_OFFSET_64] = {run_offset_1},
                                                    [L4_TILE_HALVES_64] = {run_halves_1}, [L4_TILE_HALVES_32] = {run_halves_1}};
#else
/* Kinds share a kernel where it is as fast for both. */
TILE_KERNELS(run_offset_128, L4_TILE_OFFSET_128)
TILE_KERNELS(run_offset_any, L4_TILE_OFFSET_ANY)
TILE_KERNELS(run_halves_64, L4_TILE_HALVES_64)
TILE_KERNELS(run_minimum_31, L4_TILE_MINIMUM_31)
TILE_KERNELS(run_minimum_any, L4_TILE_MINIMUM_ANY)
TILE_KERNELS(run_minima, L4_TILE_MINIMA)
#if defined(L4_NARROW_SUMS) && !defined(L4_DOT_HALF)
TILE_KERNELS(run_minimum_15, L4_TILE_MINIMUM_15)
#define RUN_MINIMUM_15 BOTH(run_minimum_15)
#else
#define RUN_MINIMUM_15 BOTH(run_minimum_31)
#endif
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
#if defined(L4_NARROW_SUMS)
TILE_KERNELS(run_offset_16, L4_TILE_OFFSET_16)
#define RUN_OFFSET_16 BOTH(run_offset_16)
#elif L4_SIGNED
#define RUN_OFFSET_16 BOTH(run_offset_128)
#else
#define RUN_OFFSET_16 RUN_OFFSET_8
#endif
static run_fn *const run_kinds[L4_TILE_KINDS][MOST_PANELS] = {
    [L4_TILE_OFFSET_8] = RUN_OFFSET_8, [L4_TILE_OFFSET_16] = RUN_OFFSET_16, [L4_TILE_OFFSET_64] = RUN_OFFSET_64, [L4_TILE_OFFSET_128] = BOTH(run_offset_128),
    [L4_TILE_OFFSET_ANY] = BOTH(run_offset_any),
    [L4_TILE_HALVES_32] = RUN_HALVES_32, [L4_TILE_HALVES_64] = BOTH(run_halves_64), [L4_TILE_MINIMUM_15] = RUN_MINIMUM_15,
    [L4_TILE_MINIMUM_31] = BOTH(run_minimum_31), [L4_TILE_MINIMUM_ANY] = BOTH(run_minimum_any), [L4_TILE_MINIMA] = BOTH(run_minima),
};
#endif

static inline void store_rows(const float *sums, const float *factors, size_t group, size_t rows, float *y, size_t ldy)
{
    for (size_t t = 0; t < group; t++)
        v16_store_part(y + t * ldy, v16_mul(v16_load(sums + SUM(0, t)), v16_set(factors[t])), rows < L4_PANEL ? rows : L4_PANEL);
}

#if !defined(L4_GRIDS_ALONE)
static void tiles(l4_tile_kind kind, const l4_tile *tile, size_t panels, size_t blocks, const l4_xblock *x, size_t group, const l4_soon *soon, float *sums)
{
    const size_t apart = soon ? soon->apart : 0, lines = soon ? soon->lines : 0;
    const uint8_t *at = soon ? soon->at : (const uint8_t *)tile;
    for (size_t p = 0, n; p < panels; p += n, at += n * apart) {
        n = panels - p < MOST_PANELS ? panels - p : MOST_PANELS;
        run_kinds[kind][n - 1](start_of(kind), tile + p * blocks, blocks, x, group, at, apart, lines, sums + SUM(p, 0));
    }
}
#endif

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
/* Entries that are loaded need the indices of a whole block; IQ1's are looked up as bytes or not at all. */
#if defined(L4_BYTE_CODES)
#define MAKE_iq1 MAKE_some
#define IQ1_TILES 1
#else
#define MAKE_iq1 MAKE_all
#define IQ1_TILES 8
#endif
#if defined(L4_BYTE_CODES) || defined(L4_CODES)
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
    static inline void slot##_one(const uint8_t *from, size_t blocks, const l4_xblock *x, size_t rows, const float *factor, float *y) \
    {                                                                                                                   \
        row_sums sums;                                                                                                  \
        float out[L4_PANEL];                                                                                            \
        put(&sums, v16_zero());                                                                                         \
        for (const l4_xblock *end = x + blocks; x < end; from += 16 * bytes)                                            \
            for (int b = 0; b < cols / L4_QBLOCK; b += few) {                                                           \
                l4_tile to[few];                                                                                        \
                for (int i = 0; i < few * LINES(cols, bytes); i++)                                                      \
                    L4_ASK_TO_READ(from + 16 * bytes + AHEAD + 64 * (b * LINES(cols, bytes) + i), 3);                   \
                MAKE_##made(slot);                                                                                      \
                for (int i = 0; i < few; i++, x++)                                                                      \
                    step(kind, start_of(kind), 1, 1, to + i, 0, x, &sums);                                              \
            }                                                                                                           \
        v16_store(out, get(&sums));                                                                                     \
        store_rows(out, factor, 1, rows, y, 0);                                                                         \
    }                                                                                                                   \
    static void slot##_panel(const uint8_t *panel, size_t blocks, const l4_xblock *x, size_t group, size_t rows,                   \
                             const float *factors, float *y, size_t ldy)                                                \
    {                                                                                                                   \
        if (ONE_TOKEN(few) && group == 1) {                                                                             \
            slot##_one(panel, blocks, x, rows, factors, y);                                                             \
            return;                                                                                                     \
        }                                                                                                               \
        l4_tile part[8];                                                                                                \
        float sums[L4_GROUP * L4_PANEL] = {0};                                                                          \
        for (size_t b = 0; b < blocks; b += 8) {                                                                        \
            size_t n = blocks - b < 8 ? blocks - b : 8;                                                                 \
            for (size_t i = 0; i < n; i += cols / L4_QBLOCK, panel += 16 * bytes)                                       \
                SPREAD(slot, cols)(panel, part + i);                                                                    \
            if (RUN_ONE && !ONE_TOKEN(few) && group == 1)                                                               \
                run(kind, start_of(kind), 1, 1, 1, part, 0, n, x + b, 1, panel + AHEAD, 0, LINES(cols, bytes), sums);  \
            else                                                                                                        \
                run_kinds[kind][0](start_of(kind), part, n, x + b * group, group, panel + AHEAD, 0, n * LINES(cols, bytes), sums); \
        }                                                                                                               \
        store_rows(sums, factors, group, rows, y, ldy);                                                                 \
    }

/* The last two: how many tiles one token's product makes at once, and whether those are a block. */
#define L4_GRID_TYPES(X)                                                \
    X(iq1_s, L4_IQ1_S, L4_TILE_OFFSET_16, 256, 50, IQ1_TILES, iq1)      \
    X(iq1_m, L4_IQ1_M, L4_TILE_HALVES_32, 256, 56, IQ1_TILES, iq1)      \
    X(iq2_xxs, L4_IQ2_XXS, L4_TILE_OFFSET_64, 256, 66, IQ_TILES, iq)    \
    X(iq2_xs, L4_IQ2_XS, L4_TILE_HALVES_64, 256, 74, IQ_TILES, iq)      \
    X(iq3_xxs, L4_IQ3_XXS, L4_TILE_OFFSET_64, 256, 98, IQ_TILES, iq)    \
    X(iq3_s, L4_IQ3_S, L4_TILE_OFFSET_16, 256, 110, IQ_TILES, iq)       \
    X(iq2_s, L4_IQ2_S, L4_TILE_HALVES_64, 256, 82, IQ_TILES, iq)

#if defined(L4_GRIDS_ALONE)
#define L4_PANEL_TYPES L4_GRID_TYPES
#else
#define L4_PANEL_TYPES(X)                                               \
    L4_GRID_TYPES(X)                                                    \
    X(q4_0, L4_Q4_0, L4_TILE_OFFSET_8, 32, 18, 1, all)                  \
    X(q4_1, L4_Q4_1, L4_TILE_MINIMUM_15, 32, 20, 1, all)                \
    X(q5_0, L4_Q5_0, L4_TILE_OFFSET_16, 32, 22, 1, all)                 \
    X(q5_1, L4_Q5_1, L4_TILE_MINIMUM_ANY, 32, 24, 1, all)               \
    X(q8_0, L4_Q8_0, L4_TILE_OFFSET_ANY, 32, 34, 1, all)                \
    X(q2_k, L4_Q2_K, L4_TILE_MINIMA, 256, 84, 1, some)                  \
    X(q3_k, L4_Q3_K, L4_TILE_HALVES_32, 256, 110, 1, some)              \
    X(q4_k, L4_Q4_K, L4_TILE_MINIMUM_15, 256, 144, 2, some)             \
    X(q5_k, L4_Q5_K, L4_TILE_MINIMUM_31, 256, 176, 8, all)              \
    X(q6_k, L4_Q6_K, L4_TILE_HALVES_32, 256, 210, 8, all)               \
    X(iq4_nl, L4_IQ4_NL, L4_TILE_OFFSET_128, 32, 18, 1, all)            \
    X(iq4_xs, L4_IQ4_XS, L4_TILE_OFFSET_128, 256, 136, 1, some)         \
    X(mxfp4, L4_MXFP4, L4_TILE_OFFSET_16, 32, 17, 1, all)
#endif

L4_PANEL_TYPES(PANEL_TYPE)

static void fill_panels(l4_kernels *k)
{
#define FILL_PANEL(slot, type, kind, cols, bytes, few, made) k->panel[type] = slot##_panel, k->unpack[type] = slot##_unpack;
    L4_PANEL_TYPES(FILL_PANEL)
#undef FILL_PANEL
}
