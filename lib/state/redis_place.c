// SPDX-License-Identifier: Apache-2.0
// redis_place.c: addresses, what error replies mean, and finding the server.
#include "state/redis_place.h"

#include "base/mem.h"
#include "base/url.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PORT = 6379, SENTINEL_PORT = 26379, DATABASE_MAX = 9999, HOPS_MAX = 5 };

enum kind { TCP, UNIX, SENTINEL, CLUSTER };

struct host {
    char name[256]; // "": not known
    unsigned port;
};

struct redis_place {
    struct url url;
    enum kind kind;
    char name[320], key[40], socket_path[110];
    unsigned database;
    pthread_mutex_t mu;
    struct host owner; // of a cluster: who had the key when it was last asked for
};

// ---- addresses

static const struct {
    const char *scheme;
    enum kind kind;
    unsigned port;
} schemes[] = {{"redis", TCP, PORT},
               {"redis+unix", UNIX, PORT},
               {"redis+sentinel", SENTINEL, SENTINEL_PORT},
               {"redis+cluster", CLUSTER, PORT}};

bool redis_place_names_cluster(const char *address)
{
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        size_t n = strlen(schemes[i].scheme);
        if (schemes[i].kind == CLUSTER && !strncmp(address, schemes[i].scheme, n) && address[n] == ':')
            return true;
    }
    return false;
}

static int read_database(struct redis_place *p, const char *text, struct nrpc_status *st)
{
    char *end;
    unsigned long n = text && *text ? strtoul(text, &end, 10) : 0;
    if (text && *text && (*end || n > DATABASE_MAX))
        return status_set(st, NRPC_INVALID_ARGUMENT, "\"%s\" is no number of a Redis database", text);
    if (n && p->kind == CLUSTER)
        return status_set(st, NRPC_INVALID_ARGUMENT, "%s: a Redis Cluster has database 0 only", p->name);
    p->database = (unsigned)n;
    return NRPC_OK;
}

static void write_name(struct redis_place *p)
{
    size_t size = sizeof p->name, n = (size_t)snprintf(p->name, size, "%s://", p->url.scheme);
    for (size_t i = 0; i < p->url.host_count && n < size; i++)
        n += (size_t)snprintf(p->name + n, size - n, "%s%s:%u", i ? "," : "", p->url.hosts[i].name,
                              p->url.hosts[i].port);
    if (n < size && *p->url.path)
        n += (size_t)snprintf(p->name + n, size - n, "/%s", p->url.path);
    if (n < size && *p->key)
        snprintf(p->name + n, size - n, ", %s", p->key);
}

// What an address must have, and what it must not.
static int check_parts(struct redis_place *p, struct nrpc_status *st)
{
    const struct {
        bool is_wrong;
        const char *why;
    } rules[] = {
        {p->kind != UNIX && !p->url.host_count, "no host"},
        {p->kind == TCP && p->url.host_count > 1,
         "several hosts are for redis+sentinel:// and redis+cluster://"},
        {p->kind == SENTINEL && !*p->url.path, "no name of the master"},
        {p->kind == CLUSTER && !*p->key, "a Redis Cluster is not expected here"},
        {p->kind == UNIX && strlen(p->url.path) + 1 >= sizeof p->socket_path,
         "the path is too long for a socket"},
    };
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (rules[i].is_wrong)
            return status_set(st, NRPC_INVALID_ARGUMENT, "%s: %s", p->name, rules[i].why);
    return NRPC_OK;
}

static int read_address(struct redis_place *p, const char *address, struct nrpc_status *st)
{
    if (url_parse(address, &p->url, st))
        return st->code;
    size_t i = 0, count = sizeof schemes / sizeof *schemes;
    while (i < count && strcmp(schemes[i].scheme, p->url.scheme) != 0)
        i++;
    if (i == count)
        return status_set(st, NRPC_INVALID_ARGUMENT,
                          "%s: there are redis://, redis+unix://, redis+sentinel:// and redis+cluster://",
                          p->url.scheme);
    p->kind = schemes[i].kind;
    for (size_t k = 0; k < p->url.host_count; k++)
        if (!p->url.hosts[k].port)
            p->url.hosts[k].port = schemes[i].port;
    write_name(p);
    if (check_parts(p, st))
        return st->code;
    if (p->kind == UNIX)
        snprintf(p->socket_path, sizeof p->socket_path, "/%s", p->url.path);
    bool is_path = p->kind == TCP || p->kind == CLUSTER;
    return read_database(p, is_path ? p->url.path : url_query(&p->url, "db"), st);
}

