// SPDX-License-Identifier: Apache-2.0
// admin.c: what tests of the MySQL record store do behind its back.
#include "admin.h"

#include "base/clock.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void run(MYSQL *mysql, const char *sql)
{
    if (mysql_query(mysql, sql))
        fail_msg("%s: %s", sql, mysql_error(mysql));
}

MYSQL *admin_connect(const struct server *s)
{
    MYSQL *mysql = mysql_init(NULL);
    if (!mysql_real_connect(mysql, NULL, "root", NULL, NULL, 0, server_socket(s), 0))
        fail_msg("%s", mysql_error(mysql));
    run(mysql, "SET SESSION wsrep_sync_wait = 15"); // of a node: what others have written is there
    return mysql;
}

void admin_run(const struct server *s, const char *sql)
{
    MYSQL *mysql = admin_connect(s);
    run(mysql, sql);
    mysql_close(mysql);
}

unsigned long long admin_number(const struct server *s, const char *sql)
{
    MYSQL *mysql = admin_connect(s);
    run(mysql, sql);
    MYSQL_RES *result = mysql_store_result(mysql);
    assert_non_null(result);
    MYSQL_ROW row = mysql_fetch_row(result);
    unsigned long long n = row && row[0] ? strtoull(row[0], NULL, 10) : 0;
    mysql_free_result(result);
    mysql_close(mysql);
    return n;
}

void admin_empty(const struct server *s)
{
    admin_run(s, "DROP DATABASE IF EXISTS dtf");
    admin_run(s,
              "CREATE DATABASE dtf CHARACTER SET latin1"); // not what we need: the tables say it themselves
}

static struct records *open_url(const char *url)
{
    struct nrpc_status st = {0};
    struct records *records = NULL;
    if (records_mysql_open(&(struct records_mysql_options){.url = url, .migrate = true}, &records, &st))
        fail_msg("%s", st.text);
    return records;
}

struct records *admin_open(const struct server *s)
{
    return open_url(server_url(s));
}

const char *admin_url(struct server *const *servers, size_t count)
{
    static char url[300];
    int n = snprintf(url, sizeof url, "mysql://dtf:secret@");
    for (size_t i = 0; i < count; i++)
        n += snprintf(url + n, sizeof url - (size_t)n, "%s127.0.0.1:%u", i ? "," : "",
                      server_port(servers[i]));
    snprintf(url + n, sizeof url - (size_t)n, "/dtf");
    return url;
}

struct records *admin_open_all(struct server *const *servers, size_t count)
{
    return open_url(admin_url(servers, count));
}

int64_t admin_wait_for_words(struct records *r, const char *words, int64_t within_ms)
{
    struct nrpc_status st = {0};
    int64_t begin_ms = clock_now_ms();
    while (r->ops->check(r, &st), !strstr(st.text, words)) {
        if (clock_now_ms() - begin_ms > within_ms)
            fail_msg("\"%s\" does not say \"%s\"", st.text, words);
        (void)poll(NULL, 0, 5);
    }
    return clock_now_ms() - begin_ms;
}
