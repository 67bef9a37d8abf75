/* A GGUF file of architecture "clip" -> the picture encoder. Names are those of the usual converter. */
#include <stdio.h>
#include <string.h>

#include "model/vision_internal.h"

#define NAME(buffer, ...) (snprintf(buffer, sizeof buffer, __VA_ARGS__), buffer)

static int is_text(const l4_gguf *g, const char *key, const char *wanted)
{
    const char *text = NULL;
    size_t length = 0;
    return l4_gguf_get_string(g, key, 1, &text, &length, NULL) == LLAMA4_OK && length == strlen(wanted) && memcmp(text, wanted, length) == 0;
}

int l4_vision_is_gguf(const l4_gguf *g)
{
    return is_text(g, "general.architecture", "clip");
}

static llama4_status colours(const l4_gguf *g, const char *key, float out[3], llama4_error *error)
{
    const l4_gguf_key *k = l4_gguf_find(g, key);
    if (!k)
        return LLAMA4_OK;
    if (k->type != L4_GGUF_ARRAY || k->element_type != L4_GGUF_F32 || k->count != 3)
        return l4_fail(error, LLAMA4_ERR_FORMAT, "key %s is not an array of three floats", key);
    for (int i = 0; i < 3; i++)
        out[i] = l4_load_f32(k->data + 4 * i);
    return LLAMA4_OK;
}

static llama4_status shape(const l4_gguf *g, l4_vision_config *c, llama4_error *error)
{
    const struct {
        const char *key;
        uint32_t *out;
        int required;
    } keys[] = {
        {"clip.vision.block_count", &c->layers, 1},
        {"clip.vision.embedding_length", &c->width, 1},
        {"clip.vision.attention.head_count", &c->heads, 1},
        {"clip.vision.feed_forward_length", &c->ff, 1},
        {"clip.vision.image_size", &c->tile, 1},
        {"clip.vision.patch_size", &c->patch, 1},
        {"clip.vision.projection_dim", &c->embedding, 1},
        {"clip.vision.projector.scale_factor", &c->shuffle, 0},
        {"clip.vision.preproc_max_tiles", &c->max_tiles, 0},
    };
    llama4_status status = LLAMA4_OK;
    for (size_t i = 0; status == LLAMA4_OK && i < sizeof keys / sizeof *keys; i++) {
        int64_t value = *keys[i].out;
        status = l4_gguf_get_i64(g, keys[i].key, keys[i].required, 0, 0x7fffffff, &value, error);
        *keys[i].out = (uint32_t)value;
    }
    return status;
}

llama4_status l4_vision_config_from_gguf(const l4_gguf *g, l4_vision_config *out, llama4_error *error)
{
    l4_vision_config c = {.shuffle = 2, .max_tiles = 16, .epsilon = 1e-5f, .rope_base = 10000.0f, .mean = {0.5f, 0.5f, 0.5f}, .std = {0.5f, 0.5f, 0.5f}};
    const char *text = NULL;
    size_t length = 0;
    if (!l4_vision_is_gguf(g))
        return l4_fail(error, LLAMA4_ERR_UNSUPPORTED, "the file holds no picture encoder: its general.architecture is not \"clip\"");
    if (!is_text(g, "clip.projector_type", "llama4") && !is_text(g, "clip.vision.projector_type", "llama4"))
        return l4_fail(error, LLAMA4_ERR_UNSUPPORTED, "the file's picture encoder is not one of Llama 4: clip.projector_type is not \"llama4\"");
    llama4_status status = shape(g, &c, error);
    if (status == LLAMA4_OK)
        status = l4_gguf_get_f32(g, "clip.vision.attention.layer_norm_epsilon", 0, &c.epsilon, error);
    if (status == LLAMA4_OK)
        status = l4_gguf_get_f32(g, "clip.vision.rope.freq_base", 0, &c.rope_base, error);
    if (status == LLAMA4_OK)
        status = colours(g, "clip.vision.image_mean", c.mean, error);
    if (status == LLAMA4_OK)
        status = colours(g, "clip.vision.image_std", c.std, error);
    if (status == LLAMA4_OK)
        status = l4_gguf_get_string(g, "general.name", 0, &text, &length, error);
    if (status == LLAMA4_OK && text)
        memcpy(c.name, text, length < sizeof c.name ? length : sizeof c.name - 1);
    if (status == LLAMA4_OK)
        status = l4_vision_config_check(&c, "the picture encoder's keys", error);
    if (status == LLAMA4_OK)
        *out = c;
    return status;
}

