// SPDX-License-Identifier: Apache-2.0
// map_test.c: what a shell's user expects of dtf and of the commands it runs, in its own process or on a
// cluster: when signals come, when the server is away, and of what its exit status says.
#include "system/cluster.h"
#include "system/marked.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { GONE_MS = 5000, JOBS = 3, SUSPENDED_MS = 7000 };

static char folder[240], mark[MARK_BYTES];
static struct cluster c; // of the tests that have one

static int setup(void **state)
{
    (void)state;
    mark_make(mark);
    daemon_folder(folder, sizeof folder);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    daemon_remove(folder);
    return 0;
}

static int setup_cluster(void **state)
{
    setup(state);
    cluster_start(&c);
    cluster_start_node(&c, 0, "8", "1000");
    return 0;
}

static int teardown_cluster(void **state)
{
    cluster_stop(&c);
    return teardown(state);
}

// A shell script in the folder, with $dtf and, of the cluster, $server; what $dtf starts has the mark.
static pid_t start(const char *script)
{
    char dtf[4200];
    daemon_path(dtf, sizeof dtf, "dtf");
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid)
        return pid;
    setpgid(0, 0);
    if (chdir(folder) || setenv("dtf", dtf, 1) || setenv("mark", mark, 1) || setenv("server", c.listen, 1))
        _exit(126);
    execl("/bin/sh", "sh", "-c", script, (char *)NULL);
    _exit(127);
}

static int end_of(pid_t pid)
{
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

#define ITEMS "<<X\n1\n2\n3\nX\n"
#define MAP "exec $dtf map -j 3 env " MARK_NAME "=$mark sh -c "

static pid_t start_long(void)
{
    pid_t map = start(MAP "'setsid sleep 1000 & (setsid sleep 1000 &); sleep 1000' " ITEMS);
    WAIT_FOR(marked_count(mark) >= (size_t)JOBS * 3, PATIENCE_MS);
    return map;
}

static void test_killed(void **state)
{
    (void)state;
    pid_t map = start_long();
    assert_int_equal(kill(map, SIGKILL), 0);
    assert_int_equal(end_of(map), 128 + SIGKILL);
    WAIT_FOR(marked_count(mark) == 0, GONE_MS);
}

// As a terminal's Ctrl-\ does, to the process and to its group.
static void test_quit(void **state)
{
    (void)state;
    pid_t map = start_long();
    assert_int_equal(kill(-map, SIGQUIT), 0);
    assert_int_equal(end_of(map), 128 + SIGQUIT);
    WAIT_FOR(marked_count(mark) == 0, GONE_MS);
}

static void test_interrupted(void **state)
{
    (void)state;
    pid_t map = start_long();
    assert_int_equal(kill(-map, SIGINT), 0);
    assert_int_equal(end_of(map), 128 + SIGINT);
    assert_int_equal(marked_count(mark), 0);
}

static size_t size_of(const char *name)
{
    char path[400];
    struct stat s;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return stat(path, &s) ? 0 : (size_t)s.st_size;
}

// As a terminal's Ctrl-Z does: the commands stand still, for longer than a node that says nothing is waited
// for; then they go on, and none runs twice.
static void test_suspended(void **state)
{
    (void)state;
    pid_t map = start(MAP "'echo >>begun; while ! test -e go; do sleep 0.01; done; echo >>ended' " ITEMS);
    WAIT_FOR(size_of("begun") == JOBS, PATIENCE_MS);
    assert_int_equal(kill(-map, SIGTSTP), 0);
    int status;
    assert_int_equal(waitpid(map, &status, WUNTRACED), map);
    assert_true(WIFSTOPPED(status));
    WAIT_FOR(marked_stopped(mark) >= JOBS, GONE_MS);
    int64_t until_ms = cluster_now_ms() + SUSPENDED_MS; // it is the time itself that must do nothing
    while (cluster_now_ms() < until_ms)
        cluster_pause();
    assert_int_equal(marked_stopped(mark), marked_count(mark));
    assert_int_equal(kill(-map, SIGCONT), 0);
    WAIT_FOR(marked_stopped(mark) == 0, GONE_MS);
    pid_t go = start("touch go");
    assert_int_equal(end_of(go), 0);
    assert_int_equal(end_of(map), 0);
    assert_int_equal(size_of("begun"), JOBS);
    assert_int_equal(size_of("ended"), JOBS);
}

// ---- on a cluster

static int run(const char *script)
{
    return end_of(start(script));
}

static bool says(const char *name, const char *text)
{
    char path[400], line[1000];
    bool found = false;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f))
        found |= strstr(line, text) != NULL;
    if (f)
        fclose(f);
    return found;
}

