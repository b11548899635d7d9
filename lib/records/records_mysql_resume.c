// SPDX-License-Identifier: Apache-2.0
// records_mysql_resume.c: the MySQL record store: asked stops, resume points, fed subtasks.
#include "records/records_mysql_internal.h"

#include <stdlib.h>

// ---- unfinished tasks

// Guards the task and locks its row, so that it does not end meanwhile.
static void must_be_unfinished(struct mycall *c, uint64_t task, int code_if_ended)
{
    mycall_guard(c, &task, 1);
    enum model_status status = (enum model_status)mycall_number(
        c, 0, "SELECT task_status FROM tbl_task WHERE id = $u FOR UPDATE", task);
    if (!status)
        mycall_fail(c, NRPC_NOT_FOUND, "there is no task %llu", (unsigned long long)task);
    else if (model_status_is_terminal(status))
        mycall_fail(c, code_if_ended, "task %llu is %s", (unsigned long long)task, model_status_name(status));
}

static void drop_failures_one(struct mycall *c, void *args)
{
    uint64_t task = *(const uint64_t *)args;
    must_be_unfinished(c, task, NRPC_FAILED_PRECONDITION);
    mycall_run(c,
               "DELETE FROM tbl_task_failure WHERE task = $u AND point > "
               "(SELECT COALESCE(MAX(number), 0) FROM tbl_resume_point WHERE task = $u)",
               task, task);
}

int records_mysql_drop_failures(struct records *r, uint64_t task, struct nrpc_status *st)
{
    return mycall_do(r, MYCALL_WRITE, drop_failures_one, &task, NULL, st);
}

struct ask_stop {
    uint64_t task;
    const char *message;
    int64_t now_ms;
};

static void ask_stop_one(struct mycall *c, void *args)
{
    const struct ask_stop *a = args;
    must_be_unfinished(c, a->task, NRPC_FAILED_PRECONDITION);
    mycall_run(c,
               "UPDATE tbl_task SET stop_asked = $i, stop_message = $m WHERE id = $u AND stop_asked IS NULL",
               a->now_ms, a->message, a->task);
}

int records_mysql_ask_stop(struct records *r, uint64_t task, const char *message, int64_t now_ms,
                           struct nrpc_status *st)
{
    struct ask_stop args = {task, message, now_ms};
    int code = records_check_message(message, st);
    return code ? code : mycall_do(r, MYCALL_WRITE, ask_stop_one, &args, NULL, st);
}

// ---- saving resume points

struct kept { // of an unfinished task
    uint64_t task;
    bool has_point;
    uint64_t made, settled; // of its point
};

struct save {
    const struct records_resume *points;
    size_t count;
    uint64_t *ids;
    struct kept *kept; // by task
    size_t kept_count;
};

static int by_task(const void *x, const void *y)
{
    uint64_t a = *(const uint64_t *)x, b = ((const struct kept *)y)->task;
    return (a > b) - (a < b);
}

static void read_kept(struct mycall *c, struct save *a)
{
    for (size_t i = 0; i < a->count; i++)
        a->ids[i] = a->points[i].task;
    size_t n = records_mysql_sort_ids(a->ids, a->count);
    mycall_guard(c, a->ids, n);
    a->kept_count = 0;
    for (mycall_query_ids(c,
                          "SELECT t.id, p.made, p.succeeded + p.failed + p.timed_out + p.cancelled "
                          "FROM tbl_task t LEFT JOIN tbl_resume_point p ON p.task = t.id "
                          "WHERE t.ended = 0 AND t.id IN ",
                          a->ids, n, " ORDER BY t.id FOR UPDATE");
         mycall_next(c);)
        a->kept[a->kept_count++] =
            (struct kept){mycall_u64(c, 0), c->row[1] != NULL, mycall_u64(c, 1), mycall_u64(c, 2)};
}

