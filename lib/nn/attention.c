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

size_t l4_attention_scratch(size_t heads, size_t kv_heads, size_t d)
{
    return 2 * BLOCK * d + BLOCK + 2 * L4_ATTENTION_TOKENS * (heads / kv_heads);
}

typedef struct job {
    const l4_exec *exec;
    const l4_attention_args *args;
    float factor; /* 1 / sqrt(d) */
} job;

/* All tokens of one run, for the query heads that share one key and value head. The sums grow in `out` itself. */
static void one_head(const job *j, const l4_attention_run *run, size_t g, float *scratch)
{
    const l4_attention_args *a = j->args;
    const l4_kernels *k = j->exec->kernels;
    const size_t d = a->d, share = a->heads / a->kv_heads, element = l4_attention_element(a->kv_slot);
    float *keys = scratch, *values = keys + BLOCK * d, *scores = values + BLOCK * d;
    float *max = scores + BLOCK, *sum = max + L4_ATTENTION_TOKENS * share;
    for (size_t i = 0; i < run->tokens * share; i++) {
        max[i] = -INFINITY;
        sum[i] = 0;
    }
    for (size_t t = 0; t < run->tokens; t++)
        memset(a->out + ((run->first + t) * a->heads + g * share) * d, 0, share * d * sizeof(float));
    uint64_t most = run->keys + run->tokens - 1;
    for (uint64_t start = 0; start < most; start += BLOCK) {
        const uint8_t *page = run->pages[start / BLOCK] + a->layer_offset;
        size_t here = most - start < BLOCK ? (size_t)(most - start) : BLOCK;
        k->kv_load[a->kv_slot](page + g * BLOCK * d * element, keys, here * d);
        k->kv_load[a->kv_slot](page + (a->kv_heads + g) * BLOCK * d * element, values, here * d);
        for (size_t t = 0; t < run->tokens; t++) {
            uint64_t seen = run->keys + t;
            if (seen <= start)
                continue;
            size_t n = seen - start < BLOCK ? (size_t)(seen - start) : BLOCK;
            for (size_t h = 0; h < share; h++) {
                size_t at = ((run->first + t) * a->heads + g * share + h) * d, i = t * share + h;
                k->scores(a->q + at, keys, n, d, j->factor, scores);
                float shrink = k->softmax_step(scores, n, &max[i], &sum[i]);
                k->accumulate(a->out + at, shrink, scores, values, n, d);
            }
        }
    }
    for (size_t t = 0; t < run->tokens; t++)
        for (size_t h = 0; h < share; h++) {
            float *out = a->out + ((run->first + t) * a->heads + g * share + h) * d;
            k->scale(out, 1.0f / sum[t * share + h], NULL, out, d);
        }
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
