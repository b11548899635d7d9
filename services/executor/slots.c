// SPDX-License-Identifier: Apache-2.0
// slots.c: one thread a slot.
#include "slots.h"

#include "ahead.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "plugin/registry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CANCEL_PATIENCE_MS = 5000, // after which a callback that was told to stop, and still runs, is reported
    AHEAD_GRACE_US = 1000,     // of short runs: threads take turns
    SHORT_FIRST_MS = 500,      // after which one more slot is tried when the node was short of something
    SHORT_MAX_MS = 30000,
    NOTE_BYTES = 120, // at most, of an execution's note
};

struct slot {
    pthread_t thread;
    struct slots *owner;
    struct item *item; // that runs; NULL: idle
    struct dtf_execution execution;
    int64_t start_us; // by the monotonic clock
    int64_t limit_ms; // when it has run too long
    bool cancelled;   // its task is
    bool timed_out;   // its time is up
    bool abandoned;   // its result is not wanted any more, or was made already
    bool told;        // the plugin's cancel was called
};

struct slots {
    pthread_mutex_t mu;
    pthread_cond_t work;
    struct slot *slots;
    unsigned count, running, idle;
    unsigned usable;        // fewer than count after the node was short of something
    int64_t short_until_ms; // when one more is tried; CLOCK_NEVER: all are usable
    int64_t short_ms;       // how long that was waited for the last time
    char short_of[SLOTS_SHORT_OF_MAX + 1];
    struct item_list unrun; // what could not begin for it
    struct item_list queued, done;
    struct item_list killed; // done, too, but perhaps by the node's own end
    struct item_list later;  // done, too, but the coordinator could not take it for now
    int64_t looked_until_ms; // slots_expire is called by then
    bool stopping;
    int64_t (*now_ms)(void);
    void (*on_done)(void *user);
    void *user;
};

// ---- items

struct item *item_create(const struct item *like, const char *type, const void *param)
{
    struct item *i = mem_alloc(sizeof *i + like->param_bytes);
    *i = *like;
    i->type = registry_find(type);
    if (like->param_bytes)
        memcpy(i->param, param, like->param_bytes);
    return i;
}

void item_destroy(struct item *i)
{
    if (!i)
        return;
    free(i->message);
    free(i->body);
    free(i);
}

size_t item_bytes(const struct item *i)
{
    return 64 + i->body_bytes + (i->message ? strlen(i->message) : 0);
}

static int64_t wait_cost_us(const struct item *i)
{
    return i->cost_us ? i->cost_us : AHEAD_SLOT_US;
}

void item_list_init(struct item_list *l)
{
    *l = (struct item_list){0};
    l->last = &l->first;
}

void item_list_add(struct item_list *l, struct item *i)
{
    i->next = NULL;
    *l->last = i;
    l->last = &i->next;
    l->count++;
    l->bytes += i->param_bytes + item_bytes(i);
    l->cost_us += wait_cost_us(i);
}

void item_list_append(struct item_list *l, struct item_list *more)
{
    if (!more->first)
        return;
    *l->last = more->first;
    l->last = more->last;
    l->count += more->count;
    l->bytes += more->bytes;
    l->cost_us += more->cost_us;
    item_list_init(more);
}

struct item *item_list_pop(struct item_list *l)
{
    struct item *i = l->first;
    if (!i)
        return NULL;
    l->first = i->next;
    if (!l->first)
        l->last = &l->first;
    l->count--;
    l->bytes -= i->param_bytes + item_bytes(i);
    l->cost_us -= wait_cost_us(i);
    return i;
}

// ---- running one

static const char timed_out_text[] = "not finished within its timeout";

static void fill_outcome(struct item *i, const struct slot *s, int code, struct nrpc_status *st)
{
    const struct dtf_execution *x = &s->execution;
    i->code = x->code;
    i->kind = code ? DTF_RESULT_FAILURE : DTF_RESULT_SUCCESS;
    if (s->cancelled || s->timed_out)
        i->kind = s->cancelled ? DTF_RESULT_CANCELLED : DTF_RESULT_TIMEOUT;
    if (s->timed_out && !s->cancelled)
        code = status_set(st, NRPC_DEADLINE_EXCEEDED, "%s", timed_out_text);
    if (code || x->note) {
        char text[sizeof st->text + NOTE_BYTES];
        snprintf(text, sizeof text, "%s%s%s", code ? st->text : "", code && x->note ? "; " : "",
                 x->note ? x->note : "");
        i->message = mem_strdup(text);
    }
    if (x->body_refused) {
        char text[100];
        snprintf(text, sizeof text, "the result's body is over the limit of %d bytes", DTF_RESULT_BODY_MAX);
        i->kind = DTF_RESULT_FAILURE;
        free(i->message);
        i->message = mem_strdup(text);
    }
    if (i->message) // plugins write to the status themselves
        utf8_repair(i->message);
    i->body = (char *)x->body;
    i->body_bytes = x->body_size;
}

