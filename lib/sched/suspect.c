// SPDX-License-Identifier: Apache-2.0
// suspect.c: what nodes have made of the tasks that they had last, and the order in which those that are not
// well may try one.
#include "sched/suspect.h"

#include "base/clock.h"
#include "base/heap.h"
#include "base/mem.h"

#include <stdlib.h>
#include <uthash.h>
#include <utlist.h>

enum { WATCHED_AT_ONCE = 16 }; // looked at again when somebody has brought something

struct task {
    UT_hash_handle hh;
    uint64_t id;
    uint64_t pairs;
    uint64_t failed, of; // results of nodes that are not in quarantine
    uint64_t held;       // its subtasks that nodes have now
};

struct pair {    // of a node and a task
    uint64_t id; // the task's
    struct task *task;
    uint32_t failed, of;
    uint32_t held;
    uint64_t used; // the later, the higher
};

struct node {
    struct heap_node probe; // in suspect.probes: when it may try one
    UT_hash_handle hh;
    uint64_t id;
    struct node *prev, *next;           // among suspect.recent
    struct node *prev_out, *next_out;   // among suspect.watched or .quarantined
    struct node *prev_told, *next_told; // among suspect.told
    bool is_told;
    bool to_judge;                  // it has failed something since it was judged
    enum suspect_grade grade, said; // said: as the last news said
    bool is_trying;                 // a probe is under way
    uint32_t good;                  // results in a row
    int64_t pause_ms, seen_ms;
    struct suspect_count own, others;
    struct pair *pairs;
    size_t count, capacity;
};

struct suspect {
    struct node *nodes;                 // hash by id
    struct task *tasks;                 // hash by id
    struct node *recent;                // all, who was heard of last at the end
    struct node *watched, *quarantined; // in the order in which they came
    size_t out;                         // how many are watched or in quarantine
    struct heap probes;
    struct node *told; // to be judged, or to be told of
    bool stirred;      // what watched nodes are compared with has changed
    uint64_t uses;
};

struct suspect *suspect_create(void)
{
    return mem_calloc(1, sizeof(struct suspect));
}

// ---- pairs

static struct task *task_get(struct suspect *s, uint64_t id)
{
    struct task *t;
    HASH_FIND(hh, s->tasks, &id, sizeof id, t);
    if (t)
        return t;
    t = mem_calloc(1, sizeof *t);
    t->id = id;
    HASH_ADD(hh, s->tasks, id, sizeof t->id, t);
    return t;
}

static void pair_clear(const struct node *n, struct pair *p)
{
    if (n->grade != SUSPECT_QUARANTINED) {
        p->task->failed -= p->failed;
        p->task->of -= p->of;
    }
    p->failed = p->of = 0;
}

static void pair_hold(struct pair *p, uint32_t held)
{
    p->task->held += held - (uint64_t)p->held;
    p->held = held;
}

static void pair_drop(struct suspect *s, const struct node *n, struct pair *p)
{
    pair_clear(n, p);
    pair_hold(p, 0);
    if (!--p->task->pairs) {
        HASH_DEL(s->tasks, p->task); // NOLINT(clang-analyzer-core.NullDereference): it is in there
        free(p->task);
    }
}

// A place for one more: that of the task that it had longest ago, if there are many.
static struct pair *pair_new(struct suspect *s, struct node *n)
{
    struct pair *oldest = n->pairs;
    if (n->count < SUSPECT_TASKS) {
        mem_grow(&n->pairs, &n->capacity, n->count + 1, sizeof *n->pairs);
        return &n->pairs[n->count++];
    }
    for (size_t i = 1; i < n->count; i++)
        if (n->pairs[i].used < oldest->used)
            oldest = &n->pairs[i];
    pair_drop(s, n, oldest);
    return oldest;
}

static struct pair *pair_find(const struct node *n, uint64_t task)
{
    for (size_t i = 0; i < n->count; i++)
        if (n->pairs[i].id == task)
            return &n->pairs[i];
    return NULL;
}

