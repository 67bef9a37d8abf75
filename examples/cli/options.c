/* Command lines in, values out. See options.h. */
#include "options.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "term.h"

#define HELP_COLUMN 26

int options_mistake(const command *c, const char *format, ...)
{
    va_list args;
    fprintf(stderr, "llama4 %s: ", c->name);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "\nTry 'llama4 %s --help'.\n", c->name);
    return 2;
}

static int parse_digits(const char *text, uint64_t max, uint64_t *out)
{
    uint64_t value = 0;
    if (!*text)
        return 0;
    for (; *text; text++) {
        unsigned digit = (unsigned)(unsigned char)*text - '0';
        if (digit > 9 || value > (max - digit) / 10)
            return 0;
        value = value * 10 + digit;
    }
    *out = value;
    return 1;
}

int parse_seed(const char *text, uint64_t *out)
{
    return parse_digits(text, UINT64_MAX, out);
}

int parse_int(const char *text, int64_t min, int64_t max, int64_t *out)
{
    uint64_t digits;
    int negative = *text == '-';
    if (!parse_digits(text + negative, INT64_MAX, &digits))
        return 0;
    int64_t value = negative ? -(int64_t)digits : (int64_t)digits;
    if (value < min || value > max)
        return 0;
    *out = value;
    return 1;
}

/* Up to 15 digits and 22 places: then number and power of ten are exact, and the division rounds once, as it should. */
int parse_real(const char *text, double *out)
{
    double digits = 0.0, divisor = 1.0;
    int negative = *text == '-', n_digits = 0, n_places = 0, seen = 0, point = 0;
    for (text += negative; *text; text++) {
        if (*text == '.' && !point) {
            point = 1;
            continue;
        }
        if (*text < '0' || *text > '9')
            return 0;
        seen = 1;
        n_digits += n_digits > 0 || *text != '0';
        n_places += point;
        if (n_digits > 15 || n_places > 22)
            return 0;
        digits = digits * 10.0 + (*text - '0');
        divisor *= point ? 10.0 : 1.0;
    }
    *out = (negative ? -digits : digits) / divisor;
    return seen;
}

int parse_size(const char *text, int64_t *out)
{
    static const char units[] = "KMGT";
    char number[24];
    double value, unit = 1;
    size_t n = strspn(text, "0123456789.");
    const char *end = text + n, *letter = *end ? strchr(units, *end >= 'a' ? *end - 'a' + 'A' : *end) : NULL;
    if (n == 0 || n >= sizeof number)
        return 0;
    memcpy(number, text, n);
    number[n] = 0;
    for (const char *u = units; letter && u <= letter; u++)
        unit *= 1024;
    end += letter != NULL;
    if (letter && (strcmp(end, "iB") == 0 || strcmp(end, "B") == 0))
        end = "";
    if (*end || !parse_real(number, &value) || value * unit >= 9e18 || (!letter && strchr(number, '.')))
        return 0;
    *out = (int64_t)(value * unit);
    return 1;
}

static void print_option(const option *o)
{
    char left[64];
    int n = o->letter
                ? snprintf(left, sizeof left, "  -%c, --%s%s%s", o->letter, o->name, o->argument ? " " : "",
                           o->argument ? o->argument : "")
                : snprintf(left, sizeof left, "      --%s%s%s", o->name, o->argument ? " " : "", o->argument ? o->argument : "");
    out_print("%s", left);
    if (n >= HELP_COLUMN)
        out_print("\n%*s", HELP_COLUMN, "");
    else
        out_print("%*s", HELP_COLUMN - n, "");
    for (const char *p = o->help, *end; *p; p = end) { /* further lines of help are indented */
        end = strchr(p, '\n');
        end = end ? end + 1 : p + strlen(p);
        out_print("%*s%.*s", p == o->help ? 0 : HELP_COLUMN, "", (int)(end - p), p);
    }
    out_print("\n");
}

static int print_help(const command *c, const option *options, size_t n)
{
    out_print("Usage: llama4 %s %s%s\n%s\n\n", c->name, n ? "[OPTION]... " : "", c->operands, c->summary);
    for (size_t i = 0; i < n; i++)
        print_option(&options[i]);
    out_print("  -h, --help              this text\n");
    if (c->notes)
        out_print("\n%s", c->notes);
    return 0;
}

