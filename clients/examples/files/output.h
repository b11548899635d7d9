// SPDX-License-Identifier: Apache-2.0
// output.h: a task's result file, which appears whole or not at all, and the names of the files beside it.
#ifndef FILES_OUTPUT_H
#define FILES_OUTPUT_H

#include "dtf.h"

#include <stdio.h>

// "<output>.<task id>.<suffix>": the same in every process. free() it.
char *output_name(const char *output, const struct dtf_task *task, const char *suffix);

// Checks a parameter that is to be an absolute path without NUL bytes, and copies it to *out (free it).
int output_take_path(const char *what, const void *data, size_t size, char **out, struct nrpc_status *st);

struct output {
    FILE *f; // write here
    char *path, *temp;
};

// Begins to write `path`: *o is to be committed or aborted.
int output_open(struct output *o, const char *path, const struct dtf_task *task, struct nrpc_status *st);
// Puts the file in place, durably; after an error nothing has changed. Ends *o.
int output_commit(struct output *o, struct nrpc_status *st);
void output_abort(struct output *o);

// Prints a file's name as sha256sum does: with backslash, newline and carriage return escaped.
bool output_must_escape(const void *name, size_t size);
void output_print_name(FILE *f, const void *name, size_t size);

#endif
