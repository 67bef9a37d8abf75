/* Tensor names of GGUF -> weights. */
#include <stdio.h>

#include "model/weights.h"
#include "model/weights_internal.h"

#define NAME(buffer, ...) (snprintf(buffer, sizeof buffer, __VA_ARGS__), buffer)

static llama4_status attention(l4_binder *b, const l4_config *c, uint32_t i, l4_layer *l, llama4_error *error)
{
    char name[64];
    uint32_t q = c->heads * c->head_dim, kv = c->kv_heads * c->head_dim;
    llama4_status status;
    if (l4_archive_find(b->archive, NAME(name, "blk.%u.attn_qkv.weight", (unsigned)i))) { /* the three one below the other */
        const l4_tensor *t;
        status = l4_bind_find(b, name, &t, error);
        if (status == LLAMA4_OK)
            status = l4_bind_shape(t, c->width, (uint64_t)q + 2 * kv, 1, error);
        if (status)
            return status;
        l->q = l4_bind_rows(t, 0, q, c->width);
        l->k = l4_bind_rows(t, q, kv, c->width);
        l->v = l4_bind_rows(t, (uint64_t)q + kv, kv, c->width);
    } else {
        status = l4_bind_matrix(b, NAME(name, "blk.%u.attn_q.weight", (unsigned)i), q, c->width, &l->q, error);
        if (status == LLAMA4_OK)
            status = l4_bind_matrix(b, NAME(name, "blk.%u.attn_k.weight", (unsigned)i), kv, c->width, &l->k, error);
        if (status == LLAMA4_OK)
            status = l4_bind_matrix(b, NAME(name, "blk.%u.attn_v.weight", (unsigned)i), kv, c->width, &l->v, error);
    }
    if (status == LLAMA4_OK)
        status = l4_bind_matrix(b, NAME(name, "blk.%u.attn_output.weight", (unsigned)i), c->width, q, &l->o, error);
    if (status == LLAMA4_OK)
        status = l4_bind_vector(b, NAME(name, "blk.%u.attn_norm.weight", (unsigned)i), c->width, &l->attn_norm, error);
    if (status == LLAMA4_OK)
        status = l4_bind_vector(b, NAME(name, "blk.%u.ffn_norm.weight", (unsigned)i), c->width, &l->ffn_norm, error);
    return status;
}

static llama4_status feed_forward(l4_binder *b, const l4_config *c, uint32_t i, const char *suffix, uint32_t hidden, l4_ffn *f, llama4_error *error)
{
    char name[64];
    llama4_status status = l4_bind_matrix(b, NAME(name, "blk.%u.ffn_gate%s.weight", (unsigned)i, suffix), hidden, c->width, &f->gate, error);
    if (status == LLAMA4_OK)
        status = l4_bind_matrix(b, NAME(name, "blk.%u.ffn_up%s.weight", (unsigned)i, suffix), hidden, c->width, &f->up, error);
    if (status == LLAMA4_OK)
        status = l4_bind_matrix(b, NAME(name, "blk.%u.ffn_down%s.weight", (unsigned)i, suffix), c->width, hidden, &f->down, error);
    return status;
}

static llama4_status experts(l4_binder *b, const l4_config *c, uint32_t i, l4_layer *l, llama4_error *error)
{
    char name[64];
    const l4_tensor *gate = NULL, *up = NULL, *down = NULL;
    uint32_t ff = c->expert_ff, both = 1;
    llama4_status status;
    if (l4_archive_find(b->archive, NAME(name, "blk.%u.ffn_gate_up_exps.weight", (unsigned)i))) {
        both = 2;
        status = l4_bind_find(b, name, &gate, error);
        up = gate;
    } else {
        status = l4_bind_find(b, NAME(name, "blk.%u.ffn_gate_exps.weight", (unsigned)i), &gate, error);
        if (status == LLAMA4_OK)
            status = l4_bind_find(b, NAME(name, "blk.%u.ffn_up_exps.weight", (unsigned)i), &up, error);
    }
    if (status == LLAMA4_OK)
        status = l4_bind_find(b, NAME(name, "blk.%u.ffn_down_exps.weight", (unsigned)i), &down, error);
    if (status == LLAMA4_OK)
        status = l4_bind_shape(gate, c->width, (uint64_t)ff * both, c->experts, error);
    if (status == LLAMA4_OK)
        status = l4_bind_shape(up, c->width, (uint64_t)ff * both, c->experts, error);
    if (status == LLAMA4_OK)
        status = l4_bind_shape(down, ff, c->width, c->experts, error);
    if (status)
        return status;
    for (uint32_t e = 0; e < c->experts; e++) {
        l->experts[e].gate = l4_bind_rows(gate, (uint64_t)e * ff * both, ff, c->width);
        l->experts[e].up = l4_bind_rows(up, (uint64_t)e * ff * both + (both == 2 ? ff : 0), ff, c->width);
        l->experts[e].down = l4_bind_rows(down, (uint64_t)e * c->width, c->width, ff);
    }
    return LLAMA4_OK;
}

static llama4_status layer(l4_binder *b, const l4_config *c, uint32_t i, l4_layer *l, llama4_error *error)
{
    char name[64];
    llama4_status status = attention(b, c, i, l, error);
    if (status)
        return status;
    if (!c->layer[i].moe)
        return feed_forward(b, c, i, "", c->dense_ff, &l->ffn, error);
    status = feed_forward(b, c, i, "_shexp", c->expert_ff, &l->ffn, error);
    if (status == LLAMA4_OK)
        status = l4_bind_matrix(b, NAME(name, "blk.%u.ffn_gate_inp.weight", (unsigned)i), c->experts, c->width, &l->router, error);
    return status ? status : experts(b, c, i, l, error);
}

llama4_status l4_weights_from_gguf(const l4_allocator *a, const l4_config *c, const l4_archive *archive, l4_weights *out, llama4_error *error)
{
    l4_binder b;
    const l4_tensor *t;
    l4_weights w;
    llama4_status status = l4_weights_begin(a, c, archive, &b, &w, error);
    if (status)
        return status;
    status = l4_bind_find(&b, "token_embd.weight", &t, error);
    if (status == LLAMA4_OK && (t->dims[1] > 0x7fffffff || t->n_dims != 2))
        status = l4_bind_shape(t, c->width, 1, 1, error);
    if (status == LLAMA4_OK) {
        w.config.vocab = (uint32_t)t->dims[1];
        status = l4_bind_matrix(&b, "token_embd.weight", w.config.vocab, c->width, &w.embedding, error);
    }
    w.config.tied = !l4_archive_find(archive, "output.weight");
    if (status == LLAMA4_OK)
        status = l4_bind_matrix(&b, w.config.tied ? "token_embd.weight" : "output.weight", w.config.vocab, c->width, &w.output, error);
    if (status == LLAMA4_OK)
        status = l4_bind_vector(&b, "output_norm.weight", c->width, &w.output_norm, error);
    for (uint32_t i = 0; i < c->layers && status == LLAMA4_OK; i++)
        status = layer(&b, &w.config, i, &w.layers[i], error);
    if (status == LLAMA4_OK)
        status = l4_bind_frequencies(&b, &w, error);
    if (status)
        l4_weights_clear(&w);
    else
        *out = w;
    return status;
}
