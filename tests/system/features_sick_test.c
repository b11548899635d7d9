// SPDX-License-Identifier: Apache-2.0
// features_sick_test.c: a node that is short of something gives its subtasks back, takes no more than it can
// run, and comes back by itself; nothing fails because of it. One that fails what others do well gets hardly
// any work until it is mended. Whoever asks learns of both.
#include "system/cluster.h"

#include "nrpc/v1/health.nrpc.h"

#include <dirent.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cmocka.h>

enum { COUNT = 60, FEW = 48, MANY = 200 };

static struct cluster c;
static struct nrpc_status st;

static void limit_files(pid_t pid, rlim_t files)
{
    struct rlimit l;
    assert_int_equal(prlimit(pid, RLIMIT_NOFILE, NULL, &l), 0);
    l.rlim_cur = files < l.rlim_max ? files : l.rlim_max;
    assert_int_equal(prlimit(pid, RLIMIT_NOFILE, &l, NULL), 0);
}

// What the coordinator says of it.
static bool find_node(int i, struct dtf_node_info *out)
{
    struct dtf_node_info nodes[8];
    size_t n = 8;
    assert_int_equal(dtf_nodes(c.client, nodes, &n, &st), NRPC_OK);
    for (size_t k = 0; k < n; k++)
        if (nodes[k].pid == (uint32_t)c.nodes[i].pid) {
            *out = nodes[k];
            return true;
        }
    return false;
}

// On a busy machine it may be lost, and register again.
static struct dtf_node_info node_info(int i)
{
    struct dtf_node_info info = {0};
    WAIT_FOR(find_node(i, &info), PATIENCE_MS);
    return info;
}

static int setup(void **state)
{
    (void)state;
    cluster_start(&c);
    cluster_start_node(&c, 0, "16", "1000");
    (void)node_info(0);               // later it could not even connect
    limit_files(c.nodes[0].pid, FEW); // room for some of its slots, or for none
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cluster_stop(&c);
    return 0;
}

static uint64_t settled_by(int i)
{
    return node_info(i).settled;
}

static void check_all_done(uint64_t task)
{
    struct dtf_task_info info = cluster_wait(&c, task);
    assert_int_equal(info.status, DTF_TASK_COMPLETED);
    assert_int_equal(info.succeeded, COUNT);
    assert_int_equal(info.failed + info.timed_out + info.retried, 0);
}

// What `dtf nodes` prints.
static const char *nodes_output(const char *form)
{
    static char text[4000];
    char dtf[4300], command[5000];
    daemon_path(dtf, sizeof dtf, "dtf");
    snprintf(command, sizeof command, "'%s' --server '%s' --output %s nodes", dtf, c.listen, form);
    FILE *f = popen(command, "re"); // NOLINT(bugprone-command-processor,cert-env33-c): of our own making
    assert_non_null(f);
    text[fread(text, 1, sizeof text - 1, f)] = 0;
    assert_int_equal(pclose(f), 0);
    return text;
}

static bool prints(const char *form, const char *what)
{
    return strstr(nodes_output(form), what);
}

static bool is_short(int i)
{
    struct dtf_node_info info = node_info(i);
    return *info.short_of && info.usable < info.slots;
}

// Beside a healthy node, which does what it cannot.
static void test_beside_a_healthy_one(void **state)
{
    (void)state;
    cluster_start_node(&c, 1, "2", "1000");
    check_all_done(cluster_create_commands(&c, NULL, "sleep 0.05", COUNT, 0));
    assert_true(settled_by(1) > COUNT / 10);
}

