/* The border of the library: every way to open, every order of releasing, NULL for every argument, structs of every size. */
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#include "check.h"
#include "support.h"

static llama4_error error;

static void fresh_error(void)
{
    error = (llama4_error)LLAMA4_ERROR_INIT;
}

/* The logits after three ids: what a model computes, in short. NULL on failure; to be freed. */
static float *sample_of(llama4_model *model, size_t *vocabulary)
{
    static const int32_t ids[3] = {3, 1, 2};
    *vocabulary = (size_t)model_info(model).vocab_size;
    float *rows = calloc(3 * *vocabulary, sizeof *rows);
    llama4_context *c = open_context(model, 1, 0);
    if (!c || !rows || decode_ids(c, 0, ids, 3, 0, rows, *vocabulary, &error)) {
        free(rows);
        rows = NULL;
    }
    llama4_context_release(c);
    return rows;
}

static void same_model(llama4_model *a, llama4_model *b)
{
    size_t n = 0, m = 0;
    float *x = sample_of(a, &n), *y = sample_of(b, &m);
    if (CHECK(x && y && n == m))
        CHECK_MEM(x, y, 3 * n * sizeof *x);
    free(x);
    free(y);
}

TEST(version_and_names)
{
    CHECK_EQ(llama4_version(), LLAMA4_VERSION_MAJOR * 1000000 + LLAMA4_VERSION_MINOR * 1000 + LLAMA4_VERSION_PATCH);
    for (int32_t s = 0; s >= LLAMA4_ERR_STATE; s--) {
        CHECK(llama4_status_name(s)[0] != 0);
        CHECK(strcmp(llama4_status_name(s), "unknown status") != 0);
        for (int32_t o = 0; o > s; o--)
            CHECK(strcmp(llama4_status_name(s), llama4_status_name(o)) != 0);
    }
    CHECK_STR(llama4_status_name(1), "unknown status");
    CHECK_STR(llama4_status_name(LLAMA4_ERR_STATE - 1), "unknown status");
    CHECK_STR(llama4_status_name(INT32_MIN), "unknown status");
}

TEST(open_path_descriptor_and_memory)
{
    size_t size;
    unsigned char *data = load_file(LONG, &size);
    REQUIRE(data != NULL);
    llama4_model *path = open_model(LONG, NULL), *model = NULL;
    REQUIRE(path != NULL);
    int fd = open(LONG, O_RDONLY);
    CHECK(lseek(fd, 1234, SEEK_SET) == 1234); /* its place in the file must not matter */
    CHECK_STATUS(llama4_model_open_fd(fd, NULL, &model, &error), LLAMA4_OK, error);
    close(fd);
    same_model(path, model);
    llama4_model_release(model);
    for (size_t shift = 0; shift < 4; shift++) { /* memory of any alignment */
        unsigned char *moved = malloc(size + shift);
        memcpy(moved + shift, data, size);
        model = NULL;
        if (CHECK_STATUS(llama4_model_open_memory(moved + shift, size, NULL, &model, &error), LLAMA4_OK, error))
            same_model(path, model);
        llama4_model_release(model);
        free(moved);
    }
    llama4_model_release(path);
    free(data);
}

TEST(open_what_is_not_there)
{
    llama4_model *model = NULL, *const untouched = (llama4_model *)(void *)&error;
    static const char *const wrong[] = {"", "/nowhere/model.gguf", LLAMA4_TESTS "/golden/scout", LLAMA4_TESTS "/unit/test_api.c", LLAMA4_TESTS,
                                        "/dev/null", "\xff\xfe"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        model = untouched;
        fresh_error();
        llama4_status status = llama4_model_open(wrong[i], NULL, &model, &error);
        CHECK(status == LLAMA4_ERR_IO || status == LLAMA4_ERR_FORMAT || status == LLAMA4_ERR_ARGUMENT || status == LLAMA4_ERR_UTF8);
        CHECK_EQ(error.status, status);
        CHECK(error.message[0] != 0);
        CHECK(model == untouched);
    }
    CHECK(llama4_model_open_fd(-1, NULL, &model, &error) < 0);
    CHECK(llama4_model_open_memory("GGUF", 4, NULL, &model, &error) < 0);
    CHECK(llama4_model_open_memory("", 0, NULL, &model, &error) < 0);
    int pipes[2];
    REQUIRE(pipe(pipes) == 0);
    CHECK(llama4_model_open_fd(pipes[0], NULL, &model, &error) < 0); /* no regular file */
    close(pipes[0]);
    close(pipes[1]);
    CHECK(model == untouched);
}

