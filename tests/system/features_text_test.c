// SPDX-License-Identifier: Apache-2.0
// features_text_test.c: texts that mean something to SQL, to Redis or to Lua, and texts of any length and
// script, through every field of the services, on the servers of a cluster: what is read back is what was
// sent, or it was refused by the field's name; and nothing else has changed.
#include "clients/c/archive.h"
#include "servers/servers.h"
#include "system/cluster.h"

#include "base/utf8.h"
#include "dtf/v1/admin.nrpc.h"
#include "dtf/v1/node.nrpc.h"
#include "dtf/v1/task_service.nrpc.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { KEY_MAX = 100, REASON_MAX = 255, MESSAGE_MAX = 1024 };

static struct server *redis, *mariadb;
static struct daemon coordinator;
static struct nrpc_channel *ch;
static struct dtf_client *client;
static struct nrpc_status st;
static const struct nrpc_call_options soon = {.timeout_ms = 20000};

static char maximal[KEY_MAX + 1]; // of 4-byte characters
static const char *const texts[] = {
    "",
    "plain",
    "' OR 1=1; DROP TABLE tbl_task; --",
    "\\'; DELETE FROM tbl_task; -- \\",
    "\" OR \"\"=\"",
    "`tbl_task`); DROP DATABASE dtf; /*",
    "%s%n%d %%",
    "]]; redis.call('FLUSHALL') --[[",
    "'..redis.call('FLUSHALL')..'",
    "x\r\nFLUSHALL\r\n",
    "*1\r\n$8\r\nFLUSHALL\r\n",
    "{1}:t:1 4:*? [a-z]",
    "\x01\x1f\x7f\t\n",
    "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\xa6\x8a \xe2\x80\xae\xd7\x90",
    "NULL",
    maximal,
};
enum { TEXTS = sizeof texts / sizeof *texts };

