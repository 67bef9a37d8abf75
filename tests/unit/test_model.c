/* The same logits, bit for bit, however they are computed: threads, splits, batches of several sequences, instruction sets; on both
 * sides of the chunk boundary, with keys and values of all types. */
#include <math.h>
#include <stdlib.h>

#include "base/compiler.h"
#include "check.h"
#include "support.h"

#define N 53 /* more than three chunks of every tiny model */

static const char *const paths[] = {SCOUT, MAVERICK, DENSE, TINY};
static const int32_t kv_types[] = {LLAMA4_KV_F16, LLAMA4_KV_F32, LLAMA4_KV_I16, LLAMA4_KV_Q8_0};

typedef struct truth {
    llama4_model *model;
    size_t vocabulary, chunk;
    int32_t kv_type;
    int32_t ids[3][N];
    float *rows[3]; /* of each alone, in one batch, by one thread */
} truth;

static int truth_open(truth *t, const char *path, int32_t kv_type)
{
    llama4_error error = LLAMA4_ERROR_INIT;
    memset(t, 0, sizeof *t);
    t->kv_type = kv_type;
    t->model = open_model(path, NULL);
    if (!CHECK(t->model != NULL))
        return 0;
    llama4_model_info info = model_info(t->model);
    t->vocabulary = (size_t)info.vocab_size;
    t->chunk = (size_t)info.chunk_size;
    for (uint32_t s = 0; s < 3; s++) {
        llama4_context *c = open_context(t->model, 1, kv_type);
        t->rows[s] = calloc(N * t->vocabulary, sizeof(float));
        make_ids(t->ids[s], N, s + 7, 600);
        int good = CHECK(c != NULL && t->rows[s]) &&
                   CHECK_STATUS(decode_ids(c, 0, t->ids[s], N, 0, t->rows[s], t->vocabulary, &error), LLAMA4_OK, error);
        llama4_context_release(c);
        if (!good)
            return 0;
    }
    return 1;
}

static void truth_close(truth *t)
{
    for (int s = 0; s < 3; s++)
        free(t->rows[s]);
    llama4_model_release(t->model);
}

static int same(const truth *t, int s, size_t row, const float *logits)
{
    return memcmp(t->rows[s] + row * t->vocabulary, logits, t->vocabulary * sizeof(float)) == 0;
}

/* Sequence s alone, `step` ids at a time. */
static void alone(const truth *t, int32_t threads, int32_t batch_size, size_t step)
{
    llama4_error error = LLAMA4_ERROR_INIT;
    llama4_context_params p = {.struct_size = sizeof p, .threads = threads, .batch_size = batch_size, .kv_type = t->kv_type};
    llama4_context *c = NULL;
    float *rows = malloc(N * t->vocabulary * sizeof *rows);
    if (CHECK_STATUS(llama4_context_create(t->model, &p, &c, &error), LLAMA4_OK, error) &&
        CHECK_STATUS(decode_ids(c, 5, t->ids[0], N, step, rows, t->vocabulary, &error), LLAMA4_OK, error)) {
        size_t wrong = 0;
        for (size_t i = 0; i < N; i++)
            wrong += !same(t, 0, i, rows + i * t->vocabulary);
        if (!CHECK_EQ(wrong, 0))
            printf("  with %d threads, batch_size %d, %zu at a time\n", (int)threads, (int)batch_size, step);
        CHECK_EQ(llama4_context_sequence_length(c, 5), N);
        CHECK_EQ(llama4_context_sequence_length(c, 0), 0);
    }
    llama4_context_release(c);
    free(rows);
}

static void each_model(void (*f)(const truth *t))
{
    size_t n = sizeof paths / sizeof *paths;
#if L4_SANITIZED
    n--; /* the largest one is left to the optimised build */
#endif
    for (size_t m = 0; m < n; m++)
        for (size_t k = 0; k < sizeof kv_types / sizeof *kv_types; k++) {
            truth t;
            int before = check_failures;
            if (truth_open(&t, paths[m], kv_types[k]))
                f(&t);
            truth_close(&t);
            if (check_failures > before)
                printf("  in %s, KV type %d\n", paths[m], (int)kv_types[k]);
        }
}

