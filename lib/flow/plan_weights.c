/* The sizes of a model's tensors, role by role: from headers where a file holds the tensor, otherwise from the shape that the configuration gives and
 * the type that its neighbours have. */
#include <stdio.h>
#include <string.h>

#include "flow/plan.h"
#include "format/types.h"
#include "kernels/kernels.h"

enum { ATTN_NORM, FFN_NORM, Q, K, V, O, GATE, UP, DOWN, SHARED_GATE, SHARED_UP, SHARED_DOWN, ROUTER, EXPERT_GATE, EXPERT_UP, EXPERT_DOWN, IN_LAYERS,
       EMBEDDING = IN_LAYERS, OUTPUT, OUTPUT_NORM, ROLES };

static const char *const gguf_names[ROLES] = {
    "attn_norm", "ffn_norm", "attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down", "ffn_gate_shexp", "ffn_up_shexp",
    "ffn_down_shexp", "ffn_gate_inp", "ffn_gate_exps", "ffn_up_exps", "ffn_down_exps", "token_embd", "output", "output_norm",
};

static const char *const hf_names[ROLES] = {
    "input_layernorm", "post_attention_layernorm", "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
    "feed_forward.gate_proj", "feed_forward.up_proj", "feed_forward.down_proj", "feed_forward.shared_expert.gate_proj",
    "feed_forward.shared_expert.up_proj", "feed_forward.shared_expert.down_proj", "feed_forward.router", "feed_forward.experts.0.gate_proj",
    "feed_forward.experts.0.up_proj", "feed_forward.experts.0.down_proj", "embed_tokens", "lm_head", "norm",
};

#define TYPES L4_TYPE_SLOTS

typedef struct walk {
    const l4_plan_source *s;
    l4_plan_weights *out;
    uint32_t seen[ROLES][TYPES]; /* tensors found, by role and type */
    uint64_t bytes[TYPES];       /* stored, by type; found or not */
    uint32_t agree[ROLES];       /* of those seen, how many have the type that s->types would give them */
    int counting;                /* first walk: only look what is there */
} walk;

/* One matrix, or the same one of all experts. */
typedef struct item {
    int role;
    uint32_t layer;
    uint64_t rows, cols, copies;
} item;

/* What a layer's role looks like; 0 if the layer has no such thing. */
static int shape_of(const l4_config *c, int role, uint32_t layer, item *out)
{
    const uint64_t q = (uint64_t)c->heads * c->head_dim, kv = (uint64_t)c->kv_heads * c->head_dim;
    const int moe = c->layer[layer].moe;
    *out = (item){.role = role, .layer = layer, .rows = c->width, .cols = c->width, .copies = 1};
    switch (role) {
    case ATTN_NORM:
    case FFN_NORM:
        out->rows = 1;
        return 1;
    case Q:
        out->rows = q;
        return 1;
    case K:
    case V:
        out->rows = kv;
        return 1;
    case O:
        out->cols = q;
        return 1;
    case GATE:
    case UP:
        out->rows = c->dense_ff;
        return !moe;
    case DOWN:
        out->cols = c->dense_ff;
        return !moe;
    case ROUTER:
        out->rows = c->experts;
        return moe;
    case EXPERT_GATE:
    case EXPERT_UP:
        out->copies = c->experts;
        out->rows = c->expert_ff;
        return moe;
    case SHARED_GATE:
    case SHARED_UP:
        out->rows = c->expert_ff;
        return moe;
    case EXPERT_DOWN:
        out->copies = c->experts;
        out->cols = c->expert_ff;
        return moe;
    default:
        out->cols = c->expert_ff;
        return moe;
    }
}

/* Whose name an item goes by: a tied output is the embedding's tensor, packed once more for products. */
static int named_role(const walk *w, const item *m)
{
    return m->role == OUTPUT && w->s->config->tied ? EMBEDDING : m->role;
}

