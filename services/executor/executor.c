// SPDX-License-Identifier: Apache-2.0
// executor.c: keeps the slots busy: asks the coordinator for work, hands in results, obeys cancellations.
//
// At most two calls are under way: a poll, which waits at the coordinator until there is work, something to
// cancel, or time is up; and a report, which brings results and takes work that is ready in the same round
// trip. While one travels, results gather for the next: batches grow with the load. A result is kept until
// the coordinator has acknowledged it. When a call was lost, the next call says what this node holds
// (resync), so that work lost with an answer is dispatched again. That call may reach another coordinator,
// while the first still gives work to the poll it has lost without knowing: so it is said once more, when no
// poll of that time can be parked any more.
#include "executor.h"

#include "ahead.h"
#include "base/budget.h"
#include "base/clock.h"
#include "base/ids.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/version.h"
#include "draft.h"
#include "dtf/v1/node.nrpc.h"
#include "plugin/registry.h"
#include "slots.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    HELD_BYTES_MAX = 64 << 20,
    REPORT_BYTES_MAX = BUDGET_BATCH_BYTES,
    CALL_SLACK_MS = 5000,  // beyond a poll's wait
    SAY_SHORT_MS = 10000,  // between two lines of the log
    IDLE_QUIET_MS = 10000, // how long the coordinator may be silent, while there is no work to lose
    BACKOFF_FIRST_MS = 50,
    BACKOFF_MAX_MS = 1000,
    LATER_FIRST_MS = 100, // before results that could not be taken are handed in again; then twice as long
    LATER_MAX_MS = 3200,
};

enum exchange_kind { POLL, REPORT, EXCHANGE_KINDS };

struct flight { // a call under way; guarded by executor.mu
    struct executor *owner;
    bool out;
    uint64_t session;         // in which it was sent
    uint32_t want;            // subtasks that its answer may bring for free slots
    uint32_t ahead;           // and to wait for one
    bool again;               // a report that asks again for what the one before it did not bring
    struct item_list results; // that it carries
    struct item_list returned;
};

enum stage { UNREGISTERED, REGISTERING, REGISTERED, LEAVING, LEFT };

struct executor {
    struct loop loop;
    struct nrpc_channel *channel;
    struct executor_options options;
    struct slots *slots;
    pthread_mutex_t mu; // of what follows: calls end on nng's threads
    enum stage stage;
    uint64_t node_id, session;          // as whom it is registered
    uint64_t former_id, former_session; // as whom it was, while it registers again; 0: nobody
    uint64_t next_session;              // of the registration under way; 0: none is
    int64_t poll_ms, idle_poll_ms;
    struct flight flights[EXCHANGE_KINDS];
    bool resync;          // an answer was lost
    int64_t resync_at_ms; // once more; CLOCK_NEVER: no
    bool ask_again;       // for free slots that no call under way asks for
    unsigned usable;      // slots, at the last step
    bool said_short;      // in the log
    int64_t next_say_ms;
    int64_t backoff_ms, backoff_until_ms;
    int64_t later_at_ms; // what is kept aside is handed in again; CLOCK_NEVER: there is nothing
    int64_t later_ms;    // how long it was kept the last time; 0: all was taken
    char apart[200];     // why it is quarantined, as its coordinator has said
    pthread_cond_t drained;
    bool draining;
    int64_t grace_until_ms; // while draining
    struct item_list give_back;
};

static void wake(void *user)
{
    struct executor *e = user;
    loop_wake(&e->loop);
}

struct executor *executor_create(struct nrpc_channel *channel, const struct executor_options *options)
{
    struct executor *e = mem_calloc(1, sizeof *e);
    e->channel = channel;
    e->options = *options;
    e->options.name = mem_strdup(options->name);
    pthread_mutex_init(&e->mu, NULL);
    pthread_cond_init(&e->drained, NULL);
    loop_init(&e->loop, "executor", executor_step, e);
    e->resync_at_ms = e->later_at_ms = CLOCK_NEVER;
    e->usable = options->slots;
    e->slots = slots_create(options->slots, options->now_ms, wake, e);
    for (int i = 0; i < EXCHANGE_KINDS; i++) {
        e->flights[i].owner = e;
        item_list_init(&e->flights[i].results);
        item_list_init(&e->flights[i].returned);
    }
    item_list_init(&e->give_back);
    return e;
}

