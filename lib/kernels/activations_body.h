/* A token's activations -> int8, block by block, with what products begin with (packed.h). Over lanes as packed_body.h. */

#define MAGIC 12582912.0f /* 1.5 * 2^23: adding it rounds to an integer */

/* The largest magnitude of a block; a NaN where it has a NaN or an infinity: x - x is 0 for finite numbers. */
static inline float top_of(v16 low, v16 high)
{
    return v16_top(v16_max(v16_abs(low), v16_abs(high))) + v16_sum(v16_add(v16_sub(low, low), v16_sub(high, high)));
}

/* Numbers times `inverse`, at most 127 in magnitude, to integers; ties round to even. Returns the first half's sum, and *second. */
static inline int32_t round_block(v16 low, v16 high, float inverse, int8_t *q, int32_t *second)
{
    const v16 round = v16_set(MAGIC), factor = v16_set(inverse);
    v16_to_i8(q, v16_sub(v16_add(v16_mul(low, factor), round), round));
    v16_to_i8(q + 16, v16_sub(v16_add(v16_mul(high, factor), round), round));
    *second = i8_sum(q + 16);
    return i8_sum(q);
}

/* The five integers that depend on sums, which begin at `start`. */
static inline void starts(int32_t start, int32_t first, int32_t second, l4_xblock *out)
{
    out->minus_8 = start - 8 * (first + second);
    out->minus_16 = start - 16 * (first + second);
    out->minus_128 = start - 128 * (first + second);
    out->first_minus_64 = start - 64 * first;
    out->second_minus_64 = start - 64 * second;
}

/* Next to nothing counts as nothing: 127 / top shall be finite. */
#define LEAST_TOP 1e-36f

/* Largest magnitude -> 127. A block with a NaN or an infinity becomes NaN through its unit. */
static float quantize_any(const float *x, size_t blocks, l4_xblock *out, size_t step)
{
    for (size_t b = 0; b < blocks; b++, x += L4_QBLOCK, out += step) {
        const v16 low = v16_load(x), high = v16_load(x + 16);
        const float top = top_of(low, high), unit = top / 127.0f;
        int32_t first = 0, second = 0;
        if (top >= LEAST_TOP)
            first = round_block(low, high, 127.0f / top, out->q, &second);
        else
            memset(out->q, 0, sizeof out->q);
        out->unit = unit;
        out->sum = unit * (float)(first + second);
        out->first_sum = unit * (float)first;
        starts(0, first, second, out);
    }
    return 1.0f;
}

/* A token's factor is one of sixteen, 2^(i / 16). */
#define FACTORS(X)                                                                                                      \
    X(1.0f), X(1.04427378f), X(1.09050773f), X(1.13878863f), X(1.18920712f), X(1.24185781f), X(1.29683955f), X(1.35425555f),  \
    X(1.41421356f), X(1.47682615f), X(1.54221083f), X(1.61049033f), X(1.68179283f), X(1.75625216f), X(1.83400809f), X(1.91520656f)
#define ITSELF(f) f
#define INVERSE(f) (float)(1 / (double)f)
#define UNIT(f) (float)(1 / (127 * (double)f)) /* of a block whose largest magnitude is 1, before it becomes a power of two */
static const float factor_of[16] = {FACTORS(ITSELF)}, inverse_of[16] = {FACTORS(INVERSE)}, unit_of[16] = {FACTORS(UNIT)};

/* The one with which the squares of all units add up to least, and so the squares of what rounding loses. `squares`: of powers of two. */
static int best_factor(v16 squares)
{
    float sums[16];
    int best = 0;
    v16_store(sums, squares);
    for (int i = 0; i < 16; i++) {
        sums[i] *= factor_of[i] * factor_of[i];
        best = sums[i] < sums[best] ? i : best;
    }
    return best;
}

#define ROUND_UP 0x007fffff /* to a power of two */
#define POWER 0x7f800000

/* Units that are powers of two, the least with which nothing is beyond 127. Returns the factor. A block with a NaN or an infinity, or with numbers whose
 * products would leave the range, becomes NaN through its unit. */
static float quantize_powers(const float *x, size_t blocks, l4_xblock *out, size_t step)
{
    const float most = 1e33f; /* MAGIC * unit shall be finite */
    const v16 of_one = v16_load(unit_of);
    v16 squares = v16_zero();
    for (size_t b = 0; b < blocks; b++) {
        const float top = top_of(v16_load(x + b * L4_QBLOCK), v16_load(x + b * L4_QBLOCK + 16));
        const v16 unit = p16_as_v16(p16_and(p16_add(v16_as_p16(v16_mul(v16_set(top), of_one)), p16_set(ROUND_UP)), p16_set(POWER)));
        squares = v16_add(squares, v16_mul(unit, unit));
        out[b * step].unit = top;
    }
    const int best = best_factor(squares);
    for (size_t b = 0; b < blocks; b++, x += L4_QBLOCK, out += step) {
        const float top = out->unit;
        float unit = 1.0f, start;
        int32_t first = 0, second = 0;
        if (top >= LEAST_TOP && top <= most) {
            const uint32_t power = (l4_f32_bits(top * unit_of[best]) + ROUND_UP) & POWER;
            unit = l4_bits_f32(power);
            first = round_block(v16_load(x), v16_load(x + 16), l4_bits_f32(0x7f000000 - power) * inverse_of[best], out->q, &second);
        } else
            memset(out->q, 0, sizeof out->q);
        start = top <= most ? MAGIC * unit : l4_bits_f32(0x7fc00000);
        out->unit = start;
        out->sum = unit * (float)(first + second);
        out->first_sum = unit * (float)first;
        starts((int32_t)l4_f32_bits(start), first, second, out);
    }
    return factor_of[best];
}