// It says so as long as it is, and the coordinator to whoever asks.
static void test_is_shown(void **state)
{
    (void)state;
    assert_false(is_short(0));
    assert_true(!prints("table", "NOTE") && prints("json", "\"short_of\":\"\""));
    limit_files(c.nodes[0].pid, 3);
    uint64_t task = cluster_create_commands(&c, NULL, "sleep 0.01", COUNT, 0);
    WAIT_FOR(is_short(0), PATIENCE_MS);
    assert_true(prints("table", "/16") && prints("table", "NOTE"));
    assert_true(prints("table", "short: cannot run /bin/sh in "));
    assert_true(prints("table", "Too many open files") && prints("json", "Too many open files\""));
    limit_files(c.nodes[0].pid, RLIM_INFINITY);
    check_all_done(task);
    check_all_done(cluster_create_commands(&c, NULL, "sleep 0.01", COUNT, 0)); // till all slots are used
    WAIT_FOR(!is_short(0), PATIENCE_MS);
    assert_false(prints("table", "NOTE"));
}

// Alone, for a while with nothing that it could run: then it is well again.
static void test_gets_well(void **state)
{
    (void)state;
    limit_files(c.nodes[0].pid, 3);
    uint64_t task = cluster_create_commands(&c, NULL, "sleep 0.01", COUNT, 0);
    WAIT_FOR(cluster_status(&c, task).redispatched > 0, PATIENCE_MS);
    assert_int_equal(cluster_status(&c, task).failed, 0);
    limit_files(c.nodes[0].pid, RLIM_INFINITY);
    check_all_done(task);
    assert_int_equal(settled_by(0), COUNT);
}

// ---- a process with a coordinator and a node, which has a health service

static int health_of_executor(struct nrpc_channel *channel)
{
    Nrpc__V1__HealthCheckRequest q = NRPC__V1__HEALTH_CHECK_REQUEST__INIT;
    Nrpc__V1__HealthCheckResponse *r;
    q.service = (char *)"dtf.executor";
    assert_string_equal(nrpc_v1_health_check(channel, NULL, &q, &r, &st) ? st.text : "", "");
    int status = (int)r->status;
    protobuf_c_message_free_unpacked(&r->base, NULL);
    return status;
}

static rlim_t open_files(pid_t pid)
{
    char path[40];
    rlim_t n = 0;
    snprintf(path, sizeof path, "/proc/%d/fd", pid);
    DIR *d = opendir(path);
    assert_non_null(d);
    while (readdir(d))
        n++;
    closedir(d);
    return n - 2;
}

static void test_health(void **state)
{
    (void)state;
    struct nrpc_channel *channel;
    memset(&c, 0, sizeof c);
    daemon_folder(c.folder, sizeof c.folder);
    const char *args[] = {"--memory", "--listen", "tcp://127.0.0.1:0", "--slots", "4", "--log",
                          "error",    NULL};
    assert_true(daemon_start(&c.coordinator, "dtfd", args));
    c.nodes[0].pid = c.coordinator.pid;
    strcpy(c.listen, c.coordinator.url);
    assert_int_equal(dtf_client_open(c.listen, &c.client, &st), NRPC_OK);
    assert_int_equal(nrpc_channel_open(c.listen, NULL, &channel, &st), NRPC_OK);
    assert_int_equal(health_of_executor(channel), HEALTH_SERVING); // both are connected: later they could not
    assert_false(is_short(0));
    limit_files(c.coordinator.pid, open_files(c.coordinator.pid) + 1);
    uint64_t task = cluster_create_commands(&c, NULL, "sleep 0.01", COUNT, 0);
    WAIT_FOR(health_of_executor(channel) == HEALTH_NOT_SERVING, PATIENCE_MS);
    WAIT_FOR(is_short(0), PATIENCE_MS);
    limit_files(c.coordinator.pid, RLIM_INFINITY);
    check_all_done(task);
    WAIT_FOR(health_of_executor(channel) == HEALTH_SERVING, PATIENCE_MS);
    WAIT_FOR(!is_short(0), PATIENCE_MS);
    nrpc_channel_close(channel);
    c.nodes[0].pid = 0;
}

// ---- a node on which a program is missing

static void put_program(const char *folder)
{
    char path[500];
    snprintf(path, sizeof path, "%s/%s/work", c.folder, folder);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs("#!/bin/sh\nexec sleep 0.1\n", f);
    fclose(f);
    assert_int_equal(chmod(path, 0755), 0);
}

