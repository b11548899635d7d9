// SPDX-License-Identifier: Apache-2.0
// state_contract_queue.c: a queue's bounds, in subtasks and in bytes; large parameters beside small ones.
#include "state_contract_fixture.h"

enum { LARGEST = 256 << 10, MANY = 100 };

static size_t claim_many(struct fixture *f, size_t max, struct state_claim **out)
{
    size_t count;
    must(f, f->ops->claim(f->s, 50, f->now_ms, f->now_ms + 1000, max, &f->arena, out, &count, &f->st));
    return count;
}

static void release(struct fixture *f, const struct state_claim *c)
{
    must(f, f->ops->release_claim(f->s, c->task, c->fence, 0, &f->st));
}

// Of a task that can be claimed.
static struct state_queue queue_of(struct fixture *f, uint64_t task)
{
    struct state_claim *c;
    struct state_queue queue = {0};
    size_t count = claim_many(f, 9, &c);
    bool found = false;
    for (size_t i = 0; i < count; i++) {
        queue = c[i].task == task ? c[i].queue : queue;
        found |= c[i].task == task;
        release(f, &c[i]);
    }
    assert_true(found);
    return queue;
}

// One of these sizes each, in turn, and no two the same.
static struct state_subtask *sized(struct fixture *f, const size_t *sizes, size_t size_count, size_t count)
{
    struct state_subtask *s = arena_alloc(&f->arena, (count + 1) * sizeof *s);
    for (size_t i = 0; i < count; i++) {
        size_t bytes = sizes[i % size_count];
        char *data = arena_alloc(&f->arena, bytes + 1);
        memset(data, 'a' + (int)(i % 26), bytes);
        s[i] = (struct state_subtask){{data, bytes}, (uint32_t)(1000 + i)};
    }
    return s;
}

static int push_sized(struct fixture *f, uint64_t task, uint64_t fence, size_t bytes, size_t count,
                      struct state_queue *queue)
{
    int code = f->ops->push(f->s, task, fence, f->made[task], sized(f, &bytes, 1, count), count,
                            (struct state_blob){0}, false, -1, queue, &f->st);
    f->made[task] += code ? 0 : count;
    return code;
}

static void lease_each(struct fixture *f, uint64_t node, uint64_t task, size_t count)
{
    for (size_t i = 0; i < count; i++)
        assert_int_equal(lease(f, node, task, 1).count, 1);
}

static void test_big_params(void **state)
{
    struct fixture *f = *state;
    enum { COUNT = 40, BYTES = LARGEST };
    struct state_subtask s[COUNT];
    struct state_queue queue;
    uint64_t node = node_make(f, CLOCK_NEVER);
    admit(f, 1);
    uint64_t fence = claim(f, 1);
    for (int i = 0; i < COUNT; i++) {
        size_t bytes = i % 3 == 0 ? 0 : i % 3 == 1 ? BYTES : 1;
        char *data = arena_alloc(&f->arena, bytes + 1);
        memset(data, 'a' + i % 26, bytes);
        s[i] = (struct state_subtask){{data, bytes}, 1};
    }
    must(f, f->ops->push(f->s, 1, fence, 0, s, COUNT, (struct state_blob){0}, true, -1, &queue, &f->st));
    for (size_t i = 0, calls = 0; i < COUNT; calls++) {
        struct works w = lease(f, node, 1, COUNT);
        size_t bytes = 0;
        assert_true(w.count > 0);
        for (size_t k = 0; k < w.count; k++, i++) {
            assert_true(bytes < STATE_BATCH_BYTES); // a batch ends when it is large enough
            bytes += w.at[k].param.bytes;
            assert_int_equal(w.at[k].seq, i + 1);
            assert_int_equal(w.at[k].param.bytes, s[i].param.bytes);
            assert_memory_equal(w.at[k].param.data, s[i].param.data, s[i].param.bytes);
        }
        assert_true(calls < COUNT);
    }
}

