// SPDX-License-Identifier: Apache-2.0
// state_contract_life.c: tasks admitted, paused, stopped, closed, removed.
#include "state_contract_fixture.h"

// A task with something in every place: fresh, leased, waiting for a retry, settled, failed.
static void seed_bystander(struct fixture *f)
{
    struct state_task task = task_sample(BYSTANDER);
    task.keep_results = true;
    task.deadline_ms = f->now_ms + 500000;
    admit_task(f, &task);
    uint64_t node = node_make(f, f->now_ms + 1000000);
    push(f, BYSTANDER, 10, true);
    struct works w = lease(f, node, BYSTANDER, 6);
    settle(f, &w.at[0], MODEL_SUCCESS);
    settle(f, &w.at[1], MODEL_FAILURE);
    f->now_ms += 100;
    struct works again = lease(f, node, BYSTANDER, 1);
    settle(f, &again.at[0], MODEL_FAILURE);
    settle(f, &w.at[2], MODEL_TIMEOUT);
    assert_look(f, BYSTANDER, "draining gen=10 ok=1 failed=1 retried=2 run=3 queued=5 done ready=4 next=100");
    told(f);
}

static int stop(struct fixture *f, uint64_t task, enum model_outcome outcome, const char *message)
{
    return f->ops->stop(f->s, task, outcome, message, &f->st);
}

static void test_admit(void **state)
{
    struct fixture *f = *state;
    seed_bystander(f);
    char *others = snapshot_except(f, 1);
    admit(f, 1);
    assert_told(f, "generate:1 view:1");
    assert_look(f, 1, "generating");
    assert_string_equal(snapshot_except(f, 1), others);
    char *first = snapshot_except(f, 2);
    struct state_task twice[2] = {task_sample(1), task_sample(2)};
    twice[0].priority = 9;
    twice[1].fed = true;
    must(f, f->ops->admit(f->s, twice, 2, &f->st));
    assert_told(f, "view:2");
    assert_look(f, 2, "generating");
    assert_string_equal(snapshot_except(f, 2), first);
}

static void test_progress_of_unknown(void **state)
{
    struct fixture *f = *state;
    admit(f, 2);
    uint64_t ids[3] = {1, 2, 3};
    struct state_progress p[3];
    must(f, f->ops->progress(f->s, ids, 3, &f->arena, p, &f->st));
    assert_false(p[0].found);
    assert_true(p[1].found);
    assert_false(p[2].found);
    assert_string_equal(p[1].type, "count");
    assert_true(p[1].deadline_ms == CLOCK_NEVER);
}

static void test_pause(void **state)
{
    struct fixture *f = *state;
    seed_bystander(f);
    char *others = snapshot(f);
    assert_code(f, NRPC_NOT_FOUND, f->ops->pause(f->s, 1, true, &f->st));
    assert_unchanged(f, others);
    admit(f, 1);
    push(f, 1, 3, false);
    uint64_t node = node_make(f, CLOCK_NEVER);
    told(f);
    must(f, f->ops->pause(f->s, 1, true, &f->st));
    assert_told(f, "view:1");
    assert_look(f, 1, "generating paused gen=3 queued=3");
    char *before = snapshot(f);
    assert_int_equal(lease(f, node, 1, 3).count, 0);
    struct state_claim *claims;
    size_t count;
    must(f, f->ops->claim(f->s, 5, f->now_ms, f->now_ms + 1, 9, &f->arena, &claims, &count, &f->st));
    assert_int_equal(count, 0);
    must(f, f->ops->pause(f->s, 1, true, &f->st));
    assert_unchanged(f, before);
    told(f);
    must(f, f->ops->pause(f->s, 1, false, &f->st));
    assert_told(f, "generate:1 view:1");
    assert_look(f, 1, "generating gen=3 queued=3 ready=3");
}

