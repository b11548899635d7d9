// SPDX-License-Identifier: Apache-2.0
// health.c: the statuses of services, and those who watch them.
//
// One mutex guards everything. Calls are never touched under it, since sending may run the on_ready of
// another call: one thread at a time, whichever has something to tell, attends to the watches that are due.
#include "nrpc/services/health.h"

#include "base/mem.h"
#include "nrpc/v1/health.nrpc.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

enum {
    NONE = -1, // no status yet
    SERVICE_UNKNOWN = NRPC__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVICE_UNKNOWN,
};

struct service {
    UT_hash_handle hh;
    int status;
    char name[];
};

struct watch {                     // in its call's memory
    struct watch *previous, *next; // in the ring, or to itself
    struct nrpc_health *health;
    struct nrpc_call *call;
    const char *service;
    int sent;
    bool due, over;
};

struct nrpc_health {
    pthread_mutex_t mu;
    struct service *services; // hash by name
    struct watch ring; // begins and ends with this one, which stands for none; those that are due come first
    bool attending;    // a thread is at it
    bool shut_down;
};

// ---- statuses; under the mutex

static int status_of(const struct nrpc_health *h, const char *service)
{
    struct service *s;
    HASH_FIND_STR(h->services, service, s);
    return s ? s->status : NONE;
}

static void set_status(struct nrpc_health *h, const char *service, int status)
{
    struct service *s;
    HASH_FIND_STR(h->services, service, s);
    if (!s) {
        size_t size = strlen(service) + 1;
        s = mem_calloc(1, sizeof *s + size);
        memcpy(s->name, service, size);
        HASH_ADD_KEYPTR(hh, h->services, s->name, size - 1, s);
    }
    s->status = status;
}

// ---- watches

static void leave_ring(struct watch *w)
{
    w->previous->next = w->next;
    w->next->previous = w->previous;
    w->previous = w->next = w;
}

static void join_ring(struct watch *w, struct watch *next)
{
    w->previous = next->previous;
    w->next = next;
    w->previous->next = next->previous = w;
}

// Sends the status if the watcher does not know it yet. Anything but NRPC_OK: the watch is over.
static int tell(struct watch *w, int status)
{
    Nrpc__V1__HealthCheckResponse r = NRPC__V1__HEALTH_CHECK_RESPONSE__INIT;
    if (nrpc_call_is_cancelled(w->call))
        return NRPC_CANCELLED;
    if (status == w->sent)
        return NRPC_OK;
    r.status = (Nrpc__V1__HealthCheckResponse__ServingStatus)status;
    int code = nrpc_v1_health_watch_send(w->call, &r);
    if (code == NRPC_WOULD_BLOCK) // on_ready will run again
        return NRPC_OK;
    w->sent = status;
    return code;
}

// Under the mutex, which it gives back for a while. Attends also to what falls due meanwhile.
static void attend(struct nrpc_health *h)
{
    if (h->attending)
        return;
    h->attending = true;
    while (h->ring.next->due) {
        struct watch *w = h->ring.next;
        struct nrpc_call *call = w->call;
        int status = status_of(h, w->service);
        bool shut_down = h->shut_down;
        w->due = false;
        leave_ring(w);
        join_ring(w, &h->ring);
        pthread_mutex_unlock(&h->mu);
        int code = tell(w, status == NONE ? SERVICE_UNKNOWN : status);
        pthread_mutex_lock(&h->mu);
        if (!code && !shut_down)
            continue;
        w->over = true; // for an on_ready that is on its way
        leave_ring(w);
        pthread_mutex_unlock(&h->mu);
        if (code)
            nrpc_reply_error(call, code, "the watch ended with %s", nrpc_code_name(code));
        else
            nrpc_reply_error(call, NRPC_UNAVAILABLE, "the server shuts down");
        pthread_mutex_lock(&h->mu);
    }
    h->attending = false;
}

static void watch_ready(void *user, struct nrpc_call *call)
{
    (void)call;
    struct watch *w = user;
    struct nrpc_health *h = w->health;
    pthread_mutex_lock(&h->mu);
    if (!w->over) {
        w->due = true;
        leave_ring(w);
        join_ring(w, h->ring.next);
        attend(h);
    }
    pthread_mutex_unlock(&h->mu);
}

static void attend_all(struct nrpc_health *h)
{
    for (struct watch *w = h->ring.next; w != &h->ring; w = w->next)
        w->due = true;
    attend(h);
}

// ---- the methods

static void on_check(struct nrpc_call *call, const Nrpc__V1__HealthCheckRequest *q, void *user)
{
    struct nrpc_health *h = user;
    Nrpc__V1__HealthCheckResponse r = NRPC__V1__HEALTH_CHECK_RESPONSE__INIT;
    pthread_mutex_lock(&h->mu);
    int status = status_of(h, q->service);
    pthread_mutex_unlock(&h->mu);
    if (status == NONE) {
        nrpc_reply_error(call, NRPC_NOT_FOUND, "no service \"%s\" has a status here", q->service);
        return;
    }
    r.status = (Nrpc__V1__HealthCheckResponse__ServingStatus)status;
    nrpc_v1_health_check_reply(call, &r);
}

static void on_watch(struct nrpc_call *call, const Nrpc__V1__HealthCheckRequest *q, void *user)
{
    struct watch *w = nrpc_call_alloc(call, sizeof *w);
    if (!w) {
        nrpc_reply_error(call, NRPC_RESOURCE_EXHAUSTED, "the call's memory is used up");
        return;
    }
    *w = (struct watch){w, w, .health = user, .call = call, .service = q->service, .sent = NONE};
    nrpc_call_on_ready(call, watch_ready, w);
}

static const struct nrpc_v1_health_handlers handlers = {.check = on_check, .watch = on_watch};

// ---- what the program does

struct nrpc_health *nrpc_health_create(void)
{
    struct nrpc_health *h = mem_calloc(1, sizeof *h);
    h->ring.previous = h->ring.next = &h->ring;
    pthread_mutex_init(&h->mu, NULL);
    set_status(h, "", NRPC_HEALTH_SERVING);
    return h;
}

void nrpc_health_destroy(struct nrpc_health *h)
{
    if (!h)
        return;
    struct service *s, *next;
    HASH_ITER(hh, h->services, s, next)
    {
        HASH_DEL(h->services, s);
        free(s);
    }
    pthread_mutex_destroy(&h->mu);
    free(h);
}

int nrpc_health_add(struct nrpc_health *h, struct nrpc_server *server, struct nrpc_status *st)
{
    int code = nrpc_v1_health_register(server, NRPC_INLINE, &handlers, h, st);
    if (code)
        return code;
    return nrpc_server_limit(server, nrpc_v1_health.methods[NRPC_V1_HEALTH_WATCH].name,
                             NRPC_HEALTH_WATCHES_MAX, st);
}

void nrpc_health_set(struct nrpc_health *h, const char *service, enum nrpc_health_status status)
{
    pthread_mutex_lock(&h->mu);
    if (!h->shut_down) {
        set_status(h, service, (int)status);
        attend_all(h);
    }
    pthread_mutex_unlock(&h->mu);
}

void nrpc_health_shutdown(struct nrpc_health *h)
{
    pthread_mutex_lock(&h->mu);
    h->shut_down = true;
    for (struct service *s = h->services; s; s = s->hh.next)
        s->status = NRPC_HEALTH_NOT_SERVING;
    attend_all(h);
    pthread_mutex_unlock(&h->mu);
}