static void sane(const truth *t)
{
    double sum = 0, spread = 0;
    for (size_t i = 0; i < N * t->vocabulary; i++)
        sum += fabs((double)t->rows[0][i]);
    for (size_t i = 0; i < t->vocabulary; i++)
        spread += fabs((double)t->rows[0][i] - (double)t->rows[0][(N - 1) * t->vocabulary + i]);
    CHECK(sum > 1 && sum < INFINITY);
    CHECK(spread > 1); /* positions differ, so that comparing bits says something */
}

TEST(logits_are_finite_and_differ)
{
    each_model(sane);
}

static void threads(const truth *t)
{
    static const int32_t counts[] = {1, 2, 3, 5, 8};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        alone(t, counts[i], 0, 0);
        alone(t, counts[i], 0, 1);
    }
}

TEST(threads_do_not_matter)
{
    each_model(threads);
}

static void splits(const truth *t)
{
    for (size_t step = 2; step < 9; step++)
        alone(t, 2, 0, step);
    alone(t, 2, 0, 31);
    alone(t, 2, 1, 0);
    alone(t, 2, 3, 0);
    alone(t, 2, 7, 16);
    alone(t, 2, 8192, 0);
    if (t->chunk > 1 && t->chunk < N) { /* right at, before and after the boundary */
        alone(t, 2, 0, t->chunk);
        alone(t, 2, 0, t->chunk - 1);
        alone(t, 2, 0, t->chunk + 1);
        alone(t, 2, (int32_t)t->chunk + 1, 0);
    }
}

TEST(splits_do_not_matter)
{
    each_model(splits);
}

/* Three sequences, at different places of different prompts, in batches whose make-up keeps changing. */
static void mixtures(const truth *t)
{
    llama4_error error = LLAMA4_ERROR_INIT;
    llama4_context *c = open_context(t->model, 2, t->kv_type);
    size_t at[3] = {0, 0, 0}, wrong = 0;
    static const int32_t names[3] = {0, 63, 17};
    uint64_t state = 99;
    REQUIRE(c != NULL);
    while (at[0] + at[1] + at[2] < 3 * N) {
        llama4_batch_item items[24];
        int owner[24];
        size_t row[24], n = 0, want = 1 + next_random(&state) % 24;
        while (n < want && at[0] + at[1] + at[2] < 3 * N) {
            uint32_t r = next_random(&state);
            int s = (int)(r % 3);
            if (at[s] == N)
                continue;
            owner[n] = s;
            row[n] = at[s]++;
            items[n] = (llama4_batch_item){t->ids[s][row[n]], names[s], r & 64 ? (int64_t)row[n] : -1, (r & 128) != 0 || n == 0, 0};
            n++;
        }
        if (!CHECK_STATUS(llama4_context_decode(c, items, n, sizeof *items, &error), LLAMA4_OK, error))
            break;
        for (size_t i = 0; i < n; i++) {
            const float *logits = NULL;
            if (items[i].logits && CHECK_STATUS(llama4_context_logits(c, i, &logits, NULL, &error), LLAMA4_OK, error))
                wrong += !same(t, owner[i], row[i], logits);
        }
    }
    CHECK_EQ(wrong, 0);
    for (int s = 0; s < 3; s++)
        CHECK_EQ(llama4_context_sequence_length(c, names[s]), N);
    llama4_context_release(c);
}

TEST(company_in_a_batch_does_not_matter)
{
    each_model(mixtures);
}

TEST(stride_of_a_newer_header)
{
    struct {
        llama4_batch_item item;
        int64_t more;
    } wide[4];
    truth t;
    llama4_error error = LLAMA4_ERROR_INIT;
    memset(wide, 0, sizeof wide);
    if (truth_open(&t, SCOUT, LLAMA4_KV_F32)) {
        llama4_context *c = open_context(t.model, 2, LLAMA4_KV_F32);
        const float *logits = NULL;
        for (int i = 0; i < 4; i++)
            wide[i].item = (llama4_batch_item){t.ids[0][i], 0, i, 1, 0};
        CHECK_STATUS(llama4_context_decode(c, &wide[0].item, 4, sizeof *wide, &error), LLAMA4_OK, error);
        if (CHECK_STATUS(llama4_context_logits(c, 3, &logits, NULL, &error), LLAMA4_OK, error))
            CHECK(same(&t, 0, 3, logits));
        CHECK_EQ(llama4_context_decode(c, &wide[0].item, 1, sizeof(llama4_batch_item) - 8, &error), LLAMA4_ERR_ARGUMENT);
        llama4_context_release(c);
    }
    truth_close(&t);
}

