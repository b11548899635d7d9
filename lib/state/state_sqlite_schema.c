// SPDX-License-Identifier: Apache-2.0
// state_sqlite_schema.c: the tables of the SQLite state store, and every statement it runs.
#include "state/state_sqlite_internal.h"

// Columns that change with every batch are kept out of the indexes; phase, claim_at and owner change rarely.
static const char *const tables =
    "CREATE TABLE task("
    "  id INTEGER PRIMARY KEY,"
    "  type TEXT NOT NULL, task_group TEXT NOT NULL, priority INTEGER NOT NULL, deadline INTEGER NOT NULL,"
    "  max_retries INTEGER NOT NULL, retry_backoff INTEGER NOT NULL, tolerated INTEGER NOT NULL,"
    "  max_running INTEGER NOT NULL, keep_results INTEGER NOT NULL, fed INTEGER NOT NULL,"
    "  closing_callback INTEGER NOT NULL,"
    "  phase INTEGER NOT NULL DEFAULT 1, claim_at INTEGER, owner INTEGER NOT NULL DEFAULT 0,"
    "  owner_until INTEGER NOT NULL DEFAULT 0, fence INTEGER NOT NULL DEFAULT 0, version INTEGER NOT NULL "
    "DEFAULT 0,"
    "  paused INTEGER NOT NULL DEFAULT 0, outcome INTEGER NOT NULL DEFAULT 0, message TEXT,"
    "  generated INTEGER NOT NULL DEFAULT 0, succeeded INTEGER NOT NULL DEFAULT 0, failed INTEGER NOT NULL "
    "DEFAULT 0,"
    "  timed_out INTEGER NOT NULL DEFAULT 0, cancelled INTEGER NOT NULL DEFAULT 0, retried INTEGER NOT NULL "
    "DEFAULT 0,"
    "  redispatched INTEGER NOT NULL DEFAULT 0, running INTEGER NOT NULL DEFAULT 0, queued INTEGER NOT NULL "
    "DEFAULT 0,"
    "  generation_done INTEGER NOT NULL DEFAULT 0, made INTEGER NOT NULL DEFAULT 0, cursor INTEGER NOT NULL "
    "DEFAULT 1,"
    "  results INTEGER NOT NULL DEFAULT 0, results_read INTEGER NOT NULL DEFAULT 0,"
    "  progress INTEGER NOT NULL DEFAULT -1);"
    "CREATE INDEX task_phase ON task(phase);"
    "CREATE INDEX task_deadline ON task(deadline) WHERE phase <= 2;"
    "CREATE INDEX task_claim ON task(claim_at) WHERE claim_at IS NOT NULL;"
    "CREATE INDEX task_owner ON task(owner) WHERE owner <> 0;"
    "CREATE TABLE task_param(task INTEGER PRIMARY KEY, data BLOB);"
    "CREATE TABLE checkpoint(task INTEGER PRIMARY KEY, data BLOB);"
    "CREATE TABLE params(task INTEGER, first INTEGER, count INTEGER NOT NULL, data BLOB NOT NULL,"
    "  PRIMARY KEY(task, first)) WITHOUT ROWID;"
    "CREATE TABLE tile(task INTEGER, number INTEGER, leased INTEGER NOT NULL, retry INTEGER,"
    "  subtasks BLOB NOT NULL, PRIMARY KEY(task, number)) WITHOUT ROWID;"
    "CREATE INDEX tile_retry ON tile(task, retry) WHERE retry IS NOT NULL;"
    "CREATE TABLE result(task INTEGER, position INTEGER, seq INTEGER NOT NULL, attempt INTEGER NOT NULL,"
    "  kind INTEGER NOT NULL, code INTEGER NOT NULL, message TEXT, body BLOB, run_us INTEGER NOT NULL,"
    "  PRIMARY KEY(task, position)) WITHOUT ROWID;"
    "CREATE TABLE failure(task INTEGER, position INTEGER, seq INTEGER NOT NULL, attempt INTEGER NOT NULL,"
    "  kind INTEGER NOT NULL, code INTEGER NOT NULL, message TEXT, body BLOB, run_us INTEGER NOT NULL,"
    "  param BLOB, PRIMARY KEY(task, position)) WITHOUT ROWID;"
    "CREATE TABLE gone(task INTEGER PRIMARY KEY, until INTEGER NOT NULL);"
    "CREATE INDEX gone_until ON gone(until);"
    "CREATE TABLE node(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT, host TEXT, types TEXT, pid INTEGER "
    "NOT NULL,"
    "  slots INTEGER NOT NULL, lease_until INTEGER NOT NULL, running INTEGER NOT NULL DEFAULT 0,"
    "  settled INTEGER NOT NULL DEFAULT 0)";

