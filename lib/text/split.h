/* Cutting text into the pieces that are merged into tokens one by one. */
#ifndef L4_TEXT_SPLIT_H
#define L4_TEXT_SPLIT_H

#include <stddef.h>
#include <stdint.h>

/* The end of the piece that begins at `position` < `length` of valid UTF-8. */
size_t l4_split_next(const uint8_t *text, size_t length, size_t position);

#endif
