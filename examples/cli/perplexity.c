/* llama4 perplexity: how well a model foretells a text, and how far it is from another that did the same. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "baseline.h"
#include "commands.h"
#include "session.h"

#define DEFAULT_WINDOW 512
#define LOGIT_BYTES (64 << 20) /* of logits that the context holds at a time, unless one row takes more */

typedef struct arguments {
    settings set;
    const char *file, *save, *base, *cpu;
    int64_t window, stride, windows, batch; /* 0: not given */
    int special, json;
} arguments;

/* A mean that grows number by number. */
typedef struct mean {
    double sum, squares;
    int64_t n;
} mean;

typedef struct work {
    const arguments *arguments;
    session session;
    baseline shape;  /* of the windows, also when no base file is read or written */
    int32_t *tokens; /* [shape.tokens] */
    llama4_batch_item *items;
    double *model, *other; /* [vocab] log-probabilities */
    uint8_t *row;          /* of a base file */
    FILE *save, *base;
    char *save_path; /* what is written until it is complete */
    uint8_t header[BASELINE_HEADER];
    mean loss, base_loss, loss_difference, divergence, shift;
    double *divergences; /* [n_rows] */
    int64_t same_top;
    double started, seconds;
} work;

static void mean_add(mean *m, double value)
{
    m->sum += value;
    m->squares += value * value;
    m->n++;
}

static double mean_value(const mean *m)
{
    return m->n ? m->sum / (double)m->n : NAN;
}

/* The standard error, as if the values were independent. */
static double mean_error(const mean *m)
{
    double value = mean_value(m), spread = m->n ? m->squares / (double)m->n - value * value : 0;
    return m->n > 1 ? sqrt(spread > 0 ? spread / (double)(m->n - 1) : 0) : NAN;
}

/* ---- The text and its windows ---- */

static int read_text(const arguments *a, const llama4_vocab *vocab, id_list *ids)
{
    buffer text = {0};
    int status = 0;
    if (!read_file(a->file, &text))
        status = interrupted() ? 128 + interrupted() : 1;
    if (status == 0)
        status = ids_add_text(ids, vocab, text.data, text.size, LLAMA4_TOKENIZE_BOS | (a->special ? LLAMA4_TOKENIZE_SPECIAL : 0));
    buffer_free(&text);
    return status;
}

/* Windows as the arguments ask for, over the whole text. */
static int cut(work *w, const id_list *ids)
{
    const arguments *a = w->arguments;
    baseline *s = &w->shape;
    int64_t window = a->window ? a->window : DEFAULT_WINDOW;
    if ((int64_t)ids->count < window)
        return fail_text("%s: %lld tokens are less than a window of %lld, see --context", a->file, (long long)ids->count,
                         (long long)window);
    s->window = (uint32_t)window;
    s->stride = (uint32_t)(a->stride ? a->stride : window);
    s->rows = (uint32_t)(a->stride ? a->stride : window - window / 2 - 1);
    int64_t windows = ((int64_t)ids->count - window) / s->stride + 1;
    s->windows = (uint32_t)(a->windows && a->windows < windows ? a->windows : windows);
    s->tokens = baseline_tokens(s);
    s->bos = llama4_vocab_find(w->session.vocab, "<|begin_of_text|>", strlen("<|begin_of_text|>"));
    if (s->tokens == 0)
        return fail_text("%s: the text is too long", a->file);
    w->tokens = malloc(s->tokens * sizeof *w->tokens);
    if (!w->tokens)
        return fail_text("out of memory");
    memcpy(w->tokens, ids->ids, s->tokens * sizeof *w->tokens);
    return 0;
}

