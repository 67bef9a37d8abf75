/* See machine.h. The loops are written for what they measure: every iteration is independent of the one before, so that the
 * processor and not the latency of an instruction sets the pace. */
#ifdef __linux__
#define _GNU_SOURCE /* madvise */
#endif
#include "machine.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <llama4/llama4.h>

#include "term.h"

#ifdef _WIN32
#include <windows.h>
#else
#include <pthread.h>
#include <sched.h>
#endif
#ifdef __linux__
#include <sys/mman.h>
#endif

#if defined(__x86_64__) && defined(__GNUC__)
#define HAVE_X86
#include <cpuid.h>
#include <immintrin.h>
#if (defined(__clang__) && __clang_major__ >= 12) || (!defined(__clang__) && __GNUC__ >= 11)
#define HAVE_AVX_VNNI
#endif
#define REGISTER "v"
#elif defined(__aarch64__) && defined(__GNUC__)
#define HAVE_NEON
#include <arm_neon.h>
#define REGISTER "w"
#endif

#define MAX_THREADS 64
#define ROUNDS 5          /* the fastest counts */
#define PEAK_SECONDS 0.05 /* of a round of the integer loop */
#define LINE 64           /* bytes that memory hands over at once */

/* ---- Threads that start together ---- */

typedef struct job {
    void (*work)(struct job *job, int thread);
    int threads;
    int32_t level;
    const uint8_t *data; /* for reading */
    size_t bytes;        /* of data */
    int64_t iterations;  /* for computing */
    atomic_int arrived;
    atomic_uint_fast64_t result; /* keeps the compiler from dropping the work */
} job;

typedef struct member {
    job *job;
    int thread;
    double began, ended;
} member;

static void take_part(member *m)
{
    job *j = m->job;
    atomic_fetch_add(&j->arrived, 1);
    while (atomic_load(&j->arrived) < j->threads) {
#ifdef _WIN32
        SwitchToThread();
#else
        sched_yield();
#endif
    }
    m->began = now();
    j->work(j, m->thread);
    m->ended = now();
}

#ifdef _WIN32
typedef HANDLE thread_handle;

static DWORD WINAPI thread_main(void *m)
{
    take_part(m);
    return 0;
}

static int thread_start(thread_handle *handle, member *m)
{
    *handle = CreateThread(NULL, 0, thread_main, m, 0, NULL);
    return *handle != NULL;
}

static void thread_join(thread_handle handle)
{
    WaitForSingleObject(handle, INFINITE);
    CloseHandle(handle);
}
#else
typedef pthread_t thread_handle;

static void *thread_main(void *m)
{
    take_part(m);
    return NULL;
}

static int thread_start(thread_handle *handle, member *m)
{
    return pthread_create(handle, NULL, thread_main, m) == 0;
}

static void thread_join(thread_handle handle)
{
    pthread_join(handle, NULL);
}
#endif

/* Seconds from the first start to the last end; 0 if the system gives no threads. */
static double together(job *j)
{
    member members[MAX_THREADS];
    thread_handle handles[MAX_THREADS];
    int started = 1;
    atomic_store(&j->arrived, 0);
    for (int i = 0; i < j->threads; i++)
        members[i] = (member){j, i, 0, 0};
    while (started < j->threads && thread_start(&handles[started], &members[started]))
        started++;
    int complete = started == j->threads;
    if (complete)
        take_part(&members[0]);
    else
        atomic_fetch_add(&j->arrived, j->threads); /* those that wait for the missing ones go on */
    for (int i = 1; i < started; i++)
        thread_join(handles[i]);
    double began = members[0].began, ended = members[0].ended;
    for (int i = 1; i < started; i++) {
        began = members[i].began < began ? members[i].began : began;
        ended = members[i].ended > ended ? members[i].ended : ended;
    }
    return complete ? ended - began : 0.0;
}

/* ---- Reading ---- */

/* All bytes of p, n a multiple of LINE, folded into one number. */
static uint64_t read_words(const uint8_t *p, size_t n)
{
    uint64_t sums[8] = {0}, word;
    for (size_t i = 0; i < n; i += LINE)
        for (size_t k = 0; k < 8; k++) {
            memcpy(&word, p + i + 8 * k, 8);
            sums[k] |= word;
        }
    return sums[0] | sums[1] | sums[2] | sums[3] | sums[4] | sums[5] | sums[6] | sums[7];
}

#ifdef HAVE_X86
#define AHEAD 4096 /* bytes; the hardware's own prefetching ends with each page */

