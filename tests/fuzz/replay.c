// SPDX-License-Identifier: Apache-2.0
// replay.c: runs a fuzz target on every file of its corpus, where there is no libFuzzer: FOLDER...
#include "base/mem.h"

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { INPUT_BYTES_MAX = 1 << 20, PATH_SIZE = 4096 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int is_input(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

// The input is copied, so that reading behind its end is noticed.
static int run_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f) {
        perror(path);
        return 1;
    }
    uint8_t *buffer = mem_alloc(INPUT_BYTES_MAX);
    size_t size = fread(buffer, 1, INPUT_BYTES_MAX, f);
    (void)fclose(f);
    uint8_t *input = mem_dup(buffer, size);
    free(buffer);
    (void)LLVMFuzzerTestOneInput(input, size);
    free(input);
    return 0;
}

static int run_folder(const char *folder)
{
    struct dirent **entries;
    int count = scandir(folder, &entries, is_input, alphasort), failed = 0;
    if (count <= 0) {
        fprintf(stderr, "%s: no inputs\n", folder);
        return 1;
    }
    for (int i = 0; i < count; i++) {
        char path[PATH_SIZE];
        int length = snprintf(path, sizeof path, "%s/%s", folder, entries[i]->d_name);
        failed |= length < 0 || length >= PATH_SIZE || run_file(path);
        free(entries[i]);
    }
    free(entries);
    printf("%s: %d inputs\n", folder, count);
    return failed;
}

int main(int argc, char **argv)
{
    int failed = argc < 2;
    for (int i = 1; i < argc; i++)
        failed |= run_folder(argv[i]);
    return failed;
}
