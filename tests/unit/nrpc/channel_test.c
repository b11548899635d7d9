// SPDX-License-Identifier: Apache-2.0
// channel_test.c: what a channel and a server do beside plain calls: several servers, names, retries,
// keepalive, limits, drain, what a handler's own calls inherit, interceptors, the watchdog.
#include "base/clock.h"
#include "echo.nrpc.h"
#include "nrpc/interceptors/tracing.h"
#include "nrpc/retry.h"
#include "nrpc/services/health.h"
#include "nrpc/trace.h"
#include "nrpc/v1/health.nrpc.h"
#include "soak/proxy.h"

#include <arpa/inet.h>
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

#define WAIT_FOR(condition)                                                                                  \
    do {                                                                                                     \
        int64_t until_ms = clock_now_ms() + 20000;                                                           \
        while (!(condition) && clock_now_ms() < until_ms)                                                    \
            poll(NULL, 0, 1);                                                                                \
        assert_true(condition);                                                                              \
    } while (0)

// ---- a server that counts, and does as the request says

struct host {
    struct nrpc_server *server;
    struct nrpc_channel *next; // where "Admin" calls on, as a part of its own call
    _Atomic int calls, cancelled, fail_next, late, late_code;
    char pushback[24]; // sent with failures
    _Atomic(struct nrpc_call *) parked;
    char trace[TRACE_SIZE];
};

static void reply(struct nrpc_call *call)
{
    Echo__V1__SayResponse r = ECHO__V1__SAY_RESPONSE__INIT;
    r.remaining_ms = nrpc_call_remaining_ms(call);
    echo_v1_echo_say_reply(call, &r);
}

static void on_say(struct nrpc_call *call, const Echo__V1__SayRequest *q, void *user)
{
    struct host *h = user;
    (void)q;
    h->calls++;
    const char *trace = nrpc_trace_of(call);
    snprintf(h->trace, sizeof h->trace, "%s", trace ? trace : "");
    if (h->fail_next > 0) {
        h->fail_next--;
        if (h->pushback[0])
            assert_int_equal(
                nrpc_call_add_trailer(
                    call, &(struct nrpc_metadata){.key = "retry-after-ms", .value = h->pushback}, NULL),
                NRPC_OK);
        nrpc_reply_error(call, NRPC_UNAVAILABLE, "not now");
        return;
    }
    reply(call);
}

static void parked_changed(void *user, struct nrpc_call *call)
{
    struct host *h = user;
    if (!nrpc_call_is_cancelled(call))
        return;
    h->parked = NULL;
    h->cancelled++;
    nrpc_reply_error(call, NRPC_CANCELLED, "nobody waits");
}

static void on_park(struct nrpc_call *call, const Echo__V1__SayRequest *q, void *user)
{
    struct host *h = user;
    (void)q;
    h->parked = call;
    nrpc_call_on_ready(call, parked_changed, h);
}

// Makes a call of its own on behalf of its caller.
static void on_admin(struct nrpc_call *call, const Echo__V1__SayRequest *q, void *user)
{
    struct host *h = user;
    struct nrpc_status st;
    struct nrpc_call_options o = {.parent = call};
    if (q->fail_with) { // once its caller has given up, it finds nobody to work for
        h->late = 1;
        WAIT_FOR(nrpc_call_is_cancelled(call));
        h->late_code = echo_v1_echo_say(h->next, &o, q, NULL, &st);
        nrpc_reply_status(call, &st);
        return;
    }
    int code = q->answer_bytes ? echo_v1_echo_park(h->next, &o, q, NULL, &st)
                               : echo_v1_echo_say(h->next, &o, q, NULL, &st);
    if (code)
        nrpc_reply_status(call, &st);
    else
        reply(call);
}

static const struct echo_v1_echo_handlers handlers = {
    .say = on_say, .say_again = on_say, .admin = on_admin, .park = on_park};

static void open_host(struct host *h, const struct nrpc_server_options *o, const char *url)
{
    struct nrpc_status st;
    *h = (struct host){.server = nrpc_server_create(o)};
    assert_int_equal(echo_v1_echo_register(h->server, NRPC_POOLED, &handlers, h, &st), NRPC_OK);
    assert_int_equal(nrpc_server_listen(h->server, url, &st), NRPC_OK);
}

