// SPDX-License-Identifier: Apache-2.0
// generator.c: takes ownership of tasks that generate, gives each its turns on the pool, and lets go of them.
//
// Ownership is a lease in the state store, renewed here; the fencing number that came with it travels with
// every push, so that a generator which lost its lease without noticing cannot add anything.
#include "generator.h"

#include "base/clock.h"
#include "base/ids.h"
#include "base/log.h"
#include "finds.h"
#include "turn.h"

#include <stdlib.h>
#include <uthash.h>

enum {
    ACTIVE_MAX = 200, // tasks that one process generates at once
    LEASE_MS = 3000,  // how long a task stands still when its generator was killed
    RENEW_MS = LEASE_MS / 4,
    LOOK_MS = LEASE_MS / 2, // for tasks whose owner vanished
};

enum mail_kind { MAIL_GENERATE, MAIL_STOP, MAIL_RESYNC, MAIL_TURN_ENDED };

struct hint_mail {
    struct mail mail;
    uint64_t task;
};

struct work {            // a task that this process generates
    struct pool_job job; // first member
    struct mail mail;
    UT_hash_handle hh;
    struct generator *owner;
    struct turn turn;
    uint64_t task;
    uint64_t fence;     // of the newest claim; newer than the turn's if the lease was lost for a while
    enum turn_end end;  // of the last turn
    bool on_pool;       // a turn runs or waits to
    bool room;          // there was room again while a turn ran
    int64_t wake_at_ms; // with TURN_NONE_NOW
};

struct generator {
    const struct env *env;
    struct loop loop;
    uint64_t owner_id;
    struct work *active; // hash by task
    bool look;           // there may be something to claim
    bool excused;        // the state did not answer: what is found next was told of, perhaps
    struct finds finds;
    int64_t next_look_ms, next_renew_ms;
    struct arena arena;
};

struct generator *generator_create(const struct env *env)
{
    struct generator *g = mem_calloc(1, sizeof *g);
    g->env = env;
    g->owner_id = ids_random();
    g->look = g->excused = true;
    finds_init(&g->finds, "generator", env->finds);
    arena_init(&g->arena, 0);
    loop_init(&g->loop, "generator", generator_step, g);
    return g;
}

static const struct {
    enum state_hint_kind hint;
    enum mail_kind mail;
} hint_mails[] = {
    {STATE_HINT_GENERATE, MAIL_GENERATE},
    {STATE_HINT_STOP, MAIL_STOP},
    {STATE_HINT_RESYNC, MAIL_RESYNC},
};

void generator_hint(struct generator *g, const struct state_hint *hint)
{
    for (size_t i = 0; i < sizeof hint_mails / sizeof *hint_mails; i++)
        if (hint_mails[i].hint == hint->kind) {
            struct hint_mail *m = mem_alloc(sizeof *m);
            *m = (struct hint_mail){{NULL, (int)hint_mails[i].mail}, hint->task};
            loop_post(&g->loop, &m->mail);
        }
}

// ---- turns

static void run_turn(struct pool_job *job)
{
    struct work *w = (struct work *)job;
    w->end = turn_run(&w->turn);
    if (w->end == TURN_MORE) {
        pool_post(w->owner->env->pool, &w->job);
        return;
    }
    w->mail.kind = MAIL_TURN_ENDED;
    loop_post(&w->owner->loop, &w->mail);
}

static void post_turn(struct work *w)
{
    w->on_pool = true;
    w->room = false;
    w->wake_at_ms = CLOCK_NEVER;
    w->job.run = run_turn;
    pool_post(w->owner->env->pool, &w->job);
}

static struct work *find(struct generator *g, uint64_t task)
{
    struct work *w;
    HASH_FIND(hh, g->active, &task, sizeof task, w);
    return w;
}

static void let_go(struct generator *g, struct work *w)
{
    g->env->state->ops->release_claim(g->env->state, w->task, w->fence, NULL);
    turn_fini(&w->turn);
    HASH_DEL(g->active, w); // NOLINT(clang-analyzer-core.NullDereference): it is in the hash
    free(w);
    g->look = true; // there is room for another
}

static void turn_ended(struct generator *g, struct work *w, int64_t now_ms)
{
    w->on_pool = false;
    if (w->end == TURN_OVER)
        let_go(g, w);
    else if (atomic_load(&w->turn.cancelled) || (w->end == TURN_FULL && w->room))
        post_turn(w);
    else if (w->end == TURN_NONE_NOW)
        w->wake_at_ms = now_ms + w->turn.wait_ms;
}

// ---- claiming

static void take(struct generator *g, const struct state_claim *claim)
{
    struct work *w = find(g, claim->task);
    if (w) { // our own lease had run out: the new fence will end the old turn, and then the task is given
             // back
        w->fence = claim->fence;
        log_warn("task %llu: its generation lease was lost and taken again", (unsigned long long)claim->task);
        return;
    }
    w = mem_calloc(1, sizeof *w);
    w->owner = g;
    w->task = claim->task;
    w->fence = claim->fence;
    struct nrpc_status st;
    HASH_ADD(hh, g->active, task, sizeof w->task, w);
    if (turn_init(&w->turn, g->env, claim, &st)) {
        log_error("%s", st.text);
        g->env->state->ops->stop(g->env->state, claim->task, MODEL_OUTCOME_FAILED, st.text, NULL);
        let_go(g, w);
        return;
    }
    post_turn(w);
}

