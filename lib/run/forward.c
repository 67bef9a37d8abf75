#include "run/forward.h"

#include <string.h>

#include "model/disk.h"
#include "nn/ffn.h"
#include "nn/norm.h"
#include "nn/rope.h"

typedef struct job {
    const l4_forward *f;
    const l4_token *tokens;
    uint32_t layer;
    const uint8_t *rows; /* of the embedding, if that is not in memory: of token t number row[t] */
    const uint32_t *row;
} job;

/* Has the embedding's rows read, into memory that the first layer has no use for yet. */
static llama4_status read_rows(job *j, size_t n, llama4_error *error)
{
    const l4_forward *f = j->f;
    const l4_matrix *m = &f->weights->embedding;
    const uint8_t **places = (const uint8_t **)(void *)f->buffers.y; /* [n][width] floats */
    uint8_t *rows = (uint8_t *)f->buffers.moe.gathered;              /* likewise; no number takes more than a float */
    size_t count = 0;
    for (size_t t = 0; t < n; t++) {
        f->buffers.moe.order[t] = (uint32_t)count;
        if (!j->tokens[t].embedding)
            places[count++] = m->data + (size_t)j->tokens[t].id * m->stride;
    }
    j->rows = rows;
    j->row = f->buffers.moe.order;
    return l4_disk_gather(f->weights->disk, places, count, (size_t)m->stride, rows, f->cancel, error);
}

/* Rows of the embedding, and what depends on the position alone: angles and temperatures. */
static void embed_task(void *argument, size_t begin, size_t end, int worker)
{
    const job *j = argument;
    const l4_forward *f = j->f;
    const l4_weights *w = f->weights;
    const l4_config *c = &w->config;
    const size_t half = c->head_dim / 2;
    (void)worker;
    for (size_t t = begin; t < end; t++) {
        const l4_token *token = &j->tokens[t];
        const uint8_t *row = j->rows ? j->rows + j->row[t] * w->embedding.stride : w->embedding.data + (size_t)token->id * w->embedding.stride;
        if (token->embedding)
            memcpy(f->buffers.x + t * c->width, token->embedding, c->width * sizeof(float));
        else
            f->exec.kernels->decode[w->embedding.type](row, c->width, f->buffers.x + t * c->width);
        l4_rope_angles(token->position, w->rope_freq, half, f->buffers.cosine + t * half, f->buffers.sine + t * half);
        f->buffers.temperature[t] = c->temperature_scale != 0 ? l4_attention_temperature(token->position, c->temperature_scale, c->temperature_length) : 1.0f;
    }
}

/* Between the projections and attention: rotation, QK norm, temperature, and the way into the cache. */
static void position_task(void *argument, size_t begin, size_t end, int worker)
{
    const job *j = argument;
    const l4_forward *f = j->f;
    const l4_config *c = &f->weights->config;
    const l4_kernels *kernels = f->exec.kernels;
    const size_t d = c->head_dim, half = d / 2;
    const int rope = c->layer[j->layer].rope;
    (void)worker;
    for (size_t t = begin; t < end; t++) {
        float *q = f->buffers.q + t * c->heads * d, *k = f->buffers.k + t * c->kv_heads * d, *v = f->buffers.v + t * c->kv_heads * d;
        if (rope) {
            l4_rope_rotate(q, c->heads, half, f->buffers.cosine + t * half, f->buffers.sine + t * half);
            l4_rope_rotate(k, c->kv_heads, half, f->buffers.cosine + t * half, f->buffers.sine + t * half);
        }
        if (rope && c->qk_norm) {
            for (size_t h = 0; h < c->heads; h++)
                l4_rms_norm(kernels, q + h * d, NULL, c->norm_epsilon, q + h * d, d);
            for (size_t h = 0; h < c->kv_heads; h++)
                l4_rms_norm(kernels, k + h * d, NULL, c->norm_epsilon, k + h * d, d);
        }
        if (!rope && f->buffers.temperature[t] != 1.0f)
            kernels->scale(q, f->buffers.temperature[t], NULL, q, c->heads * d);
        const l4_sequence *s = &f->kv->sequences[j->tokens[t].sequence];
        uint64_t at = j->tokens[t].position - l4_kv_base(f->kv, s, j->layer);
        uint8_t *page = l4_kv_pages(f->kv, s, j->layer)->pages[at / L4_ATTENTION_BLOCK] + f->kv->layer_offset[j->layer];
        l4_attention_store(kernels, page, c->kv_heads, d, f->kv->slot, at % L4_ATTENTION_BLOCK, k, v);
    }
}

