/* llama4_chat_tokenize: argument checks, then text/chat.c, which checks each message as it comes to it. */
#include "flow/image.h"

static llama4_status missing(llama4_error *error, const char *name)
{
    return l4_fail(error, LLAMA4_ERR_ARGUMENT, "%s is NULL", name);
}

llama4_status llama4_chat_tokenize(const llama4_vocab *vocab, const llama4_message *messages, size_t n_messages, size_t stride,
                                   uint32_t flags, int32_t *tokens, size_t capacity, size_t *count, llama4_error *error)
{
    if (!vocab)
        return missing(error, "vocab");
    if (!messages && n_messages)
        return missing(error, "messages");
    if (!count)
        return missing(error, "count");
    if (!tokens && capacity)
        return missing(error, "tokens");
    if (flags & ~(LLAMA4_CHAT_NO_BOS | LLAMA4_CHAT_NO_HEADER))
        return l4_fail(error, LLAMA4_ERR_UNSUPPORTED, "llama4_chat_tokenize: flags 0x%x are unknown", (unsigned)flags);
    l4_image_shape shape = l4_vocab_image_shape(vocab);
    l4_tokens t = {l4_vocab_allocator(vocab), NULL, 0, 0};
    llama4_status status = l4_chat_encode(vocab, messages, n_messages, stride, flags, l4_image_layout_of, &shape, &t, error);
    if (status == LLAMA4_OK)
        status = l4_tokens_copy(&t, tokens, capacity, count, error);
    l4_tokens_clear(&t);
    return status;
}
