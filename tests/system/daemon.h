// SPDX-License-Identifier: Apache-2.0
// daemon.h: starts dtfd processes for tests and benchmarks, on free ports, in temporary folders; ends them by
// pid.
#ifndef TESTS_DAEMON_H
#define TESTS_DAEMON_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct daemon {
    pid_t pid; // 0: not running
    char url[200];
    int output; // our end of its standard output
};

// Starts the program with these arguments (NULL at the end) and waits until it printed "ready". false: it did
// not within 30 s, or ended before; what it printed went to stderr.
bool daemon_start(struct daemon *d, const char *program, const char *const *args);
void daemon_kill(struct daemon *d, int signal_number); // and waits for its end
int daemon_wait(struct daemon *d);                     // its wait status
void daemon_folder(char *path, size_t size);           // makes a temporary folder
void daemon_remove(const char *folder);                // with all that is in it

// The folder of the test's own executable: there dtfd and the plugins are.
const char *daemon_bin(void);
void daemon_path(char *out, size_t size, const char *name); // <bin>/<name>

#endif
