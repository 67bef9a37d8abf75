/* Batches of the caller -> batches of the forward pass, and back to the start if one fails. Next: run/forward.h. */
#include "run/context.h"

#include <string.h>

#include "base/cpu.h"
#include "base/file.h"
#include "model/experts.h"
#include "run/logits.h"

struct llama4_context {
    l4_allocator allocator;
    l4_budget *budget; /* or NULL */
    const l4_weights *weights;
    llama4_model *model;
    l4_kernels kernels;
    l4_pool *pool;
    atomic_int cancel;
    llama4_context_params params;
    l4_kv kv;
    l4_forward forward;
    int32_t patch_token;   /* takes an embedding, if there are any; -1: only -1 does */
    double progress_start, progress_share; /* the part of a longer work that decodes are */
    l4_token *batch;       /* [batch_size] sorted by sequence */
    l4_token *items;       /* the caller's batch */
    size_t n_items, items_capacity;
    float *logits;
    size_t logits_capacity; /* floats */
    uint64_t stamp;         /* number of the batch being built */
    uint64_t *routed_tokens; /* [layers][experts] */
};

static size_t max_columns(const l4_config *c)
{
    size_t most = c->width, q = (size_t)c->heads * c->head_dim;
    if (q > most)
        most = q;
    if (c->dense_ff > most)
        most = c->dense_ff;
    return c->expert_ff > most ? c->expert_ff : most;
}

static llama4_status prepare(llama4_context *c, llama4_error *error)
{
    const l4_config *config = &c->weights->config;
    size_t linear = l4_linear_scratch(max_columns(config)), attention = l4_attention_scratch(config->heads, config->kv_heads, config->head_dim);
    size_t scratch = ((linear > attention ? linear : attention) + 15) / 16 * 16, floats = (size_t)c->params.threads * scratch;
    c->forward.weights = c->weights;
    c->forward.kv = &c->kv;
    c->forward.cancel = &c->cancel;
    c->forward.progress_user = c->params.progress_user;
    c->forward.exec.kernels = &c->kernels;
    c->forward.exec.scratch_size = scratch;
    llama4_status status = l4_kv_init(&c->kv, &c->allocator, config, (size_t)c->params.sequences,
                                      l4_kv_slot(c->params.kv_type), error);
    if (status == LLAMA4_OK)
        status = l4_alloc(&c->allocator, floats, sizeof(float), "the threads", &c->forward.exec.scratch, error);
    if (status == LLAMA4_OK) {
        l4_memory_large_pages(c->forward.exec.scratch, floats * sizeof(float));
        status = l4_alloc(&c->allocator, (size_t)c->params.batch_size, sizeof *c->batch, "a batch", &c->batch, error);
    }
    if (status == LLAMA4_OK)
        status = l4_alloc_zero(&c->allocator, (size_t)config->layers * config->experts, sizeof *c->routed_tokens, "the experts' counts",
                               &c->routed_tokens, error);
    if (status == LLAMA4_OK)
        status = l4_pool_create(&c->allocator, c->params.threads, &c->cancel, &c->pool, error);
    c->forward.exec.pool = c->pool;
    return status;
}

llama4_status l4_context_create(const l4_context_setup *setup, llama4_context **out, llama4_error *error)
{
    llama4_context *c;
    llama4_status status = l4_alloc_zero(setup->allocator, 1, sizeof *c, "a context", &c, error);
    if (status)
        return status;
    c->allocator = *setup->allocator;
    c->budget = setup->budget;
    c->weights = setup->weights;
    c->model = setup->model;
    c->params = setup->params;
    c->patch_token = setup->patch_token;
    c->progress_share = 1;
    l4_kernels_init(&c->kernels, l4_cpu_level(setup->cpu_level));
    status = prepare(c, error);
    if (status)
        l4_context_destroy(c);
    else
        *out = c;
    return status;
}

void l4_context_destroy(llama4_context *c)
{
    l4_allocator a = c->allocator;
    l4_pool_destroy(c->pool);
    l4_kv_clear(&c->kv);
    l4_buffers_clear(&c->forward.buffers, &a);
    l4_free(&a, c->forward.exec.scratch);
    l4_free(&a, c->batch);
    l4_free(&a, c->items);
    l4_free(&a, c->routed_tokens);
    l4_free(&a, c->logits);
    l4_free(&a, c);
}

llama4_model *l4_context_model(const llama4_context *c)
{
    return c->model;
}

