// SPDX-License-Identifier: Apache-2.0
// reader_test.c: readers over TCP get every event once and in order, whatever is cut, dropped, closed or
// slow; or are told exactly what they missed.
#include "fixture.h"

#include "nrpc/v1/events.nrpc.h"
#include "soak/proxy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { CHECK_MS = 200, NEVER_MS = 3600 * 1000 };

struct fixture {
    struct source source;
    struct books books;
    struct proxy *proxy; // between publisher and reader; NULL: none
    struct nrpc_channel *channel;
    struct nrpc_event_reader *reader;
};

static void open_source(struct fixture *f, size_t max_events, bool with_proxy)
{
    memset(f, 0, sizeof *f);
    source_open(&f->source, max_events);
    books_init(&f->books);
    if (with_proxy)
        f->proxy = proxy_start(url_port(f->source.publisher_url), 1);
}

static void open_reader_of(struct fixture *f, const struct nrpc_reader_topic *topics, size_t count,
                           int64_t check_ms)
{
    char url[64];
    struct nrpc_status st;
    url_of_port(url, f->proxy ? proxy_port(f->proxy) : url_port(f->source.publisher_url));
    struct nrpc_channel_options channel = {.connect_timeout_ms = 200, .retry.max_attempts = 1};
    if (!f->channel)
        assert_int_equal(nrpc_channel_open(f->source.server_url, &channel, &f->channel, &st), NRPC_OK);
    struct nrpc_event_reader_options o = {
        .url = url,
        .channel = f->channel,
        .topics = topics,
        .topic_count = count,
        .on_event = books_event,
        .on_loss = books_loss,
        .user = &f->books,
        .check_ms = check_ms,
    };
    assert_int_equal(nrpc_event_reader_open(&o, &f->reader, &st), NRPC_OK);
}

static void open_reader(struct fixture *f, enum nrpc_reader_start start, int64_t check_ms)
{
    struct nrpc_reader_topic topic = {.name = "a", .start = start};
    open_reader_of(f, &topic, 1, check_ms);
}

static void close_all(struct fixture *f)
{
    nrpc_event_reader_close(f->reader);
    assert_int_equal(books_wrong(&f->books), 0);
    nrpc_channel_close(f->channel);
    if (f->proxy)
        proxy_stop(f->proxy);
    source_close(&f->source);
    books_fini(&f->books);
}

static void assert_loss(struct fixture *f, size_t index, uint64_t from, uint64_t to)
{
    assert_int_equal(f->books.losses[index].from, from);
    assert_int_equal(f->books.losses[index].to, to);
    assert_int_equal(f->books.losses[index].epoch, nrpc_event_log_epoch(f->source.log));
}

// Appends one by one until one of them is delivered as it is published; returns the last number.
static uint64_t append_until_live(struct fixture *f, uint64_t from)
{
    uint64_t last = from - 1;
    for (int64_t until_ms = clock_now_ms() + 30000;
         books_last(&f->books, "a") < from && clock_now_ms() < until_ms; poll(NULL, 0, 2)) {
        last++;
        source_append(&f->source, "a", last, last, 8);
    }
    WAIT_FOR(books_last(&f->books, "a") == last);
    return last;
}

static void test_all_from_the_oldest(void **state)
{
    (void)state;
    struct fixture f;
    open_source(&f, 0, false);
    source_append(&f.source, "a", 1, 2500, 20); // several pages
    open_reader(&f, NRPC_READ_OLDEST, CHECK_MS);
    WAIT_FOR(books_last(&f.books, "a") == 2500);
    source_append(&f.source, "a", 2501, 2600, 20);
    WAIT_FOR(books_last(&f.books, "a") == 2600);
    assert_int_equal(books_of(&f.books, "a").count, 2600);
    assert_int_equal(books_losses(&f.books), 0);
    close_all(&f);
}

static void test_from_now_on(void **state)
{
    (void)state;
    struct fixture f;
    open_source(&f, 0, false);
    source_append(&f.source, "a", 1, 100, 8);
    open_reader(&f, NRPC_READ_NOW, NEVER_MS);
    (void)append_until_live(&f, 101);
    assert_true(books_of(&f.books, "a").first > 100);
    assert_int_equal(books_losses(&f.books), 0);
    close_all(&f);
}

