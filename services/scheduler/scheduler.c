// SPDX-License-Identifier: Apache-2.0
// scheduler.c: parked Exchange calls on one side, ready subtasks on the other; lib/sched decides, this
// carries out.
//
// Nodes ask (pull): a call says how many subtasks it would take and how long it may wait. A node always has a
// call parked here, through which it can also be told to stop something. Every call renews the node's lease.
#include "scheduler_internal.h"

#include "answer.h"
#include "base/clock.h"
#include "base/ids.h"
#include "base/log.h"
#include "base/utf8.h"
#include "base/version.h"
#include "dtf/v1/node.nrpc.h"
#include "versions.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    REFRESH_MS = 5000,  // hints are hints: everything is read again this long after the last time
    REFRESH_US = 20000, // of a step, when it hurries
    REFRESH_PAUSE = 9,  // times what a page took
    STOPPING_PAGE = 1000,
    IDLE_LEASES = 6, // that a node without work may be silent for
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

struct scheduler *scheduler_create(const struct env *env)
{
    struct scheduler *s = mem_calloc(1, sizeof *s);
    s->env = env;
    s->owner_id = ids_random();
    node_table_init(&s->nodes);
    views_init(&s->views, env);
    s->suspect = env->no_quarantine ? NULL : suspect_create();
    s->strands = strands_create(env->pool);
    s->last_report = &s->reports;
    arena_init(&s->arena, 0);
    loop_init(&s->loop, "scheduler", scheduler_step, s);
    s->groups = (struct groups_reading){.env = env, .loop = &s->loop};
    arena_init(&s->groups.arena, 0);
    return s;
}

// ---- quota groups

static void groups_run(struct pool_job *job)
{
    struct groups_reading *g = (struct groups_reading *)job;
    struct nrpc_status st;
    g->code = g->env->records->ops->groups(g->env->records, &g->arena, &g->groups, &g->count, &st);
    if (g->code)
        log_debug("scheduler: cannot read the quota groups, will try again: %s", st.text);
    loop_post(g->loop, &g->mail);
}

static void groups_read(struct scheduler *s)
{
    struct groups_reading *g = &s->groups;
    g->again = g->under_way;
    if (g->under_way)
        return;
    g->under_way = true;
    g->job.run = groups_run;
    g->mail.kind = MAIL_GROUPS_READ;
    arena_reset(&g->arena);
    pool_post(s->env->pool, &g->job);
}

static void groups_take(struct scheduler *s)
{
    struct groups_reading *g = &s->groups;
    for (size_t i = 0; g->code == NRPC_OK && i < g->count; i++)
        sched_set_group(s->views.sched, g->groups[i].name, g->groups[i].quota);
    g->under_way = false;
    if (g->again)
        groups_read(s);
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
    {STATE_HINT_VIEW, MAIL_VIEW},       {STATE_HINT_STOP, MAIL_STOP},       {STATE_HINT_CLOSING, MAIL_GONE},
    {STATE_HINT_CLOSED, MAIL_GONE},     {STATE_HINT_SETTLED, MAIL_SETTLED}, {STATE_HINT_RESYNC, MAIL_RESYNC},
    {STATE_HINT_DAMAGED, MAIL_DAMAGED},
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

// ---- what arrives

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
    if (versions_check_node(r->protocol, st))
        return st->code;
    if (strlen(r->name) > DTF_NAME_MAX || !utf8_is_valid(r->name))
        return status_set(st, NRPC_INVALID_ARGUMENT, "name: over %d bytes, or not UTF-8", DTF_NAME_MAX);
    if (strlen(r->host) > 255 || !utf8_is_valid(r->host))
        return status_set(st, NRPC_INVALID_ARGUMENT, "host: over 255 bytes, or not UTF-8");
    if (r->slots < 1 || r->slots > DTF_SLOTS_MAX)
        return status_set(st, NRPC_INVALID_ARGUMENT, "slots: %u is not in 1..%d", r->slots, DTF_SLOTS_MAX);
    for (size_t i = 0; i < r->n_types; i++)
        if (!*r->types[i] || strlen(r->types[i]) > DTF_NAME_MAX || strchr(r->types[i], '\n') ||
            !utf8_is_valid(r->types[i]))
            return status_set(st, NRPC_INVALID_ARGUMENT, "types: entry %zu is no task type's name", i);
    return NRPC_OK;
}

