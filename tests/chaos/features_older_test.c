// SPDX-License-Identifier: Apache-2.0
// features_older_test.c: one of the stores goes back in time while all else goes on: an old dump of Redis, a
// replica that lagged, a restored backup of MySQL. What was ended stays ended, what was acknowledged is kept
// by the records, no task gets another's number, work or results, and no node another's number.
#include "chaos/errand.h"
#include "chaos/look.h"
#include "chaos/runs.h"
#include "chaos/site.h"
#include "chaos/wait.h"
#include "dtf.h"

#include "base/clock.h"

#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { PATIENCE_MS = 30000, MANY = 100000, FEED = 100 };

static struct server *mariadb;
static struct site site;
static struct dtf_client *client;

#define WAIT_FOR(condition) WAIT_FOR_MS(condition, PATIENCE_MS)

static int start(void **state)
{
    (void)state;
    const struct site_options o = {.shards = 1, .coordinators = 2, .nodes = 2};
    struct nrpc_status st;
    mariadb = server_mariadb(NULL);
    assert_true(site_start(&site, &o, mariadb));
    assert_int_equal(dtf_client_open(site.client_urls, &client, &st), NRPC_OK);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    dtf_client_close(client);
    site_stop(&site, false);
    server_destroy(mariadb);
    return 0;
}

// ---- going back

static void go_back(struct server *s)
{
    server_kill(s);
    server_go_back(s);
    server_start(s);
}

static bool redis_is_empty(void)
{
    char keys[8000];
    site_leftovers(site.redis[0], keys, sizeof keys);
    return !*keys;
}

// ---- tasks

static uint64_t create(const char *type, uint64_t count, struct errand_shape shape, bool fed)
{
    const struct errand_param param = {.count = count, .shape = shape};
    const struct dtf_task_param p = {.type = type,
                                     .type_param = &param,
                                     .type_param_bytes = sizeof param,
                                     .timeout_ms = 3600000,
                                     .tolerated_failures = -1,
                                     .fed = fed};
    uint64_t task = 0;
    struct nrpc_status st;
    int code;
    for (int64_t until_us = clock_mono_us() + PATIENCE_MS * 1000ll;
         (code = dtf_task_create(client, &p, &task, &st)) == NRPC_UNAVAILABLE && clock_mono_us() < until_us;)
        (void)poll(NULL, 0, 20);
    if (code)
        fail_msg("create: %s", st.text);
    return task;
}

static size_t runs_since(uint64_t task, int64_t since_us)
{
    struct runs all;
    size_t count, n = 0;
    runs_read(&all, site.runs);
    const struct errand_run *r = runs_of(&all, task, &count);
    for (size_t i = 0; i < count; i++)
        n += r[i].start_us >= since_us;
    runs_fini(&all);
    return n;
}

static struct dtf_task_info wait_for(uint64_t task)
{
    struct dtf_task_info t;
    struct nrpc_status st;
    int64_t until_us = clock_mono_us() + PATIENCE_MS * 1000ll;
    while (dtf_task_wait(client, task, 1000, &t, &st))
        if (clock_mono_us() > until_us)
            fail_msg("task %llu: %s", (unsigned long long)task, st.text);
    return t;
}

static void check_completed(uint64_t task, uint64_t count)
{
    struct dtf_task_info t = wait_for(task);
    assert_int_equal(t.status, DTF_TASK_COMPLETED);
    assert_int_equal(t.generated, count);
    assert_int_equal(t.succeeded, count);
}

static void check_each_ran(uint64_t task, uint64_t count)
{
    struct runs all;
    size_t n;
    uint64_t missing = 0;
    unsigned char *ran = calloc(count + 1, 1);
    runs_read(&all, site.runs);
    const struct errand_run *r = runs_of(&all, task, &n);
    for (size_t i = 0; i < n; i++)
        if (r[i].index <= count)
            ran[r[i].index] = 1;
    for (uint64_t i = 1; i <= count; i++)
        missing += !ran[i];
    assert_int_equal(missing, 0);
    free(ran);
    runs_fini(&all);
}

// ---- Redis goes back

// After it had ended, Redis says that it runs: nothing of it begins again.
static void an_end_stays(uint64_t task, int status)
{
    struct dtf_task_info t;
    struct nrpc_status st;
    WAIT_FOR(redis_is_empty());
    int64_t since_us = clock_mono_us();
    go_back(site.redis[0]);
    WAIT_FOR(redis_is_empty());
    uint64_t after = create("errand", 50, (struct errand_shape){.run_us = 1000}, false);
    check_completed(after, 50); // whatever would have begun again had its chance
    assert_int_equal(runs_since(task, since_us), 0);
    assert_int_equal(dtf_task_status(client, task, &t, &st), NRPC_OK);
    assert_int_equal(t.status, status);
}

