/* A file's headers, or a name -> what the model needs and how fast it will be. Sizes come from plan_weights.c and from the layers that will allocate them;
 * the arithmetic about speed is at the end. */
#include "flow/plan.h"

#include <stdio.h>
#include <string.h>

#include "base/cpu.h"
#include "base/math.h"
#include "base/memory.h"
#include "base/pool.h"
#include "format/safetensors.h"
#include "format/types.h"
#include "model/experts.h"
#include "model/vision.h"
#include "nn/attention.h"
#include "nn/linear.h"
#include "run/forward.h"

#define TOKEN_BYTES 80       /* of a vocabulary in memory, for each token */
#define VIEW_BYTES 256       /* tables, for each routed expert */
#define LAYER_BYTES 4096     /* and for each layer */
#define FIXED_BYTES (8 << 20) /* everything else, buffers for reading among them */

typedef struct plan {
    l4_allocator allocator;
    const llama4_plan_params *params;
    llama4_plan_result *out;
    const char *name;            /* for messages */
    l4_gguf *gguf;               /* or NULL */
    l4_archive safetensors;      /* when there is neither a GGUF file nor a shape */
    const l4_archive *archive;   /* or NULL: a shape */
    l4_listing listing;
    l4_config config;
    l4_plan_source source;
    l4_plan_weights weights;
} plan;

/* ---- Reading headers ---- */

/* What quantisers write into general.file_type, as far as it says the type of most matrices. Mixes of IQ types are taken for the type that
 * they are named after. */
static void types_of_file(plan *p)
{
    static const struct {
        uint8_t number;
        const char *name; /* of a type or mix */
    } kinds[] = {
        {0, "f32"},      {1, "f16"},      {2, "q4_0"},     {3, "q4_1"},   {7, "q8_0"},    {8, "q5_0"},   {9, "q5_1"},     {10, "q2_k_m"},
        {11, "q3_k_s"},  {12, "q3_k_m"},  {13, "q3_k_l"},  {14, "q4_k_s"}, {15, "q4_k_m"}, {16, "q5_k_s"}, {17, "q5_k_m"}, {18, "q6_k"},
        {19, "iq2_xxs"}, {20, "iq2_xs"},  {21, "q2_k"},    {22, "iq3_xxs"}, {23, "iq3_xxs"}, {24, "iq1_s"}, {25, "iq4_nl"}, {26, "iq3_s"},
        {27, "iq3_s"},   {28, "iq2_xs"},  {29, "iq2_s"},   {30, "iq4_xs"}, {31, "iq1_m"},  {32, "bf16"},  {38, "mxfp4"},
    };
    int64_t number = -1;
    if (l4_gguf_get_i64(p->gguf, "general.file_type", 0, 0, INT32_MAX, &number, NULL))
        return;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (kinds[i].number == number && l4_type_plan_find(kinds[i].name, &p->source.types, NULL)) {
            const l4_type_info *info = l4_type_by_name(kinds[i].name); /* one that cannot be written here */
            p->source.types = (l4_type_plan){.given = info != NULL, .type = info ? info->type : 0};
        }
    const uint32_t type = p->source.types.type;
    p->source.six_bit_output = l4_packed_can(type) && type != L4_Q8_0;
}

static llama4_status open_gguf(plan *p, const char *path, llama4_error *error)
{
    int64_t vocab = 0;
    llama4_status status = l4_gguf_open_headers(&p->allocator, path, &p->gguf, &p->listing, error);
    if (status)
        return status;
    p->archive = l4_gguf_archive(p->gguf);
    if (l4_vision_is_gguf(p->gguf))
        return l4_fail(error, LLAMA4_ERR_UNSUPPORTED, "%s is a picture encoder, not a text model", path);
    const l4_log silent = {0};
    status = l4_config_from_gguf(p->gguf, &silent, &p->config, error);
    if (status)
        return status;
    const l4_gguf_key *tokens = l4_gguf_find(p->gguf, "tokenizer.ggml.tokens");
    if (tokens && tokens->type == L4_GGUF_ARRAY && tokens->count <= INT32_MAX)
        vocab = (int64_t)tokens->count;
    status = l4_gguf_get_i64(p->gguf, "llama4.vocab_size", 0, 1, INT32_MAX, &vocab, error);
    p->source.vocab = (uint64_t)vocab;
    p->config.tied = p->listing.absent == 0 && !l4_archive_find(p->archive, "output.weight");
    if (p->listing.absent)
        types_of_file(p);
    return status;
}

