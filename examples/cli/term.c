/* See term.h. The only file here, beside machine.c, that knows about systems. */
#if !defined(_WIN32) && !defined(_POSIX_C_SOURCE)
#define _POSIX_C_SOURCE 200809L
#endif

#include "term.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#ifdef _WIN32
#include <windows.h>

#include <fcntl.h>
#include <io.h>
#else
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>
#endif

#define BAR_WIDTH 30
#define BAR_DELAY 0.3 /* seconds before a bar appears */

static int write_error; /* errno of the first failed write to standard output */
static volatile sig_atomic_t stop_signal;
static llama4_context *_Atomic target;
#ifndef _WIN32
static int wake[2] = {-1, -1}; /* a pipe: a signal that comes just before the wait for input must end it, too */
#endif

/* ---- Signals ---- */

static void on_signal(int number)
{
    if (stop_signal) { /* asked twice and still here: now for good */
        signal(number, SIG_DFL);
        raise(number);
        return;
    }
    stop_signal = number;
#ifdef _WIN32
    signal(number, on_signal);
#else
    int saved = errno;
    if (write(wake[1], "", 1) < 0)
        errno = saved;
#endif
    llama4_context *context = target;
    if (context)
        llama4_context_cancel(context);
}

void interrupt_target(llama4_context *context)
{
    target = context;
}

int interrupted(void)
{
    return stop_signal;
}

void interrupt_clear(void)
{
#ifndef _WIN32
    char bytes[16];
    while (read(wake[0], bytes, sizeof bytes) > 0)
        ;
#endif
    if (stop_signal == SIGINT)
        stop_signal = 0;
}

/* ---- Start and end ---- */

#ifdef _WIN32
void term_start(void)
{
    _setmode(0, _O_BINARY);
    _setmode(1, _O_BINARY);
    SetConsoleOutputCP(CP_UTF8);
    SetConsoleCP(CP_UTF8);
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
}
#else
void term_start(void)
{
    /* A file must never get the number of a closed standard stream. Opened the wrong way round, so that using it still fails. */
    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFD) == -1 && open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) == -1)
            _Exit(1);
    if (pipe(wake) == -1 || fcntl(wake[0], F_SETFL, O_NONBLOCK) == -1 || fcntl(wake[1], F_SETFL, O_NONBLOCK) == -1)
        _Exit(1);
    struct sigaction action;
    memset(&action, 0, sizeof action);
    sigemptyset(&action.sa_mask);
    action.sa_handler = on_signal; /* no SA_RESTART: reading a line ends on Ctrl-C */
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    action.sa_handler = SIG_IGN; /* a closed pipe is a failed write */
    sigaction(SIGPIPE, &action, NULL);
}
#endif

int term_finish(int status)
{
    out_flush();
    if (!write_error)
        return status;
    fprintf(stderr, "llama4: cannot write to standard output: %s\n", strerror(write_error));
    return status ? status : 1;
}

/* ---- Results ---- */

static void note_failure(int failed)
{
    if (failed && !write_error)
        write_error = errno ? errno : EIO;
}

void out_write(const void *data, size_t size)
{
    if (!write_error && size > 0)
        note_failure(fwrite(data, 1, size, stdout) != size);
}

void out_print(const char *format, ...)
{
    if (write_error)
        return;
    va_list args;
    va_start(args, format);
    note_failure(vprintf(format, args) < 0);
    va_end(args);
}

void out_flush(void)
{
    if (!write_error)
        note_failure(fflush(stdout) != 0);
}

int out_failed(void)
{
    return write_error != 0;
}

size_t utf8_length(const char *text, size_t n)
{
    const unsigned char *p = (const unsigned char *)text;
    size_t length = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : p[0] < 0xf5 ? 4 : 0;
    if (length > n)
        return 0;
    for (size_t i = 1; i < length; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) ||
        (p[0] == 0xf4 && p[1] > 0x8f))
        return 0;
    return length;
}

