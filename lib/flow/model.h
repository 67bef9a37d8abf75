/* The model handle: files, weights and vocabulary, reference-counted. */
#ifndef L4_FLOW_MODEL_H
#define L4_FLOW_MODEL_H

#include <stdatomic.h>

#include "base/budget.h"
#include "flow/vision.h"
#include "model/weights.h"
#include "text/vocab.h"

struct llama4_model {
    atomic_int owners;
    l4_allocator allocator;
    l4_log log;
    int32_t cpu_level;         /* cap; LLAMA4_CPU_AUTO: none */
    int header_only;           /* weights and vocab are not there */
    l4_gguf *gguf;             /* or NULL */
    l4_archive safetensors;    /* when gguf is NULL */
    const l4_archive *archive; /* whichever of the two it is */
    l4_config config;
    l4_weights weights;
    l4_budget *budget;         /* NULL: none was asked for, and all fits. Contexts allocate from it */
    uint64_t resident_bytes;
    l4_vision_part vision;     /* empty if there is none */
    llama4_vocab *vocab;       /* NULL if the files have none */
    int has_vocabulary;
    char format[32];
};

/* Exactly one of path, fd >= 0 and data is used. */
typedef struct l4_source {
    const char *path;
    int fd;
    const void *data;
    size_t size;
    int as_stored; /* for reading rows, as a converter does: weights are not packed, and cannot be computed with */
} l4_source;

llama4_status l4_model_open(const l4_source *source, const llama4_model_params *params, llama4_model **out, llama4_error *error);
void l4_model_ref(llama4_model *m);
void l4_model_release(llama4_model *m);

/* Fills everything but struct_size. */
void l4_model_describe(const llama4_model *m, llama4_model_info *info);

#endif