TEST(header_only)
{
    static const char *const paths[] = {SCOUT, MAVERICK, DENSE, LONG, TINY};
    for (size_t i = 0; i < 5; i++) {
        llama4_model_params p = {.struct_size = sizeof p, .flags = LLAMA4_MODEL_HEADER_ONLY};
        llama4_model *full = open_model(paths[i], NULL), *head = open_model(paths[i], &p);
        llama4_context *c = NULL;
        REQUIRE(full && head);
        llama4_model_info a = model_info(full), b = model_info(head);
        CHECK_MEM(&a, &b, sizeof a);
        CHECK(a.layers > 0 && a.tensors > 0 && a.parameters > 0 && a.tensor_bytes > 0 && a.format[0] && a.type[0]);
        CHECK(a.active_parameters > 0 && a.active_parameters <= a.parameters);
        CHECK(llama4_model_get_vocab(head) == NULL);
        CHECK_EQ(llama4_model_get_vocab(full) != NULL, a.has_vocabulary);
        CHECK_STATUS0(llama4_context_create(head, NULL, &c, &error), LLAMA4_ERR_STATE);
        int64_t bytes = 0;
        for (int32_t t = 0; t < a.tensors; t++) {
            llama4_tensor_info x = {.struct_size = sizeof x}, y = {.struct_size = sizeof y};
            CHECK_STATUS(llama4_model_get_tensor(full, t, &x, &error), LLAMA4_OK, error);
            CHECK_STATUS(llama4_model_get_tensor(head, t, &y, &error), LLAMA4_OK, error);
            CHECK_STR(x.name, y.name);
            CHECK_STR(x.type_name, y.type_name);
            CHECK_EQ(x.bytes, y.bytes);
            CHECK(x.n_dims >= 1 && x.n_dims <= 4 && x.bytes > 0 && x.file >= 0 && x.file < a.files);
            bytes += x.bytes;
        }
        CHECK_EQ(bytes, a.tensor_bytes);
        llama4_tensor_info beyond = {.struct_size = sizeof beyond};
        CHECK_STATUS0(llama4_model_get_tensor(full, a.tensors, &beyond, &error), LLAMA4_ERR_ARGUMENT);
        CHECK_STATUS0(llama4_model_get_tensor(full, -1, &beyond, &error), LLAMA4_ERR_ARGUMENT);
        llama4_model_release(full);
        llama4_model_release(head);
    }
}

