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
// One store that knows all these servers, in this order.
struct records *admin_open_all(struct server *const *servers, size_t count);
const char *admin_url(struct server *const *servers, size_t count); // its url, until the next call
// Checks the store until its sentence has these words; how long that took.
int64_t admin_wait_for_words(struct records *r, const char *words, int64_t within_ms);

#endif
