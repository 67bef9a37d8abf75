/* describe [OPTION]... MODEL FOLDER: writes a caption for each new picture in a folder, as a line of JSON. */
#define _GNU_SOURCE /* for POSIX's functions, and for nothing else */
#include <errno.h>
#include <llama4/llama4.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "watch.h"

static const char usage[] =
    "Usage: describe [OPTION]... MODEL FOLDER\n"
    "Watches a folder and writes a line of JSON for each new picture (.png, .jpg, .jpeg), until Ctrl-C:\n"
    "    {\"file\": \"cat.png\", \"caption\": \"A cat.\"}\n"
    "or, of a picture that cannot be read, {\"file\": \"cat.png\", \"error\": \"...\"}.\n"
    "  --mmproj FILE       the picture encoder; a Hugging Face directory brings its own\n"
    "  --prompt TEXT       what to ask about each picture (default: Describe the picture.)\n"
    "  --max-tokens N      tokens of a caption at most (default: 256)\n"
    "  --threads N         threads to compute with (default: one per processor)\n"
    "  --existing          pictures that lie there already are new, too\n"
    "  --once              describe what lies there, and end\n"
    "  --poll SECONDS      look that often instead of having the system tell\n";

typedef struct settings {
    const char *model, *folder, *mmproj, *prompt;
    int max_tokens, threads;
    watch_options watch;
} settings;

typedef struct caption {
    char *text;
    size_t length, room;
} caption;

static volatile sig_atomic_t stop;
static llama4_context *volatile running; /* what the signal handler cancels */

static void on_signal(int number)
{
    (void)number;
    stop = 1;
    if (running)
        llama4_context_cancel(running);
}

/* ---- Output ---- */

/* How many bytes the UTF-8 sequence at s has; 0 if it is none. */
static size_t utf8_length(const unsigned char *s, size_t n)
{
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    size_t length = s[0] < 0x80 ? 1 : s[0] >= 0xf0 && s[0] < 0xf5 ? 4 : s[0] >= 0xe0 ? 3 : s[0] >= 0xc2 ? 2 : 0;
    if (length == 0 || s[0] >= 0xf5 || length > n)
        return 0;
    uint32_t code = length == 1 ? s[0] : s[0] & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (s[i] & 0x3f);
    }
    return code < least[length] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000) ? 0 : length;
}

static void print_string(const char *text, size_t n)
{
    const unsigned char *s = (const unsigned char *)text;
    putchar('"');
    for (size_t i = 0, length; i < n; i += length) {
        length = utf8_length(s + i, n - i);
        if (length == 0) { /* names of files may be anything */
            fputs("\xef\xbf\xbd", stdout);
            length = 1;
        } else if (s[i] == '"' || s[i] == '\\')
            printf("\\%c", s[i]);
        else if (s[i] < 0x20 || s[i] == 0x7f)
            printf("\\u%04x", s[i]);
        else
            fwrite(s + i, 1, length, stdout);
    }
    putchar('"');
}

/* 0, or -1 if nobody reads on. */
static int print_line(const char *file, const char *key, const char *text, size_t length, int cut)
{
    fputs("{\"file\": ", stdout);
    print_string(file, strlen(file));
    printf(", \"%s\": ", key);
    print_string(text, length);
    fputs(cut ? ", \"cut\": true}\n" : "}\n", stdout);
    return fflush(stdout) ? -1 : 0;
}

/* ---- One picture ---- */

static int32_t on_text(void *user, int32_t token, const char *text, size_t length)
{
    caption *c = user;
    (void)token;
    if (c->room - c->length < length) {
        char *grown = realloc(c->text, 2 * c->room + length + 256);
        if (!grown)
            return 1;
        c->text = grown;
        c->room = 2 * c->room + length + 256;
    }
    if (length)
        memcpy(c->text + c->length, text, length);
    c->length += length;
    return 0;
}

static llama4_status ask(llama4_context *context, const settings *s, const char *path, caption *c, int *cut, llama4_error *error)
{
    llama4_image *image = NULL;
    llama4_generate_params params = {.struct_size = sizeof params, .max_tokens = s->max_tokens};
    llama4_generate_result result = {.struct_size = sizeof result};
    llama4_status status = llama4_image_open(path, NULL, &image, error);
    if (status)
        return status;
    llama4_part parts[2] = {{.struct_size = sizeof *parts, .image = image}, {.struct_size = sizeof *parts, .text = s->prompt}};
    llama4_message message = {.struct_size = sizeof message, .role = "user", .parts = parts, .n_parts = 2, .part_stride = sizeof *parts};
    status = llama4_context_chat(context, 0, &message, 1, sizeof message, &params, on_text, c, &result, error);
    *cut = status == LLAMA4_OK && result.stopped != LLAMA4_STOPPED_TOKEN;
    llama4_image_release(image);
    return status;
}