/* Copies the caller's items and checks them: ids, sequences, positions, room, and that they take all the embeddings. Returns the number of logits
 * wanted in *wanted. */
static llama4_status take_items(llama4_context *c, const llama4_batch_item *items, size_t n, size_t stride, const float *embeddings,
                                size_t n_numbers, size_t *wanted, llama4_error *error)
{
    const l4_config *config = &c->weights->config;
    llama4_status status = l4_grow(&c->allocator, &c->items, &c->items_capacity, 0, n, sizeof *c->items, "a batch", error);
    size_t rows = 0;
    *wanted = 0;
    if (n_numbers % config->width)
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "%zu numbers are no rows of embeddings, %u wide", n_numbers, (unsigned)config->width);
    for (size_t i = 0; i < n && status == LLAMA4_OK; i++) {
        const char *source = (const char *)items + i * stride;
        llama4_batch_item item;
        status = l4_check_struct(source, stride, sizeof item, sizeof item, "llama4_batch_item", error);
        if (status)
            return status;
        memcpy(&item, source, sizeof item);
        const float *row = NULL;
        if (embeddings && (item.token == -1 || item.token == c->patch_token)) {
            row = rows < n_numbers / config->width ? embeddings + rows * config->width : NULL;
            rows++;
            item.token = 0;
        }
        if (item.token < 0 || (uint32_t)item.token >= config->vocab)
            return l4_fail(error, LLAMA4_ERR_ARGUMENT, "item %zu: token %d is not in 0 .. %u", i, (int)item.token, (unsigned)config->vocab - 1);
        if (item.sequence < 0 || item.sequence >= c->params.sequences)
            return l4_fail(error, LLAMA4_ERR_ARGUMENT, "item %zu: sequence %d is not in 0 .. %d", i, (int)item.sequence, (int)c->params.sequences - 1);
        if (item.reserved)
            return l4_fail(error, LLAMA4_ERR_UNSUPPORTED, "item %zu: reserved is not 0", i);
        l4_sequence *s = &c->kv.sequences[item.sequence];
        if (s->batch_stamp != c->stamp) {
            s->batch_stamp = c->stamp;
            s->planned = s->length;
        }
        if (item.position != -1 && (item.position < 0 || (uint64_t)item.position != s->planned))
            return l4_fail(error, LLAMA4_ERR_ARGUMENT, "item %zu: position %lld, but sequence %d goes on at %llu", i, (long long)item.position,
                           (int)item.sequence, (unsigned long long)s->planned);
        if (s->planned >= (uint64_t)c->params.context_length)
            return l4_fail(error, LLAMA4_ERR_CONTEXT_FULL, "sequence %d is full: the context holds %lld positions", (int)item.sequence,
                           (long long)c->params.context_length);
        c->items[i] = (l4_token){item.token, item.sequence, s->planned++, i, row, item.logits ? (int64_t)(*wanted)++ : -1};
    }
    if (status == LLAMA4_OK && rows != n_numbers / config->width)
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "%zu items take embeddings, but there are %zu rows", rows, n_numbers / config->width);
    return status;
}

/* As many tokens as a quarter of what a budget leaves holds the intermediate results of: the rest is for keys and values, and for experts that are
 * read from the disk, of which more memory means fewer reads. */
static size_t batch_limit(const llama4_context *c)
{
    const size_t most = (size_t)c->params.batch_size, held = c->forward.buffers.tokens;
    size_t tokens = most;
    if (c->budget) {
        const uint64_t limit = l4_budget_limit(c->budget), used = l4_budget_used(c->budget);
        const uint64_t free = c->weights->pool ? l4_experts_room(c->weights->pool) : limit > used ? limit - used : 0;
        const uint64_t room = (free + c->forward.buffers.bytes) / 4;
        while (tokens > 16 && l4_buffers_bytes(&c->weights->config, tokens) > room)
            tokens = tokens * 3 / 4;
    }
    return tokens > held ? tokens : held < most ? held : most;
}

