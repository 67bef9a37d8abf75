/* The JSON pull parser: bytes in, one event per call out. The grammar is a state (what may come next) and a stack of open brackets; strings
 * without escapes are handed out in place. Numbers are only checked here; json_number.c gives them values. */
#include "format/json.h"

#include <string.h>

#include "base/utf8.h"

/* What may come next. */
enum {
    EXPECT_VALUE,
    EXPECT_VALUE_OR_END, /* after '[' */
    EXPECT_KEY,
    EXPECT_KEY_OR_END,   /* after '{' */
    EXPECT_COMMA_OR_END, /* after a value inside brackets */
    EXPECT_NOTHING,      /* after the top-level value */
    EXPECT_FAILED        /* an error was found: every further call fails */
};

void l4_json_init(l4_json *j, const l4_allocator *a, const void *data, size_t size, const char *name)
{
    memset(j, 0, sizeof *j);
    j->allocator = a;
    j->name = name;
    j->data = data;
    j->size = size;
    j->text = "";
    j->event = L4_JSON_NULL;
    j->expect = EXPECT_VALUE;
}

void l4_json_clear(l4_json *j)
{
    if (j->allocator)
        l4_free(j->allocator, j->scratch);
    j->scratch = NULL;
    j->scratch_capacity = 0;
}

static llama4_status fail_at(l4_json *j, size_t position, const char *message, llama4_error *error)
{
    j->expect = EXPECT_FAILED;
    j->text = "";
    j->length = 0;
    return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: byte %zu: %s", j->name, position, message);
}

/* What stands at `position` instead of what was expected. */
static llama4_status unexpected(l4_json *j, size_t position, const char *wanted, llama4_error *error)
{
    j->expect = EXPECT_FAILED;
    j->text = "";
    j->length = 0;
    if (position >= j->size)
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: the file ends where %s was expected", j->name, wanted);
    unsigned c = j->data[position];
    if (c > 0x20 && c < 0x7f)
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: byte %zu: '%c' instead of %s", j->name, position, (int)c, wanted);
    return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: byte %zu: 0x%02x instead of %s", j->name, position, c, wanted);
}

static void skip_space(l4_json *j)
{
    const uint8_t *p = j->data;
    size_t i = j->position, n = j->size;
    while (i < n && (p[i] == ' ' || p[i] == '\n' || p[i] == '\r' || p[i] == '\t'))
        i++;
    j->position = i;
}

/* ---- Strings ---- */

/* First byte at or after i that ends a run of plain text: a quote, a backslash, a control character or one beyond ASCII; or n. */
static size_t plain_run(const uint8_t *p, size_t i, size_t n)
{
    while (n - i >= 8) { /* eight bytes at a time; a byte's high bit tells that it may be special */
        const uint64_t ones = 0x0101010101010101u, high = 0x8080808080808080u;
        uint64_t v, quote, slash;
        memcpy(&v, p + i, 8);
        quote = v ^ ones * '"';
        slash = v ^ ones * '\\';
        if ((v | (v - ones * 0x20) | (quote - ones) | (slash - ones)) & high)
            break;
        i += 8;
    }
    while (i < n && p[i] >= 0x20 && p[i] < 0x80 && p[i] != '"' && p[i] != '\\')
        i++;
    return i;
}

/* Goes from i over text and well-formed UTF-8 to the next quote, backslash or fault (then *fault says which). */
static size_t text_run(const l4_json *j, size_t i, const char **fault)
{
    const uint8_t *p = j->data;
    size_t n = j->size;
    *fault = NULL;
    for (;;) {
        i = plain_run(p, i, n);
        if (i == n) {
            *fault = "the string has no end";
            return i;
        }
        if (p[i] == '"' || p[i] == '\\')
            return i;
        if (p[i] < 0x20) {
            *fault = "a control character inside a string";
            return i;
        }
        uint32_t c;
        size_t step = l4_utf8_decode(p + i, n - i, &c);
        if (step == 0) {
            *fault = "the string is not valid UTF-8";
            return i;
        }
        i += step;
    }
}

static int hex_digit(unsigned c)
{
    if (c >= '0' && c <= '9')
        return (int)(c - '0');
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? (int)(c - 'a' + 10) : -1;
}

/* The four digits at i, or -1. */
static int32_t hex4(const l4_json *j, size_t i)
{
    int32_t value = 0;
    if (j->size - i < 4)
        return -1;
    for (size_t k = 0; k < 4; k++) {
        int d = hex_digit(j->data[i + k]);
        if (d < 0)
            return -1;
        value = value << 4 | d;
    }
    return value;
}

