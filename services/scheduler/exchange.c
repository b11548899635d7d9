// SPDX-License-Identifier: Apache-2.0
// exchange.c: a node's calls: what they bring, what they are answered; and which node gets what is ready.
#include "scheduler_internal.h"

#include "ahead.h"
#include "answer.h"
#include "base/log.h"
#include "dtf/v1/node.nrpc.h"

#include <string.h>

enum {
    GIVE_MAX = 2000, // subtasks in one answer
    PICKS_MAX = 256,
    TAKERS_MAX = 512, // in one call of the store
    TURNS = 64,       // of tasks in a step, at least
    TURN_MAX = 16,    // subtasks in one
    WAIT_MAX_MS = 60000,
    CALL_SPARE_MS = 2500, // of a call's time, in which its answer travels
    WAIT_ON_MS = 100,     // less is not worth it
    KEPT_MAX = 100000,    // results that a node may say it has
};

// ---- answering a node

void exchange_free_outbox(struct node *n)
{
    for (struct vet *v = n->outbox, *next; v; v = next) {
        next = v->next;
        vet_destroy(v);
    }
    n->outbox = NULL;
}

// Answers one of the node's calls with this work, what waits in the outbox, and the tasks to stop. What does
// not fit stays for the next call.
static void answer_call(struct scheduler *s, struct node *n, struct exchange *x,
                        const struct state_work *work, size_t count)
{
    struct answer a;
    answer_init(&a, &s->arena, s->views.sched);
    a.quarantine = n->note.quarantine;
    struct vet *v = n->outbox;
    size_t cancels = n->cancel_count < ANSWER_CANCELS_MAX ? n->cancel_count : ANSWER_CANCELS_MAX;
    answer_add(&a, work, count);
    while (v && answer_add(&a, v->work, v->count))
        v = v->next;
    answer_send(&a, x, n->cancels, cancels);
    n->cancel_count -= cancels;
    if (n->cancel_count)
        memmove(n->cancels, n->cancels + cancels, n->cancel_count * sizeof *n->cancels);
    while (n->outbox != v) {
        struct vet *sent = n->outbox;
        n->outbox = sent->next;
        vet_destroy(sent);
    }
}

void exchange_answer_parked(struct scheduler *s, struct node *n, const struct state_work *work, size_t count)
{
    answer_call(s, n, node_unpark(&s->nodes, n), work, count);
}

void exchange_drop_node(struct scheduler *s, struct node *n, const char *why)
{
    if (n->parked)
        nrpc_reply_error(node_unpark(&s->nodes, n)->call, NRPC_NOT_FOUND, "node %llu: %s",
                         (unsigned long long)n->id, why);
    exchange_free_outbox(n);
    if (s->suspect)
        suspect_remove(s->suspect, n->id);
    node_table_remove(&s->nodes, n);
}

void exchange_doubt(struct scheduler *s, struct node *n, const char *why)
{
    n->doubted = true;
    exchange_free_outbox(n);
    if (n->parked)
        nrpc_reply_error(node_unpark(&s->nodes, n)->call, NRPC_ABORTED,
                         "node %llu is to say what it holds: %s", (unsigned long long)n->id, why);
}

// The caller gives a call longer than it asks it to wait.
bool exchange_wait_on(struct scheduler *s, struct node *n, int64_t now_ms)
{
    int64_t until_ms = n->heard_ms + scheduler_poll_ms(s);
    int64_t most_ms = now_ms + nrpc_call_remaining_ms(n->parked->call) - CALL_SPARE_MS;
    until_ms = until_ms < most_ms ? until_ms : most_ms;
    if (until_ms < now_ms + WAIT_ON_MS)
        return false;
    heap_put(&s->nodes.waits, &n->wait, until_ms);
    return true;
}

// ---- dispatch

struct fit {
    struct scheduler *s;
    const struct node *n;
};

static bool fits(void *user, uint64_t task)
{
    const struct fit *f = user;
    const char *type = views_type(&f->s->views, task);
    return type && node_can_run(f->n, type);
}

// Sends the work of types with a scheduler callback to be vetted; moves the rest to the front and returns its
// number.
static size_t split_off_vetted(struct scheduler *s, struct node *n, struct state_work *work, size_t count)
{
    size_t plain = 0;
    for (size_t i = 0, len; i < count; i += len) {
        for (len = 1; i + len < count && work[i + len].task == work[i].task; len++)
            ;
        const struct dtf_task_type *type = registry_find(work[i].type);
        if (type && type->scheduler) {
            struct vet *v = vet_create(s->env, &s->loop, MAIL_VETTED, type, n->id, &work[i], len);
            strands_post(s->strands, work[i].task, &v->job);
        } else {
            memmove(&work[plain], &work[i], len * sizeof *work);
            plain += len;
        }
    }
    return plain;
}

