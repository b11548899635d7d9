// SPDX-License-Identifier: Apache-2.0
// daemon.c: posix_spawn, and reading what a daemon prints until it is ready.
#include "system/daemon.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ARGS_MAX = 64, START_MS = 30000 };

extern char **environ;

const char *daemon_bin(void)
{
    static char folder[4096];
    if (*folder)
        return folder;
    ssize_t n = readlink("/proc/self/exe", folder, sizeof folder - 1);
    folder[n > 0 ? n : 0] = 0;
    char *slash = strrchr(folder, '/');
    if (slash)
        *slash = 0;
    return folder;
}

void daemon_path(char *out, size_t size, const char *name)
{
    snprintf(out, size, "%s/%s", daemon_bin(), name);
}

// Reads lines until "ready"; keeps the first url.
static bool wait_until_ready(struct daemon *d)
{
    char text[4096];
    size_t size = 0;
    int64_t until_ms = clock_now_ms() + START_MS;
    while (clock_now_ms() < until_ms && size < sizeof text - 1) {
        struct pollfd p = {d->output, POLLIN, 0};
        if (poll(&p, 1, 100) <= 0)
            continue;
        ssize_t n = read(d->output, text + size, sizeof text - 1 - size);
        if (n <= 0)
            return false;
        size += (size_t)n;
        text[size] = 0;
        if (!strstr(text, "ready\n"))
            continue;
        const char *url = strstr(text, "listening on ");
        if (url)
            sscanf(url, "listening on %199s", d->url);
        return true;
    }
    return false;
}

bool daemon_start(struct daemon *d, const char *program, const char *const *args)
{
    char path[4200];
    char *argv[ARGS_MAX] = {path};
    int pipe_fds[2];
    *d = (struct daemon){.output = -1};
    daemon_path(path, sizeof path, program);
    for (int i = 0; i < ARGS_MAX - 2 && args[i]; i++)
        argv[i + 1] = (char *)args[i];
    if (pipe2(pipe_fds, O_CLOEXEC))
        return false;
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, pipe_fds[1], 1);
    int rv = posix_spawn(&d->pid, path, &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(pipe_fds[1]);
    d->output = pipe_fds[0];
    if (rv == 0 && wait_until_ready(d))
        return true;
    if (rv) {
        d->pid = 0;
        fprintf(stderr, "cannot start %s: %s\n", path, strerror(rv));
        return false;
    }
    kill(d->pid, SIGKILL); // if it runs
    fprintf(stderr, "cannot start %s: it did not get ready, wait status 0x%x\n", path,
            (unsigned)daemon_wait(d));
    return false;
}

int daemon_wait(struct daemon *d)
{
    int status = -1;
    while (d->pid && waitpid(d->pid, &status, 0) < 0 && errno == EINTR)
        ;
    d->pid = 0;
    if (d->output > 0) // 0: one that was never started, all zero
        close(d->output);
    d->output = -1;
    return status;
}

void daemon_kill(struct daemon *d, int signal_number)
{
    if (d->pid)
        kill(d->pid, signal_number);
    (void)daemon_wait(d);
}

void daemon_folder(char *path, size_t size)
{
    const char *tmp = getenv("TMPDIR");
    snprintf(path, size, "%s/dtf-test-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(path)) {
        perror(path);
        exit(1);
    }
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

void daemon_remove(const char *folder)
{
    nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}
