/* Reading safetensors: one file, several with an index, and broken in every way. Hostile files are copies of exactly their size on
 * the heap, so that AddressSanitizer sees every byte read too far. */
#include <stdlib.h>
#include <unistd.h>

#include "check.h"
#include "support.h"

#include "format/safetensors.h"

static const l4_allocator *const sys = &l4_system_allocator;

typedef struct bytes {
    uint8_t *data;
    size_t size;
} bytes;

static char folder[64];

static const char *in_folder(const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void make_folder(void)
{
    strcpy(folder, "/tmp/l4-safetensors-XXXXXX");
    CHECK(mkdtemp(folder) != NULL);
}

static void write_file(const char *name, const void *data, size_t size)
{
    CHECK_EQ(save_file(in_folder(name), data, size), 0);
}

static void remove_folder(const char *const *names)
{
    for (; *names; names++)
        unlink(in_folder(*names));
    CHECK_EQ(rmdir(folder), 0); /* which also shows that nothing was left behind */
}

/* A file with this header and `data` bytes 1, 2, 3 ... behind it. */
static bytes safetensors(const char *header, size_t data)
{
    size_t n = strlen(header);
    bytes b = {malloc(8 + n + data), 8 + n + data};
    for (int i = 0; i < 8; i++)
        b.data[i] = (uint8_t)((uint64_t)n >> 8 * i);
    memcpy(b.data + 8, header, n);
    for (size_t i = 0; i < data; i++)
        b.data[8 + n + i] = (uint8_t)(i + 1);
    return b;
}

static llama4_status read_tensors(const void *data, size_t size, size_t *n, llama4_error *error)
{
    l4_archive a = {.allocator = sys};
    uint8_t *copy = malloc(size + !size);
    l4_mapping m = {.data = size ? copy : NULL, .size = size};
    memcpy(copy, data, size);
    CHECK_EQ(l4_archive_add_file(&a, &m, NULL), LLAMA4_OK);
    llama4_status status = l4_safetensors_read(&a, 0, "x.safetensors", error);
    if (status == LLAMA4_OK)
        status = l4_archive_seal(&a, "x.safetensors", error);
    uint64_t sum = 0;
    for (size_t i = 0; status == LLAMA4_OK && i < a.n_tensors; i++)
        for (uint64_t k = 0; k < a.tensors[i].size; k++)
            sum += a.tensors[i].data[k];
    *n = status ? 0 : a.n_tensors + (sum == UINT64_MAX);
    l4_archive_clear(&a);
    free(copy);
    return status;
}

#define HEADER                                                                                                                          \
    "{\"__metadata__\":{\"format\":\"pt\"},\"a.w\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]},\"none\":{\"dtype\":\"F16\",\"shape\":[0,4]," \
    "\"data_offsets\":[24,24]},\"one\":{\"shape\":[],\"data_offsets\":[24,26],\"dtype\":\"BF16\"}} "

TEST(safetensors_every_prefix_and_byte)
{
    bytes b = safetensors(HEADER, 26);
    size_t n, header = b.size - 26;
    CHECK_EQ(read_tensors(b.data, b.size, &n, NULL), LLAMA4_OK);
    CHECK_EQ(n, 2);
    for (size_t i = 0; i < b.size; i++)
        CHECK_EQ(read_tensors(b.data, i, &n, NULL), LLAMA4_ERR_FORMAT);
    static const uint8_t masks[] = {0xff, 0x01, 0x80, 0x10};
    for (size_t i = 0; i < header; i++)
        for (int m = 0; m < 4; m++) {
            b.data[i] ^= masks[m];
            read_tensors(b.data, b.size, &n, NULL);
            b.data[i] ^= masks[m];
        }
    free(b.data);
}

TEST(safetensors_broken_fields)
{
    static const struct {
        const char *header;
        llama4_status wanted;
    } cases[] = {
        {"{}", LLAMA4_OK}, {"[]", LLAMA4_ERR_FORMAT}, {"", LLAMA4_ERR_FORMAT}, {"{} x", LLAMA4_ERR_FORMAT},
        {"{\"t\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", LLAMA4_OK},
        {"{\"t\":{\"dtype\":\"F8_E4M3\",\"shape\":[8],\"data_offsets\":[8,16]}}", LLAMA4_OK},
        {"{\"t\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}", LLAMA4_ERR_FORMAT},
        {"{\"t\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[9,17]}}", LLAMA4_ERR_FORMAT},
        {"{\"t\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,9]}}", LLAMA4_ERR_FORMAT},
        {"{\"t\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0]}}", LLAMA4_ERR_FORMAT},
        {"{\"t\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8,9]}}", LLAMA4_ERR_UNSUPPORTED},
        {"{\"t\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[-8,0]}}", LLAMA4_ERR_FORMAT},
        {"{\"t\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}}", LLAMA4_ERR_FORMAT},
        {"{\"t\":{\"dtype\":\"F32\",\"shape\":[2.5],\"data_offsets\":[0,10]}}", LLAMA4_ERR_FORMAT},
        {"{\"t\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296,2],\"data_offsets\":[0,0]}}", LLAMA4_ERR_FORMAT},
        {"{\"t\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904],\"data_offsets\":[0,0]}}", LLAMA4_ERR_FORMAT},
        {"{\"t\":{\"dtype\":\"F32\",\"shape\":[4611686018427387906],\"data_offsets\":[0,8]}}", LLAMA4_ERR_FORMAT},
        {"{\"t\":{\"dtype\":\"F32\",\"shape\":[0,9223372036854775807,3],\"data_offsets\":[0,0]}}", LLAMA4_OK},
        {"{\"t\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,2],\"data_offsets\":[0,8]}}", LLAMA4_ERR_UNSUPPORTED},
        {"{\"t\":{\"dtype\":\"Q8_0\",\"shape\":[32],\"data_offsets\":[0,16]}}", LLAMA4_ERR_UNSUPPORTED},
        {"{\"t\":{\"dtype\":\"F33\",\"shape\":[2],\"data_offsets\":[0,8]}}", LLAMA4_ERR_UNSUPPORTED},
        {"{\"t\":{\"shape\":[2],\"data_offsets\":[0,8]}}", LLAMA4_ERR_FORMAT}, {"{\"t\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", LLAMA4_ERR_FORMAT},
        {"{\"t\":{\"dtype\":\"F32\",\"shape\":[2]}}", LLAMA4_ERR_FORMAT}, {"{\"t\":7}", LLAMA4_ERR_FORMAT},
        {"{\"\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", LLAMA4_ERR_FORMAT},
        {"{\"a\\u0000\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", LLAMA4_ERR_FORMAT},
        {"{\"t\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},\"t\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", LLAMA4_ERR_FORMAT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bytes b = safetensors(cases[i].header, 16);
        llama4_error e = LLAMA4_ERROR_INIT;
        size_t n;
        if (!CHECK_STATUS(read_tensors(b.data, b.size, &n, &e), cases[i].wanted, e))
            printf("  header: %s\n", cases[i].header);
        free(b.data);
    }
    uint8_t huge[16] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, '{', '}'};
    size_t n;
    CHECK_EQ(read_tensors(huge, sizeof huge, &n, NULL), LLAMA4_ERR_FORMAT);
}

static llama4_status open_folder(size_t *n, llama4_error *error)
{
    l4_archive a;
    llama4_status status = l4_safetensors_open(sys, folder, &a, error);
    *n = 0;
    if (status == LLAMA4_OK) {
        const l4_tensor *t = l4_archive_find(&a, "a.w");
        CHECK(t && t->dims[0] == 3 && t->dims[1] == 2 && t->n_dims == 2 && t->data[0] == 1);
        t = l4_archive_find(&a, "one");
        CHECK(t && t->dims[0] == 1 && t->n_dims == 1 && t->size == 2);
        *n = a.n_tensors;
        l4_archive_clear(&a);
    }
    return status;
}

static llama4_status with_index(const char *index, size_t *n, llama4_error *error)
{
    write_file("model.safetensors.index.json", index, strlen(index));
    return open_folder(n, error);
}

TEST(safetensors_folder)
{
    static const char *const names[] = {"model.safetensors", "one.safetensors", "two.safetensors", "model.safetensors.index.json", NULL};
    llama4_error e = LLAMA4_ERROR_INIT;
    size_t n;
    make_folder();
    CHECK_EQ(open_folder(&n, &e), LLAMA4_ERR_IO);
    CHECK(strstr(e.message, "model.safetensors nor model.safetensors.index.json"));
    bytes b = safetensors(HEADER, 26);
    write_file(names[0], b.data, b.size);
    CHECK_STATUS(open_folder(&n, &e), LLAMA4_OK, e);
    CHECK_EQ(n, 2);
    unlink(in_folder(names[0]));
    write_file(names[1], b.data, b.size);
    free(b.data);
    b = safetensors("{\"b.w\":{\"dtype\":\"I8\",\"shape\":[4],\"data_offsets\":[0,4]}}", 4);
    write_file(names[2], b.data, b.size);
    free(b.data);
#define MAP(more) "{\"metadata\":{\"total_size\":30},\"weight_map\":{\"a.w\":\"one.safetensors\",\"b.w\":\"two.safetensors\"," more "}}"
    CHECK_STATUS(with_index(MAP("\"one\":\"one.safetensors\",\"none\":\"one.safetensors\""), &n, &e), LLAMA4_OK, e);
    CHECK_EQ(n, 3);
    CHECK_EQ(with_index(MAP("\"one\":\"two.safetensors\""), &n, &e), LLAMA4_ERR_FORMAT);
    CHECK(strstr(e.message, "tensor one is in one.safetensors, not in two.safetensors"));
    CHECK_EQ(with_index(MAP("\"x\":\"one.safetensors\",\"y\":\"one.safetensors\""), &n, &e), LLAMA4_ERR_FORMAT);
    CHECK(strstr(e.message, "tensor y is not in"));
    CHECK_EQ(with_index(MAP("\"x\":\"three.safetensors\""), &n, &e), LLAMA4_ERR_IO);
    CHECK(strstr(e.message, "three.safetensors"));
    static const char *const bad[] = {MAP("\"x\":\"../one.safetensors\""), MAP("\"x\":\"/one\""), MAP("\"x\":\"a\\\\b\""), MAP("\"x\":\"..\""),
                                      MAP("\"x\":\"\""), MAP("\"x\":\"a\\u0000\""), MAP("\"x\":1"), "{}", "{\"weight_map\":{}}", "{\"weight_map\":[]}",
                                      "", "{\"weight_map\":{}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK_EQ(with_index(bad[i], &n, NULL), LLAMA4_ERR_FORMAT);
    remove_folder(names);
}

TEST(safetensors_every_allocation_fails)
{
    static const char *const names[] = {"one.safetensors", "model.safetensors.index.json", NULL};
    static const char index[] = "{\"weight_map\":{\"a.w\":\"one.safetensors\"}}";
    llama4_status status = LLAMA4_ERR_MEMORY;
    size_t n = 1;
    make_folder();
    bytes b = safetensors(HEADER, 26);
    write_file(names[0], b.data, b.size);
    write_file(names[1], index, sizeof index - 1);
    free(b.data);
    for (; status && n < 1000; n++) {
        counting c = {.fail_at = n, .fail_count = SIZE_MAX};
        l4_allocator a = {counting_allocate, counting_release, &c};
        l4_archive archive = {.allocator = &a};
        status = l4_safetensors_open(&a, folder, &archive, NULL);
        CHECK(status == LLAMA4_OK || (status == LLAMA4_ERR_MEMORY && c.live == 0));
        l4_archive_clear(&archive);
        CHECK(c.live == 0 && c.damaged == 0);
    }
    CHECK(status == LLAMA4_OK && n > 8);
    remove_folder(names);
}

TEST_MAIN(T(safetensors_every_prefix_and_byte), T(safetensors_broken_fields), T(safetensors_folder),
          T(safetensors_every_allocation_fails))
