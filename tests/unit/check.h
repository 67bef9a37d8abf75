/*
 * check.h - the smallest test harness that still says what went wrong.
 *
 *     #include "check.h"
 *
 *     TEST(adds)
 *     {
 *         CHECK_EQ(1 + 1, 2);
 *     }
 *
 *     TEST_MAIN(T(adds), T(another))
 *
 * Each test prints "ok NAME", "FAILED NAME: file:line: ..." (its first failure; it goes on) or "skipped NAME: why". The
 * program closes with "N passed, N failed" (", N skipped" follows when there are any) and exits with 1 if one failed.
 * Arguments, if given, are names of tests to run. Checks return nothing and may stand in helpers; REQUIRE returns from
 * a void function. CHECK_STATUS compares llama4_status values and shows the message of an error struct.
 */
#ifndef LLAMA4_TESTS_CHECK_H
#define LLAMA4_TESTS_CHECK_H

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

typedef struct check_case {
    const char *name;
    void (*run)(void);
} check_case;

/* Writable globals are fine here: a test program is one thread and one file. */
static const char *check_name;
static int check_failures;
static int check_was_skipped;

static inline void check_fail(const char *file, int line, const char *what)
{
    const char *slash = strrchr(file, '/');
    if (check_failures++ < 5)
        printf("FAILED %s: %s:%d: %s\n", check_name ? check_name : "?", slash ? slash + 1 : file, line, what);
    fflush(stdout);
}

static inline int check_true(int cond, const char *file, int line, const char *text)
{
    if (!cond)
        check_fail(file, line, text);
    return cond;
}

static inline int check_eq(long long a, long long b, const char *file, int line, const char *text)
{
    if (a != b) {
        char what[512];
        snprintf(what, sizeof what, "%s: %lld is not %lld", text, a, b);
        check_fail(file, line, what);
    }
    return a == b;
}

static inline int check_str(const char *a, const char *b, const char *file, int line, const char *text)
{
    int same = a && b ? strcmp(a, b) == 0 : a == b;
    if (!same) {
        char what[512];
        snprintf(what, sizeof what, "%s: \"%.160s\" is not \"%.160s\"", text, a ? a : "(null)", b ? b : "(null)");
        check_fail(file, line, what);
    }
    return same;
}

static inline int check_mem(const void *a, const void *b, size_t n, const char *file, int line, const char *text)
{
    size_t i = 0;
    const unsigned char *x = a, *y = b;
    while (i < n && x[i] == y[i])
        i++;
    if (i < n) {
        char what[512];
        snprintf(what, sizeof what, "%s: byte %zu of %zu is %02x, not %02x", text, i, n, x[i], y[i]);
        check_fail(file, line, what);
    }
    return i == n;
}

static inline int check_status(int32_t got, int32_t want, const char *message, const char *file, int line, const char *text)
{
    if (got != want) {
        char what[640];
        snprintf(what, sizeof what, "%s: status %" PRId32 ", not %" PRId32 "%s%.256s", text, got, want,
                 message && message[0] ? ": " : "", message ? message : "");
        check_fail(file, line, what);
    }
    return got == want;
}

#define CHECK(cond) check_true(!!(cond), __FILE__, __LINE__, #cond)
#define CHECK_EQ(a, b) check_eq((long long)(a), (long long)(b), __FILE__, __LINE__, #a " == " #b)
#define CHECK_STR(a, b) check_str((a), (b), __FILE__, __LINE__, #a " == " #b)
#define CHECK_MEM(a, b, n) check_mem((a), (b), (n), __FILE__, __LINE__, #a " == " #b)
/* error: a llama4_error (not a pointer), for its message */
#define CHECK_STATUS(call, want, error) check_status((call), (want), (error).message, __FILE__, __LINE__, #call)
#define CHECK_STATUS0(call, want) check_status((call), (want), NULL, __FILE__, __LINE__, #call)
#define REQUIRE(cond)      \
    do {                   \
        if (!CHECK(cond))  \
            return;        \
    } while (0)
#define REQUIRE_STATUS(call, want, error)      \
    do {                                       \
        if (!CHECK_STATUS(call, want, error))  \
            return;                            \
    } while (0)
/* Leaves a test that cannot run here, and says why. */
#define SKIP(why)                                        \
    do {                                                 \
        printf("skipped %s: %s\n", check_name, (why));   \
        check_was_skipped = 1;                           \
        return;                                          \
    } while (0)

#define TEST(name) static void test_##name(void)
#define T(name) {#name, test_##name}

static inline int check_main(const check_case *cases, size_t n, int argc, char **argv)
{
    int passed = 0, failed = 0, skipped = 0;
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (size_t i = 0; i < n; i++) {
        int wanted = argc < 2;
        for (int k = 1; k < argc; k++)
            wanted |= strcmp(argv[k], cases[i].name) == 0;
        if (!wanted)
            continue;
        check_name = cases[i].name;
        check_failures = 0;
        check_was_skipped = 0;
        cases[i].run();
        if (check_failures)
            failed++;
        else if (check_was_skipped)
            skipped++;
        else {
            printf("ok %s\n", check_name);
            passed++;
        }
    }
    printf("%d passed, %d failed", passed, failed);
    if (skipped)
        printf(", %d skipped", skipped);
    printf("\n");
    fflush(stdout);
    return failed || passed + skipped == 0;
}

#define TEST_MAIN(...)                                                       \
    int main(int argc, char **argv)                                          \
    {                                                                        \
        static const check_case cases[] = {__VA_ARGS__};                     \
        return check_main(cases, sizeof cases / sizeof *cases, argc, argv);  \
    }

#endif