static struct pair *pair_get(struct suspect *s, struct node *n, uint64_t task)
{
    struct pair *p = pair_find(n, task);
    if (!p) {
        p = pair_new(s, n);
        *p = (struct pair){.id = task, .task = task_get(s, task)};
        p->task->pairs++;
    }
    p->used = ++s->uses;
    return p;
}

static void pair_count(struct pair *p, uint32_t failed, uint32_t of)
{
    struct task *t = p->task;
    t->failed -= p->failed;
    t->of -= p->of;
    p->failed += failed;
    for (p->of += of; p->of > 2 * SUSPECT_WINDOW; p->of /= 2)
        p->failed /= 2;
    t->failed += p->failed;
    t->of += p->of;
}

// ---- nodes

static struct node *node_find(const struct suspect *s, uint64_t id)
{
    struct node *n;
    HASH_FIND(hh, s->nodes, &id, sizeof id, n);
    return n;
}

static struct node *node_get(struct suspect *s, uint64_t id, int64_t now_ms)
{
    struct node *n = node_find(s, id);
    if (n) {
        DL_DELETE(s->recent, n);
    } else {
        n = mem_calloc(1, sizeof *n);
        n->id = id;
        HASH_ADD(hh, s->nodes, id, sizeof n->id, n);
    }
    n->seen_ms = now_ms;
    DL_APPEND(s->recent, n);
    return n;
}

static void tell(struct suspect *s, struct node *n)
{
    if (n->is_told)
        return;
    n->is_told = true;
    DL_APPEND2(s->told, n, prev_told, next_told);
}

static void untell(struct suspect *s, struct node *n)
{
    if (!n->is_told)
        return;
    n->is_told = false;
    DL_DELETE2(s->told, n, prev_told, next_told); // NOLINT(clang-analyzer-core.NullDereference): likewise
}

static struct node **place_of(struct suspect *s, enum suspect_grade grade)
{
    return grade == SUSPECT_QUARANTINED ? &s->quarantined : &s->watched;
}

// Nothing that it brought before counts any more for those who are compared with it, nor for itself.
static void forget_results(struct node *n)
{
    for (size_t i = 0; i < n->count; i++)
        pair_clear(n, &n->pairs[i]);
}

static int64_t longer(int64_t pause_ms)
{
    return !pause_ms                             ? SUSPECT_PROBE_FIRST_MS
           : 2 * pause_ms < SUSPECT_PROBE_MAX_MS ? 2 * pause_ms
                                                 : SUSPECT_PROBE_MAX_MS;
}

static void set_grade(struct suspect *s, struct node *n, enum suspect_grade grade, int64_t now_ms)
{
    if (n->grade == grade)
        return;
    if (n->grade)
        // NOLINTNEXTLINE(clang-analyzer-core.NullDereference): likewise
        DL_DELETE2(*place_of(s, n->grade), n, prev_out, next_out);
    if (grade == SUSPECT_QUARANTINED)
        forget_results(n);
    s->out += (grade != SUSPECT_WELL) - (size_t)(n->grade != SUSPECT_WELL);
    if (!n->grade) {
        n->good = 0;
        n->is_trying = false;
        n->pause_ms = grade == SUSPECT_QUARANTINED ? longer(n->pause_ms) : SUSPECT_PROBE_FIRST_MS;
        heap_put(&s->probes, &n->probe, now_ms + n->pause_ms);
    }
    n->grade = grade;
    if (grade)
        DL_APPEND2(*place_of(s, grade), n, prev_out, next_out);
    else
        heap_remove(&s->probes, &n->probe);
    tell(s, n);
}

static void node_drop(struct suspect *s, struct node *n)
{
    set_grade(s, n, SUSPECT_WELL, 0);
    untell(s, n);
    for (size_t i = 0; i < n->count; i++)
        pair_drop(s, n, &n->pairs[i]);
    DL_DELETE(s->recent, n);
    HASH_DEL(s->nodes, n);
    free(n->pairs);
    free(n);
    s->stirred = true;
}

void suspect_remove(struct suspect *s, uint64_t node)
{
    struct node *n = node_find(s, node);
    if (n)
        node_drop(s, n);
}

