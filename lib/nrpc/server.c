// SPDX-License-Identifier: Apache-2.0
// server.c: a server's life: services, listeners, drain, destruction; and its mutex.
//
// A call can be parked for as long as its handler likes without holding a thread, and be answered many times.
// Frames of one connection are looked at one after the other, those of different ones side by side;
// NRPC_INLINE handlers run right there, NRPC_POOLED ones on the worker threads. A call holds a reference to
// the server: it may be answered after the server was destroyed.
#include "nrpc/server.h"

#include "base/clock.h"
#include "base/wait.h"
#include "nrpc/tls.h"
#include "nrpc/transport.h"
#include "nrpc/watchdog.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GOODBYES_MS = 1000, DRAIN_MAX_MS = INT32_MAX }; // a drain waits for clients after the last answer

// ---- the mutex, and what happens without it

void server_lock(struct nrpc_server *s)
{
    pthread_mutex_lock(&s->mu);
}

void server_run_errand(struct nrpc_server *s, struct nrpc_channel *channel, nng_msg *msg, uint64_t id)
{
    *(struct errand *)queue_push(&s->errands, sizeof(struct errand)) = (struct errand){channel, msg, id};
}

static void run_errand(struct nrpc_server *s)
{
    struct errand e = *(struct errand *)queue_at(&s->errands, 0, sizeof e);
    queue_pop(&s->errands);
    pthread_mutex_unlock(&s->mu);
    if (e.msg)
        channel_receive_local(e.channel, e.msg, (uint32_t)e.id);
    else
        nrpc_channel_cancel(e.channel, e.id);
    channel_unref(e.channel);
    pthread_mutex_lock(&s->mu);
}

static void run_ready(struct nrpc_server *s)
{
    struct nrpc_call *c = s->ready;
    s->ready = c->next_ready;
    if (!s->ready)
        s->ready_tail = &s->ready;
    while (c->ready_again) {
        c->ready_again = false;
        if (c->refs == 1) // only ours: it was answered
            break;
        pthread_mutex_unlock(&s->mu);
        sp_flush();
        c->on_ready(c->on_ready_user, c);
        pthread_mutex_lock(&s->mu);
    }
    c->in_ready = false;
    call_unref(c);
}

void server_unlock(struct nrpc_server *s)
{
    if (!s->carrying_out && (s->ready || s->errands.count)) {
        s->carrying_out = true;
        server_ref(s);
        while (s->ready || s->errands.count) {
            if (s->errands.count)
                run_errand(s);
            else
                run_ready(s);
        }
        s->carrying_out = false;
        pthread_mutex_unlock(&s->mu);
        sp_flush();
        server_unref(s);
        return;
    }
    pthread_mutex_unlock(&s->mu);
    sp_flush();
}

// ---- life

void server_ref(struct nrpc_server *s)
{
    atomic_fetch_add(&s->refs, 1);
}

static void free_tables(struct nrpc_server *s)
{
    for (size_t i = 0; i < s->listener_count; i++)
        sp_listener_close(s->listeners[i]); // they were hung up: this only frees them
    struct method_entry *m, *mtmp;
    HASH_ITER(hh, s->methods, m, mtmp)
    {
        HASH_DEL(s->methods, m);
        free(m);
    }
    for (struct service_entry *e = s->services, *next; e; e = next) {
        next = e->next;
        free(e);
    }
    struct peer *p, *ptmp;
    HASH_ITER(hh, s->peers, p, ptmp)
    {
        HASH_DEL(s->peers, p);
        link_fini(&p->link);
        free(p);
    }
}

void server_unref(struct nrpc_server *s)
{
    if (atomic_fetch_sub(&s->refs, 1) != 1)
        return;
    for (struct nrpc_call *c = s->free_calls, *next; c; c = next) {
        next = c->next_free;
        arena_fini(&c->arena);
        arena_fini(&c->message_arena);
        pthread_cond_destroy(&c->changed);
        free(c);
    }
    free_tables(s);
    queue_fini(&s->errands);
    free(s->interceptors);
    tls_options_free(s->options.tls);
    pthread_mutex_destroy(&s->mu);
    pthread_mutex_destroy(&s->listening);
    pthread_cond_destroy(&s->answered);
    pthread_cond_destroy(&s->peers_gone);
    free(s);
}

