// SPDX-License-Identifier: Apache-2.0
// repair.c: what a crash, or a state store that lost what it had, has left half done.
//
// A task that is recorded as unfinished and not in the state is admitted again, from its newest point: the
// points of tasks under way are recorded as they come (repair_points), after the failures that they count.
// What clients fed is recorded, too, and fed again. So is one that the state took out as damaged; what cannot
// be admitted, or is damaged time and again, fails with the reason. A state that loses nothing has no points,
// and nothing fed is recorded. A state that began anew may be older than its records: what it has of a task
// is given up then if the recorded point is ahead of it (and in compare.c, if the record says otherwise of
// it).
#include "base/log.h"
#include "dtf/v1/task.pb-c.h"
#include "manager_internal.h"
#include "param.h"

#include <stdio.h>
#include <stdlib.h>
#include <uthash.h>

enum {
    POINTS_PAGE = 200,
    FED_PAGE = 8,
    DAMAGES_MAX = 5, // times that a task is admitted again after it was damaged
};

// ---- points

struct noted { // how many failures of a task are recorded
    UT_hash_handle hh;
    uint64_t task, failures;
};

static struct noted *find(struct manager *m, uint64_t task)
{
    struct noted *n;
    HASH_FIND(hh, m->noted, &task, sizeof task, n);
    return n;
}

static void drop(struct manager *m, struct noted *n)
{
    HASH_DEL(m->noted, n);
    free(n);
}

void repair_forget(struct manager *m, uint64_t task)
{
    struct noted *n, *tmp;
    if (task && (n = find(m, task)))
        drop(m, n);
    if (task)
        return;
    HASH_ITER(hh, m->noted, n, tmp)
    {
        drop(m, n);
    }
}

static int note_failures(struct manager *m, const struct state_point *p, struct nrpc_status *st)
{
    uint64_t failures = p->counters.failed + p->counters.timed_out;
    struct noted *n = find(m, p->task);
    if (!failures || (n && n->failures == failures))
        return NRPC_OK;
    if (manager_record_failures(m, p->task, p->segment, st))
        return st->code;
    if (!n) {
        n = mem_calloc(1, sizeof *n);
        n->task = p->task;
        HASH_ADD(hh, m->noted, task, sizeof n->task, n);
    }
    n->failures = failures;
    return NRPC_OK;
}

int repair_points(struct manager *m, bool *more, struct nrpc_status *st)
{
    struct state *s = m->env->state;
    struct state_point *points;
    size_t count;
    int code = s->ops->points(s, POINTS_PAGE, &m->arena, &points, &count, st);
    if (code || !count)
        return code;
    struct records_resume *resumes = arena_calloc(&m->arena, count * sizeof *resumes);
    for (size_t i = 0; code == NRPC_OK && i < count; i++) {
        const struct state_point *p = &points[i];
        code = note_failures(m, p, st);
        resumes[i] = (struct records_resume){.task = p->task,
                                             .checkpoint = {p->checkpoint.data, p->checkpoint.bytes},
                                             .has_checkpoint = p->checkpoint.data,
                                             .made = p->made,
                                             .counters = p->counters,
                                             .progress_percent = p->progress_percent};
    }
    if (code == NRPC_OK)
        code = m->env->records->ops->save_resumes(m->env->records, resumes, count, st);
    if (code == NRPC_OK)
        code = s->ops->points_recorded(s, points, count, st);
    *more = code == NRPC_OK && count == POINTS_PAGE;
    return code;
}

// ---- what was fed

