/* llama4 convert: a model of any form in, one GGUF file out. */
#include <string.h>

#include "commands.h"
#include "term.h"

static const char *const types[] = {"f32", "f16", "bf16", "q8_0", "q4_0"};

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
                info.type, (double)info.tensor_bytes / 1e6, (double)info.parameters / 1e6,
                info.has_vocabulary ? "" : ", no vocabulary", seconds);
    llama4_model_release(model);
}

static int run(int argc, char **argv)
{
    const char *type = NULL, *vocabulary = NULL, *operands[2];
    const option options[] = {
        {"type", 0, OPTION_TEXT, &type, "TYPE", "of the matrices: f32, f16, bf16, q8_0 or q4_0\n(default: as they are)", 0, 0},
        {"vocab", 0, OPTION_TEXT, &vocabulary, "FILE", "take the vocabulary from this tokenizer.json,\ntokenizer.model or GGUF",
         0, 0},
    };
    llama4_error error = LLAMA4_ERROR_INIT;
    llama4_convert_params params;
    progress bar;
    size_t known = 0;
    int n, status = options_parse(&convert_command, options, sizeof options / sizeof *options, argc, argv, operands, &n);
    if (status != OPTIONS_GO_ON)
        return status;
    while (type && known < sizeof types / sizeof *types && strcmp(type, types[known]) != 0)
        known++;
    if (known == sizeof types / sizeof *types)
        return options_mistake(&convert_command, "--type '%.40s' is not one of f32, f16, bf16, q8_0, q4_0", type);
    progress_start(&bar, "converting");
    double started = now();
    llama4_convert_params_init(&params, sizeof params);
    params.type = type;
    params.vocabulary_path = vocabulary;
    params.log = warn;
    params.log_user = &bar;
    params.progress = progress_step;
    params.progress_user = &bar;
    llama4_status result = llama4_convert(operands[0], operands[1], &params, &error);
    progress_end(&bar);
    if (result)
        return fail(&error);
    summarise(operands[1], now() - started);
    return 0;
}

const command convert_command = {
    "convert",
    "DIR OUT.gguf",
    "Writes the text part of a model as one GGUF file.",
    "DIR is a Hugging Face directory (config.json, safetensors, tokenizer.json or tokenizer.model) or a GGUF file.\n"
    "OUT.gguf appears, or is replaced, only when it is complete. Norms and routers are always float32.\n",
    2,
    2,
    run};
