// SPDX-License-Identifier: Apache-2.0
// client_test.c: the C client against a made-up server in the same process: what it sends, what it repeats,
// what it makes of answers.
#include "clients/c/client.h"

#include "dtf/v1/admin.nrpc.h"
#include "dtf/v1/task_service.nrpc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LENGTH(array) (sizeof(array) / sizeof *(array))

// ---- the server: counts calls, fails those that are due, and answers the rest from what a test has set

static struct {
    int calls;
    int fail_from, fail_count, fail_code; // which calls fail (counted from 1), and how
    Dtf__V1__TaskStatus status;           // of the task
    int ends_after;                       // calls until it is TASK_COMPLETED; 0: stays
    const char *name, *message;
    uint64_t fed;            // subtasks handed in
    size_t largest, batches; // Feed calls that were taken
    bool finished;
    uint64_t results, empty_first; // kept ones; Results calls that give nothing at first
    uint64_t tasks;                // that List knows
    char key[DTF_NAME_MAX + 1];    // of the last Create
    int keys_changed;
} fake;

static bool fails(struct nrpc_call *call)
{
    int n = ++fake.calls;
    if (n < fake.fail_from || n >= fake.fail_from + fake.fail_count)
        return false;
    nrpc_reply_error(call, fake.fail_code, "as it is told");
    return true;
}

static Dtf__V1__Task fake_task(Dtf__V1__TaskParam *param)
{
    Dtf__V1__Task task = DTF__V1__TASK__INIT;
    dtf__v1__task_param__init(param);
    param->name = (char *)(fake.name ? fake.name : "");
    task.id = 7;
    task.param = param;
    task.status =
        fake.ends_after && fake.calls >= fake.ends_after ? DTF__V1__TASK_STATUS__TASK_COMPLETED : fake.status;
    task.message = (char *)(fake.message ? fake.message : "");
    return task;
}

static void on_create(struct nrpc_call *call, const Dtf__V1__CreateRequest *request, void *user)
{
    (void)user;
    fake.keys_changed += strcmp(fake.key, request->param->idempotency_key) != 0;
    snprintf(fake.key, sizeof fake.key, "%s", request->param->idempotency_key);
    Dtf__V1__CreateResponse response = DTF__V1__CREATE_RESPONSE__INIT;
    response.task_id = 7;
    if (!fails(call))
        dtf_v1_task_service_create_reply(call, &response);
}

static void on_get(struct nrpc_call *call, const Dtf__V1__GetRequest *request, void *user)
{
    (void)request;
    (void)user;
    Dtf__V1__TaskParam param;
    Dtf__V1__Task task = fake_task(&param);
    Dtf__V1__GetResponse response = DTF__V1__GET_RESPONSE__INIT;
    response.task = &task;
    if (!fails(call))
        dtf_v1_task_service_get_reply(call, &response);
}

static void on_list(struct nrpc_call *call, const Dtf__V1__ListRequest *request, void *user)
{
    (void)user;
    Dtf__V1__ListResponse response = DTF__V1__LIST_RESPONSE__INIT;
    Dtf__V1__Task tasks[1000], *pointers[1000];
    uint64_t id = request->before_id ? request->before_id : fake.tasks + 1;
    response.tasks = pointers;
    while (--id && response.n_tasks < request->limit) {
        dtf__v1__task__init(&tasks[response.n_tasks]);
        tasks[response.n_tasks].id = id;
        pointers[response.n_tasks] = &tasks[response.n_tasks];
        response.n_tasks++;
    }
    if (!fails(call))
        dtf_v1_task_service_list_reply(call, &response);
}

static void on_pause(struct nrpc_call *call, const Dtf__V1__PauseRequest *request, void *user)
{
    (void)request;
    (void)user;
    Dtf__V1__PauseResponse response = DTF__V1__PAUSE_RESPONSE__INIT;
    if (!fails(call))
        dtf_v1_task_service_pause_reply(call, &response);
}

static void on_resume(struct nrpc_call *call, const Dtf__V1__ResumeRequest *request, void *user)
{
    (void)request;
    (void)user;
    Dtf__V1__ResumeResponse response = DTF__V1__RESUME_RESPONSE__INIT;
    if (!fails(call))
        dtf_v1_task_service_resume_reply(call, &response);
}

static void on_cancel(struct nrpc_call *call, const Dtf__V1__CancelRequest *request, void *user)
{
    (void)user;
    Dtf__V1__CancelResponse response = DTF__V1__CANCEL_RESPONSE__INIT;
    assert_string_equal(request->reason, "why not");
    if (!fails(call))
        dtf_v1_task_service_cancel_reply(call, &response);
}

