// SPDX-License-Identifier: Apache-2.0
// fixture.c: sources and books.
#include "fixture.h"

#include <google/protobuf/wrappers.pb-c.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

// ---- the publisher's program

static void use_url(char out[64], const char *url)
{
    snprintf(out, 64, "%s", url);
}

static const char *url_or_any(const char *url)
{
    return *url ? url : "tcp://127.0.0.1:0";
}

void source_open_service(struct source *s)
{
    struct nrpc_status st;
    int64_t until_ms = clock_now_ms() + 30000;
    s->server = nrpc_server_create(NULL);
    assert_int_equal(nrpc_event_log_add(s->log, s->server, &st), NRPC_OK);
    while (nrpc_server_listen(s->server, url_or_any(s->server_url), &st) && clock_now_ms() < until_ms)
        poll(NULL, 0, 5); // the port of before may not be free yet
    assert_non_null(nrpc_server_url(s->server, 0));
    use_url(s->server_url, nrpc_server_url(s->server, 0));
}

void source_open(struct source *s, size_t max_events)
{
    struct nrpc_status st;
    struct nrpc_event_log_options o = {.max_events = max_events};
    int64_t until_ms = clock_now_ms() + 30000;
    while (nrpc_publisher_open(url_or_any(s->publisher_url), &s->publisher, &st) && clock_now_ms() < until_ms)
        poll(NULL, 0, 5);
    assert_non_null(s->publisher);
    use_url(s->publisher_url, nrpc_publisher_url(s->publisher));
    s->log = nrpc_event_log_create(&o, s->publisher);
    source_open_service(s);
}

void source_close_service(struct source *s)
{
    nrpc_server_destroy(s->server);
    s->server = NULL;
}

void source_close(struct source *s)
{
    source_close_service(s);
    nrpc_event_log_destroy(s->log);
    nrpc_publisher_close(s->publisher);
}

void source_append(struct source *s, const char *topic, uint64_t from, uint64_t to, size_t payload_bytes)
{
    Google__Protobuf__BytesValue m = GOOGLE__PROTOBUF__BYTES_VALUE__INIT;
    uint8_t *bytes = calloc(1, payload_bytes);
    struct nrpc_status st;
    m.value = (ProtobufCBinaryData){payload_bytes, bytes};
    for (uint64_t i = from; i <= to; i++) {
        uint64_t sequence;
        memcpy(bytes, &i, sizeof i);
        assert_int_equal(nrpc_event_log_append(s->log, topic, &m.base, &sequence, &st), NRPC_OK);
        assert_int_equal(sequence, i);
    }
    free(bytes);
}

uint16_t url_port(const char *url)
{
    return (uint16_t)strtoul(strrchr(url, ':') + 1, NULL, 10);
}

void url_of_port(char out[64], uint16_t port)
{
    snprintf(out, 64, "tcp://127.0.0.1:%u", port);
}

// ---- a reader's books

void books_init(struct books *b)
{
    memset(b, 0, sizeof *b);
    pthread_mutex_init(&b->mu, NULL);
}

void books_fini(struct books *b)
{
    pthread_mutex_destroy(&b->mu);
}

void books_stop(struct books *b, bool stopped)
{
    pthread_mutex_lock(&b->mu);
    b->stopped = stopped;
    pthread_mutex_unlock(&b->mu);
}

// Under the mutex.
static struct book *find(struct books *b, const char *topic, bool make)
{
    for (size_t i = 0; i < b->count; i++)
        if (!strcmp(b->books[i].name, topic))
            return &b->books[i];
    if (!make || b->count == BOOKS_MAX)
        return NULL;
    struct book *book = &b->books[b->count++];
    snprintf(book->name, sizeof book->name, "%s", topic);
    return book;
}

struct book books_of(struct books *b, const char *topic)
{
    pthread_mutex_lock(&b->mu);
    const struct book *book = find(b, topic, false);
    struct book copy = book ? *book : (struct book){0};
    pthread_mutex_unlock(&b->mu);
    return copy;
}

uint64_t books_last(struct books *b, const char *topic)
{
    return books_of(b, topic).last;
}

size_t books_losses(struct books *b)
{
    pthread_mutex_lock(&b->mu);
    size_t n = b->loss_count;
    pthread_mutex_unlock(&b->mu);
    return n;
}

unsigned books_wrong(struct books *b)
{
    pthread_mutex_lock(&b->mu);
    unsigned n = b->wrong;
    pthread_mutex_unlock(&b->mu);
    return n;
}

static void wait_while_stopped(struct books *b)
{
    pthread_mutex_lock(&b->mu);
    int delay_us = b->delay_us;
    while (b->stopped) {
        pthread_mutex_unlock(&b->mu);
        poll(NULL, 0, 1);
        pthread_mutex_lock(&b->mu);
    }
    pthread_mutex_unlock(&b->mu);
    if (delay_us)
        usleep((useconds_t)delay_us);
}

static bool has_content(const struct nrpc_reader_event *e)
{
    Google__Protobuf__BytesValue *m =
        google__protobuf__bytes_value__unpack(NULL, e->payload_bytes, e->payload);
    bool has =
        m && m->value.len >= sizeof e->sequence && !memcmp(m->value.data, &e->sequence, sizeof e->sequence);
    if (m)
        google__protobuf__bytes_value__free_unpacked(m, NULL);
    return has;
}

void books_event(void *user, const struct nrpc_reader_event *e)
{
    struct books *b = user;
    wait_while_stopped(b);
    pthread_mutex_lock(&b->mu);
    struct book *book = find(b, e->topic, true);
    bool follows = !book->first || (e->sequence == book->last + 1 && e->epoch == book->epoch);
    if (!follows || !has_content(e))
        b->wrong++;
    book->first = book->first ? book->first : e->sequence;
    book->last = e->sequence;
    book->epoch = e->epoch;
    book->count++;
    pthread_mutex_unlock(&b->mu);
}

void books_loss(void *user, const struct nrpc_reader_loss *l)
{
    struct books *b = user;
    pthread_mutex_lock(&b->mu);
    struct book *book = find(b, l->topic, true);
    if (book->first && l->to && l->from != book->last + 1)
        b->wrong++;
    if (b->loss_count < LOSSES_MAX) {
        b->losses[b->loss_count] = *l;
        b->losses[b->loss_count++].topic = NULL;
    }
    book->last = l->to;
    book->epoch = l->epoch;
    pthread_mutex_unlock(&b->mu);
}
