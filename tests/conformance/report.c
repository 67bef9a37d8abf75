/* One line per case, the counts, and the few helpers that every file needs. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "conformance.h"

static size_t passed, failed, skipped;
static int only_failures;

static void line(const char *verdict, const char *name, const char *format, va_list args)
{
    printf("%s %s: ", verdict, name);
    vprintf(format, args);
    putchar('\n');
    fflush(stdout);
}

void report_passed(const char *name, const char *format, ...)
{
    va_list args;
    passed++;
    if (only_failures)
        return;
    va_start(args, format);
    line("ok", name, format, args);
    va_end(args);
}

void report_failed(const char *name, const char *format, ...)
{
    va_list args;
    failed++;
    va_start(args, format);
    line("FAILED", name, format, args);
    va_end(args);
}

void report_skipped(const char *name, const char *format, ...)
{
    va_list args;
    skipped++;
    va_start(args, format);
    line("skipped", name, format, args);
    va_end(args);
}

void report_note(const char *name, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    line("note", name, format, args);
    va_end(args);
}

void report_quiet(int quiet)
{
    only_failures = quiet;
}

size_t report_count(void)
{
    return passed + failed + skipped;
}

int report_close(void)
{
    printf("%zu passed, %zu failed, %zu skipped\n", passed, failed, skipped);
    return failed ? 1 : 0;
}

double clock_seconds(void)
{
#if defined(_WIN32)
    return (double)clock() / CLOCKS_PER_SEC; /* wall time there; and timespec_get is missing from the older C runtime */
#else
    struct timespec now;
    timespec_get(&now, TIME_UTC);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
#endif
}

void *xmalloc(size_t size)
{
    return xrealloc(NULL, size);
}

void *xrealloc(void *old, size_t size)
{
    void *memory = realloc(old, size ? size : 1);
    if (!memory) {
        fprintf(stderr, "conformance: out of memory\n");
        exit(2);
    }
    return memory;
}

char *xprintf(const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (n < 0)
        exit(2);
    char *text = xmalloc((size_t)n + 1);
    vsnprintf(text, (size_t)n + 1, format, again);
    va_end(again);
    return text;
}