static void test_blame(void **state)
{
    struct fixture *f = *state;
    uint64_t count = 99;
    seed_bystander(f);
    char *before = snapshot(f);
    assert_code(f, NRPC_NOT_FOUND, f->ops->blame(f->s, 1, "generator", &count, &f->st));
    assert_unchanged(f, before);
    admit(f, 1);
    admit(f, 2);
    told(f);
    before = snapshot(f);
    for (uint64_t i = 1; i <= 3; i++) {
        must(f, f->ops->blame(f->s, 1, "generator", &count, &f->st));
        assert_int_equal(count, i);
    }
    must(f, f->ops->blame(f->s, 1, "after_execution", &count, &f->st));
    assert_int_equal(count, 1);
    must(f, f->ops->blame(f->s, 2, "generator", &count, &f->st));
    assert_int_equal(count, 1);
    assert_told(f, "");
    assert_unchanged(f, before);
    must(f, stop(f, 1, MODEL_OUTCOME_CANCELLED, "x"));
    must(f, f->ops->remove(f->s, (uint64_t[]){1}, 1, f->now_ms, &f->st));
    admit(f, 1);
    must(f, f->ops->blame(f->s, 1, "generator", &count, &f->st)); // that was another life
    assert_int_equal(count, 1);
}

static void test_stop_while_generating(void **state)
{
    struct fixture *f = *state;
    seed_bystander(f);
    char *others = snapshot(f);
    assert_code(f, NRPC_NOT_FOUND, stop(f, 1, MODEL_OUTCOME_CANCELLED, "x"));
    assert_unchanged(f, others);
    admit(f, 1);
    uint64_t fence = claim(f, 1);
    must(f, push_raw(f, 1, fence, 4, false));
    told(f);
    others = snapshot_except(f, 1);
    must(f, stop(f, 1, MODEL_OUTCOME_CANCELLED, "enough"));
    assert_told(f, "closed:1 stop:1 view:1");
    assert_look(f, 1, "closed cancelled 'enough' gen=4 cancelled=4");
    assert_string_equal(snapshot_except(f, 1), others);
    assert_code(f, NRPC_ABORTED, push_raw(f, 1, fence, 1, false));
    must(f, stop(f, 1, MODEL_OUTCOME_TIMED_OUT, "late"));
    assert_look(f, 1, "closed cancelled 'enough' gen=4 cancelled=4");
}

static void test_stop_while_running(void **state)
{
    struct fixture *f = *state;
    seed_bystander(f);
    struct state_task task = task_sample(1);
    task.closing_callback = true;
    admit_task(f, &task);
    push(f, 1, 70, true);
    uint64_t node = node_make(f, f->now_ms + 1000);
    struct works w = lease(f, node, 1, 40);
    settle(f, &w.at[0], MODEL_FAILURE); // waits for its retry when the stop comes
    told(f);
    f->now_ms += 1000; // the other task's retry becomes due before it is looked at
    char *others = snapshot_except(f, 1);
    f->now_ms -= 1000;
    must(f, stop(f, 1, MODEL_OUTCOME_TIMED_OUT, "late"));
    assert_told(f, "stop:1 view:1");
    assert_look(f, 1, "stopping timed_out 'late' gen=70 cancelled=31 retried=1 run=39 done");
    must(f, stop(f, 1, MODEL_OUTCOME_CANCELLED, "too late"));
    assert_int_equal(lease(f, node, 1, 40).count, 0);

    assert_int_equal(settle(f, &w.at[1], MODEL_SUCCESS), STATE_SETTLED);
    assert_int_equal(settle(f, &w.at[2], MODEL_FAILURE), STATE_SETTLED);
    assert_int_equal(settle(f, &w.at[3], MODEL_TIMEOUT), STATE_SETTLED);
    assert_int_equal(settle(f, &w.at[4], MODEL_CANCELLED_RESULT), STATE_SETTLED);
    struct state_settle follow = {
        .ref = ref_of(&w.at[5]), .kind = MODEL_SUCCESS, .followups = subtasks(f, 1, 3), .followup_count = 3};
    assert_int_equal(settle_entry(f, follow), STATE_SETTLED);
    assert_look(f, 1, "stopping timed_out 'late' gen=70 ok=2 cancelled=34 retried=1 run=34 done");
    struct state_ref back = ref_of(&w.at[6]);
    must(f, f->ops->requeue(f->s, &back, 1, NULL, STATE_RETURNED, 0, &f->st));
    assert_look(f, 1, "stopping timed_out 'late' gen=70 ok=2 cancelled=35 retried=1 run=33 done");
    f->now_ms += 1000;
    assert_string_equal(snapshot_except(f, 1), others);
    told(f);
    assert_int_equal(sweep(f).count, 1);
    assert_told(f, "closing:1 view:1");
    assert_look(f, 1, "closing timed_out 'late' gen=70 ok=2 cancelled=68 retried=1 done");
    assert_string_equal(snapshot_except(f, 1), others);
}

