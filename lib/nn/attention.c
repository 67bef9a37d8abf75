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
    float factor; /* 1 / sqrt(d) */
} job;

/* A run's queries that share one key and value head, as rows: token after token, head after head. */
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

static rows lay_out(const job *j, const l4_attention_run *run, size_t g, float *scratch)
{
    const l4_attention_args *a = j->args;
    const l4_kernels *k = j->exec->kernels;
    const size_t d = a->d, share = a->heads / a->kv_heads, n = run->tokens * share;
    const int integers = l4_kv_integers(a->kv_slot);
    rows r = {.n = n, .share = share, .slot = integers || n <= k->attention_rows ? a->kv_slot : L4_KV_F32_SLOT, .opened = scratch};
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
        const float *from = a->q + ((run->first + i / share) * a->heads + g * share + i % share) * d;
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

/* Without the first `blind` tokens. */
static rows rest_of(rows r, size_t blind, size_t d)
{
    const size_t n = blind * r.share;
    r.n -= n;
    r.q += n * d, r.q_int += n * d, r.q_unit += n, r.out += n * d, r.scores += n * BLOCK, r.weights += n * BLOCK;
    r.weight_unit += n, r.max += n, r.sum += n, r.shrink += n;
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

static void one_head(const job *j, const l4_attention_run *run, size_t g, float *scratch)
{
    const l4_attention_args *a = j->args;
    const size_t d = a->d, plane = l4_attention_plane(d, a->kv_slot);
    const rows all = lay_out(j, run, g, scratch);
    uint64_t most = run->keys + run->tokens - 1;
    for (uint64_t start = 0; start < most; start += BLOCK) {
        const uint8_t *keys = run->pages[start / BLOCK] + a->layer_offset + g * plane;
        const uint8_t *next = start + BLOCK < most ? run->pages[start / BLOCK + 1] + a->layer_offset + g * plane : NULL;
        const block b = {keys, keys + a->kv_heads * plane, next, most - start < BLOCK ? (size_t)(most - start) : BLOCK};
        const size_t blind = start < run->keys ? 0 : (size_t)(start - run->keys + 1); /* tokens before this block */
        const uint64_t seen = run->keys + blind - start;
        const rows r = rest_of(all, blind, d);
        (l4_kv_integers(a->kv_slot) ? integer_block : float_block)(j, &r, &b, seen < BLOCK ? (size_t)seen : BLOCK);
    }
    for (size_t i = 0; i < all.n; i++)
        j->exec->kernels->scale(all.out + i * d, 1.0f / all.sum[i], NULL, a->out + ((run->first + i / all.share) * a->heads + g * all.share + i % all.share) * d, d);
}

static void task(void *argument, size_t begin, size_t end, int worker)
{
    const job *j = argument;
    float *scratch = j->exec->scratch + (size_t)worker * j->exec->scratch_size;
    for (size_t i = begin; i < end; i++)
        one_head(j, &j->args->runs[i / j->args->kv_heads], i % j->args->kv_heads, scratch);
}

void l4_attention(const l4_exec *e, const l4_attention_args *args)
{
    job j = {e, args, 1.0f / sqrtf((float)args->d)};
    double work = 0;
    for (size_t i = 0; i < args->n_runs; i++)
        work += 2.0 * (double)args->runs[i].keys * (double)(args->runs[i].tokens * args->heads * args->d);
    size_t n = args->n_runs * args->kv_heads;
    /* Runs late in a long sequence cost more than early ones: small pieces even out. */
    l4_pool_run(e->pool, task, &j, n, work < L4_SMALL_WORK ? n : 1);
}
