// SPDX-License-Identifier: Apache-2.0
// walk.c: a stack of sorted directory listings.
//
// A directory's name is kept with a slash at its end: so the order of names in a directory is that of the
// whole paths.
#include "checksum/walk.h"

#include "base/mem.h"
#include "files/beneath.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct names {
    char **items;
    size_t count, capacity;
};

struct level { // a directory that is being walked
    struct names names;
    size_t at;       // the next name
    size_t path_end; // its own path's length in walk.path
};

struct walk {
    int root;
    bool one_file_system;
    dev_t device;
    struct level *levels;
    size_t depth, levels_capacity;
    char *path, *last; // the one being looked at, the one last given
    size_t path_capacity, last_capacity;
    char problem[100];
    bool (*is_skipped)(void *user, const char *path);
    void *skip_user;
};

// ---- listing a directory

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void names_fini(struct names *n)
{
    for (size_t i = 0; i < n->count; i++)
        free(n->items[i]);
    free(n->items);
}

static void names_add(struct names *n, const char *name, bool is_directory)
{
    size_t size = strlen(name);
    char *item = mem_alloc(size + 2);
    memcpy(item, name, size);
    strcpy(item + size, is_directory ? "/" : "");
    mem_grow(&n->items, &n->capacity, n->count + 1, sizeof *n->items);
    n->items[n->count++] = item;
}

static mode_t type_of(int fd, const struct dirent *e)
{
    struct stat s;
    if (e->d_type != DT_UNKNOWN)
        return DTTOIF(e->d_type);
    return fstatat(fd, e->d_name, &s, AT_SYMLINK_NOFOLLOW) ? 0 : s.st_mode & S_IFMT;
}

// 0 or an errno. Takes the descriptor over.
static int list(int fd, struct names *out)
{
    DIR *d = fdopendir(fd);
    if (!d) {
        int error = errno;
        close(fd);
        return error;
    }
    struct dirent *e;
    while (errno = 0, (e = readdir(d))) {
        mode_t type = type_of(fd, e);
        if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..") && (S_ISREG(type) || S_ISDIR(type)))
            names_add(out, e->d_name, S_ISDIR(type));
    }
    int error = errno;
    closedir(d);
    if (out->count)
        qsort(out->items, out->count, sizeof *out->items, compare_names);
    return error;
}

// ---- entering and leaving

static void set_text(char **text, size_t *capacity, size_t at, const char *tail)
{
    size_t size = strlen(tail) + 1;
    mem_grow(text, capacity, at + size, 1);
    memcpy(*text + at, tail, size);
}

static void push(struct walk *w, const struct names *names)
{
    mem_grow(&w->levels, &w->levels_capacity, w->depth + 1, sizeof *w->levels);
    w->levels[w->depth++] = (struct level){.names = *names, .path_end = strlen(w->path)};
}

static void pop(struct walk *w)
{
    names_fini(&w->levels[--w->depth].names);
}

// Enters the directory at w->path. 0 or an errno.
static int enter(struct walk *w)
{
    struct stat s;
    struct names names = {0};
    int fd = beneath_open(w->root, w->path, O_RDONLY | O_DIRECTORY);
    if (fd < 0)
        return errno;
    if (w->one_file_system && fstat(fd, &s) == 0 && s.st_dev != w->device) {
        close(fd);
        return 0;
    }
    int error = list(fd, &names);
    if (error)
        names_fini(&names);
    else
        push(w, &names);
    return error;
}

// ---- one step

static bool give(struct walk *w, struct walk_item *out, uint64_t size, int error)
{
    if (strcmp(w->path, w->last) > 0)
        set_text(&w->last, &w->last_capacity, 0, w->path);
    if (error)
        snprintf(w->problem, sizeof w->problem, "%s", strerrordesc_np(error));
    *out = (struct walk_item){w->path, size, error ? w->problem : NULL};
    return true;
}

static bool has_vanished(int error)
{
    return error == ENOENT || error == ENOTDIR || error == ELOOP;
}

// A directory is entered if it has anything behind the last path; given only if that fails.
static bool take_directory(struct walk *w, struct walk_item *out)
{
    size_t n = strlen(w->path);
    bool was_inside = strlen(w->last) > n && !memcmp(w->last, w->path, n);
    if (!was_inside && strcmp(w->path, w->last) <= 0)
        return false;
    int error = enter(w);
    return error && !has_vanished(error) && give(w, out, 0, error);
}

static bool take_file(struct walk *w, struct walk_item *out)
{
    struct stat s;
    if (strcmp(w->path, w->last) <= 0 || (w->is_skipped && w->is_skipped(w->skip_user, w->path)))
        return false;
    if (fstatat(w->root, w->path, &s, AT_SYMLINK_NOFOLLOW))
        return !has_vanished(errno) && give(w, out, 0, errno);
    return S_ISREG(s.st_mode) && give(w, out, (uint64_t)s.st_size, 0);
}

bool walk_next(struct walk *w, struct walk_item *out)
{
    while (w->depth) {
        struct level *l = &w->levels[w->depth - 1];
        if (l->at == l->names.count) {
            pop(w);
            continue;
        }
        const char *name = l->names.items[l->at++];
        set_text(&w->path, &w->path_capacity, l->path_end, name);
        bool is_directory = name[strlen(name) - 1] == '/';
        if (is_directory ? take_directory(w, out) : take_file(w, out))
            return true;
    }
    return false;
}

const char *walk_position(const struct walk *w)
{
    return w->last;
}

int walk_percent(const struct walk *w)
{
    double done = 0, share = 100;
    for (size_t i = 0; i < w->depth; i++) {
        const struct level *l = &w->levels[i];
        bool is_inside = i + 1 < w->depth; // of the one before `at`
        share /= (double)(l->names.count ? l->names.count : 1);
        done += share * (double)(l->at - is_inside);
    }
    return w->depth ? (int)done : 100;
}

// ---- open, close

void walk_skip(struct walk *w, bool (*is_skipped)(void *user, const char *path), void *user)
{
    w->is_skipped = is_skipped;
    w->skip_user = user;
}

int walk_open(const char *root, const char *after, bool one_file_system, struct walk **out,
              struct nrpc_status *st)
{
    char what[200];
    struct stat s = {0};
    struct walk *w = mem_calloc(1, sizeof *w);
    w->one_file_system = one_file_system;
    set_text(&w->path, &w->path_capacity, 0, "");
    set_text(&w->last, &w->last_capacity, 0, after);
    w->root = beneath_open_root(root);
    int error = w->root < 0 || fstat(w->root, &s) ? errno : 0;
    if (!error) {
        w->device = s.st_dev;
        error = enter(w);
    }
    if (!error) {
        *out = w;
        return NRPC_OK;
    }
    walk_close(w);
    snprintf(what, sizeof what, "cannot read directory %.150s", root);
    return status_errno(st, error, what);
}

void walk_close(struct walk *w)
{
    if (!w)
        return;
    while (w->depth)
        pop(w);
    if (w->root >= 0)
        close(w->root);
    free(w->levels);
    free(w->path);
    free(w->last);
    free(w);
}
