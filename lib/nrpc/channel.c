// SPDX-License-Identifier: Apache-2.0
// channel.c: the client's side: calls wait in line for a connection, keep their deadlines, are tried again.
#include "nrpc/channel.h"

#include "base/clock.h"
#include "base/ids.h"
#include "base/wait.h"
#include "nrpc/resolve.h"
#include "nrpc/tls.h"
#include "nrpc/transport.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

// ---- the line

static void join_line(struct nrpc_channel *ch, struct pending *p)
{
    p->next = NULL;
    *ch->line_tail = p;
    ch->line_tail = &p->next;
    ch->line_length++;
}

static void leave_line(struct nrpc_channel *ch, struct pending **at)
{
    struct pending *p = *at;
    *at = p->next;
    if (ch->line_tail == &p->next)
        ch->line_tail = at;
    ch->line_length--;
}

// Takes a call out of the line or from its rest; it may be in neither.
static void unlist(struct nrpc_channel *ch, struct pending *p)
{
    for (struct pending **at = &ch->line; *at; at = &(*at)->next)
        if (*at == p) {
            leave_line(ch, at);
            return;
        }
    for (struct pending **at = &ch->resting; *at; at = &(*at)->next)
        if (*at == p) {
            *at = p->next;
            return;
        }
}

void channel_pump(struct nrpc_channel *ch)
{
    struct connection *c;
    while (ch->line && !ch->closing && (c = endpoints_choose(ch))) {
        struct pending *p = ch->line;
        leave_line(ch, &ch->line);
        connection_place(c, p);
        if (p->kind != PENDING_BLOCKING)
            channel_arm(ch, p->deadline_us);
        if (ch->options.keepalive_ms > 0)
            channel_arm(ch, connection_heard_us(c) + connection_keepalive_ms(c) * 1000);
    }
}

void channel_start(struct nrpc_channel *ch, struct pending *p)
{
    ch->stats.started++;
    bool refused = ch->closing || p->child.cancelled || ch->line_length >= ch->options.max_waiting;
    if (refused) {
        if (p->child.cancelled)
            status_set(&p->st, NRPC_CANCELLED, "the call that this one is a part of was cancelled");
        else if (ch->closing)
            status_set(&p->st, NRPC_CANCELLED, "%s: the channel was closed", ch->name);
        else
            status_set(&p->st, NRPC_RESOURCE_EXHAUSTED, "%s: %u calls wait in line already", ch->name,
                       ch->line_length);
        channel_end(ch, p);
        return;
    }
    join_line(ch, p);
    channel_pump(ch);
    if (!p->connection && !p->has_ended)
        channel_arm(ch, channel_wake_at(ch, p));
}

// ---- ends

void channel_end(struct nrpc_channel *ch, struct pending *p)
{
    if (p->connection)
        connection_release(p->connection, p);
    transport_free(p->msg);
    transport_free(p->again);
    p->msg = p->again = NULL;
    p->has_ended = true;
    p->end_code = p->st.code;
    if (p->st.code == NRPC_OK)
        ch->stats.ok++;
    else
        ch->stats.failed++;
    if (p->kind == PENDING_ASYNC) {
        p->next = NULL;
        *ch->done_tail = p;
        ch->done_tail = &p->next;
    } else if (p->kind == PENDING_BLOCKING) {
        pthread_cond_signal(p->ended);
    } else {
        channel_ready((struct nrpc_stream *)p);
    }
}

// Off the wire, to be sent again.
static void take_back(struct pending *p)
{
    connection_release(p->connection, p);
    nng_msg_free(p->reply);
    p->reply = NULL;
    p->msg = p->again;
    p->again = NULL;
}

static void wait_to_connect(struct nrpc_channel *ch, struct pending *p, int64_t from_us)
{
    if (p->connect_by_us != CLOCK_NEVER)
        p->connect_by_us = from_us + ch->options.connect_timeout_ms * 1000;
}

