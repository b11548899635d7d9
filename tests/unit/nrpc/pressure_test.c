// SPDX-License-Identifier: Apache-2.0
// pressure_test.c: more than a connection takes at the moment waits and nobody is hung up on; a peer that
// does not keep to the protocol costs little; long messages over slow lines are signs of life.
#include "base/clock.h"
#include "nrpc/flow.h"
#include "nrpc/transport.h"
#include "soak.nrpc.h"
#include "soak/proxy.h"
#include "system/raw_peer.h"

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
        int64_t until_ms = clock_now_ms() + 60000;                                                           \
        while (!(condition) && clock_now_ms() < until_ms)                                                    \
            poll(NULL, 0, 1);                                                                                \
        assert_true(condition);                                                                              \
    } while (0)

enum { BIG = 4 << 20, PARKED_MAX = 1024 };

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
enum { MEMORY_FACTOR = 4 }; // of what they need themselves
#else
enum { MEMORY_FACTOR = 1 };
#endif

static uint8_t data[BIG];

struct host {
    struct nrpc_server *server;
    struct proxy *proxy;
    struct nrpc_channel *channel;
    pthread_mutex_t mu;
    struct nrpc_call *parked[PARKED_MAX];
    _Atomic int parked_count, calls, sent; // sent: messages of Many
    _Atomic int64_t remaining_ms;          // of the last Echo
};

// ---- the service: Echo answers `number` bytes, EchoAgain an error with as many of details; Park answers
// when it is told to

static void on_item(struct nrpc_call *call, const Soak__Item *q, void *user)
{
    struct host *h = user;
    Soak__Item r = SOAK__ITEM__INIT;
    h->calls++;
    h->remaining_ms = nrpc_call_remaining_ms(call);
    r.data = (ProtobufCBinaryData){(size_t)q->number, data};
    soak_soak_echo_reply(call, &r);
}

static void on_detailed(struct nrpc_call *call, const Soak__Item *q, void *user)
{
    Soak__Item r = SOAK__ITEM__INIT;
    const ProtobufCMessage *details[] = {&r.base, &r.base};
    struct nrpc_status st;
    (void)user;
    status_set(&st, NRPC_UNAVAILABLE, "%0200d", 7);
    r.data = (ProtobufCBinaryData){(size_t)q->number / 2, data};
    nrpc_reply_details(call, &st, details, 2);
}

static void on_park(struct nrpc_call *call, const Soak__Item *q, void *user)
{
    struct host *h = user;
    (void)q;
    pthread_mutex_lock(&h->mu);
    assert_true(h->parked_count < PARKED_MAX);
    h->parked[h->parked_count++] = call;
    pthread_mutex_unlock(&h->mu);
}

static void answer_parked(struct host *h, size_t bytes)
{
    Soak__Item r = SOAK__ITEM__INIT;
    r.data = (ProtobufCBinaryData){bytes, data};
    pthread_mutex_lock(&h->mu);
    for (int i = 0; i < h->parked_count; i++)
        soak_soak_park_reply(h->parked[i], &r);
    h->parked_count = 0;
    pthread_mutex_unlock(&h->mu);
}

static void on_many(struct nrpc_call *call, const Soak__Item *q, void *user)
{
    Soak__Item r = SOAK__ITEM__INIT;
    int code = NRPC_OK;
    struct host *h = user;
    r.data = (ProtobufCBinaryData){60000, data};
    for (; r.number < q->number && code == NRPC_OK; r.number++) {
        code = soak_soak_many_send(call, &r);
        h->sent++;
    }
    if (code)
        nrpc_reply_error(call, code, "interrupted");
    else
        nrpc_finish(call);
}

static void on_sum(struct nrpc_call *call, void *user)
{
    Soak__Item r = SOAK__ITEM__INIT;
    const Soak__Item *q;
    (void)user;
    while (soak_soak_sum_receive(call, &q) == NRPC_OK && q)
        r.number++;
    soak_soak_sum_reply(call, &r);
}

// Says hello, then waits for the client.
static void on_chat(struct nrpc_call *call, void *user)
{
    Soak__Item r = SOAK__ITEM__INIT;
    const Soak__Item *q;
    (void)user;
    (void)soak_soak_chat_send(call, &r);
    while (soak_soak_chat_receive(call, &q) == NRPC_OK && q)
        ;
    nrpc_finish(call);
}

static const struct soak_soak_handlers handlers = {
    .echo = on_item,
    .echo_again = on_detailed,
    .park = on_park,
    .many = on_many,
    .sum = on_sum,
    .chat = on_chat,
};

