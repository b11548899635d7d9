// SPDX-License-Identifier: Apache-2.0
// manager.c: what happens to tasks: their ends, their deadlines, housekeeping.
//
// A task's end is recorded first and then removed from the state; a crash in between leaves a closed task,
// which another manager takes when this one's time is up, and records again, to no effect. What is to be done
// by one manager only (deadlines, points to go on from, repair, trimming) is done by the one that leads.
#include "manager_internal.h"

#include "base/clock.h"
#include "base/ids.h"
#include "base/log.h"
#include "dtf.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum {
    LEAD_MS = 3000, // how long nobody leads when the leader was killed
    LOOK_MS = 1000, // for what no hint told of: deadlines, closed tasks, events of other managers
    TAKE_MS = 5000, // how long a closed task waits when its manager was killed
    POINTS_MS = 1000,
    WITNESS_MS = 1000,
    WITNESS_AGAIN_MS = 5000, // after a store did not answer
    PAGE = 1000,
    RESULTS_KEPT_MS = 3600000, // unread results of an ended task
    KEEP_TASKS = 1000000,
    KEEP_EVENTS = 10000000,
    TRIM_MAX = 1000,
    TRIM_MS = 60000,
    TRIM_PAUSE_MS = 50, // between two slices
    DIFFER_MAX = 5,     // times that a task does not end because its failures are others than those recorded
};
static const int64_t keep_finished_ms = 30ll * 86400 * 1000;

enum mail_kind { MAIL_REQUEST, MAIL_CLOSED, MAIL_ROOM, MAIL_RESULTS, MAIL_GONE, MAIL_DAMAGED, MAIL_RESYNC };

struct hint_mail {
    struct mail mail;
    uint64_t task;
    enum state_hint_kind kind;
};

struct manager *manager_create(const struct env *env)
{
    struct manager *m = mem_calloc(1, sizeof *m);
    m->env = env;
    m->owner_id = ids_random();
    m->look_for_closed = true;
    finds_init(&m->finds, "manager", env->finds);
    m->repair_pause_ms = ENV_STORE_RETRY_MS;
    arena_init(&m->arena, 0);
    loop_init(&m->loop, "manager", manager_step, m);
    return m;
}

static const struct {
    enum state_hint_kind hint;
    enum mail_kind mail;
} hint_mails[] = {
    {STATE_HINT_CLOSED, MAIL_CLOSED}, {STATE_HINT_GENERATE, MAIL_ROOM},   {STATE_HINT_RESULTS, MAIL_RESULTS},
    {STATE_HINT_GONE, MAIL_GONE},     {STATE_HINT_DAMAGED, MAIL_DAMAGED}, {STATE_HINT_RESYNC, MAIL_RESYNC},
};

void manager_hint(struct manager *m, const struct state_hint *hint)
{
    for (size_t i = 0; i < sizeof hint_mails / sizeof *hint_mails; i++)
        if (hint_mails[i].hint == hint->kind) {
            struct hint_mail *mail = mem_alloc(sizeof *mail);
            *mail = (struct hint_mail){{NULL, (int)hint_mails[i].mail}, hint->task, hint->kind};
            loop_post(&m->loop, &mail->mail);
        }
}

static void run_all(struct manager *m, struct request *list, int64_t now_ms)
{
    for (struct request *r = list, *next; r; r = next) {
        next = r->next;
        r->run(m, r, now_ms, false);
    }
}

void manager_signal(struct manager *m, uint64_t task, unsigned signals, int64_t now_ms)
{
    run_all(m, parked_take(&m->parked, task, signals), now_ms);
}

void manager_announce(struct manager *m, const Dtf__V1__Event *event)
{
    struct nrpc_status st;
    if (m->env->events && nrpc_publish(m->env->events, "task", event->sequence, &event->base, &st))
        log_debug("an event was not published: %s", st.text); // its number tells who listens what to read
    events_note(m, event->sequence);
}

// ---- the end of tasks

