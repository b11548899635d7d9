// SPDX-License-Identifier: Apache-2.0
// reader.c: every event of its topics once and in order: from the feed as long as there is no gap, by calls
// what the feed has missed.
//
// One thread does everything: it makes the calls, takes from the feed, runs the callbacks; it alone touches
// the topics. A topic is behind while its position is before `wanted`. The order of things: first look how
// far the topics have come, when it is time or something may have been missed; then read what is behind; and
// only when nothing is, take what was published. So what is taken from the feed is of the epoch that was seen
// last: a connection to another publisher makes the feed say "missed" first.
#include "nrpc/events/feed.h"

#include "base/clock.h"
#include "base/ids.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/wait.h"
#include "nrpc/v1/events.nrpc.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

enum { PAGE_EVENTS = 1000, PAGE_BYTES = 256 << 10, BACKOFF_MIN_MS = 50 };

struct topic {
    UT_hash_handle hh;
    char *name;
    enum nrpc_reader_start start;
    bool started;              // position means something
    uint64_t epoch;            // 0: not known yet
    uint64_t position, wanted; // the last event that was delivered or given up; the last that there is
    bool is_behind;            // in the list of those
    struct topic *next_behind;
};

struct nrpc_event_reader {
    struct nrpc_event_reader_options options; // its url and topics are gone
    char *url;
    struct feed *feed;
    pthread_t thread;
    bool running;

    // The thread's own
    struct topic *topics; // hash by name
    struct topic *behind, **behind_tail;
    bool must_look, has_complained;
    int64_t look_at_us, backoff_ms;

    pthread_mutex_t mu;
    pthread_cond_t changed;
    // Guarded by mu
    bool stopping, woken;
    bool answered; // the call under way has ended; then:
    struct nrpc_status answer_st;
    uint8_t *answer; // packed
    size_t answer_bytes;
};

// ---- waiting

static void wake(void *user)
{
    struct nrpc_event_reader *r = user;
    pthread_mutex_lock(&r->mu);
    r->woken = true;
    pthread_cond_signal(&r->changed);
    pthread_mutex_unlock(&r->mu);
}

static bool is_stopping(struct nrpc_event_reader *r)
{
    pthread_mutex_lock(&r->mu);
    bool is = r->stopping;
    pthread_mutex_unlock(&r->mu);
    return is;
}

// Waits for news of the feed, or at most so long.
static void wait_for_news(struct nrpc_event_reader *r, int64_t ms)
{
    struct timespec until = wait_until(ms);
    pthread_mutex_lock(&r->mu);
    while (!r->woken && !r->stopping && pthread_cond_timedwait(&r->changed, &r->mu, &until) == 0)
        ;
    r->woken = false;
    pthread_mutex_unlock(&r->mu);
}

// After something failed: longer each time, up to check_ms, with jitter.
static void back_off(struct nrpc_event_reader *r)
{
    int64_t most_ms = r->options.check_ms, ms = r->backoff_ms < most_ms ? r->backoff_ms : most_ms;
    struct timespec until = wait_until(ms / 2 + (int64_t)(ids_random() % (uint64_t)(ms / 2 + 1)));
    r->backoff_ms = 2 * ms;
    pthread_mutex_lock(&r->mu);
    while (!r->stopping && pthread_cond_timedwait(&r->changed, &r->mu, &until) == 0)
        ;
    pthread_mutex_unlock(&r->mu);
}

// ---- calls

static void call_done(void *user, const struct nrpc_status *st, const ProtobufCMessage *response)
{
    struct nrpc_event_reader *r = user;
    pthread_mutex_lock(&r->mu);
    r->answer_st = *st;
    if (response) {
        r->answer_bytes = protobuf_c_message_get_packed_size(response);
        r->answer = mem_alloc(r->answer_bytes + 1);
        protobuf_c_message_pack(response, r->answer);
    }
    r->answered = true;
    pthread_cond_signal(&r->changed);
    pthread_mutex_unlock(&r->mu);
}

