// SPDX-License-Identifier: Apache-2.0
// records_mysql_tasks.c: the MySQL record store: creating, changing and reading tasks.
#include "records/records_mysql_internal.h"

#include <stdlib.h>
#include <string.h>

_Static_assert(MODEL_PAUSED == 3 && MODEL_CANCELLED == 4, "tbl_task.ended splits the statuses at 3");

// ---- create

struct keyed { // a task with an idempotency key
    const char *key;
    size_t index, first; // in the batch: of this one, and of the first one with the same key
};

struct created { // by an earlier run of the same call
    uint64_t id, sequence;
};

struct create {
    struct records_new_task *tasks;
    size_t count;
    struct keyed *keyed; // by key, then by index
    size_t keyed_count;
    struct created *before;
};

static bool has_key(const struct records_new_task *t)
{
    return t->idempotency_key && *t->idempotency_key;
}

static int by_key(const void *x, const void *y)
{
    const struct keyed *a = x, *b = y;
    int order = strcmp(a->key, b->key);
    return order ? order : (a->index > b->index) - (a->index < b->index);
}

// The first task of this key; the server only gives keys that were asked for.
static size_t first_of_key(const struct create *a, const char *key)
{
    size_t low = 0, high = a->keyed_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (strcmp(a->keyed[middle].key, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return a->keyed[low].first;
}

// A key that is known answers the task that has it. If that is the one which an earlier run of this very call
// recorded, it is new: only the answer to the commit was lost.
static void answer_known(struct mycall *c, struct create *a, struct records_new_task *t, size_t index,
                         uint64_t id)
{
    bool is_ours = c->may_be_done && a->before[index].id == id;
    t->id = id;
    t->existed = !is_ours;
    t->sequence = is_ours ? a->before[index].sequence : 0;
}

static void find_known(struct mycall *c, struct create *a)
{
    struct sqltext *sql = &c->conn->sql;
    if (!a->keyed_count)
        return;
    sqltext_add(sql, "SELECT id, idempotency_key FROM tbl_task WHERE idempotency_key IN ($t",
                a->keyed[0].key);
    for (size_t i = 1; i < a->keyed_count; i++)
        if (a->keyed[i].first == a->keyed[i].index)
            sqltext_add(sql, ",$t", a->keyed[i].key);
    for (mycall_query(c, ")"); mycall_next(c);) {
        size_t index = first_of_key(a, c->row[1]);
        answer_known(c, a, &a->tasks[index], index, mycall_u64(c, 0));
    }
}

static size_t count_new(const struct create *a)
{
    size_t n = 0;
    for (size_t i = 0; i < a->count; i++)
        n += !a->tasks[i].id && !a->tasks[i].existed;
    return n;
}

static void insert_tasks(struct mycall *c, struct create *a, uint64_t id)
{
    static const struct mybatch batch = {
        "INSERT INTO tbl_task(id, name, description, task_type, creator, resource_group, uid, priority, "
        "idempotency_key, start_time, deadline, next_check_time, task_status, param) VALUES",
        ""};
    for (size_t i = 0; i < a->count; i++) {
        struct records_new_task *t = &a->tasks[i];
        if (t->id || t->existed)
            continue;
        t->id = id++;
        mycall_add_row(c, &batch, "($u,$e,$e,$e,$e,$e,$u,$u,$k,$i,$i,$i,$i,$b)", t->id, t->name,
                       t->description, t->type, t->creator, t->group, t->creator_uid, (uint64_t)t->priority,
                       t->idempotency_key, t->created_ms, t->deadline_ms, t->deadline_ms,
                       (int64_t)MODEL_RUNNING, t->param.data, t->param.bytes);
    }
    mycall_flush(c, &batch);
}

static void insert_events(struct mycall *c, struct create *a, uint64_t first_id, uint64_t sequence)
{
    for (size_t i = 0; i < a->count; i++) {
        struct records_new_task *t = &a->tasks[i];
        if (t->existed || t->id < first_id)
            continue;
        t->sequence = sequence++;
        a->before[i] = (struct created){t->id, t->sequence};
        mycall_add_row(c, &records_mysql_events, EVENT_ROW, t->sequence, t->id, (int64_t)MODEL_RUNNING,
                       (const char *)NULL, t->created_ms);
    }
    mycall_flush(c, &records_mysql_events);
}

// Or another node of a Galera cluster took the number, and our lock: then the next statement finds the
// transaction aborted, and it begins anew.
static void fail_gone_back(struct mycall *c, uint64_t id)
{
    mycall_number(c, 0, "SELECT next_id FROM tbl_counter WHERE name = $t", TASK_COUNTER);
    mycall_fail(c, NRPC_DATA_LOSS, "the records have gone back in time: number %llu was given before",
                (unsigned long long)id);
}

static void create_all(struct mycall *c, void *args)
{
    struct create *a = args;
    for (size_t i = 0; i < a->count; i++) {
        a->tasks[i].id = a->tasks[i].sequence = 0;
        a->tasks[i].existed = false;
    }
    for (size_t i = 0; i < a->keyed_count; i++)
        a->tasks[a->keyed[i].index].existed = a->keyed[i].first != a->keyed[i].index;
    find_known(c, a);
    size_t n = count_new(a);
    if (n) {
        uint64_t id = mycall_take_numbers(c, TASK_COUNTER, n), given = atomic_load(&c->records->task_given);
        if (id <= given)
            fail_gone_back(c, id);
        insert_tasks(c, a, id);
        insert_events(c, a, id, mycall_take_numbers(c, EVENT_COUNTER, n));
    }
    for (size_t i = 0; i < a->keyed_count; i++)
        a->tasks[a->keyed[i].index].id = a->tasks[a->keyed[i].first].id;
}

static void find_doubles(struct create *a)
{
    qsort(a->keyed, a->keyed_count, sizeof *a->keyed, by_key);
    for (size_t i = 1; i < a->keyed_count; i++)
        if (!strcmp(a->keyed[i].key, a->keyed[i - 1].key))
            a->keyed[i].first = a->keyed[i - 1].first;
}

int records_mysql_create(struct records *r, struct records_new_task *tasks, size_t count,
                         struct nrpc_status *st)
{
    int code = records_check_new(tasks, count, st);
    if (code || !count)
        return code;
    struct create a = {.tasks = tasks, .count = count};
    a.keyed = mem_alloc(count * sizeof *a.keyed);
    a.before = mem_calloc(count, sizeof *a.before);
    for (size_t i = 0; i < count; i++)
        if (has_key(&tasks[i]))
            a.keyed[a.keyed_count++] = (struct keyed){tasks[i].idempotency_key, i, i};
    find_doubles(&a);
    code = mycall_do(r, a.keyed_count == count ? MYCALL_WRITE : MYCALL_WRITE_ONCE, create_all, &a, NULL, st);
    for (size_t i = 0; code == NRPC_OK && i < count; i++)
        records_know_task(r, tasks[i].id);
    free(a.keyed);
    free(a.before);
    return code;
}

// ---- change

struct task_now { // while a batch of changes is applied
    uint64_t id;
    enum model_status status;
    int64_t born_ms;
    const struct records_change *last; // that changed it
};

struct change {
    struct records_change *changes;
    size_t count;
    struct task_now *now; // by id
    size_t now_count;
    uint64_t *ids;
};

static int by_id(const void *x, const void *y)
{
    uint64_t a = *(const uint64_t *)x, b = ((const struct task_now *)y)->id;
    return (a > b) - (a < b);
}

static void guard_ends(struct mycall *c, struct change *a)
{
    size_t n = 0;
    for (size_t i = 0; i < a->count; i++)
        if (model_status_is_terminal(model_status_after(MODEL_RUNNING, a->changes[i].event)))
            a->ids[n++] = a->changes[i].task;
    mycall_guard(c, a->ids, n);
}

static void read_statuses(struct mycall *c, struct change *a)
{
    for (size_t i = 0; i < a->count; i++)
        a->ids[i] = a->changes[i].task;
    size_t n = records_mysql_sort_ids(a->ids, a->count);
    a->now_count = 0;
    for (mycall_query_ids(c, "SELECT id, task_status, start_time FROM tbl_task WHERE id IN ", a->ids, n,
                          " ORDER BY id FOR UPDATE");
         mycall_next(c);)
        a->now[a->now_count++] =
            (struct task_now){mycall_u64(c, 0), (enum model_status)mycall_u64(c, 1), mycall_i64(c, 2), NULL};
}

// Whether the failures that are recorded are not those that the end counts: who admits a task again drops
// those it had, and some may have been put after that.
static bool failures_differ(struct mycall *c, const struct records_change *ch)
{
    return ch->with_failures && ch->counters &&
           mycall_number(c, 0, "SELECT COUNT(*) FROM tbl_task_failure WHERE task = $u", ch->task) !=
               ch->counters->failed + ch->counters->timed_out;
}

// The number of changes that change something; their sequence counts from 1 for now.
static uint64_t decide(struct mycall *c, struct change *a)
{
    uint64_t n = 0;
    for (size_t i = 0; i < a->count; i++) {
        struct records_change *ch = &a->changes[i];
        struct task_now *now = bsearch(&ch->task, a->now, a->now_count, sizeof *a->now, by_id);
        bool meant = now && (!ch->born_ms || ch->born_ms == now->born_ms);
        enum model_status before = now ? now->status : 0;
        enum model_status after = meant ? model_status_after(before, ch->event) : 0;
        ch->code = after ? NRPC_OK : before ? NRPC_FAILED_PRECONDITION : NRPC_NOT_FOUND;
        if (after && after != before && failures_differ(c, ch)) {
            ch->code = NRPC_ABORTED;
            after = before;
        }
        ch->changed = now && after && after != before;
        ch->status = after ? after : before;
        ch->sequence = ch->changed ? ++n : 0;
        if (now && ch->changed) {
            now->status = after;
            now->last = ch;
        }
    }
    return n;
}

static void write_going_on(struct mycall *c, const struct change *a)
{
    static const struct mybatch batch = {
        "INSERT INTO tbl_task(id, task_status, message) VALUES",
        " ON DUPLICATE KEY UPDATE task_status = VALUES(task_status), message = VALUES(message)"};
    for (const struct task_now *t = a->now; t < a->now + a->now_count; t++)
        if (t->last && !model_status_is_terminal(t->status))
            mycall_add_row(c, &batch, "($u,$i,$m)", t->id, (int64_t)t->status, t->last->message);
    mycall_flush(c, &batch);
}

static void write_ends(struct mycall *c, const struct change *a)
{
    static const struct mybatch batch = {
        "INSERT INTO tbl_task(id, task_status, message, finish_time, generated, succeeded, failed, "
        "timed_out, "
        "cancelled, retried, redispatched, running, queued, generation_done) VALUES",
        " ON DUPLICATE KEY UPDATE task_status = VALUES(task_status), message = VALUES(message), "
        "finish_time = VALUES(finish_time), next_check_time = 0, "
        "time_cost = (VALUES(finish_time) - start_time + 500) DIV 1000, generated = VALUES(generated), "
        "succeeded = VALUES(succeeded), failed = VALUES(failed), timed_out = VALUES(timed_out), "
        "cancelled = VALUES(cancelled), retried = VALUES(retried), redispatched = VALUES(redispatched), "
        "running = VALUES(running), queued = VALUES(queued), generation_done = VALUES(generation_done)"};
    static const struct model_counters none;
    size_t ended = 0;
    for (const struct task_now *t = a->now; t < a->now + a->now_count; t++) {
        if (!t->last || !model_status_is_terminal(t->status))
            continue;
        const struct model_counters *n = t->last->counters ? t->last->counters : &none;
        a->ids[ended++] = t->id;
        mycall_add_row(c, &batch, "($u,$i,$m,$i,$u,$u,$u,$u,$u,$u,$u,$u,$u,$u)", t->id, (int64_t)t->status,
                       t->last->message, t->last->now_ms, n->generated, n->succeeded, n->failed, n->timed_out,
                       n->cancelled, n->retried, n->redispatched, n->running, n->queued,
                       (uint64_t)n->generation_done);
    }
    mycall_flush(c, &batch);
    if (ended) {
        mycall_run_ids(c, "DELETE FROM tbl_resume_point WHERE task IN ", a->ids, ended, "");
        mycall_run_ids(c, "DELETE FROM tbl_fed WHERE task IN ", a->ids, ended, "");
    }
}

static void write_history(struct mycall *c, struct change *a, uint64_t first)
{
    for (size_t i = 0; i < a->count; i++) {
        struct records_change *ch = &a->changes[i];
        if (!ch->changed)
            continue;
        ch->sequence += first - 1;
        mycall_add_row(c, &records_mysql_events, EVENT_ROW, ch->sequence, ch->task, (int64_t)ch->status,
                       ch->message, ch->now_ms);
    }
    mycall_flush(c, &records_mysql_events);
}

static void change_all(struct mycall *c, void *args)
{
    struct change *a = args;
    guard_ends(c, a);
    read_statuses(c, a);
    uint64_t n = c->code ? 0 : decide(c, a);
    if (!n || c->code)
        return;
    write_going_on(c, a);
    write_ends(c, a);
    write_history(c, a, mycall_take_numbers(c, EVENT_COUNTER, n));
}

int records_mysql_change(struct records *r, struct records_change *changes, size_t count,
                         struct nrpc_status *st)
{
    int code = records_check_changes(changes, count, st);
    if (code || !count)
        return code;
    struct change a = {.changes = changes, .count = count};
    a.now = mem_alloc(count * sizeof *a.now);
    a.ids = mem_alloc(count * sizeof *a.ids);
    code = mycall_do(r, MYCALL_WRITE, change_all, &a, NULL, st);
    free(a.now);
    free(a.ids);
    return code;
}

// ---- reading

#define TASK_COLUMNS                                                                                         \
    "id, task_status, name, description, task_type, creator, resource_group, message, uid, priority, "       \
    "start_time, deadline, finish_time, generated, succeeded, failed, timed_out, cancelled, retried, "       \
    "redispatched, running, queued, generation_done, idempotency_key, stop_asked IS NOT NULL, stop_message"

static void read_task(struct mycall *c, void *item)
{
    struct records_task *t = item;
    *t = (struct records_task){
        .id = mycall_u64(c, 0),
        .status = (enum model_status)mycall_u64(c, 1),
        .name = mycall_text(c, 2),
        .description = mycall_text(c, 3),
        .type = mycall_text(c, 4),
        .creator = mycall_text(c, 5),
        .group = mycall_text(c, 6),
        .message = mycall_text(c, 7),
        .creator_uid = mycall_u64(c, 8),
        .priority = (uint32_t)mycall_u64(c, 9),
        .created_ms = mycall_i64(c, 10),
        .deadline_ms = mycall_i64(c, 11),
        .finished_ms = mycall_i64(c, 12),
        .counters = mycall_counters(c, 13),
        .idempotency_key = mycall_text(c, 23),
        .stop_asked = mycall_u64(c, 24) != 0,
        .stop_message = mycall_text(c, 25),
        .param = mycall_blob(c, 26),
    };
    c->at[0] = t->id;
}

bool records_mysql_read_one(struct mycall *c, uint64_t id, struct records_task *out)
{
    mycall_query(c, "SELECT " TASK_COLUMNS ", param FROM tbl_task WHERE id = $u", id);
    bool found = mycall_next(c);
    if (found)
        read_task(c, out);
    mycall_done(c);
    return found;
}

struct get {
    uint64_t id;
    struct records_task *out;
};

static void get_one(struct mycall *c, void *args)
{
    struct get *a = args;
    if (!records_mysql_read_one(c, a->id, a->out))
        mycall_fail(c, NRPC_NOT_FOUND, "there is no task %llu", (unsigned long long)a->id);
}

int records_mysql_get(struct records *r, uint64_t id, struct arena *a, struct records_task *out,
                      struct nrpc_status *st)
{
    struct get args = {id, out};
    return mycall_do(r, MYCALL_READ, get_one, &args, a, st);
}

struct briefs {
    const uint64_t *ids;
    uint64_t *sorted;
    size_t count;
    struct records_brief *out;
};

static void briefs_all(struct mycall *c, void *args)
{
    struct briefs *a = args;
    memcpy(a->sorted, a->ids, a->count * sizeof *a->sorted);
    memset(a->out, 0, a->count * sizeof *a->out);
    size_t n = records_mysql_sort_ids(a->sorted, a->count);
    for (mycall_query_ids(c, "SELECT id, task_status, start_time FROM tbl_task WHERE id IN ", a->sorted, n,
                          "");
         mycall_next(c);)
        for (size_t i = 0; i < a->count; i++)
            if (a->ids[i] == mycall_u64(c, 0))
                a->out[i] = (struct records_brief){(enum model_status)mycall_u64(c, 1), mycall_i64(c, 2)};
}

int records_mysql_briefs(struct records *r, const uint64_t *ids, size_t count, struct records_brief *out,
                         struct nrpc_status *st)
{
    if (!count)
        return NRPC_OK;
    struct briefs args = {ids, mem_calloc(count, sizeof *ids), count, out};
    int code = mycall_do(r, MYCALL_READ, briefs_all, &args, NULL, st);
    free(args.sorted);
    return code;
}

struct list {
    const char *sql;
    uint64_t from, status;
    size_t max;
    struct records_task **out;
    size_t *count;
};

static void list_all(struct mycall *c, void *args)
{
    struct list *a = args;
    c->at[0] = a->from;
    c->at[1] = a->status;
    mycall_rows(c, a->sql, a->max, sizeof **a->out, read_task, a->out, a->count);
}

int records_mysql_list(struct records *r, enum model_status status, uint64_t before_id, size_t max,
                       struct arena *a, struct records_task **out, size_t *count, struct nrpc_status *st)
{
    static const char of_all[] =
        "SELECT " TASK_COLUMNS ", NULL FROM tbl_task WHERE id < $0 ORDER BY id DESC LIMIT $5";
    static const char of_status[] = "SELECT " TASK_COLUMNS ", NULL FROM tbl_task FORCE INDEX(task_status) "
                                    "WHERE id < $0 AND task_status = $1 ORDER BY id DESC LIMIT $5";
    struct list args = {
        status ? of_status : of_all, before_id ? before_id : UINT64_MAX, status, max, out, count};
    return mycall_do(r, MYCALL_READ, list_all, &args, a, st);
}

int records_mysql_unfinished(struct records *r, uint64_t after, size_t max, struct arena *a,
                             struct records_task **out, size_t *count, struct nrpc_status *st)
{
    static const char sql[] = "SELECT " TASK_COLUMNS ", param FROM tbl_task FORCE INDEX(task_unfinished) "
                              "WHERE ended = 0 AND id > $0 ORDER BY id LIMIT $5";
    struct list args = {sql, after, 0, max, out, count};
    return mycall_do(r, MYCALL_READ, list_all, &args, a, st);
}
