/* Finds out by its content what a folder holds, and runs it. A folder may hold several kinds at once:
 *   cases.json       prompts with logits (golden.safetensors, model/), tokeniser cases, chat cases, picture cases
 *   manifest.json    sets of NAME.gguf, NAME.tokens.i32, NAME.logits.f32; or NAME.gguf, NAME.pixels.f32, NAME.projected.f32
 *   *.jsonl          tokeniser cases, one per line
 *   image_geometry.csv  sizes of pictures, and what becomes of them
 *   reference.json   prompts with whole answers of the model in the same folder
 * One that holds none of these is searched for folders that do. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "conformance.h"
#include "format/safetensors.h"

#define DEPTH 3 /* how far down folders are searched */

typedef struct folder {
    const char *path, *name; /* name: the last part of path */
    const options *o;
    llama4_model *model;     /* opened when first needed */
    llama4_vocab *vocab;
    int model_tried, vocab_tried;
    char *model_error, *model_path;
    void *model_memory;      /* of a rounded copy */
} folder;

static const char *last_part(const char *path)
{
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/')
        n--;
    while (n > 0 && path[n - 1] != '/')
        n--;
    return path + n;
}

static llama4_model *open_model(const char *path, const char *vision, char **message)
{
    llama4_error error = LLAMA4_ERROR_INIT;
    llama4_model *model = NULL;
    llama4_model_params p;
    llama4_model_params_init(&p, sizeof p);
    p.vision_path = vision;
    if (llama4_model_open(path, &p, &model, &error))
        *message = xprintf("%s", error.message);
    return model;
}

/* The model of cases.json and reference.json: --model, or in the folder; NULL: see model_error. */
static llama4_model *folder_model(folder *f)
{
    if (f->model_tried++)
        return f->model;
    char *inside = xprintf("%s/model", f->path), *gguf = xprintf("%s/model.gguf", f->path), *config = xprintf("%s/config.json", f->path);
    const char *path = f->o->model;
    if (!path)
        path = path_exists(inside) ? inside : path_exists(gguf) ? gguf : path_exists(config) ? f->path : NULL;
    if (path) {
        f->model = open_model(path, f->o->vision, &f->model_error);
        f->model_path = xprintf("%s", path);
    } else
        f->model_error = xprintf("no model in the folder, and no --model");
    free(inside);
    free(gguf);
    free(config);
    return f->model;
}

/* --tokenizer, or a file in the folder; NULL if there is neither. One that does not open is reported once as a failure. */
static llama4_vocab *folder_vocab(folder *f)
{
    if (f->vocab_tried++)
        return f->vocab;
    llama4_error error = LLAMA4_ERROR_INIT;
    char *json = xprintf("%s/tokenizer.json", f->path), *tiktoken = xprintf("%s/tokenizer.model", f->path);
    const char *path = f->o->tokenizer;
    if (!path)
        path = path_exists(json) ? json : path_exists(tiktoken) ? tiktoken : NULL;
    if (path && llama4_vocab_open(path, NULL, &f->vocab, &error))
        report_failed(f->name, "%s: %s", path, error.message);
    free(json);
    free(tiktoken);
    return f->vocab;
}

/* ---- cases.json ---- */

typedef struct golden_tensors {
    l4_archive archive;
    int open;
} golden_tensors;

static int tensors_open(const char *path, golden_tensors *g, llama4_error *error)
{
    memset(g, 0, sizeof *g);
    g->archive.allocator = &l4_system_allocator;
    if (l4_alloc_zero(&l4_system_allocator, 1, sizeof *g->archive.files, "files", &g->archive.files, error))
        return -1;
    g->archive.n_files = 1;
    g->open = 1;
    return l4_map_path(path, &g->archive.files[0], error) || l4_safetensors_read(&g->archive, 0, path, error) ||
           l4_archive_seal(&g->archive, path, error);
}

