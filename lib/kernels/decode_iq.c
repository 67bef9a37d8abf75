/* Blocks of 256 whose quants are indices into tables of eight or four magnitudes, with signs beside them -> float32: IQ1_S to IQ3_S.
 * A block's integers are put together first, then multiplied by the scales of 16 elements each. Every product here is exact, so that a sign may
 * go to the integer, which is never 0, where the reference multiplies by it last, and IQ1's eighths may become integers. */
#include "kernels/decode.h"
#include "kernels/iq_tables.h"

#define S(s) {(s) & 1 ? 255 : 0, (s) & 2 ? 255 : 0, (s) & 4 ? 255 : 0, (s) & 8 ? 255 : 0}
static const uint8_t minus[16][4] = {S(0), S(1), S(2), S(3), S(4), S(5), S(6), S(7), S(8), S(9), S(10), S(11), S(12), S(13), S(14), S(15)};
#undef S

static void multiply(const int8_t *restrict q, const float *restrict scales, float *restrict out)
{
    for (int i = 0; i < 256; i += 32)
        l4_scale_32(q + i, scales + i / 16, out + i);
}

/* Four bytes, 1 .. 127, of which those with a bit in `signs` become negative: all bits flipped, plus one, which never carries. */
static inline void put_four(int8_t *q, const uint8_t *grid, unsigned signs)
{
    uint32_t bytes, flip;
    memcpy(&bytes, grid, 4);
    memcpy(&flip, minus[signs & 15], 4);
    bytes = (bytes ^ flip) + (flip & 0x01010101);
    memcpy(q, &bytes, 4);
}

/* Seven signs; the eighth makes their number even. */
static inline unsigned eight_signs(uint32_t seven)
{
    uint32_t odd = seven ^ seven >> 4;
    return seven | (0x6996u >> (odd & 15) & 1) << 7; /* bit i of 0x6996: whether i has an odd number of bits */
}

/* Scale; then for each 32 elements four bytes of indices, and 32 bits: four times seven signs and a 4-bit scale. */
void l4_decode_iq2_xxs(const uint8_t *restrict data, float *restrict out)
{
    float d = l4_half_at(data), scales[16];
    int8_t q[256];
    for (int k = 0; k < 32; k++) {
        uint32_t rest = l4_load_u32(data + 6 + k / 4 * 8);
        const uint8_t *grid = l4_iq2_xxs_grid[data[2 + k / 4 * 8 + k % 4]];
        unsigned signs = eight_signs(rest >> k % 4 * 7 & 127);
        put_four(q + 8 * k, grid, signs);
        put_four(q + 8 * k + 4, grid + 4, signs >> 4);
    }
    for (int i = 0; i < 16; i++)
        scales[i] = d * (0.5f + (float)(data[9 + i / 2 * 8] >> 4)) * 0.25f;
    multiply(q, scales, out);
}

/* Sixteen 4-bit scales: the low half of a byte first. */
static inline void four_bit_scales(const uint8_t *restrict p, float d, float *restrict scales)
{
    for (int i = 0; i < 16; i++)
        scales[i] = d * (0.5f + (float)(p[i / 2] >> i % 2 * 4 & 15)) * 0.25f;
}

/* Scale, 32 indices of 9 bits with seven signs on top, sixteen 4-bit scales. */
void l4_decode_iq2_xs(const uint8_t *restrict data, float *restrict out)
{
    float scales[16];
    int8_t q[256];
    for (int k = 0; k < 32; k++) {
        unsigned index = l4_load_u16(data + 2 + 2 * k), signs = eight_signs(index >> 9);
        const uint8_t *grid = l4_iq2_xs_grid[index & 511];
        put_four(q + 8 * k, grid, signs);
        put_four(q + 8 * k + 4, grid + 4, signs >> 4);
    }
    four_bit_scales(data + 66, l4_half_at(data), scales);
    multiply(q, scales, out);
}

/* Scale, 32 low bytes of indices, 32 bytes of signs, 8 bytes of the indices' upper two bits, sixteen 4-bit scales. */
void l4_decode_iq2_s(const uint8_t *restrict data, float *restrict out)
{
    float scales[16];
    int8_t q[256];
    for (int k = 0; k < 32; k++) {
        unsigned upper = data[66 + k / 4] >> k % 4 * 2 & 3, signs = data[34 + k];
        const uint8_t *grid = l4_iq2_s_grid[data[2 + k] | upper << 8];
        put_four(q + 8 * k, grid, signs);
        put_four(q + 8 * k + 4, grid + 4, signs >> 4);
    }
    four_bit_scales(data + 74, l4_half_at(data), scales);
    multiply(q, scales, out);
}

