// SPDX-License-Identifier: Apache-2.0
// records_contract.c: what a record store must do, as tests over the interface alone.
//
// Most tests have one shape: seed everything, do one thing, and compare everything that can be read before
// and after. The whole store is written as text, a line a fact, so that "nothing else happened" is the
// absence of other lines in the difference.
#include "records_contract.h"
#include "records_fixture.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- creating

static void create_records_a_running_task(void **state)
{
    struct records_fixture *f = *state;
    struct records_new_task t = records_seed_task("seven", NULL, 2000);
    OK(f->r->ops->create(f->r, &t, 1, &records_status));
    assert_int_equal(t.id, 7);
    assert_false(t.existed);
    assert_int_equal(t.sequence, 12);
    records_assert_change(f, "+task 7 status running\n"
                             "+task 7 name 'seven' description 'what it is' type 'checksum'\n"
                             "+task 7 creator 'ada' 1000\n"
                             "+task 7 group 'batch' priority 6000\n"
                             "+task 7 message none\n"
                             "+task 7 created 2000 deadline 7000\n"
                             "+task 7 finished 0\n"
                             "+task 7 counters 0 0 0 0 0 / 0 0 / 0 0 / 0\n"
                             "+task 7 param 4 01 02 00 03\n"
                             "+event 12 task 7 running at 2000 message none\n");
}

static void create_takes_nothing_for_empty(void **state)
{
    struct records_fixture *f = *state;
    struct records_new_task t = {.creator_uid = UINT64_MAX, .priority = UINT32_MAX};
    OK(f->r->ops->create(f->r, &t, 1, &records_status));
    records_assert_change(f, "+task 7 status running\n"
                             "+task 7 name '' description '' type ''\n"
                             "+task 7 creator '' 18446744073709551615\n"
                             "+task 7 group '' priority 4294967295\n"
                             "+task 7 message none\n"
                             "+task 7 created 0 deadline 0\n"
                             "+task 7 finished 0\n"
                             "+task 7 counters 0 0 0 0 0 / 0 0 / 0 0 / 0\n"
                             "+task 7 param none 0\n"
                             "+event 12 task 7 running at 0 message none\n");
}

static void a_known_key_answers_the_first_task(void **state)
{
    struct records_fixture *f = *state;
    struct records_new_task t[] = {records_seed_task("again", "key-6", 2000),
                                   records_seed_task("again", "key-1", 2000)};
    OK(f->r->ops->create(f->r, t, LENGTH(t), &records_status));
    assert_true(t[0].existed && t[1].existed);
    assert_int_equal(t[0].id, 6);
    assert_int_equal(t[1].id, 1);
    assert_int_equal(t[0].sequence, 0);
    records_assert_change(f, "");
}

static void a_key_counts_within_its_batch(void **state)
{
    struct records_fixture *f = *state;
    struct records_new_task t[] = {records_seed_task("a", "new", 1), records_seed_task("b", "key-1", 1),
                                   records_seed_task("c", "new", 1), records_seed_task("d", "", 1),
                                   records_seed_task("e", "", 1)};
    OK(f->r->ops->create(f->r, t, LENGTH(t), &records_status));
    static const struct {
        uint64_t id, sequence;
        bool existed;
    } expected[] = {{7, 12, false}, {1, 0, true}, {7, 0, true}, {8, 13, false}, {9, 14, false}};
    for (size_t i = 0; i < LENGTH(t); i++) {
        assert_int_equal(t[i].id, expected[i].id);
        assert_int_equal(t[i].existed, expected[i].existed);
        assert_int_equal(t[i].sequence, expected[i].sequence);
    }
}

static void keys_are_compared_byte_by_byte(void **state)
{
    struct records_fixture *f = *state;
    static const char *const keys[] = {"key",        "KEY",         "key ",     " key",
                                       "k\xc3\xa9y", "ke\xcc\x81y", "\xc3\x9f", "ss"};
    for (size_t i = 0; i < LENGTH(keys); i++) {
        struct records_new_task t = records_seed_task("x", keys[i], 1);
        OK(f->r->ops->create(f->r, &t, 1, &records_status));
        assert_false(t.existed);
        assert_int_equal(t.id, i + 1);
    }
}

// ---- changing

