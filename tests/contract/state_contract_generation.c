// SPDX-License-Identifier: Apache-2.0
// state_contract_generation.c: claims, pushes and feeds.
#include "state_contract_fixture.h"

static size_t claim_many(struct fixture *f, uint64_t owner, size_t max, struct state_claim **out)
{
    size_t count;
    must(f, f->ops->claim(f->s, owner, f->now_ms, f->now_ms + 1000, max, &f->arena, out, &count, &f->st));
    return count;
}

static void test_claim(void **state)
{
    struct fixture *f = *state;
    struct state_claim *c, *more;
    for (uint64_t id = 1; id <= 4; id++)
        admit(f, id);
    struct state_task fed = task_sample(5);
    fed.fed = true;
    admit_task(f, &fed);
    assert_int_equal(claim_many(f, 50, 3, &c), 3);
    assert_int_equal(claim_many(f, 60, 9, &more), 1);
    assert_int_equal(claim_many(f, 60, 9, &more), 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(c[i].param.bytes, 5);
        assert_memory_equal(c[i].param.data, "param", 5);
        assert_null(c[i].checkpoint.data);
        assert_true(c[i].generated == 0 && c[i].queue.subtasks == 0);
    }
    f->now_ms += 999;
    assert_int_equal(claim_many(f, 60, 9, &more), 0);
    f->now_ms += 1; // their leases have run out
    assert_int_equal(claim_many(f, 60, 9, &more), 4);
    for (int i = 0; i < 3; i++)
        assert_code(f, NRPC_ABORTED, push_raw(f, c[i].task, c[i].fence, 1, false));
    for (int i = 0; i < 4; i++)
        must(f, push_raw(f, more[i].task, more[i].fence, 1, false));
}

static void test_renew_claims(void **state)
{
    struct fixture *f = *state;
    struct state_claim *c, *more;
    for (uint64_t id = 1; id <= 3; id++)
        admit(f, id);
    assert_int_equal(claim_many(f, 50, 2, &c), 2);
    assert_int_equal(claim_many(f, 60, 9, &more), 1);
    must(f, f->ops->renew_claims(f->s, 50, (uint64_t[]){1, 2, 3}, 3, f->now_ms + 5000, &f->st));
    f->now_ms += 1000;
    assert_int_equal(claim_many(f, 70, 9, &more), 1);
    for (int i = 0; i < 2; i++)
        must(f, push_raw(f, c[i].task, c[i].fence, 1, false));
    f->now_ms += 4000;
    assert_int_equal(claim_many(f, 80, 9, &more), 3);
}

static void test_release_claim(void **state)
{
    struct fixture *f = *state;
    struct state_claim *c;
    admit(f, 1);
    uint64_t first = claim(f, 1);
    must(f, f->ops->release_claim(f->s, 7, first, 0, &f->st));
    told(f);
    must(f, f->ops->release_claim(f->s, 1, first, 0, &f->st));
    assert_told(f, "generate:1 view:1");
    char *before = snapshot(f);
    assert_code(f, NRPC_ABORTED, push_raw(f, 1, first, 1, false));
    assert_unchanged(f, before);
    uint64_t second = claim(f, 1);
    assert_true(second > first);
    told(f);
    must(f, f->ops->release_claim(f->s, 1, first, 0, &f->st)); // late: nothing happens
    assert_told(f, "");
    assert_int_equal(claim_many(f, 60, 9, &c), 0);
    must(f, push_raw(f, 1, second, 1, false));
}

// Whom nobody has owned comes first, by priority; what was given back until a time comes then.
static void test_claims_in_order(void **state)
{
    struct fixture *f = *state;
    struct state_claim *c;
    for (uint64_t id = 1; id <= 4; id++) {
        struct state_task task = task_sample(id);
        task.priority = id == 3 ? 9000 : 2000;
        admit_task(f, &task);
    }
    assert_int_equal(claim_many(f, 50, 1, &c), 1);
    assert_int_equal(c->task, 3);
    told(f);
    must(f, f->ops->release_claim(f->s, 3, c->fence, f->now_ms + 500, &f->st));
    assert_told(f, "view:3");
    assert_int_equal(claim_many(f, 50, 9, &c), 3);
    f->now_ms += 500;
    assert_int_equal(claim_many(f, 50, 9, &c), 1);
    assert_int_equal(c->task, 3);
}