// However much one call is asked for, all get what was picked for them.
static void test_many_takers(void **state)
{
    enum { TAKERS = 12, EACH = 4 };
    struct fixture *f = *state;
    struct state_queue queue;
    struct state_taker takers[TAKERS] = {0};
    struct state_pick pick = {1, EACH};
    uint64_t seq = 0;
    admit(f, 1);
    uint64_t fence = claim(f, 1);
    for (int i = 0; i < TAKERS; i++) {
        takers[i] = (struct state_taker){.node = node_make(f, CLOCK_NEVER), .picks = &pick, .pick_count = 1};
        must(f, push_sized(f, 1, fence, LARGEST, EACH, &queue));
    }
    must(f, f->ops->lease(f->s, f->now_ms, takers, TAKERS, &f->arena, &f->st));
    for (int i = 0; i < TAKERS; i++) {
        assert_true(takers[i].code == NRPC_OK && takers[i].count == EACH && takers[i].left[0] == 0);
        for (size_t k = 0; k < EACH; k++)
            assert_true(takers[i].work[k].seq == ++seq && takers[i].work[k].param.bytes == LARGEST);
    }
}

static void test_queue_limits(void **state)
{
    struct fixture *f = *state;
    struct state_claim *c;
    uint64_t node = node_make(f, CLOCK_NEVER);
    admit(f, 1);
    push(f, 1, STATE_QUEUE_HIGH - 1, false);
    assert_int_equal(claim_many(f, 9, &c), 1);
    must(f, push_raw(f, 1, c->fence, 1, false));
    must(f, f->ops->release_claim(f->s, 1, c->fence, 0, &f->st));
    assert_int_equal(claim_many(f, 9, &c), 0);
    lease(f, node, 1, 1);
    assert_int_equal(claim_many(f, 9, &c), 1);
    must(f, f->ops->release_claim(f->s, 1, c->fence, 0, &f->st));
    told(f);
    lease(f, node, 1, STATE_QUEUE_HIGH - STATE_QUEUE_LOW - 2);
    assert_told(f, "view:1");
    lease(f, node, 1, 1);
    assert_told(f, "generate:1 view:1"); // the low mark was crossed
    lease(f, node, 1, 1);
    assert_told(f, "view:1");
}

// What waits is bounded by its bytes as well.
static void test_limits_in_bytes(void **state)
{
    enum { HIGH = STATE_QUEUE_BYTES_HIGH / LARGEST, LOW = STATE_QUEUE_BYTES_LOW / LARGEST };
    struct fixture *f = *state;
    struct state_claim *c;
    struct state_queue queue;
    uint64_t node = node_make(f, CLOCK_NEVER);
    admit(f, 1);
    assert_int_equal(claim_many(f, 9, &c), 1);
    for (int i = 0; i < HIGH - 1; i++) {
        must(f, push_sized(f, 1, c->fence, LARGEST, 1, &queue));
        assert_false(state_queue_is_full(queue));
    }
    release(f, c);
    assert_int_equal(claim_many(f, 9, &c), 1);
    assert_true(c->queue.subtasks == HIGH - 1 && c->queue.bytes == (HIGH - 1) * (uint64_t)LARGEST);
    must(f, push_sized(f, 1, c->fence, LARGEST - 1, 1, &queue));
    assert_false(state_queue_is_full(queue));
    must(f, push_sized(f, 1, c->fence, STATE_PARAM_LARGE - 1, 30, &queue)); // small ones do not count
    assert_false(state_queue_is_full(queue));
    must(f, push_sized(f, 1, c->fence, STATE_PARAM_LARGE, 1, &queue));
    assert_true(state_queue_is_full(queue));
    told(f);
    release(f, c);
    assert_told(f, "view:1");
    assert_int_equal(claim_many(f, 9, &c), 0);
    lease_each(f, node, 1, 1);
    assert_int_equal(claim_many(f, 9, &c), 1);
    release(f, c);
    lease_each(f, node, 1, HIGH - LOW - 1);
    told(f);
    lease_each(f, node, 1, 1);
    assert_told(f, "generate:1 view:1"); // half of it is left
    lease_each(f, node, 1, 1);
    assert_told(f, "view:1");
    assert_int_equal(queue_of(f, 1).bytes, (LOW - 2) * (uint64_t)LARGEST + STATE_PARAM_LARGE - 1);
}

