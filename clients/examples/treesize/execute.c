// SPDX-License-Identifier: Apache-2.0
// execute.c: adds up the entries of one directory. What it cannot look at it reports; that does not fail the
// subtask.
//
// An entry with several names may have them in several directories, so it is reported by device and inode and
// counted at the end. A result has limited room: when it is full, the rest of the directory becomes a subtask
// of its own, which is why the names are taken in order.
#include "base/mem.h"
#include "files/beneath.h"
#include "treesize/treesize.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    ROOM_BYTES = 128 << 10,  // for names, links and problems in one result
    ROOM_DIRECTORIES = 5000, // and for follow-ups
    LINK_BYTES = 36,         // at most, packed
    FIELD_BYTES = 8,         // around a name
    BLOCK_BYTES = 512,       // the unit of st_blocks
};

typedef Examples__Treesize__V1__Subtask Subtask;
typedef Examples__Treesize__V1__Result Result;

struct listing {
    const Subtask *subtask;
    Result result;
    size_t links_capacity, directories_capacity, problems_capacity;
    size_t room;
};

// ---- the result

static uint64_t size_of(const struct stat *s, Examples__Treesize__V1__Measure measure)
{
    if (measure == EXAMPLES__TREESIZE__V1__MEASURE__DISK_USAGE)
        return (uint64_t)s->st_blocks * BLOCK_BYTES;
    bool has_size = measure == EXAMPLES__TREESIZE__V1__MEASURE__APPARENT_SIZE || S_ISREG(s->st_mode) ||
                    S_ISLNK(s->st_mode);
    return has_size && s->st_size > 0 ? (uint64_t)s->st_size : 0;
}

static void take_room(struct listing *l, size_t size)
{
    l->room = l->room > size ? l->room - size : 0;
}

static bool is_full(const struct listing *l)
{
    return !l->room || l->result.n_directories >= ROOM_DIRECTORIES;
}

static ProtobufCBinaryData copy_name(const char *name)
{
    size_t size = strlen(name);
    return (ProtobufCBinaryData){size, mem_dup(name, size)};
}

static void add_directory(struct listing *l, const char *name)
{
    Result *r = &l->result;
    mem_grow(&r->directories, &l->directories_capacity, r->n_directories + 1, sizeof *r->directories);
    r->directories[r->n_directories++] = copy_name(name);
    take_room(l, strlen(name) + FIELD_BYTES);
}

static void add_link(struct listing *l, const struct stat *s, uint64_t bytes)
{
    Result *r = &l->result;
    mem_grow(&r->links, &l->links_capacity, r->n_links + 1, sizeof *r->links);
    r->links[r->n_links] = mem_alloc(sizeof **r->links);
    examples__treesize__v1__link__init(r->links[r->n_links]);
    r->links[r->n_links]->device = s->st_dev;
    r->links[r->n_links]->inode = s->st_ino;
    r->links[r->n_links++]->bytes = bytes;
    take_room(l, LINK_BYTES);
}

static void add_problem(struct listing *l, const char *name, int error)
{
    Result *r = &l->result;
    const char *reason = strerrordesc_np(error);
    ProtobufCBinaryData n = {strlen(name), (uint8_t *)name};
    mem_grow(&r->problems, &l->problems_capacity, r->n_problems + 1, sizeof *r->problems);
    Examples__Treesize__V1__Problem *p = r->problems[r->n_problems++] = mem_alloc(sizeof *p);
    examples__treesize__v1__problem__init(p);
    p->path = treesize_join(l->subtask->directory, n);
    p->reason = mem_strdup(reason ? reason : "unknown error");
    take_room(l, p->path.len + strlen(p->reason) + 2 * FIELD_BYTES);
}

static void result_fini(Result *r)
{
    for (size_t i = 0; i < r->n_links; i++)
        free(r->links[i]);
    for (size_t i = 0; i < r->n_directories; i++)
        free(r->directories[i].data);
    for (size_t i = 0; i < r->n_problems; i++) {
        free(r->problems[i]->path.data);
        free(r->problems[i]->reason);
        free(r->problems[i]);
    }
    free(r->links);
    free(r->directories);
    free(r->problems);
    free(r->more_after.data);
}

// ---- reading the directory

