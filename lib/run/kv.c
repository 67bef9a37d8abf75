#include "run/kv.h"

#include <string.h>

#define BLOCK L4_ATTENTION_BLOCK
#define HEADER 64 /* in front of a page's data; keeps its alignment */

enum { GLOBAL, LOCAL };

static uint32_t *owners(uint8_t *page)
{
    return (uint32_t *)(void *)(page - HEADER);
}

static llama4_status page_new(l4_kv *kv, int kind, uint8_t **out, llama4_error *error)
{
    uint8_t *memory;
    llama4_status status = l4_alloc(kv->allocator, 1, HEADER + kv->page_bytes[kind], "keys and values", &memory, error);
    if (status)
        return status;
    *out = memory + HEADER;
    *owners(*out) = 1;
    kv->bytes += HEADER + kv->page_bytes[kind];
    return LLAMA4_OK;
}

static void page_release(l4_kv *kv, int kind, uint8_t *page)
{
    if (--*owners(page))
        return;
    l4_free(kv->allocator, page - HEADER);
    kv->bytes -= HEADER + kv->page_bytes[kind];
}

static void table_cut(l4_kv *kv, int kind, l4_kv_table *t, size_t count)
{
    while (t->count > count)
        page_release(kv, kind, t->pages[--t->count]);
}

static void table_clear(l4_kv *kv, int kind, l4_kv_table *t)
{
    table_cut(kv, kind, t, 0);
    l4_free(kv->allocator, t->pages);
    memset(t, 0, sizeof *t);
}

/* Pages first .. last exist and are this table's own. */
static llama4_status table_reserve(l4_kv *kv, int kind, l4_kv_table *t, size_t first, size_t last, llama4_error *error)
{
    llama4_status status = l4_grow(kv->allocator, &t->pages, &t->capacity, t->count, last + 1, sizeof *t->pages, "a page table", error);
    for (size_t i = first; i <= last && status == LLAMA4_OK; i++) {
        uint8_t *fresh;
        if (i < t->count && *owners(t->pages[i]) == 1)
            continue;
        status = page_new(kv, kind, &fresh, error);
        if (status)
            break;
        if (i < t->count) {
            memcpy(fresh, t->pages[i], kv->page_bytes[kind]);
            page_release(kv, kind, t->pages[i]);
        } else {
            if (l4_kv_integers(kv->slot)) /* weights of 0 meet what has no position yet */
                memset(fresh, 0, kv->page_bytes[kind]);
            t->count = i + 1;
        }
        t->pages[i] = fresh;
    }
    return status;
}

int l4_kv_slot(int32_t kv_type)
{
    switch (kv_type) {
    case LLAMA4_KV_F16:
        return L4_KV_F16_SLOT;
    case LLAMA4_KV_F32:
        return L4_KV_F32_SLOT;
    case LLAMA4_KV_Q8_0:
        return L4_KV_Q8_0_SLOT;
    default:
        return L4_KV_I16_SLOT;
    }
}

llama4_status l4_kv_init(l4_kv *kv, const l4_allocator *a, const l4_config *c, size_t n_sequences, int slot, llama4_error *error)
{
    size_t layer_bytes = l4_attention_layer_bytes(c->kv_heads, c->head_dim, slot), n[2] = {0, 0};
    memset(kv, 0, sizeof *kv);
    for (uint32_t i = 0; i < c->layers; i++) {
        int kind = c->layer[i].local ? LOCAL : GLOBAL;
        kv->layer_local[i] = (uint8_t)kind;
        kv->layer_offset[i] = n[kind]++ * layer_bytes;
    }
    kv->page_bytes[GLOBAL] = n[GLOBAL] * layer_bytes;
    kv->page_bytes[LOCAL] = n[LOCAL] * layer_bytes;
    kv->chunk = n[LOCAL] ? c->chunk : 0;
    kv->slot = slot;
    kv->allocator = a;
    llama4_status status = l4_alloc_zero(a, n_sequences, sizeof *kv->sequences, "the sequences", &kv->sequences, error);
    if (status == LLAMA4_OK)
        kv->n_sequences = n_sequences;
    return status;
}

void l4_kv_measure(const l4_config *c, int slot, uint64_t positions, uint64_t *global, uint64_t *local)
{
    const uint64_t layer_bytes = l4_attention_layer_bytes(c->kv_heads, c->head_dim, slot);
    uint64_t bytes[2] = {0, 0};
    for (uint32_t i = 0; i < c->layers; i++)
        bytes[c->layer[i].local ? LOCAL : GLOBAL] += layer_bytes;
    for (int kind = GLOBAL; kind <= LOCAL; kind++) {
        uint64_t held = kind == LOCAL && positions > c->chunk ? c->chunk : positions;
        bytes[kind] = bytes[kind] ? (held + BLOCK - 1) / BLOCK * (HEADER + bytes[kind]) : 0;
    }
    *global = bytes[GLOBAL];
    *local = bytes[LOCAL];
}

