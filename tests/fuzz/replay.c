/* Stands in for libFuzzer where there is only gcc: runs a fuzz target once over each file named
 * on the command line, folders included one level deep. */
#include <dirent.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static size_t inputs;

static void die(const char *path)
{
    perror(path);
    exit(1);
}

static void run_file(const char *path, size_t len)
{
    /* Exactly as long as the input, so that the sanitizer sees the first byte read past it. */
    uint8_t *bytes = malloc(len ? len : 1);
    FILE *f = fopen(path, "rb");
    if (!f || !bytes || fread(bytes, 1, len, f) != len)
        die(path);
    fclose(f);
    LLVMFuzzerTestOneInput(bytes, len);
    free(bytes);
    inputs++;
}

static void run_folder(const char *path)
{
    struct dirent **entries;
    int n = scandir(path, &entries, NULL, alphasort);
    if (n < 0)
        die(path);
    for (int i = 0; i < n; i++) {
        char file[4096];
        struct stat st;
        snprintf(file, sizeof(file), "%s/%s", path, entries[i]->d_name);
        if (stat(file, &st) == 0 && S_ISREG(st.st_mode))
            run_file(file, (size_t)st.st_size);
        free(entries[i]);
    }
    free(entries);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        struct stat st;
        if (stat(argv[i], &st) != 0)
            die(argv[i]);
        if (S_ISDIR(st.st_mode))
            run_folder(argv[i]);
        else
            run_file(argv[i], (size_t)st.st_size);
    }
    printf("%zu inputs\n", inputs);
    return inputs ? 0 : 1;
}
