/* A prompt with golden logits. Computed in one batch, the logits must lie near the golden ones; computed token by token, in odd
 * splits, beside another sequence and, for short prompts, with other numbers of threads, they must be the same bit for
 * bit; and the greedy continuation must be the reference's, by hand and by llama4_context_generate. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "conformance.h"

#define LONG_PROMPT 8192 /* beyond it, sums are longer and the tolerance wider */
#define SMALL_PROMPT 512 /* up to it, every variant is run */

typedef enum split { ONE_BATCH, TOKEN_BY_TOKEN, ODD_SPLITS, WITH_ANOTHER } split;

static const char *const split_names[] = {"in one batch", "token by token", "in odd splits", "beside another sequence"};

typedef struct job {
    const text_case *c;
    llama4_model *model;
    size_t vocabulary;
    llama4_error error;
} job;

static llama4_status context_for(job *b, int32_t threads, int32_t batch_size, llama4_context **out)
{
    llama4_context_params p;
    llama4_status status = llama4_context_params_init(&p, sizeof p);
    p.threads = threads;
    p.batch_size = batch_size;
    p.kv_type = LLAMA4_KV_F32;
    /* a sequence may be longer than what a tiny model was made for: only if it says less than is needed */
    llama4_model_info info = {.struct_size = sizeof info};
    if (!status)
        status = llama4_model_get_info(b->model, &info, &b->error);
    int64_t need = (int64_t)(b->c->n_ids + b->c->n_greedy);
    if (need > info.context_length)
        p.context_length = need;
    return status ? status : llama4_context_create(b->model, &p, out, &b->error);
}

static int wanted(const text_case *c, size_t position, size_t row)
{
    return row < c->n_rows && (!c->positions || c->positions[row] == (int64_t)position);
}

/* Decodes ids begin .. begin + n - 1, and copies the rows that are wanted behind those that are in `rows`. */
static llama4_status piece(job *b, llama4_context *context, size_t begin, size_t n, int mixed, float *rows, size_t *row)
{
    const text_case *c = b->c;
    size_t per = mixed ? 2 : 1, first = *row;
    llama4_batch_item *items = xmalloc(n * per * sizeof *items);
    for (size_t i = 0; i < n; i++) {
        int want = wanted(c, begin + i, *row);
        items[i * per] = (llama4_batch_item){c->ids[begin + i], 0, want ? (int64_t)(begin + i) : -1, want, 0};
        if (mixed) /* the same prompt backwards, which must not be felt */
            items[i * per + 1] = (llama4_batch_item){c->ids[c->n_ids - 1 - begin - i], 1, -1, i % 3 == 0, 0};
        *row += (size_t)want;
    }
    llama4_status status = llama4_context_decode(context, items, n * per, sizeof *items, &b->error);
    for (size_t i = 0, r = first; i < n && !status; i++) {
        const float *logits;
        size_t count;
        if (!items[i * per].logits)
            continue;
        status = llama4_context_logits(context, i * per, &logits, &count, &b->error);
        if (!status && count == b->vocabulary)
            memcpy(rows + r * b->vocabulary, logits, count * sizeof *logits);
        r++;
    }
    free(items);
    return status;
}

static llama4_status decode(job *b, llama4_context *context, split how, float *rows)
{
    static const size_t odd[] = {3, 1, 7, 2, 13, 1, 5, 31};
    size_t row = 0, k = 0;
    for (size_t begin = 0; begin < b->c->n_ids;) {
        size_t left = b->c->n_ids - begin, n = left;
        if (how == TOKEN_BY_TOKEN)
            n = 1;
        else if (how == ODD_SPLITS || how == WITH_ANOTHER)
            n = odd[k++ % (sizeof odd / sizeof *odd)];
        n = n < left ? n : left;
        llama4_status status = piece(b, context, begin, n, how == WITH_ANOTHER, rows, &row);
        if (status)
            return status;
        begin += n;
    }
    return LLAMA4_OK;
}

/* The largest deviation; infinite if a logit is no number. */
static double deviation(const float *got, const float *want, size_t n)
{
    double worst = 0;
    for (size_t i = 0; i < n; i++) {
        float w;
        memcpy(&w, (const char *)want + i * sizeof w, sizeof w);
        double d = fabs((double)got[i] - (double)w);
        if (!(d < INFINITY))
            return INFINITY;
        worst = d > worst ? d : worst;
    }
    return worst;
}

static int32_t best(const float *logits, size_t n)
{
    size_t k = 0;
    for (size_t i = 1; i < n; i++)
        if (logits[i] > logits[k])
            k = i;
    return (int32_t)k;
}

/* Goes on from the prompt in sequence 0, whose last logits are `last`. *right: how many ids were the reference's. */
static llama4_status continue_by_hand(job *b, llama4_context *context, const float *last, size_t *right)
{
    for (*right = 0; *right < b->c->n_greedy; ++*right) {
        int32_t id = best(last, b->vocabulary);
        if (id != b->c->greedy[*right])
            break;
        llama4_batch_item item = {id, 0, -1, 1, 0};
        size_t count;
        llama4_status status = llama4_context_decode(context, &item, 1, sizeof item, &b->error);
        if (!status)
            status = llama4_context_logits(context, 0, &last, &count, &b->error);
        if (status)
            return status;
    }
    return LLAMA4_OK;
}

typedef struct answer {
    const text_case *c;
    size_t n, right;
} answer;

static int32_t on_text(void *user, int32_t token, const char *text, size_t length)
{
    answer *a = user;
    (void)text;
    (void)length;
    if (token < 0)
        return 0;
    if (a->n < a->c->n_greedy && a->right == a->n && a->c->greedy[a->n] == token)
        a->right++;
    a->n++;
    return 0;
}

