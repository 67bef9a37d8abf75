/* llama4_context_generate and llama4_context_chat: argument checks, then flow/generate.c and flow/chat.c. */
#include <stddef.h>

#include "base/floats.h"
#include "flow/chat.h"
#include "flow/generate.h"

/* Checks what both calls have in common; *full is a complete copy of the caller's params. */
static llama4_status check(const llama4_context *context, int32_t sequence, const llama4_generate_params *params,
                           const llama4_generate_result *result, llama4_generate_params *full, llama4_error *error)
{
    if (!context)
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "context is NULL");
    if (l4_context_sequence_length(context, sequence) < 0)
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "sequence %d does not exist in this context", (int)sequence);
    const size_t first = offsetof(llama4_generate_params, embeddings);
    llama4_status status = l4_read_struct(full, params, first, sizeof *full, "llama4_generate_params", error);
    if (status)
        return status;
    if (!full->embeddings && full->n_embeddings)
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "llama4_generate_params: embeddings is NULL, but n_embeddings is not 0");
    if (full->n_embeddings > SIZE_MAX / sizeof(float))
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "llama4_generate_params: n_embeddings is out of range");
    if (full->flags & ~(LLAMA4_GENERATE_IGNORE_STOP | LLAMA4_GENERATE_SPECIAL_TEXT))
        return l4_fail(error, LLAMA4_ERR_UNSUPPORTED, "llama4_generate_params: flags 0x%x are unknown", (unsigned)full->flags);
    if (full->max_tokens < 0)
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "llama4_generate_params: max_tokens is negative");
    if (result)
        return l4_check_struct(result, result->struct_size, sizeof *result, result->struct_size, "llama4_generate_result", error);
    return LLAMA4_OK;
}

/* Runs with a result of our own, so that a caller's of another size is served too. */
static llama4_status run(llama4_context *context, int32_t sequence, const int32_t *prompt, size_t n_prompt,
                         const llama4_generate_params *params, llama4_text_fn on_text, void *user, llama4_generate_result *result,
                         llama4_error *error)
{
    const llama4_model *model = l4_context_model(context);
    llama4_generate_result full = {.struct_size = sizeof full};
    llama4_status status =
        l4_generate(context, &model->allocator, model->vocab, sequence, prompt, n_prompt, params, on_text, user, &full, error);
    if (status == LLAMA4_OK && result)
        status = l4_write_struct(result, &full, sizeof full, sizeof full, "llama4_generate_result", error);
    return status;
}

llama4_status llama4_context_generate(llama4_context *context, int32_t sequence, const int32_t *prompt, size_t n_prompt,
                                      const llama4_generate_params *params, llama4_text_fn on_text, void *user,
                                      llama4_generate_result *result, llama4_error *error)
{
    L4_OWN_FLOATS;
    llama4_generate_params full;
    llama4_status status = check(context, sequence, params, result, &full, error);
    if (status)
        return status;
    if (!prompt || n_prompt == 0)
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "the prompt is empty: at least one id is needed");
    return run(context, sequence, prompt, n_prompt, &full, on_text, user, result, error);
}

llama4_status llama4_context_chat(llama4_context *context, int32_t sequence, const llama4_message *messages, size_t n_messages,
                                  size_t stride, const llama4_generate_params *params, llama4_text_fn on_text, void *user,
                                  llama4_generate_result *result, llama4_error *error)
{
    L4_OWN_FLOATS;
    llama4_generate_params full;
    llama4_status status = check(context, sequence, params, result, &full, error);
    if (status)
        return status;
    llama4_model *model = l4_context_model(context);
    if (!model->vocab)
        return l4_fail(error, LLAMA4_ERR_NO_VOCABULARY, "the model has no vocabulary: a chat needs one");
    if (!messages && n_messages)
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "messages is NULL");
    if (full.embeddings)
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "llama4_generate_params: embeddings of a chat are parts of its messages");
    llama4_generate_result answer = {.struct_size = sizeof answer};
    status = l4_chat(context, model, sequence, messages, n_messages, stride, &full, on_text, user, &answer, error);
    if (status == LLAMA4_OK && result)
        status = l4_write_struct(result, &answer, sizeof answer, sizeof answer, "llama4_generate_result", error);
    return status;
}
