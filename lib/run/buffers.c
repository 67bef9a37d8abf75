/* Intermediate results of the forward pass: one allocation, cut up; it grows with the largest batch that was asked for. */
#include <string.h>

#include "base/file.h"
#include "run/forward.h"

#define ALIGN_FLOATS 16

/* Cuts `count` floats from the arena, or only counts them while memory is NULL. */
static float *cut(l4_buffers *b, size_t count)
{
    float *p = b->memory ? b->memory + b->bytes / sizeof(float) : NULL;
    b->bytes += (count + ALIGN_FLOATS - 1) / ALIGN_FLOATS * ALIGN_FLOATS * sizeof(float);
    return p;
}

static void lay_out(l4_buffers *b, const l4_config *c, size_t n)
{
    size_t any_dense = 0, choices = n * c->experts_used;
    for (uint32_t i = 0; i < c->layers; i++)
        any_dense |= !c->layer[i].moe;
    b->bytes = 0;
    b->x = cut(b, n * c->width);
    b->norm = cut(b, n * c->width);
    b->y = cut(b, n * c->width);
    b->q = cut(b, n * c->heads * c->head_dim);
    b->out = cut(b, n * c->heads * c->head_dim);
    b->k = cut(b, n * c->kv_heads * c->head_dim);
    b->v = cut(b, n * c->kv_heads * c->head_dim);
    b->cosine = cut(b, n * c->head_dim / 2);
    b->sine = cut(b, n * c->head_dim / 2);
    b->temperature = cut(b, n);
    b->runs = (void *)cut(b, n * sizeof *b->runs / sizeof(float));
    b->hidden = any_dense ? cut(b, 2 * n * c->dense_ff) : NULL;
    /* A call of l4_linear takes each token once, and once more for each expert it goes to; or, for the logits, once. */
    size_t widest = c->width, rows = n * (1 + c->experts_used);
    widest = c->heads * c->head_dim > widest ? c->heads * c->head_dim : widest;
    widest = c->dense_ff > widest ? c->dense_ff : widest;
    widest = c->expert_ff > widest ? c->expert_ff : widest;
    b->quantized = (void *)cut(b, rows * ((widest + L4_QBLOCK - 1) / L4_QBLOCK) * sizeof *b->quantized / sizeof(float));
    b->factors = cut(b, rows);
    b->shares = (void *)cut(b, (2 * (c->experts + 1) + 3) * sizeof *b->shares / sizeof(float));
    if (!c->experts)
        return;
    l4_moe_scratch *m = &b->moe;
    m->router = cut(b, n * c->experts);
    m->gathered = cut(b, choices * c->width);
    m->hidden = cut(b, 2 * (n + choices) * c->expert_ff);
    m->routed = cut(b, choices * c->width);
    m->gate = cut(b, choices);
    m->order = (void *)cut(b, choices);
    m->choice = (void *)cut(b, choices);
    m->counts = (void *)cut(b, c->experts + 1);
    m->products = (void *)cut(b, 2 * (c->experts + 1) * sizeof *m->products / sizeof(float));
    m->ffn = (void *)cut(b, c->experts * sizeof *m->ffn / sizeof(float));
    m->slot = (void *)cut(b, c->experts);
    m->state = (void *)cut(b, c->experts); /* more than it needs */
}

size_t l4_buffers_bytes(const l4_config *c, size_t tokens)
{
    l4_buffers b = {.tokens = tokens};
    lay_out(&b, c, tokens);
    return b.bytes;
}

llama4_status l4_buffers_reserve(l4_buffers *b, const l4_allocator *a, const l4_config *c, size_t tokens, llama4_error *error)
{
    if (tokens <= b->tokens)
        return LLAMA4_OK;
    l4_buffers fresh = {.tokens = tokens};
    lay_out(&fresh, c, tokens);
    llama4_status status = l4_alloc(a, fresh.bytes, 1, "intermediate results", &fresh.memory, error);
    if (status)
        return status;
    l4_memory_large_pages(fresh.memory, fresh.bytes);
    lay_out(&fresh, c, tokens);
    l4_free(a, b->memory);
    *b = fresh;
    return LLAMA4_OK;
}

void l4_buffers_clear(l4_buffers *b, const l4_allocator *a)
{
    l4_free(a, b->memory);
    memset(b, 0, sizeof *b);
}
