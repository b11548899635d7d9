// SPDX-License-Identifier: Apache-2.0
// features_limits_test.c: requests that are well-formed and wrong: each is refused with the field's name, at
// any distance from the limit; results of strangers change nothing.
#include "system/cluster.h"

#include "dtf/v1/admin.nrpc.h"
#include "dtf/v1/node.nrpc.h"
#include "dtf/v1/task_service.nrpc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct cluster c;
static struct nrpc_channel *ch;
static struct nrpc_status st;
static char long_text[300];
static const struct nrpc_call_options soon = {.timeout_ms = 20000};

static int setup(void **state)
{
    (void)state;
    memset(long_text, 'x', sizeof long_text - 1);
    cluster_start(&c);
    return nrpc_channel_open(c.listen, NULL, &ch, &st);
}

static int teardown(void **state)
{
    (void)state;
    nrpc_channel_close(ch);
    cluster_stop(&c);
    return 0;
}

static void refused(int code, const char *field)
{
    if (code != NRPC_INVALID_ARGUMENT || !strstr(st.text, field))
        fail_msg("%s: answered %s \"%s\"", field, nrpc_code_name(code), code ? st.text : "");
}

// ---- tasks

static Dtf__V1__TaskParam good_param(void)
{
    Dtf__V1__TaskParam p = DTF__V1__TASK_PARAM__INIT;
    p.type = "command";
    p.fed = true;
    return p;
}

static int create(const Dtf__V1__TaskParam *p)
{
    Dtf__V1__CreateRequest r = DTF__V1__CREATE_REQUEST__INIT;
    r.param = (Dtf__V1__TaskParam *)p;
    return dtf_v1_task_service_create(ch, &soon, &r, NULL, &st);
}

