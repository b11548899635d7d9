// SPDX-License-Identifier: Apache-2.0
// reaper.c: our side of the root and the keepers: one keeper for every program that runs at the same time;
// those that have nothing to do wait for the next.
#include "plugin/reaper.h"

#include "base/mem.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

struct reaper_run { // a keeper
    int fd;
    struct reaper_run *next, **prev; // of all
    struct reaper_run *next_idle;
};

static pthread_mutex_t mu = PTHREAD_MUTEX_INITIALIZER; // of what follows: slots take keepers and bring them
static struct reaper_run *keepers, *idle;
static pid_t root;
static int root_fd = -1;

// ---- the root (mu is held)

static int start_root(void)
{
    int fds[2];
    pid_t parent = getpid();
    if (root_fd >= 0)
        return 0;
    if (root > 0)
        waitpid(root, NULL, WNOHANG); // the one that was
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds))
        return errno;
    root = fork();
    if (!root)
        keeper_root(fds[1], parent);
    int error = root < 0 ? errno : 0;
    close(fds[1]);
    root_fd = fds[0];
    if (!error)
        return 0;
    close(root_fd);
    root_fd = -1;
    return error;
}

int reaper_start(void)
{
    pthread_mutex_lock(&mu);
    int error = start_root();
    pthread_mutex_unlock(&mu);
    return error;
}

// ---- messages

// Sends all of it, descriptors with the first byte. 0, or errno.
static int send_all(int fd, struct iovec *parts, size_t count, const int *fds, size_t fd_count)
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(3 * sizeof(int))] = {0};
    struct msghdr m = {.msg_iov = parts, .msg_iovlen = count};
    if (fd_count) {
        m.msg_control = control;
        m.msg_controllen = CMSG_SPACE(fd_count * sizeof *fds);
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        *c = (struct cmsghdr){
            .cmsg_len = CMSG_LEN(fd_count * sizeof *fds), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
        memcpy(CMSG_DATA(c), fds, fd_count * sizeof *fds);
    }
    while (m.msg_iovlen) {
        ssize_t n = sendmsg(fd, &m, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno;
        m.msg_control = NULL;
        m.msg_controllen = 0;
        for (size_t left = (size_t)n; m.msg_iovlen;) {
            size_t part = left < m.msg_iov->iov_len ? left : m.msg_iov->iov_len;
            m.msg_iov->iov_base = (char *)m.msg_iov->iov_base + part;
            m.msg_iov->iov_len -= part;
            left -= part;
            if (m.msg_iov->iov_len)
                break;
            m.msg_iov++;
            m.msg_iovlen--;
        }
    }
    return 0;
}

// What sending to a process that has ended gives.
static bool is_gone(int error)
{
    return error == EPIPE || error == ECONNRESET;
}

static void send_order(const struct reaper_run *r, struct keeper_order o)
{
    struct iovec part = {&o, sizeof o};
    (void)send_all(r->fd, &part, 1, NULL, 0); // one that is gone needs no order
}

// ---- keepers (mu is held)

// Gives the root the channel of a new keeper; a root that somebody has ended is followed by another.
static int send_channel(int channel)
{
    int error = start_root();
    for (int tries = 2; !error && tries-- > 0;) {
        char byte = 0;
        struct iovec part = {&byte, 1};
        error = send_all(root_fd, &part, 1, &channel, 1);
        if (!is_gone(error))
            break;
        close(root_fd);
        root_fd = -1;
        error = tries ? start_root() : error;
    }
    return error;
}

// NULL: *error says why.
static struct reaper_run *make_keeper(int *error)
{
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds)) {
        *error = errno;
        return NULL;
    }
    *error = send_channel(fds[1]);
    close(fds[1]);
    if (*error) {
        close(fds[0]);
        return NULL;
    }
    struct reaper_run *r = mem_alloc(sizeof *r);
    *r = (struct reaper_run){.fd = fds[0], .next = keepers, .prev = &keepers};
    if (r->next)
        r->next->prev = &r->next;
    keepers = r;
    return r;
}

static void dismiss(struct reaper_run *r)
{
    *r->prev = r->next;
    if (r->next)
        r->next->prev = r->prev;
    close(r->fd);
    free(r);
}

static struct reaper_run *acquire(int *error)
{
    pthread_mutex_lock(&mu);
    struct reaper_run *r = idle;
    if (r)
        idle = r->next_idle;
    else
        r = make_keeper(error);
    pthread_mutex_unlock(&mu);
    return r;
}

void reaper_release(struct reaper_run *r, bool whole)
{
    pthread_mutex_lock(&mu);
    if (whole) {
        r->next_idle = idle;
        idle = r;
    } else {
        dismiss(r);
    }
    pthread_mutex_unlock(&mu);
}

// ---- programs

int reaper_run(const struct reaper_program *p, struct reaper_run **out, int *fd)
{
    for (;;) {
        int error = 0;
        struct reaper_run *r = *out = acquire(&error);
        if (!r)
            return error;
        struct keeper_order o = {.kind = KEEPER_RUN, .argc = p->argc, .envc = p->envc, .bytes = p->bytes};
        struct iovec parts[] = {{&o, sizeof o}, {(void *)p->texts, p->bytes}};
        const int fds[] = {p->out, p->err, p->in};
        error = send_all(r->fd, parts, 2, fds, p->in >= 0 ? 3 : 2);
        *fd = r->fd;
        if (!error)
            return 0;
        reaper_release(r, false);
        if (!is_gone(error))
            return error;
        // it was ended while it waited: another one
    }
}

void reaper_signal(struct reaper_run *r, int number)
{
    send_order(r, (struct keeper_order){.kind = KEEPER_SIGNAL, .number = (uint32_t)number});
}

void reaper_clear(struct reaper_run *r)
{
    send_order(r, (struct keeper_order){.kind = KEEPER_CLEAR});
}

void reaper_suspend(void)
{
    static const int numbers[] = {SIGSTOP, SIGCONT};
    pthread_mutex_lock(&mu);
    for (size_t i = 0; i < 2; i++) {
        for (struct reaper_run *r = keepers; r; r = r->next)
            reaper_signal(r, numbers[i]);
        if (numbers[i] == SIGSTOP)
            raise(SIGSTOP); // to this thread: of the process, another might stop, and later than we go on
    }
    pthread_mutex_unlock(&mu);
}
