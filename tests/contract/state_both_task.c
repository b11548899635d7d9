// SPDX-License-Identifier: Apache-2.0
// state_both_task.c: operations on tasks: their life, and generation.
#include "state_both.h"

// ---- the life of a task

void both_admit(struct walk *w, struct store *s, dice *d)
{
    size_t slot = roll(d, SLOTS);
    struct state_task t = {.id = w->ids[slot] ? w->ids[slot] : w->next_id,
                           .type = any_word(d),
                           .group = any_word(d),
                           .priority = (uint32_t)roll(d, 9000),
                           .deadline_ms = roll(d, 4) ? CLOCK_NEVER : w->now_ms + (int64_t)roll(d, 100000),
                           .policy = {(uint32_t)roll(d, 4), (uint32_t)roll(d, 200), (int64_t)roll(d, 30) - 1},
                           .max_running = roll(d, 3) ? 0 : (uint32_t)roll(d, 50) + 1,
                           .keep_results = roll(d, 2),
                           .fed = !roll(d, 3),
                           .closing_callback = roll(d, 2),
                           .param = {"p\0q", 3}};
    if (!roll(d, 5)) { // the state was lost, and its record says how far it was
        t.again = true;
        t.counters = (struct model_counters){.generated = 9, .succeeded = 7, .cancelled = 2, .retried = 3};
        t.made = 9;
        t.checkpoint = (struct state_blob){"checkpoint", 10};
    }
    succeeds(s, s->ops->admit(s->s, &t, 1, &s->st));
    if (!w->ids[slot] && is_last(w, s)) {
        w->ids[slot] = w->next_id++;
        w->leased[slot] = t.made;
        for (int i = 0; i < STORES; i++)
            w->stores[i].fences[slot] = w->stores[i].cursors[slot] = 0;
    }
}

void both_pause(struct walk *w, struct store *s, dice *d)
{
    size_t slot = roll(d, SLOTS);
    succeeds(s, s->ops->pause(s->s, w->ids[slot], !roll(d, 3), &s->st));
}

void both_stop(struct walk *w, struct store *s, dice *d)
{
    size_t slot = roll(d, SLOTS);
    if (!roll(d, 6))
        succeeds(s,
                 s->ops->stop(s->s, w->ids[slot], (enum model_outcome)(roll(d, 3) + 2), any_word(d), &s->st));
}

void both_close(struct walk *w, struct store *s, dice *d)
{
    size_t slot = roll(d, SLOTS);
    const char *failure = roll(d, 3) ? NULL : any_word(d);
    succeeds(s, s->ops->close_task(s->s, w->ids[slot], failure, &s->st));
}

void both_remove(struct walk *w, struct store *s, dice *d)
{
    size_t slot = roll(d, SLOTS);
    int64_t until_ms = roll(d, 2) ? 0 : w->now_ms + (int64_t)roll(d, 1000);
    succeeds(s, s->ops->remove(s->s, &w->ids[slot], 1, until_ms, &s->st));
    succeeds(s, s->ops->expire_results(s->s, w->now_ms, &s->st));
    if (is_last(w, s) && !progress_of(w, s, slot).found)
        w->ids[slot] = 0;
}

static void say_tasks(struct store *s, const uint64_t *tasks, size_t count)
{
    long start = begin_set(s);
    for (size_t i = 0; i < count; i++)
        both_say(s, "task %llu\n", (unsigned long long)tasks[i]);
    sort_from(s, start);
}

void both_take(struct walk *w, struct store *s, dice *d)
{
    uint64_t *tasks;
    size_t count;
    enum model_phase phase = roll(d, 2) ? MODEL_CLOSING : MODEL_CLOSED;
    int64_t until_ms = w->now_ms + (int64_t)roll(d, 500);
    bool holds = roll(d, 2);
    if (!succeeds(s, s->ops->take(s->s, phase, w->now_ms, until_ms, ALL, &s->arena, &tasks, &count, &s->st)))
        return;
    say_tasks(s, tasks, count);
    if (holds && phase == MODEL_CLOSING)
        succeeds(s, s->ops->hold(s->s, tasks, count, until_ms + 100, &s->st));
}

void both_look_for(struct walk *w, struct store *s, dice *d)
{
    uint64_t *tasks;
    size_t count;
    int64_t next_ms;
    if (succeeds(s, s->ops->overdue(s->s, w->now_ms, ALL, &s->arena, &tasks, &count, &next_ms, &s->st))) {
        say_tasks(s, tasks, count);
        both_say(s, "next %lld\n", (long long)next_ms);
    }
    enum model_phase phase = (enum model_phase)(roll(d, 5) + 1);
    uint64_t after = roll(d, 2) ? 0 : roll(d, w->next_id);
    if (succeeds(s, s->ops->in_phase(s->s, phase, after, roll(d, 4) + 1, &s->arena, &tasks, &count, &s->st)))
        for (size_t i = 0; i < count; i++) // ids rising
            both_say(s, " %llu", (unsigned long long)tasks[i]);
}

