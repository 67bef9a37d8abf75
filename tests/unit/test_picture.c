/* Pictures from bytes: every form of PNG and JPEG, and everything that is wrong with files. */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "check.h"
#include "make_png.h"
#include "support.h"
#include "vision/tiles.h"

#define PICTURES LLAMA4_TESTS "/data/pictures/"

static llama4_error error = LLAMA4_ERROR_INIT;
static const l4_picture_options usual = {1 << 24, 0};

/* 0 where the library was built without a decoder. */
static int reads(const char *name)
{
    size_t size;
    char path[512];
    snprintf(path, sizeof path, PICTURES "%s", name);
    unsigned char *data = load_file(path, &size);
    l4_picture p = {.rgb = NULL};
    int known = l4_picture_decode(&l4_system_allocator, data, size, &usual, name, &p, &error) != LLAMA4_ERR_UNSUPPORTED;
    l4_free(&l4_system_allocator, p.rgb);
    free(data);
    return known;
}

#define NEEDS(name)                                    \
    do {                                               \
        if (!reads(name))                              \
            SKIP("the library was built without it");  \
    } while (0)

/* ---- PNG ---- */

typedef struct noise {
    uint32_t below, key[4]; /* every third pixel is the key */
} noise;

static uint32_t noise_at(void *user, uint32_t x, uint32_t y, int c)
{
    const noise *n = user;
    uint64_t state = x * 7919u + y * 104729u + (uint32_t)c * 31u;
    next_random(&state);
    return (x + y) % 3 == 0 && n->key[3] ? n->key[c] : next_random(&state) % n->below;
}

static uint8_t over_white(unsigned v, unsigned alpha)
{
    return (uint8_t)((2 * (v * alpha + 255 * (255 - alpha)) + 255) / 510);
}

static unsigned to_8(uint32_t v, int depth)
{
    return depth == 16 ? v >> 8 : v * 255 / ((1u << depth) - 1);
}

/* What pixel x, y of a form must become. */
static void expected(const png_form *f, uint32_t x, uint32_t y, uint8_t out[3])
{
    uint32_t s[4] = {0};
    unsigned rgb[3], alpha = 255;
    const noise *n = f->user;
    const int channels = png_channels(f->type);
    for (int c = 0; c < channels; c++)
        s[c] = noise_at(f->user, x, y, c);
    int key = 1;
    for (int c = 0; c < (f->type == 2 ? 3 : 1); c++)
        key &= s[c] == n->key[c];
    for (int c = 0; c < 3; c++)
        rgb[c] = f->type == 3 ? f->palette[3 * s[0] + (unsigned)c] : to_8(s[f->type & 2 ? c : 0], f->depth);
    if (f->type == 3)
        alpha = f->trns && s[0] < f->trns_bytes ? f->trns[s[0]] : 255;
    else if (f->type & 4)
        alpha = to_8(s[channels - 1], f->depth);
    else if (f->trns && key)
        alpha = 0;
    for (int c = 0; c < 3; c++)
        out[c] = over_white(rgb[c], alpha);
}

static void check_png(png_form *f, const uint8_t *trns, size_t trns_bytes)
{
    static uint8_t palette[768];
    for (size_t i = 0; i < sizeof palette; i++)
        palette[i] = (uint8_t)(i * 37 + 11);
    noise n = {.below = f->depth == 16 ? 65536 : 1u << f->depth};
    f->sample = noise_at;
    f->user = &n;
    f->palette = f->type == 3 ? palette : NULL;
    f->palette_bytes = 3 * (size_t)n.below;
    f->trns = trns;
    f->trns_bytes = trns_bytes;
    n.key[3] = trns && f->type != 3;
    for (size_t c = 0; n.key[3] && c < trns_bytes / 2; c++)
        n.key[c] = (uint32_t)trns[2 * c] << 8 | trns[2 * c + 1];
    png_file file = make_png(f);
    l4_picture p = {.rgb = NULL};
    if (CHECK_STATUS(l4_picture_decode(&l4_system_allocator, file.data, file.size, &usual, "a test", &p, &error), LLAMA4_OK, error)) {
        CHECK(p.width == f->width && p.height == f->height);
        for (uint32_t y = 0; y < p.height; y++)
            for (uint32_t x = 0; x < p.width; x++) {
                uint8_t want[3], *got = p.rgb + ((size_t)y * p.width + x) * 3;
                expected(f, x, y, want);
                if (memcmp(got, want, 3) != 0) {
                    printf("type %d, %d bits%s: ", f->type, f->depth, f->interlaced ? ", interlaced" : "");
                    CHECK_MEM(got, want, 3);
                    y = p.height;
                    break;
                }
            }
        l4_free(&l4_system_allocator, p.rgb);
    }
    free(file.data);
}

