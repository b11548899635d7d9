// SPDX-License-Identifier: Apache-2.0
// proxy.c: one thread, poll, and a pair of sockets a connection.
#include "soak/proxy.h"

#include "base/clock.h"
#include "base/mem.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PAIRS_MAX = 256, POLL_MS = 5 };

struct pair {
    int fd[2];        // client, server; -1: free
    int64_t spare[2]; // bytes that may be forwarded from each under the limit, and now
};

struct proxy {
    int listener;
    uint16_t port, target_port;
    pthread_t thread;
    pthread_mutex_t mu;
    struct pair pairs[PAIRS_MAX];
    unsigned seed;
    int64_t bytes_per_s, filled_us; // the limit; when the spares were last filled
    bool stalled, stopping;
};

static struct sockaddr_in loopback(uint16_t port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return a;
}

static void set_no_delay(int fd)
{
    int on = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static void cut(struct pair *p, bool reset)
{
    struct linger linger = {.l_onoff = 1};
    for (int i = 0; i < 2; i++) {
        if (reset)
            (void)setsockopt(p->fd[i], SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
        close(p->fd[i]);
        p->fd[i] = -1;
    }
}

static void accept_one(struct proxy *x)
{
    int client = accept(x->listener, NULL, NULL), server = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in a = loopback(x->target_port);
    for (size_t i = 0; client >= 0 && i < PAIRS_MAX; i++) {
        if (x->pairs[i].fd[0] >= 0)
            continue;
        if (connect(server, (struct sockaddr *)&a, sizeof a))
            break;
        set_no_delay(client);
        set_no_delay(server);
        x->pairs[i] = (struct pair){{client, server}, {0, 0}};
        return;
    }
    close(client);
    close(server);
}

static bool write_all(int fd, const char *data, ssize_t size)
{
    while (size > 0) {
        ssize_t n = send(fd, data, (size_t)size, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        data += n;
        size -= n;
    }
    return true;
}

static void forward(struct pair *p, int from)
{
    char buffer[65536];
    size_t most = p->spare[from] < (int64_t)sizeof buffer ? (size_t)p->spare[from] : sizeof buffer;
    ssize_t n = recv(p->fd[from], buffer, most, MSG_DONTWAIT);
    p->spare[from] -= n > 0 ? n : 0;
    if (n <= 0 || !write_all(p->fd[1 - from], buffer, n))
        cut(p, false);
}

// What was not used up does not add up beyond a tenth of a second's.
static void fill_spares(struct proxy *x)
{
    int64_t now_us = clock_mono_us(), us = now_us - x->filled_us, most = x->bytes_per_s / 10;
    x->filled_us = now_us;
    for (size_t i = 0; i < PAIRS_MAX; i++)
        for (int k = 0; k < 2; k++) {
            int64_t *spare = &x->pairs[i].spare[k];
            *spare += us * x->bytes_per_s / 1000000;
            *spare = !x->bytes_per_s ? INT64_MAX / 2 : *spare > most ? most : *spare;
        }
}

static bool may_forward(const struct proxy *x, size_t pair, int from)
{
    return !x->stalled && x->pairs[pair].spare[from] > 0;
}

static void *run(void *arg)
{
    struct proxy *x = arg;
    struct pollfd fds[1 + 2 * PAIRS_MAX];
    pthread_mutex_lock(&x->mu);
    while (!x->stopping) {
        fds[0] = (struct pollfd){x->listener, x->stalled ? 0 : POLLIN, 0};
        for (size_t i = 0; i < PAIRS_MAX; i++)
            for (int k = 0; k < 2; k++)
                fds[1 + 2 * i + (size_t)k] =
                    (struct pollfd){x->pairs[i].fd[k], may_forward(x, i, k) ? POLLIN : 0, 0};
        pthread_mutex_unlock(&x->mu);
        (void)poll(fds, sizeof fds / sizeof *fds, POLL_MS);
        pthread_mutex_lock(&x->mu);
        fill_spares(x);
        for (size_t i = 0; i < PAIRS_MAX; i++)
            for (int k = 0; k < 2; k++)
                if (may_forward(x, i, k) && fds[1 + 2 * i + (size_t)k].revents &&
                    x->pairs[i].fd[k] == fds[1 + 2 * i + (size_t)k].fd && x->pairs[i].fd[k] >= 0)
                    forward(&x->pairs[i], k);
        if (fds[0].revents & POLLIN)
            accept_one(x);
    }
    pthread_mutex_unlock(&x->mu);
    return NULL;
}

struct proxy *proxy_start(uint16_t target_port, unsigned seed)
{
    struct proxy *x = mem_calloc(1, sizeof *x);
    struct sockaddr_in a = loopback(0);
    socklen_t size = sizeof a;
    x->target_port = target_port;
    x->seed = seed;
    for (size_t i = 0; i < PAIRS_MAX; i++)
        x->pairs[i].fd[0] = x->pairs[i].fd[1] = -1;
    pthread_mutex_init(&x->mu, NULL);
    x->listener = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(x->listener, (struct sockaddr *)&a, sizeof a) || listen(x->listener, 128) ||
        getsockname(x->listener, (struct sockaddr *)&a, &size) || pthread_create(&x->thread, NULL, run, x))
        abort();
    x->port = ntohs(a.sin_port);
    return x;
}

void proxy_stop(struct proxy *x)
{
    pthread_mutex_lock(&x->mu);
    x->stopping = true;
    pthread_mutex_unlock(&x->mu);
    pthread_join(x->thread, NULL);
    for (size_t i = 0; i < PAIRS_MAX; i++)
        if (x->pairs[i].fd[0] >= 0)
            cut(&x->pairs[i], true);
    close(x->listener);
    pthread_mutex_destroy(&x->mu);
    free(x);
}

uint16_t proxy_port(const struct proxy *x)
{
    return x->port;
}

void proxy_cut_some(struct proxy *x, unsigned percent)
{
    pthread_mutex_lock(&x->mu);
    for (size_t i = 0; i < PAIRS_MAX; i++)
        if (x->pairs[i].fd[0] >= 0 && (unsigned)rand_r(&x->seed) % 100 < percent)
            cut(&x->pairs[i], rand_r(&x->seed) % 2);
    pthread_mutex_unlock(&x->mu);
}

void proxy_limit(struct proxy *x, int64_t bytes_per_s)
{
    pthread_mutex_lock(&x->mu);
    x->bytes_per_s = bytes_per_s;
    pthread_mutex_unlock(&x->mu);
}

void proxy_target(struct proxy *x, uint16_t target_port)
{
    pthread_mutex_lock(&x->mu);
    x->target_port = target_port;
    pthread_mutex_unlock(&x->mu);
}

void proxy_stall(struct proxy *x, bool stalled)
{
    pthread_mutex_lock(&x->mu);
    x->stalled = stalled;
    pthread_mutex_unlock(&x->mu);
}

unsigned proxy_connections(struct proxy *x)
{
    unsigned n = 0;
    pthread_mutex_lock(&x->mu);
    for (size_t i = 0; i < PAIRS_MAX; i++)
        n += x->pairs[i].fd[0] >= 0;
    pthread_mutex_unlock(&x->mu);
    return n;
}
