// SPDX-License-Identifier: Apache-2.0
// state_contract_random.c: a random walk through the operations, compared with a plain model after every
// step.
//
// The model keeps every subtask in an array and shares only lib/model's decisions with the store. Which
// subtask a lease gives is the store's choice within the rules; the model checks the rules and follows.
#include "state_contract_fixture.h"

#include <time.h>

enum { SLOTS = 6, SUBTASKS = 3000, NODES = 4, HELD = 4000 };

enum { FRESH, LEASED, WAITING, SETTLED };

struct subtask {
    int state;
    uint32_t attempt, failures, losses;
    uint64_t node;
    int64_t due_ms;
};

struct task {
    struct state_task as;
    enum model_phase phase;
    enum model_outcome outcome;
    bool paused;
    struct model_counters n;
    uint64_t cursor, made, fence, results, results_read;
    struct subtask subtasks[SUBTASKS]; // [seq - 1]
};

struct walk {
    struct fixture *f;
    uint64_t seed, next_id;
    struct task tasks[SLOTS];
    struct {
        uint64_t id;
        int64_t until_ms;
    } nodes[NODES]; // id 0: none
    struct state_ref held[HELD];
    size_t held_count;
};

static uint64_t roll(struct walk *w, uint64_t sides)
{
    w->seed ^= w->seed << 13;
    w->seed ^= w->seed >> 7;
    w->seed ^= w->seed << 17;
    return w->seed % sides;
}

static bool live(const struct task *t)
{
    return t->phase == MODEL_GENERATING || t->phase == MODEL_DRAINING;
}

static uint64_t fresh(const struct task *t)
{
    return t->n.generated + 1 - t->cursor;
}

static struct task *any_task(struct walk *w)
{
    return &w->tasks[roll(w, SLOTS)];
}

static struct task *task_of(struct walk *w, uint64_t id)
{
    for (int i = 0; i < SLOTS; i++)
        if (w->tasks[i].as.id == id)
            return &w->tasks[i];
    return NULL;
}

// ---- the model's steps

static void model_drop(struct task *t, enum model_outcome outcome)
{
    t->phase = MODEL_STOPPING;
    t->outcome = outcome;
    for (uint64_t i = 0; i < t->n.generated; i++)
        if (t->subtasks[i].state == FRESH || t->subtasks[i].state == WAITING)
            t->subtasks[i].state = SETTLED;
    t->n.cancelled += t->n.queued;
    t->n.queued = 0;
    t->cursor = t->n.generated + 1;
}

static void model_advance(struct task *t)
{
    enum model_outcome outcome;
    enum model_phase next =
        model_phase_next(t->phase, &t->n, &t->as.policy, t->as.closing_callback, &outcome);
    if (outcome == MODEL_OUTCOME_FAILED) {
        model_drop(t, outcome);
        next = model_phase_next(t->phase, &t->n, &t->as.policy, t->as.closing_callback, &outcome);
    } else if (outcome) {
        t->outcome = outcome;
    }
    t->phase = next;
}

static void model_append(struct task *t, size_t count)
{
    for (size_t i = 0; i < count; i++)
        t->subtasks[t->n.generated + i] = (struct subtask){.state = FRESH};
    t->n.generated += count;
    t->n.queued += count;
}

static void model_return(struct task *t, struct subtask *s, int64_t ready_ms, bool counts)
{
    t->n.running--;
    if (!live(t)) {
        s->state = SETTLED;
        t->n.cancelled++;
        return;
    }
    s->state = WAITING;
    s->due_ms = ready_ms;
    t->n.queued++;
    t->n.redispatched += counts;
}