TEST(png_forms)
{
    static const int forms[][2] = {{0, 1}, {0, 2}, {0, 4}, {0, 8}, {0, 16}, {2, 8}, {2, 16}, {3, 1}, {3, 2}, {3, 4}, {3, 8}, {4, 8}, {4, 16}, {6, 8}, {6, 16}};
    static const uint32_t sizes[][2] = {{1, 1}, {2, 3}, {5, 1}, {1, 9}, {33, 17}, {64, 40}};
    static const uint8_t alphas[2] = {0, 100}, low[2] = {0, 1}, rgb[6] = {0, 3, 0, 200, 0, 77}, wide[6] = {9, 3, 200, 1, 77, 5};
    NEEDS("baseline.png");
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++)
            for (int interlaced = 0; interlaced < 2; interlaced++) {
                png_form f = {.width = sizes[k][0], .height = sizes[k][1], .type = forms[i][0], .depth = forms[i][1], .interlaced = interlaced};
                check_png(&f, NULL, 0);
                if (f.type == 3)
                    check_png(&f, alphas, 2);
                else if (f.type == 0)
                    check_png(&f, f.depth == 16 ? wide : low, 2);
                else if (f.type == 2)
                    check_png(&f, f.depth == 16 ? wide : rgb, 6);
            }
}

static uint32_t grey(void *user, uint32_t x, uint32_t y, int c)
{
    (void)user, (void)c;
    return (x * 5 + y) & 255;
}

static png_file small_png(int interlaced)
{
    const png_form f = {.width = 11, .height = 7, .type = 6, .depth = 8, .interlaced = interlaced, .sample = grey};
    return make_png(&f);
}

static void fix_crc(png_file *f, size_t chunk, size_t n)
{
    png_u32(f->data + chunk + 8 + n, png_crc(f->data + chunk + 4, n + 4));
}

/* Nothing may be read past the end, whatever is claimed: the bytes are copied so that a sanitizer sees it. */
static llama4_status decode_copy(const void *data, size_t size, const l4_allocator *a)
{
    l4_picture p = {.rgb = NULL};
    unsigned char *copy = malloc(size + !size);
    memcpy(copy, data, size);
    error = (llama4_error)LLAMA4_ERROR_INIT;
    llama4_status status = l4_picture_decode(a, copy, size, &usual, "a test", &p, &error);
    if (status)
        CHECK(p.rgb == NULL && error.status == status && error.message[0]);
    else
        CHECK(p.rgb && p.width && p.height);
    l4_free(a, p.rgb);
    free(copy);
    return status;
}

TEST(png_heads)
{
    NEEDS("baseline.png");
    png_file f = small_png(0);
    static const struct {
        size_t at;
        uint32_t value;
        llama4_status want;
    } bad[] = {
        {16, 0, LLAMA4_ERR_FORMAT},          {20, 0, LLAMA4_ERR_FORMAT},          {16, 65536, LLAMA4_ERR_FORMAT},
        {16, 0x7fffffff, LLAMA4_ERR_UNSUPPORTED}, {20, 0xffffffff, LLAMA4_ERR_UNSUPPORTED}, {16, 0x80000001, LLAMA4_ERR_UNSUPPORTED},
        {24, 0x08050000, LLAMA4_ERR_FORMAT}, {24, 0x09060000, LLAMA4_ERR_FORMAT}, {24, 0x08060100, LLAMA4_ERR_FORMAT},
        {24, 0x08060001, LLAMA4_ERR_FORMAT}, {8, 0xffffffff, LLAMA4_ERR_FORMAT},  {8, 0x7ffffff0, LLAMA4_ERR_FORMAT},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        png_file g = {NULL, 0, 0};
        png_add(&g, f.data, f.size);
        png_u32(g.data + bad[i].at, bad[i].value);
        if (bad[i].at > 8)
            fix_crc(&g, 8, 13);
        llama4_status status = decode_copy(g.data, g.size, &l4_system_allocator);
        CHECK_STATUS(status, bad[i].want, error);
        free(g.data);
    }
    /* 64k x 64k: refused from the head, before memory is asked for it. */
    counting heap = {0};
    l4_allocator a = {counting_allocate, counting_release, &heap};
    png_u32(f.data + 16, 65536);
    png_u32(f.data + 20, 65536);
    fix_crc(&f, 8, 13);
    CHECK_STATUS(decode_copy(f.data, f.size, &a), LLAMA4_ERR_UNSUPPORTED, error);
    CHECK_EQ(heap.calls, 0);
    free(f.data);
}