static void open_host(struct host *h, enum nrpc_dispatch dispatch, const struct nrpc_server_options *so,
                      const struct nrpc_channel_options *co, int64_t bytes_per_s)
{
    struct nrpc_status st;
    char url[64];
    *h = (struct host){.server = nrpc_server_create(so)};
    pthread_mutex_init(&h->mu, NULL);
    assert_int_equal(soak_soak_register(h->server, dispatch, &handlers, h, &st), NRPC_OK);
    assert_int_equal(nrpc_server_listen(h->server, "tcp://127.0.0.1:0", &st), NRPC_OK);
    h->proxy = proxy_start((uint16_t)atoi(strrchr(nrpc_server_url(h->server, 0), ':') + 1), 1);
    snprintf(url, sizeof url, "tcp://127.0.0.1:%u", proxy_port(h->proxy));
    assert_int_equal(nrpc_channel_open(url, co, &h->channel, &st), NRPC_OK);
    WAIT_FOR(nrpc_channel_is_connected(h->channel));
    proxy_limit(h->proxy, bytes_per_s);
}

static void close_host(struct host *h)
{
    nrpc_channel_close(h->channel);
    answer_parked(h, 0);
    nrpc_server_destroy(h->server);
    proxy_stop(h->proxy);
    pthread_mutex_destroy(&h->mu);
}

// ---- many calls at the same time

struct count {
    _Atomic int ok, failed, last_code;
    _Atomic uint64_t bytes;
};

static void done(void *user, const struct nrpc_status *st, const Soak__Item *r)
{
    struct count *c = user;
    if (st->code) {
        c->last_code = st->code;
        c->failed++;
    } else {
        c->bytes += r->data.len;
        c->ok++;
    }
}

static void call_many(struct host *h, int calls, size_t request_bytes, uint64_t answer_bytes)
{
    struct count c = {0};
    Soak__Item q = SOAK__ITEM__INIT;
    struct nrpc_channel_stats s;
    q.number = answer_bytes;
    q.data = (ProtobufCBinaryData){request_bytes, data};
    for (int i = 0; i < calls; i++)
        soak_soak_echo_async(h->channel, NULL, &q, done, &c);
    WAIT_FOR(c.ok + c.failed == calls);
    assert_int_equal(c.last_code, NRPC_OK);
    assert_int_equal(c.ok, calls);
    assert_int_equal(c.bytes, (uint64_t)calls * answer_bytes);
    nrpc_channel_stats(h->channel, &s);
    assert_int_equal(s.disconnects, 0);
    assert_int_equal(s.retries, 0);
}

static void test_requests_wait_in_line_by_bytes(void **state)
{
    (void)state;
    struct host h;
    open_host(&h, NRPC_POOLED, NULL, NULL, 0);
    call_many(&h, 1000, 100000, 0);
    proxy_limit(h.proxy, 60000000);
    call_many(&h, 100, 1000000, 0);
    close_host(&h);
}

static void read_much(enum nrpc_dispatch dispatch)
{
    struct host h;
    open_host(&h, dispatch, NULL, NULL, 60000000);
    call_many(&h, 1000, 10, 100000);
    call_many(&h, 60, 1000000, 1000000);
    close_host(&h);
}

static void test_answers_wait_for_a_slow_client(void **state)
{
    (void)state;
    read_much(NRPC_POOLED);
    read_much(NRPC_INLINE);
}

// Answers that cannot be put off, since their calls run already.
static void test_parked_calls_are_all_answered(void **state)
{
    (void)state;
    enum { CALLS = 600 };
    struct host h;
    struct count c = {0};
    Soak__Item q = SOAK__ITEM__INIT;
    open_host(&h, NRPC_POOLED, NULL, NULL, 100000000);
    for (int i = 0; i < CALLS; i++)
        soak_soak_park_async(h.channel, NULL, &q, done, &c);
    WAIT_FOR(h.parked_count == CALLS);
    answer_parked(&h, 100000);
    WAIT_FOR(c.ok + c.failed == CALLS);
    assert_int_equal(c.ok, CALLS);
    close_host(&h);
}

// One that is alone is served whatever it takes.
static void call_alone(size_t request_bytes)
{
    struct host h;
    open_host(&h, NRPC_INLINE, &(struct nrpc_server_options){.parked_bytes_max = 1000}, NULL, 0);
    call_many(&h, 1, request_bytes, 0);
    close_host(&h);
}

