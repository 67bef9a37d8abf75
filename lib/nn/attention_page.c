/* How keys and values lie in a page, and how they get there. */
#include <math.h>
#include <string.h>

#include "base/bytes.h"
#include "model/config.h"
#include "nn/attention.h"

#define BLOCK L4_ATTENTION_BLOCK

static size_t element(int kv_slot)
{
    return kv_slot == L4_KV_F32_SLOT ? 4 : kv_slot == L4_KV_Q8_0_SLOT ? 1 : 2;
}

static size_t factors(size_t d)
{
    return (d + L4_I8_BLOCK - 1) / L4_I8_BLOCK;
}

size_t l4_attention_units(size_t d, int kv_slot)
{
    return d * BLOCK * element(kv_slot) + (kv_slot == L4_KV_Q8_0_SLOT ? factors(d) * BLOCK : 0);
}

size_t l4_attention_plane(size_t d, int kv_slot)
{
    return l4_attention_units(d, kv_slot) + (l4_kv_integers(kv_slot) ? BLOCK * sizeof(float) : 0);
}

size_t l4_attention_layer_bytes(size_t kv_heads, size_t d, int kv_slot)
{
    return 2 * kv_heads * l4_attention_plane(d, kv_slot);
}

static void store_floats(const l4_kernels *k, uint8_t *layer, size_t kv_heads, size_t d, int kv_slot, size_t at, const float *key, const float *value)
{
    const size_t size = element(kv_slot), plane = l4_attention_plane(d, kv_slot);
    uint8_t row[64 * 4];
    for (size_t h = 0; h < kv_heads; h++, layer += 2 * plane) {
        for (size_t i = 0; i < d; i += 64) {
            size_t n = d - i < 64 ? d - i : 64;
            uint8_t *to = layer + (i * BLOCK + at) * size;
            k->kv_store[kv_slot](key + h * d + i, row, n);
            for (size_t c = 0; c < n; c++)
                memcpy(to + c * BLOCK * size, row + c * size, size);
        }
        k->kv_store[kv_slot](value + h * d, layer + plane + at * d * size, d);
    }
}

/* A number to both bytes of its place, or to one. */
static void put(uint8_t *to, size_t size, int value)
{
    if (size == 2)
        l4_store_u16(to, (uint16_t)value);
    else
        *to = (uint8_t)value;
}

static void put_key(uint8_t *plane, size_t d, size_t size, size_t at, const int16_t *q)
{
    for (size_t i = 0; i < d; i++)
        put(plane + (i / 2 * 2 * BLOCK + 2 * at + i % 2) * size, size, q[i]);
}

static void put_value(uint8_t *plane, size_t d, size_t size, size_t at, const int16_t *q)
{
    for (size_t i = 0; i < d; i++)
        put(plane + (at / 2 * 2 * d + 2 * i + at % 2) * size, size, q[i]);
}

/* One head's row of numbers as integers, and in 8 bits their factors, to q and f; returns the unit. */
static float to_integers(const l4_kernels *k, int kv_slot, const float *x, size_t d, int16_t *q, uint8_t *f)
{
    int8_t small[L4_MAX_HEAD];
    if (kv_slot == L4_KV_I16_SLOT)
        return k->i16_quantize(x, d, q);
    const float unit = k->i8_quantize(x, d, small, f);
    for (size_t i = 0; i < d; i++)
        q[i] = small[i];
    return unit;
}

static void store_integers(const l4_kernels *k, uint8_t *layer, size_t kv_heads, size_t d, int kv_slot, size_t at, const float *key, const float *value)
{
    const size_t plane = l4_attention_plane(d, kv_slot), units = l4_attention_units(d, kv_slot), size = element(kv_slot), n = kv_slot == L4_KV_Q8_0_SLOT ? factors(d) : 0;
    int16_t q[L4_MAX_HEAD];
    uint8_t f[L4_MAX_HEAD / L4_I8_BLOCK];
    for (size_t h = 0; h < kv_heads; h++, layer += 2 * plane) {
        uint8_t *values = layer + plane, *key_factors = layer + d * BLOCK, *value_factors = values + d * BLOCK;
        float *key_unit = (float *)(void *)(layer + units) + at, *value_unit = (float *)(void *)(values + units) + at;
        *key_unit = to_integers(k, kv_slot, key + h * d, d, q, f);
        put_key(layer, d, size, at, q);
        for (size_t i = 0; i < n; i++)
            key_factors[i * BLOCK + at] = f[i];
        *value_unit = to_integers(k, kv_slot, value + h * d, d, q, f);
        put_value(values, d, size, at, q);
        for (size_t i = 0; i < n; i++)
            value_factors[(at / 2 * n + i) * 2 + at % 2] = f[i];
        if (!(*value_unit < INFINITY)) /* whoever sees it has no result; those who do not are not to be touched */
            *key_unit = NAN, *value_unit = 0;
    }
}

void l4_attention_store(const l4_kernels *k, uint8_t *layer, size_t kv_heads, size_t d, int kv_slot, size_t at, const float *key, const float *value)
{
    if (l4_kv_integers(kv_slot))
        store_integers(k, layer, kv_heads, d, kv_slot, at, key, value);
    else
        store_floats(k, layer, kv_heads, d, kv_slot, at, key, value);
}
