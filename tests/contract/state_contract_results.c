// SPDX-License-Identifier: Apache-2.0
// state_contract_results.c: results peeked at, settled, retried, kept, read; failures listed.
#include "state_contract_fixture.h"

static void test_peek(void **state)
{
    struct fixture *f = *state;
    uint64_t node = node_make(f, CLOCK_NEVER);
    admit(f, 1);
    push(f, 1, 50, true);
    struct works w = lease(f, node, 1, 40);
    settle(f, &w.at[1], MODEL_SUCCESS);
    char *before = snapshot(f);
    struct state_ref refs[] = {{1, 40, 1}, {1, 2, 1}, {1, 41, 1}, {1, 1, 2}, {1, 1, 1}, {5, 1, 1}, {1, 0, 0}};
    struct state_peek p[7];
    must(f, f->ops->peek(f->s, refs, NULL, 7, &f->arena, p, &f->st));
    assert_unchanged(f, before);
    static const bool current[7] = {true, false, false, false, true};
    for (int i = 0; i < 7; i++)
        assert_int_equal(p[i].current, current[i]);
    assert_string_equal(p[0].type, "count");
    assert_int_equal(p[0].timeout_ms, 1040);
    assert_int_equal(p[0].param.bytes, 3);
    assert_memory_equal(p[0].param.data, "p40", 3);
    assert_memory_equal(p[4].param.data, "p1", 2);
}

static void test_settle_each_kind(void **state)
{
    struct fixture *f = *state;
    uint64_t node = node_make(f, CLOCK_NEVER);
    struct state_task task = task_sample(1);
    task.policy.max_retries = 0;
    admit_task(f, &task);
    admit(f, 2);
    push(f, 1, 8, true);
    push(f, 2, 1, true);
    struct works w = lease(f, node, 1, 6);
    told(f);
    char *others = snapshot_except(f, 1);
    assert_int_equal(settle(f, &w.at[0], MODEL_SUCCESS), STATE_SETTLED);
    assert_told(f, "settled:1(1,10us) view:1");
    assert_int_equal(settle(f, &w.at[1], MODEL_FAILURE), STATE_SETTLED);
    assert_int_equal(settle(f, &w.at[2], MODEL_TIMEOUT), STATE_SETTLED);
    assert_int_equal(settle(f, &w.at[3], MODEL_CANCELLED_RESULT), STATE_SETTLED);
    assert_look(f, 1, "draining gen=8 ok=1 failed=1 timed_out=1 cancelled=1 run=2 queued=2 done ready=2");
    assert_int_equal(settle(f, &w.at[4], MODEL_LOST), STATE_RETRIED);
    assert_look(
        f, 1,
        "draining gen=8 ok=1 failed=1 timed_out=1 cancelled=1 redispatched=1 run=1 queued=3 done ready=3");
    assert_string_equal(snapshot_except(f, 1), others);
    struct state_node *n;
    size_t count;
    must(f, f->ops->nodes(f->s, &f->arena, &n, &count, &f->st));
    assert_true(n->running == 1 && n->settled == 5);
}

static void test_settle_bad_kind(void **state)
{
    struct fixture *f = *state;
    uint64_t node = node_make(f, CLOCK_NEVER);
    admit(f, 1);
    push(f, 1, 2, true);
    struct works w = lease(f, node, 1, 2);
    char *before = snapshot(f);
    struct state_settle entries[2] = {{.ref = ref_of(&w.at[0]), .kind = MODEL_SUCCESS},
                                      {.ref = ref_of(&w.at[1])}};
    enum state_verdict verdicts[2];
    assert_code(f, NRPC_INVALID_ARGUMENT, f->ops->settle(f->s, f->now_ms, entries, 2, verdicts, &f->st));
    assert_unchanged(f, before);
}

