/* The chat format: messages come in, token ids go out. Role, separator and content are encoded apart, as in Meta's code, so that
 * neither a content that begins with a newline nor one that spells a special token changes the structure. */
#include <stdio.h>

#include "base/utf8.h"
#include "format/json.h"
#include "text/vocab_internal.h"

/* A growing text. */
typedef struct buffer {
    const l4_allocator *allocator;
    char *text;
    size_t length, capacity;
} buffer;

static llama4_status put(buffer *b, const char *text, size_t n, llama4_error *error)
{
    llama4_status status = l4_grow(b->allocator, &b->text, &b->capacity, b->length, b->length + n, 1, "a tool call", error);
    if (status)
        return status;
    if (n)
        memcpy(b->text + b->length, text, n);
    b->length += n;
    return LLAMA4_OK;
}

static llama4_status put_text(buffer *b, const char *text, llama4_error *error)
{
    return put(b, text, strlen(text), error);
}

/* ---- JSON as Python's json.dumps writes it: ", " and ": " between things, ASCII only ---- */

static llama4_status put_escape(buffer *b, uint32_t unit, llama4_error *error)
{
    static const char hex[] = "0123456789abcdef";
    const char text[6] = {'\\', 'u', hex[unit >> 12 & 15], hex[unit >> 8 & 15], hex[unit >> 4 & 15], hex[unit & 15]};
    return put(b, text, sizeof text, error);
}

/* `text` is valid UTF-8. */
static llama4_status put_string(buffer *b, const char *text, size_t n, llama4_error *error)
{
    static const char special[] = "\"\\\n\r\t\b\f", letters[] = "\"\\nrtbf";
    llama4_status status = put_text(b, "\"", error);
    for (size_t i = 0, step; i < n && status == LLAMA4_OK; i += step) {
        uint32_t c = 0;
        step = 1;
        while (i + step <= n && text[i + step - 1] >= 0x20 && text[i + step - 1] < 0x7f && text[i + step - 1] != '"' &&
               text[i + step - 1] != '\\')
            step++;
        if (--step) {
            status = put(b, text + i, step, error);
            continue;
        }
        step = l4_utf8_decode((const uint8_t *)text + i, n - i, &c);
        const char *known = c && c < 0x80 ? strchr(special, (int)c) : NULL;
        if (known) {
            const char pair[2] = {'\\', letters[known - special]};
            status = put(b, pair, 2, error);
        } else if (c < 0x10000) {
            status = put_escape(b, c, error);
        } else {
            status = put_escape(b, 0xd800 + ((c - 0x10000) >> 10), error);
            if (status == LLAMA4_OK)
                status = put_escape(b, 0xdc00 + ((c - 0x10000) & 0x3ff), error);
        }
    }
    return status ? status : put_text(b, "\"", error);
}

/* The event that j just read, and what must stand before it. started[d]: bracket d holds something already. */
static llama4_status put_event(buffer *b, const l4_json *j, uint8_t *started, int *after_key, llama4_error *error)
{
    int closes = j->event == L4_JSON_OBJECT_END || j->event == L4_JSON_ARRAY_END;
    int opens = j->event == L4_JSON_OBJECT || j->event == L4_JSON_ARRAY;
    uint32_t inside = opens ? j->depth - 1 : j->depth; /* the bracket that this stands in; 0: none */
    llama4_status status = LLAMA4_OK;
    if (!closes && !*after_key && inside) {
        if (started[inside])
            status = put_text(b, ", ", error);
        started[inside] = 1;
    }
    if (status)
        return status;
    *after_key = j->event == L4_JSON_KEY;
    switch (j->event) {
    case L4_JSON_OBJECT:
    case L4_JSON_ARRAY:
        started[j->depth] = 0;
        return put_text(b, j->event == L4_JSON_OBJECT ? "{" : "[", error);
    case L4_JSON_OBJECT_END:
        return put_text(b, "}", error);
    case L4_JSON_ARRAY_END:
        return put_text(b, "]", error);
    case L4_JSON_KEY:
        status = put_string(b, j->text, j->length, error);
        return status ? status : put_text(b, ": ", error);
    case L4_JSON_STRING:
        return put_string(b, j->text, j->length, error);
    case L4_JSON_NUMBER:
        return put(b, j->text, j->length, error);
    case L4_JSON_TRUE:
        return put_text(b, "true", error);
    case L4_JSON_FALSE:
        return put_text(b, "false", error);
    default:
        return put_text(b, "null", error);
    }
}

