// SPDX-License-Identifier: Apache-2.0
// soak_test.c: calls of all kinds with random sizes, deadlines and cancellations, through a proxy that cuts
// connections: every call ends with exactly one status, none is stuck, and memory stays flat. usage:
// soak_test [CALLS [SEED]]
#include "soak.nrpc.h"

#include "base/clock.h"
#include "soak/proxy.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LANES = 24, CHANNELS = 4, BYTES_MAX = 20000, STREAM_MAX = 60, STUCK_MS = 30000, CUT_EVERY_MS = 60 };

static struct {
    _Atomic long started, ended, by_code[17], wrong;
    long count;
    struct nrpc_channel *channels[CHANNELS];
    pthread_mutex_t mu;
    struct nrpc_call *parked;
    _Atomic bool stop;
} t = {.mu = PTHREAD_MUTEX_INITIALIZER};

static uint8_t bytes[BYTES_MAX];

// ---- the service

static void on_echo(struct nrpc_call *call, const Soak__Item *q, void *user)
{
    (void)user;
    soak_soak_echo_reply(call, q);
}

static void on_echo_again(struct nrpc_call *call, const Soak__Item *q, void *user)
{
    (void)user;
    if (q->number % 7 == 0)
        nrpc_reply_error(call, NRPC_UNAVAILABLE, "try again");
    else
        soak_soak_echo_again_reply(call, q);
}

static void swap_parked(struct nrpc_call *call)
{
    Soak__Item r = SOAK__ITEM__INIT;
    pthread_mutex_lock(&t.mu);
    struct nrpc_call *old = t.parked;
    t.parked = call;
    pthread_mutex_unlock(&t.mu);
    if (old)
        soak_soak_park_reply(old, &r);
}

static void on_park(struct nrpc_call *call, const Soak__Item *q, void *user)
{
    (void)user;
    (void)q;
    swap_parked(call);
}

static void on_many(struct nrpc_call *call, const Soak__Item *q, void *user)
{
    (void)user;
    Soak__Item r = SOAK__ITEM__INIT;
    int code = NRPC_OK;
    r.data = q->data;
    for (; r.number < q->number && code == NRPC_OK; r.number++)
        code = soak_soak_many_send(call, &r);
    if (code)
        nrpc_reply_error(call, code, "interrupted");
    else
        nrpc_finish(call);
}

static void on_sum(struct nrpc_call *call, void *user)
{
    (void)user;
    const Soak__Item *q;
    Soak__Item r = SOAK__ITEM__INIT;
    int code;
    while ((code = soak_soak_sum_receive(call, &q)) == NRPC_OK && q)
        r.number += q->number;
    if (code)
        nrpc_reply_error(call, code, "interrupted");
    else
        soak_soak_sum_reply(call, &r);
}

static void on_chat(struct nrpc_call *call, void *user)
{
    (void)user;
    const Soak__Item *q;
    int code;
    while ((code = soak_soak_chat_receive(call, &q)) == NRPC_OK && q)
        if ((code = soak_soak_chat_send(call, q)))
            break;
    if (code)
        nrpc_reply_error(call, code, "interrupted");
    else
        nrpc_finish(call);
}

static const struct soak_soak_handlers handlers = {
    .echo = on_echo,
    .echo_again = on_echo_again,
    .park = on_park,
    .many = on_many,
    .sum = on_sum,
    .chat = on_chat,
};

// ---- calls

static void count_end(int code)
{
    t.by_code[code >= 0 && code <= 16 ? code : NRPC_UNKNOWN]++;
    t.ended++;
}

// What cannot be: a call that ended well with the wrong answer.
static void check(bool right, const char *what)
{
    if (right)
        return;
    t.wrong++;
    printf("wrong: %s\n", what);
}

struct async {
    _Atomic int ends;
    pthread_mutex_t mu;
    pthread_cond_t ended;
    int code;
};

static void async_done(void *user, const struct nrpc_status *st, const Soak__Item *r)
{
    struct async *a = user;
    (void)r;
    pthread_mutex_lock(&a->mu);
    a->ends++;
    a->code = st->code;
    pthread_cond_signal(&a->ended);
    pthread_mutex_unlock(&a->mu);
}