/* Windows and tokens of a base file. */
static int read_base(work *w)
{
    const arguments *a = w->arguments;
    w->base = open_file(a->base, 0);
    if (!w->base)
        return fail_text("%s: %s", a->base, strerror(errno));
    int64_t size = file_size(w->base);
    size_t got = size < 0 ? 0 : fread(w->header, 1, sizeof w->header, w->base);
    baseline shape;
    const char *fault = got < sizeof w->header ? "it is no base file" : baseline_get_header(w->header, (uint64_t)size, &shape);
    if (fault)
        return fail_text("%s: %s", a->base, fault);
    if (shape.vocab != w->shape.vocab)
        return fail_text("%s: it was made with %u ids, the model has %u", a->base, shape.vocab, w->shape.vocab);
    w->shape = shape;
    w->tokens = malloc(shape.tokens * sizeof *w->tokens); /* the file is that large */
    if (!w->tokens)
        return fail_text("out of memory");
    if (fread(w->tokens, sizeof *w->tokens, shape.tokens, w->base) != shape.tokens)
        return fail_text("%s: %s", a->base, ferror(w->base) ? strerror(errno) : "it became shorter");
    fault = baseline_get_tokens(w->header, &shape, w->tokens);
    return fault ? fail_text("%s: %s", a->base, fault) : 0;
}

/* The text that a base file was made with, if it is given once more. */
static int compare_text(const work *w, const id_list *ids)
{
    if (ids->count >= w->shape.tokens && memcmp(ids->ids, w->tokens, w->shape.tokens * sizeof *w->tokens) == 0)
        return 0;
    return fail_text("%s: it was made with another text than %s", w->arguments->base, w->arguments->file);
}

/* ---- One row: what the model, and what the base, expected ---- */

static int save_row(work *w, const float *logits)
{
    const char *fault = baseline_put_row(logits, w->shape.vocab, w->row);
    if (fault)
        return fail_text("%s: %s", w->arguments->save, fault);
    if (fwrite(w->row, 1, baseline_row_bytes(&w->shape), w->save) != baseline_row_bytes(&w->shape))
        return fail_text("%s: %s", w->save_path, strerror(errno));
    return 0;
}

static int compare_row(work *w, uint32_t top, int32_t token)
{
    const char *path = w->arguments->base, *fault;
    uint32_t base_top;
    double sum = 0;
    if (fread(w->row, 1, baseline_row_bytes(&w->shape), w->base) != baseline_row_bytes(&w->shape))
        return fail_text("%s: %s", path, ferror(w->base) ? strerror(errno) : "it became shorter");
    fault = baseline_get_row(w->row, w->shape.vocab, w->other, &base_top);
    if (fault)
        return fail_text("%s: %s", path, fault);
    for (uint32_t i = 0; i < w->shape.vocab; i++)
        sum += exp(w->other[i]) * (w->other[i] - w->model[i]);
    w->divergences[w->divergence.n] = sum;
    mean_add(&w->divergence, sum);
    mean_add(&w->base_loss, -w->other[token]);
    mean_add(&w->loss_difference, w->other[token] - w->model[token]);
    mean_add(&w->shift, exp(w->model[token]) - exp(w->other[token]));
    w->same_top += top == base_top;
    return 0;
}

static int add_row(work *w, size_t item, int32_t token)
{
    llama4_error error = LLAMA4_ERROR_INIT;
    const float *logits;
    uint32_t top;
    if (llama4_context_logits(w->session.context, item, &logits, NULL, &error))
        return fail(&error);
    if (!log_softmax(logits, w->shape.vocab, w->model, &top))
        return fail_text("the model's logits are not finite numbers");
    mean_add(&w->loss, -w->model[token]);
    int status = w->save ? save_row(w, logits) : 0;
    return status == 0 && w->base ? compare_row(w, top, token) : status;
}

/* ---- Windows ---- */

/* The window's tokens from `begin` on. Logits from position `first` on are looked at. */
static int add_piece(work *w, const int32_t *tokens, uint32_t begin, uint32_t end, uint32_t first)
{
    llama4_error error = LLAMA4_ERROR_INIT;
    int status = 0;
    for (uint32_t i = begin; i < end; i++)
        w->items[i - begin] = (llama4_batch_item){
            .token = i == 0 && w->shape.bos >= 0 ? w->shape.bos : tokens[i], .position = -1, .logits = i >= first};
    if (llama4_context_decode(w->session.context, w->items, end - begin, sizeof *w->items, &error))
        return fail(&error);
    for (uint32_t i = begin > first ? begin : first; i < end && status == 0; i++)
        status = add_row(w, i - begin, tokens[i + 1]);
    return status;
}