static void answer_registered(struct scheduler *s, const struct call_mail *m, struct state_holder who,
                              const struct state_holding *h)
{
    const Dtf__V1__RegisterRequest *r = m->request;
    Dtf__V1__RegisterResponse response = DTF__V1__REGISTER_RESPONSE__INIT;
    response.node_id = who.node;
    response.session = who.session;
    response.protocol = VERSION_NODE_PROTOCOL;
    response.lease_ms = (uint64_t)s->env->node_lease_ms;
    response.poll_ms = (uint64_t)scheduler_poll_ms(s);
    response.idle_poll_ms = (uint64_t)s->env->node_lease_ms * IDLE_LEASES;
    response.dropped = answer_dropped(&s->arena, r->holding, h->kept, h->count, &response.n_dropped);
    response.cancel_tasks = h->stops;
    response.n_cancel_tasks = h->stop_count;
    dtf_v1_node_service_register_reply(m->call, &response);
}

static void take_register(struct scheduler *s, const struct call_mail *m, int64_t now_ms)
{
    const Dtf__V1__RegisterRequest *r = m->request;
    struct nrpc_status st;
    struct state_node n = {
        .session = r->session,
        .name = r->name,
        .host = r->host,
        .pid = r->pid,
        .slots = r->slots,
        .lease_until_ms = now_ms + s->env->node_lease_ms,
    };
    struct state_holding h = {.refs = exchange_refs(&s->arena, r->holding, r->n_holding),
                              .count = r->n_holding,
                              .former = {r->former_id, r->former_session}};
    uint64_t id;
    if (nrpc_call_is_cancelled(m->call)) { // it will ask again, and one number is enough
        nrpc_reply_error(m->call, NRPC_CANCELLED, "the caller has given up");
        return;
    }
    if (check_register(r, &st) ||
        (n.types = join_types(&s->arena, r->types, r->n_types),
         s->env->state->ops->node_add(s->env->state, &n, &h, &s->arena, &id, &st))) {
        nrpc_reply_status(m->call, &st);
        return;
    }
    struct node *known = node_table_find(&s->nodes, id); // the call was repeated, or the number came again
    if (known)
        exchange_drop_node(s, known, "it registered again");
    struct state_holder who = {id, r->session};
    node_table_add(&s->nodes, who, &n);
    log_info("node %llu (%s, %u slots) registered", (unsigned long long)id, r->name, r->slots);
    answer_registered(s, m, who, &h);
}

static void take_leave(struct scheduler *s, const struct call_mail *m)
{
    const Dtf__V1__LeaveRequest *r = m->request;
    struct nrpc_status st;
    struct state_holder who = {r->node_id, r->session};
    struct node *n = node_table_find(&s->nodes, r->node_id);
    int code = s->env->state->ops->node_remove(s->env->state, who, &st);
    if (code && code != NRPC_NOT_FOUND) {
        nrpc_reply_status(m->call, &st);
        return;
    }
    if (n && (!who.session || n->session == who.session))
        exchange_drop_node(s, n, "it left");
    Dtf__V1__LeaveResponse response = DTF__V1__LEAVE_RESPONSE__INIT;
    dtf_v1_node_service_leave_reply(m->call, &response);
}

// Tells the nodes that run something of a task to stop it. Those that this process has not heard of learn it
// when they are next heard of, wherever that is: they must say what they hold then.
static void stop_task(struct scheduler *s, uint64_t task, int64_t now_ms)
{
    uint64_t *holders;
    size_t count = 0;
    struct nrpc_status st;
    views_forget(&s->views, task);
    if (s->env->state->ops->holders(s->env->state, task, &s->arena, &holders, &count, &st)) {
        trouble_say(s->env->trouble, &st, "task %llu: cannot find out who runs it", (unsigned long long)task);
        s->started = false; // asks for all that are stopping
        s->next_refresh_ms = now_ms + ENV_STORE_RETRY_MS;
    }
    for (size_t i = 0; i < count; i++) {
        struct node *n = node_table_find(&s->nodes, holders[i]);
        if (!n)
            continue;
        node_add_cancel(n, task);
        if (n->parked)
            exchange_answer_parked(s, n, NULL, 0);
    }
}

// Whether what was vetted may go: its task may have been stopped or paused meanwhile.
static bool may_go(struct scheduler *s, const struct vet *v)
{
    struct state_progress p;
    struct nrpc_status st;
    if (s->env->state->ops->progress(s->env->state, &v->work->task, 1, &s->arena, &p, &st))
        return false;
    return p.found && p.phase < MODEL_STOPPING && !p.paused;
}

static void give_back(struct scheduler *s, const struct vet *v, int64_t now_ms)
{
    struct nrpc_status st;
    struct state_ref *refs = arena_alloc(&s->arena, v->count * sizeof *refs);
    for (size_t i = 0; i < v->count; i++)
        refs[i] = (struct state_ref){v->work[i].task, v->work[i].seq, v->work[i].attempt};
    const struct state_holder by = {.node = v->node};
    struct node *n = node_table_find(&s->nodes, v->node);
    if (s->env->state->ops->requeue(s->env->state, refs, v->count, &by, STATE_RETURNED, now_ms, &st))
        exchange_doubt(s, n, st.text);
}

