/* The shape of a Llama 4 text model, from GGUF keys or from config.json; checked, so that later code may trust it. */
#ifndef L4_MODEL_CONFIG_H
#define L4_MODEL_CONFIG_H

#include "base/alloc.h"
#include "format/gguf.h"

#define L4_MAX_LAYERS 1024
#define L4_MAX_HEAD 1024 /* numbers of a head */

typedef struct l4_layer_config {
    uint8_t moe;   /* routed experts and a shared one; otherwise a dense feed-forward */
    uint8_t rope;  /* rotary positions */
    uint8_t local; /* attention stays inside the chunk */
} l4_layer_config;

typedef struct l4_config {
    uint32_t layers, width;             /* width: of the residual stream (embedding_length) */
    uint32_t heads, kv_heads, head_dim; /* heads is a multiple of kv_heads; head_dim is even */
    uint32_t dense_ff, expert_ff;       /* hidden widths; 0 where no layer has one */
    uint32_t experts, experts_used;     /* 0 in a dense model */
    uint32_t vocab;                     /* rows of embedding and output; 0 until the tensors say it */
    uint32_t chunk;                     /* 0: local layers do not exist */
    uint32_t nope_interval;             /* as llama4.attention.nope_interval; meaningful when nope_regular */
    uint32_t moe_step;                  /* as llama4.interleave_moe_layer_step; meaningful when moe_regular */
    uint8_t nope_regular, moe_regular;  /* layer[] follows the two numbers above */
    uint8_t qk_norm;
    uint8_t tied;                       /* HF: no output matrix expected */
    float norm_epsilon;
    float rope_base;
    float rope_scaling[4];              /* llama3 scaling: factor (1: none), low, high, original length */
    float temperature_scale;            /* 0: off */
    uint32_t temperature_length;
    uint64_t context_length;
    int32_t stored_type;                /* HF: LLAMA4_TYPE_ value that most tensors should have; -1: not said */
    char name[96];
    l4_layer_config layer[L4_MAX_LAYERS];
} l4_config;

llama4_status l4_config_from_gguf(const l4_gguf *g, const l4_log *log, l4_config *out, llama4_error *error);
llama4_status l4_config_from_json(const l4_allocator *a, const void *data, size_t size, const char *name, l4_config *out, llama4_error *error);

/* A model of the family by name: "scout", "maverick" or "behemoth" (case-insensitive). Returns 1; 2 if most of its numbers are only guessed from
 * published totals; 0 for other names. */
int l4_config_from_shape(const char *shape, l4_config *out);

/* Range checks common to both, and the derived fields. */
llama4_status l4_config_check(l4_config *c, const char *name, llama4_error *error);

#endif
