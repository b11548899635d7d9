// SPDX-License-Identifier: Apache-2.0
// look.h: looks straight into the database of a site, past everything that is tested.
#ifndef TESTS_CHAOS_LOOK_H
#define TESTS_CHAOS_LOOK_H

#include "servers/servers.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Called for each row; a column that is NULL is 0.
typedef void (*look_fn)(void *user, const uint64_t *columns);

bool look_empty_database(struct server *mariadb); // an empty database under the same name
// Rows of numbers. false: there was no answer within some seconds; some rows may have been given.
bool look(struct server *mariadb, const char *query, look_fn each, void *user);
// Runs a statement as the owner of the server, "" for the database.
bool look_do(struct server *mariadb, const char *statement);

#endif
