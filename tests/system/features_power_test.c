// SPDX-License-Identifier: Apache-2.0
// features_power_test.c: an embedded store goes back in time, as after a power failure or when an old copy is
// put in its place, while nodes on other machines live on: what they have of the lost future is not taken for
// what comes again under the same numbers.
#include "system/cluster.h"

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

static struct cluster c;

static int setup(void **state)
{
    (void)state;
    cluster_start(&c);
    cluster_start_node(&c, 0, "2", "5000");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cluster_stop(&c);
    return 0;
}

static void copy(const char *from, const char *to)
{
    int status = 0;
    pid_t pid = fork();
    if (pid == 0) {
        execlp("cp", "cp", "-aT", from, to, (char *)NULL);
        _exit(127);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

// As it is at this moment: the process stands still meanwhile.
static void save(char *saved, size_t size)
{
    file_path(&c, "saved", saved, size);
    kill(c.coordinator.pid, SIGSTOP);
    copy(c.data, saved);
    kill(c.coordinator.pid, SIGCONT);
}

static void go_back(const char *saved)
{
    daemon_kill(&c.coordinator, SIGKILL);
    daemon_remove(c.data);
    copy(saved, c.data);
    cluster_start_coordinator(&c);
}

static size_t count_nodes(void)
{
    struct dtf_node_info nodes[8];
    struct nrpc_status st;
    size_t count = 8;
    return dtf_nodes(c.client, nodes, &count, &st) ? 0 : count;
}

static void test_task_goes_on(void **state)
{
    (void)state;
    char saved[4300];
    uint64_t task = cluster_create_gate(&c, "gate", &(struct gate_param){.count = 300, .run_ms = 10}, NULL);
    WAIT_FOR(file_lines(&c, "log", "start") >= 20, PATIENCE_MS);
    save(saved, sizeof saved);
    WAIT_FOR(file_lines(&c, "log", "start") >= 150, PATIENCE_MS);
    go_back(saved);
    struct dtf_task_info info = cluster_wait(&c, task);
    assert_int_equal(info.status, DTF_TASK_COMPLETED);
    assert_int_equal(info.succeeded, 300);
    assert_int_equal(info.generated, 300);
    for (unsigned i = 1; i <= 300; i++) {
        char start[40];
        snprintf(start, sizeof start, "start %u ", i);
        assert_true(file_lines(&c, "log", start) >= 1);
    }
    WAIT_FOR(count_nodes() == 1, PATIENCE_MS);
}

// The copy is older than the task, whose number another one gets: the node holds subtask 1 of the first when
// it is given subtask 1 of the second.
static void test_numbers_come_again(void **state)
{
    (void)state;
    char saved[4300];
    struct nrpc_status st;
    struct dtf_task_info info;
    save(saved, sizeof saved);
    file_touch(&c, "hold");
    uint64_t lost =
        cluster_create_gate(&c, "gate", &(struct gate_param){.count = 2, .timeout_ms = 60000}, NULL);
    WAIT_FOR(file_lines(&c, "log", "start") == 2, PATIENCE_MS);
    go_back(saved);
    uint64_t task =
        cluster_create_gate(&c, "gate", &(struct gate_param){.count = 2, .timeout_ms = 60000}, NULL);
    assert_int_equal(task, lost);
    WAIT_FOR(file_lines(&c, "log", "cancel") == 2, PATIENCE_MS); // the node has let go of what was lost
    WAIT_FOR(file_lines(&c, "log", "start") == 4, PATIENCE_MS);
    assert_int_equal(dtf_task_status(c.client, task, &info, &st), NRPC_OK);
    assert_int_equal(info.succeeded, 0);
    file_remove(&c, "hold");
    info = cluster_wait(&c, task);
    assert_int_equal(info.status, DTF_TASK_COMPLETED);
    assert_int_equal(info.succeeded, 2);
    assert_int_equal(info.redispatched, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_task_goes_on, setup, teardown),
        cmocka_unit_test_setup_teardown(test_numbers_come_again, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
