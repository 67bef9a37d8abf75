/* The text layer: splitting, merging, detokenising, the chat format; test_vocab.c has the files that vocabularies come from.
 * Vocabularies are made here, or read from tests/data/tiny-tokenizer.json. Expected pieces and ids come from the pattern and
 * tokeniser of the reference, written out. */
#include <stdlib.h>

#include "check.h"

#include "base/utf8.h"
#include "text/detokenizer.h"
#include "text/split.h"
#include "text/unicode_table.h"
#include "text/vocab.h"

#define TINY_JSON LLAMA4_TESTS "/data/tiny-tokenizer.json"
#define COUNT(a) (sizeof(a) / sizeof *(a))

static const l4_allocator *const sys = &l4_system_allocator;

static llama4_vocab *open_tiny(void)
{
    llama4_vocab *v = NULL;
    llama4_error error = LLAMA4_ERROR_INIT;
    CHECK_STATUS(llama4_vocab_open(TINY_JSON, NULL, &v, &error), LLAMA4_OK, error);
    return v;
}

/* Ids of a text in a static array; the count, or -1. */
static int32_t ids[4096];

static long encode(const llama4_vocab *v, const char *text, size_t n, uint32_t flags)
{
    size_t count = 0;
    llama4_error error = LLAMA4_ERROR_INIT;
    return CHECK_STATUS(llama4_vocab_tokenize(v, text, n, flags, ids, COUNT(ids), &count, &error), LLAMA4_OK, error) ? (long)count
                                                                                                                     : -1;
}

static uint32_t random_state = 1;

static uint32_t random_below(uint32_t n)
{
    random_state = random_state * 1664525u + 1013904223u;
    return (uint32_t)((uint64_t)random_state * n >> 32);
}

/* ---- Splitting ---- */

