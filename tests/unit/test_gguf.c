/* Reading and writing GGUF: whole, split, and broken in every way. Hostile files are copies of exactly their size on the heap, so
 * that AddressSanitizer sees every byte read too far. */
#include <stdlib.h>
#include <unistd.h>

#include "check.h"
#include "support.h"

#include "format/gguf.h"
#include "format/gguf_write.h"
#include "format/types.h"

static const l4_allocator *const sys = &l4_system_allocator;

/* ---- Bytes and files ---- */

typedef struct bytes {
    uint8_t *data;
    size_t size;
} bytes;

static void add(bytes *b, const void *data, size_t n)
{
    b->data = realloc(b->data, b->size + n + 1);
    memcpy(b->data + b->size, data, n);
    b->size += n;
}

static void add_u32(bytes *b, uint32_t v)
{
    add(b, &v, 4); /* the tests run on little-endian machines, as the library does */
}

static void add_u64(bytes *b, uint64_t v)
{
    add(b, &v, 8);
}

static void add_text(bytes *b, const char *s)
{
    add_u64(b, strlen(s));
    add(b, s, strlen(s));
}

static char folder[64];

static const char *in_folder(const char *name)
{
    static char paths[4][128];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static void make_folder(void)
{
    strcpy(folder, "/tmp/l4-gguf-XXXXXX");
    CHECK(mkdtemp(folder) != NULL);
}

static bytes read_file(const char *name)
{
    bytes b = {0};
    l4_mapping m;
    if (CHECK_EQ(l4_map_path(in_folder(name), &m, NULL), LLAMA4_OK)) {
        add(&b, m.data, m.size);
        l4_unmap(&m);
    }
    return b;
}

static void remove_folder(const char *const *names)
{
    for (; *names; names++)
        unlink(in_folder(*names));
    CHECK_EQ(rmdir(folder), 0); /* which also shows that nothing was left behind */
}

/* ---- GGUF: reading back ---- */

/* Touches everything that a reader hands out. */
static uint64_t touch(const l4_gguf *g)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < l4_gguf_n_keys(g); i++) {
        const l4_gguf_key *k = l4_gguf_key_at(g, i);
        for (size_t n = 0; n < k->name_length; n++)
            sum += (uint8_t)k->name[n];
        for (size_t n = 0; n < k->size; n++)
            sum += k->data[n];
        if (k->type == L4_GGUF_ARRAY && k->element_type == L4_GGUF_STRING) {
            l4_reader r = l4_gguf_strings(k);
            for (uint64_t n = 0; n < k->count; n++) {
                size_t length;
                const char *s = l4_gguf_next_string(&r, &length);
                CHECK(s != NULL);
                sum += length ? (uint8_t)s[length - 1] : 0;
            }
            CHECK_EQ(r.position, r.size);
        } else if (k->type == L4_GGUF_ARRAY)
            for (uint64_t n = 0; n < k->count; n++)
                sum += (uint64_t)l4_gguf_array_i64(k, n);
    }
    const l4_archive *a = l4_gguf_archive(g);
    for (size_t i = 0; i < a->n_tensors; i++) {
        CHECK(l4_archive_find(a, a->tensors[i].name) == &a->tensors[i]);
        for (uint64_t n = 0; n < a->tensors[i].size; n++)
            sum += a->tensors[i].data[n];
    }
    return sum;
}

/* Reads a copy of exactly its size and touches everything. */
static llama4_status read_copy(const void *data, size_t size, llama4_error *error)
{
    uint8_t *copy = malloc(size + !size);
    l4_mapping m = {.data = size ? copy : NULL, .size = size};
    l4_gguf *g = NULL;
    memcpy(copy, data, size);
    llama4_status status = l4_gguf_open_mapping(sys, &m, "some/folder/test.gguf", &g, error);
    if (status == LLAMA4_OK)
        touch(g);
    l4_gguf_close(g);
    free(copy);
    return status;
}

