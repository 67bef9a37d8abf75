/* The public functions of llama4_sampler: argument checks, then sample/sampler.c. */
#include <math.h>

#include "base/floats.h"
#include "flow/model.h"
#include "sample/sampler.h"

static llama4_status missing(llama4_error *error, const char *name)
{
    return l4_fail(error, LLAMA4_ERR_ARGUMENT, "%s is NULL", name);
}

llama4_status llama4_sampler_create(llama4_model *model, uint64_t seed, llama4_sampler **sampler, llama4_error *error)
{
    if (!model)
        return missing(error, "model");
    if (!sampler)
        return missing(error, "sampler");
    llama4_status status = l4_sampler_create(&model->allocator, model, seed, sampler, error);
    if (status == LLAMA4_OK)
        l4_model_ref(model);
    return status;
}

void llama4_sampler_release(llama4_sampler *sampler)
{
    if (!sampler)
        return;
    llama4_model *model = l4_sampler_model(sampler);
    l4_sampler_destroy(sampler);
    l4_model_release(model);
}

llama4_status llama4_sampler_add_greedy(llama4_sampler *sampler, llama4_error *error)
{
    if (!sampler)
        return missing(error, "sampler");
    return l4_sampler_add(sampler, L4_STEP_GREEDY, 0.0f, 0, error);
}

llama4_status llama4_sampler_add_temperature(llama4_sampler *sampler, float temperature, llama4_error *error)
{
    L4_OWN_FLOATS;
    if (!sampler)
        return missing(error, "sampler");
    if (!(temperature >= 0.0f && temperature < INFINITY))
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "temperature must be finite and at least 0");
    return l4_sampler_add(sampler, L4_STEP_TEMPERATURE, temperature, 0, error);
}

llama4_status llama4_sampler_add_top_k(llama4_sampler *sampler, int32_t k, llama4_error *error)
{
    if (!sampler)
        return missing(error, "sampler");
    if (k < 0)
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "k is %d, but must be at least 0", (int)k);
    return l4_sampler_add(sampler, L4_STEP_TOP_K, 0.0f, k, error);
}

llama4_status llama4_sampler_add_top_p(llama4_sampler *sampler, float p, llama4_error *error)
{
    L4_OWN_FLOATS;
    if (!sampler)
        return missing(error, "sampler");
    if (!(p >= 0.0f && p <= 1.0f))
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "p of top-p must lie between 0 and 1");
    return l4_sampler_add(sampler, L4_STEP_TOP_P, p, 0, error);
}

llama4_status llama4_sampler_add_min_p(llama4_sampler *sampler, float p, llama4_error *error)
{
    L4_OWN_FLOATS;
    if (!sampler)
        return missing(error, "sampler");
    if (!(p >= 0.0f && p <= 1.0f))
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "p of min-p must lie between 0 and 1");
    return l4_sampler_add(sampler, L4_STEP_MIN_P, p, 0, error);
}

llama4_status llama4_sampler_reset(llama4_sampler *sampler, uint64_t seed, llama4_error *error)
{
    if (!sampler)
        return missing(error, "sampler");
    l4_sampler_reset(sampler, seed);
    return LLAMA4_OK;
}

llama4_status llama4_sampler_sample(llama4_sampler *sampler, const float *logits, size_t n, int32_t *token, llama4_error *error)
{
    L4_OWN_FLOATS;
    if (!sampler)
        return missing(error, "sampler");
    if (!logits)
        return missing(error, "logits");
    if (!token)
        return missing(error, "token");
    return l4_sampler_sample(sampler, logits, n, token, error);
}
