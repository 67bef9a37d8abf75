/*
 * The second part of unpack_iq.h, but for instruction sets that look up single bytes: indices are 16-bit words, two in each lane. Their codes are looked up
 * in registers (L4_CODES), or entries are loaded one by one.
 */

/* Bytes k and k + 2, k < 2, as two halves of a lane: so indices come in pairs. */
static inline p16 two_bytes(p16 a, int k)
{
    return p16_and(k ? p16_shr(a, 8) : a, p16_set(0x00ff00ff));
}

/* Indices go through memory: from there they are loaded one by one, which is faster than to extract them, as compilers would if they saw whence they come. */
static inline void store_indices(uint8_t *at, p16 index)
{
    p16_store(at, index);
#if defined(__GNUC__)
    __asm__("" : "+m"(*(uint8_t (*)[64])at));
#endif
}

/* A tile's entries, of eights or of fours. Indices of eights: of columns 8 k .. 8 k + 7, and those 16 further, k < 2, at the halves of each lane; of fours: of
 * columns 4 k .. 4 k + 3, and those 8 further, for k = 0, 1, 4 and 5. `signs` are those of all 32 columns. */
#if defined(L4_CODES)

static inline L4_ALWAYS_INLINE void put_eights(const grid *g, const p16 index[2], p16 signs, l4_tile *to)
{
    const p16 codes[2] = {p16_codes(g->codes, g->n, index[0]), p16_codes(g->codes, g->n, index[1])};
    for (int i = 0; i < 8; i++)
        p16_store_plus(to->w[i], p16_signed_at(g->meant, codes[i / 2 % 2], i / 4 * 2 + i % 2, 2, signs, i));
}

static inline L4_ALWAYS_INLINE void put_fours(const grid *g, const p16 index[4], p16 signs, l4_tile *to)
{
    p16 codes[4];
    for (int i = 0; i < 4; i++)
        codes[i] = p16_codes(g->codes, g->n, index[i]);
    for (int i = 0; i < 8; i++)
        p16_store_plus(to->w[i], p16_signed_at(g->meant, codes[i / 4 * 2 + i % 2], i / 2 % 2 * 2, 3, signs, i));
}

