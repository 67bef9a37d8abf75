/* Memory that runs out: the n-th allocation fails, for every n, while models are opened, text is tokenised, and tokens are computed. Each
 * call that meets the failure must say LLAMA4_ERR_MEMORY, leave its outputs alone, and succeed when it is made again; the
 * answers at the end must be those of a program to which nothing happened; and everything must be given back. */
#include <stdlib.h>
#include <unistd.h>

#include "base/compiler.h"
#include "check.h"
#include "support.h"

#define MAX 40

typedef struct script {
    const char *path;
    const char *in_directory; /* where the vocabulary is, or NULL */
    counting heap;
    int failures; /* calls that met the failure */
    /* what came out */
    int32_t ids[256], answer[MAX];
    size_t n_ids, n_answer;
    char text[256];
    size_t length;
    float *logits;
    size_t vocabulary;
} script;

static llama4_error error;

/* Makes a call, and once more if memory ran out. `clean` must hold after the failure. Returns from the function if it fails otherwise. */
#define AGAIN(s, call, clean)                                                              \
    do {                                                                                   \
        error = (llama4_error)LLAMA4_ERROR_INIT;                                           \
        size_t failed = (s)->heap.failed;                                                  \
        llama4_status got = (call);                                                        \
        if (got && (s)->heap.failed > failed) {                                            \
            (s)->failures++;                                                               \
            CHECK_STATUS(got, LLAMA4_ERR_MEMORY, error);                                   \
            CHECK_EQ(error.status, LLAMA4_ERR_MEMORY);                                     \
            CHECK(error.message[0] != 0);                                                  \
            CHECK(clean);                                                                  \
            (s)->heap.fail_at = 0;                                                         \
            got = (call);                                                                  \
        }                                                                                  \
        if (!CHECK_STATUS(got, LLAMA4_OK, error))                                          \
            goto out;                                                                      \
    } while (0)

static int32_t on_text(void *user, int32_t token, const char *text, size_t length)
{
    script *s = user;
    if (token >= 0 && s->n_answer < MAX)
        s->answer[s->n_answer++] = token;
    if (length && s->length + length < sizeof s->text) {
        memcpy(s->text + s->length, text, length);
        s->length += length;
    }
    return 0;
}

/* A generation that fails may have reported tokens: begin again. */
static llama4_status chat(script *s, llama4_context *c, const llama4_message *m, llama4_generate_params *p, llama4_generate_result *r)
{
    s->n_answer = s->length = 0;
    return llama4_context_chat(c, 1, m, 1, sizeof *m, p, on_text, s, r, &error);
}

static void play(script *s)
{
    llama4_model_params mp = counting_params(&s->heap);
    llama4_context_params cp = {.struct_size = sizeof cp, .threads = 2, .batch_size = 8};
    llama4_model *model = NULL;
    llama4_context *c = NULL;
    llama4_sampler *sampler = NULL;
    llama4_detokenizer *d = NULL;
    llama4_vocab *vocab = NULL;
    llama4_message m = {.struct_size = sizeof m, .role = "user", .content = "What is 11 + 3?"};
    llama4_batch_item items[30];
    size_t n = 0;
    AGAIN(s, llama4_model_open(s->path, &mp, &model, &error), model == NULL);
    s->vocabulary = (size_t)model_info(model).vocab_size;
    if (s->in_directory)
        AGAIN(s, llama4_vocab_open(s->in_directory, &mp, &vocab, &error), vocab == NULL);
    else
        vocab = llama4_vocab_ref(llama4_model_get_vocab(model));
    if (!CHECK(vocab != NULL))
        goto out;
    AGAIN(s, llama4_context_create(model, &cp, &c, &error), c == NULL);
    s->n_ids = 99;
    AGAIN(s, llama4_chat_tokenize(vocab, &m, 1, sizeof m, 0, s->ids, 256, &s->n_ids, &error), s->n_ids == 99);
    s->n_ids = 99;
    AGAIN(s, llama4_vocab_tokenize(vocab, "Some words, 12345 numbers and caf\xc3\xa9s.", 37, 0, s->ids, 256, &s->n_ids, &error), s->n_ids == 99);
    for (int i = 0; i < 30; i++)
        items[i] = (llama4_batch_item){s->ids[(size_t)i % s->n_ids] % (int32_t)s->vocabulary, i % 3 == 0, -1, i > 26, 0};
    AGAIN(s, llama4_context_decode(c, items, 30, sizeof *items, &error),
          llama4_context_sequence_length(c, 0) == 0 && llama4_context_sequence_length(c, 1) == 0);
    AGAIN(s, llama4_context_fork(c, 0, 2, &error), llama4_context_sequence_length(c, 2) == 0);
    for (int k = 0; k < 3; k++) {
        llama4_batch_item pair[2] = {{s->ids[k] % (int32_t)s->vocabulary, 2, -1, 1, 0}, {s->ids[k + 1] % (int32_t)s->vocabulary, 0, -1, 1, 0}};
        AGAIN(s, llama4_context_decode(c, pair, 2, sizeof *pair, &error), llama4_context_sequence_length(c, 2) == 20 + k);
    }
    const float *logits;
    AGAIN(s, llama4_context_logits(c, 0, &logits, NULL, &error), 1);
    if (!s->logits)
        s->logits = malloc(s->vocabulary * sizeof *s->logits);
    memcpy(s->logits, logits, s->vocabulary * sizeof *s->logits);
    AGAIN(s, llama4_sampler_create(model, 1, &sampler, &error), sampler == NULL);
    AGAIN(s, llama4_sampler_add_top_k(sampler, 20, &error), 1);
    AGAIN(s, llama4_sampler_add_temperature(sampler, 0.5f, &error), 1);
    AGAIN(s, llama4_detokenizer_create(vocab, 0, &d, &error), d == NULL);
    for (size_t i = 0; i < s->n_ids; i++) {
        const char *text = NULL;
        AGAIN(s, llama4_detokenizer_push(d, s->ids[i], &text, &n, &error), text == NULL);
    }
    if (llama4_model_get_vocab(model)) {
        llama4_generate_params p = {.struct_size = sizeof p, .max_tokens = 6, .sampler = sampler};
        llama4_generate_result r = {.struct_size = sizeof r};
        AGAIN(s, llama4_sampler_reset(sampler, 3, &error), 1);
        AGAIN(s, (llama4_sampler_reset(sampler, 3, NULL), chat(s, c, &m, &p, &r)), r.generated_tokens == 0);
    }
out:
    llama4_detokenizer_release(d);
    llama4_context_release(c);
    llama4_vocab_release(vocab);
    llama4_model_release(model);
    llama4_sampler_release(sampler);
}

