// SPDX-License-Identifier: Apache-2.0
// call_test.c: calls between a channel and a server over every transport: answers, errors, deadlines, limits,
// overload, loss of the connection, what strangers send.
#include "base/clock.h"
#include "echo.nrpc.h"

#include <arpa/inet.h>
#include <nng/nng.h>
#include <nng/protocol/reqrep0/req.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { PARKED_MAX = 256 };

struct fixture {
    struct nrpc_server *server;
    struct nrpc_channel *channel;
    pthread_mutex_t mu;
    struct nrpc_call *parked[PARKED_MAX];
    size_t parked_count;
    bool block; // Say blocks its worker until this is false again
};

// ---- the service

static void on_say(struct nrpc_call *call, const Echo__V1__SayRequest *q, void *user)
{
    struct fixture *f = user;
    for (bool wait = true; wait;) {
        pthread_mutex_lock(&f->mu);
        wait = f->block;
        pthread_mutex_unlock(&f->mu);
        if (wait)
            poll(NULL, 0, 1);
    }
    if (q->fail_with) {
        nrpc_reply_error(call, (int)q->fail_with, "as asked: %u", q->fail_with);
        return;
    }
    Echo__V1__SayResponse r = ECHO__V1__SAY_RESPONSE__INIT;
    const char *metadata = nrpc_call_metadata(call, "x-test");
    r.metadata = (char *)(metadata ? metadata : "");
    r.remaining_ms = nrpc_call_remaining_ms(call);
    r.data = q->data;
    uint8_t *made = calloc(1, (size_t)q->answer_bytes + 1);
    if (q->answer_bytes)
        r.data = (ProtobufCBinaryData){(size_t)q->answer_bytes, made};
    echo_v1_echo_say_reply(call, &r); // after this the request is gone
    free(made);
}

static void on_park(struct nrpc_call *call, const Echo__V1__SayRequest *q, void *user)
{
    (void)q;
    struct fixture *f = user;
    pthread_mutex_lock(&f->mu);
    assert_true(f->parked_count < PARKED_MAX);
    f->parked[f->parked_count++] = call;
    pthread_mutex_unlock(&f->mu);
}

static const struct echo_v1_echo_handlers handlers = {
    .say = on_say, .say_again = on_say, .admin = on_say, .park = on_park};

static size_t parked(struct fixture *f)
{
    pthread_mutex_lock(&f->mu);
    size_t n = f->parked_count;
    pthread_mutex_unlock(&f->mu);
    return n;
}

static void unpark_all(struct fixture *f)
{
    pthread_mutex_lock(&f->mu);
    for (size_t i = 0; i < f->parked_count; i++) {
        Echo__V1__SayResponse r = ECHO__V1__SAY_RESPONSE__INIT;
        echo_v1_echo_park_reply(f->parked[i], &r);
    }
    f->parked_count = 0;
    pthread_mutex_unlock(&f->mu);
}

static void set_block(struct fixture *f, bool block)
{
    pthread_mutex_lock(&f->mu);
    f->block = block;
    pthread_mutex_unlock(&f->mu);
}

// ---- fixture

#define WAIT_FOR(condition)                                                                                  \
    do {                                                                                                     \
        int64_t until_ms = clock_now_ms() + 10000;                                                           \
        while (!(condition) && clock_now_ms() < until_ms)                                                    \
            poll(NULL, 0, 1);                                                                                \
        assert_true(condition);                                                                              \
    } while (0)

static void open_server(struct fixture *f, const char *url, const struct nrpc_server_options *o,
                        enum nrpc_dispatch dispatch)
{
    struct nrpc_status st;
    f->server = nrpc_server_create(o);
    assert_int_equal(echo_v1_echo_register(f->server, dispatch, &handlers, f, &st), NRPC_OK);
    if (url)
        assert_int_equal(nrpc_server_listen(f->server, url, &st), NRPC_OK);
}

