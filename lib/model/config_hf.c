/* config.json of a Hugging Face directory -> l4_config: the text-only layout, or the nested one with text_config. */
#include <string.h>

#include "format/json.h"
#include "model/config.h"
#include "model/config_internal.h"

typedef struct reader {
    l4_json json;
    const char *name;
    l4_config *c;
    int64_t interval, head_dim, tuning; /* head_dim 0: not given */
    double attn_scale;
    double factor, low, high, original;
    int scaled, moe_listed, rope_listed, types_listed, family;
} reader;

enum { NOT_OURS = 1000 }; /* a status of our own: the key was not ours */

static llama4_status number(reader *r, const char *what, int64_t min, int64_t max, int64_t *out, llama4_error *error)
{
    llama4_status status = l4_json_next(&r->json, error);
    if (status)
        return status;
    if (r->json.event == L4_JSON_NULL)
        return LLAMA4_OK;
    if (r->json.event != L4_JSON_NUMBER)
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: %s is not a number", r->name, what);
    return l4_json_i64(&r->json, what, min, max, out, error);
}

static llama4_status real(reader *r, const char *what, double *out, llama4_error *error)
{
    llama4_status status = l4_json_next(&r->json, error);
    if (status)
        return status;
    if (r->json.event == L4_JSON_NULL)
        return LLAMA4_OK;
    if (r->json.event != L4_JSON_NUMBER)
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: %s is not a number", r->name, what);
    return l4_json_f64(&r->json, what, out, error);
}

/* A bool, or a number other than 0; null counts as false. */
static llama4_status flag(reader *r, const char *what, int64_t *out, llama4_error *error)
{
    llama4_status status = l4_json_next(&r->json, error);
    double value = 0;
    if (status)
        return status;
    switch (r->json.event) {
    case L4_JSON_TRUE:
        value = 1;
        break;
    case L4_JSON_FALSE:
    case L4_JSON_NULL:
        break;
    case L4_JSON_NUMBER:
        status = l4_json_f64(&r->json, what, &value, error);
        break;
    default:
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: %s is neither true nor false", r->name, what);
    }
    *out = value != 0;
    return status;
}

/* An array of numbers: element i is stored by `store`. Returns whether it was there and not empty in *listed. */
static llama4_status list(reader *r, const char *what, int as_indices, size_t offset, int *listed, llama4_error *error)
{
    llama4_status status = l4_json_next(&r->json, error);
    if (status || r->json.event == L4_JSON_NULL)
        return status;
    if (r->json.event != L4_JSON_ARRAY)
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: %s is not an array", r->name, what);
    for (uint32_t i = 0;; i++) {
        int64_t value;
        status = l4_json_next(&r->json, error);
        if (status)
            return status;
        if (r->json.event == L4_JSON_ARRAY_END) {
            *listed = as_indices || i > 0;
            return LLAMA4_OK;
        }
        if (i >= L4_MAX_LAYERS || r->json.event != L4_JSON_NUMBER)
            return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: %s is not a list of at most %d numbers", r->name, what, L4_MAX_LAYERS);
        status = l4_json_i64(&r->json, what, 0, as_indices ? L4_MAX_LAYERS - 1 : 1, &value, error);
        if (status)
            return status;
        ((uint8_t *)&r->c->layer[as_indices ? (uint32_t)value : i])[offset] = as_indices || value;
    }
}

static llama4_status layer_types(reader *r, llama4_error *error)
{
    llama4_status status = l4_json_next(&r->json, error);
    if (status || r->json.event == L4_JSON_NULL)
        return status;
    if (r->json.event != L4_JSON_ARRAY)
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: layer_types is not an array", r->name);
    for (uint32_t i = 0;; i++) {
        status = l4_json_next(&r->json, error);
        if (status || r->json.event == L4_JSON_ARRAY_END)
            return status;
        int chunked = l4_json_is(&r->json, "chunked_attention");
        if (i >= L4_MAX_LAYERS || r->json.event != L4_JSON_STRING || (!chunked && !l4_json_is(&r->json, "full_attention")))
            return l4_fail(error, LLAMA4_ERR_UNSUPPORTED, "%s: layer_types[%u] is not a kind of attention that this version knows", r->name, (unsigned)i);
        r->c->layer[i].local = (uint8_t)chunked;
        r->types_listed = 1;
    }
}