static const char *const births = "ALTER TABLE task ADD COLUMN born INTEGER NOT NULL DEFAULT 0;"
                                  "ALTER TABLE node ADD COLUMN session INTEGER NOT NULL DEFAULT 0;"
                                  "ALTER TABLE node ADD COLUMN incarnation INTEGER NOT NULL DEFAULT 0;"
                                  "CREATE INDEX node_session ON node(session) WHERE session <> 0";

static const char *const blames =
    "CREATE TABLE blame(task INTEGER, callback TEXT, count INTEGER NOT NULL DEFAULT 1,"
    "  PRIMARY KEY(task, callback)) WITHOUT ROWID";

static const char *const feeders =
    "CREATE TABLE feeder(task INTEGER PRIMARY KEY, lease INTEGER NOT NULL, until INTEGER NOT NULL);"
    "CREATE TRIGGER feeder_delete AFTER DELETE ON task BEGIN DELETE FROM feeder WHERE task = old.id; END";

// As well as rows tell: those that are large on the average (a head has 8 bytes), and all of a row that is
// partly dispatched; exact when the queue has been empty once.
static const char *const queued_bytes =
    "ALTER TABLE task ADD COLUMN queued_bytes INTEGER NOT NULL DEFAULT 0;"
    "UPDATE task SET queued_bytes = (SELECT ifnull(sum(length(data) - 8 * count), 0) FROM params"
    "  WHERE params.task = task.id AND first + count > cursor"
    "  AND length(data) >= (4096 + 8) * count) WHERE phase <= 2 AND cursor <= generated";

// The position of its last result; of a task that was removed before there was this, no one has had it.
static const char *const last_result = "ALTER TABLE gone ADD COLUMN last INTEGER NOT NULL DEFAULT 0;"
                                       "UPDATE gone SET last = 9223372036854775807";

static const char *const notes = "ALTER TABLE node ADD COLUMN usable INTEGER NOT NULL DEFAULT 0;"
                                 "ALTER TABLE node ADD COLUMN short_of TEXT NOT NULL DEFAULT '';"
                                 "ALTER TABLE node ADD COLUMN quarantine TEXT NOT NULL DEFAULT ''";

static const char *const steps[] = {tables, births, blames, feeders, queued_bytes, last_result, notes};
const struct db_migrations state_migrations = {"state", steps, sizeof steps / sizeof *steps};

#define TASK_COLUMNS                                                                                         \
    "id, type, task_group, priority, deadline, max_retries, retry_backoff, tolerated, max_running, "         \
    "keep_results, "                                                                                         \
    "fed, closing_callback, phase, claim_at, owner, owner_until, fence, version, paused, outcome, message, " \
    "generated, succeeded, failed, timed_out, cancelled, retried, redispatched, running, queued, "           \
    "generation_done, "                                                                                      \
    "made, cursor, results, results_read, progress, born, queued_bytes"

#define NODE_COLUMNS                                                                                         \
    "id, name, host, types, pid, slots, lease_until, running, settled, session, "                            \
    "iif(short_of = '', slots, usable), short_of, quarantine"

