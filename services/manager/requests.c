// SPDX-License-Identifier: Apache-2.0
// requests.c: the handlers of TaskService. All look alike: look up, refuse, do, answer once, or park until
// something happens.
//
// A handler is called on the transport's thread and only posts a request; the request's run function does the
// work in the manager's loop. Parking runs it again, when what it waits for happened, or (last) when its time
// is up.
#include "manager_internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/utf8.h"
#include "dtf.h"
#include "param.h"
#include "task_message.h"

#include <stdlib.h>
#include <string.h>

enum {
    LIST_DEFAULT = 100,
    LIST_MAX = 1000,
};

static void post(struct manager *m, struct nrpc_call *call, const void *message, request_fn run)
{
    struct request *r = nrpc_call_alloc(call, sizeof *r);
    if (!r) {
        nrpc_reply_error(call, NRPC_RESOURCE_EXHAUSTED, "the request is too large");
        return;
    }
    *r = (struct request){.call = call, .message = message, .run = run, .until_ms = CLOCK_NEVER};
    loop_post(&m->loop, &r->mail);
}

bool requests_park(struct manager *m, struct request *r, uint64_t task, unsigned signals, uint64_t wait_ms,
                   int64_t now_ms, bool last)
{
    if (last || !wait_ms || m->stopping)
        return false;
    if (r->until_ms == CLOCK_NEVER) {
        int64_t wait = wait_ms < MANAGER_WAIT_MAX_MS ? (int64_t)wait_ms : MANAGER_WAIT_MAX_MS;
        int64_t caller = nrpc_call_remaining_ms(r->call);
        r->until_ms = now_ms + (wait < caller ? wait : caller);
    }
    parked_add(&m->parked, r, task, signals);
    return true;
}

int requests_page(uint32_t asked, int by_default, int max)
{
    return !asked ? by_default : asked > (uint32_t)max ? max : (int)asked;
}

// ---- Create

static void requests_create(struct manager *m, struct request *r, int64_t now_ms, bool last)
{
    (void)last;
    const Dtf__V1__CreateRequest *q = r->message;
    struct nrpc_status st;
    struct records_new_task t;
    if (!q->param)
        nrpc_reply_error(r->call, NRPC_INVALID_ARGUMENT, "param: is missing");
    else if (param_to_record(q->param, wall_ms(&m->wall, now_ms), &m->arena, &t, &st))
        nrpc_reply_status(r->call, &st);
    else {
        mem_grow(&m->creations, &m->creation_capacity, m->creation_count + 1, sizeof *m->creations);
        mem_grow(&m->new_tasks, &m->new_task_capacity, m->creation_count + 1, sizeof *m->new_tasks);
        m->creations[m->creation_count] = (struct creation){r, q->param};
        m->new_tasks[m->creation_count++] = t;
    }
}

static void ask_repair(struct manager *m, int64_t at_ms)
{
    m->repair_asked = true;
    m->next_repair_ms = at_ms < m->next_repair_ms ? at_ms : m->next_repair_ms;
}

static void admit_existing(struct manager *m, uint64_t task, int64_t now_ms)
{
    struct nrpc_status st;
    if (repair_task(m, task, &st) == NRPC_OK)
        return;
    trouble_say(m->env->trouble, &st, "manager: cannot admit task %llu", (unsigned long long)task);
    ask_repair(m, now_ms + ENV_STORE_RETRY_MS);
}

void requests_admit_damaged(struct manager *m, uint64_t task, int64_t now_ms)
{
    struct nrpc_status st;
    if (repair_damaged(m, task, &st) == NRPC_OK)
        return;
    trouble_say(m->env->trouble, &st, "manager: cannot admit task %llu", (unsigned long long)task);
    ask_repair(m, now_ms + ENV_STORE_RETRY_MS);
}

static void admit_all(struct manager *m, int64_t now_ms)
{
    struct state_task *tasks = arena_alloc(&m->arena, m->creation_count * sizeof *tasks);
    size_t count = 0;
    for (size_t i = 0; i < m->creation_count; i++) {
        const struct records_new_task *t = &m->new_tasks[i];
        if (t->existed) { // whoever recorded it may not have come to admit it
            admit_existing(m, t->id, now_ms);
            continue;
        }
        param_to_state(m->creations[i].param,
                       &(struct param_task){t->id, t->created_ms, t->deadline_ms, t->param}, &tasks[count++]);
        if (t->deadline_ms - m->wall.offset_ms < m->next_overdue_ms)
            m->next_overdue_ms = t->deadline_ms - m->wall.offset_ms;
    }
    struct nrpc_status st;
    if (count && m->env->state->ops->admit(m->env->state, tasks, count, &st)) {
        trouble_say(m->env->trouble, &st, "manager: cannot admit %zu new tasks", count);
        ask_repair(m, now_ms + ENV_STORE_RETRY_MS);
    }
    for (size_t i = 0; i < m->creation_count; i++)
        if (!m->new_tasks[i].existed)
            feeders_begin(m, m->new_tasks[i].id, m->creations[i].param, now_ms);
}

