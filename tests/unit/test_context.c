/* What may happen to a sequence between two decodes: forks, truncation, failures, cancellation; and generation on top. After each
 * of them the next logits must be, bit for bit, those of a context to which nothing happened. */
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "check.h"
#include "support.h"

#define N 53

typedef struct bench {
    llama4_model *model;
    llama4_context *c;
    size_t vocabulary;
    int64_t chunk;
    int32_t a[N], b[N];
    float *a_rows, *b_rows; /* of a and b alone */
} bench;

static int bench_open(bench *t, const char *path)
{
    llama4_error error = LLAMA4_ERROR_INIT;
    memset(t, 0, sizeof *t);
    t->model = open_model(path, NULL);
    if (!CHECK(t->model != NULL))
        return 0;
    llama4_model_info info = model_info(t->model);
    t->vocabulary = (size_t)info.vocab_size;
    t->chunk = info.chunk_size;
    t->a_rows = calloc(N * t->vocabulary, sizeof(float));
    t->b_rows = calloc(N * t->vocabulary, sizeof(float));
    make_ids(t->a, N, 1, 60);
    memcpy(t->b, t->a, sizeof t->b);
    make_ids(t->b + 40, N - 40, 2, 60); /* b: the first 40 of a, then its own way */
    t->b[40] = t->a[40] == 5 ? 6 : 5;
    t->c = open_context(t->model, 2, LLAMA4_KV_F32);
    llama4_context *other = open_context(t->model, 1, LLAMA4_KV_F32);
    int good = CHECK(t->c && other) &&
               CHECK_STATUS(decode_ids(other, 0, t->a, N, 0, t->a_rows, t->vocabulary, &error), LLAMA4_OK, error) &&
               CHECK_STATUS(decode_ids(other, 1, t->b, N, 0, t->b_rows, t->vocabulary, &error), LLAMA4_OK, error);
    llama4_context_release(other);
    return good;
}

static void bench_close(bench *t)
{
    llama4_context_release(t->c);
    llama4_model_release(t->model);
    free(t->a_rows);
    free(t->b_rows);
}

/* Appends ids from .. to - 1 of a or b to a sequence and compares every row. */
static int goes_on(bench *t, int32_t sequence, int of_b, size_t from, size_t to, int line)
{
    llama4_error error = LLAMA4_ERROR_INIT;
    float *rows = malloc((to - from) * t->vocabulary * sizeof *rows);
    const float *want = (of_b ? t->b_rows : t->a_rows) + from * t->vocabulary;
    int before = check_failures;
    if (CHECK_EQ(llama4_context_sequence_length(t->c, sequence), from) &&
        CHECK_STATUS(decode_ids(t->c, sequence, (of_b ? t->b : t->a) + from, to - from, 4, rows, t->vocabulary, &error), LLAMA4_OK, error))
        CHECK_MEM(rows, want, (to - from) * t->vocabulary * sizeof *rows);
    free(rows);
    if (check_failures > before)
        printf("  called from line %d\n", line);
    return check_failures == before;
}

#define GOES_ON(t, sequence, of_b, from, to) goes_on(t, sequence, of_b, from, to, __LINE__)

static void with(const char *path, void (*f)(bench *t))
{
    bench t;
    int before = check_failures;
    if (bench_open(&t, path))
        f(&t);
    bench_close(&t);
    if (check_failures > before)
        printf("  in %s\n", path);
}

static void with_all(void (*f)(bench *t))
{
    with(SCOUT, f);
    with(MAVERICK, f);
    with(DENSE, f);
    with(LONG, f);
    with(TINY, f);
}

/* ---- forks and truncation ---- */

