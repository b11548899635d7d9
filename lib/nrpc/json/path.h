// SPDX-License-Identifier: Apache-2.0
// path.h: where in a message we are, for the person who reads what is wrong with it.
#ifndef NRPC_JSON_PATH_H
#define NRPC_JSON_PATH_H

#include "base/status.h"

#include <stddef.h>

// A step into a message; lives in the stack frame that took it.
struct path {
    const struct path *up;
    const char *name; // of a field; NULL: an element of the list or map that `up` is
    const char *key;  // of a map's; NULL: of a list
    size_t key_size, index;
};

void path_enter(const struct path **at, struct path *step); // sets step->up
void path_leave(const struct path **at);

// Sets *st to "<path>: <sentence>" and returns the code. Of a long path only the end is shown.
int path_fail(const struct path *at, struct nrpc_status *st, int code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#endif