/* Neighbours of one sequence share the reading of keys and values, a few at a time. */
static size_t attention_runs(const l4_forward *f, const l4_token *tokens, size_t n, uint32_t layer)
{
    size_t runs = 0;
    for (size_t t = 0; t < n; t++) {
        l4_attention_run *last = runs ? &f->buffers.runs[runs - 1] : NULL;
        if (last && last->tokens < L4_ATTENTION_TOKENS && tokens[t].sequence == tokens[t - 1].sequence) {
            last->tokens++;
            continue;
        }
        const l4_sequence *s = &f->kv->sequences[tokens[t].sequence];
        f->buffers.runs[runs++] = (l4_attention_run){
            .first = t,
            .tokens = 1,
            .keys = tokens[t].position - l4_kv_base(f->kv, s, layer) + 1,
            .pages = (const uint8_t *const *)l4_kv_pages(f->kv, s, layer)->pages,
        };
    }
    return runs;
}

static void attention_block(l4_forward *f, const l4_token *tokens, size_t n, uint32_t layer)
{
    const l4_config *c = &f->weights->config;
    const l4_layer *l = &f->weights->layers[layer];
    l4_buffers *b = &f->buffers;
    const size_t q_width = (size_t)c->heads * c->head_dim, kv_width = (size_t)c->kv_heads * c->head_dim;
    l4_rms_norm_rows(&f->exec, b->x, l->attn_norm, c->norm_epsilon, b->norm, n, c->width);
    const l4_product qkv[] = {
        {&l->q, b->norm, c->width, n, b->q, q_width, NULL},
        {&l->k, b->norm, c->width, n, b->k, kv_width, NULL},
        {&l->v, b->norm, c->width, n, b->v, kv_width, NULL},
    };
    l4_linear(&f->exec, qkv, 3);
    job j = {.f = f, .tokens = tokens, .layer = layer};
    l4_pool_run(f->exec.pool, position_task, &j, n, l4_grain(&f->exec, n, 4.0 * (double)n * (double)(q_width + kv_width)));
    const l4_attention_args args = {
        .runs = b->runs, .n_runs = attention_runs(f, tokens, n, layer), .q = b->q, .out = b->out, .heads = c->heads,
        .kv_heads = c->kv_heads, .d = c->head_dim, .layer_offset = f->kv->layer_offset[layer], .kv_slot = f->kv->slot,
    };
    l4_attention(&f->exec, &args);
    const l4_product o = {&l->o, b->out, q_width, n, b->y, c->width, NULL};
    l4_linear(&f->exec, &o, 1);
    l4_add(&f->exec, b->x, b->y, n * c->width);
}

static llama4_status feed_forward_block(l4_forward *f, size_t n, uint32_t layer, llama4_error *error)
{
    llama4_status status = LLAMA4_OK;
    const l4_config *c = &f->weights->config;
    const l4_layer *l = &f->weights->layers[layer];
    l4_buffers *b = &f->buffers;
    l4_rms_norm_rows(&f->exec, b->x, l->ffn_norm, c->norm_epsilon, b->norm, n, c->width);
    if (c->layer[layer].moe) {
        const l4_guess guess = l4_moe_guess(&f->exec, f->weights, layer, b->x, n, &b->moe);
        status = l4_moe(&f->exec, f->weights, layer, b->norm, n, &b->moe, b->y, &guess, f->cancel, error);
    } else
        l4_ffn_dense(&f->exec, &l->ffn, b->norm, n, b->hidden, b->y);
    if (status == LLAMA4_OK)
        l4_add(&f->exec, b->x, b->y, n * c->width);
    return status;
}

llama4_status l4_forward_run(l4_forward *f, const l4_token *tokens, size_t n, llama4_error *error)
{
    const l4_config *c = &f->weights->config;
    job j = {.f = f, .tokens = tokens};
    f->guess.n = 0;
    f->buffers.moe.guess = &f->guess;
    llama4_status status = f->weights->disk ? read_rows(&j, n, error) : LLAMA4_OK;
    if (status)
        return status;
    l4_pool_run(f->exec.pool, embed_task, &j, n, l4_grain(&f->exec, n, 20.0 * (double)n * c->head_dim));
    for (uint32_t layer = 0; layer < c->layers; layer++) {
        attention_block(f, tokens, n, layer);
        status = feed_forward_block(f, n, layer, error);
        if (status)
            return status;
        double done = f->progress_start + f->progress_share * (layer + 1) / c->layers;
        if (atomic_load_explicit(f->cancel, memory_order_relaxed) || (f->progress && f->progress(f->progress_user, (float)done)))
            return l4_fail(error, LLAMA4_ERR_CANCELLED, "cancelled in layer %u of %u", (unsigned)layer + 1, (unsigned)c->layers);
    }
    return LLAMA4_OK;
}