#define MUST(call)                                                                                           \
    do {                                                                                                     \
        if (call)                                                                                            \
            fail_msg("%s: %s", #call, st.text);                                                              \
    } while (0)

// ---- tasks

static Dtf__V1__TaskParam fed(const char *name)
{
    Dtf__V1__TaskParam p = DTF__V1__TASK_PARAM__INIT;
    p.type = "command";
    p.name = (char *)name;
    p.fed = true;
    p.keep_results = true;
    p.tolerated_failures = -1;
    return p;
}

static int try_create(const Dtf__V1__TaskParam *p, uint64_t *id, bool *existed)
{
    Dtf__V1__CreateRequest q = DTF__V1__CREATE_REQUEST__INIT;
    Dtf__V1__CreateResponse *r;
    q.param = (Dtf__V1__TaskParam *)p;
    if (dtf_v1_task_service_create(ch, &soon, &q, &r, &st))
        return st.code;
    *id = r->task_id;
    *existed = r->existed;
    dtf__v1__create_response__free_unpacked(r, NULL);
    return NRPC_OK;
}

static uint64_t create(const Dtf__V1__TaskParam *p)
{
    uint64_t id = 0;
    bool existed;
    MUST(try_create(p, &id, &existed));
    return id;
}

static Dtf__V1__GetResponse *get(uint64_t task)
{
    Dtf__V1__GetRequest q = DTF__V1__GET_REQUEST__INIT;
    Dtf__V1__GetResponse *r;
    q.task_id = task;
    MUST(dtf_v1_task_service_get(ch, &soon, &q, &r, &st));
    return r;
}

static void feed(uint64_t task, const char *param, size_t size, bool finish)
{
    Dtf__V1__FeedRequest q = DTF__V1__FEED_REQUEST__INIT;
    Dtf__V1__SubtaskSpec spec = DTF__V1__SUBTASK_SPEC__INIT, *specs[] = {&spec};
    spec.param = (ProtobufCBinaryData){size, (uint8_t *)param};
    q.task_id = task;
    q.subtasks = specs;
    q.n_subtasks = 1;
    q.finish = finish;
    MUST(dtf_v1_task_service_feed(ch, &soon, &q, NULL, &st));
}

static void cancel(uint64_t task, const char *reason)
{
    struct dtf_task_info info;
    MUST(dtf_task_cancel(client, task, reason, &st));
    MUST(dtf_task_wait(client, task, PATIENCE_MS, &info, &st));
}

// ---- nothing else has changed

static uint64_t bystander; // a task under way, with what can be lost of it

static void look_at(uint64_t task, char *out, size_t size)
{
    Dtf__V1__GetResponse *r = get(task);
    const Dtf__V1__Task *t = r->task;
    char answer[200];
    server_ask(redis, "DBSIZE", answer, sizeof answer);
    assert_true(answer[0] == ':' && strcmp(answer, ":0\r\n") != 0);
    snprintf(out, size, "%s %s %s %s %d %llu/%llu", t->param->name, t->param->description, t->param->creator,
             t->param->resource_group, (int)t->status, (unsigned long long)t->counters->queued,
             (unsigned long long)t->counters->generated);
    dtf__v1__get_response__free_unpacked(r, NULL);
}

static char before[1000];

static int remember(void **state)
{
    (void)state;
    look_at(bystander, before, sizeof before);
    return 0;
}

static int compare(void **state)
{
    (void)state;
    char now[1000];
    look_at(bystander, now, sizeof now);
    assert_string_equal(now, before);
    return 0;
}

// ---- tests

static void texts_of_tasks(void **state)
{
    (void)state;
    for (size_t i = 0; i < TEXTS; i++) {
        char bytes[300], *text = (char *)texts[i];
        int size = snprintf(bytes, sizeof bytes, "%s%c%s", text, 0, text);
        Dtf__V1__TaskParam p = fed(text);
        p.description = p.creator = p.resource_group = p.idempotency_key = text;
        p.type_param = (ProtobufCBinaryData){(size_t)size, (uint8_t *)bytes};
        uint64_t id = create(&p), again = 0;
        bool existed = false;
        Dtf__V1__GetResponse *r = get(id);
        const Dtf__V1__TaskParam *got = r->task->param;
        assert_string_equal(got->name, text);
        assert_string_equal(got->description, text);
        assert_string_equal(got->creator, text);
        assert_string_equal(got->resource_group, *text ? text : "default");
        assert_int_equal(got->type_param.len, size);
        assert_memory_equal(got->type_param.data, bytes, (size_t)size);
        dtf__v1__get_response__free_unpacked(r, NULL);
        MUST(try_create(&p, &again, &existed));
        assert_true(*text ? existed && again == id : !existed);
        if (!*text)
            cancel(again, NULL);
        cancel(id, NULL);
    }
}

static void types_that_are_none(void **state)
{
    (void)state;
    uint64_t id;
    bool existed;
    for (size_t i = 0; i < TEXTS; i++) {
        Dtf__V1__TaskParam p = fed("x");
        p.type = (char *)texts[i];
        assert_int_equal(try_create(&p, &id, &existed), NRPC_INVALID_ARGUMENT);
        assert_true(!strncmp(st.text, "type: ", 6));
    }
}

static void reasons(void **state)
{
    (void)state;
    char longest[REASON_MAX + 1];
    memset(longest, '\'', REASON_MAX);
    longest[REASON_MAX] = 0;
    for (size_t i = 0; i <= TEXTS; i++) {
        const char *text = i < TEXTS ? texts[i] : longest, *expected = *text ? text : "cancelled by request";
        Dtf__V1__TaskParam p = fed("reason");
        uint64_t id = create(&p);
        cancel(id, text);
        Dtf__V1__GetResponse *r = get(id);
        assert_string_equal(r->task->message, expected);
        dtf__v1__get_response__free_unpacked(r, NULL);
        Dtf__V1__EventsRequest q = DTF__V1__EVENTS_REQUEST__INIT;
        Dtf__V1__EventsResponse *events;
        q.task_id = id;
        MUST(dtf_v1_task_service_events(ch, &soon, &q, &events, &st));
        assert_int_equal(events->n_events, 2);
        assert_string_equal(events->events[1]->message, expected);
        dtf__v1__events_response__free_unpacked(events, NULL);
    }
}

struct wanted {
    const char *name;
    uint32_t quota;
    unsigned found;
};

static int take(void *user, const Dtf__V1__ArchiveItem *item, struct nrpc_status *status)
{
    struct wanted *w = user;
    (void)status;
    if (item->item_case == DTF__V1__ARCHIVE_ITEM__ITEM_GROUP && !strcmp(item->group->name, w->name))
        w->found += item->group->quota == w->quota;
    return NRPC_OK;
}

static void groups(void **state)
{
    (void)state;
    for (size_t i = 1; i < TEXTS; i++) {
        struct wanted w = {texts[i], 100 + (uint32_t)i, 0};
        MUST(dtf_group_set(client, texts[i], 1, &st));
        MUST(dtf_group_set(client, texts[i], w.quota, &st));
        MUST(client_export(client, false, take, &w, &st));
        assert_int_equal(w.found, 1);
    }
}

static uint64_t register_node(const char *name, const char *host, const char *type)
{
    Dtf__V1__RegisterRequest q = DTF__V1__REGISTER_REQUEST__INIT;
    Dtf__V1__RegisterResponse *r;
    char *types[] = {(char *)type};
    q.name = (char *)name;
    q.host = (char *)host;
    q.types = types;
    q.n_types = 1;
    q.slots = 1;
    if (dtf_v1_node_service_register_(ch, &soon, &q, &r, &st))
        return 0;
    uint64_t id = r->node_id;
    dtf__v1__register_response__free_unpacked(r, NULL);
    return id;
}

static void leave(uint64_t node)
{
    Dtf__V1__LeaveRequest q = DTF__V1__LEAVE_REQUEST__INIT;
    q.node_id = node;
    MUST(dtf_v1_node_service_leave(ch, &soon, &q, NULL, &st));
}

static void nodes(void **state)
{
    (void)state;
    for (size_t i = 0; i < TEXTS; i++) {
        bool is_type = *texts[i] && !strchr(texts[i], '\n');
        uint64_t id = register_node(texts[i], texts[i], texts[i]);
        assert_true(is_type == (id != 0));
        if (!is_type)
            assert_true(!strncmp(st.text, "types", 5));
        const char *type = is_type ? texts[i] : "t";
        id = id ? id : register_node(texts[i], texts[i], type);
        assert_true(id != 0);
        Dtf__V1__NodesRequest q = DTF__V1__NODES_REQUEST__INIT;
        Dtf__V1__NodesResponse *r;
        MUST(dtf_v1_admin_service_nodes(ch, &soon, &q, &r, &st));
        assert_int_equal(r->n_nodes, 1);
        assert_string_equal(r->nodes[0]->name, texts[i]);
        assert_string_equal(r->nodes[0]->host, texts[i]);
        assert_int_equal(r->nodes[0]->n_types, 1);
        assert_string_equal(r->nodes[0]->types[0], type);
        dtf__v1__nodes_response__free_unpacked(r, NULL);
        leave(id);
    }
}

// ---- results: this test plays the node

static uint32_t take_work(uint64_t node, uint64_t task)
{
    Dtf__V1__ExchangeRequest q = DTF__V1__EXCHANGE_REQUEST__INIT;
    uint32_t attempt = 0;
    q.node_id = node;
    q.want = 1;
    q.wait_ms = 1000;
    for (int64_t until_ms = cluster_now_ms() + PATIENCE_MS; !attempt && cluster_now_ms() < until_ms;) {
        Dtf__V1__ExchangeResponse *r;
        MUST(dtf_v1_node_service_exchange(ch, &soon, &q, &r, &st));
        if (r->n_tasks) {
            assert_int_equal(r->tasks[0]->task_id, task);
            attempt = r->tasks[0]->work[0]->attempt;
        }
        dtf__v1__exchange_response__free_unpacked(r, NULL);
    }
    return attempt;
}

static int hand_in(uint64_t node, uint64_t task, uint32_t attempt, const char *message)
{
    Dtf__V1__ExchangeRequest q = DTF__V1__EXCHANGE_REQUEST__INIT;
    Dtf__V1__Result result = DTF__V1__RESULT__INIT, *results[] = {&result};
    Dtf__V1__TaskResults t = DTF__V1__TASK_RESULTS__INIT, *all[] = {&t};
    result.subtask_id = 1;
    result.attempt = attempt;
    result.kind = DTF__V1__RESULT_KIND__RESULT_FAILURE;
    result.message = (char *)message;
    result.body = (ProtobufCBinaryData){strlen(message), (uint8_t *)message};
    t.task_id = task;
    t.results = results;
    t.n_results = 1;
    q.node_id = node;
    q.results = all;
    q.n_results = 1;
    return dtf_v1_node_service_exchange(ch, &soon, &q, NULL, &st);
}

static void assert_result(uint64_t task, bool failed_only, const char *param, const char *message,
                          const char *body)
{
    Dtf__V1__ResultsRequest q = DTF__V1__RESULTS_REQUEST__INIT;
    Dtf__V1__ResultsResponse *r;
    q.task_id = task;
    q.failed_only = failed_only;
    q.wait_ms = 10000;
    MUST(dtf_v1_task_service_results(ch, &soon, &q, &r, &st));
    assert_int_equal(r->n_results, 1);
    assert_string_equal(r->results[0]->message, message);
    assert_int_equal(r->results[0]->body.len, strlen(body));
    assert_memory_equal(r->results[0]->body.data, body, strlen(body));
    if (failed_only) {
        assert_int_equal(r->params[0].len, strlen(param));
        assert_memory_equal(r->params[0].data, param, strlen(param));
    }
    dtf__v1__results_response__free_unpacked(r, NULL);
}

// A subtask with this parameter fails with this message; read from the state, then from the records.
static void fail_with(uint64_t node, const char *text)
{
    char expected[MESSAGE_MAX + 1];
    Dtf__V1__TaskParam p = fed("result");
    uint64_t id = create(&p);
    feed(id, text, strlen(text), false);
    uint32_t attempt = take_work(node, id);
    assert_true(attempt != 0);
    snprintf(expected, sizeof expected, "%s", text);
    utf8_repair(expected);
    MUST(hand_in(node, id, attempt, text));
    assert_result(id, false, text, expected, text);
    assert_result(id, true, text, expected, text);
    cancel(id, "enough");
    assert_result(id, true, text, expected, text);
}

static void results(void **state)
{
    (void)state;
    char longest[MESSAGE_MAX + 2];
    memset(longest, '\\', sizeof longest);
    longest[MESSAGE_MAX] = 0;
    MUST(dtf_task_pause(client, bystander, &st)); // its subtask is not for us
    uint64_t node = register_node("n", "h", "command");
    for (size_t i = 0; i < TEXTS; i++)
        fail_with(node, texts[i]);
    fail_with(node, longest);
    fail_with(node, "not UTF-8: \xff, \xc0\xaf, cut: \xf0\x9f\xa6"); // kept all the same
    longest[MESSAGE_MAX] = '\\';
    longest[MESSAGE_MAX + 1] = 0;
    assert_int_equal(hand_in(node, bystander, 1, longest), NRPC_INVALID_ARGUMENT);
    assert_non_null(strstr(st.text, "message"));
    leave(node);
    MUST(dtf_task_resume(client, bystander, &st));
}

static void what_is_too_long_is_refused(void **state)
{
    (void)state;
    char text[REASON_MAX + 2];
    uint64_t id;
    bool existed;
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = 0;
    static const size_t fields[] = {
        offsetof(Dtf__V1__TaskParam, name),           offsetof(Dtf__V1__TaskParam, description),
        offsetof(Dtf__V1__TaskParam, creator),        offsetof(Dtf__V1__TaskParam, type),
        offsetof(Dtf__V1__TaskParam, resource_group), offsetof(Dtf__V1__TaskParam, idempotency_key)};
    static const char *const names[] = {"name", "description",    "creator",
                                        "type", "resource_group", "idempotency_key"};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        Dtf__V1__TaskParam p = fed("x");
        *(char **)((char *)&p + fields[i]) = text;
        assert_int_equal(try_create(&p, &id, &existed), NRPC_INVALID_ARGUMENT);
        assert_true(!strncmp(st.text, names[i], strlen(names[i])));
    }
    assert_int_equal(register_node(text, "h", "t"), 0);
    assert_true(!strncmp(st.text, "name", 4));
    assert_int_equal(register_node("n", text, "t"), 0);
    assert_true(!strncmp(st.text, "host", 4));
    assert_int_equal(dtf_group_set(client, text, 1, &st), NRPC_INVALID_ARGUMENT);
    assert_int_equal(dtf_task_cancel(client, bystander, text, &st), NRPC_INVALID_ARGUMENT);
    assert_true(!strncmp(st.text, "reason", 6));
}

