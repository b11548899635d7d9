// SPDX-License-Identifier: Apache-2.0
// state_contract_numbers.c: ids at the edges of what machines count in, numbers that nobody should send, and
// batches at the edges of tiles, segments and calls.
#include "state_contract_fixture.h"

enum { TILE = 32, SEGMENT = 500, SEGMENTS = 64, CALL_ITEMS = 2000 };

static const uint64_t edges[] = {1,
                                 (UINT64_C(1) << 31) - 1,
                                 UINT64_C(1) << 31,
                                 (UINT64_C(1) << 31) + 1,
                                 (UINT64_C(1) << 32) - 1,
                                 UINT64_C(1) << 32,
                                 (UINT64_C(1) << 32) + 1,
                                 UINT64_C(1) << 52,
                                 MODEL_NUMBER_MAX - 1,
                                 MODEL_NUMBER_MAX};
enum { EDGES = sizeof edges / sizeof *edges };

static struct state_progress progress_of(struct fixture *f, uint64_t task)
{
    struct state_progress p;
    must(f, f->ops->progress(f->s, &task, 1, &f->arena, &p, &f->st));
    return p;
}

static struct state_view view_of(struct fixture *f, uint64_t task)
{
    struct state_view *v;
    size_t count;
    must(f, f->ops->views(f->s, f->now_ms, task - 1, 1, &f->arena, &v, &count, &f->st));
    assert_int_equal(count, 1);
    assert_int_equal(v->task, task);
    return *v;
}

static void feed_all(struct fixture *f, uint64_t task, size_t count)
{
    uint64_t fed;
    struct state_task t = task_sample(task);
    t.fed = true;
    admit_task(f, &t);
    must(f, f->ops->feed(f->s, task, 0, subtasks(f, 1, count), count, true, &fed, &f->st));
    assert_int_equal(fed, count);
}

static struct works lease_of(struct fixture *f, uint64_t node, uint64_t task, uint32_t count)
{
    struct works w = lease(f, node, task, count);
    for (size_t i = 0; i < w.count; i++)
        assert_true(w.at[i].task == task);
    return w;
}

// A task's whole life: it fails once, waits, is found by its view when the retry is due, and ends.
static void live(struct fixture *f, uint64_t node, uint64_t task)
{
    feed_all(f, task, TILE + 1);
    assert_int_equal(view_of(f, task).ready, TILE + 1);
    struct works w = lease_of(f, node, task, TILE + 1);
    assert_int_equal(w.count, TILE + 1);
    assert_int_equal(settle(f, &w.at[TILE], MODEL_FAILURE), STATE_RETRIED);
    assert_int_equal(view_of(f, task).ready, 0);
    assert_int_equal(view_of(f, task).next_retry_ms, f->now_ms + 100);
    f->now_ms += 100;
    assert_int_equal(view_of(f, task).ready, 1);
    struct works again = lease_of(f, node, task, 5);
    assert_int_equal(again.count, 1);
    assert_int_equal(again.at[0].seq, TILE + 1);
    assert_int_equal(settle(f, &w.at[TILE], MODEL_SUCCESS), STATE_STALE);
    assert_int_equal(settle(f, &again.at[0], MODEL_SUCCESS), STATE_SETTLED);
    w.count = TILE;
    settle_all(f, w, MODEL_SUCCESS);
    assert_int_equal(progress_of(f, task).phase, MODEL_CLOSED);
    assert_int_equal(progress_of(f, task).counters.succeeded, TILE + 1);
}

