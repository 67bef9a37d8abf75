#include "support.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#ifndef _WIN32
#include <fcntl.h>
#include <unistd.h>
#endif

/* ---- the counting allocator ---- */

#define GUARD 64
#define GUARD_BYTE 0xA7
#define MAGIC 0x6c34616cu
#define FREED 0xdeadbeefu

typedef struct block {
    void *base;
    size_t size;
    uint32_t magic;
} block;

static block *header(void *memory)
{
    return (block *)(void *)((unsigned char *)memory - GUARD - sizeof(block));
}

void *counting_allocate(void *user, size_t size, size_t alignment)
{
    counting *c = user;
    uintptr_t self = (uintptr_t)pthread_self();
    if (!c->thread)
        c->thread = self;
    c->damaged += c->thread != self || size == 0 || alignment == 0 || (alignment & (alignment - 1)) || alignment > 4096;
    c->calls++;
    if (c->fail_at && c->calls >= c->fail_at && c->calls - c->fail_at < c->fail_count) {
        c->failed++;
        return NULL;
    }
    size_t room = sizeof(block) + 2 * GUARD + alignment + _Alignof(block);
    if (size > SIZE_MAX - room)
        return NULL;
    unsigned char *base = malloc(size + room);
    if (!base)
        return NULL;
    uintptr_t at = (uintptr_t)base + sizeof(block) + GUARD;
    size_t step = alignment > _Alignof(block) ? alignment : _Alignof(block);
    unsigned char *memory = base + sizeof(block) + GUARD + (step - at % step) % step;
    *header(memory) = (block){base, size, MAGIC};
    memset(memory - GUARD, GUARD_BYTE, GUARD);
    memset(memory + size, GUARD_BYTE, GUARD);
    memset(memory, 0xC5, size); /* whoever reads what was never written, reads this */
    c->live++;
    c->live_bytes += size;
    c->peak_bytes = c->live_bytes > c->peak_bytes ? c->live_bytes : c->peak_bytes;
    return memory;
}

void counting_release(void *user, void *memory)
{
    counting *c = user;
    unsigned char *m = memory;
    if (!m || header(m)->magic != MAGIC) {
        c->damaged++;
        return;
    }
    block *b = header(m);
    for (size_t i = 0; i < GUARD; i++)
        c->damaged += m[-1 - (ptrdiff_t)i] != GUARD_BYTE || m[b->size + i] != GUARD_BYTE;
    c->damaged += c->thread != (uintptr_t)pthread_self();
    c->live--;
    c->live_bytes -= b->size;
    b->magic = FREED;
    free(b->base);
}

llama4_model_params counting_params(counting *c)
{
    llama4_model_params p = {.struct_size = sizeof p};
    p.allocate = counting_allocate;
    p.release = counting_release;
    p.allocator_user = c;
    return p;
}

/* ---- models ---- */

llama4_model *open_model(const char *path, const llama4_model_params *params)
{
    llama4_error error = LLAMA4_ERROR_INIT;
    llama4_model *model = NULL;
    if (llama4_model_open(path, params, &model, &error)) {
        printf("%s: %s\n", path, error.message);
        return NULL;
    }
    return model;
}

llama4_model_info model_info(const llama4_model *model)
{
    llama4_model_info info = {.struct_size = sizeof info};
    if (llama4_model_get_info(model, &info, NULL))
        memset(&info, 0, sizeof info);
    return info;
}

llama4_context *open_context(llama4_model *model, int32_t threads, int32_t kv_type)
{
    llama4_error error = LLAMA4_ERROR_INIT;
    llama4_context_params p = {.struct_size = sizeof p, .threads = threads, .kv_type = kv_type};
    llama4_context *context = NULL;
    if (llama4_context_create(model, &p, &context, &error)) {
        printf("context: %s\n", error.message);
        return NULL;
    }
    return context;
}

uint32_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33);
}

void make_ids(int32_t *ids, size_t n, uint32_t seed, int32_t below)
{
    uint64_t state = seed + 1;
    for (size_t i = 0; i < n; i++)
        ids[i] = (int32_t)(next_random(&state) % (uint32_t)below);
}

llama4_status decode_ids(llama4_context *context, int32_t sequence, const int32_t *ids, size_t n, size_t step, float *rows, size_t vocabulary,
                         llama4_error *error)
{
    llama4_batch_item *items = malloc(n * sizeof *items);
    llama4_status status = items ? LLAMA4_OK : LLAMA4_ERR_MEMORY;
    for (size_t begin = 0; begin < n && !status;) {
        size_t part = step && step < n - begin ? step : n - begin;
        for (size_t i = 0; i < part; i++)
            items[i] = (llama4_batch_item){ids[begin + i], sequence, -1, rows != NULL, 0};
        status = llama4_context_decode(context, items, part, sizeof *items, error);
        for (size_t i = 0; i < part && rows && !status; i++) {
            const float *logits;
            size_t count;
            status = llama4_context_logits(context, i, &logits, &count, error);
            if (!status && count != vocabulary)
                status = LLAMA4_ERR_STATE;
            if (!status)
                memcpy(rows + (begin + i) * vocabulary, logits, vocabulary * sizeof *rows);
        }
        begin += part;
    }
    free(items);
    return status;
}

/* ---- files ---- */

unsigned char *load_file(const char *path, size_t *size)
{
    FILE *f = fopen(path, "rb");
    long n = -1;
    if (!f)
        return NULL;
    if (!fseek(f, 0, SEEK_END))
        n = ftell(f);
    unsigned char *data = n > 0 && !fseek(f, 0, SEEK_SET) ? malloc((size_t)n) : NULL;
    if (data && fread(data, 1, (size_t)n, f) != (size_t)n) {
        free(data);
        data = NULL;
    }
    fclose(f);
    *size = data ? (size_t)n : 0;
    return data;
}

int save_file(const char *path, const void *data, size_t size)
{
    FILE *f = fopen(path, "wb");
    int bad = !f || fwrite(data, 1, size, f) != size;
    if (f)
        bad |= fclose(f) != 0;
    return bad ? -1 : 0;
}

int write_imatrix_entry(FILE *f, const char *name, const float *values, int32_t n)
{
    const int32_t length = (int32_t)strlen(name), calls = 1;
    return !(fwrite(&length, 4, 1, f) == 1 && fwrite(name, 1, (size_t)length, f) == (size_t)length && fwrite(&calls, 4, 1, f) == 1 &&
             fwrite(&n, 4, 1, f) == 1 && fwrite(values, 4, (size_t)n, f) == (size_t)n);
}

#ifndef _WIN32
static char own_folder[] = "/tmp/llama4-tests-XXXXXX";
static int outside = -1;

int enter_own_folder(void)
{
    outside = open(".", O_RDONLY | O_DIRECTORY);
    return outside >= 0 && mkdtemp(own_folder) && chdir(own_folder) == 0 ? 0 : -1;
}

int leave_own_folder(void)
{
    const int back = fchdir(outside);
    close(outside);
    return back || rmdir(own_folder) ? -1 : 0;
}
#else
int enter_own_folder(void)
{
    return 0;
}

int leave_own_folder(void)
{
    return 0;
}
#endif
