/* NULL, and numbers out of range, for every argument of every public function: an error code, a message, and no other effect. */
#include <stdlib.h>

#include "check.h"
#include "support.h"

static llama4_error error;
static llama4_model *model;
static llama4_context *context;
static llama4_vocab *vocab;
static llama4_sampler *sampler;
static llama4_detokenizer *detokenizer;
static llama4_message message = {.struct_size = sizeof message, .role = "user", .content = "Hi"};
static int32_t token = 1;
static size_t count;

/* Each with an error struct, which must be filled, and without one. `call` names the error argument e. */
#define REFUSES_WITH(want, call)                                            \
    do {                                                                    \
        llama4_error *e = &error;                                           \
        error = (llama4_error)LLAMA4_ERROR_INIT;                            \
        CHECK_STATUS((call), (want), error);                                \
        CHECK_EQ(error.status, (want));                                     \
        CHECK(error.message[0] != 0);                                       \
        e = NULL;                                                           \
        CHECK_STATUS0((call), (want));                                      \
    } while (0)
#define REFUSES(call) REFUSES_WITH(LLAMA4_ERR_ARGUMENT, call)

static int ready(void)
{
    model = open_model(TINY, NULL);
    vocab = model ? llama4_model_get_vocab(model) : NULL;
    context = model ? open_context(model, 1, 0) : NULL;
    return CHECK(vocab && context) && CHECK_STATUS0(llama4_sampler_create(model, 1, &sampler, NULL), LLAMA4_OK) &&
           CHECK_STATUS0(llama4_detokenizer_create(vocab, 0, &detokenizer, NULL), LLAMA4_OK);
}

static void done(void)
{
    llama4_detokenizer_release(detokenizer);
    llama4_sampler_release(sampler);
    llama4_context_release(context);
    llama4_model_release(model);
}

TEST(opening)
{
    llama4_model *m = NULL;
    llama4_vocab *v = NULL;
    llama4_model_params p = {.struct_size = sizeof p};
    REFUSES(llama4_model_open(NULL, NULL, &m, e));
    REFUSES(llama4_model_open(TINY, NULL, NULL, e));
    REFUSES(llama4_model_open_fd(0, NULL, NULL, e));
    REFUSES(llama4_model_open_fd(-1, NULL, &m, e));
    REFUSES(llama4_model_open_memory(NULL, 10, NULL, &m, e));
    REFUSES(llama4_model_open_memory("GGUF", 4, NULL, NULL, e));
    REFUSES(llama4_vocab_open(NULL, NULL, &v, e));
    REFUSES(llama4_vocab_open(TINY, NULL, NULL, e));
    p.allocate = counting_allocate; /* without release */
    REFUSES(llama4_model_open(TINY, &p, &m, e));
    REFUSES(llama4_vocab_open(TINY, &p, &v, e));
    p = (llama4_model_params){.struct_size = sizeof p, .cpu_level = -1};
    REFUSES(llama4_model_open(TINY, &p, &m, e));
    p = (llama4_model_params){.struct_size = sizeof p, .flags = 1u << 30};
    REFUSES_WITH(LLAMA4_ERR_UNSUPPORTED, llama4_model_open(TINY, &p, &m, e)); /* a flag of the future */
    p = (llama4_model_params){.struct_size = sizeof p, .reserved = 1};
    CHECK(llama4_model_open(TINY, &p, &m, NULL) < 0);
    p = (llama4_model_params){.struct_size = sizeof p, .vocabulary_path = "/nowhere"};
    REFUSES_WITH(LLAMA4_ERR_IO, llama4_model_open(TINY, &p, &m, e));
    CHECK(m == NULL && v == NULL);
}

