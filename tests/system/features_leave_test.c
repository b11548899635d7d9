// SPDX-License-Identifier: Apache-2.0
// features_leave_test.c: nothing of a command stays: neither when it has ended, nor when the process that had
// it run was killed, whichever of the processes that is.
#include "system/cluster.h"
#include "system/marked.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

// A command with whatever is hard to get hold of: a child in a session of its own, a daemon whose parents are
// gone, one that has stopped, one that ignores what it can. They are these and the command's own two.
#define RUNAWAYS                                                                                             \
    "setsid sleep 1000 >/dev/null 2>&1 & (setsid sh -c 'sleep 1000 & sleep 1000' >/dev/null 2>&1 &); "       \
    "sh -c 'kill -STOP $$; sleep 1000' & sh -c 'trap \"\" TERM HUP INT; sleep 1000; sleep 1000' & "
enum { RUNAWAY_COUNT = 7, SLOTS = 2, GONE_MS = 5000 };

static struct cluster c;
static struct nrpc_status st;
static char mark[MARK_BYTES];

static int setup(void **state)
{
    (void)state;
    mark_make(mark);
    cluster_start(&c);
    cluster_start_node(&c, 0, "2", "1000");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cluster_stop(&c);
    return 0;
}

// The script runs, and all that it starts, with the mark in the environment.
static uint64_t create(const char *script, size_t count)
{
    static char marked[2000];
    snprintf(marked, sizeof marked, "export %s=%s; exec sh -c '", MARK_NAME, mark);
    size_t at = strlen(marked);
    for (const char *s = script; *s && at < sizeof marked - 6; s++)
        if (*s == '\'')
            at += (size_t)sprintf(marked + at, "'\\''");
        else
            marked[at++] = *s;
    strcpy(marked + at, "'");
    const struct dtf_task_param p = {.keep_results = true};
    return cluster_create_commands(&c, &p, marked, count, 0);
}

static void start_runaways(void)
{
    (void)create(RUNAWAYS "sleep 1000; true", SLOTS);
    WAIT_FOR(marked_count(mark) >= (size_t)SLOTS * RUNAWAY_COUNT, PATIENCE_MS);
}

static void test_killed_node(void **state)
{
    (void)state;
    start_runaways();
    daemon_kill(&c.nodes[0], SIGKILL);
    WAIT_FOR(marked_count(mark) == 0, GONE_MS);
}

// Its helpers are stopped when the node is killed.
static void test_killed_node_with_stopped_helpers(void **state)
{
    (void)state;
    static const char *const names[] = {"dtf-reaper", "dtf-keeper"};
    pid_t pids[SLOTS + 1];
    start_runaways();
    for (size_t i = 0; i < 2; i++)
        for (size_t n = marked_below(c.nodes[0].pid, names[i], pids, SLOTS); n--;)
            assert_int_equal(kill(pids[n], SIGSTOP), 0);
    daemon_kill(&c.nodes[0], SIGKILL);
    WAIT_FOR(marked_count(mark) == 0, GONE_MS);
}

static void test_cancelled(void **state)
{
    (void)state;
    uint64_t task = create(RUNAWAYS "sleep 1000; true", SLOTS);
    WAIT_FOR(marked_count(mark) >= (size_t)SLOTS * RUNAWAY_COUNT, PATIENCE_MS);
    assert_int_equal(dtf_task_cancel(c.client, task, "", &st), NRPC_OK);
    assert_int_equal(cluster_wait(&c, task).status, DTF_TASK_CANCELLED);
    assert_int_equal(marked_count(mark), 0);
}

struct told {
    size_t count;
    char message[200];
};

static void take(void *user, const struct dtf_task_result *t)
{
    struct told *told = user;
    told->count++;
    snprintf(told->message, sizeof told->message, "%s", t->result.message ? t->result.message : "");
}

static struct told read_results(uint64_t task)
{
    struct told told = {0};
    uint64_t cursor = 0;
    for (bool end = false; !end;)
        assert_int_equal(
            dtf_task_results(c.client, task, &cursor, PATIENCE_MS, false, take, &told, &end, &st), NRPC_OK);
    return told;
}