static void test_stale_results(void **state)
{
    struct fixture *f = *state;
    uint64_t node = node_make(f, CLOCK_NEVER);
    admit(f, 1);
    push(f, 1, 40, false);
    struct works w = lease(f, node, 1, 33);
    struct state_settle twice[2] = {{.ref = ref_of(&w.at[0]), .kind = MODEL_SUCCESS, .run_us = 4},
                                    {.ref = ref_of(&w.at[0]), .kind = MODEL_FAILURE, .run_us = 5}};
    enum state_verdict v[2];
    told(f);
    must(f, f->ops->settle(f->s, f->now_ms, twice, 2, v, &f->st));
    assert_true(v[0] == STATE_SETTLED && v[1] == STATE_STALE);
    assert_told(f, "settled:1(1,4us) view:1");
    settle_all(f, w, MODEL_SUCCESS); // a whole tile and more, one of them for the second time
    assert_look(f, 1, "generating gen=40 ok=33 queued=7 ready=7");
    told(f);
    char *before = snapshot(f);
    assert_int_equal(settle(f, &w.at[5], MODEL_SUCCESS), STATE_STALE);
    struct state_settle odd = {.ref = {1, 40, 1}, .kind = MODEL_SUCCESS};
    assert_int_equal(settle_entry(f, odd), STATE_STALE); // never dispatched
    odd.ref = (struct state_ref){1, 1000, 1};
    assert_int_equal(settle_entry(f, odd), STATE_STALE);
    odd.ref = (struct state_ref){1, 0, 0};
    assert_int_equal(settle_entry(f, odd), STATE_STALE);
    odd.ref = (struct state_ref){8, 1, 1};
    assert_int_equal(settle_entry(f, odd), STATE_STALE);
    assert_unchanged(f, before);
    assert_told(f, "");
}

static void test_backoff(void **state)
{
    struct fixture *f = *state;
    uint64_t node = node_make(f, CLOCK_NEVER);
    struct state_task task = task_sample(1);
    task.policy = (struct model_policy){.max_retries = 3, .retry_backoff_ms = 50, .tolerated_failures = -1};
    admit_task(f, &task);
    push(f, 1, 1, true);
    static const char *const waiting[] = {"draining gen=1 retried=1 queued=1 done next=50",
                                          "draining gen=1 retried=2 queued=1 done next=100",
                                          "draining gen=1 retried=3 queued=1 done next=200"};
    for (int i = 0; i < 3; i++) {
        struct works w = lease(f, node, 1, 1);
        assert_true(w.count == 1 && w.at[0].attempt == (uint32_t)i + 1);
        assert_int_equal(settle(f, &w.at[0], i == 1 ? MODEL_TIMEOUT : MODEL_FAILURE), STATE_RETRIED);
        assert_look(f, 1, waiting[i]);
        f->now_ms += (50 << i) - 1;
        assert_int_equal(lease(f, node, 1, 1).count, 0);
        f->now_ms += 1;
    }
    struct works w = lease(f, node, 1, 1);
    told(f);
    assert_int_equal(settle(f, &w.at[0], MODEL_TIMEOUT), STATE_SETTLED);
    assert_told(f, "closed:1 settled:1(1,10us) view:1");
    assert_look(f, 1, "closed completed gen=1 timed_out=1 retried=3 done");
}

// What is waited for when nothing was said of it, and at the most.
static void test_backoff_limits(void **state)
{
    struct fixture *f = *state;
    uint64_t node = node_make(f, CLOCK_NEVER);
    static const struct {
        uint32_t first_ms;
        const char *waiting[2];
    } rows[] = {{0,
                 {"draining gen=1 retried=1 queued=1 done next=100",
                  "draining gen=1 retried=2 queued=1 done next=200"}},
                {2000000,
                 {"draining gen=1 retried=1 queued=1 done next=2000000",
                  "draining gen=1 retried=2 queued=1 done next=3600000"}}};
    for (uint64_t id = 1; id <= 2; id++) {
        struct state_task task = task_sample(id);
        task.policy = (struct model_policy){3, rows[id - 1].first_ms, -1};
        admit_task(f, &task);
        push(f, id, 1, true);
        for (int i = 0; i < 2; i++) {
            struct works w = lease(f, node, id, 1);
            assert_int_equal(settle(f, &w.at[0], MODEL_FAILURE), STATE_RETRIED);
            assert_look(f, id, rows[id - 1].waiting[i]);
            f->now_ms += 3600000;
        }
    }
}