/* In two parts: nobody looks at the logits of the first. The last token needs no computing: it is only foretold. */
static int add_window(work *w, const int32_t *tokens)
{
    llama4_error error = LLAMA4_ERROR_INIT;
    const baseline *s = &w->shape;
    uint32_t first = s->window - s->rows - 1, end = s->window - 1;
    uint32_t most = LOGIT_BYTES / (4 * s->vocab) + 1;
    int status = 0;
    if (llama4_context_truncate(w->session.context, 0, 0, &error))
        return fail(&error);
    if (first > 0)
        status = add_piece(w, tokens, 0, first, first);
    for (uint32_t at = first; at < end && status == 0; at += most)
        status = add_piece(w, tokens, at, end - at < most ? end : at + most, first);
    return status;
}

static void show(const work *w, uint32_t done)
{
    double left = (now() - w->started) / done * (w->shape.windows - done), loss = mean_value(&w->loss);
    if (!is_terminal(stderr))
        return;
    fprintf(stderr, "\r[%u/%u] perplexity %.4f +- %.4f", done, w->shape.windows, exp(loss), exp(loss) * mean_error(&w->loss));
    if (w->base)
        fprintf(stderr, ", divergence %.6f +- %.6f", mean_value(&w->divergence), mean_error(&w->divergence));
    fprintf(stderr, ", %.0f s left   ", left);
    fflush(stderr);
}

static int add_windows(work *w)
{
    int status = 0;
    w->started = now();
    for (uint32_t i = 0; i < w->shape.windows && status == 0; i++) {
        status = add_window(w, w->tokens + (size_t)i * w->shape.stride);
        if (status == 0 && interrupted())
            status = 128 + interrupted();
        if (status == 0)
            show(w, i + 1);
    }
    w->seconds = now() - w->started;
    if (is_terminal(stderr))
        fprintf(stderr, "\r%*s\r", 78, "");
    return status;
}

/* ---- The base file that is written ---- */

static int begin_save(work *w)
{
    const char *path = w->arguments->save;
    size_t length = strlen(path);
    w->save_path = malloc(length + sizeof ".part");
    if (!w->save_path)
        return fail_text("out of memory");
    memcpy(w->save_path, path, length);
    memcpy(w->save_path + length, ".part", sizeof ".part");
    w->save = open_file(w->save_path, 1);
    if (!w->save)
        return fail_text("%s: %s", w->save_path, strerror(errno));
    uint8_t id[4];
    baseline_put_header(&w->shape, w->tokens, w->header);
    int ok = fwrite(w->header, 1, sizeof w->header, w->save) == sizeof w->header;
    for (uint32_t i = 0; i < w->shape.tokens && ok; i++) {
        for (int k = 0; k < 4; k++)
            id[k] = (uint8_t)((uint32_t)w->tokens[i] >> 8 * k);
        ok = fwrite(id, 1, 4, w->save) == 4;
    }
    return ok ? 0 : fail_text("%s: %s", w->save_path, strerror(errno));
}

/* Puts the file in its place, or after a failure removes it. */
static int end_save(work *w, int status)
{
    if (!w->save)
        return status;
    if (fclose(w->save) != 0 && status == 0)
        status = fail_text("%s: %s", w->save_path, strerror(errno));
    if (status == 0 && replace_file(w->save_path, w->arguments->save) != 0)
        status = fail_text("%s: %s", w->arguments->save, strerror(errno));
    if (status != 0)
        remove_file(w->save_path);
    w->save = NULL;
    return status;
}

/* ---- Results ---- */

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Between the two values that lie around it; the values ascend. */
static double percentile(const work *w, double percent)
{
    double at = percent / 100 * (double)(w->divergence.n - 1), below = floor(at);
    size_t i = (size_t)below, last = (size_t)w->divergence.n - 1;
    return w->divergences[i] + (at - below) * (w->divergences[i < last ? i + 1 : last] - w->divergences[i]);
}

static double root_mean_square(const mean *m)
{
    return m->n ? sqrt(m->squares / (double)m->n) : NAN;
}

