// SPDX-License-Identifier: Apache-2.0
// ledger.h: the parameters of the ledger task type.
#ifndef TESTS_LEDGER_H
#define TESTS_LEDGER_H

#include <stdint.h>

enum { LEDGER_FOLLOWUP = 1000000 };

struct ledger_param {
    uint64_t count;
    uint64_t run_us; // a subtask runs 0 to 6 times that long
};

struct ledger_subtask {
    uint64_t index, run_us;
};

#endif
