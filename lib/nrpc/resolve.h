// SPDX-License-Identifier: Apache-2.0
// resolve.h: urls that name several servers, "dns:///host:port" and "dns+tls:///host:port": keeps a channel's
// connections at the addresses of the name.
#ifndef NRPC_RESOLVE_H
#define NRPC_RESOLVE_H

#include "nrpc/nrpc.h"

struct resolver;

bool resolver_is_for(const char *url);

int resolver_add(struct nrpc_channel *channel, const char *url, struct nrpc_status *st);

// Resolves in a thread of its own, at once, then every resolve_ms, and sooner while no connection stands.
// NULL: there is nothing to resolve.
int resolver_start(struct resolver *resolver, struct nrpc_status *st);
void resolver_stop(struct resolver *resolver); // and waits; NULL is allowed

#endif
