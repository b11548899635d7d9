// SPDX-License-Identifier: Apache-2.0
// store_watch_test.c: the health service says which store is away, and when it is back; "" serves all the
// time.
#include "store_watch.h"

#include "base/clock.h"
#include "nrpc/v1/health.nrpc.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>

#include <cmocka.h>

enum { WITHIN_MS = 20000 };

static _Atomic int state_code, records_code;

static int check_state(struct state *s, struct nrpc_status *st)
{
    (void)s;
    return state_code ? status_set(st, state_code, "as it is told") : NRPC_OK;
}

static int check_records(struct records *r, struct nrpc_status *st)
{
    (void)r;
    return records_code ? status_set(st, records_code, "as it is told") : NRPC_OK;
}

static int status_of(struct nrpc_channel *channel, const char *service)
{
    Nrpc__V1__HealthCheckRequest q = NRPC__V1__HEALTH_CHECK_REQUEST__INIT;
    Nrpc__V1__HealthCheckResponse *r;
    struct nrpc_status st;
    q.service = (char *)service;
    assert_int_equal(nrpc_v1_health_check(channel, NULL, &q, &r, &st), NRPC_OK);
    int status = (int)r->status;
    protobuf_c_message_free_unpacked(&r->base, NULL);
    return status;
}

static void expect(struct nrpc_channel *channel, int state_status, int records_status)
{
    int64_t until_ms = clock_now_ms() + WITHIN_MS;
    while ((status_of(channel, "dtf.state") != state_status ||
            status_of(channel, "dtf.records") != records_status) &&
           clock_now_ms() < until_ms)
        poll(NULL, 0, 10);
    assert_int_equal(status_of(channel, "dtf.state"), state_status);
    assert_int_equal(status_of(channel, "dtf.records"), records_status);
    assert_int_equal(status_of(channel, ""), NRPC_HEALTH_SERVING);
}

static void test_says_which_store_is_away(void **state)
{
    (void)state;
    static const struct state_ops state_ops = {.check = check_state};
    static const struct records_ops records_ops = {.check = check_records};
    struct state s = {.ops = &state_ops};
    struct records r = {.ops = &records_ops};
    struct stores stores = {.state = &s, .records = &r};
    struct nrpc_status st;
    struct callbacks callbacks;
    callbacks_init(&callbacks);
    struct nrpc_server *server = nrpc_server_create(NULL);
    struct nrpc_health *health = nrpc_health_create();
    assert_int_equal(nrpc_health_add(health, server, &st), NRPC_OK);
    struct nrpc_channel *channel = nrpc_channel_local(server);
    struct store_watch *w = store_watch_start(&stores, &callbacks, NULL, health);
    expect(channel, NRPC_HEALTH_SERVING, NRPC_HEALTH_SERVING);
    state_code = NRPC_UNAVAILABLE;
    expect(channel, NRPC_HEALTH_NOT_SERVING, NRPC_HEALTH_SERVING);
    records_code = NRPC_RESOURCE_EXHAUSTED;
    expect(channel, NRPC_HEALTH_NOT_SERVING, NRPC_HEALTH_NOT_SERVING);
    state_code = records_code = NRPC_OK;
    expect(channel, NRPC_HEALTH_SERVING, NRPC_HEALTH_SERVING);
    store_watch_stop(w);
    nrpc_channel_close(channel);
    nrpc_server_destroy(server);
    nrpc_health_destroy(health);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_says_which_store_is_away)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