static void test_losses(void **state)
{
    struct fixture *f = *state;
    uint64_t node = node_make(f, CLOCK_NEVER);
    struct state_task task = task_sample(1);
    task.policy.max_retries = 0;
    admit_task(f, &task);
    push(f, 1, 1, true);
    for (int i = 0; i < STATE_LOSSES_MAX; i++) {
        struct works w = lease(f, node, 1, 1); // at once, without a backoff
        assert_int_equal(settle(f, &w.at[0], MODEL_LOST), STATE_RETRIED);
    }
    struct works w = lease(f, node, 1, 1);
    assert_int_equal(settle(f, &w.at[0], MODEL_LOST), STATE_SETTLED);
    assert_look(f, 1, "closed completed gen=1 failed=1 redispatched=5 done");
    assert_non_null(strstr(snapshot(f), "failure 1: seq 1 attempt 6 kind 5"));
}

static void test_again(void **state)
{
    struct fixture *f = *state;
    uint64_t node = node_make(f, CLOCK_NEVER);
    admit(f, 1);
    push(f, 1, 1, true);
    struct works w = lease(f, node, 1, 1);
    struct state_settle again = {.ref = ref_of(&w.at[0]),
                                 .kind = MODEL_SUCCESS,
                                 .again = true,
                                 .followups = subtasks(f, 1, 2),
                                 .followup_count = 2};
    assert_int_equal(settle_entry(f, again), STATE_RETRIED); // follow-ups only come with the settlement
    assert_look(f, 1, "draining gen=1 retried=1 queued=1 done next=100");
    f->now_ms += 100;
    w = lease(f, node, 1, 1);
    again.ref = ref_of(&w.at[0]);
    again.followup_count = 0;
    assert_int_equal(settle_entry(f, again), STATE_SETTLED);
    assert_look(f, 1, "closed completed gen=1 failed=1 retried=1 done");
}

static void test_tolerated_failures(void **state)
{
    struct fixture *f = *state;
    uint64_t node = node_make(f, CLOCK_NEVER);
    struct state_task task = task_sample(1);
    task.policy = (struct model_policy){.max_retries = 0, .tolerated_failures = 2};
    admit_task(f, &task);
    admit(f, 2);
    push(f, 1, 50, false);
    struct works w = lease(f, node, 1, 6);
    told(f);
    char *others = snapshot_except(f, 1);
    settle(f, &w.at[0], MODEL_FAILURE);
    settle(f, &w.at[1], MODEL_TIMEOUT);
    assert_look(f, 1, "generating gen=50 failed=1 timed_out=1 run=4 queued=44 ready=44");
    told(f);
    settle(f, &w.at[2], MODEL_FAILURE);
    assert_told(f, "settled:1(1,10us) stop:1 view:1");
    assert_look(
        f, 1,
        "stopping failed '3 subtasks failed, 2 tolerated' gen=50 failed=2 timed_out=1 cancelled=44 run=3");
    settle(f, &w.at[3], MODEL_SUCCESS);
    settle(f, &w.at[4], MODEL_FAILURE);
    told(f);
    settle(f, &w.at[5], MODEL_CANCELLED_RESULT);
    assert_told(f, "closed:1 settled:1(1,10us) view:1");
    assert_look(
        f, 1, "closed failed '3 subtasks failed, 2 tolerated' gen=50 ok=1 failed=2 timed_out=1 cancelled=46");
    assert_string_equal(snapshot_except(f, 1), others);
}

