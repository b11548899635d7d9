// SPDX-License-Identifier: Apache-2.0
// streams_test.c: typed streams of all three kinds from client to handler and back, in the process and over
// tcp.
#include "stream.nrpc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { TIMEOUT_MS = 30000, MANY = 1000 };

static struct nrpc_server *server;
static struct nrpc_channel *channel;
static const struct nrpc_call_options options = {.timeout_ms = TIMEOUT_MS};

static Stream__Number number_of(int32_t value)
{
    Stream__Number number = STREAM__NUMBER__INIT;
    number.value = value;
    return number;
}

// ---------------------------------------------------------------- the server

static void handle_double(struct nrpc_call *call, const Stream__Number *request, void *user)
{
    (void)user;
    Stream__Number answer = number_of(2 * request->value);
    stream_numbers_double_reply(call, &answer);
}

static void handle_count(struct nrpc_call *call, const Stream__Number *request, void *user)
{
    (void)user;
    if (request->value < 0) {
        nrpc_reply_error(call, NRPC_OUT_OF_RANGE, "%d is negative", request->value);
        return;
    }
    int32_t end = request->value;
    for (int32_t i = 1; i <= end; i++) {
        Stream__Number next = number_of(i);
        if (stream_numbers_count_send(call, &next) != NRPC_OK)
            break;
    }
    nrpc_finish(call);
}

static void handle_sum(struct nrpc_call *call, void *user)
{
    (void)user;
    const Stream__Number *number;
    Stream__Number sum = number_of(0);
    int code;
    while ((code = stream_numbers_sum_receive(call, &number)) == NRPC_OK && number)
        sum.value += number->value;
    if (code == NRPC_OK)
        stream_numbers_sum_reply(call, &sum);
    else
        nrpc_reply_error(call, code, "the numbers broke off");
}

static void handle_running_sum(struct nrpc_call *call, void *user)
{
    (void)user;
    const Stream__Number *number;
    Stream__Number sum = number_of(0);
    while (stream_numbers_running_sum_receive(call, &number) == NRPC_OK && number) {
        sum.value += number->value;
        if (stream_numbers_running_sum_send(call, &sum) != NRPC_OK)
            break;
    }
    nrpc_finish(call);
}

static const struct stream_numbers_handlers handlers = {
    .double_ = handle_double,
    .count = handle_count,
    .sum = handle_sum,
    .running_sum = handle_running_sum,
};

static int start(void)
{
    struct nrpc_status st;
    server = nrpc_server_create(NULL);
    return stream_numbers_register(server, NRPC_POOLED, &handlers, NULL, &st);
}

static int start_local(void **state)
{
    (void)state;
    int code = start();
    channel = nrpc_channel_local(server);
    return code;
}

static int start_tcp(void **state)
{
    (void)state;
    struct nrpc_status st;
    if (start() != NRPC_OK || nrpc_server_listen(server, "tcp://127.0.0.1:0", &st) != NRPC_OK)
        return -1;
    return nrpc_channel_open(nrpc_server_url(server, 0), NULL, &channel, &st);
}

static int stop(void **state)
{
    (void)state;
    nrpc_channel_close(channel);
    nrpc_server_destroy(server);
    return 0;
}

// ---------------------------------------------------------------- the client

static void test_unary(void **state)
{
    (void)state;
    struct nrpc_status st;
    Stream__Number request = number_of(21), *response;
    assert_int_equal(stream_numbers_double_(channel, &options, &request, &response, &st), NRPC_OK);
    assert_int_equal(response->value, 42);
    stream__number__free_unpacked(response, NULL);
}