static void drop(struct item_list *l)
{
    for (struct item *i; (i = item_list_pop(l));)
        item_destroy(i);
}

// ---- when a call failed (mu is held)

static void back_off(struct executor *e, const struct nrpc_status *st, const char *what)
{
    e->backoff_ms = e->backoff_ms ? 2 * e->backoff_ms : BACKOFF_FIRST_MS;
    if (e->backoff_ms > BACKOFF_MAX_MS)
        e->backoff_ms = BACKOFF_MAX_MS;
    int64_t jitter = (int64_t)(ids_random() % (uint64_t)e->backoff_ms) / 2;
    e->backoff_until_ms = e->options.now_ms() + e->backoff_ms / 2 + jitter;
    log_line(e->backoff_ms == BACKOFF_FIRST_MS ? LOG_INFO : LOG_DEBUG, "node %llu: %s: %s (%s)",
             (unsigned long long)e->node_id, what, st->text, nrpc_code_name(st->code));
}

// The number is void: the lease has ended, or the stores have begun anew. What this node has may still be its
// own: it says so when it registers again. What it was giving back is dispatched again in any case.
static void start_anew(struct executor *e)
{
    log_warn("node %llu: its number is void; registering again", (unsigned long long)e->node_id);
    drop(&e->give_back);
    e->stage = UNREGISTERED;
    e->former_id = e->node_id;
    e->former_session = e->session;
    e->resync = false;
    e->resync_at_ms = CLOCK_NEVER;
}

static void exchange_failed(struct executor *e, struct flight *f, const struct nrpc_status *st)
{
    bool is_void = st->code == NRPC_NOT_FOUND && e->stage == REGISTERED && f->session == e->session;
    slots_put_back_done(e->slots, &f->results);
    item_list_append(&e->give_back, &f->returned);
    if (is_void)
        start_anew(e);
    if (e->stage != REGISTERED || f->session != e->session)
        return; // leaving ends the calls under way; one of a former registration says nothing of this one
    e->resync = true;
    e->resync_at_ms = e->options.now_ms() + e->poll_ms + CALL_SLACK_MS;
    back_off(e, st, "an exchange failed");
}

// ---- answers (on nng's threads)

// What was dispatched again, or settled, without this node: nothing of it is handed in.
static void forget(struct executor *e, Dtf__V1__SubtaskRef *const *refs, size_t count)
{
    for (size_t i = 0; i < count; i++)
        slots_forget(e->slots, refs[i]->task_id, refs[i]->subtask_id, refs[i]->attempt);
    if (count)
        log_info("node %llu: %zu subtasks are not its own any more", (unsigned long long)e->node_id, count);
}

// Returns how many subtasks came.
static size_t take_work(struct executor *e, const Dtf__V1__ExchangeResponse *r)
{
    struct item_list items;
    item_list_init(&items);
    for (size_t i = 0; i < r->n_tasks; i++) {
        const Dtf__V1__TaskWork *t = r->tasks[i];
        for (size_t k = 0; k < t->n_work; k++) {
            const Dtf__V1__Work *w = t->work[k];
            struct item like = {.task = t->task_id,
                                .seq = w->subtask_id,
                                .attempt = w->attempt,
                                .timeout_ms = w->timeout_ms,
                                .cost_us = (int64_t)t->cost_us,
                                .param_bytes = w->param.len};
            item_list_add(&items, item_create(&like, t->type, w->param.data));
        }
    }
    size_t count = items.count;
    if (e->draining) // the call had been waiting when the stop came: nothing new begins here
        item_list_append(&e->give_back, &items);
    else if (count)
        slots_queue(e->slots, &items, e->options.now_ms());
    forget(e, r->dropped, r->n_dropped);
    for (size_t i = 0; i < r->n_cancel_tasks; i++)
        slots_cancel_task(e->slots, r->cancel_tasks[i], e->options.now_ms());
    return count;
}

