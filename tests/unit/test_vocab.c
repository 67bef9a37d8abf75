/* The three files that a vocabulary comes from: tokenizer.json, tiktoken's tokenizer.model, GGUF keys. All are made here, then
 * damaged; hostile ones are copies of exactly their size on the heap, so that AddressSanitizer sees every byte read too far. */
#include <stdlib.h>

#include "check.h"

#include "text/vocab.h"

#define TINY_JSON LLAMA4_TESTS "/data/tiny-tokenizer.json"
#define COUNT(a) (sizeof(a) / sizeof *(a))

static const l4_allocator *const sys = &l4_system_allocator;

/* ---- Making files ---- */

/* A byte in the alphabet of GPT-2, as UTF-8; returns its length. */
static size_t put_byte(char *out, int byte)
{
    int c = byte;
    if (!((byte > 32 && byte < 127) || (byte > 160 && byte < 256 && byte != 173)))
        c = byte < 33 ? 256 + byte : byte == 173 ? 323 : 289 + byte - 127;
    if (c < 128) {
        out[0] = (char)c;
        return 1;
    }
    out[0] = (char)(0xc0 | c >> 6);
    out[1] = (char)(0x80 | (c & 63));
    return 2;
}

#define HEAD "{\"version\":\"1.0\",\"normalizer\":null,\"model\":{\"type\":\"BPE\",\"ignore_merges\":true,\"vocab\":{"

/* A tokenizer.json with all bytes (id = byte) but `left_out` (-1: none), then more of model.vocab, of model and of the file. */
static size_t make_json(char *out, int left_out, const char *vocab, const char *model, const char *file)
{
    size_t n = (size_t)sprintf(out, HEAD);
    for (int byte = 0; byte < 256; byte++) {
        if (byte == left_out)
            continue;
        out[n++] = '"';
        if (byte == '"' || byte == '\\')
            out[n++] = '\\';
        n += put_byte(out + n, byte);
        n += (size_t)sprintf(out + n, "\":%d,", byte);
    }
    n--; /* the last comma */
    return n + (size_t)sprintf(out + n, "%s}%s}%s}", vocab, model, file);
}

static llama4_status read_json(const char *text, size_t n, const l4_log *log, llama4_vocab **v, llama4_error *error)
{
    char *copy = malloc(n + !n);
    memcpy(copy, text, n);
    *v = NULL;
    llama4_status status = l4_vocab_from_json(sys, log, copy, n, "made.json", v, error);
    free(copy); /* nothing of it is needed afterwards */
    return status;
}

static long count_ids(const llama4_vocab *v, const char *text, uint32_t flags, int32_t *ids)
{
    size_t count = 0;
    llama4_error error = LLAMA4_ERROR_INIT;
    return CHECK_STATUS(llama4_vocab_tokenize(v, text, strlen(text), flags, ids, 64, &count, &error), LLAMA4_OK, error)
               ? (long)count
               : -1;
}

static int warnings;

static void count_warning(void *user, int32_t level, const char *line)
{
    (void)user;
    warnings += level == LLAMA4_LOG_WARNING && strlen(line) > 0;
}

static const l4_log counting_log = {count_warning, NULL};

/* ---- tokenizer.json ---- */

