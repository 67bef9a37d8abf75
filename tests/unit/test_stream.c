/* Experts that are read when they are needed: the same bits as in memory, whatever the number of slots; budgets. test_disk.c has the disks that fail. */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "stream.h"

static const char *const paths[] = {SCOUT, MAVERICK, LONG, TINY};

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


/* A token over and over is often routed alike, so that guesses come true and are read early; each token has a model of its own, since a model that
 * guesses badly stops. */
TEST(guesses)
{
    llama4_model *resident = open_model(TINY, NULL);
    REQUIRE(resident);
    const size_t vocabulary = (size_t)model_info(resident).vocab_size;
    float *want = malloc(TOKENS * vocabulary * sizeof *want), *got = malloc(TOKENS * vocabulary * sizeof *got);
    int64_t ahead = 0;
    for (int32_t token = 300; token < 900; token += 50) {
        llama4_error error = LLAMA4_ERROR_INIT;
        llama4_model_params p = streamed(3);
        llama4_model *model = open_model(TINY, &p);
        int32_t ids[TOKENS];
        llama4_context *a = open_context(model, 2, LLAMA4_KV_F16), *b = open_context(resident, 2, LLAMA4_KV_F16);
        for (size_t i = 0; i < TOKENS; i++)
            ids[i] = token;
        CHECK_STATUS(decode_ids(a, 0, ids, TOKENS, 1, got, vocabulary, &error), LLAMA4_OK, error);
        CHECK_STATUS(decode_ids(b, 0, ids, TOKENS, 1, want, vocabulary, &error), LLAMA4_OK, error);
        CHECK(memcmp(got, want, TOKENS * vocabulary * sizeof *got) == 0);
        llama4_memory_info info = memory_of(model);
        CHECK(info.guesses > 500 && info.guesses_right <= info.guesses && info.wasted <= info.read_ahead);
        ahead += info.read_ahead;
        llama4_context_release(a);
        llama4_context_release(b);
        llama4_model_release(model);
    }
    printf("  %lld experts read ahead\n", (long long)ahead);
    CHECK(ahead > 0);
    free(want);
    free(got);
    llama4_model_release(resident);
}

/* ---- budgets ---- */

/* The number in front of " are needed" in a message; 0 if there is none. */
static int64_t needed(const char *message)
{
    const char *end = strstr(message, " are needed"), *p = end;
    while (p && p > message && p[-1] >= '0' && p[-1] <= '9')
        p--;
    return p && p < end ? strtoll(p, NULL, 10) : 0;
}

static llama4_status open_within(const char *path, int64_t bytes, counting *c, llama4_model **model, llama4_error *error)
{
    llama4_model_params p;
    llama4_model_params_init(&p, sizeof p);
    if (c) {
        llama4_model_params hooks = counting_params(c);
        p.allocate = hooks.allocate, p.release = hooks.release, p.allocator_user = hooks.allocator_user;
    }
    p.memory_bytes = bytes;
    p.flags = LLAMA4_MODEL_STREAM;
    *model = NULL;
    return llama4_model_open(path, &p, model, error);
}

