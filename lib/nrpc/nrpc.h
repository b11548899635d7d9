// SPDX-License-Identifier: Apache-2.0
// nrpc.h: gRPC-style calls between C programs: protobuf-c messages over nng sockets.
//
// A service is described in a .proto file; protoc-gen-nrpc writes typed stubs and skeletons on top of what is
// declared here. Programs include the generated <file>.nrpc.h, which includes this file.
//
// URLs are nng's: tcp://host:port, tls+tcp://host:port, ipc:///path.
//
// Threads: every function here may be called from any thread unless it says otherwise. Callbacks run on nng's
// own threads or on the server's workers; they must not block and must not destroy the object that calls
// them. A stream (and a call of a streaming method in its server) has one reader and one writer at a time.
#ifndef NRPC_H
#define NRPC_H

#include "base/status.h"

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define NRPC_WIRE_VERSION 1                // the `version` of nrpc.v1.Frame that this library speaks
#define NRPC_DEFAULT_MAX_MESSAGE (4 << 20) // bytes; both directions; larger is RESOURCE_EXHAUSTED
#define NRPC_WAITING_HANDLERS_MAX 512      // see struct nrpc_server_options, workers
#define NRPC_WOULD_BLOCK (-1)              // no status: see nrpc_call_on_ready and nrpc_stream_on_ready

// ---------------------------------------------------------------- descriptions (written by protoc-gen-nrpc)

struct nrpc_call;

struct nrpc_method {
    const char *name; // full name as it travels: "/package.Service/Method"
    const ProtobufCMessageDescriptor *request;
    const ProtobufCMessageDescriptor *response;
    // Calls the handler of this method in the service's typed table; NULL if the table has none. request is
    // NULL if the client streams.
    void (*invoke)(const void *handlers, struct nrpc_call *call, const ProtobufCMessage *request, void *user);
    bool (*is_handled)(const void *handlers);
    bool client_streams, server_streams;
    bool idempotent;          // option idempotency_level is IDEMPOTENT or NO_SIDE_EFFECTS: may be retried
    const char *const *roles; // option (nrpc.v1.roles), NULL at the end; NULL: no role is asked for
};

struct nrpc_service {
    const char *name; // "package.Service"
    const struct nrpc_method *methods;
    size_t method_count;
    const struct nrpc_file *file; // the .proto file, for reflection; may be NULL
};

// A .proto file as a packed google.protobuf.FileDescriptorProto, and what it imports (NULL at the end).
struct nrpc_file {
    const char *name;
    const void *descriptor;
    size_t descriptor_bytes;
    const struct nrpc_file *const *imports;
};

// ---------------------------------------------------------------- metadata

// Keys: lower-case letters, digits, "-_.". Values: UTF-8 text; any bytes if the key ends in "-bin". At most
// 64 entries and 8 KiB in each direction of a call.
struct nrpc_metadata {
    const char *key;
    const char *value;  // a NUL stands behind it in all that this library hands out
    size_t value_bytes; // 0: value is a text, up to its NUL
};

// What came back with a call besides its message.
struct nrpc_outcome {
    struct nrpc_metadata *headers, *trailers;
    size_t header_count, trailer_count;
    const void *details; // a packed nrpc.v1.Status (google.rpc.Status); NULL: none
    size_t details_bytes;
    unsigned attempts; // 1, and one for each retry
    void *block;       // holds all of the above
};
void nrpc_outcome_fini(struct nrpc_outcome *outcome);

// The first value under a key; NULL: there is none.
const char *nrpc_metadata_find(const struct nrpc_metadata *metadata, size_t count, const char *key);

// ---------------------------------------------------------------- TLS (urls that begin with tls+tcp)

// Files are PEM. A server needs certificate and key, a client ca. Read when a listener is opened or told to,
// and before each connect of a client; if they cannot be read then, those read before serve on.
struct nrpc_tls_options {
    const char *ca_file; // whom to trust; on a server: clients must show a certificate from it (mTLS)
    const char *certificate_file; // one's own, with its chain
    const char *key_file;
    const char *server_name; // client: the name that the certificate must have; NULL: the host of the url
};

// ---------------------------------------------------------------- server

struct nrpc_server;

