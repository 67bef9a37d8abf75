/* Base files of llama4 perplexity: what goes in comes out, and every lie is found. */
#include <math.h>
#include <stdlib.h>

#include "../../examples/cli/baseline.h"
#include "check.h"

#define VOCAB 5
#define ROW_BYTES (BASELINE_ROW_HEADER + 2 * VOCAB)

static const baseline shape = {VOCAB, 6, 4, 3, 3, 14, 0};
static const int32_t tokens[14] = {1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1, 2, 3, 4};
#define FILE_SIZE (BASELINE_HEADER + 4 * 14 + 9 * ROW_BYTES)

static void put_u32(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> 8 * i);
}

static int same_text(const char *a, const char *b)
{
    return a && b && strcmp(a, b) == 0;
}

TEST(header_round_trip)
{
    uint8_t header[BASELINE_HEADER];
    int32_t raw[14];
    baseline b;
    CHECK_EQ(baseline_tokens(&shape), 14);
    CHECK_EQ(baseline_row_bytes(&shape), ROW_BYTES);
    baseline_put_header(&shape, tokens, header);
    CHECK(baseline_get_header(header, FILE_SIZE, &b) == NULL);
    CHECK(memcmp(&b, &shape, sizeof b) == 0);
    for (int i = 0; i < 14; i++)
        put_u32((uint8_t *)(raw + i), (uint32_t)tokens[i]);
    CHECK(baseline_get_tokens(header, &b, raw) == NULL);
    CHECK(memcmp(raw, tokens, sizeof raw) == 0);
    /* the bytes are little-endian on every machine */
    CHECK(memcmp(header, "L4LOGPRB\1\0\0\0\5\0\0\0\6\0\0\0\4\0\0\0\3\0\0\0\3\0\0\0\16\0\0\0\0\0\0\0", 40) == 0);
}

/* One field of a good header replaced; the check is not looked at before the tokens are. */
static const char *with_field(int at, uint32_t value, uint64_t size)
{
    uint8_t header[BASELINE_HEADER];
    baseline b = {99, 99, 99, 99, 99, 99, 99}, untouched = b;
    baseline_put_header(&shape, tokens, header);
    put_u32(header + at, value);
    const char *fault = baseline_get_header(header, size, &b);
    if (fault)
        CHECK(memcmp(&b, &untouched, sizeof b) == 0);
    return fault;
}

TEST(header_faults)
{
    CHECK(with_field(8, 1, FILE_SIZE) == NULL);
    CHECK(same_text(with_field(0, 1, FILE_SIZE), "it is no base file"));
    CHECK(same_text(with_field(8, 1, BASELINE_HEADER - 1), "it is no base file"));
    CHECK(same_text(with_field(8, 2, FILE_SIZE), "its version is not known"));
    for (int at = 12; at <= 16; at += 4) {
        CHECK(same_text(with_field(at, 1, FILE_SIZE), "its vocabulary or window has an impossible size"));
        CHECK(same_text(with_field(at, (1u << 24) + 1, FILE_SIZE), "its vocabulary or window has an impossible size"));
    }
    CHECK(same_text(with_field(20, 0, FILE_SIZE), "its windows contradict each other"));
    CHECK(same_text(with_field(20, 7, FILE_SIZE), "its windows contradict each other"));
    CHECK(same_text(with_field(24, 0, FILE_SIZE), "its windows contradict each other"));
    CHECK(same_text(with_field(24, 6, FILE_SIZE), "its windows contradict each other"));
    CHECK(same_text(with_field(28, 0, FILE_SIZE), "its windows contradict each other"));
    CHECK(same_text(with_field(28, UINT32_MAX, FILE_SIZE), "it has not as many tokens as its windows cover"));
    CHECK(same_text(with_field(32, 13, FILE_SIZE), "it has not as many tokens as its windows cover"));
    CHECK(same_text(with_field(36, VOCAB, FILE_SIZE), "the token that begins its windows is not in its vocabulary"));
    CHECK(same_text(with_field(36, (uint32_t)-2, FILE_SIZE), "the token that begins its windows is not in its vocabulary"));
    CHECK(with_field(36, (uint32_t)-1, FILE_SIZE) == NULL);
    const uint64_t sizes[] = {FILE_SIZE - 1, FILE_SIZE + 1, FILE_SIZE + ROW_BYTES, BASELINE_HEADER, BASELINE_HEADER + 4 * 14, UINT64_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        CHECK(same_text(with_field(8, 1, sizes[i]), "its size is not what its header says"));
    CHECK(same_text(with_field(12, VOCAB + 1, FILE_SIZE), "its size is not what its header says"));
}

TEST(damage_is_found)
{
    uint8_t header[BASELINE_HEADER];
    int32_t raw[14];
    baseline b;
    for (int i = 0; i < 14; i++)
        put_u32((uint8_t *)(raw + i), (uint32_t)tokens[i]);
    raw[13] = tokens[13] ^ 1; /* 5: no id; 4 ^ 1 */
    baseline_put_header(&shape, tokens, header);
    CHECK(baseline_get_header(header, FILE_SIZE, &b) == NULL);
    CHECK(same_text(baseline_get_tokens(header, &b, raw), "one of its tokens is not in its vocabulary"));
    raw[13] = 3;
    CHECK(same_text(baseline_get_tokens(header, &b, raw), "its header or its tokens are damaged"));
    raw[13] = 4;
    CHECK(baseline_get_tokens(header, &b, raw) == NULL);
    header[BASELINE_HEADER - 1] ^= 0x80;
    CHECK(same_text(baseline_get_tokens(header, &b, raw), "its header or its tokens are damaged"));
}

static double sum_of(const double *log_probabilities, uint32_t n)
{
    double sum = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += exp(log_probabilities[i]);
    return sum;
}

TEST(rows_round_trip)
{
    static const float rows[][VOCAB] = {
        {1, 2, 3, 4, 5}, {0, 0, 0, 0, 0}, {-1e30f, 1e30f, 0, 1, 2}, {7, 7, -80, 3, 7}, {1e-20f, 0, 0, -1e-20f, 0}, {-5, 60, 59, 60, 0},
        {-3e38f, 3e38f, 0, 0, 0}};
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        uint8_t bytes[ROW_BYTES];
        double want[VOCAB], got[VOCAB];
        uint32_t top = 99, want_top = 99;
        CHECK(baseline_put_row(rows[r], VOCAB, bytes) == NULL);
        CHECK(baseline_get_row(bytes, VOCAB, got, &top) == NULL);
        CHECK(log_softmax(rows[r], VOCAB, want, &want_top));
        CHECK_EQ(top, want_top);
        CHECK(fabs(sum_of(got, VOCAB) - 1) < 1e-12 && fabs(sum_of(want, VOCAB) - 1) < 1e-12);
        for (uint32_t i = 0; i < VOCAB; i++)
            if (want[i] > -200)
                CHECK(fabs(got[i] - want[i]) < 1.5e-3);
    }
    CHECK(sizeof rows / sizeof *rows > 0);
}

