// SPDX-License-Identifier: Apache-2.0
// records_contract_resume.c: what a record store must do about resume points, fed subtasks, asked stops, ids,
// tasks from another store, and what does not fit its fields.
#include "records_contract.h"
#include "records_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OPS(f) ((f)->r->ops)

// ---- ids and health

static void blocks_of_ids_do_not_meet(void **state)
{
    struct records_fixture *f = *state;
    static const struct {
        const char *name;
        uint64_t count, first;
    } blocks[] = {{"subtask", 1, 1},    {"subtask", 1000, 2},    {"node", 5, 1},
                  {"subtask", 1, 1002}, {"Node", 1, 1},          {"node ", 1, 1},
                  {"node", 0, 6},       {"node", 1ull << 32, 6}, {"node", 1, 6 + (1ull << 32)}};
    for (size_t i = 0; i < LENGTH(blocks); i++) {
        uint64_t first = 0;
        OK(OPS(f)->next_ids(f->r, blocks[i].name, blocks[i].count, &first, &records_status));
        assert_int_equal(first, blocks[i].first);
    }
    records_assert_change(f, ""); // the ids of tasks and events are others
    uint64_t first = 7;
    static const char *const bad[] = {NULL, "", "tbl_task", "tbl_"};
    for (size_t i = 0; i < LENGTH(bad); i++)
        assert_int_equal(OPS(f)->next_ids(f->r, bad[i], 1, &first, &records_status), NRPC_INVALID_ARGUMENT);
    assert_int_equal(OPS(f)->next_ids(f->r, "x", (1ull << 32) + 1, &first, &records_status),
                     NRPC_INVALID_ARGUMENT);
    assert_int_equal(first, 7);
}

static void a_store_that_is_there_is_well(void **state)
{
    struct records_fixture *f = *state;
    OK(OPS(f)->check(f->r, &records_status));
    OK(OPS(f)->check(f->r, &records_status));
    records_assert_change(f, "");
}

// ---- asked stops

static void asking_for_a_stop(void **state)
{
    struct records_fixture *f = *state;
    OK(OPS(f)->ask_stop(f->r, 1, "enough", 2000, &records_status));
    OK(OPS(f)->ask_stop(f->r, 2, NULL, 0, &records_status));
    records_assert_change(f, "+task 1 stop asked: enough\n+task 2 stop asked: none\n");
    OK(OPS(f)->ask_stop(f->r, 1, "again", 3000, &records_status));
    OK(OPS(f)->ask_stop(f->r, 2, "again", 3000, &records_status));
    records_assert_change(f, "");
    assert_int_equal(OPS(f)->ask_stop(f->r, 3, "x", 1, &records_status), NRPC_FAILED_PRECONDITION);
    assert_int_equal(OPS(f)->ask_stop(f->r, 7, "x", 1, &records_status), NRPC_NOT_FOUND);
    assert_int_equal(OPS(f)->ask_stop(f->r, UINT64_MAX, "x", 1, &records_status), NRPC_NOT_FOUND);
    records_assert_change(f, "");
    struct records_task *tasks;
    size_t count;
    OK(OPS(f)->unfinished(f->r, 0, 9, &f->arena, &tasks, &count, &records_status));
    assert_int_equal(count, 2);
    assert_true(tasks[0].stop_asked && tasks[1].stop_asked);
    assert_string_equal(tasks[0].stop_message, "enough");
    assert_null(tasks[1].stop_message);
}

// ---- resume points

static struct records_resume point(uint64_t task, uint64_t made, uint64_t settled, const char *checkpoint)
{
    return (struct records_resume){
        .task = task,
        .checkpoint = {checkpoint, checkpoint ? strlen(checkpoint) : 0},
        .has_checkpoint = checkpoint != NULL,
        .made = made,
        .counters = {.generated = made, .succeeded = settled, .queued = made - settled, .retried = 3},
        .progress_percent = -1,
    };
}

static void save(struct records_fixture *f, struct records_resume p)
{
    OK(OPS(f)->save_resumes(f->r, &p, 1, &records_status));
}

