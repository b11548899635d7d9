// SPDX-License-Identifier: Apache-2.0
// peer_fuzz.c: a peer that says anything at all, over real connections: to a server with methods of all four
// kinds, whose handlers wait for nothing or block, and to a client with calls of all four kinds under way.
//
// The first byte of the input chooses the side. The rest is what the peer does, step by step (see steps): it
// sends frames of a small grammar, batches, raw bytes. Then it ends its side of the connection. Besides not
// crashing: the connection comes to its end, and with it every call.
#include "base/clock.h"
#include "base/mem.h"
#include "nrpc/link.h"
#include "nrpc/transport.h"
#include "peer_service.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { WAIT_MS = 20000, STEPS_MAX = 200, OUT_BYTES = 256 << 10, HELLO_BYTES = 8, IDS_MAX = 8, ID_BYTES = 4 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// What is not as it must be ends the program.
static void check(bool is_so, const char *what)
{
    if (is_so)
        return;
    fprintf(stderr, "peer_fuzz: %s\n", what);
    abort();
}

static char folder[] = "/tmp/peer-fuzz-XXXXXX";
enum place { INLINE_SERVER, POOLED_SERVER, OUR_SERVER, PLACES };
static char paths[PLACES][64];

static void remove_folder(void)
{
    for (int i = 0; i < PLACES; i++)
        (void)unlink(paths[i]);
    (void)rmdir(folder);
}

// ---- the servers, and a listener for clients

static struct nrpc_server *servers[2];
static int our_listener;

static struct sockaddr_un address_of(enum place place)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    snprintf(a.sun_path, sizeof a.sun_path, "%s", paths[place]);
    return a;
}

static struct nrpc_server *open_server(enum place place, enum nrpc_dispatch dispatch,
                                       const struct soak_soak_handlers *handlers)
{
    struct nrpc_server_options o = {.max_message_bytes = 64 << 10, .parked_max = 64, .queue_max = 32};
    struct nrpc_server *s = nrpc_server_create(&o);
    char url[80];
    struct nrpc_status st;
    snprintf(url, sizeof url, "ipc://%s", paths[place]);
    check(soak_soak_register(s, dispatch, handlers, NULL, &st) == NRPC_OK, "cannot register");
    check(nrpc_server_limit(s, "/soak.Soak/Park", 16, &st) == NRPC_OK, "cannot limit");
    check(nrpc_server_listen(s, url, &st) == NRPC_OK, "cannot listen");
    return s;
}

static void open_all(void)
{
    check(mkdtemp(folder) != NULL, "mkdtemp");
    for (int i = 0; i < PLACES; i++)
        snprintf(paths[i], sizeof paths[i], "%s/%d", folder, i);
    (void)atexit(remove_folder);
    servers[0] = open_server(INLINE_SERVER, NRPC_INLINE, &waiting_for_nothing);
    servers[1] = open_server(POOLED_SERVER, NRPC_POOLED, &blocking);
    struct sockaddr_un a = address_of(OUR_SERVER);
    our_listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    check(!bind(our_listener, (struct sockaddr *)&a, sizeof a) && !listen(our_listener, 8), "listen");
}

// ---- the peer

struct reader { // of the input
    const uint8_t *at, *end;
};

static uint8_t take(struct reader *r)
{
    return r->at < r->end ? *r->at++ : 0;
}

static struct wire_bytes take_bytes(struct reader *r, size_t size)
{
    size_t left = (size_t)(r->end - r->at);
    struct wire_bytes b = {r->at, size < left ? size : left};
    r->at += b.size;
    return b;
}

struct peer_state {
    int fd;
    uint32_t ids[IDS_MAX]; // of calls
    uint32_t batch_id;     // 0: what is said goes out alone
    uint8_t out[OUT_BYTES], batch[OUT_BYTES / 2], frame[4096 + 512];
    size_t out_size, batch_size;
};

static void flush(struct peer_state *p)
{
    // The other side may have hung up: then it has heard enough.
    for (size_t at = 0; at < p->out_size;) {
        ssize_t n = send(p->fd, p->out + at, p->out_size - at, MSG_NOSIGNAL);
        if (n < 0 && errno != EINTR)
            break;
        at += n < 0 ? 0 : (size_t)n;
    }
    p->out_size = 0;
}

static void put(struct peer_state *p, const void *data, size_t size)
{
    if (size > sizeof p->out - p->out_size)
        flush(p);
    if (size)
        memcpy(p->out + p->out_size, data, size);
    p->out_size += size;
}

static void put_big_endian(uint8_t *out, uint64_t v, size_t size)
{
    for (size_t i = 0; i < size; i++)
        out[i] = (uint8_t)(v >> 8 * (size - 1 - i));
}

