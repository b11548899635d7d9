// SPDX-License-Identifier: Apache-2.0
// program.h: runs dtfd again and again under one name, its output appended to one file; nobody waits for it
// to be ready. It dies with the thread that started it: start it from the main thread.
#ifndef TESTS_CHAOS_PROGRAM_H
#define TESTS_CHAOS_PROGRAM_H

#include <stdbool.h>
#include <sys/types.h>

enum { PROGRAM_ARGUMENTS = 40 };

struct program {
    pid_t pid; // 0: not running
    char log[300];
    off_t log_start; // where the output of this run begins
};

// argv[0] is a path; argv and environment (entries "NAME=value" besides our own) end with NULL; environment
// NULL: none. Fails the test program if it cannot be started.
void program_start(struct program *p, const char *const *argv, const char *const *environment);
bool program_said(const struct program *p, const char *text); // since it was started
bool program_runs(struct program *p);
int program_end(struct program *p, int signal_number); // and waits for its end; its wait status
void program_signal(const struct program *p, int signal_number);

#endif
