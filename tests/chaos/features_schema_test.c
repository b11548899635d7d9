// SPDX-License-Identifier: Apache-2.0
// features_schema_test.c: programs and databases of different schema versions: which of them go together, and
// what is said when they do not.
#include "chaos/look.h"
#include "servers/servers.h"
#include "system/daemon.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include <signal.h>

#include <cmocka.h>

static struct server *redis, *mariadb;

static int setup(void **state)
{
    (void)state;
    redis = server_redis(&(struct server_redis_options){.aof = true});
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

static bool start_coordinator(struct daemon *d)
{
    const char *args[] = {"--role", "coordinator", "--listen", "tcp://127.0.0.1:0", "--log", "error", NULL};
    return daemon_start(d, "dtfd", args);
}

static void take_number(void *user, const uint64_t *columns)
{
    *(uint64_t *)user = columns[0];
}

static uint64_t number(const char *query)
{
    uint64_t n = 0;
    assert_true(look(mariadb, query, take_number, &n));
    return n;
}

static const char newest[] = "SELECT MAX(number) FROM tbl_schema";

static void refuses_a_newer_schema(void **state)
{
    (void)state;
    char text[2000];
    struct daemon older;
    assert_true(start_coordinator(&older)); // from before; it goes on
    uint64_t ours = number(newest);
    assert_true(look_do(mariadb, "INSERT INTO dtf.tbl_schema VALUES(1000, 'of the future', 0)"));
    assert_int_equal(run("--role coordinator --listen tcp://127.0.0.1:0", text, sizeof text), 1);
    assert_non_null(strstr(text, "schema 1000 of the database dtf is newer than schema"));
    assert_int_equal(run("--migrate", text, sizeof text), 1);
    assert_non_null(strstr(text, "use a newer dtfd"));
    assert_true(look_do(mariadb, "DELETE FROM dtf.tbl_schema WHERE number = 1000"));
    assert_int_equal(number(newest), ours);
    daemon_kill(&older, SIGTERM);
    assert_true(start_coordinator(&older));
    daemon_kill(&older, SIGTERM);
}

// A migration that was cut short is done again as a whole.
static void brings_an_older_schema_up_to_date(void **state)
{
    (void)state;
    char text[2000];
    struct daemon d;
    assert_int_equal(run("--migrate", text, sizeof text), 0);
    uint64_t ours = number(newest);
    assert_true(look_do(mariadb, "DELETE FROM dtf.tbl_schema WHERE number > 1"));
    assert_true(look_do(mariadb, "DROP TABLE dtf.tbl_fed"));
    assert_true(start_coordinator(&d));
    assert_int_equal(number(newest), ours);
    assert_int_equal(number("SELECT COUNT(*) FROM tbl_fed"), 0);
    daemon_kill(&d, SIGTERM);
}

// The daemon's user may not change tables: another one does it, once.
static void needs_no_right_to_change_tables(void **state)
{
    (void)state;
    char text[2000], url[300];
    struct daemon d;
    snprintf(url, sizeof url, "mysql://plain:secret@127.0.0.1:%u/dtf", server_port(mariadb));
    assert_true(look_empty_database(mariadb));
    assert_true(look_do(mariadb, "CREATE USER plain@127.0.0.1 IDENTIFIED BY 'secret'"));
    assert_true(look_do(mariadb, "GRANT SELECT, INSERT, UPDATE, DELETE ON dtf.* TO plain@127.0.0.1"));
    setenv("DTF_MYSQL_URL", url, 1);
    assert_int_equal(
        run("--role coordinator --listen tcp://127.0.0.1:0 --start-timeout 0", text, sizeof text), 1);
    assert_null(strstr(text, "secret"));
    setenv("DTF_MYSQL_URL", server_url(mariadb), 1);
    assert_int_equal(run("--migrate", text, sizeof text), 0);
    assert_string_equal(text, "the database is up to date\n");
    setenv("DTF_MYSQL_URL", url, 1);
    // These records are another installation's: the state of the former one is not taken for theirs.
    assert_int_equal(
        run("--role coordinator --listen tcp://127.0.0.1:0 --start-timeout 0", text, sizeof text), 1);
    assert_non_null(strstr(text, "name those that belong together"));
    char answer[100];
    server_ask(redis, "FLUSHALL", answer, sizeof answer);
    assert_true(start_coordinator(&d));
    daemon_kill(&d, SIGTERM);
    setenv("DTF_MYSQL_URL", server_url(mariadb), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_a_newer_schema),
        cmocka_unit_test(brings_an_older_schema_up_to_date),
        cmocka_unit_test(needs_no_right_to_change_tables),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
