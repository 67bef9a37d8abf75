/* Which experts a batch needs -> slots that hold them. See experts.h for the rules. */
#include "model/experts.h"

#include <string.h>

#define NONE L4_NO_EXPERT

/* What a visit knows of an expert. */
enum { UNUSED, WANTED, MISSED, JOINED, COMING, HELD, DONE }; /* JOINED: somebody else had it read */

typedef struct slot {
    l4_fetch fetch;     /* .memory NULL: the slot has no memory now */
    l4_ffn ffn;
    uint32_t entry;     /* layer * experts + expert; NONE: empty */
    uint32_t pins;      /* visits that wait for it or hold it */
    uint64_t used;      /* when it was last put into the queue, or given back */
    uint8_t cold;       /* used by a scan only: goes first */
    uint8_t ahead;      /* read ahead, not yet asked for */
    uint8_t scanned;    /* brought by a scan */
} slot;

struct l4_experts {
    const l4_allocator *allocator;
    l4_budget *budget;
    const l4_weights *weights;
    const l4_archive *archive;
    l4_disk *disk;
    uint32_t per_layer, entries;
    uint32_t *table;    /* [entries]: slot, or NONE */
    slot *slots;        /* [most] */
    uint32_t most, alive; /* slots that may be, and that have memory */
    uint64_t slot_bytes, clock;
    l4_experts_totals totals;
    uint32_t guesses, right; /* of late */
};

static const l4_ffn *bound(const l4_experts *x, uint32_t entry)
{
    return &x->weights->layers[entry / x->per_layer].experts[entry % x->per_layer];
}

llama4_status l4_experts_measure(const l4_weights *w, const l4_archive *archive, uint64_t *slot_bytes, size_t *buffer, llama4_error *error)
{
    llama4_status status = LLAMA4_OK;
    *slot_bytes = 0;
    for (uint32_t i = 0; i < w->config.layers; i++)
        for (uint32_t e = 0; w->layers[i].experts && e < w->config.experts && status == LLAMA4_OK; e++) {
            l4_load load;
            memset(&load, 0, sizeof load);
            status = l4_load_add_ffn(&load, archive, &w->layers[i].experts[e], error);
            *slot_bytes = load.bytes > *slot_bytes ? load.bytes : *slot_bytes;
            *buffer = l4_load_buffer(&load) > *buffer ? l4_load_buffer(&load) : *buffer;
        }
    return status;
}

/* ---- slots ---- */

/* Nobody finds the expert in this slot any more. */
static void forget(l4_experts *x, slot *s)
{
    if (s->entry != NONE)
        x->table[s->entry] = NONE;
    x->totals.wasted += s->ahead;
    s->entry = NONE;
    s->cold = s->ahead = s->scanned = 0;
}

static void empty(l4_experts *x, slot *s)
{
    forget(x, s);
    s->fetch.state = L4_FETCH_IDLE;
}

/* The slot whose loss costs least: empty, then the last used by a scan, then the one not used for longest, then what was read ahead. NULL if
 * all are in use; without `any`, also if only the last two kinds are left. */
static slot *victim(const l4_experts *x, int any)
{
    slot *best = NULL;
    int best_rank = 4;
    for (uint32_t i = 0; i < x->most; i++) {
        slot *s = &x->slots[i];
        if (!s->fetch.memory || s->pins || s->fetch.state == L4_FETCH_QUEUED)
            continue;
        const int rank = s->entry == NONE || s->fetch.state == L4_FETCH_FAILED ? 0 : s->cold ? 1 : !s->ahead ? 2 : 3;
        if (rank > best_rank || (rank >= 2 && !any))
            continue;
        if (rank < best_rank || (rank == 2 ? s->used < best->used : s->used > best->used)) {
            best = s;
            best_rank = rank;
        }
    }
    return best;
}

/* A slot that was to be read ahead, and was not begun. */
static slot *postponed(l4_experts *x)
{
    for (uint32_t i = x->most; i-- > 0;)
        if (x->slots[i].pins == 0 && l4_disk_drop(x->disk, &x->slots[i].fetch))
            return &x->slots[i];
    return NULL;
}

