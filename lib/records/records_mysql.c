// SPDX-License-Identifier: Apache-2.0
// records_mysql.c: the record store in a MySQL database: opening it; history, failures, groups, trimming,
// ids.
//
// What is kept in memory is the connections. Which calls may be made again after a lost commit is said where
// each begins: all that write but a create without keys, because done twice they are as done once.
#include "records/records_mysql.h"

#include "base/ids.h"
#include "records/records_mysql_internal.h"

#include <stdlib.h>

enum { TRIM_SLICE = 10000 }; // events deleted by one statement, so that none takes long

static int compare_ids(const void *x, const void *y)
{
    uint64_t a = *(const uint64_t *)x, b = *(const uint64_t *)y;
    return (a > b) - (a < b);
}

size_t records_mysql_sort_ids(uint64_t *ids, size_t count)
{
    size_t n = 0;
    qsort(ids, count, sizeof *ids, compare_ids);
    for (size_t i = 0; i < count; i++)
        if (!n || ids[n - 1] != ids[i])
            ids[n++] = ids[i];
    return n;
}

// ---- history

const struct mybatch records_mysql_events = {
    "INSERT INTO tbl_task_event(sequence, task, task_status, message, time) VALUES", ""};

struct events {
    uint64_t after, task;
    size_t max;
    struct records_event **out;
    size_t *count;
    uint64_t *first_kept;
};

static void read_event(struct mycall *c, void *item)
{
    struct records_event *e = item;
    *e = (struct records_event){
        .sequence = mycall_u64(c, 0),
        .task = mycall_u64(c, 1),
        .status = (enum model_status)mycall_u64(c, 2),
        .message = mycall_text(c, 3),
        .time_ms = mycall_i64(c, 4),
    };
    c->at[0] = e->sequence;
}

// first_kept is read last: if history is trimmed meanwhile, a reader sees a gap too early, never too late.
static void events_all(struct mycall *c, void *args)
{
    static const char of_all[] = "SELECT sequence, task, task_status, message, time FROM tbl_task_event "
                                 "WHERE sequence > $0 ORDER BY sequence LIMIT $5";
    static const char of_task[] = "SELECT sequence, task, task_status, message, time FROM tbl_task_event "
                                  "WHERE task = $1 AND sequence > $0 ORDER BY sequence LIMIT $5";
    struct events *a = args;
    c->at[0] = a->after;
    c->at[1] = a->task;
    mycall_rows(c, a->task ? of_task : of_all, a->max, sizeof **a->out, read_event, a->out, a->count);
    *a->first_kept = mycall_number(c, 1,
                                   "SELECT COALESCE((SELECT MIN(sequence) FROM tbl_task_event), "
                                   "(SELECT next_id FROM tbl_counter WHERE name = $t))",
                                   EVENT_COUNTER);
}

static int records_events(struct records *r, uint64_t after, uint64_t task, size_t max, struct arena *a,
                          struct records_event **out, size_t *count, uint64_t *first_kept,
                          struct nrpc_status *st)
{
    struct events args = {after, task, max, out, count, first_kept};
    return mycall_do(r, MYCALL_READ, events_all, &args, a, st);
}

// ---- failures

const struct mybatch records_mysql_failures = {"INSERT INTO tbl_task_failure(task, seq, attempt, kind, code, "
                                               "message, run_us, body, param, point) VALUES",
                                               " ON DUPLICATE KEY UPDATE seq = VALUES(seq)"};

void records_mysql_add_failure(struct mycall *c, uint64_t task, const struct records_failure *f)
{
    mycall_add_row(c, &records_mysql_failures,
                   "($u,$u,$u,$i,$i,$m,$i,$b,$b,"
                   "(SELECT COALESCE(MAX(number), 0) + 1 FROM tbl_resume_point WHERE task = $u))",
                   task, f->seq, (uint64_t)f->attempt, (int64_t)f->kind, (int64_t)f->code, f->message,
                   f->run_us, f->body.data, f->body.bytes, f->param.data, f->param.bytes, task);
}