static void every_event_in_every_status(void **state)
{
    struct records_fixture *f = *state;
    static const uint64_t task_in[] = {[MODEL_RUNNING] = 1, [MODEL_PAUSED] = 2,    [MODEL_COMPLETED] = 3,
                                       [MODEL_FAILED] = 4,  [MODEL_CANCELLED] = 5, [MODEL_TIMED_OUT] = 6};
    for (enum model_status status = MODEL_RUNNING; status <= MODEL_TIMED_OUT; status++)
        for (enum model_event event = 0; event < MODEL_EVENT_COUNT; event++) {
            enum model_status after = model_status_after(status, event);
            struct records_change c = {.task = task_in[status], .event = event, .now_ms = 5};
            if (after && after != status)
                continue; // it would move the seed; what it does is tested below
            OK(f->r->ops->change(f->r, &c, 1, &records_status));
            assert_int_equal(c.code, after ? NRPC_OK : NRPC_FAILED_PRECONDITION);
            assert_false(c.changed);
            assert_int_equal(c.status, status);
            assert_int_equal(c.sequence, 0);
        }
    records_assert_change(f, "");
}

static void pausing_and_resuming(void **state)
{
    struct records_fixture *f = *state;
    records_seed_change(f, 1, MODEL_PAUSE, 2000, "wait");
    records_assert_change(f, "-task 1 status running\n-task 1 message none\n"
                             "+task 1 status paused\n+task 1 message wait\n"
                             "+event 12 task 1 paused at 2000 message wait\n");
    records_seed_change(f, 1, MODEL_RESUME, 2100, NULL);
    records_assert_change(f, "-task 1 status paused\n-task 1 message wait\n"
                             "+task 1 status running\n+task 1 message none\n"
                             "+event 13 task 1 running at 2100 message none\n");
}

static void finishing_keeps_time_message_and_counters(void **state)
{
    struct records_fixture *f = *state;
    static const struct {
        enum model_event event;
        const char *status;
    } ends[] = {{MODEL_FINISH_COMPLETED, "completed"},
                {MODEL_FINISH_CANCELLED, "cancelled"},
                {MODEL_FINISH_FAILED, "failed"},
                {MODEL_FINISH_TIMED_OUT, "timed_out"}};
    for (size_t i = 0; i < LENGTH(ends); i++) {
        struct records_new_task t = records_seed_task("x", NULL, 1);
        OK(f->r->ops->create(f->r, &t, 1, &records_status));
        free(f->before);
        f->before = records_dump(f);
        records_seed_change(f, t.id, ends[i].event, 3000, "over");
        char expected[500];
        snprintf(expected, sizeof expected,
                 "-task %d status running\n-task %d message none\n-task %d finished 0\n"
                 "-task %d counters 0 0 0 0 0 / 0 0 / 0 0 / 0\n"
                 "+task %d status %s\n+task %d message over\n+task %d finished 3000\n"
                 "+task %d counters 10 6 2 1 1 / 4 3 / 0 0 / 1\n"
                 "+event %d task %d %s at 3000 message over\n",
                 (int)t.id, (int)t.id, (int)t.id, (int)t.id, (int)t.id, ends[i].status, (int)t.id, (int)t.id,
                 (int)t.id, (int)t.sequence + 1, (int)t.id, ends[i].status);
        records_assert_change(f, expected);
    }
}

static void an_illegal_change_does_not_stop_the_others(void **state)
{
    struct records_fixture *f = *state;
    struct records_change c[] = {
        {.task = 3, .event = MODEL_PAUSE, .now_ms = 9},                   // has ended
        {.task = 77, .event = MODEL_PAUSE, .now_ms = 9},                  // is not there
        {.task = 1, .event = MODEL_PAUSE, .now_ms = 9},                   //
        {.task = 1, .event = MODEL_PAUSE, .now_ms = 9},                   // again: harmless
        {.task = 1, .event = MODEL_EVENT_COUNT, .now_ms = 9},             // no event
        {.task = 2, .event = MODEL_RESUME, .now_ms = 9, .message = "go"}, //
        {.task = UINT64_MAX, .event = MODEL_RESUME, .now_ms = 9},
    };
    OK(f->r->ops->change(f->r, c, LENGTH(c), &records_status));
    static const struct {
        int code;
        bool changed;
        enum model_status status;
        uint64_t sequence;
    } expected[] = {
        {NRPC_FAILED_PRECONDITION, false, MODEL_COMPLETED, 0},
        {NRPC_NOT_FOUND, false, 0, 0},
        {NRPC_OK, true, MODEL_PAUSED, 12},
        {NRPC_OK, false, MODEL_PAUSED, 0},
        {NRPC_FAILED_PRECONDITION, false, MODEL_PAUSED, 0},
        {NRPC_OK, true, MODEL_RUNNING, 13},
        {NRPC_NOT_FOUND, false, 0, 0},
    };
    for (size_t i = 0; i < LENGTH(c); i++) {
        assert_int_equal(c[i].code, expected[i].code);
        assert_int_equal(c[i].changed, expected[i].changed);
        assert_int_equal(c[i].status, expected[i].status);
        assert_int_equal(c[i].sequence, expected[i].sequence);
    }
    records_assert_change(f, "-task 1 status running\n-task 2 status paused\n-task 2 message lunch\n"
                             "+task 1 status paused\n+task 2 status running\n+task 2 message go\n"
                             "+event 12 task 1 paused at 9 message none\n"
                             "+event 13 task 2 running at 9 message go\n");
}

