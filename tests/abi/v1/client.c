/*
 * A program as it was written and compiled against the first header, which lies beside it. Neither changes any more: what
 * this program does must work with every later libllama4.so of the same major version.
 *     client MODEL.gguf WORK-FOLDER
 * Prints "ok" or "FAILED" per step and closes with "N passed, N failed".
 */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "llama4.h"

static int passed, failed;
static llama4_error error = LLAMA4_ERROR_INIT;

#define STEP(condition) step((condition) != 0, #condition, __LINE__)
#define DONE(call) STEP((call) == LLAMA4_OK)

static int step(int good, const char *what, int line)
{
    if (good) {
        printf("ok line %d\n", line);
        passed++;
    } else {
        printf("FAILED line %d: %s (%d: %s)\n", line, what, (int)error.status, error.message);
        failed++;
    }
    return good;
}

/* ---- hooks ---- */

typedef struct counts {
    long allocated, logged, progress, fragments;
    double last;
    char text[4096];
    size_t length;
} counts;

static void *allocate(void *user, size_t size, size_t alignment)
{
    void *memory = NULL;
    ((counts *)user)->allocated++;
    return posix_memalign(&memory, alignment < sizeof(void *) ? sizeof(void *) : alignment, size) ? NULL : memory;
}

static void release(void *user, void *memory)
{
    ((counts *)user)->allocated--;
    free(memory);
}

static void on_log(void *user, int32_t level, const char *message)
{
    (void)level;
    ((counts *)user)->logged += message[0] != 0;
}

static int32_t on_progress(void *user, float fraction)
{
    ((counts *)user)->progress++;
    ((counts *)user)->last = fraction;
    return 0;
}

static int32_t on_text(void *user, int32_t token, const char *text, size_t length)
{
    counts *c = user;
    (void)token;
    c->fragments++;
    if (length < sizeof c->text - c->length) {
        memcpy(c->text + c->length, text, length);
        c->length += length;
        c->text[c->length] = 0;
    }
    return 0;
}

/* ---- steps ---- */

static void names(void)
{
    uint32_t version = llama4_version();
    STEP((int)(version / 1000000) == LLAMA4_VERSION_MAJOR);
    STEP(version >= LLAMA4_VERSION_MAJOR * 1000000u + LLAMA4_VERSION_MINOR * 1000u + LLAMA4_VERSION_PATCH);
    STEP(!strcmp(llama4_status_name(LLAMA4_ERR_MEMORY), "out of memory"));
    STEP(!strcmp(llama4_status_name(-9999), "unknown status"));
}

static void vocabulary(const char *path)
{
    static const char text[] = "Gr\xc3\xbc\xc3\x9f Gott, world 123!";
    const size_t length = sizeof text - 1;
    llama4_vocab *vocab = NULL, *same;
    llama4_detokenizer *detokenizer = NULL;
    int32_t tokens[64];
    char bytes[64], joined[256] = "";
    const char *piece = NULL;
    size_t count = 0, i, n = 0, at = 0, needed = 0;
    if (!DONE(llama4_vocab_open(path, NULL, &vocab, &error)))
        return;
    same = llama4_vocab_ref(vocab);
    STEP(same == vocab);
    llama4_vocab_release(same);
    STEP(llama4_vocab_get_size(vocab) > 256);
    STEP(llama4_vocab_find(vocab, "<|eot|>", 7) >= 0);
    STEP(llama4_vocab_token_flags(vocab, llama4_vocab_find(vocab, "<|eot|>", 7)) == (LLAMA4_TOKEN_SPECIAL | LLAMA4_TOKEN_STOP));
    STEP(llama4_vocab_token_flags(vocab, -1) == 0);
    DONE(llama4_vocab_tokenize(vocab, text, length, LLAMA4_TOKENIZE_PLAIN, NULL, 0, &needed, &error));
    STEP(llama4_vocab_tokenize(vocab, text, length, LLAMA4_TOKENIZE_PLAIN, tokens, 1, &needed, &error) == LLAMA4_ERR_CAPACITY);
    DONE(llama4_vocab_tokenize(vocab, text, length, LLAMA4_TOKENIZE_PLAIN, tokens, 64, &n, &error));
    STEP(n == needed && n > 1 && n <= length + 1);
    DONE(llama4_vocab_detokenize(vocab, tokens, n, 0, joined, sizeof joined, &count, &error));
    STEP(count == length && !memcmp(joined, text, length));
    for (i = 0; i < n; i++) {
        if (llama4_vocab_token_bytes(vocab, tokens[i], bytes, sizeof bytes, &count, &error) != LLAMA4_OK ||
            at + count > length || memcmp(bytes, text + at, count))
            break;
        at += count;
    }
    STEP(i == n && at == length);
    if (DONE(llama4_detokenizer_create(vocab, 0, &detokenizer, &error))) {
        llama4_vocab_release(vocab); /* the detokenizer holds it */
        for (i = at = 0; i < n && llama4_detokenizer_push(detokenizer, tokens[i], &piece, &count, &error) == LLAMA4_OK; i++) {
            memcpy(joined + at, piece, count);
            at += count;
        }
        STEP(i == n);
        DONE(llama4_detokenizer_finish(detokenizer, &piece, &count, &error));
        STEP(count == 0 && at == length && !memcmp(joined, text, length));
        llama4_detokenizer_release(detokenizer);
    }
}