// Whether a point is to be kept; if so, later ones are measured by it.
static bool is_news(struct save *a, const struct records_resume *p)
{
    const struct model_counters *n = &p->counters;
    uint64_t settled = n->succeeded + n->failed + n->timed_out + n->cancelled;
    struct kept *k = bsearch(&p->task, a->kept, a->kept_count, sizeof *a->kept, by_task);
    if (!k || (k->has_point && (p->made < k->made || (p->made == k->made && settled < k->settled))))
        return false;
    *k = (struct kept){p->task, true, p->made, settled};
    return true;
}

static const struct mybatch resume_rows = {
    "INSERT INTO tbl_resume_point(number, task, made, checkpoint, progress_percent, generated, succeeded, "
    "failed, "
    "timed_out, cancelled, retried, redispatched, running, queued, generation_done) VALUES",
    // first: it looks at what the counters were
    " ON DUPLICATE KEY UPDATE number = number + (VALUES(succeeded) + VALUES(failed) + VALUES(timed_out) + "
    "VALUES(cancelled) > succeeded + failed + timed_out + cancelled), made = VALUES(made), checkpoint = "
    "VALUES(checkpoint), "
    "progress_percent = VALUES(progress_percent), generated = VALUES(generated), "
    "succeeded = VALUES(succeeded), failed = VALUES(failed), timed_out = VALUES(timed_out), "
    "cancelled = VALUES(cancelled), retried = VALUES(retried), redispatched = VALUES(redispatched), "
    "running = VALUES(running), queued = VALUES(queued), generation_done = VALUES(generation_done)"};

static void add_resume(struct mycall *c, const struct records_resume *p)
{
    const struct model_counters *n = &p->counters;
    const void *checkpoint = !p->has_checkpoint ? NULL : p->checkpoint.data ? p->checkpoint.data : "";
    mycall_add_row(c, &resume_rows, "($u,$u,$u,$b,$i,$u,$u,$u,$u,$u,$u,$u,$u,$u,$u)",
                   (uint64_t)(n->succeeded + n->failed + n->timed_out + n->cancelled > 0), p->task, p->made,
                   checkpoint, p->checkpoint.bytes, (int64_t)p->progress_percent, n->generated, n->succeeded,
                   n->failed, n->timed_out, n->cancelled, n->retried, n->redispatched, n->running, n->queued,
                   (uint64_t)n->generation_done);
}

// Of all tasks by one statement: what lies below the point that each has now.
static void drop_settled(struct mycall *c, const struct save *a)
{
    if (a->kept_count)
        mycall_run_ids(c,
                       "DELETE f FROM tbl_fed f JOIN tbl_resume_point p ON p.task = f.task "
                       "WHERE f.position + f.amount <= p.made AND f.finish = 0 AND p.task IN ",
                       a->ids, a->kept_count, "");
}

static void save_all(struct mycall *c, void *args)
{
    struct save *a = args;
    read_kept(c, a);
    for (size_t i = 0; i < a->count; i++)
        if (is_news(a, &a->points[i]))
            add_resume(c, &a->points[i]);
    mycall_flush(c, &resume_rows);
    for (size_t i = 0; i < a->kept_count; i++)
        a->ids[i] = a->kept[i].task;
    drop_settled(c, a);
}

int records_mysql_save_resumes(struct records *r, const struct records_resume *points, size_t count,
                               struct nrpc_status *st)
{
    int code = records_check_resumes(points, count, st);
    if (code || !count)
        return code;
    struct save args = {.points = points, .count = count};
    args.ids = mem_alloc(count * sizeof *args.ids);
    args.kept = mem_alloc(count * sizeof *args.kept);
    code = mycall_do(r, MYCALL_WRITE, save_all, &args, NULL, st);
    free(args.ids);
    free(args.kept);
    return code;
}

// ---- reading resume points

struct resumes {
    const uint64_t *tasks;
    size_t count;
    struct records_resume *out;
    uint64_t *ids;
};

static void read_resume(struct mycall *c, struct records_resume *out)
{
    out->found = true;
    out->made = mycall_u64(c, 1);
    out->checkpoint = mycall_blob(c, 2);
    out->has_checkpoint = out->checkpoint.data != NULL;
    out->progress_percent = (int)mycall_i64(c, 3);
    out->counters = mycall_counters(c, 4);
}

