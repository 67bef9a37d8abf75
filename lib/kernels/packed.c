/* Stored rows -> panels. See packed.h for the layout. */
#include "kernels/packed.h"

#include <string.h>

#include "base/compiler.h"

#define AHEAD 2048 /* bytes of a panel, asked for before they are written */

/* The fields of a stored block, in file order: a count of units and their size. */
typedef struct field {
    uint8_t unit;   /* bytes: 1, 2 or 4; 0 ends the list */
    uint8_t units;
} field;

typedef struct layout {
    uint32_t type;
    uint16_t block, bytes; /* columns, bytes of a stored block */
    l4_tile_kind kind;
    field fields[5];
} layout;

static const layout layouts[] = {
    {L4_Q4_0, 32, 18, L4_TILE_OFFSET_8, {{2, 1}, {4, 4}}},
    {L4_Q4_1, 32, 20, L4_TILE_MINIMUM_15, {{2, 2}, {4, 4}}},
    {L4_Q5_0, 32, 22, L4_TILE_OFFSET_16, {{2, 1}, {4, 5}}},
    {L4_Q5_1, 32, 24, L4_TILE_MINIMUM_ANY, {{2, 2}, {4, 5}}},
    {L4_Q8_0, 32, 34, L4_TILE_OFFSET_ANY, {{2, 1}, {4, 8}}},
    {L4_Q2_K, 256, 84, L4_TILE_MINIMA, {{1, 16}, {4, 16}, {2, 2}}},
    {L4_Q3_K, 256, 110, L4_TILE_HALVES_32, {{4, 24}, {1, 12}, {2, 1}}},
    {L4_Q4_K, 256, 144, L4_TILE_MINIMUM_15, {{2, 2}, {1, 12}, {4, 32}}},
    {L4_Q5_K, 256, 176, L4_TILE_MINIMUM_31, {{2, 2}, {1, 12}, {4, 40}}},
    {L4_Q6_K, 256, 210, L4_TILE_HALVES_32, {{4, 48}, {1, 16}, {2, 1}}},
    {L4_IQ2_XXS, 256, 66, L4_TILE_OFFSET_64, {{2, 1}, {4, 16}}},
    {L4_IQ2_XS, 256, 74, L4_TILE_HALVES_64, {{2, 33}, {1, 8}}},
    {L4_IQ3_XXS, 256, 98, L4_TILE_OFFSET_64, {{2, 1}, {4, 24}}},
    {L4_IQ1_S, 256, 50, L4_TILE_OFFSET_16, {{2, 1}, {4, 8}, {2, 8}}},
    {L4_IQ4_NL, 32, 18, L4_TILE_OFFSET_128, {{2, 1}, {4, 4}}},
    {L4_IQ3_S, 256, 110, L4_TILE_OFFSET_16, {{2, 1}, {4, 16}, {1, 8}, {4, 8}, {1, 4}}},
    {L4_IQ2_S, 256, 82, L4_TILE_HALVES_64, {{2, 1}, {4, 16}, {1, 16}}},
    {L4_IQ4_XS, 256, 136, L4_TILE_OFFSET_128, {{2, 2}, {1, 4}, {4, 32}}},
    {L4_IQ1_M, 256, 56, L4_TILE_HALVES_32, {{4, 8}, {1, 16}, {2, 4}}},
    {L4_MXFP4, 32, 17, L4_TILE_OFFSET_16, {{1, 1}, {4, 4}}},
};

#define FOUR(e) SCALE(e), SCALE(e + 1), SCALE(e + 2), SCALE(e + 3)
#define SIXTEEN(e) FOUR(e), FOUR(e + 4), FOUR(e + 8), FOUR(e + 12)
#define SIXTY_FOUR(e) SIXTEEN(e), SIXTEEN(e + 16), SIXTEEN(e + 32), SIXTEEN(e + 48)
#define SCALE(e) ((e) < 2 ? (uint32_t)0x00200000 << ((e) & 1) : (uint32_t)((e) - 1) << 23)
const uint32_t l4_mxfp4_scales[256] = {SIXTY_FOUR(0), SIXTY_FOUR(64), SIXTY_FOUR(128), SIXTY_FOUR(192)};

static const layout *find(uint32_t type)
{
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++)
        if (layouts[i].type == type)
            return &layouts[i];
    return NULL;
}

int l4_packed_can(uint32_t type)
{
    return find(type) != NULL;
}

