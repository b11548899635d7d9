// SPDX-License-Identifier: Apache-2.0
// manifest.h: turns a finished task's spool into a manifest that `sha256sum -c` reads.
#ifndef CHECKSUM_MANIFEST_H
#define CHECKSUM_MANIFEST_H

#include "dtf.h"

// Writes `path`, and beside it the list of the files that have no digest if there are any. The files come in the order of
// the subtasks' numbers, which is that of their paths (walk.h). Doing it again gives the same.
// NOT_FOUND: there is no spool. DATA_LOSS: it lacks results that were counted.
int manifest_write(const char *path, const char *spool, const struct dtf_task *task,
                   const struct dtf_task_summary *summary, struct nrpc_status *st);

#endif