struct put_failures {
    const struct records_failure *failures;
    size_t count;
    bool imported;
    uint64_t *ids, *there;
};

static void put_failures_all(struct mycall *c, void *args)
{
    struct put_failures *a = args;
    size_t n = 0;
    for (size_t i = 0; i < a->count; i++)
        a->ids[i] = a->failures[i].task;
    size_t tasks = records_mysql_sort_ids(a->ids, a->count);
    mycall_guard(c, a->ids, tasks);
    for (mycall_query_ids(c, "SELECT id FROM tbl_task WHERE id IN ", a->ids, tasks,
                          a->imported ? " ORDER BY id FOR UPDATE" : " AND ended = 0 ORDER BY id FOR UPDATE");
         mycall_next(c);)
        a->there[n++] = mycall_u64(c, 0);
    for (size_t i = 0; i < a->count; i++)
        if (bsearch(&a->failures[i].task, a->there, n, sizeof *a->there, compare_ids))
            records_mysql_add_failure(c, a->failures[i].task, &a->failures[i]);
    mycall_flush(c, &records_mysql_failures);
}

static int records_put_failures(struct records *r, const struct records_failure *failures, size_t count,
                                bool imported, struct nrpc_status *st)
{
    int code = records_check_failures(failures, count, st);
    if (code || !count)
        return code;
    uint64_t *ids = mem_alloc(2 * count * sizeof *ids);
    struct put_failures args = {failures, count, imported, ids, ids + count};
    code = mycall_do(r, MYCALL_WRITE, put_failures_all, &args, NULL, st);
    free(ids);
    return code;
}

struct failures {
    uint64_t task, after_seq;
    size_t max;
    struct records_failure **out;
    size_t *count;
};

static void read_failure(struct mycall *c, void *item)
{
    struct records_failure *f = item;
    *f = (struct records_failure){
        .task = mycall_u64(c, 0),
        .seq = mycall_u64(c, 1),
        .attempt = (uint32_t)mycall_u64(c, 2),
        .kind = (enum model_kind)mycall_u64(c, 3),
        .code = (int32_t)mycall_i64(c, 4),
        .message = mycall_text(c, 5),
        .run_us = mycall_i64(c, 6),
        .body = mycall_blob(c, 7),
        .param = mycall_blob(c, 8),
    };
    c->at[0] = f->seq;
}

static void failures_all(struct mycall *c, void *args)
{
    struct failures *a = args;
    c->at[0] = a->after_seq;
    c->at[1] = a->task;
    mycall_rows(c,
                "SELECT task, seq, attempt, kind, code, message, run_us, body, param FROM tbl_task_failure "
                "WHERE task = $1 AND seq > $0 ORDER BY seq LIMIT $5",
                a->max, sizeof **a->out, read_failure, a->out, a->count);
}

static int records_failures(struct records *r, uint64_t task, uint64_t after_seq, size_t max, struct arena *a,
                            struct records_failure **out, size_t *count, struct nrpc_status *st)
{
    struct failures args = {task, after_seq, max, out, count};
    return mycall_do(r, MYCALL_READ, failures_all, &args, a, st);
}

// ---- groups

static void set_group_one(struct mycall *c, void *args)
{
    const struct records_group *a = args;
    mycall_run(c,
               "INSERT INTO tbl_quota_group(name, quota) VALUES($e, $u) "
               "ON DUPLICATE KEY UPDATE quota = VALUES(quota)",
               a->name, (uint64_t)a->quota);
}

static int records_set_group(struct records *r, const char *name, uint32_t quota, struct nrpc_status *st)
{
    struct records_group args = {name, quota};
    int code = records_check_group(name, st);
    return code ? code : mycall_do(r, MYCALL_WRITE, set_group_one, &args, NULL, st);
}

struct groups {
    struct records_group **out;
    size_t *count;
};