TEST(shapes_are_what_the_files_say)
{
    llama4_model *scout = open_model(SCOUT, NULL), *maverick = open_model(MAVERICK, NULL), *dense = open_model(DENSE, NULL);
    REQUIRE(scout && maverick && dense);
    llama4_model_info s = model_info(scout), m = model_info(maverick), d = model_info(dense);
    CHECK_EQ(s.layers, 5);
    CHECK_EQ(s.moe_layers, 5);
    CHECK_EQ(s.rope_layers, 4);
    CHECK_EQ(s.experts, 3);
    CHECK_EQ(s.experts_used, 1);
    CHECK_EQ(s.chunk_size, 16);
    CHECK_EQ(s.qk_norm, 1);
    CHECK_EQ(s.embedding_length, 96);
    CHECK_EQ(s.head_length, 16);
    CHECK_EQ(s.heads, 4);
    CHECK_EQ(s.kv_heads, 2);
    CHECK_EQ(s.vocab_size, 640);
    CHECK_EQ(s.temperature_length, 7);
    CHECK(s.rope_factor == 16.0f && s.rope_base == 500000.0f);
    CHECK_EQ(m.layers, 4);
    CHECK_EQ(m.moe_layers, 2);
    CHECK_EQ(m.experts, 5);
    CHECK_EQ(m.qk_norm, 0);
    CHECK_EQ(m.chunk_size, 12);
    CHECK_EQ(m.feed_forward_length, 224);
    CHECK_EQ(m.expert_feed_forward_length, 128);
    CHECK_EQ(d.experts, 0);
    CHECK_EQ(d.moe_layers, 0);
    CHECK_EQ(d.rope_layers, 5);
    CHECK_EQ(d.feed_forward_length, 192);
    CHECK(s.rope_factor > 1 && m.rope_factor == 1.0f && d.temperature_scale == 0);
    llama4_model_release(scout);
    llama4_model_release(maverick);
    llama4_model_release(dense);
}

/* Handles go in every order; the model must live until the last of them is gone. */
TEST(release_in_any_order)
{
    for (int order = 0; order < 24; order++) {
        counting n = {0};
        llama4_model_params p = counting_params(&n);
        llama4_model *model = open_model(TINY, &p);
        llama4_context *c = NULL;
        llama4_sampler *s = NULL;
        llama4_detokenizer *d = NULL;
        llama4_vocab *v = llama4_vocab_ref(llama4_model_get_vocab(model));
        REQUIRE(v != NULL);
        CHECK_STATUS(llama4_context_create(model, NULL, &c, &error), LLAMA4_OK, error);
        CHECK_STATUS(llama4_sampler_create(model, 1, &s, &error), LLAMA4_OK, error);
        CHECK_STATUS(llama4_detokenizer_create(v, 0, &d, &error), LLAMA4_OK, error);
        CHECK(llama4_context_get_model(c) == model);
        CHECK(llama4_model_ref(model) == model);
        llama4_model_release(model);
        llama4_vocab_release(v);
        int left[4] = {0, 1, 2, 3}, k = order;
        for (int n_left = 4; n_left > 0; n_left--) {
            int pick = k % n_left, what = left[pick];
            k /= n_left;
            left[pick] = left[n_left - 1];
            if (what == 0)
                llama4_model_release(model);
            else if (what == 1) {
                int32_t id = 1;
                CHECK_STATUS(decode_ids(c, 0, &id, 1, 0, NULL, 0, &error), LLAMA4_OK, error);
                llama4_context_release(c);
            } else if (what == 2) {
                int32_t token;
                float logits[3] = {0, 2, 1};
                CHECK_STATUS(llama4_sampler_sample(s, logits, 3, &token, &error), LLAMA4_OK, error);
                llama4_sampler_release(s);
            } else {
                const char *text;
                size_t length;
                CHECK_STATUS(llama4_detokenizer_push(d, 300, &text, &length, &error), LLAMA4_OK, error);
                llama4_detokenizer_release(d);
            }
        }
        CHECK_EQ(n.live, 0);
        CHECK_EQ(n.damaged, 0);
    }
    llama4_model_release(NULL);
    llama4_context_release(NULL);
    llama4_sampler_release(NULL);
    llama4_vocab_release(NULL);
    llama4_detokenizer_release(NULL);
    llama4_context_cancel(NULL);
}

/* ---- structs ---- */

