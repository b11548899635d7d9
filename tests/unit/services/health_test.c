// SPDX-License-Identifier: Apache-2.0
// health_test.c: statuses asked for and watched, watchers that come, go, hang behind or are too many, the
// shutdown.
#include "fixture.h"

#include "base/clock.h"
#include "nrpc/services/health.h"
#include "nrpc/v1/health.nrpc.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

typedef Nrpc__V1__HealthCheckResponse answer;

enum {
    UNKNOWN = NRPC_HEALTH_UNKNOWN,
    SERVING = NRPC_HEALTH_SERVING,
    NOT_SERVING = NRPC_HEALTH_NOT_SERVING,
    SERVICE_UNKNOWN = NRPC__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVICE_UNKNOWN,
};

static struct fixture f;
static struct nrpc_health *health;

static int setup(void **state)
{
    struct nrpc_status st;
    f.is_local = *state != NULL;
    fixture_create(&f, NULL);
    health = nrpc_health_create();
    assert_int_equal(nrpc_health_add(health, f.server, &st), NRPC_OK);
    fixture_open(&f);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fixture_destroy(&f);
    nrpc_health_destroy(health);
    return 0;
}

// The status, or minus the code.
static int check(const char *service)
{
    Nrpc__V1__HealthCheckRequest q = NRPC__V1__HEALTH_CHECK_REQUEST__INIT;
    answer *r;
    struct nrpc_status st;
    q.service = (char *)service;
    int code = nrpc_v1_health_check(f.channel, &(struct nrpc_call_options){.timeout_ms = 30000}, &q, &r, &st);
    if (code)
        return -code;
    int status = (int)r->status;
    protobuf_c_message_free_unpacked(&r->base, NULL);
    return status;
}

static struct nrpc_stream *watch(struct nrpc_channel *channel, const char *service)
{
    Nrpc__V1__HealthCheckRequest q = NRPC__V1__HEALTH_CHECK_REQUEST__INIT;
    struct nrpc_stream *stream;
    struct nrpc_status st;
    q.service = (char *)service;
    assert_int_equal(
        nrpc_v1_health_watch(channel, &(struct nrpc_call_options){.timeout_ms = 60000}, &q, &stream, &st),
        NRPC_OK);
    return stream;
}

// The next status that a watcher is told, or minus the code.
static int next(struct nrpc_stream *stream)
{
    const answer *r;
    struct nrpc_status st;
    int code = nrpc_v1_health_watch_read(stream, &r, &st);
    assert_true(code || r);
    return code ? -code : (int)r->status;
}

static unsigned running_watches(void)
{
    struct nrpc_method_stats s;
    for (size_t i = 0; nrpc_server_method_stats(f.server, i, &s); i++)
        if (!strcmp(s.method->name, "/nrpc.v1.Health/Watch"))
            return s.running;
    fail();
    return 0;
}

static void wait_for_watches(unsigned n)
{
    int64_t deadline_us = clock_mono_us() + 30000000;
    while (running_watches() != n) {
        assert_true(clock_mono_us() < deadline_us);
        poll(NULL, 0, 1);
    }
}

static void test_check(void **state)
{
    (void)state;
    assert_int_equal(check(""), SERVING);
    assert_int_equal(check("sample.v1.Sample"), -NRPC_NOT_FOUND);
    nrpc_health_set(health, "sample.v1.Sample", NRPC_HEALTH_NOT_SERVING);
    assert_int_equal(check("sample.v1.Sample"), NOT_SERVING);
    nrpc_health_set(health, "sample.v1.Sample", NRPC_HEALTH_SERVING);
    assert_int_equal(check("sample.v1.Sample"), SERVING);
    nrpc_health_set(health, "", NRPC_HEALTH_UNKNOWN);
    assert_int_equal(check(""), UNKNOWN);
    assert_int_equal(check("sample.v1.Sample"), SERVING);
}

static void test_watch(void **state)
{
    (void)state;
    struct nrpc_stream *all = watch(f.channel, ""), *one = watch(f.channel, "a.B");
    assert_int_equal(next(all), SERVING);
    assert_int_equal(next(one), SERVICE_UNKNOWN);
    nrpc_health_set(health, "a.B", NRPC_HEALTH_SERVING);
    assert_int_equal(next(one), SERVING);
    nrpc_health_set(health, "a.B", NRPC_HEALTH_SERVING); // no change: nothing is sent
    nrpc_health_set(health, "a.B", NRPC_HEALTH_NOT_SERVING);
    assert_int_equal(next(one), NOT_SERVING);
    nrpc_health_set(health, "", NRPC_HEALTH_NOT_SERVING);
    assert_int_equal(next(all), NOT_SERVING);
    nrpc_stream_close(one);
    wait_for_watches(1);
    nrpc_health_set(health, "a.B", NRPC_HEALTH_SERVING);
    nrpc_health_set(health, "", NRPC_HEALTH_SERVING);
    assert_int_equal(next(all), SERVING);
    nrpc_stream_close(all);
    wait_for_watches(0);
}

static void test_shutdown(void **state)
{
    (void)state;
    nrpc_health_set(health, "a.B", NRPC_HEALTH_SERVING);
    struct nrpc_stream *all = watch(f.channel, ""), *one = watch(f.channel, "a.B"),
                       *other = watch(f.channel, "c.D");
    assert_int_equal(next(all), SERVING);
    assert_int_equal(next(one), SERVING);
    assert_int_equal(next(other), SERVICE_UNKNOWN);
    nrpc_health_shutdown(health);
    assert_int_equal(next(all), NOT_SERVING);
    assert_int_equal(next(all), -NRPC_UNAVAILABLE);
    assert_int_equal(next(one), NOT_SERVING);
    assert_int_equal(next(one), -NRPC_UNAVAILABLE);
    assert_int_equal(next(other), -NRPC_UNAVAILABLE);
    nrpc_health_set(health, "a.B", NRPC_HEALTH_SERVING); // too late
    nrpc_health_set(health, "c.D", NRPC_HEALTH_SERVING);
    assert_int_equal(check("a.B"), NOT_SERVING);
    assert_int_equal(check(""), NOT_SERVING);
    assert_int_equal(check("c.D"), -NRPC_NOT_FOUND);
    nrpc_stream_close(all);
    nrpc_stream_close(one);
    nrpc_stream_close(other);
    wait_for_watches(0);
    assert_int_equal(nrpc_server_drain(f.server, 10000), 0);
}

