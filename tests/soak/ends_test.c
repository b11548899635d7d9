// SPDX-License-Identifier: Apache-2.0
// ends_test.c: opens and ends servers, channels, local channels, streams and half-greeting strangers in every
// order, while calls are in interceptors, in handlers, parked and in streams: nothing may be touched after it
// was freed, nothing may hang, every asynchronous call ends once. For the sanitizers. usage: ends_test
// [SECONDS [SEED]]
#include "soak.nrpc.h"

#include "base/clock.h"
#include "base/mem.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { WORLDS = 6, CHANNELS_MAX = 3, LANES_MAX = 3, STRANGERS_MAX = 3, STREAMS_MAX = 3, PARKED_MAX = 64 };
enum { STUCK_MS = 60000 };

static struct {
    _Atomic long rounds, calls, wrong;
    _Atomic bool stop;
} total;

struct world {
    unsigned seed;
    int number;
    _Atomic long round;
    struct nrpc_server *server, *old; // the old one drains, beside the one that has taken its place; or NULL
    struct nrpc_channel *channels[CHANNELS_MAX];
    bool is_local[CHANNELS_MAX];
    int channel_count;
    struct nrpc_stream *streams[STREAMS_MAX];
    int stream_count;
    pthread_t lanes[LANES_MAX];
    int lane_count;
    _Atomic int begun; // lanes whose call is inside its channel
    pthread_t strangers[STRANGERS_MAX];
    int stranger_count;
    _Atomic int async_started, async_ended;
    pthread_mutex_t mu;
    struct nrpc_call *parked[PARKED_MAX];
    int parked_count;
};

static int chance(struct world *w, int below)
{
    return (int)((unsigned)rand_r(&w->seed) % (unsigned)below);
}

// Threads of the library have no seed: what they do is chosen by time.
static void nap(int up_to_ms)
{
    int64_t us = clock_mono_us();
    if (us % 3)
        usleep((useconds_t)(us * 7 % (up_to_ms * 1000)));
}

// ---- the service

static void on_echo(struct nrpc_call *call, const Soak__Item *q, void *user)
{
    (void)user;
    soak_soak_echo_reply(call, q);
}

static void on_echo_again(struct nrpc_call *call, const Soak__Item *q, void *user)
{
    (void)user;
    if (q->number % 3)
        soak_soak_echo_again_reply(call, q);
    else
        nrpc_reply_error(call, NRPC_UNAVAILABLE, "try again");
}

static void on_park(struct nrpc_call *call, const Soak__Item *q, void *user)
{
    struct world *w = user;
    pthread_mutex_lock(&w->mu);
    bool keep = w->parked_count < PARKED_MAX;
    if (keep)
        w->parked[w->parked_count++] = call;
    pthread_mutex_unlock(&w->mu);
    if (!keep)
        soak_soak_park_reply(call, q);
}

// As many as the client reads; it goes on when there is room.
static void many_ready(void *user, struct nrpc_call *call)
{
    Soak__Item r = SOAK__ITEM__INIT;
    static uint8_t data[3000];
    (void)user;
    r.data = (ProtobufCBinaryData){sizeof data, data};
    int code;
    while ((code = soak_soak_many_send(call, &r)) == NRPC_OK)
        ;
    if (code != NRPC_WOULD_BLOCK)
        nrpc_reply_error(call, code, "over");
}

static void on_many(struct nrpc_call *call, const Soak__Item *q, void *user)
{
    Soak__Item r = SOAK__ITEM__INIT;
    if (q->number % 2) {
        nrpc_call_on_ready(call, many_ready, user);
        return;
    }
    r.data = q->data;
    int code = NRPC_OK;
    for (; r.number < 20 && code == NRPC_OK; r.number++)
        code = soak_soak_many_send(call, &r);
    if (code)
        nrpc_reply_error(call, code, "interrupted");
    else
        nrpc_finish(call);
}

static void chat_ready(void *user, struct nrpc_call *call)
{
    const Soak__Item *q;
    (void)user;
    int code;
    while ((code = soak_soak_chat_receive(call, &q)) == NRPC_OK && q)
        (void)soak_soak_chat_send(call, q);
    if (code == NRPC_OK)
        nrpc_finish(call);
    else if (code != NRPC_WOULD_BLOCK)
        nrpc_reply_error(call, code, "over");
}

