// SPDX-License-Identifier: Apache-2.0
// local.h: the seam between client and server for channels inside one process: frames are handed over instead
// of sent. Each function is called without any lock of the caller.
#ifndef NRPC_LOCAL_H
#define NRPC_LOCAL_H

#include "nrpc/nrpc.h"

#include <nng/nng.h>

// Connects, and returns the connection's number in the server, which holds a reference to the channel until
// the disconnection; the channel holds one to the server until it releases it, when nobody can hand over a
// frame any more. One that comes between the two is dropped.
uint32_t server_connect_local(struct nrpc_server *server, struct nrpc_channel *channel);
void server_disconnect_local(struct nrpc_server *server, uint32_t connection);
void server_release_local(struct nrpc_server *server);

// Hands a frame over; takes msg.
void server_receive_local(struct nrpc_server *server, uint32_t connection, nng_msg *msg, uint32_t id);
void channel_receive_local(struct nrpc_channel *channel, nng_msg *msg, uint32_t id);

// A call made on behalf of a handler's call: when that is cancelled, so is this one.
struct call_child {
    struct call_child *next, **at; // at NULL: not linked
    struct nrpc_server *server;    // a reference; NULL: has no parent
    struct nrpc_channel *channel;
    uint64_t id;
    _Atomic bool cancelled; // its parent was, perhaps before this one was started
};
void call_adopt(struct nrpc_call *parent, struct call_child *child);
void call_leave(struct call_child *child); // once, when the child has ended

struct nrpc_channel *channel_ref(struct nrpc_channel *channel);
void channel_unref(struct nrpc_channel *channel);

#endif
