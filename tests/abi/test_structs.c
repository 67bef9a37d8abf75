/* Structs and strides of a newer header, where unit/test_api.c does not go: structs that are filled, _init functions, arrays. */
#include <stdlib.h>

#include "check.h"
#include "support.h"

static llama4_error error;

/* Sizes of first versions: what is smaller is refused for ever. */
enum {
#define SIZE(type, first, size) FIRST_##type = (first),
#define FIELD(type, field, offset, size)
#include "layout.h"
#undef SIZE
#undef FIELD
};

/* A struct that is filled, from a header that knows 40 bytes more, whatever these hold: they are not read and not written. */
#define FILLED(type, call)                               \
    do {                                                 \
        struct {                                         \
            type p;                                      \
            unsigned char tail[40];                      \
        } x;                                             \
        type *const p = &x.p;                            \
        memset(&x, 0xC7, sizeof x);                      \
        p->struct_size = sizeof x;                       \
        CHECK_STATUS((call), LLAMA4_OK, error);          \
        CHECK_EQ(p->struct_size, sizeof x);              \
        for (size_t i = 0; i < sizeof x.tail; i++)       \
            CHECK(x.tail[i] == 0xC7);                    \
        p->struct_size = FIRST_##type - 1;               \
        memset(x.tail, 0xC8, sizeof x.tail);             \
        CHECK_STATUS0((call), LLAMA4_ERR_ARGUMENT);      \
        CHECK(x.tail[0] == 0xC8);                        \
    } while (0)

static llama4_status generate(llama4_context *c, llama4_generate_result *result)
{
    static const int32_t prompt[3] = {5, 6, 7};
    llama4_generate_params params = {.struct_size = sizeof params, .max_tokens = 1};
    llama4_context_truncate(c, 0, 0, NULL);
    return llama4_context_generate(c, 0, prompt, 3, &params, NULL, NULL, result, &error);
}

TEST(filled)
{
    llama4_model *m = open_model(TINY, NULL);
    llama4_context *c = m ? open_context(m, 1, 0) : NULL;
    REQUIRE(c != NULL);
    FILLED(llama4_model_info, llama4_model_get_info(m, p, &error));
    FILLED(llama4_tensor_info, llama4_model_get_tensor(m, 0, p, &error));
    FILLED(llama4_plan_result, llama4_plan(TINY, NULL, p, &error));
    FILLED(llama4_context_info, llama4_context_get_info(c, p, &error));
    FILLED(llama4_generate_result, generate(c, p));
    llama4_image *image = NULL;
    REQUIRE_STATUS(llama4_image_create("abc", 3, 1, 1, 0, 3, NULL, &image, &error), LLAMA4_OK, error);
    FILLED(llama4_image_info, llama4_image_get_info(image, NULL, p, &error));
    llama4_image_release(image);
    llama4_context_release(c);
    llama4_model_release(m);
}

/* An error of a newer header, whatever its tail holds, is filled as far as it is known; one byte too few: left alone. */
TEST(errors)
{
    struct {
        llama4_error e;
        unsigned char tail[40];
    } x;
    llama4_model *m = NULL;
    memset(&x, 0xC7, sizeof x);
    x.e.struct_size = sizeof x;
    CHECK_STATUS0(llama4_model_open("/nowhere", NULL, &m, &x.e), LLAMA4_ERR_IO);
    CHECK_EQ(x.e.struct_size, sizeof x);
    CHECK_EQ(x.e.status, LLAMA4_ERR_IO);
    CHECK(strstr(x.e.message, "/nowhere") != NULL);
    for (size_t i = 0; i < sizeof x.tail; i++)
        CHECK(x.tail[i] == 0xC7);
    memset(&x, 0xC7, sizeof x);
    x.e.struct_size = FIRST_llama4_error - 1;
    CHECK_STATUS0(llama4_model_open("/nowhere", NULL, &m, &x.e), LLAMA4_ERR_IO);
    for (size_t i = sizeof x.e.struct_size; i < sizeof x; i++)
        CHECK(((unsigned char *)&x)[i] == 0xC7);
}