static void failures(void)
{
    llama4_model *model = NULL;
    STEP(llama4_model_open("there/is/no/such.gguf", NULL, &model, &error) == LLAMA4_ERR_IO);
    STEP(error.status == LLAMA4_ERR_IO && strstr(error.message, "such.gguf") && !model);
    STEP(llama4_model_open("there/is/no/such.gguf", NULL, &model, NULL) == LLAMA4_ERR_IO);
}

static llama4_model *model_with_hooks(const char *path, counts *c)
{
    llama4_model *model = NULL;
    llama4_model_params params;
    DONE(llama4_model_params_init(&params, sizeof params));
    STEP(params.struct_size == sizeof params && params.cpu_level == LLAMA4_CPU_AUTO && !params.allocate);
    params.allocate = allocate;
    params.release = release;
    params.allocator_user = params.log_user = params.progress_user = c;
    params.log = on_log;
    params.progress = on_progress;
    params.vocabulary_path = path;
    params.cpu_level = LLAMA4_CPU_GENERIC;
    DONE(llama4_model_open(path, &params, &model, &error));
    STEP(c->allocated > 0 && c->progress > 0 && c->last > 0.99);
    return model;
}

static void shapes(const char *path, llama4_model *model)
{
    llama4_model_info info = {sizeof info};
    llama4_tensor_info tensor = {sizeof tensor};
    llama4_model_params params = {sizeof params, LLAMA4_MODEL_HEADER_ONLY};
    llama4_model *bare = NULL;
    DONE(llama4_model_get_info(model, &info, &error));
    STEP(info.struct_size == sizeof info && info.layers > 0 && info.embedding_length > 0 && info.heads >= info.kv_heads);
    STEP(info.vocab_size == llama4_vocab_get_size(llama4_model_get_vocab(model)) && info.has_vocabulary == 1);
    STEP(info.rope_base > 1 && info.norm_epsilon > 0 && info.norm_epsilon < 0.1f && info.tensor_bytes > 1000);
    STEP(!strcmp(info.format, "GGUF v3") && !strcmp(info.type, "Q8_0"));
    DONE(llama4_model_get_tensor(model, info.tensors - 1, &tensor, &error));
    STEP(tensor.n_dims >= 1 && tensor.n_dims <= 4 && tensor.dims[0] > 0 && tensor.bytes > 0 && tensor.offset > 0);
    STEP(tensor.name[0] && tensor.type_name[0] && tensor.file == 0);
    STEP(llama4_model_get_tensor(model, info.tensors, &tensor, &error) == LLAMA4_ERR_ARGUMENT);
    DONE(llama4_model_open(path, &params, &bare, &error));
    STEP(llama4_model_get_vocab(bare) == NULL);
    llama4_model_release(bare);
}

static void other_ways(const char *path)
{
    FILE *f = fopen(path, "rb");
    llama4_model *model = NULL, *same;
    char *data;
    long size;
    if (!STEP(f != NULL))
        return;
    if (DONE(llama4_model_open_fd((int32_t)fileno(f), NULL, &model, &error))) {
        same = llama4_model_ref(model);
        STEP(same == model);
        llama4_model_release(model);
        STEP(llama4_model_get_vocab(same) != NULL);
        llama4_model_release(same);
    }
    fseek(f, 0, SEEK_END);
    size = ftell(f);
    rewind(f);
    data = malloc((size_t)size);
    if (STEP(data && fread(data, 1, (size_t)size, f) == (size_t)size) &&
        DONE(llama4_model_open_memory(data, (size_t)size, NULL, &model, &error)))
        llama4_model_release(model);
    free(data);
    fclose(f);
}

