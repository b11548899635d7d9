// SPDX-License-Identifier: Apache-2.0
// executor_test.c: a node against a made-up coordinator, under a fake clock: what it says of itself after a
// call was lost, and how often it asks who refuses it.
#include "executor/executor.h"

#include "dtf/v1/node.nrpc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { POLL_MS = 1000, STEP_MS = 10, SOON_MS = 200, MUCH_LATER_MS = 60000 };

static struct {
    struct nrpc_call *parked;
    int64_t parked_until_ms;
    int polls, resyncs, registrations;
    bool lose_next; // the answer to the next poll
    bool refuses;   // to register anybody
} fake;
static int64_t now_ms;
static struct nrpc_server *server;
static struct nrpc_channel *channel;
static struct executor *e;

static int64_t fake_now_ms(void)
{
    return now_ms;
}

static void on_register(struct nrpc_call *call, const Dtf__V1__RegisterRequest *request, void *user)
{
    (void)request;
    (void)user;
    fake.registrations++;
    if (fake.refuses) {
        nrpc_reply_error(call, NRPC_UNAVAILABLE, "not now");
        return;
    }
    Dtf__V1__RegisterResponse r = DTF__V1__REGISTER_RESPONSE__INIT;
    r.node_id = 7;
    r.poll_ms = POLL_MS;
    dtf_v1_node_service_register_reply(call, &r);
}

static void answer(struct nrpc_call *call)
{
    Dtf__V1__ExchangeResponse r = DTF__V1__EXCHANGE_RESPONSE__INIT;
    dtf_v1_node_service_exchange_reply(call, &r);
}

static void on_exchange(struct nrpc_call *call, const Dtf__V1__ExchangeRequest *request, void *user)
{
    (void)user;
    fake.resyncs += request->resync;
    if (!request->wait_ms) {
        answer(call);
        return;
    }
    fake.polls++;
    if (fake.lose_next) {
        fake.lose_next = false;
        nrpc_reply_error(call, NRPC_UNAVAILABLE, "lost");
        return;
    }
    assert_null(fake.parked);
    fake.parked = call;
    fake.parked_until_ms = now_ms + (int64_t)request->wait_ms;
}

static void on_leave(struct nrpc_call *call, const Dtf__V1__LeaveRequest *request, void *user)
{
    (void)request;
    (void)user;
    Dtf__V1__LeaveResponse r = DTF__V1__LEAVE_RESPONSE__INIT;
    dtf_v1_node_service_leave_reply(call, &r);
}

static const struct dtf_v1_node_service_handlers handlers = {
    .register_ = on_register, .exchange = on_exchange, .leave = on_leave};

// Time passes until the condition holds, or for so long.
static void pass(int64_t ms, const int *counter, int wanted)
{
    for (int64_t until_ms = now_ms + ms; now_ms < until_ms && *counter < wanted; now_ms += STEP_MS) {
        struct nrpc_call *parked = fake.parked;
        if (parked && now_ms >= fake.parked_until_ms) {
            fake.parked = NULL;
            answer(parked);
        }
        (void)executor_step(e, now_ms);
    }
}

static int setup(void **state)
{
    (void)state;
    struct nrpc_status st;
    memset(&fake, 0, sizeof fake);
    now_ms = 1000000;
    server = nrpc_server_create(NULL);
    assert_int_equal(dtf_v1_node_service_register(server, NRPC_INLINE, &handlers, NULL, &st), NRPC_OK);
    channel = nrpc_channel_local(server);
    e = executor_create(channel, &(struct executor_options){.slots = 2, .name = "n", .now_ms = fake_now_ms});
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    if (fake.parked)
        answer(fake.parked);
    nrpc_channel_close(channel);
    executor_destroy(e);
    nrpc_server_destroy(server);
    return 0;
}

static void test_says_twice_what_it_holds_after_a_loss(void **state)
{
    (void)state;
    fake.lose_next = true;
    pass(SOON_MS, &fake.resyncs, 1); // at once, at whichever coordinator it reaches
    assert_int_equal(fake.resyncs, 1);
    int64_t lost_ms = now_ms;
    pass(MUCH_LATER_MS, &fake.resyncs, 2); // when the lost poll cannot be parked anywhere any more
    assert_int_equal(fake.resyncs, 2);
    assert_true(now_ms - lost_ms > POLL_MS);
    int polls = fake.polls;
    assert_true(polls > 1); // it has worked on in between
    pass(MUCH_LATER_MS, &fake.resyncs, 3);
    assert_int_equal(fake.resyncs, 2); // and that is all
    assert_true(fake.polls > polls);
}

// The pauses grow from 50 ms to a second, of each at least the half.
static void test_backs_off(void **state)
{
    (void)state;
    enum { REFUSED_MS = 10000, LEAST = 12, MOST = 26 };
    fake.refuses = true;
    pass(REFUSED_MS, &fake.registrations, MOST + 1);
    assert_in_range(fake.registrations, LEAST, MOST);
    fake.refuses = false;
    pass(SOON_MS + 1000, &fake.polls, 1);
    assert_int_equal(fake.polls, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_says_twice_what_it_holds_after_a_loss, setup, teardown),
        cmocka_unit_test_setup_teardown(test_backs_off, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
