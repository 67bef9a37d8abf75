/* See session.h. */
#include "session.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct named {
    const char *name;
    int32_t value;
    double bytes; /* of a number, for types of keys and values */
} named;

static const named cpu_levels[] = {
    {"generic", LLAMA4_CPU_GENERIC, 0},         {"avx2", LLAMA4_CPU_AVX2, 0},
    {"avx2-vnni", LLAMA4_CPU_AVX2_VNNI, 0},     {"avx512", LLAMA4_CPU_AVX512, 0},
    {"avx512-vnni", LLAMA4_CPU_AVX512_VNNI, 0}, {"avx512-vbmi", LLAMA4_CPU_AVX512_VBMI, 0},
    {"neon", LLAMA4_CPU_NEON, 0},               {"neon-dotprod", LLAMA4_CPU_NEON_DOTPROD, 0},
};
static const named kv_types[] = {{"i16", LLAMA4_KV_I16, 2}, {"q8_0", LLAMA4_KV_Q8_0, 1}, {"f16", LLAMA4_KV_F16, 2}, {"f32", LLAMA4_KV_F32, 4}};

static int parse_named(const command *c, const char *what, const named *list, size_t n, const char *name, int32_t *value)
{
    char known[128] = "";
    for (size_t i = 0; name && i < n; i++) {
        if (strcmp(list[i].name, name) == 0) {
            *value = list[i].value;
            return 0;
        }
        snprintf(known + strlen(known), sizeof known - strlen(known), "%s%s", i ? ", " : "", list[i].name);
    }
    return name ? options_mistake(c, "--%s '%.40s' is not one of %s", what, name, known) : 0;
}

int parse_cpu(const command *c, const char *name, int32_t *value)
{
    return parse_named(c, "cpu", cpu_levels, sizeof cpu_levels / sizeof *cpu_levels, name, value);
}

int parse_kv(const command *c, const char *name, int32_t *value)
{
    return parse_named(c, "kv", kv_types, sizeof kv_types / sizeof *kv_types, name, value);
}

double kv_row_bytes(int32_t kv_type, int32_t head_length)
{
    for (size_t i = 0; i < sizeof kv_types / sizeof *kv_types; i++)
        if (kv_types[i].value == kv_type)
            return kv_types[i].bytes * head_length + (kv_type == LLAMA4_KV_I16 ? 4 : kv_type == LLAMA4_KV_Q8_0 ? 4 + (head_length + 31) / 32 : 0);
    return 0;
}

const char *cpu_name(int32_t level)
{
    for (size_t i = 0; i < sizeof cpu_levels / sizeof *cpu_levels; i++)
        if (cpu_levels[i].value == level)
            return cpu_levels[i].name;
    return "unknown";
}

/* Temperature first, as in Meta's code; steps that would change nothing are left out. */
static llama4_status make_sampler(session *s, const settings *set, llama4_error *error)
{
    llama4_status status;
    if (set->temperature == 0.0)
        return LLAMA4_OK;
    status = llama4_sampler_create(s->model, set->seed, &s->sampler, error);
    if (status == LLAMA4_OK)
        status = llama4_sampler_add_temperature(s->sampler, (float)set->temperature, error);
    if (status == LLAMA4_OK && set->top_k > 0)
        status = llama4_sampler_add_top_k(s->sampler, (int32_t)set->top_k, error);
    if (status == LLAMA4_OK && set->top_p < 1.0)
        status = llama4_sampler_add_top_p(s->sampler, (float)set->top_p, error);
    if (status == LLAMA4_OK && set->min_p > 0.0)
        status = llama4_sampler_add_min_p(s->sampler, (float)set->min_p, error);
    return status;
}

static void warn(void *user, int32_t level, const char *message)
{
    (void)user;
    if (level == LLAMA4_LOG_WARNING)
        fprintf(stderr, "llama4: warning: %s\n", message);
}

