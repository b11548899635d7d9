// SPDX-License-Identifier: Apache-2.0
// scheduler.c: parked Exchange calls on one side, ready subtasks on the other; lib/sched decides, this
// carries out.
//
// Nodes ask (pull): a call says how many subtasks it would take and how long it may wait. A node always has a
// call parked here, through which it can also be told to stop something. Every call renews the node's lease.
#include "scheduler.h"

#include "answer.h"
#include "base/clock.h"
#include "base/log.h"
#include "dtf/v1/node.nrpc.h"
#include "node_table.h"
#include "vet.h"
#include "views.h"

#include <stdlib.h>
#include <string.h>

enum {
    REFRESH_MS = 5000, // hints are hints: everything is read again this often
    GIVE_MAX = 2000,   // subtasks in one answer
    WAIT_MAX_MS = 60000,
    PICKS_MAX = 256,
    STOPPING_MAX = 1000,
};

enum mail_kind {
    MAIL_OFFER,
    MAIL_REGISTER,
    MAIL_LEAVE,
    MAIL_VIEW,
    MAIL_GONE,
    MAIL_STOP,
    MAIL_SETTLED,
    MAIL_VETTED,
    MAIL_GROUPS
};

struct call_mail {
    struct mail mail;
    struct nrpc_call *call;
    const void *request;
};

struct hint_mail {
    struct mail mail;
    struct state_hint hint;
    char names[]; // group, type
};

struct outbox {
    struct vet *first;
};

struct scheduler {
    const struct env *env;
    struct loop loop;
    struct node_table nodes;
    struct views views;
    struct strands *strands; // for vetting
    struct arena arena;      // of the step
    bool started;            // has read what was there
    int64_t next_refresh_ms, next_sweep_ms, next_renew_ms;
};

struct scheduler *scheduler_create(const struct env *env)
{
    struct scheduler *s = mem_calloc(1, sizeof *s);
    s->env = env;
    node_table_init(&s->nodes);
    views_init(&s->views, env);
    s->strands = strands_create(env->pool);
    arena_init(&s->arena, 0);
    loop_init(&s->loop, "scheduler", scheduler_step, s);
    return s;
}

// ---- the way in

void scheduler_offer(void *self, struct exchange *x)
{
    struct scheduler *s = self;
    x->mail.kind = MAIL_OFFER;
    loop_post(&s->loop, &x->mail);
}

static void post_call(struct scheduler *s, int kind, struct nrpc_call *call, const void *request)
{
    struct call_mail *m = nrpc_call_alloc(call, sizeof *m);
    if (!m) {
        nrpc_reply_error(call, NRPC_RESOURCE_EXHAUSTED, "the request is too large");
        return;
    }
    *m = (struct call_mail){{NULL, kind}, call, request};
    loop_post(&s->loop, &m->mail);
}

void scheduler_register(struct scheduler *s, struct nrpc_call *call, const Dtf__V1__RegisterRequest *request)
{
    post_call(s, MAIL_REGISTER, call, request);
}

void scheduler_leave(struct scheduler *s, struct nrpc_call *call, const Dtf__V1__LeaveRequest *request)
{
    post_call(s, MAIL_LEAVE, call, request);
}

static const struct {
    enum state_hint_kind hint;
    enum mail_kind mail;
} hint_mails[] = {
    {STATE_HINT_VIEW, MAIL_VIEW},   {STATE_HINT_STOP, MAIL_STOP},       {STATE_HINT_CLOSING, MAIL_GONE},
    {STATE_HINT_CLOSED, MAIL_GONE}, {STATE_HINT_SETTLED, MAIL_SETTLED},
};

static struct hint_mail *copy_hint(const struct state_hint *hint)
{
    const char *group = hint->kind == STATE_HINT_VIEW ? hint->view.group : "";
    const char *type = hint->kind == STATE_HINT_VIEW ? hint->view.type : "";
    size_t group_size = strlen(group) + 1, type_size = strlen(type) + 1;
    struct hint_mail *m = mem_alloc(sizeof *m + group_size + type_size);
    m->hint = *hint;
    m->hint.view.group = memcpy(m->names, group, group_size);
    m->hint.view.type = memcpy(m->names + group_size, type, type_size);
    return m;
}

