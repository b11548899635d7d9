// SPDX-License-Identifier: Apache-2.0
// callback.h: the framework's side of the objects that callbacks write into. One thread at a time.
#ifndef PLUGIN_CALLBACK_H
#define PLUGIN_CALLBACK_H

#include "base/mem.h"
#include "dtf.h"

#include <stdatomic.h>

struct dtf_buffer {
    unsigned char *data;
    size_t size, capacity;
};
void buffer_fini(struct dtf_buffer *b);

struct dtf_followups {
    struct arena *arena; // what was added is copied there
    bool allowed;        // the type iterates
    struct dtf_subtask_spec *specs;
    size_t count, capacity;
};
void followups_fini(struct dtf_followups *f);

struct dtf_execution {
    _Atomic bool cancelled;
    _Atomic int cancel_fd; // an eventfd, made when first asked for; -1
    int32_t code;
    unsigned char *body;
    size_t body_size;
    bool body_refused; // over the limit
    bool killed;       // it failed by a signal such as whoever stops a node sends to all of it
    const char *note;  // what is to be said of it, success or not; NULL: nothing
    bool node_short;   // it did not begin: the node lacks descriptors, processes, memory or room on its disk
};
void execution_init(struct dtf_execution *x);
void execution_cancel(struct dtf_execution *x); // any thread
void execution_fini(struct dtf_execution *x);

#endif
