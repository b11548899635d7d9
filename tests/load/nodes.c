// SPDX-License-Identifier: Apache-2.0
// nodes.c: one loop owns all nodes; calls end on nng's threads, which post what they brought.
#include "load/nodes.h"

#include "ahead.h"
#include "base/clock.h"
#include "base/heap.h"
#include "base/ids.h"
#include "base/loop.h"
#include "base/version.h"
#include "bench/rpc/measure.h"
#include "dtf/v1/node.nrpc.h"
#include "executor/draft.h"
#include "state/state.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

enum {
    SLACK_MS = 5000, // as services/executor/executor.c: beyond a poll's wait; silence; pauses after failures
    QUIET_MS = 10000,
    BACKOFF_FIRST_MS = 50,
    BACKOFF_MAX_MS = 1000,
    LATENCIES_MAX = 1 << 17, // kept at the most
};

enum call_kind { CALL_REGISTER, CALL_POLL, CALL_REPORT, CALLS };

struct call {
    struct node *node;
    bool out; // under way
    uint32_t want;
    int64_t sent_us;
    struct item_list results;
};

struct answer {
    struct mail mail;
    struct call *call;
    int code;
    uint64_t node_id, session;
    int64_t poll_ms, idle_poll_ms;
    uint32_t carried;
    struct item_list work;
    struct state_ref *dropped;
    size_t drop_count;
};

struct node {
    struct heap_node due; // first member: when it must be looked at
    struct load_nodes *owner;
    struct nrpc_channel *channel;
    uint64_t id, session, former_id, former_session;
    int64_t poll_ms, idle_poll_ms, backoff_ms, backoff_until_ms;
    bool dead, resync;
    struct call calls[CALLS];
    struct item_list queued, running, done; // running: what ends first in front
};

struct ran { // who runs a subtask
    UT_hash_handle hh;
    struct {
        uint64_t task, seq;
    } key;
    const struct node *node;
};

struct load_nodes {
    struct load_options options;
    struct loop loop;
    struct node *nodes;
    struct heap due;
    struct ran *ran;
    unsigned short dice[3];
    _Atomic int64_t run_us;
    _Atomic uint64_t settled, doubled, failures, registered, busy, reports;
    _Atomic size_t kill_upto; // nodes from the first on that are to be dead
    pthread_mutex_t mu;       // of what follows
    double latency_ms[LATENCIES_MAX];
    size_t latencies;
};

static void drop_all(struct item_list *l)
{
    for (struct item *i; (i = item_list_pop(l));)
        item_destroy(i);
}

// ---- who runs what

static void ran_begin(struct load_nodes *l, const struct node *n, const struct item *i)
{
    struct ran *r, like = {.key = {i->task, i->seq}};
    HASH_FIND(hh, l->ran, &like.key, sizeof like.key, r);
    if (r && r->node != n && !r->node->dead)
        l->doubled++;
    if (!r) {
        r = mem_calloc(1, sizeof *r);
        r->key = like.key;
        HASH_ADD(hh, l->ran, key, sizeof r->key, r);
    }
    r->node = n;
}

static void ran_end(struct load_nodes *l, const struct node *n, const struct item *i)
{
    struct ran *r, like = {.key = {i->task, i->seq}};
    HASH_FIND(hh, l->ran, &like.key, sizeof like.key, r);
    if (!r || r->node != n)
        return;
    HASH_DEL(l->ran, r);
    free(r);
}

// ---- calls end (on nng's threads)

static struct answer *answer_create(const struct nrpc_status *st, Dtf__V1__SubtaskRef *const *dropped,
                                    size_t count)
{
    struct answer *a = mem_calloc(1, sizeof *a);
    a->code = st->code;
    item_list_init(&a->work);
    a->dropped = mem_calloc(count + 1, sizeof *a->dropped);
    for (; a->drop_count < count; a->drop_count++)
        a->dropped[a->drop_count] =
            (struct state_ref){dropped[a->drop_count]->task_id, dropped[a->drop_count]->subtask_id,
                               dropped[a->drop_count]->attempt};
    return a;
}

static void post(struct answer *a, struct call *c)
{
    a->call = c;
    loop_post(&c->node->owner->loop, &a->mail);
}

static void registered(void *user, const struct nrpc_status *st, const Dtf__V1__RegisterResponse *r)
{
    struct answer *a = answer_create(st, r ? r->dropped : NULL, r ? r->n_dropped : 0);
    if (r) {
        a->node_id = r->node_id;
        a->session = r->session;
        a->poll_ms = (int64_t)r->poll_ms;
        a->idle_poll_ms = r->idle_poll_ms ? (int64_t)r->idle_poll_ms : a->poll_ms;
    }
    post(a, user);
}