TEST(budgets)
{
    for (size_t m = 0; m < sizeof paths / sizeof *paths; m++) {
        llama4_error error = LLAMA4_ERROR_INIT;
        llama4_model *model;
        CHECK_STATUS(open_within(paths[m], 1000, NULL, &model, &error), LLAMA4_ERR_MEMORY, error);
        const int64_t need = needed(error.message);
        CHECK(need > 1000);
        CHECK_STATUS(open_within(paths[m], need - 1, NULL, &model, &error), LLAMA4_ERR_MEMORY, error);
        CHECK_STATUS(open_within(paths[m], need, NULL, &model, &error), LLAMA4_OK, error); /* for 16 tokens, and one's logits */
        llama4_context *least = open_context(model, 4, LLAMA4_KV_F16);
        int32_t ids[16];
        make_ids(ids, 16, 7, model_info(model).vocab_size);
        CHECK_STATUS(decode_ids(least, 0, ids, 16, 1, NULL, 0, &error), LLAMA4_OK, error);
        llama4_context_release(least);
        llama4_model_release(model);
        const int64_t room = 1 << 20; /* for more tokens, and the logits of all */
        for (int64_t bytes = need + room; bytes < 4 * need; bytes += need) {
            counting c = {0};
            llama4_model *resident = open_model(paths[m], NULL);
            CHECK_STATUS(open_within(paths[m], bytes, &c, &model, &error), LLAMA4_OK, error);
            REQUIRE(model && resident);
            float *want = logits_of(resident, 1, 0), *got = logits_of(model, 1, 0);
            CHECK(want && got && memcmp(want, got, TOKENS * (size_t)model_info(model).vocab_size * sizeof *got) == 0);
            llama4_memory_info info = memory_of(model);
            CHECK(info.streaming && info.limit_bytes == bytes && info.used_bytes <= bytes && info.resident_bytes < bytes);
            if (strcmp(paths[m], LONG) == 0) /* no vocabulary: nothing else allocates much */
                CHECK(c.peak_bytes <= (size_t)bytes + 100000);
            free(want);
            free(got);
            llama4_model_release(model);
            llama4_model_release(resident);
            CHECK(c.live == 0 && c.damaged == 0);
        }
    }
}

/* Without LLAMA4_MODEL_STREAM: in memory if all fits, streamed if not, and keys and values count as well. */
TEST(what_fits_is_not_streamed)
{
    llama4_error error = LLAMA4_ERROR_INIT;
    llama4_model_params p;
    llama4_model *model = NULL;
    llama4_model_params_init(&p, sizeof p);
    p.memory_bytes = (int64_t)1 << 30;
    CHECK_STATUS(llama4_model_open(TINY, &p, &model, &error), LLAMA4_OK, error);
    REQUIRE(model);
    llama4_memory_info info = memory_of(model);
    CHECK(!info.streaming && info.limit_bytes == p.memory_bytes && info.used_bytes >= info.resident_bytes);
    llama4_context *context = open_context(model, 1, LLAMA4_KV_F16);
    CHECK(memory_of(model).used_bytes > info.used_bytes);
    llama4_context_release(context);
    CHECK_EQ(memory_of(model).used_bytes, info.used_bytes);
    CHECK_STATUS0(llama4_model_save_experts(model, "never", NULL), LLAMA4_ERR_STATE);
    CHECK_STATUS0(llama4_model_load_experts(model, "never", NULL), LLAMA4_ERR_STATE);
    llama4_model_release(model);
    p.memory_bytes = info.resident_bytes / 4;
    model = NULL;
    CHECK_STATUS(llama4_model_open(TINY, &p, &model, &error), LLAMA4_ERR_MEMORY, error);
    CHECK(needed(error.message) > 0);
    CHECK(model == NULL);
}

#define LONG_PROMPT 1500

/* Logits after LONG_PROMPT tokens, that many together if they may be. */
static llama4_status after_a_long_prompt(llama4_model *model, float *row, llama4_error *error)
{
    int32_t ids[LONG_PROMPT + 1];
    const int32_t vocabulary = model_info(model).vocab_size;
    llama4_context *context = open_context(model, 2, LLAMA4_KV_I16);
    make_ids(ids, LONG_PROMPT + 1, 7, vocabulary);
    llama4_status status = decode_ids(context, 0, ids, LONG_PROMPT, 0, NULL, 0, error);
    if (status == LLAMA4_OK)
        status = decode_ids(context, 0, ids + LONG_PROMPT, 1, 1, row, (size_t)vocabulary, error);
    llama4_context_release(context);
    return status;
}

