/* From a list of (id, bytes, kind) to a vocabulary: every file format ends here, so every check that does not depend on the
 * format is here. In: a filled l4_builder. Out: ids, hash table of ordinary tokens, sorted special names. */
#include "text/vocab_internal.h"

#define NAMED 128u /* a flag while building: belongs into v->named */

void l4_builder_init(l4_builder *b, const l4_allocator *a, const l4_log *log, const char *name, size_t source_size)
{
    memset(b, 0, sizeof *b);
    b->allocator = *a;
    if (log)
        b->log = *log;
    b->name = name;
    b->source_size = source_size;
}

void l4_builder_clear(l4_builder *b)
{
    l4_free(&b->allocator, b->pool);
    l4_free(&b->allocator, b->entries);
    b->pool = NULL;
    b->entries = NULL;
}

/* Ids must be smaller: they may have holes, but no file may ask for much more memory than its own size. */
static uint64_t id_limit(const l4_builder *b)
{
    uint64_t limit = (uint64_t)b->source_size / 4 + 65536;
    return limit < INT32_MAX ? limit : INT32_MAX;
}

llama4_status l4_builder_add(l4_builder *b, int64_t id, const void *bytes, size_t length, int kind, llama4_error *error)
{
    if (id < 0 || (uint64_t)id >= id_limit(b))
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: token id %lld is out of range", b->name, (long long)id);
    size_t longest = kind == L4_ENTRY_ENCODED ? 2 * L4_LONGEST_TOKEN : L4_LONGEST_TOKEN;
    if (length > longest)
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: token %lld has %zu bytes, more than %zu", b->name, (long long)id, length,
                       longest);
    if (length == 0 && kind != L4_ENTRY_UNUSED)
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: token %lld is empty", b->name, (long long)id);
    if (length > UINT32_MAX / 2 - b->pool_size)
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: the vocabulary is too large", b->name);
    llama4_status status =
        l4_grow(&b->allocator, &b->pool, &b->pool_capacity, b->pool_size, b->pool_size + length, 1, "tokens", error);
    if (status == LLAMA4_OK)
        status = l4_grow(&b->allocator, &b->entries, &b->entries_capacity, b->n_entries, b->n_entries + 1, sizeof *b->entries,
                         "tokens", error);
    if (status)
        return status;
    l4_entry *e = &b->entries[b->n_entries++];
    e->id = (int32_t)id;
    e->offset = (uint32_t)b->pool_size;
    e->length = (uint32_t)length;
    e->kind = (uint32_t)kind;
    if (length)
        memcpy(b->pool + b->pool_size, bytes, length);
    b->pool_size += length;
    return LLAMA4_OK;
}

/* Entries to their ids. by_id[id] is the entry's index + 1. A special token may also be listed as an ordinary one. */
static llama4_status place(const l4_builder *b, uint32_t *by_id, llama4_error *error)
{
    for (size_t i = 0; i < b->n_entries; i++) {
        l4_entry *e = &b->entries[i];
        if (!by_id[e->id]) {
            by_id[e->id] = (uint32_t)i + 1;
            continue;
        }
        l4_entry *other = &b->entries[by_id[e->id] - 1];
        int plain = e->kind == L4_ENTRY_ENCODED, other_plain = other->kind == L4_ENTRY_ENCODED;
        if (plain == other_plain || e->length != other->length || memcmp(b->pool + e->offset, b->pool + other->offset, e->length))
            return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: token id %d is given twice", b->name, (int)e->id);
        if (other_plain)
            by_id[e->id] = (uint32_t)i + 1;
    }
    return LLAMA4_OK;
}