// ---- reading

static void get_says_what_is_not_there(void **state)
{
    struct records_fixture *f = *state;
    static const uint64_t ids[] = {0, 7, UINT64_MAX};
    for (size_t i = 0; i < LENGTH(ids); i++) {
        struct records_task t;
        assert_int_equal(f->r->ops->get(f->r, ids[i], &f->arena, &t, &records_status), NRPC_NOT_FOUND);
    }
}

static void assert_listed(struct records_fixture *f, enum model_status status, uint64_t before, size_t max,
                          const char *expected)
{
    struct records_task *tasks;
    size_t count;
    OK(f->r->ops->list(f->r, status, before, max, &f->arena, &tasks, &count, &records_status));
    char text[100] = "";
    for (size_t i = 0; i < count; i++) {
        snprintf(text + strlen(text), sizeof text - strlen(text), "%d ", (int)tasks[i].id);
        assert_null(tasks[i].param.data);
    }
    assert_string_equal(text, expected);
}

static void list_pages_from_the_newest(void **state)
{
    struct records_fixture *f = *state;
    assert_listed(f, 0, 0, 100, "6 5 4 3 2 1 ");
    assert_listed(f, 0, 0, 2, "6 5 ");
    assert_listed(f, 0, 5, 2, "4 3 ");
    assert_listed(f, 0, 1, 2, "");
    assert_listed(f, 0, UINT64_MAX, SIZE_MAX, "6 5 4 3 2 1 ");
    assert_listed(f, 0, 0, 0, "");
    assert_listed(f, MODEL_PAUSED, 0, 9, "2 ");
    assert_listed(f, MODEL_PAUSED, 2, 9, "");
    assert_listed(f, MODEL_CREATED, 0, 9, "");
}

static void unfinished_pages_from_the_oldest_with_param(void **state)
{
    struct records_fixture *f = *state;
    struct records_task *tasks;
    size_t count;
    OK(f->r->ops->unfinished(f->r, 0, 9, &f->arena, &tasks, &count, &records_status));
    assert_int_equal(count, 2);
    assert_int_equal(tasks[0].id, 1);
    assert_int_equal(tasks[1].id, 2);
    assert_int_equal(tasks[1].status, MODEL_PAUSED);
    assert_int_equal(tasks[1].param.bytes, 4);
    assert_memory_equal(tasks[1].param.data, "\1\2\0\3", 4);
    OK(f->r->ops->unfinished(f->r, 0, 1, &f->arena, &tasks, &count, &records_status));
    assert_int_equal(count, 1);
    OK(f->r->ops->unfinished(f->r, 1, 9, &f->arena, &tasks, &count, &records_status));
    assert_int_equal(count, 1);
    assert_int_equal(tasks[0].id, 2);
    OK(f->r->ops->unfinished(f->r, UINT64_MAX, 9, &f->arena, &tasks, &count, &records_status));
    assert_int_equal(count, 0);
}

