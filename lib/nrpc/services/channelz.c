// SPDX-License-Identifier: Apache-2.0
// channelz.c: the server's counters, as messages.
#include "nrpc/services/channelz.h"

#include "base/mem.h"
#include "nrpc/v1/channelz.nrpc.h"

#include <stdlib.h>
#include <string.h>

enum { PAGE = 100, PAGE_MAX = 1000, CODES = 17 };

static void on_get_server(struct nrpc_call *call, const Nrpc__V1__ServerStatsRequest *q, void *user)
{
    (void)q;
    struct nrpc_server_stats s;
    Nrpc__V1__ServerStatsResponse r = NRPC__V1__SERVER_STATS_RESPONSE__INIT;
    nrpc_server_stats(user, &s);
    r.started = s.started;
    r.answered = s.answered;
    r.refused = s.refused;
    r.bad_frames = s.bad_frames;
    r.connected = s.connected;
    r.listener_restarts = s.listener_restarts;
    r.queued = s.queued;
    r.unanswered = s.unanswered;
    r.connections = s.connections;
    nrpc_v1_channelz_get_server_reply(call, &r);
}

// ---- methods

struct method { // all that the message about one points to
    Nrpc__V1__MethodStats message;
    Nrpc__V1__CodeCount failed[CODES], *failed_at[CODES];
    struct nrpc_method_stats stats;
};

static void describe(struct method *m)
{
    Nrpc__V1__MethodStats *out = &m->message;
    nrpc__v1__method_stats__init(out);
    out->name = (char *)m->stats.method->name;
    out->started = m->stats.started;
    out->ok = m->stats.ended[NRPC_OK];
    out->running = m->stats.running;
    out->failed = m->failed_at;
    for (uint32_t code = 1; code < CODES; code++) {
        if (!m->stats.ended[code])
            continue;
        Nrpc__V1__CodeCount *failed = &m->failed[out->n_failed];
        nrpc__v1__code_count__init(failed);
        failed->code = code;
        failed->count = m->stats.ended[code];
        out->failed[out->n_failed++] = failed;
    }
    out->n_latency = NRPC_LATENCY_BUCKETS;
    out->latency = m->stats.latency;
}

static int by_name(const void *a, const void *b)
{
    const Nrpc__V1__MethodStats *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

static void on_list_methods(struct nrpc_call *call, const Nrpc__V1__MethodStatsRequest *q, void *user)
{
    (void)q;
    Nrpc__V1__MethodStatsResponse r = NRPC__V1__METHOD_STATS_RESPONSE__INIT;
    uint64_t bounds[NRPC_LATENCY_BUCKETS - 1];
    struct nrpc_method_stats stats;
    size_t n = 0;
    while (nrpc_server_method_stats(user, n, &stats))
        n++;
    struct method *methods = mem_calloc(n, sizeof *methods);
    r.methods = mem_calloc(n, sizeof *r.methods);
    for (; r.n_methods < n; r.n_methods++) {
        struct method *m = &methods[r.n_methods];
        nrpc_server_method_stats(user, r.n_methods, &m->stats);
        describe(m);
        r.methods[r.n_methods] = &m->message;
    }
    qsort(r.methods, n, sizeof *r.methods, by_name);
    r.n_latency_bounds_us = NRPC_LATENCY_BUCKETS - 1;
    r.latency_bounds_us = bounds;
    for (size_t i = 0; i < r.n_latency_bounds_us; i++)
        bounds[i] = 1ULL << i;
    nrpc_v1_channelz_list_methods_reply(call, &r);
    free(r.methods);
    free(methods);
}

// ---- connections

static void on_list_connections(struct nrpc_call *call, const Nrpc__V1__ConnectionStatsRequest *q, void *user)
{
    Nrpc__V1__ConnectionStatsResponse r = NRPC__V1__CONNECTION_STATS_RESPONSE__INIT;
    size_t limit = q->limit ? q->limit : PAGE;
    limit = limit < PAGE_MAX ? limit : PAGE_MAX;
    struct nrpc_connection_stats *stats = mem_calloc(limit + 1, sizeof *stats);
    size_t n = nrpc_server_connections(user, q->after, stats, limit + 1);
    r.more = n > limit;
    n = r.more ? limit : n;
    Nrpc__V1__ConnectionStats *messages = mem_calloc(n, sizeof *messages);
    r.connections = mem_calloc(n, sizeof *r.connections);
    for (; r.n_connections < n; r.n_connections++) {
        struct nrpc_connection_stats *s = &stats[r.n_connections];
        Nrpc__V1__ConnectionStats *c = r.connections[r.n_connections] = &messages[r.n_connections];
        nrpc__v1__connection_stats__init(c);
        c->connection = s->connection;
        c->peer = s->peer;
        c->age_ms = s->age_ms;
        c->silent_ms = s->silent_ms;
        c->frames_received = s->frames_received;
        c->frames_sent = s->frames_sent;
        c->running = s->running;
    }
    nrpc_v1_channelz_list_connections_reply(call, &r);
    free(r.connections);
    free(messages);
    free(stats);
}

static const struct nrpc_v1_channelz_handlers handlers = {
    .get_server = on_get_server,
    .list_methods = on_list_methods,
    .list_connections = on_list_connections,
};

int nrpc_channelz_add(struct nrpc_server *server, struct nrpc_status *st)
{
    return nrpc_v1_channelz_register(server, NRPC_INLINE, &handlers, server, st);
}