static void test_fails_at_its_last(void **state)
{
    struct fixture *f = *state;
    uint64_t node = node_make(f, CLOCK_NEVER);
    struct state_task task = task_sample(1);
    task.policy = (struct model_policy){.max_retries = 0, .tolerated_failures = 0};
    task.closing_callback = true;
    admit_task(f, &task);
    push(f, 1, 1, true);
    struct works w = lease(f, node, 1, 1);
    told(f);
    settle(f, &w.at[0], MODEL_FAILURE);
    assert_told(f, "closing:1 settled:1(1,10us) stop:1 view:1");
    assert_look(f, 1, "closing failed '1 subtasks failed, 0 tolerated' gen=1 failed=1 done");
}

static void test_followups(void **state)
{
    struct fixture *f = *state;
    uint64_t node = node_make(f, CLOCK_NEVER);
    admit(f, 1);
    push(f, 1, 3, true);
    struct works w = lease(f, node, 1, 3);
    struct state_settle e = {.ref = ref_of(&w.at[0]),
                             .kind = MODEL_SUCCESS,
                             .followups = subtasks(f, 4, 100),
                             .followup_count = 100};
    assert_int_equal(settle_entry(f, e), STATE_SETTLED);
    assert_look(f, 1, "draining gen=103 ok=1 run=2 queued=100 done ready=100");
    assert_int_equal(settle_entry(f, e), STATE_STALE); // its follow-ups are not added twice
    assert_look(f, 1, "draining gen=103 ok=1 run=2 queued=100 done ready=100");
    struct works more = lease(f, node, 1, 200);
    assert_int_equal(more.count, 100);
    for (uint64_t i = 0; i < 100; i++) {
        const struct state_subtask *s = subtasks(f, i + 4, 1);
        assert_true(more.at[i].seq == i + 4 && more.at[i].timeout_ms == s->timeout_ms);
        assert_memory_equal(more.at[i].param.data, s->param.data, s->param.bytes);
    }
    settle_all(f, more, MODEL_SUCCESS);
    settle(f, &w.at[1], MODEL_SUCCESS);
    // The last one adds another: the task is not over yet.
    e = (struct state_settle){.ref = ref_of(&w.at[2]),
                              .kind = MODEL_SUCCESS,
                              .followups = subtasks(f, 104, 1),
                              .followup_count = 1};
    settle_entry(f, e);
    assert_look(f, 1, "draining gen=104 ok=103 queued=1 done ready=1");
    settle_all(f, lease(f, node, 1, 9), MODEL_SUCCESS);
    assert_look(f, 1, "closed completed gen=104 ok=104 done");
}

static void test_claim_does_not_count_followups(void **state)
{
    struct fixture *f = *state;
    uint64_t node = node_make(f, CLOCK_NEVER);
    admit(f, 1);
    push(f, 1, 3, false);
    struct works w = lease(f, node, 1, 3);
    struct state_settle e = {
        .ref = ref_of(&w.at[0]), .kind = MODEL_SUCCESS, .followups = subtasks(f, 4, 5), .followup_count = 5};
    settle_entry(f, e);
    struct state_claim *c;
    size_t count;
    must(f, f->ops->claim(f->s, 1, f->now_ms, f->now_ms + 1, 9, &f->arena, &c, &count, &f->st));
    assert_true(count == 1 && c->generated == 3 && c->queue.subtasks == 5);
}

// The last thing that happens to a task may be each of these.
static void test_drained_in_every_order(void **state)
{
    struct fixture *f = *state;
    uint64_t node = node_make(f, CLOCK_NEVER);
    for (uint64_t id = 1; id <= 3; id++) {
        struct state_task task = task_sample(id);
        task.closing_callback = id == 2;
        admit_task(f, &task);
    }
    push(f, 1, 2, true); // generation, then results
    settle_all(f, lease(f, node, 1, 2), MODEL_SUCCESS);
    assert_look(f, 1, "closed completed gen=2 ok=2 done");
    push(f, 2, 2, false); // results, then the end of generation
    settle_all(f, lease(f, node, 2, 2), MODEL_SUCCESS);
    assert_look(f, 2, "generating gen=2 ok=2");
    told(f);
    push(f, 2, 0, true);
    assert_string_equal(strstr(told(f), "closing:2") ? "told" : "not told", "told");
    assert_look(f, 2, "closing completed gen=2 ok=2 done");
    push(f, 3, 0, true); // nothing at all
    assert_look(f, 3, "closed completed done");
}

