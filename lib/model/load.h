/* Matrices from files that are read, not mapped: a few matrices at a time become one piece of memory, in pieces that any thread can bring. */
#ifndef L4_MODEL_LOAD_H
#define L4_MODEL_LOAD_H

#include "base/input.h"
#include "format/archive.h"
#include "model/weights.h"

#define L4_LOAD_PARTS 8
#define L4_LOAD_PIECE ((uint64_t)1 << 19) /* bytes: large enough for any disk's full speed, small enough for several threads to share an expert */

/* One matrix: where it comes from and where it goes. */
typedef struct l4_part {
    l4_matrix from;       /* as bound to the mapped file, which is not touched */
    uint32_t file;        /* of the archive */
    uint64_t offset;      /* in that file */
    uint64_t source;      /* bytes there */
    uint64_t bytes;       /* of memory that it takes */
    uint64_t at;          /* in the load's memory */
    uint64_t piece;       /* bytes of the file that are read together; a whole number of panels if they are packed */
    uint32_t pieces;
    int packed;
} l4_part;

typedef struct l4_load {
    l4_part parts[L4_LOAD_PARTS];
    uint32_t n_parts, pieces;
    int in_place; /* set it first: what need not be packed and lies in the host's memory stays there */
    uint64_t bytes, source; /* of memory, of files: sums over the parts */
} l4_load;

/* Adds a matrix to a load, to be packed if its type can be. Absent matrices and those that a bound neighbour brings along are fine, see l4_load_matrix.
 * Fails if the matrix lies outside the archive's files. */
llama4_status l4_load_add(l4_load *load, const l4_archive *archive, const l4_matrix *m, llama4_error *error);

/* The same, never packed: for a matrix of which rows are looked up. */
llama4_status l4_load_add_rows(l4_load *load, const l4_archive *archive, const l4_matrix *m, llama4_error *error);

/* The view of `m`, which was added to the load, in the load's memory. */
l4_matrix l4_load_matrix(const l4_load *load, const l4_matrix *m, const uint8_t *memory);

/* The same for a feed-forward network, and for what every token needs of layer i, or of one past the last layer: the output. */
llama4_status l4_load_add_ffn(l4_load *load, const l4_archive *archive, const l4_ffn *f, llama4_error *error);
llama4_status l4_load_add_layer(l4_load *load, const l4_archive *archive, const l4_weights *w, uint32_t i, llama4_error *error);
l4_ffn l4_load_ffn(const l4_load *load, const l4_ffn *f, const uint8_t *memory);
void l4_load_layer(const l4_load *load, l4_weights *w, uint32_t i, const uint8_t *memory); /* the views take the bound matrices' places */

/* How many pieces, from the first on, bring the first `rows` rows of such a view. */
uint32_t l4_load_reach(const l4_load *load, const uint8_t *memory, const l4_matrix *view, size_t rows);

/* Brings piece 0 .. pieces - 1 into memory. buffer: l4_load_buffer(load) bytes, aligned to L4_INPUT_ALIGN; not needed for rows from inputs that are cached.
 * *read grows by the bytes read. */
llama4_status l4_load_piece(const l4_load *load, l4_input *inputs, uint32_t piece, uint8_t *memory, uint8_t *buffer, uint64_t *read, llama4_error *error);
size_t l4_load_buffer(const l4_load *load);

#endif
