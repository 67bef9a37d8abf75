#include "flow/chat.h"

#include <string.h>

#include "flow/generate.h"

typedef struct picture {
    const llama4_image *image;           /* or NULL: */
    const llama4_embeddings *embeddings;
    l4_grid grid;                        /* of the image */
    size_t rows;
} picture;

typedef struct chat {
    llama4_context *context;
    llama4_model *model;
    l4_tokens ids;
    picture *pictures;  /* in their order */
    size_t count, capacity;
    size_t rows, computed; /* embeddings in all, and those of images */
    float *embeddings;     /* [rows][width] */
} chat;

/* As l4_layout_fn: remembers each picture. */
static llama4_status collect(void *user, const llama4_part *part, l4_image_layout *out, llama4_error *error)
{
    chat *c = user;
    l4_image_shape shape = l4_model_image_shape(c->model);
    picture p = {.image = part->image, .embeddings = part->embeddings};
    llama4_status status = p.image ? l4_model_needs_vision(c->model, error) : LLAMA4_OK;
    if (status == LLAMA4_OK && p.image)
        status = l4_image_grid(p.image, &shape, (part->flags & LLAMA4_PART_FRAME) != 0, &p.grid, error);
    if (status == LLAMA4_OK && p.embeddings && p.embeddings->width != c->model->config.width)
        status = l4_fail(error, LLAMA4_ERR_ARGUMENT, "the embeddings are %u wide, the model takes %u: they come from another model",
                         (unsigned)p.embeddings->width, (unsigned)c->model->config.width);
    if (status == LLAMA4_OK)
        status = l4_image_layout_of(&shape, part, out, error);
    if (status == LLAMA4_OK)
        status = l4_grow(&c->model->allocator, &c->pictures, &c->capacity, c->count, c->count + 1, sizeof p, "pictures", error);
    if (status)
        return status;
    p.rows = l4_image_layout_rows(out);
    c->rows += p.rows;
    c->computed += p.image ? p.rows : 0;
    c->pictures[c->count++] = p;
    return LLAMA4_OK;
}

/* How much of the whole work encoding is: parameters that each patch, and each token, meets. */
static double encoding_share(const chat *c)
{
    llama4_model_info info = {0};
    l4_model_describe(c->model, &info);
    double patches = (double)c->computed * c->model->vision.config.shuffle * c->model->vision.config.shuffle;
    double encode = patches * (double)info.vision_parameters, decode = (double)c->ids.count * (double)info.active_parameters;
    return encode > 0 ? encode / (encode + decode) : 0;
}

static llama4_status embed(chat *c, double share, llama4_error *error)
{
    const size_t width = c->model->config.width;
    size_t done = 0, row = 0;
    llama4_status status = l4_alloc(&c->model->allocator, c->rows * width, sizeof *c->embeddings, "embeddings", &c->embeddings, error);
    for (size_t i = 0; i < c->count && status == LLAMA4_OK; i++) {
        const picture *p = &c->pictures[i];
        float *to = c->embeddings + row * width;
        if (p->embeddings)
            memcpy(to, p->embeddings->numbers, p->rows * width * sizeof *to);
        else {
            status = l4_image_compute(c->context, c->model, p->image, &p->grid, share * (double)done / (double)c->computed,
                                      share * (double)p->rows / (double)c->computed, to, error);
            done += p->rows;
        }
        row += p->rows;
    }
    return status;
}

static llama4_status run(chat *c, int32_t sequence, llama4_generate_params *params, llama4_text_fn on_text, void *user, llama4_generate_result *result,
                         llama4_error *error)
{
    if ((uint64_t)c->ids.count > (uint64_t)l4_context_length(c->context)) /* before the pictures are encoded in vain */
        return l4_fail(error, LLAMA4_ERR_CONTEXT_FULL, "the conversation has %zu tokens, and the context holds %lld positions", c->ids.count,
                       (long long)l4_context_length(c->context));
    double share = encoding_share(c);
    llama4_status status = c->count ? embed(c, share, error) : LLAMA4_OK;
    if (status == LLAMA4_OK)
        status = l4_context_truncate(c->context, sequence, 0, error);
    if (status)
        return status;
    if (c->count) {
        params->embeddings = c->embeddings;
        params->n_embeddings = c->rows * c->model->config.width;
    }
    l4_context_share_progress(c->context, share, 1 - share);
    status = l4_generate(c->context, &c->model->allocator, c->model->vocab, sequence, c->ids.ids, c->ids.count, params, on_text, user, result, error);
    l4_context_share_progress(c->context, 0, 1);
    return status;
}

llama4_status l4_chat(llama4_context *context, llama4_model *model, int32_t sequence, const llama4_message *messages, size_t n, size_t stride,
                      const llama4_generate_params *params, llama4_text_fn on_text, void *user, llama4_generate_result *result, llama4_error *error)
{
    chat c = {.context = context, .model = model, .ids = {&model->allocator, NULL, 0, 0}};
    llama4_generate_params full = *params;
    llama4_status status = l4_chat_encode(model->vocab, messages, n, stride, 0, collect, &c, &c.ids, error);
    if (status == LLAMA4_OK)
        status = run(&c, sequence, &full, on_text, user, result, error);
    l4_tokens_clear(&c.ids);
    l4_free(&model->allocator, c.pictures);
    l4_free(&model->allocator, c.embeddings);
    return status;
}
