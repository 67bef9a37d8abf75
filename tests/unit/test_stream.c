/* Experts that are read when they are needed: the same bits as in memory, whatever the number of slots; budgets; and files that fail. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#ifdef __linux__
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <sys/syscall.h>
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
        for (int64_t bytes = need; bytes < 4 * need; bytes += need) {
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
    p.memory_bytes = info.resident_bytes;
    model = NULL;
    CHECK_STATUS(llama4_model_open(TINY, &p, &model, &error), LLAMA4_ERR_MEMORY, error);
    CHECK(needed(error.message) > 0);
    CHECK(model == NULL);
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

#ifdef __linux__
/* ---- disks that fail ----
 * The program's own pread stands in front of the C library's. */

static atomic_int reads, fail_at, fail_code, hold, held, refuse_direct, cut;

static ssize_t shim(int fd, void *buffer, size_t size, off_t offset)
{
    const int n = atomic_fetch_add(&reads, 1) + 1;
    if (atomic_load(&fail_at) && n >= atomic_load(&fail_at) && atomic_load(&fail_code)) {
        errno = atomic_load(&fail_code);
        return -1;
    }
    if (atomic_load(&refuse_direct) && fcntl(fd, F_GETFL) & O_DIRECT) {
        errno = EINVAL;
        return -1;
    }
    atomic_fetch_add(&held, 1);
    while (atomic_load(&hold))
        usleep(1000);
    if (atomic_load(&cut) && size > 8192)
        size = 4096 + size / 2 / 512 * 512; /* fewer bytes than asked for, as a system may give */
    return syscall(SYS_pread64, fd, buffer, size, offset);
}

ssize_t stream_pread(int fd, void *buffer, size_t size, off_t offset) __asm__("pread");
ssize_t stream_pread64(int fd, void *buffer, size_t size, off_t offset) __asm__("pread64");

ssize_t stream_pread(int fd, void *buffer, size_t size, off_t offset)
{
    return shim(fd, buffer, size, offset);
}

ssize_t stream_pread64(int fd, void *buffer, size_t size, off_t offset)
{
    return shim(fd, buffer, size, offset);
}

static void whole_disk(void)
{
    atomic_store(&fail_at, 0);
    atomic_store(&fail_code, 0);
    atomic_store(&hold, 0);
    atomic_store(&refuse_direct, 0);
    atomic_store(&cut, 0);
    atomic_store(&reads, 0);
}

/* The model with 2 slots, a context, and the logits that the next 8 tokens must give. */
typedef struct scene {
    llama4_model *model;
    llama4_context *context;
    int32_t ids[16];
    float *want;
    size_t vocabulary;
} scene;

static int scene_open(scene *s, const char *path)
{
    llama4_model_params p = streamed(2);
    llama4_error error = LLAMA4_ERROR_INIT;
    memset(s, 0, sizeof *s);
    whole_disk();
    llama4_model *resident = open_model(TINY, NULL);
    s->model = open_model(path, &p);
    if (!resident || !s->model)
        return 0;
    s->vocabulary = (size_t)model_info(resident).vocab_size;
    s->want = malloc(8 * s->vocabulary * sizeof(float));
    make_ids(s->ids, 16, 3, (int32_t)s->vocabulary);
    llama4_context *truth = open_context(resident, 1, LLAMA4_KV_F16);
    s->context = open_context(s->model, 2, LLAMA4_KV_F16);
    int fine = decode_ids(truth, 0, s->ids, 8, 0, NULL, 0, &error) == LLAMA4_OK &&
               decode_ids(truth, 0, s->ids + 8, 8, 0, s->want, s->vocabulary, &error) == LLAMA4_OK &&
               decode_ids(s->context, 0, s->ids, 8, 0, NULL, 0, &error) == LLAMA4_OK;
    llama4_context_release(truth);
    llama4_model_release(resident);
    return CHECK(fine);
}

