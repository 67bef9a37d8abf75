/* Merging the bytes of one piece into tokens. */
#ifndef L4_TEXT_BPE_H
#define L4_TEXT_BPE_H

#include "text/vocab_internal.h"

/* Memory for pieces that are too long for the stack; starts as zeros, kept from piece to piece. */
typedef struct l4_bpe_scratch {
    uint32_t *words;
    size_t capacity;
} l4_bpe_scratch;

/* Appends the tokens of a piece of n > 0 bytes. The scratch is freed by the caller. */
llama4_status l4_bpe_piece(const llama4_vocab *v, const uint8_t *piece, size_t n, l4_bpe_scratch *scratch, l4_tokens *out,
                           llama4_error *error);

#endif
