// SPDX-License-Identifier: Apache-2.0
// moving_test.c: servers come and go behind an address, and addresses behind a name: calls go where they can
// be served, and what is not needed any more is neither dialed nor kept.
#include "base/clock.h"
#include "nrpc/frame.h"
#include "soak.nrpc.h"
#include "soak/proxy.h"
#include "system/raw_peer.h"

#include <arpa/inet.h>
#include <netdb.h>
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
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define WAIT_FOR(condition)                                                                                  \
    do {                                                                                                     \
        int64_t until_ms = clock_now_ms() + 20000;                                                           \
        while (!(condition) && clock_now_ms() < until_ms)                                                    \
            poll(NULL, 0, 1);                                                                                \
        assert_true(condition);                                                                              \
    } while (0)

enum { PARKED_MAX = 64 };

struct host {
    struct nrpc_server *server;
    pthread_mutex_t mu;
    struct nrpc_call *parked[PARKED_MAX];
    _Atomic int parked_count, calls;
    _Atomic bool unavailable; // Echo answers so, by itself
};

// ---- the service

static void on_item(struct nrpc_call *call, const Soak__Item *q, void *user)
{
    struct host *h = user;
    h->calls++;
    if (h->unavailable)
        nrpc_reply_error(call, NRPC_UNAVAILABLE, "not now");
    else
        soak_soak_echo_reply(call, q);
}

static void on_park(struct nrpc_call *call, const Soak__Item *q, void *user)
{
    struct host *h = user;
    (void)q;
    pthread_mutex_lock(&h->mu);
    h->parked[h->parked_count++] = call;
    pthread_mutex_unlock(&h->mu);
}

static void answer_parked(struct host *h)
{
    Soak__Item r = SOAK__ITEM__INIT;
    pthread_mutex_lock(&h->mu);
    for (int i = 0; i < h->parked_count; i++)
        soak_soak_park_reply(h->parked[i], &r);
    h->parked_count = 0;
    pthread_mutex_unlock(&h->mu);
}

static void on_many(struct nrpc_call *call, const Soak__Item *q, void *user)
{
    struct host *h = user;
    h->calls++;
    (void)soak_soak_many_send(call, q);
    nrpc_finish(call);
}

static void on_chat(struct nrpc_call *call, void *user)
{
    struct host *h = user;
    const Soak__Item *q;
    h->calls++;
    while (soak_soak_chat_receive(call, &q) == NRPC_OK && q)
        (void)soak_soak_chat_send(call, q);
    nrpc_finish(call);
}

static const struct soak_soak_handlers handlers = {
    .echo = on_item,
    .echo_again = on_item,
    .park = on_park,
    .many = on_many,
    .sum = on_chat,
    .chat = on_chat,
};

static void open_host(struct host *h, const char *url)
{
    struct nrpc_status st;
    *h = (struct host){.server = nrpc_server_create(NULL)};
    pthread_mutex_init(&h->mu, NULL);
    assert_int_equal(soak_soak_register(h->server, NRPC_POOLED, &handlers, h, &st), NRPC_OK);
    assert_int_equal(nrpc_server_listen(h->server, url, &st), NRPC_OK);
}

static void close_host(struct host *h)
{
    answer_parked(h);
    nrpc_server_destroy(h->server);
    pthread_mutex_destroy(&h->mu);
}

static uint16_t port_of(const struct host *h)
{
    return (uint16_t)atoi(strrchr(nrpc_server_url(h->server, 0), ':') + 1);
}

static struct nrpc_channel *open_channel(const char *url, const struct nrpc_channel_options *o)
{
    struct nrpc_channel *ch;
    struct nrpc_status st;
    assert_int_equal(nrpc_channel_open(url, o, &ch, &st), NRPC_OK);
    return ch;
}

static int echo(struct nrpc_channel *ch)
{
    Soak__Item q = SOAK__ITEM__INIT;
    struct nrpc_call_options o = {.timeout_ms = 20000};
    struct nrpc_status st;
    int code = soak_soak_echo(ch, &o, &q, NULL, &st);
    if (code)
        print_message("%s\n", st.text);
    return code;
}

