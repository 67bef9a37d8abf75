/* Where a model's picture encoder comes from. */
#ifndef L4_FLOW_VISION_H
#define L4_FLOW_VISION_H

#include "base/input.h"
#include "format/gguf.h"
#include "model/vision.h"

typedef struct l4_vision_part {
    const l4_allocator *allocator;
    int present;
    l4_vision_config config;
    l4_vision weights;         /* empty if only the configuration was asked for */
    l4_input *inputs;          /* of the archive's files, which weights are read from when a picture comes; NULL if there are none */
    l4_gguf *gguf;             /* or NULL */
    l4_archive safetensors;    /* of a directory of its own */
    const l4_archive *archive; /* whichever of them it is, or the text model's */
} l4_vision_part;

/* A GGUF file, or a Hugging Face directory that has a picture encoder among its tensors. `bind`: the weights, too. The part, its allocator and the
 * files must stay where they are until it is closed. */
llama4_status l4_vision_part_open(const l4_allocator *a, const char *path, int bind, l4_vision_part *out, llama4_error *error);

/* From a directory whose tensors are open already. */
llama4_status l4_vision_part_of(const l4_allocator *a, const char *directory, const l4_archive *archive, int bind, l4_vision_part *out,
                                llama4_error *error);

void l4_vision_part_close(l4_vision_part *v); /* also after a failure; harmless if it is zero */

#endif
