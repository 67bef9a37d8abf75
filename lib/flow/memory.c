/* Bound weights and a budget -> weights in memory, all or some of them (model/resident.h). */
#include "flow/memory.h"

#include <stdio.h>

#include "base/memory.h"
#include "model/experts.h"
#include "model/resident.h"
#include "run/context.h"

#define PREFETCH_STEP ((size_t)64 << 20)
#define FEW_TOKENS 16    /* of a batch that a context must at least have room for, and of one that it should have */
#define MANY_TOKENS 512
#define THREADS 4        /* that such a context is supposed to have */

static uint64_t total_size(const l4_archive *archive)
{
    uint64_t total = 0;
    for (size_t i = 0; i < archive->n_files; i++)
        total += archive->files[i].size;
    return total;
}

/* Lets the system read ahead, slice by slice. */
static llama4_status prefetch(const l4_archive *archive, const llama4_model_params *params, const char *name, llama4_error *error)
{
    const uint64_t total = total_size(archive);
    uint64_t done = 0;
    for (size_t i = 0; i < archive->n_files; i++)
        for (size_t at = 0; at < archive->files[i].size; at += PREFETCH_STEP) {
            size_t left = archive->files[i].size - at, step = left < PREFETCH_STEP ? left : PREFETCH_STEP;
            l4_map_prefetch(&archive->files[i], at, step);
            done += step;
            if (params->progress && params->progress(params->progress_user, 0.2f + 0.1f * (float)((double)done / (double)total)))
                return l4_fail(error, LLAMA4_ERR_CANCELLED, "%s: opening was cancelled", name);
        }
    return LLAMA4_OK;
}

static unsigned long long megabytes(uint64_t bytes)
{
    return (unsigned long long)((bytes + 999999) / 1000000);
}

static llama4_status stream(llama4_model *m, const llama4_model_params *params, const l4_footprint *f, llama4_error *error)
{
    const l4_weights_progress progress = {params->progress, params->progress_user, 0.2f};
    llama4_status status = l4_weights_stream(&m->weights, m->archive, m->budget, f, (uint32_t)params->expert_slots, &progress, error);
    for (size_t i = 0; status == LLAMA4_OK && i < m->archive->n_files; i++)
        l4_map_forget(&m->archive->files[i], 0, m->archive->files[i].size);
    if (status == LLAMA4_OK)
        l4_say(&m->log, LLAMA4_LOG_INFO, "experts are read from the disk when they are needed: %llu MB of weights stay in memory, and up to %llu MB of experts",
               megabytes(f->resident), megabytes(l4_experts_room(m->weights.pool)));
    return status;
}

/* Files that would push everything else out of the system's cache, their own beginnings included, are read past it. */
static llama4_status load(llama4_model *m, const llama4_model_params *params, const l4_footprint *f, const char *name, llama4_error *error)
{
    const l4_weights_progress progress = {params->progress, params->progress_user, 0.3f};
    const int cached = total_size(m->archive) <= l4_memory_size() / 4 * 3;
    llama4_status status = cached ? prefetch(m->archive, params, name, error) : LLAMA4_OK;
    return status ? status : l4_weights_load(&m->weights, m->archive, f, cached, &progress, error);
}

llama4_status l4_memory_fill(llama4_model *m, const llama4_model_params *params, const char *name, llama4_error *error)
{
    l4_footprint f;
    llama4_status status = l4_weights_measure(&m->weights, m->archive, &f, error);
    if (status)
        return status;
    uint64_t limit = params->memory_bytes ? (uint64_t)params->memory_bytes : l4_memory_budget_default();
    limit = limit ? limit : UINT64_MAX / 2; /* the system does not say */
    const uint64_t all = f.resident + f.experts + m->weights.embedding.stride * m->weights.embedding.rows;
    const int fits = l4_context_bytes(&m->config, THREADS, MANY_TOKENS) < limit && all <= limit - l4_context_bytes(&m->config, THREADS, MANY_TOKENS);
    const int streamed = f.expert && (params->flags & LLAMA4_MODEL_STREAM || params->expert_slots || !fits);
    const uint64_t context = l4_context_bytes(&m->config, THREADS, FEW_TOKENS), reading = L4_DISK_THREADS * (f.buffer + (64 << 10));
    const uint64_t need = context + (streamed ? f.resident + L4_EXPERTS_KEPT * f.expert + reading : all);
    if (params->memory_bytes && need > limit)
        return l4_fail(error, LLAMA4_ERR_MEMORY, "%.80s: %llu bytes are too little: %llu are needed, %llu MB for weights that stay, %llu MB for the rest", name,
                       (unsigned long long)limit, (unsigned long long)need, megabytes(f.resident), megabytes(need - f.resident));
    if (params->memory_bytes || streamed) {
        status = l4_budget_create(&m->allocator, need > limit ? need : limit, &m->budget, error);
        if (status)
            return status;
    }
    m->resident_bytes = streamed ? f.resident : all;
    if (streamed) {
        l4_budget_take(m->budget, reading);
        return stream(m, params, &f, error);
    }
    if (m->budget)
        l4_budget_take(m->budget, all);
    return load(m, params, &f, name, error);
}

void l4_memory_describe(llama4_model *m, llama4_memory_info *info)
{
    info->limit_bytes = m->budget ? (int64_t)l4_budget_limit(m->budget) : 0;
    info->used_bytes = m->budget ? (int64_t)l4_budget_used(m->budget) : 0;
    info->resident_bytes = (int64_t)m->resident_bytes;
    if (!m->weights.pool)
        return;
    const l4_experts_totals t = l4_experts_count(m->weights.pool);
    info->streaming = 1;
    info->expert_bytes = (int64_t)t.slot_bytes;
    for (uint32_t i = 0; i < m->config.layers; i++)
        info->expert_count += m->config.layer[i].moe ? (int64_t)m->config.experts : 0;
    info->expert_slots = (int64_t)t.slots;
    info->requests = (int64_t)t.requests;
    info->hits = (int64_t)t.hits;
    info->read_ahead = (int64_t)t.ahead;
    info->wasted = (int64_t)t.wasted;
    info->bytes_read = (int64_t)t.read.bytes;
    info->read_seconds = t.read.seconds;
    info->wait_seconds = t.wait_seconds;
    info->direct = t.read.direct;
    info->guesses = (int64_t)t.guesses;
    info->guesses_right = (int64_t)t.right;
}
