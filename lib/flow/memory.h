/* Weights into memory: all of them, or, if they do not fit the budget, those that every token needs. */
#ifndef L4_FLOW_MEMORY_H
#define L4_FLOW_MEMORY_H

#include "flow/model.h"

/* For a model whose weights are bound. Reports progress from 0.2 on. */
llama4_status l4_memory_fill(llama4_model *m, const llama4_model_params *params, const char *name, llama4_error *error);

/* Fills everything but struct_size. */
void l4_memory_describe(llama4_model *m, llama4_memory_info *info);

/* Which experts are in memory, to a file and back. For streaming models. */
llama4_status l4_memory_save(llama4_model *m, const char *path, llama4_error *error);
llama4_status l4_memory_load(llama4_model *m, const char *path, llama4_error *error);

#endif
