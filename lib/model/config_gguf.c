/* GGUF keys of architecture llama4 -> l4_config. What foreign files leave out is defaulted as the reference has it. */
#include <string.h>

#include "model/config.h"
#include "model/config_internal.h"

static llama4_status get(const l4_gguf *g, const char *key, int required, uint32_t *out, llama4_error *error)
{
    int64_t value = *out;
    llama4_status status = l4_gguf_get_i64(g, key, required, 0, 0x7fffffff, &value, error);
    if (status == LLAMA4_OK)
        *out = (uint32_t)value;
    return status;
}

static llama4_status shape(const l4_gguf *g, l4_config *c, llama4_error *error)
{
    const struct {
        const char *key;
        uint32_t *out;
        int required;
    } keys[] = {
        {"llama4.block_count", &c->layers, 1},
        {"llama4.embedding_length", &c->width, 1},
        {"llama4.attention.head_count", &c->heads, 1},
        {"llama4.attention.head_count_kv", &c->kv_heads, 0},
        {"llama4.attention.key_length", &c->head_dim, 0},
        {"llama4.feed_forward_length", &c->dense_ff, 0},
        {"llama4.expert_feed_forward_length", &c->expert_ff, 0},
        {"llama4.expert_count", &c->experts, 0},
        {"llama4.expert_used_count", &c->experts_used, 0},
        {"llama4.interleave_moe_layer_step", &c->moe_step, 0},
    };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        llama4_status status = get(g, keys[i].key, keys[i].required, keys[i].out, error);
        if (status)
            return status;
        if (i == 2)
            c->kv_heads = c->heads;
        if (i == 3 && c->heads)
            c->head_dim = c->width / c->heads;
    }
    if (c->experts && !c->experts_used)
        c->experts_used = 1;
    if (c->layers < 1 || c->layers > L4_MAX_LAYERS)
        return l4_config_range("llama4.block_count", "the number of layers", c->layers, 1, L4_MAX_LAYERS, error);
    uint32_t other = c->head_dim;
    llama4_status status = get(g, "llama4.attention.value_length", 0, &other, error);
    if (status == LLAMA4_OK && other == c->head_dim)
        status = get(g, "llama4.rope.dimension_count", 0, &other, error);
    if (status == LLAMA4_OK && other != c->head_dim)
        status = l4_fail(error, LLAMA4_ERR_UNSUPPORTED, "keys of length %u with values or rotations of length %u", (unsigned)c->head_dim, (unsigned)other);
    return status;
}

static llama4_status attention(const l4_gguf *g, l4_config *c, llama4_error *error)
{
    int64_t window = -1, context = 0;
    int qk_norm = c->experts != 128;
    llama4_status status = l4_gguf_get_i64(g, "llama4.attention.sliding_window", 0, 0, 0x7fffffff, &window, error);
    c->chunk = 8192;
    c->nope_interval = 4;
    c->temperature_scale = 0.1f;
    c->temperature_length = 8192;
    if (window == 0) { /* a foreign file's word for: full attention and rotary positions everywhere */
        c->chunk = c->nope_interval = 0;
        c->temperature_scale = 0;
    }
    if (status == LLAMA4_OK)
        status = get(g, "llama4.attention.chunk_size", 0, &c->chunk, error);
    if (status == LLAMA4_OK)
        status = get(g, "llama4.attention.nope_interval", 0, &c->nope_interval, error);
    if (status == LLAMA4_OK)
        status = get(g, "llama4.attention.temperature_length", 0, &c->temperature_length, error);
    if (status == LLAMA4_OK)
        status = l4_gguf_get_f32(g, "llama4.attention.temperature_scale", 0, &c->temperature_scale, error);
    if (status == LLAMA4_OK)
        status = l4_gguf_get_bool(g, "llama4.attention.qk_norm", &qk_norm, error);
    c->norm_epsilon = 1e-5f;
    if (status == LLAMA4_OK)
        status = l4_gguf_get_f32(g, "llama4.attention.layer_norm_rms_epsilon", 0, &c->norm_epsilon, error);
    c->rope_base = 500000.0f;
    if (status == LLAMA4_OK)
        status = l4_gguf_get_f32(g, "llama4.rope.freq_base", 0, &c->rope_base, error);
    if (status == LLAMA4_OK)
        status = l4_gguf_get_i64(g, "llama4.context_length", 0, 0, INT64_MAX, &context, error);
    c->context_length = (uint64_t)context;
    c->qk_norm = (uint8_t)qk_norm;
    c->rope_scaling[0] = 1.0f; /* the tensor rope_freqs.weight says it */
    return status;
}

/* Reads an array of one number per layer into the byte at `offset` of each layer's configuration. */
static llama4_status per_layer(const l4_gguf *g, const char *name, l4_config *c, size_t offset, llama4_error *error)
{
    const l4_gguf_key *key = l4_gguf_find(g, name);
    if (!key)
        return LLAMA4_OK;
    if (key->type != L4_GGUF_ARRAY || key->element_type == L4_GGUF_STRING || key->count != c->layers)
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%s is not an array of %u numbers", name, (unsigned)c->layers);
    for (uint32_t i = 0; i < c->layers; i++)
        ((uint8_t *)&c->layer[i])[offset] = l4_gguf_array_i64(key, i) != 0;
    return LLAMA4_OK;
}

llama4_status l4_config_from_gguf(const l4_gguf *g, const l4_log *log, l4_config *out, llama4_error *error)
{
    (void)log;
    memset(out, 0, sizeof *out);
    const char *text = NULL;
    size_t length = 0;
    llama4_status status = l4_gguf_get_string(g, "general.architecture", 1, &text, &length, error);
    if (status)
        return status;
    if (length != 6 || memcmp(text, "llama4", 6))
        return l4_fail(error, LLAMA4_ERR_UNSUPPORTED, "the file's architecture is \"%.*s\", not \"llama4\"", (int)(length < 64 ? length : 64), text);
    out->moe_step = 1;
    out->stored_type = -1;
    status = shape(g, out, error);
    if (status == LLAMA4_OK)
        status = attention(g, out, error);
    if (status)
        return status;
    l4_config_fill_rope(out);
    l4_config_fill_moe(out);
    status = per_layer(g, "llama4.attention.rope_layers", out, offsetof(l4_layer_config, rope), error);
    if (status == LLAMA4_OK && out->experts)
        status = per_layer(g, "llama4.moe_layers", out, offsetof(l4_layer_config, moe), error);
    if (status)
        return status;
    for (uint32_t i = 0; i < out->layers; i++)
        out->layer[i].local = out->layer[i].rope && out->chunk;
    text = NULL;
    status = l4_gguf_get_string(g, "general.name", 0, &text, &length, error);
    if (status == LLAMA4_OK && text)
        memcpy(out->name, text, length < sizeof out->name ? length : sizeof out->name - 1);
    return status ? status : l4_config_check(out, "the model's keys", error);
}
