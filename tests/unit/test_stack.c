/* No call needs more than 64 KB of stack: everything runs once on a thread that has no more. */
#include <llama4/llama4.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/compiler.h"
#include "check.h"

static char converted[] = "/tmp/llama4-stack-XXXXXX";

static int32_t count_text(void *user, int32_t token, const char *text, size_t length)
{
    (void)token, (void)text;
    *(size_t *)user += length;
    return 0;
}

/* Pictures of both kinds, in a conversation if the model can see. */
static void look(llama4_context *context)
{
    static const char *const paths[] = {LLAMA4_TESTS "/data/pictures/progressive.jpg", LLAMA4_TESTS "/data/pictures/cmyk.jpg", LLAMA4_TESTS "/golden/vision/image2.png"};
    llama4_error error = LLAMA4_ERROR_INIT;
    llama4_model_info info = {.struct_size = sizeof info};
    llama4_model_get_info(llama4_context_get_model(context), &info, NULL);
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        llama4_image *image = NULL;
        llama4_status status = llama4_image_open(paths[i], NULL, &image, &error);
        CHECK(status == LLAMA4_OK || status == LLAMA4_ERR_UNSUPPORTED); /* built without a decoder */
        llama4_part part = {.struct_size = sizeof part, .image = image};
        llama4_message show = {.struct_size = sizeof show, .role = "user", .parts = &part, .n_parts = 1, .part_stride = sizeof part};
        llama4_generate_params generate = {.struct_size = sizeof generate, .max_tokens = 2};
        if (image && info.vision_layers)
            CHECK_STATUS(llama4_context_chat(context, 1, &show, 1, sizeof show, &generate, NULL, NULL, NULL, &error), LLAMA4_OK, error);
        llama4_image_release(image);
    }
}

static void use(const char *path)
{
    llama4_error error = LLAMA4_ERROR_INIT;
    llama4_model *model = NULL;
    llama4_context *context = NULL;
    llama4_sampler *sampler = NULL;
    llama4_context_params params;
    llama4_message ask = {.struct_size = sizeof ask, .role = "user", .content = "What is 11 + 3?"};
    size_t length = 0;
    CHECK_STATUS(llama4_model_open(path, NULL, &model, &error), LLAMA4_OK, error);
    llama4_context_params_init(&params, sizeof params);
    params.threads = 2;
    CHECK_STATUS(llama4_context_create(model, &params, &context, &error), LLAMA4_OK, error);
    CHECK_STATUS(llama4_sampler_create(model, 1, &sampler, &error), LLAMA4_OK, error);
    CHECK_STATUS(llama4_sampler_add_top_p(sampler, 0.9f, &error), LLAMA4_OK, error);
    llama4_generate_params generate = {.struct_size = sizeof generate, .max_tokens = 8, .sampler = sampler};
    CHECK_STATUS(llama4_context_chat(context, 0, &ask, 1, sizeof ask, &generate, count_text, &length, NULL, &error), LLAMA4_OK, error);
    CHECK(length > 0);
    CHECK_STATUS(llama4_context_fork(context, 0, 1, &error), LLAMA4_OK, error);
    CHECK_STATUS(llama4_context_truncate(context, 1, 0, &error), LLAMA4_OK, error);
    if (llama4_vocab_find(llama4_model_get_vocab(model), "<|patch|>", 9) >= 0)
        look(context);
    llama4_sampler_release(sampler);
    llama4_context_release(context);
    llama4_model_release(model);
}

static void *everything(void *argument)
{
    llama4_error error = LLAMA4_ERROR_INIT;
    llama4_convert_params params;
    (void)argument;
    use(LLAMA4_TINY);
    use(LLAMA4_TESTS "/golden/scout/model");
    use(LLAMA4_TESTS "/golden/maverick/model");
    use(LLAMA4_TESTS "/golden/vision/model");
    llama4_convert_params_init(&params, sizeof params);
    params.type = "q4_0";
    CHECK_STATUS(llama4_convert(LLAMA4_TESTS "/golden/scout/model", converted, &params, &error), LLAMA4_OK, error);
    use(converted);
    return NULL;
}

enum { STACK = L4_SANITIZED ? 1024 * 1024 : 64 * 1024 }; /* red zones make frames several times as large */

TEST(small_stack)
{
    pthread_t thread;
    pthread_attr_t attributes;
    int file = mkstemp(converted);
    REQUIRE(file >= 0);
    close(file);
    REQUIRE(pthread_attr_init(&attributes) == 0);
    REQUIRE(pthread_attr_setstacksize(&attributes, STACK) == 0);
    REQUIRE(pthread_create(&thread, &attributes, everything, NULL) == 0);
    pthread_join(thread, NULL);
    pthread_attr_destroy(&attributes);
    unlink(converted);
}

TEST_MAIN(T(small_stack))