/* A text, and its pieces with bars between them. */
static const char *const splits[][2] = {
    {"Hello world", "Hello| world"},
    {"I've they'RE you'Ll  DON'T we'd I'm 'tis 'S", "I've| they'RE| you'Ll| | DON'T| we'd| I'm| '|tis| '|S"},
    {"it'\u017f '\u017fo x'\u017f1", "it'\u017f| '|\u017fo| x'\u017f|1"},
    {"'s't're'llo ''s 's's", "'s't|'re'll|o| ''|s| '|s's"},
    {"a'sb A'SB a'' 1's \u4e2d's !'s", "a's|b| A'S|B| a|''| |1|'s| \u4e2d's| !'|s"},
    {"a' a'r a'l a've", "a|'| a|'r| a|'l| a've"},
    {"HTMLParser camelCase XMLHttpRequest ABC", "HTMLParser| camel|Case| XMLHttp|Request| ABC"},
    {"ABC1234567 12 3.14159 \u0661\u0662\u0663\u0664 \u2167\u00b2\u00bd",
     "ABC|123|456|7| |12| |3|.|141|59| |\u0661\u0662\u0663|\u0664| |\u2167\u00b2\u00bd"},
    {"a  b   c\t\td \t e", "a| | b|  | c|\t|\td| \t| e"},
    {"x  \n\n  y\r\n \r\nz  ", "x|  \n\n| | y|\r\n \r\n|z|  "},
    {"   ", "   "},
    {"\n", "\n"},
    {"\r\n\r\n", "\r\n\r\n"},
    {"  \n  ", "  \n|  "},
    {"a\n", "a|\n"},
    {"x \u00a0\u3000 y", "x| \u00a0\u3000| y"},
    {"\u2028\u2029\302\205\u1680z", "\u2028\u2029\302\205|\u1680z"},
    {"\ta\u00a0b\u3000c", "\ta|\u00a0b|\u3000c"},
    {"  's  a  'sa", " | '|s| | a| | '|sa"},
    {" \u0301 a \n\u0301b \t\n x", " \u0301| a| \n|\u0301b| \t\n| x"},
    {"!!! ?? ...\n\n// /a/b http://x.y/z?q=1\n", "!!!| ??| ...\n\n//| /|a|/b| http|://|x|.y|/z|?q|=|1|\n"},
    {"a/b\n/c (x) [y]; --\r\n/", "a|/b|\n|/c| (|x|)| [|y|];| --\r\n/"},
    {"\u00c7\u00c3O \u00c9t\u00e9 \u01c5eren \u00df\u1e9e", "\u00c7\u00c3O| \u00c9t\u00e9| \u01c5eren| \u00df|\u1e9e"},
    {"e\u0301te\u0301 E\u0301TE\u0301 \u0301abc \u0301ABC \u0301 1\u0301 !\u0301a",
     "e\u0301te\u0301| E\u0301TE\u0301| \u0301abc| \u0301|ABC| \u0301| |1|\u0301| !\u0301|a"},
    {"AB\u0301CD AB\u0301CDe A\u0301\u0301B", "AB\u0301|CD| AB\u0301CDe| A\u0301\u0301|B"},
    {"\u02b0\u02b0AB \u00aaAAAA \u00aaAAAa \u4e2dAB\u6587\u5b57abc",
     "\u02b0\u02b0|AB| \u00aa|AAAA| \u00aaAAAa| \u4e2dAB\u6587\u5b57abc"},
    {"\u0939\u093f\u0928\u094d\u0926\u0940 \u092d\u093e\u0937\u093e\u0964 \u0e20\u0e32\u0e29\u0e32\u0e44\u0e17\u0e22 "
     "\u0e01\u0e34\u0e19",
     "\u0939\u093f\u0928\u094d\u0926\u0940| \u092d\u093e\u0937\u093e|\u0964| \u0e20\u0e32\u0e29\u0e32\u0e44\u0e17\u0e22| "
     "\u0e01\u0e34\u0e19"},
    {"\u0627\u0644\u0652\u0639\u064e\u0631\u064e\u0628\u0650\u064a\u0651\u064e\u0629\u060c "
     "\u05e9\u05b8\u05c1\u05dc\u05d5\u05b9\u05dd",
     "\u0627\u0644\u0652\u0639\u064e\u0631\u064e\u0628\u0650\u064a\u0651\u064e\u0629|\u060c| "
     "\u05e9\u05b8\u05c1\u05dc\u05d5\u05b9\u05dd"},
    {"\u65e5\u672c\u8a9e\u306e\u30c6\u30ad\u3001\ud55c\uad6d \u0420\u0443\u0441 \u0395\u03bb\u03bb",
     "\u65e5\u672c\u8a9e\u306e\u30c6\u30ad|\u3001\ud55c\uad6d| \u0420\u0443\u0441| \u0395\u03bb\u03bb"},
    {"\U0001f642\U0001f44d\U0001f3fd \U0001f468\u200d\U0001f469\u200d\U0001f467 ok",
     "\U0001f642\U0001f44d\U0001f3fd| \U0001f468\u200d\U0001f469\u200d\U0001f467| ok"},
    {"\U00010400\U00010428 \U0001d7d8\U0001d7d9\U0001d7da\U0001d7db \U000e0100a\ufeffb",
     "\U00010400\U00010428| |\U0001d7d8\U0001d7d9\U0001d7da|\U0001d7db| \U000e0100a|\ufeffb"},
};

/* The pieces of a copy of exactly the text's size, joined with bars. */
static void join_pieces(const char *text, char *out)
{
    size_t n = strlen(text);
    uint8_t *copy = malloc(n);
    memcpy(copy, text, n);
    for (size_t i = 0, end; i < n; i = end) {
        end = l4_split_next(copy, n, i);
        if (!CHECK(end > i && end <= n))
            break;
        if (i)
            *out++ = '|';
        memcpy(out, copy + i, end - i);
        out += end - i;
    }
    *out = 0;
    free(copy);
}

TEST(split)
{
    char joined[1024];
    for (size_t i = 0; i < COUNT(splits); i++) {
        join_pieces(splits[i][0], joined);
        CHECK_STR(joined, splits[i][1]);
    }
}

/* How many code points Unicode 16.0 has of each class. */
TEST(unicode_table)
{
    static const long want[7] = {968647, 1889, 2258, 136881, 2501, 1911, 25};
    long got[16] = {0};
    for (uint32_t c = 0; c < 0x110000; c++) {
        size_t cell = c < L4_UNICODE_END ? (size_t)l4_unicode_block[c >> L4_UNICODE_SHIFT] << L4_UNICODE_SHIFT |
                                               (c & ((1u << L4_UNICODE_SHIFT) - 1))
                                         : 0;
        got[c < L4_UNICODE_END ? l4_unicode_class[cell / 2] >> cell % 2 * 4 & 15 : 0]++;
    }
    for (int k = 0; k < 7; k++)
        CHECK_EQ(got[k], want[k]);
}

