/*
 * Base files: what llama4 perplexity --save-base writes and --kl-base reads, a model's log-probabilities along a text.
 *
 * All numbers are little-endian. The header, of BASELINE_HEADER bytes:
 *
 *     char[8]  "L4LOGPRB"
 *     u32      version: 1
 *     u32      ids in the vocabulary, n
 *     u32      positions of a window
 *     u32      positions from the start of one window to that of the next, at most a window
 *     u32      rows of a window, fewer than its positions: those for its last tokens
 *     u32      windows
 *     u32      tokens: as many as the windows cover
 *     i32      the id that takes the place of each window's first token (begin_of_text), or -1
 *     u32      check of the header so far, and of the tokens
 *
 * then the tokens, u32 each, and the rows, in order. Row k of a window that has r rows in w positions belongs to its position
 * w - r + k: it says what the model expected there before it saw that token.
 *
 *     f32      the largest log-probability, at most 0
 *     f32      step between codes, at least 0
 *     u32      the id that has it, the lowest among equals
 *     u32      check of the row, without these four bytes
 *     u16[n]   codes: the log-probability of an id is the largest one less code * step
 *
 * A reader adds what makes the exponentials of a row add up to 1: then the rounding to codes does next to nothing to a
 * divergence.
 *
 * The check is FNV-1a in 32 bits.
 */
#ifndef CLI_BASELINE_H
#define CLI_BASELINE_H

#include <stddef.h>
#include <stdint.h>

#define BASELINE_HEADER 44
#define BASELINE_ROW_HEADER 16

typedef struct baseline {
    uint32_t vocab, window, stride, rows, windows, tokens;
    int32_t bos;
} baseline;

/* How many tokens the windows cover; 0: more than can be. */
uint32_t baseline_tokens(const baseline *b);

/* Bytes of a row. */
size_t baseline_row_bytes(const baseline *b);

/* The header, with its check over the tokens that go after it. */
void baseline_put_header(const baseline *b, const int32_t *tokens, uint8_t out[BASELINE_HEADER]);

/* Reads a header and checks it against the size of the whole file. NULL, or what is wrong with it. */
const char *baseline_get_header(const uint8_t in[BASELINE_HEADER], uint64_t file_size, baseline *b);

/* Reads the tokens behind a header, b->tokens of them, in place: `raw` holds four bytes each, and ids afterwards. */
const char *baseline_get_tokens(const uint8_t header[BASELINE_HEADER], const baseline *b, int32_t *raw);

/* A row from logits. NULL, or what is wrong: a logit that is not finite. */
const char *baseline_put_row(const float *logits, uint32_t vocab, uint8_t *out);

/* A row as log-probabilities whose exponentials add up to 1, and the most likely id. NULL, or what is wrong. */
const char *baseline_get_row(const uint8_t *in, uint32_t vocab, double *log_probabilities, uint32_t *top);

/* Log-probabilities from logits, and the most likely id; 0 if a logit is not finite. */
int log_softmax(const float *logits, uint32_t vocab, double *out, uint32_t *top);

#endif
