// SPDX-License-Identifier: Apache-2.0
// kill_test.c: kill -9 of the coordinator and of nodes at random moments. In the end every task is complete,
// every subtask is counted exactly once, and the generator has neither skipped nor repeated one.
//
// KILL_ROUNDS sets the number of rounds, KILL_SEED the first seed (both are printed).
#include "base/clock.h"
#include "dtf.h"
#include "system/daemon.h"
#include "system/ledger.h"

#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { NODES = 2, TASKS = 2, COUNT = 1500, KILLS = 4, ROUND_MS = 90000 };

struct round {
    char folder[300], plugin[4200];
    struct daemon coordinator, nodes[NODES];
    struct dtf_client *client;
    char listen[200];
    uint64_t tasks[TASKS];
    uint8_t seen[TASKS][COUNT + 1], seen_followup[TASKS][COUNT + 1];
    uint64_t cursor[TASKS];
    bool ended[TASKS];
    size_t reading;
    unsigned coordinator_kills, node_kills;
};

static void start_coordinator(struct round *r)
{
    const char *args[] = {"--role",       "coordinator", "--data",  r->folder, "--listen",
                          r->listen,      "--plugin",    r->plugin, "--log",   "error",
                          "--node-lease", "500",         NULL};
    assert_true(daemon_start(&r->coordinator, "dtfd", args));
    strcpy(r->listen, r->coordinator.url); // the same port again after a restart
}

static void start_node(struct round *r, int i)
{
    const char *args[] = {"--role",   "executor", "--join", r->listen, "--slots", "2",
                          "--plugin", r->plugin,  "--log",  "error",   NULL};
    assert_true(daemon_start(&r->nodes[i], "dtfd", args));
}

static void start(struct round *r)
{
    struct nrpc_status st;
    *r = (struct round){.listen = "tcp://127.0.0.1:0"};
    daemon_folder(r->folder, sizeof r->folder);
    daemon_path(r->plugin, sizeof r->plugin, "ledger.so");
    start_coordinator(r);
    for (int i = 0; i < NODES; i++)
        start_node(r, i);
    assert_int_equal(dtf_client_open(r->listen, &r->client, &st), NRPC_OK);
    struct ledger_param param = {COUNT, 300};
    for (int i = 0; i < TASKS; i++) {
        struct dtf_task_param p = {
            .type = "ledger", .type_param = &param, .type_param_bytes = sizeof param, .keep_results = true};
        assert_int_equal(dtf_task_create(r->client, &p, &r->tasks[i], &st), NRPC_OK);
    }
}

static void stop(struct round *r)
{
    dtf_client_close(r->client);
    for (int i = 0; i < NODES; i++)
        daemon_kill(&r->nodes[i], SIGKILL);
    daemon_kill(&r->coordinator, SIGKILL);
    daemon_remove(r->folder);
}

static void take_result(void *user, const struct dtf_task_result *t)
{
    struct round *r = user;
    uint64_t index = 0;
    assert_int_equal(t->result.kind, DTF_RESULT_SUCCESS);
    assert_int_equal(t->result.body_bytes, sizeof index);
    memcpy(&index, t->result.body, sizeof index);
    bool followup = index >= LEDGER_FOLLOWUP;
    index -= followup ? LEDGER_FOLLOWUP : 0;
    assert_in_range(index, 1, COUNT);
    (followup ? r->seen_followup : r->seen)[r->reading][index]++;
}

// Reads what results there are; an answer may fail while the coordinator is away.
static void read_results(struct round *r)
{
    for (size_t i = 0; i < TASKS; i++) {
        struct nrpc_status st;
        r->reading = i;
        if (!r->ended[i])
            (void)dtf_task_results(r->client, r->tasks[i], &r->cursor[i], 20, false, take_result, r,
                                   &r->ended[i], &st);
    }
}

// Waits a random while, of at most max_ms, reading results meanwhile.
static void pass_time(struct round *r, long max_ms)
{
    int64_t until_ms = clock_now_ms() + random() % max_ms;
    while (clock_now_ms() < until_ms)
        if (random() % 2)
            read_results(r);
        else
            poll(NULL, 0, 1); // the random moment itself is what is wanted here
}

static void kill_something(struct round *r)
{
    long what = random() % (NODES + 2);
    if (what < NODES) {
        daemon_kill(&r->nodes[what], SIGKILL);
        pass_time(r, 50);
        start_node(r, (int)what);
        r->node_kills++;
    } else {
        daemon_kill(&r->coordinator, SIGKILL);
        start_coordinator(r);
        r->coordinator_kills++;
    }
}

static void check(struct round *r)
{
    for (size_t i = 0; i < TASKS; i++) {
        struct nrpc_status st;
        struct dtf_task_info info;
        assert_int_equal(dtf_task_wait(r->client, r->tasks[i], ROUND_MS, &info, &st), NRPC_OK);
        assert_int_equal(info.status, DTF_TASK_COMPLETED);
        assert_int_equal(info.generated, COUNT + COUNT / 10);
        assert_int_equal(info.succeeded, COUNT + COUNT / 10);
        assert_int_equal(info.failed + info.timed_out + info.cancelled, 0);
        for (int64_t until_ms = clock_now_ms() + ROUND_MS; !r->ended[i] && clock_now_ms() < until_ms;)
            read_results(r);
        for (uint64_t k = 1; k <= COUNT; k++) {
            assert_int_equal(r->seen[i][k], 1);
            assert_int_equal(r->seen_followup[i][k], k % 10 == 0);
        }
    }
}

static void test_kill(void **state)
{
    (void)state;
    const char *rounds_text = getenv("KILL_ROUNDS"), *seed_text = getenv("KILL_SEED");
    unsigned rounds = rounds_text ? (unsigned)atoi(rounds_text) : 50;
    unsigned first = seed_text ? (unsigned)atoi(seed_text) : (unsigned)(clock_now_ms() % 1000000);
    static struct round r;
    unsigned coordinator_kills = 0, node_kills = 0;
    for (unsigned i = 0; i < rounds; i++) {
        print_message("round %u, seed %u\n", i + 1, first + i);
        srandom(first + i);
        start(&r);
        for (int k = 0; k < KILLS; k++) {
            pass_time(&r, 250);
            kill_something(&r);
        }
        check(&r);
        coordinator_kills += r.coordinator_kills;
        node_kills += r.node_kills;
        stop(&r);
    }
    print_message("%u rounds: %u kills of the coordinator, %u of a node\n", rounds, coordinator_kills,
                  node_kills);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_kill)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