static llama4_status rope(reader *r, llama4_error *error)
{
    llama4_status status = l4_json_next(&r->json, error);
    if (status || r->json.event == L4_JSON_NULL)
        return status;
    if (r->json.event != L4_JSON_OBJECT)
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: the rotary scaling is not an object", r->name);
    for (;;) {
        double base = r->c->rope_base;
        status = l4_json_next(&r->json, error);
        if (status || r->json.event == L4_JSON_OBJECT_END)
            return status;
        if (l4_json_is(&r->json, "rope_type") || l4_json_is(&r->json, "type")) {
            status = l4_json_expect(&r->json, L4_JSON_STRING, "rope_type", error);
            if (status == LLAMA4_OK && l4_json_is(&r->json, "llama3"))
                r->scaled = 1;
            else if (status == LLAMA4_OK && !l4_json_is(&r->json, "default"))
                status = l4_fail(error, LLAMA4_ERR_UNSUPPORTED, "%s: rope_type \"%.*s\" is not supported", r->name,
                                 (int)(r->json.length < 64 ? r->json.length : 64), r->json.text);
        } else if (l4_json_is(&r->json, "factor"))
            status = real(r, "factor", &r->factor, error);
        else if (l4_json_is(&r->json, "low_freq_factor"))
            status = real(r, "low_freq_factor", &r->low, error);
        else if (l4_json_is(&r->json, "high_freq_factor"))
            status = real(r, "high_freq_factor", &r->high, error);
        else if (l4_json_is(&r->json, "original_max_position_embeddings"))
            status = real(r, "original_max_position_embeddings", &r->original, error);
        else if (l4_json_is(&r->json, "rope_theta"))
            status = real(r, "rope_theta", &base, error);
        else
            status = l4_json_skip(&r->json, error);
        if (status)
            return status;
        r->c->rope_base = (float)base;
    }
}

/* Other names than these three, and null, are passed over: the files' own headers count where they are there. */
static llama4_status stored_type(reader *r, llama4_error *error)
{
    static const struct {
        const char *name;
        int32_t type;
    } types[] = {{"bfloat16", LLAMA4_TYPE_BF16}, {"float16", LLAMA4_TYPE_F16}, {"float32", LLAMA4_TYPE_F32}};
    llama4_status status = l4_json_next(&r->json, error);
    if (status || r->json.event == L4_JSON_OBJECT || r->json.event == L4_JSON_ARRAY)
        return status ? status : l4_json_skip(&r->json, error);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (r->json.event == L4_JSON_STRING && l4_json_is(&r->json, types[i].name))
            r->c->stored_type = types[i].type;
    return LLAMA4_OK;
}

/* Keys whose values are plain numbers. */
static llama4_status number_key(reader *r, llama4_error *error)
{
    l4_config *c = r->c;
    const struct {
        const char *key;
        uint32_t *out;
    } keys[] = {
        {"num_hidden_layers", &c->layers},      {"hidden_size", &c->width},          {"num_attention_heads", &c->heads},
        {"num_key_value_heads", &c->kv_heads},  {"intermediate_size", &c->expert_ff}, {"intermediate_size_mlp", &c->dense_ff},
        {"num_local_experts", &c->experts},     {"num_experts_per_tok", &c->experts_used},
        {"interleave_moe_layer_step", &c->moe_step}, {"floor_scale", &c->temperature_length}, {"vocab_size", &c->vocab},
    };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (l4_json_is(&r->json, keys[i].key)) {
            int64_t value = *keys[i].out;
            llama4_status status = number(r, keys[i].key, 0, 0x7fffffff, &value, error);
            *keys[i].out = (uint32_t)value;
            return status;
        }
    if (l4_json_is(&r->json, "head_dim"))
        return number(r, "head_dim", 1, 4096, &r->head_dim, error);
    if (l4_json_is(&r->json, "no_rope_layer_interval"))
        return number(r, "no_rope_layer_interval", 0, 0x7fffffff, &r->interval, error);
    if (l4_json_is(&r->json, "max_position_embeddings")) {
        int64_t value = 0;
        llama4_status status = number(r, "max_position_embeddings", 1, INT64_MAX, &value, error);
        c->context_length = (uint64_t)value;
        return status;
    }
    if (l4_json_is(&r->json, "attention_chunk_size")) {
        int64_t value = 0; /* null: none */
        llama4_status status = number(r, "attention_chunk_size", 0, 0x7fffffff, &value, error);
        c->chunk = (uint32_t)value;
        return status;
    }
    return NOT_OURS;
}

