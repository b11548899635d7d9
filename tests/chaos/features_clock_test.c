// SPDX-License-Identifier: Apache-2.0
// features_clock_test.c: the clock of a coordinator, of a node, or of Redis is set an hour forward and back
// while tasks run: nothing is lost, timed out or held up. skew.c sets the clocks.
#include "chaos/errand.h"
#include "chaos/look.h"
#include "chaos/runs.h"
#include "chaos/site.h"
#include "chaos/wait.h"
#include "dtf.h"
#include "system/daemon.h"

#include "base/clock.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { PATIENCE_MS = 60000, SUBTASKS = 4000, RETRIED = 100, HOUR_S = 3600 };

static struct server *mariadb;
static struct site site;
static char clock_file[100], environment[600];

#define WAIT_FOR(condition) WAIT_FOR_MS(condition, PATIENCE_MS)

static time_t *ahead; // in the file that skew.c reads

static int setup(void **state)
{
    (void)state;
    char library[300];
    snprintf(clock_file, sizeof clock_file, "/tmp/dtf-clock-XXXXXX");
    int fd = mkstemp(clock_file);
    assert_int_equal(ftruncate(fd, sizeof *ahead), 0);
    ahead = mmap(NULL, sizeof *ahead, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_true(ahead != MAP_FAILED);
    close(fd);
    daemon_path(library, sizeof library, "skew.so");
    snprintf(environment, sizeof environment, "LD_PRELOAD=%s CLOCK_SKEW=%s", library, clock_file);
    mariadb = server_mariadb(NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    server_destroy(mariadb);
    munmap(ahead, sizeof *ahead);
    unlink(clock_file);
    return 0;
}

static struct dtf_client *client;

static int stop_site(void **state)
{
    (void)state;
    dtf_client_close(client);
    client = NULL;
    site_stop(&site, false);
    return 0;
}

static size_t runs_so_far(void)
{
    struct runs all;
    runs_read(&all, site.runs);
    runs_fini(&all);
    return all.count;
}

static long redis_time_s(void) // "*2\r\n$10\r\n<seconds>..."
{
    char answer[100];
    server_ask(site.redis[0], "TIME", answer, sizeof answer);
    const char *text = strchr(answer, '$');
    text = text ? strchr(text, '\n') : NULL;
    return text ? strtol(text + 1, NULL, 10) : 0;
}

static bool is_near(long s, long expected_s)
{
    return labs(s - expected_s) < HOUR_S / 2;
}

// One task that an early timeout would end, with retries that wait for their time; a second one under way.
static void survive(const struct site_options *more, int start_s)
{
    struct site_options o = *more;
    struct nrpc_status st;
    struct dtf_task_info t;
    uint64_t task = 0;
    const struct errand_param param = {.count = SUBTASKS,
                                       .shape = {.run_us = 5000, .flaky_every = SUBTASKS / RETRIED}};
    const struct dtf_task_param p = {.type = "errand",
                                     .type_param = &param,
                                     .type_param_bytes = sizeof param,
                                     .max_retries = 3,
                                     .timeout_ms = 10ll * PATIENCE_MS};
    o.shards = 1;
    o.coordinators = o.nodes = 2;
    o.environment = environment;
    *ahead = start_s;
    assert_true(site_start(&site, &o, mariadb));
    assert_int_equal(dtf_client_open(site.client_urls, &client, &st), NRPC_OK);
    assert_int_equal(dtf_task_create(client, &p, &task, &st), NRPC_OK);
    const int ahead_s[] = {HOUR_S, 0, -HOUR_S, 0};
    for (size_t i = 0; i < sizeof ahead_s / sizeof *ahead_s; i++) {
        const long now_s = time(NULL);
        WAIT_FOR(runs_so_far() > (i + 1) * SUBTASKS / 6);
        *ahead = ahead_s[i];
        if (o.environment_redis)
            WAIT_FOR(is_near(redis_time_s(), now_s + ahead_s[i]));
    }
    int code = dtf_task_wait(client, task, PATIENCE_MS, &t, &st);
    if (code)
        fail_msg("%s", st.text);
    assert_int_equal(t.status, DTF_TASK_COMPLETED);
    assert_int_equal(t.generated, SUBTASKS);
    assert_int_equal(t.succeeded, SUBTASKS);
    if (!is_near(t.created_ms / 1000, time(NULL)) || t.finished_ms < t.created_ms)
        fail_msg("created %lld ms, ended %lld ms from now", (long long)t.created_ms - 1000ll * time(NULL),
                 (long long)t.finished_ms - 1000ll * time(NULL));
    print_message("%llu retried, %llu redispatched, %zu runs\n", (unsigned long long)t.retried,
                  (unsigned long long)t.redispatched, runs_so_far());
}

static void of_a_coordinator(void **state)
{
    (void)state;
    survive(&(struct site_options){.environment_coordinators = 1}, 0);
}

static void of_a_node(void **state)
{
    (void)state;
    survive(&(struct site_options){.environment_nodes = 1}, 0);
}

static void of_redis(void **state)
{
    (void)state;
    survive(&(struct site_options){.environment_redis = true}, 0);
}

static void count_row(void *user, const uint64_t *columns)
{
    *(uint64_t *)user = columns[0];
}

static uint64_t recorded_tasks(void)
{
    uint64_t n = 0;
    (void)look(mariadb, "SELECT COUNT(*) FROM tbl_task", count_row, &n);
    return n;
}

static void run_small(unsigned count)
{
    const struct errand_param param = {.count = 5, .shape = {.run_us = 100}};
    const struct dtf_task_param p = {
        .type = "errand", .type_param = &param, .type_param_bytes = sizeof param, .timeout_ms = 600000};
    struct dtf_task_info t;
    struct nrpc_status st;
    uint64_t task;
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(dtf_task_create(client, &p, &task, &st), NRPC_OK);
        assert_int_equal(dtf_task_wait(client, task, PATIENCE_MS, &t, &st), NRPC_OK);
        assert_int_equal(t.status, DTF_TASK_COMPLETED);
        assert_true(is_near(t.finished_ms / 1000, time(NULL)));
    }
}

static bool coordinators_said(const char *text)
{
    for (unsigned i = 0; i < site.options.coordinators; i++)
        if (program_said(&site.coordinators[i], text))
            return true;
    return false;
}

// One clock alone makes nothing old: what has ended stays recorded, and what is created meanwhile has a date.
static void forgets_nothing_by_one_clock(const struct site_options *more)
{
    struct site_options o = *more;
    struct nrpc_status st;
    const int ahead_s[] = {40 * 24 * HOUR_S, -40 * 24 * HOUR_S, 0};
    o.shards = 1;
    o.coordinators = o.nodes = 2;
    o.environment = environment;
    *ahead = 0;
    assert_true(site_start(&site, &o, mariadb));
    assert_int_equal(dtf_client_open(site.client_urls, &client, &st), NRPC_OK);
    run_small(5);
    for (size_t i = 0; i < 3; i++) {
        *ahead = ahead_s[i];
        if (o.environment_redis && ahead_s[i])
            WAIT_FOR(coordinators_said("the clocks differ"));
        run_small(5);
        if (recorded_tasks() != 10 + 5 * i)
            fail_msg("%llu of %zu tasks are still recorded", (unsigned long long)recorded_tasks(),
                     10 + 5 * i);
    }
    if (o.environment_redis)
        WAIT_FOR(coordinators_said("the clocks agree again"));
}

static void redis_alone_makes_nothing_old(void **state)
{
    (void)state;
    forgets_nothing_by_one_clock(&(struct site_options){.environment_redis = true});
}

static void a_coordinator_alone_makes_nothing_old(void **state)
{
    (void)state;
    forgets_nothing_by_one_clock(&(struct site_options){.environment_coordinators = 3});
}

static void of_a_coordinator_that_starts_ahead(void **state)
{
    (void)state;
    survive(&(struct site_options){.environment_coordinators = 1}, HOUR_S);
}

static void of_a_coordinator_that_starts_behind(void **state)
{
    (void)state;
    survive(&(struct site_options){.environment_coordinators = 1}, -HOUR_S);
}

static void of_a_node_that_starts_ahead(void **state)
{
    (void)state;
    survive(&(struct site_options){.environment_nodes = 1}, HOUR_S);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(of_a_coordinator, stop_site),
        cmocka_unit_test_teardown(of_a_node, stop_site),
        cmocka_unit_test_teardown(of_redis, stop_site),
        cmocka_unit_test_teardown(of_a_coordinator_that_starts_ahead, stop_site),
        cmocka_unit_test_teardown(of_a_coordinator_that_starts_behind, stop_site),
        cmocka_unit_test_teardown(of_a_node_that_starts_ahead, stop_site),
        cmocka_unit_test_teardown(redis_alone_makes_nothing_old, stop_site),
        cmocka_unit_test_teardown(a_coordinator_alone_makes_nothing_old, stop_site),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
