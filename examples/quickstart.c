/* The main job, on the public API: opens a model and its picture encoder, asks four questions, shows it two pictures, and streams the answers.
 *     quickstart [MODEL MMPROJ]
 * Run by examples/quickstart. */
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

static llama4_status answer(llama4_context *context, const llama4_message *messages, size_t n, totals *sum, llama4_error *error)
{
    llama4_generate_params greedy = {.struct_size = sizeof greedy, .max_tokens = 100};
    llama4_generate_result result = {.struct_size = sizeof result};
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

static llama4_status ask(llama4_context *context, const question *q, totals *sum, llama4_error *error)
{
    char content[2048];
    llama4_message messages[2];
    size_t n = 0;
    snprintf(content, sizeof content, "%s%s", q->page ? q->page : "", q->user);
    memset(messages, 0, sizeof messages);
    if (q->system)
        messages[n++] = (llama4_message){.struct_size = sizeof *messages, .role = "system", .content = q->system};
    messages[n++] = (llama4_message){.struct_size = sizeof *messages, .role = "user", .content = content};
    printf("  %s: %s%s\n    ", q->kind, q->page ? "[a page] " : "", q->user);
    return answer(context, messages, n, sum, error);
}

/* The picture becomes embeddings first, which could be kept and shown again. */
static llama4_status show(llama4_context *context, const llama4_image *image, const char *kind, const char *truth, totals *sum, llama4_error *error)
{
    llama4_embeddings *embeddings = NULL;
    llama4_status status = llama4_image_encode(context, image, &embeddings, error);
    if (status)
        return status;
    llama4_part parts[2] = {{.struct_size = sizeof *parts, .embeddings = embeddings},
                            {.struct_size = sizeof *parts, .text = "Describe the picture."}};
    llama4_message message = {.struct_size = sizeof message, .role = "user", .parts = parts, .n_parts = 2, .part_stride = sizeof *parts};
    printf("  %s: %s\n    it shows:  %s\n    it sees:   ", kind, parts[1].text, truth);
    status = answer(context, &message, 1, sum, error);
    llama4_embeddings_release(embeddings);
    return status;
}

/* A picture that nobody has seen before: pixels, row after row, red, green and blue. */
static llama4_status draw(llama4_image **image, llama4_error *error)
{
    enum { SIDE = 56, LEFT = 18, TOP = 27, RADIUS = 12 };
    static const uint8_t yellow[3] = {235, 215, 50}, blue[3] = {50, 80, 220};
    uint8_t pixels[SIDE][SIDE][3];
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++)
            memcpy(pixels[y][x], (x - LEFT) * (x - LEFT) + (y - TOP) * (y - TOP) <= RADIUS * RADIUS ? yellow : blue, 3);
    return llama4_image_create(pixels, sizeof pixels, SIDE, SIDE, 0, 3, NULL, image, error);
}

static llama4_status look(llama4_context *context, totals *sum, llama4_error *error)
{
    static const char path[] = "examples/pictures/triangle.png";
    llama4_image *image = NULL;
    llama4_status status = draw(&image, error);
    if (status == LLAMA4_OK)
        status = show(context, image, "a picture drawn just now", "A yellow circle on the left, on a blue background.", sum, error);
    llama4_image_release(image);
    image = NULL;
    if (status == LLAMA4_OK)
        status = llama4_image_open(path, NULL, &image, error);
    if (status == LLAMA4_OK)
        status = show(context, image, path, "A black triangle on the right, on a red background.", sum, error);
    llama4_image_release(image);
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
    const char *vision = argc > 2 ? argv[2] : "examples/models/llama4-tiny-mmproj.gguf";
    llama4_model_params params = {.struct_size = sizeof params, .vision_path = vision};
    llama4_error error = LLAMA4_ERROR_INIT;
    llama4_model *model = NULL;
    llama4_context *context = NULL;
    llama4_model_info info = {.struct_size = sizeof info};
    totals sum = {0};

    double start = now();
    llama4_status status = llama4_model_open(path, &params, &model, &error);
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
        status = look(context, &sum, &error);
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
