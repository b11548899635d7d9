// SPDX-License-Identifier: Apache-2.0
// admin.c: what tests of the MySQL record store do behind its back.
#include "admin.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

MYSQL *admin_connect(const struct server *s)
{
    MYSQL *mysql = mysql_init(NULL);
    if (!mysql_real_connect(mysql, NULL, "root", NULL, NULL, 0, server_socket(s), 0))
        fail_msg("%s", mysql_error(mysql));
    return mysql;
}

static void run(MYSQL *mysql, const char *sql)
{
    if (mysql_query(mysql, sql))
        fail_msg("%s: %s", sql, mysql_error(mysql));
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

struct records *admin_open(const struct server *s)
{
    struct nrpc_status st = {0};
    struct records *records = NULL;
    if (records_mysql_open(&(struct records_mysql_options){.url = server_url(s), .migrate = true}, &records,
                           &st))
        fail_msg("%s", st.text);
    return records;
}