// What parked requests take is bounded, by their number on a connection and by their bytes; when they are
// answered there is room again. One call more than fits is refused, and no other.
static void park_until_refused(const struct nrpc_server_options *so, size_t request_bytes, int least,
                               int most, const char *why)
{
    struct host h;
    struct count c = {0};
    struct nrpc_status st;
    Soak__Item q = SOAK__ITEM__INIT, *r;
    q.data = (ProtobufCBinaryData){request_bytes, data};
    open_host(&h, NRPC_INLINE, so, NULL, 0);
    for (int round = 0; round < 3; round++) {
        c.ok = c.failed = 0;
        for (int i = 0; i < 2 * most; i++)
            soak_soak_park_async(h.channel, NULL, &q, done, &c);
        WAIT_FOR(h.parked_count + c.failed == 2 * most);
        assert_int_equal(c.last_code, NRPC_RESOURCE_EXHAUSTED);
        assert_in_range(h.parked_count, least, most);
        assert_int_equal(soak_soak_park(h.channel, NULL, &q, &r, &st), NRPC_RESOURCE_EXHAUSTED);
        assert_non_null(strstr(st.text, why));
        answer_parked(&h, 0);
        WAIT_FOR(c.ok + c.failed == 2 * most);
    }
    close_host(&h);
}

static void test_parked_requests_are_bounded(void **state)
{
    (void)state;
    park_until_refused(&(struct nrpc_server_options){.parked_bytes_max = 10 << 20}, 1 << 20, 9, 11,
                       "take too much memory");
    park_until_refused(&(struct nrpc_server_options){.parked_bytes_max = 1 << 20}, 3000, 100, 400,
                       "take too much memory");
    park_until_refused(&(struct nrpc_server_options){.parked_of_connection_max = 50}, 10, 50, 50,
                       "the connection has too many");
    call_alone(3 << 20);
}

// More credit in all than may wait for a connection: writers wait, and go on.
static void test_streams_wait_for_room(void **state)
{
    (void)state;
    enum { STREAMS = 700 };
    static struct nrpc_stream *streams[STREAMS];
    struct host h;
    struct nrpc_status st;
    Soak__Item q = SOAK__ITEM__INIT;
    const Soak__Item *r;
    const struct nrpc_server_options so = {.workers = 256};
    open_host(&h, NRPC_POOLED, &so, NULL, 100000000);
    q.number = 2;
    for (int i = 0; i < STREAMS; i++)
        assert_int_equal(soak_soak_many(h.channel, NULL, &q, &streams[i], &st), NRPC_OK);
    for (int i = 0; i < STREAMS; i++) {
        for (uint64_t k = 0; k < q.number; k++) {
            assert_int_equal(soak_soak_many_read(streams[i], &r, &st), NRPC_OK);
            assert_int_equal(r->data.len, 60000);
        }
        assert_int_equal(soak_soak_many_read(streams[i], &r, &st), NRPC_OK);
        assert_null(r);
        nrpc_stream_close(streams[i]);
    }
    close_host(&h);
}

// A reader that reads nothing is sent no more than its window has room for; one that reads, all.
static void test_streams_keep_to_their_window(void **state)
{
    (void)state;
    enum { MESSAGES = 100, BYTES = 60000, WINDOW = 256 << 10, MOST = WINDOW / BYTES + 2 };
    struct host h;
    struct nrpc_stream *stream;
    struct nrpc_status st;
    Soak__Item q = SOAK__ITEM__INIT;
    const Soak__Item *r;
    open_host(&h, NRPC_POOLED, NULL, NULL, 0);
    q.number = MESSAGES;
    const struct nrpc_call_options o = {.timeout_ms = 30000};
    assert_int_equal(soak_soak_many(h.channel, &o, &q, &stream, &st), NRPC_OK);
    WAIT_FOR(h.sent >= WINDOW / BYTES);
    poll(NULL, 0, 200);
    assert_in_range(h.sent, WINDOW / BYTES, MOST);
    for (uint64_t k = 0; k < MESSAGES; k++) {
        assert_int_equal(soak_soak_many_read(stream, &r, &st), NRPC_OK);
        assert_int_equal(r->number, k);
        assert_true((uint64_t)h.sent <= k + 1 + MOST);
    }
    assert_int_equal(soak_soak_many_read(stream, &r, &st), NRPC_OK);
    assert_null(r);
    nrpc_stream_close(stream);
    close_host(&h);
}

