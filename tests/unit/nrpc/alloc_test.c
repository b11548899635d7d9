// SPDX-License-Identifier: Apache-2.0
// alloc_test.c: a call allocates nothing of ours once everything has its size. The linker puts counters
// around malloc and its sisters in all that is linked statically, which is our code; nng's and protobuf-c's
// own are not counted.
#include "base/clock.h"
#include "echo.nrpc.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static _Atomic long allocations;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);

void *__wrap_malloc(size_t size)
{
    allocations++;
    return __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    allocations++;
    return __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    allocations++;
    return __real_realloc(old, size);
}

static void on_say(struct nrpc_call *call, const Echo__V1__SayRequest *q, void *user)
{
    (void)user;
    Echo__V1__SayResponse r = ECHO__V1__SAY_RESPONSE__INIT;
    r.data = q->data;
    echo_v1_echo_say_reply(call, &r);
}

static const struct echo_v1_echo_handlers handlers = {
    .say = on_say, .say_again = on_say, .admin = on_say, .park = on_say};

static struct {
    struct nrpc_channel *channel;
    Echo__V1__SayRequest request;
    _Atomic long left, ended;
} t = {.request = ECHO__V1__SAY_REQUEST__INIT};

static void done(void *user, const struct nrpc_status *st, const Echo__V1__SayResponse *r)
{
    assert_int_equal(st->code, NRPC_OK);
    assert_int_equal(r->data.len, t.request.data.len);
    if (atomic_fetch_sub(&t.left, 1) > 0)
        echo_v1_echo_say_async(t.channel, &(struct nrpc_call_options){.timeout_ms = 60000}, &t.request, done,
                               user);
    t.ended++;
}

static void run(long calls, int outstanding)
{
    int64_t until_ms = clock_now_ms() + 60000;
    t.left = calls - outstanding;
    t.ended = 0;
    for (int i = 0; i < outstanding; i++)
        echo_v1_echo_say_async(t.channel, &(struct nrpc_call_options){.timeout_ms = 60000}, &t.request, done,
                               NULL);
    while (t.ended < calls && clock_now_ms() < until_ms)
        poll(NULL, 0, 1);
    assert_int_equal(t.ended, calls);
}

static void test_calls_allocate_nothing(void **state)
{
    (void)state;
    enum { CALLS = 50000, ROUNDS = 5 };
    uint8_t data[100] = {0};
    struct nrpc_status st;
    struct nrpc_server *s = nrpc_server_create(NULL);
    assert_int_equal(echo_v1_echo_register(s, NRPC_INLINE, &handlers, NULL, &st), NRPC_OK);
    assert_int_equal(nrpc_server_listen(s, "tcp://127.0.0.1:0", &st), NRPC_OK);
    assert_int_equal(nrpc_channel_open(nrpc_server_url(s, 0), NULL, &t.channel, &st), NRPC_OK);
    t.request.data = (ProtobufCBinaryData){sizeof data, data};
    static const int outstanding[] = {1, 32};
    for (size_t i = 0; i < 2; i++) {
        long least = CALLS;
        for (int round = 0; round < ROUNDS; round++) { // the first ones bring everything to its size
            long before = allocations;
            run(CALLS / 10, outstanding[i]);
            least = allocations - before < least ? allocations - before : least;
        }
        print_message("%d outstanding: %ld allocations of ours in %d calls\n", outstanding[i], least,
                      CALLS / 10);
        assert_true(least <= 5); // a queue may grow by chance
    }
    nrpc_channel_close(t.channel);
    nrpc_server_destroy(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_calls_allocate_nothing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
