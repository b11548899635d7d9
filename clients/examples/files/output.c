// SPDX-License-Identifier: Apache-2.0
// output.c: written under another name, by one process at a time, synced, renamed.
#include "files/output.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

char *output_name(const char *output, const struct dtf_task *task, const char *suffix)
{
    size_t size = strlen(output) + strlen(suffix) + 24;
    char *name = mem_alloc(size);
    snprintf(name, size, "%s.%" PRIu64 ".%s", output, task->id, suffix);
    return name;
}

int output_take_path(const char *what, const void *data, size_t size, char **out, struct nrpc_status *st)
{
    const char *text = data;
    if (!size || *text != '/' || memchr(text, 0, size))
        return status_set(st, NRPC_INVALID_ARGUMENT, "%s: an absolute path is needed", what);
    *out = mem_alloc(size + 1);
    memcpy(*out, text, size);
    (*out)[size] = 0;
    return NRPC_OK;
}

static int fail(struct nrpc_status *st, int error, const char *verb, const char *path)
{
    char what[200];
    snprintf(what, sizeof what, "cannot %s %.170s", verb, path);
    return status_errno(st, error, what);
}

static bool is_same_file(int fd, const char *path)
{
    struct stat open_file, named_file;
    return !fstat(fd, &open_file) && !stat(path, &named_file) && open_file.st_dev == named_file.st_dev &&
           open_file.st_ino == named_file.st_ino;
}

// Opens a file, empty, for this process alone: who else wants to write it waits, until it was put in place or
// thrown away, or its writer died.
static FILE *open_alone(const char *path)
{
    for (;;) {
        FILE *f = fopen(path, "ae");
        if (!f)
            return NULL;
        bool is_locked = !flock(fileno(f), LOCK_EX);
        bool is_ours = is_locked && is_same_file(fileno(f), path);
        if (is_ours && !ftruncate(fileno(f), 0))
            return f;
        int error = errno;
        fclose(f);
        if (is_locked && !is_ours)
            continue; // what we waited for was put in place, or thrown away
        errno = error;
        return NULL;
    }
}

int output_open(struct output *o, const char *path, const struct dtf_task *task, struct nrpc_status *st)
{
    *o = (struct output){.path = mem_strdup(path), .temp = output_name(path, task, "tmp")};
    o->f = open_alone(o->temp);
    if (o->f)
        return NRPC_OK;
    int error = errno;
    output_abort(o);
    return fail(st, error, "write", path);
}

static void end(struct output *o)
{
    if (o->f)
        fclose(o->f);
    free(o->path);
    free(o->temp);
    *o = (struct output){0};
}

void output_abort(struct output *o)
{
    if (o->f)
        unlink(o->temp); // still locked: nobody else has begun to write it
    end(o);
}

// The rename is durable when its directory is.
static int sync_directory(const char *path)
{
    char *copy = mem_strdup(path);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rv = fd < 0 ? -1 : fsync(fd);
    if (fd >= 0)
        close(fd);
    free(copy);
    return rv;
}

int output_commit(struct output *o, struct nrpc_status *st)
{
    int code = NRPC_OK;
    if (fflush(o->f) || ferror(o->f) || fsync(fileno(o->f)) || rename(o->temp, o->path)) {
        code = fail(st, errno, "write", o->path);
        output_abort(o);
        return code;
    }
    if (sync_directory(o->path))
        code = fail(st, errno, "write", o->path);
    end(o);
    return code;
}

bool output_must_escape(const void *name, size_t size)
{
    return memchr(name, '\\', size) || memchr(name, '\n', size) || memchr(name, '\r', size);
}

void output_print_name(FILE *f, const void *name, size_t size)
{
    const char *s = name;
    for (size_t i = 0; i < size; i++)
        if (s[i] == '\\')
            fputs("\\\\", f);
        else if (s[i] == '\n')
            fputs("\\n", f);
        else if (s[i] == '\r')
            fputs("\\r", f);
        else
            putc(s[i], f);
}