/* Cut anywhere, and with any byte changed: an error or a picture, nothing lost, nothing said. */
static void torment(const unsigned char *data, size_t size)
{
    counting heap = {0};
    l4_allocator a = {counting_allocate, counting_release, &heap};
    unsigned char *copy = malloc(size);
    for (size_t n = 0; n < size; n++) {
        llama4_status status = decode_copy(data, n, &a);
        if (status != LLAMA4_ERR_FORMAT) {
            printf("cut to %zu bytes: ", n);
            CHECK_STATUS(status, LLAMA4_ERR_FORMAT, error);
        }
    }
    for (size_t i = 0; i < size; i++)
        for (int bit = 0; bit < 8; bit += 3) {
            memcpy(copy, data, size);
            copy[i] = (unsigned char)(copy[i] ^ 1 << bit);
            decode_copy(copy, size, &a);
        }
    CHECK(heap.live == 0 && heap.damaged == 0);
    CHECK_STATUS(decode_copy(data, size, &a), LLAMA4_OK, error);
    free(copy);
}

/* What goes to standard error meanwhile. */
static int watch_stderr(int *saved)
{
    char path[] = "/tmp/llama4-test-XXXXXX";
    int file = mkstemp(path);
    fflush(stderr);
    *saved = dup(2);
    dup2(file, 2);
    unlink(path);
    return file;
}

static long said(int file, int saved)
{
    fflush(stderr);
    long bytes = (long)lseek(file, 0, SEEK_END);
    dup2(saved, 2);
    close(saved);
    close(file);
    return bytes;
}

TEST(damaged_png)
{
    NEEDS("baseline.png");
    int saved, file = watch_stderr(&saved);
    for (int interlaced = 0; interlaced < 2; interlaced++) {
        png_file f = small_png(interlaced);
        torment(f.data, f.size);
        free(f.data);
    }
    CHECK_EQ(said(file, saved), 0);
}

TEST(png_chunks)
{
    NEEDS("baseline.png");
    png_file f = small_png(0), g = {NULL, 0, 0};
    size_t rest = 8 + 25;
    png_add(&g, f.data, rest);
    png_chunk(&g, "zzZz", "ancillary", 9); /* may be ignored */
    png_add(&g, f.data + rest, f.size - rest);
    png_add(&g, "rubbish behind the end", 22);
    CHECK_STATUS(decode_copy(g.data, g.size, &l4_system_allocator), LLAMA4_OK, error);
    g.size = rest;
    png_chunk(&g, "CgBI", "must be known", 13);
    png_add(&g, f.data + rest, f.size - rest);
    CHECK_STATUS(decode_copy(g.data, g.size, &l4_system_allocator), LLAMA4_ERR_UNSUPPORTED, error);
    g.size = rest; /* a picture of half its rows */
    png_chunk(&g, "IDAT", "\x78\x01\x01\x02\x00\xfd\xff\x00\x00", 9);
    png_chunk(&g, "IEND", "", 0);
    CHECK_STATUS(decode_copy(g.data, g.size, &l4_system_allocator), LLAMA4_ERR_FORMAT, error);
    g.size = 8; /* no head */
    png_chunk(&g, "IEND", "", 0);
    CHECK_STATUS(decode_copy(g.data, g.size, &l4_system_allocator), LLAMA4_ERR_FORMAT, error);
    free(f.data);
    free(g.data);
}

/* ---- JPEG ---- */

static int load(const char *name, const l4_picture_options *options, l4_picture *p)
{
    char path[512];
    size_t size;
    snprintf(path, sizeof path, PICTURES "%s", name);
    unsigned char *data = load_file(path, &size);
    int good = CHECK(data != NULL) && CHECK_STATUS(l4_picture_decode(&l4_system_allocator, data, size, options, name, p, &error), LLAMA4_OK, error);
    free(data);
    return good;
}

static int worst(const l4_picture *a, const l4_picture *b)
{
    int most = a->width == b->width && a->height == b->height ? 0 : 256;
    for (size_t i = 0; most < 256 && i < (size_t)a->width * a->height * 3; i++) {
        int d = abs(a->rgb[i] - b->rgb[i]);
        most = d > most ? d : most;
    }
    return most;
}