static void build(const char *name, uint32_t part, uint32_t parts, uint32_t total)
{
    l4_gguf_builder b;
    l4_writer w;
    llama4_error e = LLAMA4_ERROR_INIT;
    uint8_t data[64];
    char tensor[32];
    l4_gguf_builder_init(&b, sys);
    CHECK_STATUS(l4_gguf_put_string(&b, "general.architecture", "llama4", 6, &e), LLAMA4_OK, e);
    CHECK_STATUS(l4_gguf_put_u32(&b, "a.u32", 4000000000u, &e), LLAMA4_OK, e);
    CHECK_STATUS(l4_gguf_put_f32(&b, "a.f32", 0.5f, &e), LLAMA4_OK, e);
    CHECK_STATUS(l4_gguf_put_bool(&b, "a.bool", 7, &e), LLAMA4_OK, e);
    CHECK_STATUS(l4_gguf_put_array(&b, "a.strings", L4_GGUF_STRING, 3, &e), LLAMA4_OK, e);
    CHECK_STATUS(l4_gguf_append_string(&b, "one", 3, &e), LLAMA4_OK, e);
    CHECK_STATUS(l4_gguf_append_string(&b, "", 0, &e), LLAMA4_OK, e);
    CHECK_STATUS(l4_gguf_append_string(&b, "three\0x", 7, &e), LLAMA4_OK, e);
    CHECK_STATUS(l4_gguf_put_array(&b, "a.ints", L4_GGUF_I32, 2, &e), LLAMA4_OK, e);
    CHECK_STATUS(l4_gguf_append_i32(&b, -5, &e), LLAMA4_OK, e);
    CHECK_STATUS(l4_gguf_append_i32(&b, 6, &e), LLAMA4_OK, e);
    CHECK_STATUS(l4_gguf_put_array(&b, "a.bools", L4_GGUF_BOOL, 2, &e), LLAMA4_OK, e);
    CHECK_STATUS(l4_gguf_append_u8(&b, 0, &e), LLAMA4_OK, e);
    CHECK_STATUS(l4_gguf_append_u8(&b, 1, &e), LLAMA4_OK, e);
    if (parts) {
        CHECK_STATUS(l4_gguf_put_u32(&b, "split.no", part, &e), LLAMA4_OK, e);
        CHECK_STATUS(l4_gguf_put_u32(&b, "split.count", parts, &e), LLAMA4_OK, e);
        CHECK_STATUS(l4_gguf_put_u32(&b, "split.tensors.count", total, &e), LLAMA4_OK, e);
    }
    snprintf(tensor, sizeof tensor, "part%u.first", (unsigned)part);
    CHECK_STATUS(l4_gguf_put_tensor(&b, tensor, LLAMA4_TYPE_F32, 2, (uint64_t[]){3, 2}, &e), LLAMA4_OK, e);
    snprintf(tensor, sizeof tensor, "part%u.second", (unsigned)part);
    CHECK_STATUS(l4_gguf_put_tensor(&b, tensor, LLAMA4_TYPE_Q8_0, 1, (uint64_t[]){32}, &e), LLAMA4_OK, e);
    CHECK_EQ(l4_gguf_put_tensor(&b, "bad", LLAMA4_TYPE_Q8_0, 1, (uint64_t[]){31}, NULL), LLAMA4_ERR_UNSUPPORTED);
    CHECK_EQ(l4_gguf_put_tensor(&b, "bad", 1000, 1, (uint64_t[]){32}, NULL), LLAMA4_ERR_UNSUPPORTED);
    CHECK_STATUS(l4_writer_open(sys, in_folder(name), &w, &e), LLAMA4_OK, e);
    CHECK_STATUS(l4_gguf_write_head(&b, &w, &e), LLAMA4_OK, e);
    for (int i = 0; i < 64; i++)
        data[i] = (uint8_t)(i + 1 + 100 * (int)part);
    CHECK_STATUS(l4_writer_write(&w, data, 24, &e), LLAMA4_OK, e);
    CHECK_STATUS(l4_gguf_pad(&w, &e), LLAMA4_OK, e);
    CHECK_STATUS(l4_writer_write(&w, data + 24, 34, &e), LLAMA4_OK, e);
    CHECK_STATUS(l4_gguf_pad(&w, &e), LLAMA4_OK, e);
    CHECK_STATUS(l4_writer_commit(&w, &e), LLAMA4_OK, e);
    l4_gguf_builder_clear(&b);
}