static size_t pick_failures(const struct state_result *page, size_t count, uint64_t task, uint64_t segment,
                            struct records_failure *out)
{
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        const struct state_result *r = &page[i];
        if (r->segment <= segment)
            out[n++] = (struct records_failure){.task = task,
                                                .seq = r->seq,
                                                .attempt = r->attempt,
                                                .kind = r->kind,
                                                .code = r->code,
                                                .message = r->message,
                                                .body = {r->body.data, r->body.bytes},
                                                .param = {r->param.data, r->param.bytes},
                                                .run_us = r->run_us};
    }
    return n;
}

int manager_record_failures(struct manager *m, uint64_t task, uint64_t segment, struct nrpc_status *st)
{
    uint64_t after = 0;
    size_t count = PAGE;
    struct arena a;
    arena_init(&a, 0);
    int code = NRPC_OK;
    while (code == NRPC_OK && count) {
        struct state_result *page;
        arena_reset(&a);
        code = m->env->state->ops->failures(m->env->state, task, after, PAGE, &a, &page, &count, st);
        if (code || !count)
            break;
        struct records_failure *failures = arena_alloc(&a, count * sizeof *failures);
        size_t n = pick_failures(page, count, task, segment, failures);
        if (n)
            code = m->env->records->ops->put_failures(m->env->records, failures, n, false, st);
        after = page[count - 1].position;
    }
    arena_fini(&a);
    return code;
}

// What is to be recorded of the closed tasks among `ids`. *count in: ids, out: changes.
static int prepare_ends(struct manager *m, const uint64_t *ids, size_t *count, struct records_change *changes,
                        int64_t now_ms, struct nrpc_status *st)
{
    struct state_progress *p = arena_calloc(&m->arena, (*count + 1) * sizeof *p);
    int code = m->env->state->ops->progress(m->env->state, ids, *count, &m->arena, p, st);
    size_t n = 0;
    for (size_t i = 0; code == NRPC_UNAVAILABLE && i < *count; i++)
        if (!p[i].unknown)
            code = NRPC_OK; // the others are taken again when their server is back
    for (size_t i = 0; code == NRPC_OK && i < *count; i++) {
        if (!p[i].found || p[i].phase != MODEL_CLOSED)
            continue; // done already
        if (p[i].outcome == MODEL_OUTCOME_DROPPED) {
            m->dropped[m->dropped_count++] = ids[i];
            continue;
        }
        const struct model_counters *c = &p[i].counters;
        if (m->differing && m->env->state->disposable)
            code = m->env->records->ops->drop_failures(m->env->records, ids[i], st);
        if (code == NRPC_FAILED_PRECONDITION || code == NRPC_NOT_FOUND)
            code = NRPC_OK; // it has ended before
        if (code == NRPC_OK && (c->failed || c->timed_out))
            code = manager_record_failures(m, ids[i], UINT64_MAX, st);
        changes[n++] = (struct records_change){
            .task = ids[i],
            .event = model_outcome_event(p[i].outcome),
            .now_ms = wall_ms(&m->wall, now_ms),
            .born_ms = p[i].born_ms,
            .message = p[i].message,
            .counters = c,
            .with_failures = m->differing < DIFFER_MAX,
        };
    }
    *count = n;
    return code;
}

static void announce_end(struct manager *m, const struct records_change *c, int64_t now_ms)
{
    if (c->changed) {
        Dtf__V1__Event e = DTF__V1__EVENT__INIT;
        e.sequence = c->sequence;
        e.kind = DTF__V1__EVENT_KIND__EVENT_STATUS;
        e.task_id = c->task;
        e.status = (Dtf__V1__TaskStatus)c->status;
        e.message = (char *)(c->message ? c->message : "");
        e.time_ms = wall_ms(&m->wall, now_ms);
        manager_announce(m, &e);
    }
    repair_forget(m, c->task);
    manager_signal(m, c->task, PARKED_END, now_ms);
}