/* What a case says, checked against the model's shape and the golden tensors: 1 if it can be run, or else a message in *message. */
static int logits_case(folder *f, const char *name, const golden_case *c, const golden_tensors *g, text_case *out, char **message)
{
    llama4_error error = LLAMA4_ERROR_INIT;
    llama4_model_info info = {.struct_size = sizeof info};
    llama4_model *model = folder_model(f);
    const l4_tensor *t = l4_archive_find(&g->archive, c->logits);
    *message = NULL;
    if (!model || llama4_model_get_info(model, &info, &error))
        *message = xprintf("%s", model ? error.message : f->model_error);
    else if (!t)
        *message = xprintf("golden.safetensors has no tensor \"%s\"", c->logits);
    else if (!c->has_ids || !c->ids.count)
        *message = xprintf("logits without ids");
    else if (t->type != LLAMA4_TYPE_F32 || t->n_dims != 2 || t->dims[1] != c->ids.count || t->dims[0] != (uint64_t)info.vocab_size)
        *message = xprintf("\"%s\" is not float32 [%zu, %ld]", c->logits, c->ids.count, (long)info.vocab_size);
    else if (c->has_greedy && !c->greedy.count)
        *message = xprintf("\"greedy\" is empty");
    *out = (text_case){name, c->ids.data, c->ids.count, NULL, c->ids.count, t ? (const float *)(const void *)t->data : NULL,
                       c->greedy.data, c->greedy.count};
    return *message == NULL;
}

/* Whether a case's logits are within the tolerance. */
static int is_near(folder *f, llama4_model *model, const golden_case *c, const golden_tensors *g)
{
    text_case text;
    char *message;
    if (c->image)
        return picture_deviation(model, c, &g->archive, f->o) <= PICTURE_TOLERANCE;
    int good = logits_case(f, f->name, c, g, &text, &message) && text_deviation(model, &text, f->o) <= text_tolerance(&text);
    free(message);
    return good;
}

/* 1 if every case with logits is within its tolerance. */
static int all_near(folder *f, llama4_model *model, const case_list *list, const golden_tensors *g)
{
    for (size_t i = 0; i < list->count; i++)
        if (list->data[i].logits && !is_near(f, model, &list->data[i], g))
            return 0;
    return 1;
}

/* Goes over to the copy with rounded frequencies if it agrees with the whole set and the model itself does not. */
static void choose_frequencies(folder *f, const case_list *list, const golden_tensors *g)
{
    llama4_model *model = NULL;
    llama4_model_info info = {.struct_size = sizeof info};
    void *memory = NULL;
    if (!folder_model(f) || all_near(f, f->model, list, g) || llama4_model_get_info(f->model, &info, NULL) ||
        rounded_model(f->model_path, &info, &model, &memory))
        return;
    if (all_near(f, model, list, g)) {
        report_note(f->name, "the reference's rotary frequencies were rounded to bfloat16; compared with a copy of the model that says so");
        llama4_model_release(f->model);
        f->model = model;
        f->model_memory = memory;
    } else {
        llama4_model_release(model);
        free(memory);
    }
}

static void run_case(folder *f, const char *name, const golden_case *c, const golden_tensors *g)
{
    if (c->sample && c->image)
        tiles_run(f->path, name, c, &g->archive);
    else if (c->image && c->pixels && c->logits) {
        llama4_model *model = folder_model(f);
        if (model)
            picture_run(model, f->path, name, c, &g->archive, f->o);
        else
            report_failed(name, "%s", f->model_error);
    } else if (c->logits) {
        text_case text;
        char *message;
        if (logits_case(f, name, c, g, &text, &message))
            text_run(f->model, &text, f->o);
        else
            report_failed(name, "%s", message);
        free(message);
    } else if ((c->has_messages || c->text) && c->has_ids) {
        llama4_vocab *vocab = folder_vocab(f);
        if (!vocab && f->o->tokenizer)
            report_failed(name, "the vocabulary did not open");
        else if (!vocab)
            report_skipped(name, "needs --tokenizer");
        else if (c->has_messages)
            chat_run(vocab, name, c);
        else
            tokenizer_run(vocab, name, c);
    } else
        report_failed(name, "neither logits, nor messages, nor text with ids");
}