static enum state_verdict model_settle(struct task *t, struct subtask *s, enum model_kind kind,
                                       int64_t now_ms)
{
    int64_t delay_ms;
    t->n.running--;
    if (live(t) && model_retry(&t->as.policy, kind, s->failures, s->losses, STATE_LOSSES_MAX, &delay_ms) ==
                       MODEL_RETRY) {
        s->state = WAITING;
        s->due_ms = now_ms + delay_ms;
        t->n.queued++;
        if (kind == MODEL_LOST) {
            s->losses++;
            t->n.redispatched++;
        } else {
            s->failures++;
            t->n.retried++;
        }
        return STATE_RETRIED;
    }
    s->state = SETTLED;
    if (kind == MODEL_SUCCESS)
        t->n.succeeded++;
    else if (!live(t) || kind == MODEL_CANCELLED_RESULT)
        t->n.cancelled++;
    else if (kind == MODEL_TIMEOUT)
        t->n.timed_out++;
    else
        t->n.failed++;
    t->results += t->as.keep_results;
    return STATE_SETTLED;
}

static uint64_t due_retries(const struct task *t, int64_t now_ms)
{
    uint64_t n = 0;
    for (uint64_t i = 0; i < t->n.generated; i++)
        n += t->subtasks[i].state == WAITING && t->subtasks[i].due_ms <= now_ms;
    return n;
}

static bool has_node(const struct walk *w, uint64_t id)
{
    for (int i = 0; i < NODES; i++)
        if (id && w->nodes[i].id == id)
            return true;
    return false;
}

// ---- the operations

static void do_admit(struct walk *w)
{
    struct task *t = any_task(w);
    if (t->as.id)
        return;
    memset(t, 0, sizeof *t);
    t->as = task_sample(w->next_id++);
    t->as.policy =
        (struct model_policy){(uint32_t)roll(w, 4), (uint32_t)roll(w, 200), (int64_t)roll(w, 30) - 15};
    if (t->as.policy.tolerated_failures < 0)
        t->as.policy.tolerated_failures = -1;
    t->as.max_running = roll(w, 3) ? 0 : (uint32_t)roll(w, 50) + 1;
    t->as.keep_results = roll(w, 2);
    t->as.fed = !roll(w, 3);
    t->as.closing_callback = roll(w, 2);
    t->phase = MODEL_GENERATING;
    t->cursor = 1;
    admit_task(w->f, &t->as);
}

static void do_pause(struct walk *w)
{
    struct task *t = any_task(w);
    if (!t->as.id)
        return;
    t->paused = roll(w, 3) == 0;
    must(w->f, w->f->ops->pause(w->f->s, t->as.id, t->paused, &w->f->st));
}

static void do_stop(struct walk *w)
{
    struct task *t = any_task(w);
    if (!t->as.id || roll(w, 4))
        return;
    must(w->f, w->f->ops->stop(w->f->s, t->as.id, MODEL_OUTCOME_CANCELLED, "stop", &w->f->st));
    if (live(t))
        model_drop(t, MODEL_OUTCOME_CANCELLED);
    model_advance(t);
}

static void do_close(struct walk *w)
{
    struct task *t = any_task(w);
    if (!t->as.id)
        return;
    if (t->phase == MODEL_CLOSED) {
        must(w->f, w->f->ops->remove(w->f->s, &t->as.id, 1, 0, &w->f->st));
        must(w->f, w->f->ops->expire_results(w->f->s, 0, &w->f->st));
        t->as.id = 0;
        return;
    }
    int code = w->f->ops->close_task(w->f->s, t->as.id, NULL, &w->f->st);
    assert_code(w->f, t->phase == MODEL_CLOSING ? NRPC_OK : NRPC_FAILED_PRECONDITION, code);
    if (!code)
        t->phase = MODEL_CLOSED;
}

static void do_claim(struct walk *w)
{
    struct state_claim *claims;
    size_t count;
    must(w->f, w->f->ops->claim(w->f->s, 5, w->f->now_ms, w->f->now_ms + 500, roll(w, 4), &w->f->arena,
                                &claims, &count, &w->f->st));
    for (size_t i = 0; i < count; i++) {
        struct task *t = task_of(w, claims[i].task);
        assert_non_null(t);
        if (!t)
            return;
        assert_true(t->phase == MODEL_GENERATING && !t->paused && !t->as.fed);
        assert_true(claims[i].generated == t->made && claims[i].queue.subtasks == fresh(t));
        assert_true(claims[i].fence > t->fence);
        t->fence = claims[i].fence;
    }
}