#define REFUSED_PARAM(field, bad)                                                                            \
    do {                                                                                                     \
        Dtf__V1__TaskParam p_ = good_param();                                                                \
        p_.field = (bad);                                                                                    \
        refused(create(&p_), #field);                                                                        \
    } while (0)
#define TAKEN_PARAM(field, good)                                                                             \
    do {                                                                                                     \
        Dtf__V1__TaskParam p_ = good_param();                                                                \
        p_.field = (good);                                                                                   \
        assert_int_equal(create(&p_), NRPC_OK);                                                              \
    } while (0)

static void test_param_numbers(void **state)
{
    (void)state;
    REFUSED_PARAM(priority, 9001);
    REFUSED_PARAM(priority, UINT32_MAX);
    REFUSED_PARAM(timeout_ms, 30ull * 86400 * 1000 + 1);
    REFUSED_PARAM(timeout_ms, INT64_MAX);
    REFUSED_PARAM(timeout_ms, UINT64_MAX);
    REFUSED_PARAM(max_retries, 1001);
    REFUSED_PARAM(max_retries, UINT32_MAX);
    REFUSED_PARAM(retry_backoff_ms, 3600001);
    REFUSED_PARAM(retry_backoff_ms, UINT32_MAX);
    REFUSED_PARAM(tolerated_failures, -2);
    REFUSED_PARAM(tolerated_failures, INT64_MIN);
    TAKEN_PARAM(priority, 9000);
    TAKEN_PARAM(timeout_ms, 30ull * 86400 * 1000);
    TAKEN_PARAM(max_retries, 1000);
    TAKEN_PARAM(retry_backoff_ms, 3600000);
    TAKEN_PARAM(tolerated_failures, -1);
    TAKEN_PARAM(tolerated_failures, INT64_MAX);
    TAKEN_PARAM(max_running, UINT32_MAX);
    TAKEN_PARAM(creator_uid, UINT64_MAX);
}

static void test_param_texts(void **state)
{
    (void)state;
    static const char *const bad[] = {"\xff", "caf\xe9", "\xed\xa0\x80", "\xc0\xaf", "cut \xe2\x82"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        REFUSED_PARAM(name, (char *)bad[i]);
        REFUSED_PARAM(creator, (char *)bad[i]);
        REFUSED_PARAM(resource_group, (char *)bad[i]);
        REFUSED_PARAM(description, (char *)bad[i]);
        REFUSED_PARAM(type, (char *)bad[i]);
        REFUSED_PARAM(idempotency_key, (char *)bad[i]);
    }
    long_text[256] = 0;
    REFUSED_PARAM(description, long_text);
    long_text[255] = 0;
    TAKEN_PARAM(description, long_text);
    long_text[101] = 0;
    REFUSED_PARAM(name, long_text);
    REFUSED_PARAM(creator, long_text);
    REFUSED_PARAM(resource_group, long_text);
    REFUSED_PARAM(type, long_text);
    REFUSED_PARAM(idempotency_key, long_text);
    long_text[100] = 0;
    TAKEN_PARAM(name, long_text);
    TAKEN_PARAM(resource_group, long_text);
    TAKEN_PARAM(idempotency_key, long_text);
    REFUSED_PARAM(type, "");
    REFUSED_PARAM(type, "no such type");
    Dtf__V1__CreateRequest nothing = DTF__V1__CREATE_REQUEST__INIT;
    refused(dtf_v1_task_service_create(ch, &soon, &nothing, NULL, &st), "param");
}

static void test_param_size(void **state)
{
    (void)state;
    ProtobufCBinaryData b = {DTF_TYPE_PARAM_MAX, calloc(1, DTF_TYPE_PARAM_MAX + 1)};
    TAKEN_PARAM(type_param, b);
    b.len++;
    REFUSED_PARAM(type_param, b);
    free(b.data);
}

static uint64_t fed_task(void)
{
    Dtf__V1__TaskParam p = good_param();
    Dtf__V1__CreateRequest r = DTF__V1__CREATE_REQUEST__INIT;
    Dtf__V1__CreateResponse *response;
    r.param = &p;
    assert_int_equal(dtf_v1_task_service_create(ch, &soon, &r, &response, &st), NRPC_OK);
    uint64_t id = response->task_id;
    dtf__v1__create_response__free_unpacked(response, NULL);
    return id;
}

static int feed(uint64_t task, uint64_t at, uint32_t timeout_ms, size_t param_bytes, size_t count)
{
    Dtf__V1__FeedRequest r = DTF__V1__FEED_REQUEST__INIT;
    Dtf__V1__SubtaskSpec s = DTF__V1__SUBTASK_SPEC__INIT;
    s.timeout_ms = timeout_ms;
    s.param = (ProtobufCBinaryData){param_bytes, calloc(1, param_bytes + 1)};
    Dtf__V1__SubtaskSpec **specs = calloc(count, sizeof *specs);
    for (size_t i = 0; i < count; i++)
        specs[i] = &s;
    r.task_id = task;
    r.at = at;
    r.subtasks = specs;
    r.n_subtasks = count;
    int code = dtf_v1_task_service_feed(ch, &soon, &r, NULL, &st);
    free(specs);
    free(s.param.data);
    return code;
}

static void test_feed(void **state)
{
    (void)state;
    uint64_t task = fed_task();
    refused(feed(task, 0, DTF_SUBTASK_TIMEOUT_MAX_MS + 1, 0, 1), "timeout_ms");
    refused(feed(task, 0, UINT32_MAX, 0, 1), "timeout_ms");
    refused(feed(task, 0, 0, DTF_SUBTASK_PARAM_MAX + 1, 1), "subtasks");
    refused(feed(task, 0, 0, 0, 10001), "subtasks");
    assert_int_equal(feed(task, 0, DTF_SUBTASK_TIMEOUT_MAX_MS, DTF_SUBTASK_PARAM_MAX, 1), NRPC_OK);
    assert_int_equal(feed(task, 1, 0, 0, 10000), NRPC_OK);
    assert_int_not_equal(feed(task, UINT64_MAX, 0, 0, 1), NRPC_OK); // there is a gap
    assert_int_equal(feed(UINT64_MAX, 0, 0, 0, 1), NRPC_NOT_FOUND);
    assert_int_equal(cluster_status(&c, task).generated, 10001);
}

// Page sizes and waits beyond their limits are cut, ids beyond all that there are found nowhere.
static void test_cut_numbers(void **state)
{
    (void)state;
    uint64_t task = fed_task();
    Dtf__V1__ListRequest list = DTF__V1__LIST_REQUEST__INIT;
    Dtf__V1__EventsRequest events = DTF__V1__EVENTS_REQUEST__INIT;
    Dtf__V1__ResultsRequest results = DTF__V1__RESULTS_REQUEST__INIT;
    Dtf__V1__GetRequest get = DTF__V1__GET_REQUEST__INIT;
    Dtf__V1__WaitRequest wait = DTF__V1__WAIT_REQUEST__INIT;
    list.limit = events.limit = results.limit = UINT32_MAX;
    list.before_id = UINT64_MAX;
    results.task_id = task;
    assert_int_equal(dtf_v1_task_service_list(ch, &soon, &list, NULL, &st), NRPC_OK);
    assert_int_equal(dtf_v1_task_service_events(ch, &soon, &events, NULL, &st), NRPC_OK);
    assert_int_equal(dtf_v1_task_service_results(ch, &soon, &results, NULL, &st), NRPC_OK);
    get.task_id = UINT64_MAX;
    assert_int_equal(dtf_v1_task_service_get(ch, &soon, &get, NULL, &st), NRPC_NOT_FOUND);
    struct nrpc_call_options short_one = {.timeout_ms = 300};
    wait.task_id = task;
    wait.wait_ms = UINT64_MAX;
    int code = dtf_v1_task_service_wait(ch, &short_one, &wait, NULL, &st);
    assert_true(code == NRPC_OK || code == NRPC_DEADLINE_EXCEEDED);
}

static void test_cancel_reason(void **state)
{
    (void)state;
    Dtf__V1__CancelRequest r = DTF__V1__CANCEL_REQUEST__INIT;
    r.task_id = fed_task();
    r.reason = "\xff";
    refused(dtf_v1_task_service_cancel(ch, &soon, &r, NULL, &st), "reason");
    memset(long_text, 'x', 256);
    long_text[256] = 0;
    r.reason = long_text;
    refused(dtf_v1_task_service_cancel(ch, &soon, &r, NULL, &st), "reason");
    long_text[255] = 0;
    assert_int_equal(dtf_v1_task_service_cancel(ch, &soon, &r, NULL, &st), NRPC_OK);
}

// ---- groups and nodes

static void test_groups(void **state)
{
    (void)state;
    assert_int_equal(dtf_group_set(c.client, "g", 1, &st), NRPC_OK);
    assert_int_equal(dtf_group_set(c.client, "g", 10000, &st), NRPC_OK);
    refused(dtf_group_set(c.client, "g", 0, &st), "quota");
    refused(dtf_group_set(c.client, "g", 10001, &st), "quota");
    refused(dtf_group_set(c.client, "g", UINT32_MAX, &st), "quota");
    refused(dtf_group_set(c.client, "", 100, &st), "name");
    refused(dtf_group_set(c.client, "\xff", 100, &st), "name");
}

static Dtf__V1__RegisterRequest good_node(void)
{
    static char *types[] = {"gate"};
    Dtf__V1__RegisterRequest r = DTF__V1__REGISTER_REQUEST__INIT;
    r.name = "tester";
    r.slots = 1;
    r.types = types;
    r.n_types = 1;
    return r;
}

static uint64_t register_node(void)
{
    Dtf__V1__RegisterRequest r = good_node();
    Dtf__V1__RegisterResponse *response;
    assert_int_equal(dtf_v1_node_service_register_(ch, &soon, &r, &response, &st), NRPC_OK);
    uint64_t id = response->node_id;
    dtf__v1__register_response__free_unpacked(response, NULL);
    return id;
}

#define REFUSED_NODE(field, bad)                                                                             \
    do {                                                                                                     \
        Dtf__V1__RegisterRequest r_ = good_node();                                                           \
        r_.field = (bad);                                                                                    \
        refused(dtf_v1_node_service_register_(ch, &soon, &r_, NULL, &st), #field);                           \
    } while (0)

static void test_register(void **state)
{
    (void)state;
    char *bad_types[] = {"\xff"}, *two_lines[] = {"a\nb"}, *empty[] = {""};
    REFUSED_NODE(slots, 0);
    REFUSED_NODE(slots, 4097);
    REFUSED_NODE(slots, UINT32_MAX);
    memset(long_text, 'x', 256);
    long_text[256] = 0;
    REFUSED_NODE(host, long_text);
    long_text[101] = 0;
    REFUSED_NODE(name, long_text);
    REFUSED_NODE(name, "\xff");
    REFUSED_NODE(host, "\xff");
    REFUSED_NODE(types, bad_types);
    REFUSED_NODE(types, two_lines);
    REFUSED_NODE(types, empty);
}

// ---- results

// One result of this node; returns the code, *stale how many of it changed nothing.
static int hand_in(uint64_t node, uint64_t task, const Dtf__V1__Result *result, uint32_t *stale)
{
    Dtf__V1__ExchangeRequest r = DTF__V1__EXCHANGE_REQUEST__INIT;
    Dtf__V1__ExchangeResponse *response = NULL;
    Dtf__V1__TaskResults t = DTF__V1__TASK_RESULTS__INIT, *all[] = {&t};
    Dtf__V1__Result *results[] = {(Dtf__V1__Result *)result};
    r.node_id = node;
    r.results = all;
    r.n_results = 1;
    t.task_id = task;
    t.results = results;
    t.n_results = 1;
    int code = dtf_v1_node_service_exchange(ch, &soon, &r, &response, &st);
    *stale = code ? 0 : response->stale;
    dtf__v1__exchange_response__free_unpacked(response, NULL);
    return code;
}

static Dtf__V1__Result success(uint64_t subtask, uint32_t attempt)
{
    Dtf__V1__Result m = DTF__V1__RESULT__INIT;
    m.subtask_id = subtask;
    m.attempt = attempt;
    m.kind = DTF__V1__RESULT_KIND__RESULT_SUCCESS;
    m.run_us = 5;
    return m;
}

// Takes the one subtask that is ready for this node; returns its attempt.
static uint32_t take_work(uint64_t node, uint64_t task)
{
    Dtf__V1__ExchangeRequest r = DTF__V1__EXCHANGE_REQUEST__INIT;
    Dtf__V1__ExchangeResponse *response;
    r.node_id = node;
    r.want = 1;
    r.wait_ms = 5000;
    assert_int_equal(dtf_v1_node_service_exchange(ch, &soon, &r, &response, &st), NRPC_OK);
    assert_int_equal(response->n_tasks, 1);
    assert_true(response->tasks[0]->task_id == task);
    assert_int_equal(response->tasks[0]->n_work, 1);
    uint32_t attempt = response->tasks[0]->work[0]->attempt;
    dtf__v1__exchange_response__free_unpacked(response, NULL);
    return attempt;
}

static void check_stale(uint64_t node, uint64_t task, uint64_t subtask, uint32_t attempt)
{
    Dtf__V1__Result m = success(subtask, attempt);
    uint32_t stale;
    assert_int_equal(hand_in(node, task, &m, &stale), NRPC_OK);
    if (stale != 1)
        fail_msg("attempt %u of subtask %llu was taken", attempt, (unsigned long long)subtask);
}

static void test_strange_results(void **state)
{
    (void)state;
    uint32_t stale;
    uint64_t task = cluster_create_gate(&c, "gate", &(struct gate_param){.count = 1}, NULL);
    uint64_t node = register_node(), other = register_node();
    uint32_t attempt = take_work(node, task);
    Dtf__V1__Result good = success(1, attempt);
    check_stale(node, task, 2, attempt);          // no such subtask
    check_stale(node, task, UINT64_MAX, attempt); // nor this
    check_stale(node, task + 1, 1, attempt);      // no such task
    check_stale(node, UINT64_MAX, 1, attempt);
    check_stale(node, task, 1, attempt + 1); // not that attempt
    check_stale(node, task, 1, 0);
    check_stale(node, task, 1, UINT32_MAX);
    check_stale(other, task, 1, attempt); // not its subtask
    assert_int_equal(hand_in(UINT64_MAX, task, &good, &stale), NRPC_NOT_FOUND);
    assert_int_equal(hand_in(0, task, &good, &stale), NRPC_NOT_FOUND);
    assert_int_equal(cluster_status(&c, task).succeeded, 0);
    assert_int_equal(hand_in(node, task, &good, &stale), NRPC_OK);
    assert_int_equal(stale, 0);
    check_stale(node, task, 1, attempt); // once only
    assert_int_equal(cluster_wait(&c, task).succeeded, 1);
    check_stale(node, task, 1, attempt); // nor after the end
}

static void test_bad_results(void **state)
{
    (void)state;
    uint32_t stale;
    uint64_t task = cluster_create_gate(&c, "gate", &(struct gate_param){.count = 3}, NULL);
    uint64_t node = register_node();
    static const int kinds[] = {0, 6, -1, INT32_MAX};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        Dtf__V1__Result m = success(1, 1);
        m.kind = (Dtf__V1__ResultKind)kinds[i];
        refused(hand_in(node, task, &m, &stale), "kind");
    }
    Dtf__V1__Result m = success(1, 1);
    m.body = (ProtobufCBinaryData){DTF_RESULT_BODY_MAX + 1, calloc(1, DTF_RESULT_BODY_MAX + 1)};
    refused(hand_in(node, task, &m, &stale), "body");
    free(m.body.data);
}

// A time that cannot be does not disturb the sharing of slots, nor anything else.
static void test_run_time(void **state)
{
    (void)state;
    static const uint64_t times_us[] = {UINT64_MAX, INT64_MAX, 1ull << 63, 1ull << 60};
    uint64_t task = cluster_create_gate(&c, "gate", &(struct gate_param){.count = 4}, NULL);
    uint64_t node = register_node();
    for (uint64_t i = 0; i < 4; i++) {
        uint32_t stale, attempt = take_work(node, task);
        Dtf__V1__Result m = success(i + 1, attempt);
        m.run_us = times_us[i];
        assert_int_equal(hand_in(node, task, &m, &stale), NRPC_OK);
        assert_int_equal(stale, 0);
    }
    assert_int_equal(cluster_wait(&c, task).succeeded, 4);
    task = cluster_create_gate(&c, "gate", &(struct gate_param){.count = 1}, NULL);
    assert_int_equal(take_work(node, task), 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(param_numbers), TEST(param_texts),     TEST(param_size),  TEST(feed),
        TEST(cut_numbers),   TEST(cancel_reason),   TEST(groups),      TEST(register),
        TEST(run_time),      TEST(strange_results), TEST(bad_results),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
