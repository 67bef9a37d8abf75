/* The vocabulary inside a GGUF file: tokenizer.ggml.* keys come in, a vocabulary goes out. */
#include "text/vocab_internal.h"

#define SOURCE "the file's vocabulary" /* a GGUF handle does not know its path; its opener does */

/* tokenizer.ggml.token_type */
enum { TYPE_UNDEFINED, TYPE_NORMAL, TYPE_UNKNOWN, TYPE_CONTROL, TYPE_USER, TYPE_UNUSED, TYPE_BYTE };

static llama4_status check_model(const l4_gguf *g, const l4_log *log, llama4_error *error)
{
    static const char *const known[] = {"llama4", "gpt-4o", "gpt4o", "o200k", "o200k_base"};
    const char *text = "";
    size_t n = 0;
    llama4_status status = l4_gguf_get_string(g, "tokenizer.ggml.model", 0, &text, &n, error);
    if (status)
        return status;
    if ((n == 0 && !l4_gguf_find(g, "tokenizer.ggml.tokens")) || (n == 4 && memcmp(text, "none", 4) == 0) ||
        (n == 8 && memcmp(text, "no_vocab", 8) == 0))
        return l4_fail(error, LLAMA4_ERR_NO_VOCABULARY, "the file carries no vocabulary");
    if (n == 0)
        return l4_fail(error, LLAMA4_ERR_FORMAT, "the file has tokenizer.ggml.tokens but no tokenizer.ggml.model");
    if (n != 4 || memcmp(text, "gpt2", 4))
        return l4_fail(error, LLAMA4_ERR_UNSUPPORTED, "tokenizer.ggml.model is \"%.*s\"; only \"gpt2\" is supported",
                       (int)(n < 64 ? n : 64), text);
    n = 0;
    status = l4_gguf_get_string(g, "tokenizer.ggml.pre", 0, &text, &n, error);
    if (status || n == 0)
        return status;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (n == strlen(known[i]) && memcmp(text, known[i], n) == 0)
            return LLAMA4_OK;
    l4_say(log, LLAMA4_LOG_WARNING,
           "tokenizer.ggml.pre is \"%.*s\"; text will be split as Llama 4 does, which may not be what the model learned",
           (int)(n < 64 ? n : 64), text);
    return LLAMA4_OK;
}

/* An array key of strings or of integers; absent: NULL in *out. */
static llama4_status find_array(const l4_gguf *g, const char *name, int strings, const l4_gguf_key **out, llama4_error *error)
{
    const l4_gguf_key *key = l4_gguf_find(g, name);
    *out = key;
    if (!key)
        return LLAMA4_OK;
    uint32_t t = key->element_type;
    int fits = strings ? t == L4_GGUF_STRING : t != L4_GGUF_STRING && t != L4_GGUF_F32 && t != L4_GGUF_F64 && t != L4_GGUF_BOOL;
    if (key->type != L4_GGUF_ARRAY || !fits)
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%s is not an array of %s", name, strings ? "strings" : "integers");
    return LLAMA4_OK;
}

static llama4_status read_tokens(l4_builder *b, const l4_gguf_key *tokens, const l4_gguf_key *types, llama4_error *error)
{
    l4_reader r = l4_gguf_strings(tokens);
    for (uint64_t i = 0; i < tokens->count; i++) {
        size_t n;
        const char *text = l4_gguf_next_string(&r, &n);
        if (!text)
            return l4_fail(error, LLAMA4_ERR_FORMAT, "tokenizer.ggml.tokens ends early");
        int64_t type = TYPE_NORMAL;
        int kind;
        if (types)
            type = l4_gguf_array_i64(types, i);
        else if (n > 4 && memcmp(text, "<|", 2) == 0 && memcmp(text + n - 2, "|>", 2) == 0)
            type = TYPE_CONTROL;
        switch (type) {
        case TYPE_NORMAL:
            kind = L4_ENTRY_ENCODED;
            break;
        case TYPE_CONTROL:
            kind = L4_ENTRY_SPECIAL;
            break;
        case TYPE_USER:
            kind = L4_ENTRY_USER;
            break;
        case TYPE_UNDEFINED:
        case TYPE_UNKNOWN:
        case TYPE_UNUSED:
            kind = L4_ENTRY_UNUSED;
            break;
        default:
            return l4_fail(error, LLAMA4_ERR_FORMAT, "tokenizer.ggml.token_type: token %llu has type %lld", (unsigned long long)i,
                           (long long)type);
        }
        llama4_status status = l4_builder_add(b, i > INT32_MAX ? INT32_MAX : (int64_t)i, text, n, kind, error);
        if (status)
            return status;
    }
    return LLAMA4_OK;
}