// An asynchronous call that may be cancelled at any moment.
static void call_async(struct nrpc_channel *ch, struct nrpc_call_options *o, const Soak__Item *q, bool park,
                       unsigned *seed)
{
    struct async a = {.mu = PTHREAD_MUTEX_INITIALIZER, .ended = PTHREAD_COND_INITIALIZER};
    uint64_t id;
    o->id = &id;
    if (park)
        soak_soak_park_async(ch, o, q, async_done, &a);
    else
        soak_soak_echo_async(ch, o, q, async_done, &a);
    if (rand_r(seed) % 3 == 0)
        usleep((useconds_t)(rand_r(seed) % 2000));
    if (rand_r(seed) % 3 == 0)
        nrpc_channel_cancel(ch, id);
    pthread_mutex_lock(&a.mu);
    while (!a.ends)
        pthread_cond_wait(&a.ended, &a.mu);
    pthread_mutex_unlock(&a.mu);
    check(a.ends == 1, "a call that ended twice");
    count_end(a.code);
}

static void call_unary(struct nrpc_channel *ch, const struct nrpc_call_options *o, const Soak__Item *q,
                       bool again)
{
    Soak__Item *r;
    struct nrpc_status st;
    int code = again ? soak_soak_echo_again(ch, o, q, &r, &st) : soak_soak_echo(ch, o, q, &r, &st);
    check((code == NRPC_OK) == (r != NULL), "an answer without success, or success without an answer");
    if (r) {
        check(r->number == q->number && r->data.len == q->data.len, "another's answer");
        soak__item__free_unpacked(r, NULL);
    }
    count_end(code);
}

static void read_all(struct nrpc_stream *s, uint64_t expected, unsigned *seed)
{
    const ProtobufCMessage *m;
    struct nrpc_status st;
    uint64_t got = 0, give_up = rand_r(seed) % 4 ? UINT64_MAX : (uint64_t)(rand_r(seed) % 20);
    int code;
    while ((code = nrpc_stream_read(s, &m, &st)) == NRPC_OK && m) {
        check(((const Soak__Item *)m)->number == got, "messages out of order");
        if (++got == give_up)
            nrpc_stream_cancel(s);
    }
    check(code != NRPC_OK || got == expected, "messages are missing");
    count_end(code);
    nrpc_stream_close(s);
}

static void call_many(struct nrpc_channel *ch, const struct nrpc_call_options *o, Soak__Item *q,
                      unsigned *seed)
{
    struct nrpc_stream *s;
    struct nrpc_status st;
    q->number = (uint64_t)(rand_r(seed) % STREAM_MAX);
    if (soak_soak_many(ch, o, q, &s, &st))
        count_end(st.code);
    else
        read_all(s, q->number, seed);
}

static void call_chat(struct nrpc_channel *ch, const struct nrpc_call_options *o, Soak__Item *q,
                      unsigned *seed)
{
    struct nrpc_stream *s;
    struct nrpc_status st;
    uint64_t n = (uint64_t)(rand_r(seed) % 8);
    if (soak_soak_chat(ch, o, &s, &st)) {
        count_end(st.code);
        return;
    }
    for (q->number = 0; q->number < n; q->number++)
        if (soak_soak_chat_write(s, q))
            break;
    nrpc_stream_close_send(s);
    read_all(s, n, seed);
}

static void call_sum(struct nrpc_channel *ch, const struct nrpc_call_options *o, Soak__Item *q,
                     unsigned *seed)
{
    struct nrpc_stream *s;
    struct nrpc_status st;
    const Soak__Item *r;
    uint64_t n = (uint64_t)(rand_r(seed) % STREAM_MAX);
    if (soak_soak_sum(ch, o, &s, &st)) {
        count_end(st.code);
        return;
    }
    q->number = 1;
    for (uint64_t i = 0; i < n; i++)
        if (soak_soak_sum_write(s, q))
            break;
    nrpc_stream_close_send(s);
    int code = soak_soak_sum_read(s, &r, &st);
    check(code != NRPC_OK || (r && r->number == n), "a wrong sum");
    count_end(code);
    nrpc_stream_close(s);
}