struct nrpc_server *nrpc_server_create(const struct nrpc_server_options *options)
{
    struct nrpc_server *s = mem_calloc(1, sizeof *s);
    if (options)
        s->options = *options;
    struct nrpc_server_options *o = &s->options;
    o->workers = o->workers ? (o->workers > 256 ? 256 : o->workers) : 4;
    o->queue_max = o->queue_max ? o->queue_max : 1024;
    o->parked_max = o->parked_max ? o->parked_max : 65536;
    o->parked_of_connection_max = o->parked_of_connection_max ? o->parked_of_connection_max : 16384;
    o->parked_bytes_max = o->parked_bytes_max ? o->parked_bytes_max : (size_t)256 << 20;
    o->max_message_bytes = o->max_message_bytes ? o->max_message_bytes : NRPC_DEFAULT_MAX_MESSAGE;
    o->stream_window_bytes = o->stream_window_bytes ? o->stream_window_bytes : 256 << 10;
    o->keepalive_ms = transport_option_ms(o->keepalive_ms, 30000);
    o->keepalive_timeout_ms = transport_option_ms(o->keepalive_timeout_ms, 10000);
    o->watchdog_ms = transport_option_ms(o->watchdog_ms, 5000);
    o->tls = tls_options_copy(o->tls);
    s->refs = 1;
    s->services_tail = &s->services;
    s->ready_tail = &s->ready;
    s->workers = pool_create("nrpc-worker", o->workers);
    pool_let_wait(s->workers, NRPC_WAITING_HANDLERS_MAX);
    pthread_mutex_init(&s->mu, NULL);
    pthread_mutex_init(&s->listening, NULL);
    wait_cond_init(&s->answered);
    wait_cond_init(&s->peers_gone);
    return s;
}

// ---- services

int nrpc_server_add(struct nrpc_server *s, const struct nrpc_service *service, enum nrpc_dispatch dispatch,
                    const void *handlers, void *user, struct nrpc_status *st)
{
    if (s->open)
        return status_set(st, NRPC_FAILED_PRECONDITION, "cannot add service %s: the server listens already",
                          service->name);
    for (size_t i = 0; i < service->method_count; i++) {
        const struct nrpc_method *m = &service->methods[i];
        struct method_entry *known;
        HASH_FIND_STR(s->methods, m->name, known);
        if (known)
            return status_set(st, NRPC_ALREADY_EXISTS, "service %s is there already", service->name);
        if (!m->is_handled || !m->is_handled(handlers))
            return status_set(st, NRPC_FAILED_PRECONDITION, "method %s has no handler", m->name);
    }
    struct service_entry *e = mem_calloc(1, sizeof *e);
    *e = (struct service_entry){NULL, service, dispatch, handlers, user};
    *s->services_tail = e;
    s->services_tail = &e->next;
    for (size_t i = 0; i < service->method_count; i++) {
        struct method_entry *m = mem_calloc(1, sizeof *m);
        m->method = &service->methods[i];
        m->service = e;
        HASH_ADD_KEYPTR(hh, s->methods, m->method->name, strlen(m->method->name), m);
    }
    return NRPC_OK;
}

const struct nrpc_service *nrpc_server_service(struct nrpc_server *s, size_t index)
{
    const struct service_entry *e = s->services;
    while (e && index--)
        e = e->next;
    return e ? e->service : NULL;
}

int nrpc_server_limit(struct nrpc_server *s, const char *method, unsigned max_running, struct nrpc_status *st)
{
    struct method_entry *m;
    HASH_FIND_STR(s->methods, method, m);
    if (!m)
        return status_set(st, NRPC_NOT_FOUND, "no method %s", method);
    if (s->open)
        return status_set(st, NRPC_FAILED_PRECONDITION, "cannot limit %s: the server listens already",
                          method);
    m->max_running = max_running;
    return NRPC_OK;
}

void nrpc_server_intercept(struct nrpc_server *s, const struct nrpc_server_interceptor *interceptor)
{
    mem_grow(&s->interceptors, &s->interceptor_capacity, s->interceptor_count + 1, sizeof *s->interceptors);
    s->interceptors[s->interceptor_count++] = *interceptor;
}

// ---- listening

