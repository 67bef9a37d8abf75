/* Sixteen int32 lanes, and sixteen rows of four unsigned weights, in portable C. */
#ifndef L4_KERNELS_P16_H
#define L4_KERNELS_P16_H

#include "kernels/v16_generic.h"

#define L4_PANEL_TOKENS 4
#define L4_PREFETCH 2048
#define L4_ALWAYS_INLINE

typedef struct p16 {
    int32_t lane[16];
} p16;

typedef struct p16w {
    uint8_t byte[64];
} p16w;

static inline p16w p16_load(const uint8_t *p)
{
    p16w w;
    memcpy(w.byte, p, sizeof w.byte);
    return w;
}

static inline p16w p16_low(p16w w)
{
    for (int i = 0; i < 64; i++)
        w.byte[i] &= 15;
    return w;
}

static inline p16w p16_high(p16w w)
{
    for (int i = 0; i < 64; i++)
        w.byte[i] >>= 4;
    return w;
}

static inline p16 p16_set(int32_t x)
{
    p16 r;
    for (int i = 0; i < 16; i++)
        r.lane[i] = x;
    return r;
}

static inline p16 p16_add(p16 a, p16 b)
{
    for (int i = 0; i < 16; i++)
        a.lane[i] += b.lane[i];
    return a;
}

/* acc[r] += w[r][0] * x[0] + ... + w[r][3] * x[3] */
static inline p16 p16_dot_u8(p16 acc, p16w w, const int8_t *x)
{
    for (int i = 0; i < 16; i++)
        acc.lane[i] += w.byte[4 * i] * x[0] + w.byte[4 * i + 1] * x[1] + w.byte[4 * i + 2] * x[2] + w.byte[4 * i + 3] * x[3];
    return acc;
}

/* The same for weights of at most 15. */
static inline p16 p16_dot_u4(p16 acc, p16w w, const int8_t *x)
{
    return p16_dot_u8(acc, w, x);
}

static inline v16 p16_to_v16(p16 a)
{
    v16 r;
    for (int i = 0; i < 16; i++)
        r.lane[i] = (float)a.lane[i];
    return r;
}

static inline void p16_prefetch(const uint8_t *p)
{
    (void)p;
}

#endif
