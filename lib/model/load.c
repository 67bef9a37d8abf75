/* Bound matrices -> places in files -> packed or plain bytes in memory. */
#include "model/load.h"

#include <string.h>

#include "format/types.h"
#include "kernels/packed.h"

static uint64_t round_up(uint64_t n, uint64_t to)
{
    return (n + to - 1) / to * to;
}

/* Gate and up may share their rows in the file: then one part, that is not packed, brings both. Files in which anything else overlaps are nonsense, but must
 * do no harm: a packed part is one matrix's own. */
static const l4_part *covering(const l4_load *load, const l4_matrix *m, int packed)
{
    for (uint32_t i = 0; i < load->n_parts; i++) {
        const l4_part *p = &load->parts[i];
        const l4_matrix *f = &p->from;
        const int same = m->data == f->data && m->type == f->type && m->rows == f->rows && m->cols == f->cols && m->stride == f->stride;
        if (p->packed == packed && (packed ? same : m->data >= f->data && m->data + l4_matrix_extent(m) <= f->data + p->source))
            return p;
    }
    return NULL;
}

static int can_pack(const l4_matrix *m)
{
    return m->layout == L4_ROWS && l4_packed_can(m->type);
}

static llama4_status add(l4_load *load, const l4_archive *archive, const l4_matrix *m, int packed, llama4_error *error)
{
    if (!m->data || covering(load, m, packed))
        return LLAMA4_OK;
    l4_part p = {.from = *m, .source = l4_matrix_extent(m), .packed = packed};
    if (m->layout == L4_COLUMNS) /* whole rows, with what stands beside it */
        p.source = m->cols * m->stride;
    const l4_mapping *file = l4_archive_place(archive, m->data, &p.offset);
    if (!file || load->n_parts == L4_LOAD_PARTS)
        return l4_fail(error, LLAMA4_ERR_FORMAT, "a matrix lies outside the model's files");
    if (!packed && load->in_place && !file->handle)
        return LLAMA4_OK;
    p.file = (uint32_t)(file - archive->files);
    if (p.source > file->size - p.offset)
        p.source = l4_matrix_extent(m);
    p.at = load->bytes;
    if (p.packed) {
        const uint64_t panel = m->stride * L4_PANEL;
        p.bytes = (m->rows + L4_PANEL - 1) / L4_PANEL * (uint64_t)l4_panel_bytes(m->type, m->cols);
        p.piece = panel < L4_LOAD_PIECE ? L4_LOAD_PIECE / panel * panel : panel;
    } else {
        p.bytes = p.source;
        p.piece = L4_LOAD_PIECE;
    }
    p.pieces = (uint32_t)((p.source + p.piece - 1) / p.piece);
    load->pieces += p.pieces;
    load->source += p.source;
    load->bytes = round_up(p.at + p.bytes, 64);
    load->parts[load->n_parts++] = p;
    return LLAMA4_OK;
}

llama4_status l4_load_add(l4_load *load, const l4_archive *archive, const l4_matrix *m, llama4_error *error)
{
    return add(load, archive, m, can_pack(m), error);
}

llama4_status l4_load_add_rows(l4_load *load, const l4_archive *archive, const l4_matrix *m, llama4_error *error)
{
    return add(load, archive, m, 0, error);
}

l4_matrix l4_load_matrix(const l4_load *load, const l4_matrix *m, const uint8_t *memory)
{
    l4_matrix to = *m;
    const l4_part *p = m->data && can_pack(m) ? covering(load, m, 1) : NULL;
    if (!p && m->data)
        p = covering(load, m, 0);
    if (!p)
        return to;
    to.data = memory + p->at;
    if (p->packed) {
        to.layout = L4_PACKED;
        to.stride = l4_panel_bytes(m->type, m->cols);
    } else
        to.data += m->data - p->from.data;
    return to;
}

llama4_status l4_load_add_ffn(l4_load *load, const l4_archive *archive, const l4_ffn *f, llama4_error *error)
{
    llama4_status status = l4_load_add(load, archive, &f->gate, error);
    if (status == LLAMA4_OK)
        status = l4_load_add(load, archive, &f->up, error);
    return status ? status : l4_load_add(load, archive, &f->down, error);
}