static int execute(struct slot *s, struct nrpc_status *st)
{
    const struct item *i = s->item;
    if (!i->type)
        return status_set(st, NRPC_UNIMPLEMENTED, "this node does not know the subtask's type");
    struct dtf_subtask subtask = {i->task,       i->seq,   i->attempt,    i->type->name,
                                  i->timeout_ms, i->param, i->param_bytes};
    return i->type->executor->execute(i->type->user, &subtask, &s->execution, st);
}

// With the mutex held.
static void begin(struct slot *s)
{
    struct slots *o = s->owner;
    s->item = item_list_pop(&o->queued);
    s->cancelled = s->timed_out = s->abandoned = s->told = false;
    s->limit_ms = o->now_ms() + s->item->timeout_ms;
    s->start_us = clock_mono_us();
    execution_init(&s->execution);
    o->running++;
}

static void set_usable(struct slots *o, unsigned usable)
{
    o->usable = usable < o->count ? usable : o->count;
    if (o->usable < o->count)
        return;
    o->short_until_ms = CLOCK_NEVER;
    o->short_ms = 0;
}

// The node lacks something, and not the subtask: it goes back, and what waits with it; as many as still run
// may run, and now and then one more is tried.
static void be_short(struct slots *o, struct item *i)
{
    snprintf(o->short_of, sizeof o->short_of, "%s", i->message ? i->message : "it cannot start subtasks");
    utf8_repair(o->short_of); // it may have been cut within a character
    o->short_ms = !o->short_ms                     ? SHORT_FIRST_MS
                  : 2 * o->short_ms < SHORT_MAX_MS ? 2 * o->short_ms
                                                   : SHORT_MAX_MS;
    o->short_until_ms = o->now_ms() + o->short_ms;
    o->usable = o->running;
    item_list_add(&o->unrun, i);
    item_list_append(&o->unrun, &o->queued);
}

static void end(struct slot *s, int64_t run_us)
{
    struct slots *o = s->owner;
    struct item *i = s->item;
    i->run_us = run_us < 1 ? 1 : run_us;
    bool killed = s->execution.killed && i->kind == DTF_RESULT_FAILURE;
    if (killed)
        i->held_until_ms = o->now_ms() + SLOTS_KILLED_HOLD_MS;
    s->item = NULL;
    o->running--;
    if (s->abandoned)
        item_destroy(i);
    else if (s->execution.node_short && i->kind == DTF_RESULT_FAILURE)
        be_short(o, i);
    else
        item_list_add(killed ? &o->killed : &o->done, i);
    if (o->usable < o->count && !s->execution.node_short)
        set_usable(o, o->usable + 1); // one that could begin
}

// Runs the next queued item; called and returns with the mutex held.
static void run_next(struct slot *s)
{
    struct slots *o = s->owner;
    begin(s);
    bool look = s->limit_ms < o->looked_until_ms;
    pthread_mutex_unlock(&o->mu);
    if (look)
        o->on_done(o->user); // who calls slots_expire learns of the new limit
    struct nrpc_status st = {0};
    int code = execute(s, &st);
    int64_t run_us = clock_mono_us() - s->start_us;
    pthread_mutex_lock(&o->mu);
    fill_outcome(s->item, s, code, &st);
    s->execution.body = NULL; // the item's now
    execution_fini(&s->execution);
    end(s, run_us);
    pthread_mutex_unlock(&o->mu);
    o->on_done(o->user);
    pthread_mutex_lock(&o->mu);
}

static void *slot_main(void *arg)
{
    struct slot *s = arg;
    struct slots *o = s->owner;
    pthread_setname_np(pthread_self(), "slot");
    pthread_mutex_lock(&o->mu);
    while (!o->stopping) {
        if (o->queued.first && o->running < o->usable) {
            run_next(s);
            continue;
        }
        o->idle++;
        pthread_cond_wait(&o->work, &o->mu);
        o->idle--;
    }
    pthread_mutex_unlock(&o->mu);
    return NULL;
}

bool slots_run_one(struct slots *o)
{
    pthread_mutex_lock(&o->mu);
    bool any = o->queued.first != NULL;
    if (any)
        run_next(&o->slots[0]);
    pthread_mutex_unlock(&o->mu);
    return any;
}

