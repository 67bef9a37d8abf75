/* A hash table over names that its user stores: slots hold index + 1, and 0 where empty. A search that goes on for too long means that a
 * file was made to collide, and is an error: so the table stays fast whatever the file holds. */
#ifndef L4_FORMAT_NAMES_H
#define L4_FORMAT_NAMES_H

#include <stddef.h>
#include <stdint.h>

#define L4_NAMES_PROBES 256

static inline size_t l4_names_hash(const char *name, size_t length)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < length; i++)
        h = (h ^ (uint8_t)name[i]) * 0x100000001b3u;
    h ^= h >> 32;
    h *= 0x9e3779b97f4a7c15u;
    return (size_t)(h >> 32);
}

/* Slots for n names: a power of two, at least twice as many. */
static inline size_t l4_names_slots(size_t n)
{
    size_t slots = 16;
    while (slots / 2 < n)
        slots *= 2;
    return slots;
}

#endif
