// SPDX-License-Identifier: Apache-2.0
// sp_pipe.c: one connection: handshake, messages in and out, the end.
//
// One receive operation is always under way, from the handshake on: its failure is how the end is noticed,
// and the pipe is gone when no operation is under way any more. Nothing is started once `closing` is set.
#include "nrpc/sp.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/queue.h"
#include "nrpc/transport.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum {
    HELLO_BYTES = 8,
    HANDSHAKE_MS = 5000,
    ID_BYTES = 4,
    HEAD_MAX = 1 + 8 + ID_BYTES, // IPC's mark, the length, the id
    BUFFER_BYTES = 4096,
    SEND_TOGETHER = 4, // messages in one write
    // From so many bytes on no further message joins them: urgent ones wait until all of them are written.
    TOGETHER_BYTES = 64 << 10,
    SKIP_MAX = 1 << 30, // bytes of a message that is passed over
    QUEUE_MAX = 1024,   // far above a link's window: a peer that lets more gather sends and does not read
};

struct outgoing_message {
    nng_msg *msg;
    uint32_t id;
};

struct sp_pipe {
    nng_stream *stream;
    nng_aio *rx, *tx;
    const struct sp_events *events;
    void *owner;
    void (*done)(void *arg, struct sp_pipe *pipe);
    void *done_arg;
    struct sp_pipe *next, **place; // in the owner's list
    size_t max_bytes, room_bytes;
    enum sp_role role;
    bool is_ipc;
    _Atomic uint32_t user;
    _Atomic int64_t heard_us;
    _Atomic size_t unsent_bytes; // changed under mu
    _Atomic int refs;            // one for the operations, one for each thread that is about to flush it
    pthread_mutex_t mu;

    // Guarded by mu
    bool closing, greeted, opened, sending, receiving; // greeted: our hello was sent
    struct queue urgent, queue;                        // of struct outgoing_message
    bool will_flush;                                   // in some thread's list
    bool overfull;                                     // since unsent_bytes was last at half of room_bytes

    // The sender's, of which there is one at a time
    struct outgoing_message flying[SEND_TOGETHER];
    uint8_t heads[SEND_TOGETHER][HEAD_MAX];
    size_t in_flight, sent_bytes; // messages that fly; bytes of them that are gone

    // The receiver's
    uint8_t hello[HELLO_BYTES];
    uint8_t buffer[BUFFER_BYTES];
    size_t at, end;      // what of the buffer was not looked at yet
    nng_msg *partial;    // a message that does not fit the buffer
    size_t partial_at;   // bytes of it that have arrived
    uint64_t skip;       // bytes still to come of a message that is passed over
    int64_t arriving_us; // when either began, or the owner was last told that it arrives
};

// ---- life

static void free_queue(struct queue *q)
{
    for (struct outgoing_message *m; q->count; queue_pop(q)) {
        m = queue_at(q, 0, sizeof *m);
        transport_free(m->msg);
    }
    queue_fini(q);
}

static void unref(struct sp_pipe *p)
{
    if (atomic_fetch_sub(&p->refs, 1) != 1)
        return;
    for (size_t i = 0; i < p->in_flight; i++)
        transport_free(p->flying[i].msg);
    free_queue(&p->urgent);
    free_queue(&p->queue);
    nng_msg_free(p->partial);
    nng_stream_free(p->stream);
    nng_aio_reap(p->rx);
    nng_aio_reap(p->tx);
    pthread_mutex_destroy(&p->mu);
    free(p);
}

// Called with the mutex by whoever ended an operation; gives the mutex back. The last one tells the owner.
static void end_operation(struct sp_pipe *p)
{
    bool over = p->closing && !p->receiving && !p->sending, opened = p->opened;
    pthread_mutex_unlock(&p->mu);
    if (!over)
        return;
    if (opened)
        p->events->closed(p->owner, p);
    p->done(p->done_arg, p);
    unref(p);
}

void sp_pipe_leave(struct sp_pipe *p)
{
    *p->place = p->next;
    if (p->next)
        p->next->place = p->place;
}

