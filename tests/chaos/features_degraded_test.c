// SPDX-License-Identifier: Apache-2.0
// features_degraded_test.c: what still works while Redis, MySQL or both are away, full or read-only, as
// docs/OPERATIONS.md says; that health says so; that all goes on when they are back; and that what was
// acknowledged holds after Redis lost everything.
#include "chaos/look.h"
#include "chaos/runs.h"
#include "chaos/site.h"
#include "chaos/wait.h"
#include "dtf.h"
#include "nrpc/v1/health.nrpc.h"

#include "base/clock.h"

#include <mysql.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
    PATIENCE_MS = 60000,
    SUBTASKS = 2500,
    HOGS_MAX = 30,
    WARNINGS_MAX = 12,
    DISK_MIB = 256,
    LARGE = 200000
};

static struct server *mariadb;
static bool has_disks; // of their own
static struct site site;
static struct dtf_client *client;
static struct nrpc_channel *channel; // to coordinator 0

#define WAIT_FOR(condition) WAIT_FOR_MS(condition, PATIENCE_MS)

static int setup(void **state)
{
    (void)state;
    struct site_options o = {.shards = 1, .coordinators = 2, .nodes = 2};
    struct nrpc_status st;
    char url[60];
    has_disks = server_disks_are_there();
    mariadb = server_mariadb(&(struct server_mariadb_options){.disk_mib = has_disks ? DISK_MIB : 0});
    o.redis_disk_mib = has_disks ? DISK_MIB : 0;
    assert_true(site_start(&site, &o, mariadb));
    site_url(&site, 0, false, url, sizeof url);
    assert_int_equal(nrpc_channel_open(url, NULL, &channel, &st), NRPC_OK);
    assert_int_equal(dtf_client_open(site.client_urls, &client, &st), NRPC_OK);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    dtf_client_close(client);
    nrpc_channel_close(channel);
    site_stop(&site, false);
    server_destroy(mariadb);
    return 0;
}

// ---- ways to be away

static void redis_begin(void)
{
    server_kill(site.redis[0]);
}

static void redis_end(void)
{
    server_start(site.redis[0]);
}

static void ask_redis(const char *command)
{
    char answer[100];
    server_ask(site.redis[0], command, answer, sizeof answer);
    assert_string_equal(answer, "+OK\r\n");
}

static void full_begin(void)
{
    ask_redis("CONFIG SET maxmemory 1");
}

static void full_end(void)
{
    ask_redis("CONFIG SET maxmemory 0");
}

static void disk_begin(void)
{
    server_fill_disk(site.redis[0]);
}

static void disk_end(void)
{
    server_free_disk(site.redis[0]);
}

static void replica_begin(void) // of a master that is not there: it keeps its data, and takes no writes
{
    ask_redis("REPLICAOF 127.0.0.1 1");
}

static void replica_end(void)
{
    ask_redis("REPLICAOF NO ONE");
}

static void mysql_begin(void)
{
    server_kill(mariadb);
}

static void mysql_end(void)
{
    server_start(mariadb);
}

static void read_only_begin(void)
{
    assert_true(look_do(mariadb, "SET GLOBAL read_only = 1"));
}

static void read_only_end(void)
{
    assert_true(look_do(mariadb, "SET GLOBAL read_only = 0"));
}

static void both_begin(void)
{
    redis_begin();
    mysql_begin();
}

static void both_end(void)
{
    mysql_end();
    redis_end();
}

// Connections of ours that leave none for others.
static MYSQL *hogs[HOGS_MAX];

static void kill_one(void *user, const uint64_t *columns)
{
    char statement[60];
    (void)user;
    snprintf(statement, sizeof statement, "KILL CONNECTION %llu", (unsigned long long)columns[0]);
    (void)look_do(mariadb, statement);
}

static void connections_begin(void)
{
    assert_true(look_do(mariadb, "SET GLOBAL max_connections = 10"));
    for (size_t i = 0; i < HOGS_MAX; i++) {
        hogs[i] = mysql_init(NULL);
        if (!mysql_real_connect(hogs[i], NULL, "dtf", "secret", "dtf", 0, server_socket(mariadb), 0)) {
            mysql_close(hogs[i]);
            hogs[i] = NULL;
        }
        (void)look(mariadb, "SELECT id FROM information_schema.processlist WHERE host LIKE '127%'", kill_one,
                   NULL);
    }
}

static void connections_end(void)
{
    for (size_t i = 0; i < HOGS_MAX; i++)
        if (hogs[i])
            mysql_close(hogs[i]);
    assert_true(look_do(mariadb, "SET GLOBAL max_connections = 151"));
}

// ---- what is expected meanwhile

