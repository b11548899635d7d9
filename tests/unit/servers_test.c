// SPDX-License-Identifier: Apache-2.0
// servers_test.c: what is written outlives what it should outlive: SIGKILL, SIGTERM, a pause, a failover, and
// not a wipe.
#include "servers/servers.h"

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
#include <unistd.h>

#include <cmocka.h>

enum { WITHIN_MS = 30000 };

static void expect(const struct server *s, const char *command, const char *answer)
{
    char text[8000];
    server_ask(s, command, text, sizeof text);
    assert_string_equal(text, answer);
}

static void expect_within(const struct server *s, const char *command, const char *answer)
{
    char text[8000];
    int64_t until_ms = clock_now_ms() + WITHIN_MS;
    do
        server_ask(s, command, text, sizeof text);
    while (!strstr(text, answer) && clock_now_ms() < until_ms && poll(NULL, 0, 10) == 0);
    assert_non_null(strstr(text, answer));
}

static void test_redis_keeps_its_data_on_disk(void **state)
{
    (void)state;
    struct server *s =
        server_redis(&(struct server_redis_options){.aof = true, .config = "appendfsync always"});
    uint16_t port = server_port(s);
    char url[100];
    snprintf(url, sizeof url, "redis://127.0.0.1:%u", port);
    assert_string_equal(server_url(s), url);
    assert_int_equal(access(server_socket(s), F_OK), 0);
    expect(s, "SET a 1", "+OK\r\n");
    server_kill(s);
    assert_int_equal(server_pid(s), 0);
    server_start(s);
    assert_int_equal(server_port(s), port);
    expect(s, "GET a", "$1\r\n1\r\n");
    server_terminate(s);
    server_start(s);
    expect(s, "GET a", "$1\r\n1\r\n");
    server_kill(s);
    server_wipe(s);
    server_start(s);
    expect(s, "GET a", "$-1\r\n");
    server_destroy(s);
}

static void test_redis_without_aof_forgets(void **state)
{
    (void)state;
    struct server *s = server_redis(&(struct server_redis_options){.password = "p-1", .maxmemory = "20mb"});
    char url[100];
    snprintf(url, sizeof url, "redis://:p-1@127.0.0.1:%u", server_port(s));
    assert_string_equal(server_url(s), url);
    expect(s, "CONFIG GET maxmemory", "*2\r\n$9\r\nmaxmemory\r\n$8\r\n20971520\r\n");
    expect(s, "SET a 1", "+OK\r\n");
    server_kill(s);
    server_start(s);
    expect(s, "GET a", "$-1\r\n");
    server_destroy(s);
}

static void test_a_paused_server_answers_when_it_goes_on(void **state)
{
    (void)state;
    struct server *s = server_redis(NULL);
    pid_t pid = server_pid(s);
    server_pause(s);
    expect(s, "PING", "");
    server_resume(s);
    expect(s, "PING", "+PONG\r\n");
    assert_int_equal(server_pid(s), pid);
    server_pause(s);
    server_terminate(s); // even so
    server_start(s);
    expect(s, "PING", "+PONG\r\n");
    server_destroy(s);
}

static void test_a_sentinel_promotes_the_replica(void **state)
{
    (void)state;
    struct server *master = server_redis(&(struct server_redis_options){.password = "p"});
    struct server *replica =
        server_redis(&(struct server_redis_options){.password = "p", .replica_of = master});
    struct server *sentinel = server_sentinel(&(struct server_sentinel_options){.master = master});
    expect(master, "SET a 1", "+OK\r\n");
    expect(master, "WAIT 1 10000", ":1\r\n");
    server_kill(master);
    char port[20];
    snprintf(port, sizeof port, "\r\n%u\r\n", server_port(replica));
    expect_within(sentinel, "SENTINEL GET-MASTER-ADDR-BY-NAME dtf", port);
    expect_within(replica, "ROLE", "master");
    expect(replica, "GET a", "$1\r\n1\r\n");
    server_destroy(sentinel);
    server_destroy(replica);
    server_destroy(master);
}

// The first column of the first row, or -1 if there is no row, or -the code of the error.
static int query(const struct server *s, bool by_socket, const char *sql)
{
    MYSQL *m = mysql_init(NULL);
    const char *host = by_socket ? "localhost" : "127.0.0.1", *path = by_socket ? server_socket(s) : NULL;
    int answer = -1;
    if (mysql_real_connect(m, host, "me", "p@ss", "work", server_port(s), path, 0) && !mysql_query(m, sql)) {
        MYSQL_RES *result = mysql_store_result(m);
        MYSQL_ROW row = result ? mysql_fetch_row(result) : NULL;
        answer = row ? (int)strtol(row[0], NULL, 10) : -1;
        mysql_free_result(result);
    } else {
        answer = -(int)mysql_errno(m);
    }
    mysql_close(m);
    return answer;
}

static void test_mariadb_keeps_its_data(void **state)
{
    (void)state;
    enum { NO_SUCH_TABLE = 1146 };
    struct server *s = server_mariadb(&(struct server_mariadb_options){
        .user = "me", .password = "p@ss", .database = "work", .config = "max-allowed-packet=2M"});
    assert_int_equal(query(s, false, "SELECT @@max_allowed_packet"), 2 << 20);
    assert_int_equal(query(s, false, "CREATE TABLE t (a INT) ENGINE=InnoDB"), -1);
    assert_int_equal(query(s, true, "INSERT INTO t VALUES (7)"), -1);
    server_kill(s);
    server_start(s);
    assert_int_equal(query(s, false, "SELECT a FROM t"), 7);
    server_terminate(s);
    server_start(s);
    assert_int_equal(query(s, true, "SELECT a FROM t"), 7);
    server_terminate(s);
    server_wipe(s);
    server_start(s);
    assert_int_equal(query(s, false, "SELECT a FROM t"), -NO_SUCH_TABLE);
    server_destroy(s);
    mysql_library_end();
}

// Left running: the end of the program takes it and its folder.
static void test_a_server_ends_with_the_program(void **state)
{
    (void)state;
    assert_int_not_equal(server_pid(server_redis(NULL)), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_redis_keeps_its_data_on_disk),
        cmocka_unit_test(test_redis_without_aof_forgets),
        cmocka_unit_test(test_a_paused_server_answers_when_it_goes_on),
        cmocka_unit_test(test_a_sentinel_promotes_the_replica),
        cmocka_unit_test(test_mariadb_keeps_its_data),
        cmocka_unit_test(test_a_server_ends_with_the_program),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