static void assert_point(struct records_fixture *f, uint64_t task, const char *expected)
{
    struct records_resume p;
    char text[200] = "none";
    OK(OPS(f)->resumes(f->r, &task, 1, &f->arena, &p, &records_status));
    assert_int_equal(p.task, task);
    if (p.found)
        snprintf(text, sizeof text, "%d settled %d at %.*s, %d%%%s", (int)p.made, (int)p.counters.succeeded,
                 p.has_checkpoint ? (int)p.checkpoint.bytes : 4,
                 p.has_checkpoint ? (const char *)p.checkpoint.data : "none", p.progress_percent,
                 p.counters.generation_done ? " done" : "");
    assert_string_equal(text, expected);
}

static void only_newer_points_are_kept(void **state)
{
    struct records_fixture *f = *state;
    save(f, point(1, 10, 7, "ten"));
    assert_point(f, 1, "10 settled 7 at ten, -1%");
    save(f, point(1, 9, 9, "nine"));
    save(f, point(1, 10, 6, "six"));
    assert_point(f, 1, "10 settled 7 at ten, -1%");
    save(f, point(1, 10, 8, NULL));
    assert_point(f, 1, "10 settled 8 at none, -1%");
    struct records_resume full = point(1, 11, 0, "");
    full.counters = (struct model_counters){1, 2, 3, 4, 5, 6, 7, 8, 9, true};
    full.progress_percent = 100;
    save(f, full);
    assert_point(f, 1, "11 settled 2 at , 100% done");
    struct records_resume got;
    OK(OPS(f)->resumes(f->r, &full.task, 1, &f->arena, &got, &records_status));
    assert_memory_equal(&got.counters, &full.counters, sizeof got.counters);
    records_assert_change(f, "");
}

static void points_of_a_batch(void **state)
{
    struct records_fixture *f = *state;
    struct records_resume p[] = {point(2, 5, 5, "five"), point(3, 1, 1, "ended"), point(1, 3, 3, "three"),
                                 point(2, 4, 4, "four"), point(99, 1, 1, "none"), point(2, 6, 6, "six")};
    OK(OPS(f)->save_resumes(f->r, p, LENGTH(p), &records_status));
    OK(OPS(f)->save_resumes(f->r, p, 0, &records_status));
    static const uint64_t tasks[] = {99, 2, 1, 3, 2};
    struct records_resume out[LENGTH(tasks)];
    OK(OPS(f)->resumes(f->r, tasks, LENGTH(tasks), &f->arena, out, &records_status));
    assert_false(out[0].found || out[3].found);
    assert_int_equal(out[1].made, 6);
    assert_int_equal(out[2].made, 3);
    assert_int_equal(out[4].made, 6);
    for (size_t i = 0; i < LENGTH(tasks); i++)
        assert_int_equal(out[i].task, tasks[i]);
}

// ---- fed subtasks

static void feed(struct records_fixture *f, uint64_t task, uint64_t at, uint64_t count, bool finish)
{
    char text[40];
    snprintf(text, sizeof text, "%d+%d", (int)at, (int)count);
    struct records_blob packed = {text, strlen(text)};
    OK(OPS(f)->put_fed(f->r, task, at, count, finish, packed, &records_status));
}

static void assert_fed(struct records_fixture *f, uint64_t task, uint64_t after, size_t max,
                       const char *expected)
{
    struct records_fed *rows;
    size_t count;
    char text[200] = "";
    OK(OPS(f)->fed(f->r, task, after, max, &f->arena, &rows, &count, &records_status));
    for (size_t i = 0; i < count; i++) {
        char packed[40];
        snprintf(packed, sizeof packed, "%d+%d", (int)rows[i].at, (int)rows[i].count);
        assert_int_equal(rows[i].packed.bytes, strlen(packed));
        assert_memory_equal(rows[i].packed.data, packed, strlen(packed));
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s ", packed,
                 rows[i].finish ? " finish" : "");
    }
    assert_string_equal(text, expected);
}

