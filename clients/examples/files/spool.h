// SPDX-License-Identifier: Apache-2.0
// spool.h: a file of numbered records that collects a task's results until it ends.
//
// A record is appended with one write. Its writer may be killed at any moment and may write the same record
// again: when a number occurs more than once, the last one counts; what a kill or a full disk left torn is
// passed over. Writers of one spool take turns. Nothing is synced: after a power failure records may be
// missing, which the reader's count shows.
#ifndef FILES_SPOOL_H
#define FILES_SPOOL_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

int spool_create(const char *path, struct nrpc_status *st); // keeps what is there

// Makes the spool if need be.
int spool_append(const char *path, uint64_t id, const void *data, size_t size, struct nrpc_status *st);

// Calls `each` for every number from 1 to `last` that has a record, in ascending order; stops at the first
// that fails. *count is how many there were. NOT_FOUND: there is no such spool.
typedef int (*spool_record_fn)(void *user, uint64_t id, const void *data, size_t size,
                               struct nrpc_status *st);
int spool_read(const char *path, uint64_t last, spool_record_fn each, void *user, uint64_t *count,
               struct nrpc_status *st);

void spool_remove(const char *path);

#endif
