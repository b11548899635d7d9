// SPDX-License-Identifier: Apache-2.0
// command_fixture.h: calls the execute callback of the task type "command" as an executor does.
#ifndef TESTS_COMMAND_FIXTURE_H
#define TESTS_COMMAND_FIXTURE_H

#include "dtf.h"
#include "dtf/v1/command.pb-c.h"
#include "plugin/callback.h"

struct command_spec {
    const char *const *argv; // NULL at the end
    bool shell;
    const char *const *env; // NULL at the end, or NULL
    const char *directory;  // or NULL
    const void *input;
    size_t input_size;
    uint32_t max_output;
};

#define SHELL(script)                                                                                        \
    (const char *const[])                                                                                    \
    {                                                                                                        \
        script, NULL                                                                                         \
    }

struct outcome { // zero before, outcome_fini after
    int code;    // set by dtf_execution_set_code
    struct nrpc_status st;
    Dtf__V1__CommandOutput *output; // NULL: no body
};

int command_execute(const struct command_spec *c, struct outcome *out);
int command_execute_message(const Dtf__V1__Command *m, struct outcome *out);
int command_execute_bytes(const void *param, size_t size, struct outcome *out);
void outcome_fini(struct outcome *o);

// The same with an execution of the caller's, which it may cancel meanwhile.
int command_execute_in(struct dtf_execution *x, const struct command_spec *c, struct nrpc_status *st);

#endif
