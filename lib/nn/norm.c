#include "nn/norm.h"

#include <math.h>

void l4_rms_norm(const l4_kernels *k, const float *x, const float *w, float epsilon, float *out, size_t n)
{
    float mean = k->sum_squares(x, n) / (float)n;
    k->scale(x, 1.0f / sqrtf(mean + epsilon), w, out, n);
}

typedef struct job {
    const l4_exec *exec;
    const float *x, *w;
    float *out;
    float epsilon;
    size_t n;
} job;

static void norm_task(void *argument, size_t begin, size_t end, int worker)
{
    const job *j = argument;
    (void)worker;
    for (size_t i = begin; i < end; i++)
        l4_rms_norm(j->exec->kernels, j->x + i * j->n, j->w, j->epsilon, j->out + i * j->n, j->n);
}

void l4_rms_norm_rows(const l4_exec *e, const float *x, const float *w, float epsilon, float *out, size_t rows, size_t n)
{
    job j = {e, x, w, out, epsilon, n};
    l4_pool_run(e->pool, norm_task, &j, rows, l4_grain(e, rows, 2.0 * (double)rows * (double)n));
}

#define CHUNK 4096

static void add_task(void *argument, size_t begin, size_t end, int worker)
{
    const job *j = argument;
    size_t from = begin * CHUNK, to = end * CHUNK < j->n ? end * CHUNK : j->n;
    (void)worker;
    j->exec->kernels->add(j->out + from, j->x + from, to - from);
}

void l4_add(const l4_exec *e, float *x, const float *y, size_t n)
{
    job j = {e, y, NULL, x, 0, n};
    size_t chunks = (n + CHUNK - 1) / CHUNK;
    l4_pool_run(e->pool, add_task, &j, chunks, l4_grain(e, chunks, (double)n));
}
