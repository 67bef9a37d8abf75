#include "nn/ffn.h"

#define CHUNK 1024

typedef struct job {
    const l4_exec *exec;
    float *gate;
    const float *up;
    size_t n;
} job;

static void task(void *argument, size_t begin, size_t end, int worker)
{
    const job *j = argument;
    size_t from = begin * CHUNK, to = end * CHUNK < j->n ? end * CHUNK : j->n;
    (void)worker;
    j->exec->kernels->silu_mul(j->gate + from, j->up + from, to - from);
}

void l4_gate(const l4_exec *e, float *gate, const float *up, size_t n)
{
    job j = {e, gate, up, n};
    size_t chunks = (n + CHUNK - 1) / CHUNK;
    l4_pool_run(e->pool, task, &j, chunks, l4_grain(e, chunks, 10.0 * (double)n));
}

void l4_ffn_dense(const l4_exec *e, const l4_ffn *f, const float *x, size_t tokens, float *hidden, float *y)
{
    size_t width = f->gate.cols, ff = f->gate.rows;
    float *gate = hidden, *up = hidden + tokens * ff;
    const l4_product in[] = {{&f->gate, x, width, tokens, gate, ff, NULL}, {&f->up, x, width, tokens, up, ff, NULL}};
    l4_linear(e, in, 2);
    l4_gate(e, gate, up, tokens * ff);
    const l4_product out = {&f->down, gate, ff, tokens, y, width, NULL};
    l4_linear(e, &out, 1);
}
