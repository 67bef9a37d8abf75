/* llama4_context_generate and llama4_context_chat: argument checks, then flow/generate.c. */
#include "flow/generate.h"
#include "flow/model.h"

/* Checks what both calls have in common; *full is a complete copy of the caller's params. */
static llama4_status check(const llama4_context *context, int32_t sequence, const llama4_generate_params *params,
                           const llama4_generate_result *result, llama4_generate_params *full, llama4_error *error)
{
    if (!context)
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "context is NULL");
    if (l4_context_sequence_length(context, sequence) < 0)
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "sequence %d does not exist in this context", (int)sequence);
    llama4_status status = l4_read_struct(full, params, sizeof *full, sizeof *full, "llama4_generate_params", error);
    if (status)
        return status;
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
    llama4_generate_params full;
    llama4_status status = check(context, sequence, params, result, &full, error);
    if (status)
        return status;
    const llama4_model *model = l4_context_model(context);
    if (!model->vocab)
        return l4_fail(error, LLAMA4_ERR_NO_VOCABULARY, "the model has no vocabulary: a chat needs one");
    /* Asked for twice through the public function, which checks every message: first the number of ids, then the ids. */
    size_t count = 0;
    int32_t *prompt = NULL;
    status = llama4_chat_tokenize(model->vocab, messages, n_messages, stride, 0, NULL, 0, &count, error);
    if (status == LLAMA4_OK)
        status = l4_alloc(&model->allocator, count, sizeof *prompt, "the prompt", &prompt, error);
    if (status)
        return status;
    status = llama4_chat_tokenize(model->vocab, messages, n_messages, stride, 0, prompt, count, &count, error);
    if (status == LLAMA4_OK)
        status = l4_context_truncate(context, sequence, 0, error);
    if (status == LLAMA4_OK)
        status = run(context, sequence, prompt, count, &full, on_text, user, result, error);
    l4_free(&model->allocator, prompt);
    return status;
}
