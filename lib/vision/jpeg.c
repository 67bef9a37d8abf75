/* JPEG by libjpeg-turbo's TurboJPEG interface, whose errors come back as values: bytes in, RGB out. It takes its memory from the C library. */
#include "vision/picture.h"

#include <limits.h>
#include <string.h>

/* ---- Exif's orientation ---- */

static unsigned number(const uint8_t *p, int bytes, int little)
{
    unsigned value = 0;
    for (int i = 0; i < bytes; i++)
        value = value << 8 | p[little ? bytes - 1 - i : i];
    return value;
}

/* From a TIFF directory of `size` bytes. */
static unsigned tiff_orientation(const uint8_t *tiff, size_t size)
{
    if (size < 8 || (memcmp(tiff, "II*\0", 4) != 0 && memcmp(tiff, "MM\0*", 4) != 0))
        return 1;
    const int little = tiff[0] == 'I';
    size_t at = number(tiff + 4, 4, little);
    if (at > size - 2)
        return 1;
    size_t entries = number(tiff + at, 2, little);
    for (at += 2; entries && size - at >= 12; entries--, at += 12)
        if (number(tiff + at, 2, little) == 0x112) {
            unsigned type = number(tiff + at + 2, 2, little);
            unsigned value = number(tiff + at + 8, type == 4 ? 4 : 2, little);
            return (type == 3 || type == 4) && value >= 1 && value <= 8 ? value : 1;
        }
    return 1;
}

unsigned l4_jpeg_orientation(const uint8_t *data, size_t size)
{
    for (size_t at = 2; at + 4 <= size && data[at] == 0xff;) {
        unsigned marker = data[at + 1];
        if (marker == 0xff) { /* padding */
            at++;
            continue;
        }
        if (marker == 0xda || marker == 0xd9) /* the picture begins, or ends */
            return 1;
        size_t length = (size_t)data[at + 2] << 8 | data[at + 3];
        if (marker == 0x01 || (marker >= 0xd0 && marker <= 0xd7)) {
            at += 2; /* alone */
            continue;
        }
        if (length < 2 || length > size - at - 2)
            return 1;
        if (marker == 0xe1 && length >= 8 && memcmp(data + at + 4, "Exif\0\0", 6) == 0)
            return tiff_orientation(data + at + 10, length - 8);
        at += 2 + length;
    }
    return 1;
}

#if !defined(L4_HAVE_JPEG)

llama4_status l4_jpeg_decode(const l4_allocator *a, const uint8_t *data, size_t size, const l4_picture_options *options, const char *name,
                             l4_picture *out, llama4_error *error)
{
    (void)a, (void)data, (void)size, (void)options, (void)out;
    return l4_fail(error, LLAMA4_ERR_UNSUPPORTED, "%s is a JPEG file, and this library was built without libjpeg-turbo", name);
}

#else

#include <turbojpeg.h>

#define MAX_SCANS 500 /* of a progressive file: each goes over the whole picture */

typedef struct decoder {
    const l4_allocator *allocator;
    const uint8_t *data;
    size_t size;
    const char *name;
    tjhandle handle;
    int width, height, precision; /* bits */
    int cmyk;                     /* four channels */
} decoder;

/* What a reader may overlook: nothing of the picture is missing. */
static int harmless(const char *message)
{
    return strstr(message, "extraneous bytes") || strstr(message, "JFIF revision") || strstr(message, "Adobe color transform");
}

/* A TurboJPEG call's result, where < 0 is an error or a warning. */
static llama4_status check(const decoder *d, int result, llama4_error *error)
{
    if (result >= 0)
        return LLAMA4_OK;
    const char *message = tjGetErrorStr2(d->handle);
    if (tjGetErrorCode(d->handle) == TJERR_WARNING && harmless(message))
        return LLAMA4_OK;
    if (strstr(message, "Insufficient memory") || strstr(message, "emory allocation failure"))
        return l4_fail(error, LLAMA4_ERR_MEMORY, "out of memory: libjpeg-turbo, for %s", d->name);
    if (strstr(message, "Empty JPEG"))
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: a picture without pixels", d->name);
    if (strstr(message, "nsupported") || strstr(message, "not supported"))
        return l4_fail(error, LLAMA4_ERR_UNSUPPORTED, "%s: %s", d->name, message);
    return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: the JPEG file is damaged: %s", d->name, message);
}

#if defined(TJ_NUMINIT) /* libjpeg-turbo 3 */

static tjhandle create(void)
{
    tjhandle handle = tj3Init(TJINIT_DECOMPRESS);
    if (handle)
        tj3Set(handle, TJPARAM_SCANLIMIT, MAX_SCANS);
    return handle;
}

static llama4_status read_head(decoder *d, llama4_error *error)
{
    llama4_status status = check(d, tj3DecompressHeader(d->handle, d->data, d->size), error);
    d->width = tj3Get(d->handle, TJPARAM_JPEGWIDTH);
    d->height = tj3Get(d->handle, TJPARAM_JPEGHEIGHT);
    d->precision = tj3Get(d->handle, TJPARAM_PRECISION);
    int space = tj3Get(d->handle, TJPARAM_COLORSPACE);
    d->cmyk = space == TJCS_CMYK || space == TJCS_YCCK;
    return status;
}

