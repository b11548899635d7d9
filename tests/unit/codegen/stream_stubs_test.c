// SPDX-License-Identifier: Apache-2.0
// stream_stubs_test.c: the generated code of methods that stream, and methods' options, over a fake nrpc.
#include "fake_nrpc.h"
#include "rich/v1/rich.nrpc.h"
#include "stream.nrpc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

// Opaque things that are only passed through.
static char places[4];
#define CHANNEL ((struct nrpc_channel *)(void *)&places[0])
#define STREAM ((struct nrpc_stream *)(void *)&places[1])
#define CALL ((struct nrpc_call *)(void *)&places[2])
#define USER ((void *)&places[3])

static Stream__Number number;

static int reset(void **state)
{
    (void)state;
    fake = (struct fake_nrpc){0};
    stream__number__init(&number);
    return 0;
}

static const struct nrpc_method *method(enum stream_numbers_method index)
{
    return &stream_numbers.methods[index];
}

// ---------------------------------------------------------------- descriptions

static void test_kinds(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        bool client_streams, server_streams;
    } expected[] = {
        [STREAM_NUMBERS_DOUBLE] = {"/stream.Numbers/Double", false, false},
        [STREAM_NUMBERS_COUNT] = {"/stream.Numbers/Count", false, true},
        [STREAM_NUMBERS_SUM] = {"/stream.Numbers/Sum", true, false},
        [STREAM_NUMBERS_RUNNING_SUM] = {"/stream.Numbers/RunningSum", true, true},
    };
    assert_int_equal(stream_numbers.method_count, sizeof expected / sizeof expected[0]);
    for (size_t i = 0; i < stream_numbers.method_count; i++) {
        const struct nrpc_method *m = &stream_numbers.methods[i];
        assert_string_equal(m->name, expected[i].name);
        assert_int_equal(m->client_streams, expected[i].client_streams);
        assert_int_equal(m->server_streams, expected[i].server_streams);
        assert_false(m->idempotent);
        assert_null(m->roles);
        assert_ptr_equal(m->request, &stream__number__descriptor);
        assert_ptr_equal(m->response, &stream__number__descriptor);
    }
}

static void check_roles(const struct nrpc_method *m, const char *const *expected)
{
    size_t i = 0;
    assert_non_null(m->roles);
    for (; expected[i]; i++)
        assert_string_equal(m->roles[i], expected[i]);
    assert_null(m->roles[i]);
}

static void test_options(void **state)
{
    (void)state;
    const struct nrpc_method *methods = rich_v1_rich_service.methods;
    assert_true(methods[RICH_V1_RICH_SERVICE_ECHO].idempotent);
    assert_true(methods[RICH_V1_RICH_SERVICE_LOOK].idempotent);
    assert_false(methods[RICH_V1_RICH_SERVICE_DELETE].idempotent);
    check_roles(&methods[RICH_V1_RICH_SERVICE_ECHO], (const char *[]){"reader", "writer", NULL});
    check_roles(&methods[RICH_V1_RICH_SERVICE_LOOK], (const char *[]){"admin@example.org", NULL});
    check_roles(&methods[RICH_V1_RICH_SERVICE_DELETE], (const char *[]){"reader", "writer", NULL});
}

// ---------------------------------------------------------------- server

static struct {
    struct nrpc_call *call;
    const void *request;
    void *user;
} handled;

static void handle_count(struct nrpc_call *call, const Stream__Number *request, void *user)
{
    handled.call = call;
    handled.request = request;
    handled.user = user;
}

static void handle_sum(struct nrpc_call *call, void *user)
{
    handle_count(call, NULL, user);
}

static void test_invoke_calls_the_handler(void **state)
{
    (void)state;
    const struct stream_numbers_handlers handlers = {.count = handle_count, .running_sum = handle_sum};
    method(STREAM_NUMBERS_COUNT)->invoke(&handlers, CALL, &number.base, USER);
    assert_ptr_equal(handled.call, CALL);
    assert_ptr_equal(handled.request, &number);
    assert_ptr_equal(handled.user, USER);
    handled.call = NULL;
    method(STREAM_NUMBERS_RUNNING_SUM)->invoke(&handlers, CALL, NULL, USER);
    assert_ptr_equal(handled.call, CALL);
    assert_null(handled.request);
}

static void test_a_missing_handler_is_seen(void **state)
{
    (void)state;
    const struct stream_numbers_handlers handlers = {.count = handle_count, .running_sum = handle_sum};
    assert_false(method(STREAM_NUMBERS_DOUBLE)->is_handled(&handlers));
    assert_true(method(STREAM_NUMBERS_COUNT)->is_handled(&handlers));
    assert_false(method(STREAM_NUMBERS_SUM)->is_handled(&handlers));
    assert_true(method(STREAM_NUMBERS_RUNNING_SUM)->is_handled(&handlers));
}

