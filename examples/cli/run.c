/* llama4 run: one prompt in, one answer out. */
#include <string.h>

#include "commands.h"
#include "picture.h"

#define DEFAULT_LIMIT 256 /* tokens after --raw or --ids, which have no natural end */

typedef struct arguments {
    settings set;
    const char *prompt, *file, *ids;
    text_list images;
    int raw, ignore_stop, print_ids, json;
} arguments;

typedef struct answer {
    const arguments *arguments;
    session *session;
    id_list ids;
    buffer text; /* for --json */
    int failed;
    char last; /* byte that was printed last */
} answer;

/* One id after another, separated by blanks or commas. */
static int read_ids(const char *text, id_list *out)
{
    const char *separators = " ,\t\r\n";
    for (const char *p = text + strspn(text, separators); *p; p += strspn(p, separators)) {
        char number[16];
        int64_t id;
        size_t length = strcspn(p, separators);
        if (length >= sizeof number)
            return options_mistake(&run_command, "--ids: '%.20s' is not a token id", p);
        memcpy(number, p, length);
        number[length] = 0;
        if (!parse_int(number, 0, INT32_MAX, &id))
            return options_mistake(&run_command, "--ids: '%s' is not a token id", number);
        if (!ids_add(out, (int32_t)id))
            return 1;
        p += length;
    }
    return out->count ? 0 : options_mistake(&run_command, "--ids: no token id given");
}

static int look(const arguments *a, session *s, pictures *p)
{
    int status = 0;
    for (size_t i = 0; i < a->images.count && status == 0; i++)
        status = pictures_add(p, s, a->images.items[i]);
    return status;
}

static int make_prompt(const arguments *a, const session *s, const pictures *p, const buffer *file, id_list *out)
{
    const char *text = a->prompt ? a->prompt : file->data;
    size_t length = a->prompt ? strlen(a->prompt) : file->size;
    if (a->ids)
        return 0; /* read already */
    if (!s->vocab)
        return fail_text("the model has no vocabulary: give the prompt as --ids, or a vocabulary with --vocab");
    if (p->count && !has_chat_format(s->vocab))
        return fail_text("the vocabulary has no chat format, which pictures need");
    if (p->count)
        return ids_add_pictures(out, s->vocab, a->set.system, p, text, length, 0);
    if (a->raw || !has_chat_format(s->vocab))
        return ids_add_text(out, s->vocab, text, length, LLAMA4_TOKENIZE_BOS);
    return ids_add_chat(out, s->vocab, a->set.system, text, length, 0);
}

static int32_t on_text(void *user, int32_t token, const char *text, size_t length)
{
    answer *w = user;
    const arguments *a = w->arguments;
    progress_end(&w->session->bar);
    if (a->print_ids && token >= 0)
        out_print(w->ids.count ? " %d" : "%d", (int)token);
    if (token >= 0 && !ids_add(&w->ids, token))
        w->failed = 1;
    if (a->json) {
        if (!buffer_add(&w->text, text, length))
            w->failed = 1;
    } else if (!a->print_ids && length > 0) {
        out_write(text, length);
        w->last = text[length - 1];
    }
    if (!a->json && (a->print_ids || length > 0))
        out_flush();
    return w->failed || out_failed() || interrupted();
}

static void print_id_array(const int32_t *ids, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out_print("%s%d", i ? ", " : "", (int)ids[i]);
}

static void print_json(const answer *w, const id_list *prompt, const llama4_generate_result *r)
{
    out_print("{\"prompt_ids\": [");
    print_id_array(prompt->ids, prompt->count);
    out_print("], \"ids\": [");
    print_id_array(w->ids.ids, w->ids.count);
    out_print("], \"text\": ");
    if (w->session->vocab)
        out_json(w->text.data ? w->text.data : "", w->text.size);
    else
        out_print("null");
    out_print(", \"stopped\": \"%s\", \"prompt_tokens\": %lld, \"generated_tokens\": %lld, \"load_seconds\": ",
              stop_name(r->stopped), (long long)r->prompt_tokens, (long long)r->generated_tokens);
    out_json_real(w->session->load_seconds);
    out_print(", \"prompt_seconds\": ");
    out_json_real(r->prompt_seconds);
    out_print(", \"generate_seconds\": ");
    out_json_real(r->generate_seconds);
    out_print(", \"seconds\": ");
    out_json_real(r->prompt_seconds + r->generate_seconds);
    out_print(", \"prompt_tokens_per_second\": ");
    out_json_real(prompt_speed(r));
    out_print(", \"tokens_per_second\": ");
    out_json_real(generate_speed(r));
    out_print("}\n");
}

