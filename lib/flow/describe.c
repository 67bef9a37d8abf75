/* A model's shape for llama4_model_get_info, from its configuration and its tensor index. */
#include <string.h>

#include "base/bytes.h"
#include "flow/model.h"
#include "format/types.h"

/* Parameters of the text model, in all and for one token. */
static void count_parameters(const l4_config *c, uint64_t vocab, llama4_model_info *info)
{
    const int64_t width = c->width, q = (int64_t)c->heads * c->head_dim, kv = (int64_t)c->kv_heads * c->head_dim;
    int64_t all = 0, active = 0;
    for (uint32_t i = 0; i < c->layers; i++) {
        int64_t both = width * (2 * q + 2 * kv) + 2 * width, expert = 3 * width * (int64_t)c->expert_ff;
        if (!c->layer[i].moe)
            both += 3 * width * (int64_t)c->dense_ff;
        else {
            both += expert + width * (int64_t)c->experts;
            all += expert * (int64_t)c->experts;
            active += expert * (int64_t)c->experts_used;
        }
        all += both;
        active += both;
    }
    int64_t head = width * (int64_t)vocab;
    info->parameters = all + width + head * (c->tied ? 1 : 2);
    info->active_parameters = active + width + head; /* one row of the embedding, the whole output */
}

/* The type that holds the most bytes. */
static const char *main_type(const l4_archive *archive)
{
    const char *best = "";
    uint64_t most = 0;
    for (uint32_t type = 0; type < 2048; type++) {
        const l4_type_info *t = l4_type_find(type);
        uint64_t bytes = 0;
        for (size_t i = 0; t && i < archive->n_tensors; i++)
            bytes += archive->tensors[i].type == type ? archive->tensors[i].size : 0;
        if (bytes > most) {
            most = bytes;
            best = t->name;
        }
    }
    return best;
}

/* Rows of the embedding, which a header-only model has not bound. */
static uint64_t vocabulary_rows(const llama4_model *m)
{
    static const char *const names[] = {"token_embd.weight", "model.embed_tokens.weight", "language_model.model.embed_tokens.weight",
                                        "model.language_model.embed_tokens.weight", "embed_tokens.weight"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const l4_tensor *t = l4_archive_find(m->archive, names[i]);
        if (t)
            return t->dims[1];
    }
    return m->config.vocab;
}

/* The largest divisor of a rotary frequency, from the configuration or from the tensor that lists them. */
static float rope_factor(const llama4_model *m)
{
    const l4_tensor *t = l4_archive_find(m->archive, "rope_freqs.weight");
    float most = m->config.rope_scaling[0];
    for (uint64_t j = 0; t && t->type == LLAMA4_TYPE_F32 && j < t->dims[0]; j++) {
        float divisor = m->weights.rope_divisor ? m->weights.rope_divisor[j] : l4_load_f32(t->data + 4 * j);
        most = divisor > most ? divisor : most;
    }
    return most;
}

static void describe_vision(const llama4_model *m, llama4_model_info *info)
{
    const l4_vision_config *c = &m->vision.config;
    info->vision_layers = (int32_t)c->layers;
    info->vision_width = (int32_t)c->width;
    info->vision_heads = (int32_t)c->heads;
    info->vision_feed_forward_length = (int32_t)c->ff;
    info->tile_size = (int32_t)c->tile;
    info->patch_size = (int32_t)c->patch;
    info->tile_tokens = (int32_t)l4_vision_tokens(c);
    info->max_tiles = (int32_t)c->max_tiles;
    info->vision_parameters = (int64_t)l4_vision_parameters(m->vision.archive ? m->vision.archive : m->archive);
}

void l4_model_describe(const llama4_model *m, llama4_model_info *info)
{
    const l4_config *c = &m->config;
    uint64_t vocab = vocabulary_rows(m);
    memset(info, 0, sizeof *info);
    info->layers = (int32_t)c->layers;
    info->embedding_length = (int32_t)c->width;
    info->heads = (int32_t)c->heads;
    info->kv_heads = (int32_t)c->kv_heads;
    info->head_length = (int32_t)c->head_dim;
    info->feed_forward_length = (int32_t)c->dense_ff;
    info->expert_feed_forward_length = (int32_t)c->expert_ff;
    info->experts = (int32_t)c->experts;
    info->experts_used = (int32_t)c->experts_used;
    int local = 0;
    for (uint32_t i = 0; i < c->layers; i++) {
        info->moe_layers += c->layer[i].moe;
        info->rope_layers += c->layer[i].rope;
        local |= c->layer[i].local;
    }
    info->chunk_size = local ? (int32_t)c->chunk : 0;
    info->vocab_size = (int32_t)vocab;
    info->context_length = (int64_t)c->context_length;
    count_parameters(c, vocab, info);
    for (size_t i = 0; i < m->archive->n_tensors; i++)
        info->tensor_bytes += (int64_t)m->archive->tensors[i].size;
    info->tensors = (int32_t)m->archive->n_tensors;
    info->files = (int32_t)m->archive->n_files;
    info->qk_norm = c->qk_norm;
    info->has_vocabulary = m->has_vocabulary;
    info->rope_base = c->rope_base;
    info->rope_factor = rope_factor(m);
    info->temperature_scale = c->temperature_scale;
    info->temperature_length = (int32_t)c->temperature_length;
    info->norm_epsilon = c->norm_epsilon;
    memcpy(info->format, m->format, sizeof info->format);
    memcpy(info->name, c->layers ? c->name : m->vision.config.name, sizeof info->name);
    const char *type = main_type(m->archive);
    memcpy(info->type, type, strlen(type) < sizeof info->type ? strlen(type) : 0);
    if (m->vision.present)
        describe_vision(m, info);
}
