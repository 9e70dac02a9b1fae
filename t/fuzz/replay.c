/* Runs a fuzz target over its corpus, without a fuzzer: one TAP line per file. The corpus is the
 * folder t/fuzz/<name of the program>.in, or the files and folders named as arguments. */
#include "t/fuzz/fuzz.h"

#include <dirent.h>
#include <libgen.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define PATH_ROOM 4096

static unsigned n_tests;

static void report(bool is_ok, const char *path)
{
    n_tests++;
    printf("%s %u - %s\n", is_ok ? "ok" : "not ok", n_tests, path);
    fflush(stdout);
}

/* The bytes in memory of exactly their size, so that a sanitizer sees a read behind them. */
static void run_file(const char *path, size_t n)
{
    FILE *file = fopen(path, "rb");
    uint8_t *bytes = malloc(n > 0 ? n : 1);
    bool is_read = file != NULL && bytes != NULL && fread(bytes, 1, n, file) == n;
    if (is_read)
        (void)LLVMFuzzerTestOneInput(bytes, n);
    report(is_read, path);
    free(bytes);
    if (file != NULL)
        fclose(file);
}

static void run_path(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0) {
        report(false, path);
        return;
    }
    if (!S_ISDIR(st.st_mode)) {
        run_file(path, (size_t)st.st_size);
        return;
    }
    struct dirent **entries;
    int n = scandir(path, &entries, NULL, alphasort);
    if (n < 0) {
        report(false, path);
        return;
    }
    for (int i = 0; i < n; i++) {
        char inner[PATH_ROOM];
        snprintf(inner, sizeof inner, "%s/%s", path, entries[i]->d_name);
        if (entries[i]->d_name[0] != '.')
            run_path(inner);
        free(entries[i]);
    }
    free(entries);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        run_path(argv[i]);
    if (argc == 1) {
        const char *top = getenv("KEEPD_SRCDIR");
        char corpus[PATH_ROOM];
        snprintf(corpus, sizeof corpus, "%s/t/fuzz/%s.in", top != NULL ? top : ".",
                 basename(argv[0]));
        run_path(corpus);
    }
    printf("1..%u\n", n_tests);
    return n_tests > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
