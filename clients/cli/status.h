// SPDX-License-Identifier: Apache-2.0
// status.h: shows a task, and waits for one; for the commands that do it on the way.
#ifndef CLI_STATUS_H
#define CLI_STATUS_H

#include "cli.h"

void status_print(const struct cli *cli, const struct dtf_task_info *t);

// Waits until the task has ended, shows it unless quiet; the exit code: CLI_OK only if it is completed.
int status_wait(const struct cli *cli, struct dtf_client *client, uint64_t id, int64_t timeout_ms);

#endif
