/* A model that lies in memory whole: whatever the disk does while it is opened is an error from the call, and afterwards its files are of no
 * interest. The same for what a converter reads. The program's own pread stands in front of the C library's. */
#include <stdlib.h>
#include <string.h>
#ifdef __linux__
#include <sys/stat.h>
#include <unistd.h>
#endif

#include "stream.h"

#ifdef __linux__
#include "pictures.h"

#include "format/gguf_write.h"

#define PREAD_HOOK on_read
#include "pread.h"

static atomic_int shrink_at, victim_reads;
static const char *victim; /* of shrink_at */
static int only_victim;    /* its reads alone count */

static int is_victim(int fd)
{
    struct stat a, b;
    return victim && stat(victim, &a) == 0 && fstat(fd, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

static int on_read(int fd, int n)
{
    if (only_victim && !is_victim(fd))
        return 0;
    if (only_victim)
        n = atomic_fetch_add(&victim_reads, 1) + 1;
    if (atomic_load(&shrink_at) == n)
        CHECK(truncate(victim, 10) == 0);
    return 0;
}

/* The n-th file that is mapped shrinks before anybody can look at it. */
static int maps, shrink_map;

static void *mapped(void *address, size_t size, int protection, int flags, int fd, off_t offset)
{
    const long place = syscall(SYS_mmap, address, size, protection, flags, fd, offset);
    if (place != -1 && fd >= 0 && ++maps == shrink_map)
        CHECK(truncate(victim, 0) == 0); /* even the first page is gone */
    return (void *)place; /* (void *)-1: MAP_FAILED */
}

void *own_mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset) __asm__("mmap");
void *own_mmap64(void *address, size_t size, int protection, int flags, int fd, off_t offset) __asm__("mmap64");

void *own_mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset)
{
    return mapped(address, size, protection, flags, fd, offset);
}

void *own_mmap64(void *address, size_t size, int protection, int flags, int fd, off_t offset)
{
    return mapped(address, size, protection, flags, fd, offset);
}

static void whole_disk(void)
{
    healthy_pread();
    atomic_store(&shrink_at, 0);
    atomic_store(&victim_reads, 0);
    maps = shrink_map = 0;
}

/* ---- a model of which the test may do with the files what it likes ---- */

#define FOLDER "test_loading.tmp"

static const char *const names[] = {"config.json", "generation_config.json", "preprocessor_config.json", "tokenizer.json", "tokenizer_config.json",
                                    "model.safetensors", NULL};

static void remove_copy(void)
{
    char to[64];
    for (size_t i = 0; names[i]; i++) {
        snprintf(to, sizeof to, "%s/%s", FOLDER, names[i]);
        remove(to);
    }
    remove(FOLDER "/model.gguf");
    rmdir(FOLDER);
}

/* Copies a model; returns the path to open, and in *weights the file that has its tensors. */
static const char *copy_model(const char *from, const char **weights)
{
    struct stat st;
    size_t size;
    remove_copy();
    CHECK(mkdir(FOLDER, 0700) == 0 && stat(from, &st) == 0);
    const int directory = S_ISDIR(st.st_mode);
    *weights = directory ? FOLDER "/model.safetensors" : FOLDER "/model.gguf";
    for (size_t i = 0; names[i]; i++) {
        char path[512], to[64];
        snprintf(path, sizeof path, directory ? "%s/%s" : "%s", from, names[i]);
        snprintf(to, sizeof to, "%s/%s", FOLDER, directory ? names[i] : "model.gguf");
        unsigned char *bytes = load_file(path, &size);
        if (bytes)
            CHECK(save_file(to, bytes, size) == 0);
        free(bytes);
        if (!directory)
            break;
    }
    return directory ? FOLDER : *weights;
}

static const char *const models[] = {TINY, LONG, SCOUT, MAVERICK, DENSE};
#define MODELS (sizeof models / sizeof *models)

static int same_logits(llama4_model *model, const float *want, size_t step)
{
    float *got = logits_of(model, 2, step);
    const int same = got && memcmp(got, want, TOKENS * (size_t)model_info(model).vocab_size * sizeof *got) == 0;
    free(got);
    return same;
}

