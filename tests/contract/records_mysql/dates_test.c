// SPDX-License-Identifier: Apache-2.0
// dates_test.c: the view `v_task`: queries with dates, as users of tbl_task write them, give the right rows
// and use keys; in MySQL whatever the session's time zone is, and over a table that was filled before the
// migration.
#include "admin.h"
#include "contract/records_fixture.h"
#include "embedded/db.h"
#include "records/records_schema.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { DAYS = 2000, DAY_MS = 86400000, TASK_MS = 90500, TIMEOUT_MS = 3600000 };
// A task begins at noon of each day from 2024-01-01 on, and ends after 90.5 s; the last 10 are under way.
#define NOON_2024 INT64_C(1704110400000)

static struct server *server;
static struct nrpc_status st;

static void must(int code)
{
    if (code)
        fail_msg("%s", st.text);
}

static void fill(struct records *r)
{
    struct records_new_task *t = calloc(DAYS, sizeof *t);
    struct records_change *ends = calloc(DAYS, sizeof *ends);
    struct model_counters none = {0};
    for (int i = 0; i < DAYS; i++) {
        int64_t at_ms = NOON_2024 + (int64_t)i * DAY_MS;
        t[i] = records_seed_task("daily", NULL, at_ms);
        t[i].created_ms = at_ms;
        t[i].deadline_ms = at_ms + TIMEOUT_MS;
        t[i].creator_uid = (uint64_t)i % 100;
    }
    must(r->ops->create(r, t, DAYS, &st));
    for (int i = 0; i < DAYS - 10; i++)
        ends[i] = (struct records_change){.task = t[i].id,
                                          .event = MODEL_FINISH_COMPLETED,
                                          .now_ms = t[i].created_ms + TASK_MS,
                                          .counters = &none};
    must(r->ops->change(r, ends, DAYS - 10, &st));
    free(t);
    free(ends);
}

// ---- queries, of both stores

static const struct {
    const char *where;
    unsigned long long rows;
    const char *key; // that MySQL is to use
} queries[] = {
    {"start_time BETWEEN '2025-03-01 00:00:00' AND '2025-03-31 23:59:59'", 31, "task_times"},
    {"start_time = '2024-01-02 12:00:00.000'", 1, "task_times"},
    {"start_time >= '2024-12-31 12:00:00.001' AND start_time < '2025-01-02 12:00:00.001'", 2, "task_times"},
    {"start_time > '2025-03-01 00:00:00' AND start_time < '2025-03-11' AND finish_time < '2025-03-05 "
     "12:01:30.500'",
     4, "task_times"},
    {"finish_time = '2024-01-01 12:01:30.500'", 1, NULL},
    {"finish_time IS NULL", 10, NULL},
    {"next_check_time < '2026-01-01 00:00:00'", 0, "task_check"}, // those that have ended need none
    {"next_check_time < '2030-01-01 00:00:00' ORDER BY next_check_time LIMIT 10", 10, "task_check"},
    {"next_check_time = '2029-06-22 13:00:00.000'", 1, "task_check"},
    {"uid = 7", 20, "task_uid"},
    {"uid = 7 AND start_time < '2024-06-01 00:00:00'", 2, NULL},
    {"task_status = 5", DAYS - 10, NULL},
};

// Whether the plan that EXPLAIN gives of a query names this key as the one that is used.
static bool uses(MYSQL *mysql, const char *sql, const char *key)
{
    assert_int_equal(mysql_query(mysql, sql), 0);
    MYSQL_RES *plan = mysql_store_result(mysql);
    unsigned column = 0;
    bool found = false;
    for (MYSQL_FIELD *f; (f = mysql_fetch_field(plan)) && strcmp(f->name, "key") != 0;)
        column++;
    for (MYSQL_ROW row; (row = mysql_fetch_row(plan));)
        found |= row[column] && !strcmp(row[column], key);
    mysql_free_result(plan);
    return found;
}

static unsigned long long count(MYSQL *mysql, const char *view, const char *where)
{
    char sql[600];
    snprintf(sql, sizeof sql, "SELECT id FROM %s WHERE %s", view, where);
    if (mysql_query(mysql, sql))
        fail_msg("%s: %s", sql, mysql_error(mysql));
    MYSQL_RES *result = mysql_store_result(mysql);
    unsigned long long rows = mysql_num_rows(result);
    mysql_free_result(result);
    return rows;
}

static void check_queries_of(MYSQL *mysql, const char *view)
{
    static const char *const zones[] = {"SET time_zone = '+00:00'", "SET time_zone = '+09:00'"};
    for (size_t z = 0; z < LENGTH(zones); z++)
        for (size_t i = 0; i < LENGTH(queries); i++) {
            char sql[600];
            assert_int_equal(mysql_query(mysql, zones[z]), 0);
            assert_int_equal(count(mysql, view, queries[i].where), queries[i].rows);
            snprintf(sql, sizeof sql, "EXPLAIN SELECT id FROM %s WHERE %s", view, queries[i].where);
            if (queries[i].key && !uses(mysql, sql, queries[i].key))
                fail_msg("%s: does not use %s", sql, queries[i].key);
        }
}