/* call(p) with a params struct too small, exact, larger with a zero tail, larger with something in it. */
#define SIZES(type, first, call)                                                   \
    do {                                                                           \
        struct {                                                                   \
            type p;                                                                \
            unsigned char tail[64];                                                \
        } x;                                                                       \
        type *const p = &x.p;                                                      \
        memset(&x, 0, sizeof x);                                                   \
        p->struct_size = 0;                                                        \
        CHECK_STATUS0((call), LLAMA4_ERR_ARGUMENT);                                \
        p->struct_size = (uint32_t)(first) - 1;                                    \
        CHECK_STATUS0((call), LLAMA4_ERR_ARGUMENT);                                \
        p->struct_size = sizeof(type);                                             \
        CHECK_STATUS((call), LLAMA4_OK, error);                                    \
        p->struct_size = sizeof(type) + sizeof x.tail;                             \
        CHECK_STATUS((call), LLAMA4_OK, error);                                    \
        x.tail[sizeof x.tail - 1] = 1;                                             \
        CHECK_STATUS0((call), LLAMA4_ERR_UNSUPPORTED);                             \
        p->struct_size = sizeof(type) + sizeof x.tail - 1;                         \
        CHECK_STATUS((call), LLAMA4_OK, error);                                    \
    } while (0)

static llama4_model *the_model;
static llama4_context *the_context;

static llama4_status try_open(const llama4_model_params *p)
{
    llama4_model *m = NULL;
    llama4_status status = llama4_model_open(SCOUT, p, &m, &error);
    llama4_model_release(m);
    return status;
}

static llama4_status try_vocab(const llama4_model_params *p)
{
    llama4_vocab *v = NULL;
    llama4_status status = llama4_vocab_open(SCOUT, p, &v, &error);
    llama4_vocab_release(v);
    return status;
}

static llama4_status try_context(const llama4_context_params *p)
{
    llama4_context *c = NULL;
    llama4_status status = llama4_context_create(the_model, p, &c, &error);
    llama4_context_release(c);
    return status;
}

static llama4_status try_generate(const llama4_generate_params *p, llama4_generate_result *r)
{
    llama4_generate_params one = {.struct_size = sizeof one, .max_tokens = 1};
    int32_t id = 1;
    llama4_context_truncate(the_context, 0, 0, NULL);
    return llama4_context_generate(the_context, 0, &id, 1, p ? p : &one, NULL, NULL, r, &error);
}

static llama4_status try_limited(llama4_generate_params *p)
{
    p->max_tokens = 1;
    return try_generate(p, NULL);
}

static llama4_status try_convert(const llama4_convert_params *p)
{
    char path[] = "/tmp/llama4-test-XXXXXX";
    close(mkstemp(path)); /* Windows replaces no file that is open */
    llama4_status status = llama4_convert(DENSE, path, p, &error);
    unlink(path);
    return status;
}

static llama4_status try_message(llama4_message *m)
{
    size_t count;
    m->role = "user";
    m->content = "Hi";
    return llama4_chat_tokenize(llama4_model_get_vocab(the_model), m, 1, m->struct_size > sizeof *m ? m->struct_size : sizeof *m, 0, NULL, 0, &count,
                                &error);
}

static llama4_status try_plan(const llama4_plan_params *p)
{
    llama4_plan_result result = {.struct_size = sizeof result};
    return llama4_plan(SCOUT, p, &result, &error);
}

static llama4_status try_image(const llama4_image_params *p)
{
    static const unsigned char pixels[12];
    llama4_image *image = NULL;
    llama4_status status = llama4_image_create(pixels, sizeof pixels, 2, 2, 0, 3, p, &image, &error);
    llama4_image_release(image);
    return status;
}

static llama4_status try_part(llama4_part *p)
{
    size_t count;
    p->text = "Hi";
    llama4_message m = {.struct_size = sizeof m, .role = "user", .parts = p, .n_parts = 1, .part_stride = p->struct_size > sizeof *p ? p->struct_size : sizeof *p};
    return llama4_chat_tokenize(llama4_model_get_vocab(the_model), &m, 1, sizeof m, 0, NULL, 0, &count, &error);
}

static llama4_status try_call(llama4_tool_call *t)
{
    size_t count;
    t->name = "f";
    t->arguments = "{}";
    llama4_message m = {.struct_size = sizeof m, .role = "assistant", .tool_calls = t, .n_tool_calls = 1,
                        .tool_call_stride = t->struct_size > sizeof *t ? t->struct_size : sizeof *t};
    return llama4_chat_tokenize(llama4_model_get_vocab(the_model), &m, 1, sizeof m, 0, NULL, 0, &count, &error);
}