TEST(read_errors)
{
    for (size_t m = 0; m < MODELS; m++) {
        int failures = 0, opened = 0;
        for (int at = 1; !opened && at < 400; at++) {
            llama4_model *model = NULL;
            llama4_error error = LLAMA4_ERROR_INIT;
            counting c = {0};
            llama4_model_params p = counting_params(&c);
            whole_disk();
            atomic_store(&fail_at, at);
            llama4_status status = llama4_model_open(models[m], &p, &model, &error);
            opened = status == LLAMA4_OK;
            if (!opened) {
                failures++;
                CHECK_STATUS(status, LLAMA4_ERR_IO, error);
                CHECK(strstr(error.message, "cannot read") != NULL && !model);
            }
            llama4_model_release(model);
            CHECK_EQ(c.live, 0);
            CHECK_EQ(c.damaged, 0);
        }
        CHECK(opened && failures > 3);
    }
    whole_disk();
}

TEST(short_reads)
{
    for (size_t m = 0; m < MODELS; m++) {
        whole_disk();
        llama4_model *plain = open_model(models[m], NULL);
        atomic_store(&cut, 1);
        llama4_model *model = open_model(models[m], NULL);
        whole_disk();
        float *want = plain ? logits_of(plain, 1, 0) : NULL;
        CHECK(want && model && same_logits(model, want, 5));
        free(want);
        llama4_model_release(plain);
        llama4_model_release(model);
    }
}

/* Overwritten, cut to nothing, and removed, as by a program that fetches a newer file in place. */
TEST(files_are_not_needed_any_more)
{
    for (size_t m = 0; m < MODELS; m++) {
        const char *weights, *path = copy_model(models[m], &weights);
        struct stat st;
        llama4_error error = LLAMA4_ERROR_INIT;
        whole_disk();
        llama4_model *model = open_model(path, NULL), *plain = open_model(models[m], NULL);
        REQUIRE(model && plain && stat(weights, &st) == 0);
        float *want = logits_of(plain, 1, 0);
        const int before = atomic_load(&reads);
        CHECK(want && same_logits(model, want, 7));
        char *noise = malloc((size_t)st.st_size);
        memset(noise, 0x5A, (size_t)st.st_size);
        FILE *f = fopen(weights, "r+b"); /* the very file */
        REQUIRE(f && fwrite(noise, 1, (size_t)st.st_size, f) == (size_t)st.st_size && fclose(f) == 0);
        free(noise);
        CHECK(same_logits(model, want, 0));
        REQUIRE(truncate(weights, 0) == 0);
        CHECK(same_logits(model, want, 1));
        remove_copy();
        CHECK(same_logits(model, want, 3));
        CHECK_EQ(atomic_load(&reads), before);

        llama4_tensor_info tensor = {.struct_size = sizeof tensor}, first = {.struct_size = sizeof first};
        CHECK_STATUS(llama4_model_get_tensor(model, 0, &tensor, &error), LLAMA4_OK, error);
        CHECK_STATUS(llama4_model_get_tensor(plain, 0, &first, &error), LLAMA4_OK, error);
        CHECK(strcmp(tensor.name, first.name) == 0);
        CHECK_EQ(model_info(model).tensor_bytes, model_info(plain).tensor_bytes);
        CHECK_EQ(model_info(model).files, model_info(plain).files);
        free(want);
        llama4_model_release(model);
        llama4_model_release(plain);
    }
}

static float from_here;

static int shrink(void *user, float fraction)
{
    int *done = user;
    if (fraction >= from_here && !*done) {
        *done = 1;
        CHECK(truncate(victim, 4096) == 0);
    }
    return 0;
}

TEST(file_shrinks_while_weights_are_read)
{
    for (size_t m = 0; m < MODELS; m++) {
        const char *path = copy_model(models[m], &victim);
        llama4_model *model = NULL;
        llama4_error error = LLAMA4_ERROR_INIT;
        llama4_model_params p;
        int done = 0;
        whole_disk();
        llama4_model_params_init(&p, sizeof p);
        p.progress = shrink;
        p.progress_user = &done;
        from_here = 0.2f;
        CHECK_STATUS(llama4_model_open(path, &p, &model, &error), LLAMA4_ERR_IO, error);
        CHECK(done && strstr(error.message, "ends at byte") != NULL);
        llama4_model_release(model);
        remove_copy();
    }
}

