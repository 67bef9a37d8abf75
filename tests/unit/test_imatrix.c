/* Importance matrices in both forms: what comes out, everything that can be wrong with the bytes, and what llama4_convert does with them. */
#include <dirent.h>
#include <stdlib.h>
#include <unistd.h>

#include "check.h"
#include "support.h"

#include "flow/model.h"
#include "format/imatrix.h"

static uint8_t bytes[4096];
static size_t length;

static void put(const void *data, size_t size)
{
    memcpy(bytes + length, data, size);
    length += size;
}

static void put_u32(uint32_t v)
{
    put(&v, 4); /* the tests' machines are little-endian, as the files are */
}

static void put_u64(uint64_t v)
{
    put(&v, 8);
}

static void put_floats(const float *values, size_t n)
{
    put(values, n * sizeof *values);
}

/* ---- The older form ---- */

static void put_entry(const char *name, int32_t calls, const float *values, uint32_t n)
{
    put_u32((uint32_t)strlen(name));
    put(name, strlen(name));
    put_u32((uint32_t)calls);
    put_u32(n);
    put_floats(values, n);
}

static llama4_status open_bytes(size_t size, l4_imatrix **out, llama4_error *error)
{
    l4_mapping mapping = {.data = size ? bytes : NULL, .size = size};
    *out = NULL;
    return l4_imatrix_open_mapping(&l4_system_allocator, &mapping, "weights.dat", out, error);
}

/* Columns as they come out: status, and whether the file knew them. */
static llama4_status columns(const l4_imatrix *m, const char *name, uint32_t index, uint32_t count, uint32_t cols, float *out, int *known)
{
    llama4_error e = LLAMA4_ERROR_INIT;
    llama4_status status = l4_imatrix_columns(m, name, index, count, cols, out, known, &e);
    CHECK(status == LLAMA4_OK || strstr(e.message, name));
    return status;
}

static int about(float a, float b)
{
    return a > b * 0.9999f && a < b * 1.0001f;
}

static const float four[4] = {1, 3, 0, 4}, eight[8] = {2, 2, 2, 2, 0, 0, 0, 0}, high[4] = {3e38f, 3e38f, 3e38f, 3e38f};

TEST(older_form)
{
    llama4_error e = LLAMA4_ERROR_INIT;
    l4_imatrix *m;
    float out[4] = {-1, -1, -1, -1};
    int known;
    length = 0;
    put_u32(3);
    put_entry("blk.0.attn_q.weight", 7, four, 4);
    put_entry("blk.0.ffn_up_exps.weight", 1, eight, 8);
    put_entry("high", 1, high, 4);
    for (int trailer = 0; trailer < 2; trailer++) {
        if (trailer) { /* chunks, and the name of a text */
            put_u32(100);
            put_u32(4);
            put("text", 4);
        }
        REQUIRE_STATUS(open_bytes(length, &m, &e), LLAMA4_OK, e);
        CHECK_EQ(columns(m, "blk.0.attn_q.weight", 0, 1, 4, out, &known), LLAMA4_OK);
        CHECK(known && about(out[0], 0.5f) && about(out[1], 1.5f) && out[2] > 0 && out[2] < 1e-5f && about(out[3], 2.0f));
        CHECK_EQ(columns(m, "blk.0.ffn_up_exps.weight", 0, 2, 4, out, &known), LLAMA4_OK);
        CHECK(known && about(out[0], 1) && about(out[3], 1));
        CHECK_EQ(columns(m, "blk.0.ffn_up_exps.weight", 0, 2, 4, NULL, &known), LLAMA4_OK);
        CHECK(known);
        out[0] = -1;
        CHECK_EQ(columns(m, "blk.0.ffn_up_exps.weight", 1, 2, 4, out, &known), LLAMA4_OK); /* all zeros */
        CHECK(!known && out[0] == -1);
        CHECK_EQ(columns(m, "blk.0.attn_k.weight", 0, 1, 4, out, &known), LLAMA4_OK);
        CHECK(!known && out[0] == -1);
        CHECK_EQ(columns(m, "high", 0, 1, 4, out, &known), LLAMA4_OK);
        CHECK(known && about(out[0], 1));
        CHECK_EQ(columns(m, "blk.0.attn_q.weight", 0, 1, 8, out, &known), LLAMA4_ERR_FORMAT);
        CHECK_EQ(columns(m, "blk.0.attn_q.weight", 0, 2, 4, out, &known), LLAMA4_ERR_FORMAT);
        CHECK_EQ(l4_imatrix_archive(m)->n_files, 1);
        l4_imatrix_close(m);
    }
    l4_imatrix_close(NULL);
}