// ---- life

struct slots *slots_create(unsigned count, int64_t (*now_ms)(void), void (*on_done)(void *user), void *user)
{
    struct slots *s = mem_calloc(1, sizeof *s);
    pthread_mutex_init(&s->mu, NULL);
    pthread_cond_init(&s->work, NULL);
    item_list_init(&s->queued);
    item_list_init(&s->done);
    item_list_init(&s->later);
    item_list_init(&s->killed);
    item_list_init(&s->unrun);
    s->usable = count;
    s->short_until_ms = CLOCK_NEVER;
    s->slots = mem_calloc(count, sizeof *s->slots);
    s->count = count;
    s->now_ms = now_ms;
    s->on_done = on_done;
    s->user = user;
    s->looked_until_ms = CLOCK_NEVER;
    for (unsigned i = 0; i < count; i++)
        s->slots[i].owner = s;
    return s;
}

void slots_start(struct slots *s)
{
    for (unsigned i = 0; i < s->count; i++)
        if (pthread_create(&s->slots[i].thread, NULL, slot_main, &s->slots[i]))
            abort();
}

static void drop(struct item_list *l)
{
    for (struct item *i; (i = item_list_pop(l));)
        item_destroy(i);
}

void slots_destroy(struct slots *s)
{
    if (!s)
        return;
    pthread_mutex_lock(&s->mu);
    s->stopping = true;
    pthread_cond_broadcast(&s->work);
    pthread_mutex_unlock(&s->mu);
    for (unsigned i = 0; i < s->count; i++)
        if (s->slots[i].thread)
            pthread_join(s->slots[i].thread, NULL);
    drop(&s->queued);
    drop(&s->done);
    drop(&s->later);
    drop(&s->killed);
    drop(&s->unrun);
    pthread_mutex_destroy(&s->mu);
    pthread_cond_destroy(&s->work);
    free(s->slots);
    free(s);
}

// ---- in and out

void slots_queue(struct slots *s, struct item_list *items, int64_t now_ms)
{
    size_t count = items->count;
    for (struct item *i = items->first; i; i = i->next)
        i->queued_ms = now_ms;
    pthread_mutex_lock(&s->mu);
    item_list_append(&s->queued, items);
    size_t wake = count < s->idle ? count : s->idle;
    for (size_t i = 0; i < wake; i++)
        pthread_cond_signal(&s->work);
    pthread_mutex_unlock(&s->mu);
}

void slots_take_done(struct slots *s, size_t max_bytes, struct item_list *out)
{
    size_t bytes = 0;
    pthread_mutex_lock(&s->mu);
    while (s->done.first && (!bytes || bytes + item_bytes(s->done.first) <= max_bytes)) {
        bytes += item_bytes(s->done.first);
        item_list_add(out, item_list_pop(&s->done));
    }
    pthread_mutex_unlock(&s->mu);
}

void slots_put_back_done(struct slots *s, struct item_list *items)
{
    pthread_mutex_lock(&s->mu);
    item_list_append(items, &s->done);
    item_list_append(&s->done, items);
    pthread_mutex_unlock(&s->mu);
}

void slots_put_later(struct slots *s, struct item_list *items)
{
    pthread_mutex_lock(&s->mu);
    item_list_append(&s->later, items);
    pthread_mutex_unlock(&s->mu);
}

void slots_retry_later(struct slots *s)
{
    pthread_mutex_lock(&s->mu);
    item_list_append(&s->done, &s->later);
    pthread_mutex_unlock(&s->mu);
}

void slots_take_killed(struct slots *s, struct item_list *out)
{
    pthread_mutex_lock(&s->mu);
    item_list_append(out, &s->killed);
    pthread_mutex_unlock(&s->mu);
}

void slots_take_unrun(struct slots *s, struct item_list *out)
{
    pthread_mutex_lock(&s->mu);
    item_list_append(out, &s->unrun);
    pthread_mutex_unlock(&s->mu);
}

void slots_take_queued(struct slots *s, struct item_list *out)
{
    pthread_mutex_lock(&s->mu);
    item_list_append(out, &s->queued);
    pthread_mutex_unlock(&s->mu);
}

// Whether what is queued waits for something that runs; else it is about to begin.
static bool waits(const struct slots *s)
{
    return s->queued.first && s->running >= s->usable;
}