/* Fills spans and flags; decodes the alphabet in place. */
static llama4_status fill(llama4_vocab *v, const l4_builder *b, const uint32_t *by_id, llama4_error *error)
{
    for (int32_t id = 0; id < v->size; id++) {
        if (!by_id[id]) {
            v->flags[id] = LLAMA4_TOKEN_UNUSED;
            continue;
        }
        const l4_entry *e = &b->entries[by_id[id] - 1];
        size_t length = e->length;
        if (e->kind == L4_ENTRY_ENCODED) {
            length = l4_alphabet_decode(v->pool + e->offset, length, v->pool + e->offset);
            if (length == SIZE_MAX)
                return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: token %d is not written in the byte-to-unicode alphabet: \"%.*s\"",
                               b->name, (int)id, (int)(e->length < 64 ? e->length : 64), (const char *)v->pool + e->offset);
            if (length > L4_LONGEST_TOKEN)
                return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: token %d has %zu bytes, more than %d", b->name, (int)id, length,
                               L4_LONGEST_TOKEN);
        }
        v->spans[id].offset = e->offset;
        v->spans[id].length = (uint32_t)length;
        if (e->kind == L4_ENTRY_UNUSED) {
            v->flags[id] = LLAMA4_TOKEN_UNUSED;
        } else if (e->kind == L4_ENTRY_SPECIAL || e->kind == L4_ENTRY_USER) {
            v->flags[id] = e->kind == L4_ENTRY_SPECIAL ? LLAMA4_TOKEN_SPECIAL | NAMED : NAMED;
            v->n_named++;
        } else {
            v->n_ordinary++;
            if (length > v->longest)
                v->longest = (uint32_t)length;
        }
    }
    return LLAMA4_OK;
}

/* Bits of a table that n entries fill to a half at most. */
static uint32_t table_bits(uint64_t n)
{
    uint32_t bits = 4;
    while (UINT64_C(1) << bits < 2 * n)
        bits++;
    return bits;
}

static llama4_status hash_tokens(llama4_vocab *v, const char *name, llama4_error *error)
{
    uint32_t bits = table_bits((uint64_t)v->n_ordinary);
    llama4_status status =
        l4_alloc_zero(&v->allocator, (size_t)1 << bits, sizeof *v->slots, "the vocabulary's table", &v->slots, error);
    if (status)
        return status;
    v->slot_mask = (uint32_t)(((uint64_t)1 << bits) - 1);
    v->slot_shift = 64 - bits;
    for (int32_t id = 0; id < v->size; id++) {
        if (v->flags[id])
            continue;
        const l4_span *s = &v->spans[id];
        const uint8_t *bytes = v->pool + s->offset;
        uint64_t key = l4_token_key(bytes, s->length);
        uint32_t i = (uint32_t)(l4_scatter(key) >> v->slot_shift);
        for (int probes = 0; v->slots[i].key; i = (i + 1) & v->slot_mask) {
            const l4_span *other = &v->spans[v->slots[i].id];
            if (v->slots[i].key == key && other->length == s->length && memcmp(v->pool + other->offset, bytes, s->length) == 0)
                return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: tokens %d and %d have the same bytes", name, (int)v->slots[i].id,
                               (int)id);
            if (++probes > L4_LONGEST_PROBE)
                return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: too many tokens collide with token %d", name, (int)id);
        }
        v->slots[i].key = key;
        v->slots[i].id = id;
        v->slots[i].offset = s->offset;
    }
    for (int byte = 0; byte < 256; byte++) {
        uint8_t c = (uint8_t)byte;
        v->byte_ids[byte] = l4_find_ordinary(v, &c, 1);
        if (v->byte_ids[byte] < 0)
            return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: the vocabulary has no token for byte 0x%02x", name, (unsigned)byte);
    }
    return LLAMA4_OK;
}

static int compare_names(const llama4_vocab *v, int32_t a, int32_t b)
{
    const l4_span *s = &v->spans[a], *t = &v->spans[b];
    int order = memcmp(v->pool + s->offset, v->pool + t->offset, s->length < t->length ? s->length : t->length);
    return order ? order : (s->length > t->length) - (s->length < t->length);
}

/* Heap sort: the C library's sort may allocate behind the host's back. */
static void sift(const llama4_vocab *v, int32_t *ids, uint32_t root, uint32_t n)
{
    int32_t id = ids[root];
    for (uint32_t child; (child = 2 * root + 1) < n; root = child) {
        if (child + 1 < n && compare_names(v, ids[child], ids[child + 1]) < 0)
            child++;
        if (compare_names(v, id, ids[child]) >= 0)
            break;
        ids[root] = ids[child];
    }
    ids[root] = id;
}

