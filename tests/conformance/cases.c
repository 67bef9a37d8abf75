/* Golden cases from JSON: every form that the folders use, read into one struct. Members may come in any order; those that
 * are not known are passed over; those that are known must have the right form. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "conformance.h"
#include "format/json.h"

#define TRY(call)          \
    do {                   \
        if ((call) != 0)   \
            return -1;     \
    } while (0)

static int fail(llama4_error *error, const l4_json *j, const char *what)
{
    return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: byte %zu: %s", j->name, j->position, what), -1;
}

static char *copy_text(const l4_json *j)
{
    char *text = xmalloc(j->length + 1);
    memcpy(text, j->text, j->length);
    text[j->length] = 0;
    return text;
}

static int read_string(l4_json *j, const char *what, char **out, size_t *length, llama4_error *error)
{
    TRY(l4_json_expect(j, L4_JSON_STRING, what, error));
    free(*out);
    *out = copy_text(j);
    if (length)
        *length = j->length;
    return 0;
}

static int read_ids(l4_json *j, const char *what, id_list *out, llama4_error *error)
{
    TRY(l4_json_expect(j, L4_JSON_ARRAY, what, error));
    out->count = 0;
    for (;;) {
        int64_t id;
        TRY(l4_json_next(j, error));
        if (j->event == L4_JSON_ARRAY_END)
            return 0;
        if (j->event != L4_JSON_NUMBER)
            return fail(error, j, "an id is no number");
        TRY(l4_json_i64(j, what, INT32_MIN, INT32_MAX, &id, error));
        if (out->count == out->capacity) {
            out->capacity = out->capacity ? out->capacity * 2 : 64;
            out->data = xrealloc(out->data, out->capacity * sizeof *out->data);
        }
        out->data[out->count++] = (int32_t)id;
    }
}

/* The JSON text of the value that follows the key just read. */
static int read_raw(l4_json *j, char **out, llama4_error *error)
{
    size_t begin = j->position;
    TRY(l4_json_skip(j, error));
    while (begin < j->position && strchr(" \t\r\n:", j->data[begin]))
        begin++;
    free(*out);
    *out = xmalloc(j->position - begin + 1);
    memcpy(*out, j->data + begin, j->position - begin);
    (*out)[j->position - begin] = 0;
    return 0;
}

/* arguments: an object, or a string that holds one. */
static int read_arguments(l4_json *j, char **out, llama4_error *error)
{
    TRY(read_raw(j, out, error));
    if ((*out)[0] == '"') {
        l4_json inner;
        l4_json_init(&inner, &l4_system_allocator, *out, strlen(*out), j->name);
        int bad = l4_json_expect(&inner, L4_JSON_STRING, "arguments", error);
        char *text = bad ? NULL : copy_text(&inner);
        l4_json_clear(&inner);
        if (bad)
            return -1;
        free(*out);
        *out = text;
    }
    return 0;
}

/* {"name", "arguments"}, or the same inside {"type", "function"}; the object's beginning has been read. */
static int read_call(l4_json *j, char **name, char **arguments, int depth, llama4_error *error)
{
    for (;;) {
        TRY(l4_json_next(j, error));
        if (j->event == L4_JSON_OBJECT_END)
            return 0;
        if (l4_json_is(j, "name"))
            TRY(read_string(j, "name of a tool call", name, NULL, error));
        else if (l4_json_is(j, "arguments") || l4_json_is(j, "parameters"))
            TRY(read_arguments(j, arguments, error));
        else if (l4_json_is(j, "function") && depth == 0) {
            TRY(l4_json_expect(j, L4_JSON_OBJECT, "function of a tool call", error));
            TRY(read_call(j, name, arguments, 1, error));
        } else
            TRY(l4_json_skip(j, error));
    }
}

static int read_calls(l4_json *j, golden_message *m, llama4_error *error)
{
    TRY(l4_json_next(j, error));
    if (j->event == L4_JSON_NULL)
        return 0;
    if (j->event != L4_JSON_ARRAY)
        return fail(error, j, "tool_calls is no array");
    for (;;) {
        char *name = NULL, *arguments = NULL;
        TRY(l4_json_next(j, error));
        if (j->event == L4_JSON_ARRAY_END)
            return 0;
        if (j->event != L4_JSON_OBJECT)
            return fail(error, j, "a tool call is no object");
        int bad = read_call(j, &name, &arguments, 0, error);
        m->calls = xrealloc(m->calls, (m->n_calls + 1) * sizeof *m->calls);
        m->calls[m->n_calls++] = (llama4_tool_call){sizeof(llama4_tool_call), 0, name, arguments};
        if (bad || !name)
            return bad ? -1 : fail(error, j, "a tool call has no name");
    }
}