TEST(values_that_are_none)
{
    static const uint32_t bad[] = {0x7fc00000, 0x7f800000, 0xff800000, 0xbf800000}; /* NaN, the infinities, -1 */
    float values[4] = {1, 1, 1, 1}, out[4];
    l4_imatrix *m;
    int known;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        memcpy(&values[2], &bad[i], 4);
        length = 0;
        put_u32(1);
        put_entry("a", 1, values, 4);
        REQUIRE(open_bytes(length, &m, NULL) == LLAMA4_OK);
        CHECK_EQ(columns(m, "a", 0, 1, 4, out, &known), LLAMA4_ERR_FORMAT);
        CHECK_EQ(columns(m, "a", 0, 1, 4, NULL, &known), LLAMA4_ERR_FORMAT);
        CHECK_EQ(columns(m, "a", 0, 2, 2, NULL, &known), LLAMA4_OK); /* another matrix than the bad one's */
        CHECK_EQ(columns(m, "a", 1, 2, 2, NULL, &known), LLAMA4_ERR_FORMAT);
        l4_imatrix_close(m);
    }
}

static void refused(const char *what)
{
    llama4_error e = LLAMA4_ERROR_INIT;
    l4_imatrix *m;
    if (!CHECK(open_bytes(length, &m, &e) == LLAMA4_ERR_FORMAT && !m && strstr(e.message, "weights.dat")))
        printf("  %s: %s\n", what, e.message);
}

TEST(broken_files)
{
    length = 0;
    refused("empty");
    put_u32(1);
    refused("no entry");
    put_entry("a", 1, four, 4);
    size_t whole = length;
    for (length = 0; length < whole; length++)
        refused("cut short");
    const uint32_t numbers[] = {0, 2, 0x7fffffff, 0xffffffff}; /* of entries; of letters; of calls; of values */
    for (int at = 0; at < 4; at++)
        for (int i = 0; i < 4; i++) {
            const size_t places[] = {0, 4, 9, 13};
            length = 0;
            put_u32(1);
            put_entry("a", 1, four, 4);
            memcpy(bytes + places[at], &numbers[i], 4);
            if (at == 2 ? i < 3 : at == 3 && i == 1)
                continue; /* any number of calls will do, and so will fewer values with something behind them */
            refused("a wrong number");
        }
    length = 0;
    put_u32(2);
    put_entry("a", 1, four, 4);
    put_entry("a", 1, four, 4);
    refused("a name twice");
    length = 0;
    put_u32(1);
    put_entry("ab", 1, four, 4);
    bytes[9] = 0;
    refused("a zero in a name");
}

/* ---- GGUF ---- */

typedef struct part {
    const char *name;
    uint32_t type;
    uint64_t dims[2];
    const float *data;
} part;

static void put_gguf(const part *parts, size_t n)
{
    size_t at = 0;
    length = 0;
    memset(bytes, 0, sizeof bytes);
    put("GGUF", 4);
    put_u32(3);
    put_u64(n);
    put_u64(1);
    put_u64(12);
    put("general.type", 12);
    put_u32(8);
    put_u64(7);
    put("imatrix", 7);
    for (size_t i = 0; i < n; i++) {
        put_u64(strlen(parts[i].name));
        put(parts[i].name, strlen(parts[i].name));
        put_u32(2);
        put_u64(parts[i].dims[0]);
        put_u64(parts[i].dims[1]);
        put_u32(parts[i].type);
        put_u64(at);
        at += (parts[i].dims[0] * parts[i].dims[1] * 4 + 31) / 32 * 32;
    }
    length = (length + 31) / 32 * 32;
    for (size_t i = 0; i < n; i++) {
        put_floats(parts[i].data, parts[i].dims[0] * parts[i].dims[1]);
        length = (length + 31) / 32 * 32;
    }
}

