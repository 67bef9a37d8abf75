/* config.json, preprocessor_config.json and the tensors of a Hugging Face checkpoint -> the picture encoder. */
#include <stdio.h>
#include <string.h>

#include "format/json.h"
#include "model/vision_internal.h"

#define NAME(buffer, ...) (snprintf(buffer, sizeof buffer, __VA_ARGS__), buffer)

/* ---- Configuration ---- */

typedef struct reader {
    l4_json json;
    const char *name;
    l4_vision_config *c;
    double ratio;       /* of the pixel shuffle */
    int64_t text_width; /* of the text model; 0: not said */
    int found;          /* a vision_config */
} reader;

static llama4_status number(reader *r, const char *what, uint32_t *out, llama4_error *error)
{
    int64_t value = *out;
    llama4_status status = l4_json_next(&r->json, error);
    if (status || r->json.event == L4_JSON_NULL)
        return status;
    if (r->json.event != L4_JSON_NUMBER)
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: %s is not a number", r->name, what);
    status = l4_json_i64(&r->json, what, 0, 0x7fffffff, &value, error);
    *out = (uint32_t)value;
    return status;
}

static llama4_status real(reader *r, const char *what, double *out, llama4_error *error)
{
    llama4_status status = l4_json_next(&r->json, error);
    if (status || r->json.event == L4_JSON_NULL)
        return status;
    if (r->json.event != L4_JSON_NUMBER)
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: %s is not a number", r->name, what);
    return l4_json_f64(&r->json, what, out, error);
}

static llama4_status real_32(reader *r, const char *what, float *out, llama4_error *error)
{
    double value = *out;
    llama4_status status = real(r, what, &value, error);
    *out = value > -3e38 && value < 3e38 ? (float)value : 0.0f;
    return status;
}

/* {"rope_theta": ...} among others; null. */
static llama4_status rope(reader *r, llama4_error *error)
{
    llama4_status status = l4_json_next(&r->json, error);
    if (status || r->json.event == L4_JSON_NULL)
        return status;
    if (r->json.event != L4_JSON_OBJECT)
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: rope_parameters is not an object", r->name);
    for (;;) {
        status = l4_json_next(&r->json, error);
        if (status || r->json.event == L4_JSON_OBJECT_END)
            return status;
        status = l4_json_is(&r->json, "rope_theta") ? real_32(r, "rope_theta", &r->c->rope_base, error) : l4_json_skip(&r->json, error);
        if (status)
            return status;
    }
}

/* A string that must be `wanted`. */
static llama4_status only(reader *r, const char *what, const char *wanted, llama4_error *error)
{
    llama4_status status = l4_json_expect(&r->json, L4_JSON_STRING, what, error);
    if (status == LLAMA4_OK && !l4_json_is(&r->json, wanted))
        return l4_fail(error, LLAMA4_ERR_UNSUPPORTED, "%s: %s of the picture encoder is \"%.*s\", not \"%s\"", r->name, what,
                       (int)(r->json.length < 64 ? r->json.length : 64), r->json.text, wanted);
    return status;
}

static llama4_status vision_key(reader *r, llama4_error *error)
{
    l4_vision_config *c = r->c;
    const struct {
        const char *key;
        uint32_t *out;
    } keys[] = {
        {"num_hidden_layers", &c->layers}, {"hidden_size", &c->width},     {"num_attention_heads", &c->heads}, {"intermediate_size", &c->ff},
        {"image_size", &c->tile},          {"patch_size", &c->patch},      {"projector_input_dim", &c->hidden}, {"projector_output_dim", &c->projected},
    };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (l4_json_is(&r->json, keys[i].key))
            return number(r, keys[i].key, keys[i].out, error);
    if (l4_json_is(&r->json, "norm_eps"))
        return real_32(r, "norm_eps", &c->epsilon, error);
    if (l4_json_is(&r->json, "pixel_shuffle_ratio"))
        return real(r, "pixel_shuffle_ratio", &r->ratio, error);
    if (l4_json_is(&r->json, "rope_theta"))
        return real_32(r, "rope_theta", &c->rope_base, error);
    if (l4_json_is(&r->json, "rope_parameters"))
        return rope(r, error);
    if (l4_json_is(&r->json, "hidden_act"))
        return only(r, "hidden_act", "gelu", error);
    if (l4_json_is(&r->json, "vision_feature_select_strategy"))
        return only(r, "vision_feature_select_strategy", "default", error);
    return l4_json_skip(&r->json, error);
}

