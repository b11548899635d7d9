// SPDX-License-Identifier: Apache-2.0
// records_fixture.h: a seeded record store, and what has changed in it.
#ifndef RECORDS_FIXTURE_H
#define RECORDS_FIXTURE_H

#include "records/records.h"
#include "records_contract.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define LENGTH(array) (sizeof(array) / sizeof *(array))

struct records_fixture {
    struct records *r;
    struct arena arena;
    char *before; // the store, as last looked at
};

extern const struct records_contract *records_fixture_contract; // whose stores set up and tear down make
int records_set_up(void **state);                               // an empty store
int records_set_up_seeded(void **state);
int records_tear_down(void **state);

extern struct nrpc_status records_status; // of the last call that OK or a test made
#define OK(call)                                                                                             \
    do {                                                                                                     \
        if (call)                                                                                            \
            fail_msg("%s: %s", #call, records_status.text);                                                  \
    } while (0)

// All that can be read, as lines; free it. Resets the arena.
char *records_dump(struct records_fixture *f);

// Since the last look, just this has changed: "-line" what is gone, then "+line" what is new.
void records_assert_change(struct records_fixture *f, const char *expected);

// A task with something in every field; a legal change, the terminal ones with counters.
struct records_new_task records_seed_task(const char *name, const char *key, int64_t now_ms);
void records_seed_change(struct records_fixture *f, uint64_t task, enum model_event event, int64_t now_ms,
                         const char *message);

// Tasks 1..6: running (key "key-1"), paused, completed, failed, cancelled, timed out (key "key-6");
// events 1..11; failures of tasks 3 and 4; two groups. Looks at it.
void records_seed(struct records_fixture *f);

#endif