static void assert_events(struct records_fixture *f, uint64_t after, uint64_t task, size_t max,
                          const char *expected)
{
    struct records_event *events;
    size_t count;
    uint64_t first_kept;
    OK(f->r->ops->events(f->r, after, task, max, &f->arena, &events, &count, &first_kept, &records_status));
    char text[100] = "";
    for (size_t i = 0; i < count; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%d ", (int)events[i].sequence);
    snprintf(text + strlen(text), sizeof text - strlen(text), "from %d", (int)first_kept);
    assert_string_equal(text, expected);
}

static void events_page_by_sequence(void **state)
{
    struct records_fixture *f = *state;
    assert_events(f, 0, 0, 100, "1 2 3 4 5 6 7 8 9 10 11 from 1");
    assert_events(f, 3, 0, 2, "4 5 from 1");
    assert_events(f, 11, 0, 2, "from 1");
    assert_events(f, UINT64_MAX, 0, 2, "from 1");
    assert_events(f, 0, 2, 9, "2 7 from 1");
    assert_events(f, 2, 2, 9, "7 from 1");
    assert_events(f, 0, 99, 9, "from 1");
}

static void an_empty_store_has_nothing(void **state)
{
    struct records_fixture *f = *state;
    assert_events(f, 0, 0, 9, "from 1");
    assert_listed(f, 0, 0, 9, "");
    f->before = mem_strdup("");
    records_assert_change(f, "+history from 1\n");
}

static void a_small_budget_is_an_error(void **state)
{
    struct records_fixture *f = *state;
    struct arena small;
    struct records_task t, *tasks;
    size_t count;
    for (size_t budget = 16; budget <= 1024; budget += 16) {
        arena_init(&small, budget);
        int code = f->r->ops->get(f->r, 2, &small, &t, &records_status);
        assert_true(code == NRPC_RESOURCE_EXHAUSTED || (budget > 16 && code == NRPC_OK));
        arena_reset(&small);
        code = f->r->ops->list(f->r, 0, 0, 9, &small, &tasks, &count, &records_status);
        assert_true(code == NRPC_RESOURCE_EXHAUSTED || (budget > 512 && code == NRPC_OK));
        arena_fini(&small);
    }
    records_assert_change(f, "");
}

// ---- failures and groups

static void putting_failures(void **state)
{
    struct records_fixture *f = *state;
    struct records_failure e[] = {
        {3, 9, 5, MODEL_TIMEOUT, 0, "other", {"x", 1}, {"y", 1}, 9}, // there is one
        {3, 2, 1, MODEL_TIMEOUT, -1, "it has ended", {"x", 1}, {"y", 1}, 9},
        {2, 2, 1, MODEL_TIMEOUT, -1, "late", {"", 0}, {NULL, 0}, 300000000},
        {2, 2, 2, MODEL_FAILURE, -2, "twice in the batch", {"", 0}, {NULL, 0}, 1},
        {99, 1, 1, MODEL_FAILURE, 1, "of no task", {"", 0}, {NULL, 0}, 1},
    };
    OK(f->r->ops->put_failures(f->r, e, LENGTH(e), false, &records_status));
    records_assert_change(f, "+failure 2.2 attempt 1 kind 3 code -1 message late run 300000000 body 0\n"
                             "+failure 2.2 param none 0\n");
    OK(f->r->ops->put_failures(f->r, e, LENGTH(e), false, &records_status));
    records_assert_change(f, "");
}

static void point_is_saved(struct records_fixture *f, uint64_t task, uint64_t made, uint64_t failed)
{
    struct records_resume p = {.task = task, .made = made, .counters = {.generated = made, .failed = failed}};
    OK(f->r->ops->save_resumes(f->r, &p, 1, &records_status));
}

static void failures_are_put(struct records_fixture *f, uint64_t task, uint64_t first, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct records_failure e = {.task = task, .seq = first + i, .attempt = 1, .kind = MODEL_FAILURE};
        OK(f->r->ops->put_failures(f->r, &e, 1, false, &records_status));
    }
}

static void last_failure_is(struct records_fixture *f, uint64_t task, size_t expected, uint64_t seq)
{
    struct records_failure *out;
    size_t count;
    OK(f->r->ops->failures(f->r, task, 0, 99, &f->arena, &out, &count, &records_status));
    assert_int_equal(count, expected);
    if (count)
        assert_int_equal(out[count - 1].seq, seq);
}

// Failures are put a moment before the point that counts them. Whatever their numbers are, those that no
// point counts go when the task goes on from its newest point.
static void failures_that_no_point_counts_are_dropped(void **state)
{
    struct records_fixture *f = *state;
    failures_are_put(f, 1, 10, 2); // 1 runs
    assert_int_equal(f->r->ops->drop_failures(f->r, 99, &records_status), NRPC_NOT_FOUND);
    last_failure_is(f, 1, 2, 11);
    OK(f->r->ops->drop_failures(f->r, 1, &records_status)); // there is no point
    last_failure_is(f, 1, 0, 0);
    point_is_saved(f, 1, 5, 0); // one that counts nothing
    failures_are_put(f, 1, 20, 2);
    OK(f->r->ops->drop_failures(f->r, 1, &records_status));
    last_failure_is(f, 1, 0, 0);
    failures_are_put(f, 1, 20, 2);
    point_is_saved(f, 1, 30, 2);
    OK(f->r->ops->drop_failures(f->r, 1, &records_status));
    last_failure_is(f, 1, 2, 21);
    failures_are_put(f, 1, 3, 1); // a lower number: a retry that came late
    failures_are_put(f, 1, 30, 3);
    point_is_saved(f, 1, 30, 2); // the same point once more does not count them
    OK(f->r->ops->drop_failures(f->r, 1, &records_status));
    last_failure_is(f, 1, 2, 21);
    failures_are_put(f, 1, 3, 1);
    point_is_saved(f, 1, 31, 3);
    failures_are_put(f, 1, 40, 1);
    OK(f->r->ops->drop_failures(f->r, 1, &records_status));
    last_failure_is(f, 1, 3, 21);
}