/* Scale, 64 indices of four elements each; then for each 32 elements signs and scale as in IQ2_XXS. */
void l4_decode_iq3_xxs(const uint8_t *restrict data, float *restrict out)
{
    float d = l4_half_at(data), scales[16];
    int8_t q[256];
    for (int k = 0; k < 32; k++) {
        uint32_t rest = l4_load_u32(data + 66 + k / 4 * 4);
        unsigned signs = eight_signs(rest >> k % 4 * 7 & 127);
        put_four(q + 8 * k, l4_iq3_xxs_grid[data[2 + 2 * k]], signs);
        put_four(q + 8 * k + 4, l4_iq3_xxs_grid[data[3 + 2 * k]], signs >> 4);
    }
    for (int i = 0; i < 16; i++)
        scales[i] = d * (0.5f + (float)(data[69 + i / 2 * 4] >> 4)) * 0.5f;
    multiply(q, scales, out);
}

/* Scale, 64 low bytes of indices, 64 ninth bits, 32 bytes of signs, eight 4-bit scales. */
void l4_decode_iq3_s(const uint8_t *restrict data, float *restrict out)
{
    float d = l4_half_at(data), scales[16];
    int8_t q[256];
    for (int k = 0; k < 32; k++) {
        unsigned ninth = data[66 + k / 4] >> k % 4 * 2, signs = data[74 + k];
        put_four(q + 8 * k, l4_iq3_s_grid[data[2 + 2 * k] | (ninth & 1) << 8], signs);
        put_four(q + 8 * k + 4, l4_iq3_s_grid[data[3 + 2 * k] | (ninth & 2) << 7], signs >> 4);
    }
    for (int i = 0; i < 16; i++)
        scales[i] = d * (float)(1 + 2 * (data[106 + i / 4] >> i / 2 % 2 * 4 & 15));
    multiply(q, scales, out);
}

/* Eight elements -1, 0, 1, moved by an eighth up or down: eighths, plus 9, which is 0 .. 18. */
static inline void put_ternary(int8_t *q, const uint8_t *grid, unsigned down)
{
    uint64_t bytes;
    memcpy(&bytes, grid, 8);
    bytes += down ? 0 : 0x0202020202020202u;
    memcpy(q, &bytes, 8);
}

/* Scale, 32 low bytes of indices; then for each 32 elements 16 bits: the upper three bits of four indices, a 3-bit scale, the shift. */
void l4_decode_iq1_s(const uint8_t *restrict data, float *restrict out)
{
    float d = l4_half_at(data), scales[16];
    int8_t q[256];
    for (int k = 0; k < 32; k++) {
        unsigned rest = l4_load_u16(data + 34 + k / 4 * 2);
        put_ternary(q + 8 * k, l4_iq1_grid[data[2 + k] | (rest >> k % 4 * 3 & 7) << 8], rest & 0x8000);
        scales[k / 2] = d * (float)(2 * (rest >> 12 & 7) + 1) * 0.125f;
    }
    for (int i = 0; i < 256; i++)
        q[i] = (int8_t)(q[i] - 9);
    multiply(q, scales, out);
}

/* 32 low bytes of indices, 32 halves with the upper three bits and the shift, then four times 16 bits: four 3-bit scales each, and a quarter
 * of the bits of the block's scale on top. */
void l4_decode_iq1_m(const uint8_t *restrict data, float *restrict out)
{
    float scales[16];
    int8_t q[256];
    unsigned bits = 0;
    for (int k = 0; k < 32; k++) {
        unsigned rest = data[32 + k / 2] >> k % 2 * 4;
        put_ternary(q + 8 * k, l4_iq1_grid[data[k] | (rest & 7) << 8], rest & 8);
    }
    for (int i = 0; i < 4; i++)
        bits |= (unsigned)(data[49 + 2 * i] >> 4) << 4 * i;
    for (int i = 0; i < 16; i++)
        scales[i] = l4_f16_to_f32((uint16_t)bits) * (float)(2 * (l4_load_u16(data + 48 + i / 4 * 2) >> i % 4 * 3 & 7) + 1) * 0.125f;
    for (int i = 0; i < 256; i++)
        q[i] = (int8_t)(q[i] - 9);
    multiply(q, scales, out);
}
