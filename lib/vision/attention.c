#include "vision/attention.h"

#include <math.h>
#include <string.h>

#include "base/math.h"
#include "nn/dense.h"
#include "nn/rope.h"

#define ROWS L4_DENSE_ROWS
#define TOKENS L4_DENSE_TOKENS

static size_t panels(size_t n)
{
    return (n + ROWS - 1) / ROWS;
}

/* What a thread works with, for one head of one tile. */
typedef struct head {
    float *rows;   /* [positions][d]: turned */
    float *q;      /* groups of queries */
    float *k;      /* panels of keys [d][ROWS] */
    float *v;      /* panels of values [positions][ROWS], rows being dimensions */
    float *scores; /* [TOKENS][keys] */
    float *p;      /* one group of probabilities */
    size_t floats;
} head;

static head lay_out(float *scratch, size_t positions, size_t d)
{
    head h;
    h.rows = scratch;
    h.q = h.rows + positions * d;
    h.k = h.q + l4_dense_floats(positions, d);
    h.v = h.k + panels(positions) * ROWS * d;
    h.scores = h.v + panels(d) * ROWS * positions;
    h.p = h.scores + TOKENS * panels(positions) * ROWS;
    h.floats = (size_t)(h.p - scratch) + TOKENS * positions;
    return h;
}

size_t l4_vision_attention_scratch(size_t positions, size_t d)
{
    return positions * d + l4_dense_floats(positions, d) + panels(positions) * ROWS * d + panels(d) * ROWS * positions +
           TOKENS * panels(positions) * ROWS + TOKENS * positions;
}

void l4_vision_angles(size_t side, size_t half, float base, float *cosine, float *sine)
{
    const size_t quarter = half / 2;
    for (size_t j = 0; j < half; j++) {
        cosine[side * side * half + j] = 1.0f;
        sine[side * side * half + j] = 0.0f;
    }
    for (size_t k = 0; k < quarter; k++) { /* all in float32, as the reference */
        float f = 1.0f / (float)l4_pow(base, (float)(2 * k) / (float)half);
        for (size_t at = 0; at < side; at++) {
            float angle = (float)(at + 1) * f;
            double s, c;
            l4_sincos(angle, &s, &c);
            for (size_t other = 0; other < side; other++) {
                size_t x = (other * side + at) * half + k, y = (at * side + other) * half + quarter + k;
                cosine[x] = cosine[y] = (float)c;
                sine[x] = sine[y] = (float)s;
            }
        }
    }
}

typedef struct job {
    const l4_exec *exec;
    const l4_vision_attention_args *a;
    float factor;
} job;

/* Copies one head's rows and turns them. */
static void turned(const l4_vision_attention_args *a, const float *from, size_t stride, float *rows)
{
    for (size_t t = 0; t < a->positions; t++) {
        memcpy(rows + t * a->d, from + t * stride, a->d * sizeof *rows);
        l4_rope_rotate(rows + t * a->d, 1, a->d / 2, a->cosine + t * (a->d / 2), a->sine + t * (a->d / 2));
    }
}

static void gather(const job *j, const float *qkv, size_t stride, const head *h)
{
    const l4_vision_attention_args *a = j->a;
    const l4_dense_kernels *k = &j->exec->kernels->dense;
    const size_t n = a->positions, d = a->d;
    turned(a, qkv, stride, h->rows);
    for (size_t t = 0; t < n; t += TOKENS)
        k->group(h->rows + t * d, d, n - t < TOKENS ? n - t : TOKENS, d, h->q + t * d);
    turned(a, qkv + stride / 3, stride, h->rows);
    for (size_t t = 0; t < n; t += ROWS)
        k->panel(h->rows + t * d, d, n - t < ROWS ? n - t : ROWS, d, h->k + t * d);
    for (size_t i = 0; i < d; i += ROWS)
        for (size_t t = 0; t < n; t++) {
            size_t here = d - i < ROWS ? d - i : ROWS;
            float *to = h->v + i * n + t * ROWS;
            memcpy(to, qkv + 2 * (stride / 3) + t * stride + i, here * sizeof *to);
            memset(to + here, 0, (ROWS - here) * sizeof *to);
        }
}

static void one_head(const job *j, float *qkv, size_t stride, const head *h)
{
    static const float zero[ROWS];
    const l4_vision_attention_args *a = j->a;
    const l4_kernels *k = j->exec->kernels;
    const size_t n = a->positions, d = a->d, keys = panels(n) * ROWS;
    gather(j, qkv, stride, h);
    for (size_t t = 0; t < n; t += TOKENS) {
        const size_t tokens = n - t < TOKENS ? n - t : TOKENS;
        float inverse[TOKENS];
        for (size_t i = 0; i < n; i += ROWS)
            k->dense.product(h->k + i * d, h->q + t * d, d, zero, h->scores + i, keys, n - i < ROWS ? n - i : ROWS, tokens);
        for (size_t i = 0; i < tokens; i++)
            inverse[i] = 1.0f / k->dense.softmax(h->scores + i * keys, n, j->factor);
        k->dense.group(h->scores, keys, tokens, n, h->p);
        for (size_t i = 0; i < d; i += ROWS)
            k->dense.product(h->v + i * n, h->p, n, zero, qkv + t * stride + i, stride, d - i < ROWS ? d - i : ROWS, tokens);
        for (size_t i = 0; i < tokens; i++)
            k->scale(qkv + (t + i) * stride, inverse[i], NULL, qkv + (t + i) * stride, d);
    }
}

static void task(void *argument, size_t begin, size_t end, int worker)
{
    const job *j = argument;
    const l4_vision_attention_args *a = j->a;
    const size_t stride = 3 * a->heads * a->d;
    const head h = lay_out(j->exec->scratch + (size_t)worker * j->exec->scratch_size, a->positions, a->d);
    for (size_t i = begin; i < end; i++)
        one_head(j, a->qkv + i / a->heads * a->positions * stride + i % a->heads * a->d, stride, &h);
}

void l4_vision_attention(const l4_exec *e, const l4_vision_attention_args *args)
{
    job j = {e, args, 1.0f / sqrtf((float)args->d)};
    l4_pool_run(e->pool, task, &j, args->tiles * args->heads, 1);
}