void slots_take_waiting(struct slots *s, int64_t since_ms, struct item_list *out)
{
    pthread_mutex_lock(&s->mu);
    while (waits(s) && s->queued.first->queued_ms <= since_ms)
        item_list_add(out, item_list_pop(&s->queued));
    pthread_mutex_unlock(&s->mu);
}

// How much may wait for a slot: what fits in between the end of its run, if it is near, and the time that
// work may wait. A run that takes much longer than was known can end at any time or never.
static int64_t ahead_of(const struct slot *s, int64_t now_us)
{
    if (!s->item)
        return AHEAD_SLOT_US;
    int64_t cost_us = s->item->cost_us, left_us = cost_us - (now_us - s->start_us);
    if (!cost_us || left_us < -cost_us - AHEAD_GRACE_US || left_us > AHEAD_SLOT_US)
        return 0;
    return AHEAD_SLOT_US - (left_us > 0 ? left_us : 0);
}

void slots_load(struct slots *s, struct slots_load *out)
{
    pthread_mutex_lock(&s->mu);
    *out = (struct slots_load){.queued = s->queued.count,
                               .running = s->running,
                               .done = s->done.count,
                               .later = s->later.count,
                               .unrun = s->unrun.count,
                               .usable = s->usable,
                               .held_bytes = s->queued.bytes + s->done.bytes + s->later.bytes,
                               .waits_since_ms = waits(s) ? s->queued.first->queued_ms : CLOCK_NEVER};
    pthread_mutex_unlock(&s->mu);
}

unsigned slots_shortage(struct slots *s, char short_of[SLOTS_SHORT_OF_MAX + 1])
{
    pthread_mutex_lock(&s->mu);
    unsigned usable = s->usable;
    snprintf(short_of, sizeof s->short_of, "%s", usable < s->count ? s->short_of : "");
    pthread_mutex_unlock(&s->mu);
    return usable;
}

int64_t slots_ahead_us(struct slots *s)
{
    pthread_mutex_lock(&s->mu);
    int64_t now_us = clock_mono_us(), ahead_us = -s->queued.cost_us;
    for (unsigned i = 0; i < s->count; i++)
        ahead_us += ahead_of(&s->slots[i], now_us);
    pthread_mutex_unlock(&s->mu);
    return ahead_us > 0 ? ahead_us : 0;
}

void slots_each(struct slots *s, void (*each)(void *user, uint64_t task, uint64_t seq, uint32_t attempt),
                void *user)
{
    pthread_mutex_lock(&s->mu);
    for (const struct item *i = s->queued.first; i; i = i->next)
        each(user, i->task, i->seq, i->attempt);
    for (const struct item *i = s->done.first; i; i = i->next)
        each(user, i->task, i->seq, i->attempt);
    for (const struct item *i = s->later.first; i; i = i->next)
        each(user, i->task, i->seq, i->attempt);
    for (const struct item *i = s->killed.first; i; i = i->next)
        each(user, i->task, i->seq, i->attempt);
    for (const struct item *i = s->unrun.first; i; i = i->next)
        each(user, i->task, i->seq, i->attempt);
    for (unsigned k = 0; k < s->count; k++)
        if (s->slots[k].item && !s->slots[k].abandoned)
            each(user, s->slots[k].item->task, s->slots[k].item->seq, s->slots[k].item->attempt);
    pthread_mutex_unlock(&s->mu);
}

// ---- stopping things

// A result for a callback that still runs: its own, when it returns, is dropped.
static void end_without(struct slot *s, enum dtf_result_kind kind, const char *message)
{
    const struct item *i = s->item;
    struct item *result = mem_calloc(1, sizeof *result);
    *result =
        (struct item){.task = i->task, .seq = i->seq, .attempt = i->attempt, .type = i->type, .kind = kind};
    result->message = mem_strdup(message);
    result->run_us = (int64_t)i->timeout_ms * 1000;
    item_list_add(&s->owner->done, result);
    s->abandoned = true;
}

// Tells the plugins of cancelled executions. With the mutex held, so that the execution cannot end meanwhile:
// a cancel callback must be short.
static void tell(struct slots *o)
{
    for (unsigned k = 0; k < o->count; k++) {
        struct slot *s = &o->slots[k];
        if (!s->item || s->told || !dtf_execution_is_cancelled(&s->execution))
            continue;
        s->told = true;
        const struct item *i = s->item;
        if (!i->type || !i->type->executor->cancel)
            continue;
        struct dtf_subtask subtask = {i->task,       i->seq,   i->attempt,    i->type->name,
                                      i->timeout_ms, i->param, i->param_bytes};
        i->type->executor->cancel(i->type->user, &subtask);
    }
}