static int setup(void **state)
{
    (void)state;
    while (strlen(maximal) + 4 <= KEY_MAX)
        strcat(maximal, "\xf0\x9f\xa6\x8a");
    redis = server_redis(NULL);
    mariadb = server_mariadb(NULL);
    const char *args[] = {"--role",   "coordinator",       "--redis", server_url(redis),
                          "--mysql",  server_url(mariadb), "--log",   "error",
                          "--listen", "tcp://127.0.0.1:0", NULL};
    assert_true(daemon_start(&coordinator, "dtfd", args));
    MUST(nrpc_channel_open(coordinator.url, NULL, &ch, &st));
    MUST(dtf_client_open(coordinator.url, &client, &st));
    Dtf__V1__TaskParam p = fed("bystander");
    p.description = "description";
    p.creator = "creator";
    p.resource_group = "group";
    bystander = create(&p);
    feed(bystander, "param", 5, false);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    dtf_client_close(client);
    nrpc_channel_close(ch);
    daemon_kill(&coordinator, SIGKILL);
    server_destroy(redis);
    server_destroy(mariadb);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, remember, compare)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(texts_of_tasks), TEST(types_that_are_none),         TEST(reasons), TEST(groups), TEST(nodes),
        TEST(results),        TEST(what_is_too_long_is_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