void sp_pipe_close_all(struct sp_pipe *list)
{
    for (struct sp_pipe *p = list; p; p = p->next)
        sp_close(p);
}

// Under the mutex.
static void start_closing(struct sp_pipe *p)
{
    if (p->closing)
        return;
    p->closing = true;
    nng_stream_close(p->stream);
}

void sp_close(struct sp_pipe *p)
{
    pthread_mutex_lock(&p->mu);
    start_closing(p);
    pthread_mutex_unlock(&p->mu);
}

size_t sp_unsent_bytes(const struct sp_pipe *p)
{
    return atomic_load_explicit(&p->unsent_bytes, memory_order_relaxed);
}

int64_t sp_heard_us(const struct sp_pipe *p)
{
    return atomic_load_explicit(&p->heard_us, memory_order_relaxed);
}

void sp_set_user(struct sp_pipe *p, uint32_t user)
{
    atomic_store(&p->user, user);
}

uint32_t sp_user(const struct sp_pipe *p)
{
    return atomic_load(&p->user);
}

void sp_peer_name(const struct sp_pipe *p, char *out, size_t size)
{
    nng_sockaddr sa;
    out[0] = 0;
    if (nng_stream_get_addr(p->stream, NNG_OPT_REMADDR, &sa) == 0)
        transport_address_text(&sa, out, size);
}

// ---- sending

static size_t write_head(const struct sp_pipe *p, const struct outgoing_message *m, uint8_t *head)
{
    uint8_t *at = head;
    uint64_t length = ID_BYTES + nng_msg_len(m->msg);
    if (p->is_ipc)
        *at++ = 1;
    for (int shift = 56; shift >= 0; shift -= 8)
        *at++ = (uint8_t)(length >> shift);
    for (int shift = 24; shift >= 0; shift -= 8)
        *at++ = (uint8_t)(m->id >> shift);
    return (size_t)(at - head);
}

// Adds what of a piece lies behind the bytes that are gone already.
static void add_piece(nng_iov *iov, unsigned *count, void *data, size_t size, size_t *gone)
{
    if (*gone >= size) {
        *gone -= size;
        return;
    }
    iov[(*count)++] = (nng_iov){(uint8_t *)data + *gone, size - *gone};
    *gone = 0;
}

static size_t written_bytes(const struct sp_pipe *p, const struct outgoing_message *m)
{
    return (p->is_ipc ? HEAD_MAX : HEAD_MAX - 1) + nng_msg_len(m->msg);
}

// Under the mutex: takes the messages that are written together, the urgent ones first.
static void take_off(struct sp_pipe *p)
{
    size_t bytes = 0;
    while (p->in_flight < SEND_TOGETHER && bytes < TOGETHER_BYTES) {
        struct queue *q = p->urgent.count ? &p->urgent : &p->queue;
        if (!q->count)
            return;
        struct outgoing_message *m = queue_at(q, 0, sizeof *m);
        bytes += written_bytes(p, m);
        p->flying[p->in_flight++] = *m;
        queue_pop(q);
    }
}

// Under the mutex: starts to write the next messages, or what is left of those that were begun.
static void start_sending(struct sp_pipe *p)
{
    nng_iov iov[2 * SEND_TOGETHER];
    unsigned count = 0;
    size_t gone = p->sent_bytes;
    if (!p->in_flight)
        take_off(p);
    for (size_t i = 0; i < p->in_flight; i++) {
        const struct outgoing_message *m = &p->flying[i];
        size_t head_size = write_head(p, m, p->heads[i]);
        add_piece(iov, &count, p->heads[i], head_size, &gone);
        add_piece(iov, &count, nng_msg_body(m->msg), nng_msg_len(m->msg), &gone);
    }
    p->sending = true;
    (void)nng_aio_set_iov(p->tx, count, iov);
    nng_stream_send(p->stream, p->tx);
}

static bool has_unsent(const struct sp_pipe *p)
{
    return p->in_flight || p->urgent.count || p->queue.count;
}

