// SPDX-License-Identifier: Apache-2.0
// lifetimes_test.c: single orders of ending that lib/nrpc/lifetimes.h speaks of; tests/soak/ends_test.c does
// all of them at random. Most show only under a sanitizer.
#include "base/clock.h"
#include "soak.nrpc.h"
#include "system/raw_peer.h"

#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define WAIT_FOR(condition)                                                                                  \
    do {                                                                                                     \
        int64_t until_ms = clock_now_ms() + 10000;                                                           \
        while (!(condition) && clock_now_ms() < until_ms)                                                    \
            poll(NULL, 0, 1);                                                                                \
        assert_true(condition);                                                                              \
    } while (0)

struct host {
    struct nrpc_server *server;
    _Atomic int in_start, in_end, handled;
    _Atomic bool go;
};

static void on_item(struct nrpc_call *call, const Soak__Item *q, void *user)
{
    struct host *h = user;
    h->handled++;
    soak_soak_echo_reply(call, q);
}

static void on_many(struct nrpc_call *call, const Soak__Item *q, void *user)
{
    Soak__Item r = SOAK__ITEM__INIT;
    int code = NRPC_OK;
    (void)user;
    for (; r.number < q->number && code == NRPC_OK; r.number++)
        code = soak_soak_many_send(call, &r);
    if (code)
        nrpc_reply_error(call, code, "interrupted");
    else
        nrpc_finish(call);
}

static void on_stream(struct nrpc_call *call, void *user)
{
    (void)user;
    nrpc_reply_error(call, NRPC_UNIMPLEMENTED, "not here");
}

static const struct soak_soak_handlers handlers = {
    .echo = on_item,
    .echo_again = on_item,
    .park = on_item,
    .many = on_many,
    .sum = on_stream,
    .chat = on_stream,
};

static int slow_start(void *user, struct nrpc_call *call, struct nrpc_status *st)
{
    struct host *h = user;
    (void)call;
    (void)st;
    h->in_start++;
    WAIT_FOR(h->go);
    poll(NULL, 0, 50); // longer than the server's destroy takes to cancel its calls
    return NRPC_OK;
}

static void open_host(struct host *h, enum nrpc_dispatch dispatch, bool slow, int64_t watchdog_ms)
{
    struct nrpc_status st;
    *h = (struct host){.server =
                           nrpc_server_create(&(struct nrpc_server_options){.watchdog_ms = watchdog_ms})};
    if (slow)
        nrpc_server_intercept(h->server, &(struct nrpc_server_interceptor){.start = slow_start, .user = h});
    assert_int_equal(soak_soak_register(h->server, dispatch, &handlers, h, &st), NRPC_OK);
    assert_int_equal(nrpc_server_listen(h->server, "tcp://127.0.0.1:0", &st), NRPC_OK);
}

static struct nrpc_channel *open_channel(const struct host *h, const struct nrpc_channel_options *o)
{
    struct nrpc_channel *ch;
    struct nrpc_status st;
    assert_int_equal(nrpc_channel_open(nrpc_server_url(h->server, 0), o, &ch, &st), NRPC_OK);
    return ch;
}

static void count(void *user, const struct nrpc_status *st, const Soak__Item *r)
{
    (void)st;
    (void)r;
    ++*(_Atomic int *)user;
}

// ---- local channels

// The stream was not read to its end: frames of the server are on their way when the channel goes.
static void test_local_channel_with_a_part_read_stream(void **state)
{
    (void)state;
    struct host h;
    struct nrpc_status st;
    open_host(&h, NRPC_POOLED, false, -1);
    for (int round = 0; round < 200; round++) {
        struct nrpc_channel *ch = nrpc_channel_local(h.server);
        struct nrpc_stream *streams[2];
        _Atomic int ended = 0;
        Soak__Item q = SOAK__ITEM__INIT;
        const Soak__Item *r;
        q.number = 300;
        for (int i = 0; i < 2; i++)
            assert_int_equal(soak_soak_many(ch, NULL, &q, &streams[i], &st), NRPC_OK);
        for (int i = 0; i < round % 50; i++)
            assert_int_equal(soak_soak_many_read(streams[i % 2], &r, &st), NRPC_OK);
        soak_soak_echo_async(ch, NULL, &q, count, &ended);
        for (int i = 0; i < 2; i++)
            nrpc_stream_close(streams[i]);
        nrpc_channel_close(ch);
        assert_int_equal(ended, 1);
    }
    nrpc_server_destroy(h.server);
}

// ---- greetings

static const uint8_t hello[8] = {0, 'S', 'P', 0, 0, 0x30, 0, 0};

