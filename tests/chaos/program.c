// SPDX-License-Identifier: Apache-2.0
// program.c: fork, exec, and reading a log.
#include "chaos/program.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static char **environment_with(const char *const *more)
{
    size_t count = 0, n = 0;
    while (environ[count])
        count++;
    for (; more && more[n]; n++)
        ;
    char **all = mem_calloc(count + n + 1, sizeof *all);
    for (size_t i = 0; i < n; i++) // the first of a name counts
        all[i] = (char *)more[i];
    memcpy(all + n, environ, count * sizeof *all);
    return all;
}

void program_start(struct program *p, const char *const *argv, const char *const *environment)
{
    char **all = environment_with(environment);
    int log = open(p->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    p->log_start = lseek(log, 0, SEEK_END);
    pid_t parent = getpid();
    p->pid = fork();
    if (p->pid == 0) { // only what a signal handler may call
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(1);
        dup2(log, 1);
        dup2(log, 2);
        execve(argv[0], (char **)argv, all);
        _exit(127);
    }
    close(log);
    free(all);
    if (p->pid < 0) {
        perror("fork");
        exit(1);
    }
}

bool program_said(const struct program *p, const char *text)
{
    char line[1000];
    bool found = false;
    FILE *f = fopen(p->log, "re");
    if (!f)
        return false;
    (void)fseeko(f, p->log_start, SEEK_SET);
    while (!found && fgets(line, sizeof line, f))
        found = strstr(line, text);
    fclose(f);
    return found;
}

bool program_runs(struct program *p)
{
    if (p->pid && waitpid(p->pid, NULL, WNOHANG) == p->pid)
        p->pid = 0;
    return p->pid;
}

int program_end(struct program *p, int signal_number)
{
    int status = -1;
    program_signal(p, signal_number);
    if (signal_number == SIGKILL)
        program_signal(p, SIGCONT);
    while (p->pid && waitpid(p->pid, &status, 0) < 0 && errno == EINTR)
        ;
    p->pid = 0;
    return status;
}

void program_signal(const struct program *p, int signal_number)
{
    if (p->pid)
        kill(p->pid, signal_number);
}
