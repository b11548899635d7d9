// SPDX-License-Identifier: Apache-2.0
// features_join_test.c: nodes and clients that know several coordinators keep to one, and go on with another
// when it dies or hangs. Each coordinator here has a store of its own, so that it can be told which one they
// are at.
#include "dtf.h"
#include "system/cluster.h"
#include "system/daemon.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct daemon coordinators[2], node;

static void start_coordinator(struct daemon *d, const char *listen)
{
    const char *args[] = {"--role", "coordinator", "--memory", "--listen", listen, "--log", "error", NULL};
    assert_true(daemon_start(d, "dtfd", args));
}

static int setup(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++)
        start_coordinator(&coordinators[i], "tcp://127.0.0.1:0");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    daemon_kill(&node, SIGKILL);
    for (int i = 0; i < 2; i++)
        daemon_kill(&coordinators[i], SIGKILL);
    return 0;
}

static void start_node(void)
{
    const char *args[] = {"--role", "executor", "--join", coordinators[0].url, "--join", coordinators[1].url,
                          "--log",  "error",    NULL};
    assert_true(daemon_start(&node, "dtfd", args));
}

static struct dtf_client *open_client(const char *urls)
{
    struct nrpc_status st;
    struct dtf_client *client;
    assert_int_equal(dtf_client_open(urls, &client, &st), NRPC_OK);
    return client;
}

static bool has_node(const struct daemon *coordinator)
{
    struct dtf_node_info info;
    struct nrpc_status st;
    size_t count = 1;
    struct dtf_client *client = open_client(coordinator->url);
    bool has =
        dtf_nodes(client, &info, &count, &st) == NRPC_OK && count == 1 && info.pid == (uint32_t)node.pid;
    dtf_client_close(client);
    return has;
}

static int where(void)
{
    WAIT_FOR(has_node(&coordinators[0]) || has_node(&coordinators[1]), PATIENCE_MS);
    return has_node(&coordinators[1]);
}

static void create(struct dtf_client *client)
{
    struct nrpc_status st;
    uint64_t id;
    assert_int_equal(
        dtf_task_create(client, &(struct dtf_task_param){.type = "command", .fed = true}, &id, &st), NRPC_OK);
}

static void node_goes_on_when_its_coordinator_dies(void **state)
{
    (void)state;
    start_node();
    int at = where();
    assert_false(has_node(&coordinators[!at]));
    daemon_kill(&coordinators[at], SIGKILL);
    WAIT_FOR(has_node(&coordinators[!at]), PATIENCE_MS);
}

static void node_goes_on_when_its_coordinator_hangs(void **state)
{
    (void)state;
    start_node();
    int at = where();
    kill(coordinators[at].pid, SIGSTOP);
    WAIT_FOR(has_node(&coordinators[!at]), PATIENCE_MS);
    kill(coordinators[at].pid, SIGCONT);
}

static void client_goes_on_when_its_coordinator_dies(void **state)
{
    (void)state;
    char urls[500], first_url[200];
    snprintf(first_url, sizeof first_url, "%s", coordinators[0].url);
    snprintf(urls, sizeof urls, "%s,%s", first_url, coordinators[1].url);
    struct dtf_client *client = open_client(urls);
    create(client);
    daemon_kill(&coordinators[0], SIGKILL);
    create(client);
    start_coordinator(&coordinators[0], first_url);
    daemon_kill(&coordinators[1], SIGKILL); // where the client is now
    create(client);
    dtf_client_close(client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(node_goes_on_when_its_coordinator_dies, setup, teardown),
        cmocka_unit_test_setup_teardown(node_goes_on_when_its_coordinator_hangs, setup, teardown),
        cmocka_unit_test_setup_teardown(client_goes_on_when_its_coordinator_dies, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