static slot *new_slot(l4_experts *x)
{
    if (x->alive == x->most || !l4_budget_take(x->budget, x->slot_bytes))
        return NULL;
    for (uint32_t i = 0; i < x->most; i++) {
        slot *s = &x->slots[i];
        if (s->fetch.memory)
            continue;
        if (l4_alloc(x->allocator, (size_t)x->slot_bytes, 1, "an expert", &s->fetch.memory, NULL))
            break;
        l4_memory_large_pages(s->fetch.memory, (size_t)x->slot_bytes);
        x->alive++;
        return s;
    }
    l4_budget_return(x->budget, x->slot_bytes);
    return NULL;
}

/* Slots that scans fill: as many as reading ahead needs, but no more than half. */
static int scan_may_grow(const l4_experts *x)
{
    uint32_t n = 0, most = x->alive / 2 > 2 ? x->alive / 2 : 2;
    for (uint32_t i = 0; i < x->most; i++)
        n += x->slots[i].scanned;
    return n < (most < 2 * x->per_layer ? most : 2 * x->per_layer);
}

static slot *free_slot(l4_experts *x, int urgent)
{
    slot *s = victim(x, 0);
    if (!s || s->entry != NONE) {
        slot *fresh = new_slot(x);
        s = fresh ? fresh : s;
    }
    if (!s && (urgent || scan_may_grow(x)))
        s = victim(x, 1);
    if (!s && urgent)
        s = postponed(x);
    if (s)
        empty(x, s);
    return s;
}

static void start(l4_experts *x, slot *s, uint32_t entry, l4_fetch_haste haste)
{
    const l4_ffn *f = bound(x, entry);
    memset(&s->fetch.load, 0, sizeof s->fetch.load);
    if (l4_load_add_ffn(&s->fetch.load, x->archive, f, NULL)) /* it was measured: this cannot be */
        return;
    s->entry = entry;
    s->used = ++x->clock;
    x->table[entry] = (uint32_t)(s - x->slots);
    s->ffn = l4_load_ffn(&s->fetch.load, f, s->fetch.memory);
    l4_disk_start(x->disk, &s->fetch, haste);
}

static void unpin(l4_experts *x, slot *s)
{
    if (--s->pins)
        return;
    if (s->fetch.state == L4_FETCH_FAILED)
        empty(x, s);
    l4_disk_tell(x->disk); /* somebody may wait for a slot */
}

/* ---- visits ---- */

/* Three quarters of them must be right. On the way to a right one the disk would have stood still for the time of attention, and a wrong one costs a
 * slot and what of it was read: with a disk of 3 GB/s all right were worth 5 % of decoding, a third right cost 5 %. */
static int guesses_pay(const l4_experts *x)
{
    return x->guesses >= 32 && 4 * x->right >= 3 * x->guesses;
}

static void judge(l4_experts *x, const l4_visit *v, const l4_guess *g)
{
    if (x->guesses > 512) {
        x->guesses /= 2;
        x->right /= 2;
    }
    for (uint32_t i = 0; i < g->n; i++) {
        const uint32_t right = v->state[g->expert[i]] == WANTED;
        x->guesses++, x->right += right;
        x->totals.guesses++, x->totals.right += right;
    }
}

void l4_experts_begin(l4_experts *x, l4_visit *v, uint32_t layer, const uint32_t *counts, const l4_guess *earlier)
{
    uint32_t wanted = 0;
    for (uint32_t e = 0; e < x->per_layer; e++) {
        v->state[e] = counts[e + 1] > counts[e] ? WANTED : UNUSED;
        wanted += v->state[e] == WANTED;
    }
    v->layer = layer;
    v->left = wanted;
    v->scan = wanted > 1 && wanted >= (x->per_layer * 3 + 3) / 4;
    const uint32_t first = layer * x->per_layer;
    l4_disk_lock(x->disk);
    if (earlier->n && earlier->layer == layer)
        judge(x, v, earlier);
    for (uint32_t i = 0; i < x->most; i++) { /* wrong guesses */
        slot *s = &x->slots[i];
        if (!s->ahead || (v->scan && s->entry >= first + x->per_layer) || (s->entry - first < x->per_layer && v->state[s->entry - first]))
            continue;
        l4_disk_abort(x->disk, &s->fetch);
        if (s->fetch.state == L4_FETCH_READY) {
            s->ahead = 0;
            s->cold = 1;
            x->totals.wasted++;
        } else
            forget(x, s); /* its last pieces may still be on the way */
    }
    l4_disk_unlock(x->disk);
}

