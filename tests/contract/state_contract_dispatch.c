// SPDX-License-Identifier: Apache-2.0
// state_contract_dispatch.c: views, leases, subtasks put back, holders.
#include "lease_one.h"
#include "state_contract_fixture.h"

static void test_views(void **state)
{
    struct fixture *f = *state;
    struct state_view *v;
    size_t count;
    for (uint64_t id = 1; id <= 5; id++) {
        struct state_task task = task_sample(id);
        task.max_running = (uint32_t)id * 10;
        admit_task(f, &task);
        push(f, id, id, id % 2 == 0);
    }
    must(f, f->ops->stop(f->s, 3, MODEL_OUTCOME_CANCELLED, "", &f->st));
    must(f, f->ops->views(f->s, f->now_ms, 0, 3, &f->arena, &v, &count, &f->st));
    assert_int_equal(count, 3);
    assert_true(v[0].task == 1 && v[1].task == 2 && v[2].task == 4);
    assert_string_equal(v[2].group, "blue");
    assert_string_equal(v[2].type, "count");
    assert_true(v[2].priority == 7 && v[2].ready == 4 && v[2].running == 0 && v[2].max_running == 40);
    assert_true(v[2].next_retry_ms == CLOCK_NEVER);
    uint64_t version = v[2].version;
    lease(f, node_make(f, CLOCK_NEVER), 4, 1);
    must(f, f->ops->views(f->s, f->now_ms, 2, 9, &f->arena, &v, &count, &f->st));
    assert_int_equal(count, 2);
    assert_true(v[0].task == 4 && v[0].ready == 3 && v[0].running == 1 && v[0].version > version);
    assert_true(v[1].task == 5);
}

static void test_lease_in_order(void **state)
{
    struct fixture *f = *state;
    uint64_t node = node_make(f, CLOCK_NEVER), other = node_make(f, CLOCK_NEVER);
    admit(f, 1);
    admit(f, 2);
    push(f, 1, 100, false);
    push(f, 2, 5, true);
    told(f);
    char *others = snapshot_except(f, 1);
    struct works a = lease(f, node, 1, 33);
    assert_told(f, "view:1");
    assert_look(f, 1, "generating gen=100 run=33 queued=67 ready=67");
    struct works b = lease(f, other, 1, 200);
    assert_int_equal(a.count, 33);
    assert_int_equal(b.count, 67);
    for (uint64_t seq = 1; seq <= 100; seq++) {
        const struct state_work *w = seq <= 33 ? &a.at[seq - 1] : &b.at[seq - 34];
        const struct state_subtask *s = subtasks(f, seq, 1);
        assert_true(w->task == 1 && w->seq == seq && w->attempt == 1 && w->timeout_ms == s->timeout_ms);
        assert_string_equal(w->type, "count");
        assert_int_equal(w->param.bytes, s->param.bytes);
        assert_memory_equal(w->param.data, s->param.data, s->param.bytes);
    }
    assert_string_equal(snapshot_except(f, 1), others);
    assert_int_equal(lease(f, node, 1, 1).count, 0);
    assert_int_equal(lease(f, node, 9, 1).count, 0);
}

static void test_lease_several(void **state)
{
    struct fixture *f = *state;
    uint64_t node = node_make(f, CLOCK_NEVER);
    for (uint64_t id = 1; id <= 3; id++) {
        admit(f, id);
        push(f, id, 40, false);
    }
    struct state_pick picks[] = {{2, 3}, {9, 5}, {1, 2}, {2, 1}, {3, 0}};
    struct works w;
    must(f, lease_one(f->s, node, 0, f->now_ms, picks, 5, NULL, NULL, &f->arena, &w.at, &w.count, &f->st));
    uint64_t seen[3] = {0}; // of each task in order; the tasks in any
    for (size_t i = 0; i < w.count; i++)
        assert_true(w.at[i].task <= 2 && w.at[i].seq == ++seen[w.at[i].task]);
    assert_true(seen[1] == 2 && seen[2] == 4);
    char *before = snapshot(f);
    assert_code(
        f, NRPC_NOT_FOUND,
        lease_one(f->s, node + 1, 0, f->now_ms, picks, 5, NULL, NULL, &f->arena, &w.at, &w.count, &f->st));
    assert_unchanged(f, before);
}