static llama4_status read_merges(llama4_vocab *v, const l4_gguf_key *merges, llama4_error *error)
{
    if (!merges || !l4_merges_rule(v, merges->count))
        return LLAMA4_OK;
    llama4_status status = l4_merges_init(v, merges->count, error);
    l4_reader r = l4_gguf_strings(merges);
    for (uint64_t i = 0; i < merges->count && status == LLAMA4_OK; i++) {
        size_t n;
        const char *line = l4_gguf_next_string(&r, &n);
        if (!line)
            return l4_fail(error, LLAMA4_ERR_FORMAT, "tokenizer.ggml.merges ends early");
        status = l4_merges_add_line(v, SOURCE, line, n, error);
    }
    return status;
}

static llama4_status read_rest(llama4_vocab *v, const l4_gguf *g, llama4_error *error)
{
    const char *text = NULL;
    size_t n = 0;
    int64_t bos = -1, eos = -1;
    llama4_status status = l4_gguf_get_string(g, "tokenizer.chat_template", 0, &text, &n, error);
    if (status == LLAMA4_OK && text) {
        status = l4_copy_string(&v->allocator, text, n, &v->chat_template, error);
        v->template_length = n;
    }
    if (status == LLAMA4_OK)
        status = l4_gguf_get_i64(g, "tokenizer.ggml.bos_token_id", 0, 0, v->size - 1, &bos, error);
    if (status == LLAMA4_OK)
        status = l4_gguf_get_i64(g, "tokenizer.ggml.eos_token_id", 0, 0, v->size - 1, &eos, error);
    if (v->known.begin_of_text < 0)
        v->known.begin_of_text = (int32_t)bos;
    v->eos = (int32_t)eos;
    return status;
}

llama4_status l4_vocab_from_gguf(const l4_allocator *a, const l4_log *log, const l4_gguf *g, llama4_vocab **out,
                                 llama4_error *error)
{
    const l4_gguf_key *tokens, *types, *merges;
    llama4_status status = check_model(g, log, error);
    if (status == LLAMA4_OK)
        status = find_array(g, "tokenizer.ggml.tokens", 1, &tokens, error);
    if (status == LLAMA4_OK)
        status = find_array(g, "tokenizer.ggml.token_type", 0, &types, error);
    if (status == LLAMA4_OK)
        status = find_array(g, "tokenizer.ggml.merges", 1, &merges, error);
    if (status)
        return status;
    if (!tokens)
        return l4_fail(error, LLAMA4_ERR_FORMAT, "the file has tokenizer.ggml.model but no tokenizer.ggml.tokens");
    if (types && types->count != tokens->count)
        return l4_fail(error, LLAMA4_ERR_FORMAT, "tokenizer.ggml.token_type has %llu elements, tokenizer.ggml.tokens %llu",
                       (unsigned long long)types->count, (unsigned long long)tokens->count);
    l4_builder b;
    llama4_vocab *v = NULL;
    l4_builder_init(&b, a, log, SOURCE, tokens->size);
    status = read_tokens(&b, tokens, types, error);
    if (status == LLAMA4_OK)
        status = l4_builder_finish(&b, &v, error);
    l4_builder_clear(&b);
    if (status == LLAMA4_OK)
        status = read_merges(v, merges, error);
    if (status == LLAMA4_OK)
        status = read_rest(v, g, error);
    if (status) {
        l4_vocab_release(v);
        return status;
    }
    *out = v;
    return LLAMA4_OK;
}