static llama4_status put_arguments(buffer *b, const char *text, llama4_error *error)
{
    uint8_t started[L4_JSON_DEPTH + 1];
    int after_key = 0;
    l4_json j;
    l4_json_init(&j, b->allocator, text, strlen(text), "arguments");
    llama4_status status = l4_json_expect(&j, L4_JSON_OBJECT, "the value", error);
    while (status == LLAMA4_OK && j.event != L4_JSON_END) {
        status = put_event(b, &j, started, &after_key, error);
        if (status == LLAMA4_OK)
            status = l4_json_next(&j, error);
    }
    l4_json_clear(&j);
    return status == LLAMA4_ERR_FORMAT ? LLAMA4_ERR_ARGUMENT : status;
}

/* ---- Messages ---- */

/* Where an error happened. */
typedef struct place {
    size_t message;
    size_t call; /* SIZE_MAX: none */
    size_t part; /* SIZE_MAX: none */
} place;

/* Passes on a failure of the layers below, with the place in front. */
static llama4_status fail_in(const place *p, llama4_status status, const llama4_error *inner, llama4_error *error)
{
    if (p->part != SIZE_MAX)
        return l4_fail(error, status, "message %zu, part %zu: %s", p->message, p->part, inner->message);
    if (p->call == SIZE_MAX)
        return l4_fail(error, status, "message %zu: %s", p->message, inner->message);
    return l4_fail(error, status, "message %zu, tool call %zu: %s", p->message, p->call, inner->message);
}

static llama4_status push_special(int32_t id, const char *name, l4_tokens *out, llama4_error *error)
{
    if (id < 0)
        return l4_fail(error, LLAMA4_ERR_UNSUPPORTED, "the vocabulary has no token %s, which the chat format needs", name);
    return l4_tokens_push(out, id, error);
}

static llama4_status encode_header(const llama4_vocab *v, const char *role, l4_tokens *out, llama4_error *error)
{
    llama4_status status = push_special(v->known.header_start, "<|header_start|>", out, error);
    if (status == LLAMA4_OK)
        status = l4_vocab_encode(v, role, strlen(role), LLAMA4_TOKENIZE_PLAIN, out, error);
    if (status == LLAMA4_OK)
        status = push_special(v->known.header_end, "<|header_end|>", out, error);
    if (status == LLAMA4_OK)
        status = l4_vocab_encode(v, "\n\n", 2, LLAMA4_TOKENIZE_PLAIN, out, error);
    return status;
}

static llama4_status write_call(const llama4_tool_call *call, buffer *b, llama4_error *error)
{
    if (!call->name)
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "name is NULL");
    if (!call->arguments)
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "arguments is NULL");
    size_t n = strlen(call->name);
    uint32_t c;
    for (size_t i = 0, step; i < n; i += step) {
        step = l4_utf8_decode((const uint8_t *)call->name + i, n - i, &c);
        if (step == 0)
            return l4_fail(error, LLAMA4_ERR_UTF8, "the name is not valid UTF-8 at byte %zu", i);
    }
    llama4_status status = put_text(b, "{\"type\": \"function\", \"name\": ", error);
    if (status == LLAMA4_OK)
        status = put_string(b, call->name, n, error);
    if (status == LLAMA4_OK)
        status = put_text(b, ", \"parameters\": ", error);
    if (status == LLAMA4_OK)
        status = put_arguments(b, call->arguments, error);
    return status ? status : put_text(b, "}", error);
}

