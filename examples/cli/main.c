/* llama4: the library's program, written on the public header alone. Reading order: this file, run.c, session.c, term.c. */
#include <stdio.h>
#include <string.h>

#include <llama4/llama4.h>

#include "commands.h"
#include "term.h"

static const command *const commands[] = {&run_command, &chat_command, &info_command, &tokenize_command, &convert_command, &quantize_command,
                                        &bench_command, &perplexity_command, &plan_command};
#define N_COMMANDS (sizeof commands / sizeof *commands)

static void print_usage(FILE *to)
{
    fprintf(to,
            "Usage: llama4 COMMAND [ARGUMENT]...\n       llama4 --help | --version\nRuns Meta's Llama 4 models on the CPU.\n\n");
    for (size_t i = 0; i < N_COMMANDS; i++)
        fprintf(to, "  %-10s %s\n", commands[i]->name, commands[i]->summary);
    fprintf(to, "\n'llama4 COMMAND --help' lists the options of a command.\n");
}

static int dispatch(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";
    uint32_t v = llama4_version();
    if (argc < 2) {
        print_usage(stderr);
        return 2;
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || (strcmp(name, "help") == 0 && argc == 2)) {
        print_usage(stdout);
        return 0;
    }
    if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0) {
        out_print("llama4 %u.%u.%u\n", (unsigned)(v / 1000000), (unsigned)(v / 1000 % 1000), (unsigned)(v % 1000));
        return 0;
    }
    int asks_help = strcmp(name, "help") == 0;
    for (size_t i = 0; i < N_COMMANDS; i++) {
        char help[] = "--help", *help_argv[] = {help};
        if (strcmp(asks_help ? argv[2] : name, commands[i]->name) == 0)
            return asks_help ? commands[i]->run(1, help_argv) : commands[i]->run(argc - 2, argv + 2);
    }
    fprintf(stderr, "llama4: unknown command '%.100s'\nTry 'llama4 --help'.\n", asks_help ? argv[2] : name);
    return 2;
}

#ifdef _WIN32
#include <windows.h>

#include <shellapi.h>
#include <stdlib.h>

/* Windows hands over UTF-16; everything else here is UTF-8. */
int main(void)
{
    int argc = 0;
    wchar_t **wide = CommandLineToArgvW(GetCommandLineW(), &argc);
    char **argv = wide ? calloc((size_t)argc + 1, sizeof *argv) : NULL;
    term_start();
    for (int i = 0; argv && i < argc; i++) {
        int n = WideCharToMultiByte(CP_UTF8, 0, wide[i], -1, NULL, 0, NULL, NULL);
        argv[i] = malloc((size_t)n);
        if (!argv[i])
            return 1;
        WideCharToMultiByte(CP_UTF8, 0, wide[i], -1, argv[i], n, NULL, NULL);
    }
    return argv ? term_finish(dispatch(argc, argv)) : 1;
}
#else
int main(int argc, char **argv)
{
    term_start();
    return term_finish(dispatch(argc, argv));
}
#endif