TEST(elements_larger_than_their_stride)
{
    the_model = open_model(TINY, NULL);
    REQUIRE(the_model != NULL);
    llama4_vocab *vocab = llama4_model_get_vocab(the_model);
    llama4_message m[2] = {{.struct_size = sizeof *m + 8, .role = "user", .content = "Hi"}, {.struct_size = sizeof *m, .role = "user"}};
    size_t count;
    CHECK_STATUS(llama4_chat_tokenize(vocab, m, 2, sizeof *m, 0, NULL, 0, &count, &error), LLAMA4_ERR_ARGUMENT, error);
    llama4_tool_call calls[2] = {{.struct_size = sizeof *calls + 8, .name = "f", .arguments = "{}"}, {.struct_size = sizeof *calls}};
    m[0] = (llama4_message){.struct_size = sizeof *m, .role = "assistant", .tool_calls = calls, .n_tool_calls = 1, .tool_call_stride = sizeof *calls};
    CHECK_STATUS(llama4_chat_tokenize(vocab, m, 1, sizeof *m, 0, NULL, 0, &count, &error), LLAMA4_ERR_ARGUMENT, error);
    calls[0].struct_size = sizeof *calls;
    CHECK_STATUS(llama4_chat_tokenize(vocab, m, 1, sizeof *m, 0, NULL, 0, &count, &error), LLAMA4_OK, error);
    llama4_model_release(the_model);
}

TEST(struct_sizes)
{
    the_model = open_model(TINY, NULL);
    the_context = the_model ? open_context(the_model, 1, 0) : NULL;
    REQUIRE(the_context != NULL);
    SIZES(llama4_model_params, offsetof(llama4_model_params, vision_path), try_open(p));
    SIZES(llama4_model_params, offsetof(llama4_model_params, vision_path), try_vocab(p));
    SIZES(llama4_context_params, sizeof(llama4_context_params), try_context(p));
    SIZES(llama4_generate_params, offsetof(llama4_generate_params, embeddings), try_limited(p));
    SIZES(llama4_convert_params, offsetof(llama4_convert_params, imatrix_path), try_convert(p));
    SIZES(llama4_message, offsetof(llama4_message, parts), try_message(p));
    SIZES(llama4_tool_call, sizeof(llama4_tool_call), try_call(p));
    SIZES(llama4_image_params, sizeof(llama4_image_params), try_image(p));
    SIZES(llama4_plan_params, sizeof(llama4_plan_params), try_plan(p));
    SIZES(llama4_part, sizeof(llama4_part), try_part(p));
    llama4_context_release(the_context);
    llama4_model_release(the_model);
}

/* Structs that the library fills: it writes no byte beyond what the caller has. */
#define FILLED(type, call)                                                                   \
    do {                                                                                     \
        struct {                                                                             \
            type p;                                                                          \
            unsigned char tail[32];                                                          \
        } x;                                                                                 \
        type *const p = &x.p;                                                                \
        memset(&x, 0xEE, sizeof x);                                                          \
        p->struct_size = 3;                                                                  \
        CHECK_STATUS0((call), LLAMA4_ERR_ARGUMENT);                                          \
        CHECK(((unsigned char *)p)[sizeof(type) - 1] == 0xEE);                               \
        p->struct_size = sizeof(type);                                                       \
        CHECK_STATUS((call), LLAMA4_OK, error);                                              \
        CHECK_EQ(p->struct_size, sizeof(type));                                              \
        for (size_t i = 0; i < sizeof x.tail; i++)                                           \
            CHECK(x.tail[i] == 0xEE);                                                        \
        memset(&x, 0, sizeof x);                                                             \
        p->struct_size = sizeof x;                                                           \
        CHECK_STATUS((call), LLAMA4_OK, error);                                              \
        CHECK_EQ(p->struct_size, sizeof x);                                                  \
        for (size_t i = 0; i < sizeof x.tail; i++)                                           \
            CHECK(x.tail[i] == 0);                                                           \
    } while (0)