static int64_t rest_us(const struct nrpc_channel *ch, const struct pending *p, int64_t retry_after_ms)
{
    return p->st.code != NRPC_OK && p->again && !ch->closing
               ? retry_wait_us(&ch->budget, &ch->options.retry, p->attempts, p->st.code, retry_after_ms,
                               (uint32_t)ids_random())
               : -1;
}

void channel_end_attempt(struct nrpc_channel *ch, struct pending *p, int64_t retry_after_ms)
{
    int code = p->st.code;
    if (code == NRPC_OK)
        retry_succeeded(&ch->budget);
    else if (code == NRPC_UNAVAILABLE)
        retry_failed(&ch->budget);
    int64_t wait_us = rest_us(ch, p, retry_after_ms);
    int64_t now_us = wait_us >= 0 ? clock_mono_us() : 0;
    if (wait_us < 0 || now_us + wait_us >= p->deadline_us) {
        channel_end(ch, p);
        return;
    }
    take_back(p);
    p->rest_until_us = now_us + wait_us;
    wait_to_connect(ch, p, p->rest_until_us);
    p->next = ch->resting;
    ch->resting = p;
    ch->stats.retries++;
    channel_arm(ch, p->rest_until_us);
}

bool channel_send_elsewhere(struct nrpc_channel *ch, struct pending *p)
{
    if (!p->again || ch->closing)
        return false;
    take_back(p);
    p->attempts--;
    if (!p->refused) // so that a call cannot wait for ever while all that can be reached drain
        wait_to_connect(ch, p, clock_mono_us());
    p->refused = true;
    join_line(ch, p);
    channel_arm(ch, channel_wake_at(ch, p));
    return true;
}

void channel_cancel(struct nrpc_channel *ch, struct pending *p, int code, const char *text)
{
    if (p->has_ended)
        return;
    status_set(&p->st, code, "%s", text);
    if (p->connection)
        link_say_of(&p->connection->link, FRAME_CANCEL, p->wire_id);
    else
        unlist(ch, p);
    channel_end(ch, p);
    channel_pump(ch);
}

int64_t channel_wake_at(const struct nrpc_channel *ch, const struct pending *p)
{
    bool waits_for_connection = !p->connection && !endpoints_connected(ch);
    return waits_for_connection && p->connect_by_us < p->deadline_us ? p->connect_by_us : p->deadline_us;
}

void channel_set_overdue(struct nrpc_channel *ch, struct pending *p)
{
    char text[sizeof p->st.text];
    bool unconnected = !p->connection && !endpoints_connected(ch);
    if (unconnected)
        snprintf(text, sizeof text, "no connection to %s", ch->name);
    else
        snprintf(text, sizeof text, "%s: no answer from %s within the deadline", p->method->name, ch->name);
    channel_cancel(ch, p,
                   unconnected && channel_wake_at(ch, p) != p->deadline_us ? NRPC_UNAVAILABLE
                                                                           : NRPC_DEADLINE_EXCEEDED,
                   text);
}

static struct pending *find(struct nrpc_channel *ch, uint64_t id)
{
    for (size_t i = 0; i < ch->connection_count; i++)
        for (size_t k = 0; k < ch->connections[i]->slot_count; k++) {
            struct pending *p = ch->connections[i]->slots[k].call;
            if (p && p->id == id)
                return p;
        }
    for (struct pending *p = ch->line; p; p = p->next)
        if (p->id == id)
            return p;
    for (struct pending *p = ch->resting; p; p = p->next)
        if (p->id == id)
            return p;
    return NULL;
}

void nrpc_channel_cancel(struct nrpc_channel *ch, uint64_t id)
{
    channel_lock(ch);
    struct pending *p = find(ch, id);
    if (p)
        channel_cancel(ch, p, NRPC_CANCELLED, "the call was cancelled");
    channel_unlock(ch);
}

// ---- the timer