static void take_vetted(struct scheduler *s, struct vet *v, int64_t now_ms)
{
    struct node *n = node_table_find(&s->nodes, v->node);
    if (v->count)
        views_may_accept(&s->views, v->task);
    else
        views_declined(&s->views, v->task, v->declined, now_ms);
    quarantine_returned(s, v->node, v->task, v->declined);
    if (n)
        node_add_slots(&s->nodes, n, v->declined);
    bool goes = n && v->count && may_go(s, v);
    if (n && v->count && !goes) {
        give_back(s, v, now_ms);
        quarantine_returned(s, v->node, v->task, v->count);
        node_add_slots(&s->nodes, n, v->count);
    }
    if (!goes) { // or its node is gone, and its lease with it; or all was declined
        vet_destroy(v);
        return;
    }
    struct vet **last = &n->outbox;
    while (*last)
        last = &(*last)->next;
    *last = v;
    if (n->parked)
        exchange_answer_parked(s, n, NULL, 0);
}

// Hints may have been lost, or the state's last moments.
static void resync(struct scheduler *s)
{
    s->next_refresh_ms = s->next_renew_ms = s->next_sweep_ms = s->next_dispatch_ms =
        0; // the clock may have jumped
    s->started = false;
    s->leads = false;       // who leads gives all nodes time to be heard of
    views_reset(&s->views); // a version may come again, with another meaning
    for (struct node *n = s->nodes.all, *next; n; n = next) {
        next = n->hh.next;
        exchange_doubt(s, n, "the state may have lost something");
    }
}

// What runs of it is nobody's: nodes that may have some of it say what they hold, and learn that.
static void drop_damaged(struct scheduler *s, const struct state_view *view)
{
    const char *type = views_type(&s->views, view->task);
    for (struct node *n = s->nodes.all, *next; n; n = next) {
        next = n->hh.next;
        if (!type || node_can_run(n, type))
            exchange_doubt(s, n, "the state has lost a task");
    }
    views_drop(&s->views, view);
}

static void take_hint(struct scheduler *s, const struct hint_mail *m, int64_t now_ms)
{
    const struct state_hint *h = &m->hint;
    if (m->mail.kind == MAIL_RESYNC)
        resync(s);
    else if (m->mail.kind == MAIL_VIEW)
        views_take(&s->views, &h->view);
    else if (m->mail.kind == MAIL_DAMAGED)
        drop_damaged(s, &h->view);
    else if (m->mail.kind == MAIL_GONE)
        views_forget(&s->views, h->task);
    else if (m->mail.kind == MAIL_STOP)
        stop_task(s, h->task, now_ms);
    else {
        sched_used(s->views.sched, h->task, h->count, h->run_us);
        views_may_accept(&s->views, h->task);
    }
}

static void take_mail(struct scheduler *s, int64_t now_ms)
{
    for (struct mail *m = loop_take(&s->loop), *next; m; m = next) {
        next = m->next;
        if (m->kind == MAIL_OFFER) {
            exchange_take(s, (struct exchange *)m, now_ms);
        } else if (m->kind == MAIL_REGISTER) {
            take_register(s, (struct call_mail *)m, now_ms);
        } else if (m->kind == MAIL_LEAVE) {
            take_leave(s, (struct call_mail *)m);
        } else if (m->kind == MAIL_VETTED) {
            take_vetted(s, (struct vet *)((char *)m - offsetof(struct vet, mail)), now_ms);
        } else if (m->kind == MAIL_GROUPS) {
            groups_read(s);
            free(m);
        } else if (m->kind == MAIL_GROUPS_READ) {
            groups_take(s);
        } else {
            take_hint(s, (struct hint_mail *)m, now_ms);
            free(m);
        }
    }
}

// ---- what is due

// Sees to it that whoever runs something of a task that is stopping is told.
static void start(struct scheduler *s, int64_t now_ms)
{
    struct nrpc_status st;
    uint64_t *stopping, after = 0;
    size_t count = STOPPING_PAGE;
    const struct state_ops *ops = s->env->state->ops;
    s->started = true;
    while (count == STOPPING_PAGE) {
        if (ops->in_phase(s->env->state, MODEL_STOPPING, after, STOPPING_PAGE, &s->arena, &stopping, &count,
                          &st)) {
            log_warn("scheduler: cannot start yet: %s", st.text);
            s->started = false;
            s->next_refresh_ms = now_ms + ENV_STORE_RETRY_MS;
            return;
        }
        for (size_t i = 0; i < count; i++)
            stop_task(s, stopping[i], now_ms);
        after = count ? stopping[count - 1] : after;
    }
}

