/* rust_calls MODEL CALLS: nanoseconds of one decode of one token, and of one decode with a look at its logits. The same loop as
 * bindings/rust/llama4/benches/overhead.rs; run by rust_calls.sh. */
#include <llama4/llama4.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double now(void)
{
    struct timespec t;
    timespec_get(&t, TIME_UTC);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int step(llama4_context *context, int32_t token, llama4_error *error)
{
    llama4_batch_item item = {.token = token, .position = -1, .logits = 1};
    return llama4_context_decode(context, &item, 1, sizeof item, error);
}

int main(int argc, char **argv)
{
    llama4_error error = LLAMA4_ERROR_INIT;
    llama4_context_params params = {.struct_size = sizeof params, .threads = 1, .sequences = 1};
    llama4_model *model = NULL;
    llama4_context *context = NULL;
    float sum = 0.0f;
    if (argc != 3)
        return 2;
    int calls = atoi(argv[2]);
    if (llama4_model_open(argv[1], NULL, &model, &error) || llama4_context_create(model, &params, &context, &error) ||
        step(context, 6, &error))
        return fprintf(stderr, "%s\n", error.message), 1;
    for (int look = 0; look < 2; look++) {
        double start = now();
        for (int i = 0; i < calls; i++) {
            const float *logits = NULL;
            size_t n;
            if (step(context, 5, &error))
                return fprintf(stderr, "%s\n", error.message), 1;
            if (look && llama4_context_logits(context, 0, &logits, &n, &error))
                return fprintf(stderr, "%s\n", error.message), 1;
            sum += look ? logits[0] : 0.0f;
        }
        printf("%.2f ", (now() - start) / calls);
    }
    printf("%s\n", sum != sum ? "nan" : "");
    llama4_context_release(context);
    llama4_model_release(model);
    return 0;
}
