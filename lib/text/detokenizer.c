/* Token ids to text. In: ids, one by one. Out: valid UTF-8, complete code points only; bytes that cannot be part of any become
 * U+FFFD, one for each longest prefix of a valid sequence, as the WHATWG's decoder does. */
#include "text/detokenizer.h"

#include "text/vocab_internal.h"

struct llama4_detokenizer {
    llama4_vocab *vocab;
    uint32_t flags;
    uint8_t *text;
    size_t length, capacity;
    uint8_t waiting[4];      /* the code point that is under way */
    uint8_t have, need;      /* its bytes so far and in all; need 0: none */
    uint8_t lowest, highest; /* what its next byte may be */
};

llama4_status l4_detokenizer_create(llama4_vocab *v, uint32_t flags, llama4_detokenizer **out, llama4_error *error)
{
    llama4_detokenizer *d;
    llama4_status status = l4_alloc_zero(&v->allocator, 1, sizeof *d, "a detokenizer", &d, error);
    if (status)
        return status;
    l4_vocab_ref(v);
    d->vocab = v;
    d->flags = flags;
    *out = d;
    return LLAMA4_OK;
}

void l4_detokenizer_destroy(llama4_detokenizer *d)
{
    if (!d)
        return;
    llama4_vocab *v = d->vocab;
    l4_free(&v->allocator, d->text);
    l4_free(&v->allocator, d);
    l4_vocab_release(v);
}

static void put_replacement(llama4_detokenizer *d)
{
    memcpy(d->text + d->length, "\xef\xbf\xbd", 3);
    d->length += 3;
    d->need = d->have = 0;
}

static void put_byte(llama4_detokenizer *d, uint8_t c)
{
    if (d->need) {
        if (c >= d->lowest && c <= d->highest) {
            d->waiting[d->have++] = c;
            d->lowest = 0x80;
            d->highest = 0xbf;
            if (d->have == d->need) {
                memcpy(d->text + d->length, d->waiting, d->need);
                d->length += d->need;
                d->need = d->have = 0;
            }
            return;
        }
        put_replacement(d);
    }
    if (c < 0x80) {
        d->text[d->length++] = c;
        return;
    }
    if (c < 0xc2 || c > 0xf4) {
        put_replacement(d);
        return;
    }
    d->waiting[0] = c;
    d->have = 1;
    d->need = c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
    d->lowest = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;  /* no overlong forms */
    d->highest = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf; /* no surrogates, nothing beyond U+10FFFF */
}

llama4_status l4_detokenizer_push(llama4_detokenizer *d, int32_t token, const char **text, size_t *length, llama4_error *error)
{
    if (token < 0 || token >= d->vocab->size)
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "token id %d is out of range: the vocabulary has %d", (int)token,
                       (int)d->vocab->size);
    size_t n;
    const uint8_t *bytes = l4_vocab_text(d->vocab, token, d->flags, &n);
    /* Every byte gives one replacement at most, and what waited another. */
    llama4_status status = l4_grow(&d->vocab->allocator, &d->text, &d->capacity, 0, 3 * n + 4, 1, "text", error);
    if (status)
        return status;
    d->length = 0;
    for (size_t i = 0; i < n; i++)
        put_byte(d, bytes[i]);
    *text = (const char *)d->text;
    *length = d->length;
    return LLAMA4_OK;
}

llama4_status l4_detokenizer_finish(llama4_detokenizer *d, const char **text, size_t *length, llama4_error *error)
{
    llama4_status status = l4_grow(&d->vocab->allocator, &d->text, &d->capacity, 0, 4, 1, "text", error);
    if (status)
        return status;
    d->length = 0;
    if (d->need)
        put_replacement(d);
    *text = (const char *)d->text;
    *length = d->length;
    return LLAMA4_OK;
}
