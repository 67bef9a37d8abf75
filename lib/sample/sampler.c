/* Logits [n] come in, one token id goes out: the end of the way that begins in run/.
 *
 * Tokens stand in one total order: the larger logit first, the lower id among equals. Dividing by a temperature never changes
 * this order, and top-k, top-p and min-p each keep a front part of it. So what the steps have left is described by the last token
 * that stays, and by the product of the temperatures: nothing is sorted or copied, except by top-k (a heap of k tokens) and top-p
 * (a heap of those that can be needed). The draw walks the remaining tokens by id, whatever the order of the steps was. */
#include "sample/sampler.h"

#include <float.h>
#include <math.h>

#include "base/math.h"
#include "sample/random.h"

#define BLOCK 256 /* ids whose weights are added up before the draw looks inside */
#define MIN_DIVISOR 1e-300
#define MAX_DIVISOR 1e300

typedef struct candidate {
    float logit;
    int32_t id;
} candidate;

typedef struct step {
    int kind; /* L4_STEP_ value */
    float value;
    int32_t k;
} step;

struct llama4_sampler {
    l4_allocator allocator;
    llama4_model *model;
    l4_random random;
    step *steps;
    size_t n_steps, steps_capacity;
    candidate *heap; /* working memory of top-k and top-p */
    size_t heap_capacity;
    double *blocks; /* working memory of the draw */
    size_t blocks_capacity;
};

/* What the steps so far have left of logits [n]. */
typedef struct front {
    const float *logits;
    size_t n, count;      /* ids in all, tokens that remain */
    candidate best, last; /* the first and the last that remains */
    double divisor;       /* product of the temperatures */
} front;

llama4_status l4_sampler_create(const l4_allocator *a, llama4_model *model, uint64_t seed, llama4_sampler **out,
                                llama4_error *error)
{
    llama4_sampler *s;
    llama4_status status = l4_alloc_zero(a, 1, sizeof *s, "a sampler", &s, error);
    if (status)
        return status;
    s->allocator = *a;
    s->model = model;
    l4_random_seed(&s->random, seed);
    *out = s;
    return LLAMA4_OK;
}

void l4_sampler_destroy(llama4_sampler *s)
{
    if (!s)
        return;
    l4_allocator a = s->allocator;
    l4_free(&a, s->steps);
    l4_free(&a, s->heap);
    l4_free(&a, s->blocks);
    l4_free(&a, s);
}

llama4_model *l4_sampler_model(const llama4_sampler *s)
{
    return s->model;
}

llama4_status l4_sampler_add(llama4_sampler *s, int kind, float value, int32_t k, llama4_error *error)
{
    llama4_status status = l4_grow(&s->allocator, &s->steps, &s->steps_capacity, s->n_steps, s->n_steps + 1, sizeof *s->steps,
                                   "the steps of a sampler", error);
    if (status)
        return status;
    s->steps[s->n_steps++] = (step){kind, value, k};
    return LLAMA4_OK;
}

void l4_sampler_reset(llama4_sampler *s, uint64_t seed)
{
    l4_random_seed(&s->random, seed);
}

/* 1 if a comes before b. */
static int before(candidate a, candidate b)
{
    return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
}

static int remains(const front *r, candidate c)
{
    return c.logit > r->last.logit || (c.logit == r->last.logit && c.id <= r->last.id); /* never for NaN */
}

/* Probability relative to that of the most likely token. */
static double weight(const front *r, float logit)
{
    return l4_exp(((double)logit - (double)r->best.logit) / r->divisor);
}

static llama4_status start(front *r, const float *logits, size_t n, llama4_error *error)
{
    candidate best = {-INFINITY, -1};
    size_t count = 0;
    if (n > INT32_MAX)
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "n is %zu, but ids end at 2147483647", n);
    for (size_t i = 0; i < n; i++) {
        count += logits[i] > -INFINITY;
        if (logits[i] > best.logit)
            best = (candidate){logits[i], (int32_t)i};
    }
    if (count == 0)
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "none of the %zu logits is a possible token: all are NaN or -infinity", n);
    *r = (front){logits, n, count, best, {-FLT_MAX, INT32_MAX}, 1.0};
    return LLAMA4_OK;
}

