// SPDX-License-Identifier: Apache-2.0
// items.h: splits what a file descriptor yields into items, as it comes. One thread.
#ifndef CLI_ITEMS_H
#define CLI_ITEMS_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ITEM_MAX = 128 * 1024 }; // bytes in an item

struct items {
    int fd, stop_fd; // what to read; what becomes readable when reading is to stop
    char separator;  // '\n' or 0
    char *buffer;
    size_t start, end, scanned,
        capacity;    // in the buffer: the first item not given, what was read, and searched
    uint64_t number; // of the item that was given last, counted with the empty ones; from 1
    bool at_end;
};

enum items_next {
    ITEMS_ITEM,
    ITEMS_NOT_YET, // nothing came within wait_ms
    ITEMS_END,
    ITEMS_STOPPED,
    ITEMS_ERROR,
};

void items_init(struct items *s, int fd, int stop_fd, char separator);
// The next item that is not empty; lives until the next call. wait_ms < 0: waits for it. Errors name the line
// (or the item, if they are not lines): longer than ITEM_MAX, a zero byte in a line, the read error.
enum items_next items_next(struct items *s, int wait_ms, const char **item, size_t *bytes,
                           struct nrpc_status *st);
void items_fini(struct items *s);

#endif