// What waits in the node's outbox will fill its next answer.
static size_t outbox_bytes(const struct node *n)
{
    size_t bytes = 0;
    for (const struct vet *v = n->outbox; v; v = v->next)
        for (size_t i = 0; i < v->count; i++)
            bytes += v->work[i].param.bytes;
    return bytes;
}

// ---- one step's decisions, carried out together

// What was decided for a call of a node: one that waits, or one that has brought something.
struct offer {
    struct offer *next;
    uint64_t node; // it may be gone when the store has answered
    struct exchange *report;
    struct node_room room;
    size_t at_once; // picks for free slots; the others are to wait
    struct state_taker taker;
};

struct offers {
    struct offer *first, **last;
    size_t count;
};

// Leases that an honest node may hold then: results on their way are leases, too.
static uint64_t most_leases(const struct scheduler *s, const struct node *n, const struct offer *o)
{
    uint64_t each = 1; // a slot
    for (size_t i = o->at_once; i < o->taker.pick_count; i++) {
        int64_t cost_us = sched_cost_us(s->views.sched, o->taker.picks[i].task);
        uint64_t ahead = cost_us ? (uint64_t)(AHEAD_SLOT_US / cost_us) : 0;
        each = each > 1 + ahead ? each : 1 + ahead;
    }
    uint64_t most = n->slots * each;
    return 2 * (most < n->slots + AHEAD_MAX ? most : n->slots + AHEAD_MAX) + n->kept_results;
}

// Among how many what is ready is shared, and the free slots that the others of them have.
struct rivals {
    size_t nodes;
    uint64_t slots;
};

static uint32_t least(uint64_t a, uint64_t b, uint64_t c)
{
    uint64_t min = a < b ? a : b;
    return (uint32_t)(min < c ? min : c);
}

// The node's share of what is ready: for its free slots first; to wait there, only what the others have no
// free slot for.
static size_t decide(struct scheduler *s, const struct node *n, const struct node_room *room,
                     struct rivals rivals, struct sched_pick picks[PICKS_MAX], size_t *at_once)
{
    struct sched *sched = s->views.sched;
    struct fit f = {s, n};
    uint64_t ready = sched_ready(sched), given = 0;
    *at_once = 0;
    if (node_is_barren(n, sched))
        return 0;
    uint32_t want = least(room->slots, (ready + rivals.nodes - 1) / rivals.nodes, GIVE_MAX);
    *at_once = sched_pick(sched, want, fits, &f, picks, PICKS_MAX);
    if (want && !*at_once)
        node_note_barren(n, sched);
    for (size_t i = 0; i < *at_once; i++)
        given += picks[i].count;
    ready = sched_ready(sched);
    uint64_t spare = ready > rivals.slots ? (ready - rivals.slots + rivals.nodes - 1) / rivals.nodes : 0;
    if (!room->ahead || n->fails || !spare || given != room->slots)
        return *at_once;
    return *at_once + sched_pick_ahead(sched, least(room->ahead, spare, GIVE_MAX - given), room->ahead_us,
                                       fits, &f, picks + *at_once, PICKS_MAX - *at_once);
}

static bool may_dispatch(const struct scheduler *s, int64_t now_ms)
{
    return sched_ready(s->views.sched) && now_ms >= s->next_dispatch_ms;
}

// report NULL: the parked call.
static void add_offer(struct scheduler *s, struct offers *all, const struct node *n, struct exchange *report,
                      struct node_room room, struct rivals rivals, int64_t now_ms)
{
    struct sched_pick picks[PICKS_MAX];
    size_t at_once = 0, count = 0;
    struct node_room now = node_room_now(n, room);
    if (may_dispatch(s, now_ms) && !n->doubted)
        count = decide(s, n, &now, rivals, picks, &at_once);
    if (!count && !report)
        return;
    struct state_pick *copy = arena_alloc(&s->arena, (count + 1) * sizeof *copy);
    for (size_t i = 0; i < count; i++)
        copy[i] = (struct state_pick){picks[i].task, picks[i].count};
    struct offer *o = arena_calloc(&s->arena, sizeof *o);
    *o = (struct offer){.node = n->id, .report = report, .room = room, .at_once = at_once};
    o->taker = (struct state_taker){.node = n->id,
                                    .picks = copy,
                                    .pick_count = count,
                                    .budget = {.bytes = STATE_BATCH_BYTES, .used = outbox_bytes(n)}};
    o->taker.most = most_leases(s, n, o);
    *all->last = o;
    all->last = &o->next;
    all->count++;
}