static void answer_created(struct manager *m, const struct creation *c, const struct records_new_task *t,
                           int64_t now_ms)
{
    if (!t->existed) {
        Dtf__V1__Event e = DTF__V1__EVENT__INIT;
        e.sequence = t->sequence;
        e.kind = DTF__V1__EVENT_KIND__EVENT_STATUS;
        e.task_id = t->id;
        e.status = DTF__V1__TASK_STATUS__TASK_RUNNING;
        e.time_ms = wall_ms(&m->wall, now_ms);
        manager_announce(m, &e);
    }
    Dtf__V1__CreateResponse response = DTF__V1__CREATE_RESPONSE__INIT;
    response.task_id = t->id;
    response.existed = t->existed;
    dtf_v1_task_service_create_reply(c->request->call, &response);
}

static int create_all(struct manager *m, struct nrpc_status *st)
{
    const struct records_ops *records = m->env->records->ops;
    if (!m->numbers_known)
        return status_set(st, NRPC_UNAVAILABLE, "it is not known yet which numbers were given");
    int code = records->create(m->env->records, m->new_tasks, m->creation_count, st);
    if (code == NRPC_DATA_LOSS && compare_numbers(m, st) == NRPC_OK)
        code = records->create(m->env->records, m->new_tasks, m->creation_count, st);
    return code == NRPC_OK ? code : st->code;
}

void requests_create_all(struct manager *m, int64_t now_ms)
{
    struct nrpc_status st;
    if (!m->creation_count)
        return;
    int code = create_all(m, &st);
    if (code == NRPC_OK)
        admit_all(m, now_ms);
    for (size_t i = 0; i < m->creation_count; i++)
        if (code)
            nrpc_reply_status(m->creations[i].request->call, &st);
        else
            answer_created(m, &m->creations[i], &m->new_tasks[i], now_ms);
    m->creation_count = 0;
}

// ---- Get, Wait, List

// Somebody has met a task that is under way, and that the state does not know: whoever recorded it may not
// have come to admit it.
void requests_admit_met(struct manager *m, uint64_t task)
{
    struct nrpc_status st;
    if (repair_task(m, task, &st))
        trouble_say(m->env->trouble, &st, "manager: cannot admit task %llu", (unsigned long long)task);
}

static int read_task(struct manager *m, uint64_t id, bool with_param, Dtf__V1__Task **out, bool *ended,
                     struct nrpc_status *st)
{
    struct records_task t;
    struct state_progress p = {0};
    int code = m->env->records->ops->get(m->env->records, id, &m->arena, &t, st);
    if (code)
        return code;
    *ended = model_status_is_terminal(t.status);
    if (!*ended)
        m->env->state->ops->progress(m->env->state, &id, 1, &m->arena, &p, st);
    if (!*ended && !p.found && !p.unknown)
        requests_admit_met(m, id);
    *out = task_message(&t, &p, st->text, with_param, &m->arena);
    char stuck[120];
    if (!*ended && !p.unknown && callbacks_stuck_ms(m->env->callbacks, id, stuck, sizeof stuck))
        (*out)->message = arena_strdup(&m->arena, stuck);
    return NRPC_OK;
}

static void requests_get(struct manager *m, struct request *r, int64_t now_ms, bool last)
{
    (void)now_ms;
    (void)last;
    const Dtf__V1__GetRequest *q = r->message;
    Dtf__V1__GetResponse response = DTF__V1__GET_RESPONSE__INIT;
    struct nrpc_status st;
    bool ended;
    if (read_task(m, q->task_id, true, &response.task, &ended, &st))
        nrpc_reply_status(r->call, &st);
    else
        dtf_v1_task_service_get_reply(r->call, &response);
}

