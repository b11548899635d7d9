// SPDX-License-Identifier: Apache-2.0
// sched.c: weighted fair sharing by virtual time, on two levels.
#include "sched/sched.h"

#include "base/clock.h"
#include "base/heap.h"
#include "base/mem.h"
#include "dtf.h"

#include <stdlib.h>
#include <string.h>
#include <uthash.h>

enum {
    COST_FIRST_US = 1000, // a subtask's cost before anything is known
    COST_MIN_US = 1,
    TURN_US = 10000,   // slot time that one pick of a task may be worth, so that large batches stay large
    SCALE = 256 * 100, // virtual time of one microsecond at weight 1
};

// Virtual times stay within +-2^62 and one charge within 2^61, so that no sum of two of them wraps. Time
// begins anew at 2^61: a thousand slots get there in days.
static const int64_t rebase_at = INT64_C(1) << 61, vtime_max = INT64_C(1) << 62;
static const int64_t charge_max_us = (INT64_C(1) << 61) / SCALE; // 1,042 days of a slot's time

static const struct {
    uint32_t up_to;
    uint32_t weight;
} weights[] = {
    {DTF_PRIORITY_LOW, 1},
    {DTF_PRIORITY_MEDIUM, 8},
    {UINT32_MAX, 256},
};

struct group {
    struct heap_node node; // by virtual time, among the groups with runnable tasks
    UT_hash_handle hh;
    char *name;
    uint32_t quota;
    bool configured; // its quota was set: it outlives its tasks
    size_t tasks;
    struct heap runnable; // tasks, by virtual time
    int64_t now;          // virtual time of the task picked last
    int64_t vtime;
};

struct task {
    struct heap_node node;
    UT_hash_handle hh;
    uint64_t id;
    struct group *group;
    uint32_t weight, max_running;
    uint64_t ready, running;
    uint64_t counted; // this task's part of sched.ready
    struct task *next_unfit;
    int64_t cost_us;    // average
    bool cost_is_known; // from results; else it is a guess
    bool rests;
    int64_t vtime;
};

struct sched {
    struct group *groups;
    struct task *tasks;
    struct heap runnable; // groups
    int64_t now;          // virtual time of the group picked last
    uint64_t ready;
    uint64_t news;
    uint32_t turn, turn_left;
    struct task *keeps; // the turn, while something is left of it; NULL: nobody
};

struct sched *sched_create(void)
{
    struct sched *s = mem_calloc(1, sizeof *s);
    s->news = s->turn = 1;
    return s;
}

static void group_free(struct sched *s, struct group *g)
{
    HASH_DEL(s->groups, g);
    heap_remove(&s->runnable, &g->node);
    heap_fini(&g->runnable);
    free(g->name);
    free(g);
}

void sched_destroy(struct sched *s)
{
    if (!s)
        return;
    struct task *t, *ttmp;
    HASH_ITER(hh, s->tasks, t, ttmp)
    {
        HASH_DEL(s->tasks, t);
        free(t);
    }
    struct group *g, *gtmp;
    HASH_ITER(hh, s->groups, g, gtmp)
    group_free(s, g);
    heap_fini(&s->runnable);
    free(s);
}

static struct group *group_get(struct sched *s, const char *name)
{
    struct group *g;
    HASH_FIND_STR(s->groups, name, g);
    if (g)
        return g;
    g = mem_calloc(1, sizeof *g);
    g->name = mem_strdup(name);
    g->quota = SCHED_QUOTA_DEFAULT;
    HASH_ADD_KEYPTR(hh, s->groups, g->name, strlen(g->name), g);
    return g;
}

static struct task *task_find(const struct sched *s, uint64_t id)
{
    struct task *t;
    HASH_FIND(hh, s->tasks, &id, sizeof id, t);
    return t;
}

static uint64_t task_room(const struct task *t)
{
    if (t->rests)
        return 0;
    if (!t->max_running)
        return t->ready;
    uint64_t room = t->max_running > t->running ? t->max_running - t->running : 0;
    return room < t->ready ? room : t->ready;
}

// Puts a task and its group where they belong, after anything about them changed. Who was away does not come
// back with time saved up: its virtual time is at least that of whoever was picked last.
static void place(struct sched *s, struct task *t)
{
    struct group *g = t->group;
    uint64_t room = task_room(t);
    s->ready += room - t->counted;
    s->news += room > t->counted;
    t->counted = room;
    if (!room) {
        heap_remove(&g->runnable, &t->node);
    } else {
        if (!t->node.place && t->vtime < g->now)
            t->vtime = g->now;
        heap_put(&g->runnable, &t->node, t->vtime);
    }
    if (!g->runnable.count) {
        heap_remove(&s->runnable, &g->node);
    } else {
        if (!g->node.place && g->vtime < s->now)
            g->vtime = s->now;
        heap_put(&s->runnable, &g->node, g->vtime);
    }
}

