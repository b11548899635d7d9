// SPDX-License-Identifier: Apache-2.0
// state_both_work.c: operations on subtasks, their results, and nodes.
#include "lease_one.h"
#include "state_both.h"

// ---- dispatch

static uint64_t any_node(const struct store *s, dice *d)
{
    uint64_t i = roll(d, NODES);
    return roll(d, 30) ? s->nodes[i] : 999999;
}

// How many to ask for, so that what comes is no store's choice: all that wait to be dispatched again, or
// nothing.
static uint32_t any_want(struct walk *w, struct store *s, dice *d, size_t slot, uint32_t max_running)
{
    struct state_progress p = progress_of(w, s, slot);
    uint64_t fresh = p.counters.generated - w->leased[slot], want = roll(d, MOST);
    uint64_t waiting = p.counters.queued > fresh ? p.counters.queued - fresh : 0;
    uint64_t room = max_running ? max_running - p.counters.running : ALL;
    if (waiting > room)
        return 0;
    return (uint32_t)(want > waiting ? want : waiting);
}

static void hold_work(struct walk *w, const struct state_work *work)
{
    size_t slot = slot_of(w, work->task);
    if (work->seq > w->leased[slot])
        w->leased[slot] = work->seq;
    if (w->held_count < HELD)
        w->held[w->held_count++] = (struct state_ref){work->task, work->seq, work->attempt};
}

static int compare_work(const void *pa, const void *pb)
{
    const struct state_work *a = pa, *b = pb;
    if (a->task != b->task)
        return a->task < b->task ? -1 : 1;
    return a->seq < b->seq ? -1 : a->seq > b->seq;
}

static uint32_t max_running_of(struct walk *w, struct store *s, size_t slot)
{
    struct state_view *v;
    size_t count;
    if (!w->ids[slot] || s->ops->views(s->s, w->now_ms, w->ids[slot] - 1, 1, &s->arena, &v, &count, &s->st))
        return 0;
    return count && v->task == w->ids[slot] ? v->max_running : 0;
}

void both_lease(struct walk *w, struct store *s, dice *d)
{
    struct state_pick picks[3];
    struct state_work *work;
    size_t pick_count = roll(d, 3) + 1, count, first = roll(d, SLOTS);
    uint64_t node = any_node(s, d);
    for (size_t i = 0; i < pick_count; i++) {
        size_t slot = (first + i) % SLOTS;
        picks[i] = (struct state_pick){w->ids[slot] ? w->ids[slot] : 777777,
                                       any_want(w, s, d, slot, max_running_of(w, s, slot))};
    }
    if (!succeeds(s, lease_one(s->s, node, 0, w->now_ms, picks, pick_count, NULL, NULL, &s->arena, &work,
                               &count, &s->st)))
        return;
    if (count)
        qsort(work, count, sizeof *work, compare_work);
    for (size_t i = 0; i < count; i++) {
        both_say(s, "\n%llu/%llu attempt %u timeout %u type '%s'", (unsigned long long)work[i].task,
                 (unsigned long long)work[i].seq, work[i].attempt, work[i].timeout_ms, work[i].type);
        say_blob(s, work[i].param);
        if (is_last(w, s))
            hold_work(w, &work[i]);
    }
}

// One that was leased, or never: most are used once.
static struct state_ref any_ref(struct walk *w, struct store *s, dice *d, bool let_go)
{
    if (!w->held_count || !roll(d, 40))
        return (struct state_ref){roll(d, w->next_id) + 1, roll(d, 100), (uint32_t)roll(d, 3)};
    size_t i = roll(d, w->held_count);
    struct state_ref ref = w->held[i];
    if (roll(d, 10) && let_go && is_last(w, s))
        w->held[i] = w->held[--w->held_count];
    return ref;
}

void both_requeue(struct walk *w, struct store *s, dice *d)
{
    struct state_ref ref = any_ref(w, s, d, true);
    enum state_requeue_reason reason = roll(d, 2) ? STATE_RETURNED : STATE_DECLINED;
    succeeds(s, s->ops->requeue(s->s, &ref, 1, NULL, reason, w->now_ms + (int64_t)roll(d, 100), &s->st));
}

static void say_node(struct store *s, uint64_t id)
{
    for (size_t i = 0; i < NODES; i++)
        if (s->nodes[i] == id)
            both_say(s, "node %zu", i);
}

void both_sweep(struct walk *w, struct store *s, dice *d)
{
    uint64_t *lost;
    size_t count;
    int64_t next_ms;
    (void)d;
    if (!succeeds(s, s->ops->sweep(s->s, w->now_ms, &s->arena, &lost, &count, &next_ms, &s->st)))
        return;
    long start = begin_set(s);
    for (size_t i = 0; i < count; i++) {
        say_node(s, lost[i]);
        both_say(s, "\n");
    }
    sort_from(s, start);
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < NODES; k++)
            if (s->nodes[k] == lost[i])
                s->nodes[k] = 0;
}

// ---- results

static bool is_same(const struct state_ref *a, const struct state_ref *b)
{
    return a->task == b->task && a->seq == b->seq && a->attempt == b->attempt;
}

