// SPDX-License-Identifier: Apache-2.0
// features_overload_test.c: tasks of one subtask come much faster than they can be done, on Redis and
// MariaDB. The cluster does as much while they come and after as it did before, and calm work is as quick
// again as it was.
#include "base/clock.h"
#include "servers/servers.h"
#include "system/cluster.h"

#include <mysql.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { CALLERS = 64, WAVE_MS = 8000, CALM_MS = 3000, RETURN_MS = 5000, LOOK_MS = 1000 };

static struct server *redis, *mariadb;
static const char *stores[] = {"--redis", NULL, "--mysql", NULL, NULL};
static struct cluster c;
static MYSQL *records;
static atomic_bool over;
static atomic_ulong created;

static int setup(void **state)
{
    (void)state;
    redis = server_redis(&(struct server_redis_options){.aof = true});
    mariadb = server_mariadb(NULL);
    stores[1] = server_url(redis);
    stores[3] = server_url(mariadb);
    cluster_start_with(&c, stores);
    cluster_start_node(&c, 0, "8", "1000");
    records = mysql_init(NULL);
    assert_non_null(mysql_real_connect(records, NULL, "dtf", "secret", "dtf", 0, server_socket(mariadb), 0));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    mysql_close(records);
    cluster_stop(&c);
    server_destroy(redis);
    server_destroy(mariadb);
    return 0;
}

static unsigned long count_ended(void)
{
    assert_int_equal(mysql_query(records, "SELECT COUNT(*) FROM tbl_task WHERE ended = 1"), 0);
    MYSQL_RES *result = mysql_store_result(records);
    unsigned long n = strtoul(mysql_fetch_row(result)[0], NULL, 10);
    mysql_free_result(result);
    return n;
}

static uint64_t create(void)
{
    const struct gate_param g = {.count = 1, .quiet = 1};
    struct dtf_task_param p = {.type = "gate", .type_param = &g, .type_param_bytes = sizeof g};
    struct nrpc_status st;
    uint64_t id = 0;
    if (dtf_task_create(c.client, &p, &id, &st) == NRPC_OK)
        atomic_fetch_add(&created, 1);
    return id;
}

// How many a second are done one after the other.
static double calm_rate(int64_t for_ms)
{
    int64_t begin_ms = cluster_now_ms();
    unsigned long n = 0;
    for (; cluster_now_ms() - begin_ms < for_ms; n++)
        assert_int_equal(cluster_wait(&c, create()).status, DTF_TASK_COMPLETED);
    return (double)n * 1000 / (double)(cluster_now_ms() - begin_ms);
}

static bool is_calm_again(double calm)
{
    double now = calm_rate(LOOK_MS);
    print_message("  one after the other: %.0f /s, %.0f before\n", now, calm);
    return now > calm / 2;
}

static void *create_many(void *unused)
{
    while (!atomic_load(&over))
        create();
    return unused;
}

// How many a second end until a time, or until none is left.
static double rate_of_ends(const char *when, int64_t until_ms, bool until_none)
{
    unsigned long first = count_ended(), before = first, now = first;
    int64_t begin_ms = cluster_now_ms(), last_ms = begin_ms, now_ms = begin_ms;
    while (now_ms < until_ms && !(until_none && now == atomic_load(&created))) {
        WAIT_FOR(cluster_now_ms() - last_ms >= LOOK_MS, 2 * LOOK_MS);
        now = count_ended();
        now_ms = cluster_now_ms();
        print_message("  %-6s %6.0f /s end, %lu wait\n", when,
                      (double)(now - before) * 1000 / (double)(now_ms - last_ms),
                      atomic_load(&created) - now);
        before = now;
        last_ms = now_ms;
    }
    return now_ms > begin_ms ? (double)(now - first) * 1000 / (double)(now_ms - begin_ms) : 0;
}

static void test_a_wave_passes(void **state)
{
    pthread_t callers[CALLERS];
    (void)state;
    double calm = calm_rate(CALM_MS);
    int64_t begin_ms = cluster_now_ms();
    for (int i = 0; i < CALLERS; i++)
        assert_int_equal(pthread_create(&callers[i], NULL, create_many, NULL), 0);
    double during = rate_of_ends("wave", begin_ms + WAVE_MS, false);
    atomic_store(&over, true);
    for (int i = 0; i < CALLERS; i++)
        pthread_join(callers[i], NULL);
    int64_t end_ms = cluster_now_ms();
    (void)rate_of_ends("after", end_ms + RETURN_MS, true);
    unsigned long left = atomic_load(&created) - count_ended();
    double after = rate_of_ends("later", end_ms + 3 * PATIENCE_MS, true);
    print_message("%lu created, %.0f /s ended during the wave, %.0f /s later\n", atomic_load(&created),
                  during, after);
    assert_int_equal(count_ended(), atomic_load(&created));
    if (left > during) // more than a second's work was left
        assert_true(after > during / 2);
    WAIT_FOR(is_calm_again(calm), PATIENCE_MS);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_wave_passes, setup, teardown)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