// What the state gave up goes, and is admitted again where its record says that it is under way.
static int remove_dropped(struct manager *m, struct nrpc_status *st)
{
    int code = m->dropped_count
                   ? m->env->state->ops->remove(m->env->state, m->dropped, m->dropped_count, 0, st)
                   : NRPC_OK;
    for (size_t i = 0; code == NRPC_OK && i < m->dropped_count; i++)
        code = repair_task(m, m->dropped[i], st);
    return code;
}

// Where the records mean another task by the number, that one has waited for the number to be free.
static int admit_others(struct manager *m, const struct records_change *changes, size_t count,
                        struct nrpc_status *st)
{
    int code = NRPC_OK;
    for (size_t i = 0; code == NRPC_OK && i < count; i++)
        if (changes[i].code == NRPC_FAILED_PRECONDITION && !model_status_is_terminal(changes[i].status))
            code = repair_task(m, changes[i].task, st);
    return code;
}

// Moves those whose failures have just been dropped, by who thought them lost, to the end; returns the number
// of the others.
static size_t put_differing_last(struct records_change *changes, size_t count)
{
    size_t n = 0;
    for (size_t i = 0; i < count; i++)
        if (changes[i].code != NRPC_ABORTED) {
            struct records_change done = changes[i];
            changes[i] = changes[n];
            changes[n++] = done;
        }
    return n;
}

// They stay closed, for the next time.
static void keep_differing(struct manager *m, const struct records_change *differing, size_t count)
{
    for (size_t i = 0; i < count; i++)
        m->closed[i] = differing[i].task;
    m->closed_count = count;
    m->differing = count ? m->differing + 1 : 0;
    if (m->differing == DIFFER_MAX)
        log_warn("task %llu: the failures that are listed are not those that were counted",
                 (unsigned long long)m->closed[0]);
}

// Records the ends of all closed tasks, forgets them, tells who waits.
static int finish_all(struct manager *m, int64_t now_ms, struct nrpc_status *st)
{
    size_t count = m->closed_count;
    struct records_change *changes = arena_alloc(&m->arena, (count + 1) * sizeof *changes);
    m->dropped = arena_alloc(&m->arena, (count + 1) * sizeof *m->dropped);
    m->dropped_count = 0;
    int code = prepare_ends(m, m->closed, &count, changes, now_ms, st);
    if (code == NRPC_OK && count)
        code = m->env->records->ops->change(m->env->records, changes, count, st);
    if (code)
        return code;
    size_t all = count;
    count = put_differing_last(changes, all);
    uint64_t *ids = arena_alloc(&m->arena, (count + 1) * sizeof *ids);
    for (size_t i = 0; i < count; i++)
        ids[i] = changes[i].task;
    if (count)
        code = m->env->state->ops->remove(m->env->state, ids, count,
                                          wall_ms(&m->wall, now_ms) + RESULTS_KEPT_MS, st);
    if (code == NRPC_OK)
        code = remove_dropped(m, st);
    if (code == NRPC_OK)
        code = admit_others(m, changes, count, st);
    if (code)
        return code;
    keep_differing(m, &changes[count], all - count);
    for (size_t i = 0; i < count; i++)
        announce_end(m, &changes[i], now_ms);
    return NRPC_OK;
}

// Takes what is closed, if nothing is left of what was taken before.
static int take_closed(struct manager *m, int64_t now_ms, struct nrpc_status *st)
{
    uint64_t *tasks;
    size_t count;
    int code = m->env->state->ops->take(m->env->state, MODEL_CLOSED, now_ms, now_ms + TAKE_MS, PAGE,
                                        &m->arena, &tasks, &count, st);
    if (code)
        return code;
    mem_grow(&m->closed, &m->closed_capacity, count, sizeof *m->closed);
    for (size_t i = 0; i < count; i++)
        m->closed[i] = tasks[i];
    m->closed_count = count;
    for (size_t i = 0; i < count && !m->look_for_closed && !m->excused; i++)
        finds_unheard(&m->finds, tasks[i], STATE_HINT_CLOSED, "its end can be recorded", now_ms);
    m->excused = false;
    m->look_for_closed = count == PAGE;
    return NRPC_OK;
}

