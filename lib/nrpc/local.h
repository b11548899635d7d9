// SPDX-License-Identifier: Apache-2.0
// local.h: the seam between channel.c and server.c for channels inside one process.
#ifndef NRPC_LOCAL_H
#define NRPC_LOCAL_H

#include <nng/nng.h>
#include <stdint.h>

struct nrpc_server;
struct nrpc_channel;

// Hands a request frame to a server as if it had arrived; takes msg, and the reference to channel that the
// caller got for it.
void server_receive_local(struct nrpc_server *server, nng_msg *msg, struct nrpc_channel *channel,
                          uint32_t id);

// Hands a response frame to the channel; takes msg and the reference.
void channel_receive_local(struct nrpc_channel *channel, nng_msg *msg, uint32_t id);

#endif
