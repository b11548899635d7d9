// SPDX-License-Identifier: Apache-2.0
// state_contract_fixture.h: short words for the state contract's tests: seed, do, look, and ask what was
// told.
//
// A failing call fails the test unless the word says so. Texts that are returned live until the test's end.
#ifndef STATE_CONTRACT_FIXTURE_H
#define STATE_CONTRACT_FIXTURE_H

#include "base/clock.h"
#include "state_contract.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { TASKS_SEEN = 40, BYSTANDER = 30 }; // tasks 1..TASKS_SEEN are in a snapshot

struct fixture {
    const struct state_contract *contract;
    struct state *s;
    const struct state_ops *ops;
    struct arena arena;
    struct nrpc_status st;
    int64_t now_ms;
    char told[4096];
    uint64_t made[TASKS_SEEN + 1]; // pushed so far, by task
    uint64_t sessions;             // given so far
    uint64_t session_of[4096];     // by node
};

int fixture_setup(void **state);
int fixture_teardown(void **state);
void store_reopen(struct fixture *f);
extern const struct state_contract *fixture_contract;

struct state_task
task_sample(uint64_t id); // never due, tolerates any number of failures, one retry after 100 ms
void admit(struct fixture *f, uint64_t id);
void admit_task(struct fixture *f, const struct state_task *task);
uint64_t node_make(struct fixture *f, int64_t until_ms);
struct state_holder holder(struct fixture *f, uint64_t node);
// The node registers again, and says what it has. The new number.
uint64_t node_again(struct fixture *f, uint64_t node, int64_t until_ms, struct state_holding *holding);

// What the watcher was told since the last call, each thing once and sorted: "closed:1 settled:1(2,30us)
// view:1".
const char *told(struct fixture *f);

// A task in one line, zeros left out: "draining gen=5 ok=1 run=2 queued=2 done ready=2"; "none" if it is not
// here.
const char *look(struct fixture *f, uint64_t task);
#define assert_look(f, task, text) assert_string_equal(look(f, task), text)
#define assert_told(f, text) assert_string_equal(told(f), text)

// Everything that can be read: tasks, views with versions, nodes, kept results, failures.
char *snapshot(struct fixture *f);
char *snapshot_except(struct fixture *f, uint64_t task);
#define assert_unchanged(f, before) assert_string_equal(snapshot(f), before)

// Asserts the call's code.
#define assert_code(f, code, call) assert_string_equal(nrpc_code_name(call), nrpc_code_name(code))
#define must(f, call) assert_string_equal((call) ? (f)->st.text : "", "")

// Claims the task (which must be free) and gives the fence.
uint64_t claim(struct fixture *f, uint64_t task);
struct state_subtask *subtasks(struct fixture *f, uint64_t first,
                               size_t count); // params "p<n>", timeout 1000 + n
int push_raw(struct fixture *f, uint64_t task, uint64_t fence, size_t count, bool done);
// Claim, push and release, so that it may be repeated.
void push(struct fixture *f, uint64_t task, size_t count, bool done);
int feed(struct fixture *f, uint64_t task, uint64_t at, size_t count, bool finish, uint64_t *fed);

struct works {
    struct state_work *at;
    size_t count;
};
struct works lease(struct fixture *f, uint64_t node, uint64_t task, uint32_t count);
struct state_ref ref_of(const struct state_work *w);
enum state_verdict settle(struct fixture *f, const struct state_work *w, enum model_kind kind);
enum state_verdict settle_entry(struct fixture *f, struct state_settle entry);
void settle_all(struct fixture *f, struct works w, enum model_kind kind);

struct swept {
    uint64_t *lost;
    size_t count;
    int64_t next_ms;
};
struct swept sweep(struct fixture *f);

// The groups of tests, one a file.
struct CMUnitTest;
extern const struct CMUnitTest state_life_tests[], state_generation_tests[], state_queue_tests[],
    state_dispatch_tests[], state_result_tests[], state_node_tests[], state_number_tests[],
    state_whole_tests[];
extern const size_t state_life_count, state_generation_count, state_queue_count, state_dispatch_count,
    state_result_count, state_node_count, state_number_count, state_whole_count;

void state_random_test(void **state); // state_contract_random.c

#define TEST(function) cmocka_unit_test_setup_teardown(function, fixture_setup, fixture_teardown)

#endif