struct outage {
    void (*begin)(void), (*end)(void);
    bool state, records; // which of the two does not serve
    bool work_goes_on;   // what is queued is dispatched and executed
    bool settles;        // what runs comes to its end and is counted
};

static bool serves(const char *service)
{
    Nrpc__V1__HealthCheckRequest q = NRPC__V1__HEALTH_CHECK_REQUEST__INIT;
    Nrpc__V1__HealthCheckResponse *r;
    struct nrpc_status st;
    q.service = (char *)service;
    assert_int_equal(nrpc_v1_health_check(channel, NULL, &q, &r, &st), NRPC_OK);
    bool serving = r->status == NRPC__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING;
    protobuf_c_message_free_unpacked(&r->base, NULL);
    return serving;
}

static size_t runs_so_far(uint64_t task)
{
    struct runs all;
    size_t count;
    runs_read(&all, site.runs);
    (void)runs_of(&all, task, &count);
    runs_fini(&all);
    return count;
}

static int create(uint64_t count, uint64_t *task, struct nrpc_status *st)
{
    const struct errand_param param = {.count = count, .shape = {.run_us = 5000}};
    const struct dtf_task_param p = {
        .type = "errand", .type_param = &param, .type_param_bytes = sizeof param, .timeout_ms = 3600000};
    return dtf_task_create(client, &p, task, st);
}

static void check_completed(uint64_t task, uint64_t count)
{
    struct dtf_task_info t;
    struct nrpc_status st;
    int code = dtf_task_wait(client, task, PATIENCE_MS, &t, &st);
    if (code)
        fail_msg("task %llu: %s", (unsigned long long)task, st.text);
    assert_int_equal(t.status, DTF_TASK_COMPLETED);
    assert_int_equal(t.generated, count);
    assert_int_equal(t.succeeded, count);
}

static bool nothing_runs(uint64_t task)
{
    struct dtf_task_info t;
    struct nrpc_status st;
    return dtf_task_status(client, task, &t, &st) == NRPC_OK && t.running == 0;
}

// Lines of warnings in a coordinator's log.
static size_t warnings(unsigned coordinator)
{
    char line[1200];
    size_t n = 0;
    FILE *log = fopen(site.coordinators[coordinator].log, "re");
    assert_non_null(log);
    while (fgets(line, sizeof line, log))
        n += strstr(line, " warn ") != NULL || strstr(line, " error ") != NULL;
    fclose(log);
    return n;
}

static void survive(const struct outage *o)
{
    uint64_t task, meanwhile;
    struct nrpc_status st;
    size_t warned[2] = {warnings(0), warnings(1)};
    assert_int_equal(create(SUBTASKS, &task, &st), NRPC_OK);
    WAIT_FOR(runs_so_far(task) > 50);
    o->begin();
    WAIT_FOR(serves("dtf.state") == !o->state && serves("dtf.records") == !o->records);
    assert_true(serves(""));
    int code = create(20, &meanwhile, &st);
    if (code != (o->records ? NRPC_UNAVAILABLE : NRPC_OK))
        fail_msg("create answers %s: %s", nrpc_code_name(code), st.text);
    if (o->work_goes_on)
        WAIT_FOR(runs_so_far(task) >= SUBTASKS);
    if (o->settles)
        WAIT_FOR(nothing_runs(task));
    o->end();
    int64_t since_us = clock_mono_us();
    check_completed(task, SUBTASKS);
    if (code == NRPC_OK)
        check_completed(meanwhile, 20);
    print_message("completed %lld ms after the end\n", (long long)(clock_mono_us() - since_us) / 1000);
    WAIT_FOR(serves("dtf.state") && serves("dtf.records"));
    for (unsigned i = 0; i < 2; i++) // the log says it once, not with every call
        if (warnings(i) - warned[i] > WARNINGS_MAX)
            fail_msg("%zu warnings of coordinator %u during one outage", warnings(i) - warned[i], i);
}

static void without_redis(void **state)
{
    (void)state;
    survive(&(struct outage){redis_begin, redis_end, .state = true});
}

static void redis_is_full(void **state)
{
    (void)state;
    survive(&(struct outage){full_begin, full_end, .state = true, .settles = true});
}

static void redis_has_a_full_disk(void **state)
{
    (void)state;
    if (!has_disks)
        skip();
    survive(&(struct outage){disk_begin, disk_end, .state = true});
}

