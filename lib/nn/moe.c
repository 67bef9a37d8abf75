#include "nn/moe.h"

#include <string.h>

#include "base/math.h"
#include "nn/ffn.h"

/* The `used` largest of z[n], largest first, lowest index first among equals. */
static void choose(const float *z, size_t n, size_t used, uint32_t *choice, float *gate)
{
    for (size_t i = 0; i < used; i++) {
        size_t best = n;
        for (size_t k = 0; k < n; k++) {
            int taken = 0;
            for (size_t j = 0; j < i; j++)
                taken |= choice[j] == k;
            if (!taken && (best == n || z[k] > z[best]))
                best = k;
        }
        choice[i] = (uint32_t)best;
        gate[i] = (float)(1.0 / (1.0 + l4_exp(-(double)z[best])));
    }
}

/* Sorts the choices by expert: counts[x] .. counts[x + 1] become the rows of expert x in `gathered`. */
static void sort_by_expert(const l4_moe_scratch *s, size_t choices, size_t experts)
{
    memset(s->counts, 0, (experts + 1) * sizeof *s->counts);
    for (size_t i = 0; i < choices; i++)
        s->counts[s->choice[i] + 1]++;
    for (size_t x = 0; x < experts; x++)
        s->counts[x + 1] += s->counts[x];
    for (size_t i = 0; i < choices; i++)
        s->order[i] = s->counts[s->choice[i]]++;
    memmove(s->counts + 1, s->counts, experts * sizeof *s->counts);
    s->counts[0] = 0;
}

typedef struct job {
    const l4_exec *exec;
    const l4_moe_scratch *s;
    const float *x;
    float *y;
    size_t width, used;
} job;

static void gather_task(void *argument, size_t begin, size_t end, int worker)
{
    const job *j = argument;
    (void)worker;
    for (size_t i = begin; i < end; i++)
        j->exec->kernels->scale(j->x + i / j->used * j->width, j->s->gate[i], NULL, j->s->gathered + j->s->order[i] * j->width, j->width);
}

static void combine_task(void *argument, size_t begin, size_t end, int worker)
{
    const job *j = argument;
    (void)worker;
    for (size_t t = begin; t < end; t++)
        for (size_t u = 0; u < j->used; u++)
            j->exec->kernels->add(j->y + t * j->width, j->s->routed + j->s->order[t * j->used + u] * j->width, j->width);
}

void l4_moe(const l4_exec *e, const l4_layer *layer, const l4_config *c, const float *x, size_t tokens, const l4_moe_scratch *s, float *y)
{
    const size_t width = c->width, ff = c->expert_ff, used = c->experts_used, choices = tokens * used, rows = tokens + choices;
    float *gate = s->hidden, *up = s->hidden + rows * ff;
    const l4_product route = {&layer->router, x, width, tokens, s->router, c->experts};
    l4_linear(e, &route, 1);
    for (size_t t = 0; t < tokens; t++)
        choose(s->router + t * c->experts, c->experts, used, s->choice + t * used, s->gate + t * used);
    sort_by_expert(s, choices, c->experts);
    job j = {e, s, x, y, width, used};
    l4_pool_run(e->pool, gather_task, &j, choices, l4_grain(e, choices, (double)choices * (double)width));

    /* Rows of the hidden layer: the tokens for the shared expert, then the choices in order of experts. */
    size_t n = 0;
    s->products[n++] = (l4_product){&layer->ffn.gate, x, width, tokens, gate, ff};
    s->products[n++] = (l4_product){&layer->ffn.up, x, width, tokens, up, ff};
    for (size_t k = 0; k < c->experts; k++) {
        size_t first = s->counts[k], count = s->counts[k + 1] - first;
        if (!count)
            continue;
        const float *in = s->gathered + first * width;
        s->products[n++] = (l4_product){&layer->experts[k].gate, in, width, count, gate + (tokens + first) * ff, ff};
        s->products[n++] = (l4_product){&layer->experts[k].up, in, width, count, up + (tokens + first) * ff, ff};
    }
    l4_linear(e, s->products, n);
    l4_gate(e, gate, up, rows * ff);

    n = 0;
    s->products[n++] = (l4_product){&layer->ffn.down, gate, ff, tokens, y, width};
    for (size_t k = 0; k < c->experts; k++) {
        size_t first = s->counts[k], count = s->counts[k + 1] - first;
        if (count)
            s->products[n++] = (l4_product){&layer->experts[k].down, gate + (tokens + first) * ff, ff, count, s->routed + first * width, width};
    }
    l4_linear(e, s->products, n);
    l4_pool_run(e->pool, combine_task, &j, tokens, l4_grain(e, tokens, (double)choices * (double)width));
}
