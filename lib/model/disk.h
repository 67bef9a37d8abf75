/* Reader threads: loads queue up, and come piece by piece, those that somebody waits for first. */
#ifndef L4_MODEL_DISK_H
#define L4_MODEL_DISK_H

#include <stdatomic.h>

#include "base/crew.h"
#include "model/load.h"

/* A guess has few pieces under way at a time: if it was wrong, what is needed then shall not wait behind it. */
typedef enum l4_fetch_haste { L4_FETCH_GUESS, L4_FETCH_AHEAD, L4_FETCH_URGENT } l4_fetch_haste;

typedef enum l4_fetch_state { L4_FETCH_IDLE, L4_FETCH_QUEUED, L4_FETCH_READY, L4_FETCH_FAILED } l4_fetch_state;

/* A load on its way into memory. Everything but `load` and `memory` belongs to the reader while it is queued. */
typedef struct l4_fetch {
    l4_load load;
    uint8_t *memory;   /* load.bytes */
    l4_fetch_state state;
    l4_fetch_haste haste;
    uint32_t claimed;  /* pieces that were begun */
    uint32_t active;   /* of those, under way */
    atomic_uint arrived; /* pieces, from the first on, that are in memory */
    llama4_error error; /* when it failed */
    struct l4_fetch *next;
} l4_fetch;

#define L4_DISK_THREADS 4 /* a read under way for each: enough for a disk, while another packs what came */
#define L4_DISK_MOST_THREADS L4_CREW_MOST

typedef struct l4_disk l4_disk;

typedef struct l4_disk_how {
    size_t threads; /* 1 .. L4_DISK_MOST_THREADS */
    size_t buffer;  /* the largest l4_load_buffer, or bytes of l4_disk_gather and 2 * L4_INPUT_ALIGN, that will be needed */
    uint32_t run;   /* pieces of a load that a thread takes together, 1 at least */
    int cached;     /* what is read stays in the system's cache */
} l4_disk_how;

/* The archive must outlive the reader. */
llama4_status l4_disk_create(const l4_allocator *a, const l4_archive *archive, const l4_disk_how *how, l4_disk **out, llama4_error *error);
void l4_disk_destroy(l4_disk *r);

void l4_disk_lock(l4_disk *r);
void l4_disk_unlock(l4_disk *r);

/* The rest wants the lock held. */

/* Waits, without the lock, until a fetch has ended or about 10 ms are over: time to look whether the call was cancelled. */
void l4_disk_wait(l4_disk *r);
void l4_disk_tell(l4_disk *r); /* wakes those in l4_disk_wait */

void l4_disk_start(l4_disk *r, l4_fetch *f, l4_fetch_haste haste);
void l4_disk_hurry(l4_disk *r, l4_fetch *f); /* somebody waits for it now */
int l4_disk_drop(l4_disk *r, l4_fetch *f);   /* 1: it was queued and not begun, and is idle now */
void l4_disk_abort(l4_disk *r, l4_fetch *f); /* of no use any more: idle now, or failed when the pieces under way have come */

typedef struct l4_disk_totals {
    uint64_t bytes;  /* read from the files */
    double seconds;  /* while something was to be read */
    double awaited;  /* while somebody was in l4_disk_await */
    int direct;      /* past the system's cache */
} l4_disk_totals;

l4_disk_totals l4_disk_count(const l4_disk *r);

/* Without the lock, for a fetch that its caller keeps from being used otherwise: waits until its first `pieces` pieces are in memory. 0: they will
 * not come, or *cancel was set. */
int l4_disk_await(l4_disk *r, l4_fetch *f, uint32_t pieces, const atomic_int *cancel);

/* Without the lock: copies of `size` bytes from each of n places, addresses in the mapped files, which are not touched; out[n * size]. Fails with
 * LLAMA4_ERR_CANCELLED soon after *cancel was set, whatever the disk does. */
llama4_status l4_disk_gather(l4_disk *r, const uint8_t *const *places, size_t n, size_t size, uint8_t *out, const atomic_int *cancel,
                             llama4_error *error);

#endif
