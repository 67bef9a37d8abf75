/* What the same calls give in C, for test_bits.py and test_text.py, which compile this against the repository's build.
 *     reference logits MODEL ID...        float32 logits of every id, as raw bytes
 *     reference generate MODEL SEED TEMPERATURE TOP_K TOP_P MIN_P MAX ID...    ids that follow, on one line */
#include <llama4/llama4.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static llama4_error error = LLAMA4_ERROR_INIT;

static void check(llama4_status status)
{
    if (status) {
        fprintf(stderr, "%s\n", error.message);
        exit(1);
    }
}

static int32_t print(void *user, int32_t token, const char *text, size_t length)
{
    (void)user, (void)text, (void)length;
    if (token >= 0)
        printf("%d ", (int)token);
    return 0;
}

static void logits(llama4_context *context, char **ids, size_t n)
{
    llama4_batch_item *items = calloc(n, sizeof *items);
    const float *row;
    size_t count;
    for (size_t i = 0; i < n; i++)
        items[i] = (llama4_batch_item){.token = atoi(ids[i]), .position = -1, .logits = 1};
    check(llama4_context_decode(context, items, n, sizeof *items, &error));
    for (size_t i = 0; i < n; i++) {
        check(llama4_context_logits(context, i, &row, &count, &error));
        fwrite(row, sizeof *row, count, stdout);
    }
    free(items);
}

static void generate(llama4_model *model, llama4_context *context, char **v, int n)
{
    llama4_generate_params params = {.struct_size = sizeof params, .max_tokens = atoll(v[5])};
    int32_t *prompt = calloc((size_t)n, sizeof *prompt);
    for (int i = 6; i < n; i++)
        prompt[i - 6] = atoi(v[i]);
    check(llama4_sampler_create(model, strtoull(v[0], NULL, 10), &params.sampler, &error));
    check(llama4_sampler_add_temperature(params.sampler, strtof(v[1], NULL), &error));
    check(llama4_sampler_add_top_k(params.sampler, atoi(v[2]), &error));
    check(llama4_sampler_add_top_p(params.sampler, strtof(v[3], NULL), &error));
    check(llama4_sampler_add_min_p(params.sampler, strtof(v[4], NULL), &error));
    check(llama4_context_generate(context, 0, prompt, (size_t)n - 6, &params, print, NULL, NULL, &error));
    llama4_sampler_release(params.sampler);
    free(prompt);
}

int main(int n, char **v)
{
    llama4_model *model;
    llama4_context *context;
    if (n < 4)
        return 2;
    check(llama4_model_open(v[2], NULL, &model, &error));
    check(llama4_context_create(model, NULL, &context, &error));
    if (strcmp(v[1], "logits") == 0)
        logits(context, v + 3, (size_t)n - 3);
    else
        generate(model, context, v + 3, n - 3);
    llama4_context_release(context);
    llama4_model_release(model);
    return fflush(stdout) != 0;
}