/* Starts with the experts of last time. Without that the session is only slower. */
static void warm_experts(session *s, const char *path)
{
    llama4_error error = LLAMA4_ERROR_INIT;
    llama4_memory_info memory = {.struct_size = sizeof memory};
    if (!path || llama4_model_get_memory(s->model, &memory, &error) || !memory.streaming)
        return;
    s->experts = path;
    if (llama4_model_load_experts(s->model, path, &error) && error.status != LLAMA4_ERR_IO) /* the first time there is no file */
        warn(NULL, LLAMA4_LOG_WARNING, error.message);
}

int session_open(session *s, const char *path, const settings *set)
{
    llama4_error error = LLAMA4_ERROR_INIT;
    llama4_model_params params;
    llama4_context_params context;
    double started = now();
    memset(s, 0, sizeof *s);
    progress_start(&s->bar, "loading");
    llama4_model_params_init(&params, sizeof params);
    llama4_context_params_init(&context, sizeof context);
    params.log = warn;
    params.progress = progress_step;
    params.progress_user = &s->bar;
    params.vocabulary_path = set->vocabulary;
    params.vision_path = set->vision;
    params.cpu_level = set->cpu_level;
    params.memory_bytes = set->memory;
    params.flags = set->stream ? LLAMA4_MODEL_STREAM : 0;
    llama4_status status = llama4_model_open(path, &params, &s->model, &error);
    progress_end(&s->bar);
    if (status == LLAMA4_OK) {
        s->vocab = llama4_model_get_vocab(s->model);
        context.context_length = set->context_length;
        context.threads = (int32_t)set->threads;
        context.sequences = set->sequences ? set->sequences : 1;
        context.batch_size = set->batch_size;
        context.kv_type = set->kv_type;
        context.progress = progress_step;
        context.progress_user = &s->bar;
        s->bar.label = "reading";
        status = llama4_context_create(s->model, &context, &s->context, &error);
    }
    if (status == LLAMA4_OK)
        status = make_sampler(s, set, &error);
    s->info.struct_size = sizeof s->info;
    if (status == LLAMA4_OK)
        status = llama4_context_get_info(s->context, &s->info, &error);
    if (status)
        return fail(&error);
    s->load_seconds = now() - started;
    warm_experts(s, set->experts);
    interrupt_target(s->context);
    return 0;
}

void session_close(session *s)
{
    llama4_error error = LLAMA4_ERROR_INIT;
    interrupt_target(NULL);
    if (s->experts && s->context && llama4_model_save_experts(s->model, s->experts, &error))
        warn(NULL, LLAMA4_LOG_WARNING, error.message);
    llama4_sampler_release(s->sampler);
    llama4_context_release(s->context);
    llama4_model_release(s->model);
    memset(s, 0, sizeof *s);
}

static int make_room(id_list *list, size_t more)
{
    if (more > SIZE_MAX / (2 * sizeof *list->ids) - list->count)
        return !fail_text("out of memory");
    if (list->count + more > list->capacity) {
        size_t capacity = (list->count + more) * 2;
        int32_t *grown = realloc(list->ids, capacity * sizeof *grown);
        if (!grown)
            return !fail_text("out of memory");
        list->ids = grown;
        list->capacity = capacity;
    }
    return 1;
}

int ids_add(id_list *list, int32_t id)
{
    if (!make_room(list, 1))
        return 0;
    list->ids[list->count++] = id;
    return 1;
}

void ids_free(id_list *list)
{
    free(list->ids);
    memset(list, 0, sizeof *list);
}

int ids_add_text(id_list *list, const llama4_vocab *vocab, const char *text, size_t length, uint32_t flags)
{
    llama4_error error = LLAMA4_ERROR_INIT;
    size_t count;
    if (length == SIZE_MAX || !make_room(list, length + 1)) /* a text never has more ids than that */
        return 1;
    if (llama4_vocab_tokenize(vocab, text, length, flags, list->ids + list->count, list->capacity - list->count, &count, &error))
        return fail(&error);
    list->count += count;
    return 0;
}

