// SPDX-License-Identifier: Apache-2.0
// skew.c: to be preloaded: the process reads a wall clock that is off by as many seconds as a file says, at
// any moment. Its monotonic clock is left alone.
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile time_t *skew_s; // NULL until the file is mapped

__attribute__((constructor)) static void map_file(void)
{
    const char *path = getenv("CLOCK_SKEW"); // a file of one time_t
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *at = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *skew_s, PROT_READ, MAP_SHARED, fd, 0);
    if (fd >= 0)
        close(fd);
    if (at != MAP_FAILED)
        skew_s = at;
}

int clock_gettime(clockid_t clock, struct timespec *out)
{
    long rv = syscall(SYS_clock_gettime, clock, out);
    if (rv == 0 && skew_s && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        out->tv_sec += *skew_s;
    return (int)rv;
}

int gettimeofday(struct timeval *restrict out, void *restrict zone)
{
    struct timespec t;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &t);
    *out = (struct timeval){t.tv_sec, t.tv_nsec / 1000};
    return 0;
}

time_t time(time_t *out)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    if (out)
        *out = t.tv_sec;
    return t.tv_sec;
}