static llama4_context *new_context(llama4_model *model, counts *c)
{
    llama4_context *context = NULL;
    llama4_context_info info = {sizeof info};
    llama4_context_params params;
    DONE(llama4_context_params_init(&params, sizeof params));
    STEP(params.struct_size == sizeof params);
    params.context_length = 512;
    params.threads = 2;
    params.batch_size = 32;
    params.sequences = 4;
    params.kv_type = LLAMA4_KV_F32;
    params.progress = on_progress;
    params.progress_user = c;
    if (!DONE(llama4_context_create(model, &params, &context, &error)))
        return NULL;
    STEP(llama4_context_get_model(context) == model);
    DONE(llama4_context_get_info(context, &info, &error));
    STEP(info.struct_size == sizeof info && info.threads == 2 && info.context_length == 512 && info.batch_size == 32);
    STEP(info.sequences == 4 && info.kv_type == LLAMA4_KV_F32 && info.cpu_level == LLAMA4_CPU_GENERIC);
    return context;
}

/* The loop by hand: tokenize, decode, logits, sample. Its tokens must be those of llama4_context_generate. */
static void by_hand(llama4_context *context, llama4_sampler *greedy)
{
    llama4_model *model = llama4_context_get_model(context);
    llama4_vocab *vocab = llama4_model_get_vocab(model);
    llama4_message messages[2] = {{sizeof *messages}, {sizeof *messages}};
    llama4_generate_params params = {sizeof params};
    llama4_generate_result result = {sizeof result};
    int32_t prompt[256], token = -1, by_loop[8];
    llama4_batch_item items[256];
    const float *logits = NULL;
    size_t n = 0, i, count = 0, steps;
    messages[0].role = "system";
    messages[0].content = "Be brief.";
    messages[1].role = "user";
    messages[1].content = "What is 2 + 3? never read";
    messages[1].content_length = strlen("What is 2 + 3?");
    if (!DONE(llama4_chat_tokenize(vocab, messages, 2, sizeof *messages, 0, prompt, 256, &n, &error)))
        return;
    memset(items, 0, sizeof items);
    for (i = 0; i < n; i++) {
        items[i].token = prompt[i];
        items[i].sequence = 1;
        items[i].position = -1;
        items[i].logits = i == n - 1;
    }
    DONE(llama4_context_decode(context, items, n, sizeof *items, &error));
    DONE(llama4_context_fork(context, 1, 2, &error));
    STEP(llama4_context_sequence_length(context, 2) == (int64_t)n);
    count = n - 1;
    for (steps = 0; steps < 8; steps++) {
        size_t vocab_size = 0;
        if (llama4_context_logits(context, count, &logits, &vocab_size, &error) != LLAMA4_OK ||
            llama4_sampler_sample(greedy, logits, vocab_size, &token, &error) != LLAMA4_OK)
            break;
        by_loop[steps] = token;
        items[0].token = token;
        items[0].position = (int64_t)(n + steps);
        items[0].logits = 1;
        count = 0;
        if (llama4_vocab_token_flags(vocab, token) & LLAMA4_TOKEN_STOP) {
            steps++;
            break;
        }
        if (llama4_context_decode(context, items, 1, sizeof *items, &error) != LLAMA4_OK)
            break;
    }
    STEP(steps > 0);
    DONE(llama4_context_truncate(context, 2, 0, &error));
    STEP(llama4_context_sequence_length(context, 2) == 0);
    params.max_tokens = (int64_t)steps;
    params.sampler = greedy;
    DONE(llama4_context_generate(context, 2, prompt, n, &params, NULL, NULL, &result, &error));
    STEP(result.prompt_tokens == (int64_t)n && result.generated_tokens == (int64_t)steps);
    STEP(result.last_token == by_loop[steps - 1] && result.prompt_seconds >= 0 && result.generate_seconds >= 0);
    STEP(result.stopped == LLAMA4_STOPPED_TOKEN || result.stopped == LLAMA4_STOPPED_LIMIT);
    llama4_context_cancel(context);
    items[0].position = -1;
    STEP(llama4_context_decode(context, items, 1, sizeof *items, &error) == LLAMA4_ERR_CANCELLED);
}