static void a_cancelled_task_stays_cancelled(void **state)
{
    (void)state;
    struct nrpc_status st;
    uint64_t task = create("errand", MANY, (struct errand_shape){.run_us = 5000}, false);
    WAIT_FOR(runs_since(task, 0) > 50);
    server_save(site.redis[0]);
    assert_int_equal(dtf_task_cancel(client, task, "enough", &st), NRPC_OK);
    assert_int_equal(wait_for(task).status, DTF_TASK_CANCELLED);
    an_end_stays(task, DTF_TASK_CANCELLED);
}

static void a_completed_task_is_not_executed_again(void **state)
{
    (void)state;
    uint64_t task =
        create("errand_more", 600, (struct errand_shape){.run_us = 5000, .followup_every = 3}, false);
    WAIT_FOR(runs_since(task, 0) > 50);
    server_save(site.redis[0]);
    check_completed(task, 800);
    an_end_stays(task, DTF_TASK_COMPLETED);
}

static void a_failed_task_stays_failed(void **state)
{
    (void)state;
    const struct errand_param param = {.count = MANY, .shape = {.run_us = 5000, .fail_every = 9}};
    const struct dtf_task_param p = {
        .type = "errand", .type_param = &param, .type_param_bytes = sizeof param, .tolerated_failures = 100};
    uint64_t task;
    struct nrpc_status st;
    assert_int_equal(dtf_task_create(client, &p, &task, &st), NRPC_OK);
    WAIT_FOR(runs_since(task, 0) > 50);
    server_save(site.redis[0]);
    assert_int_equal(wait_for(task).status, DTF_TASK_FAILED);
    an_end_stays(task, DTF_TASK_FAILED);
}

static void read_made(void *user, const uint64_t *columns)
{
    *(uint64_t *)user = columns[0];
}

static uint64_t recorded_point(uint64_t task)
{
    char query[100];
    uint64_t made = 0;
    snprintf(query, sizeof query, "SELECT made FROM tbl_resume_point WHERE task = %llu",
             (unsigned long long)task);
    (void)look(mariadb, query, read_made, &made);
    return made;
}

static void feed(uint64_t task, uint64_t from, uint64_t to, bool finish)
{
    const struct errand_shape shape = {.run_us = 2000};
    struct errand_subtask subtasks[FEED];
    struct dtf_subtask_spec specs[FEED];
    struct nrpc_status st;
    for (uint64_t at = from; at < to; at += FEED) {
        for (size_t i = 0; i < FEED; i++) {
            subtasks[i] = (struct errand_subtask){at + i + 1, shape};
            specs[i] = (struct dtf_subtask_spec){.param = &subtasks[i], .param_bytes = sizeof *subtasks};
        }
        int64_t until_us = clock_mono_us() + PATIENCE_MS * 1000ll;
        while (dtf_task_feed(client, task, at, specs, FEED, finish && at + FEED >= to, &st)) {
            if (st.code != NRPC_UNAVAILABLE || clock_mono_us() > until_us)
                fail_msg("feed: %s", st.text);
            (void)poll(NULL, 0, 20);
        }
    }
}

// Points are recorded after the moment to which Redis goes back, so that what was fed below them is gone.
static void a_fed_task_goes_on(void **state)
{
    (void)state;
    uint64_t task = create("errand", 0, (struct errand_shape){0}, true);
    feed(task, 0, 1000, false);
    server_save(site.redis[0]);
    feed(task, 1000, 2000, false);
    WAIT_FOR(recorded_point(task) >= 1500);
    go_back(site.redis[0]);
    feed(task, 2000, 3000, true);
    check_completed(task, 3000);
    check_each_ran(task, 3000);
}

static void a_fed_task_that_had_ended_stays_ended(void **state)
{
    (void)state;
    uint64_t task = create("errand", 0, (struct errand_shape){0}, true);
    feed(task, 0, 500, false);
    server_save(site.redis[0]);
    feed(task, 500, 1500, true);
    check_completed(task, 1500);
    an_end_stays(task, DTF_TASK_COMPLETED);
}

// Far back, to before the task was there at all.
static void a_task_that_redis_never_knew(void **state)
{
    (void)state;
    server_save(site.redis[0]);
    uint64_t task =
        create("errand_more", 1500, (struct errand_shape){.run_us = 3000, .followup_every = 5}, false);
    WAIT_FOR(runs_since(task, 0) > 600);
    go_back(site.redis[0]);
    check_completed(task, 1800);
    check_each_ran(task, 1500);
    WAIT_FOR(redis_is_empty());
}

// ---- MySQL goes back

static void count_tasks(void *user, const uint64_t *columns)
{
    (void)columns;
    ++*(size_t *)user;
}

static bool database_answers(void)
{
    size_t n = 0;
    return look(mariadb, "SELECT id FROM tbl_task", count_tasks, &n);
}