void slots_cancel_task(struct slots *o, uint64_t task, int64_t now_ms)
{
    pthread_mutex_lock(&o->mu);
    struct item_list all;
    item_list_init(&all);
    item_list_append(&all, &o->queued);
    for (struct item *i; (i = item_list_pop(&all));) {
        bool hit = i->task == task;
        i->kind = hit ? DTF_RESULT_CANCELLED : i->kind;
        item_list_add(hit ? &o->done : &o->queued, i);
    }
    for (unsigned k = 0; k < o->count; k++) {
        struct slot *s = &o->slots[k];
        if (!s->item || s->item->task != task || s->cancelled)
            continue;
        s->cancelled = true;
        s->limit_ms = now_ms + CANCEL_PATIENCE_MS;
        execution_cancel(&s->execution);
    }
    tell(o);
    pthread_mutex_unlock(&o->mu);
}

void slots_abandon(struct slots *o, bool keep_done)
{
    pthread_mutex_lock(&o->mu);
    drop(&o->queued);
    if (!keep_done) {
        drop(&o->done);
        drop(&o->later);
        drop(&o->killed);
        drop(&o->unrun);
    }
    for (unsigned k = 0; k < o->count; k++) {
        struct slot *s = &o->slots[k];
        if (!s->item)
            continue;
        s->abandoned = true;
        execution_cancel(&s->execution);
    }
    tell(o);
    pthread_mutex_unlock(&o->mu);
}

static bool is_item(const struct item *i, uint64_t task, uint64_t seq, uint32_t attempt)
{
    return i->task == task && i->seq == seq && i->attempt == attempt;
}

static void remove_item(struct item_list *l, uint64_t task, uint64_t seq, uint32_t attempt)
{
    struct item_list all;
    item_list_init(&all);
    item_list_append(&all, l);
    for (struct item *i; (i = item_list_pop(&all));)
        if (is_item(i, task, seq, attempt))
            item_destroy(i);
        else
            item_list_add(l, i);
}

void slots_forget(struct slots *o, uint64_t task, uint64_t seq, uint32_t attempt)
{
    pthread_mutex_lock(&o->mu);
    remove_item(&o->queued, task, seq, attempt);
    remove_item(&o->done, task, seq, attempt);
    remove_item(&o->later, task, seq, attempt);
    remove_item(&o->killed, task, seq, attempt);
    remove_item(&o->unrun, task, seq, attempt);
    for (unsigned k = 0; k < o->count; k++) {
        struct slot *s = &o->slots[k];
        if (!s->item || s->abandoned || !is_item(s->item, task, seq, attempt))
            continue;
        s->abandoned = true;
        execution_cancel(&s->execution);
    }
    tell(o);
    pthread_mutex_unlock(&o->mu);
}

// The node goes on: what was killed has failed. Returns when the next has; with the mutex held.
static int64_t fail_killed(struct slots *o, int64_t now_ms)
{
    while (o->killed.first && o->killed.first->held_until_ms <= now_ms)
        item_list_add(&o->done, item_list_pop(&o->killed));
    return o->killed.first ? o->killed.first->held_until_ms : CLOCK_NEVER;
}

int64_t slots_expire(struct slots *o, int64_t now_ms)
{
    pthread_mutex_lock(&o->mu);
    int64_t next_ms = fail_killed(o, now_ms);
    if (o->short_until_ms <= now_ms) {
        o->short_until_ms = now_ms + o->short_ms;
        set_usable(o, o->usable > o->running ? o->usable : o->running + 1);
    }
    next_ms = o->short_until_ms < next_ms ? o->short_until_ms : next_ms;
    for (unsigned k = 0; k < o->count; k++) {
        struct slot *s = &o->slots[k];
        if (!s->item || s->abandoned)
            continue;
        if (s->limit_ms <= now_ms && (s->cancelled || s->timed_out)) {
            end_without(s, s->cancelled ? DTF_RESULT_CANCELLED : DTF_RESULT_TIMEOUT,
                        s->cancelled ? "cancelled" : timed_out_text);
            continue;
        }
        if (s->limit_ms <= now_ms) { // it is told, and may say how far it has come
            s->timed_out = true;
            s->limit_ms = now_ms + CANCEL_PATIENCE_MS;
            execution_cancel(&s->execution);
        }
        next_ms = s->limit_ms < next_ms ? s->limit_ms : next_ms;
    }
    tell(o);
    o->looked_until_ms = next_ms;
    pthread_mutex_unlock(&o->mu);
    return next_ms;
}
