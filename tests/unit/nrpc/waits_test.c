// SPDX-License-Identifier: Apache-2.0
// waits_test.c: calls end when they should, however they wait: in line, at rest before a retry, with
// deadlines beyond what a timer takes or before now; and a `done` that starts the next call needs no stack
// for it.
#include "base/clock.h"
#include "soak.nrpc.h"
#include "soak/proxy.h"

#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define WAIT_FOR(condition)                                                                                  \
    do {                                                                                                     \
        int64_t until_ms = clock_now_ms() + 10000;                                                           \
        while (!(condition) && clock_now_ms() < until_ms)                                                    \
            poll(NULL, 0, 1);                                                                                \
        assert_true(condition);                                                                              \
    } while (0)

enum { CONNECT_MS = 200, PARKED_MAX = 16 };

// ---- a server that answers nothing until it is told to

struct host {
    struct nrpc_server *server;
    struct proxy *proxy;
    struct nrpc_channel *channel;
    pthread_mutex_t mu;
    struct nrpc_call *parked[PARKED_MAX];
    _Atomic int parked_count;
};

static void park(struct host *h, struct nrpc_call *call)
{
    pthread_mutex_lock(&h->mu);
    h->parked[h->parked_count++] = call;
    pthread_mutex_unlock(&h->mu);
}

static void on_item(struct nrpc_call *call, const Soak__Item *q, void *user)
{
    (void)q;
    park(user, call);
}

static void on_stream(struct nrpc_call *call, void *user)
{
    park(user, call);
}

static const struct soak_soak_handlers handlers = {
    .echo = on_item,
    .echo_again = on_item,
    .park = on_item,
    .many = on_item,
    .sum = on_stream,
    .chat = on_stream,
};

static void open_host(struct host *h, const struct nrpc_channel_options *o)
{
    struct nrpc_status st;
    char url[64];
    *h = (struct host){.server = nrpc_server_create(NULL)};
    pthread_mutex_init(&h->mu, NULL);
    assert_int_equal(soak_soak_register(h->server, NRPC_INLINE, &handlers, h, &st), NRPC_OK);
    assert_int_equal(nrpc_server_listen(h->server, "tcp://127.0.0.1:0", &st), NRPC_OK);
    h->proxy = proxy_start((uint16_t)atoi(strrchr(nrpc_server_url(h->server, 0), ':') + 1), 1);
    snprintf(url, sizeof url, "tcp://127.0.0.1:%u", proxy_port(h->proxy));
    assert_int_equal(nrpc_channel_open(url, o, &h->channel, &st), NRPC_OK);
    WAIT_FOR(nrpc_channel_is_connected(h->channel));
}

// As a killed server looks like: its connections break, and no new one is taken.
static void kill_host(struct host *h)
{
    proxy_stop(h->proxy);
    h->proxy = NULL;
}

static void close_host(struct host *h)
{
    nrpc_channel_close(h->channel);
    if (h->proxy)
        proxy_stop(h->proxy);
    pthread_mutex_lock(&h->mu);
    for (int i = 0; i < h->parked_count; i++)
        nrpc_reply_error(h->parked[i], NRPC_UNAVAILABLE, "over");
    pthread_mutex_unlock(&h->mu);
    nrpc_server_destroy(h->server);
    pthread_mutex_destroy(&h->mu);
}

// ---- blocking calls

enum kind { AGAIN, ONCE, STREAM };

struct caller {
    struct host *host;
    enum kind kind;
    int64_t timeout_ms, took_ms;
    int code;
    pthread_t thread;
};

static int read_stream(struct nrpc_channel *ch, const struct nrpc_call_options *o)
{
    struct nrpc_stream *s;
    struct nrpc_status st;
    Soak__Item q = SOAK__ITEM__INIT;
    const Soak__Item *r;
    int code = soak_soak_many(ch, o, &q, &s, &st);
    if (code)
        return code;
    code = soak_soak_many_read(s, &r, &st);
    nrpc_stream_close(s);
    return code;
}