static void open_both(struct fixture *f, const char *url, const struct nrpc_server_options *so,
                      const struct nrpc_channel_options *co)
{
    struct nrpc_status st;
    *f = (struct fixture){0};
    pthread_mutex_init(&f->mu, NULL);
    open_server(f, url, so, NRPC_POOLED);
    if (url)
        assert_int_equal(nrpc_channel_open(nrpc_server_url(f->server, 0), co, &f->channel, &st), NRPC_OK);
    else
        f->channel = nrpc_channel_local(f->server);
}

static void close_both(struct fixture *f)
{
    unpark_all(f);
    nrpc_channel_close(f->channel);
    nrpc_server_destroy(f->server);
    pthread_mutex_destroy(&f->mu);
}

static int say(struct fixture *f, const char *text, const struct nrpc_call_options *o, struct nrpc_status *st)
{
    Echo__V1__SayRequest q = ECHO__V1__SAY_REQUEST__INIT;
    Echo__V1__SayResponse *r;
    q.data = (ProtobufCBinaryData){strlen(text), (uint8_t *)text};
    int code = echo_v1_echo_say(f->channel, o, &q, &r, st);
    if (code == NRPC_OK) {
        assert_int_equal(r->data.len, strlen(text));
        assert_memory_equal(r->data.data, text, r->data.len);
        echo__v1__say_response__free_unpacked(r, NULL);
    } else {
        assert_null(r);
    }
    return code;
}

// ---- tests

static void try_transport(const char *url)
{
    struct fixture f;
    struct nrpc_status st;
    open_both(&f, url, NULL, NULL);
    for (int i = 0; i < 100; i++)
        assert_int_equal(say(&f, "hello", NULL, &st), NRPC_OK);
    assert_int_equal(say(&f, "", NULL, &st), NRPC_OK);
    assert_int_equal(st.code, NRPC_OK);
    for (uint32_t code = 1; code <= 16; code++) {
        Echo__V1__SayRequest q = ECHO__V1__SAY_REQUEST__INIT;
        char text[40];
        q.fail_with = code;
        assert_int_equal(echo_v1_echo_say(f.channel, NULL, &q, NULL, &st), code);
        snprintf(text, sizeof text, "as asked: %u", code);
        assert_string_equal(st.text, text);
    }
    close_both(&f);
}

static void test_transports(void **state)
{
    (void)state;
    char ipc[100];
    snprintf(ipc, sizeof ipc, "ipc:///tmp/nrpc-test-%d.sock", (int)getpid());
    try_transport("tcp://127.0.0.1:0");
    try_transport(ipc);
    try_transport(NULL); // a local channel
    unlink(ipc + strlen("ipc://"));
}

static void test_metadata_and_deadline(void **state)
{
    (void)state;
    struct fixture f;
    struct nrpc_status st;
    struct nrpc_metadata m[] = {{.key = "other", .value = "o"}, {.key = "x-test", .value = "caf\xc3\xa9"}};
    struct nrpc_call_options o = {.timeout_ms = 5000, .metadata = m, .metadata_count = 2};
    Echo__V1__SayRequest q = ECHO__V1__SAY_REQUEST__INIT;
    Echo__V1__SayResponse *r;
    open_both(&f, "tcp://127.0.0.1:0", NULL, NULL);
    assert_int_equal(echo_v1_echo_say(f.channel, &o, &q, &r, &st), NRPC_OK);
    assert_string_equal(r->metadata, "caf\xc3\xa9");
    assert_in_range(r->remaining_ms, 1, 5000);
    echo__v1__say_response__free_unpacked(r, NULL);
    m[0].key = "Bad Key";
    assert_int_equal(echo_v1_echo_say(f.channel, &o, &q, &r, &st), NRPC_INVALID_ARGUMENT);
    assert_null(r);
    close_both(&f);
}

static void test_deadline_exceeded(void **state)
{
    (void)state;
    struct fixture f;
    struct nrpc_status st;
    struct nrpc_call_options o = {.timeout_ms = 50};
    Echo__V1__SayRequest q = ECHO__V1__SAY_REQUEST__INIT;
    open_both(&f, "tcp://127.0.0.1:0", NULL, NULL);
    int64_t start_ms = clock_now_ms();
    assert_int_equal(echo_v1_echo_park(f.channel, &o, &q, NULL, &st), NRPC_DEADLINE_EXCEEDED);
    assert_in_range(clock_now_ms() - start_ms, 45, 5000);
    unpark_all(&f); // late answers are dropped
    assert_int_equal(say(&f, "after", NULL, &st), NRPC_OK);
    close_both(&f);
}