static void test_goes_on_where_another_stopped(void **state)
{
    (void)state;
    struct fixture f;
    open_source(&f, 0, false);
    source_append(&f.source, "a", 1, 50, 8);
    open_reader(&f, NRPC_READ_OLDEST, CHECK_MS);
    WAIT_FOR(books_last(&f.books, "a") == 50);
    nrpc_event_reader_close(f.reader);
    source_append(&f.source, "a", 51, 80, 8);
    struct nrpc_reader_topic after = {"a", NRPC_READ_AFTER, 50, nrpc_event_log_epoch(f.source.log)};
    open_reader_of(&f, &after, 1, CHECK_MS);
    WAIT_FOR(books_last(&f.books, "a") == 80);
    assert_int_equal(books_of(&f.books, "a").count, 80);
    assert_int_equal(books_losses(&f.books), 0);
    close_all(&f);
}

// A position of another epoch, and one that there never was.
static void test_goes_on_in_another_epoch(void **state)
{
    (void)state;
    const struct nrpc_reader_topic after[] = {{"a", NRPC_READ_AFTER, 5, 77}, {"a", NRPC_READ_AFTER, 500, 0}};
    for (size_t i = 0; i < 2; i++) {
        struct fixture f;
        open_source(&f, 0, false);
        source_append(&f.source, "a", 1, 10, 8);
        open_reader_of(&f, &after[i], 1, CHECK_MS);
        WAIT_FOR(books_last(&f.books, "a") == 10);
        assert_int_equal(books_of(&f.books, "a").count, 10);
        assert_int_equal(books_losses(&f.books), 1);
        assert_loss(&f, 0, after[i].sequence + 1, 0);
        close_all(&f);
    }
}

// The subscription is cut for a second, in which nothing arrives; nothing is lost, also without the check.
static void test_away_for_a_second(void **state)
{
    (void)state;
    struct fixture f;
    open_source(&f, 0, true);
    open_reader(&f, NRPC_READ_NOW, NEVER_MS);
    uint64_t last = append_until_live(&f, 1);
    proxy_stall(f.proxy, true);
    proxy_cut_some(f.proxy, 100);
    for (int i = 0; i < 10; i++) {
        source_append(&f.source, "a", last + 1, last + 30, 100);
        last += 30;
        poll(NULL, 0, 100);
    }
    proxy_stall(f.proxy, false);
    WAIT_FOR(books_last(&f.books, "a") == last);
    source_append(&f.source, "a", last + 1, last + 1, 8);
    WAIT_FOR(books_last(&f.books, "a") == last + 1);
    assert_int_equal(books_losses(&f.books), 0);
    close_all(&f);
}

// The last event before a silence is lost on its way: the check finds it.
static void test_last_before_silence(void **state)
{
    (void)state;
    struct fixture f;
    open_source(&f, 0, true);
    open_reader(&f, NRPC_READ_NOW, CHECK_MS);
    uint64_t last = append_until_live(&f, 1);
    proxy_stall(f.proxy, true); // what is published does not arrive
    source_append(&f.source, "a", last + 1, last + 3, 8);
    WAIT_FOR(books_last(&f.books, "a") == last + 3);
    proxy_stall(f.proxy, false); // now it does, for the second time
    source_append(&f.source, "a", last + 4, last + 4, 8);
    WAIT_FOR(books_last(&f.books, "a") == last + 4);
    assert_int_equal(books_losses(&f.books), 0);
    close_all(&f);
}

static void test_away_too_long(void **state)
{
    (void)state;
    struct fixture f;
    open_source(&f, 100, true);
    open_reader(&f, NRPC_READ_NOW, NEVER_MS);
    uint64_t last = append_until_live(&f, 1);
    books_stop(&f.books, true); // so that it takes no notice, also by calls
    source_append(&f.source, "a", last + 1, last + 1, 8);
    proxy_stall(f.proxy, true);
    source_append(&f.source, "a", last + 2, last + 1000, 8);
    proxy_cut_some(f.proxy, 100);
    proxy_stall(f.proxy, false);
    books_stop(&f.books, false);
    WAIT_FOR(books_last(&f.books, "a") == last + 1000);
    assert_int_equal(books_losses(&f.books), 1);
    // The first of them may have come before the cut.
    uint64_t from = f.books.losses[0].from;
    assert_true(from == last + 1 || from == last + 2);
    assert_loss(&f, 0, from, last + 900);
    close_all(&f);
}

static void test_publisher_restarts(void **state)
{
    (void)state;
    struct fixture f;
    open_source(&f, 0, false);
    source_append(&f.source, "a", 1, 20, 8);
    open_reader(&f, NRPC_READ_OLDEST, CHECK_MS);
    WAIT_FOR(books_last(&f.books, "a") == 20);
    for (uint64_t i = 0; i < 3; i++) { // with fewer, as many and more events than before
        uint64_t before = books_last(&f.books, "a"), count = 10 * (i + 1);
        source_close(&f.source);
        source_open(&f.source, 0);
        source_append(&f.source, "a", 1, count, 8);
        WAIT_FOR(books_of(&f.books, "a").epoch == nrpc_event_log_epoch(f.source.log) &&
                 books_last(&f.books, "a") == count);
        assert_int_equal(books_losses(&f.books), i + 1);
        assert_loss(&f, i, before + 1, 0);
    }
    assert_int_equal(books_of(&f.books, "a").count, 20 + 10 + 20 + 30);
    close_all(&f);
}