/* Moves one expert on as far as it goes without waiting. */
static void look(l4_experts *x, l4_visit *v, uint32_t e)
{
    const uint32_t entry = v->layer * x->per_layer + e, at = x->table[entry];
    slot *s = at == NONE ? NULL : &x->slots[at];
    if (v->state[e] == WANTED) {
        x->totals.requests++;
        x->totals.hits += s && s->fetch.state == L4_FETCH_READY;
        v->state[e] = MISSED;
    }
    if (v->state[e] == MISSED) {
        if (s && s->fetch.state == L4_FETCH_FAILED) { /* in vain for others: perhaps now */
            if (s->pins)
                return;
            empty(x, s);
            s = NULL;
        }
        const int joined = s != NULL;
        if (!s) {
            s = free_slot(x, 1);
            if (!s)
                return;
            start(x, s, entry, L4_FETCH_URGENT);
            s->scanned = (uint8_t)v->scan;
        } else if (s->fetch.state == L4_FETCH_QUEUED)
            l4_disk_hurry(x->disk, &s->fetch);
        s->pins++;
        s->ahead = 0;
        v->slot[e] = (uint32_t)(s - x->slots);
        v->state[e] = joined ? JOINED : COMING;
    }
    if (v->state[e] != JOINED && v->state[e] != COMING)
        return;
    s = &x->slots[v->slot[e]];
    if (s->fetch.state == L4_FETCH_READY)
        v->state[e] = HELD;
    else if (s->fetch.state == L4_FETCH_FAILED && v->state[e] == JOINED) { /* perhaps it failed before this visit began */
        unpin(x, s);
        v->state[e] = MISSED;
    }
}

/* Once all that this layer needs is on its way: the next mixture layer's experts, since a scan will need nearly all of those. */
static void read_ahead(l4_experts *x, const l4_visit *v)
{
    uint32_t layer = v->layer + 1;
    while (layer < x->weights->config.layers && !x->weights->layers[layer].experts)
        layer++;
    if (layer == x->weights->config.layers)
        return;
    for (uint32_t e = 0; e < x->per_layer; e++) {
        const uint32_t entry = layer * x->per_layer + e;
        if (x->table[entry] != NONE)
            continue;
        slot *s = free_slot(x, 0);
        if (!s)
            return;
        start(x, s, entry, L4_FETCH_AHEAD);
        s->ahead = s->scanned = 1;
        x->totals.ahead++;
    }
}

/* Guesses are read into slots that nothing newer has a use for. */
static void read_guesses(l4_experts *x, l4_visit *v)
{
    for (uint32_t i = 0; i < v->guess.n && guesses_pay(x); i++) {
        const uint32_t entry = v->guess.layer * x->per_layer + v->guess.expert[i];
        if (x->table[entry] != NONE)
            continue;
        slot *s = victim(x, 0);
        if (!s || s->entry != NONE) {
            slot *fresh = new_slot(x);
            s = fresh ? fresh : s ? s : victim(x, 1);
        }
        if (!s)
            break;
        empty(x, s);
        start(x, s, entry, L4_FETCH_GUESS);
        s->ahead = 1;
        x->totals.ahead++;
    }
    v->guess.n = 0;
}

/* One round over the experts: how many can be taken, or the fetch that failed. */
static const l4_fetch *look_around(l4_experts *x, l4_visit *v, const l4_ffn **ffn, size_t *taken)
{
    size_t homeless = 0;
    *taken = 0;
    v->coming = NONE;
    for (uint32_t e = 0; e < x->per_layer; e++) {
        ffn[e] = NULL;
        if (v->state[e] == UNUSED || v->state[e] == DONE)
            continue;
        look(x, v, e);
        if (v->state[e] == COMING && x->slots[v->slot[e]].fetch.state == L4_FETCH_FAILED)
            return &x->slots[v->slot[e]].fetch;
        homeless += v->state[e] == MISSED;
        if (v->state[e] == HELD) {
            ffn[e] = &x->slots[v->slot[e]].ffn;
            ++*taken;
        } else if (!v->scan && v->state[e] != MISSED && (v->coming == NONE || x->slots[v->slot[e]].used < x->slots[v->slot[v->coming]].used))
            v->coming = e;
    }
    if (v->coming != NONE) {
        slot *s = &x->slots[v->slot[v->coming]];
        v->arrival.disk = x->disk;
        v->arrival.fetch = &s->fetch;
        ffn[v->coming] = &s->ffn;
        ++*taken;
    }
    if (v->scan && !homeless)
        read_ahead(x, v);
    if (!v->scan && !homeless)
        read_guesses(x, v);
    return NULL;
}

