/* tiktoken's tokenizer.model: lines of base64, a space and a rank come in; a vocabulary with Meta's special tokens behind the
 * ranks goes out. The names of the special tokens are not in the file: they follow from Meta's published list. */
#include "text/vocab_internal.h"

/* Runs of special tokens, in the order of their ids. count 0: one token of exactly this name; otherwise reserved ones, numbered
 * from `first`. */
static const struct special_run {
    const char *name;
    uint16_t first, count;
} special_runs[] = {{"begin_of_text", 0, 0},
                    {"end_of_text", 0, 0},
                    {"fim_prefix", 0, 0},
                    {"fim_middle", 0, 0},
                    {"fim_suffix", 0, 0},
                    {"header_start", 0, 0},
                    {"header_end", 0, 0},
                    {"eom", 0, 0},
                    {"eot", 0, 0},
                    {"step", 0, 0},
                    {"text_post_train_reserved_special_token_", 0, 6},
                    {"python_start", 0, 0},
                    {"python_end", 0, 0},
                    {"finetune_right_pad", 0, 0},
                    {"text_post_train_reserved_special_token_", 8, 61},
                    {"image_start", 0, 0},
                    {"image_end", 0, 0},
                    {"vision_reserved_special_token_", 0, 2},
                    {"tile_x_separator", 0, 0},
                    {"tile_y_separator", 0, 0},
                    {"vision_reserved_special_token_", 2, 4},
                    {"image", 0, 0},
                    {"vision_reserved_special_token_", 6, 1},
                    {"patch", 0, 0},
                    {"vision_reserved_special_token_", 7, 1041},
                    {"reasoning_reserved_special_token_", 0, 8},
                    {"reasoning_thinking_start", 0, 0},
                    {"reasoning_thinking_end", 0, 0},
                    {"reserved_special_token_", 0, 904}};

static llama4_status add_special(l4_builder *b, int64_t id, const char *name, int number, llama4_error *error)
{
    char text[80];
    size_t n = strlen(name);
    memcpy(text, "<|", 2);
    memcpy(text + 2, name, n);
    n += 2;
    if (number >= 0) {
        char digits[12];
        size_t k = 0;
        do
            digits[k++] = (char)('0' + number % 10);
        while ((number /= 10) > 0);
        while (k)
            text[n++] = digits[--k];
    }
    memcpy(text + n, "|>", 2);
    return l4_builder_add(b, id, text, n + 2, L4_ENTRY_SPECIAL, error);
}

static llama4_status add_specials(l4_builder *b, int64_t id, llama4_error *error)
{
    for (size_t i = 0; i < sizeof special_runs / sizeof *special_runs; i++) {
        const struct special_run *r = &special_runs[i];
        for (int k = 0; k < (r->count ? r->count : 1); k++) {
            llama4_status status = add_special(b, id++, r->name, r->count ? r->first + k : -1, error);
            if (status)
                return status;
        }
    }
    return LLAMA4_OK;
}

/* The six bits of a base64 digit; 255: not one. */
static uint8_t digit(uint8_t c)
{
    if (c >= 'A' && c <= 'Z')
        return (uint8_t)(c - 'A');
    if (c >= 'a' && c <= 'z')
        return (uint8_t)(c - 'a' + 26);
    if (c >= '0' && c <= '9')
        return (uint8_t)(c - '0' + 52);
    return c == '+' ? 62 : c == '/' ? 63 : 255;
}

/* Strict base64 with padding, n <= 4 / 3 of the room in `out`. Returns the number of bytes, or SIZE_MAX. */
static size_t decode(const uint8_t *text, size_t n, uint8_t *out)
{
    size_t used = 0;
    if (n == 0 || n % 4)
        return SIZE_MAX;
    for (size_t i = 0; i < n; i += 4) {
        int pads = i + 4 < n ? 0 : text[n - 1] != '=' ? 0 : text[n - 2] != '=' ? 1 : 2;
        uint32_t bits = 0;
        for (int k = 0; k < 4; k++) {
            uint8_t d = k < 4 - pads ? digit(text[i + (size_t)k]) : 0;
            if (d > 63)
                return SIZE_MAX;
            bits = bits << 6 | d;
        }
        if (bits & ((1u << 8 * pads) - 1)) /* bits that no encoder sets */
            return SIZE_MAX;
        for (int k = 0; k < 3 - pads; k++)
            out[used++] = (uint8_t)(bits >> (16 - 8 * k));
    }
    return used;
}

static llama4_status add_line(l4_builder *b, const uint8_t *line, size_t n, size_t number, llama4_error *error)
{
    uint8_t bytes[L4_LONGEST_TOKEN + 3];
    const uint8_t *space = memchr(line, ' ', n);
    size_t text = space ? (size_t)(space - line) : n;
    if (!space || text > (L4_LONGEST_TOKEN + 2) / 3 * 4)
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: line %zu is not a token in base64, a space and a rank", b->name, number);
    size_t length = decode(line, text, bytes);
    if (length == SIZE_MAX)
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: line %zu: invalid base64", b->name, number);
    int64_t rank = 0;
    size_t i = text + 1;
    for (; i < n && i < text + 11 && line[i] >= '0' && line[i] <= '9'; i++)
        rank = rank * 10 + (line[i] - '0');
    if (i < n || i == text + 1)
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: line %zu: the rank is no number", b->name, number);
    return l4_builder_add(b, rank, bytes, length, L4_ENTRY_ORDINARY, error);
}

static llama4_status read_lines(l4_builder *b, const uint8_t *data, size_t size, llama4_error *error)
{
    size_t number = 0;
    for (size_t i = 0; i < size;) {
        const uint8_t *newline = memchr(data + i, '\n', size - i);
        size_t end = newline ? (size_t)(newline - data) : size, n = end - i;
        number++;
        if (n && data[end - 1] == '\r')
            n--;
        if (n) {
            llama4_status status = add_line(b, data + i, n, number, error);
            if (status)
                return status;
        }
        i = end + 1;
    }
    for (size_t k = 0; k < b->n_entries; k++) /* with ids that occur once, this makes them 0 .. n - 1 */
        if ((size_t)b->entries[k].id >= b->n_entries)
            return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: rank %d is out of range: there are %zu tokens", b->name,
                           (int)b->entries[k].id, b->n_entries);
    return LLAMA4_OK;
}

llama4_status l4_vocab_from_tiktoken(const l4_allocator *a, const l4_log *log, const void *data, size_t size, const char *name,
                                     llama4_vocab **out, llama4_error *error)
{
    l4_builder b;
    l4_builder_init(&b, a, log, name, size);
    llama4_status status = read_lines(&b, data, size, error);
    if (status == LLAMA4_OK)
        status = add_specials(&b, (int64_t)b.n_entries, error);
    if (status == LLAMA4_OK)
        status = l4_builder_finish(&b, out, error);
    l4_builder_clear(&b);
    return status;
}
