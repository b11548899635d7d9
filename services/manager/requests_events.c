// SPDX-License-Identifier: Apache-2.0
// requests_events.c: TaskService.Events: what was recorded, and waiting for more.
//
// All who wait have been told everything up to the tail. When something was recorded, here or elsewhere, one
// read of what comes after the tail says whom it concerns: those who wait for that task, and those who wait
// for any. These ask the records again, and of several who ask for the same only the first does; what they
// are answered goes out on the pool, so that other requests do not wait for a thousand answers.
#include "manager_internal.h"

#include "base/clock.h"
#include "dtf/v1/task_service.nrpc.h"

#include <stdlib.h>
#include <string.h>

enum {
    EVENTS_DEFAULT = 100,
    EVENTS_MAX = 1000,
};

// ---- reading

static int read_events(struct manager *m, uint64_t after, uint64_t task, size_t max, struct events_read **out,
                       struct nrpc_status *st)
{
    struct events_read *r = m->events.last;
    if (!r || r->after != after || r->task != task || r->max != max) {
        r = arena_calloc(&m->arena, sizeof *r);
        *r = (struct events_read){.after = after, .task = task, .max = max};
        int code = m->env->records->ops->events(m->env->records, after, task, max, &m->arena, &r->events,
                                                &r->count, &r->first_kept, st);
        if (code)
            return code;
        m->events.last = r;
    }
    *out = r;
    return NRPC_OK;
}

// ---- answering

static void answer(struct nrpc_call *call, const struct events_read *r, struct arena *a)
{
    Dtf__V1__EventsResponse response = DTF__V1__EVENTS_RESPONSE__INIT;
    struct budget room = budget_of_message();
    response.first_kept = r->first_kept;
    response.events = arena_alloc(a, (r->count + 1) * sizeof *response.events);
    for (size_t i = 0; i < r->count; i++) {
        const struct records_event *in = &r->events[i];
        Dtf__V1__Event *e = arena_alloc(a, sizeof *e);
        dtf__v1__event__init(e);
        e->sequence = in->sequence;
        e->kind = DTF__V1__EVENT_KIND__EVENT_STATUS;
        e->task_id = in->task;
        e->status = (Dtf__V1__TaskStatus)in->status;
        e->message = (char *)(in->message ? in->message : "");
        e->time_ms = in->time_ms;
        if (!budget_take(&room, dtf__v1__event__get_packed_size(e)))
            break;
        response.events[response.n_events++] = e;
    }
    dtf_v1_task_service_events_reply(call, &response);
}

// Several calls that are answered the same.
struct answers {
    struct pool_job job; // first member
    struct answers *next;
    const struct events_read *like; // while they are gathered
    struct arena arena;
    struct events_read read;
    struct request *calls;
};

static void run_answers(struct pool_job *job)
{
    struct answers *a = (struct answers *)job;
    struct arena scratch;
    arena_init(&scratch, 0);
    for (struct request *r = a->calls, *next; r; r = next) {
        next = r->next;
        arena_reset(&scratch);
        answer(r->call, &a->read, &scratch);
    }
    arena_fini(&scratch);
    arena_fini(&a->arena);
    free(a);
}

static struct answers *answers_create(const struct events_read *r)
{
    struct answers *a = mem_calloc(1, sizeof *a);
    a->job.run = run_answers;
    a->like = r;
    arena_init(&a->arena, 0);
    a->read = *r;
    a->read.events = arena_dup(&a->arena, r->events, r->count * sizeof *r->events);
    for (size_t i = 0; i < r->count; i++)
        if (r->events[i].message)
            a->read.events[i].message = arena_strdup(&a->arena, r->events[i].message);
    return a;
}

static void gather(struct manager *m, struct request *r, const struct events_read *read)
{
    struct answers *a = m->events.answers;
    if (!a || a->like != read) {
        a = answers_create(read);
        a->next = m->events.answers;
        m->events.answers = a;
    }
    r->next = a->calls;
    a->calls = r;
}

// ---- the request

// Before the first one waits.
static int find_tail(struct manager *m, struct nrpc_status *st)
{
    const struct model_marks none = {0};
    struct model_marks marks;
    if (m->events.is_known)
        return NRPC_OK;
    int code = m->env->records->ops->marks(m->env->records, &none, &marks, st);
    if (code)
        return code;
    m->events.tail = m->events.noted = marks.event;
    m->events.is_known = true;
    return NRPC_OK;
}

// Who has all up to the tail needs no look: there is nothing more, or it is about to be told.
static bool has_all(const struct manager *m, const struct request *r, const Dtf__V1__EventsRequest *q)
{
    return r->until_ms == CLOCK_NEVER && q->wait_ms && q->after >= m->events.tail &&
           q->after <= m->events.noted;
}

void requests_events(struct manager *m, struct request *r, int64_t now_ms, bool last)
{
    const Dtf__V1__EventsRequest *q = r->message;
    struct events_read *read = NULL;
    struct nrpc_status st;
    size_t max = (size_t)requests_page(q->limit, EVENTS_DEFAULT, EVENTS_MAX);
    if (find_tail(m, &st)) {
        nrpc_reply_status(r->call, &st);
        return;
    }
    if (has_all(m, r, q) && requests_park(m, r, q->task_id, PARKED_EVENT, q->wait_ms, now_ms, last))
        return;
    if (read_events(m, q->after, q->task_id, max, &read, &st)) {
        nrpc_reply_status(r->call, &st);
        return;
    }
    if (!read->count && requests_park(m, r, q->task_id, PARKED_EVENT, q->wait_ms, now_ms, last))
        return;
    if (m->events.is_telling)
        gather(m, r, read);
    else
        answer(r->call, read, &m->arena);
}

// ---- telling who waits

void events_note(struct manager *m, uint64_t sequence)
{
    m->events.noted = sequence > m->events.noted ? sequence : m->events.noted;
    m->events.look = true;
    m->events.last = NULL; // there is more now
}

// Those whom what comes after the tail concerns; false: the records did not answer.
static bool tell_after_tail(struct manager *m, int64_t now_ms)
{
    struct events_read *read;
    struct nrpc_status st;
    do {
        if (read_events(m, m->events.tail, 0, EVENTS_MAX, &read, &st)) {
            trouble_say(m->env->trouble, &st, "manager: cannot read the history");
            return false;
        }
        for (size_t i = 0; i < read->count; i++) {
            manager_signal(m, read->events[i].task, PARKED_EVENT, now_ms);
            m->events.tail = read->events[i].sequence;
        }
        if (read->count)
            manager_signal(m, 0, PARKED_EVENT, now_ms);
    } while (read->count == EVENTS_MAX);
    m->events.noted = m->events.tail > m->events.noted ? m->events.tail : m->events.noted;
    return true;
}

void events_tell(struct manager *m, int64_t now_ms)
{
    struct events *e = &m->events;
    if (!e->look)
        return;
    if (!m->parked.event_readers) // nobody waits: whoever comes next looks
        e->tail = e->noted;
    e->is_telling = true;
    e->look = m->parked.event_readers && !tell_after_tail(m, now_ms);
    e->is_telling = false;
    for (struct answers *a; (a = e->answers);) {
        e->answers = a->next;
        pool_post(m->env->pool, &a->job);
    }
}