static void drop_all(l4_experts *x, l4_visit *v)
{
    for (uint32_t e = 0; e < x->per_layer; e++) {
        if (v->state[e] == JOINED || v->state[e] == COMING || v->state[e] == HELD)
            unpin(x, &x->slots[v->slot[e]]);
        v->state[e] = UNUSED;
    }
    v->left = 0;
}

llama4_status l4_experts_take(l4_experts *x, l4_visit *v, int wait, const atomic_int *cancel, const l4_ffn **ffn, llama4_error *error)
{
    llama4_status status = LLAMA4_OK;
    size_t taken = 0;
    double start_of_wait = 0;
    v->arrival.cancel = cancel;
    l4_disk_lock(x->disk);
    for (;;) {
        const l4_fetch *failed = look_around(x, v, ffn, &taken);
        if (failed)
            status = l4_fail(error, failed->error.status, "%s", failed->error.message);
        else if (((wait && !taken) || v->coming != NONE) && atomic_load(cancel))
            status = l4_fail(error, LLAMA4_ERR_CANCELLED, "cancelled while experts were read");
        else if (wait && !taken && !x->alive)
            status = l4_fail(error, LLAMA4_ERR_MEMORY, "out of memory: %llu bytes for an expert", (unsigned long long)x->slot_bytes);
        if (status || taken || !wait || !v->left)
            break;
        if (start_of_wait == 0)
            start_of_wait = l4_clock();
        l4_disk_wait(x->disk);
    }
    if (start_of_wait != 0)
        x->totals.wait_seconds += l4_clock() - start_of_wait;
    if (status)
        drop_all(x, v);
    l4_disk_unlock(x->disk);
    return status;
}

void l4_experts_give(l4_experts *x, l4_visit *v)
{
    l4_disk_lock(x->disk);
    for (uint32_t e = 0; e < x->per_layer; e++) {
        if (v->state[e] != HELD && e != v->coming)
            continue;
        slot *s = &x->slots[v->slot[e]];
        if (s->fetch.state != L4_FETCH_READY)
            continue; /* failed, or cancelled */
        s->used = ++x->clock;
        if (!v->scan)
            s->cold = s->scanned = 0;
        else if (s->scanned)
            s->cold = 1;
        unpin(x, s);
        v->state[e] = DONE;
        v->left--;
    }
    l4_disk_unlock(x->disk);
}

int l4_arrival_wait(const l4_arrival *a, const l4_matrix *m, size_t rows)
{
    return l4_disk_await(a->disk, a->fetch, l4_load_reach(&a->fetch->load, a->fetch->memory, m, rows), a->cancel);
}

void l4_experts_end(l4_experts *x, l4_visit *v)
{
    l4_disk_lock(x->disk);
    drop_all(x, v);
    l4_disk_unlock(x->disk);
}

/* ---- the whole ---- */

static void free_memory(l4_experts *x, slot *s)
{
    l4_free(x->allocator, s->fetch.memory);
    s->fetch.memory = NULL;
    l4_budget_return(x->budget, x->slot_bytes);
    x->alive--;
}

/* Others need memory: a slot less. */
static int make_room(void *user)
{
    l4_experts *x = user;
    int result = 0;
    l4_disk_lock(x->disk);
    if (x->alive > L4_EXPERTS_KEPT) {
        slot *s = victim(x, 1);
        s = s ? s : postponed(x);
        if (s) {
            empty(x, s);
            free_memory(x, s);
        } else
            l4_disk_wait(x->disk); /* all are in use, though not for long */
        result = 1;
    }
    l4_disk_unlock(x->disk);
    return result;
}

