#include "nn/attention.h"

#include <math.h>
#include <string.h>

#define BLOCK L4_ATTENTION_BLOCK

size_t l4_attention_scratch(size_t heads, size_t kv_heads, size_t d)
{
    return BLOCK * d + L4_ATTENTION_TOKENS * (heads / kv_heads) * (2 * d + BLOCK + BLOCK / 2 + 6);
}

typedef struct job {
    const l4_exec *exec;
    const l4_attention_args *args;
    float factor;  /* 1 / sqrt(d) */
    size_t heads;  /* of keys and values that a piece of work takes together, at most */
    size_t pieces; /* of each run */
} job;

/* A run's queries that share one key and value head, as rows: token after token, head after head. Several heads' rows follow each other. */
typedef struct rows {
    size_t n, share;
    int slot;                     /* of the kernels that take them */
    float *q;                     /* [n][d], or integers: */
    int16_t *q_int;               /* [n][d] */
    float *q_unit;                /* [n] */
    float *out;                   /* [n][d] */
    float *scores;                /* [n][BLOCK] */
    int16_t *weights;             /* [n][BLOCK], for integers */
    float *weight_unit;           /* [n] */
    float *max, *sum, *shrink;    /* [n] */
    float *opened;                /* [BLOCK * d] */
} rows;

/* Which of the queries, and of the results, row i is, if the first row is of head g of keys and values. */
static size_t query(const job *j, const l4_attention_run *run, size_t g, size_t i)
{
    const size_t share = j->args->heads / j->args->kv_heads, of_head = run->tokens * share;
    return (run->first + i % of_head / share) * j->args->heads + (g + i / of_head) * share + i % share;
}

/* The queries of `heads` heads of keys and values from g on. */
static rows lay_out(const job *j, const l4_attention_run *run, size_t g, size_t heads, float *scratch)
{
    const l4_attention_args *a = j->args;
    const l4_kernels *k = j->exec->kernels;
    const size_t d = a->d, share = a->heads / a->kv_heads, of_head = run->tokens * share, n = heads * of_head;
    const int integers = l4_kv_integers(a->kv_slot);
    rows r = {.n = n, .share = share, .slot = integers || of_head <= k->attention_rows ? a->kv_slot : L4_KV_F32_SLOT, .opened = scratch};
    r.q = r.opened + BLOCK * d;
    r.q_int = (int16_t *)(void *)r.q;
    r.out = r.q + n * d;
    r.scores = r.out + n * d;
    r.weights = (int16_t *)(void *)(r.scores + n * BLOCK);
    r.max = r.scores + n * (BLOCK + BLOCK / 2);
    r.sum = r.max + n;
    r.shrink = r.sum + n;
    r.q_unit = r.shrink + n;
    r.weight_unit = r.q_unit + n;
    for (size_t i = 0; i < n; i++) {
        const float *from = a->q + query(j, run, g, i) * d;
        if (integers)
            r.q_unit[i] = k->i16_quantize(from, d, r.q_int + i * d) * j->factor;
        else
            k->scale(from, j->factor, NULL, r.q + i * d, d);
        r.max[i] = -INFINITY;
    }
    memset(r.out, 0, n * d * sizeof(float));
    memset(r.sum, 0, n * sizeof(float));
    return r;
}

/* n of the rows, from `first` on. */
static rows part_of(rows r, size_t first, size_t n, size_t d)
{
    r.n = n;
    r.q += first * d, r.q_int += first * d, r.q_unit += first, r.out += first * d, r.scores += first * BLOCK, r.weights += first * BLOCK;
    r.weight_unit += first, r.max += first, r.sum += first, r.shrink += first;
    return r;
}

/* One head's keys and values of a block in the cache, and what comes after them, or NULL. */
typedef struct block {
    const uint8_t *keys, *values, *next;
    size_t here;
} block;

/* How many of the block's keys row i sees, if the first token sees `seen`, and the next ones one more each. */
static size_t seen_by(const rows *r, const block *b, size_t i, size_t seen)
{
    const size_t n = seen + i / r->share;
    return n < b->here ? n : b->here;
}

static void integer_block(const job *j, const rows *r, const block *b, size_t seen)
{
    const l4_kernels *k = j->exec->kernels;
    const size_t d = j->args->d, units = l4_attention_units(d, j->args->kv_slot);
    const int small = j->args->kv_slot == L4_KV_Q8_0_SLOT;
    uint8_t *opened = (uint8_t *)r->opened;
    const l4_i16_rows q = {r->q_int, r->q_unit, r->n, d}, weights = {r->weights, r->weight_unit, r->n, BLOCK};
    if (small)
        k->i8_open_keys(b->keys, d, opened);
    k->i16_scores(&q, small ? opened : b->keys, (const float *)(const void *)(b->keys + units), b->here, r->scores, b->values);
    for (size_t i = 0; i < r->n; i++) {
        const size_t n = seen_by(r, b, i, seen);
        r->shrink[i] = k->softmax_step(r->scores + i * BLOCK, n, &r->max[i], &r->sum[i]);
        /* Once a sum is NaN it stays so, and so will the result be. */
        r->weight_unit[i] = k->i16_weights(r->scores + i * BLOCK, (const float *)(const void *)(b->values + units), r->sum[i] < INFINITY ? n : 0,
                                           r->weights + i * BLOCK);
    }
    if (small)
        k->i8_open_values(b->values, d, (b->here + 1) / 2, opened);
    k->i16_accumulate(r->out, &weights, r->shrink, small ? opened : b->values, b->here, d, b->next);
}

