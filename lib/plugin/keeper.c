// SPDX-License-Identifier: Apache-2.0
// keeper.c: the root and the keepers: what they wait for, and how they end what commands leave behind.
//
// All signals stay blocked in them, so that only SIGKILL and SIGSTOP reach them: a terminal, or a service
// manager that signals every process of a node, does not. They are in one process group of their own.
#include "plugin/keeper.h"

#include "base/process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    STACK_BYTES = 512 * 1024, // a path and a script's arguments are copied there
    AGAIN_FIRST_MS = 10,      // what is orphaned by a kill comes to us a moment later; then twice as long
    AGAIN_MAX_MS = 1000,
    FDS_MAX = 3,
};

struct keeper {
    int channel, signals;
    pid_t program;    // 0: none, or it has ended
    bool busy;        // until nothing of the run is left
    int again_ms;     // what is left is killed again after this time; -1: it may run
    bool stopped;     // the last signal was SIGSTOP: what is started next stops, too
    char *texts;      // of the order, and behind them the pointers to them
    size_t room;      // there
    void *stack;      // of a child until it is another program
    int fds[FDS_MAX]; // output, errors, input (-1: /dev/null)
};

// ---- what is left of a command

struct seen {
    pid_t parent, group;
};

// /proc/PID/stat: "PID (NAME) STATE PARENT GROUP ..."; a name may have anything in it.
static bool look_at(int proc, const char *pid, struct seen *out)
{
    char path[32], text[512];
    size_t n = strlen(pid);
    if (n > sizeof path - sizeof "/stat")
        return false;
    memcpy(path, pid, n);
    memcpy(path + n, "/stat", sizeof "/stat");
    int fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t got = read(fd, text, sizeof text - 1);
    close(fd);
    text[got > 0 ? got : 0] = 0;
    char *at = strrchr(text, ')');
    if (!at || strlen(at) < 5)
        return false;
    out->parent = (pid_t)strtol(at + 4, &at, 10);
    out->group = (pid_t)strtol(at, NULL, 10);
    return true;
}

// Signals our children; not those of our own group if they are to be spared. A child cannot be taken for
// another process: its number is free only when we have waited for it.
static void signal_children(int number, bool spare_group)
{
    _Alignas(struct dirent64) char buffer[8192];
    pid_t self = getpid();
    int proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (ssize_t n; proc >= 0 && (n = getdents64(proc, buffer, sizeof buffer)) > 0;)
        for (ssize_t at = 0; at < n;) {
            const struct dirent64 *entry = (const struct dirent64 *)(buffer + at);
            struct seen s;
            at += entry->d_reclen;
            if (*entry->d_name < '1' || *entry->d_name > '9' || !look_at(proc, entry->d_name, &s))
                continue;
            if (s.parent == self && !(spare_group && s.group == getpgrp()))
                kill((pid_t)strtol(entry->d_name, NULL, 10), number);
        }
    if (proc >= 0)
        close(proc);
}

static void signal_run(const struct keeper *k, int number)
{
    if (k->program)
        kill(-k->program, number); // cannot be another group, since the program is not waited for
    else if (k->busy)
        signal_children(number, false);
}

static int longer(int again_ms)
{
    return 2 * again_ms < AGAIN_MAX_MS ? 2 * again_ms : AGAIN_MAX_MS;
}

// Kills children, and the children that come to us by that, until there are none.
static _Noreturn void end_all(int signals)
{
    struct pollfd fd = {signals, POLLIN, 0};
    struct signalfd_siginfo info;
    for (int again_ms = AGAIN_FIRST_MS;; again_ms = longer(again_ms)) {
        signal_children(SIGKILL, false);
        pid_t pid;
        while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
            ;
        if (pid < 0)
            _exit(0);
        if (poll(&fd, 1, again_ms) > 0)
            (void)!read(signals, &info, sizeof info);
    }
}

// ---- a program

struct start {
    char **argv, **env;
    const char *directory;
    int fds[FDS_MAX];
    pid_t parent;
    int error;
};

// As a shell starts it; nohup, or a shell's trap '', is for what the node starts, too.
static void reset_signals(void)
{
    static const int of_the_user[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM};
    sigset_t kept;
    sigemptyset(&kept);
    for (size_t i = 0; i < sizeof of_the_user / sizeof *of_the_user; i++)
        if (process_ignores(of_the_user[i]))
            sigaddset(&kept, of_the_user[i]);
    for (int i = 1; i < NSIG; i++)
        if (!sigismember(&kept, i))
            signal(i, SIG_DFL);
    sigemptyset(&kept);
    sigprocmask(SIG_SETMASK, &kept, NULL);
}

