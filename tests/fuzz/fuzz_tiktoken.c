/* Any bytes as a tiktoken file; a vocabulary that opens must also work. */
#include "fuzz_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    llama4_vocab *v = NULL;
    if (l4_vocab_from_tiktoken(&l4_system_allocator, NULL, data, size, "fuzz.model", &v, NULL) == LLAMA4_OK)
        use_vocab(v, data, size < 512 ? size : 512);
    else if (v)
        abort(); /* an output that a failed call has touched */
    llama4_vocab_release(v);
    return 0;
}
