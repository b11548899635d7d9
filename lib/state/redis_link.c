// SPDX-License-Identifier: Apache-2.0
// redis_link.c: a pool of connections, each used by one thread at a time.
//
// After an error or a timeout a connection is never used again: a late answer would be taken for the next
// command's. When one breaks, the others that wait in the pool are as good as broken, and go too. When an
// answer is late, those that wait for one on other connections are interrupted: the server answers nobody.
#include "state/redis_link.h"

#include "base/mem.h"
#include "base/url.h"
#include "base/wait.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { PORT = 6379, SENTINEL_PORT = 26379, DIGEST = 40, DATABASE_MAX = 9999 };

enum kind { TCP, UNIX, SENTINEL };

struct redis_link {
    struct url url;
    enum kind kind;
    char name[256], socket_path[110];
    unsigned database;
    redis_hello_fn hello;
    void *user;
    pthread_mutex_t mu;
    pthread_cond_t returned;
    redisContext *idle[REDIS_CONNECTIONS_MAX];
    size_t idle_count, open;         // open: idle ones included
    int busy[REDIS_CONNECTIONS_MAX]; // sockets of those in use
    size_t busy_count;
    unsigned long breaks; // connections that broke; one made before the last break is not kept
};

// ---- addresses

static const struct {
    const char *scheme;
    enum kind kind;
} schemes[] = {{"redis", TCP}, {"redis+unix", UNIX}, {"redis+sentinel", SENTINEL}};

static int read_database(struct redis_link *l, const char *text, struct nrpc_status *st)
{
    char *end;
    unsigned long n = text && *text ? strtoul(text, &end, 10) : 0;
    if (text && *text && (*end || n > DATABASE_MAX))
        return status_set(st, NRPC_INVALID_ARGUMENT, "\"%s\" is no number of a Redis database", text);
    l->database = (unsigned)n;
    return NRPC_OK;
}

static void write_name(struct redis_link *l)
{
    size_t n = (size_t)snprintf(l->name, sizeof l->name, "%s://", l->url.scheme);
    for (size_t i = 0; i < l->url.host_count && n < sizeof l->name; i++)
        n += (size_t)snprintf(l->name + n, sizeof l->name - n, "%s%s:%u", i ? "," : "", l->url.hosts[i].name,
                              l->url.hosts[i].port);
    if (n < sizeof l->name && *l->url.path)
        snprintf(l->name + n, sizeof l->name - n, "/%s", l->url.path);
}

static int read_address(struct redis_link *l, const char *address, struct nrpc_status *st)
{
    if (url_parse(address, &l->url, st))
        return st->code;
    size_t i = 0, count = sizeof schemes / sizeof *schemes;
    while (i < count && strcmp(schemes[i].scheme, l->url.scheme) != 0)
        i++;
    if (i == count)
        return status_set(st, NRPC_INVALID_ARGUMENT,
                          "%s: there are redis://, redis+unix:// and redis+sentinel://", l->url.scheme);
    l->kind = schemes[i].kind;
    for (size_t k = 0; k < l->url.host_count; k++)
        if (!l->url.hosts[k].port)
            l->url.hosts[k].port = l->kind == SENTINEL ? SENTINEL_PORT : PORT;
    write_name(l);
    if (l->kind != UNIX && !l->url.host_count)
        return status_set(st, NRPC_INVALID_ARGUMENT, "%s: no host", l->name);
    if (l->kind == TCP && l->url.host_count > 1)
        return status_set(st, NRPC_INVALID_ARGUMENT, "%s: several hosts are for redis+sentinel://", l->name);
    if (l->kind == SENTINEL && !*l->url.path)
        return status_set(st, NRPC_INVALID_ARGUMENT, "%s: no name of the master", l->name);
    if (l->kind == UNIX &&
        snprintf(l->socket_path, sizeof l->socket_path, "/%s", l->url.path) >= (int)sizeof l->socket_path)
        return status_set(st, NRPC_INVALID_ARGUMENT, "%s: the path is too long for a socket", l->name);
    return read_database(l, l->kind == TCP ? l->url.path : url_query(&l->url, "db"), st);
}