// A task does not end without the failures that its end counts, and keeps them from then on.
static void an_end_has_its_failures(void **state)
{
    struct records_fixture *f = *state;
    struct model_counters counters = {.generated = 9, .succeeded = 4, .failed = 3, .timed_out = 2};
    struct records_change end = {.task = 1,
                                 .event = MODEL_FINISH_FAILED,
                                 .now_ms = 5000,
                                 .counters = &counters,
                                 .with_failures = true};
    failures_are_put(f, 1, 10, 4); // 1 runs
    OK(f->r->ops->change(f->r, &end, 1, &records_status));
    assert_int_equal(end.code, NRPC_ABORTED);
    assert_false(end.changed);
    assert_int_equal(end.status, MODEL_RUNNING);
    failures_are_put(f, 1, 20, 2); // too many, of what is lost
    OK(f->r->ops->change(f->r, &end, 1, &records_status));
    assert_int_equal(end.code, NRPC_ABORTED);
    OK(f->r->ops->drop_failures(f->r, 1, &records_status));
    failures_are_put(f, 1, 16, 5);
    OK(f->r->ops->change(f->r, &end, 1, &records_status));
    assert_int_equal(end.code, NRPC_OK);
    assert_true(end.changed);
    assert_int_equal(f->r->ops->drop_failures(f->r, 1, &records_status), NRPC_FAILED_PRECONDITION);
    last_failure_is(f, 1, 5, 20);
    failures_are_put(f, 1, 30, 1); // too late
    last_failure_is(f, 1, 5, 20);
}

static void briefs_tell_what_there_is(void **state)
{
    struct records_fixture *f = *state;
    struct records_task t;
    struct records_brief b[4];
    const uint64_t ids[4] = {5, 4711, 1, 5};
    OK(f->r->ops->get(f->r, 5, &f->arena, &t, &records_status));
    OK(f->r->ops->briefs(f->r, ids, 4, b, &records_status));
    assert_true(b[0].status == t.status && b[0].created_ms == t.created_ms);
    assert_true(b[1].status == 0 && b[1].created_ms == 0);
    assert_true(b[2].status == MODEL_RUNNING);
    assert_true(b[3].status == t.status);
    OK(f->r->ops->briefs(f->r, ids, 0, b, &records_status));
}

// Numbers go on above what somebody has seen, also if these records have forgotten it.
static void numbers_go_on_above_the_marks(void **state)
{
    struct records_fixture *f = *state;
    struct model_marks now, least = {0}, seen;
    uint64_t id, again;
    OK(f->r->ops->installation(f->r, &id, &records_status));
    OK(f->r->ops->installation(f->r, &again, &records_status));
    assert_true(id && id == again);
    int64_t date_ms = 0;
    OK(f->r->ops->clock(f->r, &date_ms, &records_status));
    assert_true(llabs(date_ms - 1000ll * time(NULL)) < 5000);
    OK(f->r->ops->marks(f->r, &least, &now, &records_status));
    assert_true(now.task >= 5 && now.event > 0);
    least = (struct model_marks){.task = now.task + 1000, .event = now.event - 1};
    OK(f->r->ops->marks(f->r, &least, &seen, &records_status));
    assert_true(seen.task == now.task && seen.event == now.event);
    struct records_new_task t = {.name = "new", .type = "t", .created_ms = 1, .deadline_ms = 2};
    OK(f->r->ops->create(f->r, &t, 1, &records_status));
    assert_true(t.id == now.task + 1001 && t.sequence == now.event + 1);
    least = (struct model_marks){.event = now.event + 50};
    OK(f->r->ops->marks(f->r, &least, &seen, &records_status));
    assert_true(seen.task == t.id && seen.event == now.event + 1);
    struct records_change pause = {.task = t.id, .event = MODEL_PAUSE, .now_ms = 3};
    OK(f->r->ops->change(f->r, &pause, 1, &records_status));
    assert_true(pause.sequence == now.event + 51);
    struct records_change other = {.task = t.id, .event = MODEL_RESUME, .now_ms = 4, .born_ms = 2};
    OK(f->r->ops->change(f->r, &other, 1, &records_status)); // another task had that number
    assert_true(other.code == NRPC_FAILED_PRECONDITION && !other.changed && other.status == MODEL_PAUSED);
    other.born_ms = 1;
    OK(f->r->ops->change(f->r, &other, 1, &records_status));
    assert_true(other.code == NRPC_OK && other.changed && other.status == MODEL_RUNNING);
}

