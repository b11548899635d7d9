// SPDX-License-Identifier: Apache-2.0
// coordinator.h: the four coordinator roles over one pair of stores, wired together, behind one RPC server.
#ifndef SERVICES_COORDINATOR_H
#define SERVICES_COORDINATOR_H

#include "dtf.h"
#include "env.h"

struct coordinator;

// Makes the roles and adds their services to the server; starts no thread. The stores and the server stay the
// caller's.
int coordinator_create(unsigned roles, struct state *state, struct records *records,
                       struct nrpc_server *server, const struct dtf_service_options *options,
                       unsigned pool_threads, int64_t (*now_ms)(void), struct coordinator **out,
                       struct nrpc_status *st);
void coordinator_start(struct coordinator *c);
void coordinator_stop(struct coordinator *c);
void coordinator_destroy(struct coordinator *c);

// For a test that drives everything in one thread (pool_threads 0): a step of each role that has mail or is
// due, and the pool's jobs. false: there was nothing to do; *next_ms: when there will be, if nothing arrives.
bool coordinator_step(struct coordinator *c, int64_t now_ms, int64_t *next_ms);

struct callbacks *coordinator_callbacks(struct coordinator *c); // those that run

// What periodic looks found that no hint had told of (finds.h). Any thread.
uint64_t coordinator_finds(const struct coordinator *c);

#endif
