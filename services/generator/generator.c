// SPDX-License-Identifier: Apache-2.0
// generator.c: takes ownership of tasks that generate, gives each its turns on the pool, and lets go of them.
//
// Ownership is a lease in the state store, renewed here; the fencing number that came with it travels with
// every push, so that a generator which lost its lease without noticing cannot add anything.
//
// A process owns some tasks (PLACES) and runs some turns at the same time (TURNS_MAX), those of high priority
// first. When all places are taken and another task can be generated, one is let go of: one that has nothing
// to do now, or else the one of the lowest priority. It goes on from its checkpoint, here or elsewhere.
#include "generator.h"

#include "base/clock.h"
#include "base/heap.h"
#include "base/ids.h"
#include "base/log.h"
#include "finds.h"
#include "turn.h"

#include <stdlib.h>
#include <uthash.h>

enum {
    TURNS_MAX = 200, // at the same time; the pool has some threads more
    PLACES = 1000,   // tasks that one process owns
    CLAIM_MAX = 100, // in one call
    RENEW_MAX = 250, // likewise
    LEASE_MS = 3000, // how long a task stands still when its generator was killed
    RENEW_MS = LEASE_MS / 4,
    LOOK_MS = LEASE_MS / 2, // for tasks whose owner vanished
    AWAY_MS = 10000,        // how long one stays away that had to give its place up
};

enum mail_kind { MAIL_GENERATE, MAIL_STOP, MAIL_RESYNC, MAIL_TURN_ENDED, MAIL_LEFT };

struct hint_mail {
    struct mail mail;
    uint64_t task;
};

struct work {              // a task that this process generates
    struct heap_node node; // first member: in `ready`, in `waking`, or in none
    struct pool_job job;
    struct mail mail;
    UT_hash_handle hh;
    struct generator *owner;
    struct turn turn;
    uint64_t task;
    uint64_t fence;    // of the newest claim; newer than the turn's if the lease was lost for a while
    enum turn_end end; // of the last turn
    enum { IDLE, WAKING, READY, RUNNING, LEAVING } is;
    bool room;             // there was room again while a turn ran
    bool leave;            // its place is wanted: no further turn
    int64_t idle_since_ms; // IDLE, WAKING
    int64_t not_before_ms; // LEAVING: when it may be claimed; 0: any time
};