static llama4_status sort_names(llama4_vocab *v, const char *name, llama4_error *error)
{
    llama4_status status = l4_alloc(&v->allocator, v->n_named, sizeof *v->named, "special tokens", &v->named, error);
    if (status)
        return status;
    uint32_t n = 0;
    for (int32_t id = 0; id < v->size; id++)
        if (v->flags[id] & NAMED) {
            v->flags[id] &= (uint8_t)~NAMED;
            v->named[n++] = id;
        }
    for (uint32_t i = n / 2; i-- > 0;)
        sift(v, v->named, i, n);
    for (uint32_t i = n; i-- > 1;) {
        int32_t last = v->named[i];
        v->named[i] = v->named[0];
        v->named[0] = last;
        sift(v, v->named, 0, i);
    }
    for (uint32_t i = 1; i < n; i++)
        if (compare_names(v, v->named[i - 1], v->named[i]) == 0)
            return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: tokens %d and %d have the same name", name, (int)v->named[i - 1],
                           (int)v->named[i]);
    for (uint32_t i = 0; i < n; i++) /* names are not empty */
        v->first_byte[v->pool[v->spans[v->named[i]].offset] + 1]++;
    for (int byte = 0; byte < 256; byte++)
        v->first_byte[byte + 1] += v->first_byte[byte];
    return LLAMA4_OK;
}

static int32_t special(const llama4_vocab *v, const char *name)
{
    int32_t id = l4_find_named(v, (const uint8_t *)name, strlen(name));
    return id >= 0 && v->flags[id] & LLAMA4_TOKEN_SPECIAL ? id : -1;
}

static void find_well_known(llama4_vocab *v)
{
    v->known.begin_of_text = special(v, "<|begin_of_text|>");
    v->known.end_of_text = special(v, "<|end_of_text|>");
    v->known.header_start = special(v, "<|header_start|>");
    v->known.header_end = special(v, "<|header_end|>");
    v->known.eom = special(v, "<|eom|>");
    v->known.eot = special(v, "<|eot|>");
    v->known.image_start = special(v, "<|image_start|>");
    v->known.image_end = special(v, "<|image_end|>");
    v->known.tile_x = special(v, "<|tile_x_separator|>");
    v->known.tile_y = special(v, "<|tile_y_separator|>");
    v->known.image = special(v, "<|image|>");
    v->known.patch = special(v, "<|patch|>");
    v->known.pad = special(v, "<|finetune_right_pad|>");
    if (v->known.pad < 0)
        v->known.pad = special(v, "<|finetune_right_pad_id|>");
    const int32_t stops[3] = {v->known.end_of_text, v->known.eom, v->known.eot};
    for (int i = 0; i < 3; i++)
        if (stops[i] >= 0)
            v->flags[stops[i]] |= LLAMA4_TOKEN_STOP;
    v->eos = -1;
}

static llama4_status build(llama4_vocab *v, l4_builder *b, uint32_t *by_id, llama4_error *error)
{
    llama4_status status = place(b, by_id, error);
    if (status == LLAMA4_OK)
        status = fill(v, b, by_id, error);
    if (status == LLAMA4_OK)
        status = hash_tokens(v, b->name, error);
    if (status == LLAMA4_OK)
        status = sort_names(v, b->name, error);
    if (status == LLAMA4_OK)
        find_well_known(v);
    return status;
}

llama4_status l4_builder_finish(l4_builder *b, llama4_vocab **out, llama4_error *error)
{
    int32_t highest = -1;
    for (size_t i = 0; i < b->n_entries; i++)
        if (b->entries[i].id > highest)
            highest = b->entries[i].id;
    if (highest < 0)
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: the vocabulary is empty", b->name);
    llama4_vocab *v;
    llama4_status status = l4_alloc_zero(&b->allocator, 1, sizeof *v, "a vocabulary", &v, error);
    if (status)
        return status;
    atomic_init(&v->owners, 1);
    v->allocator = b->allocator;
    v->log = b->log;
    v->size = highest + 1;
    v->pool = b->pool;
    uint32_t *by_id = NULL;
    status = l4_alloc_zero(&v->allocator, (size_t)v->size, sizeof *v->spans, "a vocabulary", &v->spans, error);
    if (status == LLAMA4_OK)
        status = l4_alloc_zero(&v->allocator, (size_t)v->size, 1, "a vocabulary", &v->flags, error);
    if (status == LLAMA4_OK)
        status = l4_alloc_zero(&v->allocator, (size_t)v->size, sizeof *by_id, "a vocabulary", &by_id, error);
    if (status == LLAMA4_OK)
        status = build(v, b, by_id, error);
    l4_free(&v->allocator, by_id);
    b->pool = NULL; /* the vocabulary's now */
    b->pool_capacity = 0;
    if (status) {
        l4_vocab_release(v);
        return status;
    }
    *out = v;
    return LLAMA4_OK;
}
