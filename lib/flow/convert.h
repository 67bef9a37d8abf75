/* Writing the text part of a model as one GGUF file. */
#ifndef L4_FLOW_CONVERT_H
#define L4_FLOW_CONVERT_H

#include "flow/model.h"
#include "format/gguf_write.h"

/* See llama4_convert. params is complete; paths are not NULL. */
llama4_status l4_convert(const char *in_path, const char *out_path, const llama4_convert_params *params, llama4_error *error);

/* What the tensors that will be written are, for the keys that tell of it. */
typedef struct l4_convert_summary {
    uint32_t type;            /* GGUF number that most weights have */
    uint64_t shared, experts; /* weights outside of routed experts, and of one routed expert over all layers */
} l4_convert_summary;

/* Puts all keys: convert_keys.c. */
llama4_status l4_convert_put_keys(const llama4_model *m, const l4_convert_summary *summary, l4_gguf_builder *b, llama4_error *error);

#endif
