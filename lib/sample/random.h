/* Random numbers from a seed: xoshiro256** (Blackman and Vigna), its state filled by SplitMix64. Integers only, so that every
 * machine draws the same numbers. Not for secrets. */
#ifndef L4_SAMPLE_RANDOM_H
#define L4_SAMPLE_RANDOM_H

#include <stdint.h>

typedef struct l4_random {
    uint64_t state[4];
} l4_random;

void l4_random_seed(l4_random *r, uint64_t seed);

/* 64 random bits. */
uint64_t l4_random_bits(l4_random *r);

/* A multiple of 2^-53 in [0, 1), each equally likely. */
double l4_random_unit(l4_random *r);

#endif