static void test_send(void **state)
{
    (void)state;
    fake.code = NRPC_CANCELLED;
    assert_int_equal(stream_numbers_count_send(CALL, &number), NRPC_CANCELLED);
    assert_int_equal(fake.calls, 1);
    assert_ptr_equal(fake.call, CALL);
    assert_ptr_equal(fake.sent, &number);
    assert_int_equal(stream_numbers_running_sum_send(CALL, &number), NRPC_CANCELLED);
}

static void test_receive(void **state)
{
    (void)state;
    const Stream__Number *message = NULL;
    fake.received = &number.base;
    assert_int_equal(stream_numbers_sum_receive(CALL, &message), NRPC_OK);
    assert_int_equal(fake.calls, 1);
    assert_ptr_equal(fake.call, CALL);
    assert_ptr_equal(message, &number);
    fake.code = NRPC_WOULD_BLOCK;
    assert_int_equal(stream_numbers_running_sum_receive(CALL, &message), NRPC_WOULD_BLOCK);
    assert_null(message);
}

static void test_reply_of_a_client_stream(void **state)
{
    (void)state;
    stream_numbers_sum_reply(CALL, &number);
    assert_ptr_equal(fake.call, CALL);
    assert_ptr_equal(fake.reply, &number);
}

// ---------------------------------------------------------------- client

static void test_open_a_server_stream(void **state)
{
    (void)state;
    struct nrpc_call_options options = {.timeout_ms = 5};
    struct nrpc_stream *stream = NULL;
    struct nrpc_status st;
    fake.stream = STREAM;
    assert_int_equal(stream_numbers_count(CHANNEL, &options, &number, &stream, &st), NRPC_OK);
    assert_int_equal(fake.calls, 1);
    assert_ptr_equal(stream, STREAM);
    assert_ptr_equal(fake.channel, CHANNEL);
    assert_ptr_equal(fake.method, method(STREAM_NUMBERS_COUNT));
    assert_ptr_equal(fake.options, &options);
    assert_ptr_equal(fake.request, &number);
    assert_ptr_equal(fake.st, &st);
}

static void test_open_a_client_stream(void **state)
{
    (void)state;
    struct nrpc_stream *stream = STREAM;
    fake.code = NRPC_UNAVAILABLE;
    assert_int_equal(stream_numbers_sum(CHANNEL, NULL, &stream, NULL), NRPC_UNAVAILABLE);
    assert_null(stream);
    assert_null(fake.request);
    assert_ptr_equal(fake.method, method(STREAM_NUMBERS_SUM));
    assert_int_equal(stream_numbers_running_sum(CHANNEL, NULL, &stream, NULL), NRPC_UNAVAILABLE);
    assert_ptr_equal(fake.method, method(STREAM_NUMBERS_RUNNING_SUM));
}

static void test_write(void **state)
{
    (void)state;
    fake.code = NRPC_RESOURCE_EXHAUSTED;
    assert_int_equal(stream_numbers_sum_write(STREAM, &number), NRPC_RESOURCE_EXHAUSTED);
    assert_ptr_equal(fake.stream, STREAM);
    assert_ptr_equal(fake.sent, &number);
    assert_int_equal(stream_numbers_running_sum_write(STREAM, &number), NRPC_RESOURCE_EXHAUSTED);
}

static void test_read(void **state)
{
    (void)state;
    const Stream__Number *message = NULL;
    struct nrpc_status st;
    fake.received = &number.base;
    assert_int_equal(stream_numbers_count_read(STREAM, &message, &st), NRPC_OK);
    assert_ptr_equal(message, &number);
    assert_ptr_equal(fake.stream, STREAM);
    assert_ptr_equal(fake.st, &st);
    fake.code = NRPC_ABORTED;
    assert_int_equal(stream_numbers_sum_read(STREAM, &message, NULL), NRPC_ABORTED);
    assert_null(message);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_kinds, reset),
        cmocka_unit_test_setup(test_options, reset),
        cmocka_unit_test_setup(test_invoke_calls_the_handler, reset),
        cmocka_unit_test_setup(test_a_missing_handler_is_seen, reset),
        cmocka_unit_test_setup(test_send, reset),
        cmocka_unit_test_setup(test_receive, reset),
        cmocka_unit_test_setup(test_reply_of_a_client_stream, reset),
        cmocka_unit_test_setup(test_open_a_server_stream, reset),
        cmocka_unit_test_setup(test_open_a_client_stream, reset),
        cmocka_unit_test_setup(test_write, reset),
        cmocka_unit_test_setup(test_read, reset),
    };
    return cmocka_run_group_tests_name("codegen stream stubs", tests, NULL, NULL);
}
