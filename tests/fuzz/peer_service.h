// SPDX-License-Identifier: Apache-2.0
// peer_service.h: the service of peer_fuzz.c: one that never waits, for NRPC_INLINE, and one that does.
#ifndef PEER_SERVICE_H
#define PEER_SERVICE_H

#include "soak.nrpc.h"

extern const struct soak_soak_handlers waiting_for_nothing, blocking;

#endif
