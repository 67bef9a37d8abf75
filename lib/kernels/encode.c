/* float32 rows to stored types. The formulas are those of GGUF's reference encoder, operation by operation, so that the bytes are the same. A
 * block with NaN or infinity, or one whose scale is too small to have a reciprocal, gives quants of 0 where the product is not finite. */
#include "kernels/encode.h"

#include "base/bytes.h"
#include "base/half.h"
#include "llama4/llama4.h"

#define BLOCK 32

static float magnitude(float x)
{
    return l4_bits_f32(l4_f32_bits(x) & 0x7fffffff);
}

/* Half away from zero; 0 unless |x| < 128. */
static int8_t round_i8(float x)
{
    float a = magnitude(x);
    if (!(a < 128.0f))
        return 0;
    int whole = (int)a;
    whole += 2 * (a - (float)whole) >= 1;
    if (whole > 127)
        whole = 127;
    return (int8_t)(x < 0 ? -whole : whole);
}

/* 2 bytes of scale, 32 signed bytes. */
static void encode_q8_0(const float *in, uint8_t *out)
{
    float top = 0;
    for (int i = 0; i < BLOCK; i++) {
        float a = magnitude(in[i]);
        top = a > top || a != a ? a : top; /* a NaN stays, as no comparison with it holds */
    }
    float d = top / 127.0f, inverse = d == 0 ? 0 : 1.0f / d;
    l4_store_u16(out, l4_f32_to_f16(d));
    for (int i = 0; i < BLOCK; i++)
        out[2 + i] = (uint8_t)round_i8(in[i] * inverse);
}

static uint8_t quant_4(float x)
{
    x += 8.5f;
    if (!(x >= 0 && x < 256))
        return 0;
    return x < 15 ? (uint8_t)x : 15;
}

/* 2 bytes of scale, 16 bytes with elements i and i + 16 in the low and high halves. The extreme value, sign included, becomes -8. */
static void encode_q4_0(const float *in, uint8_t *out)
{
    float top = 0, extreme = in[0];
    for (int i = 0; i < BLOCK; i++) {
        float a = magnitude(in[i]);
        if (a > top || a != a) {
            top = a;
            extreme = in[i];
        }
    }
    float d = extreme / -8.0f, inverse = d == 0 ? 0 : 1.0f / d;
    l4_store_u16(out, l4_f32_to_f16(d));
    for (int i = 0; i < BLOCK / 2; i++)
        out[2 + i] = (uint8_t)(quant_4(in[i] * inverse) | quant_4(in[i + BLOCK / 2] * inverse) << 4);
}

int l4_encode_row(uint32_t type, const float *in, uint64_t n, void *out)
{
    uint8_t *p = out;
    switch (type) {
    case LLAMA4_TYPE_F32:
        for (uint64_t i = 0; i < n; i++)
            l4_store_u32(p + 4 * i, l4_f32_bits(in[i]));
        return 1;
    case LLAMA4_TYPE_F16:
        for (uint64_t i = 0; i < n; i++)
            l4_store_u16(p + 2 * i, l4_f32_to_f16(in[i]));
        return 1;
    case LLAMA4_TYPE_BF16:
        for (uint64_t i = 0; i < n; i++)
            l4_store_u16(p + 2 * i, l4_f32_to_bf16(in[i]));
        return 1;
    case LLAMA4_TYPE_Q8_0:
        for (uint64_t i = 0; i < n / BLOCK; i++)
            encode_q8_0(in + BLOCK * i, p + 34 * i);
        return 1;
    case LLAMA4_TYPE_Q4_0:
        for (uint64_t i = 0; i < n / BLOCK; i++)
            encode_q4_0(in + BLOCK * i, p + 18 * i);
        return 1;
    default:
        return 0;
    }
}