// Given back until a time, but its queue is nearly empty before.
static void test_claim_of_a_queue_that_empties(void **state)
{
    struct fixture *f = *state;
    struct state_claim *c;
    uint64_t node = node_make(f, CLOCK_NEVER), fence;
    admit(f, 1);
    fence = claim(f, 1);
    must(f, push_raw(f, 1, fence, STATE_QUEUE_HIGH, false));
    must(f, f->ops->release_claim(f->s, 1, fence, f->now_ms + 100000, &f->st));
    lease(f, node, 1, STATE_QUEUE_HIGH - STATE_QUEUE_LOW - 1);
    assert_int_equal(claim_many(f, 50, 9, &c), 0);
    told(f);
    lease(f, node, 1, 1);
    assert_told(f, "generate:1 view:1");
    assert_int_equal(claim_many(f, 50, 9, &c), 1);
}

static void test_push_of_a_paused_task(void **state)
{
    struct fixture *f = *state;
    struct state_claim *c;
    admit(f, 1);
    uint64_t fence = claim(f, 1);
    must(f, push_raw(f, 1, fence, 3, false));
    told(f);
    must(f, f->ops->pause(f->s, 1, true, &f->st));
    assert_told(f, "generate:1 view:1"); // its generator is to find out
    char *before = snapshot(f);
    assert_code(f, NRPC_ABORTED, push_raw(f, 1, fence, 3, true));
    f->made[1] -= 3;
    must(f, push_raw(f, 1, fence, 3, false)); // it was done before
    assert_unchanged(f, before);
    must(f, f->ops->release_claim(f->s, 1, fence, f->now_ms + 100000, &f->st));
    assert_int_equal(claim_many(f, 50, 9, &c), 0);
    told(f);
    must(f, f->ops->pause(f->s, 1, false, &f->st));
    assert_told(f, "generate:1 view:1");
    assert_int_equal(claim_many(f, 50, 9, &c), 1);
}

static void test_push(void **state)
{
    struct fixture *f = *state;
    struct state_queue queue = {0};
    admit(f, 1);
    admit(f, 2);
    uint64_t fence = claim(f, 1);
    char *others = snapshot_except(f, 1);
    told(f);
    must(f, f->ops->push(f->s, 1, fence, 0, subtasks(f, 1, 100), 100, (struct state_blob){"ck1", 3}, false,
                         -1, &queue, &f->st));
    assert_true(queue.subtasks == 100 && queue.bytes == 0); // of large ones
    assert_told(f, "view:1");
    assert_look(f, 1, "generating gen=100 queued=100 ready=100");
    assert_string_equal(snapshot_except(f, 1), others);
    f->made[1] = 100;
    must(f, push_raw(f, 1, fence, 5, false)); // no checkpoint: the old one stays
    must(f, f->ops->release_claim(f->s, 1, fence, 0, &f->st));
    struct state_claim *c;
    assert_int_equal(claim_many(f, 9, 1, &c), 1);
    if (c->task != 1)
        assert_int_equal(claim_many(f, 9, 1, &c), 1);
    assert_true(c->task == 1 && c->generated == 105 && c->queue.subtasks == 105);
    assert_int_equal(c->checkpoint.bytes, 3);
    assert_memory_equal(c->checkpoint.data, "ck1", 3);
    told(f);
    must(f, f->ops->push(f->s, 1, c->fence, 105, NULL, 0, (struct state_blob){0}, true, -1, &queue, &f->st));
    assert_look(f, 1, "draining gen=105 queued=105 done ready=105");
    assert_told(f, "view:1");
}

