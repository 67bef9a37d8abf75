#include "flow/convert_read.h"

#include "format/types.h"

static l4_matrix part_of(const l4_matrix *m, uint32_t first, uint32_t n)
{
    l4_matrix part = *m;
    part.rows = n;
    part.data += first * (m->layout == L4_ROWS ? m->stride : l4_type_row_bytes(l4_type_find(m->type), 1));
    return part;
}

uint64_t l4_convert_reader_need(const l4_matrix *m, uint32_t rows)
{
    if (m->layout == L4_COLUMNS) /* a few of its rows are a few bytes here and there all over it: it is read once, from end to end */
        return l4_matrix_extent(m);
    const l4_matrix part = part_of(m, 0, rows < m->rows ? rows : m->rows);
    return l4_matrix_extent(&part);
}

llama4_status l4_convert_reader_open(l4_convert_reader *r, const l4_allocator *a, const l4_archive *archive, size_t buffer, llama4_error *error)
{
    r->allocator = a;
    r->archive = archive;
    const llama4_status status = l4_archive_open_inputs(archive, a, 1, &r->inputs, error);
    return status ? status : l4_alloc(a, buffer, 1, "weights to convert", &r->buffer, error);
}

void l4_convert_reader_close(l4_convert_reader *r)
{
    if (!r->allocator)
        return;
    l4_archive_close_inputs(r->archive, r->allocator, r->inputs);
    l4_free(r->allocator, r->buffer);
}

llama4_status l4_convert_reader_rows(l4_convert_reader *r, const l4_matrix *m, uint32_t first, uint32_t n, l4_matrix *out, llama4_error *error)
{
    llama4_status status = LLAMA4_OK;
    *out = part_of(m, first, n);
    if (m->layout == L4_ROWS)
        return l4_archive_read(r->archive, r->inputs, out->data, (size_t)l4_matrix_extent(out), r->buffer, &out->data, error);
    if (first == 0)
        status = l4_archive_read(r->archive, r->inputs, m->data, (size_t)l4_matrix_extent(m), r->buffer, &r->columns, error);
    if (status == LLAMA4_OK)
        out->data = r->columns + (out->data - m->data);
    return status;
}
