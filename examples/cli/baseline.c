/* Base files, row by row: bytes in, checked numbers out, and back. The form is described in baseline.h. */
#include "baseline.h"

#include <math.h>
#include <string.h>

#define MAGIC "L4LOGPRB"
#define VERSION 1
#define MAX_COUNT (1u << 24) /* of ids, and of positions in a window */
#define CODES 65535
#define FNV_START 2166136261u

static void put_u32(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> 8 * i);
}

static uint32_t get_u32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void put_f32(uint8_t *p, float v)
{
    uint32_t bits;
    memcpy(&bits, &v, 4);
    put_u32(p, bits);
}

static float get_f32(const uint8_t *p)
{
    uint32_t bits = get_u32(p);
    float v;
    memcpy(&v, &bits, 4);
    return v;
}

static uint32_t add_check(uint32_t check, const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        check = (check ^ p[i]) * 16777619u;
    return check;
}

uint32_t baseline_tokens(const baseline *b)
{
    uint64_t n = b->windows ? (uint64_t)(b->windows - 1) * b->stride + b->window : 0;
    return n <= INT32_MAX ? (uint32_t)n : 0;
}

size_t baseline_row_bytes(const baseline *b)
{
    return BASELINE_ROW_HEADER + 2 * (size_t)b->vocab;
}

static uint32_t header_check(const uint8_t *header, const int32_t *tokens, uint32_t n)
{
    uint32_t check = add_check(FNV_START, header, BASELINE_HEADER - 4);
    for (uint32_t i = 0; i < n; i++) {
        uint8_t bytes[4];
        put_u32(bytes, (uint32_t)tokens[i]);
        check = add_check(check, bytes, 4);
    }
    return check;
}

void baseline_put_header(const baseline *b, const int32_t *tokens, uint8_t out[BASELINE_HEADER])
{
    const uint32_t fields[] = {VERSION, b->vocab, b->window, b->stride, b->rows, b->windows, b->tokens, (uint32_t)b->bos};
    memcpy(out, MAGIC, 8);
    for (size_t i = 0; i < 8; i++)
        put_u32(out + 8 + 4 * i, fields[i]);
    put_u32(out + BASELINE_HEADER - 4, header_check(out, tokens, b->tokens));
}

const char *baseline_get_header(const uint8_t in[BASELINE_HEADER], uint64_t file_size, baseline *b)
{
    uint32_t f[8];
    if (file_size < BASELINE_HEADER || memcmp(in, MAGIC, 8) != 0)
        return "it is no base file";
    for (size_t i = 0; i < 8; i++)
        f[i] = get_u32(in + 8 + 4 * i);
    if (f[0] != VERSION)
        return "its version is not known";
    baseline r = {f[1], f[2], f[3], f[4], f[5], f[6], (int32_t)f[7]};
    if (r.vocab < 2 || r.vocab > MAX_COUNT || r.window < 2 || r.window > MAX_COUNT)
        return "its vocabulary or window has an impossible size";
    if (r.stride < 1 || r.stride > r.window || r.rows < 1 || r.rows >= r.window || r.windows < 1)
        return "its windows contradict each other";
    if (r.tokens == 0 || r.tokens != baseline_tokens(&r))
        return "it has not as many tokens as its windows cover";
    if (r.bos < -1 || r.bos >= (int32_t)r.vocab)
        return "the token that begins its windows is not in its vocabulary";
    /* below 2^32 times 2^24 times 2^26: the quotient cannot overflow, the product might */
    uint64_t n_rows = (uint64_t)r.rows * r.windows, rest = file_size - BASELINE_HEADER, tokens = 4 * (uint64_t)r.tokens;
    if (rest < tokens || (rest - tokens) / baseline_row_bytes(&r) != n_rows || (rest - tokens) % baseline_row_bytes(&r) != 0)
        return "its size is not what its header says";
    *b = r;
    return NULL;
}