static void test_server_stream(void **state)
{
    (void)state;
    struct nrpc_stream *stream;
    struct nrpc_status st;
    Stream__Number request = number_of(MANY);
    const Stream__Number *number;
    assert_int_equal(stream_numbers_count(channel, &options, &request, &stream, &st), NRPC_OK);
    for (int32_t i = 1; i <= MANY; i++) {
        assert_int_equal(stream_numbers_count_read(stream, &number, &st), NRPC_OK);
        assert_non_null(number);
        assert_int_equal(number->value, i);
    }
    assert_int_equal(stream_numbers_count_read(stream, &number, &st), NRPC_OK);
    assert_null(number);
    nrpc_stream_close(stream);
}

static void test_server_stream_that_fails(void **state)
{
    (void)state;
    struct nrpc_stream *stream;
    struct nrpc_status st;
    Stream__Number request = number_of(-1);
    const Stream__Number *number;
    assert_int_equal(stream_numbers_count(channel, &options, &request, &stream, &st), NRPC_OK);
    assert_int_equal(stream_numbers_count_read(stream, &number, &st), NRPC_OUT_OF_RANGE);
    assert_string_equal(st.text, "-1 is negative");
    assert_null(number);
    nrpc_stream_close(stream);
}

static void test_client_stream(void **state)
{
    (void)state;
    struct nrpc_stream *stream;
    struct nrpc_status st;
    const Stream__Number *number;
    assert_int_equal(stream_numbers_sum(channel, &options, &stream, &st), NRPC_OK);
    for (int32_t i = 1; i <= MANY; i++) {
        Stream__Number next = number_of(i);
        assert_int_equal(stream_numbers_sum_write(stream, &next), NRPC_OK);
    }
    nrpc_stream_close_send(stream);
    assert_int_equal(stream_numbers_sum_read(stream, &number, &st), NRPC_OK);
    assert_non_null(number);
    assert_int_equal(number->value, MANY * (MANY + 1) / 2);
    assert_int_equal(stream_numbers_sum_read(stream, &number, &st), NRPC_OK);
    assert_null(number);
    nrpc_stream_close(stream);
}

static void test_bidirectional_stream(void **state)
{
    (void)state;
    struct nrpc_stream *stream;
    struct nrpc_status st;
    const Stream__Number *number;
    assert_int_equal(stream_numbers_running_sum(channel, &options, &stream, &st), NRPC_OK);
    for (int32_t i = 1; i <= MANY; i++) {
        Stream__Number next = number_of(i);
        assert_int_equal(stream_numbers_running_sum_write(stream, &next), NRPC_OK);
        assert_int_equal(stream_numbers_running_sum_read(stream, &number, &st), NRPC_OK);
        assert_non_null(number);
        assert_int_equal(number->value, i * (i + 1) / 2);
    }
    nrpc_stream_close_send(stream);
    assert_int_equal(stream_numbers_running_sum_read(stream, &number, &st), NRPC_OK);
    assert_null(number);
    nrpc_stream_close(stream);
}

static void test_a_service_with_a_handler_missing_is_refused(void **state)
{
    (void)state;
    static const struct stream_numbers_handlers incomplete = {
        .double_ = handle_double,
        .count = handle_count,
        .sum = handle_sum,
    };
    struct nrpc_status st;
    struct nrpc_server *other = nrpc_server_create(NULL);
    assert_int_equal(stream_numbers_register(other, NRPC_POOLED, &incomplete, NULL, &st),
                     NRPC_FAILED_PRECONDITION);
    assert_non_null(strstr(st.text, "/stream.Numbers/RunningSum"));
    nrpc_server_destroy(other);
}

#define BOTH(test)                                                                                           \
    {#test " local", test, start_local, stop, NULL},                                                         \
    {                                                                                                        \
#test " tcp", test, start_tcp, stop, NULL                                                            \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(test_unary),
        BOTH(test_server_stream),
        BOTH(test_server_stream_that_fails),
        BOTH(test_client_stream),
        BOTH(test_bidirectional_stream),
        cmocka_unit_test(test_a_service_with_a_handler_missing_is_refused),
    };
    return cmocka_run_group_tests_name("codegen streams", tests, NULL, NULL);
}
