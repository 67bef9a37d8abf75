/* The smallest host: one question, one answer. */
#include <llama4/llama4.h>
#include <stdio.h>

static int32_t print_text(void *user, int32_t token, const char *text, size_t length)
{
    (void)user, (void)token;
    return fwrite(text, 1, length, stdout) != length; /* not 0 stops */
}

int main(int argc, char **argv)
{
    llama4_error error = LLAMA4_ERROR_INIT;
    llama4_model *model = NULL;
    llama4_context *context = NULL;
    llama4_message question = {.struct_size = sizeof question, .role = "user", .content = argc > 2 ? argv[2] : "What is 11 + 3?"};

    llama4_status status = llama4_model_open(argc > 1 ? argv[1] : "llama4-tiny.gguf", NULL, &model, &error);
    if (status == LLAMA4_OK)
        status = llama4_context_create(model, NULL, &context, &error);
    if (status == LLAMA4_OK)
        status = llama4_context_chat(context, 0, &question, 1, sizeof question, NULL, print_text, NULL, NULL, &error);

    if (status == LLAMA4_OK)
        puts("");
    else
        fprintf(stderr, "embed: %s\n", error.message);
    llama4_context_release(context);
    llama4_model_release(model);
    return status != LLAMA4_OK;
}