static void run_cases(folder *f, const char *file, int lines)
{
    llama4_error error = LLAMA4_ERROR_INIT;
    char *path = xprintf("%s/%s", f->path, file), *golden = xprintf("%s/golden.safetensors", f->path);
    case_list list;
    golden_tensors g = {.open = 0};
    int wants_tensors = 0, readable = 1;
    if (cases_read(path, lines, &list, &error))
        report_failed(f->name, "%s", error.message);
    for (size_t i = 0; i < list.count; i++)
        wants_tensors |= list.data[i].logits || list.data[i].sample;
    if (wants_tensors && tensors_open(golden, &g, &error)) {
        report_failed(f->name, "%s: %s", golden, error.message);
        readable = 0;
    }
    if (wants_tensors && readable)
        choose_frequencies(f, &list, &g);
    for (size_t i = 0; i < list.count && readable; i++) {
        char *name = lines ? xprintf("%s/%s:%zu", f->name, file, i + 1) : xprintf("%s/%zu", f->name, i);
        run_case(f, name, &list.data[i], &g);
        free(name);
    }
    if (g.open)
        l4_archive_clear(&g.archive);
    cases_free(&list);
    free(path);
    free(golden);
}

/* ---- reference.json ---- */

typedef struct reply {
    id_list ids;
    char *text;
    size_t length;
} reply;

static int32_t on_reply(void *user, int32_t token, const char *text, size_t length)
{
    reply *r = user;
    if (token >= 0) {
        r->ids.data = xrealloc(r->ids.data, (r->ids.count + 1) * sizeof *r->ids.data);
        r->ids.data[r->ids.count++] = token;
    }
    r->text = xrealloc(r->text, r->length + length + 1);
    if (length)
        memcpy(r->text + r->length, text, length);
    r->length += length;
    r->text[r->length] = 0;
    return 0;
}

static void answer_case(llama4_model *model, const char *folder, const char *name, const golden_case *c, const options *o)
{
    llama4_error error = LLAMA4_ERROR_INIT;
    llama4_context_params p;
    llama4_context *context = NULL;
    llama4_status status = llama4_context_params_init(&p, sizeof p);
    reply r = {.text = NULL};
    p.threads = o->threads;
    p.kv_type = LLAMA4_KV_F32;
    if (!status)
        status = llama4_context_create(model, &p, &context, &error);
    llama4_generate_params g = {.struct_size = sizeof g, .max_tokens = (int64_t)c->greedy.count + 8};
    llama4_generate_result result = {.struct_size = sizeof result};
    float *embeddings = NULL;
    if (!status && c->image) {
        char *path = xprintf("%s/%s", folder, c->image);
        size_t n = 0;
        embeddings = picture_embeddings(context, path, &n, &error);
        status = embeddings ? LLAMA4_OK : error.status;
        g.embeddings = embeddings;
        g.n_embeddings = n;
        free(path);
    }
    if (!status)
        status = llama4_context_generate(context, 0, c->ids.data, c->ids.count, &g, on_reply, &r, &result, &error);
    size_t right = 0;
    while (right < r.ids.count && right < c->greedy.count && r.ids.data[right] == c->greedy.data[right])
        right++;
    int has_vocab = llama4_model_get_vocab(model) != NULL;
    if (status)
        report_failed(name, "%s", error.message);
    else if (right != c->greedy.count || right != r.ids.count)
        report_failed(name, "%zu of %zu ids equal, %zu generated: \"%s\", want \"%s\"", right, c->greedy.count, r.ids.count, r.text ? r.text : "",
                      c->text ? c->text : "");
    else if (has_vocab && result.stopped != LLAMA4_STOPPED_TOKEN)
        report_failed(name, "the ids are equal, but no stop token ended the answer");
    else if (has_vocab && c->text && (r.length != c->text_length || memcmp(r.text, c->text, r.length) != 0))
        report_failed(name, "the ids are equal, but the text is \"%s\", want \"%s\"", r.text, c->text);
    else
        report_passed(name, "%zu ids: \"%s\"", right, r.text ? r.text : "");
    llama4_context_release(context);
    free(embeddings);
    free(r.ids.data);
    free(r.text);
}