/* Samples of more than 8 bits lose the lower ones. */
static llama4_status read_wide(const decoder *d, uint8_t *pixels, llama4_error *error)
{
    const size_t n = (size_t)d->width * (size_t)d->height * (d->cmyk ? 4 : 3);
    const int format = d->cmyk ? TJPF_CMYK : TJPF_RGB, down = d->precision - 8;
    uint16_t *wide;
    llama4_status status = l4_alloc(d->allocator, n, sizeof *wide, "a picture", &wide, error);
    if (status)
        return status;
    if (d->precision <= 12)
        status = check(d, tj3Decompress12(d->handle, d->data, d->size, (short *)wide, 0, format), error);
    else
        status = check(d, tj3Decompress16(d->handle, d->data, d->size, wide, 0, format), error);
    for (size_t i = 0; status == LLAMA4_OK && i < n; i++)
        pixels[i] = (uint8_t)(wide[i] >> down);
    l4_free(d->allocator, wide);
    return status;
}

static llama4_status read_pixels(const decoder *d, uint8_t *pixels, llama4_error *error)
{
    if (d->precision > 8)
        return read_wide(d, pixels, error);
    llama4_status status = check(d, tj3Decompress8(d->handle, d->data, d->size, pixels, 0, d->cmyk ? TJPF_CMYK : TJPF_RGB), error);
    if (status == LLAMA4_OK && d->precision < 8) { /* lossless files may have as few as two bits */
        const size_t n = (size_t)d->width * (size_t)d->height * (d->cmyk ? 4 : 3);
        const unsigned most = (1u << d->precision) - 1;
        for (size_t i = 0; i < n; i++)
            pixels[i] = (uint8_t)((pixels[i] * 255u + most / 2) / most);
    }
    return status;
}

#else

static tjhandle create(void)
{
    return tjInitDecompress();
}

static llama4_status read_head(decoder *d, llama4_error *error)
{
    int subsampling, space = -1;
    llama4_status status = LLAMA4_OK;
    if (d->size > ULONG_MAX)
        return l4_fail(error, LLAMA4_ERR_UNSUPPORTED, "%s: the JPEG file is too large", d->name);
    status = check(d, tjDecompressHeader3(d->handle, d->data, (unsigned long)d->size, &d->width, &d->height, &subsampling, &space), error);
    d->cmyk = space == TJCS_CMYK || space == TJCS_YCCK;
    d->precision = 8;
    return status;
}

static llama4_status read_pixels(const decoder *d, uint8_t *pixels, llama4_error *error)
{
    int result = tjDecompress2(d->handle, d->data, (unsigned long)d->size, pixels, d->width, 0, d->height, d->cmyk ? TJPF_CMYK : TJPF_RGB,
                               TJFLAG_ACCURATEDCT | TJFLAG_LIMITSCANS);
    return check(d, result, error);
}

#endif

/* Inks, stored inverted as Adobe's programs do, to light. In place. */
static void cmyk_to_rgb(uint8_t *pixels, size_t n)
{
    const uint8_t *in = pixels;
    for (size_t i = 0; i < n; i++, in += 4, pixels += 3) {
        unsigned white = in[3];
        for (int c = 0; c < 3; c++) { /* white - (255 - in) * white / 255, rounded */
            unsigned ink = (255u - in[c]) * white + 128;
            pixels[c] = (uint8_t)(white - ((ink + (ink >> 8)) >> 8));
        }
    }
}

static llama4_status read_jpeg(decoder *d, const l4_picture_options *options, l4_picture *p, llama4_error *error)
{
    llama4_status status = read_head(d, error);
    if (status == LLAMA4_OK)
        status = l4_picture_check((uint64_t)(d->width > 0 ? d->width : 0), (uint64_t)(d->height > 0 ? d->height : 0), options, d->name, error);
    if (status)
        return status;
    const size_t n = (size_t)d->width * (size_t)d->height;
    status = l4_alloc(d->allocator, n, d->cmyk ? 4 : 3, "a picture", &p->rgb, error);
    if (status == LLAMA4_OK)
        status = read_pixels(d, p->rgb, error);
    if (status)
        return status;
    p->width = (uint32_t)d->width;
    p->height = (uint32_t)d->height;
    if (d->cmyk)
        cmyk_to_rgb(p->rgb, n);
    return options->as_stored ? LLAMA4_OK : l4_picture_orient(d->allocator, p, l4_jpeg_orientation(d->data, d->size), error);
}

llama4_status l4_jpeg_decode(const l4_allocator *a, const uint8_t *data, size_t size, const l4_picture_options *options, const char *name,
                             l4_picture *out, llama4_error *error)
{
    decoder d = {.allocator = a, .data = data, .size = size, .name = name, .handle = create()};
    l4_picture p = {.rgb = NULL};
    if (!d.handle)
        return l4_fail(error, LLAMA4_ERR_MEMORY, "out of memory: libjpeg-turbo, for %s", name);
    llama4_status status = read_jpeg(&d, options, &p, error);
    tjDestroy(d.handle);
    if (status)
        l4_free(a, p.rgb);
    else
        *out = p;
    return status;
}

#endif
