// SPDX-License-Identifier: Apache-2.0
// fake_nrpc.c: nrpc without a network.
#include "fake_nrpc.h"

struct fake_nrpc fake;

int nrpc_server_add(struct nrpc_server *server, const struct nrpc_service *service,
                    enum nrpc_dispatch dispatch, const void *handlers, void *user, struct nrpc_status *st)
{
    fake.calls++;
    fake.server = server;
    fake.service = service;
    fake.dispatch = dispatch;
    fake.handlers = handlers;
    fake.user = user;
    fake.st = st;
    return fake.code;
}

void nrpc_reply(struct nrpc_call *call, const ProtobufCMessage *response)
{
    fake.calls++;
    fake.call = call;
    fake.reply = response;
}

static void keep_call(struct nrpc_channel *channel, const struct nrpc_method *method,
                      const struct nrpc_call_options *options, const ProtobufCMessage *request)
{
    fake.calls++;
    fake.channel = channel;
    fake.method = method;
    fake.options = options;
    fake.request = request;
}

int nrpc_call_unary(struct nrpc_channel *channel, const struct nrpc_method *method,
                    const struct nrpc_call_options *options, const ProtobufCMessage *request,
                    ProtobufCMessage **response, struct nrpc_status *st)
{
    keep_call(channel, method, options, request);
    fake.wants_response = response != NULL;
    fake.st = st;
    if (response)
        *response = fake.code == NRPC_OK ? fake.response : NULL;
    return fake.code;
}

void nrpc_call_async_typed(struct nrpc_channel *channel, const struct nrpc_method *method,
                           const struct nrpc_call_options *options, const ProtobufCMessage *request,
                           nrpc_finish_fn finish, void (*done)(void), void *user)
{
    keep_call(channel, method, options, request);
    struct nrpc_status st = {.code = fake.code};
    finish(done, user, &st, fake.code == NRPC_OK ? fake.response : NULL);
}

// ---------------------------------------------------------------- streams

int nrpc_stream_open(struct nrpc_channel *channel, const struct nrpc_method *method,
                     const struct nrpc_call_options *options, const ProtobufCMessage *request,
                     struct nrpc_stream **out, struct nrpc_status *st)
{
    keep_call(channel, method, options, request);
    fake.st = st;
    *out = fake.code == NRPC_OK ? fake.stream : NULL;
    return fake.code;
}

int nrpc_stream_write(struct nrpc_stream *stream, const ProtobufCMessage *message)
{
    fake.calls++;
    fake.stream = stream;
    fake.sent = message;
    return fake.code;
}

int nrpc_stream_read(struct nrpc_stream *stream, const ProtobufCMessage **message, struct nrpc_status *st)
{
    fake.calls++;
    fake.stream = stream;
    fake.st = st;
    if (fake.code == NRPC_OK)
        *message = fake.received;
    return fake.code;
}

int nrpc_call_send(struct nrpc_call *call, const ProtobufCMessage *message)
{
    fake.calls++;
    fake.call = call;
    fake.sent = message;
    return fake.code;
}

int nrpc_call_receive(struct nrpc_call *call, const ProtobufCMessage **message)
{
    fake.calls++;
    fake.call = call;
    if (fake.code == NRPC_OK)
        *message = fake.received;
    return fake.code;
}
