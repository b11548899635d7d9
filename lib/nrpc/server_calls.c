// SPDX-License-Identifier: Apache-2.0
// server_calls.c: the running calls of a server: found by connection and id, cancelled, woken, freed.
#include "nrpc/server.h"

#include "base/clock.h"
#include "base/wait.h"

#include <stdlib.h>
#include <string.h>

enum { FREE_CALLS_MAX = 256 };

// ---- life

struct nrpc_call *call_new(struct nrpc_server *s)
{
    struct nrpc_call *c = s->free_calls;
    if (c) {
        s->free_calls = c->next_free;
        s->free_count--;
    } else {
        c = mem_calloc(1, sizeof *c);
        arena_init(&c->arena, 4 * s->options.max_message_bytes);
        arena_init(&c->message_arena, 4 * s->options.max_message_bytes);
        wait_cond_init(&c->changed);
    }
    atomic_fetch_add(&s->refs, 1);
    atomic_fetch_add(&s->unanswered, 1);
    c->server = s;
    c->refs = 1;
    c->arrived_us = clock_mono_us();
    c->deadline_us = CLOCK_NEVER;
    return c;
}

void call_weigh(struct nrpc_call *c, size_t bytes)
{
    atomic_fetch_add(&c->server->parked_bytes, bytes - c->bytes);
    c->bytes = bytes;
}

static void call_destroy(struct nrpc_call *c)
{
    arena_fini(&c->arena);
    arena_fini(&c->message_arena);
    pthread_cond_destroy(&c->changed);
    free(c);
}

static void call_reset(struct nrpc_call *c)
{
    if (c->streams)
        flow_fini(&c->flow);
    nng_msg_free(c->msg);
    for (struct call_value *v = c->values, *next; v; v = next) {
        next = v->next;
        if (v->on_heap)
            free(v);
    }
    arena_reset(&c->arena);
    arena_reset(&c->message_arena);
    memset(&c->server, 0, sizeof *c - offsetof(struct nrpc_call, server));
}

void call_unref(struct nrpc_call *c)
{
    struct nrpc_server *s = c->server;
    if (--c->refs)
        return;
    size_t bytes = c->bytes;
    call_detach(c);
    for (struct call_child *child = c->children; child; child = child->next)
        child->at = NULL;
    if (c->entry)
        atomic_fetch_sub(&c->entry->running, 1);
    if (s->free_count < FREE_CALLS_MAX) {
        call_reset(c);
        c->next_free = s->free_calls;
        s->free_calls = c;
        s->free_count++;
    } else {
        call_reset(c);
        call_destroy(c);
    }
    atomic_fetch_sub(&s->parked_bytes, bytes);
    if (atomic_fetch_sub(&s->unanswered, 1) == 1)
        pthread_cond_broadcast(&s->answered);
}

// ---- the table

static struct nrpc_call **bucket_of(struct nrpc_server *s, uint32_t connection, uint32_t id)
{
    uint32_t mixed = (connection * 2654435761u) ^ (id * 2246822519u);
    return &s->buckets[(mixed ^ mixed >> 15) % SERVER_CALL_BUCKETS];
}

struct nrpc_call *call_find(struct nrpc_server *s, uint32_t connection, uint32_t id)
{
    struct nrpc_call *c = *bucket_of(s, connection, id);
    while (c && (c->id != id || c->connection != connection))
        c = c->bucket_next;
    return c;
}

void call_insert(struct nrpc_call *c, struct peer *peer, uint32_t id)
{
    c->peer = peer;
    c->id = id;
    c->connection = peer->id;
    struct nrpc_call **bucket = bucket_of(c->server, c->connection, id);
    c->bucket_next = *bucket;
    *bucket = c;
    if (peer->calls) {
        c->next = peer->calls;
        c->previous = peer->calls->previous;
        c->next->previous = c->previous->next = c;
    } else {
        c->next = c->previous = c;
    }
    peer->calls = c;
    peer->running++;
}

void call_detach(struct nrpc_call *c)
{
    struct peer *peer = c->peer;
    if (!peer)
        return;
    struct nrpc_call **at = bucket_of(c->server, c->connection, c->id);
    while (*at != c)
        at = &(*at)->bucket_next;
    *at = c->bucket_next;
    peer->calls = c->next == c ? NULL : c->next;
    c->next->previous = c->previous;
    c->previous->next = c->next;
    peer->running--;
    c->peer = NULL;
    if (c->streams)
        flow_disconnect(&c->flow);
}

// ---- events

void call_changed(struct nrpc_call *c)
{
    struct nrpc_server *s = c->server;
    pthread_cond_broadcast(&c->changed);
    if (!c->on_ready)
        return;
    c->ready_again = true;
    if (c->in_ready)
        return;
    c->in_ready = true;
    c->refs++;
    c->next_ready = NULL;
    *s->ready_tail = c;
    s->ready_tail = &c->next_ready;
}

void call_cancel(struct nrpc_call *c)
{
    if (c->cancelled)
        return;
    c->cancelled = true;
    call_detach(c);
    for (struct call_child *child = c->children; child; child = child->next) {
        child->cancelled = true;
        server_run_errand(c->server, channel_ref(child->channel), NULL, child->id);
    }
    call_changed(c);
}

void call_adopt(struct nrpc_call *parent, struct call_child *child)
{
    struct nrpc_server *s = parent->server;
    server_ref(s);
    server_lock(s);
    child->server = s;
    child->next = parent->children;
    child->at = &parent->children;
    if (child->next)
        child->next->at = &child->next;
    parent->children = child;
    if (parent->cancelled)
        child->cancelled = true;
    server_unlock(s);
}

void call_leave(struct call_child *child)
{
    struct nrpc_server *s = child->server;
    if (!s)
        return;
    server_lock(s);
    if (child->at) {
        *child->at = child->next;
        if (child->next)
            child->next->at = child->at;
    }
    server_unlock(s);
    server_unref(s);
}
