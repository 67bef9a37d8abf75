/* Runs files, and the files in folders, through a fuzz target without libFuzzer: replay PATH... What crashes, crashes; the closing
 * line counts the files. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int run_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    long size = -1;
    if (!f)
        return -1;
    if (!fseek(f, 0, SEEK_END))
        size = ftell(f);
    uint8_t *data = size >= 0 ? malloc((size_t)size + !size) : NULL; /* exactly as long as the file: reading beyond it shows */
    int bad = !data || fseek(f, 0, SEEK_SET) || fread(data, 1, (size_t)size, f) != (size_t)size;
    fclose(f);
    if (!bad)
        LLVMFuzzerTestOneInput(data, (size_t)size);
    free(data);
    return bad ? -1 : 0;
}

int main(int argc, char **argv)
{
    int passed = 0, failed = 0;
    for (int i = 1; i < argc; i++) {
        DIR *d = opendir(argv[i]);
        if (!d) {
            int bad = run_file(argv[i]);
            if (bad)
                printf("FAILED %s: cannot be read\n", argv[i]);
            *(bad ? &failed : &passed) += 1;
            continue;
        }
        for (struct dirent *e; (e = readdir(d)) != NULL;) {
            char path[4096];
            if (e->d_name[0] == '.')
                continue;
            snprintf(path, sizeof path, "%s/%s", argv[i], e->d_name);
            int bad = run_file(path);
            if (bad)
                printf("FAILED %s: cannot be read\n", path);
            *(bad ? &failed : &passed) += 1;
        }
        closedir(d);
    }
    if (!passed && !failed)
        printf("FAILED: no input\n");
    printf("%d passed, %d failed\n", passed, failed + (!passed && !failed));
    return failed || !passed;
}