static size_t read_results(struct fixture *f, uint64_t task, uint64_t after, size_t max,
                           struct state_result **r, bool *end)
{
    size_t count;
    must(f, f->ops->results(f->s, task, after, max, &f->arena, r, &count, end, &f->st));
    return count;
}

static void test_kept_results(void **state)
{
    struct fixture *f = *state;
    struct state_result *r;
    bool end;
    uint64_t node = node_make(f, CLOCK_NEVER);
    struct state_task task = task_sample(1);
    task.keep_results = true;
    task.policy.max_retries = 0;
    admit_task(f, &task);
    admit(f, 2);
    push(f, 1, 10, true);
    push(f, 2, 1, true);
    struct works w = lease(f, node, 1, 10);
    assert_int_equal(read_results(f, 1, 0, 9, &r, &end), 0);
    assert_false(end);
    told(f);
    settle(f, &w.at[4], MODEL_SUCCESS);
    assert_told(f, "results:1 settled:1(1,10us) view:1");
    settle(f, &w.at[0], MODEL_FAILURE);
    settle(f, &w.at[1], MODEL_CANCELLED_RESULT);
    settle_all(f, lease(f, node, 2, 1), MODEL_SUCCESS);
    assert_int_equal(read_results(f, 2, 0, 9, &r, &end), 0); // does not keep any
    assert_int_equal(read_results(f, 1, 0, 9, &r, &end), 3);
    assert_true(r[0].seq == 5 && r[0].attempt == 1 && r[0].kind == MODEL_SUCCESS && r[0].run_us == 10);
    assert_memory_equal(r[0].body.data, "body", 4);
    assert_null(r[0].param.data);
    assert_true(r[1].seq == 1 && r[1].kind == MODEL_FAILURE && r[1].code == 3);
    assert_string_equal(r[1].message, "bad");
    assert_true(r[2].seq == 2 && r[2].kind == MODEL_CANCELLED_RESULT);
    assert_true(r[0].position < r[1].position && r[1].position < r[2].position);
    uint64_t first = r[0].position, last = r[2].position;
    assert_int_equal(read_results(f, 1, 0, 2, &r, &end), 2); // reading again is fine
    assert_int_equal(read_results(f, 1, first, 9, &r, &end), 2);
    assert_int_equal(read_results(f, 1, 0, 9, &r, &end), 2); // what was read past is forgotten
    assert_int_equal(read_results(f, 1, last, 9, &r, &end), 0);
    assert_false(end);
    settle(f, &w.at[2], MODEL_SUCCESS);
    assert_int_equal(read_results(f, 1, last, 9, &r, &end), 1);
    assert_true(r[0].position > last && r[0].seq == 3);
}

static void assert_no_results(struct fixture *f, uint64_t task)
{
    struct state_result *r;
    size_t count;
    bool end;
    assert_code(f, NRPC_NOT_FOUND, f->ops->results(f->s, task, 0, 9, &f->arena, &r, &count, &end, &f->st));
}

static void test_results_after_remove(void **state)
{
    struct fixture *f = *state;
    struct state_result *r;
    bool end;
    uint64_t node = node_make(f, CLOCK_NEVER), id = 1;
    for (id = 1; id <= 3; id++) {
        struct state_task task = task_sample(id);
        task.keep_results = true;
        admit_task(f, &task);
        push(f, id, 5, true);
        settle_all(f, lease(f, node, id, 5), MODEL_SUCCESS);
    }
    uint64_t ids[3] = {1, 2, 3};
    told(f);
    must(f, f->ops->remove(f->s, ids, 3, f->now_ms + 1000, &f->st));
    assert_told(f, "gone:1 gone:2 gone:3 results:1 results:2 results:3");
    assert_int_equal(read_results(f, 1, 0, 3, &r, &end), 3);
    assert_false(end);
    assert_int_equal(read_results(f, 1, r[2].position, 3, &r, &end), 2);
    assert_true(end);
    assert_int_equal(read_results(f, 1, r[1].position, 3, &r, &end), 0);
    assert_true(end);
    assert_no_results(f, 1);
    must(f, f->ops->expire_results(f->s, f->now_ms + 999, &f->st));
    assert_int_equal(read_results(f, 2, 0, 9, &r, &end), 5);
    must(f, f->ops->expire_results(f->s, f->now_ms + 1000, &f->st));
    for (id = 1; id <= 3; id++)
        assert_no_results(f, id);
    assert_no_results(f, 77);
}