static struct nrpc_channel_stats stats_of(struct nrpc_channel *ch)
{
    struct nrpc_channel_stats s;
    nrpc_channel_stats(ch, &s);
    return s;
}

struct ends {
    _Atomic int count, ok, last_code;
};

static void done(void *user, const struct nrpc_status *st, const Soak__Item *r)
{
    struct ends *e = user;
    (void)r;
    e->last_code = st->code;
    e->ok += st->code == NRPC_OK;
    e->count++;
}

// ---- a rolling restart behind one address

// Each server drains with a long call on it; the next one listens on the same address: calls go there
// immediately, and each long call ends well at its own server.
static void test_rolling_restart_behind_one_address(void **state)
{
    (void)state;
    enum { SERVERS = 4 };
    struct host hosts[SERVERS];
    struct ends e = {0};
    Soak__Item q = SOAK__ITEM__INIT;
    char url[100];
    open_host(&hosts[0], "tcp://127.0.0.1:0");
    snprintf(url, sizeof url, "%s", nrpc_server_url(hosts[0].server, 0));
    struct nrpc_channel *ch = open_channel(url, NULL);
    for (int i = 0; i < SERVERS; i++) {
        int64_t begun_ms = clock_now_ms();
        assert_int_equal(echo(ch), NRPC_OK);
        assert_in_range(clock_now_ms() - begun_ms, 0, 1900); // a connect pause at the most, no time-out
        assert_int_equal(hosts[i].calls, 1);
        soak_soak_park_async(ch, NULL, &q, done, &e);
        WAIT_FOR(hosts[i].parked_count == 1);
        if (i + 1 == SERVERS)
            break;
        assert_int_equal(nrpc_server_drain(hosts[i].server, 0), 1);
        open_host(&hosts[i + 1], url);
    }
    assert_int_equal(e.count, 0);
    assert_int_equal(stats_of(ch).endpoints, 1);
    for (int i = 0; i < SERVERS; i++)
        answer_parked(&hosts[i]);
    WAIT_FOR(e.count == SERVERS);
    assert_int_equal(e.ok, SERVERS);
    WAIT_FOR(stats_of(ch).connected == 1); // the old connections are gone
    nrpc_channel_close(ch);
    for (int i = 0; i < SERVERS; i++)
        close_host(&hosts[i]);
}

// ---- requests that cross a DRAIN

// a has said DRAIN, but it is held up on its way; what the client sends meanwhile has come to a and is served
// there, whatever it is. What it calls afterwards goes to b, where the address leads by now.
static void cross(void *(*call)(void *channel))
{
    struct host a, b;
    char urls[200];
    open_host(&a, "tcp://127.0.0.1:0");
    open_host(&b, "tcp://127.0.0.1:0");
    struct proxy *x = proxy_start(port_of(&a), 1);
    snprintf(urls, sizeof urls, "tcp://127.0.0.1:%u", proxy_port(x));
    struct nrpc_channel *ch = open_channel(urls, NULL);
    assert_int_equal(echo(ch), NRPC_OK);
    proxy_stall(x, true);
    assert_int_equal(nrpc_server_drain(a.server, 0), 0);
    pthread_t thread;
    pthread_create(&thread, NULL, call, ch);
    WAIT_FOR(stats_of(ch).outstanding == 1);
    proxy_target(x, port_of(&b));
    poll(NULL, 0, 1200); // it may take its time
    proxy_stall(x, false);
    void *good;
    pthread_join(thread, &good);
    assert_true((bool)(uintptr_t)good);
    assert_int_equal(a.calls, 2);
    assert_int_equal(echo(ch), NRPC_OK);
    assert_int_equal(b.calls, 1);
    assert_int_equal(nrpc_server_drain(a.server, 5000), 0);
    nrpc_channel_close(ch);
    proxy_stop(x);
    close_host(&a);
    close_host(&b);
}