static void read_group(struct mycall *c, void *item)
{
    *(struct records_group *)item = (struct records_group){mycall_text(c, 0), (uint32_t)mycall_u64(c, 1)};
    c->at[0]++;
}

static void groups_all(struct mycall *c, void *args)
{
    struct groups *a = args;
    c->at[0] = 0;
    mycall_rows(c, "SELECT name, quota FROM tbl_quota_group ORDER BY name LIMIT $0, $5", SIZE_MAX,
                sizeof **a->out, read_group, a->out, a->count);
}

static int records_groups(struct records *r, struct arena *a, struct records_group **out, size_t *count,
                          struct nrpc_status *st)
{
    struct groups args = {out, count};
    return mycall_do(r, MYCALL_READ, groups_all, &args, a, st);
}

// ---- trimming

struct trim {
    int64_t finished_before_ms;
    uint64_t keep_tasks, keep_events;
    size_t max;
    size_t *removed;
};

// Both reasons to forget a task take those that ended first, so the larger of two numbers says how many go.
static uint64_t tasks_to_forget(struct mycall *c, const struct trim *a)
{
    uint64_t old = mycall_number(c, 0, "SELECT COUNT(*) FROM tbl_task WHERE ended = 1 AND finish_time < $i",
                                 a->finished_before_ms);
    uint64_t ended = mycall_number(c, 0, "SELECT COUNT(*) FROM tbl_task WHERE ended = 1");
    uint64_t surplus = ended > a->keep_tasks ? ended - a->keep_tasks : 0;
    uint64_t n = old > surplus ? old : surplus;
    return n < a->max ? n : a->max;
}

static size_t forget_first(struct mycall *c, uint64_t count)
{
    static const char *const deletes[] = {
        "DELETE FROM tbl_task WHERE id IN ",           "DELETE FROM tbl_task_event WHERE task IN ",
        "DELETE FROM tbl_task_failure WHERE task IN ", "DELETE FROM tbl_resume_point WHERE task IN ",
        "DELETE FROM tbl_fed WHERE task IN ",
    };
    if (!count || c->code)
        return 0;
    uint64_t *ids = mem_alloc(count * sizeof *ids);
    size_t n = 0;
    for (mycall_query(c, "SELECT id FROM tbl_task WHERE ended = 1 ORDER BY finish_time, id LIMIT $u", count);
         mycall_next(c);)
        ids[n++] = mycall_u64(c, 0);
    n = records_mysql_sort_ids(ids, n);
    for (size_t i = 0; i < sizeof deletes / sizeof *deletes; i++)
        mycall_run_ids(c, deletes[i], ids, n, "");
    free(ids);
    return n;
}

static void trim_all(struct mycall *c, void *args)
{
    struct trim *a = args;
    // Its lock, and a write, since nodes of a cluster know nothing of each other's locks: of two trims at
    // once one must see what the other left.
    mycall_take_numbers(c, "tbl_trim", 1);
    *a->removed = forget_first(c, tasks_to_forget(c, a));
    uint64_t next = mycall_number(c, 1, "SELECT next_id FROM tbl_counter WHERE name = $t", EVENT_COUNTER);
    bool more = !c->code && next - 1 > a->keep_events;
    while (more) {
        mycall_run(c, "DELETE FROM tbl_task_event WHERE sequence <= $u ORDER BY sequence LIMIT $u",
                   next - 1 - a->keep_events, (uint64_t)TRIM_SLICE);
        more = mycall_changed(c) == TRIM_SLICE;
    }
}

static int records_trim(struct records *r, int64_t finished_before_ms, uint64_t keep_tasks,
                        uint64_t keep_events, size_t max, size_t *removed, struct nrpc_status *st)
{
    struct trim args = {finished_before_ms, keep_tasks, keep_events, max, removed};
    return mycall_do(r, MYCALL_WRITE, trim_all, &args, NULL, st);
}

// ---- ids, health

struct next_ids {
    const char *name;
    uint64_t count, first;
};

static void next_ids_one(struct mycall *c, void *args)
{
    struct next_ids *a = args;
    a->first = mycall_take_numbers(c, a->name, a->count);
}

