// SPDX-License-Identifier: Apache-2.0
// stores_test.c: dtfd over Redis and MySQL: it waits for them at the start, says which is away, brings the
// tables up to date, and its roles may run in processes of their own.
#include "dtf.h"
#include "nrpc/v1/health.nrpc.h"
#include "servers/servers.h"
#include "system/cluster.h"
#include "system/daemon.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

static struct server *redis, *mariadb;

static int setup(void **state)
{
    (void)state;
    redis = server_redis(&(struct server_redis_options){.aof = true, .password = "p-1"});
    mariadb = server_mariadb(NULL);
    setenv("DTF_REDIS_URL", server_url(redis), 1);
    setenv("DTF_MYSQL_URL", server_url(mariadb), 1);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    server_destroy(redis);
    server_destroy(mariadb);
    return 0;
}

// Runs dtfd to its end; its exit status, and what it printed.
static int run(const char *arguments, char *text, size_t size)
{
    char command[5000];
    snprintf(command, sizeof command, "exec %s/dtfd %s 2>&1", daemon_bin(), arguments);
    FILE *f = popen(command, "re"); // NOLINT(bugprone-command-processor,cert-env33-c): of our own making
    assert_non_null(f);
    text[fread(text, 1, size - 1, f)] = 0;
    int status = pclose(f);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void brings_the_tables_up_to_date(void **state)
{
    (void)state;
    char text[2000];
    for (int i = 0; i < 2; i++) { // the second time there is nothing to do
        assert_int_equal(run("--migrate", text, sizeof text), 0);
        assert_string_equal(text, "the database is up to date\n");
    }
}

static void gives_up_when_a_store_stays_away(void **state)
{
    (void)state;
    char text[4000];
    server_kill(redis);
    assert_int_equal(
        run("--role coordinator --listen tcp://127.0.0.1:0 --start-timeout 1", text, sizeof text), 1);
    assert_non_null(strstr(text, "dtfd: Redis at "));
    assert_null(strstr(text, "p-1")); // the password
    server_start(redis);
    server_kill(mariadb);
    assert_int_equal(run("--migrate --start-timeout 1", text, sizeof text), 1);
    assert_non_null(strstr(text, "cannot connect to the database"));
    assert_null(strstr(text, "secret"));
    server_start(mariadb);
}

struct start {
    struct daemon daemon;
    bool done;
};

static void *start_coordinator(void *arg)
{
    struct start *s = arg;
    const char *args[] = {"--role", "coordinator", "--listen", "tcp://127.0.0.1:0", "--log", "error", NULL};
    s->done = daemon_start(&s->daemon, "dtfd", args);
    return NULL;
}

static void waits_until_the_stores_are_there(void **state)
{
    (void)state;
    struct start s = {0};
    pthread_t thread;
    server_kill(redis);
    server_kill(mariadb);
    assert_int_equal(pthread_create(&thread, NULL, start_coordinator, &s), 0);
    server_start(mariadb);
    server_start(redis);
    pthread_join(thread, NULL);
    assert_true(s.done);
    daemon_kill(&s.daemon, SIGTERM);
}

// What no option names is taken from the environment.
static void one_url_of_each(void **state)
{
    (void)state;
    struct daemon d;
    const char *args[] = {"--role",  "coordinator",     "--listen", "tcp://127.0.0.1:0",
                          "--redis", server_url(redis), "--log",    "error",
                          NULL};
    setenv("DTF_REDIS_URL", "redis://127.0.0.1:1", 1); // the option goes before
    assert_true(daemon_start(&d, "dtfd", args));
    daemon_kill(&d, SIGTERM);
    setenv("DTF_REDIS_URL", server_url(redis), 1);
}

static int health_of(struct nrpc_channel *channel, const char *service)
{
    Nrpc__V1__HealthCheckRequest q = NRPC__V1__HEALTH_CHECK_REQUEST__INIT;
    Nrpc__V1__HealthCheckResponse *r;
    struct nrpc_status st;
    q.service = (char *)service;
    assert_int_equal(nrpc_v1_health_check(channel, NULL, &q, &r, &st), NRPC_OK);
    int status = (int)r->status;
    protobuf_c_message_free_unpacked(&r->base, NULL);
    return status;
}

static void says_which_store_is_away(void **state)
{
    (void)state;
    enum {
        SERVING = NRPC__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING,
        NOT_SERVING = NRPC__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__NOT_SERVING,
    };
    struct start s = {0};
    struct nrpc_status st;
    struct nrpc_channel *channel;
    (void)start_coordinator(&s);
    assert_true(s.done);
    assert_int_equal(nrpc_channel_open(s.daemon.url, NULL, &channel, &st), NRPC_OK);
    server_pause(redis); // it takes connections and answers nothing
    WAIT_FOR(health_of(channel, "dtf.state") == NOT_SERVING, PATIENCE_MS);
    assert_int_equal(health_of(channel, "dtf.records"), SERVING);
    assert_int_equal(health_of(channel, ""), SERVING);
    server_kill(mariadb);
    WAIT_FOR(health_of(channel, "dtf.records") == NOT_SERVING, PATIENCE_MS);
    server_resume(redis);
    server_start(mariadb);
    WAIT_FOR(health_of(channel, "dtf.state") == SERVING, PATIENCE_MS);
    WAIT_FOR(health_of(channel, "dtf.records") == SERVING, PATIENCE_MS);
    nrpc_channel_close(channel);
    daemon_kill(&s.daemon, SIGTERM);
}

static void roles_run_in_processes_of_their_own(void **state)
{
    (void)state;
    struct cluster c = {0}; // the manager is its coordinator
    struct daemon generator, scheduler;
    struct nrpc_status st;
    const char *const listen = "tcp://127.0.0.1:0";
    const char *manager_args[] = {"--role", "manager", "--listen", listen, "--log", "error", NULL};
    const char *generator_args[] = {"--role", "generator", "--listen", listen, "--log", "error", NULL};
    const char *scheduler_args[] = {"--role", "scheduler,collector", "--listen", listen, "--log", "error",
                                    NULL};
    daemon_folder(c.folder, sizeof c.folder);
    assert_true(daemon_start(&c.coordinator, "dtfd", manager_args));
    assert_true(daemon_start(&generator, "dtfd", generator_args));
    assert_true(daemon_start(&scheduler, "dtfd", scheduler_args));
    const char *node_args[] = {"--role", "executor", "--join", scheduler.url, "--log", "error", NULL};
    assert_true(daemon_start(&c.nodes[0], "dtfd", node_args));
    assert_int_equal(dtf_client_open(c.coordinator.url, &c.client, &st), NRPC_OK);
    uint64_t task = cluster_create_commands(&c, NULL, "true", 20, 0);
    struct dtf_task_info info = cluster_wait(&c, task);
    assert_int_equal(info.status, DTF_TASK_COMPLETED);
    assert_int_equal(info.succeeded, 20);
    daemon_kill(&generator, SIGTERM);
    daemon_kill(&scheduler, SIGTERM);
    cluster_stop(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(brings_the_tables_up_to_date),
        cmocka_unit_test(gives_up_when_a_store_stays_away),
        cmocka_unit_test(waits_until_the_stores_are_there),
        cmocka_unit_test(one_url_of_each),
        cmocka_unit_test(says_which_store_is_away),
        cmocka_unit_test(roles_run_in_processes_of_their_own),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