// Under the view's own name, and in a database where it has the name that the queries know
// (docs/OPERATIONS.md).
static void check_queries(void)
{
    MYSQL *mysql = admin_connect(server);
    admin_run(server, "CREATE OR REPLACE DATABASE reports");
    admin_run(server, "CREATE VIEW reports.tbl_task AS SELECT * FROM dtf.v_task");
    assert_int_equal(mysql_query(mysql, "ANALYZE TABLE dtf.tbl_task"), 0);
    mysql_free_result(mysql_store_result(mysql));
    assert_int_equal(mysql_select_db(mysql, "reports"), 0);
    check_queries_of(mysql, "tbl_task");
    check_queries_of(mysql, "dtf.v_task");
    mysql_close(mysql);
}

static void queries_of_a_new_database(void **state)
{
    (void)state;
    admin_empty(server);
    struct records *r = admin_open(server);
    fill(r);
    r->ops->close(r);
    check_queries();
}

// The store that was open before goes on beside the new schema, as coordinators of an older version do.
static void queries_of_an_older_database(void **state)
{
    (void)state;
    admin_empty(server);
    struct records *older = admin_open(server);
    admin_run(server, "DROP VIEW dtf.v_task");
    admin_run(server, "ALTER TABLE dtf.tbl_task DROP KEY task_uid, DROP KEY task_times, DROP KEY task_check, "
                      "DROP COLUMN start_at, DROP COLUMN finish_at, DROP COLUMN next_check_at, "
                      "DROP COLUMN deadline_at");
    admin_run(server, "DELETE FROM dtf.tbl_schema WHERE number >= 4");
    fill(older);
    must(records_mysql_migrate(server_url(server), &st));
    check_queries();
    struct records_new_task t = records_seed_task("more", NULL, NOON_2024);
    t.created_ms = NOON_2024;
    must(older->ops->create(older, &t, 1, &st));
    assert_int_equal(
        admin_number(server, "SELECT COUNT(*) FROM dtf.v_task WHERE start_time = '2024-01-01 12:00:00'"), 2);
    older->ops->close(older);
}

// Dates that no calendar has are no reason to refuse a task.
static void times_beyond_all_dates(void **state)
{
    (void)state;
    static const int64_t times[] = {INT64_MIN, -1, 0, 253402300800000, INT64_MAX};
    admin_empty(server);
    struct records *r = admin_open(server);
    for (size_t i = 0; i < LENGTH(times); i++) {
        struct records_new_task t = records_seed_task("strange", NULL, 1);
        t.created_ms = t.deadline_ms = times[i];
        must(r->ops->create(r, &t, 1, &st));
    }
    assert_int_equal(
        admin_number(server, "SELECT COUNT(*) FROM dtf.v_task WHERE start_time = '9999-12-31 23:59:59.999'"),
        2);
    assert_int_equal(admin_number(server, "SELECT COUNT(*) FROM dtf.v_task WHERE start_time IS NULL"), 1);
    r->ops->close(r);
}

static void queries_of_a_file(void **state)
{
    (void)state;
    char folder[] = "/tmp/records_dates_test.XXXXXX", path[100];
    struct db *db;
    sqlite3 *file;
    assert_non_null(mkdtemp(folder));
    must(db_open(folder, &db, &st));
    struct records *r = records_sqlite_open(db);
    fill(r);
    r->ops->close(r);
    snprintf(path, sizeof path, "%s/dtf.db", folder);
    assert_int_equal(sqlite3_open(path, &file), SQLITE_OK);
    for (size_t i = 0; i < LENGTH(queries); i++) {
        char sql[600];
        sqlite3_stmt *stmt;
        snprintf(sql, sizeof sql, "SELECT COUNT(*) FROM (SELECT id FROM v_task WHERE %s)", queries[i].where);
        assert_int_equal(sqlite3_prepare_v2(file, sql, -1, &stmt, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
        if ((unsigned long long)sqlite3_column_int64(stmt, 0) != queries[i].rows)
            fail_msg("%s: %lld rows", sql, (long long)sqlite3_column_int64(stmt, 0));
        sqlite3_finalize(stmt);
    }
    sqlite3_close(file);
    db_close(db);
    static const char *const names[] = {"dtf.db", "dtf.db-wal", "dtf.db-shm", "lock"};
    for (size_t i = 0; i < LENGTH(names); i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        unlink(path);
    }
    assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(queries_of_a_new_database),
        cmocka_unit_test(queries_of_an_older_database),
        cmocka_unit_test(times_beyond_all_dates),
        cmocka_unit_test(queries_of_a_file),
    };
    server = server_mariadb(NULL);
    int result = cmocka_run_group_tests(tests, NULL, NULL);
    server_destroy(server);
    return result;
}