// Of the results that were acknowledged, those of some tasks are not: their state could not be reached, or a
// callback takes long.
static void keep_later(struct executor *e, struct item_list *results, const Dtf__V1__ExchangeResponse *r)
{
    struct item_list later;
    bool carried = results->count;
    item_list_init(&later);
    for (struct item *i; (i = item_list_pop(results));) {
        size_t k = 0;
        while (k < r->n_later_tasks && r->later_tasks[k] != i->task)
            k++;
        if (k < r->n_later_tasks)
            item_list_add(&later, i);
        else
            item_destroy(i);
    }
    if (!later.count) {
        struct slots_load l;
        slots_load(e->slots, &l);
        e->later_ms = carried && !l.later ? 0 : e->later_ms;
        return;
    }
    slots_put_later(e->slots, &later);
    if (e->later_at_ms != CLOCK_NEVER)
        return;
    e->later_ms = !e->later_ms                     ? LATER_FIRST_MS
                  : 2 * e->later_ms < LATER_MAX_MS ? 2 * e->later_ms
                                                   : LATER_MAX_MS;
    e->later_at_ms = e->options.now_ms() + e->later_ms;
}

static uint32_t rest(uint64_t of, uint64_t taken)
{
    return taken < of ? (uint32_t)(of - taken) : 0;
}

// What a report did not bring, the poll may; or it brought what the poll wanted, too. If the poll was still
// on its way, nobody knows of the rest: it is asked for once more.
static void reported(struct executor *e, uint32_t want, size_t got, uint32_t carried)
{
    uint32_t left = rest(want, got), *polled = &e->flights[POLL].want;
    *polled = rest(*polled + (uint64_t)(left < carried ? left : carried), rest(got, want));
    e->ask_again = left > carried && !e->flights[REPORT].again;
}

// Which commands fail, and how, its tasks' failures say.
static void hear_of_quarantine(struct executor *e, const char *why)
{
    if (!strncmp(why, e->apart, sizeof e->apart - 1))
        return;
    if (*why)
        log_warn("the coordinator has quarantined this node, and gives it one subtask now and then to see "
                 "whether it is well again: it %s",
                 why);
    else
        log_info("the coordinator has ended the quarantine of this node");
    snprintf(e->apart, sizeof e->apart, "%s", why);
}

static void exchanged(void *user, const struct nrpc_status *st, const Dtf__V1__ExchangeResponse *r)
{
    struct flight *f = user;
    struct executor *e = f->owner;
    pthread_mutex_lock(&e->mu);
    f->out = false;
    if (st->code) {
        exchange_failed(e, f, st);
    } else {
        e->backoff_ms = 0;
        hear_of_quarantine(e, r->quarantine);
        keep_later(e, &f->results, r);
        drop(&f->returned);
        bool current = e->stage == REGISTERED && f->session == e->session;
        size_t count = current ? take_work(e, r) : 0; // what came under a void number is nobody's
        if (f == &e->flights[REPORT] && e->flights[POLL].out)
            reported(e, f->want, count, r->carried);
    }
    pthread_mutex_unlock(&e->mu);
    loop_wake(&e->loop);
}

// What is left of the former registration. A coordinator that knows of no sessions has not looked at it.
static void take_over(struct executor *e, const Dtf__V1__RegisterResponse *r)
{
    if (!r->session) {
        log_warn("the coordinator speaks an older protocol: it cannot tell what of this node's work was lost "
                 "when its "
                 "stores go back in time; upgrade the coordinators");
        slots_abandon(e->slots, false);
    }
    forget(e, r->dropped, r->n_dropped);
    for (size_t i = 0; i < r->n_cancel_tasks; i++)
        slots_cancel_task(e->slots, r->cancel_tasks[i], e->options.now_ms());
}