static void forks(bench *t)
{
    llama4_error error = LLAMA4_ERROR_INIT;
    GOES_ON(t, 0, 0, 0, 40);
    GOES_ON(t, 9, 0, 0, 3); /* will be dropped */
    CHECK_STATUS(llama4_context_fork(t->c, 0, 9, &error), LLAMA4_OK, error);
    CHECK_STATUS(llama4_context_fork(t->c, 9, 20, &error), LLAMA4_OK, error);
    GOES_ON(t, 9, 1, 40, 47);
    GOES_ON(t, 0, 0, 40, 44);
    CHECK_STATUS(llama4_context_truncate(t->c, 0, 0, &error), LLAMA4_OK, error);
    GOES_ON(t, 9, 1, 47, N);
    GOES_ON(t, 20, 0, 40, N);
    GOES_ON(t, 0, 0, 0, 20);
    CHECK_STATUS(llama4_context_fork(t->c, 33, 20, &error), LLAMA4_OK, error); /* 33 is empty */
    CHECK_EQ(llama4_context_sequence_length(t->c, 20), 0);
    CHECK_STATUS0(llama4_context_fork(t->c, 0, 64, &error), LLAMA4_ERR_ARGUMENT);
    CHECK_STATUS0(llama4_context_fork(t->c, -1, 0, &error), LLAMA4_ERR_ARGUMENT);
    CHECK_STATUS(llama4_context_fork(t->c, 0, 0, &error), LLAMA4_OK, error); /* a copy of itself */
    GOES_ON(t, 0, 0, 20, N);
}

TEST(forks_part_ways)
{
    with_all(forks);
}

/* Forks at every length, so that every state of a page or a chunk is shared once. */
static void forks_everywhere(bench *t)
{
    llama4_error error = LLAMA4_ERROR_INIT;
    for (size_t n = 1; n < 40; n++) {
        CHECK_STATUS(llama4_context_truncate(t->c, 0, 0, &error), LLAMA4_OK, error);
        GOES_ON(t, 0, 0, 0, n);
        CHECK_STATUS(llama4_context_fork(t->c, 0, 1, &error), LLAMA4_OK, error);
        if (!GOES_ON(t, 0, 0, n, n + 9) || !GOES_ON(t, 1, 1, n, N) || !GOES_ON(t, 0, 0, n + 9, N))
            return;
    }
}

TEST(forks_at_every_length)
{
    with(SCOUT, forks_everywhere);
    with(DENSE, forks_everywhere);
}

static void truncations(bench *t)
{
    llama4_error error = LLAMA4_ERROR_INIT;
    size_t chunk = t->chunk > 0 && t->chunk < N ? (size_t)t->chunk : 0, start = chunk ? 47 / chunk * chunk : 0;
    GOES_ON(t, 3, 0, 0, 48);
    CHECK_STATUS0(llama4_context_truncate(t->c, 3, 49, &error), LLAMA4_ERR_ARGUMENT);
    CHECK_STATUS0(llama4_context_truncate(t->c, 3, -1, &error), LLAMA4_ERR_ARGUMENT);
    CHECK_STATUS0(llama4_context_truncate(t->c, 64, 0, &error), LLAMA4_ERR_ARGUMENT);
    CHECK_STATUS(llama4_context_truncate(t->c, 3, 48, &error), LLAMA4_OK, error);
    GOES_ON(t, 3, 0, 48, 50);
    size_t mid = 50 / (chunk ? chunk : 50) * (chunk ? chunk : 1); /* the first position of the chunk of position 50 */
    if (chunk) {
        CHECK_STATUS0(llama4_context_truncate(t->c, 3, (int64_t)start - 1, &error), LLAMA4_ERR_STATE);
        CHECK(error.message[0] != 0);
        CHECK_EQ(llama4_context_sequence_length(t->c, 3), 50);
        if (mid + 1 <= 50) {
            CHECK_STATUS(llama4_context_truncate(t->c, 3, (int64_t)mid + 1, &error), LLAMA4_OK, error);
            GOES_ON(t, 3, 0, mid + 1, 50);
        }
    } else {
        CHECK_STATUS(llama4_context_truncate(t->c, 3, 41, &error), LLAMA4_OK, error);
        GOES_ON(t, 3, 0, 41, 50);
        CHECK_STATUS(llama4_context_truncate(t->c, 3, 40, &error), LLAMA4_OK, error);
        GOES_ON(t, 3, 1, 40, N); /* another way from here */
    }
    CHECK_STATUS(llama4_context_truncate(t->c, 3, 0, &error), LLAMA4_OK, error);
    GOES_ON(t, 3, 1, 0, N);
}

