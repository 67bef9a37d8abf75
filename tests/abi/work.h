/* work.h - a little of everything that the library does, as a short text: the same on every copy of the library. */
#ifndef LLAMA4_TESTS_WORK_H
#define LLAMA4_TESTS_WORK_H

#include <stdio.h>
#include <string.h>

#include "llama4/llama4.h"

typedef struct work_text {
    char text[2048];
    size_t length;
} work_text;

static int32_t work_on_text(void *user, int32_t token, const char *text, size_t length)
{
    work_text *w = user;
    (void)token;
    if (length < sizeof w->text - w->length) {
        memcpy(w->text + w->length, text, length);
        w->length += length;
        w->text[w->length] = 0;
    }
    return 0;
}

/* Chats for a few tokens. 0, or the status with the message in out. */
static int32_t work(const char *path, int32_t threads, char *out, size_t capacity)
{
    llama4_error error = LLAMA4_ERROR_INIT;
    llama4_model *model = NULL;
    llama4_context *context = NULL;
    llama4_sampler *sampler = NULL;
    llama4_context_params params = {0};
    llama4_message message = {0};
    llama4_generate_params generate = {0};
    work_text text = {{0}, 0};
    llama4_status status;
    params.struct_size = sizeof params;
    params.threads = threads;
    message.struct_size = sizeof message;
    message.role = "user";
    message.content = "What is 17 + 25?";
    generate.struct_size = sizeof generate;
    generate.max_tokens = 16;
    generate.flags = LLAMA4_GENERATE_IGNORE_STOP | LLAMA4_GENERATE_SPECIAL_TEXT;
    status = llama4_model_open(path, NULL, &model, &error);
    if (!status)
        status = llama4_context_create(model, &params, &context, &error);
    if (!status)
        status = llama4_sampler_create(model, 7, &sampler, &error);
    if (!status)
        status = llama4_sampler_add_temperature(sampler, 0.8f, &error);
    generate.sampler = sampler;
    if (!status)
        status = llama4_context_chat(context, 0, &message, 1, sizeof message, &generate, work_on_text, &text, NULL, &error);
    snprintf(out, capacity, "%s", status ? error.message : text.text);
    llama4_context_release(context);
    llama4_model_release(model);
    llama4_sampler_release(sampler);
    return status;
}

#endif
