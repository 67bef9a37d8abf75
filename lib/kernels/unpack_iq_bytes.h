/*
 * The second part of unpack_iq.h, for instruction sets that look up single bytes, and move fields of bits to bytes: indices are bytes, four in each lane,
 * with masks for what they have above seven bits. Codes come in halves. A weight is looked up by its code and its sign, side by side.
 */

/* A tile's entries of eights: index k is of columns 8 k .. 8 k + 7. `signs` are those of all 32 columns. */
static inline L4_ALWAYS_INLINE void put_eights(const grid *g, p16 index, const p16_mask *above, p16 signs, l4_tile *to)
{
    const p16 halves[2] = {p16_lookup(g->halves, g->n, index, above), p16_lookup(g->halves + g->n, g->n, index, above)};
    L4_UNROLL(8)
    for (int i = 0; i < 8; i++)
        p16_store(to->w[i], p16_table(g->meant, p16_choose(3, p16_fields(halves[i % 2], i / 2 * 8, 2), p16_fields(signs, 4 * i - 3, 1))));
}

/* The same of fours: index k of each register is of four columns. */
static inline L4_ALWAYS_INLINE void put_fours(const grid *g, const p16 index[2], const p16_mask (*above)[2], p16 signs, l4_tile *to)
{
    L4_UNROLL(2)
    for (int h = 0; h < 2; h++) {
        const p16 low = p16_lookup(g->halves, g->n, index[h], above[h]), high = p16_lookup(g->halves + g->n, g->n, index[h], above[h]);
        L4_UNROLL(4)
        for (int k = 0; k < 4; k++)
            p16_store(to->w[4 * h + k], p16_table(g->meant, p16_choose(7, p16_pair_fields(low, high, 8 * k, 3), p16_fields(signs, 16 * h + 4 * k - 3, 1))));
    }
}

#define UNPACK_GRID(slot)                                                                                               \
    static inline void unpack_##slot(const uint8_t *from, l4_tile *to)                                                  \
    {                                                                                                                   \
        for (int b = 0; b < 8; b++)                                                                                     \
            some_##slot(from, b, to + b);                                                                               \
    }

static inline L4_ALWAYS_INLINE void some_iq2_xxs(const uint8_t *from, int b, l4_tile *to)
{
    const p16 index = p16_load(AT(2 + 8 * b));
    const p16_mask above[] = {p16_with(index, 128)};
    put_eights(&iq2_xxs, index, above, iq2_xxs_signs(from, b, to), to);
}

UNPACK_GRID(iq2_xxs)

/* Four times nine bits of index and seven of signs. */
static inline L4_ALWAYS_INLINE void some_iq2_xs(const uint8_t *from, int b, l4_tile *to)
{
    const p16 index = p16_bytes_of_words(AT(2 + 8 * b), 0), rest = p16_bytes_of_words(AT(2 + 8 * b), 1);
    const p16_mask above[] = {p16_with(index, 128), p16_with(rest, 1)};
    four_bit_scales(AT(66 + b), v16_from_f16(AT(0)), to);
    put_eights(&iq2_xs, index, above, even_signs(p16_shr(rest, 1)), to);
}

UNPACK_GRID(iq2_xs)

static inline L4_ALWAYS_INLINE void some_iq2_s(const uint8_t *from, int b, l4_tile *to)
{
    const p16 index = p16_load(AT(2 + 4 * b)), upper = p16_fields(p16_load_u8(AT(66 + b)), 0, 2);
    const p16_mask above[] = {p16_with(index, 128), p16_with(upper, 1), p16_with(upper, 2)};
    put_eights(&iq2_s, index, above, iq2_s_signs(from, b, to), to);
}

UNPACK_GRID(iq2_s)

static inline L4_ALWAYS_INLINE void some_iq3_xxs(const uint8_t *from, int b, l4_tile *to)
{
    const p16 index[2] = {p16_load(AT(2 + 8 * b)), p16_load(AT(6 + 8 * b))};
    const p16_mask above[2][2] = {{p16_with(index[0], 128)}, {p16_with(index[1], 128)}};
    put_fours(&iq3_xxs, index, above, iq3_xxs_signs(from, b, to), to);
}

UNPACK_GRID(iq3_xxs)

static inline L4_ALWAYS_INLINE void some_iq3_s(const uint8_t *from, int b, l4_tile *to)
{
    const p16 index[2] = {p16_load(AT(2 + 8 * b)), p16_load(AT(6 + 8 * b))}, ninth = p16_fields(p16_load_u8(AT(66 + b)), 0, 1);
    const p16_mask above[2][2] = {{p16_with(index[0], 128), p16_with(ninth, 1)}, {p16_with(index[1], 128), p16_with(ninth, 16)}};
    put_fours(&iq3_s, index, above, iq3_s_signs(from, b, to), to);
}

UNPACK_GRID(iq3_s)

/* Elements of -1, 0 and 1 in eighths, and one more, or one less where the bit is set; plus p. */
#define TERNARY(p) {NULL, NULL, l4_iq1_halves[0], 2048, p, {p - 7, p + 1, p + 9, 0, p - 7, p + 1, p + 9, 0, p - 9, p - 1, p + 7, 0, p - 9, p - 1, p + 7, 0}}
static const grid iq1_s = TERNARY(OFFSET_16), iq1_m = TERNARY(HALVES_32);
#undef TERNARY

/* Of columns 8 k .. 8 k + 7: in `upper`, byte k, three bits above the index; in less[k], bit 3 of each byte, whether they are one less. */
static inline L4_ALWAYS_INLINE void put_ternaries(const grid *g, p16 index, p16 upper, const p16 less[4], l4_tile *to)
{
    const p16_mask above[] = {p16_with(index, 128), p16_with(upper, 1), p16_with(upper, 2), p16_with(upper, 4)};
    const p16 halves[2] = {p16_lookup(g->halves, g->n, index, above), p16_lookup(g->halves + g->n, g->n, index, above)};
    L4_UNROLL(8)
    for (int i = 0; i < 8; i++)
        p16_store(to->w[i], p16_table(g->meant, p16_choose(3, p16_fields(halves[i % 2], i / 2 * 8, 2), less[i / 2])));
}

static inline L4_ALWAYS_INLINE void some_iq1_s(const uint8_t *from, int b, l4_tile *to)
{
    const p16 rest = p16_load_u16(AT(34 + 2 * b)), last = p16_fields(rest, 12, 0), less[4] = {last, last, last, last};
    scale_ternary(to->scale, v16_from_f16(AT(0)), p16_and(p16_shr(rest, 12), p16_set(7)));
    put_ternaries(&iq1_s, p16_load(AT(2 + 4 * b)), p16_fields(rest, 0, 3), less, to);
}

UNPACK_GRID(iq1_s)

static inline L4_ALWAYS_INLINE void some_iq1_m(const uint8_t *from, int b, l4_tile *to)
{
    const p16 rest = iq1_m_rest(from, b), less[4] = {p16_fields(rest, 0, 0), p16_fields(rest, 4, 0), p16_fields(rest, 8, 0), p16_fields(rest, 12, 0)};
    iq1_m_scales(from, b, p16_f16_to_v16(iq1_m_d(from)), to);
    put_ternaries(&iq1_m, p16_load(AT(4 * b)), p16_fields(rest, 0, 4), less, to);
}

UNPACK_GRID(iq1_m)