static void finish(struct manager *m, int64_t now_ms)
{
    struct nrpc_status st;
    int code = m->closed_count ? NRPC_OK : take_closed(m, now_ms, &st);
    m->next_finish_ms = now_ms + LOOK_MS;
    if (code == NRPC_OK && m->closed_count)
        code = finish_all(m, now_ms, &st);
    if (code) {
        trouble_say(m->env->trouble, &st, "manager: cannot record the end of tasks");
        m->next_finish_ms = now_ms + ENV_STORE_RETRY_MS;
        m->excused = true;
    } else if (m->closed_count) {
        m->next_finish_ms = now_ms + ENV_STORE_RETRY_MS;
    } else if (m->look_for_closed) {
        m->next_finish_ms = now_ms;
    }
}

// ---- deadlines

static void stop_overdue(struct manager *m, int64_t now_ms)
{
    uint64_t *tasks;
    size_t count = 0;
    struct nrpc_status st;
    if (!m->wall.agreed) {
        m->next_overdue_ms = now_ms + LOOK_MS;
        return;
    }
    int code = m->env->state->ops->overdue(m->env->state, wall_ms(&m->wall, now_ms), PAGE, &m->arena, &tasks,
                                           &count, &m->next_overdue_ms, &st);
    if (m->next_overdue_ms != CLOCK_NEVER)
        m->next_overdue_ms -= m->wall.offset_ms;
    for (size_t i = 0; code == NRPC_OK && i < count; i++)
        code = m->env->state->ops->stop(m->env->state, tasks[i], MODEL_OUTCOME_TIMED_OUT,
                                        "not finished within the task's timeout", &st);
    if (code && code != NRPC_NOT_FOUND) {
        trouble_say(m->env->trouble, &st, "manager: cannot time tasks out");
        m->next_overdue_ms = now_ms + ENV_STORE_RETRY_MS;
    } else if (count == PAGE) {
        m->next_overdue_ms = now_ms;
    } else if (m->next_overdue_ms > now_ms + LOOK_MS) { // another manager may admit an earlier one
        m->next_overdue_ms = now_ms + LOOK_MS;
    }
}

// ---- what the leader does

static void lead(struct manager *m, int64_t now_ms)
{
    struct nrpc_status st;
    bool led = m->leads && now_ms < m->lead_until_ms;
    m->next_lead_ms = now_ms + LEAD_MS / 3;
    m->lead_until_ms = now_ms + LEAD_MS;
    m->leads = false;
    if (m->env->state->ops->lead(m->env->state, "manager", m->owner_id, now_ms, now_ms + LEAD_MS, &m->leads,
                                 &st))
        m->next_lead_ms = now_ms + ENV_STORE_RETRY_MS;
    if (m->leads && !led) {
        feeders_excuse(m, now_ms);
        m->walk.is_walking = false; // whoever led since walked
        walk_soon(m, now_ms);
        m->next_overdue_ms = m->next_points_ms = now_ms;
    }
}

static void say_forgotten(struct manager *m)
{
    if (m->forgotten)
        log_info("%llu tasks that ended over 30 days ago, or more than %d tasks ago, were forgotten",
                 (unsigned long long)m->forgotten, KEEP_TASKS);
    m->forgotten = 0;
}

// What is old enough, by a date on which two clocks agree; a slice at a time, one after the other while there
// is more.
static void trim(struct manager *m, int64_t now_ms)
{
    struct nrpc_status st;
    size_t removed = 0;
    m->next_trim_ms = now_ms + (m->wall.agreed ? TRIM_MS : LOOK_MS);
    if (!m->wall.agreed)
        return;
    if (m->env->records->ops->trim(m->env->records, wall_ms(&m->wall, now_ms) - keep_finished_ms, KEEP_TASKS,
                                   KEEP_EVENTS, TRIM_MAX, &removed, &st))
        trouble_say(m->env->trouble, &st, "manager: cannot forget old tasks");
    m->forgotten += removed;
    if (removed == TRIM_MAX)
        m->next_trim_ms = now_ms + TRIM_PAUSE_MS;
    else
        say_forgotten(m);
}

