/* Any bytes as a base file of llama4 perplexity, once as they are and once with right checks: what is accepted must be usable. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../../examples/cli/baseline.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint32_t add_check(uint32_t check, const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        check = (check ^ p[i]) * 16777619u;
    return check;
}

static void put_u32(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> 8 * i);
}

static void use_row(uint8_t *row, const baseline *b, int mend)
{
    double *values = malloc(b->vocab * sizeof *values), sum = 0;
    uint32_t top;
    if (mend)
        put_u32(row + 12, add_check(add_check(2166136261u, row, 12), row + BASELINE_ROW_HEADER, 2 * (size_t)b->vocab));
    if (!baseline_get_row(row, b->vocab, values, &top)) {
        for (uint32_t i = 0; i < b->vocab; i++)
            sum += exp(values[i]);
        if (top >= b->vocab || !(fabs(sum - 1) < 1e-6))
            abort();
    }
    free(values);
}

static void use_file(uint8_t *data, size_t size, int mend)
{
    baseline b;
    if (size < BASELINE_HEADER || baseline_get_header(data, size, &b))
        return;
    uint8_t *tokens = data + BASELINE_HEADER, *rows = tokens + 4 * (size_t)b.tokens;
    int32_t *raw = malloc(4 * (size_t)b.tokens);
    memcpy(raw, tokens, 4 * (size_t)b.tokens);
    if (mend)
        put_u32(tokens - 4, add_check(add_check(2166136261u, data, BASELINE_HEADER - 4), tokens, 4 * (size_t)b.tokens));
    if (!baseline_get_tokens(data, &b, raw)) {
        uint8_t again[BASELINE_HEADER];
        baseline_put_header(&b, raw, again);
        if (memcmp(again, data, BASELINE_HEADER) != 0)
            abort();
        for (uint32_t i = 0; i < b.tokens; i++)
            if (raw[i] < 0 || (uint32_t)raw[i] >= b.vocab)
                abort();
        for (uint64_t i = 0; i < (uint64_t)b.rows * b.windows; i++)
            use_row(rows + i * baseline_row_bytes(&b), &b, mend);
    }
    free(raw);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (int mend = 0; mend < 2; mend++) {
        uint8_t *copy = malloc(size + !size);
        if (!copy)
            return 0;
        memcpy(copy, data, size);
        use_file(copy, size, mend);
        free(copy);
    }
    return 0;
}
