/* Byte pair encoding: one piece of text comes in (from split.c), its token ids go out. A piece that is a token is that token.
 * Otherwise it starts as single bytes, and the two neighbours whose merge has the lowest rank become one, the leftmost pair first
 * among equals, until no two can merge. The rank is the id of the merged token, or the place in the list of merges where there is
 * one.
 *
 * A part is named by the byte at which it starts. ranks[] holds, for each part, the rank of merging it with the next one; the
 * lowest is found through a tree of minima over blocks of ranks, so that a word of a megabyte takes n log n steps and little
 * memory. */
#include "text/bpe.h"

#define BLOCK 64 /* ranks per leaf of the tree */

typedef struct parts {
    const llama4_vocab *vocab;
    const uint8_t *bytes;
    uint32_t n;
    uint32_t leaves;  /* a power of two */
    uint32_t *ranks;  /* [blocks * BLOCK], L4_NO_RANK where no part starts and where nothing can merge */
    uint32_t *next;   /* [n], n behind the last part */
    uint32_t *before; /* [n] */
    int32_t *ids;     /* [n] */
    uint32_t *tree;   /* [2 * leaves]: tree[1] is the minimum of all, tree[leaves + b] that of block b */
} parts;

/* The rank of merging part i with the next one. */
static inline uint32_t rate(const parts *p, uint32_t i)
{
    uint32_t next = p->next[i];
    if (next >= p->n)
        return L4_NO_RANK;
    if (p->vocab->pairs) {
        const l4_pair *pair = l4_find_pair(p->vocab, p->ids[i], p->ids[next]);
        return pair ? pair->rank : L4_NO_RANK;
    }
    return (uint32_t)l4_find_ordinary(p->vocab, p->bytes + i, p->next[next] - i); /* -1 is L4_NO_RANK */
}

static inline uint32_t block_minimum(const uint32_t *ranks)
{
    uint32_t minimum = ranks[0];
    for (int i = 1; i < BLOCK; i++)
        minimum = ranks[i] < minimum ? ranks[i] : minimum;
    return minimum;
}

/* Brings the tree up to date after a change in the block of part i. */
static inline void refresh(const parts *p, uint32_t i)
{
    uint32_t block = i / BLOCK, k = p->leaves + block, minimum = block_minimum(p->ranks + block * BLOCK);
    while (p->tree[k] != minimum) {
        p->tree[k] = minimum;
        if (k == 1)
            break;
        uint32_t other = p->tree[k ^ 1];
        minimum = minimum < other ? minimum : other;
        k /= 2;
    }
}

static void start(const parts *p)
{
    for (uint32_t i = 0; i < p->n; i++) {
        p->ids[i] = p->vocab->byte_ids[p->bytes[i]];
        p->next[i] = i + 1;
        p->before[i] = i - 1;
    }
    uint32_t blocks = (p->n + BLOCK - 1) / BLOCK;
    for (uint32_t i = 0; i < p->n; i++)
        p->ranks[i] = rate(p, i);
    for (uint32_t i = p->n; i < blocks * BLOCK; i++)
        p->ranks[i] = L4_NO_RANK;
    for (uint32_t b = 0; b < p->leaves; b++)
        p->tree[p->leaves + b] = b < blocks ? block_minimum(p->ranks + b * BLOCK) : L4_NO_RANK;
    for (uint32_t k = p->leaves; k-- > 1;)
        p->tree[k] = p->tree[2 * k] < p->tree[2 * k + 1] ? p->tree[2 * k] : p->tree[2 * k + 1];
}

static void merge(const parts *p)
{
    uint32_t rank;
    while ((rank = p->tree[1]) != L4_NO_RANK) {
        uint32_t k = 1;
        while (k < p->leaves)
            k = 2 * k + (p->tree[2 * k] != rank);
        uint32_t i = (k - p->leaves) * BLOCK;
        while (p->ranks[i] != rank)
            i++;
        uint32_t gone = p->next[i], after = p->next[gone];
        p->ids[i] = p->vocab->pairs ? l4_find_pair(p->vocab, p->ids[i], p->ids[gone])->merged : (int32_t)rank;
        p->next[i] = after;
        if (after < p->n)
            p->before[after] = i;
        p->ranks[gone] = L4_NO_RANK;
        p->ranks[i] = rate(p, i);
        if (i > 0) {
            uint32_t left = p->before[i];
            p->ranks[left] = rate(p, left);
            if (left / BLOCK != i / BLOCK)
                refresh(p, left);
        }
        if (gone / BLOCK != i / BLOCK)
            refresh(p, gone);
        refresh(p, i);
    }
}

llama4_status l4_bpe_piece(const llama4_vocab *v, const uint8_t *piece, size_t n, l4_bpe_scratch *scratch, l4_tokens *out,
                           llama4_error *error)
{
    int32_t id = n == 1 ? v->byte_ids[piece[0]] : l4_find_ordinary(v, piece, n);
    if (id >= 0)
        return l4_tokens_push(out, id, error);
    if (n > UINT32_MAX / 16)
        return l4_fail(error, LLAMA4_ERR_UNSUPPORTED, "the text has a word of %zu bytes", n);
    size_t blocks = (n + BLOCK - 1) / BLOCK, room = blocks * BLOCK, leaves = 1;
    uint32_t small[4 * BLOCK + 2], *words = small;
    llama4_status status = LLAMA4_OK;
    while (leaves < blocks)
        leaves *= 2;
    if (blocks > 1) {
        size_t need = 4 * room + 2 * leaves;
        status = l4_grow(&v->allocator, &scratch->words, &scratch->capacity, 0, need, sizeof *words, "a long word", error);
        words = scratch->words;
    }
    if (status)
        return status;
    parts p = {.vocab = v, .bytes = piece, .n = (uint32_t)n, .leaves = (uint32_t)leaves, .ranks = words, .next = words + room};
    p.before = p.next + room;
    p.ids = (int32_t *)(p.before + room);
    p.tree = p.before + 2 * room;
    start(&p);
    merge(&p);
    for (uint32_t i = 0; i < n && status == LLAMA4_OK; i = p.next[i])
        status = l4_tokens_push(out, p.ids[i], error);
    return status;
}