static void print_text(const work *w)
{
    static const double percents[] = {50, 90, 99, 99.9};
    double ppl = exp(mean_value(&w->loss));
    out_print("perplexity    %.4f +- %.4f\n", ppl, ppl * mean_error(&w->loss));
    if (w->base) {
        double base = exp(mean_value(&w->base_loss)), ratio = exp(mean_value(&w->loss_difference));
        out_print("of the base   %.4f +- %.4f\n", base, base * mean_error(&w->base_loss));
        out_print("ratio         %.6f +- %.6f\n", ratio, ratio * mean_error(&w->loss_difference));
        out_print("divergence    %.6f +- %.6f nats\n", mean_value(&w->divergence), mean_error(&w->divergence));
        for (size_t i = 0; i < sizeof percents / sizeof *percents; i++)
            out_print("  %4.1f %%      %.6f\n", percents[i], percentile(w, percents[i]));
        out_print("  largest     %.6f\n", percentile(w, 100));
        out_print("same top id   %.3f %%\n", 100.0 * (double)w->same_top / (double)w->divergence.n);
        out_print("probability   %+.4f %% +- %.4f %% on average, %.4f %% RMS\n", 100 * mean_value(&w->shift),
                  100 * mean_error(&w->shift), 100 * root_mean_square(&w->shift));
    }
    out_print("scored        %lld of %lld tokens, in %u windows of %u; %.1f s\n", (long long)w->loss.n,
              (long long)w->shape.tokens, w->shape.windows, w->shape.window, w->seconds);
}

static void json_number(const char *name, double value)
{
    if (isfinite(value))
        out_print(", \"%s\": %.9g", name, value);
    else
        out_print(", \"%s\": null", name);
}

static void print_json(const work *w)
{
    double ppl = exp(mean_value(&w->loss)), base = exp(mean_value(&w->base_loss)), ratio = exp(mean_value(&w->loss_difference));
    out_print("{\"tokens\": %lld, \"scored\": %lld, \"windows\": %u, \"context\": %u, \"stride\": %u", (long long)w->shape.tokens,
              (long long)w->loss.n, w->shape.windows, w->shape.window, w->shape.stride);
    json_number("seconds", w->seconds);
    json_number("perplexity", ppl);
    json_number("perplexity_error", ppl * mean_error(&w->loss));
    if (w->base) {
        json_number("base_perplexity", base);
        json_number("ratio", ratio);
        json_number("ratio_error", ratio * mean_error(&w->loss_difference));
        json_number("divergence", mean_value(&w->divergence));
        json_number("divergence_error", mean_error(&w->divergence));
        json_number("divergence_median", percentile(w, 50));
        json_number("divergence_90", percentile(w, 90));
        json_number("divergence_99", percentile(w, 99));
        json_number("divergence_99_9", percentile(w, 99.9));
        json_number("divergence_max", percentile(w, 100));
        json_number("same_top", (double)w->same_top / (double)w->divergence.n);
        json_number("probability_shift", mean_value(&w->shift));
        json_number("probability_shift_error", mean_error(&w->shift));
        json_number("probability_shift_rms", root_mean_square(&w->shift));
    }
    out_print("}\n");
}

/* ---- The command ---- */

static int check(const arguments *a)
{
    if (a->save && a->base)
        return options_mistake(&perplexity_command, "--save-base and --kl-base cannot be used together");
    if (!a->file && !a->base)
        return options_mistake(&perplexity_command, "give the text with -f");
    if (a->base && (a->window || a->stride || a->windows))
        return options_mistake(&perplexity_command, "--context, --stride and --windows are those of the base file");
    if (a->stride && a->stride >= (a->window ? a->window : DEFAULT_WINDOW))
        return options_mistake(&perplexity_command, "--stride must be smaller than --context");
    return 0;
}

static int allocate(work *w)
{
    size_t vocab = w->shape.vocab, n_rows = (size_t)w->shape.windows * w->shape.rows;
    w->items = calloc(w->shape.window, sizeof *w->items);
    w->model = calloc(vocab, sizeof *w->model);
    w->other = calloc(vocab, sizeof *w->other);
    w->row = malloc(baseline_row_bytes(&w->shape));
    w->divergences = calloc(w->base ? n_rows : 1, sizeof *w->divergences);
    return w->items && w->model && w->other && w->row && w->divergences ? 0 : fail_text("out of memory");
}