// Runs beside its parent's memory, which waits meanwhile, on a stack of its own.
static int become_program(void *arg)
{
    struct start *s = arg;
    prctl(PR_SET_PDEATHSIG, SIGKILL); // also when its keeper is killed
    if (getppid() != s->parent)
        _exit(1);
    setpgid(0, 0);
    dup2(s->fds[2], 0);
    dup2(s->fds[0], 1);
    dup2(s->fds[1], 2);
    closefrom(3);
    if (!*s->directory || chdir(s->directory) == 0) {
        reset_signals();
        execvpe(s->argv[0], s->argv, s->env);
    }
    s->error = errno;
    _exit(1);
}

static void tell(const struct keeper *k, const struct keeper_news *news, size_t count)
{
    (void)!send(k->channel, news, count * sizeof *news, MSG_NOSIGNAL);
}

// The pointers to `count` texts; *text: the first, then what is behind the last.
static char **point_to(char **pointers, uint32_t count, char **text)
{
    for (uint32_t i = 0; i < count; i++) {
        pointers[i] = *text;
        *text += strlen(*text) + 1;
    }
    pointers[count] = NULL;
    return pointers;
}

static size_t aligned(size_t bytes)
{
    return (bytes + sizeof(char *) - 1) / sizeof(char *) * sizeof(char *);
}

static void run(struct keeper *k, const struct keeper_order *o)
{
    char *text = k->texts;
    char **pointers = (char **)(void *)(k->texts + aligned(o->bytes));
    struct start s = {.parent = getpid()};
    s.argv = point_to(pointers, o->argc, &text);
    s.env = point_to(pointers + o->argc + 1, o->envc, &text);
    s.directory = text;
    memcpy(s.fds, k->fds, sizeof s.fds);
    pid_t pid = clone(become_program, (char *)k->stack + STACK_BYTES, CLONE_VM | CLONE_VFORK | SIGCHLD, &s);
    if (pid < 0)
        s.error = errno;
    else if (s.error)
        waitpid(pid, NULL, 0);
    if (s.error) {
        tell(k, &(struct keeper_news){KEEPER_FAILED, s.error}, 1);
        return;
    }
    k->program = pid;
    k->busy = true;
    if (k->stopped)
        signal_run(k, SIGSTOP);
}

// ---- orders

static bool make_room(struct keeper *k, const struct keeper_order *o)
{
    size_t need = aligned(o->bytes) + (o->argc + (size_t)o->envc + 2) * sizeof(char *);
    if (need <= k->room)
        return true;
    void *new = k->room ? mremap(k->texts, k->room, 2 * need, MREMAP_MAYMOVE)
                        : mmap(NULL, 2 * need, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (new == MAP_FAILED)
        return false;
    k->texts = new;
    k->room = 2 * need;
    return true;
}

static bool receive(int fd, char *data, size_t bytes)
{
    for (ssize_t n; bytes; data += n, bytes -= (size_t)n)
        if ((n = recv(fd, data, bytes, 0)) <= 0)
            return false;
    return true;
}

// A message of at least `bytes`, and up to `max` descriptors with it; the number of these, -1: nobody sends.
static int receive_fds(int fd, void *data, size_t bytes, int *fds, size_t max)
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(FDS_MAX * sizeof(int))];
    struct iovec part = {data, bytes};
    struct msghdr m = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    ssize_t n = recvmsg(fd, &m, MSG_CMSG_CLOEXEC);
    if (n <= 0 || !receive(fd, (char *)data + n, bytes - (size_t)n))
        return -1;
    const struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    if (!c || c->cmsg_type != SCM_RIGHTS)
        return 0;
    size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof *fds;
    count = count < max ? count : max;
    memcpy(fds, CMSG_DATA(c), count * sizeof *fds);
    return (int)count;
}

// Reads the texts and runs them; false: our node is gone.
static bool take_run(struct keeper *k, const struct keeper_order *o, int count)
{
    bool has_room = make_room(k, o);
    if (has_room && !receive(k->channel, k->texts, o->bytes))
        return false;
    if (has_room && count >= 2)
        run(k, o);
    else // without its descriptors: there is no room for them here
        tell(k, &(struct keeper_news){KEEPER_FAILED, has_room ? EMFILE : ENOMEM}, 1);
    for (int i = 0; i < count; i++)
        close(k->fds[i]);
    return has_room;
}