int redis_place_create(const char *address, const char *key, struct redis_place **out, struct nrpc_status *st)
{
    struct redis_place *p = mem_calloc(1, sizeof *p);
    pthread_mutex_init(&p->mu, NULL);
    snprintf(p->key, sizeof p->key, "%s", key ? key : "");
    int code = read_address(p, address, st);
    if (code)
        redis_place_destroy(p);
    *out = code ? NULL : p;
    return code;
}

void redis_place_destroy(struct redis_place *p)
{
    if (!p)
        return;
    url_fini(&p->url);
    pthread_mutex_destroy(&p->mu);
    free(p);
}

const char *redis_place_name(const struct redis_place *p)
{
    return p->name;
}

bool redis_place_is_cluster(const struct redis_place *p)
{
    return p->kind == CLUSTER;
}

bool redis_place_has_failover(const struct redis_place *p)
{
    return p->kind == SENTINEL || p->kind == CLUSTER;
}

// ---- errors

int redis_place_lost(const struct redis_place *p, const char *why, struct nrpc_status *st)
{
    return status_set(st, NRPC_UNAVAILABLE, "Redis at %s: %s", p->name, why);
}

// hiredis leaves that to errno, and to the text that it made of it.
bool redis_place_is_late(const redisContext *c)
{
    return c->err == REDIS_ERR_IO && !strcmp(c->errstr, strerror(EAGAIN));
}

bool redis_place_has_moved(const redisContext *c)
{
    return c->err == REDIS_ERR_OTHER && !strncmp(c->errstr, "MOVED ", 6);
}

int redis_place_broke(const struct redis_place *p, const redisContext *c, struct nrpc_status *st)
{
    return redis_place_is_late(c) ? status_set(st, NRPC_UNAVAILABLE, "Redis at %s: no answer within %d ms",
                                               p->name, REDIS_ANSWER_MS)
                                  : redis_place_lost(p, c->errstr, st);
}

// How error replies begin that pass by themselves; and whether another connection may find a better server.
// A script names a key that never exists, so all of a slot is refused (ASK) while Redis moves it, and nothing
// is done with half of it.
static const struct {
    const char *text;
    bool reconnect;
    const char *means; // NULL: the text says it
} passing[] = {
    {"OOM", false, NULL},
    {"MISCONF", false, NULL},
    {"BUSY", false, NULL},
    {"NOREPLICAS", false, NULL},
    {"READONLY", true, NULL},
    {"LOADING", true, NULL},
    {"MASTERDOWN", true, NULL},
    {"NOAUTH", true, NULL},
    {"WRONGPASS", true, NULL},
    {"NOPERM", true, NULL},
    {"ERR AUTH", true, NULL},
    {"ERR invalid password", true, NULL},
    {"CLUSTERDOWN", true, NULL},
    {"ASK ", false, "its slot is being moved to another server"},
    {"TRYAGAIN", false, "its slot is being moved to another server"},
    {"MOVED ", true, "its slot is another server's"},
    {"ERR max number of clients", true, NULL},
};

int redis_place_refused(const struct redis_place *p, redisContext *c, const char *text,
                        struct nrpc_status *st)
{
    if (p->kind != CLUSTER && !strncmp(text, "MOVED ", 6))
        return status_set(st, NRPC_FAILED_PRECONDITION,
                          "Redis at %s is a server of a Redis Cluster: name it as redis+cluster://", p->name);
    for (size_t i = 0; i < sizeof passing / sizeof *passing; i++)
        if (!strncmp(text, passing[i].text, strlen(passing[i].text))) {
            c->err = passing[i].reconnect ? REDIS_ERR_OTHER : c->err;
            if (passing[i].reconnect)
                snprintf(c->errstr, sizeof c->errstr, "%s", text);
            return passing[i].means ? status_set(st, NRPC_UNAVAILABLE, "Redis at %s: %s (%s)", p->name,
                                                 passing[i].means, text)
                                    : redis_place_lost(p, text, st);
        }
    return status_set(st, NRPC_INTERNAL, "Redis at %s: %s", p->name, text);
}

int redis_place_command(const struct redis_place *p, redisContext *c, size_t count, const char *const *args,
                        const size_t *lengths, redisReply **out, struct nrpc_status *st)
{
    redisReply *reply = redisCommandArgv(c, (int)count, (const char **)args, lengths);
    *out = NULL;
    if (!reply)
        return redis_place_broke(p, c, st);
    if (reply->type == REDIS_REPLY_ERROR) {
        int code = redis_place_refused(p, c, reply->str, st);
        freeReplyObject(reply);
        return code;
    }
    *out = reply;
    return NRPC_OK;
}

