// SPDX-License-Identifier: Apache-2.0
// log_test.c: what a log keeps, what it drops, and what its service answers.
#include "nrpc/events/event.h"
#include "nrpc/v1/events.nrpc.h"

#include <google/protobuf/wrappers.pb-c.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct fixture {
    struct nrpc_publisher *publisher;
    struct nrpc_event_log *log;
    struct nrpc_server *server;
    struct nrpc_channel *channel;
};

static void open_log(struct fixture *f, size_t max_events, size_t max_bytes)
{
    struct nrpc_event_log_options o = {max_events, max_bytes};
    struct nrpc_status st;
    assert_int_equal(nrpc_publisher_open("tcp://127.0.0.1:0", &f->publisher, &st), NRPC_OK);
    f->log = nrpc_event_log_create(&o, f->publisher);
    f->server = nrpc_server_create(NULL);
    assert_int_equal(nrpc_event_log_add(f->log, f->server, &st), NRPC_OK);
    f->channel = nrpc_channel_local(f->server);
}

static void close_log(struct fixture *f)
{
    nrpc_channel_close(f->channel);
    nrpc_server_destroy(f->server);
    nrpc_event_log_destroy(f->log);
    nrpc_publisher_close(f->publisher);
}

static int append(struct fixture *f, const char *topic, size_t bytes, uint64_t *sequence)
{
    Google__Protobuf__BytesValue m = GOOGLE__PROTOBUF__BYTES_VALUE__INIT;
    struct nrpc_status st;
    m.value = (ProtobufCBinaryData){bytes, calloc(1, bytes + 1)};
    int code = nrpc_event_log_append(f->log, topic, &m.base, sequence, &st);
    free(m.value.data);
    return code;
}

static void append_many(struct fixture *f, const char *topic, size_t count, size_t bytes)
{
    uint64_t sequence = 0, first = 0;
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(append(f, topic, bytes, &sequence), NRPC_OK);
        first = first ? first : sequence;
        assert_int_equal(sequence, first + i);
    }
}

static Nrpc__V1__EventsReadResponse *read_events(struct fixture *f, char *topic, uint64_t after,
                                                 uint32_t max_events, uint64_t max_bytes)
{
    Nrpc__V1__EventsReadRequest q = NRPC__V1__EVENTS_READ_REQUEST__INIT;
    Nrpc__V1__EventsReadResponse *r;
    struct nrpc_status st;
    q.topic = topic;
    q.after_sequence = after;
    q.max_events = max_events;
    q.max_bytes = max_bytes;
    assert_int_equal(nrpc_v1_events_read(f->channel, NULL, &q, &r, &st), NRPC_OK);
    assert_int_equal(r->epoch, nrpc_event_log_epoch(f->log));
    for (size_t i = 1; i < r->n_events; i++)
        assert_int_equal(r->events[i]->sequence, r->events[0]->sequence + i);
    return r;
}

// count events from `first` on are answered; first_available and last_sequence are these.
static void assert_reads(struct fixture *f, char *topic, uint64_t after, uint32_t max_events,
                         uint64_t max_bytes, size_t count, uint64_t first, uint64_t first_available,
                         uint64_t last)
{
    Nrpc__V1__EventsReadResponse *r = read_events(f, topic, after, max_events, max_bytes);
    assert_int_equal(r->n_events, count);
    if (count)
        assert_int_equal(r->events[0]->sequence, first);
    assert_int_equal(r->first_available, first_available);
    assert_int_equal(r->last_sequence, last);
    nrpc__v1__events_read_response__free_unpacked(r, NULL);
}

static void test_read(void **state)
{
    (void)state;
    struct fixture f;
    open_log(&f, 0, 0);
    append_many(&f, "a", 30, 100);
    append_many(&f, "b", 3, 0);
    assert_reads(&f, "a", 0, 0, 0, 30, 1, 1, 30);
    assert_reads(&f, "a", 0, 7, 0, 7, 1, 1, 30);
    assert_reads(&f, "a", 7, 100, 0, 23, 8, 1, 30);
    assert_reads(&f, "a", 29, 0, 0, 1, 30, 1, 30);
    assert_reads(&f, "a", 30, 0, 0, 0, 0, 1, 30);
    assert_reads(&f, "a", UINT64_MAX, 0, 0, 0, 0, 1, 30);
    assert_reads(&f, "b", 0, 0, 0, 3, 1, 1, 3);
    assert_reads(&f, "none", 0, 0, 0, 0, 0, 1, 0);
    assert_reads(&f, "", 5, 0, 0, 0, 0, 1, 0);
    close_log(&f);
}

static void test_bytes_of_an_answer(void **state)
{
    (void)state;
    struct fixture f;
    open_log(&f, 0, 0);
    append_many(&f, "a", 10, 1000);
    assert_reads(&f, "a", 0, 0, 1, 1, 1, 1, 10); // at least one
    assert_reads(&f, "a", 0, 0, 3100, 3, 1, 1, 10);
    append_many(&f, "big", 4, NRPC_EVENT_BYTES_MAX - 8);
    assert_reads(&f, "big", 0, 0, 0, 1, 1, 1, 4);
    assert_reads(&f, "big", 1, 0, UINT64_MAX, 1, 2, 1, 4);
    close_log(&f);
}

