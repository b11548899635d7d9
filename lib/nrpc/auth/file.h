// SPDX-License-Identifier: Apache-2.0
// file.h: whole small files that may hold secrets.
#ifndef AUTH_FILE_H
#define AUTH_FILE_H

#include "base/status.h"

#include <stddef.h>

struct file {
    char *text; // a NUL follows
    size_t size;
};

// Reads a regular file of at most 1 MiB. The file must be freed.
int file_read(const char *path, struct file *out, struct nrpc_status *st);
void file_free(struct file *file); // overwrites the text

#endif