static llama4_status open_directory(plan *p, const char *path, llama4_error *error)
{
    char *config_path;
    l4_mapping config;
    llama4_status status = l4_path_join(&p->allocator, path, "config.json", &config_path, error);
    if (status)
        return status;
    status = l4_map_whole(config_path, &config, error);
    if (status == LLAMA4_OK) {
        status = l4_config_from_json(&p->allocator, config.data, config.size, config_path, &p->config, error);
        l4_unmap(&config);
    }
    l4_free(&p->allocator, config_path);
    if (status == LLAMA4_OK)
        status = l4_safetensors_open_headers(&p->allocator, path, &p->safetensors, &p->listing, error);
    if (status)
        return status;
    p->archive = &p->safetensors;
    p->source.huggingface = 1;
    p->source.vocab = p->config.vocab;
    p->config.tied = p->config.tied && !l4_archive_find(p->archive, "lm_head.weight") && !l4_archive_find(p->archive, "language_model.lm_head.weight");
    if (p->config.stored_type < 0)
        p->config.stored_type = LLAMA4_TYPE_BF16;
    return LLAMA4_OK;
}

static llama4_status open_shape(plan *p, llama4_error *error)
{
    int known = l4_config_from_shape(p->params->shape, &p->config);
    if (!known)
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "llama4_plan_params.shape is \"%.32s\", but must be scout, maverick or behemoth", p->params->shape);
    p->source.vocab = p->config.vocab;
    p->out->guessed_shape = known == 2;
    return LLAMA4_OK;
}

static llama4_status read_headers(plan *p, const char *path, llama4_error *error)
{
    llama4_status status;
    if (!path)
        status = open_shape(p, error);
    else
        status = l4_file_kind(path) == L4_FILE_DIRECTORY ? open_directory(p, path, error) : open_gguf(p, path, error);
    const char *type = p->params->type ? p->params->type : path ? NULL : "q4_0";
    if (status == LLAMA4_OK && type) {
        p->source.six_bit_output = 0;
        status = l4_type_plan_find(type, &p->source.types, error);
    }
    if (status)
        return status;
    p->source.config = &p->config;
    p->source.archive = p->archive;
    p->source.name = p->name;
    p->source.complete = path && p->listing.absent == 0;
    p->out->missing_files = (int32_t)(p->listing.absent + p->listing.cut);
    return l4_plan_weights_find(&p->source, &p->weights, error);
}

/* ---- Memory ---- */

static size_t batch_size(const plan *p)
{
    return p->params->batch_size ? (size_t)p->params->batch_size : 512;
}

static uint64_t scratch_bytes(const plan *p, int threads)
{
    const l4_config *c = &p->config;
    size_t cols = c->width, q = (size_t)c->heads * c->head_dim;
    cols = q > cols ? q : cols;
    cols = c->dense_ff > cols ? c->dense_ff : cols;
    cols = c->expert_ff > cols ? c->expert_ff : cols;
    size_t linear = l4_linear_scratch(cols), attention = l4_attention_scratch(c->heads, c->kv_heads, c->head_dim);
    size_t scratch = ((linear > attention ? linear : attention) + 15) / 16 * 16;
    return l4_buffers_bytes(c, batch_size(p)) + (uint64_t)threads * scratch * sizeof(float) + p->weights.vocab * sizeof(float) +
           (uint64_t)batch_size(p) * 2 * sizeof(l4_token);
}