// Takes back what was not leased: `left` of each pick is still ready.
static void unpick(struct scheduler *s, const struct state_taker *to)
{
    size_t picked = 0;
    for (size_t i = 0; i < to->pick_count; i++)
        picked += to->picks[i].count;
    for (size_t i = 0; i < to->pick_count && picked > to->count; i++) {
        const struct state_pick *pick = &to->picks[i];
        uint32_t got = 0, before = 0; // of the task; by its picks before this one
        for (size_t k = 0; k < to->count; k++)
            got += to->work[k].task == pick->task;
        for (size_t k = 0; k < i; k++)
            before += to->picks[k].task == pick->task ? to->picks[k].count : 0;
        got = got > before ? got - before : 0;
        uint32_t missing = got < pick->count ? pick->count - got : 0;
        uint32_t left = to->left ? to->left[i] : 0;
        if (missing)
            sched_unpick(s->views.sched, pick->task, missing, left < missing ? left : missing);
    }
}

// What the store has said to an offer.
static void note_outcome(struct scheduler *s, struct offer *o, const struct nrpc_status *st, int64_t now_ms)
{
    const struct state_taker *to = &o->taker;
    struct node *n = node_table_find(&s->nodes, o->node);
    unpick(s, to);
    if (n)
        n->full = !to->code && !to->count && to->left[0];
    if (to->code == NRPC_NOT_FOUND) {
        if (n)
            exchange_drop_node(s, n, "its lease has ended");
    } else if (to->code == NRPC_FAILED_PRECONDITION) { // the state is being verified: nothing was done
        log_debug("scheduler: cannot lease subtasks yet: %s", st->text);
        s->next_refresh_ms = s->next_dispatch_ms = now_ms + ENV_STORE_RETRY_MS;
    } else if (to->code) { // it may have been done
        trouble_say(s->env->trouble, st, "scheduler: cannot lease subtasks");
        s->next_refresh_ms = s->next_dispatch_ms = now_ms + ENV_STORE_RETRY_MS;
        s->views.told = true;
        if (n)
            exchange_doubt(s, n, st->text);
    }
}

// Who was silent for long, having no work, may not be so with some.
static void shorten_leases(struct scheduler *s, const struct offers *all, int64_t now_ms)
{
    struct state_renewal *renewals = arena_alloc(&s->arena, (all->count + 1) * sizeof *renewals);
    int64_t until_ms = now_ms + s->env->node_lease_ms;
    size_t count = 0;
    for (const struct offer *o = all->first; o; o = o->next) {
        struct node *n = node_table_find(&s->nodes, o->node);
        if (!o->taker.pick_count || !n || n->leased_until_ms <= until_ms)
            continue;
        n->leased_until_ms = until_ms;
        renewals[count++] = (struct state_renewal){n->id, until_ms, true};
    }
    (void)leases_extend(s, renewals, count);
}

// Leases what was decided, many nodes in one call of the store.
static void lease(struct scheduler *s, struct offers *all, int64_t now_ms)
{
    struct nrpc_status st = {0};
    struct state_taker *takers = arena_alloc(&s->arena, (TAKERS_MAX + 1) * sizeof *takers);
    for (struct offer *o = all->first, *first; (first = o);) {
        size_t count = 0, i = 0;
        for (; o && count < TAKERS_MAX; o = o->next)
            if (o->taker.pick_count)
                takers[count++] = o->taker;
        if (count)
            (void)s->env->state->ops->lease(s->env->state, now_ms, takers, count, &s->arena, &st);
        for (struct offer *at = first; at != o; at = at->next)
            if (at->taker.pick_count) {
                at->taker = takers[i++];
                note_outcome(s, at, &st, now_ms);
            }
    }
}

// What is left of the room that the call had, and how much of what it got may go to it now; more may be on
// its way through the vetting.
static size_t take_up(struct scheduler *s, struct node *n, struct offer *o)
{
    quarantine_gave(s, n, o->taker.work, o->taker.count);
    o->room.slots -= least(o->taker.count, o->room.slots, UINT32_MAX);
    if (o->taker.pick_count > o->at_once)
        o->room.ahead = 0; // it will say how much of it is left
    return o->taker.count ? split_off_vetted(s, n, o->taker.work, o->taker.count) : 0;
}

