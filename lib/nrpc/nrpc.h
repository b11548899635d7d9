// SPDX-License-Identifier: Apache-2.0
// nrpc.h: gRPC-style calls between C programs: protobuf-c messages over nng sockets.
//
// A service is described in a .proto file; protoc-gen-nrpc writes typed stubs and skeletons on top of what is
// declared here. Programs include the generated <file>.nrpc.h, which includes this file.
//
// URLs are nng's: tcp://host:port, ipc:///path, inproc://name.
//
// Threads: every function here may be called from any thread unless it says otherwise. Callbacks run on nng's
// own threads or on the server's workers and must not destroy the object that calls them.
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

// ---------------------------------------------------------------- descriptions (written by protoc-gen-nrpc)

struct nrpc_call;

struct nrpc_method {
    const char *name; // full name as it travels: "/package.Service/Method"
    const ProtobufCMessageDescriptor *request;
    const ProtobufCMessageDescriptor *response;
    // Calls the handler of this method in the service's typed table; NULL if the table has none.
    void (*invoke)(const void *handlers, struct nrpc_call *call, const ProtobufCMessage *request, void *user);
    bool (*is_handled)(const void *handlers);
};

struct nrpc_service {
    const char *name; // "package.Service"
    const struct nrpc_method *methods;
    size_t method_count;
};

// ---------------------------------------------------------------- server

struct nrpc_server;

struct nrpc_server_options {
    unsigned workers;    // threads that run NRPC_POOLED handlers; 1..256; 0: 4
    unsigned queue_max;  // requests that may wait for a worker; more are answered RESOURCE_EXHAUSTED; 0: 1024
    unsigned parked_max; // requests received and not yet answered; more are RESOURCE_EXHAUSTED; 0: 65536
    size_t max_message_bytes; // of a request or response; 0: NRPC_DEFAULT_MAX_MESSAGE
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

// Opens a listener; may be called again for more. With tcp port 0 the system chooses a free port.
int nrpc_server_listen(struct nrpc_server *server, const char *url, struct nrpc_status *st);

// The url of listener `index` with the real port in it, valid until the server is destroyed; NULL past the
// last.
const char *nrpc_server_url(struct nrpc_server *server, size_t index);

// Refuses new calls with UNAVAILABLE and waits until all running calls are answered, at most timeout_ms.
// Returns the number of calls that were still unanswered (0: drained).
size_t nrpc_server_drain(struct nrpc_server *server, int64_t timeout_ms);

// Closes the listeners, waits for running handlers, answers nothing more. Calls that a handler parked may
// still be answered or failed later (the answer goes nowhere): each must be, to free it. NULL is allowed.
void nrpc_server_destroy(struct nrpc_server *server);

struct nrpc_server_stats {
    uint64_t started, answered, refused, bad_frames; // since creation
    unsigned queued, unanswered;                     // now
};
void nrpc_server_stats(struct nrpc_server *server, struct nrpc_server_stats *out);

// ---------------------------------------------------------------- inside a handler
//
// A handler gets the call and its request, and answers exactly once: nrpc_reply (through the generated typed
// <method>_reply) or nrpc_reply_error, at once or later, from any thread. Until then the call and the request
// live; after it both are gone.

// Sends the response (packed before this returns; it stays the caller's) and ends the call. A response over
// the size limit ends the call with RESOURCE_EXHAUSTED instead.
void nrpc_reply(struct nrpc_call *call, const ProtobufCMessage *response);

// Ends the call with an error. code must not be NRPC_OK.
void nrpc_reply_error(struct nrpc_call *call, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void nrpc_reply_status(struct nrpc_call *call, const struct nrpc_status *st);

// Milliseconds until the caller gives up; 0 when it already has; INT64_MAX when it set no deadline.
int64_t nrpc_call_remaining_ms(const struct nrpc_call *call);

// A number for the connection that the call came over: equal for calls of one connection while it lasts.
uint32_t nrpc_call_connection(const struct nrpc_call *call);

// Metadata that the caller sent under this key (keys are lower case); NULL if there is none. Lives as long as
// the call.
const char *nrpc_call_metadata(const struct nrpc_call *call, const char *key);

const char *nrpc_call_method(const struct nrpc_call *call);

// A piece of memory that lives as long as the call; NULL when the call's budget (4 times the message limit)
// is used up.
void *nrpc_call_alloc(struct nrpc_call *call, size_t size);

// ---------------------------------------------------------------- client

struct nrpc_channel;

struct nrpc_channel_options {
    size_t max_message_bytes;   // 0: NRPC_DEFAULT_MAX_MESSAGE
    unsigned max_outstanding;   // calls on the wire at once, 1..64; more wait in line; 0: 64
    unsigned max_waiting;       // calls that may wait in line; more fail RESOURCE_EXHAUSTED; 0: 4096
    int64_t connect_timeout_ms; // how long a call without wait_for_ready waits for a connection; 0: 2000
};

// Prepares a channel to one server; connects in the background, and again whenever the connection is lost.
// Fails only for a malformed url or option. *out must be closed.
int nrpc_channel_open(const char *url, const struct nrpc_channel_options *options, struct nrpc_channel **out,
                      struct nrpc_status *st);

// A channel straight into a server of this process: no socket, no thread; requests go through the same
// frames, limits and checks. With an NRPC_INLINE service the handler runs inside the call, so that a
// single-threaded test can drive client and server. The server must outlive the channel.
struct nrpc_channel *nrpc_channel_local(struct nrpc_server *server);

// Fails all calls with CANCELLED, waits until their callbacks have returned, and frees the channel. NULL is
// allowed.
void nrpc_channel_close(struct nrpc_channel *channel);

bool nrpc_channel_is_connected(const struct nrpc_channel *channel);

struct nrpc_metadata {
    const char *key, *value; // key: lower-case letters, digits, "-_."; value: any text
};

struct nrpc_call_options {
    int64_t timeout_ms;  // the deadline, from now; 0: none. What remains of it travels with the call
    bool wait_for_ready; // wait for a connection until the deadline, instead of failing UNAVAILABLE
    const struct nrpc_metadata *metadata;
    size_t metadata_count; // at most 64, 8 KiB in all
};

// One blocking call. On success *response (which may be NULL if the answer does not matter) must be freed
// with protobuf_c_message_free_unpacked; on failure it is NULL. options may be NULL. Not on a callback's
// thread, not on a local channel whose service parks calls.
int nrpc_call_unary(struct nrpc_channel *channel, const struct nrpc_method *method,
                    const struct nrpc_call_options *options, const ProtobufCMessage *request,
                    ProtobufCMessage **response, struct nrpc_status *st);

// One asynchronous call. done runs exactly once, on an nng thread (or inside this call, if it fails at once
// or the channel is local), with no lock held; it must not block. response is NULL on failure and lives only
// during done.
typedef void (*nrpc_done_fn)(void *user, const struct nrpc_status *st, const ProtobufCMessage *response);
void nrpc_call_async(struct nrpc_channel *channel, const struct nrpc_method *method,
                     const struct nrpc_call_options *options, const ProtobufCMessage *request,
                     nrpc_done_fn done, void *user);

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