static uint16_t port_of(const struct host *h)
{
    return (uint16_t)atoi(strrchr(nrpc_server_url(h->server, 0), ':') + 1);
}

static struct nrpc_channel *open_channel(const char *url, const struct nrpc_channel_options *o)
{
    struct nrpc_status st;
    struct nrpc_channel *ch;
    assert_int_equal(nrpc_channel_open(url, o, &ch, &st), NRPC_OK);
    return ch;
}

static int say(struct nrpc_channel *ch, const struct nrpc_call_options *o, struct nrpc_status *st)
{
    Echo__V1__SayRequest q = ECHO__V1__SAY_REQUEST__INIT;
    return echo_v1_echo_say(ch, o, &q, NULL, st);
}

static int say_again(struct nrpc_channel *ch, struct nrpc_outcome *outcome, struct nrpc_status *st)
{
    Echo__V1__SayRequest q = ECHO__V1__SAY_REQUEST__INIT;
    struct nrpc_call_options o = {.timeout_ms = 10000, .outcome = outcome};
    return echo_v1_echo_say_again(ch, &o, &q, NULL, st);
}

static unsigned connected(struct nrpc_channel *ch)
{
    struct nrpc_channel_stats s;
    nrpc_channel_stats(ch, &s);
    return s.connected;
}

// ---- several servers

static void test_balances_and_fails_over(void **state)
{
    (void)state;
    struct host a, b;
    struct nrpc_status st;
    char urls[200];
    open_host(&a, NULL, "tcp://127.0.0.1:0");
    open_host(&b, NULL, "tcp://127.0.0.1:0");
    snprintf(urls, sizeof urls, "%s,%s", nrpc_server_url(a.server, 0), nrpc_server_url(b.server, 0));
    struct nrpc_channel *ch = open_channel(urls, NULL);
    WAIT_FOR(connected(ch) == 2);
    for (int i = 0; i < 100; i++)
        assert_int_equal(say(ch, NULL, &st), NRPC_OK);
    assert_in_range(a.calls, 30, 70);
    assert_int_equal(a.calls + b.calls, 100);
    nrpc_server_drain(a.server, 5000); // calls go on at the other, without an error
    for (int i = 0; i < 100; i++)
        assert_int_equal(say(ch, NULL, &st), NRPC_OK);
    nrpc_server_destroy(a.server);
    WAIT_FOR(connected(ch) == 1);
    for (int i = 0; i < 100; i++)
        assert_int_equal(say(ch, NULL, &st), NRPC_OK);
    assert_int_equal(a.calls + b.calls, 300);
    nrpc_channel_close(ch);
    nrpc_server_destroy(b.server);
}

// Calls keep to one server until it answers UNAVAILABLE, drains or is gone; then all go to another, and stay
// there.
static void test_keeps_to_one_server(void **state)
{
    (void)state;
    struct host hosts[2], *first, *other;
    struct nrpc_status st;
    char urls[200];
    open_host(&hosts[0], NULL, "tcp://127.0.0.1:0");
    open_host(&hosts[1], NULL, "tcp://127.0.0.1:0");
    snprintf(urls, sizeof urls, "%s,%s", nrpc_server_url(hosts[0].server, 0),
             nrpc_server_url(hosts[1].server, 0));
    struct nrpc_channel *ch = open_channel(urls, &(struct nrpc_channel_options){.choice = NRPC_STICKY});
    WAIT_FOR(connected(ch) == 2);
    for (int i = 0; i < 50; i++)
        assert_int_equal(say(ch, NULL, &st), NRPC_OK);
    first = hosts[0].calls ? &hosts[0] : &hosts[1];
    other = first == &hosts[0] ? &hosts[1] : &hosts[0];
    assert_int_equal(first->calls, 50);
    first->fail_next = 1;
    assert_int_equal(say(ch, NULL, &st), NRPC_UNAVAILABLE);
    for (int i = 0; i < 50; i++)
        assert_int_equal(say(ch, NULL, &st), NRPC_OK);
    assert_int_equal(first->calls, 51);
    assert_int_equal(other->calls, 50);
    nrpc_server_destroy(other->server);
    WAIT_FOR(connected(ch) == 1);
    for (int i = 0; i < 50; i++)
        assert_int_equal(say(ch, NULL, &st), NRPC_OK);
    nrpc_channel_close(ch);
    nrpc_server_destroy(first->server);
}