static llama4_status fill_memory(plan *p, int threads, llama4_error *error)
{
    llama4_plan_result *r = p->out;
    const l4_plan_weights *w = &p->weights;
    uint64_t global, local;
    l4_kv_measure(&p->config, l4_kv_slot(p->params->kv_type), (uint64_t)r->context_length, &global, &local);
    const uint64_t slot = w->largest_routed, kv = global + local;
    uint64_t other = w->vocab * TOKEN_BYTES + w->n_routed * VIEW_BYTES + p->config.layers * (uint64_t)LAYER_BYTES + FIXED_BYTES;
    other += r->context_length > p->config.chunk ? local : 0; /* a chunk is kept until the batch that leaves it is done */
    const uint64_t scratch = scratch_bytes(p, threads) + other, fixed = w->resident + kv + scratch, memory = (uint64_t)r->memory_bytes;
    const uint64_t least = w->n_routed < L4_EXPERTS_KEPT ? w->n_routed : L4_EXPERTS_KEPT, whole = slot * w->n_routed + w->embedding;
    if (fixed > INT64_MAX || whole > INT64_MAX - fixed)
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: a model of this shape needs more bytes than there can be", p->name);
    r->weight_bytes = (int64_t)w->stored;
    r->estimated_bytes = (int64_t)w->estimated;
    r->resident_bytes = (int64_t)w->resident;
    r->kv_bytes = (int64_t)kv;
    r->scratch_bytes = (int64_t)scratch;
    r->experts = (int64_t)w->n_routed;
    r->expert_bytes = (int64_t)w->largest_routed;
    r->whole_bytes = (int64_t)(fixed + whole);
    r->least_bytes = (int64_t)(w->n_routed ? fixed + least * slot : fixed + whole);
    if (r->whole_bytes <= r->memory_bytes) {
        r->fits = LLAMA4_FITS_WHOLE;
        r->pool_bytes = (int64_t)w->routed;
        r->cached_experts = r->experts;
    } else if (r->least_bytes <= r->memory_bytes) {
        const uint64_t slots = slot ? (memory - fixed) / slot : 0;
        r->fits = LLAMA4_FITS_STREAMED;
        r->pool_bytes = (int64_t)(memory - fixed);
        r->cached_experts = (int64_t)(slots < w->n_routed ? slots : w->n_routed);
    }
    return LLAMA4_OK;
}

/* ---- Speed ---- */

/* Bytes of keys and values that a token at the end of a sequence of `length` reads, when its chunk is full. */
static double kv_read(const plan *p, double length)
{
    const l4_config *c = &p->config;
    const double position = (double)l4_attention_layer_bytes(c->kv_heads, c->head_dim, l4_kv_slot(p->params->kv_type)) / L4_ATTENTION_BLOCK;
    double positions = 0;
    for (uint32_t i = 0; i < c->layers; i++)
        positions += c->layer[i].local && length > c->chunk ? c->chunk : length;
    return positions * position;
}

/* Which experts a token needs is taken for even odds: then the pool holds one with the share of all that it holds. Reading overlaps with the
 * shared expert of the same layer, and with nothing else. */
static void fill_decode(plan *p)
{
    llama4_plan_result *r = p->out;
    const l4_plan_weights *w = &p->weights;
    const double expert = w->n_routed ? (double)w->routed / (double)w->n_routed : 0, layers = w->n_routed ? (double)w->n_routed / p->config.experts : 0;
    const double share = w->n_routed ? (double)r->cached_experts / (double)w->n_routed : 1;
    const double missed = r->fits == LLAMA4_FITS_WHOLE ? 0 : layers * p->config.experts_used * expert * (1 - share);
    if (r->memory_rate <= 0 || (missed > 0 && r->disk_rate <= 0))
        return;
    double wait = missed > 0 ? missed / r->disk_rate - (double)w->shared / r->memory_rate : 0;
    double seconds = (double)w->token / r->memory_rate + (wait > 0 ? wait : 0);
    r->decode_rate = 1 / seconds;
    r->full_decode_rate = 1 / (seconds + kv_read(p, (double)r->context_length) / r->memory_rate);
}

