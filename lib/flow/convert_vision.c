/* A picture encoder in, from wherever vision.h finds one; the list of its tensors and its keys out, with the names of the usual converter: convert_write.c
 * writes them. */
#include <stdio.h>
#include <string.h>

#include "flow/convert_write.h"

/* ---- The list of tensors ---- */

static l4_convert_item item_of(const char *prefix, const char *name)
{
    l4_convert_item it = {.count = 1};
    snprintf(it.name, sizeof it.name, "%s%s", prefix, name);
    return it;
}

static llama4_status visit_vectors(l4_convert_job *j, l4_convert_visitor visit, const char *prefix, const char *name, const float *v, uint32_t rows,
                                   uint32_t cols, llama4_error *error)
{
    l4_convert_item it = item_of(prefix, name);
    it.vector = v;
    it.rows = rows;
    it.cols = cols;
    return visit(j, &it, error);
}

static llama4_status visit_matrix(l4_convert_job *j, l4_convert_visitor visit, const char *prefix, const char *name, const l4_matrix *m,
                                  llama4_error *error)
{
    l4_convert_item it = item_of(prefix, name);
    it.matrix = m;
    it.rows = m->rows;
    it.cols = m->cols;
    return visit(j, &it, error);
}

static llama4_status visit_norm(l4_convert_job *j, l4_convert_visitor visit, const char *prefix, const float *const pair[2], uint32_t n,
                                llama4_error *error)
{
    llama4_status status = visit_vectors(j, visit, prefix, ".weight", pair[0], 1, n, error);
    return status ? status : visit_vectors(j, visit, prefix, ".bias", pair[1], 1, n, error);
}

static llama4_status visit_layer(l4_convert_job *j, l4_convert_visitor visit, const l4_vision_config *c, uint32_t i, const l4_vision_layer *l,
                                 llama4_error *error)
{
    const struct {
        const char *name;
        const l4_matrix *w;
        const float *bias;
    } linear[] = {{"attn_q", &l->q, l->qb},   {"attn_k", &l->k, l->kb},    {"attn_v", &l->v, l->vb},
                  {"attn_out", &l->o, l->ob}, {"ffn_up", &l->up, l->upb}, {"ffn_down", &l->down, l->downb}};
    char prefix[48];
    snprintf(prefix, sizeof prefix, "v.blk.%u.ln1", (unsigned)i);
    llama4_status status = visit_norm(j, visit, prefix, l->ln1, c->width, error);
    snprintf(prefix, sizeof prefix, "v.blk.%u.ln2", (unsigned)i);
    if (status == LLAMA4_OK)
        status = visit_norm(j, visit, prefix, l->ln2, c->width, error);
    for (size_t k = 0; k < sizeof linear / sizeof *linear && status == LLAMA4_OK; k++) {
        snprintf(prefix, sizeof prefix, "v.blk.%u.%s", (unsigned)i, linear[k].name);
        status = visit_matrix(j, visit, prefix, ".weight", linear[k].w, error);
        if (status == LLAMA4_OK)
            status = visit_vectors(j, visit, prefix, ".bias", linear[k].bias, 1, linear[k].w->rows, error);
    }
    return status;
}

static llama4_status visit_all(l4_convert_job *j, l4_convert_visitor visit, llama4_error *error)
{
    const l4_vision_part *part = j->source;
    const l4_vision *v = &part->weights;
    const l4_vision_config *c = &v->config;
    const uint32_t side = l4_vision_side(c);
    llama4_status status = visit_matrix(j, visit, "v.patch_embd", ".weight", &v->patch, error);
    if (status == LLAMA4_OK)
        status = visit_vectors(j, visit, "v.class_embd", "", v->class_token, 1, c->width, error);
    if (status == LLAMA4_OK)
        status = visit_vectors(j, visit, "v.position_embd", ".weight", v->position, side * side + 1, c->width, error);
    if (status == LLAMA4_OK)
        status = visit_norm(j, visit, "v.pre_ln", v->pre, c->width, error);
    for (uint32_t i = 0; i < c->layers && status == LLAMA4_OK; i++)
        status = visit_layer(j, visit, c, i, &v->layers[i], error);
    if (status == LLAMA4_OK)
        status = visit_norm(j, visit, "v.post_ln", v->post, c->width, error);
    if (status == LLAMA4_OK)
        status = visit_matrix(j, visit, "mm.model.mlp.1", ".weight", &v->fc1, error);
    if (status == LLAMA4_OK)
        status = visit_matrix(j, visit, "mm.model.mlp.2", ".weight", &v->fc2, error);
    return status ? status : visit_matrix(j, visit, "mm.model.fc", ".weight", &v->projector, error);
}

