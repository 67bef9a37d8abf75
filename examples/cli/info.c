/* llama4 info: what is in a model's files, from their headers alone. */
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "term.h"

typedef struct type_sum {
    const char *name;
    int64_t tensors, bytes;
} type_sum;

typedef struct summary {
    llama4_model_info info;
    llama4_tensor_info *tensors; /* [info.tensors] */
    type_sum *types;             /* [n_types], most bytes first */
    size_t n_types;
} summary;

static int by_bytes(const void *a, const void *b)
{
    const type_sum *x = a, *y = b;
    return (x->bytes < y->bytes) - (x->bytes > y->bytes);
}

static void count_type(summary *s, const llama4_tensor_info *t)
{
    size_t i = 0;
    while (i < s->n_types && strcmp(s->types[i].name, t->type_name) != 0)
        i++;
    if (i == s->n_types)
        s->types[s->n_types++].name = t->type_name;
    s->types[i].tensors++;
    s->types[i].bytes += t->bytes;
}

static int summarise(const llama4_model *model, summary *s)
{
    llama4_error error = LLAMA4_ERROR_INIT;
    s->info.struct_size = sizeof s->info;
    if (llama4_model_get_info(model, &s->info, &error))
        return fail(&error);
    size_t n = (size_t)s->info.tensors;
    s->tensors = calloc(n + 1, sizeof *s->tensors);
    s->types = calloc(n + 1, sizeof *s->types);
    if (!s->tensors || !s->types)
        return fail_text("out of memory");
    for (size_t i = 0; i < n; i++) {
        s->tensors[i].struct_size = sizeof *s->tensors;
        if (llama4_model_get_tensor(model, (int32_t)i, &s->tensors[i], &error))
            return fail(&error);
        count_type(s, &s->tensors[i]);
    }
    qsort(s->types, s->n_types, sizeof *s->types, by_bytes);
    return 0;
}

/* A large number for people: 10.7 million. */
static void print_count(int64_t n)
{
    if (n >= 1000000000)
        out_print("%.2f billion", (double)n / 1e9);
    else if (n >= 1000000)
        out_print("%.2f million", (double)n / 1e6);
    else
        out_print("%lld", (long long)n);
}