void out_safe(const char *text)
{
    size_t n = strlen(text), step;
    for (size_t i = 0; i < n; i += step) {
        step = utf8_length(text + i, n - i);
        if (step == 0 || (unsigned char)text[i] < 0x20 || text[i] == 0x7f) {
            step = 1;
            out_write("?", 1);
        } else {
            out_write(text + i, step);
        }
    }
}

void out_json(const char *text, size_t n)
{
    size_t step;
    out_write("\"", 1);
    for (size_t i = 0; i < n; i += step) {
        unsigned char c = (unsigned char)text[i];
        step = utf8_length(text + i, n - i);
        if (step == 0) {
            step = 1;
            out_print("\\ufffd");
        } else if (c == '"' || c == '\\') {
            out_print("\\%c", c);
        } else if (c == '\n') {
            out_print("\\n");
        } else if (c < 0x20 || c == 0x7f) {
            out_print("\\u%04x", c);
        } else {
            out_write(text + i, step);
        }
    }
    out_write("\"", 1);
}

void out_json_real(double value)
{
    if (isfinite(value))
        out_print("%.6f", value);
    else
        out_print("null");
}

/* ---- Messages ---- */

int fail(const llama4_error *error)
{
    if (error->status == LLAMA4_ERR_CANCELLED && stop_signal)
        return 128 + stop_signal;
    fprintf(stderr, "llama4: %s\n", error->message[0] ? error->message : llama4_status_name(error->status));
    return 1;
}

int fail_text(const char *format, ...)
{
    va_list args;
    fprintf(stderr, "llama4: ");
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "\n");
    return 1;
}

int is_terminal(FILE *file)
{
#ifdef _WIN32
    return _isatty(_fileno(file)) != 0;
#else
    return isatty(fileno(file));
#endif
}

void progress_start(progress *p, const char *label)
{
    p->label = label;
    p->started = now();
    p->percent = -1;
}

int32_t progress_step(void *user, float fraction)
{
    progress *p = user;
    int percent = (int)(fraction * 100.0f);
    if (percent != p->percent && is_terminal(stderr) && now() - p->started > BAR_DELAY) {
        int filled = percent * BAR_WIDTH / 100;
        p->percent = percent;
        fprintf(stderr, "\r%s [", p->label);
        for (int i = 0; i < BAR_WIDTH; i++)
            fputc(i < filled ? '#' : '.', stderr);
        fprintf(stderr, "] %3d%%", percent);
        fflush(stderr);
    }
    return stop_signal != 0;
}

void progress_end(progress *p)
{
    if (p->percent >= 0)
        fprintf(stderr, "\r%*s\r", (int)strlen(p->label) + BAR_WIDTH + 9, "");
    p->percent = -1;
    p->started = now();
}

/* ---- Input ---- */

int buffer_add(buffer *b, const void *data, size_t size)
{
    if (size >= b->capacity - b->size || b->capacity == 0) {
        size_t capacity = b->capacity < 256 ? 256 : b->capacity;
        while (capacity <= SIZE_MAX / 2 && capacity <= b->size + size)
            capacity *= 2;
        char *grown = capacity > b->size + size ? realloc(b->data, capacity) : NULL;
        if (!grown) {
            fail_text("out of memory");
            return 0;
        }
        b->data = grown;
        b->capacity = capacity;
    }
    if (size > 0)
        memcpy(b->data + b->size, data, size);
    b->size += size;
    b->data[b->size] = 0;
    return 1;
}

void buffer_free(buffer *b)
{
    free(b->data);
    *b = (buffer){NULL, 0, 0};
}

#ifdef _WIN32
#define MAX_PATH_UNITS 4096

static int widen(const char *path, wchar_t *wide)
{
    if (MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, path, -1, wide, MAX_PATH_UNITS))
        return 1;
    errno = ENOENT;
    return 0;
}