static void do_push(struct walk *w)
{
    struct task *t = any_task(w);
    size_t count = roll(w, 80);
    bool done = !roll(w, 12);
    struct state_queue queue;
    if (!t->as.id || t->n.generated + count > SUBTASKS - 600)
        return;
    uint64_t fence = roll(w, 5) ? t->fence : t->fence + 1;
    bool legal = t->phase == MODEL_GENERATING && !t->paused && fence == t->fence && fence;
    int code = w->f->ops->push(w->f->s, t->as.id, fence, t->made, subtasks(w->f, t->n.generated + 1, count),
                               count, (struct state_blob){"at", 2}, done, -1, &queue, &w->f->st);
    assert_code(w->f, legal ? NRPC_OK : NRPC_ABORTED, code);
    if (!legal)
        return;
    model_append(t, count);
    t->made += count;
    t->n.generation_done = done;
    model_advance(t);
    assert_true(queue.subtasks == fresh(t));
}

static void do_feed(struct walk *w)
{
    struct task *t = any_task(w);
    size_t count = roll(w, 60);
    bool finish = !roll(w, 12);
    uint64_t fed;
    if (!t->as.id || !t->as.fed || t->phase >= MODEL_STOPPING || t->n.generated + count > SUBTASKS - 600)
        return;
    uint64_t back = roll(w, 4) ? 0 : roll(w, t->made + 1);
    uint64_t at = t->made - back, added = back < count ? count - back : 0;
    bool legal = !t->n.generation_done || !added;
    const struct state_subtask *named =
        subtasks(w->f, t->n.generated + 1 - back, count); // the new ones by their numbers
    int code = w->f->ops->feed(w->f->s, t->as.id, at, named, count, finish, &fed, &w->f->st);
    assert_code(w->f, legal ? NRPC_OK : NRPC_FAILED_PRECONDITION, code);
    if (!legal)
        return;
    model_append(t, added);
    t->made += added;
    t->n.generation_done |= finish;
    model_advance(t);
    assert_true(fed == t->made);
}

static void take_work(struct walk *w, struct task *t, const struct state_work *work, uint64_t node,
                      bool retry)
{
    struct subtask *s = &t->subtasks[work->seq - 1];
    char param[24];
    int n = snprintf(param, sizeof param, "p%llu", (unsigned long long)work->seq);
    assert_true(work->seq <= t->n.generated && work->attempt == s->attempt + 1);
    assert_int_equal(work->param.bytes, n);
    assert_memory_equal(work->param.data, param, (size_t)n);
    if (retry)
        assert_true(s->state == WAITING && s->due_ms <= w->f->now_ms);
    else
        assert_true(s->state == FRESH && work->seq == t->cursor++);
    s->state = LEASED;
    s->attempt++;
    s->node = node;
    s->due_ms = w->f->now_ms + work->timeout_ms + 30000;
    t->n.queued--;
    t->n.running++;
    if (w->held_count < HELD)
        w->held[w->held_count++] = ref_of(work);
}

static void do_lease(struct walk *w)
{
    struct task *t = any_task(w);
    uint64_t node = w->nodes[roll(w, NODES)].id;
    uint32_t want = (uint32_t)roll(w, 60);
    if (!t->as.id || !node)
        return;
    uint64_t retries = due_retries(t, w->f->now_ms), most = retries + fresh(t);
    uint64_t room = t->as.max_running ? t->as.max_running - t->n.running : UINT64_MAX;
    if (!live(t) || t->paused)
        most = 0;
    most = most < room ? most : room;
    most = most < want ? most : want;
    struct works got = lease(w->f, node, t->as.id, want);
    assert_int_equal(got.count, most);
    for (size_t i = 0; i < got.count; i++)
        take_work(w, t, &got.at[i], node, i < retries);
}

static bool current(struct walk *w, const struct state_ref *ref, struct task **t, struct subtask **s)
{
    *t = task_of(w, ref->task);
    if (!*t)
        return false;
    *s = &(*t)->subtasks[ref->seq - 1];
    return (*s)->state == LEASED && (*s)->attempt == ref->attempt;
}

// A held ref; mostly it is let go, sometimes kept, to be used again when it is stale.
static struct state_ref any_held(struct walk *w)
{
    size_t i = roll(w, w->held_count);
    struct state_ref ref = w->held[i];
    if (roll(w, 10))
        w->held[i] = w->held[--w->held_count];
    return ref;
}