static void registered(void *user, const struct nrpc_status *st, const Dtf__V1__RegisterResponse *r)
{
    struct executor *e = user;
    pthread_mutex_lock(&e->mu);
    if (e->stage != REGISTERING) {
        log_debug("node: a registration was answered too late");
    } else if (st->code) {
        e->stage = UNREGISTERED;
        back_off(e, st, "cannot register");
    } else {
        e->stage = REGISTERED;
        e->backoff_ms = 0;
        e->node_id = r->node_id;
        e->session = r->session;
        e->former_id = e->former_session = e->next_session = 0;
        e->poll_ms = r->poll_ms >= 10 ? (int64_t)r->poll_ms : 10;
        e->idle_poll_ms = r->idle_poll_ms > r->poll_ms ? (int64_t)r->idle_poll_ms : e->poll_ms;
        log_info("node %llu: registered as %s with %u slots", (unsigned long long)r->node_id, e->options.name,
                 e->options.slots);
        take_over(e, r);
    }
    pthread_mutex_unlock(&e->mu);
    loop_wake(&e->loop);
}

static void left(void *user, const struct nrpc_status *st, const Dtf__V1__LeaveResponse *r)
{
    (void)r;
    struct executor *e = user;
    pthread_mutex_lock(&e->mu);
    if (st->code)
        log_info("node %llu: left without an answer: %s", (unsigned long long)e->node_id, st->text);
    e->stage = LEFT;
    pthread_mutex_unlock(&e->mu);
    loop_wake(&e->loop);
}

// ---- calls

static void send_leave(struct executor *e)
{
    Dtf__V1__LeaveRequest r = DTF__V1__LEAVE_REQUEST__INIT;
    r.node_id = e->node_id;
    r.session = e->session;
    struct nrpc_call_options o = {.timeout_ms = 2000};
    dtf_v1_node_service_leave_async(e->channel, &o, &r, left, e);
}

static char **type_names(size_t *count)
{
    *count = registry_count();
    char **types = mem_calloc(*count + 1, sizeof *types);
    for (size_t i = 0; i < *count; i++)
        types[i] = (char *)registry_at(i)->name;
    return types;
}

// With what this node still has: a call that is repeated says the same session, and what it has by then.
static void send_register(struct executor *e, uint64_t session, uint64_t former_id, uint64_t former_session)
{
    char host[256] = "";
    gethostname(host, sizeof host - 1);
    Dtf__V1__RegisterRequest r = DTF__V1__REGISTER_REQUEST__INIT;
    struct draft d = {0};
    arena_init(&d.arena, 0);
    r.types = type_names(&r.n_types);
    r.name = (char *)e->options.name;
    r.slots = e->options.slots;
    r.host = host;
    r.pid = (uint32_t)getpid();
    r.session = session;
    r.protocol = VERSION_NODE_PROTOCOL;
    r.version = (char *)version_number;
    r.former_id = former_id;
    r.former_session = former_session;
    slots_each(e->slots, draft_ref, &d);
    r.holding = draft_take_refs(&d, &r.n_holding);
    struct nrpc_call_options o = {.timeout_ms = CALL_SLACK_MS};
    dtf_v1_node_service_register_async(e->channel, &o, &r, registered, e);
    free(r.types);
    free(d.refs);
    arena_fini(&d.arena);
}

static void send_exchange(struct executor *e, struct flight *f, struct draft *d, int64_t wait_ms)
{
    struct nrpc_call_options o = {.timeout_ms = wait_ms + CALL_SLACK_MS,
                                  .quiet_ms = wait_ms > e->poll_ms ? IDLE_QUIET_MS : 0};
    dtf_v1_node_service_exchange_async(e->channel, &o, &d->request, exchanged, f);
    free(d->refs);
    arena_fini(&d->arena);
}

// ---- deciding (mu is held; a decision is carried out after it was given back)

