// SPDX-License-Identifier: Apache-2.0
// events.h: event streams: what is published is kept in a log for a while, so that a reader gets every event
// exactly once and in order, or is told exactly which it missed.
//
// A publisher drops what a slow or absent subscriber does not take. The log numbers the events of each topic
// 1, 2, 3 and so on, publishes them, and answers the service nrpc.v1.Events; a reader subscribes, sees gaps
// in the numbers, and reads what is missing by calls.
#ifndef NRPC_EVENTS_EVENTS_H
#define NRPC_EVENTS_EVENTS_H

#include "nrpc/nrpc.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    NRPC_EVENT_TOPIC_MAX = 100,     // bytes of a topic's name, which is UTF-8
    NRPC_EVENT_TOPICS_MAX = 4096,   // of a log, of a reader
    NRPC_EVENT_BYTES_MAX = 1 << 20, // of a packed event
};

// ---------------------------------------------------------------- the log, on the publisher's side

struct nrpc_event_log;

struct nrpc_event_log_options { // the oldest events are dropped, whatever their topic, to keep to these
    size_t max_events;          // 0: 65536
    size_t max_bytes;           // of packed events; 0: 64 MiB; at least NRPC_EVENT_BYTES_MAX
};

// A new log, with a new epoch, and without topics. What is appended is also published on publisher, which
// stays the caller's, must outlive the log, and should be used for nothing else. options may be NULL.
struct nrpc_event_log *nrpc_event_log_create(const struct nrpc_event_log_options *options,
                                             struct nrpc_publisher *publisher);

// After the servers that it was added to. NULL is allowed.
void nrpc_event_log_destroy(struct nrpc_event_log *log);

// Adds the service nrpc.v1.Events to a server; before the server's first listen. Errors as nrpc_server_add.
int nrpc_event_log_add(struct nrpc_event_log *log, struct nrpc_server *server, struct nrpc_status *st);

// Gives the event the next number of its topic, keeps it and publishes it. sequence (may be NULL) is set to
// the number. INVALID_ARGUMENT: the topic's name; RESOURCE_EXHAUSTED: the event is too large, or the topic
// would be one too many. Any thread.
int nrpc_event_log_append(struct nrpc_event_log *log, const char *topic, const ProtobufCMessage *event,
                          uint64_t *sequence, struct nrpc_status *st);

// A random number that tells this log from those before and after it; never 0.
uint64_t nrpc_event_log_epoch(const struct nrpc_event_log *log);

// ---------------------------------------------------------------- the reader

struct nrpc_event_reader;

enum nrpc_reader_start {
    NRPC_READ_NOW,    // what is appended from now on
    NRPC_READ_OLDEST, // all that is still there
    NRPC_READ_AFTER,  // what comes behind a sequence number: where an earlier reader has stopped
};

struct nrpc_reader_topic {
    const char *name;
    enum nrpc_reader_start start;
    uint64_t sequence, epoch; // NRPC_READ_AFTER; of the last event that was taken. epoch 0: not known
};

struct nrpc_reader_event {
    const char *topic;
    uint64_t sequence, epoch; // together: where to go on later
    const void *payload;      // a packed protobuf message; lives only during the callback
    size_t payload_bytes;
};

// Events that will not come any more.
struct nrpc_reader_loss {
    const char *topic;
    uint64_t from, to; // the first and the last; to 0: all from `from` on, of an epoch that has ended: how
                       // many there were nobody knows. Numbers begin at 1 again
    uint64_t epoch;    // the one that goes on
};

// Both run on the reader's own thread, one at a time, and may block: that only makes this reader slower. They
// must not close the reader.
typedef void (*nrpc_reader_event_fn)(void *user, const struct nrpc_reader_event *event);
typedef void (*nrpc_reader_loss_fn)(void *user, const struct nrpc_reader_loss *loss);

struct nrpc_event_reader_options {
    const char *url;                        // of the publisher
    struct nrpc_channel *channel;           // to a server with the log's service; must outlive the reader
    const struct nrpc_reader_topic *topics; // copied; no two of one name
    size_t topic_count;                     // 1..NRPC_EVENT_TOPICS_MAX
    nrpc_reader_event_fn on_event;
    nrpc_reader_loss_fn on_loss; // may be NULL
    void *user;
    int64_t check_ms;      // how often it asks whether the last event before a silence was lost; 0: 5000
    int64_t call_ms;       // the deadline of a call; 0: 5000
    size_t max_held;       // published events held back while others are read by a call; what comes above
    size_t max_held_bytes; // that is read by calls later; 0: 1024, and 8 MiB
};

// Begins to read. It connects in the background, and tries again, with pauses of up to check_ms, as long as
// publisher or service cannot be reached; nothing is lost by that as long as the log has it.
int nrpc_event_reader_open(const struct nrpc_event_reader_options *options, struct nrpc_event_reader **out,
                           struct nrpc_status *st);

// Cancels a call under way, waits for a running callback, frees the reader. NULL is allowed.
void nrpc_event_reader_close(struct nrpc_event_reader *reader);

#ifdef __cplusplus
}
#endif

#endif