TEST(json_forms)
{
    char text[8192];
    int32_t ids[64];
    llama4_vocab *v;
    llama4_error error = LLAMA4_ERROR_INIT;
    const char *vocab = ",\"ab\":256,\"bc\":257,\"abc\":300";
    const char *added =
        ",\"added_tokens\":[{\"id\":310,\"content\":\"<|a|>\",\"special\":true},{\"id\":311,\"content\":\"<|a|>b\",\"special\":"
        "true},"
        "{\"id\":312,\"content\":\"fixed text\",\"special\":false},{\"id\":256,\"content\":\"ab\",\"special\":true}]";
    static const char *const merges[] = {"", ",\"merges\":[]", ",\"merges\":[\"b c\",\"a bc\"]",
                                         ",\"merges\":[[\"b\",\"c\"],[\"a\",\"bc\"]]"};
    for (size_t k = 0; k < COUNT(merges); k++) {
        size_t n = make_json(text, -1, vocab, merges[k], "");
        REQUIRE_STATUS(read_json(text, n, NULL, &v, &error), LLAMA4_OK, error);
        CHECK_EQ(l4_vocab_n_merges(v), k < 2 ? 0 : 2);
        CHECK_EQ(llama4_vocab_get_size(v), 301);
        CHECK_EQ(llama4_vocab_token_flags(v, 270), LLAMA4_TOKEN_UNUSED);
        CHECK_EQ(count_ids(v, "xabc", 0, ids), 2);
        CHECK(ids[0] == 'x' && ids[1] == 300);
        CHECK_EQ(count_ids(v, "xab", 0, ids), k < 2 ? 2 : 3); /* "a b" is not among the merges */
        CHECK_EQ(count_ids(v, "ab", 0, ids), 1);              /* a whole piece needs none */
        llama4_vocab_release(v);
    }
    REQUIRE_STATUS(read_json(text, make_json(text, -1, vocab, "", added), NULL, &v, &error), LLAMA4_OK, error);
    CHECK_EQ(llama4_vocab_token_flags(v, 256), LLAMA4_TOKEN_SPECIAL);
    CHECK_EQ(count_ids(v, "<|a|>bfixed text<|a|>ab", LLAMA4_TOKENIZE_SPECIAL, ids), 4); /* the longest name first */
    CHECK(ids[0] == 311 && ids[1] == 312 && ids[2] == 310 && ids[3] == 256);
    CHECK(l4_vocab_user_defined(v, 312) && !l4_vocab_user_defined(v, 310) && !l4_vocab_user_defined(v, 257));
    CHECK_EQ(count_ids(v, "ab", 0, ids), 2);
    CHECK_EQ(llama4_vocab_find(v, "fixed text", 10), 312);
    CHECK_STATUS(llama4_chat_tokenize(v, NULL, 0, 0, 0, ids, 64, &(size_t){0}, &error), LLAMA4_ERR_UNSUPPORTED, error);
    CHECK(strstr(error.message, "<|begin_of_text|>"));
    CHECK_STATUS(llama4_vocab_tokenize(v, "x", 1, LLAMA4_TOKENIZE_BOS, ids, 8, &(size_t){0}, &error), LLAMA4_ERR_UNSUPPORTED,
                 error);
    REQUIRE_STATUS(l4_vocab_pad(v, 400, &error), LLAMA4_OK, error);
    CHECK(llama4_vocab_get_size(v) == 400 && llama4_vocab_token_flags(v, 399) == LLAMA4_TOKEN_UNUSED &&
          llama4_vocab_find(v, "bc", 2) == 257);
    llama4_vocab_release(v);
}

TEST(json_warnings)
{
    char text[8192];
    llama4_vocab *v;
    llama4_error error = LLAMA4_ERROR_INIT;
    static const struct {
        const char *file;
        int warnings;
    } cases[] = {{"", 1},
                 {",\"pre_tokenizer\":null", 1},
                 {",\"pre_tokenizer\":{\"pattern\":{\"Regex\":\"\\\\w+\"}}", 1},
                 {",\"pre_tokenizer\":null,\"normalizer\":{\"type\":\"NFC\"}", 2}};
    for (size_t k = 0; k < COUNT(cases); k++) {
        warnings = 0;
        REQUIRE_STATUS(read_json(text, make_json(text, -1, "", "", cases[k].file), &counting_log, &v, &error), LLAMA4_OK, error);
        CHECK_EQ(warnings, cases[k].warnings);
        llama4_vocab_release(v);
    }
    const llama4_model_params params = {.struct_size = sizeof params, .log = count_warning};
    warnings = 0;
    REQUIRE_STATUS(llama4_vocab_open(TINY_JSON, &params, &v, &error), LLAMA4_OK, error);
    CHECK_EQ(warnings, 0);
    llama4_vocab_release(v);
}

