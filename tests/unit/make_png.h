/* Writes PNG files of any form, without libpng: deflate with stored blocks alone. For tests. */
#ifndef LLAMA4_TESTS_MAKE_PNG_H
#define LLAMA4_TESTS_MAKE_PNG_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct png_file {
    uint8_t *data;
    size_t size, capacity;
} png_file;

typedef struct png_form {
    uint32_t width, height;
    int type;       /* of colour: 0 grey, 2 RGB, 3 palette, 4 grey with alpha, 6 RGBA */
    int depth;      /* bits a sample */
    int interlaced;
    const uint8_t *palette, *trns; /* or NULL */
    size_t palette_bytes, trns_bytes;
    /* Sample c of pixel x, y: below 2^depth. */
    uint32_t (*sample)(void *user, uint32_t x, uint32_t y, int c);
    void *user;
} png_form;

static inline void png_add(png_file *f, const void *data, size_t n)
{
    if (f->size + n > f->capacity) {
        f->capacity = 2 * (f->size + n) + 64;
        f->data = realloc(f->data, f->capacity);
        if (!f->data)
            abort();
    }
    if (n)
        memcpy(f->data + f->size, data, n);
    f->size += n;
}

static inline void png_u32(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> (24 - 8 * i));
}

static inline uint32_t png_crc(const uint8_t *p, size_t n)
{
    uint32_t c = 0xffffffffu;
    for (size_t i = 0; i < n; i++) {
        c ^= p[i];
        for (int k = 0; k < 8; k++)
            c = c & 1 ? c >> 1 ^ 0xedb88320u : c >> 1;
    }
    return ~c;
}

static inline void png_chunk(png_file *f, const char *type, const void *data, size_t n)
{
    uint8_t word[4];
    size_t at = f->size;
    png_u32(word, (uint32_t)n);
    png_add(f, word, 4);
    png_add(f, type, 4);
    png_add(f, data, n);
    png_u32(word, png_crc(f->data + at + 4, n + 4));
    png_add(f, word, 4);
}

static inline int png_channels(int type)
{
    return type == 2 ? 3 : type == 4 ? 2 : type == 6 ? 4 : 1;
}

/* Rows of the pixels x0, x0 + dx, ... and y0, y0 + dy, ..., each with filter 0. */
static inline void png_pass(png_file *raw, const png_form *p, uint32_t x0, uint32_t y0, uint32_t dx, uint32_t dy)
{
    const int channels = png_channels(p->type);
    if (x0 >= p->width)
        return;
    for (uint32_t y = y0; y < p->height; y += dy) {
        uint8_t byte = 0;
        int used = 0;
        png_add(raw, &byte, 1);
        for (uint32_t x = x0; x < p->width; x += dx)
            for (int c = 0; c < channels; c++) {
                uint32_t v = p->sample(p->user, x, y, c);
                if (p->depth == 16) {
                    uint8_t two[2] = {(uint8_t)(v >> 8), (uint8_t)v};
                    png_add(raw, two, 2);
                    continue;
                }
                byte = (uint8_t)(byte | v << (8 - used - p->depth));
                used += p->depth;
                if (used == 8) {
                    png_add(raw, &byte, 1);
                    byte = 0;
                    used = 0;
                }
            }
        if (used)
            png_add(raw, &byte, 1);
    }
}

static inline void png_zlib(png_file *out, const png_file *raw)
{
    static const uint8_t head[2] = {0x78, 0x01};
    uint32_t a = 1, b = 0;
    uint8_t word[4];
    png_add(out, head, 2);
    for (size_t at = 0; at == 0 || at < raw->size; at += 65535) {
        size_t n = raw->size - at < 65535 ? raw->size - at : 65535;
        uint8_t block[5] = {at + n == raw->size, (uint8_t)n, (uint8_t)(n >> 8), (uint8_t)~n, (uint8_t)(~n >> 8)};
        png_add(out, block, 5);
        png_add(out, raw->data + at, n);
    }
    for (size_t i = 0; i < raw->size; i++) {
        a = (a + raw->data[i]) % 65521;
        b = (b + a) % 65521;
    }
    png_u32(word, b << 16 | a);
    png_add(out, word, 4);
}

/* The whole file, to be freed. */
static inline png_file make_png(const png_form *p)
{
    static const uint8_t signature[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    static const uint8_t passes[7][4] = {{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4}, {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}};
    png_file f = {NULL, 0, 0}, raw = {NULL, 0, 0}, packed = {NULL, 0, 0};
    uint8_t head[13] = {0};
    png_add(&f, signature, 8);
    png_u32(head, p->width);
    png_u32(head + 4, p->height);
    head[8] = (uint8_t)p->depth;
    head[9] = (uint8_t)p->type;
    head[12] = (uint8_t)p->interlaced;
    png_chunk(&f, "IHDR", head, 13);
    png_chunk(&f, "gAMA", "\0\1\x86\xa0", 4); /* must not matter */
    if (p->palette)
        png_chunk(&f, "PLTE", p->palette, p->palette_bytes);
    if (p->trns)
        png_chunk(&f, "tRNS", p->trns, p->trns_bytes);
    if (p->interlaced)
        for (int i = 0; i < 7; i++)
            png_pass(&raw, p, passes[i][0], passes[i][1], passes[i][2], passes[i][3]);
    else
        png_pass(&raw, p, 0, 0, 1, 1);
    png_zlib(&packed, &raw);
    size_t half = packed.size / 2; /* two chunks, with another kind between the palette and them */
    png_chunk(&f, "tEXt", "Comment\0made for a test", 23);
    png_chunk(&f, "IDAT", packed.data, half);
    png_chunk(&f, "IDAT", packed.data + half, packed.size - half);
    png_chunk(&f, "IEND", "", 0);
    free(raw.data);
    free(packed.data);
    return f;
}

#endif