/* ---- Merging ---- */

TEST(ids_of_tiny)
{
    static const struct {
        const char *text;
        int32_t ids[24];
        long n;
    } cases[] = {
        {"", {0}, 0},
        {"Hello world", {39, 434, 317, 1432, 630}, 5},
        {"The quick brown fox jumps over the lazy dog.",
         {292, 1943, 72, 322, 285, 321, 86, 77, 296, 78, 87, 1371, 302, 1661, 955, 265, 393, 64, 89, 88, 782, 70, 13},
         23},
        {" \n\n\n  x", {220, 1180, 220, 976}, 4},
        {"don't DON'T", {67, 267, 6, 83, 641, 509, 6, 51}, 8},
        {"\u65e5\u672c \U0001f642", {162, 245, 98, 162, 250, 105, 220, 172, 253, 247, 224}, 11},
        {"12345678", {838, 18, 1134, 21, 1185}, 5},
        {"internationalization", {272, 350, 77, 381, 284, 1742}, 6},
        {"<|eot|>", {27, 91, 68, 377, 91, 29}, 6},
        {"def f(x):\n    return x\n", {1374, 296, 1529, 1405, 712, 633, 976, 198}, 8},
    };
    llama4_vocab *v = open_tiny();
    REQUIRE(v);
    CHECK_EQ(llama4_vocab_get_size(v), 2048);
    CHECK_EQ(l4_vocab_n_merges(v), 1774);
    for (size_t i = 0; i < COUNT(cases); i++) {
        CHECK_EQ(encode(v, cases[i].text, strlen(cases[i].text), 0), cases[i].n);
        CHECK_MEM(ids, cases[i].ids, (size_t)cases[i].n * sizeof *ids);
    }
    CHECK_EQ(encode(v, "x", 1, LLAMA4_TOKENIZE_BOS), 2);
    CHECK_EQ(ids[0], 2030);
    llama4_vocab_release(v);
}

/* A tiktoken file: all bytes, in descending order, then `extra` tokens. Returns its length; out has room for 8 KB. */
static size_t make_tiktoken(char *out, const char *const *extra, size_t n_extra)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t used = 0;
    for (size_t k = 0; k < 256 + n_extra; k++) {
        uint8_t byte = (uint8_t)(255 - k);
        const uint8_t *text = k < 256 ? &byte : (const uint8_t *)extra[k - 256];
        size_t n = k < 256 ? 1 : strlen(extra[k - 256]);
        for (size_t i = 0; i < n; i += 3) {
            uint32_t bits =
                (uint32_t)text[i] << 16 | (uint32_t)(i + 1 < n ? text[i + 1] : 0) << 8 | (i + 2 < n ? text[i + 2] : 0);
            for (size_t d = 0; d < 4; d++)
                out[used++] = d <= n - i ? digits[bits >> (18 - 6 * d) & 63] : '=';
        }
        used += (size_t)sprintf(out + used, " %d\n", (int)k);
    }
    return used;
}

static llama4_vocab *open_tiktoken(const char *const *extra, size_t n_extra)
{
    char file[8192];
    llama4_vocab *v = NULL;
    llama4_error error = LLAMA4_ERROR_INIT;
    size_t n = make_tiktoken(file, extra, n_extra);
    CHECK_STATUS(l4_vocab_from_tiktoken(sys, NULL, file, n, "made.model", &v, &error), LLAMA4_OK, error);
    return v;
}

static const char *const made[] = {"aa",  "ab",   "bc",  "abc",  "aaa",   "abab", "ca",
                                   "bca", "aaaa", "cab", "abca", "hello", "x\n",  "aaaaaaaa"};

