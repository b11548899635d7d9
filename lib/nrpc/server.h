// SPDX-License-Identifier: Apache-2.0
// server.h: what the files of the server share: the server, its connections, its calls.
//
// One mutex guards everything that is not atomic or said to be somebody's. What must happen without it
// (on_ready callbacks, handing over to local channels) is queued and carried out by server_unlock, by one
// thread at a time.
#ifndef NRPC_SERVER_H
#define NRPC_SERVER_H

#include "base/mem.h"
#include "base/pool.h"
#include "nrpc/flow.h"
#include "nrpc/lifetimes.h" // the rule of ownership
#include "nrpc/link.h"
#include "nrpc/local.h"
#include "nrpc/sp.h"

#include <pthread.h>
#include <stdatomic.h>
#include <uthash.h>

enum { SERVER_LISTENERS_MAX = 16, SERVER_CALL_BUCKETS = 4096 };

struct service_entry {
    struct service_entry *next;
    const struct nrpc_service *service;
    enum nrpc_dispatch dispatch;
    const void *handlers;
    void *user;
};

struct method_entry {
    UT_hash_handle hh;
    const struct nrpc_method *method;
    const struct service_entry *service;
    unsigned max_running; // 0: no limit
    _Atomic unsigned running;
    _Atomic uint64_t started, ended[17], latency[NRPC_LATENCY_BUCKETS];
};

struct peer { // a connection
    UT_hash_handle hh;
    struct link link;
    struct nrpc_server *server;
    uint32_t id;
    struct sp_pipe *pipe; // NULL: a local channel
    struct nrpc_channel *local;
    struct nrpc_call *calls; // a ring
    unsigned running;
    // Calls that were admitted and do not run yet, because more answers wait for this client than it has room
    // for. While there are any, nothing is acknowledged, so that it sends no more than are on their way.
    struct nrpc_call *stalled, **stalled_tail;
    unsigned pressing;              // messages with new calls that came meanwhile
    uint32_t pressed_at;            // link.received of the last of them
    int64_t connected_us, asked_us; // when it was last asked for a sign of life
    int64_t drained_us;             // when it was told that we drain; 0: it was not
    uint32_t drained_at;            // link.sent then
    uint64_t frames_received, frames_sent;
    char name[64];
};

struct call_value {
    struct call_value *next;
    const void *key;
    void *value;
    bool on_heap; // the request has used up the call's memory
};

struct call_metadata { // a growing list in the call's arena
    struct nrpc_metadata *entries;
    size_t count;
};

struct nrpc_call {
    struct pool_job job; // first member
    struct arena arena, message_arena;
    pthread_cond_t changed;
    struct nrpc_call *next_free;

    // From here on all is zero in a new call.
    struct nrpc_server *server;
    unsigned refs; // the handler's, until it answers; a running on_ready's
    struct method_entry *entry;

    // Its place among the running calls; peer NULL: it has none, because the client must not hear of it any
    // more
    struct peer *peer;
    uint32_t id, connection;
    struct nrpc_call *bucket_next, *previous, *next;

    nng_msg *msg; // the request; frame points into it. NULL: the frame has nothing of it any more
    size_t bytes; // that it takes; counted in the server's parked_bytes
    struct frame frame;
    int64_t arrived_us, deadline_us; // monotonic; CLOCK_NEVER: none
    _Atomic bool cancelled;
    bool receive_closed, streams, headers_sent;
    bool not_begun;         // the client may send it again elsewhere
    unsigned of_connection; // calls of its connection when it came
    size_t intercepted;     // interceptors whose start was reached
    struct call_metadata metadata, headers, trailers;
    struct call_value *values;
    struct call_child *children;

    struct flow flow; // of a streaming call
    void (*on_ready)(void *user, struct nrpc_call *call);
    void *on_ready_user;
    bool in_ready, ready_again;
    struct nrpc_call *next_ready, *next_stalled;
};

