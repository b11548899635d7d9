// SPDX-License-Identifier: Apache-2.0
// tracing.c: an interceptor that begins traces.
#include "nrpc/interceptors/tracing.h"

#include "nrpc/trace.h"

static int start(void *user, struct nrpc_outgoing *call, struct nrpc_status *st)
{
    (void)user;
    char traceparent[TRACE_SIZE];
    if (nrpc_outgoing_metadata(call, "traceparent"))
        return NRPC_OK;
    trace_begin(true, traceparent);
    return nrpc_outgoing_add(call, &(struct nrpc_metadata){.key = "traceparent", .value = traceparent}, st);
}

struct nrpc_client_interceptor nrpc_tracing_interceptor(void)
{
    return (struct nrpc_client_interceptor){start, NULL, NULL};
}

const char *nrpc_trace_of(struct nrpc_call *call)
{
    const char *traceparent = nrpc_call_metadata(call, "traceparent");
    return traceparent && trace_is_valid(traceparent) ? traceparent : NULL;
}
