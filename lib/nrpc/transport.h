// SPDX-License-Identifier: Apache-2.0
// transport.h: what channel.c, server.c and pubsub.c share about nng: sockets with safe options, errors as
// statuses.
#ifndef NRPC_TRANSPORT_H
#define NRPC_TRANSPORT_H

#include "nrpc/frame.h"

#include <nng/nng.h>

// nng's error numbers as statuses; the text is "<what>: <nng's words>".
int transport_error(struct nrpc_status *st, int nng_error, const char *what);

// Room that the frame itself may take beside a payload of the maximum size.
enum { TRANSPORT_FRAME_ROOM = FRAME_METADATA_BYTES_MAX + FRAME_METADATA_MAX * 16 + FRAME_METHOD_MAX + 4096 };

// The options every socket needs: received messages are limited, queues have room for bursts.
int transport_tune(nng_socket socket, size_t max_message_bytes, int queue, struct nrpc_status *st);

// An nng message holding the frame and, if message is not NULL, its packed bytes as the payload. The SP
// header is empty. RESOURCE_EXHAUSTED when the packed message is over max_bytes.
int transport_encode(const struct frame *f, const ProtobufCMessage *message, size_t max_bytes, nng_msg **out,
                     struct nrpc_status *st);

// Closes a socket and the aio that receives from it (NULL: none), in the one order that is safe: an aio that
// is still in the socket's queue when that goes is cancelled through a lock which is gone. false: nng did not
// return within 2 s (see transport_goodbye); the socket is left behind, and callbacks of it may still come.
bool transport_close(nng_socket socket, nng_aio *receive_aio);

// The url of a listener with the real port in it; the caller frees it.
char *transport_listener_url(nng_listener listener, const char *url);

// A call's request id as SP wants it: 31 bits with the highest set. Id 0 is no call's: it speaks of the
// connection.
uint32_t transport_sp_id(uint32_t id);

// A frame that says: this connection is about to be closed, send nothing more over it. nng 1.5 can wait for
// ever when it closes a connection in the middle of a message, so whoever closes says this first, and then
// lingers a little.
enum { TRANSPORT_LINGER_MS = 30 };
nng_msg *transport_goodbye(void); // NULL: out of memory

#endif