static llama4_status encode_calls(const llama4_vocab *v, const llama4_message *m, place *p, l4_tokens *out, llama4_error *error)
{
    buffer b = {&v->allocator, NULL, 0, 0};
    llama4_error inner = LLAMA4_ERROR_INIT;
    llama4_status status = LLAMA4_OK;
    for (size_t i = 0; i < m->n_tool_calls && status == LLAMA4_OK; i++) {
        llama4_tool_call call;
        const char *at = (const char *)m->tool_calls + i * m->tool_call_stride;
        p->call = i;
        b.length = 0;
        status = l4_check_stride(at, (size_t)m->tool_call_stride, "llama4_tool_call", &inner);
        if (status == LLAMA4_OK)
            status = l4_read_struct(&call, at, sizeof call, sizeof call, "llama4_tool_call", &inner);
        if (status == LLAMA4_OK)
            status = write_call(&call, &b, &inner);
        if (status == LLAMA4_OK)
            status = l4_vocab_encode(v, b.text, b.length, LLAMA4_TOKENIZE_PLAIN, out, &inner);
    }
    l4_free(&v->allocator, b.text);
    return status ? fail_in(p, status, &inner, error) : LLAMA4_OK;
}

/* ---- Pictures among the text ---- */

typedef struct layouts {
    l4_layout_fn find;
    void *user;
} layouts;

uint32_t l4_image_layout_rows(const l4_image_layout *l)
{
    uint32_t grid = l->columns * l->rows;
    return l->tokens * (grid + (grid > 1));
}

/* Besides the embeddings: the beginning, the end, the mark of the whole picture, and a separator for each tile of a grid. */
uint32_t l4_image_layout_tokens(const l4_image_layout *l)
{
    uint32_t grid = l->columns * l->rows;
    return l4_image_layout_rows(l) + 3 + (grid > 1 ? grid : 0);
}

static llama4_status push_tile(const llama4_vocab *v, const l4_image_layout *l, int32_t id, const char *name, l4_tokens *out, llama4_error *error)
{
    llama4_status status = LLAMA4_OK;
    for (uint32_t i = 0; i < l->tokens && status == LLAMA4_OK; i++)
        status = push_special(v->known.patch, "<|patch|>", out, error);
    return status ? status : push_special(id, name, out, error);
}

/* Tiles row by row, a separator behind each; then the mark, and the tile that shows the whole. */
static llama4_status encode_picture(const llama4_vocab *v, const l4_image_layout *l, l4_tokens *out, llama4_error *error)
{
    llama4_status status = push_special(v->known.image_start, "<|image_start|>", out, error);
    for (uint32_t y = 0; l->columns * l->rows > 1 && y < l->rows; y++)
        for (uint32_t x = 0; x < l->columns && status == LLAMA4_OK; x++)
            status = x + 1 < l->columns ? push_tile(v, l, v->known.tile_x, "<|tile_x_separator|>", out, error)
                                        : push_tile(v, l, v->known.tile_y, "<|tile_y_separator|>", out, error);
    if (status == LLAMA4_OK)
        status = push_special(v->known.image, "<|image|>", out, error);
    return status ? status : push_tile(v, l, v->known.image_end, "<|image_end|>", out, error);
}

/* A frame's time: "[0:07.5] ", or "[1:02:03.0] " from an hour on. */
static llama4_status encode_time(const llama4_vocab *v, double seconds, l4_tokens *out, llama4_error *error)
{
    char text[48];
    uint64_t tenths = (uint64_t)(seconds * 10 + 0.5), minutes = tenths / 600;
    unsigned rest = (unsigned)(tenths % 600);
    if (minutes < 60)
        snprintf(text, sizeof text, "[%u:%02u.%u] ", (unsigned)minutes, rest / 10, rest % 10);
    else
        snprintf(text, sizeof text, "[%llu:%02u:%02u.%u] ", (unsigned long long)(minutes / 60), (unsigned)(minutes % 60), rest / 10, rest % 10);
    return l4_vocab_encode(v, text, strlen(text), LLAMA4_TOKENIZE_PLAIN, out, error);
}

