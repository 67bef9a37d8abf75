/* Streaming detokenisation. The public functions of the same names only check arguments. */
#ifndef L4_TEXT_DETOKENIZER_H
#define L4_TEXT_DETOKENIZER_H

#include "text/vocab.h"

struct llama4_detokenizer;

/* Holds a reference to v. */
llama4_status l4_detokenizer_create(llama4_vocab *v, uint32_t flags, llama4_detokenizer **out, llama4_error *error);
void l4_detokenizer_destroy(llama4_detokenizer *d);
llama4_status l4_detokenizer_push(llama4_detokenizer *d, int32_t token, const char **text, size_t *length, llama4_error *error);
llama4_status l4_detokenizer_finish(llama4_detokenizer *d, const char **text, size_t *length, llama4_error *error);

#endif