void both_settle(struct walk *w, struct store *s, dice *d)
{
    struct state_settle entries[MOST] = {0};
    enum state_verdict verdicts[MOST];
    size_t count = roll(d, MOST);
    for (size_t i = 0; i < count; i++) {
        struct state_settle *e = &entries[i];
        const char *body = any_word(d);
        e->ref = any_ref(w, s, d, false);
        e->kind = roll(d, 3) ? MODEL_SUCCESS : (enum model_kind)(roll(d, 5) + 1);
        e->code = (int32_t)roll(d, 300) - 20;
        e->message = roll(d, 4) ? any_word(d) : NULL;
        e->body = (struct state_blob){body, strlen(body)};
        e->run_us = (int64_t)roll(d, 5000);
        e->again = !roll(d, 20);
        e->followup_count = roll(d, 8) ? 0 : roll(d, 4);
        e->followups = any_subtasks(s, d, 5000, e->followup_count);
        if (!roll(d, 400))
            e->kind = roll(d, 2) ? 0 : 6;
    }
    if (succeeds(s, s->ops->settle(s->s, w->now_ms, entries, count, verdicts, &s->st)))
        for (size_t i = 0; i < count; i++)
            both_say(s, " %d", verdicts[i]);
    for (size_t i = 0; i < count && is_last(w, s); i++)
        for (size_t k = 0; k < w->held_count && roll(d, 10); k++)
            if (is_same(&w->held[k], &entries[i].ref)) {
                w->held[k] = w->held[--w->held_count];
                break;
            }
}

void both_peek(struct walk *w, struct store *s, dice *d)
{
    struct state_ref refs[5];
    struct state_peek peeks[5];
    for (size_t i = 0; i < 5; i++)
        refs[i] = any_ref(w, s, d, false);
    if (succeeds(s, s->ops->peek(s->s, refs, NULL, 5, &s->arena, peeks, &s->st)))
        for (size_t i = 0; i < 5; i++) {
            both_say(s, "\n%d", peeks[i].current);
            if (peeks[i].current) {
                both_say(s, " type '%s' timeout %u", peeks[i].type, peeks[i].timeout_ms);
                say_blob(s, peeks[i].param);
            }
        }
}

// All, for those that one sweep made have no order; or how many a page has. The next reading acknowledges
// all.
void both_read(struct walk *w, struct store *s, dice *d)
{
    size_t slot = roll(d, SLOTS), count;
    struct state_result *r;
    bool end, is_page = roll(d, 2);
    uint64_t task = w->ids[slot] ? w->ids[slot] : roll(d, w->next_id) + 1;
    uint64_t after = w->ids[slot] ? s->cursors[slot] : 0;
    if (!succeeds(s, s->ops->results(s->s, task, after, is_page ? roll(d, 20) + 1 : ALL, &s->arena, &r,
                                     &count, &end, &s->st)))
        return;
    both_say(s, " %zu end %d", count, end);
    if (is_page || !count || !w->ids[slot])
        return;
    long start = begin_set(s);
    for (size_t i = 0; i < count; i++)
        say_result(s, &r[i]);
    sort_from(s, start);
    s->cursors[slot] = r[count - 1].position;
}

// ---- nodes

void both_node_add(struct walk *w, struct store *s, dice *d)
{
    size_t i = roll(d, NODES);
    struct state_node node = {.name = any_word(d),
                              .host = any_word(d),
                              .types = any_word(d),
                              .pid = (uint32_t)roll(d, 1u << 31),
                              .slots = (uint32_t)roll(d, 4096),
                              .lease_until_ms = w->now_ms + (int64_t)roll(d, 5000)};
    if (s->nodes[i])
        return;
    uint64_t id = 0;
    if (succeeds(s, s->ops->node_add(s->s, &node, NULL, NULL, &id, &s->st)))
        s->nodes[i] = id;
}

void both_node_renew(struct walk *w, struct store *s, dice *d)
{
    uint64_t *lost;
    size_t count;
    int64_t until_ms = w->now_ms + (int64_t)roll(d, 6000);
    struct state_renewal r[2] = {{any_node(s, d), until_ms, false}, {any_node(s, d), until_ms, !roll(d, 3)}};
    if (!roll(d, 20))
        succeeds(s, s->ops->node_grace(s->s, until_ms, &s->st));
    else if (succeeds(s, s->ops->node_renew(s->s, r, r[0].node == r[1].node ? 1 : 2, &s->arena, &lost, &count,
                                            &s->st)))
        both_say(s, " lost %zu", count);
}

void both_node_note(struct walk *w, struct store *s, dice *d)
{
    (void)w;
    uint64_t a = any_node(s, d), b = any_node(s, d);
    bool is_short = roll(d, 2), is_apart = !roll(d, 3);
    struct state_note notes[] = {
        {a, (uint32_t)roll(d, 4096), is_short ? any_word(d) : "", is_apart ? any_word(d) : ""},
        {b, 0, "", ""},
    };
    succeeds(s, s->ops->node_note(s->s, notes, a == b ? 1 : 2, &s->st));
}

void both_node_leave(struct walk *w, struct store *s, dice *d)
{
    size_t i = roll(d, NODES);
    if (roll(d, 4))
        return;
    if (w->held_count && roll(d, 2)) {
        struct state_ref keep[3];
        for (size_t k = 0; k < 3; k++)
            keep[k] = any_ref(w, s, d, false);
        struct state_holding h = {.refs = keep, .count = roll(d, 4)};
        struct state_holder who = {.node = s->nodes[i]};
        succeeds(s, s->ops->node_reconcile(s->s, who, &h, &s->arena, &s->st));
        return;
    }
    succeeds(s, s->ops->node_remove(s->s, (struct state_holder){.node = s->nodes[i]}, &s->st));
    s->nodes[i] = 0;
}

void both_time(struct walk *w, struct store *s, dice *d)
{
    int64_t ms = (int64_t)roll(d, roll(d, 30) ? 300 : 20000);
    w->now_ms += is_last(w, s) ? ms : 0;
}
