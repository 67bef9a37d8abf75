/* Damaged files: cut short at many lengths, bytes changed in many places, always the same ones. Each either fails to open with a
 * message, or opens and computes a token; under AddressSanitizer neither reads a byte too far, and nothing leaks. */
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "support.h"

static size_t opened, refused;

/* What opened must be usable. */
static void use(llama4_model *model)
{
    llama4_model_info info = model_info(model);
    llama4_context_params p = {.struct_size = sizeof p, .threads = 1, .batch_size = 4, .sequences = 2};
    llama4_context *c = NULL;
    int32_t id = 1 % info.vocab_size;
    opened++;
    CHECK(info.layers > 0 && info.vocab_size > 0);
    for (int32_t i = 0; i < info.tensors; i++) {
        llama4_tensor_info t = {.struct_size = sizeof t};
        CHECK_STATUS0(llama4_model_get_tensor(model, i, &t, NULL), LLAMA4_OK);
    }
    if (llama4_context_create(model, &p, &c, NULL) == LLAMA4_OK)
        decode_ids(c, 0, &id, 1, 0, NULL, 0, NULL);
    llama4_vocab *vocab = llama4_model_get_vocab(model);
    int32_t ids[64];
    size_t n = 0, m;
    char text[256];
    if (vocab && llama4_vocab_tokenize(vocab, "hello world 123", 15, 0, ids, 64, &n, NULL) == LLAMA4_OK)
        llama4_vocab_detokenize(vocab, ids, n, 1, text, sizeof text, &m, NULL);
    llama4_context_release(c);
}

static void balanced(const counting *heap, const char *what, size_t where)
{
    if (!CHECK(heap->live == 0 && heap->damaged == 0))
        printf("  %s %zu: %zu blocks live, %zu damaged\n", what, where, heap->live, heap->damaged);
}

static void try_memory(const unsigned char *data, size_t size, const char *what, size_t where)
{
    counting heap = {0};
    llama4_model_params p = counting_params(&heap);
    llama4_error error = LLAMA4_ERROR_INIT;
    llama4_model *model = NULL;
    llama4_status status = llama4_model_open_memory(data, size, &p, &model, &error);
    if (status == LLAMA4_OK)
        use(model);
    else {
        refused++;
        if (!CHECK(!model && error.status == status && error.message[0] && strlen(error.message) < sizeof error.message))
            printf("  %s %zu\n", what, where);
    }
    llama4_model_release(model);
    balanced(&heap, what, where);
}

static void cut(const unsigned char *data, size_t size, size_t length)
{
    unsigned char *part = malloc(length + !length); /* exactly as long as the file: reading beyond shows */
    memcpy(part, data, length);
    try_memory(part, length, "cut at", length);
    free(part);
    (void)size;
}

/* Bytes that mean trouble: ends of ranges, sign bits, off by one. */
static unsigned char bad_byte(uint64_t *state, unsigned char old)
{
    static const unsigned char bytes[] = {0, 1, 0x7f, 0x80, 0xff, 0xfe};
    uint32_t r = next_random(state) % 10;
    return r < 6 ? bytes[r] : r == 6 ? (unsigned char)(old + 1) : r == 7 ? (unsigned char)(old - 1) : (unsigned char)(old ^ (1u << next_random(state) % 8));
}

static void damage(const char *path, size_t header, int cuts, int flips)
{
    size_t size;
    unsigned char *data = load_file(path, &size);
    uint64_t state = 11;
    REQUIRE(data != NULL);
    header = header < size ? header : size;
    opened = refused = 0;
    try_memory(data, size, "whole", 0);
    CHECK_EQ(opened, 1);
    for (int i = 0; i < cuts; i++) /* half of them in the header */
        cut(data, size, i % 2 ? next_random(&state) % header : (size_t)((uint64_t)next_random(&state) * size >> 31));
    for (size_t n = 0; n < 40; n++)
        cut(data, size, n);
    cut(data, size, size - 1);
    CHECK_EQ(opened, 1); /* a file that lost its end is refused: every one has tensors up to there */
    unsigned char *copy = malloc(size);
    for (int i = 0; i < flips; i++) {
        size_t at[4], n = 1 + next_random(&state) % 4;
        memcpy(copy, data, i ? 0 : size); /* once; later only what was changed is put back */
        for (size_t k = 0; k < n; k++) {
            at[k] = next_random(&state) % header;
            copy[at[k]] = bad_byte(&state, copy[at[k]]);
        }
        try_memory(copy, size, "flip", (size_t)i);
        for (size_t k = 0; k < n; k++)
            copy[at[k]] = data[at[k]];
    }
    printf("  %zu opened, %zu refused\n", opened, refused);
    CHECK(refused > (size_t)flips / 20);
    free(copy);
    free(data);
}