static void test_many_topics(void **state)
{
    (void)state;
    enum { TOPICS = 200, ROUNDS = 20 };
    struct fixture f;
    char names[TOPICS][16];
    struct nrpc_reader_topic topics[TOPICS];
    open_source(&f, 0, true);
    for (int i = 0; i < TOPICS; i++) {
        snprintf(names[i], sizeof names[i], "topic %d", i);
        topics[i] = (struct nrpc_reader_topic){names[i], NRPC_READ_OLDEST, 0, 0};
    }
    open_reader_of(&f, topics, TOPICS, CHECK_MS);
    for (uint64_t round = 1; round <= ROUNDS; round++) {
        for (int i = 0; i < TOPICS; i++)
            source_append(&f.source, names[i], round, round, 50);
        source_append(&f.source, "another", round, round, 50); // which nobody reads
        if (round % 5 == 0)
            proxy_cut_some(f.proxy, 100);
    }
    for (int i = 0; i < TOPICS; i++)
        WAIT_FOR(books_last(&f.books, names[i]) == ROUNDS);
    for (int i = 0; i < TOPICS; i++)
        assert_int_equal(books_of(&f.books, names[i]).count, ROUNDS);
    assert_int_equal(f.books.count, TOPICS);
    assert_int_equal(books_losses(&f.books), 0);
    close_all(&f);
}

// A burst over all queues, while the callback stands still: the publisher drops, and so does the reader.
static void test_slow_reader(void **state)
{
    (void)state;
    enum { EVENTS = 20000 };
    struct fixture f;
    open_source(&f, 0, false);
    open_reader(&f, NRPC_READ_NOW, NEVER_MS);
    uint64_t last = append_until_live(&f, 1);
    books_stop(&f.books, true);
    source_append(&f.source, "a", last + 1, last + EVENTS, 1000);
    books_stop(&f.books, false);
    WAIT_FOR(books_last(&f.books, "a") >= last + EVENTS / 2);
    source_append(&f.source, "a", last + EVENTS + 1, last + EVENTS + 1, 1000); // shows the gap at the latest
    WAIT_FOR(books_last(&f.books, "a") == last + EVENTS + 1);
    assert_int_equal(books_losses(&f.books), 0);
    close_all(&f);
}

// Its own slowness is all that a slow callback leads to: others are not held up.
static void test_slow_beside_fast(void **state)
{
    (void)state;
    struct fixture f, slow = {0};
    open_source(&f, 0, false);
    open_reader(&f, NRPC_READ_NOW, CHECK_MS);
    uint64_t last = append_until_live(&f, 1);
    slow.source = f.source;
    books_init(&slow.books);
    books_stop(&slow.books, true);
    open_reader(&slow, NRPC_READ_OLDEST, CHECK_MS);
    source_append(&f.source, "a", last + 1, last + 5000, 100);
    WAIT_FOR(books_last(&f.books, "a") == last + 5000);
    assert_int_equal(books_last(&slow.books, "a"), 0);
    books_stop(&slow.books, false);
    WAIT_FOR(books_last(&slow.books, "a") == last + 5000);
    nrpc_event_reader_close(slow.reader);
    nrpc_channel_close(slow.channel);
    assert_int_equal(books_wrong(&slow.books), 0);
    assert_int_equal(books_losses(&slow.books), 0);
    books_fini(&slow.books);
    close_all(&f);
}

// Live events wait for the ones before them, which nobody answers for a while.
static void test_service_unreachable(void **state)
{
    (void)state;
    struct fixture f;
    open_source(&f, 0, true);
    open_reader(&f, NRPC_READ_NOW, CHECK_MS);
    uint64_t last = append_until_live(&f, 1);
    source_close_service(&f.source);
    proxy_cut_some(f.proxy, 100);
    for (int i = 0; i < 20; i++) {
        source_append(&f.source, "a", last + 1, last + 100, 100);
        last += 100;
        poll(NULL, 0, 30);
    }
    source_open_service(&f.source);
    WAIT_FOR(books_last(&f.books, "a") == last);
    assert_int_equal(books_losses(&f.books), 0);
    close_all(&f);
}

// ---- closing

static void park_read(struct nrpc_call *call, const Nrpc__V1__EventsReadRequest *q, void *user)
{
    (void)q;
    *(struct nrpc_call * _Atomic *)user = call;
}