int redis_link_create(const char *address, redis_hello_fn hello, void *user, struct redis_link **out,
                      struct nrpc_status *st)
{
    struct redis_link *l = mem_calloc(1, sizeof *l);
    l->hello = hello;
    l->user = user;
    pthread_mutex_init(&l->mu, NULL);
    wait_cond_init(&l->returned);
    int code = read_address(l, address, st);
    if (code)
        redis_link_destroy(l);
    *out = code ? NULL : l;
    return code;
}

void redis_link_destroy(struct redis_link *l)
{
    if (!l)
        return;
    while (l->idle_count)
        redisFree(l->idle[--l->idle_count]);
    url_fini(&l->url);
    pthread_mutex_destroy(&l->mu);
    pthread_cond_destroy(&l->returned);
    free(l);
}

const char *redis_link_name(const struct redis_link *l)
{
    return l->name;
}

bool redis_link_has_sentinel(const struct redis_link *l)
{
    return l->kind == SENTINEL;
}

unsigned redis_link_database(const struct redis_link *l)
{
    return l->database;
}

// ---- errors

static int lost(const struct redis_link *l, const char *why, struct nrpc_status *st)
{
    return status_set(st, NRPC_UNAVAILABLE, "Redis at %s: %s", l->name, why);
}

// Its answer has not come in time. hiredis leaves that to errno, and to the text that it made of it.
static bool is_late(const redisContext *c)
{
    return c->err == REDIS_ERR_IO && !strcmp(c->errstr, strerror(EAGAIN));
}

// A connection failed while it was used.
static int broke(const struct redis_link *l, const redisContext *c, struct nrpc_status *st)
{
    return is_late(c) ? status_set(st, NRPC_UNAVAILABLE, "Redis at %s: no answer within %d ms", l->name,
                                   REDIS_ANSWER_MS)
                      : lost(l, c->errstr, st);
}

// How error replies begin that pass by themselves; and whether another connection may find a better server.
static const struct {
    const char *text;
    bool reconnect;
} passing[] = {
    {"OOM", false},        {"MISCONF", false},
    {"BUSY", false},       {"NOREPLICAS", false},
    {"READONLY", true},    {"LOADING", true},
    {"MASTERDOWN", true},  {"NOAUTH", true},
    {"WRONGPASS", true},   {"NOPERM", true},
    {"ERR AUTH", true},    {"ERR invalid password", true},
    {"CLUSTERDOWN", true}, {"ERR max number of clients", true},
};

static int refused(const struct redis_link *l, redisContext *c, const char *text, struct nrpc_status *st)
{
    for (size_t i = 0; i < sizeof passing / sizeof *passing; i++)
        if (!strncmp(text, passing[i].text, strlen(passing[i].text))) {
            c->err = passing[i].reconnect ? REDIS_ERR_OTHER : c->err;
            return lost(l, text, st);
        }
    return status_set(st, NRPC_INTERNAL, "Redis at %s: %s", l->name, text);
}

int redis_command_on(struct redis_link *l, redisContext *c, size_t count, const char *const *args,
                     const size_t *lengths, redisReply **out, struct nrpc_status *st)
{
    redisReply *reply = redisCommandArgv(c, (int)count, (const char **)args, lengths);
    *out = NULL;
    if (!reply)
        return broke(l, c, st);
    if (reply->type == REDIS_REPLY_ERROR) {
        int code = refused(l, c, reply->str, st);
        freeReplyObject(reply);
        return code;
    }
    *out = reply;
    return NRPC_OK;
}

