// SPDX-License-Identifier: Apache-2.0
// feed.h: what a publisher sends, held until somebody takes it.
//
// Bounded: what there is no room for is dropped. Whoever takes learns when something may have been missed: a
// connection was made, or something was dropped. `changed` runs on nng's threads, with no lock held.
#ifndef NRPC_EVENTS_FEED_H
#define NRPC_EVENTS_FEED_H

#include "nrpc/events/event.h"

#include <nng/nng.h>

struct feed;

struct feed_options {
    const char *url;
    size_t max_held, max_held_bytes;
    void (*changed)(void *user);
    void *user;
};

struct feed_event {
    struct event event; // points into msg
    nng_msg *msg;       // the taker's, to be freed with nng_msg_free
};

enum feed_news {
    FEED_NOTHING,
    FEED_EVENT,
    FEED_MISSED, // something may have been missed since this was said last, and before the events that follow
};

// Events of all topics that are subscribed to, in the order of their arrival over the newest connection.
int feed_create(const struct feed_options *options, struct feed **out, struct nrpc_status *st);
int feed_subscribe(struct feed *feed, const char *topic, struct nrpc_status *st);
int feed_open(struct feed *feed, struct nrpc_status *st); // begins to connect

// Opened or not; NULL is allowed. false: nng did not let go of the socket, and `changed` may still run.
bool feed_close(struct feed *feed);

enum feed_news feed_take(struct feed *feed, struct feed_event *out);

#endif
