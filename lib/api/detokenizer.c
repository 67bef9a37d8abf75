/* The public functions of llama4_detokenizer: argument checks, then text/detokenizer.c. */
#include "text/detokenizer.h"

static llama4_status missing(llama4_error *error, const char *name)
{
    return l4_fail(error, LLAMA4_ERR_ARGUMENT, "%s is NULL", name);
}

llama4_status llama4_detokenizer_create(llama4_vocab *vocab, uint32_t flags, llama4_detokenizer **detokenizer,
                                        llama4_error *error)
{
    if (!vocab)
        return missing(error, "vocab");
    if (!detokenizer)
        return missing(error, "detokenizer");
    if (flags & ~LLAMA4_DETOKENIZE_SPECIAL)
        return l4_fail(error, LLAMA4_ERR_UNSUPPORTED, "llama4_detokenizer_create: flags 0x%x are unknown", (unsigned)flags);
    return l4_detokenizer_create(vocab, flags, detokenizer, error);
}

void llama4_detokenizer_release(llama4_detokenizer *detokenizer)
{
    l4_detokenizer_destroy(detokenizer);
}

llama4_status llama4_detokenizer_push(llama4_detokenizer *detokenizer, int32_t token, const char **text, size_t *length,
                                      llama4_error *error)
{
    if (!detokenizer)
        return missing(error, "detokenizer");
    if (!text)
        return missing(error, "text");
    if (!length)
        return missing(error, "length");
    return l4_detokenizer_push(detokenizer, token, text, length, error);
}

llama4_status llama4_detokenizer_finish(llama4_detokenizer *detokenizer, const char **text, size_t *length, llama4_error *error)
{
    if (!detokenizer)
        return missing(error, "detokenizer");
    if (!text)
        return missing(error, "text");
    if (!length)
        return missing(error, "length");
    return l4_detokenizer_finish(detokenizer, text, length, error);
}
