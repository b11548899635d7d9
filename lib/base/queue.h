// SPDX-License-Identifier: Apache-2.0
// queue.h: a queue of items of one size in an array that grows. Zeroed is empty. Not thread-safe.
#ifndef BASE_QUEUE_H
#define BASE_QUEUE_H

#include <stddef.h>

struct queue {
    unsigned char *items;
    size_t first, count, capacity; // capacity in items
};

// Each use of a queue names the same item_size. Pointers into it last until the next push.
void *queue_push(struct queue *q, size_t item_size);                   // a new last item, to be filled
void *queue_at(const struct queue *q, size_t index, size_t item_size); // 0: the first
void queue_pop(struct queue *q);                                       // the first is gone; there must be one
void queue_fini(struct queue *q);                                      // empty again

#endif
