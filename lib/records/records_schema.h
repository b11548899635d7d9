// SPDX-License-Identifier: Apache-2.0
// records_schema.h: the numbered migrations of the record stores, one list for every kind of store.
//
// Entry i brings a store from version i to i + 1. Entries are never changed, only added, and only add to the
// tables what an older program does not look at: one may still be running.
#ifndef RECORDS_SCHEMA_H
#define RECORDS_SCHEMA_H

enum { RECORDS_SCHEMA_VERSION = 5 };

extern const char *const records_schema_names[RECORDS_SCHEMA_VERSION];
extern const char *const records_schema_sqlite[RECORDS_SCHEMA_VERSION];
extern const char *const records_schema_mysql[RECORDS_SCHEMA_VERSION]; // ';' between statements, in no text

#endif
