/* Writing a list of tensors, and the keys that tell of them, as a GGUF file. */
#ifndef L4_FLOW_CONVERT_WRITE_H
#define L4_FLOW_CONVERT_WRITE_H

#include "base/pool.h"
#include "flow/convert.h"
#include "flow/convert_read.h"
#include "flow/convert_types.h"
#include "format/imatrix.h"

/* One tensor to be written. */
typedef struct l4_convert_item {
    char name[64];
    const float *vector;     /* [rows][cols], always float32; or NULL: */
    const l4_matrix *matrix; /* the first of `count`, `step` apart */
    uint32_t count;
    size_t step;
    uint32_t rows, cols;
    int stack;               /* a third dimension, even of 1 */
    int exact;               /* float32, whatever the type asked for */
} l4_convert_item;

typedef struct l4_convert_job l4_convert_job;
typedef llama4_status (*l4_convert_visitor)(l4_convert_job *j, const l4_convert_item *it, llama4_error *error);

struct l4_convert_job {
    /* To be set: */
    const l4_allocator *allocator;
    const llama4_convert_params *params;
    const l4_archive *archive;   /* whose files must not be written over */
    const void *source;          /* for the next two */
    llama4_status (*visit_all)(l4_convert_job *j, l4_convert_visitor visit, llama4_error *error); /* every tensor, in the order of the file */
    llama4_status (*put_keys)(l4_convert_job *j, llama4_error *error);
    l4_type_plan plan;
    uint32_t layers;             /* for the plan */
    const l4_imatrix *imatrix;   /* NULL: all columns matter alike */
    /* Used by put_keys: */
    l4_gguf_builder builder;
    l4_convert_summary summary;
    /* Private: */
    l4_pool *pool;
    l4_convert_reader reader;
    l4_writer writer;
    uint64_t weights[3];         /* so far, of the types below */
    uint32_t types[3];
    float *rows;                 /* decoded */
    uint8_t *encoded;
    float *importance;           /* of the columns of the matrix at hand */
    size_t longest;              /* columns that any matrix has */
    uint32_t weighted, unknown;  /* tensors of layers that are quantised, in the imatrix and not */
    char example[64];            /* one of the latter */
    size_t buffer_floats, buffer_bytes; /* of those rows, and of what they are read as */
    uint64_t done, shown;        /* bytes of data written, and when the callback last heard of it */
};

llama4_status l4_convert_run(l4_convert_job *j, const char *out_path, llama4_error *error);

/* The list of a text model, convert.c, and of a picture encoder, convert_vision.c; what they need besides lies in j->source. */
llama4_status l4_convert_vision(const char *in_path, const char *out_path, const llama4_convert_params *params, llama4_error *error);

/* GGUF's number for "mostly of this type"; -1: it has none. */
int l4_convert_file_type(uint32_t type);

#endif
