// SPDX-License-Identifier: Apache-2.0
// records_sqlite_schema.c: the tables of the SQLite record store, and every statement it runs.
//
// tbl_task has the columns that installations know from the first version of the framework, and what has come
// since. Times are milliseconds, time_cost is seconds. next_check_time is when somebody must look at the task
// at the latest: its deadline, and 0 when it has ended. AUTOINCREMENT keeps ids from being used twice; its
// counter is part of the transaction, so that a rolled back event leaves no gap.
#include "records/records_sqlite_internal.h"

#include "embedded/db_internal.h"

// The partial indexes hold what is unfinished (statuses 1..3) and what has ended (4 and up) apart.
_Static_assert(MODEL_PAUSED == 3 && MODEL_CANCELLED == 4, "the statements below split the statuses at 3");

static const char *const tables =
    "CREATE TABLE tbl_task("
    "  id INTEGER PRIMARY KEY AUTOINCREMENT,"
    "  name TEXT NOT NULL, description TEXT NOT NULL, uid INTEGER NOT NULL, creator TEXT NOT NULL,"
    "  start_time INTEGER NOT NULL, finish_time INTEGER NOT NULL DEFAULT 0, next_check_time INTEGER NOT NULL,"
    "  task_type TEXT NOT NULL, time_cost INTEGER NOT NULL DEFAULT 0, task_status INTEGER NOT NULL,"
    "  resource_group TEXT NOT NULL, priority INTEGER NOT NULL, deadline INTEGER NOT NULL,"
    "  idempotency_key TEXT, message TEXT,"
    "  generated INTEGER NOT NULL DEFAULT 0, succeeded INTEGER NOT NULL DEFAULT 0,"
    "  failed INTEGER NOT NULL DEFAULT 0, timed_out INTEGER NOT NULL DEFAULT 0,"
    "  cancelled INTEGER NOT NULL DEFAULT 0, retried INTEGER NOT NULL DEFAULT 0,"
    "  redispatched INTEGER NOT NULL DEFAULT 0, running INTEGER NOT NULL DEFAULT 0,"
    "  queued INTEGER NOT NULL DEFAULT 0, generation_done INTEGER NOT NULL DEFAULT 0,"
    "  param BLOB);"
    "CREATE UNIQUE INDEX task_key ON tbl_task(idempotency_key) WHERE idempotency_key IS NOT NULL;"
    "CREATE INDEX task_status ON tbl_task(task_status, id);"
    "CREATE INDEX task_unfinished ON tbl_task(id) WHERE task_status <= 3;"
    "CREATE INDEX task_ended ON tbl_task(finish_time, id) WHERE task_status > 3;"
    "CREATE TABLE tbl_task_event("
    "  sequence INTEGER PRIMARY KEY AUTOINCREMENT,"
    "  task INTEGER NOT NULL, task_status INTEGER NOT NULL, message TEXT, time INTEGER NOT NULL);"
    "CREATE INDEX event_task ON tbl_task_event(task, sequence);"
    "CREATE TABLE tbl_task_failure("
    "  task INTEGER, seq INTEGER, attempt INTEGER NOT NULL, kind INTEGER NOT NULL, code INTEGER NOT NULL,"
    "  message TEXT, run_us INTEGER NOT NULL, body BLOB, param BLOB,"
    "  PRIMARY KEY(task, seq)) WITHOUT ROWID;"
    "CREATE TABLE tbl_quota_group(name TEXT PRIMARY KEY, quota INTEGER NOT NULL) WITHOUT ROWID";

static const char *const steps[] = {tables};
const struct db_migrations records_migrations = {"records", steps, sizeof steps / sizeof *steps};

#define TASK_COLUMNS                                                                                         \
    "id, task_status, name, description, task_type, creator, resource_group, message, uid, priority, "       \
    "start_time, "                                                                                           \
    "deadline, finish_time, generated, succeeded, failed, timed_out, cancelled, retried, redispatched, "     \
    "running, "                                                                                              \
    "queued, generation_done"