TEST(models)
{
    llama4_model_info info = {.struct_size = sizeof info};
    llama4_tensor_info tensor = {.struct_size = sizeof tensor};
    if (ready()) {
        REFUSES(llama4_model_get_info(NULL, &info, e));
        REFUSES(llama4_model_get_info(model, NULL, e));
        REFUSES(llama4_model_get_tensor(NULL, 0, &tensor, e));
        REFUSES(llama4_model_get_tensor(model, 0, NULL, e));
        REFUSES(llama4_model_get_tensor(model, -1, &tensor, e));
        CHECK(llama4_model_get_vocab(NULL) == NULL);
        CHECK(llama4_model_ref(NULL) == NULL);
        CHECK(llama4_vocab_ref(NULL) == NULL);
        CHECK(llama4_context_get_model(NULL) == NULL);
    }
    done();
}

TEST(pictures)
{
    uint8_t pixels[48] = {0};
    float numbers[192] = {0};
    llama4_image *image = NULL, *i = NULL;
    llama4_embeddings *embeddings = NULL, *x = NULL;
    llama4_image_info info = {.struct_size = sizeof info};
    llama4_batch_item item = {.token = -1, .position = -1};
    const float *data = NULL;
    llama4_model *seeing = open_model(VISION, NULL);
    llama4_context *c = seeing ? open_context(seeing, 1, 0) : NULL;
    REQUIRE(c && !llama4_image_create(pixels, 48, 4, 4, 0, 3, NULL, &image, NULL) && !llama4_embeddings_create(seeing, numbers, 96, 1, 1, &embeddings, NULL));
    CHECK_STATUS0(llama4_plan_params_init(NULL, 1000), LLAMA4_ERR_ARGUMENT);
    CHECK_STATUS0(llama4_plan_params_init((llama4_plan_params *)(void *)pixels, 3), LLAMA4_ERR_ARGUMENT);
    CHECK_STATUS0(llama4_image_params_init(NULL, 1000), LLAMA4_ERR_ARGUMENT);
    CHECK_STATUS0(llama4_image_params_init((llama4_image_params *)(void *)pixels, 3), LLAMA4_ERR_ARGUMENT);
    REFUSES(llama4_image_open(NULL, NULL, &i, e));
    REFUSES(llama4_image_open("", NULL, &i, e));
    REFUSES(llama4_image_open("x.png", NULL, NULL, e));
    REFUSES(llama4_image_open_memory(NULL, 10, NULL, &i, e));
    REFUSES(llama4_image_open_memory(pixels, 10, NULL, NULL, e));
    REFUSES(llama4_image_create(NULL, 48, 4, 4, 0, 3, NULL, &i, e));
    REFUSES(llama4_image_create(pixels, 48, 4, 4, 0, 3, NULL, NULL, e));
    REFUSES(llama4_image_create_tiles(NULL, 12, 1, 1, 2, NULL, &i, e));
    REFUSES(llama4_image_create_tiles(numbers, 12, 1, 1, 2, NULL, NULL, e));
    REFUSES(llama4_image_create_tiles(numbers, 13, 1, 1, 2, NULL, &i, e));
    REFUSES(llama4_image_create_tiles(numbers, 12, -1, 1, 2, NULL, &i, e));
    REFUSES(llama4_image_create_tiles(numbers, 12, 1, 0x7fffffff, 2, NULL, &i, e));
    REFUSES(llama4_image_create_tiles(numbers, 12, 1, 1, 0, NULL, &i, e));
    REFUSES(llama4_image_get_info(NULL, seeing, &info, e));
    REFUSES(llama4_image_get_info(image, seeing, NULL, e));
    REFUSES(llama4_image_encode(NULL, image, &x, e));
    REFUSES(llama4_image_encode(c, NULL, &x, e));
    REFUSES(llama4_image_encode(c, image, NULL, e));
    REFUSES(llama4_embeddings_create(NULL, numbers, 96, 1, 1, &x, e));
    REFUSES(llama4_embeddings_create(seeing, NULL, 96, 1, 1, &x, e));
    REFUSES(llama4_embeddings_create(seeing, numbers, 96, 1, 1, NULL, e));
    REFUSES(llama4_embeddings_create(seeing, numbers, 0, 1, 1, &x, e));
    REFUSES(llama4_embeddings_get_info(NULL, &info, e));
    REFUSES(llama4_embeddings_get_info(embeddings, NULL, e));
    REFUSES(llama4_embeddings_data(NULL, &data, &count, e));
    REFUSES(llama4_embeddings_data(embeddings, NULL, &count, e));
    REFUSES(llama4_embeddings_data(embeddings, &data, NULL, e));
    REFUSES(llama4_context_decode_embeddings(NULL, &item, 1, sizeof item, numbers, 96, e));
    REFUSES(llama4_context_decode_embeddings(c, NULL, 1, sizeof item, numbers, 96, e));
    REFUSES(llama4_context_decode_embeddings(c, &item, 0, sizeof item, numbers, 96, e));
    REFUSES(llama4_context_decode_embeddings(c, &item, 1, 3, numbers, 96, e));
    REFUSES(llama4_context_decode_embeddings(c, &item, 1, sizeof item, NULL, 96, e));
    CHECK(llama4_image_ref(NULL) == NULL && llama4_embeddings_ref(NULL) == NULL);
    CHECK(i == NULL && x == NULL && data == NULL);
    llama4_image_release(NULL);
    llama4_embeddings_release(NULL);
    llama4_image_release(image);
    llama4_context_release(c);
    llama4_model_release(seeing);
    llama4_embeddings_release(embeddings);
}