/* Against what Pillow made of the same files. */
TEST(jpeg_forms)
{
    static const char *const names[] = {"baseline", "full", "progressive", "grey", "cmyk", "ycck", "restart"};
    NEEDS("baseline.png");
    NEEDS("baseline.jpg");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char jpeg[32], png[32];
        l4_picture a = {.rgb = NULL}, b = {.rgb = NULL};
        snprintf(jpeg, sizeof jpeg, "%s.jpg", names[i]);
        snprintf(png, sizeof png, "%s.png", names[i]);
        if (load(jpeg, &usual, &a) && load(png, &usual, &b)) {
            int d = worst(&a, &b);
            if (d > 1) {
                printf("%s: ", names[i]);
                CHECK(d <= 1);
            }
        }
        l4_free(&l4_system_allocator, a.rgb);
        l4_free(&l4_system_allocator, b.rgb);
    }
}

/* A JPEG file with an Exif part behind its first marker. */
static png_file with_orientation(const char *name, unsigned value, int little, unsigned type)
{
    char path[512];
    png_file f = {NULL, 0, 0};
    size_t size;
    const uint8_t big[26] = {'M', 'M', 0, 42, 0, 0, 0, 8, 0, 1, 1, 0x12, 0, (uint8_t)type, 0, 0, 0, 1, 0, (uint8_t)value, 0, 0};
    const uint8_t small[26] = {'I', 'I', 42, 0, 8, 0, 0, 0, 1, 0, 0x12, 1, (uint8_t)type, 0, 1, 0, 0, 0, (uint8_t)value, 0, 0, 0};
    snprintf(path, sizeof path, PICTURES "%s", name);
    unsigned char *data = load_file(path, &size);
    png_add(&f, data, 2);
    png_add(&f, "\xff\xe1\x00\x22" "Exif\0\0", 10);
    png_add(&f, little ? small : big, 26);
    png_add(&f, data + 2, size - 2);
    free(data);
    return f;
}

/* Where pixel x, y of an upright picture, w x h, lies in the file, by Exif's definition of the eight values. */
static size_t stored_at(unsigned o, size_t x, size_t y, size_t w, size_t h)
{
    size_t sw = o >= 5 ? h : w, sh = o >= 5 ? w : h, sx, sy; /* of the stored picture */
    switch (o) {
    case 2: sx = sw - 1 - x, sy = y; break;
    case 3: sx = sw - 1 - x, sy = sh - 1 - y; break;
    case 4: sx = x, sy = sh - 1 - y; break;
    case 5: sx = y, sy = x; break;
    case 6: sx = y, sy = sh - 1 - x; break;
    case 7: sx = sw - 1 - y, sy = sh - 1 - x; break;
    case 8: sx = sw - 1 - y, sy = x; break;
    default: sx = x, sy = y;
    }
    return (sy * sw + sx) * 3;
}

TEST(jpeg_orientation)
{
    NEEDS("baseline.jpg");
    l4_picture plain = {.rgb = NULL};
    REQUIRE(load("baseline.jpg", &usual, &plain));
    for (unsigned o = 0; o <= 9; o++)
        for (int little = 0; little < 2; little++) {
            png_file f = with_orientation("baseline.jpg", o, little, 3);
            const l4_picture_options stored = {1 << 24, 1};
            l4_picture p = {.rgb = NULL}, q = {.rgb = NULL};
            int turned = o >= 5 && o <= 8;
            CHECK_EQ(l4_jpeg_orientation(f.data, f.size), o >= 1 && o <= 8 ? o : 1);
            if (CHECK_STATUS(l4_picture_decode(&l4_system_allocator, f.data, f.size, &usual, "a test", &p, &error), LLAMA4_OK, error) &&
                CHECK_STATUS(l4_picture_decode(&l4_system_allocator, f.data, f.size, &stored, "a test", &q, &error), LLAMA4_OK, error)) {
                CHECK(p.width == (turned ? plain.height : plain.width) && p.height == (turned ? plain.width : plain.height));
                CHECK(worst(&q, &plain) == 0);
                size_t wrong = 0;
                for (size_t y = 0; y < p.height; y++)
                    for (size_t x = 0; x < p.width; x++)
                        wrong += memcmp(p.rgb + (y * p.width + x) * 3, plain.rgb + stored_at(o <= 8 ? o : 1, x, y, p.width, p.height), 3) != 0;
                CHECK_EQ(wrong, 0);
            }
            l4_free(&l4_system_allocator, p.rgb);
            l4_free(&l4_system_allocator, q.rgb);
            for (size_t cut = 0; cut < 60; cut++) { /* reads no further than the bytes go */
                unsigned char *copy = malloc(cut + !cut);
                memcpy(copy, f.data, cut);
                CHECK(l4_jpeg_orientation(copy, cut) <= 8);
                free(copy);
            }
            free(f.data);
        }
    png_file f = with_orientation("baseline.jpg", 6, 0, 2); /* a string */
    CHECK_EQ(l4_jpeg_orientation(f.data, f.size), 1);
    free(f.data);
    l4_free(&l4_system_allocator, plain.rgb);
}

