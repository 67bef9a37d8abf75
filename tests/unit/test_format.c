/* The small parts of the format layer: JSON, types, and the encoders of stored types. Inputs of the JSON parser are copies of
 * exactly their size on the heap, so that AddressSanitizer sees every byte read too far. */
#include <math.h>
#include <stdlib.h>

#include "check.h"

#include "base/bytes.h"
#include "format/json.h"
#include "format/types.h"
#include "kernels/encode.h"
#include "kernels/kernels.h"

static const l4_allocator *const sys = &l4_system_allocator;

/* ---- JSON ---- */

static const char event_letters[] = "{}[]ksntfz.";

/* Parses a copy; the events as letters in `trace`, or "!" at the end if there was an error. */
static llama4_status trace_json(const char *text, size_t size, char *trace, size_t room)
{
    uint8_t *copy = malloc(size + !size);
    l4_json j;
    llama4_status status;
    size_t n = 0;
    memcpy(copy, text, size);
    l4_json_init(&j, sys, copy, size, "test.json");
    do {
        status = l4_json_next(&j, NULL);
        if (n + 2 < room)
            trace[n++] = status ? '!' : event_letters[j.event];
    } while (status == LLAMA4_OK && j.event != L4_JSON_END);
    trace[n] = 0;
    if (status)
        CHECK(l4_json_next(&j, NULL) == LLAMA4_ERR_FORMAT); /* and it stays that way */
    l4_json_clear(&j);
    free(copy);
    return status;
}

TEST(json_accepts)
{
    static const char *const cases[][2] = {
        {"{\"a\":[1,-2.5e+3,true,false,null,\"x\"],\"\":{}}", "{k[nntfzs]k{}}."},
        {" \t\r\n[ ] \n", "[]."}, {"0", "n."}, {"-0", "n."}, {"-0.0e-0", "n."}, {"1E400", "n."}, {"\"\"", "s."}, {"null", "z."},
        {"[[],[[]]]", "[[][[]]]."}, {"\"\\u0000\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "s."}, {"\"\\uD834\\uDd1e\"", "s."}, {"\"\x7f\"", "s."},
        {"\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xf4\x8f\xbf\xbf\"", "s."}, {"{\"a\":1,\"a\":2}", "{knkn}."},
        {"[1e00,123456789012345678901234567890]", "[nn]."}, {"\"/\\/\"", "s."},
    };
    char trace[64];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        CHECK_STATUS0(trace_json(cases[i][0], strlen(cases[i][0]), trace, sizeof trace), LLAMA4_OK);
        CHECK_STR(trace, cases[i][1]);
    }
}

TEST(json_rejects)
{
    static const char *const cases[] = {
        "", " ", "[", "]", "{", "}", "[1", "[1,", "[1,]", "[,1]", "[1 2]", "[1]]", "[1]x", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{,}", "{a:1}",
        "{\"a\" 1}", "{1:1}", "{\"a\":1]", "[1}", "'a'", "\"", "\"a", "\"\\\"", "\"\\", "\"\\x\"", "\"\\u12\"", "\"\\u12G4\"", "\"\\u\"",
        "\"\\uD800\"", "\"\\uDC00\"", "\"\\uDC00\\uDC00\"", "\"\\uD800\\u0041\"", "\"\\uD800\\uD800\"", "\"\\uD800x\"", "\"\\ud800\\n\"", "\"a\nb\"", "\"\t\"",
        "\"\x1f\"", "\"\x80\"", "\"\xc0\x80\"", "\"\xc3\"", "\"\xed\xa0\x80\"", "\"\xf4\x90\x80\x80\"", "\"\xff\"", "\"\xe2\x82\"", "01",
        "-01", "-", "+1", ".5", "1.", "1.e5", "1e", "1e+", "0x10", "1_000", "NaN", "Infinity", "-Infinity", "True", "tru", "truex", "nul",
        "\xef\xbb\xbf[]", "[1]\f", "// c\n1", "/**/1", "[\"a\",\n1,\n\"b\"", "\"\\U0041\"", "[1\xa0]", "{\"a\":1 \"b\":2}", "[-]", "2 3", "--1",
    };
    char trace[64];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (!CHECK(trace_json(cases[i], strlen(cases[i]), trace, sizeof trace) == LLAMA4_ERR_FORMAT))
            printf("  accepted: %s\n", cases[i]);
    CHECK(trace_json("[\0]", 3, trace, sizeof trace) == LLAMA4_ERR_FORMAT);
    CHECK(trace_json("\"a\0\"", 4, trace, sizeof trace) == LLAMA4_ERR_FORMAT);
}

