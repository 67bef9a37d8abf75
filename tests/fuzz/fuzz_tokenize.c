/* Any bytes as a text: the first one picks the vocabulary (ids as ranks, or listed merges) and the flags, the rest is tokenized,
 * brought back, and taken as a row of ids. */
#include "fuzz_text.h"

static llama4_vocab *by_ids, *by_merges;

static void open_vocabularies(void)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    static const char more[] =
        "ICA= 256\nYWE= 257\nYWI= 258\nYWFh 259\nIGE= 260\nYWFhYQ== 261\nYmM= 262\nYWJj 263\nCgo= 264\n4KQ= 265\n";
    char file[8192];
    size_t n = 0;
    for (int k = 0; k < 256; k++) {
        file[n++] = digits[k >> 2];
        file[n++] = digits[(k & 3) << 4];
        memcpy(file + n, "== ", 3);
        n += 3;
        for (int unit = k < 10 ? 1 : k < 100 ? 10 : 100; unit; unit /= 10)
            file[n++] = (char)('0' + k / unit % 10);
        file[n++] = '\n';
    }
    memcpy(file + n, more, sizeof more - 1);
    HOLDS(l4_vocab_from_tiktoken(&l4_system_allocator, NULL, file, n + sizeof more - 1, "made.model", &by_ids, NULL) ==
          LLAMA4_OK);
    HOLDS(llama4_vocab_open(LLAMA4_TESTS "/data/tiny-tokenizer.json", NULL, &by_merges, NULL) == LLAMA4_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!by_ids)
        open_vocabularies();
    if (size == 0)
        return 0;
    llama4_vocab *v = data[0] & 1 ? by_merges : by_ids;
    check_text(v, (const char *)data + 1, size - 1, data[0] & 2 ? LLAMA4_TOKENIZE_SPECIAL : LLAMA4_TOKENIZE_PLAIN);
    int32_t ids[256];
    size_t n = 0, length;
    for (size_t i = 1; i + 2 <= size && n < 256; i += 2)
        ids[n++] = (data[i] | data[i + 1] << 8) % llama4_vocab_get_size(v);
    free(stream(v, ids, n, data[0] & 4 ? LLAMA4_DETOKENIZE_SPECIAL : 0, &length));
    return 0;
}