static void test_lease_over_budget(void **state)
{
    struct fixture *f = *state;
    uint64_t node = node_make(f, CLOCK_NEVER);
    admit(f, 1);
    push(f, 1, 1000, false);
    char *before = snapshot(f);
    struct arena small;
    struct state_pick pick = {1, 1000};
    struct works w;
    arena_init(&small, 4096);
    assert_code(f, NRPC_RESOURCE_EXHAUSTED,
                lease_one(f->s, node, 0, f->now_ms, &pick, 1, NULL, NULL, &small, &w.at, &w.count, &f->st));
    arena_fini(&small);
    if (!f->s->disposable) // the answer of another process can come to nothing as if it had been lost
        assert_unchanged(f, before);
}

// Large parameters: a lease ends where its budget does, says what found no room, and changes nothing about
// it.
static void test_lease_in_budget(void **state)
{
    struct fixture *f = *state;
    enum { TASKS = 4, EACH = 20, BYTES = 250000 };
    uint64_t node = node_make(f, CLOCK_NEVER), fed, got = 0;
    struct state_subtask large[EACH];
    struct state_pick picks[TASKS];
    char *param = arena_calloc(&f->arena, BYTES);
    for (size_t i = 0; i < EACH; i++)
        large[i] = (struct state_subtask){{param, BYTES}, 1000};
    for (uint64_t id = 1; id <= TASKS; id++) {
        struct state_task task = task_sample(id);
        task.fed = true;
        admit_task(f, &task);
        must(f, f->ops->feed(f->s, id, 0, large, EACH, true, &fed, &f->st));
        picks[id - 1] = (struct state_pick){id, EACH};
    }
    for (int round = 0; got < TASKS * EACH; round++) {
        struct works w;
        uint32_t left[TASKS];
        uint64_t given[TASKS] = {0};
        struct budget budget = {.bytes = 1000000, .used = round == 1 ? 700000 : 0};
        size_t room = budget.bytes - budget.used;
        bool own = round > 1;
        must(f, lease_one(f->s, node, 0, f->now_ms, picks, TASKS, own ? NULL : &budget, left, &f->arena,
                          &w.at, &w.count, &f->st));
        room = own ? STATE_BATCH_BYTES : room;
        assert_true(w.count > 0 && (w.count - 1) * BYTES < room); // one may go beyond
        for (size_t i = 0; i < w.count; i++)
            given[w.at[i].task - 1]++;
        for (size_t i = 0; i < TASKS; i++) {
            picks[i].count -= (uint32_t)given[i];
            assert_int_equal(left[i], picks[i].count);
        }
        got += w.count;
    }
    assert_look(f, 1, "draining gen=20 run=20 done");
    struct works w = lease(f, node, 1, 5);
    assert_int_equal(w.count, 0); // and nothing is left of what is not there
}

static struct works lease_most(struct fixture *f, uint64_t node, uint64_t most, uint64_t task, uint32_t count,
                               uint32_t *left)
{
    struct works w;
    struct state_pick pick = {task, count};
    must(f, lease_one(f->s, node, most, f->now_ms, &pick, 1, NULL, left, &f->arena, &w.at, &w.count, &f->st));
    return w;
}

// A node gets no more than it may hold, whatever is asked for it; what it hands in or back makes room again.
static void test_lease_most(void **state)
{
    struct fixture *f = *state;
    uint32_t left;
    uint64_t node = node_make(f, CLOCK_NEVER), other = node_make(f, CLOCK_NEVER);
    admit(f, 1);
    push(f, 1, 70, true);
    struct works w = lease_most(f, node, 40, 1, 60, &left);
    assert_int_equal(w.count, 40);
    assert_int_equal(left, 20);
    assert_int_equal(lease_most(f, node, 40, 1, 60, &left).count, 0);
    assert_int_equal(left, 30); // there are no more
    assert_int_equal(lease_most(f, node, 8, 1, 3, &left).count, 0);
    assert_int_equal(left, 3);
    assert_int_equal(lease_most(f, other, 4, 1, 60, &left).count, 4);
    assert_int_equal(left, 26);
    for (int i = 0; i < 3; i++)
        settle(f, &w.at[i], MODEL_SUCCESS);
    struct state_ref back[2] = {ref_of(&w.at[10]), ref_of(&w.at[35])};
    struct state_holder by = holder(f, node);
    must(f, f->ops->requeue(f->s, back, 2, &by, STATE_RETURNED, f->now_ms, &f->st));
    struct works again = lease_most(f, node, 40, 1, 60, &left);
    assert_int_equal(again.count, 5);
    assert_int_equal(again.at[0].seq, w.at[10].seq); // those that came back go first
    assert_int_equal(left, 23);
    assert_int_equal(lease_most(f, node, 0, 1, 60, &left).count, 23);
    assert_int_equal(left, 0);
}

