// SPDX-License-Identifier: Apache-2.0
// views.c: keeps lib/sched informed.
#include "views.h"

#include "base/clock.h"
#include "base/log.h"

#include <stdlib.h>
#include <string.h>
#include <uthash.h>

enum {
    PAGE = 32,
    KEEP_VERSIONS_ROUNDS = 2,
    BEHIND_MAX = 2,     // then it is the news that was wrong: of a store that has lost its last moments
    DECLINED_MAX = 256, // in a row
    REST_FIRST_MS = 100,
    REST_MAX_MS = 1000,
};

struct rest {
    struct heap_node until; // first member; in views.rests while the task rests
    struct view *view;
};

struct view {
    struct heap_node retry; // first member; in views.retries while one is due later
    UT_hash_handle hh;
    uint64_t task, version, round;
    bool forgotten;  // kept a while, so that old news does not bring it back
    unsigned behind; // refreshes in a row that know less than news has said
    char *type;
    size_t declined; // in a row
    int64_t rest_ms; // the last one's length; 0: none since something was accepted
    struct rest rest;
};

void views_init(struct views *v, const struct env *env)
{
    *v = (struct views){.env = env, .sched = sched_create(), .told = true};
    finds_init(&v->finds, "scheduler", env->finds);
}

static void drop(struct views *v, struct view *w)
{
    heap_remove(&v->retries, &w->retry);
    heap_remove(&v->rests, &w->rest.until);
    HASH_DEL(v->all, w);
    free(w->type);
    free(w);
}

void views_reset(struct views *v)
{
    v->told = true;
    v->walks = v->walk_told = false;
    finds_excuse(&v->finds);
    struct view *w, *tmp;
    HASH_ITER(hh, v->all, w, tmp)
    {
        sched_remove_task(v->sched, w->task);
        drop(v, w);
    }
}

void views_fini(struct views *v)
{
    views_reset(v);
    heap_fini(&v->retries);
    heap_fini(&v->rests);
    sched_destroy(v->sched);
}

static struct view *find(struct views *v, uint64_t task)
{
    struct view *w;
    HASH_FIND(hh, v->all, &task, sizeof task, w);
    return w;
}

static struct view *get(struct views *v, const struct state_view *in)
{
    struct view *w = find(v, in->task);
    if (!w) {
        w = mem_calloc(1, sizeof *w);
        w->task = in->task;
        w->type = mem_strdup(in->type);
        w->rest.view = w;
        HASH_ADD(hh, v->all, task, sizeof w->task, w);
    }
    w->round = v->round;
    return w;
}

static void adopt(struct views *v, struct view *w, const struct state_view *in)
{
    w->version = in->version;
    w->forgotten = false;
    w->behind = 0;
    sched_set_task(v->sched, &(struct sched_task){in->task, in->group, in->priority, in->ready, in->running,
                                                  in->max_running});
    if (in->next_retry_ms == CLOCK_NEVER)
        heap_remove(&v->retries, &w->retry);
    else
        heap_put(&v->retries, &w->retry, in->next_retry_ms);
}

void views_take(struct views *v, const struct state_view *in)
{
    struct view *w = get(v, in);
    finds_heard(&v->finds, in->task, in->version);
    if (!w->forgotten && in->version >= w->version)
        adopt(v, w, in);
}

// Work that was believed not to be there. What the hint of a newer version will tell is no find; nor is a
// retry that has just come due.
static void compare(struct views *v, const struct view *w, const struct state_view *in, int64_t now_ms)
{
    if (v->told || v->walk_told || !in->ready || sched_ready_of(v->sched, in->task) || w->forgotten)
        return;
    if (in->version > w->version)
        finds_suspect(&v->finds, in->task, w->version, in->version, "subtasks are ready", now_ms);
    else if (in->version == w->version && !(w->retry.place && w->retry.key <= now_ms))
        finds_count(&v->finds, in->task, "subtasks are ready", now_ms);
}

// What the state says when it is asked. News may have overtaken it, but not time and again.
static void take_read(struct views *v, const struct state_view *in, int64_t now_ms)
{
    struct view *w = get(v, in);
    compare(v, w, in, now_ms);
    bool old = w->forgotten || in->version < w->version;
    if (!old || ++w->behind >= BEHIND_MAX)
        adopt(v, w, in);
}

