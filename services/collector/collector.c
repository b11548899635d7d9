// SPDX-License-Identifier: Apache-2.0
// collector.c: gathers the results that wait into one batch, settles them, and passes their calls on.
//
// Results of types without a collector callback are settled together, in one step of the store. The others go
// to their task's strand, where the callback runs and settles them; so a callback that blocks delays its own
// task, and the acknowledgement of those results, only. A call is passed on when all its results are settled.
#include "collector.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/utf8.h"
#include "dtf.h"
#include "finds.h"
#include "review.h"

#include <stdlib.h>
#include <string.h>
#include <uthash.h>
#include <utlist.h>

enum {
    MESSAGE_MAX = 1024,
    KNOW_MAX = 500, // tasks that are looked up in one call
    CLOSING_PAGE = 1000,
    TAKE_MS = 5000, // how long a closing task waits when its collector was killed
    LOOK_MS = TAKE_MS / 4,
    REVIEW_PATIENCE_MS = 20, // for callbacks, before a node's call goes on without them
    LONG_REVIEW_MS = 5000,   // from then on leases are extended whose results wait for it
    EXTEND_MS = 15000,       // longer than a node waits before it hands results in again
};

enum mail_kind {
    MAIL_RESULTS,
    MAIL_CLOSING,
    MAIL_CLOSED_HINT,
    MAIL_RESYNC,
    MAIL_REVIEWED,
    MAIL_CLOSING_DONE
};

struct hint_mail {
    struct mail mail;
    uint64_t task;
};

struct known { // the type of a task whose results arrive
    UT_hash_handle hh;
    uint64_t task;
    const struct dtf_task_type *type; // NULL: has no callback for results
};

struct batch {                 // the results of one exchange; in its call's memory
    struct batch *prev, *next; // among those of the step, then among those that wait
    struct exchange *x;
    struct review *reviews; // not over yet
    int64_t until_ms;       // when the call goes on without them
    struct nrpc_status st;  // the first failure
};

struct collector {
    const struct env *env;
    struct loop loop;
    struct strands *strands;
    struct known *known;
    struct arena arena;           // of the step
    struct state_settle *entries; // of the step: results without a callback, and whose they are
    struct batch **owners;
    size_t entry_count, entry_capacity, owner_capacity;
    struct batch *batches;    // that arrived in this step
    struct batch *waiting;    // for reviews, in the order in which they came
    struct review *reviews;   // under way, a hash by task and node
    struct closing *closings; // tasks that are this collector's to close: a list by next
    bool told;                // of something to close; or the state did not answer
    struct finds finds;
    int64_t next_look_ms;
};

struct collector *collector_create(const struct env *env)
{
    struct collector *c = mem_calloc(1, sizeof *c);
    c->env = env;
    c->strands = strands_create(env->pool);
    c->told = true;
    finds_init(&c->finds, "collector", env->finds);
    arena_init(&c->arena, 0);
    loop_init(&c->loop, "collector", collector_step, c);
    return c;
}

void collector_take(struct collector *c, struct exchange *x)
{
    x->mail.kind = MAIL_RESULTS;
    loop_post(&c->loop, &x->mail);
}

static const struct {
    enum state_hint_kind hint;
    enum mail_kind mail;
} hint_mails[] = {
    {STATE_HINT_CLOSING, MAIL_CLOSING},
    {STATE_HINT_CLOSED, MAIL_CLOSED_HINT},
    {STATE_HINT_RESYNC, MAIL_RESYNC},
};

void collector_hint(struct collector *c, const struct state_hint *hint)
{
    for (size_t i = 0; i < sizeof hint_mails / sizeof *hint_mails; i++)
        if (hint_mails[i].hint == hint->kind) {
            struct hint_mail *m = mem_alloc(sizeof *m);
            *m = (struct hint_mail){{NULL, (int)hint_mails[i].mail}, hint->task};
            loop_post(&c->loop, &m->mail);
        }
}

// ---- reading results

// Longer than a subtask may run is a mistake; the scheduler's sums are to stay within their type.
#define RUN_US_MAX (DTF_SUBTASK_TIMEOUT_MAX_MS * (int64_t)1000)

