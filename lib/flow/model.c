/* Files -> a model: index, shape, weights, vocabulary. Reading order of what it calls: format/gguf.c or format/safetensors.c,
 * model/config_*.c, model/weights_*.c, text/vocab.h. */
#include "flow/model.h"

#include <stdio.h>
#include <string.h>

#include "flow/memory.h"
#include "format/safetensors.h"

typedef struct opening {
    llama4_model *m;
    const llama4_model_params *params;
    const char *name; /* for messages */
} opening;

static llama4_status report(const opening *o, float fraction, llama4_error *error)
{
    if (o->params->progress && o->params->progress(o->params->progress_user, fraction))
        return l4_fail(error, LLAMA4_ERR_CANCELLED, "%s: opening was cancelled", o->name);
    return LLAMA4_OK;
}

static llama4_status open_gguf(opening *o, const l4_source *source, llama4_error *error)
{
    llama4_model *m = o->m;
    llama4_status status;
    if (source->path)
        status = l4_gguf_open(&m->allocator, source->path, &m->gguf, error);
    else {
        l4_mapping mapping = {.data = source->data, .size = source->size};
        status = source->data ? LLAMA4_OK : l4_map_fd(source->fd, &mapping, error);
        if (status == LLAMA4_OK)
            status = l4_gguf_open_mapping(&m->allocator, &mapping, o->name, &m->gguf, error);
    }
    if (status)
        return status;
    m->archive = l4_gguf_archive(m->gguf);
    snprintf(m->format, sizeof m->format, "GGUF v%u", (unsigned)l4_gguf_version(m->gguf));
    if (l4_vision_is_gguf(m->gguf)) { /* may be looked at, without a text model */
        if (!m->header_only)
            return l4_fail(error, LLAMA4_ERR_UNSUPPORTED, "%s is a picture encoder: open a text model, with this file as its vision_path", o->name);
        m->vision.present = 1;
        return l4_vision_config_from_gguf(m->gguf, &m->vision.config, error);
    }
    m->has_vocabulary = l4_gguf_find(m->gguf, "tokenizer.ggml.tokens") != NULL;
    return l4_config_from_gguf(m->gguf, &m->log, &m->config, error);
}

static llama4_status open_directory(opening *o, const char *path, llama4_error *error)
{
    llama4_model *m = o->m;
    char *config_path;
    l4_mapping config;
    llama4_status status = l4_path_join(&m->allocator, path, "config.json", &config_path, error);
    if (status)
        return status;
    status = l4_map_whole(config_path, &config, error);
    if (status == LLAMA4_OK) {
        status = l4_config_from_json(&m->allocator, config.data, config.size, config_path, &m->config, error);
        l4_unmap(&config);
    }
    l4_free(&m->allocator, config_path);
    if (status == LLAMA4_OK)
        status = l4_safetensors_open(&m->allocator, path, &m->safetensors, error);
    if (status)
        return status;
    m->archive = &m->safetensors;
    snprintf(m->format, sizeof m->format, "safetensors");
    return l4_vocab_in_directory(&m->allocator, path, &m->has_vocabulary, error);
}

/* Only vectors are read here; matrices are when there is room for them. */
static llama4_status bind(opening *o, llama4_error *error)
{
    llama4_model *m = o->m;
    llama4_status status = m->gguf ? l4_weights_from_gguf(&m->allocator, &m->config, m->archive, &m->weights, error)
                                   : l4_weights_from_hf(&m->allocator, &m->config, m->archive, &m->weights, error);
    if (status)
        return status;
    m->config = m->weights.config;
    for (uint32_t j = 0; j < m->config.head_dim / 2; j++)
        if (m->weights.rope_divisor[j] != 1.0f && m->weights.rope_divisor[j] != 16.0f) {
            l4_say(&m->log, LLAMA4_LOG_WARNING, "%s: rotary frequencies are scaled by another factor than 16: the file was made from a configuration "
                   "that its authors have since corrected, or by hand", o->name);
            break;
        }
    return LLAMA4_OK;
}

static llama4_status read_vocabulary(opening *o, const char *path, llama4_error *error)
{
    llama4_model *m = o->m;
    llama4_status status = LLAMA4_OK;
    if (o->params->vocabulary_path)
        status = l4_vocab_from_path(&m->allocator, &m->log, o->params->vocabulary_path, &m->vocab, error);
    else if (m->has_vocabulary)
        status = m->gguf ? l4_vocab_from_gguf(&m->allocator, &m->log, m->gguf, &m->vocab, error)
                         : l4_vocab_from_path(&m->allocator, &m->log, path, &m->vocab, error);
    if (status || !m->vocab)
        return status;
    m->has_vocabulary = 1;
    if ((uint32_t)l4_vocab_size(m->vocab) > m->config.vocab)
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: a vocabulary of %d tokens does not fit a model of %u", o->name,
                       (int)l4_vocab_size(m->vocab), (unsigned)m->config.vocab);
    return l4_vocab_pad(m->vocab, (int32_t)m->config.vocab, error);
}