// Page by page, with pauses in which the store belongs to others; unless something may be unknown.
static int64_t refresh_views(struct scheduler *s, int64_t now_ms, struct nrpc_status *st)
{
    int64_t start_us = clock_mono_us(), took_us = 0;
    bool more = true, hurries = s->views.told || s->views.walk_told;
    while (more && took_us < (hurries ? REFRESH_US : 1)) {
        if (views_refresh(&s->views, now_ms, &more, st))
            return now_ms + ENV_STORE_RETRY_MS;
        took_us = clock_mono_us() - start_us;
    }
    return !more ? now_ms + REFRESH_MS : hurries ? now_ms : now_ms + 1 + took_us * REFRESH_PAUSE / 1000;
}

static void refresh(struct scheduler *s, int64_t now_ms)
{
    struct nrpc_status st = {0};
    if (!s->views.walks)
        groups_read(s);
    if (!s->started)
        start(s, now_ms);
    bool starts = s->started;
    int64_t next_ms = refresh_views(s, now_ms, &st);
    if (st.code)
        trouble_say(s->env->trouble, &st, "scheduler: cannot read the tasks");
    s->next_refresh_ms = starts ? next_ms : now_ms + ENV_STORE_RETRY_MS;
}

static int64_t answer_overdue(struct scheduler *s, int64_t now_ms)
{
    struct node *n;
    while ((n = (struct node *)heap_top(&s->nodes.waits)) && n->wait.key <= now_ms)
        if (!exchange_wait_on(s, n, now_ms))
            exchange_answer_parked(s, n, NULL, 0);
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
    leases_notice_jump(s, now_ms);
    if (now_ms >= s->next_refresh_ms)
        refresh(s, now_ms);
    take_mail(s, now_ms);
    if (now_ms >= s->next_renew_ms)
        leases_renew(s, now_ms);
    if (now_ms >= s->next_sweep_ms)
        leases_sweep(s, now_ms);
    int64_t ripe_ms = views_ripen(&s->views, now_ms), probe_ms = quarantine_tick(s, now_ms);
    exchange_dispatch(s, now_ms);
    int64_t note_ms = sick_tick(s, now_ms);
    int64_t wait_ms = answer_overdue(s, now_ms), doubt_ms = finds_tick(&s->views.finds, now_ms);
    arena_reset(&s->arena);
    return earliest((int64_t[]){s->next_refresh_ms, s->next_renew_ms, s->next_sweep_ms, ripe_ms, wait_ms,
                                doubt_ms, probe_ms, note_ms},
                    8);
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

static void refuse_mail(struct mail *m)
{
    if (m->kind == MAIL_OFFER)
        nrpc_reply_error(((struct exchange *)m)->call, NRPC_UNAVAILABLE, "the scheduler is stopping");
    else if (m->kind == MAIL_REGISTER || m->kind == MAIL_LEAVE)
        nrpc_reply_error(((struct call_mail *)m)->call, NRPC_UNAVAILABLE, "the scheduler is stopping");
    else if (m->kind == MAIL_VETTED)
        vet_destroy((struct vet *)((char *)m - offsetof(struct vet, mail)));
    else if (m->kind != MAIL_GROUPS_READ) // that one is part of the scheduler
        free(m);
}

static void refuse_all(struct scheduler *s)
{
    for (struct mail *m = loop_take(&s->loop), *next; m; m = next) {
        next = m->next;
        refuse_mail(m);
    }
    struct node *n, *tmp;
    HASH_ITER(hh, s->nodes.all, n, tmp)
    {
        if (n->parked)
            nrpc_reply_error(node_unpark(&s->nodes, n)->call, NRPC_UNAVAILABLE, "the scheduler is stopping");
    }
}

void scheduler_stop(struct scheduler *s)
{
    loop_stop(&s->loop);
    strands_destroy(s->strands);
    s->strands = NULL;
    refuse_all(s);
}

void scheduler_destroy(struct scheduler *s)
{
    if (!s)
        return;
    strands_destroy(s->strands);
    refuse_all(s); // what came after the stop
    struct node *n, *tmp;
    HASH_ITER(hh, s->nodes.all, n, tmp)
    {
        exchange_free_outbox(n);
    }
    node_table_fini(&s->nodes);
    suspect_destroy(s->suspect);
    free(s->to_note);
    views_fini(&s->views);
    arena_fini(&s->arena);
    arena_fini(&s->groups.arena);
    loop_fini(&s->loop);
    free(s);
}