static void fed_subtasks_come_back_in_order(void **state)
{
    struct records_fixture *f = *state;
    feed(f, 1, 10, 5, false);
    feed(f, 1, 0, 10, false);
    feed(f, 2, 0, 3, false);
    feed(f, 1, 15, 1, false);
    feed(f, 1, 10, 5, false);
    assert_fed(f, 1, 0, 9, "0+10 10+5 15+1 ");
    assert_fed(f, 1, 0, 2, "0+10 10+5 ");
    assert_fed(f, 1, 9, 9, "0+10 10+5 15+1 ");
    assert_fed(f, 1, 10, 9, "10+5 15+1 ");
    assert_fed(f, 1, 16, 9, "");
    assert_fed(f, 1, UINT64_MAX, SIZE_MAX, "");
    assert_fed(f, 3, 0, 9, "");
    feed(f, 1, 16, 0, true);
    assert_fed(f, 1, 15, 9, "15+1 16+0 finish ");
    assert_fed(f, 1, 100, 9, "16+0 finish ");
    feed(f, 2, 0, 3, true);
    feed(f, 2, 0, 3, false);
    assert_fed(f, 2, 0, 9, "0+3 finish ");
    struct records_blob none = {NULL, 0};
    assert_int_equal(OPS(f)->put_fed(f->r, 3, 0, 1, false, none, &records_status), NRPC_NOT_FOUND);
    assert_int_equal(OPS(f)->put_fed(f->r, 99, 0, 1, false, none, &records_status), NRPC_NOT_FOUND);
    records_assert_change(f, "");
}

static void a_point_drops_what_lies_below_it(void **state)
{
    struct records_fixture *f = *state;
    feed(f, 1, 0, 10, false);
    feed(f, 1, 10, 5, false);
    feed(f, 1, 15, 5, true);
    feed(f, 2, 0, 10, false);
    save(f, point(1, 12, 12, NULL));
    assert_fed(f, 1, 0, 9, "10+5 15+5 finish ");
    assert_fed(f, 2, 0, 9, "0+10 ");
    save(f, point(1, 20, 20, NULL));
    assert_fed(f, 1, 0, 9, "15+5 finish ");
    feed(f, 1, 3, 2, false); // a late repetition
    save(f, point(1, 1, 1, NULL));
    assert_fed(f, 1, 0, 9, "15+5 finish ");
}

static void with_its_end_a_task_resumes_no_more(void **state)
{
    struct records_fixture *f = *state;
    for (uint64_t task = 1; task <= 2; task++) {
        save(f, point(task, 2, 2, "x"));
        feed(f, task, 0, 10, true);
    }
    records_seed_change(f, 1, MODEL_PAUSE, 2000, NULL);
    assert_point(f, 1, "2 settled 2 at x, -1%");
    records_seed_change(f, 1, MODEL_FINISH_FAILED, 2000, NULL);
    assert_point(f, 1, "none");
    assert_fed(f, 1, 0, 9, "");
    assert_point(f, 2, "2 settled 2 at x, -1%");
    assert_fed(f, 2, 0, 9, "0+10 finish ");
    save(f, point(1, 3, 3, "late"));
    assert_point(f, 1, "none");
}

static void large_rows_come_in_several_batches(void **state)
{
    enum { ROWS = 9, BYTES = 1 << 20 };
    struct records_fixture *f = *state;
    struct records_blob packed = {mem_calloc(1, BYTES), BYTES};
    for (uint64_t i = 0; i < ROWS; i++)
        OK(OPS(f)->put_fed(f->r, 1, i, 1, false, packed, &records_status));
    uint64_t after = 0;
    for (size_t count = 1, seen = 0, calls = 0; count; seen += count, calls++) {
        struct records_fed *rows;
        OK(OPS(f)->fed(f->r, 1, after, SIZE_MAX, &f->arena, &rows, &count, &records_status));
        assert_true(count <= 3);
        for (size_t i = 0; i < count; i++)
            assert_int_equal(rows[i].at, seen + i);
        after += count;
        arena_reset(&f->arena);
        assert_true(count || seen == ROWS);
    }
    free((void *)packed.data);
}

// ---- tasks from another store

