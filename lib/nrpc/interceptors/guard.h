// SPDX-License-Identifier: Apache-2.0
// guard.h: lets only callers with a good token into a server, and into each method only those with its roles.
//
// A caller without a good token is answered UNAUTHENTICATED, one without any of the roles that the .proto
// file asks for (option nrpc.v1.roles) PERMISSION_DENIED. A method without roles is open to every caller with
// a good token.
#ifndef NRPC_GUARD_H
#define NRPC_GUARD_H

#include "nrpc/auth/auth.h"
#include "nrpc/nrpc.h"

struct nrpc_guard;

// See nrpc_auth_create. *out must outlive the servers that it protects.
int nrpc_guard_create(const struct nrpc_auth_options *options, struct nrpc_guard **out,
                      struct nrpc_status *st);
void nrpc_guard_destroy(struct nrpc_guard *guard); // NULL is allowed

// Leaves a service ("package.Service") open to everybody; health checks, say. Before protect.
void nrpc_guard_open(struct nrpc_guard *guard, const char *service);

// Adds the interceptor; before the server's first listen.
void nrpc_guard_protect(struct nrpc_guard *guard, struct nrpc_server *server);

// For reloading keys. Any thread.
struct nrpc_auth *nrpc_guard_auth(struct nrpc_guard *guard);

// Who calls; NULL: an open service. Lives as long as the call.
const struct nrpc_identity *nrpc_guard_identity(const struct nrpc_call *call);

#endif