/* Merging as it is defined: look at all pairs, merge the best one, start again. */
static size_t merge_plainly(const llama4_vocab *v, const char *text, size_t n, int32_t *out)
{
    size_t n_merges = l4_vocab_n_merges(v), left, right;
    for (size_t i = 0; i < n; i++)
        out[i] = l4_vocab_find(v, text + i, 1);
    int32_t whole = l4_vocab_find(v, text, n);
    if (whole >= 0) {
        out[0] = whole;
        return 1;
    }
    for (;;) {
        size_t best = n, best_rank = SIZE_MAX;
        int32_t merged = -1;
        for (size_t i = 0; i + 1 < n; i++) {
            char joined[2048];
            size_t rank = SIZE_MAX;
            const uint8_t *a = l4_vocab_bytes(v, out[i], &left), *b = l4_vocab_bytes(v, out[i + 1], &right);
            memcpy(joined, a, left);
            memcpy(joined + left, b, right);
            int32_t id = l4_vocab_find(v, joined, left + right);
            if (id >= 0 && n_merges == 0)
                rank = (size_t)id;
            for (size_t m = 0; m < n_merges && id >= 0; m++) {
                int32_t x, y;
                l4_vocab_merge(v, m, &x, &y);
                if (x == out[i] && y == out[i + 1])
                    rank = m;
            }
            if (rank < best_rank) {
                best = i;
                best_rank = rank;
                merged = id;
            }
        }
        if (best == n)
            return n;
        out[best] = merged;
        memmove(out + best + 1, out + best + 2, (n - best - 2) * sizeof *out);
        n--;
    }
}

/* Against the definition, for words below, at and above the sizes where the method changes. */
static void compare_with_definition(const llama4_vocab *v, const char *letters, int rounds)
{
    static const size_t sizes[] = {2, 3, 5, 9, 17, 63, 64, 65, 127, 128, 129, 200, 300};
    for (int round = 0; round < rounds; round++)
        for (size_t k = 0; k < COUNT(sizes); k++) {
            char text[300];
            int32_t want[300];
            for (size_t i = 0; i < sizes[k]; i++)
                text[i] = letters[random_below((uint32_t)strlen(letters))];
            size_t n = merge_plainly(v, text, sizes[k], want);
            if (!CHECK_EQ(encode(v, text, sizes[k], 0), n) || !CHECK_MEM(ids, want, n * sizeof *want)) {
                printf("  for %.*s\n", (int)sizes[k], text);
                return;
            }
        }
}

TEST(merge_order)
{
    llama4_vocab *tiny = open_tiny(), *v = open_tiktoken(made, COUNT(made));
    REQUIRE(tiny && v);
    compare_with_definition(v, "abc", 30);
    compare_with_definition(v, "aaab", 10);
    compare_with_definition(tiny, "etaoinshr", 1);
    CHECK_EQ(encode(v, "hello", 5, 0), 1); /* a whole piece, though no merges lead to it */
    CHECK_EQ(ids[0], 256 + 11);
    CHECK_EQ(encode(v, "hellos", 6, 0), 6);
    llama4_vocab_release(tiny);
    llama4_vocab_release(v);
}

/* A megabyte of one letter, of two and of spaces must complete, and come back whole. */
TEST(long_words)
{
    static const char *const fillings[] = {"a", "ab", " ", "\n", "A\u00aa", "!", "\u0301"};
    size_t size = 1 << 20, count, back;
    llama4_error error = LLAMA4_ERROR_INIT;
    llama4_vocab *v = open_tiktoken(made, COUNT(made));
    char *text = malloc(size), *again = malloc(size);
    int32_t *tokens = malloc((size + 1) * sizeof *tokens);
    for (size_t k = 0; v && k < COUNT(fillings); k++) {
        size_t n = strlen(fillings[k]), whole = size / n * n;
        for (size_t i = 0; i < whole; i++)
            text[i] = fillings[k][i % n];
        CHECK_STATUS(llama4_vocab_tokenize(v, text, whole, 0, tokens, size + 1, &count, &error), LLAMA4_OK, error);
        CHECK_STATUS(llama4_vocab_detokenize(v, tokens, count, 0, again, size, &back, &error), LLAMA4_OK, error);
        CHECK_EQ(back, whole);
        CHECK(memcmp(text, again, whole) == 0);
        if (k == 0)
            CHECK_EQ(count, size / 8);
    }
    free(text);
    free(again);
    free(tokens);
    llama4_vocab_release(v);
}