// The records forget a task that runs: its number is not given to another, and what is left of it goes.
static void a_new_task_does_its_own_work(void **state)
{
    (void)state;
    struct dtf_task_info t;
    struct nrpc_status st;
    server_save(mariadb);
    uint64_t lost = create("errand", MANY, (struct errand_shape){.run_us = 5000}, false);
    WAIT_FOR(runs_since(lost, 0) > 50);
    go_back(mariadb);
    WAIT_FOR(database_answers());
    uint64_t task = create("errand", 300, (struct errand_shape){.run_us = 1000}, false);
    check_completed(task, 300);
    check_each_ran(task, 300);
    WAIT_FOR(redis_is_empty());
    assert_true(task > lost);
    assert_int_equal(dtf_task_status(client, lost, &t, &st), NRPC_NOT_FOUND);
}

static void stop_coordinators(void)
{
    for (unsigned i = 0; i < site.options.coordinators; i++)
        (void)program_end(&site.coordinators[i], SIGTERM);
}

static void start_coordinators(void)
{
    for (unsigned i = 0; i < site.options.coordinators; i++)
        site_start_coordinator(&site, i);
    WAIT_FOR(site_is_ready(&site));
}

static bool is_running(uint32_t pid)
{
    bool found = false;
    for (unsigned i = 0; i < site.options.nodes; i++)
        found |= (uint32_t)site.nodes[i].pid == pid;
    return found;
}

// Those that run are known, each once, and none that does not.
static bool every_node_is_one(void)
{
    struct dtf_node_info nodes[16];
    struct nrpc_status st;
    size_t count = 16;
    bool so = dtf_nodes(client, nodes, &count, &st) == NRPC_OK && count == site.options.nodes;
    for (size_t i = 0; so && i < count; i++) {
        so &= is_running(nodes[i].pid);
        for (size_t k = 0; k < i; k++)
            so &= nodes[k].id != nodes[i].id && nodes[k].pid != nodes[i].pid;
    }
    return so;
}

static void restart_node(unsigned i)
{
    (void)program_end(&site.nodes[i], SIGKILL);
    site_start_node(&site, i);
}

// As docs/OPERATIONS.md says: coordinators stop, the backup is put back, coordinators start. The nodes have
// registered after the backup, and work on.
static void nodes_after_a_restore(void **state)
{
    (void)state;
    server_save(mariadb);
    for (unsigned i = 0; i < site.options.nodes; i++)
        restart_node(i); // they have new numbers, which the backup does not know
    WAIT_FOR(every_node_is_one());
    stop_coordinators();
    go_back(mariadb);
    start_coordinators();
    WAIT_FOR(every_node_is_one());
    restart_node(1); // it asks for a number: that is none of those that the others have
    WAIT_FOR(every_node_is_one());
    uint64_t task = create("errand", 2000, (struct errand_shape){.run_us = 5000}, false);
    WAIT_FOR(runs_since(task, 0) > 50);
    (void)program_end(&site.nodes[0], SIGKILL); // nobody keeps its number alive
    check_completed(task, 2000);
    check_each_ran(task, 2000);
    site_start_node(&site, 0);
    WAIT_FOR(every_node_is_one());
}

// Tasks that are created as soon as a coordinator answers again get none of the numbers that were lost.
static void numbers_after_a_restore(void **state)
{
    (void)state;
    enum { LOST = 5 };
    uint64_t lost = 0;
    server_save(mariadb);
    for (unsigned i = 0; i < LOST; i++) {
        lost = create("errand", 3, (struct errand_shape){0}, false);
        check_completed(lost, 3);
    }
    stop_coordinators();
    go_back(mariadb);
    start_coordinators();
    for (unsigned i = 0; i < LOST; i++) {
        uint64_t task = create("errand", 3, (struct errand_shape){0}, false);
        assert_true(task > lost);
        check_completed(task, 3);
    }
}

// Both, to different moments.
static void both_go_back(void **state)
{
    (void)state;
    uint64_t known = create("errand", 3000, (struct errand_shape){.run_us = 3000}, false);
    server_save(site.redis[0]);
    WAIT_FOR(runs_since(known, 0) > 600);
    server_save(mariadb);
    uint64_t lost = create("errand", MANY, (struct errand_shape){.run_us = 5000}, false);
    WAIT_FOR(runs_since(lost, 0) > 20);
    server_kill(mariadb);
    go_back(site.redis[0]);
    server_go_back(mariadb);
    server_start(mariadb);
    WAIT_FOR(database_answers());
    check_completed(known, 3000);
    check_each_ran(known, 3000);
    uint64_t task = create("errand", 300, (struct errand_shape){.run_us = 1000}, false);
    check_completed(task, 300);
    check_each_ran(task, 300);
    WAIT_FOR(redis_is_empty());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cancelled_task_stays_cancelled),
        cmocka_unit_test(a_completed_task_is_not_executed_again),
        cmocka_unit_test(a_failed_task_stays_failed),
        cmocka_unit_test(a_fed_task_goes_on),
        cmocka_unit_test(a_fed_task_that_had_ended_stays_ended),
        cmocka_unit_test(a_task_that_redis_never_knew),
        cmocka_unit_test(a_new_task_does_its_own_work),
        cmocka_unit_test(nodes_after_a_restore),
        cmocka_unit_test(numbers_after_a_restore),
        cmocka_unit_test(both_go_back),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
