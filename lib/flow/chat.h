/* A conversation with pictures -> a prompt with embeddings -> an answer. */
#ifndef L4_FLOW_CHAT_H
#define L4_FLOW_CHAT_H

#include "flow/image.h"

/* See llama4_context_chat. params is complete; the model has a vocabulary, the sequence exists. */
llama4_status l4_chat(llama4_context *context, llama4_model *model, int32_t sequence, const llama4_message *messages, size_t n, size_t stride,
                      const llama4_generate_params *params, llama4_text_fn on_text, void *user, llama4_generate_result *result, llama4_error *error);

#endif
