// SPDX-License-Identifier: Apache-2.0
// beneath.c: openat2, and openat where the kernel does not have it.
#include "files/beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int beneath_open_root(const char *path)
{
    return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

// A slash at the end would make openat follow a link in spite of O_NOFOLLOW.
static int copy_without_slash(char out[PATH_MAX], const char *path)
{
    size_t n = strlen(path);
    if (n && path[n - 1] == '/')
        n--;
    if (n >= PATH_MAX) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(out, path, n);
    out[n] = 0;
    if (!n)
        strcpy(out, ".");
    return 0;
}

int beneath_open(int root, const char *path, int flags)
{
    char name[PATH_MAX];
    if (copy_without_slash(name, path))
        return -1;
    flags |= O_NOFOLLOW | O_CLOEXEC;
    struct open_how how = {.flags = (unsigned)flags, .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};
    int fd;
    do {
        fd = (int)syscall(SYS_openat2, root, name, &how, sizeof how);
    } while (fd < 0 && (errno == EINTR || errno == EAGAIN)); // EAGAIN: something was renamed meanwhile
    if (fd < 0 && (errno == ENOSYS || errno == EPERM)) // not in this kernel, or kept from this container
        fd = openat(root, name, flags);
    return fd;
}