static void put_message(struct peer_state *p, uint32_t id, struct wire_bytes frame)
{
    uint8_t head[1 + 8 + ID_BYTES] = {1};
    put_big_endian(head + 1, ID_BYTES + frame.size, 8);
    put_big_endian(head + 9, id, ID_BYTES);
    put(p, head, sizeof head);
    put(p, frame.data, frame.size);
}

static void say(struct peer_state *p, uint32_t id, struct wire_bytes frame)
{
    if (!p->batch_id) {
        put_message(p, id, frame);
        return;
    }
    if (frame.size + ID_BYTES + 20 > sizeof p->batch - p->batch_size)
        return;
    uint8_t *at = frame_write_payload(p->batch + p->batch_size, frame.size + ID_BYTES);
    put_big_endian(at, id, ID_BYTES);
    if (frame.size)
        memcpy(at + ID_BYTES, frame.data, frame.size);
    p->batch_size = (size_t)(at + ID_BYTES + frame.size - p->batch);
}

static uint32_t id_of(const struct peer_state *p, uint8_t which)
{
    return which < IDS_MAX ? p->ids[which] : which == IDS_MAX ? LINK_CONNECTION_ID : which * 0x01010101u;
}

// ---- its steps

static const char *const methods[] = {
    "/soak.Soak/Echo", "/soak.Soak/EchoAgain", "/soak.Soak/Park", "/soak.Soak/Many",
    "/soak.Soak/Sum",  "/soak.Soak/Chat",      "/soak.Soak/None", ""};

enum { HAS_METADATA = 1, HAS_TIMEOUT = 2, HAS_CREDIT = 4, HAS_ACK = 8, HAS_STATUS = 16, HAS_PAYLOAD = 32 };
enum { HAS_MORE_PAYLOADS = 64, HAS_OTHER_VERSION = 128 };

static uint8_t *add_payloads(uint8_t *at, struct reader *in, unsigned count)
{
    for (; count; count--) {
        uint8_t head[16], *end = wire_write_number(head, 1, take(in)); // an Item with its number
        struct wire_bytes more = take_bytes(in, take(in) % 64);
        size_t n = (size_t)(end - head);
        at = frame_write_payload(at, n + more.size);
        memcpy(at, head, n);
        memcpy(at + n, more.size ? more.data : head, more.size);
        at += n + more.size;
    }
    return at;
}

// A frame: which call, which kind, which fields, and their values.
static void step_frame(struct peer_state *p, struct reader *in)
{
    uint32_t id = id_of(p, take(in) % (IDS_MAX + 2));
    uint8_t kind = take(in) % 13, fields = take(in);
    struct nrpc_metadata entry = {"retry-after-ms", "1", 0};
    struct frame f = {.version = fields & HAS_OTHER_VERSION ? 2 : NRPC_WIRE_VERSION, .kind = kind};
    const char *method = kind == FRAME_REQUEST ? methods[take(in) % (sizeof methods / sizeof *methods)] : "";
    f.method = (struct wire_bytes){(const uint8_t *)method, strlen(method)};
    f.metadata = f.trailers = &entry;
    if (fields & HAS_METADATA) {
        f.metadata_count = take(in) % 2;
        f.trailer_count = !f.metadata_count;
    }
    if (fields & HAS_TIMEOUT)
        f.timeout_us = (uint64_t)take(in) << take(in) % 56;
    if (fields & HAS_CREDIT)
        f.credit = (uint32_t)take(in) << take(in) % 32;
    if (fields & HAS_STATUS) {
        f.status = take(in) % 20;
        f.status_details = take_bytes(in, take(in) % 32);
    }
    uint32_t ack = fields & HAS_ACK ? take(in) : 0;
    uint8_t *at = frame_write(&f, false, 0, p->frame);
    at = add_payloads(at, in, fields & HAS_MORE_PAYLOADS ? take(in) % 32 : fields & HAS_PAYLOAD ? 1 : 0);
    frame_write_ack(at, ack);
    say(p, id, (struct wire_bytes){p->frame, (size_t)(at - p->frame) + FRAME_ACK_SIZE});
}

// A frame of any bytes.
static void step_raw_frame(struct peer_state *p, struct reader *in)
{
    uint32_t id = id_of(p, take(in) % (IDS_MAX + 2));
    say(p, id, take_bytes(in, take(in)));
}

// The same again and again, up to more than any window.
static void step_many(struct peer_state *p, struct reader *in)
{
    unsigned count = take(in);
    struct reader begin = *in;
    for (unsigned i = 0; i < count; i++) {
        *in = begin;
        step_frame(p, in);
    }
}