static void *cross_once(void *ch)
{
    return (void *)(uintptr_t)(echo(ch) == NRPC_OK);
}

static void *cross_many(void *ch)
{
    struct nrpc_stream *s;
    struct nrpc_status st;
    Soak__Item q = SOAK__ITEM__INIT;
    const Soak__Item *r;
    q.number = 7;
    bool good = soak_soak_many(ch, NULL, &q, &s, &st) == NRPC_OK &&
                soak_soak_many_read(s, &r, &st) == NRPC_OK && r && r->number == 7 &&
                soak_soak_many_read(s, &r, &st) == NRPC_OK && !r;
    nrpc_stream_close(s);
    return (void *)(uintptr_t)good;
}

static void *cross_chat(void *ch)
{
    struct nrpc_stream *s;
    struct nrpc_status st;
    const Soak__Item *r;
    bool good = soak_soak_chat(ch, NULL, &s, &st) == NRPC_OK;
    nrpc_stream_close_send(s);
    good = good && soak_soak_chat_read(s, &r, &st) == NRPC_OK && !r;
    nrpc_stream_close(s);
    return (void *)(uintptr_t)good;
}

static void test_requests_that_cross_a_drain(void **state)
{
    (void)state;
    cross(cross_once);
    cross(cross_many);
    cross(cross_chat);
}

static void *unstall_soon(void *proxy)
{
    poll(NULL, 0, 100);
    proxy_stall(proxy, false);
    return NULL;
}

// A peer that goes on calling a server of whose drain it knows is refused, and told that nothing was begun.
static void test_calls_after_a_drain_are_refused(void **state)
{
    (void)state;
    struct host h;
    struct frame f;
    uint8_t out[RAW_MAX], nothing[1];
    open_host(&h, "tcp://127.0.0.1:0");
    int fd = raw_connect(nrpc_server_url(h.server, 0));
    assert_true(raw_handshake(fd));
    assert_true(raw_request(fd, 1, 0, "/soak.Soak/Echo", nothing, 0));
    int n = raw_receive(fd, out, 5000);
    assert_int_equal(frame_parse(out, (size_t)n, &f, NULL), NRPC_OK);
    assert_int_equal(f.status, NRPC_OK);
    assert_int_equal(nrpc_server_drain(h.server, 0), 0);
    n = raw_receive(fd, out, 5000);
    assert_int_equal(frame_parse(out, (size_t)n, &f, NULL), NRPC_OK);
    assert_int_equal(f.kind, FRAME_DRAIN);
    const uint32_t acks[] = {1, 2}; // that it does not have the DRAIN; that it has
    for (size_t i = 0; i < 2; i++) {
        assert_true(raw_request(fd, 2 + (uint32_t)i, acks[i], "/soak.Soak/Echo", nothing, 0));
        n = raw_receive(fd, out, 5000);
        assert_int_equal(frame_parse(out, (size_t)n, &f, NULL), NRPC_OK);
        assert_int_equal(f.status, i ? NRPC_UNAVAILABLE : NRPC_OK);
        assert_true(f.not_begun == (i == 1));
    }
    raw_hang_up(fd, false);
    close_host(&h);
}