const char *const records_sql[SQL_COUNT] = {
    [SQL_TASK_BY_KEY] = "SELECT id FROM tbl_task WHERE idempotency_key = ?",
    [SQL_TASK_INSERT] =
        "INSERT INTO tbl_task(name, description, task_type, creator, resource_group, uid, priority, "
        "idempotency_key, start_time, deadline, next_check_time, task_status, param) "
        "VALUES(ifnull(?1, ''), ifnull(?2, ''), ifnull(?3, ''), ifnull(?4, ''), ifnull(?5, ''), ?6, "
        "?7, nullif(?8, ''), ?9, ?10, ?10, ?11, ?12) RETURNING id",
    [SQL_TASK_STATUS] = "SELECT task_status FROM tbl_task WHERE id = ?",
    [SQL_TASK_SET_STATUS] = "UPDATE tbl_task SET task_status = ?2, message = ?3 WHERE id = ?1",
    [SQL_TASK_FINISH] =
        "UPDATE tbl_task SET task_status = ?2, message = ?3, finish_time = ?4, next_check_time = 0, "
        "time_cost = (?4 - start_time + 500) / 1000, generated = ?5, succeeded = ?6, failed = ?7, "
        "timed_out = ?8, cancelled = ?9, retried = ?10, redispatched = ?11, running = ?12, "
        "queued = ?13, generation_done = ?14 WHERE id = ?1",
    [SQL_TASK_GET] = "SELECT " TASK_COLUMNS ", param FROM tbl_task WHERE id = ?",
    [SQL_TASK_LIST] = "SELECT " TASK_COLUMNS ", NULL FROM tbl_task WHERE id < ? ORDER BY id DESC LIMIT ?",
    [SQL_TASK_LIST_STATUS] = "SELECT " TASK_COLUMNS ", NULL FROM tbl_task WHERE id < ? AND task_status = ?3 "
                             "ORDER BY id DESC LIMIT ?2",
    [SQL_TASK_UNFINISHED] = "SELECT " TASK_COLUMNS ", param FROM tbl_task WHERE task_status <= 3 AND id > ? "
                            "ORDER BY id LIMIT ?",
    [SQL_TASK_ENDED_COUNT] = "SELECT count(*) FROM tbl_task WHERE task_status > 3",
    [SQL_TASK_ENDED_BEFORE] = "SELECT count(*) FROM tbl_task WHERE task_status > 3 AND finish_time < ?",
    [SQL_TASK_ENDED_FIRST] = "SELECT id FROM tbl_task WHERE task_status > 3 ORDER BY finish_time, id LIMIT ?",
    [SQL_TASK_DELETE] = "DELETE FROM tbl_task WHERE id = ?",
    [SQL_EVENT_INSERT] = "INSERT INTO tbl_task_event(task, task_status, message, time) VALUES(?,?,?,?) "
                         "RETURNING sequence",
    [SQL_EVENT_AFTER] =
        "SELECT sequence, task, task_status, message, time FROM tbl_task_event WHERE sequence > ? "
        "ORDER BY sequence LIMIT ?",
    [SQL_EVENT_AFTER_OF] = "SELECT sequence, task, task_status, message, time FROM tbl_task_event "
                           "WHERE task = ?3 AND sequence > ?1 ORDER BY sequence LIMIT ?2",
    [SQL_EVENT_OLDEST] = "SELECT min(sequence) FROM tbl_task_event",
    [SQL_EVENT_LAST] = "SELECT seq FROM sqlite_sequence WHERE name = 'tbl_task_event'",
    [SQL_EVENT_TRIM] = "DELETE FROM tbl_task_event WHERE sequence <= ?",
    [SQL_EVENT_FORGET] = "DELETE FROM tbl_task_event WHERE task = ?",
    [SQL_FAILURE_INSERT] = "INSERT INTO tbl_task_failure SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9 "
                           "WHERE EXISTS(SELECT 1 FROM tbl_task WHERE id = ?1) ON CONFLICT DO NOTHING",
    [SQL_FAILURE_AFTER] =
        "SELECT task, seq, attempt, kind, code, message, run_us, body, param FROM tbl_task_failure "
        "WHERE task = ? AND seq > ? ORDER BY seq LIMIT ?",
    [SQL_FAILURE_FORGET] = "DELETE FROM tbl_task_failure WHERE task = ?",
    [SQL_GROUP_SET] = "REPLACE INTO tbl_quota_group VALUES(?,?)",
    [SQL_GROUP_LIST] = "SELECT name, quota FROM tbl_quota_group ORDER BY name",
};