// Under the mutex; readers have none.
static void add_unsent(struct sp_pipe *p, size_t bytes)
{
    atomic_store_explicit(&p->unsent_bytes, sp_unsent_bytes(p) + bytes, memory_order_relaxed);
}

// Under the mutex: frees what flew, if all of it is gone.
static void land(struct sp_pipe *p)
{
    size_t bytes = 0;
    for (size_t i = 0; i < p->in_flight; i++)
        bytes += written_bytes(p, &p->flying[i]);
    if (p->sent_bytes < bytes)
        return;
    for (size_t i = 0; i < p->in_flight; i++) {
        add_unsent(p, (size_t)0 - nng_msg_len(p->flying[i].msg));
        transport_free(p->flying[i].msg);
    }
    p->in_flight = p->sent_bytes = 0;
}

// Under the mutex, which it gives back for a while. `sending` keeps the pipe until the owner has returned.
static void tell_drained(struct sp_pipe *p)
{
    if (!p->overfull || p->closing || sp_unsent_bytes(p) > p->room_bytes / 2)
        return;
    p->overfull = false;
    p->sending = true;
    pthread_mutex_unlock(&p->mu);
    p->events->drained(p->owner, p);
    sp_flush();
    pthread_mutex_lock(&p->mu);
    p->sending = false;
}

static void sent(void *arg)
{
    struct sp_pipe *p = arg;
    pthread_mutex_lock(&p->mu);
    p->sending = false;
    size_t bytes = nng_aio_count(p->tx);
    if (nng_aio_result(p->tx) || (!p->greeted && bytes < HELLO_BYTES))
        start_closing(p);
    else if (p->greeted)
        p->sent_bytes += bytes;
    p->greeted = true;
    if (p->in_flight)
        land(p);
    tell_drained(p);
    if (has_unsent(p) && !p->closing)
        start_sending(p);
    end_operation(p);
}

// ---- what a thread has queued

enum { FLUSH_MAX = 16 };
static _Thread_local struct sp_pipe *to_flush[FLUSH_MAX];
static _Thread_local unsigned to_flush_count;

static void flush_one(struct sp_pipe *p)
{
    pthread_mutex_lock(&p->mu);
    p->will_flush = false;
    if (!p->closing && !p->sending && has_unsent(p))
        start_sending(p);
    pthread_mutex_unlock(&p->mu);
    unref(p);
}

void sp_flush(void)
{
    while (to_flush_count)
        flush_one(to_flush[--to_flush_count]);
}

void sp_send(struct sp_pipe *p, nng_msg *msg, uint32_t id, bool urgent)
{
    pthread_mutex_lock(&p->mu);
    struct queue *q = urgent ? &p->urgent : &p->queue;
    if (q->count >= QUEUE_MAX)
        start_closing(p);
    if (p->closing) {
        pthread_mutex_unlock(&p->mu);
        transport_free(msg);
        return;
    }
    *(struct outgoing_message *)queue_push(q, sizeof(struct outgoing_message)) =
        (struct outgoing_message){msg, id};
    add_unsent(p, nng_msg_len(msg));
    if (sp_unsent_bytes(p) > p->room_bytes && p->events->drained)
        p->overfull = true;
    if (p->sending || p->will_flush) { // somebody will see to it
        pthread_mutex_unlock(&p->mu);
        return;
    }
    if (to_flush_count ==
        FLUSH_MAX) { // a thread that sends to very many at once: it starts this one right here
        start_sending(p);
        pthread_mutex_unlock(&p->mu);
        return;
    }
    p->will_flush = true;
    atomic_fetch_add(&p->refs, 1);
    to_flush[to_flush_count++] = p;
    pthread_mutex_unlock(&p->mu);
}

// ---- receiving