static const l4_tensor *look(const walk *w, const char *name)
{
    return w->s->archive ? l4_archive_find(w->s->archive, name) : NULL;
}

/* Hugging Face's names: below one of several prefixes. */
static const l4_tensor *look_below(const walk *w, uint32_t layer, int in_layer, const char *name)
{
    static const char *const prefixes[] = {"model.", "language_model.model.", "model.language_model.", "language_model.", ""};
    char full[192];
    const l4_tensor *t = NULL;
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes && !t; i++) {
        if (in_layer)
            snprintf(full, sizeof full, "%slayers.%u.%s", prefixes[i], (unsigned)layer, name);
        else
            snprintf(full, sizeof full, "%s%s", prefixes[i], name);
        t = look(w, full);
    }
    return t;
}

static const l4_tensor *find_hf(const walk *w, const item *m, uint64_t *rows, uint64_t *copies)
{
    const int expert = m->role == EXPERT_GATE || m->role == EXPERT_UP || m->role == EXPERT_DOWN;
    char name[96];
    const l4_tensor *t = NULL;
    if (expert && m->role != EXPERT_DOWN && (t = look_below(w, m->layer, 1, "feed_forward.experts.gate_up_proj")))
        *rows = 2 * m->rows;
    else if (expert && m->role == EXPERT_DOWN)
        t = look_below(w, m->layer, 1, "feed_forward.experts.down_proj");
    if (t)
        return t;
    *rows = m->rows;
    if (expert)
        *copies = 1; /* a tensor for each expert: the first stands for all */
    snprintf(name, sizeof name, "%s.weight", hf_names[named_role(w, m)]);
    return look_below(w, m->layer, m->role < IN_LAYERS, name);
}

static void gguf_name(const walk *w, const item *m, char *name, size_t size)
{
    if (m->role < IN_LAYERS)
        snprintf(name, size, "blk.%u.%s.weight", (unsigned)m->layer, gguf_names[m->role]);
    else
        snprintf(name, size, "%s.weight", gguf_names[named_role(w, m)]);
}

/* The tensor that holds an item, perhaps beside others: it has rows * copies rows in all. */
static const l4_tensor *find(const walk *w, const item *m, uint64_t *rows, uint64_t *copies)
{
    const l4_config *c = w->s->config;
    char name[96];
    *rows = m->rows;
    *copies = m->copies;
    if (w->s->huggingface)
        return find_hf(w, m, rows, copies);
    gguf_name(w, m, name, sizeof name);
    const l4_tensor *t = look(w, name);
    if (!t && (m->role == Q || m->role == K || m->role == V)) {
        snprintf(name, sizeof name, "blk.%u.attn_qkv.weight", (unsigned)m->layer);
        t = look(w, name);
        *rows = ((uint64_t)c->heads + 2 * (uint64_t)c->kv_heads) * c->head_dim;
    } else if (!t && (m->role == EXPERT_GATE || m->role == EXPERT_UP)) {
        snprintf(name, sizeof name, "blk.%u.ffn_gate_up_exps.weight", (unsigned)m->layer);
        t = look(w, name);
        *rows = 2 * m->rows;
    }
    return t;
}

static uint32_t most_seen(const uint32_t seen[TYPES])
{
    uint32_t best = 0;
    for (uint32_t type = 1; type < TYPES; type++)
        best = seen[type] > seen[best] ? type : best;
    return best;
}

/* The type that the plan of types gives an item. */
static uint32_t planned_type(const walk *w, const item *m)
{
    const l4_type_plan *p = &w->s->types;
    char name[96];
    if (m->rows == 1 || m->role == ROUTER)
        return LLAMA4_TYPE_F32;
    if (m->role == OUTPUT && w->s->six_bit_output && !p->mix && m->cols % 256 == 0)
        return L4_Q6_K;
    gguf_name(w, m, name, sizeof name);
    return l4_type_plan_for(p, name, w->s->config->layers, (uint32_t)m->cols);
}

