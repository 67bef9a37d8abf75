/* Importance matrices: how much each column of a model's matrices matters, as llama.cpp measures it. Untrusted bytes -> checked values. */
#ifndef L4_FORMAT_IMATRIX_H
#define L4_FORMAT_IMATRIX_H

#include "format/archive.h"

typedef struct l4_imatrix l4_imatrix;

/* Opens a file of either form, GGUF or the older one. The allocator must outlive the result. */
llama4_status l4_imatrix_open(const l4_allocator *a, const char *path, l4_imatrix **out, llama4_error *error);

/* Reads a file that is already mapped; takes the mapping over on success and on failure. `name` is for messages. */
llama4_status l4_imatrix_open_mapping(const l4_allocator *a, l4_mapping *mapping, const char *name, l4_imatrix **out, llama4_error *error);

/* NULL is fine. */
void l4_imatrix_close(l4_imatrix *m);

/* The file itself. */
const l4_archive *l4_imatrix_archive(const l4_imatrix *m);

/* Importance of the columns of matrix `index` of the `count` that tensor `name` holds, each of `cols` columns: positive, 1 on average. *known = 0, and
 * `out` as it was, where the file has nothing about it. LLAMA4_ERR_FORMAT, with a message that names the tensor, where the file's
 * numbers do not fit the shape, or are negative, infinite or NaN. `out` may be NULL. */
llama4_status l4_imatrix_columns(const l4_imatrix *m, const char *name, uint32_t index, uint32_t count, uint32_t cols, float *out, int *known,
                                 llama4_error *error);

#endif
