// SPDX-License-Identifier: Apache-2.0
// command.h: the built-in task type "command": a subtask runs a program (dtf.v1.Command,
// dtf.v1.CommandOutput).
#ifndef PLUGIN_COMMAND_H
#define PLUGIN_COMMAND_H

#include "dtf.h"

extern const struct dtf_task_type command_type;

#endif