static void test_feed_full_of_bytes(void **state)
{
    enum { COUNT = STATE_QUEUE_BYTES_HIGH / LARGEST };
    struct fixture *f = *state;
    struct state_task task = task_sample(1);
    const struct state_subtask *s = sized(f, (size_t[]){LARGEST}, 1, 1);
    uint64_t fed = 0;
    task.fed = true;
    admit_task(f, &task);
    while (fed < COUNT)
        must(f, f->ops->feed(f->s, 1, fed, s, 1, false, &fed, &f->st));
    char *before = snapshot(f);
    assert_code(f, NRPC_RESOURCE_EXHAUSTED, f->ops->feed(f->s, 1, fed, s, 1, false, &fed, &f->st));
    assert_string_equal(f->st.text, "the queue of task 1 is full: 67108864 bytes of large parameters");
    must(f, f->ops->feed(f->s, 1, COUNT - 1, s, 1, false, &fed, &f->st)); // known: fine
    assert_unchanged(f, before);
    lease_each(f, node_make(f, CLOCK_NEVER), 1, 1);
    must(f, f->ops->feed(f->s, 1, fed, s, 1, false, &fed, &f->st));
    assert_int_equal(fed, COUNT + 1);
}

static const size_t sizes[] = {100, 5000, 0, 4095, 4096, 70000, 3, 4097};
enum { SIZES = sizeof sizes / sizeof *sizes };

static uint64_t bytes_from(size_t first)
{
    uint64_t bytes = 0;
    for (size_t i = first; i < MANY; i++)
        bytes += sizes[i % SIZES] >= STATE_PARAM_LARGE ? sizes[i % SIZES] : 0;
    return bytes;
}

static void assert_work(const struct works w, const struct state_subtask *s)
{
    for (size_t i = 0; i < w.count; i++) {
        const struct state_subtask *as = &s[w.at[i].seq - 1];
        assert_int_equal(w.at[i].timeout_ms, as->timeout_ms);
        assert_int_equal(w.at[i].param.bytes, as->param.bytes);
        assert_memory_equal(w.at[i].param.data, as->param.data, as->param.bytes);
    }
}

static void assert_peeked(struct fixture *f, const struct state_work *w, const struct state_subtask *s)
{
    struct state_peek peek;
    struct state_ref ref = ref_of(w);
    must(f, f->ops->peek(f->s, &ref, NULL, 1, &f->arena, &peek, &f->st));
    assert_true(peek.current && peek.param.bytes == s[w->seq - 1].param.bytes);
    assert_memory_equal(peek.param.data, s[w->seq - 1].param.data, peek.param.bytes);
}

static void assert_failure(struct fixture *f, uint64_t seq, const struct state_subtask *s)
{
    struct state_result *r;
    size_t count;
    must(f, f->ops->failures(f->s, 1, 0, MANY, &f->arena, &r, &count, &f->st));
    assert_true(count > 0 && r[count - 1].seq == seq);
    assert_int_equal(r[count - 1].param.bytes, s[seq - 1].param.bytes);
    assert_memory_equal(r[count - 1].param.data, s[seq - 1].param.data, r[count - 1].param.bytes);
}

