// SPDX-License-Identifier: Apache-2.0
// tenure.h: one state at a time runs the tasks of one set of records.
//
// Two coordinators that name the same MySQL and two Redis servers would both run all tasks. So who uses a
// state says in the records every second that it has them, and a state that others have, and were heard of
// within TENURE_MS, is barred. A Redis that restarts, is wiped or is promoted stays the same state for
// whoever has used it before.
#ifndef SERVICES_TENURE_H
#define SERVICES_TENURE_H

#include "records/records.h"
#include "state/state.h"

enum { TENURE_MS = 3000 };

struct tenure {       // all zero at first; one thread at a time
    uint64_t held;    // the state's number, when it was said last
    unsigned refused; // times in a row
    bool is_older;    // others have run the tasks since: it is to begin anew
};

// Says it, or finds out that the state must not be used (FAILED_PRECONDITION) and, the second time in a row,
// bars it. What else fails changes nothing.
int tenure_keep(struct tenure *t, struct state *state, struct records *records, struct nrpc_status *st);
// The same, before anything is done with the state: waits until those who had the records are gone for long
// enough. FAILED_PRECONDITION: they are not.
int tenure_begin(struct tenure *t, struct state *state, struct records *records, struct nrpc_status *st);

#endif