static void requests_wait(struct manager *m, struct request *r, int64_t now_ms, bool last)
{
    const Dtf__V1__WaitRequest *q = r->message;
    Dtf__V1__WaitResponse response = DTF__V1__WAIT_RESPONSE__INIT;
    struct nrpc_status st;
    bool ended;
    if (read_task(m, q->task_id, false, &response.task, &ended, &st))
        nrpc_reply_status(r->call, &st);
    else if (ended || !requests_park(m, r, q->task_id, PARKED_END, q->wait_ms, now_ms, last)) {
        if (ended && last)
            finds_suspect(&m->finds, q->task_id, STATE_HINT_GONE - 1, STATE_HINT_GONE, "it has ended",
                          now_ms);
        dtf_v1_task_service_wait_reply(r->call, &response);
    }
}

static void requests_list(struct manager *m, struct request *r, int64_t now_ms, bool last)
{
    (void)now_ms;
    (void)last;
    const Dtf__V1__ListRequest *q = r->message;
    Dtf__V1__ListResponse response = DTF__V1__LIST_RESPONSE__INIT;
    struct records_task *tasks;
    struct nrpc_status st;
    size_t count;
    if (m->env->records->ops->list(m->env->records, (enum model_status)q->status, q->before_id,
                                   (size_t)requests_page(q->limit, LIST_DEFAULT, LIST_MAX), &m->arena, &tasks,
                                   &count, &st)) {
        nrpc_reply_status(r->call, &st);
        return;
    }
    uint64_t *ids = arena_alloc(&m->arena, (count + 1) * sizeof *ids);
    struct state_progress *p = arena_calloc(&m->arena, (count + 1) * sizeof *p);
    for (size_t i = 0; i < count; i++)
        ids[i] = tasks[i].id;
    m->env->state->ops->progress(m->env->state, ids, count, &m->arena, p, &st);
    response.tasks = arena_alloc(&m->arena, (count + 1) * sizeof *response.tasks);
    struct budget room = budget_of_message();
    for (size_t i = 0; i < count; i++) {
        Dtf__V1__Task *t = task_message(&tasks[i], &p[i], st.text, false, &m->arena);
        if (!budget_take(&room, dtf__v1__task__get_packed_size(t)))
            break;
        response.tasks[response.n_tasks++] = t;
    }
    dtf_v1_task_service_list_reply(r->call, &response);
}

// ---- Pause, Resume, Cancel

// What the records know holds, whether the state could be told by now or not.
static int will_take_effect(struct manager *m, int64_t now_ms, const char *what, struct nrpc_status *st)
{
    struct nrpc_status why = *st;
    ask_repair(m, now_ms + ENV_STORE_RETRY_MS);
    return status_set(st, NRPC_UNAVAILABLE,
                      "%s is recorded, and takes effect when the state answers again: %s", what, why.text);
}

static int set_paused(struct manager *m, uint64_t task, bool paused, int64_t now_ms, struct nrpc_status *st)
{
    struct records_change change = {
        .task = task, .event = paused ? MODEL_PAUSE : MODEL_RESUME, .now_ms = wall_ms(&m->wall, now_ms)};
    int code = m->env->records->ops->change(m->env->records, &change, 1, st);
    if (code)
        return code;
    if (change.code == NRPC_NOT_FOUND)
        return status_set(st, NRPC_NOT_FOUND, "there is no task %llu", (unsigned long long)task);
    if (change.code)
        return status_set(st, change.code, "task %llu is %s", (unsigned long long)task,
                          model_status_name(change.status));
    if (change.changed) {
        Dtf__V1__Event e = DTF__V1__EVENT__INIT;
        e.sequence = change.sequence;
        e.kind = DTF__V1__EVENT_KIND__EVENT_STATUS;
        e.task_id = task;
        e.status = (Dtf__V1__TaskStatus)change.status;
        e.time_ms = wall_ms(&m->wall, now_ms);
        manager_announce(m, &e);
    }
    code = m->env->state->ops->pause(m->env->state, task, paused, st);
    if (code == NRPC_NOT_FOUND) // it is just ending, or not admitted yet
        code = repair_task(m, task, st);
    return code == NRPC_UNAVAILABLE ? will_take_effect(m, now_ms, paused ? "the pause" : "the resume", st)
                                    : code;
}

static void requests_pause(struct manager *m, struct request *r, int64_t now_ms, bool last)
{
    (void)last;
    const Dtf__V1__PauseRequest *q = r->message;
    Dtf__V1__PauseResponse response = DTF__V1__PAUSE_RESPONSE__INIT;
    struct nrpc_status st;
    if (set_paused(m, q->task_id, true, now_ms, &st))
        nrpc_reply_status(r->call, &st);
    else
        dtf_v1_task_service_pause_reply(r->call, &response);
}

