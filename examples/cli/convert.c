/* llama4 convert: a model of any form in, one GGUF file out. */
#include <string.h>

#include "commands.h"
#include "term.h"

static void warn(void *user, int32_t level, const char *message)
{
    progress_end(user);
    if (level == LLAMA4_LOG_WARNING)
        fprintf(stderr, "llama4: warning: %s\n", message);
}

/* What was written, on standard error. */
static void summarise(const char *path, double seconds)
{
    llama4_model_params params;
    llama4_model_info info = {.struct_size = sizeof info};
    llama4_model *model;
    llama4_model_params_init(&params, sizeof params);
    params.flags = LLAMA4_MODEL_HEADER_ONLY;
    if (llama4_model_open(path, &params, &model, NULL))
        return;
    if (llama4_model_get_info(model, &info, NULL) == LLAMA4_OK)
        fprintf(stderr, "%s: %d tensors, mostly %s, %.1f MB, %.1f million parameters%s, in %.1f s\n", path, info.tensors,
                info.type, (double)info.tensor_bytes / 1e6, (double)(info.layers ? info.parameters : info.vision_parameters) / 1e6,
                info.has_vocabulary || !info.layers ? "" : ", no vocabulary", seconds);
    llama4_model_release(model);
}

/* What both commands are told. */
typedef struct arguments {
    const char *in, *out, *vision, *type, *vocabulary, *imatrix; /* out: of the text part, vision: of the picture encoder; one of them may be NULL */
    uint32_t flags;
    const char *what;
} arguments;

static int write_part(const arguments *a, const char *out, uint32_t flags)
{
    llama4_error error = LLAMA4_ERROR_INIT;
    llama4_convert_params params;
    progress bar;
    progress_start(&bar, a->what);
    double started = now();
    llama4_convert_params_init(&params, sizeof params);
    params.flags = a->flags | flags;
    params.type = a->type;
    params.vocabulary_path = a->vocabulary;
    params.imatrix_path = flags & LLAMA4_CONVERT_VISION ? NULL : a->imatrix;
    params.log = warn;
    params.log_user = &bar;
    params.progress = progress_step;
    params.progress_user = &bar;
    llama4_status result = llama4_convert(a->in, out, &params, &error);
    progress_end(&bar);
    if (result)
        return fail(&error);
    summarise(out, now() - started);
    return 0;
}

static int write_parts(const command *c, const arguments *a)
{
    if (!a->out && !a->vision)
        return options_mistake(c, "missing argument: OUT.gguf, or --mmproj, or both");
    int status = a->out ? write_part(a, a->out, 0) : 0;
    return status || !a->vision ? status : write_part(a, a->vision, LLAMA4_CONVERT_VISION);
}

static int known(const char *type, const char *const *list, size_t n)
{
    while (n && strcmp(type, list[n - 1]) != 0)
        n--;
    return n > 0;
}

#define MMPROJ "write the picture encoder, if the model has one, to this\nfile, as programs know it that call it mmproj"
#define VOCABULARY "take the vocabulary from this tokenizer.json,\ntokenizer.model or GGUF"

static int run(int argc, char **argv)
{
    static const char *const types[] = {"f32", "f16", "bf16", "q8_0", "q4_0"};
    const char *operands[2] = {NULL, NULL};
    arguments a = {.what = "converting"};
    const option options[] = {
        {"type", 0, OPTION_TEXT, &a.type, "TYPE", "of the matrices: f32, f16, bf16, q8_0 or q4_0\n(default: as they are)", 0, 0},
        {"mmproj", 0, OPTION_TEXT, &a.vision, "OUT", MMPROJ, 0, 0},
        {"vocab", 0, OPTION_TEXT, &a.vocabulary, "FILE", VOCABULARY, 0, 0},
    };
    int n, status = options_parse(&convert_command, options, sizeof options / sizeof *options, argc, argv, operands, &n);
    if (status != OPTIONS_GO_ON)
        return status;
    if (a.type && !known(a.type, types, sizeof types / sizeof *types))
        return options_mistake(&convert_command, "--type '%.40s' is not one of f32, f16, bf16, q8_0, q4_0", a.type);
    a.in = operands[0];
    a.out = operands[1];
    return write_parts(&convert_command, &a);
}

static int run_quantize(int argc, char **argv)
{
    static const char *const types[] = {"q4_0",   "q4_1",   "q5_0",   "q5_1",   "q8_0",   "q2_k",   "q3_k",   "q4_k",   "q5_k",   "q6_k",   "iq4_nl",
                                        "iq4_xs", "mxfp4",  "q2_k_m", "q3_k_s", "q3_k_m", "q3_k_l", "q4_k_s", "q4_k_m", "q5_k_s", "q5_k_m"};
    const char *operands[2] = {NULL, NULL};
    arguments a = {.what = "quantising", .flags = LLAMA4_CONVERT_SEARCH};
    const option options[] = {
        {"type", 0, OPTION_TEXT, &a.type, "TYPE",
         "q4_0, q4_1, q5_0, q5_1, q8_0, q2_k, q3_k, q4_k,\nq5_k, q6_k, iq4_nl, iq4_xs, mxfp4, or a mix:\nq2_k_m, q3_k_s, q3_k_m, q3_k_l, q4_k_s, "
         "q4_k_m,\nq5_k_s, q5_k_m",
         0, 0},
        {"imatrix", 0, OPTION_TEXT, &a.imatrix, "FILE",
         "an importance matrix made by llama-imatrix, old or new", 0, 0},
        {"mmproj", 0, OPTION_TEXT, &a.vision, "OUT", MMPROJ, 0, 0},
        {"vocab", 0, OPTION_TEXT, &a.vocabulary, "FILE", VOCABULARY, 0, 0},
    };
    char lower[16];
    int n, status = options_parse(&quantize_command, options, sizeof options / sizeof *options, argc, argv, operands, &n);
    if (status != OPTIONS_GO_ON)
        return status;
    if (!a.type)
        return options_mistake(&quantize_command, "--type is missing");
    size_t length = strlen(a.type) < sizeof lower ? strlen(a.type) : sizeof lower - 1;
    for (size_t i = 0; i <= length; i++)
        lower[i] = (char)(i == length ? 0 : a.type[i] >= 'A' && a.type[i] <= 'Z' ? a.type[i] - 'A' + 'a' : a.type[i]);
    if (strlen(a.type) >= sizeof lower || !known(lower, types, sizeof types / sizeof *types))
        return options_mistake(&quantize_command, "--type '%.40s' is none of the types that --help lists", a.type);
    a.type = lower;
    a.in = operands[0];
    a.out = operands[1];
    return write_parts(&quantize_command, &a);
}

const command convert_command = {
    "convert",
    "DIR [OUT.gguf]",
    "Writes the text part of a model as one GGUF file, its picture encoder as another.",
    "DIR is a Hugging Face directory (config.json, safetensors, tokenizer.json or tokenizer.model) or a GGUF file.\n"
    "OUT.gguf appears, or is replaced, only when it is complete. Norms and routers are always float32.\n",
    1,
    2,
    run};

const command quantize_command = {
    "quantize",
    "IN [OUT.gguf]",
    "Writes a model with fewer bits for each weight.",
    "IN is a Hugging Face directory or a GGUF file, best in f32, f16 or bf16.\n"
    "A mix gives the matrices that need them more bits: values, the second\n"
    "feed-forward matrices, and the output. Rows that blocks of 256 do not divide\n"
    "get blocks of 32. Norms and routers stay float32. OUT.gguf appears, or is\n"
    "replaced, only when it is complete, and is the same on every machine.\n",
    1,
    2,
    run_quantize};