llama4_status l4_experts_create(const l4_allocator *a, l4_budget *budget, const l4_weights *w, const l4_archive *archive, l4_disk *disk,
                                uint64_t slot_bytes, uint32_t slots, l4_experts **out, llama4_error *error)
{
    l4_experts *x;
    llama4_status status = l4_alloc_zero(a, 1, sizeof *x, "the experts", &x, error);
    if (status)
        return status;
    x->allocator = a;
    x->budget = budget;
    x->weights = w;
    x->archive = archive;
    x->disk = disk;
    x->slot_bytes = slot_bytes;
    x->per_layer = w->config.experts;
    x->entries = w->config.layers * w->config.experts; /* at most L4_MAX_LAYERS * 65536 */
    uint32_t all = 0;
    for (uint32_t i = 0; i < w->config.layers; i++)
        all += w->layers[i].experts ? x->per_layer : 0;
    const uint64_t fit = l4_budget_limit(budget) / slot_bytes;
    x->most = fit < all ? (uint32_t)fit : all;
    x->most = slots && slots < x->most ? slots : x->most;
    status = l4_alloc(a, x->entries, sizeof *x->table, "the experts", &x->table, error);
    if (status == LLAMA4_OK)
        status = l4_alloc_zero(a, x->most, sizeof *x->slots, "the experts", &x->slots, error);
    if (status) {
        l4_experts_destroy(x);
        return status;
    }
    for (uint32_t i = 0; i < x->entries; i++)
        x->table[i] = NONE;
    for (uint32_t i = 0; i < x->most; i++)
        x->slots[i].entry = NONE;
    for (uint32_t i = 0; i < L4_EXPERTS_KEPT && i < x->most; i++)
        if (!new_slot(x)) {
            l4_experts_destroy(x);
            return l4_fail(error, LLAMA4_ERR_MEMORY, "out of memory: %llu bytes for each expert in memory", (unsigned long long)slot_bytes);
        }
    l4_budget_set_helper(budget, make_room, x);
    *out = x;
    return LLAMA4_OK;
}

void l4_experts_destroy(l4_experts *x)
{
    if (!x)
        return;
    l4_budget_set_helper(x->budget, NULL, NULL);
    for (uint32_t i = 0; x->slots && i < x->most; i++)
        if (x->slots[i].fetch.memory)
            free_memory(x, &x->slots[i]);
    l4_free(x->allocator, x->slots);
    l4_free(x->allocator, x->table);
    l4_free(x->allocator, x);
}

uint64_t l4_experts_room(l4_experts *x)
{
    l4_disk_lock(x->disk);
    const uint64_t used = l4_budget_used(x->budget), limit = l4_budget_limit(x->budget), slots = x->alive * x->slot_bytes;
    l4_disk_unlock(x->disk);
    return limit > used - slots ? limit - (used - slots) : 0;
}

l4_experts_totals l4_experts_count(l4_experts *x)
{
    l4_disk_lock(x->disk);
    l4_experts_totals t = x->totals;
    t.slot_bytes = x->slot_bytes;
    t.slots = x->alive;
    t.most_slots = x->most;
    t.read = l4_disk_count(x->disk);
    t.wait_seconds += t.read.awaited;
    l4_disk_unlock(x->disk);
    return t;
}

size_t l4_experts_list(l4_experts *x, uint32_t *entries, size_t capacity)
{
    size_t n = 0;
    uint64_t before = UINT64_MAX;
    l4_disk_lock(x->disk);
    for (;; n++) { /* few enough to look for the next one each time */
        const slot *next = NULL;
        for (uint32_t i = 0; i < x->most; i++) {
            const slot *s = &x->slots[i];
            if (s->entry != NONE && s->fetch.state == L4_FETCH_READY && s->used < before && (!next || s->used > next->used))
                next = s;
        }
        if (!next)
            break;
        before = next->used;
        if (n < capacity)
            entries[n] = next->entry;
    }
    l4_disk_unlock(x->disk);
    return n;
}

void l4_experts_warm(l4_experts *x, const uint32_t *entries, size_t n)
{
    l4_disk_lock(x->disk);
    for (size_t i = 0; i < n; i++) {
        if (entries[i] >= x->entries || x->table[entries[i]] != NONE || !x->weights->layers[entries[i] / x->per_layer].experts)
            continue;
        slot *s = victim(x, 0);
        s = s && s->entry == NONE ? s : new_slot(x);
        if (!s)
            break;
        start(x, s, entries[i], L4_FETCH_AHEAD);
        s->used = x->clock + (n - i); /* the first is the one used last */
    }
    x->clock += n;
    l4_disk_unlock(x->disk);
}
