/* PNG by libpng: bytes in, RGB out. The chunks are walked here first, so that a file which ends early is known before libpng sees it; libpng
 * is shown those that make up the pixels, and no others. */
#include "vision/picture.h"

#include <string.h>

#if !defined(L4_HAVE_PNG)

llama4_status l4_png_decode(const l4_allocator *a, const uint8_t *data, size_t size, const l4_picture_options *options, const char *name,
                            l4_picture *out, llama4_error *error)
{
    (void)a, (void)data, (void)size, (void)options, (void)out;
    return l4_fail(error, LLAMA4_ERR_UNSUPPORTED, "%s is a PNG file, and this library was built without libpng", name);
}

#else

#include <png.h>
#include <setjmp.h>

#include "base/bytes.h"

typedef struct decoder {
    const l4_allocator *allocator;
    const uint8_t *data;
    size_t size;
    size_t chunk, position, end; /* the chunk being read, where in it, and where it ends; the signature counts as one */
    uint32_t width, height;
    int alpha, interlaced, no_memory;
    png_struct *png;
    png_info *info;
    uint8_t *pixels;   /* RGB; or RGBA while an interlaced picture with alpha is read */
    uint8_t *row;      /* RGBA, when alpha comes in without interlacing */
    uint8_t **rows;    /* of an interlaced picture */
    char message[128];
} decoder;

