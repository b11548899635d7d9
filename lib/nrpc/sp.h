// SPDX-License-Identifier: Apache-2.0
// sp.h: connections that speak SP's REQ/REP protocol, and the receiving side of PUB/SUB, on the wire, as
// nng's sockets do, over nng's byte streams.
//
// nng 1.5's own REQ, REP and SUB sockets are not used (its PUB is: nothing arrives there): when a connection
// ends while a message is arriving on it, they can leave an operation that never completes; the thread that
// frees connections then waits for it for ever, and no connection of the process is ever freed, or made
// again, after that. They also add two thread hand-overs to every message that a raw socket sends.
// docs/ARCHITECTURE.md has the story.
//
// Threads: events come on nng's threads, for one pipe one at a time, with no lock held. Sending and closing
// only queue: they may be called under any lock of the caller's; what they queued goes on its way with
// sp_flush.
#ifndef NRPC_SP_H
#define NRPC_SP_H

#include "nrpc/nrpc.h"

#include <nng/nng.h>

struct sp_pipe; // a connection

struct sp_events {
    void (*opened)(void *owner, struct sp_pipe *pipe);                              // the handshake is done
    void (*received)(void *owner, struct sp_pipe *pipe, nng_msg *msg, uint32_t id); // takes msg
    void (*closed)(void *owner,
                   struct sp_pipe *pipe); // the last event of a pipe that was opened; it is gone afterwards
    // More bytes of a message have come that is not complete yet: every SP_ARRIVING_MS while they do. May be
    // NULL.
    void (*arriving)(void *owner, struct sp_pipe *pipe);
    // What waits to be sent has fallen to half of sp_options.room_bytes after it was above. May be NULL. It
    // may run beside the other events of the pipe, but is never the last.
    void (*drained)(void *owner, struct sp_pipe *pipe);
    // A message of so many bytes comes, more than max_bytes, and is passed over; false: the pipe is closed
    // instead. May be NULL: it always is.
    bool (*too_long)(void *owner, struct sp_pipe *pipe, uint32_t id, uint64_t bytes);
};
enum { SP_ARRIVING_MS = 500 };

struct sp_options {
    const struct sp_events *events;
    void *owner;
    size_t max_bytes;  // of a message; of a larger one: see `too_long`
    size_t room_bytes; // of messages that wait to be sent: see `drained`
    const struct nrpc_tls_options *tls;
    int64_t reconnect_min_ms, reconnect_max_ms, first_pause_ms; // of a dialer
    bool subscribes; // a dialer's: SUB instead of REQ. It only receives, all that is published; ids are 0
};

// ---- pipes

// Between opened and closed. Both take no effect on a pipe that is closing. msg is taken, and freed with
// transport_free. urgent: it overtakes all messages of which nothing was written yet.
void sp_send(struct sp_pipe *pipe, nng_msg *msg, uint32_t id, bool urgent);
size_t sp_unsent_bytes(const struct sp_pipe *pipe); // of what waits to be sent
int64_t sp_heard_us(const struct sp_pipe *pipe);    // when bytes last came, by the monotonic clock
void sp_close(struct sp_pipe *pipe);                // closed follows
void sp_set_user(struct sp_pipe *pipe, uint32_t user);
uint32_t sp_user(const struct sp_pipe *pipe);
void sp_peer_name(const struct sp_pipe *pipe, char *out,
                  size_t size); // "127.0.0.1:4711"; empty: no IP address

// Starts what this thread has queued with sp_send. To be called, without locks, by whoever sends.
void sp_flush(void);

// ---- listeners: the server's side (REP)

struct sp_listener;
int sp_listen(const char *url, const struct sp_options *options, struct sp_listener **out,
              struct nrpc_status *st);
const char *sp_listener_url(const struct sp_listener *listener); // with the real port
int sp_listener_reload_tls(struct sp_listener *listener, struct nrpc_status *st);
int sp_listener_reopen(struct sp_listener *listener, struct nrpc_status *st); // its connections stay
void sp_listener_stop(struct sp_listener *listener); // accepts nobody any more; waits; its connections stay
// After the stop: closes its connections, those too that have not greeted yet, and waits until each is gone:
// no event comes afterwards.
void sp_listener_hang_up(struct sp_listener *listener);
void sp_listener_close(struct sp_listener *listener); // all of this, and frees it; NULL is allowed

// ---- dialers: the client's side (REQ)

struct sp_dialer;
// Connects in the background, again and again, with exponential backoff and jitter; one pipe at a time.
int sp_dial(const char *url, const struct sp_options *options, struct sp_dialer **out,
            struct nrpc_status *st);
void sp_dialer_rest(struct sp_dialer *dialer); // connects no more; its pipe stays
// The pause after the present pipe is the shortest again; without it each is longer than the last, also if
// the server accepts and hangs up.
void sp_dialer_praise(struct sp_dialer *dialer);
void sp_dialer_close(struct sp_dialer *dialer); // closes its pipe, and waits for that; NULL is allowed

// Of the pipes' own file
enum sp_role { SP_REQ = 0x30, SP_REP = 0x31, SP_PUB = 0x20, SP_SUB = 0x21 };
// Shakes hands on a stream, which it takes, and enters the pipe into the owner's list, which the owner guards
// with a mutex, held here. `done` follows, once, when the pipe is gone, whether it was opened or not: it
// takes it out of the list.
void sp_pipe_start(nng_stream *stream, bool is_ipc, enum sp_role role, const struct sp_options *options,
                   void (*done)(void *arg, struct sp_pipe *pipe), void *arg, struct sp_pipe **list);
void sp_pipe_leave(struct sp_pipe *pipe);     // its list
void sp_pipe_close_all(struct sp_pipe *list); // sp_close each

#endif