struct errand { // to a channel of this process
    struct nrpc_channel *channel;
    nng_msg *
        msg; // a frame for its call id; NULL: that call is to be cancelled, with the one that it is a part of
    uint64_t id;
};

struct nrpc_server {
    struct nrpc_server_options options;
    _Atomic int refs; // the owner's, one a call, one a local connection
    struct service_entry *services, **services_tail;
    struct method_entry *methods; // hash by name; only changed before the first listen
    struct nrpc_server_interceptor *interceptors;
    size_t interceptor_count, interceptor_capacity;
    struct pool *workers;
    bool open; // listens, or did
    nng_aio *tick_aio;
    // Listeners are added and stopped under `listening`; who reads them looks at the count, which rises last.
    pthread_mutex_t listening;
    struct sp_listener *listeners[SERVER_LISTENERS_MAX];
    _Atomic size_t listener_count;
    struct watchdog *watchdog;

    pthread_mutex_t mu;
    pthread_cond_t answered, peers_gone;
    struct peer *peers; // hash by id
    unsigned remote_peers;
    uint32_t last_id;
    struct nrpc_call *buckets[SERVER_CALL_BUCKETS]; // the running calls, by connection and id
    struct nrpc_call *free_calls;
    unsigned free_count;
    struct nrpc_call *ready, **ready_tail;
    struct queue errands; // of struct errand
    bool carrying_out;
    _Atomic bool draining; // takes new calls only of clients that may not know it yet
    _Atomic bool refusing; // takes none at all
    _Atomic unsigned queued, unanswered, full_links;
    _Atomic size_t parked_bytes; // of unanswered calls
    _Atomic uint64_t started, answers, refused, bad_frames, connected, listener_restarts;
    _Atomic int64_t mean_run_us; // of pooled handlers
};

void server_lock(struct nrpc_server *s);
void server_unlock(struct nrpc_server *s); // and carries out what is queued
void server_run_errand(struct nrpc_server *s, struct nrpc_channel *channel, nng_msg *msg,
                       uint64_t id); // queues it
void server_ref(struct nrpc_server *s);
void server_unref(struct nrpc_server *s);

// ---- server_peers.c: connections
void peers_open(struct nrpc_server *s);                      // before the first listener
struct sp_options peers_options(struct nrpc_server *s);      // of listeners
void peers_say(struct nrpc_server *s, enum frame_kind kind); // under the mutex
bool peer_knows_of_drain(const struct peer *p);              // under the mutex
void peers_close(struct nrpc_server *s); // all connections; no event of theirs comes afterwards

// ---- server_requests.c: frames of calls
// A frame under a call's id; f NULL: it is malformed, *bad says how. Takes msg. Under the mutex, which it
// gives back for a while: the peer may be gone afterwards.
void requests_take(struct peer *peer, nng_msg *msg, const struct frame *f, const struct nrpc_status *bad,
                   uint32_t id);
// Runs stalled calls while there is room for their answers. Under the mutex, which it gives back for a while;
// returns the peer, NULL: it has gone meanwhile.
struct peer *requests_resume(struct peer *peer);
void requests_drop(struct nrpc_call *stalled); // those of a peer that has gone; without the mutex
struct peer *peer_find(struct nrpc_server *s, uint32_t id);

// ---- server_calls.c: calls; all under the mutex
struct nrpc_call *call_new(struct nrpc_server *s);
void call_weigh(struct nrpc_call *c, size_t bytes); // it takes so many now
void call_unref(struct nrpc_call *c);
void call_insert(struct nrpc_call *c, struct peer *peer, uint32_t id);
void call_detach(struct nrpc_call *c); // the client hears of it no more
struct nrpc_call *call_find(struct nrpc_server *s, uint32_t connection, uint32_t id);
void call_cancel(struct nrpc_call *c);  // detaches it, and tells the handler
void call_changed(struct nrpc_call *c); // wakes whoever waits on it

// The client did not keep to the protocol: it gets the error, the handler a cancelled call.
void call_break(struct nrpc_call *c, int code, const char *text);

#endif