struct outcome {
    _Atomic int count, ok, failed;
    _Atomic int last_code;
};

static void said(void *user, const struct nrpc_status *st, const Echo__V1__SayResponse *r)
{
    struct outcome *o = user;
    assert_true((r != NULL) == (st->code == NRPC_OK));
    o->last_code = st->code;
    o->ok += st->code == NRPC_OK;
    o->failed += st->code != NRPC_OK;
    o->count++;
}

static void test_async(void **state)
{
    (void)state;
    enum { CALLS = 2000 };
    struct fixture f;
    struct outcome o = {0};
    Echo__V1__SayRequest q = ECHO__V1__SAY_REQUEST__INIT;
    struct nrpc_call_options options = {.timeout_ms = 30000};
    open_both(&f, "tcp://127.0.0.1:0", &(struct nrpc_server_options){.queue_max = CALLS}, NULL);
    for (int i = 0; i < CALLS; i++) // far more than fit on the wire at once
        echo_v1_echo_say_async(f.channel, &options, &q, said, &o);
    WAIT_FOR(o.count == CALLS);
    assert_int_equal(o.ok, CALLS);
    options.timeout_ms = 30;
    for (int i = 0; i < 100; i++)
        echo_v1_echo_park_async(f.channel, &options, &q, said, &o);
    WAIT_FOR(o.count == CALLS + 100);
    assert_int_equal(o.failed, 100);
    assert_int_equal(o.last_code, NRPC_DEADLINE_EXCEEDED);
    close_both(&f);
}

static void test_parked_calls_hold_no_thread(void **state)
{
    (void)state;
    struct fixture f;
    struct outcome o = {0};
    struct nrpc_status st;
    Echo__V1__SayRequest q = ECHO__V1__SAY_REQUEST__INIT;
    open_both(&f, "tcp://127.0.0.1:0", &(struct nrpc_server_options){.workers = 1}, NULL);
    for (int i = 0; i < 60; i++)
        echo_v1_echo_park_async(f.channel, NULL, &q, said, &o);
    WAIT_FOR(parked(&f) == 60);
    assert_int_equal(say(&f, "still free", NULL, &st), NRPC_OK);
    assert_int_equal(o.count, 0);
    unpark_all(&f);
    WAIT_FOR(o.ok == 60);
    close_both(&f);
}

static void test_overload(void **state)
{
    (void)state;
    struct fixture f;
    struct outcome o = {0};
    Echo__V1__SayRequest q = ECHO__V1__SAY_REQUEST__INIT;
    open_both(&f, "tcp://127.0.0.1:0", &(struct nrpc_server_options){.workers = 1, .queue_max = 4}, NULL);
    set_block(&f, true);
    for (int i = 0; i < 20; i++)
        echo_v1_echo_say_async(f.channel, NULL, &q, said, &o);
    WAIT_FOR(o.failed >= 15);
    assert_int_equal(o.last_code, NRPC_RESOURCE_EXHAUSTED);
    set_block(&f, false);
    WAIT_FOR(o.count == 20);
    assert_in_range(o.ok, 4, 5);
    close_both(&f);
}

