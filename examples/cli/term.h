/* What the program needs of the system: standard output with its failures, files, the terminal, Ctrl-C and a clock. */
#ifndef CLI_TERM_H
#define CLI_TERM_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <llama4/llama4.h>

/* Opens missing standard streams on nothing, makes output binary and UTF-8, catches signals. First thing in main. */
void term_start(void);

/* Flushes standard output. Returns `status`, or 1 after a message if any output was lost. Last thing in main. */
int term_finish(int status);

/* ---- Results: standard output ---- */

void out_write(const void *data, size_t size);
void out_print(const char *format, ...);
void out_flush(void);
int out_failed(void); /* 1 once a write failed: nothing more will be written */

/* Bytes of the UTF-8 character at text, of which n > 0 bytes are there, or 0 if it is none. */
size_t utf8_length(const char *text, size_t n);

/* Text of a file for people: control characters and bytes that are no UTF-8 as '?'. */
void out_safe(const char *text);

/* A JSON string, quotes included; bytes that are no UTF-8 become U+FFFD. */
void out_json(const char *text, size_t size);

/* A number for JSON: at most 6 decimals; null if it is not finite. */
void out_json_real(double value);

/* ---- Messages: standard error ---- */

/* "llama4: message"; returns the exit status 1, or 128 + signal if the user stopped the program. */
int fail(const llama4_error *error);
int fail_text(const char *format, ...);

/* A bar on a terminal, nothing elsewhere; drawn once the work has lasted a moment. A llama4_progress_fn with a progress * as
 * user; stops the work after Ctrl-C. */
typedef struct progress {
    const char *label;
    double started;
    int percent; /* drawn, or -1 */
} progress;

void progress_start(progress *p, const char *label);
int32_t progress_step(void *user, float fraction);
void progress_end(progress *p); /* removes the bar */

int is_terminal(FILE *file);

/* ---- Signals ---- */

/* The context to cancel on Ctrl-C; NULL: none. */
void interrupt_target(llama4_context *context);

/* The signal that asked to stop, or 0; and forgetting Ctrl-C. */
int interrupted(void);
void interrupt_clear(void);

/* ---- Input ---- */

/* A growing row of bytes, always NUL-terminated once something is in it. */
typedef struct buffer {
    char *data;
    size_t size, capacity;
} buffer;

int buffer_add(buffer *b, const void *data, size_t size); /* 1, or 0 after a message: out of memory */
void buffer_free(buffer *b);

/* fopen for a path in UTF-8, for reading or writing bytes; NULL with errno. */
FILE *open_file(const char *path, int write);

/* A file's size, or -1; and then at its start. For files that have one, not for pipes. */
int64_t file_size(FILE *file);

/* Takes the place of what is at `to`, if anything. 0, or -1 with errno. */
int replace_file(const char *from, const char *to);
void remove_file(const char *path);

/* All bytes of a file, or of standard input for "-". 1, or 0 after a message. */
int read_file(const char *path, buffer *out);

/* A line without its end; a line that ends with a backslash goes on. Returns 1, 0 at the end of the input, or -1 if Ctrl-C was
 * pressed. */
int read_line(buffer *out);

double now(void); /* seconds */

#endif
