// SPDX-License-Identifier: Apache-2.0
// tree.h: a temporary directory with a tree in it, and what coreutils say about it.
#ifndef EXAMPLES_TREE_H
#define EXAMPLES_TREE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

struct tree {
    char top[64];    // the temporary directory
    char root[80];   // the tree in it
    char output[80]; // where a task's result may go
};

void tree_create(struct tree *t);
void tree_destroy(struct tree *t);

void tree_directory(const struct tree *t, const char *path);
void tree_file(const struct tree *t, const char *path, size_t size); // makes the directories on the way, too
void tree_remove(const struct tree *t, const char *path);
const char *tree_path(const struct tree *t, const char *path); // lives until the next call

// Directories and files with all kinds of names and sizes.
void tree_fill(const struct tree *t);

// Runs a shell command in the tree. Fails the test if it fails. What it prints goes to the file `out`, if not
// NULL.
void tree_run(const struct tree *t, const char *command, const char *out);

char *tree_read(const char *path, size_t *size); // a whole file, NUL-terminated; free() it
bool tree_exists(const char *path);
size_t tree_count_top(const struct tree *t); // entries of the temporary directory

void tree_assert_same(const char *path_a, const char *path_b);

#endif
