/* Hugging Face's tokenizer.json, of a byte-level BPE: bytes of the file come in, a vocabulary goes out. The file may be 30 MB,
 * most of it merges, so it is read in one pass without a tree; merges are only counted, and read again if they turn out to
 * matter. */
#include "format/json.h"
#include "text/vocab_internal.h"

typedef struct source {
    l4_json json;
    l4_builder builder;
    const uint8_t *merges; /* the array's text, in the file; NULL: none */
    size_t merges_size;
    uint64_t n_merges;
    int pattern_known, ignore_merges;
} source;

/* The pattern that split.c follows. */
static const char pattern[] =
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    "|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    "|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

/* One { "id": ..., "content": ..., "special": ... }, its bracket already read. */
static llama4_status read_added(source *s, llama4_error *error)
{
    l4_json *j = &s->json;
    uint8_t content[L4_LONGEST_TOKEN];
    size_t length = 0;
    int64_t id = -1;
    int special = 0;
    for (;;) {
        llama4_status status = l4_json_next(j, error);
        if (status)
            return status;
        if (j->event == L4_JSON_OBJECT_END)
            break;
        if (l4_json_is(j, "id")) {
            status = l4_json_expect(j, L4_JSON_NUMBER, "added_tokens: id", error);
            if (status == LLAMA4_OK)
                status = l4_json_i64(j, "added_tokens: id", 0, INT32_MAX, &id, error);
        } else if (l4_json_is(j, "content")) {
            status = l4_json_expect(j, L4_JSON_STRING, "added_tokens: content", error);
            if (status == LLAMA4_OK && j->length > sizeof content)
                status = l4_fail(error, LLAMA4_ERR_FORMAT, "%s: added_tokens: a name of %zu bytes", j->name, j->length);
            if (status == LLAMA4_OK) {
                length = j->length;
                memcpy(content, j->text, length);
            }
        } else if (l4_json_is(j, "special")) {
            status = l4_json_next(j, error);
            special = j->event == L4_JSON_TRUE;
        } else {
            status = l4_json_skip(j, error);
        }
        if (status)
            return status;
    }
    if (id < 0)
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: added_tokens: an entry has no id", j->name);
    return l4_builder_add(&s->builder, id, content, length, special ? L4_ENTRY_SPECIAL : L4_ENTRY_USER, error);
}

static llama4_status read_added_tokens(source *s, llama4_error *error)
{
    l4_json *j = &s->json;
    llama4_status status = l4_json_expect(j, L4_JSON_ARRAY, "added_tokens", error);
    while (status == LLAMA4_OK) {
        status = l4_json_next(j, error);
        if (status || j->event == L4_JSON_ARRAY_END)
            break;
        if (j->event != L4_JSON_OBJECT)
            return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: added_tokens holds something that is no object", j->name);
        status = read_added(s, error);
    }
    return status;
}

static llama4_status read_vocab(source *s, llama4_error *error)
{
    char token[2 * L4_LONGEST_TOKEN];
    l4_json *j = &s->json;
    llama4_status status = l4_json_expect(j, L4_JSON_OBJECT, "model.vocab", error);
    while (status == LLAMA4_OK) {
        int64_t id = 0;
        status = l4_json_next(j, error);
        if (status || j->event == L4_JSON_OBJECT_END)
            break;
        size_t n = j->length;
        if (n > sizeof token)
            return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: model.vocab has a token of %zu bytes", j->name, n);
        memcpy(token, j->text, n);
        status = l4_json_expect(j, L4_JSON_NUMBER, "an id in model.vocab", error);
        if (status == LLAMA4_OK)
            status = l4_json_i64(j, "an id in model.vocab", 0, INT32_MAX, &id, error);
        if (status == LLAMA4_OK)
            status = l4_builder_add(&s->builder, id, token, n, L4_ENTRY_ENCODED, error);
    }
    return status;
}