/* A heap of m elements whose root is the first (first = 1) or the last of them: moves element i down to its place. */
static void sift(candidate *heap, size_t m, size_t i, int first)
{
    candidate moved = heap[i];
    for (size_t child; (child = 2 * i + 1) < m; i = child) {
        if (child + 1 < m && before(heap[child + 1], heap[child]) == first)
            child++;
        if (before(moved, heap[child]) == first)
            break;
        heap[i] = heap[child];
    }
    heap[i] = moved;
}

static void make_heap(candidate *heap, size_t m, int first)
{
    for (size_t i = m / 2; i-- > 0;)
        sift(heap, m, i, first);
}

static llama4_status top_k(llama4_sampler *s, front *r, int32_t k, llama4_error *error)
{
    size_t room = (size_t)k, m = 0;
    if (k <= 0 || room >= r->count)
        return LLAMA4_OK;
    llama4_status status =
        l4_grow(&s->allocator, &s->heap, &s->heap_capacity, 0, room, sizeof *s->heap, "the sampler's top-k", error);
    if (status)
        return status;
    for (size_t i = 0; i < r->n; i++) {
        candidate c = {r->logits[i], (int32_t)i};
        if (!remains(r, c))
            continue;
        if (m < room) {
            s->heap[m++] = c;
            if (m == room)
                make_heap(s->heap, m, 0);
        } else if (before(c, s->heap[0])) {
            s->heap[0] = c;
            sift(s->heap, m, 0, 0);
        }
    }
    r->last = s->heap[0];
    r->count = room;
    return LLAMA4_OK;
}

/* Of the remaining ids from begin to end - 1, added up in this order. */
static double sum_weights(const front *r, size_t begin, size_t end)
{
    double sum = 0.0;
    for (size_t i = begin; i < end; i++)
        if (remains(r, (candidate){r->logits[i], (int32_t)i}))
            sum += weight(r, r->logits[i]);
    return sum;
}

/* Tokens lighter than this share of the total have, all together, less than 1 - p: the front part never reaches them. */
static double lightest_needed(const front *r, double total, double p)
{
    double share = (1.0 - p) * total / (double)r->count;
    return (double)r->best.logit + r->divisor * (l4_ln(share) - 0x1p-20);
}

static llama4_status top_p(llama4_sampler *s, front *r, double p, llama4_error *error)
{
    if (p >= 1.0 || r->count == 1)
        return LLAMA4_OK;
    double total = sum_weights(r, 0, r->n), floor_logit = lightest_needed(r, total, p), mass = 0.0;
    size_t needed = 0, m = 0, kept = 0;
    for (size_t i = 0; i < r->n; i++)
        needed += (double)r->logits[i] >= floor_logit && remains(r, (candidate){r->logits[i], (int32_t)i});
    llama4_status status =
        l4_grow(&s->allocator, &s->heap, &s->heap_capacity, 0, needed, sizeof *s->heap, "the sampler's top-p", error);
    if (status)
        return status;
    candidate *heap = s->heap, last = r->best;
    for (size_t i = 0; i < r->n; i++)
        if ((double)r->logits[i] >= floor_logit && remains(r, (candidate){r->logits[i], (int32_t)i}))
            heap[m++] = (candidate){r->logits[i], (int32_t)i};
    make_heap(heap, m, 1);
    while (m > 0 && mass <= p * total) {
        last = heap[0];
        kept++;
        mass += weight(r, last.logit);
        heap[0] = heap[--m];
        if (m > 0)
            sift(heap, m, 0, 1);
    }
    r->last = last;
    r->count = kept;
    return LLAMA4_OK;
}