/* The same at any read of the head, of vectors, of the vocabulary and of weights: nothing is looked at that was not read. */
TEST(file_shrinks_at_any_read)
{
    static const char *const some[] = {TINY, LONG, SCOUT, VISION};
    for (size_t m = 0; m < sizeof some / sizeof *some; m++) {
        int opened = 0, failures = 0;
        for (int at = 1; !opened && at < 400; at++) {
            llama4_model *model = NULL;
            llama4_error error = LLAMA4_ERROR_INIT;
            const char *path = copy_model(some[m], &victim);
            whole_disk();
            atomic_store(&shrink_at, at);
            const llama4_status status = llama4_model_open(path, NULL, &model, &error);
            opened = atomic_load(&reads) < at;
            failures += status == LLAMA4_ERR_IO;
            CHECK(status == LLAMA4_OK || strstr(error.message, status == LLAMA4_ERR_IO ? "ends at byte" : "does not fit into the file"));
            CHECK(!opened || status == LLAMA4_OK);
            llama4_model_release(model);
            remove_copy();
        }
        CHECK(opened && failures > 3);
    }
    whole_disk();
}

TEST(file_shrinks_once_it_is_mapped)
{
    static const char *const some[] = {TINY, LONG, SCOUT, VISION};
    for (size_t m = 0; m < sizeof some / sizeof *some; m++) {
        int failures = 0;
        for (int at = 1; at <= 3; at++) { /* a directory's config.json may be the first */
            llama4_model *model = NULL;
            llama4_error error = LLAMA4_ERROR_INIT;
            const char *path = copy_model(some[m], &victim);
            whole_disk();
            shrink_map = at;
            const llama4_status status = llama4_model_open(path, NULL, &model, &error);
            const int shrunk = maps >= at;
            failures += status == LLAMA4_ERR_IO;
            CHECK(status == LLAMA4_OK ? !shrunk || at > 2 : status == LLAMA4_ERR_IO ? strstr(error.message, "ends at byte") != NULL : status == LLAMA4_ERR_FORMAT);
            llama4_model_release(model);
            remove_copy();
        }
        CHECK(failures > 0);
    }
    whole_disk();
}

/* The numbers that a picture becomes; NULL: LLAMA4_ERR_IO. */
static llama4_embeddings *look(llama4_context *context, const llama4_image *image)
{
    llama4_embeddings *e = NULL;
    const llama4_status status = llama4_image_encode(context, image, &e, &error);
    CHECK(status ? status == LLAMA4_ERR_IO && !e && (strstr(error.message, "cannot read") || strstr(error.message, "ends at byte")) : e != NULL);
    return e;
}

static int same_numbers(const llama4_embeddings *a, const llama4_embeddings *b)
{
    const float *x = NULL, *y = NULL;
    size_t n = 0, m = 0;
    return a && b && !llama4_embeddings_data(a, &x, &n, NULL) && !llama4_embeddings_data(b, &y, &m, NULL) && n == m && memcmp(x, y, n * sizeof *x) == 0;
}

/* The picture encoder's weights are read when a picture comes: from a disk that fails, that gives little at a time, and from a file that shrinks. */
TEST(pictures)
{
    const char *weights, *path = copy_model(VISION, &weights);
    size_t size;
    unsigned char *bytes = load_file(weights, &size);
    whole_disk();
    llama4_model *model = open_model(path, NULL);
    llama4_context *context = model ? open_context(model, 2, LLAMA4_KV_F16) : NULL;
    llama4_image *image = picture(150, 100, 9, NULL);
    REQUIRE(bytes && context && image);
    float *logits = logits_of(model, 1, 0);
    whole_disk();
    llama4_embeddings *want = look(context, image);
    const int all = atomic_load(&reads);
    CHECK(want && all > 6);
    for (int at = 1; at <= all + 1; at++) {
        whole_disk();
        atomic_store(&fail_at, at);
        llama4_embeddings *e = look(context, image);
        CHECK((e != NULL) == (at > all));
        llama4_embeddings_release(e);
    }
    whole_disk();
    atomic_store(&cut, 1);
    llama4_embeddings *e = look(context, image);
    CHECK(same_numbers(e, want));
    llama4_embeddings_release(e);
    whole_disk();
    for (size_t left = 0; left < size; left += size / 3 + 1) {
        REQUIRE(truncate(weights, (off_t)left) == 0);
        CHECK(!look(context, image));
        CHECK(logits && same_logits(model, logits, 4));
        FILE *f = fopen(weights, "r+b");
        REQUIRE(f && fwrite(bytes, 1, size, f) == size && fclose(f) == 0);
        e = look(context, image);
        CHECK(same_numbers(e, want));
        llama4_embeddings_release(e);
    }
    llama4_embeddings_release(want);
    llama4_image_release(image);
    llama4_context_release(context);
    llama4_model_release(model);
    remove_copy();
    free(logits);
    free(bytes);
}

