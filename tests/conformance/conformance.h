/* What the files of the conformance program share. It runs golden cases through the public API of llama4.h; of the library's
 * insides it borrows the readers of JSON and of safetensors, for the golden data themselves, and looks at tiles and their geometry,
 * which no public function hands out. */
#ifndef LLAMA4_TESTS_CONFORMANCE_H
#define LLAMA4_TESTS_CONFORMANCE_H

#include <stddef.h>
#include <stdint.h>

#include "llama4/llama4.h"

/* ---- main.c ---- */

typedef struct options {
    const char *tokenizer; /* vocabulary for tokenizer and chat cases, or NULL */
    const char *model;     /* stands in for the folder's own model, or NULL */
    const char *vision;    /* the picture encoder of that model, or NULL */
    int32_t threads;       /* 0: the library's choice */
    int quiet;             /* print failures and skips only */
} options;

/* ---- report.c: one line per case, and the counts ---- */

#if defined(__MINGW32__)
#define FORMAT(f, a) __attribute__((format(gnu_printf, f, a)))
#elif defined(__GNUC__)
#define FORMAT(f, a) __attribute__((format(printf, f, a)))
#else
#define FORMAT(f, a)
#endif

/* name: "folder/case"; every call counts one case. */
void report_passed(const char *name, const char *format, ...) FORMAT(2, 3);
void report_failed(const char *name, const char *format, ...) FORMAT(2, 3);
void report_skipped(const char *name, const char *format, ...) FORMAT(2, 3);
void report_quiet(int quiet);
void report_note(const char *name, const char *format, ...) FORMAT(2, 3); /* counts nothing */
size_t report_count(void);   /* cases so far */
int report_close(void);      /* prints the closing line; returns the exit status */
double clock_seconds(void);

/* malloc and realloc that end the program when there is no memory: this is a test. */
void *xmalloc(size_t size);
void *xrealloc(void *old, size_t size);
char *xprintf(const char *format, ...) FORMAT(1, 2);

/* ---- files.c ---- */

int path_exists(const char *path);
int path_is_directory(const char *path);
/* Whole file, NUL-terminated; NULL if it cannot be read. */
char *read_file(const char *path, size_t *size);
/* Names in a directory, sorted, without those that begin with a dot; NULL if it cannot be read. */
char **list_directory(const char *path, size_t *count);
void list_free(char **names, size_t count);
int ends_with(const char *name, const char *end);

/* ---- cases.c: cases.json, reference.json, *.jsonl ---- */

typedef struct id_list {
    int32_t *data;
    size_t count, capacity;
} id_list;

/* A piece of a message: text, or a picture of which nothing is said but its size. */
typedef struct golden_part {
    char *text; /* or NULL */
    size_t length;
    int32_t size[2];
} golden_part;

typedef struct golden_message {
    char *role, *content;
    size_t content_length;
    llama4_tool_call *calls; /* name and arguments are owned */
    size_t n_calls;
    golden_part *parts;      /* in place of content, if there is a picture among them */
    size_t n_parts;
} golden_message;

typedef struct golden_case {
    id_list ids;       /* "ids" or "prompt_ids" */
    id_list greedy;    /* "greedy" or "greedy_ids" */
    int has_ids, has_greedy;
    char *logits;      /* name of a tensor, or NULL */
    char *task;        /* or NULL */
    char *text;        /* "text" or "s", or NULL */
    size_t text_length;
    golden_message *messages;
    size_t n_messages;
    int has_messages, has_picture;
    char *image;              /* name of a file, or NULL */
    char *sample, *pixels, *features; /* names of tensors, or NULL */
    id_list size, tiles;      /* [width, height], [rows, columns] */
} golden_case;

typedef struct case_list {
    golden_case *data;
    size_t count;
} case_list;

/* A JSON array of objects, or an object whose member "cases" is one; one object per line when `lines`. Unknown members
 * are passed over. Returns 0, or -1 with a message. */
int cases_read(const char *path, int lines, case_list *out, llama4_error *error);
void cases_free(case_list *list);

/* One set of manifest.json. */
typedef struct golden_set {
    char *name;
    int64_t n_tokens;      /* -1: not said */
    int64_t *positions;    /* NULL: all */
    size_t n_positions;
    int64_t vocabulary;    /* -1: not said */
} golden_set;

int manifest_read(const char *path, golden_set **sets, size_t *count, llama4_error *error);
void manifest_free(golden_set *sets, size_t count);

/* ---- text.c: prompts with golden logits ---- */

/* One prompt, and what is known of the logits at some of its positions. */
typedef struct text_case {
    const char *name;
    const int32_t *ids;
    size_t n_ids;
    const int64_t *positions; /* ascending; NULL: every one */
    size_t n_rows;
    const float *logits;      /* [n_rows, vocabulary], little-endian, any alignment */
    const int32_t *greedy;    /* or NULL */
    size_t n_greedy;
} text_case;

void text_run(llama4_model *model, const text_case *c, const options *o);

/* The largest deviation of the logits, infinite if they cannot be computed, and what is allowed. */
double text_deviation(llama4_model *model, const text_case *c, const options *o);
double text_tolerance(const text_case *c);

/* ---- rounded.c ---- */

/* A copy of a model with rotary frequencies rounded to bfloat16. Returns 0, and the file that *model reads in *memory: free it
 * after the model. */
int rounded_model(const char *path, const llama4_model_info *info, llama4_model **model, void **memory);

/* ---- vocab.c ---- */

void tokenizer_run(const llama4_vocab *vocab, const char *name, const golden_case *c);
void chat_run(const llama4_vocab *vocab, const char *name, const golden_case *c);

/* ---- pictures.c ---- */

struct l4_archive;

#define PICTURE_TOLERANCE 5e-4

/* The largest deviation of a case's logits; infinite if they cannot be computed. */
double picture_deviation(llama4_model *model, const golden_case *c, const struct l4_archive *golden, const options *o);

/* A picture cut into tiles, compared with a sample of the reference's. */
void tiles_run(const char *folder, const char *name, const golden_case *c, const struct l4_archive *golden);
/* Features and logits of a picture among text. */
void picture_run(llama4_model *model, const char *folder, const char *name, const golden_case *c, const struct l4_archive *golden, const options *o);
/* A picture encoder in GGUF with tiles and what becomes of them; `model` has it as its vision_path. */
void encoder_run(llama4_model *model, const char *name, const float *pixels, size_t n_pixels, const float *projected, size_t n_projected, const options *o);
/* Canvas and size of thousands of pictures. */
void geometry_run(const char *path);
/* The embeddings of a file's picture, to be freed; NULL, and a message in *error, if there are none. */
float *picture_embeddings(llama4_context *context, const char *path, size_t *n, llama4_error *error);

/* ---- folder.c: finds out what a folder holds, and runs it ---- */

void folder_run(const char *path, const options *o);

#endif