/* The same by llama4_context_generate, in sequence 2. */
static llama4_status continue_by_generate(job *b, llama4_context *context, size_t *right)
{
    llama4_generate_params p = {.struct_size = sizeof p, .flags = LLAMA4_GENERATE_IGNORE_STOP, .max_tokens = (int64_t)b->c->n_greedy};
    llama4_generate_result result = {.struct_size = sizeof result};
    answer a = {b->c, 0, 0};
    llama4_status status =
        llama4_context_generate(context, 2, b->c->ids, b->c->n_ids, &p, on_text, &a, &result, &b->error);
    *right = a.n == b->c->n_greedy && result.generated_tokens == (int64_t)a.n ? a.right : 0;
    return status;
}

static int greedy(job *b, llama4_context *context, const float *rows)
{
    const text_case *c = b->c;
    size_t hand = 0, generated = 0;
    if (!c->n_greedy)
        return 1;
    /* without the last position's logits there is nothing to go on from */
    if (!wanted(c, c->n_ids - 1, c->n_rows - 1)) {
        report_failed(c->name, "no logits of the last position to continue from");
        return 0;
    }
    const float *last = rows + (c->n_rows - 1) * b->vocabulary;
    if (continue_by_hand(b, context, last, &hand) || continue_by_generate(b, context, &generated)) {
        report_failed(c->name, "greedy continuation: %s", b->error.message);
        return 0;
    }
    if (hand == c->n_greedy && generated == c->n_greedy)
        return 1;
    report_failed(c->name, "greedy continuation: %zu of %zu ids, by llama4_context_generate %zu", hand, c->n_greedy, generated);
    return 0;
}

/* Another way to the same logits: 1 if every bit agrees. */
static int same_bits(job *b, split how, int32_t threads, const float *rows)
{
    const text_case *c = b->c;
    size_t n = c->n_rows * b->vocabulary;
    float *again = xmalloc(n * sizeof *again);
    llama4_context *context = NULL;
    llama4_status status = context_for(b, threads, how == ODD_SPLITS ? 6 : 0, &context);
    if (!status)
        status = decode(b, context, how, again);
    int same = 0;
    if (status)
        report_failed(c->name, "%s: %s", split_names[how], b->error.message);
    else if (!(same = memcmp(again, rows, n * sizeof *rows) == 0))
        report_failed(c->name, "%s, %ld threads: other bits than in one batch (apart by at most %.1e)", split_names[how], (long)threads,
                      deviation(again, rows, n));
    llama4_context_release(context);
    free(again);
    return same;
}

static int every_way(job *b, const options *o, const float *rows)
{
    static const int32_t threads[] = {1, 2, 5};
    int same = same_bits(b, TOKEN_BY_TOKEN, o->threads, rows) && same_bits(b, ODD_SPLITS, o->threads, rows);
    if (b->c->n_ids > SMALL_PROMPT)
        return same;
    same = same && same_bits(b, WITH_ANOTHER, o->threads, rows);
    for (size_t i = 0; i < sizeof threads / sizeof *threads && same; i++)
        same = same_bits(b, ONE_BATCH, threads[i], rows) && same_bits(b, ODD_SPLITS, threads[i], rows);
    return same;
}

double text_tolerance(const text_case *c)
{
    return c->n_ids > LONG_PROMPT ? 5e-4 : 2e-4;
}

/* The prompt in one batch: a new context in *context, and the rows, to be freed. NULL: see b->error. */
static float *first_run(job *b, llama4_model *model, const text_case *c, const options *o, llama4_context **context)
{
    llama4_model_info info = {.struct_size = sizeof info};
    *b = (job){.c = c, .model = model, .error = LLAMA4_ERROR_INIT};
    if (llama4_model_get_info(model, &info, &b->error))
        return NULL;
    b->vocabulary = (size_t)info.vocab_size;
    float *rows = xmalloc(c->n_rows * b->vocabulary * sizeof *rows);
    llama4_status status = context_for(b, o->threads, 0, context);
    if (!status)
        status = decode(b, *context, ONE_BATCH, rows);
    if (!status)
        return rows;
    free(rows);
    return NULL;
}

double text_deviation(llama4_model *model, const text_case *c, const options *o)
{
    job b;
    llama4_context *context = NULL;
    float *rows = first_run(&b, model, c, o, &context);
    double d = rows ? deviation(rows, c->logits, c->n_rows * b.vocabulary) : INFINITY;
    llama4_context_release(context);
    free(rows);
    return d;
}

void text_run(llama4_model *model, const text_case *c, const options *o)
{
    job b;
    llama4_context *context = NULL;
    double tolerance = text_tolerance(c);
    float *rows = first_run(&b, model, c, o, &context);
    if (!rows)
        report_failed(c->name, "%s", b.error.message);
    else {
        double d = deviation(rows, c->logits, c->n_rows * b.vocabulary);
        if (!(d <= tolerance))
            report_failed(c->name, "%zu ids: logits deviate by %.1e, allowed are %.0e", c->n_ids, d, tolerance);
        else if (greedy(&b, context, rows) && every_way(&b, o, rows))
            report_passed(c->name, "%zu ids: logits within %.1e (of %.0e), %zu greedy ids equal, every split%s bit-identical", c->n_ids, d,
                          tolerance, c->n_greedy, c->n_ids > SMALL_PROMPT ? "" : " and thread count");
    }
    llama4_context_release(context);
    free(rows);
}
