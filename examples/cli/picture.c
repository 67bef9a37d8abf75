/* See picture.h. */
#include "picture.h"

#include <stdlib.h>
#include <string.h>

/* Takes the embeddings over. */
static int keep(pictures *p, llama4_embeddings *e)
{
    const float *numbers = NULL;
    size_t n = 0;
    if (p->count == p->capacity) {
        llama4_embeddings **grown = realloc(p->items, (2 * p->capacity + 8) * sizeof *grown);
        if (!grown)
            return 0;
        p->items = grown;
        p->capacity = 2 * p->capacity + 8;
    }
    llama4_embeddings_data(e, &numbers, &n, NULL);
    if (n > SIZE_MAX / sizeof *p->rows - p->n_rows)
        return 0;
    if (p->n_rows + n > p->row_room) {
        float *grown = realloc(p->rows, (p->n_rows + n) * sizeof *grown);
        if (!grown)
            return 0;
        p->rows = grown;
        p->row_room = p->n_rows + n;
    }
    memcpy(p->rows + p->n_rows, numbers, n * sizeof *numbers);
    p->n_rows += n;
    p->items[p->count++] = e;
    return 1;
}

/* Does it fit, together with those before it? Looked at before it is encoded in vain. */
static int fits(const pictures *p, const session *s, const llama4_image *image, int64_t *tokens)
{
    llama4_error error = LLAMA4_ERROR_INIT;
    llama4_image_info seen = {.struct_size = sizeof seen};
    llama4_context_info room = {.struct_size = sizeof room};
    if (llama4_image_get_info(image, s->model, &seen, &error) || llama4_context_get_info(s->context, &room, &error))
        return fail(&error);
    *tokens = p->tokens + seen.tokens;
    return *tokens < room.context_length ? 0
                                         : fail_text("the pictures take %lld tokens, and the context holds %lld positions", (long long)*tokens,
                                                     (long long)room.context_length);
}

int pictures_add(pictures *p, session *s, const char *path)
{
    llama4_error error = LLAMA4_ERROR_INIT;
    llama4_model_info info = {.struct_size = sizeof info};
    llama4_image *image = NULL;
    llama4_embeddings *e = NULL;
    if (llama4_model_get_info(s->model, &info, &error))
        return fail(&error);
    if (!info.vision_layers)
        return fail_text("the model has no picture encoder: give its file with --mmproj");
    if (llama4_image_open(path, NULL, &image, &error))
        return fail(&error);
    int64_t tokens = 0;
    int too_many = fits(p, s, image, &tokens);
    if (too_many) {
        llama4_image_release(image);
        return too_many;
    }
    llama4_status status;
    do { /* a Ctrl-C that came as the last answer ended may still be waiting in the context: it is not meant for this */
        progress_start(&s->bar, "looking");
        status = llama4_image_encode(s->context, image, &e, &error);
        progress_end(&s->bar);
    } while (status == LLAMA4_ERR_CANCELLED && !interrupted());
    llama4_image_release(image);
    if (status == LLAMA4_ERR_CANCELLED)
        return 128 + interrupted();
    if (status)
        return fail(&error);
    if (!keep(p, e)) {
        llama4_embeddings_release(e);
        return fail_text("out of memory");
    }
    p->tokens = tokens;
    return 0;
}

void pictures_clear(pictures *p)
{
    for (size_t i = 0; i < p->count; i++)
        llama4_embeddings_release(p->items[i]);
    free(p->items);
    free(p->rows);
    memset(p, 0, sizeof *p);
}

int ids_add_pictures(id_list *list, const llama4_vocab *vocab, const char *system, const pictures *p, const char *user, size_t user_length,
                     uint32_t flags)
{
    llama4_part *parts = calloc(p->count + 1, sizeof *parts);
    llama4_message messages[2];
    size_t n = 0;
    if (!parts)
        return fail_text("out of memory");
    for (size_t i = 0; i < p->count; i++)
        parts[i] = (llama4_part){.struct_size = sizeof *parts, .embeddings = p->items[i]};
    parts[p->count] = (llama4_part){.struct_size = sizeof *parts, .text = user, .text_length = user_length};
    memset(messages, 0, sizeof messages);
    if (system)
        messages[n++] = (llama4_message){.struct_size = sizeof *messages, .role = "system", .content = system};
    messages[n++] = (llama4_message){.struct_size = sizeof *messages, .role = "user", .parts = parts, .n_parts = p->count + 1, .part_stride = sizeof *parts};
    int status = ids_add_messages(list, vocab, messages, n, flags);
    free(parts);
    return status;
}