static void do_settle(struct walk *w)
{
    enum { MOST = 40 };
    struct state_settle entries[MOST] = {0};
    enum state_verdict verdicts[MOST], expected[MOST];
    size_t count = roll(w, MOST);
    bool touched[SLOTS] = {false};
    for (size_t i = 0; i < count; i++) {
        struct task *t;
        struct subtask *s;
        if (!w->held_count) {
            count = i;
            break;
        }
        struct state_settle *e = &entries[i];
        e->ref = any_held(w);
        e->kind = roll(w, 3) ? MODEL_SUCCESS : (enum model_kind)(roll(w, 5) + 1);
        e->again = !roll(w, 20);
        expected[i] = STATE_STALE;
        if (!current(w, &e->ref, &t, &s))
            continue;
        touched[t - w->tasks] = true;
        enum model_kind kind = e->again && e->kind == MODEL_SUCCESS ? MODEL_FAILURE : e->kind;
        expected[i] = model_settle(t, s, kind, w->f->now_ms);
        size_t more = roll(w, 8) ? 0 : roll(w, 4);
        if (t->n.generated + more > SUBTASKS)
            more = 0;
        e->followups = subtasks(w->f, t->n.generated + 1, more);
        e->followup_count = more;
        if (expected[i] == STATE_SETTLED && live(t))
            model_append(t, more);
    }
    for (int i = 0; i < SLOTS; i++)
        if (touched[i])
            model_advance(&w->tasks[i]);
    must(w->f, w->f->ops->settle(w->f->s, w->f->now_ms, entries, count, verdicts, &w->f->st));
    for (size_t i = 0; i < count; i++)
        assert_int_equal(verdicts[i], expected[i]);
}

static void do_requeue(struct walk *w)
{
    struct task *t;
    struct subtask *s;
    if (!w->held_count)
        return;
    struct state_ref ref = any_held(w);
    bool returned = roll(w, 2);
    int64_t ready_ms = w->f->now_ms + (int64_t)roll(w, 100);
    must(w->f, w->f->ops->requeue(w->f->s, &ref, 1, NULL, returned ? STATE_RETURNED : STATE_DECLINED,
                                  ready_ms, &w->f->st));
    if (!current(w, &ref, &t, &s))
        return;
    model_return(t, s, ready_ms, returned);
    model_advance(t);
}

static void do_node_add(struct walk *w)
{
    uint64_t i = roll(w, NODES);
    if (w->nodes[i].id)
        return;
    w->nodes[i].until_ms = w->f->now_ms + (int64_t)roll(w, 3000);
    w->nodes[i].id = node_make(w->f, w->nodes[i].until_ms);
}

static void do_node_renew(struct walk *w)
{
    uint64_t *lost, i = roll(w, NODES);
    size_t count;
    int64_t until_ms = w->f->now_ms + 3000;
    must(w->f, w->f->ops->node_renew(w->f->s, &(struct state_renewal){w->nodes[i].id, until_ms, false}, 1,
                                     &w->f->arena, &lost, &count, &w->f->st));
    assert_int_equal(count, !w->nodes[i].id);
    if (w->nodes[i].until_ms < until_ms)
        w->nodes[i].until_ms = until_ms;
}

static void model_leave(struct walk *w, uint64_t node, const struct state_ref *keep)
{
    for (int i = 0; i < SLOTS; i++) {
        struct task *t = &w->tasks[i];
        for (uint64_t k = 0; t->as.id && k < t->n.generated; k++) {
            struct subtask *s = &t->subtasks[k];
            if (s->state != LEASED || s->node != node)
                continue;
            if (keep && keep->task == t->as.id && keep->seq == k + 1 && keep->attempt == s->attempt)
                continue;
            model_return(t, s, 0, true);
        }
        if (t->as.id)
            model_advance(t);
    }
}

