/* Little-endian numbers at any alignment, and a bounded reader over untrusted bytes. */
#ifndef L4_BASE_BYTES_H
#define L4_BASE_BYTES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint16_t l4_load_u16(const void *p)
{
    const uint8_t *b = (const uint8_t *)p;
    return (uint16_t)(b[0] | b[1] << 8);
}

static inline uint32_t l4_load_u32(const void *p)
{
    const uint8_t *b = (const uint8_t *)p;
    return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

static inline void l4_store_u16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}

static inline void l4_store_u32(uint8_t *p, uint32_t v)
{
    l4_store_u16(p, (uint16_t)v);
    l4_store_u16(p + 2, (uint16_t)(v >> 16));
}

static inline uint64_t l4_load_u64(const void *p)
{
    return (uint64_t)l4_load_u32(p) | (uint64_t)l4_load_u32((const uint8_t *)p + 4) << 32;
}

static inline float l4_load_f32(const void *p)
{
    uint32_t u = l4_load_u32(p);
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

/* Once a read runs past the end, `failed` is set, the position stays, and all later reads give 0. */
typedef struct l4_reader {
    const uint8_t *data;
    size_t size;
    size_t position; /* <= size */
    int failed;
} l4_reader;

/* Returns n bytes and moves on, or NULL. */
static inline const uint8_t *l4_read_bytes(l4_reader *r, uint64_t n)
{
    if (r->failed || n > r->size - r->position) {
        r->failed = 1;
        return NULL;
    }
    const uint8_t *p = r->data + r->position;
    r->position += (size_t)n;
    return p;
}

static inline uint32_t l4_read_u32(l4_reader *r)
{
    const uint8_t *p = l4_read_bytes(r, 4);
    return p ? l4_load_u32(p) : 0;
}

static inline uint64_t l4_read_u64(l4_reader *r)
{
    const uint8_t *p = l4_read_bytes(r, 8);
    return p ? l4_load_u64(p) : 0;
}

#endif
