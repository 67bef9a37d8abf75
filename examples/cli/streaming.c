/* See streaming.h. */
#include "streaming.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "term.h"

llama4_memory_info stream_state(llama4_model *model)
{
    llama4_memory_info m = {.struct_size = sizeof m};
    if (llama4_model_get_memory(model, &m, NULL) || !m.streaming)
        m = (llama4_memory_info){.struct_size = sizeof m};
    return m;
}

void stream_add(stream_use *use, const llama4_memory_info *before, const llama4_memory_info *after, double seconds)
{
    use->requests += after->requests - before->requests;
    use->hits += after->hits - before->hits;
    use->bytes += after->bytes_read - before->bytes_read;
    use->waited += after->wait_seconds - before->wait_seconds;
    use->read += after->read_seconds - before->read_seconds;
    use->seconds += seconds;
}

static double ratio(double a, double b)
{
    return b > 0 ? a / b : NAN;
}

double stream_hit_share(const stream_use *use)
{
    return ratio((double)use->hits, (double)use->requests);
}

double stream_rate(const stream_use *use)
{
    return ratio((double)use->bytes, use->read);
}

double stream_waited(const stream_use *use)
{
    return ratio(use->waited, use->seconds);
}

double stream_disk_share(const stream_use *use, double disk)
{
    return ratio(ratio((double)use->bytes, use->seconds), disk);
}

double stream_disk_rate(const char *path)
{
    llama4_plan_params p;
    llama4_plan_result r = {.struct_size = sizeof r};
    if (llama4_plan_params_init(&p, sizeof p))
        return 0;
    p.flags = LLAMA4_PLAN_MEASURE;
    p.memory_rate = p.compute_rate = 1; /* not asked for */
    return llama4_plan(path, &p, &r, NULL) ? 0 : r.disk_rate;
}

void stream_print_state(const llama4_memory_info *m)
{
    out_print("memory   %.2f of %.2f GB in use: weights %.2f GB, %lld of %lld experts %.2f GB; %s reads\n", (double)m->used_bytes / 1e9,
              (double)m->limit_bytes / 1e9, (double)m->resident_bytes / 1e9, (long long)m->expert_slots, (long long)m->expert_count,
              (double)m->expert_slots * (double)m->expert_bytes / 1e9, m->direct ? "direct" : "buffered");
    if (m->guesses)
        out_print("guesses  %.1f %% of %lld experts right a layer early\n", 100 * (double)m->guesses_right / (double)m->guesses, (long long)m->guesses);
}

uint64_t *stream_routing(const llama4_context *context, const llama4_model_info *info)
{
    llama4_error error = LLAMA4_ERROR_INIT;
    const size_t layers = (size_t)info->layers, n = (size_t)info->experts;
    uint64_t *counts = calloc(layers * n + 1, sizeof *counts);
    if (!counts)
        fail_text("out of memory");
    for (size_t layer = 0; counts && layer < layers; layer++) {
        size_t count;
        if (llama4_context_get_expert_counts(context, (int32_t)layer, counts + layer * n, n, &count, &error)) {
            fail(&error);
            free(counts);
            counts = NULL;
        }
    }
    return counts;
}

static uint64_t sum(const uint64_t *counts, size_t n)
{
    uint64_t total = 0;
    for (size_t e = 0; e < n; e++)
        total += counts[e];
    return total;
}

void stream_print_routing(const uint64_t *counts, const llama4_model_info *info)
{
    const size_t n = (size_t)info->experts;
    out_print("\nlayer  tokens of each expert, 0 to %zu\n", n ? n - 1 : 0);
    for (int32_t layer = 0; layer < info->layers; layer++, counts += n) {
        if (!sum(counts, n))
            continue;
        out_print("%5d", layer);
        for (size_t e = 0; e < n; e++)
            out_print("%s%8" PRIu64, e && e % 16 == 0 ? "\n     " : "", counts[e]);
        out_print("\n");
    }
}

void stream_print_routing_json(const uint64_t *counts, const llama4_model_info *info)
{
    const size_t n = (size_t)info->experts;
    const char *comma = "";
    out_print("[");
    for (int32_t layer = 0; layer < info->layers; layer++, counts += n) {
        if (!sum(counts, n))
            continue;
        out_print("%s{\"layer\": %d, \"tokens\": [", comma, layer);
        for (size_t e = 0; e < n; e++)
            out_print("%s%" PRIu64, e ? ", " : "", counts[e]);
        out_print("]}");
        comma = ", ";
    }
    out_print("]");
}