void suspect_destroy(struct suspect *s)
{
    if (!s)
        return;
    while (s->recent)
        node_drop(s, s->recent);
    heap_fini(&s->probes);
    free(s);
}

size_t suspect_size(const struct suspect *s)
{
    return HASH_COUNT(s->nodes) + HASH_COUNT(s->tasks);
}

// ---- what is heard of them

static void try_later(struct suspect *s, struct node *n, int64_t now_ms)
{
    n->is_trying = false;
    heap_put(&s->probes, &n->probe, now_ms + n->pause_ms);
}

void suspect_gave(struct suspect *s, uint64_t node, uint64_t task, uint32_t count, int64_t now_ms)
{
    struct node *n = node_get(s, node, now_ms);
    struct pair *p = pair_get(s, n, task);
    pair_hold(p, p->held + count);
    if (!n->grade)
        return;
    n->is_trying = true;
    heap_remove(&s->probes, &n->probe);
}

void suspect_returned(struct suspect *s, uint64_t node, uint64_t task, uint32_t count, int64_t now_ms)
{
    struct node *n = node_find(s, node);
    struct pair *p = n ? pair_find(n, task) : NULL;
    if (!p)
        return;
    pair_hold(p, p->held > count ? p->held - count : 0);
    s->stirred = true;
    if (n->is_trying)
        try_later(s, n, now_ms);
}

void suspect_idle(struct suspect *s, uint64_t node, int64_t now_ms)
{
    struct node *n = node_find(s, node);
    if (!n)
        return;
    for (size_t i = 0; i < n->count; i++)
        pair_hold(&n->pairs[i], 0);
    s->stirred = true;
    if (n->is_trying)
        try_later(s, n, now_ms);
}

static void note_probe(struct suspect *s, struct node *n, uint32_t succeeded, uint32_t failed, int64_t now_ms)
{
    n->good = failed ? 0 : n->good + succeeded;
    if (n->good >= SUSPECT_PROBES) {
        forget_results(n);
        set_grade(s, n, SUSPECT_WELL, now_ms);
    } else if (failed) {
        n->pause_ms = n->is_trying ? longer(n->pause_ms) : n->pause_ms;
        try_later(s, n, now_ms);
    } else {
        n->is_trying = false;
        heap_put(&s->probes, &n->probe, now_ms);
    }
}

void suspect_results(struct suspect *s, uint64_t node, uint64_t task, uint32_t count, uint32_t succeeded,
                     uint32_t failed, int64_t now_ms)
{
    struct node *n = node_get(s, node, now_ms);
    struct pair *p = pair_get(s, n, task);
    pair_hold(p, p->held > count ? p->held - count : 0);
    s->stirred = true;
    if (n->grade != SUSPECT_QUARANTINED)
        pair_count(p, failed, succeeded + failed);
    if (n->grade)
        note_probe(s, n, succeeded, failed, now_ms);
    n->to_judge |= failed > 0;
    if (n->to_judge)
        tell(s, n);
}

void suspect_put(struct suspect *s, uint64_t node, int64_t now_ms)
{
    struct node *n = node_get(s, node, now_ms);
    set_grade(s, n, SUSPECT_QUARANTINED, now_ms);
    n->said = SUSPECT_QUARANTINED;
}

// ---- judging

struct evidence {
    struct suspect_count own, others;
    double shift, variance; // of own.failed, from what it would be if the node were as the others
    double excess;          // of failures over what the others' share would make of them
    uint64_t failed, of;    // as own, and of tasks that others hold and have brought nothing of
    bool others_hold;
};

// What the others have made of the task counts as one failure and one success more: of few little is known.
static double share(uint64_t failed, uint64_t of)
{
    return ((double)failed + 1) / ((double)of + 2);
}

static void weigh_pair(struct evidence *e, const struct pair *p)
{
    uint64_t failed = p->task->failed - p->failed, of = p->task->of - p->of, held = p->task->held - p->held;
    if (!p->of || !(of || held))
        return;
    double own = p->of, all = own + (double)of, rate = (double)(p->failed + failed) / all;
    e->failed += p->failed;
    e->of += p->of;
    e->excess += p->failed - own * share(failed, of);
    e->others_hold |= held > 0;
    if (!of)
        return;
    e->own.failed += p->failed;
    e->own.of += p->of;
    e->others.failed += failed;
    e->others.of += of;
    e->shift += p->failed - own * rate;
    e->variance += own * (double)of * rate * (1 - rate) / (all - 1);
}