TEST(vocabularies)
{
    char text[8];
    const char *p = NULL;
    size_t n = 77;
    if (ready()) {
        llama4_detokenizer *d = NULL;
        int32_t size = llama4_vocab_get_size(vocab);
        CHECK_EQ(llama4_vocab_get_size(NULL), 0);
        CHECK_EQ(llama4_vocab_find(NULL, "a", 1), -1);
        CHECK_EQ(llama4_vocab_find(vocab, NULL, 1), -1);
        CHECK_EQ(llama4_vocab_find(vocab, "", 0), -1);
        CHECK_EQ(llama4_vocab_token_flags(NULL, 1), 0);
        CHECK_EQ(llama4_vocab_token_flags(vocab, -1), 0);
        CHECK_EQ(llama4_vocab_token_flags(vocab, size), 0);
        REFUSES(llama4_vocab_token_bytes(NULL, 1, text, 8, &n, e));
        REFUSES(llama4_vocab_token_bytes(vocab, -1, text, 8, &n, e));
        REFUSES(llama4_vocab_token_bytes(vocab, size, text, 8, &n, e));
        REFUSES(llama4_vocab_token_bytes(vocab, 1, NULL, 8, &n, e));
        REFUSES(llama4_vocab_token_bytes(vocab, 1, text, 8, NULL, e));
        REFUSES(llama4_vocab_tokenize(NULL, "a", 1, 0, &token, 1, &n, e));
        REFUSES(llama4_vocab_tokenize(vocab, NULL, 1, 0, &token, 1, &n, e));
        REFUSES(llama4_vocab_tokenize(vocab, "a", 1, 0, NULL, 1, &n, e));
        REFUSES(llama4_vocab_tokenize(vocab, "a", 1, 0, &token, 1, NULL, e));
        REFUSES_WITH(LLAMA4_ERR_UNSUPPORTED, llama4_vocab_tokenize(vocab, "a", 1, 1u << 30, &token, 1, &n, e));
        REFUSES_WITH(LLAMA4_ERR_UTF8, llama4_vocab_tokenize(vocab, "a\xff", 2, 0, NULL, 0, &n, e));
        REFUSES(llama4_vocab_detokenize(NULL, &token, 1, 0, text, 8, &n, e));
        REFUSES(llama4_vocab_detokenize(vocab, NULL, 1, 0, text, 8, &n, e));
        REFUSES(llama4_vocab_detokenize(vocab, &token, 1, 0, NULL, 8, &n, e));
        REFUSES(llama4_vocab_detokenize(vocab, &token, 1, 0, text, 8, NULL, e));
        REFUSES(llama4_vocab_detokenize(vocab, &size, 1, 0, text, 8, &n, e));
        REFUSES(llama4_detokenizer_create(NULL, 0, &d, e));
        REFUSES(llama4_detokenizer_create(vocab, 0, NULL, e));
        REFUSES_WITH(LLAMA4_ERR_UNSUPPORTED, llama4_detokenizer_create(vocab, 1u << 30, &d, e));
        REFUSES(llama4_detokenizer_push(NULL, 1, &p, &n, e));
        REFUSES(llama4_detokenizer_push(detokenizer, -1, &p, &n, e));
        REFUSES(llama4_detokenizer_push(detokenizer, size, &p, &n, e));
        REFUSES(llama4_detokenizer_push(detokenizer, 1, NULL, &n, e));
        REFUSES(llama4_detokenizer_push(detokenizer, 1, &p, NULL, e));
        REFUSES(llama4_detokenizer_finish(NULL, &p, &n, e));
        REFUSES(llama4_detokenizer_finish(detokenizer, NULL, &n, e));
        REFUSES(llama4_detokenizer_finish(detokenizer, &p, NULL, e));
        CHECK(p == NULL && n == 77 && d == NULL && token == 1);
    }
    done();
}

