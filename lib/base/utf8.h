/* UTF-8: strict decoding (no overlong forms, no surrogates, at most U+10FFFF) and encoding. */
#ifndef L4_BASE_UTF8_H
#define L4_BASE_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* Decodes the code point at p, of which n > 0 bytes are there. Returns its length, 1 .. 4, or 0 if it is malformed or cut off. */
static inline size_t l4_utf8_decode(const uint8_t *p, size_t n, uint32_t *c)
{
    uint32_t a = p[0];
    if (a < 0x80) {
        *c = a;
        return 1;
    }
    if (a < 0xc2 || a > 0xf4 || n < 2 || (p[1] & 0xc0) != 0x80)
        return 0;
    if (a < 0xe0) {
        *c = (a & 0x1f) << 6 | (p[1] & 0x3f);
        return 2;
    }
    if (n < 3 || (p[2] & 0xc0) != 0x80)
        return 0;
    if (a < 0xf0) {
        *c = (a & 0x0f) << 12 | (uint32_t)(p[1] & 0x3f) << 6 | (p[2] & 0x3f);
        return *c >= 0x800 && (*c < 0xd800 || *c > 0xdfff) ? 3 : 0;
    }
    if (n < 4 || (p[3] & 0xc0) != 0x80)
        return 0;
    *c = (a & 0x07) << 18 | (uint32_t)(p[1] & 0x3f) << 12 | (uint32_t)(p[2] & 0x3f) << 6 | (p[3] & 0x3f);
    return *c >= 0x10000 && *c <= 0x10ffff ? 4 : 0;
}

/* Writes c (a valid code point) to out, which has room for 4 bytes; returns the length. */
static inline size_t l4_utf8_encode(uint32_t c, uint8_t *out)
{
    if (c < 0x80) {
        out[0] = (uint8_t)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (uint8_t)(0xc0 | c >> 6);
        out[1] = (uint8_t)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (uint8_t)(0xe0 | c >> 12);
        out[1] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
        out[2] = (uint8_t)(0x80 | (c & 0x3f));
        return 3;
    }
    out[0] = (uint8_t)(0xf0 | c >> 18);
    out[1] = (uint8_t)(0x80 | (c >> 12 & 0x3f));
    out[2] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
    out[3] = (uint8_t)(0x80 | (c & 0x3f));
    return 4;
}

#endif