/* The size of the vocabulary, and the base file, before the model is loaded. */
static int prepare(work *w, const char *path)
{
    llama4_error error = LLAMA4_ERROR_INIT;
    llama4_model_params params;
    llama4_model_info info = {.struct_size = sizeof info};
    llama4_model *model;
    llama4_model_params_init(&params, sizeof params);
    params.flags = LLAMA4_MODEL_HEADER_ONLY;
    if (llama4_model_open(path, &params, &model, &error))
        return fail(&error);
    llama4_status status = llama4_model_get_info(model, &info, &error);
    llama4_model_release(model);
    if (status)
        return fail(&error);
    w->shape.vocab = (uint32_t)info.vocab_size;
    return w->arguments->base ? read_base(w) : 0;
}

static int measure(work *w, const char *path)
{
    const arguments *a = w->arguments;
    settings set = a->set;
    id_list ids = {0};
    int status = prepare(w, path);
    set.context_length = a->base ? w->shape.window : a->window ? a->window : DEFAULT_WINDOW;
    if (status == 0)
        status = session_open(&w->session, path, &set);
    if (status == 0 && a->file && !w->session.vocab)
        status = fail_text("%s has no vocabulary: give one with --vocab", path);
    if (status == 0 && a->file)
        status = read_text(a, w->session.vocab, &ids);
    if (status == 0 && a->file)
        status = a->base ? compare_text(w, &ids) : cut(w, &ids);
    ids_free(&ids);
    if (status == 0)
        status = allocate(w);
    if (status == 0 && a->save)
        status = begin_save(w);
    if (status == 0)
        status = add_windows(w);
    return end_save(w, status);
}

static int run(int argc, char **argv)
{
    arguments a = {.set = {.top_p = 1}};
    const option options[] = {
        {"file", 'f', OPTION_TEXT, &a.file, "FILE", "the text; '-' is standard input", 0, 0},
        {"special", 0, OPTION_FLAG, &a.special, NULL, "recognise names of special tokens, such as <|eot|>, in it", 0, 0},
        {"context", 'c', OPTION_INT, &a.window, "N", "tokens of a window (default 512)", 4, 16777216},
        {"stride", 0, OPTION_INT, &a.stride, "N",
         "windows begin every N tokens, and the last N of each are\nscored (default: one behind the other, the second half)", 1,
         16777216},
        {"windows", 0, OPTION_INT, &a.windows, "N", "stop after so many", 1, 1000000000},
        {"save-base", 0, OPTION_TEXT, &a.save, "FILE", "write log-probabilities, for --kl-base with another model", 0, 0},
        {"kl-base", 0, OPTION_TEXT, &a.base, "FILE",
         "compare with the model that wrote FILE, on the tokens\nthat are in it; -f is not needed", 0, 0},
        ENGINE_OPTIONS(&a),
        {"vocab", 0, OPTION_TEXT, &a.set.vocabulary, "FILE",
         "take the vocabulary from this tokenizer.json,\ntokenizer.model or GGUF", 0, 0},
        {"json", 0, OPTION_FLAG, &a.json, NULL, "print one JSON object", 0, 0},
    };
    const char *path;
    int n;
    work w = {.arguments = &a};
    int status = options_parse(&perplexity_command, options, sizeof options / sizeof *options, argc, argv, &path, &n);
    if (status != OPTIONS_GO_ON)
        return status;
    status = check(&a);
    if (status == 0)
        status = parse_cpu(&perplexity_command, a.cpu, &a.set.cpu_level);
    if (status == 0)
        status = parse_kv(&perplexity_command, a.set.kv, &a.set.kv_type);
    a.set.batch_size = (int32_t)a.batch;
    if (status == 0)
        status = measure(&w, path);
    if (status == 0 && w.base)
        qsort(w.divergences, (size_t)w.divergence.n, sizeof *w.divergences, by_value);
    if (status == 0 && a.json)
        print_json(&w);
    else if (status == 0)
        print_text(&w);
    if (w.base)
        fclose(w.base);
    session_close(&w.session);
    free(w.tokens);
    free(w.items);
    free(w.model);
    free(w.other);
    free(w.row);
    free(w.save_path);
    free(w.divergences);
    return status;
}

const command perplexity_command = {
    "perplexity",
    "MODEL",
    "Scores how well a model foretells a text, and how far it is from another model.",
    "The text is cut into windows; each starts afresh with <|begin_of_text|> in the place of its first token. Perplexity\n"
    "is the exponential of the mean negative log-probability of the scored tokens. Divergence is that of Kullback and\n"
    "Leibler from the base, in nats.\n",
    1,
    1,
    run};