static bool has_vanished(int error)
{
    return error == ENOENT || error == ENOTDIR || error == ELOOP;
}

static void add_entry(struct listing *l, int fd, const char *name)
{
    struct stat s;
    if (fstatat(fd, name, &s, AT_SYMLINK_NOFOLLOW)) {
        if (!has_vanished(errno))
            add_problem(l, name, errno);
        return;
    }
    uint64_t bytes = size_of(&s, l->subtask->measure);
    if (S_ISDIR(s.st_mode))
        add_directory(l, name);
    if (!S_ISDIR(s.st_mode) && s.st_nlink > 1)
        add_link(l, &s, bytes);
    else
        l->result.bytes += bytes;
}

static int compare_entries(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static bool is_wanted(const char *name, const char *after)
{
    return strcmp(name, ".") && strcmp(name, "..") && strcmp(name, after) > 0;
}

// Frees the entries, too. false: cancelled.
static bool add_entries(struct listing *l, int fd, struct dirent **entries, int count, const char *after,
                        const struct dtf_execution *x)
{
    bool going = true;
    for (int i = 0; i < count; i++) {
        const char *name = entries[i]->d_name;
        going = going && !dtf_execution_is_cancelled(x);
        if (going && !l->result.more_after.len && is_wanted(name, after)) {
            add_entry(l, fd, name);
            if (is_full(l) && i + 1 < count)
                l->result.more_after = copy_name(name);
        }
        free(entries[i]);
    }
    free(entries);
    return going;
}

static int list_open_directory(struct listing *l, int fd, const char *after, struct dtf_execution *x,
                               struct nrpc_status *st)
{
    struct stat s;
    struct dirent **entries;
    bool is_root = !l->subtask->directory.len && !*after;
    if (is_root && fstat(fd, &s) == 0)
        l->result.bytes += size_of(&s, l->subtask->measure);
    int count = scandirat(fd, ".", &entries, NULL, compare_entries);
    if (count < 0)
        add_problem(l, "", errno);
    else if (!add_entries(l, fd, entries, count, after, x))
        return status_set(st, NRPC_CANCELLED, "cancelled");
    return NRPC_OK;
}

static char *text_of(ProtobufCBinaryData b)
{
    char *text = mem_calloc(b.len + 1, 1);
    if (b.len)
        memcpy(text, b.data, b.len);
    return text;
}

static int list_directory(struct listing *l, int root, struct dtf_execution *x, struct nrpc_status *st)
{
    int code = NRPC_OK;
    char *directory = text_of(l->subtask->directory), *after = text_of(l->subtask->after);
    int fd = beneath_open(root, directory, O_RDONLY | O_DIRECTORY);
    if (fd >= 0) {
        code = list_open_directory(l, fd, after, x, st);
        close(fd);
    } else if (!has_vanished(errno)) {
        add_problem(l, "", errno);
    }
    free(directory);
    free(after);
    return code;
}

// ---- the callback

static int run(const Subtask *s, struct dtf_execution *x, struct nrpc_status *st)
{
    struct listing l = {.subtask = s, .result = EXAMPLES__TREESIZE__V1__RESULT__INIT, .room = ROOM_BYTES};
    char *root_path = text_of(s->root);
    int root = beneath_open_root(root_path);
    free(root_path);
    if (root < 0)
        return status_errno(st, errno, "cannot open the tree's root");
    int code = list_directory(&l, root, x, st);
    close(root);
    if (!code) {
        size_t size;
        void *body = treesize_pack(&l.result.base, &size);
        dtf_execution_set_body(x, body, size);
        free(body);
    }
    result_fini(&l.result);
    return code;
}

static int execute(void *user, const struct dtf_subtask *subtask, struct dtf_execution *x,
                   struct nrpc_status *st)
{
    (void)user;
    Subtask *s = examples__treesize__v1__subtask__unpack(NULL, subtask->param_bytes, subtask->param);
    if (!s)
        return status_set(st, NRPC_INVALID_ARGUMENT,
                          "the subtask's parameter is no examples.treesize.v1.Subtask");
    int code = run(s, x, st);
    examples__treesize__v1__subtask__free_unpacked(s, NULL);
    return code;
}

const struct dtf_executor treesize_executor = {
    .execute = execute,
};