static void test_sizes(void **state)
{
    (void)state;
    enum { LIMIT = 10000 };
    struct fixture f;
    struct nrpc_status st;
    Echo__V1__SayRequest q = ECHO__V1__SAY_REQUEST__INIT;
    open_both(&f, "tcp://127.0.0.1:0", &(struct nrpc_server_options){.max_message_bytes = LIMIT},
              &(struct nrpc_channel_options){.max_message_bytes = 8 * LIMIT});
    uint8_t *data = calloc(1, 10 * LIMIT);
    q.data = (ProtobufCBinaryData){LIMIT - 100, data};
    assert_int_equal(echo_v1_echo_say(f.channel, NULL, &q, NULL, &st), NRPC_OK);
    q.data.len = 10 * LIMIT; // over our own limit: never leaves
    assert_int_equal(echo_v1_echo_say(f.channel, NULL, &q, NULL, &st), NRPC_RESOURCE_EXHAUSTED);
    q.data.len = 7 * LIMIT; // over the server's: it hangs up
    assert_int_equal(echo_v1_echo_say(f.channel, NULL, &q, NULL, &st), NRPC_UNAVAILABLE);
    q.data.len = 0;
    q.answer_bytes = 2 * LIMIT; // an answer over the server's limit
    struct nrpc_call_options ready = {.timeout_ms = 10000, .wait_for_ready = true};
    assert_int_equal(echo_v1_echo_say(f.channel, &ready, &q, NULL, &st), NRPC_RESOURCE_EXHAUSTED);
    q.answer_bytes = LIMIT / 2;
    assert_int_equal(echo_v1_echo_say(f.channel, &ready, &q, NULL, &st), NRPC_OK);
    free(data);
    close_both(&f);
}

static void test_no_server(void **state)
{
    (void)state;
    struct fixture f = {0};
    struct nrpc_status st;
    struct nrpc_channel_options o = {.connect_timeout_ms = 50};
    assert_int_equal(nrpc_channel_open("tcp://127.0.0.1:1", &o, &f.channel, &st), NRPC_OK);
    assert_int_equal(say(&f, "x", NULL, &st), NRPC_UNAVAILABLE);
    assert_non_null(strstr(st.text, "tcp://127.0.0.1:1"));
    struct nrpc_call_options ready = {.timeout_ms = 100, .wait_for_ready = true};
    assert_int_equal(say(&f, "x", &ready, &st), NRPC_DEADLINE_EXCEEDED);
    nrpc_channel_close(f.channel);
    assert_int_equal(nrpc_channel_open("nonsense", NULL, &f.channel, &st), NRPC_INVALID_ARGUMENT);
    assert_int_not_equal(nrpc_channel_open("foo://bar", NULL, &f.channel, &st), NRPC_OK);
}

static void test_reconnect(void **state)
{
    (void)state;
    struct fixture f;
    struct nrpc_status st;
    struct outcome o = {0};
    char url[200];
    Echo__V1__SayRequest q = ECHO__V1__SAY_REQUEST__INIT;
    open_both(&f, "tcp://127.0.0.1:0", NULL, NULL);
    snprintf(url, sizeof url, "%s", nrpc_server_url(f.server, 0));
    assert_int_equal(say(&f, "one", NULL, &st), NRPC_OK);
    echo_v1_echo_park_async(f.channel, NULL, &q, said, &o);
    WAIT_FOR(parked(&f) == 1);
    nrpc_server_destroy(f.server);
    WAIT_FOR(o.count == 1); // the call under way ends at once
    assert_int_equal(o.last_code, NRPC_UNAVAILABLE);
    unpark_all(&f); // answering a call whose server is gone is allowed
    open_server(&f, url, NULL, NRPC_POOLED);
    struct nrpc_call_options ready = {.timeout_ms = 10000, .wait_for_ready = true};
    assert_int_equal(say(&f, "two", &ready, &st), NRPC_OK);
    close_both(&f);
}

static void test_close_ends_calls(void **state)
{
    (void)state;
    struct fixture f;
    struct outcome o = {0};
    Echo__V1__SayRequest q = ECHO__V1__SAY_REQUEST__INIT;
    open_both(&f, "tcp://127.0.0.1:0", NULL, NULL);
    for (int i = 0; i < 100; i++)
        echo_v1_echo_park_async(f.channel, NULL, &q, said, &o);
    nrpc_channel_close(f.channel);
    assert_int_equal(o.count, 100);
    assert_int_equal(o.last_code, NRPC_CANCELLED);
    f.channel = NULL;
    close_both(&f);
}