#define ON_CLUSTER "exec $dtf --server $server map "

// Killed, its task ends with its lease; unless it may stay.
static void test_killed_on_cluster(void **state)
{
    (void)state;
    pid_t detached = start("exec $dtf --server $server map --detach sleep <<X\n1000\nX\n");
    struct dtf_task_info info;
    struct nrpc_status st;
    WAIT_FOR(dtf_task_status(c.client, 1, &info, &st) == NRPC_OK && info.running == 1, PATIENCE_MS);
    pid_t map = start(ON_CLUSTER "env " MARK_NAME "=$mark sleep <<X\n1000\n1000\nX\n");
    WAIT_FOR(marked_count(mark) == 2, PATIENCE_MS);
    for (size_t i = 0; i < 2; i++) {
        pid_t pid = i ? map : detached;
        assert_int_equal(kill(pid, SIGKILL), 0);
        assert_int_equal(end_of(pid), 128 + SIGKILL);
    }
    info = cluster_wait(&c, 2);
    assert_int_equal(info.status, DTF_TASK_CANCELLED);
    assert_string_equal(info.message, "its feeder has not been heard of for 30 s");
    WAIT_FOR(marked_count(mark) == 0, GONE_MS);
    assert_int_equal(cluster_status(&c, 1).status, DTF_TASK_RUNNING);
}

// Interrupted while the server is away: the task is cancelled when it is back.
static void test_interrupted_in_an_outage(void **state)
{
    (void)state;
    pid_t map = start(ON_CLUSTER "env " MARK_NAME "=$mark sleep 2>err <<X\n1000\n1000\nX\n");
    WAIT_FOR(marked_count(mark) == 2, PATIENCE_MS);
    daemon_kill(&c.coordinator, SIGKILL);
    assert_int_equal(kill(map, SIGINT), 0);
    WAIT_FOR(says("err", "when its server can be reached"), PATIENCE_MS);
    cluster_start_coordinator(&c);
    assert_int_equal(end_of(map), 128 + SIGINT);
    assert_true(says("err", "2 items were not done"));
    assert_int_equal(cluster_wait(&c, 1).status, DTF_TASK_CANCELLED);
    WAIT_FOR(marked_count(mark) == 0, GONE_MS);
}

// Interrupted once more, it does not wait for the server.
static void test_interrupted_twice(void **state)
{
    (void)state;
    pid_t map = start(ON_CLUSTER "env " MARK_NAME "=$mark sleep 2>err <<X\n1000\n1000\nX\n");
    WAIT_FOR(marked_count(mark) == 2, PATIENCE_MS);
    daemon_kill(&c.coordinator, SIGKILL);
    assert_int_equal(kill(map, SIGINT), 0);
    WAIT_FOR(says("err", "when its server can be reached"), PATIENCE_MS);
    int64_t until_ms = cluster_now_ms() + 400; // the same signal twice within 300 ms counts once
    while (cluster_now_ms() < until_ms)
        cluster_pause();
    assert_int_equal(kill(map, SIGTERM), 0);
    assert_int_equal(end_of(map), 128 + SIGTERM);
    assert_true(says("err", "may go on (dtf cancel 1 ends it)"));
    cluster_start_coordinator(&c);
}

