// SPDX-License-Identifier: Apache-2.0
// transport.c: nng's options, errors and messages.
#include "nrpc/transport.h"

#include "base/mem.h"

#include <arpa/inet.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

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
    {NNG_EBUSY, NRPC_FAILED_PRECONDITION},
    {NNG_ESTATE, NRPC_FAILED_PRECONDITION},
    {NNG_EEXIST, NRPC_ALREADY_EXISTS},
    {NNG_ECRYPTO, NRPC_UNAVAILABLE},
    {NNG_EPEERAUTH, NRPC_UNAUTHENTICATED},
    {NNG_ENOARG, NRPC_INVALID_ARGUMENT},
    {NNG_EAMBIGUOUS, NRPC_INVALID_ARGUMENT},
    {NNG_EBADTYPE, NRPC_INVALID_ARGUMENT},
    {NNG_EREADONLY, NRPC_PERMISSION_DENIED},
    {NNG_EWRITEONLY, NRPC_PERMISSION_DENIED},
};

int transport_error(struct nrpc_status *st, int nng_error, const char *what)
{
    int code = NRPC_INTERNAL;
    for (size_t i = 0; i < sizeof error_codes / sizeof *error_codes; i++)
        if (error_codes[i].nng == nng_error)
            code = error_codes[i].code;
    return status_set(st, code, "%s: %s", what, nng_strerror(nng_error));
}

int64_t transport_option_ms(int64_t ms, int64_t fallback_ms)
{
    static const int64_t ten_years_ms = (int64_t)10 * 366 * 24 * 3600 * 1000;
    return ms == 0 ? fallback_ms : ms < ten_years_ms ? ms : ten_years_ms;
}

nng_duration transport_ms(int64_t ms)
{
    return ms < 0 ? 0 : ms > INT32_MAX ? INT32_MAX : (nng_duration)ms;
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

// The number of keepers stands in the header, which SP over streams does not use: no header, one keeper.
static _Atomic uint32_t *keepers(nng_msg *msg)
{
    return nng_msg_header_len(msg) ? (_Atomic uint32_t *)nng_msg_header(msg) : NULL;
}

void transport_share(nng_msg *msg)
{
    static const uint32_t two = 2;
    if (keepers(msg))
        atomic_fetch_add(keepers(msg), 1);
    else if (nng_msg_header_append(msg, &two, sizeof two))
        mem_exhausted(sizeof two);
}

void transport_free(nng_msg *msg)
{
    if (msg && (!keepers(msg) || atomic_fetch_sub(keepers(msg), 1) == 1))
        nng_msg_free(msg);
}

int transport_check_bytes(const char *what, size_t bytes, size_t max_bytes, struct nrpc_status *st)
{
    return bytes <= max_bytes
               ? NRPC_OK
               : status_set(st, NRPC_RESOURCE_EXHAUSTED, "%s of %zu bytes is over the limit of %zu", what,
                            bytes, max_bytes);
}

int transport_check_size(const ProtobufCMessage *message, size_t max_bytes, size_t *packed_bytes,
                         struct nrpc_status *st)
{
    *packed_bytes = protobuf_c_message_get_packed_size(message);
    return transport_check_bytes(message->descriptor->name, *packed_bytes, max_bytes, st);
}

nng_msg *transport_encode(const struct frame *f, const ProtobufCMessage *message, size_t packed_bytes)
{
    nng_msg *msg = transport_message(frame_size(f, message != NULL, packed_bytes));
    uint8_t *at = frame_write(f, message != NULL, packed_bytes, nng_msg_body(msg));
    if (message)
        protobuf_c_message_pack(message, at);
    return msg;
}

// ---- addresses

static uint16_t host_order(uint16_t network_order)
{
    const uint8_t *b = (const uint8_t *)&network_order;
    return (uint16_t)(b[0] << 8 | b[1]);
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

char *transport_real_url(const char *url, const nng_sockaddr *sa)
{
    char address[64] = "";
    if (sa && strstr(url, "tcp"))
        transport_address_text(sa, address, sizeof address);
    const char *colon = strrchr(url, ':'), *port = strrchr(address, ':');
    if (!port)
        return mem_strdup(url);
    size_t size = (size_t)(colon - url) + strlen(port) + 1;
    char *real = mem_alloc(size);
    snprintf(real, size, "%.*s%s", (int)(colon - url), url, port);
    return real;
}

uint32_t transport_sp_id(uint32_t id)
{
    return id | 0x80000000u;
}