static void chat(llama4_context *context, counts *c)
{
    llama4_sampler *sampler = NULL;
    llama4_tool_call call = {sizeof call};
    llama4_message messages[4] = {{sizeof *messages}, {sizeof *messages}, {sizeof *messages}, {sizeof *messages}};
    llama4_generate_params params = {sizeof params, LLAMA4_GENERATE_IGNORE_STOP};
    llama4_generate_result result = {sizeof result};
    char first[sizeof c->text];
    DONE(llama4_sampler_create(llama4_context_get_model(context), 42, &sampler, &error));
    DONE(llama4_sampler_add_top_k(sampler, 40, &error));
    DONE(llama4_sampler_add_top_p(sampler, 0.95f, &error));
    DONE(llama4_sampler_add_min_p(sampler, 0.001f, &error));
    DONE(llama4_sampler_add_temperature(sampler, 0.9f, &error));
    call.name = "get_weather";
    call.arguments = "{\"city\": \"Paris\"}";
    messages[0].role = messages[3].role = "user";
    messages[0].content = "How is the weather in Paris?";
    messages[1].role = "assistant";
    messages[1].tool_calls = &call;
    messages[1].n_tool_calls = 1;
    messages[1].tool_call_stride = sizeof call;
    messages[2].role = "tool";
    messages[2].content = "{\"sky\": \"clear\"}";
    messages[3].content = "Say it.";
    params.max_tokens = 24;
    params.sampler = sampler;
    DONE(llama4_context_chat(context, 0, messages, 4, sizeof *messages, &params, on_text, c, &result, &error));
    STEP(result.generated_tokens == 24 && result.stopped == LLAMA4_STOPPED_LIMIT && c->fragments >= 24 && c->length > 0);
    memcpy(first, c->text, sizeof first);
    c->length = 0;
    DONE(llama4_sampler_reset(sampler, 42, &error));
    DONE(llama4_context_chat(context, 0, messages, 4, sizeof *messages, &params, on_text, c, &result, &error));
    STEP(!strcmp(first, c->text)); /* the same seed, the same text */
    llama4_sampler_release(sampler);
}

static void convert(const char *path, const char *folder, counts *c)
{
    char out[1024];
    llama4_model *model = NULL;
    llama4_model_info info = {sizeof info};
    llama4_convert_params params;
    snprintf(out, sizeof out, "%s/client.gguf", folder);
    DONE(llama4_convert_params_init(&params, sizeof params));
    STEP(params.struct_size == sizeof params && !params.type);
    params.type = "f16";
    params.allocate = allocate;
    params.release = release;
    params.allocator_user = params.progress_user = params.log_user = c;
    params.progress = on_progress;
    params.log = on_log;
    DONE(llama4_convert(path, out, &params, &error));
    if (DONE(llama4_model_open(out, NULL, &model, &error))) {
        DONE(llama4_model_get_info(model, &info, &error));
        STEP(!strcmp(info.type, "F16"));
        llama4_model_release(model);
    }
    remove(out);
}

int main(int argc, char **argv)
{
    static counts c;
    llama4_model *model;
    llama4_context *context;
    llama4_sampler *greedy = NULL;
    if (argc != 3)
        return 2;
    names();
    failures();
    vocabulary(argv[1]);
    other_ways(argv[1]);
    model = model_with_hooks(argv[1], &c);
    if (model) {
        shapes(argv[1], model);
        context = new_context(model, &c);
        DONE(llama4_sampler_create(model, 0, &greedy, &error));
        DONE(llama4_sampler_add_greedy(greedy, &error));
        llama4_model_release(model); /* the context and the sampler hold it */
        if (context) {
            by_hand(context, greedy);
            chat(context, &c);
        }
        llama4_sampler_release(greedy);
        llama4_context_release(context);
    }
    convert(argv[1], argv[2], &c);
    STEP(c.allocated == 0);
    llama4_model_release(NULL);
    llama4_context_release(NULL);
    llama4_sampler_release(NULL);
    llama4_vocab_release(NULL);
    llama4_detokenizer_release(NULL);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