TEST(gguf_round_trip)
{
    llama4_error e = LLAMA4_ERROR_INIT;
    l4_gguf *g = NULL;
    make_folder();
    build("a.gguf", 0, 0, 0);
    REQUIRE_STATUS(l4_gguf_open(sys, in_folder("a.gguf"), &g, &e), LLAMA4_OK, e);
    CHECK_EQ(l4_gguf_version(g), 3);
    CHECK_EQ(l4_gguf_n_keys(g), 7);
    int64_t i = -1;
    float f = 0;
    int b = 0;
    const char *s = NULL;
    size_t n = 0;
    CHECK(l4_gguf_get_i64(g, "a.u32", 1, 0, INT64_MAX, &i, &e) == LLAMA4_OK && i == 4000000000);
    CHECK(l4_gguf_get_f32(g, "a.f32", 1, &f, &e) == LLAMA4_OK && f == 0.5f);
    CHECK(l4_gguf_get_f32(g, "a.u32", 1, &f, &e) == LLAMA4_OK && f == 4e9f);
    CHECK(l4_gguf_get_bool(g, "a.bool", &b, &e) == LLAMA4_OK && b == 1);
    CHECK(l4_gguf_get_string(g, "general.architecture", 1, &s, &n, &e) == LLAMA4_OK && n == 6 && memcmp(s, "llama4", 6) == 0);
    i = 3, f = 3, b = 1;
    CHECK(l4_gguf_get_i64(g, "absent", 0, 0, 9, &i, &e) == LLAMA4_OK && i == 3);
    CHECK(l4_gguf_get_bool(g, "absent", &b, &e) == LLAMA4_OK && b == 1);
    CHECK_EQ(l4_gguf_get_i64(g, "absent", 1, 0, 9, &i, &e), LLAMA4_ERR_FORMAT);
    CHECK(strstr(e.message, "absent") && strstr(e.message, "a.gguf"));
    CHECK_EQ(l4_gguf_get_i64(g, "a.u32", 1, 0, 9, &i, &e), LLAMA4_ERR_FORMAT);
    CHECK(strstr(e.message, "a.u32") && strstr(e.message, "4000000000"));
    CHECK_EQ(l4_gguf_get_i64(g, "a.f32", 0, 0, 9, &i, &e), LLAMA4_ERR_FORMAT);
    CHECK_EQ(l4_gguf_get_f32(g, "a.strings", 0, &f, &e), LLAMA4_ERR_FORMAT);
    CHECK_EQ(l4_gguf_get_bool(g, "a.u32", &b, &e), LLAMA4_ERR_FORMAT);
    CHECK_EQ(l4_gguf_get_string(g, "a.bool", 0, &s, &n, &e), LLAMA4_ERR_FORMAT);
    CHECK(i == 3 && f == 3 && b == 1);
    const l4_gguf_key *k = l4_gguf_find(g, "a.strings");
    l4_reader r = l4_gguf_strings(k);
    s = l4_gguf_next_string(&r, &n);
    CHECK(n == 3 && memcmp(s, "one", 3) == 0);
    l4_gguf_next_string(&r, &n);
    CHECK_EQ(n, 0);
    s = l4_gguf_next_string(&r, &n);
    CHECK(n == 7 && memcmp(s, "three\0x", 7) == 0);
    CHECK(l4_gguf_next_string(&r, &n) == NULL && n == 0);
    CHECK_EQ(l4_gguf_array_i64(l4_gguf_find(g, "a.ints"), 0), -5);
    CHECK_EQ(l4_gguf_array_i64(l4_gguf_find(g, "a.bools"), 1), 1);
    const l4_tensor *t = l4_archive_find(l4_gguf_archive(g), "part0.second");
    REQUIRE(t != NULL);
    CHECK(t->type == LLAMA4_TYPE_Q8_0 && t->n_dims == 1 && t->dims[0] == 32 && t->dims[1] == 1 && t->size == 34 && t->data[0] == 25);
    CHECK_EQ(t->offset % 32, 0);
    t = l4_archive_find(l4_gguf_archive(g), "part0.first");
    CHECK(t && t->dims[0] == 3 && t->dims[1] == 2 && t->size == 24 && t->data[23] == 24);
    CHECK(!l4_archive_find(l4_gguf_archive(g), "part0.third"));
    l4_gguf_close(g);
    CHECK_EQ(l4_gguf_open(sys, in_folder("no.gguf"), &g, &e), LLAMA4_ERR_IO);
    CHECK(strstr(e.message, "no.gguf"));
    remove_folder((const char *const[]){"a.gguf", NULL});
}

