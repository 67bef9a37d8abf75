/* What compilers are asked for, where they have a word for it. */
#ifndef L4_BASE_COMPILER_H
#define L4_BASE_COMPILER_H

/* 1 in builds with AddressSanitizer, which are slow and use more stack. */
#if defined(__SANITIZE_ADDRESS__)
#define L4_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define L4_SANITIZED 1
#endif
#endif
#if !defined(L4_SANITIZED)
#define L4_SANITIZED 0
#endif

/* A line of memory that is needed soon. To be read: into the first (3) or second (2) level cache. To be written: into the first. */
#if defined(__GNUC__)
#define L4_ASK_TO_READ(p, level) __builtin_prefetch(p, 0, level)
#define L4_ASK_TO_WRITE(p) __builtin_prefetch(p, 1, 3)
#else
#define L4_ASK_TO_READ(p, level) ((void)(p))
#define L4_ASK_TO_WRITE(p) ((void)(p))
#endif

/* A vector of sums is whole here, and in a register. GCC would add up in another order, and keep more products than there are registers in memory. */
#if defined(__GNUC__) && defined(__x86_64__)
#define L4_IN_REGISTER(vector) __asm__("" : "+v"(vector))
#else
#define L4_IN_REGISTER(vector) ((void)(vector))
#endif

/* A pointer from then on to anywhere: compilers would read before a loop what it reads each time, into registers that they do not have. */
#if defined(__GNUC__)
#define L4_HIDE(pointer) __asm__("" : "+r"(pointer))
#else
#define L4_HIDE(pointer) ((void)(pointer))
#endif

/* What is in memory is read again from here on: compilers would keep it in registers that have more to do. */
#if defined(__GNUC__)
#define L4_READ_AGAIN() __asm__("" ::: "memory")
#else
#define L4_READ_AGAIN() ((void)0)
#endif

/* The loop that follows, whose count is a constant of at most n, written out. clang does so in time to keep arrays in registers only if it is not told the
 * number. With sanitizers, which look at every access, it takes minutes to compile and gains nothing. */
#if L4_SANITIZED
#define L4_UNROLL(n)
#elif defined(__clang__)
#define L4_UNROLL(n) L4_PRAGMA(clang loop unroll(full))
#pragma clang diagnostic ignored "-Wpass-failed" /* where a count is none, because nothing was inlined, loops may stay */
#elif defined(__GNUC__)
#define L4_UNROLL(n) L4_PRAGMA(GCC unroll n)
#else
#define L4_UNROLL(n)
#endif
#define L4_PRAGMA(text) _Pragma(#text)

#endif
