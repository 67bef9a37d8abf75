/* Prompt ids come in; tokens and their text go out through a callback: decode (run/), sample (sample/), detokenise (text/), again
 * and again.
 *
 * A token is reported first and appended by the next round's decode. So at every moment the sequence holds the prompt and all
 * reported tokens but the last, and a decode that fails changes nothing: that state is what a failure leaves as well. */
#include "flow/generate.h"

#include "base/file.h"

typedef struct loop {
    llama4_context *context;
    const llama4_generate_params *params;
    llama4_vocab *vocab;             /* or NULL */
    llama4_detokenizer *detokenizer; /* or NULL: nobody asked for text */
    llama4_text_fn on_text;          /* or NULL */
    void *user;
    int32_t sequence;
} loop;

static llama4_status decode_prompt(const loop *l, const l4_allocator *a, const int32_t *prompt, size_t n, llama4_error *error)
{
    llama4_batch_item *items;
    llama4_status status = l4_alloc(a, n, sizeof *items, "the prompt's batch", &items, error);
    if (status)
        return status;
    for (size_t i = 0; i < n; i++)
        items[i] = (llama4_batch_item){.token = prompt[i], .sequence = l->sequence, .position = -1, .logits = i + 1 == n};
    status = l4_context_decode(l->context, items, n, sizeof *items, l->params->embeddings, (size_t)l->params->n_embeddings, error);
    l4_free(a, items);
    return status;
}

static llama4_status decode_token(const loop *l, int32_t token, llama4_error *error)
{
    llama4_batch_item item = {.token = token, .sequence = l->sequence, .position = -1, .logits = 1};
    return l4_context_decode(l->context, &item, 1, sizeof item, NULL, 0, error);
}

/* Draws a token from the logits of item `item` of the last decode and finds its text. */
static llama4_status next_token(const loop *l, size_t item, int32_t *token, const char **text, size_t *length,
                                llama4_error *error)
{
    const float *logits;
    size_t n;
    llama4_status status = l4_context_logits(l->context, item, &logits, &n, error);
    if (status == LLAMA4_OK)
        status = l->params->sampler ? l4_sampler_sample(l->params->sampler, logits, n, token, error)
                                    : l4_sample_greedy(logits, n, token, error);
    *text = "";
    *length = 0;
    if (status == LLAMA4_OK && l->detokenizer)
        status = l4_detokenizer_push(l->detokenizer, *token, text, length, error);
    return status;
}

static int is_stop(const loop *l, int32_t token)
{
    return l->vocab && !(l->params->flags & LLAMA4_GENERATE_IGNORE_STOP) &&
           (l4_vocab_flags(l->vocab, token) & LLAMA4_TOKEN_STOP);
}

/* Reports a token; returns a LLAMA4_STOPPED_ value if it was the last, else 0. */
static int32_t report(const loop *l, int32_t token, const char *text, size_t length, int64_t generated)
{
    int32_t enough = l->on_text ? l->on_text(l->user, token, text, length) : 0;
    if (is_stop(l, token))
        return LLAMA4_STOPPED_TOKEN;
    if (enough)
        return LLAMA4_STOPPED_CALLBACK;
    if (l->params->max_tokens > 0 && generated >= l->params->max_tokens)
        return LLAMA4_STOPPED_LIMIT;
    if (l4_context_sequence_length(l->context, l->sequence) >= l4_context_length(l->context))
        return LLAMA4_STOPPED_CONTEXT;
    return 0;
}

/* The rounds. On failure the sequence is brought back to the state that the comment at the top describes; when nothing was
 * reported, to its first `before` positions. Both lengths are lost only if a prompt crossed a chunk's end: then the prompt stays.
 */
static llama4_status run(const loop *l, const l4_allocator *a, const int32_t *prompt, size_t n_prompt, llama4_generate_result *r,
                         llama4_error *error)
{
    int64_t before = l4_context_sequence_length(l->context, l->sequence);
    double start = l4_clock(), first = 0.0;
    size_t item = n_prompt - 1;
    llama4_status status = decode_prompt(l, a, prompt, n_prompt, error);
    while (status == LLAMA4_OK && r->stopped == 0) {
        int32_t token;
        const char *text;
        size_t length;
        status = next_token(l, item, &token, &text, &length, error);
        if (status) {
            int64_t keep = r->generated_tokens ? l4_context_sequence_length(l->context, l->sequence) - 1 : before;
            l4_context_truncate(l->context, l->sequence, keep, NULL);
            break;
        }
        r->last_token = token;
        if (r->generated_tokens++ == 0)
            first = l4_clock();
        r->stopped = report(l, token, text, length, r->generated_tokens);
        item = 0;
        if (r->stopped == 0)
            status = decode_token(l, token, error);
    }
    r->prompt_tokens = (int64_t)n_prompt;
    r->prompt_seconds = first - start;
    r->generate_seconds = l4_clock() - first;
    return status;
}

/* Text that waited for the rest of a code point. */
static llama4_status flush(const loop *l, llama4_error *error)
{
    const char *text;
    size_t length;
    if (!l->detokenizer)
        return LLAMA4_OK;
    llama4_status status = l4_detokenizer_finish(l->detokenizer, &text, &length, error);
    if (status == LLAMA4_OK && length > 0)
        l->on_text(l->user, -1, text, length);
    return status;
}

llama4_status l4_generate(llama4_context *c, const l4_allocator *a, llama4_vocab *vocab, int32_t sequence, const int32_t *prompt,
                          size_t n_prompt, const llama4_generate_params *params, llama4_text_fn on_text, void *user,
                          llama4_generate_result *result, llama4_error *error)
{
    loop l = {c, params, vocab, NULL, on_text, user, sequence};
    llama4_generate_result r = {.struct_size = sizeof r, .last_token = -1};
    if (vocab && on_text) {
        uint32_t flags = params->flags & LLAMA4_GENERATE_SPECIAL_TEXT ? LLAMA4_DETOKENIZE_SPECIAL : 0;
        llama4_status status = l4_detokenizer_create(vocab, flags, &l.detokenizer, error);
        if (status)
            return status;
    }
    llama4_status status = run(&l, a, prompt, n_prompt, &r, error);
    if (status == LLAMA4_OK)
        status = flush(&l, error);
    if (l.detokenizer)
        l4_detokenizer_destroy(l.detokenizer);
    if (status == LLAMA4_OK && result)
        *result = r;
    return status;
}
