// SPDX-License-Identifier: Apache-2.0
// resolve.c: resolves names in a thread, adds connections for new addresses, retires those of old ones.
#include "nrpc/resolve.h"

#include "base/log.h"
#include "base/wait.h"
#include "nrpc/channel.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAMES_MAX = 16, ADDRESSES_MAX = 64, URL_SIZE = 80, ANXIOUS_MS = 1000 };

struct name {
    char *host, *port;
    const char *scheme;
};

struct resolver {
    struct nrpc_channel *channel;
    pthread_t thread;
    pthread_mutex_t mu;
    pthread_cond_t stop;
    bool running, stopping;
    struct name names[NAMES_MAX];
    size_t name_count;
};

static const struct {
    const char *prefix, *scheme;
} kinds[] = {{"dns:///", "tcp"}, {"dns+tls:///", "tls+tcp"}};

static const char *scheme_of(const char *url, const char **rest)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (!strncmp(url, kinds[i].prefix, strlen(kinds[i].prefix))) {
            *rest = url + strlen(kinds[i].prefix);
            return kinds[i].scheme;
        }
    return NULL;
}

bool resolver_is_for(const char *url)
{
    return !strncmp(url, "dns", 3);
}

// ---- one round

struct addresses {
    char urls[ADDRESSES_MAX][URL_SIZE];
    size_t count;
};

static void add_address(struct addresses *out, const char *scheme, const struct addrinfo *ai)
{
    char host[NI_MAXHOST], port[NI_MAXSERV], url[URL_SIZE];
    if (out->count == ADDRESSES_MAX || getnameinfo(ai->ai_addr, ai->ai_addrlen, host, sizeof host, port,
                                                   sizeof port, NI_NUMERICHOST | NI_NUMERICSERV))
        return;
    bool v6 = ai->ai_family == AF_INET6;
    if (snprintf(url, sizeof url, "%s://%s%s%s:%s", scheme, v6 ? "[" : "", host, v6 ? "]" : "", port) >=
        URL_SIZE)
        return;
    for (size_t i = 0; i < out->count; i++)
        if (!strcmp(out->urls[i], url))
            return;
    memcpy(out->urls[out->count++], url, sizeof url);
}

// false: a name could not be resolved, so that the list is not complete.
static bool resolve(const struct resolver *r, struct addresses *out)
{
    bool complete = true;
    out->count = 0;
    for (size_t i = 0; i < r->name_count; i++) {
        const struct name *n = &r->names[i];
        struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG | AI_NUMERICSERV},
                        *list;
        int rv = getaddrinfo(n->host, n->port, &hints, &list);
        if (rv) {
            log_warn("cannot resolve %s: %s", n->host, gai_strerror(rv));
            complete = false;
            continue;
        }
        for (const struct addrinfo *ai = list; ai; ai = ai->ai_next)
            add_address(out, n->scheme, ai);
        freeaddrinfo(list);
    }
    return complete;
}

static bool is_listed(const struct addresses *a, const char *url)
{
    for (size_t i = 0; i < a->count; i++)
        if (!strcmp(a->urls[i], url))
            return true;
    return false;
}

// Lets go of what is not listed any more; true in known[i]: there is a connection to i that stays.
static void compare(struct nrpc_channel *ch, const struct addresses *a, bool complete,
                    bool known[ADDRESSES_MAX])
{
    channel_lock(ch);
    for (size_t i = 0; i < ch->connection_count; i++) {
        struct connection *c = ch->connections[i];
        for (size_t k = 0; k < a->count; k++)
            known[k] |= (!c->going || c->replace) && !strcmp(a->urls[k], c->url);
        if (c->resolved && complete && !is_listed(a, c->url)) {
            endpoints_let_go(c, false);
            c->replace = false;
        }
    }
    channel_pump(ch);
    channel_unlock(ch);
}

static void apply(struct nrpc_channel *ch, const struct addresses *a, bool complete)
{
    bool known[ADDRESSES_MAX] = {false};
    struct nrpc_status st;
    compare(ch, a, complete, known);
    for (size_t i = 0; i < a->count; i++)
        if (!known[i] && endpoints_add(ch, a->urls[i], true, &st))
            log_warn("%s", st.text);
}

static void *run(void *arg)
{
    struct resolver *r = arg;
    struct nrpc_channel *ch = r->channel;
    struct addresses a;
    pthread_mutex_lock(&r->mu);
    while (!r->stopping) {
        pthread_mutex_unlock(&r->mu);
        bool complete = resolve(r, &a);
        apply(ch, &a, complete);
        int64_t pause_ms = ch->options.resolve_ms;
        if (!nrpc_channel_is_connected(ch) && pause_ms > ANXIOUS_MS)
            pause_ms = ANXIOUS_MS;
        struct timespec until = wait_until(pause_ms);
        pthread_mutex_lock(&r->mu);
        while (!r->stopping && pthread_cond_timedwait(&r->stop, &r->mu, &until) == 0)
            ;
    }
    pthread_mutex_unlock(&r->mu);
    return NULL;
}

// ---- life

static void resolver_free(struct resolver *r)
{
    for (size_t i = 0; i < r->name_count; i++) {
        free(r->names[i].host);
        free(r->names[i].port);
    }
    pthread_mutex_destroy(&r->mu);
    pthread_cond_destroy(&r->stop);
    free(r);
}

int resolver_add(struct nrpc_channel *ch, const char *url, struct nrpc_status *st)
{
    const char *rest, *scheme = scheme_of(url, &rest), *colon = scheme ? strrchr(rest, ':') : NULL;
    if (!colon || colon == rest || !colon[1])
        return status_set(st, NRPC_INVALID_ARGUMENT,
                          "\"%s\" is no url like dns:///host:port or dns+tls:///host:port", url);
    if (!ch->resolver) {
        struct resolver *r = ch->resolver = mem_calloc(1, sizeof *r);
        r->channel = ch;
        pthread_mutex_init(&r->mu, NULL);
        wait_cond_init(&r->stop);
    }
    struct resolver *r = ch->resolver;
    if (r->name_count == NAMES_MAX)
        return status_set(st, NRPC_INVALID_ARGUMENT, "more than %d names to resolve", NAMES_MAX);
    struct name *n = &r->names[r->name_count++];
    *n = (struct name){mem_dup(rest, (size_t)(colon - rest) + 1), mem_strdup(colon + 1), scheme};
    n->host[colon - rest] = 0;
    return NRPC_OK;
}

int resolver_start(struct resolver *r, struct nrpc_status *st)
{
    int rv = r ? pthread_create(&r->thread, NULL, run, r) : 0;
    if (r && !rv)
        r->running = true;
    return rv ? status_errno(st, rv, "cannot resolve names") : NRPC_OK;
}

void resolver_stop(struct resolver *r)
{
    if (!r)
        return;
    pthread_mutex_lock(&r->mu);
    r->stopping = true;
    pthread_cond_signal(&r->stop);
    pthread_mutex_unlock(&r->mu);
    if (r->running)
        pthread_join(r->thread, NULL);
    resolver_free(r);
}
