// SPDX-License-Identifier: Apache-2.0
// documents.c: finds where one JSON document ends and the next begins.
#include "documents.h"

#include "base/mem.h"
#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { READ_BYTES = 64 << 10 };

int documents_open(struct documents *d, const char *text, struct nrpc_status *st)
{
    *d = (struct documents){.fd = -1, .stop = {-1, -1}};
    if (*text != '@') {
        d->size = d->capacity = strlen(text);
        d->data = mem_strdup(text);
        d->ended = true;
        return NRPC_OK;
    }
    d->fd = strcmp(text, "@-") ? open(text + 1, O_RDONLY | O_CLOEXEC) : dup(STDIN_FILENO);
    if (d->fd < 0)
        return status_errno(st, errno, text + 1);
    if (pipe2(d->stop, O_CLOEXEC) < 0)
        return status_errno(st, errno, "pipe");
    return NRPC_OK;
}

void documents_close(struct documents *d)
{
    int fds[] = {d->fd, d->stop[0], d->stop[1]};
    for (size_t i = 0; i < 3; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    free(d->data);
}

void documents_stop(struct documents *d)
{
    if (d->stop[1] >= 0)
        (void)!write(d->stop[1], "", 1);
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

// Looks at one character. True: the document ends before it (*behind false) or behind it.
static bool ends_at(struct documents *d, char c, bool *behind)
{
    bool has_begun = d->scanned > d->at;
    *behind = true;
    if (d->in_string) {
        bool closes = c == '"' && !d->escaped;
        d->escaped = c == '\\' && !d->escaped;
        d->in_string = !closes;
        return closes && !d->depth;
    }
    if (!d->depth && has_begun && (is_space(c) || strchr("{[\"", c))) {
        *behind = false; // of a number or word
        return true;
    }
    if (is_space(c) && !has_begun)
        d->at++;
    else if (c == '"')
        d->in_string = true;
    else if (c == '{' || c == '[')
        d->depth++;
    else if (c == '}' || c == ']')
        return --d->depth <= 0;
    return false;
}

// Where the document ends that begins at d->at; 0: not within what is here.
static size_t find_end(struct documents *d)
{
    for (; d->scanned < d->size; d->scanned++) {
        bool behind;
        if (ends_at(d, d->data[d->scanned], &behind))
            return d->scanned + behind;
    }
    return d->ended && d->size > d->at ? d->size : 0;
}

static int fill(struct documents *d, struct nrpc_status *st)
{
    mem_grow(&d->data, &d->capacity, d->size + READ_BYTES, 1);
    memmove(d->data, d->data + d->at, d->size - d->at);
    d->size -= d->at;
    d->scanned -= d->at;
    d->at = 0;
    if (d->size > CLI_TEXT_MAX)
        return status_set(st, NRPC_RESOURCE_EXHAUSTED, "a document is larger than %d bytes", CLI_TEXT_MAX);
    struct pollfd ready[] = {{.fd = d->fd, .events = POLLIN}, {.fd = d->stop[0], .events = POLLIN}};
    while (poll(ready, 2, -1) < 0 && errno == EINTR)
        ;
    if (ready[1].revents) {
        d->ended = true;
        d->size = d->at = d->scanned = 0;
        return NRPC_OK;
    }
    ssize_t n = read(d->fd, d->data + d->size, READ_BYTES);
    if (n < 0 && errno != EINTR && errno != EAGAIN)
        return status_errno(st, errno, "reading the data");
    d->ended = n == 0;
    d->size += n > 0 ? (size_t)n : 0;
    return NRPC_OK;
}

int documents_next(struct documents *d, const char **text, size_t *length, struct nrpc_status *st)
{
    size_t end;
    while (!(end = find_end(d)) && !d->ended) {
        int code = fill(d, st);
        if (code)
            return code;
    }
    *text = d->data + d->at;
    *length = end ? end - d->at : 0;
    d->at = d->scanned = end ? end : d->size;
    d->depth = 0;
    d->in_string = d->escaped = false;
    return NRPC_OK;
}