static int feed_row(struct manager *m, uint64_t task, const struct records_fed *row, struct arena *a,
                    struct nrpc_status *st)
{
    uint64_t fed;
    Dtf__V1__FeedRequest *q =
        dtf__v1__feed_request__unpack(&a->allocator, row->packed.bytes, row->packed.data);
    if (!q)
        return status_set(st, NRPC_DATA_LOSS, "what was fed to task %llu at %llu cannot be read",
                          (unsigned long long)task, (unsigned long long)row->at);
    struct state_subtask *subtasks = arena_alloc(a, (q->n_subtasks + 1) * sizeof *subtasks);
    for (size_t i = 0; i < q->n_subtasks; i++)
        subtasks[i] = (struct state_subtask){{q->subtasks[i]->param.data, q->subtasks[i]->param.len},
                                             model_timeout_ms(q->subtasks[i]->timeout_ms)};
    return m->env->state->ops->feed(m->env->state, task, q->at, subtasks, q->n_subtasks, row->finish, &fed,
                                    st);
}

int repair_feed(struct manager *m, uint64_t task, struct nrpc_status *st)
{
    struct arena a;
    struct records_fed *rows;
    size_t count = FED_PAGE;
    uint64_t made = 0;
    arena_init(&a, 0);
    int code = m->env->state->ops->feed(m->env->state, task, 0, NULL, 0, false, &made, st);
    while (code == NRPC_OK && count == FED_PAGE) {
        arena_reset(&a);
        code = m->env->records->ops->fed(m->env->records, task, made, FED_PAGE, &a, &rows, &count, st);
        for (size_t i = 0; code == NRPC_OK && i < count; i++) {
            code = feed_row(m, task, &rows[i], &a, st);
            made = rows[i].at + rows[i].count > made ? rows[i].at + rows[i].count : made;
            if (rows[i].finish)
                count = 0;
        }
    }
    arena_fini(&a);
    // A queue that is full goes on later; a gap is closed when its client, who got no answer, comes again.
    bool later = code == NRPC_RESOURCE_EXHAUSTED || code == NRPC_OUT_OF_RANGE;
    bool over = code == NRPC_ABORTED || code == NRPC_FAILED_PRECONDITION || code == NRPC_NOT_FOUND;
    if (later)
        m->repair_asked = true;
    return later || over ? NRPC_OK : code;
}

// ---- admitting again

static int admit_again(struct manager *m, const struct records_task *t, const Dtf__V1__TaskParam *p,
                       const struct records_resume *r, struct nrpc_status *st)
{
    struct state_task task;
    param_to_state(p, &(struct param_task){t->id, t->created_ms, t->deadline_ms, t->param}, &task);
    task.again = true;
    if (r->found) {
        task.counters = r->counters;
        task.made = r->made;
        if (r->has_checkpoint)
            task.checkpoint = (struct state_blob){r->checkpoint.data, r->checkpoint.bytes};
    }
    repair_forget(m, t->id);
    int code =
        m->env->state->disposable ? m->env->records->ops->drop_failures(m->env->records, t->id, st) : NRPC_OK;
    if (code == NRPC_FAILED_PRECONDITION)
        return NRPC_NOT_FOUND; // it has ended meanwhile
    if (code == NRPC_OK)
        code = m->env->state->ops->admit(m->env->state, &task, 1, st);
    if (code == NRPC_OK)
        log_info("task %llu was recorded but not under way: admitted, %llu subtasks are settled",
                 (unsigned long long)t->id, (unsigned long long)r->counters.generated);
    return code;
}

// It goes on nowhere: it is admitted only to end.
static int admit_to_fail(struct manager *m, const struct records_task *t, const struct records_resume *r,
                         const char *why, struct nrpc_status *st)
{
    const struct state_ops *ops = m->env->state->ops;
    struct state_task task = {.id = t->id,
                              .born_ms = t->created_ms,
                              .type = t->type,
                              .group = t->group,
                              .priority = t->priority,
                              .deadline_ms = t->deadline_ms,
                              .counters = r->counters,
                              .made = r->made,
                              .fed = true, // nobody generates it meanwhile
                              .again = true};
    int code = ops->admit(m->env->state, &task, 1, st);
    return code ? code : ops->stop(m->env->state, t->id, MODEL_OUTCOME_FAILED, why, st);
}