TEST(row_faults)
{
    const float logits[VOCAB] = {1, 2, 3, 4, 5};
    uint8_t bytes[ROW_BYTES];
    double got[VOCAB];
    uint32_t top;
    CHECK(baseline_put_row(logits, VOCAB, bytes) == NULL);
    for (size_t i = 0; i < sizeof bytes; i++)
        for (int bit = 0; bit < 8; bit++) {
            bytes[i] ^= (uint8_t)(1 << bit);
            CHECK(same_text(baseline_get_row(bytes, VOCAB, got, &top), "a row is damaged"));
            bytes[i] ^= (uint8_t)(1 << bit);
        }
    CHECK(baseline_get_row(bytes, VOCAB, got, &top) == NULL);
    for (int i = 0; i < VOCAB; i++) {
        const float bad[] = {NAN, INFINITY, -INFINITY};
        for (int k = 0; k < 3; k++) {
            float wrong[VOCAB] = {1, 2, 3, 4, 5};
            wrong[i] = bad[k];
            CHECK(same_text(baseline_put_row(wrong, VOCAB, bytes), "a logit is not a finite number"));
            CHECK(!log_softmax(wrong, VOCAB, got, &top));
        }
    }
}

/* A row whose check is right and whose numbers are not. */
static const char *forged(uint32_t high, uint32_t step, uint32_t best)
{
    uint8_t bytes[ROW_BYTES] = {0};
    double got[VOCAB];
    uint32_t top, check = 2166136261u;
    put_u32(bytes, high);
    put_u32(bytes + 4, step);
    put_u32(bytes + 8, best);
    for (size_t i = BASELINE_ROW_HEADER; i < sizeof bytes; i++)
        bytes[i] = 0xff;
    for (size_t i = 0; i < sizeof bytes; i++)
        if (i < 12 || i >= BASELINE_ROW_HEADER)
            check = (check ^ bytes[i]) * 16777619u;
    put_u32(bytes + 12, check);
    return baseline_get_row(bytes, VOCAB, got, &top);
}

TEST(forged_rows)
{
    const char *wrong = "a row holds impossible numbers";
    CHECK(forged(0x80000000u, 0, 0) == NULL);              /* -0 */
    CHECK(same_text(forged(0x3f800000u, 0, 0), wrong));    /* 1 */
    CHECK(same_text(forged(0x7fc00000u, 0, 0), wrong));    /* NaN */
    CHECK(same_text(forged(0xff800000u, 0, 0), wrong));    /* -infinity */
    CHECK(same_text(forged(0, 0xbf800000u, 0), wrong));    /* -1 */
    CHECK(same_text(forged(0, 0x7f800000u, 0), wrong));    /* infinity */
    CHECK(same_text(forged(0, 0x7f7fffffu, 0), wrong));    /* nothing is possible */
    CHECK(same_text(forged(0, 0, VOCAB), wrong));
}

TEST_MAIN(T(header_round_trip), T(header_faults), T(damage_is_found), T(rows_round_trip), T(row_faults), T(forged_rows))
