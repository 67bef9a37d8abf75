/* Tensor names of Hugging Face checkpoints -> weights. Experts are stored (in, out) there: column layout. */
#include <stdio.h>
#include <string.h>

#include "model/weights.h"
#include "model/weights_internal.h"

#define NAME(buffer, ...) (snprintf(buffer, sizeof buffer, __VA_ARGS__), buffer)

typedef struct hf {
    l4_binder binder;
    const l4_config *c;
    const char *prefix; /* of "embed_tokens.weight" and "layers.N." */
    const char *head;   /* the output matrix */
} hf;

/* Multimodal checkpoints put the text model below language_model, in one of two orders. */
static const struct {
    const char *prefix, *head;
} layouts[] = {
    {"model.", "lm_head.weight"},
    {"language_model.model.", "language_model.lm_head.weight"},
    {"model.language_model.", "lm_head.weight"},
    {"", "lm_head.weight"},
};

static llama4_status matrix(hf *h, uint32_t i, const char *part, uint32_t rows, uint32_t cols, l4_matrix *out, llama4_error *error)
{
    char name[160];
    return l4_bind_matrix(&h->binder, NAME(name, "%slayers.%u.%s.weight", h->prefix, (unsigned)i, part), rows, cols, out, error);
}

static llama4_status vector(hf *h, uint32_t i, const char *part, const float **out, llama4_error *error)
{
    char name[160];
    return l4_bind_vector(&h->binder, NAME(name, "%slayers.%u.%s.weight", h->prefix, (unsigned)i, part), h->c->width, out, error);
}

static llama4_status attention(hf *h, uint32_t i, l4_layer *l, llama4_error *error)
{
    const l4_config *c = h->c;
    uint32_t q = c->heads * c->head_dim, kv = c->kv_heads * c->head_dim;
    llama4_status status = matrix(h, i, "self_attn.q_proj", q, c->width, &l->q, error);
    if (status == LLAMA4_OK)
        status = matrix(h, i, "self_attn.k_proj", kv, c->width, &l->k, error);
    if (status == LLAMA4_OK)
        status = matrix(h, i, "self_attn.v_proj", kv, c->width, &l->v, error);
    if (status == LLAMA4_OK)
        status = matrix(h, i, "self_attn.o_proj", c->width, q, &l->o, error);
    if (status == LLAMA4_OK)
        status = vector(h, i, "input_layernorm", &l->attn_norm, error);
    if (status == LLAMA4_OK)
        status = vector(h, i, "post_attention_layernorm", &l->ffn_norm, error);
    return status;
}

static llama4_status feed_forward(hf *h, uint32_t i, const char *part, uint32_t hidden, l4_ffn *f, llama4_error *error)
{
    char name[96];
    llama4_status status = matrix(h, i, NAME(name, "%s.gate_proj", part), hidden, h->c->width, &f->gate, error);
    if (status == LLAMA4_OK)
        status = matrix(h, i, NAME(name, "%s.up_proj", part), hidden, h->c->width, &f->up, error);
    if (status == LLAMA4_OK)
        status = matrix(h, i, NAME(name, "%s.down_proj", part), h->c->width, hidden, &f->down, error);
    return status;
}

/* Outputs first .. first + rows - 1 of expert e in a tensor [experts, in, out]. */
static l4_matrix columns(const l4_tensor *t, uint32_t e, uint64_t first, uint32_t rows, uint32_t cols)
{
    uint64_t element = t->type == LLAMA4_TYPE_F32 ? 4 : 2;
    l4_matrix m = {.rows = rows, .cols = cols, .type = t->type, .layout = L4_COLUMNS, .stride = t->dims[0] * element};
    m.data = t->data + e * cols * m.stride + first * element;
    return m;
}

static llama4_status find_columns(hf *h, uint32_t i, const char *part, uint64_t in, uint64_t out, const l4_tensor **t, llama4_error *error)
{
    char name[160];
    llama4_status status = l4_bind_find(&h->binder, NAME(name, "%slayers.%u.%s", h->prefix, (unsigned)i, part), t, error);
    if (status)
        return status;
    if (l4_type_find((*t)->type)->block != 1)
        return l4_fail(error, LLAMA4_ERR_UNSUPPORTED, "tensor %s is not of a float type", name);
    return l4_bind_shape(*t, out, in, h->c->experts, error);
}