// Of a node that is not in quarantine.
static enum suspect_grade judge(struct node *n)
{
    struct evidence e = {0};
    for (size_t i = 0; i < n->count; i++)
        weigh_pair(&e, &n->pairs[i]);
    if (e.excess < (double)e.of / 2)
        return SUSPECT_WELL;
    n->own = e.own.of ? e.own : (struct suspect_count){e.failed, e.of}; // others have none of these yet
    n->others = e.others;
    double limit = (double)SUSPECT_SIGMAS * SUSPECT_SIGMAS * e.variance;
    if (e.own.failed >= SUSPECT_FAILURES && e.shift * e.shift >= limit)
        return SUSPECT_QUARANTINED;
    return e.failed >= SUSPECT_WATCHED && e.others_hold ? SUSPECT_WATCHING : SUSPECT_WELL;
}

static void judge_again(struct suspect *s, struct node *n, size_t nodes, int64_t now_ms)
{
    n->to_judge = false;
    if (n->grade == SUSPECT_QUARANTINED)
        return;
    enum suspect_grade grade = judge(n);
    bool has_room = n->grade || 2 * (s->out + 1) <= nodes;
    if (grade == SUSPECT_WELL || has_room)
        set_grade(s, n, grade, now_ms);
}

static void judge_watched(struct suspect *s, size_t nodes, int64_t now_ms)
{
    for (int i = 0; s->watched && i < WATCHED_AT_ONCE; i++) {
        struct node *n = s->watched;
        DL_DELETE2(s->watched, n, prev_out, next_out); // the next time others
        DL_APPEND2(s->watched, n, prev_out, next_out);
        judge_again(s, n, nodes, now_ms);
    }
    s->stirred = false;
}

// Far off, before or after: the clock has jumped.
static bool is_old(const struct node *n, int64_t now_ms)
{
    return n->seen_ms <= now_ms - SUSPECT_FORGET_MS || n->seen_ms > now_ms + SUSPECT_FORGET_MS;
}

static bool is_due(const struct node *n, int64_t now_ms)
{
    return n->probe.key <= now_ms || n->probe.key > now_ms + SUSPECT_PROBE_MAX_MS;
}

static void forget_old(struct suspect *s, int64_t now_ms)
{
    struct node *n;
    while ((n = s->recent) && is_old(n, now_ms))
        if (n->grade)
            (void)node_get(s, n->id, now_ms); // as long as it is there
        else
            node_drop(s, n);
}

static void let_go(struct suspect *s, size_t nodes, int64_t now_ms)
{
    while (2 * s->out > nodes)
        set_grade(s, s->watched ? s->watched : s->quarantined, SUSPECT_WELL, now_ms);
}

static struct node *next_told(struct suspect *s, size_t nodes, int64_t now_ms)
{
    struct node *n;
    while ((n = s->told)) {
        if (n->to_judge)
            judge_again(s, n, nodes, now_ms);
        untell(s, n);
        if (n->grade != n->said)
            return n;
    }
    return NULL;
}

bool suspect_news(struct suspect *s, size_t nodes, int64_t now_ms, struct suspect_news *out, int64_t *next_ms)
{
    forget_old(s, now_ms);
    if (s->stirred)
        judge_watched(s, nodes, now_ms);
    let_go(s, nodes, now_ms);
    struct node *n = next_told(s, nodes, now_ms), *due = (struct node *)heap_top(&s->probes);
    bool may_probe = !n && due && is_due(due, now_ms);
    if (may_probe) {
        n = due;
        heap_remove(&s->probes, &n->probe);
        due = (struct node *)heap_top(&s->probes);
    }
    *next_ms = due ? due->probe.key : CLOCK_NEVER;
    if (!n)
        return false;
    n->said = n->grade;
    *out = (struct suspect_news){n->id, n->grade, may_probe, n->own, n->others};
    return true;
}