static struct records_import taken_over(uint64_t id, const char *key)
{
    static const struct records_event events[] = {{0, 0, MODEL_RUNNING, NULL, 100},
                                                  {0, 0, MODEL_FAILED, "too many", 900}};
    static const struct records_failure failures[] = {
        {0, 4, 2, MODEL_FAILURE, 17, "no file", {"out", 3}, {"in", 2}, 12}};
    return (struct records_import){
        .task = {.id = id,
                 .status = MODEL_FAILED,
                 .name = "moved",
                 .description = "from elsewhere",
                 .type = "checksum",
                 .creator = "bob",
                 .group = "batch",
                 .message = "too many",
                 .creator_uid = 7,
                 .priority = 2000,
                 .created_ms = 100,
                 .deadline_ms = 5000,
                 .finished_ms = 900,
                 .counters = {4, 3, 1, 0, 0, 2, 1, 0, 0, true},
                 .param = {"\7", 1},
                 .idempotency_key = key},
        .events = events,
        .event_count = LENGTH(events),
        .failures = failures,
        .failure_count = LENGTH(failures),
        .code = -1,
    };
}

static void a_task_is_taken_over_as_it_is(void **state)
{
    struct records_fixture *f = *state;
    struct records_import in = taken_over(20, "moved-1");
    OK(OPS(f)->import(f->r, &in, 1, &records_status));
    assert_int_equal(in.code, NRPC_OK);
    records_assert_change(f, "+task 20 status failed\n"
                             "+task 20 name 'moved' description 'from elsewhere' type 'checksum'\n"
                             "+task 20 creator 'bob' 7\n"
                             "+task 20 group 'batch' priority 2000\n"
                             "+task 20 key moved-1\n"
                             "+task 20 message too many\n"
                             "+task 20 created 100 deadline 5000\n"
                             "+task 20 finished 900\n"
                             "+task 20 counters 4 3 1 0 0 / 2 1 / 0 0 / 1\n"
                             "+task 20 param 1 07\n"
                             "+failure 20.4 attempt 2 kind 2 code 17 message no file run 12 body 3 6f 75 74\n"
                             "+failure 20.4 param 2 69 6e\n"
                             "+event 12 task 20 running at 100 message none\n"
                             "+event 13 task 20 failed at 900 message too many\n");
    OK(OPS(f)->import(f->r, &in, 1, &records_status));
    assert_int_equal(in.code, NRPC_ALREADY_EXISTS);
    records_assert_change(f, "");
    struct records_new_task t = records_seed_task("next", NULL, 1);
    OK(OPS(f)->create(f->r, &t, 1, &records_status));
    assert_int_equal(t.id, 21);
    assert_int_equal(t.sequence, 14);
}

static void what_is_taken_is_not_taken_over(void **state)
{
    struct records_fixture *f = *state;
    struct records_import in[] = {taken_over(6, NULL), taken_over(30, "key-1"), taken_over(31, NULL),
                                  taken_over(31, NULL)};
    in[2].task.status = MODEL_PAUSED;
    in[2].task.stop_asked = true;
    in[2].task.stop_message = "by bob";
    in[2].event_count = in[2].failure_count = 0;
    in[3].task.name = "another";
    OK(OPS(f)->import(f->r, in, LENGTH(in), &records_status));
    static const int codes[] = {NRPC_FAILED_PRECONDITION, NRPC_FAILED_PRECONDITION, NRPC_OK,
                                NRPC_FAILED_PRECONDITION};
    for (size_t i = 0; i < LENGTH(in); i++)
        assert_int_equal(in[i].code, codes[i]);
    records_assert_change(f, "+task 31 status paused\n"
                             "+task 31 name 'moved' description 'from elsewhere' type 'checksum'\n"
                             "+task 31 creator 'bob' 7\n"
                             "+task 31 group 'batch' priority 2000\n"
                             "+task 31 stop asked: by bob\n"
                             "+task 31 message too many\n"
                             "+task 31 created 100 deadline 5000\n"
                             "+task 31 finished 900\n"
                             "+task 31 counters 4 3 1 0 0 / 2 1 / 0 0 / 1\n"
                             "+task 31 param 1 07\n");
    struct records_import bad = taken_over(0, NULL);
    assert_int_equal(OPS(f)->import(f->r, &bad, 1, &records_status), NRPC_INVALID_ARGUMENT);
    bad = taken_over((1ull << 52) + 1, NULL);
    assert_int_equal(OPS(f)->import(f->r, &bad, 1, &records_status), NRPC_INVALID_ARGUMENT);
    bad = taken_over(1ull << 63, NULL);
    assert_int_equal(OPS(f)->import(f->r, &bad, 1, &records_status), NRPC_INVALID_ARGUMENT);
    bad = taken_over(40, NULL);
    bad.task.status = 0;
    assert_int_equal(OPS(f)->import(f->r, &bad, 1, &records_status), NRPC_INVALID_ARGUMENT);
    records_assert_change(f, "");
}