llama4_status l4_load_add_layer(l4_load *load, const l4_archive *archive, const l4_weights *w, uint32_t i, llama4_error *error)
{
    if (i == w->config.layers)
        return l4_load_add(load, archive, &w->output, error);
    const l4_layer *l = &w->layers[i];
    const l4_matrix *const attention[] = {&l->q, &l->k, &l->v, &l->o};
    llama4_status status = LLAMA4_OK;
    for (size_t k = 0; k < sizeof attention / sizeof *attention && status == LLAMA4_OK; k++)
        status = l4_load_add(load, archive, attention[k], error);
    if (status == LLAMA4_OK)
        status = l4_load_add_ffn(load, archive, &l->ffn, error);
    return status ? status : l4_load_add(load, archive, &l->router, error);
}

l4_ffn l4_load_ffn(const l4_load *load, const l4_ffn *f, const uint8_t *memory)
{
    return (l4_ffn){l4_load_matrix(load, &f->gate, memory), l4_load_matrix(load, &f->up, memory), l4_load_matrix(load, &f->down, memory)};
}

void l4_load_layer(const l4_load *load, l4_weights *w, uint32_t i, const uint8_t *memory)
{
    if (i == w->config.layers) {
        w->output = l4_load_matrix(load, &w->output, memory);
        return;
    }
    l4_layer *l = &w->layers[i];
    l4_matrix *const single[] = {&l->q, &l->k, &l->v, &l->o, &l->router};
    for (size_t k = 0; k < sizeof single / sizeof *single; k++)
        *single[k] = l4_load_matrix(load, single[k], memory);
    l->ffn = l4_load_ffn(load, &l->ffn, memory);
}

uint32_t l4_load_reach(const l4_load *load, const uint8_t *memory, const l4_matrix *view, size_t rows)
{
    const uint64_t at = (uint64_t)(view->data - memory);
    const l4_part *p = load->parts;
    uint32_t before = 0;
    while (at >= p->at + p->bytes)
        before += p++->pieces;
    uint64_t bytes = p->source;
    if (p->packed)
        bytes = (rows + L4_PANEL - 1) / L4_PANEL * L4_PANEL * p->from.stride;
    else if (view->layout == L4_ROWS)
        bytes = at - p->at + rows * view->stride;
    const uint64_t pieces = (bytes + p->piece - 1) / p->piece;
    return before + (pieces < p->pieces ? (uint32_t)pieces : p->pieces);
}

llama4_status l4_load_piece(const l4_load *load, l4_input *inputs, uint32_t piece, uint8_t *memory, uint8_t *buffer, uint64_t *read, llama4_error *error)
{
    const l4_part *p = load->parts;
    const uint8_t *data;
    while (piece >= p->pieces)
        piece -= p++->pieces;
    const uint64_t at = piece * p->piece, size = p->source - at < p->piece ? p->source - at : p->piece;
    uint8_t *to = memory + p->at;
    if (!p->packed && inputs[p->file].cached)
        buffer = to + at;
    llama4_status status = l4_input_read(&inputs[p->file], p->offset + at, (size_t)size, buffer, &data, error);
    if (status)
        return status;
    *read += size;
    if (!p->packed) {
        if (data != to + at)
            memcpy(to + at, data, (size_t)size);
        return LLAMA4_OK;
    }
    const l4_matrix *m = &p->from;
    const size_t first = (size_t)(at / m->stride), bytes = l4_panel_bytes(m->type, m->cols);
    for (size_t r = first; (r - first) * m->stride < size; r += L4_PANEL) {
        const size_t rows = m->rows - r < L4_PANEL ? m->rows - r : L4_PANEL;
        l4_panel_pack(m->type, data + (r - first) * m->stride, (size_t)m->stride, rows, m->cols, to + r / L4_PANEL * bytes);
    }
    return LLAMA4_OK;
}

size_t l4_load_buffer(const l4_load *load)
{
    uint64_t most = L4_LOAD_PIECE;
    for (uint32_t i = 0; i < load->n_parts; i++)
        most = load->parts[i].piece > most ? load->parts[i].piece : most;
    return (size_t)most + 2 * L4_INPUT_ALIGN;
}
