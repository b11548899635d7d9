// SPDX-License-Identifier: Apache-2.0
// items.c: reads items into one buffer that holds at least the longest item there may be.
#include "items.h"

#include "base/mem.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void items_init(struct items *s, int fd, int stop_fd, char separator)
{
    *s = (struct items){.fd = fd, .stop_fd = stop_fd, .separator = separator, .capacity = 2 * ITEM_MAX};
    s->buffer = mem_alloc(s->capacity);
}

void items_fini(struct items *s)
{
    free(s->buffer);
}

static enum items_next refuse(const struct items *s, const char *problem, struct nrpc_status *st)
{
    status_set(st, NRPC_INVALID_ARGUMENT, "%s %llu %s", s->separator ? "line" : "item",
               (unsigned long long)s->number + 1, problem);
    return ITEMS_ERROR;
}

// Finds the end of the first item in the buffer; what follows the last separator is an item when no more will
// come.
static bool find_item(struct items *s, size_t *bytes)
{
    const char *from = s->buffer + s->scanned;
    const char *separator = memchr(from, s->separator, s->end - s->scanned);
    s->scanned = separator ? (size_t)(separator - s->buffer) : s->end;
    *bytes = s->scanned - s->start;
    return separator || (s->at_end && *bytes);
}

static enum items_next give(struct items *s, size_t bytes, const char **item, struct nrpc_status *st)
{
    *item = s->buffer + s->start;
    if (bytes > ITEM_MAX)
        return refuse(s, "is longer than 131072 bytes", st);
    if (s->separator && memchr(*item, 0, bytes))
        return refuse(s, "has a zero byte in it (use -0 if items end with one)", st);
    s->number++;
    s->start = s->scanned = s->scanned < s->end ? s->scanned + 1 : s->end;
    return ITEMS_ITEM;
}

// Waits until there is something to read, or to stop for.
static enum items_next wait_for_input(const struct items *s, int wait_ms, struct nrpc_status *st)
{
    struct pollfd fds[] = {{.fd = s->fd, .events = POLLIN}, {.fd = s->stop_fd, .events = POLLIN}};
    int n;
    while ((n = poll(fds, 2, wait_ms)) < 0 && errno == EINTR)
        ;
    if (n < 0) {
        status_errno(st, errno, "cannot wait for standard input");
        return ITEMS_ERROR;
    }
    if (fds[1].revents)
        return ITEMS_STOPPED;
    return n ? ITEMS_ITEM : ITEMS_NOT_YET;
}

static void make_room(struct items *s)
{
    if (!s->start || s->capacity - s->end >= ITEM_MAX / 2)
        return;
    memmove(s->buffer, s->buffer + s->start, s->end - s->start);
    s->end -= s->start;
    s->scanned -= s->start;
    s->start = 0;
}

static enum items_next read_more(struct items *s, int wait_ms, struct nrpc_status *st)
{
    if (s->end - s->start > ITEM_MAX)
        return refuse(s, "is longer than 131072 bytes", st);
    enum items_next ready = wait_for_input(s, wait_ms, st);
    if (ready != ITEMS_ITEM)
        return ready;
    make_room(s);
    ssize_t n = read(s->fd, s->buffer + s->end, s->capacity - s->end);
    if (n < 0 && errno != EINTR && errno != EAGAIN) {
        status_errno(st, errno, "cannot read standard input");
        return ITEMS_ERROR;
    }
    s->end += n > 0 ? (size_t)n : 0;
    s->at_end = n == 0;
    return ITEMS_ITEM;
}

enum items_next items_next(struct items *s, int wait_ms, const char **item, size_t *bytes,
                           struct nrpc_status *st)
{
    for (;;) {
        if (find_item(s, bytes)) {
            enum items_next given = give(s, *bytes, item, st);
            if (given == ITEMS_ITEM && !*bytes)
                continue;
            return given;
        }
        if (s->at_end)
            return ITEMS_END;
        enum items_next more = read_more(s, wait_ms, st);
        if (more != ITEMS_ITEM)
            return more;
    }
}
