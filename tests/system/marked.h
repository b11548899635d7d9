// SPDX-License-Identifier: Apache-2.0
// marked.h: finds processes that a test has started through others: by a mark in their environment, or by
// their name below a process.
#ifndef TESTS_MARKED_H
#define TESTS_MARKED_H

#include <stddef.h>
#include <sys/types.h>

#define MARK_NAME "DTF_TEST_MARK"

// A mark that no other test run has.
enum { MARK_BYTES = 60 };
void mark_make(char mark[MARK_BYTES]);
size_t marked_count(const char *mark); // processes with MARK_NAME=mark that have not ended
size_t marked_stopped(const char *mark);
// Processes called `name` with `ancestor` among their parents; returns how many, at most max of them in out.
size_t marked_below(pid_t ancestor, const char *name, pid_t *out, size_t max);

#endif