// What is begun while the server is away is done when it is there; what is not to wait says why it failed.
static void test_patience(void **state)
{
    (void)state;
    daemon_kill(&c.coordinator, SIGKILL);
    pid_t submit = start("exec $dtf --server $server submit --wait -q -- true >out 2>err");
    pid_t map = start("seq 5 | $dtf --server $server map -k echo >map.out 2>map.err");
    assert_int_equal(run("$dtf --server $server list --patience 0 2>list.err"), 3);
    assert_true(says("list.err", "could not be reached"));
    assert_int_equal(run("$dtf --server $server wait 1 --patience 100ms 2>wait.err"), 3);
    WAIT_FOR(says("map.err", "trying for 1 m 00 s"), PATIENCE_MS);
    int64_t start_ms = cluster_now_ms();
    assert_int_equal(run("$dtf --server $server --patience 1s wait 1 2>wait.err"), 3);
    assert_in_range(cluster_now_ms() - start_ms, 1000, 15000);
    cluster_start_coordinator(&c);
    assert_int_equal(end_of(submit), 0);
    assert_int_equal(end_of(map), 0);
    assert_int_equal(run("seq 5 | cmp - map.out"), 0);
    assert_int_equal(run("$dtf --server $server list -q | wc -l | grep -qx 2"), 0); // none was made twice
}

// Who waits learns that the server has gone, and not that the task has failed; or waits on.
static void test_waiting_in_an_outage(void **state)
{
    (void)state;
    assert_int_equal(run("$dtf --server $server submit -- sh -c 'exec env " MARK_NAME "=$0 sleep 4' $mark"),
                     0);
    WAIT_FOR(marked_count(mark) == 1, PATIENCE_MS);
    pid_t impatient = start("exec $dtf --server $server wait 1 --patience 500ms 2>impatient.err");
    pid_t patient = start("exec $dtf --server $server wait 1 -q");
    int64_t until_ms = cluster_now_ms() + 500; // they are waiting
    while (cluster_now_ms() < until_ms)
        cluster_pause();
    daemon_kill(&c.coordinator, SIGKILL);
    assert_int_equal(end_of(impatient), 3);
    assert_true(says("impatient.err", "could not be reached"));
    cluster_start_coordinator(&c);
    assert_int_equal(end_of(patient), 0);
}

static void test_exit_codes(void **state)
{
    (void)state;
    assert_int_equal(run("$dtf --server $server submit -- sleep 1000"), 0);
    assert_int_equal(run("$dtf --server $server wait 1 --timeout 100ms 2>err"), 4);
    assert_true(says("err", "task 1 is still running"));
    assert_int_equal(run("$dtf --server $server cancel 1 && $dtf --server $server wait 1"), 1);
    assert_int_equal(run("$dtf --server $server wait 99"), 1);
    assert_int_equal(run("$dtf wait --nonsense"), 2);
    assert_int_equal(run("$dtf help exit-codes >out"), 0);
    assert_true(says("out", "--patience"));
}

// What a command has written until it was cancelled is kept; what was read is not there a second time.
static void test_results(void **state)
{
    (void)state;
    assert_int_equal(
        run("$dtf --server $server submit -- sh -c 'echo begun; exec env " MARK_NAME "=$0 sleep 1000' $mark"),
        0);
    WAIT_FOR(marked_count(mark) == 1, PATIENCE_MS);
    assert_int_equal(run("$dtf --server $server cancel 1; $dtf --server $server wait 1"), 1);
    assert_int_equal(run("$dtf --server $server results 1 --output json >out"), 0);
    assert_true(says("out", "\"result\":\"cancelled\""));
    assert_true(says("out", "\"stdout\":\"begun\\n\""));
    assert_int_equal(run("$dtf --server $server results 1 2>err"), 1);
    assert_true(says("err", "are no longer kept"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
#define CLUSTER_TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup_cluster, teardown_cluster)
    const struct CMUnitTest tests[] = {
        TEST(killed),
        TEST(quit),
        TEST(interrupted),
        TEST(suspended),
        CLUSTER_TEST(killed_on_cluster),
        CLUSTER_TEST(interrupted_in_an_outage),
        CLUSTER_TEST(interrupted_twice),
        CLUSTER_TEST(patience),
        CLUSTER_TEST(waiting_in_an_outage),
        CLUSTER_TEST(exit_codes),
        CLUSTER_TEST(results),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