static llama4_status count_merges(source *s, llama4_error *error)
{
    l4_json *j = &s->json;
    llama4_status status = l4_json_expect(j, L4_JSON_ARRAY, "model.merges", error);
    if (status)
        return status;
    size_t start = j->position - 1; /* at the bracket */
    s->n_merges = 0;
    for (;;) {
        status = l4_json_next(j, error);
        if (status || j->event == L4_JSON_ARRAY_END)
            break;
        s->n_merges++;
        status = l4_json_skip(j, error);
        if (status)
            break;
    }
    s->merges = j->data + start;
    s->merges_size = j->position - start;
    return status;
}

/* Fields that would change the result, and that no Llama 4 file uses: absent, null, false or "". */
static llama4_status refuse_unless_empty(l4_json *j, const char *what, llama4_error *error)
{
    llama4_status status = l4_json_next(j, error);
    if (status || j->event == L4_JSON_NULL || j->event == L4_JSON_FALSE || (j->event == L4_JSON_STRING && j->length == 0))
        return status;
    return l4_fail(error, LLAMA4_ERR_UNSUPPORTED, "%s: model.%s is set, which is not supported", j->name, what);
}

static llama4_status read_model(source *s, llama4_error *error)
{
    l4_json *j = &s->json;
    llama4_status status = l4_json_expect(j, L4_JSON_OBJECT, "model", error);
    while (status == LLAMA4_OK) {
        status = l4_json_next(j, error);
        if (status || j->event == L4_JSON_OBJECT_END)
            break;
        if (l4_json_is(j, "vocab")) {
            status = read_vocab(s, error);
        } else if (l4_json_is(j, "merges")) {
            status = count_merges(s, error);
        } else if (l4_json_is(j, "type")) {
            status = l4_json_expect(j, L4_JSON_STRING, "model.type", error);
            if (status == LLAMA4_OK && !l4_json_is(j, "BPE"))
                status = l4_fail(error, LLAMA4_ERR_UNSUPPORTED, "%s: model.type is not \"BPE\"", j->name);
        } else if (l4_json_is(j, "ignore_merges")) {
            status = l4_json_next(j, error);
            s->ignore_merges = j->event == L4_JSON_TRUE;
        } else if (l4_json_is(j, "continuing_subword_prefix")) {
            status = refuse_unless_empty(j, "continuing_subword_prefix", error);
        } else if (l4_json_is(j, "end_of_word_suffix")) {
            status = refuse_unless_empty(j, "end_of_word_suffix", error);
        } else if (l4_json_is(j, "byte_fallback")) {
            status = refuse_unless_empty(j, "byte_fallback", error);
        } else {
            status = l4_json_skip(j, error);
        }
    }
    return status;
}

/* Looks for the pattern, however deep it stands. */
static llama4_status read_pre_tokenizer(source *s, llama4_error *error)
{
    l4_json *j = &s->json;
    uint32_t outside = j->depth;
    int found = 0, others = 0;
    do {
        llama4_status status = l4_json_next(j, error);
        if (status)
            return status;
        if (j->event != L4_JSON_KEY || !l4_json_is(j, "Regex"))
            continue;
        status = l4_json_next(j, error);
        if (status)
            return status;
        if (j->event == L4_JSON_STRING && l4_json_is(j, pattern))
            found++;
        else
            others++;
    } while (j->depth > outside);
    s->pattern_known = found == 1 && others == 0;
    return LLAMA4_OK;
}

static llama4_status read_file(source *s, llama4_error *error)
{
    l4_json *j = &s->json;
    llama4_status status = l4_json_expect(j, L4_JSON_OBJECT, "the file", error);
    while (status == LLAMA4_OK) {
        status = l4_json_next(j, error);
        if (status || j->event == L4_JSON_OBJECT_END)
            break;
        if (l4_json_is(j, "added_tokens")) {
            status = read_added_tokens(s, error);
        } else if (l4_json_is(j, "model")) {
            status = read_model(s, error);
        } else if (l4_json_is(j, "pre_tokenizer")) {
            status = read_pre_tokenizer(s, error);
        } else if (l4_json_is(j, "normalizer")) {
            status = l4_json_skip(j, error);
            if (status == LLAMA4_OK && j->event != L4_JSON_NULL)
                l4_say(&s->builder.log, LLAMA4_LOG_WARNING, "%s has a normalizer, which Llama 4 has not; it is ignored", j->name);
        } else {
            status = l4_json_skip(j, error);
        }
    }
    if (status == LLAMA4_OK)
        status = l4_json_expect(j, L4_JSON_END, "what follows", error);
    return status;
}

