// SPDX-License-Identifier: Apache-2.0
// tracing.h: W3C Trace Context: every call belongs to a trace, and handlers' own calls (option `parent`) go
// on with it.
#ifndef NRPC_TRACING_H
#define NRPC_TRACING_H

#include "nrpc/nrpc.h"

// Begins a trace with every call of a channel that does not belong to one yet.
struct nrpc_client_interceptor nrpc_tracing_interceptor(void);

// The traceparent that a call came with; NULL: none, or not a valid one. Lives as long as the call.
const char *nrpc_trace_of(struct nrpc_call *call);

#endif
