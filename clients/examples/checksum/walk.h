// SPDX-License-Identifier: Apache-2.0
// walk.h: walks a directory tree lazily, in a fixed order, and can go on after any file it gave. One thread
// at a time.
//
// It gives the regular files' paths in the bytewise order of the whole paths, which is also the order of
// `LC_ALL=C sort`. So "after this path" says everything there is to say about how far it is, whatever was
// added or removed meanwhile. Symbolic links are not followed. In memory: the names in one directory of each
// level.
#ifndef CHECKSUM_WALK_H
#define CHECKSUM_WALK_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct walk;

struct walk_item {    // lives until the next call
    const char *path; // relative to the root; one that ends in a slash is a directory with a problem
    uint64_t size;
    const char *problem; // why it cannot be looked at; NULL: it is a regular file
};

// Starts behind the path `after` ("": at the beginning).
int walk_open(const char *root, const char *after, bool one_file_system, struct walk **out,
              struct nrpc_status *st);
void walk_skip(struct walk *w, bool (*is_skipped)(void *user, const char *path),
               void *user);                            // files not to give
bool walk_next(struct walk *w, struct walk_item *out); // false: there are no more
const char *walk_position(const struct walk *w);       // the path last given, as `after` wants it
int walk_percent(const struct walk *w);                // an estimate: as if every directory weighed the same
void walk_close(struct walk *w);

#endif