static void test_stop_in_late_phases(void **state)
{
    struct fixture *f = *state;
    struct state_task task = task_sample(1);
    task.closing_callback = true;
    admit_task(f, &task);
    push(f, 1, 0, true);
    assert_look(f, 1, "closing completed done");
    must(f, stop(f, 1, MODEL_OUTCOME_CANCELLED, "x"));
    assert_look(f, 1, "closing completed done");
    must(f, f->ops->close_task(f->s, 1, NULL, &f->st));
    must(f, stop(f, 1, MODEL_OUTCOME_CANCELLED, "x"));
    assert_look(f, 1, "closed completed done");
}

static void test_overdue(void **state)
{
    struct fixture *f = *state;
    uint64_t *ids;
    size_t count;
    int64_t next;
    for (uint64_t id = 1; id <= 5; id++) {
        struct state_task task = task_sample(id);
        task.deadline_ms = f->now_ms + (int64_t)id * 10;
        admit_task(f, &task);
    }
    must(f, f->ops->overdue(f->s, f->now_ms, 10, &f->arena, &ids, &count, &next, &f->st));
    assert_int_equal(count, 0);
    assert_true(next == f->now_ms + 10);
    must(f, f->ops->overdue(f->s, f->now_ms + 30, 2, &f->arena, &ids, &count, &next, &f->st));
    assert_int_equal(count, 2);
    assert_true(ids[0] == 1 && ids[1] == 2);
    assert_true(next == f->now_ms + 30);
    must(f, stop(f, 1, MODEL_OUTCOME_TIMED_OUT, ""));
    must(f, stop(f, 4, MODEL_OUTCOME_CANCELLED, ""));
    must(f, f->ops->overdue(f->s, f->now_ms + 30, 9, &f->arena, &ids, &count, &next, &f->st));
    assert_int_equal(count, 2);
    assert_true(ids[0] == 2 && ids[1] == 3);
    assert_true(next == f->now_ms + 50);
    must(f, f->ops->overdue(f->s, f->now_ms + 50, 9, &f->arena, &ids, &count, &next, &f->st));
    assert_true(next == CLOCK_NEVER);
}

static void check_overdue(struct fixture *f, int64_t after_ms, const char *expected)
{
    struct state_feeder *feeders;
    char text[100] = "";
    size_t count;
    must(f, f->ops->feeders_overdue(f->s, f->now_ms + after_ms, 10, &f->arena, &feeders, &count, &f->st));
    for (size_t i = 0; i < count; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%d:%d", i ? " " : "",
                 (int)feeders[i].task, (int)feeders[i].lease_ms);
    assert_string_equal(text, expected);
}

static void feeder(struct fixture *f, uint64_t task, int64_t lease_ms, int64_t after_ms)
{
    must(f, f->ops->feeder(f->s, task, lease_ms, f->now_ms + after_ms, &f->st));
}