TEST(json_every_prefix)
{
    static const char text[] = "{\"k\\u00e9y\": [1, -2.5e3, true, \"\\uD83D\\uDE00 text longer than eight \xc3\xa9 bytes\", {\"n\": null}], \"z\": false}";
    char trace[64];
    for (size_t n = 0; n < sizeof text - 1; n++)
        CHECK_EQ(trace_json(text, n, trace, sizeof trace), LLAMA4_ERR_FORMAT);
    CHECK_EQ(trace_json(text, sizeof text - 1, trace, sizeof trace), LLAMA4_OK);
}

TEST(json_depth)
{
    char text[2 * L4_JSON_DEPTH + 2], trace[4];
    memset(text, '[', L4_JSON_DEPTH);
    memset(text + L4_JSON_DEPTH, ']', L4_JSON_DEPTH);
    CHECK_EQ(trace_json(text, 2 * L4_JSON_DEPTH, trace, sizeof trace), LLAMA4_OK);
    memset(text, '[', L4_JSON_DEPTH + 1);
    memset(text + L4_JSON_DEPTH + 1, ']', L4_JSON_DEPTH + 1);
    CHECK_EQ(trace_json(text, 2 * L4_JSON_DEPTH + 2, trace, sizeof trace), LLAMA4_ERR_FORMAT);
}

TEST(json_strings)
{
    static const struct {
        const char *in, *out;
        size_t n;
    } cases[] = {
        {"\"plain ascii, more than eight bytes\"", "plain ascii, more than eight bytes", 34},
        {"\"\\u0041\\u00e9\\u20AC\\ud83d\\ude00\\uDBFF\\uDFFF\"", "A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xf4\x8f\xbf\xbf", 14},
        {"\"a\\\"b\\\\c\\/d\\b\\f\\n\\r\\te\"", "a\"b\\c/d\b\f\n\r\te", 13},
        {"\"x\\u0000y\"", "x\0y", 3}, {"\"\\\\\"", "\\", 1}, {"\"\"", "", 0}, {"\"\xc4\xa0the\"", "\xc4\xa0the", 5},
        {"\"\\uFFFF\\uD7FF\\uE000\"", "\xef\xbf\xbf\xed\x9f\xbf\xee\x80\x80", 9},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        l4_json j;
        l4_json_init(&j, sys, cases[i].in, strlen(cases[i].in), "t");
        CHECK_EQ(l4_json_next(&j, NULL), LLAMA4_OK);
        if (CHECK_EQ(j.length, cases[i].n))
            CHECK_MEM(j.text, cases[i].out, cases[i].n);
        l4_json_clear(&j);
    }
}

static llama4_status number(const char *text, double *f, int64_t *i, int64_t min, int64_t max)
{
    l4_json j;
    l4_json_init(&j, sys, text, strlen(text), "t");
    llama4_status status = l4_json_next(&j, NULL);
    if (status == LLAMA4_OK)
        status = f ? l4_json_f64(&j, "x", f, NULL) : l4_json_i64(&j, "x", min, max, i, NULL);
    l4_json_clear(&j);
    return status;
}