static int simple(struct redis_link *l, redisContext *c, size_t count, const char *const *args,
                  redisReply **out, struct nrpc_status *st)
{
    size_t lengths[8];
    redisReply *reply;
    for (size_t i = 0; i < count; i++)
        lengths[i] = strlen(args[i]);
    int code = redis_command_on(l, c, count, args, lengths, &reply, st);
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

// Asks one Sentinel; false: it does not know.
static bool ask_sentinel(struct redis_link *l, size_t i, char *host, size_t size, unsigned *port)
{
    redisContext *c = dial(l->url.hosts[i].name, l->url.hosts[i].port, NULL);
    redisReply *reply = NULL;
    const char *args[] = {"SENTINEL", "get-master-addr-by-name", l->url.path};
    bool found = !c->err && simple(l, c, 3, args, &reply, NULL) == NRPC_OK &&
                 reply->type == REDIS_REPLY_ARRAY && reply->elements == 2;
    if (found) {
        snprintf(host, size, "%s", reply->element[0]->str);
        *port = (unsigned)strtoul(reply->element[1]->str, NULL, 10);
    }
    if (reply)
        freeReplyObject(reply);
    redisFree(c);
    return found;
}

static int find_master(struct redis_link *l, char *host, size_t size, unsigned *port, struct nrpc_status *st)
{
    for (size_t i = 0; i < l->url.host_count; i++)
        if (ask_sentinel(l, i, host, size, port))
            return NRPC_OK;
    return lost(l, "no Sentinel answers with the master's address", st);
}

// A server that was the master until a moment ago may still answer.
static int check_master(struct redis_link *l, redisContext *c, struct nrpc_status *st)
{
    redisReply *reply;
    const char *args[] = {"ROLE"};
    int code = simple(l, c, 1, args, &reply, st);
    if (code)
        return code;
    bool master =
        reply->type == REDIS_REPLY_ARRAY && reply->elements && !strcmp(reply->element[0]->str, "master");
    freeReplyObject(reply);
    return master ? NRPC_OK : lost(l, "the server that the Sentinel names is not the master yet", st);
}

static int introduce(struct redis_link *l, redisContext *c, struct nrpc_status *st)
{
    char database[16];
    const char *password = l->url.password;
    const char *name = l->url.user && *l->url.user ? l->url.user : NULL;
    if (!password && name) { // redis://secret@host is read as a password, as other clients do
        password = name;
        name = NULL;
    }
    const char *auth[] = {"AUTH", name ? name : password, password};
    if (password && simple(l, c, name ? 3 : 2, auth, NULL, st))
        return st->code;
    snprintf(database, sizeof database, "%u", l->database);
    const char *select[] = {"SELECT", database};
    return l->database ? simple(l, c, 2, select, NULL, st) : NRPC_OK;
}

int redis_link_connect(struct redis_link *l, redisContext **out, struct nrpc_status *st)
{
    char host[256] = "";
    unsigned port = 0;
    struct nrpc_status own = {0};
    st = st ? st : &own;
    *out = NULL;
    if (l->kind == SENTINEL && find_master(l, host, sizeof host, &port, st))
        return st->code;
    redisContext *c = l->kind == SENTINEL ? dial(host, port, NULL)
                      : l->kind == UNIX   ? dial(NULL, 0, l->socket_path)
                                          : dial(l->url.hosts[0].name, l->url.hosts[0].port, NULL);
    int code = c->err ? lost(l, c->errstr, st) : introduce(l, c, st);
    if (code == NRPC_OK && l->kind == SENTINEL)
        code = check_master(l, c, st);
    if (code)
        redisFree(c);
    else
        *out = c;
    return code;
}

// ---- the pool

// A connection from the pool, or NULL with leave to make one; false: all stay in use.
static bool check_out(struct redis_link *l, redisContext **c, unsigned long *breaks)
{
    struct timespec until = wait_until(REDIS_ANSWER_MS);
    int rv = 0;
    pthread_mutex_lock(&l->mu);
    while (!l->idle_count && l->open == REDIS_CONNECTIONS_MAX && rv == 0)
        rv = pthread_cond_timedwait(&l->returned, &l->mu, &until);
    *c = l->idle_count ? l->idle[--l->idle_count] : NULL;
    *breaks = l->breaks;
    bool may = *c || l->open < REDIS_CONNECTIONS_MAX;
    l->open += may && !*c;
    pthread_mutex_unlock(&l->mu);
    return may;
}

static void note_busy(struct redis_link *l, int fd)
{
    pthread_mutex_lock(&l->mu);
    l->busy[l->busy_count++] = fd;
    pthread_mutex_unlock(&l->mu);
}

// With the mutex held, and before it is closed: whatever is in the list is open.
static void forget_busy(struct redis_link *l, const redisContext *c)
{
    for (size_t i = 0; c && i < l->busy_count; i++)
        if (l->busy[i] == c->fd) {
            l->busy[i] = l->busy[--l->busy_count];
            return;
        }
}

static void interrupt_all(struct redis_link *l)
{
    pthread_mutex_lock(&l->mu);
    for (size_t i = 0; i < l->busy_count; i++)
        shutdown(l->busy[i], SHUT_RDWR);
    pthread_mutex_unlock(&l->mu);
}

// c NULL: it was never made.
static void check_in(struct redis_link *l, redisContext *c, bool broken, unsigned long breaks)
{
    redisContext *stale[REDIS_CONNECTIONS_MAX];
    size_t count = 0;
    pthread_mutex_lock(&l->mu);
    forget_busy(l, c);
    if (broken && breaks == l->breaks) {
        l->breaks++;
        while (l->idle_count)
            stale[count++] = l->idle[--l->idle_count];
        l->open -= count;
    }
    if (c && !broken && breaks == l->breaks) {
        l->idle[l->idle_count++] = c;
        c = NULL;
    } else {
        l->open--;
    }
    pthread_cond_signal(&l->returned);
    pthread_mutex_unlock(&l->mu);
    if (c)
        redisFree(c);
    while (count)
        redisFree(stale[--count]);
}

static void give_back(struct redis_link *l, redisContext *c, unsigned long breaks)
{
    bool late = is_late(c);
    check_in(l, c, c->err, breaks);
    if (late)
        interrupt_all(l);
}

// NULL: *st says why.
static redisContext *borrow(struct redis_link *l, unsigned long *breaks, struct nrpc_status *st)
{
    redisContext *c;
    if (!check_out(l, &c, breaks)) {
        lost(l, "all connections stay in use", st);
        return NULL;
    }
    if (c) {
        note_busy(l, c->fd);
        return c;
    }
    (void)redis_link_connect(l, &c, st);
    if (!c) {
        check_in(l, NULL, false, *breaks);
        return NULL;
    }
    note_busy(l, c->fd);
    if (l->hello && l->hello(l->user, c, st)) {
        bool late = is_late(c);
        check_in(l, c, false, *breaks - 1); // as one that was made before a break: it is not kept
        if (late)
            interrupt_all(l);
        return NULL;
    }
    return c;
}

int redis_link_command(struct redis_link *l, size_t count, const char *const *args, const size_t *lengths,
                       redisReply **out, struct nrpc_status *st)
{
    unsigned long breaks;
    struct nrpc_status own = {0};
    st = st ? st : &own;
    *out = NULL;
    redisContext *c = borrow(l, &breaks, st);
    if (!c)
        return st->code;
    int code = redis_command_on(l, c, count, args, lengths, out, st);
    give_back(l, c, breaks);
    return code;
}

// ---- scripts

static int teach(struct redis_link *l, redisContext *c, const struct redis_script *script,
                 struct nrpc_status *st)
{
    const char *args[] = {"SCRIPT", "LOAD", script->text};
    return simple(l, c, 3, args, NULL, st);
}

int redis_script_on(struct redis_link *l, redisContext *c, const struct redis_script *script, size_t count,
                    const char **args, size_t *lengths, redisReply **out, struct nrpc_status *st)
{
    args[0] = "EVALSHA";
    lengths[0] = 7;
    args[1] = script->digest;
    lengths[1] = DIGEST;
    for (int tries = 0;; tries++) {
        redisReply *reply = redisCommandArgv(c, (int)count, args, lengths);
        *out = NULL;
        if (!reply)
            return broke(l, c, st);
        if (reply->type != REDIS_REPLY_ERROR) {
            *out = reply;
            return NRPC_OK;
        }
        bool unknown = !strncmp(reply->str, "NOSCRIPT", 8) && !tries;
        int code = unknown ? NRPC_OK : refused(l, c, reply->str, st);
        freeReplyObject(reply);
        if (code || teach(l, c, script, st))
            return st->code;
    }
}

int redis_link_script(struct redis_link *l, const struct redis_script *script, size_t count,
                      const char **args, size_t *lengths, redisReply **out, struct nrpc_status *st)
{
    unsigned long breaks;
    struct nrpc_status own = {0};
    st = st ? st : &own;
    *out = NULL;
    redisContext *c = borrow(l, &breaks, st);
    if (!c)
        return st->code;
    int code = redis_script_on(l, c, script, count, args, lengths, out, st);
    give_back(l, c, breaks);
    return code;
}
