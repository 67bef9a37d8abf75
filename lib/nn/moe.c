#include "nn/moe.h"

#include <string.h>

#include "base/math.h"
#include "nn/ffn.h"
#include "nn/norm.h"

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
    size_t width, used, tokens, ff;
    float *gate, *up; /* halves of the hidden layer: rows of the tokens for the shared expert, then of the choices in order of experts */
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

l4_guess l4_moe_guess(const l4_exec *e, const l4_weights *w, uint32_t layer, const float *x, size_t tokens, const l4_moe_scratch *s)
{
    const l4_config *c = &w->config;
    l4_guess g = {.layer = layer + 1};
    while (g.layer < c->layers && !c->layer[g.layer].moe)
        g.layer++;
    if (!w->pool || g.layer == c->layers || tokens * c->experts_used > L4_GUESSES)
        return g;
    const l4_layer *l = &w->layers[g.layer];
    l4_rms_norm_rows(e, x, l->ffn_norm, c->norm_epsilon, s->gathered, tokens, c->width);
    const l4_product route = {&l->router, s->gathered, c->width, tokens, s->router, c->experts, NULL};
    l4_linear(e, &route, 1);
    for (size_t t = 0; t < tokens; t++, g.n += c->experts_used)
        choose(s->router + t * c->experts, c->experts, c->experts_used, g.expert + g.n, s->gate);
    return g;
}

/* Rows first .. first + count - 1 of the hidden layer, from both halves. */
static void gate_rows(const job *j, size_t first, size_t count)
{
    if (count)
        l4_gate(j->exec, j->gate + first * j->ff, j->up + first * j->ff, count * j->ff);
}

static size_t tokens_of(const job *j, size_t expert)
{
    return j->s->ffn[expert] ? j->s->counts[expert + 1] - j->s->counts[expert] : 0;
}

static l4_product *add_in(const job *j, size_t expert, const l4_arrival *arriving, l4_product *to)
{
    const l4_ffn *f = j->s->ffn[expert];
    const size_t first = j->s->counts[expert], count = tokens_of(j, expert), row = (j->tokens + first) * j->ff;
    const float *in = j->s->gathered + first * j->width;
    *to++ = (l4_product){&f->gate, in, j->width, count, j->gate + row, j->ff, arriving};
    *to++ = (l4_product){&f->up, in, j->width, count, j->up + row, j->ff, arriving};
    return to;
}

static l4_product *add_out(const job *j, size_t expert, const l4_arrival *arriving, l4_product *to)
{
    const size_t first = j->s->counts[expert], count = tokens_of(j, expert);
    const float *in = j->gate + (j->tokens + first) * j->ff;
    *to++ = (l4_product){&j->s->ffn[expert]->down, in, j->ff, count, j->s->routed + first * j->width, j->width, arriving};
    return to;
}

/* The shared expert, if wanted, and those experts whose ffn is set, the one on its way last. */
static void compute(const job *j, const l4_ffn *shared, size_t experts, const l4_visit *v)
{
    const size_t coming = v ? v->coming : L4_NO_EXPERT;
    l4_product *p = j->s->products;
    if (shared) {
        *p++ = (l4_product){&shared->gate, j->x, j->width, j->tokens, j->gate, j->ff, NULL};
        *p++ = (l4_product){&shared->up, j->x, j->width, j->tokens, j->up, j->ff, NULL};
    }
    for (size_t k = 0; k < experts; k++)
        p = tokens_of(j, k) && k != coming ? add_in(j, k, NULL, p) : p;
    p = coming != L4_NO_EXPERT ? add_in(j, coming, &v->arrival, p) : p;
    l4_linear(j->exec, j->s->products, (size_t)(p - j->s->products));

    size_t from = 0, to = shared ? j->tokens : 0; /* rows side by side */
    for (size_t k = 0; k < experts; k++) {
        const size_t first = j->tokens + j->s->counts[k], count = tokens_of(j, k);
        if (!count)
            continue;
        if (first != to) {
            gate_rows(j, from, to - from);
            from = first;
        }
        to = first + count;
    }
    gate_rows(j, from, to - from);

    p = j->s->products;
    if (shared)
        *p++ = (l4_product){&shared->down, j->gate, j->ff, j->tokens, j->y, j->width, NULL};
    for (size_t k = 0; k < experts; k++)
        p = tokens_of(j, k) && k != coming ? add_out(j, k, NULL, p) : p;
    p = coming != L4_NO_EXPERT ? add_out(j, coming, &v->arrival, p) : p;
    l4_linear(j->exec, j->s->products, (size_t)(p - j->s->products));
}

/* Experts in the order in which they come, the shared one while the first are read. */
static llama4_status compute_streamed(const job *j, const l4_weights *w, uint32_t layer, const l4_guess *guess, const atomic_int *cancel,
                                      llama4_error *error)
{
    const l4_ffn *shared = &w->layers[layer].ffn;
    l4_visit v = {.state = j->s->state, .slot = j->s->slot, .guess = *guess};
    l4_experts_begin(w->pool, &v, layer, j->s->counts, j->s->guess);
    *j->s->guess = *guess;
    do {
        llama4_status status = l4_experts_take(w->pool, &v, shared == NULL, cancel, j->s->ffn, error);
        if (status)
            return status;
        compute(j, shared, w->config.experts, &v);
        l4_experts_give(w->pool, &v);
        shared = NULL;
    } while (v.left);
    return LLAMA4_OK;
}

llama4_status l4_moe(const l4_exec *e, const l4_weights *w, uint32_t layer, const float *x, size_t tokens, const l4_moe_scratch *s, float *y,
                     const l4_guess *guess, const atomic_int *cancel, llama4_error *error)
{
    const l4_layer *l = &w->layers[layer];
    const l4_config *c = &w->config;
    const size_t width = c->width, used = c->experts_used, choices = tokens * used;
    const l4_product route = {&l->router, x, width, tokens, s->router, c->experts, NULL};
    l4_linear(e, &route, 1);
    for (size_t t = 0; t < tokens; t++)
        choose(s->router + t * c->experts, c->experts, used, s->choice + t * used, s->gate + t * used);
    sort_by_expert(s, choices, c->experts);
    for (size_t k = 0; s->routed_tokens && k < c->experts; k++)
        s->routed_tokens[layer * (size_t)c->experts + k] += s->counts[k + 1] - s->counts[k];
    job j = {e, s, x, y, width, used, tokens, c->expert_ff, s->hidden, s->hidden + (tokens + choices) * c->expert_ff};
    l4_pool_run(e->pool, gather_task, &j, choices, l4_grain(e, choices, (double)choices * (double)width));
    if (w->pool) {
        llama4_status status = compute_streamed(&j, w, layer, guess, cancel, error);
        if (status)
            return status;
    } else {
        for (size_t k = 0; k < c->experts; k++)
            s->ffn[k] = &l->experts[k];
        compute(&j, &l->ffn, c->experts, NULL);
    }
    l4_pool_run(e->pool, combine_task, &j, tokens, l4_grain(e, tokens, (double)choices * (double)width));
    return LLAMA4_OK;
}
