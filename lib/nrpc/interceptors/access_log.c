// SPDX-License-Identifier: Apache-2.0
// access_log.c: an interceptor that logs.
#include "nrpc/interceptors/access_log.h"

#include "base/clock.h"
#include "base/log.h"
#include "nrpc/interceptors/tracing.h"

static void end(void *user, struct nrpc_call *call, const struct nrpc_status *st)
{
    (void)user;
    const char *trace = nrpc_trace_of(call);
    double ms = (double)(clock_mono_us() - nrpc_call_arrived_us(call)) / 1000;
    bool ours = st->code == NRPC_INTERNAL || st->code == NRPC_UNKNOWN || st->code == NRPC_DATA_LOSS;
    enum log_level level = ours ? LOG_WARN : st->code ? LOG_INFO : LOG_DEBUG;
    log_line(level, "%s %s %.3f ms connection %u%s%s%s%s", nrpc_call_method_name(call),
             nrpc_code_name(st->code), ms, nrpc_call_connection(call), trace ? " trace " : "",
             trace ? trace : "", st->text[0] ? ": " : "", st->text);
}

void nrpc_access_log(struct nrpc_server *server)
{
    nrpc_server_intercept(server, &(struct nrpc_server_interceptor){NULL, end, NULL});
}