// What a report wanted and did not get, the parked call may bring.
static void answer_report(struct scheduler *s, struct offer *o)
{
    struct exchange *x = o->report;
    struct node *n = node_table_find(&s->nodes, o->node);
    if (n && n->doubted) {
        nrpc_reply_error(x->call, NRPC_ABORTED, "node %llu is to say what it holds",
                         (unsigned long long)o->node);
    } else if (n) {
        size_t count = take_up(s, n, o);
        uint32_t leased = node_room_of(n, x).slots - o->room.slots; // what is vetted comes with another call
        x->carried =
            (leased > count ? leased - (uint32_t)count : 0) + node_add_slots(&s->nodes, n, o->room.slots);
        answer_call(s, n, x, o->taker.work, count);
    } else
        nrpc_reply_error(x->call, NRPC_NOT_FOUND, "node %llu: its lease has ended",
                         (unsigned long long)o->node);
}

static void answer_offer(struct scheduler *s, struct offer *o)
{
    struct node *n = node_table_find(&s->nodes, o->node);
    if (!n || !n->parked)
        return;
    size_t count = take_up(s, n, o);
    if (count)
        exchange_answer_parked(s, n, o->taker.work, count);
    else // the call waits for the vetting, wanting less
        node_set_room(&s->nodes, n, o->room);
}

static void offer_to_reports(struct scheduler *s, struct offers *all, int64_t now_ms)
{
    for (struct report *r = s->reports; r; r = r->next) {
        struct node *n = node_table_find(&s->nodes, r->node);
        struct node_room room = n ? node_room_of(n, r->x) : (struct node_room){0};
        struct rivals rivals = {s->nodes.hungry_count + 1, s->nodes.hungry_slots};
        if (!n) {
            nrpc_reply_error(r->x->call, NRPC_NOT_FOUND, "node %llu: its lease has ended",
                             (unsigned long long)r->node);
            continue;
        }
        add_offer(s, all, n, r->x, room, rivals, now_ms);
    }
    s->reports = NULL;
    s->last_report = &s->reports;
}

static void offer_to_hungry(struct scheduler *s, struct offers *all, bool for_slots, int64_t now_ms)
{
    for (struct node *n = s->nodes.hungry, *next; n && may_dispatch(s, now_ms); n = next) {
        next = n->next_hungry;
        if (n->full || (n->hungry_slots > 0) != for_slots)
            continue;
        if (nrpc_call_is_cancelled(n->parked->call)) { // the node has gone to another coordinator
            exchange_answer_parked(s, n, NULL, 0);
            continue;
        }
        struct rivals rivals = {s->nodes.hungry_count,
                                for_slots ? s->nodes.hungry_slots - n->hungry_slots : 0};
        add_offer(s, all, n, NULL, n->room, rivals, now_ms);
    }
}

// Many slots are filled by some subtasks a task, not by one of each: the store touches fewer.
static uint32_t turn_of(const struct scheduler *s)
{
    uint64_t slots = s->nodes.hungry_slots;
    for (const struct report *r = s->reports; r; r = r->next)
        slots += r->x->request->want;
    return least(1 + slots / TURNS, TURN_MAX, UINT32_MAX);
}

// Free slots first, of those who have brought something before those who wait; then what may wait, of what
// nobody has a free slot for.
void exchange_dispatch(struct scheduler *s, int64_t now_ms)
{
    struct offers all = {.last = &all.first};
    sched_set_turn(s->views.sched, turn_of(s));
    offer_to_reports(s, &all, now_ms);
    offer_to_hungry(s, &all, true, now_ms);
    offer_to_hungry(s, &all, false, now_ms);
    shorten_leases(s, &all, now_ms);
    lease(s, &all, now_ms);
    for (struct offer *o = all.first; o; o = o->next)
        (o->report ? answer_report : answer_offer)(s, o);
}

// ---- exchanges that arrive

// A node that registered elsewhere, or before a restart of this process: it must say what it holds, since
// what it was to be told may have gone to nobody.
static struct node *adopt(struct scheduler *s, struct state_holder who, struct nrpc_status *st)
{
    struct state_node found;
    if (s->env->state->ops->node_get(s->env->state, who, &s->arena, &found, st))
        return NULL;
    struct node *n = node_table_add(&s->nodes, who, &found); // its lease: it may have been idle elsewhere
    n->doubted = true;
    sick_adopt(s, n, &found);
    return n;
}