static llama4_status layer(l4_binder *b, const l4_vision_config *c, uint32_t i, l4_vision_layer *l, llama4_error *error)
{
    char name[64];
    const unsigned n = (unsigned)i;
    llama4_status status = l4_vision_bind_pair(b, NAME(name, "v.blk.%u.ln1", n), c->width, l->ln1, error);
    if (status)
        return status;
    /* Some converters misname the second norm. */
    const char *ln2 = l4_archive_find(b->archive, NAME(name, "v.blk.%u.ln2.weight", n)) ? "ln2" : "attn_post_norm";
    if (!l4_archive_find(b->archive, NAME(name, "v.blk.%u.%s.weight", n, ln2)))
        ln2 = "ln2"; /* the name to miss */
    status = l4_vision_bind_pair(b, NAME(name, "v.blk.%u.%s", n, ln2), c->width, l->ln2, error);
    if (status == LLAMA4_OK)
        status = l4_vision_bind_linear(b, NAME(name, "v.blk.%u.attn_q", n), c->width, c->width, &l->q, &l->qb, error);
    if (status == LLAMA4_OK)
        status = l4_vision_bind_linear(b, NAME(name, "v.blk.%u.attn_k", n), c->width, c->width, &l->k, &l->kb, error);
    if (status == LLAMA4_OK)
        status = l4_vision_bind_linear(b, NAME(name, "v.blk.%u.attn_v", n), c->width, c->width, &l->v, &l->vb, error);
    if (status == LLAMA4_OK)
        status = l4_vision_bind_linear(b, NAME(name, "v.blk.%u.attn_out", n), c->width, c->width, &l->o, &l->ob, error);
    if (status == LLAMA4_OK)
        status = l4_vision_bind_linear(b, NAME(name, "v.blk.%u.ffn_up", n), c->ff, c->width, &l->up, &l->upb, error);
    return status ? status : l4_vision_bind_linear(b, NAME(name, "v.blk.%u.ffn_down", n), c->width, c->ff, &l->down, &l->downb, error);
}

/* [width][3 * patch * patch], or the same numbers as a convolution [width][3][patch][patch]. */
static llama4_status patches(const l4_binder *b, const l4_vision_config *c, l4_matrix *out, llama4_error *error)
{
    const l4_tensor *t;
    llama4_status status = l4_bind_find(b, "v.patch_embd.weight", &t, error);
    if (status)
        return status;
    if (t->dims[0] == c->patch && t->dims[1] == c->patch && t->dims[2] == 3 && t->dims[3] == c->width && l4_type_find(t->type)->block == 1) {
        *out = l4_bind_rows(t, 0, c->width, 3 * c->patch * c->patch);
        return LLAMA4_OK;
    }
    return l4_bind_matrix(b, t->name, c->width, 3 * c->patch * c->patch, out, error);
}

llama4_status l4_vision_from_gguf(const l4_allocator *a, const l4_vision_config *c, const l4_archive *archive, l4_vision *out, llama4_error *error)
{
    l4_binder b;
    l4_vision v;
    const uint32_t side = l4_vision_side(c);
    llama4_status status = l4_vision_begin(a, c, archive, &b, &v, error);
    if (status)
        return status;
    status = patches(&b, c, &v.patch, error);
    if (status == LLAMA4_OK)
        status = l4_bind_vector(&b, "v.class_embd", c->width, &v.class_token, error);
    if (status == LLAMA4_OK)
        status = l4_vision_bind_rows(&b, "v.position_embd.weight", side * side + 1, c->width, &v.position, error);
    if (status == LLAMA4_OK)
        status = l4_vision_bind_pair(&b, "v.pre_ln", c->width, v.pre, error);
    if (status == LLAMA4_OK)
        status = l4_vision_bind_pair(&b, "v.post_ln", c->width, v.post, error);
    for (uint32_t i = 0; i < c->layers && status == LLAMA4_OK; i++)
        status = layer(&b, c, i, &v.layers[i], error);
    if (status == LLAMA4_OK)
        status = l4_vision_bind_adapter(&b, "mm.model.mlp.1.weight", "mm.model.mlp.2.weight", "mm.model.fc.weight", &v, error);
    if (status)
        l4_vision_clear(&v);
    else
        *out = v;
    return status;
}
