// SPDX-License-Identifier: Apache-2.0
// manager_internal.h: what manager.c (what happens to tasks) and requests.c (what is asked) share.
#ifndef MANAGER_INTERNAL_H
#define MANAGER_INTERNAL_H

#include "manager.h"
#include "parked.h"

enum { MANAGER_WAIT_MAX_MS = 60000 };

struct creation {
    struct request *request;
    const Dtf__V1__TaskParam *param;
};

struct manager {
    const struct env *env;
    struct loop loop;
    struct parked parked;
    struct arena arena; // of the step
    // gathered in a step, done together at its end
    struct creation *creations;
    struct records_new_task *new_tasks; // one a creation
    size_t creation_count, creation_capacity, new_task_capacity;
    uint64_t *closed; // tasks whose end is to be recorded
    size_t closed_count, closed_capacity;
    bool stopping;
    int64_t next_overdue_ms, next_repair_ms, next_finish_ms;
};

// Runs the requests that waited for this.
void manager_signal(struct manager *m, uint64_t task, unsigned signals, int64_t now_ms);
void manager_announce(struct manager *m, const Dtf__V1__Event *event, int64_t now_ms);
// Records what was gathered, admits it, answers.
void requests_create_all(struct manager *m, int64_t now_ms);

#endif
