// SPDX-License-Identifier: Apache-2.0
// watchdog.c: a thread that connects to each listener as a client would, as far as the SP handshake.
//
// A listener can stop to accept while the kernel goes on completing connections (nng's sockets had that: nng
// issue 1518); only a handshake that stays away shows it. A listener that fails three times in a row is
// replaced; its connections stay.
#include "nrpc/watchdog.h"

#include "base/log.h"
#include "base/wait.h"
#include "nrpc/server.h"
#include "nrpc/transport.h"

#include <nng/supplemental/tls/tls.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HANDSHAKE_MS = 2000, FAILURES_MAX = 3, HELLO = 8 };

struct watchdog {
    struct nrpc_server *server;
    pthread_t thread;
    pthread_mutex_t mu;
    pthread_cond_t stop;
    bool stopping;
    unsigned failures[SERVER_LISTENERS_MAX];
};

// ---- one try

// Where a listener on all addresses can be reached.
static void reachable_url(const char *url, char *out, size_t size)
{
    static const char *const everywhere[] = {"://0.0.0.0:", "://*:", "://[::]:", "://:"};
    snprintf(out, size, "%s", url);
    for (size_t i = 0; i < sizeof everywhere / sizeof *everywhere; i++) {
        const char *at = strstr(url, everywhere[i]);
        if (at)
            snprintf(out, size, "%.*s://%s:%s", (int)(at - url), url, i == 2 ? "[::1]" : "127.0.0.1",
                     at + strlen(everywhere[i]));
    }
}

static int trust_anybody(nng_stream_dialer *dialer)
{
    nng_tls_config *config;
    int rv = nng_tls_config_alloc(&config, NNG_TLS_MODE_CLIENT);
    if (rv)
        return rv;
    rv = nng_tls_config_auth_mode(config, NNG_TLS_AUTH_MODE_NONE);
    if (rv == 0)
        rv = nng_stream_dialer_set_ptr(dialer, NNG_OPT_TLS_CONFIG, config);
    nng_tls_config_free(config);
    return rv;
}

// Sends or receives so many bytes.
static bool transfer(nng_stream *stream, nng_aio *aio, void (*start)(nng_stream *, nng_aio *), uint8_t *data,
                     size_t size)
{
    for (size_t n; size; data += n, size -= n) {
        nng_iov iov = {data, size};
        (void)nng_aio_set_iov(aio, 1, &iov);
        start(stream, aio);
        nng_aio_wait(aio);
        if (nng_aio_result(aio))
            return false;
        n = nng_aio_count(aio);
    }
    return true;
}

// As a client would: a greeting, and a PING that must be answered.
static bool is_served(nng_stream *stream, nng_aio *aio, bool ipc)
{
    static const uint8_t hello[HELLO] = {0, 'S', 'P', 0, 0, SP_REQ, 0, 0};
    const struct frame ping = {.version = NRPC_WIRE_VERSION, .kind = FRAME_PING};
    uint8_t message[64] = {1}, answer[HELLO] = {0}, *at = message + (ipc ? 1 : 0);
    size_t frame_bytes = frame_size(&ping, false, 0);
    memset(at, 0, 7);
    at[7] = (uint8_t)(4 + frame_bytes);
    memcpy(at + 8, (const uint8_t[4]){0x80, 0, 0, 0}, 4);
    frame_write(&ping, false, 0, at + 12);
    memcpy(answer, hello, HELLO);
    return transfer(stream, aio, nng_stream_send, answer, HELLO) &&
           transfer(stream, aio, nng_stream_recv, answer, HELLO) && !memcmp(answer, hello, 4) &&
           transfer(stream, aio, nng_stream_send, message, (size_t)(at - message) + 12 + frame_bytes) &&
           transfer(stream, aio, nng_stream_recv, answer, 1);
}

// A server that insists on client certificates refuses ours: that it says so is sign of life enough.
static bool is_sign_of_life(int rv)
{
    return rv == 0 || rv == NNG_ECRYPTO || rv == NNG_EPEERAUTH || rv == NNG_ECONNSHUT || rv == NNG_ECLOSED ||
           rv == NNG_ECONNRESET;
}

static bool is_alive(const char *listener_url)
{
    char url[300];
    nng_stream_dialer *dialer = NULL;
    nng_aio *aio = NULL;
    bool alive = true; // unless we could try, and failed
    reachable_url(listener_url, url, sizeof url);
    bool tls = !strncmp(url, "tls+", 4);
    if (nng_aio_alloc(&aio, NULL, NULL) == 0 && nng_stream_dialer_alloc(&dialer, url) == 0 &&
        (!tls || trust_anybody(dialer) == 0)) {
        nng_aio_set_timeout(aio, HANDSHAKE_MS);
        nng_stream_dialer_dial(dialer, aio);
        nng_aio_wait(aio);
        int rv = nng_aio_result(aio);
        if (rv == 0) {
            nng_stream *stream = nng_aio_get_output(aio, 0);
            alive = is_served(stream, aio, !strncmp(url, "ipc", 3)) ||
                    (tls && is_sign_of_life(nng_aio_result(aio)));
            nng_stream_free(stream);
        } else {
            alive = rv == NNG_ENOFILES || rv == NNG_ENOMEM; // it is we who lack something
        }
    }
    nng_stream_dialer_free(dialer);
    nng_aio_free(aio);
    return alive;
}

// ---- the thread

static void check(struct watchdog *w, size_t index)
{
    struct nrpc_server *s = w->server;
    const char *url = sp_listener_url(s->listeners[index]);
    struct nrpc_status st;
    if (is_alive(url)) {
        w->failures[index] = 0;
        return;
    }
    if (++w->failures[index] < FAILURES_MAX)
        return;
    log_warn("the listener on %s accepts nobody any more: it is replaced", url);
    atomic_fetch_add(&s->listener_restarts, 1);
    if (sp_listener_reopen(s->listeners[index], &st))
        log_error("%s", st.text);
    else
        w->failures[index] = 0;
}

static void *run(void *arg)
{
    struct watchdog *w = arg;
    pthread_mutex_lock(&w->mu);
    for (;;) {
        struct timespec until = wait_until(w->server->options.watchdog_ms);
        while (!w->stopping && pthread_cond_timedwait(&w->stop, &w->mu, &until) == 0)
            ;
        if (w->stopping)
            break;
        pthread_mutex_unlock(&w->mu);
        size_t count = w->server->listener_count;
        for (size_t i = 0; i < count; i++)
            check(w, i);
        pthread_mutex_lock(&w->mu);
    }
    pthread_mutex_unlock(&w->mu);
    return NULL;
}

struct watchdog *watchdog_start(struct nrpc_server *s)
{
    struct watchdog *w = mem_calloc(1, sizeof *w);
    w->server = s;
    pthread_mutex_init(&w->mu, NULL);
    wait_cond_init(&w->stop);
    int rv = pthread_create(&w->thread, NULL, run, w);
    if (rv == 0)
        return w;
    log_warn("no watchdog for the listeners: %s", strerror(rv));
    pthread_mutex_destroy(&w->mu);
    pthread_cond_destroy(&w->stop);
    free(w);
    return NULL;
}

void watchdog_stop(struct watchdog *w)
{
    if (!w)
        return;
    pthread_mutex_lock(&w->mu);
    w->stopping = true;
    pthread_cond_signal(&w->stop);
    pthread_mutex_unlock(&w->mu);
    pthread_join(w->thread, NULL);
    pthread_mutex_destroy(&w->mu);
    pthread_cond_destroy(&w->stop);
    free(w);
}