// By one owner: over SQLite there is one process.
void both_lead(struct walk *w, struct store *s, dice *d)
{
    bool leads;
    const char *duty = roll(d, 2) ? "one" : "two";
    int64_t until_ms = w->now_ms + (int64_t)roll(d, 400);
    if (succeeds(s, s->ops->lead(s->s, duty, 1, w->now_ms, until_ms, &leads, &s->st)))
        both_say(s, " %d", leads);
}

// ---- generation

void both_claim(struct walk *w, struct store *s, dice *d)
{
    struct state_claim *claims;
    size_t count;
    uint64_t owner = roll(d, 3) + 1;
    int64_t until_ms = w->now_ms + (int64_t)roll(d, 1000);
    if (!succeeds(s,
                  s->ops->claim(s->s, owner, w->now_ms, until_ms, ALL, &s->arena, &claims, &count, &s->st)))
        return;
    long start = begin_set(s);
    for (size_t i = 0; i < count; i++) {
        const struct state_claim *c = &claims[i];
        uint64_t *fence = &s->fences[slot_of(w, c->task)];
        both_say(s, "task %llu generated %llu queued %llu of %llu bytes until %lld rises %d",
                 (unsigned long long)c->task, (unsigned long long)c->generated,
                 (unsigned long long)c->queue.subtasks, (unsigned long long)c->queue.bytes,
                 (long long)c->deadline_ms, c->fence > *fence);
        say_blob(s, c->param);
        say_blob(s, c->checkpoint);
        both_say(s, " %d\n", c->checkpoint.data != NULL);
        *fence = c->fence;
    }
    sort_from(s, start);
}

void both_renew_claims(struct walk *w, struct store *s, dice *d)
{
    size_t slot = roll(d, SLOTS);
    uint64_t owner = roll(d, 3) + 1;
    if (roll(d, 2))
        succeeds(s,
                 s->ops->renew_claims(s->s, owner, w->ids, SLOTS, w->now_ms + (int64_t)roll(d, 900), &s->st));
    else
        succeeds(s, s->ops->release_claim(s->s, w->ids[slot], s->fences[slot] + !roll(d, 4),
                                          roll(d, 2) ? w->now_ms + (int64_t)roll(d, 900) : 0, &s->st));
}

static uint64_t any_at(dice *d, uint64_t made, size_t count)
{
    switch (roll(d, 6)) {
    case 0:
        return roll(d, made + 1);
    case 1:
        return made + 1 + roll(d, 3);
    case 2:
        return made > count ? made - count : 0;
    default:
        return made;
    }
}

// What was generated without follow-ups; only feeding and pushing tell it.
static uint64_t made_of(struct walk *w, struct store *s, size_t slot)
{
    uint64_t fed = 0;
    if (s->ops->feed(s->s, w->ids[slot], 0, NULL, 0, false, &fed, &s->st) == NRPC_OK)
        return fed;
    return progress_of(w, s, slot).counters.generated;
}

void both_push(struct walk *w, struct store *s, dice *d)
{
    size_t slot = roll(d, SLOTS), count = roll(d, 60);
    bool done = !roll(d, 15);
    struct state_queue queue;
    uint64_t fence = s->fences[slot] + !roll(d, 8), at = any_at(d, made_of(w, s, slot), count);
    struct state_subtask *new = any_subtasks(s, d, at + 1, count);
    struct state_blob checkpoint = {0};
    if (roll(d, 3))
        checkpoint = (struct state_blob){any_word(d), 0};
    checkpoint.bytes = checkpoint.data ? strlen(checkpoint.data) : 0;
    int percent = (int)roll(d, 102) - 1;
    for (uint64_t times = roll(d, 5) ? 1 : 2; times; times--)
        if (succeeds(s, s->ops->push(s->s, w->ids[slot], fence, at, new, count, checkpoint, done, percent,
                                     &queue, &s->st)))
            both_say(s, " queued %llu of %llu bytes", (unsigned long long)queue.subtasks,
                     (unsigned long long)queue.bytes);
}

void both_feed(struct walk *w, struct store *s, dice *d)
{
    size_t slot = roll(d, SLOTS), count = roll(d, 60);
    bool finish = !roll(d, 15);
    uint64_t fed = 0, at = any_at(d, made_of(w, s, slot), count);
    struct state_subtask *new = any_subtasks(s, d, at + 1, count);
    if (succeeds(s, s->ops->feed(s->s, w->ids[slot], at, new, count, finish, &fed, &s->st)))
        both_say(s, " fed %llu", (unsigned long long)fed);
}