l4_tile_kind l4_packed_kind(uint32_t type)
{
    return find(type)->kind;
}

l4_units l4_packed_units(uint32_t type)
{
    const l4_tile_kind kind = l4_packed_kind(type);
    return kind == L4_TILE_OFFSET_ANY || kind == L4_TILE_MINIMUM_ANY ? L4_UNITS_ANY : L4_UNITS_POWERS;
}

size_t l4_panel_bytes(uint32_t type, size_t cols)
{
    const layout *l = find(type);
    return cols / l->block * l->bytes * L4_PANEL;
}

typedef uint32_t four __attribute__((vector_size(16)));

#if defined(__clang__) || __GNUC__ >= 12
#define SHUFFLE(a, b, i, j, k, l) __builtin_shufflevector(a, b, i, j, k, l)
#else
#define SHUFFLE(a, b, i, j, k, l) __builtin_shuffle(a, b, (four){i, j, k, l})
#endif

/* Four rows' four words each change places. */

static inline void words_4x4(const uint8_t *const rows[L4_PANEL], size_t at, uint32_t flip, uint8_t *to)
{
    for (size_t r = 0; r < L4_PANEL; r += 4) {
        four a, b, c, d;
        memcpy(&a, rows[r] + at, 16), memcpy(&b, rows[r + 1] + at, 16), memcpy(&c, rows[r + 2] + at, 16), memcpy(&d, rows[r + 3] + at, 16);
        four ab = SHUFFLE(a, b, 0, 4, 1, 5), AB = SHUFFLE(a, b, 2, 6, 3, 7);
        four cd = SHUFFLE(c, d, 0, 4, 1, 5), CD = SHUFFLE(c, d, 2, 6, 3, 7);
        four out[4] = {SHUFFLE(ab, cd, 0, 1, 4, 5), SHUFFLE(ab, cd, 2, 3, 6, 7),
                       SHUFFLE(AB, CD, 0, 1, 4, 5), SHUFFLE(AB, CD, 2, 3, 6, 7)};
        for (size_t i = 0; i < 4; i++) {
            out[i] ^= flip;
            memcpy(to + 64 * i + 4 * r, &out[i], 16);
        }
    }
}

static inline void units(const uint8_t *const rows[L4_PANEL], size_t at, size_t unit, size_t count, uint32_t flip, uint8_t *to)
{
    size_t i = 0;
    if (unit == 4)
        for (; i + 4 <= count; i += 4)
            words_4x4(rows, at + 4 * i, flip, to + 64 * i);
    for (; i < count; i++)
        for (size_t r = 0; r < L4_PANEL; r++) {
            uint32_t value;
            memcpy(&value, rows[r] + at + i * unit, unit);
            value ^= flip;
            memcpy(to + (i * L4_PANEL + r) * unit, &value, unit);
        }
}

void l4_panel_pack(uint32_t type, const uint8_t *first, size_t stride, size_t rows, size_t cols, uint8_t *panel)
{
    static const uint8_t nothing[256]; /* a missing row: nobody looks at its sums */
    const layout *l = find(type);
    const uint8_t *from[L4_PANEL], *next = first + stride * L4_PANEL; /* the next panel: asked for early, loading is a tenth faster */
    for (size_t r = 0; r < L4_PANEL; r++)
        from[r] = r < rows ? first + r * stride : nothing;
    for (size_t block = 0; block < cols / l->block; block++, panel += (size_t)l->bytes * L4_PANEL) {
        size_t at = 0;
        for (size_t i = 0; i < (size_t)l->bytes * L4_PANEL; i += 64) {
            L4_ASK_TO_WRITE(panel + AHEAD + i);
            L4_ASK_TO_READ(next + i, 2);
        }
        next += (size_t)l->bytes * L4_PANEL;
        for (const field *f = l->fields; f < l->fields + 5 && f->unit; at += (size_t)f->unit * f->units, f++) {
            uint8_t *to = panel + at * L4_PANEL;
            if (f->unit == 4)
                units(from, at, 4, f->units, type == L4_Q8_0 ? 0x80808080u : 0, to);
            else if (f->unit == 2)
                units(from, at, 2, f->units, 0, to);
            else
                units(from, at, 1, f->units, 0, to);
        }
        for (size_t r = 0; r < rows; r++)
            from[r] += l->bytes;
    }
}