__attribute__((target("avx2"))) static uint64_t read_avx2(const uint8_t *p, size_t n)
{
    __m256i a = _mm256_setzero_si256(), b = a;
    for (size_t i = 0; i < n; i += LINE) {
        _mm_prefetch((const char *)p + i + AHEAD, _MM_HINT_T0); /* beyond the end it does nothing */
        a = _mm256_or_si256(a, _mm256_load_si256((const __m256i *)(p + i)));
        b = _mm256_or_si256(b, _mm256_load_si256((const __m256i *)(p + i + 32)));
    }
    a = _mm256_or_si256(a, b);
    return (uint64_t)_mm256_extract_epi64(a, 0) | (uint64_t)_mm256_extract_epi64(a, 1) | (uint64_t)_mm256_extract_epi64(a, 2) |
           (uint64_t)_mm256_extract_epi64(a, 3);
}

__attribute__((target("avx512f"))) static uint64_t read_avx512(const uint8_t *p, size_t n)
{
    __m512i a = _mm512_setzero_si512();
    for (size_t i = 0; i < n; i += LINE) {
        _mm_prefetch((const char *)p + i + AHEAD, _MM_HINT_T0);
        a = _mm512_or_si512(a, _mm512_load_si512((const void *)(p + i)));
    }
    return (uint64_t)_mm512_reduce_or_epi64(a);
}
#endif

static void read_part(job *j, int thread)
{
    size_t lines = j->bytes / LINE;
    size_t begin = lines * (size_t)thread / (size_t)j->threads, end = lines * ((size_t)thread + 1) / (size_t)j->threads;
    const uint8_t *p = j->data + begin * LINE;
    size_t n = (end - begin) * LINE;
    uint64_t result;
#ifdef HAVE_X86
    if (j->level >= LLAMA4_CPU_AVX512)
        result = read_avx512(p, n);
    else if (j->level >= LLAMA4_CPU_AVX2)
        result = read_avx2(p, n);
    else
#endif
        result = read_words(p, n);
    atomic_fetch_or(&j->result, result);
}

double machine_bandwidth(int threads, int32_t level, size_t bytes)
{
    const size_t huge = 2 << 20; /* bytes of a large page */
    job j = {.work = read_part, .threads = threads, .level = level};
    if (threads < 1 || threads > MAX_THREADS || bytes < LINE || bytes > SIZE_MAX - huge)
        return 0.0;
    uint8_t *memory = malloc(bytes + huge);
    if (!memory)
        return 0.0;
    uint8_t *data = memory + (huge - (uintptr_t)memory % huge);
#ifdef __linux__
    (void)madvise(data, bytes, MADV_HUGEPAGE); /* a wish: else misses of the TLB would be measured as well */
#endif
    memset(data, 1, bytes); /* untouched pages are all the same page of zeros */
    j.data = data;
    j.bytes = bytes - bytes % LINE;
    double best = 0.0;
    for (int i = 0; i < ROUNDS && !interrupted(); i++) {
        double seconds = together(&j);
        if (seconds > 0.0 && (double)j.bytes / seconds > best)
            best = (double)j.bytes / seconds;
    }
    free(memory);
    return best;
}

/* ---- Computing ---- */

/* clang-format off */
#if defined(HAVE_X86) || defined(HAVE_NEON)
/* Twelve sums hide five cycles of latency with two instructions a cycle. HIDE is no instruction: it makes a value unknown to the
 * compiler, which would otherwise do equal work once. `products`: vectors of them in a step. */
#define SUMS 12
#define FOR_SUMS(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)
#define HIDE(x) __asm__ volatile("" : "+" REGISTER(x));
#define BEGIN(i) s##i = a; HIDE(s##i)
#define END(i) HIDE(s##i)
#define PEAK_LOOP(name, isa, vector, products, step)                                                                \
    isa static double name(int64_t n)                                                                               \
    {                                                                                                               \
        vector a, b, ones, s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11;                                        \
        memset(&a, 1, sizeof a);                                                                                    \
        b = ones = a;                                                                                               \
        HIDE(ones)                                                                                                  \
        FOR_SUMS(BEGIN)                                                                                             \
        for (int64_t k = 0; k < n; k++) {                                                                           \
            HIDE(b)                                                                                                 \
            FOR_SUMS(step)                                                                                          \
        }                                                                                                           \
        FOR_SUMS(END)                                                                                               \
        return 2.0 * SUMS * products * (double)sizeof a * (double)n;                                                \
    }

#endif

#ifdef HAVE_X86
#define DOT_512(i) s##i = _mm512_dpbusd_epi32(s##i, a, b);
PEAK_LOOP(peak_avx512_vnni, __attribute__((target("avx512f,avx512bw,avx512vnni"))), __m512i, 1, DOT_512)

#ifdef HAVE_AVX_VNNI
#define DOT_256(i) s##i = _mm256_dpbusd_avx_epi32(s##i, a, b);
PEAK_LOOP(peak_avx2_vnni, __attribute__((target("avx2,avxvnni"))), __m256i, 1, DOT_256)
#else
#define peak_avx2_vnni peak_avx2
#endif