static void test_ids(void **state)
{
    struct fixture *f = *state;
    uint64_t node = node_make(f, CLOCK_NEVER), *ids;
    size_t count;
    for (size_t i = 0; i < EDGES; i++)
        live(f, node, edges[i]);
    for (size_t i = 0; i < EDGES; i++) { // each is itself, and no other
        must(f, f->ops->in_phase(f->s, MODEL_CLOSED, edges[i] - 1, 1, &f->arena, &ids, &count, &f->st));
        assert_true(count == 1 && ids[0] == edges[i]);
    }
    must(f, f->ops->in_phase(f->s, MODEL_CLOSED, UINT64_MAX, 9, &f->arena, &ids, &count, &f->st));
    assert_int_equal(count, 0);
    must(f,
         f->ops->take(f->s, MODEL_CLOSED, f->now_ms, f->now_ms + 1000, 99, &f->arena, &ids, &count, &f->st));
    assert_int_equal(count, EDGES);
    for (size_t i = 0; i < EDGES; i++)
        assert_true(ids[i] == edges[i]);
    must(f, f->ops->remove(f->s, &edges[4], 1, f->now_ms, &f->st));
    for (size_t i = 0; i < EDGES; i++)
        assert_int_equal(progress_of(f, edges[i]).found, i != 4);
}

static void test_ids_beyond(void **state)
{
    struct fixture *f = *state;
    static const uint64_t beyond[] = {0, MODEL_NUMBER_MAX + 1, MODEL_NUMBER_MAX + 2, INT64_MAX, UINT64_MAX};
    admit(f, 1);
    char *before = snapshot(f);
    for (size_t i = 0; i < sizeof beyond / sizeof *beyond; i++) {
        struct state_task two[2] = {task_sample(2), task_sample(beyond[i])};
        assert_code(f, NRPC_INVALID_ARGUMENT, f->ops->admit(f->s, two, 2, &f->st));
        assert_non_null(strstr(f->st.text, "id: "));
        assert_unchanged(f, before); // the other was not added either
        assert_false(progress_of(f, beyond[i]).found);
        assert_code(f, NRPC_NOT_FOUND, f->ops->pause(f->s, beyond[i], true, &f->st));
        assert_code(f, NRPC_NOT_FOUND, f->ops->stop(f->s, beyond[i], MODEL_OUTCOME_CANCELLED, NULL, &f->st));
        assert_unchanged(f, before);
    }
}

// Refs of subtasks, attempts and nodes that there cannot be are stale, and change nothing.
static void test_refs_beyond(void **state)
{
    struct fixture *f = *state;
    uint64_t node = node_make(f, CLOCK_NEVER);
    admit(f, 1);
    push(f, 1, 2 * TILE, false);
    struct works w = lease(f, node, 1, TILE + 1);
    static const uint64_t seqs[] = {
        0,         2 * TILE + 1, (UINT64_C(1) << 32) + 1, MODEL_NUMBER_MAX, INT64_MAX, UINT64_MAX - TILE + 1,
        UINT64_MAX};
    char *before = snapshot(f);
    for (size_t i = 0; i < sizeof seqs / sizeof *seqs; i++) {
        struct state_ref ref = {1, seqs[i], 1};
        struct state_peek peek;
        struct state_settle entry = {.ref = ref, .by = {.node = node}, .kind = MODEL_SUCCESS};
        assert_int_equal(settle_entry(f, entry), STATE_STALE);
        must(f, f->ops->peek(f->s, &ref, NULL, 1, &f->arena, &peek, &f->st));
        assert_false(peek.current);
        must(f, f->ops->requeue(f->s, &ref, 1, NULL, STATE_RETURNED, 0, &f->st));
        assert_unchanged(f, before);
    }
    static const uint64_t nodes[] = {UINT64_C(1) << 32, MODEL_NUMBER_MAX, UINT64_MAX};
    for (size_t i = 0; i < sizeof nodes / sizeof *nodes; i++)
        for (uint64_t n = nodes[i]; n - nodes[i] <= node && n; n++) { // not the node modulo 2^32 either
            assert_int_equal(settle_entry(f, (struct state_settle){.ref = ref_of(&w.at[0]),
                                                                   .by = {.node = n},
                                                                   .kind = MODEL_SUCCESS}),
                             STATE_STALE);
            assert_unchanged(f, before);
        }
    struct state_ref attempt = ref_of(&w.at[0]);
    attempt.attempt = UINT32_MAX;
    assert_int_equal(
        settle_entry(f, (struct state_settle){.ref = attempt, .by = {.node = node}, .kind = MODEL_SUCCESS}),
        STATE_STALE);
    assert_unchanged(f, before);
}