// What has ended before it could leave does not leave; what leaves late says how much time is left.
static void test_requests_that_are_held(void **state)
{
    (void)state;
    enum { CALLS = 60, WINDOW = 48 };
    struct host h;
    struct count c = {0}, last = {0};
    Soak__Item q = SOAK__ITEM__INIT;
    open_host(&h, NRPC_INLINE, NULL, NULL, 0);
    proxy_stall(h.proxy, true);
    q.data = (ProtobufCBinaryData){100000, data};
    struct nrpc_call_options o = {.timeout_ms = 300};
    for (int i = 0; i < CALLS; i++)
        soak_soak_echo_async(h.channel, &o, &q, done, &c);
    o.timeout_ms = 60000;
    soak_soak_echo_async(h.channel, &o, &q, done, &last);
    WAIT_FOR(c.failed == CALLS);
    poll(NULL, 0, 200);
    proxy_stall(h.proxy, false);
    WAIT_FOR(last.ok == 1);
    assert_in_range(h.calls, 1, WINDOW + 1);
    assert_in_range(h.remaining_ms, 50000, 60000 - 400);
    close_host(&h);
}

// ---- long messages over slow lines

enum { KEEPALIVE_MS = 700, KEEPALIVE_TIMEOUT_MS = 600, SLOW_BYTES_PER_S = 400000, LONG_BYTES = 1200000 };

// Three seconds for one message, with patience for less than half of it, on both sides.
static void cross_slowly(size_t request_bytes, uint64_t answer_bytes)
{
    const struct nrpc_server_options so = {.keepalive_ms = KEEPALIVE_MS,
                                           .keepalive_timeout_ms = KEEPALIVE_TIMEOUT_MS};
    const struct nrpc_channel_options co = {.keepalive_ms = KEEPALIVE_MS,
                                            .keepalive_timeout_ms = KEEPALIVE_TIMEOUT_MS};
    struct host h;
    open_host(&h, NRPC_POOLED, &so, &co, SLOW_BYTES_PER_S);
    int64_t begun_ms = clock_now_ms();
    call_many(&h, 1, request_bytes, answer_bytes);
    assert_true(clock_now_ms() - begun_ms > KEEPALIVE_MS + KEEPALIVE_TIMEOUT_MS);
    close_host(&h);
}

static void test_bytes_are_signs_of_life(void **state)
{
    (void)state;
    cross_slowly(LONG_BYTES, 0);
    cross_slowly(0, LONG_BYTES);
}

// Whoever is really dead is found as soon as before, also in the middle of a long message.
static void die_silently(size_t request_bytes)
{
    const struct nrpc_channel_options co = {.keepalive_ms = KEEPALIVE_MS,
                                            .keepalive_timeout_ms = KEEPALIVE_TIMEOUT_MS};
    struct host h;
    struct count c = {0};
    Soak__Item q = SOAK__ITEM__INIT;
    open_host(&h, NRPC_POOLED, NULL, &co, SLOW_BYTES_PER_S);
    q.data = (ProtobufCBinaryData){request_bytes, data};
    soak_soak_park_async(h.channel, NULL, &q, done, &c);
    poll(NULL, 0, 1000); // so that some of it is on its way
    assert_int_equal(c.failed, 0);
    int64_t died_ms = clock_now_ms();
    proxy_stall(h.proxy, true);
    WAIT_FOR(c.failed == 1);
    assert_int_equal(c.last_code, NRPC_UNAVAILABLE);
    int64_t took_ms = clock_now_ms() - died_ms;
    print_message("found after %lld ms\n", (long long)took_ms);
    assert_in_range(took_ms, 0, KEEPALIVE_MS + KEEPALIVE_TIMEOUT_MS + 1500); // and what a busy machine adds
    proxy_stall(h.proxy, false);
    close_host(&h);
}

static void test_the_dead_are_found(void **state)
{
    (void)state;
    die_silently(LONG_BYTES);
    die_silently(10);
}