// Under the mutex.
static void start_receiving(struct sp_pipe *p)
{
    nng_iov iov[2];
    unsigned count = 0;
    if (p->partial)
        iov[count++] = (nng_iov){(uint8_t *)nng_msg_body(p->partial) + p->partial_at,
                                 nng_msg_len(p->partial) - p->partial_at};
    iov[count++] = (nng_iov){p->buffer + p->end, BUFFER_BYTES - p->end};
    p->receiving = true;
    (void)nng_aio_set_iov(p->rx, count, iov);
    nng_stream_recv(p->stream, p->rx);
}

// What is published has no id.
static size_t id_bytes(const struct sp_pipe *p)
{
    return p->role == SP_SUB ? 0 : ID_BYTES;
}

static void deliver(struct sp_pipe *p, nng_msg *msg)
{
    uint32_t id = 0;
    if (id_bytes(p) && nng_msg_trim_u32(msg, &id))
        nng_msg_free(msg);
    else
        p->events->received(p->owner, p, msg, id);
}

static uint64_t read_number(const uint8_t *at, size_t bytes)
{
    uint64_t v = 0;
    for (size_t i = 0; i < bytes; i++)
        v = v << 8 | at[i];
    return v;
}

// Begins to pass over a message that is too long, whose id stands here, if the owner wants that.
static int pass_over(struct sp_pipe *p, const uint8_t *id, size_t have, uint64_t length)
{
    if (!p->events->too_long || length > SKIP_MAX)
        return -1;
    if (have < ID_BYTES)
        return 0;
    if (!p->events->too_long(p->owner, p, (uint32_t)read_number(id, ID_BYTES), length - ID_BYTES))
        return -1;
    p->at = (size_t)(id - p->buffer);
    p->skip = length;
    p->arriving_us = sp_heard_us(p);
    return 1;
}

static int go_on_passing_over(struct sp_pipe *p, size_t have)
{
    size_t here = have < p->skip ? have : (size_t)p->skip;
    p->at += here;
    p->skip -= here;
    return p->skip ? 0 : 1;
}

// Takes the next message, or the begin of one, out of the buffer. 1: took something; 0: needs more; -1:
// nonsense.
static int take_from_buffer(struct sp_pipe *p)
{
    const uint8_t *head = p->buffer + p->at;
    size_t have = p->end - p->at, mark = p->is_ipc ? 1 : 0;
    if (p->skip)
        return go_on_passing_over(p, have);
    if (have < mark + 8)
        return 0;
    uint64_t length = read_number(head + mark, 8);
    if (length < id_bytes(p) || (mark && head[0] != 1))
        return -1;
    if (length > p->max_bytes + id_bytes(p))
        return pass_over(p, head + mark + 8, have - mark - 8, length);
    nng_msg *msg = transport_message((size_t)length);
    size_t here = have - mark - 8 < length ? have - mark - 8 : (size_t)length;
    if (here)
        memcpy(nng_msg_body(msg), head + mark + 8, here);
    p->at += mark + 8 + here;
    if (here == length) {
        deliver(p, msg);
    } else {
        p->partial = msg;
        p->partial_at = here;
        p->arriving_us = sp_heard_us(p);
    }
    return 1;
}

// Looks at the bytes that have come; false: they are no SP messages.
static bool digest(struct sp_pipe *p, size_t bytes)
{
    if (p->partial) {
        size_t missing = nng_msg_len(p->partial) - p->partial_at;
        size_t took = bytes < missing ? bytes : missing;
        p->partial_at += took;
        bytes -= took;
        if (took < missing)
            return true;
        nng_msg *msg = p->partial;
        p->partial = NULL;
        deliver(p, msg);
    }
    p->end += bytes;
    int took = 1;
    while (took == 1 && !p->partial)
        took = take_from_buffer(p);
    memmove(p->buffer, p->buffer + p->at, p->end - p->at);
    p->end -= p->at;
    p->at = 0;
    return took >= 0;
}

// A long message says that its sender lives before it is complete.
static void tell_arriving(struct sp_pipe *p, int64_t now_us)
{
    if ((!p->partial && !p->skip) || !p->events->arriving || now_us - p->arriving_us < SP_ARRIVING_MS * 1000)
        return;
    p->arriving_us = now_us;
    p->events->arriving(p->owner, p);
}

