// SPDX-License-Identifier: Apache-2.0
// replica_test.c: a store that knows a primary and its replica: it uses the one that takes writes, goes to
// the other when that is made the primary, notices what was lost on the way, and takes neither of two that
// both take writes.
#include "admin.h"
#include "base/clock.h"
#include "contract/records_fixture.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

enum { LEFT_MS = 2000, WITHIN_MS = 30000 };

static struct server *primary, *replica;
static struct nrpc_status st;

static int set_up(void **state)
{
    char sql[300];
    primary = server_mariadb(&(struct server_mariadb_options){.config = "server-id=1\nlog-bin\n"});
    admin_run(primary, "GRANT REPLICATION SLAVE ON *.* TO 'dtf'@'127.0.0.1'");
    replica = server_mariadb(&(struct server_mariadb_options){.config = "server-id=2\nread-only=1\n"});
    snprintf(sql, sizeof sql,
             "CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT=%u, MASTER_USER='dtf', "
             "MASTER_PASSWORD='secret', MASTER_USE_GTID=slave_pos, MASTER_CONNECT_RETRY=1",
             server_port(primary));
    admin_run(replica, sql);
    admin_run(replica, "START SLAVE");
    struct server *const all[] = {replica, primary};
    *state = admin_open_all(all, LENGTH(all));
    return 0;
}

static int tear_down(void **state)
{
    struct records *r = *state;
    r->ops->close(r);
    server_destroy(replica);
    server_destroy(primary);
    return 0;
}

static void must(int code)
{
    if (code)
        fail_msg("%s", st.text);
}

static int create_one(struct records *r, const char *key, uint64_t *id)
{
    struct records_new_task t = records_seed_task("x", key, 1);
    int code = r->ops->create(r, &t, 1, &st);
    *id = t.id;
    return code;
}

static void wait_for_replica(uint64_t tasks)
{
    int64_t until_ms = clock_now_ms() + WITHIN_MS;
    while (admin_number(replica, "SELECT COUNT(*) FROM information_schema.tables "
                                 "WHERE table_schema = 'dtf' AND table_name = 'tbl_task'") == 0 ||
           admin_number(replica, "SELECT COUNT(*) FROM dtf.tbl_task") < tasks) {
        if (clock_now_ms() > until_ms)
            fail_msg("the replica has not caught up");
        (void)poll(NULL, 0, 10);
    }
}

static void wait_for_use(struct records *r, const struct server *s)
{
    char text[40];
    snprintf(text, sizeof text, "127.0.0.1:%u is used", server_port(s));
    int64_t took_ms = admin_wait_for_words(r, text, LEFT_MS);
    print_message("left after %d ms\n", (int)took_ms);
}

static void a_replica_is_not_used(void **state)
{
    struct records *r = *state;
    char text[120];
    snprintf(text, sizeof text, "127.0.0.1:%u is read-only; 127.0.0.1:%u is used", server_port(replica),
             server_port(primary));
    must(r->ops->check(r, &st));
    assert_string_equal(st.text, text);
    server_kill(primary);
    admin_wait_for_words(r, "no host of the database can be used: ", LEFT_MS);
    assert_int_equal(r->ops->check(r, &st), NRPC_UNAVAILABLE);
}

// As for a planned change: the primary first takes no writes any more, then the replica has everything.
static void a_planned_change_loses_nothing(void **state)
{
    struct records *r = *state;
    uint64_t id;
    for (uint64_t i = 1; i <= 20; i++)
        must(create_one(r, NULL, &id));
    admin_run(primary, "SET GLOBAL read_only = 1");
    assert_int_equal(create_one(r, NULL, &id), NRPC_UNAVAILABLE);
    wait_for_replica(20);
    admin_run(replica, "STOP SLAVE");
    admin_run(replica, "SET GLOBAL read_only = 0");
    wait_for_use(r, replica);
    must(create_one(r, "k", &id));
    assert_int_equal(id, 21);
    assert_int_equal(admin_number(replica, "SELECT COUNT(*) FROM dtf.tbl_task_event"), 21);
}

static void fail_over(struct records *r)
{
    admin_run(replica, "STOP SLAVE");
    admin_run(replica, "SET GLOBAL read_only = 0");
    wait_for_use(r, replica);
}

static void what_a_lagging_replica_lost_is_noticed(void **state)
{
    struct records *r = *state;
    struct model_marks known = {.task = 12}, were;
    uint64_t id;
    for (uint64_t i = 1; i <= 10; i++)
        must(create_one(r, NULL, &id));
    wait_for_replica(10);
    admin_run(replica, "STOP SLAVE SQL_THREAD");
    must(create_one(r, NULL, &id));
    must(create_one(r, NULL, &id));
    assert_int_equal(id, 12);
    server_kill(primary);
    admin_run(replica, "STOP SLAVE");
    admin_run(replica, "RESET SLAVE"); // what it has fetched and not applied is lost
    fail_over(r);
    assert_int_equal(create_one(r, NULL, &id), NRPC_DATA_LOSS);
    assert_non_null(strstr(st.text, "gone back in time"));
    must(r->ops->marks(r, &known, &were, &st)); // as a manager does within a second
    assert_int_equal(were.task, 10);
    must(create_one(r, NULL, &id));
    assert_int_equal(id, 13);
}

static void a_silent_primary_is_left(void **state)
{
    struct records *r = *state;
    uint64_t id;
    must(create_one(r, NULL, &id));
    wait_for_replica(1);
    server_pause(primary);
    fail_over(r);
    must(create_one(r, NULL, &id));
    assert_int_equal(id, 2);
    server_resume(primary);
}

// The old primary is back and takes writes: who uses the new one stays there, and who begins now uses
// neither.
static void of_two_primaries_none_is_taken(void **state)
{
    struct records *r = *state, *other = NULL;
    struct server *const all[] = {primary, replica};
    uint64_t id;
    must(create_one(r, NULL, &id));
    wait_for_replica(1);
    server_kill(primary);
    fail_over(r);
    server_start(primary);
    admin_wait_for_words(r, "and they are not one cluster: make one read-only", WITHIN_MS);
    must(create_one(r, NULL, &id));
    assert_int_equal(admin_number(primary, "SELECT COUNT(*) FROM dtf.tbl_task"), 1);
    const struct records_mysql_options o = {.url = admin_url(all, LENGTH(all))};
    assert_int_equal(records_mysql_open(&o, &other, &st), NRPC_UNAVAILABLE);
    assert_non_null(strstr(st.text, "make one read-only"));
    admin_run(primary, "SET GLOBAL read_only = 1");
    must(records_mysql_open(&o, &other, &st));
    must(create_one(other, NULL, &id));
    assert_int_equal(id, 3);
    other->ops->close(other);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(a_replica_is_not_used),
        TEST(a_planned_change_loses_nothing),
        TEST(what_a_lagging_replica_lost_is_noticed),
        TEST(a_silent_primary_is_left),
        TEST(of_two_primaries_none_is_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
