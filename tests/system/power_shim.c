// SPDX-License-Identifier: Apache-2.0
// power_shim.c: preloaded into dtfd: keeps of each database file what has reached the disk, beside it as
// <file>.kept. What is there is what a power failure leaves in the worst case: nothing that no fsync has
// waited for.
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int fsync(int fd);
int fdatasync(int fd);

static int is_kept(const char *path)
{
    const char *name = strrchr(path, '/');
    return name && (!strcmp(name, "/dtf.db") || !strcmp(name, "/dtf.db-wal"));
}

static void copy(int from, const char *to)
{
    static char buffer[1 << 16];
    ssize_t n;
    off_t at = 0;
    int fd = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    while (fd >= 0 && (n = pread(from, buffer, sizeof buffer, at)) > 0 && write(fd, buffer, (size_t)n) == n)
        at += n;
    if (fd >= 0)
        close(fd);
}

// Whole or not at all, as the disk: the process may be killed meanwhile.
static void keep(int fd)
{
    char link[40], path[4096], part[4200], kept[4200];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    path[n > 0 ? n : 0] = 0;
    if (!is_kept(path))
        return;
    snprintf(part, sizeof part, "%s.part", path);
    snprintf(kept, sizeof kept, "%s.kept", path);
    copy(fd, part);
    rename(part, kept);
}

static int synced(int fd, const char *name)
{
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    int rv = real(fd);
    if (rv == 0)
        keep(fd);
    return rv;
}

int fsync(int fd)
{
    return synced(fd, "fsync");
}

int fdatasync(int fd)
{
    return synced(fd, "fdatasync");
}