static void exchanged(void *user, const struct nrpc_status *st, const Dtf__V1__ExchangeResponse *r)
{
    struct answer *a = answer_create(st, r ? r->dropped : NULL, r ? r->n_dropped : 0);
    a->carried = r ? r->carried : 0;
    for (size_t i = 0; r && i < r->n_tasks; i++)
        for (size_t k = 0; k < r->tasks[i]->n_work; k++) {
            const Dtf__V1__Work *w = r->tasks[i]->work[k];
            struct item like = {.task = r->tasks[i]->task_id, .seq = w->subtask_id, .attempt = w->attempt};
            item_list_add(&a->work, item_create(&like, r->tasks[i]->type, NULL));
        }
    post(a, user);
}

// ---- calls begin

static struct call *begin(struct node *n, enum call_kind kind)
{
    struct call *c = &n->calls[kind];
    c->out = true;
    c->sent_us = clock_mono_us();
    return c;
}

static void draft_held(struct draft *d, const struct node *n)
{
    const struct item_list *lists[] = {&n->queued, &n->running, &n->done};
    for (size_t k = 0; k < sizeof lists / sizeof *lists; k++)
        for (const struct item *i = lists[k]->first; i; i = i->next)
            draft_ref(d, i->task, i->seq, i->attempt);
}

static void draft_free(struct draft *d)
{
    free(d->refs);
    arena_fini(&d->arena);
}

static void send_register(struct node *n)
{
    struct draft d = {0};
    char name[40], *types[] = {"noop"};
    Dtf__V1__RegisterRequest r = DTF__V1__REGISTER_REQUEST__INIT;
    arena_init(&d.arena, 0);
    snprintf(name, sizeof name, "load-%zu", (size_t)(n - n->owner->nodes));
    r.name = r.host = name;
    r.slots = n->owner->options.slots;
    r.types = types;
    r.n_types = 1;
    r.session = n->session = ids_random();
    r.protocol = VERSION_NODE_PROTOCOL;
    r.version = (char *)version_number;
    r.former_id = n->former_id;
    r.former_session = n->former_session;
    draft_held(&d, n);
    r.holding = draft_take_refs(&d, &r.n_holding);
    struct nrpc_call_options o = {.timeout_ms = SLACK_MS};
    dtf_v1_node_service_register_async(n->channel, &o, &r, registered, begin(n, CALL_REGISTER));
    draft_free(&d);
}

static uint32_t free_slots(const struct node *n, const struct call *other)
{
    size_t taken = n->queued.count + n->running.count + (other->out ? other->want : 0);
    return taken < n->owner->options.slots ? (uint32_t)(n->owner->options.slots - taken) : 0;
}

static void send_exchange(struct node *n, enum call_kind kind)
{
    struct draft d = {0};
    struct call *c = &n->calls[kind], *other = &n->calls[kind == CALL_POLL ? CALL_REPORT : CALL_POLL];
    bool is_idle = !(n->queued.count + n->running.count + n->done.count) && !other->out;
    int64_t wait_ms = kind != CALL_POLL ? 0 : is_idle ? n->idle_poll_ms : n->poll_ms;
    arena_init(&d.arena, 0);
    dtf__v1__exchange_request__init(&d.request);
    d.request.node_id = n->id;
    d.request.session = n->session;
    d.request.wait_ms = (uint64_t)wait_ms;
    if (kind == CALL_REPORT && n->resync) {
        d.request.resync = true;
        draft_held(&d, n);
        d.request.holding = draft_take_refs(&d, &d.request.n_holding);
        c->want = 0;
    } else {
        d.request.want = c->want = free_slots(n, other);
        d.request.ahead = n->queued.count ? 0 : AHEAD_MAX;
        d.request.ahead_us = n->queued.count ? 0 : (uint64_t)n->owner->options.slots * AHEAD_SLOT_US;
        if (kind == CALL_REPORT)
            item_list_append(&c->results, &n->done);
        draft_results(&d, &c->results);
    }
    struct nrpc_call_options o = {.timeout_ms = wait_ms + SLACK_MS,
                                  .quiet_ms = wait_ms > n->poll_ms ? QUIET_MS : 0};
    dtf_v1_node_service_exchange_async(n->channel, &o, &d.request, exchanged, begin(n, kind));
    draft_free(&d);
}

// ---- a node