static int check_result(const Dtf__V1__Result *r, struct nrpc_status *st)
{
    if (r->kind < DTF__V1__RESULT_KIND__RESULT_SUCCESS || r->kind > DTF__V1__RESULT_KIND__RESULT_LOST)
        return status_set(st, NRPC_INVALID_ARGUMENT, "result of subtask %llu: unknown kind %d",
                          (unsigned long long)r->subtask_id, (int)r->kind);
    if (strlen(r->message) > MESSAGE_MAX)
        return status_set(st, NRPC_INVALID_ARGUMENT, "result of subtask %llu: message over %d bytes",
                          (unsigned long long)r->subtask_id, MESSAGE_MAX);
    if (r->body.len > DTF_RESULT_BODY_MAX)
        return status_set(st, NRPC_INVALID_ARGUMENT, "result of subtask %llu: body over %d bytes",
                          (unsigned long long)r->subtask_id, DTF_RESULT_BODY_MAX);
    return NRPC_OK;
}

// A result is not to be lost for the sake of its message's last character: what is not UTF-8 becomes '?'.
static struct state_settle read_result(struct state_holder by, uint64_t task, const Dtf__V1__Result *r)
{
    utf8_repair(r->message);
    return (struct state_settle){
        .ref = {task, r->subtask_id, r->attempt},
        .by = by,
        .kind = (enum model_kind)r->kind,
        .code = r->code,
        .message = r->message,
        .body = {r->body.data, r->body.len},
        .run_us = r->run_us < RUN_US_MAX ? (int64_t)r->run_us : RUN_US_MAX,
    };
}

static struct known *known_find(struct collector *c, uint64_t task)
{
    struct known *k;
    HASH_FIND(hh, c->known, &task, sizeof task, k);
    return k;
}

static void know(struct collector *c, const struct state_progress *p)
{
    if (!p->found || known_find(c, p->task))
        return;
    const struct dtf_task_type *type = registry_find(p->type);
    struct known *k = mem_calloc(1, sizeof *k);
    k->task = p->task;
    k->type = type && type->collector && type->collector->after_execution ? type : NULL;
    HASH_ADD(hh, c->known, task, sizeof k->task, k);
}