TEST(gguf_form)
{
    static const float sums[8] = {0, 0, 0, 0, 1, 3, 0, 4}, counts[2] = {0, 9}, one[1] = {5}, bad[2] = {1, -1};
    llama4_error e = LLAMA4_ERROR_INIT;
    l4_imatrix *m;
    float out[4];
    int known;
    const part parts[] = {
        {"x.in_sum2", 0, {4, 2}, sums}, {"x.counts", 0, {1, 2}, counts},     {"y.in_sum2", 0, {4, 2}, sums}, {"y.counts", 0, {1, 1}, one},
        {"z.in_sum2", 0, {4, 2}, sums}, {"w.in_sum2", 26, {4, 2}, sums},     {"w.counts", 0, {1, 2}, counts}, {"v.in_sum2", 0, {4, 2}, sums},
        {"v.counts", 0, {1, 2}, bad},   {"u.counts", 0, {1, 2}, counts},
    };
    put_gguf(parts, sizeof parts / sizeof *parts);
    REQUIRE_STATUS(open_bytes(length, &m, &e), LLAMA4_OK, e);
    CHECK_EQ(columns(m, "x", 0, 2, 4, out, &known), LLAMA4_OK); /* no token used it */
    CHECK(!known);
    CHECK_EQ(columns(m, "x", 1, 2, 4, out, &known), LLAMA4_OK);
    CHECK(known && about(out[0], 0.5f) && about(out[1], 1.5f) && about(out[3], 2.0f));
    CHECK_EQ(columns(m, "y", 1, 2, 4, out, &known), LLAMA4_OK); /* one count for all */
    CHECK(known && about(out[3], 2.0f));
    CHECK_EQ(columns(m, "z", 0, 2, 4, out, &known), LLAMA4_ERR_FORMAT); /* no counts */
    CHECK_EQ(columns(m, "w", 0, 2, 4, out, &known), LLAMA4_ERR_FORMAT); /* integers */
    CHECK_EQ(columns(m, "v", 0, 2, 4, out, &known), LLAMA4_OK);
    CHECK_EQ(columns(m, "v", 1, 2, 4, out, &known), LLAMA4_ERR_FORMAT); /* a count below zero */
    CHECK_EQ(columns(m, "u", 0, 2, 4, out, &known), LLAMA4_OK); /* no sums */
    CHECK(!known);
    CHECK_EQ(columns(m, "x", 0, 4, 4, out, &known), LLAMA4_ERR_FORMAT);
    l4_imatrix_close(m);
    put_gguf(parts + 9, 1);
    refused("GGUF without sums");
}

TEST(files)
{
    llama4_error e = LLAMA4_ERROR_INIT;
    l4_imatrix *m = NULL;
    CHECK_EQ(l4_imatrix_open(&l4_system_allocator, "/no/such/file", &m, &e), LLAMA4_ERR_IO);
    CHECK_EQ(l4_imatrix_open(&l4_system_allocator, TINY, &m, &e), LLAMA4_ERR_FORMAT); /* a model */
    CHECK(!m && strstr(e.message, "not an imatrix"));
}

/* Without memory: an error, and nothing lost. */
TEST(no_memory)
{
    static const float counts[1] = {1};
    const part parts[] = {{"x.in_sum2", 0, {4, 1}, four}, {"x.counts", 0, {1, 1}, counts}};
    for (int form = 0; form < 2; form++) {
        length = 0;
        put_u32(1);
        put_entry("x", 1, four, 4);
        if (form)
            put_gguf(parts, 2);
        llama4_status status = LLAMA4_ERR_MEMORY;
        for (size_t at = 1; status == LLAMA4_ERR_MEMORY && at < 100; at++) {
            counting c = {.fail_at = at, .fail_count = 1};
            const l4_allocator a = {counting_allocate, counting_release, &c};
            l4_mapping mapping = {.data = bytes, .size = length};
            l4_imatrix *m = NULL;
            status = l4_imatrix_open_mapping(&a, &mapping, "weights", &m, NULL);
            CHECK(status == LLAMA4_OK ? c.failed == 0 : status == LLAMA4_ERR_MEMORY && !m);
            l4_imatrix_close(m);
            CHECK(c.live == 0 && c.damaged == 0);
        }
        CHECK_EQ(status, LLAMA4_OK);
    }
}

/* ---- Quantising with them ---- */