static llama4_status experts(hf *h, uint32_t i, l4_layer *l, llama4_error *error)
{
    const l4_config *c = h->c;
    const l4_tensor *gate_up, *down;
    char name[160];
    llama4_status status;
    if (l4_archive_find(h->binder.archive, NAME(name, "%slayers.%u.feed_forward.experts.0.gate_proj.weight", h->prefix, (unsigned)i))) {
        status = LLAMA4_OK; /* a variant with a tensor per expert, (out, in) */
        for (uint32_t e = 0; e < c->experts && status == LLAMA4_OK; e++)
            status = feed_forward(h, i, NAME(name, "feed_forward.experts.%u", (unsigned)e), c->expert_ff, &l->experts[e], error);
        return status;
    }
    status = find_columns(h, i, "feed_forward.experts.gate_up_proj", c->width, 2 * (uint64_t)c->expert_ff, &gate_up, error);
    if (status == LLAMA4_OK)
        status = find_columns(h, i, "feed_forward.experts.down_proj", c->expert_ff, c->width, &down, error);
    if (status)
        return status;
    for (uint32_t e = 0; e < c->experts; e++) { /* gate in the first half of the outputs, up in the second */
        l->experts[e].gate = columns(gate_up, e, 0, c->expert_ff, c->width);
        l->experts[e].up = columns(gate_up, e, c->expert_ff, c->expert_ff, c->width);
        l->experts[e].down = columns(down, e, 0, c->width, c->expert_ff);
    }
    return LLAMA4_OK;
}

static llama4_status layer(hf *h, uint32_t i, l4_layer *l, llama4_error *error)
{
    const l4_config *c = h->c;
    llama4_status status = attention(h, i, l, error);
    if (status)
        return status;
    if (!c->layer[i].moe)
        return feed_forward(h, i, "feed_forward", c->dense_ff, &l->ffn, error);
    status = feed_forward(h, i, "feed_forward.shared_expert", c->expert_ff, &l->ffn, error);
    if (status == LLAMA4_OK)
        status = matrix(h, i, "feed_forward.router", c->experts, c->width, &l->router, error);
    return status ? status : experts(h, i, l, error);
}

llama4_status l4_weights_from_hf(const l4_allocator *a, const l4_config *c, const l4_archive *archive, l4_weights *out, llama4_error *error)
{
    hf h = {.c = c, .prefix = layouts[0].prefix, .head = layouts[0].head};
    const l4_tensor *embedding = NULL;
    char name[160];
    l4_weights w;
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts && !embedding; i++) {
        embedding = l4_archive_find(archive, NAME(name, "%sembed_tokens.weight", layouts[i].prefix));
        if (embedding) {
            h.prefix = layouts[i].prefix;
            h.head = layouts[i].head;
        }
    }
    llama4_status status = l4_weights_begin(a, c, archive, &h.binder, &w, error);
    if (status)
        return status;
    if (embedding && embedding->n_dims == 2 && embedding->dims[1] <= 0x7fffffff)
        w.config.vocab = (uint32_t)embedding->dims[1];
    NAME(name, "%sembed_tokens.weight", h.prefix);
    status = l4_bind_matrix(&h.binder, name, w.config.vocab, c->width, &w.embedding, error);
    w.config.tied = c->tied && !l4_archive_find(archive, h.head);
    if (status == LLAMA4_OK)
        status = l4_bind_matrix(&h.binder, w.config.tied ? name : h.head, w.config.vocab, c->width, &w.output, error);
    if (status == LLAMA4_OK)
        status = l4_bind_vector(&h.binder, NAME(name, "%snorm.weight", h.prefix), c->width, &w.output_norm, error);
    for (uint32_t i = 0; i < c->layers && status == LLAMA4_OK; i++)
        status = layer(&h, i, &w.layers[i], error);
    if (status == LLAMA4_OK)
        status = l4_bind_frequencies(&h.binder, &w, error);
    if (status)
        l4_weights_clear(&w);
    else
        *out = w;
    return status;
}