static void test_positions_beyond(void **state)
{
    struct fixture *f = *state;
    static const uint64_t after[] = {MODEL_NUMBER_MAX, MODEL_NUMBER_MAX + 1, INT64_MAX, UINT64_MAX};
    uint64_t node = node_make(f, CLOCK_NEVER), fed;
    struct state_task t = task_sample(1);
    t.policy.max_retries = 0;
    t.fed = true;
    admit_task(f, &t);
    must(f, f->ops->feed(f->s, 1, 0, subtasks(f, 1, 5), 5, false, &fed, &f->st));
    struct works w = lease(f, node, 1, 5);
    settle_all(f, w, MODEL_FAILURE);
    for (size_t i = 0; i < sizeof after / sizeof *after; i++) {
        struct state_result *r;
        struct state_view *v;
        size_t count;
        must(f, f->ops->failures(f->s, 1, after[i], 10, &f->arena, &r, &count, &f->st));
        assert_int_equal(count, 0);
        must(f, f->ops->views(f->s, f->now_ms, after[i], 10, &f->arena, &v, &count, &f->st));
        assert_int_equal(count, 0);
        assert_code(f, NRPC_OUT_OF_RANGE,
                    f->ops->feed(f->s, 1, after[i], subtasks(f, 1, 3), 3, false, &fed, &f->st));
    }
}

// Whatever is fed, leased and settled together: one less, as many, one more than a tile, a segment, a call
// has.
static void test_batches(void **state)
{
    struct fixture *f = *state;
    static const size_t counts[] = {TILE - 1,    TILE,           TILE + 1,          2 * TILE,
                                    SEGMENT - 1, SEGMENT,        SEGMENT + 1,       CALL_ITEMS - 1,
                                    CALL_ITEMS,  CALL_ITEMS + 1, 2 * CALL_ITEMS + 1};
    uint64_t node = node_make(f, CLOCK_NEVER);
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        uint64_t task = i + 1;
        feed_all(f, task, counts[i]);
        struct works w = lease_of(f, node, task, (uint32_t)counts[i]);
        assert_int_equal(w.count, counts[i]);
        for (size_t k = 0; k < w.count; k++)
            assert_int_equal(w.at[k].seq, k + 1);
        settle_all(f, w, MODEL_SUCCESS);
        assert_int_equal(progress_of(f, task).counters.succeeded, counts[i]);
        assert_int_equal(progress_of(f, task).phase, MODEL_CLOSED);
    }
}

// More segments at the same time than a task may have; settled from the end.
static void test_segments(void **state)
{
    struct fixture *f = *state;
    enum { EACH = 50, COUNT = (SEGMENTS + 2) * EACH };
    uint64_t node = node_make(f, CLOCK_NEVER), fed;
    struct state_task t = task_sample(1);
    t.fed = true;
    admit_task(f, &t);
    for (uint64_t at = 0; at < COUNT; at += EACH) { // a second apart: a segment each
        f->now_ms += 1000;
        must(f, f->ops->feed(f->s, 1, at, subtasks(f, at + 1, EACH), EACH, at + EACH == COUNT, &fed, &f->st));
    }
    struct works w = lease(f, node, 1, COUNT);
    assert_int_equal(w.count, COUNT);
    for (size_t i = COUNT; i > 0; i -= EACH)
        settle_all(f, (struct works){&w.at[i - EACH], EACH}, MODEL_SUCCESS);
    assert_int_equal(progress_of(f, 1).counters.succeeded, COUNT);
    assert_int_equal(progress_of(f, 1).phase, MODEL_CLOSED);
}

const struct CMUnitTest state_number_tests[] = {
    TEST(test_ids),     TEST(test_ids_beyond), TEST(test_refs_beyond), TEST(test_positions_beyond),
    TEST(test_batches), TEST(test_segments),
};
const size_t state_number_count = sizeof state_number_tests / sizeof *state_number_tests;