static void on_wait(struct nrpc_call *call, const Dtf__V1__WaitRequest *request, void *user)
{
    (void)user;
    assert_true(request->wait_ms <= CLIENT_WAIT_MS);
    Dtf__V1__TaskParam param;
    Dtf__V1__WaitResponse response = DTF__V1__WAIT_RESPONSE__INIT;
    if (fails(call))
        return;
    Dtf__V1__Task task = fake_task(&param);
    response.task = &task;
    dtf_v1_task_service_wait_reply(call, &response);
}

static void on_events(struct nrpc_call *call, const Dtf__V1__EventsRequest *request, void *user)
{
    (void)request;
    (void)user;
    nrpc_reply_error(call, NRPC_UNIMPLEMENTED, "no events here");
}

static void on_feed(struct nrpc_call *call, const Dtf__V1__FeedRequest *request, void *user)
{
    (void)user;
    if (fails(call))
        return;
    if (request->at != fake.fed || fake.finished) {
        nrpc_reply_error(call, NRPC_OUT_OF_RANGE, "at %d, not %d", (int)request->at, (int)fake.fed);
        return;
    }
    fake.fed += request->n_subtasks;
    fake.largest = request->n_subtasks > fake.largest ? request->n_subtasks : fake.largest;
    fake.batches++;
    fake.finished = request->finish;
    Dtf__V1__FeedResponse response = DTF__V1__FEED_RESPONSE__INIT;
    dtf_v1_task_service_feed_reply(call, &response);
}

static void on_results(struct nrpc_call *call, const Dtf__V1__ResultsRequest *request, void *user)
{
    (void)user;
    if (fails(call))
        return;
    Dtf__V1__ResultsResponse response = DTF__V1__RESULTS_RESPONSE__INIT;
    Dtf__V1__Result result = DTF__V1__RESULT__INIT, *results[] = {&result};
    ProtobufCBinaryData param = {2, (uint8_t *)"p!"};
    response.next = request->after;
    if ((uint64_t)fake.calls > fake.empty_first && request->after < fake.results) {
        response.next++;
        result.subtask_id = response.next;
        result.kind = DTF__V1__RESULT_KIND__RESULT_SUCCESS;
        response.n_results = 1;
        response.results = results;
        response.n_params = request->failed_only;
        response.params = &param;
    }
    response.end = (uint64_t)fake.calls > fake.empty_first && response.next == fake.results;
    dtf_v1_task_service_results_reply(call, &response);
}

static const struct dtf_v1_task_service_handlers handlers = {
    .create = on_create,
    .get = on_get,
    .list = on_list,
    .pause = on_pause,
    .resume = on_resume,
    .cancel = on_cancel,
    .wait = on_wait,
    .events = on_events,
    .feed = on_feed,
    .results = on_results,
};

struct fixture {
    struct nrpc_server *server;
    struct dtf_client *client;
    struct nrpc_status st;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    memset(&fake, 0, sizeof fake);
    fake.status = DTF__V1__TASK_STATUS__TASK_RUNNING;
    f->server = nrpc_server_create(NULL);
    assert_int_equal(dtf_v1_task_service_register(f->server, NRPC_INLINE, &handlers, NULL, &f->st), NRPC_OK);
    f->client = client_on_channel(nrpc_channel_local(f->server));
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    dtf_client_close(f->client);
    nrpc_server_destroy(f->server);
    free(f);
    return 0;
}

static void fail_calls(int from, int count, int code)
{
    fake.fail_from = from;
    fake.fail_count = count;
    fake.fail_code = code;
}

// ---- create