static void failures_page_by_number(void **state)
{
    struct records_fixture *f = *state;
    struct records_failure e[5], *out;
    size_t count;
    for (size_t i = 0; i < LENGTH(e); i++)
        e[i] = (struct records_failure){.task = 1, .seq = 50 - 10 * i, .attempt = 1, .kind = MODEL_FAILURE};
    OK(f->r->ops->put_failures(f->r, e, LENGTH(e), false, &records_status));
    OK(f->r->ops->failures(f->r, 1, 10, 2, &f->arena, &out, &count, &records_status));
    assert_int_equal(count, 2);
    assert_int_equal(out[0].seq, 20);
    assert_int_equal(out[1].seq, 30);
    OK(f->r->ops->failures(f->r, 1, 50, 2, &f->arena, &out, &count, &records_status));
    assert_int_equal(count, 0);
    OK(f->r->ops->failures(f->r, 1, UINT64_MAX, 2, &f->arena, &out, &count, &records_status));
    assert_int_equal(count, 0);
}

static void large_bytes_come_back_as_they_were(void **state)
{
    struct records_fixture *f = *state;
    size_t size = 1 << 20;
    unsigned char *data = mem_alloc(size);
    for (size_t i = 0; i < size; i++)
        data[i] = (unsigned char)(i * 31 >> 3);
    struct records_new_task t = records_seed_task("large", NULL, 1);
    t.param = (struct records_blob){data, size};
    OK(f->r->ops->create(f->r, &t, 1, &records_status));
    struct records_failure e = {t.id, 1, 1, MODEL_FAILURE, 0, NULL, {data, size / 4}, {data + 1, size / 4},
                                0},
                           *out;
    OK(f->r->ops->put_failures(f->r, &e, 1, false, &records_status));
    struct records_task got;
    size_t count;
    OK(f->r->ops->get(f->r, t.id, &f->arena, &got, &records_status));
    OK(f->r->ops->failures(f->r, t.id, 0, 9, &f->arena, &out, &count, &records_status));
    assert_int_equal(got.param.bytes, size);
    assert_memory_equal(got.param.data, data, size);
    assert_memory_equal(out->body.data, data, size / 4);
    assert_memory_equal(out->param.data, data + 1, size / 4);
    free(data);
}

static void setting_groups(void **state)
{
    struct records_fixture *f = *state;
    OK(f->r->ops->set_group(f->r, "default", 1, &records_status));
    OK(f->r->ops->set_group(f->r, "Default", UINT32_MAX, &records_status));
    records_assert_change(f, "-group 'default' quota 100\n"
                             "+group 'Default' quota 4294967295\n+group 'default' quota 1\n");
    OK(f->r->ops->set_group(f->r, "default", 1, &records_status));
    records_assert_change(f, "");
}

// ---- hostile text

static void text_is_only_text(void **state)
{
    struct records_fixture *f = *state;
    static const char *const texts[] = {
        "'; DROP TABLE tbl_task; --",
        "\" OR \"\"=\"",
        "\\'; DELETE FROM tbl_task WHERE 1=1; #",
        "%s%n%_?1:a@b$c",
        "a\nb\tc\r\x1b[31m",
        "\xf0\x9f\xa6\x8a\xf0\x90\x8d\x88 \xe2\x80\xae",
        "NULL",
        " trailing space ",
        "0",
        "\\",
    };
    for (size_t i = 0; i < LENGTH(texts); i++) {
        const char *s = texts[i];
        struct records_new_task t = {.name = s,
                                     .description = s,
                                     .type = s,
                                     .creator = s,
                                     .group = s,
                                     .idempotency_key = s,
                                     .param = {s, strlen(s)}};
        OK(f->r->ops->create(f->r, &t, 1, &records_status));
        assert_int_equal(t.id, 7 + i);
        struct records_failure e = {t.id, 1, 1, MODEL_FAILURE, 0, s, {s, strlen(s)}, {s, strlen(s)}, 0},
                               *failures;
        OK(f->r->ops->put_failures(f->r, &e, 1, false, &records_status));
        records_seed_change(f, t.id, MODEL_FINISH_FAILED, 1, s);
        struct records_task got;
        size_t count;
        OK(f->r->ops->get(f->r, t.id, &f->arena, &got, &records_status));
        const char *const read[] = {got.name, got.description, got.type, got.creator, got.group, got.message};
        for (size_t k = 0; k < LENGTH(read); k++)
            assert_string_equal(read[k], s);
        OK(f->r->ops->failures(f->r, t.id, 0, 9, &f->arena, &failures, &count, &records_status));
        assert_string_equal(failures->message, s);
        struct records_new_task again = {.name = "again", .idempotency_key = s};
        OK(f->r->ops->create(f->r, &again, 1, &records_status));
        assert_true(again.existed);
        assert_int_equal(again.id, t.id);
    }
    assert_listed(f, MODEL_PAUSED, 0, 9, "2 ");
}