static void do_node_leave(struct walk *w)
{
    uint64_t i = roll(w, NODES);
    if (!w->nodes[i].id || roll(w, 3))
        return;
    if (w->held_count && roll(w, 2)) {
        struct state_ref keep = w->held[roll(w, w->held_count)];
        struct state_holding h = {.refs = &keep, .count = 1};
        struct state_holder who = {.node = w->nodes[i].id};
        must(w->f, w->f->ops->node_reconcile(w->f->s, who, &h, &w->f->arena, &w->f->st));
        model_leave(w, w->nodes[i].id, &keep);
        return;
    }
    must(w->f, w->f->ops->node_remove(w->f->s, (struct state_holder){.node = w->nodes[i].id}, &w->f->st));
    model_leave(w, w->nodes[i].id, NULL);
    w->nodes[i].id = 0;
}

// The node registers again, and has forgotten some of what it had.
static void register_again(struct walk *w, uint64_t i)
{
    struct state_ref refs[SLOTS * 64];
    struct state_holding h = {.refs = refs};
    for (int k = 0; k < SLOTS; k++) {
        struct task *t = &w->tasks[k];
        for (uint64_t n = 0; t->as.id && n < t->n.generated && h.count < SLOTS * 64; n++)
            if (t->subtasks[n].state == LEASED && t->subtasks[n].node == w->nodes[i].id && roll(w, 4))
                refs[h.count++] = (struct state_ref){t->as.id, n + 1, t->subtasks[n].attempt};
    }
    w->nodes[i].until_ms = w->f->now_ms + 1000;
    uint64_t former = w->nodes[i].id;
    w->nodes[i].id = node_again(w->f, former, w->nodes[i].until_ms, &h);
    for (size_t k = 0; k < h.count; k++) {
        struct task *t = NULL;
        struct subtask *s = NULL;
        assert_true(h.kept[k]);
        assert_true(current(w, &refs[k], &t, &s));
        s->node = w->nodes[i].id;
    }
    model_leave(w, former, NULL);
}

static void do_node_again(struct walk *w)
{
    uint64_t i = roll(w, NODES);
    if (w->nodes[i].id && !roll(w, 3))
        register_again(w, i);
}

static void do_sweep(struct walk *w)
{
    size_t gone = 0;
    for (int i = 0; i < NODES; i++)
        if (w->nodes[i].id && w->nodes[i].until_ms <= w->f->now_ms) {
            w->nodes[i].id = 0;
            gone++;
        }
    for (int i = 0; i < SLOTS; i++) {
        struct task *t = &w->tasks[i];
        for (uint64_t k = 0; t->as.id && k < t->n.generated; k++) {
            struct subtask *s = &t->subtasks[k];
            if (s->state == LEASED && !has_node(w, s->node))
                model_settle(t, s, MODEL_LOST, w->f->now_ms);
            else if (s->state == LEASED && s->due_ms <= w->f->now_ms)
                model_settle(t, s, MODEL_TIMEOUT, w->f->now_ms);
        }
        if (t->as.id)
            model_advance(t);
    }
    struct swept swept = sweep(w->f);
    assert_int_equal(swept.count, gone);
    assert_true(swept.next_ms > w->f->now_ms);
}

static void do_read(struct walk *w)
{
    struct task *t = any_task(w);
    struct state_result *r;
    size_t count;
    bool end;
    if (!t->as.id || !t->as.keep_results)
        return;
    uint64_t after = roll(w, t->results + 1);
    must(w->f, w->f->ops->results(w->f->s, t->as.id, after, 10, &w->f->arena, &r, &count, &end, &w->f->st));
    if (after > t->results_read)
        t->results_read = after;
    uint64_t left = t->results - t->results_read;
    assert_int_equal(count, left < 10 ? left : 10);
}

static void do_time(struct walk *w)
{
    w->f->now_ms += (int64_t)roll(w, roll(w, 30) ? 300 : 20000);
}

static void do_reopen(struct walk *w)
{
    struct state *s = w->f->s;
    state_watch_fn watch = s->watch;
    void *user = s->watch_user;
    if (roll(w, 10))
        return;
    w->f->s = w->f->contract->reopen(w->f->contract->user, s);
    w->f->ops->watch(w->f->s, watch, user);
    for (uint64_t i = 0; i < NODES; i++) { // it may have begun anew
        struct state_node found;
        if (w->nodes[i].id && w->f->ops->node_get(w->f->s, holder(w->f, w->nodes[i].id), &w->f->arena, &found,
                                                  &w->f->st) == NRPC_NOT_FOUND)
            register_again(w, i);
    }
}