TEST(json_refuses)
{
    static const struct {
        int left_out;
        const char *vocab, *model, *file;
        llama4_status status;
        const char *hint;
    } cases[] = {
        {65, "", "", "", LLAMA4_ERR_FORMAT, "0x41"},
        {-1, ",\"x\":999999999", "", "", LLAMA4_ERR_FORMAT, "id"},
        {-1, ",\"xx\":-1", "", "", LLAMA4_ERR_FORMAT, "id"},
        {-1, ",\"xx\":1.5", "", "", LLAMA4_ERR_FORMAT, "id"},
        {-1, ",\"xx\":\"1\"", "", "", LLAMA4_ERR_FORMAT, "id"},
        {-1, ",\"xx\":255", "", "", LLAMA4_ERR_FORMAT, "255 is given twice"},
        {-1, ",\"a\":256", "", "", LLAMA4_ERR_FORMAT, "same bytes"},
        {-1, ",\"a b\":256", "", "", LLAMA4_ERR_FORMAT, "alphabet"},
        {-1, ",\"\":256", "", "", LLAMA4_ERR_FORMAT, "256 is empty"},
        {-1, ",\"ab\":256", ",\"merges\":[\"a b\",\"a qq\"]", "", LLAMA4_ERR_FORMAT, "\"qq\""},
        {-1, ",\"ab\":256", ",\"merges\":[\"b a\"]", "", LLAMA4_ERR_FORMAT, "merge 0"},
        {-1, ",\"ab\":256", ",\"merges\":[\"ab\"]", "", LLAMA4_ERR_FORMAT, "merge 0"},
        {-1, ",\"ab\":256", ",\"merges\":[7]", "", LLAMA4_ERR_FORMAT, "merge 0"},
        {-1, ",\"ab\":256", ",\"merges\":[[\"a\",\"b\",\"c\"]]", "", LLAMA4_ERR_FORMAT, "merge"},
        {-1, ",\"ab\":256", ",\"merges\":{}", "", LLAMA4_ERR_FORMAT, "merges"},
        {-1, "", ",\"type\":\"Unigram\"", "", LLAMA4_ERR_UNSUPPORTED, "BPE"},
        {-1, "", ",\"end_of_word_suffix\":\"</w>\"", "", LLAMA4_ERR_UNSUPPORTED, "end_of_word_suffix"},
        {-1, "", ",\"byte_fallback\":true", "", LLAMA4_ERR_UNSUPPORTED, "byte_fallback"},
        {-1, "", "", ",\"added_tokens\":{}", LLAMA4_ERR_FORMAT, "added_tokens"},
        {-1, "", "", ",\"added_tokens\":[1]", LLAMA4_ERR_FORMAT, "added_tokens"},
        {-1, "", "", ",\"added_tokens\":[{\"content\":\"x\"}]", LLAMA4_ERR_FORMAT, "no id"},
        {-1, "", "", ",\"added_tokens\":[{\"id\":300}]", LLAMA4_ERR_FORMAT, "empty"},
        {-1, "", "", ",\"added_tokens\":[{\"id\":3,\"content\":\"x\"}]", LLAMA4_ERR_FORMAT, "3 is given twice"},
        {-1, "", "", ",\"added_tokens\":[{\"id\":300,\"content\":\"x\"},{\"id\":301,\"content\":\"x\"}]", LLAMA4_ERR_FORMAT,
         "same name"},
        {-1, "", "", ",\"x\":", LLAMA4_ERR_FORMAT, "value"},
        {-1, "", "", "} x", LLAMA4_ERR_FORMAT, "end of the file"},
    };
    char text[8192];
    llama4_vocab *v;
    for (size_t k = 0; k < COUNT(cases); k++) {
        llama4_error error = LLAMA4_ERROR_INIT;
        size_t n = make_json(text, cases[k].left_out, cases[k].vocab, cases[k].model, cases[k].file);
        int ok = CHECK_STATUS(read_json(text, n, NULL, &v, &error), cases[k].status, error) &&
                 CHECK(strstr(error.message, cases[k].hint));
        if (!ok)
            printf("  case %d: %s\n", (int)k, error.message);
        CHECK(v == NULL);
        llama4_vocab_release(v);
    }
    llama4_error error = LLAMA4_ERROR_INIT;
    size_t n = make_json(text, -1, ",\"ab\":256", ",\"merges\":[\"a b\"]", ",\"added_tokens\":[{\"id\":300,\"content\":\"x\"}]");
    for (size_t cut = 0; cut < n; cut++)
        CHECK_STATUS(read_json(text, cut, NULL, &v, &error), LLAMA4_ERR_FORMAT, error);
}