// One call, which ends early when the reader is closed. NULL: it failed, *st says how.
static ProtobufCMessage *ask(struct nrpc_event_reader *r, const struct nrpc_method *method,
                             const ProtobufCMessage *request, struct nrpc_status *st)
{
    uint64_t id;
    bool cancelled = false;
    struct nrpc_call_options o = {.timeout_ms = r->options.call_ms, .id = &id};
    r->answered = false; // nobody else looks now
    nrpc_call_async(r->options.channel, method, &o, request, call_done, r);
    pthread_mutex_lock(&r->mu);
    while (!r->answered) {
        if (r->stopping && !cancelled) {
            pthread_mutex_unlock(&r->mu);
            nrpc_channel_cancel(r->options.channel, id);
            pthread_mutex_lock(&r->mu);
            cancelled = true;
        } else {
            pthread_cond_wait(&r->changed, &r->mu);
        }
    }
    uint8_t *answer = r->answer;
    r->answer = NULL;
    *st = r->answer_st;
    pthread_mutex_unlock(&r->mu);
    ProtobufCMessage *response = NULL;
    if (answer)
        response = protobuf_c_message_unpack(method->response, NULL, r->answer_bytes, answer);
    free(answer);
    return response;
}

// ---- positions

static void want(struct nrpc_event_reader *r, struct topic *t, uint64_t sequence)
{
    if (sequence > t->wanted)
        t->wanted = sequence;
    if (t->is_behind || t->wanted <= t->position)
        return;
    t->is_behind = true;
    t->next_behind = NULL;
    *r->behind_tail = t;
    r->behind_tail = &t->next_behind;
}

static void tell_loss(struct nrpc_event_reader *r, const struct topic *t, uint64_t from, uint64_t to)
{
    struct nrpc_reader_loss loss = {t->name, from, to, t->epoch};
    if (r->options.on_loss)
        r->options.on_loss(r->options.user, &loss);
}

// A topic's first position.
static void start(struct topic *t, uint64_t first_available, uint64_t last)
{
    t->started = true;
    if (t->start == NRPC_READ_NOW)
        t->position = last;
    else if (t->start == NRPC_READ_OLDEST)
        t->position = first_available - 1;
}

// Takes note of how far a topic has come, and tells what will not come any more. false: it cannot be so.
static bool take_state(struct nrpc_event_reader *r, struct topic *t, uint64_t epoch, uint64_t first_available,
                       uint64_t last)
{
    if (!epoch || !first_available || last == UINT64_MAX || first_available > last + 1)
        return false;
    if (!t->started)
        start(t, first_available, last);
    bool is_reborn = (t->epoch && t->epoch != epoch) || last < t->position;
    t->epoch = epoch;
    if (is_reborn) {
        tell_loss(r, t, t->position + 1, 0);
        t->position = 0;
    }
    if (first_available > t->position + 1) {
        tell_loss(r, t, t->position + 1, first_available - 1);
        t->position = first_available - 1;
    }
    t->wanted = last;
    want(r, t, last);
    return true;
}

static void deliver(struct nrpc_event_reader *r, struct topic *t, uint64_t sequence, const void *payload,
                    size_t payload_bytes)
{
    struct nrpc_reader_event e = {t->name, sequence, t->epoch, payload_bytes ? payload : "", payload_bytes};
    t->position = sequence;
    r->options.on_event(r->options.user, &e);
}

// ---- looking, reading, taking

static int nonsense(struct nrpc_status *st, const char *method)
{
    return status_set(st, NRPC_INTERNAL, "%s: the answer makes no sense", method);
}

// How far have the topics come?
static int look(struct nrpc_event_reader *r, struct nrpc_status *st)
{
    const struct nrpc_method *method = &nrpc_v1_events.methods[NRPC_V1_EVENTS_TOPICS];
    Nrpc__V1__EventsTopicsRequest q = NRPC__V1__EVENTS_TOPICS_REQUEST__INIT;
    q.topics = mem_alloc(HASH_COUNT(r->topics) * sizeof(char *));
    for (struct topic *t = r->topics; t; t = t->hh.next)
        q.topics[q.n_topics++] = t->name;
    Nrpc__V1__EventsTopicsResponse *a = (Nrpc__V1__EventsTopicsResponse *)ask(r, method, &q.base, st);
    free(q.topics);
    if (!a)
        return st->code;
    bool is_good = a->n_topics == HASH_COUNT(r->topics);
    size_t i = 0;
    for (struct topic *t = r->topics; t && is_good; t = t->hh.next, i++)
        is_good = !strcmp(a->topics[i]->name, t->name) &&
                  take_state(r, t, a->epoch, a->topics[i]->first_available, a->topics[i]->last_sequence);
    nrpc__v1__events_topics_response__free_unpacked(a, NULL);
    return is_good ? NRPC_OK : nonsense(st, method->name);
}