static void print_bytes(int64_t n)
{
    static const char *const units[] = {"bytes", "kB", "MB", "GB", "TB"};
    double value = (double)n;
    size_t unit = 0;
    for (; value >= 1000.0 && unit < 4; unit++)
        value /= 1000.0;
    out_print(unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
}

static void row(const char *name)
{
    out_print("%-15s", name);
}

static void print_shape(const llama4_model_info *i)
{
    row("layers");
    out_print("%d, width %d\n", i->layers, i->embedding_length);
    row("attention");
    out_print("%d heads of %d, %d for keys and values%s\n", i->heads, i->head_length, i->kv_heads, i->qk_norm ? ", QK norm" : "");
    row("positions");
    out_print("rotary in %d layers", i->rope_layers);
    if (i->chunk_size > 0)
        out_print(" in chunks of %d", i->chunk_size);
    out_print(", base %.10g", (double)i->rope_base);
    if (i->rope_factor > 1.0f)
        out_print(", scaled by up to %g", (double)i->rope_factor);
    out_print("\n");
    if (i->temperature_scale > 0.0f && i->rope_layers < i->layers) {
        row("");
        out_print("attention temperature %g per %d in the other %d\n", (double)i->temperature_scale, i->temperature_length,
                  i->layers - i->rope_layers);
    }
    row("feed-forward");
    if (i->moe_layers < i->layers)
        out_print("%d dense layers, width %d", i->layers - i->moe_layers, i->feed_forward_length);
    if (i->moe_layers > 0)
        out_print("%s%d layers of %d experts, %d used, width %d", i->moe_layers < i->layers ? "; " : "", i->moe_layers,
                  i->experts, i->experts_used, i->expert_feed_forward_length);
    out_print("\n");
    row("vocabulary");
    out_print("%d%s\n", i->vocab_size, i->has_vocabulary ? "" : ", but the files hold no tokens");
    row("context");
    out_print("%lld positions\n", (long long)i->context_length);
}

static void print_vision(const llama4_model_info *i)
{
    row("pictures");
    out_print("%d layers, width %d, %d heads, hidden %d, ", i->vision_layers, i->vision_width, i->vision_heads, i->vision_feed_forward_length);
    print_count(i->vision_parameters);
    out_print(" parameters\n");
    row("");
    out_print("tiles of %d x %d pixels, %d embeddings each, at most %d and the whole\n", i->tile_size, i->tile_size, i->tile_tokens, i->max_tiles);
}

static void print_table(const summary *s)
{
    const llama4_model_info *i = &s->info;
    if (i->name[0]) {
        row("name");
        out_safe(i->name);
        out_print("\n");
    }
    row("format");
    out_print("%s, %d file%s\n", i->format, i->files, i->files == 1 ? "" : "s");
    if (i->layers) { /* otherwise a picture encoder alone */
        row("parameters");
        print_count(i->parameters);
        out_print(", ");
        print_count(i->active_parameters);
        out_print(" used per token\n");
    }
    row("tensors");
    out_print("%d, ", i->tensors);
    print_bytes(i->tensor_bytes);
    out_print("\n");
    for (size_t k = 0; k < s->n_types; k++) {
        row("");
        out_print("%-6s %5lld tensors, ", s->types[k].name, (long long)s->types[k].tensors);
        print_bytes(s->types[k].bytes);
        out_print("\n");
    }
    if (i->layers)
        print_shape(i);
    if (i->vision_layers)
        print_vision(i);
}

/* How a tensor takes part in computing. */
static const char *path_name(int32_t path)
{
    static const char *const names[] = {"-", "float", "int8", "rows", "vector"};
    return path >= 0 && (size_t)path < sizeof names / sizeof *names ? names[path] : "?";
}

static void print_tensors(const summary *s)
{
    out_print("\n%-7s %-6s %-24s %14s %14s  %s\n", "type", "path", "shape, fastest first", "bytes", "offset",
              s->info.files > 1 ? "file, name" : "name");
    for (int32_t k = 0; k < s->info.tensors; k++) {
        const llama4_tensor_info *t = &s->tensors[k];
        char shape[100] = "";
        for (int32_t d = 0; d < t->n_dims; d++)
            snprintf(shape + strlen(shape), sizeof shape - strlen(shape), "%s%lld", d ? " x " : "", (long long)t->dims[d]);
        out_print("%-7s %-6s %-24s %14lld %14lld  ", t->type_name, path_name(t->path), shape, (long long)t->bytes, (long long)t->offset);
        if (s->info.files > 1)
            out_print("%d ", t->file);
        out_safe(t->name);
        out_print("\n");
    }
}

static void json_text(const char *name, const char *value)
{
    out_print("\"%s\": ", name);
    out_json(value, strlen(value));
    out_print(", ");
}

static void json_int(const char *name, int64_t value)
{
    out_print("\"%s\": %lld, ", name, (long long)value);
}

static void json_float(const char *name, float value)
{
    out_print("\"%s\": %.9g, ", name, (double)value);
}

static void print_json(const summary *s, int with_tensors)
{
    const llama4_model_info *i = &s->info;
    out_print("{");
    json_text("name", i->name);
    json_text("format", i->format);
    json_text("type", i->type);
    json_int("files", i->files);
    json_int("parameters", i->parameters);
    json_int("active_parameters", i->active_parameters);
    json_int("tensors", i->tensors);
    json_int("tensor_bytes", i->tensor_bytes);
    json_int("layers", i->layers);
    json_int("embedding_length", i->embedding_length);
    json_int("heads", i->heads);
    json_int("kv_heads", i->kv_heads);
    json_int("head_length", i->head_length);
    json_int("feed_forward_length", i->feed_forward_length);
    json_int("expert_feed_forward_length", i->expert_feed_forward_length);
    json_int("experts", i->experts);
    json_int("experts_used", i->experts_used);
    json_int("moe_layers", i->moe_layers);
    json_int("rope_layers", i->rope_layers);
    json_int("chunk_size", i->chunk_size);
    json_int("vocab_size", i->vocab_size);
    json_int("context_length", i->context_length);
    json_float("rope_base", i->rope_base);
    json_float("rope_factor", i->rope_factor);
    json_float("temperature_scale", i->temperature_scale);
    json_int("temperature_length", i->temperature_length);
    json_float("norm_epsilon", i->norm_epsilon);
    if (i->vision_layers)
        out_print("\"vision\": {\"layers\": %d, \"width\": %d, \"heads\": %d, \"feed_forward_length\": %d, \"parameters\": %lld, \"tile_size\": %d, "
                  "\"patch_size\": %d, \"tile_tokens\": %d, \"max_tiles\": %d}, ",
                  i->vision_layers, i->vision_width, i->vision_heads, i->vision_feed_forward_length, (long long)i->vision_parameters, i->tile_size,
                  i->patch_size, i->tile_tokens, i->max_tiles);
    else
        out_print("\"vision\": null, ");
    out_print("\"qk_norm\": %s, \"has_vocabulary\": %s, \"types\": [", i->qk_norm ? "true" : "false",
              i->has_vocabulary ? "true" : "false");
    for (size_t k = 0; k < s->n_types; k++)
        out_print("%s{\"type\": \"%s\", \"tensors\": %lld, \"bytes\": %lld}", k ? ", " : "", s->types[k].name,
                  (long long)s->types[k].tensors, (long long)s->types[k].bytes);
    out_print("]");
    for (int32_t k = 0; with_tensors && k < i->tensors; k++) {
        const llama4_tensor_info *t = &s->tensors[k];
        out_print("%s{\"name\": ", k ? ", " : ", \"tensor_list\": [");
        out_json(t->name, strlen(t->name));
        out_print(", \"type\": \"%s\", \"path\": \"%s\", \"shape\": [", t->type_name, path_name(t->path));
        for (int32_t d = 0; d < t->n_dims; d++)
            out_print("%s%lld", d ? ", " : "", (long long)t->dims[d]);
        out_print("], \"bytes\": %lld, \"offset\": %lld, \"file\": %d}%s", (long long)t->bytes, (long long)t->offset, t->file,
                  k + 1 == i->tensors ? "]" : "");
    }
    out_print("}\n");
}

static int run(int argc, char **argv)
{
    const char *vision = NULL;
    int json = 0, tensors = 0, n;
    const option options[] = {
        {"tensors", 0, OPTION_FLAG, &tensors, NULL, "list every tensor, and how it is computed with", 0, 0},
        {"json", 0, OPTION_FLAG, &json, NULL, "print one JSON object", 0, 0},
        {"mmproj", 0, OPTION_TEXT, &vision, "FILE", "the picture encoder of the model in FILE", 0, 0},
    };
    const char *path;
    llama4_error error = LLAMA4_ERROR_INIT;
    llama4_model_params params;
    llama4_model *model;
    summary s = {0};
    int status = options_parse(&info_command, options, sizeof options / sizeof *options, argc, argv, &path, &n);
    if (status != OPTIONS_GO_ON)
        return status;
    llama4_model_params_init(&params, sizeof params);
    params.flags = LLAMA4_MODEL_HEADER_ONLY;
    params.vision_path = vision;
    if (llama4_model_open(path, &params, &model, &error))
        return fail(&error);
    status = summarise(model, &s);
    if (status == 0 && json) {
        print_json(&s, tensors);
    } else if (status == 0) {
        print_table(&s);
        if (tensors)
            print_tensors(&s);
    }
    free(s.tensors);
    free(s.types);
    llama4_model_release(model);
    return status;
}

const command info_command = {
    "info", "FILE", "Shows shape, types, parameters and bytes of a GGUF file or a Hugging Face directory.", NULL, 1, 1, run};