static void run_reference(folder *f)
{
    llama4_error error = LLAMA4_ERROR_INIT;
    char *path = xprintf("%s/reference.json", f->path);
    case_list list;
    if (cases_read(path, 0, &list, &error))
        report_failed(f->name, "%s", error.message);
    for (size_t i = 0; i < list.count; i++) {
        const golden_case *c = &list.data[i];
        char *name = xprintf("%s/%zu%s%s", f->name, i, c->task ? " " : "", c->task ? c->task : "");
        llama4_model_info info = {.struct_size = sizeof info};
        if (!c->ids.count || !c->greedy.count)
            report_failed(name, "no prompt_ids or no greedy_ids");
        else if (!folder_model(f) || llama4_model_get_info(f->model, &info, NULL))
            report_failed(name, "%s", f->model_error);
        else if (c->image && !info.vision_layers)
            report_skipped(name, "the model has no picture encoder: needs --vision");
        else
            answer_case(f->model, f->path, name, c, f->o);
        free(name);
    }
    cases_free(&list);
    free(path);
}

/* ---- manifest.json ---- */

static void set_case(llama4_model *model, const char *name, const golden_set *s, const char *tokens, size_t n_bytes, const char *logits,
                     size_t n_logit_bytes, const options *o)
{
    llama4_error error = LLAMA4_ERROR_INIT;
    llama4_model_info info = {.struct_size = sizeof info};
    size_t n = n_bytes / 4, rows = s->positions ? s->n_positions : n;
    if (llama4_model_get_info(model, &info, &error))
        report_failed(name, "%s", error.message);
    else if (n == 0 || n_bytes % 4 || (s->n_tokens >= 0 && (uint64_t)s->n_tokens != n))
        report_failed(name, "tokens.i32 has %zu bytes, the manifest says %lld tokens", n_bytes, (long long)s->n_tokens);
    else if (rows == 0 || (s->positions && (uint64_t)s->positions[rows - 1] >= n))
        report_failed(name, "positions go beyond the tokens");
    else if (s->vocabulary >= 0 && s->vocabulary != info.vocab_size)
        report_failed(name, "the model's vocabulary is %ld, the manifest says %lld", (long)info.vocab_size, (long long)s->vocabulary);
    else if (n_logit_bytes != rows * (size_t)info.vocab_size * 4)
        report_failed(name, "logits.f32 has %zu bytes, not those of [%zu, %ld]", n_logit_bytes, rows, (long)info.vocab_size);
    else {
        int32_t *ids = xmalloc(n_bytes);
        memcpy(ids, tokens, n_bytes);
        text_case c = {name, ids, n, s->positions, rows, (const float *)(const void *)logits, NULL, 0};
        text_run(model, &c, o);
        free(ids);
    }
}

/* A picture encoder, with the first of the folder's text models that it fits. */
static void run_encoder(folder *f, const golden_set *s, const char *name, const char *pixels_path, const golden_set *sets, size_t n)
{
    char *vision = xprintf("%s/%s.gguf", f->path, s->name), *projected_path = xprintf("%s/%s.projected.f32", f->path, s->name), *message = NULL;
    size_t n_pixels = 0, n_projected = 0;
    char *pixels = read_file(pixels_path, &n_pixels), *projected = read_file(projected_path, &n_projected);
    llama4_model *model = NULL;
    for (size_t i = 0; i < n && !model; i++) {
        char *text = xprintf("%s/%s.gguf", f->path, sets[i].name);
        free(message);
        message = NULL;
        if (strcmp(sets[i].name, s->name) != 0)
            model = open_model(text, vision, &message);
        free(text);
    }
    if (!pixels || !projected)
        report_failed(name, "%s cannot be read", pixels ? projected_path : pixels_path);
    else if (!model)
        report_failed(name, "%s", message ? message : "no text model in the folder");
    else
        encoder_run(model, name, (const float *)(const void *)pixels, n_pixels / 4, (const float *)(const void *)projected, n_projected / 4, f->o);
    llama4_model_release(model);
    free(vision);
    free(projected_path);
    free(message);
    free(pixels);
    free(projected);
}

