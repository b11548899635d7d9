// SPDX-License-Identifier: Apache-2.0
// feed.h: what a publisher sends, held until somebody takes it.
//
// Bounded: what there is no room for is dropped. Whoever takes learns when something may have been missed: a
// connection was made, or something was dropped. The callbacks run on nng's threads, with no lock held.
#ifndef NRPC_EVENTS_FEED_H
#define NRPC_EVENTS_FEED_H

#include "nrpc/events/event.h"

#include <nng/nng.h>

struct feed;

struct feed_options {
    const char *url;
    size_t max_held, max_held_bytes;
    bool (*is_wanted)(void *user, const struct pubsub_event *event); // the others are dropped
    void (*changed)(void *user);
    void *user;
};

struct feed_event {
    struct pubsub_event event; // points into msg
    nng_msg *msg;              // the taker's, to be freed with nng_msg_free
};

enum feed_news {
    FEED_NOTHING,
    FEED_EVENT,
    FEED_MISSED, // something may have been missed since this was said last, and before the events that follow
};

// Begins to connect, and does so again whenever the connection is lost. What arrives is held in the order of
// its arrival over the newest connection, whatever its topic.
int feed_open(const struct feed_options *options, struct feed **out, struct nrpc_status *st);
void feed_close(struct feed *feed); // NULL is allowed

enum feed_news feed_take(struct feed *feed, struct feed_event *out);

#endif
