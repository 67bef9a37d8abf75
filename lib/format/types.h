/* Tensor types: the numbers of GGUF, their names and block sizes. */
#ifndef L4_FORMAT_TYPES_H
#define L4_FORMAT_TYPES_H

#include <stddef.h>
#include <stdint.h>

typedef struct l4_type_info {
    uint32_t type;        /* GGUF number; numbers from 1000 are types of safetensors that GGUF lacks */
    const char *name;     /* "Q4_0" */
    uint32_t block;       /* elements per block */
    uint32_t block_bytes;
} l4_type_info;

/* NULL for a number that nobody defines. */
const l4_type_info *l4_type_find(uint32_t type);

/* By name, case-insensitive; NULL if unknown. */
const l4_type_info *l4_type_by_name(const char *name);

/* Bytes of a row of n elements; 0 if n is no multiple of the block or the size overflows. */
uint64_t l4_type_row_bytes(const l4_type_info *info, uint64_t n);

#endif
