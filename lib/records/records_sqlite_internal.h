// SPDX-License-Identifier: Apache-2.0
// records_sqlite_internal.h: the statements of the SQLite record store, by name, and what its files share.
#ifndef RECORDS_SQLITE_INTERNAL_H
#define RECORDS_SQLITE_INTERNAL_H

#include "records/litecall.h"

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
    SQL_TASK_IMPORT,
    SQL_TASK_ASK_STOP,
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
    SQL_FAILURE_COUNT,
    SQL_FAILURE_DROP,
    SQL_GROUP_SET,
    SQL_GROUP_LIST,
    SQL_COUNTER_TAKE,
    SQL_MARK_GET,
    SQL_MARK_RAISE,
    SQL_MARK_PUT,
    SQL_TASK_BRIEF,
    SQL_INSTALLATION_PUT,
    SQL_INSTALLATION_GET,
    SQL_CHECK,
    SQL_RESUME_SAVE,
    SQL_RESUME_GET,
    SQL_RESUME_FORGET,
    SQL_FED_PUT,
    SQL_FED_AFTER,
    SQL_FED_SETTLED,
    SQL_FED_FORGET,
    SQL_COUNT,
};

extern const char *const records_sql[SQL_COUNT]; // records_sqlite_sql.c

// records_sqlite.c
void records_sqlite_read_task(struct litecall *c, sqlite3_stmt *stmt, void *item);
uint64_t records_sqlite_add_event(struct litecall *c, uint64_t task, enum model_status status,
                                  const char *message, int64_t time_ms);
void records_sqlite_add_failure(struct litecall *c, uint64_t task, const struct records_failure *f);

// records_sqlite_resume.c
int records_sqlite_next_ids(struct records *r, const char *name, uint64_t count, uint64_t *first,
                            struct nrpc_status *st);
int records_sqlite_marks(struct records *r, const struct model_marks *least, struct model_marks *were,
                         struct nrpc_status *st);
int records_sqlite_installation(struct records *r, uint64_t *id, struct nrpc_status *st);
int records_sqlite_tenure(struct records *r, struct records_tenure *t, struct nrpc_status *st);
int records_sqlite_clock(struct records *r, int64_t *now_ms, struct nrpc_status *st);
int records_sqlite_check(struct records *r, struct nrpc_status *st);
int records_sqlite_drop_failures(struct records *r, uint64_t task, struct nrpc_status *st);
int records_sqlite_ask_stop(struct records *r, uint64_t task, const char *message, int64_t now_ms,
                            struct nrpc_status *st);
int records_sqlite_save_resumes(struct records *r, const struct records_resume *points, size_t count,
                                struct nrpc_status *st);
int records_sqlite_resumes(struct records *r, const uint64_t *tasks, size_t count, struct arena *a,
                           struct records_resume *out, struct nrpc_status *st);
int records_sqlite_put_fed(struct records *r, uint64_t task, uint64_t at, uint64_t count, bool finish,
                           struct records_blob packed, struct nrpc_status *st);
int records_sqlite_fed(struct records *r, uint64_t task, uint64_t after_at, size_t max, struct arena *a,
                       struct records_fed **out, size_t *count, struct nrpc_status *st);

// records_sqlite_import.c
int records_sqlite_import(struct records *r, struct records_import *tasks, size_t count,
                          struct nrpc_status *st);

#endif