static int compare_tasks(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

// Many nodes bring results of one task: sorts, and leaves each once. Returns how many there are.
static size_t each_once(uint64_t *tasks, size_t count)
{
    size_t n = 0;
    if (count)
        qsort(tasks, count, sizeof *tasks, compare_tasks);
    for (size_t i = 0; i < count; i++)
        if (!n || tasks[i] != tasks[n - 1])
            tasks[n++] = tasks[i];
    return n;
}

// The tasks of all that arrived are looked up together; what cannot be found now is asked for one by one.
static void know_all(struct collector *c, const struct mail *mails)
{
    struct nrpc_status st;
    uint64_t *tasks = NULL;
    size_t count = 0, capacity = 0;
    for (const struct mail *m = mails; m; m = m->next) {
        if (m->kind != MAIL_RESULTS)
            continue;
        const Dtf__V1__ExchangeRequest *r = ((const struct exchange *)m)->request;
        for (size_t i = 0; i < r->n_results && count < KNOW_MAX; i++)
            if (!known_find(c, r->results[i]->task_id)) {
                mem_grow(&tasks, &capacity, count + 1, sizeof *tasks);
                tasks[count++] = r->results[i]->task_id;
            }
    }
    count = each_once(tasks, count);
    struct state_progress *p = arena_alloc(&c->arena, (count + 1) * sizeof *p);
    if (count > 1 && c->env->state->ops->progress(c->env->state, tasks, count, &c->arena, p, &st) == NRPC_OK)
        for (size_t i = 0; i < count; i++)
            know(c, &p[i]);
    free(tasks);
}

// The type of a task, if it has a callback for results.
static int type_of(struct collector *c, uint64_t task, const struct dtf_task_type **out,
                   struct nrpc_status *st)
{
    struct known *k = known_find(c, task);
    *out = NULL;
    if (!k) {
        struct state_progress p;
        int code = c->env->state->ops->progress(c->env->state, &task, 1, &c->arena, &p, st);
        if (code)
            return code;
        know(c, &p);
        k = known_find(c, task);
    }
    *out = k ? k->type : NULL; // not found: its results are stale
    return NRPC_OK;
}

static void forget(struct collector *c, uint64_t task)
{
    struct known *k = known_find(c, task);
    if (!k)
        return;
    HASH_DEL(c->known, k);
    free(k);
}

static void add_plain(struct collector *c, struct batch *b, const Dtf__V1__TaskResults *t)
{
    size_t need = c->entry_count + t->n_results;
    mem_grow(&c->entries, &c->entry_capacity, need, sizeof *c->entries);
    mem_grow(&c->owners, &c->owner_capacity, need, sizeof(struct batch *));
    for (size_t i = 0; i < t->n_results; i++) {
        c->owners[c->entry_count] = b;
        c->entries[c->entry_count++] = read_result(exchange_holder(b->x), t->task_id, t->results[i]);
    }
}

static bool is_stopping(struct collector *c, uint64_t task)
{
    struct state_progress p;
    struct nrpc_status st;
    return c->env->state->ops->progress(c->env->state, &task, 1, &c->arena, &p, &st) == NRPC_OK && p.found &&
           p.phase >= MODEL_STOPPING;
}

// Their subtasks have ended: their leases are not to.
static void extend(struct collector *c, struct exchange *x, const Dtf__V1__TaskResults *t, int64_t now_ms)
{
    struct nrpc_status st;
    struct state_holder by = exchange_holder(x);
    struct state_ref *refs = arena_alloc(&c->arena, t->n_results * sizeof *refs);
    for (size_t i = 0; i < t->n_results; i++)
        refs[i] = (struct state_ref){t->task_id, t->results[i]->subtask_id, t->results[i]->attempt};
    if (c->env->state->ops->extend(c->env->state, refs, t->n_results, &by, now_ms + EXTEND_MS, &st))
        trouble_say(c->env->trouble, &st, "collector: cannot extend %zu leases", t->n_results);
}

// Results of a task that has others from this node under review: the node keeps them and hands them in again.
// The state is asked nothing, unless it takes long.
static void put_off(struct collector *c, struct batch *b, const struct review *r,
                    const Dtf__V1__TaskResults *t, int64_t now_ms)
{
    bool is_long = now_ms - r->since_ms >= LONG_REVIEW_MS;
    if (is_long && is_stopping(c, t->task_id)) { // its end does not wait for callbacks
        add_plain(c, b, t);
        return;
    }
    exchange_later(b->x, t->task_id);
    if (is_long)
        extend(c, b->x, t, now_ms);
}

// One review of a task's results from a node at a time.
static void take_reviewed(struct collector *c, struct batch *b, const struct dtf_task_type *type,
                          const Dtf__V1__TaskResults *t, int64_t now_ms)
{
    struct review_key key = {t->task_id, b->x->request->node_id};
    unsigned hash = (unsigned)(key.task * UINT64_C(0x9e3779b97f4a7c15) >> 32) ^ (unsigned)key.node;
    struct review *r;
    HASH_FIND_BYHASHVALUE(hh, c->reviews, &key, sizeof key, hash, r);
    if (r && r->batch != b) {
        put_off(c, b, r, t, now_ms);
        return;
    }
    if (!r) {
        r = review_create(c->env, &c->loop, MAIL_REVIEWED, type, key);
        r->batch = b;
        r->since_ms = now_ms;
        LL_PREPEND(b->reviews, r);
        HASH_ADD_BYHASHVALUE(hh, c->reviews, key, sizeof key, hash, r);
    }
    for (size_t i = 0; i < t->n_results; i++) {
        struct state_settle e = read_result(exchange_holder(b->x), t->task_id, t->results[i]);
        review_add(r, &e);
    }
}

static int check_results(const Dtf__V1__ExchangeRequest *r, struct nrpc_status *st)
{
    if (!r->node_id)
        return status_set(st, NRPC_NOT_FOUND, "node 0 is not registered");
    for (size_t i = 0; i < r->n_results; i++)
        for (size_t k = 0; k < r->results[i]->n_results; k++)
            if (check_result(r->results[i]->results[k], st))
                return st->code;
    return NRPC_OK;
}

static void take_results(struct collector *c, struct exchange *x, int64_t now_ms)
{
    struct nrpc_status st;
    struct batch *b = nrpc_call_alloc(x->call, sizeof *b);
    if (!b || check_results(x->request, &st)) {
        if (b)
            nrpc_reply_status(x->call, &st);
        else
            nrpc_reply_error(x->call, NRPC_RESOURCE_EXHAUSTED, "the results are too large");
        return;
    }
    *b = (struct batch){.x = x, .until_ms = now_ms + REVIEW_PATIENCE_MS};
    LL_PREPEND(c->batches, b);
    for (size_t i = 0; i < x->request->n_results && b->st.code == NRPC_OK; i++) {
        const Dtf__V1__TaskResults *t = x->request->results[i];
        const struct dtf_task_type *type;
        if (!t->n_results)
            continue;
        int code = type_of(c, t->task_id, &type, &st);
        if (code == NRPC_UNAVAILABLE)
            exchange_later(x, t->task_id);
        else if (code)
            b->st = st;
        if (code)
            continue;
        if (type)
            take_reviewed(c, b, type, t, now_ms);
        else
            add_plain(c, b, t);
    }
    for (struct review *r = b->reviews; r; r = r->next)
        strands_post(c->strands, r->key.task, &r->job);
}

// ---- settling

static void fail_plain(struct collector *c, const struct nrpc_status *st)
{
    trouble_say(c->env->trouble, st, "collector: cannot settle %zu results, their nodes keep them",
                c->entry_count);
    for (size_t i = 0; i < c->entry_count; i++)
        if (c->owners[i]->st.code == NRPC_OK)
            c->owners[i]->st = *st;
}

static void settle_plain(struct collector *c, int64_t now_ms)
{
    if (!c->entry_count)
        return;
    struct nrpc_status st;
    enum state_verdict *verdicts = arena_alloc(&c->arena, c->entry_count * sizeof *verdicts);
    if (c->env->state->ops->settle(c->env->state, now_ms, c->entries, c->entry_count, verdicts, &st))
        fail_plain(c, &st);
    else
        for (size_t i = 0; i < c->entry_count; i++) {
            c->owners[i]->x->stale += verdicts[i] == STATE_STALE;
            if (verdicts[i] == STATE_UNHEARD)
                exchange_later(c->owners[i]->x, c->entries[i].ref.task);
        }
    c->entry_count = 0;
}

// A call whose results are all settled, or put off.
static void pass_on(struct collector *c, struct batch *b)
{
    if (b->st.code)
        nrpc_reply_status(b->x->call, &b->st);
    else
        c->env->offer(c->env->scheduler, b->x);
}

static void note_review(struct collector *c, struct review *r)
{
    struct batch *b = r->batch;
    b->x->stale += r->stale;
    if (r->st.code == NRPC_UNAVAILABLE)
        exchange_later(b->x, r->key.task);
    else if (r->st.code && !b->st.code)
        b->st = r->st;
    LL_DELETE(b->reviews, r);
    if (b->reviews)
        return;
    DL_DELETE(c->waiting, b);
    pass_on(c, b);
}

static void reviewed(struct collector *c, struct review *r)
{
    HASH_DEL(c->reviews, r);
    if (r->batch)
        note_review(c, r);
    else if (r->st.code)
        trouble_say(c->env->trouble, &r->st,
                    "collector: cannot settle results of task %llu, their node keeps them",
                    (unsigned long long)r->key.task);
    review_destroy(r);
}

// Nobody waits long for another task's callback: the call goes on, and the node keeps what is still under
// review. Returns when to look again.
static int64_t look_after_waiting(struct collector *c, int64_t now_ms)
{
    struct batch *b;
    while ((b = c->waiting) && b->until_ms <= now_ms) {
        for (struct review *r = b->reviews; r; r = r->next) {
            exchange_later(b->x, r->key.task);
            r->batch = NULL;
        }
        DL_DELETE(c->waiting, b);
        pass_on(c, b);
    }
    return b ? b->until_ms : CLOCK_NEVER;
}

// ---- the end of tasks

static void post_closing(struct collector *c, uint64_t task)
{
    struct closing *job = mem_calloc(1, sizeof *job);
    *job = (struct closing){
        .job.run = closing_run, .mail.kind = MAIL_CLOSING_DONE, .env = c->env, .loop = &c->loop};
    job->task = task;
    job->next = c->closings;
    c->closings = job;
    strands_post(c->strands, task, &job->job);
}

static void closing_done(struct collector *c, struct closing *done, int64_t now_ms)
{
    struct closing **at = &c->closings;
    if (done->retry) {
        done->waits = true;
        c->next_look_ms = now_ms + ENV_STORE_RETRY_MS;
        return;
    }
    while (*at != done)
        at = &(*at)->next;
    *at = done->next;
    free(done);
}

static void try_again(struct collector *c)
{
    for (struct closing *k = c->closings; k; k = k->next)
        if (k->waits) {
            k->waits = false;
            strands_post(c->strands, k->task, &k->job);
        }
}

// While a callback runs its task stays ours.
static int hold(struct collector *c, int64_t now_ms, struct nrpc_status *st)
{
    size_t count = 0, i = 0;
    for (struct closing *k = c->closings; k; k = k->next)
        count++;
    uint64_t *tasks = arena_alloc(&c->arena, (count + 1) * sizeof *tasks);
    for (struct closing *k = c->closings; k; k = k->next)
        tasks[i++] = k->task;
    return count ? c->env->state->ops->hold(c->env->state, tasks, count, now_ms + TAKE_MS, st) : NRPC_OK;
}

// A task whose time is up does not wait for a callback that does not return.
static void give_up(struct collector *c, uint64_t task, int64_t now_ms)
{
    char why[120];
    struct state_progress p;
    struct nrpc_status st;
    const struct state_ops *ops = c->env->state->ops;
    if (!callbacks_stuck_ms(c->env->callbacks, task, why, sizeof why) ||
        ops->progress(c->env->state, &task, 1, &c->arena, &p, &st) || !p.found || p.deadline_ms > now_ms)
        return;
    log_warn("task %llu is closed without its last callbacks: %s", (unsigned long long)task, why);
    if (ops->close_task(c->env->state, task, why, &st))
        trouble_say(c->env->trouble, &st, "task %llu: cannot close it", (unsigned long long)task);
}

// Takes the tasks that are to be closed.
static void look(struct collector *c, int64_t now_ms)
{
    uint64_t *tasks;
    size_t count = 0;
    struct nrpc_status st;
    c->next_look_ms = now_ms + LOOK_MS;
    try_again(c);
    for (struct closing *k = c->closings; k; k = k->next)
        give_up(c, k->task, now_ms);
    if (hold(c, now_ms, &st) ||
        c->env->state->ops->take(c->env->state, MODEL_CLOSING, now_ms, now_ms + TAKE_MS, CLOSING_PAGE,
                                 &c->arena, &tasks, &count, &st)) {
        trouble_say(c->env->trouble, &st, "collector: cannot look for tasks to close");
        c->next_look_ms = now_ms + ENV_STORE_RETRY_MS;
        c->told = true;
        return;
    }
    for (size_t i = 0; i < count; i++) {
        if (!c->told)
            finds_unheard(&c->finds, tasks[i], STATE_HINT_CLOSING, "it is to be closed", now_ms);
        post_closing(c, tasks[i]);
    }
    c->told = count == CLOSING_PAGE;
    if (c->told)
        c->next_look_ms = now_ms;
}

// ---- the loop

static void take_hint(struct collector *c, const struct hint_mail *m, int64_t now_ms)
{
    forget(c, m->task);
    if (m->mail.kind == MAIL_RESYNC)
        finds_excuse(&c->finds);
    if (m->mail.kind == MAIL_CLOSING) {
        finds_heard(&c->finds, m->task, STATE_HINT_CLOSING);
        finds_remember(&c->finds, m->task);
    }
    if (m->mail.kind == MAIL_CLOSED_HINT)
        return;
    c->told = true;
    c->next_look_ms = now_ms;
}

static void take_mail(struct collector *c, int64_t now_ms)
{
    struct mail *mails = loop_take(&c->loop);
    know_all(c, mails);
    for (struct mail *m = mails, *next; m; m = next) {
        next = m->next;
        if (m->kind == MAIL_RESULTS) {
            take_results(c, (struct exchange *)m, now_ms);
        } else if (m->kind == MAIL_REVIEWED) {
            reviewed(c, (struct review *)((char *)m - offsetof(struct review, mail)));
        } else if (m->kind == MAIL_CLOSING_DONE) {
            closing_done(c, (struct closing *)((char *)m - offsetof(struct closing, mail)), now_ms);
        } else {
            take_hint(c, (struct hint_mail *)m, now_ms);
            free(m);
        }
    }
}

int64_t collector_step(void *self, int64_t now_ms)
{
    struct collector *c = self;
    take_mail(c, now_ms);
    settle_plain(c, now_ms);
    struct batch *batches = c->batches;
    c->batches = NULL;
    for (struct batch *b = batches, *next; b; b = next) {
        next = b->next;
        if (b->reviews)
            DL_APPEND(c->waiting, b);
        else
            pass_on(c, b);
    }
    int64_t wait_ms = look_after_waiting(c, now_ms);
    if (now_ms >= c->next_look_ms)
        look(c, now_ms);
    arena_reset(&c->arena);
    int64_t doubt_ms = finds_tick(&c->finds, now_ms);
    wait_ms = wait_ms < doubt_ms ? wait_ms : doubt_ms;
    return wait_ms < c->next_look_ms ? wait_ms : c->next_look_ms;
}

struct loop *collector_loop(struct collector *c)
{
    return &c->loop;
}

void collector_start(struct collector *c)
{
    loop_start(&c->loop);
}

// Mail of callbacks that ended after the loop: what they settled stays settled, the node will repeat it and
// hear "stale".
static void refuse_mail(struct collector *c, struct mail *m)
{
    if (m->kind == MAIL_RESULTS) {
        nrpc_reply_error(((struct exchange *)m)->call, NRPC_UNAVAILABLE, "the collector is stopping");
    } else if (m->kind == MAIL_REVIEWED) {
        struct review *r = (struct review *)((char *)m - offsetof(struct review, mail));
        HASH_DEL(c->reviews, r); // NOLINT(clang-analyzer-core.NullDereference): it is in there
        if (r->batch)
            LL_DELETE(r->batch->reviews, r);
        if (r->batch && !r->batch->reviews)
            nrpc_reply_error(r->batch->x->call, NRPC_UNAVAILABLE, "the collector is stopping");
        review_destroy(r);
    } else if (m->kind != MAIL_CLOSING_DONE) { // those are in the list
        free(m);
    }
}

static void refuse_all(struct collector *c)
{
    for (struct mail *m = loop_take(&c->loop), *next; m; m = next) {
        next = m->next;
        refuse_mail(c, m);
    }
}

void collector_stop(struct collector *c)
{
    loop_stop(&c->loop);
    strands_destroy(c->strands);
    c->strands = NULL;
    refuse_all(c);
}

void collector_destroy(struct collector *c)
{
    if (!c)
        return;
    strands_destroy(c->strands);
    refuse_all(c); // what came after the stop
    for (struct closing *k = c->closings, *after; k; k = after) {
        after = k->next;
        free(k);
    }
    struct known *k, *tmp;
    HASH_ITER(hh, c->known, k, tmp)
    {
        HASH_DEL(c->known, k);
        free(k);
    }
    free(c->entries);
    free(c->owners);
    arena_fini(&c->arena);
    loop_fini(&c->loop);
    free(c);
}