static char folder[64], path_a[128], path_b[128];

static void make_folder(void)
{
    strcpy(folder, "/tmp/l4-imatrix-XXXXXX");
    CHECK(mkdtemp(folder) != NULL);
    snprintf(path_a, sizeof path_a, "%s/a.gguf", folder);
    snprintf(path_b, sizeof path_b, "%s/b.gguf", folder);
}

/* Files in the folder; unlinks them if told to. */
static int count_files(int unlink_them)
{
    char path[400];
    int n = 0;
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d)) != NULL;)
        if (e->d_name[0] != '.') {
            snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
            n += !unlink_them || unlink(path) == 0;
        }
    if (d)
        closedir(d);
    return n;
}

static void remove_folder(void)
{
    count_files(1);
    CHECK_EQ(rmdir(folder), 0);
}

/* As it is stored: rows can be read, but nothing computed. */
static llama4_model *open_rows(const char *path)
{
    const l4_source source = {.path = path, .fd = -1, .as_stored = 1};
    const llama4_model_params params = {.struct_size = sizeof params};
    llama4_model *m = NULL;
    llama4_error e = LLAMA4_ERROR_INIT;
    CHECK_STATUS(l4_model_open(&source, &params, &m, &e), LLAMA4_OK, e);
    return m;
}

/* An imatrix in which every fourth column of a layer's q, and of the second of its experts' first matrices, matters a hundred times more. */
static void write_imatrix(const char *path, const char *attention, uint32_t cols, uint32_t experts)
{
    float *values = malloc((size_t)experts * cols * sizeof *values);
    const int32_t n = 2;
    FILE *f = fopen(path, "wb");
    if (CHECK(f && values && fwrite(&n, 4, 1, f) == 1)) {
        for (uint32_t i = 0; i < experts * cols; i++)
            values[i] = i / cols == 1 ? (i % 4 ? 0.01f : 1.0f) : 0;
        CHECK(write_imatrix_entry(f, "blk.0.ffn_gate_exps.weight", values, (int32_t)(experts * cols)) == 0);
        CHECK(write_imatrix_entry(f, attention, values + cols, (int32_t)cols) == 0);
    }
    if (f)
        fclose(f);
    free(values);
}

/* Squares of the errors that two encodings of a matrix make in every fourth column. */
static void compare_errors(const l4_matrix *source, const l4_matrix *plain, const l4_matrix *weighted, int differ)
{
    static float x[1 << 14], y[1 << 14], z[1 << 14];
    double errors[2] = {0, 0};
    int same = 1;
    for (uint32_t r = 0; r < source->rows; r++) {
        l4_matrix_row(source, r, x);
        l4_matrix_row(plain, r, y);
        l4_matrix_row(weighted, r, z);
        same &= memcmp(y, z, source->cols * sizeof *y) == 0;
        for (uint32_t c = 0; c < source->cols; c += 4) {
            errors[0] += (y[c] - x[c]) * (y[c] - x[c]);
            errors[1] += (z[c] - x[c]) * (z[c] - x[c]);
        }
    }
    CHECK(differ ? errors[1] < 0.9 * errors[0] : same);
}

static void keep_warning(void *user, int32_t level, const char *message)
{
    if (level == LLAMA4_LOG_WARNING)
        snprintf(user, 512, "%s", message);
}

static llama4_status weighted(const char *imatrix, const char *type, uint32_t flags, char *warning, llama4_error *error)
{
    llama4_convert_params p;
    llama4_convert_params_init(&p, sizeof p);
    p.type = type;
    p.flags = flags;
    p.imatrix_path = imatrix;
    p.log = keep_warning;
    p.log_user = warning;
    return llama4_convert(SCOUT, path_b, &p, error);
}