void sched_set_group(struct sched *s, const char *name, uint32_t quota)
{
    struct group *g = group_get(s, name);
    g->quota = quota < 1 ? 1 : quota > SCHED_QUOTA_MAX ? SCHED_QUOTA_MAX : quota;
    g->configured = true;
}

static uint32_t weight_of(uint32_t priority)
{
    size_t i = 0;
    while (priority > weights[i].up_to)
        i++;
    return weights[i].weight;
}

void sched_set_task(struct sched *s, const struct sched_task *in)
{
    struct task *t = task_find(s, in->id);
    if (!t) {
        t = mem_calloc(1, sizeof *t);
        t->id = in->id;
        t->group = group_get(s, in->group);
        t->group->tasks++;
        t->weight = weight_of(in->priority);
        t->cost_us = COST_FIRST_US;
        HASH_ADD(hh, s->tasks, id, sizeof t->id, t);
    }
    t->ready = in->ready;
    t->running = in->running;
    t->max_running = in->max_running;
    place(s, t);
}

void sched_remove_task(struct sched *s, uint64_t id)
{
    struct task *t = task_find(s, id);
    if (!t)
        return;
    t->ready = 0;
    place(s, t);
    struct group *g = t->group;
    s->keeps = s->keeps == t ? NULL : s->keeps;
    HASH_DEL(s->tasks, t);
    free(t);
    if (--g->tasks == 0 && !g->configured)
        group_free(s, g);
}

static int64_t clamp(int64_t n, int64_t min, int64_t max)
{
    return n < min ? min : n > max ? max : n;
}

// Those in a heap all move by the same, so that their order stays. Those that are away would come back at
// `now` at the earliest, whatever they have behind: at its beginning they need no more than 0, and without
// that floor each rebase would take them further back until they wrapped.
static int64_t moved_back(const struct heap_node *n, int64_t vtime, int64_t by)
{
    return clamp(vtime - by, n->place ? -vtime_max : 0, vtime_max);
}

static void rebase_groups(struct sched *s)
{
    for (struct group *g = s->groups; g; g = g->hh.next) {
        g->vtime = moved_back(&g->node, g->vtime, s->now);
        g->node.key = g->vtime;
    }
    s->now = 0;
}

static void rebase_tasks(struct sched *s, struct group *g)
{
    for (struct task *t = s->tasks; t; t = t->hh.next)
        if (t->group == g) {
            t->vtime = moved_back(&t->node, t->vtime, g->now);
            t->node.key = t->vtime;
        }
    g->now = 0;
}

// The slot time of `count` subtasks, at the most what can be charged.
static int64_t slot_time(uint64_t count, int64_t each_us)
{
    return count > (uint64_t)(charge_max_us / each_us) ? charge_max_us : (int64_t)count * each_us;
}

static int64_t charged(int64_t vtime, int64_t cost_us, uint32_t weight)
{
    return clamp(vtime + cost_us * SCALE / weight, -vtime_max, vtime_max);
}

static void charge(struct task *t, int64_t cost_us)
{
    t->vtime = charged(t->vtime, cost_us, t->weight);
    t->group->vtime = charged(t->group->vtime, cost_us, t->group->quota);
}

static uint32_t turn_size(const struct task *t, uint32_t want)
{
    uint64_t n = (uint64_t)(TURN_US / t->cost_us);
    uint64_t room = task_room(t);
    n = n < 1 ? 1 : n;
    n = n < room ? n : room;
    return n < want ? (uint32_t)n : want;
}

// Takes up to n subtasks of a task, and moves it back in the order.
static void take(struct sched *s, struct task *t, uint32_t n)
{
    if (t == s->keeps) { // it has gone ahead of those who wait
        s->turn_left -= n < s->turn_left ? n : s->turn_left;
    } else {
        s->now = t->group->vtime;
        t->group->now = t->vtime;
        s->turn_left = n < s->turn ? s->turn - n : 0;
        s->keeps = t;
    }
    if (s->now > rebase_at)
        rebase_groups(s);
    if (t->group->now > rebase_at)
        rebase_tasks(s, t->group);
    t->ready -= n;
    t->running += n;
    charge(t, slot_time(n, t->cost_us));
    place(s, t);
}