void scheduler_hint(struct scheduler *s, const struct state_hint *hint)
{
    for (size_t i = 0; i < sizeof hint_mails / sizeof *hint_mails; i++)
        if (hint_mails[i].hint == hint->kind) {
            struct hint_mail *m = copy_hint(hint);
            m->mail.kind = (int)hint_mails[i].mail;
            loop_post(&s->loop, &m->mail);
        }
}

void scheduler_reload_groups(struct scheduler *s)
{
    struct mail *m = mem_calloc(1, sizeof *m);
    m->kind = MAIL_GROUPS;
    loop_post(&s->loop, m);
}

// ---- answering a node

static void free_outbox(struct node *n)
{
    for (struct vet *v = n->outbox ? n->outbox->first : NULL, *next; v; v = next) {
        next = v->next;
        vet_destroy(v);
    }
    free(n->outbox);
    n->outbox = NULL;
}

// Answers one of the node's calls with this work, what waits in the outbox, and the tasks to stop.
static void answer_call(struct scheduler *s, struct node *n, struct exchange *x,
                        const struct state_work *work, size_t count)
{
    struct answer a;
    answer_init(&a, &s->arena);
    answer_add(&a, work, count);
    for (struct vet *v = n->outbox ? n->outbox->first : NULL; v; v = v->next)
        answer_add(&a, v->work, v->count);
    answer_send(&a, x, n->cancels, n->cancel_count);
    n->cancel_count = 0;
    free_outbox(n);
}

static void answer_parked(struct scheduler *s, struct node *n, const struct state_work *work, size_t count)
{
    answer_call(s, n, node_unpark(&s->nodes, n), work, count);
}

