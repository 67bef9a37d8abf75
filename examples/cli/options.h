/* Command lines: a table of options per command, strict numbers, and help made from the same table. */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include <stddef.h>
#include <stdint.h>

typedef enum option_kind {
    OPTION_FLAG, /* value: int, set to 1 */
    OPTION_TEXT, /* value: const char * */
    OPTION_LIST, /* value: text_list *, one more text each time */
    OPTION_INT,  /* value: int64_t, from min to max */
    OPTION_SEED, /* value: uint64_t */
    OPTION_REAL, /* value: double, from min to max */
    OPTION_SIZE  /* value: int64_t, bytes: 8G, 500M, 1.5T or plain digits */
} option_kind;

typedef struct text_list {
    const char *items[64];
    size_t count;
} text_list;

typedef struct option {
    const char *name; /* without the dashes */
    char letter;      /* short form, or 0 */
    option_kind kind;
    void *value;
    const char *argument; /* what help calls the value */
    const char *help;
    double min, max;
} option;

typedef struct command {
    const char *name;
    const char *operands; /* for help: "MODEL TEXT" */
    const char *summary;  /* one line */
    const char *notes;    /* further lines for help, or NULL */
    int min_operands, max_operands;
    int (*run)(int argc, char **argv);
} command;

#define OPTIONS_GO_ON (-1)

/* Reads argv[0 .. argc - 1], what follows the command's name, into the values and `operands` (room for max_operands).
 * Returns OPTIONS_GO_ON, or the exit status: 0 after --help, 2 after a message about a mistake. */
int options_parse(const command *c, const option *options, size_t n_options, int argc, char **argv, const char **operands,
                  int *n_operands);

/* Prints "llama4 NAME: message" and where help is; returns the exit status 2. */
int options_mistake(const command *c, const char *format, ...);

/* Whole decimal numbers, the same in every locale; 1 on success. */
int parse_int(const char *text, int64_t min, int64_t max, int64_t *out);
int parse_seed(const char *text, uint64_t *out);
int parse_real(const char *text, double *out);

/* Bytes, with K, M, G or T for powers of 1024, perhaps followed by B or iB. */
int parse_size(const char *text, int64_t *out);

#endif
