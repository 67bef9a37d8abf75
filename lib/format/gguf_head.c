/* A mapped GGUF file's keys and descriptions of tensors, of which nobody says how long they are -> memory of their own, before gguf.c looks at them.
 * What they mean is gguf.c's business, and so is what is wrong with them: where the head makes no sense, it ends here. */
#include <string.h>

#include "base/bytes.h"
#include "base/input.h"
#include "format/gguf_private.h"

#define WINDOW ((size_t)64 << 10)

typedef struct walk {
    l4_input input;
    uint8_t *window; /* WINDOW bytes, of which `have` from `from` on are there */
    uint64_t from, have;
    uint64_t at;     /* bytes of the head so far */
    llama4_status status;
    llama4_error *error;
} walk;

/* The next n <= 8 bytes as a number; 0, and no further, if they are not there. */
static int see(walk *w, uint64_t n, uint64_t *value)
{
    const uint8_t *data;
    uint8_t bytes[8] = {0};
    if (w->status || n > w->input.size - w->at || w->at > L4_OWN_MOST)
        return 0;
    if (w->at < w->from || w->at + n > w->from + w->have) {
        const uint64_t left = w->input.size - w->at;
        w->from = w->at;
        w->have = left < WINDOW ? left : WINDOW;
        w->status = l4_input_read(&w->input, w->from, (size_t)w->have, w->window, &data, w->error);
        if (w->status)
            return 0;
    }
    memcpy(bytes, w->window + (w->at - w->from), (size_t)n);
    *value = l4_load_u64(bytes);
    w->at += n;
    return 1;
}

static int skip(walk *w, uint64_t n)
{
    if (n > w->input.size - w->at)
        return 0;
    w->at += n;
    return 1;
}

static int skip_string(walk *w)
{
    uint64_t length;
    return see(w, 8, &length) && skip(w, length);
}

static int skip_value(walk *w, uint64_t type)
{
    uint64_t count = 1;
    if (type == L4_GGUF_ARRAY && (!see(w, 4, &type) || !see(w, 8, &count)))
        return 0;
    if (type == L4_GGUF_STRING) {
        while (count && skip_string(w))
            count--;
        return !count;
    }
    const uint64_t size = l4_gguf_scalar_size((uint32_t)type);
    return size && count <= w->input.size / size && skip(w, count * size);
}

static void walk_head(walk *w)
{
    uint64_t magic, tensors, keys, number;
    if (!see(w, 8, &magic) || !see(w, 8, &tensors) || !see(w, 8, &keys))
        return;
    while (keys && skip_string(w) && see(w, 4, &number) && skip_value(w, number))
        keys--;
    while (!keys && tensors && skip_string(w) && see(w, 4, &number) && number <= 4 && skip(w, 8 * number + 12))
        tensors--;
}

llama4_status l4_gguf_own_head(const l4_mapping *m, const l4_allocator *a, const char *name, llama4_error *error)
{
    walk w = {.error = error};
    if (!m->owned || !m->handle || !m->size)
        return LLAMA4_OK;
    llama4_status status = l4_alloc(a, WINDOW, 1, "reading", &w.window, error);
    if (status)
        return status;
    l4_input_open(m, 1, &w.input);
    walk_head(&w);
    l4_input_close(&w.input);
    l4_free(a, w.window);
    return w.status ? w.status : l4_map_own(m, 0, w.at, name, error);
}