// The node of an exchange. A number that another registration had when we heard of it last is looked up anew.
static struct node *node_of(struct scheduler *s, struct state_holder who, struct nrpc_status *st)
{
    struct node *n = node_table_find(&s->nodes, who.node);
    if (n && (!who.session || n->session == who.session))
        return n;
    if (n)
        exchange_drop_node(s, n, "it registered again");
    return adopt(s, who, st);
}

struct state_ref *exchange_refs(struct arena *a, Dtf__V1__SubtaskRef *const *in, size_t count)
{
    struct state_ref *refs = arena_alloc(a, (count + 1) * sizeof *refs);
    for (size_t i = 0; i < count; i++)
        refs[i] = (struct state_ref){in[i]->task_id, in[i]->subtask_id, in[i]->attempt};
    return refs;
}

// What a node has, said by itself, against what the state knows: it learns what of that it must forget, and
// stop.
static int compare(struct scheduler *s, struct node *n, struct exchange *x, struct nrpc_status *st)
{
    const Dtf__V1__ExchangeRequest *r = x->request;
    struct state_holding h = {.refs = exchange_refs(&s->arena, r->holding, r->n_holding),
                              .count = r->n_holding};
    exchange_free_outbox(n);
    int code = s->env->state->ops->node_reconcile(s->env->state, exchange_holder(x), &h, &s->arena, st);
    if (code)
        return code;
    bool *kept = nrpc_call_alloc(x->call, r->n_holding + 1);
    if (!kept)
        return status_set(st, NRPC_RESOURCE_EXHAUSTED, "the request is too large");
    x->kept = memcpy(kept, h.kept, r->n_holding);
    for (size_t i = 0; i < h.stop_count; i++)
        node_add_cancel(n, h.stops[i]);
    n->doubted = false;
    return NRPC_OK;
}

static int reconcile(struct scheduler *s, struct node *n, struct exchange *x, int64_t now_ms,
                     struct nrpc_status *st)
{
    const Dtf__V1__ExchangeRequest *r = x->request;
    struct state_holder who = exchange_holder(x);
    int code = NRPC_OK;
    for (size_t i = 0; i < r->n_returned; i++) // it waited for a slot in vain
        sched_doubt(s->views.sched, r->returned[i]->task_id);
    if (r->n_returned)
        code =
            s->env->state->ops->requeue(s->env->state, exchange_refs(&s->arena, r->returned, r->n_returned),
                                        r->n_returned, &who, STATE_RETURNED, now_ms, st);
    return code == NRPC_OK && r->resync ? compare(s, n, x, st) : code;
}

// A call that does not wait, beside the parked one: it has brought results, and takes what is ready when all
// calls of this step have been heard.
static void report(struct scheduler *s, const struct node *n, struct exchange *x)
{
    struct report *r = arena_alloc(&s->arena, sizeof *r);
    *r = (struct report){NULL, n->id, x};
    *s->last_report = r;
    s->last_report = &r->next;
}

void exchange_take(struct scheduler *s, struct exchange *x, int64_t now_ms)
{
    const Dtf__V1__ExchangeRequest *r = x->request;
    struct nrpc_status st;
    struct node *n = node_of(s, exchange_holder(x), &st);
    if (!n || reconcile(s, n, x, now_ms, &st)) {
        if (n && st.code == NRPC_NOT_FOUND)
            exchange_drop_node(s, n, st.text);
        nrpc_reply_status(x->call, &st);
        return;
    }
    sick_heard(s, n, r, now_ms);
    n->seen = true;
    n->heard_ms = now_ms;
    n->full = false;
    n->kept_results = r->kept_results < KEPT_MAX ? r->kept_results : KEPT_MAX;
    quarantine_heard(s, n, x, now_ms);
    if (n->doubted) {
        nrpc_reply_error(x->call, NRPC_ABORTED, "node %llu is to say what it holds",
                         (unsigned long long)n->id);
        return;
    }
    if (r->wait_ms == 0) {
        report(s, n, x);
        return;
    }
    if (n->parked)
        exchange_answer_parked(s, n, NULL, 0);
    int64_t wait_ms = r->wait_ms < WAIT_MAX_MS ? (int64_t)r->wait_ms : WAIT_MAX_MS;
    node_park(&s->nodes, n, x, now_ms + wait_ms);
    if (n->cancel_count || n->outbox)
        exchange_answer_parked(s, n, NULL, 0);
}
