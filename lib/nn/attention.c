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
    return 2 * BLOCK * d + L4_ATTENTION_TOKENS * (heads / kv_heads) * (2 * d + BLOCK + 3);
}

typedef struct job {
    const l4_exec *exec;
    const l4_attention_args *args;
    float factor; /* 1 / sqrt(d) */
} job;

/* A run's queries that share one key and value head, as rows: token after token, head after head. */
typedef struct rows {
    size_t n, share;
    float *keys, *values;              /* of one block: [d][BLOCK], [BLOCK][d] */
    float *q, *out;                    /* [n][d] */
    float *scores;                     /* [n][BLOCK] */
    float *max, *sum, *shrink;         /* [n] */
} rows;

static rows lay_out(const job *j, const l4_attention_run *run, size_t g, float *scratch)
{
    const l4_attention_args *a = j->args;
    const size_t d = a->d, share = a->heads / a->kv_heads, n = run->tokens * share;
    rows r = {.n = n, .share = share, .keys = scratch};
    r.values = r.keys + BLOCK * d;
    r.q = r.values + BLOCK * d;
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

/* One block of keys, of which `here` exist; `seen`: how many of them the run's first token sees, the next ones one more each. Tokens
 * that see none of them have been left out. */
static void one_block(const l4_kernels *k, const rows *r, size_t tokens, size_t here, size_t seen, size_t d)
{
    k->scores(r->q, tokens * r->share, r->keys, here, d, r->scores);
    for (size_t i = 0; i < tokens * r->share; i++) {
        size_t n = seen + i / r->share;
        r->shrink[i] = k->softmax_step(r->scores + i * BLOCK, n < here ? n : here, &r->max[i], &r->sum[i]);
    }
    /* What all see together, then the rest token by token: nobody's sum is touched by a key that it does not see. */
    size_t common = seen < here ? seen : here;
    k->accumulate(r->out, tokens * r->share, r->shrink, r->scores, r->values, common, d);
    for (size_t i = r->share; i < tokens * r->share && common < here; i++) {
        const float same = 1.0f;
        size_t n = seen + i / r->share < here ? seen + i / r->share : here;
        k->accumulate(r->out + i * d, 1, &same, r->scores + i * BLOCK + common, r->values + common * d, n - common, d);
    }
}

static void one_head(const job *j, const l4_attention_run *run, size_t g, float *scratch)
{
    const l4_attention_args *a = j->args;
    const l4_kernels *k = j->exec->kernels;
    const size_t d = a->d, plane = BLOCK * d * l4_attention_element(a->kv_slot);
    const rows all = lay_out(j, run, g, scratch);
    uint64_t most = run->keys + run->tokens - 1;
    for (uint64_t start = 0; start < most; start += BLOCK) {
        const uint8_t *page = run->pages[start / BLOCK] + a->layer_offset;
        size_t here = most - start < BLOCK ? (size_t)(most - start) : BLOCK, blind = start < run->keys ? 0 : (size_t)(start - run->keys + 1);
        rows r = all; /* without the first tokens, if this block lies behind them */
        r.q += blind * r.share * d, r.out += blind * r.share * d, r.scores += blind * r.share * BLOCK;
        r.max += blind * r.share, r.sum += blind * r.share, r.shrink += blind * r.share;
        k->kv_load[a->kv_slot](page + g * plane, r.keys, BLOCK * d);
        k->kv_load[a->kv_slot](page + (a->kv_heads + g) * plane, r.values, here * d);
        uint64_t seen = run->keys + blind - start;
        one_block(k, &r, run->tokens - blind, here, seen < BLOCK ? (size_t)seen : BLOCK, d);
    }
    for (size_t i = 0; i < all.n; i++)
        k->scale(all.out + i * d, 1.0f / all.sum[i], NULL, a->out + ((run->first + i / all.share) * a->heads + g * all.share + i % all.share) * d, d);
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
