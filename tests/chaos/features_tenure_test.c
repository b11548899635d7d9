// SPDX-License-Identifier: Apache-2.0
// features_tenure_test.c: two Redis servers that are named with one MySQL database: one of them runs the
// tasks.
#include "base/clock.h"
#include "servers/servers.h"
#include "system/cluster.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

enum { SUBTASKS = 60, RUN_MS = 150, SOON_MS = 15000 };

static struct server *redis[2], *mariadb;
static const char *stores[2][5] = {{"--redis", NULL, "--mysql", NULL, NULL},
                                   {"--redis", NULL, "--mysql", NULL, NULL}};
static struct cluster a, b;

static int setup(void **state)
{
    (void)state;
    mariadb = server_mariadb(NULL);
    for (int i = 0; i < 2; i++) {
        redis[i] = server_redis(&(struct server_redis_options){.aof = true});
        stores[i][1] = server_url(redis[i]);
        stores[i][3] = server_url(mariadb);
    }
    cluster_start_with(&a, stores[0]);
    cluster_start_node(&a, 0, "2", "1000");
    b = (struct cluster){.options = stores[1], .listen = "tcp://127.0.0.1:0"};
    strcpy(b.ledger, a.ledger);
    strcpy(b.gate, a.gate);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    if (b.coordinator.pid)
        daemon_kill(&b.coordinator, SIGKILL);
    daemon_kill(&b.nodes[0], SIGKILL);
    cluster_stop(&a);
    for (int i = 0; i < 2; i++)
        server_destroy(redis[i]);
    server_destroy(mariadb);
    return 0;
}

static uint64_t create(void)
{
    return cluster_create_gate(&a, "gate", &(struct gate_param){.count = SUBTASKS, .run_ms = RUN_MS}, NULL);
}

static size_t starts(void)
{
    return file_lines(&a, "log", "start ");
}

// What a coordinator of the second Redis says, and how it ends.
static int try_second(char *text, size_t size)
{
    char path[4300], command[6000];
    daemon_path(path, sizeof path, "dtfd");
    snprintf(command, sizeof command,
             "timeout 20 %s --role coordinator --listen tcp://127.0.0.1:0 --redis %s --mysql %s 2>&1", path,
             server_url(redis[1]), server_url(mariadb));
    FILE *f = popen(command, "r");
    assert_non_null(f);
    size_t n = fread(text, 1, size - 1, f);
    text[n] = 0;
    return pclose(f);
}

static void expect_all_once(uint64_t task, size_t before)
{
    struct dtf_task_info t = cluster_wait(&a, task);
    assert_int_equal(t.status, DTF_TASK_COMPLETED);
    assert_int_equal(t.succeeded, SUBTASKS);
    assert_int_equal(starts() - before, SUBTASKS);
}

static void another_redis_is_refused(void **state)
{
    (void)state;
    char text[2000], where[120];
    size_t before = starts();
    uint64_t task = create();
    WAIT_FOR(starts() > before, SOON_MS);
    int status = try_second(text, sizeof text);
    print_message("%s", text);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
    snprintf(where, sizeof where, "the tasks of this database are run with %s (process %d on",
             server_url(redis[0]), (int)a.coordinator.pid);
    assert_non_null(strstr(text, where));
    assert_int_equal(cluster_health(&a, "dtf.state"), HEALTH_SERVING);
    expect_all_once(task, before);
}

// It is the same state for those who use it.
static void a_redis_that_begins_anew_is_no_other(void **state)
{
    (void)state;
    char answer[100];
    uint64_t task = create();
    for (int i = 0; i < 3; i++) {
        size_t n = starts();
        WAIT_FOR(starts() > n, SOON_MS);
        if (i == 1) {
            server_ask(redis[0], "FLUSHALL", answer, sizeof answer);
        } else {
            server_kill(redis[0]);
            server_start(redis[0]);
        }
        WAIT_FOR(cluster_health(&a, "dtf.state") == HEALTH_SERVING, SOON_MS);
    }
    assert_int_equal(cluster_wait(&a, task).succeeded, SUBTASKS);
    cluster_restart(&a, SIGKILL); // with nobody there who had used it before
    cluster_restart(&a, SIGTERM);
}

// A coordinator that was not heard of for a while finds others at work: its Redis is not used until they are
// gone, and then begins anew.
static void who_was_away_waits(void **state)
{
    (void)state;
    size_t before = starts();
    uint64_t task = create();
    WAIT_FOR(starts() > before + 2, SOON_MS);
    kill(a.coordinator.pid, SIGSTOP);
    cluster_start_coordinator(&b);
    kill(a.coordinator.pid, SIGCONT);
    WAIT_FOR(cluster_health(&a, "dtf.state") == HEALTH_NOT_SERVING, SOON_MS);
    assert_int_equal(cluster_health(&b, "dtf.state"), HEALTH_SERVING);
    size_t then = starts();
    cluster_start_node(&b, 0, "2", "1000");
    WAIT_FOR(starts() > then + 10, SOON_MS); // all of it on this side
    assert_int_equal(cluster_health(&a, "dtf.state"), HEALTH_NOT_SERVING);
    daemon_kill(&b.coordinator, SIGKILL);
    daemon_kill(&b.nodes[0], SIGKILL);
    WAIT_FOR(cluster_health(&a, "dtf.state") == HEALTH_SERVING, SOON_MS);
    struct dtf_task_info t = cluster_wait(&a, task);
    assert_int_equal(t.status, DTF_TASK_COMPLETED);
    assert_int_equal(t.succeeded, SUBTASKS);
    before = starts();
    expect_all_once(create(), before);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(another_redis_is_refused),
        cmocka_unit_test(a_redis_that_begins_anew_is_no_other),
        cmocka_unit_test(who_was_away_waits),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
