// SPDX-License-Identifier: Apache-2.0
// admin.h: what tests of the MySQL record store do behind its back, as root of their private server.
#ifndef TESTS_RECORDS_ADMIN_H
#define TESTS_RECORDS_ADMIN_H

#include "records/records_mysql.h"
#include "servers/servers.h"

#include <mysql.h>

// Each fails by assertion.
MYSQL *admin_connect(const struct server *s); // close it with mysql_close
void admin_run(const struct server *s, const char *sql);
unsigned long long admin_number(const struct server *s, const char *sql); // the one that a query gives
void admin_empty(const struct server *s);                                 // makes the database dtf anew

struct records *admin_open(const struct server *s); // with migrations

#endif