static void remove_node(struct scheduler *s, struct node *n, const char *why)
{
    if (n->parked)
        nrpc_reply_error(node_unpark(&s->nodes, n)->call, NRPC_NOT_FOUND, "node %llu: %s",
                         (unsigned long long)n->id, why);
    free_outbox(n);
    node_table_remove(&s->nodes, n);
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

static void unpick(struct scheduler *s, const struct sched_pick *picks, size_t pick_count,
                   const struct state_work *work, size_t count)
{
    for (size_t i = 0; i < pick_count; i++) {
        uint32_t got = 0;
        for (size_t k = 0; k < count; k++)
            got += work[k].task == picks[i].task;
        if (got < picks[i].count)
            sched_unpick(s->views.sched, picks[i].task, picks[i].count - got);
    }
}

static size_t lease(struct scheduler *s, struct node *n, int64_t now_ms, const struct sched_pick *picks,
                    size_t pick_count, struct state_work **work)
{
    struct state_pick *wanted = arena_alloc(&s->arena, pick_count * sizeof *wanted);
    for (size_t i = 0; i < pick_count; i++)
        wanted[i] = (struct state_pick){picks[i].task, picks[i].count};
    size_t count = 0;
    struct nrpc_status st;
    int code = s->env->state->ops->lease(s->env->state, n->id, now_ms, wanted, pick_count, &s->arena, work,
                                         &count, &st);
    if (code)
        count = 0;
    unpick(s, picks, pick_count, *work, count);
    if (code == NRPC_NOT_FOUND) {
        remove_node(s, n, "its lease has ended");
    } else if (code) {
        log_warn("scheduler: cannot lease subtasks, will try again: %s", st.text);
        s->next_refresh_ms = now_ms + ENV_STORE_RETRY_MS;
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

static void dispatch(struct scheduler *s, int64_t now_ms)
{
    for (struct node *n = s->nodes.hungry, *next; n && sched_ready(s->views.sched); n = next) {
        next = n->next_hungry;
        struct state_work *work = NULL;
        size_t vetted, count = give(s, n, n->want, s->nodes.hungry_count, now_ms, &work, &vetted);
        if (count)
            answer_parked(s, n, work, count);
        else if (vetted) // the call waits for the vetting, wanting less
            node_set_want(&s->nodes, n, n->want - (uint32_t)vetted);
    }
}

// ---- what arrives

// The node of an exchange; one that registered elsewhere, or before a restart, is looked up in the state.
static struct node *node_of(struct scheduler *s, uint64_t id, struct nrpc_status *st)
{
    struct node *n = node_table_find(&s->nodes, id);
    struct state_node *all;
    size_t count = 0;
    if (n)
        return n;
    if (s->env->state->ops->nodes(s->env->state, &s->arena, &all, &count, st))
        return NULL;
    for (size_t i = 0; i < count; i++)
        if (all[i].id == id)
            return node_table_add(&s->nodes, id, all[i].types, all[i].slots);
    status_set(st, NRPC_NOT_FOUND, "node %llu is not registered, or its lease has ended",
               (unsigned long long)id);
    return NULL;
}

static struct state_ref *copy_refs(struct arena *a, Dtf__V1__SubtaskRef *const *in, size_t count)
{
    struct state_ref *refs = arena_alloc(a, (count + 1) * sizeof *refs);
    for (size_t i = 0; i < count; i++)
        refs[i] = (struct state_ref){in[i]->task_id, in[i]->subtask_id, in[i]->attempt};
    return refs;
}

static int reconcile(struct scheduler *s, struct node *n, const Dtf__V1__ExchangeRequest *r, int64_t now_ms,
                     struct nrpc_status *st)
{
    const struct state_ops *ops = s->env->state->ops;
    int code = NRPC_OK;
    if (r->n_returned)
        code = ops->requeue(s->env->state, copy_refs(&s->arena, r->returned, r->n_returned), r->n_returned,
                            STATE_RETURNED, now_ms, st);
    if (code == NRPC_OK && r->resync) {
        free_outbox(n);
        code = ops->node_reconcile(s->env->state, n->id, copy_refs(&s->arena, r->holding, r->n_holding),
                                   r->n_holding, st);
    }
    return code;
}

// A call that does not wait, beside the parked one: it brought results, and takes what is ready now. What it
// wanted and did not get, the parked call may bring.
static void report(struct scheduler *s, struct node *n, struct exchange *x, int64_t now_ms)
{
    struct state_work *work = NULL;
    size_t vetted = 0, count = 0;
    uint64_t id = n->id;
    if (x->request->want && sched_ready(s->views.sched))
        count = give(s, n, x->request->want, s->nodes.hungry_count + 1, now_ms, &work, &vetted);
    n = node_table_find(&s->nodes, id);
    if (n) {
        if (n->parked)
            node_set_want(&s->nodes, n, n->want + x->request->want - (uint32_t)(count + vetted));
        answer_call(s, n, x, work, count);
    } else
        nrpc_reply_error(x->call, NRPC_NOT_FOUND, "node %llu: its lease has ended", (unsigned long long)id);
}

static void take_offer(struct scheduler *s, struct exchange *x, int64_t now_ms)
{
    const Dtf__V1__ExchangeRequest *r = x->request;
    struct nrpc_status st;
    struct node *n = node_of(s, r->node_id, &st);
    if (!n || reconcile(s, n, r, now_ms, &st)) {
        nrpc_reply_status(x->call, &st);
        return;
    }
    n->seen = true;
    if (r->wait_ms == 0) {
        report(s, n, x, now_ms);
        return;
    }
    if (n->parked)
        answer_parked(s, n, NULL, 0);
    int64_t wait_ms = r->wait_ms < WAIT_MAX_MS ? (int64_t)r->wait_ms : WAIT_MAX_MS;
    node_park(&s->nodes, n, x, now_ms + wait_ms);
    if (n->cancel_count || n->outbox)
        answer_parked(s, n, NULL, 0);
}

static char *join_types(struct arena *a, char *const *types, size_t count)
{
    size_t size = 1;
    for (size_t i = 0; i < count; i++)
        size += strlen(types[i]) + 1;
    char *all = arena_calloc(a, size), *at = all;
    for (size_t i = 0; i < count; i++)
        at = stpcpy(stpcpy(at, i ? "\n" : ""), types[i]);
    return all;
}

static int check_register(const Dtf__V1__RegisterRequest *r, struct nrpc_status *st)
{
    if (strlen(r->name) > DTF_NAME_MAX)
        return status_set(st, NRPC_INVALID_ARGUMENT, "name: over %d bytes", DTF_NAME_MAX);
    if (strlen(r->host) > 255)
        return status_set(st, NRPC_INVALID_ARGUMENT, "host: over 255 bytes");
    if (r->slots < 1 || r->slots > 4096)
        return status_set(st, NRPC_INVALID_ARGUMENT, "slots: %u is not in 1..4096", r->slots);
    for (size_t i = 0; i < r->n_types; i++)
        if (!*r->types[i] || strlen(r->types[i]) > DTF_NAME_MAX || strchr(r->types[i], '\n'))
            return status_set(st, NRPC_INVALID_ARGUMENT, "types: entry %zu is no task type's name", i);
    return NRPC_OK;
}

static void take_register(struct scheduler *s, const struct call_mail *m, int64_t now_ms)
{
    const Dtf__V1__RegisterRequest *r = m->request;
    struct nrpc_status st;
    struct state_node n = {
        .name = r->name,
        .host = r->host,
        .pid = r->pid,
        .slots = r->slots,
        .lease_until_ms = now_ms + s->env->node_lease_ms,
    };
    uint64_t id;
    if (check_register(r, &st) || (n.types = join_types(&s->arena, r->types, r->n_types),
                                   s->env->state->ops->node_add(s->env->state, &n, &id, &st))) {
        nrpc_reply_status(m->call, &st);
        return;
    }
    node_table_add(&s->nodes, id, n.types, n.slots);
    log_info("node %llu (%s, %u slots) registered", (unsigned long long)id, r->name, r->slots);
    Dtf__V1__RegisterResponse response = DTF__V1__REGISTER_RESPONSE__INIT;
    response.node_id = id;
    response.lease_ms = (uint64_t)s->env->node_lease_ms;
    response.poll_ms = (uint64_t)s->env->node_lease_ms / 3;
    dtf_v1_node_service_register_reply(m->call, &response);
}

static void take_leave(struct scheduler *s, const struct call_mail *m)
{
    const Dtf__V1__LeaveRequest *r = m->request;
    struct nrpc_status st;
    struct node *n = node_table_find(&s->nodes, r->node_id);
    int code = s->env->state->ops->node_remove(s->env->state, r->node_id, &st);
    if (code && code != NRPC_NOT_FOUND) {
        nrpc_reply_status(m->call, &st);
        return;
    }
    if (n)
        remove_node(s, n, "it left");
    Dtf__V1__LeaveResponse response = DTF__V1__LEAVE_RESPONSE__INIT;
    dtf_v1_node_service_leave_reply(m->call, &response);
}

// Tells the nodes that run something of a task to stop it.
static void stop_task(struct scheduler *s, uint64_t task)
{
    uint64_t *holders;
    size_t count = 0;
    struct nrpc_status st;
    views_forget(&s->views, task);
    if (s->env->state->ops->holders(s->env->state, task, &s->arena, &holders, &count, &st))
        log_warn("task %llu: cannot find out who runs it: %s", (unsigned long long)task, st.text);
    for (size_t i = 0; i < count; i++) {
        struct node *n = node_table_find(&s->nodes, holders[i]);
        if (!n)
            continue;
        node_add_cancel(n, task);
        if (n->parked)
            answer_parked(s, n, NULL, 0);
    }
}

static void take_vetted(struct scheduler *s, struct vet *v)
{
    struct node *n = node_table_find(&s->nodes, v->node);
    if (n && n->parked)
        node_set_want(&s->nodes, n, n->want + (uint32_t)v->declined);
    if (!n || !v->count) { // its node is gone, and its lease with it; or all was declined
        vet_destroy(v);
        return;
    }
    if (!n->outbox)
        n->outbox = mem_calloc(1, sizeof *n->outbox);
    v->next = n->outbox->first;
    n->outbox->first = v;
    if (n->parked)
        answer_parked(s, n, NULL, 0);
}

static void take_hint(struct scheduler *s, const struct hint_mail *m)
{
    const struct state_hint *h = &m->hint;
    if (m->mail.kind == MAIL_VIEW)
        views_take(&s->views, &h->view);
    else if (m->mail.kind == MAIL_GONE)
        views_forget(&s->views, h->task);
    else if (m->mail.kind == MAIL_STOP)
        stop_task(s, h->task);
    else
        sched_used(s->views.sched, h->task, h->count, h->run_us);
}

static void take_mail(struct scheduler *s, int64_t now_ms)
{
    for (struct mail *m = loop_take(&s->loop), *next; m; m = next) {
        next = m->next;
        if (m->kind == MAIL_OFFER) {
            take_offer(s, (struct exchange *)m, now_ms);
        } else if (m->kind == MAIL_REGISTER) {
            take_register(s, (struct call_mail *)m, now_ms);
        } else if (m->kind == MAIL_LEAVE) {
            take_leave(s, (struct call_mail *)m);
        } else if (m->kind == MAIL_VETTED) {
            take_vetted(s, (struct vet *)((char *)m - offsetof(struct vet, mail)));
        } else if (m->kind == MAIL_GROUPS) {
            s->next_refresh_ms = 0;
            free(m);
        } else {
            take_hint(s, (struct hint_mail *)m);
            free(m);
        }
    }
}

// ---- what is due

static void start(struct scheduler *s, int64_t now_ms)
{
    struct nrpc_status st;
    uint64_t *stopping;
    size_t count;
    const struct state_ops *ops = s->env->state->ops;
    // While no scheduler ran, nobody could renew: give the nodes time to come back.
    if (ops->node_grace(s->env->state, now_ms + s->env->node_lease_ms, &st) ||
        ops->in_phase(s->env->state, MODEL_STOPPING, 0, STOPPING_MAX, &s->arena, &stopping, &count, &st)) {
        log_warn("scheduler: cannot start yet: %s", st.text);
        s->next_refresh_ms = now_ms + ENV_STORE_RETRY_MS;
        return;
    }
    s->started = true;
    for (size_t i = 0; i < count; i++)
        stop_task(s, stopping[i]);
}

static void refresh(struct scheduler *s, int64_t now_ms)
{
    struct nrpc_status st;
    s->next_refresh_ms = now_ms + REFRESH_MS;
    if (!s->started)
        start(s, now_ms);
    if (views_refresh(&s->views, now_ms, &st)) {
        log_warn("scheduler: cannot read the tasks, will try again: %s", st.text);
        s->next_refresh_ms = now_ms + ENV_STORE_RETRY_MS;
    }
}

static void renew(struct scheduler *s, int64_t now_ms)
{
    s->next_renew_ms = now_ms + s->env->node_lease_ms / 5;
    uint64_t *ids = arena_alloc(&s->arena, (HASH_COUNT(s->nodes.all) + 1) * sizeof *ids), *lost;
    size_t count = 0, lost_count = 0;
    for (struct node *n = s->nodes.all; n; n = n->hh.next)
        if (n->seen)
            ids[count++] = n->id;
    struct nrpc_status st;
    if (count && s->env->state->ops->node_renew(s->env->state, ids, count, now_ms + s->env->node_lease_ms,
                                                &s->arena, &lost, &lost_count, &st)) {
        log_warn("scheduler: cannot renew the nodes' leases, will try again: %s", st.text);
        s->next_renew_ms = now_ms + ENV_STORE_RETRY_MS;
        return;
    }
    for (struct node *n = s->nodes.all; n; n = n->hh.next)
        n->seen = false;
    for (size_t i = 0; i < lost_count; i++) {
        struct node *n = node_table_find(&s->nodes, lost[i]);
        if (n)
            remove_node(s, n, "its lease has ended");
    }
}

static void sweep(struct scheduler *s, int64_t now_ms)
{
    uint64_t *lost;
    size_t count = 0;
    struct nrpc_status st;
    if (s->env->state->ops->sweep(s->env->state, now_ms, &s->arena, &lost, &count, &s->next_sweep_ms, &st)) {
        log_warn("scheduler: cannot look for lost nodes, will try again: %s", st.text);
        s->next_sweep_ms = now_ms + ENV_STORE_RETRY_MS;
        return;
    }
    if (s->next_sweep_ms > now_ms + s->env->node_lease_ms / 4)
        s->next_sweep_ms = now_ms + s->env->node_lease_ms / 4;
    for (size_t i = 0; i < count; i++) {
        struct node *n = node_table_find(&s->nodes, lost[i]);
        log_warn("node %llu was not heard of for %lld ms: what it held is dispatched again",
                 (unsigned long long)lost[i], (long long)s->env->node_lease_ms);
        if (n)
            remove_node(s, n, "its lease has ended");
    }
}

static int64_t answer_overdue(struct scheduler *s, int64_t now_ms)
{
    struct node *n;
    while ((n = (struct node *)heap_top(&s->nodes.waits)) && n->wait.key <= now_ms)
        answer_parked(s, n, NULL, 0);
    return n ? n->wait.key : CLOCK_NEVER;
}

static int64_t earliest(const int64_t *times, size_t count)
{
    int64_t min = CLOCK_NEVER;
    for (size_t i = 0; i < count; i++)
        min = times[i] < min ? times[i] : min;
    return min;
}

int64_t scheduler_step(void *self, int64_t now_ms)
{
    struct scheduler *s = self;
    if (now_ms >= s->next_refresh_ms)
        refresh(s, now_ms);
    take_mail(s, now_ms);
    if (now_ms >= s->next_renew_ms)
        renew(s, now_ms);
    if (now_ms >= s->next_sweep_ms)
        sweep(s, now_ms);
    int64_t ripe_ms = views_ripen(&s->views, now_ms);
    dispatch(s, now_ms);
    int64_t wait_ms = answer_overdue(s, now_ms);
    arena_reset(&s->arena);
    return earliest((int64_t[]){s->next_refresh_ms, s->next_renew_ms, s->next_sweep_ms, ripe_ms, wait_ms}, 5);
}

// ---- start, stop

struct loop *scheduler_loop(struct scheduler *s)
{
    return &s->loop;
}

void scheduler_start(struct scheduler *s)
{
    loop_start(&s->loop);
}

void scheduler_stop(struct scheduler *s)
{
    loop_stop(&s->loop);
    strands_destroy(s->strands);
    s->strands = NULL;
}

static void refuse_mail(struct mail *m)
{
    if (m->kind == MAIL_OFFER)
        nrpc_reply_error(((struct exchange *)m)->call, NRPC_UNAVAILABLE, "the scheduler is stopping");
    else if (m->kind == MAIL_REGISTER || m->kind == MAIL_LEAVE)
        nrpc_reply_error(((struct call_mail *)m)->call, NRPC_UNAVAILABLE, "the scheduler is stopping");
    else if (m->kind == MAIL_VETTED)
        vet_destroy((struct vet *)((char *)m - offsetof(struct vet, mail)));
    else
        free(m);
}

void scheduler_destroy(struct scheduler *s)
{
    if (!s)
        return;
    strands_destroy(s->strands);
    for (struct mail *m = loop_take(&s->loop), *next; m; m = next) {
        next = m->next;
        refuse_mail(m);
    }
    struct node *n, *tmp;
    HASH_ITER(hh, s->nodes.all, n, tmp)
    {
        if (n->parked)
            nrpc_reply_error(node_unpark(&s->nodes, n)->call, NRPC_UNAVAILABLE, "the scheduler is stopping");
        free_outbox(n);
    }
    node_table_fini(&s->nodes);
    views_fini(&s->views);
    arena_fini(&s->arena);
    loop_fini(&s->loop);
    free(s);
}