static void resumes_all(struct mycall *c, void *args)
{
    struct resumes *a = args;
    for (size_t i = 0; i < a->count; i++) {
        a->out[i] = (struct records_resume){.task = a->tasks[i]};
        a->ids[i] = a->tasks[i];
    }
    size_t n = records_mysql_sort_ids(a->ids, a->count);
    mycall_query_ids(c,
                     "SELECT task, made, checkpoint, progress_percent, generated, succeeded, failed, "
                     "timed_out, cancelled, retried, redispatched, running, queued, generation_done "
                     "FROM tbl_resume_point WHERE task IN ",
                     a->ids, n, "");
    while (mycall_next(c)) {
        uint64_t task = mycall_u64(c, 0);
        for (size_t i = 0; i < a->count && !c->code; i++) // a few hundred at most
            if (a->tasks[i] == task)
                read_resume(c, &a->out[i]);
    }
}

int records_mysql_resumes(struct records *r, const uint64_t *tasks, size_t count, struct arena *a,
                          struct records_resume *out, struct nrpc_status *st)
{
    if (!count)
        return NRPC_OK;
    uint64_t *ids = mem_alloc(count * sizeof *ids);
    struct resumes args = {tasks, count, out, ids};
    int code = mycall_do(r, MYCALL_READ, resumes_all, &args, a, st);
    free(ids);
    return code;
}

// ---- fed subtasks

struct put_fed {
    uint64_t task;
    struct records_fed row;
};

static void put_fed_one(struct mycall *c, void *args)
{
    const struct put_fed *a = args;
    must_be_unfinished(c, a->task, NRPC_NOT_FOUND);
    mycall_run(c,
               "INSERT INTO tbl_fed(task, position, amount, finish, packed) VALUES($u, $u, $u, $u, $b) "
               "ON DUPLICATE KEY UPDATE finish = GREATEST(finish, VALUES(finish))",
               a->task, a->row.at, a->row.count, (uint64_t)a->row.finish, a->row.packed.data,
               a->row.packed.bytes);
}

int records_mysql_put_fed(struct records *r, uint64_t task, uint64_t at, uint64_t count, bool finish,
                          struct records_blob packed, struct nrpc_status *st)
{
    struct put_fed args = {task, {at, count, finish, packed}};
    int code = records_check_fed(at, count, packed, st);
    return code ? code : mycall_do(r, MYCALL_WRITE, put_fed_one, &args, NULL, st);
}

struct fed {
    uint64_t task, after_at;
    size_t max;
    struct records_fed **out;
    size_t *count;
};

static void read_fed(struct mycall *c, void *item)
{
    struct records_fed *f = item;
    *f = (struct records_fed){mycall_u64(c, 0), mycall_u64(c, 1), mycall_u64(c, 2) != 0, mycall_blob(c, 3)};
    c->at[2] = f->at;
    c->at[3] = f->count + 1; // the next row is this one's successor, or beyond it
}

static void fed_all(struct mycall *c, void *args)
{
    struct fed *a = args;
    c->at[0] = a->task;
    c->at[1] = a->after_at;
    c->at[2] = c->at[3] = 0;
    mycall_rows(c,
                "SELECT position, amount, finish, packed FROM tbl_fed "
                "WHERE task = $0 AND (position + amount > $1 OR finish = 1) "
                "AND position >= $2 AND (position > $2 OR amount >= $3) ORDER BY position, amount LIMIT $5",
                a->max, sizeof **a->out, read_fed, a->out, a->count);
}

int records_mysql_fed(struct records *r, uint64_t task, uint64_t after_at, size_t max, struct arena *a,
                      struct records_fed **out, size_t *count, struct nrpc_status *st)
{
    struct fed args = {task, after_at, max, out, count};
    return mycall_do(r, MYCALL_READ, fed_all, &args, a, st);
}
