// SPDX-License-Identifier: Apache-2.0
// mypool.c: the connections of one MySQL record store. The lock is there because calls come from any thread;
// nothing blocks under it.
#include "records/mypool.h"

#include "base/mem.h"
#include "base/wait.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>

enum {
    SQL_KEPT_BYTES = 2 << 20,
    OPENS_MAX = 3, // hosts tried by one call
};

struct mypool {
    struct myurl url;
    struct mypool_options options;
    struct myhosts *hosts;
    pthread_mutex_t lock;
    uint64_t generation; // connections of earlier ones are of no use
    pthread_cond_t given;
    struct myconn *places;
    struct myconn **free; // a stack: what was used last is taken first
    unsigned free_count;
};

static void leave(void *user, uint64_t generation)
{
    struct mypool *p = user;
    pthread_mutex_lock(&p->lock);
    p->generation = generation;
    for (unsigned i = 0; i < p->options.connections; i++)
        if (p->places[i].fd >= 0)
            shutdown(p->places[i].fd, SHUT_RDWR);
    pthread_mutex_unlock(&p->lock);
}

int mypool_create(const char *url, const struct mypool_options *o, struct mypool **out,
                  struct nrpc_status *st)
{
    struct mypool *p = mem_calloc(1, sizeof *p);
    p->options = *o;
    pthread_mutex_init(&p->lock, NULL);
    wait_cond_init(&p->given);
    p->places = mem_calloc(o->connections, sizeof *p->places);
    p->free = mem_calloc(o->connections, sizeof *p->free);
    for (p->free_count = 0; p->free_count < o->connections; p->free_count++) {
        p->free[p->free_count] = &p->places[p->free_count];
        p->places[p->free_count].fd = -1;
    }
    int code = myurl_init(&p->url, url, st);
    if (code) {
        mypool_destroy(p);
        return code;
    }
    p->hosts = myhosts_create(&p->url, leave, p);
    *out = p;
    return NRPC_OK;
}

void mypool_destroy(struct mypool *p)
{
    if (!p)
        return;
    myhosts_destroy(p->hosts);
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

// False: the host was left while the connection was made.
static bool put_in_use(struct mypool *p, struct myconn *c, uint64_t generation)
{
    pthread_mutex_lock(&p->lock);
    bool is_of_use = generation >= p->generation;
    c->fd = is_of_use ? c->mysql->net.fd : -1;
    pthread_mutex_unlock(&p->lock);
    return is_of_use;
}

int mypool_connect(struct mypool *p, struct myconn *c, struct nrpc_status *st)
{
    int code = NRPC_OK;
    for (int opens = 0; opens < OPENS_MAX; opens++) {
        struct myuse use;
        code = myhosts_use(p->hosts, &use, st);
        if (code)
            break;
        if (c->mysql && c->generation == use.generation)
            return NRPC_OK;
        mypool_disconnect(p, c);
        c->generation = use.generation;
        code = myconn_open(c, &p->url, use.host, &p->options.limits, st);
        if (!code && put_in_use(p, c, use.generation))
            return NRPC_OK;
        if (code && !mypool_doubt(p, c))
            break;
    }
    mypool_disconnect(p, c);
    return code ? code : status_set(st, NRPC_UNAVAILABLE, "the hosts of the database come and go");
}

void mypool_disconnect(struct mypool *p, struct myconn *c)
{
    pthread_mutex_lock(&p->lock);
    c->fd = -1;
    pthread_mutex_unlock(&p->lock);
    myconn_close(c);
}

bool mypool_doubt(struct mypool *p, const struct myconn *c)
{
    return myhosts_doubt(p->hosts, c->generation);
}

const struct myurl *mypool_url(const struct mypool *p)
{
    return &p->url;
}

struct myhosts *mypool_hosts(struct mypool *p)
{
    return p->hosts;
}