static void test_push_refused(void **state)
{
    struct fixture *f = *state;
    admit(f, 1);
    uint64_t fence = claim(f, 1);
    char *before = snapshot(f);
    assert_code(f, NRPC_NOT_FOUND, push_raw(f, 9, fence, 1, false));
    assert_code(f, NRPC_ABORTED, push_raw(f, 1, fence + 1, 1, true));
    assert_code(f, NRPC_ABORTED, push_raw(f, 1, fence - 1, 1, true));
    assert_unchanged(f, before);
    must(f, push_raw(f, 1, fence, 4, false));
    before = snapshot(f);
    f->made[1] = 3;
    assert_code(f, NRPC_ABORTED, push_raw(f, 1, fence, 2, true)); // neither what is next nor what was last
    assert_unchanged(f, before);
    f->made[1] = 4;
    must(f, push_raw(f, 1, fence, 1, true));
    before = snapshot(f);
    assert_code(f, NRPC_ABORTED, push_raw(f, 1, fence, 1, true)); // it no longer generates
    assert_unchanged(f, before);
}

// The answer to a push was lost: it is sent again.
static void test_push_repeated(void **state)
{
    struct fixture *f = *state;
    struct state_queue queue = {0};
    admit(f, 1);
    uint64_t fence = claim(f, 1);
    must(f, push_raw(f, 1, fence, 40, false));
    char *before = snapshot(f);
    f->made[1] = 0;
    must(f, f->ops->push(f->s, 1, fence, 0, subtasks(f, 1, 40), 40, (struct state_blob){0}, false, -1, &queue,
                         &f->st));
    assert_int_equal(queue.subtasks, 40);
    assert_unchanged(f, before);
}

// A task that goes on from a point recorded elsewhere.
static void test_admit_at_point(void **state)
{
    struct fixture *f = *state;
    struct state_claim *c;
    struct state_task task = task_sample(1);
    task.counters = (struct model_counters){.generated = 70, .succeeded = 64, .failed = 6, .retried = 2};
    task.checkpoint = (struct state_blob){"half", 4};
    task.made = 60;
    admit_task(f, &task);
    assert_look(f, 1, "generating gen=70 ok=64 failed=6 retried=2");
    assert_int_equal(claim_many(f, 60, 9, &c), 1);
    assert_true(c->generated == 60 && c->queue.subtasks == 0 && c->checkpoint.bytes == 4);
    assert_memory_equal(c->checkpoint.data, "half", 4);
    f->made[1] = 60;
    must(f, push_raw(f, 1, c->fence, 40, true));
    struct works w = lease(f, node_make(f, CLOCK_NEVER), 1, 100);
    assert_int_equal(w.count, 40);
    assert_int_equal(w.at[0].seq, 71);
    settle_all(f, w, MODEL_SUCCESS);
    assert_look(f, 1, "closed completed gen=110 ok=104 failed=6 retried=2 done");
}

// A generator that dies after a push is taken over where the push left it.
static void test_take_over(void **state)
{
    struct fixture *f = *state;
    struct state_claim *c;
    struct state_queue queue;
    admit(f, 1);
    uint64_t old = claim(f, 1);
    must(f, f->ops->push(f->s, 1, old, 0, subtasks(f, 1, 10), 10, (struct state_blob){"ten", 3}, false, -1,
                         &queue, &f->st));
    f->made[1] = 10;
    f->now_ms += 10000;
    assert_int_equal(claim_many(f, 60, 9, &c), 1);
    assert_true(c->generated == 10 && c->fence > old);
    assert_memory_equal(c->checkpoint.data, "ten", 3);
    char *before = snapshot(f);
    assert_code(f, NRPC_ABORTED, push_raw(f, 1, old, 10, false));
    assert_unchanged(f, before);
    must(f, push_raw(f, 1, c->fence, 10, true));
    uint64_t node = node_make(f, CLOCK_NEVER);
    struct works w = lease(f, node, 1, 100);
    assert_int_equal(w.count, 20);
    for (size_t i = 0; i < w.count; i++)
        assert_int_equal(w.at[i].seq, i + 1);
}

