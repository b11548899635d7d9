// SPDX-License-Identifier: Apache-2.0
// channel.h: what the files of the client share: the channel, its connections, its calls.
//
// One mutex guards everything that is not said to be somebody's. What must happen without it (callbacks,
// handing over to a local server, closing connections) is gathered in `effects` and carried out by
// channel_unlock.
#ifndef NRPC_CHANNEL_H
#define NRPC_CHANNEL_H

#include "base/mem.h"
#include "nrpc/flow.h"
#include "nrpc/lifetimes.h" // the rule of ownership
#include "nrpc/link.h"
#include "nrpc/local.h"
#include "nrpc/retry.h"
#include "nrpc/sp.h"

#include <pthread.h>
#include <stdatomic.h>

enum { CHANNEL_SLOTS_MAX = 4096, CHANNEL_SLOT_BITS = 12, CHANNEL_ENDPOINTS_MAX = 256 };

struct outgoing_value {
    struct outgoing_value *next;
    const void *key;
    void *value;
};

struct nrpc_outgoing { // only if the channel has interceptors, or the call a parent
    struct arena arena;
    const struct nrpc_method *method;
    struct nrpc_metadata metadata[FRAME_METADATA_MAX];
    size_t metadata_count;
    int64_t started_us;
    struct outgoing_value *values;
    size_t intercepted; // interceptors whose start was reached
};

struct pending {          // a call that has not ended
    struct arena arena;   // of a PENDING_ASYNC, for its answer; stays when the struct is used again
    struct pending *next; // in the line, at rest, among the effects, or free
    struct nrpc_channel *channel;
    const struct nrpc_method *method;
    uint64_t id;    // for nrpc_channel_cancel
    nng_msg *msg;   // the request until it is sent
    nng_msg *again; // kept once it was sent, while the call may be sent again
    nng_msg *reply; // the RESPONSE
    struct nrpc_status st;
    int64_t deadline_us, connect_by_us; // CLOCK_NEVER: none
    int64_t quiet_ms;                   // 0: it does not wait quietly
    int64_t rest_until_us;              // before a retry
    unsigned attempts;
    bool refused;                  // by a server that drains, once at least: it was sent again
    struct connection *connection; // NULL: waiting in line, at rest, or ended
    uint32_t slot, wire_id;
    enum { PENDING_BLOCKING, PENDING_ASYNC, PENDING_STREAM } kind;
    bool has_ended;
    int end_code;          // of st when it ended, which its reader may write over
    nrpc_finish_fn finish; // PENDING_ASYNC
    void (*done)(void);
    void *user;
    pthread_cond_t *ended; // PENDING_BLOCKING
    struct nrpc_outcome *outcome;
    struct nrpc_outgoing *outgoing;
    struct call_child child;
};

struct nrpc_stream {
    struct pending call; // first member
    struct flow flow;
    struct arena message_arena;
    pthread_cond_t changed;
    struct nrpc_outcome first, last, shown; // from the first frame, from the last, both
    bool has_first, reply_taken, end_seen, send_closed;
    void (*on_ready)(void *user);
    void *on_ready_user;
    bool is_ready; // in the channel's list of those
    struct nrpc_stream *next_ready;
    bool ready_again;
    bool *running; // on_ready does, in this thread; set when it closes the stream
    pthread_t ready_thread;
};

struct slot {
    struct pending *call; // NULL: free
    uint32_t wire_id;
    uint32_t generation; // of the last call's id
    uint32_t next_free;  // slot + 1; 0: none
};

struct connection {
    struct link link;
    struct nrpc_channel *channel;
    char *url;
    struct sp_dialer *dialer;  // NULL: it was not opened yet, or is local
    struct nrpc_server *local; // instead of the dialer: a reference
    uint32_t local_id;         // the connection's number there
    struct sp_pipe *pipe;
    bool connected; // over the pipe, or locally
    struct slot *slots;
    size_t slot_count, slot_capacity;
    uint32_t free_slot, last_free_slot; // a queue: slot + 1; 0: none
    unsigned outstanding;
    unsigned quiet;   // of those, that wait quietly
    int64_t quiet_ms; // the shortest of the quiet ones since there were none
    bool resolved;    // comes from a name
    bool leaving;     // the server closes this connection: no more calls; it is made anew afterwards
    // For good: it gets no more calls, and is removed when the last has ended. Its server drains, and another
    // connection to the same address is made beside it (`replace`), or its name no longer leads there.
    bool going, replace;
    bool opening;           // a thread opens it, without the mutex
    bool useful;            // an answer came over the present pipe
    int64_t open_at_us;     // when opening is tried again; CLOCK_NEVER: it is open, or somebody is at it
    int64_t pause_ms;       // before the first connect
    int64_t opened_us;      // the present pipe
    int64_t busy_since_us;  // since when calls are on it without a break
    int64_t asked_us;       // when it was last asked for a sign of life
    int64_t goodbye_by_us;  // then it is closed without the server's goodbye; CLOCK_NEVER: we said none
    int64_t avoid_until_us; // it could not serve lately
};

struct errand_out { // a frame for the local server
    nng_msg *msg;
    uint32_t id;
};

