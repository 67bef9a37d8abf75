#include "run/logits.h"

#include "nn/norm.h"

void l4_logits_compute(const l4_forward *f, const l4_token *tokens, size_t n, int64_t first_row, float *logits)
{
    const l4_weights *w = f->weights;
    const l4_config *c = &w->config;
    size_t wanted = 0;
    for (size_t t = 0; t < n; t++)
        if (tokens[t].row >= 0) {
            size_t to = (size_t)(tokens[t].row - first_row) * c->width;
            l4_rms_norm(f->exec.kernels, f->buffers.x + t * c->width, w->output_norm, c->norm_epsilon, f->buffers.norm + to, c->width);
            wanted++;
        }
    const l4_product output = {&w->output, f->buffers.norm, c->width, wanted, logits + (size_t)first_row * c->vocab, c->vocab, NULL};
    if (wanted)
        l4_linear(&f->exec, &output, 1);
}
