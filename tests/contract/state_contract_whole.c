// SPDX-License-Identifier: Apache-2.0
// state_contract_whole.c: a store closed and opened again, used by several threads, and walked through at
// random.
#include "lease_one.h"
#include "state_contract_fixture.h"

#include <pthread.h>
#include <stdatomic.h>

// A store may have begun anew when it was opened: then the node's number is void, and it registers again.
static uint64_t node_after_reopening(struct fixture *f, uint64_t node, const struct works *w)
{
    struct state_node found;
    struct state_ref refs[64];
    struct state_holding h = {.refs = refs};
    int code = f->ops->node_get(f->s, holder(f, node), &f->arena, &found, &f->st);
    if (code == NRPC_OK)
        return node;
    assert_code(f, NRPC_NOT_FOUND, code);
    for (size_t i = 2; i < w->count; i++)
        refs[h.count++] = ref_of(&w->at[i]);
    struct state_pick pick = {1, 1};
    struct state_work *works;
    size_t count;
    assert_code(f, NRPC_NOT_FOUND,
                lease_one(f->s, node, 0, f->now_ms, &pick, 1, NULL, NULL, &f->arena, &works, &count, &f->st));
    uint64_t again = node_again(f, node, f->now_ms + 100000, &h);
    for (size_t i = 0; i < h.count; i++)
        assert_true(h.kept[i]);
    assert_true(again > node);
    return again;
}

static void test_reopen(void **state)
{
    struct fixture *f = *state;
    uint64_t node = node_make(f, f->now_ms + 100000);
    struct state_queue queue;
    struct state_task task = task_sample(1);
    task.keep_results = true;
    task.max_running = 50;
    admit_task(f, &task);
    uint64_t fence = claim(f, 1);
    must(f, f->ops->push(f->s, 1, fence, 0, subtasks(f, 1, 100), 100, (struct state_blob){"here", 4}, false,
                         -1, &queue, &f->st));
    f->made[1] = 100;
    struct works w = lease(f, node, 1, 40);
    settle(f, &w.at[0], MODEL_SUCCESS);
    settle(f, &w.at[1], MODEL_FAILURE);
    admit(f, 2);
    must(f, f->ops->stop(f->s, 2, MODEL_OUTCOME_CANCELLED, "no", &f->st));
    admit(f, 3);
    must(f, f->ops->pause(f->s, 3, true, &f->st));
    char *before = snapshot(f);
    store_reopen(f);
    assert_unchanged(f, before);
    node = node_after_reopening(f, node, &w);
    must(f, push_raw(f, 1, fence, 1, false)); // the generator goes on
    assert_int_equal(settle(f, &w.at[2], MODEL_SUCCESS), STATE_SETTLED);
    assert_int_equal(settle(f, &w.at[0], MODEL_SUCCESS), STATE_STALE);
    f->now_ms += 200;
    struct works again = lease(f, node, 1, 1);
    assert_true(again.at[0].seq == 2 && again.at[0].attempt == 2);
    f->now_ms += 200000;
    assert_int_equal(sweep(f).count, 1);
    store_reopen(f);
    assert_look(f, 1, "generating gen=101 ok=2 retried=1 redispatched=38 queued=99 ready=99");
    assert_true(node_make(f, 0) > node);
}

// ---- threads

enum { THREADS = 2, ROUNDS = 60, BATCH = 20 };

struct worker {
    struct fixture *f;
    uint64_t task, node;
    _Atomic uint64_t *hints;
    bool failed;
};

static void count_hints(void *user, const struct state_hint *hint)
{
    _Atomic uint64_t *hints = user;
    *hints += hint->kind == STATE_HINT_SETTLED ? hint->count : 0;
}

// Both threads work on both tasks; calls that a test would make of each other's subtasks are just stale or
// empty.
static void *work(void *user)
{
    struct worker *w = user;
    struct state *s = w->f->s;
    struct nrpc_status st;
    struct arena a;
    arena_init(&a, 0);
    for (int i = 0; i < ROUNDS; i++) {
        struct state_subtask batch[BATCH];
        struct state_settle entries[2 * BATCH] = {0};
        enum state_verdict verdicts[2 * BATCH];
        struct state_work *works;
        struct state_pick picks[2] = {{1, BATCH}, {2, BATCH}};
        size_t count = 0;
        uint64_t fed;
        for (int k = 0; k < BATCH; k++)
            batch[k] = (struct state_subtask){{"x", 1}, 1000};
        w->failed |=
            s->ops->feed(s, w->task, (uint64_t)i * BATCH, batch, BATCH, i + 1 == ROUNDS, &fed, &st) != 0;
        w->failed |= lease_one(s, w->node, 0, 1000, picks, 2, NULL, NULL, &a, &works, &count, &st) != 0;
        for (size_t k = 0; k < count; k++)
            entries[k] = (struct state_settle){.ref = ref_of(&works[k]), .kind = MODEL_SUCCESS};
        w->failed |= s->ops->settle(s, 1000, entries, count, verdicts, &st) != 0;
        for (size_t k = 0; k < count; k++)
            w->failed |= verdicts[k] != STATE_SETTLED;
        arena_reset(&a);
    }
    arena_fini(&a);
    return NULL;
}

static void test_threads(void **state)
{
    struct fixture *f = *state;
    struct worker workers[THREADS];
    pthread_t threads[THREADS];
    _Atomic uint64_t hints = 0;
    for (uint64_t i = 0; i < THREADS; i++) {
        struct state_task task = task_sample(i + 1);
        task.fed = true;
        admit_task(f, &task);
        workers[i] = (struct worker){f, i + 1, node_make(f, CLOCK_NEVER), &hints, false};
    }
    f->ops->watch(f->s, count_hints, &hints);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_false(workers[i].failed);
    }
    f->ops->watch(f->s, NULL, NULL);
    for (uint64_t id = 1; id <= THREADS; id++) { // what one thread fed last, after the other had gone
        f->now_ms = 1000;
        settle_all(f, lease(f, workers[0].node, id, 1000), MODEL_SUCCESS);
        assert_look(f, id, "closed completed gen=1200 ok=1200 done");
    }
    assert_true(hints <= (uint64_t)THREADS * ROUNDS * BATCH);
}

const struct CMUnitTest state_whole_tests[] = {
    TEST(test_reopen),
    TEST(test_threads),
    TEST(state_random_test),
};
const size_t state_whole_count = sizeof state_whole_tests / sizeof *state_whole_tests;