/* Takes items from `first` on, as many as one pass may hold: no sequence straddles a chunk. Sorts them by sequence into c->batch. */
static size_t build_batch(llama4_context *c, size_t first, size_t n, size_t limit)
{
    size_t count = 0, most = n - first < limit ? n - first : limit;
    c->stamp++;
    for (; count < most; count++) {
        const l4_token *t = &c->items[first + count];
        l4_sequence *s = &c->kv.sequences[t->sequence];
        uint64_t chunk = c->kv.chunk ? t->position / c->kv.chunk : 0;
        if (s->batch_stamp != c->stamp) {
            s->batch_stamp = c->stamp;
            s->batch_chunk = chunk;
            s->batch_count = 0;
        } else if (s->batch_chunk != chunk)
            break;
        s->batch_count++;
    }
    size_t next = 0;
    for (size_t i = 0; i < count; i++) {
        const l4_token *t = &c->items[first + i];
        l4_sequence *s = &c->kv.sequences[t->sequence];
        if (s->batch_count) { /* its first item: the sequence's rows begin here */
            s->batch_first = next;
            next += s->batch_count;
            s->batch_count = 0;
        }
        c->batch[s->batch_first++] = *t;
    }
    return count;
}

static llama4_status run_batch(llama4_context *c, size_t first, size_t count, size_t n, llama4_error *error)
{
    if (c->weights->pool && c->forward.buffers.tokens > 64 && count <= c->forward.buffers.tokens / 8)
        l4_buffers_clear(&c->forward.buffers, &c->allocator); /* experts shall have the memory */
    llama4_status status = l4_buffers_reserve(&c->forward.buffers, &c->allocator, &c->weights->config, count, error);
    for (size_t i = 0; i < count && status == LLAMA4_OK;) {
        size_t end = i + 1;
        while (end < count && c->batch[end].sequence == c->batch[i].sequence)
            end++;
        status = l4_kv_reserve(&c->kv, &c->kv.sequences[c->batch[i].sequence], c->batch[i].position, end - i, error);
        i = end;
    }
    if (status)
        return status;
    c->forward.exec.quantized = c->forward.buffers.quantized;
    c->forward.exec.factors = c->forward.buffers.factors;
    c->forward.buffers.moe.routed_tokens = c->routed_tokens;
    c->forward.exec.shares = c->forward.buffers.shares;
    c->forward.progress = n > 1 ? c->params.progress : NULL;
    c->forward.progress_start = c->progress_start + c->progress_share * (double)first / (double)n;
    c->forward.progress_share = c->progress_share * (double)count / (double)n;
    status = l4_forward_run(&c->forward, c->batch, count, error);
    if (status)
        return status;
    int64_t row = -1;
    for (size_t i = first; i < first + count && row < 0; i++)
        row = c->items[i].row;
    if (row >= 0)
        l4_logits_compute(&c->forward, c->batch, count, row, c->logits);
    if (atomic_load(&c->cancel))
        return l4_fail(error, LLAMA4_ERR_CANCELLED, "cancelled after the last layer");
    return LLAMA4_OK;
}

llama4_status l4_context_decode(llama4_context *c, const llama4_batch_item *items, size_t n, size_t stride, const float *embeddings,
                                size_t n_numbers, llama4_error *error)
{
    size_t wanted, done = 0;
    c->n_items = 0;
    c->stamp++;
    llama4_status status = take_items(c, items, n, stride, embeddings, n_numbers, &wanted, error);
    if (status == LLAMA4_OK && wanted > SIZE_MAX / sizeof(float) / c->weights->config.vocab)
        status = l4_fail(error, LLAMA4_ERR_MEMORY, "out of memory: logits of %zu tokens", wanted);
    if (status == LLAMA4_OK)
        status = l4_grow(&c->allocator, &c->logits, &c->logits_capacity, 0, wanted * c->weights->config.vocab, sizeof(float), "logits", error);
    if (status)
        return status;
    const size_t limit = n > 16 ? batch_limit(c) : (size_t)c->params.batch_size;
    while (done < n && status == LLAMA4_OK) {
        size_t count = build_batch(c, done, n, limit);
        status = run_batch(c, done, count, n, error);
        done += count;
    }
    for (size_t i = 0; i < n; i++) {
        l4_sequence *s = &c->kv.sequences[c->items[i].sequence];
        if (status)
            l4_kv_rollback(&c->kv, s);
        else
            l4_kv_commit(&c->kv, s, c->items[i].position + 1);
    }
    if (status == LLAMA4_ERR_CANCELLED)
        atomic_store(&c->cancel, 0);
    if (status == LLAMA4_OK)
        c->n_items = n;
    return status;
}