// A task that the state does not know.
static int admit_missing(struct manager *m, const struct records_task *t, const Dtf__V1__TaskParam *p,
                         const struct state_progress *progress, const struct records_resume *resume,
                         struct arena *a, struct nrpc_status *st)
{
    struct records_task now; // it may have ended, and been removed, since the page was read
    char why[600] = "its stored parameters cannot be read";
    int code = m->env->records->ops->get(m->env->records, t->id, a, &now, st);
    if (code || model_status_is_terminal(now.status))
        return code ? code : NRPC_NOT_FOUND;
    if (progress->damages)
        log_warn("task %llu: what the state had of it was damaged, and is given up: %s",
                 (unsigned long long)t->id, progress->message);
    if (p && progress->damages <= DAMAGES_MAX)
        return admit_again(m, t, p, resume, st);
    if (p)
        snprintf(why, sizeof why, "what the state had of it was damaged %u times: %s", progress->damages,
                 progress->message);
    log_error("task %llu fails: %s", (unsigned long long)t->id, why);
    return admit_to_fail(m, t, resume, why, st);
}

// The record says whether a task is paused; it may say otherwise by the time that the state has heard it.
static int agree_on_pause(struct manager *m, const struct records_task *t, bool paused, struct arena *a,
                          struct nrpc_status *st)
{
    struct records_task now = *t;
    int code = NRPC_OK;
    while (code == NRPC_OK && !model_status_is_terminal(now.status) &&
           paused != (now.status == MODEL_PAUSED)) {
        paused = now.status == MODEL_PAUSED;
        code = m->env->state->ops->pause(m->env->state, t->id, paused, st);
        if (code == NRPC_OK)
            code = m->env->records->ops->get(m->env->records, t->id, a, &now, st);
    }
    return code;
}

int repair_drop(struct manager *m, uint64_t task, const char *why, struct nrpc_status *st)
{
    log_warn("task %llu: what the state has of it is given up: %s", (unsigned long long)task, why);
    int code = m->env->state->ops->stop(m->env->state, task, MODEL_OUTCOME_DROPPED, why, st);
    return code == NRPC_NOT_FOUND ? NRPC_OK : code;
}

// Why what the state has of a task cannot go on; NULL: it can. The point was read before the state was asked.
static const char *why_older(const struct records_task *t, const struct state_progress *p,
                             const struct records_resume *r)
{
    const struct model_counters *n = &r->counters;
    uint64_t settled = n->succeeded + n->failed + n->timed_out + n->cancelled;
    if (p->born_ms && p->born_ms != t->created_ms)
        return "it is another task, which had this number";
    if (p->phase < MODEL_CLOSING && r->found &&
        (p->point_made < r->made || (p->point_made == r->made && p->point_settled < settled)))
        return "it is older than the recorded point";
    return NULL;
}

// Makes the state agree with the record.
static int repair_one(struct manager *m, const struct records_task *t, struct state_progress *progress,
                      const struct records_resume *resume, struct arena *a, struct nrpc_status *st)
{
    const struct state_ops *ops = m->env->state->ops;
    int code = NRPC_OK;
    Dtf__V1__TaskParam *p = dtf__v1__task_param__unpack(&a->allocator, t->param.bytes, t->param.data);
    const char *why = progress->found ? why_older(t, progress, resume) : NULL;
    if (progress->found && progress->outcome == MODEL_OUTCOME_DROPPED)
        return NRPC_OK; // it is admitted again when it is gone
    if (why)
        return repair_drop(m, t->id, why, st);
    if (!progress->found)
        code = admit_missing(m, t, p, progress, resume, a, st);
    if (code == NRPC_OK && p)
        feeders_begin(m, t->id, p, m->now_ms);
    if (code == NRPC_OK)
        code = agree_on_pause(m, t, progress->paused, a, st);
    if (code == NRPC_OK && t->stop_asked && (!progress->found || progress->phase < MODEL_STOPPING))
        code = ops->stop(m->env->state, t->id, MODEL_OUTCOME_CANCELLED, t->stop_message, st);
    if (code == NRPC_OK && p && p->fed && m->env->state->disposable && !progress->counters.generation_done)
        code = repair_feed(m, t->id, st);
    return code == NRPC_NOT_FOUND ? NRPC_OK : code; // it ended meanwhile
}

