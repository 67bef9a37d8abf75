/* Which type each tensor of a converted file gets. */
#ifndef L4_FLOW_CONVERT_TYPES_H
#define L4_FLOW_CONVERT_TYPES_H

#include <stdint.h>

#include "base/error.h"

/* What was asked for: one type for all matrices, or a mix that gives some of them more bits. */
typedef struct l4_type_plan {
    int given;      /* 0: every tensor keeps its type */
    uint32_t type;  /* of most matrices */
    int mix;        /* which one; 0: none */
} l4_type_plan;

/* From a name, case-insensitive; NULL: not given. Fails with LLAMA4_ERR_ARGUMENT for names that mean nothing here. */
llama4_status l4_type_plan_find(const char *name, l4_type_plan *out, llama4_error *error);

/* GGUF number of the type for a matrix of `cols` columns: the plan's, or, where its blocks do not divide the columns, the next larger type whose do. */
uint32_t l4_type_plan_for(const l4_type_plan *p, const char *name, uint32_t layers, uint32_t cols);

#endif