/* ---- converting ---- */

#define OUT "test_loading.out"
#define IMATRIX "test_loading.imatrix"

typedef struct conversion {
    const char *from, *type;
    uint32_t flags;
    const char *imatrix;
} conversion;

/* When progress is reported for the n-th time, between two reads. */
static int reports, shrink_report;

static int32_t report(void *user, float fraction)
{
    (void)user, (void)fraction;
    if (++reports == shrink_report)
        CHECK(truncate(victim, 10) == 0);
    return 0;
}

static llama4_status convert(const conversion *c, const char *path, llama4_error *error)
{
    llama4_convert_params p;
    llama4_convert_params_init(&p, sizeof p);
    p.progress = report;
    reports = 0;
    p.type = c->type;
    p.flags = c->flags;
    p.imatrix_path = c->imatrix;
    remove(OUT);
    return llama4_convert(path, OUT, &p, error);
}

static int wrote(const unsigned char *want, size_t size)
{
    size_t n = 0;
    unsigned char *got = load_file(OUT, &n);
    const int same = got && n == size && memcmp(got, want, n) == 0;
    free(got);
    return same;
}

/* All is well and the file as it should be, or it is an error and there is no file. */
static int sound(llama4_status status, const unsigned char *want, size_t size)
{
    struct stat st;
    if (status == LLAMA4_OK)
        return wrote(want, size);
    return stat(OUT, &st) != 0 && (status == LLAMA4_ERR_IO ? strstr(error.message, "cannot read") || strstr(error.message, "ends at byte")
                                                           : status == LLAMA4_ERR_FORMAT);
}

/* 1 .. all, most of them only if they are few. */
static int next(int at, int all)
{
    return at + (at < 12 || at + 4 > all ? 1 : 1 + all / 30);
}

/* Converts while `victim` shrinks at one of the ways, at the n-th time of each. */
#define AT_READ 0
#define AT_MAP 1
#define AT_REPORT 2

static llama4_status convert_shrinking(const conversion *c, const char *path, int way, int n)
{
    whole_disk();
    atomic_store(&shrink_at, way == AT_READ ? n : 0);
    shrink_map = way == AT_MAP ? n : 0;
    shrink_report = way == AT_REPORT ? n : 0;
    const llama4_status status = convert(c, path, &error);
    shrink_report = 0;
    return status;
}

TEST(converting)
{
    static const conversion all_of_them[] = {{TINY, "q8_0", 0, NULL}, {SCOUT, NULL, 0, NULL}, {DENSE, "q4_0", 0, NULL}, {VISION, "f32", LLAMA4_CONVERT_VISION, NULL}};
    for (size_t i = 0; i < sizeof all_of_them / sizeof *all_of_them; i++) {
        const conversion *c = &all_of_them[i];
        size_t size = 0;
        whole_disk();
        CHECK_STATUS(convert(c, c->from, &error), LLAMA4_OK, error);
        const int times[] = {atomic_load(&reads), maps, reports};
        unsigned char *want = load_file(OUT, &size);
        REQUIRE(want && times[AT_READ] > 12 && reports > 12);
        atomic_store(&cut, 1);
        CHECK_STATUS(convert(c, c->from, &error), LLAMA4_OK, error);
        CHECK(wrote(want, size));
        for (int n = 1; n <= times[AT_READ]; n = next(n, times[AT_READ])) {
            whole_disk();
            atomic_store(&fail_at, n);
            CHECK_STATUS(convert(c, c->from, &error), LLAMA4_ERR_IO, error);
            CHECK(sound(LLAMA4_ERR_IO, want, size));
        }
        for (int way = AT_READ; way <= AT_REPORT; way++)
            for (int n = 1; n <= times[way]; n = next(n, times[way])) {
                const char *path = copy_model(c->from, &victim);
                CHECK(sound(convert_shrinking(c, path, way, n), want, size));
                remove_copy();
            }
        free(want);
    }
    whole_disk();
    remove(OUT);
}