/* After a failure: the context is as it was, and goes on. */
static void scene_goes_on(scene *s)
{
    llama4_error error = LLAMA4_ERROR_INIT;
    float *got = malloc(8 * s->vocabulary * sizeof *got);
    whole_disk();
    CHECK_EQ(llama4_context_sequence_length(s->context, 0), 8);
    CHECK_STATUS(decode_ids(s->context, 0, s->ids + 8, 8, 0, got, s->vocabulary, &error), LLAMA4_OK, error);
    CHECK(got && memcmp(got, s->want, 8 * s->vocabulary * sizeof *got) == 0);
    CHECK_STATUS0(llama4_context_truncate(s->context, 0, 8, NULL), LLAMA4_OK);
    free(got);
}

static void scene_close(scene *s)
{
    whole_disk();
    llama4_context_release(s->context);
    llama4_model_release(s->model);
    free(s->want);
}

TEST(read_errors)
{
    scene s;
    if (scene_open(&s, TINY)) {
        scene_goes_on(&s);
        int failures = 0;
        for (int at = 1; at < 60; at++) {
            llama4_error error = LLAMA4_ERROR_INIT;
            atomic_store(&reads, 0);
            atomic_store(&fail_code, EIO);
            atomic_store(&fail_at, at);
            llama4_status status = decode_ids(s.context, 0, s.ids + 8, 8, at % 2 ? 0 : 1, NULL, 0, &error);
            CHECK(status == LLAMA4_OK || status == LLAMA4_ERR_IO);
            failures += status == LLAMA4_ERR_IO;
            if (status)
                CHECK(strstr(error.message, "read") != NULL);
            llama4_context_truncate(s.context, 0, 8, NULL);
            scene_goes_on(&s);
        }
        CHECK(failures > 10);
    }
    scene_close(&s);
}

TEST(short_reads_and_no_direct_reads)
{
    scene s;
    if (scene_open(&s, TINY)) {
        float *got = malloc(8 * s.vocabulary * sizeof *got);
        llama4_error error = LLAMA4_ERROR_INIT;
        for (int round = 0; round < 3; round++) {
            atomic_store(&cut, round != 1);
            atomic_store(&refuse_direct, round >= 1);
            CHECK_STATUS(decode_ids(s.context, 0, s.ids + 8, 8, 2, got, s.vocabulary, &error), LLAMA4_OK, error);
            CHECK(memcmp(got, s.want, 8 * s.vocabulary * sizeof *got) == 0);
            if (round >= 1)
                CHECK_EQ(memory_of(s.model).direct, 0);
            CHECK_STATUS0(llama4_context_truncate(s.context, 0, 8, NULL), LLAMA4_OK);
        }
        free(got);
    }
    scene_close(&s);
}

static void *cancel_when_held(void *context)
{
    while (!atomic_load(&held))
        usleep(1000);
    llama4_context_cancel(context);
    return NULL;
}

/* The disk does not answer until the call has come back: cancelling waits for no read. */
TEST(cancelled_while_the_disk_hangs)
{
    scene s;
    if (scene_open(&s, TINY)) {
        pthread_t thread;
        llama4_error error = LLAMA4_ERROR_INIT;
        float *rows = malloc(8 * s.vocabulary * sizeof *rows);
        atomic_store(&held, 0);
        atomic_store(&hold, 1);
        REQUIRE(pthread_create(&thread, NULL, cancel_when_held, s.context) == 0);
        CHECK_STATUS(decode_ids(s.context, 0, s.ids + 8, 8, 0, NULL, 0, &error), LLAMA4_ERR_CANCELLED, error); /* in the embedding */
        pthread_join(thread, NULL);
        scene_goes_on(&s);
        atomic_store(&held, 0);
        atomic_store(&hold, 1);
        REQUIRE(pthread_create(&thread, NULL, cancel_when_held, s.context) == 0);
        /* With embeddings handed in, in the first layer's experts. */
        llama4_batch_item items[8];
        size_t width = (size_t)model_info(s.model).embedding_length;
        float *embeddings = calloc(8 * width, sizeof *embeddings);
        for (size_t i = 0; i < 8 * width; i++)
            embeddings[i] = (float)(i * 7919 % 101) / 50 - 1;
        memset(items, 0, sizeof items);
        for (size_t i = 0; i < 8; i++)
            items[i] = (llama4_batch_item){.token = -1, .position = -1};
        CHECK_STATUS(llama4_context_decode_embeddings(s.context, items, 8, sizeof *items, embeddings, 8 * width, &error), LLAMA4_ERR_CANCELLED, error);
        CHECK(atomic_load(&hold) == 1);
        pthread_join(thread, NULL);
        scene_goes_on(&s);
        free(embeddings);
        free(rows);
    }
    scene_close(&s);
}