struct nrpc_server_options {
    // Threads that run NRPC_POOLED handlers; 1..256; 0: 4. A handler that waits for its client, in
    // nrpc_call_send or nrpc_call_receive, does not count: its thread waits, and another takes its place, up
    // to NRPC_WAITING_HANDLERS_MAX. Further ones do count.
    unsigned workers;
    unsigned queue_max; // requests that may wait for a worker; more are answered RESOURCE_EXHAUSTED; 0: 1024
    // Requests received and not yet answered: in all, of one connection, and the bytes that all of them take.
    // More are RESOURCE_EXHAUSTED. 0: 65,536; 16,384; 256 MiB. One that is alone may take what a message may.
    unsigned parked_max, parked_of_connection_max;
    size_t parked_bytes_max;
    size_t max_message_bytes;   // of a request or response; 0: NRPC_DEFAULT_MAX_MESSAGE
    size_t stream_window_bytes; // of a stream's messages received and not yet read; 0: 256 KiB
    int64_t keepalive_ms; // a silent connection is asked for a sign of life after this; 0: 30000; <0: never
    int64_t keepalive_timeout_ms; // and closed after this; 0: 10000
    int64_t watchdog_ms;          // how often a listener is tried, and replaced if it is dead; 0: 5000; <0:
                                  // never
    const struct nrpc_tls_options *tls; // for tls+tcp listeners; copied
};

enum nrpc_dispatch {
    NRPC_POOLED, // handlers run on the worker threads and may block
    NRPC_INLINE, // handlers run on the transport's thread: they must not block; they may park the call and
                 // answer later
};

// Never fails; starts no thread and opens no socket before the first listen. options may be NULL.
struct nrpc_server *nrpc_server_create(const struct nrpc_server_options *options);

// Adds a service. handlers is the generated table; it and user stay the caller's and must outlive the server.
// Refused when a method has no handler (FAILED_PRECONDITION), the name is taken (ALREADY_EXISTS) or the
// server listens already. The generated <service>_register() calls this.
int nrpc_server_add(struct nrpc_server *server, const struct nrpc_service *service,
                    enum nrpc_dispatch dispatch, const void *handlers, void *user, struct nrpc_status *st);

// At most max_running calls of one method ("/package.Service/Method") at a time; more are RESOURCE_EXHAUSTED.
// Before the first listen. NOT_FOUND: there is no such method.
int nrpc_server_limit(struct nrpc_server *server, const char *method, unsigned max_running,
                      struct nrpc_status *st);

// What runs around every call, in the order of adding; `end` in the reverse order. Before the first listen.
struct nrpc_server_interceptor {
    // Before the handler. Anything but NRPC_OK refuses the call with *st. Runs on the transport's thread. May
    // be NULL.
    int (*start)(void *user, struct nrpc_call *call, struct nrpc_status *st);
    // When the call has ended, however it did; only if `start` of this one was reached. May be NULL.
    void (*end)(void *user, struct nrpc_call *call, const struct nrpc_status *st);
    void *user;
};
void nrpc_server_intercept(struct nrpc_server *server, const struct nrpc_server_interceptor *interceptor);

// Opens a listener; may be called again for more. With tcp port 0 the system chooses a free port.
// FAILED_PRECONDITION: the server drains.
int nrpc_server_listen(struct nrpc_server *server, const char *url, struct nrpc_status *st);

// The url of listener `index` with the real port in it, valid until the server is destroyed; NULL past the
// last.
const char *nrpc_server_url(struct nrpc_server *server, size_t index);

// Reads the files of the TLS options again, for connections made from now on. On failure the old ones stay.
int nrpc_server_reload_tls(struct nrpc_server *server, struct nrpc_status *st);

// Accepts no connections, asks all clients to go elsewhere, waits until all running calls are answered and
// the clients have said goodbye, at most timeout_ms. Calls that cross our request are served; what comes
// later, and all that comes after this was called a second time, is refused with UNAVAILABLE. Returns the
// number of calls that were still unanswered (0: drained).
size_t nrpc_server_drain(struct nrpc_server *server, int64_t timeout_ms);

// Closes the listeners, cancels running calls, waits for running handlers, answers nothing more. Calls that
// no handler has seen yet end without one. Calls that a handler parked may still be answered or failed later
// (the answer goes nowhere): each must be, to free it. NULL is allowed.
void nrpc_server_destroy(struct nrpc_server *server);