// A call that may wait quietly does not make the server be asked; beside one that may not, it is.
static void test_quiet_calls(void **state)
{
    (void)state;
    struct host h;
    struct count quiet = {0}, other = {0};
    Soak__Item q = SOAK__ITEM__INIT;
    const struct nrpc_channel_options o = {.keepalive_ms = 200, .keepalive_timeout_ms = 300};
    const struct nrpc_call_options may_wait = {.quiet_ms = 60000};
    open_host(&h, NRPC_POOLED, NULL, &o, 0);
    soak_soak_park_async(h.channel, &may_wait, &q, done, &quiet);
    WAIT_FOR(h.parked_count == 1);
    proxy_stall(h.proxy, true);
    int64_t start_ms = clock_now_ms();
    WAIT_FOR(clock_now_ms() - start_ms > 1500);
    assert_int_equal(quiet.ok + quiet.failed, 0);
    soak_soak_park_async(h.channel, NULL, &q, done, &other);
    start_ms = clock_now_ms();
    WAIT_FOR(other.failed == 1 && quiet.failed == 1);
    assert_in_range(clock_now_ms() - start_ms, 290, 10000); // it is asked, and given the time to answer
    assert_int_equal(quiet.last_code, NRPC_UNAVAILABLE);
    proxy_stall(h.proxy, false);
    close_host(&h);
}

// ---- peers that do not keep to the protocol

static long resident_kib(void)
{
    long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%*d %ld", &pages), 1);
    fclose(f);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

// Asks for more and more, reads nothing, and says that it has received everything.
static void lie(enum nrpc_dispatch dispatch)
{
    enum { CALLS = 600, LIMIT_KIB = MEMORY_FACTOR * (64 << 10) };
    struct host h;
    uint8_t payload[64];
    Soak__Item q = SOAK__ITEM__INIT;
    open_host(&h, dispatch, NULL, NULL, 0);
    long before_kib = resident_kib(), most_kib = 0;
    q.number = 1000000;
    size_t size = soak__item__pack(&q, payload);
    int fd = raw_connect(nrpc_server_url(h.server, 0));
    assert_true(raw_handshake(fd));
    for (uint32_t i = 1; i <= CALLS; i++) {
        if (!raw_request(fd, i, i > 1 ? i - 1 : 0, "/soak.Soak/Echo", payload, size))
            break;
        poll(NULL, 0, 1);
        long kib = resident_kib() - before_kib;
        most_kib = kib > most_kib ? kib : most_kib;
    }
    print_message("at most %ld KiB\n", most_kib);
    assert_in_range(most_kib, 0, LIMIT_KIB);
    raw_hang_up(fd, true);
    close_host(&h);
}

static void test_false_acknowledgements(void **state)
{
    (void)state;
    lie(NRPC_POOLED);
    lie(NRPC_INLINE);
}

// Details that do not fit are left out; the connection, the other calls on it and the status stay. Details of
// nearly the limit arrive.
static void test_too_many_details(void **state)
{
    (void)state;
    struct host h;
    struct count c = {0};
    struct nrpc_status st;
    struct nrpc_channel_stats s;
    struct nrpc_outcome outcome;
    const struct nrpc_channel_options co = {.retry.max_attempts = 1};
    struct nrpc_call_options o = {.outcome = &outcome};
    Soak__Item q = SOAK__ITEM__INIT;
    open_host(&h, NRPC_POOLED, NULL, &co, 0);
    soak_soak_park_async(h.channel, NULL, &q, done, &c);
    WAIT_FOR(h.parked_count == 1);
    const uint64_t sizes[] = {BIG - 1000, BIG, 2 * BIG, 10};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        bool fits = sizes[i] < BIG;
        q.number = sizes[i];
        assert_int_equal(soak_soak_echo_again(h.channel, &o, &q, NULL, &st), NRPC_UNAVAILABLE);
        assert_true((outcome.details_bytes > sizes[i]) == fits);
        assert_true((strstr(st.text, "over the limit of 4194304)") == NULL) == fits);
        nrpc_outcome_fini(&outcome);
    }
    nrpc_channel_stats(h.channel, &s);
    assert_int_equal(s.disconnects, 0);
    answer_parked(&h, 0);
    WAIT_FOR(c.ok == 1);
    close_host(&h);
}