const char *baseline_get_tokens(const uint8_t header[BASELINE_HEADER], const baseline *b, int32_t *raw)
{
    for (uint32_t i = 0; i < b->tokens; i++) {
        uint32_t id = get_u32((const uint8_t *)(raw + i));
        if (id >= b->vocab)
            return "one of its tokens is not in its vocabulary";
        raw[i] = (int32_t)id;
    }
    uint32_t check = header_check(header, raw, b->tokens);
    return check == get_u32(header + BASELINE_HEADER - 4) ? NULL : "its header or its tokens are damaged";
}

int log_softmax(const float *logits, uint32_t vocab, double *out, uint32_t *top)
{
    double sum = 0;
    uint32_t best = 0;
    for (uint32_t i = 0; i < vocab; i++) {
        if (!isfinite(logits[i]))
            return 0;
        best = logits[i] > logits[best] ? i : best;
    }
    for (uint32_t i = 0; i < vocab; i++) {
        out[i] = (double)logits[i] - (double)logits[best];
        sum += exp(out[i]);
    }
    double shift = log(sum);
    for (uint32_t i = 0; i < vocab; i++)
        out[i] -= shift;
    *top = best;
    return 1;
}

static uint32_t row_check(const uint8_t *row, uint32_t vocab)
{
    return add_check(add_check(FNV_START, row, 12), row + BASELINE_ROW_HEADER, 2 * (size_t)vocab);
}

const char *baseline_put_row(const float *logits, uint32_t vocab, uint8_t *out)
{
    uint32_t top = 0, low = 0;
    double sum = 0;
    for (uint32_t i = 0; i < vocab; i++) {
        if (!isfinite(logits[i]))
            return "a logit is not a finite number";
        top = logits[i] > logits[top] ? i : top;
        low = logits[i] < logits[low] ? i : low;
    }
    for (uint32_t i = 0; i < vocab; i++)
        sum += exp((double)logits[i] - (double)logits[top]);
    float step = (float)(((double)logits[top] - (double)logits[low]) / CODES);
    put_f32(out, (float)-log(sum));
    put_f32(out + 4, step);
    put_u32(out + 8, top);
    for (uint32_t i = 0; i < vocab; i++) {
        double code = step > 0 ? ((double)logits[top] - (double)logits[i]) / (double)step + 0.5 : 0;
        uint32_t bits = code < CODES ? (uint32_t)code : CODES;
        out[BASELINE_ROW_HEADER + 2 * (size_t)i] = (uint8_t)bits;
        out[BASELINE_ROW_HEADER + 2 * (size_t)i + 1] = (uint8_t)(bits >> 8);
    }
    put_u32(out + 12, row_check(out, vocab));
    return NULL;
}

const char *baseline_get_row(const uint8_t *in, uint32_t vocab, double *log_probabilities, uint32_t *top)
{
    float high = get_f32(in), step = get_f32(in + 4);
    uint32_t best = get_u32(in + 8);
    const uint8_t *codes = in + BASELINE_ROW_HEADER;
    double sum = 0;
    if (get_u32(in + 12) != row_check(in, vocab))
        return "a row is damaged";
    if (!isfinite(high) || high > 0 || !isfinite(step) || step < 0 || best >= vocab)
        return "a row holds impossible numbers";
    for (uint32_t i = 0; i < vocab; i++) { /* against the likeliest, so that the sum neither vanishes nor loses its digits */
        uint32_t code = codes[2 * (size_t)i] | (uint32_t)codes[2 * (size_t)i + 1] << 8;
        log_probabilities[i] = -(double)step * code;
        sum += exp(log_probabilities[i]);
    }
    if (log_probabilities[best] < 0)
        return "a row holds impossible numbers";
    double shift = log(sum);
    for (uint32_t i = 0; i < vocab; i++)
        log_probabilities[i] -= shift;
    *top = best;
    return NULL;
}
