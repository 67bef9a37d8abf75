/* Bytes of a file or of an application in, RGB out: finds the format, lays alpha over white, turns pictures upright. */
#include "vision/picture.h"

#include <string.h>

llama4_status l4_picture_check(uint64_t width, uint64_t height, const l4_picture_options *options, const char *name, llama4_error *error)
{
    if (!width || !height)
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: a picture of %llu x %llu pixels", name, (unsigned long long)width, (unsigned long long)height);
    if (width > L4_MAX_SIDE || height > L4_MAX_SIDE)
        return l4_fail(error, LLAMA4_ERR_UNSUPPORTED, "%s: %llu x %llu pixels; a side may have at most %d", name, (unsigned long long)width,
                       (unsigned long long)height, L4_MAX_SIDE);
    if (width * height > options->max_pixels)
        return l4_fail(error, LLAMA4_ERR_UNSUPPORTED, "%s: %llu x %llu pixels are more than the limit of %llu", name, (unsigned long long)width,
                       (unsigned long long)height, (unsigned long long)options->max_pixels);
    return LLAMA4_OK;
}

/* Names of formats that people try, by their first bytes. */
static const char *other_format(const uint8_t *data, size_t size)
{
    static const struct {
        const char *name, *bytes;
        size_t offset, length;
    } known[] = {
        {"a GIF file", "GIF8", 0, 4},    {"a WebP file", "WEBP", 8, 4},  {"a BMP file", "BM", 0, 2},     {"a TIFF file", "II*\0", 0, 4},
        {"a TIFF file", "MM\0*", 0, 4},  {"a HEIF file", "ftyphei", 4, 7}, {"a HEIF file", "ftypmif", 4, 7}, {"an AVIF file", "ftypavi", 4, 7},
        {"a PDF file", "%PDF", 0, 4},    {"an SVG file", "<svg", 0, 4},  {"a JPEG XL file", "\xff\x0a", 0, 2}, {"a GGUF file", "GGUF", 0, 4},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (size >= known[i].offset + known[i].length && memcmp(data + known[i].offset, known[i].bytes, known[i].length) == 0)
            return known[i].name;
    return NULL;
}

llama4_status l4_picture_decode(const l4_allocator *a, const void *data, size_t size, const l4_picture_options *options, const char *name,
                                l4_picture *out, llama4_error *error)
{
    const uint8_t *bytes = data;
    if (size >= 8 && memcmp(bytes, "\x89PNG\r\n\x1a\n", 8) == 0)
        return l4_png_decode(a, bytes, size, options, name, out, error);
    if (size >= 3 && memcmp(bytes, "\xff\xd8\xff", 3) == 0)
        return l4_jpeg_decode(a, bytes, size, options, name, out, error);
    if (size == 0)
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%s is empty", name);
    const char *other = other_format(bytes, size);
    if (other)
        return l4_fail(error, LLAMA4_ERR_UNSUPPORTED, "%s is %s; pictures may be PNG or JPEG", name, other);
    return l4_fail(error, LLAMA4_ERR_FORMAT, "%s is neither PNG nor JPEG", name);
}

/* x * alpha + 255 * (255 - alpha), divided by 255 and rounded. */
static inline uint8_t over(unsigned x, unsigned alpha)
{
    unsigned sum = x * alpha + 255 * (255 - alpha) + 128;
    return (uint8_t)((sum + (sum >> 8)) >> 8);
}

void l4_over_white(const uint8_t *rgba, size_t n, uint8_t *out)
{
    for (size_t i = 0; i < n; i++, rgba += 4, out += 3) {
        unsigned alpha = rgba[3];
        uint8_t r = over(rgba[0], alpha), g = over(rgba[1], alpha), b = over(rgba[2], alpha);
        out[0] = r;
        out[1] = g;
        out[2] = b;
    }
}

llama4_status l4_picture_copy(const l4_allocator *a, const uint8_t *pixels, uint32_t width, uint32_t height, size_t stride, uint32_t channels,
                              l4_picture *out, llama4_error *error)
{
    uint8_t *rgb;
    llama4_status status = l4_alloc(a, (size_t)width * height, 3, "a picture", &rgb, error);
    if (status)
        return status;
    for (uint32_t y = 0; y < height; y++) {
        const uint8_t *row = pixels + y * stride;
        uint8_t *to = rgb + (size_t)y * width * 3;
        if (channels == 3)
            memcpy(to, row, (size_t)width * 3);
        else if (channels == 4)
            l4_over_white(row, width, to);
        else
            for (uint32_t x = 0; x < width; x++)
                to[3 * x] = to[3 * x + 1] = to[3 * x + 2] = row[x];
    }
    *out = (l4_picture){width, height, rgb};
    return LLAMA4_OK;
}

/* ---- Orientation ---- */

static void swap_pixels(uint8_t *a, uint8_t *b)
{
    for (int c = 0; c < 3; c++) {
        uint8_t t = a[c];
        a[c] = b[c];
        b[c] = t;
    }
}

static void mirror_rows(const l4_picture *p)
{
    for (uint32_t y = 0; y < p->height; y++) {
        uint8_t *row = p->rgb + (size_t)y * p->width * 3;
        for (uint32_t x = 0; x < p->width / 2; x++)
            swap_pixels(row + 3 * (size_t)x, row + 3 * (size_t)(p->width - 1 - x));
    }
}

static void mirror_columns(const l4_picture *p)
{
    for (uint32_t y = 0; y < p->height / 2; y++) {
        uint8_t *top = p->rgb + (size_t)y * p->width * 3, *bottom = p->rgb + (size_t)(p->height - 1 - y) * p->width * 3;
        for (size_t i = 0; i < (size_t)p->width * 3; i += 3)
            swap_pixels(top + i, bottom + i);
    }
}

/* Rows become columns, in blocks that fit into the cache. */
static llama4_status transpose(const l4_allocator *a, l4_picture *p, llama4_error *error)
{
    enum { BLOCK = 32 };
    const size_t w = p->width, h = p->height;
    uint8_t *rgb;
    llama4_status status = l4_alloc(a, w * h, 3, "a picture", &rgb, error);
    if (status)
        return status;
    for (size_t y0 = 0; y0 < h; y0 += BLOCK)
        for (size_t x0 = 0; x0 < w; x0 += BLOCK)
            for (size_t y = y0; y < h && y < y0 + BLOCK; y++)
                for (size_t x = x0; x < w && x < x0 + BLOCK; x++)
                    memcpy(rgb + (x * h + y) * 3, p->rgb + (y * w + x) * 3, 3);
    l4_free(a, p->rgb);
    *p = (l4_picture){(uint32_t)h, (uint32_t)w, rgb};
    return LLAMA4_OK;
}

llama4_status l4_picture_orient(const l4_allocator *a, l4_picture *p, unsigned orientation, llama4_error *error)
{
    llama4_status status = LLAMA4_OK;
    if (orientation >= 5 && orientation <= 8)
        status = transpose(a, p, error);
    if (status)
        return status;
    if (orientation == 2 || orientation == 3 || orientation == 6 || orientation == 7)
        mirror_rows(p);
    if (orientation == 3 || orientation == 4 || orientation == 7 || orientation == 8)
        mirror_columns(p);
    return LLAMA4_OK;
}