/* ---- GGUF: broken ---- */

TEST(gguf_every_prefix_and_byte)
{
    make_folder();
    build("a.gguf", 0, 0, 0);
    bytes b = read_file("a.gguf");
    size_t data = b.size - 96; /* two tensors, padded */
    for (size_t n = 0; n < data + 32 + 34; n++)
        CHECK(read_copy(b.data, n, NULL) != LLAMA4_OK);
    CHECK_EQ(read_copy(b.data, b.size, NULL), LLAMA4_OK);
    static const uint8_t masks[] = {0xff, 0x01, 0x80, 0x10};
    int accepted = 0;
    for (size_t n = 0; n < data; n++)
        for (int m = 0; m < 4; m++) {
            b.data[n] ^= masks[m];
            accepted += read_copy(b.data, b.size, NULL) == LLAMA4_OK; /* names and values may change unnoticed */
            b.data[n] ^= masks[m];
        }
    CHECK(accepted > 0 && accepted < (int)data * 3);
    free(b.data);
    remove_folder((const char *const[]){"a.gguf", NULL});
}

/* A file with one key and one tensor, all of whose fields can be wrong. */
typedef struct spec {
    const char *magic;
    uint32_t version;
    uint64_t n_tensors, n_keys;
    const char *key;
    uint32_t key_type;
    uint64_t key_value;
    size_t key_bytes;
    const char *name;
    uint32_t n_dims;
    uint64_t dims[5];
    uint32_t type;
    uint64_t offset;
    size_t data;
    int twice; /* key and tensor come twice */
} spec;

static const spec good = {"GGUF", 3, 1, 1, "k", L4_GGUF_U32, 1, 4, "t", 1, {8, 1, 1, 1, 1}, 0, 0, 32, 0};

static llama4_status try_spec(const spec *s, llama4_error *error)
{
    bytes b = {0};
    static const uint8_t zeros[4096];
    add(&b, s->magic, 4);
    add_u32(&b, s->version);
    add_u64(&b, s->n_tensors);
    add_u64(&b, s->n_keys);
    for (int i = 0; i <= (s->twice & 1); i++) {
        add_text(&b, s->key);
        add_u32(&b, s->key_type);
        add(&b, &s->key_value, s->key_bytes);
    }
    for (int i = 0; i <= s->twice >> 1; i++) {
        add_text(&b, s->name);
        add_u32(&b, s->n_dims);
        for (uint32_t d = 0; d < s->n_dims && d < 5; d++)
            add_u64(&b, s->dims[d]);
        add_u32(&b, s->type);
        add_u64(&b, s->offset);
    }
    add(&b, zeros, (32 - b.size % 32) % 32);
    add(&b, zeros, s->data);
    llama4_status status = read_copy(b.data, b.size, error);
    free(b.data);
    return status;
}