static llama4_status other_key(reader *r, llama4_error *error)
{
    l4_config *c = r->c;
    llama4_status status;
    int64_t yes = 0;
    double value;
    if (l4_json_is(&r->json, "use_qk_norm")) {
        status = flag(r, "use_qk_norm", &yes, error);
        c->qk_norm = (uint8_t)yes;
        return status;
    }
    if (l4_json_is(&r->json, "tie_word_embeddings")) {
        status = flag(r, "tie_word_embeddings", &yes, error);
        c->tied = (uint8_t)yes;
        return status;
    }
    if (l4_json_is(&r->json, "dtype") || l4_json_is(&r->json, "torch_dtype"))
        return stored_type(r, error);
    if (l4_json_is(&r->json, "attn_temperature_tuning"))
        return flag(r, "attn_temperature_tuning", &r->tuning, error);
    if (l4_json_is(&r->json, "attn_scale"))
        return real(r, "attn_scale", &r->attn_scale, error);
    if (l4_json_is(&r->json, "rms_norm_eps")) {
        value = 1e-5;
        status = real(r, "rms_norm_eps", &value, error);
        c->norm_epsilon = (float)value;
        return status;
    }
    if (l4_json_is(&r->json, "rope_theta")) {
        value = 500000;
        status = real(r, "rope_theta", &value, error);
        c->rope_base = (float)value;
        return status;
    }
    if (l4_json_is(&r->json, "rope_scaling") || l4_json_is(&r->json, "rope_parameters"))
        return rope(r, error);
    if (l4_json_is(&r->json, "moe_layers"))
        return list(r, "moe_layers", 1, offsetof(l4_layer_config, moe), &r->moe_listed, error);
    if (l4_json_is(&r->json, "no_rope_layers"))
        return list(r, "no_rope_layers", 0, offsetof(l4_layer_config, rope), &r->rope_listed, error);
    if (l4_json_is(&r->json, "layer_types"))
        return layer_types(r, error);
    return NOT_OURS;
}

/* The members of the object just opened. */
static llama4_status object(reader *r, int nested, llama4_error *error)
{
    for (;;) {
        llama4_status status = l4_json_next(&r->json, error);
        if (status || r->json.event == L4_JSON_OBJECT_END)
            return status;
        if (l4_json_is(&r->json, "model_type")) {
            status = l4_json_expect(&r->json, L4_JSON_STRING, "model_type", error);
            if (status == LLAMA4_OK && !l4_json_is(&r->json, "llama4") && !l4_json_is(&r->json, "llama4_text"))
                status = l4_fail(error, LLAMA4_ERR_UNSUPPORTED, "%s: model_type is \"%.*s\", not \"llama4\"", r->name,
                                 (int)(r->json.length < 64 ? r->json.length : 64), r->json.text);
            r->family = 1;
        } else if (l4_json_is(&r->json, "quantization_config")) {
            status = l4_json_next(&r->json, error);
            if (status == LLAMA4_OK && r->json.event != L4_JSON_NULL)
                status = l4_fail(error, LLAMA4_ERR_UNSUPPORTED, "%s: quantised safetensors are not supported", r->name);
        } else if (!nested && l4_json_is(&r->json, "text_config")) {
            status = l4_json_expect(&r->json, L4_JSON_OBJECT, "text_config", error);
            if (status == LLAMA4_OK)
                status = object(r, 1, error); /* once: `nested` stops it there */
        } else {
            status = number_key(r, error);
            if (status == NOT_OURS)
                status = other_key(r, error);
            if (status == NOT_OURS)
                status = l4_json_skip(&r->json, error);
        }
        if (status)
            return status;
    }
}

