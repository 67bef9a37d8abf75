/* Shared by the two readers of configurations. */
#ifndef L4_MODEL_CONFIG_INTERNAL_H
#define L4_MODEL_CONFIG_INTERNAL_H

#include "model/config.h"

/* Positions are exact in float32 up to here, which the rotary angles need. */
#define L4_MAX_CONTEXT (1 << 24)

llama4_status l4_config_range(const char *name, const char *what, int64_t value, int64_t min, int64_t max, llama4_error *error);

/* Set layer[].rope and .local from nope_interval and chunk, layer[].moe from moe_step and experts. */
void l4_config_fill_rope(l4_config *c);
void l4_config_fill_moe(l4_config *c);

#endif
