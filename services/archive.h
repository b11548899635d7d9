// SPDX-License-Identifier: Apache-2.0
// archive.h: AdminService's Export and Import: the records of tasks, out of one installation and into
// another.
//
// Both run on a worker for as long as it takes, hold a few MiB however much there is, and answer the call.
#ifndef SERVICES_ARCHIVE_H
#define SERVICES_ARCHIVE_H

#include "admin.h"
#include "dtf/v1/admin.pb-c.h"

void archive_export(const struct env *env, struct nrpc_call *call, bool unfinished);
void archive_import(struct admin *admin, const struct env *env, struct nrpc_call *call);

#endif