TEST(truncation_forgets_the_end)
{
    with_all(truncations);
}

/* A fork shares memory; an emptied sequence gives it back, or keeps it for the next. */
static void memory(bench *t)
{
    llama4_context_info one = {.struct_size = sizeof one}, two = one, all = one;
    llama4_error error = LLAMA4_ERROR_INIT;
    GOES_ON(t, 0, 0, 0, 40);
    CHECK_STATUS(llama4_context_get_info(t->c, &one, &error), LLAMA4_OK, error);
    CHECK(one.kv_bytes > 0 && one.scratch_bytes > 0);
    for (int32_t s = 1; s < 32; s++)
        CHECK_STATUS(llama4_context_fork(t->c, 0, s, &error), LLAMA4_OK, error);
    CHECK_STATUS(llama4_context_get_info(t->c, &two, &error), LLAMA4_OK, error);
    CHECK(two.kv_bytes < 4 * one.kv_bytes);
    for (int round = 0; round < 20; round++) {
        for (int32_t s = 0; s < 32; s++)
            CHECK_STATUS(llama4_context_truncate(t->c, s, 0, &error), LLAMA4_OK, error);
        GOES_ON(t, round, 0, 0, 40);
    }
    CHECK_STATUS(llama4_context_get_info(t->c, &all, &error), LLAMA4_OK, error);
    CHECK(all.kv_bytes <= 2 * two.kv_bytes); /* nothing piles up */
}

TEST(memory_is_shared_and_reused)
{
    with(SCOUT, memory);
    with(TINY, memory);
}

/* ---- failures ---- */

static void failures(bench *t)
{
    llama4_error error = LLAMA4_ERROR_INIT;
    const float *logits;
    llama4_batch_item good[3] = {{t->a[10], 0, 10, 1, 0}, {t->a[0], 7, -1, 1, 0}, {t->a[11], 0, 11, 1, 0}}, bad[3];
    GOES_ON(t, 0, 0, 0, 10);
    for (int i = 0; i < 3; i++)
        for (int how = 0; how < 7; how++) {
            memcpy(bad, good, sizeof bad);
            if (how == 0)
                bad[i].token = -1;
            else if (how == 1)
                bad[i].token = (int32_t)t->vocabulary;
            else if (how == 2)
                bad[i].sequence = 64;
            else if (how == 3)
                bad[i].sequence = -1;
            else if (how == 4)
                bad[i].position = 99;
            else if (how == 5)
                bad[i].position = -2;
            else
                bad[i].token = INT32_MAX;
            error = (llama4_error)LLAMA4_ERROR_INIT;
            CHECK_STATUS0(llama4_context_decode(t->c, bad, 3, sizeof *bad, &error), LLAMA4_ERR_ARGUMENT);
            CHECK_EQ(error.status, LLAMA4_ERR_ARGUMENT);
            CHECK(error.message[0] != 0);
            CHECK_EQ(llama4_context_sequence_length(t->c, 0), 10);
            CHECK_EQ(llama4_context_sequence_length(t->c, 7), 0);
        }
    CHECK_STATUS0(llama4_context_decode(t->c, good, 0, sizeof *good, &error), LLAMA4_ERR_ARGUMENT);
    CHECK_STATUS(llama4_context_decode(t->c, good, 3, sizeof *good, &error), LLAMA4_OK, error);
    CHECK_STATUS(llama4_context_logits(t->c, 2, &logits, NULL, &error), LLAMA4_OK, error);
    CHECK_MEM(logits, t->a_rows + 11 * t->vocabulary, t->vocabulary * sizeof *logits);
    CHECK_STATUS(llama4_context_logits(t->c, 1, &logits, NULL, &error), LLAMA4_OK, error);
    CHECK_MEM(logits, t->a_rows, t->vocabulary * sizeof *logits);
    GOES_ON(t, 0, 0, 12, N);
    GOES_ON(t, 7, 0, 1, N);
}

