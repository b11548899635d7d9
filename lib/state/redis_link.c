// SPDX-License-Identifier: Apache-2.0
// redis_link.c: a pool of connections, each used by one thread at a time.
//
// After an error or a timeout a connection is never used again: a late answer would be taken for the next
// command's. When one breaks, the others that wait in the pool are as good as broken, and go too. When an
// answer is late, those that wait for one on other connections are interrupted: the server answers nobody.
#include "state/redis_link.h"

#include "base/mem.h"
#include "base/wait.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { DIGEST = 40 };

struct redis_link {
    struct redis_place *place;
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

int redis_link_create(const char *address, const char *key, redis_hello_fn hello, void *user,
                      struct redis_link **out, struct nrpc_status *st)
{
    struct redis_link *l = mem_calloc(1, sizeof *l);
    l->hello = hello;
    l->user = user;
    pthread_mutex_init(&l->mu, NULL);
    wait_cond_init(&l->returned);
    int code = redis_place_create(address, key, &l->place, st);
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
    redis_place_destroy(l->place);
    pthread_mutex_destroy(&l->mu);
    pthread_cond_destroy(&l->returned);
    free(l);
}

struct redis_place *redis_link_place(const struct redis_link *l)
{
    return l->place;
}

const char *redis_link_name(const struct redis_link *l)
{
    return redis_place_name(l->place);
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
    bool late = redis_place_is_late(c);
    check_in(l, c, c->err, breaks);
    if (late)
        interrupt_all(l);
}

// NULL: *st says why.
static redisContext *borrow(struct redis_link *l, unsigned long *breaks, struct nrpc_status *st)
{
    redisContext *c;
    if (!check_out(l, &c, breaks)) {
        redis_place_lost(l->place, "all connections stay in use", st);
        return NULL;
    }
    if (c) {
        note_busy(l, c->fd);
        return c;
    }
    (void)redis_place_connect(l->place, &c, st);
    if (!c) {
        check_in(l, NULL, false, *breaks);
        return NULL;
    }
    note_busy(l, c->fd);
    if (l->hello && l->hello(l->user, c, st)) {
        bool late = redis_place_is_late(c);
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
    int code = redis_place_command(l->place, c, count, args, lengths, out, st);
    give_back(l, c, breaks);
    return code;
}

// ---- scripts

static int teach(struct redis_link *l, redisContext *c, const struct redis_script *script,
                 struct nrpc_status *st)
{
    redisReply *reply;
    int code = redis_place_command(l->place, c, 3, (const char *[]){"SCRIPT", "LOAD", script->text},
                                   (size_t[]){6, 4, strlen(script->text)}, &reply, st);
    if (reply)
        freeReplyObject(reply);
    return code;
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
            return redis_place_broke(l->place, c, st);
        if (reply->type != REDIS_REPLY_ERROR) {
            *out = reply;
            return NRPC_OK;
        }
        bool unknown = !strncmp(reply->str, "NOSCRIPT", 8) && !tries;
        int code = unknown ? NRPC_OK : redis_place_refused(l->place, c, reply->str, st);
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
    for (int tries = 0;; tries++) {
        redisContext *c = borrow(l, &breaks, st);
        if (!c)
            return st->code;
        int code = redis_script_on(l, c, script, count, args, lengths, out, st);
        bool is_again = redis_place_has_moved(c) && !tries; // nothing was done
        give_back(l, c, breaks);
        if (!is_again)
            return code;
    }
}
