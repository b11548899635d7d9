// SPDX-License-Identifier: Apache-2.0
// archive.h: a client's calls that take the records of tasks from one installation to another; for the
// program `dtf`.
#ifndef CLIENT_ARCHIVE_H
#define CLIENT_ARCHIVE_H

#include "dtf.h"
#include "dtf/v1/admin.pb-c.h"

// Takes an item; it lives during the call. Failing ends the export with this status.
typedef int (*client_take_fn)(void *user, const Dtf__V1__ArchiveItem *item, struct nrpc_status *st);
int client_export(struct dtf_client *c, bool unfinished, client_take_fn take, void *user,
                  struct nrpc_status *st);

// Gives the next item, which lives until the next call; *item NULL: there is none. Failing ends the import
// with this status.
typedef int (*client_give_fn)(void *user, Dtf__V1__ArchiveItem **item, struct nrpc_status *st);
// *response is to be freed with dtf__v1__import_response__free_unpacked.
int client_import(struct dtf_client *c, client_give_fn give, void *user, Dtf__V1__ImportResponse **response,
                  struct nrpc_status *st);

#endif
