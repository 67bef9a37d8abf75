#include "vision/reader.h"

#include <string.h>

#include "format/types.h"

static void read_rows(void *user, const l4_matrix *w, size_t first, size_t rows, uint8_t *to)
{
    l4_vision_reader *r = user;
    l4_matrix part = *w;
    part.rows = (uint32_t)rows;
    const size_t size = (size_t)l4_matrix_extent(&part);
    const uint8_t *data = to;
    llama4_error error = LLAMA4_ERROR_INIT;
    const llama4_status status = l4_archive_read(r->archive, r->inputs, w->data + first * w->stride, size, to, &data, &error);
    if (status && !atomic_exchange(&r->failed, 1))
        r->error = error;
    if (status)
        memset(to, 0, size);
    else if (data != to)
        memcpy(to, data, size);
}

void l4_vision_reader_init(l4_vision_reader *r, const l4_archive *archive, l4_input *inputs)
{
    *r = (l4_vision_reader){.source = {read_rows, r}, .archive = archive, .inputs = inputs};
    atomic_init(&r->failed, 0);
}

llama4_status l4_vision_reader_failed(const l4_vision_reader *r, llama4_error *error)
{
    return atomic_load(&r->failed) ? l4_fail(error, r->error.status, "%s", r->error.message) : LLAMA4_OK;
}

uint64_t l4_vision_reader_stride(const l4_vision *w)
{
    const l4_matrix *const single[] = {&w->patch, &w->fc1, &w->fc2, &w->projector};
    uint64_t most = 0;
    for (size_t i = 0; i < sizeof single / sizeof *single; i++)
        most = single[i]->stride > most ? single[i]->stride : most;
    for (uint32_t i = 0; i < w->config.layers; i++) {
        const l4_vision_layer *l = &w->layers[i];
        const l4_matrix *const layer[] = {&l->q, &l->k, &l->v, &l->o, &l->up, &l->down};
        for (size_t k = 0; k < sizeof layer / sizeof *layer; k++)
            most = layer[k]->stride > most ? layer[k]->stride : most;
    }
    return most;
}