static void group_names_are_only_text(void **state)
{
    struct records_fixture *f = *state;
    OK(f->r->ops->set_group(f->r, "x', 7); DELETE FROM tbl_quota_group; --", 5, &records_status));
    OK(f->r->ops->set_group(f->r, "\xf0\x9f\xa6\x8a", 6, &records_status));
    records_assert_change(f, "+group 'x', 7); DELETE FROM tbl_quota_group; --' quota 5\n"
                             "+group '\xf0\x9f\xa6\x8a' quota 6\n");
}

// ---- trimming

static void trim(struct records_fixture *f, int64_t before_ms, uint64_t keep_tasks, uint64_t keep_events,
                 size_t max, size_t expected)
{
    size_t removed = 99;
    OK(f->r->ops->trim(f->r, before_ms, keep_tasks, keep_events, max, &removed, &records_status));
    assert_int_equal(removed, expected);
}

#define ALL UINT64_MAX

static void trim_leaves_what_is_to_stay(void **state)
{
    struct records_fixture *f = *state;
    trim(f, 1100, ALL, ALL, 100, 0);
    trim(f, 0, 4, 11, 100, 0);
    trim(f, INT64_MAX, 0, ALL, 0, 0);
    records_assert_change(f, "");
}

static void trim_forgets_what_ended_long_ago(void **state)
{
    struct records_fixture *f = *state;
    trim(f, 1101, ALL, ALL, 100, 1);
    records_assert_change(
        f, "-task 3 status completed\n"
           "-task 3 name 'three' description 'what it is' type 'checksum'\n"
           "-task 3 creator 'ada' 1000\n"
           "-task 3 group 'batch' priority 6000\n"
           "-task 3 message none\n"
           "-task 3 created 300 deadline 5300\n"
           "-task 3 finished 1100\n"
           "-task 3 counters 10 6 2 1 1 / 4 3 / 0 0 / 1\n"
           "-task 3 param 4 01 02 00 03\n"
           "-failure 3.9 attempt 2 kind 2 code 17 message no such file run 1234 body 3 6f 75 74\n"
           "-failure 3.9 param 2 00 ff\n"
           "-event 3 task 3 running at 300 message none\n"
           "-event 8 task 3 completed at 1100 message none\n");
    struct records_failure *failures;
    size_t count;
    OK(f->r->ops->failures(f->r, 3, 0, 9, &f->arena, &failures, &count, &records_status));
    assert_int_equal(count, 0);
}

static void trim_keeps_the_last_that_ended(void **state)
{
    struct records_fixture *f = *state;
    trim(f, 0, 1, ALL, 2, 2); // no more than two at a time
    assert_listed(f, 0, 0, 9, "6 5 2 1 ");
    trim(f, 0, 1, ALL, 2, 1);
    assert_listed(f, 0, 0, 9, "6 2 1 ");
    trim(f, INT64_MAX, 0, ALL, 9, 1);
    assert_listed(f, 0, 0, 9, "2 1 "); // never what has not ended
}

static void trim_forgets_old_history(void **state)
{
    struct records_fixture *f = *state;
    trim(f, 0, ALL, 9, 100, 0);
    records_assert_change(f, "-history from 1\n-event 1 task 1 running at 100 message none\n"
                             "-event 2 task 2 running at 200 message none\n+history from 3\n");
    trim(f, 0, ALL, 0, 100, 0);
    assert_events(f, 0, 0, 9, "from 12");
    records_seed_change(f, 1, MODEL_PAUSE, 5, NULL);
    assert_events(f, 0, 0, 9, "12 from 12");
}

static void a_forgotten_id_is_not_used_again_but_its_key_may_be(void **state)
{
    struct records_fixture *f = *state;
    trim(f, INT64_MAX, 0, ALL, 100, 4);
    f->r = records_fixture_contract->reopen(f->r);
    struct records_new_task t = records_seed_task("again", "key-6", 9);
    OK(f->r->ops->create(f->r, &t, 1, &records_status));
    assert_false(t.existed);
    assert_int_equal(t.id, 7);
    assert_int_equal(t.sequence, 12);
}

// ---- over time

static void everything_is_there_after_reopening(void **state)
{
    struct records_fixture *f = *state;
    f->r = records_fixture_contract->reopen(f->r);
    records_assert_change(f, "");
    struct records_new_task t[] = {records_seed_task("seven", NULL, 1), records_seed_task("one", "key-1", 1)};
    OK(f->r->ops->create(f->r, t, LENGTH(t), &records_status));
    assert_int_equal(t[0].id, 7);
    assert_int_equal(t[0].sequence, 12);
    assert_true(t[1].existed);
}

