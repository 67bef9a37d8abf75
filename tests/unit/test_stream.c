/* Experts that are read when they are needed: the same bits as in memory, whatever the number of slots; budgets; and files that fail. */
#include <stdlib.h>
#include <string.h>
#ifndef _WIN32
#include <pthread.h>
#include <unistd.h>
#endif

#include "check.h"
#include "support.h"

#define TOKENS 96

static const char *const paths[] = {SCOUT, MAVERICK, LONG, TINY};

static llama4_model_params streamed(int32_t slots)
{
    llama4_model_params p;
    llama4_model_params_init(&p, sizeof p);
    p.flags = LLAMA4_MODEL_STREAM;
    p.expert_slots = slots;
    return p;
}

static llama4_memory_info memory_of(llama4_model *m)
{
    llama4_memory_info info = {.struct_size = sizeof info};
    llama4_error error = LLAMA4_ERROR_INIT;
    CHECK(llama4_model_get_memory(m, &info, &error) == LLAMA4_OK);
    return info;
}

/* Logits of TOKENS tokens, `step` at a time. */
static float *logits_of(llama4_model *model, int32_t threads, size_t step)
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

TEST(same_bits)
{
    static const int32_t slots[] = {2, 3, 0};
    static const size_t steps[] = {1, 7, TOKENS};
    for (size_t m = 0; m < sizeof paths / sizeof *paths; m++) {
        llama4_model *resident = open_model(paths[m], NULL);
        float *want = resident ? logits_of(resident, 2, 0) : NULL;
        size_t bytes = resident ? TOKENS * (size_t)model_info(resident).vocab_size * sizeof(float) : 0;
        CHECK(want != NULL);
        if (resident)
            CHECK(!memory_of(resident).streaming);
        for (size_t s = 0; want && s < sizeof slots / sizeof *slots; s++) {
            llama4_model_params p = streamed(slots[s]);
            llama4_model *model = open_model(paths[m], &p);
            for (size_t i = 0; CHECK(model != NULL) && i < sizeof steps / sizeof *steps; i++) {
                float *got = logits_of(model, 1 + (int32_t)i, steps[i]);
                if (!CHECK(got && memcmp(got, want, bytes) == 0))
                    printf("  %s with %d slots, %zu tokens at a time\n", paths[m], (int)slots[s], steps[i]);
                free(got);
            }
            llama4_memory_info info = model ? memory_of(model) : (llama4_memory_info){0};
            CHECK(info.streaming && info.requests > 0 && info.hits <= info.requests && info.bytes_read > 0);
            CHECK(slots[s] ? info.expert_slots <= slots[s] : info.expert_slots <= info.expert_count);
            if (slots[s] == 2)
                CHECK(info.hits < info.requests);
            llama4_model_release(model);
        }
        free(want);
        llama4_model_release(resident);
    }
}

TEST_MAIN(T(same_bits))
