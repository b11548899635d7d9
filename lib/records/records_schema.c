// SPDX-License-Identifier: Apache-2.0
// records_schema.c: the tables of the record stores, as numbered migrations.
//
// tbl_task has the columns that installations know from the first version of the framework, and what has come
// since. Times are milliseconds, time_cost is seconds. next_check_time is when somebody must look at the task
// at the latest: its deadline, and 0 when it has ended.
//
// The view `v_task` has the same columns with times as dates in UTC, for queries by hand and of programs that
// knew tbl_task with such: NULL where the number is 0. In MySQL it reads columns that are generated from the
// numbers and have keys: a function of a number in the view could use none. They are stored, since keys of
// virtual columns make each server purge by computing them; and no session's time zone can change them. The
// numbers keep their names, since coordinators from before this migration may go on beside it.
//
// SQLite: AUTOINCREMENT keeps ids from being used twice; its counter is part of the transaction, so that a
// rolled back event leaves no gap. tbl_counter is there for other ids.
//
// MySQL: AUTO_INCREMENT promises neither, so tbl_counter has a row for tasks and one for events. Its DDL
// commits by itself, so a migration may be cut short between two statements and is then run again as a whole.
// Text is utf8mb4 and compared as bytes; keys are VARBINARY, because utf8mb4_bin takes "a" and "a " for the
// same. `ended` is there for the indexes: MySQL has no partial ones.
#include "records/records_schema.h"

#include "model/task.h"

// What is unfinished (statuses 1..3) and what has ended (4 and up) are kept apart by the indexes.
_Static_assert(MODEL_PAUSED == 3 && MODEL_CANCELLED == 4, "the statements below split the statuses at 3");

static const char sqlite_1[] =
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

static const char sqlite_2[] =
    "ALTER TABLE tbl_task ADD COLUMN stop_asked INTEGER;"
    "ALTER TABLE tbl_task ADD COLUMN stop_message TEXT;"
    "CREATE TABLE tbl_resume_point("
    "  task INTEGER PRIMARY KEY, made INTEGER NOT NULL, checkpoint BLOB, progress_percent INTEGER NOT NULL,"
    "  generated INTEGER NOT NULL, succeeded INTEGER NOT NULL, failed INTEGER NOT NULL,"
    "  timed_out INTEGER NOT NULL, cancelled INTEGER NOT NULL, retried INTEGER NOT NULL,"
    "  redispatched INTEGER NOT NULL, running INTEGER NOT NULL, queued INTEGER NOT NULL,"
    "  generation_done INTEGER NOT NULL);"
    "CREATE TABLE tbl_fed("
    "  task INTEGER, position INTEGER, amount INTEGER, finish INTEGER NOT NULL, packed BLOB,"
    "  PRIMARY KEY(task, position, amount));"
    "CREATE TABLE tbl_counter(name TEXT PRIMARY KEY, next_id INTEGER NOT NULL) WITHOUT ROWID";

#define TABLE_OPTIONS " ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;"
#define COUNTERS                                                                                             \
    "  generated BIGINT UNSIGNED NOT NULL DEFAULT 0, succeeded BIGINT UNSIGNED NOT NULL DEFAULT 0,"          \
    "  failed BIGINT UNSIGNED NOT NULL DEFAULT 0, timed_out BIGINT UNSIGNED NOT NULL DEFAULT 0,"             \
    "  cancelled BIGINT UNSIGNED NOT NULL DEFAULT 0, retried BIGINT UNSIGNED NOT NULL DEFAULT 0,"            \
    "  redispatched BIGINT UNSIGNED NOT NULL DEFAULT 0, running BIGINT UNSIGNED NOT NULL DEFAULT 0,"         \
    "  queued BIGINT UNSIGNED NOT NULL DEFAULT 0, generation_done TINYINT NOT NULL DEFAULT 0"