/* 0, or -1 if the output is gone. A picture that cannot be described does not stop the others. */
static int describe(llama4_context *context, const settings *s, const char *name)
{
    llama4_error error = LLAMA4_ERROR_INIT;
    caption c = {0};
    int cut = 0, status;
    size_t room = strlen(s->folder) + strlen(name) + 2;
    char *path = malloc(room);
    if (!path)
        return print_line(name, "error", "out of memory", 13, 0);
    snprintf(path, room, "%s/%s", s->folder, name);
    if (ask(context, s, path, &c, &cut, &error) == LLAMA4_OK)
        status = print_line(name, "caption", c.length ? c.text : "", c.length, cut);
    else
        status = error.status == LLAMA4_ERR_CANCELLED && stop ? 0 : print_line(name, "error", error.message, strlen(error.message), 0);
    free(c.text);
    free(path);
    return status;
}

/* ---- The rest ---- */

static int is_picture(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot && (strcasecmp(dot, ".png") == 0 || strcasecmp(dot, ".jpg") == 0 || strcasecmp(dot, ".jpeg") == 0);
}

static int mistake(const char *what, const char *about)
{
    fprintf(stderr, "describe: %s: %s\n%s", about, what, usage);
    return 2;
}

/* A number from least to most; -1: it is none. */
static double number(const char *text, double least, double most)
{
    char *end;
    double value = strtod(text, &end);
    return end != text && !*end && value >= least && value <= most ? value : -1;
}

/* 0, or the exit status of a mistake. */
static int read_option(settings *s, int argc, char **argv, int *at)
{
    const char *name = argv[*at];
    if (strcmp(name, "--existing") == 0 || strcmp(name, "--once") == 0) {
        *(name[2] == 'e' ? &s->watch.existing : &s->watch.once) = 1;
        return 0;
    }
    const char *const known[] = {"--mmproj", "--prompt", "--max-tokens", "--threads", "--poll"};
    size_t which = 0;
    while (which < 5 && strcmp(name, known[which]) != 0)
        which++;
    if (which == 5)
        return mistake("unknown option", name);
    if (*at + 1 == argc)
        return mistake("needs a value", name);
    const char *value = argv[++*at];
    double n = which < 2 ? 0 : number(value, which == 4 ? 0.01 : 1, which == 2 ? 1e6 : which == 3 ? 64 : 1e5);
    if (n < 0)
        return mistake("is not a number that makes sense here", value);
    if (which < 2)
        *(which ? &s->prompt : &s->mmproj) = value;
    else if (which == 4) {
        s->watch.poll = 1;
        s->watch.milliseconds = (int)(n * 1000);
    } else
        *(which == 2 ? &s->max_tokens : &s->threads) = (int)n;
    return 0;
}

/* Until a signal comes, or the folder goes. The exit status. */
static int work(llama4_context *context, const settings *s)
{
    const char *name;
    int found;
    watch *w = watch_open(s->folder, &s->watch);
    if (!w) {
        fprintf(stderr, "describe: %s: %s\n", s->folder, strerror(errno));
        return 1;
    }
    fprintf(stderr, "watching %s\n", s->folder);
    while ((found = watch_next(w, &stop, &name)) > 0)
        if (describe(context, s, name)) {
            fprintf(stderr, "describe: the output cannot be written: %s\n", strerror(errno));
            watch_close(w);
            return 1;
        }
    if (found < 0)
        fprintf(stderr, "describe: %s: %s\n", s->folder, strerror(errno));
    watch_close(w);
    return found < 0;
}

int main(int argc, char **argv)
{
    settings s = {.prompt = "Describe the picture.", .max_tokens = 256, .watch = {.milliseconds = 1000, .wanted = is_picture}};
    for (int i = 1, status; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0)
            return fputs(usage, stdout) < 0;
        if (argv[i][0] == '-') {
            status = read_option(&s, argc, argv, &i);
            if (status)
                return status;
        } else if (s.folder)
            return mistake("one argument too many", argv[i]);
        else
            *(s.model ? &s.folder : &s.model) = argv[i];
    }
    if (!s.folder)
        return mistake("missing argument", s.model ? "FOLDER" : "MODEL");

    llama4_error error = LLAMA4_ERROR_INIT;
    llama4_model *model = NULL;
    llama4_context *context = NULL;
    llama4_model_info info = {.struct_size = sizeof info};
    llama4_model_params opening = {.struct_size = sizeof opening, .vision_path = s.mmproj};
    llama4_context_params sizes = {.struct_size = sizeof sizes, .threads = s.threads, .sequences = 1};
    llama4_status status = llama4_model_open(s.model, &opening, &model, &error);
    if (status == LLAMA4_OK)
        status = llama4_context_create(model, &sizes, &context, &error);
    if (status == LLAMA4_OK)
        status = llama4_model_get_info(model, &info, &error);
    int exit_status = 1;
    if (status)
        fprintf(stderr, "describe: %s\n", error.message);
    else if (!info.vision_layers)
        fprintf(stderr, "describe: %s: the model has no picture encoder: give its file with --mmproj\n", s.model);
    else {
        struct sigaction action = {.sa_handler = on_signal}; /* without SA_RESTART: waiting ends */
        sigemptyset(&action.sa_mask);
        running = context;
        sigaction(SIGINT, &action, NULL);
        sigaction(SIGTERM, &action, NULL);
        exit_status = work(context, &s);
        running = NULL;
    }
    llama4_context_release(context);
    llama4_model_release(model);
    return exit_status;
}
