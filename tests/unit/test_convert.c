/* llama4_convert: every golden model to every type, read back and compared row by row with what the encoder makes of the source;
 * and everything that can go wrong, after which nothing may be left behind. */
#include <dirent.h>
#include <stdlib.h>
#include <unistd.h>

#include "check.h"
#include "support.h"

#include "flow/convert.h"
#include "flow/convert_types.h"
#include "format/safetensors.h"
#include "format/types.h"
#include "kernels/encode.h"
#include "kernels/kernels.h"

static char folder[64];
static char path_a[128], path_b[128];

static void make_folder(void)
{
    strcpy(folder, "/tmp/l4-convert-XXXXXX");
    CHECK(mkdtemp(folder) != NULL);
    snprintf(path_a, sizeof path_a, "%s/a.gguf", folder);
    snprintf(path_b, sizeof path_b, "%s/b.gguf", folder);
}

/* Files in the folder. */
static int count_files(void)
{
    int n = 0;
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d)) != NULL;)
        n += e->d_name[0] != '.';
    if (d)
        closedir(d);
    return n;
}

static void remove_folder(void)
{
    char path[400];
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d)) != NULL;)
        if (e->d_name[0] != '.') {
            snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
            unlink(path);
        }
    if (d)
        closedir(d);
    CHECK_EQ(rmdir(folder), 0);
}

static llama4_status convert(const char *in, const char *out, const char *type, llama4_error *error)
{
    llama4_convert_params p;
    CHECK_EQ(llama4_convert_params_init(&p, sizeof p), LLAMA4_OK);
    p.type = type;
    return llama4_convert(in, out, &p, error);
}

static int same_files(const char *a, const char *b)
{
    size_t n = 0, m = 0;
    unsigned char *x = load_file(a, &n), *y = load_file(b, &m);
    int same = x && y && n == m && memcmp(x, y, n) == 0;
    free(x);
    free(y);
    return same;
}

/* ---- What comes out ---- */

/* `type`: of the file; -1: as in the source. */
static void compare_matrix(const l4_matrix *from, const l4_matrix *to, int64_t type, const char *what)
{
    static float row[1 << 14], want[1 << 14], got[1 << 14];
    static uint8_t stored[1 << 16];
    l4_kernels k;
    l4_kernels_init(&k, LLAMA4_CPU_GENERIC);
    uint32_t expected = type < 0 ? from->type : (uint32_t)type;
    if (from->cols % l4_type_find(expected)->block)
        expected = LLAMA4_TYPE_F16;
    if (!CHECK(from->rows == to->rows && from->cols == to->cols && to->type == expected && from->cols <= 1 << 14)) {
        printf("  %s: %u x %u of type %u\n", what, (unsigned)to->rows, (unsigned)to->cols, (unsigned)to->type);
        return;
    }
    for (uint32_t r = 0; r < from->rows; r++) {
        l4_matrix_row(from, r, row);
        CHECK(l4_encode_row(expected, row, from->cols, stored));
        k.decode[expected](stored, from->cols, want);
        l4_matrix_row(to, r, got);
        if (memcmp(want, got, from->cols * sizeof *got)) {
            CHECK(!"rows differ");
            printf("  %s: row %u\n", what, (unsigned)r);
            return;
        }
    }
}

static void compare_ffn(const l4_ffn *from, const l4_ffn *to, int64_t type, const char *what)
{
    compare_matrix(&from->gate, &to->gate, type, what);
    compare_matrix(&from->up, &to->up, type, what);
    compare_matrix(&from->down, &to->down, type, what);
}

