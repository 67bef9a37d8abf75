/* The public functions of llama4_vocab: argument checks, then lib/text. */
#include <string.h>

#include "base/floats.h"
#include "text/vocab.h"

static llama4_status missing(llama4_error *error, const char *name)
{
    return l4_fail(error, LLAMA4_ERR_ARGUMENT, "%s is NULL", name);
}

static llama4_status report(const llama4_model_params *p, float fraction, llama4_error *error)
{
    if (p->progress && p->progress(p->progress_user, fraction))
        return l4_fail(error, LLAMA4_ERR_CANCELLED, "opening the vocabulary was cancelled");
    return LLAMA4_OK;
}

llama4_status llama4_vocab_open(const char *path, const llama4_model_params *params, llama4_vocab **vocab, llama4_error *error)
{
    L4_OWN_FLOATS;
    llama4_model_params p;
    l4_allocator a;
    llama4_vocab *v = NULL;
    if (!path)
        return missing(error, "path");
    if (!vocab)
        return missing(error, "vocab");
    llama4_status status = l4_read_struct(&p, params, offsetof(llama4_model_params, vision_path), sizeof p, "llama4_model_params", error);
    if (status == LLAMA4_OK)
        status = l4_allocator_init(&a, p.allocate, p.release, p.allocator_user, error);
    if (status)
        return status;
    const l4_log log = {p.log, p.log_user};
    status = report(&p, 0.0f, error);
    if (status == LLAMA4_OK)
        status = l4_vocab_from_path(&a, &log, path, &v, error);
    if (status == LLAMA4_OK)
        status = report(&p, 1.0f, error);
    if (status) {
        l4_vocab_release(v);
        return status;
    }
    *vocab = v;
    return LLAMA4_OK;
}

llama4_vocab *llama4_vocab_ref(llama4_vocab *vocab)
{
    if (vocab)
        l4_vocab_ref(vocab);
    return vocab;
}

void llama4_vocab_release(llama4_vocab *vocab)
{
    l4_vocab_release(vocab);
}

int32_t llama4_vocab_get_size(const llama4_vocab *vocab)
{
    return vocab ? l4_vocab_size(vocab) : 0;
}

int32_t llama4_vocab_find(const llama4_vocab *vocab, const char *bytes, size_t length)
{
    return vocab && bytes ? l4_vocab_find(vocab, bytes, length) : -1;
}

uint32_t llama4_vocab_token_flags(const llama4_vocab *vocab, int32_t token)
{
    return vocab ? l4_vocab_flags(vocab, token) : 0;
}

static llama4_status check_token(const llama4_vocab *v, int32_t token, llama4_error *error)
{
    if (token >= 0 && token < l4_vocab_size(v))
        return LLAMA4_OK;
    return l4_fail(error, LLAMA4_ERR_ARGUMENT, "token id %d is out of range: the vocabulary has %d", (int)token,
                   (int)l4_vocab_size(v));
}

/* What all functions that fill an array have in common; zero or a fault. */
static llama4_status check_output(const void *out, size_t capacity, const size_t *count, const char *name, llama4_error *error)
{
    if (!count)
        return missing(error, "count");
    return !out && capacity ? missing(error, name) : LLAMA4_OK;
}

llama4_status llama4_vocab_token_bytes(const llama4_vocab *vocab, int32_t token, char *bytes, size_t capacity, size_t *count,
                                       llama4_error *error)
{
    if (!vocab)
        return missing(error, "vocab");
    llama4_status status = check_output(bytes, capacity, count, "bytes", error);
    if (status == LLAMA4_OK)
        status = check_token(vocab, token, error);
    if (status)
        return status;
    size_t n;
    const uint8_t *data = l4_vocab_bytes(vocab, token, &n);
    *count = n;
    if (capacity == 0)
        return LLAMA4_OK;
    if (capacity < n)
        return l4_fail(error, LLAMA4_ERR_CAPACITY, "token %d has %zu bytes, which do not fit into %zu", (int)token, n, capacity);
    memcpy(bytes, data, n);
    return LLAMA4_OK;
}

llama4_status llama4_vocab_tokenize(const llama4_vocab *vocab, const char *text, size_t length, uint32_t flags, int32_t *tokens,
                                    size_t capacity, size_t *count, llama4_error *error)
{
    if (!vocab)
        return missing(error, "vocab");
    if (!text && length)
        return missing(error, "text");
    llama4_status status = check_output(tokens, capacity, count, "tokens", error);
    if (status)
        return status;
    if (flags & ~(LLAMA4_TOKENIZE_BOS | LLAMA4_TOKENIZE_SPECIAL))
        return l4_fail(error, LLAMA4_ERR_UNSUPPORTED, "llama4_vocab_tokenize: flags 0x%x are unknown", (unsigned)flags);
    l4_tokens t = {l4_vocab_allocator(vocab), NULL, 0, 0};
    status = l4_vocab_encode(vocab, text, length, flags, &t, error);
    if (status == LLAMA4_OK)
        status = l4_tokens_copy(&t, tokens, capacity, count, error);
    l4_tokens_clear(&t);
    return status;
}

llama4_status llama4_vocab_detokenize(const llama4_vocab *vocab, const int32_t *tokens, size_t n_tokens, uint32_t flags,
                                      char *text, size_t capacity, size_t *count, llama4_error *error)
{
    if (!vocab)
        return missing(error, "vocab");
    if (!tokens && n_tokens)
        return missing(error, "tokens");
    llama4_status status = check_output(text, capacity, count, "text", error);
    if (status)
        return status;
    if (flags & ~LLAMA4_DETOKENIZE_SPECIAL)
        return l4_fail(error, LLAMA4_ERR_UNSUPPORTED, "llama4_vocab_detokenize: flags 0x%x are unknown", (unsigned)flags);
    size_t total = 0, n;
    for (size_t i = 0; i < n_tokens; i++) {
        status = check_token(vocab, tokens[i], error);
        if (status)
            return status;
        l4_vocab_text(vocab, tokens[i], flags, &n);
        if (n > SIZE_MAX - total)
            return l4_fail(error, LLAMA4_ERR_ARGUMENT, "n_tokens is %zu: the text would not fit into memory", n_tokens);
        total += n;
    }
    *count = total;
    if (capacity == 0)
        return LLAMA4_OK;
    if (capacity < total)
        return l4_fail(error, LLAMA4_ERR_CAPACITY, "%zu bytes of text do not fit into %zu", total, capacity);
    for (size_t i = 0; i < n_tokens; i++) {
        const uint8_t *data = l4_vocab_text(vocab, tokens[i], flags, &n);
        if (n)
            memcpy(text, data, n);
        text += n;
    }
    return LLAMA4_OK;
}