static void test_feed(void **state)
{
    struct fixture *f = *state;
    uint64_t fed = 99;
    struct state_task task = task_sample(1);
    task.fed = true;
    admit_task(f, &task);
    admit(f, 2);
    told(f);
    char *others = snapshot_except(f, 1);
    must(f, feed(f, 1, 0, 10, false, &fed));
    assert_int_equal(fed, 10);
    assert_told(f, "view:1");
    assert_look(f, 1, "generating gen=10 queued=10 ready=10");
    char *before = snapshot(f);
    must(f, feed(f, 1, 0, 10, false, &fed)); // again: nothing is new
    must(f, feed(f, 1, 3, 2, false, &fed));
    must(f, feed(f, 1, 10, 0, false, &fed));
    assert_int_equal(fed, 10);
    assert_code(f, NRPC_OUT_OF_RANGE, feed(f, 1, 11, 1, false, &fed));
    assert_code(f, NRPC_NOT_FOUND, feed(f, 9, 0, 1, false, &fed));
    assert_code(f, NRPC_FAILED_PRECONDITION, feed(f, 2, 0, 1, false, &fed));
    assert_unchanged(f, before);
    must(f, feed(f, 1, 8, 5, true, &fed)); // two known, three new, and the end
    assert_int_equal(fed, 13);
    assert_look(f, 1, "draining gen=13 queued=13 done ready=13");
    before = snapshot(f);
    must(f, feed(f, 1, 8, 5, true, &fed));
    assert_code(f, NRPC_FAILED_PRECONDITION, feed(f, 1, 13, 1, false, &fed));
    assert_unchanged(f, before);
    assert_string_equal(snapshot_except(f, 1), others);
    struct works w = lease(f, node_make(f, CLOCK_NEVER), 1, 20);
    for (size_t i = 0; i < 13; i++)
        assert_memory_equal(w.at[i].param.data, subtasks(f, i + 1, 1)->param.data, w.at[i].param.bytes);
}

static void test_feed_full_and_stopped(void **state)
{
    struct fixture *f = *state;
    uint64_t fed;
    struct state_task task = task_sample(1);
    task.fed = true;
    admit_task(f, &task);
    must(f, feed(f, 1, 0, STATE_QUEUE_HIGH, false, &fed));
    char *before = snapshot(f);
    assert_code(f, NRPC_RESOURCE_EXHAUSTED, feed(f, 1, STATE_QUEUE_HIGH, 1, false, &fed));
    assert_code(f, NRPC_RESOURCE_EXHAUSTED, feed(f, 1, STATE_QUEUE_HIGH - 1, 2, true, &fed));
    must(f, feed(f, 1, STATE_QUEUE_HIGH - 1, 1, false, &fed)); // known: fine
    assert_unchanged(f, before);
    lease(f, node_make(f, CLOCK_NEVER), 1, 1);
    must(f, feed(f, 1, STATE_QUEUE_HIGH, 1, false, &fed));
    must(f, f->ops->stop(f->s, 1, MODEL_OUTCOME_CANCELLED, "", &f->st));
    before = snapshot(f);
    assert_code(f, NRPC_ABORTED, feed(f, 1, fed, 1, false, &fed));
    assert_code(f, NRPC_ABORTED, feed(f, 1, fed, 0, true, &fed));
    assert_unchanged(f, before);
}

static void test_feed_finish_of_empty(void **state)
{
    struct fixture *f = *state;
    uint64_t fed = 99;
    struct state_task task = task_sample(1);
    task.fed = true;
    admit_task(f, &task);
    must(f, feed(f, 1, 0, 0, true, &fed));
    assert_int_equal(fed, 0);
    assert_look(f, 1, "closed completed done");
    must(f, feed(f, 1, 0, 0, true, &fed)); // the answer was lost: asked again
    assert_int_equal(fed, 0);
}

const struct CMUnitTest state_generation_tests[] = {
    TEST(test_claim),
    TEST(test_renew_claims),
    TEST(test_release_claim),
    TEST(test_claims_in_order),
    TEST(test_claim_of_a_queue_that_empties),
    TEST(test_push_of_a_paused_task),
    TEST(test_push),
    TEST(test_push_refused),
    TEST(test_push_repeated),
    TEST(test_admit_at_point),
    TEST(test_take_over),
    TEST(test_feed),
    TEST(test_feed_full_and_stopped),
    TEST(test_feed_finish_of_empty),
};
const size_t state_generation_count = sizeof state_generation_tests / sizeof *state_generation_tests;
