/* The main job, on the public API: opens a model, asks four questions and streams the answers. Run by examples/quickstart. */
#include <llama4/llama4.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#if defined(__unix__) || defined(__APPLE__)
#include <sys/resource.h>
#endif

typedef struct question {
    const char *kind, *system, *page, *user; /* the page, if any, stands before the question in the same message */
} question;

/* Of the kinds that the model that comes along was trained on; the page is made of sentences of Python's documentation. */
static const question questions[] = {
    {"a fact", NULL, NULL, "What is while?"},
    {"a sum", NULL, NULL, "What is 11 + 3?"},
    {"a needle in a page of filler", NULL,
     "In contrast, non-data descriptors can be overridden by instances.. If all expressions are false, the suite of "
     "the \"else\" clause, if present, is executed.. The room number of Ada is 5427. If the pattern succeeds, the "
     "corresponding guard (if present) is evaluated. The \"starred_list\" expression is evaluated once; it should "
     "yield an iterable object. A suite is a group of statements controlled by a clause. If a target was included in "
     "the \"with\" statement, the return value from \"__enter__()\" is assigned to it.. Elsewhere, \"_\" is a regular "
     "identifier. This should return a \"bytes\" object.. The room number of Yara is 4172.\n",
     "What is the room number of Yara?"},
    {"a tool call", "You can call get_weather(city) and get_time(city). Answer a question they serve with one JSON call.", NULL,
     "Is it raining in Tokyo?"},
};

typedef struct totals {
    int64_t prompt_tokens, generated_tokens, first_tokens;
    double prompt_seconds, generate_seconds;
} totals;

static int32_t print_text(void *user, int32_t token, const char *text, size_t length)
{
    (void)user;
    (void)token;
    fwrite(text, 1, length, stdout);
    return fflush(stdout) != 0;
}

static llama4_status ask(llama4_context *context, const question *q, totals *sum, llama4_error *error)
{
    char content[2048];
    llama4_message messages[2];
    size_t n = 0;
    llama4_generate_params greedy = {.struct_size = sizeof greedy, .max_tokens = 100};
    llama4_generate_result result = {.struct_size = sizeof result};
    snprintf(content, sizeof content, "%s%s", q->page ? q->page : "", q->user);
    memset(messages, 0, sizeof messages);
    if (q->system)
        messages[n++] = (llama4_message){.struct_size = sizeof *messages, .role = "system", .content = q->system};
    messages[n++] = (llama4_message){.struct_size = sizeof *messages, .role = "user", .content = content};

    printf("  %s: %s%s\n    ", q->kind, q->page ? "[a page] " : "", q->user);
    llama4_status status =
        llama4_context_chat(context, 0, messages, n, sizeof *messages, &greedy, print_text, NULL, &result, error);
    printf("\n");
    if (status == LLAMA4_OK) {
        sum->prompt_tokens += result.prompt_tokens;
        sum->generated_tokens += result.generated_tokens;
        sum->first_tokens++; /* comes out of the prompt's computation */
        sum->prompt_seconds += result.prompt_seconds;
        sum->generate_seconds += result.generate_seconds;
    }
    return status;
}

static double peak_megabytes(void)
{
#if defined(__APPLE__)
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) ? 0.0 : (double)usage.ru_maxrss / 1e6;
#elif defined(__unix__)
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) ? 0.0 : (double)usage.ru_maxrss * 1024.0 / 1e6;
#else
    return 0.0;
#endif
}

static double now(void)
{
#if defined(_WIN32)
    return (double)clock() / CLOCKS_PER_SEC; /* wall time there; and timespec_get is missing from the older C runtime */
#else
    struct timespec t;
    timespec_get(&t, TIME_UTC);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
#endif
}

static double speed(int64_t tokens, double seconds)
{
    return seconds > 0.0 ? (double)tokens / seconds : 0.0;
}

int main(int argc, char **argv)
{
    const char *path = argc > 1 ? argv[1] : "examples/models/llama4-tiny.gguf";
    llama4_error error = LLAMA4_ERROR_INIT;
    llama4_model *model = NULL;
    llama4_context *context = NULL;
    llama4_model_info info = {.struct_size = sizeof info};
    totals sum = {0};

    double start = now();
    llama4_status status = llama4_model_open(path, NULL, &model, &error);
    if (status == LLAMA4_OK)
        status = llama4_context_create(model, NULL, &context, &error);
    double load_seconds = now() - start;
    if (status == LLAMA4_OK)
        status = llama4_model_get_info(model, &info, &error);
    if (status == LLAMA4_OK)
        printf("%s: %d layers, %d experts, %.1f million parameters, %s\n", path, (int)info.layers, (int)info.experts,
               (double)info.parameters / 1e6, info.type);
    for (size_t i = 0; i < sizeof questions / sizeof *questions && status == LLAMA4_OK; i++)
        status = ask(context, &questions[i], &sum, &error);
    if (status == LLAMA4_OK)
        printf("%lld tokens read at %.0f tokens/s, %lld written at %.0f tokens/s, %.0f MB of memory, loaded in %.0f ms\n",
               (long long)sum.prompt_tokens, speed(sum.prompt_tokens, sum.prompt_seconds), (long long)sum.generated_tokens,
               speed(sum.generated_tokens - sum.first_tokens, sum.generate_seconds), peak_megabytes(), load_seconds * 1e3);
    else
        fprintf(stderr, "quickstart: %s\n", error.message);
    llama4_context_release(context);
    llama4_model_release(model);
    return status != LLAMA4_OK;
}
