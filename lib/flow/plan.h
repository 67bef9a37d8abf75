/* What a model will need, from headers alone. Reading order: plan.c, plan_weights.c for sizes, plan_rates.c for speed. */
#ifndef L4_FLOW_PLAN_H
#define L4_FLOW_PLAN_H

#include "flow/convert_types.h"
#include "format/archive.h"
#include "model/config.h"

/* Where sizes of tensors are to be found, and what is to be assumed of tensors that are in files that are not there. */
typedef struct l4_plan_source {
    const l4_config *config;
    const l4_archive *archive; /* or NULL: there are no files */
    const char *name;          /* for messages */
    int huggingface;           /* which names tensors have */
    int complete;              /* every file is there: a tensor that is not found is missing */
    uint64_t vocab;            /* rows of the embedding if that is not found; 0: unknown */
    l4_type_plan types;        /* of tensors that are not found; .given: 0: like their neighbours */
    int six_bit_output;        /* types were a quantiser's that gives the output Q6_K */
} l4_plan_source;

/* Sums over the text part. "In memory" is as the model keeps them: panels padded to whole sixteen rows, norms as float32, rows of the
 * embedding not at all, because those are read from the file. */
typedef struct l4_plan_weights {
    uint64_t stored;          /* bytes in the files */
    uint64_t estimated;       /* of those, of tensors that were not found */
    uint64_t resident;        /* in memory: all but routed experts */
    uint64_t routed;          /* in memory: all routed experts */
    uint64_t n_routed;        /* how many: of all layers together */
    uint64_t largest_routed;  /* in memory: one expert of the layer that has the largest */
    uint64_t embedding;       /* in the mapped file */
    uint64_t token;           /* bytes that one token's products read */
    uint64_t shared;          /* of those, of shared experts */
    uint64_t parameters, active_parameters;
    double products, logits;  /* multiply-adds for one token; and for its logits besides */
    uint64_t vocab;
    uint32_t type;            /* that most stored bytes have */
} l4_plan_weights;

llama4_status l4_plan_weights_find(const l4_plan_source *source, l4_plan_weights *out, llama4_error *error);

/* Bytes per second of weights in one token's products, operations per second of a prompt's (a multiplication and an addition are two), bytes
 * per second read from the disk; 0: unknown. */
typedef struct l4_plan_rates {
    double memory, compute, disk;
} l4_plan_rates;

/* Measures those that are 0, in about a second and a half: products with a matrix of this type and so many columns, and reads past the system's
 * cache of the largest of the files, if there are any. What cannot be measured stays 0. */
llama4_status l4_plan_rates_measure(const l4_allocator *a, uint32_t type, uint32_t cols, int threads, const l4_archive *files, l4_plan_rates *rates,
                                    llama4_error *error);

/* path or params->shape is NULL; params are complete. */
llama4_status l4_plan(const char *path, const llama4_plan_params *params, llama4_plan_result *out, llama4_error *error);

#endif