static void requests_resume(struct manager *m, struct request *r, int64_t now_ms, bool last)
{
    (void)last;
    const Dtf__V1__ResumeRequest *q = r->message;
    Dtf__V1__ResumeResponse response = DTF__V1__RESUME_RESPONSE__INIT;
    struct nrpc_status st;
    if (set_paused(m, q->task_id, false, now_ms, &st))
        nrpc_reply_status(r->call, &st);
    else
        dtf_v1_task_service_resume_reply(r->call, &response);
}

// Records the wish; *over: the task is cancelled already.
static int ask_to_stop(struct manager *m, uint64_t task, const char *message, int64_t now_ms, bool *over,
                       struct nrpc_status *st)
{
    const struct records_ops *records = m->env->records->ops;
    struct records_task t;
    int code = NRPC_FAILED_PRECONDITION;
    while (code == NRPC_FAILED_PRECONDITION) { // it has ended: as what?
        code = records->get(m->env->records, task, &m->arena, &t, st);
        *over = code == NRPC_OK && t.status == MODEL_CANCELLED;
        if (code || *over)
            return code;
        if (model_status_is_terminal(t.status))
            return status_set(st, NRPC_FAILED_PRECONDITION, "task %llu is %s", (unsigned long long)task,
                              model_status_name(t.status));
        if (m->env->state->disposable)
            code = records->ask_stop(m->env->records, task, message, wall_ms(&m->wall, now_ms), st);
        else
            code = NRPC_OK;
    }
    return code;
}

int requests_stop(struct manager *m, uint64_t task, const char *message, int64_t now_ms,
                  struct nrpc_status *st)
{
    bool over;
    int code = ask_to_stop(m, task, message, now_ms, &over, st);
    if (code || over)
        return code;
    code = m->env->state->ops->stop(m->env->state, task, MODEL_OUTCOME_CANCELLED, message, st);
    if (code == NRPC_NOT_FOUND) { // it is just ending, or not admitted yet
        code = repair_task(m, task, st);
        if (code == NRPC_OK)
            code = m->env->state->ops->stop(m->env->state, task, MODEL_OUTCOME_CANCELLED, message, st);
    }
    if (code == NRPC_UNAVAILABLE && m->env->state->disposable)
        return will_take_effect(m, now_ms, "the cancel", st);
    return code == NRPC_NOT_FOUND ? NRPC_OK : code;
}

static int cancel(struct manager *m, uint64_t task, const char *reason, int64_t now_ms,
                  struct nrpc_status *st)
{
    if (strlen(reason) > DTF_REASON_MAX || !utf8_is_valid(reason))
        return status_set(st, NRPC_INVALID_ARGUMENT, "reason: over %d bytes, or not UTF-8", DTF_REASON_MAX);
    return requests_stop(m, task, *reason ? reason : "cancelled by request", now_ms, st);
}

static void requests_cancel(struct manager *m, struct request *r, int64_t now_ms, bool last)
{
    (void)last;
    const Dtf__V1__CancelRequest *q = r->message;
    Dtf__V1__CancelResponse response = DTF__V1__CANCEL_RESPONSE__INIT;
    struct nrpc_status st;
    if (cancel(m, q->task_id, q->reason, now_ms, &st))
        nrpc_reply_status(r->call, &st);
    else
        dtf_v1_task_service_cancel_reply(r->call, &response);
}

// ---- the table

#define HANDLER(name, Type)                                                                                  \
    static void on_##name(struct nrpc_call *call, const Type *request, void *user)                           \
    {                                                                                                        \
        post(user, call, request, requests_##name);                                                          \
    }
HANDLER(create, Dtf__V1__CreateRequest)
HANDLER(get, Dtf__V1__GetRequest)
HANDLER(list, Dtf__V1__ListRequest)
HANDLER(pause, Dtf__V1__PauseRequest)
HANDLER(resume, Dtf__V1__ResumeRequest)
HANDLER(cancel, Dtf__V1__CancelRequest)
HANDLER(wait, Dtf__V1__WaitRequest)
HANDLER(events, Dtf__V1__EventsRequest)
HANDLER(feed, Dtf__V1__FeedRequest)
HANDLER(results, Dtf__V1__ResultsRequest)

const struct dtf_v1_task_service_handlers manager_handlers = {
    .create = on_create,
    .get = on_get,
    .list = on_list,
    .pause = on_pause,
    .resume = on_resume,
    .cancel = on_cancel,
    .wait = on_wait,
    .events = on_events,
    .feed = on_feed,
    .results = on_results,
};
