/* What must hold for every vocabulary and every text; shared by the fuzz targets of the text layer. */
#ifndef LLAMA4_TESTS_FUZZ_TEXT_H
#define LLAMA4_TESTS_FUZZ_TEXT_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "text/vocab.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HOLDS(condition)                                                                                                         \
    do {                                                                                                                         \
        if (!(condition))                                                                                                        \
            abort();                                                                                                             \
    } while (0)

static inline int valid_utf8(const char *text, size_t n)
{
    uint32_t c;
    for (size_t i = 0, step; i < n; i += step) {
        step = l4_utf8_decode((const uint8_t *)text + i, n - i, &c);
        if (!step)
            return 0;
    }
    return 1;
}

/* Ids, one by one, to text that is always valid; returns it, to be freed, with its length. */
static inline char *stream(llama4_vocab *v, const int32_t *ids, size_t n, uint32_t flags, size_t *length)
{
    llama4_detokenizer *d = NULL;
    char *all = NULL;
    const char *text;
    size_t used = 0, got;
    HOLDS(llama4_detokenizer_create(v, flags, &d, NULL) == LLAMA4_OK);
    for (size_t i = 0; i <= n; i++) {
        HOLDS((i < n ? llama4_detokenizer_push(d, ids[i], &text, &got, NULL) : llama4_detokenizer_finish(d, &text, &got, NULL)) ==
              LLAMA4_OK);
        HOLDS(valid_utf8(text, got));
        HOLDS((all = realloc(all, used + got + 1)) != NULL);
        memcpy(all + used, text, got);
        used += got;
    }
    llama4_detokenizer_release(d);
    *length = used;
    return all;
}

/* Tokenizes and goes back. */
static inline void check_text(llama4_vocab *v, const char *text, size_t n, uint32_t flags)
{
    size_t count, length, back;
    int32_t *ids = malloc((n + 1) * sizeof *ids);
    char *joined = malloc(n + 1), *streamed;
    uint32_t names = flags & LLAMA4_TOKENIZE_SPECIAL ? LLAMA4_DETOKENIZE_SPECIAL : 0;
    HOLDS(ids && joined);
    llama4_status status = llama4_vocab_tokenize(v, text, n, flags, ids, n + 1, &count, NULL);
    HOLDS(status == (valid_utf8(text, n) ? LLAMA4_OK : LLAMA4_ERR_UTF8));
    if (status == LLAMA4_OK) {
        HOLDS(count <= n);
        for (size_t i = 0; i < count; i++)
            HOLDS(names || !(llama4_vocab_token_flags(v, ids[i]) & LLAMA4_TOKEN_SPECIAL));
        HOLDS(llama4_vocab_detokenize(v, ids, count, names, joined, n + 1, &length, NULL) == LLAMA4_OK);
        HOLDS(length == n && memcmp(joined, text, n) == 0);
        streamed = stream(v, ids, count, names, &back);
        if (!names || valid_utf8(streamed, back)) /* a name may be any bytes, but text stays text */
            HOLDS(back == n && memcmp(streamed, text, n) == 0);
        free(streamed);
    }
    free(ids);
    free(joined);
}

static inline void use_vocab(llama4_vocab *v, const uint8_t *data, size_t n)
{
    static const char fixed[] =
        "Hello <|eot|> world, aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa \xe2\x82\xac";
    int32_t size = llama4_vocab_get_size(v), ids[256];
    size_t length;
    for (size_t i = 0; i < 256; i++) /* ids without sense give valid text too */
        ids[i] = (int32_t)((i * 7919 + (n ? data[i % n] : 0) * 31u) % (uint32_t)size);
    free(stream(v, ids, 256, LLAMA4_DETOKENIZE_SPECIAL, &length));
    for (int32_t id = 0; id < size; id += 1 + size / 512) {
        size_t bytes;
        const uint8_t *text = l4_vocab_bytes(v, id, &bytes);
        int32_t found = bytes ? llama4_vocab_find(v, (const char *)text, bytes) : id;
        HOLDS(found == id || found >= 0 || llama4_vocab_token_flags(v, id) & LLAMA4_TOKEN_UNUSED);
    }
    check_text(v, fixed, sizeof fixed - 1, LLAMA4_TOKENIZE_SPECIAL);
    check_text(v, (const char *)data, n, LLAMA4_TOKENIZE_PLAIN);
}

#endif
