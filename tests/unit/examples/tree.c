// SPDX-License-Identifier: Apache-2.0
// tree.c: made with the libc, removed with rm.
#include "tree.h"

#include "base/mem.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

void tree_create(struct tree *t)
{
    const char *tmp = getenv("TMPDIR");
    snprintf(t->top, sizeof t->top, "%.40s/examples.XXXXXX", tmp && strlen(tmp) < 40 ? tmp : "/tmp");
    assert_non_null(mkdtemp(t->top));
    snprintf(t->root, sizeof t->root, "%s/tree", t->top);
    snprintf(t->output, sizeof t->output, "%s/output", t->top);
    assert_int_equal(mkdir(t->root, 0755), 0);
}

void tree_destroy(struct tree *t)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", t->top);
    assert_int_equal(system(command), 0);
}

const char *tree_path(const struct tree *t, const char *path)
{
    static char full[PATH_MAX];
    snprintf(full, sizeof full, "%s/%s", t->root, path);
    return full;
}

void tree_directory(const struct tree *t, const char *path)
{
    char full[PATH_MAX];
    snprintf(full, sizeof full, "%s", tree_path(t, path));
    for (char *slash = full + strlen(t->root) + 1; (slash = strchr(slash, '/')); *slash++ = '/') {
        *slash = 0;
        mkdir(full, 0755);
    }
    mkdir(full, 0755);
    assert_true(tree_exists(full));
}

void tree_file(const struct tree *t, const char *path, size_t size)
{
    char directory[PATH_MAX];
    const char *slash = strrchr(path, '/');
    if (slash) {
        snprintf(directory, sizeof directory, "%.*s", (int)(slash - path), path);
        tree_directory(t, directory);
    }
    FILE *f = fopen(tree_path(t, path), "w");
    assert_non_null(f);
    for (size_t i = 0; i < size; i++)
        putc((int)((i * 2654435761u + size + (unsigned char)path[0]) >> 7 & 255), f);
    assert_int_equal(fclose(f), 0);
}

void tree_remove(const struct tree *t, const char *path)
{
    assert_int_equal(remove(tree_path(t, path)), 0);
}

void tree_fill(const struct tree *t)
{
    static const char *const names[] = {
        "plain",        "with space",   " leading space",  "trailing ",        "new\nline",
        "back\\slash",  "return\r",     "quote'\"$`*?",    "invalid\xff\xfe",  "-option",
        "a/one",        "a/two",        "a/deep/er/still", "a-b/three",        "a.txt",
        "a0",           "sp ace/fi le", "new\nline dir/x", "\xc3\x28/invalid", "back\\dir/\\",
        "z/y/x/w/v/u",  "z/y/x/w/v/t",  "z/y/x.first",     "tab\there",        "\xff",
        ".hidden/file", "*binary",      "a/\xe2\x82\xac",  "umlaut-\xc3\xa4",  "a/.dot",
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        tree_file(t, names[i], i * i * 13);
    tree_file(t, "big/exactly 256 KiB", 256 << 10);
    tree_file(t, "big/more", (256 << 10) + 1);
    tree_file(t, "big/much more", 1234567);
    tree_directory(t, "empty/inside");
    assert_int_equal(symlink("plain", tree_path(t, "link to file")), 0);
    assert_int_equal(symlink("..", tree_path(t, "a/link to directory")), 0);
    assert_int_equal(mkfifo(tree_path(t, "fifo"), 0600), 0);
}

void tree_run(const struct tree *t, const char *command, const char *out)
{
    char line[4096];
    snprintf(line, sizeof line, "cd '%s' && LC_ALL=C && export LC_ALL && { %s; } >'%s'", t->root, command,
             out ? out : "/dev/null");
    assert_int_equal(system(line), 0);
}

char *tree_read(const char *path, size_t *size)
{
    struct stat s;
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    assert_int_equal(fstat(fileno(f), &s), 0);
    char *text = mem_calloc((size_t)s.st_size + 1, 1);
    *size = fread(text, 1, (size_t)s.st_size, f);
    assert_int_equal(*size, s.st_size);
    fclose(f);
    return text;
}

bool tree_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

size_t tree_count_top(const struct tree *t)
{
    size_t count = 0;
    DIR *d = opendir(t->top);
    assert_non_null(d);
    for (const struct dirent *e; (e = readdir(d));)
        count += strcmp(e->d_name, ".") && strcmp(e->d_name, "..");
    closedir(d);
    return count;
}

void tree_assert_same(const char *path_a, const char *path_b)
{
    size_t size_a, size_b;
    char *a = tree_read(path_a, &size_a), *b = tree_read(path_b, &size_b);
    assert_string_equal(a, b);
    assert_int_equal(size_a, size_b);
    free(a);
    free(b);
}