// How many more subtasks this node would take, for free slots and to wait for one.
static void ask(struct executor *e, struct flight *f, struct draft *d)
{
    struct slots_load l;
    slots_load(e->slots, &l);
    f->want = f->ahead = 0;
    d->request.kept_results = (uint32_t)(l.done + l.later + e->flights[REPORT].results.count);
    if (e->draining || l.held_bytes > HELD_BYTES_MAX)
        return;
    const struct flight *other = &e->flights[f == &e->flights[POLL] ? REPORT : POLL];
    f->want = rest(l.usable, l.queued + l.running + other->want * other->out);
    f->ahead = l.usable < e->options.slots ? 0 : rest(AHEAD_MAX, l.queued + other->ahead * other->out);
    d->request.ahead_us = f->ahead ? (uint64_t)slots_ahead_us(e->slots) : 0;
    f->ahead = d->request.ahead_us ? f->ahead : 0;
}

// What it is short of, for whoever looks after this node.
static void say_shortage(struct executor *e, struct draft *d)
{
    char short_of[SLOTS_SHORT_OF_MAX + 1];
    unsigned usable = slots_shortage(e->slots, short_of);
    if (!*short_of)
        return;
    d->request.usable = usable;
    d->request.short_of = arena_strdup(&d->arena, short_of);
}

static void prepare_poll(struct executor *e, struct flight *f, struct draft *d)
{
    ask(e, f, d);
}

// With results and with what has waited here too long.
static void prepare_report(struct executor *e, struct flight *f, struct draft *d)
{
    slots_take_waiting(e->slots, e->options.now_ms() - AHEAD_WAIT_MS, &e->give_back);
    slots_take_unrun(e->slots, &e->give_back);
    ask(e, f, d);
    slots_take_done(e->slots, REPORT_BYTES_MAX, &f->results);
    draft_results(d, &f->results);
    f->again = e->ask_again;
    e->ask_again = false;
    item_list_append(&f->returned, &e->give_back);
    for (const struct item *i = f->returned.first; i; i = i->next)
        draft_ref(d, i->task, i->seq, i->attempt);
    d->request.returned = draft_take_refs(d, &d->request.n_returned);
}

static void prepare_resync(struct executor *e, struct flight *f, struct draft *d)
{
    f->want = f->ahead = 0;
    e->resync = false;
    d->request.resync = true;
    slots_each(e->slots, draft_ref, d);
    d->request.holding = draft_take_refs(d, &d->request.n_holding);
}

enum act { ACT_NONE, ACT_REGISTER, ACT_POLL, ACT_REPORT, ACT_RESYNC, ACT_LEAVE };

static bool is_quiet(const struct executor *e)
{
    return !e->flights[POLL].out && !e->flights[REPORT].out;
}

static enum act decide(struct executor *e, int64_t now_ms)
{
    struct slots_load l;
    if (now_ms >= e->later_at_ms) {
        slots_retry_later(e->slots);
        e->later_at_ms = CLOCK_NEVER;
    }
    slots_load(e->slots, &l);
    bool waits_long = l.waits_since_ms <= now_ms - AHEAD_WAIT_MS;
    bool to_report = l.done || l.unrun || e->give_back.count || waits_long || e->ask_again;
    if (now_ms < e->backoff_until_ms && e->backoff_ms)
        return ACT_NONE;
    if (e->stage == UNREGISTERED) // results on their way would be missing from what it has
        return e->flights[REPORT].out ? ACT_NONE : ACT_REGISTER;
    if (e->stage != REGISTERED)
        return ACT_NONE;
    if (e->draining && !to_report && (!(l.running || l.later) || now_ms >= e->grace_until_ms) &&
        !e->flights[REPORT].out)
        return ACT_LEAVE;
    if (now_ms >= e->resync_at_ms && !e->flights[POLL].out) {
        e->resync = true;
        e->resync_at_ms = CLOCK_NEVER;
    }
    if (e->resync)
        return is_quiet(e) ? ACT_RESYNC : ACT_NONE;
    if (!e->flights[POLL].out) // also while draining, wanting nothing: it renews the lease
        return ACT_POLL;
    return to_report && !e->flights[REPORT].out ? ACT_REPORT : ACT_NONE;
}