// Under `listening`.
static int add_listener(struct nrpc_server *s, const char *url, struct nrpc_status *st)
{
    if (atomic_load(&s->draining))
        return status_set(st, NRPC_FAILED_PRECONDITION, "cannot listen on %s: the server is shutting down",
                          url);
    if (s->listener_count == SERVER_LISTENERS_MAX)
        return status_set(st, NRPC_RESOURCE_EXHAUSTED, "a server can have %d listeners",
                          SERVER_LISTENERS_MAX);
    if (!s->open)
        peers_open(s);
    s->open = true;
    struct sp_options o = peers_options(s);
    int code = sp_listen(url, &o, &s->listeners[s->listener_count], st);
    if (code)
        return code;
    s->listener_count++;
    if (!s->watchdog && s->options.watchdog_ms > 0)
        s->watchdog = watchdog_start(s);
    return NRPC_OK;
}

int nrpc_server_listen(struct nrpc_server *s, const char *url, struct nrpc_status *st)
{
    pthread_mutex_lock(&s->listening);
    int code = add_listener(s, url, st);
    pthread_mutex_unlock(&s->listening);
    return code;
}

const char *nrpc_server_url(struct nrpc_server *s, size_t index)
{
    return index < s->listener_count ? sp_listener_url(s->listeners[index]) : NULL;
}

int nrpc_server_reload_tls(struct nrpc_server *s, struct nrpc_status *st)
{
    for (size_t i = 0; i < s->listener_count; i++) {
        int code = sp_listener_reload_tls(s->listeners[i], st);
        if (code)
            return code;
    }
    return NRPC_OK;
}

// ---- the end

// Until all connections are closed, which their clients do after a goodbye.
static void wait_for_peers(struct nrpc_server *s, int64_t timeout_ms)
{
    struct timespec until = wait_until(timeout_ms);
    while (s->remote_peers && pthread_cond_timedwait(&s->peers_gone, &s->mu, &until) == 0)
        ;
}

static void stop_listening(struct nrpc_server *s)
{
    pthread_mutex_lock(&s->listening);
    atomic_store(&s->draining, true);
    watchdog_stop(s->watchdog);
    s->watchdog = NULL;
    for (size_t i = 0; i < s->listener_count; i++)
        sp_listener_stop(s->listeners[i]);
    pthread_mutex_unlock(&s->listening);
}

size_t nrpc_server_drain(struct nrpc_server *s, int64_t timeout_ms)
{
    timeout_ms = timeout_ms < DRAIN_MAX_MS ? timeout_ms : DRAIN_MAX_MS;
    int64_t end_us = clock_mono_us() + timeout_ms * 1000, left_ms;
    struct timespec until = wait_until(timeout_ms);
    atomic_store(&s->refusing, atomic_load(&s->draining)); // the second time
    stop_listening(s);
    server_lock(s);
    peers_say(s, FRAME_DRAIN);
    server_unlock(s);
    server_lock(s);
    do { // calls may still come while clients that have none take their leave
        while (atomic_load(&s->unanswered) && pthread_cond_timedwait(&s->answered, &s->mu, &until) == 0)
            ;
        left_ms = (end_us - clock_mono_us()) / 1000;
        if (!atomic_load(&s->unanswered))
            wait_for_peers(s, left_ms < GOODBYES_MS ? left_ms : GOODBYES_MS);
        left_ms = (end_us - clock_mono_us()) / 1000;
    } while (atomic_load(&s->unanswered) && left_ms > 0);
    server_unlock(s);
    return atomic_load(&s->unanswered);
}

static void cancel_all(struct nrpc_server *s)
{
    for (struct peer *p = s->peers; p; p = p->hh.next)
        while (p->calls)
            call_cancel(p->calls);
}

void nrpc_server_destroy(struct nrpc_server *s)
{
    if (!s)
        return;
    atomic_store(&s->refusing, true);
    stop_listening(s);
    server_lock(s);
    cancel_all(s);
    peers_say(s, FRAME_GOODBYE);
    server_unlock(s);
    server_lock(s);
    wait_for_peers(s, TRANSPORT_GOODBYE_MS);
    server_unlock(s);
    peers_close(s);
    pool_destroy(s->workers); // not before nobody can bring it work
    s->workers = NULL;
    server_unref(s);
}