TEST(json_doubles)
{
    static const struct {
        const char *text;
        double value;
    } cases[] = {
        {"0", 0}, {"1", 1}, {"-2.5", -2.5}, {"1e-5", 0x1.4f8b588e368f1p-17}, {"0.1", 0x1.999999999999ap-4}, {"500000.0", 500000}, {"1e22", 1e22},
        {"1e23", 0x1.52d02c7e14af6p+76}, {"9007199254740993", 0x1p53}, {"9007199254740993.0000000000000000000000001", 0x1.0000000000001p53},
        {"9007199254740995", 0x1.0000000000002p53}, {"1.7976931348623157e308", 0x1.fffffffffffffp1023}, {"1.7976931348623158e308", 0x1.fffffffffffffp1023},
        {"2.2250738585072014e-308", 0x1p-1022}, {"2.2250738585072011e-308", 0x0.fffffffffffffp-1022}, {"4.9406564584124654e-324", 0x1p-1074},
        {"2.4703282292062327e-324", 0}, {"2.4703282292062328e-324", 0x1p-1074}, {"1e-400", 0}, {"0e999999999999999999999", 0},
        {"1e-999999999999999999999999", 0}, {"0.000000000000000000000000000001e30", 1}, {"100000000000000000000000000000000e-32", 1},
        {"3.14159265358979323846264338327950288419716939937510", 0x1.921fb54442d18p+1}, {"8.5e-46", 0x1.3691b066f1ab7p-150},
    };
    double v;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        v = -1;
        if (!CHECK(number(cases[i].text, &v, NULL, 0, 0) == LLAMA4_OK && v == cases[i].value))
            printf("  %s gave %a, not %a\n", cases[i].text, v, cases[i].value);
    }
    char halfway[1000] = "9007199254740993."; /* 2^53 + 1, and far behind the point a digit that decides */
    memset(halfway + 17, '0', 900);
    CHECK(number(halfway, &v, NULL, 0, 0) == LLAMA4_OK && v == 0x1p53);
    halfway[900] = '1';
    CHECK(number(halfway, &v, NULL, 0, 0) == LLAMA4_OK && v == 0x1.0000000000001p53);
    CHECK(number("-0.0", &v, NULL, 0, 0) == LLAMA4_OK && v == 0 && signbit(v));
    v = 7;
    CHECK_EQ(number("1e309", &v, NULL, 0, 0), LLAMA4_ERR_FORMAT);
    CHECK_EQ(number("1.7976931348623159e308", &v, NULL, 0, 0), LLAMA4_ERR_FORMAT);
    CHECK_EQ(number("-1e99999999999999999999", &v, NULL, 0, 0), LLAMA4_ERR_FORMAT);
    CHECK_EQ(number("true", &v, NULL, 0, 0), LLAMA4_ERR_FORMAT);
    CHECK(v == 7);
}