static void claim(struct generator *g, int64_t now_ms)
{
    bool told = g->look || g->excused;
    g->look = false;
    g->next_look_ms = now_ms + LOOK_MS;
    size_t room = ACTIVE_MAX - HASH_COUNT(g->active), count = 0;
    struct state_claim *claims;
    struct nrpc_status st;
    if (!room)
        return;
    arena_reset(&g->arena);
    int code = g->env->state->ops->claim(g->env->state, g->owner_id, now_ms, now_ms + LEASE_MS, room,
                                         &g->arena, &claims, &count, &st);
    g->excused = code != NRPC_OK;
    if (code)
        g->next_look_ms = now_ms + ENV_STORE_RETRY_MS;
    if (code && code != NRPC_FAILED_PRECONDITION) {
        trouble_say(g->env->trouble, &st, "generator: cannot take tasks");
        return;
    }
    for (size_t i = 0; i < count; i++) {
        if (!told)
            finds_unheard(&g->finds, claims[i].task, STATE_HINT_GENERATE, "it can be generated", now_ms);
        take(g, &claims[i]);
    }
}

static void renew(struct generator *g, int64_t now_ms)
{
    struct nrpc_status st;
    uint64_t tasks[ACTIVE_MAX];
    size_t count = 0;
    g->next_renew_ms = now_ms + RENEW_MS;
    for (struct work *w = g->active; w && count < ACTIVE_MAX; w = w->hh.next)
        tasks[count++] = w->task;
    if (count &&
        g->env->state->ops->renew_claims(g->env->state, g->owner_id, tasks, count, now_ms + LEASE_MS, &st)) {
        trouble_say(g->env->trouble, &st, "generator: cannot renew its leases");
        g->next_renew_ms = now_ms + ENV_STORE_RETRY_MS;
    }
}

// ---- the loop

// A turn finds out what has become of its claim.
static void resync(struct generator *g)
{
    g->look = true;
    finds_excuse(&g->finds);
    g->next_renew_ms = 0; // the clock may have jumped
    for (struct work *w = g->active; w; w = w->hh.next) {
        if (w->on_pool)
            w->room = true;
        else
            post_turn(w);
    }
}

static void take_hint(struct generator *g, const struct hint_mail *m)
{
    struct work *w = find(g, m->task);
    if (m->mail.kind == MAIL_RESYNC) {
        resync(g);
        return;
    }
    if (m->mail.kind == MAIL_GENERATE) {
        finds_heard(&g->finds, m->task, STATE_HINT_GENERATE);
        finds_remember(&g->finds, m->task);
    }
    if (!w) {
        g->look |= m->mail.kind == MAIL_GENERATE;
        return;
    }
    if (m->mail.kind == MAIL_STOP)
        atomic_store(&w->turn.cancelled, true);
    if (w->on_pool)
        w->room = true;
    else
        post_turn(w);
}

static void take_mail(struct generator *g, int64_t now_ms)
{
    for (struct mail *m = loop_take(&g->loop), *next; m; m = next) {
        next = m->next;
        if (m->kind == MAIL_TURN_ENDED) {
            turn_ended(g, (struct work *)((char *)m - offsetof(struct work, mail)), now_ms);
        } else {
            take_hint(g, (struct hint_mail *)m);
            free(m);
        }
    }
}

static int64_t wake_waiting(struct generator *g, int64_t now_ms)
{
    int64_t next_ms = CLOCK_NEVER;
    for (struct work *w = g->active; w; w = w->hh.next) {
        if (w->on_pool)
            continue;
        if (w->wake_at_ms <= now_ms)
            post_turn(w);
        else if (w->wake_at_ms < next_ms)
            next_ms = w->wake_at_ms;
    }
    return next_ms;
}

int64_t generator_step(void *self, int64_t now_ms)
{
    struct generator *g = self;
    take_mail(g, now_ms);
    int64_t next_ms = wake_waiting(g, now_ms);
    if (now_ms >= g->next_renew_ms)
        renew(g, now_ms);
    if (g->look || now_ms >= g->next_look_ms)
        claim(g, now_ms);
    if (g->look)
        return now_ms;
    int64_t doubt_ms = finds_tick(&g->finds, now_ms);
    next_ms = doubt_ms < next_ms ? doubt_ms : next_ms;
    if (g->next_look_ms < next_ms)
        next_ms = g->next_look_ms;
    return g->active && g->next_renew_ms < next_ms ? g->next_renew_ms : next_ms;
}

struct loop *generator_loop(struct generator *g)
{
    return &g->loop;
}

void generator_start(struct generator *g)
{
    loop_start(&g->loop);
}

void generator_stop(struct generator *g)
{
    loop_stop(&g->loop);
    for (struct work *w = g->active; w; w = w->hh.next)
        atomic_store(&w->turn.quit, true);
}

void generator_destroy(struct generator *g)
{
    if (!g)
        return;
    for (struct mail *m = loop_take(&g->loop), *next; m; m = next) {
        next = m->next;
        if (m->kind != MAIL_TURN_ENDED) // that one is part of its work
            free(m);
    }
    struct work *w, *tmp;
    HASH_ITER(hh, g->active, w, tmp)
    let_go(g, w);
    arena_fini(&g->arena);
    loop_fini(&g->loop);
    free(g);
}
