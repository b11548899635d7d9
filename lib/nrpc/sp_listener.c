// SPDX-License-Identifier: Apache-2.0
// sp_listener.c: accepts connections, for as long as it is open: an error of one makes it try again a little
// later.
#include "nrpc/sp.h"

#include "base/log.h"
#include "base/mem.h"
#include "nrpc/tls.h"
#include "nrpc/transport.h"

#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

enum {
    PAUSE_MS = 20,  // after an error, which is mostly a lack of file descriptors
    BACKLOG = 4096, // the system may have a lower limit (net.core.somaxconn)
    FDS_MAX = 4096, // where a listener's socket is looked for: they are opened early
};

struct sp_listener {
    struct sp_options options;
    char *url;
    nng_aio *accept_aio, *pause_aio;
    bool is_ipc;
    bool complained;
    pthread_mutex_t mu;
    pthread_cond_t all_gone;

    // Guarded by mu
    nng_stream_listener *listener;
    bool closing;
    struct sp_pipe *pipes; // the list of those that are not gone
};

static void gone(void *arg, struct sp_pipe *pipe)
{
    struct sp_listener *l = arg;
    pthread_mutex_lock(&l->mu);
    sp_pipe_leave(pipe);
    if (!l->pipes)
        pthread_cond_broadcast(&l->all_gone);
    pthread_mutex_unlock(&l->mu);
}

// Accepts the next one, or pauses first.
static void go_on(struct sp_listener *l, bool pause)
{
    pthread_mutex_lock(&l->mu);
    if (l->closing)
        ;
    else if (pause)
        nng_sleep_aio(PAUSE_MS, l->pause_aio);
    else
        nng_stream_listener_accept(l->listener, l->accept_aio);
    pthread_mutex_unlock(&l->mu);
}

static void start_pipe(struct sp_listener *l, nng_stream *stream)
{
    pthread_mutex_lock(&l->mu);
    sp_pipe_start(stream, l->is_ipc, SP_REP, &l->options, gone, l, &l->pipes);
    pthread_mutex_unlock(&l->mu);
}

static void accepted(void *arg)
{
    struct sp_listener *l = arg;
    int rv = nng_aio_result(l->accept_aio);
    if (rv == 0)
        start_pipe(l, nng_aio_get_output(l->accept_aio, 0));
    else if (rv != NNG_ECLOSED && rv != NNG_ECANCELED && !l->complained) {
        log_warn("%s: cannot accept: %s", l->url, nng_strerror(rv));
        l->complained = true;
    }
    if (rv == 0)
        l->complained = false;
    go_on(l, rv != 0);
}

static void paused(void *arg)
{
    struct sp_listener *l = arg;
    if (nng_aio_result(l->pause_aio) == 0)
        go_on(l, false);
}

// A socket that its process has left behind is replaced; anything else that has the name is somebody's.
static int check_ipc_path(const char *url, struct nrpc_status *st)
{
    struct stat s;
    const char *path = strstr(url, "://") + 3;
    if (strncmp(url, "ipc://", 6) != 0 || lstat(path, &s) || S_ISSOCK(s.st_mode))
        return NRPC_OK;
    return status_set(st, NRPC_FAILED_PRECONDITION,
                      "cannot listen on %s: there is a file of that name, which is no socket", url);
}

// nng asks for a backlog of 128, too few for all nodes of a cluster that come back at the same moment. It
// does not give its socket away: that is the one that listens at the same address.
static void deepen_backlog(nng_stream_listener *listener)
{
    nng_sockaddr sa;
    struct rlimit files;
    if (nng_stream_listener_get_addr(listener, NNG_OPT_LOCADDR, &sa) || getrlimit(RLIMIT_NOFILE, &files))
        return;
    uint16_t port = sa.s_family == NNG_AF_INET    ? sa.s_in.sa_port
                    : sa.s_family == NNG_AF_INET6 ? sa.s_in6.sa_port
                                                  : 0;
    for (int fd = 0; port && fd < FDS_MAX && (rlim_t)fd < files.rlim_cur; fd++) {
        union {
            struct sockaddr any;
            struct sockaddr_in in;
            struct sockaddr_in6 in6;
        } own = {0};
        int listens = 0;
        socklen_t size = sizeof listens, own_size = sizeof own;
        if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) || !listens ||
            getsockname(fd, &own.any, &own_size))
            continue;
        if (port == (own.any.sa_family == AF_INET    ? own.in.sin_port
                     : own.any.sa_family == AF_INET6 ? own.in6.sin6_port
                                                     : 0))
            (void)listen(fd, BACKLOG);
    }
}