TEST(json_integers)
{
    int64_t v = 5;
    CHECK(number("16.0", NULL, &v, 0, 100) == LLAMA4_OK && v == 16);
    CHECK(number("1e6", NULL, &v, 0, 1000000) == LLAMA4_OK && v == 1000000);
    CHECK(number("-1200.5e1", NULL, &v, INT64_MIN, 0) == LLAMA4_OK && v == -12005);
    CHECK(number("500e-2", NULL, &v, 0, 9) == LLAMA4_OK && v == 5);
    CHECK(number("-0", NULL, &v, 0, 9) == LLAMA4_OK && v == 0);
    CHECK(number("9223372036854775807", NULL, &v, INT64_MIN, INT64_MAX) == LLAMA4_OK && v == INT64_MAX);
    CHECK(number("-9223372036854775808", NULL, &v, INT64_MIN, INT64_MAX) == LLAMA4_OK && v == INT64_MIN);
    v = 5;
    static const char *const bad[] = {"9223372036854775808", "-9223372036854775809", "18446744073709551617", "1e19", "1e99999999999", "1.5", "1e-1",
                                      "101", "-1", "\"1\"", "99999999999999999999999999999999999999999"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK_EQ(number(bad[i], NULL, &v, 0, i < 4 ? INT64_MAX : 100), LLAMA4_ERR_FORMAT);
    CHECK_EQ(v, 5);
}

TEST(json_skip_and_expect)
{
    static const char text[] = "{\"a\":{\"b\":[1,{\"c\":2}]},\"d\":[[]],\"e\":5}";
    llama4_error error = LLAMA4_ERROR_INIT;
    l4_json j;
    l4_json_init(&j, sys, text, sizeof text - 1, "test.json");
    CHECK_EQ(l4_json_expect(&j, L4_JSON_OBJECT, "top", NULL), LLAMA4_OK);
    CHECK_EQ(l4_json_expect(&j, L4_JSON_KEY, "key", NULL), LLAMA4_OK);
    CHECK_EQ(l4_json_skip(&j, NULL), LLAMA4_OK);
    CHECK_EQ(l4_json_expect(&j, L4_JSON_KEY, "key", NULL), LLAMA4_OK);
    CHECK(l4_json_is(&j, "d") && !l4_json_is(&j, "dd") && !l4_json_is(&j, ""));
    CHECK_EQ(l4_json_next(&j, NULL), LLAMA4_OK);
    CHECK_EQ(l4_json_skip(&j, NULL), LLAMA4_OK);
    CHECK_EQ(l4_json_next(&j, NULL), LLAMA4_OK);
    CHECK(l4_json_is(&j, "e"));
    CHECK_EQ(l4_json_expect(&j, L4_JSON_STRING, "the name", &error), LLAMA4_ERR_FORMAT);
    CHECK(strstr(error.message, "test.json") && strstr(error.message, "the name"));
    l4_json_clear(&j);
}

/* ---- Types and encoders ---- */

TEST(types)
{
    CHECK_EQ(l4_type_find(14)->block_bytes, 210);
    CHECK(!l4_type_find(4) && !l4_type_find(31) && !l4_type_find(UINT32_MAX));
    CHECK_EQ(l4_type_by_name("q8_0")->type, LLAMA4_TYPE_Q8_0);
    CHECK_EQ(l4_type_by_name("BF16")->type, LLAMA4_TYPE_BF16);
    CHECK(l4_type_by_name("f8_e4m3")->type >= 1000);
    CHECK(!l4_type_by_name("q8") && !l4_type_by_name("") && !l4_type_by_name("q8_00"));
    CHECK_EQ(l4_type_row_bytes(l4_type_find(2), 64), 36);
    CHECK_EQ(l4_type_row_bytes(l4_type_find(2), 65), 0);
    CHECK_EQ(l4_type_row_bytes(l4_type_find(0), UINT64_MAX / 2), 0);
    for (uint32_t t = 0; t < 2000; t++)
        CHECK(!l4_type_find(t) || l4_type_by_name(l4_type_find(t)->name) == l4_type_find(t));
}

TEST(encode_known_bytes)
{
    float in[32];
    uint8_t out[64], want[34] = {0};
    for (int i = 0; i < 32; i++)
        in[i] = (float)(i - 16) * 8; /* -128 .. 120: the scale is 128/127 */
    CHECK(l4_encode_row(LLAMA4_TYPE_Q8_0, in, 32, out));
    want[0] = 0x08, want[1] = 0x3c;
    for (int i = 0; i < 32; i++)
        want[2 + i] = (uint8_t)(int8_t)(i < 16 ? -(int)((double)(16 - i) * 8 * 127 / 128 + 0.5) : (int)((double)(i - 16) * 8 * 127 / 128 + 0.5));
    CHECK_MEM(out, want, 34);
    CHECK(l4_encode_row(LLAMA4_TYPE_Q4_0, in, 32, out)); /* -128 becomes -8: the scale is 16 */
    want[0] = 0x00, want[1] = 0x4c;
    for (int i = 0; i < 16; i++)
        want[2 + i] = (uint8_t)((i + 1) / 2 | (i < 15 ? 8 + (i + 1) / 2 : 15) << 4);
    CHECK_MEM(out, want, 18);
    static const float halves[] = {1, -2, 65504, 65520, 0x1p-24f, 0x1p-25f, 0x1.8p-25f, 1.0f + 0x1p-11f, 1.0f + 0x1.8p-10f};
    static const uint16_t f16[] = {0x3c00, 0xc000, 0x7bff, 0x7c00, 1, 0, 1, 0x3c00, 0x3c02},
                          bf16[] = {0x3f80, 0xc000, 0x4780, 0x4780, 0x3380, 0x3300, 0x3340, 0x3f80, 0x3f80};
    CHECK(l4_encode_row(LLAMA4_TYPE_F16, halves, 9, out));
    for (int i = 0; i < 9; i++)
        CHECK_EQ(l4_load_u16(out + 2 * i), f16[i]);
    CHECK(l4_encode_row(LLAMA4_TYPE_BF16, halves, 9, out));
    for (int i = 0; i < 9; i++)
        CHECK_EQ(l4_load_u16(out + 2 * i), bf16[i]);
    CHECK(!l4_encode_row(12, in, 32, out));
}

TEST(encode_decode)
{
    static const uint32_t types[] = {LLAMA4_TYPE_F32, LLAMA4_TYPE_F16, LLAMA4_TYPE_BF16, LLAMA4_TYPE_Q8_0, LLAMA4_TYPE_Q4_0};
    static const float bound[] = {0, 0x1p-11f, 0x1p-8f, 0.5f / 127 + 0x1p-10f, 0.126f}; /* relative to the largest of the block */
    float in[256], back[256];
    uint8_t out[1024];
    l4_kernels k;
    uint32_t seed = 1;
    l4_kernels_init(&k, LLAMA4_CPU_GENERIC);
    for (int round = 0; round < 50; round++) {
        for (int i = 0; i < 256; i++) {
            seed = seed * 1664525 + 1013904223;
            in[i] = (float)(int32_t)seed * 0x1p-31f * (float)(1 << (i / 32));
        }
        for (int t = 0; t < 5; t++) {
            CHECK(l4_encode_row(types[t], in, 256, out));
            k.decode[types[t]](out, 256, back);
            for (int i = 0; i < 256; i++)
                CHECK(fabsf(back[i] - in[i]) <= bound[t] * (t < 3 ? fabsf(in[i]) : (float)(1 << (i / 32))));
        }
    }
}

TEST(encode_strange_values)
{
    float in[32] = {NAN, INFINITY, -INFINITY, 1};
    uint8_t out[34];
    CHECK(l4_encode_row(LLAMA4_TYPE_Q8_0, in, 32, out)); /* the sanitizer watches the conversions */
    CHECK((l4_load_u16(out) & 0x7c00) == 0x7c00);
    CHECK(l4_encode_row(LLAMA4_TYPE_Q4_0, in, 32, out));
    CHECK((l4_load_u16(out) & 0x7c00) == 0x7c00);
    for (int i = 0; i < 32; i++)
        in[i] = i % 2 ? 0x1p-149f : -0x1p-140f; /* the scale has no finite reciprocal */
    CHECK(l4_encode_row(LLAMA4_TYPE_Q8_0, in, 32, out));
    for (int i = 0; i < 34; i++)
        CHECK_EQ(out[i], 0);
    memset(in, 0, sizeof in);
    CHECK(l4_encode_row(LLAMA4_TYPE_Q8_0, in, 32, out));
    for (int i = 0; i < 34; i++)
        CHECK_EQ(out[i], 0);
}

TEST_MAIN(T(json_accepts), T(json_rejects), T(json_every_prefix), T(json_depth), T(json_strings), T(json_doubles), T(json_integers),
          T(json_skip_and_expect), T(types), T(encode_known_bytes), T(encode_decode), T(encode_strange_values))