static llama4_status encode_part(const llama4_vocab *v, const llama4_part *p, const layouts *l, l4_tokens *out, llama4_error *error)
{
    l4_image_layout layout;
    llama4_status status = LLAMA4_OK;
    if (!!p->text + !!p->image + !!p->embeddings != 1)
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "it has %s of text, image and embeddings", p->text || p->image || p->embeddings ? "several" : "none");
    if (p->flags & ~LLAMA4_PART_FRAME)
        return l4_fail(error, LLAMA4_ERR_UNSUPPORTED, "flags 0x%x are unknown", (unsigned)p->flags);
    if (p->text) {
        if (p->flags)
            return l4_fail(error, LLAMA4_ERR_ARGUMENT, "text is no frame");
        return l4_vocab_encode(v, p->text, p->text_length ? (size_t)p->text_length : strlen(p->text), LLAMA4_TOKENIZE_PLAIN, out, error);
    }
    if (p->text_length)
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "text is NULL, but text_length is %llu", (unsigned long long)p->text_length);
    if (p->flags && !(p->seconds >= 0 && p->seconds <= 1e9))
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "seconds is out of range");
    status = l->find(l->user, p, &layout, error);
    if (status == LLAMA4_OK && p->flags)
        status = encode_time(v, p->seconds, out, error);
    return status ? status : encode_picture(v, &layout, out, error);
}

static llama4_status encode_parts(const llama4_vocab *v, const llama4_message *m, place *where, const layouts *l, l4_tokens *out,
                                  llama4_error *error)
{
    llama4_error inner = LLAMA4_ERROR_INIT;
    llama4_status status = LLAMA4_OK;
    for (size_t i = 0; i < m->n_parts && status == LLAMA4_OK; i++) {
        llama4_part part;
        const char *at = (const char *)m->parts + i * m->part_stride;
        where->part = i;
        status = l4_check_stride(at, (size_t)m->part_stride, "llama4_part", &inner);
        if (status == LLAMA4_OK)
            status = l4_read_struct(&part, at, sizeof part, sizeof part, "llama4_part", &inner);
        if (status == LLAMA4_OK)
            status = encode_part(v, &part, l, out, &inner);
    }
    if (status)
        return fail_in(where, status, &inner, error);
    where->part = SIZE_MAX;
    return LLAMA4_OK;
}

/* ---- Messages, continued ---- */

static llama4_status check_parts(const llama4_message *m, size_t i, llama4_error *error)
{
    if (m->content)
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "message %zu: it has both content and parts", i);
    if (!m->parts)
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "message %zu: parts is NULL, but n_parts is %llu", i, (unsigned long long)m->n_parts);
    if (m->part_stride < sizeof *m->parts || m->n_parts > SIZE_MAX / m->part_stride)
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "message %zu: part_stride is %llu", i, (unsigned long long)m->part_stride);
    return LLAMA4_OK;
}