#define BROKEN(wanted, ...)                                                       \
    do {                                                                          \
        spec s = good;                                                            \
        llama4_error e = LLAMA4_ERROR_INIT;                                       \
        __VA_ARGS__;                                                              \
        CHECK_STATUS(try_spec(&s, &e), wanted, e);                                \
        CHECK((wanted) == LLAMA4_OK || strstr(e.message, "test.gguf"));           \
    } while (0)

TEST(gguf_broken_fields)
{
    char long_name[300];
    memset(long_name, 'x', sizeof long_name);
    long_name[256] = 0;
    BROKEN(LLAMA4_OK, (void)s);
    BROKEN(LLAMA4_OK, s.version = 2);
    BROKEN(LLAMA4_ERR_FORMAT, s.magic = "GGUX");
    BROKEN(LLAMA4_ERR_UNSUPPORTED, s.version = 1);
    BROKEN(LLAMA4_ERR_UNSUPPORTED, s.version = 4);
    BROKEN(LLAMA4_ERR_UNSUPPORTED, s.version = 0);
    BROKEN(LLAMA4_ERR_UNSUPPORTED, s.version = 0x03000000; CHECK(try_spec(&s, &e) && strstr(e.message, "big-endian")));
    BROKEN(LLAMA4_ERR_FORMAT, s.n_keys = UINT64_MAX);
    BROKEN(LLAMA4_ERR_FORMAT, s.n_keys = 5);
    BROKEN(LLAMA4_ERR_FORMAT, s.n_tensors = UINT64_MAX);
    BROKEN(LLAMA4_ERR_FORMAT, s.n_tensors = 2);
    BROKEN(LLAMA4_ERR_FORMAT, s.key = "");
    BROKEN(LLAMA4_ERR_FORMAT, s.key_type = 13);
    BROKEN(LLAMA4_ERR_FORMAT, s.key_type = UINT32_MAX);
    BROKEN(LLAMA4_ERR_FORMAT, s.key_type = L4_GGUF_STRING; s.key_value = UINT64_MAX; s.key_bytes = 8);
    BROKEN(LLAMA4_ERR_FORMAT, s.twice = 1; s.n_keys = 2);
    BROKEN(LLAMA4_ERR_FORMAT, s.twice = 2; s.n_tensors = 2; CHECK(try_spec(&s, &e) && strstr(e.message, "tensor t comes twice")));
    BROKEN(LLAMA4_ERR_FORMAT, s.name = "");
    BROKEN(LLAMA4_ERR_FORMAT, s.name = long_name);
    BROKEN(LLAMA4_OK, s.name = long_name + 1);
    BROKEN(LLAMA4_ERR_FORMAT, s.n_dims = 0);
    BROKEN(LLAMA4_ERR_FORMAT, s.n_dims = 5);
    BROKEN(LLAMA4_OK, s.n_dims = 4);
    BROKEN(LLAMA4_ERR_FORMAT, s.dims[0] = 0);
    BROKEN(LLAMA4_ERR_FORMAT, s.n_dims = 3; s.dims[2] = 0);
    BROKEN(LLAMA4_ERR_FORMAT, s.dims[0] = UINT64_MAX);
    BROKEN(LLAMA4_ERR_FORMAT, s.n_dims = 2; s.dims[0] = s.dims[1] = UINT64_C(1) << 32);
    BROKEN(LLAMA4_ERR_FORMAT, s.n_dims = 4; s.dims[0] = s.dims[1] = s.dims[2] = s.dims[3] = UINT64_C(1) << 16);
    BROKEN(LLAMA4_ERR_FORMAT, s.dims[0] = UINT64_C(1) << 62);
    BROKEN(LLAMA4_ERR_FORMAT, s.dims[0] = 9);
    BROKEN(LLAMA4_ERR_UNSUPPORTED, s.type = 4);
    BROKEN(LLAMA4_ERR_UNSUPPORTED, s.type = 1000);
    BROKEN(LLAMA4_ERR_FORMAT, s.type = 8);
    BROKEN(LLAMA4_OK, s.type = 8; s.dims[0] = 32; s.data = 34);
    BROKEN(LLAMA4_ERR_FORMAT, s.type = 8; s.dims[0] = 32; s.data = 33);
    BROKEN(LLAMA4_ERR_FORMAT, s.offset = 16; s.data = 64);
    BROKEN(LLAMA4_OK, s.offset = 16; s.data = 64; s.key = "general.alignment"; s.key_value = 16);
    BROKEN(LLAMA4_ERR_FORMAT, s.offset = 32);
    BROKEN(LLAMA4_OK, s.offset = 32; s.data = 64);
    BROKEN(LLAMA4_ERR_FORMAT, s.offset = UINT64_MAX - 31);
    BROKEN(LLAMA4_OK, s.key = "general.alignment"; s.key_value = 8);
    BROKEN(LLAMA4_ERR_FORMAT, s.key = "general.alignment"; s.key_value = 0);
    BROKEN(LLAMA4_ERR_FORMAT, s.key = "general.alignment"; s.key_value = 33);
    BROKEN(LLAMA4_ERR_FORMAT, s.key = "general.alignment"; s.key_value = 1 << 17);
    BROKEN(LLAMA4_ERR_FORMAT, s.key = "general.alignment"; s.key_type = L4_GGUF_F32);
    BROKEN(LLAMA4_ERR_UNSUPPORTED, s.key = "split.count"; s.key_value = 2);
    BROKEN(LLAMA4_OK, s.key = "split.count"; s.key_value = 1);
}