static void on_chat(struct nrpc_call *call, void *user)
{
    nrpc_call_on_ready(call, chat_ready, user);
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

static const struct soak_soak_handlers handlers = {
    .echo = on_echo,
    .echo_again = on_echo_again,
    .park = on_park,
    .many = on_many,
    .sum = on_sum,
    .chat = on_chat,
};

static void answer_parked(struct world *w)
{
    Soak__Item r = SOAK__ITEM__INIT;
    pthread_mutex_lock(&w->mu);
    int n = w->parked_count;
    w->parked_count = 0;
    struct nrpc_call *parked[PARKED_MAX];
    memcpy(parked, w->parked, sizeof parked);
    pthread_mutex_unlock(&w->mu);
    for (int i = 0; i < n; i++)
        soak_soak_park_reply(parked[i], &r);
}

// ---- interceptors

static int server_start(void *user, struct nrpc_call *call, struct nrpc_status *st)
{
    (void)user;
    (void)call;
    (void)st;
    nap(3);
    return NRPC_OK;
}

static void server_end(void *user, struct nrpc_call *call, const struct nrpc_status *st)
{
    (void)user;
    (void)call;
    (void)st;
    nap(2);
}

static const char lane_key;

static int client_start(void *user, struct nrpc_outgoing *call, struct nrpc_status *st)
{
    struct world *w = user;
    (void)st;
    nrpc_outgoing_set_value(call, &lane_key, w);
    w->begun++;
    nap(3);
    return NRPC_OK;
}

static void client_end(void *user, struct nrpc_outgoing *call, const struct nrpc_status *st)
{
    (void)st;
    nap(3);
    if (nrpc_outgoing_value(call, &lane_key) != user)
        total.wrong++;
}

// ---- who calls

static void async_done(void *user, const struct nrpc_status *st, const Soak__Item *r)
{
    struct world *w = user;
    (void)st;
    (void)r;
    w->async_ended++;
}

static void start_async(struct world *w, struct nrpc_channel *ch)
{
    Soak__Item q = SOAK__ITEM__INIT;
    uint64_t id;
    struct nrpc_call_options o = {.timeout_ms = chance(w, 3) ? 0 : 1 + chance(w, 5), .id = &id};
    q.number = (uint64_t)chance(w, 9);
    w->async_started++;
    if (chance(w, 3) == 0)
        soak_soak_park_async(ch, &o, &q, async_done, w);
    else if (chance(w, 2))
        soak_soak_echo_again_async(ch, &o, &q, async_done, w);
    else
        soak_soak_echo_async(ch, &o, &q, async_done, w);
    if (chance(w, 8) == 0)
        nrpc_channel_cancel(ch, id);
    total.calls++;
}

struct lane {
    struct world *world;
    struct nrpc_channel *channel;
    bool park;
};

// One blocking call, which may well be inside when its channel is closed.
static void *lane(void *arg)
{
    struct lane l = *(struct lane *)arg;
    Soak__Item q = SOAK__ITEM__INIT;
    free(arg);
    if (l.park)
        (void)soak_soak_park(l.channel, NULL, &q, NULL, NULL);
    else
        (void)soak_soak_echo(l.channel, NULL, &q, NULL, NULL);
    total.calls++;
    return NULL;
}

static void stream_ready(void *user)
{
    (void)user;
    nap(1);
}

static void open_stream(struct world *w, struct nrpc_channel *ch)
{
    Soak__Item q = SOAK__ITEM__INIT;
    const Soak__Item *r;
    struct nrpc_stream *s;
    struct nrpc_status st;
    q.number = (uint64_t)chance(w, 4);
    bool many = chance(w, 2);
    if (many ? soak_soak_many(ch, NULL, &q, &s, &st) : soak_soak_chat(ch, NULL, &s, &st))
        return;
    w->streams[w->stream_count++] = s;
    total.calls++;
    if (chance(w, 2))
        nrpc_stream_on_ready(s, stream_ready, w);
    for (int i = chance(w, 20); i > 0; i--)
        if ((!many && soak_soak_chat_write(s, &q)) || soak_soak_many_read(s, &r, &st) || !r)
            break;
}

static const uint8_t hello[8] = {0, 'S', 'P', 0, 0, 0x30, 0, 0};

struct stranger {
    int fd, first, pause_ms;
};

static void *stranger(void *arg)
{
    struct stranger s = *(struct stranger *)arg;
    uint8_t answer[64];
    free(arg);
    (void)!send(s.fd, hello, (size_t)s.first, MSG_NOSIGNAL);
    poll(NULL, 0, s.pause_ms);
    (void)!send(s.fd, hello + s.first, sizeof hello - (size_t)s.first, MSG_NOSIGNAL);
    struct pollfd p = {s.fd, POLLIN, 0};
    if (poll(&p, 1, 1) == 1)
        (void)!recv(s.fd, answer, sizeof answer, 0);
    close(s.fd);
    return NULL;
}

static void let_stranger_in(struct world *w)
{
    struct sockaddr_in a = {.sin_family = AF_INET};
    a.sin_port = htons((uint16_t)atoi(strrchr(nrpc_server_url(w->server, 0), ':') + 1));
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&a, sizeof a)) {
        close(fd);
        return;
    }
    struct stranger *s = mem_alloc(sizeof *s);
    *s = (struct stranger){fd, chance(w, 9), chance(w, 30)};
    pthread_create(&w->strangers[w->stranger_count++], NULL, stranger, s);
}

