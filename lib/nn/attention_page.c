/* How keys and values lie in a page, and how they get there. */
#include <math.h>
#include <string.h>

#include "model/config.h"
#include "nn/attention.h"

#define BLOCK L4_ATTENTION_BLOCK
#define UNITS (BLOCK * sizeof(float)) /* behind a plane of integers */

static size_t element(int kv_slot)
{
    return kv_slot == L4_KV_F32_SLOT ? 4 : 2;
}

size_t l4_attention_plane(size_t d, int kv_slot)
{
    return d * BLOCK * element(kv_slot) + (kv_slot == L4_KV_I16_SLOT ? UNITS : 0);
}

size_t l4_attention_layer_bytes(size_t kv_heads, size_t d, int kv_slot)
{
    return 2 * kv_heads * l4_attention_plane(d, kv_slot);
}

static void store_floats(const l4_kernels *k, uint8_t *layer, size_t kv_heads, size_t d, int kv_slot, size_t at, const float *key, const float *value)
{
    const size_t size = element(kv_slot), plane = l4_attention_plane(d, kv_slot);
    uint8_t row[64 * 4];
    for (size_t h = 0; h < kv_heads; h++, layer += plane)
        for (size_t i = 0; i < d; i += 64) {
            size_t n = d - i < 64 ? d - i : 64;
            uint8_t *to = layer + (i * BLOCK + at) * size;
            k->kv_store[kv_slot](key + h * d + i, row, n);
            for (size_t c = 0; c < n; c++)
                memcpy(to + c * BLOCK * size, row + c * size, size);
        }
    for (size_t h = 0; h < kv_heads; h++, layer += plane)
        k->kv_store[kv_slot](value + h * d, layer + at * d * size, d);
}

static void store_value(uint8_t *plane, size_t d, size_t at, const int16_t *q)
{
    uint8_t *to = plane + at / 2 * 4 * d + at % 2 * 2;
    for (size_t i = 0; i < d; i++, to += 4)
        to[0] = (uint8_t)((uint16_t)q[i] & 255), to[1] = (uint8_t)((uint16_t)q[i] >> 8);
}

static void store_key(uint8_t *plane, size_t d, size_t at, const int16_t *q)
{
    uint8_t *to = plane + 4 * at;
    for (size_t i = 0; i < d; i += 2, to += 4 * BLOCK) {
        const uint16_t first = (uint16_t)q[i], second = (uint16_t)q[i + 1];
        to[0] = (uint8_t)first, to[1] = (uint8_t)(first >> 8), to[2] = (uint8_t)second, to[3] = (uint8_t)(second >> 8);
    }
}

static void store_integers(const l4_kernels *k, uint8_t *layer, size_t kv_heads, size_t d, size_t at, const float *key, const float *value)
{
    const size_t plane = l4_attention_plane(d, L4_KV_I16_SLOT), units = plane - UNITS;
    int16_t q[L4_MAX_HEAD];
    for (size_t h = 0; h < kv_heads; h++, layer += plane) {
        uint8_t *values = layer + kv_heads * plane;
        float *key_unit = (float *)(void *)(layer + units) + at, *value_unit = (float *)(void *)(values + units) + at;
        *key_unit = k->i16_quantize(key + h * d, d, q);
        store_key(layer, d, at, q);
        *value_unit = k->i16_quantize(value + h * d, d, q);
        store_value(values, d, at, q);
        if (!(*value_unit < INFINITY)) /* whoever sees it has no result; those who do not are not to be touched */
            *key_unit = NAN, *value_unit = 0;
    }
}

void l4_attention_store(const l4_kernels *k, uint8_t *layer, size_t kv_heads, size_t d, int kv_slot, size_t at, const float *key, const float *value)
{
    if (kv_slot == L4_KV_I16_SLOT)
        store_integers(k, layer, kv_heads, d, at, key, value);
    else
        store_floats(k, layer, kv_heads, d, kv_slot, at, key, value);
}