static void every_task_of_the_seed_can_be_moved(void **state)
{
    struct records_fixture *f = *state;
    for (uint64_t id = 1; id <= 6; id++) {
        struct records_import in = {.code = -1};
        struct records_event *events;
        struct records_failure *failures;
        uint64_t first_kept;
        OK(OPS(f)->get(f->r, id, &f->arena, &in.task, &records_status));
        OK(OPS(f)->events(f->r, 0, id, 99, &f->arena, &events, &in.event_count, &first_kept,
                          &records_status));
        OK(OPS(f)->failures(f->r, id, 0, 99, &f->arena, &failures, &in.failure_count, &records_status));
        in.events = events;
        in.failures = failures;
        OK(OPS(f)->import(f->r, &in, 1, &records_status));
        assert_int_equal(in.code, NRPC_ALREADY_EXISTS);
        in.task.id += 100;
        in.task.idempotency_key = NULL;
        OK(OPS(f)->import(f->r, &in, 1, &records_status));
        assert_int_equal(in.code, NRPC_OK);
        struct records_task moved;
        OK(OPS(f)->get(f->r, id + 100, &f->arena, &moved, &records_status));
        assert_int_equal(moved.status, in.task.status);
        assert_memory_equal(&moved.counters, &in.task.counters, sizeof moved.counters);
    }
}

// ---- what fits and what does not

static void fill(char *text, size_t bytes) // with characters of four bytes, as far as they go
{
    size_t i = 0;
    for (; i + 4 <= bytes; i += 4)
        memcpy(text + i, "\xf0\x9f\xa6\x8a", 4);
    for (; i < bytes; i++)
        text[i] = 'x';
    text[i] = 0;
}

static const struct {
    const char *field;
    size_t offset, max;
} texts[] = {
    {"name", offsetof(struct records_new_task, name), RECORDS_NAME_MAX},
    {"description", offsetof(struct records_new_task, description), RECORDS_DESCRIPTION_MAX},
    {"type", offsetof(struct records_new_task, type), RECORDS_NAME_MAX},
    {"creator", offsetof(struct records_new_task, creator), RECORDS_NAME_MAX},
    {"group", offsetof(struct records_new_task, group), RECORDS_NAME_MAX},
    {"idempotency_key", offsetof(struct records_new_task, idempotency_key), RECORDS_NAME_MAX},
};

static void refuse_new(struct records_fixture *f, struct records_new_task *t, const char *field)
{
    struct records_new_task both[] = {records_seed_task("fine", NULL, 1), *t};
    assert_int_equal(OPS(f)->create(f->r, both, 2, &records_status), NRPC_INVALID_ARGUMENT);
    assert_int_equal(strncmp(records_status.text, field, strlen(field)), 0);
    records_assert_change(f, "");
}

static void texts_fit_up_to_their_limit(void **state)
{
    struct records_fixture *f = *state;
    char text[RECORDS_DESCRIPTION_MAX + 2];
    const char *value = text;
    for (size_t i = 0; i < LENGTH(texts); i++) {
        struct records_new_task t = records_seed_task("x", NULL, 1);
        memcpy((char *)&t + texts[i].offset, &value, sizeof value);
        fill(text, texts[i].max + 1);
        refuse_new(f, &t, texts[i].field);
        strcpy(text, "a\xff");
        refuse_new(f, &t, texts[i].field);
        fill(text, texts[i].max);
        OK(OPS(f)->create(f->r, &t, 1, &records_status));
        struct records_task got;
        OK(OPS(f)->get(f->r, t.id, &f->arena, &got, &records_status));
        const char *const read[] = {got.name,    got.description, got.type,
                                    got.creator, got.group,       got.idempotency_key};
        assert_string_equal(read[i], text);
        free(f->before);
        f->before = records_dump(f);
    }
}