static void test_drain(void **state)
{
    (void)state;
    struct fixture f;
    struct outcome o = {0};
    struct nrpc_status st;
    Echo__V1__SayRequest q = ECHO__V1__SAY_REQUEST__INIT;
    open_both(&f, "tcp://127.0.0.1:0", NULL, NULL);
    echo_v1_echo_park_async(f.channel, NULL, &q, said, &o);
    WAIT_FOR(parked(&f) == 1);
    assert_int_equal(nrpc_server_drain(f.server, 20), 1);
    assert_int_equal(say(&f, "new", NULL, &st), NRPC_UNAVAILABLE);
    unpark_all(&f);
    assert_int_equal(nrpc_server_drain(f.server, 10000), 0);
    WAIT_FOR(o.ok == 1);
    close_both(&f);
}

static void test_registration(void **state)
{
    (void)state;
    struct nrpc_status st;
    struct fixture f = {0};
    static const struct echo_v1_echo_handlers incomplete = {
        .say = on_say, .say_again = on_say, .admin = on_say};
    struct nrpc_server *s = nrpc_server_create(NULL);
    assert_int_equal(echo_v1_echo_register(s, NRPC_POOLED, &incomplete, &f, &st), NRPC_FAILED_PRECONDITION);
    assert_string_equal(st.text, "method /echo.v1.Echo/Park has no handler");
    assert_int_equal(echo_v1_echo_register(s, NRPC_POOLED, &handlers, &f, &st), NRPC_OK);
    assert_int_equal(echo_v1_echo_register(s, NRPC_POOLED, &handlers, &f, &st), NRPC_ALREADY_EXISTS);
    assert_int_equal(nrpc_server_listen(s, "tcp://127.0.0.1:0", &st), NRPC_OK);
    assert_int_not_equal(nrpc_server_listen(s, nrpc_server_url(s, 0), &st), NRPC_OK); // the port is taken
    assert_int_not_equal(nrpc_server_listen(s, "tcp://nonsense:x", &st), NRPC_OK);
    nrpc_server_destroy(s);
    nrpc_server_destroy(NULL);
}

// ---- strangers

static nng_msg *ask_raw(nng_socket socket, const void *data, size_t size)
{
    nng_msg *m;
    assert_int_equal(nng_msg_alloc(&m, 0), 0);
    assert_int_equal(nng_msg_append(m, data, size), 0);
    assert_int_equal(nng_sendmsg(socket, m, 0), 0);
    assert_int_equal(nng_recvmsg(socket, &m, 0), 0);
    return m;
}

// What an SP peer that is no nrpc client sends is answered with an error, and counted.
static void test_strange_frames(void **state)
{
    (void)state;
    struct fixture f;
    struct nrpc_status st;
    nng_socket socket;
    open_both(&f, "tcp://127.0.0.1:0", NULL, NULL);
    assert_int_equal(nng_req0_open(&socket), 0);
    assert_int_equal(nng_socket_set_ms(socket, NNG_OPT_RECVTIMEO, 10000), 0);
    assert_int_equal(nng_dial(socket, nrpc_server_url(f.server, 0), NULL, 0), 0);
    static const char *const strange[] = {"", "garbage", "\x08\x63\x10\x01", "\x08\x01\x10\x02",
                                          "\x08\x01\x10\x01\x1a\x03/x/"};
    for (size_t i = 0; i < sizeof strange / sizeof *strange; i++) {
        nng_msg *m = ask_raw(socket, strange[i], strlen(strange[i]));
        const uint8_t *body = nng_msg_body(m);
        assert_true(nng_msg_len(m) >= 6);
        assert_memory_equal(body, "\x08\x01\x10\x02\x30", 5); // version 1, RESPONSE, status
        assert_in_range(body[5], 1, 16);
        nng_msg_free(m);
    }
    assert_int_equal(say(&f, "still serving", NULL, &st), NRPC_OK);
    struct nrpc_server_stats stats;
    nrpc_server_stats(f.server, &stats);
    assert_true(stats.bad_frames >= 4);
    nng_close(socket);
    close_both(&f);
}

static int tcp_connect(const char *url)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(strrchr(url, ':') + 1))};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    return fd;
}

