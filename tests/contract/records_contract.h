// SPDX-License-Identifier: Apache-2.0
// records_contract.h: the one test that every implementation of records.h must pass, unchanged.
#ifndef RECORDS_CONTRACT_H
#define RECORDS_CONTRACT_H

#include "records/records.h"

struct records_contract { // what a test program of an implementation provides; each fails by assertion
    const char *name;
    struct records *(*create)(void);                    // a store with nothing in it
    struct records *(*reopen)(struct records *records); // closes it and opens what it had stored
    void (*destroy)(struct records *records);           // closes it and removes what it had stored
};

// Runs all tests; the exit code for main.
int records_contract_run(const struct records_contract *contract);
int records_contract_run_resume(const struct records_contract *contract); // its second half

#endif