/* A guess at the type of a tensor that was not found; -1 if there is nothing to go by. */
static int32_t assume(const walk *w, const item *m)
{
    uint32_t n = 0, all[TYPES] = {0};
    for (uint32_t type = 0; type < TYPES; type++)
        n += w->seen[m->role][type];
    if (w->s->types.given && 2 * w->agree[m->role] >= n)
        return (int32_t)planned_type(w, m);
    if (n)
        return (int32_t)most_seen(w->seen[m->role]);
    if (!w->s->huggingface && (m->rows == 1 || m->role == ROUTER))
        return LLAMA4_TYPE_F32;
    for (int role = Q; role < IN_LAYERS; role++)
        for (uint32_t type = 0; role != ROUTER && type < TYPES; type++) {
            all[type] += w->seen[role][type];
            n += w->seen[role][type];
        }
    return n ? (int32_t)most_seen(all) : w->s->config->stored_type;
}

static llama4_status add(uint64_t *sum, uint64_t more, const char *name, llama4_error *error)
{
    if (more > INT64_MAX - *sum)
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: a model of this shape has more bytes than a file can", name);
    *sum += more;
    return LLAMA4_OK;
}

/* Adds an item whose type is known. Numbers of weights and bytes of single items stay below 2^56, because the configuration was checked. */
static llama4_status count(walk *w, const item *m, uint32_t type, int found, llama4_error *error)
{
    const l4_config *c = w->s->config;
    l4_plan_weights *o = w->out;
    const char *name = w->s->name;
    const uint64_t row = l4_type_row_bytes(l4_type_find(type), m->cols), weights = m->rows * m->cols * m->copies;
    const uint64_t stored = row * m->rows * m->copies, padded = (m->rows + L4_PANEL - 1) / L4_PANEL * L4_PANEL;
    const uint64_t one = m->rows == 1 ? m->cols * 4 : row * (l4_packed_can(type) ? padded : m->rows);
    const uint64_t memory = (m->copies > 1 ? (one + 63) / 64 * 64 : one) * m->copies; /* in slots, every matrix begins a line */
    const int expert = m->role >= EXPERT_GATE && m->role <= EXPERT_DOWN, share = expert && c->experts ? 1 : 0;
    const uint64_t used = share ? memory / c->experts * c->experts_used : memory;
    llama4_status status = LLAMA4_OK;
    w->bytes[type] += stored; /* checked with the sum */
    if (m->role != OUTPUT || !c->tied)
        status = add(&o->stored, stored, name, error);
    if (status == LLAMA4_OK && !found && (m->role != OUTPUT || !c->tied))
        status = add(&o->estimated, stored, name, error);
    if (status == LLAMA4_OK && m->role != EMBEDDING)
        status = add(expert ? &o->routed : &o->resident, memory, name, error);
    if (status == LLAMA4_OK && m->role != EMBEDDING)
        status = add(&o->token, used, name, error);
    if (status)
        return status;
    o->embedding += m->role == EMBEDDING ? stored : 0;
    if (m->role >= SHARED_GATE && m->role <= SHARED_DOWN)
        o->shared += memory;
    if (m->role != OUTPUT || !c->tied)
        o->parameters += weights;
    const uint64_t active = m->role == EMBEDDING ? 0 : share ? weights / c->experts * c->experts_used : weights;
    o->active_parameters += active;
    if (m->role == OUTPUT)
        o->logits += (double)active;
    else if (m->rows > 1)
        o->products += (double)active;
    return LLAMA4_OK;
}

static llama4_status check(const item *m, const l4_tensor *t, uint64_t rows, uint64_t copies, llama4_error *error)
{
    const uint64_t want = m->cols * rows * copies, product = t->dims[0] * t->dims[1] * t->dims[2] * t->dims[3];
    if (!l4_kernels_can(t->type))
        return l4_fail(error, LLAMA4_ERR_UNSUPPORTED, "tensor %s has type %s, which this version cannot compute", t->name, l4_type_find(t->type)->name);
    if (product != want || (l4_type_find(t->type)->block > 1 && t->dims[0] != m->cols))
        return l4_fail(error, LLAMA4_ERR_FORMAT, "tensor %s has %llu elements, but the model's shape wants %llu in rows of %llu", t->name,
                       (unsigned long long)product, (unsigned long long)want, (unsigned long long)m->cols);
    return LLAMA4_OK;
}

