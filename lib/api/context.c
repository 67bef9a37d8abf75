/* The public functions of llama4_context: argument checks and defaults, then run/context.c. */
#include "base/floats.h"
#include "run/context.h"

#include <string.h>

#include "base/cpu.h"
#include "base/pool.h"
#include "flow/model.h"

llama4_status llama4_context_params_init(llama4_context_params *params, size_t size)
{
    if (!params || size < sizeof *params || size > UINT32_MAX)
        return LLAMA4_ERR_ARGUMENT;
    memset(params, 0, size);
    params->struct_size = (uint32_t)size;
    return LLAMA4_OK;
}

static llama4_status in_range(const char *name, int64_t value, int64_t min, int64_t max, llama4_error *error)
{
    if (value >= min && value <= max)
        return LLAMA4_OK;
    return l4_fail(error, LLAMA4_ERR_ARGUMENT, "llama4_context_params.%s is %lld, not %lld .. %lld", name, (long long)value, (long long)min, (long long)max);
}

/* Puts defaults where the caller left zero, and checks the rest. */
static llama4_status complete(llama4_context_params *p, const llama4_model *model, llama4_error *error)
{
    if (p->flags)
        return l4_fail(error, LLAMA4_ERR_UNSUPPORTED, "llama4_context_params.flags has unknown bits: 0x%x", (unsigned)p->flags);
    int cores = l4_cpu_count();
    if (!p->context_length)
        p->context_length = (int64_t)model->config.context_length;
    if (!p->threads)
        p->threads = cores < L4_MAX_THREADS ? cores : L4_MAX_THREADS;
    if (!p->batch_size)
        p->batch_size = model->weights.pool ? 4096 : 2048;
    if (!p->sequences)
        p->sequences = 64;
    if (p->kv_type == LLAMA4_KV_DEFAULT)
        p->kv_type = LLAMA4_KV_I16;
    llama4_status status = in_range("context_length", p->context_length, 1, 1 << 24, error);
    if (status == LLAMA4_OK)
        status = in_range("threads", p->threads, 1, L4_MAX_THREADS, error);
    if (status == LLAMA4_OK)
        status = in_range("batch_size", p->batch_size, 1, 8192, error);
    if (status == LLAMA4_OK)
        status = in_range("sequences", p->sequences, 1, 65536, error);
    if (status == LLAMA4_OK)
        status = in_range("kv_type", p->kv_type, LLAMA4_KV_F16, LLAMA4_KV_Q8_0, error);
    return status;
}

llama4_status llama4_context_create(llama4_model *model, const llama4_context_params *params, llama4_context **context, llama4_error *error)
{
    L4_OWN_FLOATS;
    l4_context_setup setup;
    if (!model || !context)
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "%s is NULL", model ? "context" : "model");
    llama4_status status = l4_read_struct(&setup.params, params, sizeof setup.params, sizeof setup.params, "llama4_context_params", error);
    if (status == LLAMA4_OK)
        status = complete(&setup.params, model, error);
    if (status)
        return status;
    if (model->header_only)
        return l4_fail(error, LLAMA4_ERR_STATE, "the model was opened with LLAMA4_MODEL_HEADER_ONLY and has no weights");
    setup.budget = model->budget;
    setup.allocator = model->budget ? l4_budget_allocator(model->budget) : &model->allocator;
    setup.weights = &model->weights;
    setup.model = model;
    setup.cpu_level = model->cpu_level;
    setup.patch_token = model->vocab ? l4_vocab_well_known(model->vocab)->patch : -1;
    status = l4_context_create(&setup, context, error);
    if (status == LLAMA4_OK)
        l4_model_ref(model);
    return status;
}

void llama4_context_release(llama4_context *context)
{
    if (!context)
        return;
    llama4_model *model = l4_context_model(context);
    l4_context_destroy(context);
    l4_model_release(model);
}

llama4_model *llama4_context_get_model(const llama4_context *context)
{
    return context ? l4_context_model(context) : NULL;
}

llama4_status llama4_context_decode(llama4_context *context, const llama4_batch_item *items, size_t n_items, size_t stride, llama4_error *error)
{
    L4_OWN_FLOATS;
    if (!context || !items)
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "%s is NULL", context ? "items" : "context");
    if (!n_items)
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "n_items is 0");
    if (stride > 4096)
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "stride %zu is no size of a llama4_batch_item", stride);
    return l4_context_decode(context, items, n_items, stride, NULL, 0, error);
}

llama4_status llama4_context_decode_embeddings(llama4_context *context, const llama4_batch_item *items, size_t n_items, size_t stride,
                                               const float *embeddings, size_t n, llama4_error *error)
{
    L4_OWN_FLOATS;
    if (!context || !items || !embeddings)
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "%s is NULL", !context ? "context" : !items ? "items" : "embeddings");
    if (!n_items)
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "n_items is 0");
    if (stride > 4096)
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "stride %zu is no size of a llama4_batch_item", stride);
    return l4_context_decode(context, items, n_items, stride, embeddings, n, error);
}

llama4_status llama4_context_logits(const llama4_context *context, size_t item, const float **logits, size_t *count, llama4_error *error)
{
    if (!context || !logits)
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "%s is NULL", context ? "logits" : "context");
    return l4_context_logits(context, item, logits, count, error);
}

void llama4_context_cancel(llama4_context *context)
{
    if (context)
        l4_context_cancel(context);
}

int64_t llama4_context_sequence_length(const llama4_context *context, int32_t sequence)
{
    return context ? l4_context_sequence_length(context, sequence) : -1;
}

llama4_status llama4_context_truncate(llama4_context *context, int32_t sequence, int64_t length, llama4_error *error)
{
    if (!context)
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "context is NULL");
    return l4_context_truncate(context, sequence, length, error);
}

llama4_status llama4_context_fork(llama4_context *context, int32_t from, int32_t to, llama4_error *error)
{
    if (!context)
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "context is NULL");
    return l4_context_fork(context, from, to, error);
}

llama4_status llama4_context_get_info(const llama4_context *context, llama4_context_info *info, llama4_error *error)
{
    llama4_context_info full = {0};
    if (!context)
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "context is NULL");
    l4_context_get_info(context, &full);
    return l4_write_struct(info, &full, sizeof full, sizeof full, "llama4_context_info", error);
}

llama4_status llama4_context_get_expert_counts(const llama4_context *context, int32_t layer, uint64_t *counts, size_t capacity, size_t *count,
                                               llama4_error *error)
{
    if (!context || !count || (!counts && capacity))
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "%s is NULL", !context ? "context" : !count ? "count" : "counts");
    const l4_config *c = &l4_context_model(context)->config;
    if (layer < 0 || (uint32_t)layer >= c->layers)
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "layer %d is not in 0 .. %u", (int)layer, (unsigned)c->layers - 1);
    *count = c->experts;
    if (capacity == 0)
        return LLAMA4_OK;
    if (capacity < c->experts)
        return l4_fail(error, LLAMA4_ERR_CAPACITY, "capacity is %zu; %u are needed", capacity, (unsigned)c->experts);
    l4_context_routed(context, (uint32_t)layer, counts);
    return LLAMA4_OK;
}