struct nrpc_channel {
    pthread_mutex_t mu;
    pthread_cond_t quiet;
    _Atomic int refs; // the owner's, and what a local server holds
    struct nrpc_channel_options options;
    struct nrpc_client_interceptor *interceptors;
    char *name; // as it was opened, for messages
    struct connection **connections;
    size_t connection_count, connection_capacity, next_choice;
    const struct connection *kept; // the last chosen; NULL: none yet
    struct resolver *resolver;
    nng_aio *timer_aio;
    int64_t timer_at_us;
    struct pending *line, **line_tail; // calls that wait for a connection with room
    unsigned line_length;
    struct pending *resting; // calls that wait for their next attempt
    uint64_t next_id;
    struct retry_budget budget;
    unsigned inside; // calls that have begun and not returned; threads that carry out
    bool closing;
    struct nrpc_channel_stats stats;
    struct queue errands; // of struct errand_out
    bool running_errands;
    struct pending *free_pendings;
    unsigned free_pending_count;
    // what is to be done without the mutex
    struct pending *done, **done_tail;
    struct nrpc_stream *ready;
};

// ---- effects.c
void channel_lock(struct nrpc_channel *ch);
void channel_unlock(struct nrpc_channel *ch); // and carries out what was gathered

// A call is inside from before its first interceptor until after its last: the channel's close waits for it.
void channel_enter(struct nrpc_channel *ch);    // without the mutex
void channel_leave(struct nrpc_channel *ch);    // under the mutex, as the following
void channel_ready(struct nrpc_stream *stream); // something changed: wakes whoever waits on it
void channel_errand(struct nrpc_channel *ch, nng_msg *msg, uint32_t id); // hands a frame to the local server

// ---- channel.c; all under the mutex
void channel_start(struct nrpc_channel *ch, struct pending *p);
void channel_pump(struct nrpc_channel *ch); // puts waiting calls on the wire
// Ends an attempt: the call ends with p->st and p->reply, or is tried again. retry_after_ms: what the server
// said; 0: nothing; below 0: never.
void channel_end_attempt(struct nrpc_channel *ch, struct pending *p, int64_t retry_after_ms);
// The server says that it did not begin the call: back into the line. false: it cannot be sent again.
bool channel_send_elsewhere(struct nrpc_channel *ch, struct pending *p);
void channel_end(struct nrpc_channel *ch, struct pending *p); // for good
void channel_cancel(struct nrpc_channel *ch, struct pending *p, int code, const char *text);
void channel_set_overdue(struct nrpc_channel *ch, struct pending *p);
int64_t channel_wake_at(const struct nrpc_channel *ch, const struct pending *p);
void channel_arm(struct nrpc_channel *ch, int64_t at_us); // the timer rings by then

// ---- endpoints.c; under the mutex unless it says otherwise
struct connection *endpoints_choose(struct nrpc_channel *ch); // for the next call; NULL: it has to wait
bool endpoints_connected(const struct nrpc_channel *ch);      // some connection takes calls
// Adds a connection and opens it. If that fails, it stays, and is opened later. Without the mutex.
int endpoints_add(struct nrpc_channel *ch, const char *url, bool resolved, struct nrpc_status *st);
void endpoints_let_go(struct connection *c, bool replace);
// A connection that took calls does so no more.
void endpoints_lost(struct nrpc_channel *ch, const struct connection *c);
// Opens, replaces and removes what is due; returns when to do it again. Without the mutex.
int64_t endpoints_tend(struct nrpc_channel *ch);

// ---- connection.c; under the mutex unless it says otherwise
struct connection *connection_create(struct nrpc_channel *ch, const char *url);
int connection_open(const struct connection *c, struct sp_dialer **out, struct nrpc_status *st); // without
void connection_close(struct connection *c);                                                     // without
void connection_destroy(struct connection *c);                                                   // without
void connection_connect_local(struct connection *c, struct nrpc_server *server);                 // without
void connection_place(struct connection *c, struct pending *p);   // sends the request
void connection_release(struct connection *c, struct pending *p); // the call is no longer on it
void connection_fail_all(struct connection *c, int code, const char *text);
int64_t connection_tick(struct connection *c, int64_t now_us); // keepalive; when to call again
int64_t connection_heard_us(const struct connection *c);       // silence before it had calls does not count
int64_t connection_keepalive_ms(const struct connection *c);   // after which silence it is asked
void connection_say_goodbye(struct connection *c);

// ---- call.c; without the mutex
struct pending *pending_new(struct nrpc_channel *ch); // of an asynchronous call
void pending_free(struct pending *p);
int pending_prepare(struct pending *p, const struct nrpc_call_options *o, const ProtobufCMessage *request,
                    uint32_t credit);
void pending_finish(struct pending *p); // after its end: interceptors, outcome, parent
void pending_run_done(struct pending *p);
ProtobufCMessage *pending_read_reply(struct pending *p, ProtobufCAllocator *allocator); // sets p->st

// ---- stream.c; under the mutex
void stream_placed(struct nrpc_stream *s); // its request was sent

// ---- outcome.c
void outcome_take(struct nrpc_outcome *o, const struct frame *f); // copies metadata and details
int64_t outcome_retry_after_ms(const struct frame *f);            // as channel_end_attempt wants it

#endif