static llama4_status visit(walk *w, const item *m, llama4_error *error)
{
    uint64_t rows, copies;
    const l4_tensor *t = find(w, m, &rows, &copies);
    llama4_status status = t ? check(m, t, rows, copies, error) : LLAMA4_OK;
    if (status)
        return status;
    if (w->counting) {
        if (t) {
            w->seen[m->role][t->type]++;
            w->agree[m->role] += w->s->types.given && planned_type(w, m) == t->type;
        }
        return LLAMA4_OK;
    }
    if (t)
        return count(w, m, t->type, 1, error);
    char name[96];
    gguf_name(w, m, name, sizeof name);
    if (w->s->complete && w->s->huggingface && m->role < IN_LAYERS)
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: layer %u has no tensor %s", w->s->name, (unsigned)m->layer, hf_names[m->role]);
    if (w->s->complete)
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: tensor %s is missing", w->s->name, w->s->huggingface ? hf_names[named_role(w, m)] : name);
    int32_t type = assume(w, m);
    if (type < 0)
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "%s: the files that are there do not say which type the others' tensors have; llama4_plan_params.type "
                       "can", w->s->name);
    if (l4_type_row_bytes(l4_type_find((uint32_t)type), m->cols) == 0)
        type = LLAMA4_TYPE_F16;
    return count(w, m, (uint32_t)type, 0, error);
}

/* All layers, and what stands before and behind them. */
static llama4_status visit_all(walk *w, llama4_error *error)
{
    const l4_config *c = w->s->config;
    llama4_status status = LLAMA4_OK;
    item m;
    for (uint32_t i = 0; i < c->layers; i++) {
        const uint64_t before = w->out->routed;
        for (int role = 0; role < IN_LAYERS && status == LLAMA4_OK; role++)
            if (shape_of(c, role, i, &m))
                status = visit(w, &m, error);
        if (status)
            return status;
        if (w->counting || !c->layer[i].moe)
            continue;
        const uint64_t one = (w->out->routed - before) / c->experts;
        w->out->largest_routed = one > w->out->largest_routed ? one : w->out->largest_routed;
        w->out->n_routed += c->experts;
    }
    for (int role = EMBEDDING; role < ROLES && status == LLAMA4_OK; role++) {
        m = (item){.role = role, .layer = c->layers, .rows = role == OUTPUT_NORM ? 1 : w->out->vocab, .cols = c->width, .copies = 1};
        status = visit(w, &m, error);
    }
    return status;
}

llama4_status l4_plan_weights_find(const l4_plan_source *source, l4_plan_weights *out, llama4_error *error)
{
    walk w = {.s = source, .out = out, .counting = 1};
    const item embedding = {.role = EMBEDDING, .layer = source->config->layers, .rows = 1, .cols = 1, .copies = 1};
    uint64_t rows, copies;
    memset(out, 0, sizeof *out);
    const l4_tensor *t = find(&w, &embedding, &rows, &copies);
    out->vocab = t && t->n_dims == 2 ? t->dims[1] : source->vocab;
    if (out->vocab < 1 || out->vocab > 0x7fffffff)
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: the files that are there do not say how large the vocabulary is", source->name);
    llama4_status status = visit_all(&w, error);
    w.counting = 0;
    if (status == LLAMA4_OK)
        status = visit_all(&w, error);
    if (status)
        return status;
    for (uint32_t type = 1; type < TYPES; type++)
        out->type = w.bytes[type] > w.bytes[out->type] ? type : out->type;
    return LLAMA4_OK;
}
