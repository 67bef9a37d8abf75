/* The weights as the forward pass wants them: views into the mapped files, whatever the files' format, and small vectors as float32. */
#ifndef L4_MODEL_WEIGHTS_H
#define L4_MODEL_WEIGHTS_H

#include "format/archive.h"
#include "model/config.h"

#define L4_ROWS 0    /* row r begins at data + r * stride */
#define L4_PACKED 2  /* panels of sixteen rows, `stride` bytes apart: kernels/packed.h */
#define L4_COLUMNS 1 /* element (r, c) lies at data + c * stride + r * element size: F32, F16 and BF16 only */

/* y = W x with W [rows, cols]: rows outputs, cols inputs. */
typedef struct l4_matrix {
    const uint8_t *data; /* NULL: absent. Any alignment */
    uint64_t stride;     /* bytes */
    uint32_t rows, cols;
    uint32_t type;       /* GGUF number; one that l4_kernels can compute */
    uint32_t layout;     /* L4_ROWS, L4_COLUMNS or L4_PACKED */
} l4_matrix;

typedef struct l4_ffn {
    l4_matrix gate, up, down; /* [ff, width], [ff, width], [width, ff] */
} l4_ffn;

typedef struct l4_layer {
    const float *attn_norm, *ffn_norm; /* [width] */
    l4_matrix q, k, v, o;              /* [heads * head_dim, width], [kv_heads * head_dim, width] x 2, [width, heads * head_dim] */
    l4_ffn ffn;                        /* dense feed-forward, or the shared expert */
    l4_matrix router;                  /* [experts, width], mixture layers only */
    l4_ffn *experts;                   /* [experts], mixture layers only */
} l4_layer;

typedef struct l4_weights {
    const l4_allocator *allocator;
    l4_config config;
    l4_matrix embedding;      /* [vocab, width] */
    l4_matrix output;         /* [vocab, width]; the same view as embedding when tied */
    const float *output_norm; /* [width] */
    float *rope_freq;         /* [head_dim / 2]: radians per position, scaling applied */
    float *rope_divisor;      /* [head_dim / 2]: what scaling divided by; all 1 without scaling */
    l4_layer *layers;
    float *vectors;           /* storage of norms and frequencies */
    l4_ffn *expert_views;     /* storage of experts */
    uint8_t **packed;         /* storage of packed matrices */
    size_t n_packed, packed_capacity;
    struct l4_disk *disk;   /* not NULL: the mapped files are not touched any more. Rows of the embedding are read when they are needed, */
    struct l4_experts *pool;    /* and so are routed experts, whose matrices then only say where they lie in the files */
} l4_weights;

/* Binds a GGUF file's tensors (names of LLAMA.cpp's converter) or a Hugging Face directory's. `archive` must outlive the weights.
 * Fails, naming the tensor, when one is missing, has a wrong shape or a type that cannot be computed. */
llama4_status l4_weights_from_gguf(const l4_allocator *a, const l4_config *c, const l4_archive *archive, l4_weights *out, llama4_error *error);
llama4_status l4_weights_from_hf(const l4_allocator *a, const l4_config *c, const l4_archive *archive, l4_weights *out, llama4_error *error);
void l4_weights_clear(l4_weights *w);

/* LLAMA4_PATH_ value of a tensor: what weights_*.c and resident.c make of it. */
int32_t l4_tensor_path(const l4_tensor *t);

/* Bytes from the first to the last one that it uses, those between its rows or columns included; not of a packed matrix. */
uint64_t l4_matrix_extent(const l4_matrix *m);

/* Row r as float32 [cols]; not of a packed matrix. */
void l4_matrix_row(const l4_matrix *m, uint32_t r, float *out);

#endif
