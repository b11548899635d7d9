// SPDX-License-Identifier: Apache-2.0
// outcome.h: what a result says, opened up if it is a command's, and in words.
#ifndef CLI_OUTCOME_H
#define CLI_OUTCOME_H

#include "dtf.h"
#include "dtf/v1/command.pb-c.h"

struct outcome {
    Dtf__V1__CommandOutput *output; // NULL: not a command's, or there is none
    Dtf__V1__Command *command;      // NULL: likewise
};

void outcome_read(struct outcome *o, const struct dtf_task_result *t, bool is_command);
void outcome_free(struct outcome *o);
bool outcome_is_cut(const struct outcome *o); // its command wrote more than is kept

const char *outcome_kind_name(int kind); // "success", ...; "unknown"

// Why an item failed, in a few words: "exit code 3", "timed out", ... NULL: it did not.
const char *outcome_failure(const struct outcome *o, const struct dtf_result *r, char *buffer, size_t size);

#endif