static void answer_topics(struct nrpc_call *call, const Nrpc__V1__EventsTopicsRequest *q, void *user)
{
    (void)user;
    Nrpc__V1__EventsTopicsResponse r = NRPC__V1__EVENTS_TOPICS_RESPONSE__INIT;
    Nrpc__V1__EventsTopic topic = NRPC__V1__EVENTS_TOPIC__INIT, *topics[] = {&topic};
    topic.name = q->topics[0];
    topic.first_available = 1;
    topic.last_sequence = 10;
    r.topics = topics;
    r.n_topics = 1;
    r.epoch = 1;
    nrpc_v1_events_topics_reply(call, &r);
}

static void test_close_while_reading(void **state)
{
    (void)state;
    static const struct nrpc_v1_events_handlers handlers = {.read = park_read, .topics = answer_topics};
    struct nrpc_call *_Atomic parked = NULL;
    struct fixture f;
    struct nrpc_status st;
    open_source(&f, 0, false);
    struct nrpc_server *server = nrpc_server_create(NULL);
    assert_int_equal(nrpc_v1_events_register(server, NRPC_INLINE, &handlers, &parked, &st), NRPC_OK);
    assert_int_equal(nrpc_server_listen(server, "tcp://127.0.0.1:0", &st), NRPC_OK);
    assert_int_equal(nrpc_channel_open(nrpc_server_url(server, 0), NULL, &f.channel, &st), NRPC_OK);
    open_reader(&f, NRPC_READ_OLDEST, CHECK_MS);
    WAIT_FOR(parked);
    nrpc_event_reader_close(f.reader);
    f.reader = NULL;
    WAIT_FOR(nrpc_call_is_cancelled(parked));
    nrpc_reply_error(parked, NRPC_CANCELLED, "the reader has gone");
    nrpc_server_destroy(server);
    close_all(&f);
}

// In the middle of a long catch-up, and without anybody to connect to.
static void test_close_at_any_time(void **state)
{
    (void)state;
    struct fixture f;
    open_source(&f, 0, false);
    source_append(&f.source, "a", 1, 20000, 50);
    for (uint64_t i = 0; i < 10; i++) {
        books_fini(&f.books);
        books_init(&f.books);
        open_reader(&f, NRPC_READ_OLDEST, CHECK_MS);
        WAIT_FOR(books_last(&f.books, "a") >= i * 100);
        nrpc_event_reader_close(f.reader);
    }
    nrpc_channel_close(f.channel);
    f.channel = NULL;
    source_close_service(&f.source);
    open_reader(&f, NRPC_READ_OLDEST, CHECK_MS);
    close_all(&f);
}

static void test_refused(void **state)
{
    (void)state;
    struct nrpc_reader_topic twice[] = {{.name = "a"}, {.name = "a"}}, bad = {.name = "\xff"};
    struct nrpc_event_reader_options o = {.url = "tcp://127.0.0.1:1", .on_event = books_event};
    struct nrpc_event_reader *reader;
    struct nrpc_status st;
    assert_int_equal(nrpc_event_reader_open(&o, &reader, &st), NRPC_INVALID_ARGUMENT);
    o.topics = twice;
    o.topic_count = 2;
    assert_int_equal(nrpc_event_reader_open(&o, &reader, &st), NRPC_INVALID_ARGUMENT);
    o.topics = &bad;
    o.topic_count = 1;
    assert_int_equal(nrpc_event_reader_open(&o, &reader, &st), NRPC_INVALID_ARGUMENT);
    struct nrpc_reader_topic last = {"a", NRPC_READ_AFTER, UINT64_MAX, 0};
    o.topics = &last;
    assert_int_equal(nrpc_event_reader_open(&o, &reader, &st), NRPC_INVALID_ARGUMENT);
    o.topics = twice;
    o.url = "nonsense";
    assert_int_not_equal(nrpc_event_reader_open(&o, &reader, &st), NRPC_OK);
    assert_null(reader);
    nrpc_event_reader_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_from_the_oldest),
        cmocka_unit_test(test_from_now_on),
        cmocka_unit_test(test_goes_on_where_another_stopped),
        cmocka_unit_test(test_goes_on_in_another_epoch),
        cmocka_unit_test(test_away_for_a_second),
        cmocka_unit_test(test_last_before_silence),
        cmocka_unit_test(test_away_too_long),
        cmocka_unit_test(test_publisher_restarts),
        cmocka_unit_test(test_many_topics),
        cmocka_unit_test(test_slow_reader),
        cmocka_unit_test(test_slow_beside_fast),
        cmocka_unit_test(test_service_unreachable),
        cmocka_unit_test(test_close_while_reading),
        cmocka_unit_test(test_close_at_any_time),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
