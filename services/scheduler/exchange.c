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
    WAIT_MAX_MS = 60000,
    KEPT_MAX = 100000, // results that a node may say it has
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

// Takes back what was not leased: `left` of each pick is still ready.
static void unpick(struct scheduler *s, const struct sched_pick *picks, size_t pick_count,
                   const struct state_work *work, size_t count, const uint32_t *left)
{
    size_t picked = 0;
    for (size_t i = 0; i < pick_count; i++)
        picked += picks[i].count;
    for (size_t i = 0; i < pick_count && picked > count; i++) {
        uint32_t got = 0, before = 0; // of the task; by its picks before this one
        for (size_t k = 0; k < count; k++)
            got += work[k].task == picks[i].task;
        for (size_t k = 0; k < i; k++)
            before += picks[k].task == picks[i].task ? picks[k].count : 0;
        got = got > before ? got - before : 0;
        uint32_t missing = got < picks[i].count ? picks[i].count - got : 0;
        if (missing)
            sched_unpick(s->views.sched, picks[i].task, missing, left[i] < missing ? left[i] : missing);
    }
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

// What was decided for a node.
struct decision {
    struct sched_pick picks[PICKS_MAX];
    size_t count, at_once; // picks; the first ones are for free slots, the others are to wait
    uint32_t slots;        // subtasks for free slots
};

// Leases that an honest node may hold then: results on their way are leases, too.
static uint64_t most_leases(const struct scheduler *s, const struct node *n, const struct decision *d)
{
    uint64_t each = 1; // a slot
    for (size_t i = d->at_once; i < d->count; i++) {
        int64_t cost_us = sched_cost_us(s->views.sched, d->picks[i].task);
        uint64_t ahead = cost_us ? (uint64_t)(AHEAD_SLOT_US / cost_us) : 0;
        each = each > 1 + ahead ? each : 1 + ahead;
    }
    uint64_t most = n->slots * each;
    return 2 * (most < n->slots + AHEAD_MAX ? most : n->slots + AHEAD_MAX) + n->kept_results;
}

static size_t lease(struct scheduler *s, struct node *n, int64_t now_ms, const struct decision *d,
                    struct state_work **work)
{
    const struct sched_pick *picks = d->picks;
    size_t pick_count = d->count;
    struct state_pick *wanted = arena_alloc(&s->arena, pick_count * sizeof *wanted);
    for (size_t i = 0; i < pick_count; i++)
        wanted[i] = (struct state_pick){picks[i].task, picks[i].count};
    size_t count = 0;
    struct nrpc_status st;
    struct budget budget = {.bytes = STATE_BATCH_BYTES, .used = outbox_bytes(n)};
    uint32_t *left = arena_calloc(&s->arena, pick_count * sizeof *left);
    struct state_taker to = {n->id, most_leases(s, n, d)};
    int code = s->env->state->ops->lease(s->env->state, to, now_ms, wanted, pick_count, &budget, left,
                                         &s->arena, work, &count, &st);
    if (code)
        count = 0;
    for (size_t i = 0; code == NRPC_NOT_FOUND && i < pick_count; i++)
        left[i] = picks[i].count; // it was not done
    unpick(s, picks, pick_count, *work, count, left);
    n->full = !code && !count && left[0];
    if (code == NRPC_NOT_FOUND) {
        exchange_drop_node(s, n, "its lease has ended");
    } else if (code == NRPC_FAILED_PRECONDITION) { // the state is being verified: nothing was done
        log_debug("scheduler: cannot lease subtasks yet: %s", st.text);
        s->next_refresh_ms = s->next_dispatch_ms = now_ms + ENV_STORE_RETRY_MS;
    } else if (code) { // it may have been done
        trouble_say(s->env->trouble, &st, "scheduler: cannot lease subtasks");
        s->next_refresh_ms = s->next_dispatch_ms = now_ms + ENV_STORE_RETRY_MS;
        s->views.told = true;
        exchange_doubt(s, n, st.text);
    }
    return count;
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
static void decide(struct scheduler *s, const struct node *n, const struct node_room *room,
                   struct rivals rivals, struct decision *d)
{
    struct sched *sched = s->views.sched;
    struct fit f = {s, n};
    uint64_t ready = sched_ready(sched);
    uint32_t want = least(room->slots, (ready + rivals.nodes - 1) / rivals.nodes, GIVE_MAX);
    d->slots = 0;
    d->at_once = sched_pick(sched, want, fits, &f, d->picks, PICKS_MAX);
    for (size_t i = 0; i < d->at_once; i++)
        d->slots += d->picks[i].count;
    ready = sched_ready(sched);
    uint64_t spare = ready > rivals.slots ? (ready - rivals.slots + rivals.nodes - 1) / rivals.nodes : 0;
    d->count = d->at_once;
    if (room->ahead && spare && d->slots == room->slots)
        d->count += sched_pick_ahead(sched, least(room->ahead, spare, GIVE_MAX - d->slots), room->ahead_us,
                                     fits, &f, d->picks + d->at_once, PICKS_MAX - d->at_once);
}

// Leases what the node has room for and may have, and returns what may go to it now; more may be on its way
// through the vetting. *room: what is left of it. The node may be gone afterwards.
static size_t give(struct scheduler *s, struct node *n, struct node_room *room, struct rivals rivals,
                   int64_t now_ms, struct state_work **work)
{
    struct decision d;
    decide(s, n, room, rivals, &d);
    if (!d.count)
        return 0;
    size_t count = lease(s, n, now_ms, &d, work);
    room->slots -= least(count, room->slots, UINT32_MAX);
    room->ahead = d.count > d.at_once ? 0 : room->ahead; // it will say how much of it is left
    return count ? split_off_vetted(s, n, *work, count) : 0;
}

static void dispatch_to(struct scheduler *s, struct node *n, struct node_room room, uint64_t rival_slots,
                        int64_t now_ms)
{
    if (nrpc_call_is_cancelled(n->parked->call)) { // the node has gone to another coordinator
        exchange_answer_parked(s, n, NULL, 0);
        return;
    }
    struct state_work *work = NULL;
    struct rivals rivals = {s->nodes.hungry_count, rival_slots};
    uint64_t id = n->id;
    size_t count = give(s, n, &room, rivals, now_ms, &work);
    n = node_table_find(&s->nodes, id);
    if (n && n->parked && count)
        exchange_answer_parked(s, n, work, count);
    else if (n && n->parked) // the call waits for the vetting, wanting less
        node_set_room(&s->nodes, n, room);
}

static bool may_dispatch(const struct scheduler *s, int64_t now_ms)
{
    return sched_ready(s->views.sched) && now_ms >= s->next_dispatch_ms;
}

// Free slots first; then what may wait, of what nobody has a free slot for.
void exchange_dispatch(struct scheduler *s, int64_t now_ms)
{
    for (struct node *n = s->nodes.hungry, *next; n && may_dispatch(s, now_ms); n = next) {
        next = n->next_hungry;
        if (n->room.slots && !n->full)
            dispatch_to(s, n, n->room, s->nodes.hungry_slots - n->room.slots, now_ms);
    }
    for (struct node *n = s->nodes.hungry, *next; n && may_dispatch(s, now_ms); n = next) {
        next = n->next_hungry;
        if (n->room.ahead && !n->room.slots && !n->full)
            dispatch_to(s, n, n->room, 0, now_ms);
    }
}

// ---- exchanges that arrive

// A node that registered elsewhere, or before a restart of this process: it must say what it holds, since
// what it was to be told may have gone to nobody.
static struct node *adopt(struct scheduler *s, struct state_holder who, struct nrpc_status *st)
{
    struct state_node found;
    if (s->env->state->ops->node_get(s->env->state, who, &s->arena, &found, st))
        return NULL;
    struct node *n = node_table_add(&s->nodes, who, found.types, found.slots);
    n->doubted = true;
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

// A call that does not wait, beside the parked one: it brought results, and takes what is ready now. What it
// wanted and did not get, the parked call may bring.
static void report(struct scheduler *s, struct node *n, struct exchange *x, int64_t now_ms)
{
    struct state_work *work = NULL;
    size_t count = 0;
    uint64_t id = n->id;
    struct node_room room = node_room_of(n, x);
    struct rivals rivals = {s->nodes.hungry_count + 1, s->nodes.hungry_slots};
    if ((room.slots || room.ahead) && may_dispatch(s, now_ms))
        count = give(s, n, &room, rivals, now_ms, &work);
    n = node_table_find(&s->nodes, id);
    if (n && n->doubted) {
        nrpc_reply_error(x->call, NRPC_ABORTED, "node %llu is to say what it holds", (unsigned long long)id);
    } else if (n) {
        uint32_t leased = node_room_of(n, x).slots - room.slots; // what is vetted comes with another call
        x->carried =
            (leased > count ? leased - (uint32_t)count : 0) + node_add_slots(&s->nodes, n, room.slots);
        answer_call(s, n, x, work, count);
    } else
        nrpc_reply_error(x->call, NRPC_NOT_FOUND, "node %llu: its lease has ended", (unsigned long long)id);
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
    n->seen = true;
    n->full = false;
    n->kept_results = r->kept_results < KEPT_MAX ? r->kept_results : KEPT_MAX;
    if (n->doubted) {
        nrpc_reply_error(x->call, NRPC_ABORTED, "node %llu is to say what it holds",
                         (unsigned long long)n->id);
        return;
    }
    if (r->wait_ms == 0) {
        report(s, n, x, now_ms);
        return;
    }
    if (n->parked)
        exchange_answer_parked(s, n, NULL, 0);
    int64_t wait_ms = r->wait_ms < WAIT_MAX_MS ? (int64_t)r->wait_ms : WAIT_MAX_MS;
    node_park(&s->nodes, n, x, now_ms + wait_ms);
    if (n->cancel_count || n->outbox)
        exchange_answer_parked(s, n, NULL, 0);
}
