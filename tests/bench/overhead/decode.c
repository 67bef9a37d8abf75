/* What a decode of one token costs in C, for python_calls.py, which compiles this and hands in the functions of the very library that it
 * measures itself: the same code, the same context, in turns. */
#include <stdint.h>
#include <time.h>

#include <llama4/llama4.h>

typedef llama4_status (*decode_fn)(llama4_context *, const llama4_batch_item *, size_t, size_t, llama4_error *);
typedef llama4_status (*truncate_fn)(llama4_context *, int32_t, int64_t, llama4_error *);

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* n times: decode a token at position 0 and take it back; seconds[i] is what the decode took. */
int measure(decode_fn decode, truncate_fn truncate, llama4_context *context, int32_t token, size_t n, double *seconds)
{
    llama4_error error = LLAMA4_ERROR_INIT;
    for (size_t i = 0; i < n; i++) {
        llama4_batch_item item = {token, 0, -1, 1, 0};
        double start = now();
        llama4_status status = decode(context, &item, 1, sizeof item, &error);
        seconds[i] = now() - start;
        if (status || (status = truncate(context, 0, 0, &error)))
            return status;
    }
    return 0;
}