TEST(filled_structs)
{
    the_model = open_model(TINY, NULL);
    the_context = the_model ? open_context(the_model, 1, 0) : NULL;
    REQUIRE(the_context != NULL);
    FILLED(llama4_model_info, llama4_model_get_info(the_model, p, &error));
    FILLED(llama4_tensor_info, llama4_model_get_tensor(the_model, 0, p, &error));
    FILLED(llama4_context_info, llama4_context_get_info(the_context, p, &error));
    FILLED(llama4_plan_result, llama4_plan(SCOUT, NULL, p, &error));
    FILLED(llama4_generate_result, try_generate(NULL, p));
    llama4_context_release(the_context);
    llama4_model_release(the_model);
}

/* An error struct that is too small, or from a newer header, is left alone beyond its size. */
TEST(error_structs)
{
    struct {
        llama4_error e;
        unsigned char tail[32];
    } x;
    llama4_model *m = NULL;
    memset(&x, 0xEE, sizeof x);
    x.e.struct_size = sizeof x;
    CHECK(llama4_model_open("/nowhere", NULL, &m, &x.e) < 0);
    CHECK(x.e.status < 0 && memchr(x.e.message, 0, sizeof x.e.message));
    for (size_t i = 0; i < sizeof x.tail; i++)
        CHECK(x.tail[i] == 0xEE || x.tail[i] == 0);
    memset(&x, 0xEE, sizeof x);
    x.e.struct_size = 8;
    CHECK(llama4_model_open("/nowhere", NULL, &m, &x.e) < 0);
    for (size_t i = 8; i < sizeof x; i++)
        CHECK(((unsigned char *)&x)[i] == 0xEE);
    CHECK(llama4_model_open("/nowhere", NULL, &m, NULL) < 0);
}

TEST(init_functions)
{
    llama4_model_params m;
    llama4_context_params c;
    llama4_convert_params v;
    memset(&m, 0xEE, sizeof m);
    memset(&c, 0xEE, sizeof c);
    memset(&v, 0xEE, sizeof v);
    CHECK_STATUS0(llama4_model_params_init(&m, sizeof m), LLAMA4_OK);
    CHECK_STATUS0(llama4_context_params_init(&c, sizeof c), LLAMA4_OK);
    CHECK_STATUS0(llama4_convert_params_init(&v, sizeof v), LLAMA4_OK);
    CHECK_EQ(m.struct_size, sizeof m);
    CHECK_EQ(c.struct_size, sizeof c);
    CHECK_EQ(v.struct_size, sizeof v);
    CHECK(m.flags == 0 && !m.allocate && !m.vocabulary_path && !m.progress);
    CHECK(v.flags == 0 && !v.type && !v.allocate);
    CHECK_STATUS0(llama4_model_params_init(NULL, sizeof m), LLAMA4_ERR_ARGUMENT);
    CHECK_STATUS0(llama4_context_params_init(NULL, sizeof c), LLAMA4_ERR_ARGUMENT);
    CHECK_STATUS0(llama4_convert_params_init(NULL, sizeof v), LLAMA4_ERR_ARGUMENT);
    CHECK_STATUS0(llama4_model_params_init(&m, 4), LLAMA4_ERR_ARGUMENT);
    CHECK_STATUS0(llama4_context_params_init(&c, 4), LLAMA4_ERR_ARGUMENT);
    CHECK_STATUS0(llama4_convert_params_init(&v, 4), LLAMA4_ERR_ARGUMENT);
}

TEST_MAIN(T(version_and_names), T(open_path_descriptor_and_memory), T(open_what_is_not_there), T(header_only), T(shapes_are_what_the_files_say),
          T(release_in_any_order), T(elements_larger_than_their_stride), T(struct_sizes), T(filled_structs), T(error_structs), T(init_functions))
