/* A whole model from untrusted bytes: opened, asked, decoded a few tokens, forked, generated from. The last four bytes of the input are
 * not part of the file: [0], [1] the call of the allocator that fails (0: none), [2] how many tokens, [3] flags: 1 KV in
 * float32, 2 portable C, 4 tokenise and chat, 8 two threads, 16 every later call of the allocator fails too, 32 KV in 8 bits, 64
 * in float16.
 * Nothing may leak, whatever fails; a decode that fails leaves lengths as they were; what is out of memory says so. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "llama4/llama4.h"

#define LIMIT ((size_t)192 << 20) /* of live memory: an allocation beyond it fails */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct heap {
    size_t live, bytes, calls, fail_at;
    int for_ever;
} heap;

typedef struct head {
    void *base;
    size_t size;
} head;

#define REQUIRE(cond)  \
    do {               \
        if (!(cond))   \
            abort();   \
    } while (0)

static void *heap_allocate(void *user, size_t size, size_t alignment)
{
    heap *h = user;
    h->calls++;
    REQUIRE(size > 0 && alignment > 0 && alignment <= 4096 && (alignment & (alignment - 1)) == 0);
    if (h->fail_at && (h->calls == h->fail_at || (h->for_ever && h->calls > h->fail_at)))
        return NULL;
    if (size > LIMIT || h->bytes + size > LIMIT)
        return NULL;
    size_t step = alignment < sizeof(head) ? sizeof(head) : alignment;
    char *base = malloc(size + 2 * step);
    if (!base)
        return NULL;
    char *memory = base + sizeof(head);
    memory += (step - (uintptr_t)memory % step) % step;
    ((head *)(void *)memory)[-1] = (head){base, size};
    h->live++;
    h->bytes += size;
    return memory;
}

static void heap_release(void *user, void *memory)
{
    heap *h = user;
    head *at = (head *)memory - 1;
    REQUIRE(memory && h->live > 0);
    h->live--;
    h->bytes -= at->size;
    free(at->base);
}

static int32_t no_text(void *user, int32_t token, const char *text, size_t length)
{
    (void)user;
    (void)token;
    REQUIRE(text || !length);
    return 0;
}

static void ask(llama4_model *model)
{
    llama4_model_info info = {.struct_size = sizeof info};
    REQUIRE(llama4_model_get_info(model, &info, NULL) == LLAMA4_OK);
    REQUIRE(memchr(info.name, 0, sizeof info.name) && memchr(info.format, 0, sizeof info.format) && info.layers > 0 && info.vocab_size > 0);
    for (int32_t i = 0; i < info.tensors; i++) {
        llama4_tensor_info t = {.struct_size = sizeof t};
        REQUIRE(llama4_model_get_tensor(model, i, &t, NULL) == LLAMA4_OK);
        REQUIRE(t.name && t.type_name && t.bytes > 0 && t.n_dims >= 1 && t.n_dims <= 4);
    }
}

static void decode(llama4_context *c, llama4_model *model, int n, unsigned flags)
{
    llama4_model_info info = {.struct_size = sizeof info};
    llama4_batch_item items[16];
    REQUIRE(llama4_model_get_info(model, &info, NULL) == LLAMA4_OK);
    n = n % 15 + 1;
    for (int i = 0; i < n; i++)
        items[i] = (llama4_batch_item){(i * 7 + 1) % info.vocab_size, i % 5 == 4, -1, i % 2, 0};
    items[n - 1].logits = 1;
    llama4_error error = LLAMA4_ERROR_INIT;
    if (llama4_context_decode(c, items, (size_t)n, sizeof *items, &error)) {
        REQUIRE(llama4_context_sequence_length(c, 0) == 0 && llama4_context_sequence_length(c, 1) == 0);
        REQUIRE(error.status != LLAMA4_OK && error.message[0]);
        if (llama4_context_decode(c, items, (size_t)n, sizeof *items, NULL))
            return;
    }
    const float *logits;
    size_t count;
    REQUIRE(llama4_context_logits(c, (size_t)n - 1, &logits, &count, NULL) == LLAMA4_OK && count == (size_t)info.vocab_size);
    volatile float sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += logits[i];
    (void)sum;
    if (llama4_context_fork(c, 0, 2, NULL) == LLAMA4_OK)
        llama4_context_decode(c, &(llama4_batch_item){0, 2, -1, 1, 0}, 1, sizeof *items, NULL);
    llama4_context_truncate(c, 0, 0, NULL);
    llama4_generate_params p = {.struct_size = sizeof p, .max_tokens = 3};
    int32_t id = 0;
    llama4_context_generate(c, 0, &id, 1, &p, no_text, NULL, NULL, NULL);
    if (flags & 4) {
        llama4_message m = {.struct_size = sizeof m, .role = "user", .content = "hello world"};
        llama4_context_chat(c, 1, &m, 1, sizeof m, &p, no_text, NULL, NULL, NULL);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 4)
        return 0;
    const uint8_t *options = data + size - 4;
    unsigned flags = options[3];
    heap h = {.fail_at = (size_t)options[0] + 256u * (options[1] & 15u), .for_ever = (flags & 16) != 0};
    llama4_model_params p = {.struct_size = sizeof p, .allocate = heap_allocate, .release = heap_release, .allocator_user = &h,
                             .cpu_level = flags & 2 ? LLAMA4_CPU_GENERIC : 0};
    llama4_error error = LLAMA4_ERROR_INIT;
    llama4_model *model = NULL;
    uint8_t *copy = malloc(size - 4 + (size == 4)); /* without the options, so that reading into them shows */
    REQUIRE(copy);
    memcpy(copy, data, size - 4);
    if (llama4_model_open_memory(copy, size - 4, &p, &model, &error) == LLAMA4_OK) {
        const int32_t kv = flags & 1 ? LLAMA4_KV_F32 : flags & 64 ? LLAMA4_KV_F16 : flags & 32 ? LLAMA4_KV_Q8_0 : LLAMA4_KV_DEFAULT;
        llama4_context_params cp = {.struct_size = sizeof cp, .threads = flags & 8 ? 2 : 1, .kv_type = kv, .batch_size = 8,
                                    .sequences = 3};
        llama4_context *c = NULL;
        ask(model);
        if (llama4_context_create(model, &cp, &c, NULL) == LLAMA4_OK)
            decode(c, model, options[2], flags);
        llama4_context_release(c);
        llama4_model_release(model);
    } else
        REQUIRE(!model && error.status != LLAMA4_OK && error.message[0]);
    REQUIRE(h.live == 0 && h.bytes == 0);
    free(copy);
    return 0;
}
