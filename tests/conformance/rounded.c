/* A reference that casts a whole model to bfloat16 and back casts its table of rotary frequencies too, though no file holds
 * it. Logits made so are no fault of the runtime that keeps the table in float32, as the model's own code does. To compare
 * with them all the same, this makes a copy of a model whose file says those frequencies: llama4_convert writes it as
 * GGUF, and rope_freqs.weight, the divisors of the frequencies, is put in or replaced. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conformance.h"

typedef struct reader {
    const unsigned char *data;
    size_t size, at;
    int bad;
} reader;

static uint64_t number(reader *r, size_t bytes)
{
    uint64_t v = 0;
    if (bytes > r->size - r->at) {
        r->bad = 1;
        return 0;
    }
    for (size_t i = 0; i < bytes; i++)
        v |= (uint64_t)r->data[r->at + i] << (8 * i);
    r->at += bytes;
    return v;
}

static void skip(reader *r, uint64_t bytes)
{
    if (bytes > r->size - r->at)
        r->bad = 1;
    else
        r->at += (size_t)bytes;
}

static int is_string(reader *r, const char *s)
{
    uint64_t n = number(r, 8);
    size_t at = r->at;
    skip(r, n);
    return !r->bad && n == strlen(s) && memcmp(r->data + at, s, (size_t)n) == 0;
}

/* A value of a key; returns it if it is an integer of 32 bits. */
static uint64_t value(reader *r, uint64_t type)
{
    static const unsigned char sizes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    uint64_t n = 1;
    if (type == 9) {
        type = number(r, 4);
        n = number(r, 8);
    }
    if (type > 12 || type == 9)
        r->bad = 1;
    else if (type == 8)
        for (; n && !r->bad; n--)
            skip(r, number(r, 8));
    else if (type == 4 && n == 1)
        return number(r, 4);
    else if (n > r->size)
        r->bad = 1;
    else
        skip(r, n * sizes[type]);
    return 0;
}

typedef struct layout {
    size_t infos_end;       /* where the tensor infos end */
    size_t data;            /* where the tensors begin */
    size_t alignment;
    uint64_t n_tensors;
    uint64_t divisors;      /* offset of rope_freqs.weight in data; UINT64_MAX: not there */
} layout;

static int find_layout(const unsigned char *file, size_t size, layout *out)
{
    reader r = {file, size, 0, 0};
    *out = (layout){.alignment = 32, .divisors = UINT64_MAX};
    if (size < 24 || memcmp(file, "GGUF", 4) != 0)
        return -1;
    skip(&r, 8);
    out->n_tensors = number(&r, 8);
    for (uint64_t n = number(&r, 8); n && !r.bad; n--) {
        int alignment = is_string(&r, "general.alignment");
        uint64_t v = value(&r, number(&r, 4));
        if (alignment && v)
            out->alignment = (size_t)v;
    }
    for (uint64_t n = out->n_tensors; n && !r.bad; n--) {
        int mine = is_string(&r, "rope_freqs.weight");
        skip(&r, number(&r, 4) * 8 + 4);
        uint64_t offset = number(&r, 8);
        if (mine)
            out->divisors = offset;
    }
    out->infos_end = r.at;
    out->data = (r.at + out->alignment - 1) / out->alignment * out->alignment;
    return r.bad || out->data > size ? -1 : 0;
}

static float to_bfloat16(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    bits = (bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000u;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* In place: divisors (1 where there were none) become those that give rounded frequencies. */
static void round_divisors(float *divisors, size_t n, const llama4_model_info *info)
{
    for (size_t j = 0; j < n; j++) {
        float f = 1.0f / powf(info->rope_base, (float)(2 * j) / (float)info->head_length);
        divisors[j] = f / to_bfloat16(f / divisors[j]);
    }
}

static char *put(char *to, uint64_t v, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        *to++ = (char)(v >> (8 * i));
    return to;
}

/* The file with one more tensor, rope_freqs.weight, behind the others. */
static char *add_tensor(const char *file, size_t size, const layout *l, const float *divisors, size_t n, size_t *out_size)
{
    static const char name[] = "rope_freqs.weight";
    size_t a = l->alignment, info = 8 + sizeof name - 1 + 4 + 8 + 4 + 8;
    size_t data = (l->infos_end + info + a - 1) / a * a, old = size - l->data, offset = (old + a - 1) / a * a;
    char *out = xmalloc(data + offset + n * 4), *p = out;
    memset(out, 0, data + offset + n * 4);
    memcpy(out, file, l->infos_end);
    put(out + 8, l->n_tensors + 1, 8);
    p = put(out + l->infos_end, sizeof name - 1, 8);
    memcpy(p, name, sizeof name - 1);
    p = put(p + sizeof name - 1, 1, 4);
    p = put(p, n, 8);
    p = put(p, 0, 4);
    put(p, offset, 8);
    memcpy(out + data, file + l->data, old);
    memcpy(out + data + offset, divisors, n * 4);
    *out_size = data + offset + n * 4;
    return out;
}

/* Returns 0, and the file that *model reads in *memory: free it after the model. */
int rounded_model(const char *path, const llama4_model_info *info, llama4_model **model, void **memory)
{
    const char *directory = getenv("TMPDIR");
    char *out = xprintf("%s/conformance-%ld-%p.gguf", directory ? directory : "/tmp", (long)(clock_seconds() * 1000), (void *)&directory);
    size_t size = 0, n = (size_t)info->head_length / 2;
    char *file = llama4_convert(path, out, NULL, NULL) ? NULL : read_file(out, &size);
    layout l;
    int status = -1;
    remove(out);
    free(out);
    if (file && !find_layout((unsigned char *)file, size, &l)) {
        float *divisors = xmalloc(n * sizeof *divisors);
        for (size_t j = 0; j < n; j++)
            divisors[j] = 1;
        if (l.divisors == UINT64_MAX) {
            round_divisors(divisors, n, info);
            char *more = add_tensor(file, size, &l, divisors, n, &size);
            free(file);
            file = more;
        } else if (l.divisors <= size - l.data && n * 4 <= size - l.data - l.divisors) {
            memcpy(divisors, file + l.data + l.divisors, n * 4);
            round_divisors(divisors, n, info);
            memcpy(file + l.data + l.divisors, divisors, n * 4);
        }
        free(divisors);
        llama4_model_params params;
        llama4_model_params_init(&params, sizeof params);
        params.vision_path = info->vision_layers ? path : NULL; /* converting leaves the picture encoder behind */
        status = llama4_model_open_memory(file, size, &params, model, NULL) ? -1 : 0;
    }
    if (status)
        free(file);
    else
        *memory = file;
    return status;
}