// Delivers what was read; false: it is not what should follow.
static bool deliver_page(struct nrpc_event_reader *r, struct topic *t, const Nrpc__V1__EventsReadResponse *a)
{
    for (size_t i = 0; i < a->n_events && !is_stopping(r); i++) {
        const Nrpc__V1__LoggedEvent *e = a->events[i];
        if (e->sequence != t->position + 1 || e->sequence > a->last_sequence)
            return false;
        deliver(r, t, e->sequence, e->payload.data, e->payload.len);
    }
    return true;
}

// Reads some of what the topic that has waited longest is behind.
static int read_page(struct nrpc_event_reader *r, struct nrpc_status *st)
{
    const struct nrpc_method *method = &nrpc_v1_events.methods[NRPC_V1_EVENTS_READ];
    struct topic *t = r->behind;
    Nrpc__V1__EventsReadRequest q = NRPC__V1__EVENTS_READ_REQUEST__INIT;
    q.topic = t->name;
    q.after_sequence = t->position;
    q.max_events = PAGE_EVENTS;
    q.max_bytes = PAGE_BYTES;
    Nrpc__V1__EventsReadResponse *a = (Nrpc__V1__EventsReadResponse *)ask(r, method, &q.base, st);
    if (!a)
        return st->code;
    uint64_t epoch = t->epoch, position = t->position;
    bool is_good = take_state(r, t, a->epoch, a->first_available, a->last_sequence);
    if (is_good && t->epoch == epoch) // else these are not the events that should follow
        is_good =
            deliver_page(r, t, a) && (t->position > position || t->position == t->wanted || is_stopping(r));
    nrpc__v1__events_read_response__free_unpacked(a, NULL);
    r->behind = t->next_behind;
    if (!r->behind)
        r->behind_tail = &r->behind;
    t->is_behind = false;
    want(r, t, t->wanted); // at the end of the line, if there is more
    return is_good ? NRPC_OK : nonsense(st, method->name);
}

static struct topic *find_topic(const struct nrpc_event_reader *r, const struct pubsub_event *e)
{
    struct topic *t;
    HASH_FIND(hh, r->topics, e->topic.data, e->topic.size, t);
    return t;
}

// On any thread: once the feed is open, the names of topics do not change.
static bool is_wanted(void *user, const struct pubsub_event *e)
{
    return find_topic(user, e) != NULL;
}

// An event that was published. Nothing is behind.
static void take_event(struct nrpc_event_reader *r, const struct pubsub_event *e)
{
    struct topic *t = find_topic(r, e);
    if (!t || e->sequence <= t->position) // read before
        return;
    if (e->sequence == t->position + 1)
        deliver(r, t, e->sequence, e->payload.data, e->payload.size);
    else
        want(r, t, e->sequence);
}

static void take_news(struct nrpc_event_reader *r, int64_t now_us)
{
    struct feed_event e;
    enum feed_news news = feed_take(r->feed, &e);
    if (news == FEED_EVENT) {
        take_event(r, &e.event);
        nng_msg_free(e.msg);
    } else if (news == FEED_MISSED) {
        r->must_look = true;
    } else {
        wait_for_news(r, (r->look_at_us - now_us) / 1000 + 1);
    }
}

static void ended(struct nrpc_event_reader *r, const struct nrpc_status *st)
{
    if (is_stopping(r))
        return;
    if (st->code == NRPC_OK) {
        r->backoff_ms = BACKOFF_MIN_MS;
        r->has_complained = false;
        return;
    }
    if (!r->has_complained)
        log_warn("events of %s: %s", r->url, st->text);
    r->has_complained = true;
    back_off(r);
}