struct generator {
    const struct env *env;
    struct loop loop;
    uint64_t owner_id;
    struct work *owned;   // hash by task
    size_t leaving;       // of those
    struct heap ready;    // by priority, then by the order in which they came
    struct heap waking;   // by time
    unsigned turns;       // that run
    uint64_t turn_number; // given to whoever gets ready
    _Atomic bool crowded; // some are ready that have no turn
    bool look;            // there may be something to claim
    bool excused;         // the state did not answer: what is found next was told of, perhaps
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

static struct work *work_of_job(struct pool_job *job)
{
    return (struct work *)((char *)job - offsetof(struct work, job));
}

static struct work *work_of_mail(struct mail *m)
{
    return (struct work *)((char *)m - offsetof(struct work, mail));
}

static void run_turn(struct pool_job *job)
{
    struct work *w = work_of_job(job);
    w->end = turn_run(&w->turn);
    if (w->end == TURN_MORE && !atomic_load(&w->owner->crowded)) {
        pool_post(w->owner->env->pool, &w->job);
        return;
    }
    w->mail.kind = MAIL_TURN_ENDED;
    loop_post(&w->owner->loop, &w->mail);
}

// Takes it out of where it waits.
static void move(struct generator *g, struct work *w, int to)
{
    if (w->is == READY)
        heap_remove(&g->ready, &w->node);
    else if (w->is == WAKING)
        heap_remove(&g->waking, &w->node);
    w->is = to;
}

static void want_turn(struct generator *g, struct work *w)
{
    if (w->is == READY)
        return;
    move(g, w, READY);
    w->room = false;
    heap_put(&g->ready, &w->node,
             ((int64_t)(UINT16_MAX - w->turn.view.priority) << 40) + (int64_t)g->turn_number++);
}

static void rest(struct generator *g, struct work *w, int64_t now_ms)
{
    move(g, w, w->end == TURN_NONE_NOW ? WAKING : IDLE);
    w->idle_since_ms = now_ms;
    if (w->is == WAKING)
        heap_put(&g->waking, &w->node, now_ms + w->turn.wait_ms);
}

static void give_turns(struct generator *g)
{
    struct work *w;
    while (g->turns < TURNS_MAX && (w = (struct work *)heap_top(&g->ready))) {
        move(g, w, RUNNING);
        g->turns++;
        w->job.run = run_turn;
        pool_post(g->env->pool, &w->job);
    }
    atomic_store(&g->crowded, heap_top(&g->ready) != NULL);
}

static struct work *find(struct generator *g, uint64_t task)
{
    struct work *w;
    HASH_FIND(hh, g->owned, &task, sizeof task, w);
    return w;
}

static void run_leave(struct pool_job *job)
{
    struct work *w = work_of_job(job);
    turn_leave(&w->turn);
    w->mail.kind = MAIL_LEFT;
    loop_post(&w->owner->loop, &w->mail);
}

// The plugin's end is called before anybody else may claim the task.
static void let_go(struct generator *g, struct work *w, int64_t not_before_ms)
{
    move(g, w, LEAVING);
    g->leaving++;
    w->not_before_ms = not_before_ms;
    w->job.run = run_leave;
    pool_post(g->env->pool, &w->job);
}

static void forget(struct generator *g, struct work *w)
{
    if (!w->turn.is_done)
        g->env->state->ops->release_claim(g->env->state, w->task, w->fence, w->not_before_ms, NULL);
    turn_fini(&w->turn);
    HASH_DEL(g->owned, w); // NOLINT(clang-analyzer-core.NullDereference): it is in the hash
    free(w);
}

static void left(struct generator *g, struct work *w)
{
    g->leaving--;
    g->look = true; // there is room for another
    forget(g, w);
}

static void turn_ended(struct generator *g, struct work *w, int64_t now_ms)
{
    g->turns--;
    if (w->end == TURN_OVER)
        let_go(g, w, 0);
    else if (w->leave)
        let_go(g, w, now_ms + AWAY_MS);
    else if (w->end == TURN_MORE || atomic_load(&w->turn.cancelled) || (w->end == TURN_FULL && w->room))
        want_turn(g, w);
    else
        rest(g, w, now_ms);
}

// ---- claiming

static struct work *take(struct generator *g, const struct state_claim *claim)
{
    struct work *w = find(g, claim->task);
    if (w) { // our own lease had run out: the new fence will end the old turn, and then the task is given
             // back
        w->fence = claim->fence;
        log_warn("task %llu: its generation lease was lost and taken again", (unsigned long long)claim->task);
        return NULL;
    }
    w = mem_calloc(1, sizeof *w);
    w->owner = g;
    w->task = claim->task;
    w->fence = claim->fence;
    struct nrpc_status st;
    HASH_ADD(hh, g->owned, task, sizeof w->task, w);
    if (turn_init(&w->turn, g->env, claim, &st)) {
        log_error("%s", st.text);
        g->env->state->ops->stop(g->env->state, claim->task, MODEL_OUTCOME_FAILED, st.text, NULL);
        forget(g, w);
        return NULL;
    }
    want_turn(g, w);
    return w;
}

static size_t places_taken(const struct generator *g)
{
    return HASH_COUNT(g->owned) - g->leaving;
}

static bool is_idle(const struct work *w)
{
    return w->is == IDLE || w->is == WAKING;
}

// Whether a gives its place up before b: who has nothing to do now, the longest so; then who has the lowest
// priority, and of those whose turn is the furthest away.
static bool gives_up_before(const struct work *a, const struct work *b)
{
    if (is_idle(a) != is_idle(b))
        return is_idle(a);
    if (is_idle(a) && a->idle_since_ms != b->idle_since_ms)
        return a->idle_since_ms < b->idle_since_ms;
    if (a->turn.view.priority != b->turn.view.priority)
        return a->turn.view.priority < b->turn.view.priority;
    return a->is == READY && (b->is != READY || a->node.key > b->node.key);
}

// Makes one give its place up; whether it was not `newest` itself.
static bool make_place(struct generator *g, const struct work *newest, int64_t now_ms)
{
    struct work *last = NULL;
    for (struct work *w = g->owned; w; w = w->hh.next)
        if (w->is != LEAVING && !w->leave && (!last || gives_up_before(w, last)))
            last = w;
    if (!last)
        return false;
    if (last->is == RUNNING)
        last->leave = true;
    else
        let_go(g, last, now_ms + AWAY_MS);
    return last != newest;
}

// With no place left one more is claimed: the store gives the one of the highest priority first.
static void claim(struct generator *g, int64_t now_ms)
{
    bool told = g->look || g->excused;
    size_t taken = places_taken(g), room = taken < PLACES ? PLACES - taken : 1, count = 0;
    struct state_claim *claims;
    struct nrpc_status st;
    room = room < CLAIM_MAX ? room : CLAIM_MAX;
    g->look = false;
    g->next_look_ms = now_ms + LOOK_MS;
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
    g->look = count == room;
    for (size_t i = 0; i < count; i++) {
        if (!told && !claims[i].is_due)
            finds_unheard(&g->finds, claims[i].task, STATE_HINT_GENERATE, "it can be generated", now_ms);
        const struct work *w = take(g, &claims[i]);
        if (w && places_taken(g) > PLACES)
            g->look &= make_place(g, w, now_ms);
    }
}

static bool renew_some(struct generator *g, const uint64_t *tasks, size_t count, int64_t now_ms)
{
    struct nrpc_status st;
    if (count &&
        g->env->state->ops->renew_claims(g->env->state, g->owner_id, tasks, count, now_ms + LEASE_MS, &st)) {
        trouble_say(g->env->trouble, &st, "generator: cannot renew its leases");
        g->next_renew_ms = now_ms + ENV_STORE_RETRY_MS;
        return false;
    }
    return true;
}

static void renew(struct generator *g, int64_t now_ms)
{
    uint64_t tasks[RENEW_MAX];
    size_t count = 0;
    bool answers = true;
    g->next_renew_ms = now_ms + RENEW_MS;
    for (struct work *w = g->owned; w && answers; w = w->hh.next) {
        tasks[count++] = w->task;
        if (count == RENEW_MAX) {
            answers = renew_some(g, tasks, count, now_ms);
            count = 0;
        }
    }
    if (answers)
        renew_some(g, tasks, count, now_ms);
}

// ---- the loop

static void look_again(struct generator *g, struct work *w)
{
    if (w->is == RUNNING)
        w->room = true;
    else if (w->is != LEAVING)
        want_turn(g, w);
}

// A turn finds out what has become of its claim.
static void resync(struct generator *g)
{
    g->look = true;
    finds_excuse(&g->finds);
    g->next_renew_ms = 0; // the clock may have jumped
    for (struct work *w = g->owned; w; w = w->hh.next)
        look_again(g, w);
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
    look_again(g, w);
}

static void take_mail(struct generator *g, int64_t now_ms)
{
    for (struct mail *m = loop_take(&g->loop), *next; m; m = next) {
        next = m->next;
        if (m->kind == MAIL_TURN_ENDED) {
            turn_ended(g, work_of_mail(m), now_ms);
        } else if (m->kind == MAIL_LEFT) {
            left(g, work_of_mail(m));
        } else {
            take_hint(g, (struct hint_mail *)m);
            free(m);
        }
    }
}

// Returns when the next one wakes.
static int64_t wake_waiting(struct generator *g, int64_t now_ms)
{
    struct heap_node *next;
    while ((next = heap_top(&g->waking)) && next->key <= now_ms)
        want_turn(g, (struct work *)next);
    return next ? next->key : CLOCK_NEVER;
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
    give_turns(g);
    if (g->look)
        return now_ms;
    int64_t doubt_ms = finds_tick(&g->finds, now_ms);
    next_ms = doubt_ms < next_ms ? doubt_ms : next_ms;
    if (g->next_look_ms < next_ms)
        next_ms = g->next_look_ms;
    return g->owned && g->next_renew_ms < next_ms ? g->next_renew_ms : next_ms;
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
    for (struct work *w = g->owned; w; w = w->hh.next)
        atomic_store(&w->turn.quit, true);
}

void generator_destroy(struct generator *g)
{
    if (!g)
        return;
    for (struct mail *m = loop_take(&g->loop), *next; m; m = next) {
        next = m->next;
        if (m->kind != MAIL_TURN_ENDED && m->kind != MAIL_LEFT) // those are part of their work
            free(m);
    }
    struct work *w, *tmp;
    HASH_ITER(hh, g->owned, w, tmp)
    forget(g, w);
    heap_fini(&g->ready);
    heap_fini(&g->waking);
    arena_fini(&g->arena);
    loop_fini(&g->loop);
    free(g);
}