llama4_status l4_context_logits(const llama4_context *c, size_t item, const float **logits, size_t *count, llama4_error *error)
{
    if (item >= c->n_items)
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "item %zu: the last decode had %zu", item, c->n_items);
    if (c->items[item].row < 0)
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "item %zu did not ask for logits", item);
    *logits = c->logits + (size_t)c->items[item].row * c->weights->config.vocab;
    if (count)
        *count = c->weights->config.vocab;
    return LLAMA4_OK;
}

void l4_context_cancel(llama4_context *c)
{
    atomic_store(&c->cancel, 1);
}

l4_context_tools l4_context_borrow(llama4_context *c)
{
    return (l4_context_tools){&c->kernels, c->pool, &c->cancel, c->params.progress, c->params.progress_user};
}

void l4_context_share_progress(llama4_context *c, double start, double share)
{
    c->progress_start = start;
    c->progress_share = share;
}

int64_t l4_context_length(const llama4_context *c)
{
    return c->params.context_length;
}

int64_t l4_context_sequence_length(const llama4_context *c, int32_t sequence)
{
    return sequence < 0 || sequence >= c->params.sequences ? -1 : (int64_t)c->kv.sequences[sequence].length;
}

static llama4_status find_sequence(const llama4_context *c, int32_t sequence, llama4_error *error)
{
    if (sequence >= 0 && sequence < c->params.sequences)
        return LLAMA4_OK;
    return l4_fail(error, LLAMA4_ERR_ARGUMENT, "sequence %d is not in 0 .. %d", (int)sequence, (int)c->params.sequences - 1);
}

llama4_status l4_context_truncate(llama4_context *c, int32_t sequence, int64_t length, llama4_error *error)
{
    llama4_status status = find_sequence(c, sequence, error);
    if (status)
        return status;
    l4_sequence *s = &c->kv.sequences[sequence];
    if (length < 0 || (uint64_t)length > s->length)
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "length %lld is not in 0 .. %llu", (long long)length, (unsigned long long)s->length);
    if (!l4_kv_can_truncate(&c->kv, s, (uint64_t)length))
        return l4_fail(error, LLAMA4_ERR_STATE, "length %lld lies before position %llu, where the chunk that is still in memory begins", (long long)length,
                       (unsigned long long)(s->chunk * c->kv.chunk));
    l4_kv_truncate(&c->kv, s, (uint64_t)length);
    return LLAMA4_OK;
}

llama4_status l4_context_fork(llama4_context *c, int32_t from, int32_t to, llama4_error *error)
{
    llama4_status status = find_sequence(c, from, error);
    if (status == LLAMA4_OK)
        status = find_sequence(c, to, error);
    return status ? status : l4_kv_fork(&c->kv, &c->kv.sequences[from], &c->kv.sequences[to], error);
}

void l4_context_routed(const llama4_context *c, uint32_t layer, uint64_t *counts)
{
    const size_t n = c->weights->config.experts;
    memcpy(counts, c->routed_tokens + layer * n, n * sizeof *counts);
}

#define LISTS_BYTES (256 << 10) /* of tokens and threads: 40 bytes for each token of the largest usual batch, and what is small */

uint64_t l4_context_bytes(const l4_config *c, int threads, size_t tokens)
{
    size_t linear = l4_linear_scratch(max_columns(c)), attention = l4_attention_scratch(c->heads, c->kv_heads, c->head_dim);
    const uint64_t kv = (uint64_t)c->layers * l4_attention_layer_bytes(c->kv_heads, c->head_dim, L4_KV_I16_SLOT);
    return l4_buffers_bytes(c, tokens) + (uint64_t)threads * (linear > attention ? linear : attention) * sizeof(float) + (uint64_t)c->vocab * sizeof(float) +
           kv * ((tokens + L4_ATTENTION_BLOCK - 1) / L4_ATTENTION_BLOCK) + LISTS_BYTES;
}

void l4_context_get_info(const llama4_context *c, llama4_context_info *info)
{
    info->threads = c->params.threads;
    info->context_length = c->params.context_length;
    info->kv_bytes = (int64_t)c->kv.bytes;
    info->scratch_bytes = (int64_t)(c->forward.buffers.bytes + (size_t)c->params.threads * c->forward.exec.scratch_size * sizeof(float) +
                                    c->logits_capacity * sizeof(float) + c->items_capacity * sizeof *c->items);
    info->batch_size = c->params.batch_size;
    info->sequences = c->params.sequences;
    info->kv_type = c->params.kv_type;
    info->cpu_level = c->kernels.level;
}