static void received(void *arg)
{
    struct sp_pipe *p = arg;
    bool good = nng_aio_result(p->rx) == 0;
    if (good) {
        int64_t now_us = clock_mono_us();
        atomic_store_explicit(&p->heard_us, now_us, memory_order_relaxed);
        good = digest(p, nng_aio_count(p->rx));
        tell_arriving(p, now_us);
    }
    pthread_mutex_lock(&p->mu);
    p->receiving = false;
    if (!good)
        start_closing(p);
    else if (!p->closing)
        start_receiving(p);
    end_operation(p);
}

// ---- the handshake

// Under the mutex.
static void receive_hello(struct sp_pipe *p)
{
    nng_iov iov = {p->buffer + p->end, HELLO_BYTES - p->end};
    p->receiving = true;
    (void)nng_aio_set_iov(p->rx, 1, &iov);
    nng_stream_recv(p->stream, p->rx);
}

static bool is_peer(const struct sp_pipe *p)
{
    uint8_t other = p->role == SP_REQ ? SP_REP : p->role == SP_REP ? SP_REQ : SP_PUB;
    const uint8_t expected[HELLO_BYTES] = {0, 'S', 'P', 0, 0, other, 0, 0};
    return !memcmp(p->buffer, expected, HELLO_BYTES);
}

static void hello_received(void *arg)
{
    struct sp_pipe *p = arg;
    int rv = nng_aio_result(p->rx);
    if (p->opened) {
        received(p);
        return;
    }
    pthread_mutex_lock(&p->mu);
    p->receiving = false;
    p->end += rv ? 0 : nng_aio_count(p->rx);
    bool complete = !rv && p->end == HELLO_BYTES;
    if (rv || (complete && !is_peer(p)))
        start_closing(p);
    if (p->closing || !complete) {
        if (!p->closing)
            receive_hello(p);
        end_operation(p);
        return;
    }
    p->end = 0;
    p->opened = true;
    atomic_store(&p->heard_us, clock_mono_us());
    p->receiving = true; // as far as the end is concerned, until the owner knows
    pthread_mutex_unlock(&p->mu);
    p->events->opened(p->owner, p);
    sp_flush();
    nng_aio_set_timeout(p->rx, NNG_DURATION_INFINITE);
    pthread_mutex_lock(&p->mu);
    p->receiving = false;
    if (!p->closing)
        start_receiving(p);
    end_operation(p);
}

void sp_pipe_start(nng_stream *stream, bool is_ipc, enum sp_role role, const struct sp_options *o,
                   void (*done)(void *arg, struct sp_pipe *pipe), void *arg, struct sp_pipe **list)
{
    struct sp_pipe *p = mem_calloc(1, sizeof *p);
    p->stream = stream;
    p->is_ipc = is_ipc;
    p->role = role;
    p->events = o->events;
    p->owner = o->owner;
    p->max_bytes = o->max_bytes;
    p->room_bytes = o->room_bytes;
    p->done = done;
    p->done_arg = arg;
    p->refs = 1;
    pthread_mutex_init(&p->mu, NULL);
    if (nng_aio_alloc(&p->rx, hello_received, p) || nng_aio_alloc(&p->tx, sent, p))
        mem_exhausted(sizeof *p);
    p->next = *list;
    if (p->next)
        p->next->place = &p->next;
    p->place = list;
    *list = p;
    memcpy(p->hello, (const uint8_t[HELLO_BYTES]){0, 'S', 'P', 0, 0, (uint8_t)role, 0, 0}, HELLO_BYTES);
    nng_aio_set_timeout(p->rx, HANDSHAKE_MS);
    nng_iov iov = {p->hello, HELLO_BYTES};
    pthread_mutex_lock(&p->mu);
    p->sending = true;
    (void)nng_aio_set_iov(p->tx, 1, &iov);
    nng_stream_send(stream, p->tx);
    receive_hello(p);
    pthread_mutex_unlock(&p->mu);
}