static void step_begin_batch(struct peer_state *p, struct reader *in)
{
    if (p->batch_id)
        return;
    static const struct frame f = {.version = NRPC_WIRE_VERSION, .kind = FRAME_BATCH};
    p->batch_id = id_of(p, take(in) % 4 ? IDS_MAX : 0);
    p->batch_size = (size_t)(frame_write(&f, false, 0, p->batch) - p->batch);
}

static void step_end_batch(struct peer_state *p, struct reader *in)
{
    (void)in;
    if (!p->batch_id)
        return;
    put_message(p, p->batch_id, (struct wire_bytes){p->batch, p->batch_size});
    p->batch_id = 0;
}

// What is no message: the bytes that stand where one begins.
static void step_junk(struct peer_state *p, struct reader *in)
{
    struct wire_bytes b = take_bytes(in, take(in) % 32);
    put(p, b.data, b.size);
}

// A message over all limits, or one that never comes to its end.
static void step_long(struct peer_state *p, struct reader *in)
{
    uint8_t head[1 + 8] = {1};
    put_big_endian(head + 1, (uint64_t)take(in) << take(in) % 56, 8);
    put(p, head, sizeof head);
}

// The bytes so far go in a piece of their own.
static void step_flush(struct peer_state *p, struct reader *in)
{
    (void)in;
    flush(p);
}

static void (*const steps[])(struct peer_state *p, struct reader *in) = {
    step_frame, step_frame,       step_frame,     step_raw_frame, step_many,
    step_flush, step_begin_batch, step_end_batch, step_junk,      step_long,
};

static void run_steps(struct peer_state *p, struct reader *in)
{
    for (int i = 0; i < STEPS_MAX && in->at < in->end; i++)
        steps[take(in) % (sizeof steps / sizeof *steps)](p, in);
    step_end_batch(p, in);
    flush(p);
}

// ---- one connection

static void nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL);
}

static void set_timeouts(int fd)
{
    struct timeval t = {.tv_sec = WAIT_MS / 1000};
    check(!setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t), "SO_RCVTIMEO");
    check(!setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof t), "SO_SNDTIMEO");
}

static void say_hello(struct peer_state *p, uint8_t role)
{
    const uint8_t hello[HELLO_BYTES] = {0, 'S', 'P', 0, 0, role, 0, 0};
    put(p, hello, sizeof hello);
}

// Reads until the other side has closed, too.
static void read_to_end(int fd)
{
    static uint8_t answers[64 << 10];
    ssize_t n;
    do
        n = recv(fd, answers, sizeof answers, 0);
    while (n > 0 || (n < 0 && errno == EINTR));
    check(n == 0 || errno == ECONNRESET, "the connection does not end");
}

static void fuzz_server(struct peer_state *p, struct reader *in, enum place place)
{
    struct sockaddr_un a = address_of(place);
    struct nrpc_server_stats stats;
    p->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    set_timeouts(p->fd);
    check(!connect(p->fd, (struct sockaddr *)&a, sizeof a), "connect");
    for (uint32_t i = 0; i < IDS_MAX; i++)
        p->ids[i] = transport_sp_id(0x1000 + i);
    say_hello(p, 0x30);
    run_steps(p, in);
    (void)shutdown(p->fd, SHUT_WR);
    read_to_end(p->fd);
    (void)close(p->fd);
    for (int64_t end_us = clock_mono_us() + WAIT_MS * 1000;;) {
        nrpc_server_stats(servers[place], &stats);
        if (!stats.connections && !stats.unanswered && !stats.queued)
            break;
        check(clock_mono_us() < end_us, "a call of the server does not end");
        nap();
    }
}

// ---- a client with calls under way

enum { ASYNC_CALLS = 3, STREAMS = 3 };

struct client_state {
    struct nrpc_channel *channel;
    _Atomic int done;
    struct nrpc_outcome outcomes[ASYNC_CALLS];
    struct nrpc_stream *streams[STREAMS];
};

static void call_done(void *user, const struct nrpc_status *st, const ProtobufCMessage *response)
{
    struct client_state *c = user;
    check((st->code == NRPC_OK) == (response != NULL), "a call has an answer and an error, or neither");
    atomic_fetch_add(&c->done, 1);
}

static void start_calls(struct client_state *c)
{
    static const enum soak_soak_method unary[ASYNC_CALLS] = {SOAK_SOAK_ECHO, SOAK_SOAK_ECHO_AGAIN,
                                                             SOAK_SOAK_PARK};
    static const enum soak_soak_method streaming[STREAMS] = {SOAK_SOAK_MANY, SOAK_SOAK_SUM, SOAK_SOAK_CHAT};
    Soak__Item item = SOAK__ITEM__INIT;
    item.number = 1;
    for (int i = 0; i < ASYNC_CALLS; i++) {
        struct nrpc_call_options o = {.timeout_ms = WAIT_MS, .outcome = &c->outcomes[i]};
        nrpc_call_async(c->channel, &soak_soak.methods[unary[i]], &o, &item.base, call_done, c);
    }
    for (int i = 0; i < STREAMS; i++) {
        const struct nrpc_method *m = &soak_soak.methods[streaming[i]];
        struct nrpc_call_options o = {.timeout_ms = WAIT_MS};
        struct nrpc_status st;
        check(nrpc_stream_open(c->channel, m, &o, m->client_streams ? NULL : &item.base, &c->streams[i],
                               &st) == NRPC_OK,
              "cannot open a stream");
        if (m->client_streams)
            (void)nrpc_stream_write(c->streams[i], &item.base);
    }
    nrpc_stream_close_send(c->streams[1]);
}