static int set_up(const struct sp_listener *l, const char *url, nng_stream_listener **out,
                  struct nrpc_status *st)
{
    char what[300];
    snprintf(what, sizeof what, "cannot listen on %s", url);
    int rv = nng_stream_listener_alloc(out, url);
    if (rv)
        return transport_error(st, rv, what);
    (void)nng_stream_listener_set_bool(*out, NNG_OPT_TCP_KEEPALIVE, true); // not every transport has them
    (void)nng_stream_listener_set_bool(*out, NNG_OPT_TCP_NODELAY, true);
    int code = tls_stream_listener(*out, url, l->options.tls, st);
    if (code == NRPC_OK && (rv = nng_stream_listener_listen(*out)))
        code = transport_error(st, rv, what);
    if (code)
        nng_stream_listener_free(*out);
    else
        deepen_backlog(*out);
    return code;
}

int sp_listen(const char *url, const struct sp_options *options, struct sp_listener **out,
              struct nrpc_status *st)
{
    *out = NULL;
    if (!strstr(url, "://"))
        return status_set(st, NRPC_INVALID_ARGUMENT, "\"%s\" is no url like tcp://host:port", url);
    struct sp_listener *l = mem_calloc(1, sizeof *l);
    l->options = *options;
    l->is_ipc = !strncmp(url, "ipc", 3);
    int code = check_ipc_path(url, st);
    if (!code)
        code = set_up(l, url, &l->listener, st);
    if (code) {
        free(l);
        return code;
    }
    nng_sockaddr sa;
    int rv = nng_stream_listener_get_addr(l->listener, NNG_OPT_LOCADDR, &sa);
    l->url = transport_real_url(url, rv ? NULL : &sa);
    pthread_mutex_init(&l->mu, NULL);
    pthread_cond_init(&l->all_gone, NULL);
    if (nng_aio_alloc(&l->accept_aio, accepted, l) || nng_aio_alloc(&l->pause_aio, paused, l))
        mem_exhausted(sizeof *l);
    *out = l;
    go_on(l, false);
    return NRPC_OK;
}

const char *sp_listener_url(const struct sp_listener *l)
{
    return l->url;
}

int sp_listener_reload_tls(struct sp_listener *l, struct nrpc_status *st)
{
    pthread_mutex_lock(&l->mu);
    int code = l->closing ? NRPC_OK : tls_stream_listener(l->listener, l->url, l->options.tls, st);
    pthread_mutex_unlock(&l->mu);
    return code;
}

void sp_listener_stop(struct sp_listener *l)
{
    if (!l->listener)
        return;
    pthread_mutex_lock(&l->mu);
    l->closing = true;
    pthread_mutex_unlock(&l->mu);
    nng_stream_listener_close(l->listener);
    nng_aio_stop(l->accept_aio);
    nng_aio_stop(l->pause_aio);
    nng_aio_free(l->accept_aio);
    nng_aio_free(l->pause_aio);
    nng_stream_listener_free(l->listener);
    l->listener = NULL;
}

int sp_listener_reopen(struct sp_listener *l, struct nrpc_status *st)
{
    sp_listener_stop(l);
    if (nng_aio_alloc(&l->accept_aio, accepted, l) || nng_aio_alloc(&l->pause_aio, paused, l))
        mem_exhausted(sizeof *l);
    int code = set_up(l, l->url, &l->listener, st);
    if (code) { // there is nothing to stop
        nng_aio_free(l->accept_aio);
        nng_aio_free(l->pause_aio);
        l->listener = NULL;
        return code;
    }
    pthread_mutex_lock(&l->mu);
    l->closing = false;
    pthread_mutex_unlock(&l->mu);
    go_on(l, false);
    return NRPC_OK;
}

void sp_listener_hang_up(struct sp_listener *l)
{
    pthread_mutex_lock(&l->mu);
    sp_pipe_close_all(l->pipes);
    while (l->pipes)
        pthread_cond_wait(&l->all_gone, &l->mu);
    pthread_mutex_unlock(&l->mu);
}

void sp_listener_close(struct sp_listener *l)
{
    if (!l)
        return;
    sp_listener_stop(l);
    sp_listener_hang_up(l);
    pthread_mutex_destroy(&l->mu);
    pthread_cond_destroy(&l->all_gone);
    free(l->url);
    free(l);
}