// out NULL: only whether it was done.
static int simple(const struct redis_place *p, redisContext *c, size_t count, const char *const *args,
                  redisReply **out, struct nrpc_status *st)
{
    size_t lengths[8];
    redisReply *reply;
    for (size_t i = 0; i < count; i++)
        lengths[i] = strlen(args[i]);
    int code = redis_place_command(p, c, count, args, lengths, &reply, st);
    if (out)
        *out = reply;
    else if (reply)
        freeReplyObject(reply);
    return code;
}

// ---- connecting

static redisContext *dial(const char *host, unsigned port, const char *path)
{
    struct timeval connect = {REDIS_CONNECT_MS / 1000, REDIS_CONNECT_MS % 1000 * 1000};
    struct timeval answer = {REDIS_ANSWER_MS / 1000, REDIS_ANSWER_MS % 1000 * 1000};
    redisContext *c =
        path ? redisConnectUnixWithTimeout(path, connect) : redisConnectWithTimeout(host, (int)port, connect);
    if (!c)
        mem_exhausted(sizeof *c);
    if (!c->err)
        redisSetTimeout(c, answer);
    if (!c->err && !path)
        redisEnableKeepAlive(c);
    return c;
}

static int introduce(const struct redis_place *p, redisContext *c, struct nrpc_status *st)
{
    char database[16];
    const char *password = p->url.password;
    const char *name = p->url.user && *p->url.user ? p->url.user : NULL;
    if (!password && name) { // redis://secret@host is read as a password, as other clients do
        password = name;
        name = NULL;
    }
    const char *auth[] = {"AUTH", name ? name : password, password};
    if (password && simple(p, c, name ? 3 : 2, auth, NULL, st))
        return st->code;
    snprintf(database, sizeof database, "%u", p->database);
    const char *select[] = {"SELECT", database};
    return p->database ? simple(p, c, 2, select, NULL, st) : NRPC_OK;
}

// NULL: *st says why.
static redisContext *open_at(const struct redis_place *p, const char *host, unsigned port, const char *path,
                             struct nrpc_status *st)
{
    redisContext *c = dial(host, port, path);
    int code = c->err ? redis_place_lost(p, c->errstr, st) : introduce(p, c, st);
    if (!code)
        return c;
    redisFree(c);
    return NULL;
}

// ---- Sentinel

// Asks one Sentinel; false: it does not know.
static bool ask_sentinel(const struct redis_place *p, size_t i, struct host *out)
{
    redisContext *c = dial(p->url.hosts[i].name, p->url.hosts[i].port, NULL);
    redisReply *reply = NULL;
    const char *args[] = {"SENTINEL", "get-master-addr-by-name", p->url.path};
    bool found = !c->err && simple(p, c, 3, args, &reply, NULL) == NRPC_OK && reply &&
                 reply->type == REDIS_REPLY_ARRAY && reply->elements == 2;
    if (found) {
        snprintf(out->name, sizeof out->name, "%s", reply->element[0]->str);
        out->port = (unsigned)strtoul(reply->element[1]->str, NULL, 10);
    }
    if (reply)
        freeReplyObject(reply);
    redisFree(c);
    return found;
}

static int find_master(const struct redis_place *p, struct host *out, struct nrpc_status *st)
{
    for (size_t i = 0; i < p->url.host_count; i++)
        if (ask_sentinel(p, i, out))
            return NRPC_OK;
    return redis_place_lost(p, "no Sentinel answers with the master's address", st);
}

// A server that was the master until a moment ago may still answer.
static int check_master(const struct redis_place *p, redisContext *c, struct nrpc_status *st)
{
    redisReply *reply;
    const char *args[] = {"ROLE"};
    int code = simple(p, c, 1, args, &reply, st);
    if (code || !reply)
        return code;
    bool master =
        reply->type == REDIS_REPLY_ARRAY && reply->elements && !strcmp(reply->element[0]->str, "master");
    freeReplyObject(reply);
    return master ? NRPC_OK
                  : redis_place_lost(p, "the server that the Sentinel names is not the master yet", st);
}

static redisContext *open_master(struct redis_place *p, struct nrpc_status *st)
{
    struct host at = {.name = ""};
    if (find_master(p, &at, st))
        return NULL;
    redisContext *c = open_at(p, at.name, at.port, NULL, st);
    if (!c || check_master(p, c, st) == NRPC_OK)
        return c;
    redisFree(c);
    return NULL;
}