static int generate(const arguments *a, session *s, const id_list *prompt, const pictures *p, answer *w)
{
    llama4_error error = LLAMA4_ERROR_INIT;
    llama4_generate_params params = {.struct_size = sizeof params, .flags = a->ignore_stop ? LLAMA4_GENERATE_IGNORE_STOP : 0};
    llama4_generate_result result = {.struct_size = sizeof result};
    int open_ended = a->raw || a->ids || !has_chat_format(s->vocab);
    params.max_tokens = a->set.max_tokens >= 0 ? a->set.max_tokens : open_ended ? DEFAULT_LIMIT : 0;
    params.sampler = s->sampler;
    params.embeddings = p->rows;
    params.n_embeddings = p->n_rows;
    progress_start(&s->bar, "reading");
    llama4_status status =
        llama4_context_generate(s->context, 0, prompt->ids, prompt->count, &params, on_text, w, &result, &error);
    progress_end(&s->bar);
    if (!a->json && (a->print_ids || w->last != '\n') && w->ids.count)
        out_write("\n", 1);
    if (status)
        return fail(&error);
    if (w->failed)
        return 1;
    if (a->json)
        print_json(w, prompt, &result);
    if (a->set.stats)
        print_stats(s, &result);
    if (result.stopped == LLAMA4_STOPPED_CONTEXT)
        fprintf(stderr, "llama4: the context of %lld positions is full\n", (long long)s->info.context_length);
    return interrupted() ? 128 + interrupted() : 0;
}

static int check(const arguments *a)
{
    if (!!a->prompt + !!a->file + !!a->ids != 1)
        return options_mistake(&run_command, "give the prompt by one of -p, -f and --ids");
    if (a->set.system && (a->raw || a->ids))
        return options_mistake(&run_command, "--system belongs to the chat format: it cannot be used with --raw or --ids");
    if (a->raw && a->ids)
        return options_mistake(&run_command, "--raw and --ids cannot be used together: ids are always taken as they are");
    if (a->images.count && (a->raw || a->ids))
        return options_mistake(&run_command, "--image belongs to the chat format: it cannot be used with --raw or --ids");
    if (a->json && a->print_ids)
        return options_mistake(&run_command, "--json and --print-ids cannot be used together: the object holds the ids");
    return 0;
}

static int run(int argc, char **argv)
{
    arguments a = {.set = SETTINGS_DEFAULT};
    const option options[] = {
        {"prompt", 'p', OPTION_TEXT, &a.prompt, "TEXT", "the prompt: a message in the chat format", 0, 0},
        {"file", 'f', OPTION_TEXT, &a.file, "FILE", "the same from a file; '-' is standard input", 0, 0},
        {"ids", 0, OPTION_TEXT, &a.ids, "\"1 2 3\"", "the prompt as token ids, taken as they are", 0, 0},
        {"raw", 0, OPTION_FLAG, &a.raw, NULL, "no chat format: the model continues the text", 0, 0},
        {"image", 'i', OPTION_LIST, &a.images, "FILE", "a PNG or JPEG picture before the prompt; once for each", 0, 0},
        SETTINGS_OPTIONS(&a.set),
        {"ignore-stop", 0, OPTION_FLAG, &a.ignore_stop, NULL, "go on past the tokens that end an answer", 0, 0},
        {"print-ids", 0, OPTION_FLAG, &a.print_ids, NULL, "print token ids in place of text", 0, 0},
        {"json", 0, OPTION_FLAG, &a.json, NULL, "print one JSON object", 0, 0},
    };
    const char *model;
    int n;
    session s = {0};
    id_list prompt = {0};
    pictures shown = {0};
    buffer file = {0};
    answer w = {.arguments = &a, .session = &s};
    int status = options_parse(&run_command, options, sizeof options / sizeof *options, argc, argv, &model, &n);
    if (status != OPTIONS_GO_ON)
        return status;
    status = check(&a);
    if (status == 0)
        status = parse_kv(&run_command, a.set.kv, &a.set.kv_type);
    if (status == 0 && a.ids)
        status = read_ids(a.ids, &prompt);
    if (status == 0 && a.file && !read_file(a.file, &file))
        status = interrupted() ? 128 + interrupted() : 1;
    if (status == 0)
        status = session_open(&s, model, &a.set);
    if (status == 0 && !s.vocab && !a.print_ids && !a.json)
        status = fail_text("%s has no vocabulary: use --print-ids or --json, or give a vocabulary with --vocab", model);
    if (status == 0)
        status = look(&a, &s, &shown);
    if (status == 0)
        status = make_prompt(&a, &s, &shown, &file, &prompt);
    if (status == 0)
        status = generate(&a, &s, &prompt, &shown, &w);
    pictures_clear(&shown);
    session_close(&s);
    ids_free(&prompt);
    ids_free(&w.ids);
    buffer_free(&w.text);
    buffer_free(&file);
    return status;
}

const command run_command = {
    "run",
    "MODEL",
    "Answers one prompt. MODEL is a GGUF file or a Hugging Face directory.",
    "An answer ends at a stop token, at -n tokens (default with --raw and --ids: 256) or when the context is full.\n"
    "The same model, prompt, options and seed give the same answer on every machine, whatever the number of threads.\n",
    1,
    1,
    run};