TEST(importance)
{
    llama4_error e = LLAMA4_ERROR_INIT;
    char warning[512] = "", imatrix[128];
    make_folder();
    snprintf(imatrix, sizeof imatrix, "%s/weights.dat", folder);
    llama4_model *x = open_rows(SCOUT);
    REQUIRE(x != NULL);
    write_imatrix(imatrix, "blk.0.attn_q.weight", x->config.width, x->config.experts);
    llama4_convert_params p;
    llama4_convert_params_init(&p, sizeof p);
    p.type = "q4_1";
    CHECK_STATUS(llama4_convert(SCOUT, path_a, &p, &e), LLAMA4_OK, e);
    CHECK_STATUS(weighted(imatrix, "q4_1", 0, warning, &e), LLAMA4_OK, e);
    CHECK(strstr(warning, imatrix) && strstr(warning, "ffn_down"));
    llama4_model *y = open_rows(path_a), *z = open_rows(path_b);
    if (CHECK(y && z)) {
        const l4_layer *a = &x->weights.layers[0], *b = &y->weights.layers[0], *c = &z->weights.layers[0];
        compare_errors(&a->q, &b->q, &c->q, 1);
        compare_errors(&a->k, &b->k, &c->k, 0);
        compare_errors(&a->experts[0].gate, &b->experts[0].gate, &c->experts[0].gate, 0); /* never used */
        compare_errors(&a->experts[1].gate, &b->experts[1].gate, &c->experts[1].gate, 1);
    }
    llama4_model_release(y);
    llama4_model_release(z);
    CHECK_EQ(remove(path_a), 0);
    CHECK_EQ(remove(path_b), 0);

    CHECK_EQ(weighted(imatrix, NULL, 0, warning, &e), LLAMA4_ERR_ARGUMENT);
    CHECK_EQ(weighted("", "q4_0", 0, warning, &e), LLAMA4_ERR_ARGUMENT);
    CHECK_EQ(weighted(imatrix, "q4_0", LLAMA4_CONVERT_VISION, warning, &e), LLAMA4_ERR_ARGUMENT);
    CHECK_EQ(weighted(imatrix, "f16", 0, warning, &e), LLAMA4_ERR_ARGUMENT); /* nothing is quantised */
    CHECK(strstr(e.message, imatrix));
    CHECK_EQ(weighted(path_a, "q4_0", 0, warning, &e), LLAMA4_ERR_IO);
    CHECK_EQ(weighted(TINY, "q4_0", 0, warning, &e), LLAMA4_ERR_FORMAT);
    write_imatrix(imatrix, "blk.0.attn_q.weight", x->config.width, x->config.experts + 1);
    CHECK_EQ(weighted(imatrix, "q4_0", 0, warning, &e), LLAMA4_ERR_FORMAT);
    CHECK(strstr(e.message, "ffn_gate_exps"));
    CHECK_EQ(count_files(0), 1);
    write_imatrix(path_b, "blk.0.attn_q.weight", x->config.width, x->config.experts);
    CHECK_EQ(weighted(path_b, "q4_0", 0, warning, &e), LLAMA4_ERR_ARGUMENT); /* would be written over */
    CHECK(strstr(e.message, path_b));
    llama4_model_release(x);
    remove_folder();
}

TEST(every_allocation_fails)
{
    char imatrix[128];
    make_folder();
    llama4_model *m = open_rows(DENSE);
    REQUIRE(m != NULL);
    snprintf(imatrix, sizeof imatrix, "%s/weights.dat", folder);
    write_imatrix(imatrix, "blk.0.attn_q.weight", m->config.width, 2);
    llama4_model_release(m);
    llama4_convert_params p;
    llama4_convert_params_init(&p, sizeof p);
    p.allocate = counting_allocate;
    p.release = counting_release;
    p.imatrix_path = imatrix;
    p.type = "q4_0";
    counting c = {0};
    p.allocator_user = &c;
    CHECK_EQ(llama4_convert(DENSE, path_a, &p, NULL), LLAMA4_OK);
    size_t calls = c.calls;
    CHECK(c.live == 0 && c.damaged == 0 && calls > 20 && c.peak_bytes < 16u << 20);
    unlink(path_a);
    for (size_t n = 1; n <= calls; n++) {
        c = (counting){.fail_at = n, .fail_count = SIZE_MAX};
        llama4_error e = LLAMA4_ERROR_INIT;
        CHECK_STATUS(llama4_convert(DENSE, path_a, &p, &e), LLAMA4_ERR_MEMORY, e);
        CHECK(c.live == 0 && c.damaged == 0);
        CHECK_EQ(count_files(0), 1);
    }
    remove_folder();
}

TEST_MAIN(T(older_form), T(values_that_are_none), T(broken_files), T(gguf_form), T(files), T(no_memory), T(importance), T(every_allocation_fails))
