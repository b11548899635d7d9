// SPDX-License-Identifier: Apache-2.0
// records_sqlite_internal.h: the statements of the SQLite record store, by name.
#ifndef RECORDS_SQLITE_INTERNAL_H
#define RECORDS_SQLITE_INTERNAL_H

enum records_sql {
    SQL_TASK_BY_KEY,
    SQL_TASK_INSERT,
    SQL_TASK_STATUS,
    SQL_TASK_SET_STATUS,
    SQL_TASK_FINISH,
    SQL_TASK_GET,
    SQL_TASK_LIST,
    SQL_TASK_LIST_STATUS,
    SQL_TASK_UNFINISHED,
    SQL_TASK_ENDED_COUNT,
    SQL_TASK_ENDED_BEFORE,
    SQL_TASK_ENDED_FIRST,
    SQL_TASK_DELETE,
    SQL_EVENT_INSERT,
    SQL_EVENT_AFTER,
    SQL_EVENT_AFTER_OF,
    SQL_EVENT_OLDEST,
    SQL_EVENT_LAST,
    SQL_EVENT_TRIM,
    SQL_EVENT_FORGET,
    SQL_FAILURE_INSERT,
    SQL_FAILURE_AFTER,
    SQL_FAILURE_FORGET,
    SQL_GROUP_SET,
    SQL_GROUP_LIST,
    SQL_COUNT,
};

extern const char *const records_sql[SQL_COUNT]; // records_sqlite_schema.c

#endif
