// SPDX-License-Identifier: Apache-2.0
// queue.c: what was popped is reclaimed when the end of the array is reached.
#include "base/queue.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

void *queue_push(struct queue *q, size_t item_size)
{
    if (q->first + q->count == q->capacity) {
        if (q->count)
            memmove(q->items, q->items + q->first * item_size, q->count * item_size);
        q->first = 0;
        mem_grow(&q->items, &q->capacity, q->count + 1, item_size);
    }
    return q->items + (q->first + q->count++) * item_size;
}

void *queue_at(const struct queue *q, size_t index, size_t item_size)
{
    return q->items + (q->first + index) * item_size;
}

void queue_pop(struct queue *q)
{
    q->first++;
    if (--q->count == 0)
        q->first = 0;
}

void queue_fini(struct queue *q)
{
    free(q->items);
    *q = (struct queue){0};
}