/* ---- tiktoken ---- */

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* All bytes in order, then `more`. */
static size_t make_tiktoken(char *out, int bytes, const char *more)
{
    size_t n = 0;
    for (int k = 0; k < bytes; k++)
        n += (size_t)sprintf(out + n, "%c%c== %d\n", digits[k >> 2], digits[(k & 3) << 4], k);
    return n + (size_t)sprintf(out + n, "%s", more);
}

static llama4_status read_tiktoken(const char *text, size_t n, llama4_vocab **v, llama4_error *error)
{
    char *copy = malloc(n + !n);
    memcpy(copy, text, n);
    *v = NULL;
    llama4_status status = l4_vocab_from_tiktoken(sys, NULL, copy, n, "made.model", v, error);
    free(copy);
    return status;
}

TEST(tiktoken)
{
    static const struct {
        int offset;
        const char *name;
    } names[] = {{0, "<|begin_of_text|>"},
                 {1, "<|end_of_text|>"},
                 {4, "<|fim_suffix|>"},
                 {5, "<|header_start|>"},
                 {6, "<|header_end|>"},
                 {7, "<|eom|>"},
                 {8, "<|eot|>"},
                 {9, "<|step|>"},
                 {15, "<|text_post_train_reserved_special_token_5|>"},
                 {16, "<|python_start|>"},
                 {18, "<|finetune_right_pad|>"},
                 {19, "<|text_post_train_reserved_special_token_8|>"},
                 {79, "<|text_post_train_reserved_special_token_68|>"},
                 {80, "<|image_start|>"},
                 {83, "<|vision_reserved_special_token_1|>"},
                 {85, "<|tile_y_separator|>"},
                 {89, "<|vision_reserved_special_token_5|>"},
                 {90, "<|image|>"},
                 {91, "<|vision_reserved_special_token_6|>"},
                 {92, "<|patch|>"},
                 {93, "<|vision_reserved_special_token_7|>"},
                 {1133, "<|vision_reserved_special_token_1047|>"},
                 {1134, "<|reasoning_reserved_special_token_0|>"},
                 {1142, "<|reasoning_thinking_start|>"},
                 {1143, "<|reasoning_thinking_end|>"},
                 {1144, "<|reserved_special_token_0|>"},
                 {2047, "<|reserved_special_token_903|>"}};
    char text[8192];
    int32_t ids[64];
    llama4_vocab *v;
    llama4_error error = LLAMA4_ERROR_INIT;
    REQUIRE_STATUS(read_tiktoken(text, make_tiktoken(text, 256, "aGVsbG8= 256\r\n\naGU= 257"), &v, &error), LLAMA4_OK, error);
    CHECK_EQ(llama4_vocab_get_size(v), 258 + 2048);
    for (size_t k = 0; k < COUNT(names); k++)
        CHECK_EQ(llama4_vocab_find(v, names[k].name, strlen(names[k].name)), 258 + names[k].offset);
    for (int32_t id = 0; id < 258 + 2048; id++) {
        int stop = id == 259 || id == 265 || id == 266;
        CHECK_EQ(llama4_vocab_token_flags(v, id), id < 258 ? 0
                                                  : stop   ? LLAMA4_TOKEN_SPECIAL | LLAMA4_TOKEN_STOP
                                                           : LLAMA4_TOKEN_SPECIAL);
    }
    CHECK_EQ(count_ids(v, "hello hex", LLAMA4_TOKENIZE_BOS, ids), 5);
    CHECK(ids[0] == 258 && ids[1] == 256 && ids[2] == ' ' && ids[3] == 257 && ids[4] == 'x');
    llama4_vocab_release(v);
}