FILE *open_file(const char *path, int write)
{
    wchar_t wide[MAX_PATH_UNITS];
    return widen(path, wide) ? _wfopen(wide, write ? L"wb" : L"rb") : NULL;
}

int64_t file_size(FILE *file)
{
    int64_t size = _fseeki64(file, 0, SEEK_END) == 0 ? _ftelli64(file) : -1;
    return _fseeki64(file, 0, SEEK_SET) == 0 ? size : -1;
}

int replace_file(const char *from, const char *to)
{
    wchar_t wide_from[MAX_PATH_UNITS], wide_to[MAX_PATH_UNITS];
    if (!widen(from, wide_from) || !widen(to, wide_to))
        return -1;
    if (MoveFileExW(wide_from, wide_to, MOVEFILE_REPLACE_EXISTING))
        return 0;
    errno = EACCES;
    return -1;
}

void remove_file(const char *path)
{
    wchar_t wide[MAX_PATH_UNITS];
    if (widen(path, wide))
        _wremove(wide);
}
#else
FILE *open_file(const char *path, int write)
{
    return fopen(path, write ? "wb" : "rb");
}

int64_t file_size(FILE *file)
{
    int64_t size = fseeko(file, 0, SEEK_END) == 0 ? (int64_t)ftello(file) : -1;
    return fseeko(file, 0, SEEK_SET) == 0 ? size : -1;
}

int replace_file(const char *from, const char *to)
{
    return rename(from, to);
}

void remove_file(const char *path)
{
    remove(path);
}
#endif

int read_file(const char *path, buffer *out)
{
    char block[16384];
    int is_stdin = strcmp(path, "-") == 0, ok = 1;
    FILE *file = is_stdin ? stdin : open_file(path, 0);
    if (!file) {
        fail_text("%s: %s", path, strerror(errno));
        return 0;
    }
    ok = buffer_add(out, "", 0);
    while (ok && !feof(file)) {
        size_t n = fread(block, 1, sizeof block, file);
        ok = buffer_add(out, block, n);
        if (ok && ferror(file)) {
            if (!stop_signal)
                fail_text("%s: %s", is_stdin ? "standard input" : path, strerror(errno));
            ok = 0;
        }
    }
    if (!is_stdin)
        fclose(file);
    return ok;
}

#define INPUT_END (-1)
#define INPUT_STOPPED (-2)

/* The next byte of standard input. */
static int next_byte(void)
{
#ifdef _WIN32
    int c = getc(stdin);
    return c != EOF ? c : stop_signal ? INPUT_STOPPED : INPUT_END;
#else
    static unsigned char block[4096];
    static size_t position, size;
    while (position == size) {
        struct pollfd wait[2] = {{0, POLLIN, 0}, {wake[0], POLLIN, 0}};
        if (stop_signal)
            return INPUT_STOPPED;
        if (poll(wait, 2, -1) < 0 || !wait[0].revents)
            continue;
        ssize_t n = read(0, block, sizeof block);
        if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN))
            return INPUT_END;
        position = 0;
        size = n > 0 ? (size_t)n : 0;
    }
    return block[position++];
#endif
}

int read_line(buffer *out)
{
    int c;
    out->size = 0;
    if (!buffer_add(out, "", 0))
        return 0;
    while ((c = next_byte()) >= 0) {
        char byte = (char)c;
        if (c == '\n') {
            if (out->size > 0 && out->data[out->size - 1] == '\r')
                out->data[--out->size] = 0;
            if (out->size == 0 || out->data[out->size - 1] != '\\')
                return 1;
            out->data[out->size - 1] = '\n';
        } else if (!buffer_add(out, &byte, 1)) {
            return 0;
        }
    }
    return c == INPUT_STOPPED ? -1 : out->size > 0;
}

double now(void)
{
#ifdef _WIN32
    LARGE_INTEGER frequency, count;
    QueryPerformanceFrequency(&frequency);
    QueryPerformanceCounter(&count);
    return (double)count.QuadPart / (double)frequency.QuadPart;
#else
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
#endif
}