static llama4_status finish(reader *r, llama4_error *error)
{
    l4_config *c = r->c;
    if (!r->family)
        return l4_fail(error, LLAMA4_ERR_UNSUPPORTED, "%s: no model_type \"llama4\"", r->name);
    if (c->layers < 1 || c->layers > L4_MAX_LAYERS)
        return l4_config_range(r->name, "num_hidden_layers", c->layers, 1, L4_MAX_LAYERS, error);
    if (!c->heads)
        return l4_config_range(r->name, "num_attention_heads", c->heads, 1, 4096, error);
    c->head_dim = r->head_dim ? (uint32_t)r->head_dim : c->width / c->heads;
    if (!r->rope_listed) {
        uint8_t local[L4_MAX_LAYERS];
        for (uint32_t i = 0; i < c->layers; i++)
            local[i] = c->layer[i].local;
        c->nope_interval = (uint32_t)r->interval;
        l4_config_fill_rope(c);
        for (uint32_t i = 0; i < c->layers && r->types_listed; i++)
            c->layer[i].local = local[i];
    }
    for (uint32_t i = 0; i < c->layers; i++)
        c->layer[i].local = c->chunk && (r->types_listed ? c->layer[i].local : c->layer[i].rope);
    if (!r->moe_listed)
        l4_config_fill_moe(c);
    else if (!c->experts)
        for (uint32_t i = 0; i < c->layers; i++)
            c->layer[i].moe = 0;
    for (uint32_t i = c->layers; i < L4_MAX_LAYERS; i++)
        if (c->layer[i].moe)
            return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: moe_layers names layer %u of %u", r->name, (unsigned)i, (unsigned)c->layers);
    c->temperature_scale = r->tuning ? (float)r->attn_scale : 0.0f;
    c->rope_scaling[0] = 1.0f;
    if (r->scaled) {
        if (!(r->factor > 0 && r->low > 0 && r->high >= r->low && r->original > 0 && r->factor < 1e9 && r->high < 1e9 && r->original < 1e12))
            return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: the factors of the rotary scaling are out of range", r->name);
        c->rope_scaling[0] = (float)r->factor;
        c->rope_scaling[1] = (float)r->low;
        c->rope_scaling[2] = (float)r->high;
        c->rope_scaling[3] = (float)r->original;
    }
    return l4_config_check(c, r->name, error);
}

llama4_status l4_config_from_json(const l4_allocator *a, const void *data, size_t size, const char *name, l4_config *out, llama4_error *error)
{
    reader r = {.name = name, .c = out, .interval = 4, .tuning = 1, .attn_scale = 0.1, .factor = 8, .low = 1, .high = 4, .original = 8192};
    memset(out, 0, sizeof *out);
    /* Defaults of the reference's configuration class, for keys that may be left out. */
    out->kv_heads = 8;
    out->stored_type = -1;
    out->expert_ff = 8192;
    out->dense_ff = 16384;
    out->experts = 16;
    out->experts_used = 1;
    out->moe_step = 1;
    out->qk_norm = 1;
    out->chunk = 8192;
    out->temperature_length = 8192;
    out->norm_epsilon = 1e-5f;
    out->rope_base = 500000.0f;
    out->context_length = 131072;
    l4_json_init(&r.json, a, data, size, name);
    llama4_status status = l4_json_expect(&r.json, L4_JSON_OBJECT, "a configuration", error);
    if (status == LLAMA4_OK)
        status = object(&r, 0, error);
    if (status == LLAMA4_OK)
        status = l4_json_expect(&r.json, L4_JSON_END, "the end of the file", error);
    l4_json_clear(&r.json);
    return status ? status : finish(&r, error);
}