/* All weights are in memory, but the results of a whole batch have no room beside them: fewer tokens are taken together. */
TEST(a_batch_is_cut_to_the_room)
{
    llama4_error error = LLAMA4_ERROR_INIT;
    llama4_model *model = open_model(TINY, NULL);
    REQUIRE(model);
    const size_t vocabulary = (size_t)model_info(model).vocab_size;
    float *want = malloc(vocabulary * sizeof *want), *got = malloc(vocabulary * sizeof *got);
    const int64_t resident = memory_of(model).resident_bytes;
    CHECK_STATUS(after_a_long_prompt(model, want, &error), LLAMA4_OK, error);
    llama4_model_release(model);
    int resident_runs = 0;
    for (int64_t more = 2 << 20; more <= 40 << 20; more *= 2) {
        llama4_model_params p;
        llama4_model_params_init(&p, sizeof p);
        p.memory_bytes = resident + more;
        model = NULL;
        CHECK_STATUS(llama4_model_open(TINY, &p, &model, &error), LLAMA4_OK, error);
        if (model && !memory_of(model).streaming) {
            CHECK_STATUS(after_a_long_prompt(model, got, &error), LLAMA4_OK, error);
            CHECK(memcmp(got, want, vocabulary * sizeof *got) == 0);
            resident_runs++;
        }
        llama4_model_release(model);
    }
    CHECK(resident_runs >= 2);
    free(want);
    free(got);
}

TEST(bad_parameters)
{
    llama4_model *model = NULL;
    llama4_model_params p = streamed(1);
    CHECK_STATUS0(llama4_model_open(TINY, &p, &model, NULL), LLAMA4_ERR_ARGUMENT);
    p = streamed(-3);
    CHECK_STATUS0(llama4_model_open(TINY, &p, &model, NULL), LLAMA4_ERR_ARGUMENT);
    p = streamed(0);
    p.memory_bytes = -1;
    CHECK_STATUS0(llama4_model_open(TINY, &p, &model, NULL), LLAMA4_ERR_ARGUMENT);
    p = streamed(0);
    p.reserved_2 = 1;
    CHECK_STATUS0(llama4_model_open(TINY, &p, &model, NULL), LLAMA4_ERR_UNSUPPORTED);
    CHECK(model == NULL);
    p = streamed(2); /* a dense model has nothing to stream */
    model = open_model(DENSE, &p);
    CHECK(model && !memory_of(model).streaming);
    llama4_model_release(model);
}

TEST(from_memory)
{
    size_t size = 0;
    unsigned char *bytes = load_file(TINY, &size);
    llama4_model_params p = streamed(3);
    llama4_model *model = NULL, *resident = open_model(TINY, NULL);
    llama4_error error = LLAMA4_ERROR_INIT;
    REQUIRE(bytes && resident);
    CHECK_STATUS(llama4_model_open_memory(bytes, size, &p, &model, &error), LLAMA4_OK, error);
    float *want = logits_of(resident, 1, 0), *got = model ? logits_of(model, 1, 5) : NULL;
    CHECK(want && got && memcmp(want, got, TOKENS * (size_t)model_info(resident).vocab_size * sizeof *got) == 0);
    free(want);
    free(got);
    llama4_model_release(model);
    llama4_model_release(resident);
    free(bytes);
}

TEST(out_of_memory)
{
    for (size_t fail = 1; fail < 200; fail++) {
        counting c = {.fail_at = fail, .fail_count = 1};
        llama4_model_params p = counting_params(&c);
        llama4_error error = LLAMA4_ERROR_INIT;
        llama4_model *model = NULL;
        llama4_context *context = NULL;
        p.flags = LLAMA4_MODEL_STREAM;
        p.expert_slots = 3;
        llama4_status status = llama4_model_open(TINY, &p, &model, &error);
        if (status == LLAMA4_OK)
            status = llama4_context_create(model, NULL, &context, &error);
        int32_t ids[8];
        make_ids(ids, 8, 1, 500);
        if (status == LLAMA4_OK) {
            status = decode_ids(context, 0, ids, 8, 4, NULL, 0, &error);
            CHECK(status == LLAMA4_OK || llama4_context_sequence_length(context, 0) % 4 == 0);
        }
        CHECK(status == LLAMA4_OK || status == LLAMA4_ERR_MEMORY);
        llama4_context_release(context);
        llama4_model_release(model);
        CHECK(c.live == 0 && c.damaged == 0);
        if (!c.failed)
            return;
    }
    CHECK(!"more than 200 allocations");
}

/* ---- which experts were in memory ---- */

