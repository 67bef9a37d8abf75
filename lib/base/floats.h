/*
 * The floating-point unit as C programs find it when they start: it rounds to nearest, keeps subnormal numbers, and no exception traps.
 * A host may have set it otherwise (interval arithmetic, audio, the run-time libraries of other languages); results must not depend on that, and what
 * is an infinity or a NaN here must not end the process. Threads of our own begin like this; every public call that could compute begins with
 * L4_OWN_FLOATS, which lasts until it returns, whatever the way. The host's flags of exceptions stay as they were.
 */
#ifndef L4_BASE_FLOATS_H
#define L4_BASE_FLOATS_H

#include <stdint.h>
#if !defined(__x86_64__) && !defined(__aarch64__)
#include <fenv.h>
#endif

typedef struct l4_floats {
#if defined(__x86_64__) || defined(__aarch64__)
    uint64_t control, flags; /* MXCSR has both in one register */
#else
    fenv_t all;
#endif
} l4_floats;

l4_floats l4_floats_enter(void);
void l4_floats_leave(const l4_floats *before);

#if defined(__GNUC__)
#define L4_OWN_FLOATS __attribute__((cleanup(l4_floats_leave), unused)) const l4_floats floats_before = l4_floats_enter()
#else
#define L4_OWN_FLOATS ((void)0)
#endif

#endif