TEST(gguf_broken_arrays)
{
    static const struct {
        uint32_t element;
        uint64_t count;
        uint32_t bytes;
        llama4_status wanted;
    } cases[] = {
        {L4_GGUF_U8, 16, 16, LLAMA4_OK}, {L4_GGUF_U8, 0, 0, LLAMA4_OK}, {L4_GGUF_U8, 17, 16, LLAMA4_ERR_FORMAT}, {L4_GGUF_F64, 2, 16, LLAMA4_OK},
        {L4_GGUF_F64, UINT64_C(1) << 61, 16, LLAMA4_ERR_FORMAT}, {L4_GGUF_F64, UINT64_MAX, 16, LLAMA4_ERR_FORMAT},
        {L4_GGUF_STRING, 2, 16, LLAMA4_OK}, {L4_GGUF_STRING, 3, 16, LLAMA4_ERR_FORMAT}, {L4_GGUF_STRING, UINT64_MAX, 16, LLAMA4_ERR_FORMAT},
        {L4_GGUF_ARRAY, 1, 16, LLAMA4_ERR_UNSUPPORTED}, {13, 1, 16, LLAMA4_ERR_FORMAT}, {L4_GGUF_STRING, 0, 0, LLAMA4_OK},
    };
    static const uint8_t zeros[16];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bytes b = {0};
        llama4_error e = LLAMA4_ERROR_INIT;
        add(&b, "GGUF\3\0\0\0", 8);
        add_u64(&b, 0);
        add_u64(&b, 1);
        add_text(&b, "list");
        add_u32(&b, L4_GGUF_ARRAY);
        add_u32(&b, cases[i].element);
        add_u64(&b, cases[i].count);
        add(&b, zeros, cases[i].bytes);
        CHECK_STATUS(read_copy(b.data, b.size, &e), cases[i].wanted, e);
        CHECK(cases[i].wanted == LLAMA4_OK || strstr(e.message, "list"));
        free(b.data);
    }
}

