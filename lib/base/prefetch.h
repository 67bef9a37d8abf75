/* A line of memory that is needed soon; nothing where compilers have no word for it. */
#ifndef L4_BASE_PREFETCH_H
#define L4_BASE_PREFETCH_H

/* To be read: into the first (3) or second (2) level cache. To be written: into the first. */
#if defined(__GNUC__)
#define L4_ASK_TO_READ(p, level) __builtin_prefetch(p, 0, level)
#define L4_ASK_TO_WRITE(p) __builtin_prefetch(p, 1, 3)
#else
#define L4_ASK_TO_READ(p, level) ((void)(p))
#define L4_ASK_TO_WRITE(p) ((void)(p))
#endif

#endif
