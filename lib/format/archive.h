/* A checked index of tensors in mapped files: what GGUF files and Hugging Face directories have in common. */
#ifndef L4_FORMAT_ARCHIVE_H
#define L4_FORMAT_ARCHIVE_H

#include "base/alloc.h"
#include "base/input.h"

typedef struct l4_tensor {
    const char *name;      /* NUL-terminated; lives as long as the archive */
    uint32_t type;         /* l4_type_info.type; always one that l4_type_find knows */
    uint32_t n_dims;       /* 1 .. 4 */
    uint64_t dims[4];      /* fastest first, each > 0; 1 beyond n_dims; their product fits int64 */
    const uint8_t *data;   /* `size` bytes, inside the file; may have any alignment */
    uint64_t size;         /* > 0; exactly what type and dims need */
    uint64_t offset;       /* from the start of the file */
    uint32_t file;
} l4_tensor;

typedef struct l4_archive {
    const l4_allocator *allocator; /* outlives the archive */
    l4_tensor *tensors;            /* in file order */
    size_t n_tensors;
    uint32_t *slots;               /* hash table over names: index + 1, 0 empty */
    size_t n_slots;                /* a power of two, or 0 */
    char *names;                   /* storage of the names */
    size_t names_size;             /* bytes of it in use */
    l4_mapping *files;
    size_t n_files;
} l4_archive;

/* What those find besides who read nothing but headers. Tensors whose data are not there have no data pointer. */
typedef struct l4_listing {
    size_t files;  /* of the model */
    size_t absent; /* of those */
    size_t cut;    /* of the others: those that end before their tensors do */
} l4_listing;

/* NULL if there is none. */
const l4_tensor *l4_archive_find(const l4_archive *archive, const char *name);

/* For readers: makes room for `tensors` more tensors whose names take `bytes` more bytes, NULs included. l4_archive_add then appends one
 * with a copy of the name, all else zero; it never fails, and stays within what was reserved. */
llama4_status l4_archive_reserve(l4_archive *archive, size_t tensors, size_t bytes, llama4_error *error);
l4_tensor *l4_archive_add(l4_archive *archive, const char *name, size_t length);

/* Appends a file, taking the mapping over on success and on failure. */
llama4_status l4_archive_add_file(l4_archive *archive, l4_mapping *mapping, llama4_error *error);

/* Builds the hash table; fails with LLAMA4_ERR_FORMAT on a name that comes twice. `name` is what messages call the archive. */
llama4_status l4_archive_seal(l4_archive *archive, const char *name, llama4_error *error);

/* The file in which an address of tensor data lies, and where; NULL: none. */
const l4_mapping *l4_archive_place(const l4_archive *archive, const uint8_t *data, uint64_t *offset);

/* l4_input_read of `size` bytes at an address of tensor data; inputs: of the archive's files. */
llama4_status l4_archive_read(const l4_archive *archive, l4_input *inputs, const uint8_t *place, size_t size, uint8_t *buffer, const uint8_t **data,
                              llama4_error *error);

/* An input for each of the archive's files, see l4_input_open. What is not opened is NULL, and closing that is fine. */
llama4_status l4_archive_open_inputs(const l4_archive *archive, const l4_allocator *a, int cached, l4_input **out, llama4_error *error);
void l4_archive_close_inputs(const l4_archive *archive, const l4_allocator *a, l4_input *inputs);

/* Unmaps the files: what is left is the list of tensors, without their data. */
void l4_archive_unmap(l4_archive *archive);

/* Unmaps the files and frees everything; the struct itself belongs to its owner. */
void l4_archive_clear(l4_archive *archive);

#endif
