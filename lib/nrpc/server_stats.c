// SPDX-License-Identifier: Apache-2.0
// server_stats.c: what a server has counted.
#include "nrpc/server.h"

#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

void nrpc_server_stats(struct nrpc_server *s, struct nrpc_server_stats *out)
{
    server_lock(s);
    unsigned connections = s->remote_peers;
    server_unlock(s);
    *out = (struct nrpc_server_stats){
        .started = s->started,
        .answered = s->answers,
        .refused = s->refused,
        .bad_frames = s->bad_frames,
        .connected = s->connected,
        .listener_restarts = s->listener_restarts,
        .queued = s->queued,
        .unanswered = s->unanswered,
        .connections = connections,
    };
}

bool nrpc_server_method_stats(struct nrpc_server *s, size_t index, struct nrpc_method_stats *out)
{
    const struct method_entry *m = s->methods;
    while (m && index--)
        m = m->hh.next;
    if (!m)
        return false;
    *out = (struct nrpc_method_stats){
        .method = m->method,
        .service = m->service->service,
        .started = m->started,
        .running = m->running,
    };
    for (size_t i = 0; i < sizeof out->ended / sizeof *out->ended; i++)
        out->ended[i] = m->ended[i];
    for (size_t i = 0; i < NRPC_LATENCY_BUCKETS; i++)
        out->latency[i] = m->latency[i];
    return true;
}

static int by_id(const void *a, const void *b)
{
    const struct peer *const *x = a, *const *y = b;
    return ((*x)->id > (*y)->id) - ((*x)->id < (*y)->id);
}

size_t nrpc_server_connections(struct nrpc_server *s, uint32_t after, struct nrpc_connection_stats *out,
                               size_t capacity)
{
    int64_t now_us = clock_mono_us();
    server_lock(s);
    const struct peer **sorted = mem_alloc(HASH_COUNT(s->peers) * sizeof *sorted);
    size_t n = 0;
    for (const struct peer *p = s->peers; p; p = p->hh.next)
        if (p->id > after)
            sorted[n++] = p;
    if (n)
        qsort(sorted, n, sizeof *sorted, by_id);
    n = n < capacity ? n : capacity;
    for (size_t i = 0; i < n; i++) {
        const struct peer *p = sorted[i];
        out[i] = (struct nrpc_connection_stats){
            .connection = p->id,
            .age_ms = (now_us - p->connected_us) / 1000,
            .silent_ms = p->pipe ? (now_us - sp_heard_us(p->pipe)) / 1000 : 0,
            .frames_received = p->frames_received,
            .frames_sent = p->frames_sent,
            .running = p->running,
        };
        memcpy(out[i].peer, p->name, sizeof out[i].peer);
    }
    server_unlock(s);
    free(sorted);
    return n;
}