static void *lane(void *arg)
{
    unsigned seed = (unsigned)(uintptr_t)arg;
    while (atomic_fetch_add(&t.started, 1) < t.count) {
        struct nrpc_channel *ch = t.channels[rand_r(&seed) % CHANNELS];
        struct nrpc_call_options o = {.timeout_ms = rand_r(&seed) % 5 ? 1 + rand_r(&seed) % 40 : 5000};
        Soak__Item q = SOAK__ITEM__INIT;
        q.number = (uint64_t)rand_r(&seed);
        q.data = (ProtobufCBinaryData){
            (size_t)(rand_r(&seed) % 10 ? rand_r(&seed) % 200 : rand_r(&seed) % BYTES_MAX), bytes};
        switch (rand_r(&seed) % 16) {
        case 0:
            call_many(ch, &o, &q, &seed);
            break;
        case 1:
            call_chat(ch, &o, &q, &seed);
            break;
        case 2:
            call_sum(ch, &o, &q, &seed);
            break;
        case 3:
            call_async(ch, &o, &q, true, &seed);
            break;
        case 4:
        case 5:
            call_unary(ch, &o, &q, true);
            break;
        case 6:
        case 7:
        case 8:
            call_async(ch, &o, &q, false, &seed);
            break;
        default:
            call_unary(ch, &o, &q, false);
        }
    }
    return NULL;
}

// ---- the test

static long resident_kib(void)
{
    long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (!f || fscanf(f, "%*d %ld", &pages) != 1)
        pages = 0;
    if (f)
        fclose(f);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

// Cuts connections until all calls have ended; false: nothing ended for a long time.
static bool watch(struct proxy *x)
{
    long last = -1;
    int64_t moved_ms = clock_now_ms();
    long first_kib = 0;
    while (t.ended < t.count) {
        poll(NULL, 0, CUT_EVERY_MS);
        proxy_cut_some(x, 25);
        int64_t now_ms = clock_now_ms();
        if (t.ended != last) {
            last = t.ended;
            moved_ms = now_ms;
        } else if (now_ms - moved_ms > STUCK_MS) {
            return false;
        }
        if (!first_kib && t.ended > t.count / 10)
            first_kib = resident_kib();
    }
    printf("resident: %ld KiB after a tenth of the calls, %ld KiB after all\n", first_kib, resident_kib());
    return true;
}

static void print_codes(void)
{
    for (int i = 0; i < 17; i++)
        if (t.by_code[i])
            printf("  %-20s %ld\n", nrpc_code_name(i), t.by_code[i]);
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    t.count = argc > 1 ? atol(argv[1]) : 20000;
    unsigned seed = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : (unsigned)getpid();
    struct nrpc_status st;
    char url[64];
    pthread_t lanes[LANES];
    printf("%ld calls, seed %u\n", t.count, seed);
    struct nrpc_server *server = nrpc_server_create(&(struct nrpc_server_options){.workers = 32});
    if (soak_soak_register(server, NRPC_POOLED, &handlers, NULL, &st) ||
        nrpc_server_listen(server, "tcp://127.0.0.1:0", &st)) {
        puts(st.text);
        return 1;
    }
    struct proxy *x = proxy_start((uint16_t)atoi(strrchr(nrpc_server_url(server, 0), ':') + 1), seed);
    snprintf(url, sizeof url, "tcp://127.0.0.1:%u", proxy_port(x));
    for (int i = 0; i < CHANNELS; i++)
        if (nrpc_channel_open(url, NULL, &t.channels[i], &st))
            return 1;
    for (int i = 0; i < LANES; i++)
        pthread_create(&lanes[i], NULL, lane, (void *)(uintptr_t)(seed * 1000 + (unsigned)i));
    if (!watch(x)) {
        printf("stuck: %ld of %ld calls have ended\n", t.ended, t.count);
        abort();
    }
    for (int i = 0; i < LANES; i++)
        pthread_join(lanes[i], NULL);
    print_codes();
    for (int i = 0; i < CHANNELS; i++)
        nrpc_channel_close(t.channels[i]);
    swap_parked(NULL);
    struct nrpc_server_stats stats;
    nrpc_server_stats(server, &stats);
    printf("server: %llu started, %llu answered, %u unanswered, %llu bad frames, %llu connections\n",
           (unsigned long long)stats.started, (unsigned long long)stats.answered, stats.unanswered,
           (unsigned long long)stats.bad_frames, (unsigned long long)stats.connected);
    check(t.ended == t.count, "not every call ended once");
    check(nrpc_server_drain(server, 10000) == 0, "calls that the server still has");
    nrpc_server_destroy(server);
    proxy_stop(x);
    printf("%d passed, %d failed\n", t.wrong == 0, t.wrong != 0);
    return t.wrong != 0;
}