/* Without that instruction: four pairs of products of small weights add up in 16 bits, pairs of those in 32 bits. */
#define QUADS(vector, add_words, add, pairs, widen, sum)                                                            \
    {                                                                                                               \
        vector t = pairs(a, b);                                                                                     \
        HIDE(a) t = add_words(t, pairs(a, b));                                                                      \
        HIDE(a) t = add_words(t, pairs(a, b));                                                                      \
        HIDE(a) t = add_words(t, pairs(a, b));                                                                      \
        HIDE(a) sum = add(sum, widen(t, ones));                                                                     \
    }
#define QUADS_512(i) QUADS(__m512i, _mm512_add_epi16, _mm512_add_epi32, _mm512_maddubs_epi16, _mm512_madd_epi16, s##i)
PEAK_LOOP(peak_avx512, __attribute__((target("avx512f,avx512bw"))), __m512i, 4, QUADS_512)

#define QUADS_256(i) QUADS(__m256i, _mm256_add_epi16, _mm256_add_epi32, _mm256_maddubs_epi16, _mm256_madd_epi16, s##i)
PEAK_LOOP(peak_avx2, __attribute__((target("avx2"))), __m256i, 4, QUADS_256)

static double compute(int32_t level, int64_t iterations)
{
    return level >= LLAMA4_CPU_AVX512_VNNI ? peak_avx512_vnni(iterations)
           : level >= LLAMA4_CPU_AVX512    ? peak_avx512(iterations)
           : level >= LLAMA4_CPU_AVX2_VNNI ? peak_avx2_vnni(iterations)
           : level >= LLAMA4_CPU_AVX2      ? peak_avx2(iterations)
                                           : 0.0;
}
#elif defined(HAVE_NEON)
#ifdef __clang__
#define WITH_SDOT __attribute__((target("dotprod")))
#else
#define WITH_SDOT __attribute__((target("arch=armv8.2-a+dotprod")))
#endif
#define DOT_128(i) __asm__("sdot %0.4s, %1.16b, %2.16b" : "+w"(s##i) : "w"(a), "w"(b));
PEAK_LOOP(peak_neon_dotprod, WITH_SDOT, int8x16_t, 1, DOT_128)

/* Without that instruction: eight products of small weights add up in 16 bits, pairs of those in 32 bits. */
#define MORE_128 HIDE(a) low = vmlal_s8(low, vget_low_s8(a), vget_low_s8(b)); high = vmlal_high_s8(high, a, b);
#define OCTETS_128(i)                                                                                               \
    {                                                                                                               \
        int16x8_t low = vmull_s8(vget_low_s8(a), vget_low_s8(b)), high = vmull_high_s8(a, b);                       \
        MORE_128 MORE_128 MORE_128                                                                                  \
        HIDE(a) s##i = vreinterpretq_s8_s32(vpadalq_s16(vreinterpretq_s32_s8(s##i), vpaddq_s16(low, high)));        \
    }
PEAK_LOOP(peak_neon, , int8x16_t, 4, OCTETS_128)

static double compute(int32_t level, int64_t iterations)
{
    return level >= LLAMA4_CPU_NEON_DOTPROD ? peak_neon_dotprod(iterations) : level >= LLAMA4_CPU_NEON ? peak_neon(iterations) : 0.0;
}
#else
static double compute(int32_t level, int64_t iterations)
{
    (void)level;
    (void)iterations;
    return 0.0;
}
#endif

/* clang-format on */

static void compute_part(job *j, int thread)
{
    (void)thread;
    (void)compute(j->level, j->iterations);
}

double machine_int8_peak(int threads, int32_t level)
{
    job j = {.work = compute_part, .threads = 1, .level = level, .iterations = 1000};
    double operations = compute(level, 1), best = 0.0;
    if (threads < 1 || threads > MAX_THREADS || operations == 0.0)
        return 0.0;
    while (together(&j) < PEAK_SECONDS && j.iterations < INT64_MAX / 2)
        j.iterations *= 2;
    j.threads = threads;
    for (int i = 0; i < ROUNDS && !interrupted(); i++) {
        double seconds = together(&j), all = operations * (double)j.iterations * threads;
        if (seconds > 0.0 && all / seconds > best)
            best = all / seconds;
    }
    return best;
}

/* ---- Its name ---- */

void machine_name(char *name, size_t size)
{
    char text[49] = "";
#ifdef HAVE_X86
    unsigned int words[12] = {0};
    if ((unsigned int)__get_cpuid_max(0x80000000u, NULL) >= 0x80000004u) {
        for (unsigned int i = 0; i < 3; i++)
            __get_cpuid(0x80000002u + i, words + 4 * i, words + 4 * i + 1, words + 4 * i + 2, words + 4 * i + 3);
        memcpy(text, words, 48);
    }
    snprintf(name, size, "%s", text[0] ? text + strspn(text, " ") : "x86-64");
#else
    (void)text;
#if defined(__aarch64__)
    snprintf(name, size, "ARM64");
#else
    snprintf(name, size, "unknown processor");
#endif
#endif
}