TEST(chats)
{
    llama4_message bad = message;
    llama4_tool_call call = {sizeof call, 0, NULL, "{}"};
    if (ready()) {
        REFUSES(llama4_chat_tokenize(NULL, &message, 1, sizeof message, 0, NULL, 0, &count, e));
        REFUSES(llama4_chat_tokenize(vocab, NULL, 1, sizeof message, 0, NULL, 0, &count, e));
        REFUSES(llama4_chat_tokenize(vocab, &message, 1, sizeof message - 1, 0, NULL, 0, &count, e));
        REFUSES(llama4_chat_tokenize(vocab, &message, 1, sizeof message, 0, NULL, 5, &count, e));
        REFUSES(llama4_chat_tokenize(vocab, &message, 1, sizeof message, 0, NULL, 0, NULL, e));
        REFUSES_WITH(LLAMA4_ERR_UNSUPPORTED, llama4_chat_tokenize(vocab, &message, 1, sizeof message, 1u << 30, NULL, 0, &count, e));
        bad.role = NULL;
        REFUSES(llama4_chat_tokenize(vocab, &bad, 1, sizeof bad, 0, NULL, 0, &count, e));
        bad.role = "robot";
        REFUSES(llama4_chat_tokenize(vocab, &bad, 1, sizeof bad, 0, NULL, 0, &count, e));
        bad = message;
        bad.content = "\xc3";
        REFUSES_WITH(LLAMA4_ERR_UTF8, llama4_chat_tokenize(vocab, &bad, 1, sizeof bad, 0, NULL, 0, &count, e));
        bad = (llama4_message){.struct_size = sizeof bad, .role = "assistant", .tool_calls = &call, .n_tool_calls = 1, .tool_call_stride = sizeof call};
        REFUSES(llama4_chat_tokenize(vocab, &bad, 1, sizeof bad, 0, NULL, 0, &count, e)); /* a call without a name */
        call.name = "f";
        call.arguments = "{\"a\": ";
        CHECK(llama4_chat_tokenize(vocab, &bad, 1, sizeof bad, 0, NULL, 0, &count, NULL) < 0);
        call.arguments = "[1]"; /* no object */
        CHECK(llama4_chat_tokenize(vocab, &bad, 1, sizeof bad, 0, NULL, 0, &count, NULL) < 0);
        call.arguments = "{}";
        bad.tool_calls = NULL;
        REFUSES(llama4_chat_tokenize(vocab, &bad, 1, sizeof bad, 0, NULL, 0, &count, e));
        bad.tool_calls = &call;
        bad.tool_call_stride = 4;
        REFUSES(llama4_chat_tokenize(vocab, &bad, 1, sizeof bad, 0, NULL, 0, &count, e));
        REFUSES(llama4_context_chat(NULL, 0, &message, 1, sizeof message, NULL, NULL, NULL, NULL, e));
        REFUSES(llama4_context_chat(context, 99, &message, 1, sizeof message, NULL, NULL, NULL, NULL, e));
        REFUSES(llama4_context_chat(context, 0, NULL, 1, sizeof message, NULL, NULL, NULL, NULL, e));
        REFUSES(llama4_context_chat(context, 0, &message, 1, 1, NULL, NULL, NULL, NULL, e));
    }
    done();
}

