// SPDX-License-Identifier: Apache-2.0
// documents.h: a sequence of JSON documents, one after another as they come in.
#ifndef NRPC_CLI_DOCUMENTS_H
#define NRPC_CLI_DOCUMENTS_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>

struct documents {
    int fd, stop[2]; // fd -1: all is here already
    char *data;
    size_t size, capacity;
    size_t at, scanned; // where the next one begins; how far it was looked through
    int depth;
    bool in_string, escaped, ended;
};

// text: JSON itself, "@FILE", or "@-" for standard input.
int documents_open(struct documents *documents, const char *text, struct nrpc_status *st);
void documents_close(struct documents *documents);

// The next document, waiting for it; *length 0: there is none any more. It is cut off by its brackets alone,
// and need not be JSON. It lives until the next call.
int documents_next(struct documents *documents, const char **text, size_t *length, struct nrpc_status *st);

// Makes documents_next, now or later, return that there is none any more. Any thread.
void documents_stop(struct documents *documents);

#endif