static const struct {
    enum exchange_kind flight;
    void (*prepare)(struct executor *e, struct flight *f, struct draft *d);
    bool waits;
} exchanges[] = {
    [ACT_POLL] = {POLL, prepare_poll, true},
    [ACT_REPORT] = {REPORT, prepare_report, false},
    [ACT_RESYNC] = {REPORT, prepare_resync, false},
};

// Nothing here depends on this node's lease.
static bool is_idle(struct executor *e)
{
    struct slots_load l;
    slots_load(e->slots, &l);
    return !(l.queued + l.running + l.done + l.later + l.unrun + e->give_back.count) &&
           !e->flights[REPORT].out && !e->draining;
}

static void exchange(struct executor *e, enum act act)
{
    struct flight *f = &e->flights[exchanges[act].flight];
    struct draft d = {0};
    arena_init(&d.arena, 0);
    dtf__v1__exchange_request__init(&d.request);
    exchanges[act].prepare(e, f, &d);
    say_shortage(e, &d);
    f->out = true;
    f->session = e->session;
    int64_t wait_ms = !exchanges[act].waits ? 0 : is_idle(e) ? e->idle_poll_ms : e->poll_ms;
    d.request.node_id = e->node_id;
    d.request.session = e->session;
    d.request.want = f->want;
    d.request.ahead = f->ahead;
    d.request.wait_ms = (uint64_t)wait_ms;
    pthread_mutex_unlock(&e->mu);
    send_exchange(e, f, &d, wait_ms);
    pthread_mutex_lock(&e->mu);
}

static void do_register(struct executor *e)
{
    e->stage = REGISTERING;
    while (!e->next_session)
        e->next_session = ids_random();
    uint64_t session = e->next_session, former_id = e->former_id, former_session = e->former_session;
    pthread_mutex_unlock(&e->mu);
    send_register(e, session, former_id, former_session);
    pthread_mutex_lock(&e->mu);
}

static void do_leave(struct executor *e)
{
    e->stage = LEAVING;
    pthread_mutex_unlock(&e->mu);
    send_leave(e);
    pthread_mutex_lock(&e->mu);
}

static void carry_out(struct executor *e, enum act act)
{
    if (act == ACT_REGISTER)
        do_register(e);
    else if (act == ACT_LEAVE)
        do_leave(e);
    else
        exchange(e, act);
}

// While draining: what has not begun goes back, and what died of the stop, which may reach all processes of a
// node; when the grace period is over, what runs is stopped, and goes back by leaving.
static void drain(struct executor *e, int64_t now_ms)
{
    slots_take_queued(e->slots, &e->give_back);
    slots_take_killed(e->slots, &e->give_back);
    slots_take_unrun(e->slots, &e->give_back);
    bool late = now_ms >= e->grace_until_ms;
    if (e->stage == UNREGISTERED || (e->stage == REGISTERING && late))
        e->stage = LEFT; // it holds nothing under a number that counts
    if (e->stage == REGISTERED && e->backoff_ms && late)
        e->stage = LEFT; // nobody to say goodbye to; its lease will run out
    if (late)
        slots_abandon(e->slots, true);
}

// It may come and go with each command: whichever it is is said once in a while.
static void say_short(struct executor *e, bool is_short, int64_t now_ms)
{
    char short_of[SLOTS_SHORT_OF_MAX + 1];
    if (e->options.is_local || is_short == e->said_short || now_ms < e->next_say_ms)
        return;
    e->said_short = is_short;
    e->next_say_ms = now_ms + SAY_SHORT_MS;
    (void)slots_shortage(e->slots, short_of);
    if (is_short)
        log_warn("subtasks go back to the coordinator: %s", short_of);
    else
        log_info("all %u slots are in use again", e->options.slots);
}