// ---- a round

static void open_server(struct world *w, const char *url)
{
    struct nrpc_status st;
    const struct nrpc_server_options o = {
        .workers = 1 + (unsigned)chance(w, 3),
        .watchdog_ms = chance(w, 2) ? 1 + chance(w, 5) : -1,
        .keepalive_ms = 1 + chance(w, 20),
        .keepalive_timeout_ms = 1000,
    };
    w->server = nrpc_server_create(&o);
    if (chance(w, 2))
        nrpc_server_intercept(w->server,
                              &(struct nrpc_server_interceptor){.start = server_start, .end = server_end});
    if (soak_soak_register(w->server, chance(w, 2) ? NRPC_POOLED : NRPC_INLINE, &handlers, w, &st) ||
        // Somebody's connection may have got the port meanwhile.
        (nrpc_server_listen(w->server, url, &st) &&
         nrpc_server_listen(w->server, "tcp://127.0.0.1:0", &st))) {
        puts(st.text);
        abort();
    }
}

static void open_channel(struct world *w)
{
    struct nrpc_status st;
    const struct nrpc_client_interceptor i = {client_start, client_end, w};
    const struct nrpc_channel_options o = {
        .interceptors = &i,
        .interceptor_count = 1,
        .connect_timeout_ms = 1 + chance(w, 200),
        .keepalive_ms = 1 + chance(w, 20),
        .keepalive_timeout_ms = 1000,
        .resolve_ms = 1 + chance(w, 10),
    };
    int n = w->channel_count++;
    char name[64];
    const char *url = nrpc_server_url(w->server, 0);
    snprintf(name, sizeof name, "dns:///localhost%s", strrchr(url, ':'));
    w->is_local[n] = chance(w, 3) == 0;
    if (w->is_local[n])
        w->channels[n] = nrpc_channel_local(w->server);
    else if (nrpc_channel_open(chance(w, 4) ? url : name, &o, &w->channels[n], &st))
        abort();
}

static void start_lane(struct world *w, int channel)
{
    int before = w->begun;
    struct lane *l = mem_alloc(sizeof *l);
    *l = (struct lane){w, w->channels[channel], chance(w, 2)};
    pthread_create(&w->lanes[w->lane_count++], NULL, lane, l);
    while (w->begun == before) // once it is in the interceptor, its channel may be closed at any time
        poll(NULL, 0, 0);
}

static void do_something(struct world *w)
{
    int c = chance(w, w->channel_count);
    if (!w->channels[c])
        return;
    switch (chance(w, 5)) {
    case 0:
        if (w->lane_count < LANES_MAX && !w->is_local[c])
            start_lane(w, c);
        break;
    case 1:
        if (w->stream_count < STREAMS_MAX)
            open_stream(w, w->channels[c]);
        break;
    case 2:
        if (w->stranger_count < STRANGERS_MAX)
            let_stranger_in(w);
        break;
    default:
        start_async(w, w->channels[c]);
    }
}

static void close_channels(struct world *w, bool local_ones_only)
{
    for (int i = 0; i < w->channel_count; i++)
        if (w->channels[i] && (w->is_local[i] || !local_ones_only)) {
            nrpc_channel_close(w->channels[i]);
            w->channels[i] = NULL;
        }
}

static void end_server(struct world *w)
{
    bool old_first = chance(w, 2);
    if (old_first)
        nrpc_server_destroy(w->old);
    if (chance(w, 2))
        (void)nrpc_server_drain(w->server, chance(w, 10));
    if (chance(w, 2))
        answer_parked(w);
    nrpc_server_destroy(w->server);
    if (!old_first)
        nrpc_server_destroy(w->old);
}