static void a_large_batch(void **state)
{
    enum { TASKS = 2000 };
    struct records_fixture *f = *state;
    struct records_new_task *t = mem_calloc(TASKS, sizeof *t);
    struct records_change *c = mem_calloc(TASKS, sizeof *c);
    for (size_t i = 0; i < TASKS; i++) {
        t[i] = records_seed_task("x", NULL, 1);
        c[i] = (struct records_change){.task = i + 1, .event = MODEL_FINISH_COMPLETED, .now_ms = 2};
    }
    OK(f->r->ops->create(f->r, t, TASKS, &records_status));
    OK(f->r->ops->change(f->r, c, TASKS, &records_status));
    for (size_t i = 0; i < TASKS; i++) {
        assert_int_equal(t[i].id, i + 1);
        assert_int_equal(t[i].sequence, i + 1);
        assert_int_equal(c[i].sequence, TASKS + i + 1);
    }
    free(t);
    free(c);
}

enum { THREADS = 4, ROUNDS = 25 };

static void *create_and_finish(void *arg)
{
    struct records *r = arg;
    for (int i = 0; i < ROUNDS; i++) {
        char key[16];
        snprintf(key, sizeof key, "shared-%d", i);
        struct records_new_task t[] = {records_seed_task("own", NULL, 1),
                                       records_seed_task("shared", key, 1)};
        struct records_change c = {.event = MODEL_FINISH_COMPLETED, .now_ms = 2};
        struct nrpc_status own;
        if (r->ops->create(r, t, LENGTH(t), &own))
            return "create failed";
        c.task = t[0].id;
        if (r->ops->change(r, &c, 1, &own) || !c.changed)
            return "change failed";
    }
    return NULL;
}

static void many_threads_leave_no_gap(void **state)
{
    struct records_fixture *f = *state;
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, create_and_finish, f->r), 0);
    for (int i = 0; i < THREADS; i++) {
        void *problem;
        pthread_join(threads[i], &problem);
        assert_null(problem);
    }
    struct records_event *events;
    struct records_task *tasks;
    size_t count;
    uint64_t first_kept;
    OK(f->r->ops->events(f->r, 0, 0, SIZE_MAX, &f->arena, &events, &count, &first_kept, &records_status));
    assert_int_equal(count, 2 * THREADS * ROUNDS + ROUNDS);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(events[i].sequence, i + 1);
    OK(f->r->ops->list(f->r, MODEL_RUNNING, 0, SIZE_MAX, &f->arena, &tasks, &count, &records_status));
    assert_int_equal(count, ROUNDS); // one of each key
}

#define EMPTY(test) cmocka_unit_test_setup_teardown(test, records_set_up, records_tear_down)
#define SEEDED(test) cmocka_unit_test_setup_teardown(test, records_set_up_seeded, records_tear_down)

int records_contract_run(const struct records_contract *c)
{
    static const struct CMUnitTest tests[] = {
        EMPTY(an_empty_store_has_nothing),
        SEEDED(create_records_a_running_task),
        SEEDED(create_takes_nothing_for_empty),
        SEEDED(a_known_key_answers_the_first_task),
        SEEDED(a_key_counts_within_its_batch),
        EMPTY(keys_are_compared_byte_by_byte),
        SEEDED(every_event_in_every_status),
        SEEDED(pausing_and_resuming),
        SEEDED(finishing_keeps_time_message_and_counters),
        SEEDED(an_illegal_change_does_not_stop_the_others),
        SEEDED(get_says_what_is_not_there),
        SEEDED(list_pages_from_the_newest),
        SEEDED(unfinished_pages_from_the_oldest_with_param),
        SEEDED(events_page_by_sequence),
        SEEDED(a_small_budget_is_an_error),
        SEEDED(putting_failures),
        SEEDED(failures_that_no_point_counts_are_dropped),
        SEEDED(an_end_has_its_failures),
        SEEDED(briefs_tell_what_there_is),
        SEEDED(numbers_go_on_above_the_marks),
        SEEDED(failures_page_by_number),
        EMPTY(large_bytes_come_back_as_they_were),
        SEEDED(setting_groups),
        SEEDED(text_is_only_text),
        SEEDED(group_names_are_only_text),
        SEEDED(trim_leaves_what_is_to_stay),
        SEEDED(trim_forgets_what_ended_long_ago),
        SEEDED(trim_keeps_the_last_that_ended),
        SEEDED(trim_forgets_old_history),
        SEEDED(a_forgotten_id_is_not_used_again_but_its_key_may_be),
        SEEDED(everything_is_there_after_reopening),
        EMPTY(a_large_batch),
        EMPTY(many_threads_leave_no_gap),
    };
    records_fixture_contract = c;
    int failed = cmocka_run_group_tests_name(c->name, tests, NULL, NULL);
    return records_contract_run_resume(c) || failed;
}
