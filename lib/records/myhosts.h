// SPDX-License-Identifier: Apache-2.0
// myhosts.h: which of the hosts in the address of a database is used: one at a time, for all connections of
// the process, so that what it reads follows what it wrote.
//
// It is the first in the order given that can be used, until it cannot be used any more; then the first one
// that can. One that comes back is not gone back to while the one in use is well. "Can be used" is: it
// answers, it is not read-only, and as a node of a Galera cluster it is synced in the primary part of that.
//
// With several hosts each is watched by a thread, over a connection of its own. So what is wrong with them is
// known before it is needed, and a host that has fallen silent is left though calls still wait for its
// answers. With one host there is no thread and no choice.
//
// Two hosts that both take writes and are not nodes of one cluster are a primary and its former primary, or a
// mistake: which of them has the truth cannot be told. A host in use stays in use; otherwise none of them is.
#ifndef RECORDS_MYHOSTS_H
#define RECORDS_MYHOSTS_H

#include "base/status.h"
#include "records/myurl.h"

#include <stdbool.h>
#include <stdint.h>

struct myhosts;

struct myuse {
    size_t host;         // in the url
    uint64_t generation; // rises whenever another host is taken, or none
};

// The url outlives it. `left` is told, on any thread, that the connections of generations before this one are
// to be given up; it must not call back.
struct myhosts *myhosts_create(const struct myurl *url, void (*left)(void *user, uint64_t generation),
                               void *user);
void myhosts_destroy(struct myhosts *h); // NULL is fine

// The host to use; waits while that is being found out, two seconds at most. If there is none: UNAVAILABLE,
// or the code of all of them, with the sentence of myhosts_say.
int myhosts_use(struct myhosts *h, struct myuse *out, struct nrpc_status *st);
// A call found the host of this generation wanting: it is looked at now, and nobody uses it before that.
// False: there is no other host.
bool myhosts_doubt(struct myhosts *h, uint64_t generation);
// "one:3306 is used; two:3306 is read-only". Empty with one host.
void myhosts_say(struct myhosts *h, char *out, size_t size);

#endif
