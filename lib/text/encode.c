/* Text to token ids: UTF-8 is checked, cut at special tokens if they are wanted, split into pieces (split.c), and each piece is
 * merged (bpe.c). In: text and flags. Out: ids appended to a growing array; on failure the array is as before. */
#include "base/utf8.h"
#include "text/bpe.h"
#include "text/split.h"

llama4_status l4_tokens_push(l4_tokens *t, int32_t id, llama4_error *error)
{
    if (t->count == t->capacity) {
        llama4_status status =
            l4_grow(t->allocator, &t->ids, &t->capacity, t->count, t->count + 64, sizeof *t->ids, "token ids", error);
        if (status)
            return status;
    }
    t->ids[t->count++] = id;
    return LLAMA4_OK;
}

void l4_tokens_clear(l4_tokens *t)
{
    l4_free(t->allocator, t->ids);
    t->ids = NULL;
    t->count = t->capacity = 0;
}

llama4_status l4_tokens_copy(const l4_tokens *t, int32_t *tokens, size_t capacity, size_t *count, llama4_error *error)
{
    *count = t->count;
    if (capacity == 0)
        return LLAMA4_OK;
    if (capacity < t->count)
        return l4_fail(error, LLAMA4_ERR_CAPACITY, "%zu token ids do not fit into an array of %zu", t->count, capacity);
    if (t->count)
        memcpy(tokens, t->ids, t->count * sizeof *tokens);
    return LLAMA4_OK;
}

static llama4_status check_utf8(const uint8_t *text, size_t n, llama4_error *error)
{
    size_t i = 0;
    while (i < n) {
        uint64_t eight;
        uint32_t c;
        if (n - i >= 8) {
            memcpy(&eight, text + i, 8);
            if (!(eight & UINT64_C(0x8080808080808080))) {
                i += 8;
                continue;
            }
        }
        size_t step = l4_utf8_decode(text + i, n - i, &c);
        if (step == 0)
            return l4_fail(error, LLAMA4_ERR_UTF8, "the text is not valid UTF-8 at byte %zu (0x%02x)", i, (unsigned)text[i]);
        i += step;
    }
    return LLAMA4_OK;
}

/* The longest special or user-defined token whose name begins at p; -1 if there is none. The sorted names are narrowed byte by
 * byte. */
static int32_t match_named(const llama4_vocab *v, const uint8_t *p, size_t n, size_t *length)
{
    uint32_t low = v->first_byte[p[0]], high = v->first_byte[p[0] + 1];
    int32_t found = -1;
    for (size_t depth = 1; low < high; depth++) {
        const l4_span *first = &v->spans[v->named[low]]; /* the only one that can end here */
        if (first->length == depth) {
            found = v->named[low++];
            *length = depth;
        }
        if (depth == n)
            break;
        uint32_t bounds[2]; /* of names with p[depth] in this place */
        for (int side = 0; side < 2; side++) {
            uint32_t a = low, b = high;
            while (a < b) {
                uint32_t middle = a + (b - a) / 2;
                if (v->pool[v->spans[v->named[middle]].offset + depth] < p[depth] + side)
                    a = middle + 1;
                else
                    b = middle;
            }
            bounds[side] = a;
        }
        low = bounds[0];
        high = bounds[1];
    }
    return found;
}

static llama4_status encode_plain(const llama4_vocab *v, const uint8_t *text, size_t n, l4_bpe_scratch *scratch, l4_tokens *out,
                                  llama4_error *error)
{
    for (size_t start = 0, end; start < n; start = end) {
        end = l4_split_next(text, n, start);
        llama4_status status = l4_bpe_piece(v, text + start, end - start, scratch, out, error);
        if (status)
            return status;
    }
    return LLAMA4_OK;
}

static llama4_status encode_named(const llama4_vocab *v, const uint8_t *text, size_t n, l4_bpe_scratch *scratch, l4_tokens *out,
                                  llama4_error *error)
{
    size_t start = 0, i = 0;
    while (i < n) {
        size_t length = 0;
        int32_t id = match_named(v, text + i, n - i, &length);
        if (id < 0) {
            i++;
            continue;
        }
        llama4_status status = encode_plain(v, text + start, i - start, scratch, out, error);
        if (status == LLAMA4_OK)
            status = l4_tokens_push(out, id, error);
        if (status)
            return status;
        i = start = i + length;
    }
    return encode_plain(v, text + start, n - start, scratch, out, error);
}

llama4_status l4_vocab_encode(const llama4_vocab *v, const char *text, size_t length, uint32_t flags, l4_tokens *out,
                              llama4_error *error)
{
    size_t before = out->count;
    l4_bpe_scratch scratch = {0};
    llama4_status status = check_utf8((const uint8_t *)text, length, error);
    if (status == LLAMA4_OK && flags & LLAMA4_TOKENIZE_BOS) {
        if (v->known.begin_of_text < 0)
            return l4_fail(error, LLAMA4_ERR_UNSUPPORTED, "the vocabulary has no token <|begin_of_text|>");
        status = l4_tokens_push(out, v->known.begin_of_text, error);
    }
    if (status == LLAMA4_OK && length) {
        int named = (flags & LLAMA4_TOKENIZE_SPECIAL) != 0;
        status = (named ? encode_named : encode_plain)(v, (const uint8_t *)text, length, &scratch, out, error);
    }
    l4_free(&v->allocator, scratch.words);
    if (status)
        out->count = before;
    return status;
}
