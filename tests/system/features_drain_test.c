// SPDX-License-Identifier: Apache-2.0
// features_drain_test.c: processes that are stopped, in an orderly way or not: what runs finishes or runs
// elsewhere, nothing is lost, nothing is counted twice.
#include "system/cluster.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

static struct cluster c;

static int setup(void **state)
{
    (void)state;
    cluster_start(&c);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cluster_stop(&c);
    return 0;
}

// Lines "WHAT INDEX ATTEMPT PID" of this process in the log.
static size_t count_of(const char *what, pid_t pid)
{
    char path[400], word[20];
    unsigned index, attempt;
    int by;
    size_t n = 0;
    file_path(&c, "log", path, sizeof path);
    FILE *f = fopen(path, "r");
    while (f && fscanf(f, "%19s %u %u %d", word, &index, &attempt, &by) == 4)
        n += !strcmp(word, what) && by == pid;
    if (f)
        fclose(f);
    return n;
}

static void check_exit(struct daemon *d, int64_t at_least_ms, int64_t at_most_ms, int64_t since_ms)
{
    pid_t pid = d->pid;
    WAIT_FOR(process_is_gone(pid), at_most_ms);
    assert_true(cluster_now_ms() - since_ms >= at_least_ms);
    int status = daemon_wait(d);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

// A task of `count` subtasks that are held; node 0 runs two of them, and has more waiting.
static uint64_t start_held(uint32_t count, const char *grace_ms)
{
    file_touch(&c, "hold");
    cluster_start_node(&c, 0, "2", grace_ms);
    uint64_t task = cluster_create_gate(&c, "gate", &(struct gate_param){.count = count}, NULL);
    WAIT_FOR(count_of("start", c.nodes[0].pid) == 2, PATIENCE_MS);
    return task;
}

static void check_completed(uint64_t task, uint64_t count)
{
    struct dtf_task_info info = cluster_wait(&c, task);
    assert_int_equal(info.status, DTF_TASK_COMPLETED);
    assert_int_equal(info.generated, count);
    assert_int_equal(info.succeeded, count);
    assert_int_equal(info.failed + info.timed_out + info.cancelled, 0);
}

// What runs may finish; nothing else begins; the rest is done by another node.
static void test_drain(void **state)
{
    (void)state;
    uint64_t task = start_held(200, "30000");
    pid_t pid = c.nodes[0].pid;
    int64_t start_ms = cluster_now_ms();
    kill(pid, SIGTERM);
    cluster_start_node(&c, 1, "2", "1000");
    WAIT_FOR(count_of("start", c.nodes[1].pid) == 2, PATIENCE_MS);
    assert_int_equal(count_of("start", pid), 2);
    assert_false(process_is_gone(pid)); // it waits for its two
    file_remove(&c, "hold");
    check_exit(&c.nodes[0], 0, 5000, start_ms);
    check_completed(task, 200);
    assert_int_equal(count_of("start", pid), 2);
    assert_int_equal(count_of("end", pid), 2);
    assert_int_equal(count_of("cancel", pid), 0);
    assert_int_equal(file_lines(&c, "log", "start"), 200); // nothing ran twice
}

// A node with free slots, whose call for work waits at the coordinator when it is told to stop, takes nothing
// any more.
static void test_drain_idle(void **state)
{
    (void)state;
    file_touch(&c, "hold");
    cluster_start_node(&c, 0, "4", "30000");
    uint64_t task = cluster_create_gate(&c, "gate", &(struct gate_param){.count = 1}, NULL);
    pid_t pid = c.nodes[0].pid;
    WAIT_FOR(count_of("start", pid) == 1, PATIENCE_MS);
    kill(pid, SIGTERM);
    for (int64_t until_ms = cluster_now_ms() + 100;
         cluster_now_ms() < until_ms;) // the signal has arrived by then
        cluster_pause();
    uint64_t more = cluster_create_gate(&c, "gate", &(struct gate_param){.count = 50}, NULL);
    cluster_start_node(&c, 1, "2", "1000");
    WAIT_FOR(count_of("start", c.nodes[1].pid) == 2, PATIENCE_MS);
    file_remove(&c, "hold");
    check_completed(task, 1);
    check_completed(more, 50);
    assert_int_equal(count_of("start", pid), 1);
    check_exit(&c.nodes[0], 0, 5000, cluster_now_ms());
}

// The grace period is over: what still runs is cancelled and runs again elsewhere.
static void test_grace_over(void **state)
{
    (void)state;
    uint64_t task = start_held(20, "600");
    pid_t pid = c.nodes[0].pid;
    int64_t start_ms = cluster_now_ms();
    kill(pid, SIGTERM);
    check_exit(&c.nodes[0], 500, 10000, start_ms);
    assert_int_equal(count_of("cancel", pid), 2);
    assert_int_equal(count_of("end", pid), 0);
    file_remove(&c, "hold");
    cluster_start_node(&c, 1, "2", "1000");
    check_completed(task, 20);
    assert_int_equal(count_of("end", c.nodes[1].pid), 20);
    assert_true(cluster_status(&c, task).redispatched >= 2);
}

static void test_second_signal(void **state)
{
    (void)state;
    uint64_t task = start_held(10, "60000");
    pid_t pid = c.nodes[0].pid;
    int64_t start_ms = cluster_now_ms();
    kill(pid, SIGTERM);
    WAIT_FOR(cluster_status(&c, task).running == 2,
             PATIENCE_MS); // it has handed back the others: the signal was seen
    kill(pid, SIGTERM);
    check_exit(&c.nodes[0], 0, 5000, start_ms);
    assert_int_equal(count_of("cancel", pid), 2);
    file_remove(&c, "hold");
    cluster_start_node(&c, 1, "2", "1000");
    check_completed(task, 10);
}

static size_t node_count(struct dtf_node_info *nodes, size_t *count, struct nrpc_status *st)
{
    *count = 4;
    return dtf_nodes(c.client, nodes, count, st) == NRPC_OK ? *count : 0;
}

static void test_idle_node(void **state)
{
    (void)state;
    struct nrpc_status st;
    struct dtf_node_info nodes[4];
    size_t count = 0;
    cluster_start_node(&c, 0, "2", "60000");
    WAIT_FOR(node_count(nodes, &count, &st) == 1, PATIENCE_MS);
    int64_t start_ms = cluster_now_ms();
    kill(c.nodes[0].pid, SIGTERM);
    check_exit(&c.nodes[0], 0, 3000, start_ms);
    count = 4;
    assert_int_equal(dtf_nodes(c.client, nodes, &count, &st), NRPC_OK);
    assert_int_equal(count, 0); // it has said goodbye
}

// ---- the coordinator

static void test_coordinator_stop(void **state)
{
    (void)state;
    cluster_start_node(&c, 0, "2", "5000");
    cluster_start_node(&c, 1, "2", "5000");
    uint64_t task = cluster_create_gate(&c, "gate", &(struct gate_param){.count = 400, .run_ms = 5}, NULL);
    for (size_t stop = 1; stop <= 3; stop++) {
        WAIT_FOR(file_lines(&c, "log", "end") >= 80 * stop, PATIENCE_MS);
        int64_t start_ms = cluster_now_ms();
        kill(c.coordinator.pid, SIGTERM);
        check_exit(&c.coordinator, 0, 10000, start_ms);
        cluster_start_coordinator(&c);
    }
    check_completed(task, 400);
}

// A node that is killed is missed when its lease ends (a second here).
static void test_node_lost(void **state)
{
    (void)state;
    uint64_t task = start_held(50, "5000");
    pid_t pid = c.nodes[0].pid;
    cluster_start_node(&c, 1, "2", "5000");
    uint64_t held = 0;
    WAIT_FOR((held = cluster_status(&c, task).running) >= 4, PATIENCE_MS);
    daemon_kill(&c.nodes[0], SIGKILL);
    WAIT_FOR(cluster_status(&c, task).redispatched >= 2, 5000);
    file_remove(&c, "hold");
    check_completed(task, 50);
    assert_in_range(cluster_status(&c, task).redispatched, 2, held);
    assert_int_equal(count_of("end", pid), 0);
    assert_int_equal(count_of("end", c.nodes[1].pid), 50);
}

// A node without a coordinator can be stopped, too.
static void test_node_alone(void **state)
{
    (void)state;
    uint64_t task = start_held(10, "600");
    daemon_kill(&c.coordinator, SIGKILL);
    int64_t start_ms = cluster_now_ms();
    kill(c.nodes[0].pid, SIGTERM);
    check_exit(&c.nodes[0], 0, 15000, start_ms);
    file_remove(&c, "hold");
    cluster_start_coordinator(&c);
    cluster_start_node(&c, 1, "2", "1000");
    check_completed(task, 10);
}

// ---- systemctl stop, with a unit that signals every process at the same time (KillMode=control-group)

enum { COMMANDS = 2 };

static size_t read_pids(const char *name, pid_t *pids)
{
    char path[400];
    size_t n = 0;
    file_path(&c, name, path, sizeof path);
    FILE *f = fopen(path, "r");
    while (f && n < COMMANDS && fscanf(f, "%d", &pids[n]) == 1)
        n++;
    if (f)
        fclose(f);
    return n;
}

// Commands that end well on the second node only. The first is told to stop with all that it runs.
static void check_stop_of_all(int signal_number, bool daemon_first, int64_t pause_ms)
{
    char script[1200];
    pid_t pids[COMMANDS] = {0};
    snprintf(script, sizeof script,
             "cd '%s'; test -e second && exit 0; echo $$ >>pids; while :; do sleep 0.02; done", c.folder);
    file_remove(&c, "second");
    cluster_start_node(&c, 0, "2", "10000");
    uint64_t task = cluster_create_commands(&c, NULL, script, COMMANDS, 0);
    WAIT_FOR(read_pids("pids", pids) == COMMANDS, PATIENCE_MS);
    file_touch(&c, "second");
    if (daemon_first)
        kill(c.nodes[0].pid, SIGTERM);
    for (int64_t until_ms = cluster_now_ms() + pause_ms; daemon_first && cluster_now_ms() < until_ms;)
        cluster_pause();
    for (size_t i = 0; i < COMMANDS; i++)
        kill(pids[i], signal_number);
    for (int64_t until_ms = cluster_now_ms() + pause_ms; !daemon_first && cluster_now_ms() < until_ms;)
        cluster_pause();
    if (!daemon_first)
        kill(c.nodes[0].pid, SIGTERM);
    check_exit(&c.nodes[0], 0, 5000, cluster_now_ms()); // nothing is left to wait for
    cluster_start_node(&c, 1, "2", "10000");
    struct dtf_task_info info = cluster_wait(&c, task);
    assert_int_equal(info.status, DTF_TASK_COMPLETED);
    assert_int_equal(info.succeeded, COMMANDS);
    assert_int_equal(info.failed + info.retried, 0);
    assert_int_equal(info.redispatched, COMMANDS);
}

static void test_all_told_daemon_first(void **state)
{
    (void)state;
    check_stop_of_all(SIGTERM, true, 100);
}

static void test_all_told_commands_first(void **state)
{
    (void)state;
    check_stop_of_all(SIGTERM, false, 100);
}

static void test_all_told_otherwise(void **state)
{
    (void)state;
    check_stop_of_all(SIGINT, false, 0);
}

// Killed without the node being told: that is the subtask's own end.
static void test_killed_alone(void **state)
{
    (void)state;
    cluster_start_node(&c, 0, "2", "10000");
    uint64_t task = cluster_create_commands(&c, NULL, "kill -TERM $$", 1, 0);
    struct dtf_task_info info = cluster_wait(&c, task);
    assert_int_equal(info.status, DTF_TASK_FAILED);
    assert_int_equal(info.failed, 1);
    assert_int_equal(info.redispatched, 0);
}

// Told to stop while it is registering, it leaves all the same.
static void test_stop_at_once(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++) {
        cluster_start_node(&c, 2, "2", "30000");
        daemon_kill(&c.nodes[2], SIGTERM);
    }
    struct dtf_node_info nodes[16];
    struct nrpc_status st;
    size_t count = 16;
    assert_int_equal(dtf_nodes(c.client, nodes, &count, &st), NRPC_OK);
    assert_int_equal(count, 0); // it said goodbye
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(drain),
        TEST(drain_idle),
        TEST(grace_over),
        TEST(second_signal),
        TEST(idle_node),
        TEST(stop_at_once),
        TEST(coordinator_stop),
        TEST(node_lost),
        TEST(node_alone),
        TEST(all_told_daemon_first),
        TEST(all_told_commands_first),
        TEST(all_told_otherwise),
        TEST(killed_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