/* Checks what does not depend on the vocabulary, and gives the role its name in the format. */
static llama4_status check_message(const llama4_message *m, size_t i, const char **role, llama4_error *error)
{
    static const char *const roles[] = {"system", "user", "assistant", "tool", "ipython"};
    size_t r = 0, n = sizeof roles / sizeof *roles;
    if (!m->role)
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "message %zu: role is NULL", i);
    while (r < n && strcmp(m->role, roles[r]))
        r++;
    if (r == n)
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "message %zu: unknown role \"%.64s\"", i, m->role);
    *role = roles[r < 3 ? r : 4];
    if (m->flags & ~LLAMA4_MESSAGE_EOM)
        return l4_fail(error, LLAMA4_ERR_UNSUPPORTED, "message %zu: flags 0x%x are unknown", i, (unsigned)m->flags);
    if (m->flags & LLAMA4_MESSAGE_EOM && r < 2)
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "message %zu: LLAMA4_MESSAGE_EOM on a message of the role \"%s\"", i, m->role);
    if (!m->content && m->content_length)
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "message %zu: content is NULL, but content_length is %llu", i,
                       (unsigned long long)m->content_length);
    if (m->n_parts && check_parts(m, i, error))
        return LLAMA4_ERR_ARGUMENT;
    if (m->n_tool_calls == 0)
        return LLAMA4_OK;
    if (r != 2)
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "message %zu: tool calls in a message of the role \"%s\"", i, m->role);
    if (!m->tool_calls)
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "message %zu: tool_calls is NULL, but n_tool_calls is %llu", i,
                       (unsigned long long)m->n_tool_calls);
    if (m->tool_call_stride < sizeof *m->tool_calls || m->n_tool_calls > SIZE_MAX / m->tool_call_stride)
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "message %zu: tool_call_stride is %llu", i, (unsigned long long)m->tool_call_stride);
    return LLAMA4_OK;
}

static llama4_status encode_message(const llama4_vocab *v, const llama4_message *m, size_t i, const layouts *l, l4_tokens *out,
                                    llama4_error *error)
{
    const char *role = "";
    llama4_status status = check_message(m, i, &role, error);
    if (status == LLAMA4_OK)
        status = encode_header(v, role, out, error);
    if (status)
        return status;
    place p = {i, SIZE_MAX, SIZE_MAX};
    if (m->content) {
        llama4_error inner = LLAMA4_ERROR_INIT;
        size_t n = m->content_length ? m->content_length : strlen(m->content);
        status = l4_vocab_encode(v, m->content, n, LLAMA4_TOKENIZE_PLAIN, out, &inner);
        if (status)
            return fail_in(&p, status, &inner, error);
    }
    status = encode_parts(v, m, &p, l, out, error);
    if (status == LLAMA4_OK)
        status = encode_calls(v, m, &p, out, error);
    if (status)
        return status;
    if (m->n_tool_calls || m->flags & LLAMA4_MESSAGE_EOM || strcmp(role, "ipython") == 0)
        return push_special(v->known.eom, "<|eom|>", out, error);
    return push_special(v->known.eot, "<|eot|>", out, error);
}

llama4_status l4_chat_encode(const llama4_vocab *v, const llama4_message *messages, size_t n, size_t stride, uint32_t flags, l4_layout_fn layout,
                             void *user, l4_tokens *out, llama4_error *error)
{
    const size_t before = out->count, first = offsetof(llama4_message, parts); /* of the struct's first version */
    const layouts l = {layout, user};
    llama4_status status = LLAMA4_OK;
    if (n && (stride < first || n > SIZE_MAX / stride))
        return l4_fail(error, LLAMA4_ERR_ARGUMENT, "stride is %zu, less than a llama4_message", stride);
    if (!(flags & LLAMA4_CHAT_NO_BOS))
        status = push_special(v->known.begin_of_text, "<|begin_of_text|>", out, error);
    for (size_t i = 0; i < n && status == LLAMA4_OK; i++) {
        llama4_message m;
        const char *at = (const char *)messages + i * stride;
        status = l4_check_stride(at, stride, "llama4_message", error);
        if (status == LLAMA4_OK)
            status = l4_read_struct(&m, at, first, sizeof m, "llama4_message", error);
        if (status == LLAMA4_OK)
            status = encode_message(v, &m, i, &l, out, error);
    }
    if (status == LLAMA4_OK && !(flags & LLAMA4_CHAT_NO_HEADER))
        status = encode_header(v, "assistant", out, error);
    if (status)
        out->count = before;
    return status;
}