/* Of two matrices: one that no model has, longer than what is read of a file at first, and the queries of layer 0. */
static const char *const columns_of[] = {"other", "blk.0.attn_q.weight"};
#define MOST_COLUMNS 100000
static float values[2][MOST_COLUMNS];
static uint32_t counts[2] = {MOST_COLUMNS, 0};

static void write_old_imatrix(void)
{
    const int32_t n = 2;
    FILE *f = fopen(IMATRIX, "wb");
    REQUIRE(f != NULL);
    CHECK(fwrite(&n, 4, 1, f) == 1);
    for (int i = 0; i < n; i++)
        CHECK(write_imatrix_entry(f, columns_of[i], values[i], (int32_t)counts[i]) == 0);
    CHECK(fclose(f) == 0);
}

static void write_gguf_imatrix(void)
{
    const uint64_t one = 1;
    const float used = 1;
    char name[64];
    l4_gguf_builder b;
    l4_writer w;
    l4_gguf_builder_init(&b, &l4_system_allocator);
    for (int i = 0; i < 2; i++) {
        const uint64_t dims[2] = {counts[i], 1};
        snprintf(name, sizeof name, "%s.in_sum2", columns_of[i]);
        CHECK_EQ(l4_gguf_put_tensor(&b, name, LLAMA4_TYPE_F32, 2, dims, NULL), LLAMA4_OK);
        snprintf(name, sizeof name, "%s.counts", columns_of[i]);
        CHECK_EQ(l4_gguf_put_tensor(&b, name, LLAMA4_TYPE_F32, 1, &one, NULL), LLAMA4_OK);
    }
    REQUIRE(l4_writer_open(&l4_system_allocator, IMATRIX, &w, NULL) == LLAMA4_OK);
    CHECK_EQ(l4_gguf_write_head(&b, &w, NULL), LLAMA4_OK);
    for (int i = 0; i < 2; i++)
        CHECK(!l4_writer_write(&w, values[i], 4 * (size_t)counts[i], NULL) && !l4_gguf_pad(&w, NULL) && !l4_writer_write(&w, &used, 4, NULL) &&
              !l4_gguf_pad(&w, NULL));
    CHECK_EQ(l4_writer_commit(&w, NULL), LLAMA4_OK);
    l4_gguf_builder_clear(&b);
}

TEST(importance)
{
    static const conversion c = {DENSE, "q4_1", 0, IMATRIX};
    llama4_model *model = open_model(DENSE, NULL);
    REQUIRE(model != NULL);
    counts[1] = (uint32_t)model_info(model).embedding_length;
    llama4_model_release(model);
    REQUIRE(counts[1] <= MOST_COLUMNS);
    for (int i = 0; i < MOST_COLUMNS; i++)
        values[0][i] = values[1][i] = i % 4 ? 0.01f : 1.0f;
    victim = IMATRIX;
    only_victim = 1;
    for (int gguf = 0; gguf < 2; gguf++) {
        size_t size = 0;
        int failures = 0;
        void (*write_imatrix)(void) = gguf ? write_gguf_imatrix : write_old_imatrix;
        write_imatrix();
        whole_disk();
        CHECK_STATUS(convert(&c, DENSE, &error), LLAMA4_OK, error);
        const int times[] = {atomic_load(&victim_reads), maps, reports < 3 ? reports : 3};
        unsigned char *want = load_file(OUT, &size);
        REQUIRE(want && times[AT_READ] > 1);
        for (int way = AT_READ; way <= AT_REPORT; way++)
            for (int n = 1; n <= times[way]; n++) {
                write_imatrix();
                const llama4_status status = convert_shrinking(&c, DENSE, way, n);
                CHECK(sound(status, want, size));
                failures += status == LLAMA4_ERR_IO;
            }
        CHECK(failures > 1);
        free(want);
    }
    whole_disk();
    only_victim = 0;
    remove(IMATRIX);
    remove(OUT);
}

TEST_MAIN_IN_OWN_FOLDER(T(read_errors), T(short_reads), T(files_are_not_needed_any_more), T(file_shrinks_while_weights_are_read),
                        T(file_shrinks_at_any_read), T(file_shrinks_once_it_is_mapped), T(pictures), T(converting), T(importance))
#else
TEST(loading)
{
    SKIP("only on Linux");
}

TEST_MAIN(T(loading))
#endif
