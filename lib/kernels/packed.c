/* Stored rows -> panels. See packed.h for the layout. */
#include "kernels/packed.h"

#include <string.h>

#include "llama4/llama4.h"

size_t l4_qrow_bytes(size_t n)
{
    return (n + n / L4_QBLOCK * 8 + 63) / 64 * 64;
}

l4_qrow l4_qrow_at(const uint8_t *memory, size_t n)
{
    const uint8_t *scales = memory + n, *sums = scales + n / L4_QBLOCK * 4;
    return (l4_qrow){(const int8_t *)memory, (const float *)(const void *)scales, (const int32_t *)(const void *)sums};
}

int l4_packed_can(uint32_t type)
{
    return type == LLAMA4_TYPE_Q8_0 || type == LLAMA4_TYPE_Q4_0;
}

static size_t block_bytes(uint32_t type)
{
    return type == LLAMA4_TYPE_Q8_0 ? 34 : 18;
}

size_t l4_panel_bytes(uint32_t type, size_t cols)
{
    return cols / L4_QBLOCK * L4_PANEL * block_bytes(type);
}

/* One block of sixteen rows: words of four bytes change places, as in a transposition. Inlined with constants. */
static inline void pack_block(const uint8_t *const rows[L4_PANEL], size_t payload, uint32_t flip, uint8_t *to)
{
    for (size_t r = 0; r < L4_PANEL; r++)
        memcpy(to + 2 * r, rows[r], 2);
    to += 2 * L4_PANEL;
    for (size_t i = 0; i < payload; i += 4)
        for (size_t r = 0; r < L4_PANEL; r++) {
            uint32_t four;
            memcpy(&four, rows[r] + 2 + i, 4);
            four ^= flip;
            memcpy(to + i * L4_PANEL + 4 * r, &four, 4);
        }
}

void l4_panel_pack(uint32_t type, const uint8_t *first, size_t stride, size_t rows, size_t cols, uint8_t *panel)
{
    static const uint8_t nothing[34]; /* a missing row: its scale of 0 makes the rest vanish */
    const size_t bytes = block_bytes(type);
    const uint8_t *from[L4_PANEL];
    for (size_t r = 0; r < L4_PANEL; r++)
        from[r] = r < rows ? first + r * stride : nothing;
    for (size_t block = 0; block < cols / L4_QBLOCK; block++, panel += bytes * L4_PANEL) {
        if (type == LLAMA4_TYPE_Q8_0)
            pack_block(from, 32, 0x80808080u, panel);
        else
            pack_block(from, 16, 0, panel);
        for (size_t r = 0; r < rows; r++)
            from[r] += bytes;
    }
}
