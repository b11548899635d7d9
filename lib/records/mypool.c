// SPDX-License-Identifier: Apache-2.0
// mypool.c: the connections of one MySQL record store. The lock is there because calls come from any thread;
// nothing blocks under it.
#include "records/mypool.h"

#include "base/mem.h"
#include "base/wait.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

enum { SQL_KEPT_BYTES = 2 << 20 };

struct mypool {
    struct myurl url;
    struct mypool_options options;
    pthread_mutex_t lock;
    pthread_cond_t given;
    struct myconn *places;
    struct myconn **free; // a stack: what was used last is taken first
    unsigned free_count;
};

int mypool_create(const char *url, const struct mypool_options *o, struct mypool **out,
                  struct nrpc_status *st)
{
    struct mypool *p = mem_calloc(1, sizeof *p);
    p->options = *o;
    pthread_mutex_init(&p->lock, NULL);
    wait_cond_init(&p->given);
    p->places = mem_calloc(o->connections, sizeof *p->places);
    p->free = mem_calloc(o->connections, sizeof *p->free);
    for (p->free_count = 0; p->free_count < o->connections; p->free_count++)
        p->free[p->free_count] = &p->places[p->free_count];
    int code = myurl_init(&p->url, url, st);
    if (code)
        mypool_destroy(p);
    else
        *out = p;
    return code;
}

void mypool_destroy(struct mypool *p)
{
    if (!p)
        return;
    for (unsigned i = 0; i < p->options.connections; i++)
        myconn_fini(&p->places[i]);
    free(p->places);
    free(p->free);
    pthread_cond_destroy(&p->given);
    pthread_mutex_destroy(&p->lock);
    myurl_fini(&p->url);
    free(p);
}

int mypool_take(struct mypool *p, struct myconn **out, struct nrpc_status *st)
{
    struct timespec until = wait_until(p->options.wait_ms);
    pthread_mutex_lock(&p->lock);
    while (!p->free_count && pthread_cond_timedwait(&p->given, &p->lock, &until) != ETIMEDOUT)
        ;
    *out = p->free_count ? p->free[--p->free_count] : NULL;
    pthread_mutex_unlock(&p->lock);
    if (!*out)
        return status_set(st, NRPC_UNAVAILABLE, "all %u connections to the database are in use",
                          p->options.connections);
    return NRPC_OK;
}

void mypool_give(struct mypool *p, struct myconn *c)
{
    if (c->sql.capacity > SQL_KEPT_BYTES)
        sqltext_fini(&c->sql);
    pthread_mutex_lock(&p->lock);
    p->free[p->free_count++] = c;
    pthread_cond_signal(&p->given);
    pthread_mutex_unlock(&p->lock);
}

int mypool_connect(struct mypool *p, struct myconn *c, struct nrpc_status *st)
{
    return c->mysql ? NRPC_OK : myconn_open(c, &p->url, &p->options.limits, st);
}