// Several nodes in one call: in their order, each by its own bounds; who is not registered is told so, and
// the others get theirs.
static void test_lease_to_many(void **state)
{
    struct fixture *f = *state;
    uint64_t a = node_make(f, CLOCK_NEVER), b = node_make(f, CLOCK_NEVER);
    admit(f, 1);
    push(f, 1, 100, true);
    struct state_pick some = {1, 30}, twice[] = {{1, 20}, {1, 30}}, most = {1, 100};
    struct state_taker takers[] = {
        {.node = a, .picks = &some, .pick_count = 1},
        {.node = b + 1, .picks = &some, .pick_count = 1},
        {.node = b, .most = 40, .picks = twice, .pick_count = 2},
        {.node = a, .most = 50, .picks = &most, .pick_count = 1},
        {.node = b, .picks = &most, .pick_count = 1},
    };
    must(f, f->ops->lease(f->s, f->now_ms, takers, 5, &f->arena, &f->st));
    const struct {
        int code;
        size_t count;
        uint64_t first;
        uint32_t left; // of the last pick
    } expected[] = {{NRPC_OK, 30, 1, 0},
                    {NRPC_NOT_FOUND, 0, 0, 0},
                    {NRPC_OK, 40, 31, 10},
                    {NRPC_OK, 20, 71, 10},
                    {NRPC_OK, 10, 91, 0}};
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(takers[i].code, expected[i].code);
        assert_int_equal(takers[i].count, expected[i].count);
        if (!takers[i].count)
            continue;
        assert_int_equal(takers[i].work->seq, expected[i].first);
        assert_int_equal(takers[i].left[takers[i].pick_count - 1], expected[i].left);
    }
    assert_look(f, 1, "draining gen=100 run=100 done");
}

static void test_max_running(void **state)
{
    struct fixture *f = *state;
    uint64_t node = node_make(f, CLOCK_NEVER);
    struct state_task task = task_sample(1);
    task.max_running = 5;
    admit_task(f, &task);
    push(f, 1, 20, true);
    struct works w = lease(f, node, 1, 3);
    assert_int_equal(w.count, 3);
    assert_int_equal(lease(f, node, 1, 9).count, 2);
    assert_int_equal(lease(f, node, 1, 9).count, 0);
    settle(f, &w.at[0], MODEL_SUCCESS);
    assert_int_equal(lease(f, node, 1, 9).count, 1);
    settle(f, &w.at[1], MODEL_FAILURE);
    assert_int_equal(lease(f, node, 1, 9).count, 1);
    assert_look(f, 1, "draining gen=20 ok=1 retried=1 run=5 queued=14 done ready=13 next=100");
}

static void test_retries_come_first(void **state)
{
    struct fixture *f = *state;
    uint64_t node = node_make(f, CLOCK_NEVER);
    admit(f, 1);
    push(f, 1, 100, true);
    struct works w = lease(f, node, 1, 60);
    settle(f, &w.at[2], MODEL_FAILURE);
    f->now_ms += 50;
    settle(f, &w.at[40], MODEL_TIMEOUT);
    assert_look(f, 1, "draining gen=100 retried=2 run=58 queued=42 done ready=40 next=50");
    struct works fresh = lease(f, node, 1, 1);
    assert_true(fresh.count == 1 && fresh.at[0].seq == 61);
    f->now_ms += 50;
    assert_look(f, 1, "draining gen=100 retried=2 run=59 queued=41 done ready=40 next=50");
    struct works mixed = lease(f, node, 1, 2);
    assert_true(mixed.at[0].seq == 3 && mixed.at[0].attempt == 2 && mixed.at[1].seq == 62 &&
                mixed.at[1].attempt == 1);
    assert_memory_equal(mixed.at[0].param.data, "p3", 2);
    f->now_ms += 50;
    struct works late = lease(f, node, 1, 1);
    assert_true(late.at[0].seq == 41 && late.at[0].attempt == 2);
    assert_look(f, 1, "draining gen=100 retried=2 run=62 queued=38 done ready=38");
}