static void append(golden_message *m, const char *text, size_t length)
{
    m->content = xrealloc(m->content, m->content_length + length + 1);
    memcpy(m->content + m->content_length, text, length);
    m->content_length += length;
    m->content[m->content_length] = 0;
}

static golden_part *add_part(golden_message *m)
{
    m->parts = xrealloc(m->parts, (m->n_parts + 1) * sizeof *m->parts);
    m->parts[m->n_parts] = (golden_part){0};
    return &m->parts[m->n_parts++];
}

static void add_text(golden_message *m, const l4_json *j)
{
    golden_part *p = add_part(m);
    p->text = copy_text(j);
    p->length = j->length;
    append(m, j->text, j->length);
}

/* {"type": "text", "text": ...} or {"image": [width, height]}; the object's beginning has been read. */
static int read_part(l4_json *j, golden_case *c, golden_message *m, llama4_error *error)
{
    for (;;) {
        TRY(l4_json_next(j, error));
        if (j->event == L4_JSON_OBJECT_END)
            return 0;
        if (l4_json_is(j, "text")) {
            TRY(l4_json_expect(j, L4_JSON_STRING, "text of a part", error));
            add_text(m, j);
        } else if (l4_json_is(j, "image")) {
            id_list size = {0};
            int bad = read_ids(j, "size of an image", &size, error);
            golden_part *p = add_part(m);
            c->has_picture = 1;
            for (size_t i = 0; i < 2 && i < size.count; i++)
                p->size[i] = size.data[i];
            free(size.data);
            if (bad)
                return -1;
        } else
            TRY(l4_json_skip(j, error));
    }
}

static int read_content(l4_json *j, golden_case *c, golden_message *m, llama4_error *error)
{
    TRY(l4_json_next(j, error));
    if (j->event == L4_JSON_NULL)
        return 0;
    append(m, "", 0);
    if (j->event == L4_JSON_STRING) {
        append(m, j->text, j->length);
        return 0;
    }
    if (j->event != L4_JSON_ARRAY)
        return fail(error, j, "content is neither text nor an array of parts");
    for (;;) {
        TRY(l4_json_next(j, error));
        if (j->event == L4_JSON_ARRAY_END)
            return 0;
        if (j->event == L4_JSON_STRING)
            add_text(m, j);
        else if (j->event == L4_JSON_OBJECT)
            TRY(read_part(j, c, m, error));
        else
            return fail(error, j, "a part of a content is neither text nor an object");
    }
}

static int read_message(l4_json *j, golden_case *c, golden_message *m, llama4_error *error)
{
    for (;;) {
        TRY(l4_json_next(j, error));
        if (j->event == L4_JSON_OBJECT_END)
            break;
        if (l4_json_is(j, "role"))
            TRY(read_string(j, "role", &m->role, NULL, error));
        else if (l4_json_is(j, "content"))
            TRY(read_content(j, c, m, error));
        else if (l4_json_is(j, "tool_calls"))
            TRY(read_calls(j, m, error));
        else
            TRY(l4_json_skip(j, error));
    }
    return m->role ? 0 : fail(error, j, "a message has no role");
}

static int read_messages(l4_json *j, golden_case *c, llama4_error *error)
{
    TRY(l4_json_expect(j, L4_JSON_ARRAY, "messages", error));
    c->has_messages = 1;
    for (;;) {
        TRY(l4_json_next(j, error));
        if (j->event == L4_JSON_ARRAY_END)
            return 0;
        if (j->event != L4_JSON_OBJECT)
            return fail(error, j, "a message is no object");
        c->messages = xrealloc(c->messages, (c->n_messages + 1) * sizeof *c->messages);
        c->messages[c->n_messages] = (golden_message){0};
        TRY(read_message(j, c, &c->messages[c->n_messages++], error));
    }
}

/* "image": the name of a file. */
static int read_picture(l4_json *j, golden_case *c, llama4_error *error)
{
    c->has_picture = 1;
    return read_string(j, "image", &c->image, NULL, error);
}

