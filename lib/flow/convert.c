/* A model that l4_model_open accepts in, the list of its tensors out: convert_write.c writes them. Keys come from convert_keys.c. */
#include "flow/convert.h"

#include <stdio.h>
#include <string.h>

#include "flow/convert_write.h"

static llama4_status visit_vector(l4_convert_job *j, l4_convert_visitor visit, const char *name, const float *vector, uint32_t n, llama4_error *error)
{
    l4_convert_item it = {.vector = vector, .count = 1, .rows = 1, .cols = n};
    snprintf(it.name, sizeof it.name, "%s.weight", name);
    return visit(j, &it, error);
}

static llama4_status visit_matrices(l4_convert_job *j, l4_convert_visitor visit, const char *name, const l4_matrix *m, uint32_t count, int stack, llama4_error *error)
{
    l4_convert_item it = {.matrix = m, .count = count, .step = sizeof(l4_ffn), .rows = m->rows, .cols = m->cols, .stack = stack};
    snprintf(it.name, sizeof it.name, "%s.weight", name);
    return visit(j, &it, error);
}

static llama4_status visit_ffn(l4_convert_job *j, l4_convert_visitor visit, uint32_t layer, const char *suffix, const l4_ffn *f, uint32_t count, int stack,
                               llama4_error *error)
{
    static const char *const names[] = {"gate", "up", "down"};
    const l4_matrix *parts[] = {&f->gate, &f->up, &f->down};
    llama4_status status = LLAMA4_OK;
    for (int i = 0; status == LLAMA4_OK && i < 3; i++) {
        char name[48];
        snprintf(name, sizeof name, "blk.%u.ffn_%s%s", (unsigned)layer, names[i], suffix);
        status = visit_matrices(j, visit, name, parts[i], count, stack, error);
    }
    return status;
}

static llama4_status visit_layer(l4_convert_job *j, l4_convert_visitor visit, uint32_t i, llama4_error *error)
{
    const llama4_model *m = j->source;
    const l4_config *c = &m->config;
    const l4_layer *l = &m->weights.layers[i];
    const l4_matrix *attention[] = {&l->q, &l->k, &l->v, &l->o};
    static const char *const names[] = {"attn_q", "attn_k", "attn_v", "attn_output"};
    char name[48];
    snprintf(name, sizeof name, "blk.%u.attn_norm", (unsigned)i);
    llama4_status status = visit_vector(j, visit, name, l->attn_norm, c->width, error);
    for (int k = 0; status == LLAMA4_OK && k < 4; k++) {
        snprintf(name, sizeof name, "blk.%u.%s", (unsigned)i, names[k]);
        status = visit_matrices(j, visit, name, attention[k], 1, 0, error);
    }
    snprintf(name, sizeof name, "blk.%u.ffn_norm", (unsigned)i);
    if (status == LLAMA4_OK)
        status = visit_vector(j, visit, name, l->ffn_norm, c->width, error);
    if (status || !c->layer[i].moe)
        return status ? status : visit_ffn(j, visit, i, "", &l->ffn, 1, 0, error);
    l4_convert_item router = {.matrix = &l->router, .count = 1, .rows = l->router.rows, .cols = l->router.cols, .exact = 1};
    snprintf(router.name, sizeof router.name, "blk.%u.ffn_gate_inp.weight", (unsigned)i);
    status = visit(j, &router, error);
    if (status == LLAMA4_OK)
        status = visit_ffn(j, visit, i, "_shexp", &l->ffn, 1, 0, error);
    return status ? status : visit_ffn(j, visit, i, "_exps", l->experts, c->experts, 1, error);
}

/* Hands every tensor to `visit`, in the order of the file. */
static llama4_status visit_all(l4_convert_job *j, l4_convert_visitor visit, llama4_error *error)
{
    const llama4_model *m = j->source;
    const l4_weights *w = &m->weights;
    const l4_config *c = &m->config;
    int scaled = 0;
    for (uint32_t i = 0; i < c->head_dim / 2; i++)
        scaled |= w->rope_divisor[i] != 1.0f;
    llama4_status status = visit_matrices(j, visit, "token_embd", &w->embedding, 1, 0, error);
    if (status == LLAMA4_OK)
        status = visit_vector(j, visit, "output_norm", w->output_norm, c->width, error);
    if (status == LLAMA4_OK && w->output.data != w->embedding.data) /* otherwise tied: readers fall back to the embedding */
        status = visit_matrices(j, visit, "output", &w->output, 1, 0, error);
    if (status == LLAMA4_OK && scaled)
        status = visit_vector(j, visit, "rope_freqs", w->rope_divisor, c->head_dim / 2, error);
    for (uint32_t i = 0; status == LLAMA4_OK && i < c->layers; i++)
        status = visit_layer(j, visit, i, error);
    return status;
}

static llama4_status put_keys(l4_convert_job *j, llama4_error *error)
{
    return l4_convert_put_keys(j->source, &j->summary, &j->builder, error);
}

llama4_status l4_convert(const char *in_path, const char *out_path, const llama4_convert_params *params, llama4_error *error)
{
    l4_convert_job j = {.params = params, .visit_all = visit_all, .put_keys = put_keys};
    if (params->flags & LLAMA4_CONVERT_VISION)
        return l4_convert_vision(in_path, out_path, params, error);
    llama4_status status = l4_type_plan_find(params->type, &j.plan, error);
    if (status)
        return status;
    llama4_model_params open = {
        .struct_size = sizeof open,
        .allocate = params->allocate,
        .release = params->release,
        .allocator_user = params->allocator_user,
        .log = params->log,
        .log_user = params->log_user,
        .vocabulary_path = params->vocabulary_path,
    };
    l4_source source = {.path = in_path, .fd = -1, .as_stored = 1};
    llama4_model *model;
    status = l4_model_open(&source, &open, &model, error);
    if (status)
        return status;
    l4_imatrix *imatrix = NULL;
    if (params->imatrix_path)
        status = l4_imatrix_open(&model->allocator, params->imatrix_path, &imatrix, error);
    j.imatrix = imatrix;
    j.allocator = &model->allocator;
    j.archive = model->archive;
    j.source = model;
    j.layers = model->config.layers;
    if (status == LLAMA4_OK)
        status = l4_convert_run(&j, out_path, error);
    l4_imatrix_close(imatrix);
    l4_model_release(model);
    return status;
}
