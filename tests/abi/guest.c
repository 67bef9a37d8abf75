/*
 * A host that uses OpenBLAS, OpenMP, libpng and zstd itself, with settings of its own: before, between and after its calls of the
 * library, and while the library works in other threads, everything gives what it gave, and every setting is what it was.
 *     guest MODEL.gguf
 */
#define _GNU_SOURCE
#include <cblas.h>
#include <fenv.h>
#include <locale.h>
#include <omp.h>
#include <png.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>
#include <zstd.h>

#include "check.h"
#include "work.h"

/* In every OpenBLAS; its cblas.h declares them only in some versions. */
extern void openblas_set_num_threads(int n);
extern int openblas_get_num_threads(void);

static const char *model_path;
static char want[2048];

/* ---- settings of the process ---- */

typedef struct settings {
    int blas_threads, omp_threads, omp_dynamic, omp_levels, rounding, exceptions;
    omp_sched_t schedule;
    int chunk;
    unsigned flush;
    char locale[256], directory[1024];
    struct sigaction actions[NSIG];
    sigset_t blocked;
    char **environment;
} settings;

extern char **environ;

static unsigned flush_bits(void)
{
#if defined(__SSE__)
    return __builtin_ia32_stmxcsr() & 0xffc0u; /* without the sticky flags */
#else
    return 0;
#endif
}

static void look(settings *s)
{
    memset(s, 0, sizeof *s);
    s->blas_threads = openblas_get_num_threads();
    s->omp_threads = omp_get_max_threads();
    s->omp_dynamic = omp_get_dynamic();
    s->omp_levels = omp_get_max_active_levels();
    omp_get_schedule(&s->schedule, &s->chunk);
    s->rounding = fegetround();
    s->exceptions = fegetexcept();
    s->flush = flush_bits();
    snprintf(s->locale, sizeof s->locale, "%s", setlocale(LC_ALL, NULL));
    if (!getcwd(s->directory, sizeof s->directory))
        s->directory[0] = 0;
    for (int i = 1; i < NSIG; i++)
        sigaction(i, NULL, &s->actions[i]);
    pthread_sigmask(SIG_SETMASK, NULL, &s->blocked);
    s->environment = environ;
}

static void settings_are(const settings *was)
{
    static settings now;
    look(&now);
    CHECK_EQ(now.blas_threads, was->blas_threads);
    CHECK_EQ(now.omp_threads, was->omp_threads);
    CHECK_EQ(now.omp_dynamic, was->omp_dynamic);
    CHECK_EQ(now.omp_levels, was->omp_levels);
    CHECK_EQ(now.schedule, was->schedule);
    CHECK_EQ(now.chunk, was->chunk);
    CHECK_EQ(now.rounding, was->rounding);
    CHECK_EQ(now.exceptions, was->exceptions);
    CHECK_EQ(now.flush, was->flush);
    CHECK_STR(now.locale, was->locale);
    CHECK_STR(now.directory, was->directory);
    for (int i = 1; i < NSIG; i++)
        CHECK(now.actions[i].sa_handler == was->actions[i].sa_handler && now.actions[i].sa_flags == was->actions[i].sa_flags);
    CHECK_MEM(&now.blocked, &was->blocked, sizeof now.blocked);
    CHECK(now.environment == was->environment);
}

static void on_signal(int number)
{
    (void)number;
}

/* ---- the host's own work ---- */

enum { N = 160, SIDE = 64 };

static double blas(void)
{
    static double a[N * N], b[N * N], c[N * N];
    double sum = 0;
    for (int i = 0; i < N * N; i++) {
        a[i] = (i * 7 % 13) - 6;
        b[i] = (i * 5 % 11) - 5;
        c[i] = 0;
    }
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, N, N, N, 1.0, a, N, b, N, 0.0, c, N);
    for (int i = 0; i < N * N; i++)
        sum += c[i] * (i % 3 - 1); /* whole numbers: exact in any order */
    return sum;
}

static int team(void)
{
    int threads = 0;
#pragma omp parallel reduction(+ : threads)
    threads += 1;
    return threads;
}

