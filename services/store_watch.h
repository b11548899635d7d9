// SPDX-License-Identifier: Apache-2.0
// store_watch.h: asks the stores once a second whether they answer, whether a callback is stuck, and whether
// the executor is short of something, and says so in the health service: "dtf.state", "dtf.records",
// "dtf.callbacks" and, where there is one, "dtf.executor" are SERVING or NOT_SERVING. "" stays SERVING: while
// a store is away the process takes calls, and answers them UNAVAILABLE or late.
#ifndef SERVICES_STORE_WATCH_H
#define SERVICES_STORE_WATCH_H

#include "callbacks.h"
#include "executor/executor.h"
#include "nrpc/services/health.h"
#include "stores.h"

struct store_watch;

// Starts a thread, which may wait for the stores' timeouts and so never runs in a role. Stores, callbacks,
// executor (NULL: there is none) and health stay the caller's and must outlive it.
struct store_watch *store_watch_start(struct stores *stores, struct callbacks *callbacks,
                                      struct executor *executor, struct nrpc_health *health);
void store_watch_stop(struct store_watch *w); // waits for its thread; NULL is fine

#endif