TEST(file_shrinks_and_comes_back)
{
    static const char path[] = "test_stream_model.tmp";
    size_t size = 0;
    unsigned char *bytes = load_file(TINY, &size);
    scene s;
    REQUIRE(bytes && save_file(path, bytes, size) == 0);
    if (scene_open(&s, path)) {
        for (size_t left = 0; left < size; left += size / 5 + 1) {
            llama4_error error = LLAMA4_ERROR_INIT;
            llama4_model_info info = {.struct_size = sizeof info};
            llama4_tensor_info tensor = {.struct_size = sizeof tensor};
            REQUIRE(truncate(path, (off_t)left) == 0);
            CHECK_STATUS(decode_ids(s.context, 0, s.ids + 8, 8, 1, NULL, 0, &error), LLAMA4_ERR_IO, error);
            CHECK(strstr(error.message, "ends at byte") != NULL);
            /* Nothing else looks at the file either. */
            CHECK_STATUS(llama4_model_get_info(s.model, &info, &error), LLAMA4_OK, error);
            CHECK_STATUS(llama4_model_get_tensor(s.model, 0, &tensor, &error), LLAMA4_OK, error);
            CHECK(llama4_vocab_find(llama4_model_get_vocab(s.model), "<|eot|>", 7) >= 0);
            FILE *f = fopen(path, "r+b");
            REQUIRE(f && fwrite(bytes, 1, size, f) == size && fclose(f) == 0);
            llama4_context_truncate(s.context, 0, 8, NULL);
            scene_goes_on(&s);
        }
        /* Replaced: the old file is still there for those who have it open. */
        REQUIRE(remove(path) == 0 && save_file(path, "something else", 14) == 0);
        scene_goes_on(&s);
    }
    scene_close(&s);
    remove(path);
    free(bytes);
}

/* ---- several contexts, two slots ---- */

typedef struct runner {
    llama4_model *model;
    size_t step;
    float *rows;
} runner;

static void *run_one(void *argument)
{
    runner *r = argument;
    r->rows = logits_of(r->model, 1, r->step);
    return NULL;
}

TEST(contexts_share_slots)
{
    for (size_t m = 0; m < 2; m++) {
        llama4_model_params p = streamed(2);
        llama4_model *model = open_model(paths[m], &p), *resident = open_model(paths[m], NULL);
        REQUIRE(model && resident);
        float *want = logits_of(resident, 1, 0);
        runner runners[4];
        pthread_t threads[4];
        for (size_t i = 0; i < 4; i++) {
            runners[i] = (runner){model, i * 5, NULL};
            REQUIRE(pthread_create(&threads[i], NULL, run_one, &runners[i]) == 0);
        }
        for (size_t i = 0; i < 4; i++) {
            pthread_join(threads[i], NULL);
            CHECK(want && runners[i].rows &&
                  memcmp(want, runners[i].rows, TOKENS * (size_t)model_info(model).vocab_size * sizeof *want) == 0);
            free(runners[i].rows);
        }
        free(want);
        llama4_model_release(model);
        llama4_model_release(resident);
    }
}

TEST_MAIN(T(same_bits), T(guesses), T(budgets), T(what_fits_is_not_streamed), T(bad_parameters), T(from_memory), T(out_of_memory), T(experts_to_a_file_and_back),
          T(routing_is_counted), T(read_errors), T(short_reads_and_no_direct_reads), T(cancelled_while_the_disk_hangs), T(file_shrinks_and_comes_back),
          T(contexts_share_slots))
#else
TEST_MAIN(T(same_bits), T(guesses), T(budgets), T(what_fits_is_not_streamed), T(bad_parameters), T(from_memory), T(out_of_memory), T(experts_to_a_file_and_back),
          T(routing_is_counted))
#endif