/* One merge, its first event already read: "left right" or ["left", "right"]. */
static llama4_status read_merge(llama4_vocab *v, l4_json *j, llama4_error *error)
{
    char left[2 * L4_LONGEST_TOKEN];
    if (j->event == L4_JSON_STRING)
        return l4_merges_add_line(v, j->name, j->text, j->length, error);
    if (j->event != L4_JSON_ARRAY)
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: merge %zu is neither a string nor a pair of strings", j->name,
                       l4_vocab_n_merges(v));
    llama4_status status = l4_json_expect(j, L4_JSON_STRING, "the left half of a merge", error);
    if (status)
        return status;
    size_t n = j->length;
    if (n > sizeof left)
        return l4_fail(error, LLAMA4_ERR_FORMAT, "%s: merge %zu has a half of %zu bytes", j->name, l4_vocab_n_merges(v), n);
    memcpy(left, j->text, n);
    status = l4_json_expect(j, L4_JSON_STRING, "the right half of a merge", error);
    if (status == LLAMA4_OK)
        status = l4_merges_add(v, j->name, left, n, j->text, j->length, error);
    if (status == LLAMA4_OK)
        status = l4_json_expect(j, L4_JSON_ARRAY_END, "the end of a merge", error);
    return status;
}

static llama4_status read_merges(llama4_vocab *v, const source *s, llama4_error *error)
{
    l4_json j;
    l4_json_init(&j, &v->allocator, s->merges, s->merges_size, s->json.name);
    llama4_status status = l4_merges_init(v, s->n_merges, error);
    if (status == LLAMA4_OK)
        status = l4_json_expect(&j, L4_JSON_ARRAY, "model.merges", error);
    for (uint64_t i = 0; i < s->n_merges && status == LLAMA4_OK; i++) {
        status = l4_json_next(&j, error);
        if (status == LLAMA4_OK)
            status = read_merge(v, &j, error);
    }
    l4_json_clear(&j);
    return status;
}

static void warn(const source *s)
{
    if (!s->pattern_known)
        l4_say(
            &s->builder.log, LLAMA4_LOG_WARNING,
            "%s: the pre_tokenizer is not Llama 4's; text will be split as Llama 4 does, which may not be what the model learned",
            s->json.name);
    if (!s->ignore_merges)
        l4_say(&s->builder.log, LLAMA4_LOG_WARNING,
               "%s: ignore_merges is not set, but will be taken as set, as in Llama 4's files", s->json.name);
}

llama4_status l4_vocab_from_json(const l4_allocator *a, const l4_log *log, const void *data, size_t size, const char *name,
                                 llama4_vocab **out, llama4_error *error)
{
    source s;
    llama4_vocab *v = NULL;
    memset(&s, 0, sizeof s);
    l4_json_init(&s.json, a, data, size, name);
    l4_builder_init(&s.builder, a, log, name, size);
    llama4_status status = read_file(&s, error);
    if (status == LLAMA4_OK)
        status = l4_builder_finish(&s.builder, &v, error);
    if (status == LLAMA4_OK && l4_merges_rule(v, s.n_merges))
        status = read_merges(v, &s, error);
    if (status == LLAMA4_OK)
        warn(&s);
    l4_builder_clear(&s.builder);
    l4_json_clear(&s.json);
    if (status) {
        l4_vocab_release(v);
        return status;
    }
    *out = v;
    return LLAMA4_OK;
}
