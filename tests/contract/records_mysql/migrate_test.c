// SPDX-License-Identifier: Apache-2.0
// migrate_test.c: the numbered schemas of the record stores: an empty, an older, a half migrated and a newer
// database, and many processes at once.
#include "admin.h"
#include "contract/records_fixture.h"
#include "embedded/db.h"
#include "records/records_schema.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct server *server;
static struct nrpc_status st;

static int empty(void **state)
{
    (void)state;
    admin_empty(server);
    return 0;
}

static void must(int code)
{
    if (code)
        fail_msg("%s", st.text);
}

static int open_mysql(bool migrate, struct records **out)
{
    return records_mysql_open(&(struct records_mysql_options){.url = server_url(server), .migrate = migrate},
                              out, &st);
}

static void assert_works(void)
{
    struct records *r;
    must(open_mysql(false, &r));
    struct records_new_task t = records_seed_task("x", "key", 1);
    must(r->ops->create(r, &t, 1, &st));
    struct records_resume p = {.task = t.id, .made = 1};
    must(r->ops->ask_stop(r, t.id, "why", 1, &st));
    must(r->ops->save_resumes(r, &p, 1, &st));
    must(r->ops->put_fed(r, t.id, 1, 1, false, p.checkpoint, &st));
    r->ops->close(r);
    assert_int_equal(admin_number(server, "SELECT MAX(number) FROM dtf.tbl_schema"), RECORDS_SCHEMA_VERSION);
    assert_int_equal(admin_number(server, "SELECT COUNT(*) FROM dtf.tbl_schema"), RECORDS_SCHEMA_VERSION);
}

static void an_empty_database_is_refused_or_filled(void **state)
{
    (void)state;
    struct records *r = NULL;
    assert_int_equal(open_mysql(false, &r), NRPC_FAILED_PRECONDITION);
    assert_non_null(strstr(st.text, "has schema 0, this program needs 5; run dtfd --migrate"));
    must(records_mysql_migrate(server_url(server), &st));
    must(records_mysql_migrate(server_url(server), &st));
    assert_works();
}

static void a_newer_schema_is_refused(void **state)
{
    (void)state;
    struct records *r = NULL;
    must(records_mysql_migrate(server_url(server), &st));
    admin_run(server, "INSERT INTO dtf.tbl_schema VALUES(7, 'of tomorrow', 1)");
    for (int migrate = 0; migrate <= 1; migrate++) {
        assert_int_equal(open_mysql(migrate, &r), NRPC_FAILED_PRECONDITION);
        assert_non_null(strstr(st.text, "schema 7 of the database dtf is newer than schema 5"));
        assert_non_null(strstr(st.text, "use a newer dtfd"));
    }
    assert_int_equal(records_mysql_migrate(server_url(server), &st), NRPC_FAILED_PRECONDITION);
}

static void an_open_store_outlives_a_newer_schema(void **state)
{
    (void)state;
    struct records *r = admin_open(server);
    struct records_new_task t = records_seed_task("x", NULL, 1);
    admin_run(server, "INSERT INTO dtf.tbl_schema VALUES(7, 'of tomorrow', 1)");
    admin_run(server, "ALTER TABLE dtf.tbl_task ADD COLUMN tomorrow INT");
    must(r->ops->create(r, &t, 1, &st));
    r->ops->close(r);
}

// ---- interrupted

// Runs the first n statements of all migrations and says whether there were more; the schema table is as a
// process would leave it that ended there.
static bool run_first(size_t n)
{
    MYSQL *mysql = admin_connect(server);
    assert_int_equal(mysql_select_db(mysql, "dtf"), 0);
    assert_int_equal(mysql_query(mysql, "CREATE TABLE tbl_schema(number INT UNSIGNED NOT NULL PRIMARY KEY, "
                                        "name VARCHAR(100) NOT NULL, applied_time BIGINT NOT NULL)"),
                     0);
    bool more = false;
    for (int i = 0; i < RECORDS_SCHEMA_VERSION && !more; i++) {
        for (const char *sql = records_schema_mysql[i]; *sql && !more;) {
            size_t bytes = strcspn(sql, ";");
            more = n == 0;
            if (!more && mysql_real_query(mysql, sql, bytes))
                fail_msg("%s", mysql_error(mysql));
            n -= !more;
            sql += bytes + (sql[bytes] == ';');
        }
        char done[100];
        snprintf(done, sizeof done, "INSERT INTO tbl_schema VALUES(%d, 'x', 1)", i + 1);
        if (!more)
            assert_int_equal(mysql_query(mysql, done), 0);
    }
    mysql_close(mysql);
    return more;
}

static void a_migration_that_was_cut_short_is_finished(void **state)
{
    (void)state;
    bool more = true;
    for (size_t n = 0; more; n++) {
        admin_empty(server);
        more = run_first(n);
        must(records_mysql_migrate(server_url(server), &st));
        assert_works();
    }
}

// ---- many at once

enum { PROCESSES = 8 };