TEST(tiktoken_refuses)
{
    static const struct {
        int bytes;
        const char *more, *hint;
    } cases[] = {{256, "aGU=257\n", "line 257"},
                 {256, "aGU 256\n", "base64"},
                 {256, "a=U= 256\n", "base64"},
                 {256, "aGV= 256\n", "base64"},
                 {256, " 256\n", "base64"},
                 {256, "==== 256\n", "base64"},
                 {256, "aGU= x\n", "rank"},
                 {256, "aGU= \n", "rank"},
                 {256, "aGU= 256 \n", "rank"},
                 {256, "aGU= -1\n", "rank"},
                 {256, "aGU= 99999999999\n", "rank"},
                 {256, "aGU= 257\n", "257 is out of range"},
                 {256, "aGU= 255\n", "255 is given twice"},
                 {256, "YQ== 256\n", "same bytes"},
                 {255, "aGU= 255\n", "0xff"},
                 {0, "", "vocabulary"},
                 {0, "{}", "line 1"}};
    char text[8192];
    llama4_vocab *v;
    for (size_t k = 0; k < COUNT(cases); k++) {
        llama4_error error = LLAMA4_ERROR_INIT;
        size_t n = make_tiktoken(text, cases[k].bytes, cases[k].more);
        int ok = CHECK_STATUS(read_tiktoken(text, n, &v, &error), LLAMA4_ERR_FORMAT, error) &&
                 CHECK(strstr(error.message, cases[k].hint));
        if (!ok)
            printf("  case %d: %s\n", (int)k, error.message);
        llama4_vocab_release(v);
    }
}

/* ---- GGUF ---- */

typedef struct file {
    char data[16384];
    size_t n;
    uint64_t keys;
} file;

static void put(file *f, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        f->data[f->n++] = (char)(value >> 8 * i);
}

static void put_string(file *f, const char *text)
{
    put(f, strlen(text), 8);
    memcpy(f->data + f->n, text, strlen(text));
    f->n += strlen(text);
}

static void key(file *f, const char *name, uint32_t type)
{
    put_string(f, name);
    put(f, type, 4);
    f->keys++;
}

static void array(file *f, const char *name, uint32_t type, uint64_t count)
{
    key(f, name, L4_GGUF_ARRAY);
    put(f, type, 4);
    put(f, count, 8);
}

/* What a file says; tokens are the bytes, "ab", "<|eot|>", "[PAD258]", "fixed". */
typedef struct plan {
    const char *model, *pre, *merge; /* NULL: no such key */
    int n_types;                     /* 0: no such key */
    int32_t ab_type, eos;            /* eos -1: no such key */
} plan;