TEST(gguf_of_the_model_that_ships)
{
    damage(TINY, 80000, 200, 400);
}

TEST(gguf_without_vocabulary)
{
    damage(LONG, 6000, 100, 500);
}

/* Models of a few kilobytes, of every type of tensor: many more changes. */
TEST(gguf_small)
{
    static const char *const seeds[] = {"mixture-q4_0", "mixture-q8_0-v2", "dense-f16", "dense-bf16", "dense-f32", "vocabulary-q4_0"};
    for (size_t i = 0; i < sizeof seeds / sizeof *seeds; i++) {
        char path[4096], stripped[] = "/tmp/llama4-hostile-XXXXXX";
        size_t size;
        snprintf(path, sizeof path, "%s/fuzz/corpus/model/%s", LLAMA4_TESTS, seeds[i]);
        unsigned char *data = load_file(path, &size);
        int fd = mkstemp(stripped);
        REQUIRE(data && fd >= 0);
        close(fd);
        REQUIRE(save_file(stripped, data, size - 4) == 0); /* the last four bytes are fuzz_model's */
        damage(stripped, i == 5 ? 14000 : 3000, 200, 1500);
        unlink(stripped);
        free(data);
    }
}

/* ---- Hugging Face directories ---- */

static const char *const parts[] = {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "generation_config.json"};

static void try_directory(const char *directory, const char *what, size_t where)
{
    counting heap = {0};
    llama4_model_params p = counting_params(&heap);
    llama4_error error = LLAMA4_ERROR_INIT;
    llama4_model *model = NULL;
    llama4_status status = llama4_model_open(directory, &p, &model, &error);
    if (status == LLAMA4_OK)
        use(model);
    else {
        refused++;
        if (!CHECK(!model && error.status == status && error.message[0]))
            printf("  %s %zu\n", what, where);
    }
    llama4_model_release(model);
    balanced(&heap, what, where);
}

TEST(directories)
{
    char directory[] = "/tmp/llama4-hostile-XXXXXX", path[5][4200];
    unsigned char *data[5];
    size_t size[5];
    uint64_t state = 5;
    REQUIRE(mkdtemp(directory) != NULL);
    for (int i = 0; i < 5; i++) {
        snprintf(path[i], sizeof path[i], "%s/%s", DENSE, parts[i]);
        data[i] = load_file(path[i], &size[i]);
        snprintf(path[i], sizeof path[i], "%s/%s", directory, parts[i]);
        REQUIRE(data[i] && save_file(path[i], data[i], size[i]) == 0);
    }
    opened = refused = 0;
    try_directory(directory, "whole", 0);
    CHECK_EQ(opened, 1);
    static const int rounds[5] = {700, 400, 300, 20, 20};
    for (int f = 0; f < 5; f++) {
        size_t header = f == 1 ? 6000 : size[f];
        unsigned char *copy = malloc(size[f]);
        for (int i = 0; i < rounds[f]; i++) {
            size_t length = i % 4 ? size[f] : next_random(&state) % (i % 8 ? header : size[f]);
            memcpy(copy, data[f], size[f]);
            for (size_t k = 1 + next_random(&state) % 3; k; k--) {
                size_t at = next_random(&state) % header;
                copy[at] = f == 1 && at >= 8 ? "0123456789[]{}\",:-ex"[next_random(&state) % 20] : bad_byte(&state, copy[at]);
            }
            REQUIRE(save_file(path[f], copy, length) == 0);
            try_directory(directory, parts[f], (size_t)i);
        }
        unlink(path[f]); /* and without it at all */
        try_directory(directory, "without", (size_t)f);
        REQUIRE(save_file(path[f], data[f], size[f]) == 0);
        free(copy);
    }
    try_directory(directory, "whole again", 0);
    printf("  %zu opened, %zu refused\n", opened, refused);
    CHECK(refused > 500);
    for (int i = 0; i < 5; i++) {
        unlink(path[i]);
        free(data[i]);
    }
    rmdir(directory);
}

TEST_MAIN(T(gguf_of_the_model_that_ships), T(gguf_without_vocabulary), T(gguf_small), T(directories))