static int picture(void)
{
    static unsigned char in[SIDE * SIDE * 3], out[SIDE * SIDE * 3], file[1 << 16];
    png_image image = {.version = PNG_IMAGE_VERSION, .width = SIDE, .height = SIDE, .format = PNG_FORMAT_RGB};
    png_alloc_size_t size = sizeof file;
    for (size_t i = 0; i < sizeof in; i++)
        in[i] = (unsigned char)(i * 31 / 7);
    if (!png_image_write_to_memory(&image, file, &size, 0, in, 0, NULL))
        return 0;
    image = (png_image){.version = PNG_IMAGE_VERSION};
    if (!png_image_begin_read_from_memory(&image, file, size))
        return 0;
    image.format = PNG_FORMAT_RGB;
    return png_image_finish_read(&image, NULL, out, 0, NULL) && !memcmp(in, out, sizeof in);
}

static int packed(void)
{
    static char in[20000], out[20000], frame[40000];
    for (size_t i = 0; i < sizeof in; i++)
        in[i] = (char)(i % 251 * (i % 7));
    size_t n = ZSTD_compress(frame, sizeof frame, in, sizeof in, 5);
    return !ZSTD_isError(n) && n < sizeof in && ZSTD_decompress(out, sizeof out, frame, n) == sizeof out && !memcmp(in, out, sizeof in);
}

static double blas_want;

static void own_work(void)
{
    CHECK(blas() == blas_want);
    CHECK_EQ(team(), 3);
    CHECK(picture());
    CHECK(packed());
}

/* ---- tests ---- */

TEST(by_turns)
{
    static settings was;
    look(&was);
    for (int i = 0; i < 3; i++) {
        char text[2048];
        own_work();
        CHECK_STATUS0(work(model_path, i, text, sizeof text), 0); /* 0: as many threads as there are processors */
        CHECK_STR(text, want);
        settings_are(&was);
        own_work();
    }
}

/* The library is called by a team of OpenMP's threads, each with a model and a context of its own. */
TEST(inside_a_parallel_region)
{
    static settings was;
    int wrong = 0;
    look(&was);
#pragma omp parallel reduction(+ : wrong)
    {
        char text[2048];
        wrong += work(model_path, 2, text, sizeof text) != 0 || strcmp(text, want) != 0;
    }
    CHECK_EQ(wrong, 0);
    settings_are(&was);
    own_work();
}

static void *chat_in_thread(void *argument)
{
    static char text[2048];
    for (int i = 0; i < 4; i++)
        if (work(model_path, 2, text, sizeof text) || strcmp(text, want))
            return NULL;
    return argument;
}

TEST(at_the_same_time)
{
    static settings was;
    pthread_t thread;
    void *result = NULL;
    look(&was);
    REQUIRE(pthread_create(&thread, NULL, chat_in_thread, &was) == 0);
    for (int i = 0; i < 20; i++)
        own_work();
    pthread_join(thread, &result);
    CHECK(result == &was);
    settings_are(&was);
}

/* A caller with its own rounding mode, and denormals flushed, gets it back; numbers of other threads do not depend on it. */
TEST(floating_point_modes)
{
    static settings was;
    char text[2048];
    fesetround(FE_TOWARDZERO);
#if defined(__SSE__)
    __builtin_ia32_ldmxcsr(__builtin_ia32_stmxcsr() | 0x8040u);
#endif
    look(&was);
    CHECK_STATUS0(work(model_path, 2, text, sizeof text), 0);
    settings_are(&was);
#if defined(__SSE__)
    __builtin_ia32_ldmxcsr(__builtin_ia32_stmxcsr() & ~0x8040u);
#endif
    fesetround(FE_TONEAREST);
    CHECK_STATUS0(work(model_path, 2, text, sizeof text), 0);
    CHECK_STR(text, want);
}

int main(int argc, char **argv)
{
    static const check_case cases[] = {T(by_turns), T(inside_a_parallel_region), T(at_the_same_time), T(floating_point_modes)};
    if (argc != 2)
        return 2;
    model_path = argv[1];
    /* Settings that are nobody's defaults. */
    openblas_set_num_threads(2);
    omp_set_num_threads(3);
    omp_set_dynamic(0);
    omp_set_max_active_levels(1);
    omp_set_schedule(omp_sched_guided, 5);
    signal(SIGUSR1, on_signal);
    signal(SIGPIPE, SIG_IGN);
    setlocale(LC_ALL, "");
    blas_want = blas();
    if (work(model_path, 1, want, sizeof want)) {
        printf("FAILED start: %s\n0 passed, 1 failed\n", want);
        return 1;
    }
    return check_main(cases, sizeof cases / sizeof *cases, 1, argv);
}