int ids_add_messages(id_list *list, const llama4_vocab *vocab, const llama4_message *messages, size_t n, uint32_t flags)
{
    llama4_error error = LLAMA4_ERROR_INIT;
    size_t count;
    if (llama4_chat_tokenize(vocab, messages, n, sizeof *messages, flags, NULL, 0, &count, &error))
        return fail(&error);
    if (!make_room(list, count))
        return 1;
    if (llama4_chat_tokenize(vocab, messages, n, sizeof *messages, flags, list->ids + list->count, count, &count, &error))
        return fail(&error);
    list->count += count;
    return 0;
}

int ids_add_chat(id_list *list, const llama4_vocab *vocab, const char *system, const char *user, size_t user_length,
                 uint32_t flags)
{
    llama4_message messages[2];
    size_t n = 0;
    memset(messages, 0, sizeof messages);
    if (system)
        messages[n++] = (llama4_message){.struct_size = sizeof *messages, .role = "system", .content = system};
    messages[n++] =
        (llama4_message){.struct_size = sizeof *messages, .role = "user", .content = user, .content_length = user_length};
    return ids_add_messages(list, vocab, messages, n, flags);
}

int has_chat_format(const llama4_vocab *vocab)
{
    return vocab && llama4_vocab_find(vocab, "<|header_start|>", strlen("<|header_start|>")) >= 0;
}

const char *stop_name(int32_t stopped)
{
    switch (stopped) {
    case LLAMA4_STOPPED_TOKEN:
        return "stop token";
    case LLAMA4_STOPPED_LIMIT:
        return "limit";
    case LLAMA4_STOPPED_CALLBACK:
        return "interrupted";
    case LLAMA4_STOPPED_CONTEXT:
        return "context full";
    default:
        return "unknown";
    }
}

double prompt_speed(const llama4_generate_result *r)
{
    return r->prompt_seconds > 0.0 ? (double)r->prompt_tokens / r->prompt_seconds : NAN;
}

/* The first token comes out of the prompt. */
double generate_speed(const llama4_generate_result *r)
{
    return r->generate_seconds > 0.0 && r->generated_tokens > 1 ? (double)(r->generated_tokens - 1) / r->generate_seconds : NAN;
}

static void print_speed(double speed)
{
    if (isfinite(speed))
        fprintf(stderr, " (%.1f tokens/s)", speed);
}

void print_stats(const session *s, const llama4_generate_result *r)
{
    llama4_context_info info = {.struct_size = sizeof info};
    fprintf(stderr, "prompt: %lld tokens in %.3f s", (long long)r->prompt_tokens, r->prompt_seconds);
    print_speed(prompt_speed(r));
    fprintf(stderr, "; answer: %lld tokens in %.3f s", (long long)r->generated_tokens, r->generate_seconds);
    print_speed(generate_speed(r));
    fprintf(stderr, ", ended by %s\n", stop_name(r->stopped));
    if (llama4_context_get_info(s->context, &info, NULL) == LLAMA4_OK)
        fprintf(stderr,
                "context: %lld of %lld positions, %.1f MB keys and values, %.1f MB scratch; %d threads; loaded in %.3f s\n",
                (long long)llama4_context_sequence_length(s->context, 0), (long long)info.context_length,
                (double)info.kv_bytes / 1e6, (double)info.scratch_bytes / 1e6, (int)info.threads, s->load_seconds);
    llama4_memory_info m = {.struct_size = sizeof m};
    if (llama4_model_get_memory(s->model, &m, NULL) == LLAMA4_OK && m.streaming)
        fprintf(stderr,
                "memory: %.2f of %.2f GB, weights %.2f GB, %lld of %lld experts; %.1f %% of %lld requests were in memory, %.2f GB read in "
                "%.2f s, waited %.2f s\n",
                (double)m.used_bytes / 1e9, (double)m.limit_bytes / 1e9, (double)m.resident_bytes / 1e9, (long long)m.expert_slots,
                (long long)m.expert_count, m.requests ? 100.0 * (double)m.hits / (double)m.requests : 0.0, (long long)m.requests,
                (double)m.bytes_read / 1e9, m.read_seconds, m.wait_seconds);
}
