// SPDX-License-Identifier: Apache-2.0
// fixture.h: a publisher's program with its log and service, and a reader that keeps books on what it is
// told.
#ifndef EVENTS_FIXTURE_H
#define EVENTS_FIXTURE_H

#include "nrpc/events/events.h"

#include "base/clock.h"

#include <poll.h>
#include <pthread.h>

#define WAIT_FOR(condition)                                                                                  \
    do {                                                                                                     \
        int64_t until_ms = clock_now_ms() + 30000;                                                           \
        while (!(condition) && clock_now_ms() < until_ms)                                                    \
            poll(NULL, 0, 1);                                                                                \
        assert_true(condition);                                                                              \
    } while (0)

// ---- the publisher's program

struct source {
    struct nrpc_publisher *publisher;
    struct nrpc_event_log *log;
    struct nrpc_server *server;
    char publisher_url[64], server_url[64];
};

// publisher_url and server_url may be those of before; empty: free ports.
void source_open(struct source *s, size_t max_events);
void source_close_service(struct source *s); // the log and the publisher go on
void source_open_service(struct source *s);
void source_close(struct source *s);

// Appends events of payload_bytes, at least 8, with the numbers `from` to `to`, with which their content
// begins.
void source_append(struct source *s, const char *topic, uint64_t from, uint64_t to, size_t payload_bytes);

uint16_t url_port(const char *url);
void url_of_port(char out[64], uint16_t port);

// ---- a reader's books

enum { BOOKS_MAX = 256, LOSSES_MAX = 16 };

struct book { // of one topic
    char name[32];
    uint64_t first, last, count; // of the events
    uint64_t epoch;
};

struct books {
    pthread_mutex_t mu;
    struct book books[BOOKS_MAX];
    size_t count;
    unsigned wrong;                             // what came out of order, twice, or with another content
    struct nrpc_reader_loss losses[LOSSES_MAX]; // topics are gone
    size_t loss_count;
    int delay_us; // of each callback
    bool stopped; // callbacks wait while this is so
};

void books_init(struct books *b);
void books_fini(struct books *b);
void books_stop(struct books *b, bool stopped);

struct book books_of(struct books *b, const char *topic); // zero if there is none
uint64_t books_last(struct books *b, const char *topic);
size_t books_losses(struct books *b);
unsigned books_wrong(struct books *b);

// Callbacks, with struct books as user.
void books_event(void *user, const struct nrpc_reader_event *event);
void books_loss(void *user, const struct nrpc_reader_loss *loss);

#endif