TEST(contexts)
{
    llama4_context *c = NULL;
    llama4_batch_item item = {1, 0, 0, 1, 0};
    llama4_context_info info = {.struct_size = sizeof info};
    llama4_context_params p;
    const float *logits = NULL;
    if (ready()) {
        REFUSES(llama4_context_create(NULL, NULL, &c, e));
        REFUSES(llama4_context_create(model, NULL, NULL, e));
#define BAD(field, value)                                                        \
    do {                                                                         \
        p = (llama4_context_params){.struct_size = sizeof p, .field = (value)};  \
        REFUSES(llama4_context_create(model, &p, &c, e));                        \
    } while (0)
        BAD(context_length, -1);
        BAD(context_length, 16777217);
        BAD(threads, -1);
        BAD(threads, 65);
        BAD(batch_size, -1);
        BAD(batch_size, 8193);
        BAD(sequences, -1);
        BAD(kv_type, -1);
        BAD(kv_type, 5);
        p = (llama4_context_params){.struct_size = sizeof p, .flags = 1};
        REFUSES_WITH(LLAMA4_ERR_UNSUPPORTED, llama4_context_create(model, &p, &c, e));
        REFUSES(llama4_context_decode(NULL, &item, 1, sizeof item, e));
        REFUSES(llama4_context_decode(context, NULL, 1, sizeof item, e));
        REFUSES(llama4_context_decode(context, &item, 1, sizeof item - 1, e));
        REFUSES(llama4_context_logits(NULL, 0, &logits, &count, e));
        REFUSES(llama4_context_logits(context, 0, NULL, &count, e));
        CHECK_EQ(llama4_context_sequence_length(NULL, 0), -1);
        CHECK_EQ(llama4_context_sequence_length(context, -1), -1);
        CHECK_EQ(llama4_context_sequence_length(context, 64), -1);
        REFUSES(llama4_context_truncate(NULL, 0, 0, e));
        REFUSES(llama4_context_truncate(context, -1, 0, e));
        REFUSES(llama4_context_truncate(context, 0, 1, e));
        REFUSES(llama4_context_fork(NULL, 0, 1, e));
        REFUSES(llama4_context_fork(context, 0, 64, e));
        REFUSES(llama4_context_get_info(NULL, &info, e));
        REFUSES(llama4_context_get_info(context, NULL, e));
        CHECK(c == NULL && logits == NULL);
    }
    done();
}

TEST(generation)
{
    llama4_generate_params p = {.struct_size = sizeof p, .max_tokens = -1};
    llama4_generate_result r = {.struct_size = 5};
    int32_t wrong = 1 << 30;
    if (ready()) {
        REFUSES(llama4_context_generate(NULL, 0, &token, 1, NULL, NULL, NULL, NULL, e));
        REFUSES(llama4_context_generate(context, 64, &token, 1, NULL, NULL, NULL, NULL, e));
        REFUSES(llama4_context_generate(context, 0, NULL, 1, NULL, NULL, NULL, NULL, e));
        REFUSES(llama4_context_generate(context, 0, &token, 0, NULL, NULL, NULL, NULL, e));
        REFUSES(llama4_context_generate(context, 0, &wrong, 1, NULL, NULL, NULL, NULL, e));
        REFUSES(llama4_context_generate(context, 0, &token, 1, &p, NULL, NULL, NULL, e));
        p.max_tokens = 1;
        REFUSES(llama4_context_generate(context, 0, &token, 1, &p, NULL, NULL, &r, e));
        p.flags = 1u << 30;
        REFUSES_WITH(LLAMA4_ERR_UNSUPPORTED, llama4_context_generate(context, 0, &token, 1, &p, NULL, NULL, NULL, e));
        CHECK_EQ(llama4_context_sequence_length(context, 0), 0);
    }
    done();
}

