/* Headers of a GGUF file on disk, as one file and as the first of three parts, for llama4_plan. What begins with '{' is a config.json, and behind a
 * zero byte an index of safetensors, none of which are there. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "llama4/llama4.h"

#define HOLDS(x)      \
    do {              \
        if (!(x))     \
            abort();  \
    } while (0)

static char folder[64], one[96], first[96], config[96], shards[96];

static void remove_all(void)
{
    unlink(first);
    unlink(one);
    unlink(config);
    unlink(shards);
    rmdir(folder);
}

static void prepare(void)
{
    strcpy(folder, "/tmp/l4-fuzz-plan-XXXXXX");
    HOLDS(mkdtemp(folder) != NULL);
    snprintf(one, sizeof one, "%s/m.gguf", folder);
    snprintf(first, sizeof first, "%s/m-00001-of-00003.gguf", folder);
    snprintf(config, sizeof config, "%s/config.json", folder);
    snprintf(shards, sizeof shards, "%s/model.safetensors.index.json", folder);
    atexit(remove_all);
}

static void save(const char *path, const uint8_t *data, size_t size)
{
    FILE *f = fopen(path, "wb");
    HOLDS(f != NULL);
    HOLDS(fwrite(data, 1, size, f) == size);
    HOLDS(fclose(f) == 0);
}

/* A plan that comes out adds up. */
static void plan(const char *path, const char *type)
{
    llama4_plan_params p = {.struct_size = sizeof p, .type = type, .memory_bytes = (int64_t)1 << 30, .threads = 2, .memory_rate = 1e10, .disk_rate = 1e9,
                            .compute_rate = 1e11, .context_length = 100000};
    llama4_plan_result r = {.struct_size = sizeof r};
    llama4_error e = LLAMA4_ERROR_INIT;
    if (llama4_plan(path, &p, &r, &e)) {
        HOLDS(e.message[0] && !r.memory_bytes);
        return;
    }
    const int64_t fixed = r.resident_bytes + r.kv_bytes + r.scratch_bytes;
    HOLDS(r.weight_bytes > 0 && r.estimated_bytes >= 0 && r.estimated_bytes <= r.weight_bytes && r.parameters >= r.active_parameters);
    HOLDS(r.resident_bytes > 0 && r.kv_bytes > 0 && r.scratch_bytes > 0 && fixed > 0 && r.least_bytes >= fixed && r.whole_bytes >= fixed);
    HOLDS(r.cached_experts >= 0 && r.cached_experts <= r.experts && r.pool_bytes >= 0);
    HOLDS(r.fits == (r.whole_bytes <= r.memory_bytes ? LLAMA4_FITS_WHOLE : r.least_bytes <= r.memory_bytes ? LLAMA4_FITS_STREAMED : LLAMA4_FITS_NOT));
    HOLDS(r.fits == LLAMA4_FITS_NOT ? r.decode_rate == 0 : isfinite(r.decode_rate) && r.decode_rate > 0);
    HOLDS(r.fits == LLAMA4_FITS_NOT ? r.prefill_rate == 0 : isfinite(r.prefill_rate) && r.prefill_rate > 0);
    HOLDS(memchr(r.name, 0, sizeof r.name) && memchr(r.type, 0, sizeof r.type));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!folder[0])
        prepare();
    if (size && data[0] == '{') {
        const uint8_t *zero = memchr(data, 0, size);
        const size_t n = zero ? (size_t)(zero - data) : size;
        save(config, data, n);
        save(shards, zero ? zero + 1 : (const uint8_t *)"", zero ? size - n - 1 : 0);
        plan(folder, NULL);
        return 0;
    }
    save(one, data, size);
    plan(one, NULL);
    save(first, data, size);
    plan(first, NULL);
    plan(first, "q4_k_m");
    return 0;
}
