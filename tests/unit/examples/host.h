// SPDX-License-Identifier: Apache-2.0
// host.h: calls the callbacks of one task as the framework does, one after the other in one thread.
#ifndef EXAMPLES_HOST_H
#define EXAMPLES_HOST_H

#include "dtf.h"
#include "plugin/callback.h"

struct host_subtask {
    void *param;
    size_t param_bytes;
};

struct host_result {
    struct dtf_result result;
    char message[256];
    unsigned char *body;
};

struct host {
    const struct dtf_task_type *type;
    struct dtf_task task;
    void *param;
    void *state; // the generator's, while it runs
    struct dtf_buffer saved;
    struct host_subtask *subtasks; // number i + 1 is at i
    size_t count, capacity, succeeded, failed;
    struct nrpc_status st; // of the last call that failed
};

// `param` is any packed message; copied.
void host_init(struct host *h, const struct dtf_task_type *type, const ProtobufCMessage *param);
void host_fini(struct host *h);

int host_begin(struct host *h); // goes on after what was saved, if anything was
bool host_next(struct host *h); // adds one subtask; false: there are no more
void host_save(struct host *h);
void host_end(struct host *h);
void host_generate(struct host *h,
                   unsigned steps); // all subtasks; ends and begins anew every so many (0: never)

int host_execute(struct host *h, size_t index, bool cancelled,
                 struct host_result *out); // the callback's code
// Hands in a result; the follow-ups become subtasks if `settle`, as the collector does. false: to be
// dispatched again.
bool host_collect(struct host *h, size_t index, const struct host_result *r, bool settle);
void host_result_fini(struct host_result *r);
void host_run(struct host *h, unsigned times); // executes all, collects each result so many times
int host_complete(struct host *h, const char *outcome);

#endif