// Bytes that are not even SP, half handshakes, huge lengths, hang-ups: calls over other connections go on.
static void test_strange_bytes(void **state)
{
    (void)state;
    static const struct {
        const char *data;
        size_t size;
    } strange[] = {
        {"", 0},
        {"GET / HTTP/1.1\r\n\r\n", 18},
        {"\0SP\0\0\x30\0\0", 8},                                              // a REQ peer that says no more
        {"\0SP\0\0\x30\0\0\xff\xff\xff\xff\xff\xff\xff\xff", 16},             // a message of 2^64-1 bytes
        {"\0SP\0\0\x30\0\0\0\0\0\0\0\0\0\x02\x80\0", 18},                     // shorter than a request id
        {"\0SP\0\0\x30\0\0\0\0\0\0\0\0\0\x08\0\0\0\x01\x08\x01\x10\x01", 24}, // an id without its mark
        {"\0SP\0\0\x10\0\0", 8},                                              // another protocol
    };
    struct fixture f;
    struct nrpc_status st;
    open_both(&f, "tcp://127.0.0.1:0", NULL, NULL);
    assert_int_equal(say(&f, "before", NULL, &st), NRPC_OK);
    for (int round = 0; round < 20; round++)
        for (size_t i = 0; i < sizeof strange / sizeof *strange; i++) {
            int fd = tcp_connect(nrpc_server_url(f.server, 0));
            assert_int_equal(send(fd, strange[i].data, strange[i].size, MSG_NOSIGNAL),
                             (ssize_t)strange[i].size);
            close(fd);
            assert_int_equal(say(&f, "meanwhile", NULL, &st), NRPC_OK);
        }
    close_both(&f);
}

// ---- events

struct heard {
    _Atomic int count;
    _Atomic uint64_t last, missed;
};

static void on_event(void *user, const struct nrpc_event *e)
{
    struct heard *h = user;
    assert_string_equal(e->topic, "news");
    Echo__V1__SayRequest *m = echo__v1__say_request__unpack(NULL, e->payload_bytes, e->payload);
    assert_non_null(m);
    assert_int_equal(m->fail_with, e->sequence);
    echo__v1__say_request__free_unpacked(m, NULL);
    h->last = e->sequence;
    h->missed += e->missed;
    h->count++;
}

static void publish(struct nrpc_publisher *p, const char *topic, uint64_t sequence)
{
    struct nrpc_status st;
    Echo__V1__SayRequest m = ECHO__V1__SAY_REQUEST__INIT;
    m.fail_with = (uint32_t)sequence;
    assert_int_equal(nrpc_publish(p, topic, sequence, &m.base, &st), NRPC_OK);
}

static void test_events(void **state)
{
    (void)state;
    struct heard h = {0};
    struct nrpc_publisher *p;
    struct nrpc_subscriber *s;
    struct nrpc_status st;
    assert_int_equal(nrpc_publisher_open("tcp://127.0.0.1:0", &p, &st), NRPC_OK);
    const char *topics[] = {"news"};
    assert_int_equal(nrpc_subscriber_open(nrpc_publisher_url(p), topics, 1, on_event, &h, &s, &st), NRPC_OK);
    uint64_t sequence = 0;
    WAIT_FOR((publish(p, "news", ++sequence), h.count > 0)); // until the subscription has arrived
    WAIT_FOR(h.last == sequence);
    assert_int_equal(h.missed, 0);
    publish(p, "newspaper", 1); // another topic
    publish(p, "new", 1);
    publish(p, "news", sequence + 5); // four are missing
    WAIT_FOR(h.last == sequence + 5);
    assert_int_equal(h.missed, 4);
    nrpc_subscriber_close(s);
    nrpc_publisher_close(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_transports),
        cmocka_unit_test(test_metadata_and_deadline),
        cmocka_unit_test(test_deadline_exceeded),
        cmocka_unit_test(test_async),
        cmocka_unit_test(test_parked_calls_hold_no_thread),
        cmocka_unit_test(test_overload),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_no_server),
        cmocka_unit_test(test_reconnect),
        cmocka_unit_test(test_close_ends_calls),
        cmocka_unit_test(test_drain),
        cmocka_unit_test(test_registration),
        cmocka_unit_test(test_strange_frames),
        cmocka_unit_test(test_strange_bytes),
        cmocka_unit_test(test_events),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