static void messages_fit_up_to_their_limit(void **state)
{
    struct records_fixture *f = *state;
    char *text = mem_alloc(RECORDS_MESSAGE_MAX + 2);
    fill(text, RECORDS_MESSAGE_MAX + 1);
    struct records_change c = {.task = 1, .event = MODEL_PAUSE, .now_ms = 1, .message = text};
    struct records_failure e = {.task = 1, .seq = 1, .kind = MODEL_FAILURE, .message = text}, *failures;
    struct records_import in = taken_over(50, NULL);
    in.task.message = text;
    assert_int_equal(OPS(f)->change(f->r, &c, 1, &records_status), NRPC_INVALID_ARGUMENT);
    assert_int_equal(OPS(f)->put_failures(f->r, &e, 1, false, &records_status), NRPC_INVALID_ARGUMENT);
    assert_int_equal(OPS(f)->ask_stop(f->r, 1, text, 1, &records_status), NRPC_INVALID_ARGUMENT);
    assert_int_equal(OPS(f)->import(f->r, &in, 1, &records_status), NRPC_INVALID_ARGUMENT);
    assert_int_equal(strncmp(records_status.text, "message", 7), 0);
    records_assert_change(f, "");
    fill(text, RECORDS_MESSAGE_MAX);
    OK(OPS(f)->change(f->r, &c, 1, &records_status));
    OK(OPS(f)->put_failures(f->r, &e, 1, false, &records_status));
    OK(OPS(f)->ask_stop(f->r, 1, text, 1, &records_status));
    struct records_task got;
    size_t count;
    OK(OPS(f)->get(f->r, 1, &f->arena, &got, &records_status));
    OK(OPS(f)->failures(f->r, 1, 0, 9, &f->arena, &failures, &count, &records_status));
    assert_string_equal(got.message, text);
    assert_string_equal(got.stop_message, text);
    assert_string_equal(failures->message, text);
    free(text);
}

static void a_message_that_was_cut_is_repaired(void **state)
{
    struct records_fixture *f = *state;
    static const char cut[] = "caf\xc3\xa9 \xf0\x9f\xa6";
    records_seed_change(f, 1, MODEL_PAUSE, 5, cut);
    struct records_failure e = {.task = 1, .seq = 1, .kind = MODEL_FAILURE, .message = "\xff"};
    OK(OPS(f)->put_failures(f->r, &e, 1, false, &records_status));
    OK(OPS(f)->ask_stop(f->r, 1, "\xe2\x80", 1, &records_status));
    records_assert_change(f, "-task 1 status running\n-task 1 message none\n"
                             "+task 1 status paused\n+task 1 stop asked: ??\n"
                             "+task 1 message caf\xc3\xa9 ???\n"
                             "+failure 1.1 attempt 0 kind 2 code 0 message ? run 0 body none 0\n"
                             "+failure 1.1 param none 0\n"
                             "+event 12 task 1 paused at 5 message caf\xc3\xa9 ???\n");
}