/* ---- Keys ---- */

static llama4_status put_text(l4_gguf_builder *b, const char *key, const char *text, llama4_error *error)
{
    return l4_gguf_put_string(b, key, text, strlen(text), error);
}

static llama4_status put_colours(l4_gguf_builder *b, const char *key, const float colours[3], llama4_error *error)
{
    llama4_status status = l4_gguf_put_array(b, key, L4_GGUF_F32, 3, error);
    for (int i = 0; i < 3 && status == LLAMA4_OK; i++)
        status = l4_gguf_append_f32(b, colours[i], error);
    return status;
}

static llama4_status put_general(l4_convert_job *j, const char *name, llama4_error *error)
{
    l4_gguf_builder *b = &j->builder;
    const int file_type = l4_convert_file_type(j->summary.type);
    llama4_status status = put_text(b, "general.architecture", "clip", error);
    if (status == LLAMA4_OK)
        status = put_text(b, "general.type", "mmproj", error);
    if (status == LLAMA4_OK && *name)
        status = put_text(b, "general.name", name, error);
    if (status == LLAMA4_OK && file_type >= 0)
        status = l4_gguf_put_u32(b, "general.file_type", (uint32_t)file_type, error);
    if (status == LLAMA4_OK)
        status = l4_gguf_put_u32(b, "general.quantization_version", 2, error);
    if (status == LLAMA4_OK)
        status = l4_gguf_put_bool(b, "clip.has_vision_encoder", 1, error);
    if (status == LLAMA4_OK)
        status = put_text(b, "clip.projector_type", "llama4", error);
    return status ? status : l4_gguf_put_bool(b, "clip.use_gelu", 1, error);
}

static llama4_status put_keys(l4_convert_job *j, llama4_error *error)
{
    const l4_vision_part *part = j->source;
    const l4_vision_config *c = &part->weights.config;
    const struct {
        const char *key;
        uint32_t value;
    } keys[] = {
        {"clip.vision.projection_dim", c->embedding},      {"clip.vision.image_size", c->tile},
        {"clip.vision.patch_size", c->patch},              {"clip.vision.embedding_length", c->width},
        {"clip.vision.feed_forward_length", c->ff},        {"clip.vision.block_count", c->layers},
        {"clip.vision.attention.head_count", c->heads},    {"clip.vision.projector.scale_factor", c->shuffle},
        {"clip.vision.preproc_max_tiles", c->max_tiles},
    };
    llama4_status status = put_general(j, c->name, error);
    for (size_t i = 0; i < sizeof keys / sizeof *keys && status == LLAMA4_OK; i++)
        status = l4_gguf_put_u32(&j->builder, keys[i].key, keys[i].value, error);
    if (status == LLAMA4_OK)
        status = l4_gguf_put_f32(&j->builder, "clip.vision.attention.layer_norm_epsilon", c->epsilon, error);
    if (status == LLAMA4_OK && c->rope_base != 10000.0f) /* which nobody writes, and everybody means */
        status = l4_gguf_put_f32(&j->builder, "clip.vision.rope.freq_base", c->rope_base, error);
    if (status == LLAMA4_OK)
        status = put_colours(&j->builder, "clip.vision.image_mean", c->mean, error);
    return status ? status : put_colours(&j->builder, "clip.vision.image_std", c->std, error);
}

/* ---- The whole ---- */

llama4_status l4_convert_vision(const char *in_path, const char *out_path, const llama4_convert_params *params, llama4_error *error)
{
    l4_allocator a;
    l4_vision_part part = {0};
    l4_convert_job j = {.params = params, .visit_all = visit_all, .put_keys = put_keys};
    llama4_status status = l4_type_plan_find(params->type, &j.plan, error);
    if (status == LLAMA4_OK)
        status = l4_allocator_init(&a, params->allocate, params->release, params->allocator_user, error);
    if (status)
        return status;
    status = l4_vision_part_open(&a, in_path, 1, &part, error);
    if (status == LLAMA4_OK) {
        j.allocator = &a;
        j.archive = part.archive;
        j.source = &part;
        j.layers = part.config.layers;
        status = l4_convert_run(&j, out_path, error);
    }
    l4_vision_part_close(&part);
    return status;
}