TEST(bad_items_change_nothing)
{
    with(SCOUT, failures);
    with(DENSE, failures);
    with(LONG, failures);
}

static void logits_contract(bench *t)
{
    llama4_error error = LLAMA4_ERROR_INIT;
    const float *logits = NULL;
    size_t count = 0;
    llama4_batch_item items[2] = {{t->a[0], 0, 0, 0, 0}, {t->a[1], 0, 1, 1, 0}};
    CHECK(llama4_context_logits(t->c, 0, &logits, &count, &error) != LLAMA4_OK); /* nothing decoded yet */
    CHECK_STATUS(llama4_context_decode(t->c, items, 2, sizeof *items, &error), LLAMA4_OK, error);
    CHECK_STATUS0(llama4_context_logits(t->c, 0, &logits, &count, &error), LLAMA4_ERR_ARGUMENT); /* did not ask */
    CHECK_STATUS0(llama4_context_logits(t->c, 2, &logits, &count, &error), LLAMA4_ERR_ARGUMENT);
    CHECK_STATUS0(llama4_context_logits(t->c, SIZE_MAX, &logits, &count, &error), LLAMA4_ERR_ARGUMENT);
    CHECK(logits == NULL && count == 0);
    CHECK_STATUS(llama4_context_logits(t->c, 1, &logits, &count, &error), LLAMA4_OK, error);
    CHECK_EQ(count, t->vocabulary);
    CHECK_MEM(logits, t->a_rows + t->vocabulary, t->vocabulary * sizeof *logits);
}

TEST(logits_only_of_who_asked)
{
    with(SCOUT, logits_contract);
}

TEST(context_full)
{
    bench t;
    llama4_error error = LLAMA4_ERROR_INIT;
    if (bench_open(&t, SCOUT)) {
        llama4_context_params p = {.struct_size = sizeof p, .context_length = 20, .kv_type = LLAMA4_KV_F32, .sequences = 2};
        llama4_context_release(t.c);
        t.c = NULL;
        CHECK_STATUS(llama4_context_create(t.model, &p, &t.c, &error), LLAMA4_OK, error);
        CHECK_STATUS0(decode_ids(t.c, 0, t.a, 21, 0, NULL, 0, &error), LLAMA4_ERR_CONTEXT_FULL);
        CHECK_EQ(llama4_context_sequence_length(t.c, 0), 0);
        GOES_ON(&t, 0, 0, 0, 15);
        CHECK_STATUS0(decode_ids(t.c, 0, t.a + 15, 6, 0, NULL, 0, &error), LLAMA4_ERR_CONTEXT_FULL);
        GOES_ON(&t, 0, 0, 15, 20);
        CHECK_STATUS0(decode_ids(t.c, 0, t.a + 20, 1, 0, NULL, 0, &error), LLAMA4_ERR_CONTEXT_FULL);
        CHECK_EQ(llama4_context_sequence_length(t.c, 2), -1);
        CHECK_STATUS0(decode_ids(t.c, 2, t.a, 1, 0, NULL, 0, &error), LLAMA4_ERR_ARGUMENT);
    }
    bench_close(&t);
}

/* ---- cancellation ---- */

typedef struct stopper {
    int calls, stop_at;
    float last;
    int disorder;
} stopper;

static int32_t on_progress(void *user, float fraction)
{
    stopper *s = user;
    s->disorder |= !(fraction >= 0 && fraction <= 1) || fraction < s->last;
    s->last = fraction;
    return ++s->calls == s->stop_at;
}