static void record_points(struct manager *m, int64_t now_ms)
{
    struct nrpc_status st;
    bool more = false;
    m->next_points_ms = now_ms + POINTS_MS;
    if (!m->env->state->disposable) {
        m->next_points_ms = CLOCK_NEVER;
    } else if (repair_points(m, &more, &st)) {
        trouble_say(m->env->trouble, &st, "manager: cannot record how far tasks have got");
        m->next_points_ms = now_ms + ENV_STORE_RETRY_MS;
    } else if (more) {
        m->next_points_ms = now_ms;
    }
}

// ---- the loop

static void take_hint(struct manager *m, const struct hint_mail *h, int64_t now_ms)
{
    finds_heard(&m->finds, h->task, h->kind);
    switch ((enum mail_kind)h->mail.kind) {
    case MAIL_ROOM:
        manager_signal(m, h->task, PARKED_ROOM, now_ms);
        break;
    case MAIL_RESULTS:
        manager_signal(m, h->task, PARKED_RESULTS, now_ms);
        break;
    case MAIL_GONE: // perhaps another manager has recorded its end
        repair_forget(m, h->task);
        manager_signal(m, h->task, PARKED_END, now_ms);
        events_note(m, 0);
        break;
    case MAIL_DAMAGED: // who comes to lead repairs all
        if (m->leads)
            requests_admit_damaged(m, h->task, now_ms);
        break;
    case MAIL_RESYNC:
        finds_excuse(&m->finds);
        feeders_excuse(m, now_ms);
        m->next_lead_ms = m->next_overdue_ms = m->next_points_ms = m->next_look_ms = now_ms;
        walk_soon(m, now_ms);
        m->look_for_closed = true;
        run_all(m, parked_take_all(&m->parked), now_ms);
        break;
    case MAIL_CLOSED:
        finds_remember(&m->finds, h->task);
        m->look_for_closed = true;
        break;
    case MAIL_REQUEST:
        break;
    }
}

static void take_mail(struct manager *m, int64_t now_ms)
{
    for (struct mail *mail = loop_take(&m->loop), *next; mail; mail = next) {
        next = mail->next;
        if (mail->kind == MAIL_REQUEST) {
            struct request *r = (struct request *)((char *)mail - offsetof(struct request, mail));
            r->run(m, r, now_ms, false);
            continue;
        }
        take_hint(m, (struct hint_mail *)mail, now_ms);
        free(mail);
    }
}

static int64_t answer_overdue(struct manager *m, int64_t now_ms)
{
    int64_t next_ms;
    for (struct request *r; (r = parked_overdue(&m->parked, now_ms, &next_ms));)
        r->run(m, r, now_ms, true);
    return next_ms;
}

// What other managers have done, and no hint told of; and which callers have gone.
static void look_around(struct manager *m, int64_t now_ms)
{
    m->next_look_ms = now_ms + LOOK_MS;
    events_note(m, 0);
    for (struct request *r = parked_take_left(&m->parked), *next; r; r = next) {
        next = r->next;
        nrpc_reply_error(r->call, NRPC_CANCELLED, "the caller does not wait any more");
    }
}