void l4_kv_clear(l4_kv *kv)
{
    for (size_t i = 0; i < kv->n_sequences; i++) {
        table_clear(kv, GLOBAL, &kv->sequences[i].global);
        table_clear(kv, LOCAL, &kv->sequences[i].local);
        table_clear(kv, LOCAL, &kv->sequences[i].old_local);
    }
    if (kv->allocator)
        l4_free(kv->allocator, kv->sequences);
    kv->sequences = NULL;
    kv->n_sequences = 0;
}

/* The present chunk's pages step aside: kept until the decode ends if they are what it began with. */
static void next_chunk(l4_kv *kv, l4_sequence *s, uint64_t chunk)
{
    if (s->moved || !s->local.count)
        table_clear(kv, LOCAL, &s->local);
    else {
        s->old_local = s->local;
        memset(&s->local, 0, sizeof s->local);
    }
    s->moved = 1;
    s->chunk = chunk;
}

llama4_status l4_kv_reserve(l4_kv *kv, l4_sequence *s, uint64_t first, size_t tokens, llama4_error *error)
{
    uint64_t last = first + tokens - 1;
    llama4_status status = LLAMA4_OK;
    if (!s->touched) {
        s->touched = 1;
        s->old_length = s->length;
        s->old_chunk = s->chunk;
    }
    if (kv->page_bytes[GLOBAL])
        status = table_reserve(kv, GLOBAL, &s->global, (size_t)(first / BLOCK), (size_t)(last / BLOCK), error);
    if (kv->chunk && status == LLAMA4_OK) {
        uint64_t chunk = first / kv->chunk, base = chunk * kv->chunk;
        if (chunk != s->chunk)
            next_chunk(kv, s, chunk);
        status = table_reserve(kv, LOCAL, &s->local, (size_t)((first - base) / BLOCK), (size_t)((last - base) / BLOCK), error);
    }
    return status;
}

static size_t pages_for(uint64_t positions)
{
    return (size_t)((positions + BLOCK - 1) / BLOCK);
}

/* Drops pages that a sequence of this length does not need. */
static void trim(l4_kv *kv, l4_sequence *s)
{
    table_cut(kv, GLOBAL, &s->global, pages_for(s->length));
    if (kv->chunk)
        table_cut(kv, LOCAL, &s->local, pages_for(s->length - s->chunk * kv->chunk));
}

void l4_kv_commit(l4_kv *kv, l4_sequence *s, uint64_t length)
{
    table_clear(kv, LOCAL, &s->old_local);
    s->touched = s->moved = 0;
    s->length = length;
}

void l4_kv_rollback(l4_kv *kv, l4_sequence *s)
{
    if (!s->touched)
        return;
    if (s->moved) {
        table_clear(kv, LOCAL, &s->local);
        s->local = s->old_local;
        memset(&s->old_local, 0, sizeof s->old_local);
        s->chunk = s->old_chunk;
    }
    s->length = s->old_length;
    s->touched = s->moved = 0;
    trim(kv, s);
}

int l4_kv_can_truncate(const l4_kv *kv, const l4_sequence *s, uint64_t length)
{
    return length == 0 || !kv->chunk || length >= s->chunk * kv->chunk;
}

void l4_kv_truncate(l4_kv *kv, l4_sequence *s, uint64_t length)
{
    s->length = length;
    if (length == 0)
        s->chunk = 0;
    trim(kv, s);
}

static llama4_status table_copy(l4_kv *kv, const l4_kv_table *from, l4_kv_table *to, llama4_error *error)
{
    llama4_status status = l4_grow(kv->allocator, &to->pages, &to->capacity, 0, from->count, sizeof *to->pages, "a page table", error);
    if (status)
        return status;
    for (size_t i = 0; i < from->count; i++) {
        to->pages[i] = from->pages[i];
        ++*owners(to->pages[i]);
    }
    to->count = from->count;
    return LLAMA4_OK;
}

llama4_status l4_kv_fork(l4_kv *kv, const l4_sequence *from, l4_sequence *to, llama4_error *error)
{
    l4_kv_table global = {0}, local = {0};
    if (from == to)
        return LLAMA4_OK;
    llama4_status status = table_copy(kv, &from->global, &global, error);
    if (status == LLAMA4_OK)
        status = table_copy(kv, &from->local, &local, error);
    if (status) {
        table_clear(kv, GLOBAL, &global);
        table_clear(kv, LOCAL, &local);
        return status;
    }
    table_clear(kv, GLOBAL, &to->global);
    table_clear(kv, LOCAL, &to->local);
    to->global = global;
    to->local = local;
    to->length = from->length;
    to->chunk = from->chunk;
    return LLAMA4_OK;
}

const l4_kv_table *l4_kv_pages(const l4_kv *kv, const l4_sequence *s, uint32_t layer)
{
    return kv->layer_local[layer] ? &s->local : &s->global;
}

uint64_t l4_kv_base(const l4_kv *kv, const l4_sequence *s, uint32_t layer)
{
    return kv->layer_local[layer] ? s->chunk * kv->chunk : 0;
}