// The points are read first: what the state says after that is older than a point only if it has gone back in
// time. Unless it began anew, that need not be asked; a task that is missing needs its point in any case.
static int read_points(struct repair *r, const uint64_t *ids, size_t count, struct arena *a,
                       struct state_progress *progress, struct records_resume *resumes,
                       struct nrpc_status *st)
{
    struct manager *m = r->m;
    const struct records_ops *records = m->env->records->ops;
    bool missing = false;
    if (r->thorough && records->resumes(m->env->records, ids, count, a, resumes, st))
        return st->code;
    m->env->state->ops->progress(m->env->state, ids, count, a, progress, &r->unheard);
    for (size_t i = 0; i < count; i++)
        missing |= !progress[i].found && !progress[i].unknown;
    return missing && !r->thorough ? records->resumes(m->env->records, ids, count, a, resumes, st) : NRPC_OK;
}

// One task that cannot be repaired, or a server of the state that does not answer, keeps no other task from
// it.
int repair_some(struct repair *r, const struct records_task *tasks, size_t count, struct arena *a,
                struct nrpc_status *st)
{
    uint64_t ids[REPAIR_SLICE] = {0};
    struct state_progress progress[REPAIR_SLICE] = {0};
    struct records_resume resumes[REPAIR_SLICE] = {0};
    for (size_t i = 0; i < count; i++)
        ids[i] = tasks[i].id;
    int code = read_points(r, ids, count, a, progress, resumes, st);
    if (code)
        return code;
    for (size_t i = 0; code != NRPC_UNAVAILABLE && i < count; i++) {
        code = progress[i].unknown ? NRPC_OK : repair_one(r->m, &tasks[i], &progress[i], &resumes[i], a, st);
        if (code)
            log_line(code == NRPC_UNAVAILABLE || code == NRPC_RESOURCE_EXHAUSTED ? LOG_WARN : LOG_ERROR,
                     "task %llu cannot be made to agree with its record: %s", (unsigned long long)tasks[i].id,
                     st->text);
        if (progress[i].unknown)
            repair_failed(r, ids[i]);
    }
    return code == NRPC_UNAVAILABLE ? code : NRPC_OK;
}

void repair_failed(struct repair *r, uint64_t task)
{
    mem_grow(&r->failed, &r->failed_capacity, r->failed_count + 1, sizeof *r->failed);
    r->failed[r->failed_count++] = task;
}

// *ended: there is no such task, or it has ended.
static int repair_recorded(struct manager *m, uint64_t task, bool *ended, struct nrpc_status *st)
{
    struct repair r = {.m = m};
    struct records_task t;
    struct arena a;
    arena_init(&a, 0);
    int code = m->env->records->ops->get(m->env->records, task, &a, &t, st);
    *ended = code == NRPC_NOT_FOUND || (code == NRPC_OK && model_status_is_terminal(t.status));
    if (code == NRPC_OK && !*ended)
        code = repair_some(&r, &t, 1, &a, st);
    arena_fini(&a);
    free(r.failed);
    return code == NRPC_NOT_FOUND ? NRPC_OK : code;
}

int repair_task(struct manager *m, uint64_t task, struct nrpc_status *st)
{
    bool ended;
    return repair_recorded(m, task, &ended, st);
}

int repair_damaged(struct manager *m, uint64_t task, struct nrpc_status *st)
{
    bool ended;
    int code = repair_recorded(m, task, &ended, st);
    return code == NRPC_OK && ended ? m->env->state->ops->remove(m->env->state, &task, 1, 0, st) : code;
}