const char *const sq_sql[SQ_SQL_COUNT] = {
    [SQL_TASK_INSERT] = "INSERT OR IGNORE INTO task(id, type, task_group, priority, deadline, max_retries, "
                        "retry_backoff, tolerated, max_running, keep_results, fed, closing_callback, born) "
                        "VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?)",
    [SQL_TASK_GET] = "SELECT " TASK_COLUMNS " FROM task WHERE id = ?",
    [SQL_TASK_UPDATE] =
        "UPDATE task SET owner_until = ?2, fence = ?3, version = ?4, paused = ?5, outcome = ?6, "
        "message = ?7, generated = ?8, succeeded = ?9, failed = ?10, timed_out = ?11, "
        "cancelled = ?12, retried = ?13, redispatched = ?14, running = ?15, queued = ?16, "
        "generation_done = ?17, made = ?18, cursor = ?19, results = ?20, results_read = ?21, progress = ?22, "
        "queued_bytes = ?23 WHERE id = ?1",
    [SQL_TASK_PLACE] = "UPDATE task SET phase = ?2, claim_at = nullif(?3, 9223372036854775807), owner = ?4 "
                       "WHERE id = ?1",
    [SQL_TASK_DELETE] = "DELETE FROM task WHERE id = ?",
    [SQL_BLAME_ADD] = "INSERT INTO blame(task, callback) VALUES(?,?) "
                      "ON CONFLICT DO UPDATE SET count = count + 1 RETURNING count",
    [SQL_BLAME_DELETE] = "DELETE FROM blame WHERE task = ?",
    [SQL_TASK_VIEWS] = "SELECT " TASK_COLUMNS " FROM task WHERE id > ? AND +phase <= 2 ORDER BY id LIMIT ?",
    [SQL_TASK_OVERDUE] = "SELECT id, deadline FROM task WHERE phase <= 2 ORDER BY deadline, id LIMIT ?",
    [SQL_TASK_IN_PHASE] = "SELECT id FROM task WHERE phase = ? AND id > ? ORDER BY id LIMIT ?",
    [SQL_TASK_CLAIMABLE] = "SELECT id FROM task WHERE claim_at <= ? ORDER BY claim_at, id LIMIT ?",
    [SQL_TASK_HELD] = "SELECT id FROM task WHERE owner <> 0 UNION SELECT id FROM task WHERE claim_at > 0",
    [SQL_TASK_PARAM_PUT] = "INSERT INTO task_param VALUES(?,?)",
    [SQL_TASK_PARAM_DELETE] = "DELETE FROM task_param WHERE task = ?",
    [SQL_TASK_BLOBS] = "SELECT p.data, c.data FROM task_param p LEFT JOIN checkpoint c ON c.task = p.task "
                       "WHERE p.task = ?",
    [SQL_CHECKPOINT_PUT] = "REPLACE INTO checkpoint VALUES(?,?)",
    [SQL_CHECKPOINT_DELETE] = "DELETE FROM checkpoint WHERE task = ?",
    [SQL_PARAMS_INSERT] = "INSERT INTO params VALUES(?,?,?,?)",
    [SQL_PARAMS_GET] = "SELECT first, count, data FROM params WHERE task = ? AND first <= ? "
                       "ORDER BY first DESC LIMIT 1",
    [SQL_PARAMS_DELETE] = "DELETE FROM params WHERE task = ? AND first >= ? AND first <= ?",
    [SQL_TILE_GET] = "SELECT subtasks FROM tile WHERE task = ? AND number = ?",
    [SQL_TILE_INSERT] = "INSERT INTO tile VALUES(?1, ?2, ?3, nullif(?4, 9223372036854775807), ?5)",
    [SQL_TILE_UPDATE] = "UPDATE tile SET leased = ?3, subtasks = ?4 WHERE task = ?1 AND number = ?2",
    [SQL_TILE_UPDATE_RETRY] =
        "UPDATE tile SET leased = ?3, retry = nullif(?4, 9223372036854775807), subtasks = ?5 "
        "WHERE task = ?1 AND number = ?2",
    [SQL_TILE_DELETE] = "DELETE FROM tile WHERE task = ? AND number = ?",
    [SQL_TILE_CLEAR] = "DELETE FROM tile WHERE task = ?",
    [SQL_TILE_RETRIES] =
        "SELECT number FROM tile WHERE task = ? AND retry <= ? ORDER BY retry, number LIMIT ?",
    [SQL_TILE_LEASED] = "SELECT task, number, subtasks, retry FROM tile WHERE leased > 0",
    [SQL_TILE_FAR] = "SELECT task, number FROM tile WHERE retry > ?",
    [SQL_TILE_LEASED_OF] = "SELECT task, number, subtasks, retry FROM tile WHERE task = ? AND leased > 0",
    [SQL_RESULT_INSERT] = "INSERT INTO result VALUES(?,?,?,?,?,?,?,?,?)",
    [SQL_RESULT_READ] = "SELECT position, seq, attempt, kind, code, message, body, run_us, NULL FROM result "
                        "WHERE task = ? AND position > ? ORDER BY position LIMIT ?",
    [SQL_RESULT_FORGET] = "DELETE FROM result WHERE task = ? AND position <= ?",
    [SQL_FAILURE_INSERT] = "INSERT INTO failure VALUES(?,?,?,?,?,?,?,?,?,?)",
    [SQL_FAILURE_READ] =
        "SELECT position, seq, attempt, kind, code, message, body, run_us, param FROM failure "
        "WHERE task = ? AND position > ? ORDER BY position LIMIT ?",
    [SQL_FAILURE_DELETE] = "DELETE FROM failure WHERE task = ?",
    [SQL_FEEDER_INSERT] = "INSERT OR IGNORE INTO feeder VALUES(?1, ?2, ?2 + ?3)",
    [SQL_FEEDER_RENEW] = "UPDATE feeder SET until = lease + ?2 WHERE task = ?1",
    [SQL_FEEDER_OVERDUE] = "SELECT f.task, f.lease FROM feeder f JOIN task t ON t.id = f.task "
                           "WHERE f.until <= ? AND t.phase <= 2 ORDER BY f.task LIMIT ?",
    [SQL_GONE_INSERT] = "REPLACE INTO gone(task, until, last) VALUES(?,?,?)",
    [SQL_GONE_GET] = "SELECT until, last FROM gone WHERE task = ?",
    [SQL_GONE_DELETE] = "DELETE FROM gone WHERE task = ?",
    [SQL_GONE_READ_OUT] = "UPDATE gone SET until = -1 WHERE task = ? AND until >= 0",
    [SQL_GONE_DUE] = "SELECT task FROM gone WHERE until <= ? AND until <> -1",
    [SQL_GONE_AGE] = "UPDATE gone SET until = -2 WHERE until = -1",
    [SQL_NODE_INSERT] = "INSERT INTO node(name, host, types, pid, slots, lease_until, session, incarnation) "
                        "VALUES(?,?,?,?,?,?,?,?) RETURNING id",
    [SQL_NODE_GET] = "SELECT " NODE_COLUMNS " FROM node WHERE id = ? AND incarnation = ?",
    [SQL_NODE_SESSION] = "SELECT session FROM node WHERE id = ?",
    [SQL_NODE_RUNNING] = "SELECT running FROM node WHERE id = ?",
    [SQL_NODE_OF_SESSION] = "SELECT id, incarnation FROM node WHERE session = ? AND session <> 0",
    [SQL_NODE_UPDATE] = "UPDATE node SET running = running + ?2, settled = settled + ?3 WHERE id = ?1",
    [SQL_NODE_RENEW] = "UPDATE node SET lease_until = iif(?4, ?2, max(lease_until, ?2)) "
                       "WHERE id = ?1 AND incarnation = ?3",
    [SQL_NODE_GRACE] = "UPDATE node SET lease_until = max(lease_until, ?)",
    [SQL_NODE_NOTE] = "UPDATE node SET usable = ?2, short_of = ?3, quarantine = ?4 WHERE id = ?1",
    [SQL_NODE_REBASE] = "UPDATE node SET lease_until = ?",
    [SQL_NODE_DELETE] = "DELETE FROM node WHERE id = ?",
    [SQL_NODE_LOST] = "SELECT id FROM node WHERE lease_until <= ? ORDER BY id",
    [SQL_NODE_NEXT] = "SELECT min(lease_until) FROM node",
    [SQL_NODE_LIST] = "SELECT " NODE_COLUMNS " FROM node ORDER BY id",
};