static void test_oldest_are_dropped(void **state)
{
    (void)state;
    struct fixture f;
    open_log(&f, 100, 0);
    append_many(&f, "a", 60, 10);
    append_many(&f, "b", 60, 10);
    assert_reads(&f, "a", 0, 0, 0, 40, 21, 21, 60);
    assert_reads(&f, "b", 0, 0, 0, 60, 1, 1, 60);
    append_many(&f, "b", 500, 10);
    assert_reads(&f, "a", 0, 0, 0, 0, 0, 61, 60);
    assert_reads(&f, "b", 0, 0, 0, 100, 461, 461, 560);
    append_many(&f, "a", 1, 10);
    assert_reads(&f, "a", 0, 0, 0, 1, 61, 61, 61);
    close_log(&f);
    open_log(&f, 0, 1); // at least NRPC_EVENT_BYTES_MAX
    append_many(&f, "a", 5, NRPC_EVENT_BYTES_MAX / 3);
    assert_reads(&f, "a", 0, 0, UINT64_MAX, 2, 4, 4, 5);
    close_log(&f);
}

static void test_topics(void **state)
{
    (void)state;
    struct fixture f;
    Nrpc__V1__EventsTopicsRequest q = NRPC__V1__EVENTS_TOPICS_REQUEST__INIT;
    Nrpc__V1__EventsTopicsResponse *r;
    struct nrpc_status st;
    open_log(&f, 4, 0);
    assert_int_equal(nrpc_v1_events_topics(f.channel, NULL, &q, &r, &st), NRPC_OK);
    assert_int_equal(r->n_topics, 0);
    nrpc__v1__events_topics_response__free_unpacked(r, NULL);
    append_many(&f, "a", 3, 1);
    append_many(&f, "b", 2, 1);
    assert_int_equal(nrpc_v1_events_topics(f.channel, NULL, &q, &r, &st), NRPC_OK);
    assert_int_equal(r->n_topics, 2);
    assert_int_equal(r->epoch, nrpc_event_log_epoch(f.log));
    nrpc__v1__events_topics_response__free_unpacked(r, NULL);
    char *names[] = {"b", "unknown", "a", "b"};
    q.topics = names;
    q.n_topics = 4;
    assert_int_equal(nrpc_v1_events_topics(f.channel, NULL, &q, &r, &st), NRPC_OK);
    static const uint64_t expected[][2] = {{1, 2}, {1, 0}, {2, 3}, {1, 2}};
    assert_int_equal(r->n_topics, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_string_equal(r->topics[i]->name, names[i]);
        assert_int_equal(r->topics[i]->first_available, expected[i][0]);
        assert_int_equal(r->topics[i]->last_sequence, expected[i][1]);
    }
    nrpc__v1__events_topics_response__free_unpacked(r, NULL);
    close_log(&f);
}

static void test_refused(void **state)
{
    (void)state;
    struct fixture f;
    char name[NRPC_EVENT_TOPIC_MAX + 2];
    uint64_t sequence = 77;
    open_log(&f, 0, 0);
    memset(name, 'x', sizeof name);
    name[NRPC_EVENT_TOPIC_MAX + 1] = 0;
    assert_int_equal(append(&f, name, 1, &sequence), NRPC_INVALID_ARGUMENT);
    assert_int_equal(append(&f, "", 1, &sequence), NRPC_INVALID_ARGUMENT);
    assert_int_equal(append(&f, "\xff", 1, &sequence), NRPC_INVALID_ARGUMENT);
    assert_int_equal(append(&f, "a", NRPC_EVENT_BYTES_MAX, &sequence), NRPC_RESOURCE_EXHAUSTED);
    assert_int_equal(sequence, 77);
    for (int i = 0; i < NRPC_EVENT_TOPICS_MAX; i++) {
        snprintf(name, sizeof name, "%d", i);
        assert_int_equal(append(&f, name, 1, NULL), NRPC_OK);
    }
    assert_int_equal(append(&f, "one more", 1, NULL), NRPC_RESOURCE_EXHAUSTED);
    assert_int_equal(append(&f, "17", 1, &sequence), NRPC_OK);
    assert_int_equal(sequence, 2);
    Nrpc__V1__EventsTopicsRequest q = NRPC__V1__EVENTS_TOPICS_REQUEST__INIT;
    Nrpc__V1__EventsTopicsResponse *r;
    struct nrpc_status st;
    assert_int_equal(nrpc_v1_events_topics(f.channel, NULL, &q, &r, &st), NRPC_OK);
    assert_int_equal(r->n_topics, NRPC_EVENT_TOPICS_MAX);
    nrpc__v1__events_topics_response__free_unpacked(r, NULL);
    q.n_topics = NRPC_EVENT_TOPICS_MAX + 1;
    q.topics = calloc(q.n_topics, sizeof *q.topics);
    for (size_t i = 0; i < q.n_topics; i++)
        q.topics[i] = name;
    assert_int_equal(nrpc_v1_events_topics(f.channel, NULL, &q, &r, &st), NRPC_INVALID_ARGUMENT);
    free(q.topics);
    close_log(&f);
}

// Nothing that is cut off anywhere is an event.
static void test_parse(void **state)
{
    (void)state;
    uint8_t bytes[64];
    struct pubsub_event e;
    uint8_t *at = wire_write_bytes(bytes, 1, "topic", 5);
    assert_false(event_parse(bytes, (size_t)(at - bytes), &e)); // no number, no payload
    at = wire_write_number(at, 2, 300);
    at = wire_write_bytes(at, 3, "xyz", 3);
    size_t size = (size_t)(at - bytes);
    assert_true(event_parse(bytes, size, &e));
    assert_int_equal(e.topic.size, 5);
    assert_int_equal(e.sequence, 300);
    assert_memory_equal(e.payload.data, "xyz", 3);
    for (size_t n = 0; n < size; n++)
        assert_false(event_parse(bytes, n, &e));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read),
        cmocka_unit_test(test_bytes_of_an_answer),
        cmocka_unit_test(test_oldest_are_dropped),
        cmocka_unit_test(test_topics),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_parse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
