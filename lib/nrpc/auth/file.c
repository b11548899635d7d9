// SPDX-License-Identifier: Apache-2.0
// file.c: reads past the buffers of stdio, so that no copy stays in them.
#include "nrpc/auth/file.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_BYTES_MAX = 1 << 20 };

static int read_all(int fd, struct file *out, struct nrpc_status *st)
{
    struct stat s;
    if (fstat(fd, &s))
        return status_errno(st, errno, "cannot read it");
    if (!S_ISREG(s.st_mode))
        return status_set(st, NRPC_INVALID_ARGUMENT, "it is no regular file");
    if (s.st_size > FILE_BYTES_MAX)
        return status_set(st, NRPC_INVALID_ARGUMENT, "it is larger than %d bytes", FILE_BYTES_MAX);
    size_t capacity = (size_t)s.st_size;
    *out = (struct file){.text = mem_calloc(capacity + 1, 1)};
    while (out->size < capacity) {
        ssize_t n = read(fd, out->text + out->size, capacity - out->size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            file_free(out);
            return status_errno(st, errno, "cannot read it");
        }
        if (!n)
            break;
        out->size += (size_t)n;
    }
    return NRPC_OK;
}

int file_read(const char *path, struct file *out, struct nrpc_status *st)
{
    *out = (struct file){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); // a FIFO is refused, not waited for
    if (fd < 0)
        return status_errno(st, errno, "cannot open it");
    int code = read_all(fd, out, st);
    close(fd);
    return code;
}

void file_free(struct file *file)
{
    if (file->text)
        OPENSSL_cleanse(file->text, file->size);
    free(file->text);
    *file = (struct file){0};
}