// MariaDB refuses what finds no room, and may end itself over it. What it acknowledged is there.
static void mysql_has_a_full_disk(void **state)
{
    static char large[LARGE];
    const struct dtf_task_param p = {
        .type = "command", .fed = true, .type_param = large, .type_param_bytes = LARGE};
    struct dtf_task_info t;
    struct nrpc_status st;
    uint64_t task, before, last = 0;
    (void)state;
    if (!has_disks)
        skip();
    assert_int_equal(create(SUBTASKS, &before, &st), NRPC_OK);
    assert_int_equal(dtf_task_create(client, &p, &last, &st), NRPC_OK);
    server_fill_disk(mariadb);
    while (dtf_task_create(client, &p, &task, &st) == NRPC_OK)
        last = task;
    print_message("%s\n", st.text);
    assert_true(st.code == NRPC_RESOURCE_EXHAUSTED || st.code == NRPC_UNAVAILABLE);
    WAIT_FOR(runs_so_far(before) >= SUBTASKS);
    server_free_disk(mariadb);
    server_kill(mariadb);
    server_start(mariadb);
    WAIT_FOR(serves("dtf.records"));
    check_completed(before, SUBTASKS);
    assert_int_equal(dtf_task_status(client, last, &t, &st), NRPC_OK);
    assert_int_equal(dtf_task_create(client, &p, &task, &st), NRPC_OK);
    assert_true(task > last);
}

static void redis_is_read_only(void **state)
{
    (void)state;
    survive(&(struct outage){replica_begin, replica_end, .state = true});
}

static void without_mysql(void **state)
{
    (void)state;
    survive(&(struct outage){mysql_begin, mysql_end, .records = true, .work_goes_on = true});
}

static void mysql_is_read_only(void **state)
{
    (void)state;
    survive(&(struct outage){read_only_begin, read_only_end, .records = true, .work_goes_on = true,
                             .settles = true});
}

static void mysql_has_no_connection_left(void **state)
{
    (void)state;
    survive(&(struct outage){connections_begin, connections_end, .records = true, .work_goes_on = true});
}

static void without_both(void **state)
{
    (void)state;
    survive(&(struct outage){both_begin, both_end, .state = true, .records = true});
}

// ---- what was acknowledged, and then Redis was wiped

static void wipe(void)
{
    char answer[100];
    server_ask(site.redis[0], "FLUSHALL", answer, sizeof answer);
    assert_string_equal(answer, "+OK\r\n");
}

static void signal_nodes(int signal_number)
{
    for (unsigned i = 0; i < site.options.nodes; i++)
        program_signal(&site.nodes[i], signal_number);
}

static uint64_t begin_task(void)
{
    uint64_t task = 0;
    struct nrpc_status st;
    assert_int_equal(create(SUBTASKS, &task, &st), NRPC_OK);
    WAIT_FOR(runs_so_far(task) > 50);
    return task;
}

// The nodes stand still, so that it has not ended when Redis loses it.
static void cancelled_before_a_wipe(void **state)
{
    (void)state;
    struct dtf_task_info t;
    struct nrpc_status st;
    uint64_t task = begin_task();
    signal_nodes(SIGSTOP);
    assert_int_equal(dtf_task_cancel(client, task, "no longer needed", &st), NRPC_OK);
    wipe();
    signal_nodes(SIGCONT);
    assert_int_equal(dtf_task_wait(client, task, PATIENCE_MS, &t, &st), NRPC_OK);
    assert_int_equal(t.status, DTF_TASK_CANCELLED);
    assert_string_equal(t.message, "no longer needed");
    assert_int_equal(t.generated, t.succeeded + t.failed + t.timed_out + t.cancelled);
}

static bool is_known_again(uint64_t task)
{
    char command[60], answer[100];
    snprintf(command, sizeof command, "EXISTS dtf:{0}:t:%llu", (unsigned long long)task);
    server_ask(site.redis[0], command, answer, sizeof answer);
    return !strcmp(answer, ":1\r\n");
}

static void paused_before_a_wipe(void **state)
{
    (void)state;
    struct dtf_task_info t;
    struct nrpc_status st;
    uint64_t task = begin_task();
    assert_int_equal(dtf_task_pause(client, task, &st), NRPC_OK);
    wipe();
    WAIT_FOR(is_known_again(task));
    assert_int_equal(dtf_task_status(client, task, &t, &st), NRPC_OK);
    assert_int_equal(t.status, DTF_TASK_PAUSED);
    assert_int_equal(dtf_task_resume(client, task, &st), NRPC_OK);
    check_completed(task, SUBTASKS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_redis),         cmocka_unit_test(redis_is_full),
        cmocka_unit_test(redis_has_a_full_disk), cmocka_unit_test(mysql_has_a_full_disk),
        cmocka_unit_test(redis_is_read_only),    cmocka_unit_test(without_mysql),
        cmocka_unit_test(mysql_is_read_only),    cmocka_unit_test(mysql_has_no_connection_left),
        cmocka_unit_test(without_both),          cmocka_unit_test(cancelled_before_a_wipe),
        cmocka_unit_test(paused_before_a_wipe),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