// The node was short of something, and may not be any more; or it is now.
static void note_usable(struct executor *e, unsigned usable, int64_t now_ms)
{
    if (usable > e->usable && e->stage == REGISTERED)
        e->ask_again = true;
    e->usable = usable;
    say_short(e, usable < e->options.slots, now_ms);
}

int64_t executor_step(void *self, int64_t now_ms)
{
    struct executor *e = self;
    struct slots_load l;
    int64_t next_ms = slots_expire(e->slots, now_ms);
    pthread_mutex_lock(&e->mu);
    if (e->draining)
        drain(e, now_ms);
    slots_load(e->slots, &l);
    note_usable(e, l.usable, now_ms);
    for (enum act act; (act = decide(e, now_ms)) != ACT_NONE;)
        carry_out(e, act);
    if (e->backoff_ms && e->backoff_until_ms > now_ms && e->backoff_until_ms < next_ms)
        next_ms = e->backoff_until_ms;
    if (e->later_at_ms > now_ms && e->later_at_ms < next_ms)
        next_ms = e->later_at_ms;
    slots_load(e->slots, &l);
    int64_t waits_until_ms = l.waits_since_ms == CLOCK_NEVER ? CLOCK_NEVER : l.waits_since_ms + AHEAD_WAIT_MS;
    if (waits_until_ms > now_ms && waits_until_ms < next_ms)
        next_ms = waits_until_ms;
    if (e->draining && e->grace_until_ms > now_ms && e->grace_until_ms < next_ms)
        next_ms = e->grace_until_ms;
    pthread_cond_broadcast(&e->drained);
    pthread_mutex_unlock(&e->mu);
    return next_ms;
}

int executor_check(struct executor *e, struct nrpc_status *st)
{
    char short_of[SLOTS_SHORT_OF_MAX + 1];
    unsigned usable = slots_shortage(e->slots, short_of);
    st->code = NRPC_OK;
    *st->text = 0;
    return *short_of ? status_set(st, NRPC_RESOURCE_EXHAUSTED, "it uses %u of %u slots: %s", usable,
                                  e->options.slots, short_of)
                     : NRPC_OK;
}

// ---- start, stop

struct loop *executor_loop(struct executor *e)
{
    return &e->loop;
}

bool executor_run_one(struct executor *e)
{
    return slots_run_one(e->slots);
}

void executor_start(struct executor *e)
{
    slots_start(e->slots);
    loop_start(&e->loop);
}

void executor_drain(struct executor *e, bool at_once)
{
    pthread_mutex_lock(&e->mu);
    int64_t until_ms = e->options.now_ms() + (at_once ? 0 : e->options.grace_ms);
    if (!e->draining || until_ms < e->grace_until_ms)
        e->grace_until_ms = until_ms;
    e->draining = true;
    slots_take_queued(e->slots, &e->give_back);
    pthread_mutex_unlock(&e->mu);
    loop_wake(&e->loop);
}

static bool is_drained(const struct executor *e)
{
    return e->stage == LEFT && is_quiet(e);
}

void executor_join(struct executor *e)
{
    pthread_mutex_lock(&e->mu);
    while (!is_drained(e))
        pthread_cond_wait(&e->drained, &e->mu);
    pthread_mutex_unlock(&e->mu);
    executor_stop(e);
}

void executor_stop(struct executor *e)
{
    loop_stop(&e->loop);
}

void executor_destroy(struct executor *e)
{
    if (!e)
        return;
    slots_abandon(e->slots, false);
    slots_destroy(e->slots);
    for (int i = 0; i < EXCHANGE_KINDS; i++) {
        drop(&e->flights[i].results);
        drop(&e->flights[i].returned);
    }
    drop(&e->give_back);
    pthread_mutex_destroy(&e->mu);
    pthread_cond_destroy(&e->drained);
    loop_fini(&e->loop);
    free((char *)e->options.name);
    free(e);
}