static int records_next_ids(struct records *r, const char *name, uint64_t count, uint64_t *first,
                            struct nrpc_status *st)
{
    struct next_ids args = {name, count, 0};
    int code = records_check_ids(name, count, st);
    if (!code)
        code = mycall_do(r, MYCALL_WRITE, next_ids_one, &args, NULL, st);
    if (!code)
        *first = args.first;
    return code;
}

struct mark {
    const char *name;
    uint64_t least, *was;
};

static void marks_all(struct mycall *c, void *args)
{
    struct mark *marks = args;
    for (size_t i = 0; marks[i].name; i++) {
        uint64_t next = mycall_number(c, 1, "SELECT next_id FROM tbl_counter WHERE name = $t", marks[i].name);
        *marks[i].was = next - 1;
        if (next <= marks[i].least)
            mycall_run(c,
                       "INSERT INTO tbl_counter VALUES($t, $u) "
                       "ON DUPLICATE KEY UPDATE next_id = GREATEST(next_id, VALUES(next_id))",
                       marks[i].name, marks[i].least + 1);
    }
}

static int records_marks(struct records *r, const struct model_marks *least, struct model_marks *were,
                         struct nrpc_status *st)
{
    struct mark all[] = {{TASK_COUNTER, least->task, &were->task},
                         {EVENT_COUNTER, least->event, &were->event},
                         {"node", least->node, &were->node},
                         {NULL, 0, NULL}};
    records_know_task(r, least->task);
    return mycall_do(r, MYCALL_WRITE, marks_all, all, NULL, st);
}

static void installation_one(struct mycall *c, void *args)
{
    uint64_t *id = args;
    mycall_run(c, "INSERT IGNORE INTO tbl_counter VALUES('tbl_installation', $u)", (ids_random() >> 1) | 1);
    *id = mycall_number(c, 0, "SELECT next_id FROM tbl_counter WHERE name = 'tbl_installation'");
}

static int records_installation(struct records *r, uint64_t *id, struct nrpc_status *st)
{
    return mycall_do(r, MYCALL_WRITE, installation_one, id, NULL, st);
}

// Fresh is also what is a little ahead, by the clock of another host.
static bool is_fresh(int64_t age_ms, int64_t lease_ms)
{
    return llabs(age_ms) < lease_ms;
}

static void tenure_one(struct mycall *c, void *args)
{
    struct records_tenure *t = args;
    uint64_t holder = 0;
    int64_t age_ms = 0;
    const char *who = "";
    mycall_query(c,
                 "SELECT holder, who, CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED) - heard FROM tbl_state "
                 "WHERE one = 1 FOR UPDATE");
    if (mycall_next(c)) {
        holder = mycall_u64(c, 0);
        who = mycall_text(c, 1);
        age_ms = mycall_i64(c, 2);
    }
    mycall_done(c);
    t->is_taken = holder && holder != t->state && holder != t->former;
    if (holder == t->state && is_fresh(age_ms, t->lease_ms / 4)) // another process has just said so
        return;
    if (t->is_taken && is_fresh(age_ms, t->lease_ms))
        mycall_fail(
            c, NRPC_FAILED_PRECONDITION,
            "the tasks of this database are run with %s, heard of %.1f s ago; name the same Redis, or "
            "stop all coordinators that use it",
            who, (double)llabs(age_ms) / 1000);
    mycall_run(c,
               "INSERT INTO tbl_state VALUES(1, $u, $t, CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)) "
               "ON DUPLICATE KEY UPDATE holder = VALUES(holder), who = VALUES(who), heard = VALUES(heard)",
               t->state, t->who);
}

static int records_mysql_tenure(struct records *r, struct records_tenure *t, struct nrpc_status *st)
{
    struct arena a;
    arena_init(&a, 0);
    int code = mycall_do(r, MYCALL_WRITE, tenure_one, t, &a, st);
    arena_fini(&a);
    return code;
}