// A client with a smaller limit than its server's: what is over it ends its own call, once; the others go on.
static void test_answers_over_the_clients_limit(void **state)
{
    (void)state;
    struct host h;
    struct count c = {0};
    struct nrpc_status st;
    struct nrpc_channel_stats s;
    struct nrpc_outcome outcome;
    struct nrpc_stream *stream;
    const Soak__Item *r;
    const struct nrpc_channel_options co = {.max_message_bytes = 10000};
    struct nrpc_call_options o = {.outcome = &outcome};
    Soak__Item q = SOAK__ITEM__INIT;
    open_host(&h, NRPC_POOLED, NULL, &co, 0);
    soak_soak_park_async(h.channel, NULL, &q, done, &c);
    WAIT_FOR(h.parked_count == 1);
    const uint64_t sizes[] = {BIG - 1000, 100000, 60000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        q.number = sizes[i];
        assert_int_equal(soak_soak_echo(h.channel, NULL, &q, NULL, &st), NRPC_RESOURCE_EXHAUSTED);
        assert_non_null(strstr(st.text, "is over the limit of 10000"));
        assert_int_equal(soak_soak_echo_again(h.channel, &o, &q, NULL, &st), NRPC_RESOURCE_EXHAUSTED);
        assert_int_equal(outcome.attempts, 1);
        nrpc_outcome_fini(&outcome);
    }
    q.number = 2;
    assert_int_equal(soak_soak_many(h.channel, NULL, &q, &stream, &st), NRPC_OK);
    assert_int_equal(soak_soak_many_read(stream, &r, &st), NRPC_RESOURCE_EXHAUSTED);
    nrpc_stream_close(stream);
    call_many(&h, 100, 10, 1000);
    nrpc_channel_stats(h.channel, &s);
    assert_int_equal(s.disconnects, 0);
    answer_parked(&h, 10);
    WAIT_FOR(c.ok == 1);
    close_host(&h);
}

// Messages of nothing, each in a frame of its own, which nobody reads: they take what they cost, not many
// times that.
static void test_empty_messages(void **state)
{
    (void)state;
    enum { STREAMS = 40, MESSAGES = 4000, PIECES = 12 };
    static struct flow flows[STREAMS];
    struct frame f = {.version = NRPC_WIRE_VERSION, .kind = FRAME_MESSAGE}, parsed;
    struct wire_bytes payload;
    const Soak__Item nothing = SOAK__ITEM__INIT;
    for (int s = 0; s < STREAMS; s++) {
        flow_init(&flows[s], FLOW_FIRST_CREDIT, FLOW_FIRST_CREDIT);
        for (int i = 0; i < MESSAGES; i++) {
            nng_msg *msg = transport_encode(&f, &nothing.base, 0);
            assert_int_equal(frame_parse(nng_msg_body(msg), nng_msg_len(msg), &parsed, NULL), NRPC_OK);
            assert_true(flow_receive(&flows[s], msg, &parsed));
        }
        assert_in_range(flows[s].queue.count, 1, PIECES); // of 8 KiB at most
    }
    for (int s = 0; s < STREAMS; s++) {
        int n = 0;
        for (; flow_next(&flows[s], &payload); n++)
            assert_int_equal(payload.size, 0);
        assert_int_equal(n, MESSAGES);
        flow_fini(&flows[s]);
    }
}

// ---- streams that wait

// Idle streams, more than there are workers, do not keep others from being served.
static void test_idle_streams_hold_no_worker(void **state)
{
    (void)state;
    enum { STREAMS = 40 };
    struct host h;
    struct nrpc_status st;
    struct nrpc_stream *streams[STREAMS];
    const Soak__Item *r;
    const struct nrpc_server_options so = {.workers = 2};
    open_host(&h, NRPC_POOLED, &so, NULL, 0);
    for (int i = 0; i < STREAMS; i++) {
        assert_int_equal(soak_soak_chat(h.channel, NULL, &streams[i], &st), NRPC_OK);
        assert_int_equal(soak_soak_chat_read(streams[i], &r, &st), NRPC_OK); // its handler runs
    }
    call_many(&h, 100, 10, 10);
    for (int i = 0; i < STREAMS; i++) {
        nrpc_stream_close_send(streams[i]);
        assert_int_equal(soak_soak_chat_read(streams[i], &r, &st), NRPC_OK);
        assert_null(r);
        nrpc_stream_close(streams[i]);
    }
    close_host(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests_wait_in_line_by_bytes),
        cmocka_unit_test(test_answers_wait_for_a_slow_client),
        cmocka_unit_test(test_parked_calls_are_all_answered),
        cmocka_unit_test(test_parked_requests_are_bounded),
        cmocka_unit_test(test_streams_wait_for_room),
        cmocka_unit_test(test_streams_keep_to_their_window),
        cmocka_unit_test(test_requests_that_are_held),
        cmocka_unit_test(test_bytes_are_signs_of_life),
        cmocka_unit_test(test_the_dead_are_found),
        cmocka_unit_test(test_quiet_calls),
        cmocka_unit_test(test_false_acknowledgements),
        cmocka_unit_test(test_too_many_details),
        cmocka_unit_test(test_answers_over_the_clients_limit),
        cmocka_unit_test(test_empty_messages),
        cmocka_unit_test(test_idle_streams_hold_no_worker),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
