// SPDX-License-Identifier: Apache-2.0
// bearer.h: sends a token with every call of a channel.
#ifndef NRPC_BEARER_H
#define NRPC_BEARER_H

#include "nrpc/nrpc.h"

struct nrpc_bearer;

// token may be NULL: none yet. *out must outlive the channels.
struct nrpc_bearer *nrpc_bearer_create(const char *token);
void nrpc_bearer_destroy(struct nrpc_bearer *bearer); // NULL is allowed

// For calls from now on; NULL: none. Copied. Any thread.
void nrpc_bearer_set(struct nrpc_bearer *bearer, const char *token);

struct nrpc_client_interceptor nrpc_bearer_interceptor(struct nrpc_bearer *bearer);

#endif