static void compare_weights(const l4_weights *from, const l4_weights *to, int64_t type)
{
    const l4_config *c = &from->config;
    size_t norm = c->width * sizeof(float);
    compare_matrix(&from->embedding, &to->embedding, type, "embedding");
    compare_matrix(&from->output, &to->output, type, "output");
    CHECK_MEM(from->output_norm, to->output_norm, norm);
    CHECK_MEM(from->rope_freq, to->rope_freq, c->head_dim / 2 * sizeof(float));
    for (uint32_t i = 0; i < c->layers; i++) {
        const l4_layer *x = &from->layers[i], *y = &to->layers[i];
        CHECK_MEM(x->attn_norm, y->attn_norm, norm);
        CHECK_MEM(x->ffn_norm, y->ffn_norm, norm);
        compare_matrix(&x->q, &y->q, type, "q");
        compare_matrix(&x->k, &y->k, type, "k");
        compare_matrix(&x->v, &y->v, type, "v");
        compare_matrix(&x->o, &y->o, type, "o");
        compare_ffn(&x->ffn, &y->ffn, type, "ffn");
        if (!c->layer[i].moe)
            continue;
        compare_matrix(&x->router, &y->router, LLAMA4_TYPE_F32, "router");
        for (uint32_t e = 0; e < c->experts; e++)
            compare_ffn(&x->experts[e], &y->experts[e], type, "expert");
    }
}

static void compare_configs(const l4_config *x, const l4_config *y)
{
    CHECK(x->layers == y->layers && x->width == y->width && x->heads == y->heads && x->kv_heads == y->kv_heads && x->head_dim == y->head_dim);
    CHECK(x->dense_ff == y->dense_ff && x->expert_ff == y->expert_ff && x->experts == y->experts && x->experts_used == y->experts_used);
    CHECK(x->vocab == y->vocab && x->chunk == y->chunk && x->nope_interval == y->nope_interval && x->qk_norm == y->qk_norm);
    CHECK(x->norm_epsilon == y->norm_epsilon && x->rope_base == y->rope_base && x->temperature_scale == y->temperature_scale);
    CHECK(x->temperature_length == y->temperature_length && x->context_length == y->context_length);
    CHECK_MEM(x->layer, y->layer, x->layers * sizeof *x->layer);
}

