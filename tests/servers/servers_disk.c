// SPDX-License-Identifier: Apache-2.0
// servers_disk.c: servers with a small disk of their own, which can be filled.
#include "servers/servers_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/vfs.h>
#include <unistd.h>

bool server_disks_are_there(void)
{
    if (unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0)
        return true;
    printf("skipped: this process may not mount: %s\n", strerror(errno));
    return false;
}

void servers_mount(struct server *s)
{
    char options[60];
    snprintf(options, sizeof options, "size=%um,mode=0700", s->disk_mib);
    if (s->disk_mib && mount("tmpfs", s->data, "tmpfs", MS_NOSUID | MS_NODEV, options))
        servers_fail(s, "its disk cannot be mounted");
}

void servers_unmount(struct server *s)
{
    if (s->disk_mib)
        (void)umount2(s->data, MNT_DETACH);
}

static void filler_path(const struct server *s, char *out, size_t size)
{
    snprintf(out, size, "%s/filler", s->data);
}

void server_fill_disk(struct server *s)
{
    static const char zeros[64 * 1024];
    struct statfs disk;
    char path[300];
    filler_path(s, path, sizeof path);
    if (!s->disk_mib || statfs(s->data, &disk) || disk.f_type != TMPFS_MAGIC)
        servers_fail(s, "it has no disk of its own");
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    uint64_t left = (uint64_t)s->disk_mib << 20, n = sizeof zeros;
    while (fd >= 0 && n && left >= n) { // in smaller pieces at the end
        ssize_t written = write(fd, zeros, n);
        n = written > 0 ? n : n / 2;
        left -= written > 0 ? (uint64_t)written : 0;
    }
    close(fd);
}

void server_free_disk(struct server *s)
{
    char path[300];
    filler_path(s, path, sizeof path);
    if (unlink(path))
        servers_fail(s, "its disk was not full");
}