// The child that this starts says by its exit code whether it opened the store; it must be small: the tests'
// own memory is not for it.
static pid_t open_in_a_process(void)
{
    pid_t pid = fork();
    if (pid)
        return pid;
    struct records *r = NULL;
    struct records_new_task t = records_seed_task("x", NULL, 1);
    int code = open_mysql(true, &r);
    if (!code)
        code = r->ops->create(r, &t, 1, &st);
    if (code)
        fprintf(stderr, "%s\n", st.text);
    _exit(code != 0);
}

static void many_processes_start_at_once(void **state)
{
    (void)state;
    for (int round = 0; round < 5; round++) {
        pid_t pids[PROCESSES];
        admin_empty(server);
        for (int i = 0; i < PROCESSES; i++)
            pids[i] = open_in_a_process();
        for (int i = 0; i < PROCESSES; i++) {
            int status;
            assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
            assert_int_equal(status, 0);
        }
        assert_int_equal(admin_number(server, "SELECT COUNT(*) FROM dtf.tbl_task"), PROCESSES);
        assert_int_equal(admin_number(server, "SELECT MAX(id) FROM dtf.tbl_task"), PROCESSES);
        assert_works();
    }
}

// ---- SQLite: a file of the first version

static char folder[64];

static sqlite3 *open_file(void)
{
    char path[100];
    sqlite3 *file;
    snprintf(path, sizeof path, "%s/dtf.db", folder);
    assert_int_equal(sqlite3_open(path, &file), SQLITE_OK);
    return file;
}

static void run_sqlite(sqlite3 *file, const char *sql)
{
    char *problem = NULL;
    if (sqlite3_exec(file, sql, NULL, NULL, &problem))
        fail_msg("%s: %s", sql, problem);
}

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/records_migrate_test.XXXXXX");
    assert_non_null(mkdtemp(folder));
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    static const char *const names[] = {"dtf.db", "dtf.db-wal", "dtf.db-shm", "lock"};
    for (size_t i = 0; i < LENGTH(names); i++) {
        char path[128];
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        unlink(path);
    }
    return rmdir(folder);
}

static void a_file_of_the_first_version_opens(void **state)
{
    (void)state;
    sqlite3 *file = open_file();
    run_sqlite(file, "PRAGMA journal_mode = WAL; CREATE TABLE schema_version("
                     "store TEXT PRIMARY KEY, version INTEGER NOT NULL) WITHOUT ROWID");
    run_sqlite(file, records_schema_sqlite[0]);
    run_sqlite(
        file,
        "INSERT INTO schema_version VALUES('records', 1);"
        "INSERT INTO tbl_task(id, name, description, uid, creator, start_time, next_check_time, task_type, "
        "task_status, resource_group, priority, deadline, idempotency_key, param) "
        "VALUES(41, 'old', 'from before', 9, 'ada', 5, 50, 'checksum', 2, 'default', 2000, 50, 'k', x'0102');"
        "INSERT INTO tbl_task_event VALUES(17, 41, 2, NULL, 5);"
        "INSERT INTO tbl_quota_group VALUES('default', 100)");
    sqlite3_close(file);
    struct db *db;
    struct arena a;
    struct records_task t;
    must(db_open(folder, &db, &st));
    struct records *r = records_sqlite_open(db);
    arena_init(&a, 0);
    must(r->ops->get(r, 41, &a, &t, &st));
    assert_string_equal(t.name, "old");
    assert_string_equal(t.idempotency_key, "k");
    assert_int_equal(t.param.bytes, 2);
    assert_false(t.stop_asked);
    must(r->ops->ask_stop(r, 41, "now", 6, &st));
    struct records_new_task next = records_seed_task("next", "k", 1);
    must(r->ops->create(r, &next, 1, &st));
    assert_true(next.existed);
    next.idempotency_key = NULL;
    must(r->ops->create(r, &next, 1, &st));
    assert_int_equal(next.id, 42);
    assert_int_equal(next.sequence, 18);
    arena_fini(&a);
    r->ops->close(r);
    db_close(db);
}

static void a_file_of_a_newer_version_is_refused(void **state)
{
    (void)state;
    struct db *db = NULL;
    must(db_open(folder, &db, &st));
    db_close(db);
    sqlite3 *file = open_file();
    run_sqlite(file, "UPDATE schema_version SET version = 99 WHERE store = 'records'");
    sqlite3_close(file);
    db = NULL;
    assert_int_equal(db_open(folder, &db, &st), NRPC_FAILED_PRECONDITION);
    assert_null(db);
    assert_non_null(strstr(st.text, "newer version"));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(an_empty_database_is_refused_or_filled, empty),
        cmocka_unit_test_setup(a_newer_schema_is_refused, empty),
        cmocka_unit_test_setup(an_open_store_outlives_a_newer_schema, empty),
        cmocka_unit_test_setup(a_migration_that_was_cut_short_is_finished, empty),
        cmocka_unit_test_setup(many_processes_start_at_once, empty),
        cmocka_unit_test_setup_teardown(a_file_of_the_first_version_opens, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_file_of_a_newer_version_is_refused, make_folder, remove_folder),
    };
    server = server_mariadb(NULL);
    int result = cmocka_run_group_tests(tests, NULL, NULL);
    server_destroy(server);
    return result;
}
