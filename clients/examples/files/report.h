// SPDX-License-Identifier: Apache-2.0
// report.h: makes a task's result file of its spool, and beside it the list of what went wrong, if anything
// did.
//
// The process may be killed at any moment and all be done again: so the files are put in place by renames,
// and the spool is removed last.
#ifndef FILES_REPORT_H
#define FILES_REPORT_H

#include "dtf.h"

#include <stdio.h>

char *report_spool_name(const char *path, const struct dtf_task *task); // free() it
char *report_errors_name(const char *path);                             // free() it

struct report {
    FILE *f;    // the result file
    void *user; // of report_end_task
    FILE *errors;
    uint64_t error_count;
};

struct report_format {
    // Takes a result as it was spooled. Called in the order of the subtasks' numbers, once for each.
    int (*record)(struct report *r, uint64_t subtask, const void *data, size_t size, struct nrpc_status *st);
    void (*finish)(struct report *r); // after the last; may be NULL
};

// Adds a line to the list of what went wrong.
void report_problem(struct report *r, const void *name, size_t size, const char *reason);

// Writes the result file `path` if the task is completed; a file with holes helps nobody. Removes the spool.
// DATA_LOSS: results that were counted are not in the spool, which stays.
int report_end_task(const char *path, const struct dtf_task *task, const struct dtf_task_summary *summary,
                    const struct report_format *format, void *user, struct nrpc_status *st);

// Why a subtask did not succeed.
const char *report_failure(const struct dtf_result *r);

#endif