static void test_feeders(void **state)
{
    struct fixture *f = *state;
    for (uint64_t id = 1; id <= 3; id++) {
        struct state_task task = task_sample(id);
        task.fed = true;
        admit_task(f, &task);
    }
    feeder(f, 1, 0, 0); // without a lease it has none
    check_overdue(f, 1000000, "");
    feeder(f, 1, 100, 0);
    feeder(f, 2, 200, 0);
    check_overdue(f, 99, "");
    check_overdue(f, 100, "1:100");
    check_overdue(f, 1000, "1:100 2:200");
    feeder(f, 1, 5000, 9000); // what was said first holds
    check_overdue(f, 100, "1:100");
    feeder(f, 1, 0, 250);
    check_overdue(f, 349, "2:200");
    check_overdue(f, 350, "1:100 2:200");
    must(f, stop(f, 2, MODEL_OUTCOME_CANCELLED, "x"));
    feeder(f, 2, 0, 300); // nothing happens
    feeder(f, 2, 200, 300);
    check_overdue(f, 1000, "1:100");
    assert_int_equal(f->ops->feeder(f->s, 9, 100, f->now_ms, &f->st), NRPC_NOT_FOUND);
    feeder(f, 3, 50, 0);
    uint64_t fed;
    must(f, f->ops->feed(f->s, 3, 0, NULL, 0, true, &fed, &f->st)); // its end is recorded, and it is gone
    must(f, f->ops->remove(f->s, (const uint64_t[]){2}, 1, 0, &f->st));
    check_overdue(f, 1000, "1:100");
}

static void test_in_phase(void **state)
{
    struct fixture *f = *state;
    uint64_t *ids;
    size_t count;
    for (uint64_t id = 1; id <= 6; id++)
        admit(f, id);
    push(f, 3, 1, true);
    must(f, stop(f, 5, MODEL_OUTCOME_CANCELLED, ""));
    must(f, f->ops->in_phase(f->s, MODEL_GENERATING, 1, 2, &f->arena, &ids, &count, &f->st));
    assert_int_equal(count, 2);
    assert_true(ids[0] == 2 && ids[1] == 4);
    must(f, f->ops->in_phase(f->s, MODEL_DRAINING, 0, 9, &f->arena, &ids, &count, &f->st));
    assert_true(count == 1 && ids[0] == 3);
    must(f, f->ops->in_phase(f->s, MODEL_CLOSED, 0, 9, &f->arena, &ids, &count, &f->st));
    assert_true(count == 1 && ids[0] == 5);
    must(f, f->ops->in_phase(f->s, MODEL_CLOSING, 0, 9, &f->arena, &ids, &count, &f->st));
    assert_int_equal(count, 0);
}

static void test_close(void **state)
{
    struct fixture *f = *state;
    seed_bystander(f);
    for (uint64_t id = 1; id <= 3; id++) {
        struct state_task task = task_sample(id);
        task.closing_callback = true;
        admit_task(f, &task);
    }
    char *before = snapshot(f);
    assert_code(f, NRPC_NOT_FOUND, f->ops->close_task(f->s, 9, NULL, &f->st));
    assert_code(f, NRPC_FAILED_PRECONDITION, f->ops->close_task(f->s, 1, NULL, &f->st));
    assert_unchanged(f, before);
    push(f, 1, 0, true);
    push(f, 2, 0, true);
    told(f);
    char *others = snapshot_except(f, 1);
    must(f, f->ops->close_task(f->s, 1, NULL, &f->st));
    assert_told(f, "closed:1 view:1");
    assert_look(f, 1, "closed completed done");
    must(f, f->ops->close_task(f->s, 1, "ignored", &f->st));
    assert_look(f, 1, "closed completed done");
    assert_string_equal(snapshot_except(f, 1), others);
    must(f, f->ops->close_task(f->s, 2, "the callback failed", &f->st));
    assert_look(f, 2, "closed failed 'the callback failed' done");
}

static void test_remove(void **state)
{
    struct fixture *f = *state;
    seed_bystander(f);
    char *others = snapshot(f);
    admit(f, 1);
    admit(f, 2);
    push(f, 1, 0, true);
    uint64_t ids[3] = {1, 2, 9};
    told(f);
    must(f, f->ops->remove(f->s, ids, 3, f->now_ms, &f->st));
    assert_look(f, 1, "none");
    assert_look(f, 2, "generating");
    must(f, stop(f, 2, MODEL_OUTCOME_CANCELLED, ""));
    must(f, f->ops->remove(f->s, ids, 3, f->now_ms, &f->st));
    must(f, f->ops->remove(f->s, ids, 3, f->now_ms, &f->st));
    assert_unchanged(f, others);
    admit(f, 1); // the number may come back when records were restored
    assert_look(f, 1, "generating");
}