struct nrpc_server_stats {
    uint64_t started, answered, refused, bad_frames; // since creation
    uint64_t connected, listener_restarts;           // since creation
    unsigned queued, unanswered, connections;        // now
};
void nrpc_server_stats(struct nrpc_server *server, struct nrpc_server_stats *out);

enum { NRPC_LATENCY_BUCKETS = 24 };
struct nrpc_method_stats {
    const struct nrpc_method *method;
    const struct nrpc_service *service;
    uint64_t started, ended[17]; // ended: by status code; others count as UNKNOWN
    unsigned running;
    uint64_t latency[NRPC_LATENCY_BUCKETS]; // calls that took below 2^i microseconds and not below 2^(i-1);
                                            // the last: all longer
};
// Counters of method `index`, in no special order; false past the last.
bool nrpc_server_method_stats(struct nrpc_server *server, size_t index, struct nrpc_method_stats *out);

struct nrpc_connection_stats {
    uint32_t connection;       // as nrpc_call_connection
    char peer[64];             // "127.0.0.1:4711"; empty if the transport does not say
    int64_t age_ms, silent_ms; // since it was made; since something was heard
    uint64_t frames_received, frames_sent;
    unsigned running; // calls
};
// Up to capacity connections with a number above `after`, in rising order; how many were written.
size_t nrpc_server_connections(struct nrpc_server *server, uint32_t after, struct nrpc_connection_stats *out,
                               size_t capacity);

// The services that were added, for reflection; NULL past the last.
const struct nrpc_service *nrpc_server_service(struct nrpc_server *server, size_t index);

// ---------------------------------------------------------------- inside a handler
//
// A handler gets the call and its request, and answers exactly once: nrpc_reply (through the generated typed
// <method>_reply), nrpc_finish if the server streams, or nrpc_reply_error; at once or later, from any thread.
// Until then the call and the request live; after it both are gone.

// Sends the response (packed before this returns; it stays the caller's) and ends the call. A response over
// the size limit ends the call with RESOURCE_EXHAUSTED instead.
void nrpc_reply(struct nrpc_call *call, const ProtobufCMessage *response);

// Ends a call whose server streams, with NRPC_OK, after all that was sent.
void nrpc_finish(struct nrpc_call *call);

