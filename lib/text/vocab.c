/* The vocabulary handle: owners, lookups by id, bytes and name, and what a converter asks for. vocab_build.c makes it. */
#include "text/vocab_internal.h"

void l4_vocab_ref(llama4_vocab *v)
{
    atomic_fetch_add_explicit(&v->owners, 1, memory_order_relaxed);
}

void l4_vocab_release(llama4_vocab *v)
{
    if (!v || atomic_fetch_sub_explicit(&v->owners, 1, memory_order_acq_rel) != 1)
        return;
    l4_allocator a = v->allocator;
    l4_free(&a, v->pool);
    l4_free(&a, v->spans);
    l4_free(&a, v->flags);
    l4_free(&a, v->slots);
    l4_free(&a, v->named);
    l4_free(&a, v->merges);
    l4_free(&a, v->pairs);
    l4_free(&a, v->chat_template);
    l4_free(&a, v);
}

const l4_allocator *l4_vocab_allocator(const llama4_vocab *v)
{
    return &v->allocator;
}

int32_t l4_vocab_size(const llama4_vocab *v)
{
    return v->size;
}

uint32_t l4_vocab_flags(const llama4_vocab *v, int32_t id)
{
    return id >= 0 && id < v->size ? v->flags[id] : 0;
}

int l4_vocab_user_defined(const llama4_vocab *v, int32_t id)
{
    const l4_span *s = &v->spans[id];
    return v->flags[id] == LLAMA4_TOKEN_ORDINARY && l4_find_ordinary(v, v->pool + s->offset, s->length) != id;
}

const uint8_t *l4_vocab_bytes(const llama4_vocab *v, int32_t id, size_t *length)
{
    *length = v->spans[id].length;
    return v->pool + v->spans[id].offset;
}

const uint8_t *l4_vocab_text(const llama4_vocab *v, int32_t id, uint32_t flags, size_t *length)
{
    if (v->flags[id] & (LLAMA4_TOKEN_SPECIAL | LLAMA4_TOKEN_UNUSED) && !(flags & LLAMA4_DETOKENIZE_SPECIAL)) {
        *length = 0;
        return NULL;
    }
    return l4_vocab_bytes(v, id, length);
}

int32_t l4_vocab_find(const llama4_vocab *v, const void *bytes, size_t length)
{
    if (length == 0)
        return -1;
    int32_t id = l4_find_ordinary(v, bytes, length);
    return id < 0 ? l4_find_named(v, bytes, length) : id;
}

int32_t l4_find_named(const llama4_vocab *v, const uint8_t *name, size_t n)
{
    uint32_t low = 0, high = v->n_named;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const l4_span *s = &v->spans[v->named[middle]];
        int order = memcmp(v->pool + s->offset, name, s->length < n ? s->length : n);
        if (order == 0 && s->length == n)
            return v->named[middle];
        if (order < 0 || (order == 0 && s->length < n))
            low = middle + 1;
        else
            high = middle;
    }
    return -1;
}

llama4_status l4_vocab_pad(llama4_vocab *v, int32_t n, llama4_error *error)
{
    if (n <= v->size)
        return LLAMA4_OK;
    l4_span *spans;
    uint8_t *flags;
    llama4_status status = l4_alloc_zero(&v->allocator, (size_t)n, sizeof *spans, "the vocabulary", &spans, error);
    if (status)
        return status;
    status = l4_alloc(&v->allocator, (size_t)n, 1, "the vocabulary", &flags, error);
    if (status) {
        l4_free(&v->allocator, spans);
        return status;
    }
    memcpy(spans, v->spans, (size_t)v->size * sizeof *spans);
    memcpy(flags, v->flags, (size_t)v->size);
    memset(flags + v->size, LLAMA4_TOKEN_UNUSED, (size_t)(n - v->size));
    l4_free(&v->allocator, v->spans);
    l4_free(&v->allocator, v->flags);
    v->spans = spans;
    v->flags = flags;
    v->size = n;
    return LLAMA4_OK;
}

const l4_well_known *l4_vocab_well_known(const llama4_vocab *v)
{
    return &v->known;
}

l4_image_shape l4_vocab_image_shape(const llama4_vocab *v)
{
    return v->image_shape.tile ? v->image_shape : (l4_image_shape){336, 144, 16};
}

void l4_vocab_set_image_shape(llama4_vocab *v, l4_image_shape shape)
{
    v->image_shape = shape;
}

const char *l4_vocab_chat_template(const llama4_vocab *v, size_t *length)
{
    *length = v->template_length;
    return v->chat_template;
}

int32_t l4_vocab_eos(const llama4_vocab *v)
{
    return v->eos;
}

size_t l4_vocab_n_merges(const llama4_vocab *v)
{
    return v->n_merges;
}

void l4_vocab_merge(const llama4_vocab *v, size_t i, int32_t *left, int32_t *right)
{
    *left = v->merges[i].left;
    *right = v->merges[i].right;
}