/* A prompt of n tokens needs E (1 - (1 - k / E)^n) of E experts if each takes k with even odds. If not all are in memory, each of those is read once,
 * while the layer before computes. */
static void fill_prefill(plan *p)
{
    llama4_plan_result *r = p->out;
    const l4_plan_weights *w = &p->weights;
    const double n = (double)batch_size(p), part = p->config.experts ? (double)p->config.experts_used / p->config.experts : 0;
    const double needed = part >= 1 ? 1 : part > 0 ? 1 - l4_exp(n * l4_ln(1 - part)) : 0;
    const double read = r->fits == LLAMA4_FITS_WHOLE ? 0 : needed * (double)w->routed;
    if (r->compute_rate <= 0 || (read > 0 && r->disk_rate <= 0))
        return;
    double compute = 2 * (n * w->products + w->logits) / r->compute_rate, wait = read > 0 ? read / r->disk_rate : 0;
    r->prefill_rate = n / (compute > wait ? compute : wait);
}

static llama4_status fill_speed(plan *p, int threads, llama4_error *error)
{
    llama4_plan_result *r = p->out;
    l4_plan_rates rates = {p->params->memory_rate, p->params->compute_rate, p->params->disk_rate};
    if (p->params->flags & LLAMA4_PLAN_MEASURE) {
        llama4_status status = l4_plan_rates_measure(&p->allocator, p->weights.type, p->config.width, threads, p->archive, &rates, error);
        if (status)
            return status;
    }
    r->memory_rate = rates.memory;
    r->compute_rate = rates.compute;
    r->disk_rate = rates.disk;
    if (r->fits != LLAMA4_FITS_NOT) {
        fill_decode(p);
        fill_prefill(p);
    }
    return LLAMA4_OK;
}

/* ---- All together ---- */

static llama4_status fill(plan *p, const char *path, llama4_error *error)
{
    const llama4_plan_params *q = p->params;
    llama4_plan_result *r = p->out;
    llama4_status status = read_headers(p, path, error);
    if (status)
        return status;
    const int cores = l4_cpu_count(), threads = q->threads ? q->threads : cores < L4_MAX_THREADS ? cores : L4_MAX_THREADS;
    const uint64_t memory = q->memory_bytes ? (uint64_t)q->memory_bytes : l4_memory_budget_default();
    if (!memory)
        return l4_fail(error, LLAMA4_ERR_SYSTEM, "the system does not say how much memory there is; llama4_plan_params.memory_bytes can");
    r->memory_bytes = memory < INT64_MAX ? (int64_t)memory : INT64_MAX;
    r->context_length = q->context_length ? q->context_length : p->config.context_length < 8192 ? (int64_t)p->config.context_length : 8192;
    r->parameters = (int64_t)p->weights.parameters;
    r->active_parameters = (int64_t)p->weights.active_parameters;
    memcpy(r->name, p->config.name, sizeof r->name);
    snprintf(r->type, sizeof r->type, "%s", l4_type_find(p->weights.type)->name);
    status = fill_memory(p, threads, error);
    return status ? status : fill_speed(p, threads, error);
}

llama4_status l4_plan(const char *path, const llama4_plan_params *params, llama4_plan_result *out, llama4_error *error)
{
    llama4_plan_result result;
    plan *p;
    l4_allocator a;
    llama4_status status = l4_allocator_init(&a, params->allocate, params->release, params->allocator_user, error);
    if (status == LLAMA4_OK)
        status = l4_alloc_zero(&a, 1, sizeof *p, "a plan", &p, error);
    if (status)
        return status;
    memset(&result, 0, sizeof result);
    p->allocator = a;
    p->params = params;
    p->out = &result;
    p->name = path ? path : params->shape;
    status = fill(p, path, error);
    l4_gguf_close(p->gguf);
    l4_archive_clear(&p->safetensors);
    l4_free(&a, p);
    if (status == LLAMA4_OK)
        *out = result;
    return status;
}