static uint32_t big_endian(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

#define TYPE(a, b, c, d) ((uint32_t)(a) << 24 | (uint32_t)(b) << 16 | (uint32_t)(c) << 8 | (uint32_t)(d))
#define SIGNATURE 8
#define AROUND 12 /* bytes of a chunk besides its data */

/* The pixels depend on these. */
static int is_shown(uint32_t type)
{
    return type == TYPE('I', 'H', 'D', 'R') || type == TYPE('P', 'L', 'T', 'E') || type == TYPE('t', 'R', 'N', 'S') ||
           type == TYPE('I', 'D', 'A', 'T') || type == TYPE('I', 'E', 'N', 'D');
}

/* Walks the chunks up to IEND, and reads the head. */
static llama4_status walk(decoder *d, const l4_picture_options *options, const char *name, llama4_error *error)
{
    size_t at = SIGNATURE;
    if (d->size < SIGNATURE)
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: the PNG file is truncated", name);
    for (uint32_t type = 0; type != TYPE('I', 'E', 'N', 'D');) {
        if (d->size - at < AROUND)
            return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: the PNG file is truncated", name);
        uint32_t length = big_endian(d->data + at);
        type = big_endian(d->data + at + 4);
        if (length > 0x7fffffff || length > d->size - at - AROUND)
            return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: the PNG file is truncated, or a chunk's length is wrong", name);
        if (at == SIGNATURE) {
            if (type != TYPE('I', 'H', 'D', 'R') || length != 13)
                return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: the PNG file has no head", name);
            d->width = big_endian(d->data + at + 8);
            d->height = big_endian(d->data + at + 12);
            d->alpha = d->data[at + 17] == 4 || d->data[at + 17] == 6; /* types of colour with alpha */
            d->interlaced = d->data[at + 20] != 0;
        } else if (!(type & TYPE(0x20, 0, 0, 0)) && !is_shown(type))
            return l4_fail(error, LLAMA4_ERR_UNSUPPORTED, "%s: a PNG file with chunks of a kind that is not known", name);
        d->alpha |= type == TYPE('t', 'R', 'N', 'S');
        at += AROUND + (size_t)length;
    }
    return l4_picture_check(d->width, d->height, options, name, error);
}

/* ---- What libpng calls ---- */

static void *allocate(png_struct *png, size_t size)
{
    decoder *d = png_get_mem_ptr(png);
    void *memory;
    if (l4_alloc(d->allocator, size, 1, "libpng", &memory, NULL))
        d->no_memory = 1;
    return memory;
}

static void release(png_struct *png, void *memory)
{
    const decoder *d = png_get_mem_ptr(png);
    l4_free(d->allocator, memory);
}

/* Only libpng's own functions lie between here and the setjmp. */
static void fail(png_struct *png, const char *message)
{
    decoder *d = png_get_error_ptr(png);
    size_t n = strlen(message);
    n = n < sizeof d->message - 1 ? n : sizeof d->message - 1;
    memcpy(d->message, message, n);
    d->message[n] = 0;
    png_longjmp(png, 1);
}

static void ignore(png_struct *png, const char *message)
{
    (void)png, (void)message;
}

/* Hands out the signature and the chunks that are shown. After them come zeros, which no PNG file consists of. */
static void read_bytes(png_struct *png, uint8_t *out, size_t n)
{
    decoder *d = png_get_io_ptr(png);
    while (n) {
        if (d->position == d->end && d->end < d->size && d->chunk != d->size) {
            d->chunk = d->end;
            while (!is_shown(big_endian(d->data + d->chunk + 4)))
                d->chunk += AROUND + (size_t)big_endian(d->data + d->chunk);
            d->position = d->chunk;
            d->end = d->chunk + AROUND + (size_t)big_endian(d->data + d->chunk);
            if (big_endian(d->data + d->chunk + 4) == TYPE('I', 'E', 'N', 'D'))
                d->chunk = d->size; /* the last one */
        }
        size_t here = d->end - d->position < n ? d->end - d->position : n;
        if (!here) {
            memset(out, 0, n);
            return;
        }
        memcpy(out, d->data + d->position, here);
        d->position += here;
        out += here;
        n -= here;
    }
}

/* ---- Reading ---- */

/* Every call of libpng that may fail. Everything that changes lies behind the pointer, so that a jump loses nothing. */
static int read_all(decoder *d)
{
    if (setjmp(png_jmpbuf(d->png)))
        return 0;
    png_set_read_fn(d->png, d, read_bytes);
    png_set_user_limits(d->png, L4_MAX_SIDE, L4_MAX_SIDE);
    png_read_info(d->png, d->info);
    png_set_expand(d->png); /* palettes, fewer than 8 bits, and transparent colours */
    png_set_strip_16(d->png);
    png_set_gray_to_rgb(d->png);
    if (d->alpha)
        png_set_filler(d->png, 0xff, PNG_FILLER_AFTER); /* should a tRNS chunk turn out to be void */
    int passes = png_set_interlace_handling(d->png);
    png_read_update_info(d->png, d->info);
    size_t channels = d->alpha ? 4 : 3;
    if (png_get_rowbytes(d->png, d->info) != d->width * channels || png_get_image_width(d->png, d->info) != d->width ||
        png_get_image_height(d->png, d->info) != d->height || (passes > 1) != d->interlaced)
        png_error(d->png, "the head contradicts itself");
    if (d->interlaced)
        png_read_image(d->png, d->rows);
    for (uint32_t y = 0; y < d->height && !d->interlaced; y++) {
        uint8_t *to = d->pixels + (size_t)y * d->width * 3;
        png_read_row(d->png, d->alpha ? d->row : to, NULL);
        if (d->alpha)
            l4_over_white(d->row, d->width, to);
    }
    png_read_end(d->png, NULL);
    return 1;
}

/* Memory for the pixels as libpng gives them. */
static llama4_status prepare(decoder *d, llama4_error *error)
{
    const l4_allocator *a = d->allocator;
    size_t channels = d->alpha && d->interlaced ? 4 : 3;
    llama4_status status = l4_alloc(a, (size_t)d->width * d->height, channels, "a picture", &d->pixels, error);
    if (status == LLAMA4_OK && d->alpha && !d->interlaced)
        status = l4_alloc(a, d->width, 4, "a row of a picture", &d->row, error);
    if (status == LLAMA4_OK && d->interlaced)
        status = l4_alloc(a, d->height, sizeof *d->rows, "rows of a picture", &d->rows, error);
    for (uint32_t y = 0; status == LLAMA4_OK && d->interlaced && y < d->height; y++)
        d->rows[y] = d->pixels + (size_t)y * d->width * channels;
    return status;
}

static llama4_status read_png(decoder *d, const char *name, llama4_error *error)
{
    llama4_status status = prepare(d, error);
    if (status)
        return status;
    d->png = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, d, fail, ignore, d, allocate, release);
    if (d->png)
        d->info = png_create_info_struct(d->png);
    int done = d->info && read_all(d);
    if (d->no_memory)
        status = l4_fail(error, LLAMA4_ERR_MEMORY, "out of memory: libpng, for %s", name);
    else if (!d->info)
        status = l4_fail(error, LLAMA4_ERR_SYSTEM, "libpng is of another version than %s", PNG_LIBPNG_VER_STRING);
    else if (!done)
        status = l4_fail(error, LLAMA4_ERR_FORMAT, "%s: the PNG file is damaged: %s", name, d->message);
    png_destroy_read_struct(&d->png, &d->info, NULL);
    if (status == LLAMA4_OK && d->alpha && d->interlaced)
        l4_over_white(d->pixels, (size_t)d->width * d->height, d->pixels);
    return status;
}

llama4_status l4_png_decode(const l4_allocator *a, const uint8_t *data, size_t size, const l4_picture_options *options, const char *name,
                            l4_picture *out, llama4_error *error)
{
    decoder d = {.allocator = a, .data = data, .size = size, .end = SIGNATURE};
    llama4_status status = walk(&d, options, name, error);
    if (status == LLAMA4_OK)
        status = read_png(&d, name, error);
    l4_free(a, d.row);
    l4_free(a, d.rows);
    if (status)
        l4_free(a, d.pixels);
    else
        *out = (l4_picture){d.width, d.height, d.pixels};
    return status;
}

#endif
