/* The encoder's weights from their files, a few rows at a time, just before a product decodes them. They are together larger than everything else that a
 * picture needs, and are used once for a few tiles. The mapped files are read, not touched: what goes wrong with them is an error from the call. */
#ifndef L4_VISION_READER_H
#define L4_VISION_READER_H

#include "base/input.h"
#include "model/vision.h"
#include "nn/dense.h"

typedef struct l4_vision_reader {
    l4_dense_source source;
    const l4_archive *archive;
    l4_input *inputs;   /* of its files, through the cache */
    atomic_int failed;
    llama4_error error; /* of the read that set it */
} l4_vision_reader;

/* It must stay where it is. */
void l4_vision_reader_init(l4_vision_reader *r, const l4_archive *archive, l4_input *inputs);

/* Between products: what went wrong, if anything did. Products made since then are worthless. */
llama4_status l4_vision_reader_failed(const l4_vision_reader *r, llama4_error *error);

/* Of any matrix, at most. */
uint64_t l4_vision_reader_stride(const l4_vision *w);

#endif
