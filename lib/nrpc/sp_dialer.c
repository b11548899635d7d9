// SPDX-License-Identifier: Apache-2.0
// sp_dialer.c: keeps one connection to a server: connects, and again when it is lost, with backoff and
// jitter.
#include "nrpc/sp.h"

#include "base/clock.h"
#include "base/ids.h"
#include "base/log.h"
#include "base/mem.h"
#include "nrpc/tls.h"
#include "nrpc/transport.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CONNECT_MS = 10000,
    LASTED_MS = 1000, // a connection that was shorter, and not praised, makes the next pause longer
};

struct sp_dialer {
    struct sp_options options;
    nng_stream_dialer *dialer;
    nng_aio *dial_aio, *pause_aio;
    char *url;
    bool is_ipc;
    bool complained; // the pause's: one at a time
    pthread_mutex_t mu;
    pthread_cond_t idle;

    // Guarded by mu
    struct sp_pipe *pipe;         // a list of one; NULL: there is none
    int64_t backoff_ms, begun_us; // the next pause; when the pipe began
    bool closing, resting;
};

// Under the mutex.
static void pause_and_dial(struct sp_dialer *d)
{
    int64_t ms = d->backoff_ms;
    d->backoff_ms = ms * 2 < d->options.reconnect_max_ms ? ms * 2 : d->options.reconnect_max_ms;
    if (!d->closing && !d->resting) // by chance between half of it and all of it
        nng_sleep_aio(transport_ms(ms / 2 + (int64_t)(ids_random() % (uint64_t)(ms / 2 + 1))), d->pause_aio);
}

static void gone(void *arg, struct sp_pipe *pipe)
{
    struct sp_dialer *d = arg;
    pthread_mutex_lock(&d->mu);
    sp_pipe_leave(pipe);
    if (clock_mono_us() - d->begun_us >= LASTED_MS * 1000)
        d->backoff_ms = d->options.reconnect_min_ms;
    pause_and_dial(d);
    pthread_cond_broadcast(&d->idle);
    pthread_mutex_unlock(&d->mu);
}

// Under the mutex.
static void start_pipe(struct sp_dialer *d, nng_stream *stream)
{
    d->begun_us = clock_mono_us();
    sp_pipe_start(stream, d->is_ipc, d->options.subscribes ? SP_SUB : SP_REQ, &d->options, gone, d, &d->pipe);
}

static void dialed(void *arg)
{
    struct sp_dialer *d = arg;
    pthread_mutex_lock(&d->mu);
    if (nng_aio_result(d->dial_aio)) {
        pause_and_dial(d);
    } else {
        nng_stream *stream = nng_aio_get_output(d->dial_aio, 0);
        if (d->closing || d->resting)
            nng_stream_free(stream);
        else
            start_pipe(d, stream);
    }
    pthread_mutex_unlock(&d->mu);
}

static void dial(struct sp_dialer *d)
{
    pthread_mutex_lock(&d->mu);
    if (!d->closing && !d->resting)
        nng_stream_dialer_dial(d->dialer, d->dial_aio);
    pthread_mutex_unlock(&d->mu);
}

// The files of the TLS options may have been replaced. On failure the last good ones serve on.
static void read_files_again(struct sp_dialer *d)
{
    struct nrpc_status st;
    int code = tls_stream_dialer(d->dialer, d->url, d->options.tls, &st);
    if (code && !d->complained)
        log_warn("%s: TLS goes on with the files read before: %s", d->url, st.text);
    d->complained = code != NRPC_OK;
}

static void paused(void *arg)
{
    struct sp_dialer *d = arg;
    if (nng_aio_result(d->pause_aio))
        return;
    read_files_again(d);
    dial(d);
}

int sp_dial(const char *url, const struct sp_options *options, struct sp_dialer **out, struct nrpc_status *st)
{
    char what[300];
    snprintf(what, sizeof what, "cannot open a channel to %s", url);
    *out = NULL;
    if (!strstr(url, "://"))
        return status_set(st, NRPC_INVALID_ARGUMENT, "\"%s\" is no url like tcp://host:port", url);
    nng_stream_dialer *dialer;
    int rv = nng_stream_dialer_alloc(&dialer, url);
    if (rv)
        return transport_error(st, rv, what);
    (void)nng_stream_dialer_set_bool(dialer, NNG_OPT_TCP_KEEPALIVE, true); // not every transport has them
    (void)nng_stream_dialer_set_bool(dialer, NNG_OPT_TCP_NODELAY, true);
    int code = tls_stream_dialer(dialer, url, options->tls, st);
    if (code) {
        nng_stream_dialer_free(dialer);
        return code;
    }
    struct sp_dialer *d = mem_calloc(1, sizeof *d);
    d->options = *options;
    d->dialer = dialer;
    d->url = mem_strdup(url);
    d->is_ipc = !strncmp(url, "ipc", 3);
    d->backoff_ms = options->reconnect_min_ms;
    pthread_mutex_init(&d->mu, NULL);
    pthread_cond_init(&d->idle, NULL);
    if (nng_aio_alloc(&d->dial_aio, dialed, d) || nng_aio_alloc(&d->pause_aio, paused, d))
        mem_exhausted(sizeof *d);
    nng_aio_set_timeout(d->dial_aio, CONNECT_MS);
    *out = d;
    if (options->first_pause_ms > 0)
        nng_sleep_aio(transport_ms(options->first_pause_ms), d->pause_aio);
    else
        dial(d);
    return NRPC_OK;
}

void sp_dialer_rest(struct sp_dialer *d)
{
    pthread_mutex_lock(&d->mu);
    d->resting = true;
    pthread_mutex_unlock(&d->mu);
}

void sp_dialer_praise(struct sp_dialer *d)
{
    pthread_mutex_lock(&d->mu);
    d->backoff_ms = d->options.reconnect_min_ms;
    pthread_mutex_unlock(&d->mu);
}

void sp_dialer_close(struct sp_dialer *d)
{
    if (!d)
        return;
    pthread_mutex_lock(&d->mu);
    d->closing = true;
    pthread_mutex_unlock(&d->mu);
    nng_aio_stop(d->pause_aio);
    nng_stream_dialer_close(d->dialer);
    nng_aio_stop(d->dial_aio);
    pthread_mutex_lock(&d->mu);
    sp_pipe_close_all(d->pipe);
    while (d->pipe)
        pthread_cond_wait(&d->idle, &d->mu);
    pthread_mutex_unlock(&d->mu);
    nng_aio_free(d->pause_aio);
    nng_aio_free(d->dial_aio);
    nng_stream_dialer_free(d->dialer);
    pthread_mutex_destroy(&d->mu);
    pthread_cond_destroy(&d->idle);
    free(d->url);
    free(d);
}
