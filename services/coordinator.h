// SPDX-License-Identifier: Apache-2.0
// coordinator.h: the four coordinator roles over one pair of stores, wired together, behind one RPC server.
#ifndef SERVICES_COORDINATOR_H
#define SERVICES_COORDINATOR_H

#include "dtf.h"
#include "env.h"

struct coordinator;

// Makes the roles and adds their services to the server; starts no thread. The stores and the server stay the caller's.
int coordinator_create(unsigned roles, struct state *state, struct records *records, struct nrpc_server *server,
                       const struct dtf_service_options *options, unsigned pool_threads, int64_t (*now_ms)(void),
                       struct coordinator **out, struct nrpc_status *st);
void coordinator_start(struct coordinator *c);
void coordinator_stop(struct coordinator *c);
void coordinator_destroy(struct coordinator *c);

// For a test that drives everything in one thread: one step of each role, and the pool's jobs. Returns when the next step is
// due; call again until nothing was done (*busy false).
int64_t coordinator_step(struct coordinator *c, int64_t now_ms, bool *busy);

#endif