/* _init fills the whole struct of a newer header, and not a byte more than it was told. */
#define INIT(type, function)                                                  \
    do {                                                                      \
        struct {                                                              \
            type p;                                                           \
            unsigned char tail[40];                                           \
        } x;                                                                  \
        memset(&x, 0xC7, sizeof x);                                           \
        CHECK_STATUS0(function(&x.p, sizeof x - 8), LLAMA4_OK);               \
        CHECK_EQ(x.p.struct_size, sizeof x - 8);                              \
        for (size_t i = sizeof x.p.struct_size; i < sizeof x - 8; i++)        \
            CHECK(((unsigned char *)&x)[i] == 0);                             \
        for (size_t i = sizeof x - 8; i < sizeof x; i++)                      \
            CHECK(((unsigned char *)&x)[i] == 0xC7);                          \
        memset(&x, 0xC7, sizeof x);                                           \
        CHECK_STATUS0(function(&x.p, FIRST_##type - 1), LLAMA4_ERR_ARGUMENT); \
        CHECK(((unsigned char *)&x)[0] == 0xC7);                              \
    } while (0)

TEST(init)
{
    INIT(llama4_model_params, llama4_model_params_init);
    INIT(llama4_context_params, llama4_context_params_init);
    INIT(llama4_convert_params, llama4_convert_params_init);
    INIT(llama4_image_params, llama4_image_params_init);
    INIT(llama4_plan_params, llama4_plan_params_init);
}

typedef struct wide_item {
    llama4_batch_item item;
    unsigned char tail[24];
} wide_item;

/* Items of a newer header lie further apart: the same logits while the new part is zero, else refused with the sequence as it was. */
TEST(items)
{
    enum { TOKENS = 9 };
    llama4_batch_item plain[TOKENS];
    wide_item wide[TOKENS];
    llama4_model *m = open_model(TINY, NULL);
    llama4_context *c = m ? open_context(m, 1, 0) : NULL;
    REQUIRE(c != NULL);
    memset(plain, 0, sizeof plain);
    memset(wide, 0, sizeof wide);
    for (int32_t i = 0; i < TOKENS; i++) {
        plain[i] = (llama4_batch_item){.token = 20 + i, .position = -1, .logits = i == TOKENS - 1};
        wide[i].item = plain[i];
        wide[i].item.sequence = 1;
    }
    const float *logits;
    size_t count = 0;
    CHECK_STATUS(llama4_context_decode(c, plain, TOKENS, sizeof *plain, &error), LLAMA4_OK, error);
    REQUIRE_STATUS(llama4_context_logits(c, TOKENS - 1, &logits, &count, &error), LLAMA4_OK, error);
    float *want = malloc(count * sizeof *want);
    REQUIRE(want != NULL);
    memcpy(want, logits, count * sizeof *want);
    wide[TOKENS - 1].tail[23] = 1;
    CHECK_STATUS0(llama4_context_decode(c, &wide[0].item, TOKENS, sizeof *wide, &error), LLAMA4_ERR_UNSUPPORTED);
    CHECK_EQ(llama4_context_sequence_length(c, 1), 0);
    wide[TOKENS - 1].tail[23] = 0;
    CHECK_STATUS(llama4_context_decode(c, &wide[0].item, TOKENS, sizeof *wide, &error), LLAMA4_OK, error);
    if (CHECK_STATUS(llama4_context_logits(c, TOKENS - 1, &logits, &count, &error), LLAMA4_OK, error))
        CHECK_MEM(logits, want, count * sizeof *want);
    CHECK_STATUS0(llama4_context_decode(c, plain, TOKENS, FIRST_llama4_batch_item - 1, &error), LLAMA4_ERR_ARGUMENT);
    CHECK_STATUS0(llama4_context_decode(c, plain, TOKENS, 0, &error), LLAMA4_ERR_ARGUMENT);
    free(want);
    llama4_context_release(c);
    llama4_model_release(m);
}

typedef struct wide_call {
    llama4_tool_call call;
    unsigned char tail[32];
} wide_call;

typedef struct wide_message {
    llama4_message message;
    unsigned char tail[56];
} wide_message;

/* Messages and their calls likewise. What lies between two elements but inside neither is nobody's business. */
TEST(messages)
{
    llama4_model *m = open_model(TINY, NULL);
    REQUIRE(m != NULL);
    const llama4_vocab *v = llama4_model_get_vocab(m);
    int32_t want[256], got[256];
    size_t n = 0, count = 0;
    llama4_tool_call calls[2];
    llama4_message plain[2];
    wide_call wide_calls[2];
    wide_message wide[2];
    memset(wide, 0, sizeof wide);
    memset(wide_calls, 0, sizeof wide_calls);
    for (int i = 0; i < 2; i++) {
        calls[i] = (llama4_tool_call){.struct_size = sizeof *calls, .name = i ? "second" : "first", .arguments = "{\"n\": 3}"};
        wide_calls[i].call = calls[i];
        wide_calls[i].call.struct_size = sizeof *wide_calls;
    }
    plain[0] = (llama4_message){.struct_size = sizeof *plain, .role = "user", .content = "Count."};
    plain[1] = (llama4_message){.struct_size = sizeof *plain, .role = "assistant", .tool_calls = calls, .n_tool_calls = 2,
                                .tool_call_stride = sizeof *calls};
    REQUIRE_STATUS(llama4_chat_tokenize(v, plain, 2, sizeof *plain, 0, want, 256, &n, &error), LLAMA4_OK, error);
    for (int i = 0; i < 2; i++) {
        wide[i].message = plain[i];
        wide[i].message.struct_size = sizeof *wide;
    }
    wide[1].message.tool_calls = &wide_calls[0].call;
    wide[1].message.tool_call_stride = sizeof *wide_calls;
    CHECK_STATUS(llama4_chat_tokenize(v, &wide[0].message, 2, sizeof *wide, 0, got, 256, &count, &error), LLAMA4_OK, error);
    CHECK_EQ(count, n);
    CHECK_MEM(got, want, n * sizeof *want);
    wide_calls[1].tail[31] = 1;
    CHECK_STATUS0(llama4_chat_tokenize(v, &wide[0].message, 2, sizeof *wide, 0, got, 256, &count, &error), LLAMA4_ERR_UNSUPPORTED);
    wide_calls[1].tail[31] = 0;
    wide[1].tail[55] = 1;
    CHECK_STATUS0(llama4_chat_tokenize(v, &wide[0].message, 2, sizeof *wide, 0, got, 256, &count, &error), LLAMA4_ERR_UNSUPPORTED);
    /* The elements say that they end before it. */
    wide[0].message.struct_size = wide[1].message.struct_size = sizeof *plain;
    CHECK_STATUS(llama4_chat_tokenize(v, &wide[0].message, 2, sizeof *wide, 0, got, 256, &count, &error), LLAMA4_OK, error);
    CHECK_EQ(count, n);
    CHECK_STATUS0(llama4_chat_tokenize(v, plain, 2, FIRST_llama4_message - 1, 0, got, 256, &count, &error), LLAMA4_ERR_ARGUMENT);
    wide[1].message.tool_call_stride = FIRST_llama4_tool_call - 1;
    CHECK_STATUS0(llama4_chat_tokenize(v, &wide[0].message, 2, sizeof *wide, 0, got, 256, &count, &error), LLAMA4_ERR_ARGUMENT);
    llama4_model_release(m);
}

TEST_MAIN(T(filled), T(errors), T(init), T(items), T(messages))