static const char mysql_1[] =
    "CREATE TABLE IF NOT EXISTS tbl_task("
    "  id BIGINT UNSIGNED NOT NULL PRIMARY KEY,"
    "  name VARCHAR(100) NOT NULL DEFAULT '', description VARCHAR(255) NOT NULL DEFAULT '',"
    "  uid BIGINT UNSIGNED NOT NULL DEFAULT 0, creator VARCHAR(100) NOT NULL DEFAULT '',"
    "  start_time BIGINT NOT NULL DEFAULT 0, finish_time BIGINT NOT NULL DEFAULT 0,"
    "  next_check_time BIGINT NOT NULL DEFAULT 0, task_type VARCHAR(100) NOT NULL DEFAULT '',"
    "  time_cost BIGINT NOT NULL DEFAULT 0, task_status TINYINT NOT NULL,"
    "  resource_group VARCHAR(100) NOT NULL DEFAULT '', priority INT UNSIGNED NOT NULL DEFAULT 0,"
    "  deadline BIGINT NOT NULL DEFAULT 0, idempotency_key VARBINARY(100), message MEDIUMTEXT," COUNTERS
    ", param MEDIUMBLOB,"
    "  ended TINYINT GENERATED ALWAYS AS (task_status > 3) STORED,"
    "  UNIQUE KEY task_key(idempotency_key), KEY task_status(task_status, id),"
    "  KEY task_unfinished(ended, id), KEY task_ended(ended, finish_time, id))" TABLE_OPTIONS
    "CREATE TABLE IF NOT EXISTS tbl_task_event("
    "  sequence BIGINT UNSIGNED NOT NULL PRIMARY KEY, task BIGINT UNSIGNED NOT NULL,"
    "  task_status TINYINT NOT NULL, message MEDIUMTEXT, time BIGINT NOT NULL,"
    "  KEY event_task(task, sequence))" TABLE_OPTIONS "CREATE TABLE IF NOT EXISTS tbl_task_failure("
    "  task BIGINT UNSIGNED NOT NULL, seq BIGINT UNSIGNED NOT NULL, attempt INT UNSIGNED NOT NULL,"
    "  kind TINYINT NOT NULL, code INT NOT NULL, message MEDIUMTEXT, run_us BIGINT NOT NULL,"
    "  body MEDIUMBLOB, param MEDIUMBLOB, PRIMARY KEY(task, seq))" TABLE_OPTIONS
    "CREATE TABLE IF NOT EXISTS tbl_quota_group("
    "  name VARBINARY(100) NOT NULL PRIMARY KEY, quota INT UNSIGNED NOT NULL)" TABLE_OPTIONS
    "CREATE TABLE IF NOT EXISTS tbl_counter("
    "  name VARBINARY(100) NOT NULL PRIMARY KEY, next_id BIGINT UNSIGNED NOT NULL)" TABLE_OPTIONS
    "INSERT IGNORE INTO tbl_counter VALUES('tbl_task', 1), ('tbl_task_event', 1)";

static const char mysql_2[] =
    "ALTER TABLE tbl_task ADD COLUMN stop_asked BIGINT;"
    "ALTER TABLE tbl_task ADD COLUMN stop_message MEDIUMTEXT;"
    "CREATE TABLE IF NOT EXISTS tbl_resume_point("
    "  task BIGINT UNSIGNED NOT NULL PRIMARY KEY, made BIGINT UNSIGNED NOT NULL, checkpoint MEDIUMBLOB,"
    "  progress_percent INT NOT NULL," COUNTERS ")" TABLE_OPTIONS "CREATE TABLE IF NOT EXISTS tbl_fed("
    "  task BIGINT UNSIGNED NOT NULL, position BIGINT UNSIGNED NOT NULL, amount BIGINT UNSIGNED NOT NULL,"
    "  finish TINYINT NOT NULL, packed MEDIUMBLOB, PRIMARY KEY(task, position, amount))" TABLE_OPTIONS;

static const char sqlite_3[] = "ALTER TABLE tbl_resume_point ADD COLUMN number INTEGER NOT NULL DEFAULT 0;"
                               "ALTER TABLE tbl_task_failure ADD COLUMN point INTEGER NOT NULL DEFAULT 0";

