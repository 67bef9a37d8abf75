/*
 * Names of types and mixes -> a type for each matrix. The mixes are those of llama-quantize (llama.cpp): values and second feed-forward
 * matrices, which hurt most when they lose bits, get more of them, everywhere or in some layers, and the output gets six bits.
 */
#include "flow/convert_types.h"

#include <stdlib.h>
#include <string.h>

#include "format/types.h"
#include "kernels/packed.h"
#include "kernels/quantize.h"
#include "llama4/llama4.h"

enum { NONE, Q2_MIX, Q3_S, Q3_M, Q3_L, Q4_S, Q4_M, Q5_S, Q5_M };

static const struct {
    const char *name;
    uint32_t type;
    int mix;
} mixes[] = {
    {"q2_k_m", L4_Q2_K, Q2_MIX}, {"q3_k_s", L4_Q3_K, Q3_S}, {"q3_k_m", L4_Q3_K, Q3_M}, {"q3_k_l", L4_Q3_K, Q3_L},
    {"q4_k_s", L4_Q4_K, Q4_S},   {"q4_k_m", L4_Q4_K, Q4_M}, {"q5_k_s", L4_Q5_K, Q5_S}, {"q5_k_m", L4_Q5_K, Q5_M},
};

static int same(const char *a, const char *b)
{
    for (; *a && *b; a++, b++)
        if ((*a >= 'A' && *a <= 'Z' ? *a - 'A' + 'a' : *a) != *b)
            return 0;
    return *a == *b;
}

llama4_status l4_type_plan_find(const char *name, l4_type_plan *out, llama4_error *error)
{
    memset(out, 0, sizeof *out);
    if (!name)
        return LLAMA4_OK;
    out->given = 1;
    for (size_t i = 0; i < sizeof mixes / sizeof *mixes; i++)
        if (same(name, mixes[i].name)) {
            out->type = mixes[i].type;
            out->mix = mixes[i].mix;
            return LLAMA4_OK;
        }
    const l4_type_info *info = l4_type_by_name(name);
    if (info && (info->type == LLAMA4_TYPE_F32 || info->type == LLAMA4_TYPE_F16 || info->type == LLAMA4_TYPE_BF16 || l4_quantize_can(info->type))) {
        out->type = info->type;
        return LLAMA4_OK;
    }
    return l4_fail(error, LLAMA4_ERR_ARGUMENT,
                   "type is \"%.32s\", but must be f32, f16, bf16, q4_0, q4_1, q5_0, q5_1, q8_0, q2_k to q6_k, iq4_nl, iq4_xs, mxfp4, or a mix: q2_k_m, "
                   "q3_k_s, q3_k_m, q3_k_l, q4_k_s, q4_k_m, q5_k_s or q5_k_m",
                   name);
}

/* The first and last eighth of the layers, and every third of the others. */
static int favoured(uint32_t layer, uint32_t layers)
{
    return layer < layers / 8 || layer >= 7 * layers / 8 || (layer - layers / 8) % 3 == 2;
}

static uint32_t mixed(const l4_type_plan *p, const char *name, uint32_t layers)
{
    if (strcmp(name, "output.weight") == 0)
        return L4_Q6_K;
    const uint32_t layer = strncmp(name, "blk.", 4) == 0 ? (uint32_t)strtoul(name + 4, NULL, 10) : 0;
    const int value = strstr(name, ".attn_v.") != NULL, down = strstr(name, ".ffn_down") != NULL, out = strstr(name, ".attn_output.") != NULL;
    const int more = favoured(layer, layers);
    switch (p->mix) {
    case Q2_MIX:
        return value ? L4_Q4_K : down || out ? L4_Q3_K : p->type;
    case Q3_M:
        return (value && layer < 2) || (down && layer < layers / 16) ? L4_Q5_K : value || down || out ? L4_Q4_K : p->type;
    case Q3_L:
        return value || down || out ? L4_Q5_K : p->type;
    case Q4_S:
        return (value && layer < 4) || (down && layer < layers / 8) ? L4_Q5_K : p->type;
    case Q4_M:
    case Q5_M:
        return (value || down) && more ? L4_Q6_K : p->type;
    default:
        return p->type;
    }
}

uint32_t l4_type_plan_for(const l4_type_plan *p, const char *name, uint32_t layers, uint32_t cols)
{
    uint32_t type = p->mix ? mixed(p, name, layers) : p->type;
    if (cols % l4_type_find(type)->block)
        switch (type) { /* blocks of 32 that lose no more than those of 256 */
        case L4_Q2_K:
        case L4_Q3_K:
        case L4_IQ4_XS:
            type = L4_IQ4_NL;
            break;
        case L4_Q4_K:
            type = L4_Q5_0;
            break;
        case L4_Q5_K:
            type = L4_Q5_1;
            break;
        case L4_Q6_K:
            type = L4_Q8_0;
            break;
        }
    return cols % l4_type_find(type)->block ? LLAMA4_TYPE_F16 : type;
}
