// SPDX-License-Identifier: Apache-2.0
// transport.c: nng's options, errors and messages.
#include "nrpc/transport.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/wait.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CLOSE_MS = 2000 };

static const struct {
    int nng;
    int code;
} error_codes[] = {
    {NNG_EINTR, NRPC_UNAVAILABLE},
    {NNG_ENOMEM, NRPC_RESOURCE_EXHAUSTED},
    {NNG_EINVAL, NRPC_INVALID_ARGUMENT},
    {NNG_ETIMEDOUT, NRPC_DEADLINE_EXCEEDED},
    {NNG_ECONNREFUSED, NRPC_UNAVAILABLE},
    {NNG_ECLOSED, NRPC_CANCELLED},
    {NNG_EAGAIN, NRPC_RESOURCE_EXHAUSTED},
    {NNG_ENOTSUP, NRPC_UNIMPLEMENTED},
    {NNG_EADDRINUSE, NRPC_FAILED_PRECONDITION},
    {NNG_ENOENT, NRPC_NOT_FOUND},
    {NNG_EPROTO, NRPC_INTERNAL},
    {NNG_EUNREACHABLE, NRPC_UNAVAILABLE},
    {NNG_EADDRINVAL, NRPC_INVALID_ARGUMENT},
    {NNG_EPERM, NRPC_PERMISSION_DENIED},
    {NNG_EMSGSIZE, NRPC_RESOURCE_EXHAUSTED},
    {NNG_ECONNABORTED, NRPC_UNAVAILABLE},
    {NNG_ECONNRESET, NRPC_UNAVAILABLE},
    {NNG_ECANCELED, NRPC_CANCELLED},
    {NNG_ENOFILES, NRPC_RESOURCE_EXHAUSTED},
    {NNG_ENOSPC, NRPC_RESOURCE_EXHAUSTED},
    {NNG_ECONNSHUT, NRPC_UNAVAILABLE},
};

int transport_error(struct nrpc_status *st, int nng_error, const char *what)
{
    int code = NRPC_INTERNAL;
    for (size_t i = 0; i < sizeof error_codes / sizeof *error_codes; i++)
        if (error_codes[i].nng == nng_error)
            code = error_codes[i].code;
    return status_set(st, code, "%s: %s", what, nng_strerror(nng_error));
}

int transport_tune(nng_socket socket, size_t max_message_bytes, int queue, struct nrpc_status *st)
{
    int rv = nng_socket_set_size(socket, NNG_OPT_RECVMAXSZ, max_message_bytes + TRANSPORT_FRAME_ROOM);
    static const char *const queues[] = {NNG_OPT_SENDBUF, NNG_OPT_RECVBUF};
    for (size_t i = 0; rv == 0 && i < sizeof queues / sizeof *queues; i++) {
        rv = nng_socket_set_int(socket, queues[i], queue);
        if (rv == NNG_ENOTSUP) // a PUB socket receives nothing, a SUB socket sends nothing
            rv = 0;
    }
    return rv ? transport_error(st, rv, "cannot set up a socket") : NRPC_OK;
}

nng_msg *transport_message(size_t bytes)
{
    nng_msg *msg;
    if (nng_msg_alloc(&msg, bytes))
        mem_exhausted(bytes);
    return msg;
}

void transport_append(nng_msg *msg, const void *data, size_t bytes)
{
    if (nng_msg_append(msg, data, bytes))
        mem_exhausted(bytes);
}

int transport_check_size(const ProtobufCMessage *message, size_t max_bytes, size_t *packed_bytes,
                         struct nrpc_status *st)
{
    *packed_bytes = protobuf_c_message_get_packed_size(message);
    return *packed_bytes <= max_bytes
               ? NRPC_OK
               : status_set(st, NRPC_RESOURCE_EXHAUSTED, "%s of %zu bytes is over the limit of %zu",
                            message->descriptor->name, *packed_bytes, max_bytes);
}

nng_msg *transport_encode(const struct frame *f, const ProtobufCMessage *message, size_t packed_bytes)
{
    nng_msg *msg = transport_message(frame_size(f, message != NULL, packed_bytes));
    uint8_t *at = frame_write(f, message != NULL, packed_bytes, nng_msg_body(msg));
    if (message)
        protobuf_c_message_pack(message, at);
    return msg;
}

// ---- closing, in a thread of its own, so that a close which never returns can be left behind

struct closing {
    nng_socket socket;
    nng_aio *aio;
    pthread_mutex_t mu;
    pthread_cond_t changed;
    bool done, left_behind;
};

static void closing_free(struct closing *c)
{
    pthread_mutex_destroy(&c->mu);
    pthread_cond_destroy(&c->changed);
    free(c);
}

static void *close_socket(void *arg)
{
    struct closing *c = arg;
    if (c->aio)
        nng_aio_stop(c->aio);
    nng_close(c->socket);
    nng_aio_free(c->aio);
    pthread_mutex_lock(&c->mu);
    c->done = true;
    bool left_behind = c->left_behind;
    pthread_cond_signal(&c->changed);
    pthread_mutex_unlock(&c->mu);
    if (left_behind)
        closing_free(c);
    return NULL;
}

bool transport_close(nng_socket socket, nng_aio *receive_aio)
{
    struct closing *c = mem_calloc(1, sizeof *c);
    *c = (struct closing){.socket = socket, .aio = receive_aio};
    pthread_mutex_init(&c->mu, NULL);
    wait_cond_init(&c->changed);
    pthread_t thread;
    if (pthread_create(&thread, NULL, close_socket, c)) {
        close_socket(c);
        closing_free(c);
        return true;
    }
    pthread_detach(thread);
    struct timespec until = wait_until(CLOSE_MS);
    pthread_mutex_lock(&c->mu);
    while (!c->done && pthread_cond_timedwait(&c->changed, &c->mu, &until) == 0)
        ;
    bool done = c->done;
    c->left_behind = !done;
    pthread_mutex_unlock(&c->mu);
    if (done)
        closing_free(c);
    else
        log_warn("nng did not close a socket within %d ms; it is left behind", CLOSE_MS);
    return done;
}

static uint16_t host_order(uint16_t network_order)
{
    const uint8_t *b = (const uint8_t *)&network_order;
    return (uint16_t)(b[0] << 8 | b[1]);
}

char *transport_listener_url(nng_listener listener, const char *url)
{
    nng_sockaddr sa;
    if (!strstr(url, "tcp") || nng_listener_get_addr(listener, NNG_OPT_LOCADDR, &sa))
        return mem_strdup(url);
    const char *colon = strrchr(url, ':');
    size_t size = (size_t)(colon - url) + 8;
    char *real = mem_alloc(size);
    snprintf(real, size, "%.*s:%u", (int)(colon - url), url,
             host_order(sa.s_family == NNG_AF_INET6 ? sa.s_in6.sa_port : sa.s_in.sa_port));
    return real;
}

void transport_address_text(const nng_sockaddr *sa, char *out, size_t size)
{
    char host[INET6_ADDRSTRLEN];
    if (sa->s_family == NNG_AF_INET && inet_ntop(AF_INET, &sa->s_in.sa_addr, host, sizeof host))
        snprintf(out, size, "%s:%u", host, host_order(sa->s_in.sa_port));
    else if (sa->s_family == NNG_AF_INET6 && inet_ntop(AF_INET6, sa->s_in6.sa_addr, host, sizeof host))
        snprintf(out, size, "[%s]:%u", host, host_order(sa->s_in6.sa_port));
    else
        out[0] = 0;
}

uint32_t transport_sp_id(uint32_t id)
{
    return id | 0x80000000u;
}