static const char mysql_3[] =
    "ALTER TABLE tbl_resume_point ADD COLUMN number BIGINT UNSIGNED NOT NULL DEFAULT 0;"
    "ALTER TABLE tbl_task_failure ADD COLUMN point BIGINT UNSIGNED NOT NULL DEFAULT 0";

#define SAME_COLUMNS                                                                                         \
    "  task_type, time_cost, task_status, resource_group, priority, message, generated, succeeded, failed,"  \
    "  timed_out, cancelled, retried, redispatched, idempotency_key FROM tbl_task"

// After the year 9999 it is the end of that year.
#define DATE_MS(column) "LEAST(GREATEST(NULLIF(" column ", 0), 0), 253402300799999)"

// Six digits, since what rounds depends on the SQL mode, and is not allowed in MariaDB.
#define ADD_DATE(name, column)                                                                               \
    " ADD COLUMN " name " DATETIME(6) GENERATED ALWAYS AS"                                                   \
    " (TIMESTAMPADD(MICROSECOND, " DATE_MS(column) " * 1000, TIMESTAMP'1970-01-01 00:00:00')) STORED,"

// clang-format off
static const char mysql_4[] =
    "ALTER TABLE tbl_task"
    ADD_DATE("start_at", "start_time")
    ADD_DATE("finish_at", "finish_time")
    ADD_DATE("next_check_at", "next_check_time")
    ADD_DATE("deadline_at", "deadline")
    " ADD KEY task_uid(uid), ADD KEY task_times(start_at, finish_at), ADD KEY task_check(next_check_at);"
    "CREATE SQL SECURITY INVOKER VIEW v_task AS SELECT id, name, description, uid, creator,"
    "  start_at AS start_time, finish_at AS finish_time, next_check_at AS next_check_time,"
    "  deadline_at AS deadline,"
    SAME_COLUMNS;

#define TEXT_AS(column)                                                                                      \
    " strftime('%Y-%m-%d %H:%M:%f', min(max(nullif(" column ", 0), 0), 253402300799999) / 1000.0,"           \
    " 'unixepoch') AS " column ","

static const char sqlite_4[] =
    "CREATE INDEX task_uid ON tbl_task(uid);"
    "CREATE VIEW v_task AS SELECT id, name, description, uid, creator,"
    TEXT_AS("start_time")
    TEXT_AS("finish_time")
    TEXT_AS("next_check_time")
    TEXT_AS("deadline")
    SAME_COLUMNS;
// clang-format on

static const char sqlite_5[] = "SELECT 1"; // the state is in the same file

static const char mysql_5[] =
    "CREATE TABLE IF NOT EXISTS tbl_state("
    "  one TINYINT NOT NULL PRIMARY KEY, holder BIGINT UNSIGNED NOT NULL, who VARBINARY(1000) NOT NULL,"
    "  heard BIGINT NOT NULL)" TABLE_OPTIONS;

// number, what it brings, SQLite's text, MySQL's text
#define MIGRATIONS(M)                                                                                        \
    M(1, "tasks, history, failures, groups", sqlite_1, mysql_1)                                              \
    M(2, "resume points, fed subtasks, asked stops, ids", sqlite_2, mysql_2)                                 \
    M(3, "which point counts a failure", sqlite_3, mysql_3)                                                  \
    M(4, "times as dates, and keys for them", sqlite_4, mysql_4)                                             \
    M(5, "which state the tasks are run with", sqlite_5, mysql_5)

#define NAME(number, name, sqlite, mysql) [(number)-1] = (name),
#define SQLITE_TEXT(number, name, sqlite, mysql) [(number)-1] = (sqlite),
#define MYSQL_TEXT(number, name, sqlite, mysql) [(number)-1] = (mysql),

const char *const records_schema_names[RECORDS_SCHEMA_VERSION] = {MIGRATIONS(NAME)};
const char *const records_schema_sqlite[RECORDS_SCHEMA_VERSION] = {MIGRATIONS(SQLITE_TEXT)};
const char *const records_schema_mysql[RECORDS_SCHEMA_VERSION] = {MIGRATIONS(MYSQL_TEXT)};