/* n numbers of the cache as the kernels take them: as they are for few rows; for many they become float32 first, once for all. */
static const uint8_t *open_up(const job *j, const rows *r, const uint8_t *stored, size_t n)
{
    if (r->slot == j->args->kv_slot)
        return stored;
    j->exec->kernels->kv_load[j->args->kv_slot](stored, r->opened, n);
    return (const uint8_t *)r->opened;
}

static void float_block(const job *j, const rows *r, const block *b, size_t seen)
{
    const l4_kernels *k = j->exec->kernels;
    const size_t d = j->args->d, here = b->here;
    k->scores[r->slot](r->q, r->n, open_up(j, r, b->keys, BLOCK * d), here, d, r->scores, b->values);
    for (size_t i = 0; i < r->n; i++)
        r->shrink[i] = k->softmax_step(r->scores + i * BLOCK, seen_by(r, b, i, seen), &r->max[i], &r->sum[i]);
    /* What all see together, then the rest token by token: nobody's sum is touched by a key that it does not see. */
    const uint8_t *values = open_up(j, r, b->values, here * d);
    size_t common = seen < here ? seen : here;
    k->accumulate[r->slot](r->out, r->n, r->shrink, r->scores, values, common, d, b->next);
    values += common * d * (r->slot == L4_KV_F32_SLOT ? sizeof(float) : sizeof(uint16_t));
    for (size_t i = r->share; i < r->n && common < here; i++) {
        const float same = 1.0f;
        k->accumulate[r->slot](r->out + i * d, 1, &same, r->scores + i * BLOCK + common, values, seen_by(r, b, i, seen) - common, d, NULL);
    }
}

/* Block after block, all heads of each: they lie side by side, and memory gives long stretches faster. */
static void some_heads(const job *j, const l4_attention_run *run, size_t g, size_t heads, float *scratch)
{
    const l4_attention_args *a = j->args;
    const size_t d = a->d, plane = l4_attention_plane(d, a->kv_slot);
    const rows all = lay_out(j, run, g, heads, scratch);
    const size_t of_head = all.n / heads;
    const uint64_t most = run->keys + run->tokens - 1;
    for (uint64_t start = 0; start < most; start += BLOCK) {
        const size_t blind = start < run->keys ? 0 : (size_t)(start - run->keys + 1); /* tokens before this block */
        const uint64_t seen = run->keys + blind - start;
        const uint8_t *const *page = &run->pages[start / BLOCK], *keys = page[0] + a->layer_offset + 2 * g * plane;
        const uint8_t *after = start + BLOCK < most ? page[1] + a->layer_offset + 2 * g * plane : NULL;
        for (size_t h = 0; h < heads; h++, keys += 2 * plane) {
            const block b = {keys, keys + plane, h + 1 < heads ? keys + 2 * plane : after, most - start < BLOCK ? (size_t)(most - start) : BLOCK};
            const rows r = part_of(all, h * of_head + blind * all.share, of_head - blind * all.share, d);
            (l4_kv_integers(a->kv_slot) ? integer_block : float_block)(j, &r, &b, seen < BLOCK ? (size_t)seen : BLOCK);
        }
    }
    for (size_t i = 0; i < all.n; i++)
        j->exec->kernels->scale(all.out + i * d, 1.0f / all.sum[i], NULL, a->out + query(j, run, g, i) * d, d);
}

static void task(void *argument, size_t begin, size_t end, int worker)
{
    const job *j = argument;
    float *scratch = j->exec->scratch + (size_t)worker * j->exec->scratch_size;
    for (size_t i = begin; i < end; i++) {
        const size_t g = i % j->pieces * j->heads, left = j->args->kv_heads - g;
        some_heads(j, &j->args->runs[i / j->pieces], g, left < j->heads ? left : j->heads, scratch);
    }
}

/* As many heads together as leave each thread two pieces, and as have room: that of a full run's one head. */
static size_t heads_together(const l4_exec *e, const l4_attention_args *a)
{
    size_t tokens = 1;
    for (size_t i = 0; i < a->n_runs; i++)
        tokens = a->runs[i].tokens > tokens ? a->runs[i].tokens : tokens;
    const size_t fit = L4_ATTENTION_TOKENS / tokens, even = a->n_runs * a->kv_heads / (2 * (size_t)l4_pool_threads(e->pool));
    const size_t n = fit < even ? fit : even;
    return n < 1 ? 1 : n < a->kv_heads ? n : a->kv_heads;
}

void l4_attention(const l4_exec *e, const l4_attention_args *args)
{
    job j = {e, args, 1.0f / sqrtf((float)args->d), heads_together(e, args), 0};
    j.pieces = (args->kv_heads + j.heads - 1) / j.heads;
    double work = 0;
    for (size_t i = 0; i < args->n_runs; i++)
        work += 2.0 * (double)args->runs[i].keys * (double)(args->runs[i].tokens * args->heads * args->d);
    size_t n = args->n_runs * j.pieces;
    /* Runs late in a long sequence cost more than early ones: small pieces even out. */
    l4_pool_run(e->pool, task, &j, n, work < L4_SMALL_WORK ? n : 1);
}