TEST(invalid_utf8)
{
    static const struct {
        const char *text;
        const char *where;
    } cases[] = {{"abc\xe2\x82", "byte 3"},
                 {"\xff", "byte 0"},
                 {"0123456789\xc0\x80", "byte 10"},
                 {"\u00e9\xed\xa0\x80", "byte 2"},
                 {"01234567\xf4\x90\x80\x80", "byte 8"},
                 {"\x80", "byte 0"},
                 {"ab\xe0\x9f\xbf", "byte 2"}};
    llama4_vocab *v = open_tiktoken(made, COUNT(made));
    size_t count = 77;
    for (size_t i = 0; v && i < COUNT(cases); i++) {
        llama4_error error = LLAMA4_ERROR_INIT;
        CHECK_STATUS(llama4_vocab_tokenize(v, cases[i].text, strlen(cases[i].text), 0, NULL, 0, &count, &error), LLAMA4_ERR_UTF8,
                     error);
        CHECK(strstr(error.message, cases[i].where));
        CHECK_EQ(count, 77);
    }
    llama4_vocab_release(v);
}

/* ---- Back to text ---- */

TEST(streaming)
{
    static const char *const cases[][2] = {
        {"plain", "plain"},
        {"\u00e9\u20ac\U0001f642", "\u00e9\u20ac\U0001f642"},
        {"\xe2\x82", "\ufffd"},
        {"\xf0\x90\x41", "\ufffd\x41"},
        {"\xed\xa0\x80", "\ufffd\ufffd\ufffd"},
        {"\xc0\x80", "\ufffd\ufffd"},
        {"\xf4\x90\x80\x80", "\ufffd\ufffd\ufffd\ufffd"},
        {"\xe2\x28\xa1", "\ufffd(\ufffd"},
        {"\xf0\x9f\x99\xe2\x82\xac", "\ufffd\u20ac"},
        {"\xff\xfe", "\ufffd\ufffd"},
        {"\xe0\x9f\xbf", "\ufffd\ufffd\ufffd"},
        {"\xc3\xc3\xa9", "\ufffd\u00e9"},
        {"\xf1\x80\x80", "\ufffd"},
        {"a\x80z", "a\ufffdz"},
    };
    llama4_vocab *v = open_tiktoken(made, COUNT(made));
    llama4_detokenizer *d = NULL;
    llama4_error error = LLAMA4_ERROR_INIT;
    REQUIRE_STATUS(llama4_detokenizer_create(v, 0, &d, &error), LLAMA4_OK, error);
    llama4_vocab_release(v); /* the detokenizer holds it */
    for (size_t i = 0; i < COUNT(cases); i++) {
        char out[64];
        size_t used = 0, length;
        const char *text;
        for (const char *p = cases[i][0]; *p; p++) {
            CHECK_STATUS(llama4_detokenizer_push(d, 255 - (uint8_t)*p, &text, &length, &error), LLAMA4_OK, error);
            memcpy(out + used, text, length);
            for (size_t k = 0, step; k < length; k += step) { /* complete code points only */
                uint32_t c;
                step = l4_utf8_decode((const uint8_t *)text + k, length - k, &c);
                REQUIRE(step > 0);
            }
            used += length;
        }
        CHECK_STATUS(llama4_detokenizer_finish(d, &text, &length, &error), LLAMA4_OK, error);
        memcpy(out + used, text, length);
        out[used + length] = 0;
        CHECK_STR(out, cases[i][1]);
    }
    llama4_detokenizer_release(d);
}