// Who had read everything before the task was removed still learns that this was all.
static void test_results_read_before_remove(void **state)
{
    struct fixture *f = *state;
    struct state_result *r;
    bool end;
    size_t count;
    uint64_t node = node_make(f, CLOCK_NEVER), id = 1;
    struct state_task task = task_sample(1);
    task.keep_results = true;
    admit_task(f, &task);
    push(f, 1, 5, true);
    settle_all(f, lease(f, node, 1, 5), MODEL_SUCCESS);
    assert_int_equal(read_results(f, 1, 0, 9, &r, &end), 5);
    uint64_t last = r[4].position;
    assert_int_equal(read_results(f, 1, last, 9, &r, &end), 0);
    assert_false(end);
    must(f, f->ops->remove(f->s, &id, 1, f->now_ms + 1000, &f->st));
    for (int i = 0; i < 3; i++) { // it is told again: the answer may be lost
        assert_int_equal(read_results(f, 1, last, 9, &r, &end), 0);
        assert_true(end);
    }
    assert_no_results(f, 1); // to somebody who has not had them
    must(f, f->ops->expire_results(f->s, f->now_ms, &f->st));
    assert_int_equal(read_results(f, 1, last, 9, &r, &end), 0);
    assert_true(end);
    must(f, f->ops->expire_results(f->s, f->now_ms, &f->st));
    assert_code(f, NRPC_NOT_FOUND, f->ops->results(f->s, 1, last, 9, &f->arena, &r, &count, &end, &f->st));
}

// A call gives out no more than a message has room for, and goes on behind it.
static void test_results_bytes(void **state)
{
    struct fixture *f = *state;
    struct state_result *r;
    bool end;
    enum { BODY = 100 << 10, COUNT = 30, FIRST = (STATE_BATCH_BYTES + BODY - 1) / BODY };
    uint64_t node = node_make(f, CLOCK_NEVER);
    struct state_task task = task_sample(1);
    task.keep_results = true;
    admit_task(f, &task);
    push(f, 1, COUNT, true);
    struct works w = lease(f, node, 1, COUNT);
    char *body = arena_calloc(&f->arena, BODY);
    for (size_t i = 0; i < COUNT; i++)
        assert_int_equal(
            settle_entry(f, (struct state_settle){.ref = ref_of(&w.at[i]),
                                                  .kind = i % 2 ? MODEL_SUCCESS : MODEL_CANCELLED_RESULT,
                                                  .body = {body, BODY}}),
            STATE_SETTLED);
    assert_int_equal(read_results(f, 1, 0, 100, &r, &end), FIRST);
    assert_int_equal(read_results(f, 1, r[FIRST - 1].position, 100, &r, &end), COUNT - FIRST);
}