static int64_t drawn_us(struct load_nodes *l)
{
    int64_t run_us = atomic_load(&l->run_us);
    return l->options.is_uneven ? run_us / 2 + (int64_t)(erand48(l->dice) * (double)run_us) : run_us;
}

// Queued items get slots; `run_us` tells how long they run, held_until_ms when they end.
static void fill_slots(struct node *n, int64_t now_ms)
{
    struct load_nodes *l = n->owner;
    while (n->queued.count && n->running.count < l->options.slots) {
        struct item *i = item_list_pop(&n->queued), **at = &n->running.first;
        i->run_us = drawn_us(l);
        i->held_until_ms = now_ms + i->run_us / 1000;
        ran_begin(l, n, i);
        while (*at && (*at)->held_until_ms <= i->held_until_ms)
            at = &(*at)->next;
        i->next = *at;
        *at = i;
        n->running.count++;
        l->busy++;
    }
}

static void end_runs(struct node *n, int64_t now_ms)
{
    struct item *i;
    while ((i = n->running.first) && i->held_until_ms <= now_ms) {
        n->running.first = i->next;
        n->running.count--;
        n->owner->busy--;
        ran_end(n->owner, n, i);
        i->kind = DTF_RESULT_SUCCESS;
        item_list_add(&n->done, i);
    }
}

static void forget(struct node *n, struct item_list *l, const struct state_ref *ref)
{
    for (struct item **at = &l->first, *i; (i = *at); at = &i->next)
        if (i->task == ref->task && i->seq == ref->seq && i->attempt == ref->attempt) {
            *at = i->next;
            l->last = i->next ? l->last : at;
            l->count--;
            n->owner->busy -= l == &n->running;
            ran_end(n->owner, n, i);
            item_destroy(i);
            return;
        }
}

static void back_off(struct node *n, int64_t now_ms)
{
    n->backoff_ms = n->backoff_ms ? 2 * n->backoff_ms : BACKOFF_FIRST_MS;
    n->backoff_ms = n->backoff_ms < BACKOFF_MAX_MS ? n->backoff_ms : BACKOFF_MAX_MS;
    n->backoff_until_ms =
        now_ms + n->backoff_ms / 2 + (int64_t)(erand48(n->owner->dice) * (double)n->backoff_ms) / 2;
}

static void failed(struct node *n, struct call *c, int code, int64_t now_ms)
{
    n->owner->failures++;
    item_list_append(&n->done, &c->results);
    back_off(n, now_ms);
    if (c == &n->calls[CALL_REGISTER])
        return;
    n->resync = true;
    if (code != NRPC_NOT_FOUND || !n->id)
        return;
    n->former_id = n->id;
    n->former_session = n->session;
    n->id = 0;
    n->resync = false;
    n->owner->registered--;
}

static void note_report(struct load_nodes *l, struct call *c)
{
    double ms = (double)(clock_mono_us() - c->sent_us) / 1000;
    l->reports++;
    l->settled += c->results.count;
    drop_all(&c->results);
    pthread_mutex_lock(&l->mu);
    if (l->latencies < LATENCIES_MAX)
        l->latency_ms[l->latencies++] = ms;
    pthread_mutex_unlock(&l->mu);
}

static void succeeded(struct node *n, struct call *c, struct answer *a)
{
    n->backoff_ms = 0;
    if (c == &n->calls[CALL_REGISTER]) {
        n->id = a->node_id;
        n->session = a->session;
        n->poll_ms = a->poll_ms;
        n->idle_poll_ms = a->idle_poll_ms;
        n->former_id = n->former_session = 0;
        n->owner->registered++;
    } else if (c == &n->calls[CALL_REPORT]) {
        struct call *poll = &n->calls[CALL_POLL];
        uint32_t left = c->want > a->work.count ? c->want - (uint32_t)a->work.count : 0;
        if (c->results.count)
            note_report(n->owner, c);
        n->resync = false;
        poll->want += left < a->carried ? left : a->carried;
    }
    for (size_t i = 0; i < a->drop_count; i++) {
        forget(n, &n->queued, &a->dropped[i]);
        forget(n, &n->running, &a->dropped[i]);
        forget(n, &n->done, &a->dropped[i]);
    }
    item_list_append(&n->queued, &a->work);
}

static void take_answer(struct answer *a, int64_t now_ms)
{
    struct call *c = a->call;
    struct node *n = c->node;
    c->out = false;
    if (!n->dead && a->code)
        failed(n, c, a->code, now_ms);
    else if (!n->dead)
        succeeded(n, c, a);
    drop_all(&a->work);
    free(a->dropped);
    free(a);
    heap_put(&n->owner->due, &n->due, now_ms);
}

