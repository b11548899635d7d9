// SPDX-License-Identifier: Apache-2.0
// param.h: a task's parameters: checked, completed with defaults, and turned into what the stores keep. Pure.
#ifndef MANAGER_PARAM_H
#define MANAGER_PARAM_H

#include "dtf/v1/task.pb-c.h"
#include "env.h"

// INVALID_ARGUMENT names the field that breaks a rule of task.proto.
int param_check(const Dtf__V1__TaskParam *p, struct nrpc_status *st);

// Fills the record (all but what the store sets); what it points to is p's or the arena's.
int param_to_record(const Dtf__V1__TaskParam *p, int64_t now_ms, struct arena *a,
                    struct records_new_task *out, struct nrpc_status *st);

// Fills what the state admits of a task that is recorded.
struct param_task {
    uint64_t id;
    int64_t created_ms, deadline_ms;
    struct records_blob packed;
};
void param_to_state(const Dtf__V1__TaskParam *p, const struct param_task *t, struct state_task *out);

#endif