static void *call(void *arg)
{
    struct caller *c = arg;
    Soak__Item q = SOAK__ITEM__INIT;
    struct nrpc_call_options o = {.timeout_ms = c->timeout_ms};
    struct nrpc_channel *ch = c->host->channel;
    int64_t begun_ms = clock_now_ms();
    c->code = c->kind == AGAIN  ? soak_soak_echo_again(ch, &o, &q, NULL, NULL)
              : c->kind == ONCE ? soak_soak_echo(ch, &o, &q, NULL, NULL)
                                : read_stream(ch, &o);
    c->took_ms = clock_now_ms() - begun_ms;
    return NULL;
}

static void start(struct caller *c, struct host *h, enum kind kind, int64_t timeout_ms)
{
    *c = (struct caller){.host = h, .kind = kind, .timeout_ms = timeout_ms};
    pthread_create(&c->thread, NULL, call, c);
}

static unsigned waiting(const struct host *h)
{
    struct nrpc_channel_stats s;
    nrpc_channel_stats(h->channel, &s);
    return s.waiting;
}

// The server dies while a call is on it (it is retried, if it may be) and others wait behind it in a full
// line: all end when no connection came for connect_timeout_ms.
static void die_under(int64_t timeout_ms)
{
    enum { CALLERS = 4 };
    const struct nrpc_channel_options o = {.connect_timeout_ms = CONNECT_MS, .max_outstanding = 1};
    struct host h;
    struct caller c[CALLERS];
    open_host(&h, &o);
    start(&c[0], &h, AGAIN, timeout_ms);
    WAIT_FOR(h.parked_count == 1);
    for (int i = 1; i < CALLERS; i++)
        start(&c[i], &h, i == 1 ? ONCE : i == 2 ? AGAIN : STREAM, timeout_ms);
    WAIT_FOR(waiting(&h) == CALLERS - 1);
    poll(NULL, 0, 2 * CONNECT_MS); // they are connected: this is no time of waiting for a connection
    int64_t died_ms = clock_now_ms();
    kill_host(&h);
    for (int i = 0; i < CALLERS; i++) {
        pthread_join(c[i].thread, NULL);
        assert_int_equal(c[i].code, NRPC_UNAVAILABLE);
    }
    assert_in_range(clock_now_ms() - died_ms, CONNECT_MS / 2, 10 * CONNECT_MS);
    close_host(&h);
}

static void test_blocking_calls_end_when_their_server_dies(void **state)
{
    (void)state;
    die_under(0);
    die_under(60000);
}

// ---- long and passed deadlines

static void count(void *user, const struct nrpc_status *st, const Soak__Item *r)
{
    (void)st;
    (void)r;
    ++*(_Atomic int *)user;
}

static int64_t cpu_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

// Beyond 24.8 days the milliseconds do not fit into 32 bits: the timer must not ring all the time.
static void wait_for(int64_t timeout_ms, const struct nrpc_channel_options *o, bool stream)
{
    struct nrpc_channel *ch;
    struct nrpc_stream *s = NULL;
    struct nrpc_status st;
    _Atomic int ended = 0;
    Soak__Item q = SOAK__ITEM__INIT;
    struct nrpc_call_options co = {.timeout_ms = timeout_ms, .wait_for_ready = true};
    assert_int_equal(nrpc_channel_open("tcp://127.0.0.1:1", o, &ch, &st), NRPC_OK);
    if (stream)
        assert_int_equal(soak_soak_many(ch, &co, &q, &s, &st), NRPC_OK);
    else
        soak_soak_echo_async(ch, &co, &q, count, &ended);
    int64_t before_us = cpu_us();
    poll(NULL, 0, 300);
    assert_in_range(cpu_us() - before_us, 0, 100000);
    nrpc_stream_close(s);
    nrpc_channel_close(ch);
    assert_int_equal(ended, stream ? 0 : 1);
}