TEST(special_tokens)
{
    llama4_vocab *v = open_tiny();
    llama4_error error = LLAMA4_ERROR_INIT;
    static const struct {
        const char *name;
        int32_t id;
        uint32_t flags;
    } cases[] = {{"<|begin_of_text|>", 2030, 1},
                 {"<|end_of_text|>", 2031, 3},
                 {"<|header_start|>", 2035, 1},
                 {"<|eom|>", 2037, 3},
                 {"<|eot|>", 2038, 3},
                 {"<|patch|>", 2047, 1},
                 {"a", 64, 0},
                 {"<|eot|", -1, 0},
                 {"", -1, 0}};
    REQUIRE(v);
    for (size_t i = 0; i < COUNT(cases); i++) {
        CHECK_EQ(llama4_vocab_find(v, cases[i].name, strlen(cases[i].name)), cases[i].id);
        CHECK_EQ(llama4_vocab_token_flags(v, cases[i].id), cases[i].flags);
    }
    const char *text = "a<|eot|><|eot<|eom|>b<|";
    char back[64];
    size_t count, n = (size_t)encode(v, text, strlen(text), LLAMA4_TOKENIZE_SPECIAL);
    CHECK_EQ(ids[0], 64);
    CHECK_EQ(ids[1], 2038);
    CHECK_STATUS(llama4_vocab_detokenize(v, ids, n, LLAMA4_DETOKENIZE_SPECIAL, back, sizeof back, &count, &error), LLAMA4_OK,
                 error);
    CHECK_EQ(count, strlen(text));
    CHECK_MEM(back, text, count);
    CHECK_STATUS(llama4_vocab_detokenize(v, ids, n, 0, back, sizeof back, &count, &error), LLAMA4_OK, error);
    CHECK_EQ(count, 9);
    CHECK_MEM(back, "a<|eotb<|", 9);
    n = (size_t)encode(v, text, strlen(text), 0);
    for (size_t i = 0; i < n; i++)
        CHECK(ids[i] < 2030);
    llama4_vocab_release(v);
}

TEST(capacities_and_nulls)
{
    llama4_vocab *v = open_tiny();
    llama4_error e = LLAMA4_ERROR_INIT;
    int32_t out[8] = {-7, -7, -7, -7, -7, -7, -7, -7};
    char text[8] = "1234567";
    size_t count = 99;
    REQUIRE(v);
    CHECK_STATUS(llama4_vocab_tokenize(v, "Hello world", 11, 0, NULL, 0, &count, &e), LLAMA4_OK, e);
    CHECK_EQ(count, 5);
    CHECK_STATUS(llama4_vocab_tokenize(v, "Hello world", 11, 0, out, 4, &count, &e), LLAMA4_ERR_CAPACITY, e);
    CHECK(count == 5 && out[0] == -7);
    CHECK_STATUS(llama4_vocab_tokenize(v, "Hello world", 11, 0, out, 5, &count, &e), LLAMA4_OK, e);
    CHECK(out[0] == 39 && out[4] == 630 && out[5] == -7);
    CHECK_STATUS(llama4_vocab_detokenize(v, out, 5, 0, text, 7, &count, &e), LLAMA4_ERR_CAPACITY, e);
    CHECK_EQ(count, 11);
    CHECK_STR(text, "1234567");
    CHECK_STATUS(llama4_vocab_token_bytes(v, 2038, text, 6, &count, &e), LLAMA4_ERR_CAPACITY, e);
    CHECK_EQ(count, 7);
    CHECK_STATUS(llama4_vocab_token_bytes(v, 2038, text, 7, &count, &e), LLAMA4_OK, e);
    CHECK_STR(text, "<|eot|>");
    CHECK_STATUS(llama4_chat_tokenize(v, NULL, 0, 0, 0, out, 1, &count, &e), LLAMA4_ERR_CAPACITY, e);
    CHECK(count > 4 && out[0] == 39);
    count = 99;
    CHECK_STATUS(llama4_vocab_token_bytes(v, 2048, text, 8, &count, &e), LLAMA4_ERR_ARGUMENT, e);
    CHECK_STATUS(llama4_vocab_detokenize(v, (int32_t[]){-1}, 1, 0, text, 8, &count, &e), LLAMA4_ERR_ARGUMENT, e);
    CHECK_STATUS(llama4_vocab_tokenize(NULL, "a", 1, 0, out, 8, &count, &e), LLAMA4_ERR_ARGUMENT, e);
    CHECK_STATUS(llama4_vocab_tokenize(v, NULL, 1, 0, out, 8, &count, &e), LLAMA4_ERR_ARGUMENT, e);
    CHECK_STATUS(llama4_vocab_tokenize(v, "a", 1, 0, NULL, 8, &count, &e), LLAMA4_ERR_ARGUMENT, e);
    CHECK_STATUS(llama4_vocab_tokenize(v, "a", 1, 0, out, 8, NULL, &e), LLAMA4_ERR_ARGUMENT, e);
    CHECK_STATUS(llama4_vocab_tokenize(v, "a", 1, 4, out, 8, &count, NULL), LLAMA4_ERR_UNSUPPORTED, e);
    CHECK_STATUS(llama4_vocab_open(NULL, NULL, &v, &e), LLAMA4_ERR_ARGUMENT, e);
    CHECK_STATUS(llama4_vocab_open(TINY_JSON ".no", NULL, &v, &e), LLAMA4_ERR_IO, e);
    CHECK_STATUS(llama4_vocab_open(LLAMA4_TESTS, NULL, &v, &e), LLAMA4_ERR_NO_VOCABULARY, e);
    CHECK_STATUS(llama4_vocab_open(TINY_JSON, &(llama4_model_params){.struct_size = 8}, &v, &e), LLAMA4_ERR_ARGUMENT, e);
    CHECK_STATUS(llama4_detokenizer_create(v, 2, &(llama4_detokenizer *){NULL}, &e), LLAMA4_ERR_UNSUPPORTED, e);
    CHECK_EQ(count, 99);
    CHECK(llama4_vocab_get_size(NULL) == 0 && llama4_vocab_find(NULL, "a", 1) == -1 && llama4_vocab_token_flags(v, -1) == 0);
    CHECK(llama4_vocab_ref(v) == v && llama4_vocab_ref(NULL) == NULL);
    llama4_vocab_release(v);
    llama4_vocab_release(v);
    llama4_vocab_release(NULL);
    llama4_detokenizer_release(NULL);
}

