/* A mapped GGUF file's keys and descriptions of tensors, of which nobody says how long they are -> memory of their own, before gguf.c looks at them.
 * What they mean is gguf.c's business, and so is what is wrong with them: where the head makes no sense, it ends here. */
#include <string.h>

#include "base/bytes.h"
#include "format/gguf_private.h"

#define STEP ((uint64_t)256 << 10) /* bytes that are owned at first; then twice as many each time */

typedef struct walk {
    const l4_mapping *file;
    const char *name;
    uint64_t at, owned; /* bytes of the head so far; of the file, from its beginning on */
    llama4_status status;
    llama4_error *error;
} walk;

static int own(walk *w, uint64_t end)
{
    uint64_t more = w->owned > STEP ? w->owned : STEP;
    if (end <= w->owned)
        return 1;
    more = more > end - w->owned ? more : end - w->owned;
    w->status = l4_map_own(w->file, w->owned, more, w->name, w->error);
    w->owned += more;
    return w->status == LLAMA4_OK;
}

/* The next n <= 8 bytes as a number; 0, and no further, if they are not there. */
static int see(walk *w, uint64_t n, uint64_t *value)
{
    uint8_t bytes[8] = {0};
    if (w->status || n > w->file->size - w->at || w->at + n > L4_OWN_MOST || !own(w, w->at + n))
        return 0;
    memcpy(bytes, w->file->data + w->at, (size_t)n);
    *value = l4_load_u64(bytes);
    w->at += n;
    return 1;
}

static int skip(walk *w, uint64_t n)
{
    if (n > w->file->size - w->at)
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
    return size && count <= w->file->size / size && skip(w, count * size);
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

llama4_status l4_gguf_own_head(const l4_mapping *m, const char *name, llama4_error *error)
{
    walk w = {.file = m, .name = name, .error = error};
    if (!m->owned || !m->handle)
        return LLAMA4_OK;
    walk_head(&w);
    if (w.status == LLAMA4_OK)
        own(&w, w.at < L4_OWN_MOST ? w.at : L4_OWN_MOST);
    return w.status;
}