// ---- comparing

static void compare_task(struct walk *w, const struct task *t)
{
    struct state_progress p;
    struct state_result *r;
    size_t count;
    must(w->f, w->f->ops->progress(w->f->s, &t->as.id, 1, &w->f->arena, &p, &w->f->st));
    assert_true(p.found);
    assert_string_equal(model_phase_name(p.phase), model_phase_name(t->phase));
    assert_string_equal(model_outcome_name(p.outcome), model_outcome_name(t->outcome));
    assert_int_equal(p.paused, t->paused);
    assert_memory_equal(&p.counters, &t->n, offsetof(struct model_counters, generation_done));
    assert_int_equal(p.counters.generation_done, t->n.generation_done);
    must(w->f, w->f->ops->failures(w->f->s, t->as.id, 0, 100000, &w->f->arena, &r, &count, &w->f->st));
    assert_int_equal(count, t->n.failed + t->n.timed_out);
}

static void compare_view(struct walk *w, const struct task *t)
{
    struct state_view *v;
    size_t count;
    must(w->f, w->f->ops->views(w->f->s, w->f->now_ms, t->as.id - 1, 1, &w->f->arena, &v, &count, &w->f->st));
    if (!live(t)) {
        assert_true(!count || v->task != t->as.id);
        return;
    }
    assert_true(count == 1 && v->task == t->as.id && v->running == t->n.running);
    uint64_t ready = t->paused ? 0 : fresh(t) + due_retries(t, w->f->now_ms);
    assert_true(v->ready <= ready && (v->ready > 0) == (ready > 0));
    int64_t next_ms = CLOCK_NEVER;
    for (uint64_t i = 0; i < t->n.generated && !t->paused; i++) {
        const struct subtask *s = &t->subtasks[i];
        if (s->state == WAITING && s->due_ms > w->f->now_ms && s->due_ms < next_ms)
            next_ms = s->due_ms;
    }
    if (v->ready == ready)
        assert_true(v->next_retry_ms == next_ms);
}

static void compare_all(struct walk *w)
{
    struct state_node *n;
    size_t count;
    uint64_t running = 0;
    for (int i = 0; i < SLOTS; i++)
        if (w->tasks[i].as.id) {
            compare_task(w, &w->tasks[i]);
            compare_view(w, &w->tasks[i]);
            running += w->tasks[i].n.running;
        }
    must(w->f, w->f->ops->nodes(w->f->s, &w->f->arena, &n, &count, &w->f->st));
    for (size_t i = 0; i < count; i++) {
        assert_true(has_node(w, n[i].id));
        running -= n[i].running;
    }
    assert_int_equal(running, 0);
}

void state_random_test(void **state)
{
    static void (*const steps[])(struct walk *) = {
        do_admit,  do_admit,  do_pause,  do_stop,    do_close,      do_claim,      do_claim,      do_push,
        do_push,   do_push,   do_feed,   do_feed,    do_lease,      do_lease,      do_lease,      do_settle,
        do_settle, do_settle, do_settle, do_requeue, do_node_add,   do_node_renew, do_node_leave, do_sweep,
        do_read,   do_time,   do_time,   do_reopen,  do_node_again,
    };
    struct walk *w = mem_calloc(1, sizeof *w);
    const char *seed = getenv("DTF_SEED"), *length = getenv("DTF_OPERATIONS");
    w->f = *state;
    w->next_id = 1;
    w->seed = seed ? strtoull(seed, NULL, 10) : (uint64_t)time(NULL) * 2654435761u | 1;
    long operations = length ? atol(length) : 4000;
    print_message("           DTF_SEED=%llu\n", (unsigned long long)w->seed);
    for (long i = 0; i < operations; i++) {
        steps[roll(w, sizeof steps / sizeof *steps)](w);
        compare_all(w);
        arena_reset(&w->f->arena);
    }
    free(w);
}
