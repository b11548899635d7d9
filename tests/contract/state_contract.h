// SPDX-License-Identifier: Apache-2.0
// state_contract.h: what every implementation of lib/state/state.h must pass, unchanged.
#ifndef STATE_CONTRACT_H
#define STATE_CONTRACT_H

#include "state/state.h"

struct state_contract { // how the implementation is brought up
    const char *name;
    void *user;
    struct state *(*open_fresh)(void *user); // an empty store
    // Closes the store and opens it again on the same data.
    struct state *(*reopen)(void *user, struct state *s);
    // Closes it and drops its data. s may be NULL.
    void (*discard)(void *user, struct state *s);
};

// Runs all tests; the number of failures. DTF_SEED chooses the seed of the randomized one, DTF_OPERATIONS its
// length.
int state_contract_run(const struct state_contract *contract);

#endif