// One call may pick a task twice; both picks find its retries, wherever they are.
static void test_retries_in_two_picks(void **state)
{
    struct fixture *f = *state;
    uint64_t node = node_make(f, CLOCK_NEVER);
    admit(f, 1);
    push(f, 1, 200, true);
    struct works w = lease(f, node, 1, 200);
    for (size_t i = 0; i < 200; i += 40)
        settle(f, &w.at[i], MODEL_FAILURE);
    f->now_ms += 100;
    struct state_pick picks[] = {{1, 2}, {1, 2}, {1, 2}};
    must(f, lease_one(f->s, node, 0, f->now_ms, picks, 3, NULL, NULL, &f->arena, &w.at, &w.count, &f->st));
    assert_int_equal(w.count, 5);
    assert_look(f, 1, "draining gen=200 retried=5 run=200 done");
}

static void test_requeue(void **state)
{
    struct fixture *f = *state;
    uint64_t node = node_make(f, CLOCK_NEVER);
    admit(f, 1);
    admit(f, 2);
    push(f, 1, 40, true);
    push(f, 2, 3, true);
    struct works w = lease(f, node, 1, 35);
    lease(f, node, 2, 1);
    told(f);
    char *others = snapshot_except(f, 1);
    struct state_ref refs[] = {ref_of(&w.at[0]), {1, 33, 1}, {1, 1, 1}, {1, 40, 1},
                               {7, 1, 1},        {1, 2, 9},  {1, 0, 0}};
    must(f, f->ops->requeue(f->s, refs, 7, NULL, STATE_RETURNED, f->now_ms, &f->st));
    assert_told(f, "view:1");
    assert_look(f, 1, "draining gen=40 redispatched=2 run=33 queued=7 done ready=7");
    struct state_ref declined[] = {ref_of(&w.at[1])};
    must(f, f->ops->requeue(f->s, declined, 1, NULL, STATE_DECLINED, f->now_ms + 100, &f->st));
    assert_look(f, 1, "draining gen=40 redispatched=2 run=32 queued=8 done ready=7 next=100");
    assert_string_equal(snapshot_except(f, 1), others);
    assert_int_equal(settle(f, &w.at[0], MODEL_SUCCESS), STATE_STALE);
    struct works again = lease(f, node, 1, 2);
    assert_true(again.at[0].seq == 1 && again.at[0].attempt == 2);
    assert_true(again.at[1].seq == 33 && again.at[1].attempt == 2);
    assert_int_equal(settle(f, &w.at[0], MODEL_SUCCESS), STATE_STALE);
    assert_int_equal(settle(f, &again.at[0], MODEL_SUCCESS), STATE_SETTLED);
}

static void test_returns_do_not_use_up_retries(void **state)
{
    struct fixture *f = *state;
    uint64_t node = node_make(f, CLOCK_NEVER);
    admit(f, 1);
    push(f, 1, 1, true);
    for (int i = 0; i < 20; i++) {
        struct works w = lease(f, node, 1, 1);
        assert_int_equal(w.at[0].attempt, i + 1);
        struct state_ref ref = ref_of(&w.at[0]);
        must(f, f->ops->requeue(f->s, &ref, 1, NULL, STATE_RETURNED, 0, &f->st));
    }
    assert_look(f, 1, "draining gen=1 redispatched=20 queued=1 done ready=1");
    struct works w = lease(f, node, 1, 1);
    assert_int_equal(settle(f, &w.at[0], MODEL_FAILURE), STATE_RETRIED);
}

