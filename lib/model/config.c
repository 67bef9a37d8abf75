/* What both kinds of configuration share: defaults, range checks, layer patterns. */
#include "model/config.h"

#include <math.h>
#include <string.h>

#include "model/config_internal.h"

static int finite_positive(float x)
{
    return x > 0 && x <= 3e38f;
}

llama4_status l4_config_range(const char *name, const char *what, int64_t value, int64_t min, int64_t max, llama4_error *error)
{
    if (value >= min && value <= max)
        return LLAMA4_OK;
    return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: %s is %lld, not %lld .. %lld", name, what, (long long)value, (long long)min, (long long)max);
}

void l4_config_fill_rope(l4_config *c)
{
    for (uint32_t i = 0; i < c->layers; i++) {
        c->layer[i].rope = c->nope_interval == 0 || (i + 1) % c->nope_interval != 0;
        c->layer[i].local = c->layer[i].rope && c->chunk;
    }
}

void l4_config_fill_moe(l4_config *c)
{
    for (uint32_t i = 0; i < c->layers; i++)
        c->layer[i].moe = c->experts && c->moe_step && (i + 1) % c->moe_step == 0;
}

/* The number n for which "every n-th layer, counted from 1" is exactly the set of layers whose byte at `offset` equals `wanted`; 0 if the set
 * is empty, -1 if there is no such number. */
static int64_t interval(const l4_config *c, size_t offset, uint8_t wanted)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < c->layers; i++) {
        int in = ((const uint8_t *)&c->layer[i])[offset] == wanted;
        if (in && !n)
            n = i + 1;
        if (n && in != ((i + 1) % n == 0))
            return -1;
    }
    return n;
}

llama4_status l4_config_check(l4_config *c, const char *name, llama4_error *error)
{
    if (!c->experts)
        c->experts_used = 0;
    const struct {
        const char *what;
        int64_t value, min, max;
    } ranges[] = {
        {"the number of layers", c->layers, 1, L4_MAX_LAYERS},
        {"the embedding length", c->width, 1, 1 << 18},
        {"the number of heads", c->heads, 1, 4096},
        {"the number of key and value heads", c->kv_heads, 1, 4096},
        {"the head length", c->head_dim, 2, L4_MAX_HEAD},
        {"the number of experts", c->experts, 0, 4096},
        {"the number of experts used", c->experts_used, c->experts ? 1 : 0, c->experts},
        {"the attention chunk size", c->chunk, 0, 1 << 24},
        {"the attention temperature length", c->temperature_length, 1, 1 << 30},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        llama4_status status = l4_config_range(name, ranges[i].what, ranges[i].value, ranges[i].min, ranges[i].max, error);
        if (status)
            return status;
    }
    int any_moe = 0, any_dense = 0;
    for (uint32_t i = 0; i < c->layers; i++) {
        any_moe |= c->layer[i].moe;
        any_dense |= !c->layer[i].moe;
    }
    if (!any_moe)
        c->experts = c->experts_used = c->expert_ff = 0;
    if (!any_dense)
        c->dense_ff = 0;
    llama4_status status = LLAMA4_OK;
    if (any_moe)
        status = l4_config_range(name, "the hidden width of an expert", c->expert_ff, 1, 1 << 20, error);
    if (any_dense && status == LLAMA4_OK)
        status = l4_config_range(name, "the hidden width of dense layers", c->dense_ff, 1, 1 << 20, error);
    if (status)
        return status;
    if (c->heads % c->kv_heads)
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: %u heads cannot share %u key and value heads", name, (unsigned)c->heads, (unsigned)c->kv_heads);
    if (c->head_dim % 2)
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: the head length %u is odd", name, (unsigned)c->head_dim);
    if (!finite_positive(c->norm_epsilon) || !finite_positive(c->rope_base))
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: the norm's epsilon and the rotary base must be positive", name);
    if (!(c->temperature_scale > -1e6f && c->temperature_scale < 1e6f))
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: the attention temperature scale is out of range", name);
    if (c->context_length < 1 || c->context_length > L4_MAX_CONTEXT)
        c->context_length = L4_MAX_CONTEXT;
    int64_t nope = interval(c, offsetof(l4_layer_config, rope), 0), moe = interval(c, offsetof(l4_layer_config, moe), 1);
    c->nope_regular = nope >= 0;
    c->nope_interval = nope >= 0 ? (uint32_t)nope : 0;
    c->moe_regular = moe >= 0;
    c->moe_step = moe > 0 ? (uint32_t)moe : 1;
    return LLAMA4_OK;
}
