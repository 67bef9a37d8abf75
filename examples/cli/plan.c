/* llama4 plan: whether a model fits into memory and how fast it will be, before it is loaded, or even downloaded. */
#include <math.h>
#include <string.h>

#include "commands.h"
#include "session.h"
#include "term.h"

static const char *const fit_names[] = {"no", "streamed", "whole"};

/* In units of 1024, like the sizes that --memory takes. */
static const char *size_text(char text[32], int64_t n)
{
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB"};
    double value = (double)n;
    size_t unit = 0;
    for (; value >= 1023.95 && unit < 5; unit++)
        value /= 1024.0;
    snprintf(text, 32, unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
    return text;
}

static void row(const char *name)
{
    out_print("%-10s", name);
}

static void size_row(const char *name, int64_t n)
{
    char text[32];
    row("");
    out_print("%-22s %10s", name, size_text(text, n));
}

static void print_memory(const llama4_plan_result *r, const char *kv, int64_t batch)
{
    char text[32];
    row("memory");
    out_print("%-22s %10s\n", "to be used", size_text(text, r->memory_bytes));
    size_row("weights of every token", r->resident_bytes);
    out_print("\n");
    size_row("keys and values", r->kv_bytes);
    out_print("  %lld positions, %s\n", (long long)r->context_length, kv);
    size_row("intermediate results", r->scratch_bytes);
    out_print("  %lld tokens at once\n", (long long)batch);
    if (r->experts > 0) {
        size_row("experts", r->pool_bytes);
        out_print("  %lld of %lld (%.0f %%), %s each\n", (long long)r->cached_experts, (long long)r->experts,
                  floor(100.0 * (double)r->cached_experts / (double)r->experts), size_text(text, r->expert_bytes));
    }
    size_row("needed at least", r->least_bytes);
    out_print("\n");
    if (r->whole_bytes > r->least_bytes) {
        size_row("needed for all weights", r->whole_bytes);
        out_print("\n");
    }
}

static void print_rate(const char *name, double rate)
{
    if (rate > 0)
        out_print("%s %.*f", name, rate < 9.995 ? 2 : 1, rate);
    else
        out_print("%s n/a", name);
}

static void print_speed(const llama4_plan_result *r)
{
    const int known = r->memory_rate > 0 || r->compute_rate > 0 || r->disk_rate > 0;
    row("speed");
    if (r->fits == LLAMA4_FITS_NOT) {
        out_print("none\n");
    } else if (!known) {
        out_print("unknown; --measure finds it out\n");
    } else {
        print_rate("decode", r->decode_rate);
        print_rate(" tokens/s,", r->full_decode_rate);
        print_rate(" when the context is full, prefill", r->prefill_rate);
        out_print("\n");
    }
    if (!known)
        return;
    row("machine");
    print_rate("memory", r->memory_rate / 1e9);
    print_rate(" GB/s, products", r->compute_rate / 1e9);
    print_rate(" billion/s, disk", r->disk_rate / 1e9);
    out_print(" GB/s\n");
}

static void print_table(const llama4_plan_result *r, const char *kv, int64_t batch)
{
    char text[32];
    row("model");
    out_safe(r->name[0] ? r->name : "without a name");
    out_print(", %.2f billion parameters, %.2f billion used per token\n", (double)r->parameters / 1e9,
              (double)r->active_parameters / 1e9);
    row("weights");
    out_print("%s, mostly %s\n", size_text(text, r->weight_bytes), r->type);
    if (r->missing_files > 0) {
        row("missing");
        out_print("%d file%s, or what follows the header; %s of weights are estimated\n", r->missing_files, r->missing_files == 1 ? "" : "s",
                  size_text(text, r->estimated_bytes));
    }
    if (r->guessed_shape) {
        row("assumed");
        out_print("layers, widths, heads, vocabulary and positions; announced were 16 experts, 288 billion\n");
        row("");
        out_print("parameters used per token, and 2 trillion in all\n");
    }
    print_memory(r, kv, batch);
    row("fits");
    out_print(r->fits == LLAMA4_FITS_WHOLE      ? "yes, all of it\n"
              : r->fits == LLAMA4_FITS_STREAMED ? "yes; experts that are not in memory are read when a token needs them\n"
                                                : "no\n");
    print_speed(r);
}

static void json_int(const char *name, int64_t value)
{
    out_print("\"%s\": %lld, ", name, (long long)value);
}

static void json_rate(const char *name, double value, const char *end)
{
    out_print("\"%s\": ", name);
    out_json_real(value > 0 ? value : NAN);
    out_print("%s", end);
}

static void print_json(const llama4_plan_result *r, const char *kv, int64_t batch)
{
    out_print("{\"name\": ");
    out_json(r->name, strlen(r->name));
    out_print(", \"type\": ");
    out_json(r->type, strlen(r->type));
    out_print(", \"fits\": \"%s\", \"kv\": \"%s\", \"guessed_shape\": %s, ", fit_names[r->fits], kv, r->guessed_shape ? "true" : "false");
    json_int("missing_files", r->missing_files);
    json_int("parameters", r->parameters);
    json_int("active_parameters", r->active_parameters);
    json_int("context_length", r->context_length);
    json_int("batch_size", batch);
    json_int("memory_bytes", r->memory_bytes);
    json_int("least_bytes", r->least_bytes);
    json_int("whole_bytes", r->whole_bytes);
    json_int("weight_bytes", r->weight_bytes);
    json_int("estimated_bytes", r->estimated_bytes);
    json_int("resident_bytes", r->resident_bytes);
    json_int("pool_bytes", r->pool_bytes);
    json_int("kv_bytes", r->kv_bytes);
    json_int("scratch_bytes", r->scratch_bytes);
    json_int("experts", r->experts);
    json_int("cached_experts", r->cached_experts);
    json_int("expert_bytes", r->expert_bytes);
    json_rate("memory_rate", r->memory_rate, ", ");
    json_rate("compute_rate", r->compute_rate, ", ");
    json_rate("disk_rate", r->disk_rate, ", ");
    json_rate("decode_rate", r->decode_rate, ", ");
    json_rate("full_decode_rate", r->full_decode_rate, ", ");
    json_rate("prefill_rate", r->prefill_rate, "}\n");
}

static int run(int argc, char **argv)
{
    int64_t memory = 0, context = 0, batch = 0, threads = 0;
    const char *shape = NULL, *type = NULL, *kv = NULL, *path = NULL;
    int json = 0, measure = 0, n;
    const option options[] = {
        {"memory", 'm', OPTION_SIZE, &memory, "SIZE", "memory that the model may use, such as 16G (default: what this\nmachine has, less what the system needs)", 0, 9e18},
        {"context", 'c', OPTION_SIZE, &context, "N", "positions, such as 32768 or 1M (default 8192)", 0, 16777216},
        {"kv", 0, OPTION_TEXT, &kv, "TYPE", "keys and values as i16 (default), q8_0, f16 or f32", 0, 0},
        {"batch", 'b', OPTION_INT, &batch, "N", "tokens of a prompt (default 512)", 1, 8192},
        {"threads", 't', OPTION_INT, &threads, "N", "default: one per processor", 0, 64},
        {"measure", 0, OPTION_FLAG, &measure, NULL, "measure memory, processor and disk, to tell the speed", 0, 0},
        {"shape", 0, OPTION_TEXT, &shape, "NAME", "instead of a file: scout, maverick or behemoth", 0, 0},
        {"type", 0, OPTION_TEXT, &type, "TYPE", "of the weights that no file at hand tells of, as llama4 quantize\ntakes it (default with --shape: q4_0)", 0, 0},
        {"json", 0, OPTION_FLAG, &json, NULL, "print one JSON object", 0, 0},
    };
    llama4_error error = LLAMA4_ERROR_INIT;
    llama4_plan_params params;
    llama4_plan_result result = {.struct_size = sizeof result};
    int status = options_parse(&plan_command, options, sizeof options / sizeof *options, argc, argv, &path, &n);
    if (status != OPTIONS_GO_ON)
        return status;
    if ((n == 1) == (shape != NULL))
        return options_mistake(&plan_command, n ? "--shape takes the place of a file" : "missing argument: FILE, or --shape");
    llama4_plan_params_init(&params, sizeof params);
    if (context > 16777216)
        return options_mistake(&plan_command, "--context needs a number of positions, at most 16M");
    status = parse_kv(&plan_command, kv, &params.kv_type);
    if (status)
        return status;
    params.flags = measure ? LLAMA4_PLAN_MEASURE : 0;
    params.shape = shape;
    params.type = type;
    params.memory_bytes = memory;
    params.context_length = context;
    params.batch_size = (int32_t)batch;
    params.threads = (int32_t)threads;
    if (llama4_plan(n ? path : NULL, &params, &result, &error))
        return fail(&error);
    kv = kv ? kv : "i16";
    if (json)
        print_json(&result, kv, batch ? batch : 512);
    else
        print_table(&result, kv, batch ? batch : 512);
    return 0;
}

const command plan_command = {
    "plan",
    "[FILE]",
    "Tells whether a model fits into memory, and how fast it will be, from the headers of its files.",
    "Of a split GGUF file the first part is enough, of a Hugging Face directory config.json and the index of its\n"
    "safetensors. The speed of experts that have to be read is that of a prompt whose tokens need each with even odds.\n",
    0,
    1,
    run};