// Whatever becomes of what was dispatched: large and small ones come as they were made, also again, and the
// bytes that wait are those of the large ones that were never dispatched.
static void test_mixed_sizes(void **state)
{
    struct fixture *f = *state;
    struct state_queue queue;
    uint64_t node = node_make(f, CLOCK_NEVER), lost = node_make(f, f->now_ms + 500);
    const struct state_subtask *s = sized(f, sizes, SIZES, MANY);
    admit(f, 1);
    uint64_t fence = claim(f, 1);
    must(f, f->ops->push(f->s, 1, fence, 0, s, 7, (struct state_blob){0}, false, -1, &queue, &f->st));
    must(f,
         f->ops->push(f->s, 1, fence, 7, s + 7, MANY - 7, (struct state_blob){0}, false, -1, &queue, &f->st));
    assert_true(queue.subtasks == MANY && queue.bytes == bytes_from(0));
    must(f, f->ops->release_claim(f->s, 1, fence, 0, &f->st));
    struct works w = lease(f, node, 1, 20), other = lease(f, lost, 1, 20);
    assert_true(w.count == 20 && other.count == 20);
    assert_work(w, s);
    assert_work(other, s);
    assert_int_equal(queue_of(f, 1).bytes, bytes_from(40));
    for (size_t i = 0; i < w.count; i++)
        assert_peeked(f, &w.at[i], s);
    for (size_t i = 0; i < w.count; i++) // settled, to be run again, or back
        if (i % 3 == 2)
            must(f, f->ops->requeue(f->s, (struct state_ref[]){ref_of(&w.at[i])}, 1, NULL, STATE_RETURNED,
                                    f->now_ms, &f->st));
        else
            settle(f, &w.at[i], i % 3 ? MODEL_FAILURE : MODEL_SUCCESS);
    f->now_ms += 500;
    assert_int_equal(sweep(f).count, 1);
    assert_int_equal(queue_of(f, 1).bytes, bytes_from(40));
    w = lease(f, node, 1, 33); // all that wait
    assert_int_equal(w.count, 33);
    assert_work(w, s);
    assert_int_equal(queue_of(f, 1).bytes, bytes_from(40));
    for (size_t i = 0; i < w.count; i++)
        if (settle(f, &w.at[i], MODEL_FAILURE) == STATE_SETTLED)
            assert_failure(f, w.at[i].seq, s);
    f->now_ms += 1000;
    for (size_t i = 0; (w = lease(f, node, 1, MANY)).count; i += w.count) {
        assert_work(w, s);
        settle_all(f, w, MODEL_SUCCESS);
    }
    queue = queue_of(f, 1);
    assert_true(queue.subtasks == 0 && queue.bytes == 0);
}

// Follow-ups wait as all do, also in a store that is opened again; what is queued of a task that stops waits
// for nothing.
static void test_large_followups(void **state)
{
    struct fixture *f = *state;
    uint64_t node = node_make(f, CLOCK_NEVER);
    const struct state_subtask *s = sized(f, sizes, SIZES, MANY);
    admit(f, 1);
    push(f, 1, 3, false); // "p1", "p2", "p3"
    struct works w = lease(f, node, 1, 2);
    settle_entry(f,
                 (struct state_settle){
                     .ref = ref_of(&w.at[0]), .kind = MODEL_SUCCESS, .followups = s, .followup_count = MANY});
    assert_int_equal(queue_of(f, 1).bytes, bytes_from(0));
    store_reopen(f);
    assert_int_equal(queue_of(f, 1).bytes, bytes_from(0));
    node = node_make(f, CLOCK_NEVER);
    w = lease(f, node, 1, 2);
    assert_true(w.count == 2 && w.at[1].seq == 4 && w.at[1].param.bytes == sizes[0]);
    assert_int_equal(queue_of(f, 1).bytes, bytes_from(1));
    must(f, f->ops->stop(f->s, 1, MODEL_OUTCOME_CANCELLED, "", &f->st));
    settle_all(f, w, MODEL_SUCCESS);
    assert_look(f, 1, "stopping cancelled '' gen=103 ok=3 cancelled=99 run=1");
}

const struct CMUnitTest state_queue_tests[] = {
    TEST(test_big_params),      TEST(test_many_takers),        TEST(test_queue_limits),
    TEST(test_limits_in_bytes), TEST(test_feed_full_of_bytes), TEST(test_mixed_sizes),
    TEST(test_large_followups),
};
const size_t state_queue_count = sizeof state_queue_tests / sizeof *state_queue_tests;