// Ends the call with an error. code must not be NRPC_OK.
void nrpc_reply_error(struct nrpc_call *call, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void nrpc_reply_status(struct nrpc_call *call, const struct nrpc_status *st);

// The same, with typed details, of which the client gets those whose type it knows by nrpc_detail. Details
// over the size limit are left out, and the text says so.
void nrpc_reply_details(struct nrpc_call *call, const struct nrpc_status *st,
                        const ProtobufCMessage *const *details, size_t detail_count);

// Sends one message of a server that streams. Waits while the client is behind (see nrpc_call_on_ready).
// Anything but NRPC_OK: CANCELLED or DEADLINE_EXCEEDED, nobody wants more (the call must still be ended);
// RESOURCE_EXHAUSTED, the message is over the size limit.
int nrpc_call_send(struct nrpc_call *call, const ProtobufCMessage *message);

// Takes the next message of a client that streams, waiting for it. NRPC_OK with *message NULL: the client
// sends no more. Anything but NRPC_OK as in nrpc_call_send; INVALID_ARGUMENT: it could not be read. A message
// lives until the next one is taken, or the call ends.
int nrpc_call_receive(struct nrpc_call *call, const ProtobufCMessage **message);

// From now on send and receive of this call do not wait but return NRPC_WOULD_BLOCK, and on_ready runs when
// it is worth trying again, and when the call is cancelled: on any thread, one at a time, also before this
// returns; not after the call was answered on the thread of on_ready itself.
void nrpc_call_on_ready(struct nrpc_call *call, void (*on_ready)(void *user, struct nrpc_call *call),
                        void *user);

// The caller gave up, or its connection is lost, or its deadline has passed: the answer goes nowhere.
bool nrpc_call_is_cancelled(struct nrpc_call *call);

// Milliseconds until the caller gives up; 0 when it already has; INT64_MAX when it set no deadline.
int64_t nrpc_call_remaining_ms(const struct nrpc_call *call);

// A number for the connection that the call came over: equal for calls of one connection while it lasts.
uint32_t nrpc_call_connection(const struct nrpc_call *call);

// Metadata that the caller sent under this key; NULL if there is none. Lives as long as the call.
const char *nrpc_call_metadata(struct nrpc_call *call, const char *key);
// All of it, in the order of sending.
const struct nrpc_metadata *nrpc_call_all_metadata(struct nrpc_call *call, size_t *count);

// Metadata for the client: headers go with the first message or the answer (FAILED_PRECONDITION after that),
// trailers with the end. Copied. INVALID_ARGUMENT: against the rules of struct nrpc_metadata.
int nrpc_call_add_header(struct nrpc_call *call, const struct nrpc_metadata *entry, struct nrpc_status *st);
int nrpc_call_add_trailer(struct nrpc_call *call, const struct nrpc_metadata *entry, struct nrpc_status *st);

const char *nrpc_call_method_name(const struct nrpc_call *call);
const struct nrpc_method *nrpc_call_method(const struct nrpc_call *call);

// When it arrived: microseconds of the monotonic clock.
int64_t nrpc_call_arrived_us(const struct nrpc_call *call);

// A piece of memory that lives as long as the call; NULL when the call's budget (4 times the message limit)
// is used up.
void *nrpc_call_alloc(struct nrpc_call *call, size_t size);

// What interceptors leave for each other and for handlers; key is an address of theirs. NULL: nothing.
void nrpc_call_set_value(struct nrpc_call *call, const void *key, void *value);
void *nrpc_call_value(const struct nrpc_call *call, const void *key);

// ---------------------------------------------------------------- client

struct nrpc_channel;

// A call that is about to be sent, as interceptors see it.
struct nrpc_outgoing;
const struct nrpc_method *nrpc_outgoing_method(const struct nrpc_outgoing *call);
int nrpc_outgoing_add(struct nrpc_outgoing *call, const struct nrpc_metadata *entry,
                      struct nrpc_status *st); // copied
const char *nrpc_outgoing_metadata(const struct nrpc_outgoing *call, const char *key);
int64_t nrpc_outgoing_started_us(const struct nrpc_outgoing *call);
void nrpc_outgoing_set_value(struct nrpc_outgoing *call, const void *key, void *value);
void *nrpc_outgoing_value(const struct nrpc_outgoing *call, const void *key);

// What runs around every call of a channel; `start` in the order of the list, `end` in the reverse order.
struct nrpc_client_interceptor {
    int (*start)(void *user, struct nrpc_outgoing *call,
                 struct nrpc_status *st); // not NRPC_OK: ends the call. May be NULL
    void (*end)(void *user, struct nrpc_outgoing *call, const struct nrpc_status *st); // may be NULL
    void *user;
};

struct nrpc_retry_options { // of calls of idempotent methods that ended UNAVAILABLE
    unsigned max_attempts;  // in all; 0: 4; 1: no retry
    int64_t backoff_ms;     // before the first retry, doubled for each, with jitter of +-20 %; 0: 50
    int64_t backoff_max_ms; // 0: 2000
};

enum nrpc_choice {          // which of several servers gets a call
    NRPC_LEAST_OUTSTANDING, // the one with the fewest calls under way
    NRPC_STICKY, // the one that got the last, while its connection stands and it does not answer UNAVAILABLE;
                 // then
                 // all calls go to another, and stay there. Which is the first is left to chance
};

struct nrpc_channel_options {
    size_t max_message_bytes; // 0: NRPC_DEFAULT_MAX_MESSAGE
    // Calls on one connection at the same time, 1..4096; more wait in line; 0: 1024. Also those wait there
    // that would make more than 32 MiB wait for the server to read.
    unsigned max_outstanding;
    unsigned max_waiting;       // calls that may wait in line; more fail RESOURCE_EXHAUSTED; 0: 4096
    int64_t connect_timeout_ms; // how long a call without wait_for_ready waits for a connection; 0: 2000
    int64_t reconnect_min_ms;   // pause after a failed connect, doubled each time, with jitter; 0: 20
    int64_t reconnect_max_ms;   // 0: 1000
    int64_t keepalive_ms; // a silent connection with calls on it is asked for a sign of life after this; 0:
                          // 10000; <0: never
    int64_t keepalive_timeout_ms; // and closed after this; 0: 5000
    int64_t resolve_ms;           // how often the names of dns:/// urls are resolved again; 0: 30000
    size_t stream_window_bytes;   // of a stream's messages received and not yet read; 0: 256 KiB
    enum nrpc_choice choice;
    struct nrpc_retry_options retry;
    const struct nrpc_tls_options *tls;                 // for tls+tcp; copied
    const struct nrpc_client_interceptor *interceptors; // copied
    size_t interceptor_count;
};

// Prepares a channel; connects in the background, and again whenever a connection is lost. urls: one, or
// several separated by commas: servers that do the same, of which options->choice chooses.
// "dns:///host:port" and "dns+tls:///host:port" stand for all addresses of a name. Fails only for a malformed
// url or option. *out must be closed.
int nrpc_channel_open(const char *urls, const struct nrpc_channel_options *options, struct nrpc_channel **out,
                      struct nrpc_status *st);

// A channel straight into a server of this process: no socket, no thread; requests go through the same
// frames, limits and checks, but nothing is retried, and the deadline of an asynchronous call does not end it
// by itself. With an NRPC_INLINE service the handler runs inside the call, so that a single-threaded test can
// drive client and server. The server must outlive the channel.
struct nrpc_channel *nrpc_channel_local(struct nrpc_server *server);

// Fails all calls with CANCELLED, waits until they have returned, their callbacks and interceptors too, and
// frees the channel. Not from such a callback. Its streams must have been closed. NULL is allowed.
void nrpc_channel_close(struct nrpc_channel *channel);

// At least one connection stands.
bool nrpc_channel_is_connected(const struct nrpc_channel *channel);

struct nrpc_channel_stats {
    uint64_t started, ok, failed, retries, connects, disconnects; // since opening
    unsigned outstanding, waiting, endpoints, connected;          // now
    unsigned retry_tokens;                                        // of 100; no retries below 50
};
void nrpc_channel_stats(const struct nrpc_channel *channel, struct nrpc_channel_stats *out);

struct nrpc_call_options {
    // The deadline, from now; 0: none; below 0: it has passed, the call is not sent. What remains of it
    // travels with the call.
    int64_t timeout_ms;
    bool wait_for_ready; // wait for a connection until the deadline, instead of failing UNAVAILABLE
    // While all calls on the connection say so, the server is asked for a sign of life only after this long,
    // the shortest of theirs, instead of the channel's keepalive_ms; 0: they do not.
    int64_t quiet_ms;
    const struct nrpc_metadata *metadata;
    size_t metadata_count; // at most 64, 8 KiB in all
    // The call of whose handler this one is a part: this one ends when that one is cancelled, has at most the
    // time that remains of that one, and carries on its traceparent.
    struct nrpc_call *parent;
    struct nrpc_outcome
        *outcome; // filled when the call has ended (not for streams); to be freed with nrpc_outcome_fini
    uint64_t *id; // set before the call is sent, for nrpc_channel_cancel
};

// Ends a call with CANCELLED, here and in the server; nothing happens if it has ended.
void nrpc_channel_cancel(struct nrpc_channel *channel, uint64_t id);

// One blocking call. On success *response (which may be NULL if the answer does not matter) must be freed
// with protobuf_c_message_free_unpacked; on failure it is NULL. options may be NULL. Not on a callback's
// thread, not on a local channel whose service parks calls.
int nrpc_call_unary(struct nrpc_channel *channel, const struct nrpc_method *method,
                    const struct nrpc_call_options *options, const ProtobufCMessage *request,
                    ProtobufCMessage **response, struct nrpc_status *st);

// One asynchronous call. done runs exactly once, on an nng thread, or inside this call if it fails
// immediately or the channel is local; but if that is inside another callback of the same channel, then after
// that one has returned, so that a chain of calls, each begun by the `done` of the last, takes no stack. No
// lock is held; it must not block. response is NULL on failure and lives only during done.
typedef void (*nrpc_done_fn)(void *user, const struct nrpc_status *st, const ProtobufCMessage *response);
void nrpc_call_async(struct nrpc_channel *channel, const struct nrpc_method *method,
                     const struct nrpc_call_options *options, const ProtobufCMessage *request,
                     nrpc_done_fn done, void *user);

// The same for generated code: `done`, of any type, is handed to `finish`, which knows the type.
typedef void (*nrpc_finish_fn)(void (*done)(void), void *user, const struct nrpc_status *st,
                               const ProtobufCMessage *response);
void nrpc_call_async_typed(struct nrpc_channel *channel, const struct nrpc_method *method,
                           const struct nrpc_call_options *options, const ProtobufCMessage *request,
                           nrpc_finish_fn finish, void (*done)(void), void *user);

// The first of an outcome's details that is of this type, allocated with allocator (NULL: malloc; to be freed
// with protobuf_c_message_free_unpacked); NULL: there is none.
ProtobufCMessage *nrpc_detail(const struct nrpc_outcome *outcome, const ProtobufCMessageDescriptor *type,
                              ProtobufCAllocator *allocator);

// ---------------------------------------------------------------- client: streams
//
// A call of a method where one side or both stream. It ends with a status, which read returns; every stream
// must be closed.

struct nrpc_stream;

// Begins a call. request: of a server-streaming method, else NULL. On failure *out is NULL.
int nrpc_stream_open(struct nrpc_channel *channel, const struct nrpc_method *method,
                     const struct nrpc_call_options *options, const ProtobufCMessage *request,
                     struct nrpc_stream **out, struct nrpc_status *st);

// Sends one message; waits while the server is behind. Anything but NRPC_OK: the call has ended
// (nrpc_stream_read says how), or RESOURCE_EXHAUSTED: the message is over the size limit.
int nrpc_stream_write(struct nrpc_stream *stream, const ProtobufCMessage *message);

// Says that no more messages come.
void nrpc_stream_close_send(struct nrpc_stream *stream);

// Takes the next message, waiting for it. NRPC_OK with *message NULL: the call has ended well. Anything else:
// it has ended so, and *st says why. A message lives until the next read, or the stream's close. Of a method
// whose server does not stream, exactly one message comes.
int nrpc_stream_read(struct nrpc_stream *stream, const ProtobufCMessage **message, struct nrpc_status *st);

// From now on write and read do not wait but return NRPC_WOULD_BLOCK, and on_ready runs when it is worth
// trying again: on any thread, one at a time, also before this returns.
void nrpc_stream_on_ready(struct nrpc_stream *stream, void (*on_ready)(void *user), void *user);

// Ends the call with CANCELLED, here and in the server.
void nrpc_stream_cancel(struct nrpc_stream *stream);

// Headers: once the first message or the end was read. The rest: once the end was read. Lives until close.
const struct nrpc_outcome *nrpc_stream_outcome(struct nrpc_stream *stream);

// Cancels the call if it has not ended, waits for a running on_ready (unless called by it), frees the stream.
// NULL is allowed.
void nrpc_stream_close(struct nrpc_stream *stream);

// ---------------------------------------------------------------- events (pub/sub: a hint, never the truth)
//
// Events are numbered by the publisher's program. A slow subscriber loses the oldest; it sees the gap in the
// numbers and reads what it missed by a call.

struct nrpc_publisher;
struct nrpc_subscriber;

int nrpc_publisher_open(const char *url, struct nrpc_publisher **out, struct nrpc_status *st);
const char *nrpc_publisher_url(const struct nrpc_publisher *publisher); // with the real port
// topic: 1..100 bytes. sequence: 1 and up, rising within a topic; 0: not numbered.
int nrpc_publish(struct nrpc_publisher *publisher, const char *topic, uint64_t sequence,
                 const ProtobufCMessage *event, struct nrpc_status *st);
void nrpc_publisher_close(struct nrpc_publisher *publisher);

struct nrpc_event {
    const char *topic;
    uint64_t sequence;
    uint64_t
        missed; // how many numbers are missing between the last event of this topic seen here and this one
    const void *payload; // a packed protobuf message; lives only during the callback
    size_t payload_bytes;
};
typedef void (*nrpc_event_fn)(void *user, const struct nrpc_event *event);

// Subscribes to the given topics (exact names). on_event runs on an nng thread, one event at a time.
int nrpc_subscriber_open(const char *url, const char *const *topics, size_t topic_count,
                         nrpc_event_fn on_event, void *user, struct nrpc_subscriber **out,
                         struct nrpc_status *st);
void nrpc_subscriber_close(struct nrpc_subscriber *subscriber);

#ifdef __cplusplus
}
#endif

#endif