// Another server takes the place of the first, which goes on with what it has.
static void replace_server(struct world *w)
{
    char url[64];
    snprintf(url, sizeof url, "%s", nrpc_server_url(w->server, 0));
    while (w->stream_count)
        nrpc_stream_close(w->streams[--w->stream_count]);
    close_channels(w, true);
    (void)nrpc_server_drain(w->server, chance(w, 5));
    w->old = w->server;
    open_server(w, url);
    for (int n = chance(w, 10); n > 0; n--)
        do_something(w);
}

static void run_round(struct world *w)
{
    w->begun = w->async_started = w->async_ended = 0;
    w->channel_count = w->stream_count = w->lane_count = w->stranger_count = w->parked_count = 0;
    w->old = NULL;
    open_server(w, "tcp://127.0.0.1:0");
    for (int n = 1 + chance(w, CHANNELS_MAX); n > 0; n--)
        open_channel(w);
    for (int n = 1 + chance(w, 20); n > 0; n--)
        do_something(w);
    if (chance(w, 3) == 0)
        replace_server(w);
    bool server_first = chance(w, 2);
    if (server_first && chance(w, 2)) { // streams may also end with their server
        for (int i = 0; i < w->channel_count && w->stream_count; i++)
            if (w->is_local[i])
                server_first = false;
    }
    if (!server_first || chance(w, 2)) {
        while (w->stream_count)
            nrpc_stream_close(w->streams[--w->stream_count]);
        close_channels(w, server_first);
        end_server(w);
    } else {
        while (w->stream_count && chance(w, 4))
            nrpc_stream_close(w->streams[--w->stream_count]);
        bool has_local = false;
        for (int i = 0; i < w->channel_count; i++)
            has_local |= w->is_local[i];
        while (has_local && w->stream_count)
            nrpc_stream_close(w->streams[--w->stream_count]);
        close_channels(w, true);
        end_server(w);
        while (w->stream_count)
            nrpc_stream_close(w->streams[--w->stream_count]);
    }
    close_channels(w, false);
    answer_parked(w);
    for (int i = 0; i < w->lane_count; i++)
        pthread_join(w->lanes[i], NULL);
    for (int i = 0; i < w->stranger_count; i++)
        pthread_join(w->strangers[i], NULL);
    if (w->async_started != w->async_ended)
        total.wrong++;
    w->round++;
    total.rounds++;
}

static void *live(void *arg)
{
    struct world *w = arg;
    while (!total.stop)
        run_round(w);
    return NULL;
}

// ---- the test

// false: a world stands still.
static bool watch(struct world worlds[WORLDS], int64_t seconds)
{
    long last[WORLDS] = {0};
    int64_t moved_ms[WORLDS], end_ms = clock_now_ms() + seconds * 1000;
    for (int i = 0; i < WORLDS; i++)
        moved_ms[i] = clock_now_ms();
    while (clock_now_ms() < end_ms) {
        poll(NULL, 0, 20);
        for (int i = 0; i < WORLDS; i++) {
            if (worlds[i].round != last[i])
                moved_ms[i] = clock_now_ms();
            last[i] = worlds[i].round;
            if (clock_now_ms() - moved_ms[i] > STUCK_MS)
                return false;
        }
    }
    return true;
}

int main(int argc, char **argv)
{
    static struct world worlds[WORLDS];
    pthread_t threads[WORLDS];
    setvbuf(stdout, NULL, _IOLBF, 0);
    int64_t seconds = argc > 1 ? atol(argv[1]) : 3;
    unsigned seed = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : (unsigned)getpid();
    printf("%lld s, seed %u\n", (long long)seconds, seed);
    for (int i = 0; i < WORLDS; i++) {
        worlds[i].seed = seed * 100 + (unsigned)i;
        worlds[i].number = i;
        pthread_mutex_init(&worlds[i].mu, NULL);
        pthread_create(&threads[i], NULL, live, &worlds[i]);
    }
    if (!watch(worlds, seconds)) {
        puts("a world stands still");
        abort();
    }
    total.stop = true;
    for (int i = 0; i < WORLDS; i++)
        pthread_join(threads[i], NULL);
    printf("%ld rounds, %ld calls, %ld wrong\n", total.rounds, total.calls, total.wrong);
    return total.wrong != 0;
}