static void test_deadlines_of_weeks(void **state)
{
    (void)state;
    const int64_t day_ms = 24 * 3600 * 1000;
    const struct nrpc_channel_options slow = {.reconnect_min_ms = 500, .reconnect_max_ms = 500},
                                      never = {.reconnect_min_ms = 500,
                                               .reconnect_max_ms = 500,
                                               .keepalive_ms = -1};
    wait_for(30 * day_ms, &slow, false);
    wait_for(30 * day_ms, &never, true);
    wait_for(INT64_MAX / 4000, &slow, false);
    // The same of an option: a pause that long is a pause.
    const struct nrpc_channel_options long_pause = {.reconnect_min_ms = 30 * day_ms,
                                                    .reconnect_max_ms = 30 * day_ms};
    wait_for(0, &long_pause, false);
    const struct nrpc_channel_options longest = {.connect_timeout_ms = INT64_MAX,
                                                 .reconnect_min_ms = INT64_MAX,
                                                 .reconnect_max_ms = INT64_MAX,
                                                 .keepalive_ms = INT64_MAX,
                                                 .keepalive_timeout_ms = INT64_MAX};
    wait_for(0, &longest, true);
}

static void test_a_deadline_that_has_passed(void **state)
{
    (void)state;
    struct host h;
    struct nrpc_status st;
    struct nrpc_stream *s;
    _Atomic int ended = 0;
    Soak__Item q = SOAK__ITEM__INIT;
    struct nrpc_call_options o = {.timeout_ms = -5};
    open_host(&h, NULL);
    assert_int_equal(soak_soak_echo(h.channel, &o, &q, NULL, &st), NRPC_DEADLINE_EXCEEDED);
    assert_int_equal(soak_soak_many(h.channel, &o, &q, &s, &st), NRPC_DEADLINE_EXCEEDED);
    o.timeout_ms = INT64_MIN;
    soak_soak_echo_async(h.channel, &o, &q, count, &ended);
    assert_int_equal(ended, 1);
    assert_int_equal(h.parked_count, 0); // it was not sent
    close_host(&h);
}

// ---- chains

struct chain {
    struct nrpc_channel *channels[2];
    size_t data_bytes;
    int left, depth, deepest;
};

static void call_next(struct chain *c);

static void ended(void *user, const struct nrpc_status *st, const Soak__Item *r)
{
    struct chain *c = user;
    assert_null(r);
    assert_int_not_equal(st->code, NRPC_OK);
    if (++c->depth > c->deepest)
        c->deepest = c->depth;
    if (--c->left > 0)
        call_next(c);
    c->depth--;
}

static void call_next(struct chain *c)
{
    static uint8_t data[2000];
    Soak__Item q = SOAK__ITEM__INIT;
    q.data = (ProtobufCBinaryData){c->data_bytes, data};
    soak_soak_echo_async(c->channels[c->left % 2], NULL, &q, ended, c);
}

static void run_chain(struct nrpc_channel *a, struct nrpc_channel *b, size_t data_bytes)
{
    struct chain c = {{a, b}, data_bytes, 100000, 0, 0};
    call_next(&c);
    assert_int_equal(c.left, 0);
    assert_in_range(c.deepest, 1, 2); // one a channel
}

static void test_chains_of_calls_that_fail_immediately(void **state)
{
    (void)state;
    const struct nrpc_channel_options o = {
        .max_waiting = 1, .max_message_bytes = 1000, .reconnect_min_ms = 1000};
    struct nrpc_channel *a, *b;
    struct nrpc_status st;
    _Atomic int waits = 0;
    Soak__Item q = SOAK__ITEM__INIT;
    struct nrpc_call_options ready = {.wait_for_ready = true};
    assert_int_equal(nrpc_channel_open("tcp://127.0.0.1:1", &o, &a, &st), NRPC_OK);
    assert_int_equal(nrpc_channel_open("tcp://127.0.0.1:1", &o, &b, &st), NRPC_OK);
    soak_soak_echo_async(a, &ready, &q, count, &waits); // from now on the line is full
    soak_soak_echo_async(b, &ready, &q, count, &waits);
    run_chain(a, a, 0);
    run_chain(a, b, 0);
    run_chain(a, b, 2000); // too large to be sent
    nrpc_channel_close(a);
    nrpc_channel_close(b);
    assert_int_equal(waits, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocking_calls_end_when_their_server_dies),
        cmocka_unit_test(test_deadlines_of_weeks),
        cmocka_unit_test(test_a_deadline_that_has_passed),
        cmocka_unit_test(test_chains_of_calls_that_fail_immediately),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
