/*
 * Routed experts that do not all fit into memory. A fixed number of slots holds some, packed as the kernels want them; the others are read
 * when a batch needs them. Any number of contexts share the slots.
 *
 * A batch visits a layer: it says which experts it needs, takes those that are there and one that is on its way, computes with them, gives
 * them back, and comes again for the next. Nobody waits for a slot while using one, so any number of slots, down to one, gets everybody through.
 */
#ifndef L4_MODEL_EXPERTS_H
#define L4_MODEL_EXPERTS_H

#include <stdatomic.h>

#include "base/budget.h"
#include "model/disk.h"

#define L4_EXPERTS_KEPT 2 /* slots that others' need of memory leaves */
#define L4_NO_EXPERT UINT32_MAX

typedef struct l4_experts l4_experts;

/* Slots of so many bytes hold any expert of these weights; 0: they have none. buffer: of the reader. */
llama4_status l4_experts_measure(const l4_weights *w, const l4_archive *archive, uint64_t *slot_bytes, size_t *buffer, llama4_error *error);

/* Slots are made as they are needed, as far as the budget goes, but at most `slots` (0: no such limit), and given back when others need the
 * memory, down to L4_EXPERTS_KEPT. The reader is destroyed before the
 * experts, all else after them. */
llama4_status l4_experts_create(const l4_allocator *a, l4_budget *budget, const l4_weights *w, const l4_archive *archive, l4_disk *disk,
                                uint64_t slot_bytes, uint32_t slots, l4_experts **out, llama4_error *error);
void l4_experts_destroy(l4_experts *x);

/* Which experts a layer to come will probably need, by a look at its router too early. */
#define L4_GUESSES 4

typedef struct l4_guess {
    uint32_t layer, n; /* n 0: none */
    uint32_t expert[L4_GUESSES];
} l4_guess;

/* An expert on its way: gate, up and down come one after the other, each from its first row on. */
typedef struct l4_arrival {
    l4_disk *disk;
    l4_fetch *fetch;
    const atomic_int *cancel;
} l4_arrival;

/* Waits for the first rows of one of its matrices. 0: they will not come, or *cancel was set; l4_experts_take says why. */
int l4_arrival_wait(const l4_arrival *a, const l4_matrix *m, size_t rows);

/* One batch in one layer. */
typedef struct l4_visit {
    uint32_t layer;
    int scan;         /* so many tokens that they need nearly every expert: what is read is not kept in favour of what was there */
    uint8_t *state;   /* [experts]; both arrays are the caller's */
    uint32_t *slot;   /* [experts] */
    size_t left;      /* experts that were not given back yet */
    uint32_t coming;  /* the one of those taken that is on its way, or L4_NO_EXPERT */
    l4_arrival arrival;
    l4_guess guess;   /* the caller's, of a layer after this one */
} l4_visit;

/* counts[e] .. counts[e + 1]: the tokens of expert e; it is needed if there are any. `earlier`: what had been guessed for this layer, if it was.
 * What is guessed for the next one, v->guess, is read once all that is needed is on its way, as long as most guesses were right so far. */
void l4_experts_begin(l4_experts *x, l4_visit *v, uint32_t layer, const uint32_t *counts, const l4_guess *earlier);

/* Sets ffn[e] of each expert that is there now and, unless this is a scan, of v->coming, NULL for the others, and has the missing ones read.
 * With `wait`, returns when there is at least one. On failure nothing is held any more. */
llama4_status l4_experts_take(l4_experts *x, l4_visit *v, int wait, const atomic_int *cancel, const l4_ffn **ffn, llama4_error *error);

/* The ones that were taken last are no longer used; v->coming is still wanted if it has not come. */
void l4_experts_give(l4_experts *x, l4_visit *v);

/* Gives up what is still wanted. */
void l4_experts_end(l4_experts *x, l4_visit *v);

/* Bytes of the budget that nothing but slots uses, or could. */
uint64_t l4_experts_room(l4_experts *x);

typedef struct l4_experts_totals {
    uint64_t slot_bytes, slots, most_slots; /* slots in memory now, and that there could be by number */
    uint64_t requests, hits;   /* experts asked for, and of those already in memory */
    uint64_t ahead, wasted;    /* read before they were asked for; and of those never used */
    uint64_t guesses, right;   /* experts guessed from the layer before, whether or not they were read; and of those needed */
    double wait_seconds;       /* while computing threads waited, all or some of them */
    l4_disk_totals read;
} l4_experts_totals;

l4_experts_totals l4_experts_count(l4_experts *x);

/* What is in memory, the last used first: entry i is layer * experts + expert. Returns their number; writes at most `capacity`. */
size_t l4_experts_list(l4_experts *x, uint32_t *entries, size_t capacity);

/* Has experts read that will probably be needed, the first ones with priority, as far as there is room. */
void l4_experts_warm(l4_experts *x, const uint32_t *entries, size_t n);

#endif