#define GRID_TYPE(slot, put, n)                                                                                         \
    static inline L4_ALWAYS_INLINE void some_##slot(const uint8_t *from, int b, l4_tile *to)                            \
    {                                                                                                                   \
        p16 index[n];                                                                                                   \
        slot##_index(from, b, index);                                                                                   \
        put(&slot, index, slot##_signs(from, b, to), to);                                                               \
    }                                                                                                                   \
    static inline void unpack_##slot(const uint8_t *from, l4_tile *to)                                                  \
    {                                                                                                                   \
        for (int b = 0; b < 8; b++)                                                                                     \
            some_##slot(from, b, to + b);                                                                               \
    }

#else

static inline void put_eights(const grid *g, uint8_t (*index)[64], p16 signs, l4_tile *to)
{
    L4_UNROLL(4)
    for (int i = 0; i < 8; i += 2) {
        p16 first, second;
        p16_eights(g->entries, index[i / 2 % 2] + i / 4 * 2, &first, &second);
        p16_store_plus(to->w[i], p16_with_signs(first, signs, i, g->plus));
        p16_store_plus(to->w[i + 1], p16_with_signs(second, signs, i + 1, g->plus));
    }
}

static inline void put_fours(const grid *g, uint8_t (*index)[64], p16 signs, l4_tile *to)
{
    L4_UNROLL(8)
    for (int i = 0; i < 8; i++)
        p16_store_plus(to->w[i], p16_with_signs(p16_fours(g->entries, index[i / 4 * 2 + i % 2] + i / 2 % 2 * 2), signs, i, g->plus));
}

/* All indices of a block first: those that were only just stored are slow to load. */
#define GRID_TYPE(slot, put, n)                                                                                         \
    static inline void unpack_##slot(const uint8_t *from, l4_tile *to)                                                  \
    {                                                                                                                   \
        _Alignas(64) uint8_t indices[8][n][64];                                                                         \
        for (int b = 0; b < 8; b++) {                                                                                   \
            p16 index[n];                                                                                               \
            slot##_index(from, b, index);                                                                               \
            for (int i = 0; i < n; i++)                                                                                 \
                store_indices(indices[b][i], index[i]);                                                                 \
        }                                                                                                               \
        for (int b = 0; b < 8; b++)                                                                                     \
            put(&slot, indices[b], slot##_signs(from, b, to + b), to + b);                                              \
    }

#endif

static inline void iq2_xxs_index(const uint8_t *from, int b, p16 index[2])
{
    const p16 all = p16_load(AT(2 + 8 * b));
    index[0] = two_bytes(all, 0);
    index[1] = two_bytes(all, 1);
}

GRID_TYPE(iq2_xxs, put_eights, 2)

/* Twice nine bits of index and seven of signs. */
static inline p16 iq2_xs_both(const uint8_t *from, int b, int k)
{
    return p16_or(p16_load_u16(AT(2 + 8 * b + 2 * k)), p16_shl(p16_load_u16(AT(6 + 8 * b + 2 * k)), 16));
}

static inline void iq2_xs_index(const uint8_t *from, int b, p16 index[2])
{
    for (int k = 0; k < 2; k++)
        index[k] = p16_and(iq2_xs_both(from, b, k), p16_set(0x01ff01ff));
}

static inline p16 iq2_xs_signs(const uint8_t *from, int b, l4_tile *to)
{
    p16 signs[2];
    for (int k = 0; k < 2; k++)
        signs[k] = p16_and(p16_shr(iq2_xs_both(from, b, k), 9), p16_set(0x007f007f));
    four_bit_scales(AT(66 + b), v16_from_f16(AT(0)), to);
    return even_signs(p16_or(signs[0], p16_shl(signs[1], 8)));
}

GRID_TYPE(iq2_xs, put_eights, 2)

/* Bits i and j of a lane, at bit 8 of its halves; with 3 or 7, not 1, as the mask two or three bits from there on. */
static inline p16 upper_bits(p16 lane, int i, int j, int mask)
{
    return p16_or(p16_and(p16_shl(lane, 8 - i), p16_set(mask << 8)), p16_and(p16_shl(lane, 24 - j), p16_set(mask << 24)));
}

static inline void iq2_s_index(const uint8_t *from, int b, p16 index[2])
{
    const p16 all = p16_load(AT(2 + 4 * b)), upper = p16_load_u8(AT(66 + b));
    index[0] = p16_or(two_bytes(all, 0), upper_bits(upper, 0, 4, 3));
    index[1] = p16_or(two_bytes(all, 1), upper_bits(upper, 2, 6, 3));
}

GRID_TYPE(iq2_s, put_eights, 2)

static inline void iq3_xxs_index(const uint8_t *from, int b, p16 index[4])
{
    const p16 all[2] = {p16_load(AT(2 + 8 * b)), p16_load(AT(6 + 8 * b))};
    for (int i = 0; i < 4; i++)
        index[i] = two_bytes(all[i / 2], i % 2);
}

GRID_TYPE(iq3_xxs, put_fours, 4)

static inline void iq3_s_index(const uint8_t *from, int b, p16 index[4])
{
    const p16 all[2] = {p16_load(AT(2 + 8 * b)), p16_load(AT(6 + 8 * b))}, ninth = p16_load_u8(AT(66 + b));
    for (int i = 0; i < 4; i++)
        index[i] = p16_or(two_bytes(all[i / 2], i % 2), upper_bits(ninth, i + i / 2 * 2, i + i / 2 * 2 + 2, 1));
}

GRID_TYPE(iq3_s, put_fours, 4)

/* A tile of eighths of -1, 0 and 1, an eighth less where the lowest bit of down[k] is set, in columns 8 k .. 8 k + 7; plus `plus`. The grid's bytes are 8 more
 * than they mean. */
static inline void put_ternaries(uint8_t index[2][64], const p16 down[4], const int plus, l4_tile *to)
{
    L4_UNROLL(4)
    for (int k = 0; k < 4; k++) {
        p16 first, second, add = p16_sub(p16_set_bytes(plus - 8 + 1), p16_and(p16_sub(p16_set(0), p16_and(down[k], p16_set(1))), p16_set_bytes(2)));
        p16_eights(l4_iq1_grid[0], index[k % 2] + k / 2 * 2, &first, &second);
        p16_store_plus(to->w[2 * k], p16_add(first, add));
        p16_store_plus(to->w[2 * k + 1], p16_add(second, add));
    }
}

/* `upper`: three bits more for each k, at every `apart` bits. */
static inline void store_ternary_indices(p16 all, p16 upper, const int apart, uint8_t index[2][64])
{
    for (int k = 0; k < 2; k++)
        store_indices(index[k], p16_or(two_bytes(all, k), upper_bits(upper, k * apart, (k + 2) * apart, 7)));
}

static inline void unpack_iq1_s(const uint8_t *from, l4_tile *to)
{
    const v16 d = v16_from_f16(AT(0));
    _Alignas(64) uint8_t indices[8][2][64];
    for (int b = 0; b < 8; b++)
        store_ternary_indices(p16_load(AT(2 + 4 * b)), p16_load_u16(AT(34 + 2 * b)), 3, indices[b]);
    for (int b = 0; b < 8; b++, to++) {
        const p16 rest = p16_load_u16(AT(34 + 2 * b)), down = p16_shr(rest, 15), downs[4] = {down, down, down, down};
        scale_ternary(to->scale, d, p16_and(p16_shr(rest, 12), p16_set(7)));
        put_ternaries(indices[b], downs, OFFSET_16, to);
    }
}

/* Lanes of float16 */
static inline v16 p16_f16_to_v16(p16 x)
{
    uint8_t lanes[64], halves[32];
    p16_store(lanes, x);
    for (int r = 0; r < L4_PANEL; r++)
        halves[2 * r] = lanes[4 * r], halves[2 * r + 1] = lanes[4 * r + 1];
    return v16_from_f16(halves);
}

static inline void unpack_iq1_m(const uint8_t *from, l4_tile *to)
{
    const v16 d = p16_f16_to_v16(iq1_m_d(from));
    _Alignas(64) uint8_t indices[8][2][64];
    for (int b = 0; b < 8; b++)
        store_ternary_indices(p16_load(AT(4 * b)), iq1_m_rest(from, b), 4, indices[b]);
    for (int b = 0; b < 8; b++, to++) {
        const p16 rest = iq1_m_rest(from, b);
        p16 downs[4];
        iq1_m_scales(from, b, d, to);
        for (int k = 0; k < 4; k++)
            downs[k] = p16_shr(rest, 4 * k + 3);
        put_ternaries(indices[b], downs, HALVES_32, to);
    }
}