TEST(samplers)
{
    llama4_sampler *s = NULL;
    float logits[2] = {1, 2};
    if (ready()) {
        REFUSES(llama4_sampler_create(NULL, 1, &s, e));
        REFUSES(llama4_sampler_create(model, 1, NULL, e));
        REFUSES(llama4_sampler_add_greedy(NULL, e));
        REFUSES(llama4_sampler_add_temperature(NULL, 1, e));
        REFUSES(llama4_sampler_add_temperature(sampler, -1, e));
        REFUSES(llama4_sampler_add_top_k(NULL, 1, e));
        REFUSES(llama4_sampler_add_top_k(sampler, -1, e));
        REFUSES(llama4_sampler_add_top_p(NULL, 0.5f, e));
        REFUSES(llama4_sampler_add_top_p(sampler, 1.5f, e));
        REFUSES(llama4_sampler_add_min_p(NULL, 0.5f, e));
        REFUSES(llama4_sampler_add_min_p(sampler, -0.5f, e));
        REFUSES(llama4_sampler_reset(NULL, 1, e));
        REFUSES(llama4_sampler_sample(NULL, logits, 2, &token, e));
        REFUSES(llama4_sampler_sample(sampler, NULL, 2, &token, e));
        REFUSES(llama4_sampler_sample(sampler, logits, 0, &token, e));
        REFUSES(llama4_sampler_sample(sampler, logits, 2, NULL, e));
        CHECK(s == NULL && token == 1);
    }
    done();
}

TEST(conversion)
{
    llama4_convert_params p = {.struct_size = sizeof p, .type = "q5_z"};
    REFUSES(llama4_convert(NULL, "/tmp/never-written.gguf", NULL, e));
    REFUSES(llama4_convert(DENSE, NULL, NULL, e));
    CHECK(llama4_convert(DENSE, "/tmp/never-written.gguf", &p, NULL) < 0);
    CHECK(llama4_convert(DENSE, "/nowhere/x.gguf", NULL, NULL) < 0);
    CHECK(llama4_convert("/nowhere", "/tmp/never-written.gguf", NULL, NULL) < 0);
    FILE *f = fopen("/tmp/never-written.gguf", "rb");
    CHECK(f == NULL);
    if (f)
        fclose(f);
}

TEST(no_vocabulary)
{
    model = open_model(LONG, NULL);
    context = model ? open_context(model, 1, 0) : NULL;
    if (CHECK(context != NULL)) {
        llama4_generate_params p = {.struct_size = sizeof p, .max_tokens = 5};
        llama4_generate_result r = {.struct_size = sizeof r};
        llama4_vocab *v = NULL;
        CHECK(llama4_model_get_vocab(model) == NULL);
        REFUSES_WITH(LLAMA4_ERR_NO_VOCABULARY, llama4_context_chat(context, 0, &message, 1, sizeof message, NULL, NULL, NULL, NULL, e));
        REFUSES_WITH(LLAMA4_ERR_NO_VOCABULARY, llama4_vocab_open(LONG, NULL, &v, e));
        CHECK_STATUS(llama4_context_generate(context, 0, &token, 1, &p, NULL, NULL, &r, &error), LLAMA4_OK, error);
        CHECK_EQ(r.generated_tokens, 5);
        CHECK_EQ(r.stopped, LLAMA4_STOPPED_LIMIT);
        CHECK_EQ(llama4_context_sequence_length(context, 0), 5);
    }
    llama4_context_release(context);
    llama4_model_release(model);
}

TEST_MAIN(T(opening), T(models), T(pictures), T(vocabularies), T(chats), T(contexts), T(generation), T(samplers), T(conversion), T(no_vocabulary))