/* Every `step`-th one, from `first` on. */
static void allocations(const char *path, const char *in_directory, size_t fail_count, size_t first, size_t step)
{
    script truth = {.path = path, .in_directory = in_directory};
    play(&truth);
    CHECK_EQ(truth.heap.live, 0);
    CHECK_EQ(truth.heap.damaged, 0);
    CHECK_EQ(truth.failures, 0);
    size_t total = truth.heap.calls, met = 0, tried = 0;
    for (size_t n = first; n <= total; n += step, tried++) {
        script s = {.path = path, .in_directory = in_directory, .heap = {.fail_at = n, .fail_count = fail_count}};
        int before = check_failures;
        play(&s);
        met += s.heap.failed > 0;
        CHECK_EQ(s.heap.live, 0);
        CHECK_EQ(s.heap.live_bytes, 0);
        CHECK_EQ(s.heap.damaged, 0);
        CHECK(s.failures <= 1);
        CHECK_EQ(s.n_ids, truth.n_ids);
        CHECK_MEM(s.ids, truth.ids, sizeof s.ids);
        CHECK(s.n_answer == truth.n_answer && s.length == truth.length);
        CHECK_MEM(s.answer, truth.answer, sizeof s.answer);
        CHECK_MEM(s.text, truth.text, sizeof s.text);
        if (s.logits && truth.logits)
            CHECK_MEM(s.logits, truth.logits, truth.vocabulary * sizeof(float));
        free(s.logits);
        if (check_failures > before) {
            printf("  allocation %zu of %zu\n", n, total);
            break;
        }
    }
    CHECK(tried > 0);
    CHECK_EQ(met, tried); /* every one of them did fail once */
    printf("  %zu of %zu allocations\n", tried, total);
    free(truth.logits);
}

/* Slow builds share the allocations of the largest model between two ways to fail. */
TEST(gguf_one_failure)
{
    allocations(TINY, NULL, 1, 1, 1 + L4_SANITIZED);
}

TEST(gguf_failing_on)
{
    allocations(TINY, NULL, SIZE_MAX, 1 + L4_SANITIZED, 1 + L4_SANITIZED);
}

TEST(directory_one_failure)
{
    allocations(SCOUT, SCOUT, 1, 1, 1);
}

TEST(no_vocabulary_one_failure)
{
    allocations(LONG, SCOUT, 1, 1, 1);
}

/* Opening alone may also simply be given up. */
TEST(opening_given_up)
{
    static const char *const paths[] = {TINY, MAVERICK, DENSE};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        for (size_t n = 1; n < 100000; n++) {
            counting heap = {.fail_at = n, .fail_count = SIZE_MAX};
            llama4_model_params p = counting_params(&heap);
            llama4_model *model = NULL;
            llama4_status status = llama4_model_open(paths[i], &p, &model, NULL);
            llama4_model_release(model);
            CHECK_EQ(heap.live, 0);
            CHECK_EQ(heap.damaged, 0);
            if (!heap.failed) {
                CHECK_STATUS0(status, LLAMA4_OK);
                break;
            }
            if (!CHECK_STATUS0(status, LLAMA4_ERR_MEMORY))
                break;
        }
}

TEST(conversion)
{
    char path[] = "/tmp/llama4-alloc-XXXXXX";
    int fd = mkstemp(path);
    REQUIRE(fd >= 0);
    close(fd);
    unlink(path);
    for (size_t n = 1; n < 100000; n++) {
        counting heap = {.fail_at = n, .fail_count = 1};
        llama4_convert_params p = {.struct_size = sizeof p, .type = "q8_0", .allocate = counting_allocate, .release = counting_release,
                                   .allocator_user = &heap};
        error = (llama4_error)LLAMA4_ERROR_INIT;
        llama4_status status = llama4_convert(DENSE, path, &p, &error);
        CHECK_EQ(heap.live, 0);
        CHECK_EQ(heap.damaged, 0);
        if (!heap.failed) {
            CHECK_STATUS(status, LLAMA4_OK, error);
            break;
        }
        CHECK(access(path, F_OK) != 0 || status == LLAMA4_OK); /* nothing half-done */
        if (!CHECK_STATUS(status, LLAMA4_ERR_MEMORY, error)) {
            printf("  allocation %zu\n", n);
            break;
        }
    }
    unlink(path);
}

TEST_MAIN(T(gguf_one_failure), T(gguf_failing_on), T(directory_one_failure), T(no_vocabulary_one_failure), T(opening_given_up), T(conversion))
