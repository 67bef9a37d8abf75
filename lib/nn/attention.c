#include "nn/attention.h"

#include <math.h>
#include <string.h>

#define BLOCK L4_ATTENTION_BLOCK

size_t l4_attention_element(int kv_slot)
{
    return kv_slot == L4_KV_F32_SLOT ? 4 : 2;
}

size_t l4_attention_layer_bytes(size_t kv_heads, size_t d, int kv_slot)
{
    return 2 * kv_heads * BLOCK * d * l4_attention_element(kv_slot);
}

void l4_attention_store(const l4_kernels *k, uint8_t *layer, size_t kv_heads, size_t d, int kv_slot, size_t at, const float *key, const float *value)
{
    const size_t element = l4_attention_element(kv_slot), plane = BLOCK * d * element;
    uint8_t row[64 * 4];
    for (size_t h = 0; h < kv_heads; h++, layer += plane)
        for (size_t i = 0; i < d; i += 64) {
            size_t n = d - i < 64 ? d - i : 64;
            uint8_t *to = layer + (i * BLOCK + at) * element;
            k->kv_store[kv_slot](key + h * d + i, row, n);
            for (size_t c = 0; c < n; c++)
                memcpy(to + c * BLOCK * element, row + c * element, element);
        }
    for (size_t h = 0; h < kv_heads; h++, layer += plane)
        k->kv_store[kv_slot](value + h * d, layer + at * d * element, d);
}

size_t l4_attention_scratch(size_t heads, size_t kv_heads, size_t d)
{
    return BLOCK * d + L4_ATTENTION_TOKENS * (heads / kv_heads) * (2 * d + BLOCK + 3);
}

typedef struct job {
    const l4_exec *exec;
    const l4_attention_args *args;
    float factor; /* 1 / sqrt(d) */
} job;

/* A run's queries that share one key and value head, as rows: token after token, head after head. */
typedef struct rows {
    size_t n, share;
    int slot;                          /* of the kernels that take them */
    float *opened;                     /* [BLOCK * d] */
    float *q, *out;                    /* [n][d] */
    float *scores;                     /* [n][BLOCK] */
    float *max, *sum, *shrink;         /* [n] */
} rows;

static rows lay_out(const job *j, const l4_attention_run *run, size_t g, float *scratch)
{
    const l4_attention_args *a = j->args;
    const size_t d = a->d, share = a->heads / a->kv_heads, n = run->tokens * share;
    rows r = {.n = n, .share = share, .slot = n <= j->exec->kernels->attention_rows ? a->kv_slot : L4_KV_F32_SLOT, .opened = scratch};
    r.q = r.opened + BLOCK * d;
    r.out = r.q + n * d;
    r.scores = r.out + n * d;
    r.max = r.scores + n * BLOCK;
    r.sum = r.max + n;
    r.shrink = r.sum + n;
    for (size_t t = 0; t < run->tokens; t++)
        j->exec->kernels->scale(a->q + ((run->first + t) * a->heads + g * share) * d, j->factor, NULL, r.q + t * share * d, share * d);
    memset(r.out, 0, n * d * sizeof(float));
    memset(r.sum, 0, n * sizeof(float));
    for (size_t i = 0; i < n; i++)
        r.max[i] = -INFINITY;
    return r;
}

/* One head's keys and values of a block in the cache, and what comes after them, or NULL. */
typedef struct block {
    const uint8_t *keys, *values, *next;
    size_t here;
} block;

/* n numbers of the cache as the kernels take them: as they are for few rows; for many they become float32 first, once for all. */
static const uint8_t *open_up(const job *j, const rows *r, const uint8_t *stored, size_t n)
{
    if (r->slot == j->args->kv_slot)
        return stored;
    j->exec->kernels->kv_load[j->args->kv_slot](stored, r->opened, n);
    return (const uint8_t *)r->opened;
}

/* seen: how many of the block's keys the first token sees, the next ones one more each. Tokens that see none of them have been left out. */
static void one_block(const job *j, const rows *r, const block *b, size_t tokens, size_t seen)
{
    const l4_kernels *k = j->exec->kernels;
    const size_t d = j->args->d, here = b->here;
    k->scores[r->slot](r->q, tokens * r->share, open_up(j, r, b->keys, BLOCK * d), here, d, r->scores, b->values);
    for (size_t i = 0; i < tokens * r->share; i++) {
        size_t n = seen + i / r->share;
        r->shrink[i] = k->softmax_step(r->scores + i * BLOCK, n < here ? n : here, &r->max[i], &r->sum[i]);
    }
    /* What all see together, then the rest token by token: nobody's sum is touched by a key that it does not see. */
    const uint8_t *values = open_up(j, r, b->values, here * d);
    size_t common = seen < here ? seen : here;
    k->accumulate[r->slot](r->out, tokens * r->share, r->shrink, r->scores, values, common, d, b->next);
    values += common * d * l4_attention_element(r->slot);
    for (size_t i = r->share; i < tokens * r->share && common < here; i++) {
        const float same = 1.0f;
        size_t n = seen + i / r->share < here ? seen + i / r->share : here;
        k->accumulate[r->slot](r->out + i * d, 1, &same, r->scores + i * BLOCK + common, values, n - common, d, NULL);
    }
}

static void one_head(const job *j, const l4_attention_run *run, size_t g, float *scratch)
{
    const l4_attention_args *a = j->args;
    const size_t d = a->d, plane = BLOCK * d * l4_attention_element(a->kv_slot);
    const rows all = lay_out(j, run, g, scratch);
    uint64_t most = run->keys + run->tokens - 1;
    for (uint64_t start = 0; start < most; start += BLOCK) {
        const uint8_t *keys = run->pages[start / BLOCK] + a->layer_offset + g * plane;
        const uint8_t *next = start + BLOCK < most ? run->pages[start / BLOCK + 1] + a->layer_offset + g * plane : NULL;
        const block b = {keys, keys + a->kv_heads * plane, next, most - start < BLOCK ? (size_t)(most - start) : BLOCK};
        const size_t blind = start < run->keys ? 0 : (size_t)(start - run->keys + 1);
        const uint64_t seen = run->keys + blind - start;
        rows r = all; /* without the first tokens, if this block lies behind them */
        r.q += blind * r.share * d, r.out += blind * r.share * d, r.scores += blind * r.share * BLOCK;
        r.max += blind * r.share, r.sum += blind * r.share, r.shrink += blind * r.share;
        one_block(j, &r, &b, run->tokens - blind, seen < BLOCK ? (size_t)seen : BLOCK);
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