/* Decodes the escape whose backslash is at i; returns the position behind it, or 0 with *fault set. */
static size_t decode_escape(const l4_json *j, size_t i, uint32_t *c, const char **fault)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    unsigned kind = i + 1 < j->size ? j->data[i + 1] : 0;
    const char *at = kind ? strchr(from, (int)kind) : NULL;
    if (at) {
        *c = (uint8_t)to[at - from];
        return i + 2;
    }
    *fault = "an unknown escape sequence";
    if (kind != 'u')
        return 0;
    *fault = "four hexadecimal digits must follow \\u";
    int32_t first = hex4(j, i + 2);
    if (first < 0)
        return 0;
    *c = (uint32_t)first;
    if (first < 0xd800 || first > 0xdfff)
        return i + 6;
    *fault = "a lone surrogate in a \\u escape";
    if (first > 0xdbff || j->size - i < 12 || j->data[i + 6] != '\\' || j->data[i + 7] != 'u')
        return 0;
    int32_t second = hex4(j, i + 8);
    if (second < 0xdc00 || second > 0xdfff)
        return 0;
    *c = 0x10000 + ((uint32_t)(first - 0xd800) << 10 | (uint32_t)(second - 0xdc00));
    return i + 12;
}

/* The rest of a string whose first escape is at i. Decoding never lengthens text, so the distance to the closing quote is room enough. */
static llama4_status read_escaped(l4_json *j, size_t start, size_t i, llama4_error *error)
{
    size_t end = i;
    while (end < j->size && j->data[end] != '"')
        end += j->data[end] == '\\' ? 2 : 1;
    if (end >= j->size)
        return fail_at(j, start - 1, "the string has no end", error);
    llama4_status status = l4_grow(j->allocator, &j->scratch, &j->scratch_capacity, 0, end - start, 1, "a JSON string", error);
    if (status) {
        j->expect = EXPECT_FAILED;
        return status;
    }
    size_t length = 0;
    for (size_t from = start;;) {
        memcpy(j->scratch + length, j->data + from, i - from);
        length += i - from;
        if (j->data[i] == '"')
            break;
        uint32_t c = 0;
        const char *fault = NULL;
        from = decode_escape(j, i, &c, &fault);
        if (from == 0)
            return fail_at(j, i, fault, error);
        length += l4_utf8_encode(c, (uint8_t *)j->scratch + length);
        i = text_run(j, from, &fault);
        if (fault)
            return fail_at(j, i, fault, error);
    }
    j->text = j->scratch;
    j->length = length;
    j->position = i + 1;
    return LLAMA4_OK;
}

/* The string whose opening quote is at the position. */
static llama4_status read_string(l4_json *j, llama4_error *error)
{
    size_t start = j->position + 1;
    const char *fault;
    size_t i = text_run(j, start, &fault);
    if (fault)
        return fail_at(j, i < j->size ? i : start - 1, fault, error);
    if (j->data[i] == '\\')
        return read_escaped(j, start, i, error);
    j->text = (const char *)j->data + start;
    j->length = i - start;
    j->position = i + 1;
    return LLAMA4_OK;
}

/* ---- The other values ---- */

static size_t digits(const l4_json *j, size_t i)
{
    while (i < j->size && j->data[i] >= '0' && j->data[i] <= '9')
        i++;
    return i;
}

static llama4_status read_number(l4_json *j, llama4_error *error)
{
    size_t start = j->position, i = start, from;
    const uint8_t *p = j->data;
    if (p[i] == '-')
        i++;
    if (i < j->size && p[i] == '0')
        i++;
    else {
        from = i;
        i = digits(j, i);
        if (i == from)
            return unexpected(j, i, "a digit", error);
    }
    if (i < j->size && p[i] == '.') {
        from = ++i;
        i = digits(j, i);
        if (i == from)
            return unexpected(j, i, "a digit", error);
    }
    if (i < j->size && (p[i] == 'e' || p[i] == 'E')) {
        i++;
        if (i < j->size && (p[i] == '+' || p[i] == '-'))
            i++;
        from = i;
        i = digits(j, i);
        if (i == from)
            return unexpected(j, i, "a digit", error);
    }
    j->event = L4_JSON_NUMBER;
    j->text = (const char *)p + start;
    j->length = i - start;
    j->position = i;
    return LLAMA4_OK;
}

static llama4_status read_word(l4_json *j, const char *word, l4_json_event event, llama4_error *error)
{
    size_t n = strlen(word);
    if (j->size - j->position < n || memcmp(j->data + j->position, word, n) != 0)
        return fail_at(j, j->position, "an unknown word instead of a value", error);
    j->event = event;
    j->position += n;
    return LLAMA4_OK;
}