// One who does not read is told the newest when it does, and holds nobody up.
static void test_behind(void **state)
{
    (void)state;
    struct nrpc_stream *slow = watch(f.channel, ""), *fast = watch(f.channel, "");
    assert_int_equal(next(fast), SERVING);
    enum { CHANGES = 200000 };
    for (int i = 0; i < CHANGES; i++)
        nrpc_health_set(health, "", i % 2 ? NRPC_HEALTH_SERVING : NRPC_HEALTH_NOT_SERVING);
    nrpc_health_set(health, "", NRPC_HEALTH_UNKNOWN);
    while (next(fast) != UNKNOWN)
        ;
    int told = 1;
    for (; next(slow) != UNKNOWN; told++)
        ;
    assert_true(told < CHANGES);
    nrpc_stream_close(slow);
    nrpc_stream_close(fast);
}

static void test_too_many(void **state)
{
    (void)state;
    static struct nrpc_stream *streams[NRPC_HEALTH_WATCHES_MAX];
    struct nrpc_channel *channel, *more;
    struct nrpc_status st;
    struct nrpc_channel_options o = {.max_outstanding = 4096};
    assert_int_equal(nrpc_channel_open(nrpc_server_url(f.server, 0), &o, &channel, &st), NRPC_OK);
    for (size_t i = 0; i < NRPC_HEALTH_WATCHES_MAX; i++)
        streams[i] = watch(channel, "");
    wait_for_watches(NRPC_HEALTH_WATCHES_MAX);
    more = fixture_connect(&f);
    struct nrpc_stream *one_more = watch(more, "");
    assert_int_equal(next(one_more), -NRPC_RESOURCE_EXHAUSTED);
    nrpc_stream_close(one_more);
    assert_int_equal(check(""), SERVING);
    nrpc_health_set(health, "", NRPC_HEALTH_NOT_SERVING);
    for (size_t i = 0; i < NRPC_HEALTH_WATCHES_MAX; i++) {
        int told = next(streams[i]);
        while (told == SERVING)
            told = next(streams[i]);
        assert_int_equal(told, NOT_SERVING);
        nrpc_stream_close(streams[i]);
    }
    wait_for_watches(0);
    nrpc_channel_close(more);
    nrpc_channel_close(channel);
}

static void test_lost_connection(void **state)
{
    (void)state;
    struct nrpc_channel *channel = fixture_connect(&f);
    struct nrpc_stream *stream = watch(channel, "");
    assert_int_equal(next(stream), SERVING);
    assert_int_equal(running_watches(), 1);
    nrpc_stream_close(stream);
    nrpc_channel_close(channel);
    wait_for_watches(0);
    nrpc_health_set(health, "", NRPC_HEALTH_NOT_SERVING);
    struct nrpc_stream *left = watch(f.channel, ""); // when the server is destroyed
    assert_int_equal(next(left), NOT_SERVING);
    nrpc_stream_close(left);
}

// ---- many at once

enum { SETTERS = 2, WATCHERS = 4, ROUNDS = 300 };

static void *set_often(void *unused)
{
    (void)unused;
    for (int i = 0; i < ROUNDS; i++)
        nrpc_health_set(health, "", i % 2 ? NRPC_HEALTH_SERVING : NRPC_HEALTH_NOT_SERVING);
    return NULL;
}

static void *come_and_go(void *unused)
{
    (void)unused;
    struct nrpc_channel *channel = fixture_connect(&f);
    for (int i = 0; i < ROUNDS; i++) {
        struct nrpc_stream *stream = watch(channel, i % 3 ? "" : "a.B");
        if (i % 4)
            (void)next(stream);
        nrpc_stream_close(stream);
    }
    nrpc_channel_close(channel);
    return NULL;
}

static void test_at_once(void **state)
{
    (void)state;
    pthread_t threads[SETTERS + WATCHERS];
    for (size_t i = 0; i < SETTERS + WATCHERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, i < SETTERS ? set_often : come_and_go, NULL), 0);
    for (size_t i = 0; i < SETTERS + WATCHERS; i++)
        pthread_join(threads[i], NULL);
    wait_for_watches(0);
    nrpc_health_set(health, "", NRPC_HEALTH_UNKNOWN);
    assert_int_equal(check(""), UNKNOWN);
}

int main(void)
{
    static char local;
#define TCP(test)                                                                                            \
    {                                                                                                        \
#test " tcp", test, setup, teardown, NULL                                                            \
    }
#define LOCAL(test)                                                                                          \
    {                                                                                                        \
#test " local", test, setup, teardown, &local                                                        \
    }
    const struct CMUnitTest tests[] = {
        TCP(test_check),    LOCAL(test_check),         TCP(test_watch),   LOCAL(test_watch),
        TCP(test_shutdown), LOCAL(test_shutdown),      TCP(test_behind),  LOCAL(test_behind),
        TCP(test_too_many), TCP(test_lost_connection), TCP(test_at_once), LOCAL(test_at_once),
    };
    return cmocka_run_group_tests_name("services/health", tests, NULL, NULL);
}