/* ---- GGUF: split ---- */

TEST(gguf_split)
{
    static const char *const names[] = {"m-00001-of-00003.gguf", "m-00002-of-00003.gguf", "m-00003-of-00003.gguf", "other.gguf", NULL};
    llama4_error e = LLAMA4_ERROR_INIT;
    l4_gguf *g;
    make_folder();
    for (uint32_t i = 0; i < 3; i++)
        build(names[i], i, 3, 6);
    for (int i = 0; i < 3; i++) {
        REQUIRE_STATUS(l4_gguf_open(sys, in_folder(names[i]), &g, &e), LLAMA4_OK, e);
        const l4_archive *a = l4_gguf_archive(g);
        int64_t no = -1;
        CHECK_EQ(a->n_tensors, 6);
        CHECK_EQ(a->n_files, 3);
        CHECK(l4_gguf_get_i64(g, "split.no", 1, 0, 9, &no, NULL) == LLAMA4_OK && no == 0);
        const l4_tensor *t = l4_archive_find(a, "part2.second");
        CHECK(t && t->file == 2 && t->data[0] == 225 && t->data == a->files[2].data + t->offset);
        touch(g);
        l4_gguf_close(g);
    }
    build(names[3], 1, 3, 6); /* a part under a foreign name */
    CHECK_EQ(l4_gguf_open(sys, in_folder(names[3]), &g, &e), LLAMA4_ERR_FORMAT);
    CHECK(strstr(e.message, "-00002-of-00003.gguf"));
    build(names[2], 2, 3, 7);
    CHECK_EQ(l4_gguf_open(sys, in_folder(names[0]), &g, &e), LLAMA4_OK); /* the first part counts */
    l4_gguf_close(g);
    build(names[0], 0, 3, 7);
    CHECK_EQ(l4_gguf_open(sys, in_folder(names[2]), &g, &e), LLAMA4_ERR_FORMAT);
    CHECK(strstr(e.message, "7 tensors") && strstr(e.message, "hold 6"));
    build(names[0], 0, 3, 6);
    build(names[1], 2, 3, 6); /* in another's place */
    CHECK_EQ(l4_gguf_open(sys, in_folder(names[0]), &g, &e), LLAMA4_ERR_FORMAT);
    CHECK(strstr(e.message, names[1]));
    unlink(in_folder(names[1]));
    CHECK_EQ(l4_gguf_open(sys, in_folder(names[0]), &g, &e), LLAMA4_ERR_IO);
    CHECK(strstr(e.message, names[1]));
    remove_folder(names);
}

/* ---- Failing allocations ---- */

TEST(gguf_every_allocation_fails)
{
    static const char *const names[] = {"m-00001-of-00002.gguf", "m-00002-of-00002.gguf", NULL};
    llama4_status status = LLAMA4_ERR_MEMORY;
    size_t n = 1;
    make_folder();
    build(names[0], 0, 2, 4);
    build(names[1], 1, 2, 4);
    for (; status && n < 1000; n++) {
        counting c = {.fail_at = n, .fail_count = SIZE_MAX};
        l4_allocator a = {counting_allocate, counting_release, &c};
        l4_gguf *g = NULL;
        status = l4_gguf_open(&a, in_folder(names[1]), &g, NULL);
        CHECK(status == LLAMA4_OK || (status == LLAMA4_ERR_MEMORY && !g && c.live == 0));
        l4_gguf_close(g);
        CHECK(c.live == 0 && c.damaged == 0);
    }
    CHECK(status == LLAMA4_OK && n > 10);
    remove_folder(names);
}

TEST_MAIN(T(gguf_round_trip), T(gguf_every_prefix_and_byte), T(gguf_broken_fields), T(gguf_broken_arrays), T(gguf_split),
          T(gguf_every_allocation_fails))
