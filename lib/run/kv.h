/*
 * Keys and values of running sequences, in pages of L4_ATTENTION_BLOCK positions. Layers that attend inside their chunk (local) keep
 * the present chunk only; the others (global) keep everything. A page holds the positions of all layers of its class.
 * Sequences made by forking share pages until one of them writes.
 */
#ifndef L4_RUN_KV_H
#define L4_RUN_KV_H

#include "model/config.h"
#include "nn/attention.h"

typedef struct l4_kv_table {
    uint8_t **pages; /* [count]; each has its owners counted in front of it */
    size_t count, capacity;
} l4_kv_table;

typedef struct l4_sequence {
    uint64_t length;
    uint64_t chunk;        /* the one that `local` holds */
    l4_kv_table global, local;
    /* While a decode is under way: what to go back to. */
    uint64_t old_length, old_chunk;
    l4_kv_table old_local; /* pages of old_chunk, when `chunk` has moved on */
    int touched, moved;
    /* For the batch builder. */
    uint64_t planned;      /* length with the items checked so far */
    uint64_t batch_chunk, batch_stamp;
    size_t batch_count, batch_first;
} l4_sequence;

typedef struct l4_kv {
    const l4_allocator *allocator;
    l4_sequence *sequences;
    size_t n_sequences;
    uint32_t chunk;                      /* 0: no local layers */
    size_t page_bytes[2];                /* of a global, a local page */
    size_t layer_offset[L4_MAX_LAYERS];  /* in a page of its class */
    uint8_t layer_local[L4_MAX_LAYERS];
    int slot;                            /* L4_KV_..._SLOT */
    uint64_t bytes;                      /* held now */
} l4_kv;

/* L4_KV_..._SLOT of a LLAMA4_KV_ value */
int l4_kv_slot(int32_t kv_type);

llama4_status l4_kv_init(l4_kv *kv, const l4_allocator *a, const l4_config *c, size_t n_sequences, int slot, llama4_error *error);
void l4_kv_clear(l4_kv *kv);

/* Bytes that one sequence of so many positions holds: of all global layers, of all local ones. */
void l4_kv_measure(const l4_config *c, int slot, uint64_t positions, uint64_t *global, uint64_t *local);

/* Makes room for `tokens` more positions of one chunk behind position `first`; nobody else shares the pages then. Keeps what is needed to go back. */
llama4_status l4_kv_reserve(l4_kv *kv, l4_sequence *s, uint64_t first, size_t tokens, llama4_error *error);

/* After a decode: keep, or forget, what was added since the first l4_kv_reserve. */
void l4_kv_commit(l4_kv *kv, l4_sequence *s, uint64_t length);
void l4_kv_rollback(l4_kv *kv, l4_sequence *s);

/* Shortens to `length`, which lies in the present chunk, or is 0. */
void l4_kv_truncate(l4_kv *kv, l4_sequence *s, uint64_t length);
int l4_kv_can_truncate(const l4_kv *kv, const l4_sequence *s, uint64_t length);

llama4_status l4_kv_fork(l4_kv *kv, const l4_sequence *from, l4_sequence *to, llama4_error *error);

/* The pages that a layer's attention reads for a sequence, and the position of their first key. */
const l4_kv_table *l4_kv_pages(const l4_kv *kv, const l4_sequence *s, uint32_t layer);
uint64_t l4_kv_base(const l4_kv *kv, const l4_sequence *s, uint32_t layer);

#endif
