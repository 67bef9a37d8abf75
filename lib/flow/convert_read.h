/* Rows of a model's matrices from its files, a few at a time. The mapped files are not touched: what goes wrong with them is an error. */
#ifndef L4_FLOW_CONVERT_READ_H
#define L4_FLOW_CONVERT_READ_H

#include "model/weights.h"

typedef struct l4_convert_reader {
    const l4_allocator *allocator;
    const l4_archive *archive;
    l4_input *inputs;
    uint8_t *buffer;
    const uint8_t *columns; /* of the matrix at hand, if it is stored by columns */
} l4_convert_reader;

/* What a buffer needs for `rows` rows of the matrix together. */
uint64_t l4_convert_reader_need(const l4_matrix *m, uint32_t rows);

/* buffer: the most of what l4_convert_reader_need says. *r is zero, and on failure still wants to be closed. */
llama4_status l4_convert_reader_open(l4_convert_reader *r, const l4_allocator *a, const l4_archive *archive, size_t buffer, llama4_error *error);
void l4_convert_reader_close(l4_convert_reader *r);

/* n rows from `first` on as a matrix of their own, good until the next call. Row 0 comes first. */
llama4_status l4_convert_reader_rows(l4_convert_reader *r, const l4_matrix *m, uint32_t first, uint32_t n, l4_matrix *out, llama4_error *error);

#endif