/* ---- Chat ---- */

static llama4_message message(const char *role, const char *content)
{
    return (llama4_message){.struct_size = sizeof(llama4_message), .role = role, .content = content};
}

/* The conversation's text, special tokens by name. */
static llama4_status chat_text(const llama4_vocab *v, const llama4_message *m, size_t n, uint32_t flags, char *out, size_t room,
                               llama4_error *error)
{
    size_t count;
    llama4_status status = llama4_chat_tokenize(v, m, n, sizeof *m, flags, ids, COUNT(ids), &count, error);
    if (status)
        return status;
    status = llama4_vocab_detokenize(v, ids, count, LLAMA4_DETOKENIZE_SPECIAL, out, room - 1, &count, error);
    out[count] = 0;
    return status;
}

TEST(chat)
{
    static const char conversation[] =
        "<|begin_of_text|><|header_start|>system<|header_end|>\n\nBe "
        "brief.<|eot|><|header_start|>user<|header_end|>\n\n<|eot|>Hi<|eot|>"
        "<|header_start|>assistant<|header_end|>\n\n{\"type\": \"function\", \"name\": \"get_weather\", \"parameters\": "
        "{\"city\": \"Z\\u00fcrich \\ud83d\\ude42\", \"days\": [1, -2.50e+3, {}], \"x\": {\"y\": null, \"z\": true}}}"
        "{\"type\": \"function\", \"name\": \"a\\\"b\", \"parameters\": {\"q\": \"\\u0001\\t/\\u007f\"}}<|eom|>"
        "<|header_start|>ipython<|header_end|>\n\n\n21<|eom|><|header_start|>assistant<|header_end|>\n\nS<|eom|>"
        "<|header_start|>assistant<|header_end|>\n\n";
    llama4_vocab *v = open_tiny();
    llama4_error error = LLAMA4_ERROR_INIT;
    char text[1024];
    static const llama4_tool_call calls[] = {
        {sizeof(llama4_tool_call), 0, "get_weather",
         "{\"city\":\"Z\u00fcrich \U0001f642\",\n \"days\": [1, -2.50e+3,{}],\"x\":{\"y\" :null, \"z\":true}}"},
        {sizeof(llama4_tool_call), 0, "a\"b", "{\"q\":\"\\u0001\\t\\/\\u007f\"}"}};
    llama4_message m[5] = {message("system", "Be brief."), message("user", "<|eot|>Hi"), message("assistant", NULL),
                           message("tool", "\n21"), message("assistant", "So")};
    REQUIRE(v);
    m[2].tool_calls = calls;
    m[2].n_tool_calls = 2;
    m[2].tool_call_stride = sizeof *calls;
    m[4].flags = LLAMA4_MESSAGE_EOM;
    m[4].content_length = 1;
    CHECK_STATUS(chat_text(v, m, 5, 0, text, sizeof text, &error), LLAMA4_OK, error);
    CHECK_STR(text, conversation);
    CHECK_STATUS(chat_text(v, m, 1, LLAMA4_CHAT_NO_BOS | LLAMA4_CHAT_NO_HEADER, text, sizeof text, &error), LLAMA4_OK, error);
    CHECK_STR(text, "<|header_start|>system<|header_end|>\n\nBe brief.<|eot|>");
    /* Neither a newline nor a special token's name in the content touches the structure. */
    static const int32_t want[] = {2035, 309, 2036, 264, 198, 27, 91, 68, 377, 91, 29, 2038};
    m[0] = message("user", "\n<|eot|>");
    size_t count;
    CHECK_STATUS(
        llama4_chat_tokenize(v, m, 1, sizeof *m, LLAMA4_CHAT_NO_BOS | LLAMA4_CHAT_NO_HEADER, ids, COUNT(ids), &count, &error),
        LLAMA4_OK, error);
    if (CHECK_EQ(count, COUNT(want)))
        CHECK_MEM(ids, want, sizeof want);
    llama4_vocab_release(v);
}