static int read_case(l4_json *j, golden_case *c, llama4_error *error)
{
    for (;;) {
        TRY(l4_json_next(j, error));
        if (j->event == L4_JSON_OBJECT_END)
            return 0;
        if (l4_json_is(j, "ids") || l4_json_is(j, "prompt_ids")) {
            c->has_ids = 1;
            TRY(read_ids(j, "ids", &c->ids, error));
        } else if (l4_json_is(j, "greedy") || l4_json_is(j, "greedy_ids")) {
            c->has_greedy = 1;
            TRY(read_ids(j, "greedy", &c->greedy, error));
        } else if (l4_json_is(j, "logits"))
            TRY(read_string(j, "logits", &c->logits, NULL, error));
        else if (l4_json_is(j, "task"))
            TRY(read_string(j, "task", &c->task, NULL, error));
        else if (l4_json_is(j, "text") || l4_json_is(j, "s"))
            TRY(read_string(j, "text", &c->text, &c->text_length, error));
        else if (l4_json_is(j, "messages"))
            TRY(read_messages(j, c, error));
        else if (l4_json_is(j, "image"))
            TRY(read_picture(j, c, error));
        else if (l4_json_is(j, "size"))
            TRY(read_ids(j, "size", &c->size, error));
        else if (l4_json_is(j, "tiles"))
            TRY(read_ids(j, "tiles", &c->tiles, error));
        else if (l4_json_is(j, "sample"))
            TRY(read_string(j, "sample", &c->sample, NULL, error));
        else if (l4_json_is(j, "pixels"))
            TRY(read_string(j, "pixels", &c->pixels, NULL, error));
        else if (l4_json_is(j, "features"))
            TRY(read_string(j, "features", &c->features, NULL, error));
        else
            TRY(l4_json_skip(j, error));
    }
}

/* The beginning of the object has been read. */
static int add_case(l4_json *j, case_list *out, llama4_error *error)
{
    if ((out->count & (out->count - 1)) == 0)
        out->data = xrealloc(out->data, (out->count ? out->count * 2 : 1) * sizeof *out->data);
    out->data[out->count] = (golden_case){0};
    return read_case(j, &out->data[out->count++], error);
}

static int read_array(l4_json *j, case_list *out, llama4_error *error)
{
    for (;;) {
        TRY(l4_json_next(j, error));
        if (j->event == L4_JSON_ARRAY_END)
            return 0;
        if (j->event != L4_JSON_OBJECT)
            return fail(error, j, "a case is no object");
        TRY(add_case(j, out, error));
    }
}

static int read_document(l4_json *j, case_list *out, llama4_error *error)
{
    TRY(l4_json_next(j, error));
    if (j->event == L4_JSON_ARRAY)
        TRY(read_array(j, out, error));
    else if (j->event == L4_JSON_OBJECT) {
        for (;;) {
            TRY(l4_json_next(j, error));
            if (j->event == L4_JSON_OBJECT_END)
                break;
            if (l4_json_is(j, "cases")) {
                TRY(l4_json_expect(j, L4_JSON_ARRAY, "cases", error));
                TRY(read_array(j, out, error));
            } else
                TRY(l4_json_skip(j, error));
        }
    } else
        return fail(error, j, "neither an array nor an object");
    return l4_json_expect(j, L4_JSON_END, "end of the file", error);
}

static int read_line(l4_json *j, case_list *out, llama4_error *error)
{
    TRY(l4_json_expect(j, L4_JSON_OBJECT, "case", error));
    TRY(add_case(j, out, error));
    return l4_json_expect(j, L4_JSON_END, "end of the line", error);
}

int cases_read(const char *path, int lines, case_list *out, llama4_error *error)
{
    size_t size;
    char *data = read_file(path, &size);
    int status = 0;
    *out = (case_list){0};
    if (!data)
        return l4_fail(error, LLAMA4_ERR_IO, "%s: cannot be read", path), -1;
    for (size_t begin = 0, number = 1; begin < size && !status; number++) {
        char *nl = lines ? memchr(data + begin, '\n', size - begin) : NULL;
        size_t end = nl ? (size_t)(nl - data) : size;
        char *name = lines ? xprintf("%s:%zu", path, number) : xprintf("%s", path);
        l4_json j;
        l4_json_init(&j, &l4_system_allocator, data + begin, end - begin, name);
        if (!lines)
            status = read_document(&j, out, error);
        else if (strspn(data + begin, " \t\r") < end - begin)
            status = read_line(&j, out, error);
        l4_json_clear(&j);
        free(name);
        begin = end + 1;
    }
    free(data);
    if (status)
        cases_free(out);
    return status;
}

