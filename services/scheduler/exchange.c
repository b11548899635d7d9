// SPDX-License-Identifier: Apache-2.0
// exchange.c: a node's calls: what they bring, what they are answered; and which node gets what is ready.
#include "scheduler_internal.h"

#include "answer.h"
#include "base/log.h"
#include "dtf/v1/node.nrpc.h"

#include <string.h>

enum {
    GIVE_MAX = 2000, // subtasks in one answer
    PICKS_MAX = 256,
    WAIT_MAX_MS = 60000,
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
    answer_init(&a, &s->arena);
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

static size_t lease(struct scheduler *s, struct node *n, int64_t now_ms, const struct sched_pick *picks,
                    size_t pick_count, struct state_work **work)
{
    struct state_pick *wanted = arena_alloc(&s->arena, pick_count * sizeof *wanted);
    for (size_t i = 0; i < pick_count; i++)
        wanted[i] = (struct state_pick){picks[i].task, picks[i].count};
    size_t count = 0;
    struct nrpc_status st;
    struct budget budget = {.bytes = STATE_BATCH_BYTES, .used = outbox_bytes(n)};
    uint32_t *left = arena_calloc(&s->arena, pick_count * sizeof *left);
    int code = s->env->state->ops->lease(s->env->state, n->id, now_ms, wanted, pick_count, &budget, left,
                                         &s->arena, work, &count, &st);
    if (code)
        count = 0;
    for (size_t i = 0; code == NRPC_NOT_FOUND && i < pick_count; i++)
        left[i] = picks[i].count; // it was not done
    unpick(s, picks, pick_count, *work, count, left);
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

// Leases up to `want` subtasks, but no more than the node's share of what is ready, and returns those that
// may go to it now; *vetted: how many more are being vetted. The node may be gone afterwards.
static size_t give(struct scheduler *s, struct node *n, uint32_t want, size_t competitors, int64_t now_ms,
                   struct state_work **work, size_t *vetted)
{
    uint64_t share = (sched_ready(s->views.sched) + competitors - 1) / competitors;
    want = want < share ? want : (uint32_t)share;
    want = want < GIVE_MAX ? want : GIVE_MAX;
    *vetted = 0;
    struct fit f = {s, n};
    struct sched_pick *picks = arena_alloc(&s->arena, PICKS_MAX * sizeof *picks);
    size_t pick_count = sched_pick(s->views.sched, want, fits, &f, picks, PICKS_MAX);
    if (!pick_count)
        return 0;
    size_t count = lease(s, n, now_ms, picks, pick_count, work);
    size_t plain = count ? split_off_vetted(s, n, *work, count) : 0;
    *vetted = count - plain;
    return plain;
}

void exchange_dispatch(struct scheduler *s, int64_t now_ms)
{
    for (struct node *n = s->nodes.hungry, *next;
         n && sched_ready(s->views.sched) && now_ms >= s->next_dispatch_ms; n = next) {
        next = n->next_hungry;
        if (nrpc_call_is_cancelled(n->parked->call)) { // the node has gone to another coordinator
            exchange_answer_parked(s, n, NULL, 0);
            continue;
        }
        struct state_work *work = NULL;
        size_t vetted, count = give(s, n, n->want, s->nodes.hungry_count, now_ms, &work, &vetted);
        if (count)
            exchange_answer_parked(s, n, work, count);
        else if (vetted) // the call waits for the vetting, wanting less
            node_set_want(&s->nodes, n, n->want - (uint32_t)vetted);
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
    size_t vetted = 0, count = 0;
    uint64_t id = n->id;
    if (x->request->want && sched_ready(s->views.sched) && now_ms >= s->next_dispatch_ms)
        count = give(s, n, x->request->want, s->nodes.hungry_count + 1, now_ms, &work, &vetted);
    n = node_table_find(&s->nodes, id);
    if (n && n->doubted) {
        nrpc_reply_error(x->call, NRPC_ABORTED, "node %llu is to say what it holds", (unsigned long long)id);
    } else if (n) {
        if (n->parked)
            node_set_want(&s->nodes, n, n->want + x->request->want - (uint32_t)(count + vetted));
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