static bool take_order(struct keeper *k)
{
    struct keeper_order o = {0};
    k->fds[2] = STDIN_FILENO;
    int count = receive_fds(k->channel, &o, sizeof o, k->fds, FDS_MAX);
    if (count < 0)
        return false;
    switch ((enum keeper_order_kind)o.kind) {
    case KEEPER_RUN:
        return take_run(k, &o, count);
    case KEEPER_SIGNAL:
        k->stopped = o.number == SIGSTOP;
        signal_run(k, (int)o.number);
        return true;
    case KEEPER_CLEAR:
        k->again_ms = k->busy ? AGAIN_FIRST_MS : -1;
        signal_run(k, SIGKILL);
        return true;
    }
    return false;
}

// Waits for what has ended, and tells of it.
static void reap(struct keeper *k)
{
    struct signalfd_siginfo info;
    struct keeper_news news[2];
    size_t count = 0;
    int status;
    pid_t pid;
    (void)!read(k->signals, &info, sizeof info);
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        if (pid == k->program) {
            k->program = 0;
            news[count++] = (struct keeper_news){KEEPER_ENDED, status};
        }
    if (pid < 0 && k->busy) {
        k->busy = false;
        k->again_ms = -1;
        news[count++] = (struct keeper_news){KEEPER_EMPTY, 0};
    }
    if (count)
        tell(k, news, count);
}

static int watch_children(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static _Noreturn void keeper_main(int channel)
{
    struct keeper k = {.channel = channel, .signals = watch_children(), .again_ms = -1};
    k.stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE, -1, 0);
    if (k.signals < 0 || k.stack == MAP_FAILED || prctl(PR_SET_CHILD_SUBREAPER, 1))
        _exit(1);
    prctl(PR_SET_NAME, "dtf-keeper");
    prctl(PR_SET_PDEATHSIG, SIGCONT); // whoever stopped us: then the node's end must be noticed
    for (bool told = true; told;) {
        struct pollfd fds[] = {{channel, POLLIN, POLLIN}, {k.signals, POLLIN, 0}};
        int ready = k.busy ? poll(fds, 2, k.again_ms) : 1; // while nothing runs, only an order can come
        if (ready == 0) {
            signal_children(SIGKILL, false);
            k.again_ms = longer(k.again_ms);
        }
        if (ready > 0 && fds[1].revents)
            reap(&k);
        if (ready > 0 && fds[0].revents)
            told = take_order(&k);
    }
    end_all(k.signals);
}

// ---- the root

static void make_keeper(int channel, const int *ours, size_t count)
{
    pid_t pid = fork();
    if (!pid) {
        for (size_t i = 0; i < count; i++)
            close(ours[i]);
        keeper_main(channel);
    }
    struct keeper_news failed = {KEEPER_FAILED, errno};
    if (pid < 0)
        (void)!send(channel, &failed, sizeof failed, MSG_NOSIGNAL);
}

// Nothing of the node's stays open here, or its peers would not see it end.
static int leave_node(int socket)
{
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int i = 0; null >= 0 && i <= STDERR_FILENO; i++)
        dup2(null, i);
    if (null < 0 || dup3(socket, STDERR_FILENO + 1, O_CLOEXEC) < 0)
        _exit(1);
    closefrom(STDERR_FILENO + 2);
    setpgid(0, 0);
    prctl(PR_SET_NAME, "dtf-reaper");
    prctl(PR_SET_PDEATHSIG, SIGCONT);
    return STDERR_FILENO + 1;
}

_Noreturn void keeper_root(int socket, int parent)
{
    int node = -1, signals, channel;
    socket = leave_node(socket);
    signals = watch_children();
    node = (int)syscall(SYS_pidfd_open, parent, 0); // without, only the socket tells
    if (signals < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1) || getppid() != parent)
        _exit(1);
    const int ours[] = {socket, signals, node};
    for (;;) {
        struct pollfd fds[] = {{socket, POLLIN, 0}, {signals, POLLIN, 0}, {node, POLLIN, 0}};
        struct signalfd_siginfo info;
        char byte;
        if (poll(fds, 3, -1) < 0)
            continue;
        if (fds[2].revents)
            break;
        if (fds[1].revents && read(signals, &info, sizeof info) > 0) {
            while (waitpid(-1, NULL, WNOHANG) > 0)
                ;
            signal_children(SIGKILL, true); // what a keeper has left that was killed
        }
        if (!fds[0].revents)
            continue;
        int count = receive_fds(socket, &byte, sizeof byte, &channel, 1);
        if (count < 0)
            break;
        if (count) {
            make_keeper(channel, ours, 3);
            close(channel);
        }
    }
    end_all(signals);
}