TEST(damaged_jpeg)
{
    static const char *const names[] = {"baseline.jpg", "progressive.jpg", "cmyk.jpg", "restart.jpg"};
    NEEDS("baseline.jpg");
    int saved, file = watch_stderr(&saved);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[512];
        size_t size;
        snprintf(path, sizeof path, PICTURES "%s", names[i]);
        unsigned char *data = load_file(path, &size);
        torment(data, size);
        for (size_t k = 0; k + 9 < size; k++) /* the size in the frame's head: 65500 x 65500 */
            if (data[k] == 0xff && (data[k + 1] == 0xc0 || data[k + 1] == 0xc2)) {
                counting heap = {0};
                l4_allocator a = {counting_allocate, counting_release, &heap};
                data[k + 5] = data[k + 7] = 0xff;
                data[k + 6] = data[k + 8] = 0xdc;
                CHECK_STATUS(decode_copy(data, size, &a), LLAMA4_ERR_UNSUPPORTED, error);
                CHECK_EQ(heap.calls, 0);
                data[k + 5] = data[k + 6] = 0;
                CHECK_STATUS(decode_copy(data, size, &a), LLAMA4_ERR_FORMAT, error);
                break;
            }
        free(data);
    }
    CHECK_EQ(said(file, saved), 0);
}

/* Bytes between the markers, as some cameras leave them, do no harm. */
TEST(jpeg_padding)
{
    NEEDS("baseline.jpg");
    char path[] = PICTURES "baseline.jpg";
    size_t size;
    unsigned char *data = load_file(path, &size);
    png_file f = {NULL, 0, 0};
    REQUIRE(data != NULL);
    png_add(&f, data, size - 2);
    png_add(&f, "\0\0\0\0\0", 5);
    png_add(&f, data + size - 2, 2);
    png_add(&f, "behind the end", 14);
    CHECK_STATUS(decode_copy(f.data, f.size, &l4_system_allocator), LLAMA4_OK, error);
    free(f.data);
    free(data);
}

/* ---- Both ---- */

TEST(no_pictures)
{
    static const struct {
        const char *bytes;
        size_t n;
        llama4_status want;
    } files[] = {
        {"", 0, LLAMA4_ERR_FORMAT},       {"x", 1, LLAMA4_ERR_FORMAT},  {"just a text file\n", 17, LLAMA4_ERR_FORMAT}, {"GIF89a\1\0\1\0", 10, LLAMA4_ERR_UNSUPPORTED},
        {"\x89PNG", 4, LLAMA4_ERR_FORMAT}, {"RIFF\0\0\0\0WEBPVP8 ", 16, LLAMA4_ERR_UNSUPPORTED}, {"GGUF\3\0\0\0", 8, LLAMA4_ERR_UNSUPPORTED},
        {"\xff\xd8", 2, LLAMA4_ERR_FORMAT},
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        CHECK_STATUS(decode_copy(files[i].bytes, files[i].n, &l4_system_allocator), files[i].want, error);
}

TEST(out_of_memory)
{
    static const char *const names[] = {"baseline.jpg", "cmyk.jpg", "baseline.png", "interlaced"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[512];
        size_t size, ran_out = 0;
        png_file made = {NULL, 0, 0};
        snprintf(path, sizeof path, PICTURES "%s", names[i]);
        unsigned char *data = load_file(path, &size);
        if (!data) {
            made = small_png(1);
            data = made.data;
            size = made.size;
        }
        for (size_t n = 1;; n++) {
            counting heap = {.fail_at = n, .fail_count = 1};
            l4_allocator a = {counting_allocate, counting_release, &heap};
            llama4_status status = decode_copy(data, size, &a);
            CHECK(heap.live == 0 && heap.damaged == 0);
            if (!heap.failed) {
                CHECK(status == LLAMA4_OK || status == LLAMA4_ERR_UNSUPPORTED);
                CHECK(ran_out > 0 || status == LLAMA4_ERR_UNSUPPORTED);
                break;
            }
            CHECK_STATUS(status, LLAMA4_ERR_MEMORY, error);
            ran_out++;
        }
        free(data);
    }
}

TEST_MAIN(T(png_forms), T(png_heads), T(damaged_png), T(png_chunks), T(jpeg_forms), T(jpeg_orientation), T(damaged_jpeg), T(jpeg_padding), T(no_pictures),
          T(out_of_memory))
