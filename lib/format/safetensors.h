/* Reading a directory of safetensors: one model.safetensors, or the shards that model.safetensors.index.json lists. */
#ifndef L4_FORMAT_SAFETENSORS_H
#define L4_FORMAT_SAFETENSORS_H

#include "format/archive.h"

/* Fills *out, which the caller later clears with l4_archive_clear; on failure nothing is held. Dims are stored fastest first, that is, in the
 * reverse order of the file's "shape". A scalar has one dim of 1. Tensors without elements are left out. */
llama4_status l4_safetensors_open(const l4_allocator *a, const char *directory, l4_archive *out, llama4_error *error);

/* The same for whoever wants nothing but names and shapes: files that the index lists may be absent, and files may end behind their headers. */
llama4_status l4_safetensors_open_headers(const l4_allocator *a, const char *directory, l4_archive *out, l4_listing *listing, llama4_error *error);

/* Adds the tensors of one file, already in out->files[file], to *out; for tests and fuzzing. */
llama4_status l4_safetensors_read(l4_archive *out, uint32_t file, const char *name, llama4_error *error);

#endif