// A server that has said DRAIN and then refuses, as one does that must end: calls that may be retried go to
// the next one without having been counted.
static void test_what_was_not_begun_is_sent_again(void **state)
{
    (void)state;
    struct host a, b;
    char url[100];
    Soak__Item q = SOAK__ITEM__INIT;
    struct nrpc_outcome outcome;
    struct nrpc_call_options o = {.timeout_ms = 20000, .outcome = &outcome};
    struct nrpc_status st;
    open_host(&a, "tcp://127.0.0.1:0");
    open_host(&b, "tcp://127.0.0.1:0");
    struct proxy *x = proxy_start(port_of(&a), 1);
    snprintf(url, sizeof url, "tcp://127.0.0.1:%u", proxy_port(x));
    struct nrpc_channel *ch = open_channel(url, NULL);
    assert_int_equal(echo(ch), NRPC_OK);
    proxy_stall(x, true);
    for (int i = 0; i < 2; i++)
        assert_int_equal(nrpc_server_drain(a.server, 0), 0);
    struct ends e = {0};
    soak_soak_echo_async(ch, &(struct nrpc_call_options){.timeout_ms = 20000}, &q, done, &e);
    proxy_target(x, port_of(&b));
    pthread_t unstall;
    pthread_create(&unstall, NULL, unstall_soon, x);
    assert_int_equal(soak_soak_echo_again(ch, &o, &q, NULL, &st), NRPC_OK);
    pthread_join(unstall, NULL);
    assert_int_equal(outcome.attempts, 1);
    nrpc_outcome_fini(&outcome);
    WAIT_FOR(e.count == 1); // nobody had kept this one
    assert_int_equal(e.last_code, NRPC_UNAVAILABLE);
    assert_int_equal(a.calls, 1);
    assert_int_equal(b.calls, 1);
    nrpc_channel_close(ch);
    proxy_stop(x);
    close_host(&a);
    close_host(&b);
}

// An UNAVAILABLE of the handler's own is none of those: the call was begun.
static void test_what_was_begun_is_not_sent_again(void **state)
{
    (void)state;
    struct host h;
    open_host(&h, "tcp://127.0.0.1:0");
    h.unavailable = true;
    struct nrpc_channel *ch = open_channel(nrpc_server_url(h.server, 0), NULL);
    assert_int_equal(echo(ch), NRPC_UNAVAILABLE);
    assert_int_equal(h.calls, 1);
    nrpc_channel_close(ch);
    close_host(&h);
}

// ---- servers that greet and hang up

struct rude {
    int fd;
    uint16_t port;
    bool drains;
    _Atomic int accepted;
    _Atomic bool stop;
    pthread_t thread;
};

static void greet(const struct rude *r, int fd)
{
    static const uint8_t hello[8] = {0, 'S', 'P', 0, 0, 0x31, 0, 0};
    uint8_t message[64] = {0}, theirs[256];
    const struct frame f = {.version = NRPC_WIRE_VERSION, .kind = FRAME_DRAIN};
    struct pollfd p = {fd, POLLIN, 0};
    (void)!send(fd, hello, sizeof hello, MSG_NOSIGNAL);
    if (poll(&p, 1, 1000) == 1)
        (void)!recv(fd, theirs, sizeof hello, MSG_WAITALL);
    message[7] = (uint8_t)(4 + frame_size(&f, false, 0));
    message[8] = 0x80;
    frame_write(&f, false, 0, message + 12);
    if (r->drains)
        (void)!send(fd, message, 8 + (size_t)message[7], MSG_NOSIGNAL);
    if (r->drains && poll(&p, 1, 1000) == 1) // its goodbye
        (void)!recv(fd, theirs, sizeof theirs, 0);
    close(fd);
}

static void *be_rude(void *arg)
{
    struct rude *r = arg;
    struct pollfd p = {r->fd, POLLIN, 0};
    while (!r->stop) {
        if (poll(&p, 1, 20) != 1)
            continue;
        int fd = accept(r->fd, NULL, NULL);
        r->accepted++;
        greet(r, fd);
    }
    return NULL;
}

static void start_rude(struct rude *r, bool drains)
{
    struct sockaddr_in a = {.sin_family = AF_INET};
    socklen_t size = sizeof a;
    *r = (struct rude){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), .drains = drains};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(r->fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(r->fd, 64), 0);
    assert_int_equal(getsockname(r->fd, (struct sockaddr *)&a, &size), 0);
    r->port = ntohs(a.sin_port);
    pthread_create(&r->thread, NULL, be_rude, r);
}

static void stop_rude(struct rude *r)
{
    r->stop = true;
    pthread_join(r->thread, NULL);
    close(r->fd);
}

