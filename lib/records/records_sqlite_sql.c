// SPDX-License-Identifier: Apache-2.0
// records_sqlite_sql.c: every statement that the SQLite record store runs.
#include "records/records_schema.h"
#include "records/records_sqlite_internal.h"

const struct db_migrations records_migrations = {"records", records_schema_sqlite, RECORDS_SCHEMA_VERSION};

#define TASK_COLUMNS                                                                                         \
    "id, task_status, name, description, task_type, creator, resource_group, message, uid, priority, "       \
    "start_time, "                                                                                           \
    "deadline, finish_time, generated, succeeded, failed, timed_out, cancelled, retried, redispatched, "     \
    "running, "                                                                                              \
    "queued, generation_done, idempotency_key, stop_asked IS NOT NULL, stop_message"
#define COUNTERS                                                                                             \
    "generated, succeeded, failed, timed_out, cancelled, retried, redispatched, running, queued, "           \
    "generation_done"
#define SETTLED(of) of "succeeded + " of "failed + " of "timed_out + " of "cancelled"

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
    [SQL_TASK_IMPORT] =
        "INSERT INTO tbl_task(id, task_status, name, description, task_type, creator, resource_group, "
        "message, uid, priority, start_time, deadline, finish_time, idempotency_key, stop_asked, "
        "stop_message, param, next_check_time, time_cost, " COUNTERS ") "
        "VALUES(?1, ?2, ifnull(?3, ''), ifnull(?4, ''), ifnull(?5, ''), ifnull(?6, ''), ifnull(?7, ''), ?8, "
        "?9, ?10, ?11, ?12, ?13, nullif(?14, ''), iif(?15, 0, NULL), ?16, ?17, iif(?2 > 3, 0, ?12), "
        "iif(?2 > 3, (?13 - ?11 + 500) / 1000, 0), ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26, ?27)",
    [SQL_TASK_ASK_STOP] =
        "UPDATE tbl_task SET stop_asked = ?2, stop_message = ?3 WHERE id = ?1 AND stop_asked IS NULL",
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
    [SQL_FAILURE_INSERT] = "INSERT INTO tbl_task_failure SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, "
                           "1 + ifnull((SELECT number FROM tbl_resume_point WHERE task = ?1), 0) "
                           "WHERE EXISTS(SELECT 1 FROM tbl_task WHERE id = ?1) ON CONFLICT DO NOTHING",
    [SQL_FAILURE_AFTER] =
        "SELECT task, seq, attempt, kind, code, message, run_us, body, param FROM tbl_task_failure "
        "WHERE task = ? AND seq > ? ORDER BY seq LIMIT ?",
    [SQL_FAILURE_FORGET] = "DELETE FROM tbl_task_failure WHERE task = ?",
    [SQL_FAILURE_COUNT] = "SELECT count(*) FROM tbl_task_failure WHERE task = ?",
    [SQL_FAILURE_DROP] = "DELETE FROM tbl_task_failure WHERE task = ?1 AND point > "
                         "ifnull((SELECT number FROM tbl_resume_point WHERE task = ?1), 0)",
    [SQL_GROUP_SET] = "REPLACE INTO tbl_quota_group VALUES(?,?)",
    [SQL_GROUP_LIST] = "SELECT name, quota FROM tbl_quota_group ORDER BY name",
    [SQL_COUNTER_TAKE] = "INSERT INTO tbl_counter VALUES(?1, 1 + ?2) "
                         "ON CONFLICT(name) DO UPDATE SET next_id = next_id + ?2 RETURNING next_id - ?2",
    [SQL_MARK_GET] = "SELECT seq FROM sqlite_sequence WHERE name = ?",
    [SQL_MARK_RAISE] = "UPDATE sqlite_sequence SET seq = max(seq, ?2) WHERE name = ?1",
    [SQL_MARK_PUT] = "INSERT INTO sqlite_sequence(name, seq) VALUES(?1, ?2)",
    [SQL_TASK_BRIEF] = "SELECT task_status, start_time FROM tbl_task WHERE id = ?",
    [SQL_INSTALLATION_PUT] = "INSERT INTO tbl_counter VALUES('tbl_installation', ?) ON CONFLICT DO NOTHING",
    [SQL_INSTALLATION_GET] = "SELECT next_id FROM tbl_counter WHERE name = 'tbl_installation'",
    [SQL_CHECK] = "SELECT count(*) FROM tbl_counter",
    [SQL_RESUME_SAVE] =
        "INSERT INTO tbl_resume_point(task, made, checkpoint, progress_percent, " COUNTERS ", number) "
        "SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?6 + ?7 + ?8 + ?9 > 0 "
        "WHERE EXISTS(SELECT 1 FROM tbl_task WHERE id = ?1 AND task_status <= 3) "
        "ON CONFLICT(task) DO UPDATE SET number = number + (" SETTLED("excluded.") " > " SETTLED(
            "tbl_resume_point.") "), made = excluded.made, checkpoint = excluded.checkpoint, "
                                 "progress_percent = excluded.progress_percent, generated = "
                                 "excluded.generated, "
                                 "succeeded = excluded.succeeded, failed = excluded.failed, timed_out = "
                                 "excluded.timed_out, "
                                 "cancelled = excluded.cancelled, retried = excluded.retried, redispatched = "
                                 "excluded.redispatched, "
                                 "running = excluded.running, queued = excluded.queued, generation_done = "
                                 "excluded.generation_done "
                                 "WHERE excluded.made > made OR "
                                 "(excluded.made = made AND " SETTLED("excluded.") " >= " SETTLED(
                                     "tbl_resume_point.") ")",
    [SQL_RESUME_GET] =
        "SELECT made, checkpoint, progress_percent, " COUNTERS " FROM tbl_resume_point WHERE task = ?",
    [SQL_RESUME_FORGET] = "DELETE FROM tbl_resume_point WHERE task = ?",
    [SQL_FED_PUT] = "INSERT INTO tbl_fed(task, position, amount, finish, packed) VALUES(?1, ?2, ?3, ?4, ?5) "
                    "ON CONFLICT(task, position, amount) DO UPDATE SET finish = max(finish, excluded.finish)",
    [SQL_FED_AFTER] = "SELECT position, amount, finish, packed FROM tbl_fed "
                      "WHERE task = ?1 AND (position + amount > ?2 OR finish) "
                      "ORDER BY position, amount LIMIT ?3",
    [SQL_FED_SETTLED] = "DELETE FROM tbl_fed WHERE task = ?1 AND finish = 0 AND position + amount <= "
                        "(SELECT made FROM tbl_resume_point WHERE task = ?1)",
    [SQL_FED_FORGET] = "DELETE FROM tbl_fed WHERE task = ?",
};
