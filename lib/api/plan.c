/* The public functions of plans: argument checks, then flow/plan.c. */
#include <string.h>

#include "base/floats.h"
#include "base/pool.h"
#include "flow/plan.h"

llama4_status llama4_plan_params_init(llama4_plan_params *params, size_t size)
{
    if (!params || size < sizeof *params || size > UINT32_MAX)
        return LLAMA4_ERR_ARGUMENT;
    memset(params, 0, size);
    params->struct_size = (uint32_t)size;
    return LLAMA4_OK;
}

static llama4_status in_range(const char *name, int64_t value, int64_t max, llama4_error *error)
{
    if (value >= 0 && value <= max)
        return LLAMA4_OK;
    return l4_fail(error, LLAMA4_ERR_ARGUMENT, "llama4_plan_params.%s is %lld, not 0 .. %lld", name, (long long)value, (long long)max);
}

static llama4_status check(const char *path, const llama4_plan_params *p, llama4_error *error)
{
    const double rates[] = {p->memory_rate, p->compute_rate, p->disk_rate};
    if (p->flags & ~(uint32_t)LLAMA4_PLAN_MEASURE)
        return l4_fail(error, LLAMA4_ERR_UNSUPPORTED, "llama4_plan_params.flags has bits that this library does not know: 0x%x", (unsigned)p->flags);
    if (p->reserved)
        return l4_fail(error, LLAMA4_ERR_UNSUPPORTED, "llama4_plan_params.reserved is not 0");
    if (!path == !p->shape)
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, path ? "path and llama4_plan_params.shape are both given" : "path is NULL, and so is llama4_plan_params.shape");
    if (path && !*path)
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "path is empty");
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++)
        if (!(rates[i] >= 0 && rates[i] <= 1e18))
            return l4_fail(error, LLAMA4_ERR_ARGUMENT, "a rate of llama4_plan_params is negative or no number");
    llama4_status status = in_range("memory_bytes", p->memory_bytes, INT64_MAX, error);
    if (status == LLAMA4_OK)
        status = in_range("context_length", p->context_length, 1 << 24, error);
    if (status == LLAMA4_OK)
        status = in_range("batch_size", p->batch_size, 8192, error);
    if (status == LLAMA4_OK)
        status = in_range("threads", p->threads, L4_MAX_THREADS, error);
    if (status == LLAMA4_OK)
        status = in_range("kv_type", p->kv_type, LLAMA4_KV_Q8_0, error);
    return status;
}

llama4_status llama4_plan(const char *path, const llama4_plan_params *params, llama4_plan_result *result, llama4_error *error)
{
    L4_OWN_FLOATS;
    llama4_plan_params p;
    llama4_plan_result full;
    if (!result)
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "result is NULL");
    llama4_status status = l4_read_struct(&p, params, sizeof p, sizeof p, "llama4_plan_params", error);
    if (status == LLAMA4_OK)
        status = l4_check_struct(result, result->struct_size, sizeof full, SIZE_MAX, "llama4_plan_result", error);
    if (status == LLAMA4_OK)
        status = check(path, &p, error);
    if (status == LLAMA4_OK)
        status = l4_plan(path, &p, &full, error);
    return status ? status : l4_write_struct(result, &full, sizeof full, sizeof full, "llama4_plan_result", error);
}