static void min_p(front *r, double p)
{
    if (p <= 0.0)
        return;
    double floor_logit = (double)r->best.logit + r->divisor * l4_ln(p);
    candidate last = r->best;
    size_t count = 0;
    for (size_t i = 0; i < r->n; i++) {
        candidate c = {r->logits[i], (int32_t)i};
        if ((double)c.logit >= floor_logit && remains(r, c)) {
            count++;
            if (before(last, c))
                last = c;
        }
    }
    r->last = last;
    r->count = count;
}

/* One random number against the cumulated weights. Rounding may leave a little more than they hold: then the last token that has
 * any weight is taken. */
static llama4_status draw(llama4_sampler *s, const front *r, int32_t *token, llama4_error *error)
{
    size_t n_blocks = (r->n + BLOCK - 1) / BLOCK, chosen = 0;
    llama4_status status =
        l4_grow(&s->allocator, &s->blocks, &s->blocks_capacity, 0, n_blocks, sizeof *s->blocks, "the sampler's draw", error);
    if (status)
        return status;
    double total = 0.0;
    for (size_t b = 0; b < n_blocks; b++) {
        s->blocks[b] = sum_weights(r, b * BLOCK, b + 1 < n_blocks ? (b + 1) * BLOCK : r->n);
        total += s->blocks[b];
    }
    double left = l4_random_unit(&s->random) * total, within = total;
    for (size_t b = 0; b < n_blocks; b++) {
        if (s->blocks[b] > 0.0) {
            chosen = b;
            within = left;
            if (left < s->blocks[b])
                break;
        }
        left -= s->blocks[b];
    }
    size_t begin = chosen * BLOCK, end = chosen + 1 < n_blocks ? begin + BLOCK : r->n;
    for (size_t i = begin; i < end; i++) {
        if (!remains(r, (candidate){r->logits[i], (int32_t)i}))
            continue;
        double w = weight(r, r->logits[i]);
        if (w > 0.0) {
            *token = (int32_t)i;
            if (within < w)
                break;
        }
        within -= w;
    }
    return LLAMA4_OK;
}

llama4_status l4_sample_greedy(const float *logits, size_t n, int32_t *token, llama4_error *error)
{
    front r = {0};
    llama4_status status = start(&r, logits, n, error);
    if (status == LLAMA4_OK)
        *token = r.best.id;
    return status;
}

/* Whether the chain leaves one token, without a draw. */
static int is_greedy(const llama4_sampler *s)
{
    for (size_t i = 0; i < s->n_steps; i++)
        if (s->steps[i].kind == L4_STEP_GREEDY || (s->steps[i].kind == L4_STEP_TEMPERATURE && s->steps[i].value == 0.0f))
            return 1;
    return s->n_steps == 0;
}

llama4_status l4_sampler_sample(llama4_sampler *s, const float *logits, size_t n, int32_t *token, llama4_error *error)
{
    front r = {0};
    if (is_greedy(s))
        return l4_sample_greedy(logits, n, token, error);
    llama4_status status = start(&r, logits, n, error);
    if (status == LLAMA4_OK && r.best.logit == INFINITY) {
        *token = r.best.id;
        l4_random_bits(&s->random); /* every call of such a chain takes one number */
        return LLAMA4_OK;
    }
    for (size_t i = 0; i < s->n_steps && status == LLAMA4_OK; i++) {
        const step *t = &s->steps[i];
        switch (t->kind) {
        case L4_STEP_TEMPERATURE:
            r.divisor *= (double)t->value;
            r.divisor = r.divisor < MIN_DIVISOR ? MIN_DIVISOR : r.divisor > MAX_DIVISOR ? MAX_DIVISOR : r.divisor;
            break;
        case L4_STEP_TOP_K:
            status = top_k(s, &r, t->k, error);
            break;
        case L4_STEP_TOP_P:
            status = top_p(s, &r, (double)t->value, error);
            break;
        default:
            min_p(&r, (double)t->value);
        }
    }
    if (status == LLAMA4_OK)
        status = draw(s, &r, token, error);
    return status;
}