// ---- Redis Cluster

static struct host get_owner(struct redis_place *p)
{
    pthread_mutex_lock(&p->mu);
    struct host owner = p->owner;
    pthread_mutex_unlock(&p->mu);
    return owner;
}

static void set_owner(struct redis_place *p, const struct host *owner)
{
    pthread_mutex_lock(&p->mu);
    p->owner = *owner;
    pthread_mutex_unlock(&p->mu);
}

// "MOVED slot host:port"; no host: the same as before.
static bool read_moved(const char *text, struct host *inout)
{
    const char *at = strchr(text + 6, ' '), *colon = at ? strrchr(at, ':') : NULL;
    if (!colon)
        return false;
    if (colon > at + 1)
        snprintf(inout->name, sizeof inout->name, "%.*s", (int)(colon - at - 1), at + 1);
    inout->port = (unsigned)strtoul(colon + 1, NULL, 10);
    return true;
}

enum owner { IS_OWNER, IS_ANOTHER, IS_UNKNOWN };

// Whether this server has the key; if it names another one, that in *at. While the slot is being moved it is
// still this one's.
static enum owner ask_owner(const struct redis_place *p, redisContext *c, struct host *at,
                            struct nrpc_status *st)
{
    const char *is_cluster[] = {"CLUSTER", "KEYSLOT", p->key}, *exists[] = {"EXISTS", p->key};
    if (simple(p, c, 3, is_cluster, NULL, st)) {
        if (!c->err)
            status_set(st, NRPC_FAILED_PRECONDITION,
                       "Redis at %s: %s:%u is no server of a Redis Cluster: name it as redis://", p->name,
                       at->name, at->port);
        return IS_UNKNOWN;
    }
    if (simple(p, c, 2, exists, NULL, st) == NRPC_OK || !c->err)
        return IS_OWNER;
    return redis_place_has_moved(c) && read_moved(c->errstr, at) ? IS_ANOTHER : IS_UNKNOWN;
}

// Beginning at one server, on to those that are named as the owner; NULL: none is. *failed is one that could
// not be reached, and is not tried again.
static redisContext *follow(struct redis_place *p, struct host at, struct host *failed,
                            struct nrpc_status *st)
{
    for (int hops = 0; hops < HOPS_MAX; hops++) {
        struct host asked = at;
        if (at.port == failed->port && !strcmp(at.name, failed->name))
            return NULL;
        redisContext *c = open_at(p, at.name, at.port, NULL, st);
        if (!c) {
            *failed = at;
            return NULL;
        }
        enum owner owner = ask_owner(p, c, &at, st);
        if (owner == IS_OWNER) {
            set_owner(p, &asked);
            return c;
        }
        redisFree(c);
        if (owner == IS_UNKNOWN)
            return NULL;
    }
    redis_place_lost(p, "its servers name each other as the slot's owner", st);
    return NULL;
}

static redisContext *open_owner(struct redis_place *p, struct nrpc_status *st)
{
    struct host at = get_owner(p), failed = {.name = ""};
    struct nrpc_status own = {0}; // of a server that named another one nothing stays
    redisContext *c = *at.name ? follow(p, at, &failed, &own) : NULL;
    for (size_t i = 0; !c && i < p->url.host_count; i++) {
        snprintf(at.name, sizeof at.name, "%s", p->url.hosts[i].name);
        at.port = p->url.hosts[i].port;
        c = follow(p, at, &failed, &own);
    }
    if (!c)
        *st = own;
    return c;
}

// ---- the table

static redisContext *open_tcp(struct redis_place *p, struct nrpc_status *st)
{
    return open_at(p, p->url.hosts[0].name, p->url.hosts[0].port, NULL, st);
}

static redisContext *open_unix(struct redis_place *p, struct nrpc_status *st)
{
    return open_at(p, NULL, 0, p->socket_path, st);
}

int redis_place_connect(struct redis_place *p, redisContext **out, struct nrpc_status *st)
{
    static redisContext *(*const open[])(struct redis_place * p, struct nrpc_status * st) = {
        [TCP] = open_tcp, [UNIX] = open_unix, [SENTINEL] = open_master, [CLUSTER] = open_owner};
    struct nrpc_status own = {0};
    st = st ? st : &own;
    *out = open[p->kind](p, st);
    return *out ? NRPC_OK : st->code;
}