// A lease whose result is at hand does not end before it can be settled; that of a stopping task does.
static void test_extend(void **state)
{
    struct fixture *f = *state;
    uint64_t node = node_make(f, CLOCK_NEVER), other = node_make(f, CLOCK_NEVER), *lost;
    size_t count;
    int64_t next_ms;
    admit(f, 1);
    admit(f, 2);
    push(f, 1, 40, true);
    push(f, 2, 2, true);
    struct works w = lease(f, node, 1, 40), stopping = lease(f, node, 2, 2);
    struct state_ref refs[4] = {ref_of(&w.at[0]), ref_of(&w.at[33]), ref_of(&stopping.at[0]), {1, 99, 1}};
    struct state_holder by = holder(f, node), not = holder(f, other);
    must(f, f->ops->stop(f->s, 2, MODEL_OUTCOME_CANCELLED, "", &f->st));
    int64_t until_ms = f->now_ms + 3600000;
    must(f, f->ops->extend(f->s, refs, 4, &by, until_ms, &f->st));
    must(f, f->ops->extend(f->s, refs, 2, &by, f->now_ms + 1, &f->st)); // it does not end sooner, either
    must(f, f->ops->extend(f->s, (struct state_ref[]){ref_of(&w.at[5])}, 1, &not, until_ms, &f->st));
    f->now_ms = until_ms - 1;
    must(f, f->ops->sweep(f->s, f->now_ms, &f->arena, &lost, &count, &next_ms, &f->st));
    assert_look(f, 1, "draining gen=40 retried=38 run=2 queued=38 done next=100");
    assert_look(f, 2, "closed cancelled '' gen=2 cancelled=2 done");
    settle(f, &w.at[0], MODEL_SUCCESS);
    f->now_ms = until_ms;
    must(f, f->ops->sweep(f->s, f->now_ms, &f->arena, &lost, &count, &next_ms, &f->st));
    assert_look(f, 1, "draining gen=40 ok=1 retried=39 queued=39 done next=99");
}

static void test_holders(void **state)
{
    struct fixture *f = *state;
    uint64_t *nodes, a = node_make(f, CLOCK_NEVER), b = node_make(f, CLOCK_NEVER),
                     third = node_make(f, CLOCK_NEVER);
    size_t count;
    admit(f, 1);
    admit(f, 2);
    push(f, 1, 200, false);
    push(f, 2, 10, false);
    struct works w = lease(f, a, 1, 50);
    lease(f, b, 1, 50);
    lease(f, third, 2, 1);
    must(f, f->ops->holders(f->s, 1, &f->arena, &nodes, &count, &f->st));
    assert_int_equal(count, 2);
    assert_true((nodes[0] == a && nodes[1] == b) || (nodes[0] == b && nodes[1] == a));
    settle_all(f, w, MODEL_SUCCESS);
    must(f, f->ops->holders(f->s, 1, &f->arena, &nodes, &count, &f->st));
    assert_true(count == 1 && nodes[0] == b);
    must(f, f->ops->holders(f->s, 9, &f->arena, &nodes, &count, &f->st));
    assert_int_equal(count, 0);
}

static void test_many_retries(void **state)
{
    struct fixture *f = *state;
    enum { COUNT = 5000 };
    uint64_t node = node_make(f, CLOCK_NEVER);
    admit(f, 1);
    push(f, 1, COUNT, true);
    struct works w = lease(f, node, 1, COUNT);
    struct state_settle *entries = arena_calloc(&f->arena, COUNT * sizeof *entries);
    enum state_verdict *verdicts = arena_alloc(&f->arena, COUNT * sizeof *verdicts);
    for (int i = 0; i < COUNT; i++)
        entries[i] = (struct state_settle){.ref = ref_of(&w.at[i]), .kind = MODEL_FAILURE};
    must(f, f->ops->settle(f->s, f->now_ms, entries, COUNT, verdicts, &f->st));
    assert_look(f, 1, "draining gen=5000 retried=5000 queued=5000 done next=100");
    f->now_ms += 100;
    size_t left = COUNT;
    while (left) { // the view counts some of them, at least one
        struct state_view *v;
        size_t count;
        must(f, f->ops->views(f->s, f->now_ms, 0, 1, &f->arena, &v, &count, &f->st));
        assert_true(count == 1 && v->ready >= 1 && v->ready <= left);
        struct works again = lease(f, node, 1, 700);
        assert_int_equal(again.count, left < 700 ? left : 700);
        left -= again.count;
    }
}

const struct CMUnitTest state_dispatch_tests[] = {
    TEST(test_views),
    TEST(test_lease_in_order),
    TEST(test_lease_several),
    TEST(test_lease_over_budget),
    TEST(test_lease_in_budget),
    TEST(test_lease_most),
    TEST(test_lease_to_many),
    TEST(test_max_running),
    TEST(test_retries_come_first),
    TEST(test_retries_in_two_picks),
    TEST(test_requeue),
    TEST(test_returns_do_not_use_up_retries),
    TEST(test_extend),
    TEST(test_holders),
    TEST(test_many_retries),
};
const size_t state_dispatch_count = sizeof state_dispatch_tests / sizeof *state_dispatch_tests;
