/* What the processor can do at most, measured: the roofline that llama4 bench holds its rates against. */
#ifndef CLI_MACHINE_H
#define CLI_MACHINE_H

#include <stddef.h>
#include <stdint.h>

/* Bytes per second that so many threads read together from a buffer of `bytes`, which should be far larger than the caches. 0 if
 * there is no memory for it. `level` is the LLAMA4_CPU_ value in use: it says how wide the loads may be. */
double machine_bandwidth(int threads, int32_t level, size_t bytes);

/* 8-bit integer operations per second, a multiplication and an addition being two, that so many threads do together out of
 * registers with the best instructions of `level`. 0 where nobody wrote that loop. */
double machine_int8_peak(int threads, int32_t level);

/* The processor's name for itself, or what family it is of. */
void machine_name(char *name, size_t size);

#endif