static void *run(void *arg)
{
    struct nrpc_event_reader *r = arg;
    while (!is_stopping(r)) {
        struct nrpc_status st = {0};
        int64_t now_us = clock_mono_us();
        if (r->must_look || now_us >= r->look_at_us) {
            if (look(r, &st) == NRPC_OK) {
                r->must_look = false;
                r->look_at_us = clock_mono_us() + r->options.check_ms * 1000;
            }
            ended(r, &st);
        } else if (r->behind) {
            (void)read_page(r, &st);
            ended(r, &st);
        } else {
            take_news(r, now_us);
        }
    }
    return NULL;
}

// ---- life

static int add_topic(struct nrpc_event_reader *r, const struct nrpc_reader_topic *topic,
                     struct nrpc_status *st)
{
    struct topic *t;
    int code = event_check_topic(topic->name, st);
    if (code)
        return code;
    if (topic->start == NRPC_READ_AFTER && topic->sequence == UINT64_MAX)
        return status_set(st, NRPC_INVALID_ARGUMENT, "topic \"%s\": no event has this number", topic->name);
    HASH_FIND_STR(r->topics, topic->name, t);
    if (t)
        return status_set(st, NRPC_INVALID_ARGUMENT, "topic \"%s\" is there twice", topic->name);
    t = mem_calloc(1, sizeof *t);
    t->name = mem_strdup(topic->name);
    t->start = topic->start;
    if (topic->start == NRPC_READ_AFTER) {
        t->epoch = topic->epoch;
        t->position = topic->sequence;
    }
    HASH_ADD_KEYPTR(hh, r->topics, t->name, strlen(t->name), t);
    return NRPC_OK;
}

static int open_feed(struct nrpc_event_reader *r, struct nrpc_status *st)
{
    const struct nrpc_event_reader_options *o = &r->options;
    struct feed_options feed = {o->url, o->max_held, o->max_held_bytes, is_wanted, wake, r};
    int code = NRPC_OK;
    for (size_t i = 0; code == NRPC_OK && i < o->topic_count; i++)
        code = add_topic(r, &o->topics[i], st);
    return code ? code : feed_open(&feed, &r->feed, st);
}

static void set_defaults(struct nrpc_event_reader_options *o)
{
    o->check_ms = o->check_ms > 0 ? o->check_ms : 5000;
    o->call_ms = o->call_ms > 0 ? o->call_ms : 5000;
    o->max_held = o->max_held ? o->max_held : 1024;
    o->max_held_bytes = o->max_held_bytes ? o->max_held_bytes : 8 << 20;
}

int nrpc_event_reader_open(const struct nrpc_event_reader_options *options, struct nrpc_event_reader **out,
                           struct nrpc_status *st)
{
    *out = NULL;
    if (options->topic_count < 1 || options->topic_count > NRPC_EVENT_TOPICS_MAX)
        return status_set(st, NRPC_INVALID_ARGUMENT, "%zu topics; 1 to %d are allowed", options->topic_count,
                          NRPC_EVENT_TOPICS_MAX);
    struct nrpc_event_reader *r = mem_calloc(1, sizeof *r);
    r->options = *options;
    set_defaults(&r->options);
    r->url = mem_strdup(options->url);
    r->must_look = true;
    r->backoff_ms = BACKOFF_MIN_MS;
    r->behind_tail = &r->behind;
    pthread_mutex_init(&r->mu, NULL);
    wait_cond_init(&r->changed);
    int code = open_feed(r, st);
    if (code == NRPC_OK && pthread_create(&r->thread, NULL, run, r))
        code = status_set(st, NRPC_RESOURCE_EXHAUSTED, "cannot start a thread");
    r->running = code == NRPC_OK;
    if (code)
        nrpc_event_reader_close(r);
    else
        *out = r;
    return code;
}

void nrpc_event_reader_close(struct nrpc_event_reader *r)
{
    if (!r)
        return;
    pthread_mutex_lock(&r->mu);
    r->stopping = true;
    pthread_cond_signal(&r->changed);
    pthread_mutex_unlock(&r->mu);
    if (r->running)
        pthread_join(r->thread, NULL);
    feed_close(r->feed);
    struct topic *t, *tmp;
    HASH_ITER(hh, r->topics, t, tmp)
    {
        HASH_DEL(r->topics, t);
        free(t->name);
        free(t);
    }
    pthread_mutex_destroy(&r->mu);
    pthread_cond_destroy(&r->changed);
    free(r->url);
    free(r);
}
