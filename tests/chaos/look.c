// SPDX-License-Identifier: Apache-2.0
// look.c: a connection for each look.
#include "chaos/look.h"

#include <mysql.h>
#include <stdio.h>
#include <stdlib.h>

enum { TIMEOUT_S = 2, COLUMNS_MAX = 8 };

// Over its socket: root needs no password there.
static MYSQL *open_database(struct server *mariadb)
{
    unsigned timeout_s = TIMEOUT_S;
    if (!server_pid(mariadb))
        return NULL;
    MYSQL *m = mysql_init(NULL);
    mysql_options(m, MYSQL_OPT_CONNECT_TIMEOUT, &timeout_s);
    mysql_options(m, MYSQL_OPT_READ_TIMEOUT, &timeout_s);
    if (mysql_real_connect(m, NULL, "root", NULL, NULL, 0, server_socket(mariadb), 0))
        return m;
    mysql_close(m);
    return NULL;
}

bool look_do(struct server *mariadb, const char *statement)
{
    MYSQL *m = open_database(mariadb);
    bool done = m && mysql_query(m, statement) == 0;
    if (m && !done)
        fprintf(stderr, "%s: %s\n", statement, mysql_error(m));
    if (m)
        mysql_close(m);
    return done;
}

bool look_empty_database(struct server *mariadb)
{
    return look_do(mariadb, "DROP DATABASE IF EXISTS dtf") && look_do(mariadb, "CREATE DATABASE dtf");
}

bool look(struct server *mariadb, const char *query, look_fn each, void *user)
{
    uint64_t columns[COLUMNS_MAX];
    MYSQL *m = open_database(mariadb);
    MYSQL_RES *rows = NULL;
    if (m && mysql_select_db(m, "dtf") == 0 && mysql_query(m, query) == 0)
        rows = mysql_store_result(m);
    for (MYSQL_ROW row; rows && (row = mysql_fetch_row(rows));) {
        for (unsigned i = 0; i < mysql_num_fields(rows) && i < COLUMNS_MAX; i++)
            columns[i] = row[i] ? strtoull(row[i], NULL, 10) : 0;
        each(user, columns);
    }
    if (rows)
        mysql_free_result(rows);
    if (m)
        mysql_close(m);
    return rows;
}