static void act(struct node *n, int64_t now_ms)
{
    bool poll = n->calls[CALL_POLL].out, report = n->calls[CALL_REPORT].out;
    if (now_ms < n->backoff_until_ms && n->backoff_ms)
        return;
    if (!n->id) {
        if (!n->calls[CALL_REGISTER].out && !report && !poll)
            send_register(n);
    } else if (n->resync) {
        if (!poll && !report)
            send_exchange(n, CALL_REPORT);
    } else {
        if (!poll)
            send_exchange(n, CALL_POLL);
        if (!report && n->done.count)
            send_exchange(n, CALL_REPORT);
    }
}

static void look_at(struct node *n, int64_t now_ms)
{
    int64_t next_ms = CLOCK_NEVER;
    if (n->dead)
        return;
    end_runs(n, now_ms);
    fill_slots(n, now_ms);
    act(n, now_ms);
    if (n->running.first)
        next_ms = n->running.first->held_until_ms;
    if (n->backoff_ms && n->backoff_until_ms > now_ms && n->backoff_until_ms < next_ms)
        next_ms = n->backoff_until_ms;
    if (next_ms != CLOCK_NEVER)
        heap_put(&n->owner->due, &n->due, next_ms);
}

// ---- all

static void kill_one(struct load_nodes *l, struct node *n)
{
    n->dead = true;
    l->registered -= n->id != 0;
    l->busy -= n->running.count;
    heap_remove(&l->due, &n->due);
}

static int64_t step(void *self, int64_t now_ms)
{
    struct load_nodes *l = self;
    for (size_t i = 0; i < atomic_load(&l->kill_upto); i++)
        if (!l->nodes[i].dead)
            kill_one(l, &l->nodes[i]);
    for (struct mail *m = loop_take(&l->loop), *next; m; m = next) {
        next = m->next;
        take_answer((struct answer *)m, now_ms);
    }
    struct node *n;
    while ((n = (struct node *)heap_top(&l->due)) && n->due.key <= now_ms) {
        heap_remove(&l->due, &n->due);
        look_at(n, now_ms);
    }
    return n ? n->due.key : CLOCK_NEVER;
}

static bool node_open(struct load_nodes *l, struct node *n)
{
    struct nrpc_status st;
    n->owner = l;
    item_list_init(&n->queued);
    item_list_init(&n->running);
    item_list_init(&n->done);
    for (int k = 0; k < CALLS; k++) {
        n->calls[k].node = n;
        item_list_init(&n->calls[k].results);
    }
    struct nrpc_channel_options o = {.keepalive_ms = l->options.keepalive_ms, .keepalive_timeout_ms = 2000};
    if (nrpc_channel_open(l->options.url, &o, &n->channel, &st)) {
        fprintf(stderr, "load: %s\n", st.text);
        return false;
    }
    heap_put(&l->due, &n->due, 0);
    return true;
}

struct load_nodes *load_nodes_start(const struct load_options *o)
{
    struct load_nodes *l = mem_calloc(1, sizeof *l);
    l->options = *o;
    l->dice[0] = (unsigned short)o->seed;
    l->run_us = o->run_us;
    l->nodes = mem_calloc(o->count, sizeof *l->nodes);
    pthread_mutex_init(&l->mu, NULL);
    loop_init(&l->loop, "nodes", step, l);
    for (size_t i = 0; i < o->count; i++)
        if (!node_open(l, &l->nodes[i]))
            exit(1);
    loop_start(&l->loop);
    return l;
}

void load_nodes_set_run(struct load_nodes *l, int64_t run_us)
{
    atomic_store(&l->run_us, run_us);
}

struct load_stats load_nodes_stats(struct load_nodes *l)
{
    return (struct load_stats){l->settled, l->doubled, l->failures, l->registered, l->busy, l->reports};
}

double load_nodes_latency_ms(struct load_nodes *l, double part)
{
    pthread_mutex_lock(&l->mu);
    qsort(l->latency_ms, l->latencies, sizeof *l->latency_ms, measure_compare);
    size_t at = (size_t)(part * (double)l->latencies);
    double ms = l->latencies ? l->latency_ms[at < l->latencies ? at : l->latencies - 1] : 0;
    l->latencies = 0;
    pthread_mutex_unlock(&l->mu);
    return ms;
}

void load_nodes_kill(struct load_nodes *l, size_t count)
{
    atomic_store(&l->kill_upto, count);
    loop_wake(&l->loop);
}