static llama4_status read_gguf(const plan *p, const l4_log *log, llama4_vocab **v, llama4_error *error)
{
    static file f;
    const char *more[] = {"ab", "<|eot|>", "[PAD258]", "fixed"};
    const int32_t types[] = {p->ab_type, 3, 5, 4};
    l4_gguf *g = NULL;
    *v = NULL;
    f.n = 24;
    f.keys = 0;
    key(&f, "general.architecture", L4_GGUF_STRING);
    put_string(&f, "llama4");
    if (p->model) {
        key(&f, "tokenizer.ggml.model", L4_GGUF_STRING);
        put_string(&f, p->model);
        array(&f, "tokenizer.ggml.tokens", L4_GGUF_STRING, 260);
        for (int k = 0; k < 260; k++) {
            char byte[3] = {0};
            if (k < 256)
                put_byte(byte, k);
            put_string(&f, k < 256 ? byte : more[k - 256]);
        }
        key(&f, "tokenizer.chat_template", L4_GGUF_STRING);
        put_string(&f, "{{ x }}");
    }
    if (p->pre) {
        key(&f, "tokenizer.ggml.pre", L4_GGUF_STRING);
        put_string(&f, p->pre);
    }
    if (p->n_types) {
        array(&f, "tokenizer.ggml.token_type", L4_GGUF_I32, (uint64_t)p->n_types);
        for (int k = 0; k < p->n_types; k++)
            put(&f, (uint32_t)(k < 256 || k > 259 ? 1 : types[k - 256]), 4);
    }
    if (p->merge) {
        array(&f, "tokenizer.ggml.merges", L4_GGUF_STRING, 1);
        put_string(&f, p->merge);
    }
    if (p->eos >= 0) {
        key(&f, "tokenizer.ggml.eos_token_id", L4_GGUF_U32);
        put(&f, (uint32_t)p->eos, 4);
    }
    size_t size = f.n;
    f.n = 0;
    put(&f, 0x46554747, 4);
    put(&f, 3, 4);
    put(&f, 0, 8);
    put(&f, f.keys, 8);
    l4_mapping m = {.data = (const uint8_t *)f.data, .size = (size + 31) / 32 * 32};
    llama4_status status = l4_gguf_open_mapping(sys, &m, "made.gguf", &g, error);
    if (status == LLAMA4_OK)
        status = l4_vocab_from_gguf(sys, log, g, v, error);
    if (g)
        l4_gguf_close(g);
    return status;
}

TEST(gguf)
{
    plan p = {"gpt2", "llama4", "a b", 260, 1, 257};
    llama4_vocab *v;
    llama4_error error = LLAMA4_ERROR_INIT;
    int32_t ids[64];
    size_t n;
    warnings = 0;
    REQUIRE_STATUS(read_gguf(&p, &counting_log, &v, &error), LLAMA4_OK, error);
    CHECK_EQ(warnings, 0);
    CHECK_EQ(llama4_vocab_get_size(v), 260);
    CHECK_EQ(llama4_vocab_token_flags(v, 257), LLAMA4_TOKEN_SPECIAL | LLAMA4_TOKEN_STOP);
    CHECK_EQ(llama4_vocab_token_flags(v, 258), LLAMA4_TOKEN_UNUSED);
    CHECK_EQ(llama4_vocab_token_flags(v, 259), LLAMA4_TOKEN_ORDINARY);
    CHECK_EQ(llama4_vocab_find(v, "[PAD258]", 8), -1);
    CHECK_EQ(l4_vocab_eos(v), 257);
    CHECK_EQ(l4_vocab_n_merges(v), 1);
    CHECK_STR(l4_vocab_chat_template(v, &n), "{{ x }}");
    CHECK_EQ(n, 7);
    CHECK_EQ(count_ids(v, "xab\t\u00a0<|eot|>", 0, ids), 12);
    CHECK(ids[1] == 256 && ids[2] == '\t' && ids[3] == 0xc2 && ids[4] == 0xa0);
    CHECK_EQ(count_ids(v, "<|eot|>fixed", LLAMA4_TOKENIZE_SPECIAL, ids), 2);
    llama4_vocab_release(v);
    p = (plan){"gpt2", "qwen2", NULL, 0, 1, -1}; /* without types, names in <| |> are special */
    REQUIRE_STATUS(read_gguf(&p, &counting_log, &v, &error), LLAMA4_OK, error);
    CHECK_EQ(warnings, 1);
    CHECK_EQ(llama4_vocab_token_flags(v, 257), LLAMA4_TOKEN_SPECIAL | LLAMA4_TOKEN_STOP);
    CHECK_EQ(l4_vocab_eos(v), -1);
    CHECK_EQ(l4_vocab_n_merges(v), 0);
    llama4_vocab_release(v);
}

