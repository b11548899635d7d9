// SPDX-License-Identifier: Apache-2.0
// failpoint.h: where a coordinator over wrapped stores dies, and what it says of how it got there.
//
// failpoints_dtfd is dtfd with one difference, made when it is linked: a store that is opened has a table
// that forwards every operation and calls failpoint_reach around it (wrap.py makes it from the header).
#ifndef TESTS_FAILPOINT_H
#define TESTS_FAILPOINT_H

#include "records/records.h"
#include "state/state.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define FAILPOINT_FILE                                                                                       \
    "DTF_FAILPOINT" // environment: the file that has a struct failpoint, shared with the test
enum { FAILPOINT_OPERATIONS_MAX = 128 };

struct failpoint {
    // By the test. operation: an index into operation_names; below 0: it does not die.
    int operation;
    bool is_after;
    uint32_t call; // the how-many-th of this process, from 1
    // By the coordinator.
    _Atomic uint32_t calls[FAILPOINT_OPERATIONS_MAX]; // begun
    _Atomic bool is_hit;
};

void failpoint_reach(int operation, bool is_after);
void failpoint_wrap_state(struct state *s);
void failpoint_wrap_records(struct records *r);

#endif