static void test_names(void **state)
{
    (void)state;
    struct host h;
    struct nrpc_status st;
    struct nrpc_channel *ch;
    char url[100];
    open_host(&h, NULL, "tcp://127.0.0.1:0");
    snprintf(url, sizeof url, "dns:///localhost:%u", port_of(&h));
    ch = open_channel(url, NULL);
    struct nrpc_call_options o = {.timeout_ms = 20000, .wait_for_ready = true};
    assert_int_equal(say(ch, &o, &st), NRPC_OK);
    nrpc_channel_close(ch);
    static const char *const bad[] = {"dns:///", "dns:///x", "dns://x:1", "dns:///:7", "dns+foo:///a:1"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(nrpc_channel_open(bad[i], NULL, &ch, &st), NRPC_INVALID_ARGUMENT);
    nrpc_server_destroy(h.server);
}

// ---- retries

static void test_retries(void **state)
{
    (void)state;
    struct host h;
    struct nrpc_status st;
    struct nrpc_outcome outcome;
    open_host(&h, NULL, "tcp://127.0.0.1:0");
    struct nrpc_channel_options o = {.retry = {.backoff_ms = 5}};
    struct nrpc_channel *ch = open_channel(nrpc_server_url(h.server, 0), &o);
    h.fail_next = 3;
    assert_int_equal(say_again(ch, &outcome, &st), NRPC_OK);
    assert_int_equal(outcome.attempts, 4);
    nrpc_outcome_fini(&outcome);
    h.fail_next = 4; // one more than attempts
    assert_int_equal(say_again(ch, &outcome, &st), NRPC_UNAVAILABLE);
    assert_string_equal(st.text, "not now");
    assert_int_equal(outcome.attempts, 4);
    nrpc_outcome_fini(&outcome);
    h.calls = 0;
    h.fail_next = 1; // a method that is not marked is not retried
    assert_int_equal(say(ch, NULL, &st), NRPC_UNAVAILABLE);
    assert_int_equal(h.calls, 1);
    snprintf(h.pushback, sizeof h.pushback, "-1"); // the server wants no retry
    h.fail_next = 1;
    assert_int_equal(say_again(ch, &outcome, &st), NRPC_UNAVAILABLE);
    assert_int_equal(outcome.attempts, 1);
    nrpc_outcome_fini(&outcome);
    snprintf(h.pushback, sizeof h.pushback, "120"); // not before
    h.fail_next = 1;
    int64_t begun_ms = clock_now_ms();
    assert_int_equal(say_again(ch, &outcome, &st), NRPC_OK);
    assert_true(clock_now_ms() - begun_ms >= 115);
    nrpc_outcome_fini(&outcome);
    nrpc_channel_close(ch);
    nrpc_server_destroy(h.server);
}

static void test_retry_policy(void **state)
{
    (void)state;
    struct retry_budget b = {RETRY_TENTHS_MAX};
    struct nrpc_retry_options o = {.max_attempts = 4, .backoff_ms = 50, .backoff_max_ms = 150};
    static const int64_t middle_us[] = {50000, 100000, 150000};
    for (unsigned attempts = 1; attempts <= 3; attempts++) {
        int64_t low = retry_wait_us(&b, &o, attempts, NRPC_UNAVAILABLE, 0, 0);
        int64_t high = retry_wait_us(&b, &o, attempts, NRPC_UNAVAILABLE, 0, UINT32_MAX);
        assert_int_equal(low, middle_us[attempts - 1] * 8 / 10);
        assert_in_range(high, middle_us[attempts - 1] * 12 / 10 - 1, middle_us[attempts - 1] * 12 / 10);
    }
    assert_true(retry_wait_us(&b, &o, 4, NRPC_UNAVAILABLE, 0, 0) < 0);
    assert_true(retry_wait_us(&b, &o, 1, NRPC_INTERNAL, 0, 0) < 0);
    assert_true(retry_wait_us(&b, &o, 1, NRPC_RESOURCE_EXHAUSTED, 0, 0) < 0);
    assert_int_equal(retry_wait_us(&b, &o, 1, NRPC_RESOURCE_EXHAUSTED, 70, 0), 70000);
    int failures = 0; // a storm is cut off after half of the tokens
    for (; retry_wait_us(&b, &o, 1, NRPC_UNAVAILABLE, 0, 0) >= 0; failures++)
        retry_failed(&b);
    assert_int_equal(failures, 51);
    for (int i = 0; i < 10; i++)
        retry_succeeded(&b);
    assert_true(retry_wait_us(&b, &o, 1, NRPC_UNAVAILABLE, 0, 0) >= 0);
}

// ---- dead peers

static void test_keepalive_finds_a_silent_server(void **state)
{
    (void)state;
    struct host h;
    struct nrpc_status st;
    char url[64];
    open_host(&h, &(struct nrpc_server_options){.keepalive_ms = 100, .keepalive_timeout_ms = 200},
              "tcp://127.0.0.1:0");
    struct proxy *x = proxy_start(port_of(&h), 1);
    snprintf(url, sizeof url, "tcp://127.0.0.1:%u", proxy_port(x));
    struct nrpc_channel_options o = {.keepalive_ms = 100, .keepalive_timeout_ms = 200};
    struct nrpc_channel *ch = open_channel(url, &o);
    assert_int_equal(say(ch, NULL, &st), NRPC_OK);
    proxy_stall(x, true); // from here on the connection is half open: nobody hears anybody
    int64_t begun_ms = clock_now_ms();
    assert_int_equal(say(ch, &(struct nrpc_call_options){.timeout_ms = 20000}, &st), NRPC_UNAVAILABLE);
    assert_in_range(clock_now_ms() - begun_ms, 250, 5000);
    struct nrpc_server_stats stats;
    do // the server finds that its client is silent, too
        nrpc_server_stats(h.server, &stats);
    while (stats.connections && clock_now_ms() - begun_ms < 20000);
    assert_int_equal(stats.connections, 0);
    proxy_stall(x, false);
    assert_int_equal(say(ch, &(struct nrpc_call_options){.timeout_ms = 20000, .wait_for_ready = true}, &st),
                     NRPC_OK);
    nrpc_channel_close(ch);
    proxy_stop(x);
    nrpc_server_destroy(h.server);
}

// ---- limits

struct ended {
    _Atomic int count, exhausted;
};

static void count_end(void *user, const struct nrpc_status *st, const Echo__V1__SayResponse *r)
{
    struct ended *e = user;
    (void)r;
    e->exhausted += st->code == NRPC_RESOURCE_EXHAUSTED;
    e->count++;
}

// A full connection is waited for.
static void test_keeps_to_one_server_when_full(void **state)
{
    (void)state;
    struct host hosts[2];
    struct nrpc_status st;
    char urls[200];
    open_host(&hosts[0], NULL, "tcp://127.0.0.1:0");
    open_host(&hosts[1], NULL, "tcp://127.0.0.1:0");
    snprintf(urls, sizeof urls, "%s,%s", nrpc_server_url(hosts[0].server, 0),
             nrpc_server_url(hosts[1].server, 0));
    struct nrpc_channel *ch =
        open_channel(urls, &(struct nrpc_channel_options){.choice = NRPC_STICKY, .max_outstanding = 1});
    WAIT_FOR(connected(ch) == 2);
    Echo__V1__SayRequest q = ECHO__V1__SAY_REQUEST__INIT;
    struct ended e = {0};
    echo_v1_echo_park_async(ch, NULL, &q, count_end, &e);
    WAIT_FOR(hosts[0].parked || hosts[1].parked);
    assert_int_equal(say(ch, &(struct nrpc_call_options){.timeout_ms = 20}, &st), NRPC_DEADLINE_EXCEEDED);
    reply(hosts[hosts[1].parked != NULL].parked);
    assert_int_equal(say(ch, NULL, &st), NRPC_OK);
    WAIT_FOR(e.count);
    nrpc_channel_close(ch);
    for (int i = 0; i < 2; i++)
        nrpc_server_destroy(hosts[i].server);
}

static void test_method_limit(void **state)
{
    (void)state;
    struct host h = {0};
    struct nrpc_status st;
    struct ended e = {0};
    Echo__V1__SayRequest q = ECHO__V1__SAY_REQUEST__INIT;
    h.server = nrpc_server_create(NULL);
    assert_int_equal(echo_v1_echo_register(h.server, NRPC_POOLED, &handlers, &h, &st), NRPC_OK);
    assert_int_equal(nrpc_server_limit(h.server, "/echo.v1.Echo/Park", 3, &st), NRPC_OK);
    assert_int_equal(nrpc_server_limit(h.server, "/echo.v1.Echo/Nothing", 3, &st), NRPC_NOT_FOUND);
    assert_int_equal(nrpc_server_listen(h.server, "tcp://127.0.0.1:0", &st), NRPC_OK);
    struct nrpc_channel *ch = open_channel(nrpc_server_url(h.server, 0), NULL);
    for (int i = 0; i < 5; i++)
        echo_v1_echo_park_async(ch, NULL, &q, count_end, &e);
    WAIT_FOR(e.exhausted == 2);
    struct nrpc_outcome outcome;
    struct nrpc_call_options o = {.outcome = &outcome};
    assert_int_equal(echo_v1_echo_park(ch, &o, &q, NULL, &st), NRPC_RESOURCE_EXHAUSTED);
    const char *after = nrpc_metadata_find(outcome.trailers, outcome.trailer_count, "retry-after-ms");
    assert_true(after && atoi(after) >= 10);
    nrpc_outcome_fini(&outcome);
    assert_int_equal(say(ch, NULL, &st), NRPC_OK); // other methods go on
    nrpc_channel_close(ch);
    assert_int_equal(e.count, 5);
    WAIT_FOR(h.cancelled == 3);
    nrpc_server_destroy(h.server);
}

// ---- what a handler's own calls inherit

static void test_parent(void **state)
{
    (void)state;
    struct host front, back;
    struct nrpc_status st;
    open_host(&back, NULL, "tcp://127.0.0.1:0");
    open_host(&front, NULL, "tcp://127.0.0.1:0");
    front.next = open_channel(nrpc_server_url(back.server, 0), NULL);
    struct nrpc_client_interceptor tracing = nrpc_tracing_interceptor();
    struct nrpc_channel_options co = {.interceptors = &tracing, .interceptor_count = 1};
    struct nrpc_channel *ch = open_channel(nrpc_server_url(front.server, 0), &co);
    Echo__V1__SayRequest q = ECHO__V1__SAY_REQUEST__INIT;
    struct nrpc_call_options o = {.timeout_ms = 10000};
    assert_int_equal(echo_v1_echo_admin(ch, &o, &q, NULL, &st), NRPC_OK);
    assert_true(trace_is_valid(back.trace)); // the trace that began at the client
    q.answer_bytes = 1;                      // Admin parks at the back
    o.timeout_ms = 100;
    assert_int_equal(echo_v1_echo_admin(ch, &o, &q, NULL, &st), NRPC_DEADLINE_EXCEEDED);
    WAIT_FOR(back.cancelled == 1);
    uint64_t id;
    struct ended e = {0};
    echo_v1_echo_admin_async(ch, &(struct nrpc_call_options){.id = &id}, &q, count_end, &e);
    WAIT_FOR(back.parked != NULL);
    nrpc_channel_cancel(ch, id); // goes through both
    WAIT_FOR(back.cancelled == 2 && e.count == 1);
    int calls = back.calls;
    q.fail_with = 1;
    echo_v1_echo_admin_async(ch, &(struct nrpc_call_options){.id = &id}, &q, count_end, &e);
    WAIT_FOR(front.late == 1);
    nrpc_channel_cancel(ch, id);
    WAIT_FOR(front.late_code == NRPC_CANCELLED);
    assert_int_equal(back.calls, calls);
    nrpc_channel_close(ch);
    nrpc_channel_close(front.next);
    nrpc_server_destroy(front.server);
    nrpc_server_destroy(back.server);
}

// ---- interceptors

static char order[64];

static int client_start(void *user, struct nrpc_outgoing *call, struct nrpc_status *st)
{
    strcat(order, user);
    nrpc_outgoing_set_value(call, user, user);
    return !strcmp(user, "b") && strchr(order, '!') ? status_set(st, NRPC_ABORTED, "stopped by b") : NRPC_OK;
}

static void client_end(void *user, struct nrpc_outgoing *call, const struct nrpc_status *st)
{
    (void)st;
    assert_ptr_equal(nrpc_outgoing_value(call, user), user);
    strcat(order, user);
}

static _Atomic int server_ends;

static int server_start(void *user, struct nrpc_call *call, struct nrpc_status *st)
{
    (void)user;
    nrpc_call_set_value(call, &server_ends, order);
    return nrpc_call_metadata(call, "x-stop") ? status_set(st, NRPC_PERMISSION_DENIED, "stopped") : NRPC_OK;
}

static void server_end(void *user, struct nrpc_call *call, const struct nrpc_status *st)
{
    (void)user;
    assert_ptr_equal(nrpc_call_value(call, &server_ends), order);
    assert_true(st->code == NRPC_OK || st->code == NRPC_PERMISSION_DENIED);
    server_ends++;
}

// ---- streams without a socket

static void test_local_stream_keeps_its_deadline(void **state)
{
    (void)state;
    struct nrpc_status st;
    struct nrpc_stream *s;
    struct nrpc_server *server = nrpc_server_create(NULL);
    struct nrpc_health *health = nrpc_health_create();
    assert_int_equal(nrpc_health_add(health, server, &st), NRPC_OK);
    struct nrpc_channel *ch = nrpc_channel_local(server);
    Nrpc__V1__HealthCheckRequest q = NRPC__V1__HEALTH_CHECK_REQUEST__INIT;
    const Nrpc__V1__HealthCheckResponse *r;
    struct nrpc_call_options o = {.timeout_ms = 50};
    assert_int_equal(nrpc_v1_health_watch(ch, &o, &q, &s, &st), NRPC_OK);
    assert_int_equal(nrpc_v1_health_watch_read(s, &r, &st), NRPC_OK);
    assert_non_null(r);
    assert_int_equal(nrpc_v1_health_watch_read(s, &r, &st), NRPC_DEADLINE_EXCEEDED); // nothing changes
    nrpc_stream_close(s);
    nrpc_channel_close(ch);
    nrpc_server_destroy(server);
    nrpc_health_destroy(health);
}

static void test_interceptors(void **state)
{
    (void)state;
    struct host h = {0};
    struct nrpc_status st;
    h.server = nrpc_server_create(NULL);
    assert_int_equal(echo_v1_echo_register(h.server, NRPC_POOLED, &handlers, &h, &st), NRPC_OK);
    nrpc_server_intercept(h.server, &(struct nrpc_server_interceptor){server_start, server_end, NULL});
    assert_int_equal(nrpc_server_listen(h.server, "tcp://127.0.0.1:0", &st), NRPC_OK);
    const struct nrpc_client_interceptor chain[] = {{client_start, client_end, "a"},
                                                    {client_start, client_end, "b"}};
    struct nrpc_channel_options co = {.interceptors = chain, .interceptor_count = 2};
    struct nrpc_channel *ch = open_channel(nrpc_server_url(h.server, 0), &co);
    order[0] = 0;
    assert_int_equal(say(ch, NULL, &st), NRPC_OK);
    assert_string_equal(order, "abba");
    const struct nrpc_metadata stop = {.key = "x-stop", .value = "1"};
    assert_int_equal(say(ch, &(struct nrpc_call_options){.metadata = &stop, .metadata_count = 1}, &st),
                     NRPC_PERMISSION_DENIED);
    assert_int_equal(server_ends, 2);
    assert_int_equal(h.calls, 1);
    snprintf(order, sizeof order, "!");
    assert_int_equal(say(ch, NULL, &st), NRPC_ABORTED);
    assert_string_equal(st.text, "stopped by b");
    assert_string_equal(order, "!abba");
    nrpc_channel_close(ch);
    nrpc_server_destroy(h.server);
}

// ---- the listener

static int connect_to(uint16_t port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    return fd;
}

// A thousand handshakes that break in every way, while calls go on and new clients come.
static void test_broken_handshakes(void **state)
{
    (void)state;
    struct host h;
    struct nrpc_status st;
    open_host(&h, NULL, "tcp://127.0.0.1:0");
    struct nrpc_channel *ch = open_channel(nrpc_server_url(h.server, 0), NULL);
    for (int i = 0; i < 1000; i++) {
        int fd = connect_to(port_of(&h));
        struct linger reset = {.l_onoff = 1};
        if (i % 5)
            assert_true(send(fd, "\0SP\0\0\x30\0\0", (size_t)(i % 5) * 2, MSG_NOSIGNAL) > 0);
        if (i % 2)
            (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        close(fd);
        assert_int_equal(say(ch, NULL, &st), NRPC_OK);
        if (i % 50 == 0) { // the listener still accepts
            struct nrpc_channel *fresh = open_channel(nrpc_server_url(h.server, 0), NULL);
            assert_int_equal(say(fresh, NULL, &st), NRPC_OK);
            nrpc_channel_close(fresh);
        }
    }
    nrpc_channel_close(ch);
    nrpc_server_destroy(h.server);
}

// The listening socket of this process on the port.
static int find_listener(uint16_t port)
{
    for (int fd = 3; fd < 1024; fd++) {
        struct sockaddr_in a = {0};
        socklen_t size = sizeof a;
        int listens = 0;
        socklen_t listens_size = sizeof listens;
        if (getsockname(fd, (struct sockaddr *)&a, &size) == 0 && a.sin_family == AF_INET &&
            ntohs(a.sin_port) == port &&
            getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &listens_size) == 0 && listens)
            return fd;
    }
    return -1;
}

static void test_watchdog_replaces_a_dead_listener(void **state)
{
    (void)state;
    struct host h;
    struct nrpc_status st;
    open_host(&h, &(struct nrpc_server_options){.watchdog_ms = 20}, "tcp://127.0.0.1:0");
    struct nrpc_channel *ch = open_channel(nrpc_server_url(h.server, 0), NULL);
    assert_int_equal(say(ch, NULL, &st), NRPC_OK);
    assert_int_equal(shutdown(find_listener(port_of(&h)), SHUT_RDWR), 0); // nobody can connect any more
    struct nrpc_channel *fresh = open_channel(nrpc_server_url(h.server, 0), NULL);
    assert_int_equal(
        say(fresh, &(struct nrpc_call_options){.timeout_ms = 20000, .wait_for_ready = true}, &st), NRPC_OK);
    assert_int_equal(say(ch, NULL, &st), NRPC_OK); // the old connection was not touched
    struct nrpc_server_stats stats;
    nrpc_server_stats(h.server, &stats);
    assert_true(stats.listener_restarts >= 1);
    nrpc_channel_close(fresh);
    nrpc_channel_close(ch);
    nrpc_server_destroy(h.server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_balances_and_fails_over),
        cmocka_unit_test(test_keeps_to_one_server),
        cmocka_unit_test(test_keeps_to_one_server_when_full),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_retries),
        cmocka_unit_test(test_retry_policy),
        cmocka_unit_test(test_keepalive_finds_a_silent_server),
        cmocka_unit_test(test_method_limit),
        cmocka_unit_test(test_parent),
        cmocka_unit_test(test_local_stream_keeps_its_deadline),
        cmocka_unit_test(test_interceptors),
        cmocka_unit_test(test_broken_handshakes),
        cmocka_unit_test(test_watchdog_replaces_a_dead_listener),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