// The command succeeds, and is over, though it left much behind; that has a second.
static void test_ended(void **state)
{
    (void)state;
    uint64_t task = create(RUNAWAYS "true", 1);
    struct dtf_task_info info = cluster_wait(&c, task);
    assert_int_equal(info.status, DTF_TASK_COMPLETED);
    assert_int_equal(marked_count(mark), 0);
    struct told told = read_results(task);
    assert_int_equal(told.count, 1);
    assert_non_null(strstr(told.message, "was killed 1 s later"));
}

// A daemon with no hold on the output is killed, too, and there is nothing to be said about that.
static void test_ended_with_a_daemon(void **state)
{
    (void)state;
    uint64_t task = create("setsid sleep 1000 >/dev/null 2>&1 </dev/null & true", 1);
    assert_int_equal(cluster_wait(&c, task).status, DTF_TASK_COMPLETED);
    assert_int_equal(marked_count(mark), 0);
    assert_string_equal(read_results(task).message, "");
}

static bool is_there(const char *file)
{
    char path[40];
    snprintf(path, sizeof path, "/proc/%ld", file_number(&c, file));
    return access(path, F_OK) == 0;
}

static pid_t one_below(const char *name)
{
    pid_t pid = 0;
    WAIT_FOR(marked_below(c.nodes[0].pid, name, &pid, 1) > 0, PATIENCE_MS);
    return pid;
}

#define UNTIL_THERE_IS "while ! test -e go; do sleep 0.01; done; "

// Who runs a command is killed: the command runs again, from its beginning, and has not failed.
static void test_killed_keeper(void **state)
{
    (void)state;
    uint64_t task = create(RUNAWAYS UNTIL_THERE_IS "true", 1);
    WAIT_FOR(marked_count(mark) >= RUNAWAY_COUNT, PATIENCE_MS);
    assert_int_equal(kill(one_below("dtf-keeper"), SIGKILL), 0);
    file_touch(&c, "go");
    struct dtf_task_info info = cluster_wait(&c, task);
    assert_int_equal(info.status, DTF_TASK_COMPLETED);
    assert_int_equal(info.failed + info.retried, 0);
    WAIT_FOR(marked_count(mark) == 0, GONE_MS);
}

// What the program left cannot be killed: here, as who would do it stands still. The slot does not wait for
// it.
static void test_stuck(void **state)
{
    (void)state;
    uint64_t task = create("echo $$ >pid; setsid sleep 1000 >/dev/null 2>&1 </dev/null & sleep 0.1", 1);
    WAIT_FOR(file_number(&c, "pid") && !is_there("pid"), PATIENCE_MS);
    pid_t keeper = one_below("dtf-keeper");
    assert_int_equal(kill(keeper, SIGSTOP), 0);
    assert_int_equal(cluster_wait(&c, task).succeeded, 1);
    assert_string_equal(read_results(task).message, "what it left running cannot be killed");
    assert_int_equal(marked_count(mark), 1);
    assert_int_equal(kill(keeper, SIGCONT), 0);
    WAIT_FOR(marked_count(mark) == 0, GONE_MS);
}

// Who makes keepers is killed: what runs goes on, and others run.
static void test_killed_reaper(void **state)
{
    (void)state;
    uint64_t first = create(UNTIL_THERE_IS "true", 1);
    WAIT_FOR(marked_count(mark) > 0, PATIENCE_MS);
    assert_int_equal(kill(one_below("dtf-reaper"), SIGKILL), 0);
    uint64_t second = create("true", 20);
    assert_int_equal(cluster_wait(&c, second).succeeded, 20);
    file_touch(&c, "go");
    struct dtf_task_info info = cluster_wait(&c, first);
    assert_int_equal(info.status, DTF_TASK_COMPLETED);
    assert_int_equal(info.redispatched, 0);
    (void)create("sleep 1000", SLOTS);
    WAIT_FOR(marked_count(mark) >= SLOTS, PATIENCE_MS);
    daemon_kill(&c.nodes[0], SIGKILL);
    WAIT_FOR(marked_count(mark) == 0, GONE_MS);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(killed_node),   TEST(killed_node_with_stopped_helpers),
        TEST(cancelled),     TEST(ended),
        TEST(killed_keeper), TEST(ended_with_a_daemon),
        TEST(killed_reaper), TEST(stuck),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
