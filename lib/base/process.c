// SPDX-License-Identifier: Apache-2.0
// process.c: descriptors and signals.
#include "base/process.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

void process_open_standard(void)
{
    int fd;
    do
        fd = open("/dev/null", O_RDWR); // NOLINT(android-cloexec-open): these are inherited
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd < 0)
        abort();
    close(fd);
}

void process_raise_files(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files))
        return;
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
}

void process_prefer_batches(void)
{
    const struct sched_param none = {0};
    if (sched_getscheduler(0) == SCHED_OTHER)
        (void)sched_setscheduler(0, SCHED_BATCH, &none);
}

bool process_ignores(int signal_number)
{
    struct sigaction was;
    return sigaction(signal_number, NULL, &was) == 0 && was.sa_handler == SIG_IGN;
}

void process_block_signals(const int *numbers, size_t count, sigset_t *set)
{
    sigemptyset(set);
    for (size_t i = 0; i < count; i++)
        if (!process_ignores(numbers[i]))
            sigaddset(set, numbers[i]);
    pthread_sigmask(SIG_BLOCK, set, NULL);
}