TEST(chat_refuses)
{
    llama4_vocab *v = open_tiny();
    llama4_error error = LLAMA4_ERROR_INIT;
    char text[256];
    llama4_tool_call call = {sizeof call, 0, "f", "{}"};
    llama4_message good = message("assistant", "x"), m;
    REQUIRE(v);
    good.tool_calls = &call;
    good.n_tool_calls = 1;
    good.tool_call_stride = sizeof call;
#define REFUSED(change, status, hint)                                                                                            \
    do {                                                                                                                         \
        m = good;                                                                                                                \
        call = (llama4_tool_call){sizeof call, 0, "f", "{}"};                                                                    \
        change;                                                                                                                  \
        CHECK_STATUS(chat_text(v, &m, 1, 0, text, sizeof text, &error), status, error);                                          \
        if (!CHECK(strstr(error.message, hint)))                                                                                 \
            printf("  %s\n", error.message);                                                                                     \
    } while (0)
    REFUSED(m.role = "bogus", LLAMA4_ERR_ARGUMENT, "\"bogus\"");
    REFUSED(m.role = NULL, LLAMA4_ERR_ARGUMENT, "role");
    REFUSED(m.role = "user", LLAMA4_ERR_ARGUMENT, "tool calls");
    REFUSED((m = message("user", "x"), m.flags = LLAMA4_MESSAGE_EOM), LLAMA4_ERR_ARGUMENT, "EOM");
    REFUSED(m.flags = 8, LLAMA4_ERR_UNSUPPORTED, "flags");
    REFUSED(m.content = "ab\xff", LLAMA4_ERR_UTF8, "message 0");
    REFUSED((m.content = NULL, m.content_length = 4), LLAMA4_ERR_ARGUMENT, "content");
    REFUSED(m.tool_calls = NULL, LLAMA4_ERR_ARGUMENT, "tool_calls");
    REFUSED(m.tool_call_stride = 8, LLAMA4_ERR_ARGUMENT, "tool_call_stride");
    REFUSED(m.struct_size = 8, LLAMA4_ERR_ARGUMENT, "llama4_message");
    REFUSED(call.struct_size = 4, LLAMA4_ERR_ARGUMENT, "llama4_tool_call");
    REFUSED(call.name = NULL, LLAMA4_ERR_ARGUMENT, "name");
    REFUSED(call.name = "\xc3", LLAMA4_ERR_UTF8, "name");
    REFUSED(call.arguments = NULL, LLAMA4_ERR_ARGUMENT, "arguments");
    REFUSED(call.arguments = "[1]", LLAMA4_ERR_ARGUMENT, "array");
    REFUSED(call.arguments = "{\"a\":1", LLAMA4_ERR_ARGUMENT, "tool call 0");
    REFUSED(call.arguments = "{} x", LLAMA4_ERR_ARGUMENT, "arguments");
    CHECK_STATUS(llama4_chat_tokenize(v, &good, 1, 8, 0, ids, 8, &(size_t){0}, &error), LLAMA4_ERR_ARGUMENT, error);
    llama4_vocab_release(v);
}

TEST_MAIN(T(split), T(unicode_table), T(ids_of_tiny), T(merge_order), T(long_words), T(invalid_utf8), T(streaming),
          T(special_tokens), T(capacities_and_nulls), T(chat), T(chat_refuses))