void cases_free(case_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        golden_case *c = &list->data[i];
        for (size_t k = 0; k < c->n_messages; k++) {
            golden_message *m = &c->messages[k];
            for (size_t t = 0; t < m->n_calls; t++) {
                free((void *)(uintptr_t)m->calls[t].name);
                free((void *)(uintptr_t)m->calls[t].arguments);
            }
            for (size_t t = 0; t < m->n_parts; t++)
                free(m->parts[t].text);
            free(m->parts);
            free(m->calls);
            free(m->role);
            free(m->content);
        }
        free(c->messages);
        free(c->ids.data);
        free(c->greedy.data);
        free(c->logits);
        free(c->task);
        free(c->text);
        free(c->image);
        free(c->sample);
        free(c->pixels);
        free(c->features);
        free(c->size.data);
        free(c->tiles.data);
    }
    free(list->data);
    *list = (case_list){0};
}

/* ---- manifest.json ---- */

/* "all" or null, or an array of positions. */
static int read_positions(l4_json *j, golden_set *s, llama4_error *error)
{
    TRY(l4_json_next(j, error));
    if (j->event == L4_JSON_NULL || (j->event == L4_JSON_STRING && l4_json_is(j, "all")))
        return 0;
    if (j->event != L4_JSON_ARRAY)
        return fail(error, j, "positions is neither \"all\" nor an array");
    s->positions = xmalloc(sizeof *s->positions);
    for (;;) {
        TRY(l4_json_next(j, error));
        if (j->event == L4_JSON_ARRAY_END)
            return 0;
        if (j->event != L4_JSON_NUMBER)
            return fail(error, j, "a position is no number");
        s->positions = xrealloc(s->positions, (s->n_positions + 1) * sizeof *s->positions);
        TRY(l4_json_i64(j, "position", 0, INT32_MAX, &s->positions[s->n_positions], error));
        if (s->n_positions && s->positions[s->n_positions] <= s->positions[s->n_positions - 1])
            return fail(error, j, "positions do not ascend");
        s->n_positions++;
    }
}

static int read_set(l4_json *j, golden_set *s, llama4_error *error)
{
    for (;;) {
        TRY(l4_json_next(j, error));
        if (j->event == L4_JSON_OBJECT_END)
            return 0;
        if (l4_json_is(j, "n_tokens")) {
            TRY(l4_json_expect(j, L4_JSON_NUMBER, "n_tokens", error));
            TRY(l4_json_i64(j, "n_tokens", 1, INT32_MAX, &s->n_tokens, error));
        } else if (l4_json_is(j, "vocab")) {
            TRY(l4_json_expect(j, L4_JSON_NUMBER, "vocab", error));
            TRY(l4_json_i64(j, "vocab", 1, INT32_MAX, &s->vocabulary, error));
        } else if (l4_json_is(j, "positions"))
            TRY(read_positions(j, s, error));
        else
            TRY(l4_json_skip(j, error));
    }
}

static int read_sets(l4_json *j, golden_set **sets, size_t *count, llama4_error *error)
{
    TRY(l4_json_expect(j, L4_JSON_OBJECT, "manifest", error));
    for (;;) {
        TRY(l4_json_next(j, error));
        if (j->event == L4_JSON_OBJECT_END)
            return l4_json_expect(j, L4_JSON_END, "end of the file", error);
        *sets = xrealloc(*sets, (*count + 1) * sizeof **sets);
        golden_set *s = &(*sets)[(*count)++];
        *s = (golden_set){copy_text(j), -1, NULL, 0, -1};
        TRY(l4_json_expect(j, L4_JSON_OBJECT, s->name, error));
        TRY(read_set(j, s, error));
    }
}

int manifest_read(const char *path, golden_set **sets, size_t *count, llama4_error *error)
{
    size_t size;
    char *data = read_file(path, &size);
    *sets = NULL;
    *count = 0;
    if (!data)
        return l4_fail(error, LLAMA4_ERR_IO, "%s: cannot be read", path), -1;
    l4_json j;
    l4_json_init(&j, &l4_system_allocator, data, size, path);
    int status = read_sets(&j, sets, count, error);
    l4_json_clear(&j);
    free(data);
    if (status) {
        manifest_free(*sets, *count);
        *sets = NULL;
        *count = 0;
    }
    return status;
}

void manifest_free(golden_set *sets, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(sets[i].name);
        free(sets[i].positions);
    }
    free(sets);
}
