/* The picture encoder's shape and weights, from a GGUF file of its own ("mmproj") or from a Hugging Face directory: checked, as in config.h and weights.h. */
#ifndef L4_MODEL_VISION_H
#define L4_MODEL_VISION_H

#include "model/weights.h"

typedef struct l4_vision_config {
    uint32_t layers, width, heads, ff;
    uint32_t tile, patch;        /* pixels a side; patch divides tile */
    uint32_t shuffle;            /* patches a side that become one embedding; divides tile / patch */
    uint32_t hidden, projected;  /* outputs of the adapter's two matrices; 0 until the tensors say it */
    uint32_t embedding;          /* what comes out: the width of the text model */
    uint32_t max_tiles;          /* besides the one for the whole picture */
    float epsilon, rope_base;
    float mean[3], std[3];       /* of red, green, blue in 0 .. 1 */
    char name[96];
} l4_vision_config;

typedef struct l4_vision_layer {
    const float *ln1[2], *ln2[2];                 /* weight, bias [width] */
    l4_matrix q, k, v, o;                         /* [width, width] */
    l4_matrix up, down;                           /* [ff, width], [width, ff] */
    const float *qb, *kb, *vb, *ob, *upb, *downb;
} l4_vision_layer;

typedef struct l4_vision {
    const l4_allocator *allocator;
    l4_vision_config config;
    l4_matrix patch;                      /* [width, 3 * patch * patch]: red, green, blue planes */
    const float *class_token;             /* [width] */
    const float *position;                /* [patches + 1][width], the class token's last */
    const float *pre[2], *post[2];        /* norms */
    l4_matrix fc1, fc2, projector;        /* [hidden, shuffle^2 * width], [projected, hidden], [embedding, projected] */
    l4_vision_layer *layers;
    float *vectors;                       /* storage */
} l4_vision;

/* Patches along a side of a tile, and embeddings of a tile. */
static inline uint32_t l4_vision_side(const l4_vision_config *c)
{
    return c->tile / c->patch;
}

static inline uint32_t l4_vision_tokens(const l4_vision_config *c)
{
    return l4_vision_side(c) / c->shuffle * (l4_vision_side(c) / c->shuffle);
}

/* 1 if a GGUF file says that it holds a picture encoder, rather than a text model. */
int l4_vision_is_gguf(const l4_gguf *g);

/* 1 if a Hugging Face checkpoint has a picture encoder among its tensors. */
int l4_vision_in_archive(const l4_archive *archive);

llama4_status l4_vision_config_from_gguf(const l4_gguf *g, l4_vision_config *out, llama4_error *error);

/* From config.json and, unless NULL, preprocessor_config.json. */
llama4_status l4_vision_config_from_json(const l4_allocator *a, const l4_mapping *config, const l4_mapping *preprocessor, const char *name,
                                         l4_vision_config *out, llama4_error *error);

/* Range checks common to both. */
llama4_status l4_vision_config_check(const l4_vision_config *c, const char *name, llama4_error *error);

/* `archive` must outlive the weights. */
llama4_status l4_vision_from_gguf(const l4_allocator *a, const l4_vision_config *c, const l4_archive *archive, l4_vision *out, llama4_error *error);
llama4_status l4_vision_from_hf(const l4_allocator *a, const l4_vision_config *c, const l4_archive *archive, l4_vision *out, llama4_error *error);
void l4_vision_clear(l4_vision *v);

/* Tensors of the encoder in an archive: how many numbers. */
uint64_t l4_vision_parameters(const l4_archive *archive);

#endif
