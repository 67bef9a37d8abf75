/* The loop prompt -> logits -> token -> text, over a context, a sampler and a detokenizer. */
#ifndef L4_FLOW_GENERATE_H
#define L4_FLOW_GENERATE_H

#include "run/context.h"
#include "sample/sampler.h"
#include "text/detokenizer.h"
#include "text/vocab.h"

/* vocab may be NULL. params is complete. See llama4_context_generate. */
llama4_status l4_generate(llama4_context *c, const l4_allocator *a, llama4_vocab *vocab, int32_t sequence, const int32_t *prompt, size_t n_prompt,
                          const llama4_generate_params *params, llama4_text_fn on_text, void *user, llama4_generate_result *result, llama4_error *error);

#endif