// Takes a task out of the order, with its group if that has no other.
static void set_aside(struct sched *s, struct task *t)
{
    heap_remove(&t->group->runnable, &t->node);
    if (!t->group->runnable.count)
        heap_remove(&s->runnable, &t->group->node);
}

// How many of a task may go, of `want`; wait_us: what they take is to fit into it; CLOCK_NEVER: they need not
// wait.
static uint32_t turn_within(const struct task *t, uint32_t want, int64_t wait_us)
{
    if (wait_us == CLOCK_NEVER)
        return turn_size(t, want);
    int64_t fit = t->cost_is_known ? wait_us / t->cost_us : 0;
    return turn_size(t, fit < want ? (uint32_t)fit : want);
}

static struct task *whose_turn(struct sched *s)
{
    if (s->keeps && s->turn_left && s->keeps->node.place)
        return s->keeps;
    s->keeps = NULL;
    struct group *g = (struct group *)heap_top(&s->runnable);
    return g ? (struct task *)heap_top(&g->runnable) : NULL;
}

static size_t pick(struct sched *s, uint32_t want, int64_t wait_us, sched_fits_fn fits, void *user,
                   struct sched_pick *out, size_t max)
{
    struct task *unfit = NULL, *t;
    size_t count = 0;
    while (want && (t = whose_turn(s))) {
        bool same = count && out[count - 1].task == t->id;
        if (!same && fits && !fits(user, t->id)) {
            if (t == s->keeps) {
                s->keeps = NULL;
                continue;
            }
            set_aside(s, t);
            t->next_unfit = unfit;
            unfit = t;
            continue;
        }
        if (!same && count == max)
            break;
        uint32_t n = turn_within(t, want, wait_us);
        if (!n)
            break;
        take(s, t, n);
        want -= n;
        wait_us -= wait_us == CLOCK_NEVER ? 0 : n * t->cost_us;
        if (same)
            out[count - 1].count += n;
        else
            out[count++] = (struct sched_pick){t->id, n};
    }
    for (; unfit; unfit = unfit->next_unfit)
        place(s, unfit);
    return count;
}

size_t sched_pick(struct sched *s, uint32_t want, sched_fits_fn fits, void *user, struct sched_pick *out,
                  size_t max)
{
    return pick(s, want, CLOCK_NEVER, fits, user, out, max);
}

size_t sched_pick_ahead(struct sched *s, uint32_t want, int64_t wait_us, sched_fits_fn fits, void *user,
                        struct sched_pick *out, size_t max)
{
    return pick(s, want, clamp(wait_us, 0, charge_max_us), fits, user, out, max);
}

void sched_set_turn(struct sched *s, uint32_t turn)
{
    s->turn = turn ? turn : 1;
    s->keeps = NULL;
}

void sched_unpick(struct sched *s, uint64_t task, uint32_t count, uint32_t ready)
{
    struct task *t = task_find(s, task);
    if (!t)
        return;
    t->running -= t->running < count ? t->running : count;
    t->ready += ready;
    charge(t, -slot_time(count, t->cost_us));
    place(s, t);
}

void sched_used(struct sched *s, uint64_t task, uint64_t count, int64_t run_us)
{
    struct task *t = task_find(s, task);
    if (!t || !count)
        return;
    run_us = clamp(run_us, 0, charge_max_us);
    charge(t, run_us - slot_time(count, t->cost_us));
    int64_t average = (int64_t)((uint64_t)run_us / count);
    int64_t weight = count < 32 && t->cost_is_known ? (int64_t)count : 32; // of the new against 32 of the old
    t->cost_us = (t->cost_us * (32 - weight) + average * weight) / 32;
    if (t->cost_us < COST_MIN_US)
        t->cost_us = COST_MIN_US;
    t->cost_is_known = true;
    place(s, t);
}

void sched_rest(struct sched *s, uint64_t task, bool rests)
{
    struct task *t = task_find(s, task);
    if (!t)
        return;
    t->rests = rests;
    place(s, t);
}

void sched_doubt(struct sched *s, uint64_t task)
{
    struct task *t = task_find(s, task);
    if (t)
        t->cost_is_known = false;
}

int64_t sched_cost_us(const struct sched *s, uint64_t task)
{
    const struct task *t = task_find(s, task);
    return t && t->cost_is_known ? t->cost_us : 0;
}

uint64_t sched_ready_of(const struct sched *s, uint64_t task)
{
    const struct task *t = task_find(s, task);
    return t ? t->ready : 0;
}

uint64_t sched_news(const struct sched *s)
{
    return s->news;
}

uint64_t sched_ready(const struct sched *s)
{
    return s->ready;
}