static void blobs_fit_up_to_their_limit(void **state)
{
    struct records_fixture *f = *state;
    size_t max = RECORDS_BLOB_MAX;
    unsigned char *data = mem_alloc(max + 1);
    for (size_t i = 0; i <= max; i++)
        data[i] = (unsigned char)(i * 7 >> 2);
    struct records_new_task t = records_seed_task("x", NULL, 1);
    t.param = (struct records_blob){data, max + 1};
    refuse_new(f, &t, "param");
    struct records_failure e = {
        .task = 1, .seq = 1, .kind = MODEL_FAILURE, .body = {data, max}, .param = {data, 1}};
    assert_int_equal(OPS(f)->put_failures(f->r, &e, 1, false, &records_status), NRPC_INVALID_ARGUMENT);
    struct records_resume p = point(1, 1, 1, NULL);
    p.has_checkpoint = true;
    p.checkpoint = t.param;
    assert_int_equal(OPS(f)->save_resumes(f->r, &p, 1, &records_status), NRPC_INVALID_ARGUMENT);
    assert_int_equal(OPS(f)->put_fed(f->r, 1, 0, 1, false, t.param, &records_status), NRPC_INVALID_ARGUMENT);
    records_assert_change(f, "");
    t.param.bytes = p.checkpoint.bytes = max;
    e.param.bytes = 0;
    OK(OPS(f)->create(f->r, &t, 1, &records_status));
    OK(OPS(f)->put_failures(f->r, &e, 1, false, &records_status));
    OK(OPS(f)->save_resumes(f->r, &p, 1, &records_status));
    OK(OPS(f)->put_fed(f->r, 1, 1, 1, false, t.param, &records_status));
    struct records_task got;
    struct records_resume back;
    OK(OPS(f)->get(f->r, t.id, &f->arena, &got, &records_status));
    OK(OPS(f)->resumes(f->r, &p.task, 1, &f->arena, &back, &records_status));
    assert_int_equal(got.param.bytes, max);
    assert_memory_equal(got.param.data, data, max);
    assert_int_equal(back.checkpoint.bytes, max);
    assert_memory_equal(back.checkpoint.data, data, max);
    free(data);
}

static void numbers_and_names_have_limits_too(void **state)
{
    struct records_fixture *f = *state;
    char name[RECORDS_NAME_MAX + 2];
    uint64_t first;
    struct records_resume p = point(1, (1ull << 62) + 1, 0, NULL);
    struct records_blob none = {NULL, 0};
    fill(name, RECORDS_NAME_MAX + 1);
    assert_int_equal(OPS(f)->set_group(f->r, name, 1, &records_status), NRPC_INVALID_ARGUMENT);
    assert_int_equal(OPS(f)->set_group(f->r, "\xc0", 1, &records_status), NRPC_INVALID_ARGUMENT);
    assert_int_equal(OPS(f)->next_ids(f->r, name, 1, &first, &records_status), NRPC_INVALID_ARGUMENT);
    assert_int_equal(OPS(f)->save_resumes(f->r, &p, 1, &records_status), NRPC_INVALID_ARGUMENT);
    assert_int_equal(OPS(f)->put_fed(f->r, 1, p.made, 1, false, none, &records_status),
                     NRPC_INVALID_ARGUMENT);
    assert_int_equal(OPS(f)->put_fed(f->r, 1, 1, p.made, false, none, &records_status),
                     NRPC_INVALID_ARGUMENT);
    records_assert_change(f, "");
    fill(name, RECORDS_NAME_MAX);
    OK(OPS(f)->set_group(f->r, name, 1, &records_status));
    OK(OPS(f)->next_ids(f->r, name, 1, &first, &records_status));
}

#define SEEDED(test) cmocka_unit_test_setup_teardown(test, records_set_up_seeded, records_tear_down)

int records_contract_run_resume(const struct records_contract *c)
{
    static const struct CMUnitTest tests[] = {
        SEEDED(blocks_of_ids_do_not_meet),
        SEEDED(a_store_that_is_there_is_well),
        SEEDED(asking_for_a_stop),
        SEEDED(only_newer_points_are_kept),
        SEEDED(points_of_a_batch),
        SEEDED(fed_subtasks_come_back_in_order),
        SEEDED(a_point_drops_what_lies_below_it),
        SEEDED(with_its_end_a_task_resumes_no_more),
        SEEDED(large_rows_come_in_several_batches),
        SEEDED(a_task_is_taken_over_as_it_is),
        SEEDED(what_is_taken_is_not_taken_over),
        SEEDED(every_task_of_the_seed_can_be_moved),
        SEEDED(texts_fit_up_to_their_limit),
        SEEDED(messages_fit_up_to_their_limit),
        SEEDED(a_message_that_was_cut_is_repaired),
        SEEDED(blobs_fit_up_to_their_limit),
        SEEDED(numbers_and_names_have_limits_too),
    };
    return cmocka_run_group_tests_name(c->name, tests, NULL, NULL);
}