static int set_value(const command *c, const option *o, const char *text)
{
    double real;
    switch (o->kind) {
    case OPTION_FLAG:
        *(int *)o->value = 1;
        return OPTIONS_GO_ON;
    case OPTION_TEXT:
        *(const char **)o->value = text;
        return OPTIONS_GO_ON;
    case OPTION_LIST: {
        text_list *list = o->value;
        if (list->count == sizeof list->items / sizeof *list->items)
            return options_mistake(c, "--%s is given more than %zu times", o->name, list->count);
        list->items[list->count++] = text;
        return OPTIONS_GO_ON;
    }
    case OPTION_INT:
        if (parse_int(text, (int64_t)o->min, o->max >= 9e18 ? INT64_MAX : (int64_t)o->max, o->value))
            return OPTIONS_GO_ON;
        if (o->max < 9e18)
            return options_mistake(c, "--%s needs a whole number from %.0f to %.0f, not '%s'", o->name, o->min, o->max, text);
        return options_mistake(c, "--%s needs a whole number, at least %.0f, not '%s'", o->name, o->min, text);
    case OPTION_SEED:
        if (parse_seed(text, o->value))
            return OPTIONS_GO_ON;
        return options_mistake(c, "--%s needs a whole number from 0 to 18446744073709551615, not '%s'", o->name, text);
    case OPTION_SIZE:
        if (parse_size(text, o->value))
            return OPTIONS_GO_ON;
        return options_mistake(c, "--%s needs a number of bytes such as 8G or 500M, not '%s'", o->name, text);
    default:
        if (parse_real(text, &real) && real >= o->min && real <= o->max) {
            *(double *)o->value = real;
            return OPTIONS_GO_ON;
        }
        return options_mistake(c, "--%s needs a number from %g to %g, such as 0.5, not '%s'", o->name, o->min, o->max, text);
    }
}

/* argv[*i] begins with two dashes: --name, --name=value or --name value. */
static int long_option(const command *c, const option *options, size_t n, int argc, char **argv, int *i)
{
    const char *text = argv[*i] + 2, *equal = strchr(text, '=');
    size_t length = equal ? (size_t)(equal - text) : strlen(text);
    for (size_t k = 0; k < n; k++) {
        const option *o = &options[k];
        if (strlen(o->name) != length || memcmp(o->name, text, length) != 0)
            continue;
        if (o->kind == OPTION_FLAG)
            return equal ? options_mistake(c, "--%s takes no value", o->name) : set_value(c, o, NULL);
        if (equal)
            return set_value(c, o, equal + 1);
        if (*i + 1 >= argc)
            return options_mistake(c, "--%s needs a value: %s", o->name, o->argument);
        return set_value(c, o, argv[++*i]);
    }
    return options_mistake(c, "unknown option '--%.*s'", (int)(length > 100 ? 100 : length), text);
}

/* argv[*i] begins with one dash: -n5 or -n 5. */
static int short_option(const command *c, const option *options, size_t n, int argc, char **argv, int *i)
{
    const char *text = argv[*i] + 1;
    for (size_t k = 0; k < n; k++) {
        const option *o = &options[k];
        if (o->letter != text[0])
            continue;
        if (o->kind == OPTION_FLAG)
            return text[1] ? options_mistake(c, "-%c takes no value", o->letter) : set_value(c, o, NULL);
        if (text[1])
            return set_value(c, o, text + 1);
        if (*i + 1 >= argc)
            return options_mistake(c, "-%c needs a value: %s", o->letter, o->argument);
        return set_value(c, o, argv[++*i]);
    }
    return options_mistake(c, "unknown option '%.100s'", argv[*i]);
}

int options_parse(const command *c, const option *options, size_t n, int argc, char **argv, const char **operands,
                  int *n_operands)
{
    int given = 0, only_operands = 0;
    for (int i = 0; i < argc; i++) {
        const char *text = argv[i];
        int status = OPTIONS_GO_ON;
        if (only_operands || text[0] != '-' || text[1] == 0) {
            if (given == c->max_operands)
                return options_mistake(c, "'%.100s' is one argument too many: %s", text, c->operands);
            operands[given++] = text;
        } else if (strcmp(text, "--") == 0) {
            only_operands = 1;
        } else if (strcmp(text, "--help") == 0 || strcmp(text, "-h") == 0) {
            return print_help(c, options, n);
        } else {
            status = text[1] == '-' ? long_option(c, options, n, argc, argv, &i) : short_option(c, options, n, argc, argv, &i);
        }
        if (status != OPTIONS_GO_ON)
            return status;
    }
    if (given < c->min_operands)
        return options_mistake(c, "missing argument: %s", c->operands);
    *n_operands = given;
    return OPTIONS_GO_ON;
}