static llama4_status open_bracket(l4_json *j, llama4_error *error)
{
    int object = j->data[j->position] == '{';
    if (j->depth == L4_JSON_DEPTH)
        return fail_at(j, j->position, "brackets are nested too deeply", error);
    j->stack[j->depth++] = (uint8_t)object;
    j->event = object ? L4_JSON_OBJECT : L4_JSON_ARRAY;
    j->expect = object ? EXPECT_KEY_OR_END : EXPECT_VALUE_OR_END;
    j->position++;
    return LLAMA4_OK;
}

static void close_bracket(l4_json *j)
{
    j->event = j->stack[--j->depth] ? L4_JSON_OBJECT_END : L4_JSON_ARRAY_END;
    j->expect = j->depth ? EXPECT_COMMA_OR_END : EXPECT_NOTHING;
    j->position++;
}

static llama4_status read_value(l4_json *j, llama4_error *error)
{
    llama4_status status;
    j->expect = j->depth ? EXPECT_COMMA_OR_END : EXPECT_NOTHING;
    switch (j->data[j->position]) {
    case '"':
        status = read_string(j, error);
        j->event = L4_JSON_STRING;
        return status;
    case '{':
    case '[':
        return open_bracket(j, error);
    case 't':
        return read_word(j, "true", L4_JSON_TRUE, error);
    case 'f':
        return read_word(j, "false", L4_JSON_FALSE, error);
    case 'n':
        return read_word(j, "null", L4_JSON_NULL, error);
    case '-': case '0': case '1': case '2': case '3': case '4': case '5': case '6': case '7': case '8': case '9':
        return read_number(j, error);
    default:
        return unexpected(j, j->position, "a value", error);
    }
}

static llama4_status read_key(l4_json *j, llama4_error *error)
{
    llama4_status status = read_string(j, error);
    if (status)
        return status;
    skip_space(j);
    if (j->position >= j->size || j->data[j->position] != ':')
        return unexpected(j, j->position, "':'", error);
    j->position++;
    j->event = L4_JSON_KEY;
    j->expect = EXPECT_VALUE;
    return LLAMA4_OK;
}

llama4_status l4_json_next(l4_json *j, llama4_error *error)
{
    if (j->expect == EXPECT_FAILED)
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: reading on after an error", j->name);
    j->text = "";
    j->length = 0;
    skip_space(j);
    if (j->expect == EXPECT_NOTHING) {
        if (j->position < j->size)
            return unexpected(j, j->position, "the end of the file", error);
        j->event = L4_JSON_END;
        return LLAMA4_OK;
    }
    unsigned c = j->position < j->size ? j->data[j->position] : 0; /* 0 begins nothing */
    unsigned close = j->depth && j->stack[j->depth - 1] ? '}' : ']';
    if (j->expect == EXPECT_COMMA_OR_END) {
        if (c == close) {
            close_bracket(j);
            return LLAMA4_OK;
        }
        if (c != ',')
            return unexpected(j, j->position, close == '}' ? "',' or '}'" : "',' or ']'", error);
        j->position++;
        skip_space(j);
        c = j->position < j->size ? j->data[j->position] : 0;
        j->expect = close == '}' ? EXPECT_KEY : EXPECT_VALUE;
    }
    if ((j->expect == EXPECT_KEY_OR_END || j->expect == EXPECT_VALUE_OR_END) && c == close) {
        close_bracket(j);
        return LLAMA4_OK;
    }
    if (j->expect == EXPECT_KEY || j->expect == EXPECT_KEY_OR_END)
        return c == '"' ? read_key(j, error) : unexpected(j, j->position, "a key in quotes", error);
    return c ? read_value(j, error) : unexpected(j, j->position, "a value", error);
}

llama4_status l4_json_skip(l4_json *j, llama4_error *error)
{
    llama4_status status = LLAMA4_OK;
    if (j->event == L4_JSON_KEY)
        status = l4_json_next(j, error);
    if (status || (j->event != L4_JSON_OBJECT && j->event != L4_JSON_ARRAY))
        return status;
    uint32_t outside = j->depth - 1;
    while (status == LLAMA4_OK && j->depth > outside)
        status = l4_json_next(j, error);
    return status;
}

static const char *event_name(l4_json_event event)
{
    static const char *const names[] = {"an object", "the end of an object", "an array", "the end of an array", "a key", "a string",
                                        "a number",  "true",                 "false",    "null",                "the end of the file"};
    return (unsigned)event < sizeof names / sizeof *names ? names[event] : "?";
}

llama4_status l4_json_expect(l4_json *j, l4_json_event event, const char *what, llama4_error *error)
{
    llama4_status status = l4_json_next(j, error);
    if (status || j->event == event)
        return status;
    return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: %s is %s, not %s", j->name, what, event_name(j->event), event_name(event));
}

int l4_json_is(const l4_json *j, const char *s)
{
    size_t n = strlen(s);
    return j->length == n && memcmp(j->text, s, n) == 0;
}