/* The members of the vision_config that was just opened, or of the text_config, of which the width matters. */
static llama4_status nested(reader *r, int vision, llama4_error *error)
{
    for (;;) {
        uint32_t width = (uint32_t)r->text_width;
        llama4_status status = l4_json_next(&r->json, error);
        if (status || r->json.event == L4_JSON_OBJECT_END)
            return status;
        if (vision)
            status = vision_key(r, error);
        else if (l4_json_is(&r->json, "hidden_size"))
            status = number(r, "hidden_size", &width, error);
        else
            status = l4_json_skip(&r->json, error);
        if (status)
            return status;
        if (!vision)
            r->text_width = width;
    }
}

static llama4_status config_object(reader *r, llama4_error *error)
{
    for (;;) {
        llama4_status status = l4_json_next(&r->json, error);
        if (status || r->json.event == L4_JSON_OBJECT_END)
            return status;
        int vision = l4_json_is(&r->json, "vision_config");
        if (vision || l4_json_is(&r->json, "text_config")) {
            status = l4_json_expect(&r->json, L4_JSON_OBJECT, vision ? "vision_config" : "text_config", error);
            r->found |= vision;
            if (status == LLAMA4_OK)
                status = nested(r, vision, error);
        } else
            status = l4_json_skip(&r->json, error);
        if (status)
            return status;
    }
}

static llama4_status colours(reader *r, const char *what, float out[3], llama4_error *error)
{
    llama4_status status = l4_json_expect(&r->json, L4_JSON_ARRAY, what, error);
    for (int i = 0; i < 3 && status == LLAMA4_OK; i++)
        status = real_32(r, what, &out[i], error);
    return status ? status : l4_json_expect(&r->json, L4_JSON_ARRAY_END, what, error);
}

static llama4_status preprocessor_object(reader *r, llama4_error *error)
{
    for (;;) {
        llama4_status status = l4_json_next(&r->json, error);
        if (status || r->json.event == L4_JSON_OBJECT_END)
            return status;
        if (l4_json_is(&r->json, "max_patches"))
            status = number(r, "max_patches", &r->c->max_tiles, error);
        else if (l4_json_is(&r->json, "image_mean"))
            status = colours(r, "image_mean", r->c->mean, error);
        else if (l4_json_is(&r->json, "image_std"))
            status = colours(r, "image_std", r->c->std, error);
        else
            status = l4_json_skip(&r->json, error);
        if (status)
            return status;
    }
}

static llama4_status parse(reader *r, const l4_allocator *a, const l4_mapping *file, llama4_status (*object)(reader *, llama4_error *), llama4_error *error)
{
    l4_json_init(&r->json, a, file->data, file->size, r->name);
    llama4_status status = l4_json_expect(&r->json, L4_JSON_OBJECT, "a configuration", error);
    if (status == LLAMA4_OK)
        status = object(r, error);
    if (status == LLAMA4_OK)
        status = l4_json_expect(&r->json, L4_JSON_END, "the end of the file", error);
    l4_json_clear(&r->json);
    return status;
}

llama4_status l4_vision_config_from_json(const l4_allocator *a, const l4_mapping *config, const l4_mapping *preprocessor, const char *name,
                                         l4_vision_config *out, llama4_error *error)
{
    /* Defaults of the reference's configuration classes, for keys that may be left out. */
    l4_vision_config c = {.layers = 34, .width = 768, .heads = 16, .ff = 5632, .tile = 448, .patch = 14, .hidden = 4096, .projected = 4096,
                          .max_tiles = 16, .epsilon = 1e-5f, .rope_base = 10000.0f, .mean = {0.5f, 0.5f, 0.5f}, .std = {0.5f, 0.5f, 0.5f}};
    reader r = {.name = name, .c = &c, .ratio = 0.5, .text_width = 5120};
    llama4_status status = parse(&r, a, config, config_object, error);
    if (status == LLAMA4_OK && !r.found)
        status = l4_fail(error, LLAMA4_ERR_UNSUPPORTED, "%s: no vision_config", name);
    r.name = "preprocessor_config.json";
    if (status == LLAMA4_OK && preprocessor)
        status = parse(&r, a, preprocessor, preprocessor_object, error);
    if (status)
        return status;
    c.embedding = (uint32_t)r.text_width;
    for (c.shuffle = 1; c.shuffle <= 8 && r.ratio * c.shuffle != 1.0; c.shuffle++)
        ;
    status = l4_vision_config_check(&c, name, error);
    if (status == LLAMA4_OK)
        *out = c;
    return status;
}