static void end_calls(struct client_state *c)
{
    for (int i = 0; i < STREAMS; i++) {
        const ProtobufCMessage *m;
        struct nrpc_status st;
        while (nrpc_stream_read(c->streams[i], &m, &st) == NRPC_OK && m)
            ;
        (void)nrpc_stream_outcome(c->streams[i]);
        nrpc_stream_close(c->streams[i]);
    }
    for (int64_t end_us = clock_mono_us() + WAIT_MS * 1000; atomic_load(&c->done) < ASYNC_CALLS; nap())
        check(clock_mono_us() < end_us, "a call of the client does not end");
    for (int i = 0; i < ASYNC_CALLS; i++)
        nrpc_outcome_fini(&c->outcomes[i]);
}

static void read_all(int fd, uint8_t *out, size_t size)
{
    for (size_t at = 0; at < size;) {
        ssize_t n = recv(fd, out + at, size - at, 0);
        check(n > 0 || (n < 0 && errno == EINTR), "the client says too little");
        at += n < 0 ? 0 : (size_t)n;
    }
}

// Reads what the client sends, until all calls were heard of.
static void read_ids(struct peer_state *p)
{
    uint8_t head[1 + 8 + ID_BYTES], rest[4096];
    read_all(p->fd, rest, HELLO_BYTES);
    for (int count = 0; count < ASYNC_CALLS + STREAMS;) {
        read_all(p->fd, head, sizeof head);
        size_t size = ((size_t)head[7] << 8 | head[8]) - ID_BYTES;
        check(size < sizeof rest, "a strange request");
        read_all(p->fd, rest, size);
        uint32_t id = (uint32_t)head[9] << 24 | (uint32_t)head[10] << 16 | (uint32_t)head[11] << 8 | head[12];
        bool is_new = true;
        for (int i = 0; i < count; i++)
            is_new = is_new && p->ids[i] != id;
        if (is_new)
            p->ids[count++] = id;
    }
}

// When the peer said DRAIN, the client has begun another connection beside that one.
static void hang_up_on_the_rest(void)
{
    struct pollfd p = {our_listener, POLLIN, 0};
    while (poll(&p, 1, 0) == 1) {
        int fd = accept(our_listener, NULL, NULL);
        if (fd >= 0)
            (void)close(fd);
    }
}

static void fuzz_client(struct peer_state *p, struct reader *in)
{
    struct nrpc_channel_options o = {
        .max_message_bytes = 64 << 10,
        .connect_timeout_ms = 100,
        .reconnect_min_ms = 3600 * 1000, // once is enough
        .reconnect_max_ms = 3600 * 1000,
        .retry.max_attempts = 1,
    };
    struct client_state c = {0};
    struct nrpc_status st;
    char url[80];
    snprintf(url, sizeof url, "ipc://%s", paths[OUR_SERVER]);
    check(nrpc_channel_open(url, &o, &c.channel, &st) == NRPC_OK, "cannot open a channel");
    do
        p->fd = accept(our_listener, NULL, NULL);
    while (p->fd < 0 && errno == EINTR);
    check(p->fd >= 0, "accept");
    set_timeouts(p->fd);
    say_hello(p, 0x31);
    flush(p);
    for (int64_t end_us = clock_mono_us() + WAIT_MS * 1000; !nrpc_channel_is_connected(c.channel); nap())
        check(clock_mono_us() < end_us, "the client does not connect");
    start_calls(&c);
    read_ids(p);
    run_steps(p, in);
    (void)shutdown(p->fd, SHUT_WR);
    read_to_end(p->fd);
    (void)close(p->fd);
    end_calls(&c);
    nrpc_channel_close(c.channel);
    hang_up_on_the_rest();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct peer_state p;
    if (!servers[0])
        open_all();
    if (!size)
        return 0;
    struct reader in = {data + 1, data + size};
    memset(&p, 0, sizeof p);
    if (data[0] % 3 == OUR_SERVER)
        fuzz_client(&p, &in);
    else
        fuzz_server(&p, &in, data[0] % 3);
    return 0;
}