static void start_node_with(int i, const char *folder, const char *slots)
{
    const char *now = getenv("PATH");
    char path[500], *before = strdup(now ? now : "");
    snprintf(path, sizeof path, "%s/%s", c.folder, folder);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(path, sizeof path, "/bin:/usr/bin:%s/%s", c.folder, folder);
    setenv("PATH", path, 1);
    cluster_start_node(&c, i, slots, "1000");
    setenv("PATH", before, 1);
    free(before);
}

static void start_sick(const char *option)
{
    static const char *options[2]; // as long as the cluster
    options[0] = option;
    cluster_start_with(&c, options);
    start_node_with(0, "without", "2");
    start_node_with(1, "with", "4");
    put_program("with");
    (void)node_info(0);
    (void)node_info(1);
}

static uint64_t create_work(size_t count)
{
    return cluster_create_commands(&c, &(struct dtf_task_param){.tolerated_failures = -1}, "work", count, 0);
}

static bool is_quarantined(int i)
{
    return *node_info(i).quarantine;
}

static void test_fails_what_others_do(void **state)
{
    (void)state;
    start_sick("--node-lease=10000");
    uint64_t task = create_work(MANY);
    WAIT_FOR(is_quarantined(0), PATIENCE_MS);
    assert_true(prints("table", "quarantined: failed ") && prints("table", " where others failed 0 of "));
    assert_true(prints("json", "\"quarantine\":\"failed "));
    struct dtf_task_info info = cluster_wait(&c, task);
    assert_int_equal(info.status, DTF_TASK_COMPLETED);
    assert_int_equal(info.succeeded + info.failed, MANY); // what it fails counts
    print_message("%" PRIu64 " failed\n", info.failed);
    assert_in_range(info.failed, 8, 25);
    assert_true(!is_quarantined(1) && !is_short(0));

    put_program("without"); // mended
    task = create_work(2 * MANY);
    WAIT_FOR(!is_quarantined(0), PATIENCE_MS);
    uint64_t before = settled_by(0);
    assert_false(prints("table", "NOTE"));
    info = cluster_wait(&c, task);
    assert_true(info.failed <= 8);
    info = cluster_wait(&c, create_work(MANY));
    assert_int_equal(info.succeeded, MANY);
    assert_true(settled_by(0) - before > MANY / 5); // of six slots it has two
}

static void test_turned_off(void **state)
{
    (void)state;
    start_sick("--no-quarantine");
    struct dtf_task_info info = cluster_wait(&c, create_work(MANY));
    assert_true(info.failed > MANY / 2);
    assert_false(is_quarantined(0));
}

// What fails everywhere says nothing of a node.
static void test_fails_everywhere(void **state)
{
    (void)state;
    cluster_start(&c);
    cluster_start_node(&c, 0, "2", "1000");
    cluster_start_node(&c, 1, "2", "1000");
    struct dtf_task_param any = {.tolerated_failures = -1, .max_retries = 1};
    uint64_t task = cluster_create_commands(&c, &any, "exit 7", MANY, 0);
    while (cluster_status(&c, task).status == DTF_TASK_RUNNING) {
        assert_true(!is_quarantined(0) && !is_quarantined(1));
        cluster_pause();
    }
    struct dtf_task_info info = cluster_wait(&c, task);
    assert_int_equal(info.failed, MANY);
    assert_int_equal(info.retried, MANY);
    assert_true(settled_by(0) > MANY / 5 && settled_by(1) > MANY / 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_beside_a_healthy_one, setup, teardown),
        cmocka_unit_test_setup_teardown(test_gets_well, setup, teardown),
        cmocka_unit_test_setup_teardown(test_is_shown, setup, teardown),
        cmocka_unit_test_teardown(test_health, teardown),
        cmocka_unit_test_teardown(test_fails_what_others_do, teardown),
        cmocka_unit_test_teardown(test_turned_off, teardown),
        cmocka_unit_test_teardown(test_fails_everywhere, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
