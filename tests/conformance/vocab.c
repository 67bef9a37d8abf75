/* Tokeniser and chat cases: ids equal one by one; what was tokenised comes back from both detokenisers. */
#include <stdlib.h>
#include <string.h>

#include "conformance.h"

/* 1 if equal; otherwise the case is reported as failed. */
static int same_ids(const char *name, const int32_t *got, size_t n, const id_list *want)
{
    size_t i = 0;
    while (i < n && i < want->count && got[i] == want->data[i])
        i++;
    if (i == n && i == want->count)
        return 1;
    report_failed(name, "%zu ids, want %zu; the first that differs is number %zu: %ld, want %ld", n, want->count, i,
                  i < n ? (long)got[i] : -1L, i < want->count ? (long)want->data[i] : -1L);
    return 0;
}

static int comes_back(const llama4_vocab *vocab, const char *name, const int32_t *ids, size_t n, const golden_case *c)
{
    llama4_error error = LLAMA4_ERROR_INIT;
    size_t length = 0;
    llama4_status status = llama4_vocab_detokenize(vocab, ids, n, 0, NULL, 0, &length, &error);
    char *text = xmalloc(length);
    if (!status && length)
        status = llama4_vocab_detokenize(vocab, ids, n, 0, text, length, &length, &error);
    int same = !status && length == c->text_length && memcmp(text, c->text, length) == 0;
    free(text);
    if (!same)
        report_failed(name, "the ids do not give the text back: %s", status ? error.message : "it differs");
    return same;
}

static int streams_back(llama4_vocab *vocab, const char *name, const int32_t *ids, size_t n, const golden_case *c)
{
    llama4_error error = LLAMA4_ERROR_INIT;
    llama4_detokenizer *d = NULL;
    llama4_status status = llama4_detokenizer_create(vocab, 0, &d, &error);
    size_t at = 0;
    int same = !status;
    for (size_t i = 0; i <= n && same; i++) {
        const char *text = NULL;
        size_t length = 0;
        status = i < n ? llama4_detokenizer_push(d, ids[i], &text, &length, &error)
                       : llama4_detokenizer_finish(d, &text, &length, &error);
        same = !status && length <= c->text_length - at && (!length || memcmp(text, c->text + at, length) == 0);
        at += same ? length : 0;
    }
    same = same && at == c->text_length;
    llama4_detokenizer_release(d);
    if (!same)
        report_failed(name, "streaming the ids does not give the text back: %s", status ? error.message : "it differs");
    return same;
}

void tokenizer_run(const llama4_vocab *vocab, const char *name, const golden_case *c)
{
    llama4_error error = LLAMA4_ERROR_INIT;
    size_t count = 0, capacity = c->text_length + 1;
    int32_t *ids = xmalloc(capacity * sizeof *ids);
    if (llama4_vocab_tokenize(vocab, c->text, c->text_length, LLAMA4_TOKENIZE_PLAIN, ids, capacity, &count, &error))
        report_failed(name, "%s", error.message);
    else if (same_ids(name, ids, count, &c->ids) && comes_back(vocab, name, ids, count, c) &&
             streams_back((llama4_vocab *)(uintptr_t)vocab, name, ids, count, c))
        report_passed(name, "%zu ids", count);
    free(ids);
}

/* Parts of a message with black pictures of the sizes that it says; what they hold is released by free_parts. */
static llama4_part *make_parts(const golden_message *g)
{
    llama4_part *parts = xmalloc(g->n_parts * sizeof *parts);
    for (size_t i = 0; i < g->n_parts; i++) {
        const golden_part *p = &g->parts[i];
        parts[i] = (llama4_part){.struct_size = sizeof *parts, .text = p->text, .text_length = p->length};
        size_t n = (size_t)p->size[0] * (size_t)p->size[1];
        llama4_image *image = NULL;
        char *pixels = p->text ? NULL : xmalloc(n);
        if (pixels) {
            memset(pixels, 0, n);
            llama4_image_create(pixels, n, p->size[0], p->size[1], 0, 1, NULL, &image, NULL);
        }
        parts[i].image = image;
        free(pixels);
    }
    return parts;
}

static void free_parts(const golden_message *g, const llama4_part *parts)
{
    for (size_t i = 0; parts && i < g->n_parts; i++)
        llama4_image_release((llama4_image *)(uintptr_t)parts[i].image);
    free((void *)(uintptr_t)parts);
}

void chat_run(const llama4_vocab *vocab, const char *name, const golden_case *c)
{
    llama4_error error = LLAMA4_ERROR_INIT;
    llama4_message *messages = xmalloc(c->n_messages * sizeof *messages);
    for (size_t i = 0; i < c->n_messages; i++) {
        const golden_message *g = &c->messages[i];
        int pictures = 0;
        for (size_t k = 0; k < g->n_parts; k++)
            pictures |= !g->parts[k].text;
        messages[i] = (llama4_message){.struct_size = sizeof(llama4_message), .role = g->role, .content = g->content,
                                       .content_length = g->content_length, .tool_calls = g->calls,
                                       .n_tool_calls = g->n_calls, .tool_call_stride = g->n_calls ? sizeof *g->calls : 0};
        if (pictures) {
            messages[i].content = NULL;
            messages[i].content_length = 0;
            messages[i].parts = make_parts(g);
            messages[i].n_parts = g->n_parts;
            messages[i].part_stride = sizeof(llama4_part);
        }
    }
    size_t count = 0;
    llama4_status status =
        llama4_chat_tokenize(vocab, messages, c->n_messages, sizeof *messages, 0, NULL, 0, &count, &error);
    int32_t *ids = xmalloc(count * sizeof *ids);
    if (!status)
        status = llama4_chat_tokenize(vocab, messages, c->n_messages, sizeof *messages, 0, ids, count, &count, &error);
    if (status)
        report_failed(name, "%s", error.message);
    else if (same_ids(name, ids, count, &c->ids))
        report_passed(name, "%zu ids of %zu messages", count, c->n_messages);
    for (size_t i = 0; i < c->n_messages; i++)
        free_parts(&c->messages[i], messages[i].parts);
    free(ids);
    free(messages);
}