// Without calls and with: the pauses grow to reconnect_max_ms, and a call without a deadline does not wait
// for ever.
static void dial_the_rude(bool drains)
{
    struct rude r;
    char url[64];
    Soak__Item q = SOAK__ITEM__INIT;
    struct nrpc_status st;
    start_rude(&r, drains);
    snprintf(url, sizeof url, "tcp://127.0.0.1:%u", r.port);
    struct nrpc_channel *ch =
        open_channel(url, &(struct nrpc_channel_options){.reconnect_max_ms = 400, .connect_timeout_ms = 500});
    poll(NULL, 0, 2000);
    print_message("%d connections in 2 s\n", r.accepted);
    assert_in_range(r.accepted, 3, 20);
    int64_t begun_ms = clock_now_ms();
    assert_int_equal(soak_soak_echo(ch, NULL, &q, NULL, &st), NRPC_UNAVAILABLE);
    assert_in_range(clock_now_ms() - begun_ms, 0, 3000);
    assert_in_range(stats_of(ch).endpoints, 1, 1);
    nrpc_channel_close(ch);
    stop_rude(&r);
}

static void test_servers_that_greet_and_hang_up(void **state)
{
    (void)state;
    dial_the_rude(false);
    dial_the_rude(true);
}

// ---- names

// What the name resolves to: 127.0.0.<first> .. <last>.
static _Atomic int name_first, name_last;

int __wrap_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                       struct addrinfo **out);
void __wrap_freeaddrinfo(struct addrinfo *list);

int __wrap_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                       struct addrinfo **out)
{
    (void)node;
    (void)hints;
    struct addrinfo **at = out;
    for (int i = name_first; i <= name_last; i++) {
        struct {
            struct addrinfo info;
            struct sockaddr_in address;
        } *one = calloc(1, sizeof *one);
        one->address.sin_family = AF_INET;
        one->address.sin_port = htons((uint16_t)atoi(service));
        one->address.sin_addr.s_addr = htonl(0x7f000000u | (uint32_t)i);
        one->info = (struct addrinfo){.ai_family = AF_INET,
                                      .ai_addr = (struct sockaddr *)&one->address,
                                      .ai_addrlen = sizeof one->address};
        *at = &one->info;
        at = &one->info.ai_next;
    }
    *at = NULL;
    return 0;
}

void __wrap_freeaddrinfo(struct addrinfo *list)
{
    for (struct addrinfo *next; list; list = next) {
        next = list->ai_next;
        free(list);
    }
}

static void set_addresses(int first, int last)
{
    name_last = 0; // never both old and new
    name_first = first;
    name_last = last;
}

static struct nrpc_channel *open_name(uint16_t port)
{
    char url[64];
    snprintf(url, sizeof url, "dns:///service.test:%u", port);
    return open_channel(url, &(struct nrpc_channel_options){
                                 .resolve_ms = 20, .connect_timeout_ms = 500, .reconnect_max_ms = 100});
}

// Since its creation.
static uint64_t connections_of(const struct host *h)
{
    struct nrpc_server_stats s;
    nrpc_server_stats(h->server, &s);
    return s.connected;
}

// The old address is alive, but the name leads elsewhere: nobody dials it any more.
static void test_a_retired_address_is_left_alone(void **state)
{
    (void)state;
    struct host h;
    open_host(&h, "tcp://0.0.0.0:0");
    set_addresses(1, 1);
    struct nrpc_channel *ch = open_name(port_of(&h));
    assert_int_equal(echo(ch), NRPC_OK);
    set_addresses(2, 2);
    WAIT_FOR(stats_of(ch).connects == 2);
    WAIT_FOR(stats_of(ch).connected == 1);
    WAIT_FOR(connections_of(&h) == 2); // it may hear of the greeting's end after the client
    poll(NULL, 0, 500);
    assert_int_equal(connections_of(&h), 2);
    assert_int_equal(echo(ch), NRPC_OK);
    nrpc_channel_close(ch);
    close_host(&h);
}