void channel_arm(struct nrpc_channel *ch, int64_t at_us)
{
    if (ch->closing || !ch->timer_aio || at_us >= ch->timer_at_us)
        return;
    bool was_armed = ch->timer_at_us != CLOCK_NEVER;
    ch->timer_at_us = at_us;
    if (was_armed) {
        nng_aio_cancel(ch->timer_aio); // its callback arms it again
    } else {
        int64_t us = at_us - clock_mono_us();
        nng_sleep_aio(us > 0 ? transport_ms(us / 1000 + 1) : 0, ch->timer_aio); // may ring early
    }
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t tick_placed(struct nrpc_channel *ch, int64_t now_us)
{
    int64_t next_us = CLOCK_NEVER;
    for (size_t i = 0; i < ch->connection_count; i++) {
        struct connection *c = ch->connections[i];
        for (size_t k = 0; k < c->slot_count; k++) {
            struct pending *p = c->slots[k].call;
            if (!p || p->kind == PENDING_BLOCKING)
                continue;
            if (p->deadline_us <= now_us)
                channel_set_overdue(ch, p);
            else
                next_us = earlier(next_us, p->deadline_us);
        }
        next_us = earlier(next_us, connection_tick(c, now_us));
    }
    return next_us;
}

static int64_t tick_line(struct nrpc_channel *ch, int64_t now_us)
{
    int64_t next_us = CLOCK_NEVER;
    for (struct pending *p = ch->line, *next; p; p = next) {
        next = p->next;
        int64_t wake_us = channel_wake_at(ch, p);
        if (wake_us > now_us) {
            next_us = earlier(next_us, wake_us);
            continue;
        }
        channel_set_overdue(ch, p);
        next = ch->line; // the line was moved
        next_us = CLOCK_NEVER;
    }
    return next_us;
}

static int64_t tick_resting(struct nrpc_channel *ch, int64_t now_us)
{
    int64_t next_us = CLOCK_NEVER;
    for (struct pending **at = &ch->resting; *at;) {
        struct pending *p = *at;
        if (p->rest_until_us > now_us) {
            next_us = earlier(next_us, p->rest_until_us);
            at = &p->next;
            continue;
        }
        *at = p->next;
        wait_to_connect(ch, p, now_us);
        join_line(ch, p);
    }
    return next_us;
}

static void rang(void *arg)
{
    struct nrpc_channel *ch = arg;
    channel_lock(ch);
    ch->timer_at_us = CLOCK_NEVER;
    channel_unlock(ch);
    int64_t tend_us = endpoints_tend(ch);
    channel_lock(ch);
    if (!ch->closing) {
        int64_t now_us = clock_mono_us();
        int64_t next_us = tick_resting(ch, now_us);
        channel_pump(ch);
        next_us = earlier(next_us, tend_us);
        next_us = earlier(next_us, tick_line(ch, now_us));
        next_us = earlier(next_us, tick_placed(ch, now_us));
        channel_arm(ch, next_us);
    }
    channel_unlock(ch);
}

// ---- opening

static void set_defaults(struct nrpc_channel_options *o)
{
    o->max_message_bytes = o->max_message_bytes ? o->max_message_bytes : NRPC_DEFAULT_MAX_MESSAGE;
    o->max_outstanding = o->max_outstanding ? o->max_outstanding : 1024;
    o->max_outstanding = o->max_outstanding < CHANNEL_SLOTS_MAX ? o->max_outstanding : CHANNEL_SLOTS_MAX;
    o->max_waiting = o->max_waiting ? o->max_waiting : 4096;
    o->stream_window_bytes = o->stream_window_bytes ? o->stream_window_bytes : 256 << 10;
    o->retry.max_attempts = o->retry.max_attempts ? o->retry.max_attempts : 4;
    const struct {
        int64_t *value, fallback;
    } times[] = {
        {&o->connect_timeout_ms, 2000}, {&o->reconnect_min_ms, 20},       {&o->reconnect_max_ms, 1000},
        {&o->keepalive_ms, 10000},      {&o->keepalive_timeout_ms, 5000}, {&o->resolve_ms, 30000},
        {&o->retry.backoff_ms, 50},     {&o->retry.backoff_max_ms, 2000},
    };
    for (size_t i = 0; i < sizeof times / sizeof *times; i++)
        *times[i].value = transport_option_ms(*times[i].value, times[i].fallback);
    o->reconnect_min_ms = o->reconnect_min_ms > 0 ? o->reconnect_min_ms : 1;
}

static struct nrpc_channel *channel_new(const char *name, const struct nrpc_channel_options *options)
{
    struct nrpc_channel *ch = mem_calloc(1, sizeof *ch);
    pthread_mutex_init(&ch->mu, NULL);
    wait_cond_init(&ch->quiet);
    ch->refs = 1;
    if (options)
        ch->options = *options;
    set_defaults(&ch->options);
    ch->options.tls = tls_options_copy(ch->options.tls);
    size_t n = ch->options.interceptor_count;
    ch->interceptors = n ? mem_dup(ch->options.interceptors, n * sizeof *ch->interceptors) : NULL;
    ch->name = mem_strdup(name);
    ch->line_tail = &ch->line;
    ch->done_tail = &ch->done;
    ch->timer_at_us = CLOCK_NEVER;
    ch->budget.tenths = RETRY_TENTHS_MAX;
    return ch;
}

struct nrpc_channel *channel_ref(struct nrpc_channel *ch)
{
    atomic_fetch_add(&ch->refs, 1);
    return ch;
}

void channel_unref(struct nrpc_channel *ch)
{
    if (atomic_fetch_sub(&ch->refs, 1) != 1)
        return;
    for (size_t i = 0; i < ch->connection_count; i++)
        connection_destroy(ch->connections[i]);
    for (struct pending *p = ch->free_pendings, *next; p; p = next) {
        next = p->next;
        arena_fini(&p->arena);
        free(p);
    }
    tls_options_free(ch->options.tls);
    free(ch->interceptors);
    free(ch->connections);
    for (struct errand_out *e; ch->errands.count; queue_pop(&ch->errands)) {
        e = queue_at(&ch->errands, 0, sizeof *e);
        nng_msg_free(e->msg);
    }
    queue_fini(&ch->errands);
    pthread_mutex_destroy(&ch->mu);
    pthread_cond_destroy(&ch->quiet);
    free(ch->name);
    free(ch);
}

static int add_url(struct nrpc_channel *ch, const char *url, struct nrpc_status *st)
{
    if (!strstr(url, "://"))
        return status_set(st, NRPC_INVALID_ARGUMENT, "\"%s\" is no url like tcp://host:port", url);
    if (resolver_is_for(url))
        return resolver_add(ch, url, st);
    return endpoints_add(ch, url, false, st);
}

// In their order, or, if calls keep to one, in any, so that not all clients keep to the same.
static int add_urls(struct nrpc_channel *ch, char *list, struct nrpc_status *st)
{
    char *urls[CHANNEL_ENDPOINTS_MAX + 1], *url;
    size_t n = 0;
    int code = NRPC_OK;
    while (n < sizeof urls / sizeof *urls && (url = strsep(&list, ","))) {
        size_t at = ch->options.choice == NRPC_STICKY ? ids_random() % (n + 1) : n;
        urls[n] = url;
        urls[n++] = urls[at];
        urls[at] = url;
    }
    for (size_t i = 0; code == NRPC_OK && i < n; i++)
        code = add_url(ch, urls[i], st);
    return code;
}

int nrpc_channel_open(const char *urls, const struct nrpc_channel_options *options, struct nrpc_channel **out,
                      struct nrpc_status *st)
{
    struct nrpc_channel *ch = channel_new(urls, options);
    *out = NULL;
    int rv = nng_aio_alloc(&ch->timer_aio, rang, ch);
    int code = rv ? transport_error(st, rv, "cannot open a channel") : NRPC_OK;
    char *list = mem_strdup(urls);
    if (code == NRPC_OK)
        code = add_urls(ch, list, st);
    free(list);
    if (code == NRPC_OK)
        code = resolver_start(ch->resolver, st);
    if (code)
        nrpc_channel_close(ch);
    else
        *out = ch;
    return code;
}

struct nrpc_channel *nrpc_channel_local(struct nrpc_server *server)
{
    struct nrpc_channel *ch = channel_new("local", NULL);
    ch->options.keepalive_ms = -1;
    ch->options.retry.max_attempts = 1; // there is no timer to wait by, and nothing that gets lost
    struct connection *c = connection_create(ch, "local");
    ch->connections = mem_calloc(1, sizeof *ch->connections);
    ch->connections[ch->connection_count++] = c;
    connection_connect_local(c, server);
    return ch;
}

// ---- closing

static void end_waiting(struct nrpc_channel *ch, int code, const char *text)
{
    while (ch->line)
        channel_cancel(ch, ch->line, code, text);
    while (ch->resting)
        channel_cancel(ch, ch->resting, code, text);
}

static bool has_pipe(const struct nrpc_channel *ch)
{
    for (size_t i = 0; i < ch->connection_count; i++)
        if (ch->connections[i]->pipe)
            return true;
    return false;
}

// Ends all calls, says goodbye, and waits until the servers have answered, or for a while.
static void say_goodbye(struct nrpc_channel *ch)
{
    struct timespec until = wait_until(TRANSPORT_GOODBYE_MS);
    channel_lock(ch);
    ch->closing = true;
    end_waiting(ch, NRPC_CANCELLED, "the channel was closed");
    for (size_t i = 0; i < ch->connection_count; i++) {
        connection_fail_all(ch->connections[i], NRPC_CANCELLED, "the channel was closed");
        connection_say_goodbye(ch->connections[i]);
    }
    channel_unlock(ch);
    channel_lock(ch);
    while (has_pipe(ch) && pthread_cond_timedwait(&ch->quiet, &ch->mu, &until) == 0)
        ;
    channel_unlock(ch);
}

void nrpc_channel_close(struct nrpc_channel *ch)
{
    if (!ch)
        return;
    resolver_stop(ch->resolver);
    say_goodbye(ch);
    nng_aio_free(ch->timer_aio); // nobody arms it any more
    for (size_t i = 0; i < ch->connection_count; i++)
        connection_close(ch->connections[i]);
    pthread_mutex_lock(&ch->mu);
    while (ch->inside)
        pthread_cond_wait(&ch->quiet, &ch->mu);
    pthread_mutex_unlock(&ch->mu);
    channel_unref(ch);
}

// ---- what it says of itself

bool nrpc_channel_is_connected(const struct nrpc_channel *channel)
{
    struct nrpc_channel *ch = (struct nrpc_channel *)channel;
    pthread_mutex_lock(&ch->mu);
    bool is = endpoints_connected(ch);
    pthread_mutex_unlock(&ch->mu);
    return is;
}

void nrpc_channel_stats(const struct nrpc_channel *channel, struct nrpc_channel_stats *out)
{
    struct nrpc_channel *ch = (struct nrpc_channel *)channel;
    pthread_mutex_lock(&ch->mu);
    *out = ch->stats;
    out->waiting = ch->line_length;
    for (size_t i = 0; i < ch->connection_count; i++) {
        out->outstanding += ch->connections[i]->outstanding;
        out->endpoints += !ch->connections[i]->going;
        out->connected += ch->connections[i]->connected;
    }
    out->retry_tokens = (unsigned)ch->budget.tenths / 10;
    pthread_mutex_unlock(&ch->mu);
}
