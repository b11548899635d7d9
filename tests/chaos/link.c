// SPDX-License-Identifier: Apache-2.0
// link.c: poll over pairs of sockets; each direction has one buffer, which is read when it is empty and
// written when its time has come.
#include "chaos/link.h"

#include "base/clock.h"
#include "base/mem.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PAIRS_MAX = 128, BUFFER = 65536, SLOW_US = 40000, TO = 0, FROM = 1 };

struct buffer {
    size_t at, size;
    int64_t due_us;
    char data[BUFFER];
};

struct pair {
    int fd[2];            // client, target
    struct buffer way[2]; // from fd[0] to fd[1], and back
};

struct link {
    int listener, bell;
    uint16_t port, target_port;
    pthread_t thread;
    atomic_int mode;
    atomic_bool stopping;
    struct pair *pairs[PAIRS_MAX]; // from here on the thread's own
    size_t count;
};

static struct sockaddr_in loopback(uint16_t port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return a;
}

static void reset(int fd)
{
    const struct linger linger = {.l_onoff = 1};
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    close(fd);
}

static void drop(struct link *l, size_t i)
{
    reset(l->pairs[i]->fd[0]);
    reset(l->pairs[i]->fd[1]);
    free(l->pairs[i]);
    l->pairs[i] = l->pairs[--l->count];
}

static void drop_all(struct link *l)
{
    while (l->count)
        drop(l, l->count - 1);
}

static void accept_one(struct link *l, int mode)
{
    const int on = 1;
    int client = accept4(l->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (client < 0)
        return;
    if (mode == LINK_DOWN || l->count == PAIRS_MAX) {
        reset(client);
        return;
    }
    int target = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct sockaddr_in a = loopback(l->target_port);
    (void)connect(target, (struct sockaddr *)&a, sizeof a); // what fails shows at the first recv
    (void)setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)setsockopt(target, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct pair *p = mem_calloc(1, sizeof *p);
    p->fd[0] = client;
    p->fd[1] = target;
    l->pairs[l->count++] = p;
}

static bool stalls(int mode, int way)
{
    return mode == LINK_STALLED || mode == (way == TO ? LINK_STALLED_TO : LINK_STALLED_FROM);
}

// What a direction waits for: room, bytes, or its time (*due_us).
static void want(struct pair *p, int mode, int way, struct pollfd *fds, int64_t now_us, int64_t *due_us)
{
    struct buffer *b = &p->way[way];
    if (stalls(mode, way))
        return;
    if (b->at == b->size)
        fds[way].events |= POLLIN;
    else if (b->due_us <= now_us)
        fds[1 - way].events |= POLLOUT;
    else if (b->due_us < *due_us)
        *due_us = b->due_us;
}

// false: the connection has ended.
static bool move(struct pair *p, int mode, int way, const struct pollfd *fds, int64_t now_us)
{
    struct buffer *b = &p->way[way];
    if (stalls(mode, way))
        return true;
    if (b->at == b->size && fds[way].revents) {
        ssize_t n = recv(p->fd[way], b->data, BUFFER, 0);
        if (n == 0 || (n < 0 && errno != EAGAIN))
            return false;
        b->at = 0;
        b->size = n > 0 ? (size_t)n : 0;
        b->due_us = now_us + (mode == LINK_SLOW ? SLOW_US : 0);
    }
    if (b->at < b->size && b->due_us <= now_us) {
        ssize_t n = send(p->fd[1 - way], b->data + b->at, b->size - b->at, MSG_NOSIGNAL);
        b->at += n > 0 ? (size_t)n : 0;
        return n > 0 || errno == EAGAIN;
    }
    return true;
}

static void wait_for_something(struct link *l, int mode, struct pollfd *fds)
{
    int64_t now_us = clock_mono_us(), due_us = CLOCK_NEVER;
    fds[0] = (struct pollfd){l->bell, POLLIN, 0};
    fds[1] = (struct pollfd){l->listener, POLLIN, 0};
    for (size_t i = 0; i < l->count; i++) {
        struct pollfd *two = &fds[2 + 2 * i];
        two[0] = two[1] = (struct pollfd){-1, 0, 0};
        for (int way = 0; way < 2; way++)
            want(l->pairs[i], mode, way, two, now_us, &due_us);
        for (int k = 0; k < 2; k++)
            two[k].fd = two[k].events ? l->pairs[i]->fd[k] : -1; // else an end would wake us again and again
    }
    int timeout_ms = due_us == CLOCK_NEVER ? -1 : (int)((due_us - now_us) / 1000) + 1;
    (void)poll(fds, 2 + 2 * l->count, timeout_ms);
}

static void *run(void *arg)
{
    struct link *l = arg;
    static _Thread_local struct pollfd fds[2 + 2 * PAIRS_MAX];
    while (!atomic_load(&l->stopping)) {
        uint64_t rings;
        int mode = atomic_load(&l->mode);
        if (mode == LINK_DOWN)
            drop_all(l);
        wait_for_something(l, mode, fds);
        if (fds[0].revents && read(l->bell, &rings, sizeof rings) > 0)
            continue; // the mode may be another
        int64_t now_us = clock_mono_us();
        for (size_t i = l->count; i-- > 0;) {
            const struct pollfd *two = &fds[2 + 2 * i];
            if (!move(l->pairs[i], mode, TO, two, now_us) || !move(l->pairs[i], mode, FROM, two, now_us))
                drop(l, i);
        }
        if (fds[1].revents)
            accept_one(l, mode);
    }
    return NULL;
}

struct link *link_start(uint16_t target_port)
{
    struct link *l = mem_calloc(1, sizeof *l);
    struct sockaddr_in a = loopback(0);
    socklen_t size = sizeof a;
    l->target_port = target_port;
    l->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    l->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (bind(l->listener, (struct sockaddr *)&a, sizeof a) || listen(l->listener, 128) ||
        getsockname(l->listener, (struct sockaddr *)&a, &size) || pthread_create(&l->thread, NULL, run, l))
        abort();
    l->port = ntohs(a.sin_port);
    return l;
}

static void ring(struct link *l)
{
    const uint64_t one = 1;
    (void)!write(l->bell, &one, sizeof one);
}

void link_stop(struct link *l)
{
    if (!l)
        return;
    atomic_store(&l->stopping, true);
    ring(l);
    pthread_join(l->thread, NULL);
    drop_all(l);
    close(l->listener);
    close(l->bell);
    free(l);
}

uint16_t link_port(const struct link *l)
{
    return l->port;
}

void link_set(struct link *l, enum link_mode mode)
{
    atomic_store(&l->mode, (int)mode);
    ring(l);
}
