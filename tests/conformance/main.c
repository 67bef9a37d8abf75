/* conformance [--tokenizer FILE] [--model PATH] [--vision PATH] [--threads N] [--quiet] DIR...: runs the golden cases in folders. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conformance.h"

static const char usage[] =
    "usage: conformance [OPTION]... DIR...\n"
    "Runs the golden cases in each folder, or in the folders below it, and compares with what the references answered.\n"
    "  --tokenizer FILE  vocabulary for tokeniser and chat cases; without it they are skipped\n"
    "  --model PATH      stands in for the model in the folder\n"
    "  --vision PATH     the picture encoder of that model\n"
    "  --threads N       threads to compute with (default: one per processor)\n"
    "  --quiet           print what fails or is skipped, and the closing line\n"
    "Exit status: 0 if no case failed, 1 if one did or none was found, 2 for wrong usage.\n";

static int wrong(const char *what, const char *argument)
{
    fprintf(stderr, "conformance: %s: %s\n%s", argument, what, usage);
    return 2;
}

int main(int argc, char **argv)
{
    options o = {0};
    int n_folders = 0;
    for (int i = 1; i < argc; i++) {
        const char *a = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(a, "--help") == 0) {
            fputs(usage, stdout);
            return 0;
        }
        if (strcmp(a, "--quiet") == 0)
            o.quiet = 1;
        else if (strcmp(a, "--tokenizer") == 0 || strcmp(a, "--model") == 0 || strcmp(a, "--vision") == 0 || strcmp(a, "--threads") == 0) {
            if (!value)
                return wrong("needs a value", a);
            i++;
            if (a[2] == 'm')
                o.model = value;
            else if (a[2] == 'v')
                o.vision = value;
            else if (a[3] == 'o')
                o.tokenizer = value;
            else {
                char *end;
                long n = strtol(value, &end, 10);
                if (*end || end == value || n < 1 || n > 64)
                    return wrong("is no number from 1 to 64", value);
                o.threads = (int32_t)n;
            }
        } else if (a[0] == '-')
            return wrong("unknown option", a);
        else
            argv[n_folders++] = argv[i]; /* the arguments before it have been read */
    }
    if (!n_folders)
        return wrong("no folder given", "DIR");
    report_quiet(o.quiet);
    for (int i = 0; i < n_folders; i++)
        folder_run(argv[i], &o);
    return report_close();
}