/* ---- Tensors ---- */

/* Newer versions of the reference put everything below "model.". */
static const char *prefix_of(const l4_archive *archive)
{
    if (l4_archive_find(archive, "vision_model.patch_embedding.linear.weight"))
        return "";
    return l4_archive_find(archive, "model.vision_model.patch_embedding.linear.weight") ? "model." : NULL;
}

int l4_vision_in_archive(const l4_archive *archive)
{
    return prefix_of(archive) != NULL;
}

static llama4_status layer(l4_binder *b, const l4_vision_config *c, const char *prefix, uint32_t i, l4_vision_layer *l, llama4_error *error)
{
    char base[96], name[160];
    NAME(base, "%svision_model.model.layers.%u", prefix, (unsigned)i);
    llama4_status status = l4_vision_bind_pair(b, NAME(name, "%s.input_layernorm", base), c->width, l->ln1, error);
    if (status == LLAMA4_OK)
        status = l4_vision_bind_pair(b, NAME(name, "%s.post_attention_layernorm", base), c->width, l->ln2, error);
    if (status == LLAMA4_OK)
        status = l4_vision_bind_linear(b, NAME(name, "%s.self_attn.q_proj", base), c->width, c->width, &l->q, &l->qb, error);
    if (status == LLAMA4_OK)
        status = l4_vision_bind_linear(b, NAME(name, "%s.self_attn.k_proj", base), c->width, c->width, &l->k, &l->kb, error);
    if (status == LLAMA4_OK)
        status = l4_vision_bind_linear(b, NAME(name, "%s.self_attn.v_proj", base), c->width, c->width, &l->v, &l->vb, error);
    if (status == LLAMA4_OK)
        status = l4_vision_bind_linear(b, NAME(name, "%s.self_attn.o_proj", base), c->width, c->width, &l->o, &l->ob, error);
    if (status == LLAMA4_OK)
        status = l4_vision_bind_linear(b, NAME(name, "%s.mlp.fc1", base), c->ff, c->width, &l->up, &l->upb, error);
    return status ? status : l4_vision_bind_linear(b, NAME(name, "%s.mlp.fc2", base), c->width, c->ff, &l->down, &l->downb, error);
}

llama4_status l4_vision_from_hf(const l4_allocator *a, const l4_vision_config *c, const l4_archive *archive, l4_vision *out, llama4_error *error)
{
    l4_binder b;
    l4_vision v;
    char name[160], fc2[96], projector[96];
    const char *prefix = prefix_of(archive) ? prefix_of(archive) : "";
    const uint32_t side = l4_vision_side(c);
    llama4_status status = l4_vision_begin(a, c, archive, &b, &v, error);
    if (status)
        return status;
    status = l4_bind_matrix(&b, NAME(name, "%svision_model.patch_embedding.linear.weight", prefix), c->width, 3 * c->patch * c->patch, &v.patch, error);
    if (status == LLAMA4_OK)
        status = l4_bind_vector(&b, NAME(name, "%svision_model.class_embedding", prefix), c->width, &v.class_token, error);
    if (status == LLAMA4_OK)
        status = l4_vision_bind_rows(&b, NAME(name, "%svision_model.positional_embedding_vlm", prefix), side * side + 1, c->width, &v.position, error);
    if (status == LLAMA4_OK)
        status = l4_vision_bind_pair(&b, NAME(name, "%svision_model.layernorm_pre", prefix), c->width, v.pre, error);
    if (status == LLAMA4_OK)
        status = l4_vision_bind_pair(&b, NAME(name, "%svision_model.layernorm_post", prefix), c->width, v.post, error);
    for (uint32_t i = 0; i < c->layers && status == LLAMA4_OK; i++)
        status = layer(&b, c, prefix, i, &v.layers[i], error);
    NAME(name, "%svision_model.vision_adapter.mlp.fc1.weight", prefix);
    NAME(fc2, "%svision_model.vision_adapter.mlp.fc2.weight", prefix);
    NAME(projector, "%smulti_modal_projector.linear_1.weight", prefix);
    if (status == LLAMA4_OK)
        status = l4_vision_bind_adapter(&b, name, fc2, projector, &v, error);
    if (status)
        l4_vision_clear(&v);
    else
        *out = v;
    return status;
}
