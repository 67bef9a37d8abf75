/* A llama4_context_decode to be preloaded that does nothing for token 5, so that what is left of a call is what it costs to make it; any
 * other token is decoded. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <llama4/llama4.h>

typedef llama4_status (*decode_fn)(llama4_context *, const llama4_batch_item *, size_t, size_t, llama4_error *);

llama4_status llama4_context_decode(llama4_context *context, const llama4_batch_item *items, size_t n_items, size_t stride, llama4_error *error)
{
    if (n_items == 1 && items->token == 5)
        return LLAMA4_OK;
    decode_fn decode;
    *(void **)&decode = dlsym(RTLD_NEXT, "llama4_context_decode");
    return decode ? decode(context, items, n_items, stride, error) : LLAMA4_ERR_SYSTEM;
}