static void clock_one(struct mycall *c, void *args)
{
    *(int64_t *)args = (int64_t)mycall_number(c, 0, "SELECT CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS UNSIGNED)");
}

static int records_clock(struct records *r, int64_t *now_ms, struct nrpc_status *st)
{
    return mycall_do(r, MYCALL_READ, clock_one, now_ms, NULL, st);
}

static int records_check(struct records *r, struct nrpc_status *st)
{
    struct next_ids args = {"tbl_check", 1, 0}; // a write that commits: nothing less says that one can
    char hosts[sizeof st->text];
    int code = mycall_do(r, MYCALL_WRITE, next_ids_one, &args, NULL, st);
    if (code || !st)
        return code;
    myhosts_say(mypool_hosts(((struct mystore *)r)->pool), hosts, sizeof hosts);
    return status_set(st, NRPC_OK, "%s", hosts);
}

// ---- opening

static void records_close(struct records *r)
{
    struct mystore *store = (struct mystore *)r;
    if (!store)
        return;
    mypool_destroy(store->pool);
    free(store);
}

static const struct records_ops ops = {
    .close = records_close,
    .create = records_mysql_create,
    .change = records_mysql_change,
    .get = records_mysql_get,
    .briefs = records_mysql_briefs,
    .list = records_mysql_list,
    .unfinished = records_mysql_unfinished,
    .events = records_events,
    .put_failures = records_put_failures,
    .failures = records_failures,
    .drop_failures = records_mysql_drop_failures,
    .set_group = records_set_group,
    .groups = records_groups,
    .trim = records_trim,
    .next_ids = records_next_ids,
    .marks = records_marks,
    .installation = records_installation,
    .tenure = records_mysql_tenure,
    .clock = records_clock,
    .check = records_check,
    .ask_stop = records_mysql_ask_stop,
    .save_resumes = records_mysql_save_resumes,
    .resumes = records_mysql_resumes,
    .put_fed = records_mysql_put_fed,
    .fed = records_mysql_fed,
    .import = records_mysql_import,
};

static unsigned seconds(int64_t ms, unsigned by_default)
{
    return ms <= 0 ? by_default : ms > 3600000 ? 3600 : (unsigned)((ms + 999) / 1000);
}

// A pool of which the host that is used has this program's schema.
static int prepare(const char *url, const struct mypool_options *o, bool may_change, struct mypool **out,
                   struct nrpc_status *st)
{
    struct mypool *pool;
    struct myuse use;
    int code = mypool_create(url, o, &pool, st);
    if (code)
        return code;
    code = myhosts_use(mypool_hosts(pool), &use, st);
    if (!code)
        code = mymigrate(mypool_url(pool), use.host, &o->limits, may_change, st);
    if (code)
        mypool_destroy(pool);
    else
        *out = pool;
    return code;
}

int records_mysql_open(const struct records_mysql_options *o, struct records **out, struct nrpc_status *st)
{
    struct mypool_options p = {.connections = o->connections ? o->connections : 8,
                               .wait_ms = o->wait_ms > 0 ? o->wait_ms : 5000,
                               .limits = {seconds(o->connect_ms, 2), seconds(o->io_ms, 5)}};
    struct mypool *pool;
    if (p.connections > 1000)
        return status_set(st, NRPC_INVALID_ARGUMENT, "connections: %u are over 1000", p.connections);
    int code = prepare(o->url, &p, o->migrate, &pool, st);
    if (code)
        return code;
    struct mystore *store = mem_calloc(1, sizeof *store);
    *store = (struct mystore){.records.ops = &ops, .pool = pool};
    *out = &store->records;
    return NRPC_OK;
}

int records_mysql_migrate(const char *url, struct nrpc_status *st)
{
    const struct mypool_options o = {.connections = 1, .limits = {2, 5}};
    struct mypool *pool;
    int code = prepare(url, &o, true, &pool, st);
    if (!code)
        mypool_destroy(pool);
    return code;
}