// Dropped: it ends here, but this is not its end: no callback, nothing kept; and it can be admitted again.
static void test_drop(void **state)
{
    struct fixture *f = *state;
    struct state_result *r;
    bool end;
    size_t count;
    uint64_t ids[3] = {1, 2, 3};
    seed_bystander(f);
    char *others = snapshot(f);
    uint64_t node = node_make(f, CLOCK_NEVER);
    for (uint64_t id = 1; id <= 3; id++) {
        struct state_task task = task_sample(id);
        task.closing_callback = task.keep_results = true;
        admit_task(f, &task);
        push(f, id, 2, true);
    }
    struct works one = lease(f, node, 1, 2), two = lease(f, node, 2, 2);
    settle(f, &one.at[0], MODEL_SUCCESS);
    settle_all(f, two, MODEL_SUCCESS);
    assert_look(f, 2, "closing completed gen=2 ok=2 done");
    must(f, stop(f, 3, MODEL_OUTCOME_CANCELLED, "first"));
    told(f);
    must(f, stop(f, 1, MODEL_OUTCOME_DROPPED, "older than the records"));
    assert_told(f, "stop:1 view:1");
    assert_look(f, 1, "stopping dropped 'older than the records' gen=2 ok=1 run=1 done");
    must(f, stop(f, 2, MODEL_OUTCOME_DROPPED, ""));
    must(f, stop(f, 3, MODEL_OUTCOME_DROPPED, ""));
    settle(f, &one.at[1], MODEL_CANCELLED_RESULT);
    assert_non_null(strstr(look(f, 1), "closed dropped"));
    assert_non_null(strstr(look(f, 2), "closed dropped"));
    assert_non_null(strstr(look(f, 3), "closed dropped"));
    must(f, f->ops->remove(f->s, ids, 3, f->now_ms + 1000, &f->st));
    for (uint64_t id = 1; id <= 3; id++)
        assert_code(f, NRPC_NOT_FOUND, f->ops->results(f->s, id, 0, 10, &f->arena, &r, &count, &end, &f->st));
    must(f, f->ops->node_remove(f->s, holder(f, node), &f->st));
    assert_unchanged(f, others);
    admit(f, 1);
    assert_look(f, 1, "generating");
}

// A number that comes again, for another task, does not get the first one's work.
static void test_born_again(void **state)
{
    struct fixture *f = *state;
    struct state_progress p;
    uint64_t ids[1] = {1};
    struct state_task first = task_sample(1), second = task_sample(1), same = task_sample(1);
    first.born_ms = same.born_ms = 1000;
    second.born_ms = 2000;
    admit_task(f, &first);
    push(f, 1, 3, true);
    char *before = snapshot(f);
    admit_task(f, &same);
    assert_unchanged(f, before);
    must(f, f->ops->progress(f->s, ids, 1, &f->arena, &p, &f->st));
    assert_int_equal(p.born_ms, 1000);
    admit_task(f, &second);
    assert_look(f, 1, "closed dropped 'another task has its number' gen=3 cancelled=3 done");
    admit_task(f, &second); // not before it is gone
    assert_non_null(strstr(look(f, 1), "closed dropped"));
    must(f, f->ops->remove(f->s, ids, 1, 0, &f->st));
    admit_task(f, &second);
    assert_look(f, 1, "generating");
    must(f, f->ops->progress(f->s, ids, 1, &f->arena, &p, &f->st));
    assert_int_equal(p.born_ms, 2000);
}

const struct CMUnitTest state_life_tests[] = {
    TEST(test_admit),
    TEST(test_progress_of_unknown),
    TEST(test_pause),
    TEST(test_blame),
    TEST(test_stop_while_generating),
    TEST(test_stop_while_running),
    TEST(test_stop_in_late_phases),
    TEST(test_overdue),
    TEST(test_feeders),
    TEST(test_in_phase),
    TEST(test_close),
    TEST(test_remove),
    TEST(test_drop),
    TEST(test_born_again),
};
const size_t state_life_count = sizeof state_life_tests / sizeof *state_life_tests;
