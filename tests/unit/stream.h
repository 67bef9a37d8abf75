/* What tests of streamed experts share. */
#ifndef LLAMA4_TESTS_STREAM_H
#define LLAMA4_TESTS_STREAM_H

#include <stdlib.h>

#include "check.h"
#include "support.h"

#define TOKENS 96

/* TEST_MAIN for tests that write files: the same ones may run in another build at the same time. */
#define TEST_MAIN_IN_OWN_FOLDER(...)                                                          \
    int main(int argc, char **argv)                                                           \
    {                                                                                         \
        static const check_case cases[] = {__VA_ARGS__};                                      \
        if (enter_own_folder()) {                                                             \
            perror("no folder for the tests");                                                \
            return 2;                                                                         \
        }                                                                                     \
        const int result = check_main(cases, sizeof cases / sizeof *cases, argc, argv);       \
        if (leave_own_folder()) {                                                             \
            perror("what the tests wrote is not gone");                                       \
            return 1;                                                                         \
        }                                                                                     \
        return result;                                                                        \
    }

static inline llama4_model_params streamed(int32_t slots)
{
    llama4_model_params p;
    llama4_model_params_init(&p, sizeof p);
    p.flags = LLAMA4_MODEL_STREAM;
    p.expert_slots = slots;
    return p;
}

static inline llama4_memory_info memory_of(llama4_model *m)
{
    llama4_memory_info info = {.struct_size = sizeof info};
    llama4_error error = LLAMA4_ERROR_INIT;
    CHECK(llama4_model_get_memory(m, &info, &error) == LLAMA4_OK);
    return info;
}

/* Logits of TOKENS tokens, `step` at a time. */
static inline float *logits_of(llama4_model *model, int32_t threads, size_t step)
{
    llama4_error error = LLAMA4_ERROR_INIT;
    size_t vocabulary = (size_t)model_info(model).vocab_size;
    float *rows = malloc(TOKENS * vocabulary * sizeof *rows);
    int32_t ids[TOKENS];
    llama4_context *context = open_context(model, threads, LLAMA4_KV_F16);
    make_ids(ids, TOKENS, 7, (int32_t)vocabulary);
    if (!rows || !context || !CHECK(decode_ids(context, 0, ids, TOKENS, step, rows, vocabulary, &error) == LLAMA4_OK)) {
        printf("  %s\n", error.message);
        free(rows);
        rows = NULL;
    }
    llama4_context_release(context);
    return rows;
}

#endif