TEST(gguf_refuses)
{
    static const struct {
        plan p;
        llama4_status status;
        const char *hint;
    } cases[] = {
        {{NULL, NULL, NULL, 0, 1, -1}, LLAMA4_ERR_NO_VOCABULARY, "vocabulary"},
        {{"no_vocab", NULL, NULL, 0, 1, -1}, LLAMA4_ERR_NO_VOCABULARY, "vocabulary"},
        {{"llama", NULL, NULL, 260, 1, -1}, LLAMA4_ERR_UNSUPPORTED, "\"llama\""},
        {{"gpt2", NULL, NULL, 259, 1, -1}, LLAMA4_ERR_FORMAT, "token_type"},
        {{"gpt2", NULL, NULL, 260, 9, -1}, LLAMA4_ERR_FORMAT, "token 256"},
        {{"gpt2", NULL, "a", 260, 1, -1}, LLAMA4_ERR_FORMAT, "merge 0"},
        {{"gpt2", NULL, "b a", 260, 1, -1}, LLAMA4_ERR_FORMAT, "merge 0"},
        {{"gpt2", NULL, NULL, 260, 1, 260}, LLAMA4_ERR_FORMAT, "eos_token_id"},
    };
    llama4_vocab *v;
    for (size_t k = 0; k < COUNT(cases); k++) {
        llama4_error error = LLAMA4_ERROR_INIT;
        int ok = CHECK_STATUS(read_gguf(&cases[k].p, NULL, &v, &error), cases[k].status, error) &&
                 CHECK(strstr(error.message, cases[k].hint));
        if (!ok)
            printf("  case %d: %s\n", (int)k, error.message);
        CHECK(v == NULL);
        llama4_vocab_release(v);
    }
}

/* ---- Memory ---- */

typedef struct failing {
    long calls, fail_at, live;
} failing;

static void *failing_allocate(void *user, size_t size, size_t alignment)
{
    failing *f = user;
    if (++f->calls == f->fail_at)
        return NULL;
    f->live++;
    return sys->allocate(NULL, size, alignment);
}

static void failing_release(void *user, void *memory)
{
    ((failing *)user)->live--;
    sys->release(NULL, memory);
}

/* Opens, tokenizes (a long word too), formats a chat and detokenizes; LLAMA4_OK if nothing failed. */
static llama4_status use_everything(failing *f, llama4_error *error)
{
    const llama4_model_params params = {
        .struct_size = sizeof params, .allocate = failing_allocate, .release = failing_release, .allocator_user = f};
    const llama4_tool_call call = {sizeof call, 0, "f", "{\"a\": [\"\\n\", 1]}"};
    const llama4_message m = {
        .struct_size = sizeof m, .role = "assistant", .tool_calls = &call, .n_tool_calls = 1, .tool_call_stride = sizeof call};
    llama4_vocab *v = NULL;
    llama4_detokenizer *d = NULL;
    char word[200];
    const char *text;
    size_t count = 0;
    memset(word, 'q', sizeof word);
    llama4_status status = llama4_vocab_open(TINY_JSON, &params, &v, error);
    if (status == LLAMA4_OK)
        status = llama4_vocab_tokenize(v, word, sizeof word, 0, NULL, 0, &count, error);
    if (status == LLAMA4_OK)
        status = llama4_chat_tokenize(v, &m, 1, sizeof m, 0, NULL, 0, &count, error);
    if (status == LLAMA4_OK)
        status = llama4_detokenizer_create(v, 0, &d, error);
    if (status == LLAMA4_OK)
        status = llama4_detokenizer_push(d, 300, &text, &count, error);
    llama4_vocab_release(v);
    llama4_detokenizer_release(d);
    return status;
}

TEST(failing_allocations)
{
    long n = 1;
    for (;; n++) {
        failing f = {0, n, 0};
        llama4_error error = LLAMA4_ERROR_INIT;
        llama4_status status = use_everything(&f, &error);
        CHECK_EQ(f.live, 0);
        if (status == LLAMA4_OK)
            break;
        if (!CHECK_STATUS(status, LLAMA4_ERR_MEMORY, error) || !CHECK_EQ(error.status, LLAMA4_ERR_MEMORY))
            break;
    }
    CHECK(n > 30);
}

TEST_MAIN(T(json_forms), T(json_warnings), T(json_refuses), T(tiktoken), T(tiktoken_refuses), T(gguf), T(gguf_refuses),
          T(failing_allocations))
