/* A few threads that work in the background, such as those that read from the disk, and the one lock that they share with their employer.
 * Idle ones sleep. */
#ifndef L4_BASE_CREW_H
#define L4_BASE_CREW_H

#include "base/alloc.h"

#define L4_CREW_MOST 16

typedef struct l4_crew l4_crew;

/* Called with the lock held. Returns 0 if there is nothing to do. Otherwise does one piece of work, giving the lock up meanwhile and taking
 * it again, and returns 1. */
typedef int (*l4_crew_fn)(void *user, int worker);

llama4_status l4_crew_create(const l4_allocator *a, int threads, l4_crew_fn fn, void *user, l4_crew **out, llama4_error *error);

/* Waits for the pieces of work that are under way, and for no others. */
void l4_crew_destroy(l4_crew *crew);

void l4_crew_lock(l4_crew *crew);
void l4_crew_unlock(l4_crew *crew);

/* With the lock held: there is work now. */
void l4_crew_call(l4_crew *crew);

/* With the lock held: wakes whoever is in l4_crew_wait. */
void l4_crew_tell(l4_crew *crew);

/* With the lock held, which is given up meanwhile: waits for l4_crew_tell, or until so many milliseconds are over. */
void l4_crew_wait(l4_crew *crew, unsigned ms);

#endif