// What the other witnesses say: the date, and the numbers that were given. An embedded store is its own.
static void look_at_witnesses(struct manager *m, int64_t now_ms)
{
    struct nrpc_status st;
    int64_t records_ms = 0;
    bool jumped = wall_step(&m->wall, now_ms, clock_mono_us() / 1000);
    if (!m->env->state->disposable) {
        m->wall = (struct wall){.agreed = true};
        m->numbers_known = true;
        m->next_witness_ms = CLOCK_NEVER;
        return;
    }
    if (jumped)
        feeders_excuse(m, now_ms);
    else if (now_ms < m->next_witness_ms)
        return;
    int code = m->env->records->ops->clock(m->env->records, &records_ms, &st);
    wall_look(&m->wall, now_ms, clock_wall_ms(), code == NRPC_OK, records_ms);
    if (code == NRPC_OK && (m->leads || !m->numbers_known)) {
        code = compare_numbers(m, &st);
        m->numbers_known |= code == NRPC_OK;
    }
    m->next_witness_ms = now_ms + (code ? WITNESS_AGAIN_MS : WITNESS_MS);
}

int64_t manager_step(void *self, int64_t now_ms)
{
    struct manager *m = self;
    m->now_ms = now_ms;
    look_at_witnesses(m, now_ms);
    if (now_ms >= m->next_lead_ms)
        lead(m, now_ms);
    if (now_ms >= m->next_repair_ms && walk_is_wanted(m))
        walk_step(m, now_ms);
    if (m->leads && now_ms >= m->next_trim_ms)
        trim(m, now_ms);
    take_mail(m, now_ms);
    requests_create_all(m, now_ms);
    if (m->leads && now_ms >= m->next_overdue_ms)
        stop_overdue(m, now_ms);
    if (m->leads && now_ms >= m->next_feeders_ms)
        feeders_tick(m, now_ms);
    if (m->look_for_closed || now_ms >= m->next_finish_ms)
        finish(m, now_ms);
    if (m->leads && now_ms >= m->next_points_ms)
        record_points(m, now_ms);
    if (now_ms >= m->next_look_ms)
        look_around(m, now_ms);
    int64_t next_ms = answer_overdue(m, now_ms), doubt_ms = finds_tick(&m->finds, now_ms);
    requests_feed_all(m);
    events_tell(m, now_ms);
    next_ms = doubt_ms < next_ms ? doubt_ms : next_ms;
    m->events.last = NULL;
    arena_reset(&m->arena);
    int64_t times[] = {
        m->next_lead_ms,
        m->next_look_ms,
        m->next_witness_ms,
        m->leads ? m->next_trim_ms : CLOCK_NEVER,
        m->next_finish_ms,
        walk_is_wanted(m) ? m->next_repair_ms : CLOCK_NEVER,
        m->leads ? m->next_overdue_ms : CLOCK_NEVER,
        m->leads ? m->next_feeders_ms : CLOCK_NEVER,
        m->leads ? m->next_points_ms : CLOCK_NEVER,
    };
    for (size_t i = 0; i < sizeof times / sizeof *times; i++)
        next_ms = times[i] < next_ms ? times[i] : next_ms;
    return next_ms;
}

struct loop *manager_loop(struct manager *m)
{
    return &m->loop;
}

void manager_start(struct manager *m)
{
    loop_start(&m->loop);
}

static void refuse(struct request *r)
{
    nrpc_reply_error(r->call, NRPC_UNAVAILABLE, "the manager is stopping");
}

static void refuse_all(struct manager *m)
{
    for (struct mail *mail = loop_take(&m->loop), *next; mail; mail = next) {
        next = mail->next;
        if (mail->kind == MAIL_REQUEST)
            refuse((struct request *)((char *)mail - offsetof(struct request, mail)));
        else
            free(mail);
    }
    for (struct request *r; (r = parked_any(&m->parked));)
        refuse(r);
}

void manager_stop(struct manager *m)
{
    loop_stop(&m->loop);
    refuse_all(m);
}

void manager_destroy(struct manager *m)
{
    if (!m)
        return;
    refuse_all(m); // what came after the stop
    parked_fini(&m->parked);
    repair_forget(m, 0);
    free(m->walk.failed);
    free(m->creations);
    free(m->fed);
    free(m->new_tasks);
    free(m->closed);
    arena_fini(&m->arena);
    loop_fini(&m->loop);
    free(m);
}