static void run_set(folder *f, const golden_set *s, const golden_set *sets, size_t n)
{
    char *gguf = xprintf("%s/%s.gguf", f->path, s->name), *name = xprintf("%s/%s", f->name, s->name), *message = NULL;
    char *ids_path = xprintf("%s/%s.tokens.i32", f->path, s->name), *logits_path = xprintf("%s/%s.logits.f32", f->path, s->name);
    char *pixels_path = xprintf("%s/%s.pixels.f32", f->path, s->name);
    size_t n_ids = 0, n_logits = 0;
    char *ids = read_file(ids_path, &n_ids), *logits = read_file(logits_path, &n_logits);
    if (!ids && !logits && path_exists(pixels_path))
        run_encoder(f, s, name, pixels_path, sets, n);
    else if (!ids || !logits)
        report_failed(name, "%s cannot be read", ids ? logits_path : ids_path);
    else {
        llama4_model *model = open_model(f->o->model ? f->o->model : gguf, NULL, &message);
        if (model)
            set_case(model, name, s, ids, n_ids, logits, n_logits, f->o);
        else
            report_failed(name, "%s", message);
        llama4_model_release(model);
    }
    free(gguf);
    free(name);
    free(message);
    free(ids_path);
    free(logits_path);
    free(pixels_path);
    free(ids);
    free(logits);
}

static void run_manifest(folder *f)
{
    llama4_error error = LLAMA4_ERROR_INIT;
    char *path = xprintf("%s/manifest.json", f->path);
    golden_set *sets;
    size_t n;
    if (manifest_read(path, &sets, &n, &error))
        report_failed(f->name, "%s", error.message);
    for (size_t i = 0; i < n; i++)
        run_set(f, &sets[i], sets, n);
    manifest_free(sets, n);
    free(path);
}

/* ---- folders ---- */

/* Runs what the folder itself holds; returns 0 if that is nothing. */
static int run_one(const char *path, const options *o, char *const *names, size_t n)
{
    char *name = xprintf("%s", last_part(path));
    folder f = {.path = path, .name = name, .o = o};
    int found = 0;
    while (strlen(name) > 1 && ends_with(name, "/"))
        name[strlen(name) - 1] = 0;
    for (size_t i = 0; i < n; i++) {
        found++;
        if (strcmp(names[i], "cases.json") == 0)
            run_cases(&f, names[i], 0);
        else if (ends_with(names[i], ".jsonl"))
            run_cases(&f, names[i], 1);
        else if (strcmp(names[i], "manifest.json") == 0)
            run_manifest(&f);
        else if (strcmp(names[i], "reference.json") == 0)
            run_reference(&f);
        else if (strcmp(names[i], "image_geometry.csv") == 0) {
            char *csv = xprintf("%s/%s", path, names[i]);
            geometry_run(csv);
            free(csv);
        } else
            found--;
    }
    llama4_model_release(f.model);
    llama4_vocab_release(f.vocab);
    free(f.model_memory);
    free(f.model_path);
    free(f.model_error);
    free(name);
    return found;
}

static void search(const char *path, const options *o, int depth)
{
    size_t n = 0;
    char **names = list_directory(path, &n);
    if (!names) {
        report_failed(path, "is no folder that can be read");
        return;
    }
    if (!run_one(path, o, names, n) && depth > 0)
        for (size_t i = 0; i < n; i++) {
            char *inside = xprintf("%s/%s", path, names[i]);
            if (path_is_directory(inside))
                search(inside, o, depth - 1);
            free(inside);
        }
    list_free(names, n);
}

void folder_run(const char *path, const options *o)
{
    size_t before = report_count();
    search(path, o, DEPTH);
    if (report_count() == before)
        report_failed(path, "holds no case");
}