static void test_results_backlog(void **state)
{
    struct fixture *f = *state;
    struct state_result *r;
    bool end;
    uint64_t node = node_make(f, CLOCK_NEVER);
    struct state_task task = task_sample(1);
    task.keep_results = true;
    admit_task(f, &task);
    push(f, 1, STATE_RESULTS_HIGH + 10, true);
    struct works w = lease(f, node, 1, STATE_RESULTS_HIGH);
    struct state_settle *entries = arena_calloc(&f->arena, w.count * sizeof *entries);
    enum state_verdict *verdicts = arena_alloc(&f->arena, w.count * sizeof *verdicts);
    for (size_t i = 0; i < w.count; i++)
        entries[i] = (struct state_settle){.ref = ref_of(&w.at[i]), .kind = MODEL_SUCCESS};
    must(f, f->ops->settle(f->s, f->now_ms, entries, w.count - 1, verdicts, &f->st));
    assert_look(f, 1, "draining gen=20010 ok=19999 run=1 queued=10 done ready=10");
    settle_entry(f, entries[w.count - 1]);
    assert_look(f, 1, "draining gen=20010 ok=20000 queued=10 done");
    assert_int_equal(lease(f, node, 1, 5).count, 0);
    assert_int_equal(read_results(f, 1, 0, 100, &r, &end), 100);
    assert_int_equal(lease(f, node, 1, 5).count, 0); // nothing was forgotten yet
    told(f);
    assert_int_equal(read_results(f, 1, r[0].position, 100, &r, &end), 100);
    assert_told(f, "view:1");
    assert_look(f, 1, "draining gen=20010 ok=20000 queued=10 done ready=10");
    assert_int_equal(lease(f, node, 1, 5).count, 5);
}

static void test_failures(void **state)
{
    struct fixture *f = *state;
    struct state_result *r;
    size_t count;
    uint64_t node = node_make(f, CLOCK_NEVER);
    struct state_task task = task_sample(1);
    task.policy.max_retries = 0;
    admit_task(f, &task);
    push(f, 1, 50, true);
    struct works w = lease(f, node, 1, 50);
    settle(f, &w.at[40], MODEL_FAILURE);
    settle(f, &w.at[3], MODEL_SUCCESS);
    settle(f, &w.at[2], MODEL_TIMEOUT);
    settle(f, &w.at[1], MODEL_CANCELLED_RESULT);
    must(f, f->ops->failures(f->s, 1, 0, 9, &f->arena, &r, &count, &f->st));
    assert_int_equal(count, 2);
    assert_true(r[0].seq == 41 && r[0].kind == MODEL_FAILURE && r[0].code == 3 && r[0].attempt == 1);
    assert_string_equal(r[0].message, "bad");
    assert_memory_equal(r[0].body.data, "body", 4);
    assert_int_equal(r[0].param.bytes, 3);
    assert_memory_equal(r[0].param.data, "p41", 3);
    assert_true(r[1].seq == 3 && r[1].kind == MODEL_TIMEOUT);
    must(f, f->ops->failures(f->s, 1, r[0].position, 9, &f->arena, &r, &count, &f->st));
    assert_true(count == 1 && r[0].seq == 3);
    for (size_t i = 0; i < w.count; i++)
        settle(f, &w.at[i], MODEL_SUCCESS);
    must(f, f->ops->failures(f->s, 1, 0, 9, &f->arena, &r, &count, &f->st));
    assert_int_equal(count, 2); // stays while the task is closed
    uint64_t id = 1;
    must(f, f->ops->remove(f->s, &id, 1, f->now_ms, &f->st));
    must(f, f->ops->failures(f->s, 1, 0, 9, &f->arena, &r, &count, &f->st));
    assert_int_equal(count, 0);
}

const struct CMUnitTest state_result_tests[] = {
    TEST(test_peek),
    TEST(test_settle_each_kind),
    TEST(test_settle_bad_kind),
    TEST(test_stale_results),
    TEST(test_backoff),
    TEST(test_backoff_limits),
    TEST(test_results_bytes),
    TEST(test_losses),
    TEST(test_again),
    TEST(test_tolerated_failures),
    TEST(test_fails_at_its_last),
    TEST(test_followups),
    TEST(test_claim_does_not_count_followups),
    TEST(test_drained_in_every_order),
    TEST(test_kept_results),
    TEST(test_results_after_remove),
    TEST(test_results_read_before_remove),
    TEST(test_results_backlog),
    TEST(test_failures),
};
const size_t state_result_count = sizeof state_result_tests / sizeof *state_result_tests;
