// SPDX-License-Identifier: Apache-2.0
// fake_nrpc.h: stands in for the functions of nrpc that generated code calls; keeps what it was given.
//
// Defined in the test program, these win over lib/nrpc's, so that no transport takes part.
#ifndef FAKE_NRPC_H
#define FAKE_NRPC_H

#include "nrpc/nrpc.h"

struct fake_nrpc {
    // what the last call was given
    int calls;
    struct nrpc_server *server;
    const struct nrpc_service *service;
    enum nrpc_dispatch dispatch;
    const void *handlers;
    void *user;
    struct nrpc_channel *channel;
    const struct nrpc_method *method;
    const struct nrpc_call_options *options;
    const ProtobufCMessage *request;
    bool wants_response;
    struct nrpc_status *st;
    struct nrpc_call *call;
    const ProtobufCMessage *reply;
    struct nrpc_stream *stream;
    const ProtobufCMessage *sent; // by either side
    // what the next call answers
    int code;
    ProtobufCMessage *response;
    const ProtobufCMessage *received; // by either side
};

extern struct fake_nrpc fake;

#endif