/* Every instruction set that this machine has gives what portable C gives. */
TEST(instruction_sets_do_not_matter)
{
    static const int32_t levels[] = {LLAMA4_CPU_GENERIC, LLAMA4_CPU_AVX2, LLAMA4_CPU_AVX512};
    llama4_error error = LLAMA4_ERROR_INIT;
    int ran = 0;
    for (size_t m = 0; m < sizeof paths / sizeof *paths; m++) {
        truth t;
        if (truth_open(&t, paths[m], LLAMA4_KV_F16))
            for (size_t l = 0; l < sizeof levels / sizeof *levels; l++) {
                llama4_model_params p = {.struct_size = sizeof p, .cpu_level = levels[l]};
                llama4_model *model = open_model(paths[m], &p);
                llama4_context *c = model ? open_context(model, 2, LLAMA4_KV_F16) : NULL;
                llama4_context_info info = {.struct_size = sizeof info};
                float *rows = malloc(N * t.vocabulary * sizeof *rows);
                if (CHECK(c != NULL) && CHECK_STATUS(llama4_context_get_info(c, &info, &error), LLAMA4_OK, error)) {
                    CHECK(info.cpu_level <= levels[l] && info.cpu_level >= LLAMA4_CPU_GENERIC);
                    ran += m == 0 && info.cpu_level == levels[l];
                    if (CHECK_STATUS(decode_ids(c, 0, t.ids[0], N, 9, rows, t.vocabulary, &error), LLAMA4_OK, error))
                        CHECK_MEM(rows, t.rows[0], N * t.vocabulary * sizeof *rows);
                }
                free(rows);
                llama4_context_release(c);
                llama4_model_release(model);
            }
        truth_close(&t);
    }
    CHECK(ran >= 1);
    printf("  %d of 3 levels exist on this machine\n", ran);
}

/* Of the logits; the root of their mean square in *size. */
static double apart(const truth *a, const truth *b, double *size)
{
    double error = 0, square = 0;
    const size_t n = N * a->vocabulary;
    for (size_t i = 0; i < n; i++) {
        const double x = (double)a->rows[0][i], y = (double)b->rows[0][i];
        error += (x - y) * (x - y), square += y * y;
    }
    *size = sqrt(square / (double)n);
    return sqrt(error / (double)n);
}

/* float16 keys and values are near float32 ones, integers of 14 bits nearer, those of 8 bits not quite as near; none is the same. */
TEST(kv_types_are_near)
{
    for (size_t m = 0; m < sizeof paths / sizeof *paths; m++) {
        if (strcmp(paths[m], TINY) == 0)
            continue; /* quantised activations, and experts chosen by them, turn small differences into steps */
        truth half, integers, small, full;
        if (truth_open(&half, paths[m], LLAMA4_KV_F16) & truth_open(&integers, paths[m], LLAMA4_KV_I16) &
            truth_open(&small, paths[m], LLAMA4_KV_Q8_0) & truth_open(&full, paths[m], LLAMA4_KV_F32)) {
            double size, far = apart(&half, &full, &size), near = apart(&integers, &full, &size), farthest = apart(&small, &full, &size);
            const double limit = strcmp(paths[m], DENSE) ? 0.3 : 2e-2; /* where nothing chooses an expert, errors of 8 bits stay small too */
            if (!CHECK(near > 0 && near < far && far < farthest && far < 1e-2 * size && farthest < limit * size))
                printf("  %s: float16 apart by %g, integers by %g and %g of %g\n", paths[m], far, near, farthest, size);
        }
        truth_close(&half);
        truth_close(&integers);
        truth_close(&small);
        truth_close(&full);
    }
}

TEST_MAIN(T(logits_are_finite_and_differ), T(threads_do_not_matter), T(splits_do_not_matter), T(company_in_a_batch_does_not_matter),
          T(stride_of_a_newer_header), T(instruction_sets_do_not_matter), T(kv_types_are_near))
