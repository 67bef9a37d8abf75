/* Streamed experts on disks that fail, hang, give little at a time or shrink: errors from the call, the context as it was. The program's own pread
 * stands in front of the C library's. */
#include <stdlib.h>
#include <string.h>
#ifdef __linux__
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>
#endif

#include "stream.h"

#ifdef __linux__
#define PREAD_HOOK on_read
#include "pread.h"

static atomic_int hold, held, spoil, refuse_direct;

static int on_read(int fd, int n)
{
    (void)n;
    if (atomic_load(&refuse_direct) && fcntl(fd, F_GETFL) & O_DIRECT) {
        errno = EINVAL;
        return -1;
    }
    atomic_fetch_add(&held, 1);
    int waited = 0;
    while (atomic_load(&hold)) {
        usleep(1000);
        waited = 1;
    }
    errno = EIO;
    return waited && atomic_load(&spoil) ? -1 : 0;
}

static void whole_disk(void)
{
    healthy_pread();
    atomic_store(&hold, 0);
    atomic_store(&spoil, 0);
    atomic_store(&refuse_direct, 0);
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

/* Eight tokens by embeddings, which need no reads before the experts'. */
static llama4_status decode_rows(const scene *s, llama4_error *error)
{
    llama4_batch_item items[8] = {0};
    size_t width = (size_t)model_info(s->model).embedding_length;
    float *embeddings = calloc(8 * width, sizeof *embeddings);
    for (size_t i = 0; i < 8 * width; i++)
        embeddings[i] = (float)(i * 7919 % 101) / 50 - 1;
    for (size_t i = 0; i < 8; i++)
        items[i] = (llama4_batch_item){.token = -1, .position = -1};
    llama4_status status = llama4_context_decode_embeddings(s->context, items, 8, sizeof *items, embeddings, 8 * width, error);
    free(embeddings);
    return status;
}

/* A call that is cancelled while the disk does not answer. `embedding`: where it reads tokens' embeddings, or else where it reads experts. */
static void cancel_while_held(const scene *s, int embedding)
{
    pthread_t thread;
    llama4_error error = LLAMA4_ERROR_INIT;
    atomic_store(&held, 0);
    atomic_store(&hold, 1);
    REQUIRE(pthread_create(&thread, NULL, cancel_when_held, s->context) == 0);
    if (embedding)
        CHECK_STATUS(decode_ids(s->context, 0, s->ids + 8, 8, 0, NULL, 0, &error), LLAMA4_ERR_CANCELLED, error);
    else
        CHECK_STATUS(decode_rows(s, &error), LLAMA4_ERR_CANCELLED, error);
    CHECK(atomic_load(&hold) == 1);
    pthread_join(thread, NULL);
}

static void *let_go(void *nothing)
{
    usleep(100000);
    atomic_store(&hold, 0);
    return nothing;
}

/* The disk does not answer until the call has come back: cancelling waits for no read. */
TEST(cancelled_while_the_disk_hangs)
{
    scene s;
    if (scene_open(&s, TINY)) {
        cancel_while_held(&s, 1);
        scene_goes_on(&s);
        cancel_while_held(&s, 0);
        scene_goes_on(&s);
    }
    scene_close(&s);
}

/* Reads that were begun for a call that is over fail while the next one waits for them: it reads again. */
TEST(failed_for_somebody_else)
{
    scene s;
    if (scene_open(&s, TINY)) {
        pthread_t thread;
        llama4_error error = LLAMA4_ERROR_INIT;
        atomic_store(&spoil, 1);
        cancel_while_held(&s, 0);
        REQUIRE(pthread_create(&thread, NULL, let_go, NULL) == 0);
        CHECK_STATUS(decode_rows(&s, &error), LLAMA4_OK, error);
        pthread_join(thread, NULL);
        CHECK_STATUS0(llama4_context_truncate(s.context, 0, 8, NULL), LLAMA4_OK);
        scene_goes_on(&s);
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
    static const char *const shared[] = {SCOUT, MAVERICK};
    for (size_t m = 0; m < 2; m++) {
        llama4_model_params p = streamed(2);
        llama4_model *model = open_model(shared[m], &p), *resident = open_model(shared[m], NULL);
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

TEST_MAIN_IN_OWN_FOLDER(T(read_errors), T(short_reads_and_no_direct_reads), T(cancelled_while_the_disk_hangs), T(failed_for_somebody_else),
                        T(file_shrinks_and_comes_back), T(contexts_share_slots))
#else
TEST(disks)
{
    SKIP("only on Linux");
}

TEST_MAIN(T(disks))
#endif
