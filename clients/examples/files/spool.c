// SPDX-License-Identifier: Apache-2.0
// spool.c: records with a mark, a length and a check sum; read through a map and an index of numbers.
#include "files/spool.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static const uint64_t MARK = 0x8f1d0c6ee1b7a3f5;

struct header {
    uint64_t mark, id, size, check; // check: of id, size and the data
};

struct entry { // a whole record
    uint64_t id, offset, size;
};

struct index {
    struct entry *entries;
    size_t count, capacity;
};

static int fail(struct nrpc_status *st, int error, const char *path)
{
    char what[200];
    snprintf(what, sizeof what, "spool %.180s", path);
    return status_errno(st, error, what);
}

// FNV-1a: finds torn records; nobody attacks this file.
static uint64_t hash(uint64_t h, const void *data, size_t size)
{
    const unsigned char *p = data;
    for (size_t i = 0; i < size; i++)
        h = (h ^ p[i]) * 0x100000001b3;
    return h;
}

static uint64_t check_sum(const struct header *h, const void *data)
{
    uint64_t sum = hash(0xcbf29ce484222325, &h->id, sizeof h->id);
    sum = hash(sum, &h->size, sizeof h->size);
    return hash(sum, data, h->size);
}

// ---- writing

static int open_for_append(const char *path)
{
    return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
}

int spool_create(const char *path, struct nrpc_status *st)
{
    int fd = open_for_append(path);
    if (fd < 0)
        return fail(st, errno, path);
    close(fd);
    return NRPC_OK;
}

int spool_append(const char *path, uint64_t id, const void *data, size_t size, struct nrpc_status *st)
{
    struct header h = {.mark = MARK, .id = id, .size = size};
    h.check = check_sum(&h, data);
    int fd = open_for_append(path);
    if (fd < 0)
        return fail(st, errno, path);
    struct iovec parts[] = {{&h, sizeof h}, {(void *)data, size}};
    ssize_t n = writev(fd, parts, 2);
    int error = n < 0 ? errno : (size_t)n < sizeof h + size ? ENOSPC : 0;
    close(fd);
    return error ? fail(st, error, path) : NRPC_OK;
}

// ---- reading

static bool read_entry(const unsigned char *map, size_t size, size_t offset, struct entry *out)
{
    struct header h;
    if (size - offset < sizeof h)
        return false;
    memcpy(&h, map + offset, sizeof h);
    if (h.mark != MARK || h.size > size - offset - sizeof h ||
        h.check != check_sum(&h, map + offset + sizeof h))
        return false;
    *out = (struct entry){h.id, offset + sizeof h, h.size};
    return true;
}

// Where the next record may begin, after something torn.
static size_t next_mark(const unsigned char *map, size_t size, size_t offset)
{
    const unsigned char *at = memmem(map + offset, size - offset, &MARK, sizeof MARK);
    return at ? (size_t)(at - map) : size;
}

static void find_records(struct index *index, const unsigned char *map, size_t size, uint64_t last)
{
    for (size_t offset = 0; offset < size;) {
        struct entry e;
        if (!read_entry(map, size, offset, &e)) {
            offset = next_mark(map, size, offset + 1);
            continue;
        }
        offset = e.offset + e.size;
        if (e.id < 1 || e.id > last)
            continue;
        mem_grow(&index->entries, &index->capacity, index->count + 1, sizeof e);
        index->entries[index->count++] = e;
    }
}

static int compare_entries(const void *pa, const void *pb)
{
    const struct entry *a = pa, *b = pb;
    if (a->id != b->id)
        return a->id < b->id ? -1 : 1;
    return a->offset < b->offset ? -1 : a->offset > b->offset;
}

static int each_record(const struct index *index, const unsigned char *map, spool_record_fn each, void *user,
                       uint64_t *count, struct nrpc_status *st)
{
    for (size_t i = 0; i < index->count; i++) {
        const struct entry *e = &index->entries[i];
        if (i + 1 < index->count && e[1].id == e->id)
            continue; // there is a later one
        ++*count;
        int code = each(user, e->id, map + e->offset, e->size, st);
        if (code)
            return code;
    }
    return NRPC_OK;
}

static int read_map(const unsigned char *map, size_t size, uint64_t last, spool_record_fn each, void *user,
                    uint64_t *count, struct nrpc_status *st)
{
    struct index index = {0};
    find_records(&index, map, size, last);
    if (index.count)
        qsort(index.entries, index.count, sizeof *index.entries, compare_entries);
    int code = each_record(&index, map, each, user, count, st);
    free(index.entries);
    return code;
}

int spool_read(const char *path, uint64_t last, spool_record_fn each, void *user, uint64_t *count,
               struct nrpc_status *st)
{
    struct stat s;
    *count = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &s)) {
        int error = errno;
        if (fd >= 0)
            close(fd);
        return fail(st, error, path);
    }
    size_t size = (size_t)s.st_size;
    void *map = size ? mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0) : NULL;
    close(fd);
    if (map == MAP_FAILED)
        return fail(st, errno, path);
    int code = map ? read_map(map, size, last, each, user, count, st) : NRPC_OK;
    if (map)
        munmap(map, size);
    return code;
}

void spool_remove(const char *path)
{
    unlink(path);
}