// A retired address does not put off the end of calls that wait for a new one, which is dead.
static void test_a_retired_address_restarts_no_timeout(void **state)
{
    (void)state;
    struct host h;
    struct ends e = {0};
    struct nrpc_status st;
    Soak__Item q = SOAK__ITEM__INIT;
    open_host(&h, "tcp://127.0.0.1:0"); // and on no other
    set_addresses(1, 1);
    struct nrpc_channel *ch = open_name(port_of(&h));
    soak_soak_park_async(ch, NULL, &q, done, &e); // keeps the old connection
    WAIT_FOR(h.parked_count == 1);
    set_addresses(2, 2);
    WAIT_FOR(!nrpc_channel_is_connected(ch));
    int64_t begun_ms = clock_now_ms();
    assert_int_equal(soak_soak_echo(ch, NULL, &q, NULL, &st), NRPC_UNAVAILABLE);
    assert_in_range(clock_now_ms() - begun_ms, 300, 2000);
    set_addresses(1, 1); // it is there again: a new connection
    assert_int_equal(echo(ch), NRPC_OK);
    answer_parked(&h);
    WAIT_FOR(e.ok == 1);
    nrpc_channel_close(ch);
    close_host(&h);
}

// More addresses in all than a channel can have at the same time.
static void test_many_addresses_one_after_the_other(void **state)
{
    (void)state;
    enum { STEP = 60, ROUNDS = 8 };
    struct host h;
    open_host(&h, "tcp://0.0.0.0:0");
    set_addresses(1, STEP);
    struct nrpc_channel *ch = open_name(port_of(&h));
    for (int i = 0; i < ROUNDS; i++) {
        set_addresses(256 * i + 1, 256 * i + STEP);
        WAIT_FOR(stats_of(ch).connects >= (uint64_t)STEP * (uint64_t)(i + 1));
        assert_int_equal(echo(ch), NRPC_OK);
    }
    WAIT_FOR(stats_of(ch).connected == STEP);
    assert_int_equal(stats_of(ch).endpoints, STEP);
    nrpc_channel_close(ch);
    close_host(&h);
}

// A server whose connection cannot be opened for a moment, here for want of a CA file, is tried again.
static void test_opening_is_tried_again(void **state)
{
    (void)state;
    struct nrpc_channel *ch;
    struct nrpc_status st;
    char file[] = "/tmp/nrpc-ca-XXXXXX";
    int fd = mkstemp(file);
    assert_true(fd >= 0);
    close(fd);
    unlink(file);
    set_addresses(1, 1);
    const struct nrpc_tls_options tls = {.ca_file = file};
    const struct nrpc_channel_options o = {.tls = &tls, .resolve_ms = 60000};
    assert_int_equal(nrpc_channel_open("dns+tls:///service.test:1", &o, &ch, &st), NRPC_OK);
    WAIT_FOR(stats_of(ch).endpoints == 1);
    FILE *f = fopen(file, "w");
    assert_non_null(f);
    fclose(f);
    // An empty file is no CA either; what is read of it shows that it is looked at again.
    struct timespec unread[2] = {{0, 0}, {0, 0}};
    assert_int_equal(utimensat(0, file, unread, 0), 0);
    struct stat s;
    WAIT_FOR(stat(file, &s) == 0 && s.st_atime != 0);
    nrpc_channel_close(ch);
    unlink(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rolling_restart_behind_one_address),
        cmocka_unit_test(test_requests_that_cross_a_drain),
        cmocka_unit_test(test_calls_after_a_drain_are_refused),
        cmocka_unit_test(test_what_was_not_begun_is_sent_again),
        cmocka_unit_test(test_what_was_begun_is_not_sent_again),
        cmocka_unit_test(test_servers_that_greet_and_hang_up),
        cmocka_unit_test(test_a_retired_address_is_left_alone),
        cmocka_unit_test(test_a_retired_address_restarts_no_timeout),
        cmocka_unit_test(test_many_addresses_one_after_the_other),
        cmocka_unit_test(test_opening_is_tried_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
