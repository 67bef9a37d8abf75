/* No call needs more than 64 KB of stack: everything runs once on a thread that has no more. */
#include <llama4/llama4.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"

static char converted[] = "/tmp/llama4-stack-XXXXXX";

static int32_t count_text(void *user, int32_t token, const char *text, size_t length)
{
    (void)token, (void)text;
    *(size_t *)user += length;
    return 0;
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
    llama4_convert_params_init(&params, sizeof params);
    params.type = "q4_0";
    CHECK_STATUS(llama4_convert(LLAMA4_TESTS "/golden/scout/model", converted, &params, &error), LLAMA4_OK, error);
    use(converted);
    return NULL;
}

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#endif
#ifdef SANITIZED
enum { STACK = 1024 * 1024 }; /* red zones make frames several times as large */
#else
enum { STACK = 64 * 1024 };
#endif

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