/* Cancels a decode of two sequences at every step that there is. */
static void cancelled_everywhere(bench *t)
{
    llama4_error error = LLAMA4_ERROR_INIT;
    stopper s = {0};
    llama4_context_params p = {.struct_size = sizeof p, .threads = 2, .batch_size = 8, .kv_type = LLAMA4_KV_F32, .progress = on_progress,
                               .progress_user = &s};
    llama4_batch_item items[30];
    llama4_context_release(t->c);
    t->c = NULL;
    REQUIRE_STATUS(llama4_context_create(t->model, &p, &t->c, &error), LLAMA4_OK, error);
    GOES_ON(t, 0, 0, 0, 11);
    for (int i = 0; i < 30; i++) /* 20 more of sequence 0, across the boundary of a chunk, and 10 of a new one */
        items[i] = i % 3 < 2 ? (llama4_batch_item){t->a[11 + i / 3 * 2 + i % 3], 0, -1, 1, 0} : (llama4_batch_item){t->b[i / 3], 1, -1, 1, 0};
    int steps = 0;
    for (int at = 1; at < 10000; at++) {
        s = (stopper){.stop_at = at};
        llama4_status status = llama4_context_decode(t->c, items, 30, sizeof *items, &error);
        CHECK(!s.disorder);
        if (status == LLAMA4_OK) {
            CHECK_EQ(s.calls, at - 1); /* it was never told to stop */
            break;
        }
        if (!CHECK_STATUS(status, LLAMA4_ERR_CANCELLED, error))
            return;
        steps++;
        CHECK_EQ(s.calls, at);
        CHECK_EQ(llama4_context_sequence_length(t->c, 0), 11);
        CHECK_EQ(llama4_context_sequence_length(t->c, 1), 0);
        /* what was half computed must not be felt */
        s = (stopper){0};
        CHECK_STATUS(llama4_context_fork(t->c, 0, 2, &error), LLAMA4_OK, error);
        if (!GOES_ON(t, 2, 0, 11, 30))
            return;
        CHECK_STATUS(llama4_context_truncate(t->c, 2, 0, &error), LLAMA4_OK, error);
    }
    CHECK(steps >= model_info(t->model).layers);
    CHECK_EQ(llama4_context_sequence_length(t->c, 0), 31);
    CHECK_EQ(llama4_context_sequence_length(t->c, 1), 10);
    s = (stopper){0};
    GOES_ON(t, 0, 0, 31, N);
    GOES_ON(t, 1, 1, 10, N);
}

TEST(cancelled_at_every_step)
{
    with(SCOUT, cancelled_everywhere);
    with(MAVERICK, cancelled_everywhere);
    with(DENSE, cancelled_everywhere);
}

static void *cancel_later(void *context)
{
    struct timespec pause = {0, 3000000};
    nanosleep(&pause, NULL);
    llama4_context_cancel(context);
    return NULL;
}

TEST(cancelled_from_another_thread)
{
    bench t;
    llama4_error error = LLAMA4_ERROR_INIT;
    enum { MANY = 4000 };
    static int32_t many[MANY];
    if (bench_open(&t, TINY)) {
        make_ids(many, MANY, 3, 600);
        int cancelled = 0;
        for (int round = 0; round < 5; round++) {
            pthread_t other;
            REQUIRE(pthread_create(&other, NULL, cancel_later, t.c) == 0);
            llama4_status status = decode_ids(t.c, 1, many, MANY, 0, NULL, 0, &error);
            pthread_join(other, NULL);
            cancelled += status == LLAMA4_ERR_CANCELLED;
            if (status == LLAMA4_OK) /* the machine was too quick: the next decode is the one that stops */
                CHECK_STATUS(decode_ids(t.c, 1, many, 1, 0, NULL, 0, &error), LLAMA4_ERR_CANCELLED, error);
            else
                CHECK_EQ(llama4_context_sequence_length(t.c, 1), 0);
            CHECK_STATUS(llama4_context_truncate(t.c, 1, 0, &error), LLAMA4_OK, error);
        }
        CHECK(cancelled > 0);
        llama4_context_cancel(t.c);
        CHECK_STATUS0(decode_ids(t.c, 0, t.a, 1, 0, NULL, 0, &error), LLAMA4_ERR_CANCELLED);
        GOES_ON(&t, 0, 0, 0, N);
        GOES_ON(&t, 1, 1, 0, N);
    }
    bench_close(&t);
}

TEST_MAIN(T(forks_part_ways), T(forks_at_every_length), T(truncation_forgets_the_end), T(memory_is_shared_and_reused),
          T(bad_items_change_nothing), T(logits_only_of_who_asked), T(context_full), T(cancelled_at_every_step),
          T(cancelled_from_another_thread))
