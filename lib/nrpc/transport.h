// SPDX-License-Identifier: Apache-2.0
// transport.h: what the files that talk to nng share: its errors as statuses, its messages, addresses.
#ifndef NRPC_TRANSPORT_H
#define NRPC_TRANSPORT_H

#include "nrpc/frame.h"

#include <nng/nng.h>

// nng's error numbers as statuses; the text is "<what>: <nng's words>".
int transport_error(struct nrpc_status *st, int nng_error, const char *what);

// Room that the frame itself may take beside a payload of the maximum size, or several small ones together.
enum { TRANSPORT_FRAME_ROOM = 40 << 10 };

// A time that an option names: 0 is the fallback, more than ten years are those, so that nothing overflows.
int64_t transport_option_ms(int64_t ms, int64_t fallback_ms);

// A time in milliseconds as nng takes it: one that is longer than 24 days is cut to that.
nng_duration transport_ms(int64_t ms);

// nng messages; running out of memory aborts, as everywhere.
nng_msg *transport_message(size_t bytes);
void transport_append(nng_msg *msg, const void *data, size_t bytes);

// A message that is sent may be kept to be sent again: each keeper frees it. Its body is then not changed but
// by who sends it.
void transport_share(nng_msg *msg); // one keeper more
void transport_free(nng_msg *msg);  // one less; also of a message that was never shared; NULL is allowed

// What is put into a message is measured here and nowhere else: RESOURCE_EXHAUSTED when it is over max_bytes.
int transport_check_bytes(const char *what, size_t bytes, size_t max_bytes, struct nrpc_status *st);
int transport_check_size(const ProtobufCMessage *message, size_t max_bytes, size_t *packed_bytes,
                         struct nrpc_status *st);

// An nng message holding the frame and, if message is not NULL, its packed bytes as the payload. The SP
// header is empty.
nng_msg *transport_encode(const struct frame *f, const ProtobufCMessage *message, size_t packed_bytes);

// The url with the port of the address in it, if it has one; the caller frees it. sa may be NULL.
char *transport_real_url(const char *url, const nng_sockaddr *sa);

// "127.0.0.1:4711"; empty for what is no IP address.
void transport_address_text(const nng_sockaddr *address, char *out, size_t size);

// A call's request id as SP wants it: 31 bits with the highest set. Id 0 is no call's: it speaks of the
// connection.
uint32_t transport_sp_id(uint32_t id);

// How long who says goodbye waits for the other side to say it too.
enum { TRANSPORT_GOODBYE_MS = 500 };

#endif