/* The picture encoder: from a file of its own, or from the directory that the model was opened from. */
static llama4_status add_vision(opening *o, const char *directory, llama4_error *error)
{
    llama4_model *m = o->m;
    llama4_status status = LLAMA4_OK;
    if (o->params->vision_path)
        status = l4_vision_part_open(&m->allocator, o->params->vision_path, !m->header_only, &m->vision, error);
    else if (directory && l4_vision_in_archive(m->archive))
        status = l4_vision_part_of(&m->allocator, directory, m->archive, !m->header_only, &m->vision, error);
    if (status || !m->vision.present || !m->config.layers)
        return status;
    if (m->vision.config.embedding != m->config.width)
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: the picture encoder's embeddings are %u wide, the model takes %u: they do not belong together",
                       o->params->vision_path ? o->params->vision_path : o->name, (unsigned)m->vision.config.embedding, (unsigned)m->config.width);
    if (m->vocab) {
        const l4_vision_config *c = &m->vision.config;
        l4_vocab_set_image_shape(m->vocab, (l4_image_shape){c->tile, l4_vision_tokens(c), c->max_tiles});
    }
    return LLAMA4_OK;
}

/* Nothing is read from the model's files any more, unless experts or pictures want some of it. unmap: nor looked at. */
static void let_go(llama4_model *m, int unmap)
{
    if (!m->archive || m->weights.disk || (m->vision.archive == m->archive && m->vision.inputs))
        return;
    for (size_t i = 0; i < m->archive->n_files; i++)
        l4_map_close_file(&m->archive->files[i]);
    if (unmap && m->gguf)
        l4_gguf_unmap(m->gguf);
    else if (unmap)
        l4_archive_unmap(&m->safetensors);
}

static void destroy(llama4_model *m)
{
    l4_allocator a = m->allocator;
    if (m->vocab)
        l4_vocab_release(m->vocab);
    l4_weights_clear(&m->weights);
    l4_budget_destroy(m->budget);
    l4_vision_part_close(&m->vision);
    l4_gguf_close(m->gguf);
    if (m->archive == &m->safetensors)
        l4_archive_clear(&m->safetensors);
    l4_free(&a, m);
}

static llama4_status fill(opening *o, const l4_source *source, llama4_error *error)
{
    llama4_model *m = o->m;
    int directory = source->path && l4_file_kind(source->path) == L4_FILE_DIRECTORY;
    llama4_status status = report(o, 0.0f, error);
    if (status == LLAMA4_OK)
        status = directory ? open_directory(o, source->path, error) : open_gguf(o, source, error);
    if (status == LLAMA4_OK && !m->header_only) {
        status = bind(o, error);
        if (status == LLAMA4_OK)
            status = report(o, 0.1f, error);
        if (status == LLAMA4_OK)
            status = read_vocabulary(o, source->path, error);
        if (status == LLAMA4_OK)
            status = report(o, 0.2f, error);
        if (status == LLAMA4_OK)
            status = source->as_stored ? LLAMA4_OK : l4_memory_fill(m, o->params, o->name, error);
    }
    if (status == LLAMA4_OK && !source->as_stored)
        status = add_vision(o, directory ? source->path : NULL, error);
    if (!source->as_stored)
        let_go(m, !m->header_only);
    return status ? status : report(o, 1.0f, error);
}

llama4_status l4_model_open(const l4_source *source, const llama4_model_params *params, llama4_model **out, llama4_error *error)
{
    l4_allocator a;
    llama4_model *m;
    llama4_status status = l4_allocator_init(&a, params->allocate, params->release, params->allocator_user, error);
    if (status == LLAMA4_OK)
        status = l4_alloc_zero(&a, 1, sizeof *m, "a model", &m, error);
    if (status)
        return status;
    atomic_init(&m->owners, 1);
    m->allocator = a;
    m->log = (l4_log){params->log, params->log_user};
    m->cpu_level = params->cpu_level;
    m->header_only = (params->flags & LLAMA4_MODEL_HEADER_ONLY) != 0;
    opening o = {m, params, source->path ? source->path : source->data ? "the model in memory" : "the model's file descriptor"};
    status = fill(&o, source, error);
    if (status)
        destroy(m);
    else
        *out = m;
    return status;
}

void l4_model_ref(llama4_model *m)
{
    atomic_fetch_add_explicit(&m->owners, 1, memory_order_relaxed);
}

void l4_model_release(llama4_model *m)
{
    if (atomic_fetch_sub_explicit(&m->owners, 1, memory_order_acq_rel) == 1)
        destroy(m);
}