TEST(experts_to_a_file_and_back)
{
    static const char path[] = "test_stream_experts.tmp";
    llama4_model_params p = streamed(0);
    llama4_error error = LLAMA4_ERROR_INIT;
    llama4_model *first = open_model(TINY, &p), *second = open_model(TINY, &p), *other = open_model(SCOUT, &p);
    REQUIRE(first && second && other);
    free(logits_of(first, 1, 0));
    CHECK_STATUS(llama4_model_save_experts(first, path, &error), LLAMA4_OK, error);
    CHECK_STATUS(llama4_model_load_experts(second, path, &error), LLAMA4_OK, error);
    CHECK_EQ(memory_of(second).expert_slots, memory_of(first).expert_slots);
    float *got = logits_of(second, 1, 1), *want = logits_of(first, 1, 1);
    CHECK(got && want && memcmp(got, want, TOKENS * (size_t)model_info(first).vocab_size * sizeof *got) == 0);
    CHECK_EQ(memory_of(second).bytes_read, memory_of(first).bytes_read); /* nothing twice */
    free(got);
    free(want);
    CHECK_STATUS0(llama4_model_load_experts(other, path, NULL), LLAMA4_ERR_FORMAT);
    size_t size = 0;
    unsigned char *bytes = load_file(path, &size);
    for (size_t n = 0; bytes && n < size; n++) {
        save_file(path, bytes, n);
        CHECK(llama4_model_load_experts(second, path, NULL) != LLAMA4_OK);
    }
    bytes[size - 1] = 0xff;
    save_file(path, bytes, size);
    CHECK_STATUS0(llama4_model_load_experts(second, path, NULL), LLAMA4_ERR_FORMAT);
    free(bytes);
    remove(path);
    CHECK_STATUS0(llama4_model_load_experts(second, path, NULL), LLAMA4_ERR_IO);
    CHECK_STATUS0(llama4_model_save_experts(second, "no/such/folder/x", NULL), LLAMA4_ERR_IO);
    llama4_model_release(first);
    llama4_model_release(second);
    llama4_model_release(other);
}

TEST(routing_is_counted)
{
    llama4_model *model = open_model(MAVERICK, NULL);
    REQUIRE(model);
    llama4_context *context = open_context(model, 1, LLAMA4_KV_F16);
    const size_t experts = (size_t)model_info(model).experts;
    int32_t ids[TOKENS];
    uint64_t counts[256];
    size_t count = 0;
    llama4_error error = LLAMA4_ERROR_INIT;
    make_ids(ids, TOKENS, 7, model_info(model).vocab_size);
    CHECK_STATUS(decode_ids(context, 0, ids, TOKENS, 10, NULL, 0, &error), LLAMA4_OK, error);
    int32_t mixtures = 0;
    for (int32_t layer = 0; layer < model_info(model).layers; layer++) {
        uint64_t sum = 0;
        CHECK_STATUS(llama4_context_get_expert_counts(context, layer, counts, 256, &count, &error), LLAMA4_OK, error);
        CHECK_EQ(count, experts);
        for (size_t e = 0; e < experts; e++)
            sum += counts[e];
        CHECK(sum == 0 || sum == (uint64_t)TOKENS * (uint64_t)model_info(model).experts_used);
        mixtures += sum > 0;
    }
    CHECK_EQ(mixtures, model_info(model).moe_layers);
    CHECK_STATUS0(llama4_context_get_expert_counts(context, 0, counts, experts - 1, &count, NULL), LLAMA4_ERR_CAPACITY);
    CHECK_STATUS0(llama4_context_get_expert_counts(context, 0, NULL, 0, &count, NULL), LLAMA4_OK);
    CHECK_STATUS0(llama4_context_get_expert_counts(context, -1, counts, 256, &count, NULL), LLAMA4_ERR_ARGUMENT);
    CHECK_STATUS0(llama4_context_get_expert_counts(context, model_info(model).layers, counts, 256, &count, NULL), LLAMA4_ERR_ARGUMENT);
    llama4_context_release(context);
    llama4_model_release(model);
}

TEST_MAIN_IN_OWN_FOLDER(T(same_bits), T(guesses), T(budgets), T(what_fits_is_not_streamed), T(a_batch_is_cut_to_the_room), T(bad_parameters), T(from_memory),
                        T(out_of_memory), T(experts_to_a_file_and_back), T(routing_is_counted))
