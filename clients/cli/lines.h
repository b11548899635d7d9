// SPDX-License-Identifier: Apache-2.0
// lines.h: an archive of tasks as text: one item a line, in protobuf's canonical JSON.
//
// The first line is the header, the last one says how many tasks there were, so that what was cut off shows.
#ifndef CLI_LINES_H
#define CLI_LINES_H

#include "dtf.h"
#include "dtf/v1/archive.pb-c.h"

#include <stdio.h>

enum { LINES_FORMAT = 1, LINES_BYTES_MAX = 16 << 20 }; // of one line

struct schema;

struct lines {
    struct schema *schema;
    // Of reading:
    FILE *in;
    char *text;
    size_t capacity;
    uint64_t line, tasks, last_task;
    bool has_begun, has_ended;
    Dtf__V1__ArchiveItem *item; // the last one
};

void lines_init(struct lines *l, FILE *in); // in: NULL if nothing is to be read
void lines_fini(struct lines *l);           // closes nothing

int lines_print(struct lines *l, FILE *out, const Dtf__V1__ArchiveItem *item, struct nrpc_status *st);

// The next item, which lives until the next call; *item NULL: that was all, and it was complete.
// INVALID_ARGUMENT says in which line what is wrong.
int lines_next(struct lines *l, Dtf__V1__ArchiveItem **item, struct nrpc_status *st);
// From the beginning again; `in` is there already.
void lines_restart(struct lines *l);

#endif
