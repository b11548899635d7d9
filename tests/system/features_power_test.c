// SPDX-License-Identifier: Apache-2.0
// features_power_test.c: an embedded store goes back in time, as after a power failure or when an old copy is
// put in its place, while nodes on other machines live on: what they have of the lost future is not taken for
// what comes again under the same numbers. And what was acknowledged before a power failure holds after it.
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

// ---- what was acknowledged

// A sanitizer's own library must be the first that is loaded.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SKIP_WITH_SANITIZERS() skip()
#define SHIM NULL
#else
#define SKIP_WITH_SANITIZERS() (void)0
#define SHIM "power_shim.so"
#endif

static int setup_kept(void **state)
{
    (void)state;
    const char *name = SHIM;
    char shim[4300];
    daemon_path(shim, sizeof shim, name ? name : "");
    if (name)
        setenv("LD_PRELOAD", shim, 1);
    cluster_start(&c);
    return 0;
}

static int teardown_kept(void **state)
{
    unsetenv("LD_PRELOAD");
    return teardown(state);
}

// The power fails: of the files there is what an fsync has waited for.
static void cut_power(void)
{
    static const char *const files[] = {"dtf.db", "dtf.db-wal", "dtf.db-shm"};
    daemon_kill(&c.coordinator, SIGKILL);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char path[400], kept[420];
        snprintf(path, sizeof path, "%s/%s", c.data, files[i]);
        snprintf(kept, sizeof kept, "%s.kept", path);
        unlink(path);
        if (access(kept, F_OK) == 0)
            copy(kept, path);
    }
    cluster_start_coordinator(&c);
}

static void feed(uint64_t task, uint64_t at, size_t count, bool finish)
{
    struct dtf_subtask_spec specs[100] = {0};
    struct gate_subtask param = {.param = {.quiet = 1}};
    struct nrpc_status st;
    for (size_t i = 0; i < count; i++)
        specs[i] = (struct dtf_subtask_spec){.param = &param, .param_bytes = sizeof param};
    if (dtf_task_feed(c.client, task, at, specs, count, finish, &st))
        fail_msg("%s", st.text);
}

static void test_fed(void **state)
{
    (void)state;
    SKIP_WITH_SANITIZERS();
    struct dtf_task_param p = {.type = "gate", .fed = true};
    uint64_t task = cluster_create(&c, &p);
    for (unsigned i = 1; i <= 5; i++) {
        feed(task, (i - 1) * 20, 20, false);
        cut_power();
        assert_int_equal(cluster_status(&c, task).generated, i * 20);
    }
    feed(task, 80, 20, false); // again, as a client does that got no answer
    feed(task, 100, 0, true);
    cut_power();
    cluster_start_node(&c, 0, "4", "5000");
    struct dtf_task_info info = cluster_wait(&c, task);
    assert_int_equal(info.status, DTF_TASK_COMPLETED);
    assert_int_equal(info.succeeded, 100);
}

static void test_intents(void **state)
{
    (void)state;
    SKIP_WITH_SANITIZERS();
    struct nrpc_status st;
    struct gate_param g = {.count = 10, .quiet = 1};
    uint64_t cancelled = cluster_create_gate(&c, "gate", &g, NULL),
             paused = cluster_create_gate(&c, "gate", &g, NULL);
    assert_int_equal(dtf_task_cancel(c.client, cancelled, "enough", &st), NRPC_OK);
    cut_power();
    struct dtf_task_info info = cluster_wait(&c, cancelled);
    assert_int_equal(info.status, DTF_TASK_CANCELLED);
    assert_string_equal(info.message, "enough");
    assert_int_equal(dtf_task_pause(c.client, paused, &st), NRPC_OK);
    cut_power();
    assert_int_equal(cluster_status(&c, paused).status, DTF_TASK_PAUSED);
    cluster_start_node(&c, 0, "4", "5000");
    uint64_t other = cluster_create_gate(&c, "gate", &g, NULL);
    assert_int_equal(cluster_wait(&c, other).status, DTF_TASK_COMPLETED);
    assert_int_equal(cluster_status(&c, paused).succeeded, 0); // the state has heard of the pause, too
    assert_int_equal(dtf_task_resume(c.client, paused, &st), NRPC_OK);
    cut_power();
    info = cluster_wait(&c, paused);
    assert_int_equal(info.status, DTF_TASK_COMPLETED);
    assert_int_equal(info.succeeded, 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_task_goes_on, setup, teardown),
        cmocka_unit_test_setup_teardown(test_numbers_come_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fed, setup_kept, teardown_kept),
        cmocka_unit_test_setup_teardown(test_intents, setup_kept, teardown_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
