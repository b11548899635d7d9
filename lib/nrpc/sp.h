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
};

struct sp_options {
    const struct sp_events *events;
    void *owner;
    size_t max_bytes; // of a message; a larger one ends its connection
    const struct nrpc_tls_options *tls;
    int64_t reconnect_min_ms, reconnect_max_ms; // of a dialer
    bool subscribes; // a dialer's: SUB instead of REQ. It only receives, all that is published; ids are 0
};

// ---- pipes

// Between opened and closed. Both take no effect on a pipe that is closing.
void sp_send(struct sp_pipe *pipe, nng_msg *msg, uint32_t id); // takes msg
void sp_close(struct sp_pipe *pipe);                           // closed follows
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
void sp_listener_stop(struct sp_listener *listener);  // accepts nobody any more; waits; its connections stay
void sp_listener_close(struct sp_listener *listener); // stops it and frees it; NULL is allowed

// ---- dialers: the client's side (REQ)

struct sp_dialer;
// Connects in the background, again and again, with exponential backoff and jitter; one pipe at a time.
int sp_dial(const char *url, const struct sp_options *options, struct sp_dialer **out,
            struct nrpc_status *st);
void sp_dialer_close(struct sp_dialer *dialer); // closes its pipe, and waits for that; NULL is allowed

// Of the pipes' own file
enum sp_role { SP_REQ = 0x30, SP_REP = 0x31, SP_PUB = 0x20, SP_SUB = 0x21 };
// Shakes hands on a stream, which it takes. `done` follows, once, when the pipe is gone, whether it was
// opened or not.
void sp_pipe_start(nng_stream *stream, bool is_ipc, enum sp_role role, const struct sp_options *options,
                   void (*done)(void *arg, bool was_opened), void *arg, struct sp_pipe **out);

#endif
