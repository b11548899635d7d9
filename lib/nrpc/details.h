// SPDX-License-Identifier: Apache-2.0
// details.h: typed details of an error: packs nrpc.v1.Status, whose fields are google.rpc.Status's. Pure
// functions.
#ifndef NRPC_DETAILS_H
#define NRPC_DETAILS_H

#include "base/mem.h"
#include "nrpc/frame.h"

// The packed size.
size_t details_size(const struct nrpc_status *st, const ProtobufCMessage *const *details, size_t count);

// In the arena; data NULL if its budget is used up.
struct wire_bytes details_pack(struct arena *a, const struct nrpc_status *st,
                               const ProtobufCMessage *const *details, size_t count);

#endif