static void compare_vocabularies(const llama4_vocab *x, const llama4_vocab *y)
{
    CHECK(!x == !y);
    if (!x || !y)
        return;
    REQUIRE(l4_vocab_size(x) == l4_vocab_size(y) && l4_vocab_n_merges(x) == l4_vocab_n_merges(y));
    for (int32_t i = 0; i < l4_vocab_size(x); i++) {
        size_t n, m;
        const uint8_t *s = l4_vocab_bytes(x, i, &n), *t = l4_vocab_bytes(y, i, &m);
        CHECK(l4_vocab_flags(x, i) == l4_vocab_flags(y, i));
        CHECK(l4_vocab_flags(x, i) & LLAMA4_TOKEN_UNUSED || (n == m && memcmp(s, t, n) == 0));
    }
    for (size_t i = 0; i < l4_vocab_n_merges(x); i++) {
        int32_t p[4];
        l4_vocab_merge(x, i, &p[0], &p[1]);
        l4_vocab_merge(y, i, &p[2], &p[3]);
        CHECK(p[0] == p[2] && p[1] == p[3]);
    }
    CHECK_MEM(l4_vocab_well_known(x), l4_vocab_well_known(y), sizeof(l4_well_known));
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

static void round_trip(const char *source, const char *type, int64_t number)
{
    llama4_error e = LLAMA4_ERROR_INIT;
    REQUIRE_STATUS(convert(source, path_a, type, &e), LLAMA4_OK, e);
    llama4_model *x = open_rows(source), *y = open_rows(path_a);
    if (CHECK(x && y)) {
        compare_configs(&x->config, &y->config);
        compare_weights(&x->weights, &y->weights, number);
        compare_vocabularies(x->vocab, y->vocab);
    }
    llama4_model_release(x);
    llama4_model_release(y);
    REQUIRE_STATUS(convert(path_a, path_b, type, &e), LLAMA4_OK, e); /* once more changes nothing */
    CHECK(same_files(path_a, path_b));
    CHECK_EQ(count_files(), 2);
}

static void all_types(const char *source)
{
    make_folder();
    round_trip(source, NULL, -1);
    round_trip(source, "f32", LLAMA4_TYPE_F32);
    round_trip(source, "F16", LLAMA4_TYPE_F16);
    round_trip(source, "bf16", LLAMA4_TYPE_BF16);
    round_trip(source, "q8_0", LLAMA4_TYPE_Q8_0);
    round_trip(source, "q4_0", LLAMA4_TYPE_Q4_0);
    remove_folder();
}

TEST(scout)
{
    all_types(SCOUT);
}

TEST(maverick)
{
    all_types(MAVERICK);
}

TEST(dense)
{
    all_types(DENSE);
}

TEST(gguf_without_vocabulary)
{
    all_types(LONG);
}

/* Writes the tensors of a directory again as another float type: what column-wise experts look like in older checkpoints. */
static void rewrite_as(const char *source, const char *name, uint32_t type)
{
    l4_archive a;
    char path[256], *header = malloc(1 << 20);
    size_t length = 1, at = 0;
    REQUIRE(l4_safetensors_open(&l4_system_allocator, source, &a, NULL) == LLAMA4_OK);
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    header[0] = '{';
    uint64_t element = l4_type_find(type)->block_bytes;
    for (size_t i = 0; i < a.n_tensors; i++) {
        const l4_tensor *t = &a.tensors[i];
        uint64_t n = t->dims[0] * t->dims[1] * t->dims[2] * t->dims[3];
        length += (size_t)sprintf(header + length, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[", i ? "," : "", t->name, name);
        for (uint32_t d = t->n_dims; d-- > 0;)
            length += (size_t)sprintf(header + length, "%llu%s", (unsigned long long)t->dims[d], d ? "," : "]");
        length += (size_t)sprintf(header + length, ",\"data_offsets\":[%zu,%zu]}", at, at + (size_t)(n * element));
        at += (size_t)(n * element);
    }
    header[length++] = '}';
    FILE *f = fopen(path, "wb");
    uint64_t prefix = length;
    CHECK(f && fwrite(&prefix, 8, 1, f) == 1 && fwrite(header, 1, length, f) == length);
    l4_kernels k;
    l4_kernels_init(&k, LLAMA4_CPU_GENERIC);
    for (size_t i = 0; f && i < a.n_tensors; i++) {
        const l4_tensor *t = &a.tensors[i];
        uint64_t n = t->dims[0] * t->dims[1] * t->dims[2] * t->dims[3];
        float *values = malloc(n * sizeof *values);
        uint8_t *stored = malloc(n * element);
        k.decode[t->type](t->data, n, values);
        CHECK(l4_encode_row(type, values, n, stored) && fwrite(stored, element, n, f) == n);
        free(values);
        free(stored);
    }
    if (f)
        fclose(f);
    free(header);
    l4_archive_clear(&a);
}

static void copy_into_folder(const char *source, const char *name)
{
    char from[300], to[300];
    size_t n = 0;
    snprintf(from, sizeof from, "%s/%s", source, name);
    snprintf(to, sizeof to, "%s/%s", folder, name);
    unsigned char *data = load_file(from, &n);
    CHECK(data && save_file(to, data, n) == 0);
    free(data);
}

/* Rows of 8, which no block divides, and no output matrix; a corpus file of the fuzz target. */
TEST(narrow_and_tied)
{
    static const char source[] = LLAMA4_TESTS "/fuzz/corpus/gguf/moe_f16_vocab.gguf";
    all_types(source);
    make_folder();
    CHECK_EQ(convert(source, path_a, "q8_0", NULL), LLAMA4_OK);
    llama4_model *m = open_model(path_a, NULL);
    if (CHECK(m != NULL)) {
        CHECK(!l4_archive_find(m->archive, "output.weight") && m->vocab);
        CHECK_EQ(m->weights.embedding.type, LLAMA4_TYPE_F16);
    }
    llama4_model_release(m);
    remove_folder();
}

static void columns_of(const char *name, uint32_t type)
{
    llama4_error e = LLAMA4_ERROR_INIT;
    make_folder();
    copy_into_folder(SCOUT, "config.json");
    rewrite_as(SCOUT, name, type);
    CHECK_STATUS(convert(folder, path_a, NULL, &e), LLAMA4_OK, e);
    llama4_model *x = open_rows(folder), *y = open_rows(path_a), *z = open_rows(SCOUT);
    if (CHECK(x && y && z)) {
        CHECK(x->weights.layers[0].experts[0].up.layout == L4_COLUMNS);
        compare_weights(&x->weights, &y->weights, -1);
        compare_weights(&z->weights, &y->weights, type);
    }
    llama4_model_release(x);
    llama4_model_release(y);
    llama4_model_release(z);
    remove_folder();
}

TEST(columns_of_every_float_type)
{
    columns_of("F32", LLAMA4_TYPE_F32);
    columns_of("F16", LLAMA4_TYPE_F16);
    columns_of("BF16", LLAMA4_TYPE_BF16);
}

TEST(irregular_layers)
{
    static const char *const names[] = {"llama4.attention.rope_layers", "llama4.moe_layers"};
    llama4_model *m = calloc(1, sizeof *m);
    l4_convert_summary summary = {LLAMA4_TYPE_BF16, 1500000000, 0};
    l4_gguf_builder b;
    l4_writer w;
    l4_gguf *g = NULL;
    make_folder();
    m->allocator = l4_system_allocator;
    m->config.layers = 5;
    m->config.experts = 2;
    for (uint32_t i = 0; i < 5; i++) {
        m->config.layer[i].rope = i != 1;
        m->config.layer[i].moe = i == 0 || i == 3;
    }
    l4_gguf_builder_init(&b, &m->allocator);
    CHECK_EQ(l4_convert_put_keys(m, &summary, &b, NULL), LLAMA4_OK);
    CHECK_EQ(l4_writer_open(&m->allocator, path_a, &w, NULL), LLAMA4_OK);
    CHECK_EQ(l4_gguf_write_head(&b, &w, NULL), LLAMA4_OK);
    CHECK_EQ(l4_writer_commit(&w, NULL), LLAMA4_OK);
    l4_gguf_builder_clear(&b);
    CHECK_EQ(l4_gguf_open(&l4_system_allocator, path_a, &g, NULL), LLAMA4_OK);
    for (int k = 0; g && k < 2; k++) {
        const l4_gguf_key *key = l4_gguf_find(g, names[k]);
        if (CHECK(key && key->type == L4_GGUF_ARRAY && key->element_type == L4_GGUF_BOOL && key->count == 5))
            for (uint32_t i = 0; i < 5; i++)
                CHECK_EQ(l4_gguf_array_i64(key, i), k ? m->config.layer[i].moe : m->config.layer[i].rope);
    }
    const char *text = "";
    size_t n = 0;
    CHECK(g && l4_gguf_get_string(g, "general.size_label", 1, &text, &n, NULL) == LLAMA4_OK && n == 6 && memcmp(text, "2x1.5B", 6) == 0);
    CHECK(g && !l4_gguf_find(g, "tokenizer.ggml.model"));
    l4_gguf_close(g);
    free(m);
    remove_folder();
}

/* ---- What goes wrong ---- */

TEST(arguments)
{
    llama4_error e = LLAMA4_ERROR_INIT;
    llama4_convert_params p;
    char path[200];
    make_folder();
    CHECK_EQ(llama4_convert_params_init(NULL, sizeof p), LLAMA4_ERR_ARGUMENT);
    CHECK_EQ(llama4_convert_params_init(&p, offsetof(llama4_convert_params, imatrix_path) - 1), LLAMA4_ERR_ARGUMENT);
    CHECK_EQ(llama4_convert(NULL, path_a, NULL, &e), LLAMA4_ERR_ARGUMENT);
    CHECK_EQ(llama4_convert(SCOUT, NULL, NULL, &e), LLAMA4_ERR_ARGUMENT);
    CHECK_EQ(llama4_convert(SCOUT, "", NULL, &e), LLAMA4_ERR_ARGUMENT);
    CHECK_EQ(convert(SCOUT, path_a, "iq2_xxs", &e), LLAMA4_ERR_ARGUMENT);
    CHECK(strstr(e.message, "iq2_xxs"));
    CHECK_EQ(convert(SCOUT, path_a, "q4_k_x", &e), LLAMA4_ERR_ARGUMENT);
    CHECK_EQ(convert(SCOUT, path_a, "f8_e4m3", &e), LLAMA4_ERR_ARGUMENT);
    llama4_convert_params_init(&p, sizeof p);
    p.struct_size = 8;
    CHECK_EQ(llama4_convert(SCOUT, path_a, &p, &e), LLAMA4_ERR_ARGUMENT);
    llama4_convert_params_init(&p, sizeof p);
    p.flags = 1u << 30;
    CHECK_EQ(llama4_convert(SCOUT, path_a, &p, &e), LLAMA4_ERR_UNSUPPORTED);
    llama4_convert_params_init(&p, sizeof p);
    p.allocate = counting_allocate;
    CHECK_EQ(llama4_convert(SCOUT, path_a, &p, &e), LLAMA4_ERR_ARGUMENT);
    CHECK_EQ(convert(folder, path_a, NULL, &e), LLAMA4_ERR_IO); /* no config.json */
    snprintf(path, sizeof path, "%s/no/such/folder.gguf", folder);
    CHECK_EQ(convert(SCOUT, path, NULL, &e), LLAMA4_ERR_IO);
    CHECK_EQ(convert(SCOUT, folder, NULL, &e), LLAMA4_ERR_IO);
    CHECK(strstr(e.message, folder));
    CHECK_EQ(count_files(), 0);
    CHECK_EQ(llama4_convert(SCOUT, path_a, NULL, &e), LLAMA4_OK); /* all defaults */
    remove_folder();
}

/* Searching for scales changes the file, never its size; rows that blocks of 256 do not divide get blocks of 32. */
TEST(search)
{
    llama4_error e = LLAMA4_ERROR_INIT;
    llama4_convert_params p;
    llama4_model *m = NULL;
    make_folder();
    REQUIRE(convert(SCOUT, path_a, "q4_0", &e) == LLAMA4_OK);
    llama4_convert_params_init(&p, sizeof p);
    p.flags = LLAMA4_CONVERT_SEARCH;
    p.type = "Q4_0";
    CHECK_EQ(llama4_convert(SCOUT, path_b, &p, &e), LLAMA4_OK);
    CHECK(!same_files(path_a, path_b));
    CHECK_EQ(convert(SCOUT, path_a, "q4_k_m", &e), LLAMA4_OK);
    CHECK_EQ(llama4_model_open(path_a, NULL, &m, &e), LLAMA4_OK);
    for (int32_t i = 0; m; i++) {
        llama4_tensor_info t = {.struct_size = sizeof t};
        if (llama4_model_get_tensor(m, i, &t, NULL))
            break;
        if (t.n_dims > 1 && !strstr(t.name, "gate_inp"))
            CHECK(t.path == LLAMA4_PATH_INT8 || t.path == LLAMA4_PATH_ROWS || t.dims[0] % 32);
    }
    llama4_model_release(m);
    remove_folder();
}

/* The digit in the name of the type of a matrix of 5,120 columns. */
static char digit(const l4_type_plan *plan, const char *name)
{
    return l4_type_find(l4_type_plan_for(plan, name, 48, 5120))->name[1];
}

static char digit_in(const l4_type_plan *plan, uint32_t layer, const char *part)
{
    char name[64];
    snprintf(name, sizeof name, "blk.%u.%s.weight", (unsigned)layer, part);
    return digit(plan, name);
}

/* What the quantiser of llama-cpp-python 0.3.36 made of a model of Scout's 48 layers: a digit a layer, the last one for all that follow. */
TEST(mixes_of_48_layers)
{
    static const char fourth[] = "666666446446446446446446446446446446446446666666", fifth[] = "666666556556556556556556556556556556556556666666";
    static const struct {
        const char *mix, *value, *down;
        char out, other;
    } wanted[] = {
        {"q2_k_m", "4", "3", '3', '2'},           {"q3_k_s", "3", "3", '3', '3'},       {"q3_k_m", "554", "5554", '4', '3'}, {"q3_k_l", "5", "5", '5', '3'},
        {"q4_k_s", "55554", "5555554", '4', '4'}, {"q4_k_m", fourth, fourth, '4', '4'}, {"q5_k_s", "5", "5", '5', '5'},      {"q5_k_m", fifth, fifth, '5', '5'},
    };
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        const size_t values = strlen(wanted[i].value), downs = strlen(wanted[i].down);
        l4_type_plan plan;
        CHECK_EQ(l4_type_plan_find(wanted[i].mix, &plan, NULL), LLAMA4_OK);
        CHECK_EQ(digit(&plan, "output.weight"), '6');
        CHECK_EQ(digit(&plan, "token_embd.weight"), wanted[i].other);
        for (uint32_t layer = 0; layer < 48; layer++) {
            CHECK_EQ(digit_in(&plan, layer, "attn_v"), wanted[i].value[layer < values ? layer : values - 1]);
            CHECK_EQ(digit_in(&plan, layer, "ffn_down_exps"), wanted[i].down[layer < downs ? layer : downs - 1]);
            CHECK_EQ(digit_in(&plan, layer, "ffn_down_shexp"), wanted[i].down[layer < downs ? layer : downs - 1]);
            CHECK_EQ(digit_in(&plan, layer, "attn_output"), wanted[i].out);
            CHECK_EQ(digit_in(&plan, layer, "ffn_gate_exps"), wanted[i].other);
        }
    }
}

TEST(output_is_input)
{
    llama4_error e = LLAMA4_ERROR_INIT;
    char other[200];
    make_folder();
    CHECK_EQ(convert(SCOUT, path_a, NULL, &e), LLAMA4_OK);
    CHECK_EQ(convert(SCOUT, path_b, NULL, &e), LLAMA4_OK);
    CHECK_EQ(convert(path_a, path_a, "f16", &e), LLAMA4_ERR_ARGUMENT);
    snprintf(other, sizeof other, "%s/./a.gguf", folder);
    CHECK_EQ(convert(path_a, other, "f16", &e), LLAMA4_ERR_ARGUMENT);
    snprintf(other, sizeof other, "%s/link.gguf", folder);
    CHECK(symlink(path_a, other) == 0);
    CHECK_EQ(convert(path_a, other, "f16", &e), LLAMA4_ERR_ARGUMENT);
    CHECK(same_files(path_a, path_b));
    CHECK_EQ(convert(SCOUT, SCOUT "/model.safetensors", "f16", &e), LLAMA4_ERR_ARGUMENT);
    CHECK_EQ(convert(path_a, path_b, "f16", &e), LLAMA4_OK); /* another file is replaced */
    CHECK(!same_files(path_a, path_b));
    CHECK_EQ(count_files(), 3);
    remove_folder();
}

typedef struct watch {
    int calls, stop_at; /* 0: never */
    float last;
    int backwards;
} watch;

static int32_t on_progress(void *user, float fraction)
{
    watch *w = user;
    w->backwards |= !(fraction >= w->last && fraction <= 1);
    w->last = fraction;
    return ++w->calls == w->stop_at;
}

TEST(progress_and_cancelling)
{
    llama4_error e = LLAMA4_ERROR_INIT;
    llama4_convert_params p;
    watch w = {0, 0, 0, 0};
    make_folder();
    CHECK_EQ(save_file(path_a, "old", 3), 0);
    llama4_convert_params_init(&p, sizeof p);
    p.progress = on_progress;
    p.progress_user = &w;
    p.type = "q8_0";
    CHECK_STATUS(llama4_convert(SCOUT, path_b, &p, &e), LLAMA4_OK, e);
    CHECK(!w.backwards && w.last == 1 && w.calls > 10);
    for (int n = w.calls, stop = 1; stop <= n; stop += stop < n - 1 && stop > 3 ? n / 3 : 1) {
        w = (watch){0, stop, 0, 0};
        CHECK_EQ(llama4_convert(SCOUT, path_a, &p, &e), LLAMA4_ERR_CANCELLED);
        size_t size = 0;
        unsigned char *old = load_file(path_a, &size);
        CHECK(old && size == 3 && memcmp(old, "old", 3) == 0);
        free(old);
        CHECK_EQ(count_files(), 2);
    }
    remove_folder();
}

TEST(every_allocation_fails)
{
    llama4_convert_params p;
    make_folder();
    llama4_convert_params_init(&p, sizeof p);
    p.allocate = counting_allocate;
    p.release = counting_release;
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
        CHECK_EQ(count_files(), 0);
    }
    remove_folder();
}

TEST_MAIN(T(scout), T(maverick), T(dense), T(gguf_without_vocabulary), T(narrow_and_tied), T(columns_of_every_float_type), T(irregular_layers), T(arguments),
          T(search), T(mixes_of_48_layers), T(output_is_input), T(progress_and_cancelling), T(every_allocation_fails))