static void create_refuses_by_the_name_of_the_field(void **state)
{
    struct fixture *f = *state;
    char long_text[300];
    memset(long_text, 'x', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = 0;
    static char large[DTF_TYPE_PARAM_MAX + 1];
    const struct {
        struct dtf_task_param param;
        const char *text;
    } cases[] = {
        {{.type = NULL}, "type: none given"},
        {{.type = ""}, "type: none given"},
        {{.type = long_text}, "type: 299 bytes are too many (at most 100)"},
        {{.type = "t", .name = long_text}, "name: 299 bytes are too many (at most 100)"},
        {{.type = "t", .description = long_text}, "description: 299 bytes are too many (at most 255)"},
        {{.type = "t", .creator = long_text}, "creator: 299 bytes are too many (at most 100)"},
        {{.type = "t", .resource_group = long_text}, "resource_group: 299 bytes are too many (at most 100)"},
        {{.type = "t", .idempotency_key = long_text},
         "idempotency_key: 299 bytes are too many (at most 100)"},
        {{.type = "t", .type_param = large, .type_param_bytes = sizeof large},
         "type_param: 1048577 bytes are too many (at most 1048576)"},
        {{.type = "t", .priority = 9001}, "priority: 9001 is above 9000"},
        {{.type = "t", .max_retries = 1001}, "max_retries: 1001 is above 1000"},
        {{.type = "t", .timeout_ms = -1}, "timeout_ms: -1 is not between 0 and 30 days"},
        {{.type = "t", .timeout_ms = 2592000001}, "timeout_ms: 2592000001 is not between 0 and 30 days"},
        {{.type = "t", .tolerated_failures = -2}, "tolerated_failures: -2 is below -1"},
    };
    for (size_t i = 0; i < LENGTH(cases); i++) {
        uint64_t id = 99;
        assert_int_equal(dtf_task_create(f->client, &cases[i].param, &id, &f->st), NRPC_INVALID_ARGUMENT);
        assert_string_equal(f->st.text, cases[i].text);
        assert_int_equal(id, 99);
    }
    assert_int_equal(fake.calls, 0);
}

static void create_is_repeated_under_one_key(void **state)
{
    struct fixture *f = *state;
    uint64_t id = 0;
    struct dtf_task_param p = {.type = "t", .type_param = "", .type_param_bytes = 0};
    fail_calls(1, 2, NRPC_UNAVAILABLE);
    assert_int_equal(dtf_task_create(f->client, &p, &id, &f->st), NRPC_OK); // under one that was made for it
    assert_int_equal(fake.calls, 3);
    assert_int_equal(fake.keys_changed, 1);
    assert_int_equal(id, 7);
    assert_int_equal(dtf_task_create(f->client, &p, &id, &f->st), NRPC_OK);
    assert_int_equal(fake.keys_changed, 2); // another creation, another key
    p.idempotency_key = "k";
    fail_calls(5, 99, NRPC_UNAVAILABLE);
    assert_int_equal(dtf_task_create(f->client, &p, &id, &f->st), NRPC_UNAVAILABLE);
    assert_int_equal(fake.calls, 4 + 4);
    assert_int_equal(fake.keys_changed, 3);
    assert_string_equal(fake.key, "k");
    fail_calls(9, 99, NRPC_FAILED_PRECONDITION);
    assert_int_equal(dtf_task_create(f->client, &p, &id, &f->st), NRPC_FAILED_PRECONDITION);
    assert_int_equal(fake.calls, 9);
    assert_string_equal(f->st.text, "as it is told");
}

// ---- steer, look at, wait for

static void steering(void **state)
{
    struct fixture *f = *state;
    char long_text[300];
    assert_int_equal(dtf_task_pause(f->client, 7, &f->st), NRPC_OK);
    assert_int_equal(dtf_task_resume(f->client, 7, NULL), NRPC_OK);
    assert_int_equal(dtf_task_cancel(f->client, 7, "why not", &f->st), NRPC_OK);
    memset(long_text, 'x', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = 0;
    assert_int_equal(dtf_task_cancel(f->client, 7, long_text, &f->st), NRPC_INVALID_ARGUMENT);
    assert_int_equal(fake.calls, 3);
}

static void long_fields_are_cut_between_characters(void **state)
{
    struct fixture *f = *state;
    char name[201], message[600];
    for (size_t i = 0; i < 100; i++)
        memcpy(name + 2 * i, "\xc3\xa9", 2);
    memcpy(name, "x", 1); // 'x', a stray byte, then characters at even places
    name[200] = 0;
    memset(message, 'm', sizeof message - 1);
    message[sizeof message - 1] = 0;
    fake.name = name;
    fake.message = message;
    struct dtf_task_info info;
    assert_int_equal(dtf_task_status(f->client, 7, &info, &f->st), NRPC_OK);
    assert_int_equal(strlen(info.name), 100);
    assert_memory_equal(info.name, name, 100);
    assert_int_equal(strlen(info.message), 255);
    assert_int_equal(info.status, DTF_TASK_RUNNING);
    fake.name = "ok";
    assert_int_equal(dtf_task_status(f->client, 7, &info, &f->st), NRPC_OK);
    assert_string_equal(info.name, "ok");
    char out[4];
    client_copy_text(out, sizeof out, "ab\xc3\xa9");
    assert_string_equal(out, "ab");
    client_copy_text(out, sizeof out, "\x80\x80\x80\x80\x80");
    assert_string_equal(out, "");
    client_copy_text(out, sizeof out, NULL);
    assert_string_equal(out, "");
}

static void wait_goes_on_until_the_task_ends(void **state)
{
    struct fixture *f = *state;
    struct dtf_task_info info;
    fake.ends_after = 5;
    fail_calls(2, 2, NRPC_UNAVAILABLE); // away for a moment
    assert_int_equal(dtf_task_wait(f->client, 7, -1, &info, &f->st), NRPC_OK);
    assert_int_equal(fake.calls, 5);
    assert_int_equal(info.status, DTF_TASK_COMPLETED);
}

static void wait_gives_up_at_its_timeout(void **state)
{
    struct fixture *f = *state;
    struct dtf_task_info info = {0};
    assert_int_equal(dtf_task_wait(f->client, 7, 0, &info, &f->st), NRPC_DEADLINE_EXCEEDED);
    assert_string_equal(f->st.text, "task 7 is still running");
    assert_int_equal(info.status, DTF_TASK_RUNNING);
    assert_int_equal(fake.calls, 1);
    fail_calls(3, 99999, NRPC_UNAVAILABLE);
    assert_int_equal(dtf_task_status(f->client, 7, &info, &f->st), NRPC_OK);
    assert_int_equal(dtf_task_wait(f->client, 7, 150, &info, &f->st), NRPC_UNAVAILABLE);
}

static void a_server_that_was_never_there_is_not_waited_for(void **state)
{
    struct fixture *f = *state;
    struct dtf_task_info info;
    fail_calls(1, 99, NRPC_UNAVAILABLE);
    assert_int_equal(dtf_task_wait(f->client, 7, -1, &info, &f->st), NRPC_UNAVAILABLE);
    fail_calls(2, 99, NRPC_NOT_FOUND);
    assert_int_equal(dtf_task_wait(f->client, 7, -1, &info, &f->st), NRPC_NOT_FOUND);
    assert_int_equal(fake.calls, 2);
}

static void list_reads_page_by_page(void **state)
{
    struct fixture *f = *state;
    struct dtf_task_info *tasks = calloc(3000, sizeof *tasks);
    static const struct {
        size_t capacity, known, got;
    } cases[] = {{3000, 2500, 2500}, {2000, 2500, 2000}, {1500, 2500, 1500},
                 {10, 0, 0},         {0, 10, 0},         {10, 3, 3}};
    for (size_t i = 0; i < LENGTH(cases); i++) {
        size_t count = cases[i].capacity;
        fake.tasks = cases[i].known;
        assert_int_equal(dtf_task_list(f->client, 0, 0, tasks, &count, &f->st), NRPC_OK);
        assert_int_equal(count, cases[i].got);
        for (size_t k = 0; k < count; k++)
            assert_int_equal(tasks[k].id, fake.tasks - k);
    }
    size_t count = 5;
    fake.tasks = 100;
    assert_int_equal(dtf_task_list(f->client, 0, 50, tasks, &count, &f->st), NRPC_OK);
    assert_int_equal(tasks[0].id, 49);
    free(tasks);
}

// ---- feed

static int feed(struct fixture *f, size_t count, size_t param_bytes, bool finish)
{
    struct dtf_subtask_spec *specs = calloc(count + 1, sizeof *specs);
    void *param = calloc(1, param_bytes + 1);
    for (size_t i = 0; i < count; i++)
        specs[i] = (struct dtf_subtask_spec){param, param_bytes, 0};
    int code = dtf_task_feed(f->client, 7, fake.fed, specs, count, finish, &f->st);
    free(param);
    free(specs);
    return code;
}

static void feed_splits_by_number_and_by_size(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(feed(f, 25000, 1, false), NRPC_OK);
    assert_int_equal(fake.fed, 25000);
    assert_int_equal(fake.batches, 3);
    assert_int_equal(fake.largest, 10000);
    assert_false(fake.finished);
    fake.batches = 0;
    assert_int_equal(feed(f, 30, DTF_SUBTASK_PARAM_MAX, true), NRPC_OK);
    assert_int_equal(fake.fed, 25030);
    assert_in_range(fake.batches, 2, 4);
    assert_true(fake.finished);
}

static void feed_can_only_finish(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(feed(f, 0, 0, false), NRPC_OK);
    assert_int_equal(fake.calls, 0);
    assert_int_equal(feed(f, 0, 0, true), NRPC_OK);
    assert_true(fake.finished);
    assert_int_equal(fake.calls, 1);
}

static void feed_waits_for_room_and_for_the_server(void **state)
{
    struct fixture *f = *state;
    fail_calls(1, 3, NRPC_RESOURCE_EXHAUSTED);
    assert_int_equal(feed(f, 5, 1, false), NRPC_OK);
    assert_int_equal(fake.calls, 4);
    fail_calls(5, 2, NRPC_UNAVAILABLE);
    assert_int_equal(feed(f, 5, 1, true), NRPC_OK);
    assert_int_equal(fake.fed, 10);
    assert_true(fake.finished);
    fail_calls(8, 1, NRPC_ABORTED);
    assert_int_equal(feed(f, 5, 1, true), NRPC_ABORTED);
    assert_int_equal(fake.calls, 8);
}

static void feed_refuses_what_no_subtask_may_be(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(feed(f, 3, DTF_SUBTASK_PARAM_MAX + 1, true), NRPC_INVALID_ARGUMENT);
    assert_string_equal(f->st.text, "a subtask's param: 262145 bytes are too many (at most 262144)");
    struct dtf_subtask_spec spec = {"x", 1, DTF_SUBTASK_TIMEOUT_MAX_MS + 1};
    assert_int_equal(dtf_task_feed(f->client, 7, 0, &spec, 1, true, &f->st), NRPC_INVALID_ARGUMENT);
    assert_int_equal(fake.calls, 0);
}

// ---- results

static void count_result(void *user, const struct dtf_task_result *result)
{
    uint64_t *count = user;
    assert_int_equal(result->subtask_id, ++*count);
    assert_string_equal(result->result.message, "");
    if (result->param)
        assert_memory_equal(result->param, "p!", result->param_bytes);
}

static void results_are_read_once_each_to_the_end(void **state)
{
    struct fixture *f = *state;
    uint64_t cursor = 0, count = 0;
    bool end = false;
    fake.results = 5;
    fake.empty_first = 2;
    fail_calls(4, 2, NRPC_UNAVAILABLE);
    while (!end)
        assert_int_equal(
            dtf_task_results(f->client, 7, &cursor, -1, count % 2, count_result, &count, &end, &f->st),
            NRPC_OK);
    assert_int_equal(count, 5);
    assert_int_equal(cursor, 5);
    assert_int_equal(fake.calls, 2 + 5 + 2);
}

static void results_do_not_wait_longer_than_told(void **state)
{
    struct fixture *f = *state;
    uint64_t cursor = 3, count = 3;
    bool end = true;
    fake.results = 9;
    fake.empty_first = 1;
    assert_int_equal(dtf_task_results(f->client, 7, &cursor, 0, false, count_result, &count, &end, &f->st),
                     NRPC_OK);
    assert_false(end);
    assert_int_equal(count, 3);
    assert_int_equal(cursor, 3);
    assert_int_equal(fake.calls, 1);
    fail_calls(2, 99, NRPC_NOT_FOUND);
    assert_int_equal(dtf_task_results(f->client, 7, &cursor, -1, false, count_result, &count, &end, &f->st),
                     NRPC_NOT_FOUND);
}

static void opening_needs_a_url(void **state)
{
    (void)state;
    struct nrpc_status st;
    struct dtf_client *client;
    assert_int_equal(dtf_client_open(NULL, &client, &st), NRPC_INVALID_ARGUMENT);
    assert_int_equal(dtf_client_open("", &client, &st), NRPC_INVALID_ARGUMENT);
    assert_int_equal(dtf_client_open("nonsense", &client, &st), NRPC_INVALID_ARGUMENT);
    dtf_client_close(NULL);
    assert_string_equal(dtf_task_status_name(DTF_TASK_TIMED_OUT), "timed_out");
    assert_string_equal(dtf_task_status_name(0), "unknown");
    assert_string_equal(dtf_task_status_name(-1), "unknown");
    assert_string_equal(dtf_task_status_name(8), "unknown");
}

#define WITH_SERVER(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        WITH_SERVER(create_refuses_by_the_name_of_the_field),
        WITH_SERVER(create_is_repeated_under_one_key),
        WITH_SERVER(steering),
        WITH_SERVER(long_fields_are_cut_between_characters),
        WITH_SERVER(wait_goes_on_until_the_task_ends),
        WITH_SERVER(wait_gives_up_at_its_timeout),
        WITH_SERVER(a_server_that_was_never_there_is_not_waited_for),
        WITH_SERVER(list_reads_page_by_page),
        WITH_SERVER(feed_splits_by_number_and_by_size),
        WITH_SERVER(feed_can_only_finish),
        WITH_SERVER(feed_waits_for_room_and_for_the_server),
        WITH_SERVER(feed_refuses_what_no_subtask_may_be),
        WITH_SERVER(results_are_read_once_each_to_the_end),
        WITH_SERVER(results_do_not_wait_longer_than_told),
        cmocka_unit_test(opening_needs_a_url),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
