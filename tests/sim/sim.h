// SPDX-License-Identifier: Apache-2.0
// sim.h: a whole installation in one thread under a fake clock: the coordinator's roles, nodes, a client,
// over local channels.
#ifndef TESTS_SIM_H
#define TESTS_SIM_H

#include "coordinator.h"
#include "dtf/v1/task_service.nrpc.h"
#include "executor/executor.h"

enum { SIM_NODES_MAX = 8, SIM_LEASE_MS = 5000 };

struct sim_node {
    struct executor *executor;
    struct nrpc_channel *channel;
    bool frozen; // like SIGSTOP: nothing of it runs
    bool lazy;   // keeps in touch, but runs no subtask
    int64_t due_ms;
};

struct sim {
    struct db *db;
    struct state *state;
    struct records *records;
    struct nrpc_server *server;
    struct coordinator *coordinator;
    struct nrpc_channel *client;
    struct sim_node nodes[SIM_NODES_MAX];
    size_t node_count;
    uint64_t finds; // of periodic looks, that were taken out
};

int64_t sim_now_ms(void);

void sim_open(struct sim *s, size_t nodes);
void sim_close(struct sim *s);
void sim_restart(
    struct sim *s); // the coordinator's roles die where they are, and start again over the same stores
void sim_settle(struct sim *s);              // runs until nothing is left to do at this time
void sim_advance(struct sim *s, int64_t ms); // time passes, with everything done when it is due
void sim_stand_still(int64_t ms);            // time passes, and nothing runs meanwhile, like SIGSTOP for all

uint64_t sim_create(struct sim *s, const struct Dtf__V1__TaskParam *param); // the code must be NRPC_OK
int sim_pause(struct sim *s, uint64_t task);
int sim_resume(struct sim *s, uint64_t task);
int sim_cancel(struct sim *s, uint64_t task);
struct sim_view { // of a task
    int status;
    uint64_t generated, succeeded, failed, timed_out, cancelled, retried, redispatched, running, queued;
    char message[256];
};
struct sim_view sim_get(struct sim *s, uint64_t task);

// What periodic looks have found since this was asked last (services/finds.h). What was not asked for fails
// sim_close.
uint64_t sim_take_finds(struct sim *s);

#endif
