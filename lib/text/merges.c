/* Listed merges, for tokenizers that were trained with one merge per token: "left right" lines come in, a table from pairs of
 * ids to rank and merged id goes out. */
#include "text/vocab_internal.h"

#define PUBLISHED_ORDINARY 200000

/* In Meta's tokeniser a merge's urgency is the id of its result, and any two tokens whose bytes make up a third may merge. Files
 * made from it list every such pair (439,802 for 200,000 tokens), some only part of them; where its vocabulary is complete, the
 * list adds nothing. */
int l4_merges_rule(const llama4_vocab *v, uint64_t n)
{
    return n > 0 && n < (uint64_t)v->n_ordinary && v->n_ordinary != PUBLISHED_ORDINARY;
}

llama4_status l4_merges_init(llama4_vocab *v, uint64_t n, llama4_error *error)
{
    uint32_t bits = 4;
    while (UINT64_C(1) << bits < 2 * n)
        bits++;
    llama4_status status = l4_alloc(&v->allocator, (size_t)n, sizeof *v->merges, "merges", &v->merges, error);
    if (status == LLAMA4_OK)
        status = l4_alloc(&v->allocator, (size_t)1 << bits, sizeof *v->pairs, "merges", &v->pairs, error);
    if (status)
        return status; /* the vocabulary's owner frees what is there */
    memset(v->pairs, 0xff, sizeof *v->pairs << bits);
    v->pair_mask = (uint32_t)(((uint64_t)1 << bits) - 1);
    v->pair_shift = 64 - bits;
    return LLAMA4_OK;
}

static llama4_status unknown(const llama4_vocab *v, const char *name, const char *text, size_t n, llama4_error *error)
{
    return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: merge %zu names a token that the vocabulary lacks: \"%.*s\"", name, v->n_merges,
                   (int)(n < 64 ? n : 64), text);
}

llama4_status l4_merges_add(llama4_vocab *v, const char *name, const char *left, size_t n_left, const char *right, size_t n_right,
                            llama4_error *error)
{
    uint8_t bytes[4 * L4_LONGEST_TOKEN]; /* both, one behind the other: what they merge into */
    size_t n = n_left <= 2 * L4_LONGEST_TOKEN ? l4_alphabet_decode((const uint8_t *)left, n_left, bytes) : SIZE_MAX;
    int32_t a = n != SIZE_MAX && n > 0 ? l4_find_ordinary(v, bytes, n) : -1;
    if (a < 0)
        return unknown(v, name, left, n_left, error);
    size_t m = n_right <= 2 * L4_LONGEST_TOKEN ? l4_alphabet_decode((const uint8_t *)right, n_right, bytes + n) : SIZE_MAX;
    int32_t b = m != SIZE_MAX && m > 0 ? l4_find_ordinary(v, bytes + n, m) : -1;
    if (b < 0)
        return unknown(v, name, right, n_right, error);
    int32_t merged = l4_find_ordinary(v, bytes, n + m);
    if (merged < 0)
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: merge %zu makes a token that the vocabulary lacks: tokens %d and %d", name,
                       v->n_merges, (int)a, (int)b);
    uint64_t key = (uint64_t)(uint32_t)a << 32 | (uint32_t)b;
    uint32_t i = (uint32_t)(l4_scatter(key) >> v->pair_shift);
    for (int probes = 0; v->pairs[i].rank != L4_NO_RANK && (v->pairs[i].left != a || v->pairs[i].right != b);
         i = (i + 1) & v->pair_mask)
        if (++probes > L4_LONGEST_PROBE)
            return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: too many merges collide with merge %zu", name, v->n_merges);
    v->pairs[i] = (l4_pair){a, b, merged, (uint32_t)v->n_merges}; /* of equal merges the last counts, as in Hugging Face's code */
    v->merges[v->n_merges++] = (l4_merge){a, b};
    return LLAMA4_OK;
}

llama4_status l4_merges_add_line(llama4_vocab *v, const char *name, const char *line, size_t n, llama4_error *error)
{
    const char *cut = n ? memchr(line, ' ', n) : NULL;
    if (!cut)
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: merge %zu is not two tokens with a space between them", name, v->n_merges);
    size_t n_left = (size_t)(cut - line);
    return l4_merges_add(v, name, line, n_left, cut + 1, n - n_left - 1, error);
}