// A peer of which the server has heard `first` bytes of its greeting when it is destroyed, and then the rest.
static void greet_late(size_t first, bool drain)
{
    struct host h;
    uint8_t theirs[64];
    open_host(&h, NRPC_POOLED, false, -1);
    int fd = raw_connect(nrpc_server_url(h.server, 0));
    assert_true(fd >= 0);
    assert_true(raw_write(fd, hello, first));
    struct pollfd p = {fd, POLLIN, 0};
    assert_int_equal(poll(&p, 1, 5000), 1); // its own greeting: it knows us
    if (drain)
        assert_int_equal(nrpc_server_drain(h.server, 100), 0);
    nrpc_server_destroy(h.server);
    if (raw_write(fd, hello + first, sizeof hello - first)) // or we were hung up on: so it should be
        while (recv(fd, theirs, sizeof theirs, 0) > 0)
            ;
    raw_hang_up(fd, false);
}

static void test_greeting_of_a_server_that_is_gone(void **state)
{
    (void)state;
    greet_late(0, false);
    greet_late(3, false);
    greet_late(7, true);
    greet_late(8, true); // opened meanwhile, perhaps
}

// ---- requests in admission

static void end_while_admitting(enum nrpc_dispatch dispatch)
{
    enum { CALLS = 2 }; // each holds one of the few threads of the transport
    struct host h;
    struct nrpc_channel *channels[CALLS];
    _Atomic int ended = 0;
    Soak__Item q = SOAK__ITEM__INIT;
    open_host(&h, dispatch, true, -1);
    for (int i = 0; i < CALLS; i++) {
        channels[i] = open_channel(&h, NULL);
        soak_soak_echo_async(channels[i], NULL, &q, count, &ended);
    }
    WAIT_FOR(h.in_start > 0);
    h.go = true;
    nrpc_server_destroy(h.server);
    WAIT_FOR(ended == CALLS);
    assert_int_equal(h.handled, 0); // nobody waited for them any more
    for (int i = 0; i < CALLS; i++)
        nrpc_channel_close(channels[i]);
}

static void test_destroy_while_requests_are_admitted(void **state)
{
    (void)state;
    end_while_admitting(NRPC_POOLED);
    end_while_admitting(NRPC_INLINE);
}

// ---- calls that are in an interceptor

struct slow {
    _Atomic int in_start, in_end, ended;
    int start_ms, end_ms;
};

static int client_start(void *user, struct nrpc_outgoing *call, struct nrpc_status *st)
{
    struct slow *s = user;
    (void)call;
    (void)st;
    s->in_start++;
    poll(NULL, 0, s->start_ms);
    return NRPC_OK;
}

static void client_end(void *user, struct nrpc_outgoing *call, const struct nrpc_status *st)
{
    struct slow *s = user;
    (void)call;
    (void)st;
    s->in_end++;
    poll(NULL, 0, s->end_ms);
    s->ended++;
}

static void *call_once(void *channel)
{
    Soak__Item q = SOAK__ITEM__INIT;
    (void)soak_soak_echo(channel, NULL, &q, NULL, NULL);
    return NULL;
}

// Closing waits for calls that are in their last, or their first, interceptor.
static void close_beside(struct slow *s)
{
    struct host h;
    pthread_t thread;
    open_host(&h, NRPC_POOLED, false, -1);
    const struct nrpc_client_interceptor i = {client_start, client_end, s};
    struct nrpc_channel *ch =
        open_channel(&h, &(struct nrpc_channel_options){.interceptors = &i, .interceptor_count = 1});
    pthread_create(&thread, NULL, call_once, ch);
    WAIT_FOR(s->start_ms ? s->in_start : s->in_end);
    nrpc_channel_close(ch);
    assert_int_equal(s->ended, 1);
    pthread_join(thread, NULL);
    nrpc_server_destroy(h.server);
}

static void test_close_beside_a_call_in_an_interceptor(void **state)
{
    (void)state;
    close_beside(&(struct slow){.end_ms = 100});
    close_beside(&(struct slow){.start_ms = 100});
}

// ---- listeners

// For the thread sanitizer: the watchdog looks at listeners while more are added.
static void test_listen_beside_the_watchdog(void **state)
{
    (void)state;
    struct host h;
    struct nrpc_status st;
    open_host(&h, NRPC_POOLED, false, 1);
    for (int i = 1; i < 16; i++) {
        assert_int_equal(nrpc_server_listen(h.server, "tcp://127.0.0.1:0", &st), NRPC_OK);
        poll(NULL, 0, 3);
    }
    assert_int_equal(nrpc_server_listen(h.server, "tcp://127.0.0.1:0", &st), NRPC_RESOURCE_EXHAUSTED);
    assert_int_equal(nrpc_server_drain(h.server, 1000), 0);
    assert_int_equal(nrpc_server_listen(h.server, "tcp://127.0.0.1:0", &st), NRPC_FAILED_PRECONDITION);
    nrpc_server_destroy(h.server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_local_channel_with_a_part_read_stream),
        cmocka_unit_test(test_greeting_of_a_server_that_is_gone),
        cmocka_unit_test(test_destroy_while_requests_are_admitted),
        cmocka_unit_test(test_close_beside_a_call_in_an_interceptor),
        cmocka_unit_test(test_listen_beside_the_watchdog),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