void views_forget(struct views *v, uint64_t task)
{
    struct view *w = find(v, task);
    if (!w)
        return;
    sched_remove_task(v->sched, task);
    heap_remove(&v->retries, &w->retry);
    heap_remove(&v->rests, &w->rest.until);
    w->forgotten = true;
}

void views_drop(struct views *v, const struct state_view *in)
{
    struct view *w = find(v, in->task);
    if (!w || w->version > in->version)
        return;
    sched_remove_task(v->sched, w->task);
    drop(v, w);
}

// ---- rests

void views_declined(struct views *v, uint64_t task, size_t count, int64_t now_ms)
{
    struct view *w = find(v, task);
    if (!w || w->forgotten || w->rest.until.place) // it rests already: these were asked before
        return;
    w->declined += count;
    if (w->declined < DECLINED_MAX && sched_ready_of(v->sched, task))
        return;
    w->declined = 0;
    w->rest_ms = !w->rest_ms ? REST_FIRST_MS : 2 * w->rest_ms < REST_MAX_MS ? 2 * w->rest_ms : REST_MAX_MS;
    heap_put(&v->rests, &w->rest.until, now_ms + w->rest_ms);
    sched_rest(v->sched, task, true);
}

void views_may_accept(struct views *v, uint64_t task)
{
    struct view *w = find(v, task);
    if (!w || (!w->declined && !w->rest_ms))
        return;
    w->declined = 0;
    w->rest_ms = 0;
    heap_remove(&v->rests, &w->rest.until);
    sched_rest(v->sched, task, false);
}

static int64_t end_rests(struct views *v, int64_t now_ms)
{
    struct rest *r;
    while ((r = (struct rest *)heap_top(&v->rests)) && r->until.key <= now_ms) {
        heap_remove(&v->rests, &r->until);
        sched_rest(v->sched, r->view->task, false);
    }
    return r ? r->until.key : CLOCK_NEVER;
}

// ---- reading all, a page at a time

static void begin_walk(struct views *v)
{
    v->walks = true;
    v->after = 0;
    v->round++;
    v->walk_told = v->told;
    v->told = false;
}

// Those that were not met are gone.
static void end_walk(struct views *v)
{
    struct view *w, *tmp;
    v->walks = v->walk_told = false;
    HASH_ITER(hh, v->all, w, tmp)
    {
        if (w->round == v->round)
            continue;
        views_forget(v, w->task);
        if (w->round + KEEP_VERSIONS_ROUNDS < v->round)
            drop(v, w);
    }
}

int views_refresh(struct views *v, int64_t now_ms, bool *more, struct nrpc_status *st)
{
    struct arena a;
    struct state_view *page;
    size_t count;
    if (!v->walks)
        begin_walk(v);
    arena_init(&a, 0);
    int code = v->env->state->ops->views(v->env->state, now_ms, v->after, PAGE, &a, &page, &count, st);
    for (size_t i = 0; code == NRPC_OK && i < count; i++)
        take_read(v, &page[i], now_ms);
    if (code == NRPC_OK && count)
        v->after = page[count - 1].task;
    arena_fini(&a);
    if (code)
        v->told = true; // what comes next may be news that nobody told of
    else if (count < PAGE)
        end_walk(v);
    *more = v->walks;
    return code;
}

// `due` and below have ripened: read each again.
int64_t views_ripen(struct views *v, int64_t now_ms)
{
    struct arena a;
    arena_init(&a, 0);
    struct view *w;
    while ((w = (struct view *)heap_top(&v->retries)) && w->retry.key <= now_ms) {
        struct state_view *one;
        size_t count;
        struct nrpc_status st;
        arena_reset(&a);
        if (v->env->state->ops->views(v->env->state, now_ms, w->task - 1, 1, &a, &one, &count, &st)) {
            trouble_say(v->env->trouble, &st, "scheduler: cannot read task %llu",
                        (unsigned long long)w->task);
            heap_put(&v->retries, &w->retry, now_ms + ENV_STORE_RETRY_MS);
            continue;
        }
        heap_remove(&v->retries, &w->retry);
        if (count && one->task == w->task)
            views_take(v, one);
    }
    arena_fini(&a);
    int64_t rest_ms = end_rests(v, now_ms);
    return w && w->retry.key < rest_ms ? w->retry.key : rest_ms;
}

const char *views_type(struct views *v, uint64_t task)
{
    struct view *w = find(v, task);
    return w ? w->type : NULL;
}
